//! JWT bearer assertions: RS256 by the client's registered key, for this audience, not expired.
//!
//! An assertion may run three minutes ahead, as the documentation says. The service's own command line sends milliseconds
//! where seconds belong, thousands of years ahead, and is let in: so is every number that can only be milliseconds.

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use serde::Deserialize;
use serde_json::Value;

use super::OauthError;
use crate::config::Client;

/// Three minutes, and two for clocks that differ.
const LONGEST_AHEAD_SECONDS: f64 = 300.0;
/// In seconds this is the year 5138, in milliseconds 1973.
const MILLISECONDS_FROM: f64 = 1e11;

const AUDIENCES: [&str; 2] = ["https://login.salesforce.com", "https://test.salesforce.com"];

#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: String,
    aud: Value,
    /// Seconds; one client sends them as text.
    exp: Value,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
}

fn invalid(description: &str) -> OauthError {
    OauthError::new("invalid_grant", description)
}

fn part<T: for<'de> Deserialize<'de>>(text: &str) -> Option<T> {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()?).ok()
}

/// The claims before anything is believed: `iss` says whose key to check with.
pub(super) fn unverified(assertion: &str) -> Result<Claims, OauthError> {
    let mut parts = assertion.split('.');
    let header: Option<Header> = parts.next().and_then(part);
    let claims = parts.next().and_then(part);
    match (header, claims, parts.next(), parts.next()) {
        (Some(header), Some(claims), Some(_), None) if header.alg == "RS256" => Ok(claims),
        _ => Err(invalid("invalid assertion")),
    }
}

pub(super) fn verify(assertion: &str, claims: &Claims, client: &Client, own_url: &str, now_ms: i64) -> Result<(), OauthError> {
    let (signed, signature) = assertion.rsplit_once('.').ok_or_else(|| invalid("invalid assertion"))?;
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature.trim_end_matches('=')).map_err(|_| invalid("invalid assertion"))?;
    let key = client.public_key.as_deref().and_then(public_key).ok_or_else(|| invalid("invalid assertion"))?;
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key);
    key.verify(signed.as_bytes(), &signature).map_err(|_| invalid("invalid assertion"))?;
    let is_ours = |audience: &Value| {
        let audience = audience.as_str().unwrap_or_default().trim_end_matches('/');
        AUDIENCES.contains(&audience) || audience == own_url
    };
    let audience_matches = match &claims.aud {
        Value::Array(audiences) => audiences.iter().any(is_ours),
        audience => is_ours(audience),
    };
    if !audience_matches {
        return Err(invalid("audience is invalid"));
    }
    let expires = match &claims.exp {
        Value::String(text) => text.parse::<f64>().ok(),
        number => number.as_f64(),
    };
    let expires = expires.ok_or_else(|| invalid("invalid assertion"))?;
    match expires - now_ms as f64 / 1000.0 {
        left if left <= 0.0 => Err(invalid("expired")),
        left if left > LONGEST_AHEAD_SECONDS && expires < MILLISECONDS_FROM => Err(invalid("invalid assertion")),
        _ => Ok(()),
    }
}

/// Takes a public key or a certificate.
fn public_key(pem: &str) -> Option<Vec<u8>> {
    if let Ok(key) = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()) {
        return Some(key.as_ref().to_vec());
    }
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, certificate) = x509_parser::parse_x509_certificate(&certificate).ok()?;
    Some(certificate.public_key().raw.to_vec())
}

/// Is this text a key or certificate assertions can be checked with.
pub(crate) fn is_public_key(pem: &str) -> bool {
    public_key(pem).is_some()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
    use serde_json::json;

    use super::*;

    fn signed(key: &KeyPair, header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
        format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    fn client_of(key: &KeyPair) -> Client {
        let der: aws_lc_rs::encoding::PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
        let body = base64::prelude::BASE64_STANDARD.encode(der.as_ref());
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
        Client {
            client_id: "c".into(),
            client_secret: "s".into(),
            public_key: Some(pem),
            redirect_uris: vec![],
            rotate_refresh_tokens: false,
            public: false,
        }
    }

    fn check(assertion: &str, client: &Client) -> Result<(), OauthError> {
        let claims = unverified(assertion)?;
        verify(assertion, &claims, client, "https://here", 1_000_000)
    }

    #[test]
    fn a_signed_assertion_opens_and_every_bent_one_does_not() {
        let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let client = client_of(&key);
        let header = json!({"alg": "RS256"});
        let claims = json!({"iss": "c", "sub": "u", "aud": "https://login.salesforce.com", "exp": "1100"});
        let good = signed(&key, &header, &claims);
        assert_eq!(check(&good, &client), Ok(()));
        let mut in_milliseconds = claims.clone();
        in_milliseconds["exp"] = json!(1_800_000_000_000_i64);
        assert_eq!(check(&signed(&key, &header, &in_milliseconds), &client), Ok(()));

        let other = KeyPair::generate(KeySize::Rsa2048).unwrap();
        assert!(check(&signed(&other, &header, &claims), &client).is_err());
        assert!(check(&good[..good.len() - 4], &client).is_err());
        assert!(check(&signed(&key, &json!({"alg": "none"}), &claims), &client).is_err());
        for (member, value, reason) in [
            ("aud", json!("https://elsewhere"), "audience is invalid"),
            ("exp", json!(999), "expired"),
            ("exp", json!("soon"), "invalid assertion"),
            ("exp", json!(1_000 + 301), "invalid assertion"),
        ] {
            let mut bent = claims.clone();
            bent[member] = value;
            assert_eq!(check(&signed(&key, &header, &bent), &client).unwrap_err().description, reason);
        }
    }
}
