//! Logins of image registries, on their way from the operator's namespace to the workers, under the rights that the chart gives the operator for it.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use testkit::wait_for;

use crate::rights::{rights, rights_with};
use crate::support::{SOON, UPLOAD, World, job_yaml};

const SYSTEM: &str = "dataimporter-system";
const RUNS: &str = "dataimporter-run-acme";
const LOGIN: &str = "kubernetes.io/dockerconfigjson";

fn secret(name: &str, type_: &str, key: &str, value: &str) -> Secret {
    serde_json::from_value(json!({"metadata": {"name": name}, "type": type_, "stringData": {key: value}})).unwrap()
}

async fn refused(client: &Client, namespace: &str, secret: &Secret) -> Option<String> {
    let api = Api::<Secret>::namespaced(client.clone(), namespace);
    api.create(&PostParams { dry_run: true, field_manager: None }, secret).await.err().map(|error| error.to_string())
}

/// What the copy holds.
async fn copy(world: &World) -> Option<Value> {
    let found = world.namespaced::<Secret>(RUNS).get_opt("registry").await.unwrap()?;
    assert_eq!(found.type_.as_deref(), Some(LOGIN));
    serde_json::from_slice(&found.data?[".dockerconfigjson"].0).ok()
}

async fn is_brought(world: &World, login: &Value) {
    let text = format!("the login {login}");
    wait_for(&text, SOON, async || Ok(copy(world).await.filter(|found| found == login))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_the_chart_names_reaches_the_workers_and_nothing_else_does() {
    let mut world = World::without_operator().await;
    world.apply(&rights_with(&["eu-frankfurt"], &["--set-json", r#"imagePullSecrets=[{"name":"registry"}]"#])).await;
    let operator = world.server.client_as_service_account(SYSTEM, "dataimporter-operator").await.unwrap();
    let (first, second) = (json!({"auths": {"a": {"auth": "MQ=="}}}), json!({"auths": {"a": {"auth": "Mg=="}}}));
    let system = world.namespaced::<Secret>(SYSTEM);
    system.create(&PostParams::default(), &secret("registry", LOGIN, ".dockerconfigjson", &first.to_string())).await.unwrap();
    system.create(&PostParams::default(), &secret("root", "Opaque", "key", "secret")).await.unwrap();

    // Policies take effect some seconds after they are written.
    let words = "of Secrets the operator writes only the logins of image registries";
    let opaque = secret("registry", "Opaque", "key", "x");
    wait_for("the operator guard", SOON, async || {
        Ok(refused(&operator, SYSTEM, &opaque).await.filter(|refusal| refusal.contains("only in run namespaces")))
    })
    .await
    .unwrap();
    world.settings.worker.image_pull_secrets = vec!["registry".into()];
    world.start_operator_with(operator.clone());
    world.tenant("acme").await;
    world.apply(&job_yaml("acme", "accounts", UPLOAD, "{once: {id: '1'}}")).await;
    let worker = world.worker("acme", "accounts-once-1", 1).await;
    let named: Vec<String> = worker.spec.unwrap().image_pull_secrets.unwrap_or_default().into_iter().map(|secret| secret.name).collect();
    assert_eq!(named, ["registry"]);
    is_brought(&world, &first).await;

    // It changes, while the operator runs and while it does not; a copy that somebody deleted comes back with the next operator.
    let changed = |login: &Value| Patch::Merge(json!({"stringData": {".dockerconfigjson": login.to_string()}}));
    system.patch("registry", &PatchParams::default(), &changed(&second)).await.unwrap();
    is_brought(&world, &second).await;
    world.kill_operator().await;
    system.patch("registry", &PatchParams::default(), &changed(&first)).await.unwrap();
    world.namespaced::<Secret>(RUNS).delete("registry", &DeleteParams::default()).await.unwrap();
    world.start_operator_with(operator.clone());
    is_brought(&world, &first).await;

    // It may read and write this and no other Secret.
    let read = |namespace: &'static str, name: &'static str| {
        let api = Api::<Secret>::namespaced(operator.clone(), namespace);
        async move { api.get(name).await.err().map(|error| error.to_string()).unwrap_or_default() }
    };
    assert_eq!(read(SYSTEM, "registry").await, "", "control");
    for (namespace, name) in [(SYSTEM, "root"), (RUNS, "registry"), ("acme", "registry")] {
        assert!(read(namespace, name).await.contains("forbidden"), "{namespace}/{name}");
    }
    let other = secret("other", LOGIN, ".dockerconfigjson", "{}");
    for (namespace, secret, refusal) in [(RUNS, &opaque, words), (RUNS, &other, words), ("acme", &other, "only in run namespaces")] {
        let said = refused(&operator, namespace, secret).await.unwrap_or_default();
        assert!(said.contains(refusal), "{namespace}: {said:?}");
    }
    world.assert_conformant().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_logins_the_operator_has_no_right_to_any_secret() {
    let world = World::without_operator().await;
    world.apply(&rights()).await;
    let operator = world.server.client_as_service_account(SYSTEM, "dataimporter-operator").await.unwrap();
    for namespace in [SYSTEM, "default"] {
        let said = refused(&operator, namespace, &secret("registry", LOGIN, ".dockerconfigjson", "{}")).await.unwrap_or_default();
        assert!(said.contains("cannot create resource \"secrets\""), "{said:?}");
        let listed = Api::<Secret>::namespaced(operator.clone(), namespace).list(&Default::default()).await;
        assert!(listed.is_err_and(|error| error.to_string().contains("forbidden")));
    }
}
