//! One write-ahead step: the list before, the step, the list after.

use api::import_run::{Chunk, ChunkState, Chunks};

use super::fold::fold;

/// Chunks that may be on their way at once; numbers may run ahead of the list by this much because writes overtake each other.
const IN_FLIGHT: i64 = 16;

/// Why a step is refused: the worker that sent it has lost track of the list, or another worker went on with the run. Chunks are named by
/// their number, from 0.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum ChunkRefusal {
    #[error("chunk {0} is finished and was folded away: it cannot change")]
    Folded(i64),
    #[error("chunk {0} is {1:?}: it cannot change")]
    Finished(i64, ChunkState),
    #[error("chunk {number} cannot go from {from:?} to {to:?}")]
    Transition { number: i64, from: ChunkState, to: ChunkState },
    #[error("chunk {0} does not follow on the {1} known ones")]
    Gap(i64, i64),
    #[error("chunk {0} is Created before its job is known")]
    NoJob(i64),
    #[error("chunk {0} is Uploaded without count and digest of what was sent")]
    NoDigest(i64),
    #[error("the rows of finished chunk {0} do not add up")]
    Unbalanced(i64),
    #[error("more than {0} chunks are unfinished or need a decision")]
    TooMany(usize),
    #[error("chunk {0} sends rows of a chunk that is not known")]
    UnknownOrigin(i64),
}

/// The list after the step. Repeating the last step changes nothing, so a worker may send it again when the answer was lost.
pub fn accept(before: &Chunks, chunk: Chunk) -> Result<Chunks, ChunkRefusal> {
    let folded = before.folded.as_ref().map_or(0, |f| f.count);
    if chunk.number < folded {
        return Err(ChunkRefusal::Folded(chunk.number));
    }
    well_formed(&chunk)?;
    let mut after = before.clone();
    match after.listed.iter_mut().find(|c| c.number == chunk.number) {
        Some(known) => {
            may_follow(known, &chunk)?;
            // What is finished stays byte for byte: a repetition brings the same cursor sealed anew.
            if !is_finished(known.state) {
                *known = chunk;
            }
        }
        None => {
            let next = after.listed.iter().map(|c| c.number + 1).max().unwrap_or(folded);
            if chunk.number >= next + IN_FLIGHT {
                return Err(ChunkRefusal::Gap(chunk.number, next));
            }
            if chunk.resends.is_some_and(|origin| origin >= folded && !after.listed.iter().any(|c| c.number == origin)) {
                return Err(ChunkRefusal::UnknownOrigin(chunk.number));
            }
            after.listed.push(chunk);
            after.listed.sort_by_key(|c| c.number);
        }
    }
    fold(after)
}

fn well_formed(chunk: &Chunk) -> Result<(), ChunkRefusal> {
    match chunk.state {
        ChunkState::Created if chunk.job_id.is_none() => Err(ChunkRefusal::NoJob(chunk.number)),
        ChunkState::Uploaded if chunk.sha256.is_none() => Err(ChunkRefusal::NoDigest(chunk.number)),
        ChunkState::Done if !chunk.rows.balanced() => Err(ChunkRefusal::Unbalanced(chunk.number)),
        _ => Ok(()),
    }
}

/// `Created` may come back: a job whose upload was cut off is aborted and the chunk gets another one. `Uploaded` may not turn back:
/// behind it lies the commit. What is finished stays as it is.
fn may_follow(known: &Chunk, next: &Chunk) -> Result<(), ChunkRefusal> {
    use ChunkState::{Abandoned, Created, Done, NeedsDecision, Uploaded};
    let (from, to) = (known.state, next.state);
    match (from, to) {
        (Done | Abandoned, _) if repeats(known, next) => Ok(()),
        (Done | Abandoned, _) => Err(ChunkRefusal::Finished(known.number, from)),
        (Created, _) => Ok(()),
        (Uploaded, Uploaded | Done | Abandoned | NeedsDecision) => Ok(()),
        (NeedsDecision, NeedsDecision) => Ok(()),
        _ => Err(ChunkRefusal::Transition { number: known.number, from, to }),
    }
}

