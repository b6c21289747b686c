//! Somebody who may write Connections, and may not read Secrets, wants a Secret's value at a server of their own. Every test ends with
//! the owner's consent, after which the value does go there: it could have gone there before.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use api::{Connection, conditions};
use kube::ResourceExt;
use reqwest::StatusCode;
use salesforce_emulator::{Emulator, Running};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::connections::{alive, nothing_is_stored, until_gone};
use crate::world::{HOME, World, spec_of};

/// What a Connection that was refused says.
async fn refused(world: &World, name: &str) -> Result<String> {
    let connection = world.until_connection(name, "ConsentMissing").await?;
    nothing_is_stored(world, &connection.uid().unwrap_or_default()).await?;
    let status = connection.status.unwrap_or_default();
    assert_eq!(status.credential_version, None, "{name}: something was taken in");
    Ok(conditions::find(&status.conditions, conditions::READY).map(|c| c.message.clone()).unwrap_or_default())
}

/// A Salesforce of the attacker's, which the Region lets the tenant reach.
async fn their_org(world: &World) -> Result<Running> {
    let theirs = Emulator::builder().start().await?;
    world.open(theirs.address.port()).await?;
    Ok(theirs)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_connection_does_not_take_a_secret_to_a_server_of_its_makers() -> Result<()> {
    let world = World::start().await?;
    let theirs = their_org(&world).await?;
    world.ready_connection("crm").await?;
    let spec = spec_of(&theirs, "crm", "Keep");
    world.put_connection("mine", spec.clone()).await?;
    let message = refused(&world, "mine").await?;
    assert_eq!(theirs.requests(), [], "somebody was logged in there");

    let digest = serde_json::from_value::<api::ConnectionSpec>(spec)?.endpoint_digest();
    for part in ["kubectl annotate secret crm -n acme --overwrite dataimporter.io/consent=crm=", &format!(",mine={digest}"), &theirs.url] {
        assert!(message.contains(part), "it does not say {part:?}: {message}");
    }
    let line = message.split("dataimporter.io/consent=").nth(1).and_then(|rest| rest.split_whitespace().next());
    world.set_consent("crm", line).await?;
    world.poke("mine").await?;
    world.until_connection("mine", "LoginRefused").await?;
    assert!(!theirs.requests().is_empty(), "control: with the owner's consent it goes there");
    world.until_connection("crm", "Verified").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_made_anew_does_not_take_the_secret_elsewhere() -> Result<()> {
    let world = World::start().await?;
    let theirs = their_org(&world).await?;
    world.ready_connection("crm").await?;
    world.delete::<Connection>(HOME, "crm").await?;
    until_gone(&world, "crm").await?;
    world.put_connection("crm", spec_of(&theirs, "crm", "Keep")).await?;
    refused(&world, "crm").await?;
    assert_eq!(theirs.requests(), [], "somebody was logged in there");
    // The consent names the endpoint, and the author of the Connection.
    world.put_connection("crm", world.org_spec("crm", "Keep")).await?;
    world.until_connection("crm", "Verified").await?;

    world.consent("crm", "crm", &spec_of(&theirs, "crm", "Keep")).await?;
    world.put_connection("crm", spec_of(&theirs, "crm", "Keep")).await?;
    world.until_connection("crm", "LoginRefused").await?;
    assert!(!theirs.requests().is_empty(), "control");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_pointed_at_another_secret_does_not_take_it_along() -> Result<()> {
    let world = World::start().await?;
    let theirs = their_org(&world).await?;
    world.ready_connection("crm").await?;
    // Their own Secret, for their own server, with their own consent.
    world.ready_connection_to(&theirs, "mine").await?;
    let before = theirs.requests().len();
    world.put_connection("mine", spec_of(&theirs, "crm", "Keep")).await?;
    world.until_connection("mine", "ConsentMissing").await?;
    assert_eq!(theirs.requests().len(), before, "it was shown the other Secret");

    world.consent("crm", "mine", &spec_of(&theirs, "crm", "Keep")).await?;
    world.poke("mine").await?;
    world.until_connection("mine", "LoginRefused").await?;
    assert!(theirs.requests().len() > before, "control");
    Ok(())
}

/// Takes connections and counts them.
async fn their_database() -> Result<(u16, Arc<AtomicUsize>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let (port, count) = (listener.local_addr()?.port(), Arc::new(AtomicUsize::new(0)));
    let counted = count.clone();
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    Ok((port, count))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_database_but_the_owners_is_even_dialled() -> Result<()> {
    let world = World::start().await?;
    let (port, dialled) = their_database().await?;
    world.open(port).await?;
    world.put_secret("warehouse", json!({"password": "secret"})).await?;
    world.allow("warehouse").await?;
    let database = |host: &str, port: u16, ca: &str| {
        json!({
            "postgres": {"host": host, "port": port, "database": "crm", "user": "reader", "tls": {"caBundle": ca, "serverName": "db"}},
            "credentials": {"secretRef": {"name": "warehouse", "afterIntake": "Keep"}},
        })
    };
    let authority = world.org.ca_pem.clone().unwrap_or_default();
    // Each differs from what the owner let in one part of the endpoint.
    world.consent("warehouse", "warehouse", &database("127.0.0.1", 5432, &authority)).await?;
    let attempts = [database("127.0.0.1", port, &authority), database("127.0.0.1", port, "another authority")];
    for spec in attempts {
        world.put_connection("warehouse", spec).await?;
        let message = refused(&world, "warehouse").await?;
        assert!(message.contains(&format!("127.0.0.1:{port}")), "{message}");
    }
    assert_eq!(dialled.load(Ordering::Relaxed), 0, "it was dialled");

    world.consent("warehouse", "warehouse", &database("127.0.0.1", port, &authority)).await?;
    world.put_connection("warehouse", database("127.0.0.1", port, &authority)).await?;
    testkit::wait_for("control: it is dialled", Duration::from_secs(30), async || Ok((dialled.load(Ordering::Relaxed) > 0).then_some(())))
        .await
}

/// An owner takes the consent back: nobody gets anything any more, at once, and what was stored goes with the next look.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_is_of_no_use_once_the_consent_is_withdrawn() -> Result<()> {
    let world = World::start().await?;
    let connection = world.ready_connection("crm").await?;
    let uid = connection.uid().unwrap_or_default();
    let worker = world.start_run("r1", &connection, None).await?;
    let token = world.worker_token(&worker).await?;
    let session = async || -> Result<StatusCode> {
        let asked: Value = json!({"attempt": 1, "connection": "crm", "refusedSha256": ""});
        Ok(world.post(&token, &format!("runs/{}/session", worker.uid), &asked).await?.status())
    };
    assert_eq!(session().await?, StatusCode::OK, "control");

    world.set_consent("crm", None).await?;
    assert_eq!(session().await?, StatusCode::FORBIDDEN, "it is used without consent");
    assert!(world.audit()?.lines().last().is_some_and(|line| line.contains("CallRefused") && line.contains("\"Consent\"")));
    world.poke("crm").await?;
    world.until_connection("crm", "ConsentMissing").await?;
    nothing_is_stored(&world, &uid).await?;
    assert_eq!(alive(&world).await?, 0, "a token outlived the consent");
    assert!(world.audit()?.contains("ConsentWithdrawn"));

    world.consent("crm", "crm", &world.org_spec("crm", "Keep")).await?;
    world.poke("crm").await?;
    let again = world.until_connection("crm", "Verified").await?;
    assert_eq!(again.status.and_then(|s| s.credential_version), Some(2));
    assert_eq!(session().await?, StatusCode::OK, "it is given again");
    Ok(())
}

/// The author of a Connection does not keep a credential whose owner took the consent back, by looking away from the Secret.
#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_consent_is_not_dodged() -> Result<()> {
    let world = World::start().await?;
    world.ready_connection("crm").await?;
    let mut suspended = world.org_spec("crm", "Keep");
    suspended["suspend"] = json!(true);
    world.put_connection("crm", suspended).await?;
    world.set_consent("crm", None).await?;
    world.poke("crm").await?;
    world.until_connection("crm", "ConsentMissing").await?;
    assert_eq!(alive(&world).await?, 0, "a suspended Connection keeps its tokens");

    world.ready_connection("second").await?;
    world.set_consent("second", None).await?;
    world.put_connection("second", world.org_spec("none", "Keep")).await?;
    world.until_connection("second", "NeedsReauthentication").await?;
    world.put_connection("second", world.org_spec("second", "Keep")).await?;
    world.until_connection("second", "ConsentMissing").await?;
    Ok(())
}
