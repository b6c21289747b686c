//! The end of an installation, as the hook of an uninstall brings it about with the rights that the chart gives it.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api::{Connection, Tenant, conditions, names};
use dataimporter::drain::{self, Policy, drain};
use dataimporter::keeper;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Secret};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use testkit::{apply_yaml, wait_for};
use tokio_util::sync::CancellationToken;

use crate::connections::alive;
use crate::world::{Ground, HOME, SYSTEM, World, bind_tenant, is_true};

/// The hook's account, its rights as the chart renders them.
async fn hook(ground: &Ground) -> Result<Client> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let helm = root.join("target/kube/helm");
    ensure!(helm.exists(), "{} is missing; build it with: cargo xtask cluster build", helm.display());
    let rendered = Command::new(helm)
        .args(["template", "dataimporter", "charts/dataimporter", "--namespace", SYSTEM, "--show-only", "templates/drain.yaml"])
        .args(["--set", "regions={eu-frankfurt}", "--set", "image.tag=test"])
        .current_dir(root)
        .output()?;
    let text = String::from_utf8(rendered.stdout)?;
    ensure!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
    let rights: Vec<&str> = text.split("\n---\n").filter(|document| !document.contains("kind: Job")).collect();
    ensure!(rights.len() == 5, "the hook has an account, a ClusterRole, a Role and their bindings: {text}");
    apply_yaml(&ground.client, &rights.join("\n---\n")).await?;
    ground.server.client_as_service_account(SYSTEM, "dataimporter-drain").await
}

fn arguments(policy: Policy) -> drain::Args {
    drain::Args { policy, timeout_seconds: 60, namespace: SYSTEM.into() }
}

/// A keeper as its process runs it, with a tenant that is ready.
async fn installed() -> Result<(Ground, CancellationToken, tokio::task::JoinHandle<Result<()>>)> {
    let ground = Ground::prepare(Ipv4Addr::LOCALHOST.into()).await?;
    let stop = CancellationToken::new();
    let client = ground.server.client_as_service_account(SYSTEM, "dataimporter-keeper").await?;
    let keeper = tokio::spawn(keeper::keep(client, None, ground.keeper_arguments("keeper-0"), stop.clone()));
    let tenants: Api<Tenant> = Api::all(ground.client.clone());
    wait_for("the tenant's keys", Duration::from_secs(30), async || {
        let tenant = tenants.get("acme").await?;
        Ok(is_true(tenant.status.as_ref().map(|s| s.conditions.as_slice()), conditions::KEYS_READY).then_some(()))
    })
    .await?;
    Ok((ground, stop, keeper))
}

async fn kept(client: &Client) -> Result<Vec<String>> {
    let label = format!("{}={}", names::MANAGED_BY_LABEL, names::KEEPER_MANAGER);
    let ours = Api::<Secret>::namespaced(client.clone(), SYSTEM).list(&ListParams::default().labels(&label)).await?;
    Ok(ours.items.iter().map(ResourceExt::name_any).collect())
}

