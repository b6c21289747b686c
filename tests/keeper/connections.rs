//! Intake, verification, the refusal to send a stored secret elsewhere, disconnect.

use std::time::Duration;

use anyhow::Result;
use api::{Connection, ImportRun, conditions, names};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use serde_json::json;
use testkit::wait_for;

use crate::world::{HOME, World, is_true};

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_taken_in_shown_to_the_org_and_followed_when_it_changes() -> Result<()> {
    let world = World::start().await?;
    world.put_secret("crm", json!({"clientSecret": "wrong-at-first"})).await?;
    world.put_connection("crm", world.org_spec("crm", "Keep")).await?;

    let refused = world.until_connection("crm", "SourceForbidden").await?;
    let message = &conditions::find(&refused.status.unwrap().conditions, conditions::READY).unwrap().message.clone();
    assert!(message.contains("resourceNames [crm]") && message.contains("kubectl import intake acme/crm"), "{message}");

    world.allow("crm").await?;
    poke(&world, "crm").await?;
    world.until_connection("crm", "LoginRefused").await?;

    world.put_secret("crm", json!({"clientSecret": world.org.client_secret})).await?;
    poke(&world, "crm").await?;
    let ready = world.until_connection("crm", "Verified").await?;
    let status = ready.status.clone().unwrap();
    let metadata = status.metadata.clone().unwrap();
    assert_eq!(status.credential_version, Some(2));
    assert_eq!(metadata.user.as_deref(), Some(world.org.username.as_str()));
    assert!(metadata.org_id.is_some() && metadata.system.unwrap().starts_with("Salesforce 00D"));
    assert_eq!(status.endpoint_digest, Some(ready.spec.endpoint_digest()));
    assert!(is_true(Some(&status.conditions), conditions::PLAINTEXT_SOURCE));
    assert!(ready.finalizers().iter().any(|f| f == names::CONNECTION_REVOKE_FINALIZER));

    let stored = world.everything_stored().await?;
    for secret in [world.org.client_secret.as_bytes(), hex::encode(&world.org.client_secret).as_bytes()] {
        assert!(!stored.windows(secret.len()).any(|w| w == secret), "the secret lies in the system namespace in clear");
    }
    let token = world.org.tokens().into_iter().find(|t| t.active).expect("the org issued a token").token;
    assert!(!stored.windows(token.len()).any(|w| w == token.as_bytes()), "a token lies in the system namespace in clear");
    assert!(world.audit()?.contains("CredentialStored"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_should_go_goes_unless_a_tool_would_bring_it_back() -> Result<()> {
    let world = World::start().await?;
    world.put_secret("crm", json!({"clientSecret": world.org.client_secret})).await?;
    world.allow("crm").await?;
    let secrets = world.api::<Secret>(HOME);
    let managed = json!({"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}});
    secrets.patch("crm", &Default::default(), &kube::api::Patch::Merge(managed)).await?;
    world.put_connection("crm", world.org_spec("crm", "Delete")).await?;
    world.until_connection("crm", "SourceManaged").await?;
    assert!(secrets.get_opt("crm").await?.is_some());

    let unmanaged = json!({"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/name": null}}});
    secrets.patch("crm", &Default::default(), &kube::api::Patch::Merge(unmanaged)).await?;
    poke(&world, "crm").await?;
    let ready = world.until_connection("crm", "Verified").await?;
    assert!(secrets.get_opt("crm").await?.is_none());
    assert!(!is_true(ready.status.as_ref().map(|s| s.conditions.as_slice()), conditions::PLAINTEXT_SOURCE));
    // Without its source the credential stays usable.
    poke(&world, "crm").await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.until_connection("crm", "Verified").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_secret_is_not_sent_to_another_endpoint_until_it_is_given_anew() -> Result<()> {
    let world = World::start().await?;
    world.ready_connection("crm").await?;
    let evil = salesforce_emulator::Emulator::builder().start().await?;
    let mut spec = world.org_spec("crm", "Keep");
    spec["salesforce"]["loginUrl"] = json!(evil.url);
    spec["salesforce"]["tls"]["caBundle"] = json!(evil.ca_pem);
    world.put_connection("crm", spec).await?;
    world.until_connection("crm", "NeedsReauthentication").await?;
    assert!(evil.requests().is_empty(), "the other endpoint was asked");

    world.put_connection("crm", world.org_spec("crm", "Keep")).await?;
    world.until_connection("crm", "Verified").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_login_hosts_of_salesforce_and_of_the_region_see_a_secret() -> Result<()> {
    let world = World::start().await?;
    world.put_secret("crm", json!({"clientSecret": "s"})).await?;
    world.allow("crm").await?;
    let mut spec = world.org_spec("crm", "Keep");
    spec["salesforce"]["loginUrl"] = json!(format!("https://localhost:{}", world.org.address.port()));
    world.put_connection("crm", spec).await?;
    world.until_connection("crm", "HostRefused").await?;
    assert!(world.org.requests().is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disconnect_stops_runs_revokes_every_token_and_destroys_the_record() -> Result<()> {
    let world = World::start().await?;
    let connection = world.ready_connection("crm").await?;
    let uid = connection.uid().unwrap();
    let worker = world.start_run("r1", &connection, None).await?;
    assert!(world.org.tokens().iter().any(|t| t.active), "a token is alive before");
    world.delete::<Connection>(HOME, "crm").await?;

    let runs = world.api::<ImportRun>(HOME);
    wait_for("the run to be cancelled", Duration::from_secs(20), async || Ok(runs.get(&worker.run).await?.spec.cancelled().then_some(())))
        .await?;
    assert!(world.api::<Connection>(HOME).get_opt("crm").await?.is_some(), "the Connection waits for its run");
    world.finish_run(&worker).await?;
    let connections = world.api::<Connection>(HOME);
    wait_for("the Connection to be gone", Duration::from_secs(20), async || Ok(connections.get_opt("crm").await?.is_none().then_some(())))
        .await?;
    assert!(world.org.tokens().iter().all(|t| !t.active), "a token outlived the Connection");
    assert!(!world.secret_exists(&format!("connection-{uid}")).await?);
    assert!(!world.secret_exists(&format!("tokens-{uid}")).await?);
    let audit = world.audit()?;
    assert!(audit.contains("CredentialDestroyed"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_connection_keeps_its_last_word() -> Result<()> {
    let world = World::start().await?;
    world.ready_connection("crm").await?;
    let mut spec = world.org_spec("crm", "Keep");
    spec["suspend"] = json!(true);
    world.put_connection("crm", spec).await?;
    world.put_secret("crm", json!({"clientSecret": "changed"})).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let connection = world.until_connection("crm", "Verified").await?;
    assert_eq!(connection.status.unwrap().credential_version, Some(1));
    Ok(())
}

/// Any change of the annotation asks for a look now instead of within a minute.
async fn poke(world: &World, name: &str) -> Result<()> {
    let value = jiff::Timestamp::now().to_string();
    let patch = json!({"metadata": {"annotations": {names::RECONCILE_ANNOTATION: value}}});
    world.api::<Connection>(HOME).patch(name, &Default::default(), &kube::api::Patch::Merge(patch)).await?;
    Ok(())
}
