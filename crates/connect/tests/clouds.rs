//! Objects of Google Cloud Storage and Azure Blob Storage: a fake-gcs-server, an Azurite (`cargo xtask test s3`), and servers that cheat.

#[path = "support/answers.rs"]
mod answers;
#[path = "support/clouds.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod clouds;
#[path = "support/mod.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod support;
#[path = "support/told.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod told;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use connect::{
    AddressPolicy, AzureIdentity, AzureKey, AzureParams, ChangeError, Dialer, Error, FileError, FileState, GcsParams, ObjectFiles,
    RemoteFiles, Removed, Renamed, Span, reasons,
};
use futures::TryStreamExt;

use crate::answers::Answers;
use crate::clouds::{Azure, BUCKET, Gcs};
use crate::support::Authority;
use crate::told::Counted;

fn dialer() -> Dialer {
    Dialer::new(AddressPolicy::unrestricted())
}

async fn read(files: &ObjectFiles, path: &str, span: impl Into<Span>, state: &FileState) -> Result<String, FileError> {
    let pieces: Vec<_> = files.open(path, span.into(), state).await?.try_collect().await?;
    Ok(String::from_utf8(pieces.concat()).unwrap())
}

/// What every store has to do. `put` and `remove` are its administrator's.
async fn behaves(files: &ObjectFiles, put: impl Fn(&str, &str), remove: impl Fn(&str)) {
    files.verify().await.unwrap();
    for key in ["a.csv", "in/a b+c%20d&e=f.csv", "in/Zoë ✓/é.csv"] {
        put(key, &format!("content of {key}"));
        let object = files.look(key).await.unwrap_or_else(|error| panic!("{key}: {error}"));
        assert_eq!(read(files, key, 0.., &object).await.unwrap(), format!("content of {key}"));
        assert_eq!(read(files, key, 8.., &object).await.unwrap(), format!("of {key}"));
        assert_eq!(read(files, key, 8..10, &object).await.unwrap(), "of");
    }
    put("empty", "");
    assert_eq!(files.look("empty").await.unwrap().length, Some(0));
    match files.look("nothing.csv").await {
        Err(FileError::NotFound(text)) => assert!(text.contains(BUCKET) && text.contains("nothing.csv"), "{text}"),
        other => panic!("{other:?}"),
    }
    put("b.csv", "one");
    let first = files.look("b.csv").await.unwrap();
    put("b.csv", "two");
    assert!(matches!(read(files, "b.csv", 0.., &first).await, Err(FileError::Changed { .. })));
    assert!(matches!(read(files, "b.csv", 0..1, &first).await, Err(FileError::Changed { .. })));
    remove("b.csv");
    // A server may look at the condition first.
    assert!(matches!(read(files, "b.csv", 0.., &first).await, Err(FileError::NotFound(_) | FileError::Changed { .. })));
    assert!(matches!(files.look("b.csv").await, Err(FileError::NotFound(_))));
}

async fn refusal(files: &ObjectFiles) -> Error {
    files.verify().await.expect_err("it is taken")
}

#[tokio::test]
#[ignore = "needs fake-gcs-server: cargo xtask test s3"]
async fn buckets_of_google_are_read() {
    let ca = Authority::new("ca");
    let leaf = ca.leaf("127.0.0.1");
    let server = Gcs::start(&leaf.certificate.pem(), &leaf.key.serialize_pem(), &ca.pem());
    let files = dialer().gcs(&server.params(server.port()), &Gcs::key()).unwrap();
    behaves(&files, |key, content| server.put(key, content), |key| server.remove(key)).await;
}

