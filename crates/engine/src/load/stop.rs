//! How a run is stopped, and why: one place that every part of it looks at.

use std::sync::{Arc, Mutex, PoisonError};

use api::import_run::RunReason;
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Position {
    Go,
    /// Start and commit nothing more, wait for what is committed, write results.
    Stop,
    /// The same without waiting for long.
    StopNow,
    /// Leave everything as it is: another attempt goes on.
    Interrupt,
    /// Not even that: another attempt has already taken over.
    Fenced,
}

/// What the run wants of chunks that are under way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Directive {
    Continue,
    /// Commit nothing more; wait for what is committed.
    Stop,
    /// Stop what is committed, too.
    StopNow,
}

/// Shared by every part that may stop the run. The first reason stays.
#[derive(Clone)]
pub struct StopSignal(Arc<Shared>);

struct Shared {
    position: watch::Sender<Position>,
    reason: Mutex<Option<(RunReason, String)>>,
}

impl Default for StopSignal {
    fn default() -> Self {
        Self(Arc::new(Shared { position: watch::Sender::new(Position::Go), reason: Mutex::new(None) }))
    }
}

impl StopSignal {
    /// No new chunk; committed ones are waited for and results are written.
    pub fn stop(&self, reason: RunReason, message: impl Into<String>) {
        self.pull(Position::Stop, reason, message.into());
    }

    /// As `stop`, but committed chunks are aborted too.
    pub fn stop_now(&self, reason: RunReason, message: impl Into<String>) {
        self.pull(Position::StopNow, reason, message.into());
    }

    /// The current write-ahead step is finished; then everything is left to another attempt.
    pub fn interrupt(&self, message: impl Into<String>) {
        self.pull(Position::Interrupt, RunReason::Interrupted, message.into());
    }

    pub(crate) fn fence(&self) {
        self.pull(
            Position::Fenced,
            RunReason::Interrupted,
            "the keeper does not know this pod as the current worker of its run any more".into(),
        );
    }

    fn pull(&self, to: Position, reason: RunReason, message: String) {
        let mut kept = self.0.reason.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.is_none() || to >= Position::Interrupt {
            *kept = Some((reason, message));
        }
        drop(kept);
        self.0.position.send_if_modified(|now| std::mem::replace(now, to.max(*now)) < to);
    }

    /// Whether the run is being stopped: rows should no longer be read.
    pub fn is_raised(&self) -> bool {
        *self.0.position.borrow() > Position::Go
    }

    pub(crate) fn directive(&self) -> Directive {
        match *self.0.position.borrow() {
            Position::Go => Directive::Continue,
            Position::Stop => Directive::Stop,
            _ => Directive::StopNow,
        }
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        *self.0.position.borrow() >= Position::Interrupt
    }

    pub(crate) fn is_fenced(&self) -> bool {
        *self.0.position.borrow() == Position::Fenced
    }

    /// Returns once the run is to be left to another attempt.
    pub async fn interrupted(&self) {
        let mut position = self.0.position.subscribe();
        // Cannot fail: the sender is ours.
        let _ = position.wait_for(|now| *now >= Position::Interrupt).await;
    }

    /// Returns once even committed chunks are not waited for.
    pub(crate) async fn must_end(&self) {
        let mut position = self.0.position.subscribe();
        let _ = position.wait_for(|now| *now >= Position::StopNow).await;
    }

    /// Returns once rows should no longer be read.
    pub async fn raised(&self) {
        let mut position = self.0.position.subscribe();
        let _ = position.wait_for(|now| *now > Position::Go).await;
    }

    /// Why the run is stopped, if it is.
    pub fn reason(&self) -> Option<(RunReason, String)> {
        self.0.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_stays_and_the_position_only_rises() {
        let stop_signal = StopSignal::default();
        assert_eq!(stop_signal.directive(), Directive::Continue);
        stop_signal.stop_now(RunReason::Deadline, "late");
        stop_signal.stop(RunReason::Cancelled, "asked");
        assert_eq!(stop_signal.directive(), Directive::StopNow);
        assert_eq!(stop_signal.reason().unwrap().0, RunReason::Deadline);
    }

    #[test]
    fn an_interruption_outranks_every_reason() {
        let stop_signal = StopSignal::default();
        stop_signal.stop(RunReason::Cancelled, "asked");
        stop_signal.interrupt("the node is drained");
        assert!(stop_signal.is_interrupted() && !stop_signal.is_fenced());
        assert_eq!(stop_signal.reason().unwrap().0, RunReason::Interrupted);
    }

    #[tokio::test]
    async fn a_waiting_task_is_woken() {
        let stop_signal = StopSignal::default();
        let waiting = tokio::spawn({
            let stop_signal = stop_signal.clone();
            async move { stop_signal.interrupted().await }
        });
        tokio::task::yield_now().await;
        stop_signal.stop(RunReason::Cancelled, "asked");
        stop_signal.interrupt("term");
        waiting.await.unwrap();
    }
}
