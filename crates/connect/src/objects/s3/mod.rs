//! Buckets of S3 and of storage that speaks like it.

mod refusal;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderMap, Method, StatusCode};
use object_store::RetryConfig;
use object_store::aws::{AmazonS3, AmazonS3Builder, S3CopyIfNotExists};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

pub use self::refusal::S3Refusal;
use super::transport::{Dialect, Transport};
use super::{ObjectFiles, endpoint};
use crate::dial::Dialer;
use crate::error::Error;

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
pub struct S3Key {
    /// Access key id: tells who asks, and goes into every request.
    pub id: SecretString,
    /// Secret access key: signs, and is sent to nobody.
    pub secret: SecretString,
    /// Key that objects are encrypted under (SSE-C): 32 bytes in Base64. It goes into every request for them.
    pub customer_key: Option<SecretString>,
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
    pub fn s3(&self, params: &S3Params, key: &S3Key) -> Result<ObjectFiles, Error> {
        let once = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        let (builder, transport) = self.s3_builder(params, key)?;
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
    pub fn s3_store(&self, params: &S3Params, key: &S3Key) -> Result<S3Store, Error> {
        let retries = RetryConfig { max_retries: 3, retry_timeout: Duration::from_secs(60), ..RetryConfig::default() };
        let (builder, transport) = self.s3_builder(params, key)?;
        builder.with_retry(retries).build().map_err(|error| transport.protocol(error.to_string()))
    }

    fn s3_builder(&self, params: &S3Params, key: &S3Key) -> Result<(AmazonS3Builder, Transport), Error> {
        let S3Params { endpoint: at, region, bucket, ca_bundle, requester_pays } = params;
        let target = match at {
            Some(at) => endpoint(at)?,
            None => format!("s3.{region}.amazonaws.com"),
        };
        let transport = Transport::new(self, &S3, ca_bundle.as_deref(), format!("bucket {bucket} at {target}"))?;
        let mut builder = AmazonS3Builder::new()
            .with_http_connector(transport.clone())
            .with_bucket_name(bucket)
            .with_region(region)
            .with_access_key_id(key.id.expose_secret())
            .with_secret_access_key(key.secret.expose_secret());
        if *requester_pays {
            builder = builder.with_request_payer(true);
        }
        if let Some(key) = &key.customer_key {
            // What the library says of a key could quote it.
            let key = key.expose_secret().trim();
            let is_key = BASE64.decode(key).map(Zeroizing::new).is_ok_and(|bytes| bytes.len() == 32);
            if !is_key {
                return Err(Error::Login { target: format!("bucket {bucket} at {target}"), reason: NO_CUSTOMER_KEY.to_owned() });
            }
            builder = builder.with_ssec_encryption(key);
        }
        builder = match at {
            Some(at) => builder.with_endpoint(at.trim_end_matches('/')),
            // A name with dots has no certificate at AWS.
            None => builder.with_virtual_hosted_style_request(!bucket.contains('.')),
        };
        Ok((builder, transport))
    }
}
