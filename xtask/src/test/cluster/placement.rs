//! Where a tenant is and stays: nodes, regions, and the end of both.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::Check;
use super::beside::{Beside, look_again};
use super::refusal::{control, refused, try_create};
use crate::cluster::Cluster;
use crate::demo::Demo;
use crate::demo::manifests::SYSTEM;
use crate::kubectl::{Kubectl, condition};
use crate::process;

pub(super) const CHECKS: &[Check] = &[
    ("a run waits for a node that an administrator gave its region, and runs nowhere else", a_run_waits_for_its_region),
    ("a tenant's region is for ever", a_region_is_for_ever),
    ("a Region stays where it is", a_region_stays),
    ("tenants of other regions are refused", foreign_tenants),
    ("records of a deleted tenant open for nobody, whoever bears its name", old_records_do_not_open),
    ("deleting a tenant, a region or their definitions needs confirmation", unconfirmed_deletion),
];

const LABEL: &str = "node-restriction.kubernetes.io/dataimporter-region";
/// What a node may say of itself.
const OWN_LABEL: &str = "topology.kubernetes.io/region";
const LIMIT: Duration = Duration::from_secs(60);

/// Gives Sydney's node back what the check took from it, however the check ends.
struct SydneyAgain<'a>(&'a Kubectl);

impl Drop for SydneyAgain<'_> {
    fn drop(&mut self) {
        let _ = self.0.run(&["label", "--overwrite", "node", "sydney", &format!("{LABEL}=ap-sydney")]);
        let _ = self.0.run(&["uncordon", "sydney"]);
        let _ = self.0.run(&["label", "--overwrite", "node", "dallas", &format!("{OWN_LABEL}=us-dallas")]);
    }
}

fn a_run_waits_for_its_region(demo: &Demo) -> Result<()> {
    let kubectl = &demo.kubectl;
    let dallas = Kubectl { kubeconfig: Some(Cluster::find()?.kubeconfig_of("kubelet-dallas")?), ..kubectl.clone() };
    let _again = SydneyAgain(kubectl);
    // A hostile node: it says that it is in Sydney, with its own credential.
    control(
        "a node labels itself as it likes",
        dallas.run(&["label", "--overwrite", "node", "dallas", &format!("{OWN_LABEL}=ap-sydney")]),
    )?;
    let forged = dallas.run(&["label", "--overwrite", "node", "dallas", &format!("{LABEL}=ap-sydney")]);
    refused("a node that gives itself our label", forged, "is not allowed to modify labels")?;

    // No node carries the label: no pod is made at all.
    kubectl.run(&["label", "node", "sydney", &format!("{LABEL}-")])?;
    let region = |reason: &str| {
        process::wait_until(&format!("Region ap-sydney {reason}"), LIMIT, || {
            let region = kubectl.json(&["get", "region", "ap-sydney"])?;
            let ready = condition(&region, "Ready");
            ensure!(ready.is_some_and(|(_, found, _)| found == reason), "it is {ready:?}");
            Ok(())
        })
    };
    region("NoNodes")?;
    let name = format!("contacts-placement-{}", std::process::id());
    demo.plugin(&["run", "globex/contacts", "--name", &name])?;
    let waits = |reason: &str, words: &str| {
        process::wait_until(&format!("the run waiting: {reason}"), LIMIT, || {
            let run = kubectl.json(&["get", "importrun", &name, "-n", "globex"])?;
            let ready = condition(&run, "Ready");
            ensure!(ready.is_some_and(|(_, found, message)| found == reason && message.contains(words)), "it says {ready:?}");
            Ok(())
        })
    };
    waits("RegionNotReady", &format!("no node carries {LABEL}=ap-sydney"))?;
    let uid = kubectl.run(&["get", "importrun", &name, "-n", "globex", "-o", "jsonpath={.metadata.uid}"])?;
    let pods = || kubectl.json(&["get", "pods", "-A", "-l", &format!("dataimporter.io/run-uid={}", uid.trim())]);
    ensure!(pods()?["items"] == json!([]), "a pod was made although no node may take it");

    // A node carries it and takes nobody: the pod waits for that node, beside one that only says it is in Sydney.
    kubectl.run(&["cordon", "sydney"])?;
    kubectl.run(&["label", "node", "sydney", &format!("{LABEL}=ap-sydney")])?;
    region("Served")?;
    waits("Unschedulable", "no node takes the worker")?;
    let waiting = pods()?["items"][0].clone();
    ensure!(waiting["spec"]["nodeName"].is_null(), "the pod sits on {}", waiting["spec"]["nodeName"]);

    kubectl.run(&["uncordon", "sydney"])?;
    demo.plugin(&["wait", &format!("globex/{name}"), "--timeout", "120"])?;
    let run = kubectl.json(&["get", "importrun", &name, "-n", "globex"])?;
    ensure!(condition(&run, "Succeeded").is_some_and(|(status, ..)| status == "True"), "it ended {:?}", condition(&run, "Succeeded"));
    let attempts = run["status"]["attempts"].as_array().context("it has attempts")?;
    ensure!(attempts.len() == 1 && attempts[0]["node"] == "sydney", "it ran elsewhere: {attempts:?}");
    Ok(())
}

