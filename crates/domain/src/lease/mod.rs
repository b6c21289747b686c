//! Who may have what a run needs. A caller proves which pod it is; every rule of [`rules`] must hold, in order, and the answer to the
//! caller is the same whichever failed: only the audit line knows. One that is admitted is told what stops its run, see [`class`].
//!
//! What comes out is a proof: [`Admitted`] and [`Usable`] have private fields and are made here only, and whatever opens a credential or
//! a file asks for one of them.

mod class;
mod connection;
#[cfg(test)]
pub(crate) mod fixtures;
mod observed;
mod rules;
mod upload;

pub use class::Class;
pub use connection::{ConnectionObserved, Usable, judge_connection};
pub use observed::{Caller, Observed, PeerIpCheck};
pub use rules::{Peer, Refusal, admit, is_too_early, peer_of};
pub use upload::{FileState, StoredFile, UploadObserved, judge_upload};

use api::snapshot::Snapshot;
use api::{ImportRun, Region, Tenant, Uid};

use crate::labels;

/// A caller that is the current worker of a run, with what was read to find that out.
pub struct Admitted {
    run: ImportRun,
    tenant: Tenant,
    region: Region,
    snapshot: Snapshot,
    attempt: i32,
    pod_uid: Uid,
}

impl Admitted {
    /// The run that the caller works on.
    pub fn run(&self) -> &ImportRun {
        &self.run
    }

    /// The Tenant that the run belongs to.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// The tenant is being deleted: the run is brought to its end, with nothing new.
    pub fn is_leaving(&self) -> bool {
        labels::is_leaving(&self.tenant.metadata)
    }

    /// The Region of that Tenant.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// What the run began with; its digest was compared with the run's status.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Number of the run's attempt that the caller is, from 1.
    pub fn attempt(&self) -> i32 {
        self.attempt
    }

    /// UID of the caller's pod.
    pub fn pod_uid(&self) -> &Uid {
        &self.pod_uid
    }

    /// UID of the run.
    pub fn run_uid(&self) -> &Uid {
        &self.snapshot.run.uid
    }

    /// Namespace of the run, its job, connections and uploads.
    pub fn namespace(&self) -> &str {
        self.snapshot.run.namespace.as_deref().unwrap_or_default()
    }
}
