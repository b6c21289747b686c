//! A source that gives a byte now and then breaks no limit of its connection, and would hold a run for days.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{StreamExt, try_unfold};
use tokio::time::{Instant, timeout};

use super::{BlobError, ByteStream};

/// While it is waited for, so much must come within [`WINDOW`].
const LEAST: u64 = 64 << 10;
const WINDOW: Duration = Duration::from_secs(600);

/// How the bytes of a file come. Clones count together: its parts may be fetched one by one.
#[derive(Clone, Default)]
pub(in crate::source) struct Pace(Arc<Mutex<Window>>);

#[derive(Clone, Copy, Default)]
struct Window {
    waited: Duration,
    come: u64,
}

impl Pace {
    /// The same bytes; an error when they come too slowly. Nothing is counted while nobody waits for them.
    pub(in crate::source) fn of(self, bytes: ByteStream) -> ByteStream {
        try_unfold((bytes, self), |(mut bytes, pace)| async move {
            let began = Instant::now();
            let window = pace.window();
            let Ok(piece) = timeout(WINDOW.saturating_sub(window.waited), bytes.next()).await else { return Err(too_slow(window.come)) };
            let come = piece.as_ref().and_then(|piece| piece.as_ref().ok()).map_or(0, Bytes::len) as u64;
            let next = Window { waited: window.waited + began.elapsed(), come: window.come + come };
            let next = if next.come >= LEAST { Window::default() } else { next };
            *pace.0.lock().unwrap_or_else(PoisonError::into_inner) = next;
            match piece.transpose()? {
                Some(_) if next.waited >= WINDOW => Err(too_slow(next.come)),
                Some(piece) => Ok(Some((piece, (bytes, pace)))),
                None => Ok(None),
            }
        })
        .boxed()
    }

    fn window(&self) -> Window {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes of a file that come one after the other.
pub(in crate::source) fn paced(bytes: ByteStream) -> ByteStream {
    Pace::default().of(bytes)
}

fn too_slow(come: u64) -> std::io::Error {
    let error = BlobError::TooSlow { bytes: come, minutes: WINDOW.as_secs() / 60, least: LEAST >> 10 };
    std::io::Error::other(error)
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;
    use crate::source::Remedy;

    /// Pieces of a size, each after a pause.
    fn pieces(count: usize, size: usize, pause: Duration) -> ByteStream {
        stream::unfold(0, move |number| async move {
            tokio::time::sleep(pause).await;
            (number < count).then(|| (Ok(Bytes::from(vec![b'x'; size])), number + 1))
        })
        .boxed()
    }

    async fn read(mut bytes: ByteStream, busy: Duration) -> Result<usize, BlobError> {
        let mut found = 0;
        while let Some(piece) = bytes.next().await {
            found += piece?.len();
            tokio::time::sleep(busy).await;
        }
        Ok(found)
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_trickles_ends_and_says_how_slow_it_is() {
        let began = Instant::now();
        let error = read(paced(pieces(10_000, 1, Duration::from_secs(60))), Duration::ZERO).await.unwrap_err();
        assert_eq!(began.elapsed(), WINDOW);
        assert_eq!(error.remedy(), Remedy::Wait);
        assert_eq!(
            error.to_string(),
            "the source gave 10 bytes within 10 minutes, and 64 KiB is the least: look at its server, or at the way there"
        );
        assert!(read(paced(pieces(1, 1, WINDOW * 2)), Duration::ZERO).await.is_err(), "nothing at all");
    }

    #[tokio::test(start_paused = true)]
    async fn the_parts_of_a_file_are_counted_together() {
        let (pace, began) = (Pace::default(), Instant::now());
        // Each of them alone would do.
        let parts = async {
            loop {
                read(pace.clone().of(pieces(1, 100, WINDOW / 4)), Duration::ZERO).await?;
            }
        };
        let error: BlobError = match parts.await {
            Ok(never) => never,
            Err(error) => error,
        };
        assert_eq!(began.elapsed(), WINDOW);
        assert!(error.to_string().starts_with("the source gave "), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_waits_for_us_or_is_only_slow_is_read_to_its_end() {
        // Salesforce takes its time between the pieces.
        assert_eq!(read(paced(pieces(100, 1, Duration::from_millis(1))), WINDOW * 3).await.unwrap(), 100);
        // 200 bytes a second.
        assert_eq!(read(paced(pieces(10_000, 1_000, Duration::from_secs(5))), Duration::ZERO).await.unwrap(), 10_000_000);
    }
}
