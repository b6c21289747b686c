//! Wire types of the keeper's HTTP API, as JSON. Secrets are `SecretText`: no Debug, wiped when dropped.
//!
//! | call | who | request → reply |
//! |---|---|---|
//! | `POST /v1/runs/{uid}/lease` | worker | [`LeaseRequest`] → [`Lease`] |
//! | `POST /v1/runs/{uid}/session` | worker | [`SessionRequest`] → [`SalesforceSession`] |
//! | `PUT /v1/runs/{uid}/chunks/{number}` | worker | [`ChunkWrite`] → [`Control`] |
//! | `POST /v1/runs/{uid}/progress` | worker | [`Progress`] → [`Control`] |
//! | `POST /v1/runs/{uid}/files` | worker | [`NewFile`] → [`FileGrant`] |
//! | `PUT /v1/files/{uid}`, `GET /v1/files/{uid}` | worker | ciphertext |
//! | `POST /v1/runs/{uid}/outcome` | worker | [`OutcomeReport`] → nothing |
//! | `POST /v1/runs/{uid}/source` | worker | [`SourceRequest`] → [`SourceCredential`], made anew |
//! | `POST /v1/runs/{uid}/file` | worker | [`FileReport`] → nothing |
//! | `PUT /v1/namespaces/{ns}/uploads/{name}` | people | plain bytes over TLS → [`UploadReceipt`] |
//! | `GET /v1/namespaces/{ns}/importruns/{name}/results/{file}` | people | plain bytes over TLS |
//!
//! Every refusal of a worker's call is a `403`. Its body is empty for a caller that is not proved to be the current worker of the run: stop. That
//! one is told [`Refused`] when the run cannot go on, or not yet. A call that comes before the API server knows the pod's address waits for that, for
//! two seconds at most. Other answers: `409` to a file that is complete already, `413` to one that there is no room for, `422` to a chunk that does not
//! follow from what is on record, `503` while the keeper is in trouble: come again.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::import_run::{Chunk, Chunks, Rows, RunReason, Warning};
use crate::region::PrivateEndpoint;
use crate::snapshot::Snapshot;

/// A secret on its way through TLS; cannot be printed.
#[derive(Clone)]
pub struct SecretText(SecretString);

impl SecretText {
    /// Takes a text as a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The secret itself, for the one place that sends it on.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The secret as the libraries take it.
    pub fn into_secret(self) -> SecretString {
        self.0
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// Asks for all that a run needs.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaseRequest {
    /// Number of the caller's attempt, from 1; another than the newest is refused.
    pub attempt: i32,
    /// Only to bring the run to its end, after the keeper refused to let it go on: without a source, and without a target if that was it.
    #[serde(default)]
    pub ending: bool,
}

/// What the current worker of a run is told when it is refused.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// The run cannot go on and ends with this. Absent: it passes, ask again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<RunReason>,
    /// What is in the way, and the way out.
    pub message: String,
}

/// All that a worker needs, once.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lease {
    /// What the run works from, as it was decided when it started.
    pub snapshot: Snapshot,
    /// Absent: nothing more is read, the run is brought to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceCredential>,
    /// Absent: nor may the org be asked any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<SalesforceSession>,
    /// What earlier attempts wrote; empty at the first.
    pub chunks: Chunks,
    /// Cursor behind each listed chunk that has one, opened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cursors: Vec<ChunkCursor>,
    /// What the last successful run of the job has read up to, for a job that reads only what is new. Empty: read all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bookmark: Vec<SecretText>,
    /// An earlier attempt has loaded everything. Only its file is still to be dealt with as the job says (`source.file.afterSuccess`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loaded: Option<LoadedFile>,
    /// Server time, for the worker's deadline arithmetic.
    pub now: jiff::Timestamp,
    /// Private addresses that the run may reach: those of the Region's list that name its tenant.
    pub private_endpoints: Vec<PrivateEndpoint>,
    /// The proxy through which the run reaches public addresses. Absent: it dials them itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<EgressProxy>,
}

