//! The loader: rows in, chunks out to Salesforce, a few at a time, and at the end every row accounted for.
//!
//! The caller reads and maps rows and hands them over one by one; when a chunk is full it waits for a free slot, which is what keeps
//! memory bounded. Rows of an earlier attempt are handed over again and compared, not sent again.

use std::io;
use std::sync::Arc;

use crate::row::Record;
use api::import_run::{Chunks, FoldedChunks, RunReason};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::body::Body;
use super::builder::{BuiltChunk, ChunkBuilder, ChunkLimits, ChunkShape, Cut, InputRow};
use super::context::LoadContext;
use super::ending::Ending;
use super::journal::Journal;
use super::lane::Lane;
use super::ledger::Ledger;
use super::order::WriteOrder;
use super::record::{ChunkRecord, Stage};
use super::resume::{Reread, ResumePlan, RowRange, empty_chunk};
use super::run::ChunkOutcome;
use super::stop::StopSignal;
use super::task::ChunkTask;
use crate::results::{Escape, Layout, ResultFiles, ResultsSink};

/// Chunks in flight, and in memory.
const SLOTS: usize = 4;

/// What a load is made of.
pub struct LoadSettings {
    /// Header of the input.
    pub input: Record,
    /// Header of what is sent.
    pub columns: Record,
    /// Column of what is sent that identifies a row: the external id of an upsert, the id of an update or delete.
    pub key_column: Option<usize>,
    /// When a chunk is full.
    pub limits: ChunkLimits,
    /// Where result files go, and what happens to cells in them that a spreadsheet would run. Absent: no result files.
    pub results: Option<(Box<dyn ResultsSink>, Escape)>,
    /// How the source can be read once more.
    pub reread: Reread,
    /// By what a later attempt knows the source that was opened; kept with every chunk whose rows have no keys.
    pub origin: Vec<String>,
    /// The run stops when a larger share of its rows failed, 0 to 100; `guards.maxFailedPercent` of the job.
    pub max_failed_percent: Option<i32>,
    /// The run stops when a larger share of the org's API calls of the day is used, by anybody, 0 to 100.
    pub api_budget_percent: u8,
    /// In `[0, 1)`, to spread waits.
    pub random: Arc<dyn Fn() -> f64 + Send + Sync>,
}

/// The parts of the outside world.
pub struct LoadPorts {
    /// How a chunk gets into Salesforce.
    pub lane: Arc<dyn Lane>,
    /// Where it is put on record how far each chunk is.
    pub journal: Arc<dyn Journal>,
    /// Shared with every part that may stop the run.
    pub stop_signal: StopSignal,
}

/// Takes the rows of one run, in the order of the source. Made by [`Loader::start`], ended by [`Loader::finish`].
pub struct Loader {
    context: Arc<LoadContext>,
    builder: ChunkBuilder,
    reread: Reread,
    /// Chunks of earlier attempts, still to be read again.
    plan: ResumePlan,
    folding: Option<Folding>,
    tasks: JoinSet<ChunkOutcome>,
    slots: Arc<Semaphore>,
    read: i64,
}

/// Folded chunks on their way through the comparison.
struct Folding {
    expected: FoldedChunks,
    rows: i64,
    sha256: String,
}

impl Loader {
    /// `chunks`: what earlier attempts left in the journal.
    pub fn start(settings: LoadSettings, ports: LoadPorts, chunks: &Chunks) -> Self {
        let LoadSettings { input, columns, key_column, limits, results, reread, origin, max_failed_percent, api_budget_percent, random } =
            settings;
        let mut plan = ResumePlan::new(chunks, reread);
        let keep = results.as_ref().map(|(_, escape)| Layout::new(*escape, &input));
        let shape = ChunkShape {
            columns: columns.clone(),
            key_column,
            limits,
            origin: Record::from(&origin[..]),
            max_bytes: ports.lane.max_bytes(),
            keep,
        };
        let builder = ChunkBuilder::new(shape, plan.first_row);
        let folding = plan.folded.take().map(|expected| Folding { expected, rows: 0, sha256: String::new() });
        let ledger = Arc::new(Ledger::going_on(plan.next_number, std::mem::take(&mut plan.resent)));
        ledger.update(|totals| {
            totals.rows = plan.base;
            totals.chunks = plan.base_chunks;
            totals.chunks_done = plan.base_chunks;
        });
        let context = Arc::new(LoadContext {
            lane: ports.lane,
            journal: ports.journal,
            stop_signal: ports.stop_signal,
            ledger,
            order: WriteOrder::new(),
            files: results.map(|(sink, escape)| Mutex::new(ResultFiles::new(sink, escape, &input))),
            columns,
            fingerprinter: builder.fingerprinter().clone(),
            max_failed_percent,
            api_budget_percent,
            random,
        });
        if let Some((reason, message)) = &plan.over {
            context.stop_signal.stop(*reason, message.clone());
        }
        let mut loader =
            Self { context, builder, reread, plan, folding, tasks: JoinSet::new(), slots: Arc::new(Semaphore::new(SLOTS)), read: 0 };
        for chunk in std::mem::take(&mut loader.plan.without_rows) {
            loader.adopt_without_rows(chunk);
        }
        loader.read = loader.plan.base.read;
        loader.set_cut();
        loader
    }

