//! The certificates themselves: an authority with its key, and what it signs for us to serve.

use jiff::{SignedDuration, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::pem::parse_x509_pem;
use x509_parser::time::ASN1Time;
use zeroize::Zeroizing;

use crate::keeper::base::error::{Error, Result};

pub(super) const SIGNER_LIFE: SignedDuration = SignedDuration::from_hours(24 * 30);
pub(super) const LEAF_LIFE: SignedDuration = SignedDuration::from_hours(24 * 7);
/// Clocks of clients may be this far behind.
pub(super) const BACKDATED: SignedDuration = SignedDuration::from_hours(24);

/// An authority that can sign.
#[derive(Clone)]
pub(super) struct Signer {
    pub(super) certificate: String,
    pub(super) key: Zeroizing<String>,
    pub(super) made: Timestamp,
    pub(super) until: Timestamp,
}

/// What is served.
pub(super) struct Leaf {
    pub(super) key: CertifiedKey,
    pub(super) until: Timestamp,
}

impl Signer {
    pub(super) fn make(now: Timestamp) -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        // Each has a name of its own: while two are trusted, a client finds the right one at once.
        params.distinguished_name.push(DnType::CommonName, format!("dataimporter keeper {}", now.strftime("%Y-%m-%dT%H:%M:%SZ")));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut params, now - BACKDATED, now + SIGNER_LIFE);
        let certificate = params.self_signed(&key)?.pem();
        Self::read(certificate, Zeroizing::new(key.serialize_pem()))
    }

    /// From what was stored. How old it is, the certificate itself says.
    pub(super) fn read(certificate: String, key: Zeroizing<String>) -> Result<Self> {
        match validity(&certificate) {
            Some((from, until)) => Ok(Self { certificate, key, made: from + BACKDATED, until }),
            None => Err(Error::Record { name: super::SECRET.into(), detail: "a certificate in it cannot be read" }),
        }
    }

    /// A certificate with a fresh key for these names and addresses. It ends with its authority at the latest.
    pub(super) fn leaf(&self, names: &[String], now: Timestamp) -> Result<Leaf> {
        let issuer = Issuer::from_ca_cert_pem(&self.certificate, KeyPair::from_pem(&self.key)?)?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names.to_vec())?;
        // Another name than the authority's: OpenSSL, and curl with it, takes a certificate whose issuer has its own name for self-signed.
        params.distinguished_name.push(DnType::CommonName, "dataimporter-keeper");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let until = self.until.min(now + LEAF_LIFE);
        set_validity(&mut params, now - BACKDATED, until);
        let certificate = params.signed_by(&key, &issuer)?;
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(Leaf { key: CertifiedKey::new(chain, aws_lc_rs::sign::any_supported_type(&private)?), until })
    }
}

/// From when until when a certificate in PEM is valid.
fn validity(certificate: &str) -> Option<(Timestamp, Timestamp)> {
    let (_, pem) = parse_x509_pem(certificate.as_bytes()).ok()?;
    let parsed = pem.parse_x509().ok()?;
    let second = |at: ASN1Time| Timestamp::from_second(at.timestamp()).ok();
    Some((second(parsed.validity().not_before)?, second(parsed.validity().not_after)?))
}

fn set_validity(params: &mut CertificateParams, from: Timestamp, until: Timestamp) {
    let at = |time: Timestamp| rcgen::date_time_ymd(1970, 1, 1) + time.duration_since(Timestamp::UNIX_EPOCH).unsigned_abs();
    (params.not_before, params.not_after) = (at(from), at(until));
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::*;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-24T10:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_leaf_is_signed_by_its_authority_for_its_names_and_lives_a_week() {
        let signer = Signer::make(now()).unwrap();
        let leaf = signer.leaf(&["keeper.system.svc".into(), "127.0.0.1".into()], now()).unwrap();
        let (_, ca) = parse_x509_pem(signer.certificate.as_bytes()).unwrap();
        let ca = ca.parse_x509().unwrap();
        let (_, certificate) = parse_x509_certificate(&leaf.key.cert[0]).unwrap();
        assert_eq!(certificate.issuer(), ca.subject());
        assert_ne!(certificate.subject(), certificate.issuer());
        assert!(ca.is_ca() && !certificate.is_ca());
        let names = certificate.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names.len(), 2);
        assert_eq!(certificate.validity().not_after.timestamp(), (now() + LEAF_LIFE).as_second());
        assert_eq!(leaf.until, now() + LEAF_LIFE);
    }

    #[test]
    fn a_leaf_does_not_outlive_its_authority() {
        let signer = Signer::make(now()).unwrap();
        let late = signer.until - SignedDuration::from_hours(24);
        assert_eq!(signer.leaf(&["keeper".into()], late).unwrap().until, signer.until);
    }

    #[test]
    fn what_is_read_back_is_as_old_as_it_is() {
        let made = Signer::make(now()).unwrap();
        let read = Signer::read(made.certificate.clone(), made.key.clone()).unwrap();
        assert_eq!((read.made, read.until), (now(), now() + SIGNER_LIFE));
        assert!(Signer::read("no certificate".into(), made.key).is_err());
    }
}
