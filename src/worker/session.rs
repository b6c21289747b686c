//! Access tokens, asked of the keeper when Salesforce refuses the one we have. A worker never sees what they are made of.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::Context as _;
use api::keeper::SalesforceSession;
use async_trait::async_trait;
use engine::load::StopSignal;
use salesforce::{Error, Session, SessionIssuer};
use sha2::{Digest as _, Sha256};

use super::keeper::{CallError, Keeper};

pub(super) struct FromKeeper {
    keeper: Arc<Keeper>,
    connection: String,
    /// Digest of the newest token: what the keeper is told was refused.
    newest: Mutex<String>,
    stop_signal: StopSignal,
    /// That there is none any more: asked once.
    over: OnceLock<String>,
}

impl FromKeeper {
    /// Without a first session the org is not to be asked at all.
    pub(super) fn new(keeper: Arc<Keeper>, connection: String, first: Option<&SalesforceSession>, stop_signal: StopSignal) -> Self {
        let over = OnceLock::new();
        if first.is_none() {
            over.get_or_init(|| stop_signal.reason().map_or_else(String::new, |(_, why)| why));
        }
        Self { keeper, connection, newest: Mutex::new(first.map_or_else(String::new, digest)), stop_signal, over }
    }
}

#[async_trait]
impl SessionIssuer for FromKeeper {
    async fn issue(&self) -> Result<Session, Error> {
        if let Some(reason) = self.over.get() {
            return Err(Error::Session { reason: reason.clone(), transient: false });
        }
        let refused = self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let issued = self.keeper.session(&self.connection, &refused).await.map_err(|error| self.failed(&error))?;
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = digest(&issued);
        session(&issued).map_err(|error| Error::Session { reason: format!("{error:#}"), transient: false })
    }
}

impl FromKeeper {
    fn failed(&self, error: &CallError) -> Error {
        error.stop_run(&self.stop_signal);
        if let CallError::Over(_, why) = error {
            self.over.get_or_init(|| why.clone());
        }
        Error::Session { reason: error.to_string(), transient: matches!(error, CallError::Unreachable(_) | CallError::NotYet(_)) }
    }
}

pub(super) fn session(given: &SalesforceSession) -> anyhow::Result<Session> {
    let instance_url = given.instance_url.parse().context("the keeper gave an instance URL that is none")?;
    Ok(Session { access_token: given.access_token.clone().into_secret(), instance_url })
}

fn digest(session: &SalesforceSession) -> String {
    hex::encode(Sha256::digest(session.access_token.expose()))
}
