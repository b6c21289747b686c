//! Drives one chunk through its states: the only place where the protocol meets calls, waits and the journal.

use api::import_run::{Chunk, ChunkState, Rows, RunReason};
use csv::ByteRecord;
use salesforce::bulk::JobId;
use salesforce::{Class, Delivery};
use tokio::sync::OwnedSemaphorePermit;

use super::body::Body;
use super::builder::{BuiltChunk, ChunkBuilder, ChunkRows};
use super::context::{Interrupted, LoadContext, RetryBudget};
use super::ledger::FailedRow;
use super::machine::{BulkState, Ended, Leftover, Planned, Settlement, Tally, Uploaded};
use super::readback::{Readback, read_results};
use super::stop::Directive;
use crate::results::ChunkResults;
use crate::results::correlate::Expected;

/// How often the same rows may start over because their job was spoiled.
const MAX_JOBS: u32 = 8;

/// One chunk on its way.
pub(crate) struct ChunkTask {
    pub(crate) number: i64,
    pub(crate) resends: Option<i64>,
    /// How often these rows were sent in vain.
    pub(crate) depth: u8,
    pub(crate) first_row: i64,
    pub(crate) input_rows: i64,
    /// What was known of the rows before any was sent; `read` is what this chunk accounts for.
    pub(crate) counted: Rows,
    pub(crate) last_key: Option<Vec<String>>,
    pub(crate) body: Option<Body>,
    pub(crate) sent: u64,
    pub(crate) bytes: u64,
    pub(crate) sha256: Option<[u8; 32]>,
    /// Absent for a chunk of an earlier attempt whose rows cannot be read again.
    pub(crate) rows: Option<ChunkRows>,
    /// As an earlier attempt left it in the journal.
    pub(crate) recorded: Option<Chunk>,
    /// The job that the journal names.
    pub(crate) on_record: Option<JobId>,
    /// Held until the rows are no longer in memory.
    pub(crate) slot: Option<OwnedSemaphorePermit>,
}

/// How a chunk ended.
pub(crate) enum ChunkOutcome {
    /// Its rows are accounted for; some may go on as another chunk.
    Finished { resend: Option<Box<ChunkTask>> },
    /// Left as it is.
    Interrupted,
}

enum Settled {
    Finished(Option<Box<ChunkTask>>),
    Unreadable(Box<ChunkTask>, JobId),
}

impl ChunkTask {
    pub(crate) fn new(number: i64, built: BuiltChunk) -> Self {
        let BuiltChunk { first_row, input_rows, counted, body, rows, last_key } = built;
        Self {
            number,
            resends: None,
            depth: 0,
            first_row,
            input_rows,
            counted,
            last_key,
            sent: rows.sent(),
            bytes: body.as_ref().map_or(0, Body::bytes),
            body,
            sha256: None,
            rows: Some(rows),
            recorded: None,
            on_record: None,
            slot: None,
        }
    }

    /// A chunk of an earlier attempt whose rows cannot be read again: only its numbers are known.
    pub(crate) fn without_rows(recorded: Chunk) -> Self {
        Self {
            number: recorded.number,
            resends: recorded.resends,
            depth: 0,
            first_row: recorded.first_row,
            input_rows: recorded.input_rows,
            counted: Rows { succeeded: 0, unprocessed: 0, ..recorded.rows },
            last_key: None,
            body: None,
            sent: recorded.sent_rows.unsigned_abs(),
            bytes: recorded.bytes.unsigned_abs(),
            sha256: recorded.sha256.as_deref().and_then(parse_sha256),
            rows: None,
            recorded: Some(recorded),
            on_record: None,
            slot: None,
        }
    }

    /// The chunk of those rows of `parent` that Salesforce never tried, with the cells it gave back.
    fn resending(parent: &mut Self, number: i64, unprocessed: Vec<(u32, ByteRecord)>, context: &LoadContext) -> Option<Self> {
        let (places, cells): (Vec<u32>, Vec<ByteRecord>) = unprocessed.into_iter().unzip();
        let (body, expected) = ChunkBuilder::resend(&context.fingerprinter, &context.columns, &cells).ok()?;
        Self::taking_over(parent, number, places, body, expected)
    }

