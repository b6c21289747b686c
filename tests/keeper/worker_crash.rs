//! The worker as a process: the real program, a real keeper, the emulator as the org. It is killed at every labelled point of the chunk
//! protocol and at two hundred random times, with faults of the org on top; and it is frozen, replaced and woken again. However it goes,
//! the run completes, every row is in the org once, and the files tell of each.
//!
//! A round that fails says its seed. `CRASH_SEED=<seed>` tells that round alone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use api::import_run::{ChunkState, ImportRunStatus, RunReason};
use api::snapshot::Snapshot;
use api::{Connection, ImportRun, Region, Upload, names};
use futures::future::try_join_all;
use kube::Api;
use kube::api::{Patch, PatchParams};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::process::{Pid, Signal, kill_process};
use salesforce_emulator::{Action, Emulator, Fault, Running};
use serde_json::json;
use testkit::{ADDRESS, Call, Held, Line, Side, in_own_network, wait_for};
use tokio::process::Child;

use crate::world::{Ground, HOME, REGION, Worker, World, attempt};

const SEED: &str = "CRASH_SEED";
/// Rounds side by side, each with an org of its own.
const LANES: usize = 4;
const KILLS: u64 = 200;
/// A few dozen rows a chunk.
pub(crate) const CHUNK_BYTES: &str = "2000";
pub(crate) const ONE_CHUNK: &str = "1000000";
pub(crate) const FEW: usize = 40;
/// Longer than any attempt takes on a machine that has other things to do.
pub(crate) const LONG: Duration = Duration::from_secs(240);
/// Every so many rows one is wrong for the org: its phone is longer than the field.
pub(crate) const WRONG: usize = 20;

pub(crate) struct Theatre {
    pub(crate) world: World,
    pub(crate) line: Line,
    pub(crate) lanes: Vec<Lane>,
    files: tempfile::TempDir,
}

/// An org and the Connection to it.
pub(crate) struct Lane {
    pub(crate) org: Running,
    pub(crate) connection: Connection,
}

impl Theatre {
    pub(crate) async fn open() -> Result<Self> {
        let ground = Ground::prepare(ADDRESS.parse::<IpAddr>()?).await?;
        let line = Line::default();
        let keeper = ground.start_keeper("keeper-0", &line).await?;
        let world = ground.with(keeper).await?;
        let orgs = try_join_all((0..LANES).map(|_| Emulator::builder().start())).await?;
        let ports: Vec<u16> = orgs.iter().map(|org| org.address.port()).collect();
        let endpoints = json!({"spec": {"privateEndpoints": [{"cidr": "127.0.0.1/32", "ports": ports, "tenants": ["acme"]}]}});
        Api::<Region>::all(world.client.clone()).patch(REGION, &PatchParams::default(), &Patch::Merge(endpoints)).await?;
        let mut lanes = Vec::new();
        for (number, org) in orgs.into_iter().enumerate() {
            let connection = world.ready_connection_to(&org, &format!("crm-{number}")).await?;
            lanes.push(Lane { org, connection });
        }
        Ok(Self { world, line, lanes, files: tempfile::tempdir()? })
    }

    /// Everything as it should be once all rounds are over.
    async fn close(self) -> Result<()> {
        self.world.keeper.advance(jiff::SignedDuration::ZERO).await?;
        let left = walk(&self.world.storage.path().join("files").join(REGION).join("files"));
        ensure!(left == 0, "{left} objects are left on the volume");
        self.world.audit()?;
        self.world.assert_conformant().await;
        Ok(())
    }
}

/// A run on its way: its rows, and the attempts at it so far.
pub(crate) struct Round<'a> {
    theatre: &'a Theatre,
    lane: &'a Lane,
    /// Begins the name of every row.
    name: String,
    rows: usize,
    pub(crate) worker: Worker,
    snapshot: String,
    attempts: Vec<serde_json::Value>,
}

