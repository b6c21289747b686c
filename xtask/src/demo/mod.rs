//! `cargo xtask demo`: from a bare checkout to two real imports in two regions, and a report in which every figure is
//! checked against one that was counted elsewhere.

mod accounting;
mod airports;
mod local;
pub(crate) mod manifests;
pub(crate) mod postgres;
mod report;
pub(crate) mod salesforce_side;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cluster;
use crate::image::Image;
use crate::kubectl::{Kubectl, condition};
use crate::programs::{self, Optimized, Programs};
use crate::progress::Progress;
use crate::{certificate, packages, process, workspace};
use accounting::Accounting;
use manifests::SYSTEM;
use report::{Report, RunReport};
use salesforce_side::SalesforceSide;

#[derive(clap::Args)]
pub(crate) struct Choice {
    /// Without a cluster and without root: one import by `dataimporter run` into a Salesforce of this machine
    #[arg(long, conflicts_with_all = ["context", "optimized", "log_level"])]
    local: bool,
    /// With --local: keep that Salesforce until Ctrl-C, to try files of your own on it
    #[arg(long, requires = "local")]
    stay: bool,
    #[command(flatten)]
    on_a_cluster: Arguments,
}

// A demo on a cluster. (As a doc comment it would become the help of the whole command.)
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Use the cluster of this kubeconfig context instead of starting one; its nodes must have the images and the region labels
    #[arg(long)]
    pub(crate) context: Option<String>,
    /// Build with optimization, as published images are: minutes later there the first time, and faster to run
    #[arg(long)]
    pub(crate) optimized: bool,
    /// What operator, keeper and workers say: info, debug, trace
    #[arg(long, default_value = "info")]
    pub(crate) log_level: String,
}

