//! MySQL logins against a real MariaDB (Debian package `mariadb-server`) that lets nobody in without TLS, and against servers that cheat.

#[path = "support/mariadb.rs"]
mod mariadb;
mod support;

use std::sync::Arc;

use connect::{AddressPolicy, DatabaseError, Dialer, Error, MySqlKind, MySqlParams};
use mariadb::{MariaDb, PASSWORD};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use support::{Authority, Leaf};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

fn dialer() -> Dialer {
    Dialer::new(AddressPolicy::unrestricted())
}

fn start(leaf: &Leaf) -> MariaDb {
    MariaDb::start(&leaf.certificate.pem(), &leaf.key.serialize_pem())
}

async fn refusal(params: &MySqlParams, password: &str) -> Error {
    match dialer().mysql(params, &password.into()).await {
        Ok(_) => panic!("the login went through"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn logins_to_a_real_server_are_encrypted_and_verified() {
    let ca = Authority::new("ca");
    let server = start(&ca.leaf("127.0.0.1"));
    let good = server.params(&ca.pem());

    let mut session = dialer().mysql(&good, &PASSWORD.into()).await.unwrap_or_else(|e| panic!("{e}"));
    assert!(session.is_mariadb().await.unwrap() && session.server_version.starts_with("10."), "{}", session.server_version);
    let mut rows = session.rows("SHOW SESSION STATUS LIKE 'Ssl_version'").await.unwrap();
    let row = rows.next().await.unwrap().unwrap();
    assert_eq!(row.cells().nth(1), Some(Some(b"TLSv1.3".as_slice())));
    assert!(rows.next().await.unwrap().is_none() && rows.next().await.unwrap().is_none());

    let error = refusal(&good, "wrong pass phrase").await;
    assert!(matches!(&error, Error::MySqlRefused { code, .. } if code == "1045"), "{error}");
    assert!(!error.to_string().contains("wrong pass phrase") && !error.is_transient() && error.reason() == "LoginRefused");

    let error = refusal(&MySqlParams { database: "nowhere".into(), ..good.clone() }, PASSWORD).await;
    assert!(matches!(&error, Error::MySqlRefused { code, .. } if code == "1049"), "{error}");

    let error = refusal(&MySqlParams { ca_bundle: Some(Authority::new("other").pem()), ..good.clone() }, PASSWORD).await;
    assert!(matches!(&error, Error::Tls { reason, .. } if reason.contains("tls.caBundle")), "{error}");

    let error = refusal(&MySqlParams { server_name: Some("db.example".into()), ..good.clone() }, PASSWORD).await;
    assert!(matches!(&error, Error::Tls { reason, .. } if reason.contains("db.example")), "{error}");

    let closed = dialer().with_policy(AddressPolicy::public_on(3306)).mysql(&good, &PASSWORD.into()).await;
    assert!(matches!(closed, Err(Error::AddressRefused { .. })));
    let nowhere = refusal(&MySqlParams { port: 1, ..good }, PASSWORD).await;
    assert!(matches!(nowhere, Error::Unreachable { .. }) && nowhere.is_transient(), "{nowhere}");
}

#[tokio::test]
async fn the_name_to_verify_may_be_another_than_the_host_and_an_expired_certificate_is_refused() {
    let ca = Authority::new("ca");
    let server = start(&ca.leaf("db.example"));
    let by_address = server.params(&ca.pem());
    assert!(matches!(refusal(&by_address, PASSWORD).await, Error::Tls { .. }));
    let by_name = MySqlParams { server_name: Some("db.example".into()), ..by_address };
    assert!(dialer().mysql(&by_name, &PASSWORD.into()).await.is_ok());

    let expired = start(&ca.expired("127.0.0.1"));
    let error = refusal(&expired.params(&ca.pem()), PASSWORD).await;
    assert!(matches!(&error, Error::Tls { reason, .. } if reason.contains("expired")), "{error}");
}

#[tokio::test]
async fn columns_are_told_by_what_their_texts_are_and_one_statement_is_one() {
    let ca = Authority::new("ca");
    let server = start(&ca.leaf("127.0.0.1"));
    server.run(
        "CREATE TABLE t (a BIGINT UNSIGNED, b DECIMAL(30, 10), c DOUBLE, d FLOAT, e BIT(9), f DATE, g TIME(3), h DATETIME(6), i TIMESTAMP, \
         j VARCHAR(9), k LONGTEXT, l ENUM('x'), m SET('y'), n BLOB, o BINARY(3), p YEAR, q TINYINT(1), r CHAR(3) CHARACTER SET latin1, s JSON)",
    );
    let mut session = dialer().mysql(&server.params(&ca.pem()), &PASSWORD.into()).await.unwrap_or_else(|e| panic!("{e}"));
    let columns = session.columns("SELECT *, NULL AS t FROM t").await.unwrap();
    use MySqlKind as Kind;
    let expected = [
        Kind::Number,
        Kind::Number,
        Kind::Approximate,
        Kind::Approximate,
        Kind::Bit,
        Kind::Date,
        Kind::Time,
        Kind::DateTime,
        Kind::Timestamp,
        Kind::Text,
        Kind::Text,
        Kind::Choice,
        Kind::Choice,
        Kind::Binary,
        Kind::Binary,
        Kind::Number,
        Kind::Number,
        Kind::Text,
        Kind::Text,
        Kind::Text,
    ];
    for (column, kind) in columns.iter().zip(expected) {
        assert_eq!(column.kind, kind, "{}", column.name);
    }
    assert_eq!(columns.len(), expected.len());
    for query in ["SELECT 1; SELECT 2", "SELECT 1; DROP TABLE t"] {
        let error = session.columns(query).await.unwrap_err();
        assert!(matches!(&error, DatabaseError::Server { code, .. } if code == "1064"), "{error}");
    }
    assert_eq!(session.columns("DELETE FROM t").await.unwrap(), []);
}

/// A server whose certificate is good, and whose words are not: greets, lets in with TLS, and then says what it likes.
async fn hostile(says: Vec<Vec<u8>>) -> (MySqlParams, tokio::task::JoinHandle<Vec<u8>>) {
    let ca = Authority::new("ca");
    let leaf = ca.leaf("127.0.0.1");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(leaf.key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.certificate.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let params = MySqlParams {
        host: "127.0.0.1".into(),
        port: listener.local_addr().unwrap().port(),
        database: "warehouse".into(),
        user: "reader".into(),
        ca_bundle: Some(ca.pem()),
        server_name: None,
    };
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(&packet(0, &greeting(true))).await.unwrap();
        let mut wish = [0; 36];
        stream.read_exact(&mut wish).await.unwrap();
        let mut stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await.unwrap();
        let mut heard = Vec::new();
        let mut piece = [0; 4096];
        for answer in says {
            match stream.read(&mut piece).await {
                Ok(read @ 1..) => heard.extend_from_slice(&piece[..read]),
                _ => break,
            }
            if stream.write_all(&answer).await.is_err() {
                break;
            }
        }
        while let Ok(read @ 1..) = stream.read(&mut piece).await {
            heard.extend_from_slice(&piece[..read]);
        }
        heard
    });
    (params, heard)
}

fn packet(number: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_le_bytes();
    [&length[..3], &[number], body].concat()
}

/// Protocol 10, of a server that speaks `mysql_native_password`.
fn greeting(tls: bool) -> Vec<u8> {
    let flags: u32 = 0x000F_A20D | if tls { 0x800 } else { 0 } | 0x0008_8200;
    let flags = flags.to_le_bytes();
    let mut body = vec![10];
    body.extend_from_slice(b"8.0.36\0");
    body.extend_from_slice(&[1, 0, 0, 0]);
    body.extend_from_slice(b"12345678\0");
    body.extend_from_slice(&flags[..2]);
    body.extend_from_slice(&[45, 2, 0]);
    body.extend_from_slice(&flags[2..]);
    body.push(21);
    body.extend_from_slice(&[0; 10]);
    body.extend_from_slice(b"123456789012\0mysql_native_password\0");
    body
}

#[tokio::test]
async fn a_server_without_tls_hears_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(&packet(0, &greeting(false))).await.unwrap();
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard).await;
        heard
    });
    let params = MySqlParams {
        host: "127.0.0.1".into(),
        port,
        database: "warehouse".into(),
        user: "reader".into(),
        ca_bundle: Some(Authority::new("ca").pem()),
        server_name: None,
    };
    let error = refusal(&params, PASSWORD).await;
    assert!(matches!(&error, Error::MySqlWithoutTls { .. }), "{error}");
    assert_eq!(heard.await.unwrap(), b"");
}

