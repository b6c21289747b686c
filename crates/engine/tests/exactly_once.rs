//! The loader against the emulator: real requests, lost connections, and a worker that dies at any call. An insert without any external
//! id must leave every row exactly once.

#[path = "support/client.rs"]
mod client;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::import_run::{Chunk, ChunkState, Chunks, RunReason};
use api::keeper::Control;
use async_trait::async_trait;
use engine::load::{
    Body, Bulk, BulkLane, ChunkLimits, EachResult, Ending, InputRow, Journal, JournalError, LoadPorts, LoadSettings, Loader, Reread,
    SalesforceBulk, StopSignal,
};
use engine::results::{Escape, FileKind, MemorySink};
use engine::row::Record;
use futures::StreamExt;
use salesforce::bulk::{JobId, JobInfo, NewJob, Operation, ResultKind, Uploaded};
use salesforce::{ApiUsage, Error};
use salesforce_emulator::{Action, Emulator, Fault, Running};

const ROWS: usize = 400;
const KILLS: u64 = 200;

/// A row is wrong for the org when its phone is longer than the field.
fn rows() -> Vec<Record> {
    let phone = |n: usize| if n.is_multiple_of(50) { "5".repeat(41) } else { format!("+49 {n}") };
    (1..=ROWS).map(|n| Record::from(vec![format!("Account {n:05}"), phone(n), format!("unmapped, \"{n}\"")])).collect()
}

fn good_names() -> Vec<String> {
    (1..=ROWS).filter(|n| !n.is_multiple_of(50)).map(|n| format!("Account {n:05}")).collect()
}

/// Dies with the worker after so many calls, before or after the last one was carried out.
struct Mortal<T> {
    inner: T,
    life: Arc<Life>,
}

struct Life {
    left: AtomicI64,
    /// The last call is carried out, but nobody hears of it.
    acts: bool,
    dead: AtomicBool,
}

impl Life {
    async fn live<T>(&self, call: impl Future<Output = T>) -> T {
        let left = self.left.fetch_sub(1, Ordering::SeqCst);
        if left > 1 {
            let answer = call.await;
            if !self.dead.load(Ordering::SeqCst) {
                return answer;
            }
        } else {
            self.dead.store(true, Ordering::SeqCst);
            if left == 1 && self.acts {
                call.await;
            }
        }
        std::future::pending().await
    }
}

#[async_trait]
impl Bulk for Mortal<SalesforceBulk> {
    async fn create(&self) -> Result<JobId, Error> {
        self.life.live(self.inner.create()).await
    }

    async fn upload(&self, job: &JobId, body: &Body) -> Result<Uploaded, Error> {
        self.life.live(self.inner.upload(job, body)).await
    }

    async fn close(&self, job: &JobId) -> Result<(), Error> {
        self.life.live(self.inner.close(job)).await
    }

    async fn job(&self, job: &JobId) -> Result<JobInfo, Error> {
        self.life.live(self.inner.job(job)).await
    }

    async fn abort(&self, job: &JobId) -> Result<(), Error> {
        self.life.live(self.inner.abort(job)).await
    }

    async fn results(&self, job: &JobId, kind: ResultKind, rows: Option<u64>, each: EachResult<'_>) -> Result<u64, Error> {
        self.life.live(self.inner.results(job, kind, rows, each)).await
    }

    fn usage(&self) -> Option<ApiUsage> {
        self.inner.usage()
    }
}

/// The keeper's own rules over a list in memory.
#[derive(Clone, Default)]
struct Records(Arc<Mutex<Chunks>>);

#[async_trait]
impl Journal for Mortal<Records> {
    async fn write(&self, chunk: &Chunk, _: Option<&[String]>) -> Result<Control, JournalError> {
        let write = async {
            let mut chunks = self.inner.0.lock().unwrap();
            *chunks = domain::chunk::accept(&chunks, chunk.clone()).unwrap_or_else(|refusal| panic!("refused: {refusal}"));
        };
        self.life.live(write).await;
        Ok(Control::default())
    }
}

struct Job {
    operation: Operation,
    columns: Vec<&'static str>,
    key_column: Option<usize>,
    limits: ChunkLimits,
}

