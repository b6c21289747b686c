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
    logins: &[ACCESS_KEY, WITH_CUSTOMER_KEY, WEB_IDENTITY],
    rows: Rows::Files { changeable: true },
    revoked_by_disconnect: "nothing is revoked",
    left_after_disconnect: "an access key stays valid until you delete it there, a key of a role for an hour at most",
};

const KEY_ID: CredentialKey = CredentialKey { name: S3::KEY_ID, holds: "the id of an access key" };
const SECRET: CredentialKey = CredentialKey { name: S3::SECRET, holds: "its secret access key" };

const ACCESS_KEY: LoginProfile =
    LoginProfile { field: "spec.s3", keys: &[KEY_ID, SECRET], refused: "endpoint, region and bucket in spec.s3", audience: None };

const WITH_CUSTOMER_KEY: LoginProfile = LoginProfile {
    field: "spec.s3.encryption.customerKey",
    keys: &[
        KEY_ID,
        SECRET,
        CredentialKey { name: S3::CUSTOMER_KEY, holds: "the key that objects are encrypted under: 32 bytes in Base64" },
    ],
    refused: "endpoint, region and bucket in spec.s3",
    audience: None,
};

const WEB_IDENTITY: LoginProfile = LoginProfile {
    field: "spec.s3.auth.webIdentity",
    keys: &[],
    refused: "roleArn in spec.s3.auth.webIdentity and audience in spec.credentials.serviceAccountRef",
    audience: Some("sts.amazonaws.com"),
};

/// A bucket of S3, or of storage that speaks like it.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule("!has(self.tls) || has(self.endpoint)", "tls goes with endpoint: AWS' own hosts are verified with public roots"),
    rule("!has(self.tls) || !has(self.tls.serverName)", "serverName is for databases: an endpoint is verified by its own name"),
    rule(
        "!has(self.encryption) || !has(self.auth) || !has(self.auth.webIdentity)",
        "a customerKey comes from a Secret, and webIdentity needs none: use an access key for objects under a key of their owner's own",
    ),
]))]
pub struct S3 {
    /// Base URL of storage that speaks like S3; the bucket follows in the path. Absent: AWS, in the region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 300), regex(pattern = "^https://[^/@?#]+/?$"))]
    pub endpoint: Option<String>,
    /// Name of the bucket. `s3:GetObject` on what jobs read is all that we need there.
    #[schemars(length(min = 3, max = 63), regex(pattern = "^[a-z0-9][a-z0-9.-]+[a-z0-9]$"))]
    pub bucket: String,
    /// Region of the bucket, as in `eu-central-1`. Storage without regions mostly takes `us-east-1`.
    #[schemars(length(min = 1, max = 32), regex(pattern = "^[a-z0-9-]+$"))]
    pub region: String,
    /// How we authenticate. Absent: with an access key; Secret keys `accessKeyId` and `secretAccessKey`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    auth: Option<S3Auth>,
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

/// How we authenticate at S3: exactly one key is set.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [exactly_one(S3AuthKind::KEYS)]))]
pub struct S3Auth {
    /// An access key; Secret keys `accessKeyId` and `secretAccessKey`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    access_key: Option<S3AccessKey>,
    /// A role that is assumed with a token of the ServiceAccount in `credentials.serviceAccountRef`, for an hour at a time
    /// (`AssumeRoleWithWebIdentity`). There is no secret then. At AWS the token goes to the region's `sts.REGION.amazonaws.com`, else to the endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    web_identity: Option<S3WebIdentity>,
}

/// An access key: there is nothing to say about it.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct S3AccessKey {}

/// A role that is assumed with a token.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct S3WebIdentity {
    /// Name of the role, as in `arn:aws:iam::123456789012:role/reader`. Its trust policy names the ServiceAccount as
    /// `system:serviceaccount:NAMESPACE:NAME`.
    #[schemars(length(min = 20, max = 1000), regex(pattern = r"^arn:[a-z0-9-]+:[a-zA-Z0-9:/_+=,.@-]+$"))]
    pub role_arn: String,
}

union! {
    /// How we authenticate at S3.
    pub enum S3AuthKind<'a> = S3Auth::kind {
        /// An access key.
        "accessKey" access_key => AccessKey(&'a S3AccessKey),
        /// A role that is assumed with a token.
        "webIdentity" web_identity => WebIdentity(&'a S3WebIdentity),
    }
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

    /// How we authenticate. `None`: in no way that this version knows.
    pub fn auth(&self) -> Option<S3AuthKind<'_>> {
        const ACCESS_KEY: &S3AccessKey = &S3AccessKey {};
        self.auth.as_ref().map_or(Some(S3AuthKind::AccessKey(ACCESS_KEY)), S3Auth::kind)
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
        let Self { endpoint: _, bucket, region, auth: _, tls, requester_pays: _, encryption: _ } = self;
        let base = self.base();
        let mut words = format!("S3 {base}, bucket {bucket} in region {region}");
        let mut parts = vec![base, Cow::Borrowed(bucket.as_str()), Cow::Borrowed(region.as_str())];
        if let Some(S3AuthKind::WebIdentity(S3WebIdentity { role_arn })) = self.auth() {
            words.push_str(&format!(", as role {role_arn}"));
            parts.push(Cow::Borrowed(role_arn));
        }
        Endpoint { words, parts, tls: tls.as_ref(), allowed: None }
    }

    fn login(&self) -> Option<&'static LoginProfile> {
        Some(match self.auth()? {
            S3AuthKind::WebIdentity(_) => &WEB_IDENTITY,
            S3AuthKind::AccessKey(_) if self.is_under_customer_key() => &WITH_CUSTOMER_KEY,
            S3AuthKind::AccessKey(_) => &ACCESS_KEY,
        })
    }

    fn left_to_do(&self) -> Option<String> {
        None
    }
}
