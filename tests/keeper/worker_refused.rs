//! What a run needs is taken away while it is under way: a real worker at a real keeper. It is told why, once, reports the outcome with
//! the rows it has and is over with that attempt.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api::import_run::ImportRunStatus;
use api::{Connection, ImportRun, Tenant, Upload, names};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use rustix::process::Signal;
use salesforce_emulator::{Action, Fault};
use serde_json::{Value, json};
use testkit::{Side, in_own_network, wait_for};

use crate::worker_crash::{CHUNK_BYTES, FEW, LONG, ONE_CHUNK, Point, Process, Round, Theatre, WRONG, send};
use crate::world::{HOME, World};

/// Nobody has to be told more often.
const REFUSALS: usize = 12;
/// Of several chunks.
const MANY: usize = 120;
/// The job is made and its name is on its way into the journal.
const CREATED: Point = Point::Keeper("PATCH", "importruns", 0, Side::Request);

fn refusals(world: &World, round: &Round<'_>) -> Result<usize> {
    Ok(world.audit()?.lines().filter(|line| line.contains("CallRefused") && line.contains(&round.worker.uid)).count())
}

/// The worker reports this outcome and ends well; every row is accounted for, and refusals are few.
async fn ends(theatre: &Theatre, round: &Round<'_>, mut process: Process, reason: &str, says: &[&str]) -> Result<ImportRunStatus> {
    let code = process.ended().await?;
    let (refused, status) = (refusals(&theatre.world, round)?, round.end_status().await?);
    let last: Vec<String> = process.said().lines().rev().take(3).map(str::to_owned).collect();
    ensure!(code == Some(0), "it ended with {code:?} after {refused} refusals and {:?}: {last:#?}", status.outcome);
    let outcome = status.outcome.as_ref().context("an outcome")?;
    ensure!(outcome.reason.to_string() == reason, "{outcome:?}");
    ensure!(says.iter().all(|part| outcome.message.contains(part)), "{outcome:?}");
    ensure!(outcome.attempt == round.worker.attempt, "{outcome:?}");
    ensure!(status.rows.is_some_and(|rows| rows.balanced()), "{:?}", status.rows);
    ensure!(refused <= REFUSALS, "{refused} refusals");
    Ok(status)
}

