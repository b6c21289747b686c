//! Files of an HTTPS server: a real nginx, and servers that cheat.

#[path = "support/answers.rs"]
mod answers;
#[path = "support/nginx.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod nginx;
#[path = "support/mod.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod support;

use std::fs;

use connect::{AddressPolicy, Dialer, Error, FileError, FileState, HttpsFiles, HttpsFilesParams, HttpsLogin, RemoteFiles, Span, reasons};
use futures::TryStreamExt;

use crate::answers::Answers;
use crate::nginx::{Nginx, SECRET};
use crate::support::Authority;

fn files(params: &HttpsFilesParams, login: &HttpsLogin) -> HttpsFiles {
    Dialer::new(AddressPolicy::unrestricted()).https_files(params, login).unwrap()
}

fn start() -> Nginx {
    let ca = Authority::new("ca");
    let leaf = ca.leaf("127.0.0.1");
    Nginx::start(&leaf.certificate.pem(), &leaf.key.serialize_pem(), &ca.pem())
}

async fn read(files: &HttpsFiles, path: &str, span: impl Into<Span>, state: &FileState) -> Result<String, FileError> {
    let pieces: Vec<_> = files.open(path, span.into(), state).await?.try_collect().await?;
    Ok(String::from_utf8(pieces.concat()).unwrap())
}

async fn refusal(files: &HttpsFiles, path: &str) -> Error {
    match files.look(path).await {
        Err(FileError::Failed(error)) => error,
        other => panic!("{path}: {other:?}"),
    }
}

#[tokio::test]
async fn each_way_to_log_in_opens_its_files_and_no_other_secret_does() {
    let server = start();
    fs::write(server.file("a.csv"), "id,text\n1,a\n").unwrap();
    let header = |value: &str| HttpsLogin::Header { name: "X-Api-Key".into(), value: value.into() };
    for (way, right, wrong, reason) in [
        ("basic", Nginx::basic(), HttpsLogin::Basic { user: "reader".into(), password: "guess".into() }, reasons::LOGIN_REFUSED),
        ("bearer", HttpsLogin::Bearer(SECRET.into()), HttpsLogin::Bearer("guess".into()), reasons::LOGIN_REFUSED),
        ("key", header(SECRET), header("guess"), reasons::ACCESS_DENIED),
    ] {
        let params = server.params(way, server.port);
        let good = files(&params, &right);
        good.verify().await.unwrap();
        let state = good.look("a.csv").await.unwrap();
        assert_eq!(state.length, Some(12));
        assert_eq!(read(&good, "a.csv", 0.., &state).await.unwrap(), "id,text\n1,a\n");
        assert_eq!(read(&good, "a.csv", 8.., &state).await.unwrap(), "1,a\n");
        assert_eq!(read(&good, "a.csv", 3..7, &state).await.unwrap(), "text");
        let error = refusal(&files(&params, &wrong), "a.csv").await;
        assert_eq!(error.reason(), reason, "{error}");
        assert!(!error.is_transient() && !error.to_string().contains("guess"), "{error}");
    }
}

#[tokio::test]
async fn a_file_that_is_missing_empty_changed_or_oddly_named_is_what_it_is() {
    let server = start();
    let files = files(&server.params("basic", server.port), &Nginx::basic());
    match files.look("nothing.csv").await {
        Err(FileError::NotFound(text)) => assert!(text.contains("nothing.csv"), "{text}"),
        other => panic!("{other:?}"),
    }
    fs::write(server.file("empty.csv"), "").unwrap();
    let state = files.look("empty.csv").await.unwrap();
    assert_eq!((state.length, read(&files, "empty.csv", 0.., &state).await.unwrap().as_str()), (Some(0), ""));
    fs::write(server.file("a b+c ✓.csv"), "x").unwrap();
    let state = files.look("a b+c ✓.csv").await.unwrap();
    assert_eq!(read(&files, "a b+c ✓.csv", 0.., &state).await.unwrap(), "x");
    fs::write(server.file("a.csv"), "one").unwrap();
    let state = files.look("a.csv").await.unwrap();
    fs::write(server.file("a.csv"), "other").unwrap();
    for span in [Span::ALL, Span::from(1..), Span::from(0..1)] {
        assert!(matches!(read(&files, "a.csv", span, &state).await, Err(FileError::Changed { .. })), "{span:?}");
    }
}

