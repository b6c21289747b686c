//! The keeper dies right after one of its calls to the API server, reads included, whichever it is, and the next one finishes: nothing
//! is doubled, no secret is half stored, nothing is left behind. Every call of a story is tried, one after the other.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api::import_run::{Chunk, ChunkState, Rows};
use api::keeper::{FileGrant, Lease, SourceCredential};
use api::{Connection, ImportRun, Region, Tenant, Upload, conditions, names};
use bytes::{Bytes, BytesMut};
use dataimporter::keeper::{Args, Running};
use envelope::stream::{Opener, Sealer};
use http::StatusCode;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use sha2::{Digest, Sha256};
use testkit::{ApiServer, Call, Line, wait_for};
use tokio::runtime::Runtime;

use crate::world::{Ground, HOME, REGION, SYSTEM, Worker, World, ready_reason, start_keeper};

const FILE: &str = "Name\nAda\nAlan\n";
const RESULT: &str = "Name,sf__Id\nAda,1\n";
const WAIT: Duration = Duration::from_secs(20);
/// Long enough for a keeper that has something to do to do it.
const PAUSE: Duration = Duration::from_millis(100);

/// A world whose keeper can die: it has a runtime to itself, and what it was doing ends with that.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) mortal: Mortal,
    pub(crate) line: Line,
}

/// A runtime that ends without waiting for what goes on there.
pub(crate) struct Mortal(Option<Runtime>);

impl Mortal {
    fn new() -> Result<Self> {
        Ok(Self(Some(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)))
    }

    async fn start(&self, server: Arc<ApiServer>, arguments: Args, line: Line) -> Result<Running> {
        let runtime = self.0.as_ref().context("it is alive")?;
        runtime.spawn(start_keeper(server, arguments, line)).await?
    }

    /// As `kill -9` would: nothing goes on but what the kernel was already told.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        if let Some(runtime) = self.0.take() {
            tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(5))).await?;
        }
        Ok(())
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Stage {
    pub(crate) async fn set() -> Result<Self> {
        let ground = Ground::prepare(Ipv4Addr::LOCALHOST.into()).await?;
        let (mortal, line) = (Mortal::new()?, Line::default());
        let keeper = mortal.start(ground.server.clone(), ground.keeper_arguments("keeper-0"), line.clone()).await?;
        Ok(Self { world: ground.with(keeper).await?, mortal, line })
    }

    pub(crate) async fn next_keeper(&mut self) -> Result<()> {
        self.keeper_that_dies_after(None, |_| true).await?.then_some(()).context("a keeper that lives comes up")
    }

    /// False: it died before it was ready.
    pub(crate) async fn keeper_that_dies_after(&mut self, calls: Option<usize>, counts: fn(&Call) -> bool) -> Result<bool> {
        self.mortal.kill().await?;
        let (mortal, line) = (Mortal::new()?, Line::default());
        if let Some(calls) = calls {
            line.cut_after(calls, counts);
        }
        (self.mortal, self.line) = (mortal, line.clone());
        let started = self.mortal.start(self.world.server.clone(), self.world.keeper_arguments("keeper-0"), line.clone());
        self.world.keeper = tokio::select! {
            () = line.dead() => return Ok(false),
            started = started => started?,
        };
        // What every keeper does first is part of its start.
        Ok(tokio::select! { () = line.dead() => false, () = line.quiet(PAUSE) => true })
    }

    /// Tells a story to one keeper after the other, each of which dies one call later, until one lives to its end. Answers how many died.
    async fn enumerate<S: Story>(&mut self, story: &S) -> Result<usize> {
        for calls in 1.. {
            if S::FRESH {
                self.next_keeper().await?;
            }
            let mut scene = story.prepare(&self.world, calls).await.with_context(|| format!("{}: before call {calls}", S::NAME))?;
            self.line.quiet(PAUSE).await;
            self.line.cut_after(calls, |_| true);
            let told = tokio::select! {
                told = story.tell(&self.world, &mut scene) => Some(told),
                () = self.line.dead() => None,
            };
            let lived = told.is_some() && self.line.mend();
            if let Some(told) = told.filter(|_| lived) {
                told.with_context(|| format!("{}: nobody died", S::NAME))?;
            } else {
                let context = format!("{}: the keeper died after call {calls}, {:?}", S::NAME, self.line.made().last());
                self.next_keeper().await.with_context(|| context.clone())?;
                story.tell(&self.world, &mut scene).await.context(context)?;
            }
            story.check(&self.world, scene).await.with_context(|| format!("{}: call {calls}", S::NAME))?;
            if lived {
                println!("{}: died after each of {} calls", S::NAME, calls - 1);
                return Ok(calls - 1);
            }
            ensure!(calls < 400, "{}: it comes to no end", S::NAME);
        }
        unreachable!()
    }
}