async fn patch(world: &World, connection: &str, spec: Value) -> Result<()> {
    world.api::<Connection>(HOME).patch(connection, &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await?;
    Ok(())
}

#[test]
fn an_upload_that_is_deleted_or_replaced_ends_the_run_at_once() {
    in_own_network("worker_refused::an_upload_that_is_deleted_or_replaced_ends_the_run_at_once", async {
        let theatre = Theatre::open().await?;
        let (world, lane) = (&theatre.world, &theatre.lanes[0]);
        for (name, replaced) in [("deleted", false), ("replaced", true)] {
            let round = Round::begin(&theatre, lane, name, FEW).await?;
            world.delete::<Upload>(HOME, name).await?;
            if replaced {
                world.put_upload(name).await?;
                send(world, name, FEW).await?;
            }
            let process = round.start(ONE_CHUNK).await?;
            ends(&theatre, &round, process, "UploadGone", &[name, "kubectl import"]).await.context(name)?;
        }

        // What an attempt before had committed is brought to its end and counted.
        let mut round = Round::begin(&theatre, lane, "committed", FEW).await?;
        let looked = Point::Org("GET", "*/jobs/ingest/*", Side::Request);
        let (mut process, _) = round.start_until(looked, ONE_CHUNK, 2 * LONG).await?;
        process.signal(Signal::KILL)?;
        process.ended().await?;
        world.delete::<Upload>(HOME, "committed").await?;
        ensure!(round.next_attempt("Killed").await?.is_none(), "it had reported");
        let process = round.start(ONE_CHUNK).await?;
        let status = ends(&theatre, &round, process, "UploadGone", &["committed"]).await.context("committed")?;
        let (rows, wrong) = (status.rows.unwrap_or_default(), FEW / WRONG);
        ensure!(rows.succeeded == (FEW - wrong) as i64 && rows.failed == wrong as i64, "{rows:?}");
        Ok(())
    });
}

#[test]
fn a_connection_that_is_deleted_ends_its_run_with_what_was_loaded() {
    in_own_network("worker_refused::a_connection_that_is_deleted_ends_its_run_with_what_was_loaded", async {
        let theatre = Theatre::open().await?;
        let world = &theatre.world;
        // While a worker loads: it hears of it with its next step.
        let round = Round::begin(&theatre, &theatre.lanes[0], "loading", MANY).await?;
        let (process, held) = round.start_until(CREATED, CHUNK_BYTES, Duration::ZERO).await?;
        world.api::<Connection>(HOME).delete("crm-0", &DeleteParams::default()).await?;
        world.until("loading", "the run to be cancelled", |run: &ImportRun| run.spec.cancelled()).await?;
        drop(held);
        let status = ends(&theatre, &round, process, "Cancelled", &[]).await?;
        ensure!(status.results.iter().any(|file| file.name == "unprocessed.csv"), "{:?}", status.results);

        // Before a worker asked for anything.
        let round = Round::begin(&theatre, &theatre.lanes[1], "waiting", FEW).await?;
        world.api::<Connection>(HOME).delete("crm-1", &DeleteParams::default()).await?;
        world.until("waiting", "the run to be cancelled", |run: &ImportRun| run.spec.cancelled()).await?;
        let process = round.start(ONE_CHUNK).await?;
        ends(&theatre, &round, process, "Cancelled", &["crm-1"]).await?;
        Ok(())
    });
}

#[test]
fn a_credential_that_a_run_may_not_have_any_more_ends_it_at_once() {
    in_own_network("worker_refused::a_credential_that_a_run_may_not_have_any_more_ends_it_at_once", async {
        let theatre = Theatre::open().await?;
        let world = &theatre.world;
        // The consent is withdrawn while a worker loads: its token is revoked, and it is told why there is no other.
        let lane = &theatre.lanes[0];
        let round = Round::begin(&theatre, lane, "withdrawn", MANY).await?;
        let (process, held) = round.start_until(CREATED, CHUNK_BYTES, Duration::ZERO).await?;
        world.set_consent("crm-0", None).await?;
        world.poke("crm-0").await?;
        world.until_connection("crm-0", "ConsentMissing").await?;
        wait_for("the tokens to be revoked", LONG, async || Ok((!lane.org.tokens().iter().any(|t| t.active)).then_some(()))).await?;
        drop(held);
        let status = ends(&theatre, &round, process, "AuthorizationFailed", &["crm-0", "consent"]).await?;
        ensure!(status.results.iter().any(|file| file.name == "unprocessed.csv"), "{:?}", status.results);

        // The Connection points elsewhere: the session that the worker has is good until the org ends it.
        let round = Round::begin(&theatre, &theatre.lanes[1], "elsewhere", MANY).await?;
        let (process, held) = round.start_until(CREATED, CHUNK_BYTES, Duration::ZERO).await?;
        patch(world, "crm-1", json!({"salesforce": {"auth": {"clientCredentials": {"clientId": "another"}}}})).await?;
        theatre.lanes[1].org.inject(Fault::new(Action::ExpireSession));
        drop(held);
        let status = ends(&theatre, &round, process, "AuthorizationFailed", &["crm-1", "endpoint"]).await?;
        ensure!(status.results.iter().any(|file| file.name == "unprocessed.csv"), "{:?}", status.results);

        // The same before a worker asked for anything.
        let round = Round::begin(&theatre, &theatre.lanes[2], "asks", FEW).await?;
        patch(world, "crm-2", json!({"salesforce": {"auth": {"clientCredentials": {"clientId": "another"}}}})).await?;
        let process = round.start(ONE_CHUNK).await?;
        ends(&theatre, &round, process, "AuthorizationFailed", &["crm-2", "endpoint"]).await?;
        Ok(())
    });
}

/// A suspension passes: the worker waits for it.
#[test]
fn a_worker_waits_for_a_suspended_connection() {
    in_own_network("worker_refused::a_worker_waits_for_a_suspended_connection", async {
        let theatre = Theatre::open().await?;
        let (world, lane) = (&theatre.world, &theatre.lanes[0]);
        let round = Round::begin(&theatre, lane, "suspended", FEW).await?;
        patch(world, "crm-0", json!({"suspend": true})).await?;
        let process = round.start(ONE_CHUNK).await?;
        wait_for("a refusal", LONG, async || Ok((refusals(world, &round)? > 1).then_some(()))).await?;
        patch(world, "crm-0", json!({"suspend": null})).await?;
        ends(&theatre, &round, process, "CompletedWithFailedRows", &[]).await?;
        Ok(())
    });
}

#[test]
fn a_tenant_that_is_deleted_lets_its_workers_end_in_good_order() {
    in_own_network("worker_refused::a_tenant_that_is_deleted_lets_its_workers_end_in_good_order", async {
        let theatre = Theatre::open().await?;
        let (world, lane) = (&theatre.world, &theatre.lanes[0]);
        let tenants: Api<Tenant> = Api::all(world.client.clone());
        let uid = tenants.get("acme").await?.metadata.uid;
        let operator = async |finalizers: &[&str]| -> Result<()> {
            let metadata = json!({"name": "acme", "uid": uid, "finalizers": finalizers});
            let object = json!({"apiVersion": "dataimporter.io/v1alpha1", "kind": "Tenant", "metadata": metadata});
            let params = PatchParams::apply("dataimporter-operator-finalizer").force();
            tenants.patch("acme", &params, &Patch::Apply(object)).await?;
            Ok(())
        };
        operator(&[names::TENANT_RUNS_FINALIZER]).await?;
        let late = Round::begin(&theatre, lane, "late", FEW).await?;
        let round = Round::begin(&theatre, lane, "leaving", MANY).await?;
        let (process, held) = round.start_until(CREATED, CHUNK_BYTES, Duration::ZERO).await?;
        tenants.delete("acme", &DeleteParams::default()).await?;
        world.until_tenant("its deletion", |tenant| tenant.metadata.deletion_timestamp.is_some()).await?;
        let cancel = json!({"spec": {"cancel": true}});
        world.api::<ImportRun>(HOME).patch("leaving", &PatchParams::default(), &Patch::Merge(cancel)).await?;
        drop(held);
        let status = ends(&theatre, &round, process, "Cancelled", &[]).await?;
        ensure!(status.results.iter().any(|file| file.name == "unprocessed.csv"), "{:?}", status.results);
        ensure!(status.rows.is_some_and(|rows| rows.read > 0 && rows.unprocessed > 0), "{:?}", status.rows);

        // Nothing more is given out meanwhile: who asks is told that it is over.
        let process = late.start(ONE_CHUNK).await?;
        ends(&theatre, &late, process, "Cancelled", &["acme", "deleted"]).await?;

        operator(&[]).await?;
        wait_for("the Tenant to be erased", LONG, async || Ok(tenants.get_opt("acme").await?.is_none().then_some(()))).await?;
        Ok(())
    });
}
