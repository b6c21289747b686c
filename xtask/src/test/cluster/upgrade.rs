//! From the version before to this one while runs go on, back, and up again.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::beside::{Beside, ORG};
use super::chart::{self, helm};
use super::runs::Run;
use super::{Check, goodbye};
use crate::cluster::Cluster;
use crate::demo::Demo;
use crate::demo::manifests::SYSTEM;
use crate::kubectl::Kubectl;
use crate::previous::{self, Previous};
use crate::progress::Progress;
use crate::{process, workspace};

pub(super) const CHECKS: &[Check] = &[
    ("runs that the version before began come to their end under this one, and no row is lost or doubled", upgraded),
    ("an upgrade is taken back, and made again", taken_back),
];

const TENANT: &str = "upgraded";
const ROWS: u64 = 2_000;

/// An installation that may change its version.
struct Installed<'a> {
    demo: &'a Demo,
    beside: Beside<'a>,
    folder: PathBuf,
    /// The images' tags: of the version before, and of this one.
    tags: (String, String),
}

impl<'a> Installed<'a> {
    /// The version before, in the place of all that is there.
    fn begin(demo: &'a Demo) -> Result<Self> {
        let previous = previous::make(&Progress::begin())?;
        let kubectl = &demo.kubectl;
        goodbye::uninstall(demo, "Erase")?;
        let definitions = kubectl.run(&["get", "crd", "-o", "name"])?;
        for definition in definitions.lines().filter(|name| name.ends_with(".dataimporter.io")) {
            kubectl.run(&["delete", definition, "--timeout=120s"])?;
        }
        // Its audit is left, which the next one could not check: that one begins on empty volumes.
        let storage = demo.folder.join("storage");
        process::output(Command::new("find").arg(&storage).args(["-mindepth", "2", "-delete"]))?;
        let tag = |program| Ok::<_, anyhow::Error>(workspace::digest(program)?[..12].to_owned());
        let tags = (tag(&previous.dataimporter)?, tag(&demo.bin.join("dataimporter"))?);
        install(kubectl, demo, &previous, &tags.0)?;
        let beside = Beside::start(demo)?;
        let folder = demo.folder.join("upgrade");
        std::fs::create_dir_all(&folder)?;
        beside.tenant(TENANT)?;
        beside.org(TENANT)?;
        beside.intake(TENANT, &["crm"])?;
        let file = folder.join("rows.csv");
        std::fs::write(&file, beside.contacts())?;
        demo.plugin(&["upload", &file.to_string_lossy(), "--name", "rows", "--replace", "-n", TENANT])?;
        for job in ["rows", "more"] {
            kubectl.apply(&insert(job))?;
        }
        Ok(Self { demo, beside, folder, tags })
    }

    /// To this version, as operations.md says.
    fn upgrade(&self) -> Result<()> {
        let (chart, values) = (workspace::root().join("charts/dataimporter"), self.demo.folder.join("values.json"));
        let (chart, values) = (chart.to_string_lossy(), values.to_string_lossy());
        helm(&self.demo.kubectl, &["upgrade", "dataimporter", &chart, "--values", &values, "--wait", "--timeout", "240s"])?;
        chart::rolled_out(&self.demo.kubectl)?;
        self.runs_as(&self.tags.1)
    }

    /// Keeper and operator are of this image.
    fn runs_as(&self, tag: &str) -> Result<()> {
        let images = [
            "get",
            "pods",
            "-n",
            SYSTEM,
            "-l",
            "app.kubernetes.io/name=dataimporter",
            "-o",
            "jsonpath={.items[*].spec.containers[*].image}",
        ];
        let images = self.demo.kubectl.run(&images)?;
        ensure!(!images.is_empty() && images.split(' ').all(|image| image.ends_with(tag)), "they are {images}, and not {tag}");
        Ok(())
    }

    /// A run from its start to its end.
    fn loads(&self, name: &str) -> Result<()> {
        let run = Run::start_as(name, self.demo, TENANT, "rows", &self.folder)?;
        run.ends("True", "Completed")?;
        run.counted_every_row_once(1)
    }

    /// Salesforce has as many as all runs say together: it was told to insert, so a row sent twice is there twice.
    fn nothing_lost_nothing_doubled(&self) -> Result<u64> {
        let runs = self.demo.kubectl.json(&["get", "importruns", "-n", TENANT])?;
        let said: u64 = runs["items"].as_array().into_iter().flatten().filter_map(|run| run["status"]["rows"]["succeeded"].as_u64()).sum();
        let held = ORG.ask("/emulator/digest/Contact?fields=LastName", &[])?["count"].as_u64();
        ensure!(held == Some(said) && said >= ROWS, "the runs say {said}, Salesforce has {held:?}");
        Ok(said)
    }

