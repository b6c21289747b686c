//! Keeps at most 200 chunks listed by folding the oldest finished ones into counters and one digest.

use api::import_run::{Chunk, ChunkState, Chunks, FoldedChunks, Rows};

use super::write::ChunkRefusal;

/// As many chunks as a run's status lists.
pub const LISTED_LIMIT: usize = 200;

/// Counts, and folds from the front while the list is too long. Only a prefix of finished chunks can be folded.
pub fn fold(mut chunks: Chunks) -> Result<Chunks, ChunkRefusal> {
    while chunks.listed.len() > LISTED_LIMIT {
        let next = chunks.folded.as_ref().map_or(0, |f| f.count);
        let foldable = chunks.listed.first().is_some_and(|c| c.number == next && is_finished(c));
        if !foldable {
            return Err(ChunkRefusal::TooMany(LISTED_LIMIT));
        }
        let oldest = chunks.listed.remove(0);
        add(chunks.folded.get_or_insert_with(FoldedChunks::default), oldest);
    }
    let folded = chunks.folded.as_ref().map_or(0, |f| f.count);
    chunks.total = folded + chunks.listed.len() as i64;
    chunks.done = folded + chunks.listed.iter().filter(|chunk| is_finished(chunk)).count() as i64;
    Ok(chunks)
}

fn is_finished(chunk: &Chunk) -> bool {
    matches!(chunk.state, ChunkState::Done | ChunkState::Abandoned)
}

/// What became of rows, as the finished chunks say it.
pub fn counted(chunks: &Chunks) -> Rows {
    let mut rows = chunks.folded.as_ref().map(|folded| folded.rows).unwrap_or_default();
    chunks.listed.iter().filter(|chunk| is_finished(chunk)).for_each(|chunk| rows.add(&chunk.rows));
    rows
}

/// A chunk that sends rows again adds its outcome only: its input rows were counted and digested with the chunk they came from.
fn add(folded: &mut FoldedChunks, chunk: Chunk) {
    folded.count += 1;
    folded.rows.add(&chunk.rows);
    if chunk.resends.is_none() {
        folded.input_rows += chunk.input_rows;
        folded.sha256 = FoldedChunks::chain(&folded.sha256, chunk.sha256.as_deref().unwrap_or_default());
        folded.sealed_cursor = chunk.sealed_cursor;
    }
}

#[cfg(test)]
mod tests {
    use super::super::accept;
    use super::*;

    fn done(number: i64) -> Chunk {
        Chunk {
            number,
            resends: None,
            state: ChunkState::Done,
            first_row: number * 10 + 1,
            input_rows: 10,
            sent_rows: 9,
            bytes: 100,
            sha256: Some(format!("{number:064x}")),
            job_id: Some("750x".into()),
            rows: Rows { read: 10, filtered: 1, succeeded: 9, ..Rows::default() },
            sealed_cursor: Some(format!("c{number}")),
        }
    }

    #[test]
    fn a_long_run_lists_two_hundred_and_counts_all() {
        let mut chunks = Chunks::default();
        for number in 0..500 {
            chunks = accept(&chunks, done(number)).unwrap();
        }
        let folded = chunks.folded.as_ref().unwrap();
        assert_eq!((chunks.total, chunks.done, chunks.listed.len()), (500, 500, LISTED_LIMIT));
        assert_eq!((folded.count, folded.input_rows, folded.rows.succeeded), (300, 3000, 2700));
        let all = counted(&chunks);
        assert_eq!((all.read, all.filtered, all.succeeded), (5000, 500, 4500));
        let begun = accept(&chunks, Chunk { state: ChunkState::Uploaded, ..done(500) }).unwrap();
        assert_eq!(counted(&begun), all, "a chunk that is not finished says nothing yet");
        assert_eq!(folded.sealed_cursor.as_deref(), Some("c299"));
        let expected = (0..300).fold(String::new(), |so_far, n| FoldedChunks::chain(&so_far, &format!("{n:064x}")));
        assert_eq!(folded.sha256, expected);
        assert_eq!(accept(&chunks, done(5)), Err(ChunkRefusal::Folded(5)));
    }

    #[test]
    fn an_unfinished_chunk_is_never_folded_away() {
        let mut chunks = Chunks::default();
        let mut open = done(0);
        open.state = ChunkState::NeedsDecision;
        chunks = accept(&chunks, open).unwrap();
        for number in 1..200 {
            chunks = accept(&chunks, done(number)).unwrap();
        }
        assert_eq!(accept(&chunks, done(200)), Err(ChunkRefusal::TooMany(LISTED_LIMIT)));
    }

    #[test]
    fn rows_sent_again_are_not_counted_as_input_twice() {
        let mut chunks = Chunks::default();
        let mut first = done(0);
        first.state = ChunkState::Abandoned;
        first.rows = Rows { read: 4, succeeded: 4, ..Rows::default() };
        let mut again = done(1);
        again.resends = Some(0);
        again.rows = Rows { read: 6, succeeded: 6, ..Rows::default() };
        chunks = accept(&chunks, first).unwrap();
        chunks = accept(&chunks, again).unwrap();
        for number in 2..300 {
            chunks = accept(&chunks, done(number)).unwrap();
        }
        let folded = chunks.folded.unwrap();
        assert_eq!((folded.count, folded.input_rows), (100, 990));
        assert_eq!(folded.rows.read, 10 + 98 * 10);
    }
}
