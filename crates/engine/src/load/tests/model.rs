//! An org and a journal in memory that lose answers, stumble and die with the worker, all from one seed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::row::Record;
use api::import_run::{Chunk, Chunks};
use api::keeper::Control;
use async_trait::async_trait;
use salesforce::bulk::{JobId, JobInfo, JobState, ResultKind, ResultRow, Uploaded};
use salesforce::{ApiError, ApiUsage, Delivery, Error, NetworkError};
use sha2::{Digest, Sha256};

use super::calls::CallLane;
use crate::load::{Body, Bulk, BulkLane, EachResult, Journal, JournalError, Lane};

/// Small and good enough.
#[derive(Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Written,
    Refused,
    Untried,
}

struct Job {
    state: JobState,
    rows: Vec<Record>,
    fates: Vec<Option<Fate>>,
    uploads: u32,
    error: Option<&'static str>,
}

pub(super) struct World {
    pub(super) random: Random,
    jobs: Vec<Job>,
    /// First cells of all rows ever written.
    pub(super) written: Vec<String>,
    /// Out of how many calls one goes wrong; 0: none.
    pub(super) trouble: u64,
    /// Out of how many chunks one is ended by the server before all rows are tried; 0: none. Three times at most: rows that meet it
    /// a fourth time are rightly given up.
    pub(super) spoil: u64,
    spoiled: u32,
    /// The worker dies at this call.
    pub(super) dies_in: Option<u64>,
    pub(super) dead: bool,
    /// Every job fails as a whole.
    pub(super) refuses: Option<&'static str>,
    /// Jobs stay in progress for so many looks.
    pub(super) slow: u32,
    pub(super) usage: Option<ApiUsage>,
    pub(super) journal: Chunks,
    pub(super) cursors: Vec<(i64, Vec<String>)>,
    pub(super) cancel_after_writes: Option<u32>,
    /// The next write to the journal meets a fault of the program, which says this.
    pub(super) panics: Option<String>,
    writes: u32,
    pub(super) calls: u64,
}

#[derive(Clone)]
pub(super) struct Model(Arc<Mutex<World>>, Protocol);

/// How chunks are committed to the model.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Protocol {
    /// Bulk API 2.0.
    Jobs,
    /// One call a chunk; see `CallLane`.
    Calls,
}

impl Protocol {
    /// Another attempt can read the results of a chunk again.
    pub(super) fn keeps_results(self) -> bool {
        self == Self::Jobs
    }
}

/// What goes wrong with one call.
enum Mishap {
    None,
    /// It never arrives.
    Unsent,
    /// It is carried out, but the answer is lost.
    AnswerLost,
    /// The server stumbles before doing anything.
    Unavailable,
}

impl Model {
    pub(super) fn new(seed: u64, protocol: Protocol) -> Self {
        let world = World {
            random: Random::new(seed),
            jobs: Vec::new(),
            written: Vec::new(),
            trouble: 0,
            spoil: 0,
            spoiled: 0,
            dies_in: None,
            dead: false,
            refuses: None,
            slow: 1,
            usage: None,
            journal: Chunks::default(),
            cursors: Vec::new(),
            cancel_after_writes: None,
            panics: None,
            writes: 0,
            calls: 0,
        };
        Self(Arc::new(Mutex::new(world)), protocol)
    }

    pub(super) fn protocol(&self) -> Protocol {
        self.1
    }

    pub(super) fn lane(&self) -> Arc<dyn Lane> {
        match self.1 {
            Protocol::Jobs => Arc::new(BulkLane::new(self.clone())),
            Protocol::Calls => Arc::new(CallLane(self.clone())),
        }
    }

