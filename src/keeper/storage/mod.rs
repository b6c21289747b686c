//! Where a region's files lie. Holds ciphertext only; knows no keys. Several replicas may share a place: what one of them has begun lies apart
//! from what the others have, until it is whole. Whatever touches the place does so in the region's lane; nothing here waits for it for ever.
//! What differs between places is a [`Medium`]: a mounted volume, or a bucket of S3. What grows, as the audit does, is a [`Log`].
//! `conformance` is what each place must do.

mod appended;
mod bucket;
#[cfg(test)]
pub(crate) mod conformance;
mod incoming;
mod log;
mod medium;
mod outgoing;
mod rewritten;
mod volume;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use api::Region;
use api::region::{BucketStorage, PrivateEndpoint, StorageKind};
use bytes::Bytes;
use connect::Proxy;
use futures::StreamExt;
use kube::ResourceExt;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStoreExt, PutPayload};
use tokio::sync::{RwLock, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::keeper::base::error::{Error, Result};
use crate::keeper::base::lane::{DEADLINE, Lane, Lanes, NotResponding};
use crate::keeper::base::records::Records;
use bucket::Bucket;
pub(crate) use incoming::Incoming;
pub(crate) use log::{Log, LogObject, Logs};
use medium::Medium;
pub(crate) use outgoing::Outgoing;
use volume::Volume;

/// Files that are listed ahead of the caller that looks at them.
const LISTED_AHEAD: usize = 1024;

#[derive(Clone)]
pub(crate) struct Storages {
    dir: PathBuf,
    replica: String,
    /// Bytes that files leave free on every volume.
    reserve: u64,
    readers: Readers,
    folders: Folders,
    lanes: Lanes,
    /// Where the keys of buckets are.
    secrets: Records,
    buckets: Buckets,
    /// Through which buckets are reached.
    proxy: Option<Proxy>,
}

/// The storage of one region.
#[derive(Clone)]
pub(crate) struct Storage {
    region: String,
    replica: String,
    /// The region's folder on its volume or in its bucket: what its lane and the readers of its files are known by.
    root: PathBuf,
    lane: Lane,
    medium: Arc<dyn Medium>,
    readers: Readers,
}

/// Who reads what now. A file that is erased ends its readers: an open handle would keep the bytes on the volume for as long as somebody
/// reads slowly.
#[derive(Clone, Default)]
struct Readers(Arc<Mutex<HashMap<PathBuf, Weak<CancellationToken>>>>);

impl Readers {
    /// What ends the readers of a file, for one more of them.
    fn join(&self, file: PathBuf) -> Arc<CancellationToken> {
        let mut readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        readers.retain(|_, known| known.strong_count() > 0);
        let known = readers.get(&file).and_then(Weak::upgrade);
        let end = known.unwrap_or_default();
        readers.insert(file, Arc::downgrade(&end));
        end
    }

    fn open(&self) -> Vec<PathBuf> {
        let readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        readers.iter().filter(|(_, known)| known.strong_count() > 0).map(|(file, _)| file.clone()).collect()
    }

    fn end(&self, file: &Path) {
        let reader = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(file);
        if let Some(end) = reader.and_then(|known| known.upgrade()) {
            end.cancel();
        }
    }
}

/// One lock for the folders of each region, however often its storage is opened.
#[derive(Clone, Default)]
struct Folders(Arc<Mutex<HashMap<PathBuf, Arc<RwLock<()>>>>>);

impl Folders {
    fn of(&self, root: &Path) -> Arc<RwLock<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(root.to_owned()).or_default().clone()
    }
}

/// The bucket of each region as its Region named it last, with the key that opened it.
#[derive(Clone, Default)]
struct Buckets(Arc<Mutex<HashMap<String, Named>>>);

struct Named {
    spec: BucketStorage,
    endpoints: Vec<PrivateEndpoint>,
    bucket: Arc<Bucket>,
}

impl Buckets {
    fn of(&self, region: &Region, spec: &BucketStorage, storages: &Storages) -> Arc<Bucket> {
        let endpoints = &region.spec.private_endpoints;
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = buckets.get(&region.name_any()).filter(|known| known.spec == *spec && known.endpoints == *endpoints) {
            return known.bucket.clone();
        }
        let bucket = Arc::new(Bucket::new(region, spec, storages.secrets.clone(), storages.proxy.clone()));
        buckets.insert(region.name_any(), Named { spec: spec.clone(), endpoints: endpoints.clone(), bucket: bucket.clone() });
        bucket
    }

    /// The one that a region had which may be gone.
    fn known(&self, region: &str) -> Option<(BucketStorage, Arc<Bucket>)> {
        let buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.get(region).map(|known| (known.spec.clone(), known.bucket.clone()))
    }
}

