//! Nothing in clear at rest: credentials are searched for in etcd before and after their intake, and credentials, tokens and
//! rows everywhere after runs that end well, badly and by the kernel's hand, with every process saying all it can.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Check;
use super::beside::{Beside, COMMIT, DESCRIBE, SHOP};
use super::canary::{Canary, Searched};
use super::runs::Run;
use super::worker_process::WorkerProcess;
use crate::cluster::Cluster;
use crate::demo::Demo;
use crate::demo::manifests::SYSTEM;
use crate::process;

pub(super) const CHECKS: &[Check] =
    &[("no secret and no row in clear: etcd, nodes, logs, events, statuses, metrics, storage", nothing_in_clear)];

const TENANT: &str = "canary";
const LIMIT: Duration = Duration::from_secs(90);

fn nothing_in_clear(demo: &Demo) -> Result<()> {
    let search = Search { demo, cluster: Cluster::find()?, folder: demo.folder.join("at-rest") };
    std::fs::create_dir_all(&search.folder)?;
    let mut beside = Beside::start(demo)?;
    beside.mariadb()?;
    let canary = Canary::new(&beside.marker);
    beside.tenant(TENANT)?;
    search.credentials_leave_etcd(&beside, &canary)?;
    let logs = search.runs(&beside)?;
    search.everywhere(&canary, &Canary::new(&beside.token_mark()?), &logs)
}

struct Search<'a> {
    demo: &'a Demo,
    cluster: Cluster,
    /// For logs of workers, which go with their pods.
    folder: PathBuf,
}

