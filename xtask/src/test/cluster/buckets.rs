//! Files in a bucket, which a real S3 server has beside the cluster: what is wrong about them is told, and their rows come through workers
//! that die.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use super::Check;
use super::beside::{Beside, COMMIT, look_again};
use super::canary::Canary;
use super::minio::{BUCKET, Bucket, REGION, ROLE};
use super::runs::Run;
use super::worker_process::WorkerProcess;
use crate::cluster::Cluster;
use crate::demo::Demo;
use crate::kubectl::condition;
use crate::process;

pub(super) const CHECKS: &[Check] = &[
    ("a bucket, region, key or certificate that is wrong is told with the way out", refusals),
    ("an object is read through workers that die, each row once and none of it at rest, and another object in its place is not", deaths),
    ("packed JSON is read through a worker that dies, and a workbook is read", formats),
    (
        "a role is assumed with tokens of a ServiceAccount, by each worker anew and until its owner takes that back, and no secret is kept",
        role,
    ),
    ("an object that is not there, or breaks off, ends its run with the way out", unreadable),
];

const TENANT: &str = "lakeside";

fn refusals(demo: &Demo) -> Result<()> {
    let mut beside = Beside::start(demo)?;
    beside.minio()?;
    beside.tenant(TENANT)?;
    let secret = beside.password();
    // The control, and what is wrong with each of the others.
    let cases = [
        ("right", secret.as_str(), BUCKET, REGION, true, "Verified", "S3 bucket lake"),
        ("bucket", &secret, "pond", REGION, true, "BucketNotFound", "correct the bucket"),
        ("region", &secret, BUCKET, "eu-central-1", true, "OtherRegion", "correct the region"),
        ("key", "another", BUCKET, REGION, true, "LoginRefused", "correct entry accessKeyId, secretAccessKey of Secret key"),
        ("certificate", &secret, BUCKET, REGION, false, "TlsRefused", "lake.beside.svc"),
    ];
    for (name, secret, bucket, region, trusted, ..) in cases {
        beside.lake(TENANT, name, secret, bucket, region, trusted)?;
        beside.permit(TENANT, name)?;
    }
    for (name, .., reason, words) in cases {
        beside.connection_says(TENANT, name, reason, words)?;
    }
    Ok(())
}

/// A tenant that reads a bucket and loads into an org, both ready.
fn ready<'a>(demo: &'a Demo) -> Result<(Beside<'a>, Bucket)> {
    let mut beside = Beside::start(demo)?;
    let bucket = beside.minio()?;
    beside.tenant(TENANT)?;
    beside.org(TENANT)?;
    beside.lake(TENANT, "lake", &beside.password(), BUCKET, REGION, true)?;
    beside.intake(TENANT, &["crm", "lake"])?;
    Ok((beside, bucket))
}

fn job(beside: &Beside, name: &str, path: &str) -> Result<()> {
    beside.job_from(TENANT, name, &json!({"file": {"connectionRef": {"name": "lake"}, "path": path}}))
}

fn deaths(demo: &Demo) -> Result<()> {
    let (beside, bucket) = ready(demo)?;
    let cluster = Cluster::find()?;
    let folder = demo.folder.join("buckets");
    std::fs::create_dir_all(&folder)?;
    bucket.put("in/contacts.csv", beside.contacts())?;
    job(&beside, "contacts", "in/contacts.csv")?;

    let (run, pod, log) = Run::behind_its_first_chunk(&beside, demo, TENANT, "contacts", &folder)?;
    let mut logs = vec![run.first_worker_crashes(&cluster, &pod, log)?];
    let (pod, log) = run.worker(2)?;
    run.holds_rows_behind_a_finished_chunk()?;
    WorkerProcess::of(&cluster, &pod)?.run_out_of_memory()?;
    logs.push(log.ended()?);
    run.attempt_ended(1, "OOMKilled", "out of memory")?;
    beside.let_pass()?;
    run.ends("True", "Completed")?;
    run.counted_every_row_once(3)?;

    let canary = Canary::new(&beside.marker);
    canary.below(&logs)?.found_nothing("logs of workers", 1 << 8)?;
    canary.below(&cluster.disks())?.found_nothing("disks of the nodes", 100 << 20)?;
    canary.below(&cluster.hidden_places()?)?.found_nothing("memory file systems of the nodes", 1 << 10)?;
    canary.is_found_when_planted(&cluster.disks()[0].join("dallas/log"))?;

    job(&beside, "replaced", "in/contacts.csv")?;
    let (run, pod, _log) = Run::behind_its_first_chunk(&beside, demo, TENANT, "replaced", &folder)?;
    bucket.put("in/contacts.csv", "id,first_name,last_name\n1,Somebody,Else\n")?;
    WorkerProcess::of(&cluster, &pod)?.crash()?;
    beside.let_pass()?;
    let said = run.ends("False", "")?;
    ensure!(said.contains("not what it was"), "it says {said}");
    Ok(())
}

