//! What a rule says: how the object stands, why in one word and in a sentence, and when to look again.

use std::time::Duration;

use api::conditions::Conditions;

/// In the words of kstatus.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// Done and good.
    Ready,
    /// Working on it.
    Progressing,
    /// Not good now; gets better without anybody touching this object.
    Waiting,
    /// Gets better only when somebody changes something.
    Stalled,
}

/// What a rule found about an object: it becomes the object's conditions `Ready`, `Reconciling` and `Stalled`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// Which of these conditions are true.
    pub standing: Standing,
    /// Reason of the conditions: a word of the kind's list in `api::reasons`.
    pub reason: &'static str,
    /// Message of the conditions: what is so, and what somebody has to do about it.
    pub message: String,
    /// Look again after this time even if nothing happens.
    pub next: Option<Duration>,
}

impl Finding {
    /// All is as it should be.
    pub fn ready(reason: &'static str, message: impl Into<String>) -> Self {
        Self { standing: Standing::Ready, reason, message: message.into(), next: None }
    }

    /// The operator or the keeper is at work on it; it gets ready without anybody's help.
    pub fn progressing(reason: &'static str, message: impl Into<String>) -> Self {
        Self { standing: Standing::Progressing, reason, message: message.into(), next: None }
    }

    /// It waits for something outside of it, which may come by itself.
    pub fn waiting(reason: &'static str, message: impl Into<String>) -> Self {
        Self { standing: Standing::Waiting, reason, message: message.into(), next: None }
    }

    /// It stays as it is until somebody changes something.
    pub fn stalled(reason: &'static str, message: impl Into<String>) -> Self {
        Self { standing: Standing::Stalled, reason, message: message.into(), next: None }
    }

    /// Looks again after `next`, or sooner if the finding says so already.
    pub fn again_in(mut self, next: Duration) -> Self {
        self.next = Some(self.next.map_or(next, |sooner| sooner.min(next)));
        self
    }

    /// Writes the finding into the conditions of a status.
    pub fn mark(&self, conditions: Conditions) -> Conditions {
        match self.standing {
            Standing::Ready => conditions.ready(self.reason, &self.message),
            Standing::Progressing => conditions.progressing(self.reason, &self.message),
            Standing::Waiting => conditions.waiting(self.reason, &self.message),
            Standing::Stalled => conditions.stalled(self.reason, &self.message),
        }
    }
}
