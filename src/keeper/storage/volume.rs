//! A mounted volume: one folder for each Region. Folders go with the last file in them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};
use tokio::sync::RwLock;

use super::log::{Log, LogObject};
use super::medium::Medium;
use super::{appended, failed, not_mounted};
use crate::keeper::base::error::{Error, Result};

/// A part of a file on its way to the volume.
const PART: usize = 1 << 20;

/// Files and folders that stay possible for the audit.
const RESERVED_INODES: u64 = 64;

pub(super) struct Volume {
    pub(super) region: String,
    /// Bytes that files leave free.
    pub(super) reserve: u64,
    pub(super) mount: PathBuf,
    pub(super) root: PathBuf,
    /// Held by a step that writes into a folder of the region, and alone by one that removes a folder: a folder that goes between a rename and its
    /// fsync fails the rename. Held for a step, never for as long as a sender takes.
    pub(super) folders: Arc<RwLock<()>>,
}

#[async_trait]
impl Medium for Volume {
    fn failed(&self, doing: &'static str, source: object_store::Error) -> Error {
        failed(&self.region, doing)(source)
    }

    /// The volume must be there; the region's folder on it is made.
    async fn objects(&self) -> Result<Arc<dyn ObjectStore>> {
        let missing = || not_mounted(&self.region, &self.mount);
        if !self.mount.is_dir() {
            return Err(missing());
        }
        std::fs::create_dir_all(&self.root).map_err(|_| missing())?;
        let store = LocalFileSystem::new_with_prefix(&self.root).map_err(failed(&self.region, "open"))?;
        // A tenant's folder goes with its last file.
        Ok(Arc::new(store.with_fsync(true).with_automatic_cleanup(true)))
    }

    fn has_room(&self) -> Result<()> {
        let stat = rustix::fs::statvfs(&self.root).map_err(|error| failed(&self.region, "look how full it is")(generic(error)))?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        // A filesystem that counts no inodes has as many as it needs.
        let inodes = stat.f_files == 0 || stat.f_favail >= RESERVED_INODES;
        if free >= self.reserve && inodes {
            return Ok(());
        }
        Err(Error::Full { region: self.region.clone(), free, reserve: self.reserve })
    }

    fn part(&self) -> usize {
        PART
    }

    /// A file of its own, which gets its name when it is whole.
    async fn begin(&self, objects: &dyn ObjectStore, begun: &ObjectPath, _: &ObjectPath) -> Result<Box<dyn MultipartUpload>> {
        let _writing = self.folders.read().await;
        objects.put_multipart(begun).await.map_err(failed(&self.region, "begin a file"))
    }

    async fn place(&self, objects: &dyn ObjectStore, begun: &ObjectPath, path: &ObjectPath) -> object_store::Result<()> {
        let _writing = self.folders.read().await;
        objects.rename(begun, path).await
    }

    async fn discard(&self, objects: &dyn ObjectStore, begun: &ObjectPath) -> Result<()> {
        match self.delete(objects, begun).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(&self.region, "delete what was begun")(error)),
        }
    }

    async fn put(&self, objects: &dyn ObjectStore, path: &ObjectPath, content: PutPayload) -> object_store::Result<()> {
        let _writing = self.folders.read().await;
        objects.put(path, content).await.map(drop)
    }

    /// The folders it was in go with it if they are empty now.
    async fn delete(&self, objects: &dyn ObjectStore, path: &ObjectPath) -> object_store::Result<()> {
        let _removing = self.folders.write().await;
        objects.delete(path).await
    }

    /// A file that is begun has a name of its own on the volume, which lists of objects leave out.
    async fn clear(&self, folder: &ObjectPath) -> Result<usize> {
        remove_all(&self.root.join(folder.as_ref())).map_err(|error| failed(&self.region, "clear what was begun")(generic(error)))
    }

    /// That what is written is there is all that is asked of a volume.
    async fn prove(&self, _: &dyn ObjectStore, _: &ObjectPath) -> object_store::Result<()> {
        Ok(())
    }

    /// One that holds something is not removed, and a next beginning makes them anew.
    async fn tidy(&self, folder: &ObjectPath) {
        let _removing = self.folders.write().await;
        let folder = self.root.join(folder.as_ref());
        let above = folder.parent().map(Path::to_owned);
        let _ = std::fs::remove_dir(folder).and_then(|()| above.map_or(Ok(()), std::fs::remove_dir));
    }

    /// Past the store, which makes each file anew under another name: it cannot append.
    async fn create_log(&self, _: Arc<dyn ObjectStore>, path: &ObjectPath, content: Bytes) -> io::Result<Box<dyn Log>> {
        let _writing = self.folders.read().await;
        let (mount, path) = (self.mount.clone(), self.root.join(path.as_ref()));
        let created = tokio::task::spawn_blocking(move || appended::create(&mount, &path, &content)).await;
        Ok(Box::new(created.map_err(io::Error::other)??))
    }

    async fn go_on_with_log(&self, _: Arc<dyn ObjectStore>, log: &LogObject, whole: u64) -> io::Result<Box<dyn Log>> {
        let (path, listed) = (self.root.join(log.path.as_ref()), log.size);
        let opened = tokio::task::spawn_blocking(move || appended::go_on(&path, listed, whole)).await;
        Ok(Box::new(opened.map_err(io::Error::other)??))
    }
}

fn generic(error: impl std::error::Error + Send + Sync + 'static) -> object_store::Error {
    object_store::Error::Generic { store: "volume", source: Box::new(error) }
}

/// Answers how many there were; a folder that is not there has none.
fn remove_all(folder: &Path) -> io::Result<usize> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut removed = 0;
    for entry in entries {
        std::fs::remove_file(entry?.path())?;
        removed += 1;
    }
    Ok(removed)
}
