//! PostgreSQL logins against a real server (Debian package `postgresql`) with TLS, and against servers that cheat.

mod support;
#[path = "support/tinyproxy.rs"]
#[allow(dead_code, reason = "another test uses the rest of it")]
mod tinyproxy;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use std::sync::Arc;

use bytes::Bytes;
use connect::{AddressPolicy, Dialer, Error, PostgresCredential, PostgresParams};
use futures::TryStreamExt;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use support::{Authority, Leaf};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

const PASSWORD: &str = "correct horse";

/// A cluster of one server; stopped and removed when dropped.
struct Server {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
}

impl Server {
    fn start(leaf: &Leaf) -> Self {
        Self::trusting(&Authority::new("clients"), leaf)
    }

    /// One that lets in whom `clients` certifies.
    fn trusting(clients: &Authority, leaf: &Leaf) -> Self {
        let folder = tempfile::Builder::new().prefix("pg-").tempdir_in("/tmp").unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { folder, programs: programs(), port };
        fs::write(server.path("password"), PASSWORD).unwrap();
        server.give_away(&[""]);
        let password = format!("--pwfile={}", server.path("password").display());
        server.run("initdb", &["-D", &server.data(), "-U", "reader", "-A", "scram-sha-256", "--no-sync", &password]);
        fs::write(server.path("data/server.crt"), leaf.certificate.pem()).unwrap();
        fs::write(server.path("data/server.key"), leaf.key.serialize_pem()).unwrap();
        fs::set_permissions(server.path("data/server.key"), fs::Permissions::from_mode(0o600)).unwrap();
        let rules = [("clear", "password"), ("old", "md5"), ("certified", "cert"), ("all", "scram-sha-256")];
        let rules = rules.map(|(user, method)| format!("hostssl all {user} 127.0.0.1/32 {method}\n"));
        fs::write(server.path("data/pg_hba.conf"), rules.concat()).unwrap();
        fs::write(server.path("data/clients.crt"), clients.pem()).unwrap();
        server.give_away(&["data/server.crt", "data/server.key", "data/clients.crt"]);
        let options = format!(
            "-c listen_addresses=127.0.0.1 -c port={port} -c ssl=on -c ssl_ca_file=clients.crt -c fsync=off -k {}",
            server.folder.path().display()
        );
        let log = server.path("log").display().to_string();
        server.run("pg_ctl", &["-D", &server.data(), "-l", &log, "-o", &options, "-w", "start"]);
        server
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn data(&self) -> String {
        self.path("data").display().to_string()
    }

    /// PostgreSQL refuses to run as root, and wants its files to be its own.
    fn give_away(&self, names: &[&str]) {
        if is_root() {
            let paths = names.iter().map(|name| self.path(name));
            assert!(Command::new("chown").arg("postgres:").args(paths).status().unwrap().success());
        }
    }

    fn try_run(&self, program: &str, arguments: &[&str]) -> Output {
        let program = self.programs.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.args(arguments).current_dir(self.folder.path()).output().unwrap()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let output = self.try_run(program, arguments);
        let text = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&text));
    }

    fn params(&self, ca: &str) -> PostgresParams {
        PostgresParams { host: "127.0.0.1".into(), ..params(self.port, ca) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.try_run("pg_ctl", &["-D", &self.data(), "-m", "immediate", "-w", "stop"]);
    }
}

fn programs() -> PathBuf {
    let found = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
    let newest = found.filter(|folder| folder.join("initdb").exists()).max();
    newest.expect("this test needs PostgreSQL: apt-get install postgresql")
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(Path::new("/proc/self")).unwrap().uid() == 0
}

fn params(port: u16, ca: &str) -> PostgresParams {
    PostgresParams {
        host: "127.0.0.1".into(),
        port,
        database: "postgres".into(),
        user: "reader".into(),
        ca_bundle: Some(ca.to_owned()),
        server_name: None,
        allow_insecure_password: false,
    }
}

fn dialer() -> Dialer {
    Dialer::new(AddressPolicy::public_on(5432).open_network("127.0.0.0/8", &[]).unwrap())
}

fn password(text: &str) -> PostgresCredential {
    PostgresCredential::Password(text.into())
}

