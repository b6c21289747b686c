//! Servers over TLS, each wrong in one way.

use bytes::Bytes;
use connect::{AddressPolicy, Dialer, Error, FileError, FileState, RemoteFiles, S3Key, S3Params, S3Refusal, Span};
use futures::{StreamExt, TryStreamExt};

use crate::answers::Answers;
use crate::dialer;
use crate::support::{Authority, Leaf};

const SECRET: &str = "wJalrXUtnFEMI-K7MDENG";

/// A server of one bucket, trusted through its authority.
fn params(server: &Answers, ca: &Authority) -> S3Params {
    S3Params {
        endpoint: Some(format!("https://127.0.0.1:{}", server.port)),
        region: "eu-central-1".into(),
        bucket: "warehouse".into(),
        ca_bundle: Some(ca.pem()),
        requester_pays: false,
    }
}

async fn start(leaf: Leaf, answers: &'static [&'static str]) -> Answers {
    Answers::start(&leaf.certificate, &leaf.key, answers).await
}

fn key() -> S3Key {
    S3Key { id: "AKIAIOSFODNN7EXAMPLE".into(), secret: SECRET.into(), customer_key: None }
}

/// A bucket of a server that gives these answers.
async fn bucket(answers: &'static [&'static str]) -> (connect::ObjectFiles, Answers) {
    let ca = Authority::new("ca");
    let server = start(ca.leaf("127.0.0.1"), answers).await;
    (dialer().s3(&params(&server, &ca), &key()).unwrap(), server)
}

const FIRST: &str = "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-0/10\r\netag: \"v1\"\r\ncontent-length: 1\r\n\r\nh";
const CUT: &str = "HTTP/1.1 200 OK\r\netag: \"v1\"\r\ncontent-length: 10\r\nconnection: close\r\n\r\nhell";

fn object() -> FileState {
    FileState { length: Some(10), version: Some("\"v1\"".into()) }
}

async fn read(bytes: Result<connect::FileBytes, FileError>) -> (Bytes, Option<FileError>) {
    let mut bytes = match bytes {
        Ok(bytes) => bytes,
        Err(error) => return (Bytes::new(), Some(error)),
    };
    let mut found = Vec::new();
    while let Some(piece) = bytes.next().await {
        match piece {
            Ok(piece) => found.extend_from_slice(&piece),
            Err(error) => return (found.into(), Some(error)),
        }
    }
    (found.into(), None)
}

#[tokio::test]
async fn an_object_is_told_with_its_first_byte_and_asked_for_by_what_it_was() {
    let (bucket, server) = bucket(&[FIRST, CUT]).await;
    assert_eq!(bucket.look("in/a b+c%.csv").await.unwrap(), object());
    let (_, error) = read(bucket.open("in/a b+c%.csv", Span::ALL, &object()).await).await;
    assert!(error.is_some());
    let asked = server.asked();
    assert!(asked[0].starts_with("GET /warehouse/in/a%20b%2Bc%25.csv HTTP/1.1"), "{}", asked[0]);
    assert!(asked[0].contains("range: bytes=0-0") && asked[1].contains("if-match: \"v1\""), "{asked:?}");
    for request in &asked {
        assert!(request.contains("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/") && !request.contains(SECRET));
        assert!(!request.contains("accept-encoding"), "nobody asks for a body other than the one that is kept: {request}");
    }
}

#[tokio::test]
async fn who_pays_says_so_with_each_request() {
    let ca = Authority::new("ca");
    for requester_pays in [false, true] {
        let server = start(ca.leaf("127.0.0.1"), &[FIRST]).await;
        let params = S3Params { requester_pays, ..params(&server, &ca) };
        dialer().s3(&params, &key()).unwrap().look("a.csv").await.unwrap();
        assert_eq!(server.asked()[0].contains("x-amz-request-payer: requester"), requester_pays, "{:?}", server.asked());
    }
}

