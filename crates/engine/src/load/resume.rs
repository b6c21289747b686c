//! What a new attempt makes of what earlier ones left in the journal. Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use api::import_run::{Chunks, FoldedChunks, Rows, RunReason};

use super::record::{ChunkRecord, Stage};

/// How a source can be read once more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reread {
    /// From the start, the same bytes: an upload. Also an ordered query whose steps remember earlier rows.
    FromStart,
    /// From behind the last row of a chunk.
    BeyondKey,
    /// Not in a way that can be relied on.
    Never,
}

/// What has to be known of a restart before the source is opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Restart {
    /// The source goes on behind the last row of this chunk. Absent: it is read from its start.
    pub behind: Option<i64>,
    /// False: no row is read; what earlier attempts committed is only brought to its end.
    pub reads: bool,
}

impl Restart {
    /// `chunks`: what earlier attempts left in the journal.
    pub fn of(chunks: &Chunks, reread: Reread) -> Self {
        let plan = ResumePlan::new(chunks, reread);
        Self { behind: plan.behind, reads: plan.over.is_none() }
    }
}

/// What is left to do.
#[derive(Debug, Default)]
pub(crate) struct ResumePlan {
    /// Rows consumed by chunks that are not read again, and what became of them.
    pub(crate) base: Rows,
    pub(crate) base_chunks: i64,
    /// The source goes on behind this chunk.
    pub(crate) behind: Option<i64>,
    /// Number of the first row to be read.
    pub(crate) first_row: i64,
    /// Folded chunks that are read again only to be compared.
    pub(crate) folded: Option<FoldedChunks>,
    /// What is known of the rows to be read, in input order.
    pub(crate) ranges: VecDeque<RowRange>,
    /// Numbers that no rows will ever have. They are put on record as empty, because only a list without gaps can be folded.
    pub(crate) unused: Vec<i64>,
    /// Chunks that send rows of others again, by those others.
    pub(crate) resent: BTreeMap<i64, ChunkRecord>,
    pub(crate) next_number: i64,
    /// Chunks whose rows cannot be read again.
    pub(crate) without_rows: Vec<ChunkRecord>,
    /// Nothing more is read, because of this.
    pub(crate) over: Option<(RunReason, String)>,
}

/// Rows of the source that an earlier attempt has read.
#[derive(Debug, PartialEq)]
pub(crate) enum RowRange {
    Known(ChunkRecord),
    /// Rows of chunks that did not get on record before later ones did: nothing of them was committed.
    Gap {
        rows: i64,
        numbers: VecDeque<i64>,
    },
}

impl ResumePlan {
    pub(crate) fn new(chunks: &Chunks, reread: Reread) -> Self {
        let folded = chunks.folded.clone();
        let mut listed: Vec<ChunkRecord> = chunks.listed.iter().map(ChunkRecord::from).collect();
        listed.sort_unstable_by_key(|chunk| chunk.number);
        let next_number = listed.last().map_or(0, |chunk| chunk.number + 1).max(folded.as_ref().map_or(0, |f| f.count));
        if let Some(chunk) = listed.iter().find(|chunk| chunk.stage == Stage::NeedsDecision) {
            let text = format!("chunk {} of an earlier attempt waits for a decision: look for its rows in the org", chunk.number);
            return Self::nothing_read(folded, listed, next_number, RunReason::NeedsDecision, text);
        }
        match reread {
            Reread::FromStart => Self::from_start(folded, listed, next_number),
            Reread::BeyondKey => Self::beyond_key(folded, listed, next_number),
            Reread::Never => Self::never(folded, listed, next_number),
        }
    }

    fn from_start(folded: Option<FoldedChunks>, listed: Vec<ChunkRecord>, next_number: i64) -> Self {
        let taken = numbers(&listed);
        let (recorded, resent) = by_kind(listed);
        let (next_row, number) = folded.as_ref().map_or((1, 0), |folded| (folded.input_rows + 1, folded.count));
        Self { first_row: 1, folded, next_number, ..Self::default() }.with(recorded, resent, &taken, next_row, number)
    }

