//! A second operator that takes over: in order, and when the one that leads is killed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::worker::signal_process_of;
use super::{Check, chart};
use crate::demo::Demo;
use crate::demo::manifests::SYSTEM;
use crate::kubectl::Kubectl;
use crate::process;

pub(super) const CHECKS: &[Check] = &[(
    "a standby operator takes over from one that ends, is killed or falls silent, and runs that were asked for meanwhile load",
    takes_over,
)];

/// A lease that nobody renews runs out after 30 s, and the standby looks for it every two.
const LIMIT: Duration = Duration::from_secs(45);

struct OneAgain<'a>(&'a Kubectl);

impl Drop for OneAgain<'_> {
    fn drop(&mut self) {
        let _ = chart::set(self.0, &["operator.replicas=1"]);
    }
}

/// Who holds the lease: a pod.
fn leader(kubectl: &Kubectl) -> Result<String> {
    let holder = kubectl.run(&["get", "lease", "dataimporter-operator", "-n", SYSTEM, "-o", "jsonpath={.spec.holderIdentity}"])?;
    ensure!(!holder.is_empty(), "nobody holds the lease");
    Ok(holder)
}

fn restarts(kubectl: &Kubectl, pod: &str) -> Result<u32> {
    let count = kubectl.run(&["get", "pod", pod, "-n", SYSTEM, "-o", "jsonpath={.status.containerStatuses[0].restartCount}"])?;
    count.trim().parse().with_context(|| format!("{pod} has restarted {count:?} times"))
}

fn takes_over(demo: &Demo) -> Result<()> {
    let kubectl = &demo.kubectl;
    let _again = OneAgain(kubectl);
    chart::set(kubectl, &["operator.replicas=2"])?;
    for (how, word) in [("told to end", "TERM"), ("killed", "KILL"), ("silent", "STOP")] {
        let before = leader(kubectl)?;
        let uid = kubectl.run(&["get", "pod", &before, "-n", SYSTEM, "-o", "jsonpath={.metadata.uid}"])?;
        let restarted = restarts(kubectl, &before)?;
        let name = format!("standby-{}-{}", word.to_lowercase(), std::process::id());
        let began = Instant::now();
        signal_process_of(word, &uid)?;
        demo.plugin(&["run", "acme/airports", "--name", &name])?;
        if word != "KILL" {
            // Who is killed starts again in its pod, and may be the first to take up the lease that it had.
            process::wait_until("another operator to lead", LIMIT, || {
                ensure!(leader(kubectl)? != before, "{before} leads");
                Ok(())
            })?;
            println!("  {how}: another one led after {:.1} s", began.elapsed().as_secs_f32());
        }
        process::wait_until("the run to have a worker", LIMIT, || {
            let attempts = kubectl.run(&["get", "importrun", &name, "-n", "acme", "-o", "jsonpath={.status.attempts[0].podUID}"])?;
            ensure!(!attempts.is_empty(), "it has none");
            Ok(())
        })?;
        println!("  {how}: the run had its worker after {:.1} s", began.elapsed().as_secs_f32());
        demo.plugin(&["wait", &format!("acme/{name}"), "--timeout", "180"])?;
        if word == "STOP" {
            // It has not heard that it lost the lease, and may do nothing as if it held it.
            signal_process_of("CONT", &uid)?;
            process::wait_until("the one that was silent to end", LIMIT, || {
                ensure!(restarts(kubectl, &before)? > restarted, "its container has restarted {restarted} times still");
                Ok(())
            })?;
            ensure!(leader(kubectl)? != before, "{before} leads again");
        }
        chart::rolled_out(kubectl).context("both operators again")?;
    }
    Ok(())
}
