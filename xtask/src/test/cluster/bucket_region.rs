//! A Region that keeps its files in a bucket of a real S3 server beside the cluster: uploads, results and audit, and their end.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Check;
use super::beside::{Beside, LAKE, authority};
use super::canary::Canary;
use super::chart;
use super::minio::{Bucket, KEY_ID, REGION};
use super::refusal::refused;
use super::runs::Run;
use crate::demo::Demo;
use crate::demo::manifests::SYSTEM;
use crate::kubectl::{Kubectl, condition};
use crate::process;

pub(super) const CHECKS: &[Check] =
    &[("uploads, results and audit of a Region lie in its bucket, sealed, and go with their tenant", keeps_files_in_a_bucket)];

const TENANT: &str = "keeping";
pub(super) const KEEPS: &str = "eu-keeps";
const BUCKET: &str = "kept";
/// The Secret with its access key.
const KEY: &str = "kept-key";
const LABEL: &str = "node-restriction.kubernetes.io/dataimporter-region";
const ROWS: usize = 2_000;

/// Removes the Region with this tenant, and gives Dallas' node back, however the check ends.
pub(super) struct DallasAgain<'a>(&'a Kubectl, &'static str);

impl Drop for DallasAgain<'_> {
    fn drop(&mut self) {
        let _ = self.0.run(&["label", "--overwrite", "node", "dallas", &format!("{LABEL}=us-dallas")]);
        let _ = self.0.run(&["delete", "connections", "--all", "-n", self.1, "--timeout=60s"]);
        for (kind, name) in [("tenant", self.1), ("region", KEEPS)] {
            let _ = confirm_deletion(self.0, kind, name);
            let _ = self.0.run(&["delete", kind, name, "--ignore-not-found", "--timeout=60s"]);
        }
        let _ = self.0.run(&["delete", "secret", KEY, "-n", SYSTEM, "--ignore-not-found"]);
        let _ = serve(self.0, &[]);
    }
}

pub(super) fn confirm_deletion(kubectl: &Kubectl, kind: &str, name: &str) -> Result<()> {
    let confirmed = format!("dataimporter.io/confirm-deletion={name}");
    kubectl.run(&["annotate", kind, name, &confirmed, "--overwrite"]).map(drop)
}

/// What an administrator does with the chart's value `regions`.
pub(super) fn serve(kubectl: &Kubectl, more: &[&str]) -> Result<()> {
    let regions = [&["eu-frankfurt", "us-dallas", "ap-sydney"], more].concat().join(",");
    chart::set(kubectl, &[&format!("regions={{{regions}}}")])
}

fn keeps_files_in_a_bucket(demo: &Demo) -> Result<()> {
    let kubectl = &demo.kubectl;
    let mut beside = Beside::start(demo)?;
    let bucket = beside.minio()?;
    bucket.make(BUCKET)?;
    let _again = DallasAgain(kubectl, TENANT);
    refused_first(&beside, kubectl, &bucket)?;

    kubectl.run(&["label", "--overwrite", "node", "dallas", &format!("{LABEL}={KEEPS}")])?;
    demo.ready(&[&format!("regions/{KEEPS}")])?;
    beside.tenant_of(KEEPS, TENANT)?;
    beside.org(TENANT)?;
    beside.intake(TENANT, &["crm"])?;

    // A file, a run that reads it, and its results, of which one row is refused.
    let folder = demo.folder.join("bucket-region");
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("rows.csv");
    std::fs::write(&file, rows(&beside.marker))?;
    demo.plugin(&["upload", &file.to_string_lossy(), "--name", "rows", "--replace", "-n", TENANT])?;
    beside.job_from(TENANT, "rows", &json!({"upload": {"name": "rows"}}))?;
    let run = Run::start(demo, TENANT, "rows", &folder)?;
    run.ends("True", "")?;
    let status = run.object()?["status"].clone();
    ensure!(status["rows"]["read"] == ROWS && status["rows"]["failed"] == 1, "it counts {}", status["rows"]);

    let files = |bucket: &Bucket| -> Result<Vec<String>> {
        Ok(bucket.keys(BUCKET)?.into_iter().filter(|key| key.starts_with(&format!("{KEEPS}/files/"))).collect())
    };
    let results = status["results"].as_array().map_or(0, Vec::len);
    ensure!(results >= 2, "it has {results} result files");
    let lie_there = files(&bucket)?;
    ensure!(lie_there.len() == results + 1, "control: the upload and {results} results lie there: {lie_there:?}");
    let read = folder.join("failed.csv");
    demo.plugin(&["results", &format!("{TENANT}/{}", run.name()), "failed.csv", "--to", &read.to_string_lossy()])?;
    let canary = Canary::new(&beside.marker);
    let clear = canary.below(&[read])?;
    ensure!(!clear.findings.is_empty(), "control: what a person reads of the results has the rows");
    canary.below(&[bucket.objects(BUCKET)])?.found_nothing("objects of the bucket", 100 << 10)?;
    canary.is_found_when_planted(&bucket.objects(BUCKET))?;

    // The audit lies there, too, and is whole.
    ensure!(bucket.keys(BUCKET)?.iter().any(|key| key.starts_with(&format!("{KEEPS}/audit/"))), "the audit lies elsewhere");
    let whole = process::output(&mut demo.plugin_command(&["audit", "verify", "--region", KEEPS]))?;
    ensure!(whole.contains("keeper-0") && !whole.contains("NOT WHOLE"), "it says {whole}");

    // The tenant goes, and everything of it in the bucket with it. A bucket that keeps versions from then on is refused.
    kubectl.run(&["delete", "connections", "--all", "-n", TENANT, "--timeout=90s"])?;
    confirm_deletion(kubectl, "tenant", TENANT)?;
    kubectl.run(&["delete", "tenant", TENANT, "--timeout=120s"])?;
    process::wait_until("files of the tenant to be gone from the bucket", Duration::from_secs(60), || {
        let left = files(&bucket)?;
        ensure!(left.is_empty(), "left: {left:?}");
        Ok(())
    })?;
    bucket.keep_versions(BUCKET)?;
    storage_says(kubectl, "BucketKeepsVersions", "use a bucket in which versions were never turned on")
}

