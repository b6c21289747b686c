//! SQL Server and Azure SQL: a session, and the rows of a query.

use api::connection::{ConnectionMetadata, SqlServer};
use async_trait::async_trait;
use connect::{Dialer, SqlServerParams};
use engine::source::Source;
use engine::source::sqlserver::SqlServerSource;

use super::{Asked, Database, DriverError, Entries};

#[async_trait]
impl Database for SqlServer {
    async fn verify(&self, dialer: &Dialer, entries: &Entries) -> Result<ConnectionMetadata, DriverError> {
        let session = dialer.sql_server(&params(self), &entries.text("password")?).await?;
        Ok(ConnectionMetadata {
            system: Some(format!("SQL Server {}", session.server_version)),
            user: Some(self.user.clone()),
            org_id: None,
            instance_url: None,
        })
    }

    fn query(&self, dialer: &Dialer, entries: &Entries, asked: Asked<'_>) -> Result<Box<dyn Source>, DriverError> {
        let password = entries.text("password")?;
        let (since, query, Asked { zoneless, time_left, .. }) = (asked.since(), asked.query.clone(), asked);
        Ok(Box::new(SqlServerSource { dialer: dialer.clone(), params: params(self), password, query, since, zoneless, time_left }))
    }
}

fn params(server: &SqlServer) -> SqlServerParams {
    let tls = server.tls.clone().unwrap_or_default();
    SqlServerParams {
        host: server.host.clone(),
        port: server.port(),
        database: server.database.clone(),
        user: server.user.clone(),
        ca_bundle: tls.ca_bundle,
        server_name: tls.server_name,
        strict_encryption: server.strict_encryption(),
    }
}
