//! The ends: objects deleted in every order with runs under way, namespaces deleted, the installation removed under each policy. Nothing
//! may get stuck, and nothing may stay. The last group: it ends with the installation gone.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::Check;
use super::chart::helm;
use crate::demo::Demo;
use crate::demo::manifests::SYSTEM;
use crate::kubectl::{Kubectl, condition};
use crate::{process, workspace};

pub(super) const CHECKS: &[Check] = &[
    ("objects deleted in every order, with runs under way, leave nothing and nothing stuck", every_order),
    ("a run namespace is nobody's to delete", run_namespaces),
    ("an uninstall that is refused names what is there and changes nothing", refused),
    ("a released installation holds nothing up, and the next one takes over", released),
    ("an erasing uninstall leaves nothing behind", erased),
];

const KEEPER: &str = "dataimporter-keeper";
/// On the keeper's StatefulSet: what becomes of what is left.
const POLICY: &str = "dataimporter.io/drain-policy";
/// Kinds with everything that a tenant has, in the order that one would expect them to be deleted in last.
const KINDS: [&str; 6] = ["namespace", "tenant", "connection", "importjob", "importrun", "upload"];

/// Each tenant's objects go in another order: every kind is first of one tenant's, and of every two each goes before the other somewhere.
fn orders() -> Vec<(String, Vec<&'static str>)> {
    let order = |by: usize| {
        let mut order = KINDS.to_vec();
        if by.is_multiple_of(2) {
            order.rotate_left(by);
        } else {
            order.rotate_left((by + 1) % KINDS.len());
            order.reverse();
        }
        order
    };
    (0..KINDS.len()).map(|by| (format!("bye-{by}"), order(by))).collect()
}

fn every_order(demo: &Demo) -> Result<()> {
    let kubectl = &demo.kubectl;
    let tenants = orders();
    admit(kubectl, &tenants)?;
    let objects: Vec<Value> =
        tenants.iter().map(|(name, _)| tenant(kubectl, name)).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    // As a tool that applies from Git does: again, until the tenants hold their namespaces.
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    process::wait_until("everything to be applied", Duration::from_secs(90), || kubectl.apply(&list).map(drop))?;
    let file = demo.folder.join("airports.csv").to_string_lossy().into_owned();
    for (name, _) in &tenants {
        until_ready(kubectl, &["tenant", name])?;
        until_ready(kubectl, &["connection", "crm", "-n", name])?;
        demo.plugin(&["upload", &file, "--name", "airports", "-n", name])?;
        demo.plugin(&["run", &format!("{name}/airports"), "--name", "last"])?;
    }
    process::wait_until("every run to have begun", Duration::from_secs(90), || {
        for (name, _) in &tenants {
            let run = kubectl.json(&["get", "importrun", "last", "-n", name])?;
            ensure!(run["status"]["attempts"][0]["podUID"].is_string(), "that of {name} has not: {}", run["status"]);
        }
        Ok(())
    })?;
    let uids = tenants.iter().map(|(name, _)| uid(kubectl, "tenant", name)).collect::<Result<Vec<_>>>()?;
    let storage = demo.folder.join("storage/frankfurt/eu-frankfurt/files");
    let left = |kubectl: &Kubectl| -> Result<Vec<String>> {
        let mine = |thing: &Thing| tenants.iter().any(|(name, _)| thing.is_about(name)) || uids.iter().any(|uid| thing.is_about(uid));
        let objects = everything(kubectl)?.into_iter().filter(mine).map(|thing| thing.title());
        let files = uids.iter().filter(|uid| storage.join(uid).exists()).map(|uid| format!("folder {uid} on the volume"));
        Ok(objects.chain(files).collect())
    };
    let before = left(kubectl)?;
    ensure!(before.len() > 10 * tenants.len(), "control: the tenants and what was made for them are found: {before:?}");
    for (name, order) in &tenants {
        for kind in order {
            let place = match *kind {
                "namespace" | "tenant" => vec![name.as_str()],
                "connection" => vec!["crm", "-n", name],
                "importjob" | "upload" => vec!["airports", "-n", name],
                _ => vec!["last", "-n", name],
            };
            kubectl.run(&[&["delete", kind, "--wait=false", "--ignore-not-found"][..], &place].concat())?;
        }
    }
    process::wait_until("everything of the tenants to be gone", Duration::from_secs(240), || {
        let left = left(kubectl)?;
        ensure!(left.is_empty(), "left: {}\n{}", left.join(", "), stuck(kubectl));
        Ok(())
    })
}

