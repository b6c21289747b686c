//! A run that has begun is what it began with: its job is edited, deleted or made anew at every point of its way, and nothing of the run
//! is different from one whose job stays.

use api::import_run::{Rows, RunReason};
use api::{Connection, ImportJob, ImportRun};
use futures::future::join_all;
use http::Method;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use testkit::{Call, Held, Line, Side, wait_for};

use crate::support::{SOON, SQL, UPLOAD, World, job_yaml};

const RUN: &str = "accounts-once-1";
const ONCE: &str = "{once: {id: '1'}}";

/// Where on its way a run is.
#[derive(Clone, Copy, Debug)]
enum Point {
    /// Its first attempt is announced, and what it works from is not made yet.
    Announced,
    /// What it works from is made, and its pod is not.
    Anchored,
    /// Its pod is made, and not yet written down.
    PodMade,
    Working,
    BetweenAttempts,
}

/// What becomes of its job.
#[derive(Clone, Copy, Debug)]
enum Change {
    Nothing,
    /// Another source, another deadline.
    Edited,
    Deleted,
    /// Deleted, and another one of its name made.
    Replaced,
}

impl Point {
    fn hold(self, line: &Line, tenant: &str) -> Option<Held> {
        let of = |side, kind: &'static str| {
            let path = format!("/api/v1/namespaces/dataimporter-run-{tenant}/{kind}");
            line.hold(side, 0, move |call: &Call| call.method == Method::POST && call.path == path)
        };
        match self {
            Self::Announced => Some(of(Side::Request, "configmaps")),
            Self::Anchored => Some(of(Side::Request, "pods")),
            Self::PodMade => Some(of(Side::Answer, "pods")),
            Self::Working | Self::BetweenAttempts => None,
        }
    }
}

impl Change {
    async fn make(self, world: &World, tenant: &str) {
        let jobs = world.namespaced::<ImportJob>(tenant);
        let other = job_yaml(tenant, "accounts", UPLOAD, ONCE).replace("spec:", "spec:\n  guards: {deadlineSeconds: 60}");
        if matches!(self, Self::Deleted | Self::Replaced) {
            jobs.delete("accounts", &DeleteParams::default()).await.unwrap();
            wait_for("the job to be gone", SOON, async || Ok(jobs.get_opt("accounts").await?.is_none().then_some(()))).await.unwrap();
        }
        match self {
            Self::Nothing | Self::Deleted => {}
            Self::Edited => {
                let source = json!({"spec": {"source": {"sql": null, "upload": {"name": "accounts"}}, "guards": {"deadlineSeconds": 60}}});
                jobs.patch("accounts", &PatchParams::default(), &Patch::Merge(source)).await.unwrap();
            }
            Self::Replaced => drop(world.apply(&other).await),
        }
    }
}

/// Everything of a run that its job could have a hand in: its two pods, what they belong to, and how it ended.
async fn way_of(world: &World, line: &Line, tenant: &str, point: Point, change: Change) -> Value {
    world.tenant(tenant).await;
    let mut held = point.hold(line, tenant);
    world.apply(&job_yaml(tenant, "accounts", SQL, ONCE)).await;
    if let Some(held) = &mut held {
        held.reached().await;
        change.make(world, tenant).await;
    }
    drop(held);
    let first = world.worker(tenant, RUN, 1).await;
    world.bind(&first, "node-a").await;
    world.pod_runs(&first).await;
    if matches!(point, Point::Working) {
        world.wait_ready::<ImportRun>(world.namespaced(tenant), RUN, "Running").await;
        change.make(world, tenant).await;
    }
    world.pod_ends(&first, 137, "OOMKilled").await;
    if matches!(point, Point::BetweenAttempts) {
        world.wait_ready::<ImportRun>(world.namespaced(tenant), RUN, "BackingOff").await;
        change.make(world, tenant).await;
        // Not used by the run any more if its job were asked.
        let suspended = json!({"spec": {"suspend": false}});
        world.namespaced::<Connection>(tenant).patch("lake", &PatchParams::default(), &Patch::Merge(suspended)).await.unwrap();
        world.keeper_verifies_generation(tenant, "lake", 2).await;
    }
    let second = world.worker(tenant, RUN, 2).await;
    let before = world.namespaced::<ImportRun>(tenant).get(RUN).await.unwrap();
    let anchor = world.anchor(tenant, &before.uid().unwrap()).await.expect("what it works from");
    let snapshot: Value = serde_json::from_str(&anchor.data.as_ref().unwrap()["snapshot.json"]).unwrap();
    world.bind(&second, "node-a").await;
    world.pod_runs(&second).await;
    world.keeper_reports(tenant, RUN, 2, RunReason::Completed, Rows::default()).await;
    world.pod_ends(&second, 0, "Completed").await;
    world.wait_ready::<ImportRun>(world.namespaced(tenant), RUN, "Completed").await;
    let pods = [&first, &second].map(|pod: &Pod| {
        let owned = pod.owner_references()[0].uid == anchor.uid().unwrap();
        json!({"egress": pod.labels().get("dataimporter.io/egress-postgres"), "of the anchor": owned})
    });
    let attempts = before.status.as_ref().unwrap().attempts.len();
    json!({
        "source": snapshot["jobSpec"]["source"], "guards": snapshot["jobSpec"]["guards"],
        "pods": pods, "attempts": attempts,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_becomes_of_its_job_changes_a_run_that_has_begun() {
    let mut world = World::without_operator().await;
    let line = Line::default();
    world.start_operator_with(world.server.client_on(&line).await.unwrap());
    let expected = way_of(&world, &line, "untouched", Point::Working, Change::Nothing).await;
    assert_eq!(expected["pods"][1], json!({"egress": "true", "of the anchor": true}), "{expected:#}");
    let (mut walked, world_ref, line) = (0, &world, &line);
    for point in [Point::Announced, Point::Anchored, Point::PodMade, Point::Working, Point::BetweenAttempts] {
        let ways = [Change::Edited, Change::Deleted, Change::Replaced].map(|change| async move {
            let tenant = format!("{point:?}-{change:?}").to_lowercase();
            (tenant.clone(), way_of(world_ref, line, &tenant, point, change).await)
        });
        for (way, seen) in join_all(ways).await {
            assert_eq!(seen, expected, "{way}");
            walked += 1;
        }
    }
    println!("{walked} ways, and each is the same");
    world.assert_conformant().await;
}
