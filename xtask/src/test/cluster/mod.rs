//! The cluster level: the demo, then what must be seen of it, then attacks. Each attack has a positive control: the same
//! call with nothing wrong in it goes through, or the same search finds what was planted, so that a refusal and a silence
//! mean what they say.

mod at_rest;
mod beside;
mod bucket_region;
mod buckets;
mod canary;
mod chart;
mod clouds;
mod databases;
mod edits;
mod file_servers;
mod files;
mod first_hour;
mod gitops;
mod goodbye;
mod keepers;
mod leases;
mod made_anew;
mod minio;
mod network;
mod org;
mod placement;
mod pods;
mod proxy;
mod refusal;
mod restored;
mod rights;
mod runs;
mod sealed;
mod seen;
mod standby;
mod upgrade;
mod worker;
mod worker_process;

use std::thread;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::demo::{Arguments, Demo};
use crate::progress::Progress;
use crate::{pinned, previous};

type Check = (&'static str, fn(&Demo) -> Result<()>);
type Group = (&'static str, &'static [Check]);
/// Makes the servers of a group.
type Make = fn(&Progress) -> Result<()>;

/// In this order, because some look at what the demo left and others change it. One line a group, named for `--only`.
const GROUPS: &[Group] = &[
    ("seen", seen::CHECKS),
    ("first-hour", first_hour::CHECKS),
    ("pods", pods::CHECKS),
    ("rights", rights::CHECKS),
    ("placement", placement::CHECKS),
    ("network", network::CHECKS),
    ("databases", databases::CHECKS),
    ("file-servers", file_servers::CHECKS),
    ("edits", edits::CHECKS),
    ("sealed", sealed::CHECKS),
    ("at-rest", at_rest::CHECKS),
    ("leases", leases::CHECKS),
    ("files", files::CHECKS),
    ("flux", gitops::flux::CHECKS),
    ("goodbye", goodbye::CHECKS), // it ends the installation, so it comes last
];

/// Only when `--only` has their names: they take minutes, or what they need does.
const NAMED: &[(Group, Make)] = &[
    (("buckets", buckets::CHECKS), pinned::minio),
    (("bucket-region", bucket_region::CHECKS), pinned::minio),
    (("keepers", keepers::CHECKS), pinned::minio),
    (("proxy", proxy::CHECKS), |_| Ok(())),
    (("upgrade", upgrade::CHECKS), |progress| previous::make(progress).map(drop)), // it begins with another installation
    (("standby", standby::CHECKS), |_| Ok(())),
    (("clouds", clouds::CHECKS), pinned::clouds),
    (("restored", restored::CHECKS), |progress| pinned::etcd(progress).map(drop)),
    (("made-anew", made_anew::CHECKS), |_| Ok(())),
    (("argo-cd", gitops::argo_cd::CHECKS), gitops::argo_cd::make), // it ends the installation, too
];

/// How much a build stands back that runs beside checks.
const BUILDS_ASIDE: i32 = 15;

/// How much of the level to run.
#[derive(clap::Args, Default)]
pub(crate) struct Choice {
    /// Of the cluster level: only the groups and checks whose name contains this
    #[arg(long)]
    only: Option<String>,
    /// Of the cluster level: keep the cluster that runs and what an earlier run imported there; for work on a check
    #[arg(long)]
    reuse: bool,
}

impl Choice {
    fn wants(&self, group: &str, check: &str) -> bool {
        self.only.as_deref().is_none_or(|word| group.contains(word) || check.contains(word))
    }
}

pub(crate) fn check(choice: &Choice) -> Result<()> {
    let named: Vec<_> = NAMED.iter().filter(|((group, _), _)| choice.only.as_deref() == Some(group)).collect();
    for (_, make) in &named {
        make(&Progress::begin())?;
    }
    if GROUPS.iter().any(|(group, checks)| *group == "flux" && checks.iter().any(|(check, _)| choice.wants(group, check))) {
        // It takes minutes the first time, and other checks wait more than they work. The first one that needs it waits for it, and says
        // what went wrong.
        thread::spawn(|| {
            let _ = rustix::process::nice(BUILDS_ASIDE);
            pinned::flux(&Progress::begin())
        });
    }
    let mut failed = Vec::new();
    let demo = prepare(choice, &mut failed)?;
    let groups = GROUPS.iter().chain(named.iter().map(|(group, _)| group));
    let checks = groups.flat_map(|(group, checks)| checks.iter().map(move |check| (*group, check)));
    let mut passed = 0;
    for (group, (name, check)) in checks.filter(|(group, (name, _))| choice.wants(group, name)) {
        let began = Instant::now();
        let outcome = check(&demo);
        let took = began.elapsed().as_secs_f32();
        match outcome {
            Ok(()) => {
                passed += 1;
                println!("cluster: {group}: {name} ... ok, {took:.1} s");
            }
            Err(error) => {
                println!("cluster: {group}: {name} ... FAILED, {took:.1} s\n    {error:#}");
                failed.push(*name);
            }
        }
    }
    println!("cluster: {passed} passed, {} failed", failed.len());
    if passed == 0 && failed.is_empty() {
        bail!("no check has {:?} in its name", choice.only.as_deref().unwrap_or_default());
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join("; "));
    }
    Ok(())
}

/// The demo with everything it says at TRACE, after its imports.
fn prepare(choice: &Choice, failed: &mut Vec<&'static str>) -> Result<Demo> {
    if !choice.reuse {
        // What an earlier demo left behind would be counted with what this one does.
        crate::cluster::down(&Progress::begin())?;
    }
    let mut demo = Demo::prepare(Arguments { context: None, optimized: false, log_level: "trace".into() })?;
    let imported = choice.reuse && demo.kubectl.exists(&["importrun", "contacts-once-1", "-n", "globex"]).unwrap_or_default();
    if !imported {
        let report = demo.imports()?;
        report.print();
        if !report.is_true() {
            failed.push("the demo's report is true");
        }
    }
    Ok(demo)
}