/// The Region lets these tenants reach Salesforce.
fn admit(kubectl: &Kubectl, tenants: &[(String, Vec<&str>)]) -> Result<()> {
    let mut endpoints = kubectl.json(&["get", "region", "eu-frankfurt"])?["spec"]["privateEndpoints"].clone();
    let names = endpoints[0]["tenants"].as_array_mut().context("the endpoint names its tenants")?;
    names.extend(tenants.iter().map(|(name, _)| json!(name)));
    let patch = json!({"spec": {"privateEndpoints": endpoints}}).to_string();
    kubectl.run(&["patch", "region", "eu-frankfurt", "--type=merge", "-p", &patch]).map(drop)
}

/// What acme has, for another tenant.
fn tenant(kubectl: &Kubectl, name: &str) -> Result<Vec<Value>> {
    let mut objects = vec![json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})];
    let of_acme = [
        ("tenant", "acme"),
        ("secret", "crm-oauth"),
        ("role", "dataimporter-intake-crm-oauth"),
        ("rolebinding", "dataimporter-intake-crm-oauth"),
        ("connection", "crm"),
        ("importjob", "airports"),
    ];
    for (kind, object) in of_acme {
        let mut copy = kubectl.json(&["get", kind, object, "-n", "acme"])?;
        copy.as_object_mut().context("an object is one")?.remove("status");
        let consent = copy["metadata"]["annotations"]["dataimporter.io/consent"].clone();
        copy["metadata"] = json!({"name": object, "namespace": name});
        if kind == "secret" {
            copy["metadata"]["annotations"] = json!({"dataimporter.io/consent": consent});
        }
        if kind == "tenant" {
            copy["metadata"] = json!({"name": name, "annotations": {"dataimporter.io/confirm-deletion": name}});
            copy["spec"]["namespaces"] = json!([name]);
        }
        objects.push(copy);
    }
    Ok(objects)
}

fn until_ready(kubectl: &Kubectl, object: &[&str]) -> Result<()> {
    process::wait_until(&format!("{} to be ready", object.join(" ")), Duration::from_secs(120), || {
        let seen = kubectl.json(&[&["get"], object].concat())?;
        match condition(&seen, "Ready") {
            Some(("True", ..)) => Ok(()),
            other => bail!("{other:?}"),
        }
    })
}

fn uid(kubectl: &Kubectl, kind: &str, name: &str) -> Result<String> {
    kubectl.run(&["get", kind, name, "-o", "jsonpath={.metadata.uid}"])
}

/// Any object of the cluster, as far as it can be told apart.
struct Thing {
    kind: String,
    namespace: String,
    name: String,
    /// Labels, owners and finalizers.
    marks: String,
}

impl Thing {
    fn is_about(&self, word: &str) -> bool {
        [&self.namespace, &self.name, &self.marks].iter().any(|part| part.contains(word))
    }

    fn title(&self) -> String {
        let place = if self.namespace.is_empty() { String::new() } else { format!("{}/", self.namespace) };
        format!("{} {place}{}", self.kind, self.name)
    }
}

/// Every object of every kind that can be listed, but for events, which tell of what is gone.
fn everything(kubectl: &Kubectl) -> Result<Vec<Thing>> {
    let kinds = kubectl.run(&["api-resources", "--verbs=list", "-o", "name"])?;
    let kinds: Vec<&str> = kinds.lines().filter(|kind| !kind.starts_with("events") && !kind.contains("componentstatuses")).collect();
    ensure!(kinds.len() > 40, "control: the API server lists its kinds: {kinds:?}");
    let list = kubectl.json(&["get", &kinds.join(","), "-A", "--ignore-not-found"])?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let thing = |item: &Value| {
        let metadata = &item["metadata"];
        let marks = json!([metadata["labels"], metadata["ownerReferences"], metadata["finalizers"]]).to_string();
        Thing { kind: text(&item["kind"]), namespace: text(&metadata["namespace"]), name: text(&metadata["name"]), marks }
    };
    Ok(list["items"].as_array().context("a list has items")?.iter().map(thing).collect())
}

