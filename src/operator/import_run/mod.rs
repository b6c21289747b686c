//! ImportRun: observe → decide → plan → apply → report.

mod anchor;
mod attempt;
mod observe;

use api::ImportRun;
use api::import_run::{ImportRunStatus, RunReason};
use api::reasons::import_run as reasons;
use domain::finding::Finding;
use domain::import_run::{self, Anchor, Decision, Record, RunState};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use runtime::store::ObjectKey;
use runtime::work::Next;
use std::sync::Arc;
use std::time::Duration;

pub(super) use anchor::Snapshots;

use super::context::{Context, ReconcileError, next, remember};

pub(super) async fn reconcile(context: &Context, key: &ObjectKey) -> Result<Next, ReconcileError> {
    let Some(observed) = observe::observe(context, key).await? else { return Ok(Next::Idle) };
    let now = Timestamp::now();
    let run = &observed.run;
    let record = Record::of(run.status.as_ref());
    let decision = import_run::decide(&observed, now);
    if RunState::of(run.status.as_ref()) == RunState::Fresh && !matches!(decision, Decision::Announce(_)) {
        context.places.withdraw(run);
    }
    match decision {
        Decision::Leave => Ok(Next::Idle),
        Decision::CleanUp(anchor) => clean_up(context, &anchor).await,
        Decision::Report(finding) => report(context, key, run, record, &finding, now).await.map(|_| next(&finding)),
        Decision::NoteNode { node, finding } => {
            report(context, key, run, record.placed_on(&node), &finding, now).await.map(|_| next(&finding))
        }
        Decision::Announce(placed) => attempt::announce(context, key, &observed, &placed, now).await,
        Decision::MakeAnchor(placed) => attempt::make_anchor(context, key, &observed, &placed, run, None, now).await,
        Decision::RemovePlanted(planted) => anchor::remove_planted(context, run, &planted).await.map(|()| Next::After(Duration::ZERO)),
        Decision::AnnounceNext(placed, frozen) => attempt::announce_next(context, key, run, &placed, &frozen, now).await,
        Decision::MakePod(placed, frozen) => {
            let keeper_ca = attempt::keeper_ca(context).await?;
            attempt::make_pod(context, key, run, &placed, &frozen, keeper_ca, now).await
        }
        Decision::EndAttempt(ending) => {
            tracing::info!(reason = ending.reason, counted = ending.counted, "attempt ended");
            context.events.warning(run.as_ref(), ending.reason, &ending.message).await;
            let finding = Finding::progressing(reasons::ATTEMPT_ENDED, format!("{}: {}", ending.reason, ending.message));
            report(context, key, run, record.ended(&ending, now), &finding, now).await?;
            Ok(Next::After(Duration::ZERO))
        }
        Decision::Finish { reason, message, ending } => {
            let record = ending.iter().fold(record, |record, ending| record.ended(ending, now));
            finish(context, key, run, record, reason, &message, now).await
        }
    }
}

async fn finish(
    context: &Context,
    key: &ObjectKey,
    run: &Arc<ImportRun>,
    record: Record,
    reason: RunReason,
    message: &str,
    now: Timestamp,
) -> Result<Next, ReconcileError> {
    let status = import_run::finished(run, record, reason, message, now);
    write(context, key, run, &status).await?;
    tracing::info!(%reason, "run finished");
    // Of a run that went well the status says everything; an event would be one write more for each.
    if !reason.is_success() {
        context.events.warning(run.as_ref(), &reason.to_string(), message).await;
    }
    Ok(Next::After(Duration::ZERO))
}

/// The garbage collector takes the pods with their anchor.
async fn clean_up(context: &Context, anchor: &Anchor) -> Result<Next, ReconcileError> {
    let key = ObjectKey::namespaced(&anchor.namespace, &anchor.name);
    context.writer.delete(&context.writer.namespaced::<ConfigMap>(&key), &key, &anchor.uid).await?;
    context.caches.anchors.remove(&key, Some(anchor.uid.as_str()));
    Ok(Next::Idle)
}

async fn report(
    context: &Context,
    key: &ObjectKey,
    run: &Arc<ImportRun>,
    record: Record,
    finding: &Finding,
    now: Timestamp,
) -> Result<Arc<ImportRun>, ReconcileError> {
    let status = import_run::status(run, record, finding, now);
    if run.status.as_ref().map(import_run::owned_part).unwrap_or_default() == status {
        return Ok(run.clone());
    }
    write(context, key, run, &status).await
}

/// Always with the version that was looked at. If anybody wrote since, we look again: before a pod exists, and before an attempt that
/// another operator announced is written out of the list by one whose watch lags behind.
async fn write(context: &Context, key: &ObjectKey, seen: &ImportRun, status: &ImportRunStatus) -> Result<Arc<ImportRun>, ReconcileError> {
    let api: Api<ImportRun> = context.writer.namespaced(key);
    let version = seen.metadata.resource_version.as_deref();
    let written = context.writer.apply_status(&api, key, version, status).await?;
    remember(&context.caches.runs, written.clone());
    Ok(Arc::new(written))
}

pub(super) fn unread(kind: &'static str, key: &ObjectKey, error: kube::Error) -> ReconcileError {
    ReconcileError::Read { kind, key: key.clone(), source: Box::new(error) }
}
