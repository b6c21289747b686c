//! The snapshot that a run works from, in the ConfigMap that owns its pods. Its digest is announced in the run's status before it is made;
//! what is found under its name and has another digest was put there by somebody else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use api::identity::{Unidentified, has_uid, is_same};
use api::names::{self, RUN_UID_LABEL, SNAPSHOT_KEY};
use api::reasons::import_run as reasons;
use api::{ImportRun, NamespaceName, Uid};
use domain::import_run::plan::{AnchorText, TooLarge, anchor, snapshot};
use domain::import_run::{Anchor, Basis, Frozen, JobFacts, Observed, Placed};
use domain::labels;
use futures::future::try_join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::PartialObjectMetaExt;
use runtime::store::ObjectKey;
use runtime::write::Kind;

use super::unread;
use crate::operator::context::{Context, ReconcileError, remember};

/// What runs that are under way began with, by UID of the run. A snapshot does not change; that it is still there, the watch tells.
#[derive(Default)]
pub(crate) struct Snapshots(Mutex<HashMap<Uid, Arc<Frozen>>>);

impl Snapshots {
    fn get(&self, run_uid: &Uid) -> Option<Arc<Frozen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(run_uid).cloned()
    }

    fn keep(&self, run_uid: &Uid, frozen: &Arc<Frozen>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(run_uid.clone(), frozen.clone());
    }

    pub(crate) fn forget_unless(&self, needed: impl Fn(&Uid) -> bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|run_uid, _| needed(run_uid));
    }
}

/// What stands under the anchor's name.
pub(super) enum Found {
    /// What was announced.
    Snapshot(Arc<Frozen>),
    /// Something else.
    Foreign(Anchor),
    Nothing,
}

pub(super) enum Made {
    Snapshot(Arc<Frozen>),
    /// Something stands there already.
    Taken,
}

pub(super) fn announced(run: &ImportRun) -> Option<&String> {
    run.status.as_ref()?.snapshot_digest.as_ref()
}

fn place(context: &Context, run: &ImportRun, uid: &Uid) -> Option<ObjectKey> {
    let namespace = context.caches.run_namespace_of(run)?;
    Some(ObjectKey::namespaced(namespace, names::snapshot_configmap(uid.as_str())))
}

/// What the watch shows.
pub(super) fn seen(context: &Context, run: &ImportRun) -> Result<Option<Anchor>, Unidentified> {
    let place = place(context, run, &Uid::of(run)?);
    place.and_then(|key| context.caches.anchors.get(&key)).map(|found| of(found.as_ref())).transpose()
}

/// Read live unless it was read before and the watch says that it is still there: it is about to own a pod.
pub(super) async fn find(context: &Context, run: &ImportRun) -> Result<Found, ReconcileError> {
    let uid = Uid::of(run)?;
    let Some(key) = place(context, run, &uid) else { return Ok(Found::Nothing) };
    let shown = context.caches.anchors.get(&key).filter(|shown| shown.metadata.deletion_timestamp.is_none());
    if let (Some(known), Some(shown)) = (context.snapshots.get(&uid), shown)
        && has_uid(&shown.metadata, known.anchor.uid.as_str())
        && Some(&known.digest) == announced(run)
    {
        return Ok(Found::Snapshot(known));
    }
    let found = context.writer.namespaced::<ConfigMap>(&key).get_opt(&key.name).await.map_err(|error| unread("ConfigMap", &key, error))?;
    let Some(mut found) = found.filter(|map| map.metadata.deletion_timestamp.is_none()) else { return Ok(Found::Nothing) };
    let ours = labels::label(&found.metadata, RUN_UID_LABEL) == Some(uid.as_str()) && found.immutable == Some(true);
    let text = found.data.as_mut().and_then(|data| data.remove(SNAPSHOT_KEY)).filter(|_| ours);
    let anchor = of(&found)?;
    let frozen = text.and_then(|text| Frozen::read(anchor.clone(), &text)).filter(|frozen| Some(&frozen.digest) == announced(run));
    Ok(match frozen.map(Arc::new) {
        Some(frozen) => {
            context.snapshots.keep(&uid, &frozen);
            Found::Snapshot(frozen)
        }
        None => Found::Foreign(anchor),
    })
}

