//! A run on its way: its worker, its attempts, its end.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::beside::{Beside, COMMIT};
use super::worker_process::WorkerProcess;
use crate::cluster::Cluster;
use crate::demo::Demo;
use crate::kubectl::condition;
use crate::process;

const LIMIT: Duration = Duration::from_secs(90);

/// A run of a tenant whose namespace has its name.
pub(super) struct Run<'a> {
    demo: &'a Demo,
    tenant: &'a str,
    /// For logs of workers, which go with their pods.
    folder: &'a Path,
    name: String,
    uid: String,
}

impl<'a> Run<'a> {
    pub(super) fn start(demo: &'a Demo, tenant: &'a str, job: &str, folder: &'a Path) -> Result<Self> {
        Self::start_as(&format!("{job}-{}", std::process::id()), demo, tenant, job, folder)
    }

    /// One of several of a job, by a name of its own.
    pub(super) fn start_as(name: &str, demo: &'a Demo, tenant: &'a str, job: &str, folder: &'a Path) -> Result<Self> {
        demo.plugin(&["run", &format!("{tenant}/{job}"), "--name", name])?;
        Self::of(demo, tenant, name, folder)
    }

    /// One that somebody else has started.
    pub(super) fn of(demo: &'a Demo, tenant: &'a str, name: &str, folder: &'a Path) -> Result<Self> {
        let name = name.to_owned();
        let uid = demo.kubectl.run(&["get", "importrun", &name, "-n", tenant, "-o", "jsonpath={.metadata.uid}"])?;
        Ok(Self { demo, tenant, folder, name, uid: uid.trim().to_owned() })
    }