impl Storages {
    pub(crate) fn new(dir: PathBuf, replica: &str, reserve: u64, secrets: Records, proxy: Option<Proxy>) -> Self {
        let (readers, folders, lanes, buckets) = Default::default();
        Self { dir, replica: replica.to_owned(), reserve, readers, folders, lanes, secrets, buckets, proxy }
    }

    /// Whether the place is there is found out at the first step.
    pub(crate) fn of(&self, region: &Region) -> Result<Storage> {
        let name = region.name_any();
        match region.spec.storage.kind() {
            Some(StorageKind::Volume(volume)) => {
                let mount = self.dir.join(&volume.name);
                if volume.name.is_empty() { Err(not_mounted(&name, &mount)) } else { self.on_volume(name, mount) }
            }
            Some(StorageKind::S3(spec)) => self.in_bucket(name, spec, self.buckets.of(region, spec, self)),
            None => Err(Error::NotUnderstood { region: name, part: "storage" }),
        }
    }

    /// Wherever files of a region may lie. A Region that is gone, or that came back elsewhere, no longer says it: its folder is looked for
    /// on every volume, and in the bucket that it named last while this process ran. One that does not answer may hold it.
    pub(crate) async fn everywhere(&self, region: &str) -> Result<Vec<Storage>> {
        let dir = self.dir.clone();
        let mounts = match tokio::task::spawn_blocking(move || folders(&dir)).await.map_err(std::io::Error::other).flatten() {
            // Every region keeps its files in a bucket.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            mounts => mounts.map_err(|_| not_mounted(region, &self.dir))?,
        };
        let mut found = Vec::new();
        for mount in mounts {
            let storage = self.on_volume(region.to_owned(), mount)?;
            let root = storage.root.clone();
            if storage.lane.blocking(move || root.is_dir()).await.map_err(storage.hung("look for its folder"))? {
                found.push(storage);
            }
        }
        if let Some((spec, bucket)) = self.buckets.known(region) {
            found.push(self.in_bucket(region.to_owned(), &spec, bucket)?);
        }
        if found.is_empty() { Err(not_mounted(region, &self.dir)) } else { Ok(found) }
    }

    /// What is read here now: where it lies, and the id of the file.
    pub(crate) fn read_now(&self) -> Vec<(PathBuf, String)> {
        let id = |path: &PathBuf| Some(path.file_name()?.to_string_lossy().into_owned());
        self.readers.open().into_iter().filter_map(|path| Some((path.clone(), id(&path)?))).collect()
    }

    pub(crate) fn end_readers(&self, path: &Path) {
        self.readers.end(path);
    }

    fn on_volume(&self, region: String, mount: PathBuf) -> Result<Storage> {
        let root = mount.join(&region);
        let folders = self.folders.of(&root);
        let volume = Volume { region: region.clone(), reserve: self.reserve, mount, root: root.clone(), folders };
        self.storage(region, root, Arc::new(volume))
    }

    fn in_bucket(&self, region: String, spec: &BucketStorage, bucket: Arc<Bucket>) -> Result<Storage> {
        let BucketStorage { endpoint, bucket: name, .. } = spec;
        let root = PathBuf::from(format!("s3:{}/{name}/{region}", endpoint.as_deref().unwrap_or_default()));
        self.storage(region, root, bucket)
    }

    fn storage(&self, region: String, root: PathBuf, medium: Arc<dyn Medium>) -> Result<Storage> {
        let lane = self.lanes.of(&root).map_err(|source| Error::Threads { region: region.clone(), source })?;
        Ok(Storage { replica: self.replica.clone(), readers: self.readers.clone(), region, root, lane, medium })
    }
}

fn not_mounted(region: &str, path: &Path) -> Error {
    Error::NotMounted { region: region.to_owned(), path: path.display().to_string() }
}

fn failed(region: &str, doing: &'static str) -> impl FnOnce(object_store::Error) -> Error + use<> {
    let region = region.to_owned();
    move |source| Error::Storage { region, doing, source }
}

/// Folders in a folder, without a look into what is mounted there.
fn folders(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let is_folder = |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    std::fs::read_dir(path)?.filter(|entry| entry.as_ref().map_or(true, is_folder)).map(|entry| entry.map(|e| e.path())).collect()
}

/// `files/<tenant>/<file>`
fn path(tenant_uid: &str, file_uid: &str) -> ObjectPath {
    ObjectPath::from_iter(["files", tenant_uid, file_uid])
}

/// Folder of the files that each replica has begun.
const BEGUN: &str = "begun";

