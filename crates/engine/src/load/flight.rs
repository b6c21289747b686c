//! Drives one chunk through its states: the only place where the protocol meets calls, waits and the journal.

use api::import_run::{Chunk, ChunkState, Rows, RunReason};
use csv::ByteRecord;
use salesforce::bulk::JobId;
use salesforce::{Class, Delivery};
use tokio::sync::OwnedSemaphorePermit;

use super::body::Body;
use super::builder::{Batch, BatchRows, ChunkBuilder};
use super::context::{Context, Left, Pace};
use super::ledger::FailedRow;
use super::machine::{Ended, Planned, Remark, Settlement, State, Tally, Uploaded, Will};
use super::readback::{Readback, read_results};
use crate::results::ChunkResults;
use crate::results::correlate::Expected;

/// How often the same rows may start over because their job was spoiled.
const MAX_JOBS: u32 = 8;

/// One chunk on its way.
pub(crate) struct Flight {
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
    pub(crate) rows: Option<BatchRows>,
    /// As an earlier attempt left it in the journal.
    pub(crate) recorded: Option<Chunk>,
    /// The job that the journal names.
    pub(crate) on_record: Option<JobId>,
    /// Held until the rows are no longer in memory.
    pub(crate) slot: Option<OwnedSemaphorePermit>,
}

/// How a chunk ended.
pub(crate) enum Landed {
    /// Its rows are accounted for; some may go on as another chunk.
    Done { resend: Option<Box<Flight>> },
    /// Left as it is.
    Interrupted,
}

enum Settled {
    Landed(Option<Box<Flight>>),
    Unreadable(Box<Flight>, JobId),
}