#[tokio::test]
async fn a_list_is_read_a_page_at_a_time_and_to_a_bound() {
    const PAGE: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n<ListBucketResult><IsTruncated>true</IsTruncated>\
        <NextContinuationToken>more</NextContinuationToken><Contents><Key>in/</Key><LastModified>2026-11-28T00:00:00.000Z</LastModified><ETag>e</ETag><Size>0</Size></Contents>\
        <Contents><Key>in/a.csv</Key><LastModified>2026-11-28T00:00:00.000Z</LastModified>\
        <ETag>e</ETag><Size>3</Size></Contents></ListBucketResult>";
    const LAST: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n<ListBucketResult><IsTruncated>false</IsTruncated>\
        <CommonPrefixes><Prefix>in/old/</Prefix></CommonPrefixes></ListBucketResult>";
    let (good, server) = bucket(&[PAGE, LAST]).await;
    let found: Vec<_> = good.list("in", "a").await.unwrap().try_collect().await.unwrap();
    let names: Vec<_> = found.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["a.csv", "old"]);
    let asked = server.asked();
    assert!(
        asked[0].contains("prefix=in%2Fa") && asked[0].contains("delimiter=%2F") && asked[1].contains("continuation-token=more"),
        "{asked:?}"
    );

    static ENDLESS: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n<ListBucketResult>{}", "<Contents><Key>hush</Key></Contents>".repeat(300_000))
    });
    for (answer, expected) in [
        (ENDLESS.as_str(), "a page of its list has more than 8 MiB"),
        ("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n<html>hush</html>", "as no such store does"),
        (
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n<ListBucketResult><IsTruncated>false</IsTruncated>\
             <CommonPrefixes><Prefix>in//</Prefix></CommonPrefixes></ListBucketResult>",
            "bucket warehouse has a name below \"in\" with an empty part",
        ),
    ] {
        let answers: &'static [&'static str] = Vec::leak(vec![answer]);
        let (bad, _server) = bucket(answers).await;
        let listed: Result<Vec<_>, _> = bad.list("in", "a").await.unwrap().try_collect().await;
        let error = listed.unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("hush"), "{error}");
    }
}

#[tokio::test]
async fn a_body_that_ends_early_is_an_error_that_may_pass_and_not_an_end() {
    let (bucket, _server) = bucket(&[CUT]).await;
    let (found, error) = read(bucket.open("a.csv", Span::ALL, &object()).await).await;
    assert_eq!(found, "hell");
    let Some(FileError::Failed(error)) = error else { panic!("{error:?}") };
    assert!(error.is_transient() && error.to_string().contains("warehouse"), "{error}");
}

#[tokio::test]
async fn a_part_is_the_one_that_was_asked_for_or_an_error() {
    const PART: &str = "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 4-9/10\r\netag: \"v1\"\r\ncontent-length: 6\r\n\r\no, you";
    const OTHER: &str = "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-5/10\r\netag: \"v1\"\r\ncontent-length: 6\r\n\r\nhello,";
    const ALL: &str = "HTTP/1.1 200 OK\r\netag: \"v1\"\r\ncontent-length: 10\r\n\r\nhello, you";
    let (good, server) = bucket(&[PART]).await;
    assert_eq!(read(good.open("a.csv", Span::from(4..), &object()).await).await.0, "o, you");
    assert!(server.asked()[0].contains("range: bytes=4-9"));
    for wrong in [&[OTHER] as &'static [&'static str], &[ALL]] {
        let (bad, _server) = bucket(wrong).await;
        let (found, error) = read(bad.open("a.csv", Span::from(4..), &object()).await).await;
        assert!(found.is_empty() && matches!(error, Some(FileError::Failed(Error::S3Protocol { .. }))), "{error:?}");
    }
}

#[tokio::test]
async fn another_object_in_its_place_is_seen_whether_the_server_knows_conditions_or_not() {
    for answer in [
        &["HTTP/1.1 412 Precondition Failed\r\ncontent-length: 0\r\n\r\n"] as &'static [&'static str],
        &["HTTP/1.1 200 OK\r\netag: \"v2\"\r\ncontent-length: 10\r\n\r\nhello, you"],
        &["HTTP/1.1 200 OK\r\netag: \"v1\"\r\ncontent-length: 11\r\n\r\nhello, you!"],
    ] {
        let (bucket, _server) = bucket(answer).await;
        let (found, error) = read(bucket.open("a.csv", Span::ALL, &object()).await).await;
        assert!(found.is_empty() && matches!(error, Some(FileError::Changed { .. })), "{error:?}");
    }
}

#[tokio::test]
async fn an_object_without_bytes_has_an_identity() {
    const BEHIND: &str = "HTTP/1.1 416 Range Not Satisfiable\r\ncontent-length: 46\r\n\r\n<Error><Code>InvalidRange</Code></Error>      ";
    const EMPTY: &str = "HTTP/1.1 200 OK\r\netag: \"d41d\"\r\ncontent-length: 0\r\n\r\n";
    let (bucket, server) = bucket(&[BEHIND, EMPTY]).await;
    let empty = bucket.look("a.csv").await.unwrap();
    assert_eq!(empty, FileState { length: Some(0), version: Some("\"d41d\"".into()) });
    let (found, error) = read(bucket.open("a.csv", Span::ALL, &empty).await).await;
    assert!(found.is_empty() && error.is_none() && server.asked()[1].starts_with("HEAD "));
}

