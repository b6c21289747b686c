//! Our kinds only where a Tenant is: under the chart's policies.

use api::{ImportJob, Tenant};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use testkit::wait_for;

use crate::rights::rights;
use crate::support::{SOON, UPLOAD, World, connections_yaml, job_yaml};

/// The operator at work under the chart's rights, whose policies are in force.
async fn guarded() -> World {
    let mut world = World::without_operator().await;
    world.apply(&rights()).await;
    world.server.create_namespace("elsewhere").await.unwrap();
    let operator = world.server.client_as_service_account("dataimporter-system", "dataimporter-operator").await.unwrap();
    world.start_operator_with(operator);
    world
}

/// Somebody who may edit this namespace, as `edit` has it once our roles are aggregated into it.
async fn editor(world: &World, name: &str, namespace: &str) -> Client {
    world
        .apply(&format!(
            r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: {name}-edits, namespace: {namespace}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: dataimporter-editor}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: {name}}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: {name}-binds, namespace: {namespace}}}
rules: [{{apiGroups: [rbac.authorization.k8s.io], resources: [rolebindings, roles], verbs: [get, create, patch]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: {name}-binds, namespace: {namespace}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {name}-binds}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: {name}}}]
"#
        ))
        .await;
    world.server.client_as(name, &["system:authenticated"]).await.unwrap()
}

fn job(namespace: &str, name: &str) -> ImportJob {
    serde_saphyr::from_str(&job_yaml(namespace, name, UPLOAD, "{manual: {}}")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_edit_a_namespace_without_a_tenant_makes_nothing_of_ours_there() {
    let world = guarded().await;
    let mallory = editor(&world, "mallory", "elsewhere").await;
    let jobs = Api::<ImportJob>::namespaced(mallory.clone(), "elsewhere");
    // Rights and policies take effect some moments after they are written.
    wait_for("mallory's rights", SOON, async || Ok(jobs.list(&Default::default()).await.ok())).await.unwrap();
    let words = "no Tenant holds namespace elsewhere: list it in the spec.namespaces of one";
    let tried = wait_for("the refusal", SOON, async || {
        let tried = jobs.create(&PostParams { dry_run: true, field_manager: None }, &job("elsewhere", "probe")).await;
        Ok(tried.err().filter(|error| error.to_string().contains(words)))
    });
    tried.await.expect("an ImportJob in a namespace that no Tenant holds is refused");
    for kind in ["Upload", "ImportRun", "Connection"] {
        let yaml = match kind {
            "Upload" => "{apiVersion: dataimporter.io/v1alpha1, kind: Upload, metadata: {name: x, namespace: elsewhere}, spec: {fileName: a.csv}}".to_owned(),
            "ImportRun" => "{apiVersion: dataimporter.io/v1alpha1, kind: ImportRun, metadata: {name: x, namespace: elsewhere}, spec: {jobRef: {name: a, uid: u}, action: {run: {}}, startBefore: '2030-01-01T00:00:00Z'}}".to_owned(),
            _ => connections_yaml("elsewhere"),
        };
        let refused = testkit::apply_yaml(&mallory, &yaml).await.expect_err(kind);
        assert!(format!("{refused:#}").contains(words), "{kind}: {refused:#}");
    }
    // The mark cannot be forged by who may bind roles there: one gives only what one has.
    let forged: RoleBinding = serde_json::from_value(json!({
        "metadata": {"name": "dataimporter-held"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "dataimporter-held"},
        "subjects": [{"kind": "ServiceAccount", "name": "dataimporter-held", "namespace": "dataimporter-system"}],
    }))
    .unwrap();
    let bindings = Api::<RoleBinding>::namespaced(mallory.clone(), "elsewhere");
    let refused = bindings.create(&PostParams::default(), &forged).await.unwrap_err().to_string();
    assert!(refused.contains("hold") && refused.contains("not currently held"), "{refused}");
    let mut control = forged.clone();
    control.metadata.name = Some("control".into());
    control.role_ref.name = "dataimporter-editor".into();
    bindings.create(&PostParams::default(), &control).await.expect("control: what mallory has may be given");

    // In a namespace that a Tenant holds the same person may, as the Tenant is ready.
    world.tenant("acme").await;
    let ada = editor(&world, "grace", "acme").await;
    let jobs = Api::<ImportJob>::namespaced(ada, "acme");
    wait_for("grace's job", SOON, async || Ok(jobs.create(&PostParams::default(), &job("acme", "airports")).await.ok())).await.unwrap();
    world.wait_ready::<ImportJob>(world.namespaced("acme"), "airports", "Armed").await;

    // A namespace that is let go: nothing new, but what is there may be changed and deleted, and finalizers go.
    let tenants = Api::<Tenant>::all(world.client.clone());
    let hold = json!({"metadata": {"finalizers": ["example.com/mine"]}});
    jobs.patch("airports", &PatchParams::default(), &Patch::Merge(&hold)).await.unwrap();
    world.server.create_namespace("other").await.unwrap();
    tenants.patch("acme", &PatchParams::default(), &Patch::Merge(&json!({"spec": {"namespaces": ["other"]}}))).await.unwrap();
    wait_for("the namespace to be let go", SOON, async || {
        let tried = jobs.create(&PostParams { dry_run: true, field_manager: None }, &job("acme", "late")).await;
        Ok(tried.err().filter(|error| error.to_string().contains("no Tenant holds namespace acme")))
    })
    .await
    .unwrap();
    jobs.delete("airports", &DeleteParams::default()).await.unwrap();
    let release = json!({"metadata": {"finalizers": null}});
    jobs.patch("airports", &PatchParams::default(), &Patch::Merge(&release)).await.expect("a finalizer may go");
    assert!(jobs.get_opt("airports").await.unwrap().is_none());
    world.assert_conformant().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_owners_and_finalizers_have_limits_too() {
    let world = guarded().await;
    world.tenant("acme").await;
    let jobs = world.namespaced::<ImportJob>("acme");
    let dry = PostParams { dry_run: true, field_manager: None };
    let many = |n: usize| (0..n).map(|n| (format!("team.example/{n}"), "x".to_owned())).collect();
    let labelled = |n: usize| {
        let mut job = job("acme", "labelled");
        job.metadata.labels = Some(many(n));
        job
    };
    wait_for("the policy", SOON, async || {
        let tried = jobs.create(&dry, &labelled(65)).await;
        Ok(tried.err().filter(|error| error.to_string().contains("at most 64 labels")))
    })
    .await
    .expect("65 labels are refused");
    jobs.create(&dry, &labelled(64)).await.expect("64 labels are not");
    let mut owned = job("acme", "owned");
    let owner = |name: String| json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": "u"}]);
    owned.metadata.owner_references = serde_json::from_value(owner("x".repeat(1 << 20))).unwrap();
    let refused = jobs.create(&dry, &owned).await.unwrap_err().to_string();
    assert!(refused.contains("at most 16 owners"), "{refused}");
    owned.metadata.owner_references = serde_json::from_value(owner("x".repeat(253))).unwrap();
    jobs.create(&dry, &owned).await.expect("an owner with a name is fine");
    let mut finalized = job("acme", "finalized");
    finalized.metadata.finalizers = Some((0..17).map(|n| format!("example.com/{n}")).collect());
    let refused = jobs.create(&dry, &finalized).await.unwrap_err().to_string();
    assert!(refused.contains("at most 16 finalizers"), "{refused}");
    world.assert_conformant().await;
}
