//! Shows a stored credential to the system that it is for, and learns who we are there.

use api::Connection;
use api::connection::{ConnectionMetadata, MySql, Postgres, S3, System, SystemKind};
use api::region::PrivateEndpoint;
use secrecy::SecretString;

use super::credentials::{Entries, Stored};
use super::sessions::{Target, token_sha256};
use super::{Home, Vault};
use crate::keeper::audit::Event;
use crate::keeper::base::error::{Error, Result};
use crate::reach::{address_policy, mysql_params, postgres_params, s3_key, s3_params};

impl Vault {
    /// The audit has the line before the credential is opened.
    pub(crate) async fn show(
        &self,
        home: &Home,
        connection: &Connection,
        system: System<'_>,
        stored: &Stored,
        endpoints: &[PrivateEndpoint],
    ) -> Result<ConnectionMetadata> {
        let entries = self.open(home, connection, stored, Event::new("CredentialOpened").with("for", "Verification")).await?;
        match system {
            System::Salesforce(salesforce) => {
                self.org(&self.target(home, connection, salesforce, &entries, stored.credential.version)).await
            }
            System::Postgres(postgres) => self.postgres(endpoints, postgres, &entries).await,
            System::MySql(mysql) => self.mysql(endpoints, mysql, &entries).await,
            System::S3(s3) => self.s3(endpoints, s3, &entries).await,
        }
    }

    async fn org(&self, target: &Target<'_>) -> Result<ConnectionMetadata> {
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

    async fn postgres(&self, endpoints: &[PrivateEndpoint], postgres: &Postgres, entries: &Entries) -> Result<ConnectionMetadata> {
        let password = password(entries)?;
        let policy = address_policy(SystemKind::Postgres, endpoints);
        let session = self.dialer.with_policy(policy).postgres(&postgres_params(postgres), &password).await?;
        let version = session.server_version.split_whitespace().next().unwrap_or_default();
        Ok(ConnectionMetadata {
            system: Some(format!("PostgreSQL {version}")),
            user: Some(postgres.user.clone()),
            org_id: None,
            instance_url: None,
        })
    }

    async fn mysql(&self, endpoints: &[PrivateEndpoint], mysql: &MySql, entries: &Entries) -> Result<ConnectionMetadata> {
        let policy = address_policy(SystemKind::MySql, endpoints);
        let session = self.dialer.with_policy(policy).mysql(&mysql_params(mysql), &password(entries)?).await?;
        Ok(ConnectionMetadata {
            // Which of the two it is, an answer would tell; the login asks nothing, so that no answer can hurt the keeper.
            system: Some(format!("MySQL or MariaDB {}", session.server_version)),
            user: Some(mysql.user.clone()),
            org_id: None,
            instance_url: None,
        })
    }

    /// Asks for nothing that a key which may only read objects would be refused for. Whether it may read those of a job, the job finds out.
    async fn s3(&self, endpoints: &[PrivateEndpoint], s3: &S3, entries: &Entries) -> Result<ConnectionMetadata> {
        let missing = || Error::Record { name: "credential".into(), detail: "it lacks an entry of an access key" };
        let key = s3_key(|name| entries.text(name).ok_or_else(missing))?;
        let policy = address_policy(SystemKind::S3, endpoints);
        self.dialer.with_policy(policy).s3(&s3_params(s3), &key)?.verify().await?;
        Ok(ConnectionMetadata { system: Some(format!("S3 bucket {}", s3.bucket)), user: None, org_id: None, instance_url: None })
    }
}

fn password(entries: &Entries) -> Result<SecretString> {
    entries.text("password").ok_or(Error::Record { name: "credential".into(), detail: "it holds no password" })
}
