//! Tokens of the accounts that prove who asks: how long they live, for whom they are, and when they die.

use std::time::Duration;

use api::Tenant;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenReview};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use testkit::wait_for;

use crate::rights::rights;
use crate::support::{SOON, UPLOAD, World, job_yaml};

const AUDIENCE: &str = "dataimporter-files.eu-frankfurt.0b1f2a34-5c6d-4e7f-8a9b-0c1d2e3f4a5b";
const READER: &str = "dataimporter-files-reader";
const WRITER: &str = "dataimporter-files-writer";

async fn ask(client: &Client, namespace: &str, account: &str, spec: Value) -> Result<String, String> {
    let request: TokenRequest = serde_json::from_value(json!({"spec": spec})).unwrap();
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), namespace);
    let made = accounts.create_token_request(account, &PostParams::default(), &request).await;
    made.map(|request| request.status.unwrap().token).map_err(|error| error.to_string())
}

fn good() -> Value {
    json!({"audiences": [AUDIENCE], "expirationSeconds": 600})
}

async fn lives(world: &World, token: &str) -> bool {
    let review: TokenReview = serde_json::from_value(json!({"spec": {"token": token, "audiences": [AUDIENCE]}})).unwrap();
    let reviewed = Api::<TokenReview>::all(world.client.clone()).create(&PostParams::default(), &review).await.unwrap();
    reviewed.status.and_then(|status| status.authenticated) == Some(true)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_token_lives_ten_minutes_for_our_audience_whoever_asks() {
    let mut world = World::without_operator().await;
    world.apply(&rights()).await;
    world.start_operator();
    world.tenant("acme").await;
    let owner = world.server.client_as("ada@acme.example", &[]).await.unwrap();
    let viewer = world.server.client_as("alan@acme.example", &[]).await.unwrap();
    wait_for("the owner's rights", SOON, async || Ok(ask(&owner, "acme", WRITER, good()).await.ok())).await.unwrap();
    assert!(ask(&viewer, "acme", WRITER, good()).await.is_err(), "a viewer asks for none");

    let long = json!({"audiences": [AUDIENCE], "expirationSeconds": 86_400});
    // Policies take effect some seconds after they are written.
    let refused = wait_for("the policy", SOON, async || Ok(ask(&owner, "acme", READER, long.clone()).await.err()));
    let refused = refused.await.expect("a token of 86,400 s is given");
    println!("{refused}");
    assert!(refused.contains("kubectl create token dataimporter-files-reader") && refused.contains("--duration=10m"), "{refused}");
    let administrator = world.client.clone();
    for (whose, client) in [("the owner", &owner), ("the administrator", &administrator)] {
        for account in [READER, WRITER] {
            for (what, spec) in [
                ("a day", long.clone()),
                ("a second too long", json!({"audiences": [AUDIENCE], "expirationSeconds": 601})),
                ("nothing said, as kubectl does without flags", json!({"audiences": []})),
                ("no time said", json!({"audiences": [AUDIENCE]})),
                (
                    "the API server's audience",
                    json!({"audiences": ["https://kubernetes.default.svc.cluster.local"], "expirationSeconds": 600}),
                ),
                ("one more audience", json!({"audiences": [AUDIENCE, "vault"], "expirationSeconds": 600})),
                ("a region that is not served", json!({"audiences": ["dataimporter-files.us-dallas.x"], "expirationSeconds": 600})),
                ("the keeper's audience", json!({"audiences": ["dataimporter-keeper.eu-frankfurt.x"], "expirationSeconds": 600})),
            ] {
                let refused = ask(client, "acme", account, spec).await.expect_err(&format!("{whose}: {what}"));
                assert!(refused.contains("--audience=dataimporter-files."), "{whose}, {what}: {refused}");
            }
            ask(client, "acme", account, good()).await.unwrap_or_else(|refused| panic!("control, {whose}: {refused}"));
        }
        ask(&administrator, "acme", "default", json!({"audiences": ["vault"], "expirationSeconds": 7200}))
            .await
            .expect("control: others' accounts");
    }

    // Tokens that never end.
    let forever = |account: &str| -> Secret {
        serde_json::from_value(json!({
            "metadata": {"name": format!("forever-{account}"), "annotations": {"kubernetes.io/service-account.name": account}},
            "type": "kubernetes.io/service-account-token"
        }))
        .unwrap()
    };
    let secrets = world.namespaced::<Secret>("acme");
    let refused = secrets.create(&PostParams::default(), &forever(WRITER)).await.expect_err("a token that never ends").to_string();
    assert!(refused.contains("never end"), "{refused}");
    secrets.create(&PostParams::default(), &forever("default")).await.expect("control: others' accounts");
    let turned = json!({"metadata": {"annotations": {"kubernetes.io/service-account.name": READER}}});
    secrets.patch("forever-default", &PatchParams::default(), &Patch::Merge(&turned)).await.expect_err("turned to ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workers_token_is_given_to_the_kubelet_that_runs_it_and_to_nobody_else() {
    let mut world = World::without_operator().await;
    world.apply(&rights()).await;
    let operator = world.server.client_as_service_account("dataimporter-system", "dataimporter-operator").await.unwrap();
    world.start_operator_with(operator.clone());
    world.tenant("acme").await;
    world.apply(&job_yaml("acme", "accounts", UPLOAD, "{once: {id: '1'}}")).await;
    let pod = world.worker("acme", "accounts-once-1", 1).await;
    world.bind(&pod, "node-a").await;
    let bound = json!({"apiVersion": "v1", "kind": "Pod", "name": pod.name_any(), "uid": pod.uid()});
    let spec = json!({"audiences": ["dataimporter-keeper.eu-frankfurt.inst-1"], "expirationSeconds": 600, "boundObjectRef": bound});
    let runs = "dataimporter-run-acme";
    let administrator = world.client.clone();
    let refused = wait_for("the policy", SOON, async || Ok(ask(&administrator, runs, "worker", spec.clone()).await.err()));
    let refused = refused.await.expect("a worker's token is given to the administrator");
    assert!(refused.contains("only a node asks"), "{refused}");
    ask(&operator, runs, "worker", spec.clone()).await.expect_err("the operator");
    let kubelet = world.server.client_as("system:node:node-a", &["system:nodes"]).await.unwrap();
    wait_for("the kubelet's token", SOON, async || Ok(ask(&kubelet, runs, "worker", spec.clone()).await.ok())).await.expect("control");
    let forever: Secret = serde_json::from_value(json!({
        "metadata": {"name": "forever", "annotations": {"kubernetes.io/service-account.name": "worker"}},
        "type": "kubernetes.io/service-account-token"
    }))
    .unwrap();
    world.namespaced::<Secret>(runs).create(&PostParams::default(), &forever).await.expect_err("a token that never ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_a_member_who_leaves_die_and_those_of_the_others_only_then() {
    let mut world = World::without_operator().await;
    world.apply(&rights()).await;
    let operator = world.server.client_as_service_account("dataimporter-system", "dataimporter-operator").await.unwrap();
    world.start_operator_with(operator);
    world.tenant("acme").await;
    let tenants = Api::<Tenant>::all(world.client.clone());
    let members = async |members: Value| {
        tenants.patch("acme", &PatchParams::default(), &Patch::Merge(&json!({"spec": {"members": members}}))).await.unwrap();
    };
    let accounts = world.namespaced::<ServiceAccount>("acme");
    let uids = async || (accounts.get(READER).await.unwrap().uid(), accounts.get(WRITER).await.unwrap().uid());
    let ada = json!({"email": "ada@acme.example", "role": "Owner"});
    let eve = |role: &str| json!({"email": "eve@acme.example", "role": role});
    let before = uids().await;

    // Somebody joins: nobody's token dies.
    members(json!([ada, eve("Editor")])).await;
    let client = world.server.client_as("eve@acme.example", &[]).await.unwrap();
    let eves = wait_for("eve's token", SOON, async || Ok(ask(&client, "acme", WRITER, good()).await.ok())).await.unwrap();
    assert_eq!(uids().await, before, "a member more makes no account anew");
    assert!(lives(&world, &eves).await, "control: her token is good");

    // She becomes a viewer, who may ask for none.
    members(json!([ada, eve("Viewer")])).await;
    let gone = wait_for("her token to die", Duration::from_secs(60), async || Ok((!lives(&world, &eves).await).then_some(())));
    gone.await.expect("the token of a former editor lives on");
    ask(&client, "acme", WRITER, good()).await.expect_err("a viewer");
    let owner = world.server.client_as("ada@acme.example", &[]).await.unwrap();
    let adas = wait_for("a new token", SOON, async || Ok(ask(&owner, "acme", WRITER, good()).await.ok())).await.unwrap();
    assert!(lives(&world, &adas).await);
    // Seen by nobody again and again: the accounts stay.
    let after = uids().await;
    assert!(after.0 != before.0 && after.1 != before.1);
    members(json!([ada])).await;
    members(json!([ada, eve("Editor")])).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(uids().await, after, "a viewer who goes takes no token along");

    // The namespace is let go of: what was given there dies with the accounts.
    world.server.create_namespace("other").await.unwrap();
    tenants.patch("acme", &PatchParams::default(), &Patch::Merge(&json!({"spec": {"namespaces": ["other"]}}))).await.unwrap();
    let gone = wait_for("the owner's token to die", Duration::from_secs(60), async || Ok((!lives(&world, &adas).await).then_some(())));
    gone.await.expect("a token of a namespace that was let go of lives on");
}
