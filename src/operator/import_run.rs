//! ImportRun: observe → decide → plan → apply → report.
//!
//! The order in which a worker comes into the world: the attempt in status with the digest of what it works from, then the anchor,
//! then the pod, then the pod's UID in status. A crash between any two leaves something the next reconcile recognises: what is
//! announced is made again from the same facts; an anchor is used if it is the announced one; an attempt without pod UID is joined
//! to its pod or gets one; only a pod whose UID is recorded has authority.

use api::import_run::{ImportRunStatus, RunReason};
use api::names;
use api::{ImportRun, Tenant};
use domain::finding::Finding;
use domain::import_run::plan::{AnchorText, pod};
use domain::import_run::{self, Anchor, Crowd, Decision, Observed, Placed, PodFacts, Record, RunNamespaceFacts, State, is_finished};
use domain::labels;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{Api, ResourceExt};
use runtime::store::ObjectKey;
use runtime::work::Next;
use std::sync::Arc;
use std::time::Duration;

use super::anchor::{self, Held};
use super::context::{Context, ReconcileError, next, remember};
use super::installation;

/// A pod that the server refuses (quota, admission) is tried again after this time.
const REFUSED_RETRY: Duration = Duration::from_secs(30);
const QUOTA_RETRY: Duration = Duration::from_secs(2);
/// What changed while it was looked at is looked at again after this time.
const CHANGED_RETRY: Duration = Duration::from_millis(500);

pub(super) async fn reconcile(context: &Context, key: &ObjectKey) -> Result<Next, ReconcileError> {
    let Some(observed) = observe(context, key).await? else { return Ok(Next::Idle) };
    let now = Timestamp::now();
    let run = &observed.run;
    let record = Record::of(run.status.as_ref());
    let decision = import_run::decide(&observed, now);
    if State::of(run.status.as_ref()) == State::Fresh && !matches!(decision, Decision::Start(_)) {
        context.places.withdraw(run);
    }
    match decision {
        Decision::Leave => Ok(Next::Idle),
        Decision::CleanUp => clean_up(context, observed.anchor.as_ref()).await,
        Decision::Report(finding) => report(context, key, run, record, &finding, now).await.map(|_| next(&finding)),
        Decision::NoteNode { node, finding } => {
            report(context, key, run, record.placed_on(&node), &finding, now).await.map(|_| next(&finding))
        }
        Decision::Start(placed) => start(context, key, &observed, &placed, now).await,
        Decision::Join(placed) => join(context, key, &observed, &placed, run, None, now).await,
        Decision::EndAttempt(ending) => {
            tracing::info!(reason = ending.reason, counted = ending.counted, "attempt ended");
            context.events.warning(run.as_ref(), ending.reason, &ending.message).await;
            let finding = Finding::progressing("AttemptEnded", format!("{}: {}", ending.reason, ending.message));
            report(context, key, run, record.ended(&ending, now), &finding, now).await?;
            Ok(Next::After(Duration::ZERO))
        }
        Decision::Finish { reason, message, ending } => {
            let record = ending.iter().fold(record, |record, ending| record.ended(ending, now));
            finish(context, key, run, record, reason, &message, now).await
        }
    }
}

async fn observe(context: &Context, key: &ObjectKey) -> Result<Option<Observed>, ReconcileError> {
    let caches = &context.caches;
    let Some(run) = caches.runs.get(key) else { return Ok(None) };
    let namespace = labels::namespace(&run.metadata);
    let uid = labels::uid(&run.metadata);
    let place = caches.run_namespace_of(&run).map(|place| ObjectKey::namespaced(place, names::snapshot_configmap(uid)));
    let anchor = place.and_then(|key| caches.anchors.get(&key)).map(|a| anchor::of(&a.metadata));
    let job = caches.jobs.get(&ObjectKey::namespaced(namespace, &run.spec.job_ref.name));
    let names_of = |f: &dyn Fn(&api::ImportJobSpec) -> Vec<String>| job.as_ref().map_or(Vec::new(), |job| f(&job.spec));
    let connections = names_of(&|spec| spec.connection_names().into_iter().map(str::to_owned).collect());
    let connections = connections.into_iter().filter_map(|name| {
        let connection = caches.connections.get(&ObjectKey::namespaced(namespace, &name))?;
        Some((name, connection))
    });
    let upload = job.as_ref().and_then(|job| job.spec.source.upload.as_ref());
    let upload = upload.and_then(|u| caches.uploads.get(&ObjectKey::namespaced(namespace, &u.name)));
    let tenant = caches.tenant_of(namespace);
    let run_namespace = tenant.as_ref().and_then(|t| caches.namespaces.get(&ObjectKey::cluster(names::run_namespace(&t.name_any()))));
    let pod = if is_finished(&run) { None } else { current_pod(context, &run).await? };
    Ok(Some(Observed {
        connections: connections.collect(),
        upload,
        region: tenant.as_ref().and_then(|t| caches.region(&t.spec.region)),
        run_namespace: run_namespace.map(|ns| RunNamespaceFacts {
            name: ns.name_any(),
            uid: labels::uid(&ns.metadata).to_owned(),
            terminating: ns.metadata.deletion_timestamp.is_some(),
        }),
        ahead: ahead(context, &run),
        crowd: tenant.as_ref().and_then(|tenant| crowd(context, tenant, &run)),
        tenant,
        job,
        anchor,
        pod,
        run,
    }))
}