/// The HTTP proxy through which an installation reaches public addresses, as its chart says it.
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EgressProxy {
    /// `http://host:port`.
    pub url: String,
    /// Hosts that are dialed past it, in the words of `NO_PROXY`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub no_proxy: Vec<String>,
    /// Absent: it asks for no login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<EgressLogin>,
}

/// Who the installation is at its proxy.
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EgressLogin {
    /// Entry `username` of the Secret.
    pub username: String,
    /// Entry `password` of the Secret.
    pub password: SecretText,
}

/// A file that an earlier attempt has loaded.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadedFile {
    /// What [`OutcomeReport::loaded`] was.
    pub file: Vec<SecretText>,
    /// Rows of it have failed.
    pub has_failed_rows: bool,
}

/// Where the source goes on behind a chunk.
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChunkCursor {
    /// Number of the chunk.
    pub chunk: i64,
    /// The `orderBy` values of the last row consumed.
    pub last_key: Vec<SecretText>,
}

/// What opens the source of a run.
#[expect(clippy::large_enum_variant, reason = "made once a run")]
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SourceCredential {
    /// A file that the keeper has: its key.
    Upload(UploadGrant),
    /// All entries that the way to log in has, by their names.
    Entries(BTreeMap<String, SecretText>),
}

/// Asks for the credential of the source once more: a token that stands for it is good for minutes only.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceRequest {
    /// Which attempt asks.
    pub attempt: i32,
}

/// Name of the entry that is a token of a ServiceAccount, in place of a secret.
pub const IDENTITY_TOKEN: &str = "identityToken";

/// An uploaded file that a run reads.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UploadGrant {
    /// Its key, and where its ciphertext is.
    pub file: FileGrant,
    /// Size of the plain file.
    pub bytes: u64,
    /// SHA-256 of the plain file, hexadecimal.
    pub sha256: String,
    /// When it stops being readable, for every reader.
    pub expires_at: jiff::Timestamp,
}

/// An access token of an org.
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SalesforceSession {
    /// Base URL of the org's API; the token goes nowhere else.
    pub instance_url: String,
    /// What goes into `Authorization: Bearer …`.
    pub access_token: SecretText,
}

/// Asks for a new access token because the one with this SHA-256 was refused.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionRequest {
    /// Number of the caller's attempt, from 1; another than the newest is refused.
    pub attempt: i32,
    /// Name of the Connection, as the job has it.
    pub connection: String,
    /// SHA-256 of the refused token, hexadecimal.
    pub refused_sha256: String,
}

/// A file's key and identity; the bytes go through `/v1/files/{uid}`.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileGrant {
    /// Id of the file.
    pub uid: String,
    /// Id and key of this file only, as `envelope::FileKey` writes them: 48 bytes, base64.
    pub key: SecretText,
    /// What the file's ciphertext is bound to.
    pub context: FileContext,
}

/// The names that a file's ciphertext is bound to; endpoint and fields are empty for a file.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileContext {
    /// Name of the Region that it is stored in.
    pub region: String,
    /// UID of the installation.
    pub installation_uid: String,
    /// UID of the Tenant whose file it is.
    pub tenant_uid: String,
    /// Namespace of the Upload or ImportRun.
    pub namespace: String,
    /// `Upload` or `ImportRun`.
    pub kind: String,
    /// Name of the Upload or ImportRun.
    pub name: String,
    /// Id of the file.
    pub uid: String,
}

/// Asks for a place and a key for a result file.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewFile {
    /// Number of the caller's attempt, from 1; another than the newest is refused.
    pub attempt: i32,
    /// `succeeded.csv`, `failed.csv` or `unprocessed.csv`.
    pub name: String,
}

