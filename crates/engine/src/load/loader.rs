//! The loader: rows in, chunks out to Salesforce, a few at a time, and at the end every row accounted for.
//!
//! The caller reads and maps rows and hands them over one by one; when a chunk is full it waits for a free slot, which is what keeps
//! memory bounded. Rows of an earlier attempt are handed over again and compared, not sent again.

use std::io;
use std::sync::Arc;

use api::import_run::{Chunk, ChunkState, Chunks, FoldedChunks, Rows, RunReason, Warning};
use csv::ByteRecord;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::body::Body;
use super::brake::Brake;
use super::builder::{Batch, ChunkBuilder, ChunkLimits, ChunkShape, Cut, InputRow};
use super::bulk::Bulk;
use super::context::Context;
use super::flight::{Flight, Landed, parse_sha256};
use super::journal::Journal;
use super::ledger::{FailedRow, Ledger};
use super::order::Order;
use super::resume::{Plan, Reread, Stretch, empty_chunk};
use crate::results::{Escape, Layout, ResultFiles, ResultsSink, SinkError, WrittenResult};

/// Chunks in flight, and in memory.
const SLOTS: usize = 4;

/// What a load is made of.
pub struct LoadSettings {
    /// Header of the input.
    pub input: ByteRecord,
    /// Header of what is sent.
    pub columns: ByteRecord,
    /// Column of what is sent that identifies a row: the external id of an upsert, the id of an update or delete.
    pub key_column: Option<usize>,
    pub limits: ChunkLimits,
    /// Absent: no result files.
    pub results: Option<(Box<dyn ResultsSink>, Escape)>,
    pub reread: Reread,
    pub max_failed_percent: Option<i32>,
    pub api_budget_percent: u8,
    /// In `[0, 1)`, to spread waits.
    pub random: Arc<dyn Fn() -> f64 + Send + Sync>,
}

/// The parts of the outside world.
pub struct LoadPorts {
    pub bulk: Arc<dyn Bulk>,
    pub journal: Arc<dyn Journal>,
    pub brake: Brake,
}

/// How a load ended.
#[derive(Debug)]
pub struct Ending {
    pub reason: RunReason,
    pub message: String,
    /// Balanced, unless the run was interrupted.
    pub rows: Rows,
    pub results: Vec<WrittenResult>,
    /// The first failed rows, by row number.
    pub failed_rows: Vec<FailedRow>,
    /// Results that matched no row; listed in the files.
    pub unmatched: u64,
    /// What was sent although it looks like a mistake; added by who maps the rows.
    pub warnings: Vec<Warning>,
    /// Another attempt has taken over: nothing may be reported.
    pub fenced: bool,
}

pub struct Loader {
    context: Arc<Context>,
    builder: ChunkBuilder,
    reread: Reread,
    /// Chunks of earlier attempts, still to be read again.
    plan: Plan,
    folding: Option<Folding>,
    tasks: JoinSet<Landed>,
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
    pub fn start(settings: LoadSettings, ports: LoadPorts, chunks: &Chunks) -> io::Result<Self> {
        let LoadSettings { input, columns, key_column, limits, results, reread, max_failed_percent, api_budget_percent, random } = settings;
        let mut plan = Plan::new(chunks, reread);
        let keep = results.as_ref().map(|(_, escape)| Layout::new(*escape, &input));
        let shape = ChunkShape { columns: columns.clone(), key_column, limits, keep };
        let builder = ChunkBuilder::new(shape, plan.first_row);
        let folding = plan.folded.take().map(|expected| Folding { expected, rows: 0, sha256: String::new() });
        let ledger = Arc::new(Ledger::going_on(plan.next_number, std::mem::take(&mut plan.resent)));
        ledger.edit(|books| {
            books.rows = plan.base;
            books.chunks = plan.base_chunks;
            books.chunks_done = plan.base_chunks;
        });
        let context = Arc::new(Context {
            bulk: ports.bulk,
            journal: ports.journal,
            brake: ports.brake,
            ledger,
            order: Order::new(),
            files: results.map(|(sink, escape)| Mutex::new(ResultFiles::new(sink, escape, &input))),
            columns,
            prints: builder.prints().clone(),
            max_failed_percent,
            api_budget_percent,
            random,
        });
        if let Some((reason, message)) = &plan.over {
            context.brake.stop(*reason, message.clone());
        }
        let mut loader =
            Self { context, builder, reread, plan, folding, tasks: JoinSet::new(), slots: Arc::new(Semaphore::new(SLOTS)), read: 0 };
        for chunk in std::mem::take(&mut loader.plan.blind) {
            loader.adopt_blind(chunk);
        }
        loader.read = loader.plan.base.read;
        loader.set_cut();
        Ok(loader)
    }

