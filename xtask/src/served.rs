//! Servers that have a folder of files: OpenSSH and nginx from the binaries of the Debian packages, each with users of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::certificate::Certificate;
use crate::process;

pub(crate) const USER: &str = "importer";

/// A folder of files, and the command that serves it.
pub(crate) struct Layout {
    pub(crate) files: PathBuf,
    pub(crate) command: Vec<String>,
}

fn write(folder: &Path, files: &[(&str, String)]) -> Result<()> {
    for (name, text) in files {
        fs::write(folder.join(name), text).with_context(|| format!("cannot write {name}"))?;
    }
    Ok(())
}

/// An SFTP server, and the fingerprint of its key. Users and passwords are mounted over the machine's for it alone; `user_key` in the folder
/// lets its user in, too.
pub(crate) fn openssh(folder: &Path, password: &str, address: &str, port: u16) -> Result<(Layout, String)> {
    let (files, here) = (folder.join("files"), folder.display());
    fs::create_dir_all(&files)?;
    // Its user passes through them.
    for passed in folder.ancestors().take(2) {
        fs::set_permissions(passed, fs::Permissions::from_mode(0o755))?;
    }
    let host_key = folder.join("host_key");
    for key in [&host_key, &folder.join("user_key")] {
        process::output(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(key))?;
    }
    let told = process::output(Command::new("ssh-keygen").arg("-lf").arg(&host_key))?;
    let fingerprint = told.split_whitespace().nth(1).context("ssh-keygen tells a fingerprint")?.to_owned();
    let hash = process::output(Command::new("openssl").args(["passwd", "-6", password]))?;
    write(
        folder,
        &[
            (
                "sshd_config",
                format!(
                    "ListenAddress {address}:{port}\nPidFile none\nHostKey {here}/host_key\nUsePAM no\nPasswordAuthentication yes\nStrictModes no\nAuthorizedKeysFile {here}/user_key.pub\n\
             Subsystem sftp internal-sftp\nForceCommand internal-sftp\n"
                ),
            ),
            (
                "passwd",
                format!(
                    "root:x:0:0::/root:/bin/sh\nsshd:x:64122:65534::/run/sshd:/bin/false\n{USER}:x:64123:65534::{}:/bin/false\n",
                    files.display()
                ),
            ),
            ("shadow", format!("root:*:20000:0:99999:7:::\nsshd:!:20000::::::\n{USER}:{}:20000:0:99999:7:::\n", hash.trim())),
            (
                "start",
                format!(
                    "set -e\nmount --make-rprivate /\nmount -t tmpfs tmpfs /run\nmkdir -m 755 /run/sshd\nmount --bind {here}/passwd /etc/passwd\n\
             mount --bind {here}/shadow /etc/shadow\nexec /usr/sbin/sshd -D -e -f {here}/sshd_config\n"
                ),
            ),
        ],
    )?;
    fs::set_permissions(folder.join("shadow"), fs::Permissions::from_mode(0o600))?;
    let command = ["unshare", "--mount", "sh", &format!("{here}/start")].map(str::to_owned).to_vec();
    Ok((Layout { files, command }, fingerprint))
}

/// An HTTPS server that gives its files, below `/out/`, to who knows the token.
pub(crate) fn nginx(folder: &Path, token: &str, tls: &Certificate, address: &str, port: u16) -> Result<Layout> {
    let (files, here) = (folder.join("files"), folder.display());
    fs::create_dir_all(&files)?;
    fs::create_dir_all(folder.join("work"))?;
    let (certificate, key) = (tls.certificate.display(), tls.key.display());
    let config = format!(
        r#"daemon off; master_process off; error_log {here}/log; pid {here}/pid;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {here}/work; proxy_temp_path {here}/work; fastcgi_temp_path {here}/work;
  uwsgi_temp_path {here}/work; scgi_temp_path {here}/work;
  server {{
    listen {address}:{port} ssl; ssl_certificate {certificate}; ssl_certificate_key {key};
    location /out/ {{ alias {here}/files/; if ($http_authorization != "Bearer {token}") {{ return 401; }} }}
  }}
}}
"#
    );
    write(folder, &[("nginx.conf", config)])?;
    let command = ["/usr/sbin/nginx", "-p", &here.to_string(), "-c", "nginx.conf", "-g", &format!("error_log {here}/log;")];
    Ok(Layout { files, command: command.map(str::to_owned).to_vec() })
}
