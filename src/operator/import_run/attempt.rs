//! How a worker comes into the world: the attempt in status with the digest of what it works from, then the anchor, then the pod, then the
//! pod's UID in status. A crash between any two leaves something that the next look recognises: what is announced is made again from the
//! same facts; an anchor is used if it is the announced one; an attempt without pod UID is joined to its pod or gets one; only a pod whose
//! UID is recorded has authority.

use std::sync::Arc;
use std::time::Duration;

use api::ImportRun;
use api::import_run::RunReason;
use api::names;
use api::reasons::import_run as reasons;
use domain::finding::Finding;
use domain::import_run::plan::{AnchorText, pod};
use domain::import_run::{self, Frozen, Observed, Placed, PodFacts, Record, RunState};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::ResourceExt;
use runtime::store::ObjectKey;
use runtime::work::Next;

use super::anchor::{self, Made};
use super::{finish, report, unread, write};
use crate::operator::context::{Context, ReconcileError, next, remember};
use crate::operator::installation;

/// A pod that the server refuses (quota, admission) is tried again after this time.
const REFUSED_RETRY: Duration = Duration::from_secs(30);
const QUOTA_RETRY: Duration = Duration::from_secs(2);
/// What changed while it was looked at is looked at again after this time.
const CHANGED_RETRY: Duration = Duration::from_millis(500);

/// The first attempt, when its turn has come.
pub(super) async fn announce(
    context: &Context,
    key: &ObjectKey,
    observed: &Observed,
    placed: &Placed,
    now: Timestamp,
) -> Result<Next, ReconcileError> {
    let run = &observed.run;
    let record = Record::of(run.status.as_ref());
    if let Some(finding) = context.places.ask(run, placed.tenant())? {
        // Looked at once more when it is too late to start.
        let finding = finding.again_in(run.spec.start_before.0.duration_since(now).unsigned_abs());
        return report(context, key, run, record, &finding, now).await.map(|_| next(&finding));
    }
    // Written down before it is made: what somebody else put under its name is not taken for it.
    let text = match anchor::text(context, observed, placed, now).await? {
        Some(Ok(text)) => text,
        Some(Err(error)) => return finish(context, key, run, record, RunReason::PreflightFailed, &error.to_string(), now).await,
        None => return Ok(Next::After(CHANGED_RETRY)), // something went or changed since the rules were asked
    };
    let record = record.announce(text.digest(), placed.placement(), now);
    let announced = write(context, key, run, &import_run::status(run, record, &import_run::starting(), now)).await?;
    make_anchor(context, key, observed, placed, &announced, Some(text), now).await
}

/// A further attempt.
pub(super) async fn announce_next(
    context: &Context,
    key: &ObjectKey,
    run: &Arc<ImportRun>,
    placed: &Placed,
    frozen: &Arc<Frozen>,
    now: Timestamp,
) -> Result<Next, ReconcileError> {
    let record = Record::of(run.status.as_ref()).announce(frozen.digest.clone(), placed.placement(), now);
    let announcement = import_run::status(run, record, &import_run::starting(), now);
    let (announced, keeper_ca) = tokio::join!(write(context, key, run, &announcement), keeper_ca(context));
    make_pod(context, key, &announced?, placed, frozen, keeper_ca?, now).await
}

/// What the run works from, as it was announced. `known`: the text, from the step that announced it just now.
pub(super) async fn make_anchor(
    context: &Context,
    key: &ObjectKey,
    observed: &Observed,
    placed: &Placed,
    run: &Arc<ImportRun>,
    known: Option<AnchorText>,
    now: Timestamp,
) -> Result<Next, ReconcileError> {
    let record = Record::of(run.status.as_ref());
    let began = run.status.as_ref().and_then(|s| s.started_at.as_ref()).map_or(now, |t| t.0);
    let text = match known {
        Some(text) => Some(Ok(text)),
        // After a crash: the same facts and the same second give the same text.
        None => anchor::text(context, observed, placed, began).await?,
    };
    let text = match text {
        Some(Ok(text)) => text,
        Some(Err(error)) => return finish(context, key, run, record, RunReason::PreflightFailed, &error.to_string(), now).await,
        None => return Ok(Next::After(CHANGED_RETRY)),
    };
    if Some(&text.digest()) != anchor::announced(run) {
        // It was never made, and what it is made from is not the same any more.
        let Some(Ok(text)) = anchor::text(context, observed, placed, now).await? else { return Ok(Next::After(CHANGED_RETRY)) };
        report(context, key, run, record.announced_anew(text.digest(), now), &import_run::starting(), now).await?;
        return Ok(Next::After(Duration::ZERO));
    }
    let (made, keeper_ca) = tokio::join!(anchor::make(context, placed, &text), keeper_ca(context));
    match made {
        Ok(Made::Snapshot(frozen)) => make_pod(context, key, run, placed, &frozen, keeper_ca?, now).await,
        // Whose it is, the next look tells.
        Ok(Made::Taken) => Ok(Next::After(Duration::ZERO)),
        Err(ReconcileError::Write(error)) if error.is_refusal() => {
            let why = error.server_message().unwrap_or("no reason given");
            let finding =
                Finding::waiting(reasons::SNAPSHOT_REFUSED, format!("the run's snapshot was refused: {why}")).again_in(REFUSED_RETRY);
            report(context, key, run, record, &finding, now).await.map(|_| next(&finding))
        }
        Err(error) => Err(error),
    }
}

