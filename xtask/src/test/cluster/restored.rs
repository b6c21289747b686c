//! A control plane that begins again from a snapshot of etcd, with workers, volumes and Salesforce as they are: what opens, what goes on,
//! and what becomes of that which nobody remembers.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::beside::{Beside, ORG};
use super::runs::Run;
use super::{Check, chart};
use crate::cluster::Cluster;
use crate::demo::Demo;
use crate::demo::manifests::SYSTEM;
use crate::kubectl::Kubectl;
use crate::progress::Progress;
use crate::{pinned, process};

pub(super) const CHECKS: &[Check] =
    &[("an installation goes on from a snapshot of etcd, and what is younger than that is erased", goes_on)];

const TENANT: &str = "restored";
const LIMIT: Duration = Duration::from_secs(240);

struct Lived<'a> {
    demo: &'a Demo,
    beside: Beside<'a>,
    folder: PathBuf,
}

impl<'a> Lived<'a> {
    fn begin(demo: &'a Demo) -> Result<Self> {
        let beside = Beside::start(demo)?;
        let folder = demo.folder.join("restored");
        std::fs::create_dir_all(&folder)?;
        beside.tenant(TENANT)?;
        beside.org(TENANT)?;
        beside.intake(TENANT, &["crm"])?;
        std::fs::write(folder.join("rows.csv"), beside.contacts())?;
        // Of an earlier check.
        demo.kubectl.run(&["delete", "importruns,uploads", "--all", "-n", TENANT, "--timeout=90s"])?;
        let lived = Self { demo, beside, folder };
        lived.upload("rows")?;
        for job in ["rows", "more"] {
            lived.beside.job_from(TENANT, job, &json!({"upload": {"name": "rows"}}))?;
        }
        Ok(lived)
    }

    fn upload(&self, name: &str) -> Result<()> {
        self.demo.plugin(&["upload", &self.folder.join("rows.csv").to_string_lossy(), "--name", name, "--replace", "-n", TENANT])
    }

    fn loads(&self, name: &str) -> Result<()> {
        let run = Run::start_as(name, self.demo, TENANT, "rows", &self.folder)?;
        run.ends("True", "Completed")?;
        run.counted_every_row_once(1)
    }

    fn results(&self, run: &str) -> Result<String> {
        process::output(&mut self.demo.plugin_command(&["results", &format!("{TENANT}/{run}"), "succeeded.csv"]))
    }

    /// Files of tenants on the Region's volume.
    fn files(&self) -> Result<BTreeSet<String>> {
        let volume = self.demo.folder.join("storage/dallas/us-dallas/files");
        let listed = process::output(std::process::Command::new("find").arg(&volume).args(["-type", "f"]))?;
        Ok(listed.lines().map(str::to_owned).collect())
    }
}

/// Has neither operator nor keeper run.
pub(super) fn stopped(kubectl: &Kubectl) -> Result<()> {
    for workload in ["statefulset/dataimporter-keeper", "deployment/dataimporter-operator"] {
        kubectl.run(&["scale", workload, "-n", SYSTEM, "--replicas=0"])?;
    }
    process::wait_until("operator and keeper to end", LIMIT, || {
        let pods = kubectl.run(&["get", "pods", "-n", SYSTEM, "-l", "app.kubernetes.io/name=dataimporter", "-o", "name"])?;
        ensure!(pods.is_empty(), "there are {pods}");
        Ok(())
    })
}

fn answer(kubectl: &Kubectl) -> Result<()> {
    chart::rolled_out(kubectl)?;
    for program in ["operator", "keeper"] {
        kubectl.run(&["logs", "-n", SYSTEM, "-l", &format!("app.kubernetes.io/component={program}"), "--tail=1"])?;
    }
    Ok(())
}

fn goes_on(demo: &Demo) -> Result<()> {
    let tools = pinned::etcd(&Progress::begin())?;
    let mut cluster = Cluster::find()?;
    let lived = Lived::begin(demo)?;
    let kubectl = &demo.kubectl;
    lived.loads("early")?;
    let before = lived.results("early")?;
    let (running, _, log) = Run::behind_its_first_chunk(&lived.beside, demo, TENANT, "more", &lived.folder)?;
    let snapshot = lived.folder.join("snapshot.db");
    cluster.snapshot(&tools, &snapshot)?;
    let known = lived.files()?;

    // What the snapshot does not know: the end of that run, another one, a file, and younger keys.
    lived.beside.let_pass()?;
    running.ends("True", "Completed")?;
    log.ended()?;
    lived.loads("late")?;
    lived.upload("later")?;
    let now = process::output(std::process::Command::new("date").args(["-u", "+dataimporter.io/rotate-keys=%FT%TZ"]))?;
    kubectl.run(&["annotate", "tenant", TENANT, "--overwrite", now.trim()])?;
    // Ten seconds until the new key seals.
    std::thread::sleep(Duration::from_secs(20));
    lived.loads("sealed-later")?;
    let younger: BTreeSet<String> = lived.files()?.difference(&known).cloned().collect();
    // Of three runs each result that is not empty, and an upload.
    ensure!(younger.len() >= 4, "control: only {younger:?} are younger");

    // Who watches while a control plane goes back in time has parts of two times before it, kind by kind.
    stopped(kubectl)?;
    cluster.restore(&tools, &snapshot)?;
    // The snapshot has them with the replicas that they had, and their nodes start the pods that it knows, or say that they are gone.
    process::wait_until("operator and keeper to answer", LIMIT, || answer(kubectl))?;
    let objects = kubectl.run(&["get", "importruns,uploads", "-n", TENANT, "-o", "name"])?;
    ensure!(!objects.contains("late") && objects.contains("early"), "control: the snapshot knows {objects}");
    demo.ready(&["regions/us-dallas", &format!("tenants/{TENANT}")])?;
    demo.ready(&["-n", TENANT, "connections/crm"])?;

    // The run that was under way goes on, and has each row once. Its pod is long gone, and its node finds that out by itself, which takes minutes.
    process::wait_until("a second attempt", LIMIT, || {
        let attempts = running.object()?["status"]["attempts"].clone();
        ensure!(attempts.as_array().is_some_and(|attempts| attempts.len() == 2), "its attempts are {attempts}");
        Ok(())
    })?;
    running.ends("True", "Completed")?;
    running.counted_every_row_once(2)?;
    let held = ORG.ask("/emulator/digest/Contact?fields=LastName", &[])?["count"].as_u64().context("it counts")?;
    ensure!(held == 2_000, "Salesforce has {held} contacts");
    println!("  the run that was under way ended well, by a second attempt");

    // What it knows opens; what it does not know goes.
    ensure!(lived.results("early")? == before && !before.is_empty(), "the results of a run before are others than before");
    process::wait_until("files that nobody remembers to be gone", LIMIT, || {
        let left: Vec<String> = lived.files()?.intersection(&younger).cloned().collect();
        ensure!(left.is_empty(), "left: {left:?}");
        Ok(())
    })?;
    lived.loads("again")?;
    chart::rolled_out(kubectl)?;
    let audit = process::output(&mut demo.plugin_command(&["audit", "verify", "--region", "us-dallas"]))?;
    println!("  {}", audit.trim());
    ensure!(audit.contains("is whole") && !audit.contains("NOT WHOLE"), "it says {audit}");
    Ok(())
}
