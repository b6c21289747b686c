//! How a worker pod ended, whether that counts against the run, and how long to wait before the next one.
//!
//! The worker's side of the contract: exit 0 means that it told the keeper how it ended; 75 that it stopped where another
//! worker can go on; anything else is a crash.

use std::time::Duration;

use api::reasons::import_run as reasons;
use backoff::Backoff;

use super::PodFacts;

/// EX_TEMPFAIL of sysexits.h.
const EXIT_RESUMABLE: i32 = 75;

/// 5 s, 10 s, 20 s … five minutes.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(5), 2.0, Duration::from_secs(300));
/// After a disruption there is nothing to wait for, but a moment keeps a broken cluster from spinning.
const AFTER_DISRUPTION: Duration = Duration::from_secs(2);

/// How an attempt ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ending {
    /// From a closed list, for status and events.
    pub reason: &'static str,
    /// Whether it was the run's own doing. Disruptions are not.
    pub counted: bool,
    /// The same in a sentence for people, with what to change where somebody can.
    pub message: String,
}

impl Ending {
    fn counted(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, counted: true, message: message.into() }
    }

    fn disrupted(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, counted: false, message: message.into() }
    }

    /// The pod vanished without a word.
    pub fn lost() -> Self {
        Self::disrupted(reasons::LOST, "the worker pod is gone and left no status behind")
    }

    /// The node does not answer; its pod is past its grace period and still there.
    pub fn node_lost(node: &str) -> Self {
        Self::disrupted(reasons::NODE_LOST, format!("node {node} does not answer"))
    }
}

/// For a pod that is over.
pub fn ending_of(pod: &PodFacts) -> Ending {
    let node = pod.node.as_deref().unwrap_or("unknown");
    if pod.disrupted {
        return Ending::disrupted(reasons::DISRUPTED, format!("the worker pod was taken off node {node}"));
    }
    match (pod.reason.as_deref(), pod.exit_code, pod.exit_reason.as_deref()) {
        // The kubelet's own words when it shuts down or lacks something.
        (Some("Evicted" | "NodeShutdown" | "Shutdown" | "Terminated" | "NodeLost" | "Preempting"), ..) => {
            Ending::disrupted(reasons::DISRUPTED, format!("the worker pod was taken off node {node}"))
        }
        (Some("NodeAffinity" | "OutOfcpu" | "OutOfmemory" | "OutOfpods" | "UnexpectedAdmissionError"), ..) => {
            Ending::disrupted(reasons::DISRUPTED, format!("node {node} did not take the worker pod"))
        }
        (_, _, Some("OOMKilled")) => {
            Ending::counted(reasons::OOM_KILLED, "the worker ran out of memory: raise the chart's value worker.memory")
        }
        (_, Some(EXIT_RESUMABLE), _) => Ending::counted(reasons::INTERRUPTED, "the worker stopped where another can go on"),
        (_, Some(0), _) => Ending::counted(reasons::NO_OUTCOME, "the worker ended without saying how"),
        (_, Some(code), _) => Ending::counted(reasons::ERROR, format!("the worker crashed with exit code {code}")),
        (reason, None, _) => Ending::counted(reasons::ERROR, format!("the worker pod failed: {}", reason.unwrap_or("no reason given"))),
    }
}

/// Time between the end of one attempt and the beginning of the next.
pub fn backoff(counted: usize, last_counted: bool) -> Duration {
    if !last_counted {
        return AFTER_DISRUPTION;
    }
    BACKOFF.after(u32::try_from(counted).unwrap_or(u32::MAX))
}
