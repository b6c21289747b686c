//! Two keepers in front of a bucket: leases while one after the other is replaced, while one is killed, and what the audit has of all that.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::beside::Beside;
use super::bucket_region::{self, DallasAgain, KEEPS};
use super::worker::{Keeper, Worker, signal_process_of};
use super::{Check, chart, runs};
use crate::demo::Demo;
use crate::demo::manifests::SYSTEM;
use crate::kubectl::Kubectl;
use crate::{process, workspace};

pub(super) const CHECKS: &[Check] = &[
    ("leases are granted while both keepers are replaced and while one is killed, and each is in the audit once", leases_go_on),
    ("one of two keepers does what only one does, and lets only one go at a time", one_leads),
];

const TENANT: &str = "keeping";
const NAME: &str = "dataimporter-keeper.dataimporter-system.svc";
/// Leases asked for in a second.
const RATE: &str = "100";
const LIMIT: Duration = Duration::from_secs(240);
/// What a caller is told that has as many calls under way as one may have, and all of these are one pod's.
const COME_AGAIN: &str = "OSError: it answered 503";

/// Two keepers, a Region in a bucket, and a tenant there; one keeper again afterwards.
struct Two<'a> {
    demo: &'a Demo,
    /// Before its servers end.
    _again: (DallasAgain<'a>, OneAgain<'a>),
    beside: Beside<'a>,
}

struct OneAgain<'a>(&'a Kubectl);

impl Drop for OneAgain<'_> {
    fn drop(&mut self) {
        let _ = replicas(self.0, 1);
    }
}

fn replicas(kubectl: &Kubectl, count: u32) -> Result<()> {
    chart::set(kubectl, &[&format!("keeper.replicas={count}")])
}

impl<'a> Two<'a> {
    fn begin(demo: &'a Demo) -> Result<Self> {
        let mut beside = Beside::start(demo)?;
        let bucket = beside.minio()?;
        let again = OneAgain(&demo.kubectl);
        let dallas = bucket_region::ready(&beside, demo, &bucket, TENANT)?;
        replicas(&demo.kubectl, 2)?;
        beside.tenant_of(KEEPS, TENANT)?;
        beside.org(TENANT)?;
        beside.intake(TENANT, &["crm"])?;
        Ok(Self { demo, _again: (dallas, again), beside })
    }

    /// The keepers' pods: name, UID.
    fn pods(&self) -> Result<Vec<(String, String)>> {
        let pods = self.demo.kubectl.json(&["get", "pods", "-n", SYSTEM, "-l", "app.kubernetes.io/component=keeper"])?;
        let text = |pod: &Value, field: &str| pod["metadata"][field].as_str().unwrap_or_default().to_owned();
        Ok(pods["items"].as_array().into_iter().flatten().map(|pod| (text(pod, "name"), text(pod, "uid"))).collect())
    }

    /// Who leads.
    fn leader(&self) -> Result<String> {
        self.demo.kubectl.run(&["get", "lease", "dataimporter-keeper", "-n", SYSTEM, "-o", "jsonpath={.spec.holderIdentity}"])
    }

    /// A worker that has its lease and is stopped, for calls in its place.
    fn worker(&self, run: &str) -> Result<Worker> {
        // The tenant's namespace stays with what earlier checks ran there.
        let run = format!("{run}-{}", std::process::id());
        let folder = self.demo.folder.join("keepers");
        std::fs::create_dir_all(&folder)?;
        let file = folder.join("rows.csv");
        std::fs::write(&file, self.beside.contacts())?;
        self.demo.plugin(&["upload", &file.to_string_lossy(), "--name", "rows", "--replace", "-n", TENANT])?;
        self.beside.job_from(TENANT, "rows", &json!({"upload": {"name": "rows"}}))?;
        Worker::of(self.demo, TENANT, "rows", &run)
    }

    /// Lines of the Region's audit, of all chains, which are whole. A keeper that nobody has asked for anything yet has none.
    fn audit(&self) -> Result<Vec<Value>> {
        let whole = process::output(&mut self.demo.plugin_command(&["audit", "verify", "--region", KEEPS]))?;
        ensure!(whole.contains("is whole") && !whole.contains("NOT WHOLE"), "it says {whole}");
        let lines = process::output(&mut self.demo.plugin_command(&["audit", "export", "--region", KEEPS]))?;
        lines.lines().map(|line| serde_json::from_str(line).with_context(|| format!("no line of the audit: {line}"))).collect()
    }
}

/// What keepers say while they are there: a pod that goes takes its log along.
struct Logs(Vec<Child>, std::path::PathBuf);

