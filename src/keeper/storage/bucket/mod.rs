//! A bucket of S3, or of storage that speaks like it: one folder for each Region. A file that comes is seen under its name once it is whole,
//! because parts are nothing to S3 until they are completed; `incoming` says how the parts of a keeper that was killed are found again.

mod incoming;
#[cfg(test)]
pub(super) mod tests;
mod unfit;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use api::Region;
use api::connection::SystemKind;
use api::region::BucketStorage;
use async_trait::async_trait;
use bytes::Bytes;
use connect::{Dialer, Proxy, S3Key, S3Params, S3Refusal, S3Store};
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use object_store::path::Path as ObjectPath;
use object_store::prefix::PrefixStore;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};
use secrecy::SecretString;

use super::log::{Log, LogObject};
use super::medium::Medium;
use super::rewritten;
use crate::keeper::base::error::{Error, Result};
use crate::keeper::base::records::Records;
use crate::systems::reach::address_policy;
use incoming::IncomingObject;
use unfit::Unfit;

/// S3 takes no smaller part but the last.
const PART: usize = 5 << 20;

/// How long the key of a bucket is used before its Secret is looked at again.
const KEY_KNOWN_FOR: Duration = Duration::from_secs(30);

/// What its Secret's access key has to be allowed.
const PERMISSIONS: &str =
    "s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload on its objects, and s3:ListBucket on the bucket";

/// The objects of one Region in a bucket.
type Objects = PrefixStore<S3Store>;

pub(super) struct Bucket {
    region: String,
    spec: BucketStorage,
    dialer: Dialer,
    secrets: Records,
    opened: Mutex<Option<Opened>>,
}

/// The bucket as the key opens it that was read last.
struct Opened {
    objects: Arc<Objects>,
    secret_version: Option<String>,
    read: Instant,
}

impl Bucket {
    pub(super) fn new(region: &Region, spec: &BucketStorage, secrets: Records, proxy: Option<Proxy>) -> Self {
        // The administrator who names the endpoint also lists the private addresses; an entry for the bucket needs no tenant.
        let policy = address_policy(SystemKind::S3, &region.spec.private_endpoints);
        let dialer = Dialer::new(policy).through(proxy);
        Self { region: region.name_any(), spec: spec.clone(), dialer, secrets, opened: Mutex::default() }
    }

    async fn open(&self) -> Result<Arc<Objects>> {
        let known = |opened: &Option<Opened>| opened.as_ref().map(|known| (known.objects.clone(), known.read));
        let known = known(&self.opened.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some((objects, _)) = known.as_ref().filter(|(_, read)| read.elapsed() < KEY_KNOWN_FOR) {
            return Ok(objects.clone());
        }
        let secret = match (self.secrets.get(&self.spec.secret_ref.name).await, known) {
            (Ok(secret), _) => secret.ok_or_else(|| self.key_unusable("does not exist"))?,
            // The bucket goes on without the API server.
            (Err(_), Some((objects, _))) => return Ok(objects),
            (Err(error), None) => return Err(error),
        };
        let key = self.key(&secret)?;
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let objects = match opened.as_ref() {
            Some(known) if known.secret_version == secret.metadata.resource_version => known.objects.clone(),
            _ => Arc::new(PrefixStore::new(self.dialer.s3_store(&self.params(), &key)?, self.region.as_str())),
        };
        *opened = Some(Opened { objects: objects.clone(), secret_version: secret.metadata.resource_version, read: Instant::now() });
        Ok(objects)
    }

    fn params(&self) -> S3Params {
        let BucketStorage { endpoint, bucket, region, secret_ref: _, tls } = &self.spec;
        S3Params {
            endpoint: endpoint.clone(),
            region: region.clone(),
            bucket: bucket.clone(),
            ca_bundle: tls.as_ref().and_then(|tls| tls.ca_bundle.clone()),
            requester_pays: false,
        }
    }

    fn key(&self, secret: &Secret) -> Result<S3Key> {
        let entry = |name: &str, missing: &'static str| {
            let bytes = secret.data.as_ref().and_then(|data| data.get(name)).map(|bytes| bytes.0.as_slice());
            let text = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok()).map(str::trim_ascii).filter(|text| !text.is_empty());
            text.map(|text| SecretString::from(text.to_owned())).ok_or_else(|| self.key_unusable(missing))
        };
        Ok(S3Key {
            id: entry(BucketStorage::KEY_ID, "has no text under accessKeyId")?,
            secret: entry(BucketStorage::SECRET, "has no text under secretAccessKey")?,
            customer_key: None,
        })
    }

    fn key_unusable(&self, problem: &'static str) -> Error {
        Error::BucketKey { region: self.region.clone(), secret: self.secrets.full_name(&self.spec.secret_ref.name), problem }
    }

    /// What the refusal of an S3 server means where the Region's files lie.
    fn refused(&self, doing: &'static str, error: &connect::Error) -> Error {
        let diagnosis = connect::diagnose(error);
        let secret = self.secrets.full_name(&self.spec.secret_ref.name);
        let text = match error {
            connect::Error::S3Refused { target, refusal: S3Refusal::Denied } => {
                format!("{target}: the access key of Secret {secret} was accepted, and may not do this: let its policy allow {PERMISSIONS}")
            }
            connect::Error::S3Refused { refusal: S3Refusal::UnknownKey | S3Refusal::WrongSecret, .. } => {
                format!("{}: correct accessKeyId and secretAccessKey in Secret {secret}", diagnosis.text)
            }
            _ => diagnosis.text,
        };
        Error::Bucket { region: self.region.clone(), doing, reason: diagnosis.reason, text }
    }
}

