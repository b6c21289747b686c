//! The part of a run's status that the keeper writes, always all of it.

use api::import_run::{Chunks, ImportRunStatus, Interruption, Outcome, ResultFile, Rows};
use serde::Serialize;

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ours {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rows: Option<Rows>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) chunks: Option<Chunks>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) results: Vec<ResultFile>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) outcome: Option<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) interruption: Option<Interruption>,
}

impl Ours {
    pub(crate) fn of(status: &ImportRunStatus) -> Self {
        Self {
            rows: status.rows,
            chunks: status.chunks.clone(),
            results: status.results.clone(),
            outcome: status.outcome.clone(),
            interruption: status.interruption.clone(),
        }
    }
}
