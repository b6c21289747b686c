//! ImportRun: observe → decide → plan → apply → report.
//!
//! The order in which a worker comes into the world: anchor, then the attempt in status, then the pod, then the pod's UID in
//! status. A crash between any two leaves something the next reconcile recognises: an anchor without attempt is used; an
//! attempt without pod UID is joined to its pod or gets one; only a pod whose UID is recorded has authority.

use api::import_run::{ImportRunStatus, RunReason};
use api::names::{self, RUN_UID_LABEL, SNAPSHOT_KEY};
use api::{ImportRun, Tenant};
use domain::finding::Finding;
use domain::import_run::plan::{AnchorText, anchor, pod, snapshot};
use domain::import_run::{self, Anchor, Crowd, Decision, Observed, Placed, PodFacts, Record, RunNamespaceFacts, State, is_finished};
use domain::labels;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{Api, ResourceExt};
use runtime::store::ObjectKey;
use runtime::work::Next;
use runtime::write::Kind;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::context::{Context, ReconcileError, next, remember};

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
        Decision::Join(placed) => {
            let Some((anchor, _)) = find_anchor(context, &placed).await? else {
                return lose_snapshot(context, key, run, record, now).await;
            };
            join(context, key, &observed, &placed, &anchor, run, now).await
        }
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
    let anchor = caches.anchors.by(&format!("run:{uid}")).first().map(|a| Anchor {
        namespace: labels::namespace(&a.metadata).to_owned(),
        name: labels::name(&a.metadata).to_owned(),
        uid: labels::uid(&a.metadata).to_owned(),
    });
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
    let same_job = context.caches.runs.by(&format!("job:{}", run.spec.job_ref.uid));
    let mut others = same_job.iter().filter(|other| other.metadata.uid != run.metadata.uid && !is_finished(other));
    others.find(|other| other.namespace() == run.namespace() && (began(other) || rank(other) < rank(run))).map(|other| other.name_any())
}

/// The pod of the current attempt. What the watch does not show is looked up live: it may not have arrived, and a pod is not given up on
/// hearsay.
async fn current_pod(context: &Context, run: &ImportRun) -> Result<Option<PodFacts>, ReconcileError> {
    let uid = labels::uid(&run.metadata);
    let number = match State::of(run.status.as_ref()) {
        State::Working { attempt, .. } | State::Announced(attempt) => attempt.number,
        State::Fresh | State::Between(_) => return Ok(None),
    };
    let name = names::worker_pod(uid, number.unsigned_abs());
    let cached = context.caches.pods.by(&format!("run:{uid}"));
    if let Some(pod) = cached.iter().find(|pod| pod.name_any() == name) {
        return Ok(Some(PodFacts::of(pod)));
    }
    let Some(namespace) = run.status.as_ref().and_then(|s| s.placement.as_ref()).and_then(|p| p.run_namespace.clone()) else {
        return Ok(None);
    };
    let key = ObjectKey::namespaced(namespace, name);
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
    let (anchor, text) = match find_anchor(context, placed).await? {
        Some(found) => found,
        // A run goes on from the snapshot it began with, or not at all.
        None if !first => return lose_snapshot(context, key, run, record, now).await,
        None => {
            let whole = read_whole(context, observed).await?;
            let Some(snapshot) = whole.and_then(|whole| snapshot(&whole, placed, now)) else {
                return Ok(Next::After(CHANGED_RETRY)); // something went or changed since the rules were asked
            };
            let text = match AnchorText::of(&snapshot) {
                Ok(text) => text,
                Err(error) => return finish(context, key, run, record, RunReason::PreflightFailed, &error.to_string(), now).await,
            };
            match make_anchor(context, placed, text).await {
                Err(ReconcileError::Write(error)) if error.is_refusal() => {
                    let why = error.server_message().unwrap_or("no reason given");
                    let finding = Finding::waiting("SnapshotRefused", format!("the run's snapshot was refused: {why}"));
                    let finding = finding.again_in(REFUSED_RETRY);
                    return report(context, key, run, record, &finding, now).await.map(|_| next(&finding));
                }
                made => made?,
            }
        }
    };
    let known = run.status.as_ref().and_then(|s| s.snapshot_digest.as_ref());
    if known.is_some_and(|digest| *digest != text.digest()) {
        return lose_snapshot(context, key, run, record, now).await;
    }
    let record = record.announce(text.digest(), placed.placement(), now);
    let finding = import_run::starting();
    let status = import_run::status(run, record, &finding, now);
    let announced = write(context, key, run, &status).await?;
    join(context, key, observed, placed, &anchor, &announced, now).await
}

