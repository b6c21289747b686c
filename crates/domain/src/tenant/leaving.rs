//! The way out of a Tenant, one step at a time: stop runs, delete the run namespace, let go. The keeper's part (revoke,
//! delete files, destroy keys) has its own finalizer. Looks at nothing but what must go, so a bad spec blocks nothing.

use std::time::Duration;

use api::Uid;
use jiff::Timestamp;

use super::{Observed, RunNamespaceState, UnfinishedRun, run_namespace_state};

/// How long runs may take to stop in good order; then their namespace goes with them in it.
const PATIENCE: Duration = Duration::from_secs(300);

/// The next step on the way out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Leaving {
    /// Ask these runs to stop and wait for all of them.
    StopRuns(Vec<UnfinishedRun>),
    /// Delete the run namespace, and with it what is left of runs.
    DeleteRunNamespace {
        /// UID of that namespace; another one of its name stays.
        uid: Uid,
    },
    /// The namespace is on its way out.
    AwaitRunNamespace,
    /// Nothing of ours is left.
    LetGo,
}

/// The next step of a Tenant that is being deleted. Runs have five minutes to stop in good order.
pub fn leaving(observed: &Observed, now: Timestamp) -> Leaving {
    let since = observed.tenant.metadata.deletion_timestamp.as_ref().map_or(now, |t| t.0);
    let patient = now.duration_since(since).unsigned_abs() < PATIENCE;
    if patient && !observed.unfinished_runs.is_empty() {
        return Leaving::StopRuns(observed.unfinished_runs.iter().filter(|run| !run.cancelled).cloned().collect());
    }
    match (run_namespace_state(observed), &observed.run_namespace) {
        (RunNamespaceState::Ours(_) | RunNamespaceState::Former(_), Some(living)) => {
            Leaving::DeleteRunNamespace { uid: living.uid.clone() }
        }
        (RunNamespaceState::Terminating, _) => Leaving::AwaitRunNamespace,
        // A namespace that is not there, or not ours, is not ours to delete.
        (
            RunNamespaceState::Ours(_)
            | RunNamespaceState::Former(_)
            | RunNamespaceState::NotNeeded
            | RunNamespaceState::Wanted
            | RunNamespaceState::Taken,
            _,
        ) => Leaving::LetGo,
    }
}
