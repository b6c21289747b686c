//! `metav1.Condition` lists that keep the kstatus conventions: `Reconciling` and `Stalled` stand only while True and
//! exclude each other, the transition time moves only with the state, the order is stable for people who read it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::text;

/// Of every kind, as kstatus has it: True when the object is as it should be.
pub const READY: &str = "Ready";
/// Of every kind, as kstatus has it: somebody works on the object, or it waits by itself. Stands only while True.
pub const RECONCILING: &str = "Reconciling";
/// Of every kind, as kstatus has it: nothing gets better until somebody changes something. Stands only while True.
pub const STALLED: &str = "Stalled";
/// Of an ImportRun: True when all chunks are done and accounted for, False when it ended otherwise.
pub const SUCCEEDED: &str = "Succeeded";
/// Of an ImportJob: how its last run ended; does not touch `Ready`.
pub const LAST_RUN_SUCCEEDED: &str = "LastRunSucceeded";
/// Of a Region, by the keeper.
pub const STORAGE_READY: &str = "StorageReady";
/// Of a Region, by the keeper: where its root key is.
pub const KEY_CUSTODY: &str = "KeyCustody";
/// Of a Region, by the keeper, while it is so: its machine's clock and the API server's differ too much to serve anything.
pub const CLOCK_SKEW: &str = "ClockSkew";
/// Of a Region, by the keeper, while it is so: files that had their time are still there.
pub const OVERDUE: &str = "Overdue";
/// Of a Region, by the keeper: a chain of the audit is not what was written. Stands only while True.
pub const AUDIT_BROKEN: &str = "AuditBroken";
/// Of a Region: whether what it promises about place can be proved here.
pub const RESIDENCY: &str = "Residency";
/// Of a Tenant, by the keeper.
pub const KEYS_READY: &str = "KeysReady";
/// Of a Tenant: True while objects that others made are found in its run namespace.
pub const FOREIGN_OBJECTS: &str = "ForeignObjects";
/// Of a Tenant or Region, by the keeper, while it is so: a request for new keys is not obeyed.
pub const ROTATION_REFUSED: &str = "RotationRefused";
/// Of a Tenant or Region, by the keeper, while an annotation asks for it: what was kept for the one of before a restore is this one's.
pub const REBOUND: &str = "Rebound";
/// Of a Connection: the source Secret is still readable in the tenant's namespace.
pub const PLAINTEXT_SOURCE: &str = "PlaintextSource";

const TRUE: &str = "True";
const FALSE: &str = "False";
const UNKNOWN: &str = "Unknown";

/// Messages are cut at this many characters: the schema allows more, people read less.
const MESSAGE_LIMIT: usize = 1024;
/// The schema's limit for a reason.
const REASON_LIMIT: usize = 1024;

/// Whether the condition of this type is there and True.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|c| c.status == TRUE)
}

/// Whether the condition of this type is there and False.
pub fn is_false(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|c| c.status == FALSE)
}

/// The condition of this type. A list has one of each at most.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.type_ == type_)
}

/// Builds the next list from the last one; generation and time are given, never read.
pub struct Conditions {
    previous: Vec<Condition>,
    next: Vec<Condition>,
    generation: i64,
    now: Time,
}

impl Conditions {
    /// Begins a list for the spec of `generation`, with nothing of the last one but the times at which its conditions turned.
    pub fn from(previous: &[Condition], generation: Option<i64>, now: jiff::Timestamp) -> Self {
        Self { previous: previous.to_vec(), next: Vec::new(), generation: generation.unwrap_or_default(), now: Time(now) }
    }

    /// Done and good.
    pub fn ready(self, reason: &str, message: &str) -> Self {
        self.with_true(READY, reason, message)
    }

    /// Still working on it.
    pub fn progressing(self, reason: &str, message: &str) -> Self {
        self.set(READY, UNKNOWN, reason, message).with_true(RECONCILING, reason, message)
    }

