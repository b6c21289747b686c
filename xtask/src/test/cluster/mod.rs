//! The cluster level: the demo, then what must be seen of it, then attacks. Each attack has a positive control: the same
//! call with nothing wrong in it goes through, so that a refusal means what it says.

mod attacks;
mod first_hour;
mod seen;

use anyhow::{Result, bail};

use crate::demo::{Arguments, Demo};
use crate::progress::Progress;

type Check = (&'static str, fn(&Demo) -> Result<()>);

const CHECKS: [Check; 13] = [
    ("every kind shows its state", seen::every_kind_shows_its_state),
    ("kubectl wait works on a run", seen::kubectl_wait_works),
    ("a second apply changes nothing and starts nothing", seen::a_second_apply_changes_nothing),
    ("an independent client finds exactly the rows of the file", seen::an_independent_client_finds_the_rows),
    ("the README's walk-through works", first_hour::the_readmes_walk_through_works),
    ("a worker pod is restricted, pinned and has nothing but its token", seen::a_worker_pod_is_alone),
    ("no secret and no row in logs, events and statuses", seen::nothing_leaks),
    ("pods that break the rules are refused", attacks::pods_that_break_the_rules),
    ("nobody enters a worker", attacks::nobody_enters_a_worker),
    ("the operator cannot leave its room", attacks::the_operator_stays_in_its_room),
    ("a tenant's region is for ever", attacks::a_region_is_for_ever),
    ("tenants of other regions are refused", attacks::foreign_tenants),
    ("deleting a tenant or region needs confirmation", attacks::unconfirmed_deletion),
];

pub(crate) fn check() -> Result<()> {
    // What an earlier demo left behind would be counted with what this one does.
    crate::cluster::down(&Progress::begin())?;
    let mut demo = Demo::prepare(Arguments { context: None, unoptimized: true })?;
    let report = demo.imports()?;
    report.print();
    let mut failed = Vec::new();
    if !report.is_true() {
        failed.push("the demo's report is true");
    }
    for (name, check) in CHECKS {
        match check(&demo) {
            Ok(()) => println!("cluster: {name} ... ok"),
            Err(error) => {
                println!("cluster: {name} ... FAILED\n    {error:#}");
                failed.push(name);
            }
        }
    }
    println!("cluster: {} passed, {} failed", CHECKS.len() + 1 - failed.len(), failed.len());
    if !failed.is_empty() {
        bail!("failed: {}", failed.join("; "));
    }
    Ok(())
}
