//! What every reconcile is given, and the one place where a reconcile begins and ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::identity::Unidentified;
use domain::finding::Finding;
use domain::settings::Settings;
use kube::Resource;
use runtime::causes;
use runtime::events::Events;
use runtime::metrics::Metrics;
use runtime::store::{ObjectKey, Store};
use runtime::work::Next;
use runtime::write::{WriteError, Writer};
use thiserror::Error;
use tokio::sync::Mutex;
use tracing::Instrument;

use super::applied::Applied;
use super::caches::Caches;
use super::foreign::Looks;
use super::key::Key;
use super::places::Places;
use super::pull_secrets::PullSecrets;
use super::{import_job, import_run, region, tenant};

pub(super) struct Context {
    pub(super) writer: Writer,
    pub(super) events: Events,
    pub(super) caches: Caches,
    pub(super) places: Arc<Places>,
    pub(super) settings: Settings,
    pub(super) metrics: Metrics,
    pub(super) applied: Applied,
    pub(super) looks: Looks,
    pub(super) pull_secrets: PullSecrets,
    pub(super) snapshots: import_run::Snapshots,
    /// Namespaces are bound by one reconcile at a time, each seeing what the one before wrote.
    pub(super) binding: Mutex<()>,
    /// When the controllers began.
    pub(super) began: Instant,
}

impl Context {
    /// When quotas of our kinds may be made; absent: now.
    pub(super) fn kinds_known_in(&self) -> Option<Duration> {
        let left = self.settings.kinds_known_after.saturating_sub(self.began.elapsed());
        (!left.is_zero()).then_some(left)
    }
}

#[derive(Debug, Error)]
pub(super) enum ReconcileError {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Unidentified(#[from] Unidentified),
    #[error("read {kind} {key}")]
    Read {
        kind: &'static str,
        key: ObjectKey,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("{kind} {key} exists and is not ours")]
    Foreign { kind: &'static str, key: ObjectKey },
}

/// One reconcile of one object, with its own id in every log line.
pub(super) async fn reconcile(context: &Context, key: Key) -> Result<Next, ReconcileError> {
    let (kind, began) = (key.kind(), Instant::now());
    let id = format!("{:08x}", rand::random::<u32>());
    let span = tracing::info_span!("reconcile", kind, object = %key.object(), reconcile = id);
    let outcome = async {
        let outcome = match &key {
            Key::Region(key) => region::reconcile(context, key).await,
            Key::Tenant(key) => tenant::reconcile(context, key).await,
            Key::ImportJob(key) => import_job::reconcile(context, key).await,
            Key::ImportRun(key) => import_run::reconcile(context, key).await,
        };
        match &outcome {
            Ok(next) => tracing::debug!(?next, "reconciled"),
            // Somebody wrote at the same time: the event of that write is on its way.
            Err(ReconcileError::Write(error)) if error.is_conflict() => tracing::debug!(error = causes::chain(error), "conflict"),
            Err(error) => tracing::warn!(error = causes::chain(error), "reconcile failed; will try again"),
        }
        outcome
    }
    .instrument(span)
    .await;
    context.metrics.reconciled(kind, began.elapsed(), outcome.is_err());
    outcome
}

/// When to look again at an object that was found so.
pub(super) fn next(finding: &Finding) -> Next {
    match finding.next {
        // A moment later, so that a rule that waits for a time finds it passed.
        Some(after) => Next::After(after + Duration::from_millis(20)),
        None => Next::Idle,
    }
}

/// The server's answer to our own write goes into the store at once, so that the next reconcile sees it.
pub(super) fn remember<K: Resource<DynamicType = ()>>(store: &Store<K>, written: K) {
    store.wrote(written);
}
