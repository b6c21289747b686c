//! TLS under a connection to PostgreSQL: verified, and watched from the first byte on.

use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use aws_lc_rs::digest;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_rustls::{TlsConnector, client};
use x509_parser::oid_registry;

use super::watch::{Refusal, Watch, Watched};
use super::{PostgresCredential, PostgresParams};
use crate::error::Error;
use crate::trust::{Trust, client_config, client_config_as};

/// A handshake that failed: tells such an error from one of the connection under it.
#[derive(Debug, thiserror::Error)]
#[error("the TLS handshake failed")]
pub(super) struct TlsFailure(#[source] std::io::Error);

/// Upgrades a connection to TLS, with the name that the certificate must carry fixed beforehand.
pub(super) struct VerifiedTls {
    connector: TlsConnector,
    name: ServerName<'static>,
    any_password: bool,
    refusal: Arc<OnceLock<Refusal>>,
}

impl VerifiedTls {
    pub(super) fn new(params: &PostgresParams, credential: &PostgresCredential) -> Result<Self, Error> {
        let name = params.server_name.as_deref().unwrap_or(&params.host).trim_end_matches('.');
        let server_name = ServerName::try_from(name.to_owned()).map_err(|_| Error::ServerName { name: name.to_owned() })?;
        let verifier = Trust::SystemAnd(params.ca_bundle.as_deref()).verifier()?;
        let config = match credential {
            PostgresCredential::Password(_) => client_config(verifier)?,
            PostgresCredential::ClientCertificate { certificates, key } => {
                let unusable = |reason| Error::Login { target: format!("{}:{}", params.host, params.port), reason };
                client_config_as(verifier, certificates, key, unusable)?
            }
        };
        let refusal = Arc::default();
        Ok(Self { connector: Arc::new(config).into(), name: server_name, any_password: params.allow_insecure_password, refusal })
    }

    /// Where the reason will be, should we end the connection.
    pub(super) fn refusal(&self) -> Arc<OnceLock<Refusal>> {
        self.refusal.clone()
    }
}

impl TlsConnect<TcpStream> for VerifiedTls {
    type Stream = Watched<VerifiedStream>;
    type Error = Box<dyn StdError + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, Self::Error>> + Send>>;

    fn connect(self, stream: TcpStream) -> Self::Future {
        Box::pin(async move {
            let stream = self.connector.connect(self.name, stream).await.map_err(TlsFailure)?;
            Ok(Watched { stream: VerifiedStream(Box::new(stream)), watch: Watch::new(self.any_password), refusal: self.refusal })
        })
    }
}

pub(super) struct VerifiedStream(Box<client::TlsStream<TcpStream>>);

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