    /// How far the run is; shared, so that it can be shown while the loader works.
    pub fn ledger(&self) -> Arc<Ledger> {
        self.context.ledger.clone()
    }

    /// A row that a filter leaves out.
    pub fn filtered(&mut self, input: InputRow<'_>) {
        self.builder.filtered(input);
    }

    /// A row that repeats an earlier one.
    pub fn deduplicated(&mut self, input: InputRow<'_>) {
        self.builder.deduplicated(input);
    }

    /// A record that is no row.
    pub fn skipped(&mut self, input: InputRow<'_>) {
        self.builder.skipped(input);
    }

    /// A row that fails before it is sent, and why.
    pub fn rejected(&mut self, input: InputRow<'_>, reason: &str) {
        self.builder.rejected(input, reason);
    }

    /// A row to send: as it was read, and the cells that Salesforce gets, in the order of `LoadSettings::columns`.
    pub fn send(&mut self, input: InputRow<'_>, mapped: &Record) {
        self.builder.send(input, mapped);
    }

    /// Whether `dispatch` is due before the next row.
    pub fn is_full(&self) -> bool {
        self.builder.is_full()
    }

    /// For progress; not needed for every row.
    pub fn note_read(&self) {
        self.context.ledger.note_read(self.read + self.builder.pending());
    }

    /// Sends the chunk on its way, as soon as a slot is free. What goes wrong with Salesforce ends in [`Ending`].
    pub async fn dispatch(&mut self) {
        let built = self.builder.close();
        self.read += built.input_rows;
        if self.folding.is_some() {
            self.compare_folded(&built);
        } else {
            self.launch_read(built).await;
        }
        self.set_cut();
    }

    /// Chunks on record are cut as they were; folded ones fell where they were full.
    fn set_cut(&mut self) {
        let next = self.plan.ranges.front().filter(|_| self.folding.is_none());
        self.builder.cut(match next {
            None => Cut::WhenFull,
            Some(RowRange::Known(chunk)) => Cut::After(chunk.input_rows),
            Some(RowRange::Gap { rows, numbers }) if numbers.len() > 1 => Cut::FullOrAfter(*rows),
            Some(RowRange::Gap { rows, .. }) => Cut::After(*rows),
        });
    }

    async fn launch_read(&mut self, built: BuiltChunk) {
        // Before the number: chunks that send rows again keep the slots of others and wait for their turn behind all lower numbers, so a
        // number that waited for a slot could wait for ever.
        let slot = self.slot().await;
        let mut task = match self.plan.ranges.pop_front() {
            None => ChunkTask::new(self.context.ledger.next_number(), built),
            Some(RowRange::Gap { rows, mut numbers }) => {
                let number = numbers.pop_front().unwrap_or_else(|| self.context.ledger.next_number());
                match rows - built.input_rows {
                    0 => self.plan.unused.extend(numbers),
                    rows => self.plan.ranges.push_front(RowRange::Gap { rows, numbers }),
                }
                ChunkTask::new(number, built)
            }
            Some(RowRange::Known(chunk)) if !is_same(&chunk, &built) => {
                self.source_changed(chunk.first_row);
                self.adopt_without_rows(chunk);
                // The rows that were read now were not sent, and are not.
                ChunkTask::new(self.context.ledger.next_number(), built)
            }
            Some(RowRange::Known(chunk)) if self.context.files.is_none() && is_accounted_for(&chunk) => {
                self.adopt_without_rows(chunk);
                return;
            }
            Some(RowRange::Known(chunk)) => {
                let mut task = ChunkTask::new(chunk.number, built);
                task.sha256 = chunk.sha256;
                task.going_on_from(chunk)
            }
        };
        self.record_unused().await;
        task.slot = slot;
        self.context.order.announce(task.number);
        self.context.ledger.update(|totals| totals.chunks += 1);
        self.spawn(task);
    }

    async fn record_unused(&mut self) {
        for number in std::mem::take(&mut self.plan.unused) {
            if self.context.write(empty_chunk(number), None).await.is_err() {
                return;
            }
        }
    }

    /// A place in memory for one more chunk.
    async fn slot(&mut self) -> Option<OwnedSemaphorePermit> {
        loop {
            tokio::select! {
                biased;
                slot = self.slots.clone().acquire_owned() => return slot.ok(),
                Some(ended) = self.tasks.join_next() => self.ended(ended),
                // Chunks that are left as they are need no place.
                () = self.context.stop_signal.interrupted() => return None,
            }
        }
    }

    fn spawn(&mut self, task: ChunkTask) {
        let context = self.context.clone();
        self.tasks.spawn(async move { context.run(task).await });
    }

