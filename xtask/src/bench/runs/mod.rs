//! P5: what a run costs beside its rows, on the cluster of `cargo xtask demo`. Ten runs of a small upload one after another, then sixty at
//! ten a second for a tenant that may have eight. Times are those at which the API server showed a change to a bystander, and of worker's
//! words those that its node wrote beside them; the clock is the machine's.

mod timeline;
mod watched;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use self::timeline::{Timeline, between, idle_places, stage, timelines};
use self::watched::{Logs, Proxy, Watch, requests, start_of_a_worker};
use super::figures::Series;
use super::report::{Bound, Chapter, Figure, Goal};
use crate::cluster::Cluster;
use crate::kubectl::Kubectl;
use crate::progress::Progress;
use crate::{certificate, process, workspace};

const TENANT: &str = "acme";
const REGION_NODE: &str = "frankfurt";
const RUNS: &str = "/apis/dataimporter.io/v1alpha1/namespaces/acme/importruns";
const PODS: &str = "/api/v1/namespaces/dataimporter-run-acme/pods";
const UPLOAD: &str = "bench";
/// Rows of the file.
const ROWS: usize = 200;

const ALONE: u16 = 10;
const RUSH: usize = 60;
const EVERY: Duration = Duration::from_millis(100);
const PLACES: usize = 8;
const STARTS: usize = 20;

/// What one run of the slowest machine may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two runs: what the first one left to do is done.
const PAUSE: Duration = Duration::from_millis(500);
/// For the requests that the cluster makes anyway.
const IDLE: Duration = Duration::from_secs(10);

/// The cluster, with a job for each run of the rush.
struct Field {
    kubectl: Kubectl,
    cluster: Cluster,
    proxy: Proxy,
    runs: Watch,
    pods: Watch,
    logs: Logs,
    /// UIDs of the jobs, by number.
    jobs: Vec<String>,
    series: u64,
    start_before: String,
}

pub(super) fn run(progress: &Progress, folder: &Path, rounds: Option<u16>) -> Result<Chapter> {
    let cluster = Cluster::find().context("runs are measured on the cluster of: cargo xtask demo")?;
    let kubectl = Kubectl { program: cluster.tools().program("kubectl"), kubeconfig: Some(cluster.kubeconfig()), context: None };
    let bin = workspace::target().join("demo/bin");
    progress.say("runs: a worker's start");
    let starts = starts(&bin.join("dataimporter"), folder)?;
    progress.say("runs: an upload and its jobs");
    upload(&kubectl, &bin, folder)?;
    let field = Field::prepare(kubectl, cluster)?;
    // The first one finds nothing warm.
    field.one("warm", 0)?;

    progress.say("runs: one after another");
    let idle = field.requests_of(|| {
        thread::sleep(IDLE);
        Ok(())
    })?;
    let (used, began) = (field.cluster.processor_seconds()?, Instant::now());
    let rounds = rounds.unwrap_or(ALONE);
    let mut uids = Vec::new();
    let asked = field.requests_of(|| {
        for round in 0..rounds {
            uids.push(field.one("alone", usize::from(round))?);
        }
        Ok(())
    })?;
    let (processor, took) = (field.cluster.processor_seconds()? - used, began.elapsed());
    let alone = field.timelines(&uids);

    progress.say("runs: sixty at ten a second");
    field.places(json!(PLACES))?;
    let used = field.cluster.processor_seconds()?;
    let rush = field.rush();
    let rush_processor = field.cluster.processor_seconds()? - used;
    field.places(Value::Null)?;
    let rush = field.timelines(&rush?);
    field.clear()?;

    let each = |asked: &BTreeMap<String, f64>, what: &str| {
        let background = idle.get(what).copied().unwrap_or_default() * took.as_secs_f64() / IDLE.as_secs_f64();
        (asked.get(what).copied().unwrap_or_default() - background).max(0.0) / f64::from(rounds)
    };
    let mut by_kind: Vec<(f64, &String)> = asked.keys().map(|what| (each(&asked, what), what)).filter(|(n, _)| *n >= 0.5).collect();
    by_kind.sort_by(|a, b| b.0.total_cmp(&a.0));
    let all: f64 = by_kind.iter().map(|(n, _)| n).sum();
    let listed: Vec<String> = by_kind.iter().map(|(n, what)| format!("{n:.0} {what}")).collect();
    Ok(chapter(
        &alone,
        &rush,
        &starts,
        &[
            format!("API requests a run: {all:.0}: {}", listed.join(", ")),
            format!(
                "processor time of everything in the cluster, a run: {:.2} s alone, {:.2} s in the rush",
                processor / f64::from(rounds),
                rush_processor / RUSH as f64
            ),
        ],
    ))
}