fn role(demo: &Demo) -> Result<()> {
    let discovery = ["clusterrolebinding", "issuer-for-everybody"];
    let published = Published { demo, discovery };
    demo.kubectl.run(&[
        "create",
        discovery[0],
        discovery[1],
        "--clusterrole=system:service-account-issuer-discovery",
        "--group=system:unauthenticated",
    ])?;
    let mut beside = Beside::start(demo)?;
    let bucket = beside.minio_for_accounts()?;
    beside.tenant(TENANT)?;
    beside.org(TENANT)?;
    // What an earlier run of this check allowed.
    for resource in ["role", "rolebinding"] {
        demo.kubectl.run(&["delete", resource, "dataimporter-intake-serviceaccount:loader", "-n", TENANT, "--ignore-not-found"])?;
    }
    beside.lake_by_role(TENANT, "by-role", "loader", ROLE)?;
    beside.lake_by_role(TENANT, "no-role", "loader", "arn:minio:iam:us-east-2::role/nobody")?;
    beside.connection_says(TENANT, "by-role", "SourceForbidden", "resources: [serviceaccounts/token], resourceNames: [loader]")?;
    beside.intake(TENANT, &["crm", "by-role"])?;
    beside.connection_says(TENANT, "by-role", "Verified", ROLE)?;
    beside.permit(TENANT, "no-role")?;
    beside.connection_says(TENANT, "no-role", "LoginRefused", "correct roleArn")?;

    bucket.put("in/contacts.csv", beside.contacts())?;
    let (cluster, folder) = (Cluster::find()?, demo.folder.join("buckets"));
    std::fs::create_dir_all(&folder)?;
    let file = json!({"connectionRef": {"name": "by-role"}, "path": "in/contacts.csv", "afterSuccess": {"delete": {}}});
    beside.job_from(TENANT, "by-role", &json!({"file": file}))?;
    beside.hold_after(1, COMMIT, 120, 1)?;
    let run = Run::start(demo, TENANT, "by-role", &folder)?;
    let (pod, log) = run.worker(1)?;
    run.holds_rows_behind_a_finished_chunk()?;
    let log = run.first_worker_crashes(&cluster, &pod, log)?;
    beside.let_pass()?;
    // It is deleted with another token than the one it was read with.
    run.ends("True", "Completed")?;
    run.counted_every_row_once(2)?;
    ensure!(run.object()?["status"]["outcome"]["afterSuccess"] == "Done" && bucket.keys(BUCKET)?.is_empty(), "the file is still there");
    Canary::new("eyJhbGciOiJSUzI1NiIsImtpZCI6").below(&[log])?.found_nothing("logs of workers", 1 << 8)?;

    demo.kubectl.run(&["annotate", "serviceaccount", "loader", "-n", TENANT, "dataimporter.io/consent-"])?;
    look_again(&demo.kubectl, TENANT, "by-role")?;
    beside.connection_says(TENANT, "by-role", "ConsentMissing", "kubectl annotate serviceaccount loader")?;
    drop(published);
    Ok(())
}

/// That everybody may read who signs the tokens of this cluster, as long as this lives.
struct Published<'a> {
    demo: &'a Demo,
    discovery: [&'static str; 2],
}

impl Drop for Published<'_> {
    fn drop(&mut self) {
        let _ = self.demo.kubectl.run(&["delete", self.discovery[0], self.discovery[1]]);
    }
}

fn formats(demo: &Demo) -> Result<()> {
    let (beside, bucket) = ready(demo)?;
    let folder = demo.folder.join("buckets");
    std::fs::create_dir_all(&folder)?;
    let objects = (1..=2_000).map(|row| {
        let contact = json!({"id": row, "first_name": format!("Given{row}"), "last_name": format!("Name{row}"), "more": {"padding": "x".repeat(20_000)}});
        format!("{contact}\n")
    });
    bucket.put_packed("in/contacts.ndjson.gz", &objects.collect::<String>())?;
    job(&beside, "json", "in/contacts.ndjson.gz")?;
    let (run, pod, log) = Run::behind_its_first_chunk(&beside, demo, TENANT, "json", &folder)?;
    run.first_worker_crashes(&Cluster::find()?, &pod, log)?;
    beside.let_pass()?;
    run.ends("True", "Completed")?;
    run.counted_every_row_once(2)?;

    bucket.put("in/contacts.xlsx", include_bytes!("contacts.xlsx"))?;
    job(&beside, "workbook", "in/contacts.xlsx")?;
    let run = Run::start(demo, TENANT, "workbook", &folder)?;
    run.ends("True", "Completed")?;
    let rows = run.object()?["status"]["rows"].clone();
    ensure!(rows["read"] == 200 && rows["succeeded"] == 200, "it counts {rows}");
    Ok(())
}

fn unreadable(demo: &Demo) -> Result<()> {
    let (beside, bucket) = ready(demo)?;
    let folder = demo.folder.join("buckets");
    std::fs::create_dir_all(&folder)?;
    bucket.put("in/gone.csv", "id,first_name,last_name\n1,Some,Body\n")?;
    job(&beside, "gone", "in/gone.csv")?;
    Run::start(demo, TENANT, "gone", &folder)?.ends("True", "Completed")?;
    bucket.remove("in/gone.csv")?;
    job(&beside, "vanished", "in/gone.csv")?;
    let said = Run::start(demo, TENANT, "vanished", &folder)?.ends("False", "SourceFailed")?;
    ensure!(said.contains("bucket lake has no object \"in/gone.csv\": correct source.file.path"), "it says {said}");

    bucket.put("in/cut.csv", beside.contacts())?;
    bucket.cut("in/cut.csv")?;
    job(&beside, "cut", "in/cut.csv")?;
    let run = Run::start(demo, TENANT, "cut", &folder)?;
    process::wait_until("an attempt that says what stands in its way", Duration::from_secs(90), || {
        let run = run.object()?;
        let Some((_, reason, message)) = condition(&run, "Ready") else { anyhow::bail!("it says nothing yet") };
        ensure!(
            reason == "BackingOff" && message.contains("ended with Interrupted (") && message.contains("lake"),
            "it is {reason}: {message}"
        );
        println!("  {message}");
        Ok(())
    })
}
