//! Where a region's files lie: one folder per Region on the mounted volume. Holds ciphertext only; knows no keys. Several replicas may
//! share a volume: what one of them has begun lies apart from what the others have, until it is whole.
//! Folders go with the last file in them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use api::Region;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use kube::ResourceExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, WriteMultipart};
use tokio::sync::{RwLock, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::error::{Error, Result};

/// A part of a file on its way to the volume.
const PART: usize = 1 << 20;
/// Parts of a file that wait for a slow reader.
const AHEAD: usize = 2;

/// The bytes of a file on their way out.
pub(crate) type Outgoing = BoxStream<'static, object_store::Result<Bytes>>;

#[derive(Clone)]
pub(crate) struct Storages {
    dir: PathBuf,
    replica: String,
    readers: Readers,
    folders: Folders,
}

/// The storage of one region.
#[derive(Clone)]
pub(crate) struct Storage {
    region: String,
    replica: String,
    root: PathBuf,
    store: Arc<dyn ObjectStore>,
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
    pub(crate) fn new(dir: PathBuf, replica: &str) -> Self {
        Self { dir, replica: replica.to_owned(), readers: Readers::default(), folders: Folders::default() }
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
        self.open(name, root)
    }

    /// Wherever files of a region may lie. A Region that is gone, or that came back elsewhere, no longer says it: its folder is looked for
    /// on every volume.
    pub(crate) fn everywhere(&self, region: &str) -> Result<Vec<Storage>> {
        let missing = || Error::NotMounted { region: region.to_owned(), volume: "of it".into(), path: self.dir.display().to_string() };
        let mounts = folders(&self.dir).map_err(|_| missing())?;
        let roots = mounts.into_iter().map(|mount| mount.join(region)).filter(|root| root.is_dir());
        let found = roots.map(|root| self.open(region.to_owned(), root)).collect::<Result<Vec<_>>>()?;
        if found.is_empty() { Err(missing()) } else { Ok(found) }
    }

    fn open(&self, region: String, root: PathBuf) -> Result<Storage> {
        let store =
            LocalFileSystem::new_with_prefix(&root).map_err(|source| Error::Storage { region: region.clone(), doing: "open", source })?;
        // A tenant's folder goes with its last file.
        let store = Arc::new(store.with_fsync(true).with_automatic_cleanup(true));
        let folders = self.folders.of(&root);
        Ok(Storage { region, replica: self.replica.clone(), root, store, readers: self.readers.clone(), folders })
    }
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

    fn failed(&self, doing: &'static str) -> impl FnOnce(object_store::Error) -> Error {
        let region = self.region.clone();
        move |source| Error::Storage { region, doing, source }
    }

    /// A file that becomes visible only once it is complete.
    pub(crate) async fn begin(&self, tenant_uid: &str, file_uid: &str) -> Result<Incoming> {
        // The same file may be on its way twice, when its sender lost patience with the first.
        let turn = format!("{file_uid}-{:08x}", rand::random::<u32>());
        let begun = ObjectPath::from_iter([BEGUN, self.replica.as_str(), turn.as_str()]);
        let _writing = self.folders.read().await;
        let upload = self.store.put_multipart(&begun).await.map_err(self.failed("begin a file"))?;
        let write = WriteMultipart::new_with_chunk_size(upload, PART);
        Ok(Incoming { storage: self.clone(), begun, path: path(tenant_uid, file_uid), write })
    }

    /// The bytes of a file, absent if there is none.
    pub(crate) async fn read(&self, tenant_uid: &str, file_uid: &str) -> Result<Option<Outgoing>> {
        let path = path(tenant_uid, file_uid);
        let end = self.readers.join(self.on_volume(&path));
        let found = match self.store.get(&path).await {
            Ok(found) => found.into_stream(),
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.failed("read a file")(error)),
        };
        let (parts, outgoing) = mpsc::channel(AHEAD);
        tokio::spawn(pass(found, parts, end));
        Ok(Some(ReceiverStream::new(outgoing).boxed()))
    }

    fn on_volume(&self, path: &ObjectPath) -> PathBuf {
        self.root.join(path.as_ref())
    }

    /// The folders it was in go with it if they are empty now.
    async fn delete(&self, path: &ObjectPath) -> object_store::Result<()> {
        let _removing = self.folders.write().await;
        self.store.delete(path).await
    }

    /// Deletes a file and proves that it is gone.
    pub(crate) async fn erase(&self, tenant_uid: &str, file_uid: &str) -> Result<()> {
        let path = path(tenant_uid, file_uid);
        let deleted = self.delete(&path).await;
        // Whoever had opened it by then is known by now, and nobody opens it any more.
        self.readers.end(&self.on_volume(&path));
        match deleted {
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

    /// Removes the beginnings of files that this replica left when it was killed: at its start all of them are dead.
    pub(crate) async fn clear_begun(&self) -> std::io::Result<usize> {
        let entries = match std::fs::read_dir(self.root.join(BEGUN).join(&self.replica)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error),
        };
        let mut removed = 0;
        for entry in entries {
            std::fs::remove_file(entry?.path())?;
            removed += 1;
        }
        self.tidy().await;
        Ok(removed)
    }

    /// One that holds something is not removed, and a next beginning makes them anew.
    async fn tidy(&self) {
        let _removing = self.folders.write().await;
        let begun = self.root.join(BEGUN);
        let _ = std::fs::remove_dir(begun.join(&self.replica)).and_then(|()| std::fs::remove_dir(begun));
    }

    /// Writes, reads and deletes a small object.
    pub(crate) async fn probe(&self) -> Result<()> {
        // One for each replica: another's deletion would look like a loss.
        let path = ObjectPath::from_iter(["probe", self.replica.as_str()]);
        let content = Bytes::from_static(b"dataimporter");
        {
            let _writing = self.folders.read().await;
            self.store.put(&path, PutPayload::from(content.clone())).await.map_err(self.failed("write a probe"))?;
        }
        let read =
            self.store.get(&path).await.map_err(self.failed("read the probe"))?.bytes().await.map_err(self.failed("read the probe"))?;
        self.delete(&path).await.map_err(self.failed("delete the probe"))?;
        if read == content {
            return Ok(());
        }
        Err(self.failed("read the probe")(object_store::Error::Generic {
            store: "volume",
            source: "it gave back other bytes than were written".into(),
        }))
    }
}

/// Carries a file from the volume to its reader, at the reader's pace, and lets go of it when it is erased: whoever has not read it by
/// then gets an error and never a good end.
async fn pass(mut file: Outgoing, parts: mpsc::Sender<object_store::Result<Bytes>>, end: Arc<CancellationToken>) {
    let passing = async {
        while let Some(part) = file.next().await {
            if parts.send(part).await.is_err() {
                break;
            }
        }
    };
    if end.run_until_cancelled(passing).await.is_none() {
        drop(file);
        let erased = object_store::Error::Generic { store: "volume", source: "the file was erased while it was read".into() };
        let _ = parts.send(Err(erased)).await;
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
    begun: ObjectPath,
    path: ObjectPath,
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
        self.write.finish().await.map_err(self.storage.failed("finish a file"))?;
        let placed = {
            let _writing = self.storage.folders.read().await;
            self.storage.store.rename(&self.begun, &self.path).await
        };
        if placed.is_err() {
            let _ = self.storage.delete(&self.begun).await;
        }
        self.storage.tidy().await;
        placed.map_err(self.storage.failed("put a file in its place"))
    }

    pub(crate) async fn abort(self) -> Result<()> {
        let aborted = self.write.abort().await;
        self.storage.tidy().await;
        aborted.map_err(self.storage.failed("abort a file"))
    }
}

#[cfg(test)]
mod tests {
    use object_store::{
        CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, PutMultipartOptions, PutOptions,
        PutResult,
    };

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
        let storage = Storages::new(dir.path().to_owned(), "keeper-0").of(&region()).unwrap();
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
        assert_eq!(storage.clear_begun().await.unwrap(), 0);
        let mut incoming = storage.begin("t", "killed").await.unwrap();
        incoming.write(Bytes::from(vec![7; 3 << 20])).await.unwrap();
        std::mem::forget(incoming);
        assert_eq!(storage.clear_begun().await.unwrap(), 1);
        assert_eq!(storage.list().await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_file_that_finds_no_place_leaves_nothing() {
        let (_dir, storage) = storage();
        std::fs::write(storage.root().join("files"), b"in the way").unwrap();
        let mut incoming = storage.begin("t", "f").await.unwrap();
        incoming.write(Bytes::from_static(b"x")).await.unwrap();
        assert!(incoming.finish().await.is_err());
        assert_eq!(storage.clear_begun().await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_replica_that_starts_leaves_alone_what_another_one_has_begun() {
        let (dir, storage) = storage();
        let mut incoming = storage.begin("t", "f").await.unwrap();
        incoming.write(Bytes::from(vec![7; 3 << 20])).await.unwrap();
        let other = Storages::new(dir.path().to_owned(), "keeper-1").of(&region()).unwrap();
        assert_eq!(other.clear_begun().await.unwrap(), 0);
        incoming.finish().await.unwrap();
        assert_eq!(other.list().await.unwrap(), [("t".to_owned(), "f".to_owned())]);
        assert_eq!(storage.clear_begun().await.unwrap(), 0);
    }

    /// Folders come and go with what is in them, under the feet of others who write.
    #[tokio::test(flavor = "multi_thread")]
    async fn files_that_come_and_go_at_once_do_not_stand_in_each_others_way() {
        let (_dir, storage) = storage();
        let rounds = (0..8).map(|lane| {
            let storage = storage.clone();
            tokio::spawn(async move {
                for round in 0..200 {
                    let file = format!("{lane}-{round}");
                    let mut incoming = storage.begin("t", &file).await.map_err(|e| e.chain())?;
                    incoming.write(Bytes::from_static(b"x")).await.map_err(|e| e.chain())?;
                    incoming.finish().await.map_err(|e| e.chain())?;
                    storage.erase("t", &file).await.map_err(|e| e.chain())?;
                }
                Ok::<_, String>(())
            })
        });
        let ended: Vec<Result<(), String>> = futures::future::try_join_all(rounds).await.unwrap();
        assert_eq!(ended, vec![Ok(()); 8]);
        assert_eq!(std::fs::read_dir(storage.root()).unwrap().count(), 0, "the volume is empty again");
    }

    /// A volume with faults on top of a real one.
    #[derive(Debug)]
    struct Faulty {
        volume: LocalFileSystem,
        fault: Fault,
    }

    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    enum Fault {
        None,
        /// Says that a file is deleted and keeps it.
        KeepsWhatItDeletes,
        /// Cannot say what is there.
        IsBlind,
        /// Gives one byte in every so many milliseconds.
        IsSlow,
    }

    impl std::fmt::Display for Faulty {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "{} with {:?}", self.volume, self.fault)
        }
    }

    #[async_trait::async_trait]
    impl ObjectStore for Faulty {
        async fn put_opts(&self, at: &ObjectPath, payload: PutPayload, options: PutOptions) -> object_store::Result<PutResult> {
            self.volume.put_opts(at, payload, options).await
        }

        async fn put_multipart_opts(
            &self,
            at: &ObjectPath,
            options: PutMultipartOptions,
        ) -> object_store::Result<Box<dyn MultipartUpload>> {
            self.volume.put_multipart_opts(at, options).await
        }

        async fn get_opts(&self, at: &ObjectPath, options: GetOptions) -> object_store::Result<GetResult> {
            if self.fault == Fault::IsBlind {
                return Err(object_store::Error::Generic { store: "volume", source: "it does not answer".into() });
            }
            let found = self.volume.get_opts(at, options).await?;
            if self.fault != Fault::IsSlow {
                return Ok(found);
            }
            let (meta, range, attributes, extensions) =
                (found.meta.clone(), found.range.clone(), found.attributes.clone(), found.extensions.clone());
            let bytes = found.bytes().await?;
            let slow = futures::stream::iter(bytes).then(|byte| async move {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                Ok(Bytes::copy_from_slice(&[byte]))
            });
            Ok(GetResult { payload: GetResultPayload::Stream(slow.boxed()), meta, range, attributes, extensions })
        }

        fn delete_stream(
            &self,
            paths: BoxStream<'static, object_store::Result<ObjectPath>>,
        ) -> BoxStream<'static, object_store::Result<ObjectPath>> {
            if self.fault == Fault::KeepsWhatItDeletes { paths } else { self.volume.delete_stream(paths) }
        }

        fn list(&self, prefix: Option<&ObjectPath>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
            self.volume.list(prefix)
        }

        async fn list_with_delimiter(&self, prefix: Option<&ObjectPath>) -> object_store::Result<ListResult> {
            self.volume.list_with_delimiter(prefix).await
        }

        async fn copy_opts(&self, from: &ObjectPath, to: &ObjectPath, options: CopyOptions) -> object_store::Result<()> {
            self.volume.copy_opts(from, to, options).await
        }
    }

    async fn faulty(fault: Fault) -> (tempfile::TempDir, Storage) {
        let (dir, storage) = storage();
        let mut incoming = storage.begin("t", "f").await.unwrap();
        incoming.write(Bytes::from(vec![7; 1000])).await.unwrap();
        incoming.finish().await.unwrap();
        let volume = LocalFileSystem::new_with_prefix(storage.root()).unwrap();
        (dir, Storage { store: Arc::new(Faulty { volume, fault }), ..storage })
    }

    #[tokio::test]
    async fn a_volume_that_lies_about_a_deletion_or_cannot_tell_is_not_believed() {
        for (fault, proved) in [(Fault::None, true), (Fault::KeepsWhatItDeletes, false), (Fault::IsBlind, false)] {
            let (_dir, storage) = faulty(fault).await;
            assert_eq!(storage.erase("t", "f").await.is_ok(), proved, "{fault:?}");
        }
    }

    #[tokio::test]
    async fn a_file_that_is_erased_while_a_slow_volume_gives_it_comes_to_no_good_end() {
        let (_dir, storage) = faulty(Fault::IsSlow).await;
        let mut bytes = storage.read("t", "f").await.unwrap().unwrap();
        assert!(bytes.next().await.unwrap().is_ok());
        storage.erase("t", "f").await.unwrap();
        let rest: object_store::Result<Vec<Bytes>> = bytes.try_collect().await;
        assert!(rest.unwrap_err().to_string().contains("erased while it was read"));
    }

    #[tokio::test]
    async fn a_tenants_folder_goes_with_its_last_file() {
        let (_dir, storage) = storage();
        let mut incoming = storage.begin("t", "f").await.unwrap();
        incoming.write(Bytes::from_static(b"x")).await.unwrap();
        incoming.finish().await.unwrap();
        assert!(storage.root().join("files/t").is_dir());
        assert!(!storage.root().join(BEGUN).exists(), "nothing is begun any more");
        storage.erase("t", "f").await.unwrap();
        assert!(!storage.root().join("files/t").exists());
    }

    #[tokio::test]
    async fn a_region_that_is_gone_or_came_back_elsewhere_is_found_on_every_volume() {
        let dir = tempfile::tempdir().unwrap();
        let storages = Storages::new(dir.path().to_owned(), "keeper-0");
        assert_eq!(storages.everywhere("eu").err().unwrap().reason(), "NotMounted");
        for folder in ["one/eu", "two/eu", "three/us"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let mut roots: Vec<PathBuf> = storages.everywhere("eu").unwrap().iter().map(|s| s.root().to_owned()).collect();
        roots.sort();
        assert_eq!(roots, [dir.path().join("one/eu"), dir.path().join("two/eu")]);
    }

    #[tokio::test]
    async fn a_volume_that_is_not_there_is_said_so() {
        let dir = tempfile::tempdir().unwrap();
        let error = Storages::new(dir.path().to_owned(), "keeper-0").of(&region()).err().unwrap();
        assert_eq!(error.reason(), "NotMounted");
        let (_dir, storage) = storage();
        storage.probe().await.unwrap();
    }
}
