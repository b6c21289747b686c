//! Why a connection did not come about, with the remedy where there is one. Nothing here quotes a secret or a query.

use std::error::Error as StdError;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use explain::Explained;

use crate::address::AddressKind;
use crate::download::HttpsRefusal;
use crate::objects::{AuthorityRefusal, ObjectsRefusal, RoleRefusal, S3Refusal};
use crate::proxy::ProxyRefusal;
use crate::reasons;

/// Why a connection did not come about or an exchange over it did not end well. The messages are for the people who set the connection up:
/// they name the target as `host:port` and, where there is one, the remedy. Certificates are told of, secrets and bodies never.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum Error {
    #[error("no address found for {host}: {reason}")]
    NoAddress { host: String, reason: String },

    #[error(
        "{target} is at {address}, a {kind} address: it may be dialed only when the Region's privateEndpoints list it with port {port}"
    )]
    AddressRefused { target: String, address: IpAddr, kind: AddressKind, port: u16 },

    #[error(
        "{target} is at {address}, and public addresses are dialed on port {public} only: serve it there, or have the Region's \
         privateEndpoints list {address}/{} with port {port}",
        if address.is_ipv4() { 32 } else { 128 }
    )]
    PortRefused { target: String, address: IpAddr, port: u16, public: u16 },

    #[error(
        "{target} would be reached through the proxy, which public hosts are on port {public} only: serve it there; or, if the host is your \
         own, list it in egress.proxy.noProxy of the chart and its address with port {port} in the Region's privateEndpoints"
    )]
    ProxiedPortRefused { target: String, port: u16, public: u16 },

    #[error(
        "{target} is at {address} and goes past the proxy, and then public addresses are dialed only when the Region's privateEndpoints \
         list {address}/{} with port {port}: take the host out of egress.proxy.noProxy of the chart, or list the address",
        if address.is_ipv4() { 32 } else { 128 }
    )]
    PastProxy { target: String, address: IpAddr, port: u16 },

    #[error(
        "{target} is at {address}, which the Region's privateEndpoints list, and its name would be given to the proxy: list the host in \
         egress.proxy.noProxy of the chart, so that it is dialed directly"
    )]
    ListedBehindProxy { target: String, address: IpAddr },

    #[error("{host:?} is no name of a host, and nothing that the proxy could be asked for: correct it")]
    HostRefused { host: String },

    #[error(
        "{target} would be reached through the proxy, which is not supported for MySQL: list the host in egress.proxy.noProxy of the chart \
         and its address in the Region's privateEndpoints, so that it is dialed directly"
    )]
    NoTunnel { target: String },

    /// There is no way through the proxy.
    #[error("{target} is reached through the proxy {proxy}, and {refusal}")]
    ProxyRefused { target: String, proxy: String, refusal: ProxyRefusal },

    #[error("{target} cannot be reached")]
    Unreachable {
        target: String,
        #[source]
        source: io::Error,
    },

    #[error("{target} did not answer within {} s", after.as_secs())]
    TimedOut { target: String, after: Duration },

    #[error("the connection to {target} is not safe: {reason}")]
    Tls { target: String, reason: String },

    #[error("{target} refuses TLS, and nothing is sent in clear: turn on ssl in its postgresql.conf")]
    PostgresWithoutTls { target: String },

    #[error("{target} refused the login: {reason}")]
    PostgresRefused { target: String, code: String, reason: String },

    #[error(
        "{target} asks for the password {how}, and gets none: let it use scram-sha-256 (password_encryption and pg_hba.conf, then set the \
         user's password anew); postgres.allowInsecurePasswordAuthentication would give it away"
    )]
    PostgresPassword { target: String, how: &'static str },

    #[error("{target} does not behave like PostgreSQL: {reason}")]
    PostgresProtocol { target: String, reason: String },

    #[error(
        "{target} refuses TLS, and nothing is sent in clear: give the server a certificate (ssl_cert and ssl_key in its configuration)"
    )]
    MySqlWithoutTls { target: String },

    #[error("{target} refused the login: {reason} (error {code}, SQLSTATE {state})")]
    MySqlRefused { target: String, code: String, state: String, reason: String },

    #[error("{target} asks for the password {how}, and gets none: let the user log in with mysql_native_password or caching_sha2_password")]
    MySqlPassword { target: String, how: String },

    #[error("{target} does not behave like MySQL: {reason}")]
    MySqlProtocol { target: String, reason: String },

    #[error(
        "{target} does not encrypt the session, and nothing is sent in clear: give the server a certificate (SQL Server Configuration \
         Manager, or mssql-conf set network.tlscert), and set sqlServer.strictEncryption if it takes TDS 8.0 only"
    )]
    SqlServerWithoutTls { target: String },

    #[error("{target} refused the login: {reason} (error {code})")]
    SqlServerRefused { target: String, code: String, reason: String },

    /// What happened there is a part of the message, and no source that would tell it once more.
    #[error("{target} sends us on to {to}, and there: {}", chain(.there))]
    SqlServerRoute { target: String, to: String, there: Box<Error> },

    #[error("{target} sends us on to {to}, which sends us on once more; nobody is followed twice")]
    SqlServerRoutes { target: String, to: String },

    #[error("{target} does not behave like SQL Server: {reason}")]
    SqlServerProtocol { target: String, reason: String },

    /// The server of an S3 bucket says no.
    #[error("{target}: {refusal}")]
    S3Refused { target: String, refusal: S3Refusal },

    /// The service that gives keys of a role says no.
    #[error("{target}: {refusal}")]
    S3RoleRefused { target: String, refusal: RoleRefusal },

    #[error("{target} does not behave like S3: {reason}")]
    S3Protocol { target: String, reason: String },

    /// The server of another store of objects says no.
    #[error("{target}: {refusal}")]
    ObjectsRefused { target: String, refusal: ObjectsRefusal },

    /// Who gives access tokens says no.
    #[error("{target}: {refusal}")]
    AuthorityRefused { target: String, refusal: AuthorityRefusal },

    #[error("{target} does not behave like {system}: {reason}")]
    ObjectsProtocol { target: String, system: &'static str, reason: String },

    /// A server of files says no.
    #[error("{target}: {refusal}")]
    HttpsRefused { target: String, refusal: HttpsRefusal },

    #[error(
        "{target} shows the host key {fingerprint} ({algorithm}), which sftp.hostKeys does not list: put it there if the server's owner \
         confirms it; else somebody may stand between us and the server"
    )]
    HostKey { target: String, fingerprint: String, algorithm: String },

    #[error("{target} does not let the user read {path:?}: give the user the right to")]
    SftpDenied { target: String, path: String },

    #[error("{target} does not behave like SFTP: {reason}")]
    SftpProtocol { target: String, reason: String },

    /// The credential is none that could be shown to the server.
    #[error("{target}: {reason}")]
    Login { target: String, reason: String },

    /// Nobody says who we are.
    #[error("there is no token of the ServiceAccount: {reason}")]
    Identity { reason: String, transient: bool },

    /// An exchange over HTTPS did not come to its end.
    #[error("{}", .0.text)]
    Exchange(Diagnosis),

    #[error("the CA bundle cannot be used: {reason}")]
    CaBundle { reason: String },

    #[error("no certificate authority is trusted: the system has none (SSL_CERT_FILE), and no CA bundle is given")]
    NoRoots,

    #[error("{name:?} is not a name that a certificate can carry")]
    ServerName { name: String },

    #[error("{url} is no https address of a host")]
    NotHttps { url: String },

    #[error("the HTTP client cannot be built")]
    Http(#[source] reqwest::Error),
}