    /// Not good now, and we keep trying by ourselves.
    pub fn waiting(self, reason: &str, message: &str) -> Self {
        self.set(READY, FALSE, reason, message).with_true(RECONCILING, reason, message)
    }

    /// Will not get better unless somebody changes something.
    pub fn stalled(self, reason: &str, message: &str) -> Self {
        self.set(READY, FALSE, reason, message).with_true(STALLED, reason, message)
    }

    /// Says that the condition of this type is True.
    pub fn with_true(self, type_: &str, reason: &str, message: &str) -> Self {
        self.set(type_, TRUE, reason, message)
    }

    /// Says that the condition of this type is False.
    pub fn with_false(self, type_: &str, reason: &str, message: &str) -> Self {
        self.set(type_, FALSE, reason, message)
    }

    /// Says that the condition of this type is Unknown.
    pub fn with_unknown(self, type_: &str, reason: &str, message: &str) -> Self {
        self.set(type_, UNKNOWN, reason, message)
    }

    /// What was found last time was looked at again and still holds: a user who waits for a word about this generation has it.
    pub fn keep(mut self, type_: &str) -> Self {
        if let Some(kept) = find(&self.previous, type_).cloned() {
            self.put(Condition { observed_generation: Some(self.generation), ..kept });
        }
        self
    }

    fn set(mut self, type_: &str, status: &str, reason: &str, message: &str) -> Self {
        let unchanged = find(&self.previous, type_).filter(|c| c.status == status);
        let last_transition_time = unchanged.map_or_else(|| self.now.clone(), |c| c.last_transition_time.clone());
        self.put(Condition {
            last_transition_time,
            message: text::cut(message, MESSAGE_LIMIT),
            observed_generation: Some(self.generation),
            reason: text::cut(reason, REASON_LIMIT),
            status: status.to_owned(),
            type_: type_.to_owned(),
        });
        self
    }

    fn put(&mut self, condition: Condition) {
        self.next.retain(|c| c.type_ != condition.type_);
        self.next.push(condition);
    }

    /// `Ready` first, then progress, then the rest by name.
    pub fn build(mut self) -> Vec<Condition> {
        let rank = |c: &Condition| match c.type_.as_str() {
            READY => 0,
            RECONCILING | STALLED => 1,
            _ => 2,
        };
        self.next.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.type_.cmp(&b.type_)));
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> jiff::Timestamp {
        jiff::Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn transition_time_moves_only_with_the_status() {
        let first = Conditions::from(&[], Some(1), at(10)).ready("Valid", "armed").build();
        let same = Conditions::from(&first, Some(2), at(20)).ready("Done", "ran once").build();
        assert_eq!(same[0].last_transition_time, Time(at(10)));
        assert_eq!((same[0].reason.as_str(), same[0].observed_generation), ("Done", Some(2)));
        let turned = Conditions::from(&same, Some(2), at(30)).stalled("BadSpec", "no").build();
        assert_eq!(turned[0].last_transition_time, Time(at(30)));
    }

    #[test]
    fn what_is_kept_was_looked_at_again() {
        let first = Conditions::from(&[], Some(1), at(10)).ready("Verified", "as ada").build();
        let kept = Conditions::from(&first, Some(2), at(20)).keep(READY).keep(STALLED).build();
        assert_eq!(kept, [Condition { observed_generation: Some(2), ..first[0].clone() }]);
    }

    #[test]
    fn reconciling_goes_away_once_ready() {
        let working = Conditions::from(&[], Some(1), at(1)).progressing("Starting", "pod").build();
        assert!(is_true(&working, RECONCILING));
        let done = Conditions::from(&working, Some(1), at(2)).ready("Completed", "").build();
        assert!(find(&done, RECONCILING).is_none() && find(&done, STALLED).is_none());
    }

    #[test]
    fn long_messages_are_cut_on_a_character() {
        let done = Conditions::from(&[], Some(1), at(1)).ready("X", &"é".repeat(3000)).build();
        assert_eq!(done[0].message.chars().count(), MESSAGE_LIMIT);
        assert!(done[0].message.ends_with('…'));
    }
}
