//! `ImportRun`: one execution of a job: history, audit record, and what a person follows.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::meta::Empty;
use crate::schema::{self, exactly_one, rule};
use crate::union::union;

/// One execution of an ImportJob.
#[derive(Clone, CustomResource, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "dataimporter.io",
    version = "v1alpha1",
    kind = "ImportRun",
    namespaced,
    crates(kube_core = "::kube_core"),
    status = "ImportRunStatus",
    derive = "PartialEq",
    shortname = "ir",
    category = "dataimporter",
    doc = "One execution of an ImportJob: its history, its audit record, and what a person follows.",
    selectable = ".spec.jobRef.name",
    printcolumn(name = "Job", type_ = "string", json_path = ".spec.jobRef.name"),
    printcolumn(name = "Succeeded", type_ = "string", json_path = r#".status.conditions[?(@.type=="Succeeded")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Read", type_ = "integer", json_path = ".status.rows.read"),
    printcolumn(name = "OK", type_ = "integer", json_path = ".status.rows.succeeded"),
    printcolumn(name = "Failed", type_ = "integer", json_path = ".status.rows.failed"),
    printcolumn(name = "Region", type_ = "string", json_path = ".status.placement.region"),
    printcolumn(name = "Node", type_ = "string", json_path = ".status.placement.node", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule("self.jobRef == oldSelf.jobRef && has(self.action) == has(oldSelf.action) && (!has(self.action) || self.action == oldSelf.action) && self.startBefore == oldSelf.startBefore", "everything but cancel is immutable: create another ImportRun"),
    rule("!(has(oldSelf.cancel) && oldSelf.cancel) || (has(self.cancel) && self.cancel)", "a cancelled run stays cancelled"),
]))]
pub struct ImportRunSpec {
    /// The job this is a run of.
    pub job_ref: JobRef,
    /// What to do. Absent: run, which reads everything and loads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// The run never starts after this time: one restored from a backup ends `Stale`.
    pub start_before: Time,
    /// Stop: no new chunk, chunks already committed are waited for, results are written. Absent: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<bool>,
}

/// The job that a run is of, as it was when the run was made.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobRef {
    /// Name of the ImportJob, in the same namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// UID of the living job. Another job of the same name is another job.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
}

/// What a run does: exactly one key is set.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [exactly_one(ActionKind::KEYS)]))]
pub struct Action {
    /// Read everything and load it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run: Option<Empty>,
}

union! {
    /// What a run does.
    pub enum ActionKind = Action::kind {
        /// Reads everything and loads it.
        "run" run => Run,
    }
}

impl Action {
    /// Reads everything and loads it.
    pub fn run() -> Self {
        Self { run: Some(Empty {}) }
    }
}

/// What is known of a run, as the operator and the keeper write it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportRunStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Succeeded, and Reconciling or Stalled while True.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// SHA-256 of the job's snapshot that this run works from, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub snapshot_digest: Option<String>,
    /// Worker pods, oldest first. A pod has authority only if it is the last one here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["number"]))]
    pub attempts: Vec<Attempt>,
    /// Where the run runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// When the first worker was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When the run ended. Absent: it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// Every row read is in exactly one of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<Rows>,
    /// What was done chunk by chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunks: Option<Chunks>,
    /// Result files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub results: Vec<ResultFile>,
    /// How the last worker said it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// What the last worker said that left the run to another attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interruption: Option<Interruption>,
}

/// What stood in the way of an attempt that left the run to another one.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Interruption {
    /// Number of the attempt that said so, from 1.
    pub attempt: i32,
    /// What stood in its way, which may be gone for the next one; never holds a row.
    #[schemars(length(max = 512))]
    pub message: String,
}

impl Interruption {
    /// The schema's limit for a message, in characters. Conditions quote it.
    pub const MESSAGE_LIMIT: usize = 512;
}

