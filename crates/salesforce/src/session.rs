//! Where access tokens come from, and how many callers share one renewal.

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use url::Url;

use crate::error::Error;

/// An access token and where it is good. Not printable on purpose.
#[derive(Clone)]
pub struct Session {
    /// Goes into the header `Authorization: Bearer …` of every call.
    pub access_token: SecretString,
    /// Base URL of the org's API. The maker of a session has checked that it is a host of the org.
    pub instance_url: Url,
}

impl Session {
    fn has_same_token(&self, other: &Self) -> bool {
        self.access_token.expose_secret() == other.access_token.expose_secret()
    }
}

/// Hands out sessions. The worker's asks the keeper, `dataimporter run` asks the token endpoint.
#[async_trait]
pub trait SessionSource: Send + Sync {
    /// The session to use now.
    ///
    /// # Errors
    ///
    /// There is none and none could be had; the class says whether later one may be.
    async fn session(&self) -> Result<Session, Error>;

    /// A session in place of `stale`, which Salesforce has refused. Callers that bring the same stale session share one renewal.
    ///
    /// # Errors
    ///
    /// As [`SessionSource::session`].
    async fn renew(&self, stale: &Session) -> Result<Session, Error>;
}

/// Makes one new session; knows nothing of who else wants one.
#[async_trait]
pub trait SessionIssuer: Send + Sync {
    /// A session that nobody else has.
    ///
    /// # Errors
    ///
    /// The login was refused, or could not be asked for.
    async fn issue(&self) -> Result<Session, Error>;
}

/// Keeps the newest session of an issuer: one request at a time, and none when somebody else has already renewed.
pub struct SessionCache<I> {
    issuer: I,
    newest: Mutex<Option<Session>>,
}

impl<I: SessionIssuer> SessionCache<I> {
    /// Starts without a session: the first caller causes a login.
    pub fn new(issuer: I) -> Self {
        Self { issuer, newest: Mutex::new(None) }
    }

    /// Starts with a session that is already there, for example from a lease.
    pub fn starting_with(issuer: I, session: Session) -> Self {
        Self { issuer, newest: Mutex::new(Some(session)) }
    }
}

#[async_trait]
impl<I: SessionIssuer> SessionSource for SessionCache<I> {
    async fn session(&self) -> Result<Session, Error> {
        let mut newest = self.newest.lock().await;
        match &*newest {
            Some(session) => Ok(session.clone()),
            None => Ok(newest.insert(self.issuer.issue().await?).clone()),
        }
    }

    async fn renew(&self, stale: &Session) -> Result<Session, Error> {
        let mut newest = self.newest.lock().await;
        match &*newest {
            Some(session) if !session.has_same_token(stale) => Ok(session.clone()),
            _ => Ok(newest.insert(self.issuer.issue().await?).clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[derive(Default)]
    struct Counting(AtomicU32);

    #[async_trait]
    impl SessionIssuer for Counting {
        async fn issue(&self) -> Result<Session, Error> {
            let number = self.0.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            Ok(session(&format!("token{number}")))
        }
    }

    fn session(token: &str) -> Session {
        Session { access_token: token.into(), instance_url: "https://acme.my.salesforce.com".parse().unwrap() }
    }

    #[tokio::test]
    async fn ten_callers_with_the_same_stale_session_cause_one_renewal() {
        let cache = SessionCache::new(Counting::default());
        let stale = cache.session().await.unwrap();
        let renewals = futures::future::join_all((0..10).map(|_| cache.renew(&stale))).await;
        assert!(renewals.iter().all(|renewed| renewed.as_ref().is_ok_and(|s| s.access_token.expose_secret() == "token1")));
        assert_eq!(cache.issuer.0.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_session_from_a_lease_is_used_before_any_is_asked_for() {
        let cache = SessionCache::starting_with(Counting::default(), session("leased"));
        assert_eq!(cache.session().await.unwrap_or_else(|e| panic!("{e}")).access_token.expose_secret(), "leased");
        assert_eq!(cache.issuer.0.load(Ordering::SeqCst), 0);
    }
}
