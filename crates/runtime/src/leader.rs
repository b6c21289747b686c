//! One writer at a time, by a Lease. A process that is no longer sure that it holds the lease stops: it does not wait to be
//! told. The lease's own client library hides errors from its watcher, so a cut-off leader would go on believing; therefore
//! the lease is driven here, step by step, with a limit on how long renewals may fail.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client, Config};
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use thiserror::Error;
use tokio::time::Instant;

const DURATION_SECONDS: u64 = 30;
/// Renewal begins this long before the lease runs out …
const GRACE_SECONDS: u64 = 15;
/// … and we step down this long after the first failed renewal, still before anybody else may take over.
const GIVE_UP_AFTER: Duration = Duration::from_secs(7);
/// Errors further apart than this have a good renewal between them.
const STREAK_GAP: Duration = Duration::from_secs(8);
/// How often a stand-by looks whether the holder has let go.
const LOOK_EVERY: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_secs(1);
/// A call that hangs must not outlive the grace.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// Why a process cannot stand for the lease at all. Failures later on are logged, and tried again or taken for a loss.
#[derive(Debug, Error)]
pub enum LeaderError {
    /// No client can be made from the configuration, as when its certificates cannot be read.
    #[error("client for the lease")]
    Client(#[source] kube::Error),
    /// The lease can neither be read nor be made.
    #[error("lease {name}")]
    Lease {
        /// Name of the Lease object.
        name: String,
        /// What the API server or the lease's library says.
        #[source]
        source: LeaseManagerError,
    },
}

/// A process that stands for a lease of 30 seconds or holds it: [`Leader::acquired`], then [`Leader::lost`], then [`Leader::release`].
pub struct Leader {
    client: Client,
    namespace: String,
    name: String,
    identity: String,
    manager: LeaseManager,
}

impl Leader {
    /// Stands for the Lease `name` in `namespace` under `identity`, which no other process may have. Has a client of its own, whose calls
    /// fail rather than hang.
    ///
    /// # Errors
    ///
    /// If the client cannot be made, or the Lease can neither be read nor made. Waiting for the lease is [`Leader::acquired`]'s.
    pub async fn candidate(config: &Config, namespace: &str, name: &str, identity: &str) -> Result<Self, LeaderError> {
        let mut config = config.clone();
        config.connect_timeout = Some(CALL_TIMEOUT);
        config.read_timeout = Some(CALL_TIMEOUT);
        config.write_timeout = Some(CALL_TIMEOUT);
        let client = Client::try_from(config).map_err(LeaderError::Client)?;
        let manager = manager(client.clone(), namespace, name, identity).await?;
        Ok(Self { client, namespace: namespace.to_owned(), name: name.to_owned(), identity: identity.to_owned(), manager })
    }

    /// Waits until this process holds the lease. The library sleeps until a held lease runs out, even if its holder has let go
    /// meanwhile; so the lease is looked at in between.
    pub async fn acquired(&mut self) {
        loop {
            match tokio::time::timeout(LOOK_EVERY, self.manager.changed()).await {
                Ok(Ok(true)) => return,
                Ok(Ok(false)) => {}
                Ok(Err(error)) => {
                    tracing::warn!(lease = self.name, error = %error, "cannot read the lease; will try again");
                    tokio::time::sleep(RETRY).await;
                }
                Err(_) => self.look_again().await,
            }
        }
    }

    /// A lease without a holder is read by a manager that remembers none.
    async fn look_again(&mut self) {
        let lease = Api::<Lease>::namespaced(self.client.clone(), &self.namespace).get(&self.name).await;
        if lease.is_ok_and(|lease| lease.spec.is_none_or(|spec| spec.holder_identity.is_none()))
            && let Ok(manager) = manager(self.client.clone(), &self.namespace, &self.name, &self.identity).await
        {
            self.manager = manager;
        }
    }

    /// Renews the lease; resolves when it is lost or no longer certain.
    pub async fn lost(&self) {
        let mut streak = Streak::default();
        loop {
            match self.manager.changed().await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(lease = self.name, error = %error, "lease not renewed");
                    if streak.too_long(Instant::now()) {
                        return;
                    }
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Lets another process take over at once.
    pub async fn release(&self) {
        match tokio::time::timeout(CALL_TIMEOUT, self.manager.release()).await {
            Ok(Ok(())) => tracing::info!(lease = self.name, "lease released"),
            Ok(Err(error)) => tracing::warn!(lease = self.name, error = %error, "lease not released; it will run out"),
            Err(_) => tracing::warn!(lease = self.name, "lease not released in time; it will run out"),
        }
    }
}

async fn manager(client: Client, namespace: &str, name: &str, identity: &str) -> Result<LeaseManager, LeaderError> {
    LeaseManagerBuilder::new(client, name)
        .with_namespace(namespace)
        .with_identity(identity)
        .with_duration(DURATION_SECONDS)
        .with_grace(GRACE_SECONDS)
        .build()
        .await
        .map_err(|source| LeaderError::Lease { name: name.to_owned(), source })
}

/// Failures one after another.
#[derive(Default)]
struct Streak {
    first: Option<Instant>,
    last: Option<Instant>,
}

impl Streak {
    /// Notes a failure; says whether they have gone on for too long.
    fn too_long(&mut self, now: Instant) -> bool {
        if self.last.is_none_or(|last| now - last > STREAK_GAP) {
            self.first = Some(now);
        }
        self.last = Some(now);
        self.first.is_some_and(|first| now - first >= GIVE_UP_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_cannot_renew_steps_down_before_the_lease_runs_out() {
        let renewal_begins = Instant::now();
        let mut streak = Streak::default();
        // Every call hangs until its timeout, then one second of rest.
        let gave_up =
            (0..5).map(|n| renewal_begins + CALL_TIMEOUT + (CALL_TIMEOUT + RETRY) * n).find(|at| streak.too_long(*at)).expect("gives up");
        assert!(gave_up - renewal_begins < Duration::from_secs(GRACE_SECONDS), "{:?}", gave_up - renewal_begins);
    }

    #[tokio::test(start_paused = true)]
    async fn single_failures_with_renewals_between_them_are_forgiven() {
        let start = Instant::now();
        let mut streak = Streak::default();
        assert!((0..20).all(|n| !streak.too_long(start + Duration::from_secs(15) * n)));
    }
}