/// One write-ahead step. Applied only if the attempt is current.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChunkWrite {
    /// Number of the caller's attempt, from 1; another than the newest is refused.
    pub attempt: i32,
    /// `sealedCursor` is left empty; the keeper seals `cursor` itself.
    pub chunk: Chunk,
    /// Where the source goes on behind the chunk. Absent: the source cannot, or the chunk has none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<ChunkCursor>,
}

/// How far a run is.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Number of the caller's attempt, from 1; another than the newest is refused.
    pub attempt: i32,
    /// Rows so far, those of earlier attempts among them.
    pub rows: Rows,
    /// The attempt stops here, and another one may go on: what stood in its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interrupted: Option<String>,
}

/// What the worker should do next.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Control {
    /// Start no new chunk, finish what is committed, write results.
    pub cancel: bool,
}

/// How a run ended, said once by its last worker.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutcomeReport {
    /// Number of the caller's attempt, from 1; another than the newest is refused.
    pub attempt: i32,
    /// Why the run ended.
    pub reason: RunReason,
    /// What happened and what to do; never holds a row. Cut to [`Outcome::MESSAGE_LIMIT`](crate::import_run::Outcome::MESSAGE_LIMIT)
    /// characters.
    pub message: String,
    /// Rows of the whole run, earlier attempts included.
    pub rows: Rows,
    /// The result files that were written; the keeper knows when they expire.
    pub results: Vec<WrittenFile>,
    /// What was sent although it looks like a mistake; the first [`Warning::MOST`] are kept.
    #[serde(default)]
    pub warnings: Vec<Warning>,
    /// As in [`Outcome::file`](crate::import_run::Outcome::file).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// As in [`Outcome::files_left`](crate::import_run::Outcome::files_left).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_left: Option<i64>,
    /// What the run has read up to: the keeper seals it for the next run of a job that reads only what is new.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bookmark: Vec<SecretText>,
    /// Where it began: [`Lease::bookmark`]. Another run may have moved that meanwhile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub began: Vec<SecretText>,
    /// The run is not over with this: what it has loaded is still to be moved or deleted at its server, and this tells the file from every
    /// other one. A [`FileReport`] follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loaded: Option<Vec<SecretText>>,
}

/// What became of the file of a run whose outcome told that it was [`loaded`](OutcomeReport::loaded): the run ends with it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileReport {
    /// Number of the caller's attempt, from 1; another than the newest is refused.
    pub attempt: i32,
    /// It was moved or deleted, as the job says.
    pub done: bool,
    /// Where it is now, or why it is where it was; added to the message of the outcome.
    pub message: String,
}

/// A result file whose bytes are all stored.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WrittenFile {
    /// As in [`ResultFile::name`](crate::import_run::ResultFile::name).
    pub name: String,
    /// Id of the file, from its [`FileGrant`].
    pub file: String,
    /// Rows in it, the header not counted.
    pub rows: i64,
    /// Size of the plain file.
    pub bytes: i64,
}

/// What a person is told whose file has arrived.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UploadReceipt {
    /// Size of the file as it arrived.
    pub bytes: u64,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
    /// When the last byte was stored.
    pub completed_at: jiff::Timestamp,
    /// When the file stops being readable.
    pub expires_at: jiff::Timestamp,
}

/// Whether the audit of a region is whole, and how many lines of it the caller may have.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditReport {
    /// Name of the Region.
    pub region: String,
    /// Whether every chain is what was written.
    pub whole: bool,
    /// Lines that the caller may have, of all chains.
    pub lines: u64,
    /// One for each keeper that writes, or wrote.
    pub chains: Vec<ChainReport>,
}

/// How much of one chain of the audit is what was written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChainReport {
    /// Name of the chain, as in the Region's status.
    pub name: String,
    /// Lines that were found and fit, from the first on.
    pub lines: u64,
    /// Lines that are known to have been written.
    pub known: u64,
    /// Hash of the last line that fits.
    pub hash: String,
    /// Why it is not whole. Absent: it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}
