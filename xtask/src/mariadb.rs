//! A MariaDB server from the binaries of the Debian package: with TLS and nothing without it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::certificate::Certificate;
use crate::process;

/// A small server: its kernel queues and logs are the machine's, which has other work.
const FRUGAL: [&str; 3] = ["--innodb-log-file-size=4M", "--innodb-buffer-pool-size=32M", "--innodb-use-native-aio=OFF"];

/// Makes a fresh database in `folder`, and answers the command that serves it on a port of `address` once `statements`, a line each,
/// have run.
pub(crate) fn lay_out(folder: &Path, statements: &[String], tls: &Certificate, address: &str, port: u16) -> Result<Vec<String>> {
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    std::fs::write(path("init.sql"), statements.join("\n") + "\n")?;
    std::fs::copy(&tls.certificate, path("tls.crt"))?;
    std::fs::copy(&tls.key, path("tls.key"))?;
    // MariaDB refuses to run as root.
    process::output(Command::new("chown").args(["--recursive", "mysql:"]).arg(folder))?;
    // A server that starts removes the temporary tables that it finds, of any server.
    let places = [format!("--datadir={}", path("data")), format!("--tmpdir={}", path("")), "--user=mysql".to_owned()];
    let mut made = Command::new("mariadb-install-db");
    made.args(["--no-defaults", "--skip-test-db", "--auth-root-authentication-method=normal"]).args(FRUGAL).args(&places);
    process::output(&mut made).context("cannot make a database of MariaDB")?;
    let options = [
        format!("--bind-address={address}"),
        format!("--port={port}"),
        format!("--socket={}", path("socket")),
        format!("--pid-file={}", path("pid")),
        format!("--ssl-cert={}", path("tls.crt")),
        format!("--ssl-key={}", path("tls.key")),
        format!("--init-file={}", path("init.sql")),
    ];
    let fixed = ["/usr/sbin/mariadbd", "--no-defaults", "--require-secure-transport=ON", "--skip-name-resolve"];
    Ok(fixed.iter().chain(&FRUGAL).map(ToString::to_string).chain(places).chain(options).collect())
}
