//! Two keepers at once, in one namespace and on one volume: what one of them does between a read and a write of the other.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api::import_run::ChunkState;
use api::keeper::{Lease, SalesforceSession};
use api::{Connection, ImportRun, Upload, names};
use bytes::Bytes;
use dataimporter::keeper::Running;
use http::{Method, StatusCode};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use salesforce_emulator::{Action, Fault};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use testkit::{Line, Side, wait_for};

use crate::world::{Ground, HOME, SYSTEM, Worker, World, attempt};

const WAIT: Duration = Duration::from_secs(20);
const LOGIN: &str = "/services/oauth2/token";

fn at(keeper: &Running, path: &str) -> String {
    format!("https://{}/v1/{path}", keeper.worker_address)
}

async fn is_gone(world: &World, name: &str) -> Result<()> {
    let connections = world.api::<Connection>(HOME);
    wait_for("the Connection to be gone", WAIT, async || Ok(connections.get_opt(name).await?.is_none().then_some(()))).await
}

fn alive(world: &World) -> usize {
    world.org.tokens().iter().filter(|token| token.active).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_start_at_the_same_moment_agree_on_every_key() -> Result<()> {
    let ground = Ground::prepare(Ipv4Addr::LOCALHOST.into()).await?;
    let (line, other) = (Line::default(), Line::default());
    let (first, second) = tokio::try_join!(ground.start_keeper("keeper-0", &line), ground.start_keeper("keeper-1", &other))?;
    ensure!(first.ca_pem() == second.ca_pem() && first.installation == second.installation, "one authority, one installation");
    let world = ground.with(first).await?;
    let keys = async || -> Result<Vec<String>> {
        let all = world.api::<Secret>(SYSTEM).list(&ListParams::default()).await?;
        let of_keys =
            |name: &String| ["dataimporter-keeper-ca", "root-", "keys-", "region-keys-"].iter().any(|kind| name.starts_with(kind));
        Ok(all.iter().map(ResourceExt::name_any).filter(of_keys).collect())
    };
    let made = keys().await?;
    ensure!(made.len() == 3, "authority, root key, key ring: {made:?}");

    // What one of them seals, both open.
    let (worker, token) = running(&world, "r1").await?;
    for keeper in [&world.keeper, &second] {
        let lease = world.http.post(at(keeper, &format!("runs/{}/lease", worker.uid))).bearer_auth(&token).json(&json!({"attempt": 1}));
        let lease: Lease = lease.send().await?.error_for_status()?.json().await?;
        ensure!(lease.snapshot.run.uid == *worker.uid, "the lease of this run");
    }
    let made = keys().await?;
    ensure!(made.len() == 4, "and the region's own, since its audit has a line: {made:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_on_the_list_though_another_keeper_made_the_list_first() -> Result<()> {
    let ground = Ground::prepare(Ipv4Addr::LOCALHOST.into()).await?;
    let line = Line::default();
    let keeper = ground.start_keeper("keeper-0", &line).await?;
    let world = ground.with(keeper).await?;
    // The first Secret that is made for a Connection is its credential, then the keys of the audit that tells of its opening, then its list
    // of tokens.
    let mut held = line.hold(Side::Request, 2, |call| call.method == Method::POST && call.path.ends_with("/secrets"));
    world.put_secret("crm", json!({"clientSecret": world.org.client_secret})).await?;
    world.consent("crm", "crm", &world.org_spec("crm", "Keep")).await?;
    world.allow("crm").await?;
    world.put_connection("crm", world.org_spec("crm", "Keep")).await?;
    held.reached().await;
    let before = world.org.tokens().len();
    let _other = world.start_keeper("keeper-1", &Line::default()).await?;
    world.until_connection("crm", "Verified").await?;
    ensure!(world.org.tokens().len() > before, "the other keeper logged in, too");
    drop(held);
    line.quiet(Duration::from_millis(500)).await;
    ensure!(alive(&world) >= 2, "both tokens are alive");

    world.delete::<Connection>(HOME, "crm").await?;
    is_gone(&world, "crm").await?;
    ensure!(alive(&world) == 0, "{} tokens outlived their Connection", alive(&world));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_asked_for_while_another_keeper_disconnects_is_taken_back() -> Result<()> {
    let world = World::start().await?;
    let other = world.start_keeper("keeper-1", &Line::default()).await?;
    let (worker, token) = running(&world, "r1").await?;
    let lease = world.post(&token, &format!("runs/{}/lease", worker.uid), &json!({"attempt": 1})).await?;
    let lease: Lease = lease.error_for_status()?.json().await?;
    let uid = world.api::<Connection>(HOME).get("crm").await?.uid().unwrap_or_default();

    world.org.inject(Fault::new(Action::DelayAnswer { milliseconds: 3_000 }).on("POST", LOGIN));
    let target = lease.target.expect("a session");
    let refused = hex::encode(Sha256::digest(target.access_token.expose()));
    let body = json!({"attempt": 1, "connection": "crm", "refusedSha256": refused});
    let asked = world.post(&token, &format!("runs/{}/session", worker.uid), &body).await;
    // Positive control: the same call, with nothing in between, gives a session.
    let given: SalesforceSession = asked?.error_for_status()?.json().await?;
    let first = target.access_token.expose();
    ensure!(!world.org.tokens().iter().any(|t| t.active && t.token == first), "a token that is only said to be refused is revoked");

    world.org.inject(Fault::new(Action::DelayAnswer { milliseconds: 5_000 }).on("POST", LOGIN));
    let refused = hex::encode(Sha256::digest(given.access_token.expose()));
    let body = json!({"attempt": 1, "connection": "crm", "refusedSha256": refused});
    let path = format!("runs/{}/session", worker.uid);
    let asking = world.post(&token, &path, &body);
    let disconnecting = async {
        wait_for("the login", WAIT, async || Ok(world.org.pending_faults().is_empty().then_some(()))).await?;
        world.finish_run(&worker).await?;
        world.delete::<Connection>(HOME, "crm").await?;
        is_gone(&world, "crm").await
    };
    let (answer, ()) = tokio::try_join!(asking, disconnecting)?;
    ensure!(!answer.status().is_success(), "a session of a Connection that is gone: {}", answer.status());
    for record in [format!("tokens-{uid}"), format!("connection-{uid}")] {
        ensure!(!world.secret_exists(&record).await?, "{record} is left");
    }
    ensure!(alive(&world) == 0, "{} tokens outlived their Connection", alive(&world));
    drop(other);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_stored_while_another_keeper_disconnects_is_destroyed() -> Result<()> {
    let ground = Ground::prepare(Ipv4Addr::LOCALHOST.into()).await?;
    let line = Line::default();
    let keeper = ground.start_keeper("keeper-0", &line).await?;
    let world = ground.with(keeper).await?;
    let mut held = line.hold(Side::Request, 0, |call| call.method == Method::POST && call.path.ends_with("/secrets"));
    world.put_secret("crm", json!({"clientSecret": world.org.client_secret})).await?;
    world.consent("crm", "crm", &world.org_spec("crm", "Keep")).await?;
    world.allow("crm").await?;
    world.put_connection("crm", world.org_spec("crm", "Keep")).await?;
    held.reached().await;
    let uid = world.api::<Connection>(HOME).get("crm").await?.uid().unwrap_or_default();
    let _other = world.start_keeper("keeper-1", &Line::default()).await?;
    world.delete::<Connection>(HOME, "crm").await?;
    is_gone(&world, "crm").await?;
    drop(held);
    line.quiet(Duration::from_millis(500)).await;
    ensure!(line.made().iter().any(|call| call.method == Method::POST && call.path.ends_with("/secrets")), "it was stored");
    for record in [format!("tokens-{uid}"), format!("connection-{uid}")] {
        ensure!(!world.secret_exists(&record).await?, "{record} is left");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_whose_connection_was_forced_away_is_destroyed_by_the_sweep() -> Result<()> {
    let world = World::start().await?;
    let uid = world.ready_connection("crm").await?.uid().unwrap_or_default();
    world.keeper.advance(jiff::SignedDuration::ZERO).await?;
    ensure!(world.secret_exists(&format!("connection-{uid}")).await?, "a living Connection keeps its credential");
    let free = json!({"metadata": {"finalizers": null}});
    world.api::<Connection>(HOME).patch("crm", &PatchParams::default(), &Patch::Merge(free)).await?;
    world.delete::<Connection>(HOME, "crm").await?;
    is_gone(&world, "crm").await?;
    world.keeper.advance(jiff::SignedDuration::ZERO).await?;
    for record in [format!("tokens-{uid}"), format!("connection-{uid}")] {
        ensure!(!world.secret_exists(&record).await?, "{record} is left");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_comes_in_through_one_is_left_alone_by_another_that_starts() -> Result<()> {
    let world = World::start().await?;
    world.put_upload("rows").await?;
    let writer = world.files_token(names::FILES_WRITER_ACCOUNT).await?;
    let (send, parts) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let body = reqwest::Body::wrap_stream(tokio_stream::wrappers::ReceiverStream::new(parts));
    let sending = tokio::spawn(world.http.put(world.gateway("uploads/rows")).bearer_auth(writer).body(body).send());
    send.send(Ok(Bytes::from(vec![b'a'; 3 << 20]))).await?;
    let uid = world.api::<Upload>(HOME).get("rows").await?.uid().unwrap_or_default();
    wait_for("the claim", WAIT, async || Ok(world.secret_exists(&format!("file-{uid}")).await?.then_some(()))).await?;
    let other = world.start_keeper("keeper-1", &Line::default()).await?;
    send.send(Ok(Bytes::from_static(b"\n1\n"))).await?;
    drop(send);
    let sent = sending.await??;
    ensure!(sent.status() == StatusCode::OK, "{}", sent.text().await?);
    other.advance(jiff::SignedDuration::ZERO).await?;

    // A worker reads it through the other one.
    let connection = world.ready_connection("crm").await?;
    let upload = world.api::<Upload>(HOME).get("rows").await?;
    let worker = world.start_run("r1", &connection, Some(&upload)).await?;
    let token = world.worker_token(&worker).await?;
    let read = world.http.get(at(&other, &format!("files/{uid}"))).bearer_auth(token).send().await?;
    ensure!(read.status() == StatusCode::OK && read.bytes().await?.len() > 3 << 20, "the file is whole");
    Ok(())
}

/// The worker of attempt 1 writes through one keeper, that of attempt 2 through the other, and the first write arrives last.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_write_of_a_replaced_worker_through_another_keeper_is_refused() -> Result<()> {
    let ground = Ground::prepare(Ipv4Addr::LOCALHOST.into()).await?;
    let line = Line::default();
    let keeper = ground.start_keeper("keeper-0", &line).await?;
    let world = ground.with(keeper).await?;
    let other = world.start_keeper("keeper-1", &Line::default()).await?;
    let (mut worker, token) = running(&world, "r1").await?;
    let path = format!("runs/{}/chunks/0", worker.uid);
    let write = |keeper: &Running, token: &str, attempt: i32, job: &str| {
        world.http.put(at(keeper, &path)).bearer_auth(token).json(&json!({"attempt": attempt, "chunk": created(job)})).send()
    };

    let mut held = line.hold(Side::Request, 0, |call| call.method == Method::PATCH && call.path.ends_with("/importruns/r1/status"));
    let first = tokio::spawn(write(&world.keeper, &token, 1, OLD_JOB));
    held.reached().await;
    let old = worker.pod.clone();
    worker.attempt = 2;
    worker.pod = world.put_pod(&names::worker_pod(&worker.uid, 2), &worker.uid).await?;
    let mut over = attempt(1, &old);
    over["finishedAt"] = json!("2026-01-01T00:10:00Z");
    over["reason"] = json!("NodeLost");
    let attempts = json!([over, attempt(2, &worker.pod)]);
    world.write_attempts(&worker, &world.snapshot_text(&worker).await?, attempts).await?;
    let second = world.worker_token(&worker).await?;
    ensure!(write(&other, &second, 2, NEW_JOB).await?.status() == StatusCode::OK, "the current worker writes");
    drop(held);
    ensure!(first.await??.status() == StatusCode::FORBIDDEN, "the late write of the old one");
    for keeper in [&world.keeper, &other] {
        ensure!(write(keeper, &token, 1, OLD_JOB).await?.status() == StatusCode::FORBIDDEN, "nor any other of it");
    }
    ensure!(job_of(&world, &worker).await? == NEW_JOB, "one worker is believed");

    // What the fence is worth: the same late write without the version it saw would have won.
    let object = json!({"apiVersion": "dataimporter.io/v1alpha1", "kind": "ImportRun", "metadata": {"name": "r1"},
        "status": {"chunks": {"total": 1, "done": 0, "listed": [created(OLD_JOB)]}}});
    let params = PatchParams::apply(names::KEEPER_MANAGER).force();
    world.api::<ImportRun>(HOME).patch_status("r1", &params, &Patch::Apply(object)).await?;
    ensure!(job_of(&world, &worker).await? == OLD_JOB, "the control: nothing but the version stands in its way");
    Ok(())
}

const OLD_JOB: &str = "7505f000000oldAAAA";
const NEW_JOB: &str = "7505f000000newAAAA";

fn created(job: &str) -> Value {
    json!({"number": 0, "state": ChunkState::Created, "firstRow": 1, "inputRows": 2, "sentRows": 2, "bytes": 14, "jobID": job})
}

async fn job_of(world: &World, worker: &Worker) -> Result<String> {
    let chunks = world.run_status(worker).await?.chunks.context("chunks")?;
    chunks.listed.first().and_then(|chunk| chunk.job_id.clone()).context("a chunk with a job")
}

/// A run of an upload through Connection `crm`, and the token of its worker.
async fn running(world: &World, name: &str) -> Result<(Worker, String)> {
    let upload = world.put_upload("rows").await?;
    let writer = world.files_token(names::FILES_WRITER_ACCOUNT).await?;
    world.http.put(world.gateway("uploads/rows")).bearer_auth(writer).body("Name\nAda\n").send().await?.error_for_status()?;
    let connection = world.ready_connection("crm").await?;
    let worker = world.start_run(name, &connection, Some(&upload)).await?;
    let token = world.worker_token(&worker).await?;
    Ok((worker, token))
}
