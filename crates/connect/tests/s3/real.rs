//! A MinIO, which nobody reaches without TLS: `cargo xtask test s3`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use connect::{ChangeError, EntryKind, Error, FileError, RemoteFiles, Renamed, S3Key, S3Params, Span};
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
        let all: Vec<Bytes> = bucket.open(key, Span::ALL, &object).await.unwrap().try_collect().await.unwrap();
        assert_eq!(all.concat(), format!("content of {key}").into_bytes());
        let rest: Vec<Bytes> = bucket.open(key, Span::from(8..), &object).await.unwrap().try_collect().await.unwrap();
        assert_eq!(rest.concat(), format!("of {key}").into_bytes());
        let part: Vec<Bytes> = bucket.open(key, Span::from(8..10), &object).await.unwrap().try_collect().await.unwrap();
        assert_eq!(part.concat(), b"of");
    }
    server.put("empty", "").await;
    assert_eq!(bucket.look("empty").await.unwrap().length, Some(0));
    // Packed, and said to be: what is kept is what comes.
    server.put_encoded("packed", "\u{1f}not really", "gzip").await;
    let packed = bucket.look("packed").await.unwrap();
    let all: Vec<Bytes> = bucket.open("packed", Span::ALL, &packed).await.unwrap().try_collect().await.unwrap();
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
    assert!(matches!(bucket.open("a.csv", Span::ALL, &first).await.err(), Some(FileError::Changed { .. })));
    assert!(matches!(bucket.open("a.csv", Span::from(0..1), &first).await.err(), Some(FileError::Changed { .. })));
    server.remove("a.csv").await;
    assert!(matches!(bucket.open("a.csv", Span::ALL, &first).await.err(), Some(FileError::NotFound(_))));
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

#[tokio::test]
#[ignore = "needs MinIO: cargo xtask test s3"]
async fn an_object_under_a_key_of_its_owners_own_is_read_with_it_and_with_no_other() {
    let server = start().await;
    let key = |byte: u8| S3Key { customer_key: Some(BASE64.encode([byte; 32]).into()), ..Minio::key() };
    let store = dialer().s3_store(&server.params(), &key(7)).unwrap();
    store.put(&object_store::path::Path::from("in/a.csv"), "a,b\n1,2\n".into()).await.unwrap();
    server.put("in/plain.csv", "a\n").await;

    let ours = bucket(&server.params(), &key(7));
    ours.verify().await.unwrap();
    let object = ours.look("in/a.csv").await.unwrap();
    let all: Vec<Bytes> = ours.open("in/a.csv", Span::ALL, &object).await.unwrap().try_collect().await.unwrap();
    assert_eq!(all.concat(), b"a,b\n1,2\n");
    let listed: Vec<_> = ours.list("in", "").await.unwrap().try_collect().await.unwrap();
    assert_eq!(listed.len(), 2, "{listed:?}");
    // A copy of it is under the same key.
    assert_eq!(ours.rename("in/a.csv", "done/a b+c.csv").await.unwrap(), Renamed::Copied);
    let copy = ours.look("done/a b+c.csv").await.unwrap();
    let all: Vec<Bytes> = ours.open("done/a b+c.csv", Span::ALL, &copy).await.unwrap().try_collect().await.unwrap();
    assert_eq!(all.concat(), b"a,b\n1,2\n");
    assert!(matches!(ours.rename("in/a.csv", "done/a b+c.csv").await, Err(ChangeError::Taken { .. })));
    ours.remove("done/a b+c.csv").await.unwrap();
    assert!(matches!(ours.look("done/a b+c.csv").await, Err(FileError::NotFound(_))));
    for wrong in [Minio::key(), key(8)] {
        match bucket(&server.params(), &wrong).look("in/a.csv").await {
            Err(FileError::Failed(error)) => {
                assert!(["ObjectUnreadable", "AccessDenied"].contains(&error.reason()), "{} {error}", error.reason());
                assert!(!error.to_string().contains(&BASE64.encode([8; 32])));
            }
            other => panic!("{other:?}"),
        }
    }
    for none in ["", "hush", &BASE64.encode([7; 31])] {
        let key = S3Key { customer_key: Some(none.into()), ..Minio::key() };
        let error = dialer().s3(&server.params(), &key).err().expect("a key that is none");
        assert!(error.to_string().ends_with("the customer key is none: it is 32 bytes in Base64"), "{error}");
    }
}

#[tokio::test]
#[ignore = "needs MinIO: cargo xtask test s3"]
async fn a_folder_of_many_objects_is_listed_a_page_at_a_time_and_nothing_below_it() {
    let server = start().await;
    let bucket = bucket(&server.params(), &Minio::key());
    for number in 0..1_203 {
        server.put(&format!("many/a-{number}.csv"), "x").await;
    }
    for key in ["many/b.csv", "many/deeper/a-1.csv", "many/a-folder/a.csv", "manyother.csv", "a.csv"] {
        server.put(key, "xyz").await;
    }
    let list = async |folder: &'static str, start: &'static str| {
        let mut found: Vec<_> = bucket.list(folder, start).await.unwrap().try_collect().await.unwrap();
        found.sort_by(|one, other| one.name.cmp(&other.name));
        found
    };
    let all = list("many", "a-").await;
    let files =
        all.iter().filter(|entry| matches!(entry.kind, EntryKind::File { length: 1, modified } if modified > 1_700_000_000)).count();
    assert_eq!((all.len(), files), (1_204, 1_203));
    assert!(all.iter().any(|entry| entry.name == "a-folder" && entry.kind == EntryKind::Folder));
    let names: Vec<_> = list("", "").await.into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["a.csv", "many", "manyother.csv"]);
    assert!(list("nowhere", "").await.is_empty());
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
