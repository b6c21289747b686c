//! The way through an HTTP proxy: a real one, and proxies that answer badly.

#[path = "support/mod.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod support;
#[path = "support/tinyproxy.rs"]
mod tinyproxy;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use connect::{
    AddressPolicy, Dialer, Error, FixedNames, HttpsOptions, MySqlParams, PostgresCredential, PostgresParams, Proxy, ProxyLogin,
    ProxyParams, Trust, diagnose,
};
use reqwest::Method;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use support::{Authority, Leaf};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::tinyproxy::{PASSWORD, Tinyproxy, USER};

const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";

/// Says hello over TLS, whatever it is asked.
async fn server(leaf: Leaf) -> u16 {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(leaf.key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(rustls::ALL_VERSIONS)
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
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(HELLO.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        }
    });
    port
}

/// What a proxy of our own does with a request, whose head it tells.
#[derive(Clone, Copy)]
enum Answer {
    Bytes(&'static [u8]),
    /// One header without an end.
    Endless,
    Silence,
    /// Opens the way to this port of loopback, whatever host was asked for: it has name servers of its own.
    Way(u16),
}

async fn proxy_that(answer: Answer) -> (String, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (told, asked) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, answer, told.clone()));
        }
    });
    (url, asked)
}

async fn serve(mut stream: TcpStream, answer: Answer, told: mpsc::UnboundedSender<String>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let _ = told.send(String::from_utf8(head).unwrap());
    match answer {
        Answer::Bytes(bytes) => {
            let _ = stream.write_all(bytes).await;
        }
        Answer::Endless => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").await;
            while stream.write_all(&[b'a'; 1024]).await.is_ok() {}
        }
        Answer::Silence => tokio::time::sleep(Duration::from_secs(600)).await,
        Answer::Way(port) => {
            let mut target = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await;
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut target).await;
        }
    }
}

fn said(url: &str, no_proxy: &[&str]) -> Proxy {
    let no_proxy = no_proxy.iter().map(|entry| (*entry).to_owned()).collect();
    Proxy::new(&ProxyParams { url: url.to_owned(), no_proxy, login: None }).unwrap()
}

/// A dialer that reaches everything, through this proxy.
fn behind(proxy: Proxy) -> Dialer {
    Dialer::with_names(AddressPolicy::unrestricted(), Arc::new(FixedNames::default())).through(Some(proxy))
}

/// One as workers have it, whose name servers know these names.
fn guarded(policy: AddressPolicy, proxy: Proxy, names: &[(&str, &str)]) -> Dialer {
    let names = names.iter().fold(FixedNames::default(), |names, (name, address)| names.with(name, [address.parse::<IpAddr>().unwrap()]));
    Dialer::with_names(policy, Arc::new(names)).through(Some(proxy))
}

async fn get(dialer: &Dialer, url: &str, ca: &Authority) -> Result<String, (&'static str, String, bool)> {
    let told = |error: &(dyn std::error::Error + 'static)| {
        let found = diagnose(error);
        (found.reason, found.text, found.transient)
    };
    let client = dialer.https(HttpsOptions { trust: Trust::Only(&ca.pem()) }).map_err(|error| told(&error))?;
    let request = client.request(Method::GET, url.parse().unwrap()).map_err(|error| told(&error))?;
    request.send().await.map_err(|error| told(&error))?.text().await.map_err(|error| told(&error))
}

fn database(host: &str, port: u16) -> (PostgresParams, PostgresCredential) {
    let (host, database, user) = (host.into(), "d".into(), "u".into());
    let params = PostgresParams { host, port, database, user, ca_bundle: None, server_name: None, allow_insecure_password: false };
    (params, PostgresCredential::Password("hush".into()))
}

async fn refused_by(proxy: Proxy) -> Error {
    let (params, credential) = database("db.example", 5432);
    behind(proxy).postgres(&params, &credential).await.map(drop).unwrap_err()
}