/// The Region with its bucket on a server that answers, without anything in its way. It goes with what is returned.
pub(super) fn ready<'a>(beside: &Beside, demo: &'a Demo, bucket: &Bucket, tenant: &'static str) -> Result<DallasAgain<'a>> {
    let kubectl = &demo.kubectl;
    bucket.make(BUCKET)?;
    let again = DallasAgain(kubectl, tenant);
    serve(kubectl, &[KEEPS])?;
    key(kubectl, &beside.password())?;
    let region = region()?;
    process::wait_until("the Region to be taken", Duration::from_secs(60), || kubectl.apply(&region).map(drop))?;
    beside.let_through(KEEPS)?;
    storage_says(kubectl, "Writable", "")?;
    kubectl.run(&["label", "--overwrite", "node", "dallas", &format!("{LABEL}={KEEPS}")])?;
    demo.ready(&[&format!("regions/{KEEPS}")])?;
    Ok(again)
}

fn region() -> Result<Value> {
    let spec = json!({
        "location": {"city": "Frankfurt", "country": "DE"}, "isolation": "Placement", "rootKey": {"secret": {}}, "nodes": {"labelled": {}},
        "storage": {"s3": {
            "endpoint": format!("https://{LAKE}:9000"), "bucket": BUCKET, "region": REGION, "secretRef": {"name": KEY},
            "tls": {"caBundle": authority()?}}},
    });
    Ok(json!({"apiVersion": "dataimporter.io/v1alpha1", "kind": "Region", "metadata": {"name": KEEPS}, "spec": spec}))
}

/// The Region, with everything in its way that an administrator may have put there.
fn refused_first(beside: &Beside, kubectl: &Kubectl, bucket: &Bucket) -> Result<()> {
    let region = region()?;
    refused("a Region that is not served here", kubectl.apply(&region), "is not served here")?;
    serve(kubectl, &[KEEPS])?;
    process::wait_until("the Region to be taken", Duration::from_secs(60), || kubectl.apply(&region).map(drop))?;
    storage_says(kubectl, "BucketKeyMissing", "Secret dataimporter-system/kept-key does not exist")?;
    key(kubectl, "another")?;
    storage_says(kubectl, "AddressRefused", "privateEndpoints")?;
    beside.let_through(KEEPS)?;
    storage_says(kubectl, "LoginRefused", "correct accessKeyId and secretAccessKey in Secret dataimporter-system/kept-key")?;
    key(kubectl, &beside.password())?;
    storage_says(kubectl, "Writable", "")?;
    let elsewhere = json!({"spec": {"storage": {"s3": {"bucket": "another"}}}}).to_string();
    let moved = kubectl.run(&["patch", "region", KEEPS, "--type=merge", "-p", &elsewhere]);
    refused("another bucket for the same Region", moved, "bucket and region of storage are immutable")?;
    let probes = bucket.keys(BUCKET)?;
    ensure!(probes.iter().all(|key| key.starts_with(&format!("{KEEPS}/"))), "outside of the Region's folder: {probes:?}");
    Ok(())
}

fn key(kubectl: &Kubectl, secret: &str) -> Result<()> {
    let entries = json!({"accessKeyId": KEY_ID, "secretAccessKey": secret});
    let metadata = json!({"name": KEY, "namespace": SYSTEM});
    kubectl.apply(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": entries})).map(drop)
}

fn storage_says(kubectl: &Kubectl, reason: &str, words: &str) -> Result<()> {
    process::wait_until(&format!("StorageReady of {KEEPS}: {reason}"), Duration::from_secs(90), || {
        let region = kubectl.json(&["get", "region", KEEPS])?;
        let (_, found, message) = condition(&region, "StorageReady").context("it says nothing yet")?;
        ensure!(found == reason && message.contains(words), "it is {found}: {message}");
        println!("  {found}: {message}");
        Ok(())
    })
}

/// One of them has no last name, which Salesforce requires.
fn rows(marker: &str) -> String {
    let row = |row: usize| match row {
        7 => format!("{row},Given{marker},\n"),
        row => format!("{row},Given{marker}{row},{marker}{row}\n"),
    };
    std::iter::once("id,first_name,last_name\n".to_owned()).chain((1..=ROWS).map(row)).collect()
}