    /// The chunk of all rows that `parent` sent in vain.
    fn resending_all(parent: &mut Self, number: i64, context: &LoadContext) -> Option<Self> {
        let body = Some(parent.body.take()?);
        let of_parent = parent.rows.as_mut()?;
        let mut expected = std::mem::replace(&mut of_parent.expected, Expected::new(context.fingerprinter.clone()));
        let places = expected.places();
        expected.renumber(&places);
        Self::taking_over(parent, number, places, body, expected)
    }

    /// The parent then no longer accounts for the rows at these places.
    fn taking_over(parent: &mut Self, number: i64, places: Vec<u32>, body: Option<Body>, expected: Expected) -> Option<Self> {
        let of_parent = parent.rows.as_mut()?;
        let outcomes = of_parent.outcomes.hand_over(&places);
        // Places count among the kept rows, of which the parent may itself have only some.
        let chosen = match &of_parent.chosen {
            Some(chosen) => places.iter().map(|place| chosen[*place as usize]).collect(),
            None => places,
        };
        let rows = ChunkRows { kept: of_parent.kept.clone(), chosen: Some(chosen), numbers: of_parent.numbers.clone(), outcomes, expected };
        let sent = rows.sent();
        parent.counted.read -= sent as i64;
        Some(Self {
            number,
            resends: Some(parent.number),
            depth: parent.depth + 1,
            first_row: parent.first_row,
            input_rows: 0,
            counted: Rows { read: sent as i64, ..Rows::default() },
            last_key: None,
            sent,
            bytes: body.as_ref().map_or(0, Body::bytes),
            body,
            sha256: None,
            rows: Some(rows),
            recorded: None,
            on_record: None,
            slot: parent.slot.take(),
        })
    }

    fn start(&self) -> BulkState {
        let Some(recorded) = &self.recorded else { return BulkState::Planned(Planned) };
        match recorded.job_id.as_deref().map(str::parse) {
            Some(Ok(job)) => BulkState::recover(recorded.state, job),
            Some(Err(_)) => BulkState::NeedsDecision(None, "its job id on record is none"),
            None => BulkState::Planned(Planned),
        }
    }

    /// As it goes into the journal.
    fn record(&self, state: ChunkState, job: Option<&JobId>, rows: Rows) -> Chunk {
        Chunk {
            number: self.number,
            resends: self.resends,
            state,
            first_row: self.first_row,
            input_rows: self.input_rows,
            sent_rows: self.sent as i64,
            bytes: self.bytes as i64,
            sha256: self.sha256.map(hex::encode),
            job_id: job.map(|job| job.as_str().to_owned()),
            rows,
            sealed_cursor: None,
        }
    }

    fn was(&self, state: ChunkState) -> bool {
        self.recorded.as_ref().is_some_and(|chunk| chunk.state == state)
    }

    /// Rows that an earlier attempt left to another chunk when it put this one on record as done.
    fn was_handed_over(&self) -> bool {
        self.was(ChunkState::Done) && self.recorded.as_ref().is_some_and(|chunk| chunk.rows.read < self.counted.read)
    }

    /// What became of all rows this chunk accounts for, if this is what the results say.
    fn rows_with(&self, tally: Tally) -> Rows {
        let mut rows = self.counted;
        rows.succeeded += tally.succeeded as i64;
        rows.failed += tally.failed as i64;
        rows.unprocessed += tally.unprocessed as i64;
        rows
    }

    fn failed_rows(&self) -> impl Iterator<Item = FailedRow> {
        self.rows.iter().flat_map(|rows| {
            rows.outcomes.failures().map(|(place, reason)| {
                let place = rows.chosen.as_ref().map_or(place, |chosen| chosen[place as usize]);
                FailedRow { row: self.first_row + i64::from(rows.numbers[place as usize]), reason: reason.to_owned() }
            })
        })
    }
}

impl LoadContext {
    pub(crate) async fn run(&self, task: ChunkTask) -> ChunkOutcome {
        match self.drive(task).await {
            Ok(resend) => ChunkOutcome::Finished { resend },
            Err(Interrupted) => ChunkOutcome::Interrupted,
        }
    }

