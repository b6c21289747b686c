//! Two operators at once, both of which believe to lead, and one that sees the past: an attempt has one pod, and what was written down of
//! it stays. The witness of every world watches for that.

use std::time::Duration;

use api::ImportRun;
use api::import_run::{Rows, RunReason};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use testkit::{Call, Line, Side, wait_for};
use tokio_util::sync::CancellationToken;

use crate::support::{SOON, UPLOAD, World, job_yaml};

const ONCE: &str = "{once: {id: '1'}}";

async fn pods(world: &World, tenant: &str) -> Vec<Pod> {
    world.namespaced::<Pod>(&format!("dataimporter-run-{tenant}")).list(&ListParams::default()).await.unwrap().items
}

async fn pods_of(world: &World, first: &Pod) -> usize {
    let uid = &first.labels()["dataimporter.io/run-uid"];
    let all = pods(world, "stale").await;
    all.iter().filter(|pod| pod.labels()["dataimporter.io/run-uid"] == *uid).count()
}

async fn attempts(world: &World, tenant: &str, run: &str) -> Vec<api::import_run::Attempt> {
    world.namespaced::<ImportRun>(tenant).get(run).await.unwrap().status.unwrap_or_default().attempts
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_both_believe_to_lead_make_one_pod_an_attempt() {
    const JOBS: usize = 6;
    let world = World::start().await;
    let stop = CancellationToken::new();
    let other = world.another_operator(world.server.client().await.unwrap(), stop.clone());
    world.tenant("both").await;
    for n in 0..JOBS {
        world.apply(&job_yaml("both", &format!("job-{n}"), UPLOAD, ONCE)).await;
    }
    for attempt in 1..=2 {
        for n in 0..JOBS {
            let run = format!("job-{n}-once-1");
            let pod = world.worker("both", &run, attempt).await;
            world.bind(&pod, "node-a").await;
            world.pod_runs(&pod).await;
            if attempt == 1 {
                world.pod_ends(&pod, 137, "OOMKilled").await;
            } else {
                world.keeper_reports("both", &run, attempt, RunReason::Completed, Rows::default()).await;
                world.pod_ends(&pod, 0, "Completed").await;
            }
        }
    }
    for n in 0..JOBS {
        let run = world.wait_ready::<ImportRun>(world.namespaced("both"), &format!("job-{n}-once-1"), "Completed").await;
        assert_eq!(run.status.unwrap().attempts.len(), 2, "job-{n}");
    }
    assert_eq!(world.namespaced::<ImportRun>("both").list(&ListParams::default()).await.unwrap().items.len(), JOBS);
    assert_eq!(pods(&world, "both").await.len(), 2 * JOBS);
    stop.cancel();
    other.await.unwrap().unwrap();
    world.assert_conformant().await;
}

/// Watches of one kind.
fn watching(plural: &'static str) -> impl Fn(&Call) -> bool + Send + Sync + 'static {
    move |call| call.is_watch() && call.path.ends_with(plural)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_watches_are_held_back_makes_no_second_pod_and_forgets_no_attempt() {
    let mut world = World::start().await;
    world.tenant("stale").await;
    // The tenant's run namespace is made with its first run.
    world.apply(&job_yaml("stale", "before", UPLOAD, ONCE)).await;
    world.worker("stale", "before-once-1", 1).await;
    world.kill_operator().await;
    // Of runs and pods it knows what it wrote itself, and nothing that others write.
    let (stale, stop) = (Line::default(), CancellationToken::new());
    let mut runs = stale.hold(Side::Request, 0, watching("/importruns"));
    let mut its_pods = stale.hold(Side::Request, 0, watching("/pods"));
    let operator = world.another_operator(world.server.client_on(&stale).await.unwrap(), stop.clone());
    runs.reached().await;
    its_pods.reached().await;
    world.apply(&job_yaml("stale", "accounts", UPLOAD, ONCE)).await;
    let first = world.worker("stale", "accounts-once-1", 1).await;

    // Another operator takes over and goes on to the second attempt.
    world.start_operator();
    world.bind(&first, "node-a").await;
    world.pod_runs(&first).await;
    world.pod_ends(&first, 137, "OOMKilled").await;
    let second = world.worker("stale", "accounts-once-1", 2).await;

    // Now it learns that its pod died, and acts on what it believes.
    let before = stale.made().len();
    drop(its_pods);
    wait_for("the stale operator to act", SOON, async || {
        Ok(stale.made_after(before).iter().any(|call| call.is_write() && call.path.contains("/importruns/")).then_some(()))
    })
    .await
    .unwrap();
    let quiet = tokio::time::timeout(SOON, stale.quiet(Duration::from_millis(500))).await;
    assert!(quiet.is_ok(), "it goes on and on: {:?}", stale.made().iter().rev().take(12).collect::<Vec<_>>());
    let known = attempts(&world, "stale", "accounts-once-1").await;
    assert_eq!(known.iter().map(|a| (a.number, a.finished_at.is_some())).collect::<Vec<_>>(), [(1, true), (2, false)], "{known:?}");
    assert_eq!(known[1].pod_uid, second.uid());
    assert_eq!(pods_of(&world, &first).await, 2);

    drop(runs);
    world.keeper_reports("stale", "accounts-once-1", 2, RunReason::Completed, Rows::default()).await;
    world.pod_ends(&second, 0, "Completed").await;
    world.wait_ready::<ImportRun>(world.namespaced("stale"), "accounts-once-1", "Completed").await;
    assert_eq!((pods_of(&world, &first).await, attempts(&world, "stale", "accounts-once-1").await.len()), (2, 2));
    stop.cancel();
    operator.await.unwrap().unwrap();
    world.assert_conformant().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_node_is_gone_is_replaced_though_its_pod_never_ends() {
    let world = World::start().await;
    world.node("node-b", "eu-frankfurt").await;
    world.tenant("lost").await;
    world.apply(&job_yaml("lost", "accounts", UPLOAD, ONCE)).await;
    let first = world.worker("lost", "accounts-once-1", 1).await;
    world.bind(&first, "node-b").await;
    world.pod_runs(&first).await;
    kube::Api::<k8s_openapi::api::core::v1::Node>::all(world.client.clone()).delete("node-b", &DeleteParams::default()).await.unwrap();
    // The node controller asks the pod to go; nobody is there to say that it went.
    let grace = DeleteParams::default().grace_period(1);
    world.namespaced::<Pod>("dataimporter-run-lost").delete(&first.name_any(), &grace).await.unwrap();
    // A minute of it is the product's own: so long after the grace of its pod a node that says nothing counts as lost.
    wait_for("the second attempt", Duration::from_secs(60) + SOON, async || {
        Ok((attempts(&world, "lost", "accounts-once-1").await.len() == 2).then_some(()))
    })
    .await
    .unwrap();
    let second = world.worker("lost", "accounts-once-1", 2).await;
    let known = attempts(&world, "lost", "accounts-once-1").await;
    assert_eq!((known[0].reason.as_deref(), known[0].counted), (Some("NodeLost"), Some(false)));
    assert!(pods(&world, "lost").await.iter().any(|pod| pod.uid() == first.uid()), "the pod of the node is still there");
    // What its worker may still write the keeper refuses: tests/keeper/worker_crash.rs.
    world.keeper_reports("lost", "accounts-once-1", 2, RunReason::Completed, Rows::default()).await;
    world.pod_ends(&second, 0, "Completed").await;
    world.wait_ready::<ImportRun>(world.namespaced("lost"), "accounts-once-1", "Completed").await;
    world.assert_conformant().await;
}
