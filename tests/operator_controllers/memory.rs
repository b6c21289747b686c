//! What the operator needs in memory where everything is as large and as much as it may be. The chart's limit is set from this.

use std::time::{Duration, Instant};

use api::{ImportJob, ImportRun};
use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Resource, ResourceExt};
use serde_json::{Value, json};
use testkit::wait_for;

use crate::process::{INSTALLATION, Process};
use crate::size;
use crate::support::{World, tenant_yaml};

const TENANTS: usize = 5;
const JOBS: usize = 40;
const RUNS_OF_A_JOB: usize = 50;
const CONNECTIONS: usize = 10;
/// Objects that are created at the same time.
const AT_ONCE: usize = 24;

/// Runs come with their status, which saves ten thousand writes.
async fn without_status_subresource(world: &World) {
    let crds = Api::<CustomResourceDefinition>::all(world.client.clone());
    let mut crd = crds.get("importruns.dataimporter.io").await.unwrap();
    crd.spec.versions[0].subresources = None;
    crds.replace("importruns.dataimporter.io", &PostParams::default(), &crd).await.unwrap();
}

/// A run with all that a status of two hundred chunks has, ended an hour ago, whose result files are alive.
fn run(job: &ImportJob, number: usize) -> ImportRun {
    let (ended, expires) = (Timestamp::now() - SignedDuration::from_hours(1), Timestamp::now() + SignedDuration::from_hours(24));
    let condition = |type_: &str| json!({"type": type_, "status": "True", "reason": "Completed", "message": "every row that was sent is in Salesforce", "lastTransitionTime": ended});
    let file = |name: &str| json!({"name": name, "file": "0123456789abcdef0123456789abcdef", "rows": 1, "bytes": 1, "expiresAt": expires});
    let chunk = |n: usize| {
        json!({"number": n, "state": "Done", "firstRow": 1, "inputRows": 1, "sentRows": 1, "bytes": 1, "sha256": "0".repeat(64),
            "jobID": "750000000000001AAA", "rows": {"read": 1}})
    };
    serde_json::from_value(json!({
        "apiVersion": "dataimporter.io/v1alpha1", "kind": "ImportRun",
        "metadata": {"name": format!("{}-{number:03}", job.name_any()), "namespace": job.namespace(),
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "x".repeat(500)}},
        "spec": {"jobRef": {"name": job.name_any(), "uid": job.uid()}, "action": {"run": {}}, "startBefore": ended},
        "status": {"observedGeneration": 1, "conditions": [condition("Ready"), condition("Succeeded")], "startedAt": ended, "finishedAt": ended,
            "snapshotDigest": "0".repeat(64), "rows": {"read": 1, "succeeded": 1},
            "chunks": {"total": 8, "done": 8, "listed": (0..8).map(chunk).collect::<Vec<_>>()},
            "attempts": [{"number": 1, "podUID": "u", "node": "node-a", "createdAt": ended, "finishedAt": ended, "reason": "Completed", "counted": false}],
            "placement": {"region": "eu-frankfurt", "node": "node-a"},
            "results": [file("succeeded.csv"), file("failed.csv")],
            "outcome": {"attempt": 1, "reason": "Completed", "message": "", "at": ended}},
    }))
    .unwrap()
}

fn large_job(namespace: &str, number: usize) -> ImportJob {
    let mut job: Value = size::largest_job(namespace);
    job["metadata"]["name"] = json!(format!("large-{number:02}"));
    job["spec"]["trigger"] = json!({"manual": {}});
    serde_json::from_value(job).unwrap()
}

async fn create_all<K>(world: &World, objects: Vec<K>) -> Vec<K>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::Serialize
        + serde::de::DeserializeOwned,
{
    let create = async |object: K| {
        let api = world.namespaced::<K>(&object.meta().namespace.clone().unwrap_or_default());
        api.create(&PostParams::default(), &object).await.unwrap_or_else(|error| panic!("{error}"))
    };
    futures::stream::iter(objects.into_iter().map(create)).buffer_unordered(AT_ONCE).collect().await
}

