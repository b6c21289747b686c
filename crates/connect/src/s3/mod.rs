//! Buckets of S3 and of storage that speaks like it. The library signs requests and reads answers; what it sends goes through the one HTTPS
//! client, and what it knows of credentials is what it is given: it asks neither the environment nor the metadata of a machine.

mod refusal;
mod transport;

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::StreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, RetryConfig};
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

pub use self::refusal::S3Refusal;
use self::transport::{Failure, Transport};
use crate::dial::Dialer;
use crate::error::{Error, inner};
use crate::exchange::Peer;
use crate::files::{FileBytes, FileError, FileState, RemoteFiles};
use crate::https::{Bodies, HttpsOptions};
use crate::trust::Trust;

/// A name that nobody gives to an object: whether there is one is not what is asked.
const NOBODYS: &str = "dataimporter-asks-who-it-is";

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
}

/// A bucket whose objects are read, known by their lengths and ETags.
pub struct S3Bucket {
    store: AmazonS3,
    transport: Transport,
    bucket: String,
}

impl Dialer {
    /// Nothing is dialed yet.
    ///
    /// # Errors
    ///
    /// The endpoint is no `https://host` with or without a port, or the CA bundle cannot be used.
    pub fn s3(&self, params: &S3Params, key: &S3Key) -> Result<S3Bucket, Error> {
        let once = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        let (builder, transport) = self.s3_builder(params, key)?;
        let store = builder.with_retry(once).build().map_err(|error| transport.protocol(error.to_string()))?;
        Ok(S3Bucket { store, transport, bucket: params.bucket.clone() })
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
        let S3Params { endpoint, region, bucket, ca_bundle } = params;
        let https = self.https_with(HttpsOptions { trust: Trust::SystemAnd(ca_bundle.as_deref()) }, Bodies::AsTheyAre)?;
        let target = match endpoint {
            Some(endpoint) => origin(endpoint)?,
            None => format!("s3.{region}.amazonaws.com"),
        };
        let transport = Transport(Peer { https, target: format!("bucket {bucket} at {target}").into() });
        let mut builder = AmazonS3Builder::new()
            .with_http_connector(transport.clone())
            .with_bucket_name(bucket)
            .with_region(region)
            .with_access_key_id(key.id.expose_secret())
            .with_secret_access_key(key.secret.expose_secret());
        builder = match endpoint {
            Some(endpoint) => builder.with_endpoint(endpoint.trim_end_matches('/')),
            // A name with dots has no certificate at AWS.
            None => builder.with_virtual_hosted_style_request(!bucket.contains('.')),
        };
        Ok((builder, transport))
    }
}

/// The host and the port of an endpoint, which has nothing else.
fn origin(endpoint: &str) -> Result<String, Error> {
    let url = Url::parse(endpoint).ok().filter(|url| {
        url.scheme() == "https" && url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty()
    });
    match url.as_ref().and_then(|url| Some((url.host_str()?, url.port_or_known_default()?))) {
        Some((host, port)) => Ok(format!("{host}:{port}")),
        None => Err(Error::NotHttps { url: "the endpoint".to_owned() }),
    }
}

impl S3Bucket {
    /// Whether the server knows us, asked with the least that a credential can be for: one that may do nothing but read objects passes, and
    /// a bucket that is not there is found.
    ///
    /// # Errors
    ///
    /// The server cannot be reached, does not know the credential or the bucket, or does not speak S3.
    pub async fn verify(&self) -> Result<(), Error> {
        match self.look(NOBODYS).await {
            Ok(_) | Err(FileError::NotFound(_) | FileError::Changed { .. } | FileError::Path(_)) => Ok(()),
            // Who is denied was known.
            Err(FileError::Failed(Error::S3Refused { refusal: S3Refusal::Denied, .. })) => Ok(()),
            Err(FileError::Failed(error)) => Err(error),
        }
    }

    async fn get(&self, key: &str, options: GetOptions) -> Result<object_store::GetResult, FileError> {
        let path = path(key)?;
        self.store.get_opts(&path, options).await.map_err(|error| file_error(&self.bucket, &self.transport, key, error))
    }
}

