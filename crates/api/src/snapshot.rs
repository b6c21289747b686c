//! What a run works from: everything that was decided when it started, in one immutable document. The operator writes it
//! into the run's anchor (a ConfigMap), its digest into the run's status; the keeper checks both and hands it to the worker.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::connection::ConnectionSpec;
use crate::import_job::ImportJobSpec;
use crate::import_run::Action;
use crate::tenant::ResultRetention;

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    pub run: ObjectId,
    pub job: ObjectId,
    pub tenant: ObjectId,
    pub region: ObjectId,
    pub action: Action,
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

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectId {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    pub name: String,
    pub uid: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotConnection {
    pub uid: String,
    pub endpoint_digest: String,
    /// No older credential than this may be used.
    pub min_credential_version: i64,
    pub spec: ConnectionSpec,
}

impl Snapshot {
    /// The exact text that is stored and digested.
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("a snapshot has only string keys")
    }

    pub fn digest(text: &str) -> String {
        hex::encode(Sha256::digest(text.as_bytes()))
    }
}
