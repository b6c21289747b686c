//! A fake-gcs-server and an Azurite for one test, as `cargo xtask test s3` makes them: on loopback, with TLS, and one bucket or container.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use connect::{AzureKey, AzureParams, GcsParams};
use secrecy::SecretString;
use tempfile::TempDir;

pub(crate) const BUCKET: &str = "warehouse";
pub(crate) const ACCOUNT: &str = "acme";
const ACCOUNT_KEY: &str = "Y29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBsZQ==";

/// A server, stopped and removed when dropped, and how it is asked by its administrator.
struct Server {
    folder: TempDir,
    process: Child,
    port: u16,
}

impl Server {
    fn start(certificate: &str, key: &str, ca: &str, command: impl FnOnce(&Path, u16) -> Command) -> Self {
        let folder = tempfile::Builder::new().prefix("cloud-").tempdir_in("/tmp").expect("a temporary folder");
        for (name, text) in [("server.crt", certificate), ("server.key", key), ("ca.crt", ca)] {
            fs::write(folder.path().join(name), text).expect("a file of the server");
        }
        let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("its number").port();
        let log = fs::File::create(folder.path().join("log")).expect("the server's log");
        let mut command = command(folder.path(), port);
        command.env("HOME", folder.path()).stdout(log.try_clone().expect("the server's log")).stderr(log);
        let process = command.spawn().expect("running the server");
        let server = Self { folder, process, port };
        let begun = Instant::now();
        while !server.curl("", &[]).status.success() {
            let log = || fs::read_to_string(server.folder.path().join("log")).unwrap_or_default();
            assert!(begun.elapsed() < Duration::from_secs(60), "the server did not start: {}", log());
            std::thread::sleep(Duration::from_millis(100));
        }
        server
    }

    fn curl(&self, path: &str, arguments: &[&str]) -> std::process::Output {
        Command::new("curl")
            .args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "30", "--cacert"])
            .arg(self.folder.path().join("ca.crt"))
            .args(arguments)
            .arg(format!("https://127.0.0.1:{}/{path}", self.port))
            .output()
            .expect("running curl")
    }

    fn ask(&self, path: &str, arguments: &[&str]) {
        let answer = self.curl(path, &[&["--fail-with-body"], arguments].concat());
        assert!(answer.status.success(), "{path}: {}", String::from_utf8_lossy(&answer.stdout));
    }

    /// A file that curl sends.
    fn content(&self, content: impl AsRef<[u8]>) -> String {
        let file = self.folder.path().join("content");
        fs::write(&file, content).expect("a file");
        format!("@{}", file.display())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn made(path: &str) -> PathBuf {
    let places = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|folder| folder.join("target").join(path));
    places.into_iter().find(|place| place.exists()).unwrap_or_else(|| panic!("this test needs {path}: cargo xtask test s3"))
}

/// Characters that stand for something else in a path.
fn escaped(key: &str) -> String {
    key.bytes()
        .map(
            |byte| {
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
            },
        )
        .collect()
}

pub(crate) struct Gcs {
    server: Server,
    ca: String,
}

impl Gcs {
    pub(crate) fn start(certificate: &str, key: &str, ca: &str) -> Self {
        let server = Server::start(certificate, key, ca, |folder, port| {
            let mut command = Command::new(made("fake-gcs-server/fake-gcs-server"));
            command.args(["-scheme", "https", "-host", "127.0.0.1", "-backend", "memory", "-log-level", "warn"]);
            command.args(["-port", &port.to_string(), "-public-host", "127.0.0.1"]);
            command.arg("-cert-location").arg(folder.join("server.crt")).arg("-private-key-location").arg(folder.join("server.key"));
            command
        });
        let bucket = format!("{{\"name\": \"{BUCKET}\"}}");
        server.ask("storage/v1/b", &["--header", "content-type: application/json", "--data", &bucket]);
        Self { server, ca: ca.to_owned() }
    }

    pub(crate) fn port(&self) -> u16 {
        self.server.port
    }

    pub(crate) fn put(&self, key: &str, content: impl AsRef<[u8]>) {
        let path = format!("upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={}", escaped(key));
        let content = self.server.content(content);
        self.server.ask(&path, &["--request", "POST", "--header", "content-type: text/csv", "--data-binary", &content]);
    }