/// Why what is left may be left: for the message of a failure.
fn stuck(kubectl: &Kubectl) -> String {
    let columns = "custom-columns=KIND:.kind,NAMESPACE:.metadata.namespace,NAME:.metadata.name,DELETED:.metadata.deletionTimestamp,FINALIZERS:.metadata.finalizers,SAID:.status.conditions[*].message";
    kubectl.run(&["get", "namespaces,tenants,connections,pods", "-A", "-o", columns]).unwrap_or_default()
}

fn run_namespaces(demo: &Demo) -> Result<()> {
    let kubectl = &demo.kubectl;
    kubectl.run(&["delete", "namespace", "demo", "--dry-run=server"]).context("control: an administrator may delete a namespace")?;
    let Err(error) = kubectl.run(&["delete", "namespace", "dataimporter-run-acme", "--dry-run=server"]) else {
        bail!("an administrator deletes a run namespace under a tenant that lives");
    };
    ensure!(format!("{error:#}").contains("are the operator's"), "it was refused for another reason: {error:#}");
    Ok(())
}

/// `Refuse`, or a consent for the installation that is there.
pub(super) fn uninstall(demo: &Demo, policy: &str) -> Result<String> {
    let said = if policy == "Refuse" { policy.to_owned() } else { format!("{policy}/{}", keeper_uid(&demo.kubectl)?) };
    say(&demo.kubectl, &said)?;
    helm(&demo.kubectl, &["uninstall", "dataimporter", "--wait", "--timeout", "300s"])
}

fn keeper_uid(kubectl: &Kubectl) -> Result<String> {
    kubectl.run(&["get", "statefulset", KEEPER, "-n", SYSTEM, "-o", "jsonpath={.metadata.uid}"])
}

fn say(kubectl: &Kubectl, said: &str) -> Result<()> {
    kubectl.run(&["annotate", "statefulset", KEEPER, "-n", SYSTEM, "--overwrite", &format!("{POLICY}={said}")]).map(drop)
}

fn refused(demo: &Demo) -> Result<()> {
    let kubectl = &demo.kubectl;
    let pods =
        || kubectl.run(&["get", "pods", "-n", SYSTEM, "-l", "app.kubernetes.io/component", "-o", "jsonpath={.items[*].metadata.uid}"]);
    let before = pods()?;
    ensure!(uninstall(demo, "Refuse").is_err(), "Helm calls it done");
    let of_hook = |thing: &Thing| thing.name == "dataimporter-drain" || thing.marks.contains("dataimporter-drain");
    process::wait_until("the hook to be gone", Duration::from_secs(60), || {
        let left: Vec<String> = everything(kubectl)?.iter().filter(|thing| of_hook(thing)).map(Thing::title).collect();
        ensure!(left.is_empty(), "left of the hook: {}", left.join(", "));
        Ok(())
    })?;
    let why = "--field-selector=reason=DrainFailed";
    let said = kubectl.run(&["get", "events", "-n", SYSTEM, why, "-o", "jsonpath={.items[*].message}"])?;
    for word in ["Connection acme/crm", "Tenant acme", "Nothing was removed", POLICY] {
        ensure!(said.contains(word), "it does not say {word:?}: {said}");
    }
    ensure!(pods()? == before, "its processes are others than before");
    until_ready(kubectl, &["tenant", "acme"])?;
    until_ready(kubectl, &["connection", "crm", "-n", "acme"])
}

