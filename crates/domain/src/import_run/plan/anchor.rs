//! The anchor: an immutable ConfigMap in the run namespace that holds what the run works from and owns its pods. Run and
//! pods live in different namespaces, where an owner reference would make the garbage collector delete the pods.

use std::time::Duration;

use api::import_job::ImportJobSpec;
use api::import_run::Action;
use api::names::{self, REGION_LABEL, RUN_NAME_LABEL, RUN_NAMESPACE_LABEL, RUN_UID_LABEL, SNAPSHOT_KEY, TENANT_LABEL};
use api::snapshot::{ObjectId, Snapshot, SnapshotConnection};
use api::{Connection, Uid};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use thiserror::Error;

use crate::import_run::{JobFacts, Placed};
use crate::labels::{self, RUN_NAME_ANNOTATION};
use crate::retention;

/// A snapshot as it is stored and digested.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AnchorText(pub String);

/// What a ConfigMap holds at most.
const ANCHOR_LIMIT: usize = 1 << 20;

/// A snapshot that does not fit into a ConfigMap; holds its size in bytes.
#[derive(Debug, Error, Eq, PartialEq)]
#[error("job and connections take {0} bytes, more than the {ANCHOR_LIMIT} of a snapshot: shorten formulas or split the job")]
pub struct TooLarge(usize);

impl AnchorText {
    /// Jobs from before there was a limit to their size may not fit.
    pub fn of(snapshot: &Snapshot) -> Result<Self, TooLarge> {
        let text = snapshot.encode();
        if text.len() > ANCHOR_LIMIT { Err(TooLarge(text.len())) } else { Ok(Self(text)) }
    }

    /// SHA-256 of the text, as the run's status announces it.
    pub fn digest(&self) -> String {
        Snapshot::digest(&self.0)
    }
}

/// What the run works from; none if what it needs has gone since the rules were asked. The same facts and the same second, which is what
/// a status keeps of a time, give the same text.
pub fn snapshot(facts: &JobFacts, placed: &Placed, now: Timestamp) -> Option<Snapshot> {
    let job = facts.job.as_ref()?;
    let started_at = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let mut connections = std::collections::BTreeMap::new();
    for name in job.spec.connection_names() {
        connections.insert(name.to_owned(), connection(facts.connections.get(name)?)?);
    }
    let upload = match job.spec.source.upload() {
        Some(_) => Some(id(&facts.upload.as_ref()?.metadata)?),
        None => None,
    };
    Some(Snapshot {
        run: id(&placed.run().metadata)?,
        job: id(&job.metadata)?,
        tenant: id(&placed.tenant().metadata)?,
        region: id(&placed.region().metadata)?,
        action: placed.run().spec.action.clone().unwrap_or_else(Action::run),
        results: retention::effective(&retention::tenant_rule(&placed.tenant().spec), job.spec.retention().as_ref()),
        connections,
        upload,
        started_at,
        deadline: started_at + deadline(&job.spec),
        job_spec: job.spec.clone(),
    })
}

fn deadline(spec: &ImportJobSpec) -> Duration {
    Duration::from_secs(spec.deadline_seconds().unsigned_abs())
}

fn connection(connection: &Connection) -> Option<SnapshotConnection> {
    let mut spec = connection.spec.clone();
    // The keeper has taken it in, and a worker is given what is in it.
    spec.credentials.forget_sealed();
    Some(SnapshotConnection {
        uid: Uid::of_meta(&connection.metadata)?,
        endpoint_digest: connection.spec.endpoint_digest(),
        min_credential_version: connection.status.as_ref().and_then(|s| s.credential_version).unwrap_or_default(),
        spec,
    })
}

fn id(meta: &ObjectMeta) -> Option<ObjectId> {
    Some(ObjectId { namespace: meta.namespace.clone(), name: labels::name(meta).to_owned(), uid: Uid::of_meta(meta)? })
}

/// The ConfigMap with the snapshot, in the run namespace that `placed` proves.
pub fn anchor(placed: &Placed, text: &AnchorText) -> ConfigMap {
    let run = &placed.run().metadata;
    let labels = labels::set(&[
        (RUN_UID_LABEL, placed.run_uid().as_str()),
        (RUN_NAME_LABEL, &names::label_value(labels::name(run))),
        (RUN_NAMESPACE_LABEL, placed.home().as_str()),
        (TENANT_LABEL, labels::name(&placed.tenant().metadata)),
        (REGION_LABEL, labels::name(&placed.region().metadata)),
    ]);
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(names::snapshot_configmap(placed.run_uid().as_str())),
            namespace: Some(placed.namespace().to_owned()),
            labels: Some(labels),
            annotations: Some([(RUN_NAME_ANNOTATION.to_owned(), labels::name(run).to_owned())].into()),
            ..Default::default()
        },
        data: Some([(SNAPSHOT_KEY.to_owned(), text.0.clone())].into()),
        immutable: Some(true),
        ..Default::default()
    }
}
