//! The loader against an org that loses answers and a worker that dies at any call: nothing doubled, nothing lost.

mod calls;
mod model;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::row::Record;
use api::import_run::{Chunk, ChunkState, Chunks, RunReason};
use salesforce::ApiUsage;

use self::model::{Model, Protocol, Random};
use super::*;
use crate::results::{Escape, FileKind, MemorySink, ResultsSink, SinkError};

/// Each of these tests with each lane.
macro_rules! with_each_lane {
    ($($test:ident,)*) => {
        mod with_jobs {
            $(#[tokio::test(start_paused = true)] async fn $test() { super::$test(super::Protocol::Jobs).await; })*
        }
        mod with_calls {
            $(#[tokio::test(start_paused = true)] async fn $test() { super::$test(super::Protocol::Calls).await; })*
        }
    };
}

with_each_lane! {
    a_quiet_run_loads_every_row_once_and_tells_of_each,
    rows_are_told_in_input_order,
    untried_rows_are_sent_again_and_each_is_told_of_once,
    an_upload_survives_deaths_at_any_call_and_lost_answers,
    a_keyed_query_goes_on_behind_its_last_row_without_a_gap_or_a_repetition,
    an_unkeyed_query_never_sends_a_row_twice_and_says_when_it_cannot_go_on,
    a_source_that_changed_is_noticed_and_what_was_committed_stays_counted,
    a_cancelled_run_commits_nothing_more_and_accounts_for_all_it_read,
    a_job_refused_as_a_whole_ends_the_run_with_salesforces_words,
    an_org_that_runs_out_of_calls_ends_the_run_before_it_is_eaten_up,
    an_interruption_leaves_everything_to_the_next_attempt,
    a_fault_leaves_everything_to_the_next_attempt_and_tells_nothing_of_the_rows,
    without_result_files_the_rows_are_counted_all_the_same,
    results_that_could_not_be_stored_are_told_again_by_the_next_attempt,
    a_restart_of_a_long_run_reads_the_folded_chunks_again_and_compares_them,
}

const ROWS: i64 = 97;

/// Rows 1 to ROWS: key, name, and a column that is not mapped. Every seventh is refused by the org, every eleventh left out.
fn rows() -> Vec<Record> {
    (1..=ROWS)
        .map(|n| Record::from(vec![n.to_string(), if n % 7 == 0 { format!("bad{n}") } else { format!("name{n}") }, format!("note {n}")]))
        .collect()
}

/// Of those that are left out, the ones that are no rows.
fn is_skipped(n: i64) -> bool {
    n % 2 == 0
}

fn is_left_out(n: i64) -> bool {
    n % 11 == 0
}

fn is_rejected(n: i64) -> bool {
    n % 13 == 0
}

fn expected_in_org() -> Vec<String> {
    (1..=ROWS).filter(|n| !is_left_out(*n) && !is_rejected(*n) && n % 7 != 0).map(|n| n.to_string()).collect()
}

struct Setup {
    reread: Reread,
    max_failed_percent: Option<i32>,
    api_budget_percent: u8,
    sink: Option<MemorySink>,
    /// The sink cannot be reached when the files are to be finished.
    sink_is_lost: bool,
    stop_signal: StopSignal,
}

impl Setup {
    fn new(reread: Reread) -> Self {
        Self {
            reread,
            max_failed_percent: None,
            api_budget_percent: 80,
            sink: Some(MemorySink::default()),
            sink_is_lost: false,
            stop_signal: StopSignal::default(),
        }
    }

    fn boxed(&self, sink: MemorySink) -> Box<dyn ResultsSink> {
        if self.sink_is_lost { Box::new(LostSink(sink)) } else { Box::new(sink) }
    }
}

struct LostSink(MemorySink);

#[async_trait::async_trait]
impl ResultsSink for LostSink {
    async fn write(&mut self, file: FileKind, bytes: bytes::Bytes) -> Result<(), SinkError> {
        self.0.write(file, bytes).await
    }

    async fn finish(&mut self) -> Result<Vec<(FileKind, String)>, SinkError> {
        Err(SinkError::Unreachable("the keeper is away".into()))
    }
}

/// One attempt from lease to outcome.
async fn attempt(model: &Model, setup: &Setup, source: &[Record]) -> Ending {
    let chunks: Chunks = model.world().journal.clone();
    let random = Arc::new(std::sync::Mutex::new(Random::new(7)));
    let settings = LoadSettings {
        input: Record::from(vec!["Key", "Name", "Note"]),
        columns: Record::from(vec!["Key", "Name"]),
        key_column: None,
        limits: ChunkLimits { input_bytes: 180 },
        results: setup.sink.clone().map(|sink| (setup.boxed(sink), Escape::Formulas)),
        reread: setup.reread,
        origin: Vec::new(),
        max_failed_percent: setup.max_failed_percent,
        api_budget_percent: setup.api_budget_percent,
        random: Arc::new(move || random.lock().unwrap().below(1000) as f64 / 1000.0),
    };
    let ports = LoadPorts { lane: model.lane(), journal: Arc::new(model.clone()), stop_signal: setup.stop_signal.clone() };
    let mut loader = Loader::start(settings, ports, &chunks);
    let behind = Restart::of(&chunks, setup.reread).behind.map(|chunk| {
        let cursors = &model.world().cursors;
        cursors.iter().rev().find(|(number, _)| *number == chunk).unwrap().1[0].parse::<i64>().unwrap()
    });
    for (n, cells) in (1..).zip(source).filter(|(n, _)| behind.is_none_or(|behind| *n > behind)) {
        if setup.stop_signal.is_raised() {
            break;
        }
        let key = Record::from(vec![n.to_string()]);
        let input = InputRow { cells, key: &key, refused: "" };
        if is_left_out(n) && is_skipped(n) {
            loader.skipped(input);
        } else if is_left_out(n) {
            loader.filtered(input);
        } else if is_rejected(n) {
            loader.rejected(input, "too long");
        } else {
            loader.send(input, &Record::from(vec![&cells[0], &cells[1]]));
        }
        if loader.is_full() {
            loader.dispatch().await;
        }
    }
    loader.finish().await.unwrap()
}

/// Attempts until one ends; each but the last dies at some call. Returns how the last one ended and how many there were.
async fn live(model: &Model, reread: Reread, deaths: u64) -> (Ending, Setup, u64) {
    let source = rows();
    for number in 1.. {
        {
            let mut world = model.world();
            world.dead = false;
            // A call a chunk is a third of what a job takes.
            let most = if model.protocol() == Protocol::Jobs { 60 } else { 25 };
            let at = 1 + world.random.below(most);
            world.dies_in = (number <= deaths).then_some(at);
        }
        let setup = Setup::new(reread);
        let died = async {
            while !model.world().dead {
                tokio::time::sleep(Duration::from_secs(20)).await;
            }
        };
        let ended = tokio::select! {
            biased;
            ending = tokio::time::timeout(Duration::from_secs(24 * 3600), attempt(model, &setup, &source)) => {
                Some(ending.unwrap_or_else(|_| panic!("a load ends by itself: {:#?}", model.world().journal)))
            }
            () = died => None,
        };
        // A dead worker's tasks are gone with it.
        tokio::time::sleep(Duration::from_secs(1)).await;
        if let Some(ending) = ended {
            return (ending, setup, number);
        }
    }
    unreachable!("the last attempt lives")
}

fn left_out(ending: &Ending) -> i64 {
    ending.rows.filtered + ending.rows.skipped
}

/// Rows in the org are counted as succeeded. Without results that can be read again, a chunk may be left to a person, who is told of it.
fn check_succeeded(model: &Model, ending: &Ending, context: &str) {
    let missing = model.world().written.len() as i64 - ending.rows.succeeded;
    let left_to_a_person = ending.reason == RunReason::NeedsDecision || ending.message.contains("in the org before loading them again");
    let may_be_missing = if left_to_a_person && !model.protocol().keeps_results() { ending.rows.unprocessed } else { 0 };
    assert!((0..=may_be_missing).contains(&missing), "{context}: {missing} rows are in the org and not counted: {:?}", ending.rows);
}

fn sorted(mut keys: Vec<String>) -> Vec<String> {
    keys.sort_by_key(|key| key.parse::<i64>().unwrap());
    keys
}

fn rows_in_files(sink: &MemorySink) -> BTreeMap<i64, FileKind> {
    let mut in_files = BTreeMap::new();
    for kind in FileKind::ALL {
        let text = sink.text(kind);
        for record in csv::Reader::from_reader(text.as_bytes()).records().map(Result::unwrap) {
            let n: i64 = record[0].parse().unwrap();
            assert_eq!(&record[2], format!("note {n}"), "the row has all its columns");
            assert!(in_files.insert(n, kind).is_none(), "row {n} stands in two files");
        }
    }
    in_files
}

async fn a_quiet_run_loads_every_row_once_and_tells_of_each(protocol: Protocol) {
    let model = Model::new(1, protocol);
    let (ending, setup, _) = live(&model, Reread::FromStart, 0).await;
    assert_eq!(ending.reason, RunReason::CompletedWithFailedRows, "{}", ending.message);
    assert!(ending.rows.balanced());
    assert_eq!((ending.rows.read, ending.rows.filtered, ending.rows.skipped), (ROWS, 4, 4));
    assert_eq!(sorted(model.world().written.clone()), expected_in_org());
    let in_files = rows_in_files(&setup.sink.unwrap());
    for n in 1..=ROWS {
        let kind = if is_left_out(n) {
            None
        } else if is_rejected(n) || n % 7 == 0 {
            Some(FileKind::Failed)
        } else {
            Some(FileKind::Succeeded)
        };
        assert_eq!(in_files.get(&n).copied(), kind, "row {n}");
    }
    assert_eq!(ending.failed_rows[0], FailedRow { row: 7, reason: "BAD_NAME:no such name:Name --".into() });
    assert_eq!(ending.failed_rows[1], FailedRow { row: 13, reason: "too long".into() });
    assert!(model.world().journal.listed.iter().all(|chunk| chunk.state == ChunkState::Done));
}

async fn rows_are_told_in_input_order(protocol: Protocol) {
    let model = Model::new(3, protocol);
    model.world().slow = 4;
    let (_, setup, _) = live(&model, Reread::FromStart, 0).await;
    let text = setup.sink.unwrap().text(FileKind::Succeeded);
    let keys: Vec<i64> = csv::Reader::from_reader(text.as_bytes()).records().map(|r| r.unwrap()[0].parse().unwrap()).collect();
    assert!(keys.is_sorted(), "{keys:?}");
}

/// The promise: 0 duplicates, 0 losses, wherever the worker dies and whatever answer is lost.
async fn an_upload_survives_deaths_at_any_call_and_lost_answers(protocol: Protocol) {
    for seed in 0..200 {
        let model = Model::new(seed, protocol);
        {
            let mut world = model.world();
            world.trouble = [0, 5, 9, 30][seed as usize % 4];
            // Only results that can be read again say, after a death, which rows another chunk has taken over.
            world.spoil = if protocol.keeps_results() { [0, 0, 4][seed as usize % 3] } else { 0 };
            world.slow = 1 + (seed as u32 % 4);
        }
        let (ending, setup, attempts) = live(&model, Reread::FromStart, seed % 6).await;
        let context = format!("seed {seed}, {attempts} attempts: {}", ending.message);
        assert_eq!(ending.reason, RunReason::CompletedWithFailedRows, "{context}");
        assert_eq!(sorted(model.world().written.clone()), expected_in_org(), "{context}");
        assert!(ending.rows.balanced(), "{context}: {:?}", ending.rows);
        assert_eq!((ending.rows.read, ending.rows.filtered, ending.rows.skipped), (ROWS, 4, 4), "{context}");
        assert_eq!(ending.rows.succeeded as usize, expected_in_org().len(), "{context}");
        let in_files = rows_in_files(&setup.sink.unwrap());
        if protocol.keeps_results() || attempts == 1 {
            assert_eq!(in_files.len() as i64, ROWS - left_out(&ending), "{context}");
            assert_eq!(in_files.values().filter(|kind| **kind == FileKind::Succeeded).count(), expected_in_org().len(), "{context}");
        } else if (in_files.len() as i64) < ROWS - left_out(&ending) {
            assert!(ending.message.contains("counted but not in the files"), "{context}");
        }
    }
}

async fn a_keyed_query_goes_on_behind_its_last_row_without_a_gap_or_a_repetition(protocol: Protocol) {
    for seed in 1000..1150 {
        let model = Model::new(seed, protocol);
        {
            let mut world = model.world();
            world.trouble = [0, 7][seed as usize % 2];
            // Only results that can be read again say, after a death, which rows another chunk has taken over.
            world.spoil = if protocol.keeps_results() { [0, 0, 4][seed as usize % 3] } else { 0 };
            world.slow = 1 + (seed as u32 % 4);
        }
        let (ending, _, attempts) = live(&model, Reread::BeyondKey, seed % 6).await;
        let context = format!("seed {seed}, {attempts} attempts: {}", ending.message);
        assert_eq!(ending.reason, RunReason::CompletedWithFailedRows, "{context}");
        assert_eq!(sorted(model.world().written.clone()), expected_in_org(), "{context}");
        assert_eq!((ending.rows.read, ending.rows.balanced()), (ROWS, true), "{context}: {:?}", ending.rows);
    }
}

async fn an_unkeyed_query_never_sends_a_row_twice_and_says_when_it_cannot_go_on(protocol: Protocol) {
    let mut ends = BTreeMap::new();
    for seed in 2000..2150 {
        let model = Model::new(seed, protocol);
        model.world().trouble = [0, 7][seed as usize % 2];
        let (ending, _, _) = live(&model, Reread::Never, seed % 3).await;
        let written = sorted(model.world().written.clone());
        let mut once = written.clone();
        once.dedup();
        assert_eq!(written, once, "seed {seed}");
        assert!(ending.rows.balanced(), "seed {seed}: {:?}", ending.rows);
        check_succeeded(&model, &ending, &format!("seed {seed}"));
        if ending.reason == RunReason::CompletedWithFailedRows {
            assert_eq!(written, expected_in_org(), "seed {seed}");
        }
        *ends.entry(ending.reason).or_insert(0) += 1;
    }
    let seen: Vec<RunReason> = ends.into_keys().collect();
    assert_eq!(seen, [RunReason::CompletedWithFailedRows, RunReason::NeedsDecision]);
}

async fn a_source_that_changed_is_noticed_and_what_was_committed_stays_counted(protocol: Protocol) {
    let model = Model::new(5, protocol);
    model.world().slow = 50;
    model.world().dies_in = Some(if protocol == Protocol::Jobs { 25 } else { 15 });
    let source = rows();
    let setup = Setup::new(Reread::FromStart);
    tokio::select! {
        _ = attempt(&model, &setup, &source) => panic!("it should have died"),
        () = tokio::time::sleep(Duration::from_secs(3600)) => {}
    }
    {
        let mut world = model.world();
        (world.dead, world.dies_in, world.slow) = (false, None, 1);
    }
    let mut changed = source.clone();
    changed[3] = Record::from(vec!["4", "another", "note 4"]);
    let ending = attempt(&model, &Setup::new(Reread::FromStart), &changed).await;
    assert_eq!(ending.reason, RunReason::SourceChanged, "{}", ending.message);
    let written = sorted(model.world().written.clone());
    assert!(!written.is_empty(), "the first attempt committed nothing, so that nothing is known of what stays counted");
    check_succeeded(&model, &ending, "the source changed");
    assert!(ending.rows.balanced(), "{:?}", ending.rows);
    assert!(written.iter().all(|key| expected_in_org().contains(key)));
}

async fn a_cancelled_run_commits_nothing_more_and_accounts_for_all_it_read(protocol: Protocol) {
    for seed in 0..40 {
        let model = Model::new(seed, protocol);
        model.world().cancel_after_writes = Some(seed as u32 % 12);
        model.world().slow = 3;
        let (ending, setup, _) = live(&model, Reread::FromStart, 0).await;
        assert_eq!(ending.reason, RunReason::Cancelled, "seed {seed}: {}", ending.message);
        assert!(ending.rows.balanced(), "seed {seed}: {:?}", ending.rows);
        assert_eq!(ending.rows.succeeded as usize, model.world().written.len(), "seed {seed}");
        let under_way = |chunk: &Chunk| matches!(chunk.state, ChunkState::Created | ChunkState::Uploaded);
        assert!(!model.world().journal.listed.iter().any(under_way), "seed {seed}: {:?}", model.world().journal.listed);
        let in_files = rows_in_files(&setup.sink.unwrap());
        assert_eq!(in_files.len() as i64, ending.rows.read - left_out(&ending), "seed {seed}");
    }
}

/// Rows that a lane says were never tried go with another chunk, whatever the lane is.
async fn untried_rows_are_sent_again_and_each_is_told_of_once(protocol: Protocol) {
    let mut resent = 0;
    for seed in 0..20 {
        let model = Model::new(seed, protocol);
        model.world().spoil = 2;
        let (ending, setup, _) = live(&model, Reread::FromStart, 0).await;
        assert_eq!(ending.reason, RunReason::CompletedWithFailedRows, "seed {seed}: {}", ending.message);
        assert_eq!(sorted(model.world().written.clone()), expected_in_org(), "seed {seed}");
        assert!(ending.rows.balanced(), "seed {seed}: {:?}", ending.rows);
        assert_eq!(rows_in_files(&setup.sink.unwrap()).len() as i64, ROWS - left_out(&ending), "seed {seed}");
        resent += model.world().journal.listed.iter().filter(|chunk| chunk.resends.is_some()).count();
    }
    assert!(resent > 20, "only {resent} chunks sent rows again");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_aborts_what_is_committed_and_counts_what_was_written() {
    let model = Model::new(9, Protocol::Jobs);
    model.world().slow = 1_000_000;
    let setup = Setup::new(Reread::FromStart);
    let stop_signal = setup.stop_signal.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(300)).await;
        stop_signal.stop_now(RunReason::Deadline, "the deadline has passed");
    });
    let ending = attempt(&model, &setup, &rows()).await;
    assert_eq!(ending.reason, RunReason::Deadline, "{}", ending.message);
    assert_eq!(ending.rows.succeeded as usize, model.world().written.len());
    assert!(ending.rows.balanced() && ending.rows.unprocessed > 0, "{:?}", ending.rows);
}