    async fn drive(&self, mut task: ChunkTask) -> Result<Option<Box<ChunkTask>>, Interrupted> {
        let mut state = task.start();
        task.on_record = task.recorded.as_ref().and_then(|chunk| chunk.job_id.as_deref()?.parse().ok());
        let mut retries = RetryBudget::new();
        if task.sent == 0 && matches!(state, BulkState::Planned(_)) {
            return self.finish(task, None, Tally::default(), ChunkState::Done).await.map(|()| None);
        }
        loop {
            let directive = self.stop_signal.directive();
            state = match state {
                BulkState::Planned(_) if directive != Directive::Continue => BulkState::Abandoned,
                // Only the numbers of this chunk are left, and they say that nothing was committed.
                BulkState::Planned(_) if task.rows.is_none() => BulkState::Abandoned,
                BulkState::Planned(_) if task.body.is_none() => BulkState::NeedsDecision(None, "its rows cannot be read again"),
                BulkState::Planned(_) if retries.jobs >= MAX_JOBS => {
                    let text = format!("the rows of chunk {} were refused with {MAX_JOBS} jobs, one after the other", task.number);
                    self.stop_signal.stop(RunReason::TargetFailed, text);
                    BulkState::Abandoned
                }
                BulkState::Planned(planned) => {
                    retries.jobs += 1;
                    match self.unless_interrupted(self.bulk.create()).await? {
                        Ok(job) => BulkState::Created(planned.created(job)),
                        Err(error) if matches!(error.class(), Class::SpoiledJob | Class::Rechunk) => {
                            self.stop_signal.stop(RunReason::TargetFailed, format!("salesforce would not make a job: {error}"));
                            BulkState::Abandoned
                        }
                        Err(error) => {
                            retries.jobs -= 1;
                            self.trouble("make a job", &error, &mut retries).await?;
                            BulkState::Planned(planned)
                        }
                    }
                }
                BulkState::Created(created) => {
                    let chunk = task.record(ChunkState::Created, Some(&created.job), task.counted);
                    let proof = self.write(chunk, task.last_key.as_deref()).await?;
                    task.on_record = Some(created.job.clone());
                    BulkState::Registered(created.recorded(proof))
                }
                BulkState::Registered(registered) if directive != Directive::Continue => BulkState::Withdrawn(registered.withdraw()),
                BulkState::Registered(registered) => {
                    let body = task.body.clone().unwrap_or_default();
                    match self.unless_interrupted(self.bulk.upload(&registered.job, &body)).await? {
                        Ok(uploaded) if uploaded.bytes == task.bytes => {
                            task.sha256 = Some(uploaded.sha256);
                            BulkState::Sent(registered.sent())
                        }
                        Ok(_) => BulkState::Withdrawn(registered.withdraw()),
                        Err(error) => {
                            self.trouble("take the rows", &error, &mut retries).await?;
                            BulkState::Withdrawn(registered.withdraw())
                        }
                    }
                }
                BulkState::Sent(sent) => {
                    let chunk = task.record(ChunkState::Uploaded, Some(&sent.job), task.counted);
                    BulkState::Uploaded(sent.recorded(self.write(chunk, task.last_key.as_deref()).await?))
                }
                BulkState::Uploaded(uploaded) if directive != Directive::Continue => BulkState::Withdrawn(uploaded.withdraw()),
                BulkState::Uploaded(uploaded) => self.commit(uploaded).await?,
                BulkState::InDoubt(doubt) => {
                    let job = doubt.job.clone();
                    match self.look(&job, &mut retries).await? {
                        Some(status) => doubt.observed(status, directive),
                        None => BulkState::NeedsDecision(Some(job), "its job could not be looked at"),
                    }
                }
                BulkState::Found(found) => {
                    let job = found.job.clone();
                    match self.look(&job, &mut retries).await? {
                        Some(status) => found.observed(status),
                        None => BulkState::NeedsDecision(Some(job), "its job could not be looked at"),
                    }
                }
                BulkState::Committed(committed) => {
                    if committed.certain && !task.was_handed_over() {
                        // Whatever comes, these rows are not sent as a whole again.
                        task.body = None;
                    }
                    match self.poll(&committed.job, &mut retries).await? {
                        Some(status) => committed.observed(status, directive),
                        None => BulkState::NeedsDecision(Some(committed.job), "its job did not end before the run had to"),
                    }
                }
                BulkState::Withdrawn(withdrawn) => match self.unless_interrupted(self.bulk.abort(&withdrawn.job)).await? {
                    // It may yet be committed: look again.
                    Err(error) if withdrawn.raced => {
                        self.trouble("abort a job", &error, &mut retries).await?;
                        BulkState::InDoubt(Uploaded { job: withdrawn.job }.refused())
                    }
                    _ => withdrawn.aborted(directive),
                },
                BulkState::Ended(ended) => match self.settle(task, ended, &mut retries).await? {
                    Settled::Finished(resend) => return Ok(resend),
                    Settled::Unreadable(same, job) => {
                        task = *same;
                        BulkState::NeedsDecision(Some(job), "its results cannot be read")
                    }
                },
                BulkState::Abandoned => {
                    if let Some(rows) = &mut task.rows {
                        rows.outcomes.all_unprocessed();
                    }
                    let tally = Tally { unprocessed: task.sent, ..Tally::default() };
                    return self.finish(task, None, tally, ChunkState::Abandoned).await.map(|()| None);
                }
                BulkState::NeedsDecision(job, why) => return self.undecided(task, job, why).await.map(|()| None),
            };
        }
    }

