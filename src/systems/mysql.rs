//! MySQL and MariaDB: a session, and the rows of a query.

use api::connection::{ConnectionMetadata, MySql};
use async_trait::async_trait;
use connect::{Dialer, MySqlParams};
use engine::source::Source;
use engine::source::mysql::MySqlSource;

use super::{Asked, Database, DriverError, Entries};

#[async_trait]
impl Database for MySql {
    async fn verify(&self, dialer: &Dialer, entries: &Entries) -> Result<ConnectionMetadata, DriverError> {
        let session = dialer.mysql(&params(self), &entries.text("password")?).await?;
        Ok(ConnectionMetadata {
            // Which of the two it is, an answer would tell; the login asks nothing, so that no answer can hurt the keeper.
            system: Some(format!("MySQL or MariaDB {}", session.server_version)),
            user: Some(self.user.clone()),
            org_id: None,
            instance_url: None,
        })
    }

    fn query(&self, dialer: &Dialer, entries: &Entries, asked: Asked<'_>) -> Result<Box<dyn Source>, DriverError> {
        let password = entries.text("password")?;
        let (since, query, Asked { zoneless, time_left, .. }) = (asked.since(), asked.query.clone(), asked);
        Ok(Box::new(MySqlSource { dialer: dialer.clone(), params: params(self), password, query, since, zoneless, time_left }))
    }
}

fn params(mysql: &MySql) -> MySqlParams {
    let tls = mysql.tls.clone().unwrap_or_default();
    MySqlParams {
        host: mysql.host.clone(),
        port: mysql.port(),
        database: mysql.database.clone(),
        user: mysql.user.clone(),
        ca_bundle: tls.ca_bundle,
        server_name: tls.server_name,
    }
}
