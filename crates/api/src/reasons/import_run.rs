//! Reasons of an ImportRun that is under way, and of its attempts; why a run ended is a [`RunReason`](crate::import_run::RunReason).

/// An attempt ended; the message has its reason, which is in this list, too.
pub const ATTEMPT_ENDED: &str = "AttemptEnded";
/// An attempt ended and the next one starts at the time in the message.
pub const BACKING_OFF: &str = "BackingOff";
/// The attempt wound up because the run was cancelled.
pub const CANCELLED: &str = "Cancelled";
/// No new chunk starts; committed ones are waited for, then results are written.
pub const CANCELLING: &str = "Cancelling";
/// The attempt brought the run to its end and said how.
pub const COMPLETED: &str = "Completed";
/// The attempt wound up because `guards.deadlineSeconds` had passed.
pub const DEADLINE: &str = "Deadline";
/// The worker pod was taken off its node, or the node did not take it; another attempt follows.
pub const DISRUPTED: &str = "Disrupted";
/// The worker crashed, or its pod failed; another attempt follows while there may be one.
pub const ERROR: &str = "Error";
/// A ConfigMap stood where the run's snapshot belongs and was not made for it: it was removed.
pub const FOREIGN_SNAPSHOT: &str = "ForeignSnapshot";
/// The image of the worker cannot be had; the message has the node's words.
pub const IMAGE_NOT_PULLED: &str = "ImageNotPulled";
/// The worker stopped where another attempt can go on.
pub const INTERRUPTED: &str = "Interrupted";
/// The keeper has not published yet whom a worker may trust.
pub const KEEPER_NOT_PUBLISHED: &str = "KeeperNotPublished";
/// The keeper has not made the Tenant's keys yet.
pub const KEYS_NOT_READY: &str = "KeysNotReady";
/// The worker pod is gone and left no status behind; another attempt follows.
pub const LOST: &str = "Lost";
/// The worker's node does not answer; another attempt follows.
pub const NODE_LOST: &str = "NodeLost";
/// The run's action has no key that this version knows, or more than one: set exactly one that it knows, or upgrade Dataimporter.
pub const NOT_UNDERSTOOD: &str = "NotUnderstood";
/// The worker ended without saying how; another attempt follows while there may be one.
pub const NO_OUTCOME: &str = "NoOutcome";
/// The worker ran out of memory: raise the chart's value `worker.memory`.
pub const OOM_KILLED: &str = "OOMKilled";
/// Another run of the same job goes first.
pub const OTHER_RUN_ACTIVE: &str = "OtherRunActive";
/// The API server refuses the worker pod; the message has its words.
pub const POD_REFUSED: &str = "PodRefused";
/// The namespace of the Tenant's workers is being made.
pub const PREPARING_NAMESPACE: &str = "PreparingNamespace";
/// As many runs of the Tenant or of the Region are under way as may be; the message says which limit is waited for.
pub const QUEUED: &str = "Queued";
/// A worker reads and loads.
pub const RUNNING: &str = "Running";
/// The namespace of the Tenant's workers is not ready; the Tenant's own condition `Ready` says why.
pub const RUN_NAMESPACE_NOT_READY: &str = "RunNamespaceNotReady";
/// The API server refuses the run's snapshot; the message has its words.
pub const SNAPSHOT_REFUSED: &str = "SnapshotRefused";
/// A worker pod is being made.
pub const STARTING: &str = "Starting";
/// No node takes the worker pod; the message has the scheduler's words.
pub const UNSCHEDULABLE: &str = "Unschedulable";
