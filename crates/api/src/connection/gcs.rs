//! A bucket of Google Cloud Storage, and all that is known about them in general.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Tls;
use super::system::{CredentialKey, Endpoint, ExternalSystem, LoginProfile, Rows, SystemProfile};
use crate::schema::rule;

pub(super) static PROFILE: SystemProfile = SystemProfile {
    name: "Google Cloud Storage",
    public_port: 443,
    logins: &[SERVICE_ACCOUNT],
    rows: Rows::Files { changeable: true },
    revoked_by_disconnect: "nothing is revoked",
    left_after_disconnect: "the service account's key stays valid until you delete it there",
};

const SERVICE_ACCOUNT: LoginProfile = LoginProfile {
    field: "spec.gcs",
    keys: &[CredentialKey { name: Gcs::KEY, holds: "a key of a service account, the JSON file" }],
    refused: "endpoint and bucket in spec.gcs",
    audience: None,
};

/// A bucket of Google Cloud Storage.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule("!has(self.tls) || has(self.endpoint)", "tls goes with endpoint: Google's own hosts are verified with public roots"),
    rule("!has(self.tls) || !has(self.tls.serverName)", "serverName is for databases: an endpoint is verified by its own name"),
]))]
pub struct Gcs {
    /// Base URL of another server that speaks like it, such as a private endpoint. Absent: `https://storage.googleapis.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 300), regex(pattern = "^https://[^/@?#]+/?$"))]
    pub endpoint: Option<String>,
    /// Name of the bucket. Secret key `serviceAccountKey`; `storage.objects.get` on what jobs read is all that the account needs.
    #[schemars(length(min = 3, max = 222), regex(pattern = "^[a-z0-9][a-z0-9._-]+[a-z0-9]$"))]
    pub bucket: String,
    /// Trust for an endpoint with a private certificate authority. Absent: public roots only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

impl Gcs {
    /// Key of the Secret that holds the key of a service account.
    pub const KEY: &str = "serviceAccountKey";
}

impl ExternalSystem for Gcs {
    fn endpoint(&self) -> Endpoint<'_> {
        let Self { endpoint, bucket, tls } = self;
        let base = endpoint.as_deref().unwrap_or("https://storage.googleapis.com").trim_end_matches('/');
        Endpoint {
            words: format!("Google Cloud Storage {base}, bucket {bucket}"),
            parts: vec![Cow::Borrowed(base), Cow::Borrowed(bucket)],
            tls: tls.as_ref(),
            allowed: None,
        }
    }

    fn login(&self) -> Option<&'static LoginProfile> {
        Some(&SERVICE_ACCOUNT)
    }

    fn left_to_do(&self) -> Option<String> {
        None
    }
}
