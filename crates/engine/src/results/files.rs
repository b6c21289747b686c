//! The three result files: what was read, then what Salesforce said. Rows come chunk by chunk; where the bytes go is
//! the sink's business.

use std::io;
use std::sync::Arc;

use crate::row::Record;
use async_trait::async_trait;
use bytes::Bytes;

use super::escape::Escape;
use super::kept::KeptRows;
use super::layout::Layout;
use super::outcome::{Outcomes, RowOutcome};

/// Handed to the sink at this size.
const BUFFER: usize = 64 << 10;

/// One of the three result files.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum FileKind {
    /// Rows that are in Salesforce, with the ids of their records.
    Succeeded,
    /// Rows that the mapping or Salesforce refused, each with the reason.
    Failed,
    /// Rows that were not tried, or of which nobody knows.
    Unprocessed,
}

impl FileKind {
    /// In the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Succeeded, Self::Failed, Self::Unprocessed];

    /// Name of the file, as users see it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded.csv",
            Self::Failed => "failed.csv",
            Self::Unprocessed => "unprocessed.csv",
        }
    }
}

/// Why a result file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Of the disk or of a pipe.
    #[error("result files cannot be written: {0}")]
    Io(#[from] io::Error),
    /// Another worker may go on later.
    #[error("result files cannot be stored now: {0}")]
    Unreachable(String),
    /// There is no room for them; another worker would find none either.
    #[error("result files are left out: {0}")]
    Full(String),
    /// This worker has no say any more.
    #[error("result files are not accepted from this attempt")]
    Fenced,
}

/// Takes the bytes of the files, in order within each.
#[async_trait]
pub trait ResultsSink: Send {
    /// Appends to a file.
    ///
    /// # Errors
    ///
    /// The bytes are not in the file; nothing more is written to it.
    async fn write(&mut self, file: FileKind, bytes: Bytes) -> Result<(), SinkError>;
    /// All three files are complete. Returns where each is, by the names the sink gives.
    ///
    /// # Errors
    ///
    /// The files do not count as written.
    async fn finish(&mut self) -> Result<Vec<(FileKind, String)>, SinkError>;
}

/// One finished file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WrittenResult {
    /// Which of the three it is.
    pub kind: FileKind,
    /// Where it is: a path, or the keeper's file id.
    pub location: String,
    /// Rows in it, its header not counted.
    pub rows: u64,
    /// Its length, uncompressed and in the clear.
    pub bytes: u64,
}

/// The rows of one chunk with what became of them.
pub(crate) struct ChunkResults<'a> {
    pub(crate) kept: &'a KeptRows,
    /// Places of the rows that this chunk tells of, if not all that are kept: rows that were sent again.
    pub(crate) chosen: Option<&'a [u32]>,
    pub(crate) outcomes: &'a Outcomes,
}

pub(crate) struct ResultFiles {
    sink: Box<dyn ResultsSink>,
    layout: Layout,
    files: [Pending; 3],
}

#[derive(Default)]
struct Pending {
    buffer: Vec<u8>,
    rows: u64,
    bytes: u64,
}

impl ResultFiles {
    pub(crate) fn new(sink: Box<dyn ResultsSink>, escape: Escape, header: &Record) -> Self {
        let layout = Layout::new(escape, header);
        let mut files: [Pending; 3] = Default::default();
        for kind in FileKind::ALL {
            layout.header(&mut files[kind as usize].buffer, header, kind);
        }
        Self { sink, layout, files }
    }

    /// Appends the rows of one chunk, in input order.
    pub(crate) async fn write(&mut self, chunk: ChunkResults<'_>) -> Result<(), SinkError> {
        let ChunkResults { kept, chosen, outcomes } = chunk;
        let mut with_ids = outcomes.iter();
        let mut chosen = chosen.map(|places| places.iter().copied().peekable());
        let mut place = 0;
        for lines in kept.blocks() {
            for line in lines {
                let mine = chosen.as_mut().is_none_or(|places| places.next_if_eq(&place).is_some());
                place += 1;
                if let Some((outcome, id)) = mine.then(|| with_ids.next()).flatten() {
                    self.row(line, outcome, id.as_bytes(), outcomes);
                }
            }
            self.flush(BUFFER).await?;
        }
        for result in outcomes.unmatched_results() {
            let kind = if result.succeeded { FileKind::Succeeded } else { FileKind::Failed };
            let blank = self.layout.blank(kind);
            let text = format!("this result matches no row of the file: {}", result.text);
            self.push(kind, [&blank, b""], result.id.as_bytes(), created(result.created), &text);
        }
        self.flush(BUFFER).await
    }

