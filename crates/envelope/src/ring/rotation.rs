//! What is due in the life of a ring, as a function of the ring, of what was observed, and of the time.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{Entry, KeyState, Ring};
use crate::keys::Kid;

/// How long keys serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// A key that sealed for so long is replaced.
    pub serves: SignedDuration,
    /// How long a keeper may go on with an older ring than the stored one. A new key seals only when every keeper knows it, and an old one is sealed
    /// under until then.
    pub spreads: SignedDuration,
    /// Between the moment every keeper stopped sealing under a key and its destruction: what was being sealed then has been written by now, and counted.
    pub settles: SignedDuration,
    /// No key is made on request when so many were made within a day: a ring is a record of bounded size.
    pub in_a_day: usize,
    /// No key is made beside so many that still open something.
    pub living: usize,
}

const DAY: SignedDuration = SignedDuration::from_hours(24);

impl Policy {
    /// A tenant's keys: 30 days.
    pub const TENANT: Self = Self::serving(30);
    /// Root keys that the keeper makes itself: 90 days.
    pub const ROOT: Self = Self::serving(90);
    /// Keys that credentials are sealed to for Git: each is published for 30 days. What was sealed to it until then is taken in for 60 more, in which
    /// the change that carries it is reviewed, merged and applied; nothing counts as a record under it.
    pub const SEALED: Self = Self { settles: SignedDuration::from_hours(60 * 24), ..Self::serving(30) };

    const fn serving(days: i64) -> Self {
        Self {
            serves: SignedDuration::from_hours(days * 24),
            spreads: SignedDuration::from_secs(10),
            settles: SignedDuration::from_hours(1),
            in_a_day: 4,
            living: 16,
        }
    }
}

/// What the keeper sees before it decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// Records there are under each key of the ring, counted now. A key that is not named has none.
    pub records: BTreeMap<Kid, u64>,
    /// When somebody asked for a new key.
    pub requested: Option<Timestamp>,
}

/// What becomes of a request for a new key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Nobody asked.
    Nothing,
    /// A key was made since.
    Obeyed,
    /// A key is to be made now.
    Due,
    /// Obeyed when its time has come, and not again and again until then.
    InTheFuture,
    /// As many keys were made within a day as may be made on request.
    TooOften {
        /// When the next one may be made.
        not_before: Timestamp,
    },
    /// Too many keys still open something.
    TooMany,
}

/// One thing to do. Steps change the ring one at a time; what follows is decided anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Make a key that waits.
    Create,
    /// Let the waiting key seal.
    Promote(Kid),
    /// Seal the records under this key again, under the active one.
    Reseal(Kid),
    /// Write down that no keeper seals under this key any more: [`Ring::settle`].
    Settle(Kid),
    /// Destroy this key: nothing is left under it.
    Destroy(Kid),
}

impl<M> Ring<M> {
    /// What is due at `now`. Nothing due is the usual answer.
    pub fn decide(&self, policy: &Policy, observed: &Observed, now: Timestamp) -> Vec<Step> {
        let mut steps: Vec<Step> = self.next_key(policy, observed, now).into_iter().collect();
        steps.extend(self.keys.iter().filter_map(|entry| self.farewell(entry, policy, observed, now)));
        steps
    }

    /// Whether something was changed so shortly before `now` that not every keeper knows it: then more is due when they do.
    pub fn spreading(&self, policy: &Policy, now: Timestamp) -> bool {
        let is_new = |at: Timestamp| now.duration_since(at) < policy.spreads;
        self.waiting().is_some() || self.keys.iter().any(|entry| entry.retired.is_some_and(|(at, _)| is_new(at)))
    }

    fn next_key(&self, policy: &Policy, observed: &Observed, now: Timestamp) -> Option<Step> {
        match self.waiting() {
            Some(key) => (now.duration_since(key.created) >= policy.spreads).then_some(Step::Promote(key.kid)),
            None => self.wants_a_key(policy, observed, now).then_some(Step::Create),
        }
    }

    fn wants_a_key(&self, policy: &Policy, observed: &Observed, now: Timestamp) -> bool {
        let Some(active) = self.active() else { return true };
        let served = now.duration_since(active.activated.unwrap_or(active.created));
        let due = served >= policy.serves && !self.is_full(policy);
        due || self.request(policy, observed.requested, now) == Request::Due
    }

