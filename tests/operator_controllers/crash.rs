//! The operator dies right after one of its calls, whichever it is, and the next one finishes the work: one run, one pod
//! an attempt, everything in its place.

use std::time::Duration;

use api::import_run::{Rows, RunReason};
use api::{ImportJob, ImportRun, Tenant};
use http::Method;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use testkit::{Call, Line};

use crate::support::{UPLOAD, World, connections_yaml, job_yaml, tenant_yaml};

/// Tenants of all rounds begin so.
const ROUND: &str = "dies-at-";
/// Long enough for an operator that has something to do to do it.
const PAUSE: Duration = Duration::from_millis(300);

/// What an operator asks before it knows anything: lists and watches of whole kinds.
fn at_start(call: &Call) -> bool {
    call.method == Method::GET && !call.path.contains("/namespaces/") && (call.is_watch() || call.query.contains("limit="))
}

/// Calls for one tenant. Those for the tenants of earlier rounds are not counted: a new operator puts them right first.
fn of(tenant: &str) -> impl Fn(&Call) -> bool + Send + Sync + 'static {
    let tenant = tenant.to_owned();
    // Two calls do not name the tenant: the creation of its run namespace, and the question whom its worker trusts.
    move |call| {
        call.path.contains(&tenant)
            || (call.method == Method::POST && call.path == "/api/v1/namespaces")
            || call.path.ends_with("/configmaps/dataimporter-public")
    }
}

/// An operator that dies among its first calls is followed by one that does not notice. False: it did not come to die.
async fn survives_at_start(world: &mut World, calls: usize) -> bool {
    let line = Line::default();
    line.cut_after(calls, |_| true);
    world.start_operator_with(world.server.client_on(&line).await.unwrap());
    let died = tokio::select! {
        () = line.dead() => true,
        () = line.quiet(PAUSE) => !line.mend(),
    };
    world.kill_operator().await;
    died
}

/// Everything up to a finished run, with an operator that dies after so many calls and one that does not. False: it did not come to die.
async fn survives(world: &mut World, name: &str, calls: usize) -> bool {
    let line = Line::default();
    line.cut_after(calls, of(name));
    world.start_operator_with(world.server.client_on(&line).await.unwrap());
    world.server.create_namespace(name).await.unwrap();
    world.apply(&tenant_yaml(name, &[name])).await;
    world.apply(&connections_yaml(name)).await;
    world.apply(&format!("{{apiVersion: dataimporter.io/v1alpha1, kind: Upload, metadata: {{name: accounts, namespace: {name}}}, spec: {{fileName: a.csv}}}}")).await;
    world.apply(&job_yaml(name, "accounts", UPLOAD, "{once: {id: '1'}}")).await;
    // The keeper and the cluster do their part whatever becomes of the operator.
    world.keeper_makes_keys(name).await;
    world.keeper_verifies(name, "crm").await;
    world.keeper_stores(name, "accounts").await;
    let died = tokio::select! {
        () = line.dead() => true,
        pod = world.worker(name, "accounts-once-1", 1) => {
            world.bind(&pod, "node-a").await;
            world.pod_runs(&pod).await;
            tokio::select! {
                () = line.dead() => {}
                _ = world.wait_ready::<ImportRun>(world.namespaced(name), "accounts-once-1", "Running") => {}
            }
            world.keeper_reports(name, "accounts-once-1", 1, RunReason::Completed, Rows::default()).await;
            world.pod_ends(&pod, 0, "Completed").await;
            tokio::select! {
                () = line.dead() => true,
                () = settled(world, name) => false,
            }
        }
    };
    world.kill_operator().await;
    world.start_operator();
    let pod = world.worker(name, "accounts-once-1", 1).await;
    let run = world.namespaced::<ImportRun>(name).get("accounts-once-1").await.unwrap();
    if run.status.as_ref().is_none_or(|s| s.outcome.is_none()) {
        world.bind(&pod, "node-a").await;
        world.pod_runs(&pod).await;
        world.keeper_reports(name, "accounts-once-1", 1, RunReason::Completed, Rows::default()).await;
        world.pod_ends(&pod, 0, "Completed").await;
    }
    settled(world, name).await;
    let runs = world.namespaced::<ImportRun>(name).list(&Default::default()).await.unwrap().items;
    assert_eq!(runs.len(), 1, "{name}: one run");
    assert_eq!(runs[0].status.as_ref().unwrap().attempts.len(), 1, "{name}: one attempt");
    let pods = world.namespaced::<Pod>(&format!("dataimporter-run-{name}")).list(&Default::default()).await.unwrap().items;
    assert_eq!(pods.len(), 1, "{name}: one pod");
    world.kill_operator().await;
    if !died {
        within_budget(&line, name);
    }
    // A new operator looks after every tenant there is before it comes to the next one: with all of the rounds before, the last rounds would
    // take many times as long as the first.
    world.clear(name).await;
    died
}

/// What an operator that lives asked for: nothing but what was counted, and no more writes for its run than promised.
fn within_budget(line: &Line, name: &str) {
    let made = line.made();
    let counts = of(name);
    let strangers: Vec<&Call> = made.iter().filter(|c| !counts(c) && !at_start(c) && !c.path.contains(ROUND)).collect();
    assert!(strangers.is_empty(), "calls after which nobody died: {strangers:#?}");
    let of_run = |c: &&Call| ["/importruns", "/pods", "/configmaps", "/events"].iter().any(|part| c.path.contains(part));
    let writes = made.iter().filter(|c| c.is_write() && counts(c)).filter(of_run);
    // From the anchor on: before it, the first run of a tenant waits for its run namespace.
    let writes: Vec<&Call> = writes.skip_while(|c| !c.path.ends_with("/configmaps")).collect();
    assert!((5..=8).contains(&writes.len()), "{} writes for one run: {writes:#?}", writes.len());
}

async fn settled(world: &World, name: &str) {
    let run = world.wait_ready::<ImportRun>(world.namespaced(name), "accounts-once-1", "Completed").await;
    world.anchor_goes(name, run.metadata.uid.as_deref().unwrap_or_default()).await;
    world.wait_ready::<ImportJob>(world.namespaced(name), "accounts", "Done").await;
    world.wait_ready::<Tenant>(Api::all(world.client.clone()), name, "Bound").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_may_die_after_any_of_its_calls() {
    let mut world = World::without_operator().await;
    // The Region's own status is written once, by the first operator.
    world.start_operator();
    world.wait_ready::<api::Region>(Api::all(world.client.clone()), "eu-frankfurt", "Served").await;
    world.kill_operator().await;
    let mut at_start = 1;
    while survives_at_start(&mut world, at_start).await {
        at_start += 1;
        assert!(at_start < 80, "the start comes to an end");
    }
    let mut calls = 1;
    while survives(&mut world, &format!("{ROUND}{calls:03}"), calls).await {
        calls += 1;
        assert!(calls < 120, "the work comes to an end");
    }
    println!("died after each of {} calls at the start and {} in a run", at_start - 1, calls - 1);
    assert!(at_start > 20 && calls > 20, "only {at_start} and {calls} calls: did the line go dead?");
    world.assert_conformant().await;
}
