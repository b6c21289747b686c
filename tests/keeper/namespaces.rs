//! A namespace deleted and made anew under the same name is somebody else's: nothing of the tenant reaches it until the Tenant's status
//! names it, and what the old one left is ended all the same.

use std::time::Duration;

use anyhow::Result;
use api::{Connection, Tenant};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use testkit::wait_for;

use crate::connections::{alive, nothing_is_stored, until_gone};
use crate::world::{HOME, World, bind_tenant, ready_reason};

/// The namespace controller does not run here: it is empty, and goes.
async fn make_anew(world: &World) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    namespaces.delete(HOME, &DeleteParams::default()).await?;
    let mut namespace = namespaces.get(HOME).await?;
    namespace.spec = None;
    namespaces.replace_subresource("finalize", HOME, &PostParams::default(), &namespace).await?;
    wait_for("the namespace to be gone", Duration::from_secs(30), async || Ok(namespaces.get_opt(HOME).await?.is_none().then_some(())))
        .await?;
    let made: Namespace = serde_json::from_value(json!({"metadata": {"name": HOME}}))?;
    namespaces.create(&PostParams::default(), &made).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_made_anew_gets_nothing_of_the_tenant() -> Result<()> {
    let world = World::start().await?;
    world.ready_connection("crm").await?;
    world.delete::<Connection>(HOME, "crm").await?;
    until_gone(&world, "crm").await?;
    world.delete::<k8s_openapi::api::core::v1::Secret>(HOME, "crm").await?;
    make_anew(&world).await?;

    // Its new owner does everything that the owner of a tenant's namespace does.
    let logins = world.org.requests().len();
    world.put_secret("crm", json!({"clientSecret": world.org.client_secret})).await?;
    world.allow("crm").await?;
    world.consent("crm", "crm", &world.org_spec("crm", "Keep")).await?;
    world.put_connection("crm", world.org_spec("crm", "Keep")).await?;
    let refused = world.until_connection("crm", "NamespaceNotHeld").await?;
    nothing_is_stored(&world, &refused.uid().unwrap_or_default()).await?;
    assert_eq!(world.org.requests().len(), logins, "it went through the private endpoint of the old tenant");
    // Such a Connection does not hang, either.
    world.delete::<Connection>(HOME, "crm").await?;
    until_gone(&world, "crm").await?;

    bind_tenant(&world.client).await?;
    world.put_connection("crm", world.org_spec("crm", "Keep")).await?;
    world.until_connection("crm", "Verified").await?;
    Ok(())
}

/// Its finalizers were taken off, so the old namespace went without us.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_namespace_left_is_revoked_though_another_has_its_name() -> Result<()> {
    let world = World::start().await?;
    let uid = world.ready_connection("crm").await?.uid().unwrap_or_default();
    crate::ownerless::force_away(&world, "crm").await?;
    make_anew(&world).await?;
    world.put_connection("crm", world.org_spec("crm", "Keep")).await?;
    world
        .until::<Connection>("crm", "the new one to be looked at", |c| {
            ready_reason(c.status.as_ref().map(|s| s.conditions.as_slice())) == Some("NamespaceNotHeld")
        })
        .await?;
    assert!(alive(&world).await? > 0, "control");
    let tenants: Api<Tenant> = Api::all(world.client.clone());
    tenants.delete("acme", &DeleteParams::default()).await?;
    wait_for("the Tenant to be gone", Duration::from_secs(30), async || Ok(tenants.get_opt("acme").await?.is_none().then_some(()))).await?;
    assert_eq!(alive(&world).await?, 0, "a token outlived its tenant");
    nothing_is_stored(&world, &uid).await
}
