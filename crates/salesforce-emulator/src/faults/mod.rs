//! Faults on demand: rules that match requests, rows or batches and say what goes wrong, how often and after how many.
//!
//! The same seed, rules and requests give the same faults.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::store::RowError;

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[allow(missing_docs, reason = "each variant says what its fields are")]
pub enum Action {
    /// The connection ends and nothing was done.
    DropBefore,
    /// The request is carried out, then the connection ends without an answer.
    DropAfter,
    /// Nothing is done until this time has passed, or the faults are removed.
    Delay { milliseconds: u64 },
    /// The request is carried out, then its answer waits.
    DelayAnswer { milliseconds: u64 },
    /// Answered with this status instead of being carried out.
    Status { status: u16, code: Option<String>, message: Option<String> },
    /// All access tokens end before this request is looked at.
    ExpireSession,
    /// The answer's body breaks off after so many bytes and the connection with it.
    CutBody { bytes: usize },
    /// The answer's body ends early as if it were whole.
    ShortenBody { bytes: usize },
    /// Every piece of the answer's body waits.
    SlowBody { milliseconds: u64 },
    /// Rows of bulk jobs on this object are refused with UNABLE_TO_LOCK_ROW; `times` counts rows.
    LockRows { object: String },
    /// The next batch on this object needs so many retries; as many as the service makes end the job.
    RetryBatch { object: String, retries: u32 },
}

impl Action {
    fn concerns_requests(&self) -> bool {
        !matches!(self, Self::LockRows { .. } | Self::RetryBatch { .. })
    }
}

/// A fault, and which requests or rows it happens to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// What goes wrong.
    #[serde(flatten)]
    pub action: Action,
    /// HTTP method; all of them when absent.
    pub method: Option<String>,
    /// A path with `*` for any run of characters; all paths when absent.
    pub path: Option<String>,
    /// So many matches pass first.
    #[serde(default)]
    pub skip: u32,
    /// So many matches fail, then the rule is spent.
    #[serde(default = "once")]
    pub times: u32,
    /// Of the matches that would fail, this share does.
    #[serde(default = "always")]
    pub probability: f64,
}

fn once() -> u32 {
    1
}

fn always() -> f64 {
    1.0
}

impl Fault {
    /// One that happens to the next request, or row, and is spent then.
    pub fn new(action: Action) -> Self {
        Self { action, method: None, path: None, skip: 0, times: 1, probability: 1.0 }
    }

    /// Only to requests of this method and path, in which `*` is any run of characters.
    pub fn on(mut self, method: &str, path: &str) -> Self {
        self.method = Some(method.to_owned());
        self.path = Some(path.to_owned());
        self
    }

    /// So many times before it is spent.
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// Only once so many matches have passed.
    pub fn after(mut self, skip: u32) -> Self {
        self.skip = skip;
        self
    }
}

pub(crate) struct Faults {
    rules: Vec<Fault>,
    random: StdRng,
    /// Who waits because of a rule learns that the rules are removed.
    removed: watch::Sender<()>,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rules: Vec::new(), random: StdRng::seed_from_u64(seed), removed: watch::Sender::new(()) }
    }

    pub(crate) fn add(&mut self, fault: Fault) {
        self.rules.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
        self.removed.send_replace(());
    }

    /// Changes once the rules of now are removed.
    pub(crate) fn removed(&self) -> watch::Receiver<()> {
        self.removed.subscribe()
    }

    /// Rules with matches left.
    pub(crate) fn rules(&self) -> &[Fault] {
        &self.rules
    }

    /// What befalls this request: the first rule that matches it and is due.
    pub(crate) fn on_request(&mut self, method: &str, path: &str) -> Option<Action> {
        self.take(|fault| {
            fault.action.concerns_requests()
                && fault.method.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
                && fault.path.as_deref().is_none_or(|pattern| glob(pattern.as_bytes(), path.as_bytes()))
        })
    }

    pub(crate) fn has_row_faults(&self) -> bool {
        self.rules.iter().any(|fault| matches!(fault.action, Action::LockRows { .. }))
    }

    pub(crate) fn row_fault(&mut self, object: &str) -> Option<RowError> {
        let action = self.take(|fault| matches!(&fault.action, Action::LockRows { object: o } if o.eq_ignore_ascii_case(object)));
        action.map(|_| RowError::new("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record"))
    }

    /// How often the next batch on this object is tried again.
    pub(crate) fn batch_retries(&mut self, object: &str) -> u32 {
        match self.take(|fault| matches!(&fault.action, Action::RetryBatch { object: o, .. } if o.eq_ignore_ascii_case(object))) {
            Some(Action::RetryBatch { retries, .. }) => retries,
            _ => 0,
        }
    }

    fn take(&mut self, matches: impl Fn(&Fault) -> bool) -> Option<Action> {
        let at = self.rules.iter().position(matches)?;
        let fault = &mut self.rules[at];
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        if fault.probability < 1.0 && !self.random.random_bool(fault.probability.max(0.0)) {
            return None;
        }
        let action = fault.action.clone();
        fault.times = fault.times.saturating_sub(1);
        if fault.times == 0 {
            self.rules.remove(at);
        }
        Some(action)
    }
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|at| glob(rest, &text[at..])),
        Some((byte, rest)) => text.first() == Some(byte) && glob(rest, &text[1..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_skips_then_fails_then_is_spent() {
        let mut faults = Faults::new(1);
        faults.add(Fault::new(Action::DropAfter).on("PATCH", "*/jobs/ingest/*").after(1).times(2));
        let path = "/services/data/v66.0/jobs/ingest/750";
        let hits: Vec<bool> = (0..5).map(|_| faults.on_request("PATCH", path).is_some()).collect();
        assert_eq!(hits, [false, true, true, false, false]);
        assert!(faults.rules().is_empty());
    }

    #[test]
    fn rules_are_read_from_json() {
        let fault: Fault = serde_json::from_str(r#"{"action": "status", "status": 503, "path": "*/query*"}"#).unwrap();
        assert_eq!(fault.action, Action::Status { status: 503, code: None, message: None });
        assert_eq!((fault.times, fault.skip), (1, 0));
        assert!(serde_json::from_str::<Fault>(r#"{"action": "explode"}"#).is_err());
    }

    #[test]
    fn chances_repeat_with_the_seed() {
        let draw = || {
            let mut faults = Faults::new(9);
            faults.add(Fault { probability: 0.5, times: 1000, ..Fault::new(Action::DropBefore) });
            (0..50).map(|_| faults.on_request("GET", "/").is_some()).collect::<Vec<_>>()
        };
        assert_eq!(draw(), draw());
        assert!(draw().contains(&true) && draw().contains(&false));
    }
}
