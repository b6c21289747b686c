//! A MinIO, which nobody reaches without TLS: `cargo xtask test s3`.

use bytes::Bytes;
use connect::{Error, FileError, RemoteFiles, S3Key, S3Params};
use futures::TryStreamExt;
use object_store::{ObjectStoreExt, PutMode, PutOptions};

use crate::minio::Minio;
use crate::support::Authority;
use crate::{bucket, dialer};

async fn start() -> Minio {
    let ca = Authority::new("ca");
    let leaf = ca.leaf("127.0.0.1");
    Minio::start(&leaf.certificate.pem(), &leaf.key.serialize_pem(), &ca.pem()).await
}

async fn refusal(params: &S3Params, key: &S3Key) -> Error {
    bucket(params, key).verify().await.unwrap_err()
}

#[tokio::test]
#[ignore = "needs MinIO: cargo xtask test s3"]
async fn objects_come_as_they_are_kept_whatever_their_keys() {
    let server = start().await;
    let bucket = bucket(&server.params(), &Minio::key());
    for key in ["a.csv", "in/a b+c%20d&e=f.csv", "in/Zoë ✓/é.csv", "a?b#c", "dots/.../x"] {
        server.put(key, format!("content of {key}")).await;
        let object = bucket.look(key).await.unwrap_or_else(|error| panic!("{key}: {error}"));
        let all: Vec<Bytes> = bucket.open(key, 0, &object).await.unwrap().try_collect().await.unwrap();
        assert_eq!(all.concat(), format!("content of {key}").into_bytes());
        let rest: Vec<Bytes> = bucket.open(key, 8, &object).await.unwrap().try_collect().await.unwrap();
        assert_eq!(rest.concat(), format!("of {key}").into_bytes());
    }
    server.put("empty", "").await;
    assert_eq!(bucket.look("empty").await.unwrap().length, Some(0));
    // Packed, and said to be: what is kept is what comes.
    server.put_encoded("packed", "\u{1f}not really", "gzip").await;
    let packed = bucket.look("packed").await.unwrap();
    let all: Vec<Bytes> = bucket.open("packed", 0, &packed).await.unwrap().try_collect().await.unwrap();
    assert_eq!(all.concat(), "\u{1f}not really".as_bytes());
}

#[tokio::test]
#[ignore = "needs MinIO: cargo xtask test s3"]
async fn an_object_that_changed_or_went_is_told() {
    let server = start().await;
    let bucket = bucket(&server.params(), &Minio::key());
    assert!(matches!(bucket.look("a.csv").await, Err(FileError::NotFound(_))));
    server.put("a.csv", "one").await;
    let first = bucket.look("a.csv").await.unwrap();
    server.put("a.csv", "two").await;
    assert!(matches!(bucket.open("a.csv", 0, &first).await.err(), Some(FileError::Changed { .. })));
    server.remove("a.csv").await;
    assert!(matches!(bucket.open("a.csv", 0, &first).await.err(), Some(FileError::NotFound(_))));
}

#[tokio::test]
#[ignore = "needs MinIO: cargo xtask test s3"]
async fn what_is_wrong_is_told_by_name() {
    let server = start().await;
    let (good, key) = (server.params(), Minio::key());
    bucket(&good, &key).verify().await.unwrap();
    let wrong = S3Params { bucket: "nobodys".into(), ..good.clone() };
    assert_eq!(refusal(&wrong, &key).await.reason(), "BucketNotFound");
    let wrong = S3Params { region: "eu-west-1".into(), ..good.clone() };
    let error = refusal(&wrong, &key).await;
    assert!(error.reason() == "OtherRegion" && error.to_string().contains("eu-central-1"), "{error}");
    let wrong = S3Params { ca_bundle: Some(Authority::new("other").pem()), ..good.clone() };
    assert_eq!(refusal(&wrong, &key).await.reason(), "TlsRefused");
    let error = refusal(&good, &S3Key { id: "AKIANOBODY".into(), ..key.clone() }).await;
    assert!(error.reason() == "LoginRefused" && error.to_string().contains("access key id"), "{error}");
    let error = refusal(&good, &S3Key { secret: "wrong horse".into(), ..key }).await;
    assert!(error.reason() == "LoginRefused" && error.to_string().contains("secret access key"), "{error}");
    assert!(!error.to_string().contains("wrong horse"));
}

/// What the keeper's storage asks for besides.
#[tokio::test]
#[ignore = "needs MinIO: cargo xtask test s3"]
async fn a_store_writes_under_conditions_and_lists() {
    let server = start().await;
    let store = server.store();
    let path = object_store::path::Path::from("a/b");
    let create = || PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    store.put_opts(&path, "one".into(), create()).await.unwrap();
    let again = store.put_opts(&path, "two".into(), create()).await.unwrap_err();
    assert!(matches!(again, object_store::Error::AlreadyExists { .. }), "{again}");
    let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
    assert_eq!(listed.iter().map(|found| (found.location.as_ref(), found.size)).collect::<Vec<_>>(), [("a/b", 3)]);
    store.delete(&path).await.unwrap();
    assert!(matches!(store.get(&path).await, Err(object_store::Error::NotFound { .. })));
    let wrong = S3Key { secret: "wrong horse".into(), ..Minio::key() };
    let store = dialer().s3_store(&server.params(), &wrong).unwrap();
    let error = store.get(&path).await.unwrap_err();
    assert_eq!(connect::diagnose(&error).reason, "LoginRefused");
}