#[tokio::test]
async fn a_hostile_server_with_a_good_certificate_hears_no_password_and_gets_no_file() {
    for plugin in ["mysql_clear_password", "mysql_old_password", "dialog"] {
        let switch = [&[0xFE], plugin.as_bytes(), b"\0", b"12345678901234567890\0"].concat();
        let (params, heard) = hostile(vec![packet(3, &switch)]).await;
        let error = refusal(&params, PASSWORD).await;
        assert!(matches!(&error, Error::MySqlPassword { .. }) && error.reason() == "InsecurePasswordRefused", "{plugin}: {error}");
        let heard = heard.await.unwrap();
        assert!(!contains(&heard, PASSWORD.as_bytes()), "{plugin}");
        assert!(contains(&heard, b"reader"), "control: the login is heard");
    }
    // It lets us in, and answers the first question with a wish for a file.
    let (params, heard) = hostile(vec![packet(3, &[0, 0, 0, 2, 0, 0, 0]), packet(1, b"\xFB/etc/passwd")]).await;
    let mut session = dialer().mysql(&params, &PASSWORD.into()).await.unwrap_or_else(|e| panic!("{e}"));
    let error = session.execute("SELECT 1").await.unwrap_err();
    assert!(matches!(&error, DatabaseError::Ended(Error::MySqlProtocol { reason, .. }) if reason.contains("asks for a file")), "{error}");
    drop(session);
    assert!(!contains(&heard.await.unwrap(), b"root:"));
}

fn contains(heard: &[u8], part: &[u8]) -> bool {
    heard.windows(part.len()).any(|window| window == part)
}
