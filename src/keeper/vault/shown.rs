//! Shows a stored credential to the system that it is for, and learns who we are there.

use api::Connection;
use api::connection::{ConnectionMetadata, System};
use api::region::PrivateEndpoint;

use super::credentials::Stored;
use super::sessions::{OrgLogin, token_sha256};
use super::{TenantKeys, Vault};
use crate::keeper::audit::Event;
use crate::keeper::base::error::{Error, Result};
use crate::systems::reach::address_policy;
use crate::systems::{DriverError, Role, role};

impl Vault {
    /// The audit has the line before the credential is opened.
    pub(crate) async fn show(
        &self,
        keys: &TenantKeys,
        connection: &Connection,
        system: System<'_>,
        stored: &Stored,
        endpoints: &[PrivateEndpoint],
    ) -> Result<ConnectionMetadata> {
        let entries = self.open(keys, connection, stored, Event::new("CredentialOpened").with("for", "Verification")).await?;
        let identity = self.identity(connection).await?.map(|(name, token)| (name, token.into_secret()));
        let wanted = connection.spec.login().map(|login| login.keys).unwrap_or_default();
        let read =
            || wanted.iter().filter_map(|key| Some((key.name.to_owned(), entries.text(key.name)?))).chain(identity.clone()).collect();
        let dialer = || self.dialer.with_policy(address_policy(system.kind(), endpoints));
        match role(system) {
            Role::Target(salesforce) => self.org(&self.org_login(keys, connection, salesforce, &entries, stored.credential.version)?).await,
            Role::Database(database) => Ok(database.verify(&dialer(), &read()).await?),
            Role::Files(server) => Ok(server.verify(&dialer(), &read()).await?),
        }
    }

    async fn org(&self, target: &OrgLogin<'_>) -> Result<ConnectionMetadata> {
        let shared = self.session(target, None).await?;
        let (session, who) = match self.sessions.user_info(target, shared.clone()).await {
            Ok(who) => (shared, who),
            // The session we shared is dead by now: one new one tells whether the credential still is good.
            Err(Error::Salesforce(_)) => {
                let refused = token_sha256(&shared.access_token);
                let fresh = self.session(target, Some(&refused)).await?;
                let who = self.sessions.user_info(target, fresh.clone()).await?;
                (fresh, who)
            }
            Err(error) => return Err(error),
        };
        let host = session.instance_url.host_str().unwrap_or_default().to_owned();
        Ok(ConnectionMetadata {
            system: Some(format!("Salesforce {} ({})", who.organization_id, host.split('.').next().unwrap_or_default())),
            user: Some(who.username),
            org_id: Some(who.organization_id),
            instance_url: Some(session.instance_url.as_str().trim_end_matches('/').to_owned()),
        })
    }
}

impl From<DriverError> for Error {
    fn from(error: DriverError) -> Self {
        match error {
            DriverError::Entry(_) => Self::Record { name: "credential".into(), detail: "it lacks an entry that the login needs" },
            DriverError::Identity => Self::Record { name: "credential".into(), detail: "there is no token in place of it" },
            DriverError::Login => Self::Record { name: "connection".into(), detail: "it says no way to log in that this version knows" },
            DriverError::Connect(error) => Self::Connect(error),
        }
    }
}