    async fn commit(&self, uploaded: Uploaded) -> Result<BulkState, Interrupted> {
        Ok(match self.unless_interrupted(self.bulk.close(&uploaded.job)).await? {
            Ok(()) => BulkState::Committed(uploaded.committed()),
            Err(error) if error.delivery() == Delivery::Answered && error.class() != Class::Transient => {
                self.note_refusal(&error);
                BulkState::InDoubt(uploaded.refused())
            }
            Err(_) => BulkState::InDoubt(uploaded.answer_lost()),
        })
    }

    /// Reads the results of a job that is over, and acts on what they mean.
    async fn settle(&self, mut task: ChunkTask, ended: Ended, retries: &mut RetryBudget) -> Result<Settled, Interrupted> {
        let Readback { tally, unprocessed } = loop {
            let rows = task.rows.as_mut().map(|rows| (&mut rows.outcomes, &mut rows.expected));
            match self.unless_interrupted(read_results(&*self.bulk, &ended, &self.columns, rows)).await? {
                Ok(readback) => break readback,
                Err(error) => {
                    tracing::info!(chunk = task.number, job = %ended.job, %error, "results have to be read again");
                    self.note_refusal(&error);
                    retries.readings += 1;
                    let hopeless = !matches!(error.class(), Class::Transient | Class::Quota) && retries.readings >= 3;
                    if hopeless || self.stop_signal.directive() == Directive::StopNow {
                        return Ok(Settled::Unreadable(Box::new(task), ended.job));
                    }
                    self.rest(retries).await?;
                }
            }
        };
        let settlement = match self.stop_signal.directive() {
            Directive::Continue if task.was_handed_over() && tally.unprocessed == 0 => Settlement::ResendAll,
            Directive::Continue if task.was_handed_over() => Settlement::Resend,
            Directive::Continue if !task.was(ChunkState::Done) && task.rows.is_some() => {
                ended.settle(tally, task.sent, task.depth, Directive::Continue)
            }
            _ => ended.settle(tally, task.sent, task.depth, Directive::Stop),
        };
        let mut resend = match settlement {
            Settlement::Complete => None,
            Settlement::Resend => self.resend(&mut task, Some(unprocessed)),
            Settlement::ResendAll if task.body.is_some() => self.resend(&mut task, None),
            Settlement::ResendAll => {
                self.stop_for(&ended, Leftover::Hopeless);
                None
            }
            Settlement::Leave(leftover) => {
                self.stop_for(&ended, leftover);
                None
            }
        };
        if let Some(child) = resend.as_mut().filter(|_| tally.succeeded + tally.failed > 0) {
            child.depth = 0;
        }
        let handed_over = resend.as_ref().map_or(0, |child| child.sent);
        // Rows without any result are unprocessed as far as anyone can tell.
        let unprocessed = task.sent.saturating_sub(tally.succeeded + tally.failed + handed_over);
        let job = ended.job;
        self.finish(task, Some(job), Tally { unprocessed, ..tally }, ChunkState::Done).await?;
        Ok(Settled::Finished(resend))
    }

    /// Makes the chunk of the rows that were never tried (`None`: all); an earlier attempt may have made it before.
    fn resend(&self, task: &mut ChunkTask, unprocessed: Option<Vec<(u32, ByteRecord)>>) -> Option<Box<ChunkTask>> {
        let earlier = self.ledger.take_resent(task.number);
        let number = earlier.as_ref().map_or_else(|| self.ledger.next_number(), |chunk| chunk.number);
        let mut child = match unprocessed {
            Some(unprocessed) => ChunkTask::resending(task, number, unprocessed, self),
            None => ChunkTask::resending_all(task, number, self),
        }?;
        child.recorded = earlier;
        // Before the parent's turn ends, so that no later chunk goes first.
        self.order.announce(number);
        Some(Box::new(child))
    }