#[tokio::test]
async fn a_server_is_reached_through_the_proxy_and_its_certificate_is_still_for_it() {
    let (ca, proxy) = (Authority::new("ca"), Tinyproxy::start());
    let port = server(ca.leaf("127.0.0.1")).await;
    let url = format!("https://127.0.0.1:{port}/");
    assert_eq!(get(&behind(proxy.proxy(&[], None)), &url, &ca).await.unwrap(), "hello");
    assert_eq!(proxy.asked_for(port), 1, "{}", proxy.log());

    let past = behind(proxy.proxy(&["127.0.0.0/8"], None));
    assert_eq!(get(&past, &url, &ca).await.unwrap(), "hello");
    assert_eq!(proxy.asked_for(port), 1, "noProxy names it: {}", proxy.log());

    let other = server(ca.leaf("other.example")).await;
    let (reason, text, _) = get(&behind(proxy.proxy(&[], None)), &format!("https://127.0.0.1:{other}/"), &ca).await.unwrap_err();
    assert!(reason == "TlsRefused" && text.contains("other.example"), "{reason} {text}");
    assert_eq!(proxy.asked_for(other), 1, "what TLS refuses is not asked for again: {}", proxy.log());
    let stranger = Authority::new("stranger");
    let (reason, text, _) = get(&behind(proxy.proxy(&[], None)), &url, &stranger).await.unwrap_err();
    assert!(reason == "TlsRefused" && text.contains("signed by nobody we trust"), "{reason} {text}");
}

#[tokio::test]
async fn a_proxy_gets_its_login_and_a_wrong_one_is_told_without_it() {
    let (ca, proxy) = (Authority::new("ca"), Tinyproxy::with_login());
    let port = server(ca.leaf("127.0.0.1")).await;
    let url = format!("https://127.0.0.1:{port}/");
    assert_eq!(get(&behind(proxy.proxy(&[], Some((USER, PASSWORD)))), &url, &ca).await.unwrap(), "hello");
    for (login, way_out) in [(None, "put one into a Secret"), (Some((USER, "wrong-horse")), "correct username and password")] {
        let (reason, text, transient) = get(&behind(proxy.proxy(&[], login)), &url, &ca).await.unwrap_err();
        assert!(reason == "ProxyRefused" && !transient, "{reason} {text}");
        let named = [&format!("127.0.0.1:{}", proxy.port), "(40", "egress.proxy.secretName", way_out];
        assert!(named.iter().all(|part| text.contains(*part)) && !text.contains("horse"), "{text}");
    }
}

/// The proxy finds the name; ours know nothing of it.
#[tokio::test]
async fn a_name_is_given_to_the_proxy_as_it_is_and_no_variable_of_the_environment_counts() {
    let ca = Authority::new("ca");
    let port = server(ca.leaf("crm.example")).await;
    let (url, mut asked) = proxy_that(Answer::Way(port)).await;
    let dialer = guarded(AddressPolicy::public_on(443), said(&url, &[]), &[]);
    assert_eq!(get(&dialer, "https://CRM.example/", &ca).await.unwrap(), "hello");
    let head = asked.recv().await.unwrap();
    assert!(head.starts_with("CONNECT crm.example:443 HTTP/1.1\r\nHost: crm.example:443\r\n"), "{head}");
    assert!(!head.to_lowercase().contains("authorization"), "{head}");
}

/// Set for the whole process, which is why this test begins itself anew as another.
#[test]
fn variables_of_the_environment_lead_nowhere() {
    const CHILD: &str = "PROXY_TEST_CHILD";
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let ca = Authority::new("ca");
        let port = server(ca.leaf("127.0.0.1")).await;
        if std::env::var_os(CHILD).is_some() {
            let dialer = Dialer::new(AddressPolicy::unrestricted());
            assert_eq!(get(&dialer, &format!("https://127.0.0.1:{port}/"), &ca).await.unwrap(), "hello");
            return;
        }
        let (url, mut asked) = proxy_that(Answer::Bytes(b"HTTP/1.1 403 No\r\n\r\n")).await;
        let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
        child
            .args(["--exact", "variables_of_the_environment_lead_nowhere"])
            .env(CHILD, "yes")
            .env_remove("NO_PROXY")
            .env_remove("no_proxy");
        for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
            child.env(name, &url);
        }
        let ended = child.output().await.unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
        assert!(asked.try_recv().is_err(), "the proxy was asked");
    });
}

