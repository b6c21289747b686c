//! Files in and out over TLS with tokens that `serviceaccounts/token` gave, and their end.

use anyhow::Result;
use api::import_run::ResultFile;
use api::keeper::{FileGrant, UploadReceipt};
use api::tenant::ResultRetention;
use api::{Upload, names};
use bytes::{Bytes, BytesMut};
use envelope::stream::Sealer;
use http::StatusCode;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use serde_json::json;
use sha2::{Digest, Sha256};
use testkit::Line;

use crate::world::{HOME, SYSTEM, Worker, World, ready_reason};

const WRITER: &str = names::FILES_WRITER_ACCOUNT;
const READER: &str = names::FILES_READER_ACCOUNT;

fn content() -> Vec<u8> {
    (0..200_000).flat_map(|row| format!("{row},canary-in-the-clear\n").into_bytes()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_sealed_as_it_comes_readable_for_an_hour_and_then_gone() -> Result<()> {
    let world = World::start().await?;
    let upload = world.put_upload("airports").await?;
    world.until("airports", "the first word", |u: &Upload| u.status.as_ref().is_some_and(|s| !s.conditions.is_empty())).await?;
    let token = world.files_token(WRITER).await?;
    let (url, content) = (world.gateway("uploads/airports"), content());
    let sha256 = hex::encode(Sha256::digest(&content));

    let wrong = world.http.put(&url).bearer_auth(&token).header("x-content-sha256", "0".repeat(64)).body(content.clone()).send().await?;
    assert_eq!(wrong.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(files_on_disk(&world), 0, "bytes of another digest stay");
    assert!(!world.secret_exists(&format!("file-{}", upload.uid().unwrap())).await?, "their claim stays");
    let sent = world.http.put(&url).bearer_auth(&token).header("x-content-sha256", &sha256).body(content.clone()).send().await?;
    assert_eq!(sent.status(), StatusCode::OK);
    let receipt: UploadReceipt = sent.json().await?;
    assert_eq!((receipt.bytes, &receipt.sha256), (content.len() as u64, &sha256));
    assert_eq!(receipt.expires_at, receipt.completed_at + SignedDuration::from_hours(1));
    let again = world.http.put(&url).bearer_auth(&token).body("x").send().await?;
    assert_eq!(again.status(), StatusCode::CONFLICT);
    let upload = world.api::<Upload>(HOME).get(&upload.name_any()).await?;
    let status = upload.status.clone().unwrap();
    assert_eq!((status.bytes, status.sha256.as_deref()), (Some(content.len() as i64), Some(sha256.as_str())));
    assert_eq!(ready_reason(Some(&status.conditions)), Some("Complete"));
    assert!(!on_disk(&world, b"canary-in-the-clear"), "the file lies on the volume in clear");
    assert!(files_on_disk(&world) == 1);

    // A run may read it now …
    let connection = world.ready_connection("crm").await?;
    let worker = world.start_run("r1", &connection, Some(&upload)).await?;
    let token = world.worker_token(&worker).await?;
    let lease = world.post(&token, &format!("runs/{}/lease", worker.uid), &json!({"attempt": 1})).await?;
    assert_eq!(lease.status(), StatusCode::OK);
    let lease: api::keeper::Lease = lease.json().await?;
    let Some(api::keeper::SourceCredential::Upload(grant)) = lease.source else { panic!("an upload") };
    let sealed = world.http.get(world.workers(&format!("files/{}", grant.file.uid))).bearer_auth(&token).send().await?.bytes().await?;
    let (key, context) = dataimporter::file_grant::accept(&grant.file).expect("a key");
    let mut plain = BytesMut::new();
    let mut opener = envelope::stream::Opener::new(key, context);
    opener.update(&sealed, &mut plain)?;
    opener.finish(&mut plain)?;
    assert!(plain == content);

    // … and a minute before the hour, and not at it.
    world.keeper.advance(SignedDuration::from_secs(59 * 60 + 30)).await?;
    let read = world.http.get(world.workers(&format!("files/{}", grant.file.uid))).bearer_auth(&token).send().await?;
    assert_eq!(read.status(), StatusCode::OK);
    world.keeper.advance(SignedDuration::from_secs(60)).await?;
    let read = world.http.get(world.workers(&format!("files/{}", grant.file.uid))).bearer_auth(&token).send().await?;
    assert_eq!(read.status(), StatusCode::FORBIDDEN);
    let lease = world.post(&token, &format!("runs/{}/lease", worker.uid), &json!({"attempt": 1})).await?;
    assert_eq!(lease.status(), StatusCode::FORBIDDEN);
    assert_eq!(files_on_disk(&world), 0);
    assert!(!world.secret_exists(&format!("file-{}", grant.file.uid)).await?);
    let upload = world.api::<Upload>(HOME).get(&upload.name_any()).await?;
    assert!(upload.status.unwrap().erased_at.is_some());
    let audit = world.audit()?;
    assert!(audit.contains("FileBorn") && audit.contains("FileErased"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_off_upload_leaves_nothing_and_may_be_sent_again() -> Result<()> {
    let world = World::start().await?;
    world.put_upload("airports").await?;
    let token = world.files_token(WRITER).await?;
    let url = world.gateway("uploads/airports");
    let half = futures::stream::iter([Ok(Bytes::from(content())), Err(std::io::Error::other("gone"))]);
    let cut = world.http.put(&url).bearer_auth(&token).body(reqwest::Body::wrap_stream(half)).send().await;
    assert!(cut.is_err());
    let sent = testkit::wait_for("the name to be free again", std::time::Duration::from_secs(10), async || {
        let sent = world.http.put(&url).bearer_auth(&token).body("a,b\n1,2\n").send().await?;
        Ok((sent.status() != StatusCode::CONFLICT).then_some(sent))
    })
    .await?;
    assert_eq!(sent.status(), StatusCode::OK);
    assert_eq!(files_on_disk(&world), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_others_open_no_file() -> Result<()> {
    let world = World::start().await?;
    world.put_upload("airports").await?;
    let url = world.gateway("uploads/airports");
    let installation = &world.keeper.installation;
    let audience = names::files_audience(crate::world::REGION, installation);
    let tokens = [
        ("no token", None),
        ("the reader's", Some(world.files_token(READER).await?)),
        ("another account's", Some(world.token(HOME, "default", &audience, None).await?)),
        ("another namespace's", Some(world.token(crate::world::RUNS, "worker", &audience, None).await?)),
        ("another audience", Some(world.token(HOME, WRITER, &names::keeper_audience(crate::world::REGION, installation), None).await?)),
        ("the API server's own audience", Some(world.token(HOME, WRITER, "https://kubernetes.default.svc.cluster.local", None).await?)),
        ("another region", Some(world.token(HOME, WRITER, &names::files_audience("us-dallas", installation), None).await?)),
        ("nonsense", Some("abc".into())),
    ];
    for (whose, token) in tokens {
        let request = world.http.put(&url).body("x");
        let request = if let Some(token) = token { request.bearer_auth(token) } else { request };
        assert_eq!(request.send().await?.status(), StatusCode::FORBIDDEN, "{whose}");
    }
    assert_eq!(files_on_disk(&world), 0);
    let good = world.http.put(&url).bearer_auth(world.files_token(WRITER).await?).body("x").send().await?;
    assert_eq!(good.status(), StatusCode::OK);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_file_goes_from_the_worker_to_a_person_and_dies_with_the_rule() -> Result<()> {
    let world = World::start().await?;
    let upload = world.put_upload("rows").await?;
    let writer = world.files_token(WRITER).await?;
    world.http.put(world.gateway("uploads/rows")).bearer_auth(&writer).body("a\n1\n").send().await?.error_for_status()?;
    let connection = world.ready_connection("crm").await?;
    let worker = world.start_run("r1", &connection, Some(&upload)).await?;
    let token = world.worker_token(&worker).await?;

    let new = json!({"attempt": 1, "name": "failed.csv"});
    let runs = format!("runs/{}", worker.uid);
    let grant: FileGrant = world.post(&token, &format!("{runs}/files"), &new).await?.error_for_status()?.json().await?;
    let content = content();
    write_result(&world, &worker, &token, "failed.csv", &content).await?;
    let report = report(&grant, content.len());
    world.post(&token, &format!("{runs}/outcome"), &report).await?.error_for_status()?;
    world.post(&token, &format!("{runs}/outcome"), &report).await?.error_for_status()?;
    let status = world.run_status(&worker).await?;
    assert_eq!((status.results.len(), status.rows.unwrap().failed), (1, 1));
    assert!(status.results[0].expires_at.is_some());

    let url = world.gateway("importruns/r1/results/failed.csv");
    let reader = world.files_token(READER).await?;
    assert!(world.http.get(&url).bearer_auth(&reader).send().await?.bytes().await? == content);
    let refused = world.http.get(&url).bearer_auth(&writer).send().await?;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let missing = world.http.get(world.gateway("importruns/r1/results/succeeded.csv")).bearer_auth(&reader).send().await?;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);

    // The tenant shortens its rule: the file that is there goes at once.
    let rule = json!({"spec": {"retention": {"results": {"keepDays": 0}}}});
    kube::Api::<api::Tenant>::all(world.client.clone()).patch("acme", &Default::default(), &kube::api::Patch::Merge(rule)).await?;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    world.keeper.advance(SignedDuration::from_secs(90)).await?;
    let gone = world.http.get(&url).bearer_auth(&reader).send().await?;
    assert_eq!(gone.status(), StatusCode::GONE);
    assert!(world.run_status(&worker).await?.results[0].erased_at.is_some());
    Ok(())
}

/// What a worker does for one result file.
async fn write_result(world: &World, worker: &Worker, token: &str, name: &str, content: &[u8]) -> Result<FileGrant> {
    let new = json!({"attempt": 1, "name": name});
    let path = format!("runs/{}/files", worker.uid);
    let grant: FileGrant = world.post(token, &path, &new).await?.error_for_status()?.json().await?;
    let same: FileGrant = world.post(token, &path, &new).await?.error_for_status()?.json().await?;
    assert_eq!((&grant.uid, grant.key.expose()), (&same.uid, same.key.expose()), "asking twice gives one file");
    let (key, context) = dataimporter::file_grant::accept(&grant).expect("a key");
    let mut sealed = BytesMut::new();
    let mut sealer = Sealer::begin(key, &context, &mut rand::rng(), &mut sealed);
    sealer.update(content, &mut sealed)?;
    sealer.finish(&mut sealed)?;
    let put = world.http.put(world.workers(&format!("files/{}", grant.uid))).bearer_auth(token).body(sealed.freeze()).send().await?;
    assert_eq!(put.status(), StatusCode::NO_CONTENT);
    Ok(grant)
}

fn report(grant: &FileGrant, bytes: usize) -> serde_json::Value {
    json!({"attempt": 1, "reason": "CompletedWithFailedRows", "message": "1 row failed", "rows": {"read": 3, "succeeded": 2, "failed": 1},
        "results": [{"name": "failed.csv", "file": grant.uid, "rows": 1, "bytes": bytes}]})
}

/// A run that has ended with one result file, of which job and tenant had this to say when it began.
struct Ended {
    world: World,
    worker: Worker,
    file: String,
    reader: String,
}

impl Ended {
    async fn of(results: ResultRetention) -> Result<Self> {
        let world = World::start().await?;
        let connection = world.ready_connection("crm").await?;
        let worker = world.start_run_of("r1", &connection, None, |snapshot| snapshot.results = results).await?;
        let token = world.worker_token(&worker).await?;
        let grant = write_result(&world, &worker, &token, "failed.csv", b"a\n1\n").await?;
        world.post(&token, &format!("runs/{}/outcome", worker.uid), &report(&grant, 4)).await?.error_for_status()?;
        world.finish_run(&worker).await?;
        let reader = world.files_token(READER).await?;
        let ended = Self { worker, file: grant.uid, reader, world };
        assert_eq!(ended.read().await?, StatusCode::OK, "control: the file is there and readable");
        assert_eq!(files_on_disk(&ended.world), 1);
        Ok(ended)
    }

    async fn read(&self) -> Result<StatusCode> {
        let url = self.world.gateway("importruns/r1/results/failed.csv");
        Ok(self.world.http.get(url).bearer_auth(&self.reader).send().await?.status())
    }

    async fn told(&self) -> Result<ResultFile> {
        Ok(self.world.run_status(&self.worker).await?.results.remove(0))
    }

    /// How long after the outcome the status says the file goes.
    async fn kept(&self) -> Result<SignedDuration> {
        let status = self.world.run_status(&self.worker).await?;
        let (end, outcome) = (status.results[0].expires_at.clone().unwrap(), status.outcome.unwrap());
        Ok(end.0.duration_since(outcome.at.0))
    }

    /// What is sealed with the key.
    async fn sealed(&self) -> Result<jiff::Timestamp> {
        let secret = self.world.api::<Secret>(SYSTEM).get(&format!("file-{}", self.file)).await?;
        Ok(secret.annotations()["dataimporter.io/not-after"].parse()?)
    }

    async fn tenant(&self, rule: serde_json::Value) -> Result<()> {
        let patch = json!({"spec": {"retention": {"results": rule}}});
        kube::Api::<api::Tenant>::all(self.world.client.clone())
            .patch("acme", &Default::default(), &kube::api::Patch::Merge(patch))
            .await?;
        Ok(())
    }

    async fn is_erased(&self) -> Result<()> {
        assert_eq!(self.read().await?, StatusCode::GONE);
        assert_eq!(files_on_disk(&self.world), 0, "the bytes are on the volume");
        assert!(!self.world.secret_exists(&format!("file-{}", self.file)).await?, "its key is there");
        assert!(self.told().await?.erased_at.is_some(), "the run does not say so");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_keeps_its_results_for_less_has_them_erased_by_then() -> Result<()> {
    let ended = Ended::of(ResultRetention::days(0)).await?;
    assert_eq!(ended.kept().await?, SignedDuration::from_mins(1));
    ended.world.keeper.advance(SignedDuration::from_secs(30)).await?;
    assert_eq!(ended.read().await?, StatusCode::OK, "control: it has half a minute left");
    ended.world.keeper.advance(SignedDuration::from_secs(40)).await?;
    ended.is_erased().await?;

    let ended = Ended::of(ResultRetention::days(1)).await?;
    assert_eq!(ended.sealed().await?, ended.told().await?.expires_at.unwrap().0, "what is sealed is what is told");
    ended.world.keeper.advance(SignedDuration::from_hours(23)).await?;
    assert_eq!(files_on_disk(&ended.world), 1, "control: an hour is left");
    ended.world.keeper.advance(SignedDuration::from_hours(2)).await?;
    assert_eq!(files_on_disk(&ended.world), 0, "the bytes are on the volume");
    assert!(ended.told().await?.erased_at.is_some());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_becomes_shorter_is_told_sealed_and_kept_and_a_longer_one_revives_nothing() -> Result<()> {
    let ended = Ended::of(ResultRetention::days(14)).await?;
    let day = SignedDuration::from_hours(24);
    assert_eq!(ended.kept().await?, day * 14);
    ended.tenant(json!({"keepDays": 2})).await?;
    let told = async || Ok((ended.kept().await? == day * 2).then_some(()));
    testkit::wait_for("the status to say two days", std::time::Duration::from_secs(30), told).await?;
    ended.world.keeper.advance(SignedDuration::ZERO).await?;
    assert_eq!(ended.sealed().await?, ended.told().await?.expires_at.unwrap().0, "what is sealed is what is told");
    assert_eq!(ended.read().await?, StatusCode::OK, "control: it opens as before");

    ended.tenant(json!({"keepDays": 30})).await?;
    ended
        .world
        .until_tenant("the longer rule", |t| t.spec.retention.as_ref().is_some_and(|r| r.results == ResultRetention::days(30)))
        .await?;
    ended.world.keeper.advance(SignedDuration::from_hours(47)).await?;
    assert_eq!((ended.kept().await?, files_on_disk(&ended.world)), (day * 2, 1));
    ended.world.keeper.advance(SignedDuration::from_hours(2)).await?;
    assert_eq!(files_on_disk(&ended.world), 0);
    assert!(ended.told().await?.erased_at.is_some());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_uploads_and_runs_that_were_deleted_go_with_them() -> Result<()> {
    let world = World::start().await?;
    world.put_upload("rows").await?;
    let writer = world.files_token(WRITER).await?;
    world.http.put(world.gateway("uploads/rows")).bearer_auth(&writer).body("a\n1\n").send().await?.error_for_status()?;
    assert_eq!(files_on_disk(&world), 1);
    world.delete::<Upload>(HOME, "rows").await?;
    world.keeper.advance(SignedDuration::ZERO).await?;
    assert_eq!(files_on_disk(&world), 0);
    // An object that no record speaks of goes too.
    let folder = world.storage.path().join("files").join(crate::world::REGION).join("files/t");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("stray"), b"x")?;
    world.keeper.advance(SignedDuration::ZERO).await?;
    assert_eq!(files_on_disk(&world), 0);
    Ok(())
}

/// A complete upload, the worker of a run that may read it, and where its ciphertext lies.
struct Reading {
    world: World,
    token: String,
    upload: Upload,
    object: std::path::PathBuf,
}

impl Reading {
    async fn of(content: Vec<u8>) -> Result<Self> {
        let world = World::start().await?;
        let upload = world.put_upload("rows").await?;
        let writer = world.files_token(WRITER).await?;
        world.http.put(world.gateway("uploads/rows")).bearer_auth(&writer).body(content).send().await?.error_for_status()?;
        let upload = world.api::<Upload>(HOME).get(&upload.name_any()).await?;
        let connection = world.ready_connection("crm").await?;
        let worker = world.start_run("r1", &connection, Some(&upload)).await?;
        let token = world.worker_token(&worker).await?;
        let mut found = Vec::new();
        walk(&world.files(), &mut found);
        let reading = Self { token, upload, object: found.remove(0), world };
        assert_eq!(reading.read().await?, StatusCode::OK, "control: the worker may read it");
        Ok(reading)
    }

    fn url(&self) -> String {
        self.world.workers(&format!("files/{}", self.uid()))
    }

    fn uid(&self) -> String {
        self.upload.uid().unwrap_or_default()
    }

    async fn answer(&self) -> Result<reqwest::Response> {
        Ok(self.world.http.get(self.url()).bearer_auth(&self.token).send().await?)
    }

    async fn read(&self) -> Result<StatusCode> {
        let answer = self.answer().await?;
        let status = answer.status();
        answer.bytes().await?;
        Ok(status)
    }

    async fn erased_at(&self) -> Result<bool> {
        let upload = self.world.api::<Upload>(HOME).get(&self.upload.name_any()).await?;
        Ok(upload.status.is_some_and(|s| s.erased_at.is_some()))
    }

    async fn is_gone(&self) -> Result<()> {
        assert_eq!(files_on_disk(&self.world), 0, "the bytes are on the volume");
        assert!(!self.world.secret_exists(&format!("file-{}", self.uid())).await?, "the record is there");
        assert!(self.erased_at().await?, "the Upload does not say so");
        assert!(self.world.audit()?.lines().any(|line| line.contains("FileErased") && line.contains(&self.uid())), "no line in the audit");
        assert_eq!(self.read().await?, StatusCode::FORBIDDEN);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_an_upload_is_served_as_the_whole_is_and_the_audit_tells_of_each_beginning() -> Result<()> {
    let reading = Reading::of(vec![b'x'; 100_000]).await?;
    let part = async |range: &str| -> Result<(StatusCode, Bytes)> {
        let answer = reading.world.http.get(reading.url()).bearer_auth(&reading.token).header("range", range).send().await?;
        Ok((answer.status(), answer.bytes().await?))
    };
    let lines = || -> Result<usize> {
        let audit = reading.world.audit()?;
        Ok(audit.lines().filter(|line| line.contains("FileRead") && line.contains(&reading.uid())).count())
    };
    let whole = reading.answer().await?.bytes().await?;
    let before = lines()?;
    for (range, expected) in [("bytes=88-50000", &whole[88..=50_000]), ("bytes=100-100", &whole[100..=100])] {
        assert_eq!(part(range).await?, (StatusCode::PARTIAL_CONTENT, Bytes::copy_from_slice(expected)), "{range}");
    }
    assert_eq!(lines()?, before, "nothing opens without the beginning");
    for (range, expected) in [("bytes=0-87", &whole[..88]), ("bytes=87-200", &whole[87..=200])] {
        assert_eq!(part(range).await?, (StatusCode::PARTIAL_CONTENT, Bytes::copy_from_slice(expected)), "{range}");
    }
    assert_eq!(lines()?, before + 2);
    assert_eq!(part("bytes=7-").await?, (StatusCode::OK, whole.clone()), "another range is none");
    reading.world.keeper.advance(SignedDuration::from_hours(1)).await?;
    assert_eq!(part("bytes=88-50000").await?.0, StatusCode::FORBIDDEN);
    reading.is_gone().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_hour_ended_while_the_keeper_was_down_is_gone_before_it_is_ready_and_never_served() -> Result<()> {
    let Reading { world, token, upload, object } = Reading::of(content()).await?;
    let world = world.restart_after(SignedDuration::from_mins(58)).await?;
    let reading = Reading { world, token, upload, object };
    assert_eq!(reading.read().await?, StatusCode::OK, "control: within the hour a restart changes nothing");

    let Reading { world, token, upload, object } = reading;
    // Somebody asks all the time, from before the start to after it.
    let (http, url, bearer) = (world.http.clone(), world.workers(&format!("files/{}", upload.uid().unwrap())), token.clone());
    let asking = tokio::spawn(async move {
        let mut answers = Vec::new();
        while answers.last() != Some(&StatusCode::FORBIDDEN) {
            match http.get(&url).bearer_auth(&bearer).send().await {
                Ok(answer) => answers.push(answer.status()),
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            }
        }
        answers
    });
    let world = world.restart_after(SignedDuration::from_hours(1)).await?;
    assert_eq!(files_on_disk(&world), 0, "the keeper is ready and the bytes are there");
    let reading = Reading { world, token, upload, object };
    reading.is_gone().await?;
    // What was asked of the keeper before it ended was answered within the hour.
    let answers = tokio::time::timeout(std::time::Duration::from_secs(60), asking).await??;
    let served_late = answers.iter().skip_while(|answer| **answer == StatusCode::OK).any(|answer| *answer == StatusCode::OK);
    assert!(!served_late, "{answers:?}");
    Ok(())
}

/// Makes a file impossible to delete, even for root: in its place is a folder with the file in it.
fn make_undeletable(object: &std::path::Path) -> Result<()> {
    let aside = object.with_extension("aside");
    std::fs::rename(object, &aside)?;
    std::fs::create_dir(object)?;
    Ok(std::fs::rename(&aside, object.join("bytes"))?)
}

fn make_deletable(object: &std::path::Path) -> Result<()> {
    let aside = object.with_extension("aside");
    std::fs::rename(object.join("bytes"), &aside)?;
    std::fs::remove_dir(object)?;
    Ok(std::fs::rename(&aside, object)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_the_volume_does_not_delete_is_never_served_nor_called_erased_and_goes_once_it_can() -> Result<()> {
    let reading = Reading::of(content()).await?;
    make_undeletable(&reading.object)?;
    reading.world.keeper.advance(SignedDuration::from_mins(61)).await?;
    let refused = async |reading: &Reading| -> Result<()> {
        assert_eq!(reading.read().await?, StatusCode::FORBIDDEN);
        assert!(!reading.erased_at().await?, "the Upload says that it is erased");
        assert!(!reading.world.audit()?.contains("FileErased"), "the audit says that it is erased");
        let secret = reading.world.api::<Secret>(SYSTEM);
        let record = secret.get(&format!("file-{}", reading.uid())).await?;
        assert!(record.data.is_none_or(|data| data.is_empty()), "its key is still there");
        Ok(())
    };
    refused(&reading).await?;

    let Reading { world, token, upload, object } = reading;
    let world = world.restart_after(SignedDuration::from_mins(61)).await?;
    let reading = Reading { world, token, upload, object };
    refused(&reading).await?;

    make_deletable(&reading.object)?;
    reading.world.keeper.advance(SignedDuration::ZERO).await?;
    reading.is_gone().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_takes_nothing_or_is_away_loses_no_file_and_leaves_none() -> Result<()> {
    let world = World::start().await?;
    let upload = world.put_upload("rows").await?;
    let token = world.files_token(WRITER).await?;
    let put = async || -> Result<StatusCode> {
        Ok(world.http.put(world.gateway("uploads/rows")).bearer_auth(&token).body(content()).send().await?.status())
    };
    let nothing_stays = async || -> Result<()> {
        assert!(!world.secret_exists(&format!("file-{}", upload.uid().unwrap())).await?, "its claim stays");
        let status = world.api::<Upload>(HOME).get("rows").await?.status.unwrap_or_default();
        assert!(status.completed_at.is_none() && status.sha256.is_none(), "the Upload says that it has its file");
        Ok(())
    };
    // Where the files would lie is something else.
    std::fs::write(world.files(), b"in the way")?;
    assert_eq!(put().await?, StatusCode::SERVICE_UNAVAILABLE);
    std::fs::remove_file(world.files())?;
    world.keeper.advance(SignedDuration::ZERO).await?;
    nothing_stays().await?;

    let (mount, aside) = (world.storage.path().join("files"), world.storage.path().join("aside"));
    std::fs::rename(&mount, &aside)?;
    assert_eq!(put().await?, StatusCode::SERVICE_UNAVAILABLE);
    // The sweep that looks after what is left must not take the missing volume for an empty one.
    world.keeper.advance(SignedDuration::ZERO).await?;
    std::fs::rename(&aside, &mount)?;
    world.keeper.advance(SignedDuration::ZERO).await?;
    nothing_stays().await?;

    assert_eq!(put().await?, StatusCode::OK, "control: the volume is back");
    assert_eq!(files_on_disk(&world), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_without_its_object_is_refused_and_goes_at_its_hour() -> Result<()> {
    let reading = Reading::of(content()).await?;
    std::fs::remove_file(&reading.object)?;
    assert_eq!(reading.read().await?, StatusCode::FORBIDDEN);
    let last = reading.world.audit()?.lines().last().unwrap_or_default().to_owned();
    assert!(last.contains("CallRefused") && last.contains("\"UploadLost\""), "{last}");
    reading.world.keeper.advance(SignedDuration::from_mins(61)).await?;
    reading.is_gone().await
}

/// The files of this process whose path contains `name`, as the kernel lists them: a deleted one that is open is on the volume.
fn open_files(name: &str) -> usize {
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    entries.filter_map(|entry| std::fs::read_link(entry.path()).ok()).filter(|target| target.to_string_lossy().contains(name)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stands_still_does_not_keep_the_bytes_beyond_the_hour() -> Result<()> {
    // More than all that is buffered on the way.
    let reading = Reading::of(vec![b'x'; 48 << 20]).await?;
    let mut stalled = reading.answer().await?;
    assert!(stalled.chunk().await?.is_some());
    assert_eq!(open_files(&reading.uid()), 1, "control: the file is open while it is read");
    reading.world.keeper.advance(SignedDuration::from_mins(61)).await?;
    let uid = reading.uid();
    testkit::wait_for("the file to be closed", std::time::Duration::from_secs(10), async || Ok((open_files(&uid) == 0).then_some(())))
        .await?;
    let rest = async {
        while stalled.chunk().await?.is_some() {}
        Ok::<_, reqwest::Error>(())
    };
    assert!(rest.await.is_err(), "the file came to a good end after its hour");
    reading.is_gone().await
}

/// The keeper ended between storing the file and saying so: its sender was told nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_whose_sender_was_never_told_is_gone_after_the_restart_and_may_be_sent_again() -> Result<()> {
    let world = World::start().await?;
    world.put_upload("rows").await?;
    let token = world.files_token(WRITER).await?;
    let put = |world: &World| world.http.put(world.gateway("uploads/rows")).bearer_auth(&token).body("a\n1\n").send();
    assert_eq!(put(&world).await?.status(), StatusCode::OK);
    let world = world.restart_after(SignedDuration::ZERO).await?;
    assert_eq!(files_on_disk(&world), 1, "control: a file whose sender was told stays");
    let untold = json!({"status": {"completedAt": null, "expiresAt": null, "bytes": null, "sha256": null}});
    world.api::<Upload>(HOME).patch_status("rows", &Default::default(), &kube::api::Patch::Merge(untold)).await?;
    drop(world.start_keeper("keeper-1", &Line::default()).await?);
    assert_eq!(files_on_disk(&world), 1, "control: to another keeper that starts it may be just about to be told");
    let world = world.restart_after(SignedDuration::ZERO).await?;
    assert_eq!(files_on_disk(&world), 0);
    assert_eq!(put(&world).await?.status(), StatusCode::OK);
    Ok(())
}

fn walk(path: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.path().is_dir() { walk(&entry.path(), found) } else { found.push(entry.path()) }
    }
}

fn files_on_disk(world: &World) -> usize {
    let mut found = Vec::new();
    walk(&world.files(), &mut found);
    found.len()
}

fn on_disk(world: &World, needle: &[u8]) -> bool {
    let mut found = Vec::new();
    walk(world.storage.path(), &mut found);
    found.iter().any(|path| std::fs::read(path).is_ok_and(|bytes| bytes.windows(needle.len()).any(|w| w == needle)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_token_that_lives_longer_than_ten_minutes_opens_nothing() -> Result<()> {
    let world = World::start().await?;
    world.put_upload("airports").await?;
    let url = world.gateway("uploads/airports");
    let audience = names::files_audience(crate::world::REGION, &world.keeper.installation);
    for seconds in [601, 3600, 86_400] {
        let token = world.token_for(HOME, WRITER, &audience, None, seconds).await?;
        let refused = world.http.put(&url).bearer_auth(token).body("x").send().await?;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{seconds} s");
        let text = refused.text().await?;
        assert!(text.contains("--duration=10m"), "{text}");
    }
    assert_eq!(files_on_disk(&world), 0);
    let good = world.http.put(&url).bearer_auth(world.files_token(WRITER).await?).body("x").send().await?;
    assert_eq!(good.status(), StatusCode::OK, "control: ten minutes are taken");
    Ok(())
}

/// A condition of the region, as its reason.
async fn region_says(world: &World, type_: &str) -> Result<Option<String>> {
    let region = kube::Api::<api::Region>::all(world.client.clone()).get(crate::world::REGION).await?;
    let conditions = region.status.unwrap_or_default().conditions;
    Ok(api::conditions::find(&conditions, type_).filter(|c| c.status == "True").map(|c| format!("{}: {}", c.reason, c.message)))
}

/// The region is looked at again within a minute; any change asks for it now.
async fn until_region(world: &World, type_: &str, there: bool) -> Result<String> {
    let regions = kube::Api::<api::Region>::all(world.client.clone());
    let poke = json!({"metadata": {"annotations": {names::RECONCILE_ANNOTATION: jiff::Timestamp::now().to_string()}}});
    regions.patch(crate::world::REGION, &Default::default(), &kube::api::Patch::Merge(poke)).await?;
    let what = format!("{type_} to be {}", if there { "there" } else { "gone" });
    testkit::wait_for(&what, std::time::Duration::from_secs(90), async || {
        let said = region_says(world, type_).await?;
        Ok((said.is_some() == there).then(|| said.unwrap_or_default()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_clock_is_wrong_serves_nothing_and_goes_on_erasing() -> Result<()> {
    for wrong_by in [SignedDuration::from_secs(600), SignedDuration::from_secs(-600)] {
        let reading = Reading::of(content()).await?;
        reading.world.keeper.misset_clock(wrong_by).await?;
        assert_eq!(reading.read().await?, StatusCode::SERVICE_UNAVAILABLE, "nothing is served by {wrong_by:?}");
        let people = reading.world.http.put(reading.world.gateway("uploads/rows")).bearer_auth(reading.world.files_token(WRITER).await?);
        assert_eq!(people.body("x").send().await?.status(), StatusCode::SERVICE_UNAVAILABLE, "nor to people");
        assert_eq!(files_on_disk(&reading.world), 1, "control: its hour has not passed");

        // An hour by the API server's clock.
        reading.world.keeper.advance(SignedDuration::from_mins(61)).await?;
        assert_eq!(files_on_disk(&reading.world), 0, "the file outlives its hour, by {wrong_by:?}");
        assert!(reading.erased_at().await?);
        let said = until_region(&reading.world, "ClockSkew", true).await?;
        println!("{said}");
        // The server names whole seconds.
        let about = |text: &str| (598..=602).any(|seconds: u32| text.contains(&seconds.to_string()));
        assert!(about(&said), "{said}");
        let metrics = reading.world.keeper.metrics.render();
        assert!(metrics.lines().any(|l| l.starts_with("dataimporter_clock_skew_seconds") && about(l)), "{metrics}");

        reading.world.keeper.misset_clock(SignedDuration::ZERO).await?;
        until_region(&reading.world, "ClockSkew", false).await?;
        reading.is_gone().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_erased_are_overdue_with_their_count_until_they_are_gone() -> Result<()> {
    let reading = Reading::of(content()).await?;
    let (volume, away) = (reading.world.storage.path().join("files"), reading.world.storage.path().with_extension("away"));
    std::fs::rename(&volume, &away)?;
    reading.world.keeper.advance(SignedDuration::from_mins(62)).await?;
    let said = until_region(&reading.world, "Overdue", true).await?;
    println!("{said}");
    assert!(said.contains("1 file"), "{said}");
    let metric = |n: u8| format!("dataimporter_overdue_files{{region=\"{}\"}} {n}", crate::world::REGION);
    assert!(reading.world.keeper.metrics.render().contains(&metric(1)), "{}", reading.world.keeper.metrics.render());

    std::fs::rename(&away, &volume)?;
    reading.world.keeper.advance(SignedDuration::ZERO).await?;
    reading.is_gone().await?;
    until_region(&reading.world, "Overdue", false).await?;
    assert!(reading.world.keeper.metrics.render().contains(&metric(0)));
    Ok(())
}
