//! Everything that bears on a run, from the watches; and by a live read what a pod or a decision for good depends on.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::identity::is_same;
use api::{Connection, ImportRun, NamespaceName, Tenant, Uid, names};
use domain::import_run::{Basis, Begun, Crowd, Frozen, JobFacts, Observed, PodFacts, RunNamespaceFacts, RunState, is_finished};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use runtime::store::ObjectKey;

use super::anchor::{self, Found};
use super::unread;
use crate::operator::context::{Context, ReconcileError};

pub(super) async fn observe(context: &Context, key: &ObjectKey) -> Result<Option<Observed>, ReconcileError> {
    let caches = &context.caches;
    let Some(run) = caches.runs.get(key) else { return Ok(None) };
    let (uid, namespace) = (Uid::of(run.as_ref())?, NamespaceName::of(run.as_ref())?);
    let tenant = caches.tenant_of(namespace.as_str());
    let run_namespace = tenant.as_ref().and_then(|t| caches.namespaces.get(&ObjectKey::cluster(names::run_namespace(&t.name_any()))));
    let pod = if is_finished(&run) { None } else { current_pod(context, &run).await? };
    let run_namespace = match run_namespace {
        Some(ns) => Some(RunNamespaceFacts {
            name: ns.name_any(),
            uid: Uid::of(ns.as_ref())?,
            terminating: ns.metadata.deletion_timestamp.is_some(),
        }),
        None => None,
    };
    Ok(Some(Observed {
        basis: basis(context, &run, namespace.as_str(), tenant.as_ref(), pod.as_ref()).await?,
        region: tenant.as_ref().and_then(|t| caches.region(&t.spec.region)),
        run_namespace,
        tenant,
        pod,
        uid,
        namespace,
        run,
    }))
}

/// The snapshot of a run that has begun. A run whose first attempt was announced by somebody who crashed before anything was made of it
/// has not.
async fn basis(
    context: &Context,
    run: &Arc<ImportRun>,
    namespace: &str,
    tenant: Option<&Arc<Tenant>>,
    pod: Option<&PodFacts>,
) -> Result<Basis, ReconcileError> {
    if is_finished(run) {
        return Ok(Basis::Over(anchor::seen(context, run)?));
    }
    let first = match RunState::of(run.status.as_ref()) {
        RunState::Fresh => return Ok(Basis::Job(job_facts(context, run, namespace, tenant))),
        RunState::Announced(attempt) => attempt.number == 1 && pod.is_none(),
        RunState::Working { .. } | RunState::Between(_) => false,
    };
    Ok(match anchor::find(context, run).await? {
        Found::Snapshot(frozen) => Basis::Snapshot(begun(context, namespace, frozen)),
        Found::Foreign(planted) if first => Basis::Job(JobFacts { planted: Some(planted), ..job_facts(context, run, namespace, tenant) }),
        Found::Nothing if first => Basis::Job(job_facts(context, run, namespace, tenant)),
        Found::Foreign(_) | Found::Nothing => Basis::Lost,
    })
}

fn job_facts(context: &Context, run: &ImportRun, namespace: &str, tenant: Option<&Arc<Tenant>>) -> JobFacts {
    let job = context.caches.jobs.get(&ObjectKey::namespaced(namespace, &run.spec.job_ref.name));
    let named = job.iter().flat_map(|job| job.spec.connection_names());
    let upload = job.as_ref().and_then(|job| job.spec.source.upload());
    JobFacts {
        connections: connections(context, namespace, named),
        upload: upload.and_then(|u| context.caches.uploads.get(&ObjectKey::namespaced(namespace, &u.name))),
        ahead: ahead(context, run, namespace),
        crowd: tenant.and_then(|tenant| crowd(context, tenant, run)),
        planted: None,
        job,
    }
}

fn begun(context: &Context, namespace: &str, frozen: Arc<Frozen>) -> Begun {
    let upload = frozen.upload.as_ref();
    Begun {
        connections: connections(context, namespace, frozen.uses.iter().map(|used| used.name.as_str())),
        upload: upload.and_then(|u| context.caches.uploads.get(&ObjectKey::namespaced(namespace, &u.name))),
        frozen,
    }
}

fn connections<'a>(context: &Context, namespace: &str, named: impl Iterator<Item = &'a str>) -> BTreeMap<String, Arc<Connection>> {
    let found = named.filter_map(|name| {
        let connection = context.caches.connections.get(&ObjectKey::namespaced(namespace, name))?;
        Some((name.to_owned(), connection))
    });
    found.collect()
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
fn rank(run: &ImportRun) -> (Option<Timestamp>, String, Option<String>) {
    (run.metadata.creation_timestamp.clone().map(|t| t.0), run.name_any(), run.namespace())
}

/// Another run of the same job that began, or that was created earlier.
fn ahead(context: &Context, run: &ImportRun, namespace: &str) -> Option<String> {
    let began = |run: &ImportRun| run.status.as_ref().is_some_and(|s| !s.attempts.is_empty());
    let same_job = context.caches.runs_of(namespace, &run.spec.job_ref.uid);
    let mut others = same_job.iter().filter(|other| !is_same(&other.metadata, &run.metadata) && !is_finished(other));
    others.find(|other| began(other) || rank(other) < rank(run)).map(|other| other.name_any())
}

/// The pod of the current attempt. What the watch does not show is looked up live: it may not have arrived, and a pod is not given up on
/// hearsay.
async fn current_pod(context: &Context, run: &ImportRun) -> Result<Option<PodFacts>, ReconcileError> {
    let uid = Uid::of(run)?;
    let number = match RunState::of(run.status.as_ref()) {
        RunState::Working { attempt, .. } | RunState::Announced(attempt) => attempt.number,
        RunState::Fresh | RunState::Between(_) => return Ok(None),
    };
    let Some(namespace) = context.caches.run_namespace_of(run) else { return Ok(None) };
    let key = ObjectKey::namespaced(namespace, names::worker_pod(uid.as_str(), number.unsigned_abs()));
    let shown = context.caches.pods.get(&key).map(|pod| PodFacts::of(&pod)).transpose()?;
    if let Some(pod) = shown.filter(|pod| pod.belongs_to(&uid, number)) {
        return Ok(Some(pod));
    }
    let found = context.writer.namespaced::<Pod>(&key).get_opt(&key.name).await.map_err(|error| unread("Pod", &key, error))?;
    Ok(found.as_ref().map(PodFacts::of).transpose()?.filter(|pod| pod.belongs_to(&uid, number)))
}
