//! The operator under the rights and policies that the chart gives it, and nothing more.

use std::path::Path;
use std::process::Command;

use api::ImportRun;
use api::import_run::{Rows, RunReason};
use api::names::RUN_UID_LABEL;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use testkit::wait_for;

use crate::support::{SOON, UPLOAD, World, job_yaml};

/// The chart's templates that say who may do what.
pub(crate) fn rights() -> String {
    rights_of(&["eu-frankfurt"])
}

/// The same for other regions.
pub(crate) fn rights_of(regions: &[&str]) -> String {
    rights_with(regions, &[])
}

/// The same with other values, as Helm's arguments.
pub(crate) fn rights_with(regions: &[&str], values: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let helm = root.join("target/kube/helm");
    assert!(helm.exists(), "{} is missing; build it with: cargo xtask cluster build", helm.display());
    let rendered = Command::new(helm)
        .args(["template", "dataimporter", "charts/dataimporter", "--namespace", "dataimporter-system"])
        .args(["--set-json", &format!("regions={}", json!(regions)), "--set", "image.tag=test"])
        .args(values)
        .current_dir(root)
        .output()
        .unwrap();
    assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
    let text = String::from_utf8(rendered.stdout).unwrap();
    let wanted =
        ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"];
    let documents: Vec<&str> = text
        .split("\n---\n")
        .filter(|d| d.lines().filter_map(|l| l.strip_prefix("kind: ")).any(|kind| wanted.contains(&kind) || kind == "ConfigMap"))
        .filter(|d| !d.contains("helm.sh/hook"))
        .collect();
    assert!(documents.len() > 8, "{text}");
    documents.join("\n---\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_charts_rights_are_enough_for_a_whole_life_and_its_policies_hold() {
    let mut world = World::without_operator().await;
    world.apply(&rights()).await;
    let operator = world.server.client_as_service_account("dataimporter-system", "dataimporter-operator").await.unwrap();

    // Policies take effect some seconds after they are written.
    let map = |name: &str| -> ConfigMap { serde_json::from_value(json!({"metadata": {"name": name}})).unwrap() };
    let system = kube::Api::<ConfigMap>::namespaced(operator.clone(), "dataimporter-system");
    wait_for("the operator guard", SOON, async || {
        let tried = system.create(&PostParams { dry_run: true, field_manager: None }, &map("probe")).await;
        Ok(tried.err().filter(|e| e.to_string().contains("the operator writes these only in run namespaces")))
    })
    .await
    .unwrap();

    let of_operator = kube::Api::<Pod>::namespaced(operator.clone(), "dataimporter-run-acme");
    world.start_operator_with(operator);
    world.tenant("acme").await;
    world.apply(&job_yaml("acme", "accounts", UPLOAD, "{once: {id: '1'}}")).await;
    let pod = world.worker("acme", "accounts-once-1", 1).await;
    world.bind(&pod, "node-a").await;
    world.pod_runs(&pod).await;
    world.keeper_reports("acme", "accounts-once-1", 1, RunReason::Completed, Rows::default()).await;
    world.pod_ends(&pod, 0, "Completed").await;
    world.wait_ready::<ImportRun>(world.namespaced("acme"), "accounts-once-1", "Completed").await;
    world.anchor_goes("acme", &pod.labels()[RUN_UID_LABEL]).await;

    // A worker with a token for the Kubernetes API is refused, even to the operator, and any worker to the administrator.
    let pods = world.namespaced::<Pod>("dataimporter-run-acme");
    let mut foreign: Pod = serde_json::from_value(json!({"metadata": {"name": "foreign"}, "spec": pod.spec})).unwrap();
    if let Some(spec) = &mut foreign.spec {
        (spec.node_name, spec.automount_service_account_token) = (None, Some(true));
    }
    let dry = PostParams { dry_run: true, field_manager: None };
    for (who, reason) in [(&pods, "workers are made by the operator"), (&of_operator, "only the account worker")] {
        wait_for("the pod to be refused", SOON, async || {
            let refused = who.create(&dry, &foreign).await.err();
            Ok(refused.filter(|error| error.to_string().contains(reason)))
        })
        .await
        .unwrap();
    }

    // A tenant leaves: the deletion guard wants a word first, the operator may do its part.
    let tenants = kube::Api::<api::Tenant>::all(world.client.clone());
    let refused = tenants.delete("acme", &DeleteParams::default()).await.unwrap_err().to_string();
    assert!(refused.contains("confirm-deletion"), "{refused}");
    let confirm = json!({"metadata": {"annotations": {"dataimporter.io/confirm-deletion": "acme"}}});
    tenants.patch("acme", &PatchParams::default(), &Patch::Merge(&confirm)).await.unwrap();
    tenants.delete("acme", &DeleteParams::default()).await.unwrap();
    let namespaces = kube::Api::<k8s_openapi::api::core::v1::Namespace>::all(world.client.clone());
    wait_for("the run namespace to be deleted", SOON, async || {
        Ok(namespaces.get("dataimporter-run-acme").await?.metadata.deletion_timestamp)
    })
    .await
    .unwrap();
    let errors: Vec<String> = world
        .metrics
        .render()
        .lines()
        .filter(|l| l.starts_with("dataimporter_api_writes_total") && l.contains("error"))
        .map(str::to_owned)
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    world.assert_conformant().await;
}