#[tokio::test]
async fn an_object_that_cannot_be_asked_for_again_is_not_begun() {
    for answer in [
        &["HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-0/10\r\ncontent-length: 1\r\n\r\nh"] as &'static [&'static str],
        &["HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-0/10\r\netag: W/\"v1\"\r\ncontent-length: 1\r\n\r\nh"],
    ] {
        let (bucket, _server) = bucket(answer).await;
        assert!(matches!(bucket.look("a.csv").await, Err(FileError::Failed(Error::S3Protocol { .. }))));
    }
}

#[tokio::test]
async fn who_may_do_nothing_but_read_is_known_all_the_same() {
    const DENIED: &str = "HTTP/1.1 403 Forbidden\r\ncontent-length: 40\r\n\r\n<Error><Code>AccessDenied</Code></Error>";
    const MISSING: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 37\r\n\r\n<Error><Code>NoSuchKey</Code></Error>";
    const UNKNOWN: &str = "HTTP/1.1 403 Forbidden\r\ncontent-length: 46\r\n\r\n<Error><Code>InvalidAccessKeyId</Code></Error>";
    let (denied, _server) = bucket(&[DENIED]).await;
    denied.verify().await.unwrap();
    let error = denied.look("a.csv").await.unwrap_err();
    assert!(matches!(&error, FileError::Failed(Error::S3Refused { refusal: S3Refusal::Denied, .. })), "{error}");
    let (missing, _server) = bucket(&[MISSING]).await;
    missing.verify().await.unwrap();
    assert!(matches!(missing.look("a.csv").await, Err(FileError::NotFound(_))));
    let (unknown, _server) = bucket(&[UNKNOWN]).await;
    assert_eq!(unknown.verify().await.unwrap_err().reason(), "LoginRefused");
}

#[tokio::test]
async fn a_server_in_trouble_is_told_as_such_and_asked_once() {
    const SLOW: &str = "HTTP/1.1 503 Slow Down\r\ncontent-length: 36\r\n\r\n<Error><Code>SlowDown</Code></Error>";
    let (slow, server) = bucket(&[SLOW]).await;
    let error = slow.verify().await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("SlowDown"), "{error}");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_refusal_without_end_is_not_read_to_its_end() {
    const ENDLESS: &str = "HTTP/1.1 403 Forbidden\r\ncontent-length: 1000000000\r\n\r\n<Error><Code>SignatureDoesNotMatch</Code>";
    let (endless, _server) = bucket(&[ENDLESS]).await;
    let error = tokio::time::timeout(std::time::Duration::from_secs(10), endless.verify()).await.unwrap().unwrap_err();
    assert_eq!(error.reason(), "LoginRefused");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    const AWAY: &str = "HTTP/1.1 307 Temporary Redirect\r\nlocation: https://evil.example/\r\ncontent-length: 0\r\n\r\n";
    let (away, server) = bucket(&[AWAY]).await;
    assert_eq!(away.verify().await.unwrap_err().reason(), "NotS3");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_sent_nothing() {
    let server = start(Authority::new("theirs").leaf("127.0.0.1"), &[FIRST]).await;
    let bucket = dialer().s3(&params(&server, &Authority::new("ours")), &key()).unwrap();
    let error = bucket.verify().await.unwrap_err();
    assert!(error.reason() == "TlsRefused" && error.to_string().contains("tls.caBundle") && !error.is_transient(), "{error}");
    assert!(server.asked().is_empty());
    let ca = Authority::new("ca");
    let server = start(ca.expired("127.0.0.1"), &[FIRST]).await;
    let error = dialer().s3(&params(&server, &ca), &key()).unwrap().verify().await.unwrap_err();
    assert!(error.to_string().contains("expired") && server.asked().is_empty(), "{error}");
}

#[tokio::test]
async fn an_address_that_may_not_be_dialed_is_not() {
    let ca = Authority::new("ca");
    let server = start(ca.leaf("127.0.0.1"), &[FIRST]).await;
    let bucket = Dialer::new(AddressPolicy::public_on(443)).s3(&params(&server, &ca), &key()).unwrap();
    let error = bucket.verify().await.unwrap_err();
    assert!(error.reason() == "AddressRefused" && server.asked().is_empty(), "{error}");
}