async fn refusal(params: &PostgresParams, password: &str) -> Error {
    match dialer().postgres(params, &self::password(password)).await {
        Ok(_) => panic!("this login must not succeed"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_database_is_reached_through_a_proxy_and_verified_as_ever() {
    let (ca, proxy) = (Authority::new("ca"), tinyproxy::Tinyproxy::with_login());
    let server = Server::start(&ca.leaf("127.0.0.1"));
    let login = Some((tinyproxy::USER, tinyproxy::PASSWORD));
    let through = |no_proxy: &[&str]| Dialer::new(AddressPolicy::unrestricted()).through(Some(proxy.proxy(no_proxy, login)));
    let good = server.params(&ca.pem());
    for (dialer, asked) in [(through(&[]), 1), (through(&["127.0.0.1"]), 1)] {
        let session = dialer.postgres(&good, &password(PASSWORD)).await.unwrap_or_else(|e| panic!("{e}"));
        let copy = session.copy_out("copy (select ssl from pg_stat_ssl where pid = pg_backend_pid()) to stdout").await.unwrap();
        assert_eq!(copy.try_collect::<Vec<Bytes>>().await.unwrap().concat(), b"t\n");
        assert_eq!(proxy.asked_for(server.port), asked, "{}", proxy.log());
    }
    let strange = PostgresParams { ca_bundle: Some(Authority::new("other").pem()), ..good };
    let error = through(&[]).postgres(&strange, &password(PASSWORD)).await.map(drop).unwrap_err();
    assert!(matches!(&error, Error::Tls { reason, .. } if reason.contains("tls.caBundle")), "{error}");
}

#[tokio::test]
async fn logins_to_a_real_server_are_encrypted_verified_and_tied_to_the_session() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca.leaf("127.0.0.1"));
    let good = server.params(&ca.pem());

    let session = dialer().postgres(&good, &password(PASSWORD)).await.unwrap_or_else(|e| panic!("{e}"));
    assert!(session.server_version.starts_with(|c: char| c.is_ascii_digit()), "{}", session.server_version);
    let copy = session.copy_out("copy (select ssl, version from pg_stat_ssl where pid = pg_backend_pid()) to stdout").await.unwrap();
    let row: Vec<Bytes> = copy.try_collect().await.unwrap();
    assert_eq!(row.concat(), b"t\tTLSv1.3\n");

    // The server itself lets nobody in without TLS, so what went in above was encrypted.
    let mut clear = tokio_postgres::Config::new();
    clear.host("127.0.0.1").port(server.port).user("reader").password(PASSWORD).dbname("postgres");
    assert!(clear.connect(tokio_postgres::NoTls).await.is_err());

    let error = refusal(&good, "wrong pass phrase").await;
    assert!(matches!(&error, Error::PostgresRefused { code, .. } if code == "28P01"), "{error}");
    assert!(!error.to_string().contains("wrong pass phrase") && !error.is_transient());

    let error = refusal(&PostgresParams { database: "nowhere".into(), ..good.clone() }, PASSWORD).await;
    assert!(matches!(&error, Error::PostgresRefused { code, .. } if code == "3D000"), "{error}");

    let error = refusal(&PostgresParams { ca_bundle: Some(Authority::new("other").pem()), ..good.clone() }, PASSWORD).await;
    assert!(matches!(&error, Error::Tls { reason, .. } if reason.contains("tls.caBundle")), "{error}");

    let error = refusal(&PostgresParams { server_name: Some("db.example".into()), ..good.clone() }, PASSWORD).await;
    assert!(matches!(&error, Error::Tls { reason, .. } if reason.contains("db.example")), "{error}");

    let closed = dialer().with_policy(AddressPolicy::public_on(5432)).postgres(&good, &password(PASSWORD)).await;
    assert!(matches!(closed, Err(Error::AddressRefused { .. })));
}

fn certified(leaf: &Leaf) -> PostgresCredential {
    PostgresCredential::ClientCertificate { certificates: leaf.certificate.pem().into(), key: leaf.key.serialize_pem().into() }
}

#[tokio::test]
async fn a_client_certificate_logs_in_the_role_that_it_names_and_nobody_else() {
    let (ca, clients) = (Authority::new("ca"), Authority::new("clients"));
    let server = Server::trusting(&clients, &ca.leaf("127.0.0.1"));
    let reader = server.params(&ca.pem());
    let admin = dialer().postgres(&reader, &password(PASSWORD)).await.unwrap_or_else(|e| panic!("{e}"));
    admin.execute("CREATE ROLE certified LOGIN").await.unwrap();
    let params = PostgresParams { user: "certified".into(), ..reader.clone() };
    let named = clients.person("certified");
    let session = dialer().postgres(&params, &certified(&named)).await.unwrap_or_else(|e| panic!("{e}"));
    let copy =
        session.copy_out("copy (select current_user, client_dn from pg_stat_ssl where pid = pg_backend_pid()) to stdout").await.unwrap();
    let row: Vec<Bytes> = copy.try_collect().await.unwrap();
    assert_eq!(row.concat(), b"certified\t/CN=certified\n");

    let refused = async |params: &PostgresParams, credential: &PostgresCredential| {
        let error = dialer().postgres(params, credential).await.err().expect("this login must not succeed");
        assert!(!error.is_transient() && error.reason() == "LoginRefused", "{}: {error}", error.reason());
        error.to_string()
    };
    let said = refused(&params, &certified(&clients.person("somebody"))).await;
    assert!(said.contains("certificate authentication failed for user \"certified\""), "{said}");
    let said = refused(&params, &certified(&Authority::new("others").person("certified"))).await;
    assert!(said.contains("it does not take the client certificate (UnknownCA)"), "{said}");
    let said = refused(&params, &password(PASSWORD)).await;
    assert!(said.contains("connection requires a valid client certificate"), "{said}");
    // The server asks for more than the Connection has; and what it has is not of one piece.
    let said = refused(&reader, &certified(&named)).await;
    assert!(said.contains("it asks for a password, and the Connection has a client certificate"), "{said}");
    let mixed = PostgresCredential::ClientCertificate {
        certificates: named.certificate.pem().into(),
        key: clients.person("certified").key.serialize_pem().into(),
    };
    let said = refused(&params, &mixed).await;
    assert!(said.contains("do not belong together"), "{said}");
    for (certificates, key, expected) in [
        ("nonsense".to_owned(), named.key.serialize_pem(), "holds no certificate in PEM"),
        (named.certificate.pem(), "canary-7d1e".to_owned(), "is none in PEM without a passphrase"),
    ] {
        let broken = PostgresCredential::ClientCertificate { certificates: certificates.into(), key: key.into() };
        let said = refused(&params, &broken).await;
        assert!(said.contains(expected) && !said.contains("canary-7d1e"), "{said}");
    }
}

#[tokio::test]
async fn the_name_to_verify_may_be_another_than_the_host() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca.leaf("db.example"));
    let by_address = server.params(&ca.pem());
    assert!(matches!(refusal(&by_address, PASSWORD).await, Error::Tls { .. }));
    let by_name = PostgresParams { server_name: Some("db.example".into()), ..by_address };
    assert!(dialer().postgres(&by_name, &password(PASSWORD)).await.is_ok());
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca.expired("127.0.0.1"));
    let error = refusal(&server.params(&ca.pem()), PASSWORD).await;
    assert!(matches!(&error, Error::Tls { reason, .. } if reason.contains("expired")), "{error}");
}