/// Something that people and workers do with a keeper. What they do is done again when no answer came.
trait Story {
    const NAME: &str;
    /// Every round begins with a keeper that has not been told anything.
    const FRESH: bool = false;
    type Scene;

    /// While nobody dies.
    async fn prepare(&self, world: &World, number: usize) -> Result<Self::Scene>;
    /// While somebody may; told once more, from its beginning, to the next keeper.
    async fn tell(&self, world: &World, scene: &mut Self::Scene) -> Result<()>;
    /// What must be so afterwards. Leaves nothing for the next round.
    async fn check(&self, world: &World, scene: Self::Scene) -> Result<()>;
}

/// A Secret is taken in, shown to the org and deleted at its source.
struct Intake;

impl Story for Intake {
    const NAME: &str = "intake";
    type Scene = String;

    async fn prepare(&self, world: &World, number: usize) -> Result<String> {
        let name = format!("intake-{number}");
        world.put_secret(&name, json!({"clientSecret": world.org.client_secret})).await?;
        world.consent(&name, &name, &world.org_spec(&name, "Delete")).await?;
        world.allow(&name).await?;
        Ok(name)
    }

    async fn tell(&self, world: &World, name: &mut String) -> Result<()> {
        world.put_connection(name, world.org_spec(name, "Delete")).await?;
        world.until_connection(name, "Verified").await?;
        let secrets = world.api::<Secret>(HOME);
        wait_for("the source to be deleted", WAIT, async || Ok(secrets.get_opt(name).await?.is_none().then_some(()))).await
    }

    async fn check(&self, world: &World, name: String) -> Result<()> {
        let connection = world.api::<Connection>(HOME).get(&name).await?;
        ensure!(connection.status.as_ref().and_then(|s| s.credential_version) == Some(1), "taken in once: {:?}", connection.status);
        let uid = connection.uid().unwrap_or_default();
        for record in [format!("connection-{uid}"), format!("tokens-{uid}")] {
            ensure!(is_sealed(&world.api::<Secret>(SYSTEM).get(&record).await?), "{record} is whole");
        }
        disconnected(world, &name).await
    }
}

/// A person disconnects.
struct Disconnect;

struct Disconnecting {
    name: String,
    uid: String,
    tokens: BTreeSet<String>,
}

impl Story for Disconnect {
    const NAME: &str = "disconnect";
    type Scene = Disconnecting;

    async fn prepare(&self, world: &World, number: usize) -> Result<Disconnecting> {
        let name = format!("leaving-{number}");
        let before = alive(world);
        let connection = world.ready_connection(&name).await?;
        let tokens = alive(world).difference(&before).cloned().collect();
        Ok(Disconnecting { name, uid: connection.uid().unwrap_or_default(), tokens })
    }

    async fn tell(&self, world: &World, scene: &mut Disconnecting) -> Result<()> {
        disconnected(world, &scene.name).await
    }

    async fn check(&self, world: &World, scene: Disconnecting) -> Result<()> {
        ensure!(!scene.tokens.is_empty(), "a token was issued");
        ensure!(alive(world).is_disjoint(&scene.tokens), "a token outlived its Connection");
        for record in [format!("connection-{}", scene.uid), format!("tokens-{}", scene.uid)] {
            ensure!(!world.secret_exists(&record).await?, "{record} is left");
        }
        Ok(())
    }
}

/// A file comes in.
struct Uploading;

impl Story for Uploading {
    const NAME: &str = "upload";
    type Scene = Upload;

    async fn prepare(&self, world: &World, number: usize) -> Result<Upload> {
        world.put_upload(&format!("coming-{number}")).await
    }

    async fn tell(&self, world: &World, upload: &mut Upload) -> Result<()> {
        let name = upload.name_any();
        let token = world.files_token(names::FILES_WRITER_ACCOUNT).await?;
        let sent = world.http.put(world.gateway(&format!("uploads/{name}"))).bearer_auth(token).body(FILE).send().await?;
        // A sender that is told that the file is there already finds it complete.
        ensure!([StatusCode::OK, StatusCode::CONFLICT].contains(&sent.status()), "{}: {}", sent.status(), sent.text().await?);
        world.until(&name, "the Upload to be complete", |u: &Upload| is_complete(u)).await.map(|_| ())
    }

