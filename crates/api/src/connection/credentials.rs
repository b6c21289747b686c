//! What proves who we are: a Secret, a ServiceAccount that tokens are asked for, or a credential that is sealed in the Connection itself.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::schema::{self, exactly_one};
use crate::union::union;

/// What proves who we are: exactly one key is set.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [exactly_one(CredentialOrigin::KEYS)]))]
pub struct Credentials {
    /// A Secret in the same namespace that is read once per change and stored encrypted elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret_ref: Option<SecretRef>,
    /// A ServiceAccount in the same namespace. There is no secret: each time we log in, a token of it says who we are, for ten minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    service_account_ref: Option<ServiceAccountRef>,
    /// The credential itself, sealed for this Connection and its endpoint to a key that only the keeper of its Region has: safe in Git.
    /// `kubectl import seal` makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<SealedCredential>,
}

union! {
    /// Where a credential comes from.
    pub enum CredentialOrigin<'a> = Credentials::origin kinds CredentialKind {
        /// A Secret in the same namespace.
        "secretRef" secret_ref => Secret(&'a SecretRef),
        /// A ServiceAccount in the same namespace.
        "serviceAccountRef" service_account_ref => ServiceAccount(&'a ServiceAccountRef),
        /// Sealed in the Connection itself.
        "sealed" sealed => Sealed(&'a SealedCredential),
    }
}

/// A Secret whose owner lets the keeper read it.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Name of the Secret. The keeper reads it through a Role of yours and shows it to the endpoint that the Secret's own annotation
    /// `dataimporter.io/consent` names: `kubectl import intake` prints both.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
    /// What happens to the Secret once it is stored encrypted. `Keep` leaves it readable in this namespace (condition `PlaintextSource`).
    pub after_intake: AfterIntake,
}

/// What happens to a Secret once its content is stored encrypted.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum AfterIntake {
    /// It stays readable in its namespace (condition `PlaintextSource`).
    Keep,
    /// The keeper deletes it.
    Delete,
}

/// A ServiceAccount whose owner lets the keeper ask for tokens of it.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountRef {
    /// Name of the ServiceAccount. The keeper asks for its tokens through a Role of yours and shows them to the endpoint that the
    /// ServiceAccount's own annotation `dataimporter.io/consent` names: `kubectl import intake` prints both.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
    /// Whom its tokens are for. Absent: what the provider proposes, for S3 `sts.amazonaws.com`, for Azure `api://AzureADTokenExchange`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[!-~]+$"))]
    pub audience: Option<String>,
}

/// A credential that was sealed for one Connection and one endpoint: in another namespace, under another name, for another endpoint, Tenant, Region or
/// installation it does not open. `docs/formats/sealed.md` has the format.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SealedCredential {
    /// Id of the key it was sealed to: a Region publishes a new one every 30 days, and takes in what was sealed to it for 60 days more.
    #[schemars(length(min = 32, max = 32), regex(pattern = "^[0-9a-f]+$"))]
    pub kid: String,
    /// The encapsulated key of HPKE, base64.
    #[schemars(length(min = 44, max = 44), regex(pattern = "^[A-Za-z0-9+/]+=$"))]
    pub enc: String,
    /// The sealed entries, base64.
    #[schemars(length(min = 24, max = 32768), regex(pattern = "^[A-Za-z0-9+/]+={0,2}$"))]
    pub ciphertext: String,
}

impl SealedCredential {
    /// What tells one from another: its SHA-256.
    fn digest(&self) -> String {
        let Self { kid, enc, ciphertext } = self;
        hex::encode(Sha256::digest(format!("{kid}.{enc}.{ciphertext}")))
    }
}

/// Where a credential comes from: an object in the namespace of its Connection, or the Connection itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CredentialSource {
    /// What it is.
    pub kind: CredentialKind,
    /// Its name; of a sealed credential its digest.
    pub name: String,
}

/// No name of a Secret begins with these.
const SERVICE_ACCOUNT: &str = "serviceaccount/";
const SEALED: &str = "sealed/";

impl CredentialSource {
    /// As records name it.
    pub fn recorded(&self) -> String {
        match self.kind {
            CredentialKind::Secret => self.name.clone(),
            CredentialKind::ServiceAccount => format!("{SERVICE_ACCOUNT}{}", self.name),
            CredentialKind::Sealed => format!("{SEALED}{}", self.name),
        }
    }