async fn a_job_refused_as_a_whole_ends_the_run_with_salesforces_words(protocol: Protocol) {
    let model = Model::new(11, protocol);
    model.world().refuses = Some("InvalidBatch : Field name not found : Nam");
    let (ending, _, _) = live(&model, Reread::FromStart, 0).await;
    assert_eq!(ending.reason, RunReason::TargetFailed);
    assert!(ending.message.contains("Field name not found : Nam"), "{}", ending.message);
    assert!(ending.rows.balanced() && ending.rows.succeeded == 0);
    assert!(model.world().written.is_empty());
}

async fn an_org_that_runs_out_of_calls_ends_the_run_before_it_is_eaten_up(protocol: Protocol) {
    let model = Model::new(12, protocol);
    model.world().usage = Some(ApiUsage { used: 90, max: 100 });
    let (ending, _, _) = live(&model, Reread::FromStart, 0).await;
    assert_eq!(ending.reason, RunReason::QuotaExceeded, "{}", ending.message);
    assert!(ending.rows.balanced() && ending.rows.read < ROWS);
}

async fn an_interruption_leaves_everything_to_the_next_attempt(protocol: Protocol) {
    let (mut interrupted, mut after_a_commit) = (0, 0);
    for seed in 0..40 {
        let model = Model::new(seed, protocol);
        model.world().slow = 3;
        let source = rows();
        let setup = Setup::new(Reread::FromStart);
        let stop_signal = setup.stop_signal.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(5 + seed * 11)).await;
            stop_signal.interrupt("the node is drained");
        });
        let first = attempt(&model, &setup, &source).await;
        if first.reason == RunReason::Interrupted {
            interrupted += 1;
            after_a_commit += u32::from(!model.world().written.is_empty());
        }
        let ending = attempt(&model, &Setup::new(Reread::FromStart), &source).await;
        assert_eq!(ending.reason, RunReason::CompletedWithFailedRows, "seed {seed}: {}", ending.message);
        assert_eq!(sorted(model.world().written.clone()), expected_in_org(), "seed {seed}");
    }
    println!("{interrupted} interrupted, {after_a_commit} of them after a commit");
    let least = if protocol == Protocol::Jobs { 40 } else { 30 };
    assert!(interrupted >= least && after_a_commit > 10, "{interrupted} interrupted, {after_a_commit} of them after a commit");
}