    async fn check(&self, world: &World, upload: Upload) -> Result<()> {
        let (name, uid) = (upload.name_any(), upload.uid().unwrap_or_default());
        let status = world.api::<Upload>(HOME).get(&name).await?.status.unwrap_or_default();
        let expected = hex::encode(Sha256::digest(FILE));
        ensure!(status.sha256 == Some(expected) && status.bytes == Some(FILE.len() as i64), "{status:?}");
        ensure!(is_sealed(&world.api::<Secret>(SYSTEM).get(&format!("file-{uid}")).await?), "the key is stored");
        ensure!(objects(world).iter().filter(|path| path.ends_with(&uid)).count() == 1, "the file lies on the volume once");
        world.delete::<Upload>(HOME, &name).await?;
        nothing_left_of(world, &uid).await
    }
}

/// A worker's whole life, as far as the keeper sees it.
struct Run {
    connection: Connection,
    upload: Upload,
}

impl Story for Run {
    const NAME: &str = "run";
    type Scene = Worker;

    async fn prepare(&self, world: &World, number: usize) -> Result<Worker> {
        world.start_run(&format!("run-{number}"), &self.connection, Some(&self.upload)).await
    }

    async fn tell(&self, world: &World, worker: &mut Worker) -> Result<()> {
        let token = world.worker_token(worker).await?;
        let runs = format!("runs/{}", worker.uid);
        let lease: Lease = answer(world.post(&token, &format!("{runs}/lease"), &json!({"attempt": 1})).await?).await?.json().await?;
        let Some(SourceCredential::Upload(grant)) = lease.source else { anyhow::bail!("the source is an upload") };
        let file = world.http.get(world.workers(&format!("files/{}", grant.file.uid))).bearer_auth(&token);
        let sealed = answer(file.send().await?).await?.bytes().await?;
        ensure!(open(&grant.file, &sealed)? == FILE.as_bytes(), "the file is what was sent");
        let known = lease.chunks.listed.first().map(|chunk| chunk.state);
        for state in [ChunkState::Created, ChunkState::Uploaded, ChunkState::Done].into_iter().filter(|state| known < Some(*state)) {
            let body = json!({"attempt": 1, "chunk": chunk(state)});
            answer(world.http.put(world.workers(&format!("{runs}/chunks/0"))).bearer_auth(&token).json(&body).send().await?).await?;
        }
        // A row more than the finished chunk has said already.
        let progress = json!({"attempt": 1, "rows": Rows { read: 3, ..rows() }});
        answer(world.post(&token, &format!("{runs}/progress"), &progress).await?).await?;
        let new = json!({"attempt": 1, "name": "succeeded.csv"});
        let grant = world.post(&token, &format!("{runs}/files"), &new).await?;
        let file = match grant.status() {
            StatusCode::CONFLICT => result_id(worker),
            _ => {
                let grant: FileGrant = answer(grant).await?.json().await?;
                let sealed = seal(&grant, RESULT.as_bytes())?;
                answer(world.http.put(world.workers(&format!("files/{}", grant.uid))).bearer_auth(&token).body(sealed).send().await?)
                    .await?;
                grant.uid
            }
        };
        let report = json!({"attempt": 1, "reason": "Completed", "message": "", "rows": rows(),
            "results": [{"name": "succeeded.csv", "file": file, "rows": 1, "bytes": RESULT.len()}]});
        answer(world.post(&token, &format!("{runs}/outcome"), &report).await?).await.map(|_| ())
    }

    async fn check(&self, world: &World, worker: Worker) -> Result<()> {
        let status = world.run_status(&worker).await?;
        let chunks = status.chunks.clone().unwrap_or_default();
        ensure!((chunks.total, chunks.done) == (1, 1) && chunks.listed[0].job_id.as_deref() == Some(JOB), "{chunks:?}");
        ensure!(status.rows == Some(rows()) && status.outcome.is_some() && status.results.len() == 1, "{status:?}");
        let file = status.results[0].file.clone();
        ensure!(objects(world).iter().filter(|path| path.ends_with(&file)).count() == 1, "the result lies on the volume once");
        let reader = world.files_token(names::FILES_READER_ACCOUNT).await?;
        let url = world.gateway(&format!("importruns/{}/results/succeeded.csv", worker.run));
        ensure!(
            answer(world.http.get(&url).bearer_auth(reader).send().await?).await?.text().await? == RESULT,
            "the result is what was sent"
        );
        world.delete::<ImportRun>(HOME, &worker.run).await?;
        nothing_left_of(world, &file).await
    }
}

