//! Namespaces between tenants, members, and the way out.

use std::time::Duration;

use api::Tenant;
use api::import_run::{Rows, RunReason};
use api::names::TENANT_RUNS_FINALIZER;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use testkit::wait_for;

use crate::support::{SOON, UPLOAD, World, job_yaml, tenant_yaml};

#[tokio::test(flavor = "multi_thread")]
async fn of_tenants_that_list_the_same_namespace_exactly_one_gets_it() {
    let world = World::start().await;
    world.server.create_namespace("shared").await.unwrap();
    // All at once, so that they race.
    let yamls: Vec<String> = (0..6).map(|n| tenant_yaml(&format!("rival-{n}"), &["shared"])).collect();
    futures::future::join_all(yamls.iter().map(|yaml| world.apply(yaml))).await;
    let tenants = Api::<Tenant>::all(world.client.clone());
    let settled = wait_for("all to be told", SOON, async || {
        let list = tenants.list(&Default::default()).await?.items;
        let reasons: Vec<String> = list.iter().map(crate::support::ready_reason).collect();
        Ok(reasons.iter().all(|r| r == "Bound" || r == "NamespaceTaken").then_some((list, reasons)))
    });
    let (list, reasons) = settled.await.unwrap();
    assert_eq!(reasons.iter().filter(|r| *r == "Bound").count(), 1, "{reasons:?}");
    let holders = list.iter().filter(|t| t.status.as_ref().is_some_and(|s| !s.namespaces.is_empty())).count();
    assert_eq!(holders, 1);

    // When the holder lets go, another one gets it.
    let holder = list.iter().find(|t| crate::support::ready_reason(*t) == "Bound").unwrap().name_any();
    world.server.create_namespace("own").await.unwrap();
    let other = json!({"spec": {"namespaces": ["own"]}});
    tenants.patch(&holder, &PatchParams::default(), &Patch::Merge(&other)).await.unwrap();
    wait_for("the next one to get it", SOON, async || {
        let list = tenants.list(&Default::default()).await?.items;
        let holders: Vec<String> =
            list.iter().filter(|t| t.status.iter().flat_map(|s| &s.namespaces).any(|b| b.name == "shared")).map(|t| t.name_any()).collect();
        Ok((holders.len() == 1 && holders[0] != holder).then_some(()))
    })
    .await
    .unwrap();
    // Its status says so before its roles are there.
    let bindings = world.namespaced::<RoleBinding>("shared");
    let bound = wait_for("its role binding", SOON, async || Ok(bindings.get_opt("dataimporter-owner").await?));
    assert_ne!(bound.await.unwrap().labels()["dataimporter.io/tenant"], holder);
    world.assert_conformant().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_get_their_roles_and_what_others_touch_is_put_right() {
    let world = World::start().await;
    world.tenant("people").await;
    let bindings = world.namespaced::<RoleBinding>("people");
    let names = |list: Vec<RoleBinding>| list.iter().map(ResourceExt::name_any).collect::<Vec<_>>();
    assert_eq!(
        names(bindings.list(&Default::default()).await.unwrap().items),
        ["dataimporter-held", "dataimporter-owner", "dataimporter-viewer"]
    );
    let writer = world.namespaced::<ServiceAccount>("people").get("dataimporter-files-writer").await.unwrap();
    assert_eq!(writer.automount_service_account_token, Some(false));

    bindings.delete("dataimporter-owner", &DeleteParams::default()).await.unwrap();
    let stranger = json!([{"kind": "User", "name": "mallory", "apiGroup": "rbac.authorization.k8s.io"}]);
    bindings.patch("dataimporter-viewer", &PatchParams::default(), &Patch::Merge(&json!({"subjects": stranger}))).await.unwrap();
    wait_for("both to be put right", SOON, async || {
        let owner = bindings.get_opt("dataimporter-owner").await?;
        let viewer = bindings.get("dataimporter-viewer").await?;
        let people: Vec<String> = viewer.subjects.unwrap_or_default().into_iter().map(|s| s.name).collect();
        Ok((owner.is_some() && people == ["alan@people.example"]).then_some(()))
    })
    .await
    .unwrap();

    // A role that nobody has any more goes.
    let members = json!({"spec": {"members": [{"email": "ada@people.example", "role": "Editor"}]}});
    Api::<Tenant>::all(world.client.clone()).patch("people", &PatchParams::default(), &Patch::Merge(&members)).await.unwrap();
    wait_for("the roles to follow", SOON, async || {
        let found = names(bindings.list(&Default::default()).await?.items);
        Ok((found == ["dataimporter-editor", "dataimporter-held"]).then_some(()))
    })
    .await
    .unwrap();
    world.assert_conformant().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_made_anew_is_not_bound_until_its_uid_is_accepted() {
    let world = World::start().await;
    world.tenant("anew").await;
    let namespaces = Api::<Namespace>::all(world.client.clone());
    delete_namespace(&world, "anew").await;
    let tenants = Api::<Tenant>::all(world.client.clone());
    world.wait_ready::<Tenant>(tenants.clone(), "anew", "NamespaceNotFound").await;
    world.server.create_namespace("anew").await.unwrap();
    world.wait_ready::<Tenant>(tenants.clone(), "anew", "NamespaceReplaced").await;
    assert!(world.namespaced::<RoleBinding>("anew").list(&Default::default()).await.unwrap().items.is_empty());
    let uid = namespaces.get("anew").await.unwrap().uid().unwrap();
    let accept = json!({"metadata": {"annotations": {"dataimporter.io/accept-namespace": uid}}});
    tenants.patch("anew", &PatchParams::default(), &Patch::Merge(&accept)).await.unwrap();
    let tenant = world.wait_ready::<Tenant>(tenants, "anew", "Bound").await;
    assert_eq!(tenant.status.unwrap().namespaces[0].uid, uid);
    world.assert_conformant().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_namespace_that_somebody_else_made_is_never_used() {
    let world = World::start().await;
    world.server.create_namespace("dataimporter-run-squat").await.unwrap();
    world.server.create_namespace("squat").await.unwrap();
    world.apply(&tenant_yaml("squat", &["squat"])).await;
    world.wait_ready::<Tenant>(Api::all(world.client.clone()), "squat", "RunNamespaceTaken").await;
    assert!(world.namespaced::<ServiceAccount>("dataimporter-run-squat").get_opt("worker").await.unwrap().is_none());
    world.assert_conformant().await;
}

/// One of a Tenant that went past its finalizer, or of before a restore: its workers end, and the next run has another.
#[tokio::test(flavor = "multi_thread")]
async fn the_run_namespace_of_a_former_tenant_of_this_name_is_deleted() {
    let world = World::start().await;
    let labels = json!({"dataimporter.io/tenant": "again", "dataimporter.io/tenant-uid": "former"});
    let left = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "dataimporter-run-again", "labels": labels}});
    world.apply(&left.to_string()).await;
    world.tenant("again").await;
    let namespaces = Api::<Namespace>::all(world.client.clone());
    wait_for("it to be deleted", SOON, async || Ok(namespaces.get("dataimporter-run-again").await?.metadata.deletion_timestamp))
        .await
        .unwrap();
    assert!(world.namespaced::<ServiceAccount>("dataimporter-run-again").get_opt("worker").await.unwrap().is_none());
    world.assert_conformant().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_of_the_cluster_or_of_ours_is_bound_to_nobody_and_nothing_is_made_in_it() {
    let world = World::start().await;
    let runs = "dataimporter-run-globex";
    for namespace in ["own", runs] {
        world.server.create_namespace(namespace).await.unwrap();
    }
    let tenants = Api::<Tenant>::all(world.client.clone());
    for reserved in ["kube-system", "dataimporter-system", runs] {
        world.apply(&tenant_yaml("greedy", &["own", reserved])).await;
        let said = wait_for("it to be refused", SOON, async || {
            let status = tenants.get("greedy").await?.status.unwrap_or_default();
            let ready = api::conditions::find(&status.conditions, "Ready").cloned();
            Ok(ready.filter(|c| c.reason == "NamespaceReserved" && c.message.contains(reserved)))
        });
        let message = said.await.unwrap().message;
        assert!(message.contains("take it out of spec.namespaces"), "{message}");
        let held: Vec<String> = tenants.get("greedy").await.unwrap().status.unwrap().namespaces.into_iter().map(|b| b.name).collect();
        assert_eq!(held, ["own"], "{reserved}");
        let accounts = world.namespaced::<ServiceAccount>(reserved);
        assert!(accounts.get_opt("dataimporter-files-writer").await.unwrap().is_none(), "{reserved}");
        let bindings = world.namespaced::<RoleBinding>(reserved);
        assert!(bindings.get_opt("dataimporter-owner").await.unwrap().is_none(), "{reserved}");
    }
    world.apply(&tenant_yaml("greedy", &["own"])).await;
    world.wait_ready::<Tenant>(tenants, "greedy", "Bound").await;
    world.assert_conformant().await;
}

/// Whichever server says no: what it said, and about what.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_server_refuses_to_make_for_a_tenant_is_told_and_holds_no_other_namespace_up() {
    let mut world = World::without_operator().await;
    for namespace in ["strict", "zone"] {
        world.server.create_namespace(namespace).await.unwrap();
    }
    let rule = r#"{apiGroups: [""], apiVersions: [v1], resources: [serviceaccounts], operations: [CREATE]}"#;
    refuse(&world, rule, "request.namespace != 'strict'", "accounts are made by the platform team").await;
    let probe: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": "probe"}})).unwrap();
    until_refused(&world.namespaced("strict"), &probe, "platform team").await;
    world.start_operator();
    world.apply(&tenant_yaml("twofold", &["strict", "zone"])).await;
    let tenant = world.wait_ready::<Tenant>(Api::all(world.client.clone()), "twofold", "NamespaceRefused").await;
    let message = api::conditions::find(&tenant.status.unwrap().conditions, "Ready").unwrap().message.clone();
    for words in ["namespace strict", "ServiceAccount strict/dataimporter-files-", "accounts are made by the platform team"] {
        assert!(message.contains(words), "it does not say {words:?}: {message}");
    }
    let other = world.namespaced::<ServiceAccount>("zone");
    wait_for("the other namespace", SOON, async || Ok(other.get_opt("dataimporter-files-writer").await?)).await.unwrap();
    world.assert_conformant().await;
}

