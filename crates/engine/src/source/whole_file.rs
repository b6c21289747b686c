//! Formats that can only be read when the whole file is there, as what says where everything is stands at its end. The file is held in memory
//! as it came and within a limit; from there a thread that may block reads it once. The rows are never held.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};

use super::blob::{BlobError, ByteStream};
use super::{FileError, ReadError, Rows};
use crate::row::{Batch, Header};

/// Batches that are ready before they are asked for: the thread fills the next one while this one is mapped.
const AHEAD: usize = 1;

/// Rows of a file that is held in memory. They are read where it may take its time.
pub(super) trait HeldRows: 'static {
    /// Names of the columns.
    fn header(&self) -> &Header;

    /// Clears the batch and fills it. False: the rows have ended and the batch is empty.
    fn next(&mut self, batch: &mut Batch) -> Result<bool, FileError>;

    /// Rows without any text so far; they are not rows.
    fn blank_lines(&self) -> u64 {
        0
    }
}

/// All bytes of the file, unless they are more than the limit.
pub(super) async fn whole(mut bytes: ByteStream, limit: usize, too_large: impl FnOnce(usize) -> FileError) -> Result<Bytes, ReadError> {
    let mut all = BytesMut::new();
    while let Some(piece) = bytes.next().await {
        let piece = piece.map_err(BlobError::from)?;
        if all.len() + piece.len() > limit {
            return Err(too_large(limit).into());
        }
        all.extend_from_slice(&piece);
    }
    Ok(all.freeze())
}

/// Rows that a thread of their own reads. It ends when this is dropped.
pub(super) struct Threaded {
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

impl Threaded {
    /// Opens the rows on the thread, up to their header.
    pub(super) async fn open<R: HeldRows>(rows: impl FnOnce() -> Result<R, FileError> + Send + 'static) -> Result<Self, ReadError> {
        let (told, header) = oneshot::channel();
        let (ready, pieces) = mpsc::channel(AHEAD);
        let (back, mut empty) = mpsc::channel::<Batch>(AHEAD + 1);
        let thread = spawn_blocking(move || match rows() {
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

/// Sends the rows until they end, or nobody wants them.
fn send(mut rows: impl HeldRows, ready: &mpsc::Sender<Result<Piece, FileError>>, empty: &mut mpsc::Receiver<Batch>) {
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
        Threaded::open(move || Ok(Endless { header: Header::new(["a"]), panics })).await.unwrap()
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