    fn beyond_key(folded: Option<FoldedChunks>, listed: Vec<ChunkRecord>, next_number: i64) -> Self {
        let taken = numbers(&listed);
        let (mut recorded, mut resent) = by_kind(listed);
        let mut plan = Self { first_row: 1, next_number, ..Self::default() };
        if let Some(folded) = &folded {
            plan.base = folded.rows;
            plan.base_chunks = folded.count;
            plan.first_row += folded.input_rows;
            // The cursor of the folded chunks is kept under the last of them.
            plan.behind = Some(folded.count - 1);
        }
        let mut number = folded.as_ref().map_or(0, |folded| folded.count);
        while let Some(chunk) = recorded.pop_front_if(|chunk| chunk.first_row == plan.first_row && is_settled(chunk, &resent)) {
            number = chunk.number + 1;
            plan.base.add(&chunk.rows);
            plan.base_chunks += 1;
            plan.first_row = chunk.first_row + chunk.input_rows;
            plan.behind = Some(chunk.number);
            let mut parent = chunk.number;
            while let Some(child) = resent.remove(&parent) {
                plan.base.add(&child.rows);
                plan.base_chunks += 1;
                parent = child.number;
            }
        }
        let next_row = plan.first_row;
        plan.with(recorded, resent, &taken, next_row, number)
    }

    /// Finds the rows between recorded chunks, and the numbers that have no rows. `next_row` and `number` are the first ones to be read.
    fn with(
        mut self,
        recorded: VecDeque<ChunkRecord>,
        resent: BTreeMap<i64, ChunkRecord>,
        taken: &BTreeSet<i64>,
        mut next_row: i64,
        mut number: i64,
    ) -> Self {
        for chunk in recorded {
            let free = (number..chunk.number).filter(|number| !taken.contains(number));
            if chunk.first_row > next_row {
                self.ranges.push_back(RowRange::Gap { rows: chunk.first_row - next_row, numbers: free.collect() });
            } else {
                self.unused.extend(free);
            }
            number = chunk.number + 1;
            next_row = chunk.first_row + chunk.input_rows;
            self.ranges.push_back(RowRange::Known(chunk));
        }
        self.unused.extend((number..self.next_number).filter(|number| !taken.contains(number)));
        self.resent = resent;
        self
    }

    fn never(folded: Option<FoldedChunks>, listed: Vec<ChunkRecord>, next_number: i64) -> Self {
        let committed = folded.is_some() || listed.iter().any(|chunk| !matches!(chunk.stage, Stage::Prepared | Stage::Abandoned));
        if committed {
            let text = "the worker was lost after rows had been committed, and the query cannot be read again from where it stopped: \
                        compare the result with the org; with orderBy such a run goes on by itself";
            return Self::nothing_read(folded, listed, next_number, RunReason::NeedsDecision, text.into());
        }
        // What was only prepared did nothing: everything begins again, and those chunks account for no row.
        let empty = |chunk| ChunkRecord { input_rows: 0, sent_rows: 0, rows: Rows::default(), ..chunk };
        let unused = (0..next_number).filter(|number| listed.iter().all(|chunk| chunk.number != *number)).collect();
        Self { first_row: 1, next_number, unused, without_rows: listed.into_iter().map(empty).collect(), ..Self::default() }
    }

    fn nothing_read(folded: Option<FoldedChunks>, listed: Vec<ChunkRecord>, next_number: i64, reason: RunReason, text: String) -> Self {
        let mut plan = Self { first_row: 1, next_number, over: Some((reason, text)), ..Self::default() };
        if let Some(folded) = folded {
            plan.base = folded.rows;
            plan.base_chunks = folded.count;
        }
        plan.without_rows = listed;
        plan
    }
}

/// Done, and so is everything that came of it.
fn is_settled(chunk: &ChunkRecord, resent: &BTreeMap<i64, ChunkRecord>) -> bool {
    let whole = if chunk.resends.is_some() { chunk.sent_rows } else { chunk.input_rows };
    let handed_over = chunk.rows.read < whole;
    match resent.get(&chunk.number) {
        Some(child) => chunk.stage == Stage::Done && is_settled(child, resent),
        None => chunk.stage == Stage::Done && !handed_over,
    }
}

const NO_CHUNK: i64 = -1;

/// A number without rows, as it goes on record.
pub(crate) fn empty_chunk(number: i64) -> ChunkRecord {
    ChunkRecord {
        number,
        // It then counts neither as input nor in the digest when it is folded.
        resends: Some(NO_CHUNK),
        stage: Stage::Abandoned,
        first_row: 1,
        input_rows: 0,
        sent_rows: 0,
        bytes: 0,
        sha256: None,
        handle: None,
        rows: Rows::default(),
    }
}

fn numbers(listed: &[ChunkRecord]) -> BTreeSet<i64> {
    listed.iter().map(|chunk| chunk.number).collect()
}

fn by_kind(listed: Vec<ChunkRecord>) -> (VecDeque<ChunkRecord>, BTreeMap<i64, ChunkRecord>) {
    let (resent, read): (Vec<ChunkRecord>, Vec<ChunkRecord>) = listed.into_iter().partition(|chunk| chunk.resends.is_some());
    let of_rows = resent.into_iter().filter(|chunk| chunk.resends != Some(NO_CHUNK));
    (read.into(), of_rows.filter_map(|chunk| Some((chunk.resends?, chunk))).collect())
}