/// One worker pod of a run.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// 1, 2, …; written before the pod is made.
    #[schemars(range(min = 1))]
    pub number: i32,
    /// UID of the pod, written once it is made.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "podUID")]
    #[schemars(length(max = 64))]
    pub pod_uid: Option<String>,
    /// Node the pod was bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub node: Option<String>,
    /// When the attempt was written down, before its pod was made.
    pub created_at: Time,
    /// When the attempt ended. Absent: it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// Why it ended: Completed, Error, OOMKilled, Disrupted, ….
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub reason: Option<String>,
    /// Whether it counts against the limit; disruptions do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<bool>,
}

/// Where a run runs.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// Name of the Region.
    #[schemars(length(max = 63))]
    pub region: String,
    /// Node of the newest worker pod. Absent: none took one yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub node: Option<String>,
    /// Namespace of the worker pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub run_namespace: Option<String>,
    /// Id of the tenant key in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub key_id: Option<String>,
}

/// `read = filtered + deduplicated + notSampled + skipped + succeeded + failed + unprocessed` once the run has ended.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rows {
    /// Read from the source.
    pub read: i64,
    /// Left out by a filter.
    pub filtered: i64,
    /// Left out as repetitions.
    pub deduplicated: i64,
    /// Left out by a sample.
    pub not_sampled: i64,
    /// Records of a file that are no rows: its header once more, a report's footer, an end mark.
    pub skipped: i64,
    /// In Salesforce: written, or deleted as asked.
    pub succeeded: i64,
    /// Refused, by Salesforce or before they were sent; `failed.csv` says why.
    pub failed: i64,
    /// Read, but without an outcome because the run stopped.
    pub unprocessed: i64,
}

impl Rows {
    /// Adds field by field.
    pub fn add(&mut self, more: &Self) {
        let Self { read, filtered, deduplicated, not_sampled, skipped, succeeded, failed, unprocessed } = more;
        self.read += read;
        self.filtered += filtered;
        self.deduplicated += deduplicated;
        self.not_sampled += not_sampled;
        self.skipped += skipped;
        self.succeeded += succeeded;
        self.failed += failed;
        self.unprocessed += unprocessed;
    }

    /// Whether every row read is in exactly one of the others. True of every run that has ended; of one under way it need not be.
    pub fn balanced(&self) -> bool {
        self.read == self.filtered + self.deduplicated + self.not_sampled + self.skipped + self.succeeded + self.failed + self.unprocessed
    }
}

/// What was done chunk by chunk.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Chunks {
    /// Chunks begun so far, those that are folded among them.
    pub total: i64,
    /// Chunks that are finished: Done or Abandoned.
    pub done: i64,
    /// The oldest finished chunks, folded together when more than 200 would be listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folded: Option<FoldedChunks>,
    /// The chunks that are not folded, by number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["number"]))]
    pub listed: Vec<Chunk>,
}

/// Chunks 0 … count-1, all finished (Done, or Abandoned and sent again).
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FoldedChunks {
    /// How many chunks are folded.
    pub count: i64,
    /// Input rows consumed by them, with those that were left out.
    pub input_rows: i64,
    /// What became of their input rows.
    pub rows: Rows,
    /// Chained SHA-256 over their `sha256`, in order, without those that sent rows again: what a restart must read again.
    #[schemars(length(max = 64))]
    pub sha256: String,
    /// Where the source goes on, sealed with the tenant's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16384))]
    pub sealed_cursor: Option<String>,
}

