//! SQL Server and Azure SQL: TLS with the server's name verified, always; then the login, by the password.
//!
//! The client library never sees a connection without TLS, and has none of its own: what it would verify, and against whom, is not its
//! business. By default TLS is agreed upon inside of TDS, as every server since 2005 does it; with `strictEncryption` (TDS 8.0) TLS comes
//! first, as with every other protocol. The login of TDS holds the password itself, so whoever is verified learns it. A gateway of Azure may
//! name another server and have the login go there: that one is dialed by the same rules and verified under the name that was told, and it
//! cannot name a third.

mod handshake;
mod prelogin;
mod session;
mod wire;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use secrecy::{ExposeSecret, SecretString};
use tiberius::{AuthMethod, Client, Config, EncryptionLevel};
use tokio_rustls::TlsConnector;
use tokio_util::compat::TokioAsyncReadCompatExt;

use self::handshake::Handshake;
use self::prelogin::Encryption;
pub use self::session::{SqlServerColumn, SqlServerKind, SqlServerRow, SqlServerRows, SqlServerSession, SqlServerValue};
use self::wire::{Meter, Wire};
use crate::dial::Dialer;
use crate::error::{Error, explain};
use crate::trust::{Trust, client_config, client_config_of_tls12};

/// From the name to the end of the login.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);

/// All that a server says until it has let us in: about a kilobyte.
const LOGIN_BYTES: usize = 1 << 20;

/// What TDS 8.0 calls itself when TLS is agreed upon.
const STRICT: &[u8] = b"tds/8.0";

/// Where a database is and who we are there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SqlServerParams {
    /// Name or address of the server.
    pub host: String,
    /// TCP port, 1 to 65535.
    pub port: u16,
    /// The database that the session is in; a server has several.
    pub database: String,
    /// Login of SQL Server; the password is given beside these.
    pub user: String,
    /// PEM of authorities besides the system's.
    pub ca_bundle: Option<String>,
    /// The name the certificate must carry, where it is not the host.
    pub server_name: Option<String>,
    /// TLS comes first (TDS 8.0). Otherwise it is agreed upon inside of TDS.
    pub strict_encryption: bool,
}

/// How a login ended.
enum Login {
    In(SqlServerSession),
    /// The server has another one do the rest.
    Elsewhere {
        host: String,
        port: u16,
    },
}

impl Dialer {
    /// Logs in to a database, within 30 seconds. Nothing is sent in clear but the wish for TLS.
    ///
    /// # Errors
    ///
    /// By where it fails: the address ([`Error::NoAddress`], [`Error::AddressRefused`], [`Error::PortRefused`]), the network, TLS
    /// ([`Error::SqlServerWithoutTls`] among them), the login ([`Error::SqlServerRefused`]), or the way to the server that this one names
    /// ([`Error::SqlServerRoute`]).
    pub async fn sql_server(&self, params: &SqlServerParams, password: &SecretString) -> Result<SqlServerSession, Error> {
        let target = target(params);
        let login = tokio::time::timeout(LOGIN_TIMEOUT, self.follow(params, password)).await;
        login.map_err(|_| Error::TimedOut { target, after: LOGIN_TIMEOUT })?
    }

    async fn follow(&self, params: &SqlServerParams, password: &SecretString) -> Result<SqlServerSession, Error> {
        let (host, port) = match self.log_in(params, password).await? {
            Login::In(session) => return Ok(session),
            Login::Elsewhere { host, port } => (host, port),
        };
        // Who names the other server is verified and has the password already. Whether we go there is for the Region to say, and its
        // certificate must be for the name that was told, whatever name the first one goes by.
        let elsewhere = SqlServerParams { host, port, server_name: None, ..params.clone() };
        let (from, to) = (target(params), target(&elsewhere));
        match self.log_in(&elsewhere, password).await {
            Ok(Login::In(session)) => Ok(session),
            Ok(Login::Elsewhere { .. }) => Err(Error::SqlServerRoutes { target: from, to }),
            Err(error) => Err(Error::SqlServerRoute { target: from, to, there: Box::new(error) }),
        }
    }

