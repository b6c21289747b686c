//! A bucket of a real MinIO: what is left of a file whose keeper was killed, and what a bucket must not do.

use api::region::BucketStorage;
use bytes::Bytes;
use connect::{AddressPolicy, S3Key};
use futures::TryStreamExt;
use object_store::path::Path as ObjectPath;
use object_store::signer::{SignedUrlOptions, Signer};
use object_store::{ObjectStore, ObjectStoreExt};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::json;

use super::*;
use crate::keeper::storage::tests::{region, secrets, storages};
use crate::keeper::storage::{BEGUN, Storage};

#[allow(dead_code, reason = "other suites put more into their bucket")]
#[path = "../../../../crates/connect/tests/support/minio.rs"]
pub(in crate::keeper::storage) mod minio;

use minio::Minio;

pub(in crate::keeper::storage) async fn server() -> Minio {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    Minio::start(&leaf.pem(), &key.serialize_pem(), &ca.pem()).await
}

/// The bucket as the Region `name` has it, opened with a key.
async fn opened(server: &Minio, name: &str, key: &S3Key) -> Arc<Bucket> {
    let params = server.params();
    let mut region = region();
    region.metadata.name = Some(name.to_owned());
    let spec: BucketStorage = serde_json::from_value(json!({
        "endpoint": params.endpoint, "bucket": params.bucket, "region": params.region, "secretRef": {"name": "bucket"},
        "tls": {"caBundle": params.ca_bundle},
    }))
    .unwrap();
    let mut bucket = Bucket::new(&region, &spec, secrets(), None);
    bucket.dialer = Dialer::new(AddressPolicy::unrestricted());
    let store = bucket.dialer.s3_store(&params, key).unwrap();
    let objects = Arc::new(PrefixStore::new(store, name));
    *bucket.opened.lock().unwrap() = Some(Opened { objects, secret_version: None, read: Instant::now() });
    Arc::new(bucket)
}

/// A Region's storage as two replicas of the keeper see it.
pub(in crate::keeper::storage) async fn replicas(server: &Minio, region: &str) -> (Storage, Storage) {
    let bucket = opened(server, region, &Minio::key()).await;
    let folder = tempfile::tempdir().unwrap();
    let root = std::path::PathBuf::from(region);
    let storage = |replica| storages(folder.path(), replica).storage(region.to_owned(), root.clone(), bucket.clone()).unwrap();
    let ours = storage("keeper-0");
    // They are of one process here: what one erases ends the readers of both.
    let theirs = Storage { readers: ours.readers.clone(), ..storage("keeper-1") };
    (ours, theirs)
}

