//! An installation behind an HTTP proxy: a real tinyproxy beside the cluster, which alone knows the names of what is outside.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::beside::{Beside, COMMIT, listens, look_again};
use super::network::{PROBE, address_of, differences, reached, worker_labels};
use super::org::Org;
use super::pods::WithoutPodPolicy;
use super::runs::Run;
use super::{Check, chart};
use crate::cluster::{BESIDE, Cluster};
use crate::demo::Demo;
use crate::demo::manifests::SYSTEM;
use crate::kubectl::Kubectl;
use crate::process;

pub(super) const CHECKS: &[Check] = &[
    ("behind a proxy, keeper and workers reach by CONNECT what is public, and nothing public without it", through),
    ("a proxy that goes away in the middle of a run is waited for, and the run loads each row once", goes_away),
];

const TENANT: &str = "proxied";
const REGION: &str = "us-dallas";
/// A Salesforce at an address that the internet has; the cluster's DNS does not know its name.
const OUTSIDE: Org = Org { host: "crm.outside.example", address: "11.11.11.12", port: 443 };
/// Another name that the proxy alone knows, of the database beside the cluster.
const WAREHOUSE: &str = "warehouse.outside.example";
const PORT: u16 = 3128;
const USER: &str = "importer";
/// The Secret with the login.
const LOGIN: &str = "proxy-login";

/// A tinyproxy that asks for a login.
struct Tinyproxy {
    folder: PathBuf,
    process: Option<Child>,
}

impl Tinyproxy {
    fn start(folder: &Path, password: &str) -> Result<Self> {
        let folder = folder.join("proxy");
        std::fs::create_dir_all(&folder)?;
        let here = folder.display();
        std::fs::write(folder.join("hosts"), format!("{} {}\n{BESIDE} {WAREHOUSE}\n", OUTSIDE.address, OUTSIDE.host))?;
        let config = format!(
            "Port {PORT}\nListen {BESIDE}\nTimeout 600\nMaxClients 50\nLogLevel Connect\nLogFile \"{here}/log\"\nPidFile \"{here}/pid\"\n\
             BasicAuth {USER} {password}\nConnectPort 443\nConnectPort 5432\n"
        );
        std::fs::write(folder.join("tinyproxy.conf"), config)?;
        let mut proxy = Self { folder, process: None };
        proxy.runs(true)?;
        Ok(proxy)
    }

    /// It runs, or is gone with every connection through it.
    fn runs(&mut self, runs: bool) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        if runs {
            let cluster = Cluster::find()?;
            let mut server = cluster.in_network(&["unshare", "--mount", "sh", "-c"])?;
            server.arg("mount --bind \"$1/hosts\" /etc/hosts && exec /usr/bin/tinyproxy -d -c \"$1/tinyproxy.conf\"").arg("proxy");
            server.arg(&self.folder).stdin(Stdio::null()).stdout(Stdio::null());
            self.process = Some(server.spawn().context("cannot start tinyproxy")?);
            listens(PORT, "tinyproxy")?;
        }
        Ok(())
    }

    /// Who has asked for what: addresses of pods by target.
    fn asked(&self) -> Result<BTreeMap<String, BTreeSet<String>>> {
        let log = std::fs::read_to_string(self.folder.join("log"))?;
        let mut callers = BTreeMap::new();
        let mut asked: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for line in log.lines() {
            let descriptor = line.split_once("(file descriptor ").and_then(|(_, rest)| rest.split_once("): "));
            let Some((descriptor, said)) = descriptor else { continue };
            if line.contains("Connect (file") {
                callers.insert(descriptor, said.split_whitespace().next().unwrap_or_default());
            } else if let Some(target) = said.strip_prefix("CONNECT ").and_then(|rest| rest.split_whitespace().next()) {
                asked.entry(target.to_owned()).or_default().insert((*callers.get(descriptor).unwrap_or(&"")).to_owned());
            }
        }
        Ok(asked)
    }

    fn was_asked(&self, target: &str, by: &str) -> Result<()> {
        let asked = self.asked()?;
        ensure!(asked.get(target).is_some_and(|callers| callers.contains(by)), "{by} has not asked for {target}: {asked:?}");
        Ok(())
    }
}

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        let _ = self.runs(false);
    }
}

/// An address of the internet on the network of the nodes.
struct Internet;

impl Internet {
    fn begin() -> Result<Self> {
        // Already there when an earlier check was cut short.
        let _ = Self::address("add")?.stderr(Stdio::null()).status();
        Ok(Self)
    }

    fn address(verb: &str) -> Result<Command> {
        Cluster::find()?.in_network(&["ip", "address", verb, &format!("{}/32", OUTSIDE.address), "dev", "nodes"])
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        let _ = Self::address("delete").map(|mut delete| delete.status());
    }
}

/// No proxy any more.
struct WithoutAgain<'a>(&'a Kubectl);

impl Drop for WithoutAgain<'_> {
    fn drop(&mut self) {
        let _ = chart::set(self.0, &["egress.proxy.url=", "egress.proxy.secretName=", "egress.proxy.cidrs=null"]);
        let _ = self.0.run(&["delete", "secret", LOGIN, "-n", SYSTEM, "--ignore-not-found"]);
    }
}

