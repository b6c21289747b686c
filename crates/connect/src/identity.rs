//! Who we are, as somebody says whom the other side trusts: a token in place of a secret.

use async_trait::async_trait;
use secrecy::SecretString;

use crate::error::Error;

/// Tokens that say who we are, for one audience. Each is good for minutes.
#[async_trait]
pub trait IdentityTokens: Send + Sync {
    /// One that is good now.
    async fn token(&self) -> Result<SecretString, Error>;
}
