//! Every minute: finished runs beyond what their jobs keep, and Uploads whose file is long gone. Then, and when a run is deleted: anchors whose run is gone are removed, and their pods with them. Runs have no
//! finalizer; one that was deleted while nobody watched is noticed here. Before anything is deleted the run is looked up
//! live, by UID. An anchor outside the run namespace of its tenant is none.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::identity::{has_uid, is_same};
use api::{ImportRun, NamespaceName, Uid, Upload, names};
use domain::import_run::{history, is_finished};
use domain::labels::{self, RUN_NAME_ANNOTATION};
use domain::upload;
use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt};
use runtime::causes;
use runtime::store::ObjectKey;
use runtime::work::Queue;
use runtime::write::Kind;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

use super::caches::Meta;
use super::context::Context;
use super::key::Key;

const PERIOD: Duration = Duration::from_secs(60);
/// Objects removed at the same time.
const AT_ONCE: usize = 8;

pub(super) async fn run(context: &Context, queue: &Queue<Key>, deleted: &Notify) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => forget(context).await,
            () = deleted.notified() => {}
        }
        for anchor in context.caches.anchors.all().iter().filter(|anchor| labels::stands_with_its_tenant(&anchor.metadata)) {
            if let Err(error) = look_at(context, queue, anchor).await {
                tracing::warn!(anchor = anchor.name_any(), error = %error, "sweep: will try again");
            }
        }
    }
}

/// Removes what nobody needs any more, so that the number of objects does not grow with time.
async fn forget(context: &Context) {
    let (now, caches) = (Timestamp::now(), &context.caches);
    context.snapshots.forget_unless(|run| caches.run(run.as_str()).is_some_and(|run| !is_finished(&run)));
    let mut runs: BTreeMap<NamespaceName, Vec<Arc<ImportRun>>> = BTreeMap::new();
    for run in caches.runs.all() {
        if let Ok(namespace) = NamespaceName::of(run.as_ref()) {
            runs.entry(namespace).or_default().push(run);
        }
    }
    let mut gone: Vec<(ObjectKey, Forgotten)> = Vec::new();
    for (namespace, runs) in &runs {
        let surplus = history::surplus(runs, &caches.jobs.by(&format!("namespace:{namespace}")), now);
        gone.extend(surplus.into_iter().map(|run| (ObjectKey::of(run.as_ref()), Forgotten::Run(run))));
    }
    let uploads = caches.uploads.all().into_iter().filter(|upload| upload::is_long_gone(upload, now));
    gone.extend(uploads.map(|upload| (ObjectKey::of(upload.as_ref()), Forgotten::Upload(upload))));
    if !gone.is_empty() {
        tracing::info!(objects = gone.len(), "sweep: what has had its time is removed");
    }
    futures::stream::iter(gone)
        .for_each_concurrent(AT_ONCE, |(key, object)| async move {
            let removed = match &object {
                Forgotten::Run(run) => remove(context, &key, run.as_ref(), is_finished).await,
                Forgotten::Upload(upload) => remove(context, &key, upload.as_ref(), |upload| upload::is_long_gone(upload, now)).await,
            };
            if let Err(error) = removed {
                tracing::warn!(object = %key, error = causes::chain(error.as_ref()), "sweep: will try again");
            }
        })
        .await;
}

enum Forgotten {
    Run(Arc<ImportRun>),
    Upload(Arc<Upload>),
}

/// Deletes this very object if what is there now is it, and may still go.
async fn remove<K>(context: &Context, key: &ObjectKey, known: &K, may_go: impl Fn(&K) -> bool) -> anyhow::Result<()>
where
    K: Kind + kube::Resource<Scope = kube::core::NamespaceResourceScope>,
{
    let api = context.writer.namespaced::<K>(key);
    let living = api.get_opt(&key.name).await?.filter(|living| is_same(living.meta(), known.meta()) && may_go(living));
    if living.is_some() {
        context.writer.delete(&api, key, &Uid::of(known)?).await?;
    }
    Ok(())
}

async fn look_at(context: &Context, queue: &Queue<Key>, anchor: &Meta<ConfigMap>) -> anyhow::Result<()> {
    let meta = &anchor.metadata;
    let uid = labels::label(meta, names::RUN_UID_LABEL);
    // A run that is over and whose tenant has let go of its namespace does not know any more where it ran.
    let homeless = |run: &ImportRun| is_finished(run) && context.caches.run_namespace_of(run).is_none();
    if let Some(run) = uid.and_then(|uid| context.caches.run(uid)).filter(|run| !homeless(run)) {
        // Its own reconcile cleans up when it is finished.
        queue.wake(Key::ImportRun(ObjectKey::of(run.as_ref())));
        return Ok(());
    }
    let (Some(namespace), Some(name)) = (labels::label(meta, names::RUN_NAMESPACE_LABEL), labels::annotation(meta, RUN_NAME_ANNOTATION))
    else {
        return Ok(()); // not made by us
    };
    let living = Api::<ImportRun>::namespaced(context.writer.client().clone(), namespace).get_opt(name).await?;
    if living.is_some_and(|run| uid.is_some_and(|uid| has_uid(&run.metadata, uid)) && !is_finished(&run)) {
        return Ok(());
    }
    let key = ObjectKey::of(anchor);
    tracing::info!(anchor = %key, run = format!("{namespace}/{name}"), "sweep: the run is gone, its anchor goes too");
    context.writer.delete(&context.writer.namespaced::<ConfigMap>(&key), &key, &Uid::of(anchor)?).await?;
    Ok(())
}
