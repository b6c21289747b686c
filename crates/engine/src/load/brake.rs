//! How a run is stopped, and why: one place that every part of it looks at.

use std::sync::{Arc, Mutex, PoisonError};

use api::import_run::RunReason;
use tokio::sync::watch;

use super::machine::Will;

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

/// Shared by all who may stop the run. The first reason stays.
#[derive(Clone)]
pub struct Brake(Arc<Shared>);

struct Shared {
    position: watch::Sender<Position>,
    reason: Mutex<Option<(RunReason, String)>>,
}

impl Default for Brake {
    fn default() -> Self {
        Self(Arc::new(Shared { position: watch::Sender::new(Position::Go), reason: Mutex::new(None) }))
    }
}

impl Brake {
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

    /// Whether rows should still be read.
    pub fn is_pulled(&self) -> bool {
        *self.0.position.borrow() > Position::Go
    }

    pub(crate) fn will(&self) -> Will {
        match *self.0.position.borrow() {
            Position::Go => Will::Go,
            Position::Stop => Will::Stop,
            _ => Will::StopNow,
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
    pub async fn pulled(&self) {
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
        let brake = Brake::default();
        assert_eq!(brake.will(), Will::Go);
        brake.stop_now(RunReason::Deadline, "late");
        brake.stop(RunReason::Cancelled, "asked");
        assert_eq!(brake.will(), Will::StopNow);
        assert_eq!(brake.reason().unwrap().0, RunReason::Deadline);
    }

    #[test]
    fn an_interruption_outranks_every_reason() {
        let brake = Brake::default();
        brake.stop(RunReason::Cancelled, "asked");
        brake.interrupt("the node is drained");
        assert!(brake.is_interrupted() && !brake.is_fenced());
        assert_eq!(brake.reason().unwrap().0, RunReason::Interrupted);
    }

    #[tokio::test]
    async fn whoever_waits_is_woken() {
        let brake = Brake::default();
        let waiting = tokio::spawn({
            let brake = brake.clone();
            async move { brake.interrupted().await }
        });
        tokio::task::yield_now().await;
        brake.stop(RunReason::Cancelled, "asked");
        brake.interrupt("term");
        waiting.await.unwrap();
    }
}
