//! What proves who we are: a Secret, or a ServiceAccount that tokens are asked for.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
}

union! {
    /// Where a credential comes from.
    pub enum CredentialOrigin<'a> = Credentials::origin kinds CredentialKind {
        /// A Secret in the same namespace.
        "secretRef" secret_ref => Secret(&'a SecretRef),
        /// A ServiceAccount in the same namespace.
        "serviceAccountRef" service_account_ref => ServiceAccount(&'a ServiceAccountRef),
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

/// The object that a credential comes from, in the namespace of its Connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CredentialSource {
    /// What it is.
    pub kind: CredentialKind,
    /// Its name.
    pub name: String,
}

/// No name of a Secret begins with this.
const SERVICE_ACCOUNT: &str = "serviceaccount/";

impl CredentialSource {
    /// As records name it.
    pub fn recorded(&self) -> String {
        match self.kind {
            CredentialKind::Secret => self.name.clone(),
            CredentialKind::ServiceAccount => format!("{SERVICE_ACCOUNT}{}", self.name),
        }
    }

    /// What a record names.
    pub fn of_record(text: &str) -> Self {
        match text.strip_prefix(SERVICE_ACCOUNT) {
            Some(name) => Self { kind: CredentialKind::ServiceAccount, name: name.to_owned() },
            None => Self { kind: CredentialKind::Secret, name: text.to_owned() },
        }
    }

    /// What of it goes to the other end, in words.
    pub fn shown(&self) -> &'static str {
        match self.kind {
            CredentialKind::Secret => "it",
            CredentialKind::ServiceAccount => "tokens of it",
        }
    }

    /// Its name to `kubectl`.
    pub fn resource(&self) -> &'static str {
        match self.kind {
            CredentialKind::Secret => "secret",
            CredentialKind::ServiceAccount => "serviceaccount",
        }
    }
}

/// In words, as in `Secret crm`.
impl fmt::Display for CredentialSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            CredentialKind::Secret => "Secret",
            CredentialKind::ServiceAccount => "ServiceAccount",
        };
        write!(formatter, "{kind} {}", self.name)
    }
}

impl Credentials {
    /// The Secret that the credential is taken from, if it is taken from one.
    pub fn secret_ref(&self) -> Option<&SecretRef> {
        match self.origin()? {
            CredentialOrigin::Secret(reference) => Some(reference),
            CredentialOrigin::ServiceAccount(_) => None,
        }
    }

    /// The ServiceAccount that tokens are asked for, if there is no Secret.
    pub fn service_account_ref(&self) -> Option<&ServiceAccountRef> {
        match self.origin()? {
            CredentialOrigin::Secret(_) => None,
            CredentialOrigin::ServiceAccount(reference) => Some(reference),
        }
    }

    /// What the credential comes from. `None`: nothing that this version knows.
    pub fn source(&self) -> Option<CredentialSource> {
        Some(match self.origin()? {
            CredentialOrigin::Secret(reference) => CredentialSource { kind: CredentialKind::Secret, name: reference.name.clone() },
            CredentialOrigin::ServiceAccount(reference) => {
                CredentialSource { kind: CredentialKind::ServiceAccount, name: reference.name.clone() }
            }
        })
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
    }
}