    fn stop_for(&self, ended: &Ended, leftover: Leftover) {
        let job = &ended.job;
        let said = ended.info.error_message.as_deref().unwrap_or("no reason");
        match leftover {
            Leftover::Stopping => {}
            Leftover::JobRefused => {
                self.stop_signal.stop(RunReason::TargetFailed, format!("salesforce refused job {job} as a whole: {said}"));
            }
            Leftover::Quota => self.stop_signal.stop(RunReason::QuotaExceeded, format!("salesforce stopped job {job}: {said}")),
            Leftover::Hopeless => {
                self.stop_signal.stop(
                    RunReason::TargetFailed,
                    format!("salesforce ended job {job} ({:?}) before all rows were tried: {said}", ended.info.state),
                );
            }
            Leftover::Unaccounted => {
                let text = format!("job {job} is complete, but its results do not account for the rows sent: compare them with the org");
                self.stop_signal.stop(RunReason::AccountingMismatch, text);
            }
        }
    }

    /// Writes the rows of the chunk to the result files, counts them and puts the chunk on record.
    async fn finish(&self, task: ChunkTask, job: Option<JobId>, tally: Tally, state: ChunkState) -> Result<(), Interrupted> {
        self.write_results(&task).await?;
        let rows = task.rows_with(tally);
        let job = job.or_else(|| task.on_record.clone());
        let of_interest = job.is_some() || state != ChunkState::Abandoned;
        if of_interest && !task.was(state) {
            self.write(task.record(state, job.as_ref(), rows), task.last_key.as_deref()).await?;
        }
        self.ledger.update(|totals| {
            totals.finished(&rows);
            totals.show(task.failed_rows());
            totals.unmatched += task.rows.as_ref().map_or(0, |rows| rows.outcomes.unmatched_results().len() as u64);
        });
        self.check_guards();
        Ok(())
    }

    /// Nobody but a person can say what became of the rows.
    async fn undecided(&self, mut task: ChunkTask, job: Option<JobId>, why: &'static str) -> Result<(), Interrupted> {
        if let Some(done) = task.recorded.take_if(|chunk| chunk.state == ChunkState::Done) {
            // Its rows are accounted for; only the result files lack them.
            tracing::warn!(chunk = task.number, why, "the results of an earlier attempt's chunk cannot be written again");
            self.order.done(task.number);
            self.ledger.update(|totals| {
                totals.finished(&done.rows);
                totals.unreported += 1;
            });
            return Ok(());
        }
        let named = job.as_ref().map_or_else(String::new, |job| format!(" (job {job})"));
        let (first, last) = (task.first_row, task.first_row + task.input_rows - 1);
        let text = format!("chunk {}{named}, rows {first} to {last}: {why}", task.number);
        self.stop_signal.stop(RunReason::NeedsDecision, format!("{text}; look for the rows in the org before loading them again"));
        self.ledger.update(|totals| totals.undecided.push(text));
        if let Some(rows) = &mut task.rows {
            rows.outcomes.forget_results();
        }
        let tally = Tally { unprocessed: task.sent, ..Tally::default() };
        self.finish(task, job, tally, ChunkState::NeedsDecision).await
    }

    /// Writes the chunk's rows to the result files when its turn comes.
    async fn write_results(&self, task: &ChunkTask) -> Result<(), Interrupted> {
        let written = match (&self.files, &task.rows) {
            (Some(files), Some(ChunkRows { kept: Some(kept), chosen, outcomes, .. })) => {
                self.unless_interrupted(self.order.turn(task.number)).await?;
                let results = ChunkResults { kept, chosen: chosen.as_deref(), outcomes };
                // Not cut short: with half a chunk in a file, the next attempt would write those rows twice.
                files.lock().await.write(results).await
            }
            _ => Ok(()),
        };
        self.order.done(task.number);
        written.or_else(|error| self.sink_failed(error))
    }
}

pub(crate) fn parse_sha256(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    hex::decode_to_slice(text, &mut digest).ok().map(|()| digest)
}
