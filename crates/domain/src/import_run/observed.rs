//! Everything that bears on one ImportRun.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::connection::SystemKind;
use api::identity::Unidentified;
use api::snapshot::{ObjectId, Snapshot};
use api::{Connection, ImportJob, ImportRun, NamespaceName, Region, Tenant, Uid, Upload, names};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::import_job::{Use, uses};
use crate::labels;
use crate::reach::opening;

#[derive(Clone, Debug)]
pub struct Observed {
    pub run: Arc<ImportRun>,
    /// That of the run.
    pub uid: Uid,
    /// The one that the run stands in.
    pub namespace: NamespaceName,
    pub basis: Basis,
    /// The Tenant that holds the run's namespace as it is now.
    pub tenant: Option<Arc<Tenant>>,
    pub region: Option<Arc<Region>>,
    /// The tenant's run namespace as it is now.
    pub run_namespace: Option<RunNamespaceFacts>,
    /// The pod of the current attempt: from the watch, and if that shows none, by a live read.
    pub pod: Option<PodFacts>,
}

/// What a run is judged by.
#[derive(Clone, Debug)]
pub enum Basis {
    /// It has not begun: its job as it is now.
    Job(JobFacts),
    /// It has begun: what it began with, whatever became of the job since.
    Snapshot(Begun),
    /// It has begun, and what it began with is gone or is not what was announced.
    Lost,
    /// It is over; of what it worked from this is left.
    Over(Option<Anchor>),
}

/// A job and what it refers to, as they are now.
#[derive(Clone, Debug, Default)]
pub struct JobFacts {
    /// The object that bears the job's name now; perhaps not the job.
    pub job: Option<Arc<ImportJob>>,
    pub connections: BTreeMap<String, Arc<Connection>>,
    pub upload: Option<Arc<Upload>>,
    /// Another run of the same job that goes first.
    pub ahead: Option<String>,
    /// The tenant has more unfinished runs than it may have.
    pub crowd: Option<Crowd>,
    /// What stands where the snapshot will, put there by somebody else.
    pub planted: Option<Anchor>,
}

/// What a run began with, and how that stands now.
#[derive(Clone, Debug)]
pub struct Begun {
    pub frozen: Arc<Frozen>,
    pub connections: BTreeMap<String, Arc<Connection>>,
    pub upload: Option<Arc<Upload>>,
}

/// Of a snapshot what decisions need.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frozen {
    pub anchor: Anchor,
    pub digest: String,
    pub tenant_uid: Uid,
    pub deadline: Timestamp,
    pub uses: Vec<Use>,
    /// Kinds of the systems that its workers dial.
    pub systems: BTreeSet<SystemKind>,
    pub upload: Option<ObjectId>,
}

impl Frozen {
    /// None for what is no snapshot.
    pub fn read(anchor: Anchor, text: &str) -> Option<Self> {
        let snapshot: Snapshot = serde_json::from_str(text).ok()?;
        Some(Self {
            anchor,
            digest: Snapshot::digest(text),
            tenant_uid: snapshot.tenant.uid,
            deadline: snapshot.deadline,
            uses: uses(&snapshot.job_spec),
            systems: snapshot.connections.values().filter_map(|known| Some(known.spec.system()?.kind())).collect(),
            upload: snapshot.upload,
        })
    }

    /// Labels of its workers that open to them what they dial.
    pub fn openings(&self) -> impl Iterator<Item = String> {
        self.systems.iter().filter_map(|system| opening(*system).label)
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Crowd {
    /// Unfinished runs of the tenant that came before this one.
    pub before: usize,
    pub limit: usize,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RunNamespaceFacts {
    pub name: String,
    pub uid: Uid,
    pub terminating: bool,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Anchor {
    pub namespace: String,
    pub name: String,
    pub uid: Uid,
}

/// What a decision needs to know of a worker pod.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PodFacts {
    pub uid: Uid,
    pub name: String,
    pub run_uid: Option<String>,
    pub attempt: Option<String>,
    pub node: Option<String>,
    pub phase: String,
    /// Reason in the pod's own status, e.g. `Evicted`.
    pub reason: Option<String>,
    /// The pod is being taken away for the cluster's sake, not its own.
    pub disrupted: bool,
    /// When its grace period is over, if it is being deleted.
    pub deleted_by: Option<Timestamp>,
    /// Of the worker container, once it ended.
    pub exit_code: Option<i32>,
    pub exit_reason: Option<String>,
    /// Why it is not scheduled or started, for people.
    pub holdup: Option<(HoldUp, String)>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HoldUp {
    Unschedulable,
    Image,
}

impl PodFacts {
    /// # Errors
    /// The pod has no UID: nobody could tell it from another one of its name.
    pub fn of(pod: &Pod) -> Result<Self, Unidentified> {
        let meta = &pod.metadata;
        let status = pod.status.clone().unwrap_or_default();
        let conditions = status.conditions.unwrap_or_default();
        let condition = |type_: &str| conditions.iter().find(|c| c.type_ == type_);
        let container = status.container_statuses.unwrap_or_default().into_iter().next();
        let (terminated, waiting) = container.and_then(|c| c.state).map_or((None, None), |state| (state.terminated, state.waiting));
        let unschedulable = condition("PodScheduled")
            .filter(|c| c.status == "False")
            .map(|c| (HoldUp::Unschedulable, c.message.clone().unwrap_or_default()));
        let image = waiting
            .filter(|w| w.reason.as_deref().is_some_and(|r| r.contains("Image")))
            .map(|w| (HoldUp::Image, format!("{}: {}", w.reason.unwrap_or_default(), w.message.unwrap_or_default())));
        Ok(Self {
            uid: Uid::of(pod)?,
            name: labels::name(meta).to_owned(),
            run_uid: labels::label(meta, names::RUN_UID_LABEL).map(str::to_owned),
            attempt: labels::label(meta, names::ATTEMPT_LABEL).map(str::to_owned),
            node: pod.spec.as_ref().and_then(|s| s.node_name.clone()),
            phase: status.phase.unwrap_or_default(),
            reason: status.reason,
            disrupted: condition("DisruptionTarget").is_some_and(|c| c.status == "True"),
            deleted_by: meta.deletion_timestamp.as_ref().map(|t| t.0),
            exit_code: terminated.as_ref().map(|t| t.exit_code),
            exit_reason: terminated.and_then(|t| t.reason),
            holdup: unschedulable.or(image),
        })
    }

    /// All its containers have ended.
    pub fn is_over(&self) -> bool {
        matches!(self.phase.as_str(), "Succeeded" | "Failed")
    }

    /// Made by us for this attempt of this run; a pod of the right name alone proves nothing.
    pub fn belongs_to(&self, run_uid: &Uid, attempt: i32) -> bool {
        self.run_uid.as_deref() == Some(run_uid.as_str()) && self.attempt.as_deref() == Some(&attempt.to_string())
    }
}