fn is_finished(state: ChunkState) -> bool {
    matches!(state, ChunkState::Done | ChunkState::Abandoned)
}

/// The same step again. A cursor cannot be compared sealed; the one that was written first stays.
fn repeats(known: &Chunk, next: &Chunk) -> bool {
    let mut next = next.clone();
    next.sealed_cursor.clone_from(&known.sealed_cursor);
    *known == next
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::import_run::Rows;

    fn chunk(number: i64, state: ChunkState) -> Chunk {
        Chunk {
            number,
            resends: None,
            state,
            first_row: number * 10 + 1,
            input_rows: 10,
            sent_rows: 10,
            bytes: 100,
            sha256: Some("ab".repeat(32)),
            job_id: Some("750x".into()),
            rows: if state == ChunkState::Done { Rows { read: 10, succeeded: 10, ..Rows::default() } } else { Rows::default() },
            sealed_cursor: None,
        }
    }

    fn list(chunks: Vec<Chunk>) -> Chunks {
        Chunks { total: chunks.len() as i64, done: 0, folded: None, listed: chunks }
    }

    #[test]
    fn the_write_ahead_states_follow_each_other() {
        use ChunkState::*;
        let all = [Created, Uploaded, Done, Abandoned, NeedsDecision];
        let allowed = [
            (Created, vec![Created, Uploaded, Done, Abandoned, NeedsDecision]),
            (Uploaded, vec![Uploaded, Done, Abandoned, NeedsDecision]),
            (Done, vec![Done]),
            (Abandoned, vec![Abandoned]),
            (NeedsDecision, vec![NeedsDecision]),
        ];
        for (from, to) in allowed {
            for next in all {
                let result = accept(&list(vec![chunk(0, from)]), chunk(0, next));
                assert_eq!(result.is_ok(), to.contains(&next), "{from:?} to {next:?}: {:?}", result.err());
            }
        }
    }

    #[test]
    fn a_finished_chunk_accepts_its_own_repetition_and_nothing_else() {
        let before = list(vec![chunk(0, ChunkState::Done)]);
        assert_eq!(accept(&before, chunk(0, ChunkState::Done)).unwrap().listed, before.listed);
        let mut sealed_anew = chunk(0, ChunkState::Done);
        sealed_anew.sealed_cursor = Some("other bytes".into());
        assert_eq!(accept(&before, sealed_anew).unwrap().listed, before.listed);
        let mut other = chunk(0, ChunkState::Done);
        other.job_id = Some("750y".into());
        assert_eq!(accept(&before, other), Err(ChunkRefusal::Finished(0, ChunkState::Done)));
    }

    #[test]
    fn numbers_may_overtake_but_not_run_away() {
        let one = accept(&Chunks::default(), chunk(1, ChunkState::Created)).unwrap();
        let both = accept(&one, chunk(0, ChunkState::Created)).unwrap();
        assert_eq!(both.listed.iter().map(|c| c.number).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(both.total, 2);
        assert_eq!(accept(&both, chunk(100, ChunkState::Created)), Err(ChunkRefusal::Gap(100, 2)));
    }

    #[test]
    fn a_step_without_its_evidence_is_refused() {
        let mut no_job = chunk(0, ChunkState::Created);
        no_job.job_id = None;
        assert_eq!(accept(&Chunks::default(), no_job), Err(ChunkRefusal::NoJob(0)));
        let mut no_digest = chunk(0, ChunkState::Uploaded);
        no_digest.sha256 = None;
        assert_eq!(accept(&Chunks::default(), no_digest), Err(ChunkRefusal::NoDigest(0)));
        let mut unbalanced = chunk(0, ChunkState::Done);
        unbalanced.rows.failed = 1;
        assert_eq!(accept(&Chunks::default(), unbalanced), Err(ChunkRefusal::Unbalanced(0)));
        let mut orphan = chunk(0, ChunkState::Created);
        orphan.resends = Some(7);
        assert_eq!(accept(&Chunks::default(), orphan), Err(ChunkRefusal::UnknownOrigin(0)));
    }
}