/// Each step of a Tenant's life that another policy of the cluster may refuse, and that all of them go on once it does no more.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_is_refused_is_told_and_taken_when_it_is_not_refused_any_more() {
    let world = World::start().await;
    for namespace in ["unheld", "clingy", "let-go", "stuck"] {
        world.server.create_namespace(namespace).await.unwrap();
    }
    let tenants = Api::<Tenant>::all(world.client.clone());
    for (name, namespaces) in [("clingy", &["clingy", "let-go"][..]), ("stuck", &["stuck"])] {
        world.apply(&tenant_yaml(name, namespaces)).await;
        world.wait_ready::<Tenant>(tenants.clone(), name, "Bound").await;
    }
    world.tenant("walled").await;
    let rules = r#"{apiGroups: [dataimporter.io], apiVersions: ["*"], resources: [tenants], operations: [CREATE, UPDATE]},
        {apiGroups: [""], apiVersions: [v1], resources: [namespaces], operations: [CREATE]},
        {apiGroups: [rbac.authorization.k8s.io], apiVersions: [v1], resources: [rolebindings], operations: [DELETE]}"#;
    let condition = "!(request.name == 'unheld' && object.metadata.?finalizers.orValue([]).size() > 0)
        && request.name != 'dataimporter-run-walled' && !(request.?namespace.orValue('') in ['let-go', 'stuck'])";
    refuse(&world, rules, condition, "ask the platform team").await;
    let probe: Namespace = serde_json::from_value(json!({"metadata": {"name": "dataimporter-run-walled"}})).unwrap();
    until_refused(&Api::all(world.client.clone()), &probe, "platform team").await;

    world.apply(&tenant_yaml("unheld", &["unheld"])).await;
    world.apply(&job_yaml("walled", "accounts", UPLOAD, "{once: {id: '1'}}")).await;
    let fewer = json!({"spec": {"namespaces": ["clingy"]}});
    tenants.patch("clingy", &PatchParams::default(), &Patch::Merge(&fewer)).await.unwrap();
    tenants.delete("stuck", &DeleteParams::default()).await.unwrap();
    for (name, reason, about) in [
        ("unheld", "FinalizerRefused", TENANT_RUNS_FINALIZER),
        ("walled", "RunNamespaceRefused", "dataimporter-run-walled"),
        ("clingy", "ReleaseRefused", "namespace let-go"),
        ("stuck", "LeavingRefused", "it cannot leave"),
    ] {
        let tenant = world.wait_ready::<Tenant>(tenants.clone(), name, reason).await;
        let message = api::conditions::find(&tenant.status.unwrap().conditions, "Ready").unwrap().message.clone();
        for words in [about, "ask the platform team"] {
            assert!(message.contains(words), "{name} does not say {words:?}: {message}");
        }
    }
    let bindings = world.namespaced::<RoleBinding>("unheld");
    assert!(bindings.list(&Default::default()).await.unwrap().items.is_empty(), "something was made for who cannot be held");
    assert!(tenants.get("clingy").await.unwrap().status.unwrap().namespaces.iter().any(|b| b.name == "let-go"), "forgotten");

    Api::<ValidatingAdmissionPolicyBinding>::all(world.client.clone()).delete("refused", &DeleteParams::default()).await.unwrap();
    wait_for("all of them to go on", Duration::from_secs(90), async || {
        for name in ["unheld", "walled", "clingy"] {
            if crate::support::ready_reason(&tenants.get(name).await?) != "Bound" {
                return Ok(None);
            }
        }
        let left = world.namespaced::<RoleBinding>("let-go").list(&Default::default()).await?.items;
        Ok((left.is_empty() && tenants.get_opt("stuck").await?.is_none()).then_some(()))
    })
    .await
    .unwrap();
    world.worker("walled", "accounts-once-1", 1).await;
    world.assert_conformant().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_leaves_stops_its_runs_and_takes_everything_of_ours_along() {
    let world = World::start().await;
    world.tenant("bye").await;
    world.apply(&job_yaml("bye", "accounts", UPLOAD, "{once: {id: '1'}}")).await;
    let pod = world.worker("bye", "accounts-once-1", 1).await;
    world.bind(&pod, "node-a").await;
    world.pod_runs(&pod).await;
    let tenants = Api::<Tenant>::all(world.client.clone());
    assert!(tenants.get("bye").await.unwrap().finalizers().contains(&TENANT_RUNS_FINALIZER.to_owned()));
    tenants.delete("bye", &DeleteParams::default()).await.unwrap();

    let runs = world.namespaced::<api::ImportRun>("bye");
    wait_for("the run to be asked to stop", SOON, async || Ok(runs.get("accounts-once-1").await?.spec.cancelled().then_some(())))
        .await
        .unwrap();
    world.keeper_reports("bye", "accounts-once-1", 1, RunReason::Cancelled, Rows::default()).await;
    world.pod_ends(&pod, 0, "Completed").await;
    let namespaces = Api::<Namespace>::all(world.client.clone());
    wait_for("the run namespace to be deleted", SOON, async || {
        Ok(namespaces.get("dataimporter-run-bye").await?.metadata.deletion_timestamp)
    })
    .await
    .unwrap();
    assert!(tenants.get_opt("bye").await.unwrap().is_some(), "not gone before its namespace is");
    finalize(&world, "dataimporter-run-bye").await;
    wait_for("the tenant to go", SOON, async || Ok(tenants.get_opt("bye").await?.is_none().then_some(()))).await.unwrap();
    assert!(world.namespaced::<RoleBinding>("bye").list(&Default::default()).await.unwrap().items.is_empty());
    assert!(namespaces.get("bye").await.unwrap().metadata.deletion_timestamp.is_none(), "the tenant's own namespace stays");
}