#[tokio::test]
async fn a_server_that_wants_the_password_in_clear_or_as_md5_gets_none_unless_the_connection_says_so() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca.leaf("127.0.0.1"));
    let admin = dialer().postgres(&server.params(&ca.pem()), &password(PASSWORD)).await.unwrap_or_else(|e| panic!("{e}"));
    let roles = format!(
        "CREATE ROLE clear LOGIN PASSWORD '{PASSWORD}'; SET password_encryption = 'md5'; CREATE ROLE old LOGIN PASSWORD '{PASSWORD}'"
    );
    admin.execute(&roles).await.unwrap();
    for (user, how) in [("clear", "in clear"), ("old", "as MD5")] {
        let params = PostgresParams { user: user.into(), ..server.params(&ca.pem()) };
        let error = refusal(&params, PASSWORD).await;
        assert!(matches!(&error, Error::PostgresPassword { how: asked, .. } if *asked == how), "{error}");
        assert!(error.to_string().contains("scram-sha-256") && error.reason() == "InsecurePasswordRefused", "{error}");
        assert!(!error.is_transient());

        // The server is as it says: who takes the risk is let in.
        let risky = PostgresParams { allow_insecure_password: true, ..params };
        dialer().postgres(&risky, &password(PASSWORD)).await.unwrap_or_else(|e| panic!("control: {user}: {e}"));
        let wrong_name = PostgresParams { server_name: Some("db.example".into()), ..risky };
        assert!(matches!(refusal(&wrong_name, PASSWORD).await, Error::Tls { .. }), "even then only to the server that it is meant for");
    }
}

/// A server whose certificate is good, and whose words are not.
struct Hostile {
    params: PostgresParams,
    heard: tokio::task::JoinHandle<Vec<u8>>,
}

impl Hostile {
    /// Says `says` to the first client, then `again` and again, up to 256 MiB: what keeps them fails the test and not the machine.
    async fn start(says: Vec<u8>, again: Vec<u8>) -> Self {
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
        let port = listener.local_addr().unwrap().port();
        let heard = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 8];
            stream.read_exact(&mut request).await.unwrap();
            stream.write_all(b"S").await.unwrap();
            let stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await.unwrap();
            converse(stream, says, again).await
        });
        Self { params: params(port, &ca.pem()), heard }
    }

    /// What the login came to, and everything that the server heard inside TLS.
    async fn meet(self, allow: bool) -> (Result<String, Error>, Vec<u8>) {
        let params = PostgresParams { allow_insecure_password: allow, ..self.params };
        let outcome = dialer().postgres(&params, &password(PASSWORD)).await.map(|session| session.server_version.clone());
        (outcome, self.heard.await.unwrap())
    }
}

