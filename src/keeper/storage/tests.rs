use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutResult, UploadPart,
};

use super::*;
use futures::TryStreamExt;
use futures::stream::BoxStream;

pub(super) fn region() -> Region {
    serde_json::from_value(serde_json::json!({
        "apiVersion": "dataimporter.io/v1alpha1", "kind": "Region", "metadata": {"name": "eu", "uid": "u"},
        "spec": {"location": {"city": "F", "country": "DE"}, "isolation": "Cell", "storage": {"volume": {"name": "files"}},
                 "rootKey": {"secret": {}}, "nodes": {"all": {}}}
    }))
    .unwrap()
}

/// Without an API server, which only buckets would ask.
pub(super) fn storages(dir: &Path, replica: &str) -> Storages {
    Storages::new(dir.to_owned(), replica, 0, secrets(), None)
}

pub(super) fn secrets() -> Records {
    // Discard: nobody answers there.
    let nowhere = kube::Config::new("http://127.0.0.1:9".parse().unwrap());
    Records::new(kube::Client::try_from(nowhere).unwrap(), "dataimporter-system")
}

fn storage() -> (tempfile::TempDir, Storage) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("files")).unwrap();
    let storage = storages(dir.path(), "keeper-0").of(&region()).unwrap();
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
    std::fs::create_dir(&storage.root).unwrap();
    std::fs::write(storage.root.join("files"), b"in the way").unwrap();
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
    let other = storages(dir.path(), "keeper-1").of(&region()).unwrap();
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
    assert_eq!(std::fs::read_dir(&storage.root).unwrap().count(), 0, "the volume is empty again");
}

/// Objects with faults on top of real ones.
#[derive(Debug)]
pub(super) struct Faulty {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) fault: Fault,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    None,
    /// Says that a file is deleted and keeps it.
    KeepsWhatItDeletes,
    /// Cannot say what is there.
    IsBlind,
    /// Begins a file and takes nothing of it.
    TakesNoParts,
    /// Gives one byte in every so many milliseconds.
    IsSlow,
    /// Keeps what it is given and does not say so.
    LosesAnswers,
}

impl std::fmt::Display for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} with {:?}", self.objects, self.fault)
    }
}

#[async_trait::async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, at: &ObjectPath, payload: PutPayload, options: PutOptions) -> object_store::Result<PutResult> {
        let kept = self.objects.put_opts(at, payload, options).await?;
        match self.fault {
            Fault::LosesAnswers => Err(object_store::Error::Generic { store: "test", source: "its answer is lost".into() }),
            _ => Ok(kept),
        }
    }

    async fn put_multipart_opts(&self, at: &ObjectPath, options: PutMultipartOptions) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.objects.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &ObjectPath, options: GetOptions) -> object_store::Result<GetResult> {
        if self.fault == Fault::IsBlind {
            return Err(object_store::Error::Generic { store: "volume", source: "it does not answer".into() });
        }
        let found = self.objects.get_opts(at, options).await?;
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
        if self.fault == Fault::KeepsWhatItDeletes { paths } else { self.objects.delete_stream(paths) }
    }

    fn list(&self, prefix: Option<&ObjectPath>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.objects.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&ObjectPath>) -> object_store::Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &ObjectPath, to: &ObjectPath, options: CopyOptions) -> object_store::Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}

/// A file that takes no part.
#[derive(Debug)]
pub(super) struct Shut(pub(super) Box<dyn MultipartUpload>);

#[async_trait::async_trait]
impl MultipartUpload for Shut {
    fn put_part(&mut self, _: PutPayload) -> UploadPart {
        Box::pin(async { Err(object_store::Error::Generic { store: "test", source: "it takes nothing".into() }) })
    }

    async fn complete(&mut self) -> object_store::Result<PutResult> {
        self.0.complete().await
    }

    async fn abort(&mut self) -> object_store::Result<()> {
        self.0.abort().await
    }
}

async fn faulty(fault: Fault) -> (tempfile::TempDir, Storage) {
    let (dir, storage) = storage();
    let mut incoming = storage.begin("t", "f").await.unwrap();
    incoming.write(Bytes::from(vec![7; 1000])).await.unwrap();
    incoming.finish().await.unwrap();
    (dir, storage.with(fault))
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
    assert!(storage.root.join("files/t").is_dir());
    assert!(!storage.root.join(BEGUN).exists(), "nothing is begun any more");
    storage.erase("t", "f").await.unwrap();
    assert!(!storage.root.join("files/t").exists());
}

#[tokio::test]
async fn a_region_that_is_gone_or_came_back_elsewhere_is_found_on_every_volume() {
    let dir = tempfile::tempdir().unwrap();
    let storages = storages(dir.path(), "keeper-0");
    assert_eq!(storages.everywhere("eu").await.err().unwrap().reason(), "NotMounted");
    for folder in ["one/eu", "two/eu", "three/us"] {
        std::fs::create_dir_all(dir.path().join(folder)).unwrap();
    }
    let mut roots: Vec<PathBuf> = storages.everywhere("eu").await.unwrap().iter().map(|s| s.root.clone()).collect();
    roots.sort();
    assert_eq!(roots, [dir.path().join("one/eu"), dir.path().join("two/eu")]);
}

/// Else its files would lie somewhere else than its Region says.
#[tokio::test]
async fn storage_of_a_newer_version_is_no_volume() {
    let dir = tempfile::tempdir().unwrap();
    for unknown in ["{}", r#"{"bucket": {"name": "files"}}"#] {
        let mut region = region();
        region.spec.storage = serde_json::from_str(unknown).unwrap();
        let error = storages(dir.path(), "keeper-0").of(&region).err().unwrap();
        assert_eq!(error.reason(), "NotUnderstood", "{unknown}");
    }
}

#[tokio::test]
async fn a_volume_that_is_not_there_is_said_so() {
    let dir = tempfile::tempdir().unwrap();
    let error = storages(dir.path(), "keeper-0").of(&region()).unwrap().probe().await.err().unwrap();
    assert_eq!(error.reason(), "NotMounted");
    let (_dir, storage) = storage();
    storage.probe().await.unwrap();
}
