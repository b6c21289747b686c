//! Everything that bears on one ImportJob.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Connection, ImportJob, ImportRun, NamespaceName, Region, Tenant, Uid, Upload};
use jiff::Timestamp;

/// What the rules of an ImportJob look at.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The job as it was seen last.
    pub job: Arc<ImportJob>,
    /// That of the job.
    pub uid: Uid,
    /// The one that the job stands in.
    pub namespace: NamespaceName,
    /// The Tenant that holds the job's namespace as it is now.
    pub tenant: Option<Arc<Tenant>>,
    /// The Region that the Tenant names, if it is there.
    pub region: Option<Arc<Region>>,
    /// By the names the job uses; those that exist.
    pub connections: BTreeMap<String, Arc<Connection>>,
    /// The Upload that the job's source names, if it is there.
    pub upload: Option<Arc<Upload>>,
    /// Runs of this very job (by UID).
    pub runs: Vec<Arc<ImportRun>>,
    /// The run that bears the name of a `once` trigger, whosever it is.
    pub once_run: Option<Arc<ImportRun>>,
}

impl Observed {
    /// The newest run of this job.
    pub fn last_run(&self) -> Option<&Arc<ImportRun>> {
        self.runs.iter().max_by_key(|run| (run.metadata.creation_timestamp.clone().map(|t| t.0), run.metadata.name.clone()))
    }

    /// The minute that the schedule has announced.
    pub fn announced(&self) -> Option<Timestamp> {
        self.job.status.as_ref()?.next_run_at.as_ref().map(|at| at.0)
    }

    /// A run of this job that has not ended.
    pub fn unfinished_run(&self) -> Option<&Arc<ImportRun>> {
        self.runs.iter().find(|run| !crate::import_run::is_finished(run))
    }
}
