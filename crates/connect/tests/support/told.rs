//! Tokens that say who we are, as a test has them.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use connect::{Error, IdentityTokens};
use secrecy::SecretString;

/// The same token each time it is asked for one.
pub(crate) struct Told(pub(crate) String);

#[async_trait]
impl IdentityTokens for Told {
    async fn token(&self) -> Result<SecretString, Error> {
        Ok(self.0.clone().into())
    }
}

/// Counts what it gives out: `token+0`, `token+1` …
#[derive(Default)]
pub(crate) struct Counted(AtomicUsize);

#[async_trait]
impl IdentityTokens for Counted {
    async fn token(&self) -> Result<SecretString, Error> {
        Ok(format!("token+{}", self.0.fetch_add(1, Ordering::SeqCst)).into())
    }
}
