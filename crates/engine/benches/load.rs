//! What a whole load costs without its network: rows are read, mapped and built into chunks, an org in memory answers them in an order of
//! its own, each result finds its row, and result files are written to nowhere.
//!
//! `cargo bench -p engine --bench load [-- ROWS [files|none]]`. `cargo xtask bench instructions` counts what it executes.

mod shared;

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use api::import_run::{Chunks, RunReason};
use async_trait::async_trait;
use bytes::Bytes;
use engine::import::feed;
use engine::load::{Body, Bulk, BulkLane, ChunkLimits, EachResult, LoadPorts, LoadSettings, Loader, NoJournal, Reread, StopSignal};
use engine::pipeline::Pipeline;
use engine::results::{Escape, FileKind, ResultsSink, SinkError};
use engine::source::blob::MemoryBlob;
use engine::source::{FileSource, Said, Source, Start};
use salesforce::bulk::{JobId, JobInfo, ResultKind, ResultReader, ResultRow, Uploaded};
use salesforce::{ApiUsage, Error};
use serde_json::{Value, json};
use shared::{COLUMNS, describe, file, job};

/// As much of an answer as a client gets at a time.
const PART: usize = 16 << 10;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let rows: u64 = arguments.next().and_then(|rows| rows.parse().ok()).unwrap_or(1_000_000);
    let only = arguments.next();
    let file = file(rows);
    println!("{rows} rows, {:.0} MB", file.len() as f64 / 1e6);
    for (name, with_files) in [("files", true), ("none", false)] {
        if only.as_deref().is_none_or(|only| only == name) {
            let begun = Instant::now();
            load(&file, rows, with_files);
            println!("load, results: {name:8} {:6.3} s", begun.elapsed().as_secs_f64());
        }
    }
}

fn load(file: &Bytes, rows: u64, with_files: bool) {
    let plain: Vec<Value> = COLUMNS.iter().map(|column| json!({"from": column, "to": column})).collect();
    let job = job(json!([]), plain);
    let source = FileSource::new(MemoryBlob::new(file.clone(), 64 << 10), Said::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let ending = runtime.block_on(async {
        let mut read = source.open(&Start::First, &BTreeSet::new()).await.unwrap();
        let mut pipeline = Pipeline::compile(&job, read.header(), &serde_json::from_value(describe()).unwrap(), &[]).unwrap();
        let stop_signal = StopSignal::default();
        let settings = LoadSettings {
            input: read.header().cells().clone(),
            columns: pipeline.fields().clone(),
            key_column: None,
            limits: ChunkLimits::default(),
            results: with_files.then(|| (Box::new(Nowhere) as Box<dyn ResultsSink>, Escape::Formulas)),
            reread: Reread::FromStart,
            origin: Vec::new(),
            max_failed_percent: None,
            api_budget_percent: 80,
            random: Arc::new(|| 0.5),
        };
        let lane = Arc::new(BulkLane::new(Org::default()));
        let ports = LoadPorts { lane, journal: Arc::new(NoJournal), stop_signal: stop_signal.clone() };
        let mut loader = Loader::start(settings, ports, &Chunks::default());
        feed(&mut *read, &mut pipeline, &mut loader, &stop_signal).await;
        loader.finish().await.unwrap()
    });
    assert_eq!((ending.reason, ending.rows.succeeded, ending.unmatched), (RunReason::Completed, rows as i64, 0), "{}", ending.message);
}

/// Files that nobody reads.
struct Nowhere;

#[async_trait]
impl ResultsSink for Nowhere {
    async fn write(&mut self, _: FileKind, bytes: Bytes) -> Result<(), SinkError> {
        black_box(bytes);
        Ok(())
    }

    async fn finish(&mut self) -> Result<Vec<(FileKind, String)>, SinkError> {
        Ok(Vec::new())
    }
}

/// Takes every row, and answers them out of order.
#[derive(Default)]
struct Org {
    jobs: Mutex<BTreeMap<JobId, Vec<Bytes>>>,
}

impl Org {
    fn jobs(&self) -> std::sync::MutexGuard<'_, BTreeMap<JobId, Vec<Bytes>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Bulk for Org {
    async fn create(&self) -> Result<JobId, Error> {
        let mut jobs = self.jobs();
        let id: JobId = format!("7505f{:010}AAA", jobs.len()).parse().unwrap();
        jobs.insert(id.clone(), Vec::new());
        Ok(id)
    }

    async fn upload(&self, job: &JobId, body: &Body) -> Result<Uploaded, Error> {
        let pieces: Vec<Bytes> = body.pieces().collect();
        self.jobs().insert(job.clone(), pieces);
        // What the client makes of the bytes while they leave is counted elsewhere.
        Ok(Uploaded { bytes: body.bytes(), sha256: [0; 32] })
    }

    async fn close(&self, _: &JobId) -> Result<(), Error> {
        Ok(())
    }

    async fn job(&self, job: &JobId) -> Result<JobInfo, Error> {
        let rows = self.jobs()[job].iter().map(|piece| bytecount(piece)).sum::<usize>() - 1;
        let info =
            json!({"id": job, "state": "JobComplete", "object": "Company__c", "operation": "insert", "numberRecordsProcessed": rows});
        Ok(serde_json::from_value(info).unwrap())
    }

    async fn abort(&self, _: &JobId) -> Result<(), Error> {
        Ok(())
    }

    async fn results(&self, job: &JobId, kind: ResultKind, rows: Option<u64>, each: EachResult<'_>) -> Result<u64, Error> {
        let parts = echo(self.jobs().remove(job).unwrap_or_default());
        let mut reader = ResultReader::over(kind, parts, rows).await?;
        let columns = reader.columns().clone();
        let mut row = ResultRow::default();
        while reader.next(&mut row).await? {
            each(&columns, &row);
        }
        Ok(reader.rows_read())
    }

    fn usage(&self) -> Option<ApiUsage> {
        None
    }
}

#[inline(never)]
fn bytecount(piece: &[u8]) -> usize {
    piece.iter().filter(|byte| **byte == b'\n').count()
}

/// The rows of a body as Salesforce gives them back: every value in quotes, behind an id, in another order, in parts as a network cuts them.
/// A function of its own, so that what it executes can be left out of the count.
#[inline(never)]
fn echo(body: Vec<Bytes>) -> Vec<Bytes> {
    let body = body.concat();
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&*body);
    let records: Vec<csv::ByteRecord> = reader.byte_records().collect::<Result<_, _>>().unwrap();
    let (header, rows) = records.split_first().unwrap();
    let mut writer = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).from_writer(Vec::new());
    writer.write_byte_record(&[b"sf__Id".as_slice(), b"sf__Created"].into_iter().chain(header).collect::<csv::ByteRecord>()).unwrap();
    // Next to each other no two rows that were.
    for at in (0..7).flat_map(|start| (start..rows.len()).step_by(7)) {
        let id = format!("001{at:012}AAA");
        writer.write_byte_record(&[id.as_bytes(), b"true"].into_iter().chain(&rows[at]).collect::<csv::ByteRecord>()).unwrap();
    }
    let answer = Bytes::from(writer.into_inner().unwrap());
    (0..answer.len()).step_by(PART).map(|at| answer.slice(at..answer.len().min(at + PART))).collect()
}
