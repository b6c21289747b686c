//! Objects that carry our names and labels and were not made by the operator: in namespaces of others, and planted where the
//! workers run. No policy of the chart is installed here, so nothing keeps them out but the operator's own eyes.

use api::import_job::LastRun;
use api::import_run::{Rows, RunReason};
use api::snapshot::Snapshot;
use api::{ImportJob, ImportRun, Tenant, conditions};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{DeleteParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use serde_json::{Value, json};
use testkit::wait_for;

use crate::support::{SOON, UPLOAD, World, job_yaml};

/// Sorts before the namespaces of the tenants.
const STRANGER: &str = "aaa";

async fn plant<K>(world: &World, namespace: &str, object: Value) -> K
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + serde::Serialize
        + serde::de::DeserializeOwned
        + std::fmt::Debug,
{
    let object: K = serde_json::from_value(object).unwrap();
    world.namespaced::<K>(namespace).create(&PostParams::default(), &object).await.unwrap()
}

/// The labels that the operator gives to what belongs to a run.
fn labels(run: &ImportRun, attempt: usize) -> Value {
    json!({
        "app.kubernetes.io/managed-by": "dataimporter", "dataimporter.io/run-uid": run.uid(), "dataimporter.io/attempt": attempt.to_string(),
        "dataimporter.io/namespace": run.namespace(), "dataimporter.io/tenant": run.namespace(),
    })
}

fn pod(run: &ImportRun, attempt: usize) -> Value {
    let name = format!("run-{}-a{attempt}", run.uid().unwrap());
    json!({"metadata": {"name": name, "labels": labels(run, attempt)}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
}

fn snapshot(run: &ImportRun, text: &str) -> Value {
    let name = format!("run-{}", run.uid().unwrap());
    let annotations = json!({"dataimporter.io/run-name": run.name_any()});
    json!({"metadata": {"name": name, "labels": labels(run, 1), "annotations": annotations}, "data": {"snapshot.json": text}, "immutable": true})
}

fn foreign(world: &World, kind: &str) -> u64 {
    let line = format!("dataimporter_foreign_objects_total{{kind=\"{kind}\"}} ");
    world.metrics.render().lines().find_map(|l| l.strip_prefix(&line)?.parse().ok()).unwrap_or_default()
}

async fn last_run(world: &World, namespace: &str, job: &str) -> Option<LastRun> {
    world.namespaced::<ImportJob>(namespace).get(job).await.unwrap().status?.last_run
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stranger_calls_by_a_runs_name_says_nothing_about_the_run() {
    let world = World::start().await;
    world.tenant("victim").await;
    world.server.create_namespace(STRANGER).await.unwrap();
    world.apply(&job_yaml("victim", "accounts", UPLOAD, "{once: {id: '1'}}")).await;
    let worker = world.worker("victim", "accounts-once-1", 1).await;
    world.bind(&worker, "node-a").await;
    world.pod_runs(&worker).await;
    let runs = world.namespaced::<ImportRun>("victim");
    let run = world.wait_ready::<ImportRun>(runs.clone(), "accounts-once-1", "Running").await;

    // Six workers of the run that never were, and a snapshot.
    for attempt in 1..=6 {
        let planted = plant::<Pod>(&world, STRANGER, pod(&run, attempt)).await;
        world.pod_ends(&planted, 1, "Error").await;
    }
    let decoy = plant::<ConfigMap>(&world, STRANGER, snapshot(&run, "{}")).await;
    // And a run that says it is one of the victim's job.
    let job = world.namespaced::<ImportJob>("victim").get("accounts").await.unwrap();
    let forged = json!({
        "metadata": {"name": "forged"},
        "spec": {"jobRef": {"name": "accounts", "uid": job.uid()}, "action": {"run": {}}, "startBefore": "2099-01-01T00:00:00Z"},
    });
    plant::<ImportRun>(&world, STRANGER, forged).await;

    // Whatever the operator makes of them, it has made it once its next events have come.
    world.apply(&job_yaml("victim", "second", UPLOAD, "{once: {id: '1'}}")).await;
    let second = world.worker("victim", "second-once-1", 1).await;
    world.bind(&second, "node-a").await;
    world.keeper_reports("victim", "second-once-1", 1, RunReason::Completed, Rows::default()).await;
    world.pod_ends(&second, 0, "Completed").await;
    world.wait_ready::<ImportRun>(runs.clone(), "second-once-1", "Completed").await;
    let ends = |run: &ImportRun| -> Vec<String> {
        run.status.iter().flat_map(|s| &s.attempts).map(|a| a.reason.clone().unwrap_or("at work".into())).collect()
    };
    assert_eq!(ends(&runs.get("accounts-once-1").await.unwrap()), ["at work"]);
    assert_eq!(last_run(&world, "victim", "accounts").await.map(|last| last.name).as_deref(), Some("accounts-once-1"));

    world.keeper_reports("victim", "accounts-once-1", 1, RunReason::Completed, Rows::default()).await;
    world.pod_ends(&worker, 0, "Completed").await;
    let run = world.wait_ready::<ImportRun>(runs.clone(), "accounts-once-1", "Completed").await;
    assert_eq!(ends(&run), ["Completed"]);
    world.anchor_goes("victim", &run.uid().unwrap()).await;
    // A run that is gone lets its snapshot be swept away, and nobody else's.
    runs.delete("accounts-once-1", &DeleteParams::default()).await.unwrap();
    wait_for("the strangers to be counted", SOON, async || {
        Ok((foreign(&world, "Pod") == 6 && foreign(&world, "ConfigMap") == 1).then_some(()))
    })
    .await
    .unwrap();
    let maps = world.namespaced::<ConfigMap>(STRANGER);
    assert_eq!(maps.get(&decoy.name_any()).await.unwrap().uid(), decoy.uid());
    assert_eq!(world.namespaced::<Pod>(STRANGER).list(&Default::default()).await.unwrap().items.len(), 6);
    let deletions = r#"dataimporter_api_writes_total{kind="ConfigMap",verb="delete",result="ok"} 2"#;
    assert!(world.metrics.render().contains(deletions), "one for each run:\n{}", world.metrics.render());
    world.assert_conformant().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_never_works_from_a_snapshot_that_was_planted_before_it_began() {
    let mut world = World::start().await;
    world.tenant("planted").await;
    // The run namespace is there: one run has ended.
    world.apply(&job_yaml("planted", "accounts", UPLOAD, "{once: {id: '1'}}")).await;
    let worker = world.worker("planted", "accounts-once-1", 1).await;
    world.bind(&worker, "node-a").await;
    world.keeper_reports("planted", "accounts-once-1", 1, RunReason::Completed, Rows::default()).await;
    world.pod_ends(&worker, 0, "Completed").await;
    let runs = world.namespaced::<ImportRun>("planted");
    let first = world.wait_ready::<ImportRun>(runs.clone(), "accounts-once-1", "Completed").await;
    world.anchor_goes("planted", &first.uid().unwrap()).await;

    // Between the creation of a run and its first attempt, somebody is quicker.
    world.kill_operator().await;
    let job = world.namespaced::<ImportJob>("planted").get("accounts").await.unwrap();
    let wanted = json!({
        "metadata": {"name": "quick"},
        "spec": {"jobRef": {"name": "accounts", "uid": job.uid()}, "action": {"run": {}}, "startBefore": "2099-01-01T00:00:00Z"},
    });
    let run = plant::<ImportRun>(&world, "planted", wanted).await;
    let mut text: Value = json!({"planted": true});
    text["run"] = json!({"name": "quick", "namespace": "planted", "uid": run.uid()});
    let planted = plant::<ConfigMap>(&world, "dataimporter-run-planted", snapshot(&run, &text.to_string())).await;
    world.start_operator();

    let worker = world.worker("planted", "quick", 1).await;
    let run = runs.get("quick").await.unwrap();
    let anchor = world.anchor("planted", &run.uid().unwrap()).await.unwrap();
    assert_ne!(anchor.uid(), planted.uid(), "the planted one is gone");
    let held = &anchor.data.as_ref().unwrap()["snapshot.json"];
    assert!(!held.contains("\"planted\":true"), "{held}");
    assert_eq!(run.status.as_ref().unwrap().snapshot_digest, Some(Snapshot::digest(held)));
    assert_eq!(worker.owner_references()[0].uid, anchor.uid().unwrap());
    let events = world.namespaced::<k8s_openapi::api::events::v1::Event>("planted").list(&Default::default()).await.unwrap();
    let told =
        events.iter().any(|e| e.reason.as_deref() == Some("ForeignSnapshot") && e.regarding.as_ref().is_some_and(|r| r.uid == run.uid()));
    assert!(told, "{:?}", events.iter().map(|e| (&e.reason, &e.note)).collect::<Vec<_>>());
    world.assert_conformant().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_did_not_make_in_a_run_namespace_is_reported_and_removed() {
    let mut world = World::start().await;
    world.tenant("furnished").await;
    world.apply(&job_yaml("furnished", "accounts", UPLOAD, "{once: {id: '1'}}")).await;
    let worker = world.worker("furnished", "accounts-once-1", 1).await;
    world.bind(&worker, "node-a").await;
    world.pod_runs(&worker).await;
    world.kill_operator().await;
    let namespace = "dataimporter-run-furnished";
    // What the cluster's own controllers put into every namespace, and what nobody of the cluster did.
    plant::<ServiceAccount>(&world, namespace, json!({"metadata": {"name": "default"}})).await;
    plant::<ConfigMap>(&world, namespace, json!({"metadata": {"name": "kube-root-ca.crt"}})).await;
    let spec = json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]});
    plant::<NetworkPolicy>(&world, namespace, json!({"metadata": {"name": "open"}, "spec": spec})).await;
    let labelled = json!({"app.kubernetes.io/managed-by": "dataimporter", "dataimporter.io/tenant": "furnished"});
    plant::<NetworkPolicy>(&world, namespace, json!({"metadata": {"name": "open-2", "labels": labelled}, "spec": spec})).await;
    let role_ref = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"});
    plant::<RoleBinding>(&world, namespace, json!({"metadata": {"name": "look"}, "roleRef": role_ref})).await;
    plant::<ServiceAccount>(&world, namespace, json!({"metadata": {"name": "helper"}})).await;
    let (drop, seccomp) = (json!({"drop": ["ALL"]}), json!({"type": "RuntimeDefault"}));
    let harmless = json!({"allowPrivilegeEscalation": false, "runAsNonRoot": true, "capabilities": drop, "seccompProfile": seccomp});
    let beside = json!({"containers": [{"name": "c", "image": "i", "securityContext": harmless}]});
    plant::<Pod>(&world, namespace, json!({"metadata": {"name": "beside"}, "spec": beside})).await;
    // One of ours, opened.
    let policies = world.namespaced::<NetworkPolicy>(namespace);
    let ours = policies.get("default-deny").await.unwrap().spec;
    policies.delete("default-deny", &DeleteParams::default()).await.unwrap();
    plant::<NetworkPolicy>(&world, namespace, json!({"metadata": {"name": "default-deny"}, "spec": spec})).await;
    world.start_operator();

    let tenants = Api::<Tenant>::all(world.client.clone());
    let told = wait_for("the tenant to say so", SOON, async || {
        let tenant = tenants.get("furnished").await?;
        Ok(tenant.status.and_then(|s| conditions::find(&s.conditions, "ForeignObjects").cloned()))
    })
    .await
    .unwrap();
    for name in ["NetworkPolicy open", "NetworkPolicy open-2", "RoleBinding look", "ServiceAccount helper", "Pod beside"] {
        assert!(told.message.contains(name), "{name} is not in: {}", told.message);
    }
    wait_for("the strangers to go", SOON, async || {
        let names: Vec<String> = policies.list(&Default::default()).await?.iter().map(ResourceExt::name_any).collect();
        let closed = policies.get_opt("default-deny").await?.is_some_and(|p| p.spec == ours);
        Ok((closed && !names.iter().any(|n| n.starts_with("open"))).then_some(()))
    })
    .await
    .unwrap();
    assert!(world.namespaced::<RoleBinding>(namespace).get_opt("look").await.unwrap().is_none());
    let accounts: Vec<String> =
        world.namespaced::<ServiceAccount>(namespace).list(&Default::default()).await.unwrap().iter().map(ResourceExt::name_any).collect();
    assert_eq!(accounts, ["default", "worker"]);
    assert!(world.namespaced::<ConfigMap>(namespace).get_opt("kube-root-ca.crt").await.unwrap().is_some());
    // The worker that is at work goes on.
    let pods: Vec<String> =
        world.namespaced::<Pod>(namespace).list(&Default::default()).await.unwrap().iter().map(ResourceExt::name_any).collect();
    assert_eq!(pods, [worker.name_any()]);
    world.keeper_reports("furnished", "accounts-once-1", 1, RunReason::Completed, Rows::default()).await;
    world.pod_ends(&worker, 0, "Completed").await;
    let run = world.wait_ready::<ImportRun>(world.namespaced("furnished"), "accounts-once-1", "Completed").await;
    assert_eq!(run.status.unwrap().attempts.len(), 1);
    world.assert_conformant().await;
}