    fn audit_is_whole(&self) -> Result<()> {
        let whole = process::output(&mut self.demo.plugin_command(&["audit", "verify", "--region", "us-dallas"]))?;
        ensure!(whole.contains("keeper-0") && !whole.contains("NOT WHOLE"), "it says {whole}");
        Ok(())
    }

    fn pod_of(&self, pod: &Value) -> Result<Value> {
        let name = pod["metadata"]["name"].as_str().context("a pod has a name")?;
        self.demo.kubectl.json(&["get", "pod", name, "-n", &format!("dataimporter-run-{TENANT}")])
    }
}

fn install(kubectl: &Kubectl, demo: &Demo, previous: &Previous, tag: &str) -> Result<()> {
    Cluster::find()?.load_program(&format!("dataimporter:{tag}"), &previous.dataimporter)?;
    let (chart, values) = (previous.chart.to_string_lossy(), demo.folder.join("values.json"));
    let image = format!("image.tag={tag}");
    let install = ["install", "dataimporter", &chart, "--values", &values.to_string_lossy(), "--set-string", &image];
    helm(kubectl, &[&install[..], &["--wait", "--timeout", "180s"]].concat())?;
    kubectl.run(&["apply", "-f", &previous.examples.join("10-regions.yaml").to_string_lossy()])?;
    demo.ready(&["regions/us-dallas"])
}

/// Inserts the rows of the upload.
fn insert(name: &str) -> Value {
    let mapping = json!([{"from": "first_name", "to": "FirstName"}, {"from": "last_name", "to": "LastName"}]);
    let target = json!({"connectionRef": {"name": "crm"}, "object": "Contact", "operation": "Insert", "mapping": mapping});
    json!({
        "apiVersion": "dataimporter.io/v1alpha1", "kind": "ImportJob", "metadata": {"name": name, "namespace": TENANT},
        "spec": {"source": {"upload": {"name": "rows"}}, "target": {"salesforce": target}, "trigger": {"manual": {}}},
    })
}

fn image(pod: &Value) -> &str {
    pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default()
}

fn upgraded(demo: &Demo) -> Result<()> {
    let installed = Installed::begin(demo)?;
    let (before, now) = &installed.tags;
    ensure!(before != now, "control: both versions are one program");
    installed.runs_as(before)?;
    installed.loads("finished")?;

    // One whose worker will die under this version, and one whose worker lives through.
    let (dies, its_pod, its_log) = Run::behind_its_first_chunk(&installed.beside, demo, TENANT, "rows", &installed.folder)?;
    let lives = Run::start_as("lives", demo, TENANT, "more", &installed.folder)?;
    let (pod, log) = lives.worker(1)?;
    lives.has_uploaded_a_chunk()?;
    installed.upgrade()?;
    for pod in [&its_pod, &pod] {
        let later = installed.pod_of(pod)?;
        let same = later["metadata"]["uid"] == pod["metadata"]["uid"] && later["status"]["phase"] == "Running";
        ensure!(same && image(&later).ends_with(before), "a worker of the version before is {}", later["status"]);
    }
    dies.first_worker_crashes(&Cluster::find()?, &its_pod, its_log)?;
    let (second, its_log) = dies.worker(2)?;
    ensure!(image(&second).ends_with(now), "the second attempt is of {}", image(&second));
    installed.beside.let_pass()?;
    lives.ends("True", "Completed")?;
    lives.counted_every_row_once(1)?;
    dies.ends("True", "Completed")?;
    dies.counted_every_row_once(2)?;
    log.ended()?;
    its_log.ended()?;

    // What the version before kept is there: results, the credential, the file, the audit.
    let results = process::output(&mut demo.plugin_command(&["results", &format!("{TENANT}/finished"), "succeeded.csv"]))?;
    ensure!(results.lines().count() as u64 == ROWS + 1, "its results have {} lines", results.lines().count());
    installed.loads("after")?;
    let now = process::output(Command::new("date").args(["-u", "+dataimporter.io/rotate-keys=%FT%TZ"]))?;
    demo.kubectl.run(&["annotate", "tenant", TENANT, "--overwrite", now.trim()])?;
    installed.loads("rotated")?;
    installed.audit_is_whole()?;
    println!("  {} rows are in Salesforce, as the runs say", installed.nothing_lost_nothing_doubled()?);
    Ok(())
}

fn taken_back(demo: &Demo) -> Result<()> {
    let installed = Installed::begin(demo)?;
    installed.upgrade()?;
    installed.loads("up")?;
    helm(&demo.kubectl, &["rollback", "dataimporter", "1", "--wait", "--timeout", "240s"])?;
    chart::rolled_out(&demo.kubectl)?;
    installed.runs_as(&installed.tags.0)?;
    installed.loads("back")?;
    installed.upgrade()?;
    installed.loads("up-again")?;
    installed.audit_is_whole()?;
    println!("  {} rows are in Salesforce, as the runs say", installed.nothing_lost_nothing_doubled()?);
    Ok(())
}
