//! A bucket of S3 or of storage that speaks like it, and all that is known about them in general.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Tls;
use super::system::{CredentialKey, Endpoint, ExternalSystem, LoginProfile, Rows, SystemProfile};
use crate::schema::rule;

pub(super) static PROFILE: SystemProfile = SystemProfile {
    name: "S3",
    public_port: 443,
    logins: &[ACCESS_KEY],
    rows: Rows::Files,
    revoked_by_disconnect: "nothing is revoked",
    left_after_disconnect: "the access key stays valid until you delete it there",
};

const ACCESS_KEY: LoginProfile = LoginProfile {
    field: "spec.s3",
    keys: &[
        CredentialKey { name: S3::KEY_ID, holds: "the id of an access key" },
        CredentialKey { name: S3::SECRET, holds: "its secret access key" },
    ],
    refused: "endpoint, region and bucket in spec.s3",
};

/// A bucket of S3, or of storage that speaks like it.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule("!has(self.tls) || has(self.endpoint)", "tls goes with endpoint: AWS' own hosts are verified with public roots"),
    rule("!has(self.tls) || !has(self.tls.serverName)", "serverName is for databases: an endpoint is verified by its own name"),
]))]
pub struct S3 {
    /// Base URL of storage that speaks like S3; the bucket follows in the path. Absent: AWS, in the region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 300), regex(pattern = "^https://[^/@?#]+/?$"))]
    pub endpoint: Option<String>,
    /// Name of the bucket. Secret keys `accessKeyId` and `secretAccessKey`; `s3:GetObject` on what jobs read is all that the key needs.
    #[schemars(length(min = 3, max = 63), regex(pattern = "^[a-z0-9][a-z0-9.-]+[a-z0-9]$"))]
    pub bucket: String,
    /// Region of the bucket, as in `eu-central-1`. Storage without regions mostly takes `us-east-1`.
    #[schemars(length(min = 1, max = 32), regex(pattern = "^[a-z0-9-]+$"))]
    pub region: String,
    /// Trust for an endpoint with a private certificate authority. Absent: public roots only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

impl S3 {
    /// Key of the Secret that holds the id of an access key.
    pub const KEY_ID: &str = "accessKeyId";
    /// Key of the Secret that holds the secret access key.
    pub const SECRET: &str = "secretAccessKey";

    /// Where the bucket is, without a trailing slash. AWS' hosts for one bucket are below this one.
    fn base(&self) -> Cow<'_, str> {
        match &self.endpoint {
            Some(endpoint) => Cow::Borrowed(endpoint.trim_end_matches('/')),
            None => Cow::Owned(format!("https://s3.{}.amazonaws.com", self.region)),
        }
    }
}

impl ExternalSystem for S3 {
    fn endpoint(&self) -> Endpoint<'_> {
        let Self { endpoint: _, bucket, region, tls } = self;
        let base = self.base();
        Endpoint {
            words: format!("S3 {base}, bucket {bucket} in region {region}"),
            parts: vec![base, Cow::Borrowed(bucket), Cow::Borrowed(region)],
            tls: tls.as_ref(),
            allowed: None,
        }
    }

    fn login(&self) -> Option<&'static LoginProfile> {
        Some(&ACCESS_KEY)
    }

    fn left_to_do(&self) -> Option<String> {
        None
    }
}
