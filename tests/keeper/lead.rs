//! Two keepers that stand for one lease: both serve, one does what only one does, and when it goes the other goes on.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Result, ensure};
use api::keeper::Lease;
use api::{Connection, Tenant, Upload, names};
use bytes::Bytes;
use dataimporter::keeper::Running;
use k8s_openapi::api::coordination::v1::Lease as LeaseObject;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use testkit::wait_for;

use crate::world::{Ground, HOME, REGION, SYSTEM, Worker, World, ready_reason};

const LEASE: &str = "dataimporter-keeper";
/// A lease that is not renewed runs out after half a minute.
const TAKEN_OVER: Duration = Duration::from_secs(60);

async fn two() -> Result<(World, Running)> {
    let ground = Ground::prepare(Ipv4Addr::LOCALHOST.into()).await?;
    let first = ground.start_candidate("keeper-0").await?;
    let world = ground.with(first).await?;
    let second = world.start_candidate("keeper-1").await?;
    ensure!(leads(&world.keeper) && !leads(&second), "one leads");
    Ok((world, second))
}

fn leads(keeper: &Running) -> bool {
    keeper.metrics.render().lines().any(|line| line == "dataimporter_leader 1")
}

async fn until_led_by(keeper: &Running) -> Result<()> {
    wait_for("the other one to lead", TAKEN_OVER, async || Ok(leads(keeper).then_some(()))).await
}

async fn holder(world: &World) -> Result<Option<String>> {
    Ok(world.api::<LeaseObject>(SYSTEM).get(LEASE).await?.spec.and_then(|spec| spec.holder_identity))
}

/// Describes a Connection with all that it needs; nobody has looked at it yet.
async fn put_connection(world: &World, name: &str) -> Result<()> {
    world.put_secret(name, json!({"clientSecret": world.org.client_secret})).await?;
    let spec = world.org_spec(name, "Keep");
    world.consent(name, name, &spec).await?;
    world.allow(name).await?;
    world.put_connection(name, spec).await
}

async fn is_verified(world: &World, name: &str) -> Result<bool> {
    let connection = world.api::<Connection>(HOME).get(name).await?;
    Ok(ready_reason(connection.status.as_ref().map(|status| status.conditions.as_slice())) == Some("Verified"))
}

async fn until_verified(world: &World, name: &str) -> Result<()> {
    wait_for("a Connection to be verified", TAKEN_OVER, async || Ok(is_verified(world, name).await?.then_some(()))).await
}

async fn lease(world: &World, keeper: &Running, worker: &Worker) -> Result<Lease> {
    let token = world.worker_token(worker).await?;
    let asked = world.http.post(format!("https://{}/v1/runs/{}/lease", keeper.worker_address, worker.uid));
    Ok(asked.bearer_auth(token).json(&json!({"attempt": 1})).send().await?.error_for_status()?.json().await?)
}

