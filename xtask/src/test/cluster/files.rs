//! Files as people send and fetch them with `curl`: with tokens that are for something else, in halves, twice, altered, and with the
//! keeper killed while they come.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::Check;
use super::worker::{self, Keeper};
use crate::demo::Demo;
use crate::kubectl::Forward;
use crate::process;

pub(super) const CHECKS: &[Check] = &[
    ("a file token opens what it is for and nothing else", a_token_is_for_one_thing),
    ("an upload that is cut off, altered or sent twice leaves nothing of it", half_an_upload),
    ("an upload whose keeper is killed in the middle leaves nothing of it", a_killed_keeper),
];

const SYSTEM: &str = "dataimporter-system";
const WRITER: &str = "dataimporter-files-writer";
const READER: &str = "dataimporter-files-reader";

/// A person with `curl`, the keeper's certificate authority and a way to the gateway.
struct Person<'a> {
    demo: &'a Demo,
    authority: PathBuf,
    forward: Forward,
    installation: String,
}

impl<'a> Person<'a> {
    fn of(demo: &'a Demo) -> Result<Self> {
        let authority = Keeper::of(demo)?.authority;
        let forward = demo.kubectl.forward(SYSTEM, "service/dataimporter-gateway", 443)?;
        let installation =
            demo.kubectl.run(&["get", "configmap", "dataimporter-installation", "-n", SYSTEM, "-o", "jsonpath={.data.uid}"])?;
        Ok(Self { demo, authority, forward, installation })
    }

    fn token(&self, namespace: &str, account: &str, region: &str) -> Result<String> {
        let audience = format!("--audience=dataimporter-files.{region}.{}", self.installation);
        Ok(self.demo.kubectl.run(&["create", "token", account, "-n", namespace, "--duration=10m", &audience])?.trim().to_owned())
    }

    /// Starts a call; its standard output is the status code.
    fn curl(&self, token: &str, path: &str, arguments: &[&str]) -> Result<Child> {
        let mut child = Command::new("curl")
            .args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--noproxy", "*", "--max-time", "60", "--cacert"])
            .arg(&self.authority)
            .args(["--header", "@-", &format!("https://127.0.0.1:{}/v1/namespaces/{path}", self.forward.port)])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start curl")?;
        writeln!(child.stdin.take().context("it is piped")?, "Authorization: Bearer {token}")?;
        Ok(child)
    }

    fn status(&self, token: &str, path: &str, arguments: &[&str]) -> Result<String> {
        Ok(String::from_utf8(self.curl(token, path, arguments)?.wait_with_output()?.stdout)?)
    }

    /// An Upload of acme's that waits for its file. Answers its UID.
    fn upload(&self, name: &str) -> Result<String> {
        let upload = json!({"apiVersion": "dataimporter.io/v1alpha1", "kind": "Upload", "metadata": {"name": name, "namespace": "acme"},
            "spec": {"fileName": "rows.csv"}});
        self.demo.kubectl.apply(&upload)?;
        self.demo.kubectl.run(&["get", "upload", name, "-n", "acme", "-o", "jsonpath={.metadata.uid}"])
    }

    fn file(&self) -> String {
        self.demo.folder.join("airports.csv").to_string_lossy().into_owned()
    }

    fn put(&self, name: &str, arguments: &[&str]) -> Result<String> {
        let token = self.token("acme", WRITER, "eu-frankfurt")?;
        self.status(&token, &format!("acme/uploads/{name}"), &[&["--upload-file", &self.file()], arguments].concat())
    }

    /// Neither bytes on the volume nor a record of them.
    fn nothing_of(&self, uid: &str) -> Result<()> {
        let on_volume = on_volume(self.demo, uid);
        ensure!(on_volume.is_empty(), "on the volume: {on_volume:?}");
        ensure!(!self.demo.kubectl.exists(&["secret", &format!("file-{uid}"), "-n", SYSTEM])?, "its record is there");
        Ok(())
    }

    /// The name is free again, and what is sent now is taken.
    fn may_be_sent_again(&self, name: &str, uid: &str) -> Result<()> {
        process::wait_until("nothing of the file to be left", Duration::from_secs(30), || self.nothing_of(uid))?;
        let again = self.put(name, &[])?;
        ensure!(again == "200", "the whole file was answered {again}");
        ensure!(on_volume(self.demo, uid).len() == 1, "control: a file that was taken is on the volume");
        Ok(())
    }
}

/// What the keeper has begun on Frankfurt's volume and not finished.
fn begun(demo: &Demo) -> Vec<PathBuf> {
    let replicas = entries(&demo.folder.join("storage/frankfurt/eu-frankfurt/begun"));
    replicas.iter().flat_map(|replica| entries(replica)).collect()
}

