//! What a person who looks at the cluster must see, and must not see.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::Check;
use super::chart::{self, helm};
use crate::demo::Demo;
use crate::demo::manifests::SYSTEM;
use crate::demo::salesforce_side::SalesforceSide;
use crate::kubectl::{Kubectl, condition};
use crate::{certificate, process, workspace};

pub(super) const CHECKS: &[Check] = &[
    ("every kind shows its state", every_kind_shows_its_state),
    ("kubectl wait works on a run", kubectl_wait_works),
    ("helm test reaches operator and keeper through the policies, and nothing of it stays", helm_test),
    ("a second apply changes nothing and starts nothing", a_second_apply_changes_nothing),
    ("an independent client finds exactly the rows of the file", an_independent_client_finds_the_rows),
    ("a worker pod is restricted, pinned and has nothing but its token", a_worker_pod_is_alone),
    ("no secret and no row in logs, events and statuses", nothing_leaks),
];

const KINDS: [&str; 6] = ["regions", "tenants", "connections", "importjobs", "importruns", "uploads"];

fn every_kind_shows_its_state(demo: &Demo) -> Result<()> {
    for kind in KINDS {
        let table = demo.kubectl.run(&["get", kind, "-A"])?;
        let header = table.lines().next().unwrap_or_default();
        for column in ["NAME", "REASON", "AGE"] {
            ensure!(header.contains(column), "kubectl get {kind} has no column {column}: {header}");
        }
        let list = demo.kubectl.json(&["get", kind, "-A"])?;
        let items = list["items"].as_array().context("a list has items")?;
        ensure!(!items.is_empty(), "there are no {kind}");
        for item in items {
            let name = &item["metadata"]["name"];
            match condition(item, "Ready") {
                Some(("True", ..)) => {}
                other => bail!("{kind} {name} is not Ready: {other:?}"),
            }
            let (seen, written) = (&item["status"]["observedGeneration"], &item["metadata"]["generation"]);
            ensure!(seen == written, "{kind} {name}: status speaks of generation {seen}, the spec is {written}");
        }
    }
    Ok(())
}

fn kubectl_wait_works(demo: &Demo) -> Result<()> {
    let wait = |condition: &str| {
        demo.kubectl.run(&["wait", &format!("--for=condition={condition}"), "importrun/contacts-once-1", "-n", "globex", "--timeout=5s"])
    };
    wait("Succeeded")?;
    ensure!(wait("NeverHeardOf").is_err(), "control: waiting for a condition that is not there must fail");
    Ok(())
}

fn helm_test(demo: &Demo) -> Result<()> {
    let said = helm(&demo.kubectl, &["test", "dataimporter", "--logs"])?;
    let passed: Vec<&str> = said.lines().filter(|line| line.starts_with("ok ")).collect();
    ensure!(passed.len() == 4 && said.contains("Succeeded"), "it says {said}");
    ensure!(!demo.kubectl.exists(&["pod", "dataimporter-check", "-n", SYSTEM])?, "its pod is still there");

    let _afterwards = WithoutJob(&demo.kubectl);
    chart::set(&demo.kubectl, &["check.import.job=acme/airports"])?;
    let said = helm(&demo.kubectl, &["test", "dataimporter", "--logs"])?;
    let loaded = said.lines().find(|line| line.starts_with("ok      ImportRun acme/airports-check-")).unwrap_or_default();
    ensure!(loaded.ends_with("28278 rows"), "it says {said}");
    println!("  {loaded}");
    ensure!(!demo.kubectl.exists(&["rolebinding", "dataimporter-check", "-n", "acme"])?, "its rights are still there");
    chart::set(&demo.kubectl, &["check.import.job=acme/nothing"])?;
    let failed = helm(&demo.kubectl, &["test", "dataimporter", "--logs"]);
    let said = demo.kubectl.run(&["logs", "dataimporter-check", "-n", SYSTEM])?;
    ensure!(failed.is_err() && said.contains("ImportJob acme/nothing"), "of a job that is not there it says {said}");
    ensure!(!demo.kubectl.exists(&["role", "dataimporter-check", "-n", "acme"])?, "the rights of a check that failed are still there");
    // The pod of a check that failed stays for whoever reads its log.
    demo.kubectl.run(&["delete", "pod", "dataimporter-check", "-n", SYSTEM])?;
    Ok(())
}

struct WithoutJob<'a>(&'a Kubectl);

impl Drop for WithoutJob<'_> {
    fn drop(&mut self) {
        let _ = chart::set(self.0, &["check.import.job="]);
    }
}

fn a_second_apply_changes_nothing(demo: &Demo) -> Result<()> {
    let runs = || demo.kubectl.run(&["get", "importruns", "-A", "-o", "name"]);
    let before = runs()?;
    let said = demo.apply_examples()?;
    let changed: Vec<&str> = said.lines().filter(|line| !line.ends_with("unchanged")).collect();
    ensure!(changed.is_empty(), "the second apply changed: {}", changed.join("; "));
    let examples = workspace::root().join("examples");
    demo.kubectl.run(&["diff", "-f", &examples.to_string_lossy()]).context("kubectl diff -f examples/ is not clean")?;
    std::thread::sleep(Duration::from_secs(3));
    ensure!(runs()? == before, "the second apply started a run: {} before, {} now", before.trim(), runs()?.trim());
    Ok(())
}

