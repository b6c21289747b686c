//! Logins to SQL Server: TLS both ways, refusals, and servers that send us on or cheat. The server is ours and says what a test tells it to;
//! TLS and the certificates are real.

mod support;
#[path = "support/tds.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod tds;

use connect::{AddressPolicy, DatabaseError, Dialer, Error, FixedNames, SqlServerKind, SqlServerParams, SqlServerSession, SqlServerValue};
use support::{Authority, Leaf};
use tds::{Manner, PASSWORD, Server};

fn dialer() -> Dialer {
    Dialer::new(AddressPolicy::unrestricted())
}

async fn start(leaf: &Leaf, manner: Manner) -> Server {
    Server::start(&leaf.certificate, &leaf.key, manner).await
}

async fn session(params: &SqlServerParams) -> SqlServerSession {
    dialer().sql_server(params, &PASSWORD.into()).await.unwrap_or_else(|error| panic!("{error}"))
}

async fn refusal(params: &SqlServerParams) -> Error {
    match dialer().sql_server(params, &PASSWORD.into()).await {
        Ok(_) => panic!("the login went through"),
        Err(error) => error,
    }
}

/// TDS turns the halves of each byte of the password and flips some of its bits.
fn holds_the_password(heard: &[u8]) -> bool {
    let hidden: Vec<u8> = PASSWORD.encode_utf16().flat_map(u16::to_le_bytes).map(|byte| byte.rotate_left(4) ^ 0xA5).collect();
    heard.windows(hidden.len()).any(|window| window == hidden)
}

fn holds(heard: &[u8], text: &str) -> bool {
    let text: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    heard.windows(text.len()).any(|window| window == text)
}

#[tokio::test]
async fn both_ways_of_tls_are_verified_and_let_in() {
    let ca = Authority::new("ca");
    for strict in [false, true] {
        let server = start(&ca.leaf("127.0.0.1"), Manner { strict, ..Manner::default() }).await;
        let good = SqlServerParams { strict_encryption: strict, ..server.params(&ca.pem()) };
        let mut open = session(&good).await;
        assert_eq!(open.server_version, "16.0.4131");
        open.execute("SELECT 1").await.unwrap();
        // Control: what must not be heard elsewhere is heard here.
        let heard = server.heard();
        assert!(holds_the_password(&heard) && holds(&heard, "reader") && holds(&heard, "warehouse"), "strict: {strict}");

        let other = Authority::new("other").pem();
        let error = refusal(&SqlServerParams { ca_bundle: Some(other), ..good.clone() }).await;
        assert!(matches!(&error, Error::Tls { reason, .. } if reason.contains("tls.caBundle")), "{error}");
        let error = refusal(&SqlServerParams { server_name: Some("db.example".into()), ..good.clone() }).await;
        assert!(matches!(&error, Error::Tls { reason, .. } if reason.contains("db.example")), "{error}");
        assert_eq!(error.reason(), "TlsRefused");
        let closed = dialer().with_policy(AddressPolicy::public_on(1433)).sql_server(&good, &PASSWORD.into()).await;
        assert!(matches!(closed, Err(Error::AddressRefused { .. })));
        let nowhere = refusal(&SqlServerParams { port: 1, ..good }).await;
        assert!(matches!(nowhere, Error::Unreachable { .. }) && nowhere.is_transient(), "{nowhere}");
    }
}

#[tokio::test]
async fn nobody_who_is_not_verified_hears_a_login() {
    let ca = Authority::new("ca");
    for strict in [false, true] {
        for leaf in [ca.leaf("db.example"), ca.expired("127.0.0.1"), Authority::new("other").leaf("127.0.0.1")] {
            let server = start(&leaf, Manner { strict, ..Manner::default() }).await;
            let error = refusal(&SqlServerParams { strict_encryption: strict, ..server.params(&ca.pem()) }).await;
            assert!(matches!(&error, Error::Tls { .. }), "{error}");
            assert!(!holds(&server.heard(), "reader") && !holds_the_password(&server.heard()));
        }
        let server = start(&ca.leaf("db.example"), Manner { strict, ..Manner::default() }).await;
        let named = SqlServerParams { strict_encryption: strict, server_name: Some("db.example".into()), ..server.params(&ca.pem()) };
        session(&named).await;
        assert!(holds(&server.heard(), "reader"), "control: under its own name it hears the login");
    }
}

