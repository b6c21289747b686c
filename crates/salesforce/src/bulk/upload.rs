//! The one upload of a job, measured while it leaves.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use bytes::Bytes;
use futures::{Stream, StreamExt};

/// What left, for the write-ahead record that allows a job to be closed after a restart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Uploaded {
    /// Length of the body.
    pub bytes: u64,
    /// SHA-256 of the body.
    pub sha256: [u8; 32],
}

/// Counts and digests what passes.
#[derive(Clone)]
pub(super) struct Meter(Arc<Mutex<Reading>>);

struct Reading {
    bytes: u64,
    digest: digest::Context,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Reading { bytes: 0, digest: digest::Context::new(&digest::SHA256) })))
    }

    pub(super) fn watch<S, E>(&self, body: S) -> impl Stream<Item = Result<Bytes, E>> + Send + 'static
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Send + 'static,
    {
        let meter = self.clone();
        body.map(move |part| part.inspect(|bytes| meter.add(bytes)))
    }

    pub(super) fn read(&self) -> Uploaded {
        let reading = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(reading.digest.clone().finish().as_ref());
        Uploaded { bytes: reading.bytes, sha256 }
    }

    /// Ends once nothing has passed for `patience`. The HTTP client takes the next part only when the network has taken the last, so
    /// standstill here is standstill there.
    pub(super) async fn standstill(&self, patience: Duration) {
        let mut before = None;
        loop {
            let now = Some(self.bytes());
            if now == before {
                return;
            }
            before = now;
            tokio::time::sleep(patience).await;
        }
    }

    fn bytes(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }

    fn add(&self, part: &Bytes) {
        let mut reading = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reading.bytes += part.len() as u64;
        reading.digest.update(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    #[tokio::test]
    async fn the_meter_counts_and_digests_what_passed_whatever_the_parts() {
        let meter = Meter::new();
        let parts = [Ok::<_, Infallible>(Bytes::from_static(b"a")), Ok(Bytes::from_static(b"bc"))];
        let passed: Vec<_> = meter.watch(futures::stream::iter(parts)).collect().await;
        assert_eq!(passed.len(), 2);
        let uploaded = meter.read();
        assert_eq!(uploaded.bytes, 3);
        assert_eq!(uploaded.sha256.as_slice(), digest::digest(&digest::SHA256, b"abc").as_ref());
    }

    #[tokio::test(start_paused = true)]
    async fn standstill_is_noticed_and_movement_is_not_mistaken_for_it() {
        let meter = Meter::new();
        let patience = Duration::from_secs(60);
        let moving = async {
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_secs(30)).await;
                meter.add(&Bytes::from_static(b"x"));
            }
            std::future::pending::<()>().await;
        };
        let began = tokio::time::Instant::now();
        tokio::select! { () = meter.standstill(patience) => {}, () = moving => {} }
        assert!(began.elapsed() >= Duration::from_secs(180), "{:?}", began.elapsed());
    }
}
