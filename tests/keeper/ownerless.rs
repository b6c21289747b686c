//! A Connection that went without us, because somebody took our finalizer off: its tokens are revoked all the same.

use std::time::Duration;

use anyhow::{Context, Result};
use api::{Connection, Tenant};
use jiff::SignedDuration;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use testkit::wait_for;

use crate::connections::{alive, do_not_answer_the_keeper, nothing_is_stored, until_gone};
use crate::world::{HOME, World};

/// Takes the finalizer off before it is deleted, so that the keeper is never asked.
pub(crate) async fn force_away(world: &World, name: &str) -> Result<()> {
    let free = json!({"metadata": {"finalizers": null}});
    world.api::<Connection>(HOME).patch(name, &PatchParams::default(), &Patch::Merge(free)).await?;
    world.delete::<Connection>(HOME, name).await?;
    until_gone(world, name).await
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_a_connection_that_was_forced_away_are_revoked_by_the_sweep() -> Result<()> {
    let world = World::start().await?;
    let uid = world.ready_connection("crm").await?.uid().unwrap_or_default();
    force_away(&world, "crm").await?;
    assert!(alive(&world).await? > 0, "control: it went without revoking");
    world.keeper.advance(SignedDuration::ZERO).await?;
    assert_eq!(alive(&world).await?, 0, "its record went, and its token lives");
    nothing_is_stored(&world, &uid).await?;
    let audit = world.audit()?;
    assert!(audit.lines().any(|line| line.contains("OwnerlessRevoked") && line.contains(&uid)), "nothing in the audit: {audit}");
    Ok(())
}

/// Another one of its name is another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_made_anew_does_not_shelter_the_tokens_of_the_one_before() -> Result<()> {
    let world = World::start().await?;
    let uid = world.ready_connection("crm").await?.uid().unwrap_or_default();
    let first = world.org.tokens().into_iter().map(|t| t.token).collect::<Vec<_>>();
    force_away(&world, "crm").await?;
    world.ready_connection("crm").await?;
    world.keeper.advance(SignedDuration::ZERO).await?;
    let outlived = world.org.tokens().into_iter().filter(|t| t.active && first.contains(&t.token)).count();
    assert_eq!(outlived, 0, "a token outlived its Connection");
    assert!(alive(&world).await? > 0, "control: the new one has its own");
    nothing_is_stored(&world, &uid).await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_org_is_down_they_are_kept_and_after_ten_minutes_that_is_said() -> Result<()> {
    let world = World::start().await?;
    let uid = world.ready_connection("crm").await?.uid().unwrap_or_default();
    do_not_answer_the_keeper(&world);
    force_away(&world, "crm").await?;
    world.keeper.advance(SignedDuration::ZERO).await?;
    assert!(world.secret_exists(&format!("tokens-{uid}")).await?, "they are forgotten while they live");
    assert!(!world.secret_exists(&format!("connection-{uid}")).await?, "a credential of nobody is kept");
    world.keeper.advance(SignedDuration::from_mins(5)).await?;
    assert!(world.secret_exists(&format!("tokens-{uid}")).await?, "given up too early");
    world.keeper.advance(SignedDuration::from_mins(6)).await?;
    nothing_is_stored(&world, &uid).await?;
    assert!(alive(&world).await? > 0, "control: what is said is true");
    assert!(world.audit()?.lines().any(|line| line.contains("RevocationFailed") && line.contains(&uid)), "nothing in the audit");
    let events = Api::<k8s_openapi::api::core::v1::Event>::all(world.client.clone()).list(&Default::default()).await?;
    let said = events.items.into_iter().find(|e| e.reason.as_deref() == Some("RevocationFailed")).context("an event on the Tenant")?;
    assert_eq!(said.involved_object.kind.as_deref(), Some("Tenant"));
    assert!(said.message.unwrap_or_default().contains("acme/crm"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_takes_along_the_tokens_of_a_connection_that_is_gone() -> Result<()> {
    let world = World::start().await?;
    let uid = world.ready_connection("crm").await?.uid().unwrap_or_default();
    force_away(&world, "crm").await?;
    assert!(alive(&world).await? > 0, "control");
    let tenants: Api<Tenant> = Api::all(world.client.clone());
    tenants.delete("acme", &Default::default()).await?;
    wait_for("the Tenant to be gone", Duration::from_secs(30), async || Ok(tenants.get_opt("acme").await?.is_none().then_some(()))).await?;
    assert_eq!(alive(&world).await?, 0, "a token outlived its tenant");
    nothing_is_stored(&world, &uid).await
}