    pub(super) fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// One call: it may be the last, before or after it is carried out, and it may go wrong.
    pub(super) async fn call<T>(&self, lossy: bool, act: impl FnOnce(&mut World) -> Result<T, Error>) -> Result<T, Error> {
        // Calls of other chunks slip in between.
        let while_others_act = Duration::from_millis(1 + self.world().random.below(5));
        tokio::time::sleep(while_others_act).await;
        let (answer, dead) = {
            let mut world = self.world();
            world.calls += 1;
            let dies = world.dies_in.as_mut().is_some_and(|left| {
                *left = left.saturating_sub(1);
                *left == 0
            });
            if world.dead || (dies && world.random.one_in(2)) {
                world.dead = true;
                (None, true)
            } else {
                let mishap = world.mishap(lossy);
                let answer = match mishap {
                    Mishap::Unsent => Err(cut_off(Delivery::Unsent)),
                    Mishap::Unavailable => Err(refused(503, "SERVER_UNAVAILABLE")),
                    Mishap::AnswerLost => {
                        let _ = act(&mut world);
                        Err(cut_off(Delivery::Unknown))
                    }
                    Mishap::None => act(&mut world),
                };
                world.dead |= dies;
                (Some(answer), dies)
            }
        };
        if dead {
            std::future::pending::<()>().await;
        }
        answer.unwrap_or_else(|| Err(cut_off(Delivery::Unsent)))
    }
}

impl World {
    fn mishap(&mut self, lossy: bool) -> Mishap {
        let trouble = self.trouble;
        if !lossy || trouble == 0 || !self.random.one_in(trouble) {
            return Mishap::None;
        }
        match self.random.below(3) {
            0 => Mishap::Unsent,
            1 => Mishap::AnswerLost,
            _ => Mishap::Unavailable,
        }
    }

    /// Whether the server ends the work on a chunk before all rows are tried.
    pub(super) fn spoils(&mut self) -> bool {
        let spoil = self.spoil > 0 && self.spoiled < 3 && self.random.one_in(self.spoil);
        self.spoiled += u32::from(spoil);
        spoil
    }

    fn job(&mut self, id: &JobId) -> Result<&mut Job, Error> {
        let at: usize = id.as_str()[4..15].parse().map_err(|_| refused(404, "NOT_FOUND"))?;
        self.jobs.get_mut(at).ok_or_else(|| refused(404, "NOT_FOUND"))
    }

    fn process(&mut self, id: &JobId, share: u64) {
        let mut written = Vec::new();
        if let Ok(job) = self.job(id) {
            let upto = job.rows.len() * share as usize / 100;
            for (row, fate) in job.rows.iter().zip(&mut job.fates).take(upto).filter(|(_, fate)| fate.is_none()) {
                let name = String::from_utf8_lossy(&row[1]).into_owned();
                *fate = Some(if name.starts_with("bad") { Fate::Refused } else { Fate::Written });
                if !name.starts_with("bad") {
                    written.push(String::from_utf8_lossy(&row[0]).into_owned());
                }
            }
        }
        self.written.extend(written);
    }

    fn advance(&mut self, id: &JobId) {
        let Ok(state) = self.job(id).map(|job| job.state) else { return };
        let slow = u64::from(self.slow);
        match state {
            JobState::UploadComplete => {
                if let (Some(error), Ok(job)) = (self.refuses, self.job(id)) {
                    (job.state, job.error) = (JobState::Failed, Some(error));
                    return;
                }
                self.process(id, 50);
                let spoil = self.spoils();
                if let Ok(job) = self.job(id) {
                    (job.state, job.error) =
                        if spoil { (JobState::Failed, Some("Timeout : took too long")) } else { (JobState::InProgress, None) };
                }
            }
            JobState::InProgress if slow < 2 || self.random.one_in(slow) => {
                self.process(id, 100);
                if let Ok(job) = self.job(id) {
                    job.state = JobState::JobComplete;
                }
            }
            _ => {}
        }
    }
}

pub(super) fn cut_off(delivery: Delivery) -> Error {
    Error::Network { call: "model", host: "org".into(), delivery, source: NetworkError::Stalled(Duration::ZERO) }
}

pub(super) fn refused(status: u16, code: &str) -> Error {
    let errors = vec![ApiError { code: code.into(), message: "model".into(), fields: vec![] }];
    Error::Refused { call: "model", status, errors, retry_after: None }
}

#[async_trait]
impl Bulk for Model {
    async fn create(&self) -> Result<JobId, Error> {
        self.call(true, |world| {
            world.jobs.push(Job { state: JobState::Open, rows: vec![], fates: vec![], uploads: 0, error: None });
            Ok(format!("7500{:011}AAA", world.jobs.len() - 1).parse().unwrap())
        })
        .await
    }

