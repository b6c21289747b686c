//! The operator's part of an ImportJob's status; nobody else writes there.

use api::conditions::{self, Conditions, LAST_RUN_SUCCEEDED, SUCCEEDED};
use api::import_job::{BlankCells, EffectiveJob, ImportJobSpec, ImportJobStatus, LastRun, SalesforceTarget};
use api::tenant::ResultRetention;
use api::{ImportJob, Uid};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::rules::{When, when};
use super::{Decision, Observed};
use crate::import_run::is_finished;
use crate::{labels, retention};

/// What the operator wrote last time: all of it.
pub fn owned_part(status: &ImportJobStatus) -> ImportJobStatus {
    status.clone()
}

/// The status that the operator writes after a look: the decision in words, and how the last runs ended.
pub fn status(o: &Observed, decision: &Decision, now: Timestamp) -> ImportJobStatus {
    let job: &ImportJob = &o.job;
    let previous = job.status.clone().unwrap_or_default();
    let from = Conditions::from(&previous.conditions, job.metadata.generation, now);
    let conditions = last_outcome(o, decision.finding.mark(from));
    let last_run = o.last_run().and_then(|run| {
        Some(LastRun {
            name: labels::name(&run.metadata).to_owned(),
            uid: Uid::of_meta(&run.metadata)?.into(),
            finished_at: run.status.as_ref().and_then(|s| s.finished_at.clone()),
        })
    });
    ImportJobStatus {
        observed_generation: job.metadata.generation,
        conditions: conditions.build(),
        // A deleted run is still the last one there was.
        last_run: last_run.or(previous.last_run),
        next_run_at: decision.next_run_at.map(Time),
        effective: Some(effective(o)),
    }
}

/// How the newest run that ended, ended. Apart from `Ready`: one bad night must not turn a Git tree red.
fn last_outcome(o: &Observed, conditions: Conditions) -> Conditions {
    let newest =
        o.runs.iter().filter(|run| is_finished(run)).max_by_key(|run| run.status.as_ref().and_then(|s| s.finished_at.clone()).map(|t| t.0));
    let succeeded = newest.and_then(|run| run.status.as_ref()).and_then(|s| conditions::find(&s.conditions, SUCCEEDED));
    match succeeded {
        Some(c) if c.status == "True" => conditions.with_true(LAST_RUN_SUCCEEDED, &c.reason, &c.message),
        Some(c) => conditions.with_false(LAST_RUN_SUCCEEDED, &c.reason, &c.message),
        None => conditions.keep(LAST_RUN_SUCCEEDED),
    }
}

fn effective(o: &Observed) -> EffectiveJob {
    let spec = &o.job.spec;
    EffectiveJob {
        trigger: trigger(spec),
        blank_cells: spec.target.salesforce().map_or(BlankCells::Ignore, SalesforceTarget::blank_cells),
        results: results(o),
        deadline_seconds: spec.deadline_seconds(),
        history: Some(spec.history()),
    }
}

/// A namespace without a tenant has no rule yet; the job's wish stands until there is one.
fn results(o: &Observed) -> ResultRetention {
    let rule = o.tenant.as_ref().map_or(ResultRetention::days(retention::DEFAULT_RESULT_DAYS), |t| retention::tenant_rule(&t.spec));
    retention::effective(&rule, o.job.spec.retention().as_ref())
}

/// When runs start, in words.
pub fn trigger(spec: &ImportJobSpec) -> String {
    match when(spec) {
        When::Once(id) => format!("once {id}"),
        When::Manual => "manual".into(),
        When::Schedule(_) => "schedule".into(),
        When::Unknown => "unknown".into(),
    }
}
