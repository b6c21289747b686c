//! A MinIO for one test, as `cargo xtask test s3` builds it: on loopback, with TLS, and one bucket.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use connect::{AddressPolicy, Dialer, S3Key, S3Params};
use object_store::{Attribute, Attributes, ObjectStore, ObjectStoreExt, PutOptions};
use tempfile::TempDir;

pub(crate) const BUCKET: &str = "warehouse";
pub(crate) const REGION: &str = "eu-central-1";
pub(crate) const KEY_ID: &str = "AKIATESTMINIO";
pub(crate) const SECRET: &str = "correct horse battery";

/// Stopped and removed when dropped.
pub(crate) struct Minio {
    folder: TempDir,
    process: Child,
    ca: String,
    pub(crate) port: u16,
}

impl Minio {
    /// `certificate` and `key` in PEM, for 127.0.0.1, and the authority that vouches for them.
    pub(crate) async fn start(certificate: &str, key: &str, ca: &str) -> Self {
        Self::start_with(certificate, key, ca, &[]).await
    }

    /// With these settings besides; servers that it asks have certificates of the same authority.
    pub(crate) async fn start_with(certificate: &str, key: &str, ca: &str, settings: &[(&str, String)]) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|folder| folder.join("target/minio/minio"));
        let program = program.into_iter().find(|path| path.exists()).expect("this test needs MinIO: cargo xtask test s3");
        let folder = tempfile::Builder::new().prefix("minio-").tempdir_in("/tmp").expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("data").join(BUCKET)).expect("a bucket");
        fs::create_dir_all(path("certs/CAs")).expect("a folder");
        fs::write(path("certs/CAs/ca.crt"), ca).expect("an authority");
        fs::write(path("certs/public.crt"), certificate).expect("the server's certificate");
        fs::write(path("certs/private.key"), key).expect("the server's key");
        let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("its number").port();
        let log = fs::File::create(path("log")).expect("the server's log");
        let process = Command::new(program)
            .args(["server", "--quiet", "--address", &format!("127.0.0.1:{port}"), "--certs-dir"])
            .arg(path("certs"))
            .arg(path("data"))
            .env_clear()
            .env("HOME", folder.path())
            .envs([
                ("MINIO_ROOT_USER", KEY_ID),
                ("MINIO_ROOT_PASSWORD", SECRET),
                ("MINIO_SITE_REGION", REGION),
                ("MINIO_BROWSER", "off"),
                ("MINIO_UPDATE", "off"),
            ])
            .envs(settings.iter().map(|(name, value)| (name, value.as_str())))
            .stdout(log.try_clone().expect("the server's log"))
            .stderr(log)
            .spawn()
            .expect("running minio");
        let server = Self { folder, process, ca: ca.to_owned(), port };
        let begun = Instant::now();
        while let Err(error) = server.bucket().verify().await {
            let log = || fs::read_to_string(server.folder.path().join("log")).unwrap_or_default();
            assert!(begun.elapsed() < Duration::from_secs(60), "MinIO did not start: {error}: {}", log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        server
    }

    pub(crate) fn params(&self) -> S3Params {
        S3Params {
            endpoint: Some(format!("https://127.0.0.1:{}", self.port)),
            region: REGION.into(),
            bucket: BUCKET.into(),
            ca_bundle: Some(self.ca.clone()),
            requester_pays: false,
        }
    }

    pub(crate) fn key() -> S3Key {
        S3Key { id: KEY_ID.into(), secret: SECRET.into(), customer_key: None }
    }

    /// Files that hold parts of uploads which are neither completed nor aborted.
    pub(crate) fn parts_on_disk(&self) -> usize {
        fn files(folder: &Path) -> usize {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            let count = |entry: fs::DirEntry| match entry.file_type() {
                Ok(kind) if kind.is_dir() => files(&entry.path()),
                _ => usize::from(["part.1", "part.2"].iter().any(|part| entry.file_name() == *part)),
            };
            entries.map(count).sum()
        }
        files(&self.folder.path().join("data/.minio.sys/multipart"))
    }

    fn bucket(&self) -> connect::ObjectFiles {
        Dialer::new(AddressPolicy::unrestricted()).s3(&self.params(), &Self::key()).expect("a client")
    }

    pub(crate) fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::new(Dialer::new(AddressPolicy::unrestricted()).s3_store(&self.params(), &Self::key()).expect("a client"))
    }

    pub(crate) async fn put(&self, key: &str, content: impl Into<bytes::Bytes>) {
        let path = object_store::path::Path::parse(key).expect("a key");
        self.store().put(&path, content.into().into()).await.expect("an object");
    }

    /// An object of which the server says that it is packed.
    pub(crate) async fn put_encoded(&self, key: &str, content: impl Into<bytes::Bytes>, encoding: &'static str) {
        let path = object_store::path::Path::parse(key).expect("a key");
        let attributes = Attributes::from_iter([(Attribute::ContentEncoding, encoding)]);
        let options = PutOptions { attributes, ..PutOptions::default() };
        self.store().put_opts(&path, content.into().into(), options).await.expect("an object");
    }

    pub(crate) async fn remove(&self, key: &str) {
        self.store().delete(&object_store::path::Path::parse(key).expect("a key")).await.expect("a removed object");
    }
}

impl Drop for Minio {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
