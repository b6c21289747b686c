//! Buckets of S3 and of storage that speaks like it.

mod refusal;
mod role;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderMap, Method, StatusCode};
use object_store::RetryConfig;
use object_store::aws::{AmazonS3, AmazonS3Builder, S3CopyIfNotExists};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

pub use self::refusal::S3Refusal;
use self::role::RoleKeys;
pub use self::role::{RoleRefusal, S3Role};
use super::lasting::Lasting;
use super::transport::{Dialect, Transport};
use super::{ObjectFiles, endpoint};
use crate::dial::Dialer;
use crate::error::Error;
use crate::exchange::Peer;

/// Where a bucket is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct S3Params {
    /// `https://host` or `https://host:port`. Absent: AWS, by the region.
    pub endpoint: Option<String>,
    /// Region of the bucket, as in `eu-central-1`; requests are signed for it.
    pub region: String,
    /// Name of the bucket. With an endpoint it follows in the path; at AWS it is part of the host's name unless it has a dot.
    pub bucket: String,
    /// PEM of authorities besides the system's.
    pub ca_bundle: Option<String>,
    /// We pay for what is read, which the owner of such a bucket asks everybody to say.
    pub requester_pays: bool,
}

/// A bucket as a place for objects.
pub type S3Store = AmazonS3;

/// Who we are there.
#[derive(Clone, Debug)]
pub enum S3Credential {
    /// A user of the provider's.
    Key(S3Key),
    /// A role, by a token in place of a secret.
    Role(S3Role),
}

/// An access key.
#[derive(Clone, Debug)]
pub struct S3Key {
    /// Access key id: tells who asks, and goes into every request.
    pub id: SecretString,
    /// Secret access key: signs, and is sent to nobody.
    pub secret: SecretString,
    /// Key that objects are encrypted under (SSE-C): 32 bytes in Base64. It goes into every request for them.
    pub customer_key: Option<SecretString>,
}

impl From<&S3Key> for S3Credential {
    fn from(key: &S3Key) -> Self {
        Self::Key(key.clone())
    }
}

impl From<S3Role> for S3Credential {
    fn from(role: S3Role) -> Self {
        Self::Role(role)
    }
}

const NO_CUSTOMER_KEY: &str = "the customer key is none: it is 32 bytes in Base64";

pub(super) struct S3;

impl Dialect for S3 {
    fn refusal(&self, target: &str, method: &Method, status: StatusCode, headers: &HeaderMap, body: &str) -> Option<Error> {
        let refusal = refusal::refusal(method, status, headers, body)?;
        Some(Error::S3Refused { target: target.to_owned(), refusal })
    }

    fn protocol(&self, target: &str, reason: String) -> Error {
        Error::S3Protocol { target: target.to_owned(), reason }
    }

    fn is_denied(&self, error: &Error) -> bool {
        matches!(error, Error::S3Refused { refusal: S3Refusal::Denied, .. })
    }

    fn may_be_empty(&self, error: &Error) -> bool {
        matches!(error, Error::S3Refused { refusal: S3Refusal::BehindTheEnd, .. })
    }
}

impl Dialer {
    /// Nothing is dialed yet.
    ///
    /// # Errors
    ///
    /// The endpoint is no `https://host` with or without a port, or the CA bundle cannot be used.
    pub fn s3(&self, params: &S3Params, credential: impl Into<S3Credential>) -> Result<ObjectFiles, Error> {
        let once = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        let (builder, transport) = self.s3_builder(params, credential.into())?;
        // A bulk request to delete one object is one that not every server knows. Nor is the condition of a copy; who makes one looks first.
        let unless_there = S3CopyIfNotExists::Header("if-none-match".to_owned(), "*".to_owned());
        let builder = builder.with_retry(once).with_disable_bulk_delete(true).with_copy_if_not_exists(unless_there);
        let store = builder.build().map_err(|error| transport.protocol(error.to_string()))?;
        Ok(ObjectFiles::new(store, transport, format!("bucket {}", params.bucket)))
    }

    /// The same bucket as a place for files, where what failed for a moment is tried a few times. [`find`](crate::find) tells why something
    /// failed.
    ///
    /// # Errors
    ///
    /// As [`Dialer::s3`].
    pub fn s3_store(&self, params: &S3Params, credential: impl Into<S3Credential>) -> Result<S3Store, Error> {
        let retries = RetryConfig { max_retries: 3, retry_timeout: Duration::from_secs(60), ..RetryConfig::default() };
        let (builder, transport) = self.s3_builder(params, credential.into())?;
        builder.with_retry(retries).build().map_err(|error| transport.protocol(error.to_string()))
    }

    fn s3_builder(&self, params: &S3Params, credential: S3Credential) -> Result<(AmazonS3Builder, Transport), Error> {
        let S3Params { endpoint: at, region, bucket, ca_bundle, requester_pays } = params;
        let target = match at {
            Some(at) => endpoint(at)?,
            None => format!("s3.{region}.amazonaws.com"),
        };
        let transport = Transport::new(self, &S3, ca_bundle.as_deref(), format!("bucket {bucket} at {target}"))?;
        let mut builder = AmazonS3Builder::new().with_http_connector(transport.clone()).with_bucket_name(bucket).with_region(region);
        builder = match credential {
            S3Credential::Key(key) => with_key(builder, &key, &transport)?,
            S3Credential::Role(role) => {
                let service = match at {
                    Some(at) => at.clone(),
                    None => format!("https://sts.{region}.amazonaws.com"),
                };
                let target = format!("the role {} at {}", role.arn, endpoint(&service)?);
                let service = service.parse().map_err(|_| Error::NotHttps { url: service.clone() })?;
                let peer = Peer { https: transport.peer.https.clone(), target: target.into() };
                builder.with_credentials(Arc::new(Lasting::new(RoleKeys { role, service, peer })))
            }
        };
        if *requester_pays {
            builder = builder.with_request_payer(true);
        }
        builder = match at {
            Some(at) => builder.with_endpoint(at.trim_end_matches('/')),
            // A name with dots has no certificate at AWS.
            None => builder.with_virtual_hosted_style_request(!bucket.contains('.')),
        };
        Ok((builder, transport))
    }
}

fn with_key(builder: AmazonS3Builder, key: &S3Key, transport: &Transport) -> Result<AmazonS3Builder, Error> {
    let builder = builder.with_access_key_id(key.id.expose_secret()).with_secret_access_key(key.secret.expose_secret());
    let Some(customer_key) = &key.customer_key else { return Ok(builder) };
    // What the library says of a key could quote it.
    let customer_key = customer_key.expose_secret().trim();
    let is_key = BASE64.decode(customer_key).map(Zeroizing::new).is_ok_and(|bytes| bytes.len() == 32);
    if !is_key {
        return Err(Error::Login { target: transport.peer.target.to_string(), reason: NO_CUSTOMER_KEY.to_owned() });
    }
    Ok(builder.with_ssec_encryption(customer_key))
}