    fn row(&mut self, line: &[u8], outcome: RowOutcome, id: &[u8], outcomes: &Outcomes) {
        match outcome {
            RowOutcome::Succeeded { created: new } => self.push(FileKind::Succeeded, [line, b""], id, created(new), ""),
            // The reader took it as it stood.
            RowOutcome::Failed { error } => self.push(FileKind::Failed, [line, b","], id, b"", outcomes.text(error)),
            RowOutcome::Rejected { error } => self.push(FileKind::Failed, [line, b""], b"", b"", outcomes.text(error)),
            RowOutcome::Unprocessed => self.push(FileKind::Unprocessed, [line, b""], b"", b"", ""),
            RowOutcome::Waiting => {
                let text = "sent, but the run ended without a result that matches this row: look for the record before sending it again";
                self.push(FileKind::Unprocessed, [line, b""], b"", b"", text);
            }
            RowOutcome::Resent => {}
        }
    }

    fn push(&mut self, kind: FileKind, input: [&[u8]; 2], id: &[u8], created: &[u8], error: &str) {
        let file = &mut self.files[kind as usize];
        input.iter().for_each(|part| file.buffer.extend_from_slice(part));
        self.layout.outcome(&mut file.buffer, id, created, error);
        file.rows += 1;
    }

    async fn flush(&mut self, at_least: usize) -> Result<(), SinkError> {
        for kind in FileKind::ALL {
            let file = &mut self.files[kind as usize];
            if file.buffer.len() >= at_least {
                file.bytes += file.buffer.len() as u64;
                self.sink.write(kind, std::mem::replace(&mut file.buffer, Vec::with_capacity(2 * BUFFER)).into()).await?;
            }
        }
        Ok(())
    }

    /// Ends the files. All three exist, so that an absent one never has to be explained.
    pub(crate) async fn finish(mut self) -> Result<Vec<WrittenResult>, SinkError> {
        self.flush(1).await?;
        let places = self.sink.finish().await?;
        let files = self.files;
        Ok(places
            .into_iter()
            .map(|(kind, location)| {
                let Pending { rows, bytes, .. } = files[kind as usize];
                WrittenResult { kind, location, rows, bytes }
            })
            .collect())
    }
}

fn created(new: bool) -> &'static [u8] {
    if new { b"true" } else { b"false" }
}

/// Files in memory, for tests and for callers that want the text.
#[derive(Clone, Default)]
pub struct MemorySink(Arc<std::sync::Mutex<[Vec<u8>; 3]>>);

impl MemorySink {
    /// What was written to a file so far.
    pub fn text(&self, kind: FileKind) -> String {
        let files = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        String::from_utf8_lossy(&files[kind as usize]).into_owned()
    }
}