fn insert() -> Job {
    Job { operation: Operation::Insert, columns: vec!["Name", "Phone"], key_column: None, limits: ChunkLimits { input_bytes: 3_000 } }
}

/// One worker from its start to its end, if it lives that long.
async fn worker(org: &Running, records: &Records, job: &Job, source: &[Record], life: Life) -> Option<(Ending, MemorySink)> {
    let life = Arc::new(life);
    let sink = MemorySink::default();
    let new_job = NewJob { object: "Account".into(), operation: job.operation.clone() };
    let ports = LoadPorts {
        lane: Arc::new(BulkLane::new(Mortal { inner: SalesforceBulk::new(client::client(org), new_job), life: life.clone() })),
        journal: Arc::new(Mortal { inner: records.clone(), life: life.clone() }),
        stop_signal: StopSignal::default(),
    };
    let settings = LoadSettings {
        input: Record::from(vec!["A", "B", "C"]),
        columns: Record::from(job.columns.clone()),
        key_column: job.key_column,
        limits: job.limits,
        results: Some((Box::new(sink.clone()), Escape::Nothing)),
        reread: Reread::FromStart,
        origin: Vec::new(),
        max_failed_percent: None,
        api_budget_percent: 80,
        random: Arc::new(|| 0.5),
    };
    let chunks = records.0.lock().unwrap().clone();
    let work = async {
        let mut loader = Loader::start(settings, ports, &chunks);
        let key = Record::new();
        for cells in source {
            let mapped: Record = cells.iter().take(job.columns.len()).collect();
            loader.send(InputRow { cells, key: &key, refused: "" }, &mapped);
            if loader.is_full() {
                loader.dispatch().await;
            }
        }
        loader.finish().await.unwrap()
    };
    let death = async {
        while !life.dead.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // What is under way when a worker dies may still arrive.
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    tokio::select! {
        ending = work => Some((ending, sink)),
        () = death => None,
    }
}

fn immortal() -> Life {
    Life { left: AtomicI64::new(i64::MAX), acts: false, dead: AtomicBool::new(false) }
}

fn scramble(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// Connections that end before or after a call was carried out.
fn lose_connections(org: &Running, seed: u64) {
    let calls = [
        ("POST", "/services/data/*/jobs/ingest*"),
        ("PUT", "*/batches"),
        ("PATCH", "/services/data/*"),
        ("GET", "/services/data/*/jobs/*"),
    ];
    for (place, (method, path)) in calls.into_iter().enumerate() {
        let action = if scramble(seed ^ place as u64).is_multiple_of(2) { Action::DropAfter } else { Action::DropBefore };
        let mut fault = Fault::new(action);
        (fault.method, fault.path) = (Some(method.into()), Some(path.into()));
        (fault.skip, fault.times) = ((scramble(seed + place as u64) % 4) as u32, 2);
        org.inject(fault);
    }
}

async fn survive(seed: u64, source: &[Record]) -> u64 {
    let org = Emulator::builder().start().await.unwrap();
    let records = Records::default();
    if seed.is_multiple_of(3) {
        lose_connections(&org, seed);
    }
    let (mut deaths, job) = (0, insert());
    for attempt in 0.. {
        let life = if attempt < 1 + seed % 3 {
            let left = 1 + (scramble(seed * 31 + attempt) % 60) as i64;
            Life { left: AtomicI64::new(left), acts: scramble(seed ^ attempt).is_multiple_of(2), dead: AtomicBool::new(false) }
        } else {
            immortal()
        };
        let Some((ending, sink)) = worker(&org, &records, &job, source, life).await else {
            deaths += 1;
            continue;
        };
        let context = format!("seed {seed} after {deaths} deaths: {}", ending.message);
        assert_eq!(ending.reason, RunReason::CompletedWithFailedRows, "{context}");
        assert!(ending.rows.balanced(), "{context}: {:?}", ending.rows);
        let mut names: Vec<String> = org.rows("Account", &["Name"]).into_iter().map(|mut row| row.remove(0).unwrap_or_default()).collect();
        names.sort();
        assert!(names == good_names(), "{context}: {} rows in the org instead of {}", names.len(), good_names().len());
        check_results(&sink, source, &context);
        assert!(
            records.0.lock().unwrap().listed.iter().all(|chunk| matches!(chunk.state, ChunkState::Done | ChunkState::Abandoned)),
            "{context}"
        );
        return deaths;
    }
    unreachable!()
}

/// Every input row stands in one file, whole.
fn check_results(sink: &MemorySink, source: &[Record], context: &str) {
    let mut told = BTreeMap::new();
    for kind in FileKind::ALL {
        let text = sink.text(kind);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let id = reader.headers().unwrap().iter().position(|name| name == "sf__Id").unwrap();
        for record in reader.byte_records().map(Result::unwrap) {
            let input: Record = record.iter().take(3).collect();
            assert!(told.insert(input.as_slice().to_vec(), kind).is_none(), "{context}: told twice");
            assert_eq!(record[id].len(), if kind == FileKind::Succeeded { 18 } else { 0 }, "{context}");
        }
    }
    for (n, row) in (1..).zip(source) {
        let kind = if n % 50 == 0 { FileKind::Failed } else { FileKind::Succeeded };
        assert_eq!(told.get(row.as_slice()), Some(&kind), "{context}: row {n}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_workers_die_at_random_calls_and_no_row_is_doubled_or_lost() {
    let source = rows();
    let seeds = (0..KILLS).map(|seed| survive(seed, &source));
    let deaths: u64 = futures::stream::iter(seeds).buffer_unordered(8).collect::<Vec<u64>>().await.into_iter().sum();
    assert!(deaths >= KILLS, "only {deaths} workers died");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upsert_and_a_delete_find_their_rows_by_their_key() {
    let org = Emulator::builder().start().await.unwrap();
    let limits = ChunkLimits { input_bytes: 2_000 };
    let upsert = Job {
        operation: Operation::Upsert { external_id_field: "External_Id__c".into() },
        columns: vec!["External_Id__c", "Name", "Phone"],
        key_column: Some(0),
        limits,
    };
    let source: Vec<Record> = (0..300).map(|n| Record::from(vec![format!("x{n}"), format!("Account {n}"), " 1 ".to_owned()])).collect();
    let (first, sink) = worker(&org, &Records::default(), &upsert, &source, immortal()).await.unwrap();
    assert_eq!((first.reason, first.rows.succeeded, first.unmatched), (RunReason::Completed, 300, 0), "{}", first.message);
    assert_eq!(org.count("Account"), 300);
    let created: Vec<Record> = csv::Reader::from_reader(sink.text(FileKind::Succeeded).as_bytes())
        .byte_records()
        .map(|row| row.unwrap().iter().collect())
        .collect();
    assert!(created.iter().zip(&source).all(|(told, row)| told[0] == row[0] && &told[5] == b"true"), "in input order, created");

    let (again, sink) = worker(&org, &Records::default(), &upsert, &source, immortal()).await.unwrap();
    assert_eq!((again.reason, org.count("Account")), (RunReason::Completed, 300));
    assert!(sink.text(FileKind::Succeeded).lines().skip(1).all(|line| line.contains(",false,")));

    let ids: Vec<Record> = created.iter().map(|row| Record::from(vec![row[4].to_vec(), b"x".to_vec(), b"y".to_vec()])).collect();
    let delete = Job { operation: Operation::Delete, columns: vec!["Id"], key_column: Some(0), limits };
    let (deleted, _) = worker(&org, &Records::default(), &delete, &ids, immortal()).await.unwrap();
    assert_eq!((deleted.reason, deleted.rows.succeeded, org.count("Account")), (RunReason::Completed, 300, 0), "{}", deleted.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_rows_are_all_inserted_and_each_gets_its_own_id() {
    let org = Emulator::builder().start().await.unwrap();
    let source: Vec<Record> = (0..50).map(|n| Record::from(vec!["Same".to_owned(), "1".to_owned(), format!("differs {n}")])).collect();
    let (ending, sink) = worker(&org, &Records::default(), &insert(), &source, immortal()).await.unwrap();
    assert_eq!((ending.rows.succeeded, ending.unmatched, org.count("Account")), (50, 0, 50));
    let text = sink.text(FileKind::Succeeded);
    let ids: std::collections::BTreeSet<&str> = text.lines().skip(1).map(|line| line.rsplit(',').nth(2).unwrap()).collect();
    assert_eq!(ids.len(), 50);
}