/// What the program says when it panics may quote a cell, and how an attempt ended is told in a status.
async fn a_fault_leaves_everything_to_the_next_attempt_and_tells_nothing_of_the_rows(protocol: Protocol) {
    let model = Model::new(21, protocol);
    model.world().panics = Some("byte index 1 is not a char boundary; it is inside 'é' of `canary`".to_owned());
    let source = rows();
    let first = attempt(&model, &Setup::new(Reread::FromStart), &source).await;
    assert!(first.reason == RunReason::Interrupted && first.message.contains("fault"), "{}: {}", first.reason, first.message);
    assert!(!first.message.contains("canary"), "{}", first.message);
    let ending = attempt(&model, &Setup::new(Reread::FromStart), &source).await;
    assert_eq!(ending.reason, RunReason::CompletedWithFailedRows, "{}", ending.message);
    assert_eq!(sorted(model.world().written.clone()), expected_in_org());
}

async fn without_result_files_the_rows_are_counted_all_the_same(protocol: Protocol) {
    let model = Model::new(14, protocol);
    let mut setup = Setup::new(Reread::FromStart);
    setup.sink = None;
    let ending = attempt(&model, &setup, &rows()).await;
    assert_eq!(ending.reason, RunReason::CompletedWithFailedRows);
    assert!(ending.rows.balanced() && ending.results.is_empty());
    assert_eq!(ending.failed_rows.len(), 10);
}