/// What has had its time is erased: an upload after its hour, a result whose run was deleted, and what an attempt left that never reported.
struct Sweep(Connection);

struct Due {
    upload: Upload,
    files: Vec<String>,
}

impl Story for Sweep {
    const NAME: &str = "sweep";
    // Its clock was put forward.
    const FRESH: bool = true;
    type Scene = Due;

    async fn prepare(&self, world: &World, number: usize) -> Result<Due> {
        let mut upload = world.put_upload(&format!("due-{number}")).await?;
        Uploading.tell(world, &mut upload).await?;
        let mut gone = world.start_run(&format!("gone-{number}"), &self.0, Some(&upload)).await?;
        Run { connection: self.0.clone(), upload: upload.clone() }.tell(world, &mut gone).await?;
        let orphan = world.run_status(&gone).await?.results[0].file.clone();
        world.delete::<ImportRun>(HOME, &gone.run).await?;
        let over = world.start_run(&format!("over-{number}"), &self.0, Some(&upload)).await?;
        let token = world.worker_token(&over).await?;
        let new = json!({"attempt": 1, "name": "failed.csv"});
        let grant: FileGrant = answer(world.post(&token, &format!("runs/{}/files", over.uid), &new).await?).await?.json().await?;
        let sealed = seal(&grant, RESULT.as_bytes())?;
        answer(world.http.put(world.workers(&format!("files/{}", grant.uid))).bearer_auth(&token).body(sealed).send().await?).await?;
        world.finish_run(&over).await?;
        let files = vec![upload.uid().unwrap_or_default(), orphan, grant.uid];
        for file in &files {
            ensure!(objects(world).iter().any(|path| path.ends_with(file)), "{file} lies on the volume");
        }
        Ok(Due { upload, files })
    }

    async fn tell(&self, world: &World, _: &mut Due) -> Result<()> {
        world.keeper.advance(SignedDuration::from_mins(61)).await
    }

