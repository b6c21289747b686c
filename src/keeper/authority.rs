//! Our own certificate authority and the certificate we serve with. The authority's key lies in a Secret of the system namespace; the
//! served key lives only in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::error::{Error, Result};
use super::records::{Kind, Records};

const SECRET: &str = "dataimporter-keeper-ca";
const CERTIFICATE: &str = "ca.crt";
const KEY: &str = "ca.key";
const CA_LIFE: SignedDuration = SignedDuration::from_hours(24 * 365 * 10);
const LEAF_LIFE: SignedDuration = SignedDuration::from_hours(24 * 30);
/// A new leaf is made when less than this is left.
const LEAF_RENEWAL: SignedDuration = SignedDuration::from_hours(24 * 10);
/// Clocks of clients may be this far behind.
const BACKDATED: SignedDuration = SignedDuration::from_hours(24);

pub(crate) struct Authority {
    pem: String,
    key: Zeroizing<String>,
}

impl Authority {
    /// The stored authority; made at the first start.
    pub(crate) async fn load(records: &Records, now: Timestamp) -> Result<Self> {
        loop {
            if let Some(secret) = records.get(SECRET).await? {
                return Self::read(secret);
            }
            let made = Self::make(now)?;
            let data = BTreeMap::from([
                (CERTIFICATE.to_owned(), ByteString(made.pem.clone().into_bytes())),
                (KEY.to_owned(), ByteString(made.key.as_bytes().to_vec())),
            ]);
            let secret = records.draft(SECRET, Kind::Authority, BTreeMap::new(), BTreeMap::new(), data);
            // Another keeper that started at the same moment may have been first: then its authority is ours.
            if records.create(&secret).await?.is_some() {
                return Ok(made);
            }
        }
    }

    fn read(secret: Secret) -> Result<Self> {
        let mut data = secret.data.unwrap_or_default();
        let mut text = |key: &str| data.remove(key).and_then(|bytes| String::from_utf8(bytes.0).ok());
        match (text(CERTIFICATE), text(KEY).map(Zeroizing::new)) {
            (Some(pem), Some(key)) => Ok(Self { pem, key }),
            _ => Err(Error::Record { name: SECRET.into(), detail: "it lacks ca.crt or ca.key" }),
        }
    }

    fn make(now: Timestamp) -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.distinguished_name.push(DnType::CommonName, "dataimporter keeper");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut params, now - BACKDATED, now + CA_LIFE);
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { pem, key: Zeroizing::new(key.serialize_pem()) })
    }

    /// What clients pin.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate with a fresh key for these names and addresses.
    fn leaf(&self, names: &[String], now: Timestamp) -> Result<CertifiedKey> {
        let issuer = Issuer::from_ca_cert_pem(&self.pem, KeyPair::from_pem(&self.key)?)?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names.to_vec())?;
        // Another name than the authority's: OpenSSL, and curl with it, takes a certificate whose issuer has its own name for self-signed.
        params.distinguished_name.push(DnType::CommonName, "dataimporter-keeper");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        set_validity(&mut params, now - BACKDATED, now + LEAF_LIFE);
        let certificate = params.signed_by(&key, &issuer)?;
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(CertifiedKey::new(chain, aws_lc_rs::sign::any_supported_type(&private)?))
    }
}

/// rcgen takes whole days.
fn set_validity(params: &mut CertificateParams, from: Timestamp, until: Timestamp) {
    let day = |at: Timestamp| {
        let date = at.to_zoned(TimeZone::UTC).date();
        rcgen::date_time_ymd(i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    (params.not_before, params.not_after) = (day(from), day(until));
}

/// Hands out the newest leaf to every handshake.
pub(crate) struct Leaf {
    names: Vec<String>,
    current: RwLock<(Arc<CertifiedKey>, Timestamp)>,
}

impl Leaf {
    pub(crate) fn new(authority: &Authority, names: Vec<String>, now: Timestamp) -> Result<Self> {
        let current = RwLock::new((Arc::new(authority.leaf(&names, now)?), now + LEAF_LIFE));
        Ok(Self { names, current })
    }

    /// Makes a new one when the current one ends soon.
    pub(crate) fn renew(&self, authority: &Authority, now: Timestamp) -> Result<bool> {
        let until = self.current.read().unwrap_or_else(PoisonError::into_inner).1;
        if until.duration_since(now) > LEAF_RENEWAL {
            return Ok(false);
        }
        let next = (Arc::new(authority.leaf(&self.names, now)?), now + LEAF_LIFE);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(true)
    }
}

impl std::fmt::Debug for Leaf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leaf").field("names", &self.names).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Leaf {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::prelude::*;

    fn now() -> Timestamp {
        "2026-11-24T10:00:00Z".parse().unwrap()
    }

    #[test]
    fn the_leaf_is_signed_by_the_authority_for_its_names_and_lives_thirty_days() {
        let authority = Authority::make(now()).unwrap();
        let leaf = authority.leaf(&["keeper.system.svc".into(), "127.0.0.1".into()], now()).unwrap();
        let (_, ca) = parse_x509_pem(authority.pem().as_bytes()).unwrap();
        let ca = ca.parse_x509().unwrap();
        let (_, leaf) = parse_x509_certificate(&leaf.cert[0]).unwrap();
        assert_eq!(leaf.issuer(), ca.subject());
        assert_ne!(leaf.subject(), leaf.issuer());
        assert!(ca.is_ca() && !leaf.is_ca());
        let names = leaf.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names.len(), 2);
        let days = (leaf.validity().not_after.timestamp() - now().as_second()) / 86_400;
        assert!((29..=30).contains(&days), "{days}");
    }

    #[test]
    fn a_leaf_is_replaced_while_it_still_holds() {
        let authority = Authority::make(now()).unwrap();
        let leaf = Leaf::new(&authority, vec!["keeper".into()], now()).unwrap();
        assert!(!leaf.renew(&authority, now() + SignedDuration::from_hours(24 * 19)).unwrap());
        assert!(leaf.renew(&authority, now() + SignedDuration::from_hours(24 * 21)).unwrap());
    }
}
