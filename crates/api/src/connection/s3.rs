//! A bucket of S3 or of storage that speaks like it, and all that is known about them in general.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Tls;
use super::system::{CredentialKey, Endpoint, ExternalSystem, LoginProfile, Rows, SystemProfile};
use crate::schema::{exactly_one, rule};
use crate::union::union;

pub(super) static PROFILE: SystemProfile = SystemProfile {
    name: "S3",
    public_port: 443,
    logins: &[ACCESS_KEY, WITH_CUSTOMER_KEY],
    rows: Rows::Files { changeable: true },
    revoked_by_disconnect: "nothing is revoked",
    left_after_disconnect: "the access key stays valid until you delete it there",
};

const KEY_ID: CredentialKey = CredentialKey { name: S3::KEY_ID, holds: "the id of an access key" };
const SECRET: CredentialKey = CredentialKey { name: S3::SECRET, holds: "its secret access key" };

const ACCESS_KEY: LoginProfile =
    LoginProfile { field: "spec.s3", keys: &[KEY_ID, SECRET], refused: "endpoint, region and bucket in spec.s3" };

const WITH_CUSTOMER_KEY: LoginProfile = LoginProfile {
    field: "spec.s3.encryption.customerKey",
    keys: &[
        KEY_ID,
        SECRET,
        CredentialKey { name: S3::CUSTOMER_KEY, holds: "the key that objects are encrypted under: 32 bytes in Base64" },
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
    /// We pay for requests and transfer, as the owner of the bucket asks of everybody who reads it. Absent: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requester_pays: Option<bool>,
    /// How objects are encrypted. Absent: as the bucket does it by itself (SSE-S3, SSE-KMS), of which a reader sees nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encryption: Option<S3Encryption>,
}

/// How objects are encrypted: exactly one key is set.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [exactly_one(S3EncryptionKind::KEYS)]))]
pub struct S3Encryption {
    /// Under a key of their owner's own, which goes into each request (SSE-C); Secret key `customerKey`: 32 bytes in Base64. All objects that jobs
    /// read have this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    customer_key: Option<CustomerKey>,
}

/// Encryption under a key of which nothing needs to be said.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct CustomerKey {}

union! {
    /// How objects of S3 are encrypted.
    pub enum S3EncryptionKind<'a> = S3Encryption::kind {
        /// Under a key of their owner's own.
        "customerKey" customer_key => CustomerKey(&'a CustomerKey),
    }
}

impl S3 {
    /// Key of the Secret that holds the key that objects are encrypted under.
    pub const CUSTOMER_KEY: &str = "customerKey";
    /// Key of the Secret that holds the id of an access key.
    pub const KEY_ID: &str = "accessKeyId";
    /// Key of the Secret that holds the secret access key.
    pub const SECRET: &str = "secretAccessKey";

    /// Whether each request for an object has its key.
    pub fn is_under_customer_key(&self) -> bool {
        match self.encryption.as_ref().and_then(S3Encryption::kind) {
            Some(S3EncryptionKind::CustomerKey(CustomerKey {})) => true,
            None => false,
        }
    }

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
        let Self { endpoint: _, bucket, region, tls, requester_pays: _, encryption: _ } = self;
        let base = self.base();
        Endpoint {
            words: format!("S3 {base}, bucket {bucket} in region {region}"),
            parts: vec![base, Cow::Borrowed(bucket), Cow::Borrowed(region)],
            tls: tls.as_ref(),
            allowed: None,
        }
    }

    fn login(&self) -> Option<&'static LoginProfile> {
        Some(if self.is_under_customer_key() { &WITH_CUSTOMER_KEY } else { &ACCESS_KEY })
    }

    fn left_to_do(&self) -> Option<String> {
        None
    }
}