/// Absent while the tenant has no more unfinished runs than it may have, which is nearly always.
fn crowd(context: &Context, tenant: &Tenant, run: &ImportRun) -> Option<Crowd> {
    let limit = context.settings.plans.allowance(&tenant.spec).unfinished_runs;
    let held = tenant.status.iter().flat_map(|s| &s.namespaces);
    let unfinished: Vec<_> = held.flat_map(|bound| context.caches.unfinished_runs_in(&bound.name)).collect();
    if unfinished.len() <= limit {
        return None;
    }
    Some(Crowd { before: unfinished.iter().filter(|other| rank(other) < rank(run)).count(), limit })
}

/// Age, then what tells apart those of the same second.
fn rank(run: &ImportRun) -> (Option<Timestamp>, String, String) {
    (run.metadata.creation_timestamp.clone().map(|t| t.0), run.name_any(), run.namespace().unwrap_or_default())
}

/// Another run of the same job that began, or that was created earlier.
fn ahead(context: &Context, run: &ImportRun) -> Option<String> {
    let began = |run: &ImportRun| run.status.as_ref().is_some_and(|s| !s.attempts.is_empty());
    let same_job = context.caches.runs_of(labels::namespace(&run.metadata), &run.spec.job_ref.uid);
    let mut others = same_job.iter().filter(|other| other.metadata.uid != run.metadata.uid && !is_finished(other));
    others.find(|other| began(other) || rank(other) < rank(run)).map(|other| other.name_any())
}

/// The pod of the current attempt. What the watch does not show is looked up live: it may not have arrived, and a pod is not given up on
/// hearsay.
async fn current_pod(context: &Context, run: &ImportRun) -> Result<Option<PodFacts>, ReconcileError> {
    let uid = labels::uid(&run.metadata);
    let number = match State::of(run.status.as_ref()) {
        State::Working { attempt, .. } | State::Announced(attempt) => attempt.number,
        State::Fresh | State::Between(_) => return Ok(None),
    };
    let Some(namespace) = context.caches.run_namespace_of(run) else { return Ok(None) };
    let key = ObjectKey::namespaced(namespace, names::worker_pod(uid, number.unsigned_abs()));
    if let Some(pod) = context.caches.pods.get(&key).map(|pod| PodFacts::of(&pod)).filter(|pod| pod.belongs_to(uid, number)) {
        return Ok(Some(pod));
    }
    let found = context.writer.namespaced::<Pod>(&key).get_opt(&key.name).await.map_err(|error| unread("Pod", &key, error))?;
    Ok(found.as_ref().map(PodFacts::of).filter(|pod| pod.belongs_to(uid, number)))
}

async fn start(context: &Context, key: &ObjectKey, observed: &Observed, placed: &Placed, now: Timestamp) -> Result<Next, ReconcileError> {
    let run = &observed.run;
    let record = Record::of(run.status.as_ref());
    let first = State::of(run.status.as_ref()) == State::Fresh;
    if let Some(finding) = first.then(|| context.places.ask(run, placed.tenant())).flatten() {
        // Looked at once more when it is too late to start.
        let finding = finding.again_in(run.spec.start_before.0.duration_since(now).unsigned_abs());
        return report(context, key, run, record, &finding, now).await.map(|_| next(&finding));
    }
    let (digest, text) = if first {
        // Written down before it is made: what somebody else put under its name is not taken for it.
        match anchor::text(context, observed, placed, now).await? {
            Some(Ok(text)) => (text.digest(), Some(text)),
            Some(Err(error)) => return finish(context, key, run, record, RunReason::PreflightFailed, &error.to_string(), now).await,
            None => return Ok(Next::After(CHANGED_RETRY)), // something went or changed since the rules were asked
        }
    } else {
        // A run goes on from the snapshot it began with, or not at all.
        match anchor::find(context, placed).await?.and_then(|found| found.digest) {
            Some(digest) if Some(&digest) == anchor::announced(run) => (digest, None),
            _ => return lose_snapshot(context, key, run, record, now).await,
        }
    };
    let record = record.announce(digest, placed.placement(), now);
    let finding = import_run::starting();
    let status = import_run::status(run, record, &finding, now);
    let announced = write(context, key, run, &status).await?;
    join(context, key, observed, placed, &announced, text, now).await
}