    /// What a record names.
    pub fn of_record(text: &str) -> Self {
        let of = |kind, name: &str| Self { kind, name: name.to_owned() };
        if let Some(name) = text.strip_prefix(SERVICE_ACCOUNT) {
            of(CredentialKind::ServiceAccount, name)
        } else if let Some(digest) = text.strip_prefix(SEALED) {
            of(CredentialKind::Sealed, digest)
        } else {
            of(CredentialKind::Secret, text)
        }
    }

    /// What of it goes to the other end, in words.
    pub fn shown(&self) -> &'static str {
        match self.kind {
            CredentialKind::Secret | CredentialKind::Sealed => "it",
            CredentialKind::ServiceAccount => "tokens of it",
        }
    }

    /// What `kubectl` calls the kind of object that it is, or is in.
    pub fn resource(&self) -> &'static str {
        match self.kind {
            CredentialKind::Secret => "secret",
            CredentialKind::ServiceAccount => "serviceaccount",
            CredentialKind::Sealed => "connection",
        }
    }
}

/// In words, as in `Secret crm`.
impl fmt::Display for CredentialSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            CredentialKind::Secret => "Secret",
            CredentialKind::ServiceAccount => "ServiceAccount",
            CredentialKind::Sealed => return formatter.write_str("credentials.sealed"),
        };
        write!(formatter, "{kind} {}", self.name)
    }
}

impl Credentials {
    /// The Secret that the credential is taken from, if it is taken from one.
    pub fn secret_ref(&self) -> Option<&SecretRef> {
        match self.origin()? {
            CredentialOrigin::Secret(reference) => Some(reference),
            CredentialOrigin::ServiceAccount(_) | CredentialOrigin::Sealed(_) => None,
        }
    }

    /// The ServiceAccount that tokens are asked for, if there is no Secret.
    pub fn service_account_ref(&self) -> Option<&ServiceAccountRef> {
        match self.origin()? {
            CredentialOrigin::Secret(_) | CredentialOrigin::Sealed(_) => None,
            CredentialOrigin::ServiceAccount(reference) => Some(reference),
        }
    }

    /// The credential itself, if it is sealed here.
    pub fn sealed(&self) -> Option<&SealedCredential> {
        match self.origin()? {
            CredentialOrigin::Secret(_) | CredentialOrigin::ServiceAccount(_) => None,
            CredentialOrigin::Sealed(sealed) => Some(sealed),
        }
    }

    /// What the credential comes from. `None`: nothing that this version knows.
    pub fn source(&self) -> Option<CredentialSource> {
        Some(match self.origin()? {
            CredentialOrigin::Secret(reference) => CredentialSource { kind: CredentialKind::Secret, name: reference.name.clone() },
            CredentialOrigin::ServiceAccount(reference) => {
                CredentialSource { kind: CredentialKind::ServiceAccount, name: reference.name.clone() }
            }
            CredentialOrigin::Sealed(sealed) => CredentialSource { kind: CredentialKind::Sealed, name: sealed.digest() },
        })
    }

    /// Leaves out what is sealed, which is large, for a caller that only asks where the credential comes from.
    pub fn forget_sealed(&mut self) {
        if let Some(sealed) = &mut self.sealed {
            sealed.ciphertext = String::new();
        }
    }

    /// Whether what the credential is taken from is deleted after that.
    pub fn is_deleted_after_intake(&self) -> bool {
        self.secret_ref().is_some_and(|reference| reference.after_intake == AfterIntake::Delete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_tells_a_secret_from_a_service_account_of_the_same_name() {
        for kind in CredentialKind::ALL {
            let source = CredentialSource { kind: *kind, name: "loader".into() };
            assert_eq!(CredentialSource::of_record(&source.recorded()), source);
        }
        assert_eq!(CredentialSource::of_record("loader").to_string(), "Secret loader");
        assert_eq!(CredentialSource::of_record("serviceaccount/loader").to_string(), "ServiceAccount loader");
        assert_eq!(CredentialSource::of_record("sealed/loader").to_string(), "credentials.sealed");
    }

    #[test]
    fn every_part_of_a_sealed_credential_makes_it_another() {
        let sealed = |kid: &str, enc: &str, ciphertext: &str| Credentials {
            secret_ref: None,
            service_account_ref: None,
            sealed: Some(SealedCredential { kid: kid.into(), enc: enc.into(), ciphertext: ciphertext.into() }),
        };
        let all: std::collections::BTreeSet<String> = [("a", "b", "c"), ("x", "b", "c"), ("a", "x", "c"), ("a", "b", "x"), ("ab", "", "c")]
            .map(|(kid, enc, ciphertext)| sealed(kid, enc, ciphertext).source().unwrap().recorded())
            .into();
        assert_eq!(all.len(), 5);
    }
}
