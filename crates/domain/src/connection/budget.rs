//! How much the keeper dials for one tenant, and for all: a verification goes wherever a Connection says, so without a limit a person who writes
//! Connections has a scanner, and systems that do not answer take the keeper's time from everybody else.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

/// Verifications of one tenant under way at the same time.
pub const AT_ONCE: usize = 2;
/// Verifications of one tenant that begin within a minute.
pub const A_MINUTE: usize = 30;
/// Verifications of all tenants under way at the same time: fewer than the keeper has hands.
const OF_ALL_AT_ONCE: usize = 24;

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// What every tenant has under way and has had lately, and who had to wait. `K` names a Connection.
#[derive(Debug)]
pub struct Budget<K> {
    tenants: BTreeMap<String, Share>,
    running: usize,
    /// By tenant, in the order in which they came.
    waiting: BTreeMap<String, VecDeque<K>>,
}

impl<K> Default for Budget<K> {
    fn default() -> Self {
        Self { tenants: BTreeMap::new(), running: 0, waiting: BTreeMap::new() }
    }
}

#[derive(Debug, Default)]
struct Share {
    running: usize,
    /// When those of the last minute began.
    begun: VecDeque<Timestamp>,
}

impl<K: PartialEq> Budget<K> {
    /// Whether one more may begin now; if so it has begun, and if not it is among those that `end` names.
    pub fn begin(&mut self, tenant: &str, who: K, now: Timestamp) -> bool {
        self.tenants.retain(|_, share| {
            while share.begun.front().is_some_and(|at| now.duration_since(*at) >= MINUTE) {
                share.begun.pop_front();
            }
            share.running > 0 || !share.begun.is_empty()
        });
        let share = self.tenants.get(tenant);
        let at_once = self.running < OF_ALL_AT_ONCE && share.is_none_or(|share| share.running < AT_ONCE);
        if at_once && share.is_none_or(|share| share.begun.len() < A_MINUTE) {
            self.stops_waiting(tenant, &who);
            let share = self.tenants.entry(tenant.to_owned()).or_default();
            share.running += 1;
            share.begun.push_back(now);
            self.running += 1;
            return true;
        }
        // Who used the minute up waits for the clock, not for somebody's end.
        self.stops_waiting(tenant, &who);
        if !at_once {
            self.waiting.entry(tenant.to_owned()).or_default().push_back(who);
        }
        false
    }

    fn stops_waiting(&mut self, tenant: &str, who: &K) {
        let Some(waiting) = self.waiting.get_mut(tenant) else { return };
        waiting.retain(|other| other != who);
        if waiting.is_empty() {
            self.waiting.remove(tenant);
        }
    }

    /// Answers who may try again, because one has ended: of this tenant, and of others if none of them could begin.
    pub fn end(&mut self, tenant: &str) -> Vec<K> {
        let was_full = self.running >= OF_ALL_AT_ONCE;
        if let Some(share) = self.tenants.get_mut(tenant) {
            share.running = share.running.saturating_sub(1);
        }
        self.running = self.running.saturating_sub(1);
        let mut next = self.waiting.get_mut(tenant).map(|waiting| first(waiting, AT_ONCE)).unwrap_or_default();
        if was_full {
            let others = self.waiting.iter_mut().filter(|(other, _)| *other != tenant);
            next.extend(others.flat_map(|(_, waiting)| first(waiting, 1)));
        }
        self.waiting.retain(|_, waiting| !waiting.is_empty());
        next
    }
}

fn first<K>(waiting: &mut VecDeque<K>, count: usize) -> Vec<K> {
    waiting.drain(..count.min(waiting.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_tenant_has_two_at_once_and_thirty_a_minute_and_takes_none_from_another() {
        let mut budget = Budget::<usize>::default();
        assert!(budget.begin("acme", 1, at(0)) && budget.begin("acme", 1, at(0)));
        assert!(!budget.begin("acme", 1, at(0)), "a third at once");
        assert!(budget.begin("globex", 1, at(0)), "another tenant has its own");
        budget.end("acme");
        budget.end("acme");
        for second in 1..=28 {
            assert!(budget.begin("acme", 1, at(second)), "{second}");
            budget.end("acme");
        }
        assert!(!budget.begin("acme", 1, at(59)), "the thirty-first within a minute");
        assert!(budget.begin("acme", 1, at(60)), "the first ones are a minute ago");
    }

    #[test]
    fn all_together_leave_the_keeper_hands_for_other_work() {
        let mut budget = Budget::<usize>::default();
        let begun = (0..100).filter(|number| budget.begin(&format!("tenant-{number}"), 1, at(0))).count();
        assert_eq!(begun, OF_ALL_AT_ONCE);
        budget.end("tenant-0");
        assert!(budget.begin("tenant-99", 1, at(0)));
    }

    #[test]
    fn who_had_to_wait_is_named_when_one_ends_first_come_first_served() {
        let mut budget = Budget::<usize>::default();
        let begun = (0..5).filter(|who| budget.begin("acme", *who, at(0))).count();
        assert_eq!(begun, AT_ONCE);
        assert!(!budget.begin("acme", 2, at(1)), "it tries again and waits behind the others");
        assert!(budget.end("globex").is_empty(), "nobody waits there");
        assert_eq!(budget.end("acme"), [3, 4]);
        assert!(budget.begin("acme", 3, at(2)) && !budget.begin("acme", 4, at(2)));
        assert_eq!(budget.end("acme"), [2, 4]);
        assert!(budget.begin("acme", 2, at(3)), "it has its turn");
        assert!(budget.end("acme").is_empty(), "and is not waited for");
        assert!(budget.waiting.is_empty());
    }

    #[test]
    fn who_waits_because_everybody_dials_is_named_when_anybody_ends() {
        let mut budget = Budget::<usize>::default();
        for number in 0..OF_ALL_AT_ONCE {
            assert!(budget.begin(&format!("tenant-{number}"), number, at(0)));
        }
        assert!(!budget.begin("acme", 100, at(0)) && !budget.begin("globex", 200, at(0)));
        assert_eq!(budget.end("tenant-0"), [100, 200]);
        assert!(budget.end("tenant-1").is_empty());
    }

    #[test]
    fn who_used_up_the_minute_waits_for_the_clock() {
        let mut budget = Budget::<usize>::default();
        for who in 0..A_MINUTE {
            assert!(budget.begin("acme", who, at(0)));
            budget.end("acme");
        }
        assert!(!budget.begin("acme", 100, at(59)));
        assert!(budget.waiting.is_empty());
        assert!(budget.begin("acme", 100, at(60)));
    }

    #[test]
    fn who_dialed_a_minute_ago_is_forgotten() {
        let mut budget = Budget::<usize>::default();
        assert!(budget.begin("acme", 1, at(0)));
        budget.end("acme");
        assert!(budget.begin("globex", 1, at(60)));
        assert_eq!(budget.tenants.keys().collect::<Vec<_>>(), ["globex"]);
    }
}
