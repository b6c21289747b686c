//! The HTTPS client against real TLS servers, each wrong in one way.

mod support;

use std::net::IpAddr;
use std::sync::Arc;

use connect::{AddressPolicy, Dialer, FixedNames, HttpsOptions, PostgresCredential, PostgresParams, Trust, explain};
use reqwest::Method;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use support::{Authority, Leaf};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
const BOTH: &[&rustls::SupportedProtocolVersion] = rustls::ALL_VERSIONS;

/// Serves one answer over TLS, whatever the request; tells the port.
async fn https_server(leaf: Leaf, versions: &[&'static rustls::SupportedProtocolVersion], answer: &'static str) -> u16 {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(leaf.key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        }
    });
    port
}

fn dialer() -> Dialer {
    let here: IpAddr = "127.0.0.1".parse().unwrap();
    let names = FixedNames::default().with("crm.example", [here]).with("other.example", [here]);
    let policy = AddressPolicy::public_on(443).open_network("127.0.0.0/8", &[]).unwrap();
    Dialer::with_names(policy, Arc::new(names))
}

async fn get(dialer: &Dialer, url: &str, ca: &str) -> Result<String, String> {
    let client = dialer.https(HttpsOptions { trust: Trust::SystemAnd(Some(ca)) }).map_err(|e| e.to_string())?;
    let request = client.request(Method::GET, url.parse().unwrap()).map_err(|e| e.to_string())?;
    let answer = request.send().await.map_err(|e| explain(&e))?;
    answer.text().await.map_err(|e| explain(&e))
}

#[tokio::test]
async fn a_server_with_a_certificate_of_the_bundle_is_talked_to() {
    let ca = Authority::new("ca");
    let port = https_server(ca.leaf("crm.example"), BOTH, HELLO).await;
    assert_eq!(get(&dialer(), &format!("https://crm.example:{port}/"), &ca.pem()).await.unwrap(), "hello");
}

#[tokio::test]
async fn tls_1_2_is_still_spoken() {
    let ca = Authority::new("ca");
    let port = https_server(ca.leaf("crm.example"), &[&rustls::version::TLS12], HELLO).await;
    assert_eq!(get(&dialer(), &format!("https://crm.example:{port}/"), &ca.pem()).await.unwrap(), "hello");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_and_both_names_are_told() {
    let ca = Authority::new("ca");
    let port = https_server(ca.leaf("crm.example"), BOTH, HELLO).await;
    let error = get(&dialer(), &format!("https://other.example:{port}/"), &ca.pem()).await.unwrap_err();
    assert!(error.contains("other.example") && error.contains("crm.example") && error.contains("tls.serverName"), "{error}");
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_with_the_remedy() {
    let port = https_server(Authority::new("theirs").leaf("crm.example"), BOTH, HELLO).await;
    let error = get(&dialer(), &format!("https://crm.example:{port}/"), &Authority::new("ours").pem()).await.unwrap_err();
    assert!(error.contains("signed by nobody we trust") && error.contains("tls.caBundle"), "{error}");
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let ca = Authority::new("ca");
    let port = https_server(ca.expired("crm.example"), BOTH, HELLO).await;
    let error = get(&dialer(), &format!("https://crm.example:{port}/"), &ca.pem()).await.unwrap_err();
    assert!(error.contains("expired"), "{error}");
}

#[tokio::test]
async fn the_system_does_not_trust_a_server_that_only_the_bundle_does() {
    let ca = Authority::new("ca");
    let port = https_server(ca.leaf("crm.example"), BOTH, HELLO).await;
    let client = dialer().https(HttpsOptions { trust: Trust::Only(&Authority::new("other").pem()) }).unwrap();
    let request = client.request(Method::GET, format!("https://crm.example:{port}/").parse().unwrap()).unwrap();
    assert!(request.send().await.is_err());
}

#[tokio::test]
async fn a_server_that_talks_in_clear_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut first = [0; 1];
        stream.read_exact(&mut first).await.unwrap();
        let _ = stream.write_all(HELLO.as_bytes()).await;
        first[0]
    });
    let error = get(&dialer(), &format!("https://crm.example:{port}/"), &Authority::new("ca").pem()).await.unwrap_err();
    assert!(error.contains("does not speak TLS"), "{error}");
    assert_eq!(server.await.unwrap(), 0x16, "the first byte on the wire is a TLS handshake");
}

