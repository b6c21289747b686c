//! Whose signature under a server's certificate counts, and the one TLS configuration that follows.

use std::sync::{Arc, OnceLock};

use rustls::client::{WantsClientCert, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::TLS12;
use rustls::{ClientConfig, ConfigBuilder, DEFAULT_VERSIONS, RootCertStore, SupportedProtocolVersion};
use secrecy::{ExposeSecret, SecretString};

use crate::error::Error;

/// Whom a connection trusts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Trust<'a> {
    /// The operating system's authorities (`SSL_CERT_FILE` is honoured) and those of the PEM bundle, if any.
    SystemAnd(Option<&'a str>),
    /// The authorities of the PEM bundle and nobody else.
    Only(&'a str),
}

impl Trust<'_> {
    fn roots(self) -> Result<RootCertStore, Error> {
        let mut roots = RootCertStore::empty();
        let bundle = match self {
            Self::SystemAnd(bundle) => {
                roots.add_parsable_certificates(system_roots().iter().cloned());
                bundle
            }
            Self::Only(bundle) => Some(bundle),
        };
        if let Some(bundle) = bundle {
            add_bundle(&mut roots, bundle)?;
        }
        if roots.is_empty() { Err(Error::NoRoots) } else { Ok(roots) }
    }

    /// The same authorities one by one, for a library that makes its own configuration of them.
    pub(crate) fn certificates(self) -> Result<Vec<CertificateDer<'static>>, Error> {
        let (system, bundle): (&[CertificateDer<'static>], _) = match self {
            Self::SystemAnd(bundle) => (system_roots(), bundle),
            Self::Only(bundle) => (&[], Some(bundle)),
        };
        let mut found: Vec<_> = system.iter().filter(|root| RootCertStore::empty().add((*root).clone()).is_ok()).cloned().collect();
        if let Some(bundle) = bundle {
            add_bundle(&mut RootCertStore::empty(), bundle)?;
            found.extend(CertificateDer::pem_slice_iter(bundle.as_bytes()).flatten());
        }
        if found.is_empty() { Err(Error::NoRoots) } else { Ok(found) }
    }

    pub(crate) fn verifier(self) -> Result<Arc<WebPkiServerVerifier>, Error> {
        WebPkiServerVerifier::builder_with_provider(Arc::new(self.roots()?), provider())
            .build()
            .map_err(|error| Error::CaBundle { reason: error.to_string() })
    }
}

/// The one configuration: TLS 1.2 or later, full verification, no client certificate.
pub(crate) fn client_config(verifier: Arc<WebPkiServerVerifier>) -> Result<ClientConfig, Error> {
    Ok(verified(verifier, DEFAULT_VERSIONS)?.with_no_client_auth())
}

/// The same where TLS 1.3 has no place.
pub(crate) fn client_config_of_tls12(verifier: Arc<WebPkiServerVerifier>) -> Result<ClientConfig, Error> {
    Ok(verified(verifier, &[&TLS12])?.with_no_client_auth())
}

/// The same with a client certificate, of which `unusable` says what is wrong. Its words quote nothing of either.
pub(crate) fn client_config_as(
    verifier: Arc<WebPkiServerVerifier>,
    certificates: &SecretString,
    key: &SecretString,
    unusable: impl Fn(String) -> Error,
) -> Result<ClientConfig, Error> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificates.expose_secret().as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| unusable("the client certificate is not PEM".to_owned()))?;
    if chain.is_empty() {
        return Err(unusable("the client certificate holds no certificate in PEM (-----BEGIN CERTIFICATE-----)".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes()).map_err(|_| {
        unusable("the private key of the client certificate is none in PEM without a passphrase (-----BEGIN PRIVATE KEY-----)".to_owned())
    })?;
    verified(verifier, DEFAULT_VERSIONS)?.with_client_auth_cert(chain, key).map_err(|_| {
        unusable("certificate and private key of the client do not belong together, or are of a kind that TLS does not use".to_owned())
    })
}

fn verified(
    verifier: Arc<WebPkiServerVerifier>,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Error> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(|error| Error::CaBundle { reason: error.to_string() })?;
    Ok(builder.with_webpki_verifier(verifier))
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())))
}

/// Read once: a process does not change its mind about the machine it runs on.
fn system_roots() -> &'static [CertificateDer<'static>] {
    static ROOTS: OnceLock<Vec<CertificateDer<'static>>> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "a certificate store of the system cannot be read");
        }
        found.certs
    })
}

fn add_bundle(roots: &mut RootCertStore, bundle: &str) -> Result<(), Error> {
    let unusable = |reason: String| Error::CaBundle { reason };
    let mut found = 0;
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        found += 1;
        let certificate = certificate.map_err(|error| unusable(format!("certificate {found} is not PEM: {error}")))?;
        roots.add(certificate).map_err(|error| unusable(format!("certificate {found}: {error}")))?;
    }
    if found == 0 { Err(unusable("it holds no certificate in PEM (-----BEGIN CERTIFICATE-----)".to_owned())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_seeds_tls_without_timing_jitter() {
        let switch = option_env!("AWS_LC_SYS_NO_JITTER_ENTROPY");
        assert_eq!(
            switch,
            Some("1"),
            "set it as .cargo/config.toml does, or each worker times its own instructions for 40 ms before it dials"
        );
    }

    #[test]
    fn a_bundle_without_certificates_or_with_a_broken_one_is_refused() {
        for bundle in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(matches!(Trust::Only(bundle).roots(), Err(Error::CaBundle { .. })), "{bundle}");
        }
    }

    #[test]
    fn a_bundle_alone_is_the_only_trust() {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["ca".into()]).unwrap().self_signed(&key).unwrap();
        assert_eq!(Trust::Only(&certificate.pem()).roots().unwrap().len(), 1);
    }
}
