//! Where a region's files lie: one folder per Region on the mounted volume. Holds ciphertext only; knows no keys. Several replicas may
//! share a volume: what one of them has begun lies apart from what the others have, until it is whole.
//! Folders go with the last file in them. Whatever touches the volume does so in the region's lane; nothing here waits for a volume for ever.

mod incoming;
mod outgoing;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use api::Region;
use bytes::Bytes;
use futures::StreamExt;
use kube::ResourceExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use tokio::sync::{RwLock, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::keeper::base::error::{Error, Result};
use crate::keeper::base::lane::{DEADLINE, Lane, Lanes, NotResponding};
pub(crate) use incoming::Incoming;
pub(crate) use outgoing::Outgoing;

/// Files that are listed ahead of whoever looks at them.
const LISTED_AHEAD: usize = 1024;
/// Files and folders that stay possible for the audit.
const RESERVED_INODES: u64 = 64;

#[derive(Clone)]
pub(crate) struct Storages {
    dir: PathBuf,
    replica: String,
    /// Bytes that files leave free on every volume.
    reserve: u64,
    readers: Readers,
    folders: Folders,
    lanes: Lanes,
}

/// The storage of one region.
#[derive(Clone)]
pub(crate) struct Storage {
    region: String,
    replica: String,
    reserve: u64,
    mount: PathBuf,
    root: PathBuf,
    lane: Lane,
    /// In place of the volume: a test's.
    #[cfg(test)]
    faulty: Option<Arc<dyn ObjectStore>>,
    readers: Readers,
    folders: Arc<RwLock<()>>,
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

    fn end(&self, file: &Path) {
        let reader = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(file);
        if let Some(end) = reader.and_then(|known| known.upgrade()) {
            end.cancel();
        }
    }
}

/// Held by whoever writes into a folder of a region, and alone by whoever removes one: a folder that goes between a rename and its
/// fsync fails the rename. Held for a step, never for as long as a sender takes.
#[derive(Clone, Default)]
struct Folders(Arc<Mutex<HashMap<PathBuf, Arc<RwLock<()>>>>>);

impl Folders {
    fn of(&self, root: &Path) -> Arc<RwLock<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(root.to_owned()).or_default().clone()
    }
}

impl Storages {
    pub(crate) fn new(dir: PathBuf, replica: &str, reserve: u64) -> Self {
        let (readers, folders, lanes) = Default::default();
        Self { dir, replica: replica.to_owned(), reserve, readers, folders, lanes }
    }

    /// Whether the volume is there is found out at the first step.
    pub(crate) fn of(&self, region: &Region) -> Result<Storage> {
        let name = region.name_any();
        let volume = region.spec.storage.volume.as_ref().map(|mount| mount.name.clone()).unwrap_or_default();
        let mount = self.dir.join(&volume);
        if volume.is_empty() { Err(not_mounted(&name, &mount)) } else { self.open(name, mount) }
    }

    /// Wherever files of a region may lie. A Region that is gone, or that came back elsewhere, no longer says it: its folder is looked for
    /// on every volume. One that does not answer may hold it.
    pub(crate) async fn everywhere(&self, region: &str) -> Result<Vec<Storage>> {
        let dir = self.dir.clone();
        let mounts = tokio::task::spawn_blocking(move || folders(&dir)).await.map_err(std::io::Error::other).flatten();
        let mut found = Vec::new();
        for mount in mounts.map_err(|_| not_mounted(region, &self.dir))? {
            let storage = self.open(region.to_owned(), mount)?;
            let root = storage.root.clone();
            if storage.lane.blocking(move || root.is_dir()).await.map_err(storage.hung("look for its folder"))? {
                found.push(storage);
            }
        }
        if found.is_empty() { Err(not_mounted(region, &self.dir)) } else { Ok(found) }
    }

    fn open(&self, region: String, mount: PathBuf) -> Result<Storage> {
        let root = mount.join(&region);
        let lane = self.lanes.of(&root).map_err(|source| Error::Threads { region: region.clone(), source })?;
        Ok(Storage {
            replica: self.replica.clone(),
            reserve: self.reserve,
            readers: self.readers.clone(),
            folders: self.folders.of(&root),
            #[cfg(test)]
            faulty: None,
            region,
            mount,
            root,
            lane,
        })
    }
}

