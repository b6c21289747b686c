//! A client of the emulator that does not wait long before it tries again.

use std::sync::Arc;
use std::time::Duration;

use backoff::Backoff;
use connect::{AddressPolicy, Dialer, HttpsOptions, Trust};
use salesforce::auth::{Grant, Login, LoginHost, TokenIssuer};
use salesforce::{Client, Retry, RetryPolicy, SessionCache};
use salesforce_emulator::Running;

pub(crate) fn client(org: &Running) -> Client {
    let ca = org.ca_pem.as_deref();
    let http = Dialer::new(AddressPolicy::unrestricted()).https(HttpsOptions { trust: Trust::SystemAnd(ca) }).unwrap();
    let host = LoginHost::parse(&org.url, &[org.address.ip().to_string()]).unwrap();
    let grant = Grant::ClientCredentials { client_id: org.client_id.clone(), client_secret: org.client_secret.clone().into() };
    let quick = RetryPolicy {
        attempts: 4,
        backoff: Backoff::new(Duration::from_millis(10), 2.0, Duration::from_millis(50)),
        budget: Duration::from_secs(5),
    };
    let issuer = TokenIssuer::new(Login::new(http.clone(), host), grant, Arc::new(jiff::Timestamp::now));
    Client::with(http, Arc::new(SessionCache::new(issuer)), Default::default(), Retry::system(quick))
}
