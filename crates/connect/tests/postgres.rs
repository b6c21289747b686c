//! PostgreSQL logins against a real server (Debian package `postgresql`) with TLS, and against servers that cheat.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use connect::{AddressPolicy, Dialer, Error, PostgresParams};
use secrecy::SecretString;
use support::{Authority, Leaf};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const PASSWORD: &str = "correct horse";

/// A cluster of one server; stopped and removed when dropped.
struct Server {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
}

impl Server {
    fn start(leaf: &Leaf) -> Self {
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
        fs::write(server.path("data/pg_hba.conf"), "hostssl all all 127.0.0.1/32 scram-sha-256\n").unwrap();
        server.give_away(&["data/server.crt", "data/server.key"]);
        let options = format!("-c listen_addresses=127.0.0.1 -c port={port} -c ssl=on -c fsync=off -k {}", server.folder.path().display());
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
    }
}

fn dialer() -> Dialer {
    Dialer::new(AddressPolicy::public_only().open_network("127.0.0.0/8", &[]).unwrap())
}

async fn refusal(params: &PostgresParams, password: &str) -> Error {
    match dialer().postgres(params, &SecretString::from(password)).await {
        Ok(_) => panic!("this login must not succeed"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn logins_to_a_real_server_are_encrypted_verified_and_tied_to_the_session() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca.leaf("127.0.0.1"));
    let good = server.params(&ca.pem());

    let session = dialer().postgres(&good, &PASSWORD.into()).await.unwrap_or_else(|e| panic!("{e}"));
    assert!(session.server_version.starts_with(|c: char| c.is_ascii_digit()), "{}", session.server_version);
    let row = session.client.query_one("select ssl, version from pg_stat_ssl where pid = pg_backend_pid()", &[]).await.unwrap();
    assert!(row.get::<_, bool>(0));
    assert_eq!(row.get::<_, &str>(1), "TLSv1.3");

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

    let closed = dialer().with_policy(AddressPolicy::public_only()).postgres(&good, &PASSWORD.into()).await;
    assert!(matches!(closed, Err(Error::AddressRefused { .. })));
}

#[tokio::test]
async fn the_name_to_verify_may_be_another_than_the_host() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca.leaf("db.example"));
    let by_address = server.params(&ca.pem());
    assert!(matches!(refusal(&by_address, PASSWORD).await, Error::Tls { .. }));
    let by_name = PostgresParams { server_name: Some("db.example".into()), ..by_address };
    assert!(dialer().postgres(&by_name, &PASSWORD.into()).await.is_ok());
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca.expired("127.0.0.1"));
    let error = refusal(&server.params(&ca.pem()), PASSWORD).await;
    assert!(matches!(&error, Error::Tls { reason, .. } if reason.contains("expired")), "{error}");
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