#[async_trait]
impl ResultsSink for MemorySink {
    async fn write(&mut self, file: FileKind, bytes: Bytes) -> Result<(), SinkError> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)[file as usize].extend_from_slice(&bytes);
        Ok(())
    }

    async fn finish(&mut self) -> Result<Vec<(FileKind, String)>, SinkError> {
        Ok(FileKind::ALL.into_iter().map(|kind| (kind, kind.name().to_owned())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::kept::RowKeeper;
    use crate::results::outcome::{RecordId, Unmatched};

    #[tokio::test]
    async fn every_row_stands_in_one_file_with_all_its_columns() {
        let header = Record::from(vec!["Name", "Note"]);
        let mut keeper = RowKeeper::new(Layout::new(Escape::Formulas, &header));
        let mut outcomes = Outcomes::new(true);
        for name in ["ok", "=bad", "skipped", "lost", "moved"] {
            keeper.push(&Record::from(vec![name, "a,b"]));
            outcomes.push_waiting();
        }
        outcomes.succeeded(0, RecordId::new(b"0018c00002DJIpJAAX"), true);
        outcomes.failed(1, RecordId::default(), "X_Y:no, \"never\":--");
        outcomes.hand_over(&[4]);
        outcomes.unprocessed(2);
        keeper.push_rejected(&Record::from(vec!["+wrong", "x"]), "[1 2] +wrong, \"x");
        outcomes.push_rejected("MALFORMED_QUOTE: no");
        outcomes.unmatched(Unmatched { succeeded: true, created: false, id: RecordId::new(b"1"), text: "q".into() });
        let sink = MemorySink::default();
        let mut files = ResultFiles::new(Box::new(sink.clone()), Escape::Formulas, &header);
        files.write(ChunkResults { kept: &keeper.finish(), chosen: None, outcomes: &outcomes }).await.unwrap();
        let written = files.finish().await.unwrap();
        let head = "Name,Note,sf__Id,sf__Created,sf__Error\n";
        assert_eq!(
            sink.text(FileKind::Succeeded),
            format!("{head}ok,\"a,b\",0018c00002DJIpJAAX,true,\n,,1,false,this result matches no row of the file: q\n")
        );
        assert_eq!(
            sink.text(FileKind::Failed),
            "Name,Note,sf__Refused,sf__Id,sf__Created,sf__Error\n\"'=bad\",\"a,b\",,,,\"X_Y:no, \"\"never\"\":--\"\n\
             \"'+wrong\",x,\"[1 2] +wrong, \"\"x\",,,MALFORMED_QUOTE: no\n"
        );
        let unprocessed = sink.text(FileKind::Unprocessed);
        assert!(unprocessed.starts_with(&format!("{head}skipped,\"a,b\",,,\nlost,\"a,b\",,,\"sent, but")));
        assert!(!unprocessed.contains("moved"));
        assert_eq!(written.iter().map(|w| w.rows).collect::<Vec<_>>(), [2, 2, 2]);
        assert_eq!(written[2].bytes, unprocessed.len() as u64);
    }

    #[tokio::test]
    async fn a_chunk_of_rows_sent_again_tells_only_of_those() {
        let header = Record::from(vec!["N"]);
        let mut keeper = RowKeeper::new(Layout::new(Escape::Formulas, &header));
        ["a", "b", "c"].iter().for_each(|n| keeper.push(&Record::from(vec![*n])));
        let mut outcomes = Outcomes::new(true);
        outcomes.push_waiting();
        outcomes.succeeded(0, RecordId::new(b"1"), false);
        let sink = MemorySink::default();
        let mut files = ResultFiles::new(Box::new(sink.clone()), Escape::Formulas, &header);
        files.write(ChunkResults { kept: &keeper.finish(), chosen: Some(&[1]), outcomes: &outcomes }).await.unwrap();
        files.finish().await.unwrap();
        assert_eq!(sink.text(FileKind::Succeeded), "N,sf__Id,sf__Created,sf__Error\nb,1,false,\n");
    }

    #[tokio::test]
    async fn columns_of_an_earlier_run_are_not_carried_on_and_unescaped_files_say_so() {
        let header = Record::from(vec!["sf__Error", "=Name", "sf__Id", " sf__Created ", "Note", "sf__Refused"]);
        let row = Record::from(vec!["old", "-1", "001", "true", "n", "[1 2] old"]);
        for (escape, succeeded, failed) in [
            (
                Escape::Formulas,
                "\"'=Name\",Note,sf__Id,sf__Created,sf__Error\n\"'-1\",n,,false,\n",
                "\"'=Name\",Note,sf__Refused,sf__Id,sf__Created,sf__Error\n",
            ),
            (
                Escape::Nothing,
                "=Name,Note,sf__Unescaped,sf__Id,sf__Created,sf__Error\n-1,n,,,false,\n",
                "=Name,Note,sf__Refused,sf__Unescaped,sf__Id,sf__Created,sf__Error\n",
            ),
        ] {
            let mut keeper = RowKeeper::new(Layout::new(escape, &header));
            keeper.push(&row);
            let mut outcomes = Outcomes::new(true);
            outcomes.push_waiting();
            outcomes.succeeded(0, RecordId::default(), false);
            let sink = MemorySink::default();
            let mut files = ResultFiles::new(Box::new(sink.clone()), escape, &header);
            files.write(ChunkResults { kept: &keeper.finish(), chosen: None, outcomes: &outcomes }).await.unwrap();
            files.finish().await.unwrap();
            assert_eq!((sink.text(FileKind::Succeeded), sink.text(FileKind::Failed)), (succeeded.to_owned(), failed.to_owned()));
        }
    }
}
