//! The snapshot that a run works from, in the ConfigMap that owns its pods. Its digest is announced in the run's status before it is made;
//! what is found under its name and has another digest was put there by somebody else.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::ImportRun;
use api::names::{self, RUN_UID_LABEL, SNAPSHOT_KEY};
use domain::import_run::plan::{AnchorText, TooLarge, anchor, snapshot};
use domain::import_run::{Anchor, Observed, Placed};
use domain::labels;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ObjectMeta;
use runtime::store::ObjectKey;
use runtime::write::Kind;

use super::context::{Context, ReconcileError};
use super::import_run::unread;

pub(super) enum Held {
    Anchor(Anchor),
    /// It was there and is gone, or is another one.
    Lost,
    /// It was never made, and what it would have been made from is not the same any more.
    Changed,
}

/// The anchor of the announced attempt. That of a first attempt is made here, from what was announced; a further one finds it.
pub(super) async fn hold(
    context: &Context,
    observed: &Observed,
    placed: &Placed,
    run: &ImportRun,
    attempt: i32,
    known: Option<AnchorText>,
) -> Result<Held, ReconcileError> {
    let found = find(context, placed).await?;
    if let Some(Found { anchor, digest: Some(digest) }) = &found
        && Some(digest) == announced(run)
    {
        return Ok(Held::Anchor(anchor.clone()));
    }
    // A pod had the anchor for its owner.
    if attempt > 1 || observed.pod.is_some() || observed.job.is_none() {
        return Ok(Held::Lost);
    }
    if let Some(Found { anchor, .. }) = found {
        remove_planted(context, run, &anchor).await?;
    }
    let text = match (known, run.status.as_ref().and_then(|s| s.started_at.as_ref())) {
        (Some(text), _) => Some(Ok(text)),
        // After a crash: the same facts and the same second give the same text.
        (None, Some(began)) => text(context, observed, placed, began.0).await?,
        (None, None) => None,
    };
    let Some(Ok(text)) = text.filter(|text| text.as_ref().is_ok_and(|text| Some(&text.digest()) == announced(run))) else {
        return Ok(Held::Changed);
    };
    let wanted = anchor(placed, &text);
    let api = context.writer.namespaced::<ConfigMap>(&ObjectKey::of(&wanted));
    let made = context.writer.create(&api, &wanted).await?;
    Ok(Held::Anchor(of(&made.metadata)))
}

pub(super) fn announced(run: &ImportRun) -> Option<&String> {
    run.status.as_ref()?.snapshot_digest.as_ref()
}

/// What a run works from that begins at this time. Absent if something went or changed since the rules were asked.
pub(super) async fn text(
    context: &Context,
    observed: &Observed,
    placed: &Placed,
    at: Timestamp,
) -> Result<Option<Result<AnchorText, TooLarge>>, ReconcileError> {
    let whole = read_whole(context, observed).await?;
    Ok(whole.and_then(|whole| snapshot(&whole, placed, at)).map(|snapshot| AnchorText::of(&snapshot)))
}

/// Before its first attempt a run has no snapshot. Somebody who may write in a run namespace put one there.
async fn remove_planted(context: &Context, run: &ImportRun, planted: &Anchor) -> Result<(), ReconcileError> {
    let key = ObjectKey::namespaced(&planted.namespace, &planted.name);
    tracing::warn!(configmap = %key, "a snapshot was there before the run began; it is removed");
    context.metrics.foreign_object("ConfigMap");
    context.writer.delete(&context.writer.namespaced::<ConfigMap>(&key), &key, Some(&planted.uid)).await?;
    let note = format!("ConfigMap {key} was there before this run began and is not what it works from: removed");
    context.events.warning(run, "ForeignSnapshot", &note).await;
    Ok(())
}

/// What stands under the anchor's name, read live: it is about to own a pod.
pub(super) struct Found {
    anchor: Anchor,
    /// Of its text, if it has the label and is immutable, as ours are.
    pub(super) digest: Option<String>,
}

pub(super) async fn find(context: &Context, placed: &Placed) -> Result<Option<Found>, ReconcileError> {
    let key = ObjectKey::namespaced(placed.namespace(), names::snapshot_configmap(placed.run_uid()));
    let found = context.writer.namespaced::<ConfigMap>(&key).get_opt(&key.name).await.map_err(|error| unread("ConfigMap", &key, error))?;
    Ok(found.filter(|map| map.metadata.deletion_timestamp.is_none()).map(|mut map| {
        let ours = labels::label(&map.metadata, RUN_UID_LABEL) == Some(placed.run_uid()) && map.immutable == Some(true);
        let text = map.data.as_mut().and_then(|data| data.remove(SNAPSHOT_KEY)).filter(|_| ours);
        Found { anchor: of(&map.metadata), digest: text.map(|text| AnchorText(text).digest()) }
    }))
}

pub(super) fn of(meta: &ObjectMeta) -> Anchor {
    Anchor { namespace: labels::namespace(meta).to_owned(), name: labels::name(meta).to_owned(), uid: labels::uid(meta).to_owned() }
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
