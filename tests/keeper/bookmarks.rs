//! What a job has read up to: kept when a run has read everything, sealed, given to the next run of the same job for the same place, and gone with
//! the job.

use std::time::Duration;

use anyhow::{Context, Result};
use api::import_run::{PutAway, RunReason};
use api::keeper::{Lease, Refused, SecretText};
use api::{Connection, ImportJob, Region, Tenant, Uid, names};
use http::StatusCode;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use testkit::wait_for;

use crate::answers::Answers;
use crate::buckets::{DENIED, bucket, reads_from};
use crate::world::{HOME, REGION, SYSTEM, Worker, World, attempt};

/// A job that reads from a bucket, whose runs the test plays.
pub(crate) struct Library {
    pub(crate) world: World,
    pub(crate) job: ImportJob,
    pub(crate) org: Connection,
    pub(crate) lake: Connection,
    /// The bucket, for as long as anybody asks it.
    pub(crate) server: Answers,
}

impl Library {
    pub(crate) async fn open() -> Result<Self> {
        let world = World::start().await?;
        let org = world.ready_connection("crm").await?;
        let (server, spec) = bucket(&[DENIED]).await;
        let ports = [server.port, world.org.address.port()];
        let listed = json!({"spec": {"privateEndpoints": [{"cidr": "127.0.0.1/32", "ports": ports, "tenants": ["acme"]}]}});
        Api::<Region>::all(world.client.clone()).patch(REGION, &PatchParams::default(), &Patch::Merge(listed)).await?;
        world.put_secret("lake", json!({"accessKeyId": "AKIALAKE", "secretAccessKey": "hush-of-the-lake"})).await?;
        world.allow("lake").await?;
        world.consent("lake", "lake", &spec).await?;
        world.put_connection("lake", spec).await?;
        let lake = world.until_connection("lake", "Verified").await?;
        let job = serde_json::from_value(json!({
            "apiVersion": "dataimporter.io/v1alpha1", "kind": "ImportJob", "metadata": {"name": "nightly"},
            "spec": {
                "source": {"file": {"connectionRef": {"name": "lake"}, "path": "in/*.csv", "unchanged": "Skip"}},
                "target": {"salesforce": {"connectionRef": {"name": "crm"}, "object": "Account", "operation": "Insert", "mapping": [{"from": "a", "to": "Name"}]}},
                "trigger": {"manual": {}},
            },
        }))?;
        let job = world.api::<ImportJob>(HOME).create(&PostParams::default(), &job).await?;
        Ok(Self { world, job, org, lake, server })
    }

    /// A run of the job with this source.
    pub(crate) async fn run(&self, name: &str, source: Value) -> Result<Worker> {
        let run = self.world.start_run_of(name, &self.org, None, |snapshot| {
            reads_from(snapshot, &self.lake, source);
            snapshot.job.name = self.job.name_any();
            snapshot.job.uid = Uid::of(&self.job).expect("a UID");
        });
        run.await
    }
}

pub(crate) const CANARY: &str = "in/accounts-of-canary-81c2.csv";

pub(crate) fn file() -> Value {
    json!({"file": {"connectionRef": {"name": "lake"}, "path": "in/*.csv", "unchanged": "Skip"}})
}