impl Error {
    /// A short CamelCase word for a condition's reason, one of [`reasons`].
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoAddress { .. } => reasons::HOST_NOT_FOUND,
            Self::AddressRefused { .. } => reasons::ADDRESS_REFUSED,
            Self::PortRefused { .. } | Self::ProxiedPortRefused { .. } => reasons::PORT_REFUSED,
            Self::PastProxy { .. } | Self::ListedBehindProxy { .. } => reasons::ADDRESS_REFUSED,
            Self::HostRefused { .. } => reasons::HOST_NOT_FOUND,
            Self::NoTunnel { .. } => reasons::PROXY_REFUSED,
            Self::ProxyRefused { refusal, .. } => refusal.reason(),
            Self::Unreachable { .. } | Self::TimedOut { .. } => reasons::UNREACHABLE,
            Self::Tls { .. } | Self::PostgresWithoutTls { .. } | Self::MySqlWithoutTls { .. } | Self::SqlServerWithoutTls { .. } => {
                reasons::TLS_REFUSED
            }
            Self::PostgresRefused { .. } | Self::MySqlRefused { .. } | Self::SqlServerRefused { .. } => reasons::LOGIN_REFUSED,
            Self::PostgresPassword { .. } | Self::MySqlPassword { .. } => reasons::INSECURE_PASSWORD_REFUSED,
            Self::MySqlProtocol { .. } => reasons::NOT_MYSQL,
            Self::PostgresProtocol { .. } => reasons::NOT_POSTGRES,
            Self::SqlServerProtocol { .. } => reasons::NOT_SQL_SERVER,
            Self::SqlServerRoute { there, .. } => there.reason(),
            Self::SqlServerRoutes { .. } => reasons::REDIRECT_REFUSED,
            Self::S3Refused { refusal, .. } => refusal.reason(),
            Self::S3RoleRefused { refusal, .. } => refusal.reason(),
            Self::S3Protocol { .. } => reasons::NOT_S3,
            Self::ObjectsRefused { refusal, .. } => refusal.reason(),
            Self::AuthorityRefused { refusal, .. } => refusal.reason(),
            Self::ObjectsProtocol { .. } => reasons::NOT_A_STORE,
            Self::HttpsRefused { refusal, .. } => refusal.reason(),
            Self::HostKey { .. } => reasons::HOST_KEY_REFUSED,
            Self::SftpDenied { .. } => reasons::ACCESS_DENIED,
            Self::SftpProtocol { .. } => reasons::NOT_SFTP,
            Self::Login { .. } | Self::Identity { .. } => reasons::LOGIN_REFUSED,
            Self::Exchange(diagnosis) => diagnosis.reason,
            Self::CaBundle { .. } | Self::NoRoots | Self::ServerName { .. } => reasons::TRUST_UNUSABLE,
            Self::NotHttps { .. } | Self::Http(_) => reasons::CLIENT_UNUSABLE,
        }
    }

    /// Whether trying again later may help without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::ProxyRefused { refusal, .. } => refusal.is_passing(),
            Self::NoAddress { .. } | Self::Unreachable { .. } | Self::TimedOut { .. } => true,
            // 53: out of resources, 57: shutting down or starting up, 08: connection trouble.
            Self::PostgresRefused { code, .. } => ["53", "57", "08"].iter().any(|class| code.starts_with(class)),
            // Of resources, shutting down, of communication.
            Self::MySqlRefused { code, .. } => crate::mysql::is_passing(code),
            Self::SqlServerRefused { code, .. } => crate::sqlserver::is_passing(code),
            Self::SqlServerRoute { there, .. } => there.is_transient(),
            Self::S3Refused { refusal, .. } => refusal.is_passing(),
            Self::S3RoleRefused { refusal, .. } => refusal.is_passing(),
            Self::Identity { transient, .. } => *transient,
            Self::ObjectsRefused { refusal, .. } => refusal.is_passing(),
            Self::AuthorityRefused { refusal, .. } => refusal.is_passing(),
            Self::HttpsRefused { refusal, .. } => refusal.is_passing(),
            Self::Exchange(diagnosis) => diagnosis.transient,
            _ => false,
        }
    }
}