async fn upload(world: &World, content: Vec<u8>) -> Result<Upload> {
    world.put_upload("rows").await?;
    let writer = world.files_token(names::FILES_WRITER_ACCOUNT).await?;
    world.http.put(world.gateway("uploads/rows")).bearer_auth(writer).body(content).send().await?.error_for_status()?;
    Ok(world.api::<Upload>(HOME).get("rows").await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_asks_after_connections_and_both_serve_workers() -> Result<()> {
    let (world, second) = two().await?;
    put_connection(&world, "crm").await?;
    until_verified(&world, "crm").await?;
    ensure!(world.org.tokens().len() == 1, "one of them logged in: {}", world.org.tokens().len());

    let upload = upload(&world, b"Name\nAda\n".to_vec()).await?;
    let connection = world.api::<Connection>(HOME).get("crm").await?;
    ensure!(connection.status.as_ref().is_some_and(|status| status.last_used.is_none()), "nobody has used it");
    let worker = world.start_run("r1", &connection, Some(&upload)).await?;
    ensure!(lease(&world, &second, &worker).await?.snapshot.run.uid == *worker.uid, "the lease of this run");
    // Only the one that handed it out knows that it was used.
    world.until("crm", "its use to be told", |c: &Connection| c.status.as_ref().is_some_and(|s| s.last_used.is_some())).await?;
    world.keeper.advance(jiff::SignedDuration::ZERO).await?;
    ensure!(is_verified(&world, "crm").await?, "what the leader wrote stays");

    // Each writes its own chain of the audit, and one of them has the line of the verification.
    let verified = |chain: &str| -> Result<usize> {
        let path = world.storage.path().join("files").join(REGION).join("audit").join(chain).with_extension("jsonl");
        let chain = std::fs::read_to_string(path)?;
        dataimporter::keeper::verify_audit(&chain)?;
        Ok(chain.matches("\"for\":\"Verification\"").count())
    };
    ensure!(verified("keeper-0")? == 1 && verified("keeper-1")? == 0, "the leader verified it, once");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stands_by_leads_when_the_leader_ends_in_order() -> Result<()> {
    let (world, second) = two().await?;
    ensure!(holder(&world).await?.as_deref() == Some("keeper-0"), "{:?}", holder(&world).await?);
    let (world, first) = world.with_keeper(second);
    let began = std::time::Instant::now();
    first.finish().await;
    until_led_by(&world.keeper).await?;
    // Half a minute would be the time of a lease that nobody let go of.
    println!("led {:.1} s after the leader was told to end", began.elapsed().as_secs_f32());
    ensure!(holder(&world).await?.as_deref() == Some("keeper-1"), "{:?}", holder(&world).await?);
    put_connection(&world, "crm").await?;
    until_verified(&world, "crm").await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stands_by_leads_when_the_leader_is_killed() -> Result<()> {
    let (world, second) = two().await?;
    let (world, first) = world.with_keeper(second);
    drop(first);
    put_connection(&world, "crm").await?;
    until_led_by(&world.keeper).await?;
    until_verified(&world, "crm").await
}

/// The lease is in its name already: it need not wait for the end of what it held itself. The former is there when it comes, as on a node that is cut off.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_under_its_name_leads_at_once() -> Result<()> {
    let ground = Ground::prepare(Ipv4Addr::LOCALHOST.into()).await?;
    let keeper = ground.start_candidate("keeper-0").await?;
    let world = ground.with(keeper).await?;
    let held = world.api::<LeaseObject>(SYSTEM).get(LEASE).await?.spec.and_then(|spec| spec.lease_transitions);
    let again = world.start_candidate("keeper-0").await?;
    let (world, killed) = world.with_keeper(again);
    drop(killed);
    // Long before the lease of the one that was killed runs out.
    wait_for("it to lead again", Duration::from_secs(15), async || Ok(leads(&world.keeper).then_some(()))).await?;
    let transitions = world.api::<LeaseObject>(SYSTEM).get(LEASE).await?.spec.and_then(|spec| spec.lease_transitions);
    ensure!(transitions == held, "nobody else held it: {held:?}, then {transitions:?}");
    put_connection(&world, "crm").await?;
    until_verified(&world, "crm").await
}

/// Somebody else holds the lease: a keeper that was cut off, and whose time ran out, finds it so.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_lost_its_lease_stands_by_serves_on_and_leads_again() -> Result<()> {
    let ground = Ground::prepare(Ipv4Addr::LOCALHOST.into()).await?;
    let keeper = ground.start_candidate("keeper-0").await?;
    let world = ground.with(keeper).await?;
    put_connection(&world, "crm").await?;
    until_verified(&world, "crm").await?;
    let upload = upload(&world, b"Name\nAda\n".to_vec()).await?;
    let connection = world.api::<Connection>(HOME).get("crm").await?;
    let worker = world.start_run("r1", &connection, Some(&upload)).await?;

    let now = jiff::Timestamp::now();
    let taken = json!({"spec": {"holderIdentity": "somebody-else", "renewTime": format!("{now:.6}"), "leaseDurationSeconds": 30}});
    world.api::<LeaseObject>(SYSTEM).patch(LEASE, &PatchParams::default(), &Patch::Merge(taken)).await?;
    wait_for("the keeper to stand by", TAKEN_OVER, async || Ok((!leads(&world.keeper)).then_some(()))).await?;
    put_connection(&world, "late").await?;
    ensure!(lease(&world, &world.keeper, &worker).await?.snapshot.run.uid == *worker.uid, "it serves on");
    ensure!(!is_verified(&world, "late").await?, "control: nobody leads");

    until_led_by(&world.keeper).await?;
    until_verified(&world, "late").await
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_while_both_serve_and_neither_misses_one() -> Result<()> {
    let (world, second) = two().await?;
    put_connection(&world, "crm").await?;
    until_verified(&world, "crm").await?;
    let upload = upload(&world, b"Name\nAda\n".to_vec()).await?;
    let connection = world.api::<Connection>(HOME).get("crm").await?;
    let worker = world.start_run("r1", &connection, Some(&upload)).await?;
    let before = active(&world).await?;

    // Times of keys have whole seconds on the server's clock.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let asked = json!({"metadata": {"annotations": {names::ROTATE_KEYS_ANNOTATION: jiff::Timestamp::now().to_string()}}});
    Api::<Tenant>::all(world.client.clone()).patch("acme", &PatchParams::default(), &Patch::Merge(asked)).await?;
    let serving = async {
        for number in 0.. {
            for keeper in [&world.keeper, &second] {
                lease(&world, keeper, &worker).await?;
            }
            let secrets = world.api::<k8s_openapi::api::core::v1::Secret>(SYSTEM);
            let old = secrets.list_metadata(&kube::api::ListParams::default().labels(&format!("dataimporter.io/key-id={before}"))).await?;
            if active(&world).await? != before && old.items.is_empty() {
                println!("{number} leases of each");
                // And some more, now that everything lies under the new key.
                for keeper in [&world.keeper, &second].into_iter().cycle().take(20) {
                    lease(&world, keeper, &worker).await?;
                }
                return anyhow::Ok(());
            }
        }
        Ok(())
    };
    tokio::time::timeout(TAKEN_OVER, serving).await?
}

async fn active(world: &World) -> Result<String> {
    let tenant = Api::<Tenant>::all(world.client.clone()).get("acme").await?;
    let keys = tenant.status.unwrap_or_default().keys;
    Ok(keys.into_iter().find(|key| key.state == "active").map(|key| key.id).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_a_file_through_one_is_ended_when_another_erases_it() -> Result<()> {
    let (world, second) = two().await?;
    put_connection(&world, "crm").await?;
    until_verified(&world, "crm").await?;
    // More than what the sockets in between hold.
    let upload = upload(&world, [b"Name\n".to_vec(), vec![b'a'; 64 << 20]].concat()).await?;
    let connection = world.api::<Connection>(HOME).get("crm").await?;
    let worker = world.start_run("r1", &connection, Some(&upload)).await?;
    let token = world.worker_token(&worker).await?;
    let url = format!("https://{}/v1/files/{}", second.worker_address, upload.uid().unwrap_or_default());
    let mut reading = world.http.get(url).bearer_auth(token).send().await?.error_for_status()?;
    ensure!(reading.chunk().await?.is_some_and(|chunk: Bytes| !chunk.is_empty()), "it comes");

    world.delete::<Upload>(HOME, "rows").await?;
    world.keeper.advance(jiff::SignedDuration::ZERO).await?;
    ensure!(!world.secret_exists(&format!("file-{}", upload.uid().unwrap_or_default())).await?, "it is erased");
    // The other one looks every quarter of a minute after what is read there.
    tokio::time::sleep(Duration::from_secs(20)).await;
    let mut rest = 0;
    let end = loop {
        match reading.chunk().await {
            Ok(Some(chunk)) => rest += chunk.len(),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    ensure!(end.is_err() && rest < 48 << 20, "it came to its end: {rest} bytes more");
    Ok(())
}
