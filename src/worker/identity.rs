//! Tokens that stand for a secret, asked of the keeper once the one in the lease has ended.

use std::sync::Arc;

use api::keeper::{IDENTITY_TOKEN, SourceCredential};
use async_trait::async_trait;
use connect::{Error, IdentityTokens};
use engine::load::StopSignal;
use secrecy::SecretString;

use super::keeper::Keeper;

pub(super) struct FromKeeper {
    keeper: Arc<Keeper>,
    stop_signal: StopSignal,
}

impl FromKeeper {
    pub(super) fn new(keeper: Arc<Keeper>, stop_signal: StopSignal) -> Self {
        Self { keeper, stop_signal }
    }
}

#[async_trait]
impl IdentityTokens for FromKeeper {
    async fn token(&self) -> Result<SecretString, Error> {
        let credential = self.keeper.source().await.map_err(|error| {
            error.stop_run(&self.stop_signal);
            Error::Identity { reason: error.to_string(), transient: error.may_pass() }
        })?;
        let token = match credential {
            SourceCredential::Entries(mut entries) => entries.remove(IDENTITY_TOKEN),
            SourceCredential::Upload(_) => None,
        };
        let none = || Error::Identity { reason: "the keeper gave none".into(), transient: false };
        Ok(token.ok_or_else(none)?.into_secret())
    }
}