#[tokio::test]
#[ignore = "needs Azurite: cargo xtask test s3"]
async fn containers_of_azure_are_read_and_changed_with_a_key_and_with_a_signature() {
    let ca = Authority::new("ca");
    let leaf = ca.leaf("127.0.0.1");
    let server = Azure::start(&leaf.certificate.pem(), &leaf.key.serialize_pem(), &ca.pem());
    let params = server.params(server.port());
    for key in [Azure::account_key(), Azure::sas("r", "2099-01-01T00:00:00Z")] {
        let files = dialer().azure(&params, &key).unwrap();
        behaves(&files, |key, content| server.put(key, content), |key| server.remove(key)).await;
    }
    changes(&server).await;
    let other = AzureParams { container: "pond".into(), ..params.clone() };
    for (params, key, reason) in [
        (&params, AzureKey::Account("YW5vdGhlciBrZXk=".into()), reasons::LOGIN_REFUSED),
        (&params, Azure::sas("r", "2020-01-01T00:00:00Z"), reasons::LOGIN_REFUSED),
        (&other, Azure::account_key(), reasons::BUCKET_NOT_FOUND),
    ] {
        let error = refusal(&dialer().azure(params, &key).unwrap()).await;
        assert_eq!(error.reason(), reason, "{error}");
        assert!(!error.is_transient(), "{error}");
    }
    // Known, and allowed to write only: verified, and told when a file is read.
    let writer = dialer().azure(&params, &Azure::sas("w", "2099-01-01T00:00:00Z")).unwrap();
    writer.verify().await.unwrap();
    match writer.look("a.csv").await {
        Err(FileError::Failed(error)) => assert_eq!(error.reason(), reasons::ACCESS_DENIED, "{error}"),
        other => panic!("{other:?}"),
    }
}

/// Blobs are copied and deleted with a key, and with a signature that allows it.
async fn changes(server: &Azure) {
    const FROM: &str = "in/a b+c%20d&e=f.csv";
    const TO: &str = "done/Zoë ✓/é.csv";
    let params = server.params(server.port());
    for key in [Azure::account_key(), Azure::sas("rwd", "2099-01-01T00:00:00Z")] {
        let files = dialer().azure(&params, &key).unwrap();
        server.put(FROM, "content");
        assert_eq!(files.rename(FROM, TO).await.unwrap(), Renamed::Copied);
        let copy = files.look(TO).await.unwrap();
        assert_eq!(read(&files, TO, 0.., &copy).await.unwrap(), "content");
        assert!(matches!(files.rename(FROM, TO).await, Err(ChangeError::Taken { .. })));
        for (path, removed) in [(FROM, Removed::Deleted), (TO, Removed::Deleted), (TO, Removed::Absent)] {
            assert_eq!(files.remove(path).await.unwrap(), removed, "{path}");
            assert!(matches!(files.look(path).await, Err(FileError::NotFound(_))), "{path}");
        }
    }
    server.put(FROM, "content");
    let reader = dialer().azure(&params, &Azure::sas("r", "2099-01-01T00:00:00Z")).unwrap();
    for refused in [reader.rename(FROM, TO).await.map(drop), reader.remove(FROM).await.map(drop)] {
        match refused {
            Err(ChangeError::File(FileError::Failed(error))) => assert_eq!(error.reason(), reasons::ACCESS_DENIED, "{error}"),
            other => panic!("{other:?}"),
        }
    }
    reader.look(FROM).await.unwrap();
}