/// Whom the next worker trusts. Asked for each pod: an authority that the keeper made since the last one is trusted from the first worker on
/// that may need it.
pub(super) async fn keeper_ca(context: &Context) -> Result<Option<String>, ReconcileError> {
    let public = public_map(context);
    let maps = context.writer.namespaced::<ConfigMap>(&public);
    installation::keeper_ca(&maps).await.map_err(|error| unread("ConfigMap", &public, error))
}

fn public_map(context: &Context) -> ObjectKey {
    ObjectKey::namespaced(&context.settings.system_namespace, names::PUBLIC_CONFIGMAP)
}

/// Makes the pod of the announced attempt, or finds it, and records its UID.
pub(super) async fn make_pod(
    context: &Context,
    key: &ObjectKey,
    run: &Arc<ImportRun>,
    placed: &Placed,
    frozen: &Frozen,
    keeper_ca: Option<String>,
    now: Timestamp,
) -> Result<Next, ReconcileError> {
    let record = Record::of(run.status.as_ref());
    let RunState::Announced(attempt) = RunState::of(run.status.as_ref()) else { return Ok(Next::After(Duration::ZERO)) };
    let Some(keeper_ca) = keeper_ca else {
        let public = public_map(context);
        let why = format!("ConfigMap {public} says not whom a worker may trust: the keeper writes {} into it", names::PUBLIC_CA_KEY);
        let finding = Finding::waiting(reasons::KEEPER_NOT_PUBLISHED, why).again_in(REFUSED_RETRY);
        return report(context, key, run, record, &finding, now).await.map(|_| next(&finding));
    };
    let wanted = pod(placed, frozen, attempt.number, &keeper_ca, &context.settings);
    let made = match create(context, &wanted, attempt.number, placed, frozen).await {
        Ok(made) => made,
        Err(ReconcileError::Write(error)) if error.is_refusal() => {
            let why = error.server_message().unwrap_or("no reason given");
            // The API server counts pods with some delay.
            let retry = if why.contains("exceeded quota") { QUOTA_RETRY } else { REFUSED_RETRY };
            let finding = Finding::waiting(reasons::POD_REFUSED, format!("the worker pod was refused: {why}")).again_in(retry);
            return report(context, key, run, record, &finding, now).await.map(|_| next(&finding));
        }
        Err(error) => return Err(error),
    };
    let facts = PodFacts::of(&made)?;
    remember(&context.caches.pods, made);
    let record = record.joined(facts.uid.as_str());
    let record = facts.node.iter().fold(record, |record, node| record.placed_on(node));
    report(context, key, run, record, &import_run::starting(), now).await?;
    Ok(Next::After(Duration::ZERO))
}

/// A pod of that name is ours only if labels and owner say so.
async fn create(context: &Context, wanted: &Pod, number: i32, placed: &Placed, frozen: &Frozen) -> Result<Pod, ReconcileError> {
    let key = ObjectKey::of(wanted);
    let api = context.writer.namespaced::<Pod>(&key);
    match context.writer.create(&api, wanted).await {
        Ok(pod) => Ok(pod),
        Err(error) if error.is_conflict() => {
            let found = api.get(&key.name).await.map_err(|error| unread("Pod", &key, error))?;
            let owned = found.owner_references().iter().any(|owner| owner.uid == frozen.anchor.uid.as_str());
            if owned && PodFacts::of(&found)?.belongs_to(placed.run_uid(), number) {
                Ok(found)
            } else {
                Err(ReconcileError::Foreign { kind: "Pod", key })
            }
        }
        Err(error) => Err(error.into()),
    }
}
