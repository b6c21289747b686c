//! Objects of Google Cloud Storage and blobs of Azure, from a fake-gcs-server and an Azurite beside the cluster: their rows come through
//! workers that die, what is wrong about them is told, and a neighbour does not reach them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Check;
use super::beside::{Beside, authority};
use super::canary::Canary;
use super::runs::Run;
use crate::certificate::{self, Certificate};
use crate::cluster::{BESIDE, Cluster};
use crate::demo::Demo;
use crate::{process, workspace};

pub(super) const CHECKS: &[Check] = &[
    (
        "a certificate of Google's or a key or container of Azure's that is wrong is told with the way out, and a neighbour's is out of reach",
        refusals,
    ),
    ("objects of Google and blobs of Azure are read through workers that die, each row once and none of them at rest", deaths),
];

const TENANT: &str = "lakeside";
/// Whom no Region lets through to the address beside the cluster.
const NEIGHBOUR: &str = "acme";
/// What each of the two has.
const BUCKET: &str = "exports";
const ACCOUNT: &str = "acme";
const GCS: (&str, u16) = ("gcs.beside.svc", 4443);
const AZURE: (&str, u16) = ("azure.beside.svc", 10000);

/// One of the two servers.
struct Store {
    folder: PathBuf,
    name: &'static str,
    address: (&'static str, u16),
}

impl Store {
    /// Where it keeps what it needs.
    fn lay_out(beside: &Beside<'_>, name: &'static str, address: (&'static str, u16)) -> Result<(Self, Certificate)> {
        let folder = beside.folder().join(name);
        std::fs::create_dir_all(&folder)?;
        let tls = certificate::of_server(name, address.0, &folder)?;
        Ok((Self { folder, name, address }, tls))
    }

    /// Comes back once it listens.
    fn serve(&self, beside: &mut Beside<'_>, command: &[&str], environment: &[(&str, &str)]) -> Result<()> {
        let log = File::create(self.folder.join("log"))?;
        let mut server = Cluster::find()?.in_network(command)?;
        server.envs(environment.iter().copied()).env("HOME", &self.folder).current_dir("/");
        server.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        beside.keep(server.spawn().with_context(|| format!("cannot start {}", self.name))?, self.address.1, self.name)
    }

    /// Has its administrator send this.
    fn send(&self, path: &str, content: Option<&str>, arguments: &[&str]) -> Result<()> {
        let (host, port) = self.address;
        let file = self.folder.join("to-send");
        std::fs::write(&file, content.unwrap_or_default())?;
        let (ca, data) = (certificate::authority().display().to_string(), format!("@{}", file.display()));
        let (resolve, url) = (format!("{host}:{port}:{BESIDE}"), format!("https://{host}:{port}/{path}"));
        let curl = ["curl", "--silent", "--show-error", "--fail-with-body", "--max-time", "60", "--noproxy", "*"];
        let to = ["--cacert", &ca, "--resolve", &resolve, "--data-binary", &data, &url];
        process::output(&mut Cluster::find()?.in_network(&[&curl, &to[..], arguments].concat())?).map(drop)
    }
}

struct Google(Store);

impl Google {
    /// With one empty bucket.
    fn start(beside: &mut Beside<'_>) -> Result<Self> {
        let (store, tls) = Store::lay_out(beside, "gcs", GCS)?;
        let program = made("fake-gcs-server/fake-gcs-server")?;
        let (certificate, key, port) = (shown(&tls.certificate), shown(&tls.key), GCS.1.to_string());
        let command = [
            &program,
            "-scheme",
            "https",
            "-backend",
            "memory",
            "-log-level",
            "warn",
            "-host",
            BESIDE,
            "-port",
            &port,
            "-public-host",
            GCS.0,
            "-cert-location",
            &certificate,
            "-private-key-location",
            &key,
        ];
        store.serve(beside, &command, &[])?;
        let bucket = json!({"name": BUCKET}).to_string();
        store.send("storage/v1/b", Some(&bucket), &["--header", "content-type: application/json"])?;
        Ok(Self(store))
    }