fn chapter(alone: &[Timeline], rush: &[Timeline], starts: &Series, notes: &[String]) -> Chapter {
    let whole = stage(alone, |t| t.created, |t| t.finished);
    let pod = stage(alone, |t| t.created, |t| t.pod);
    let began = rush.iter().filter_map(|t| t.created).reduce(|a, b| if between(a, b) < 0.0 { b } else { a });
    let last = rush.iter().filter_map(|t| Some(between(began?, t.finished?))).fold(f64::NAN, f64::max);
    let idle = idle_places(rush, PLACES);
    let stages = |runs: &[Timeline], name: &str| {
        let figure = |what: &str, series: &Series| Figure::of(&format!("{name}: {what}"), "ms", series);
        vec![
            figure("created → pod (operator)", &stage(runs, |t| t.created, |t| t.pod)),
            figure("→ scheduled (scheduler)", &stage(runs, |t| t.pod, |t| t.scheduled)),
            figure("→ worker asks (kubelet, container, network)", &stage(runs, |t| t.scheduled, |t| t.asks)),
            figure("→ lease (keeper)", &stage(runs, |t| t.asks, |t| t.leased)),
            figure("→ first chunk (upload, Salesforce)", &stage(runs, |t| t.leased, |t| t.chunk)),
            figure("→ imported (Salesforce, results)", &stage(runs, |t| t.chunk, |t| t.imported)),
            figure("→ outcome recorded (keeper)", &stage(runs, |t| t.imported, |t| t.outcome)),
            figure("→ finishedAt (operator)", &stage(runs, |t| t.outcome, |t| t.finished)),
            figure("created → finishedAt", &stage(runs, |t| t.created, |t| t.finished)),
            figure("finishedAt → pod has ended", &stage(runs, |t| t.finished, |t| t.ended)),
            figure("finishedAt → pod is gone", &stage(runs, |t| t.finished, |t| t.gone)),
        ]
    };
    let mut figures = vec![Figure::of("a worker's start → its first byte to the keeper", "ms", starts)];
    figures.extend(stages(alone, "alone"));
    figures.extend(stages(rush, "rush"));
    figures.push(Figure::of("rush: a place is free → the next pod", "ms", &idle));
    Chapter {
        scenario: "runs".to_owned(),
        about: format!(
            "{} runs of {ROWS} uploaded rows one after another, then {} at ten a second in {PLACES} places",
            alone.len(),
            rush.len()
        ),
        figures,
        goals: vec![
            Goal::new("P5", "run → pod, p50", Bound::AtMost(8.0), pod.median(), "ms"),
            Goal::new("P5", "run → pod, p99", Bound::AtMost(25.0), pod.percentile(99.0), "ms"),
            Goal::new("P5", "created → finishedAt, p50", Bound::AtMost(1.2), whole.median() / 1e3, "s"),
            Goal::new("P5", "created → finishedAt, p95", Bound::AtMost(2.0), whole.percentile(95.0) / 1e3, "s"),
            Goal::new("P5", "a worker's start → its first byte, p50", Bound::AtMost(10.0), starts.median(), "ms"),
            Goal::new("P5", "rush: a free place stays empty, p50", Bound::AtMost(100.0), idle.median(), "ms"),
            Goal::new("P5", "rush: the last one finished", Bound::AtMost(25.0), last, "s"),
        ],
        notes: notes.to_vec(),
    }
}

fn starts(program: &Path, folder: &Path) -> Result<Series> {
    let authority = std::fs::read_to_string(certificate::authority()).context("the authority of the examples")?;
    (0..STARTS).map(|_| start_of_a_worker(program, folder, &authority)).collect()
}

/// The first rows of the airports.
fn upload(kubectl: &Kubectl, bin: &Path, folder: &Path) -> Result<()> {
    let whole = std::fs::read_to_string(workspace::root().join("examples/airports.csv"))?;
    let (file, head) = (folder.join("runs.csv"), whole.split_inclusive('\n').take(1 + ROWS));
    std::fs::write(&file, head.collect::<String>())?;
    let mut plugin = Command::new(bin.join("kubectl-import"));
    kubectl.point(&mut plugin).args(["upload", &file.to_string_lossy(), "--name", UPLOAD, "--replace", "-n", TENANT]);
    process::output(plugin.stderr(Stdio::null())).map(drop)
}

