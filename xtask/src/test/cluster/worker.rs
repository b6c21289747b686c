//! A real worker, stopped by the kernel in the middle of its work: alive for everybody who looks, and silent. A process that has the machine
//! that it runs on has its token and its network, and calls the keeper with both.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use crate::demo::Demo;
use crate::process;

const SYSTEM: &str = "dataimporter-system";
const KEEPER: &str = "dataimporter-keeper.dataimporter-system.svc";

pub(super) struct Worker {
    pub(super) run: String,
    pub(super) run_uid: String,
    pub(super) pod: String,
    pub(super) pod_uid: String,
    pub(super) token: String,
    pid: u32,
}

impl Worker {
    /// Starts a run of `job` and stops its worker as soon as its attempt is written down.
    pub(super) fn of(demo: &Demo, namespace: &str, job: &str, run: &str) -> Result<Self> {
        demo.plugin(&["run", &format!("{namespace}/{job}"), "--name", run])?;
        let uid = demo.kubectl.run(&["get", "importrun", run, "-n", namespace, "-o", "jsonpath={.metadata.uid}"])?;
        let worker = Self::stopped(demo, namespace, run, &uid, &format!("RUN_UID={uid}"))?;
        process::wait_until("the attempt in the run's status", Duration::from_secs(30), || {
            let run = demo.kubectl.json(&["get", "importrun", run, "-n", namespace])?;
            let attempt = &run["status"]["attempts"][0];
            ensure!(attempt["podUID"] == worker.pod_uid.as_str() && attempt["node"].is_string(), "it says {attempt}");
            Ok(())
        })?;
        Ok(worker)
    }

    /// Stops the process that has this variable in its environment, in a pod of the tenant's.
    pub(super) fn stopped(demo: &Demo, namespace: &str, run: &str, run_uid: &str, variable: &str) -> Result<Self> {
        let mut pid = 0;
        process::wait_until("the worker's process", Duration::from_secs(60), || {
            pid = process_with(variable).context("no process has it in its environment")?;
            Ok(())
        })?;
        signal("STOP", pid)?;
        // Its root is what the container sees, its token among it.
        let token = std::fs::read_to_string(format!("/proc/{pid}/root/var/run/secrets/dataimporter/token"))
            .context("the worker's token cannot be read on its node")?;
        let pod = std::fs::read_to_string(format!("/proc/{pid}/root/etc/hostname")).context("the worker's pod has no name")?;
        let pod = pod.trim().to_owned();
        let pod_uid = demo.kubectl.run(&["get", "pod", &pod, "-n", &run_namespace(namespace), "-o", "jsonpath={.metadata.uid}"])?;
        Ok(Self { run: run.to_owned(), run_uid: run_uid.to_owned(), pod, pod_uid, token, pid })
    }

    /// Asks the keeper for the lease of `run_uid` with `token`, from this worker's pod.
    pub(super) fn ask(&self, keeper: &Keeper, token: &str, run_uid: &str) -> Result<Answer> {
        let address = format!("https://{KEEPER}:8443/v1/runs/{run_uid}/lease");
        let mut child = Command::new("nsenter")
            .arg(format!("--net=/proc/{}/ns/net", self.pid))
            .args(["curl", "--silent", "--show-error", "--include", "--http1.1", "--max-time", "60", "--noproxy", "*", "--cacert"])
            .arg(&keeper.authority)
            .args(["--resolve", &format!("{KEEPER}:8443:{}", keeper.address), "--header", "@-", "--json"])
            .args([&json!({"attempt": 1}).to_string(), &address])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start nsenter")?;
        // On its standard input: everybody on the machine sees the arguments of a program.
        writeln!(child.stdin.take().context("it is piped")?, "Authorization: Bearer {token}")?;
        let done = child.wait_with_output()?;
        ensure!(done.status.success(), "the keeper cannot be asked: {}", String::from_utf8_lossy(&done.stderr).trim());
        Answer::read(&String::from_utf8_lossy(&done.stdout))
    }

    /// As the worker itself would ask.
    pub(super) fn ask_for_itself(&self, keeper: &Keeper) -> Result<Answer> {
        self.ask(keeper, &self.token, &self.run_uid)
    }

    /// For what has to be in its place.
    pub(super) fn process(&self) -> u32 {
        self.pid
    }

    pub(super) fn kill(&self) -> Result<()> {
        signal("KILL", self.pid)
    }
}

impl Drop for Worker {
    /// A stopped process would not even end when it is told to.
    fn drop(&mut self) {
        let _ = signal("CONT", self.pid);
    }
}

/// How the keeper is reached.
pub(super) struct Keeper {
    pub(super) authority: PathBuf,
    address: String,
}

impl Keeper {
    pub(super) fn of(demo: &Demo) -> Result<Self> {
        let authority = demo.folder.join("keeper-ca.crt");
        let pem = demo.kubectl.run(&["get", "configmap", "dataimporter-public", "-n", SYSTEM, "-o", r"jsonpath={.data.ca\.crt}"])?;
        std::fs::write(&authority, pem)?;
        // What the headless Service resolves to.
        let address =
            demo.kubectl.run(&["get", "endpoints", "dataimporter-keeper", "-n", SYSTEM, "-o", "jsonpath={.subsets[0].addresses[0].ip}"])?;
        ensure!(!address.is_empty(), "the keeper's Service leads nowhere");
        Ok(Self { authority, address })
    }
}

/// What the keeper answered, byte for byte, but for the time in it. A lease itself is not kept.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Answer {
    Granted,
    Refused(String),
}

impl Answer {
    fn read(raw: &str) -> Result<Self> {
        if raw.starts_with("HTTP/1.1 200 ") {
            return Ok(Self::Granted);
        }
        let dates = raw.lines().filter(|line| line.to_ascii_lowercase().starts_with("date: ")).count();
        ensure!(dates == 1, "an answer says its time once: {raw}");
        Ok(Self::Refused(raw.split_inclusive('\n').filter(|line| !line.to_ascii_lowercase().starts_with("date: ")).collect()))
    }
}

pub(super) fn run_namespace(tenant: &str) -> String {
    format!("dataimporter-run-{tenant}")
}

fn process_with(variable: &str) -> Option<u32> {
    let variable = format!("{variable}\0");
    let pids = std::fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let has = |pid: &u32| std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|e| String::from_utf8_lossy(&e).contains(&variable));
    // What starts the container has its environment for a moment, and another root.
    pids.into_iter().find(|pid| has(pid) && is_ours(*pid))
}

/// Sends our process in a pod a signal: `KILL` as a crash of it would end it, `STOP` for one that is there and silent.
pub(super) fn signal_process_of(name: &str, pod_uid: &str) -> Result<()> {
    let pids = std::fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let in_pod = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|groups| groups.contains(pod_uid));
    let pid = pids.into_iter().find(|pid| in_pod(pid) && is_ours(*pid)).context("no process of ours is in the pod")?;
    signal(name, pid)
}

fn is_ours(pid: u32) -> bool {
    std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.ends_with("dataimporter"))
}

fn signal(name: &str, pid: u32) -> Result<()> {
    match process::output(Command::new("kill").args([&format!("-{name}"), &pid.to_string()])) {
        Ok(_) => Ok(()),
        Err(error) => bail!(error.context(format!("the worker's process {pid} could not be sent {name}"))),
    }
}
