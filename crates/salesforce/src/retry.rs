//! Whether and when a call is made again. One owner of retries: the HTTP client below repeats nothing on its own.
//!
//! What may be repeated follows from what the server can have seen ([`Delivery`]) and from what a second execution would do
//! ([`Repeat`]). The decision is a pure function of the error, the time already spent and one random number; the clock and the source
//! of randomness are handed in.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backoff::Backoff;

use crate::error::{Class, Delivery, Error};

/// What a call may be repeated for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Repeat {
    /// Carrying it out twice is as good as once: reads, deletes, aborts, token requests, and creating a job (an orphan stays inert).
    Harmless,
    /// Only when the server provably never saw it: an upload (a second one spoils the job) and the closing of a job.
    OnlyUnsent,
}

/// How long and how often a call is tried. Default: 6 tries within 120 seconds, waiting 0.5 seconds first and twice as long each time, 20
/// seconds at most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Tries in all, the first included.
    pub attempts: u32,
    /// Waits before the second try and all others.
    pub backoff: Backoff,
    /// No further try starts later than this after the first one.
    pub budget: Duration,
}

impl RetryPolicy {
    /// One try only.
    pub const NEVER: Self = Self { attempts: 1, backoff: Backoff::new(Duration::ZERO, 1.0, Duration::ZERO), budget: Duration::ZERO };

    /// The wait before the next try, or `None` to give up. `tries` are done, `elapsed` is the time since the first began, `random` is in
    /// `[0, 1)`: the wait lies between half and the whole of the step, so that many clients do not march in step.
    pub(crate) fn wait(&self, repeat: Repeat, error: &Error, tries: u32, elapsed: Duration, random: f64) -> Option<Duration> {
        if tries >= self.attempts || !may_repeat(repeat, error) {
            return None;
        }
        let jittered = self.backoff.spread(tries, random);
        let wait = error.retry_after().map_or(jittered, |asked| asked.max(jittered));
        (elapsed.saturating_add(wait) <= self.budget).then_some(wait)
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        let backoff = Backoff::new(Duration::from_millis(500), 2.0, Duration::from_secs(20));
        Self { attempts: 6, backoff, budget: Duration::from_secs(120) }
    }
}

/// A call is repeated only after a stumble, and only if the first try cannot have done what must not be done twice.
fn may_repeat(repeat: Repeat, error: &Error) -> bool {
    error.class() == Class::Transient
        && match repeat {
            Repeat::Harmless => true,
            Repeat::OnlyUnsent => error.delivery() == Delivery::Unsent,
        }
}

/// Time as the retry loop needs it.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Time since a fixed moment; never goes back.
    fn now(&self) -> Duration;
    /// Comes back once that much time has passed.
    async fn sleep(&self, wait: Duration);
}

/// Policy, clock and randomness together.
#[derive(Clone)]
pub struct Retry {
    policy: RetryPolicy,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Fn() -> f64 + Send + Sync>,
}

impl Retry {
    /// With any clock and randomness; `random` gives numbers in `[0, 1)`.
    pub fn new(policy: RetryPolicy, clock: Arc<dyn Clock>, random: Arc<dyn Fn() -> f64 + Send + Sync>) -> Self {
        Self { policy, clock, random }
    }

    /// The machine's clock and randomness.
    pub fn system(policy: RetryPolicy) -> Self {
        Self::new(policy, Arc::new(SystemClock::start()), Arc::new(rand::random::<f64>))
    }

    pub(crate) fn begin(&self) -> Tries<'_> {
        Tries { retry: self, began: self.clock.now(), tries: 0 }
    }
}

/// The tries of one call.
pub(crate) struct Tries<'a> {
    retry: &'a Retry,
    began: Duration,
    tries: u32,
}

impl Tries<'_> {
    /// Waits before the next try, or gives the error back when there is none.
    pub(crate) async fn again(&mut self, call: &'static str, repeat: Repeat, error: Error) -> Result<(), Error> {
        self.tries += 1;
        let Retry { policy, clock, random } = self.retry;
        let elapsed = clock.now().saturating_sub(self.began);
        let Some(wait) = policy.wait(repeat, &error, self.tries, elapsed, random()) else { return Err(error) };
        tracing::info!(call, tries = self.tries, wait_ms = wait.as_millis() as u64, %error, "salesforce call is repeated");
        clock.sleep(wait).await;
        Ok(())
    }
}