async fn converse(stream: TlsStream<TcpStream>, says: Vec<u8>, again: Vec<u8>) -> Vec<u8> {
    let (mut read, mut write) = tokio::io::split(stream);
    let talk = tokio::spawn(async move {
        write.write_all(&says).await?;
        for _ in 0..(256 << 20) / again.len().max(1 << 16) {
            write.write_all(&again).await?;
        }
        Ok::<_, std::io::Error>(write)
    });
    let mut heard = Vec::new();
    let _ = read.read_to_end(&mut heard).await;
    talk.abort();
    heard
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[tag][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat()
}

const CLEARTEXT: [u8; 4] = [0, 0, 0, 3];

#[tokio::test]
async fn a_hostile_server_with_a_good_certificate_hears_no_password() {
    let (outcome, heard) = Hostile::start(message(b'R', &CLEARTEXT), Vec::new()).await.meet(false).await;
    let holds = |heard: &[u8]| heard.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes());
    assert!(heard.windows(6).any(|window| window == b"reader"), "control: it heard who asks");
    assert!(!holds(&heard), "it heard the password");
    assert!(matches!(outcome, Err(Error::PostgresPassword { .. })), "{outcome:?}");

    let let_in = [message(b'R', &CLEARTEXT), message(b'R', &[0; 4]), message(b'Z', b"I")].concat();
    let (outcome, heard) = Hostile::start(let_in, Vec::new()).await.meet(true).await;
    assert!(outcome.is_ok() && holds(&heard), "control: who allows it is heard");
}

/// A line of this process' own memory, in bytes.
fn memory(line: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|text| text.strip_prefix(line)).unwrap();
    size.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[tokio::test]
async fn what_a_hostile_server_sends_is_not_kept() {
    let endless = |announced: u32| [&b"R"[..], &announced.to_be_bytes()].concat();
    let notice = message(b'N', &[b'x'; 60_000]);
    let setting: Vec<u8> = (0..10_000u32).flat_map(|number| message(b'S', format!("s{number}\0v\0").as_bytes())).collect();
    for (what, says, again) in [
        ("a message of 2 GiB", endless(i32::MAX as u32), vec![0; 65_536]),
        ("notices without end", message(b'R', &[0; 4]), notice),
        ("settings without end", message(b'R', &[0; 4]), setting),
    ] {
        // The peak starts anew.
        fs::write("/proc/self/clear_refs", "5").unwrap();
        let before = memory("VmRSS:");
        let (outcome, _) = Hostile::start(says, again).await.meet(false).await;
        let grown = memory("VmHWM:").saturating_sub(before);
        assert!(grown < 32 << 20, "{what}: {grown} bytes were kept");
        let error = outcome.expect_err(what);
        assert!(matches!(&error, Error::PostgresProtocol { reason, .. } if reason.contains("before it has let us in")), "{what}: {error}");
    }
}

/// Answers SSLRequest with `answer`, and tells everything that came.
async fn cheat(answer: &'static [u8]) -> (u16, tokio::task::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = vec![0; 8];
        stream.read_exact(&mut heard).await.unwrap();
        stream.write_all(answer).await.unwrap();
        let _ = stream.read_to_end(&mut heard).await;
        heard
    });
    (port, heard)
}

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

#[tokio::test]
async fn a_server_that_refuses_tls_hears_nothing_but_the_wish_for_it() {
    let (port, heard) = cheat(b"N").await;
    let error = refusal(&params(port, &Authority::new("ca").pem()), PASSWORD).await;
    assert!(matches!(error, Error::PostgresWithoutTls { .. }), "{error}");
    assert_eq!(heard.await.unwrap(), SSL_REQUEST);
}

#[tokio::test]
async fn a_server_that_agrees_to_tls_and_then_talks_in_clear_hears_no_password() {
    let (port, heard) = cheat(b"SR\0\0\0\x08\0\0\0\x03").await;
    let error = refusal(&params(port, &Authority::new("ca").pem()), PASSWORD).await;
    assert!(matches!(error, Error::Tls { .. } | Error::PostgresProtocol { .. }), "{error}");
    let heard = heard.await.unwrap();
    assert!(!heard.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes()));
    assert!(!heard.windows(6).any(|window| window == b"reader"), "not even the user's name may be sent in clear");
}