#[async_trait]
impl Medium for Bucket {
    fn failed(&self, doing: &'static str, source: object_store::Error) -> Error {
        if let Some(unfit) = Unfit::of(&source) {
            let text = format!("bucket {}: {unfit}", self.spec.bucket);
            return Error::Bucket { region: self.region.clone(), doing, reason: unfit.reason(), text };
        }
        match connect::find(&source) {
            Some(known) => {
                // A key that was replaced is not waited for.
                *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = None;
                self.refused(doing, known)
            }
            None => Error::Storage { region: self.region.clone(), doing, source },
        }
    }

    async fn objects(&self) -> Result<Arc<dyn ObjectStore>> {
        Ok(self.open().await?)
    }

    /// A bucket has no end.
    fn has_room(&self) -> Result<()> {
        Ok(())
    }

    fn part(&self) -> usize {
        PART
    }

    async fn begin(&self, _: &dyn ObjectStore, begun: &ObjectPath, path: &ObjectPath) -> Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(IncomingObject::new(self.open().await?, path.clone(), begun.clone())))
    }

    /// It has its name since it was completed.
    async fn place(&self, _: &dyn ObjectStore, _: &ObjectPath, _: &ObjectPath) -> object_store::Result<()> {
        Ok(())
    }

    async fn discard(&self, _: &dyn ObjectStore, begun: &ObjectPath) -> Result<()> {
        let objects = self.open().await?;
        incoming::discard(&objects, begun).await.map(drop).map_err(|error| self.failed("clear what was begun", error))
    }

    async fn put(&self, objects: &dyn ObjectStore, path: &ObjectPath, content: PutPayload) -> object_store::Result<()> {
        let put = objects.put(path, content).await?;
        unfit::without_versions(put.version.as_deref())
    }

    /// Overwritten first, because the answer to that tells whether the bucket keeps versions by now, as no other does of an object from
    /// before. Where a deletion would only hide what is there, nothing is deleted: a next look would take it for gone.
    async fn delete(&self, objects: &dyn ObjectStore, path: &ObjectPath) -> object_store::Result<()> {
        self.put(objects, path, PutPayload::default()).await?;
        objects.delete(path).await
    }

    async fn prove(&self, objects: &dyn ObjectStore, probe: &ObjectPath) -> object_store::Result<()> {
        unfit::obeys_conditions(objects, probe).await
    }

    async fn clear(&self, folder: &ObjectPath) -> Result<usize> {
        let objects = self.open().await?;
        let cleared = async {
            let marks: Vec<_> = objects.list(Some(folder)).try_collect().await?;
            let mut removed = 0;
            for mark in &marks {
                removed += usize::from(incoming::discard(&objects, &mark.location).await?);
            }
            Ok(removed)
        };
        cleared.await.map_err(|error| self.failed("clear what was begun", error))
    }

    /// There are no folders.
    async fn tidy(&self, _: &ObjectPath) {}

    async fn create_log(&self, objects: Arc<dyn ObjectStore>, path: &ObjectPath, content: Bytes) -> io::Result<Box<dyn Log>> {
        Ok(Box::new(rewritten::create(objects, path, content).await?))
    }

    async fn go_on_with_log(&self, objects: Arc<dyn ObjectStore>, log: &LogObject, whole: u64) -> io::Result<Box<dyn Log>> {
        Ok(Box::new(rewritten::go_on(objects, log, whole).await?))
    }
}