struct SystemClock(tokio::time::Instant);

impl SystemClock {
    fn start() -> Self {
        Self(tokio::time::Instant::now())
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    async fn sleep(&self, wait: Duration) {
        tokio::time::sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::NetworkError;
    use crate::wire_error::ApiError;

    fn refused(status: u16, code: &str, retry_after: Option<u64>) -> Error {
        let errors = vec![ApiError { code: code.into(), message: String::new(), fields: vec![] }];
        Error::Refused { call: "test", status, errors, retry_after: retry_after.map(Duration::from_secs) }
    }

    fn cut_off(delivery: Delivery) -> Error {
        Error::Network { call: "test", host: "h".into(), delivery, source: NetworkError::Stalled(Duration::ZERO) }
    }

    fn wait(repeat: Repeat, error: &Error) -> Option<Duration> {
        RetryPolicy::default().wait(repeat, error, 1, Duration::ZERO, 0.0)
    }

    #[test]
    fn what_never_reached_the_server_is_always_repeated() {
        assert!(wait(Repeat::OnlyUnsent, &cut_off(Delivery::Unsent)).is_some());
        assert!(wait(Repeat::Harmless, &cut_off(Delivery::Unsent)).is_some());
    }

    #[test]
    fn a_lost_answer_repeats_only_what_is_harmless() {
        assert!(wait(Repeat::Harmless, &cut_off(Delivery::Unknown)).is_some());
        assert!(wait(Repeat::OnlyUnsent, &cut_off(Delivery::Unknown)).is_none());
    }

    #[test]
    fn a_server_error_never_repeats_an_upload_or_a_commit() {
        assert!(wait(Repeat::Harmless, &refused(503, "SERVER_UNAVAILABLE", None)).is_some());
        assert!(wait(Repeat::OnlyUnsent, &refused(503, "SERVER_UNAVAILABLE", None)).is_none());
    }

    #[test]
    fn an_exhausted_quota_and_permanent_errors_do_not_spin() {
        for error in [refused(403, "REQUEST_LIMIT_EXCEEDED", None), refused(400, "INVALID_FIELD", None), refused(400, "INVALIDJOB", None)] {
            assert_eq!(wait(Repeat::Harmless, &error), None, "{error}");
        }
    }

    #[test]
    fn waits_double_up_to_the_cap_and_jitter_stays_between_half_and_whole() {
        let policy = RetryPolicy { attempts: 100, budget: Duration::from_secs(1_000), ..RetryPolicy::default() };
        let error = refused(503, "X", None);
        let at = |tries, random| policy.wait(Repeat::Harmless, &error, tries, Duration::ZERO, random).unwrap();
        assert_eq!(at(1, 0.0), Duration::from_millis(250));
        assert!(at(1, 0.999_999) > Duration::from_millis(499));
        assert_eq!(at(3, 0.0), Duration::from_secs(1));
        assert_eq!(at(99, 0.0), Duration::from_secs(10));
    }

    #[test]
    fn retry_after_is_honoured_and_one_beyond_the_budget_ends_the_tries() {
        assert_eq!(wait(Repeat::Harmless, &refused(503, "X", Some(7))), Some(Duration::from_secs(7)));
        assert_eq!(wait(Repeat::Harmless, &refused(503, "X", Some(3_600))), None);
        let late = RetryPolicy::default().wait(Repeat::Harmless, &refused(503, "X", Some(u64::MAX)), 1, Duration::from_secs(1), 0.0);
        assert_eq!(late, None, "whatever a server writes there");
    }

    #[test]
    fn attempts_and_budget_end_the_tries() {
        let policy = RetryPolicy::default();
        let error = refused(503, "X", None);
        assert_eq!(policy.wait(Repeat::Harmless, &error, policy.attempts, Duration::ZERO, 0.0), None);
        assert_eq!(policy.wait(Repeat::Harmless, &error, 1, policy.budget, 0.0), None);
        assert_eq!(RetryPolicy::NEVER.wait(Repeat::Harmless, &error, 1, Duration::ZERO, 0.0), None);
    }
}