fn not_mounted(region: &str, path: &Path) -> Error {
    Error::NotMounted { region: region.to_owned(), path: path.display().to_string() }
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
    /// Folder of the region on the volume.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn lane(&self) -> &Lane {
        &self.lane
    }

    fn failed(&self, doing: &'static str) -> impl FnOnce(object_store::Error) -> Error + use<> {
        let region = self.region.clone();
        move |source| Error::Storage { region, doing, source }
    }

    pub(crate) fn hung(&self, doing: &'static str) -> impl FnOnce(NotResponding) -> Error + use<> {
        let region = self.region.clone();
        move |source| Error::NotResponding { region, doing, source }
    }

    /// The volume must be there; the region's folder on it is made. Blocks: for steps.
    fn store(&self) -> Result<Arc<dyn ObjectStore>> {
        #[cfg(test)]
        if let Some(faulty) = &self.faulty {
            return Ok(faulty.clone());
        }
        let missing = || not_mounted(&self.region, &self.mount);
        if !self.mount.is_dir() {
            return Err(missing());
        }
        std::fs::create_dir_all(&self.root).map_err(|_| missing())?;
        let store = LocalFileSystem::new_with_prefix(&self.root).map_err(self.failed("open"))?;
        // A tenant's folder goes with its last file.
        Ok(Arc::new(store.with_fsync(true).with_automatic_cleanup(true)))
    }

    /// Whether files leave enough room for the audit. Blocks: for steps.
    fn has_room(&self) -> Result<()> {
        let stat = rustix::fs::statvfs(&self.root).map_err(|error| {
            self.failed("look how full it is")(object_store::Error::Generic { store: "volume", source: Box::new(error) })
        })?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        // A filesystem that counts no inodes has as many as it needs.
        let inodes = stat.f_files == 0 || stat.f_favail >= RESERVED_INODES;
        if free >= self.reserve && inodes {
            return Ok(());
        }
        Err(Error::Full { region: self.region.clone(), free, reserve: self.reserve })
    }

    async fn step<T, F>(&self, doing: &'static str, work: impl FnOnce(Self) -> F + Send + 'static) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let this = self.clone();
        self.lane.step(DEADLINE, async move { work(this).await }).await.map_err(self.hung(doing))?
    }

    /// The volume answers and is the region's.
    pub(crate) async fn ready(&self) -> Result<()> {
        self.step("look for its volume", |this| async move { this.store().map(|_| ()) }).await
    }

    fn on_volume(&self, path: &ObjectPath) -> PathBuf {
        self.root.join(path.as_ref())
    }

    /// Deletes a file and proves that it is gone.
    pub(crate) async fn erase(&self, tenant_uid: &str, file_uid: &str) -> Result<()> {
        let path = path(tenant_uid, file_uid);
        self.step("erase a file", |this| async move {
            let store = this.store()?;
            let deleted = delete(&this, store.as_ref(), &path).await;
            // Whoever had opened it by then is known by now, and nobody opens it any more.
            this.readers.end(&this.on_volume(&path));
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
        let store = self.step("list the files", |this| async move { this.store() }).await?;
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
            let removed = remove_all(&this.root.join(BEGUN).join(&this.replica)).map_err(|error| {
                this.failed("clear what was begun")(object_store::Error::Generic { store: "volume", source: Box::new(error) })
            })?;
            this.tidy().await;
            Ok(removed)
        })
        .await
    }

    /// One that holds something is not removed, and a next beginning makes them anew. Blocks: for steps.
    async fn tidy(&self) {
        let _removing = self.folders.write().await;
        let begun = self.root.join(BEGUN);
        let _ = std::fs::remove_dir(begun.join(&self.replica)).and_then(|()| std::fs::remove_dir(begun));
    }

    /// Writes, reads and deletes a small object, and looks whether there is room for larger ones.
    pub(crate) async fn probe(&self) -> Result<()> {
        self.step("write and read a probe", |this| async move {
            let store = this.store()?;
            // One for each replica: another's deletion would look like a loss.
            let path = ObjectPath::from_iter(["probe", this.replica.as_str()]);
            let content = Bytes::from_static(b"dataimporter");
            this.has_room()?;
            {
                let _writing = this.folders.read().await;
                store.put(&path, PutPayload::from(content.clone())).await.map_err(this.failed("write a probe"))?;
            }
            let read = store.get(&path).await.map_err(this.failed("read the probe"))?;
            let read = read.bytes().await.map_err(this.failed("read the probe"))?;
            delete(&this, store.as_ref(), &path).await.map_err(this.failed("delete the probe"))?;
            if read == content {
                return Ok(());
            }
            Err(this.failed("read the probe")(object_store::Error::Generic {
                store: "volume",
                source: "it gave back other bytes than were written".into(),
            }))
        })
        .await
    }
}

/// The folders it was in go with it if they are empty now.
async fn delete(storage: &Storage, store: &dyn ObjectStore, path: &ObjectPath) -> object_store::Result<()> {
    let _removing = storage.folders.write().await;
    store.delete(path).await
}

/// Answers how many there were; a folder that is not there has none.
fn remove_all(folder: &Path) -> std::io::Result<usize> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut removed = 0;
    for entry in entries {
        std::fs::remove_file(entry?.path())?;
        removed += 1;
    }
    Ok(removed)
}

#[cfg(test)]
mod tests;