/// Makes it.
pub(super) async fn make(context: &Context, placed: &Placed, text: &AnchorText) -> Result<Made, ReconcileError> {
    let wanted = anchor(placed, text);
    let api = context.writer.namespaced::<ConfigMap>(&ObjectKey::of(&wanted));
    let made = match context.writer.create(&api, &wanted).await {
        Ok(made) => made,
        Err(error) if error.is_conflict() => return Ok(Made::Taken),
        Err(error) => return Err(error.into()),
    };
    let Some(frozen) = Frozen::read(of(&made)?, &text.0).map(Arc::new) else { return Ok(Made::Taken) };
    context.snapshots.keep(placed.run_uid(), &frozen);
    remember(&context.caches.anchors, made.metadata.into_response_partial());
    Ok(Made::Snapshot(frozen))
}

/// What a run works from that begins at this time. Absent if something went or changed since the rules were asked.
pub(super) async fn text(
    context: &Context,
    observed: &Observed,
    placed: &Placed,
    at: Timestamp,
) -> Result<Option<Result<AnchorText, TooLarge>>, ReconcileError> {
    let Basis::Job(facts) = &observed.basis else { return Ok(None) };
    let whole = read_whole(context, facts).await?;
    Ok(whole.and_then(|whole| snapshot(&whole, placed, at)).map(|snapshot| AnchorText::of(&snapshot)))
}

/// Before its first attempt a run has no snapshot. Somebody who may write in a run namespace put one there.
pub(super) async fn remove_planted(context: &Context, run: &ImportRun, planted: &Anchor) -> Result<(), ReconcileError> {
    let key = ObjectKey::namespaced(&planted.namespace, &planted.name);
    tracing::warn!(configmap = %key, "a snapshot was there before the run began; it is removed");
    context.metrics.foreign_object("ConfigMap");
    context.writer.delete(&context.writer.namespaced::<ConfigMap>(&key), &key, &planted.uid).await?;
    let note = format!("ConfigMap {key} was there before this run began and is not what it works from: removed");
    context.events.warning(run, reasons::FOREIGN_SNAPSHOT, &note).await;
    Ok(())
}

fn of<K: kube::Resource<DynamicType = ()>>(map: &K) -> Result<Anchor, Unidentified> {
    Ok(Anchor { namespace: NamespaceName::of(map)?.into(), name: labels::name(map.meta()).to_owned(), uid: Uid::of(map)? })
}

/// With the job and its Connections as a snapshot needs them: whole, and still those that the rules judged. The stores keep of them only
/// what decisions need.
async fn read_whole(context: &Context, facts: &JobFacts) -> Result<Option<JobFacts>, ReconcileError> {
    let Some(job) = &facts.job else { return Ok(None) };
    let reads = facts.connections.iter().map(async |(name, connection)| {
        let whole = read_again(context, "Connection", connection.as_ref()).await?;
        Ok::<_, ReconcileError>(whole.map(|whole| (name.clone(), Arc::new(whole))))
    });
    // At once: a run waits for the slowest of them and not for all.
    let (whole, connections) = tokio::try_join!(read_again(context, "ImportJob", job.as_ref()), try_join_all(reads))?;
    let (Some(whole), Some(connections)) = (whole, connections.into_iter().collect()) else { return Ok(None) };
    Ok(Some(JobFacts { job: Some(Arc::new(whole)), connections, ..facts.clone() }))
}

/// The object as it is now, if it is the one that was judged, with the same spec.
async fn read_again<K>(context: &Context, kind: &'static str, judged: &K) -> Result<Option<K>, ReconcileError>
where
    K: Kind + kube::Resource<Scope = kube::core::NamespaceResourceScope>,
{
    let key = ObjectKey::of(judged);
    let found = context.writer.namespaced::<K>(&key).get_opt(&key.name).await.map_err(|error| unread(kind, &key, error))?;
    let judged = judged.meta();
    Ok(found.filter(|found| is_same(found.meta(), judged) && found.meta().generation == judged.generation))
}
