//! Objects whose bytes come in pieces of several answers, from servers that break off.

#[path = "../../connect/tests/support/answers.rs"]
mod answers;

use std::sync::Arc;

use answers::Answers;
use api::import_run::RunReason;
use connect::{AddressPolicy, Dialer, S3Key, S3Params, Span};
use engine::source::blob::{Blob, BlobError, Identity, RemoteBlob};
use engine::source::{ReadError, Remedy};
use futures::StreamExt;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

const FIRST: &str = "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-0/10\r\netag: \"v1\"\r\ncontent-length: 1\r\n\r\nh";
const CUT: &str = "HTTP/1.1 200 OK\r\netag: \"v1\"\r\ncontent-length: 10\r\nconnection: close\r\n\r\nhell";
const REST: &str = "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 4-9/10\r\netag: \"v1\"\r\ncontent-length: 6\r\n\r\no, you";
const SLOW: &str = "HTTP/1.1 503 Slow Down\r\ncontent-length: 36\r\n\r\n<Error><Code>SlowDown</Code></Error>";
const CHANGED: &str = "HTTP/1.1 412 Precondition Failed\r\ncontent-length: 0\r\n\r\n";
const GONE: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 37\r\n\r\n<Error><Code>NoSuchKey</Code></Error>";
const DENIED: &str = "HTTP/1.1 403 Forbidden\r\ncontent-length: 40\r\n\r\n<Error><Code>AccessDenied</Code></Error>";

/// An object at a server that gives these answers.
async fn object(answers: &'static [&'static str]) -> (RemoteBlob, Answers) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    let server = Answers::start(&leaf, &key, answers).await;
    let params = S3Params {
        endpoint: Some(format!("https://127.0.0.1:{}", server.port)),
        region: "eu-central-1".into(),
        bucket: "lake".into(),
        ca_bundle: Some(ca.pem()),
        requester_pays: false,
    };
    let key = S3Key { id: "AKIA".into(), secret: "hush".into(), customer_key: None };
    let bucket = Dialer::new(AddressPolicy::unrestricted()).s3(&params, &key).unwrap();
    (RemoteBlob::new(Arc::new(bucket), "a.csv".into()), server)
}

async fn read(blob: &RemoteBlob) -> (String, Option<ReadError>) {
    let identity = Identity { length: Some(10), version: Some("\"v1\"".into()), name: None, mark: None };
    let mut bytes = match blob.open(Span::ALL, &identity).await {
        Ok(bytes) => bytes,
        Err(error) => return (String::new(), Some(error.into())),
    };
    let mut found = Vec::new();
    while let Some(piece) = bytes.next().await {
        match piece {
            Ok(piece) => found.extend_from_slice(&piece),
            Err(error) => return (String::from_utf8(found).unwrap(), Some(BlobError::from(error).into())),
        }
    }
    (String::from_utf8(found).unwrap(), None)
}

#[tokio::test]
async fn a_stream_that_breaks_goes_on_where_it_is() {
    let (blob, server) = object(&[FIRST, CUT, SLOW, REST]).await;
    assert_eq!(
        blob.identity(None, None).await.unwrap(),
        Identity { length: Some(10), version: Some("\"v1\"".into()), name: None, mark: None }
    );
    let (found, error) = read(&blob).await;
    assert!(found == "hello, you" && error.is_none(), "{found} {error:?}");
    let asked = server.asked();
    assert_eq!(asked.len(), 4);
    assert!(asked[3].contains("range: bytes=4-9") && asked[3].contains("if-match: \"v1\""), "{}", asked[3]);
}

#[tokio::test]
async fn it_does_not_go_on_with_another_object() {
    for (answer, words) in [
        (&[CUT, CHANGED] as &'static [&'static str], "not what it was"),
        (&[CUT, GONE], "bucket lake has no object \"a.csv\": correct source.file.path"),
        (&[CUT, DENIED], "s3:GetObject"),
    ] {
        let (blob, server) = object(answer).await;
        let (found, error) = read(&blob).await;
        let error = error.unwrap();
        assert_eq!((found.as_str(), error.remedy(), error.reason()), ("hell", Remedy::Correct, RunReason::SourceFailed));
        assert!(connect::explain(&error).contains(words), "{}", connect::explain(&error));
        assert_eq!(server.asked().len(), 2, "a no is taken for one");
    }
}

#[tokio::test]
async fn a_server_that_gives_no_byte_is_given_up_for_this_attempt() {
    const NOTHING: &str = "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 4-9/10\r\netag: \"v1\"\r\ncontent-length: 6\r\n\r\n";
    let (blob, server) = object(&[CUT, NOTHING]).await;
    let (found, error) = read(&blob).await;
    let error = error.unwrap();
    assert_eq!((found.as_str(), error.remedy(), error.reason()), ("hell", Remedy::Wait, RunReason::Interrupted));
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test]
async fn a_file_that_is_not_there_is_told_with_the_way_out() {
    let (blob, _server) = object(&[GONE]).await;
    let error = ReadError::from(blob.identity(None, None).await.unwrap_err());
    assert_eq!((error.remedy(), error.reason()), (Remedy::Correct, RunReason::SourceFailed));
    assert_eq!(connect::explain(&error), "bucket lake has no object \"a.csv\": correct source.file.path, or put the file there");
}