/// Makes the pod of the announced attempt, or finds it, and records its UID.
async fn join(
    context: &Context,
    key: &ObjectKey,
    observed: &Observed,
    placed: &Placed,
    run: &Arc<ImportRun>,
    text: Option<AnchorText>,
    now: Timestamp,
) -> Result<Next, ReconcileError> {
    let record = Record::of(run.status.as_ref());
    let State::Announced(attempt) = State::of(run.status.as_ref()) else { return Ok(Next::After(Duration::ZERO)) };
    let anchor = match anchor::hold(context, observed, placed, run, attempt.number, text).await {
        Ok(Held::Anchor(anchor)) => anchor,
        Ok(Held::Lost) => return lose_snapshot(context, key, run, record, now).await,
        Ok(Held::Changed) => {
            let Some(text) = anchor::text(context, observed, placed, now).await? else { return Ok(Next::After(CHANGED_RETRY)) };
            let digest = match text {
                Ok(text) => text.digest(),
                Err(error) => return finish(context, key, run, record, RunReason::PreflightFailed, &error.to_string(), now).await,
            };
            report(context, key, run, record.announced_anew(digest, now), &import_run::starting(), now).await?;
            return Ok(Next::After(Duration::ZERO));
        }
        Err(ReconcileError::Write(error)) if error.is_refusal() => {
            let why = error.server_message().unwrap_or("no reason given");
            let finding = Finding::waiting("SnapshotRefused", format!("the run's snapshot was refused: {why}")).again_in(REFUSED_RETRY);
            return report(context, key, run, record, &finding, now).await.map(|_| next(&finding));
        }
        Err(error) => return Err(error),
    };
    let reads_postgres = observed.job.as_ref().is_some_and(|job| job.spec.source.sql.is_some());
    // Asked for each pod: an authority that the keeper made since the last one is trusted from the first worker on that may need it.
    let public = ObjectKey::namespaced(&context.settings.system_namespace, names::PUBLIC_CONFIGMAP);
    let maps = context.writer.namespaced::<ConfigMap>(&public);
    let Some(keeper_ca) = installation::keeper_ca(&maps).await.map_err(|error| unread("ConfigMap", &public, error))? else {
        let why = format!("ConfigMap {public} says not whom a worker may trust: the keeper writes {} into it", names::PUBLIC_CA_KEY);
        let finding = Finding::waiting("KeeperNotPublished", why).again_in(REFUSED_RETRY);
        return report(context, key, run, record, &finding, now).await.map(|_| next(&finding));
    };
    let wanted = pod(placed, &anchor, attempt.number, reads_postgres, &keeper_ca, &context.settings);
    let made = match make_pod(context, &wanted, attempt.number, placed, &anchor).await {
        Ok(made) => made,
        Err(ReconcileError::Write(error)) if error.is_refusal() => {
            let why = error.server_message().unwrap_or("no reason given");
            // The API server counts pods with some delay.
            let retry = if why.contains("exceeded quota") { QUOTA_RETRY } else { REFUSED_RETRY };
            let finding = Finding::waiting("PodRefused", format!("the worker pod was refused: {why}")).again_in(retry);
            return report(context, key, run, record, &finding, now).await.map(|_| next(&finding));
        }
        Err(error) => return Err(error),
    };
    let facts = PodFacts::of(&made);
    remember(&context.caches.pods, made);
    let record = record.joined(&facts.uid);
    let record = facts.node.iter().fold(record, |record, node| record.placed_on(node));
    let finding = import_run::starting();
    report(context, key, run, record, &finding, now).await?;
    Ok(Next::After(Duration::ZERO))
}

/// A pod of that name is ours only if labels and owner say so.
async fn make_pod(context: &Context, wanted: &Pod, number: i32, placed: &Placed, anchor: &Anchor) -> Result<Pod, ReconcileError> {
    let key = ObjectKey::of(wanted);
    let api = context.writer.namespaced::<Pod>(&key);
    match context.writer.create(&api, wanted).await {
        Ok(pod) => Ok(pod),
        Err(error) if error.is_conflict() => {
            let found = api.get(&key.name).await.map_err(|error| unread("Pod", &key, error))?;
            let owned = found.owner_references().iter().any(|owner| owner.uid == anchor.uid);
            if owned && PodFacts::of(&found).belongs_to(placed.run_uid(), number) {
                Ok(found)
            } else {
                Err(ReconcileError::Foreign { kind: "Pod", key })
            }
        }
        Err(error) => Err(error.into()),
    }
}

async fn lose_snapshot(
    context: &Context,
    key: &ObjectKey,
    run: &Arc<ImportRun>,
    record: Record,
    now: Timestamp,
) -> Result<Next, ReconcileError> {
    let message = "the snapshot this run works from is gone or differs from its digest: create another ImportRun";
    finish(context, key, run, record, RunReason::Internal, message, now).await
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
async fn clean_up(context: &Context, anchor: Option<&Anchor>) -> Result<Next, ReconcileError> {
    if let Some(anchor) = anchor {
        let key = ObjectKey::namespaced(&anchor.namespace, &anchor.name);
        context.writer.delete(&context.writer.namespaced::<ConfigMap>(&key), &key, Some(&anchor.uid)).await?;
        context.caches.anchors.remove(&key, Some(&anchor.uid));
    }
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
