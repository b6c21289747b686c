//! One run from its trigger to its end, and the ways in which workers die.

use api::conditions::{LAST_RUN_SUCCEEDED, SUCCEEDED, find, is_true};
use api::import_run::{Rows, RunReason};
use api::snapshot::Snapshot;
use api::{ImportJob, ImportRun};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use testkit::wait_for;

use crate::support::{SOON, SQL, UPLOAD, World, connections_yaml, job_yaml, public, tenant_yaml};

const ONCE: &str = "{once: {id: '1'}}";

fn rows(read: i64, failed: i64) -> Rows {
    Rows { read, succeeded: read - failed, failed, ..Default::default() }
}

/// Writes for runs so far: anchors, pods, runs and events.
fn run_writes(world: &World) -> u64 {
    let text = world.metrics.render();
    let writes = text.lines().filter(|l| l.starts_with("dataimporter_api_writes_total"));
    let of_runs = writes.filter(|l| ["ConfigMap", "Pod", "ImportRun", "Event"].iter().any(|k| l.contains(&format!("kind=\"{k}\""))));
    of_runs.filter_map(|l| l.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// A job with one run whose first worker is at work on node-a.
async fn begun(world: &World, tenant: &str, source: &str) -> Pod {
    world.tenant(tenant).await;
    world.apply(&job_yaml(tenant, "accounts", source, ONCE)).await;
    let pod = world.worker(tenant, "accounts-once-1", 1).await;
    world.bind(&pod, "node-a").await;
    world.pod_runs(&pod).await;
    world.wait_ready::<ImportRun>(world.namespaced(tenant), "accounts-once-1", "Running").await;
    pod
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_from_its_trigger_to_its_end_and_a_second_apply_that_changes_nothing() {
    let world = World::start().await;
    let pod = begun(&world, "acme", UPLOAD).await;

    // The attempt is written down with pod and node; the snapshot is the one whose digest stands in status.
    let run = world.namespaced::<ImportRun>("acme").get("accounts-once-1").await.unwrap();
    let status = run.status.clone().unwrap();
    assert_eq!(status.attempts[0].pod_uid, pod.uid());
    wait_for("the node to be noted", SOON, async || {
        let run = world.namespaced::<ImportRun>("acme").get("accounts-once-1").await?;
        Ok(run.status.filter(|s| s.attempts[0].node.as_deref() == Some("node-a")))
    })
    .await
    .unwrap();
    let anchor = world.anchor("acme", &run.uid().unwrap()).await.unwrap();
    let text = &anchor.data.clone().unwrap()["snapshot.json"];
    assert_eq!(status.snapshot_digest, Some(Snapshot::digest(text)));
    let snapshot: Snapshot = serde_json::from_str(text).unwrap();
    assert_eq!((snapshot.connections["crm"].min_credential_version, snapshot.upload.unwrap().name.as_str()), (3, "accounts"));
    assert_eq!(pod.owner_references()[0].uid, anchor.uid().unwrap());
    assert_eq!(status.placement.unwrap().key_id.as_deref(), Some("2c3d"));

    world.keeper_reports("acme", "accounts-once-1", 1, RunReason::CompletedWithFailedRows, rows(10, 2)).await;
    world.pod_ends(&pod, 0, "Completed").await;
    let run = world.wait_ready::<ImportRun>(world.namespaced("acme"), "accounts-once-1", "CompletedWithFailedRows").await;
    assert!(is_true(&run.status.as_ref().unwrap().conditions, SUCCEEDED));
    world.anchor_goes("acme", &run.uid().unwrap()).await;
    let job = wait_for("the job to know", SOON, async || {
        let job = world.namespaced::<ImportJob>("acme").get("accounts").await?;
        Ok(job.status.filter(|s| find(&s.conditions, LAST_RUN_SUCCEEDED).is_some()))
    })
    .await
    .unwrap();
    assert_eq!(find(&job.conditions, "Ready").unwrap().reason, "Done");

    // What a run costs the operator, once its tenant's run namespace stands: the run itself, and eight writes.
    let before = run_writes(&world);
    world.apply(&job_yaml("acme", "accounts", UPLOAD, "{once: {id: '2'}}")).await;
    let pod = world.worker("acme", "accounts-once-2", 1).await;
    world.bind(&pod, "node-a").await;
    world.pod_runs(&pod).await;
    world.wait_ready::<ImportRun>(world.namespaced("acme"), "accounts-once-2", "Running").await;
    world.keeper_reports("acme", "accounts-once-2", 1, RunReason::Completed, rows(10, 0)).await;
    world.pod_ends(&pod, 0, "Completed").await;
    let run = world.wait_ready::<ImportRun>(world.namespaced("acme"), "accounts-once-2", "Completed").await;
    world.anchor_goes("acme", &run.uid().unwrap()).await;
    let cost = run_writes(&world) - before;
    assert!(cost <= 1 + 8, "{cost} writes:\n{}", world.metrics.render());
    wait_for("the job to be done", SOON, async || {
        let job = world.namespaced::<ImportJob>("acme").get("accounts").await?;
        Ok(job.status.filter(|s| s.last_run.as_ref().is_some_and(|l| l.name == "accounts-once-2" && l.finished_at.is_some())))
    })
    .await
    .unwrap();

    // A second apply of everything changes nothing and starts nothing.
    let before = world.versions("acme").await;
    world.apply(&tenant_yaml("acme", &["acme"])).await;
    world.apply(&connections_yaml("acme")).await;
    world.apply(&job_yaml("acme", "accounts", UPLOAD, "{once: {id: '2'}}")).await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(before, world.versions("acme").await);
    world.assert_conformant().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_crashes_is_followed_by_another_from_the_same_snapshot() {
    let world = World::start().await;
    let pod = begun(&world, "crash", SQL).await;
    assert_eq!(pod.labels()["dataimporter.io/egress-postgres"], "true");
    let digest = |run: &ImportRun| run.status.as_ref().unwrap().snapshot_digest.clone();
    let first = world.namespaced::<ImportRun>("crash").get("accounts-once-1").await.unwrap();
    // What changes in the job meanwhile is not this run's business.
    world.apply(&job_yaml("crash", "accounts", "{sql: {connectionRef: {name: lake}, query: select 2, orderBy: [id]}}", ONCE)).await;
    world.pod_ends(&pod, 137, "OOMKilled").await;
    world.wait_ready::<ImportRun>(world.namespaced("crash"), "accounts-once-1", "BackingOff").await;
    let second = world.worker("crash", "accounts-once-1", 2).await;
    let run = world.namespaced::<ImportRun>("crash").get("accounts-once-1").await.unwrap();
    let attempt = &run.status.as_ref().unwrap().attempts[0];
    assert_eq!((attempt.reason.as_deref(), attempt.counted), (Some("OOMKilled"), Some(true)));
    assert_eq!(digest(&run), digest(&first));

    // A drained node does not count and is replaced at once.
    world.bind(&second, "node-a").await;
    let target = json!({"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"});
    world.pod_status(&second, json!({"phase": "Failed", "conditions": [target]})).await;
    let third = world.worker("crash", "accounts-once-1", 3).await;
    let run = world.namespaced::<ImportRun>("crash").get("accounts-once-1").await.unwrap();
    assert_eq!(run.status.as_ref().unwrap().attempts[1].counted, Some(false));

    // A pod that vanishes is noticed, too.
    let pods = world.namespaced::<Pod>("dataimporter-run-crash");
    pods.delete(&third.name_any(), &DeleteParams::default().grace_period(0)).await.unwrap();
    let fourth = world.worker("crash", "accounts-once-1", 4).await;
    world.keeper_reports("crash", "accounts-once-1", 4, RunReason::TargetFailed, rows(0, 0)).await;
    world.pod_ends(&fourth, 0, "Completed").await;
    let run = world.wait_ready::<ImportRun>(world.namespaced("crash"), "accounts-once-1", "TargetFailed").await;
    assert_eq!(find(&run.status.as_ref().unwrap().conditions, SUCCEEDED).unwrap().status, "False");
    world.assert_conformant().await;
}

/// No further attempt could read it.
/// Whom a worker trusts, in its environment.
fn trusted(pod: &Pod) -> String {
    let env = pod.spec.as_ref().and_then(|spec| spec.containers[0].env.clone()).unwrap();
    env.into_iter().find(|e| e.name == "KEEPER_CA").and_then(|e| e.value).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_trusts_whom_the_keeper_published_last() {
    let world = World::start().await;
    let maps = world.namespaced::<ConfigMap>("dataimporter-system");
    maps.delete("dataimporter-public", &DeleteParams::default()).await.unwrap();
    world.tenant("acme").await;
    world.apply(&job_yaml("acme", "accounts", UPLOAD, ONCE)).await;
    let run = world.wait_ready::<ImportRun>(world.namespaced("acme"), "accounts-once-1", "KeeperNotPublished").await;
    let message = find(&run.status.unwrap().conditions, "Ready").unwrap().message.clone();
    assert!(message.contains("dataimporter-system/dataimporter-public"), "{message}");

    world.apply(&public("the first one")).await;
    // What the run waits for is no object that is watched.
    world.apply(&job_yaml("acme", "others", UPLOAD, ONCE)).await;
    let pod = world.worker("acme", "others-once-1", 1).await;
    assert_eq!(trusted(&pod), "the first one");
    world.apply(&public("the first one and the next one")).await;
    world.bind(&pod, "node-a").await;
    world.pod_runs(&pod).await;
    world.pod_ends(&pod, 137, "OOMKilled").await;
    assert_eq!(trusted(&world.worker("acme", "others-once-1", 2).await), "the first one and the next one");
    world.assert_conformant().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_upload_is_over_when_its_worker_crashes_ends_and_says_so() {
    let world = World::start().await;
    let pod = begun(&world, "late", UPLOAD).await;
    world.keeper_erases("late", "accounts").await;
    world.pod_ends(&pod, 1, "Error").await;
    let run = world.wait_ready::<ImportRun>(world.namespaced("late"), "accounts-once-1", "UploadExpired").await;
    let status = run.status.unwrap();
    assert_eq!(status.attempts.len(), 1);
    let told = &find(&status.conditions, SUCCEEDED).unwrap().message;
    assert!(told.contains("Upload accounts passed its hour") && told.contains("send the file again"), "{told}");
    world.assert_conformant().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_that_no_node_took_ends_at_once_and_a_deleted_one_leaves_nothing() {
    let world = World::start().await;
    world.tenant("stop").await;
    world.apply(&job_yaml("stop", "accounts", UPLOAD, ONCE)).await;
    let pod = world.worker("stop", "accounts-once-1", 1).await;
    let runs = world.namespaced::<ImportRun>("stop");
    let cancel = json!({"spec": {"cancel": true}});
    runs.patch("accounts-once-1", &PatchParams::default(), &Patch::Merge(&cancel)).await.unwrap();
    let run = world.wait_ready::<ImportRun>(runs.clone(), "accounts-once-1", "Cancelled").await;
    assert!(run.status.unwrap().attempts[0].finished_at.is_some(), "the pod has no authority any more");
    world.anchor_goes("stop", &pod.labels()["dataimporter.io/run-uid"]).await;

    world.apply(&job_yaml("stop", "second", UPLOAD, ONCE)).await;
    let pod = world.worker("stop", "second-once-1", 1).await;
    runs.delete("second-once-1", &DeleteParams::default()).await.unwrap();
    world.anchor_goes("stop", &pod.labels()["dataimporter.io/run-uid"]).await;
    world.assert_conformant().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_pod_is_told_and_tried_again() {
    let world = World::start().await;
    world.tenant("full").await;
    // A quota of nothing, written over ours.
    world.apply(&job_yaml("full", "manual", UPLOAD, "{manual: {}}")).await;
    world.server.create_namespace("elsewhere").await.unwrap();
    let policy = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: no-pods}
spec:
  failurePolicy: Fail
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]}
  validations: [{expression: "false", message: "no pods today"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: no-pods}
spec: {policyName: no-pods, validationActions: [Deny]}
"#;
    world.apply(policy).await;
    // Policies take effect some seconds after they are written.
    let probe: Pod =
        serde_json::from_value(json!({"metadata": {"name": "probe"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})).unwrap();
    wait_for("the policy", SOON, async || {
        let tried =
            world.namespaced::<Pod>("elsewhere").create(&kube::api::PostParams { dry_run: true, field_manager: None }, &probe).await;
        Ok(tried.err().filter(|e| e.to_string().contains("no pods today")))
    })
    .await
    .unwrap();
    world.apply(&job_yaml("full", "accounts", UPLOAD, ONCE)).await;
    let run = world.wait_ready::<ImportRun>(world.namespaced("full"), "accounts-once-1", "PodRefused").await;
    assert!(find(&run.status.unwrap().conditions, "Ready").unwrap().message.contains("no pods today"));
    world.assert_conformant().await;
}