impl<'a> Round<'a> {
    pub(crate) async fn begin(theatre: &'a Theatre, lane: &'a Lane, name: &str, rows: usize) -> Result<Self> {
        Self::begin_as(theatre, lane, name, rows, |_| ()).await
    }

    /// The same with a snapshot that says something else.
    pub(crate) async fn begin_as(
        theatre: &'a Theatre,
        lane: &'a Lane,
        name: &str,
        rows: usize,
        edit: impl FnOnce(&mut Snapshot),
    ) -> Result<Self> {
        let world = &theatre.world;
        let upload = world.put_upload(name).await?;
        send(world, name, rows).await?;
        let worker = world.start_run_of(name, &lane.connection, Some(&upload), edit).await?;
        let snapshot = world.snapshot_text(&worker).await?;
        let attempts = vec![attempt(1, &worker.pod)];
        Ok(Self { theatre, lane, name: name.to_owned(), rows, worker, snapshot, attempts })
    }

    /// What the kubelet would do: the program with the token of its pod.
    pub(crate) async fn start(&self, chunk_bytes: &str) -> Result<Process> {
        self.start_with_keeper_at(self.theatre.world.keeper.worker_address, chunk_bytes).await
    }

    pub(crate) async fn start_with_keeper_at(&self, keeper: SocketAddr, chunk_bytes: &str) -> Result<Process> {
        let world = &self.theatre.world;
        let path = self.theatre.files.path().join(format!("{}-{}", self.name, self.worker.attempt));
        std::fs::write(&path, world.worker_token(&self.worker).await?)?;
        let errors = path.with_extension("err");
        // By a pipe, as in a container: a worker writes no files.
        let (mut heard, said) = std::io::pipe()?;
        let mut file = std::fs::File::create(&errors)?;
        std::thread::spawn(move || std::io::copy(&mut heard, &mut file));
        let child = tokio::process::Command::new(env!("CARGO_BIN_EXE_dataimporter"))
            .arg("worker")
            .env_clear()
            .env("KEEPER_URL", format!("https://{keeper}"))
            .env("KEEPER_CA", world.keeper.ca_pem())
            .env("RUN_UID", &self.worker.uid)
            .env("ATTEMPT", self.worker.attempt.to_string())
            .env("TOKEN_PATH", &path)
            .env("CHUNK_BYTES", chunk_bytes)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Process { child, errors })
    }

    /// What the operator would do: the attempt is over, and the next one is announced and has its pod. Unless it has reported: what a
    /// worker asked for is carried out even if it is killed meanwhile, so that is looked at until the last moment. Answers with the report.
    pub(crate) async fn next_attempt(&mut self, reason: &str) -> Result<Option<ImportRunStatus>> {
        let world = &self.theatre.world;
        let number = self.worker.attempt + 1;
        let pod = world.put_pod(&names::worker_pod(&self.worker.uid, number.unsigned_abs()), &self.worker.uid).await?;
        let over = json!({"finishedAt": "2026-01-01T00:10:00Z", "reason": reason, "counted": false});
        let mut attempts = self.attempts.clone();
        let last = attempts.last_mut().and_then(|attempt| attempt.as_object_mut()).context("an attempt")?;
        last.extend(over.as_object().cloned().unwrap_or_default());
        attempts.push(attempt(number, &pod));
        loop {
            let seen = world.api::<ImportRun>(HOME).get(&self.worker.run).await?;
            if seen.status.as_ref().is_some_and(|status| status.outcome.is_some()) {
                return Ok(seen.status);
            }
            if world.write_attempts_over(&seen, &self.worker, &self.snapshot, json!(attempts)).await? {
                break;
            }
        }
        (self.worker.attempt, self.worker.pod, self.attempts) = (number, pod, attempts);
        Ok(None)
    }

    pub(crate) async fn end_status(&self) -> Result<ImportRunStatus> {
        self.theatre.world.run_status(&self.worker).await
    }

    /// What comes after a worker that was stopped: nothing if it had reported, else other attempts. What it asked for last, and is held,
    /// is carried out when its follower is announced already.
    async fn follow(&mut self, reason: &str, held: Option<Held>, chunk_bytes: &str) -> Result<ImportRunStatus> {
        if let Some(status) = self.next_attempt(reason).await? {
            return Ok(status);
        }
        drop(held);
        self.end(chunk_bytes).await
    }

    /// Attempts without further deaths until one has reported.
    async fn end(&mut self, chunk_bytes: &str) -> Result<ImportRunStatus> {
        for _ in 0..8 {
            let mut process = self.start(chunk_bytes).await?;
            match process.ended().await? {
                Some(0) => return self.end_status().await,
                Some(75) => {
                    if let Some(status) = self.next_attempt("Interrupted").await? {
                        return Ok(status);
                    }
                }
                code => bail!("attempt {} ended with {code:?}: {}", self.worker.attempt, process.said()),
            }
        }
        bail!("no attempt comes to an end")
    }

    /// A result file, as a person gets it.
    pub(crate) async fn result(&self, file: &str) -> Result<String> {
        let world = &self.theatre.world;
        let reader = world.files_token(names::FILES_READER_ACCOUNT).await?;
        let url = world.gateway(&format!("importruns/{}/results/{file}", self.name));
        Ok(world.http.get(url).bearer_auth(reader).send().await?.error_for_status()?.text().await?)
    }

    /// Steps of the protocol so far: what the org was asked, and what the keeper asked for this run.
    fn steps(&self) -> Steps<'_> {
        Steps { round: self, org: self.lane.org.request_count(), seen: self.theatre.line.made().len(), calls: 0 }
    }

    fn concerns(&self) -> impl Fn(&Call) -> bool + Send + Sync + 'static {
        let (uid, path) = (self.worker.uid.clone(), format!("/importruns/{}", self.name));
        move |call| call.path.contains(&uid) || call.path.ends_with(&path) || call.path.contains(&format!("{path}/"))
    }

    /// Names of rows in the org that are of this run, each as often as it is there.
    fn in_the_org(&self) -> BTreeMap<String, usize> {
        let prefix = format!("{}-", self.name);
        let mut found = BTreeMap::new();
        for mut row in self.lane.org.rows("Account", &["Name"]) {
            let name = row.remove(0).unwrap_or_default();
            if name.starts_with(&prefix) {
                *found.entry(name).or_default() += 1;
            }
        }
        found
    }

    fn duplicates(&self) -> usize {
        self.in_the_org().values().filter(|count| **count > 1).count()
    }

    /// No row twice, no row lost, and every sum and every file says so. Leaves nothing of the run.
    pub(crate) async fn check(self, status: &ImportRunStatus, locked: usize) -> Result<()> {
        let (world, n) = (&self.theatre.world, self.rows as i64);
        let outcome = status.outcome.as_ref().context("an outcome")?;
        ensure!(outcome.reason == RunReason::CompletedWithFailedRows, "{:?}: {}", outcome.reason, outcome.message);
        ensure!(outcome.attempt == self.worker.attempt, "the last attempt reported: {outcome:?}");
        ensure!(self.duplicates() == 0, "{} rows are there twice", self.duplicates());
        let there: BTreeSet<String> = self.in_the_org().into_keys().collect();
        let wrong = self.rows / WRONG;
        let lost = self.rows - wrong - there.len();
        ensure!(lost <= locked, "{lost} rows are lost, of which {locked} may be locked: {outcome:?} {:?}", status.rows);
        let rows = status.rows.unwrap_or_default();
        ensure!(rows.balanced() && rows.read == n && rows.unprocessed == 0, "{rows:?}");
        ensure!(rows.succeeded == there.len() as i64 && rows.failed == (wrong + lost) as i64, "{rows:?} and {} rows", there.len());
        let chunks = status.chunks.clone().unwrap_or_default();
        ensure!(chunks.listed.iter().all(|c| matches!(c.state, ChunkState::Done | ChunkState::Abandoned)), "{chunks:?}");
        let mut sums = chunks.folded.map(|folded| folded.rows).unwrap_or_default();
        chunks.listed.iter().for_each(|chunk| sums.add(&chunk.rows));
        ensure!(sums == rows, "chunks say {sums:?}, the run says {rows:?}");

        let mut told = BTreeMap::new();
        for file in &status.results {
            let text = self.result(&file.name).await?;
            for row in csv::Reader::from_reader(text.as_bytes()).records() {
                let row = row?;
                ensure!(told.insert(row[0].to_owned(), file.name.clone()).is_none(), "{} is told twice", &row[0]);
                ensure!(row[2] == unmapped(&row[0]), "{row:?} is whole");
            }
        }
        ensure!(told.len() == self.rows, "the files tell of {} rows", told.len());
        let succeeded: BTreeSet<String> = told.iter().filter(|(_, file)| *file == "succeeded.csv").map(|(name, _)| name.clone()).collect();
        ensure!(succeeded == there, "what succeeded is what is there");
        world.delete::<ImportRun>(HOME, &self.name).await?;
        world.delete::<Upload>(HOME, &self.name).await
    }
}