/// Has the bucket keep versions from now on.
async fn keep_versions(server: &Minio) {
    let params = server.params();
    let store = Dialer::new(AddressPolicy::unrestricted()).s3_store(&params, &Minio::key()).unwrap();
    let options = SignedUrlOptions::default().with_query([("versioning", String::new())]);
    let url = store.signed_url_opts(http::Method::PUT, &ObjectPath::default(), Duration::from_secs(60), &options).await.unwrap();
    let told =
        "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>Enabled</Status></VersioningConfiguration>";
    let ca = reqwest::Certificate::from_pem(params.ca_bundle.unwrap().as_bytes()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([ca]).build().unwrap();
    let answer = client.put(url).body(told).send().await.unwrap();
    assert!(answer.status().is_success(), "{}: {}", answer.status(), answer.text().await.unwrap_or_default());
}

async fn keys(server: &Minio) -> Vec<String> {
    let found: Vec<_> = server.store().list(None).try_collect().await.unwrap();
    found.into_iter().map(|found| found.location.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs MinIO: cargo xtask test s3"]
async fn a_start_aborts_what_a_killed_keeper_had_begun() {
    let server = server().await;
    let (ours, theirs) = replicas(&server, "eu").await;
    let mut coming = Vec::new();
    for storage in [&ours, &theirs] {
        let mut incoming = storage.begin("t", "f").await.unwrap();
        incoming.write(Bytes::from(vec![7; 3 * PART + 1])).await.unwrap();
        coming.push(incoming);
    }
    // What was begun is on its way once it has a mark.
    while server.parts_on_disk() < 4 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let marks = keys(&server).await;
    assert_eq!(marks.len(), 2, "{marks:?}");
    assert!(marks.iter().all(|mark| mark.starts_with(&format!("eu/{BEGUN}/keeper-"))), "{marks:?}");
    let finished = coming.pop().unwrap();
    // As if its process were no more.
    std::mem::forget(coming);
    assert_eq!(ours.clear_begun().await.unwrap(), 1);
    finished.finish().await.unwrap();
    assert_eq!(keys(&server).await, ["eu/files/t/f"], "the other one came to its end");
    assert_eq!(server.parts_on_disk(), 0, "and nothing is left of the first");
    assert_eq!(ours.clear_begun().await.unwrap(), 0);
}

/// Where no volume is mounted at all, as a Region needs none then.
#[tokio::test]
async fn files_of_a_region_that_is_gone_are_looked_for_in_the_bucket_that_it_had() {
    let folder = tempfile::tempdir().unwrap();
    let storages = storages(&folder.path().join("nothing"), "keeper-0");
    assert_eq!(storages.everywhere("eu").await.err().unwrap().reason(), "NotMounted");
    let mut region = region();
    region.spec.storage = serde_json::from_value(json!({
        "s3": {"bucket": "warehouse", "region": "eu-central-1", "secretRef": {"name": "bucket"}},
    }))
    .unwrap();
    storages.of(&region).unwrap();
    let found = storages.everywhere("eu").await.unwrap();
    assert_eq!(found.iter().map(|storage| storage.root.to_str().unwrap()).collect::<Vec<_>>(), ["s3:/warehouse/eu"]);
    assert_eq!(storages.everywhere("us").await.err().unwrap().reason(), "NotMounted");
}

/// A mark that outlives its upload, as when its keeper died between the two.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs MinIO: cargo xtask test s3"]
async fn a_mark_of_what_is_complete_takes_nothing_away() {
    let server = server().await;
    let bucket = opened(&server, "eu", &Minio::key()).await;
    let objects = bucket.open().await.unwrap();
    let (path, mark) = (ObjectPath::from("files/t/f"), ObjectPath::from("begun/keeper-0/f-1"));
    let mut upload = IncomingObject::new(objects.clone(), path.clone(), mark.clone());
    for part in [vec![1; PART], vec![2; 9]] {
        upload.put_part(part.into()).await.unwrap();
    }
    let kept = objects.get(&mark).await.unwrap().bytes().await.unwrap();
    upload.complete().await.unwrap();
    assert!(matches!(objects.head(&mark).await, Err(object_store::Error::NotFound { .. })));
    objects.put(&mark, kept.into()).await.unwrap();
    assert_eq!(bucket.clear(&ObjectPath::from("begun/keeper-0")).await.unwrap(), 1);
    assert_eq!(objects.head(&path).await.unwrap().size, PART as u64 + 9);
    assert_eq!(keys(&server).await, ["eu/files/t/f"]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs MinIO: cargo xtask test s3"]
async fn a_bucket_that_keeps_versions_is_refused_and_hides_nothing() {
    let server = server().await;
    let (storage, _) = replicas(&server, "eu").await;
    let mut incoming = storage.begin("t", "before").await.unwrap();
    incoming.write(Bytes::from_static(b"x")).await.unwrap();
    incoming.finish().await.unwrap();
    storage.probe().await.unwrap();
    keep_versions(&server).await;
    let error = storage.probe().await.unwrap_err();
    assert_eq!(error.reason(), "BucketKeepsVersions");
    assert!(error.chain().contains("bucket warehouse: it keeps versions"), "{}", error.chain());
    for _ in 0..2 {
        assert_eq!(storage.erase("t", "before").await.unwrap_err().reason(), "BucketKeepsVersions", "hidden is not gone");
    }
    let mut incoming = storage.begin("t", "after").await.unwrap();
    incoming.write(Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(incoming.finish().await.unwrap_err().reason(), "BucketKeepsVersions");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs MinIO: cargo xtask test s3"]
async fn what_stands_in_the_way_is_told_with_the_way_out() {
    let server = server().await;
    let wrong = S3Key { secret: "wrong horse".into(), ..Minio::key() };
    let bucket = opened(&server, "eu", &wrong).await;
    let objects = bucket.objects().await.unwrap();
    let error = bucket.failed("write a probe", objects.head(&ObjectPath::from("probe")).await.unwrap_err());
    // A HEAD has no words; what has a body says which of the two it is.
    assert_eq!(error.reason(), "AccessDenied");
    let refused = objects.get(&ObjectPath::from("probe")).await.unwrap_err();
    let error = bucket.failed("write a probe", refused);
    assert_eq!(error.reason(), "LoginRefused");
    let told = error.chain();
    assert!(
        told.contains("correct accessKeyId and secretAccessKey in Secret dataimporter-system/bucket") && !told.contains("horse"),
        "{told}"
    );
    // The key is asked for anew.
    let error = bucket.objects().await.err().unwrap();
    assert_eq!(error.reason(), "APIServer");
}