#[tokio::test]
async fn a_server_that_does_not_encrypt_the_session_hears_no_login() {
    let ca = Authority::new("ca");
    // Off: it would encrypt the login and nothing else. 2: there is none.
    for encryption in [0, 2] {
        let server = start(&ca.leaf("127.0.0.1"), Manner { encryption, ..Manner::default() }).await;
        let error = refusal(&server.params(&ca.pem())).await;
        assert!(matches!(&error, Error::SqlServerWithoutTls { .. }) && error.reason() == "TlsRefused", "{error}");
        assert!(!server.heard().is_empty() && !holds(&server.heard(), "reader") && !holds_the_password(&server.heard()));
    }
    // One that takes TLS inside of TDS only is no strict one, and the other way round.
    for strict in [false, true] {
        let server = start(&ca.leaf("127.0.0.1"), Manner { strict, ..Manner::default() }).await;
        let asked = SqlServerParams { strict_encryption: !strict, ..server.params(&ca.pem()) };
        let within = tokio::time::timeout(std::time::Duration::from_secs(2), dialer().sql_server(&asked, &PASSWORD.into())).await;
        assert!(!matches!(within, Ok(Ok(_))), "strict: {strict}");
        assert!(!holds_the_password(&server.heard()));
    }
}

#[tokio::test]
async fn a_refusal_is_told_with_its_number_and_whether_it_passes() {
    let ca = Authority::new("ca");
    let leaf = ca.leaf("127.0.0.1");
    for (number, words, passing) in [
        (18456, "Login failed for user 'reader'.", false),
        (4060, "Cannot open database \"warehouse\" requested by the login. The login failed.", false),
        (40613, "Database 'warehouse' on server 'erp' is not currently available.", true),
        (18401, "Server is in script upgrade mode.", true),
    ] {
        let server = start(&leaf, Manner { login: tds::error(number, words), ..Manner::default() }).await;
        let error = refusal(&server.params(&ca.pem())).await;
        assert_eq!(error.to_string(), format!("127.0.0.1:{} refused the login: {words} (error {number})", server.port));
        assert_eq!((error.reason(), error.is_transient()), ("LoginRefused", passing), "{number}");
    }
}

#[tokio::test]
async fn another_server_is_followed_to_once_where_it_may_be_dialed_and_under_its_own_name() {
    let ca = Authority::new("ca");
    let names = FixedNames::default()
        .with("gateway.example", ["127.0.0.1".parse().unwrap()])
        .with("worker.example", ["127.0.0.1".parse().unwrap()]);
    let names = std::sync::Arc::new(names);
    let dialer = |policy| Dialer::with_names(policy, names.clone());
    let gateway = async |port| {
        let login = tds::sent_on("worker.example", port);
        let server = start(&ca.leaf("gateway.example"), Manner { login, ..Manner::default() }).await;
        SqlServerParams { host: "gateway.example".into(), ..server.params(&ca.pem()) }
    };
    let worker = start(&ca.leaf("worker.example"), Manner::default()).await;
    let first = gateway(worker.port).await;
    let open = AddressPolicy::unrestricted();
    let followed = dialer(open.clone()).sql_server(&first, &PASSWORD.into()).await;
    followed.unwrap_or_else(|error| panic!("{error}")).execute("SELECT 1").await.unwrap();
    assert!(holds(&worker.heard(), "reader"));
    // The name that the first one goes by is not asked of the second.
    let by_name = SqlServerParams { server_name: Some("gateway.example".into()), ..first.clone() };
    assert!(dialer(open.clone()).sql_server(&by_name, &PASSWORD.into()).await.is_ok());

    // The Region lists the first and not the second.
    let only_first = AddressPolicy::public_on(1433).open_network("127.0.0.1/32", &[first.port]).unwrap();
    let error = dialer(only_first).sql_server(&first, &PASSWORD.into()).await.err().unwrap();
    assert!(matches!(&error, Error::SqlServerRoute { .. }) && error.reason() == "AddressRefused", "{error}");
    assert!(error.to_string().contains(&format!("sends us on to worker.example:{}, and there: ", worker.port)), "{error}");
    assert_eq!(connect::explain(&error), error.to_string(), "it is told once");

    let wrong = start(&ca.leaf("gateway.example"), Manner::default()).await;
    let error = dialer(open.clone()).sql_server(&gateway(wrong.port).await, &PASSWORD.into()).await.err().unwrap();
    assert_eq!(error.reason(), "TlsRefused", "{error}");
    assert!(!holds(&wrong.heard(), "reader") && !holds_the_password(&wrong.heard()));

    let again = start(&ca.leaf("worker.example"), Manner { login: tds::sent_on("worker.example", worker.port), ..Manner::default() }).await;
    let error = dialer(open).sql_server(&gateway(again.port).await, &PASSWORD.into()).await.err().unwrap();
    assert!(matches!(&error, Error::SqlServerRoutes { .. }) && error.reason() == "RedirectRefused", "{error}");
}