struct Steps<'a> {
    round: &'a Round<'a>,
    org: usize,
    seen: usize,
    calls: usize,
}

impl Steps<'_> {
    fn count(&mut self) -> usize {
        let fresh = self.round.theatre.line.made_after(self.seen);
        self.seen += fresh.len();
        let concerns = self.round.concerns();
        self.calls += fresh.iter().filter(|call| concerns(call)).count();
        self.calls + self.round.lane.org.request_count() - self.org
    }
}

pub(crate) struct Process {
    child: Child,
    errors: std::path::PathBuf,
}

impl Process {
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).context("the process was waited for")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Its exit code; none when a signal ended it.
    pub(crate) async fn ended(&mut self) -> Result<Option<i32>> {
        let status = tokio::time::timeout(LONG, self.child.wait()).await;
        let status = status.with_context(|| format!("the worker comes to no end: {}", self.said()))?;
        Ok(status?.code())
    }

    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.errors).unwrap_or_default()
    }
}

/// Sends the file of an Upload.
pub(crate) async fn send(world: &World, name: &str, rows: usize) -> Result<()> {
    let token = world.files_token(names::FILES_WRITER_ACCOUNT).await?;
    let sent = world.http.put(world.gateway(&format!("uploads/{name}"))).bearer_auth(token).body(csv(name, rows));
    sent.send().await?.error_for_status()?;
    Ok(())
}