/// One Bulk API 2.0 job's worth of rows; the unit of resume.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Chunk {
    /// 0, 1, … in input order; rows that are sent again get a new number behind all others.
    pub number: i64,
    /// The chunk whose unprocessed rows these are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resends: Option<i64>,
    /// How far it is, as far as a restart has to know. `Uploaded` is written before the commit, so that a restart knows the data was whole.
    pub state: ChunkState,
    /// Number of the first data row of this chunk, from 1.
    pub first_row: i64,
    /// Input rows this chunk consumed, with those that were left out.
    pub input_rows: i64,
    /// Rows sent to the target.
    pub sent_rows: i64,
    /// Length of the body sent, in bytes.
    pub bytes: i64,
    /// SHA-256 of the body sent, hexadecimal. Absent: none was sent yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub sha256: Option<String>,
    /// Salesforce job id.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "jobID")]
    #[schemars(length(max = 18))]
    pub job_id: Option<String>,
    /// What became of the input rows; complete when Done.
    #[serde(default)]
    pub rows: Rows,
    /// Where the source goes on behind this chunk, sealed with the tenant's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16384))]
    pub sealed_cursor: Option<String>,
}

/// Write-ahead states of a chunk. `Uploaded` is written before the commit, so that a restart knows the data was whole.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[schemars(transform = schema::words)]
pub enum ChunkState {
    /// What the target finds the rows by is there; none of them is committed.
    Created,
    /// The data is whole, and the rows may be in the target.
    Uploaded,
    /// Every row has its outcome.
    Done,
    /// Nothing was committed, and nothing will be.
    Abandoned,
    /// Only a person can say what became of the rows.
    NeedsDecision,
}

/// One file with results, to be fetched with `kubectl import results`.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResultFile {
    /// `succeeded.csv`, `failed.csv` or `unprocessed.csv`, with the attempt's number when it is not the first.
    #[schemars(length(max = 64))]
    pub name: String,
    /// Id of the stored file.
    #[schemars(length(max = 64))]
    pub file: String,
    /// Rows in it, the header not counted.
    pub rows: i64,
    /// Size of the plain file.
    pub bytes: i64,
    /// When it stops being readable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// When the file and its key were proved gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased_at: Option<Time>,
}

/// How a worker said that it ended.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Number of its attempt, from 1.
    pub attempt: i32,
    /// Why the run ended: a closed list.
    pub reason: RunReason,
    /// What happened and what to do; never holds a row.
    #[schemars(length(max = 4096))]
    pub message: String,
    /// When the keeper took the report.
    pub at: Time,
    /// What was sent although it looks like a mistake.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub warnings: Vec<Warning>,
    /// Which file was read, where the path of the job has a `*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub file: Option<String>,
    /// So many files that match waited for runs of their own when this run began; absent when there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub files_left: Option<i64>,
    /// What became of the file at its server, where the job says that something does (`source.file.afterSuccess`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_success: Option<PutAway>,
    /// Which file it is, sealed with the tenant's key, for the attempt that deals with it. Only while that is pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16384))]
    pub sealed_file: Option<String>,
}

/// What became of a loaded file at its server.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum PutAway {
    /// Its rows are loaded and its results written; the run goes on until the file is moved or deleted, or cannot be.
    Pending,
    /// It is moved or deleted, as the job says.
    Done,
    /// It is where it was; the message says why.
    Kept,
}

impl Outcome {
    /// Whether the run goes on all the same: its rows are loaded, and its file is still to be dealt with.
    pub fn is_pending(&self) -> bool {
        self.after_success == Some(PutAway::Pending)
    }

    /// The message and one more sentence.
    pub fn message_and(&self, more: &str) -> String {
        let between = if self.message.is_empty() { "" } else { "; " };
        crate::text::cut(&format!("{}{between}{more}", self.message), Self::MESSAGE_LIMIT)
    }

    /// The schema's limit for a message, in characters.
    pub const MESSAGE_LIMIT: usize = 4096;
    /// The schema's limit for the name of a file, in characters.
    pub const FILE_LIMIT: usize = 1024;
}

/// Rows whose values look like a mistake in one field, in one way. Holds nothing of the rows themselves.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Warning {
    /// The field, as the mapping names it.
    #[schemars(length(max = 255))]
    pub field: String,
    /// What is odd about the values, and what becomes of them.
    #[schemars(length(max = 255))]
    pub what: String,
    /// Rows sent with such a value by the last attempt.
    pub rows: i64,
    /// Number of the first of them, from 1.
    pub first_row: i64,
}

