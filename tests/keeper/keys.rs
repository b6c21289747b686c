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
