//! One chunk on its way, with all that is known of it: its rows, what is on record, and the chunk it came of.

use crate::row::Record;
use api::import_run::Rows;
use tokio::sync::OwnedSemaphorePermit;

use super::body::Body;
use super::builder::{BuiltChunk, ChunkBuilder, ChunkRows};
use super::context::LoadContext;
use super::ledger::FailedRow;
use super::record::{ChunkRecord, Handle, Stage};
use crate::results::Tally;
use crate::results::correlate::Expected;
use crate::results::outcome::Outcomes;

/// One chunk on its way.
pub struct ChunkTask {
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
    pub(crate) recorded: Option<ChunkRecord>,
    /// By what the lane finds it again, as it is on record.
    pub(crate) handle: Option<Handle>,
    /// On record as something that its lane has begun with.
    pub(crate) under_way: bool,
    /// Held until the rows are no longer in memory.
    pub(crate) slot: Option<OwnedSemaphorePermit>,
}

/// Rows of the chunk: what became of them, and how a result finds its own. Absent when the rows are not at hand: results are then only
/// counted.
pub(crate) type RowsAtHand<'a> = Option<(&'a mut Outcomes, &'a mut Expected)>;

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
            handle: None,
            under_way: false,
            slot: None,
        }
    }

    /// A chunk of an earlier attempt whose rows cannot be read again: only its numbers are known.
    pub(crate) fn without_rows(recorded: ChunkRecord) -> Self {
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
            sha256: recorded.sha256,
            rows: None,
            handle: recorded.handle.clone(),
            under_way: recorded.is_under_way(),
            recorded: Some(recorded),
            slot: None,
        }
    }

    /// The chunk goes on where an earlier attempt left it.
    pub(crate) fn going_on_from(mut self, recorded: ChunkRecord) -> Self {
        self.handle.clone_from(&recorded.handle);
        self.under_way = recorded.is_under_way();
        self.recorded = Some(recorded);
        self
    }

    /// The chunk of those rows of `parent` that Salesforce never tried, with the cells it gave back.
    pub(crate) fn resending(parent: &mut Self, number: i64, unprocessed: Vec<(u32, Record)>, context: &LoadContext) -> Option<Self> {
        let (places, cells): (Vec<u32>, Vec<Record>) = unprocessed.into_iter().unzip();
        let (body, expected) = ChunkBuilder::resend(&context.fingerprinter, &context.columns, &cells);
        Self::taking_over(parent, number, places, body, expected)
    }

    /// The chunk of all rows that `parent` sent in vain.
    pub(crate) fn resending_all(parent: &mut Self, number: i64, context: &LoadContext) -> Option<Self> {
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
            handle: None,
            under_way: false,
            slot: parent.slot.take(),
        })
    }

    /// As it goes into the journal; `rows`: what became of its input rows so far.
    pub(crate) fn record(&self, stage: Stage, rows: Rows) -> ChunkRecord {
        ChunkRecord {
            number: self.number,
            resends: self.resends,
            stage,
            first_row: self.first_row,
            input_rows: self.input_rows,
            sent_rows: self.sent as i64,
            bytes: self.bytes as i64,
            sha256: self.sha256,
            handle: self.handle.clone(),
            rows,
        }
    }

    pub(crate) fn rows_at_hand(&mut self) -> RowsAtHand<'_> {
        self.rows.as_mut().map(|rows| (&mut rows.outcomes, &mut rows.expected))
    }

    /// Whether rows that were never tried may go with another chunk: not if an earlier attempt has already decided that, and not if only
    /// numbers are left of them.
    pub(crate) fn may_send_again(&self) -> bool {
        !self.was(Stage::Done) && self.rows.is_some()
    }

    pub(crate) fn was(&self, stage: Stage) -> bool {
        self.recorded.as_ref().is_some_and(|record| record.stage == stage)
    }

    /// Rows that an earlier attempt left to another chunk when it put this one on record as done.
    pub(crate) fn was_handed_over(&self) -> bool {
        self.was(Stage::Done) && self.recorded.as_ref().is_some_and(|record| record.rows.read < self.counted.read)
    }

    /// What became of all rows this chunk accounts for, if this is what the results say.
    pub(crate) fn rows_with(&self, tally: Tally) -> Rows {
        let mut rows = self.counted;
        rows.succeeded += tally.succeeded as i64;
        rows.failed += tally.failed as i64;
        rows.unprocessed += tally.unprocessed as i64;
        rows
    }

    pub(crate) fn failed_rows(&self) -> impl Iterator<Item = FailedRow> {
        self.rows.iter().flat_map(|rows| {
            rows.outcomes.failures().map(|(place, reason)| {
                let place = rows.chosen.as_ref().map_or(place, |chosen| chosen[place as usize]);
                FailedRow { row: self.first_row + i64::from(rows.numbers[place as usize]), reason: reason.to_owned() }
            })
        })
    }
}
