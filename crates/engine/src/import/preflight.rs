//! A job held against its org as a run holds it before its first row. Nothing is sent but questions.

use api::import_job::ImportJobSpec;
use salesforce::Client;

use super::{Refusal, org};
use crate::check;
use crate::finding::PreflightFinding;
use crate::pipeline::{self, Pipeline};

/// What the org's own description of the object says of the job.
#[derive(Debug, Default)]
pub struct Preflight {
    /// What a run would end with before its first row.
    pub findings: Vec<PreflightFinding>,
    /// Fields that Salesforce wants of a new record and that the mapping leaves out.
    pub unset: Vec<String>,
}

/// Why the org could not be asked, or has no such object.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unasked(String);

impl From<Refusal> for Unasked {
    fn from(refusal: Refusal) -> Self {
        Self(refusal.message)
    }
}

/// Compares mapping and steps with the org. The columns of the source are those that the job names itself.
///
/// # Errors
///
/// The org cannot be asked, or its user sees no such object.
pub async fn preflight(client: &Client, spec: &ImportJobSpec) -> Result<Preflight, Unasked> {
    let Some(target) = spec.target.salesforce() else { return Ok(Preflight::default()) };
    let describe = org::describe(client, target).await?;
    let parents = org::parents(client, spec, &describe).await?;
    let findings = Pipeline::compile(spec, &check::header(spec), &describe, &parents).err().unwrap_or_default();
    Ok(Preflight { findings, unset: pipeline::unset(spec, &describe, &parents) })
}