/// The chart's limit of the operator, in KiB.
fn limit() -> u64 {
    let values: Value = serde_saphyr::from_str(include_str!("../../charts/dataimporter/values.yaml")).unwrap();
    let limit = values["operator"]["resources"]["limits"]["memory"].as_str().unwrap().to_owned();
    limit.strip_suffix("Mi").and_then(|n| n.parse::<u64>().ok()).unwrap_or_else(|| panic!("{limit}")) << 10
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: cargo xtask test memory"]
async fn two_hundred_largest_jobs_and_ten_thousand_finished_runs_fit_the_charts_memory() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let world = World::without_operator().await;
    without_status_subresource(&world).await;
    world.apply(INSTALLATION).await;
    let began = Instant::now();
    for n in 0..TENANTS {
        let name = format!("tenant-{n}");
        world.server.create_namespace(&name).await.unwrap();
        world.apply(&tenant_yaml(&name, &[&name])).await;
        for c in 0..CONNECTIONS {
            let bundle = "\"".repeat(65_536);
            let spec = json!({"postgres": {"host": "db.acme.example", "database": "crm", "user": "reader", "tls": {"caBundle": bundle}},
                "credentials": {"secretRef": {"name": "s", "afterIntake": "Keep"}}});
            let connection = json!({"apiVersion": "dataimporter.io/v1alpha1", "kind": "Connection",
                "metadata": {"name": format!("lake-{c}"), "namespace": name}, "spec": spec});
            world.apply(&connection.to_string()).await;
        }
    }
    let jobs = (0..TENANTS).flat_map(|n| (0..JOBS).map(move |number| large_job(&format!("tenant-{n}"), number))).collect();
    let jobs = create_all::<ImportJob>(&world, jobs).await;
    let bytes = serde_json::to_string(&jobs[0].spec).unwrap().len();
    let runs = jobs.iter().flat_map(|job| (0..RUNS_OF_A_JOB).map(move |number| run(job, number))).collect();
    let runs = create_all::<ImportRun>(&world, runs).await.len();
    println!("{} jobs of {bytes} bytes, {runs} finished runs, created within {:.0} s", jobs.len(), began.elapsed().as_secs_f32());

    let began = Instant::now();
    let operator = Process::start(&world, "measured");
    let told = wait_for("every job to be judged", Duration::from_secs(300), async || {
        let done = async |n: usize| {
            let api = world.namespaced::<ImportJob>(&format!("tenant-{n}"));
            let list = api.list(&ListParams::default().limit(500)).await?.items;
            Ok::<_, anyhow::Error>(list.len() == JOBS && list.iter().all(|job| job.status.is_some()))
        };
        for n in 0..TENANTS {
            if !done(n).await? {
                tokio::time::sleep(Duration::from_secs(1)).await;
                return Ok(None);
            }
        }
        Ok(Some(()))
    });
    told.await.unwrap();
    // A sweep has looked at every run, and some jobs come once more by the watch.
    let touch = json!({"metadata": {"annotations": {"dataimporter.io/reconcile-at": "now"}}});
    for job in jobs.iter().take(10) {
        let api = world.namespaced::<ImportJob>(&job.namespace().unwrap());
        api.patch(&job.name_any(), &PatchParams::default(), &Patch::Merge(&touch)).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let kept: usize = futures::stream::iter(0..TENANTS)
        .then(|n| {
            let api = world.namespaced::<ImportRun>(&format!("tenant-{n}"));
            async move { api.list_metadata(&ListParams::default()).await.unwrap().items.len() }
        })
        .fold(0, |sum, n| async move { sum + n })
        .await;
    assert_eq!(kept, TENANTS * JOBS * RUNS_OF_A_JOB, "none of them is surplus");
    let [most, anonymous] = operator.memory(["VmHWM", "RssAnon"]);
    println!(
        "operator: at most {most} KiB, {anonymous} KiB of it its own now, after {:.0} s; the chart allows {} KiB",
        began.elapsed().as_secs_f32(),
        limit()
    );
    assert!(most <= limit(), "{most} KiB are more than the chart's {} KiB", limit());
}
