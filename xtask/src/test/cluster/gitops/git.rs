//! A Git server that knows its readers: git-http-backend behind nginx, as Debian has them. What is committed here is what it serves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::servers::{Servers, free_address};
use crate::{certificate, process};

const USER: &str = "reader";

/// One repository.
pub(super) struct Git {
    /// What is committed next.
    pub(super) files: PathBuf,
    pub(super) url: String,
    pub(super) user: &'static str,
    pub(super) password: String,
    _servers: Servers,
}

impl Git {
    /// An empty one that is served.
    pub(super) fn serve(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let (bare, files) = (folder.join("repositories/imports.git"), folder.join("files"));
        git(folder, &["init", "--quiet", "--bare", "--initial-branch=main", &bare.to_string_lossy()])?;
        git(folder, &["clone", "--quiet", &bare.to_string_lossy(), &files.to_string_lossy()])?;
        let password = process::output(Command::new("openssl").args(["rand", "-hex", "12"]))?.trim().to_owned();
        let address = free_address()?;
        let servers = serve(folder, &address, &password)?;
        let served = Self { files, url: format!("https://{address}/imports.git"), user: USER, password, _servers: servers };
        process::wait_until("the Git server", Duration::from_secs(20), || served.ask(&served.password).map(drop))?;
        ensure!(served.ask("a guess").is_err(), "control: it lets anybody in");
        Ok(served)
    }

    /// Asks over HTTPS for what there is.
    fn ask(&self, password: &str) -> Result<String> {
        let url = self.url.replace("https://", &format!("https://{USER}:{password}@"));
        let mut ask = command(&self.files, &["ls-remote", &url]);
        process::output(ask.env("GIT_SSL_CAINFO", certificate::authority()).env("GIT_TERMINAL_PROMPT", "0"))
    }

    /// Puts all that lies in `files` on the server.
    pub(super) fn push(&self, message: &str) -> Result<()> {
        git(&self.files, &["add", "--all"])?;
        git(&self.files, &["commit", "--quiet", "--allow-empty", "--message", message])?;
        git(&self.files, &["push", "--quiet", "origin", "HEAD:main"]).map(drop)
    }

    /// The revision that was pushed last.
    pub(super) fn head(&self) -> Result<String> {
        Ok(git(&self.files, &["rev-parse", "HEAD"])?.trim().to_owned())
    }

    /// All that was ever pushed, in clear.
    pub(super) fn history(&self) -> Result<String> {
        git(&self.files, &["log", "--patch", "--all"])
    }
}

fn serve(folder: &Path, address: &str, password: &str) -> Result<Servers> {
    let tls = certificate::of_server("git", "127.0.0.1", folder)?;
    let hash = process::output(Command::new("openssl").args(["passwd", "-apr1", password]))?;
    fs::write(folder.join("readers"), format!("{USER}:{hash}"))?;
    let (here, certificate, key) = (folder.display(), tls.certificate.display(), tls.key.display());
    let config = format!(
        r#"daemon off; master_process off; pid {here}/nginx.pid;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {here}/t1; proxy_temp_path {here}/t2; fastcgi_temp_path {here}/t3; uwsgi_temp_path {here}/t4; scgi_temp_path {here}/t5;
  server {{
    listen {address} ssl; ssl_certificate {certificate}; ssl_certificate_key {key};
    auth_basic imports; auth_basic_user_file {here}/readers;
    location / {{
      include /etc/nginx/fastcgi_params;
      fastcgi_param SCRIPT_FILENAME /usr/lib/git-core/git-http-backend;
      fastcgi_param GIT_HTTP_EXPORT_ALL "";
      fastcgi_param GIT_PROJECT_ROOT {here}/repositories;
      fastcgi_param PATH_INFO $uri;
      fastcgi_param REMOTE_USER $remote_user;
      fastcgi_pass unix:{here}/backend;
    }}
  }}
}}
"#
    );
    fs::write(folder.join("nginx.conf"), config)?;
    let mut servers = Servers::with_logs_in(folder);
    servers.start("fcgiwrap", Command::new("/usr/sbin/fcgiwrap").args(["-s", &format!("unix:{here}/backend")]))?;
    let mut nginx = Command::new("/usr/sbin/nginx");
    nginx.args(["-p", &here.to_string(), "-c", "nginx.conf", "-g", &format!("error_log {here}/nginx.log;")]);
    servers.start("nginx", &mut nginx)?;
    Ok(servers)
}

/// Git without anybody's configuration.
fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut git = Command::new("git");
    git.current_dir(folder).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for who in ["AUTHOR", "COMMITTER"] {
        git.env(format!("GIT_{who}_NAME"), "orchard").env(format!("GIT_{who}_EMAIL"), "orchard@orchard.example");
    }
    git.args(arguments);
    git
}

fn git(folder: &Path, arguments: &[&str]) -> Result<String> {
    process::output(&mut command(folder, arguments))
}