    fn put(&self, name: &str, content: &str) -> Result<()> {
        let path = format!("upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={name}");
        self.0.send(&path, Some(content), &["--header", "content-type: text/csv"])
    }

    /// Of a service account, as Google gives it out; the server here takes any.
    fn key() -> Result<String> {
        let rsa = ["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
        let key = process::output(Command::new("openssl").args(rsa))?;
        let account = "reader@acme.iam.gserviceaccount.com";
        Ok(json!({"type": "service_account", "private_key_id": "1", "private_key": key, "client_email": account}).to_string())
    }

    /// `trusted`: whether it knows the authority of the one here.
    fn connection(beside: &Beside<'_>, namespace: &str, name: &str, key: &str, trusted: bool) -> Result<()> {
        let mut gcs = json!({"endpoint": format!("https://{}:{}", GCS.0, GCS.1), "bucket": BUCKET});
        if trusted {
            gcs["tls"] = json!({"caBundle": authority()?});
        }
        beside.connection(namespace, name, &[("serviceAccountKey", key)], json!({"gcs": gcs}))
    }
}

struct Azure {
    store: Store,
    /// Of the account, in Base64.
    key: String,
    /// Leave for everything, for the administrator.
    signature: String,
}

impl Azure {
    /// With one empty container.
    fn start(beside: &mut Beside<'_>) -> Result<Self> {
        let (store, tls) = Store::lay_out(beside, "azure", AZURE)?;
        let program = made("azurite/node_modules/azurite/dist/src/blob/main.js")?;
        let (certificate, key, port) = (shown(&tls.certificate), shown(&tls.key), AZURE.1.to_string());
        let command = [
            "node",
            &program,
            "--silent",
            "--inMemoryPersistence",
            "--skipApiVersionCheck",
            "--disableTelemetry",
            "--disableProductStyleUrl",
            "--blobHost",
            BESIDE,
            "--blobPort",
            &port,
            "--cert",
            &certificate,
            "--key",
            &key,
        ];
        let secret = beside.password();
        let account_key = base64(&secret)?;
        store.serve(beside, &command, &[("AZURITE_ACCOUNTS", &format!("{ACCOUNT}:{account_key}"))])?;
        let azure = Self { store, key: account_key, signature: signature(&secret)? };
        azure.store.send(&format!("{ACCOUNT}/{BUCKET}?restype=container&{}", azure.signature), None, &["--request", "PUT"])?;
        Ok(azure)
    }

    fn put(&self, name: &str, content: &str) -> Result<()> {
        let headers = ["--header", "x-ms-blob-type: BlockBlob", "--header", "content-type: text/csv"];
        let path = format!("{ACCOUNT}/{BUCKET}/{name}?{}", self.signature);
        self.store.send(&path, Some(content), &[&["--request", "PUT"], &headers[..]].concat())
    }

