//! What the org is asked before anything is sent.

use api::import_job::{ImportJobSpec, SalesforceTarget};
use api::import_run::RunReason;
use salesforce::{Client, Describe};

use super::{Refusal, target};
use crate::pipeline;

/// Whether the object is there, and what its fields are.
pub(super) async fn describe(client: &Client, target: &SalesforceTarget) -> Result<Describe, Refusal> {
    client.describe(&target.object).await.map_err(|error| target::refusal(&target.object, &error))
}

/// Whether the org has calls left for us, as far as its last answer told.
pub(super) fn within_budget(client: &Client, percent: u8) -> Result<(), Refusal> {
    match client.usage() {
        Some(usage) if usage.exceeds(percent) => {
            let text =
                format!("{} of the org's {} API calls of the day are used, more than the budget of {percent} %", usage.used, usage.max);
            Err(Refusal::new(RunReason::QuotaExceeded, text))
        }
        _ => Ok(()),
    }
}

/// One call for each object that the job looks for parents in. One that this user may not see stays unchecked.
pub(super) async fn parents(client: &Client, spec: &ImportJobSpec, describe: &Describe) -> Result<Vec<Describe>, Refusal> {
    let mut parents = Vec::new();
    for object in pipeline::parents(spec, describe) {
        match client.describe(&object).await {
            Ok(parent) => parents.push(parent),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(target::refusal(&object, &error)),
        }
    }
    Ok(parents)
}
