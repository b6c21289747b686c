//! One ImportRun from its creation to its end.
//!
//! ```text
//!   Fresh ──announce──▶ Announced ──joined──▶ Working ──ended──▶ Between ──announce──▶ Announced …
//!     │                     │                    │                  │
//!     └─────────────────────┴──────finished──────┴──────────────────┴───▶ Finished
//! ```
//! `queue` says whose turn it is, `history` which finished runs go. `state` reads the phase from the status and moves it; `rules` decides what to do; `attempt` judges how a pod ended;
//! `plan` builds anchor and pod; `status` writes it down.

mod attempt;
pub mod history;
mod observed;
mod placement;
pub mod plan;
pub mod queue;
mod rules;
mod state;
mod status;

pub use attempt::{Ending, backoff, ending_of};
pub use observed::{Anchor, Basis, Begun, Crowd, Frozen, JobFacts, Observed, PodFacts, RunNamespaceFacts};
pub use placement::Placed;
pub use rules::{COUNTED_LIMIT, Decision, decide, starting};
pub use state::{Record, RunState};
pub use status::{finished, owned_part, status};

use api::ImportRun;
use api::conditions::{self, SUCCEEDED};

/// Whether the run has ended, well or not.
pub fn is_finished(run: &ImportRun) -> bool {
    run.status.as_ref().is_some_and(|s| conditions::find(&s.conditions, SUCCEEDED).is_some_and(|c| c.status != "Unknown"))
}

/// Why it ended, as one word.
pub fn reason_of(run: &ImportRun) -> &str {
    run.status.as_ref().and_then(|s| conditions::find(&s.conditions, SUCCEEDED)).map_or("", |c| &c.reason)
}

#[cfg(test)]
mod tests;