fn a_region_is_for_ever(demo: &Demo) -> Result<()> {
    let kubectl = &demo.kubectl;
    let reason = "region is immutable";
    let patch = |kind: &str, body: &str| kubectl.run(&["patch", "tenant", "acme", "--dry-run=server", "--type", kind, "-p", body]);
    control("other fields may change", patch("merge", r#"{"spec":{"contact":{"firstName":"Grace"}}}"#))?;
    refused("a merge patch", patch("merge", r#"{"spec":{"region":"us-dallas"}}"#), reason)?;
    refused("a JSON patch", patch("json", r#"[{"op":"replace","path":"/spec/region","value":"us-dallas"}]"#), reason)?;
    refused("a strategic patch", patch("strategic", r#"{"spec":{"region":"us-dallas"}}"#), "strategic-merge-patch+json is not supported")?;
    // What takes it away and brings another one, in one step or in two.
    refused("removing it", patch("json", r#"[{"op":"remove","path":"/spec/region"}]"#), "Required value")?;
    refused("removing it by a merge", patch("merge", r#"{"spec":{"region":null}}"#), "Required value")?;
    refused("an empty one", patch("merge", r#"{"spec":{"region":""}}"#), "region")?;
    let both = r#"[{"op":"remove","path":"/spec/region"},{"op":"add","path":"/spec/region","value":"us-dallas"}]"#;
    refused("removing and adding", patch("json", both), reason)?;
    refused("another spec", patch("json", r#"[{"op":"remove","path":"/spec"}]"#), "Required value")?;

    let tenant = kubectl.json(&["get", "tenant", "acme"])?;
    let mut moved = tenant.clone();
    moved["spec"]["region"] = json!("us-dallas");
    refused("an update", kubectl.fed(&["replace", "--dry-run=server", "-f", "-"], &moved.to_string()), reason)?;
    // Deletes and creates, and so meets the deletion guard.
    refused("a forced replacement", kubectl.fed(&["replace", "--force", "-f", "-"], &moved.to_string()), "confirm-deletion")?;
    let applied = |region: &Value| {
        let object =
            json!({"apiVersion": "dataimporter.io/v1alpha1", "kind": "Tenant", "metadata": {"name": "acme"}, "spec": {"region": region}});
        let arguments = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--field-manager=attack", "-f", "-"];
        kubectl.fed(&arguments, &object.to_string())
    };
    control("applying the region it has", applied(&json!("eu-frankfurt")))?;
    refused("a server-side apply", applied(&json!("us-dallas")), reason)?;

    // The status subresource takes a status and nothing else, and no other Region there either; there is no scale.
    let status = ["--subresource=status", "--dry-run=server", "-o", "json"];
    let patch_status = |body: &str| kubectl.run(&[&["patch", "tenant", "acme", "--type=merge", "-p", body], &status[..]].concat());
    refused("another Region's UID in status", patch_status(r#"{"status":{"regionUID":"x"}}"#), "regionUID is written once")?;
    let by_status = [
        kubectl.fed(&[&["replace", "-f", "-"], &status[..]].concat(), &moved.to_string())?,
        patch_status(r#"{"spec":{"region":"us-dallas"},"status":{"observedGeneration":1}}"#)?,
    ];
    for answer in by_status {
        let answer: Value = serde_json::from_str(&answer)?;
        ensure!(answer["spec"] == tenant["spec"], "the status subresource changed the spec: {}", answer["spec"]);
    }
    let scale = kubectl.fed(&["replace", "--raw", "/apis/dataimporter.io/v1alpha1/tenants/acme/scale", "-f", "-"], &moved.to_string());
    refused("the scale subresource", scale, "(NotFound)")
}

fn a_region_stays(demo: &Demo) -> Result<()> {
    let kubectl = &demo.kubectl;
    let before = kubectl.json(&["get", "region", "eu-frankfurt"])?;
    let patch = |kind: &str, body: &Value| {
        kubectl.run(&["patch", "region", "eu-frankfurt", "--dry-run=server", "--type", kind, "-p", &body.to_string()])
    };
    control(
        "other fields may change",
        patch("merge", &json!({"spec": {"allowedLoginHosts": ["salesforce-emulator.demo.svc", "b.example"]}})),
    )?;
    for (field, value) in [
        ("location", json!({"city": "Berlin", "country": "DE"})),
        ("isolation", json!("Cell")),
        ("storage", json!({"volume": {"name": "dallas"}})),
    ] {
        let reason = format!("{field} is immutable");
        let what = |how: &str| format!("another {field} of a Region by {how}");
        refused(&what("merge patch"), patch("merge", &json!({"spec": {field: value}})), &reason)?;
        refused(
            &what("JSON patch"),
            patch("json", &json!([{"op": "replace", "path": format!("/spec/{field}"), "value": value}])),
            &reason,
        )?;
        refused(&what("removal"), patch("json", &json!([{"op": "remove", "path": format!("/spec/{field}")}])), "Required value")?;
        let mut moved = before.clone();
        moved["spec"][field] = value;
        refused(&what("update"), kubectl.fed(&["replace", "--dry-run=server", "-f", "-"], &moved.to_string()), &reason)?;
        moved["metadata"].as_object_mut().context("it has metadata")?.remove("managedFields");
        let apply = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--field-manager=attack", "-f", "-"];
        refused(&what("apply"), kubectl.fed(&apply, &moved.to_string()), &reason)?;
    }
    Ok(())
}

fn foreign_tenants(demo: &Demo) -> Result<()> {
    let kubectl = &demo.kubectl;
    let mut tenant = kubectl.json(&["get", "tenant", "acme"])?;
    tenant["metadata"] = json!({"name": "stranger"});
    tenant["spec"]["namespaces"] = json!(["stranger"]);
    tenant.as_object_mut().context("an object")?.remove("status");
    control("a tenant of a served region is admitted", try_create(kubectl, None, &tenant))?;
    tenant["spec"]["region"] = json!("eu-paris");
    refused("a tenant of a region not served", try_create(kubectl, None, &tenant), "is not served here")?;
    let mut region = kubectl.json(&["get", "region", "us-dallas"])?;
    region["metadata"] = json!({"name": "eu-paris"});
    region.as_object_mut().context("an object")?.remove("status");
    refused("a Region not served", try_create(kubectl, None, &region), "is not served here")
}

fn unconfirmed_deletion(demo: &Demo) -> Result<()> {
    let kubectl = &demo.kubectl;
    let reason = "confirm-deletion";
    let api = "/apis/dataimporter.io/v1alpha1";
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    for object in ["tenant/globex", "region/us-dallas", "crd/tenants.dataimporter.io", "crd/importruns.dataimporter.io"] {
        refused(object, kubectl.run(&["delete", object, "--dry-run=server"]), reason)?;
        let annotate = |name: &str| kubectl.run(&["annotate", "--overwrite", object, &format!("dataimporter.io/confirm-deletion={name}")]);
        annotate("another")?;
        refused(&format!("{object} confirmed by another name"), kubectl.run(&["delete", object, "--dry-run=server"]), reason)?;
        let name = object.split_once('/').map(|(_, name)| name).context("kind/name")?;
        annotate(name)?;
        let confirmed = control("confirmed, it goes", kubectl.run(&["delete", object, "--dry-run=server"]));
        kubectl.run(&["annotate", object, "dataimporter.io/confirm-deletion-"])?;
        confirmed?;
    }
    // A collection is deleted by one call; each object is asked about all the same.
    for path in
        [format!("{api}/tenants"), format!("{api}/regions"), format!("{definitions}?fieldSelector=metadata.name=tenants.dataimporter.io")]
    {
        let dry = format!("{path}{}dryRun=All", if path.contains('?') { "&" } else { "?" });
        refused(&format!("DELETE {path}"), kubectl.run(&["delete", "--raw", &dry]), reason)?;
    }
    let metadata = json!({"name": "collection", "namespace": "demo", "labels": {"walls": "collection"}});
    kubectl.apply(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}))?;
    control(
        "other collections go",
        kubectl.run(&["delete", "--raw", "/api/v1/namespaces/demo/configmaps?labelSelector=walls=collection"]),
    )?;
    if kubectl.exists(&["configmap", "collection", "-n", "demo"])? {
        bail!("control: the call that deletes a collection deletes nothing");
    }
    Ok(())
}

/// A backup of everything the keeper kept, put back under the feet of a new tenant of the old name.
fn old_records_do_not_open(demo: &Demo) -> Result<()> {
    const TENANT: &str = "phoenix";
    let kubectl = &demo.kubectl;
    let beside = Beside::start(demo)?;
    let uid = |kind: &str, name: &str, namespace: &[&str]| {
        kubectl.run(&[&["get", kind, name, "-o", "jsonpath={.metadata.uid}"], namespace].concat()).map(|uid| uid.trim().to_owned())
    };
    let ready = |reason: &str| {
        process::wait_until(&format!("Connection {TENANT}/crm {reason}"), LIMIT, || {
            let connection = kubectl.json(&["get", "connection", "crm", "-n", TENANT])?;
            let ready = condition(&connection, "Ready");
            ensure!(ready.is_some_and(|(_, found, _)| found == reason), "it is {ready:?}");
            Ok(())
        })
    };
    beside.tenant(TENANT)?;
    beside.connections(TENANT)?;
    beside.intake(TENANT, &["crm"])?;
    let (tenant, connection) = (uid("tenant", TENANT, &[])?, uid("connection", "crm", &["-n", TENANT])?);
    let backup = |label: &str| kubectl.json(&["get", "secrets", "-n", SYSTEM, "-l", label]);
    let records = backup(&format!("dataimporter.io/tenant-uid={tenant}"))?;
    let kept = records["items"].as_array().context("a list has items")?;
    let is_record = |secret: &&Value| secret["metadata"]["name"] == format!("connection-{connection}");
    let record = kept.iter().find(is_record).context("control: the backup holds the credential's record")?;
    ensure!(
        kept.iter().any(|secret| secret["metadata"]["labels"]["dataimporter.io/record"] == "key-ring"),
        "control: and the tenant's keys"
    );

    // Put back under the tenant it was taken from, the record opens: what fails below is not the restoring.
    kubectl.run(&["delete", "secret", &format!("connection-{connection}"), "-n", SYSTEM])?;
    look_again(kubectl, TENANT, "crm")?;
    ready("SourceMissing")?;
    restore(kubectl, record)?;
    look_again(kubectl, TENANT, "crm")?;
    ready("Verified")?;

    kubectl.run(&["annotate", "tenant", TENANT, &format!("dataimporter.io/confirm-deletion={TENANT}")])?;
    kubectl.run(&["delete", "rolebindings", "-n", TENANT, "dataimporter-intake-crm"])?;
    kubectl.run(&["delete", "connections", "-n", TENANT, "--all", "--timeout=60s"])?;
    kubectl.run(&["delete", "tenant", TENANT, "--timeout=60s"])?;
    let left = backup(&format!("dataimporter.io/tenant-uid={tenant}"))?;
    ensure!(left["items"] == json!([]), "records of the tenant are left: {}", left["items"]);

    beside.tenant(TENANT)?;
    beside.connections(TENANT)?;
    kubectl.run(&["delete", "secret", "crm", "-n", TENANT])?;
    beside.permit(TENANT, "crm")?;
    ready("SourceMissing")?;
    let reborn = uid("connection", "crm", &["-n", TENANT])?;
    ensure!(reborn != connection, "control: it is another Connection");
    // Everything comes back, and the credential's record also under the new Connection's name and the new tenant's.
    for secret in kept {
        restore(kubectl, secret)?;
    }
    let reborn_tenant = uid("tenant", TENANT, &[])?;
    let mut forged = record.clone();
    let text = serde_json::to_string(&forged["metadata"])?.replace(&connection, &reborn).replace(&tenant, &reborn_tenant);
    forged["metadata"] = serde_json::from_str(&text)?;
    restore(kubectl, &forged)?;
    look_again(kubectl, TENANT, "crm")?;
    process::wait_until("the keeper's look at what was restored", LIMIT, || {
        let logs = kubectl.run(&["logs", "-n", SYSTEM, "statefulset/dataimporter-keeper", "--since=60s"])?;
        let told = logs.lines().any(|line| line.contains(r#"Connection(\"phoenix\", \"crm\")"#) && line.contains("UnknownKey"));
        ensure!(told, "it does not say that it lacks the key of the record");
        Ok(())
    })?;
    let connection = kubectl.json(&["get", "connection", "crm", "-n", TENANT])?;
    let found = condition(&connection, "Ready");
    ensure!(found.is_some_and(|(status, ..)| status != "True"), "a record of the old tenant was opened for the new one: {found:?}");
    kubectl.run(&["annotate", "tenant", TENANT, &format!("dataimporter.io/confirm-deletion={TENANT}")])?;
    kubectl.run(&["delete", "tenant", TENANT, "--timeout=60s"]).map(drop)
}

fn restore(kubectl: &Kubectl, secret: &Value) -> Result<()> {
    let mut secret = secret.clone();
    let metadata = secret["metadata"].as_object_mut().context("it has metadata")?;
    metadata.retain(|field, _| ["name", "namespace", "labels", "annotations"].contains(&field.as_str()));
    kubectl.fed(&["create", "-f", "-"], &secret.to_string()).map(drop)
}
