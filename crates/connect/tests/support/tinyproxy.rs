//! A tinyproxy for one test, from the Debian package `tinyproxy-bin`: on loopback, with what it was asked for in its log.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use connect::{Proxy, ProxyLogin, ProxyParams};
use tempfile::TempDir;

pub(crate) const USER: &str = "importer";
pub(crate) const PASSWORD: &str = "correct-horse";

/// Stopped and removed when dropped.
pub(crate) struct Tinyproxy {
    folder: TempDir,
    process: Child,
    pub(crate) port: u16,
}

impl Tinyproxy {
    pub(crate) fn start() -> Self {
        Self::with("")
    }

    /// One that asks for a login.
    pub(crate) fn with_login() -> Self {
        Self::with(&format!("BasicAuth {USER} {PASSWORD}\n"))
    }

    /// More lines of its configuration.
    pub(crate) fn with(more: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("tinyproxy-").tempdir_in("/tmp").expect("a temporary folder");
        let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("its number").port();
        let here = folder.path().display();
        let config = format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 50\nLogLevel Connect\nLogFile \"{here}/log\"\nPidFile \"{here}/pid\"\n{more}"
        );
        let file = folder.path().join("tinyproxy.conf");
        fs::write(&file, config).expect("a file of tinyproxy");
        let process = Command::new("/usr/bin/tinyproxy")
            .args(["-d", "-c"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("this test needs tinyproxy: apt-get install tinyproxy-bin");
        let proxy = Self { folder, process, port };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(60), "tinyproxy did not start: {}", proxy.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        proxy
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// How often it was asked for a way to this port of loopback.
    pub(crate) fn asked_for(&self, port: u16) -> usize {
        self.log().matches(&format!(": CONNECT 127.0.0.1:{port} HTTP/1.1")).count()
    }

    pub(crate) fn proxy(&self, no_proxy: &[&str], login: Option<(&str, &str)>) -> Proxy {
        let login = login.map(|(user, password)| ProxyLogin { user: user.into(), password: password.into() });
        let no_proxy = no_proxy.iter().map(|entry| (*entry).to_owned()).collect();
        Proxy::new(&ProxyParams { url: format!("http://127.0.0.1:{}", self.port), no_proxy, login }).expect("a proxy")
    }
}

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
