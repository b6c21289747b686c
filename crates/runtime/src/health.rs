//! `/livez`, `/readyz` and `/metrics` over plain HTTP, for the kubelet and a scraper. What ready means is told by the owner.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::listen::{Limits, Listener};
use crate::metrics::Metrics;

/// A process whose main loop has not turned for this long is stuck and better begun again.
const STUCK_AFTER: Duration = Duration::from_secs(60);
/// Everybody in the cluster may connect; the kubelet holds one or two.
const LIMITS: Limits = Limits { connections: 64, of_one: 16, idle: Duration::from_secs(60) };

/// How often something that takes its time shows life.
const BEAT: Duration = Duration::from_secs(5);

/// Whether a process is alive and whether it is ready, as the kubelet asks. Clones share one state: the process writes it, [`serve`] answers from it.
#[derive(Clone)]
pub struct Health {
    state: Arc<RwLock<Inner>>,
}

struct Inner {
    /// Why the process is not ready; none: it is.
    waiting_for: Option<String>,
    beat: Instant,
}

impl Health {
    /// Not ready, waiting for "start", and alive as of `now`.
    pub fn new(now: Instant) -> Self {
        Self { state: Arc::new(RwLock::new(Inner { waiting_for: Some("start".into()), beat: now })) }
    }

    /// Not ready from now on; `what` is the thing that is missing, which `/readyz` answers with "waiting for {what}".
    pub fn waiting_for(&self, what: impl Into<String>) {
        self.write(|inner| inner.waiting_for = Some(what.into()));
    }

    /// Ready from now on, until [`Health::waiting_for`] says otherwise.
    pub fn ready(&self) {
        self.write(|inner| inner.waiting_for = None);
    }

    /// The main loop turned.
    pub fn beat(&self, now: Instant) {
        self.write(|inner| inner.beat = now);
    }

    /// Shows life while waiting for something that takes its time without holding anything up.
    pub async fn beating<T>(&self, waiting: impl Future<Output = T>) -> T {
        tokio::pin!(waiting);
        loop {
            self.beat(Instant::now());
            tokio::select! {
                done = &mut waiting => return done,
                () = tokio::time::sleep(BEAT) => {}
            }
        }
    }

    fn live(&self, now: Instant) -> Result<(), String> {
        let silent = now.saturating_duration_since(self.state.read().unwrap_or_else(PoisonError::into_inner).beat);
        if silent > STUCK_AFTER { Err(format!("no turn of the main loop for {} s", silent.as_secs())) } else { Ok(()) }
    }

    fn readiness(&self) -> Result<(), String> {
        match &self.state.read().unwrap_or_else(PoisonError::into_inner).waiting_for {
            Some(what) => Err(format!("waiting for {what}")),
            None => Ok(()),
        }
    }

    fn write(&self, f: impl FnOnce(&mut Inner)) {
        f(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Serves until cancelled. Fails at once if the address cannot be had.
pub async fn serve(address: SocketAddr, health: Health, metrics: Metrics, stop: CancellationToken) -> std::io::Result<()> {
    let socket = TcpListener::bind(address).await?;
    let listener = Listener { name: "health", socket, limits: LIMITS, metrics: metrics.clone() };
    let app = axum::Router::new()
        .route("/livez", get(|State((health, _)): State<(Health, Metrics)>| async move { answer(health.live(Instant::now())) }))
        .route("/readyz", get(|State((health, _)): State<(Health, Metrics)>| async move { answer(health.readiness()) }))
        .route(
            "/metrics",
            get(|State((_, metrics)): State<(Health, Metrics)>| async move {
                ([("content-type", "application/openmetrics-text; version=1.0.0; charset=utf-8")], metrics.render())
            }),
        )
        .with_state((health, metrics));
    listener.serve(|stream| async { Ok(stream) }, app, stop).await;
    Ok(())
}

fn answer(outcome: Result<(), String>) -> (StatusCode, String) {
    match outcome {
        Ok(()) => (StatusCode::OK, "ok\n".into()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_not_ready_until_told_and_says_what_it_waits_for() {
        let health = Health::new(Instant::now());
        assert!(health.readiness().is_err());
        health.waiting_for("ConfigMap dataimporter-public");
        assert_eq!(health.readiness(), Err("waiting for ConfigMap dataimporter-public".into()));
        health.ready();
        assert_eq!(health.readiness(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_its_time_is_alive() {
        let health = Health::new(Instant::now() - 2 * STUCK_AFTER);
        assert!(health.live(Instant::now()).is_err());
        health.beating(tokio::time::sleep(Duration::from_secs(3600))).await;
        assert!(health.live(Instant::now()).is_ok());
    }

    #[test]
    fn a_main_loop_that_stands_still_is_not_alive() {
        let start = Instant::now();
        let health = Health::new(start);
        assert!(health.live(start + Duration::from_secs(59)).is_ok());
        assert!(health.live(start + Duration::from_secs(61)).is_err());
        health.beat(start + Duration::from_secs(60));
        assert!(health.live(start + Duration::from_secs(61)).is_ok());
    }
}