pub(crate) fn run(choice: Choice) -> Result<ExitCode> {
    if choice.local {
        return local::run(choice.stay);
    }
    let mut demo = Demo::prepare(choice.on_a_cluster)?;
    let report = demo.imports()?;
    report.print();
    Ok(if report.is_true() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Everything a person's first import needs, running.
pub(crate) struct Demo {
    pub(crate) kubectl: Kubectl,
    pub(crate) bin: PathBuf,
    pub(crate) folder: PathBuf,
    progress: Progress,
    stages: Vec<(&'static str, Duration)>,
    /// The way to the gateway of a cluster that is not ours; in ours it is published and lasts.
    forward: Option<crate::kubectl::Forward>,
}

impl Demo {
    pub(crate) fn prepare(arguments: Arguments) -> Result<Self> {
        let progress = Progress::begin();
        let mut stages = Vec::new();
        let mut stage = |name: &'static str, began: Instant| stages.push((name, began.elapsed()));
        let folder = workspace::target().join("demo");
        let bin = folder.join("bin");
        std::fs::create_dir_all(&bin).with_context(|| format!("cannot make {}", bin.display()))?;

        let began = Instant::now();
        packages::install(&progress, &[&[packages::POSTGRESQL, packages::OPENSSL, packages::CURL], &cluster::PACKAGES[..]].concat())?;
        stage("packages", began);

        let began = Instant::now();
        let optimized = if arguments.optimized { Optimized::Yes } else { Optimized::No };
        let (built, place) = programs::build_beside(&progress, &folder, optimized, || match arguments.context {
            Some(context) => Place::existing(&progress, context),
            None => Place::own(&progress),
        })?;
        stage("programs, cluster", began);

        let began = Instant::now();
        let tag = images(&progress, &built, &folder, place.cluster.as_ref())?;
        copy_tools(&built, &bin)?;
        if let Some(cluster) = &place.cluster {
            link_kubectl(cluster, &bin)?;
        }
        stage("images", began);

        let began = Instant::now();
        install(&progress, &place, &folder, &tag, &arguments.log_level)?;
        stage("chart", began);
        let kubectl = place.kubectl;

        let began = Instant::now();
        systems(&progress, &kubectl, &folder, &tag)?;
        stage("Salesforce, PostgreSQL", began);

        let forward = match place.cluster {
            Some(_) => None,
            None => Some(kubectl.forward(SYSTEM, "service/dataimporter-gateway", 443)?),
        };
        Ok(Self { kubectl, bin, folder, progress, stages, forward })
    }

    /// Applies the examples and follows both imports to their end.
    pub(crate) fn imports(&mut self) -> Result<Report> {
        let began = Instant::now();
        self.progress.say("applying examples/");
        self.apply_examples()?;
        self.ready(&["-n", "acme", "connections/crm"])?;
        self.ready(&["-n", "globex", "connections/crm", "connections/warehouse"])?;
        self.stages.push(("examples", began.elapsed()));

        let began = Instant::now();
        let file = self.folder.join("airports.csv");
        let expected = airports::write(&workspace::root().join("examples/airports.csv"), &file)?;
        self.progress.say("uploading the airports");
        self.plugin(&["upload", &file.to_string_lossy(), "--name", "airports", "--replace", "-n", "acme"])?;
        self.stages.push(("upload", began.elapsed()));

        let began = Instant::now();
        let run = format!("airports-demo-{}", std::process::id());
        self.progress.say("importing the airports (acme, eu-frankfurt)");
        self.plugin(&["run", "acme/airports", "--name", &run, "--wait", "--timeout", "300"])?;
        self.stages.push(("import from the file", began.elapsed()));

        let began = Instant::now();
        let contacts = self.contacts()?;
        self.stages.push(("import from PostgreSQL", began.elapsed()));

        let authority = certificate::authority();
        let side = SalesforceSide::open(&self.kubectl, &authority)?;
        let airports = self.report("acme", &run, "eu-frankfurt", expected, side.count("Account WHERE icao__c != null")?)?;
        let found = side.count("Contact WHERE External_Id__c LIKE 'globex-%'")?;
        let contacts = self.report("globex", &contacts, "ap-sydney", postgres::expected(), found)?;
        Ok(Report {
            runs: vec![airports, contacts],
            stages: std::mem::take(&mut self.stages),
            bin: self.bin.clone(),
            kubeconfig: self.kubectl.kubeconfig.clone(),
        })
    }

    /// The job starts its one run by itself. In a cluster that has seen a demo, that run is over and what it loaded may be gone
    /// with the in-memory Salesforce, so another one is asked for.
    fn contacts(&self) -> Result<String> {
        let first = "contacts-once-1";
        let seen =
            self.kubectl.run(&["get", "importrun", first, "-n", "globex", "--ignore-not-found", "-o", "jsonpath={.status.startedAt}"])?;
        let began_here = seen.is_empty() || self.kubectl.run(&["get", "importruns", "-n", "acme", "-o", "name"])?.lines().count() == 1;
        if began_here {
            self.progress.say("importing the contacts of PostgreSQL (globex, ap-sydney), which started by itself");
            self.plugin(&["wait", &format!("globex/{first}"), "--timeout", "300"])?;
            return Ok(first.to_owned());
        }
        self.progress.say("importing the contacts of PostgreSQL again (globex, ap-sydney)");
        let name = format!("contacts-demo-{}", std::process::id());
        self.plugin(&["run", "globex/contacts", "--name", &name, "--wait", "--timeout", "300"])?;
        Ok(name)
    }

    /// Tenants first: what lies in a namespace is admitted once a Tenant holds it.
    pub(crate) fn apply_examples(&self) -> Result<String> {
        let examples = workspace::root().join("examples");
        let path = |file: &str| examples.join(file).to_string_lossy().into_owned();
        self.kubectl.run(&["apply", "-f", &path("10-regions.yaml"), "-f", &path("20-tenants.yaml")])?;
        self.ready(&["tenants/acme", "tenants/globex"])?;
        // A quota that was just made admits nothing before the cluster has counted what is there.
        let mut applied = String::new();
        process::wait_until("quotas that count our kinds", Duration::from_secs(90), || {
            applied = self.kubectl.run(&["apply", "-f", &examples.to_string_lossy()])?;
            Ok(())
        })?;
        Ok(applied)
    }

    pub(crate) fn ready(&self, objects: &[&str]) -> Result<()> {
        process::wait_until(&format!("{} ready", objects.join(" ")), Duration::from_secs(120), || {
            let found = self.kubectl.json(&[&["get"], objects].concat())?;
            let items = found["items"].as_array().cloned().unwrap_or_else(|| vec![found.clone()]);
            for item in &items {
                match condition(item, "Ready") {
                    Some(("True", ..)) => {}
                    Some((_, reason, message)) => bail!("{} {}: {reason}: {message}", item["kind"], item["metadata"]["name"]),
                    None => bail!("{} {} has no condition Ready", item["kind"], item["metadata"]["name"]),
                }
            }
            Ok(())
        })
    }

    /// `kubectl import …` as a user would run it.
    pub(crate) fn plugin_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.bin.join("kubectl-import"));
        self.kubectl.point(&mut command).args(arguments);
        if let Some(context) = &self.kubectl.context {
            command.args(["--context", context]);
        }
        if let Some(forward) = &self.forward {
            command.env("DATAIMPORTER_GATEWAY", format!("127.0.0.1:{}", forward.port));
        }
        command
    }

    /// Runs it with what it says going to the terminal.
    pub(crate) fn plugin(&self, arguments: &[&str]) -> Result<()> {
        let status = self.plugin_command(arguments).stdin(Stdio::null()).status().context("cannot start kubectl-import")?;
        if !status.success() {
            bail!("kubectl import {} ended with {status}", arguments.join(" "));
        }
        Ok(())
    }

    fn report(
        &self,
        namespace: &str,
        run: &str,
        region: &'static str,
        expected: airports::Expected,
        in_salesforce: i64,
    ) -> Result<RunReport> {
        let object = self.kubectl.json(&["get", "importrun", run, "-n", namespace])?;
        let failures = self.first_failures(namespace, run)?;
        let accounting = Accounting { rows: object["status"]["rows"].clone(), expected, in_salesforce, failures };
        Ok(RunReport { namespace: namespace.to_owned(), name: run.to_owned(), region, accounting, object })
    }

    /// The first lines of the file of failed rows, as `kubectl import results` gives it.
    fn first_failures(&self, namespace: &str, run: &str) -> Result<Vec<String>> {
        let file = process::output(&mut self.plugin_command(&["results", &format!("{namespace}/{run}"), "failed.csv"]))?;
        Ok(file.lines().take(4).map(str::to_owned).collect())
    }
}

/// Where the demo runs.
struct Place {
    kubectl: Kubectl,
    helm: PathBuf,
    /// The node that the keeper's volumes lie on.
    node: String,
    /// The cluster of this checkout, when it is that one.
    cluster: Option<cluster::Cluster>,
}

impl Place {
    /// The cluster of this checkout, started if need be.
    fn own(progress: &Progress) -> Result<Self> {
        let cluster = cluster::up(progress)?;
        let tools = cluster.tools();
        let kubectl = Kubectl { program: tools.program("kubectl"), kubeconfig: Some(cluster.kubeconfig()), context: None };
        Ok(Self { node: node_of(&kubectl, "eu-frankfurt")?, helm: tools.program("helm"), kubectl, cluster: Some(cluster) })
    }

    fn existing(progress: &Progress, context: String) -> Result<Self> {
        let helm = cluster::build(progress)?.program("helm");
        let kubectl = Kubectl { program: "kubectl".into(), kubeconfig: None, context: Some(context) };
        Ok(Self { node: node_of(&kubectl, "eu-frankfurt")?, helm, kubectl, cluster: None })
    }
}

fn node_of(kubectl: &Kubectl, region: &str) -> Result<String> {
    let nodes = kubectl.json(&["get", "nodes", "-l", &format!("node-restriction.kubernetes.io/dataimporter-region={region}")])?;
    let name = nodes["items"][0]["metadata"]["name"].as_str();
    name.map(str::to_owned).with_context(|| {
        format!("no node is labelled node-restriction.kubernetes.io/dataimporter-region={region}; an admin must label one node each for eu-frankfurt, us-dallas and ap-sydney")
    })
}

/// Packs the programs into images and gives them to every node. The tag is the program's digest, so a new build rolls out.
fn images(progress: &Progress, built: &Programs, folder: &Path, cluster: Option<&cluster::Cluster>) -> Result<String> {
    let tag = workspace::digest(&built.dataimporter)?[..12].to_owned();
    let Some(cluster) = cluster else { return Ok(tag) };
    progress.say("packing images and loading them on every node");
    let ours = Image::of_program(&format!("dataimporter:{tag}"), &built.dataimporter)?.with_certificate_authorities();
    let emulator = Image::of_program("salesforce-emulator:dev", &built.emulator)?;
    for (name, image) in [("dataimporter", ours), ("salesforce-emulator", emulator)] {
        let archive = folder.join(format!("{name}.tar"));
        image.write(&archive)?;
        cluster.load_image(&archive)?;
    }
    let archive = folder.join("postgres.tar");
    if !archive.exists() {
        postgres::pack(&archive, folder)?;
    }
    cluster.load_image(&archive)?;
    Ok(tag)
}

fn copy_tools(built: &Programs, bin: &Path) -> Result<()> {
    for (from, name) in [(&built.dataimporter, "dataimporter"), (&built.plugin, "kubectl-import"), (&built.emulator, "salesforce-emulator")]
    {
        let (to, fresh) = (bin.join(name), bin.join(format!("{name}.new")));
        std::fs::copy(from, &fresh).with_context(|| format!("cannot copy {}", from.display()))?;
        std::fs::rename(&fresh, &to)?;
    }
    Ok(())
}

/// A bare machine has none, and the README's walk-through needs one.
fn link_kubectl(cluster: &cluster::Cluster, bin: &Path) -> Result<()> {
    let (to, fresh) = (bin.join("kubectl"), bin.join("kubectl.new"));
    let _ = std::fs::remove_file(&fresh);
    std::os::unix::fs::symlink(cluster.tools().program("kubectl"), &fresh)?;
    std::fs::rename(&fresh, &to).with_context(|| format!("cannot link {}", to.display()))
}

fn install(progress: &Progress, place: &Place, folder: &Path, tag: &str, log_level: &str) -> Result<()> {
    let kubectl = &place.kubectl;
    progress.say("installing the chart");
    let storage = folder.join("storage");
    if place.cluster.is_some() && storage.exists() && !kubectl.exists(&["namespace", SYSTEM])? {
        // Of a cluster that is gone, and its keys with it: opened by nobody, and its audit not written by any keeper of this one.
        std::fs::remove_dir_all(&storage).with_context(|| format!("cannot remove {}", storage.display()))?;
    }
    kubectl.apply(&manifests::storage(&storage, &place.node)?)?;
    for region in manifests::file_keys() {
        if !kubectl.exists(&["secret", &manifests::root_key_name(region), "-n", SYSTEM])? {
            let key = process::output(Command::new("openssl").args(["rand", "-hex", "32"]))?;
            kubectl.apply(&manifests::root_key(region, key.trim()))?;
        }
    }
    let values = folder.join("values.json");
    let node_port = place.cluster.as_ref().map(|cluster| cluster.state.node_port);
    std::fs::write(&values, manifests::values("dataimporter", tag, node_port, log_level).to_string())?;
    let mut helm = Command::new(&place.helm);
    kubectl.point(&mut helm).args(["upgrade", "--install", "dataimporter"]).arg(workspace::root().join("charts/dataimporter"));
    helm.args(["--namespace", SYSTEM, "--create-namespace", "--wait", "--timeout", "180s", "--values"]).arg(&values);
    if let Some(context) = &kubectl.context {
        helm.args(["--kube-context", context]);
    }
    process::output(&mut helm).map_err(|error| why_not_ready(kubectl, error))?;
    // Helm calls an upgraded StatefulSet ready while its old pod still answers.
    for workload in ["statefulset/dataimporter-keeper", "deployment/dataimporter-operator"] {
        kubectl.run(&["rollout", "status", workload, "-n", SYSTEM, "--timeout=120s"]).map_err(|error| why_not_ready(kubectl, error))?;
    }
    Ok(())
}

/// Helm only says that it ran out of time: adds what the pods say.
fn why_not_ready(kubectl: &Kubectl, error: anyhow::Error) -> anyhow::Error {
    let mut said = String::new();
    for arguments in [
        &["get", "pods", "-n", SYSTEM, "-o", "wide"][..],
        &["logs", "-n", SYSTEM, "-l", "app.kubernetes.io/name=dataimporter", "--tail=15", "--prefix"],
        &["get", "events", "-n", SYSTEM, "--sort-by=.lastTimestamp"],
    ] {
        said.push_str(&kubectl.run(arguments).unwrap_or_default());
    }
    error.context(format!("the chart did not become ready; its pods say:\n{said}"))
}

/// The Salesforce-compatible server and the database, with certificates of the demo's authority.
fn systems(progress: &Progress, kubectl: &Kubectl, folder: &Path, tag: &str) -> Result<()> {
    progress.say("starting a Salesforce to try on and a PostgreSQL");
    let examples = workspace::root().join("examples");
    kubectl.run(&["apply", "-f", &examples.join("emulator/emulator.yaml").to_string_lossy()])?;
    for (name, host) in [("salesforce-emulator-tls", "salesforce-emulator.demo.svc"), ("postgres-tls", "postgres.demo.svc")] {
        if !kubectl.exists(&["secret", name, "-n", "demo"])? {
            kubectl.apply(&manifests::tls_secret(name, host, folder)?)?;
        }
    }
    kubectl.run(&["apply", "-f", &examples.join("postgres/postgres.yaml").to_string_lossy()])?;
    // The image of the emulator keeps its name; a new build is told from an old one by this mark.
    let mark = format!(r#"{{"spec":{{"template":{{"metadata":{{"annotations":{{"dataimporter.io/build":"{tag}"}}}}}}}}}}"#);
    kubectl.run(&["patch", "deployment", "salesforce-emulator", "-n", "demo", "--type=merge", "-p", &mark])?;
    for deployment in ["deployment/salesforce-emulator", "deployment/postgres"] {
        kubectl.run(&["rollout", "status", deployment, "-n", "demo", "--timeout=120s"])?;
    }
    Ok(())
}