impl Search<'_> {
    fn credentials_leave_etcd(&self, beside: &Beside, canary: &Canary) -> Result<()> {
        let kubectl = &self.demo.kubectl;
        beside.connections(TENANT)?;
        beside.shop(TENANT, "shop", &beside.password(), SHOP)?;
        process::wait_until("control: a credential found in etcd before its intake", LIMIT, || {
            ensure!(!self.etcd(canary)?.findings.is_empty(), "nothing is found");
            Ok(())
        })?;
        beside.intake(TENANT, &["crm", "warehouse", "shop"])?;
        let left = kubectl.run(&["get", "secrets", "-n", TENANT, "-o", "name"])?;
        ensure!(left.trim().is_empty(), "Secrets are left after intake: {left}");
        self.compact()?;
        self.etcd(canary)?.found_nothing("etcd after intake and compaction", 1 << 20)?;

        // The same search finds what is there, in each of its disguises.
        let base64: Vec<String> = ["", "p", "pa"].map(|before| base64(&format!("{before}{}", canary.text))).into();
        let wide: Vec<u8> = canary.text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        kubectl.apply(&json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "planted", "namespace": TENANT},
            "data": {"raw": canary.text, "hex": hex::encode(&canary.text), "base64": base64.join(" ")},
            "binaryData": {"utf16": base64_of(&wide)},
        }))?;
        let expected = BTreeSet::from(["raw", "hex", "UTF-16LE", "base64", "base64+1", "base64+2"]);
        process::wait_until("control: what was planted in etcd", LIMIT, || {
            let found = canary.forms_in(&std::fs::read(self.cluster.etcd_database())?);
            ensure!(found.is_superset(&expected), "found are {found:?}");
            Ok(())
        })?;
        kubectl.run(&["delete", "configmap", "planted", "-n", TENANT])?;
        self.compact()
    }

    fn etcd(&self, canary: &Canary) -> Result<Searched> {
        canary.below(&[self.cluster.etcd_database()])
    }

    /// Forgets every old version, and gives what they took back to the disk.
    fn compact(&self) -> Result<()> {
        let ask = |path: &str, body: Value| -> Result<Value> {
            let (url, body) = (format!("http://127.0.0.1:2379{path}"), body.to_string());
            let said = process::output(&mut self.cluster.in_network(&[
                "curl",
                "--silent",
                "--show-error",
                "--fail",
                "--noproxy",
                "*",
                &url,
                "--data",
                &body,
            ])?)?;
            serde_json::from_str(&said).with_context(|| format!("etcd answered {said:.200}"))
        };
        let status = ask("/v3/maintenance/status", json!({}))?;
        let revision = status["header"]["revision"].as_str().context("etcd tells its revision")?;
        ask("/v3/kv/compaction", json!({"revision": revision, "physical": true}))?;
        ask("/v3/maintenance/defragment", json!({})).map(drop)
    }

    /// A success with rows that fail, a failure whose cause is a value, and of each kind of database a crash and a death for want of memory
    /// after which the run goes on behind its last key. Answers with the logs of the workers.
    fn runs(&self, beside: &Beside) -> Result<Vec<PathBuf>> {
        let (kubectl, marker) = (&self.demo.kubectl, &beside.marker);
        let rows: String = (1..=500)
            .map(|row| format!("{row},{marker}name{row},{}\n", if row % 100 == 0 { marker.repeat(20) } else { format!("{marker}city") }))
            .collect();
        let file = self.folder.join("rows.csv");
        std::fs::write(&file, format!("id,name,city\n{rows}"))?;
        self.demo.plugin(&["upload", &file.to_string_lossy(), "--name", "rows", "--replace", "-n", TENANT])?;
        kubectl.apply(&json!({
            "apiVersion": "dataimporter.io/v1alpha1", "kind": "ImportJob", "metadata": {"name": "file", "namespace": TENANT},
            "spec": {
                "source": {"upload": {"name": "rows"}},
                "target": {"salesforce": {
                    "connectionRef": {"name": "crm"}, "object": "Account", "operation": "Upsert", "matchBy": ["icao__c"],
                    "mapping": [{"from": "id", "to": "icao__c"}, {"from": "name", "to": "Name"}, {"from": "city", "to": "BillingCity"}]}},
                "trigger": {"manual": {}},
            },
        }))?;
        // Two chunks of the worker's memory, so that an attempt goes on behind the last key of the one before: a value with the marker.
        let two_chunks = "SELECT code, id, first_name, last_name, repeat(first_name, 1000) AS padding FROM contacts";
        beside.job_by("code", TENANT, "table", "warehouse", two_chunks)?;
        beside.job_by("code", TENANT, "shop", "shop", two_chunks)?;
        beside.job(TENANT, "broken", "warehouse", "SELECT id, first_name, last_name::bigint AS last_name FROM contacts")?;
        let mut logs = Vec::new();

        beside.hold(COMMIT, 6, 1)?;
        let run = Run::start(self.demo, TENANT, "file", &self.folder)?;
        let (pod, log) = run.worker(1)?;
        let worker = WorkerProcess::of(&self.cluster, &pod)?;
        ensure!(worker.is_undumpable()?, "a worker's memory can be read and dumped");
        let other = kubectl.json(&["get", "pods", "-n", "demo", "-l", "app=salesforce-emulator"])?["items"][0].clone();
        ensure!(!WorkerProcess::of(&self.cluster, &other)?.is_undumpable()?, "control: other programs' memory can be dumped");
        logs.push(log.ended()?);
        run.ends("True", "CompletedWithFailedRows")?;

        beside.hold(DESCRIBE, 6, 1)?;
        let run = Run::start(self.demo, TENANT, "broken", &self.folder)?;
        let (_, log) = run.worker(1)?;
        logs.push(log.ended()?);
        run.ends("False", "")?;

        for job in ["table", "shop"] {
            let (run, pod, log) = Run::behind_its_first_chunk(beside, self.demo, TENANT, job, &self.folder)?;
            let worker = WorkerProcess::of(&self.cluster, &pod)?;
            worker.allow_core_dumps()?;
            worker.crash()?;
            logs.push(log.ended()?);
            run.attempt_ended(0, "Error", "exit code 139")?;
            let (pod, log) = run.worker(2)?;
            run.holds_rows_behind_a_finished_chunk()?;
            WorkerProcess::of(&self.cluster, &pod)?.run_out_of_memory()?;
            logs.push(log.ended()?);
            run.attempt_ended(1, "OOMKilled", "out of memory")?;
            beside.let_pass()?;
            run.ends("True", "Completed")?;
            run.counted_every_row_once(3)?;
        }
        Ok(logs)
    }

    fn everywhere(&self, canary: &Canary, token: &Canary, logs: &[PathBuf]) -> Result<()> {
        for log in logs {
            let said = std::fs::read_to_string(log)?;
            ensure!(said.contains(r#""level":"TRACE""#), "control: worker log {} says nothing at TRACE: {said:.300}", log.display());
        }
        let system_logs = || -> Result<String> {
            self.demo.kubectl.run(&["logs", "-n", SYSTEM, "-l", "app.kubernetes.io/name=dataimporter", "--tail=-1", "--all-containers"])
        };
        ensure!(system_logs()?.contains(r#""level":"TRACE""#), "control: operator and keeper say nothing at TRACE");
        let readable = self.readable()?;
        ensure!(
            readable.contains("dataimporter_") && readable.contains("# TYPE"),
            "control: no metrics of ours are in what people can read"
        );
        let storage = self.demo.folder.join("storage");
        let disks = self.cluster.disks();

        // Tokens and rows were never to be written, so that old versions in etcd count as well.
        for canary in [token, canary] {
            self.etcd(canary)?.found_nothing("etcd", 1 << 20)?;
            canary.below(logs)?.found_nothing("logs of workers", 1 << 10)?;
            canary.in_text("events, statuses, metrics", &readable).found_nothing("events, statuses, metrics", 1 << 10)?;
        }
        canary.below(std::slice::from_ref(&storage))?.found_nothing("the keeper's storage", 1 << 10)?;
        canary.below(&disks)?.found_nothing("disks of the nodes", 100 << 20)?;
        canary.below(&self.cluster.hidden_places()?)?.found_nothing("memory file systems of the nodes", 1 << 10)?;
        // Of the disks only what grows with time: images were there before there was a token.
        let growing: Vec<PathBuf> = disks.iter().flat_map(|disk| children(disk, "log")).collect();
        token.below(&growing)?.found_nothing("logs of the nodes", 1 << 10)?;
        let dumps = core_dumps(&disks)?;
        ensure!(dumps.is_empty(), "core dumps were written: {dumps:?}");
        let planted = disks[0].join("dallas/lib/core.1");
        std::fs::write(&planted, "")?;
        let found = core_dumps(&disks)?;
        std::fs::remove_file(&planted)?;
        ensure!(found == [planted], "control: a core dump that was planted is not found: {found:?}");

        // Each kind of place shows what is planted in it.
        for place in [storage, disks[0].join("dallas/log"), disks[0].join("sydney/lib")] {
            canary.is_found_when_planted(&place)?;
        }
        Ok(())
    }

    /// What members and operators of the cluster can read of us besides logs.
    fn readable(&self) -> Result<String> {
        let kubectl = &self.demo.kubectl;
        let mut text = kubectl.run(&["get", "events,configmaps,pods", "-A", "-o", "json"])?;
        text.push_str(&kubectl.run(&["get", "dataimporter", "-A", "-o", "json"])?);
        let pods = kubectl.json(&["get", "pods", "-n", SYSTEM, "-l", "app.kubernetes.io/name=dataimporter"])?;
        for pod in pods["items"].as_array().context("a list has items")? {
            let name = pod["metadata"]["name"].as_str().context("a pod has a name")?;
            text.push_str(&kubectl.run(&["get", "--raw", &format!("/api/v1/namespaces/{SYSTEM}/pods/{name}:8080/proxy/metrics")])?);
        }
        Ok(text)
    }
}

fn base64(text: &str) -> String {
    base64_of(text.as_bytes())
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Folders of that name one level below.
fn children(folder: &std::path::Path, name: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path().join(name)).filter(|path| path.is_dir()).collect()
}

/// Files that the kernel may have written a dead process to, by name and by what they are.
fn core_dumps(places: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for place in places {
        let listed = process::output(std::process::Command::new("find").arg(place).args([
            "-type",
            "f",
            "(",
            "-name",
            "core",
            "-o",
            "-name",
            "core.[0-9]*",
            ")",
        ]))?;
        found.extend(listed.lines().map(PathBuf::from));
    }
    Ok(found)
}