    fn connection(beside: &Beside<'_>, namespace: &str, name: &str, key: &str, container: &str) -> Result<()> {
        let tls = json!({"caBundle": authority()?});
        let endpoint = format!("https://{}:{}", AZURE.0, AZURE.1);
        let azure = json!({"endpoint": endpoint, "account": ACCOUNT, "container": container, "auth": {"accountKey": {}}, "tls": tls});
        beside.connection(namespace, name, &[("accountKey", key)], json!({"azureBlob": azure}))
    }
}

/// What `stores` has made.
fn made(path: &str) -> Result<String> {
    let path = workspace::target().join(path);
    ensure!(path.exists(), "{} is not there", path.display());
    Ok(shown(&path))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn base64(text: &str) -> Result<String> {
    Ok(process::output(Command::new("sh").args(["-c", "printf %s \"$1\" | base64 -w 0", "sh", text]))?.trim().to_owned())
}

/// <https://learn.microsoft.com/rest/api/storageservices/create-account-sas>
fn signature(key: &str) -> Result<String> {
    let (permissions, ends, version) = ("rwdlac", "2099-01-01T00:00:00Z", "2021-12-02");
    let signed = format!("{ACCOUNT}\n{permissions}\nb\nsco\n\n{ends}\n\nhttps\n{version}\n\n");
    // The key goes through the environment of a shell of ours, and is one of this check.
    let script = "printf %s \"$SIGNED\" | openssl dgst -sha256 -hmac \"$KEY\" -binary | base64 -w 0";
    let signature = process::output(Command::new("sh").args(["-c", script]).env("SIGNED", signed).env("KEY", key))?;
    let signature = signature.trim().replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    Ok(format!("sv={version}&ss=b&srt=sco&sp={permissions}&se={}&spr=https&sig={signature}", ends.replace(':', "%3A")))
}

fn refusals(demo: &Demo) -> Result<()> {
    let mut beside = Beside::start(demo)?;
    Google::start(&mut beside)?;
    let azure = Azure::start(&mut beside)?;
    beside.tenant(TENANT)?;
    let (google, other) = (Google::key()?, base64("another")?);
    // The controls, and what is wrong with each of the others. The server of Google's kind takes any key and any bucket.
    for (name, trusted, reason, words) in
        [("gcs-right", true, "Verified", "bucket exports"), ("gcs-certificate", false, "TlsRefused", "gcs.beside.svc")]
    {
        Google::connection(&beside, TENANT, name, &google, trusted)?;
        beside.permit(TENANT, name)?;
        beside.connection_says(TENANT, name, reason, words)?;
    }
    for (name, key, container, reason, words) in [
        ("azure-right", &azure.key, BUCKET, "Verified", "container exports"),
        ("azure-key", &other, BUCKET, "LoginRefused", "correct entry accountKey of Secret azure-key"),
        ("azure-container", &azure.key, "pond", "BucketNotFound", "container pond"),
    ] {
        Azure::connection(&beside, TENANT, name, key, container)?;
        beside.permit(TENANT, name)?;
        beside.connection_says(TENANT, name, reason, words)?;
    }
    Google::connection(&beside, NEIGHBOUR, "gcs", &google, true)?;
    Azure::connection(&beside, NEIGHBOUR, "azure", &azure.key, BUCKET)?;
    let refused: Result<Vec<()>> = ["gcs", "azure"]
        .into_iter()
        .map(|name| {
            beside.permit(NEIGHBOUR, name)?;
            beside.connection_says(NEIGHBOUR, name, "AddressRefused", "privateEndpoints")
        })
        .collect();
    demo.kubectl.run(&["delete", "connection", "gcs", "azure", "-n", NEIGHBOUR])?;
    refused.map(drop)
}

fn deaths(demo: &Demo) -> Result<()> {
    let mut beside = Beside::start(demo)?;
    let (google, azure) = (Google::start(&mut beside)?, Azure::start(&mut beside)?);
    beside.tenant(TENANT)?;
    beside.org(TENANT)?;
    Google::connection(&beside, TENANT, "gcs", &Google::key()?, true)?;
    Azure::connection(&beside, TENANT, "azure", &azure.key, BUCKET)?;
    beside.intake(TENANT, &["crm", "gcs", "azure"])?;
    let contacts = beside.contacts();
    google.put("in-contacts-1.csv", &contacts)?;
    azure.put("in-contacts-1.csv", &contacts)?;
    let cluster = Cluster::find()?;
    let folder = demo.folder.join("clouds");
    std::fs::create_dir_all(&folder)?;
    let mut logs = Vec::new();
    for name in ["gcs", "azure"] {
        beside.job_from(TENANT, name, &json!({"file": {"connectionRef": {"name": name}, "path": "in-contacts-*.csv"}}))?;
        let (run, pod, log) = Run::behind_its_first_chunk(&beside, demo, TENANT, name, &folder)?;
        logs.push(run.first_worker_crashes(&cluster, &pod, log)?);
        beside.let_pass()?;
        run.ends("True", "Completed")?;
        run.counted_every_row_once(2)?;
        let read: &Value = &run.object()?["status"]["outcome"]["file"];
        ensure!(*read == "in-contacts-1.csv", "the file that was read is told as {read}");
    }
    let canary = Canary::new(&beside.marker);
    canary.below(&logs)?.found_nothing("logs of workers", 1 << 8)?;
    canary.below(&cluster.disks())?.found_nothing("disks of the nodes", 100 << 20)
}
