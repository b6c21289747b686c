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

/// What logs a role in.
pub enum PostgresCredential {
    /// Its password.
    Password(SecretString),
    /// A certificate that names it, and the private key.
    ClientCertificate {
        /// PEM: the certificate first, then those between it and its authority.
        certificates: SecretString,
        /// PEM, without a passphrase.
        key: SecretString,
    },
}

impl Dialer {
    /// Logs in to a database, within 30 seconds. Nothing is sent in clear but the wish for TLS.
    ///
    /// # Errors
    ///
    /// By where it fails: the address ([`Error::NoAddress`], [`Error::AddressRefused`], [`Error::PortRefused`]), the network, TLS, or the
    /// login ([`Error::PostgresRefused`], [`Error::PostgresPassword`], [`Error::Login`]).
    pub async fn postgres(&self, params: &PostgresParams, credential: &PostgresCredential) -> Result<PostgresSession, Error> {
        let target = format!("{}:{}", params.host, params.port);
        let login = tokio::time::timeout(LOGIN_TIMEOUT, self.login(params, credential)).await;
        login.map_err(|_| Error::TimedOut { target, after: LOGIN_TIMEOUT })?
    }

    async fn login(&self, params: &PostgresParams, credential: &PostgresCredential) -> Result<PostgresSession, Error> {
        let target = format!("{}:{}", params.host, params.port);
        let tls = VerifiedTls::new(params, credential)?;
        let refusal = tls.refusal();
        let stream = self.tcp(&params.host, params.port).await?;
        let mut config = tokio_postgres::Config::new();
        config.user(&params.user).dbname(&params.database).application_name("dataimporter").ssl_mode(SslMode::Require);
        let by_certificate = match credential {
            PostgresCredential::Password(password) => {
                config.password(password.expose_secret());
                false
            }
            PostgresCredential::ClientCertificate { .. } => true,
        };
        let (client, connection) = config.connect_raw(stream, tls).await.map_err(|error| match refusal.get() {
            Some(Refusal::Password(_)) if by_certificate => no_password(target.clone()),
            Some(refusal) => of_refusal(target.clone(), refusal),
            None if by_certificate && explain(&error).contains("password missing") => no_password(target.clone()),
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

fn no_password(target: String) -> Error {
    let reason = "it asks for a password, and the Connection has a client certificate: let its pg_hba.conf say `cert` for this role";
    Error::Login { target, reason: reason.to_owned() }
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
    if let Some(alert) = alert_of(error) {
        return Error::Login {
            target,
            reason: format!("it does not take the client certificate ({alert}): correct it, or its authority there (ssl_ca_file)"),
        };
    }
    if reason == "server does not support TLS" {
        Error::PostgresWithoutTls { target }
    } else if failed_in_tls(error) {
        Error::Tls { target, reason }
    } else {
        Error::PostgresProtocol { target, reason }
    }
}

/// What a server says in TLS once the handshake is done on our side: then it is about our certificate.
fn alert_of(error: &tokio_postgres::Error) -> Option<String> {
    let mut cause = error.source();
    while let Some(current) = cause {
        let inner = current.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(rustls::Error::AlertReceived(alert)) = inner.and_then(|inner| inner.downcast_ref()) {
            return Some(format!("{alert:?}"));
        }
        cause = current.source();
    }
    None
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
