//! Every minute, and when a run is deleted: anchors whose run is gone are removed, and their pods with them. Runs have no
//! finalizer; one that was deleted while nobody watched is noticed here. Before anything is deleted the run is looked up
//! live, by UID.

use std::time::Duration;

use api::{ImportRun, names};
use domain::labels::{self, RUN_NAME_ANNOTATION};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt};
use runtime::store::ObjectKey;
use runtime::work::Queue;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

use super::caches::Meta;
use super::context::Context;
use super::key::Key;

const PERIOD: Duration = Duration::from_secs(60);

pub(super) async fn run(context: &Context, queue: &Queue<Key>, deleted: &Notify) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = deleted.notified() => {}
        }
        for anchor in context.caches.anchors.all() {
            if let Err(error) = look_at(context, queue, &anchor).await {
                tracing::warn!(anchor = anchor.name_any(), error = %error, "sweep: will try again");
            }
        }
    }
}

async fn look_at(context: &Context, queue: &Queue<Key>, anchor: &Meta<ConfigMap>) -> anyhow::Result<()> {
    let meta = &anchor.metadata;
    let uid = labels::label(meta, names::RUN_UID_LABEL).unwrap_or_default();
    if let Some(run) = context.caches.runs.by(&format!("uid:{uid}")).first() {
        // Its own reconcile cleans up when it is finished.
        queue.wake(Key::run(labels::namespace(&run.metadata), labels::name(&run.metadata)));
        return Ok(());
    }
    let (Some(namespace), Some(name)) = (labels::label(meta, names::RUN_NAMESPACE_LABEL), labels::annotation(meta, RUN_NAME_ANNOTATION))
    else {
        return Ok(()); // not made by us
    };
    let living = Api::<ImportRun>::namespaced(context.writer.client().clone(), namespace).get_opt(name).await?;
    if living.is_some_and(|run| run.metadata.uid.as_deref() == Some(uid)) {
        return Ok(());
    }
    let key = ObjectKey::of(anchor);
    tracing::info!(anchor = %key, run = format!("{namespace}/{name}"), "sweep: the run is gone, its anchor goes too");
    context.writer.delete(&context.writer.namespaced::<ConfigMap>(&key), &key, meta.uid.as_deref()).await?;
    Ok(())
}
