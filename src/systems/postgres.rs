//! PostgreSQL: a session, and the rows of a query.

use api::connection::{ConnectionMetadata, Postgres, PostgresAuthKind};
use async_trait::async_trait;
use connect::{Dialer, PostgresCredential, PostgresParams};
use engine::source::Source;
use engine::source::postgres::PostgresSource;

use super::{Asked, Database, DriverError, Entries};

#[async_trait]
impl Database for Postgres {
    async fn verify(&self, dialer: &Dialer, entries: &Entries) -> Result<ConnectionMetadata, DriverError> {
        let session = dialer.postgres(&params(self), &credential(self, entries)?).await?;
        let version = session.server_version.split_whitespace().next().unwrap_or_default();
        Ok(ConnectionMetadata {
            system: Some(format!("PostgreSQL {version}")),
            user: Some(self.user.clone()),
            org_id: None,
            instance_url: None,
        })
    }

    fn query(&self, dialer: &Dialer, entries: &Entries, asked: Asked<'_>) -> Result<Box<dyn Source>, DriverError> {
        let credential = credential(self, entries)?;
        let (since, query, zoneless) = (asked.since(), asked.query.clone(), asked.zoneless);
        Ok(Box::new(PostgresSource { dialer: dialer.clone(), params: params(self), credential, query, since, zoneless }))
    }
}

fn credential(postgres: &Postgres, entries: &Entries) -> Result<PostgresCredential, DriverError> {
    Ok(match postgres.auth().ok_or(DriverError::Login)? {
        PostgresAuthKind::Password(_) => PostgresCredential::Password(entries.text(Postgres::PASSWORD)?),
        PostgresAuthKind::ClientCertificate(_) => {
            let (certificates, key) = (entries.text(Postgres::CERTIFICATE)?, entries.text(Postgres::KEY)?);
            PostgresCredential::ClientCertificate { certificates, key }
        }
    })
}

fn params(postgres: &Postgres) -> PostgresParams {
    let tls = postgres.tls.clone().unwrap_or_default();
    PostgresParams {
        host: postgres.host.clone(),
        port: postgres.port(),
        database: postgres.database.clone(),
        user: postgres.user.clone(),
        ca_bundle: tls.ca_bundle,
        server_name: tls.server_name,
        allow_insecure_password: postgres.allows_insecure_password(),
    }
}