#[cfg(test)]
mod tests {
    use api::import_run::{Chunk, ChunkState};

    use super::*;

    fn chunk(number: i64, state: ChunkState) -> Chunk {
        let rows = Rows { read: 10, succeeded: if state == ChunkState::Done { 10 } else { 0 }, ..Rows::default() };
        Chunk {
            number,
            resends: None,
            state,
            first_row: number * 10 + 1,
            input_rows: 10,
            sent_rows: 10,
            bytes: 100,
            sha256: None,
            job_id: Some("7505f000000abcdAAA".into()),
            rows,
            sealed_cursor: None,
        }
    }

    fn plan(listed: Vec<Chunk>, reread: Reread) -> ResumePlan {
        ResumePlan::new(&Chunks { listed, ..Chunks::default() }, reread)
    }

    fn order(plan: &ResumePlan) -> Vec<i64> {
        let known = |range: &RowRange| match range {
            RowRange::Known(chunk) => chunk.number,
            RowRange::Gap { .. } => -1,
        };
        plan.ranges.iter().map(known).collect()
    }

    #[test]
    fn rows_of_a_chunk_that_did_not_get_on_record_are_a_gap_with_its_number() {
        let plan = plan(vec![chunk(0, ChunkState::Done), chunk(2, ChunkState::Done)], Reread::BeyondKey);
        assert_eq!((plan.behind, plan.first_row), (Some(0), 11));
        assert_eq!(plan.ranges[0], RowRange::Gap { rows: 10, numbers: [1].into() });
        assert!(plan.unused.is_empty());
    }

    #[test]
    fn a_number_without_rows_is_known_as_unused() {
        let mut last = chunk(2, ChunkState::Done);
        last.first_row = 11;
        let plan = plan(vec![chunk(0, ChunkState::Done), last], Reread::FromStart);
        assert_eq!((order(&plan), plan.unused), (vec![0, 2], vec![1]));
    }

    #[test]
    fn an_upload_is_read_from_the_start_whatever_is_done() {
        let plan = plan(vec![chunk(0, ChunkState::Done), chunk(1, ChunkState::Uploaded)], Reread::FromStart);
        assert_eq!((plan.first_row, order(&plan), plan.next_number), (1, vec![0, 1], 2));
        assert_eq!(plan.base, Rows::default());
    }

    #[test]
    fn a_keyed_query_goes_on_behind_the_chunks_that_are_done_without_a_gap() {
        let plan = plan(vec![chunk(0, ChunkState::Done), chunk(1, ChunkState::Uploaded), chunk(2, ChunkState::Done)], Reread::BeyondKey);
        assert_eq!((plan.behind, plan.first_row, plan.base.succeeded), (Some(0), 11, 10));
        assert_eq!(order(&plan), [1, 2]);
    }

    #[test]
    fn a_chunk_whose_rows_went_on_elsewhere_is_settled_only_with_them() {
        let mut parent = chunk(0, ChunkState::Done);
        parent.rows.read = 4;
        let mut child = chunk(1, ChunkState::Uploaded);
        (child.resends, child.input_rows, child.sent_rows) = (Some(0), 0, 6);
        let unfinished = plan(vec![parent.clone(), child.clone()], Reread::BeyondKey);
        assert_eq!((unfinished.behind, unfinished.resent.len()), (None, 1));
        let lost = plan(vec![parent.clone()], Reread::BeyondKey);
        assert_eq!(lost.behind, None);
        child.state = ChunkState::Done;
        child.rows.read = 6;
        let finished = plan(vec![parent, child], Reread::BeyondKey);
        assert_eq!((finished.behind, finished.resent.len(), finished.base.read), (Some(0), 0, 10));
    }

    #[test]
    fn an_unkeyed_query_begins_again_only_if_nothing_was_committed() {
        let fresh = plan(vec![chunk(0, ChunkState::Created)], Reread::Never);
        assert_eq!((fresh.over.is_none(), fresh.without_rows[0].sent_rows, fresh.next_number), (true, 0, 1));
        let committed = plan(vec![chunk(0, ChunkState::Uploaded)], Reread::Never);
        assert_eq!(committed.over.unwrap().0, RunReason::NeedsDecision);
        assert_eq!(committed.without_rows[0].sent_rows, 10);
    }

    #[test]
    fn an_undecided_chunk_stops_every_further_attempt() {
        let plan = plan(vec![chunk(0, ChunkState::NeedsDecision)], Reread::FromStart);
        assert_eq!(plan.over.unwrap().0, RunReason::NeedsDecision);
    }
}