    /// The run that the operator starts behind this one.
    pub(super) fn following(&self, job: &str) -> Result<Self> {
        let name = format!("{job}-after-{}", &self.uid[..13]);
        let mut uid = String::new();
        process::wait_until("a run that follows", LIMIT, || {
            uid = self.demo.kubectl.run(&["get", "importrun", &name, "-n", self.tenant, "-o", "jsonpath={.metadata.uid}"])?;
            Ok(())
        })?;
        Ok(Self { demo: self.demo, tenant: self.tenant, folder: self.folder, name, uid: uid.trim().to_owned() })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn object(&self) -> Result<Value> {
        self.demo.kubectl.json(&["get", "importrun", &self.name, "-n", self.tenant])
    }

    /// The pod of an attempt once it runs, and what it says from then on.
    pub(super) fn worker(&self, attempt: u32) -> Result<(Value, Log)> {
        let kubectl = &self.demo.kubectl;
        let namespace = format!("dataimporter-run-{}", self.tenant);
        let label = format!("dataimporter.io/run-uid={},dataimporter.io/attempt={attempt}", self.uid);
        let mut pod = Value::Null;
        process::wait_until("a worker that runs", LIMIT, || {
            pod = kubectl.json(&["get", "pods", "-n", &namespace, "-l", &label])?["items"][0].clone();
            let state = &pod["status"]["containerStatuses"][0]["state"];
            ensure!(!state["running"].is_null() || !state["terminated"].is_null(), "its state is {state}");
            Ok(())
        })?;
        let name = pod["metadata"]["name"].as_str().context("a pod has a name")?;
        let file = self.folder.join(format!("{name}.log"));
        let follow = kubectl
            .command(&["logs", "--follow", name, "-n", &namespace])
            .stdin(Stdio::null())
            .stdout(File::create(&file)?)
            .stderr(Stdio::inherit())
            .spawn()
            .context("cannot start kubectl logs")?;
        Ok((pod, Log { follow, file }))
    }

    /// The first chunk is over, and another waits for its commit, so its rows are in the worker's memory.
    pub(super) fn holds_rows_behind_a_finished_chunk(&self) -> Result<()> {
        process::wait_until("a chunk that was uploaded behind one that is done", LIMIT, || {
            let run = self.object()?;
            let states: Vec<&Value> =
                run["status"]["chunks"]["listed"].as_array().into_iter().flatten().map(|chunk| &chunk["state"]).collect();
            let any = |wanted: &str| states.iter().any(|state| **state == wanted);
            ensure!(any("Done") && any("Uploaded"), "its chunks are {states:?}");
            Ok(())
        })
    }

    /// A run whose first chunk is done, with its worker, which has rows of the next ones in memory until commits pass again. Chunks are sent
    /// side by side: where another one's commit overtakes the first one's, its results wait for those of the first, nothing is done, and
    /// the run is left to its end.
    pub(super) fn behind_its_first_chunk(
        beside: &Beside<'_>,
        demo: &'a Demo,
        tenant: &'a str,
        job: &str,
        folder: &'a Path,
    ) -> Result<(Self, Value, Log)> {
        let mut tries = 1;
        loop {
            // Every commit behind the first, however many chunks an attempt has sent before it dies.
            beside.hold_after(1, COMMIT, 120, 100)?;
            let run = Self::start_as(&format!("{job}-{tries}-{}", std::process::id()), demo, tenant, job, folder)?;
            let (pod, log) = run.worker(1)?;
            match run.holds_rows_behind_a_finished_chunk() {
                Ok(()) => return Ok((run, pod, log)),
                Err(error) if tries == 3 => return Err(error),
                Err(error) => println!("  {job}, once more: {error:#}"),
            }
            beside.let_pass()?;
            run.ends("True", "Completed")?;
            log.ended()?;
            tries += 1;
        }
    }

    /// The worker of its first attempt dies. Answers its log.
    pub(super) fn first_worker_crashes(&self, cluster: &Cluster, pod: &Value, log: Log) -> Result<PathBuf> {
        WorkerProcess::of(cluster, pod)?.crash()?;
        let log = log.ended()?;
        self.attempt_ended(0, "Error", "exit code 139")?;
        Ok(log)
    }

    /// A chunk waits for its commit: all of a small file was read.
    pub(super) fn has_uploaded_a_chunk(&self) -> Result<()> {
        process::wait_until("a chunk that was uploaded", LIMIT, || {
            let chunk = self.object()?["status"]["chunks"]["listed"][0].clone();
            ensure!(chunk["state"] == "Uploaded", "it is {chunk}");
            Ok(())
        })
    }

    /// Its rows are loaded and its results written, and its file is still to be moved or deleted.
    pub(super) fn waits_for_its_file(&self) -> Result<()> {
        process::wait_until("a run whose file is still to be dealt with", LIMIT, || {
            let status = self.object()?["status"].clone();
            let pending = status["outcome"]["afterSuccess"] == "Pending" && !status["results"].is_null();
            ensure!(pending && status["finishedAt"].is_null(), "its outcome is {}", status["outcome"]);
            Ok(())
        })
    }

    /// Three attempts, and no row read twice or left out.
    pub(super) fn counted_every_row_once(&self, attempts: usize) -> Result<()> {
        let status = &self.object()?["status"];
        let (rows, made) = (&status["rows"], status["attempts"].as_array().map(Vec::len));
        ensure!(rows["read"] == 2_000 && rows["succeeded"] == 2_000 && made == Some(attempts), "after {made:?} attempts it says {rows}");
        Ok(())
    }

    pub(super) fn attempt_ended(&self, index: usize, reason: &str, word: &str) -> Result<()> {
        process::wait_until(&format!("attempt {} ended by {reason}", index + 1), LIMIT, || {
            let attempt = &self.object()?["status"]["attempts"][index];
            ensure!(attempt["reason"] == reason, "it is {attempt}");
            let event = format!("--field-selector=involvedObject.name={},reason={reason}", self.name);
            let told = self.demo.kubectl.run(&["get", "events", "-n", self.tenant, &event, "-o", "jsonpath={.items[*].message}"])?;
            ensure!(told.contains(word), "its event says {told:?}");
            Ok(())
        })
    }

    /// Waits for its end, and for the reason when there is one to expect. Answers with the message.
    pub(super) fn ends(&self, status: &str, reason: &str) -> Result<String> {
        let mut said = String::new();
        process::wait_until(&format!("run {} ended", self.name), LIMIT, || {
            let run = self.object()?;
            match condition(&run, "Succeeded") {
                Some((found, why, message)) if found != "Unknown" => {
                    if found != status || !why.contains(reason) {
                        bail!("it ended {found} {why}: {message}");
                    }
                    message.clone_into(&mut said);
                    Ok(())
                }
                other => bail!("it is {other:?}, {:?}", condition(&run, "Ready")),
            }
        })?;
        Ok(said)
    }
}

/// What a container says, kept while its pod is there.
pub(super) struct Log {
    follow: Child,
    file: PathBuf,
}

impl Log {
    pub(super) fn ended(mut self) -> Result<PathBuf> {
        process::wait_until("the end of a worker's log", LIMIT, || {
            ensure!(self.follow.try_wait()?.is_some(), "kubectl still follows it");
            Ok(())
        })?;
        Ok(self.file.clone())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = self.follow.kill();
        let _ = self.follow.wait();
    }
}