    pub fn ledger(&self) -> Arc<Ledger> {
        self.context.ledger.clone()
    }

    pub fn filtered(&mut self, input: InputRow<'_>) {
        self.builder.filtered(input);
    }

    pub fn deduplicated(&mut self, input: InputRow<'_>) {
        self.builder.deduplicated(input);
    }

    /// A record that is no row.
    pub fn skipped(&mut self, input: InputRow<'_>) {
        self.builder.skipped(input);
    }

    /// A row that fails before it is sent.
    pub fn rejected(&mut self, input: InputRow<'_>, reason: &str) -> io::Result<()> {
        self.builder.rejected(input, reason)
    }

    /// A row to send.
    pub fn send(&mut self, input: InputRow<'_>, mapped: &ByteRecord) -> io::Result<()> {
        self.builder.send(input, mapped)
    }

    /// Whether `dispatch` is due before the next row.
    pub fn is_full(&self) -> bool {
        self.builder.is_full()
    }

    /// For progress; not needed for every row.
    pub fn note_read(&self) {
        self.context.ledger.note_read(self.read + self.builder.pending());
    }

    /// Sends the chunk on its way, as soon as a slot is free.
    pub async fn dispatch(&mut self) -> io::Result<()> {
        let batch = self.builder.close()?;
        self.read += batch.input_rows;
        if self.folding.is_some() {
            self.compare_folded(&batch)?;
        } else {
            self.launch_read(batch).await?;
        }
        self.set_cut();
        Ok(())
    }

    /// Chunks on record are cut as they were; folded ones fell where they were full.
    fn set_cut(&mut self) {
        let next = self.plan.stretches.front().filter(|_| self.folding.is_none());
        self.builder.cut(match next {
            None => Cut::WhenFull,
            Some(Stretch::Known(chunk)) => Cut::After(chunk.input_rows),
            Some(Stretch::Gap { rows, numbers }) if numbers.len() > 1 => Cut::FullOrAfter(*rows),
            Some(Stretch::Gap { rows, .. }) => Cut::After(*rows),
        });
    }