async fn installation(client: &Client) -> Result<Option<ConfigMap>> {
    Ok(Api::<ConfigMap>::namespaced(client.clone(), SYSTEM).get_opt(names::INSTALLATION_CONFIGMAP).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hook_of_an_uninstall_has_no_right_on_secrets() -> Result<()> {
    let world = World::start().await?;
    let hook = hook(&world).await?;
    assert!(!Api::<Tenant>::all(hook.clone()).list(&Default::default()).await?.items.is_empty(), "control: its rights are in effect");
    let name = kept(&world.client).await?.into_iter().next().context("control: the keeper keeps Secrets")?;
    let secrets = Api::<Secret>::namespaced(hook, SYSTEM);
    let dry = DeleteParams { dry_run: true, ..DeleteParams::default() };
    let answers = [
        secrets.list(&Default::default()).await.map(drop),
        secrets.get(&name).await.map(drop),
        secrets.delete(&name, &dry).await.map(drop),
    ];
    for answer in answers {
        assert!(matches!(&answer, Err(kube::Error::Api(status)) if status.code == 403), "{answer:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasing_uninstall_leaves_no_secret_and_makes_none_anew() -> Result<()> {
    let (ground, stop, keeper) = installed().await?;
    let before = kept(&ground.client).await?;
    assert!(
        before.iter().any(|name| name.starts_with("root-")) && before.contains(&"dataimporter-keeper-ca".into()),
        "control: {before:?}"
    );
    drain(hook(&ground).await?, arguments(Policy::Erase)).await?;
    assert_eq!(kept(&ground.client).await?, Vec::<String>::new());
    assert!(installation(&ground.client).await?.is_none(), "an installation that is no more has a name");
    // Its Region is there still, whose root key the keeper would make: it works no more.
    assert!(!keeper.is_finished(), "it waits for its end");
    stop.cancel();
    keeper.await??;
    assert_eq!(kept(&ground.client).await?, Vec::<String>::new());
    Ok(())
}

/// Begun again in the middle of the end, as after a crash.
#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_that_begins_while_it_is_to_end_makes_nothing() -> Result<()> {
    let (ground, stop, keeper) = installed().await?;
    Api::<Tenant>::all(ground.client.clone()).delete("acme", &Default::default()).await?;
    let tenants: Api<Tenant> = Api::all(ground.client.clone());
    wait_for("the Tenant to go", Duration::from_secs(30), async || Ok(tenants.get_opt("acme").await?.is_none().then_some(()))).await?;
    stop.cancel();
    keeper.await??;
    assert!(!kept(&ground.client).await?.is_empty(), "control");
    ask(&ground.client, None).await?;
    let stop = CancellationToken::new();
    let client = ground.server.client_as_service_account(SYSTEM, "dataimporter-keeper").await?;
    let again = tokio::spawn(keeper::keep(client, None, ground.keeper_arguments("keeper-0"), stop.clone()));
    wait_for("its answer", Duration::from_secs(30), async || {
        let map = installation(&ground.client).await?;
        Ok(map.filter(|map| map.annotations().contains_key(names::ERASED_ANNOTATION)).map(drop))
    })
    .await?;
    assert_eq!(kept(&ground.client).await?, Vec::<String>::new());
    stop.cancel();
    again.await?
}

/// What asks for the end, with the UID of the installation or another.
async fn ask(client: &Client, uid: Option<&str>) -> Result<()> {
    let map = installation(client).await?.context("an installation")?;
    let own = map.data.and_then(|mut data| data.remove(names::INSTALLATION_UID_KEY)).unwrap_or_default();
    let patch = json!({"metadata": {"annotations": {names::ERASE_ANNOTATION: uid.unwrap_or(&own)}}});
    let maps = Api::<ConfigMap>::namespaced(client.clone(), SYSTEM);
    maps.patch(names::INSTALLATION_CONFIGMAP, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

/// A caller that has the hook's account, and asks while somebody needs the keys, or another installation to end.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_erases_the_keys_of_tenants_by_asking() -> Result<()> {
    let (ground, stop, keeper) = installed().await?;
    let hook = hook(&ground).await?;
    let before = kept(&ground.client).await?;
    ask(&hook, None).await?;
    wait_for("the keeper to refuse", Duration::from_secs(30), async || {
        let map = installation(&ground.client).await?.context("an installation")?;
        Ok((!map.annotations().contains_key(names::ERASE_ANNOTATION)).then_some(()))
    })
    .await?;
    assert_eq!(kept(&ground.client).await?, before);
    ask(&hook, Some("another-installation")).await?;
    // The keeper works on.
    let tenants: Api<Tenant> = Api::all(ground.client.clone());
    tenants.delete("acme", &Default::default()).await?;
    wait_for("the keeper to serve the Tenant's finalizer", Duration::from_secs(30), async || {
        Ok(tenants.get_opt("acme").await?.is_none().then_some(()))
    })
    .await?;
    assert!(kept(&ground.client).await?.iter().any(|name| name.starts_with("root-")), "it ended for another installation");
    stop.cancel();
    keeper.await?
}

/// The keeper's StatefulSet, as an installation of the chart makes it; there are no pods here. Its UID.
async fn put_stateful_set(client: &Client, annotations: serde_json::Value) -> Result<String> {
    let set: StatefulSet = serde_json::from_value(json!({
        "metadata": {"name": "dataimporter-keeper", "annotations": annotations},
        "spec": {"replicas": 1, "serviceName": "keeper", "selector": {"matchLabels": {"app": "keeper"}}, "template": {
            "metadata": {"labels": {"app": "keeper"}}, "spec": {"containers": [{"name": "keeper", "image": "x"}]},
        }},
    }))?;
    let made = Api::namespaced(client.clone(), SYSTEM).create(&PostParams::default(), &set).await?;
    made.uid().context("a UID")
}

/// What a person says before they uninstall.
async fn consent(client: &Client, said: &str) -> Result<()> {
    let patch = Patch::Merge(json!({"metadata": {"annotations": {names::DRAIN_POLICY_ANNOTATION: said}}}));
    Api::<StatefulSet>::namespaced(client.clone(), SYSTEM).patch("dataimporter-keeper", &PatchParams::default(), &patch).await?;
    Ok(())
}

/// Obeyed once; then the same is installed again, under the same names and with the annotation still there.
async fn obeyed_once(policy: &str) -> Result<()> {
    let (ground, stop, keeper) = installed().await?;
    let tenants: Api<Tenant> = Api::all(ground.client.clone());
    let mut tenant = tenants.get("acme").await?;
    let hook = hook(&ground).await?;
    let uid = put_stateful_set(&ground.client, json!({})).await?;
    // Not for which installation: it tells.
    consent(&ground.client, policy).await?;
    let said = format!("{policy}/{uid}");
    let told = format!("{:#}", drain(hook.clone(), arguments(Policy::Refuse)).await.err().context("it is refused")?);
    assert!(told.contains(&format!("dataimporter-keeper -n {SYSTEM} --overwrite {}={said} ", names::DRAIN_POLICY_ANNOTATION)), "{told}");
    assert!(!tenants.get("acme").await?.finalizers().is_empty(), "control: nothing was touched");
    consent(&ground.client, &said).await?;
    drain(hook.clone(), arguments(Policy::Refuse)).await?;
    let gone = tenants.get_opt("acme").await?.is_none_or(|tenant| tenant.finalizers().is_empty());
    assert!(gone, "control: the consent was obeyed");
    stop.cancel();
    keeper.await??;
    let sets = Api::<StatefulSet>::namespaced(ground.client.clone(), SYSTEM);
    sets.delete("dataimporter-keeper", &DeleteParams::default()).await?;

    if tenants.get_opt("acme").await?.is_none() {
        tenant.metadata = serde_json::from_value(json!({"name": "acme"}))?;
        tenant.status = None;
        tenants.create(&PostParams::default(), &tenant).await?;
        bind_tenant(&ground.client).await?;
    }
    put_stateful_set(&ground.client, json!({names::DRAIN_POLICY_ANNOTATION: said})).await?;
    let stop = CancellationToken::new();
    let client = ground.server.client_as_service_account(SYSTEM, "dataimporter-keeper").await?;
    let keeper = tokio::spawn(keeper::keep(client, None, ground.keeper_arguments("keeper-0"), stop.clone()));
    wait_for("the next keeper to take hold of the tenant", Duration::from_secs(30), async || {
        Ok((!tenants.get("acme").await?.finalizers().is_empty()).then_some(()))
    })
    .await?;
    let outcome = drain(hook, arguments(Policy::Refuse)).await;
    let after = tenants.get_opt("acme").await?;
    let (found, held) = (after.is_some(), after.is_some_and(|tenant| !tenant.finalizers().is_empty()));
    assert!(outcome.is_err() && held, "the next installation: {outcome:?}, its Tenant is there: {found}, held: {held}");
    stop.cancel();
    keeper.await?
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_to_erase_that_is_left_over_erases_no_next_installation() -> Result<()> {
    obeyed_once("Erase").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_to_release_that_is_left_over_releases_no_next_installation() -> Result<()> {
    obeyed_once("Release").await
}

#[tokio::test(flavor = "multi_thread")]
async fn why_an_uninstall_was_refused_outlives_the_hook() -> Result<()> {
    let world = World::start().await?;
    world.ready_connection("crm").await?;
    put_stateful_set(&world.client, json!({})).await?;
    let hook = hook(&world).await?;
    let error = drain(hook, arguments(Policy::Refuse)).await.err().context("it is refused")?;
    let events = world.api::<Event>(SYSTEM).list(&Default::default()).await?;
    let told = events.items.into_iter().find(|event| event.reason.as_deref() == Some("DrainFailed")).context("an event")?;
    let text = told.message.unwrap_or_default();
    for part in ["Nothing was removed", names::DRAIN_POLICY_ANNOTATION, "Connection acme/crm", "Tenant acme"] {
        assert!(text.contains(part) && format!("{error:#}").contains(part), "it does not say {part:?}: {text}");
    }
    assert!(world.api::<Connection>(HOME).get_opt("crm").await?.is_some() && alive(&world).await? > 0);
    Ok(())
}