/// With the job and its Connections as a snapshot needs them: whole, and still those that the rules judged. The stores keep of them only
/// what decisions need.
async fn read_whole(context: &Context, observed: &Observed) -> Result<Option<Observed>, ReconcileError> {
    let Some(job) = &observed.job else { return Ok(None) };
    let Some(whole) = read_again(context, "ImportJob", job.as_ref()).await? else { return Ok(None) };
    let mut connections = BTreeMap::new();
    for (name, connection) in &observed.connections {
        let Some(whole) = read_again(context, "Connection", connection.as_ref()).await? else { return Ok(None) };
        connections.insert(name.clone(), Arc::new(whole));
    }
    Ok(Some(Observed { job: Some(Arc::new(whole)), connections, ..observed.clone() }))
}

/// The object as it is now, if it is the one that was judged, with the same spec.
async fn read_again<K>(context: &Context, kind: &'static str, judged: &K) -> Result<Option<K>, ReconcileError>
where
    K: Kind + kube::Resource<Scope = kube::core::NamespaceResourceScope>,
{
    let key = ObjectKey::of(judged);
    let found = context.writer.namespaced::<K>(&key).get_opt(&key.name).await.map_err(|error| unread(kind, &key, error))?;
    let judged = judged.meta();
    Ok(found.filter(|found| found.meta().uid == judged.uid && found.meta().generation == judged.generation))
}

/// Makes the pod of the announced attempt, or finds it, and records its UID.
async fn join(
    context: &Context,
    key: &ObjectKey,
    observed: &Observed,
    placed: &Placed,
    anchor: &Anchor,
    run: &Arc<ImportRun>,
    now: Timestamp,
) -> Result<Next, ReconcileError> {
    let record = Record::of(run.status.as_ref());
    let State::Announced(attempt) = State::of(run.status.as_ref()) else { return Ok(Next::After(Duration::ZERO)) };
    let reads_postgres = observed.job.as_ref().is_some_and(|job| job.spec.source.sql.is_some());
    let wanted = pod(placed, anchor, attempt.number, reads_postgres, &context.settings);
    let made = match make_pod(context, &wanted, attempt.number, placed, anchor).await {
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

/// The anchor and its text, read live: it is about to own a pod.
async fn find_anchor(context: &Context, placed: &Placed) -> Result<Option<(Anchor, AnchorText)>, ReconcileError> {
    let key = ObjectKey::namespaced(placed.namespace(), names::snapshot_configmap(placed.run_uid()));
    let found = context.writer.namespaced::<ConfigMap>(&key).get_opt(&key.name).await.map_err(|error| unread("ConfigMap", &key, error))?;
    found.filter(|map| map.metadata.deletion_timestamp.is_none()).map(|map| read_anchor(key, map, placed)).transpose()
}

fn read_anchor(key: ObjectKey, mut map: ConfigMap, placed: &Placed) -> Result<(Anchor, AnchorText), ReconcileError> {
    let ours = labels::label(&map.metadata, RUN_UID_LABEL) == Some(placed.run_uid()) && map.immutable == Some(true);
    let text = map.data.as_mut().and_then(|data| data.remove(SNAPSHOT_KEY)).filter(|_| ours);
    let Some(text) = text else { return Err(ReconcileError::Foreign { kind: "ConfigMap", key }) };
    let anchor = Anchor { namespace: placed.namespace().to_owned(), name: key.name, uid: labels::uid(&map.metadata).to_owned() };
    Ok((anchor, AnchorText(text)))
}

async fn make_anchor(context: &Context, placed: &Placed, text: AnchorText) -> Result<(Anchor, AnchorText), ReconcileError> {
    let wanted = anchor(placed, &text);
    let key = ObjectKey::of(&wanted);
    let made = context.writer.create(&context.writer.namespaced::<ConfigMap>(&key), &wanted).await?;
    read_anchor(key, made, placed)
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

fn unread(kind: &'static str, key: &ObjectKey, error: kube::Error) -> ReconcileError {
    ReconcileError::Read { kind, key: key.clone(), source: Box::new(error) }
}
