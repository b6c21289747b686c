//! A MariaDB server for one test, from the binaries of the Debian package: on loopback, with TLS and nothing without it; its administrator
//! comes by the socket.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use connect::MySqlParams;
use tempfile::TempDir;

/// Many servers at a time, in tests: small logs, and no kernel queues, of which a machine has few.
const FRUGAL: [&str; 3] = ["--innodb-log-file-size=4M", "--innodb-buffer-pool-size=32M", "--innodb-use-native-aio=OFF"];

pub(crate) const PASSWORD: &str = "correct horse";

/// Stopped and removed when dropped.
pub(crate) struct MariaDb {
    folder: TempDir,
    process: Child,
    pub(crate) port: u16,
}

impl MariaDb {
    /// `certificate` and `key` in PEM.
    pub(crate) fn start(certificate: &str, key: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("maria-").tempdir_in("/tmp").expect("a temporary folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            fs::write(folder.path().join(name), text).expect("the server's certificate");
        }
        // The reader could write: what keeps it from that is not its rights.
        let statements = format!(
            "CREATE DATABASE warehouse;\n\
             CREATE USER reader@'127.0.0.1' IDENTIFIED BY '{PASSWORD}' REQUIRE SSL;\n\
             GRANT SELECT, EXECUTE, INSERT, DELETE, DROP, FILE ON *.* TO reader@'127.0.0.1';\n"
        );
        fs::write(folder.path().join("init.sql"), statements).expect("the first statements");
        // A server that starts removes the temporary tables that it finds, whose ever they are.
        let temporary = format!("--tmpdir={}", folder.path().display());
        let root = Command::new("id").arg("-u").output().expect("running id").stdout == b"0\n";
        let mut made = Command::new("mariadb-install-db");
        made.args(["--no-defaults", "--skip-test-db", "--auth-root-authentication-method=normal"])
            .args(FRUGAL)
            .arg(&temporary)
            .arg(format!("--datadir={}", path("data")));
        if root {
            made.arg("--user=mysql");
            let given = Command::new("chown").args(["-R", "mysql:"]).arg(folder.path()).status();
            assert!(given.expect("running chown").success());
        }
        let made = made.output().expect("this test needs MariaDB: apt-get install mariadb-server");
        assert!(made.status.success(), "mariadb-install-db: {}", said(&made));
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("its number").port();
        let mut server = Command::new("/usr/sbin/mariadbd");
        server
            .args(["--no-defaults", "--bind-address=127.0.0.1", "--require-secure-transport=ON", "--skip-name-resolve", "--sql-mode="])
            .args(["--innodb-flush-log-at-trx-commit=0", "--performance-schema=OFF"])
            .args(FRUGAL)
            .arg(&temporary)
            .arg(format!("--datadir={}", path("data")))
            .arg(format!("--port={port}"))
            .arg(format!("--socket={}", path("socket")))
            .arg(format!("--pid-file={}", path("pid")))
            .arg(format!("--ssl-cert={}", path("server.crt")))
            .arg(format!("--ssl-key={}", path("server.key")))
            .arg(format!("--init-file={}", path("init.sql")));
        if root {
            server.arg("--user=mysql");
        }
        let log = fs::File::create(folder.path().join("log")).expect("the server's log");
        let process = server.stdout(Stdio::null()).stderr(log).spawn().expect("running mariadbd");
        let server = Self { folder, process, port };
        let begun = Instant::now();
        while !server.try_run("SELECT 1").status.success() {
            let log = || fs::read_to_string(server.folder.path().join("log")).unwrap_or_default();
            assert!(begun.elapsed() < Duration::from_secs(60), "MariaDB did not start: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    fn try_run(&self, statements: &str) -> Output {
        let socket: PathBuf = self.folder.path().join("socket");
        let mut client = Command::new("mariadb");
        client.args([
            "--no-defaults",
            "--user=root",
            "--database=warehouse",
            "--batch",
            "--skip-column-names",
            "--default-character-set=utf8mb4",
        ]);
        client.arg(format!("--socket={}", socket.display())).args(["--execute", statements]);
        client.output().expect("running mariadb")
    }

    /// What the administrator does.
    pub(crate) fn run(&self, statements: &str) -> String {
        let output = self.try_run(statements);
        assert!(output.status.success(), "{statements}: {}", said(&output));
        String::from_utf8(output.stdout).expect("text")
    }

    pub(crate) fn params(&self, ca: &str) -> MySqlParams {
        MySqlParams {
            host: "127.0.0.1".into(),
            port: self.port,
            database: "warehouse".into(),
            user: "reader".into(),
            ca_bundle: Some(ca.to_owned()),
            server_name: None,
        }
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned()
}