#[tokio::test]
async fn a_server_without_ranges_and_versions_is_read_from_its_start_only() {
    let server = start();
    fs::write(server.file("a.csv"), "hello, you").unwrap();
    let files = files(&server.params("plain", server.port), &Nginx::basic());
    let state = files.look("a.csv").await.unwrap();
    assert_eq!(state, FileState { length: Some(10), version: None });
    assert_eq!(read(&files, "a.csv", 0.., &state).await.unwrap(), "hello, you");
    // The bytes before could be those of another file.
    assert!(matches!(read(&files, "a.csv", 4.., &state).await, Err(FileError::Changed { .. })));
}

#[tokio::test]
async fn redirects_are_followed_where_they_may_lead_and_no_credential_goes_there() {
    let ca = Authority::new("ca");
    let leaf = ca.leaf_for(&["127.0.0.1", "localhost"]);
    let server = Nginx::start(&leaf.certificate.pem(), &leaf.key.serialize_pem(), &ca.pem());
    fs::write(server.file("a.csv"), "x").unwrap();
    let mut params = server.params("away", server.port);
    let error = refusal(&files(&params, &Nginx::basic()), "a.csv").await;
    assert_eq!(error.reason(), reasons::REDIRECT_REFUSED);
    assert!(error.to_string().contains(&format!("https://localhost:{}, which https.redirects", server.port)), "{error}");
    assert!(files(&params, &Nginx::basic()).verify().await.is_err(), "a page to log in at is no success");
    // The server answers 418 there to who shows a credential.
    params.redirects.push(format!("https://localhost:{}", server.port));
    assert_eq!(files(&params, &Nginx::basic()).look("a.csv").await.unwrap().length, Some(1));
    // The same server gets it again.
    assert_eq!(files(&server.params("near", server.port), &Nginx::basic()).look("x").await.unwrap().length, Some(1));
    let error = refusal(&files(&server.params("round", server.port), &Nginx::basic()), "x").await;
    assert_eq!(error.reason(), reasons::REDIRECT_REFUSED);
    let error = refusal(&files(&server.params("busy", server.port), &Nginx::basic()), "x").await;
    assert!(error.is_transient() && error.to_string().contains("503"), "{error}");
}

/// Files of a server that gives these answers.
async fn cheat(answers: &'static [&'static str]) -> (HttpsFiles, Answers) {
    let ca = Authority::new("ca");
    let leaf = ca.leaf("127.0.0.1");
    let server = Answers::start(&leaf.certificate, &leaf.key, answers).await;
    let url = format!("https://127.0.0.1:{}/in", server.port);
    let params = HttpsFilesParams { url, redirects: Vec::new(), ca_bundle: Some(ca.pem()) };
    (files(&params, &Nginx::basic()), server)
}

#[tokio::test]
async fn a_stream_goes_on_behind_what_came_whether_or_not_the_server_knows_ranges() {
    const WHOLE: &str = "HTTP/1.1 200 OK\r\netag: \"v1\"\r\ncontent-length: 10\r\nconnection: close\r\n\r\nhello, you";
    const OTHER: &str = "HTTP/1.1 200 OK\r\netag: \"v2\"\r\ncontent-length: 10\r\nconnection: close\r\n\r\nhello, you";
    const ELSEWHERE: &str =
        "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-9/10\r\netag: \"v1\"\r\ncontent-length: 10\r\n\r\nhello, you";
    let state = FileState { length: Some(10), version: Some("\"v1\"".into()) };
    let (files, server) = cheat(&[WHOLE]).await;
    assert_eq!(read(&files, "a.csv", 4.., &state).await.unwrap(), "o, you");
    // Who wants a part would be sent the whole for each.
    assert!(matches!(read(&cheat(&[WHOLE]).await.0, "a.csv", 4..6, &state).await, Err(FileError::NoParts(_))));
    let asked = server.asked().remove(0);
    assert!(asked.starts_with("GET /in/a.csv ") && asked.contains("range: bytes=4-") && asked.contains("if-range: \"v1\""), "{asked}");
    assert!(asked.contains("accept-encoding: identity") && !asked.contains("cookie"), "{asked}");
    assert!(matches!(read(&cheat(&[OTHER]).await.0, "a.csv", 4.., &state).await, Err(FileError::Changed { .. })));
    let (files, _server) = cheat(&[ELSEWHERE]).await;
    assert!(matches!(read(&files, "a.csv", 4.., &state).await, Err(FileError::Failed(Error::HttpsRefused { .. }))));
}

#[tokio::test]
async fn a_body_that_ends_early_is_an_error_that_may_pass() {
    const CUT: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n4\r\nhell\r\n";
    let (files, _server) = cheat(&[CUT]).await;
    match read(&files, "a.csv", 0.., &FileState::default()).await {
        Err(FileError::Failed(error)) => assert!(error.is_transient(), "{error}"),
        other => panic!("{other:?}"),
    }
}