impl Logs {
    fn follow(demo: &Demo) -> Result<Self> {
        let folder = demo.folder.join("keepers");
        let follow = |number: u32| -> Result<Child> {
            let log = std::fs::File::create(folder.join(format!("{number}.log")))?;
            let mut logs = Command::new(&demo.kubectl.program);
            demo.kubectl.point(&mut logs).args(["logs", "-f", &format!("dataimporter-keeper-{number}"), "-n", SYSTEM, "--tail=0"]);
            logs.stdout(log).spawn().context("cannot start kubectl")
        };
        Ok(Self(vec![follow(0)?, follow(1)?], folder))
    }

    fn end(&mut self) {
        for log in &mut self.0 {
            let _ = log.kill();
            let _ = log.wait();
        }
    }

    /// Warnings and errors, each kind once.
    fn warnings(&mut self) -> Result<BTreeSet<String>> {
        self.end();
        let mut warnings = BTreeSet::new();
        for number in 0..self.0.len() {
            let said = std::fs::read_to_string(self.1.join(format!("{number}.log")))?;
            let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let warns = lines.filter(|line| line["level"] == "WARN" || line["level"] == "ERROR");
            warnings.extend(warns.map(|line| format!("keeper-{number}: {}: {}", line["message"], line["error"])));
        }
        Ok(warnings)
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.end();
    }
}

/// Leases that are asked for in the background.
struct Load(Child);

impl Load {
    fn begin(demo: &Demo, worker: &Worker) -> Result<Self> {
        let authority = Keeper::of(demo)?.authority;
        let (pid, root) = (worker.process(), format!("/proc/{}/root", worker.process()));
        let script = workspace::root().join("xtask/src/test/cluster/lease_load.py");
        let names = demo.folder.join("keepers/resolv.conf");
        std::fs::copy(format!("{root}/etc/resolv.conf"), &names).context("the pod's names cannot be read on its node")?;
        // The pod's network with the names that the pod knows.
        let mut load = Command::new("nsenter");
        load.arg(format!("--net=/proc/{pid}/ns/net")).args(["unshare", "--mount", "sh", "-c"]);
        load.arg("mount --bind \"$1\" /etc/resolv.conf && shift && exec python3 \"$@\"").arg("load").arg(&names);
        load.arg(script).args(["--host", NAME, "--run", &worker.run_uid, "--rate", RATE, "--threads", "96"]);
        load.arg("--authority").arg(authority).args(["--token", &format!("{root}/var/run/secrets/dataimporter/token")]);
        load.stdin(Stdio::null()).stdout(Stdio::piped());
        Ok(Self(load.spawn().context("cannot start nsenter")?))
    }