    async fn upload(&self, id: &JobId, body: &Body) -> Result<Uploaded, Error> {
        let bytes: Vec<u8> = body.pieces().flatten().collect();
        let uploaded = Uploaded { bytes: bytes.len() as u64, sha256: Sha256::digest(&bytes).into() };
        self.call(true, |world| {
            let job = world.job(id)?;
            assert_eq!(job.state, JobState::Open, "data for a job that is not open");
            job.uploads += 1;
            assert_eq!(job.uploads, 1, "a second upload spoils a job");
            job.rows = csv::Reader::from_reader(bytes.as_slice()).byte_records().map(|row| row.unwrap().iter().collect()).collect();
            job.fates = vec![None; job.rows.len()];
            Ok(uploaded)
        })
        .await
    }

    async fn close(&self, id: &JobId) -> Result<(), Error> {
        self.call(true, |world| {
            let job = world.job(id)?;
            if job.state != JobState::Open {
                return Err(refused(400, "INVALIDJOBSTATE"));
            }
            assert_eq!(job.uploads, 1, "closed without data");
            job.state = JobState::UploadComplete;
            Ok(())
        })
        .await
    }

    async fn job(&self, id: &JobId) -> Result<JobInfo, Error> {
        self.call(true, |world| {
            world.advance(id);
            let job = world.job(id)?;
            let count = |fate| job.fates.iter().filter(|f| **f == Some(fate)).count();
            let failed = count(Fate::Refused);
            Ok(serde_json::from_value(serde_json::json!({
                "id": id, "state": job.state, "object": "Account", "operation": "insert", "errorMessage": job.error,
                "numberRecordsProcessed": count(Fate::Written) + failed, "numberRecordsFailed": failed,
            }))
            .unwrap())
        })
        .await
    }

    async fn abort(&self, id: &JobId) -> Result<(), Error> {
        self.call(true, |world| {
            // The server may be quicker than the abort.
            if world.random.one_in(2) {
                world.advance(id);
            }
            let job = world.job(id)?;
            if !job.state.is_terminal() {
                job.state = JobState::Aborted;
            }
            Ok(())
        })
        .await
    }

    async fn results(&self, id: &JobId, kind: ResultKind, rows: Option<u64>, each: EachResult<'_>) -> Result<u64, Error> {
        let set = self
            .call(true, |world| {
                let random = world.random.next();
                let job = world.job(id)?;
                assert!(job.state.is_terminal(), "results of a job that is not over");
                let fate = match kind {
                    ResultKind::Successful => Some(Fate::Written),
                    ResultKind::Failed => Some(Fate::Refused),
                    ResultKind::Unprocessed => None,
                };
                let mut set: Vec<Record> = job
                    .rows
                    .iter()
                    .zip(&job.fates)
                    .filter(|(_, f)| **f == fate || (fate.is_none() && **f == Some(Fate::Untried)))
                    .map(|(r, _)| r.clone())
                    .collect();
                let length = set.len().max(1);
                set.rotate_left(random as usize % length);
                set.reverse();
                Ok(set)
            })
            .await?;
        let columns = Record::from(vec!["Key", "Name"]);
        for cells in &set {
            let key = String::from_utf8_lossy(&cells[0]).into_owned();
            let id = if kind == ResultKind::Successful { format!("001{key:0>12}AAA") } else { String::new() };
            let error = if kind == ResultKind::Failed { "BAD_NAME:no such name:Name --".into() } else { String::new() };
            each(&columns, &ResultRow { id: id.into_bytes(), created: kind == ResultKind::Successful, error, cells: cells.clone() });
        }
        assert!(rows.is_none_or(|rows| rows == set.len() as u64));
        Ok(set.len() as u64)
    }

    fn usage(&self) -> Option<ApiUsage> {
        self.world().usage
    }
}

#[async_trait]
impl Journal for Model {
    async fn write(&self, chunk: &Chunk, last_key: Option<&[String]>) -> Result<Control, JournalError> {
        let panics = self.world().panics.take();
        if let Some(words) = panics {
            panic!("{words}");
        }
        let written = self
            .call(false, |world| {
                world.journal =
                    domain::chunk::accept(&world.journal, chunk.clone()).unwrap_or_else(|refusal| panic!("the keeper refuses: {refusal}"));
                if let Some(key) = last_key {
                    world.cursors.push((chunk.number, key.to_vec()));
                }
                world.writes += 1;
                Ok(Control { cancel: world.cancel_after_writes.is_some_and(|after| world.writes > after) })
            })
            .await;
        written.map_err(|_| JournalError::Unreachable("model".into()))
    }
}