/// Why a database does not answer what it was asked, over a session that there was.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum DatabaseError {
    /// The server says no, by its code: SQLSTATE (`42P01`) of PostgreSQL, the number (`1146`) of MySQL. Its words may quote what was asked,
    /// and among rows a value. `passing`: because of its own trouble, so that the same may work a moment later.
    #[error("{message} ({code})")]
    Server { code: String, message: String, passing: bool },
    /// We ended the connection, because of what the server sent.
    #[error("the connection was ended")]
    Ended(#[source] Error),
    /// The connection broke off, or the peer went silent; why is told by the source.
    #[error("the connection was lost")]
    Lost(#[source] Box<dyn StdError + Send + Sync>),
}

/// What an error of a library comes down to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diagnosis {
    /// A short CamelCase word for a condition's reason, one of [`reasons`].
    pub reason: &'static str,
    /// The innermost cause that says something, with its remedy.
    pub text: String,
    /// Whether trying again later may help without anybody changing anything.
    pub transient: bool,
}

/// Looks through an error whose outer layers only say that something failed. It finds errors of this crate and of TLS under any number of
/// layers; of all others it takes the innermost, as `Unreachable` and transient.
pub fn diagnose(error: &(dyn StdError + 'static)) -> Diagnosis {
    if let Some(ours) = find(error) {
        return Diagnosis { reason: ours.reason(), text: chain(ours), transient: ours.is_transient() };
    }
    let Explained { text, of_tls } = explain::explain(error);
    Diagnosis { reason: if of_tls { reasons::TLS_REFUSED } else { reasons::UNREACHABLE }, text, transient: !of_tls }
}

/// The error of this crate that another one came of, if it did.
pub fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    explain::causes(error).find_map(|cause| cause.downcast_ref())
}

/// [`diagnose`], for people only.
pub fn explain(error: &(dyn StdError + 'static)) -> String {
    diagnose(error).text
}

/// Whether TLS is what failed.
pub(crate) fn is_of_tls(error: &(dyn StdError + 'static)) -> bool {
    explain::causes(error).any(|cause| cause.is::<rustls::Error>())
}

fn chain(error: &Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_found_under_layers_that_hide_it() {
        let expired = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        let hidden = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, expired));
        let found = diagnose(&hidden);
        assert_eq!((found.reason, found.transient), ("TlsRefused", false));
        assert!(found.text.contains("expired"), "{}", found.text);

        let cut_off = io::Error::new(io::ErrorKind::UnexpectedEof, "see the manual of a library");
        let found = diagnose(&io::Error::other(cut_off));
        assert_eq!((found.reason, found.transient), ("Unreachable", true));
        assert!(found.text.contains("closed the connection") && !found.text.contains("manual"), "{}", found.text);

        let refused = Error::Unreachable { target: "db:1".into(), source: io::ErrorKind::ConnectionRefused.into() };
        let found = diagnose(&io::Error::other(refused));
        assert_eq!(found, Diagnosis { reason: "Unreachable", text: "db:1 cannot be reached: connection refused".into(), transient: true });
    }
}
