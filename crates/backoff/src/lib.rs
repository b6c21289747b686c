//! Waits that grow while something goes wrong. There is no clock here and no randomness: both are handed in, so that a controller which
//! keeps a count in a status decides in the same way as a loop which sleeps.

#![warn(missing_docs)]

use std::time::Duration;

/// How waits grow: the first one, times the factor from one to the next, and never longer than the longest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    first: Duration,
    factor: f64,
    longest: Duration,
}

impl Backoff {
    /// `factor` is at least 1.
    pub const fn new(first: Duration, factor: f64, longest: Duration) -> Self {
        Self { first, factor, longest }
    }

    /// The wait after so many tries, of which the first is 1; 0 counts like 1.
    pub fn after(&self, tries: u32) -> Duration {
        let exponent = i32::try_from(tries.saturating_sub(1)).unwrap_or(i32::MAX);
        let grown = self.first.as_secs_f64() * self.factor.powi(exponent);
        if grown < self.longest.as_secs_f64() { Duration::from_secs_f64(grown) } else { self.longest }
    }

    /// The same, between half and the whole of it, so that many who failed together do not come back together. `random` is in `[0, 1)`.
    pub fn spread(&self, tries: u32, random: f64) -> Duration {
        self.after(tries).mul_f64(0.5 + random / 2.0)
    }
}

/// The waits of one loop.
#[derive(Clone, Debug)]
pub struct Waits {
    backoff: Backoff,
    tries: u32,
}

impl Waits {
    /// The next one is the first.
    pub const fn new(backoff: Backoff) -> Self {
        Self { backoff, tries: 0 }
    }

    /// The next wait; `random` in `[0, 1)` spreads it between half and the whole.
    pub fn next(&mut self, random: f64) -> Duration {
        self.tries = self.tries.saturating_add(1);
        self.backoff.spread(self.tries, random)
    }

    /// It went well: the next wait is the first again.
    pub fn begin_again(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waits_grow_up_to_the_longest_however_many_there_are() {
        let backoff = Backoff::new(SECOND, 2.0, 300 * SECOND);
        let seconds = [0, 1, 2, 3, 9, 10, 11, 1_100, u32::MAX].map(|tries| backoff.after(tries).as_secs());
        assert_eq!(seconds, [1, 1, 2, 4, 256, 300, 300, 300, 300]);
        let steady = Backoff::new(SECOND, 1.0, SECOND);
        assert_eq!([1, 7, u32::MAX].map(|tries| steady.after(tries)), [SECOND; 3]);
        let never = Backoff::new(Duration::ZERO, 2.0, Duration::ZERO);
        assert_eq!([1, 7, u32::MAX].map(|tries| never.after(tries)), [Duration::ZERO; 3]);
    }

    #[test]
    fn a_wait_lies_between_half_and_the_whole() {
        let backoff = Backoff::new(SECOND, 2.0, 60 * SECOND);
        assert_eq!(backoff.spread(3, 0.0), 2 * SECOND);
        assert_eq!(backoff.spread(3, 0.5), 3 * SECOND);
        assert!(backoff.spread(3, 0.999_999) < 4 * SECOND);
    }

    #[test]
    fn what_goes_well_makes_the_next_wait_short_again() {
        let mut waits = Waits::new(Backoff::new(SECOND, 1.5, 60 * SECOND));
        assert_eq!([waits.next(0.0), waits.next(0.0)], [SECOND.mul_f64(0.5), SECOND.mul_f64(0.75)]);
        waits.begin_again();
        assert_eq!(waits.next(0.0), SECOND.mul_f64(0.5));
    }
}
