//! What a worker is handed of a credential: the entries for a source, or a session of an org. The audit has the line before.

use std::collections::{BTreeMap, HashMap};
use std::sync::{MutexGuard, PoisonError};

use api::connection::System;
use api::identity::has_uid;
use api::keeper::SecretText;
use api::{Connection, Uid};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use runtime::store::ObjectKey;
use secrecy::ExposeSecret;
use serde_json::json;

use super::credentials::{Entries, Stored};
use super::{TenantKeys, Vault};
use crate::keeper::audit::Event;
use crate::keeper::base::error::{Error, Result, kube};

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
            self.used().insert(ObjectKey::of(connection), (Uid::of(connection)?, now));
        }
        Ok(entries)
    }

    /// Writes into statuses when credentials were used here. Every keeper says it of itself; the last word stands.
    pub(crate) async fn tell_used(&self) {
        let used = std::mem::take(&mut *self.used());
        for (key, (uid, at)) in used {
            if let Err(error) = self.tell_one(&key, &uid, at).await {
                tracing::warn!(connection = %key, error = error.chain(), "that a credential was used could not be told; tried again");
                self.used().entry(key).or_insert((uid, at));
            }
        }
    }

    async fn tell_one(&self, key: &ObjectKey, uid: &Uid, at: Timestamp) -> Result<()> {
        let connections: Api<Connection> = Api::namespaced(self.cluster.client.clone(), key.namespace.as_deref().unwrap_or_default());
        let found = connections.get_metadata_opt(&key.name).await.map_err(kube("read the Connection"))?;
        if found.is_some_and(|found| has_uid(&found.metadata, uid.as_str())) {
            self.use_writer.apply_status(&connections, key, None, &json!({"lastUsed": Time(at)})).await?;
        }
        Ok(())
    }

    fn used(&self) -> MutexGuard<'_, HashMap<ObjectKey, (Uid, Timestamp)>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
