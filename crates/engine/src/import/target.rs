//! The Salesforce side of a job.

use api::import_job::{Operation, SalesforceTarget};
use api::import_run::RunReason;
use salesforce::bulk::{self, NewJob};
use salesforce::{Class, Error};

use super::Refusal;

pub(super) fn new_job(target: &SalesforceTarget) -> NewJob {
    let operation = match target.operation {
        Operation::Insert => bulk::Operation::Insert,
        Operation::Update => bulk::Operation::Update,
        Operation::Upsert => bulk::Operation::Upsert { external_id_field: target.match_by.first().cloned().unwrap_or_default() },
        Operation::Delete => bulk::Operation::Delete,
    };
    NewJob { object: target.object.clone(), operation }
}

/// What it means that an object cannot be described.
pub(super) fn refusal(object: &str, error: &Error) -> Refusal {
    // With the host, which its innermost cause does not know.
    let text = match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    match error.class() {
        _ if error.is_not_found() => {
            Refusal::new(RunReason::PreflightFailed, format!("target: the org has no object {object}, or this user may not see it"))
        }
        Class::Auth => Refusal::new(RunReason::AuthorizationFailed, text),
        // A server that we do not trust, or may not dial, was shown no credential.
        _ if matches!(error, Error::Network { .. }) => Refusal::new(RunReason::TargetFailed, text),
        Class::Permanent if error.status().is_none() || matches!(error, Error::Login { .. }) => {
            Refusal::new(RunReason::AuthorizationFailed, text)
        }
        Class::Quota => Refusal::new(RunReason::QuotaExceeded, text),
        _ => Refusal::new(RunReason::TargetFailed, text),
    }
}
