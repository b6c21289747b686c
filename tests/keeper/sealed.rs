//! Credentials that lie sealed in their Connections: taken in where they were sealed for, and nowhere else.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api::seal_key::PublishedSealKey;
use api::{Connection, Region, Upload, conditions, names};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use salesforce_emulator::Emulator;
use serde_json::{Value, json};
use testkit::wait_for;

use crate::connections::nothing_is_stored;
use crate::plugin::{Desk, label_accounts};
use crate::world::{HOME, REGION, SYSTEM, World, spec_of};

/// The key that the Region publishes, once it is not `unlike`.
pub(crate) async fn published(world: &World, unlike: Option<&str>) -> Result<PublishedSealKey> {
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), SYSTEM);
    wait_for("a key for sealing", Duration::from_secs(30), async || {
        let data = maps.get(names::PUBLIC_CONFIGMAP).await?.data.unwrap_or_default();
        let Some(text) = data.get(&names::public_seal_key(REGION)) else { return Ok(None) };
        let key: PublishedSealKey = serde_saphyr::from_str(text)?;
        Ok(Some(key).filter(|key| Some(key.kid.as_str()) != unlike))
    })
    .await
}

async fn poke_region(world: &World) -> Result<()> {
    let patch = json!({"metadata": {"annotations": {names::RECONCILE_ANNOTATION: jiff::Timestamp::now().to_string()}}});
    Api::<Region>::all(world.client.clone()).patch(REGION, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

fn manifest(name: &str, spec: &Value) -> String {
    json!({"apiVersion": "dataimporter.io/v1alpha1", "kind": "Connection", "metadata": {"name": name, "namespace": HOME}, "spec": spec})
        .to_string()
}

/// What `kubectl import seal` makes of this Connection and the value of its one entry.
async fn sealed(desk: &Desk, name: &str, spec: &Value, value: &str, more: &[&str]) -> Result<Connection> {
    let (connection, value) = (desk.write("connection.json", &manifest(name, spec))?, desk.write("value", value)?);
    let from_file = format!("clientSecret={value}");
    let output = desk.call(&[&["seal", "-f", &connection, "--from-file", &from_file], more].concat()).await?;
    let (out, err) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    ensure!(output.status.success(), "seal: {err}");
    ensure!(err.contains(&format!("sealed clientSecret for Connection {HOME}/{name} of Tenant acme in Region {REGION}, for ")), "{err}");
    serde_saphyr::from_str(&out).context("seal prints one Connection")
}

async fn put(world: &World, name: &str, connection: &Connection, spec: &Value) -> Result<()> {
    let mut spec = spec.clone();
    spec["credentials"] = json!(connection.spec.credentials);
    world.put_connection(name, spec).await
}

/// What the worker of a new run is answered that asks for the credential.
async fn lease(world: &World, run: &str, connection: &Connection) -> Result<http::StatusCode> {
    world.put_upload(run).await?;
    let writer = world.files_token(names::FILES_WRITER_ACCOUNT).await?;
    let path = world.gateway(&format!("uploads/{run}"));
    world.http.put(path).bearer_auth(writer).body("a\n1\n").send().await?.error_for_status()?;
    let upload = world.api::<Upload>(HOME).get(run).await?;
    let worker = world.start_run(run, connection, Some(&upload)).await?;
    let token = world.worker_token(&worker).await?;
    Ok(world.post(&token, &format!("runs/{}/lease", worker.uid), &json!({"attempt": 1})).await?.status())
}

fn ready(connection: &Connection) -> String {
    let status = connection.status.clone().unwrap_or_default();
    conditions::find(&status.conditions, conditions::READY).map(|c| c.message.clone()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_credential_needs_no_secret_and_no_role_and_opens_at_its_own_endpoint_only() -> Result<()> {
    let world = World::start().await?;
    label_accounts(&world).await?;
    let desk = Desk::new(&world.server)?;
    published(&world, None).await?;
    let spec = world.org_spec("nobody", "Keep");
    let secret = world.org.client_secret.clone();
    let made = sealed(&desk, "crm", &spec, &secret, &[]).await?;
    ensure!(!serde_json::to_string(&made)?.contains(&secret), "the secret is in the manifest");

    // Under another name, and at a server of somebody who may write Connections.
    let theirs = Emulator::builder().start().await?;
    world.open(theirs.address.port()).await?;
    for (name, spec) in [("mine", &spec), ("crm", &spec_of(&theirs, "nobody", "Keep"))] {
        put(&world, name, &made, spec).await?;
        let refused = world.until_connection(name, "SealedForAnother").await?;
        nothing_is_stored(&world, &refused.uid().unwrap_or_default()).await?;
        ensure!(
            ready(&refused).contains(&format!("as clientSecret of Connection {HOME}/{name}, tenant acme, for ")),
            "{}",
            ready(&refused)
        );
        ensure!(ready(&refused).contains("kubectl import seal-key eu"), "{}", ready(&refused));
    }
    assert_eq!(theirs.requests(), [], "somebody was logged in there");

    put(&world, "crm", &made, &spec).await?;
    let taken_in = world.until_connection("crm", "Verified").await?;
    let status = taken_in.status.clone().unwrap_or_default();
    assert_eq!(status.credential_version, Some(1));
    assert!(conditions::find(&status.conditions, conditions::PLAINTEXT_SOURCE).is_none(), "nothing lies in clear");
    assert!(world.api::<Secret>(HOME).list(&ListParams::default()).await?.items.is_empty(), "control: there is no Secret at all");
    assert!(!String::from_utf8_lossy(&world.everything_stored().await?).contains(&secret), "stored in clear");

    // Its holder points it at their own server: what is stored does not go there either.
    put(&world, "crm", &made, &spec_of(&theirs, "nobody", "Keep")).await?;
    world.until_connection("crm", "SealedForAnother").await?;
    assert_eq!(theirs.requests(), [], "somebody was logged in there");
    assert_eq!(lease(&world, "away", &taken_in).await?, http::StatusCode::FORBIDDEN, "no run gets it there");
    put(&world, "crm", &made, &spec).await?;
    let back = world.until_connection("crm", "Verified").await?;
    assert_eq!(back.status.unwrap_or_default().credential_version, Some(1), "what is stored was good all the time");

    // A wrong value is told with the way out, and the right one sealed again is the next version.
    let wrong = sealed(&desk, "crm", &spec, "not-the-secret", &[]).await?;
    put(&world, "crm", &wrong, &spec).await?;
    let refused = world.until_connection("crm", "LoginRefused").await?;
    ensure!(ready(&refused).contains("seal clientSecret again"), "{}", ready(&refused));
    put(&world, "crm", &sealed(&desk, "crm", &spec, &secret, &[]).await?, &spec).await?;
    let again = world.until_connection("crm", "Verified").await?;
    assert_eq!(again.status.unwrap_or_default().credential_version, Some(3));
    let live = world.api::<Connection>(HOME).get("crm").await?;
    assert_eq!(lease(&world, "home", &live).await?, http::StatusCode::OK, "control");
    Ok(())
}

/// Each Region's key stands for itself, and goes with it.
#[tokio::test(flavor = "multi_thread")]
async fn every_region_publishes_its_own_key_for_as_long_as_it_is_there() -> Result<()> {
    let world = World::start().await?;
    let first = published(&world, None).await?;
    let regions: Api<Region> = Api::all(world.client.clone());
    let spec = regions.get(REGION).await?.spec;
    regions.create(&PostParams::default(), &Region::new("us-dallas", spec)).await?;
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), SYSTEM);
    let data = async || Ok::<_, anyhow::Error>(maps.get(names::PUBLIC_CONFIGMAP).await?.data.unwrap_or_default());
    let second = wait_for("a key of the other Region", Duration::from_secs(30), async || {
        Ok(data().await?.get(&names::public_seal_key("us-dallas")).cloned())
    })
    .await?;
    let second: PublishedSealKey = serde_saphyr::from_str(&second)?;
    assert_ne!((&first.kid, &first.public_key), (&second.kid, &second.public_key));

    regions.delete("us-dallas", &DeleteParams::default()).await?;
    wait_for("its key to go with it", Duration::from_secs(30), async || {
        Ok((!data().await?.contains_key(&names::public_seal_key("us-dallas"))).then_some(()))
    })
    .await?;
    let left = data().await?;
    assert!(left.contains_key(&names::public_seal_key(REGION)) && left.contains_key(names::PUBLIC_CA_KEY), "{:?}", left.keys());
    Ok(())
}

/// Keys are published for thirty days and open for sixty more; what was taken in does not need them.
#[tokio::test(flavor = "multi_thread")]
async fn keys_for_sealing_end_and_what_was_taken_in_stays() -> Result<()> {
    let world = World::start().await?;
    label_accounts(&world).await?;
    let desk = Desk::new(&world.server)?;
    let first = published(&world, None).await?;
    let printed = desk.call(&["seal-key", REGION]).await?;
    let file = desk.write("seal-key.yaml", &String::from_utf8(printed.stdout)?)?;
    let spec = world.org_spec("nobody", "Keep");
    let secret = world.org.client_secret.clone();
    let offline = ["--seal-key", file.as_str(), "--tenant", "acme"];
    put(&world, "early", &sealed(&desk, "early", &spec, &secret, &offline).await?, &spec).await?;
    world.until_connection("early", "Verified").await?;
    // Merged two months later, and too late.
    let (late, too_late) =
        (sealed(&desk, "late", &spec, &secret, &offline).await?, sealed(&desk, "too-late", &spec, &secret, &offline).await?);

    world.keeper.advance(SignedDuration::from_hours(31 * 24)).await?;
    poke_region(&world).await?;
    let second = published(&world, Some(&first.kid)).await?;
    assert!(second.opens_until.0 > first.opens_until.0);
    // When every keeper knows of it, the sixty days of the first one begin.
    world.keeper.advance(SignedDuration::from_secs(11)).await?;
    poke_region(&world).await?;
    wait_for("the first key to settle", Duration::from_secs(30), async || {
        let all = world.api::<Secret>(SYSTEM).list(&ListParams::default()).await?;
        let of_sealing = all.items.into_iter().filter(|secret| secret.name_any().starts_with("seal-keys-"));
        let rings: Vec<_> = of_sealing.flat_map(|secret| secret.data.unwrap_or_default().into_values()).collect();
        Ok(rings.iter().any(|ring| String::from_utf8_lossy(&ring.0).contains("settlingSince")).then_some(()))
    })
    .await?;
    world.keeper.advance(SignedDuration::from_hours(58 * 24)).await?;
    put(&world, "late", &late, &spec).await?;
    world.until_connection("late", "Verified").await?;

    world.keeper.advance(SignedDuration::from_hours(3 * 24)).await?;
    poke_region(&world).await?;
    let third = published(&world, Some(&second.kid)).await?;
    put(&world, "too-late", &too_late, &spec).await?;
    let refused = world.until_connection("too-late", "SealKeyUnknown").await?;
    ensure!(ready(&refused).contains(&first.kid) && ready(&refused).contains("kubectl import seal"), "{}", ready(&refused));
    for name in ["early", "late"] {
        // A look at it now says SealKeyUnknown if it has to be opened.
        world.poke(name).await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        world.until_connection(name, "Verified").await?;
    }
    assert_ne!(third.kid, first.kid);
    Ok(())
}
