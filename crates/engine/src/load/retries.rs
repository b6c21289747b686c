//! How long and how often the lane of one chunk may go on trying. The loader's clock is tokio's, which tests turn by hand.

use std::time::Duration;

use backoff::{Backoff, Waits};
use salesforce::{Class, Error};
use tokio::time::Instant;

use super::stop::Directive;

/// How long Salesforce may be out of reach before a chunk that is not committed gives up. A committed one waits for the run's deadline.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long chunks may take to end once the run has to.
const ENDING_TIME: Duration = Duration::from_secs(60);

/// Looks at work in progress: close together at first, because small chunks are done soon, and because a chunk that is seen to be done late
/// holds its place in memory for as long. The first one comes soon, because no job is seen done at once: the second one counts.
const LOOKS: Backoff = Backoff::new(Duration::from_millis(50), 1.5, Duration::from_secs(30));

/// After something went wrong that may pass.
pub(crate) const TROUBLE: Backoff = Backoff::new(Duration::from_secs(1), 1.5, Duration::from_secs(60));

/// A refused session does not heal by waiting.
const MAX_REFUSALS: u32 = 3;

/// Time and tries of one chunk.
pub(crate) struct RetryBudget {
    refusals: u32,
    looks: Waits,
    trouble: Waits,
    trouble_since: Option<Instant>,
    ending_since: Option<Instant>,
}

impl RetryBudget {
    pub(crate) fn new() -> Self {
        Self { refusals: 0, looks: Waits::new(LOOKS), trouble: Waits::new(TROUBLE), trouble_since: None, ending_since: None }
    }

    /// Whether waiting any longer is out of the question.
    pub(crate) fn is_over(&mut self, directive: Directive) -> bool {
        directive == Directive::StopNow && self.ending_since.get_or_insert_with(Instant::now).elapsed() > ENDING_TIME
    }

    /// Whether an answer was refused so often that asking again is of no use. Answers that may come later are not counted.
    pub(crate) fn is_refused(&mut self, error: &Error) -> bool {
        self.refusals += u32::from(!matches!(error.class(), Class::Transient | Class::Quota));
        self.refusals >= MAX_REFUSALS
    }

    /// Whether Salesforce may still be out of reach for a chunk that is not committed.
    pub(crate) fn is_patient(&mut self) -> bool {
        self.trouble_since.get_or_insert_with(Instant::now).elapsed() < PATIENCE
    }

    /// Salesforce answered: the next trouble begins with a short wait.
    pub(crate) fn answered(&mut self) {
        self.trouble.begin_again();
    }

    /// The wait before the next look at something that takes its time; `random` in `[0, 1)`.
    pub(crate) fn next_look(&mut self, random: f64) -> Duration {
        self.looks.next(random)
    }

    /// The wait after something went wrong; `random` in `[0, 1)`.
    pub(crate) fn next_try(&mut self, random: f64) -> Duration {
        self.trouble.next(random)
    }
}
