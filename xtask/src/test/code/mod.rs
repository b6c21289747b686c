//! Level `code`: every test of every crate. `cargo test` would run one suite after the other, and the long ones mostly wait for the
//! servers that they start; here suites run beside one another (docs/decisions/2026-11-27-tests-beside-one-another.md).

mod parts;
mod run;
mod suites;

use std::fs;
use std::thread;

use anyhow::{Context, Result, ensure};

use self::run::{Counts, Ran};
use crate::progress::Progress;
use crate::{cluster, workspace};

/// How many parts are named as the slowest.
const SLOWEST: usize = 20;
/// Tests at a time for each processor: most of them wait for half of their time. More would make each of them slower than it may be.
const AT_ONCE: usize = 2;

pub(super) fn check(progress: &Progress) -> Result<()> {
    // Both take minutes the first time, and neither uses all processors all the time.
    let (suites, programs) = thread::scope(|scope| {
        let programs = scope.spawn(|| cluster::build(progress));
        (suites::build(), programs.join().expect("building does not panic"))
    });
    let (suites, _) = (suites?, programs?);
    let logs = workspace::target().join("tests/code");
    if logs.exists() {
        fs::remove_dir_all(&logs)?;
    }
    fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
    let processors = thread::available_parallelism().map_or(2, usize::from);
    let ran = run::all(progress, parts::of(&suites)?, AT_ONCE * processors, &logs);
    println!("\n{}", summary(&ran, suites.len()));
    let failed = ran.iter().filter(|ran| ran.failure.is_some()).count();
    ensure!(failed == 0, "{failed} of {} parts failed; what each said is in {}", ran.len(), logs.display());
    Ok(())
}

fn summary(ran: &[Ran], suites: usize) -> String {
    let mut slowest: Vec<&Ran> = ran.iter().collect();
    slowest.sort_by_key(|ran| std::cmp::Reverse(ran.took));
    let mut lines = vec![format!("slowest of {} parts:", ran.len())];
    lines.extend(slowest.iter().take(SLOWEST).map(|ran| format!("  {:7.1} s  {}", ran.took.as_secs_f32(), ran.name)));
    for ran in ran {
        lines.extend(ran.failure.as_ref().map(|failure| format!("FAILED {}: {failure}", ran.name)));
    }
    let Counts { passed, failed, ignored } = ran.iter().map(|ran| ran.counts).fold(Counts::default(), Counts::and);
    lines.push(format!("tests: {passed} passed, {failed} failed, {ignored} ignored, of {suites} suites"));
    lines.join("\n")
}