impl Field {
    fn prepare(kubectl: Kubectl, cluster: Cluster) -> Result<Self> {
        let airports = kubectl.json(&["get", "importjob", "airports", "-n", TENANT]).context("the jobs of examples/ are not there")?;
        let jobs = (0..RUSH).map(|number| {
            let mut spec = airports["spec"].clone();
            spec["source"]["upload"]["name"] = UPLOAD.into();
            spec["guards"] = json!({"maxFailedPercent": 100});
            json!({"apiVersion": "dataimporter.io/v1alpha1", "kind": "ImportJob",
                   "metadata": {"name": job(number), "namespace": TENANT, "labels": {"bench": "runs"}}, "spec": spec})
        });
        kubectl.apply(&json!({"apiVersion": "v1", "kind": "List", "items": jobs.collect::<Vec<_>>()}))?;
        let found = kubectl.json(&["get", "importjobs", "-n", TENANT, "-l", "bench=runs"])?;
        let uids: BTreeMap<&str, &str> = found["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|job| Some((job["metadata"]["name"].as_str()?, job["metadata"]["uid"].as_str()?)))
            .collect();
        let jobs = (0..RUSH).map(|n| uids.get(job(n).as_str()).map(|uid| (*uid).to_owned()).context("a job is missing"));
        let node: PathBuf = cluster.layout.root.join("nodes").join(REGION_NODE).join("log/pods");
        ensure!(node.is_dir(), "{} is not there: which node do the workers of {TENANT} run on?", node.display());
        Ok(Self {
            proxy: Proxy::start(&kubectl)?,
            runs: Watch::of(&kubectl, RUNS)?,
            pods: Watch::of(&kubectl, PODS)?,
            logs: Logs::of(node, "dataimporter-run-acme"),
            jobs: jobs.collect::<Result<_>>()?,
            series: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
            start_before: process::output(Command::new("date").args(["-u", "-d", "1 hour", "+%FT%TZ"]))?.trim().to_owned(),
            kubectl,
            cluster,
        })
    }

    /// Creates a run. Answers with its UID.
    fn create(&self, name: &str, number: usize) -> Result<String> {
        let (job, uid) = (job(number % RUSH), &self.jobs[number % RUSH]);
        let run = json!({
            "apiVersion": "dataimporter.io/v1alpha1", "kind": "ImportRun",
            "metadata": {"name": format!("bench-{name}-{}-{number}", self.series), "namespace": TENANT},
            "spec": {"jobRef": {"name": job, "uid": uid}, "action": {"run": {}}, "startBefore": self.start_before},
        });
        let made = self.proxy.create(RUNS, &run)?;
        made["metadata"]["uid"].as_str().map(str::to_owned).context("a run has a UID")
    }

    /// One run from its creation until its pod is gone.
    fn one(&self, name: &str, number: usize) -> Result<String> {
        let uid = self.create(name, number)?;
        self.until_gone(std::slice::from_ref(&uid), PATIENCE)?;
        thread::sleep(PAUSE);
        Ok(uid)
    }

    fn rush(&self) -> Result<Vec<String>> {
        let began = Instant::now();
        let mut uids = Vec::new();
        for number in 0..RUSH {
            let due = EVERY * u32::try_from(number)?;
            thread::sleep(due.saturating_sub(began.elapsed()));
            uids.push(self.create("rush", number)?);
        }
        self.until_gone(&uids, 5 * PATIENCE)?;
        Ok(uids)
    }

    fn until_gone(&self, uids: &[String], limit: Duration) -> Result<()> {
        process::wait_until("runs to end and their pods to go", limit, || {
            let found = self.timelines(uids);
            let left = found.iter().filter(|t| t.finished.is_none() || t.gone.is_none()).count();
            ensure!(left == 0, "{left} of {} are left", uids.len());
            Ok(())
        })?;
        let succeeded = self.runs.shown(|runs| {
            let ended = |uid: &String| runs.iter().rev().find(|run| run.uid() == uid).map(|run| run.object["status"].clone());
            uids.iter().filter_map(ended).filter(|status| status["rows"]["read"] == ROWS && status["rows"]["succeeded"] != 0).count()
        });
        ensure!(succeeded == uids.len(), "{succeeded} of {} runs have read and loaded their rows", uids.len());
        Ok(())
    }

    fn timelines(&self, uids: &[String]) -> Vec<Timeline> {
        self.pods.shown(|pods| {
            let logs = self.logs.by_run(pods);
            self.runs.shown(|runs| timelines(uids, runs, pods, &logs)).into_values().collect()
        })
    }

    /// What the API server was asked meanwhile.
    fn requests_of(&self, work: impl FnOnce() -> Result<()>) -> Result<BTreeMap<String, f64>> {
        let before = requests(&self.proxy.get("/metrics")?);
        work()?;
        let mut after = requests(&self.proxy.get("/metrics")?);
        for (what, count) in &mut after {
            *count -= before.get(what).copied().unwrap_or_default();
        }
        Ok(after)
    }

    /// The tenant's limit; null: what its plan says.
    fn places(&self, limit: Value) -> Result<()> {
        let patch = json!({"spec": {"limits": {"concurrentRuns": limit}}}).to_string();
        self.kubectl.run(&["patch", "tenant", TENANT, "--type=merge", "-p", &patch])?;
        thread::sleep(PAUSE);
        Ok(())
    }

    fn clear(&self) -> Result<()> {
        self.kubectl.run(&["delete", "importjobs", "-n", TENANT, "-l", "bench=runs", "--wait=false"]).map(drop)
    }
}

fn job(number: usize) -> String {
    format!("bench-{number:02}")
}
