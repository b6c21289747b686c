//! A restore that makes every object anew, in the order of `docs/operations.md`: the keeper's Secrets, Regions and Tenants first, whose place
//! they take is said, then Connections and jobs. Nobody gives a credential once more.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::beside::Beside;
use super::bucket_region::confirm_deletion;
use super::restored::stopped;
use super::runs::Run;
use super::{Check, chart};
use crate::demo::Demo;
use crate::demo::manifests::SYSTEM;
use crate::kubectl::Kubectl;
use crate::process;

pub(super) const CHECKS: &[Check] =
    &[("an installation whose objects are all made anew goes on with the credentials that it had", goes_on)];

const TENANT: &str = "restored";
const LIMIT: Duration = Duration::from_secs(240);
const OURS_IN_NAMESPACES: &str = "connections.dataimporter.io,importjobs.dataimporter.io";

/// What a backup has of objects: no UID, no version, no status, and no word of who managed what.
fn backup(kubectl: &Kubectl, what: &[&str]) -> Result<Vec<Value>> {
    let listed = kubectl.json(&[&["get"][..], what].concat())?;
    let items = listed["items"].as_array().context("a list")?;
    Ok(items
        .iter()
        .map(|item| {
            let mut kept = item.clone();
            let metadata = &item["metadata"];
            kept["metadata"] = json!({"name": metadata["name"]});
            for part in ["namespace", "labels", "annotations"] {
                if !metadata[part].is_null() {
                    kept["metadata"][part] = metadata[part].clone();
                }
            }
            kept.as_object_mut().map(|object| object.remove("status"));
            kept
        })
        .collect())
}

fn restore(kubectl: &Kubectl, objects: &[Value]) -> Result<()> {
    let all = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    kubectl.fed(&["create", "-f", "-"], &all.to_string()).map(drop)
}

/// Deletes what is there past its finalizers.
fn lose(kubectl: &Kubectl, object: &Value) -> Result<()> {
    let text = |value: &Value| value.as_str().map(str::to_owned).context("a name");
    let (kind, name) = (text(&object["kind"])?.to_lowercase(), text(&object["metadata"]["name"])?);
    let namespace = object["metadata"]["namespace"].as_str();
    if ["region", "tenant"].contains(&kind.as_str()) {
        confirm_deletion(kubectl, &kind, &name)?;
    }
    let place = namespace.map_or(vec![], |namespace| vec!["-n", namespace]);
    kubectl.run(&[&["patch", &kind, &name, "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#][..], &place].concat())?;
    kubectl.run(&[&["delete", &kind, &name, "--timeout=60s"][..], &place].concat()).map(drop)
}

fn loads(demo: &Demo, folder: &Path, name: &str) -> Result<()> {
    let file = folder.join("rows.csv");
    demo.plugin(&["upload", &file.to_string_lossy(), "--name", "rows", "--replace", "-n", TENANT])?;
    let run = Run::start_as(name, demo, TENANT, "rows", folder)?;
    run.ends("True", "Completed")?;
    run.counted_every_row_once(1)
}

fn goes_on(demo: &Demo) -> Result<()> {
    let (beside, kubectl) = (Beside::start(demo)?, &demo.kubectl);
    let folder = demo.folder.join("made-anew");
    std::fs::create_dir_all(&folder)?;
    beside.tenant(TENANT)?;
    beside.org(TENANT)?;
    beside.intake(TENANT, &["crm"])?;
    std::fs::write(folder.join("rows.csv"), beside.contacts())?;
    beside.job_from(TENANT, "rows", &json!({"upload": {"name": "rows"}}))?;
    loads(demo, &folder, "before")?;
    ensure!(!kubectl.exists(&["secret", "crm", "-n", TENANT])?, "control: its Secret is there, from which it could be taken once more");

    stopped(kubectl)?;
    let keeper = "app.kubernetes.io/managed-by=dataimporter-keeper";
    let own = backup(kubectl, &["secrets,configmaps", "-n", SYSTEM, "-l", keeper])?;
    let places = backup(kubectl, &["regions,tenants"])?;
    let objects = backup(kubectl, &[OURS_IN_NAMESPACES, "--all-namespaces"])?;
    ensure!(own.len() > 5 && places.len() > 1 && objects.len() > 1, "control: {} of {} of {}", own.len(), places.len(), objects.len());
    let before = uids(kubectl)?;

    // Nothing of ours is left but the namespaces of workers, which the operator makes anew; what a run or an upload was is not in a backup that is meant to begin nothing.
    let passing = backup(kubectl, &["importruns.dataimporter.io,uploads.dataimporter.io", "--all-namespaces"])?;
    for object in passing.iter().chain(&objects).chain(places.iter().rev()).chain(&own) {
        lose(kubectl, object)?;
    }

    restore(kubectl, &own)?;
    restore(kubectl, &places)?;
    let said = process::output(&mut demo.plugin_command(&["keys", "rebind"]))?;
    println!("{}", said.trim_end().lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n"));
    for workload in ["deployment/dataimporter-operator", "statefulset/dataimporter-keeper"] {
        kubectl.run(&["scale", workload, "-n", SYSTEM, "--replicas=1"])?;
    }
    chart::rolled_out(kubectl)?;
    demo.ready(&[&format!("tenants/{TENANT}")])?;
    // Longer than what nobody claims lives.
    std::thread::sleep(Duration::from_secs(75));
    restore(kubectl, &objects)?;
    let waited = process::output(&mut demo.plugin_command(&["keys", "rebind", "--wait", "--timeout", "180"]))?;
    println!("{}", waited.trim_end().lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n"));

    demo.ready(&["-n", TENANT, "connections/crm"])?;
    loads(demo, &folder, "after")?;
    process::wait_until("nothing of before", LIMIT, || {
        let kept = kubectl.run(&["get", "secrets", "-n", SYSTEM, "-l", keeper, "-o", "json"])?;
        let left: Vec<&String> = before.iter().filter(|uid| kept.contains(uid.as_str())).collect();
        ensure!(left.is_empty(), "Secrets of the keeper speak of {left:?} still");
        Ok(())
    })?;
    let audit = process::output(&mut demo.plugin_command(&["audit", "verify", "--region", "us-dallas"]))?;
    println!("  {}", audit.trim());
    ensure!(audit.contains("is whole") && !audit.contains("NOT WHOLE"), "it says {audit}");
    demo.plugin(&["disconnect", &format!("{TENANT}/crm")])
}

/// Of everything of ours that is there.
fn uids(kubectl: &Kubectl) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for what in [&["regions,tenants"][..], &[OURS_IN_NAMESPACES, "--all-namespaces"]] {
        let jsonpath = "-o=jsonpath={range .items[*]}{.metadata.uid}{\"\\n\"}{end}";
        all.extend(kubectl.run(&[&["get"][..], what, &[jsonpath]].concat())?.lines().map(str::to_owned));
    }
    ensure!(all.len() > 3, "control: only {all:?} are there");
    Ok(all)
}