/// Name, phone, and a column that is not mapped.
fn csv(name: &str, rows: usize) -> String {
    let phone = |n: usize| if n.is_multiple_of(WRONG) { "5".repeat(41) } else { format!("+49 {n}") };
    let lines = (1..=rows).map(|n| format!("{name}-{n:04},{},\"{}\"\n", phone(n), unmapped(&format!("{name}-{n:04}"))));
    std::iter::once("Name,Phone,Note\n".to_owned()).chain(lines).collect()
}

fn unmapped(name: &str) -> String {
    format!("of {name}, not mapped")
}

fn walk(path: &Path) -> usize {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { walk(&entry.path()) } else { 1 }).sum()
}

/// Where a worker is stopped.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Point {
    /// A request to the org: before it is carried out, or before its answer.
    Org(&'static str, &'static str, Side),
    /// A call that the keeper makes for the worker, after so many like it.
    Keeper(&'static str, &'static str, usize, Side),
}

impl Point {
    /// What has to go wrong in the org so that a worker comes by.
    fn needs(self) -> Option<Action> {
        let object = "Account".to_owned();
        match self {
            Self::Org(_, "*/failedResults*", _) => Some(Action::LockRows { object }),
            Self::Org(_, "*/unprocessedrecords*", _) => Some(Action::RetryBatch { object, retries: 20 }),
            _ => None,
        }
    }