    fn end(mut self) -> Result<Value> {
        process::output(Command::new("kill").args(["-TERM", &self.0.id().to_string()]))?;
        let mut said = String::new();
        std::io::Read::read_to_string(&mut self.0.stdout.take().context("it is piped")?, &mut said)?;
        let status = self.0.wait()?;
        ensure!(status.success(), "the load ended with {status}");
        let said: Value = serde_json::from_str(&said)?;
        println!("  {said}");
        Ok(said)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

/// Every lease was granted, each keeper granted some, and as many were asked for as were to be.
fn all_granted(said: &Value) -> Result<u64> {
    ensure!(said["failed"] == json!([]) && said["granted"] == said["asked"], "{} of {} failed: {}", said["failed"], said["asked"], said);
    let (asked, seconds) = (said["asked"].as_u64().unwrap_or_default(), said["seconds"].as_f64().unwrap_or_default());
    ensure!(asked as f64 >= 0.95 * seconds * RATE.parse::<f64>()?, "{asked} in {seconds} s are fewer than {RATE} a second");
    ensure!(said["answeredBy"].as_object().is_some_and(|by| by.len() >= 2), "one answered all: {}", said["answeredBy"]);
    Ok(asked)
}

fn leases_go_on(demo: &Demo) -> Result<()> {
    let two = Two::begin(demo)?;
    let worker = two.worker("two-a")?;
    let before = two.pods()?;

    // An administrator's rolling update.
    let mut logs = Logs::follow(demo)?;
    let load = Load::begin(demo, &worker)?;
    std::thread::sleep(Duration::from_secs(5));
    demo.kubectl.run(&["rollout", "restart", "statefulset/dataimporter-keeper", "-n", SYSTEM])?;
    demo.kubectl.run(&["rollout", "status", "statefulset/dataimporter-keeper", "-n", SYSTEM, "--timeout=240s"])?;
    std::thread::sleep(Duration::from_secs(5));
    let said = load.end()?;
    let mut granted = all_granted(&said)?;
    let warnings = logs.warnings()?;
    let broke_off = said["triedAgain"].as_object().is_none_or(|tries| tries.keys().any(|why| why != COME_AGAIN));
    ensure!(!broke_off, "an orderly end is noticed: {}; keepers said {warnings:#?}", said["triedAgain"]);
    let uids = |pods: &[(String, String)]| pods.iter().map(|(_, uid)| uid.clone()).collect::<BTreeSet<_>>();
    ensure!(uids(&before).is_disjoint(&uids(&two.pods()?)), "control: both were replaced");

    // One that is killed takes with it what it had not answered: those ask again.
    let leader = two.leader()?;
    let pods = two.pods()?;
    let (_, uid) = pods.iter().find(|(name, _)| *name == leader).with_context(|| format!("{leader} leads, and is no pod"))?;
    let load = Load::begin(demo, &worker)?;
    std::thread::sleep(Duration::from_secs(5));
    signal_process_of("KILL", uid)?;
    std::thread::sleep(Duration::from_secs(20));
    let said = load.end()?;
    granted += all_granted(&said)?;
    let noticed = said["triedAgain"].as_object().is_some_and(|tries| tries.keys().any(|why| why != COME_AGAIN));
    ensure!(noticed, "control: nobody noticed that a keeper was killed: {}", said["triedAgain"]);
    chart::rolled_out(&demo.kubectl)?;

    // A lease that was admitted and whose answer was lost is in the audit, too.
    let lines = two.audit()?;
    let chains: BTreeSet<&str> = lines.iter().filter_map(|line| line["chain"].as_str()).collect();
    ensure!(chains.len() == 2, "control: both keepers have granted leases, and chains are {chains:?}");
    let of_run = |event: &str| lines.iter().filter(|line| line["event"] == event && line["run"] == worker.run_uid.as_str()).count() as u64;
    let admitted =
        lines.iter().filter(|line| line["event"] == "CallAdmitted" && line["call"] == "lease" && line["run"] == worker.run_uid.as_str());
    let (admitted, opened, lost) = (
        admitted.count() as u64,
        of_run("CredentialOpened"),
        said["triedAgain"].as_object().map_or(0, |t| t.values().filter_map(Value::as_u64).sum()),
    );
    println!("  {granted} leases were granted; the audit has {admitted} of them, and {opened} openings");
    ensure!((granted..=granted + lost + 1).contains(&admitted), "{granted} were granted, and {lost} calls had no answer");
    worker.kill()?;
    Ok(())
}

fn one_leads(demo: &Demo) -> Result<()> {
    let two = Two::begin(demo)?;
    let before = two.audit()?.len();
    // A file goes when its Upload does, and is erased by one of them.
    let worker = two.worker("two-b")?;
    let upload = demo.kubectl.run(&["get", "upload", "rows", "-n", TENANT, "-o", "jsonpath={.metadata.uid}"])?;
    let run = worker.run.clone();
    drop(worker);
    runs::Run::of(demo, TENANT, &run, &demo.folder.join("keepers"))?.ends("True", "")?;
    demo.kubectl.run(&["delete", "upload", "rows", "-n", TENANT])?;
    process::wait_until("the file to be erased", LIMIT, || {
        let lines = two.audit()?;
        let of = |event: &str| lines.iter().filter(|line| line["event"] == event && line["file"] == upload.as_str()).count();
        ensure!(of("FileBorn") == 1 && of("FileErased") == 1, "{} were born and {} erased", of("FileBorn"), of("FileErased"));
        Ok(())
    })?;
    ensure!(two.audit()?.len() > before, "control: the audit grew");

    // The budget lets one go, and the other only when that one is back.
    let leader = two.leader()?;
    let other = if leader.ends_with('0') { "dataimporter-keeper-1" } else { "dataimporter-keeper-0" };
    evict(&demo.kubectl, &leader)?;
    let refused = evict(&demo.kubectl, other).err().context("both were let go at once")?;
    ensure!(format!("{refused:#}").contains("disruption budget"), "{refused:#}");
    process::wait_until("the other one to lead", Duration::from_secs(20), || {
        ensure!(two.leader()? == other, "{} leads", two.leader()?);
        Ok(())
    })?;
    chart::rolled_out(&demo.kubectl)
}

fn evict(kubectl: &Kubectl, pod: &str) -> Result<()> {
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": SYSTEM}}).to_string();
    kubectl.fed(&["create", "--raw", &format!("/api/v1/namespaces/{SYSTEM}/pods/{pod}/eviction"), "-f", "-"], &eviction).map(drop)
}