/// simple-salesforce reads everything back; the digest is made from the file by the same script, with Python's own reader.
fn an_independent_client_finds_the_rows(demo: &Demo) -> Result<()> {
    let folder = workspace::cache()?.join("test-python");
    let python = folder.join("bin/python");
    if !python.exists() {
        process::output(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        process::output(Command::new(&python).args(["-m", "pip", "install", "--quiet", "simple-salesforce==1.12.10"]))?;
    }
    let authority = certificate::authority();
    let side = SalesforceSide::open(&demo.kubectl, &authority)?;
    let script = workspace::root().join("xtask/src/test/cluster/independent_client.py");
    let said = process::output(
        Command::new(&python)
            .arg(script)
            .arg(demo.folder.join("airports.csv"))
            .arg(&authority)
            .arg(side.port().to_string())
            .env("ACCESS_TOKEN", side.token()),
    )?;
    println!("  {}", said.trim());
    Ok(())
}

/// Starts one more run and looks at its pod while it is there.
fn a_worker_pod_is_alone(demo: &Demo) -> Result<()> {
    let name = format!("airports-look-{}", std::process::id());
    demo.plugin(&["run", "acme/airports", "--name", &name])?;
    let uid = demo.kubectl.run(&["get", "importrun", &name, "-n", "acme", "-o", "jsonpath={.metadata.uid}"])?;
    let label = format!("dataimporter.io/run-uid={}", uid.trim());
    let mut pod = Value::Null;
    process::wait_until("a worker pod that is bound to a node", Duration::from_secs(30), || {
        let pods = demo.kubectl.json(&["get", "pods", "-n", "dataimporter-run-acme", "-l", &label])?;
        pod = pods["items"][0].clone();
        ensure!(pod["spec"]["nodeName"].is_string(), "no pod is bound yet");
        Ok(())
    })?;
    let spec = &pod["spec"];
    let node = demo.kubectl.json(&["get", "node", spec["nodeName"].as_str().unwrap_or_default()])?;
    let region = &node["metadata"]["labels"]["node-restriction.kubernetes.io/dataimporter-region"];
    let container = &spec["containers"][0];
    let facts: [(&str, bool); 9] = [
        ("its node is the region's", region == "eu-frankfurt"),
        ("it has one container", spec["containers"].as_array().is_some_and(|c| c.len() == 1) && spec["initContainers"].is_null()),
        ("its root is read-only", container["securityContext"]["readOnlyRootFilesystem"] == true),
        ("it gains no privileges", container["securityContext"]["allowPrivilegeEscalation"] == false),
        ("it drops every capability", container["securityContext"]["capabilities"]["drop"] == json!(["ALL"])),
        ("it has no Kubernetes token", spec["automountServiceAccountToken"] == false),
        (
            "it mounts one thing",
            spec["volumes"].as_array().is_some_and(|v| v.len() == 1) && container["volumeMounts"].as_array().is_some_and(|v| v.len() == 1),
        ),
        (
            "which is a token for the keeper",
            spec["volumes"][0]["projected"]["sources"].as_array().is_some_and(|sources| {
                sources.len() == 1
                    && sources[0]["serviceAccountToken"]["audience"]
                        .as_str()
                        .is_some_and(|a| a.starts_with("dataimporter-keeper.eu-frankfurt."))
            }),
        ),
        ("it never restarts", spec["restartPolicy"] == "Never"),
    ];
    demo.plugin(&["wait", &format!("acme/{name}"), "--timeout", "120"])?;
    let wrong: Vec<&str> = facts.iter().filter(|(_, holds)| !holds).map(|(fact, _)| *fact).collect();
    ensure!(wrong.is_empty(), "not so: {}\n{}", wrong.join("; "), serde_json::to_string_pretty(spec)?);
    Ok(())
}

/// Credentials of the examples, and a value of each input.
const CANARIES: [&str; 6] = [
    "demo-client-secret-of-no-value",
    "demo-password-of-no-value",
    "Aero B Ranch Airport",
    "Lowell Field",
    "contact4@globex.example",
    "Family7",
];

fn nothing_leaks(demo: &Demo) -> Result<()> {
    ensure!(found(&everything(demo, None)?).is_empty(), "in clear: {:?}", found(&everything(demo, None)?));
    let planted = everything(demo, Some("an event that says Lowell Field"))?;
    ensure!(found(&planted) == BTreeSet::from(["Lowell Field"]), "control: the planted value must be found");
    Ok(())
}

fn found(text: &str) -> BTreeSet<&'static str> {
    CANARIES.into_iter().filter(|canary| text.contains(canary)).collect()
}

/// All that a member or an operator of the cluster can read of us: logs, events, objects with their statuses.
fn everything(demo: &Demo, plant: Option<&str>) -> Result<String> {
    if let Some(message) = plant {
        let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "planted", "namespace": "acme"}, "reason": "Planted", "message": message,
            "involvedObject": {"kind": "ImportJob", "namespace": "acme", "name": "airports"}, "type": "Normal"});
        demo.kubectl.apply(&event)?;
    }
    let mut text = demo.kubectl.run(&[
        "logs",
        "-n",
        "dataimporter-system",
        "-l",
        "app.kubernetes.io/name=dataimporter",
        "--tail=-1",
        "--prefix",
        "--all-containers",
    ])?;
    ensure!(text.len() > 1000, "control: the processes' logs are almost empty");
    text.push_str(&demo.kubectl.run(&["get", "events", "-A", "-o", "json"])?);
    for kind in KINDS {
        text.push_str(&demo.kubectl.run(&["get", kind, "-A", "-o", "json"])?);
    }
    text.push_str(&demo.kubectl.run(&["get", "configmaps", "-A", "-o", "json"])?);
    if plant.is_some() {
        demo.kubectl.run(&["delete", "event", "planted", "-n", "acme"])?;
    }
    Ok(text)
}