impl Warning {
    /// The schema's limit for the list in an [`Outcome`].
    pub const MOST: usize = 20;
    /// The schema's limit for each text, in characters.
    pub const TEXT_LIMIT: usize = 255;

    /// The same with texts that the schema takes.
    pub fn within_limits(&self) -> Self {
        let cut = |text: &str| crate::text::cut(text, Self::TEXT_LIMIT);
        Self { field: cut(&self.field), what: cut(&self.what), ..self.clone() }
    }
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { field, what, rows, first_row } = self;
        match rows {
            1 => write!(f, "{field}: {what} (row {first_row})"),
            rows => write!(f, "{field}: {what} ({rows} rows, the first is row {first_row})"),
        }
    }
}

/// Why a run is as it is: a closed list.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[schemars(transform = schema::words)]
pub enum RunReason {
    /// Every row that was sent succeeded.
    Completed,
    /// The run did its work; some rows failed.
    CompletedWithFailedRows,
    /// There was nothing that the last successful run had not read: no row beyond its watermark, or the same file.
    NothingNew,
    /// More rows failed than `guards.maxFailedPercent` allows.
    TooManyFailedRows,
    /// The job does not fit the source or the org; nothing was sent.
    PreflightFailed,
    /// The source could not be read on.
    SourceFailed,
    /// The source is another one than an earlier attempt read.
    SourceChanged,
    /// Salesforce refused a whole job, ended it early, or cannot be reached safely.
    TargetFailed,
    /// A system refuses our credential, or the run may not have it any more.
    AuthorizationFailed,
    /// Stopped by a person, by a disconnect or with its Tenant.
    Cancelled,
    /// The Upload was deleted or replaced before the run had read it.
    UploadGone,
    /// The Upload's hour was over before the run had read it.
    UploadExpired,
    /// Only a person can tell what became of some rows.
    NeedsDecision,
    /// The org's API requests or bulk batches are used up to the job's budget.
    QuotaExceeded,
    /// The tenant has as many unfinished runs, or as many bytes of result files, as it may have.
    LimitExceeded,
    /// `guards.deadlineSeconds` passed.
    Deadline,
    /// Results and rows do not add up.
    AccountingMismatch,
    /// A row, or the source as a whole, breaks a limit; the message names both.
    FileTooComplex,
    /// The file can neither be held in memory, as it has more bytes than fit there, nor be fetched in parts; the message names the limit.
    FileTooLarge,
    /// The run did not start before its `startBefore`, or its job is another one now.
    Stale,
    /// Too many attempts failed, or were cut short.
    WorkerFailed,
    /// The worker stopped where another can go on.
    Interrupted,
    /// Something that should not happen.
    Internal,
}

impl RunReason {
    /// Whether the run did what it was asked to, failed rows or not.
    pub fn is_success(self) -> bool {
        matches!(self, Self::Completed | Self::CompletedWithFailedRows | Self::NothingNew)
    }

    /// Whether another worker may go on where this one stopped.
    pub fn is_resumable(self) -> bool {
        matches!(self, Self::Interrupted)
    }
}

impl std::fmt::Display for RunReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

impl ImportRunSpec {
    /// Whether the run is asked to stop.
    pub fn cancelled(&self) -> bool {
        self.cancel.unwrap_or(false)
    }
}

impl FoldedChunks {
    /// The digest with one more chunk: SHA-256 over the digest so far (empty at first) and the next chunk's (empty when it sent nothing),
    /// both as hexadecimal text. Who folds and who reads again have to agree on it.
    pub fn chain(so_far: &str, next: &str) -> String {
        hex::encode(Sha256::new().chain_update(so_far).chain_update(next).finalize())
    }
}

impl ImportRunStatus {
    /// The newest attempt, whose pod alone has authority. Absent: no worker was started yet.
    pub fn current_attempt(&self) -> Option<&Attempt> {
        self.attempts.iter().max_by_key(|a| a.number)
    }
}
