//! PostgreSQL: SSLRequest, then TLS with the server's name verified, always; then the login, by SCRAM.

mod session;
mod tls;
mod watch;

use std::error::Error as StdError;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::config::SslMode;

use self::session::End;
pub use self::session::{PostgresColumn, PostgresCopy, PostgresSession, PostgresType};
use self::tls::{TlsFailure, VerifiedTls};
use self::watch::Refusal;
use crate::dial::Dialer;
use crate::error::{Error, explain};

/// From the name to the end of the login.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a database is and who we are there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PostgresParams {
    /// Name or address of the server.
    pub host: String,
    /// TCP port, 1 to 65535.
    pub port: u16,
    /// The database that the session is in; a server has several.
    pub database: String,
    /// Role to log in as; the password is given beside these.
    pub user: String,
    /// PEM of authorities besides the system's.
    pub ca_bundle: Option<String>,
    /// The name the certificate must carry, where it is not the host.
    pub server_name: Option<String>,
    /// The server may have the password as it is, or as MD5. Otherwise it gets a proof that it cannot use elsewhere (SCRAM).
    pub allow_insecure_password: bool,
}

impl Dialer {
    /// Logs in to a database, within 30 seconds. Nothing is sent in clear but the wish for TLS.
    ///
    /// # Errors
    ///
    /// By where it fails: the address ([`Error::NoAddress`], [`Error::AddressRefused`], [`Error::PortRefused`]), the network, TLS, or the
    /// login ([`Error::PostgresRefused`], [`Error::PostgresPassword`]).
    pub async fn postgres(&self, params: &PostgresParams, password: &SecretString) -> Result<PostgresSession, Error> {
        let target = format!("{}:{}", params.host, params.port);
        let login = tokio::time::timeout(LOGIN_TIMEOUT, self.login(params, password)).await;
        login.map_err(|_| Error::TimedOut { target, after: LOGIN_TIMEOUT })?
    }

    async fn login(&self, params: &PostgresParams, password: &SecretString) -> Result<PostgresSession, Error> {
        let target = format!("{}:{}", params.host, params.port);
        let tls = VerifiedTls::new(params)?;
        let refusal = tls.refusal();
        let stream = self.tcp(&params.host, params.port).await?;
        let mut config = tokio_postgres::Config::new();
        config
            .user(&params.user)
            .dbname(&params.database)
            .password(password.expose_secret())
            .application_name("dataimporter")
            .ssl_mode(SslMode::Require);
        let (client, connection) = config.connect_raw(stream, tls).await.map_err(|error| match refusal.get() {
            Some(refusal) => of_refusal(target.clone(), refusal),
            None => refused(target.clone(), &error),
        })?;
        let server_version = connection.parameter("server_version").unwrap_or("unknown").to_owned();
        let peer = target.clone();
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(target = peer, error = explain(&error), "the connection to PostgreSQL ended");
            }
        });
        Ok(PostgresSession { client, server_version, driver, end: End { target, refusal } })
    }
}

fn of_refusal(target: String, refusal: &Refusal) -> Error {
    match refusal {
        Refusal::Password(how) => Error::PostgresPassword { target, how },
        refusal => Error::PostgresProtocol { target, reason: refusal.to_string() },
    }
}

fn refused(target: String, error: &tokio_postgres::Error) -> Error {
    if let Some(db) = error.as_db_error() {
        return Error::PostgresRefused { target, code: db.code().code().to_owned(), reason: db.message().to_owned() };
    }
    let reason = explain(error);
    if reason == "server does not support TLS" {
        Error::PostgresWithoutTls { target }
    } else if failed_in_tls(error) {
        Error::Tls { target, reason }
    } else {
        Error::PostgresProtocol { target, reason }
    }
}

fn failed_in_tls(error: &tokio_postgres::Error) -> bool {
    let mut cause = error.source();
    while let Some(current) = cause {
        if current.is::<TlsFailure>() {
            return true;
        }
        cause = current.source();
    }
    false
}
