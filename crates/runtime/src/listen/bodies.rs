//! Bodies of calls: one that must come at a least rate, and one that holds something until it is through.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Error;
use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// How fast a body must come. Bytes earn time and waiting spends it, so a sender may pause, and may not dribble.
#[derive(Clone, Copy, Debug)]
pub struct MinRate {
    /// The longest pause: what may be saved up, and what a body begins with.
    pub pause: Duration,
    /// Bytes that earn a second.
    pub rate: u64,
}

/// A body whose sender has to keep a pace; after that it ends in an error.
pub struct MinRateBody {
    body: Body,
    min_rate: MinRate,
    left: Duration,
    waiting_since: Option<Instant>,
    end: Pin<Box<Sleep>>,
}

impl MinRateBody {
    /// Wraps `body`; the first bytes have [`MinRate::pause`] to come.
    pub fn new(body: Body, min_rate: MinRate) -> Self {
        Self { body, min_rate, left: min_rate.pause, waiting_since: None, end: Box::pin(tokio::time::sleep(min_rate.pause)) }
    }

    /// Only the time that we wait for the sender counts, not the time that the sender waits for us.
    fn came(&mut self, bytes: usize) {
        if let Some(since) = self.waiting_since.take() {
            let earned = Duration::from_secs_f64(bytes as f64 / self.min_rate.rate as f64);
            self.left = (self.left.saturating_sub(since.elapsed()) + earned).min(self.min_rate.pause);
        }
    }
}

impl HttpBody for MinRateBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            let bytes = frame.as_ref().and_then(|f| f.as_ref().ok()?.data_ref().map(Bytes::len));
            self.came(bytes.unwrap_or_default());
            return Poll::Ready(frame);
        }
        if self.waiting_since.is_none() {
            let now = Instant::now();
            self.waiting_since = Some(now);
            let end = now + self.left;
            self.end.as_mut().reset(end);
        }
        self.end
            .as_mut()
            .poll(cx)
            .map(|()| Some(Err(Error::new(std::io::Error::new(std::io::ErrorKind::TimedOut, "the body comes too slowly")))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body that holds something until it is through or given up.
pub struct Held<T> {
    body: Body,
    _held: T,
}

impl<T> Held<T> {
    /// Wraps `body`; `held` is dropped with it, at its end or when the connection breaks.
    pub fn new(body: Body, held: T) -> Self {
        Self { body, _held: held }
    }
}

impl<T: Unpin> HttpBody for Held<T> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    const MIN_RATE: MinRate = MinRate { pause: Duration::from_secs(30), rate: 1024 };

    /// Reads a body that sends `bytes` after each pause. Answers with how many parts came, whether it ended well, and the time it took.
    async fn read(parts: usize, bytes: usize, pause: Duration) -> (usize, bool, Duration) {
        let sent = futures::stream::iter(0..parts).then(move |_| async move {
            tokio::time::sleep(pause).await;
            Ok::<_, std::io::Error>(Bytes::from(vec![0; bytes]))
        });
        let (began, mut came) = (Instant::now(), 0);
        let mut read = Body::new(MinRateBody::new(Body::from_stream(sent), MIN_RATE)).into_data_stream();
        while let Some(part) = read.next().await {
            match part {
                Ok(_) => came += 1,
                Err(_) => return (came, false, began.elapsed()),
            }
        }
        (came, true, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_pauses_within_bounds_comes_whole() {
        assert!(read(20, 64 << 10, Duration::from_secs(29)).await.1);
        assert!(read(2000, 1200, Duration::from_secs(1)).await.1);
        assert!(read(0, 0, Duration::ZERO).await.1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_dribbles_or_stops_is_ended() {
        let (came, whole, took) = read(100_000, 1, Duration::from_secs(1)).await;
        assert!(!whole && came <= 31 && took <= Duration::from_secs(31), "{came} parts in {took:?}");
        let (_, whole, took) = read(1, 1, Duration::from_secs(31)).await;
        assert!(!whole && took <= Duration::from_secs(30));
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_that_waits_for_us_is_not_slow() {
        let sent = futures::stream::iter((0..10).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(b"x"))));
        let mut read = Body::new(MinRateBody::new(Body::from_stream(sent), MIN_RATE)).into_data_stream();
        while let Some(part) = read.next().await {
            part.unwrap();
            tokio::time::sleep(Duration::from_secs(3600)).await;
        }
    }
}
