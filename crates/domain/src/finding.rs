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

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    pub standing: Standing,
    pub reason: &'static str,
    pub message: String,
    /// Look again after this time even if nothing happens.
    pub next: Option<Duration>,
}

impl Finding {
    pub fn ready(reason: &'static str, message: impl Into<String>) -> Self {
        Self { standing: Standing::Ready, reason, message: message.into(), next: None }
    }

    pub fn progressing(reason: &'static str, message: impl Into<String>) -> Self {
        Self { standing: Standing::Progressing, reason, message: message.into(), next: None }
    }

    pub fn waiting(reason: &'static str, message: impl Into<String>) -> Self {
        Self { standing: Standing::Waiting, reason, message: message.into(), next: None }
    }

    pub fn stalled(reason: &'static str, message: impl Into<String>) -> Self {
        Self { standing: Standing::Stalled, reason, message: message.into(), next: None }
    }

    pub fn again_in(mut self, next: Duration) -> Self {
        self.next = Some(self.next.map_or(next, |sooner| sooner.min(next)));
        self
    }

    pub fn mark(&self, conditions: Conditions) -> Conditions {
        match self.standing {
            Standing::Ready => conditions.ready(self.reason, &self.message),
            Standing::Progressing => conditions.progressing(self.reason, &self.message),
            Standing::Waiting => conditions.waiting(self.reason, &self.message),
            Standing::Stalled => conditions.stalled(self.reason, &self.message),
        }
    }
}