#[tokio::test]
async fn columns_and_values_come_in_words_of_our_own() {
    let ca = Authority::new("ca");
    let metadata = tds::columns(&[("id", tds::INT), ("name", tds::NVARCHAR), ("bytes", &[0xA5, 10, 0])]);
    let rows = [tds::row(&[&tds::int(1), &tds::nvarchar("Zoë 🛫"), &[1, 0, 0xFF]]), tds::row(&[&[0], &[0xFF, 0xFF], &[0xFF, 0xFF]])];
    let answer = [metadata.clone(), rows.concat(), tds::done()].concat();
    let both = [metadata, rows[0].clone(), tds::done_and_more(), tds::columns(&[("x", tds::INT)]), tds::done()].concat();
    for (answer, count, another) in [(answer, 2, false), (both, 1, true), (tds::done(), 0, false)] {
        let server = start(&ca.leaf("127.0.0.1"), Manner { answers: vec![answer], ..Manner::default() }).await;
        let mut rows = session(&server.params(&ca.pem())).await.rows("SELECT * FROM t").await.unwrap();
        let kinds: Vec<_> = rows.columns().iter().map(|column| (column.name.clone(), column.kind)).collect();
        if count > 0 {
            use SqlServerKind::{Binary, Integer, Text};
            assert_eq!(kinds, [("id".to_owned(), Integer), ("name".to_owned(), Text), ("bytes".to_owned(), Binary)]);
        } else {
            assert_eq!(kinds, []);
        }
        let mut found = 0;
        while let Some(row) = rows.next().await.unwrap() {
            let cells: Vec<_> = row.cells().collect();
            use SqlServerValue::{Binary, Integer, Null, Text};
            let expected = if found == 0 { [Integer(1), Text("Zoë 🛫"), Binary(&[0xFF])] } else { [Null, Null, Null] };
            assert_eq!(cells, expected);
            found += 1;
        }
        assert!(rows.next().await.unwrap().is_none());
        assert_eq!((found, rows.has_another()), (count, another));
        assert!(holds(&server.heard(), "SELECT * FROM t"));
    }
}

#[tokio::test]
async fn an_answer_without_an_end_ends_the_session() {
    let ca = Authority::new("ca");
    let leaf = ca.leaf("127.0.0.1");
    // A text that never ends: its length is unknown, and each piece has a kilobyte.
    let begun = [tds::columns(&[("text", tds::NVARCHAR_MAX)]), vec![0xD1], vec![0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]].concat();
    let piece = [&1024_u32.to_le_bytes()[..], &[b'x'; 1024]].concat();
    let manner = Manner { answers: vec![begun], endless: piece.repeat(64), ..Manner::default() };
    let server = start(&leaf, manner).await;
    let mut rows = session(&server.params(&ca.pem())).await.rows("SELECT text FROM t").await.unwrap();
    let error = rows.next().await.err().unwrap();
    assert!(
        matches!(&error, DatabaseError::Ended(Error::SqlServerProtocol { reason, .. }) if reason.contains("more than 20 MiB")),
        "{error:?}"
    );
    // Rows without an end are what a query is.
    let answer = [tds::columns(&[("id", tds::INT)]), tds::row(&[&tds::int(7)])].concat();
    let manner = Manner { answers: vec![answer], endless: tds::row(&[&tds::int(7)]).repeat(4_000), ..Manner::default() };
    let server = start(&leaf, manner).await;
    let mut rows = session(&server.params(&ca.pem())).await.rows("SELECT id FROM t").await.unwrap();
    for _ in 0..100_000 {
        assert!(rows.next().await.unwrap().is_some());
    }
    // A login that does not come to its end.
    let login = [tds::information(&"x".repeat(20_000)).repeat(60), tds::let_in()].concat();
    let server = start(&leaf, Manner { login, ..Manner::default() }).await;
    let error = refusal(&server.params(&ca.pem())).await;
    assert!(matches!(&error, Error::SqlServerProtocol { reason, .. } if reason.contains("before it has let us in")), "{error}");
    let login = [tds::information(&"x".repeat(20_000)).repeat(20), tds::let_in()].concat();
    let server = start(&leaf, Manner { login, ..Manner::default() }).await;
    session(&server.params(&ca.pem())).await;
}