    /// What becomes of a request that was made for this time.
    pub fn request(&self, policy: &Policy, requested: Option<Timestamp>, now: Timestamp) -> Request {
        let Some(requested) = requested else { return Request::Nothing };
        if requested > now {
            return Request::InTheFuture;
        }
        let mut made: Vec<Timestamp> = self.keys.iter().map(|entry| entry.created).collect();
        made.sort_unstable_by(|a, b| b.cmp(a));
        if made.first().is_some_and(|newest| *newest >= requested) {
            return Request::Obeyed;
        }
        if self.is_full(policy) {
            return Request::TooMany;
        }
        match made.get(policy.in_a_day - 1).map(|at| *at + DAY).filter(|not_before| *not_before > now) {
            Some(not_before) => Request::TooOften { not_before },
            None => Request::Due,
        }
    }

    fn is_full(&self, policy: &Policy) -> bool {
        self.keys.iter().filter(|entry| entry.state != KeyState::Destroyed).count() >= policy.living
    }

    /// The way out of a key that no longer seals.
    fn farewell(&self, entry: &Entry<M>, policy: &Policy, observed: &Observed, now: Timestamp) -> Option<Step> {
        if !matches!(entry.state, KeyState::DecryptOnly | KeyState::Compromised) {
            return None;
        }
        if observed.records.get(&entry.kid).is_some_and(|count| *count > 0) {
            return self.active().map(|_| Step::Reseal(entry.kid));
        }
        // A keeper that has not read of the retirement seals under the key; what it sealed just before it read of it may not be written yet.
        let (retired, _) = entry.retired?;
        if now.duration_since(retired) < policy.spreads {
            return None;
        }
        match entry.settling_since {
            None => Some(Step::Settle(entry.kid)),
            Some(since) => (now.duration_since(since) >= policy.settles).then_some(Step::Destroy(entry.kid)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy::TENANT;

    fn kid(byte: u8) -> Kid {
        Kid::from_bytes([byte; 16])
    }

    fn hour(hours: i64) -> Timestamp {
        Timestamp::from_second(hours * 3600).unwrap()
    }

    fn seconds_after(hours: i64, seconds: i64) -> Timestamp {
        hour(hours) + SignedDuration::from_secs(seconds)
    }

    fn ring() -> Ring<()> {
        Ring::with_first(kid(1), (), hour(0))
    }

    #[test]
    fn nothing_is_due_while_the_key_serves_its_time() {
        assert_eq!(ring().decide(&POLICY, &Observed::default(), hour(30 * 24 - 1)), []);
        assert_eq!(ring().decide(&POLICY, &Observed::default(), hour(30 * 24)), [Step::Create]);
        assert_eq!(ring().decide(&Policy::ROOT, &Observed::default(), hour(90 * 24 - 1)), []);
        assert_eq!(ring().decide(&Policy::ROOT, &Observed::default(), hour(90 * 24)), [Step::Create]);
    }

    #[test]
    fn a_request_is_answered_once() {
        let mut ring = ring();
        let observed = Observed { requested: Some(hour(5)), ..Observed::default() };
        assert_eq!(ring.decide(&POLICY, &observed, hour(5)), [Step::Create]);
        ring.add(kid(2), (), hour(5)).unwrap();
        assert_eq!(ring.decide(&POLICY, &observed, hour(6)), [Step::Promote(kid(2))]);
        ring.promote(kid(2), hour(6)).unwrap();
        assert_eq!(ring.decide(&POLICY, &observed, hour(6)), []);
    }

    #[test]
    fn a_request_that_lies_in_the_future_waits_for_its_time() {
        let observed = Observed { requested: Some(hour(6)), ..Observed::default() };
        assert_eq!(ring().decide(&POLICY, &observed, hour(5)), []);
        assert_eq!(ring().request(&POLICY, observed.requested, hour(5)), Request::InTheFuture);
        assert_eq!(ring().decide(&POLICY, &observed, hour(6)), [Step::Create]);
    }

    #[test]
    fn requests_make_a_few_keys_a_day_and_none_beside_too_many() {
        let mut ring = ring();
        for (number, hours) in [(2, 1), (3, 2), (4, 3)] {
            assert_eq!(ring.request(&POLICY, Some(hour(hours)), hour(hours)), Request::Due);
            ring.add(kid(number), (), hour(hours)).unwrap();
            ring.promote(kid(number), hour(hours)).unwrap();
        }
        assert_eq!(ring.request(&POLICY, Some(hour(4)), hour(4)), Request::TooOften { not_before: hour(24) });
        assert_eq!(ring.request(&POLICY, Some(hour(4)), hour(24)), Request::Due);
        for number in 5..=16 {
            let day = i64::from(number) * 24;
            ring.add(kid(number), (), hour(day)).unwrap();
            ring.promote(kid(number), hour(day)).unwrap();
        }
        assert_eq!(ring.request(&POLICY, Some(hour(1000)), hour(1000)), Request::TooMany);
        assert!(!ring.decide(&POLICY, &Observed::default(), hour(10_000)).contains(&Step::Create), "nor because it served its time");
        ring.destroy(kid(1), hour(1000)).unwrap();
        assert_eq!(ring.request(&POLICY, Some(hour(1000)), hour(1000)), Request::Due);
    }

    #[test]
    fn a_new_key_seals_when_every_keeper_has_had_the_time_to_read_it() {
        let mut ring = ring();
        ring.add(kid(2), (), hour(720)).unwrap();
        assert_eq!(ring.decide(&POLICY, &Observed::default(), hour(720)), []);
        assert_eq!(ring.decide(&POLICY, &Observed::default(), seconds_after(720, 9)), []);
        assert_eq!(ring.decide(&POLICY, &Observed::default(), seconds_after(720, 10)), [Step::Promote(kid(2))]);
        assert!(ring.spreading(&POLICY, seconds_after(720, 10)), "it is still to be promoted");
        ring.promote(kid(2), seconds_after(720, 10)).unwrap();
        assert!(ring.spreading(&POLICY, seconds_after(720, 19)), "the other one is still to be settled");
        assert!(!ring.spreading(&POLICY, seconds_after(720, 20)));
    }

    #[test]
    fn a_retired_key_goes_when_nothing_is_under_it_and_everybody_knows_for_an_hour() {
        let mut ring = ring();
        ring.add(kid(2), (), hour(720)).unwrap();
        ring.promote(kid(2), hour(721)).unwrap();
        let under_it = |count| Observed { records: [(kid(1), count)].into(), ..Observed::default() };
        assert_eq!(ring.decide(&POLICY, &under_it(3), hour(721)), [Step::Reseal(kid(1))]);
        assert_eq!(ring.decide(&POLICY, &under_it(0), seconds_after(721, 9)), []);
        assert_eq!(ring.decide(&POLICY, &under_it(0), seconds_after(721, 10)), [Step::Settle(kid(1))]);
        ring.settle(kid(1), hour(750)).unwrap();
        assert_eq!(ring.decide(&POLICY, &under_it(0), seconds_after(750, 3599)), []);
        assert_eq!(ring.decide(&POLICY, &under_it(1), hour(751)), [Step::Reseal(kid(1))]);
        assert_eq!(ring.decide(&POLICY, &under_it(0), hour(751)), [Step::Destroy(kid(1))]);
    }

    #[test]
    fn a_compromised_key_is_replaced_at_once_and_its_records_wait_for_the_new_one() {
        let mut ring = ring();
        ring.declare_compromised(kid(1), hour(1)).unwrap();
        let observed = Observed { records: [(kid(1), 9)].into(), ..Observed::default() };
        assert_eq!(ring.decide(&POLICY, &observed, hour(1)), [Step::Create]);
        ring.add(kid(2), (), hour(1)).unwrap();
        assert_eq!(ring.decide(&POLICY, &observed, seconds_after(1, 10)), [Step::Promote(kid(2))]);
        ring.promote(kid(2), seconds_after(1, 10)).unwrap();
        assert_eq!(ring.decide(&POLICY, &observed, seconds_after(1, 10)), [Step::Reseal(kid(1))]);
    }
}
