//! Buckets of Google Cloud Storage.

use http::{HeaderMap, Method, StatusCode};
use object_store::RetryConfig;
use object_store::gcp::GoogleCloudStorageBuilder;
use secrecy::{ExposeSecret, SecretString};

use super::refusal::{self, ObjectsRefusal};
use super::transport::{Dialect, Transport};
use super::{ObjectFiles, endpoint};
use crate::dial::Dialer;
use crate::error::Error;

const GOOGLE: &str = "https://storage.googleapis.com";

/// Where a bucket is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GcsParams {
    /// `https://host` or `https://host:port` of another server that speaks like it. Absent: Google.
    pub endpoint: Option<String>,
    /// Name of the bucket.
    pub bucket: String,
    /// PEM of authorities besides the system's.
    pub ca_bundle: Option<String>,
}

struct Gcs;

impl Dialect for Gcs {
    fn refusal(&self, target: &str, method: &Method, status: StatusCode, _: &HeaderMap, body: &str) -> Option<Error> {
        // fake-gcs-server has no code for what is not there.
        let code = refusal::code(body).or_else(|| (status == StatusCode::NOT_FOUND).then_some("NoSuchKey"));
        let refusal = refusal::of(method, status, code, meaning)?;
        Some(Error::ObjectsRefused { target: target.to_owned(), refusal })
    }

    fn protocol(&self, target: &str, reason: String) -> Error {
        Error::ObjectsProtocol { target: target.to_owned(), system: "Google Cloud Storage", reason }
    }

    fn is_denied(&self, error: &Error) -> bool {
        matches!(error, Error::ObjectsRefused { refusal: ObjectsRefusal::Denied, .. })
    }

    fn may_be_empty(&self, error: &Error) -> bool {
        matches!(error, Error::ObjectsRefused { refusal: ObjectsRefusal::BehindTheEnd, .. })
    }
}

/// <https://cloud.google.com/storage/docs/xml-api/reference-status>
fn meaning(code: &str) -> Option<ObjectsRefusal> {
    Some(match code {
        "NoSuchBucket" | "InvalidBucketName" => ObjectsRefusal::NoBucket,
        "AuthenticationRequired" | "InvalidAuthentication" | "InvalidSecurity" | "ExpiredToken" => ObjectsRefusal::UnknownKey,
        "AccessDenied" | "AccountProblem" | "UserProjectAccountProblem" => ObjectsRefusal::Denied,
        "RequestTimeTooSkewed" => ObjectsRefusal::Clocks,
        "CustomerEncryptionKeyIsIncorrect" | "ResourceIsEncryptedWithCustomerEncryptionKey" => ObjectsRefusal::Unreadable,
        "InvalidRange" => ObjectsRefusal::BehindTheEnd,
        _ => return None,
    })
}

impl Dialer {
    /// `key`: a key of a service account, the JSON as Google gives it out. Its private half signs, and is sent to nobody. Nothing is dialed
    /// yet.
    ///
    /// # Errors
    ///
    /// The endpoint is no `https://host` with or without a port, the CA bundle cannot be used, or the key is none.
    pub fn gcs(&self, params: &GcsParams, key: &SecretString) -> Result<ObjectFiles, Error> {
        let at = params.endpoint.as_deref().unwrap_or(GOOGLE);
        let target = format!("bucket {} at {}", params.bucket, endpoint(at)?);
        let transport = Transport::new(self, &Gcs, params.ca_bundle.as_deref(), target.clone())?;
        let store = GoogleCloudStorageBuilder::new()
            .with_http_connector(transport.clone())
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .with_bucket_name(&params.bucket)
            // The key may name a server of its own, which is not asked.
            .with_base_url(at.trim_end_matches('/'))
            .with_service_account_key(key.expose_secret())
            .build()
            // What the library says of a key could quote it.
            .map_err(|_| Error::Login { target, reason: NO_KEY.to_owned() })?;
        Ok(ObjectFiles::new(store, transport, format!("bucket {}", params.bucket)))
    }
}

const NO_KEY: &str =
    "the key is none of a service account: it is the JSON file that Google Cloud gives out, with private_key and client_email";
