//! Rows that a thread of their own reads: it may block, and takes its time. The rows are never held.

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::DropGuard;

use super::RandomAccess;
use crate::row::{Batch, Header};
use crate::source::{FileError, ReadError, Rows};

/// Batches that are ready before they are asked for: the thread fills the next one while this one is mapped.
const AHEAD: usize = 1;

/// Rows of a file of which any part can be read. They are read where it may take its time.
pub(in crate::source) trait HeldRows: 'static {
    /// Names of the columns.
    fn header(&self) -> &Header;

    /// Clears the batch and fills it. False: the rows have ended and the batch is empty.
    fn next(&mut self, batch: &mut Batch) -> Result<bool, FileError>;

    /// Rows without any text so far; they are not rows.
    fn blank_lines(&self) -> u64 {
        0
    }
}

/// Rows that a thread of their own reads. It ends when this is dropped.
pub(in crate::source) struct Threaded {
    header: Header,
    pieces: mpsc::Receiver<Result<Piece, ReadError>>,
    /// Batches that were used, to be filled again.
    used: mpsc::Sender<Batch>,
    thread: Option<JoinHandle<()>>,
    blank: u64,
    /// Ends what the thread waits for.
    _fetches: Option<DropGuard>,
}

struct Piece {
    rows: Batch,
    /// Blank rows so far.
    blank: u64,
    ended: bool,
}

impl Threaded {
    /// Opens the rows of a file on the thread, up to their header.
    pub(in crate::source) async fn open<R: HeldRows>(
        file: RandomAccess,
        rows: impl FnOnce(RandomAccess) -> Result<R, FileError> + Send + 'static,
    ) -> Result<Self, ReadError> {
        let (told, header) = oneshot::channel();
        let (ready, pieces) = mpsc::channel(AHEAD);
        let (back, mut empty) = mpsc::channel::<Batch>(AHEAD + 1);
        let fetches = file.guard();
        let thread = spawn_blocking(move || match checked(rows(file.clone()), &file) {
            Err(error) => _ = told.send(Err(error)),
            Ok(rows) => {
                if told.send(Ok(rows.header().clone())).is_ok() {
                    send(rows, &file, &ready, &mut empty);
                }
            }
        });
        match header.await {
            Ok(header) => Ok(Self { header: header?, pieces, used: back, thread: Some(thread), blank: 0, _fetches: fetches }),
            Err(_) => ended(Some(thread)).await,
        }
    }
}

/// A part that did not come is why, whatever the format took it for.
fn checked<T>(made: Result<T, FileError>, file: &RandomAccess) -> Result<T, ReadError> {
    match file.failure() {
        Some(failure) => Err(failure.into()),
        None => Ok(made?),
    }
}

/// Sends the rows until they end, or nobody wants them.
fn send(mut rows: impl HeldRows, file: &RandomAccess, ready: &mpsc::Sender<Result<Piece, ReadError>>, empty: &mut mpsc::Receiver<Batch>) {
    loop {
        let mut batch = empty.try_recv().unwrap_or_default();
        let more = checked(rows.next(&mut batch), file);
        let piece = more.map(|more| Piece { rows: batch, blank: rows.blank_lines(), ended: !more });
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
    Err(ReadError::Lost("the thread that reads the file has ended".into()))
}

#[async_trait]
impl Rows for Threaded {
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

    fn holds_file(&self) -> bool {
        true
    }

    fn blank_lines(&self) -> u64 {
        self.blank
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use tokio::time::timeout;

    use super::*;

    /// Rows without an end, or such as panic.
    struct Endless {
        header: Header,
        panics: bool,
    }

    impl HeldRows for Endless {
        fn header(&self) -> &Header {
            &self.header
        }

        fn next(&mut self, batch: &mut Batch) -> Result<bool, FileError> {
            assert!(!self.panics, "on purpose");
            batch.clear();
            batch.push(1, |row| row.cells.push_field(b"x"));
            Ok(true)
        }
    }

    async fn open(panics: bool) -> Threaded {
        Threaded::open(Bytes::new().into(), move |_| Ok(Endless { header: Header::new(["a"]), panics })).await.unwrap()
    }

    #[tokio::test]
    async fn the_thread_ends_with_the_rows() {
        let mut rows = open(false).await;
        let mut batch = Batch::new();
        assert!(rows.next(&mut batch).await.unwrap() && !batch.is_empty());
        let thread = rows.thread.take().unwrap();
        assert!(!thread.is_finished(), "it waits for room");
        drop(rows);
        timeout(Duration::from_secs(10), thread).await.unwrap().unwrap();
    }

    #[tokio::test]
    #[should_panic(expected = "on purpose")]
    async fn a_panic_is_passed_on() {
        let _ = open(true).await.next(&mut Batch::new()).await;
    }
}
