//! One emulated org and a client that is logged in to it.

use std::sync::Arc;
use std::time::Duration;

use backoff::Backoff;
use connect::{AddressPolicy, Dialer, Https, HttpsOptions, Trust};
use jiff::Timestamp;
use salesforce::auth::{Grant, Login, LoginHost, TokenIssuer};
use salesforce::{ApiVersion, Client, Retry, RetryPolicy, SessionCache};
use salesforce_emulator::{Emulator, Running};

pub(crate) struct Org {
    pub(crate) running: Running,
    pub(crate) client: Client,
}

impl Org {
    pub(crate) async fn start() -> Self {
        Self::of(Emulator::builder()).await
    }

    pub(crate) async fn of(emulator: Emulator) -> Self {
        let running = emulator.start().await.unwrap();
        let issuer = TokenIssuer::new(login(&running), client_credentials(&running), Arc::new(Timestamp::now));
        let client = Client::with(http(&running), Arc::new(SessionCache::new(issuer)), ApiVersion::default(), retry());
        Self { running, client }
    }
}

/// Waits are shortened, the rest is as in production.
pub(crate) fn retry() -> Retry {
    let backoff = Backoff::new(Duration::from_millis(10), 2.0, Duration::from_secs(20));
    Retry::system(RetryPolicy { backoff, ..RetryPolicy::default() })
}

pub(crate) fn http(running: &Running) -> Https {
    let policy = AddressPolicy::closed().open_network("127.0.0.0/8", &[]).unwrap();
    let ca = running.ca_pem.as_deref();
    Dialer::new(policy).https(HttpsOptions { trust: Trust::SystemAnd(ca) }).unwrap()
}

pub(crate) fn login(running: &Running) -> Login {
    let host = LoginHost::parse(&format!("https://{}", running.address), &["127.0.0.1".to_owned()]).unwrap();
    Login::with(http(running), host, retry())
}

pub(crate) fn client_credentials(running: &Running) -> Grant {
    Grant::ClientCredentials { client_id: running.client_id.clone(), client_secret: running.client_secret.clone().into() }
}
