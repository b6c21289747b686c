//! What a run works from: everything that was decided when it started, in one immutable document. The operator writes it
//! into the run's anchor (a ConfigMap), its digest into the run's status; the keeper checks both and hands it to the worker.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::connection::ConnectionSpec;
use crate::identity::Uid;
use crate::import_job::ImportJobSpec;
use crate::import_run::Action;
use crate::tenant::ResultRetention;

/// What a run works from, all of it decided when it started.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// The ImportRun.
    pub run: ObjectId,
    /// The ImportJob it is a run of.
    pub job: ObjectId,
    /// The Tenant that holds the namespace.
    pub tenant: ObjectId,
    /// The Region of the Tenant.
    pub region: ObjectId,
    /// What the run does.
    pub action: Action,
    /// The job as it was then: what happens to it later is for later runs.
    pub job_spec: ImportJobSpec,
    /// By the name the job uses.
    pub connections: BTreeMap<String, SnapshotConnection>,
    /// The upload the job reads, if it reads one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<ObjectId>,
    /// What is kept of the results: the job's wish within the tenant's rule.
    pub results: ResultRetention,
    /// When the run started; `NOW()` in formulas.
    pub started_at: jiff::Timestamp,
    /// When the run is stopped.
    pub deadline: jiff::Timestamp,
}

/// One object, and no other of the same name.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectId {
    /// Absent for objects that stand in none: Tenants and Regions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name of the object.
    pub name: String,
    /// UID of the object.
    pub uid: Uid,
}

/// A Connection as it was when the run started.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotConnection {
    /// UID of the Connection.
    pub uid: Uid,
    /// [`ConnectionSpec::endpoint_digest`] of its spec: a credential for another endpoint is not given out.
    pub endpoint_digest: String,
    /// No older credential than this may be used.
    pub min_credential_version: i64,
    /// Its spec.
    pub spec: ConnectionSpec,
}

impl Snapshot {
    /// The exact text that is stored and digested.
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("a snapshot has only string keys")
    }

    /// SHA-256 of an encoded snapshot, hexadecimal, as it stands in `status.snapshotDigest`.
    pub fn digest(text: &str) -> String {
        hex::encode(Sha256::digest(text.as_bytes()))
    }
}