#[async_trait]
impl RemoteFiles for S3Bucket {
    /// Told with the first byte: unlike a HEAD, a refused GET says why. A server that tells no strong ETag is refused: nobody could say
    /// later whether the object is still the same.
    async fn look(&self, key: &str) -> Result<FileState, FileError> {
        let first = GetOptions { range: Some(GetRange::Bounded(0..1)), ..GetOptions::default() };
        let found = match self.get(key, first).await {
            // There is no first byte.
            Err(FileError::Failed(Error::S3Refused { refusal: S3Refusal::BehindTheEnd, .. })) => {
                self.get(key, GetOptions { head: true, ..GetOptions::default() }).await
            }
            found => found,
        }?;
        match found.meta.e_tag {
            Some(etag) if !etag.starts_with("W/") => Ok(FileState { length: Some(found.meta.size), version: Some(etag) }),
            _ => Err(self.transport.protocol("it tells no ETag of an object that could be asked for again").into()),
        }
    }

    async fn open(&self, key: &str, from: u64, state: &FileState) -> Result<FileBytes, FileError> {
        let FileState { length: Some(length), version: Some(etag) } = state else {
            return Err(FileError::Changed { path: key.to_owned() });
        };
        if from >= *length {
            return Ok(futures::stream::empty().boxed());
        }
        let range = (from > 0).then_some(GetRange::Bounded(from..*length));
        let options = GetOptions { range, if_match: Some(etag.clone()), ..GetOptions::default() };
        let found = self.get(key, options).await?;
        // A server may not know the condition, or answer from where it is not kept.
        if found.meta.e_tag.as_ref() != Some(etag) || found.meta.size != *length {
            return Err(FileError::Changed { path: key.to_owned() });
        }
        let (bucket, transport, key) = (self.bucket.clone(), self.transport.clone(), key.to_owned());
        Ok(found.into_stream().map(move |piece| piece.map_err(|error| file_error(&bucket, &transport, &key, error))).boxed())
    }
}

/// The key as the library takes it, which changes none that it takes.
fn path(key: &str) -> Result<Path, FileError> {
    let refused = |reason: &str| FileError::Path(format!("{key:?} cannot be the key of an object that is read: {reason}"));
    match Path::parse(key) {
        Ok(path) if path.as_ref() == key && !key.is_empty() => Ok(path),
        Ok(_) => Err(refused("it is empty, or begins or ends with a slash")),
        Err(_) => Err(refused("it has control characters, or a part between slashes that is empty, . or ..")),
    }
}

fn file_error(bucket: &str, transport: &Transport, key: &str, error: object_store::Error) -> FileError {
    match error {
        object_store::Error::NotFound { .. } => FileError::NotFound(format!("bucket {bucket} has no object {key:?}")),
        object_store::Error::Precondition { .. } => FileError::Changed { path: key.to_owned() },
        error => FileError::Failed(failure(transport, error)),
    }
}

/// The cause that the transport knew, or what the library says of an answer.
fn failure(transport: &Transport, error: object_store::Error) -> Error {
    let mut next: Option<&(dyn StdError + 'static)> = Some(&error);
    let (mut known, mut innermost) = (None, String::new());
    while let Some(current) = next {
        known = known.or_else(|| current.downcast_ref::<Failure>().map(|failure| Arc::clone(&failure.0)));
        innermost = current.to_string();
        next = inner(current);
    }
    drop(error);
    known.and_then(Arc::into_inner).unwrap_or_else(|| transport.protocol(innermost))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_as_it_is_or_not_at_all() {
        for key in ["a.csv", "in/a b+c%20d.csv", "in/Zoë/é.csv", "a?b#c", "a/...", "a\\b"] {
            assert_eq!(path(key).unwrap().as_ref(), key);
        }
        for key in ["", "/", "/a.csv", "a/", "a//b", "../other/a.csv", "a/../b", "a/./b", "a\nb"] {
            assert!(path(key).is_err(), "{key:?}");
        }
    }

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        assert_eq!(origin("https://minio.example:9000/").unwrap(), "minio.example:9000");
        assert_eq!(origin("https://minio.example").unwrap(), "minio.example:443");
        for wrong in ["http://minio.example", "https://u:p@minio.example", "https://minio.example/a", "https://minio.example?a=b", "minio"]
        {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }
}
