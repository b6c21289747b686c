//! An nginx for one test, from the Debian package `nginx-light`: on loopback, over TLS, with a folder of files behind each way to log in.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use connect::{HttpsFilesParams, HttpsLogin};
use tempfile::TempDir;

pub(crate) const USER: &str = "reader";
pub(crate) const SECRET: &str = "correct horse battery";

/// Stopped and removed when dropped.
pub(crate) struct Nginx {
    folder: TempDir,
    process: Child,
    ca: String,
    pub(crate) port: u16,
}

impl Nginx {
    /// `certificate` and `key` in PEM, for 127.0.0.1, and the authority that vouches for them.
    pub(crate) fn start(certificate: &str, key: &str, ca: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("nginx-").tempdir_in("/tmp").expect("a temporary folder");
        let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("its number").port();
        let here = folder.path().display();
        for name in ["files", "work"] {
            fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        let config = format!(
            r#"daemon off; master_process off; error_log {here}/log; pid {here}/pid;
events {{ worker_connections 256; }}
http {{
  access_log off; sendfile on;
  client_body_temp_path {here}/work; proxy_temp_path {here}/work; fastcgi_temp_path {here}/work;
  uwsgi_temp_path {here}/work; scgi_temp_path {here}/work;
  server {{
    listen 127.0.0.1:{port} ssl; ssl_certificate {here}/server.crt; ssl_certificate_key {here}/server.key;
    location /basic/ {{ alias {here}/files/; auth_basic "files"; auth_basic_user_file {here}/users; }}
    location /bearer/ {{ alias {here}/files/; if ($http_authorization != "Bearer {SECRET}") {{ return 401; }} }}
    location /key/ {{ alias {here}/files/; if ($http_x_api_key != "{SECRET}") {{ return 403; }} }}
    location /open/ {{ alias {here}/files/; if ($http_authorization) {{ return 418; }} }}
    location /plain/ {{ alias {here}/files/; max_ranges 0; etag off; if_modified_since off; add_header Last-Modified ""; }}
    location /away/ {{ return 302 https://localhost:{port}/open/a.csv; }}
    location /near/ {{ return 307 /basic/a.csv; }}
    location /round/ {{ return 302 /round/$request_id; }}
    location /busy/ {{ return 503; }}
  }}
}}
"#
        );
        for (name, text) in [
            ("nginx.conf", config),
            ("server.crt", certificate.to_owned()),
            ("server.key", key.to_owned()),
            ("users", format!("{USER}:{{PLAIN}}{SECRET}\n")),
        ] {
            fs::write(folder.path().join(name), text).expect("a file of nginx");
        }
        let log = fs::File::create(folder.path().join("out")).expect("the server's log");
        let process = Command::new("/usr/sbin/nginx")
            .args(["-p", &here.to_string(), "-c", "nginx.conf", "-g", &format!("error_log {here}/log;")])
            .stdout(log.try_clone().expect("the server's log"))
            .stderr(log)
            .spawn()
            .expect("this test needs nginx: apt-get install nginx-light");
        let server = Self { folder, process, ca: ca.to_owned(), port };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = || fs::read_to_string(server.folder.path().join("out")).unwrap_or_default();
            assert!(begun.elapsed() < Duration::from_secs(60), "nginx did not start: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// Where a file lies that the server has under this name.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("files").join(name)
    }

    /// The files by this way to log in, through a port.
    pub(crate) fn params(&self, way: &str, port: u16) -> HttpsFilesParams {
        HttpsFilesParams { url: format!("https://127.0.0.1:{port}/{way}"), redirects: Vec::new(), ca_bundle: Some(self.ca.clone()) }
    }

    pub(crate) fn basic() -> HttpsLogin {
        HttpsLogin::Basic { user: USER.into(), password: SECRET.into() }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