fn released(demo: &Demo) -> Result<()> {
    let kubectl = &demo.kubectl;
    let held = |kubectl: &Kubectl| -> Result<Vec<String>> {
        Ok(everything(kubectl)?
            .into_iter()
            .filter(|thing| thing.is_about("dataimporter.io/revoke") || thing.is_about("dataimporter.io/runs"))
            .map(|t| t.title())
            .collect())
    };
    ensure!(!held(kubectl)?.is_empty(), "control: Connections and Tenants are held before");
    let consent = format!("Release/{}", keeper_uid(kubectl)?);
    uninstall(demo, "Release")?;
    let left = held(kubectl)?;
    ensure!(left.is_empty(), "still held, by processes that are gone: {left:?}");
    // A user who deletes them now waits for nobody.
    kubectl.run(&["delete", "connection", "warehouse", "-n", "globex", "--timeout=20s"])?;
    kubectl.run(&["delete", "tenant", "globex", "--timeout=20s"])?;
    kubectl.run(&["delete", "namespace", "dataimporter-run-globex", "globex", "--timeout=90s"])?;

    let chart = workspace::root().join("charts/dataimporter").to_string_lossy().into_owned();
    let values = demo.folder.join("values.json").to_string_lossy().into_owned();
    helm(&demo.kubectl, &["install", "dataimporter", &chart, "--wait", "--timeout", "180s", "--values", &values])?;
    until_ready(kubectl, &["tenant", "acme"])?;
    until_ready(kubectl, &["connection", "crm", "-n", "acme"])?;
    // The consent was for the one that is gone, wherever it is left over.
    let kept = kubectl.json(&["get", "statefulset", KEEPER, "-n", SYSTEM])?["metadata"]["annotations"][POLICY].clone();
    ensure!(kept.is_null(), "the next installation has a consent that nobody gave: {kept}");
    say(kubectl, &consent)?;
    ensure!(helm(&demo.kubectl, &["uninstall", "dataimporter", "--wait", "--timeout", "300s"]).is_err(), "{consent} is obeyed twice");
    until_ready(kubectl, &["tenant", "acme"])?;
    demo.plugin(&["run", "acme/airports", "--name", "after-release", "--wait", "--timeout", "180"])
}

/// What is the user's own and in no manifest under `examples/`.
const THEIRS: [&str; 5] = [
    "Namespace dataimporter-system",
    "Node ", // their region's label
    "PersistentVolume dataimporter-",
    "PersistentVolumeClaim dataimporter-system/",
    "Secret dataimporter-system/root-key-",
];
/// Roles that let the keeper read a Secret are the user's, too: other checks granted some in the namespaces of their tenants.
const GRANTED: &str = "/dataimporter-intake-";

fn theirs(title: &str) -> bool {
    THEIRS.iter().any(|theirs| title.starts_with(theirs)) || title.contains(GRANTED)
}

fn erased(demo: &Demo) -> Result<()> {
    let kubectl = &demo.kubectl;
    demo.plugin(&["run", "acme/airports", "--name", "at-the-end"])?;
    uninstall(demo, "Erase")?;
    let ours = |kubectl: &Kubectl| -> Result<BTreeSet<String>> {
        let things =
            everything(kubectl)?.into_iter().filter(|thing| thing.is_about("dataimporter") && !thing.name.ends_with(".dataimporter.io"));
        Ok(things.map(|thing| thing.title()).filter(|title| !theirs(title)).collect())
    };
    let kept = kubectl.run(&["get", "crd", "-o", "name"])?.lines().filter(|name| name.ends_with(".dataimporter.io")).count();
    ensure!(kept == 6, "{kept} definitions are kept, not 6");
    // Nobody serves a finalizer any more; the API server forgets the deletion guard some seconds after it is gone.
    let examples = workspace::root().join("examples").to_string_lossy().into_owned();
    process::wait_until("the examples to be deleted", Duration::from_secs(60), || {
        kubectl.run(&["delete", "--ignore-not-found", "--timeout=60s", "-f", &examples]).map(drop)
    })?;
    // What Kubernetes puts into a namespace of its own accord.
    let of_kubernetes =
        |title: &String| title == "ConfigMap dataimporter-system/kube-root-ca.crt" || title == "ServiceAccount dataimporter-system/default";
    let left: Vec<String> = ours(kubectl)?.into_iter().filter(|title| !of_kubernetes(title)).collect();
    ensure!(left.is_empty(), "left behind: {}", left.join(", "));
    for region in ["frankfurt/eu-frankfurt", "dallas/us-dallas", "sydney/ap-sydney"] {
        let folder = demo.folder.join("storage").join(region);
        let entries =
            std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let entries: Vec<String> = entries.filter(|name| name != "audit").collect();
        ensure!(entries.is_empty(), "the volume of {region} holds more than the audit: {entries:?}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_goes_first_once_and_every_two_in_both_orders() {
        let orders: Vec<Vec<&str>> = orders().into_iter().map(|(_, order)| order).collect();
        assert_eq!(orders.iter().map(|order| order[0]).collect::<BTreeSet<_>>(), KINDS.into());
        for (one, other) in KINDS.iter().flat_map(|one| KINDS.iter().map(move |other| (one, other))).filter(|(one, other)| one != other) {
            let before = |order: &Vec<&str>| order.iter().position(|kind| kind == one) < order.iter().position(|kind| kind == other);
            assert!(orders.iter().any(before), "{one} never goes before {other}");
        }
    }
}