    /// Rows that the org refuses at this point.
    fn locked(self) -> usize {
        usize::from(matches!(self.needs(), Some(Action::LockRows { .. })))
    }
}

/// What a worker asks of the org for a chunk.
const ORG: [(&str, &str); 7] = [
    ("POST", "*/jobs/ingest"),
    ("PUT", "*/batches"),
    ("PATCH", "*/jobs/ingest/*"),
    ("GET", "*/jobs/ingest/*"),
    ("GET", "*/successfulResults*"),
    ("GET", "*/failedResults*"),
    ("GET", "*/unprocessedrecords*"),
];

/// The life of a chunk from the lease to the outcome, with both sides of every step.
fn points() -> Vec<Point> {
    let keeper = [
        ("GET", "configmaps", 0),
        ("GET", "configmaps", 1),
        ("PATCH", "importruns", 0), // Created
        ("PATCH", "importruns", 1), // Uploaded
        ("PATCH", "importruns", 2), // Done
        ("PATCH", "importruns", 3), // the outcome
    ];
    let org = ORG.into_iter().flat_map(|(m, p)| [Side::Request, Side::Answer].map(|side| Point::Org(m, p, side)));
    let keeper = keeper.into_iter().flat_map(|(m, p, n)| [Side::Request, Side::Answer].map(|side| Point::Keeper(m, p, n, side)));
    org.chain(keeper).collect()
}

impl Round<'_> {
    /// Starts a worker and waits until it is at the point. The keeper holds it there as long as what is returned lives, the org for
    /// the time given.
    pub(crate) async fn start_until(&self, point: Point, chunk_bytes: &str, pause: Duration) -> Result<(Process, Option<Held>)> {
        let mut held = match point {
            Point::Org(method, path, side) => {
                let milliseconds = pause.as_millis() as u64;
                let action = match side {
                    Side::Request => Action::Delay { milliseconds },
                    Side::Answer => Action::DelayAnswer { milliseconds },
                };
                point.needs().into_iter().for_each(|action| self.lane.org.inject(Fault::new(action)));
                self.lane.org.inject(Fault::new(action).on(method, path));
                None
            }
            Point::Keeper(method, part, skip, side) => {
                let concerns = self.concerns();
                Some(self.theatre.line.hold(side, skip, move |call| call.method == method && call.path.contains(part) && concerns(call)))
            }
        };
        let lane = self.lane;
        let before = lane.org.request_count();
        let mut process = self.start(chunk_bytes).await?;
        let there = async {
            match (point, &mut held) {
                (_, Some(held)) => held.reached().await,
                (Point::Org(method, path, side), None) => reached(&lane.org, before, method, path, side).await,
                (Point::Keeper(..), None) => {}
            }
        };
        tokio::select! {
            () = there => Ok((process, held)),
            code = process.ended() => {
                let (code, seen) = (code?, lane.org.requests().split_off(before));
                bail!("the worker came by {point:?} unseen and ended with {code:?}; still to come: {:?}; the org saw {seen:#?}", lane.org.pending_faults())
            }
        }
    }
}