async fn results_that_could_not_be_stored_are_told_again_by_the_next_attempt(protocol: Protocol) {
    let model = Model::new(15, protocol);
    let mut setup = Setup::new(Reread::FromStart);
    setup.sink_is_lost = true;
    let first = attempt(&model, &setup, &rows()).await;
    assert_eq!(first.reason, RunReason::Interrupted, "{}", first.message);
    let second = Setup::new(Reread::FromStart);
    let ending = attempt(&model, &second, &rows()).await;
    assert_eq!(ending.reason, RunReason::CompletedWithFailedRows, "{}", ending.message);
    assert_eq!(sorted(model.world().written.clone()), expected_in_org());
    let in_files = rows_in_files(&second.sink.unwrap());
    if protocol.keeps_results() {
        assert_eq!(in_files.len() as i64, ROWS - left_out(&ending));
    } else {
        assert!(in_files.is_empty() && ending.message.contains("counted but not in the files"), "{}", ending.message);
    }
}

/// More chunks than a run's status lists: the oldest are folded into a digest, which a restart has to arrive at again.
async fn a_restart_of_a_long_run_reads_the_folded_chunks_again_and_compares_them(protocol: Protocol) {
    let long_life = if protocol == Protocol::Jobs { 2_200 } else { 800 };
    let source: Vec<Record> = (1..=3_200).map(|n| Record::from(vec![n.to_string(), format!("name{n}"), format!("note {n}")])).collect();
    for (reread, seed) in [(Reread::FromStart, 1), (Reread::BeyondKey, 2)] {
        let model = Model::new(seed, protocol);
        model.world().dies_in = Some(long_life);
        let setup = Setup::new(reread);
        tokio::select! {
            _ = attempt(&model, &setup, &source) => panic!("it should have died"),
            () = tokio::time::sleep(Duration::from_secs(3600)) => {}
        }
        {
            let mut world = model.world();
            (world.dead, world.dies_in) = (false, None);
            assert!(world.journal.folded.as_ref().is_some_and(|folded| folded.count > 0), "{} chunks", world.journal.total);
        }
        let ending = attempt(&model, &Setup::new(reread), &source).await;
        assert_eq!(ending.reason, RunReason::CompletedWithFailedRows, "{reread:?}: {}", ending.message);
        assert_eq!((ending.rows.read, ending.rows.balanced()), (3_200, true), "{reread:?}: {:?}", ending.rows);
        let expected: Vec<String> = (1..=3_200).filter(|n| !is_left_out(*n) && !is_rejected(*n)).map(|n| n.to_string()).collect();
        assert!(sorted(model.world().written.clone()) == expected, "{reread:?}");
    }
    let model = Model::new(3, protocol);
    model.world().dies_in = Some(long_life);
    let setup = Setup::new(Reread::FromStart);
    tokio::select! {
        _ = attempt(&model, &setup, &source) => panic!("it should have died"),
        () = tokio::time::sleep(Duration::from_secs(3600)) => {}
    }
    {
        let mut world = model.world();
        (world.dead, world.dies_in) = (false, None);
    }
    let mut changed = source;
    changed[4] = Record::from(vec!["5", "another", "note 5"]);
    let ending = attempt(&model, &Setup::new(Reread::FromStart), &changed).await;
    assert_eq!(ending.reason, RunReason::SourceChanged, "{}", ending.message);
    assert!(ending.rows.balanced(), "{:?}", ending.rows);
    assert!(ending.rows.succeeded > 0, "the first attempt committed nothing");
    check_succeeded(&model, &ending, "the source changed");
}
