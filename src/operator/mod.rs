//! `dataimporter operator`: watches regions, tenants, jobs and runs, and makes what they ask for. It reads no Secret but the logins of image
//! registries that the chart names, if it names any.
//!
//! One file per kind, each `observe → decide → plan → apply → report`; decide and plan are in `crates/domain`.

mod applied;
mod args;
mod caches;
mod context;
mod foreign;
mod import_job;
mod import_run;
mod installation;
mod key;
mod places;
mod pull_secrets;
mod region;
mod sweep;
mod tenant;
mod wiring;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use api::names::OPERATOR_MANAGER;
use domain::settings::Settings;
use kube::{Client, Config};
use runtime::events::Events;
use runtime::health::{self, Health};
use runtime::leader::Leader;
use runtime::metrics::Metrics;
use runtime::watch::Watches;
use runtime::work::Queue;
use runtime::write::Writer;
use runtime::{logs, shutdown};
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;

pub use args::Args;
use caches::Caches;
use context::Context;
use key::Key;
use places::Places;

/// Name of the Lease.
const LEASE: &str = "dataimporter-operator";
/// Reconciles under way when we are told to stop get this long.
const WIND_UP: Duration = Duration::from_secs(20);

/// Runs until it is told to stop or loses its lease.
pub async fn run(args: Args) -> anyhow::Result<()> {
    logs::init();
    let config = Config::infer().await.context("how to reach the Kubernetes API")?;
    let client = Client::try_from(config.clone()).context("client for the Kubernetes API")?;
    let (health, metrics, stop) = (Health::new(Instant::now()), Metrics::new(), shutdown::token()?);
    // Served to the end: a kubelet asks while we wind up, too.
    let pages = tokio::spawn(health::serve(args.listen, health.clone(), metrics.clone(), CancellationToken::new()));
    let work = work(&args, &config, client, health, metrics, &stop);
    tokio::select! {
        outcome = work => outcome,
        ended = pages => bail!("serving {}: {}", args.listen, ended.map_or_else(|e| e.to_string(), |r| r.map_or_else(|e| e.to_string(), |()| "ended".into()))),
    }
}

async fn work(
    args: &Args,
    config: &Config,
    client: Client,
    health: Health,
    metrics: Metrics,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    health.waiting_for("the keeper's first start");
    let installation = tokio::select! {
        found = installation::wait_for(&client, &args.namespace, &health) => found,
        () = stop.cancelled() => return Ok(()),
    };
    let settings = args.settings(installation)?;
    // A stand-by is as ready as it can be.
    health.ready();
    let mut leader = Leader::candidate(config, &args.namespace, LEASE, &args.identity).await?;
    tokio::select! {
        () = health.beating(leader.acquired()) => {}
        () = stop.cancelled() => return Ok(()),
    }
    tracing::info!(identity = args.identity, "holds the lease");
    metrics.set_leader(true);
    let parts =
        Parts { client, settings, identity: args.identity.clone(), concurrency: args.concurrency, health, metrics: metrics.clone() };
    let controllers = CancellationToken::new();
    let control = control(parts, controllers.clone());
    tokio::pin!(control);
    let outcome = tokio::select! {
        outcome = &mut control => outcome,
        // A replica that is not sure to lead must not write: no winding up.
        () = leader.lost() => bail!("the lease is lost"),
        () = stop.cancelled() => {
            controllers.cancel();
            tokio::time::timeout(WIND_UP, &mut control).await.unwrap_or(Ok(()))
        }
    };
    metrics.set_leader(false);
    leader.release().await;
    outcome
}

/// What the controllers need; tests bring their own.
pub struct Parts {
    pub client: Client,
    pub settings: Settings,
    pub identity: String,
    pub concurrency: usize,
    pub health: Health,
    pub metrics: Metrics,
}

/// All controllers, until cancelled. Nothing is reconciled before every store has been filled once.
pub async fn control(parts: Parts, stop: CancellationToken) -> anyhow::Result<()> {
    let Parts { client, settings, identity, concurrency, health, metrics } = parts;
    let (caches, queue, deleted) = (Caches::new(), Queue::<Key>::default(), Arc::new(Notify::new()));
    let mut watches = Watches::new(client.clone(), metrics.clone());
    let places = Arc::new(Places::new(caches.clone(), queue.clone(), settings.plans.clone()));
    wiring::watch_all(&mut watches, &caches, &queue, &places, &deleted, &metrics);
    tokio::select! {
        () = synced(&watches, &health) => {}
        () = stop.cancelled() => return Ok(()),
    }
    places.begin();
    let context = Arc::new(Context {
        writer: Writer::new(client.clone(), OPERATOR_MANAGER, metrics.clone()),
        events: Events::new(client, "dataimporter-operator", &identity, metrics.clone()),
        caches,
        places,
        settings,
        metrics: metrics.clone(),
        applied: applied::Applied::default(),
        looks: foreign::Looks::default(),
        pull_secrets: pull_secrets::PullSecrets::default(),
        snapshots: import_run::Snapshots::default(),
        binding: Mutex::new(()),
        began: Instant::now(),
    });
    pull_secrets::read(&context).await;
    let reconciling = context.clone();
    let work = queue.clone().run(concurrency, health, metrics, stop, move |key| {
        let context = reconciling.clone();
        async move { context::reconcile(&context, key).await }
    });
    tokio::select! {
        () = work => Ok(()),
        () = sweep::run(&context, &queue, &deleted) => bail!("the sweep ended"),
        () = pull_secrets::follow(&context, &queue) => bail!("nobody follows the logins of registries"),
        () = watches.ended() => bail!("a watch ended"),
    }
}

/// Waits until every kind has been listed, saying meanwhile which are missing.
async fn synced(watches: &Watches, health: &Health) {
    let all = watches.all_synced();
    tokio::pin!(all);
    loop {
        tokio::select! {
            () = &mut all => break,
            () = tokio::time::sleep(Duration::from_secs(1)) => {
                health.beat(Instant::now());
                health.waiting_for(format!("the first list of {}", watches.unsynced().join(", ")));
            }
        }
    }
    health.ready();
    tracing::info!("every store is filled");
}
