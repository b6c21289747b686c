//! Namespaces between tenants, members, and the way out.

use api::Tenant;
use api::import_run::{Rows, RunReason};
use api::names::TENANT_RUNS_FINALIZER;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
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
    let binding = world.namespaced::<RoleBinding>("shared").get("dataimporter-owner").await.unwrap();
    assert_ne!(binding.labels()["dataimporter.io/tenant"], holder);
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
    let policy = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: no-accounts}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: [v1], resources: [serviceaccounts], operations: [CREATE]}]
  validations: [{expression: "request.namespace != 'strict'", message: accounts are made by the platform team}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: no-accounts}
spec: {policyName: no-accounts, validationActions: [Deny]}
"#;
    world.apply(policy).await;
    for namespace in ["strict", "zone"] {
        world.server.create_namespace(namespace).await.unwrap();
    }
    let probe: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": "probe"}})).unwrap();
    let dry_run = PostParams { dry_run: true, ..Default::default() };
    wait_for("the policy", SOON, async || {
        let tried = world.namespaced::<ServiceAccount>("strict").create(&dry_run, &probe).await;
        Ok(tried.err().filter(|error| error.to_string().contains("platform team")))
    })
    .await
    .unwrap();
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
