//! Signed assertions of the JWT bearer flow.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::pem;

/// Salesforce takes at most 3 minutes; the rest allows for clocks that differ.
const LIFETIME_SECONDS: i64 = 150;

/// A private key that cannot sign. Texts name the way out.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum KeyError {
    #[error("the private key is not PEM: it begins with -----BEGIN PRIVATE KEY-----")]
    NotPem,
    #[error("the private key is encrypted with a passphrase: store it without, e.g. `openssl pkey -in key.pem -out plain.pem`")]
    Encrypted,
    #[error("the private key is not RSA of 2048 to 8192 bits, which is what Salesforce takes")]
    NotRsa,
    #[error("signing failed")]
    Signing,
}

/// An RSA key that signs assertions. Not printable on purpose.
pub struct SigningKey(KeyPair);

impl SigningKey {
    /// Reads PKCS#8 (`PRIVATE KEY`) or PKCS#1 (`RSA PRIVATE KEY`).
    ///
    /// # Errors
    ///
    /// The text is no PEM, the key is encrypted, or it is no RSA key of 2048 to 8192 bits.
    pub fn from_pem(pem: &SecretString) -> Result<Self, KeyError> {
        let (label, der) = pem::private_key(pem.expose_secret()).ok_or(KeyError::NotPem)?;
        let pair = match label {
            "PRIVATE KEY" => KeyPair::from_pkcs8(&der),
            "RSA PRIVATE KEY" if der.is_empty() => return Err(KeyError::Encrypted),
            "RSA PRIVATE KEY" => KeyPair::from_der(&der),
            "ENCRYPTED PRIVATE KEY" => return Err(KeyError::Encrypted),
            _ => return Err(KeyError::NotRsa),
        };
        pair.map(Self).map_err(|_| KeyError::NotRsa)
    }

    /// An assertion that `client_id` may act as `username`, good for a few minutes from `now`.
    pub(super) fn assertion(&self, client_id: &str, username: &str, audience: &str, now: Timestamp) -> Result<SecretString, KeyError> {
        let claims = serde_json::json!({ "iss": client_id, "sub": username, "aud": audience, "exp": now.as_second() + LIFETIME_SECONDS });
        let head = URL_SAFE_NO_PAD.encode(br#"{"alg":"RS256"}"#);
        let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).map_err(|_| KeyError::Signing)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    fn pem(label: &str, der: &[u8]) -> SecretString {
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n").into()
    }

    fn pkcs8() -> (KeyPair, Vec<u8>) {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let der = der.as_ref().to_vec();
        (pair, der)
    }

    /// The PKCS#1 key is the octet string at the end of PKCS#8 for RSA of this size: 26 bytes of wrapping.
    fn pkcs1(pkcs8: &[u8]) -> &[u8] {
        &pkcs8[26..]
    }

    #[test]
    fn both_pem_forms_sign_what_the_public_key_verifies() {
        let (pair, der) = pkcs8();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref().to_vec());
        for text in [pem("PRIVATE KEY", &der), pem("RSA PRIVATE KEY", pkcs1(&der))] {
            let key = SigningKey::from_pem(&text).unwrap_or_else(|e| panic!("{e}"));
            let now: Timestamp = "2026-01-31T09:00:00Z".parse().unwrap();
            let jwt = key.assertion("3MVG", "ada@acme.example", "https://login.salesforce.com", now).unwrap();
            let (signed, signature) = jwt.expose_secret().rsplit_once('.').unwrap();
            public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
            let claims: serde_json::Value =
                serde_json::from_slice(&URL_SAFE_NO_PAD.decode(signed.split_once('.').unwrap().1).unwrap()).unwrap();
            assert_eq!(claims["sub"], "ada@acme.example");
            assert_eq!(claims["exp"].as_i64().unwrap() - now.as_second(), LIFETIME_SECONDS);
        }
    }

    #[test]
    fn keys_that_cannot_sign_are_told_apart() {
        let error = |text: SecretString| SigningKey::from_pem(&text).err();
        assert_eq!(error("hello".into()), Some(KeyError::NotPem));
        assert_eq!(error(pem("ENCRYPTED PRIVATE KEY", &[1])), Some(KeyError::Encrypted));
        let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        assert_eq!(error(old.into()), Some(KeyError::Encrypted));
        assert_eq!(error(pem("EC PRIVATE KEY", &[1])), Some(KeyError::NotRsa));
        assert_eq!(error(pem("PRIVATE KEY", &[1, 2, 3])), Some(KeyError::NotRsa));
    }
}