#[tokio::test]
async fn http_without_s_is_refused_before_anything_is_dialed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    assert!(get(&dialer(), &format!("http://crm.example:{port}/"), &Authority::new("ca").pem()).await.is_err());
    let accepted = tokio::time::timeout(std::time::Duration::from_millis(100), listener.accept()).await;
    assert!(accepted.is_err(), "nobody may have called");
}

#[tokio::test]
async fn a_server_that_insists_on_tls_1_1_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = [0; 2048];
        let _ = stream.read(&mut hello).await;
        // ServerHello: version 3.2, 32 bytes of randomness, no session, TLS_RSA_WITH_AES_128_CBC_SHA, no compression.
        let mut answer = vec![0x16, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2];
        answer.extend([7; 32]);
        answer.extend([0, 0, 0x2f, 0]);
        let _ = stream.write_all(&answer).await;
        let _ = stream.read(&mut hello).await;
    });
    let error = get(&dialer(), &format!("https://crm.example:{port}/"), &Authority::new("ca").pem()).await.unwrap_err();
    assert!(error.contains("TLS 1.2 is the least"), "{error}");
}

/// A port that nobody may call, and whether anybody did.
async fn unvisited() -> (u16, impl Future<Output = bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (port, async move { tokio::time::timeout(std::time::Duration::from_millis(200), listener.accept()).await.is_err() })
}

#[tokio::test]
async fn a_private_address_behind_a_name_or_written_out_is_refused_before_anything_is_dialed() {
    let ca = Authority::new("ca");
    let closed = dialer().with_policy(AddressPolicy::public_on(443));
    for host in ["crm.example", "127.0.0.1", "[::ffff:127.0.0.1]", "2130706433"] {
        let (port, unvisited) = unvisited().await;
        let error = get(&closed, &format!("https://{host}:{port}/"), &ca.pem()).await.unwrap_err();
        assert!(error.contains("a loopback address"), "{host}: {error}");
        assert!(unvisited.await, "{host} was dialed");
    }
    let port = https_server(ca.leaf("127.0.0.1"), BOTH, HELLO).await;
    assert_eq!(get(&dialer(), &format!("https://127.0.0.1:{port}/"), &ca.pem()).await.unwrap(), "hello");
}

/// What is listed is a place with its ports.
#[tokio::test]
async fn another_port_of_a_listed_address_is_refused_before_anything_is_dialed() {
    let ca = Authority::new("ca");
    let listed = https_server(ca.leaf("crm.example"), BOTH, HELLO).await;
    let policy = AddressPolicy::public_on(443).open_network("127.0.0.1/32", &[listed]).unwrap();
    let dialer = dialer().with_policy(policy);
    assert_eq!(get(&dialer, &format!("https://crm.example:{listed}/"), &ca.pem()).await.unwrap(), "hello");
    for host in ["crm.example", "127.0.0.1"] {
        let (port, unvisited) = unvisited().await;
        let error = get(&dialer, &format!("https://{host}:{port}/"), &ca.pem()).await.unwrap_err();
        assert!(error.contains(&format!("with port {port}")), "{host}: {error}");
        assert!(unvisited.await, "{host} was dialed");
        let params = PostgresParams {
            host: host.trim_matches(['[', ']']).into(),
            port,
            database: "d".into(),
            user: "u".into(),
            ca_bundle: Some(ca.pem()),
            server_name: None,
            allow_insecure_password: false,
        };
        let error = dialer
            .postgres(&params, &PostgresCredential::Password("x".into()))
            .await
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        assert!(error.contains(&format!("with port {port}")), "{host}: {error}");
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_an_order() {
    const AWAY: &str = "HTTP/1.1 302 Found\r\nlocation: https://evil.example/\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno";
    let ca = Authority::new("ca");
    let port = https_server(ca.leaf("crm.example"), BOTH, AWAY).await;
    assert_eq!(get(&dialer(), &format!("https://crm.example:{port}/"), &ca.pem()).await.unwrap(), "no");
}

#[tokio::test]
async fn a_name_without_address_is_told_by_name() {
    let error = get(&dialer(), "https://nowhere.example/", &Authority::new("ca").pem()).await.unwrap_err();
    assert!(error.starts_with("no address found for nowhere.example"), "{error}");
}
