//! ImportJob: observe → decide → plan → apply → report. Its only child is an ImportRun under a name that is the same every time.

use api::conditions::{self, STALLED};
use api::reasons::import_job as reasons;
use api::{ImportJob, NamespaceName, Uid, names};
use domain::finding::Finding;
use domain::import_job::{self, Observed, Start, plan};
use domain::labels;
use jiff::Timestamp;
use runtime::store::ObjectKey;
use runtime::work::Next;

use std::time::Duration;

use super::context::{Context, ReconcileError, next, remember};

/// A run that the server refuses (quota, admission) is tried again after this time.
const REFUSED_RETRY: Duration = Duration::from_secs(30);

pub(super) async fn reconcile(context: &Context, key: &ObjectKey) -> Result<Next, ReconcileError> {
    let Some(mut observed) = observe(context, key)? else { return Ok(Next::Idle) };
    let now = Timestamp::now();
    let mut decision = import_job::decide(&observed, now);
    if let Some(start) = decision.start.take() {
        match apply(context, &observed.job, &observed.uid, &start).await {
            Err(ReconcileError::Write(error)) if error.is_refusal() => {
                let why = error.server_message().unwrap_or("no reason given");
                let finding = Finding::waiting(reasons::RUN_REFUSED, format!("its run cannot be created: {why}")).again_in(REFUSED_RETRY);
                let refused = import_job::Decision { finding, start: None, next_run_at: observed.announced() };
                report(context, key, &observed, &refused, now).await?;
                return Ok(next(&refused.finding));
            }
            applied => applied?,
        }
        // What was created (or found) decides what is reported.
        observed = observe(context, key)?.unwrap_or(observed);
        let after = import_job::decide(&observed, now);
        decision = import_job::Decision { start: None, ..after };
    }
    report(context, key, &observed, &decision, now).await?;
    Ok(next(&decision.finding))
}

fn observe(context: &Context, key: &ObjectKey) -> Result<Option<Observed>, ReconcileError> {
    let caches = &context.caches;
    let Some(job) = caches.jobs.get(key).filter(|job| job.metadata.deletion_timestamp.is_none()) else { return Ok(None) };
    let uid = Uid::of(job.as_ref())?;
    let at = NamespaceName::of(job.as_ref())?;
    let namespace = at.as_str();
    let tenant = caches.tenant_of(namespace);
    let connections = job.spec.connection_names().into_iter().filter_map(|name| {
        let connection = caches.connections.get(&ObjectKey::namespaced(namespace, name))?;
        Some((name.to_owned(), connection))
    });
    let upload = job.spec.source.upload().and_then(|u| caches.uploads.get(&ObjectKey::namespaced(namespace, &u.name)));
    let once_run = import_job::once_name(&job).and_then(|name| caches.runs.get(&ObjectKey::namespaced(namespace, name)));
    Ok(Some(Observed {
        region: tenant.as_ref().and_then(|t| caches.region(&t.spec.region)),
        connections: connections.collect(),
        upload,
        runs: caches.runs_of(namespace, uid.as_str()),
        once_run,
        tenant,
        job,
        uid,
        namespace: at.clone(),
    }))
}

/// A conflict means that the run is there already, from before a crash or from a former job.
async fn apply(context: &Context, job: &ImportJob, uid: &Uid, start: &Start) -> Result<(), ReconcileError> {
    let run = plan::import_run(job, uid, start);
    let key = ObjectKey::of(&run);
    let api = context.writer.namespaced::<api::ImportRun>(&key);
    let run = match context.writer.create(&api, &run).await {
        Ok(created) => {
            tracing::info!(run = %key, job = names::label_value(labels::name(&job.metadata)), "run created");
            created
        }
        Err(error) if error.is_conflict() => api.get(&key.name).await.map_err(|source| ReconcileError::Read {
            kind: "ImportRun",
            key: key.clone(),
            source: Box::new(source),
        })?,
        Err(error) => return Err(error.into()),
    };
    remember(&context.caches.runs, run);
    Ok(())
}

async fn report(
    context: &Context,
    key: &ObjectKey,
    observed: &Observed,
    decision: &import_job::Decision,
    now: Timestamp,
) -> Result<(), ReconcileError> {
    let status = import_job::status(observed, decision, now);
    let before = observed.job.status.clone().unwrap_or_default();
    if import_job::owned_part(&before) == status {
        return Ok(());
    }
    let api = context.writer.namespaced::<ImportJob>(key);
    // By version: two that both believe to lead must not tell the same turn at two times.
    let version = observed.job.metadata.resource_version.as_deref();
    remember(&context.caches.jobs, context.writer.apply_status(&api, key, version, &status).await?);
    if conditions::is_true(&status.conditions, STALLED) && !conditions::is_true(&before.conditions, STALLED) {
        context.events.warning(observed.job.as_ref(), decision.finding.reason, &decision.finding.message).await;
    }
    Ok(())
}
