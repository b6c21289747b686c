//! Reading ahead, by a task of its own. TLS gives sixteen kibibytes at a time, and to wake the thread that makes rows of them takes longer
//! than to decrypt them: it is woken for many at once.

use std::io;

use bytes::Bytes;
use futures::future::poll_immediate;
use futures::stream::{self, StreamExt};
use tokio::sync::mpsc::{self, Sender};
use tokio::task::yield_now;
use tokio_util::task::AbortOnDropHandle;

use super::ByteStream;

/// So much is handed over at once, if it is there.
const GATHERED: usize = 256 << 10;

/// In so many pieces at most: a server may send a byte at a time, and each piece takes memory beside its bytes.
const MOST_PIECES: usize = 64;

/// So often that waits to be taken.
const WAITING: usize = 2;

type Piece = io::Result<Bytes>;

/// The same bytes, fetched while those before them are worked on. Four handfuls at most are held, those that are worked on among them, each of less
/// than `GATHERED` and a piece. Whatever there is when no more comes is handed over.
pub(in crate::source) fn ahead(bytes: ByteStream) -> ByteStream {
    let (sender, receiver) = mpsc::channel(WAITING);
    let task = AbortOnDropHandle::new(tokio::spawn(fetch(bytes, sender)));
    stream::unfold(Some((receiver, task)), |state| async {
        let (mut receiver, task) = state?;
        if let Some(pieces) = receiver.recv().await {
            return Some((pieces, Some((receiver, task))));
        }
        // The end of a task that panicked is not that of the bytes. What it said may hold some of them.
        task.await.err()?;
        Some((vec![Err(io::Error::other("the task that reads ahead broke down"))], None))
    })
    .flat_map(stream::iter)
    .boxed()
}

async fn fetch(mut bytes: ByteStream, to: Sender<Vec<Piece>>) {
    loop {
        let Some(first) = bytes.next().await else { return };
        let mut gathered = vec![first];
        let mut size = 0;
        let ended = loop {
            match gathered.last() {
                Some(Ok(piece)) => size += piece.len(),
                _ => break true,
            }
            if size >= GATHERED || gathered.len() == MOST_PIECES {
                break false;
            }
            match at_once(&mut bytes).await {
                Some(Some(piece)) => gathered.push(piece),
                Some(None) => break true,
                None => break false,
            }
        };
        if to.send(gathered).await.is_err() || ended {
            return;
        }
    }
}

/// The next piece, or the end, if it is there.
async fn at_once(bytes: &mut ByteStream) -> Option<Option<Piece>> {
    if let Some(next) = poll_immediate(bytes.next()).await {
        return Some(next);
    }
    // Whoever reads the connection has its turn, on this very thread.
    yield_now().await;
    poll_immediate(bytes.next()).await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    const PIECE: usize = 16 << 10;

    /// Pieces of this size without end, and how many were fetched.
    fn endless(piece: usize) -> (ByteStream, Arc<AtomicUsize>) {
        let fetched = Arc::new(AtomicUsize::new(0));
        let count = fetched.clone();
        let pieces = stream::repeat_with(move || {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(Bytes::from(vec![b'x'; piece]))
        });
        (pieces.boxed(), fetched)
    }

    #[tokio::test]
    async fn every_piece_comes_in_its_turn_and_an_error_behind_them() {
        let pieces = (0..10_000).map(|number| Ok(Bytes::from(format!("{number},").repeat(100))));
        let mut read = ahead(stream::iter(pieces).chain(stream::iter([Err(io::Error::other("broken"))])).boxed());
        for number in 0..10_000 {
            assert_eq!(read.next().await.unwrap().unwrap(), format!("{number},").repeat(100));
        }
        assert_eq!(read.next().await.unwrap().unwrap_err().to_string(), "broken");
        assert!(read.next().await.is_none());
        assert!(ahead(stream::empty().boxed()).next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_fetched_than_is_said_and_nothing_once_nobody_reads() {
        let (pieces, fetched) = endless(PIECE);
        let mut read = ahead(pieces);
        read.next().await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
        let held = fetched.load(Ordering::SeqCst) * PIECE;
        assert!((GATHERED..=1 << 20).contains(&held), "{held}");
        drop(read);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(fetched.load(Ordering::SeqCst) * PIECE, held);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_sends_a_byte_at_a_time_fills_no_memory_with_pieces() {
        let (pieces, fetched) = endless(1);
        let mut read = ahead(pieces);
        read.next().await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(fetched.load(Ordering::SeqCst) <= (WAITING + 2) * MOST_PIECES, "{fetched:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_piece_that_came_waits_for_no_other() {
        let pieces = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            Some((Ok(Bytes::from_static(b"x")), ()))
        });
        let (mut read, began) = (ahead(pieces.boxed()), tokio::time::Instant::now());
        read.next().await.unwrap().unwrap();
        assert_eq!(began.elapsed(), Duration::from_secs(10));
    }

    #[tokio::test]
    async fn a_task_that_dies_is_not_the_end_of_the_bytes() {
        let pieces = stream::iter([Ok(Bytes::from_static(b"x"))]).chain(stream::once(async { panic!("a test") }));
        let told: Vec<io::Result<Bytes>> = ahead(pieces.boxed()).collect().await;
        let error = told.last().unwrap().as_ref().unwrap_err();
        assert_eq!(error.to_string(), "the task that reads ahead broke down");
    }
}
