//! What a job would stall for, or end with before its first row, as operator and engine say it.

use api::ImportJob;
use api::import_job::ImportJobSpec;
use engine::finding::{Place, PreflightFinding, Problem};
use jiff::Timestamp;

use super::finding::About;

/// All that can be said of a job by itself.
pub(super) fn check(job: &ImportJob, now: Timestamp) -> Vec<About> {
    let refusals = domain::import_job::refusals(&job.spec, now);
    let refusals = refusals.into_iter().map(|(field, finding)| About::error(format!("spec.{field}"), finding.message));
    refusals.chain(engine::check::check(&job.spec).iter().map(|finding| about(&job.spec, finding))).collect()
}

/// A finding of the engine, with the field of the manifest that it speaks of.
pub(super) fn about(spec: &ImportJobSpec, finding: &PreflightFinding) -> About {
    let target = "spec.target.salesforce";
    let field = match &finding.place {
        Place::Step(number) => {
            let part = match &finding.problem {
                Problem::Formula(_) => ".filter",
                Problem::Column(_) => ".dedupe.by",
                _ => "",
            };
            format!("spec.steps[{}]{part}", number.saturating_sub(1))
        }
        Place::Mapping(to) => {
            let entries = spec.target.salesforce().map(|target| target.mapping.as_slice()).unwrap_or_default();
            let at = entries.iter().position(|entry| entry.to == *to).unwrap_or_default();
            let part = match &finding.problem {
                Problem::Formula(_) => ".formula",
                Problem::Column(_) => ".from",
                Problem::Constant(_) => ".value",
                Problem::NumberWithoutColumn | Problem::NumberSigns => ".number",
                Problem::EntryShape => "",
                _ => ".to",
            };
            format!("{target}.mapping[{at}]{part}")
        }
        Place::Target => {
            let part = match &finding.problem {
                Problem::MatchByShape | Problem::NotAKey { .. } | Problem::UnknownField { .. } => ".matchBy",
                Problem::ObjectNotWritable { .. } => ".object",
                Problem::KeyNotMapped { .. } | Problem::DeleteTakesOnlyId | Problem::HeaderTooLong { .. } => ".mapping",
                _ => "",
            };
            format!("{target}{part}")
        }
        Place::Source => match &finding.problem {
            Problem::Zone(_) => "spec.source.timeZone".to_owned(),
            Problem::Format(_) => format!("spec.{}", spec.source.format().map_or("source", |(_, said)| said)),
            _ => "spec.source".to_owned(),
        },
    };
    About::error(field, finding.problem.to_string())
}