struct Behind<'a> {
    demo: &'a Demo,
    folder: PathBuf,
    /// It revokes access when it ends, for which it takes the proxy.
    beside: Beside<'a>,
    proxy: Tinyproxy,
    _again: WithoutAgain<'a>,
    _internet: Internet,
}

impl<'a> Behind<'a> {
    /// A tenant whose Salesforce is outside, and no proxy yet.
    fn begin(demo: &'a Demo) -> Result<Self> {
        let mut beside = Beside::start(demo)?;
        let (internet, again) = (Internet::begin()?, WithoutAgain(&demo.kubectl));
        beside.salesforce(&OUTSIDE)?;
        let proxy = Tinyproxy::start(beside.folder(), &beside.password())?;
        let folder = demo.folder.join("proxy");
        std::fs::create_dir_all(&folder)?;
        let hosts = json!({"spec": {"allowedLoginHosts": [OUTSIDE.host]}}).to_string();
        demo.kubectl.run(&["patch", "region", REGION, "--type=merge", "-p", &hosts])?;
        beside.tenant_of(REGION, TENANT)?;
        beside.connection(TENANT, "crm", &[("clientSecret", &beside.client_secret())], OUTSIDE.connection()?)?;
        Ok(Self { demo, folder, beside, proxy, _again: again, _internet: internet })
    }

    fn login(&self) -> Result<()> {
        let entries = json!({"username": USER, "password": self.beside.password()});
        let metadata = json!({"name": LOGIN, "namespace": SYSTEM});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": entries});
        self.demo.kubectl.apply(&secret).map(drop)
    }

    fn set(&self, more: &[&str]) -> Result<()> {
        let (url, cidrs) = (format!("egress.proxy.url=http://{BESIDE}:{PORT}"), format!("egress.proxy.cidrs={{{BESIDE}/32}}"));
        chart::set(&self.demo.kubectl, &[&[url.as_str(), &cidrs], more].concat())
    }

    fn says(&self, connection: &str, reason: &str, words: &str) -> Result<()> {
        look_again(&self.demo.kubectl, TENANT, connection)?;
        self.beside.connection_says(TENANT, connection, reason, words)?;
        println!("  {connection} says {reason}");
        Ok(())
    }

    fn keeper(&self) -> Result<String> {
        address_of(&self.demo.kubectl, SYSTEM, "app.kubernetes.io/component=keeper")
    }