/// A policy of the cluster that is not ours.
async fn refuse(world: &World, rules: &str, condition: &str, message: &str) {
    let policy = format!(
        r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: refused}}
spec:
  failurePolicy: Fail
  matchConstraints: {{resourceRules: [{rules}]}}
  validations: [{{expression: "{condition}", message: {message}}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: refused}}
spec: {{policyName: refused, validationActions: [Deny]}}
"#
    );
    world.apply(&policy).await;
}

/// Policies take effect some seconds after they are written.
async fn until_refused<K>(api: &Api<K>, probe: &K, words: &str)
where
    K: Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    let dry_run = PostParams { dry_run: true, ..Default::default() };
    wait_for("the policy", SOON, async || Ok(api.create(&dry_run, probe).await.err().filter(|error| error.to_string().contains(words))))
        .await
        .unwrap();
}

async fn delete_namespace(world: &World, name: &str) {
    Api::<Namespace>::all(world.client.clone()).delete(name, &DeleteParams::default()).await.unwrap();
    finalize(world, name).await;
}

/// The namespace controller, which does not run here: objects first, then the namespace.
async fn finalize(world: &World, name: &str) {
    let bindings = world.namespaced::<RoleBinding>(name);
    bindings.delete_collection(&DeleteParams::default(), &Default::default()).await.unwrap();
    let accounts = world.namespaced::<ServiceAccount>(name);
    accounts.delete_collection(&DeleteParams::default(), &Default::default()).await.unwrap();
    let api = Api::<Namespace>::all(world.client.clone());
    let mut namespace = api.get(name).await.unwrap();
    namespace.spec = None;
    api.replace_subresource("finalize", name, &PostParams::default(), &namespace).await.unwrap();
}
