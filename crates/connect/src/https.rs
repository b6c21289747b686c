//! HTTPS clients: the dialer's names, policy and trust under a reqwest client that adds nothing of its own: no redirects, no proxies
//! from the environment, no retries.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};

use crate::dial::{CONNECT_TIMEOUT, Dialer};
use crate::error::Error;
use crate::policy::AddressPolicy;
use crate::trust::{Trust, client_config};

/// A connection that lay idle longer may have been closed at the other end without our knowing.
const MAX_IDLE: Duration = Duration::from_secs(30);

/// What an HTTPS client is for.
#[derive(Clone, Copy, Debug)]
pub struct HttpsOptions<'a> {
    pub trust: Trust<'a>,
}

impl Dialer {
    /// A client that talks https only, over HTTP/1.1: a lost connection then loses one request and no other, and a large upload does
    /// not share a window. It sets no time limit for a whole exchange: callers do, because only they know a poll from a large upload.
    pub fn https(&self, options: HttpsOptions<'_>) -> Result<reqwest::Client, Error> {
        let verifier = PolicyVerifier { inner: options.trust.verifier()?, policy: self.policy().clone() };
        reqwest::Client::builder()
            .tls_backend_preconfigured(client_config(Arc::new(verifier))?)
            .dns_resolver(Arc::new(CheckedNames(self.clone())))
            .https_only(true)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(MAX_IDLE)
            .tcp_keepalive(Duration::from_secs(30))
            .user_agent(concat!("dataimporter/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(Error::Http)
    }
}

/// Resolves for the HTTP client, which then dials exactly these addresses.
struct CheckedNames(Dialer);

impl Resolve for CheckedNames {
    fn resolve(&self, name: Name) -> Resolving {
        let dialer = self.0.clone();
        Box::pin(async move {
            let addresses = dialer.addresses(name.as_str(), None).await?;
            // Port 0 stands for the one of the URL.
            let addresses: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}

/// The standard verifier, and the policy for the one kind of host that no resolver sees: an address written into the URL. It is refused
/// here, before anything but our greeting has been sent.
#[derive(Debug)]
struct PolicyVerifier {
    inner: Arc<WebPkiServerVerifier>,
    policy: AddressPolicy,
}

impl ServerCertVerifier for PolicyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let ServerName::IpAddress(address) = server_name {
            let address = std::net::IpAddr::from(*address);
            self.policy.check(&address.to_string(), address, None).map_err(|error| rustls::Error::General(error.to_string()))?;
        }
        self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
