//! Keys: made, rotated under the records they hold, destroyed with the tenant. And what everybody may know.

use std::time::Duration;

use anyhow::Result;
use api::{Connection, Region, Tenant, Upload, conditions, names};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use testkit::wait_for;

use crate::world::{HOME, REGION, SYSTEM, World, is_true};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_publishes_who_we_are_and_says_loudly_where_the_root_key_lies() -> Result<()> {
    let world = World::start().await?;
    let maps = world.api::<ConfigMap>(SYSTEM);
    let installation = maps.get(names::INSTALLATION_CONFIGMAP).await?;
    assert_eq!(installation.immutable, Some(true));
    assert_eq!(installation.data.unwrap().get(names::INSTALLATION_UID_KEY), Some(&world.keeper.installation));
    let public = maps.get(names::PUBLIC_CONFIGMAP).await?.data.unwrap();
    assert_eq!(public.get(names::PUBLIC_GATEWAY_KEY).map(String::as_str), Some("files.example.com:443"));
    assert!(public.get(names::PUBLIC_CA_KEY).is_some_and(|pem| pem.contains("BEGIN CERTIFICATE")));
    let region = Api::<Region>::all(world.client.clone());
    let region = wait_for("the region's conditions", Duration::from_secs(20), async || {
        Ok(Some(region.get(REGION).await?).filter(|r| r.status.as_ref().is_some_and(|s| s.conditions.len() == 2)))
    })
    .await?;
    let found = region.status.unwrap().conditions;
    assert!(conditions::is_true(&found, conditions::STORAGE_READY));
    assert_eq!(conditions::find(&found, conditions::KEY_CUSTODY).unwrap().reason, "InCluster");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_when_asked_and_every_record_opens_under_the_new_one() -> Result<()> {
    let world = World::start().await?;
    world.put_upload("rows").await?;
    let writer = world.files_token(names::FILES_WRITER_ACCOUNT).await?;
    world.http.put(world.gateway("uploads/rows")).bearer_auth(writer).body("a\n1\n").send().await?.error_for_status()?;
    let upload = world.api::<Upload>(HOME).get("rows").await?;
    let connection = world.ready_connection("crm").await?;
    let before =
        world.until_tenant("one key", |t| t.status.as_ref().is_some_and(|s| s.keys.len() == 1)).await?.status.unwrap().keys[0].id.clone();

    // Times of keys have whole seconds on the server's clock.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let patch = json!({"metadata": {"annotations": {names::ROTATE_KEYS_ANNOTATION: jiff::Timestamp::now().to_string()}}});
    Api::<Tenant>::all(world.client.clone()).patch("acme", &PatchParams::default(), &Patch::Merge(patch)).await?;
    let rotated = world
        .until_tenant("a new active key", |t| {
            t.status.as_ref().is_some_and(|s| s.keys.iter().any(|k| k.state == "active" && k.id != before))
        })
        .await?;
    let keys = rotated.status.unwrap().keys;
    assert_eq!(keys.iter().find(|k| k.id == before).unwrap().state, "decryptOnly");
    let secrets = world.api::<Secret>(SYSTEM);
    wait_for("no record under the old key", Duration::from_secs(20), async || {
        let old = secrets.list(&kube::api::ListParams::default().labels(&format!("dataimporter.io/key-id={before}"))).await?;
        Ok(old.items.is_empty().then_some(()))
    })
    .await?;

    let worker = world.start_run("r1", &connection, Some(&upload)).await?;
    let token = world.worker_token(&worker).await?;
    let lease = world.post(&token, &format!("runs/{}/lease", worker.uid), &json!({"attempt": 1})).await?;
    assert_eq!(lease.status(), http::StatusCode::OK);

    // An hour later, with nothing left under it, the old key is gone for good.
    world.keeper.advance(jiff::SignedDuration::from_mins(30)).await?;
    for minutes in [0, 61] {
        world.keeper.advance(jiff::SignedDuration::from_mins(minutes)).await?;
        let poke = json!({"metadata": {"annotations": {names::RECONCILE_ANNOTATION: minutes.to_string()}}});
        Api::<Tenant>::all(world.client.clone()).patch("acme", &PatchParams::default(), &Patch::Merge(poke)).await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    world
        .until_tenant("the old key destroyed", |t| {
            t.status.as_ref().is_some_and(|s| s.keys.iter().any(|k| k.id == before && k.state == "destroyed"))
        })
        .await?;
    Ok(())
}

async fn ask_for_keys<K>(api: &Api<K>, name: &str, value: &str) -> Result<()>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let patch = json!({"metadata": {"annotations": {names::ROTATE_KEYS_ANNOTATION: value}}});
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

/// Lets the keeper look at the tenant so many times.
async fn look_again(world: &World, times: usize) -> Result<()> {
    for number in 0..times {
        let poke = json!({"metadata": {"annotations": {names::RECONCILE_ANNOTATION: format!("look-{number}")}}});
        Api::<Tenant>::all(world.client.clone()).patch("acme", &PatchParams::default(), &Patch::Merge(poke)).await?;
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    Ok(())
}

fn refused_because(tenant: &Tenant) -> Option<String> {
    let found = conditions::find(&tenant.status.as_ref()?.conditions, "RotationRefused")?;
    Some(format!("{}: {}", found.reason, found.message))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_new_keys_that_lies_in_the_future_or_cannot_be_read_makes_none_and_says_so() -> Result<()> {
    let world = World::start().await?;
    let tenants: Api<Tenant> = Api::all(world.client.clone());
    for (value, reason) in [("2099-01-01T00:00:00Z", "InTheFuture"), ("tomorrow", "Unreadable")] {
        ask_for_keys(&tenants, "acme", value).await?;
        look_again(&world, 6).await?;
        let tenant = world.until_tenant("a refusal", |t| refused_because(t).is_some_and(|why| why.starts_with(reason))).await?;
        println!("{}", refused_because(&tenant).unwrap_or_default());
        assert!(refused_because(&tenant).unwrap().contains(value), "{:?}", refused_because(&tenant));
        assert_eq!(tenant.status.unwrap().keys.len(), 1, "a key was made for {value}");
    }
    let regions: Api<Region> = Api::all(world.client.clone());
    ask_for_keys(&regions, REGION, "2099-01-01T00:00:00Z").await?;
    let region = wait_for("the region's refusal", Duration::from_secs(30), async || {
        let region = regions.get(REGION).await?;
        let conditions = region.status.unwrap_or_default().conditions;
        Ok(conditions::find(&conditions, "RotationRefused").cloned())
    })
    .await?;
    assert_eq!(region.reason, "InTheFuture");

    // Taken back, nothing is left of it.
    let gone = json!({"metadata": {"annotations": {names::ROTATE_KEYS_ANNOTATION: null}}});
    tenants.patch("acme", &PatchParams::default(), &Patch::Merge(gone)).await?;
    world.until_tenant("no refusal", |t| refused_because(t).is_none()).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_new_keys_all_the_time_gets_a_few_and_is_told() -> Result<()> {
    let world = World::start().await?;
    let tenants: Api<Tenant> = Api::all(world.client.clone());
    // A key that was made seals ten seconds later, and until then none is made beside it.
    let seconds = jiff::SignedDuration::from_secs(11);
    for number in 1..=12 {
        world.keeper.advance(seconds).await?;
        ask_for_keys(&tenants, "acme", &(jiff::Timestamp::now() + seconds * number).to_string()).await?;
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
    let tenant = world.until_tenant("a refusal", |t| refused_because(t).is_some_and(|why| why.starts_with("TooOften"))).await?;
    let keys = tenant.status.clone().unwrap().keys.len();
    println!("{keys} keys; {}", refused_because(&tenant).unwrap_or_default());
    assert!((2..=5).contains(&keys), "{keys} keys");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_tenant_is_erased_proved_and_only_then_gone() -> Result<()> {
    let world = World::start().await?;
    world.put_upload("rows").await?;
    let writer = world.files_token(names::FILES_WRITER_ACCOUNT).await?;
    world.http.put(world.gateway("uploads/rows")).bearer_auth(writer).body("a\n1\n").send().await?.error_for_status()?;
    world.ready_connection("crm").await?;
    let tenants: Api<Tenant> = Api::all(world.client.clone());
    let tenant = tenants.get("acme").await?;
    let uid = tenant.uid().unwrap();
    assert!(tenant.finalizers().iter().any(|f| f == names::TENANT_ERASURE_FINALIZER));
    assert!(is_true(tenant.status.as_ref().map(|s| s.conditions.as_slice()), conditions::KEYS_READY));
    tenants.delete("acme", &DeleteParams::default()).await?;
    wait_for("the Tenant to be gone", Duration::from_secs(30), async || Ok(tenants.get_opt("acme").await?.is_none().then_some(()))).await?;
    let secrets = world.api::<Secret>(SYSTEM);
    let left = secrets.list(&kube::api::ListParams::default().labels(&format!("dataimporter.io/tenant-uid={uid}"))).await?;
    assert!(left.items.is_empty(), "{:?}", left.items.iter().map(|s| s.name_any()).collect::<Vec<_>>());
    assert!(world.org.tokens().iter().all(|t| !t.active), "a token outlived the tenant");
    assert!(world.audit()?.contains("TenantErased"));
    // The Connection is still there for its owner to delete, and lets go.
    world.delete::<Connection>(HOME, "crm").await?;
    let connections = world.api::<Connection>(HOME);
    wait_for("the Connection to be gone", Duration::from_secs(20), async || Ok(connections.get_opt("crm").await?.is_none().then_some(())))
        .await?;
    Ok(())
}
