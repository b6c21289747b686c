//! What a worker is handed of a credential: the entries for a source, or a session of an org. The audit has the line before.

use std::collections::BTreeMap;

use api::connection::System;
use api::keeper::SecretText;
use api::{Connection, Uid};
use secrecy::ExposeSecret;

use super::credentials::{Entries, Stored};
use super::{TenantKeys, Vault};
use crate::keeper::audit::Event;
use crate::keeper::base::error::{Error, Result};

impl Vault {
    /// The entries that the way to log in has; absent when the credential lacks one.
    pub(crate) async fn entries(
        &self,
        keys: &TenantKeys,
        connection: &Connection,
        stored: &Stored,
        event: Event,
    ) -> Result<Option<BTreeMap<String, SecretText>>> {
        let Some(login) = connection.spec.login() else { return Ok(None) };
        let entries = self.hand_out(keys, connection, stored, event).await?;
        let identity = match self.identity(connection).await {
            Err(Error::NoTokens(_) | Error::OwnAudience(_)) => return Ok(None),
            identity => identity?,
        };
        let stored = login.keys.iter().map(|key| Some((key.name.to_owned(), SecretText::new(entries.text(key.name)?.expose_secret()))));
        Ok(stored.chain(identity.map(Some)).collect())
    }

    /// A session, and never the one of the digest `refused`; absent when the Connection describes no org.
    pub(crate) async fn session_of(
        &self,
        keys: &TenantKeys,
        connection: &Connection,
        stored: &Stored,
        version: i64,
        refused: Option<&str>,
        event: Event,
    ) -> Result<Option<salesforce::Session>> {
        let Some(org) = connection.spec.system().and_then(System::org) else { return Ok(None) };
        let entries = self.hand_out(keys, connection, stored, event).await?;
        self.session(&self.org_login(keys, connection, org, &entries, version)?, refused).await.map(Some)
    }

    async fn hand_out(&self, keys: &TenantKeys, connection: &Connection, stored: &Stored, event: Event) -> Result<Entries> {
        let entries = self.open(keys, connection, stored, event).await?;
        if let Ok(now) = self.cluster.now() {
            let mut used = self.used.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            used.insert(Uid::of(connection)?, now);
        }
        Ok(entries)
    }
}
