//! MySQL and MariaDB: TLS with the server's name verified, always; then the login, by a proof of the password.
//!
//! The library opens its sockets itself, so it is given nothing but addresses that were checked, and a set of authorities that is ours. It
//! answers no request for a file (`LOCAL INFILE`), for the password as it is (`mysql_clear_password`) or by the broken scheme of before
//! 2004 (`mysql_old_password`). What `caching_sha2_password` asks for when a server does not know a user yet, the password itself, goes to
//! the verified server inside TLS.

mod session;

use std::time::Duration;

use mysql_async::{Conn, DriverError, IoError, OptsBuilder, SslOpts};
use secrecy::{ExposeSecret, SecretString};

pub use self::session::{MySqlColumn, MySqlKind, MySqlRow, MySqlRows, MySqlSession};
use crate::dial::Dialer;
use crate::error::{Error, explain};
use crate::trust::Trust;

/// From the name to the end of the login.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);

/// One message of the server. A row is one: Salesforce takes 400,000 characters of it.
const MESSAGE_BYTES: usize = 16 << 20;

const KEEPALIVE: Duration = Duration::from_secs(30);

/// Where a database is and who we are there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MySqlParams {
    /// Name or address of the server.
    pub host: String,
    /// TCP port, 1 to 65535.
    pub port: u16,
    /// The database that the session is in; a server has several.
    pub database: String,
    /// User to log in as; the password is given beside these.
    pub user: String,
    /// PEM of authorities besides the system's.
    pub ca_bundle: Option<String>,
    /// The name the certificate must carry, where it is not the host.
    pub server_name: Option<String>,
}

impl Dialer {
    /// Logs in to a database, within 30 seconds. Nothing is sent in clear but the wish for TLS.
    ///
    /// # Errors
    ///
    /// By where it fails: the address ([`Error::NoAddress`], [`Error::AddressRefused`], [`Error::PortRefused`]), the network, TLS, or the
    /// login ([`Error::MySqlRefused`], [`Error::MySqlPassword`]).
    pub async fn mysql(&self, params: &MySqlParams, password: &SecretString) -> Result<MySqlSession, Error> {
        let target = format!("{}:{}", params.host, params.port);
        let login = tokio::time::timeout(LOGIN_TIMEOUT, self.login_to_mysql(params, password)).await;
        login.map_err(|_| Error::TimedOut { target, after: LOGIN_TIMEOUT })?
    }

    async fn login_to_mysql(&self, params: &MySqlParams, password: &SecretString) -> Result<MySqlSession, Error> {
        let target = format!("{}:{}", params.host, params.port);
        let name = params.server_name.as_deref().unwrap_or(&params.host).trim_end_matches('.').to_owned();
        let roots = Trust::SystemAnd(params.ca_bundle.as_deref()).certificates()?;
        let tls = SslOpts::default()
            .with_disable_built_in_roots(true)
            .with_root_certs(roots.into_iter().map(|root| root.to_vec().into()).collect())
            .with_danger_tls_hostname_override(Some(name));
        // The library opens its sockets itself, and knows no proxy.
        if self.tunnel(&params.host, params.port)?.is_some() {
            return Err(Error::NoTunnel { target });
        }
        let addresses = self.addresses(&params.host, params.port).await?;
        let options = OptsBuilder::default()
            .ip_or_hostname(&params.host)
            .resolved_ips(Some(addresses))
            .tcp_port(params.port)
            .tcp_keepalive(Some(KEEPALIVE))
            // A server on this machine would be asked for its socket, which has no TLS.
            .prefer_socket(false)
            .user(Some(&params.user))
            .pass(Some(password.expose_secret()))
            .db_name(Some(&params.database))
            .ssl_opts(tls)
            .secure_auth(true)
            .enable_cleartext_plugin(false)
            .stmt_cache_size(0)
            .max_allowed_packet(Some(MESSAGE_BYTES))
            // The library would ask the server for it, to know when a connection of its pool grows old.
            .wait_timeout(Some(0));
        let connection = Conn::new(options).await.map_err(|error| refused(target.clone(), error))?;
        Ok(MySqlSession::begin(connection, target))
    }
}

/// Errors that are of the server's own trouble: too many connections, shutting down, trouble on the wire, locks, killed by an
/// administrator.
pub(crate) fn is_passing(code: &str) -> bool {
    const PASSING: [&str; 13] = ["1040", "1053", "1077", "1080", "1158", "1159", "1160", "1161", "1203", "1205", "1213", "1226", "1927"];
    PASSING.contains(&code)
}

fn refused(target: String, error: mysql_async::Error) -> Error {
    let reason = explain(&error);
    match error {
        mysql_async::Error::Server(error) => {
            Error::MySqlRefused { target, code: error.code.to_string(), state: error.state, reason: error.message }
        }
        mysql_async::Error::Driver(DriverError::NoClientSslFlagFromServer) => Error::MySqlWithoutTls { target },
        mysql_async::Error::Driver(DriverError::CleartextPluginDisabled) => Error::MySqlPassword { target, how: "in clear".to_owned() },
        mysql_async::Error::Driver(DriverError::MysqlOldPasswordDisabled) => {
            Error::MySqlPassword { target, how: "by mysql_old_password, which gives it away".to_owned() }
        }
        mysql_async::Error::Driver(DriverError::UnknownAuthPlugin { name }) => Error::MySqlPassword { target, how: format!("by {name:?}") },
        error if is_of_tls(&error) => Error::Tls { target, reason },
        mysql_async::Error::Io(IoError::Io(source)) => Error::Unreachable { target, source },
        _ => Error::MySqlProtocol { target, reason },
    }
}

fn is_of_tls(error: &mysql_async::Error) -> bool {
    crate::error::is_of_tls(error) || matches!(error, mysql_async::Error::Io(IoError::Tls(_)))
}
