//! One ingest job: its specification, the states it passes through, and what became of every row.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::csv::Dialect;
use crate::store::value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Insert,
    Update,
    Upsert,
    Delete,
    HardDelete,
}

impl Operation {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let all = [Self::Insert, Self::Update, Self::Upsert, Self::Delete, Self::HardDelete];
        all.into_iter().find(|operation| operation.name().eq_ignore_ascii_case(name))
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Upsert => "upsert",
            Self::Delete => "delete",
            Self::HardDelete => "hardDelete",
        }
    }

    pub(crate) fn deletes(self) -> bool {
        matches!(self, Self::Delete | Self::HardDelete)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobState {
    Open,
    UploadComplete,
    InProgress,
    JobComplete,
    Failed,
    Aborted,
}

impl JobState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Open => "Open",
            Self::UploadComplete => "UploadComplete",
            Self::InProgress => "InProgress",
            Self::JobComplete => "JobComplete",
            Self::Failed => "Failed",
            Self::Aborted => "Aborted",
        }
    }

    pub(crate) fn is_terminal(self) -> bool {
        matches!(self, Self::JobComplete | Self::Failed | Self::Aborted)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) object: usize,
    pub(crate) object_name: String,
    pub(crate) operation: Operation,
    /// Field number and the name as the client spelled it.
    pub(crate) key: Option<(usize, String)>,
    pub(crate) dialect: Dialect,
    pub(crate) assignment_rule: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Created(u32),
    Changed(u32),
    /// Number of the text in `Progress::errors`.
    Failed(u32),
}

/// Twelve bytes a row: where it starts in the upload and what became of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowResult {
    pub(crate) start: u32,
    pub(crate) outcome: Outcome,
}

#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) state: JobState,
    pub(crate) modified: i64,
    /// PUTs that were sent; more than one spoils the job.
    pub(crate) uploads: u32,
    pub(crate) upload: Bytes,
    pub(crate) polls: u32,
    pub(crate) rows: Vec<RowResult>,
    pub(crate) errors: Vec<String>,
    pub(crate) failed: u64,
    pub(crate) retries: u32,
    pub(crate) error: Option<String>,
    /// Where the rows that were never tried begin.
    pub(crate) tried_to: usize,
    pub(crate) columns: usize,
    /// The column with the row's own id, for updates and deletes.
    pub(crate) id_column: Option<usize>,
    pub(crate) started: i64,
    pub(crate) finished: i64,
    pub(crate) busy_ms: i64,
}

pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) spec: Spec,
    pub(crate) api_version: String,
    pub(crate) created: i64,
    pub(crate) user_id: String,
    progress: Mutex<Progress>,
    polled: Notify,
    /// Held while a batch is written, so that an abort never cuts one in two.
    pub(crate) batch: tokio::sync::Mutex<()>,
}

impl Job {
    pub(crate) fn new(id: String, spec: Spec, api_version: String, user_id: String, now: i64) -> Self {
        let progress = Progress {
            state: JobState::Open,
            modified: now,
            uploads: 0,
            upload: Bytes::new(),
            polls: 0,
            rows: Vec::new(),
            errors: Vec::new(),
            failed: 0,
            retries: 0,
            error: None,
            tried_to: 0,
            columns: 0,
            id_column: None,
            started: 0,
            finished: 0,
            busy_ms: 0,
        };
        Self {
            id,
            spec,
            api_version,
            created: now,
            user_id,
            progress: Mutex::new(progress),
            polled: Notify::new(),
            batch: tokio::sync::Mutex::new(()),
        }
    }

    pub(crate) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().expect("no holder panicked")
    }

    /// Counts a look at the job; a job that waits to be seen InProgress goes on.
    pub(crate) fn poll(&self) {
        let mut progress = self.progress();
        if progress.state == JobState::InProgress {
            progress.polls += 1;
            self.polled.notify_waiters();
        }
    }

    /// Returns once the job was seen in progress often enough, or nobody came to look.
    pub(crate) async fn wait_for_polls(&self, polls: u32, patience: Duration) {
        let seen = async {
            loop {
                let notified = self.polled.notified();
                if self.progress().polls >= polls {
                    return;
                }
                notified.await;
            }
        };
        // Patience running out is as good as having been seen.
        let _ = tokio::time::timeout(patience, seen).await;
    }

    /// What create and PATCH answer: no counters.
    pub(crate) fn short(&self) -> Value {
        let progress = self.progress();
        let mut body = json!({
            "id": self.id, "operation": self.spec.operation.name(), "object": self.spec.object_name, "createdById": self.user_id,
            "createdDate": instant(self.created), "systemModstamp": instant(progress.modified), "state": progress.state.name(),
            "concurrencyMode": "Parallel", "contentType": "CSV", "apiVersion": version_number(&self.api_version),
            "lineEnding": self.spec.dialect.line_ending_name(), "columnDelimiter": self.spec.dialect.delimiter_name(),
        });
        if progress.state == JobState::Open {
            body["contentUrl"] = json!(format!("services/data/v{}/jobs/ingest/{}/batches", self.api_version, self.id));
        }
        if let Some((_, name)) = &self.spec.key {
            body["externalIdFieldName"] = json!(name);
        }
        if let Some(rule) = &self.spec.assignment_rule {
            body["assignmentRuleId"] = json!(rule);
        }
        body
    }

    /// What GET answers: the counters too.
    pub(crate) fn long(&self) -> Value {
        let mut body = self.short();
        let progress = self.progress();
        let total = if progress.state.is_terminal() && progress.started > 0 { progress.finished - progress.started } else { 0 };
        body["jobType"] = json!("V2Ingest");
        body["numberRecordsProcessed"] = json!(progress.rows.len());
        body["numberRecordsFailed"] = json!(progress.failed);
        body["retries"] = json!(progress.retries);
        body["totalProcessingTime"] = json!(total);
        body["apiActiveProcessingTime"] = json!(progress.busy_ms);
        body["apexProcessingTime"] = json!(0);
        if let Some(error) = &progress.error {
            body["errorMessage"] = json!(error);
        }
        body
    }
}

pub(crate) fn instant(ms: i64) -> String {
    value::json_instant(&value::format_instant(ms))
}

/// `apiVersion` is a JSON number.
pub(crate) fn version_number(version: &str) -> Value {
    json!(version.parse::<f64>().unwrap_or(66.0))
}