    async fn check(&self, world: &World, due: Due) -> Result<()> {
        for file in &due.files {
            ensure!(!world.secret_exists(&format!("file-{file}")).await?, "file-{file} is left");
            ensure!(!objects(world).iter().any(|path| path.ends_with(file)), "{file} is left on the volume");
        }
        let status = world.api::<Upload>(HOME).get(&due.upload.name_any()).await?.status.unwrap_or_default();
        ensure!(status.erased_at.is_some(), "{status:?}");
        world.delete::<Upload>(HOME, &due.upload.name_any()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keeper_may_die_after_any_of_its_calls_in_a_run() -> Result<()> {
    let mut stage = Stage::set().await?;
    let mut upload = stage.world.put_upload("rows").await?;
    Uploading.tell(&stage.world, &mut upload).await?;
    let run = Run { connection: stage.world.ready_connection("crm").await?, upload };
    ensure!(stage.enumerate(&run).await? > 60, "did the line go dead?");
    within_budget(&stage.line)?;
    left_in_order(stage).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keeper_may_die_after_any_of_its_calls_for_a_connection() -> Result<()> {
    let mut stage = Stage::set().await?;
    ensure!(stage.enumerate(&Intake).await? > 10, "did the line go dead?");
    ensure!(stage.enumerate(&Disconnect).await? > 5, "did the line go dead?");
    left_in_order(stage).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keeper_may_die_after_any_of_its_calls_for_a_file() -> Result<()> {
    let mut stage = Stage::set().await?;
    ensure!(stage.enumerate(&Uploading).await? > 4, "did the line go dead?");
    let sweep = Sweep(stage.world.ready_connection("crm").await?);
    ensure!(stage.enumerate(&sweep).await? > 10, "did the line go dead?");
    left_in_order(stage).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keeper_may_die_after_any_of_its_first_calls() -> Result<()> {
    let mut stage = Stage::set().await?;
    stage.world.ready_connection("crm").await?;
    let mut died = 0;
    while !stage.keeper_that_dies_after(Some(died + 1), |_| true).await? {
        died += 1;
        ensure!(died < 200, "the start comes to an end");
    }
    println!("start: died after each of {died} calls");
    stage.next_keeper().await?;
    stage.world.until_connection("crm", "Verified").await?;

    // The very first start, in a namespace that knows nothing yet. Whatever the dead one made is used, not made again.
    disconnected(&stage.world, "crm").await?;
    let mut first = 0;
    loop {
        stage.mortal.kill().await?;
        forget_installation(&stage.world).await?;
        if stage.keeper_that_dies_after(Some(first + 1), |_| true).await? {
            break;
        }
        first += 1;
        ensure!(first < 200, "the first start comes to an end");
        let made = secrets(&stage.world).await?;
        stage.next_keeper().await?;
        keys_are_ready(&stage.world).await.with_context(|| format!("died after call {first} of its first start"))?;
        let now = wait_for("a ring for sealing", Duration::from_secs(30), async || {
            Ok(Some(secrets(&stage.world).await?).filter(|now| now.iter().any(|name| name.starts_with("seal-keys-"))))
        })
        .await?;
        ensure!(made.is_subset(&now), "call {first}: {made:?} became {now:?}");
        ensure!(now.len() == 4, "call {first}: authority, root key, key ring, ring for sealing: {now:?}");
    }
    println!("first start: died after each of {first} calls");
    ensure!(died > 15 && first > 20, "only {died} and {first} calls: did the line go dead?");
    Ok(())
}

/// Every status that was ever written followed the conventions, the audit is whole, and nothing lies where nothing should.
async fn left_in_order(stage: Stage) -> Result<()> {
    let Stage { world, mortal: _alive, .. } = stage;
    world.keeper.advance(SignedDuration::ZERO).await?;
    world.audit()?;
    let begun = walk(&world.storage.path().join("files").join(REGION).join("begun"));
    ensure!(begun.is_empty(), "unfinished files are left: {begun:?}");
    let (mut records, mut files) = (BTreeSet::new(), BTreeSet::new());
    for name in secrets(&world).await? {
        match name.split_once('/').map_or(name.as_str(), |(name, _)| name) {
            name if name.starts_with("file-") => files.insert(name["file-".len()..].to_owned()),
            name => records.insert(name.to_owned()),
        };
    }
    let mut expected: BTreeSet<String> = ["dataimporter-keeper-ca".to_owned()].into();
    let region = Api::<Region>::all(world.client.clone()).get(REGION).await?.uid().unwrap_or_default();
    expected.extend([format!("root-{region}"), format!("region-keys-{region}"), format!("seal-keys-{region}")]);
    expected.insert(format!("keys-{}", Api::<Tenant>::all(world.client.clone()).get("acme").await?.uid().unwrap_or_default()));
    for connection in world.api::<Connection>(HOME).list(&ListParams::default()).await? {
        let uid = connection.uid().unwrap_or_default();
        expected.extend([format!("connection-{uid}"), format!("tokens-{uid}")]);
    }
    ensure!(records == expected, "{records:?} instead of {expected:?}");
    let stored: BTreeSet<String> =
        objects(&world).iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect();
    ensure!(files == stored, "keys {files:?} and objects {stored:?}");
    world.assert_conformant().await;
    Ok(())
}

/// What the run that nobody died in cost: status writes of a run, its files and its token apart.
fn within_budget(line: &Line) -> Result<()> {
    let made = line.made();
    let of_runs = || made.iter().filter(|call| call.is_write() && call.path.contains("/importruns/"));
    let last = of_runs().next_back().context("a write for a run")?;
    let writes: Vec<_> = of_runs().filter(|call| call.path == last.path).collect();
    // Three for its chunk, one of progress, one of the outcome.
    ensure!(writes.len() == 5, "{writes:#?}");
    Ok(())
}

const JOB: &str = "7505f000000abcdAAA";

fn rows() -> Rows {
    Rows { read: 2, succeeded: 2, ..Rows::default() }
}

fn chunk(state: ChunkState) -> Chunk {
    Chunk {
        number: 0,
        resends: None,
        state,
        first_row: 1,
        input_rows: 2,
        sent_rows: 2,
        bytes: 14,
        sha256: (state != ChunkState::Created).then(|| "ab".repeat(32)),
        job_id: Some(JOB.into()),
        rows: if state == ChunkState::Done { rows() } else { Rows::default() },
        sealed_cursor: None,
    }
}

/// As the keeper makes it from run, attempt and name.
fn result_id(worker: &Worker) -> String {
    hex::encode(&Sha256::digest(format!("{}/1/succeeded.csv", worker.uid))[..16])
}

/// A good answer, or what was answered.
async fn answer(response: reqwest::Response) -> Result<reqwest::Response> {
    let (status, url) = (response.status(), response.url().path().to_owned());
    if status.is_success() {
        return Ok(response);
    }
    anyhow::bail!("{url}: {status} {}", response.text().await?)
}

fn seal(grant: &FileGrant, plain: &[u8]) -> Result<Bytes> {
    let (key, context) = dataimporter::file_grant::accept(grant).context("a key")?;
    let mut sealed = BytesMut::new();
    let mut sealer = Sealer::begin(key, &context, &mut rand::rng(), &mut sealed);
    sealer.update(plain, &mut sealed)?;
    sealer.finish(&mut sealed)?;
    Ok(sealed.freeze())
}

fn open(grant: &FileGrant, sealed: &[u8]) -> Result<Vec<u8>> {
    let (key, context) = dataimporter::file_grant::accept(grant).context("a key")?;
    let mut plain = BytesMut::new();
    let mut opener = Opener::new(key, context);
    opener.update(sealed, &mut plain)?;
    opener.finish(&mut plain)?;
    Ok(plain.to_vec())
}

fn is_complete(upload: &Upload) -> bool {
    ready_reason(upload.status.as_ref().map(|s| s.conditions.as_slice())) == Some("Complete")
}

fn is_sealed(secret: &Secret) -> bool {
    secret.data.as_ref().and_then(|data| data.get("record")).is_some_and(|record| record.0.len() > 32)
}

fn alive(world: &World) -> BTreeSet<String> {
    world.org.tokens().into_iter().filter(|token| token.active).map(|token| token.token).collect()
}

async fn disconnected(world: &World, name: &str) -> Result<()> {
    let connections = world.api::<Connection>(HOME);
    match connections.delete(name, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        deleted => deleted?,
    };
    wait_for("the Connection to be gone", WAIT, async || Ok(connections.get_opt(name).await?.is_none().then_some(()))).await
}

/// The sweep takes a file whose owner is gone: key, bytes and name.
async fn nothing_left_of(world: &World, file: &str) -> Result<()> {
    world.keeper.advance(SignedDuration::ZERO).await?;
    ensure!(!world.secret_exists(&format!("file-{file}")).await?, "file-{file} is left");
    ensure!(!objects(world).iter().any(|path| path.ends_with(file)), "{file} is left on the volume");
    Ok(())
}

fn objects(world: &World) -> Vec<PathBuf> {
    walk(&world.storage.path().join("files").join(REGION).join("files"))
}

fn walk(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.path().is_dir() { found.extend(walk(&entry.path())) } else { found.push(entry.path()) }
    }
    found
}

/// All Secrets of the keeper, by name and UID.
async fn secrets(world: &World) -> Result<BTreeSet<String>> {
    let listed = world.api::<Secret>(SYSTEM).list(&ListParams::default()).await?;
    Ok(listed.iter().map(|secret| format!("{}/{}", secret.name_any(), secret.uid().unwrap_or_default())).collect())
}

/// A namespace as the chart leaves it, and a tenant that no keeper has seen.
async fn forget_installation(world: &World) -> Result<()> {
    world.api::<Secret>(SYSTEM).delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
    for map in [names::INSTALLATION_CONFIGMAP, names::PUBLIC_CONFIGMAP] {
        match world.api::<ConfigMap>(SYSTEM).delete(map, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            deleted => drop(deleted?),
        }
    }
    let tenants: Api<Tenant> = Api::all(world.client.clone());
    let tenant = tenants.get("acme").await?;
    let free = json!({"metadata": {"finalizers": null}});
    tenants.patch("acme", &PatchParams::default(), &Patch::Merge(free)).await?;
    tenants.delete("acme", &DeleteParams::default()).await?;
    let mut fresh = Tenant::new("acme", tenant.spec.clone());
    fresh.metadata.labels = tenant.metadata.labels.clone();
    tenants.create(&PostParams::default(), &fresh).await?;
    crate::world::bind_tenant(&world.client).await
}

async fn keys_are_ready(world: &World) -> Result<()> {
    world
        .until_tenant("its keys", |tenant| {
            crate::world::is_true(tenant.status.as_ref().map(|s| s.conditions.as_slice()), conditions::KEYS_READY)
        })
        .await
        .map(|_| ())
}
