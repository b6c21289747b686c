//! What a Bulk 2.0 ingest job is, as Salesforce tells it.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

/// Id of a Bulk 2.0 job: 15 or 18 letters and digits, so it can stand in a path as it is.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct JobId(String);

/// The text is not a job id.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a salesforce job id: expected 15 or 18 letters and digits")]
pub struct NotAJobId;

impl JobId {
    /// The id as Salesforce writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for JobId {
    type Err = NotAJobId;

    fn from_str(text: &str) -> Result<Self, NotAJobId> {
        let shaped = matches!(text.len(), 15 | 18) && text.bytes().all(|b| b.is_ascii_alphanumeric());
        shaped.then(|| Self(text.to_owned())).ok_or(NotAJobId)
    }
}

impl<'de> Deserialize<'de> for JobId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What a job does with its rows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Operation {
    /// Creates a record of each row.
    Insert,
    /// Changes the records that the column `Id` names.
    Update,
    /// Changes the record whose field has the row's value, or creates one where there is none.
    Upsert {
        /// API name of the field, which must be a column of the CSV; `Id` is allowed.
        external_id_field: String,
    },
    /// Moves the records to the recycle bin. The only column is `Id`.
    Delete,
}

impl Operation {
    pub(crate) fn wire_name(&self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Upsert { .. } => "upsert",
            Self::Delete => "delete",
        }
    }
}

/// A job to be made. The CSV is always UTF-8 without byte-order mark, separated by commas, lines ended by LF.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewJob {
    /// API name of the object that rows are records of.
    pub object: String,
    /// What is done with the rows.
    pub operation: Operation,
}

impl NewJob {
    pub(crate) fn body(&self) -> serde_json::Value {
        let mut body = serde_json::json!({
            "object": self.object,
            "operation": self.operation.wire_name(),
            "contentType": "CSV",
            "lineEnding": "LF",
            "columnDelimiter": "COMMA",
        });
        if let Operation::Upsert { external_id_field } = &self.operation {
            body["externalIdFieldName"] = external_id_field.as_str().into();
        }
        body
    }
}

/// How far a job is. The names are Salesforce's.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum JobState {
    /// Takes data; inert until closed.
    Open,
    /// Closed: the commit point has passed.
    UploadComplete,
    /// Being processed: rows are written.
    InProgress,
    /// Processed. Rows may have failed all the same.
    JobComplete,
    /// Stopped by Salesforce. Rows may be written, failed or never tried.
    Failed,
    /// Stopped by a person or by us. Rows may be written, failed or never tried.
    Aborted,
}

impl JobState {
    /// No further change will come.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::JobComplete | Self::Failed | Self::Aborted)
    }

    /// Salesforce processes the data, or has done so. `Aborted` does not tell: a job may be aborted before and after its commit.
    pub fn shows_commit(self) -> bool {
        matches!(self, Self::UploadComplete | Self::InProgress | Self::JobComplete | Self::Failed)
    }
}

/// A job as Salesforce tells it. Creating and closing answer the short form: the counters are then zero.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct JobInfo {
    /// Id of the job.
    pub id: JobId,
    /// How far it is.
    pub state: JobState,
    /// API name of the object that its rows are records of.
    pub object: String,
    /// `insert`, `update`, `upsert` or `delete`; others for jobs that other programs made.
    pub operation: String,
    /// Of an upsert: the field that it matches by.
    #[serde(default)]
    pub external_id_field_name: Option<String>,
    /// Id of the user who made it.
    #[serde(default)]
    pub created_by_id: Option<String>,
    /// When it was made.
    #[serde(default, deserialize_with = "timestamp")]
    pub created_date: Option<Timestamp>,
    /// When it last changed.
    #[serde(default, deserialize_with = "timestamp")]
    pub system_modstamp: Option<Timestamp>,
    /// Rows processed so far, failed ones included.
    #[serde(default)]
    pub number_records_processed: u64,
    /// Rows refused so far.
    #[serde(default)]
    pub number_records_failed: u64,
    /// How often Salesforce tried a batch again, for example after lock contention.
    #[serde(default)]
    pub retries: u32,
    /// Milliseconds of server time; zero until the end.
    #[serde(default)]
    pub total_processing_time: u64,
    /// Why a job is `Failed`.
    #[serde(default)]
    pub error_message: Option<String>,
}

impl JobInfo {
    /// Rows written: the processed ones include the failed ones.
    pub fn number_records_succeeded(&self) -> u64 {
        self.number_records_processed.saturating_sub(self.number_records_failed)
    }
}

/// `2022-01-02T21:33:43.000+0000`: the offset has no colon. A date of another shape is treated as absent: it only serves the janitor.
fn timestamp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| Timestamp::strptime("%Y-%m-%dT%H:%M:%S%.f%z", &text).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_official_job_example_is_read() {
        let job: JobInfo = serde_json::from_str(
            r#"{"id":"7505fEXAMPLE4C2AAM","operation":"insert","object":"Account","createdById":"0055fEXAMPLEtG4AAM",
            "createdDate":"2022-01-02T21:33:43.000+0000","systemModstamp":"2022-01-02T21:38:31.000+0000","state":"JobComplete",
            "concurrencyMode":"Parallel","contentType":"CSV","apiVersion":66.0,"jobType":"V2Ingest","lineEnding":"LF","columnDelimiter":"COMMA",
            "numberRecordsProcessed":7,"numberRecordsFailed":2,"retries":0,"totalProcessingTime":886,"apiActiveProcessingTime":813,"apexProcessingTime":619}"#,
        )
        .unwrap();
        assert_eq!(job.id.as_str(), "7505fEXAMPLE4C2AAM");
        assert_eq!(job.state, JobState::JobComplete);
        assert_eq!(job.number_records_succeeded(), 5);
        assert_eq!(job.created_date, Some("2022-01-02T21:33:43Z".parse().unwrap()));
        assert_eq!(job.error_message, None);
    }

    #[test]
    fn an_id_that_could_leave_its_path_segment_is_no_job_id() {
        assert_eq!("750R0000000/../1".parse::<JobId>(), Err(NotAJobId));
        assert_eq!("".parse::<JobId>(), Err(NotAJobId));
        assert!("750R0000000zlh9".parse::<JobId>().is_ok());
        assert!(serde_json::from_str::<JobId>("\"../../../../x/y/zz\"").is_err());
    }

    #[test]
    fn only_an_upsert_names_an_external_id_field() {
        let upsert = NewJob { object: "Account".into(), operation: Operation::Upsert { external_id_field: "Icao__c".into() } };
        assert_eq!(upsert.body()["externalIdFieldName"], "Icao__c");
        let insert = NewJob { object: "Account".into(), operation: Operation::Insert };
        assert!(insert.body().get("externalIdFieldName").is_none());
        assert_eq!(insert.body()["lineEnding"], "LF");
    }

    #[test]
    fn open_and_aborted_do_not_prove_a_commit() {
        assert!(!JobState::Open.shows_commit());
        assert!(!JobState::Aborted.shows_commit());
        assert!(JobState::UploadComplete.shows_commit() && JobState::InProgress.shows_commit());
        assert!(JobState::Failed.is_terminal() && !JobState::InProgress.is_terminal());
    }
}
