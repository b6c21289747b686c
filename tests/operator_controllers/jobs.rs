//! Triggers, references and what a job says of itself.

use api::conditions::{find, is_true};
use api::import_run::{Rows, RunReason};
use api::{Connection, ImportJob, ImportRun, Region};
use jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use testkit::wait_for;

use crate::support::{SQL, UPLOAD, World, job_yaml};

#[tokio::test(flavor = "multi_thread")]
async fn a_once_job_made_anew_finds_its_run_and_starts_none() {
    let world = World::start().await;
    world.tenant("once").await;
    world.apply(&job_yaml("once", "accounts", UPLOAD, "{once: {id: a}}")).await;
    let jobs = world.namespaced::<ImportJob>("once");
    let pod = world.worker("once", "accounts-once-a", 1).await;
    jobs.delete("accounts", &DeleteParams::default()).await.unwrap();
    world.keeper_reports("once", "accounts-once-a", 1, RunReason::Completed, Rows::default()).await;
    world.pod_ends(&pod, 0, "Completed").await;
    world.wait_ready::<ImportRun>(world.namespaced("once"), "accounts-once-a", "Completed").await;
    world.apply(&job_yaml("once", "accounts", UPLOAD, "{once: {id: a}}")).await;
    world.wait_ready::<ImportJob>(jobs.clone(), "accounts", "AlreadyRan").await;
    let runs = world.namespaced::<ImportRun>("once");
    assert_eq!(runs.list(&Default::default()).await.unwrap().items.len(), 1);
    // Another id starts another run.
    world.apply(&job_yaml("once", "accounts", UPLOAD, "{once: {id: b}}")).await;
    world.worker("once", "accounts-once-b", 1).await;
    world.assert_conformant().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_announces_its_minute_and_starts_one_run_then() {
    let world = World::start().await;
    world.tenant("clock").await;
    let jobs = world.namespaced::<ImportJob>("clock");
    world.apply(&job_yaml("clock", "nightly", SQL, "{schedule: {cron: '* * * * *', timeZone: Europe/Berlin}}")).await;
    let job = world.wait_ready::<ImportJob>(jobs.clone(), "nightly", "Armed").await;
    let next = job.status.unwrap().next_run_at.unwrap().0;
    assert!(next > Timestamp::now() - std::time::Duration::from_secs(1));
    assert_eq!(next.as_second() % 60, 0);
    let name = api::names::scheduled_run("nightly", next);
    let run = wait_for("the minute", std::time::Duration::from_secs(75), async || {
        Ok(world.namespaced::<ImportRun>("clock").get_opt(&name).await?)
    })
    .await
    .unwrap();
    assert!(Timestamp::now() >= next, "not before its minute");
    assert_eq!(run.spec.start_before.0, next + std::time::Duration::from_secs(600));
    let suspend = json!({"spec": {"suspend": true}});
    jobs.patch("nightly", &PatchParams::default(), &Patch::Merge(&suspend)).await.unwrap();
    let job = world.wait_ready::<ImportJob>(jobs, "nightly", "Suspended").await;
    assert_eq!(job.status.unwrap().next_run_at, None);
    world.assert_conformant().await;
}

const INBOX: &str = r#"
apiVersion: dataimporter.io/v1alpha1
kind: Connection
metadata: {name: inbox, namespace: each}
spec:
  s3: {bucket: acme-inbox, region: eu-central-1}
  credentials: {secretRef: {name: inbox-key, afterIntake: Keep}}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_leaves_files_is_followed_by_one_if_it_ended_well() {
    let mut world = World::start().await;
    world.tenant("each").await;
    world.apply(INBOX).await;
    world.keeper_verifies("each", "inbox").await;
    let files = "{file: {connectionRef: {name: inbox}, path: 'in/*.csv', choose: All}}";
    world.apply(&job_yaml("each", "accounts", files, "{manual: {}}")).await;
    let job = world.wait_ready::<ImportJob>(world.namespaced("each"), "accounts", "Armed").await;
    let runs = world.namespaced::<ImportRun>("each");
    let by_hand = |name: &str| -> ImportRun {
        serde_json::from_value(json!({
            "apiVersion": "dataimporter.io/v1alpha1", "kind": "ImportRun", "metadata": {"name": name},
            "spec": {
                "jobRef": {"name": "accounts", "uid": job.uid().unwrap()}, "action": {"run": {}},
                "startBefore": Timestamp::now() + std::time::Duration::from_secs(600)},
        }))
        .unwrap()
    };
    runs.create(&PostParams::default(), &by_hand("first")).await.unwrap();
    world.worker("each", "first", 1).await;
    // Whoever comes back finds it ended.
    world.kill_operator().await;
    world.keeper_reports_left("each", "first", 1, RunReason::CompletedWithFailedRows, Rows::default(), Some(2)).await;
    world.start_operator();
    let follows = async |name: &str| api::names::following_run("accounts", &runs.get(name).await.unwrap().uid().unwrap());
    let second = follows("first").await;
    world.worker("each", &second, 1).await;

    world.keeper_reports_left("each", &second, 1, RunReason::SourceFailed, Rows::default(), Some(2)).await;
    world.wait_ready::<ImportRun>(runs.clone(), &second, "SourceFailed").await;
    world.wait_ready::<ImportJob>(world.namespaced("each"), "accounts", "Armed").await;
    let names = async || runs.list(&Default::default()).await.unwrap().items.iter().map(ResourceExt::name_any).collect::<Vec<_>>();
    assert_eq!(names().await.len(), 2, "a run that failed is followed by none");

    runs.create(&PostParams::default(), &by_hand("mended")).await.unwrap();
    world.worker("each", "mended", 1).await;
    world.keeper_reports_left("each", "mended", 1, RunReason::Completed, Rows::default(), Some(1)).await;
    let last = follows("mended").await;
    world.worker("each", &last, 1).await;
    world.keeper_reports("each", &last, 1, RunReason::Completed, Rows::default()).await;
    world.wait_ready::<ImportRun>(runs.clone(), &last, "Completed").await;
    world.wait_ready::<ImportJob>(world.namespaced("each"), "accounts", "Armed").await;
    let mut expected = [second.as_str(), &last, "first", "mended"];
    expected.sort_unstable();
    assert_eq!(names().await, expected);
    world.assert_conformant().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_waits_for_its_connection_and_says_so() {
    let world = World::start().await;
    world.tenant("wait").await;
    let connections = world.namespaced::<Connection>("wait");
    let suspend = |on: bool| json!({"spec": {"suspend": on}});
    connections.patch("crm", &PatchParams::default(), &Patch::Merge(&suspend(true))).await.unwrap();
    world.apply(&job_yaml("wait", "accounts", UPLOAD, "{once: {id: '1'}}")).await;
    let jobs = world.namespaced::<ImportJob>("wait");
    world.wait_ready::<ImportJob>(jobs.clone(), "accounts", "ConnectionSuspended").await;
    connections.patch("crm", &PatchParams::default(), &Patch::Merge(&suspend(false))).await.unwrap();
    // The edit made a new generation; the keeper looks again.
    world.wait_ready::<ImportJob>(jobs.clone(), "accounts", "ConnectionNotReady").await;
    let generation = connections.get("crm").await.unwrap().metadata.generation.unwrap();
    world.keeper_verifies_generation("wait", "crm", generation).await;
    world.worker("wait", "accounts-once-1", 1).await;
    world.assert_conformant().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_of_a_job_go_one_after_the_other_and_a_late_one_is_stale() {
    let world = World::start().await;
    world.tenant("queue").await;
    world.apply(&job_yaml("queue", "accounts", SQL, "{manual: {}}")).await;
    let job = world.wait_ready::<ImportJob>(world.namespaced("queue"), "accounts", "Armed").await;
    let runs = world.namespaced::<ImportRun>("queue");
    let run = |name: &str, uid: &str, seconds: i64| -> ImportRun {
        let start_before = Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
        serde_json::from_value(json!({
            "apiVersion": "dataimporter.io/v1alpha1", "kind": "ImportRun", "metadata": {"name": name},
            "spec": {"jobRef": {"name": "accounts", "uid": uid}, "action": {"run": {}}, "startBefore": start_before},
        }))
        .unwrap()
    };
    let uid = job.uid().unwrap();
    runs.create(&PostParams::default(), &run("one", &uid, 600)).await.unwrap();
    let first = world.worker("queue", "one", 1).await;
    runs.create(&PostParams::default(), &run("two", &uid, 600)).await.unwrap();
    world.wait_ready::<ImportRun>(runs.clone(), "two", "OtherRunActive").await;
    runs.create(&PostParams::default(), &run("restored", &uid, -60)).await.unwrap();
    world.wait_ready::<ImportRun>(runs.clone(), "restored", "Stale").await;
    runs.create(&PostParams::default(), &run("foreign", "another-uid", 600)).await.unwrap();
    world.wait_ready::<ImportRun>(runs.clone(), "foreign", "Stale").await;
    world.keeper_reports("queue", "one", 1, RunReason::Completed, Rows::default()).await;
    world.pod_ends(&first, 0, "Completed").await;
    world.worker("queue", "two", 1).await;
    world.assert_conformant().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_is_served_once_the_keeper_and_a_node_are_there() {
    let world = World::start().await;
    let sydney = crate::support::REGION.replace("eu-frankfurt", "ap-sydney").replace("Frankfurt", "Sydney").replace("DE", "AU");
    world.apply(&sydney).await;
    let regions = Api::<Region>::all(world.client.clone());
    world.wait_ready::<Region>(regions.clone(), "ap-sydney", "CheckingStorage").await;
    world.keeper_checks_region("ap-sydney").await;
    world.wait_ready::<Region>(regions.clone(), "ap-sydney", "NoNodes").await;
    world.node("node-s", "ap-sydney").await;
    let region = world.wait_ready::<Region>(regions.clone(), "ap-sydney", "Served").await;
    let status = region.status.unwrap();
    assert_eq!(status.nodes, Some(1));
    assert!(is_true(&status.conditions, "StorageReady"), "the keeper's condition stays");
    assert_eq!(find(&status.conditions, "Residency").unwrap().reason, "NotProvided");
    world.assert_conformant().await;
}