impl Library {
    async fn lease(&self, worker: &Worker) -> Result<Lease> {
        let token = self.world.worker_token(worker).await?;
        let answer = self.world.post(&token, &format!("runs/{}/lease", worker.uid), &json!({"attempt": worker.attempt})).await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    pub(crate) async fn bookmark(&self, worker: &Worker) -> Result<Vec<String>> {
        Ok(self.lease(worker).await?.bookmark.iter().map(|text: &SecretText| text.expose().to_owned()).collect())
    }

    pub(crate) async fn ends(&self, worker: &Worker, reason: RunReason, bookmark: &[&str]) -> Result<()> {
        let began = self.bookmark(worker).await?;
        self.ends_from(worker, &began, reason, bookmark).await
    }

    async fn ends_from(&self, worker: &Worker, began: &[String], reason: RunReason, bookmark: &[&str]) -> Result<()> {
        let token = self.world.worker_token(worker).await?;
        let rows = json!({"read": 0, "filtered": 0, "deduplicated": 0, "notSampled": 0, "skipped": 0, "succeeded": 0, "failed": 0, "unprocessed": 0});
        let report = json!({
            "attempt": worker.attempt, "reason": reason, "message": "", "rows": rows, "results": [], "bookmark": bookmark, "began": began,
        });
        self.world.post(&token, &format!("runs/{}/outcome", worker.uid), &report).await?.error_for_status()?;
        self.world.finish_run(worker).await
    }

    fn record(&self) -> String {
        format!("job-{}", self.job.uid().unwrap_or_default())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_begins_where_the_last_one_that_read_everything_ended() -> Result<()> {
    let library = Library::open().await?;
    let first = library.run("r1", file()).await?;
    assert!(library.bookmark(&first).await?.is_empty());
    library.ends(&first, RunReason::Cancelled, &["1", "v0", CANARY]).await?;
    assert!(!library.world.secret_exists(&library.record()).await?, "a run that was cancelled has not read everything");

    let second = library.run("r2", file()).await?;
    assert!(library.bookmark(&second).await?.is_empty());
    library.ends(&second, RunReason::CompletedWithFailedRows, &["5", "v1", CANARY]).await?;
    let third = library.run("r3", file()).await?;
    assert_eq!(library.bookmark(&third).await?, ["5", "v1", CANARY]);
    library.ends(&third, RunReason::NothingNew, &[]).await?;
    let fourth = library.run("r4", file()).await?;
    assert_eq!(library.bookmark(&fourth).await?, ["5", "v1", CANARY], "what was kept stays");

    // What was read in one place says nothing about another, and a job that reads everything asks for nothing.
    let elsewhere =
        library.run("r5", json!({"file": {"connectionRef": {"name": "lake"}, "path": "out/*.csv", "unchanged": "Skip"}})).await?;
    assert!(library.bookmark(&elsewhere).await?.is_empty());
    let all = library.run("r6", json!({"file": {"connectionRef": {"name": "lake"}, "path": "in/*.csv"}})).await?;
    assert!(library.bookmark(&all).await?.is_empty());
    library.ends(&elsewhere, RunReason::Completed, &["7", "v2", "out/b.csv"]).await?;
    let back = library.run("r7", file()).await?;
    assert!(library.bookmark(&back).await?.is_empty(), "the place that is read now has taken the place of the other");

    let stored = String::from_utf8_lossy(&library.world.everything_stored().await?).into_owned();
    assert!(stored.contains("job-") && !stored.contains("canary-81c2") && !stored.contains("out/b.csv"), "it is not sealed");
    let audit = library.world.audit()?;
    assert!(audit.contains("BookmarkOpened") && !audit.contains("canary-81c2"), "{audit}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_at_the_same_time_do_not_take_it_back() -> Result<()> {
    let library = Library::open().await?;
    let (slow, fast) = (library.run("r1", file()).await?, library.run("r2", file()).await?);
    let began = library.bookmark(&slow).await?;
    assert!(began.is_empty() && library.bookmark(&fast).await?.is_empty());
    library.ends(&fast, RunReason::Completed, &["9", "v2", "in/newer.csv"]).await?;
    library.ends_from(&slow, &began, RunReason::Completed, &["5", "v1", "in/older.csv"]).await?;
    let next = library.run("r3", file()).await?;
    assert_eq!(library.bookmark(&next).await?, ["9", "v2", "in/newer.csv"]);
    library.ends(&next, RunReason::Completed, &["11", "v3", "in/newest.csv"]).await?;
    let control = library.run("r4", file()).await?;
    assert_eq!(library.bookmark(&control).await?, ["11", "v3", "in/newest.csv"], "control: the next one moves it");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_sealed_anew_when_keys_rotate_and_goes_with_its_job() -> Result<()> {
    let library = Library::open().await?;
    let first = library.run("r1", file()).await?;
    library.lease(&first).await?;
    library.ends(&first, RunReason::Completed, &["5", "v1", CANARY]).await?;
    let secrets = library.world.api::<Secret>(SYSTEM);
    let key = async || -> Result<String> {
        Ok(secrets.get(&library.record()).await?.labels().get("dataimporter.io/key-id").context("a key id")?.clone())
    };
    let before = key().await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let patch = json!({"metadata": {"annotations": {names::ROTATE_KEYS_ANNOTATION: jiff::Timestamp::now().to_string()}}});
    Api::<Tenant>::all(library.world.client.clone()).patch("acme", &PatchParams::default(), &Patch::Merge(patch)).await?;
    wait_for("no record under the old key", Duration::from_secs(20), async || {
        let old = secrets.list(&ListParams::default().labels(&format!("dataimporter.io/key-id={before}"))).await?;
        Ok(old.items.is_empty().then_some(()))
    })
    .await?;
    assert_ne!(key().await?, before);
    let second = library.run("r2", file()).await?;
    assert_eq!(library.bookmark(&second).await?, ["5", "v1", CANARY]);

    library.world.keeper.advance(SignedDuration::ZERO).await?;
    assert!(library.world.secret_exists(&library.record()).await?, "control: its job is there");
    library.world.delete::<ImportJob>(HOME, "nightly").await?;
    library.world.keeper.advance(SignedDuration::ZERO).await?;
    assert!(!library.world.secret_exists(&library.record()).await?, "it outlived its job");
    assert!(library.world.audit()?.contains("BookmarkDestroyed"));
    Ok(())
}

/// Whatever a job says, the credential of an org is none of a worker's.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_names_an_org_gets_no_credential() -> Result<()> {
    let library = Library::open().await?;
    for (name, source) in [
        ("r1", json!({"file": {"connectionRef": {"name": "crm"}, "path": "a.csv"}})),
        ("r2", json!({"sql": {"connectionRef": {"name": "crm"}, "query": "SELECT 1"}})),
        ("r3", json!({"sql": {"connectionRef": {"name": "lake"}, "query": "SELECT 1"}})),
    ] {
        let worker = library.run(name, source).await?;
        let token = library.world.worker_token(&worker).await?;
        let answer = library.world.post(&token, &format!("runs/{}/lease", worker.uid), &json!({"attempt": 1})).await?;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{name}");
        let told: Refused = answer.json().await?;
        assert!(told.end == Some(RunReason::PreflightFailed) && told.message.contains("rows are not read from"), "{name}: {told:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loaded_file_is_known_to_a_later_attempt_that_gets_nothing_else() -> Result<()> {
    let library = Library::open().await?;
    let world = &library.world;
    let mut source = file();
    source["file"]["afterSuccess"] = json!({"delete": {}});
    let first = library.run("r1", source).await?;
    let (uid, token) = (first.uid.clone(), world.worker_token(&first).await?);
    let loaded = json!(["5", "v1", CANARY]);
    let report = |attempt: i32| {
        json!({
            "attempt": attempt, "reason": "CompletedWithFailedRows", "message": "m", "rows": {"read": 2, "succeeded": 1, "failed": 1},
            "results": [], "bookmark": loaded, "began": [], "loaded": loaded,
        })
    };
    let mut sealed = Vec::new();
    for _ in 0..2 {
        world.post(&token, &format!("runs/{uid}/outcome"), &report(1)).await?.error_for_status()?;
        let outcome = world.run_status(&first).await?.outcome.context("an outcome")?;
        assert_eq!((outcome.after_success, outcome.attempt), (Some(PutAway::Pending), 1));
        sealed.push(outcome.sealed_file.context("which file it is")?);
    }
    assert_eq!(sealed[0], sealed[1], "a repetition writes nothing");

    let pod = world.put_pod(&names::worker_pod(&uid, 2), &uid).await?;
    let text = world.snapshot_text(&first).await?;
    world.write_attempts(&first, &text, json!([attempt(1, &first.pod), attempt(2, &pod)])).await?;
    let second = Worker { attempt: 2, pod, ..first };
    let lease = library.lease(&second).await?;
    let known = lease.loaded.context("a file that is loaded")?;
    assert_eq!(known.file.iter().map(SecretText::expose).collect::<Vec<_>>(), ["5", "v1", CANARY]);
    assert!(known.has_failed_rows && lease.target.is_none() && lease.bookmark.is_empty() && lease.source.is_some());

    let fate = |attempt: i32, message: &str| json!({"attempt": attempt, "done": true, "message": message});
    let late = world.post(&token, &format!("runs/{uid}/file"), &fate(1, "by nobody")).await?;
    assert_eq!(late.status(), StatusCode::FORBIDDEN, "another attempt has taken over");
    let token = world.worker_token(&second).await?;
    for message in ["it was deleted", "and again"] {
        world.post(&token, &format!("runs/{uid}/file"), &fate(2, message)).await?.error_for_status()?;
    }
    // What became of it is not unsaid by an outcome that comes late.
    for _ in 0..2 {
        let outcome = world.run_status(&second).await?.outcome.context("an outcome")?;
        assert_eq!((outcome.after_success, outcome.attempt, outcome.sealed_file), (Some(PutAway::Done), 2, None));
        world.post(&token, &format!("runs/{uid}/outcome"), &report(2)).await?.error_for_status()?;
    }
    world.finish_run(&second).await?;
    let next = library.run("r2", file()).await?;
    assert_eq!(library.bookmark(&next).await?, ["5", "v1", CANARY], "what was read is known from the first report on");

    let stored = String::from_utf8_lossy(&world.everything_stored().await?).into_owned();
    let audit = world.audit()?;
    assert!(!stored.contains("canary-81c2") && !audit.contains("canary-81c2"), "it is not sealed");
    assert!(audit.contains("LoadedFileOpened") && audit.contains("LoadedFileReported"), "{audit}");
    Ok(())
}
