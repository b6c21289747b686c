//! The keeper's certificate authority as weeks pass: who is trusted, who signs, and what a client sees that knows only a part of it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api::names;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use testkit::Line;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::world::{SYSTEM, World, start_keeper_later};

const DAY: SignedDuration = SignedDuration::from_hours(24);
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// The clock of a client for which as much time has passed as for the keeper.
#[derive(Debug)]
struct Later(SignedDuration);

impl TimeProvider for Later {
    fn current_time(&self) -> Option<UnixTime> {
        let now = (Timestamp::now() + self.0).duration_since(Timestamp::UNIX_EPOCH);
        Some(UnixTime::since_unix_epoch(Duration::try_from(now).ok()?))
    }
}

/// A handshake with the keeper's gateway, of a client that trusts this bundle when so much time has passed.
async fn greets(world: &World, bundle: &str, passed: SignedDuration) -> Result<()> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_details(provider, Arc::new(Later(passed)));
    let config = config.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth();
    let address = world.keeper.gateway_address;
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::IpAddress(address.ip().into()), stream).await?;
    Ok(())
}

async fn published(world: &World) -> Result<String> {
    let map = world.api::<ConfigMap>(SYSTEM).get(names::PUBLIC_CONFIGMAP).await?;
    map.data.and_then(|mut data| data.remove(names::PUBLIC_CA_KEY)).context("a published authority")
}

/// What the Secret holds, in the words of its keys.
async fn stored(world: &World) -> Result<Vec<(String, Vec<u8>)>> {
    let secret = world.api::<Secret>(SYSTEM).get("dataimporter-keeper-ca").await?;
    Ok(secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect())
}

fn certificates(bundle: &str) -> usize {
    bundle.matches("BEGIN CERTIFICATE").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_authority_is_trusted_for_eight_days_before_it_signs_and_the_old_key_is_gone_an_hour_later() -> Result<()> {
    let world = World::start().await?;
    let first = published(&world).await?;
    let old_key = stored(&world).await?.into_iter().find(|(key, _)| key == "ca.key").context("its key")?.1;
    ensure!(certificates(&first) == 1 && first == world.keeper.ca_pem());
    greets(&world, &first, SignedDuration::ZERO).await?;

    world.keeper.advance(DAY * 19).await?;
    ensure!(published(&world).await? == first, "nothing is due before two thirds of its life");
    greets(&world, &first, DAY * 19).await.context("with the leaf of the third week")?;

    // Made and published, and signs nothing.
    world.keeper.advance(DAY).await?;
    let both = published(&world).await?;
    ensure!(certificates(&both) == 2 && both.starts_with(&first), "the next one beside the current one: {both}");
    let next = both[first.len()..].to_owned();
    greets(&world, &first, DAY * 20).await.context("who knows only the current one")?;
    ensure!(greets(&world, &next, DAY * 20).await.is_err(), "the next one signs nothing yet");

    // A keeper that begins anew, and one more beside it, go on with both.
    let world = world.restart_after(DAY * 20).await?;
    ensure!(published(&world).await? == both, "a restart makes nothing anew");
    let other = start_keeper_later(world.server.clone(), world.keeper_arguments("keeper-1"), Line::default(), DAY * 20).await?;
    ensure!(other.ca_pem() == both);

    world.keeper.advance(DAY * 8 - HOUR).await?;
    greets(&world, &first, DAY * 28 - HOUR).await.context("until the next one signs")?;
    world.keeper.advance(HOUR).await?;
    greets(&world, &both, DAY * 28).await.context("who knows both")?;
    greets(&world, &next, DAY * 28).await.context("who knows the next one")?;
    ensure!(greets(&world, &first, DAY * 28).await.is_err(), "who knows only the old one is served no longer");
    ensure!(published(&world).await? == both, "the other keeper may still serve what the old one signed");

    // Begun anew in this hour, it serves what the next one signed.
    let world = world.restart_after(DAY * 28).await?;
    greets(&world, &next, DAY * 28).await.context("after another start")?;
    let two = tokio::try_join!(world.keeper.advance(HOUR * 2), other.advance(DAY * 8 + HOUR * 2));
    two.context("two keepers at once")?;
    ensure!(published(&world).await? == next, "only the new one is trusted");
    let left = stored(&world).await?;
    ensure!(left.iter().map(|(key, _)| key.as_str()).eq(["ca.crt", "ca.key"]), "nothing else lies there");
    ensure!(left.iter().all(|(_, value)| *value != old_key), "the old key is destroyed");
    greets(&world, &next, DAY * 28 + HOUR * 2).await?;

    let world = world.restart_after(DAY * 28 + HOUR * 2).await?;
    ensure!(published(&world).await? == next);
    greets(&world, &next, DAY * 28 + HOUR * 2).await.context("and after the last start")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_that_was_down_for_two_months_begins_with_an_authority_that_lives() -> Result<()> {
    let world = World::start().await?;
    let first = published(&world).await?;
    let world = world.restart_after(DAY * 60).await?;
    let now = published(&world).await?;
    ensure!(certificates(&now) == 1 && now != first, "nobody is told to trust what is over");
    greets(&world, &now, DAY * 60).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_publishes_as_ours_does_not_stay() -> Result<()> {
    let world = World::start().await?;
    let ours = published(&world).await?;
    let forged = serde_json::json!({"data": {names::PUBLIC_CA_KEY: "theirs"}});
    let patch = kube::api::Patch::Merge(forged);
    world.api::<ConfigMap>(SYSTEM).patch(names::PUBLIC_CONFIGMAP, &Default::default(), &patch).await?;
    world.keeper.advance(SignedDuration::ZERO).await?;
    ensure!(published(&world).await? == ours);
    Ok(())
}