/// What Microsoft Entra answers: an access token that Azurite takes, good for so many seconds.
fn access(seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = format!(
        r#"{{"aud":"https://storage.azure.com","iss":"https://sts.windows.net/{TENANT}/","iat":{now},"nbf":{now},"exp":{}}}"#,
        now + 3600
    );
    let [head, claims] = [r#"{"alg":"RS256","typ":"JWT"}"#, &claims].map(|part| BASE64URL.encode(part));
    let body = format!(r#"{{"token_type":"Bearer","expires_in":{seconds},"access_token":"{head}.{claims}.c2ln"}}"#);
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

const TENANT: &str = "ab1f708d-50f6-404c-a006-d71b2ac7a606";
const APPLICATION: &str = "f997392c-e15a-4ad8-af9e-cd6966caba7f";

fn identity(authority: &Answers) -> AzureKey {
    AzureKey::Identity(AzureIdentity {
        authority: format!("https://127.0.0.1:{}", authority.port),
        tenant_id: TENANT.into(),
        client_id: APPLICATION.into(),
        tokens: Arc::new(Counted::default()),
    })
}

/// An Entra that answers this, one after the other.
async fn authority(ca: &Authority, answers: &[String]) -> Answers {
    let answers: Vec<&'static str> = answers.iter().map(|answer| &*answer.clone().leak()).collect();
    let leaf = ca.leaf("127.0.0.1");
    Answers::start(&leaf.certificate, &leaf.key, answers.leak()).await
}

#[tokio::test]
#[ignore = "needs Azurite: cargo xtask test s3"]
async fn containers_of_azure_are_read_with_a_workload_identity() {
    let ca = Authority::new("ca");
    let leaf = ca.leaf("127.0.0.1");
    let server = Azure::start(&leaf.certificate.pem(), &leaf.key.serialize_pem(), &ca.pem());
    let params = server.params(server.port());
    let lasting = authority(&ca, &[access(3600)]).await;
    let files = dialer().azure(&params, &identity(&lasting)).unwrap();
    behaves(&files, |key, content| server.put(key, content), |key| server.remove(key)).await;
    server.put("a.csv", "content");
    files.remove("a.csv").await.unwrap();
    let [asked] = lasting.asked().try_into().expect("one access token for all of it");
    assert!(asked.starts_with(&format!("POST /{TENANT}/oauth2/v2.0/token HTTP/1.1")), "{asked}");
    for part in [
        "grant_type=client_credentials".to_owned(),
        format!("client_id={APPLICATION}"),
        "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer".to_owned(),
        "client_assertion=token%2B0".to_owned(),
        "scope=https%3A%2F%2Fstorage.azure.com%2F.default".to_owned(),
    ] {
        assert!(asked.contains(&part), "{part}: {asked}");
    }

    // One that is about to end is followed by another, for another token.
    let ending = authority(&ca, &[access(60), access(3600)]).await;
    let files = dialer().azure(&params, &identity(&ending)).unwrap();
    for _ in 0..3 {
        files.verify().await.unwrap();
    }
    let asked = ending.asked();
    assert!(asked.len() == 2 && asked[1].contains("client_assertion=token%2B1"), "{asked:?}");
}

#[tokio::test]
async fn an_authority_that_says_no_is_told_by_its_number() {
    let ca = Authority::new("ca");
    let said = r#"{"error":"invalid_client","error_description":"AADSTS700213: token+0 of mallory","error_codes":[700213]}"#;
    let refuses = authority(&ca, &[format!("HTTP/1.1 401 Unauthorized\r\ncontent-length: {}\r\n\r\n{said}", said.len())]).await;
    let params = AzureParams {
        endpoint: Some("https://127.0.0.1:1".into()),
        account: "acme".into(),
        container: "exports".into(),
        ca_bundle: Some(ca.pem()),
    };
    let error = refusal(&dialer().azure(&params, &identity(&refuses)).unwrap()).await;
    let told = error.to_string();
    assert_eq!(error.reason(), reasons::LOGIN_REFUSED, "{told}");
    assert!(told.contains("AADSTS700213") && told.contains("federated credential") && told.contains(APPLICATION), "{told}");
    assert!(!told.contains("token+0") && !told.contains("mallory"), "{told}");
}

const NO_BLOB: &str =
    "HTTP/1.1 404 Not Found\r\nx-ms-error-code: BlobNotFound\r\ncontent-length: 39\r\n\r\n<Error><Code>BlobNotFound</Code></Error>";

#[tokio::test]
async fn a_copy_that_azure_makes_later_is_none() {
    const LATER: &str = "HTTP/1.1 202 Accepted\r\nx-ms-copy-status: pending\r\ncontent-length: 0\r\n\r\n";
    const NOW: &str = "HTTP/1.1 202 Accepted\r\nx-ms-copy-status: success\r\ncontent-length: 0\r\n\r\n";
    for (answers, copied) in [(&[NO_BLOB, LATER] as &'static [&'static str], false), (&[NO_BLOB, NOW], true)] {
        let ca = Authority::new("ca");
        let leaf = ca.leaf("127.0.0.1");
        let server = Answers::start(&leaf.certificate, &leaf.key, answers).await;
        let endpoint = Some(format!("https://127.0.0.1:{}", server.port));
        let params = AzureParams { endpoint, account: "acme".into(), container: BUCKET.into(), ca_bundle: Some(ca.pem()) };
        let found = dialer().azure(&params, &Azure::account_key()).unwrap().rename("a.csv", "done/a.csv").await;
        assert_eq!(found.is_ok(), copied, "{found:?}");
    }
}

/// As <https://cloud.google.com/storage/docs/xml-api/put-object-copy> has it: fake-gcs-server knows no such request.
#[tokio::test]
async fn google_is_asked_to_copy_where_nothing_is() {
    const NONE: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 36\r\n\r\n<Error><Code>NoSuchKey</Code></Error>";
    const COPIED: &str = "HTTP/1.1 200 OK\r\ncontent-length: 35\r\n\r\n<CopyObjectResult></CopyObjectResult>";
    const TAKEN: &str = "HTTP/1.1 412 Precondition Failed\r\ncontent-length: 45\r\n\r\n<Error><Code>PreconditionFailed</Code></Error>";
    for (answers, taken) in [(&[NONE, COPIED] as &'static [&'static str], false), (&[NONE, TAKEN], true)] {
        let ca = Authority::new("ca");
        let leaf = ca.leaf("127.0.0.1");
        let server = Answers::start(&leaf.certificate, &leaf.key, answers).await;
        let endpoint = Some(format!("https://127.0.0.1:{}", server.port));
        let params = GcsParams { endpoint, bucket: BUCKET.into(), ca_bundle: Some(ca.pem()) };
        let found = dialer().gcs(&params, &Gcs::key()).unwrap().rename("in/a b.csv", "done/a b.csv").await;
        match found {
            Ok(Renamed::Copied) => assert!(!taken),
            Err(ChangeError::Taken { .. }) => assert!(taken),
            other => panic!("{other:?}"),
        }
        let asked = server.asked().remove(1);
        assert!(
            asked.starts_with(&format!("PUT /{BUCKET}/done%2Fa%20b%2Ecsv ")) && asked.contains("x-goog-if-generation-match: 0"),
            "{asked}"
        );
        assert!(asked.contains(&format!("x-goog-copy-source: {BUCKET}/in%2Fa%20b%2Ecsv")), "{asked}");
    }
}

#[tokio::test]
async fn what_google_refuses_is_told_by_name() {
    const MISSING: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 40\r\n\r\n<Error><Code>NoSuchBucket</Code></Error>";
    const WRONG: &str = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 50\r\n\r\n<Error><Code>AuthenticationRequired</Code></Error>";
    const DENIED: &str = "HTTP/1.1 403 Forbidden\r\ncontent-length: 40\r\n\r\n<Error><Code>AccessDenied</Code></Error>";
    const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 46\r\n\r\n<Error><Code>ServiceUnavailable</Code></Error>";
    const NONE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
    let key = Gcs::key();
    for (answers, reason) in [
        (&[MISSING] as &'static [&'static str], Some(reasons::BUCKET_NOT_FOUND)),
        (&[WRONG], Some(reasons::LOGIN_REFUSED)),
        (&[DENIED], None),
        (&[BUSY], Some(reasons::UNREACHABLE)),
        (&[NONE], Some(reasons::NOT_A_STORE)),
    ] {
        let ca = Authority::new("ca");
        let leaf = ca.leaf("127.0.0.1");
        let server = Answers::start(&leaf.certificate, &leaf.key, answers).await;
        let endpoint = Some(format!("https://127.0.0.1:{}", server.port));
        let params = GcsParams { endpoint, bucket: BUCKET.into(), ca_bundle: Some(ca.pem()) };
        let found = dialer().gcs(&params, &key).unwrap().verify().await;
        assert_eq!(found.as_ref().err().map(Error::reason), reason, "{found:?}");
        let asked = server.asked().remove(0);
        assert!(asked.contains("authorization: Bearer ey") && !asked.contains("PRIVATE KEY"), "{asked}");
    }
    for broken in ["{}", "hello", "{\"private_key\": \"top secret\", \"private_key_id\": \"1\", \"client_email\": \"a\"}"] {
        let params = GcsParams { endpoint: None, bucket: BUCKET.into(), ca_bundle: None };
        let error = dialer().gcs(&params, &broken.into()).err().unwrap();
        assert_eq!(error.reason(), reasons::LOGIN_REFUSED);
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    for broken in ["", "sv=1", "hello"] {
        let params = AzureParams { endpoint: None, account: "acme".into(), container: BUCKET.into(), ca_bundle: None };
        assert!(dialer().azure(&params, &AzureKey::Sas(broken.into())).is_err(), "{broken}");
    }
}