/// Waits until the one fault was met, and what it delays the answer of was carried out.
async fn reached(org: &Running, before: usize, method: &str, path: &str, side: Side) {
    let part = path.trim_matches('*');
    let carried_out = || {
        let (entries, fresh) = (org.requests(), org.request_count() - before);
        entries.iter().rev().take(fresh).any(|entry| entry.method == method && entry.path.contains(part))
    };
    while !org.pending_faults().is_empty() || (side == Side::Answer && !carried_out()) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Works off what comes, as many at once as there are lanes.
async fn in_lanes<T>(theatre: &Theatre, work: impl Iterator<Item = T>, tell: impl AsyncFn(&Lane, T) -> Result<()>) -> Result<()> {
    let queue = std::sync::Mutex::new(work);
    let next = || queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
    let lanes = theatre.lanes.iter().map(async |lane| {
        while let Some(item) = next() {
            tell(lane, item).await?;
        }
        anyhow::Ok(())
    });
    try_join_all(lanes).await.map(|_: Vec<()>| ())
}

#[test]
fn a_worker_killed_at_any_point_of_the_chunk_protocol_is_followed_by_one_that_finishes() {
    in_own_network("worker_crash::a_worker_killed_at_any_point_of_the_chunk_protocol_is_followed_by_one_that_finishes", async {
        let theatre = Theatre::open().await?;
        in_lanes(&theatre, points().into_iter(), async |lane, point| {
            let mut round = Round::begin(&theatre, lane, &format!("killed-{}", label(point)), FEW).await?;
            let (mut process, held) = round.start_until(point, ONE_CHUNK, 2 * LONG).await?;
            process.signal(Signal::KILL)?;
            ensure!(process.ended().await?.is_none(), "{point:?}: it was killed");
            let status = round.follow("Killed", held, ONE_CHUNK).await.with_context(|| format!("{point:?}"))?;
            round.check(&status, point.locked()).await.with_context(|| format!("{point:?}"))
        })
        .await?;
        println!("killed at {} points", points().len());
        theatre.close().await
    });
}

/// A node that does not answer any more, but whose worker is not dead.
#[test]
fn a_worker_frozen_at_any_point_is_replaced_and_does_nothing_when_it_wakes() {
    in_own_network("worker_crash::a_worker_frozen_at_any_point_is_replaced_and_does_nothing_when_it_wakes", async {
        let theatre = Theatre::open().await?;
        in_lanes(&theatre, points().into_iter(), async |lane, point| {
            let mut round = Round::begin(&theatre, lane, &format!("frozen-{}", label(point)), FEW).await?;
            let (mut process, held) = round.start_until(point, ONE_CHUNK, Duration::from_millis(700)).await?;
            process.signal(Signal::STOP)?;
            let status = round.follow("NodeLost", held, ONE_CHUNK).await.with_context(|| format!("{point:?}"))?;
            process.signal(Signal::CONT)?;
            let (code, reported) = (process.ended().await?, status.outcome.as_ref().is_some_and(|o| o.attempt == 1));
            ensure!((code == Some(0)) == reported, "{point:?}: the old worker ended with {code:?}: {}", process.said());
            let after = round.theatre.world.run_status(&round.worker).await?;
            ensure!(after.chunks == status.chunks && after.outcome == status.outcome, "{point:?}: it wrote {after:?} over {status:?}");
            round.check(&after, point.locked()).await.with_context(|| format!("{point:?}"))
        })
        .await?;

        // Without a successor the frozen worker may go on: what stopped it above is the fence, not the frost.
        let lane = &theatre.lanes[0];
        let round = Round::begin(&theatre, lane, "thawed", FEW).await?;
        let (mut process, held) =
            round.start_until(Point::Keeper("PATCH", "importruns", 1, Side::Request), ONE_CHUNK, Duration::ZERO).await?;
        process.signal(Signal::STOP)?;
        drop(held);
        process.signal(Signal::CONT)?;
        ensure!(process.ended().await? == Some(0), "{}", process.said());
        let status = round.end_status().await?;
        round.check(&status, 0).await?;
        theatre.close().await
    });
}

/// Whether the checks of this file see anything: a follower that is told nothing of its predecessor sends everything again.
#[test]
fn without_the_journal_rows_are_doubled_and_the_check_counts_them() {
    in_own_network("worker_crash::without_the_journal_rows_are_doubled_and_the_check_counts_them", async {
        let theatre = Theatre::open().await?;
        let mut round = Round::begin(&theatre, &theatre.lanes[0], "forgotten", FEW).await?;
        let (mut process, held) = round.start_until(Point::Org("PATCH", "*/jobs/ingest/*", Side::Answer), ONE_CHUNK, 2 * LONG).await?;
        process.signal(Signal::KILL)?;
        process.ended().await?;
        let good = FEW - FEW / WRONG;
        wait_for("the rows of the killed worker", LONG, async || Ok((round.in_the_org().len() == good).then_some(()))).await?;
        let world = &theatre.world;
        let nothing =
            json!({"apiVersion": "dataimporter.io/v1alpha1", "kind": "ImportRun", "metadata": {"name": round.name}, "status": {}});
        let params = PatchParams::apply(names::KEEPER_MANAGER).force();
        world.api::<ImportRun>(HOME).patch_status(&round.name, &params, &Patch::Apply(nothing)).await?;
        ensure!(world.run_status(&round.worker).await?.chunks.is_none(), "the journal is gone");
        let status = round.follow("Killed", held, ONE_CHUNK).await?;
        ensure!(round.duplicates() == good, "{} doubled of {good}", round.duplicates());
        let told = round.check(&status, 0).await.err().context("the check sees nothing")?.to_string();
        ensure!(told == format!("{good} rows are there twice"), "{told}");
        Ok(())
    });
}

/// What goes wrong in one round, and when: the same for the same seed.
struct Plan {
    rows: usize,
    faults: Vec<Fault>,
    /// Rows that the org may refuse because they are locked.
    locked: usize,
    /// For each attempt in turn: after how much of an attempt's steps, and how much later.
    kills: Vec<(f64, Duration)>,
}

impl Plan {
    fn of(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut faults: Vec<Fault> = (0..random.random_range(0..=3)).map(|_| fault(&mut random)).collect();
        // One session ends. If its successor is refused at its first call, too, the run says AuthorizationFailed, and rightly.
        let mut ended = false;
        faults.retain(|fault| fault.action != Action::ExpireSession || !std::mem::replace(&mut ended, true));
        let locked = faults.iter().filter(|f| matches!(f.action, Action::LockRows { .. })).map(|f| f.times as usize).sum();
        let kills = (0..random.random_range(1..=3)).map(|_| (random.random::<f64>(), Duration::from_micros(random.random_range(0..5_000))));
        Self { kills: kills.collect(), rows: random.random_range(80..=160), faults, locked }
    }
}

/// Replies that are lost before and after the commit, errors that pass, sessions that end, locks, results that are cut off.
fn fault(random: &mut StdRng) -> Fault {
    // The last one is made only of a job that ended early.
    let calls = &ORG[..6];
    let (method, path) = calls[random.random_range(0..calls.len())];
    let bytes = random.random_range(0..400);
    let (skip, times) = (random.random_range(0..4), random.random_range(1..=2));
    let object = "Account".to_owned();
    let fault = match random.random_range(0..9) {
        0 => Fault::new(Action::DropBefore).on(method, path),
        1 | 2 => Fault::new(Action::DropAfter).on(method, path),
        3 => Fault::new(Action::Status { status: 503, code: None, message: None }).on(method, path),
        4 => return Fault::new(Action::ExpireSession).on(method, path).after(random.random_range(0..4)),
        5 => Fault::new(Action::CutBody { bytes }).on("GET", "*Results*"),
        6 => Fault::new(Action::ShortenBody { bytes }).on("GET", "*Results*"),
        7 => return Fault::new(Action::LockRows { object }).after(random.random_range(0..40)).times(random.random_range(1..=3)),
        _ => return Fault::new(Action::RetryBatch { object, retries: 20 }).after(random.random_range(0..3)),
    };
    fault.after(skip).times(times)
}

#[test]
fn two_hundred_workers_are_killed_at_random_times_and_no_row_is_doubled_or_lost() {
    in_own_network("worker_crash::two_hundred_workers_are_killed_at_random_times_and_no_row_is_doubled_or_lost", async {
        let (theatre, began) = (Theatre::open().await?, Instant::now());
        let steps = undisturbed(&theatre).await?;
        let (kills, rounds) = (AtomicU64::new(0), AtomicU64::new(0));
        let only = std::env::var(SEED).ok().map(|seed| seed.parse::<u64>()).transpose().context(SEED)?;
        let seeds: Box<dyn Iterator<Item = u64>> = match only {
            Some(seed) => Box::new(std::iter::once(seed)),
            None => Box::new((0..2 * KILLS).take_while(|_| kills.load(Ordering::SeqCst) < KILLS)),
        };
        in_lanes(&theatre, seeds, async |lane, seed| {
            let context = || format!("{SEED}={seed}");
            kills.fetch_add(disturbed(&theatre, lane, seed, steps).await.with_context(context)?, Ordering::SeqCst);
            rounds.fetch_add(1, Ordering::SeqCst);
            Ok(())
        })
        .await?;
        let (kills, rounds) = (kills.into_inner(), rounds.into_inner());
        println!("{kills} workers killed in {rounds} rounds, {:.0} s: 0 duplicates, 0 losses", began.elapsed().as_secs_f64());
        ensure!(only.is_some() || kills >= KILLS, "only {kills} workers died");
        theatre.close().await
    });
}

/// A round in which nothing goes wrong: how many steps an attempt has, and what it costs the API server.
async fn undisturbed(theatre: &Theatre) -> Result<usize> {
    let began = Instant::now();
    let round = Round::begin(theatre, &theatre.lanes[0], "undisturbed", 120).await?;
    let seen = theatre.line.made().len();
    let mut steps = round.steps();
    let mut process = round.start(CHUNK_BYTES).await?;
    ensure!(process.ended().await? == Some(0), "{}", process.said());
    let steps = steps.count();
    let status = round.end_status().await?;
    let chunks = status.chunks.as_ref().map_or(0, |chunks| chunks.total);
    let concerns = round.concerns();
    let writes = theatre.line.made_after(seen).iter().filter(|c| c.is_write() && c.path.contains("/importruns/") && concerns(c)).count();
    // Progress every five seconds, and the outcome.
    let budget = 4 * chunks as usize + began.elapsed().as_secs() as usize / 5 + 1;
    println!("an attempt has {steps} steps; {writes} writes for {chunks} chunks");
    ensure!(chunks >= 3 && writes <= budget, "{writes} writes of the run for {chunks} chunks");
    round.check(&status, 0).await?;
    Ok(steps)
}

/// Answers how many workers were killed.
async fn disturbed(theatre: &Theatre, lane: &Lane, seed: u64, steps: usize) -> Result<u64> {
    let plan = Plan::of(seed);
    let mut round = Round::begin(theatre, lane, &format!("r{seed}"), plan.rows).await?;
    plan.faults.iter().for_each(|fault| lane.org.inject(fault.clone()));
    let mut killed = 0;
    let mut status = None;
    for (share, pause) in plan.kills {
        let mut done = round.steps();
        let mut process = round.start(CHUNK_BYTES).await?;
        let last = (share * steps as f64) as usize;
        let due = async {
            while done.count() < last {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep(pause).await;
        };
        let code = tokio::select! {
            code = process.ended() => code?,
            () = due => {
                process.signal(Signal::KILL)?;
                process.ended().await?
            }
        };
        killed += u64::from(code.is_none());
        if !matches!(code, None | Some(0 | 75)) {
            bail!("attempt {} ended with {code:?}: {}", round.worker.attempt, process.said());
        }
        status = round.next_attempt("Killed").await?;
        if status.is_some() {
            break;
        }
    }
    let status = match status {
        Some(status) => status,
        None => round.end(CHUNK_BYTES).await?,
    };
    lane.org.clear_faults();
    round.check(&status, plan.locked).await?;
    Ok(killed)
}

fn label(point: Point) -> String {
    let text = format!("{point:?}").to_ascii_lowercase();
    let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    words.join("-")
}