    async fn log_in(&self, params: &SqlServerParams, password: &SecretString) -> Result<Login, Error> {
        let target = target(params);
        let name = params.server_name.as_deref().unwrap_or(&params.host).trim_end_matches('.');
        let name = ServerName::try_from(name.to_owned()).map_err(|_| Error::ServerName { name: name.to_owned() })?;
        let verifier = Trust::SystemAnd(params.ca_bundle.as_deref()).verifier()?;
        let mut tcp = self.tcp(&params.host, params.port).await?;
        let of_network = |source| Error::Unreachable { target: target.clone(), source };
        let of_tls = |error: io::Error| Error::Tls { target: target.clone(), reason: explain(&error) };
        let greet = |error: io::Error| match error.kind() {
            io::ErrorKind::InvalidData => Error::SqlServerProtocol { target: target.clone(), reason: error.to_string() },
            _ => of_network(error),
        };
        let (stream, answer) = if params.strict_encryption {
            let mut config = client_config(verifier)?;
            config.alpn_protocols = vec![STRICT.to_vec()];
            let connector = TlsConnector::from(Arc::new(config));
            let mut stream = connector.connect(name, Handshake::plain(tcp)).await.map_err(of_tls)?;
            let answer = prelogin::exchange(&mut stream, Encryption::NotInside).await.map_err(greet)?;
            (stream, answer)
        } else {
            let answer = prelogin::exchange(&mut tcp, Encryption::On).await.map_err(greet)?;
            if !answer.encrypts {
                return Err(Error::SqlServerWithoutTls { target });
            }
            // TLS 1.3 says more after its handshake, and TDS before 8.0 has no place for that.
            let connector = TlsConnector::from(Arc::new(client_config_of_tls12(verifier)?));
            let mut stream = connector.connect(name, Handshake::packed(tcp)).await.map_err(of_tls)?;
            stream.get_mut().0.over();
            (stream, answer)
        };
        let meter = Arc::new(Meter::new(LOGIN_BYTES));
        let wire = Wire::new(stream, prelogin::answer_to_a_library(), meter.clone());
        let mut config = Config::new();
        config.host(&params.host);
        config.port(params.port);
        config.database(&params.database);
        config.application_name("dataimporter");
        // The name of the pod is nobody's business there.
        config.client_name("");
        // Inside of what is encrypted already.
        config.encryption(EncryptionLevel::NotSupported);
        // How long the login may take is ours to say, and a query may take as long as its run.
        config.handshake_timeout(None);
        config.command_timeout(None);
        config.authentication(AuthMethod::sql_server(&params.user, password.expose_secret()));
        match Client::connect(config, wire.compat()).await {
            Ok(client) => Ok(Login::In(SqlServerSession::begin(client, meter, target, answer.version))),
            Err(tiberius::error::Error::Routing { host, port }) => Ok(Login::Elsewhere { host, port }),
            Err(error) => Err(refused(target, &meter, error)),
        }
    }
}

fn target(params: &SqlServerParams) -> String {
    format!("{}:{}", params.host, params.port)
}

fn refused(target: String, meter: &Meter, error: tiberius::error::Error) -> Error {
    if meter.exceeded() {
        return Error::SqlServerProtocol { target, reason: format!("it sends more than {LOGIN_BYTES} bytes before it has let us in") };
    }
    match error {
        tiberius::error::Error::Server(error) => {
            Error::SqlServerRefused { target, code: error.code().to_string(), reason: error.message().to_owned() }
        }
        tiberius::error::Error::Io { kind, message } => Error::Unreachable { target, source: io::Error::new(kind, message) },
        error => Error::SqlServerProtocol { target, reason: error.to_string() },
    }
}

/// Errors that are of the server's own trouble: it starts or stops, moves to another machine, has too much to do or too little memory; two
/// sessions waited for each other, or one waited too long.
pub(crate) fn is_passing(code: &str) -> bool {
    const PASSING: [&str; 45] = [
        "596", "601", "617", "669", "701", "802", "904", "921", "922", "927", "952", "983", "988", "1203", "1204", "1205", "1221", "1222",
        "3961", "3966", "4221", "6005", "6006", "8628", "8645", "8651", "9515", "10922", "10928", "10929", "10936", "14355", "17142",
        "17197", "17830", "18401", "18451", "40143", "40197", "40501", "40540", "40613", "49918", "49919", "49920",
    ];
    PASSING.contains(&code)
}
