//! PostgreSQL: SSLRequest, then TLS with the server's name verified, always; then the login.

use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use aws_lc_rs::digest;
use rustls::pki_types::ServerName;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_rustls::{TlsConnector, client};
use x509_parser::oid_registry;

use crate::dial::Dialer;
use crate::error::{Error, explain};
use crate::trust::{Trust, client_config};

/// From the first byte to the end of the login.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a database is and who we are there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PostgresParams {
    pub host: String,
    pub port: u16,
    pub database: String,
    pub user: String,
    /// PEM of authorities besides the system's.
    pub ca_bundle: Option<String>,
    /// The name the certificate must carry, where it is not the host.
    pub server_name: Option<String>,
}

/// A session. Dropping it closes the connection.
pub struct PostgresSession {
    pub client: tokio_postgres::Client,
    /// As the server tells it, e.g. `15.18 (Debian 15.18-0+deb12u1)`.
    pub server_version: String,
    driver: JoinHandle<()>,
}

impl Drop for PostgresSession {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Dialer {
    /// Logs in to a database. Nothing is sent in clear but the wish for TLS.
    pub async fn postgres(&self, params: &PostgresParams, password: &SecretString) -> Result<PostgresSession, Error> {
        let target = format!("{}:{}", params.host, params.port);
        let tls = VerifiedTls::new(params)?;
        let stream = self.tcp(&params.host, params.port).await?;
        let mut config = tokio_postgres::Config::new();
        config
            .user(&params.user)
            .dbname(&params.database)
            .password(password.expose_secret())
            .application_name("dataimporter")
            .ssl_mode(SslMode::Require);
        let login = tokio::time::timeout(LOGIN_TIMEOUT, config.connect_raw(stream, tls)).await;
        let (client, connection) = login
            .map_err(|_| Error::TimedOut { target: target.clone(), after: LOGIN_TIMEOUT })?
            .map_err(|error| refused(target.clone(), &error))?;
        let server_version = connection.parameter("server_version").unwrap_or("unknown").to_owned();
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%target, error = explain(&error), "the connection to PostgreSQL ended");
            }
        });
        Ok(PostgresSession { client, server_version, driver })
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

/// A handshake that failed: tells such an error from one of the connection under it.
#[derive(Debug, thiserror::Error)]
#[error("the TLS handshake failed")]
struct TlsFailure(#[source] std::io::Error);

/// Upgrades a connection to TLS, with the name that the certificate must carry fixed beforehand.
struct VerifiedTls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl VerifiedTls {
    fn new(params: &PostgresParams) -> Result<Self, Error> {
        let name = params.server_name.as_deref().unwrap_or(&params.host).trim_end_matches('.');
        let server_name = ServerName::try_from(name.to_owned()).map_err(|_| Error::ServerName { name: name.to_owned() })?;
        let config = client_config(Trust::SystemAnd(params.ca_bundle.as_deref()).verifier()?)?;
        Ok(Self { connector: Arc::new(config).into(), name: server_name })
    }
}

impl TlsConnect<TcpStream> for VerifiedTls {
    type Stream = VerifiedStream;
    type Error = Box<dyn StdError + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<VerifiedStream, Self::Error>> + Send>>;

    fn connect(self, stream: TcpStream) -> Self::Future {
        Box::pin(async move {
            let stream = self.connector.connect(self.name, stream).await.map_err(TlsFailure)?;
            Ok(VerifiedStream(Box::new(stream)))
        })
    }
}

struct VerifiedStream(Box<client::TlsStream<TcpStream>>);

impl TlsStream for VerifiedStream {
    /// Ties the login to this very TLS session (SCRAM-SHA-256-PLUS), so that nobody in the middle can relay it.
    fn channel_binding(&self) -> ChannelBinding {
        let certificates = self.0.get_ref().1.peer_certificates();
        let digest = certificates.and_then(|chain| chain.first()).and_then(|certificate| end_point_digest(certificate));
        digest.map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

impl AsyncRead for VerifiedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for VerifiedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(cx)
    }
}

/// RFC 5929 `tls-server-end-point`: the certificate under the digest of its own signature, at least SHA-256. Signatures without one
/// (Ed25519, PSS) have no such binding.
fn end_point_digest(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let signature = &parsed.signature_algorithm.algorithm;
    let sha256 = [oid_registry::OID_PKCS1_SHA1WITHRSA, oid_registry::OID_PKCS1_SHA256WITHRSA, oid_registry::OID_SIG_ECDSA_WITH_SHA256];
    let sha384 = [oid_registry::OID_PKCS1_SHA384WITHRSA, oid_registry::OID_SIG_ECDSA_WITH_SHA384];
    let sha512 = [oid_registry::OID_PKCS1_SHA512WITHRSA, oid_registry::OID_SIG_ECDSA_WITH_SHA512];
    let algorithm = if sha256.contains(signature) {
        &digest::SHA256
    } else if sha384.contains(signature) {
        &digest::SHA384
    } else if sha512.contains(signature) {
        &digest::SHA512
    } else {
        return None;
    };
    Some(digest::digest(algorithm, certificate).as_ref().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(algorithm: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        rcgen::CertificateParams::new(vec!["db".into()]).unwrap().self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_binding_uses_the_digest_of_the_certificates_signature() {
        let p256 = certificate(&rcgen::PKCS_ECDSA_P256_SHA256);
        assert_eq!(end_point_digest(&p256).unwrap(), digest::digest(&digest::SHA256, &p256).as_ref());
        let p384 = certificate(&rcgen::PKCS_ECDSA_P384_SHA384);
        assert_eq!(end_point_digest(&p384).unwrap(), digest::digest(&digest::SHA384, &p384).as_ref());
        assert_eq!(end_point_digest(&certificate(&rcgen::PKCS_ED25519)), None);
        assert_eq!(end_point_digest(b"nonsense"), None);
    }
}
