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

/// What the rules of an ImportRun look at.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The run as it was seen last.
    pub run: Arc<ImportRun>,
    /// That of the run.
    pub uid: Uid,
    /// The one that the run stands in.
    pub namespace: NamespaceName,
    /// What it is judged by: its job, or what it began with.
    pub basis: Basis,
    /// The Tenant that holds the run's namespace as it is now.
    pub tenant: Option<Arc<Tenant>>,
    /// The Region that the Tenant names, if it is there.
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
    /// Those that the job names and that exist, by name.
    pub connections: BTreeMap<String, Arc<Connection>>,
    /// The Upload that the job's source names, if it is there.
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
    /// Its snapshot, read from the anchor and compared with the digest in the run's status.
    pub frozen: Arc<Frozen>,
    /// Those that the snapshot names and that exist, by name, as they are now.
    pub connections: BTreeMap<String, Arc<Connection>>,
    /// The Upload of the snapshot as it is now, if it is there.
    pub upload: Option<Arc<Upload>>,
}

/// Of a snapshot what decisions need.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frozen {
    /// The ConfigMap that the snapshot stands in.
    pub anchor: Anchor,
    /// SHA-256 of the snapshot's text, as `Snapshot::digest` writes it.
    pub digest: String,
    /// UID of the Tenant that held the namespace when the run began.
    pub tenant_uid: Uid,
    /// When the worker winds up, whatever is left to do.
    pub deadline: Timestamp,
    /// The Connections that its job used, and as what.
    pub uses: Vec<Use>,
    /// Kinds of the systems that its workers dial.
    pub systems: BTreeSet<SystemKind>,
    /// The Upload that it reads, if its source is one.
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

/// A tenant's unfinished runs, as many as bear on one of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Crowd {
    /// Unfinished runs of the tenant that came before this one.
    pub before: usize,
    /// How many unfinished runs the tenant may have.
    pub limit: usize,
}

/// A run namespace as it is now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RunNamespaceFacts {
    /// Name of the Namespace.
    pub name: String,
    /// UID of the Namespace.
    pub uid: Uid,
    /// Whether it is being deleted.
    pub terminating: bool,
}

/// The ConfigMap that a snapshot stands in, and that owns the run's pods.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Anchor {
    /// The run namespace that it stands in.
    pub namespace: String,
    /// Name of the ConfigMap.
    pub name: String,
    /// UID of the ConfigMap.
    pub uid: Uid,
}

/// What a decision needs to know of a worker pod.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PodFacts {
    /// UID of the pod.
    pub uid: Uid,
    /// Name of the pod.
    pub name: String,
    /// UID of the run, as its label says.
    pub run_uid: Option<String>,
    /// Number of the attempt, as its label says it in digits.
    pub attempt: Option<String>,
    /// Name of the node that it is bound to; absent until it is scheduled.
    pub node: Option<String>,
    /// `status.phase` of the pod, such as `Running`; empty until it has one.
    pub phase: String,
    /// Reason in the pod's own status, e.g. `Evicted`.
    pub reason: Option<String>,
    /// The pod is being taken away for the cluster's sake, not its own.
    pub disrupted: bool,
    /// When its grace period is over, if it is being deleted.
    pub deleted_by: Option<Timestamp>,
    /// Of the worker container, once it ended.
    pub exit_code: Option<i32>,
    /// Why the worker container ended in the kubelet's words, such as `OOMKilled`; absent until it ended.
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
