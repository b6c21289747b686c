//! What one keeper does for all of them while the others stand by: the controllers, the sweep, the rounds. A Lease says which one.
//! What the listeners do, every keeper does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::Config;
use runtime::health::Health;
use runtime::leader::Leader;
use runtime::metrics::Metrics;
use runtime::work::{Next, Queue};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::controllers::{Controllers, connections, ownerless, regions, tenants, uploads};
use super::files::{FileStore, sweeper};
use super::wiring::Key;

/// Name of the Lease.
const LEASE: &str = "dataimporter-keeper";
const CONCURRENCY: usize = 32;
/// After an error that keeps this process from standing for the lease.
const AGAIN: Duration = Duration::from_secs(5);

/// With what a keeper stands for the lease.
pub(super) struct Candidacy {
    pub(super) config: Config,
    pub(super) namespace: String,
    pub(super) identity: String,
}

/// The work, and what tells how it goes.
pub(super) struct Duties {
    pub(super) controllers: Arc<Controllers>,
    pub(super) files: Arc<FileStore>,
    pub(super) queue: Queue<Key>,
    /// Has every object looked at.
    pub(super) wake_all: Box<dyn Fn() + Send + Sync>,
    pub(super) health: Health,
    pub(super) metrics: Metrics,
    /// Told when the first sweep of all is through.
    pub(super) swept: Arc<Notify>,
}

/// Works until told to stop: all the time without a candidacy, or whenever this keeper holds the lease.
pub(super) async fn run(duties: Duties, candidacy: Option<Candidacy>, stop: CancellationToken) {
    let Some(candidacy) = candidacy else { return duties.carry_out(stop).await };
    while let Some(leader) = stop.run_until_cancelled(duties.health.beating(acquired(&candidacy))).await {
        tracing::info!(identity = candidacy.identity, "leads");
        duties.metrics.set_leader(true);
        // What came up while another led is done, and what it may have left undone is not known.
        (duties.wake_all)();
        let lost = tokio::select! {
            () = duties.carry_out(stop.clone()) => false,
            // A keeper that is not sure to lead must not write: no winding up.
            () = leader.lost() => true,
        };
        duties.metrics.set_leader(false);
        if lost {
            tracing::warn!(identity = candidacy.identity, "the lease is lost: stands by, and goes on serving");
        } else {
            leader.release().await;
        }
    }
}

/// Resolves when this keeper holds the lease.
async fn acquired(candidacy: &Candidacy) -> Leader {
    let Candidacy { config, namespace, identity } = candidacy;
    loop {
        match Leader::candidate(config, namespace, LEASE, identity).await {
            Ok(mut leader) => {
                leader.acquired().await;
                return leader;
            }
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "cannot stand for the lease; tried again in 5 s"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

impl Duties {
    async fn carry_out(&self, stop: CancellationToken) {
        let (controllers, metrics) = (self.controllers.clone(), self.metrics.clone());
        let reconciling = self.queue.clone().run(CONCURRENCY, self.health.clone(), self.metrics.clone(), stop.clone(), move |key| {
            reconcile(controllers.clone(), metrics.clone(), key)
        });
        tokio::join!(
            reconciling,
            sweeper::run(&self.files, &self.swept, stop.clone()),
            ownerless::run(self.controllers.clone(), stop.clone()),
            connections::ask_after_sources(self.controllers.clone(), stop.clone()),
        );
    }
}

async fn reconcile(controllers: Arc<Controllers>, metrics: Metrics, key: Key) -> Result<Next, ()> {
    let began = Instant::now();
    let (kind, outcome) = match &key {
        Key::Region(name) => ("Region", regions::reconcile(&controllers, name).await),
        Key::Tenant(name) => ("Tenant", tenants::reconcile(&controllers, name).await),
        Key::Connection(namespace, name) => ("Connection", connections::reconcile(&controllers, namespace, name).await),
        Key::Upload(namespace, name) => ("Upload", uploads::reconcile(&controllers, namespace, name).await),
    };
    metrics.reconciled(kind, began.elapsed(), outcome.is_err());
    outcome.map_err(|error| {
        tracing::warn!(kind, object = ?key, reason = error.reason(), error = error.chain(), "reconcile failed; tried again");
    })
}
