//! Where a region's files lie: one folder per Region on the mounted volume. Holds ciphertext only; knows no keys.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use api::Region;
use bytes::Bytes;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use kube::ResourceExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, WriteMultipart};

use super::error::{Error, Result};

/// A part of a file on its way to the volume.
const PART: usize = 1 << 20;

#[derive(Clone)]
pub(crate) struct Storages {
    dir: PathBuf,
}

/// The storage of one region.
#[derive(Clone)]
pub(crate) struct Storage {
    region: String,
    root: PathBuf,
    store: Arc<LocalFileSystem>,
}

impl Storages {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The volume must be there; the region's folder on it is made.
    pub(crate) fn of(&self, region: &Region) -> Result<Storage> {
        let name = region.name_any();
        let volume = region.spec.storage.volume.as_ref().map(|mount| mount.name.clone()).unwrap_or_default();
        let mount = self.dir.join(&volume);
        let missing = || Error::NotMounted { region: name.clone(), volume: volume.clone(), path: mount.display().to_string() };
        if volume.is_empty() || !mount.is_dir() {
            return Err(missing());
        }
        let root = mount.join(&name);
        std::fs::create_dir_all(&root).map_err(|_| missing())?;
        let store =
            LocalFileSystem::new_with_prefix(&root).map_err(|source| Error::Storage { region: name.clone(), doing: "open", source })?;
        Ok(Storage { region: name, root, store: Arc::new(store.with_fsync(true)) })
    }
}

/// `files/<tenant>/<file>`
fn path(tenant_uid: &str, file_uid: &str) -> ObjectPath {
    ObjectPath::from_iter(["files", tenant_uid, file_uid])
}