/// Files of Frankfurt's volume whose name contains the UID.
fn on_volume(demo: &Demo, uid: &str) -> Vec<PathBuf> {
    let folders = entries(&demo.folder.join("storage/frankfurt/eu-frankfurt/files"));
    folders.iter().flat_map(|folder| entries(folder)).filter(|file| file.to_string_lossy().contains(uid)).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn a_token_is_for_one_thing(demo: &Demo) -> Result<()> {
    let person = Person::of(demo)?;
    let uid = person.upload("tokens")?;
    let run = demo.kubectl.run(&["get", "importruns", "-n", "globex", "-o", "jsonpath={.items[0].metadata.name}"])?;
    let results = format!("globex/importruns/{run}/results/failed.csv");
    let sending = ["--upload-file", &person.file()];
    let [acme_writer, acme_reader] = [WRITER, READER].map(|account| person.token("acme", account, "eu-frankfurt"));
    let [globex_writer, globex_reader] = [WRITER, READER].map(|account| person.token("globex", account, "ap-sydney"));
    let (acme_writer, acme_reader, globex_writer, globex_reader) = (acme_writer?, acme_reader?, globex_writer?, globex_reader?);
    for (whose, token) in [
        ("its reader", acme_reader.clone()),
        ("another tenant's writer", globex_writer.clone()),
        ("another account", person.token("acme", "default", "eu-frankfurt")?),
        ("its writer for another region", person.token("acme", WRITER, "ap-sydney")?),
    ] {
        let status = person.status(&token, "acme/uploads/tokens", &sending)?;
        ensure!(status == "403", "{whose} sends a file: {status}");
    }
    for (whose, token) in [("its writer", &globex_writer), ("another tenant's reader", &acme_reader)] {
        let status = person.status(token, &results, &[])?;
        ensure!(status == "403", "{whose} reads a result: {status}");
    }
    person.nothing_of(&uid)?;
    let (sent, read) = (person.status(&acme_writer, "acme/uploads/tokens", &sending)?, person.status(&globex_reader, &results, &[])?);
    ensure!(sent == "200" && read == "200", "control: the right tokens are answered {sent} and {read}");
    Ok(())
}

fn half_an_upload(demo: &Demo) -> Result<()> {
    let person = Person::of(demo)?;
    let uid = person.upload("halves")?;
    let cut = person.put("halves", &["--limit-rate", "500K", "--max-time", "2", "--header", "Expect:"])?;
    ensure!(cut == "000", "control: the upload was to be cut off, and was answered {cut}");
    process::wait_until("nothing of the cut file to be left", Duration::from_secs(30), || person.nothing_of(&uid))?;
    let altered = person.put("halves", &["--header", &format!("x-content-sha256: {}", "0".repeat(64))])?;
    ensure!(altered == "422", "a file with another digest than announced was answered {altered}");
    person.may_be_sent_again("halves", &uid)?;
    let second = person.put("halves", &[])?;
    ensure!(second == "409", "a second file was answered {second}");
    Ok(())
}

fn a_killed_keeper(demo: &Demo) -> Result<()> {
    let person = Person::of(demo)?;
    let uid = person.upload("killed")?;
    let token = person.token("acme", WRITER, "eu-frankfurt")?;
    // No "100 Continue" in between, which curl would take for the answer when nothing follows.
    let arguments = ["--upload-file", &person.file(), "--limit-rate", "200K", "--header", "Expect:"];
    let sending = person.curl(&token, "acme/uploads/killed", &arguments)?;
    process::wait_until("the first bytes on the volume", Duration::from_secs(30), || {
        let begun = begun(demo).iter().any(|file| file.metadata().is_ok_and(|file| file.len() > 0));
        ensure!(begun, "nothing of it is there");
        Ok(())
    })?;
    let keeper =
        |field: &str| demo.kubectl.run(&["get", "pod", "dataimporter-keeper-0", "-n", SYSTEM, "-o", &format!("jsonpath={{{field}}}")]);
    let restarts = keeper(".status.containerStatuses[0].restartCount")?;
    worker::signal_process_of("KILL", &keeper(".metadata.uid")?)?;
    let answer = String::from_utf8(sending.wait_with_output()?.stdout)?;
    ensure!(answer == "000", "control: the upload was to break off, and was answered {answer}");
    process::wait_until("the keeper to be ready again", Duration::from_secs(120), || {
        let (now, ready) = (keeper(".status.containerStatuses[0].restartCount")?, keeper(".status.containerStatuses[0].ready")?);
        ensure!(now != restarts && ready == "true", "it was restarted {now} times and is ready: {ready}");
        Ok(())
    })?;
    person.nothing_of(&uid).context("the keeper is ready again")?;
    let left = begun(demo);
    ensure!(left.is_empty(), "the keeper is ready again, and what it had begun is there: {left:?}");
    // The way through the pod broke with the process.
    Person::of(demo)?.may_be_sent_again("killed", &uid)
}