    pub(crate) fn remove(&self, key: &str) {
        self.server.ask(&format!("storage/v1/b/{BUCKET}/o/{}", escaped(key)), &["--request", "DELETE"]);
    }

    pub(crate) fn params(&self, port: u16) -> GcsParams {
        GcsParams { endpoint: Some(format!("https://127.0.0.1:{port}")), bucket: BUCKET.into(), ca_bundle: Some(self.ca.clone()) }
    }

    /// A key of a service account, as Google gives it out. The server takes any.
    pub(crate) fn key() -> SecretString {
        let made = Command::new("openssl").args(["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]).output();
        let pem = String::from_utf8(made.expect("running openssl").stdout).expect("text").replace('\n', "\\n");
        format!(
            "{{\"type\": \"service_account\", \"private_key_id\": \"1\", \"private_key\": \"{pem}\", \
             \"client_email\": \"reader@acme.iam.gserviceaccount.com\", \"gcs_base_url\": \"https://127.0.0.1:1\"}}"
        )
        .into()
    }
}

pub(crate) struct Azure {
    server: Server,
    ca: String,
}

impl Azure {
    pub(crate) fn start(certificate: &str, key: &str, ca: &str) -> Self {
        let server = Server::start(certificate, key, ca, |folder, port| {
            let mut command = Command::new("node");
            command.arg(made("azurite/node_modules/azurite/dist/src/blob/main.js"));
            command.args(["--silent", "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--blobHost", "127.0.0.1"]);
            command.args(["--blobPort", &port.to_string()]);
            // Access tokens are taken, too: what is in them counts, their signature does not.
            command.args(["--oauth", "basic"]);
            command.arg("--cert").arg(folder.join("server.crt")).arg("--key").arg(folder.join("server.key"));
            command.env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{ACCOUNT_KEY}"));
            // It asks itself whether a signature allows the source of a copy.
            command.env("NODE_EXTRA_CA_CERTS", folder.join("ca.crt"));
            command
        });
        let azure = Self { server, ca: ca.to_owned() };
        azure.server.ask(&format!("{ACCOUNT}/{BUCKET}?restype=container&{}", azure.admin()), &["--request", "PUT", "--data", ""]);
        azure
    }

    pub(crate) fn port(&self) -> u16 {
        self.server.port
    }

    fn admin(&self) -> String {
        signature("rwdlac", "2099-01-01T00:00:00Z")
    }

    fn blob(&self, key: &str) -> String {
        format!("{ACCOUNT}/{BUCKET}/{}?{}", key.split('/').map(escaped).collect::<Vec<_>>().join("/"), self.admin())
    }

    pub(crate) fn put(&self, key: &str, content: impl AsRef<[u8]>) {
        let content = self.server.content(content);
        let arguments =
            ["--request", "PUT", "--header", "x-ms-blob-type: BlockBlob", "--header", "content-type: text/csv", "--data-binary", &content];
        self.server.ask(&self.blob(key), &arguments);
    }

    pub(crate) fn remove(&self, key: &str) {
        self.server.ask(&self.blob(key), &["--request", "DELETE"]);
    }

    pub(crate) fn params(&self, port: u16) -> AzureParams {
        AzureParams {
            endpoint: Some(format!("https://127.0.0.1:{port}")),
            account: ACCOUNT.into(),
            container: BUCKET.into(),
            ca_bundle: Some(self.ca.clone()),
        }
    }

    pub(crate) fn account_key() -> AzureKey {
        AzureKey::Account(ACCOUNT_KEY.into())
    }

    /// Leave for this, up to then.
    pub(crate) fn sas(permissions: &str, ends: &str) -> AzureKey {
        AzureKey::Sas(signature(permissions, ends).into())
    }
}

/// <https://learn.microsoft.com/rest/api/storageservices/create-account-sas>
fn signature(permissions: &str, ends: &str) -> String {
    let (services, kinds, protocol, version) = ("b", "sco", "https", "2021-12-02");
    let signed = format!("{ACCOUNT}\n{permissions}\n{services}\n{kinds}\n\n{ends}\n\n{protocol}\n{version}\n\n");
    let key = STANDARD.decode(ACCOUNT_KEY).expect("a key in Base64");
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key);
    let signature = STANDARD.encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes()));
    format!("sv={version}&ss={services}&srt={kinds}&sp={permissions}&se={}&spr={protocol}&sig={}", escaped(ends), escaped(&signature))
}
