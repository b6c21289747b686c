//! A MinIO beside the cluster, with TLS and one bucket.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::beside::LAKE;
use crate::certificate::{self, Certificate};
use crate::cluster::{BESIDE, Cluster};
use crate::minio::{self, Account};
use crate::process;

pub(super) const KEY_ID: &str = "AKIALAKESIDE";
pub(super) const BUCKET: &str = "lake";
pub(super) const REGION: &str = "us-east-2";

/// The role of who shows a token for `sts.amazonaws.com`: MinIO makes its name of that, base64url(sha1(audience)).
pub(super) const ROLE: &str = "arn:minio:iam:us-east-2::role/oxnUw3DAuQF1uggjXGxI2AmW8IA";

pub(super) struct Bucket {
    folder: PathBuf,
    secret: String,
    settings: Vec<(&'static str, String)>,
}

impl Bucket {
    pub(super) fn lay_out(folder: &Path, tls: &Certificate, secret: &str) -> Result<Self> {
        minio::lay_out(folder, BUCKET, tls)?;
        Ok(Self { folder: folder.to_owned(), secret: secret.to_owned(), settings: Vec::new() })
    }

    /// Whoever shows a token of a ServiceAccount of this cluster, for the audience, may read and write by [`ROLE`].
    pub(super) fn trust(&mut self, cluster: &Cluster) -> Result<()> {
        let (server, authority) = cluster.api_server();
        std::fs::copy(authority, self.folder.join("certs/CAs/cluster.crt"))?;
        self.settings = vec![
            ("MINIO_IDENTITY_OPENID_CONFIG_URL", format!("{server}/.well-known/openid-configuration")),
            ("MINIO_IDENTITY_OPENID_CLIENT_ID", "sts.amazonaws.com".to_owned()),
            ("MINIO_IDENTITY_OPENID_ROLE_POLICY", "readwrite".to_owned()),
        ];
        Ok(())
    }

    /// One more bucket, which is empty.
    pub(super) fn make(&self, bucket: &str) -> Result<()> {
        Ok(std::fs::create_dir_all(self.objects(bucket))?)
    }

    /// Where the server keeps the objects of a bucket.
    pub(super) fn objects(&self, bucket: &str) -> PathBuf {
        self.folder.join("data").join(bucket)
    }

    /// Keys of the objects that a bucket lists.
    pub(super) fn keys(&self, bucket: &str) -> Result<Vec<String>> {
        let listed = self.curl(&format!("{bucket}?list-type=2"), &[])?;
        let keys = listed.split("<Key>").skip(1).filter_map(|rest| Some(rest.split_once("</Key>")?.0.to_owned()));
        Ok(keys.collect())
    }

    /// Has a bucket keep versions from now on.
    pub(super) fn keep_versions(&self, bucket: &str) -> Result<()> {
        let told =
            "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>Enabled</Status></VersioningConfiguration>";
        self.upload(&format!("{bucket}?versioning="), told)
    }

    /// The command that serves it on port 9000 of `address`.
    pub(super) fn server(&self, address: &str) -> Result<Command> {
        let command = minio::command(&self.folder, &format!("{address}:9000"));
        let arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        let mut server = Cluster::find()?.in_network(&arguments)?;
        server.envs(minio::environment(&self.folder, &Account { key_id: KEY_ID, secret: &self.secret, region: REGION }));
        server.envs(self.settings.iter().map(|(name, value)| (name, value.as_str())));
        let log = std::fs::File::create(self.folder.join("log"))?;
        server.current_dir("/").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(server)
    }

    pub(super) fn put(&self, key: &str, content: impl AsRef<[u8]>) -> Result<()> {
        self.upload(&format!("{BUCKET}/{key}"), content)
    }

    /// The content as the program gzip packs it.
    pub(super) fn put_packed(&self, key: &str, content: &str) -> Result<()> {
        let file = self.folder.join("to-pack");
        std::fs::write(&file, content)?;
        let packed = Command::new("gzip").arg("-c").arg(&file).output().context("cannot start gzip")?;
        std::fs::remove_file(&file)?;
        ensure!(packed.status.success(), "gzip: {}", String::from_utf8_lossy(&packed.stderr));
        self.put(key, packed.stdout)
    }

    fn upload(&self, path: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let file = self.folder.join("to-put");
        std::fs::write(&file, content)?;
        let put = self.curl(path, &["--upload-file", &file.to_string_lossy()]).map(drop);
        std::fs::remove_file(&file)?;
        put
    }

    pub(super) fn remove(&self, key: &str) -> Result<()> {
        self.curl(&format!("{BUCKET}/{key}"), &["--request", "DELETE"]).map(drop)
    }

    /// Cuts what the server keeps of an object in half, behind its back.
    pub(super) fn cut(&self, key: &str) -> Result<()> {
        let parts = Command::new("find").arg(self.objects(BUCKET).join(key)).args(["-name", "part.*"]).output()?;
        let parts = String::from_utf8(parts.stdout)?;
        let part = parts.lines().next().with_context(|| format!("{key} has no part of its own"))?;
        let file = std::fs::OpenOptions::new().write(true).open(part)?;
        let length = file.metadata()?.len();
        ensure!(length > 1 << 20, "{part} has {length} bytes only");
        Ok(file.set_len(length / 2)?)
    }

    fn curl(&self, path: &str, arguments: &[&str]) -> Result<String> {
        let authority = certificate::authority().to_string_lossy().into_owned();
        let (resolve, url) = (format!("{LAKE}:9000:{BESIDE}"), format!("https://{LAKE}:9000/{path}"));
        let (user, signed) = (format!("{KEY_ID}:{}", self.secret), format!("aws:amz:{REGION}:s3"));
        let curl = ["curl", "--silent", "--show-error", "--fail-with-body", "--max-time", "60", "--noproxy", "*"];
        let to = ["--cacert", &authority, "--resolve", &resolve, "--aws-sigv4", &signed, "--user", &user, &url];
        process::output(&mut Cluster::find()?.in_network(&[&curl, &to[..], arguments].concat())?)
    }
}
