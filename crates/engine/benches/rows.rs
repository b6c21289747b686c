//! How fast rows are read and mapped, as ratios to the `csv` crate reading the same bytes in the same run.
//! `cargo bench -p engine`; a number of rows may follow `--`.

mod shared;

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Instant;

use api::import_job::ImportJobSpec;
use bytes::Bytes;

use engine::import::{Destination, feed};
use engine::load::{InputRow, StopSignal};
use engine::pipeline::Pipeline;
use engine::row::{Batch, Record};
use engine::source::blob::MemoryBlob;
use engine::source::{FileSource, Said, Source, Start};
use futures::executor::block_on;
use serde_json::{Value, json};
use shared::{COLUMNS, describe, file, job};

fn main() {
    let rows: u64 = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    let file = file(rows);
    let megabytes = file.len() as f64 / 1e6;
    println!("{rows} rows, {megabytes:.0} MB");

    let peer = timed("csv crate, ByteRecord", megabytes, None, || {
        let mut reader = csv::ReaderBuilder::new().from_reader(&*file);
        let mut record = csv::ByteRecord::new();
        let mut read = 0;
        while reader.read_byte_record(&mut record).unwrap() {
            read += u64::from(black_box(record.len() == 10));
        }
        assert_eq!(read, rows);
    });
    timed("read", megabytes, Some(peer), || assert_eq!(run(&file, None), rows));
    let plain: Vec<Value> = COLUMNS.iter().map(|column| json!({"from": column, "to": column})).collect();
    timed("read and map", megabytes, Some(peer), || assert_eq!(run(&file, Some(job(json!([]), plain.clone()))), rows));
    let mut formulas = plain.clone();
    formulas[1] = json!({"formula": "TRIM([Name]) & \" (\" & [City] & \")\"", "to": "Name"});
    formulas[6] = json!({"formula": "SUBSTITUTE([Phone], \"-\", \"\")", "to": "Phone"});
    formulas[8] = json!({"formula": "IF([Employees] > 500, \"large\", \"small\")", "to": "Employees"});
    timed("read and map, 3 formulas", megabytes, Some(peer), || assert_eq!(run(&file, Some(job(json!([]), formulas.clone()))), rows));
    let steps = json!([{"filter": "AND([Country] = \"DE\", LEN([Name]) > 0)"}, {"dedupe": {"by": ["Id__c"]}}]);
    timed("read, filter, dedupe, map", megabytes, Some(peer), || assert_eq!(run(&file, Some(job(steps.clone(), plain.clone()))), rows));
}

fn timed(what: &str, megabytes: f64, peer: Option<f64>, work: impl Fn()) -> f64 {
    let best = (0..3)
        .map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    let ratio = peer.map(|peer| format!(", {:.2} × the csv crate", best / peer)).unwrap_or_default();
    println!("{what:28} {best:6.3} s, {:5.0} MB/s{ratio}", megabytes / best);
    best
}

/// How many rows came through.
fn run(file: &Bytes, job: Option<ImportJobSpec>) -> u64 {
    let source = FileSource::new(MemoryBlob::new(file.clone(), 64 << 10), Said::default());
    block_on(async {
        let mut rows = source.open(&Start::First, &BTreeSet::new()).await.unwrap();
        let mut counter = Counter(0);
        let Some(job) = job else {
            let mut batch = Batch::new();
            while rows.next(&mut batch).await.unwrap() {
                for row in batch.rows() {
                    assert!(black_box(row).fault.is_none());
                    counter.0 += 1;
                }
            }
            return counter.0;
        };
        let mut pipeline = Pipeline::compile(&job, rows.header(), &serde_json::from_value(describe()).unwrap(), &[]).unwrap();
        let stop_signal = StopSignal::default();
        feed(&mut *rows, &mut pipeline, &mut counter, &stop_signal).await;
        assert!(!stop_signal.is_raised(), "{:?}", stop_signal.reason());
        counter.0
    })
}

/// Takes rows as the loader does, and only counts those that would be sent.
struct Counter(u64);

impl Destination for Counter {
    fn send(&mut self, input: InputRow<'_>, mapped: &Record) {
        black_box((input.cells, mapped));
        self.0 += 1;
    }

    fn filtered(&mut self, _: InputRow<'_>) {}

    fn deduplicated(&mut self, _: InputRow<'_>) {}

    fn skipped(&mut self, _: InputRow<'_>) {}

    fn rejected(&mut self, _: InputRow<'_>, reason: &str) {
        panic!("a row is rejected: {reason}");
    }

    fn is_full(&self) -> bool {
        false
    }

    fn note_read(&self) {}

    async fn dispatch(&mut self) {}
}