impl Flight {
    pub(crate) fn new(number: i64, batch: Batch) -> Self {
        let Batch { first_row, input_rows, counted, body, rows, last_key } = batch;
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

    /// A chunk of an earlier attempt whose rows cannot be read again: only its numbers can be told.
    pub(crate) fn blind(recorded: Chunk) -> Self {
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
    fn resending(parent: &mut Self, number: i64, unprocessed: Vec<(u32, ByteRecord)>, context: &Context) -> Option<Self> {
        let (places, cells): (Vec<u32>, Vec<ByteRecord>) = unprocessed.into_iter().unzip();
        let (body, expected) = ChunkBuilder::resend(&context.prints, &context.columns, &cells).ok()?;
        Self::taking_over(parent, number, places, body, expected)
    }

    /// The chunk of all rows that `parent` sent in vain.
    fn resending_all(parent: &mut Self, number: i64, context: &Context) -> Option<Self> {
        let body = Some(parent.body.take()?);
        let of_parent = parent.rows.as_mut()?;
        let mut expected = std::mem::replace(&mut of_parent.expected, Expected::new(context.prints.clone()));
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
        let rows = BatchRows { kept: of_parent.kept.clone(), chosen: Some(chosen), numbers: of_parent.numbers.clone(), outcomes, expected };
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

    fn start(&self) -> State {
        let Some(recorded) = &self.recorded else { return State::Planned(Planned) };
        match recorded.job_id.as_deref().map(str::parse) {
            Some(Ok(job)) => State::recover(recorded.state, job),
            Some(Err(_)) => State::NeedsDecision(None, "its job id on record is none"),
            None => State::Planned(Planned),
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

impl Context {
    pub(crate) async fn fly(&self, flight: Flight) -> Landed {
        match self.drive(flight).await {
            Ok(resend) => Landed::Done { resend },
            Err(Left) => Landed::Interrupted,
        }
    }

    async fn drive(&self, mut flight: Flight) -> Result<Option<Box<Flight>>, Left> {
        let mut state = flight.start();
        flight.on_record = flight.recorded.as_ref().and_then(|chunk| chunk.job_id.as_deref()?.parse().ok());
        let mut pace = Pace::new();
        if flight.sent == 0 && matches!(state, State::Planned(_)) {
            return self.land(flight, None, Tally::default(), ChunkState::Done).await.map(|()| None);
        }
        loop {
            let will = self.brake.will();
            state = match state {
                State::Planned(_) if will != Will::Go => State::Abandoned,
                // Only the numbers of this chunk are left, and they say that nothing was committed.
                State::Planned(_) if flight.rows.is_none() => State::Abandoned,
                State::Planned(_) if flight.body.is_none() => State::NeedsDecision(None, "its rows cannot be read again"),
                State::Planned(_) if pace.jobs >= MAX_JOBS => {
                    let text = format!("the rows of chunk {} were refused with {MAX_JOBS} jobs, one after the other", flight.number);
                    self.brake.stop(RunReason::TargetFailed, text);
                    State::Abandoned
                }
                State::Planned(planned) => {
                    pace.jobs += 1;
                    match self.unless_interrupted(self.bulk.create()).await? {
                        Ok(job) => State::Created(planned.created(job)),
                        Err(error) if matches!(error.class(), Class::SpoiledJob | Class::Rechunk) => {
                            self.brake.stop(RunReason::TargetFailed, format!("salesforce would not make a job: {error}"));
                            State::Abandoned
                        }
                        Err(error) => {
                            pace.jobs -= 1;
                            self.trouble("make a job", &error, &mut pace).await?;
                            State::Planned(planned)
                        }
                    }
                }
                State::Created(created) => {
                    let chunk = flight.record(ChunkState::Created, Some(&created.job), flight.counted);
                    let proof = self.write(chunk, flight.last_key.as_deref()).await?;
                    flight.on_record = Some(created.job.clone());
                    State::Registered(created.recorded(proof))
                }
                State::Registered(registered) if will != Will::Go => State::Withdrawn(registered.withdraw()),
                State::Registered(registered) => {
                    let body = flight.body.clone().unwrap_or_default();
                    match self.unless_interrupted(self.bulk.upload(&registered.job, &body)).await? {
                        Ok(uploaded) if uploaded.bytes == flight.bytes => {
                            flight.sha256 = Some(uploaded.sha256);
                            State::Sent(registered.sent())
                        }
                        Ok(_) => State::Withdrawn(registered.withdraw()),
                        Err(error) => {
                            self.trouble("take the rows", &error, &mut pace).await?;
                            State::Withdrawn(registered.withdraw())
                        }
                    }
                }
                State::Sent(sent) => {
                    let chunk = flight.record(ChunkState::Uploaded, Some(&sent.job), flight.counted);
                    State::Uploaded(sent.recorded(self.write(chunk, flight.last_key.as_deref()).await?))
                }
                State::Uploaded(uploaded) if will != Will::Go => State::Withdrawn(uploaded.withdraw()),
                State::Uploaded(uploaded) => self.commit(uploaded).await?,
                State::InDoubt(doubt) => {
                    let job = doubt.job.clone();
                    match self.look(&job, &mut pace).await? {
                        Some(sight) => doubt.seen(sight, will),
                        None => State::NeedsDecision(Some(job), "its job could not be looked at"),
                    }
                }
                State::Found(found) => {
                    let job = found.job.clone();
                    match self.look(&job, &mut pace).await? {
                        Some(sight) => found.seen(sight),
                        None => State::NeedsDecision(Some(job), "its job could not be looked at"),
                    }
                }
                State::Committed(committed) => {
                    if committed.certain && !flight.was_handed_over() {
                        // Whatever comes, these rows are not sent as a whole again.
                        flight.body = None;
                    }
                    match self.poll(&committed.job, &mut pace).await? {
                        Some(sight) => committed.seen(sight, will),
                        None => State::NeedsDecision(Some(committed.job), "its job did not end before the run had to"),
                    }
                }
                State::Withdrawn(withdrawn) => match self.unless_interrupted(self.bulk.abort(&withdrawn.job)).await? {
                    // It may yet be committed: look again.
                    Err(error) if withdrawn.raced => {
                        self.trouble("abort a job", &error, &mut pace).await?;
                        State::InDoubt(Uploaded { job: withdrawn.job }.refused())
                    }
                    _ => withdrawn.aborted(will),
                },
                State::Ended(ended) => match self.settle(flight, ended, &mut pace).await? {
                    Settled::Landed(resend) => return Ok(resend),
                    Settled::Unreadable(same, job) => {
                        flight = *same;
                        State::NeedsDecision(Some(job), "its results cannot be read")
                    }
                },
                State::Abandoned => {
                    if let Some(rows) = &mut flight.rows {
                        rows.outcomes.all_unprocessed();
                    }
                    let tally = Tally { unprocessed: flight.sent, ..Tally::default() };
                    return self.land(flight, None, tally, ChunkState::Abandoned).await.map(|()| None);
                }
                State::NeedsDecision(job, why) => return self.undecided(flight, job, why).await.map(|()| None),
            };
        }
    }

    async fn commit(&self, uploaded: Uploaded) -> Result<State, Left> {
        Ok(match self.unless_interrupted(self.bulk.close(&uploaded.job)).await? {
            Ok(()) => State::Committed(uploaded.committed()),
            Err(error) if error.delivery() == Delivery::Answered && error.class() != Class::Transient => {
                self.note_refusal(&error);
                State::InDoubt(uploaded.refused())
            }
            Err(_) => State::InDoubt(uploaded.answer_lost()),
        })
    }

    /// Reads the results of a job that is over, and acts on what they mean.
    async fn settle(&self, mut flight: Flight, ended: Ended, pace: &mut Pace) -> Result<Settled, Left> {
        let Readback { tally, unprocessed } = loop {
            let rows = flight.rows.as_mut().map(|rows| (&mut rows.outcomes, &mut rows.expected));
            match self.unless_interrupted(read_results(&*self.bulk, &ended, &self.columns, rows)).await? {
                Ok(readback) => break readback,
                Err(error) => {
                    tracing::info!(chunk = flight.number, job = %ended.job, %error, "results have to be read again");
                    self.note_refusal(&error);
                    pace.readings += 1;
                    let hopeless = !matches!(error.class(), Class::Transient | Class::Quota) && pace.readings >= 3;
                    if hopeless || self.brake.will() == Will::StopNow {
                        return Ok(Settled::Unreadable(Box::new(flight), ended.job));
                    }
                    self.rest(pace).await?;
                }
            }
        };
        let settlement = match self.brake.will() {
            Will::Go if flight.was_handed_over() && tally.unprocessed == 0 => Settlement::ResendAll,
            Will::Go if flight.was_handed_over() => Settlement::Resend,
            Will::Go if !flight.was(ChunkState::Done) && flight.rows.is_some() => ended.settle(tally, flight.sent, flight.depth, Will::Go),
            _ => ended.settle(tally, flight.sent, flight.depth, Will::Stop),
        };
        let mut resend = match settlement {
            Settlement::Complete => None,
            Settlement::Resend => self.resend(&mut flight, Some(unprocessed)),
            Settlement::ResendAll if flight.body.is_some() => self.resend(&mut flight, None),
            Settlement::ResendAll => {
                self.remark(&ended, Remark::Hopeless);
                None
            }
            Settlement::Leave(remark) => {
                self.remark(&ended, remark);
                None
            }
        };
        if let Some(child) = resend.as_mut().filter(|_| tally.succeeded + tally.failed > 0) {
            child.depth = 0;
        }
        let handed_over = resend.as_ref().map_or(0, |child| child.sent);
        // Rows without any result are unprocessed as far as anyone can tell.
        let unprocessed = flight.sent.saturating_sub(tally.succeeded + tally.failed + handed_over);
        let job = ended.job;
        self.land(flight, Some(job), Tally { unprocessed, ..tally }, ChunkState::Done).await?;
        Ok(Settled::Landed(resend))
    }

    /// Makes the chunk of the rows that were never tried (`None`: all); an earlier attempt may have made it before.
    fn resend(&self, flight: &mut Flight, unprocessed: Option<Vec<(u32, ByteRecord)>>) -> Option<Box<Flight>> {
        let earlier = self.ledger.take_resent(flight.number);
        let number = earlier.as_ref().map_or_else(|| self.ledger.next_number(), |chunk| chunk.number);
        let mut child = match unprocessed {
            Some(unprocessed) => Flight::resending(flight, number, unprocessed, self),
            None => Flight::resending_all(flight, number, self),
        }?;
        child.recorded = earlier;
        // Before the parent's turn ends, so that no later chunk goes first.
        self.order.announce(number);
        Some(Box::new(child))
    }

    fn remark(&self, ended: &Ended, remark: Remark) {
        let job = &ended.job;
        let said = ended.info.error_message.as_deref().unwrap_or("no reason");
        match remark {
            Remark::Stopping => {}
            Remark::JobRefused => {
                self.brake.stop(RunReason::TargetFailed, format!("salesforce refused job {job} as a whole: {said}"));
            }
            Remark::Quota => self.brake.stop(RunReason::QuotaExceeded, format!("salesforce stopped job {job}: {said}")),
            Remark::Hopeless => {
                self.brake.stop(
                    RunReason::TargetFailed,
                    format!("salesforce ended job {job} ({:?}) before all rows were tried: {said}", ended.info.state),
                );
            }
            Remark::Unaccounted => {
                let text = format!("job {job} is complete, but its results do not account for the rows sent: compare them with the org");
                self.brake.stop(RunReason::AccountingMismatch, text);
            }
        }
    }

    /// The chunk's rows are told, counted and on record.
    async fn land(&self, flight: Flight, job: Option<JobId>, tally: Tally, state: ChunkState) -> Result<(), Left> {
        self.tell(&flight).await?;
        let rows = flight.rows_with(tally);
        let job = job.or_else(|| flight.on_record.clone());
        let of_interest = job.is_some() || state != ChunkState::Abandoned;
        if of_interest && !flight.was(state) {
            self.write(flight.record(state, job.as_ref(), rows), flight.last_key.as_deref()).await?;
        }
        self.ledger.edit(|books| {
            books.finished(&rows);
            books.show(flight.failed_rows());
            books.unmatched += flight.rows.as_ref().map_or(0, |rows| rows.outcomes.unmatched_results().len() as u64);
        });
        self.check_guards();
        Ok(())
    }

    /// Nobody but a person can say what became of the rows.
    async fn undecided(&self, mut flight: Flight, job: Option<JobId>, why: &'static str) -> Result<(), Left> {
        if let Some(done) = flight.recorded.take_if(|chunk| chunk.state == ChunkState::Done) {
            // Its rows are accounted for; only the result files lack them.
            tracing::warn!(chunk = flight.number, why, "the results of an earlier attempt's chunk cannot be told again");
            self.order.done(flight.number);
            self.ledger.edit(|books| {
                books.finished(&done.rows);
                books.untold += 1;
            });
            return Ok(());
        }
        let named = job.as_ref().map_or_else(String::new, |job| format!(" (job {job})"));
        let (first, last) = (flight.first_row, flight.first_row + flight.input_rows - 1);
        let text = format!("chunk {}{named}, rows {first} to {last}: {why}", flight.number);
        self.brake.stop(RunReason::NeedsDecision, format!("{text}; look for the rows in the org before loading them again"));
        self.ledger.edit(|books| books.undecided.push(text));
        if let Some(rows) = &mut flight.rows {
            rows.outcomes.forget_results();
        }
        let tally = Tally { unprocessed: flight.sent, ..Tally::default() };
        self.land(flight, job, tally, ChunkState::NeedsDecision).await
    }

    /// Writes the chunk's rows to the result files when its turn comes.
    async fn tell(&self, flight: &Flight) -> Result<(), Left> {
        let told = match (&self.files, &flight.rows) {
            (Some(files), Some(BatchRows { kept: Some(kept), chosen, outcomes, .. })) => {
                self.unless_interrupted(self.order.turn(flight.number)).await?;
                let results = ChunkResults { kept, chosen: chosen.as_deref(), outcomes };
                // Not cut short: half a chunk in a file would be told twice by whoever goes on.
                files.lock().await.write(results).await
            }
            _ => Ok(()),
        };
        self.order.done(flight.number);
        told.or_else(|error| self.sink_failed(error))
    }
}

pub(crate) fn parse_sha256(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    hex::decode_to_slice(text, &mut digest).ok().map(|()| digest)
}