impl Storage {
    /// Folder of the region on the volume.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    fn failed(&self, doing: &'static str) -> impl FnOnce(object_store::Error) -> Error {
        let region = self.region.clone();
        move |source| Error::Storage { region, doing, source }
    }

    /// A file that becomes visible only once it is complete.
    pub(crate) async fn begin(&self, tenant_uid: &str, file_uid: &str) -> Result<Incoming> {
        let upload = self.store.put_multipart(&path(tenant_uid, file_uid)).await.map_err(self.failed("begin a file"))?;
        Ok(Incoming { storage: self.clone(), write: WriteMultipart::new_with_chunk_size(upload, PART) })
    }

    /// The bytes of a file, absent if there is none.
    pub(crate) async fn read(&self, tenant_uid: &str, file_uid: &str) -> Result<Option<BoxStream<'static, object_store::Result<Bytes>>>> {
        match self.store.get(&path(tenant_uid, file_uid)).await {
            Ok(found) => Ok(Some(found.into_stream())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("read a file")(error)),
        }
    }

    /// Deletes a file and proves that it is gone.
    pub(crate) async fn erase(&self, tenant_uid: &str, file_uid: &str) -> Result<()> {
        let path = path(tenant_uid, file_uid);
        match self.store.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(self.failed("delete a file")(error)),
        }
        match self.store.head(&path).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("prove a file gone")(error)),
            Ok(_) => Err(self.failed("prove a file gone")(object_store::Error::AlreadyExists {
                path: path.to_string(),
                source: "it is still there after its deletion".into(),
            })),
        }
    }

    /// All files: tenant and file id.
    pub(crate) async fn list(&self) -> Result<Vec<(String, String)>> {
        let prefix = ObjectPath::from("files");
        let found = self.store.list(Some(&prefix)).map_ok(|meta| {
            let mut parts = meta.location.parts().skip(1).map(|part| part.as_ref().to_owned());
            (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
        });
        found.try_collect().await.map_err(self.failed("list the files"))
    }

    /// Removes the beginnings of files that a killed process left. Nobody else writes to this volume, so at a start all of them are dead.
    pub(crate) fn clear_staged(&self) -> std::io::Result<usize> {
        let mut removed = 0;
        for tenant in folders(&self.root.join("files"))? {
            for entry in std::fs::read_dir(tenant)? {
                let entry = entry?;
                if entry.file_name().to_string_lossy().contains('#') {
                    std::fs::remove_file(entry.path())?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }

    /// Writes, reads and deletes a small object.
    pub(crate) async fn probe(&self) -> Result<()> {
        let path = ObjectPath::from("probe");
        let content = Bytes::from_static(b"dataimporter");
        self.store.put(&path, PutPayload::from(content.clone())).await.map_err(self.failed("write a probe"))?;
        let read =
            self.store.get(&path).await.map_err(self.failed("read the probe"))?.bytes().await.map_err(self.failed("read the probe"))?;
        self.store.delete(&path).await.map_err(self.failed("delete the probe"))?;
        if read == content {
            return Ok(());
        }
        Err(self.failed("read the probe")(object_store::Error::Generic {
            store: "volume",
            source: "it gave back other bytes than were written".into(),
        }))
    }
}

fn folders(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(path) {
        Ok(entries) => entries.map(|entry| entry.map(|e| e.path())).filter(|p| p.as_ref().map_or(true, |p| p.is_dir())).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// A file on its way in. Unless it is finished, nothing of it stays.
pub(crate) struct Incoming {
    storage: Storage,
    write: WriteMultipart,
}

impl Incoming {
    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<()> {
        // Two parts on their way at once keep the volume busy and memory small.
        self.write.wait_for_capacity(2).await.map_err(self.storage.failed("write a file"))?;
        self.write.put(bytes);
        Ok(())
    }

    pub(crate) async fn finish(self) -> Result<()> {
        self.write.finish().await.map(|_| ()).map_err(self.storage.failed("finish a file"))
    }

    pub(crate) async fn abort(self) -> Result<()> {
        self.write.abort().await.map_err(self.storage.failed("abort a file"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region() -> Region {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "dataimporter.io/v1alpha1", "kind": "Region", "metadata": {"name": "eu", "uid": "u"},
            "spec": {"location": {"city": "F", "country": "DE"}, "isolation": "Cell", "storage": {"volume": {"name": "files"}},
                     "rootKey": {"secret": {}}, "nodes": {"all": {}}}
        }))
        .unwrap()
    }

    fn storage() -> (tempfile::TempDir, Storage) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("files")).unwrap();
        let storage = Storages::new(dir.path().to_owned()).of(&region()).unwrap();
        (dir, storage)
    }

    #[tokio::test]
    async fn a_file_is_visible_only_once_finished_and_gone_once_erased() {
        let (_dir, storage) = storage();
        let mut incoming = storage.begin("t", "f").await.unwrap();
        incoming.write(Bytes::from(vec![7; 3 << 20])).await.unwrap();
        assert!(storage.read("t", "f").await.unwrap().is_none());
        assert_eq!(storage.list().await.unwrap(), []);
        incoming.finish().await.unwrap();
        assert_eq!(storage.list().await.unwrap(), [("t".to_owned(), "f".to_owned())]);
        let bytes: Vec<Bytes> = storage.read("t", "f").await.unwrap().unwrap().try_collect().await.unwrap();
        assert_eq!(bytes.iter().map(Bytes::len).sum::<usize>(), 3 << 20);
        storage.erase("t", "f").await.unwrap();
        storage.erase("t", "f").await.unwrap();
        assert!(storage.read("t", "f").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn an_aborted_or_abandoned_file_leaves_nothing() {
        let (_dir, storage) = storage();
        let mut incoming = storage.begin("t", "aborted").await.unwrap();
        incoming.write(Bytes::from(vec![7; 3 << 20])).await.unwrap();
        incoming.abort().await.unwrap();
        assert_eq!(storage.clear_staged().unwrap(), 0);
        std::fs::write(storage.root().join("files/t/killed#1"), b"half").unwrap();
        assert_eq!(storage.clear_staged().unwrap(), 1);
        assert_eq!(std::fs::read_dir(storage.root().join("files/t")).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_volume_that_is_not_there_is_said_so() {
        let dir = tempfile::tempdir().unwrap();
        let error = Storages::new(dir.path().to_owned()).of(&region()).err().unwrap();
        assert_eq!(error.reason(), "NotMounted");
        let (_dir, storage) = storage();
        storage.probe().await.unwrap();
    }
}