    fn ended(&mut self, ended: Result<ChunkOutcome, tokio::task::JoinError>) {
        match ended {
            Ok(ChunkOutcome::Finished { resend: Some(child) }) => {
                self.context.ledger.update(|totals| totals.chunks += 1);
                self.spawn(*child);
            }
            Ok(ChunkOutcome::Finished { resend: None } | ChunkOutcome::Interrupted) => {}
            // What it had on record is what a restart goes by. What the panic says may quote a cell, and this is told in a status.
            Err(_) => self.context.stop_signal.interrupt("a fault of Dataimporter ended a chunk: the log says where; please report it"),
        }
    }

    fn adopt_without_rows(&mut self, chunk: ChunkRecord) {
        self.context.ledger.update(|totals| totals.chunks += 1);
        if chunk.stage == Stage::Done || chunk.stage == Stage::Abandoned {
            self.context.ledger.update(|totals| totals.finished(&chunk.rows));
            return;
        }
        self.spawn(ChunkTask::without_rows(chunk));
    }

    fn compare_folded(&mut self, built: &BuiltChunk) {
        let Some(folding) = &mut self.folding else { return };
        folding.rows += built.input_rows;
        let sha256 = built.body.as_ref().map(Body::sha256).map(hex::encode).unwrap_or_default();
        folding.sha256 = FoldedChunks::chain(&folding.sha256, &sha256);
        if folding.rows < folding.expected.input_rows {
            return;
        }
        let same = folding.rows == folding.expected.input_rows && folding.sha256 == folding.expected.sha256;
        let FoldedChunks { rows, count, .. } = self.folding.take().map(|folding| folding.expected).unwrap_or_default();
        self.context.ledger.update(|totals| {
            totals.rows.add(&rows);
            totals.chunks += count;
            totals.chunks_done += count;
            totals.unreported += count.unsigned_abs();
        });
        if !same {
            self.source_changed(1);
        }
    }

    fn source_changed(&self, row: i64) {
        let text = format!(
            "the source is not what it was when this run began: the rows from {row} on differ from those already sent. \
             Rows sent are kept as they are and counted; start a new run for the rest"
        );
        self.context.stop_signal.stop(RunReason::SourceChanged, text);
    }

    /// No more rows: the source has ended, or the run is being stopped. Waits for all chunks.
    ///
    /// # Errors
    ///
    /// A chunk is still under way, which no chunk can be.
    pub async fn finish(mut self) -> io::Result<Ending> {
        if self.folding.is_some() && !self.context.stop_signal.is_raised() {
            self.source_changed(1);
        }
        if let Some(folding) = self.folding.take() {
            self.context.ledger.update(|totals| totals.rows.add(&folding.expected.rows));
            // Its rows are counted as the record has them.
            self.builder.close();
        } else if self.builder.pending() > 0 {
            let short = matches!(self.plan.ranges.front(), Some(RowRange::Known(chunk)) if self.builder.pending() < chunk.input_rows);
            if short && self.context.stop_signal.is_raised() {
                // These are rows of a chunk on record, which is adopted below.
                self.builder.close();
            } else {
                self.dispatch().await;
            }
        }
        self.adopt_the_rest();
        self.record_unused().await;
        while let Some(ended) = self.tasks.join_next().await {
            self.ended(ended);
            if self.tasks.is_empty() {
                self.adopt_lost_children();
            }
        }
        self.end().await
    }

    /// Chunks on record whose rows were not read again.
    fn adopt_the_rest(&mut self) {
        for range in std::mem::take(&mut self.plan.ranges) {
            let RowRange::Known(chunk) = range else { continue };
            if !self.context.stop_signal.is_raised() {
                self.source_changed(chunk.first_row);
            }
            self.adopt_without_rows(chunk);
        }
        if self.tasks.is_empty() {
            self.adopt_lost_children();
        }
    }

    /// Chunks that send rows again, of chunks that could only be counted.
    fn adopt_lost_children(&mut self) {
        for chunk in self.context.ledger.take_all_resent() {
            self.adopt_without_rows(chunk);
        }
    }

    async fn end(self) -> io::Result<Ending> {
        let Self { context, reread, .. } = self;
        match Arc::try_unwrap(context) {
            Ok(context) => Ok(Ending::of(context, reread).await),
            Err(_) => Err(io::Error::other("a chunk outlived its load")),
        }
    }
}

/// Done, and none of its rows went on with another chunk.
fn is_accounted_for(chunk: &ChunkRecord) -> bool {
    chunk.stage == Stage::Done && chunk.rows.read == chunk.input_rows
}

/// Whether the rows read again are those of the chunk.
fn is_same(chunk: &ChunkRecord, built: &BuiltChunk) -> bool {
    let sent = built.rows.sent() as i64;
    let same_rows = chunk.first_row == built.first_row && chunk.input_rows == built.input_rows && chunk.sent_rows == sent;
    let same_bytes = match (chunk.sha256, &built.body) {
        (Some(sha256), Some(body)) => body.sha256() == sha256,
        (Some(_), None) => false,
        // Not sent yet when it went on record.
        (None, _) => true,
    };
    same_rows && same_bytes
}
