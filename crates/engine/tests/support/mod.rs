//! A PostgreSQL server for one test, from the binaries of the Debian package.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio_postgres::{Client, NoTls};

pub(crate) struct Server {
    process: Child,
    directory: tempfile::TempDir,
}

impl Server {
    /// A fresh server that listens on a socket in its own directory only.
    pub(crate) fn start() -> Self {
        let bin = binaries();
        let directory = tempfile::tempdir().expect("a temporary directory");
        let user = postgres_user();
        if let Some((uid, gid)) = user {
            chown(directory.path(), Some(uid), Some(gid)).expect("giving the directory to the postgres user");
        }
        let data = directory.path().join("data");
        let made = command(&bin.join("initdb"), user)
            .args(["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", "--username=postgres", "-D"])
            .arg(&data)
            .output()
            .expect("running initdb");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let process = command(&bin.join("postgres"), user)
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(directory.path())
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "logging_collector=off"])
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.path().join("log")).expect("the server's log"))
            .spawn()
            .expect("running postgres");
        Self { process, directory }
    }

    pub(crate) async fn connect(&self) -> Client {
        let begun = Instant::now();
        let mut config = tokio_postgres::Config::new();
        config.host_path(self.directory.path()).user("postgres").dbname("postgres");
        loop {
            match config.connect(NoTls).await {
                Ok((client, connection)) => {
                    tokio::spawn(connection);
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

impl Drop for Server {
    fn drop(&mut self) {
        // SIGQUIT ends all of the server's processes; SIGKILL would leave some behind.
        let pid = self.process.id().to_string();
        let _ = Command::new("kill").args(["-QUIT", &pid]).status();
        let _ = self.process.wait();
    }
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
