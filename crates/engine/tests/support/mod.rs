//! A PostgreSQL server for one test, from the binaries of the Debian package: over TLS as a source reads it, and by its own socket as
//! its administrator sees it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use connect::{AddressPolicy, Dialer, PostgresCredential, PostgresParams};
use engine::source::Zoneless;
use engine::source::postgres::PostgresSource;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_postgres::{Client, NoTls};

const PASSWORD: &str = "correct horse";

pub(crate) struct Server {
    process: Child,
    directory: tempfile::TempDir,
    port: u16,
    ca: String,
}

impl Server {
    /// A fresh server, on loopback with TLS and on a socket in its own directory.
    pub(crate) fn start() -> Self {
        let bin = binaries();
        let directory = tempfile::tempdir().expect("a temporary directory");
        let user = postgres_user();
        if let Some((uid, gid)) = user {
            chown(directory.path(), Some(uid), Some(gid)).expect("giving the directory to the postgres user");
        }
        let data = directory.path().join("data");
        let made = command(&bin.join("initdb"), user)
            .args([
                "--auth-local=trust",
                "--auth-host=reject",
                "--no-sync",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--username=postgres",
                "-D",
            ])
            .arg(&data)
            .output()
            .expect("running initdb");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let ca = certificate(&data, user);
        fs::write(data.join("pg_hba.conf"), "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n")
            .expect("the server's rules");
        let port = free_port();
        let process = command(&bin.join("postgres"), user)
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(directory.path())
            .args([
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                &format!("port={port}"),
                "-c",
                "ssl=on",
                "-c",
                "fsync=off",
                "-c",
                "logging_collector=off",
            ])
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.path().join("log")).expect("the server's log"))
            .spawn()
            .expect("running postgres");
        Self { process, directory, port, ca }
    }

    /// A query as a job reads it, by a role that can read what the administrator makes.
    pub(crate) fn source(&self, query: &str, order_by: &[&str]) -> PostgresSource {
        let params = PostgresParams {
            host: "127.0.0.1".into(),
            port: self.port,
            database: "postgres".into(),
            user: "reader".into(),
            ca_bundle: Some(self.ca.clone()),
            server_name: None,
            allow_insecure_password: false,
        };
        let query = serde_json::json!({"connectionRef": {"name": "db"}, "query": query, "orderBy": order_by});
        let query = serde_json::from_value(query).expect("a query of a job");
        PostgresSource {
            dialer: Dialer::new(AddressPolicy::unrestricted()),
            params,
            credential: PostgresCredential::Password(PASSWORD.into()),
            query,
            since: None,
            zoneless: Zoneless::default(),
        }
    }

    /// A PgBouncer before the server, which gives each transaction whatever connection is free.
    #[allow(dead_code, reason = "one test needs it")]
    pub(crate) fn pooled(&self) -> Pooler {
        let user = postgres_user();
        let here = self.directory.path().join("pooler");
        fs::create_dir(&here).expect("the pooler's directory");
        let port = free_port();
        let (data, socket) = (self.directory.path().join("data"), self.directory.path().display());
        let config = format!(
            "[databases]\npostgres = host={socket} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             pool_mode = transaction\ndefault_pool_size = 1\nauth_type = scram-sha-256\nauth_file = {}\n\
             client_tls_sslmode = require\nclient_tls_cert_file = {}\nclient_tls_key_file = {}\nserver_tls_sslmode = disable\n",
            self.port,
            here.join("users").display(),
            data.join("server.crt").display(),
            data.join("server.key").display(),
        );
        for (name, text) in [("pgbouncer.ini", config), ("users", format!("\"reader\" \"{PASSWORD}\"\n"))] {
            fs::write(here.join(name), text).expect("a file of the pooler");
        }
        let process = command(Path::new("/usr/sbin/pgbouncer"), user)
            .arg(here.join("pgbouncer.ini"))
            .stdout(Stdio::null())
            .stderr(fs::File::create(here.join("log")).expect("the pooler's log"))
            .spawn()
            .expect("this test needs PgBouncer: apt-get install pgbouncer");
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = || fs::read_to_string(here.join("log")).unwrap_or_default();
            assert!(begun.elapsed() < Duration::from_secs(60), "PgBouncer did not start: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Pooler { process, port }
    }

    /// The administrator, once the server is there.
    pub(crate) async fn administrator(&self) -> Client {
        let begun = Instant::now();
        let mut config = tokio_postgres::Config::new();
        config.host_path(self.directory.path()).port(self.port).user("postgres").dbname("postgres");
        loop {
            match config.connect(NoTls).await {
                Ok((client, connection)) => {
                    tokio::spawn(connection);
                    let role = format!(
                        "DO $$ BEGIN CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}' IN ROLE pg_read_all_data; EXCEPTION WHEN duplicate_object THEN END $$"
                    );
                    client.batch_execute(&role).await.expect("the role that reads");
                    return client;
                }
                Err(error) if begun.elapsed() > Duration::from_secs(30) => {
                    let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
                    panic!("PostgreSQL did not start: {error}\n{log}");
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

/// Ends with this.
pub(crate) struct Pooler {
    process: Child,
    #[allow(dead_code, reason = "one test needs it")]
    pub(crate) port: u16,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGQUIT ends all of the server's processes; SIGKILL would leave some behind.
        let pid = self.process.id().to_string();
        let _ = Command::new("kill").args(["-QUIT", &pid]).status();
        let _ = self.process.wait();
    }
}

/// Gives the server a certificate; the PEM of the authority that signed it.
fn certificate(data: &Path, user: Option<(u32, u32)>) -> String {
    let mut params = CertificateParams::new(Vec::new()).expect("an authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name").signed_by(&key, &ca).expect("a certificate");
    for (name, text) in [("server.crt", leaf.pem()), ("server.key", key.serialize_pem())] {
        let path = data.join(name);
        fs::write(&path, text).expect("the server's certificate");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a key that is private");
        if let Some((uid, gid)) = user {
            chown(&path, Some(uid), Some(gid)).expect("giving the certificate to the postgres user");
        }
    }
    ca.pem()
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("its number").port()
}

fn binaries() -> PathBuf {
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|version| version.path().join("bin"));
    let newest = installed.filter(|bin| bin.join("postgres").exists() && bin.join("initdb").exists()).max();
    newest.expect("no PostgreSQL server in /usr/lib/postgresql: install the Debian package `postgresql`")
}

/// The server refuses to run as root.
fn postgres_user() -> Option<(u32, u32)> {
    let own = Command::new("id").arg("-u").output().expect("running id").stdout;
    if own != b"0\n" {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("reading /etc/passwd");
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let mut fields = line.expect("no user postgres: install the Debian package `postgresql`").split(':').skip(2);
    let mut number = || fields.next().and_then(|field| field.parse().ok()).expect("user and group id of postgres");
    Some((number(), number()))
}

fn command(program: &Path, user: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid).current_dir("/");
    }
    command.env("LC_ALL", "C.UTF-8");
    command
}