    async fn launch_read(&mut self, batch: Batch) -> io::Result<()> {
        // Before the number: chunks that send rows again keep the slots of others and wait for their turn behind all lower numbers, so a
        // number that waited for a slot could wait for ever.
        let slot = self.slot().await;
        let mut flight = match self.plan.stretches.pop_front() {
            None => Flight::new(self.context.ledger.next_number(), batch),
            Some(Stretch::Gap { rows, mut numbers }) => {
                let number = numbers.pop_front().unwrap_or_else(|| self.context.ledger.next_number());
                match rows - batch.input_rows {
                    0 => self.plan.unused.extend(numbers),
                    rows => self.plan.stretches.push_front(Stretch::Gap { rows, numbers }),
                }
                Flight::new(number, batch)
            }
            Some(Stretch::Known(chunk)) if !is_same(&chunk, &batch)? => {
                self.source_changed(chunk.first_row);
                self.adopt_blind(chunk);
                // The rows that were read now were not sent, and are not.
                Flight::new(self.context.ledger.next_number(), batch)
            }
            Some(Stretch::Known(chunk)) if self.context.files.is_none() && is_accounted_for(&chunk) => {
                self.adopt_blind(chunk);
                return Ok(());
            }
            Some(Stretch::Known(chunk)) => {
                let mut flight = Flight::new(chunk.number, batch);
                flight.sha256 = chunk.sha256.as_deref().and_then(parse_sha256);
                flight.recorded = Some(chunk);
                flight
            }
        };
        self.record_unused().await;
        flight.slot = slot;
        self.context.order.announce(flight.number);
        self.context.ledger.edit(|books| books.chunks += 1);
        self.spawn(flight);
        Ok(())
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
                Some(landed) = self.tasks.join_next() => self.landed(landed),
                // Chunks that are left as they are need no place.
                () = self.context.brake.interrupted() => return None,
            }
        }
    }

    fn spawn(&mut self, flight: Flight) {
        let context = self.context.clone();
        self.tasks.spawn(async move { context.fly(flight).await });
    }

    fn landed(&mut self, landed: Result<Landed, tokio::task::JoinError>) {
        match landed {
            Ok(Landed::Done { resend: Some(child) }) => {
                self.context.ledger.edit(|books| books.chunks += 1);
                self.spawn(*child);
            }
            Ok(Landed::Done { resend: None } | Landed::Interrupted) => {}
            // What it had on record is what a restart goes by.
            Err(error) => self.context.brake.interrupt(format!("a chunk ended unexpectedly: {error}")),
        }
    }

    fn adopt_blind(&mut self, chunk: Chunk) {
        self.context.ledger.edit(|books| books.chunks += 1);
        if chunk.state == ChunkState::Done || chunk.state == ChunkState::Abandoned {
            self.context.ledger.edit(|books| books.finished(&chunk.rows));
            return;
        }
        self.spawn(Flight::blind(chunk));
    }

    fn compare_folded(&mut self, batch: &Batch) -> io::Result<()> {
        let Some(folding) = &mut self.folding else { return Ok(()) };
        folding.rows += batch.input_rows;
        let sha256 = batch.body.as_ref().map(Body::sha256).transpose()?.map(hex::encode).unwrap_or_default();
        folding.sha256 = FoldedChunks::chain(&folding.sha256, &sha256);
        if folding.rows < folding.expected.input_rows {
            return Ok(());
        }
        let same = folding.rows == folding.expected.input_rows && folding.sha256 == folding.expected.sha256;
        let FoldedChunks { rows, count, .. } = self.folding.take().map(|folding| folding.expected).unwrap_or_default();
        self.context.ledger.edit(|books| {
            books.rows.add(&rows);
            books.chunks += count;
            books.chunks_done += count;
            books.untold += count.unsigned_abs();
        });
        if !same {
            self.source_changed(1);
        }
        Ok(())
    }

    fn source_changed(&self, row: i64) {
        let text = format!(
            "the source is not what it was when this run began: the rows from {row} on differ from those already sent. \
             Rows sent are kept as they are and counted; start a new run for the rest"
        );
        self.context.brake.stop(RunReason::SourceChanged, text);
    }

    /// No more rows: the source has ended, or the brake is pulled. Waits for all chunks.
    pub async fn finish(mut self) -> io::Result<Ending> {
        if self.folding.is_some() && !self.context.brake.is_pulled() {
            self.source_changed(1);
        }
        if let Some(folding) = self.folding.take() {
            self.context.ledger.edit(|books| books.rows.add(&folding.expected.rows));
            // Its rows are told by the record.
            self.builder.close()?;
        } else if self.builder.pending() > 0 {
            let short = matches!(self.plan.stretches.front(), Some(Stretch::Known(chunk)) if self.builder.pending() < chunk.input_rows);
            if short && self.context.brake.is_pulled() {
                // These are rows of a chunk on record, which is adopted below.
                self.builder.close()?;
            } else {
                self.dispatch().await?;
            }
        }
        self.adopt_the_rest();
        self.record_unused().await;
        while let Some(landed) = self.tasks.join_next().await {
            self.landed(landed);
            if self.tasks.is_empty() {
                self.adopt_lost_children();
            }
        }
        self.end().await
    }

    /// Chunks on record whose rows were not read again.
    fn adopt_the_rest(&mut self) {
        for stretch in std::mem::take(&mut self.plan.stretches) {
            let Stretch::Known(chunk) = stretch else { continue };
            if !self.context.brake.is_pulled() {
                self.source_changed(chunk.first_row);
            }
            self.adopt_blind(chunk);
        }
        if self.tasks.is_empty() {
            self.adopt_lost_children();
        }
    }

    /// Chunks that send rows again, of chunks that could only be counted.
    fn adopt_lost_children(&mut self) {
        for chunk in self.context.ledger.take_all_resent() {
            self.adopt_blind(chunk);
        }
    }

    async fn end(self) -> io::Result<Ending> {
        let Self { context, reread, .. } = self;
        let Ok(context) = Arc::try_unwrap(context).map_err(|_| ()) else {
            return Err(io::Error::other("a chunk outlived its load"));
        };
        let books = context.ledger.books();
        let stopped = context.brake.reason();
        let interrupted = context.brake.is_interrupted();
        let fenced = context.brake.is_fenced();
        let mut results = Vec::new();
        // Whoever goes on with a source that is read from the start tells all rows again.
        let from_start = reread == Reread::FromStart;
        let told = !(fenced || interrupted && from_start);
        let mut lost = None;
        if let Some(files) = context.files.filter(|_| told) {
            match files.into_inner().finish().await {
                Ok(written) => results = written,
                Err(error) => lost = Some(error),
            }
        }
        let (reason, mut message) = match stopped {
            Some(stopped) if interrupted => stopped,
            stopped => books.verdict(stopped),
        };
        let untold = match books.untold {
            0 => None,
            chunks => Some(format!("the results of {chunks} chunks that an earlier attempt finished are counted but not in the files")),
        };
        let undecided = (reason != RunReason::NeedsDecision && !books.undecided.is_empty())
            .then(|| format!("look for these rows in the org before loading them again: {}", books.undecided.join("; ")));
        let lost_text = lost.as_ref().map(ToString::to_string);
        for more in lost_text.into_iter().chain(untold).chain(undecided) {
            message.push_str(if message.is_empty() { "" } else { "; " });
            message.push_str(&more);
        }
        let reason = match &lost {
            // The rows are accounted for; another attempt reads them and their results once more and writes the files.
            Some(SinkError::Unreachable(_)) if from_start && books.undecided.is_empty() => RunReason::Interrupted,
            Some(SinkError::Full(_)) if reason.is_success() => RunReason::LimitExceeded,
            Some(_) if reason.is_success() => RunReason::Internal,
            _ => reason,
        };
        let fenced = fenced || matches!(lost, Some(SinkError::Fenced));
        let rows = context.ledger.progress().rows;
        Ok(Ending {
            reason,
            message,
            rows,
            results,
            failed_rows: books.failed_rows,
            unmatched: books.unmatched,
            warnings: Vec::new(),
            fenced,
        })
    }
}

/// Done, and none of its rows went on with another chunk.
fn is_accounted_for(chunk: &Chunk) -> bool {
    chunk.state == ChunkState::Done && chunk.rows.read == chunk.input_rows
}

/// Whether the rows read again are those of the chunk.
fn is_same(chunk: &Chunk, batch: &Batch) -> io::Result<bool> {
    let sent = batch.rows.sent() as i64;
    let same_rows = chunk.first_row == batch.first_row && chunk.input_rows == batch.input_rows && chunk.sent_rows == sent;
    let same_bytes = match (chunk.sha256.as_deref().and_then(parse_sha256), &batch.body) {
        (Some(sha256), Some(body)) => body.sha256()? == sha256,
        (Some(_), None) => false,
        // Not sent yet when it went on record.
        (None, _) => true,
    };
    Ok(same_rows && same_bytes)
}