#[tokio::test]
async fn each_bad_answer_is_told_with_the_proxy_the_target_and_the_way_out() {
    let cases: [(&'static [u8], &str, bool, &str); 9] = [
        (b"HTTP/1.1 403 Forbidden\r\n\r\nhush", "ProxyRefused", false, "have it allow CONNECT"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "Unreachable", true, "does not reach the host (502)"),
        (b"HTTP/1.0 503 Service Unavailable\r\n\r\n", "Unreachable", true, "does not reach the host (503)"),
        (b"HTTP/1.1 301 Moved\r\nLocation: http://evil.example/\r\n\r\n", "ProxyRefused", false, "answered CONNECT with 301"),
        (b"HTTP/1.1 405 Method Not Allowed\r\n\r\n", "ProxyRefused", false, "takes CONNECT"),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", "ProxyRefused", false, "none of an HTTP proxy"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "ProxyRefused", false, "none of an HTTP proxy"),
        (b"HTTP/1.1 200 Connection esta", "Unreachable", true, "closed the connection"),
        (b"", "Unreachable", true, "closed the connection"),
    ];
    let ca = Authority::new("ca");
    for (answer, reason, transient, way_out) in cases {
        let (url, _asked) = proxy_that(Answer::Bytes(answer)).await;
        let error = refused_by(said(&url, &[])).await;
        let (database, by_https) = (
            (error.reason(), error.to_string(), error.is_transient()),
            get(&behind(said(&url, &[])), "https://db.example:5432/", &ca).await.unwrap_err(),
        );
        assert_eq!(database, by_https, "both ways tell the same");
        let (said_reason, text, said_transient) = by_https;
        assert_eq!((said_reason, said_transient), (reason, transient), "{text}");
        let proxy = url.strip_prefix("http://").unwrap();
        assert!([proxy, "db.example:5432", way_out].iter().all(|part| text.contains(part)), "{text}");
        assert!(!text.contains("hush") && !text.contains("evil"), "{text}");
    }
}

#[tokio::test]
async fn a_head_without_an_end_is_ended_by_us() {
    let (url, _asked) = proxy_that(Answer::Endless).await;
    let began = Instant::now();
    let error = refused_by(said(&url, &[])).await;
    assert!(error.to_string().contains("its head does not end"), "{error}");
    let (reason, text, _) = get(&behind(said(&url, &[])), "https://db.example/", &Authority::new("ca")).await.unwrap_err();
    assert!(reason == "ProxyRefused" && text.contains("its head does not end"), "{text}");
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_proxy_that_says_nothing_is_given_up_and_may_be_tried_again() {
    let (url, _asked) = proxy_that(Answer::Silence).await;
    let (ca, client) = (Authority::new("ca"), behind(said(&url, &[])));
    let (database, https) = tokio::join!(refused_by(said(&url, &[])), get(&client, "https://db.example/", &ca));
    let (reason, text, transient) = https.unwrap_err();
    for (reason, text, transient) in [(database.reason(), database.to_string(), database.is_transient()), (reason, text, transient)] {
        assert!(reason == "Unreachable" && transient && text.contains("did not open the way within 10 s"), "{reason} {text}");
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_named_with_the_values_to_check() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for url in [format!("http://127.0.0.1:{port}"), "http://proxy.example:3128".to_owned()] {
        let error = refused_by(said(&url, &[])).await;
        let (reason, text, transient) = get(&behind(said(&url, &[])), "https://db.example:5432/", &Authority::new("ca")).await.unwrap_err();
        assert_eq!((reason, &text, transient), ("Unreachable", &error.to_string(), true));
        assert!(text.contains(url.strip_prefix("http://").unwrap()) && text.contains("egress.proxy.url"), "{text}");
    }
}

/// Nobody behind the proxy is asked about what it could reach and we must not.
#[tokio::test]
async fn what_must_not_be_dialed_is_not_handed_to_the_proxy() {
    let ca = Authority::new("ca");
    let (url, mut asked) = proxy_that(Answer::Bytes(b"HTTP/1.1 403 No\r\n\r\n")).await;
    let policy = AddressPolicy::public_on(443).open_network("10.1.2.0/24", &[443]).unwrap();
    let names = [
        ("inner.example", "10.9.9.9"),
        ("listed.example", "10.1.2.3"),
        ("meta.example", "169.254.169.254"),
        ("past.example", "13.108.0.1"),
    ];
    let dialer = guarded(policy.clone(), said(&url, &["past.example"]), &names);
    for (target, reason, way_out) in [
        ("10.0.0.1", "AddressRefused", "privateEndpoints"),
        ("169.254.169.254", "AddressRefused", "privateEndpoints"),
        ("2130706433", "AddressRefused", "privateEndpoints"),
        ("inner.example", "AddressRefused", "privateEndpoints"),
        ("meta.example", "AddressRefused", "privateEndpoints"),
        ("listed.example", "AddressRefused", "egress.proxy.noProxy"),
        ("past.example", "AddressRefused", "take the host out of egress.proxy.noProxy"),
        ("crm.example:8443", "PortRefused", "egress.proxy.noProxy"),
        ("kubernetes.default.svc", "HostNotFound", "not among the fixed names"),
    ] {
        let (said_reason, text, _) = get(&dialer, &format!("https://{target}/"), &ca).await.unwrap_err();
        assert!(said_reason == reason && text.contains(way_out), "{target}: {said_reason} {text}");
    }
    let of_databases = guarded(AddressPolicy::public_on(5432), said(&url, &[]), &names);
    for host in ["127.1", "10.0.0.1", "inner.example", "db.example\r\nX: y", "169%2e254.169.254"] {
        let (params, credential) = database(host, 5432);
        let error = of_databases.postgres(&params, &credential).await.map(drop).unwrap_err();
        assert!(["AddressRefused", "HostNotFound", "TrustUnusable"].contains(&error.reason()), "{host:?}: {error}");
    }
    assert!(asked.try_recv().is_err(), "the proxy was asked");
    // Control.
    assert!(get(&dialer, "https://crm.example/", &ca).await.unwrap_err().1.contains("(403)"));
    assert!(asked.try_recv().unwrap().starts_with("CONNECT crm.example:443 "));
}

#[tokio::test]
async fn a_private_endpoint_is_dialed_past_the_proxy() {
    let ca = Authority::new("ca");
    let port = server(ca.leaf_for(&["127.0.0.1", "db.example"])).await;
    let (url, mut asked) = proxy_that(Answer::Bytes(b"HTTP/1.1 403 No\r\n\r\n")).await;
    let policy = AddressPolicy::public_on(443).open_network("127.0.0.1/32", &[port]).unwrap();
    let dialer = guarded(policy, said(&url, &["db.example"]), &[("db.example", "127.0.0.1")]);
    for host in ["127.0.0.1", "db.example"] {
        assert_eq!(get(&dialer, &format!("https://{host}:{port}/"), &ca).await.unwrap(), "hello", "{host}");
    }
    assert!(asked.try_recv().is_err(), "the proxy was asked");
}

/// Its greeting comes with the proxy's answer, and nobody but the client may take it.
#[tokio::test]
async fn a_server_that_speaks_first_is_heard() {
    let (url, mut asked) = proxy_that(Answer::Bytes(b"HTTP/1.1 200 OK\r\nVia: 1.1 proxy\r\n\r\nSSH-2.0-Nobody\r\n")).await;
    let params = connect::SftpParams { host: "files.example".into(), port: 22, user: "u".into(), host_keys: Vec::new(), directory: None };
    let files = behind(said(&url, &[])).sftp(&params, &connect::SftpLogin::Password("hush".into()));
    let error = files.verify().await.unwrap_err();
    assert!(asked.recv().await.unwrap().starts_with("CONNECT files.example:22 "));
    assert!(!matches!(error, Error::ProxyRefused { .. }), "{error}");
    assert!(!error.to_string().contains("banner") && !error.to_string().contains("did not answer"), "its greeting was taken away: {error}");
}

#[tokio::test]
async fn mysql_says_that_it_knows_no_proxy() {
    let (url, mut asked) = proxy_that(Answer::Bytes(b"HTTP/1.1 403 No\r\n\r\n")).await;
    let params =
        MySqlParams { host: "db.example".into(), port: 3306, database: "d".into(), user: "u".into(), ca_bundle: None, server_name: None };
    let error = behind(said(&url, &[])).mysql(&params, &"hush".into()).await.map(drop).unwrap_err();
    assert!(error.reason() == "ProxyRefused" && error.to_string().contains("egress.proxy.noProxy"), "{error}");
    assert!(asked.try_recv().is_err(), "the proxy was asked");
}

/// The same login for both ways of asking.
#[tokio::test]
async fn the_login_is_one_header_of_connect_and_of_nothing_else() {
    let ca = Authority::new("ca");
    let port = server(ca.leaf("crm.example")).await;
    let (url, mut asked) = proxy_that(Answer::Way(port)).await;
    let login = Some(ProxyLogin { user: "Aladdin".into(), password: "open sesame".into() });
    let dialer = behind(Proxy::new(&ProxyParams { url, no_proxy: Vec::new(), login }).unwrap());
    get(&dialer, "https://crm.example/", &ca).await.unwrap();
    let (params, credential) = database("crm.example", 5432);
    let _ = tokio::time::timeout(Duration::from_secs(1), dialer.postgres(&params, &credential)).await;
    for target in ["crm.example:443", "crm.example:5432"] {
        let head = asked.recv().await.unwrap();
        assert!(head.starts_with(&format!("CONNECT {target} ")), "{head}");
        assert_eq!(head.to_lowercase().matches("proxy-authorization: basic qwxhzgrpbjpvcgvuihnlc2ftzq==\r\n").count(), 1, "{head}");
    }
}
