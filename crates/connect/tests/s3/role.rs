//! Roles that are assumed with a token: at a scripted server, and at a MinIO that knows an issuer of identities.

use std::sync::Arc;

use bytes::Bytes;
use connect::{IdentityTokens, ObjectFiles, RemoteFiles, S3Params, S3Role, Span};
use futures::TryStreamExt;

use crate::answers::Answers;
use crate::dialer;
use crate::issuer::Issuer;
use crate::minio::{Minio, REGION};
use crate::support::Authority;
use crate::told::{Counted, Told};

const FIRST: &str = "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-0/10\r\netag: \"v1\"\r\ncontent-length: 1\r\n\r\nh";

/// A key with this end.
macro_rules! key {
    ($id:literal, $end:literal) => {
        concat!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>",
            "<AccessKeyId>",
            $id,
            "</AccessKeyId><SecretAccessKey>wJalr/XUtn+F</SecretAccessKey><SessionToken>FwoG/+=x</SessionToken><Expiration>",
            $end,
            "</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        )
    };
}

async fn scripted(answers: &'static [&'static str], tokens: Arc<dyn IdentityTokens>) -> (ObjectFiles, Answers) {
    let ca = Authority::new("ca");
    let leaf = ca.leaf("127.0.0.1");
    let server = Answers::start(&leaf.certificate, &leaf.key, answers).await;
    let params = S3Params {
        endpoint: Some(format!("https://127.0.0.1:{}", server.port)),
        region: "eu-central-1".into(),
        bucket: "warehouse".into(),
        ca_bundle: Some(ca.pem()),
        requester_pays: false,
    };
    let role = S3Role { arn: "arn:aws:iam::123456789012:role/reader".into(), tokens };
    (dialer().s3(&params, role).unwrap(), server)
}

#[tokio::test]
async fn a_key_of_a_role_is_used_until_it_ends_and_goes_with_its_session() {
    let (bucket, server) = scripted(&[key!("ASIAONE", "2099-01-01T00:00:00Z"), FIRST, FIRST], Arc::new(Counted::default())).await;
    for _ in 0..2 {
        bucket.look("a.csv").await.unwrap();
    }
    let asked = server.asked();
    assert_eq!(asked.len(), 3, "one key for two looks: {asked:?}");
    assert!(asked[0].starts_with("POST / HTTP/1.1") && !asked[0].contains("authorization"), "{}", asked[0]);
    for part in [
        "Action=AssumeRoleWithWebIdentity",
        "RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Freader",
        "WebIdentityToken=token%2B0",
        "DurationSeconds=3600",
    ] {
        assert!(asked[0].contains(part), "{part}: {}", asked[0]);
    }
    for look in &asked[1..] {
        assert!(look.contains("Credential=ASIAONE/") && look.contains("x-amz-security-token: FwoG/+=x"), "{look}");
    }
}

#[tokio::test]
async fn a_key_that_has_ended_is_followed_by_another_for_another_token() {
    let (bucket, server) = scripted(
        &[key!("ASIAONE", "2026-01-01T00:00:00Z"), FIRST, key!("ASIATWO", "2099-01-01T00:00:00Z"), FIRST],
        Arc::new(Counted::default()),
    )
    .await;
    for _ in 0..2 {
        bucket.look("a.csv").await.unwrap();
    }
    let asked = server.asked();
    assert!(asked[0].contains("WebIdentityToken=token%2B0") && asked[1].contains("Credential=ASIAONE/"), "{asked:?}");
    assert!(asked[2].contains("WebIdentityToken=token%2B1") && asked[3].contains("Credential=ASIATWO/"), "{asked:?}");
}

