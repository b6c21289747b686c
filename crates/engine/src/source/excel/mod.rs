//! Rows of a sheet of an Excel workbook (.xlsx, .xlsm, .xls).
//!
//! bytes → `kind` → `package` (the archive; every byte that inflates is counted) → `xml` → `workbook` (which sheet), `strings`, `styles` →
//! `sheet` (cells as texts: `value`, `serial`, `shape`) → `rows` (header, faults, batches). An old workbook goes through `xls` instead, up to
//! the rows of its sheet (`cells`).
//!
//! The list of an archive's parts stands at its end, so the file is held in memory as it came, compressed and within a limit. From there
//! it is read once, from its start, on a thread that may block; the rows are never held.

mod cells;
mod error;
mod kind;
mod limits;
mod options;
mod package;
mod place;
mod problem;
mod rows;
mod serial;
mod shape;
mod sheet;
mod strings;
mod styles;
mod value;
mod workbook;
mod xls;
mod xml;

use std::collections::BTreeSet;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};

pub use self::error::{Part, WorkbookError};
use self::limits::MAX_FILE;
pub use self::options::ExcelOptions;
pub use self::place::Place;
pub use self::problem::Problem;
pub use self::rows::SheetRows;
use super::blob::{BlobError, ByteStream};
use super::{FileError, ReadError, Rows};
use crate::row::{Batch, Header};

/// Batches that are ready before they are asked for: the thread fills the next one while this one is mapped.
const AHEAD: usize = 1;

/// A sheet that is read on a thread of its own. The thread ends when this is dropped.
pub(super) struct ExcelRows {
    header: Header,
    pieces: mpsc::Receiver<Result<Piece, FileError>>,
    /// Batches that were used, to be filled again.
    used: mpsc::Sender<Batch>,
    thread: Option<JoinHandle<()>>,
    blank: u64,
}

struct Piece {
    rows: Batch,
    /// Blank rows so far.
    blank: u64,
    ended: bool,
}

impl ExcelRows {
    /// Reads up to the header.
    pub(super) async fn open(bytes: ByteStream, options: ExcelOptions, used: BTreeSet<String>) -> Result<Self, ReadError> {
        let bytes = whole(bytes).await?;
        let (told, header) = oneshot::channel();
        let (ready, pieces) = mpsc::channel(AHEAD);
        let (back, mut empty) = mpsc::channel::<Batch>(AHEAD + 1);
        let thread = spawn_blocking(move || match SheetRows::open(bytes, &options, &used) {
            Err(error) => _ = told.send(Err(error)),
            Ok(rows) => {
                if told.send(Ok(rows.header().clone())).is_ok() {
                    send(rows, &ready, &mut empty);
                }
            }
        });
        match header.await {
            Ok(header) => Ok(Self { header: header?, pieces, used: back, thread: Some(thread), blank: 0 }),
            Err(_) => ended(Some(thread)).await,
        }
    }
}

/// All bytes of the file.
async fn whole(mut bytes: ByteStream) -> Result<Bytes, ReadError> {
    let mut all = BytesMut::new();
    while let Some(piece) = bytes.next().await {
        let piece = piece.map_err(BlobError::from)?;
        if all.len() + piece.len() > MAX_FILE {
            return Err(FileError::from(WorkbookError::TooLarge { limit: MAX_FILE }).into());
        }
        all.extend_from_slice(&piece);
    }
    Ok(all.freeze())
}

/// Sends the rows until they end, or nobody wants them.
fn send(mut rows: SheetRows, ready: &mpsc::Sender<Result<Piece, FileError>>, empty: &mut mpsc::Receiver<Batch>) {
    loop {
        let mut batch = empty.try_recv().unwrap_or_default();
        let piece = rows.next(&mut batch).map(|more| Piece { rows: batch, blank: rows.blank_lines(), ended: !more });
        let is_last = piece.as_ref().map_or(true, |piece| piece.ended);
        if ready.blocking_send(piece).is_err() || is_last {
            return;
        }
    }
}

/// The thread ended without a word: it panicked, which is passed on.
async fn ended<T>(thread: Option<JoinHandle<()>>) -> Result<T, ReadError> {
    if let Some(thread) = thread
        && let Err(error) = thread.await
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
    Err(ReadError::Lost("the thread that reads the workbook has ended".into()))
}

#[async_trait]
impl Rows for ExcelRows {
    fn header(&self) -> &Header {
        &self.header
    }

    async fn next(&mut self, batch: &mut Batch) -> Result<bool, ReadError> {
        let Some(piece) = self.pieces.recv().await else { return ended(self.thread.take()).await };
        let piece = piece?;
        self.blank = piece.blank;
        let used = std::mem::replace(batch, piece.rows);
        // Without room for it, it is one to be made anew.
        let _ = self.used.try_send(used);
        Ok(!piece.ended)
    }

    fn blank_lines(&self) -> u64 {
        self.blank
    }
}

#[cfg(test)]
mod tests;
