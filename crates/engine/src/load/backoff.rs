//! Waits that grow. The clock is elsewhere; randomness is handed in.

use std::time::Duration;

/// Waits between looks at work in progress: short at first, because small chunks are done soon.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    next: Duration,
    cap: Duration,
}

const FACTOR: f64 = 1.5;

impl Backoff {
    pub(crate) fn poll() -> Self {
        Self { next: Duration::from_millis(100), cap: Duration::from_secs(30) }
    }

    /// After something went wrong that may pass.
    pub(crate) fn trouble() -> Self {
        Self { next: Duration::from_secs(1), cap: Duration::from_secs(60) }
    }

    /// The next wait; `random` in `[0, 1)` spreads it between half and the whole.
    pub(crate) fn next(&mut self, random: f64) -> Duration {
        let wait = self.next.mul_f64(0.5 + random / 2.0);
        self.next = self.next.mul_f64(FACTOR).min(self.cap);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_by_half_up_to_the_cap() {
        let mut backoff = Backoff::poll();
        let waits: Vec<Duration> = (0..40).map(|_| backoff.next(0.999_999_9)).collect();
        assert!(waits[0] > Duration::from_millis(99) && waits[0] <= Duration::from_millis(100));
        assert!(waits[1] > Duration::from_millis(149) && waits[1] <= Duration::from_millis(150));
        assert!(waits[39] > Duration::from_millis(29_990) && waits[39] <= Duration::from_secs(30));
        assert!(Backoff::poll().next(0.0) == Duration::from_millis(50));
    }
}