impl Storage {
    fn failed(&self, doing: &'static str) -> impl FnOnce(object_store::Error) -> Error + use<> {
        let medium = self.medium.clone();
        move |source| medium.failed(doing, source)
    }

    pub(crate) fn hung(&self, doing: &'static str) -> impl FnOnce(NotResponding) -> Error + use<> {
        let region = self.region.clone();
        move |source| Error::NotResponding { region, doing, source }
    }

    async fn step<T, F>(&self, doing: &'static str, work: impl FnOnce(Self) -> F + Send + 'static) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let this = self.clone();
        self.lane.step(DEADLINE, async move { work(this).await }).await.map_err(self.hung(doing))?
    }

    /// The place is there.
    pub(crate) async fn ready(&self) -> Result<()> {
        self.step("look for it", |this| async move { this.medium.objects().await.map(drop) }).await
    }

    /// What readers of a file are known by: the same path of another region is another file.
    fn reading(&self, path: &ObjectPath) -> PathBuf {
        self.root.join(path.as_ref())
    }

    /// Deletes a file and proves that it is gone.
    pub(crate) async fn erase(&self, tenant_uid: &str, file_uid: &str) -> Result<()> {
        let path = path(tenant_uid, file_uid);
        self.step("erase a file", |this| async move {
            let store = this.medium.objects().await?;
            let deleted = this.medium.delete(store.as_ref(), &path).await;
            // A reader that had opened it by then is known by now, and nobody opens it any more.
            this.readers.end(&this.reading(&path));
            match deleted {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(this.failed("delete a file")(error)),
            }
            match store.head(&path).await {
                Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(this.failed("prove a file gone")(error)),
                Ok(_) => Err(this.failed("prove a file gone")(object_store::Error::AlreadyExists {
                    path: path.to_string(),
                    source: "it is still there after its deletion".into(),
                })),
            }
        })
        .await
    }

    /// All files: tenant and file id.
    pub(crate) async fn list(&self) -> Result<Vec<(String, String)>> {
        let store = self.step("list the files", |this| async move { this.medium.objects().await }).await?;
        let (found, mut listed) = mpsc::channel(LISTED_AHEAD);
        self.lane.handle().spawn(async move {
            let mut files = store.list(Some(&ObjectPath::from("files")));
            while let Some(file) = files.next().await {
                if found.send(file).await.is_err() {
                    break;
                }
            }
        });
        let mut all = Vec::new();
        while let Some(file) = timeout(DEADLINE, listed.recv()).await.map_err(|_| self.hung("list the files")(NotResponding))? {
            let location = file.map_err(self.failed("list the files"))?.location;
            let mut parts = location.parts().skip(1).map(|part| part.as_ref().to_owned());
            all.push((parts.next().unwrap_or_default(), parts.next().unwrap_or_default()));
        }
        Ok(all)
    }

    /// Removes the beginnings of files that this replica left when it was killed: at its start all of them are dead.
    pub(crate) async fn clear_begun(&self) -> Result<usize> {
        self.step("clear what was begun", |this| async move {
            let removed = this.medium.clear(&this.begun()).await?;
            this.medium.tidy(&this.begun()).await;
            Ok(removed)
        })
        .await
    }

    /// Where the files lie that this replica has begun.
    fn begun(&self) -> ObjectPath {
        ObjectPath::from_iter([BEGUN, self.replica.as_str()])
    }

    /// Writes, reads and deletes a small object, and looks whether there is room for larger ones.
    pub(crate) async fn probe(&self) -> Result<()> {
        self.step("write and read a probe", |this| async move {
            let store = this.medium.objects().await?;
            // One for each replica: another's deletion would look like a loss.
            let path = ObjectPath::from_iter(["probe", this.replica.as_str()]);
            let content = Bytes::from_static(b"dataimporter");
            this.medium.has_room()?;
            let payload = PutPayload::from(content.clone());
            this.medium.put(store.as_ref(), &path, payload).await.map_err(this.failed("write a probe"))?;
            this.medium.prove(store.as_ref(), &path).await.map_err(this.failed("try conditions on the probe"))?;
            let read = store.get(&path).await.map_err(this.failed("read the probe"))?;
            let read = read.bytes().await.map_err(this.failed("read the probe"))?;
            this.medium.delete(store.as_ref(), &path).await.map_err(this.failed("delete the probe"))?;
            if read == content {
                return Ok(());
            }
            Err(this.failed("read the probe")(object_store::Error::Generic {
                store: "storage",
                source: "it gave back other bytes than were written".into(),
            }))
        })
        .await
    }
}

#[cfg(test)]
mod tests;