#[tokio::test]
async fn a_service_that_says_no_is_told_and_nothing_of_its_words() {
    const DENIED: &str = "HTTP/1.1 403 Forbidden\r\nconnection: close\r\n\r\n<ErrorResponse><Error><Code>AccessDenied</Code><Message>token+0 \
                          of mallory</Message></Error></ErrorResponse>";
    const BUSY: &str = "HTTP/1.1 503 Slow down\r\nconnection: close\r\n\r\n";
    const NO_KEY: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n<html>token+0</html>";
    for (answer, reason, transient, words) in [
        (DENIED, "AccessDenied", false, "trust policy"),
        (BUSY, "Unreachable", true, "later"),
        (NO_KEY, "NotS3", false, "no key of the role"),
    ] {
        let (bucket, _server) = scripted(vec![answer].leak(), Arc::new(Counted::default())).await;
        let error = bucket.verify().await.unwrap_err();
        let told = error.to_string();
        assert!(told.contains(words) && told.contains("role/reader") && !told.contains("token+0"), "{told}");
        assert_eq!((error.reason(), error.is_transient()), (reason, transient), "{told}");
    }
}

/// A MinIO that lets whom the issuer vouches for read, and the role's name there.
async fn started() -> (Minio, Issuer, String) {
    let ca = Authority::new("ca");
    let leaf = ca.leaf("127.0.0.1");
    let issuer = Issuer::start(&ca.leaf("127.0.0.1")).await;
    let settings = [
        ("MINIO_IDENTITY_OPENID_CONFIG_URL", format!("{}/.well-known/openid-configuration", issuer.url)),
        ("MINIO_IDENTITY_OPENID_CLIENT_ID", "sts.amazonaws.com".to_owned()),
        ("MINIO_IDENTITY_OPENID_ROLE_POLICY", "readonly".to_owned()),
    ];
    let server = Minio::start_with(&leaf.certificate.pem(), &leaf.key.serialize_pem(), &ca.pem(), &settings).await;
    // Its name is made of the audience: base64url(sha1("sts.amazonaws.com")).
    (server, issuer, format!("arn:minio:iam:{REGION}::role/{AUDIENCE_SHA1}"))
}

const AUDIENCE_SHA1: &str = "oxnUw3DAuQF1uggjXGxI2AmW8IA";

#[tokio::test]
#[ignore = "needs MinIO: cargo xtask test s3"]
async fn a_role_reads_what_its_policy_lets_it_and_nothing_else() {
    let (server, issuer, arn) = started().await;
    server.put("in/a.csv", "Name\nAda\n").await;
    let role = |token: String| S3Role { arn: arn.clone(), tokens: Arc::new(Told(token)) };
    let bucket = dialer().s3(&server.params(), role(issuer.token("sts.amazonaws.com", 600))).unwrap();
    bucket.verify().await.unwrap();
    let object = bucket.look("in/a.csv").await.unwrap();
    let all: Vec<Bytes> = bucket.open("in/a.csv", Span::ALL, &object).await.unwrap().try_collect().await.unwrap();
    assert_eq!(all.concat(), b"Name\nAda\n");
    // It may read, and neither delete nor list.
    let denied = bucket.remove("in/a.csv").await.unwrap_err();
    assert!(denied.to_string().contains("may not do this"), "{denied}");

    let stranger = Issuer::start(&Authority::new("ca").leaf("127.0.0.1")).await;
    for (what, role) in [
        ("another audience", role(issuer.token("api://AzureADTokenExchange", 600))),
        ("a token that has ended", role(issuer.token("sts.amazonaws.com", -60))),
        ("a token of somebody else's", role(stranger.token("sts.amazonaws.com", 600))),
        (
            "another role",
            S3Role { arn: format!("arn:minio:iam:{REGION}::role/nobody"), tokens: Arc::new(Told(issuer.token("sts.amazonaws.com", 600))) },
        ),
    ] {
        let error = dialer().s3(&server.params(), role).unwrap().verify().await.unwrap_err();
        let told = error.to_string();
        assert_eq!(error.reason(), "LoginRefused", "{what}: {told}");
        assert!(told.contains("roleArn") && told.contains("issuer"), "{what}: {told}");
    }
}