    /// Two thousand rows by this job, each of them once. Answers the address of its worker.
    fn loads(&self, job: &str) -> Result<String> {
        let run = Run::start(self.demo, TENANT, job, &self.folder)?;
        let (pod, log) = run.worker(1)?;
        run.ends("True", "Completed")?;
        run.counted_every_row_once(1)?;
        let said = format!("{pod}{}", std::fs::read_to_string(log.ended()?)?);
        ensure!(!said.contains(&self.beside.password()), "the login of the proxy is in the pod or its log");
        ensure!(said.contains("proxied"), "control: the pod and its log say nothing of {TENANT}");
        let address = || self.demo.kubectl.json(&["get", "pod", "-n", "dataimporter-run-proxied", text(&pod, "/metadata/name")]);
        // It had none yet when it was seen first, and may be gone by now.
        let late = || address().ok().map(|pod| text(&pod, "/status/podIP").to_owned());
        Some(text(&pod, "/status/podIP").to_owned()).filter(|ip| !ip.is_empty()).or_else(late).context("the worker has an address")
    }
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn through(demo: &Demo) -> Result<()> {
    let behind = Behind::begin(demo)?;
    let (kubectl, beside) = (&demo.kubectl, &behind.beside);
    beside.permit(TENANT, "crm")?;
    behind.says("crm", "HostNotFound", OUTSIDE.host)?;
    ensure!(behind.proxy.asked().map_or(true, |asked| asked.is_empty()), "control: nobody has asked the proxy yet");

    // Without its login, with another one, and with it.
    behind.set(&[])?;
    behind.says("crm", "ProxyRefused", "asks for a login")?;
    behind.login()?;
    kubectl.run(&["patch", "secret", LOGIN, "-n", SYSTEM, "--type=merge", "-p", r#"{"stringData": {"password": "another"}}"#])?;
    behind.set(&[&format!("egress.proxy.secretName={LOGIN}")])?;
    behind.says("crm", "ProxyRefused", "does not take the login")?;
    behind.login()?;
    kubectl.run(&["rollout", "restart", "statefulset/dataimporter-keeper", "-n", SYSTEM])?;
    chart::rolled_out(kubectl)?;
    beside.intake(TENANT, &["crm"])?;
    behind.proxy.was_asked("crm.outside.example:443", &behind.keeper()?)?;

    // A file, to what is outside.
    let file = behind.folder.join("rows.csv");
    std::fs::write(&file, beside.contacts())?;
    demo.plugin(&["upload", &file.to_string_lossy(), "--name", "rows", "--replace", "-n", TENANT])?;
    beside.job_from(TENANT, "rows", &json!({"upload": {"name": "rows"}}))?;
    let worker = behind.loads("rows")?;
    behind.proxy.was_asked("crm.outside.example:443", &worker)?;

    // A database that the Region lists is dialed past it; one that is outside by its own port through it.
    beside.database_at(TENANT, "listed", "warehouse.beside.svc")?;
    beside.database_at(TENANT, "outside", WAREHOUSE)?;
    beside.intake(TENANT, &["listed", "outside"])?;
    for name in ["listed", "outside"] {
        beside.job(TENANT, name, name, "SELECT id, first_name, last_name FROM contacts")?;
    }
    behind.loads("listed")?;
    let worker = behind.loads("outside")?;
    behind.proxy.was_asked(&format!("{WAREHOUSE}:5432"), &worker)?;
    behind.proxy.was_asked(&format!("{WAREHOUSE}:5432"), &behind.keeper()?)?;
    let asked: Vec<String> = behind.proxy.asked()?.into_keys().collect();
    ensure!(asked == ["crm.outside.example:443", "warehouse.outside.example:5432"], "it was asked for {asked:?}");
    println!("  the proxy was asked for {}", asked.join(" and "));

    // An address that is not public is not asked for, however it is written.
    for (name, host) in [("metadata", "169.254.169.254"), ("number", "2852039166")] {
        beside.database_at(TENANT, name, host)?;
        beside.permit(TENANT, name)?;
        behind.says(name, "AddressRefused", "privateEndpoints")?;
    }
    ensure!(behind.proxy.asked()?.len() == 2, "it was asked for {:?}", behind.proxy.asked()?);
    the_network_lets_nobody_past_it(kubectl)
}

/// Programs in the place of worker and keeper.
fn the_network_lets_nobody_past_it(kubectl: &Kubectl) -> Result<()> {
    let cluster = Cluster::find()?;
    cluster.load_program(PROBE, &cluster.tools().program("probe"))?;
    let targets: BTreeMap<String, &'static str> = [
        (format!("{BESIDE}:{PORT}"), "the proxy"),
        (format!("{}:443", OUTSIDE.address), "a public address"),
        (format!("{}:8443", address_of(kubectl, "demo", "app=salesforce-emulator")?), "what the Region lists for acme"),
    ]
    .into();
    let free = reached(kubectl, "demo", "eu-frankfurt", "probe-free", &json!({}), &targets)?;
    differences("control: a pod without policies", &free, &free.keys().map(|what| (*what, true)).collect())?;
    let expected: BTreeMap<&'static str, bool> = targets.values().map(|what| (*what, *what != "a public address")).collect();
    let labels = json!({"app.kubernetes.io/name": "dataimporter", "app.kubernetes.io/component": "keeper"});
    let keeper = reached(kubectl, SYSTEM, "eu-frankfurt", "probe-keeper", &labels, &targets)?;
    differences("a program in the keeper's place", &keeper, &expected)?;
    let off = WithoutPodPolicy::begin(kubectl)?;
    let worker = reached(kubectl, "dataimporter-run-acme", "eu-frankfurt", "probe-file", &worker_labels(None), &targets)?;
    off.end()?;
    differences("a program in a worker's place", &worker, &expected)
}

fn goes_away(demo: &Demo) -> Result<()> {
    let mut behind = Behind::begin(demo)?;
    behind.login()?;
    behind.set(&[&format!("egress.proxy.secretName={LOGIN}")])?;
    behind.beside.intake(TENANT, &["crm"])?;
    let file = behind.folder.join("rows.csv");
    std::fs::write(&file, behind.beside.contacts())?;
    demo.plugin(&["upload", &file.to_string_lossy(), "--name", "rows", "--replace", "-n", TENANT])?;
    behind.beside.job_from(TENANT, "rows", &json!({"upload": {"name": "rows"}}))?;

    // While a chunk waits for its commit.
    OUTSIDE.hold(0, COMMIT, 10, 1)?;
    let run = Run::start_as(&format!("away-{}", std::process::id()), demo, TENANT, "rows", &behind.folder)?;
    run.has_uploaded_a_chunk()?;
    behind.proxy.runs(false)?;
    let asked = process::output(Command::new("date").arg("+dataimporter.io/reconcile-at=%s"))?;
    demo.kubectl.run(&["annotate", "connection", "crm", "-n", TENANT, "--overwrite", asked.trim()])?;
    behind.says("crm", "Unreachable", &format!("{BESIDE}:{PORT}"))?;
    std::thread::sleep(Duration::from_secs(15));
    ensure!(run.object()?["status"]["finishedAt"].is_null(), "control: it ended without the proxy: {}", run.object()?["status"]);
    behind.proxy.runs(true)?;
    run.ends("True", "Completed")?;
    let status = run.object()?["status"].clone();
    let attempts = status["attempts"].as_array().map_or(0, Vec::len);
    run.counted_every_row_once(attempts)?;
    println!("  it ended well after {attempts} attempts, rows {}", status["rows"]);
    behind.beside.intake(TENANT, &["crm"])
}
