//! How much the keeper dials for one tenant, and for all: a verification goes wherever a Connection says, so without a limit whoever writes
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

/// What every tenant has under way and has had lately.
#[derive(Debug, Default)]
pub struct Budget {
    tenants: BTreeMap<String, Share>,
    running: usize,
}

#[derive(Debug, Default)]
struct Share {
    running: usize,
    /// When those of the last minute began.
    begun: VecDeque<Timestamp>,
}

impl Budget {
    /// Whether one more may begin now; if so it has begun.
    pub fn begin(&mut self, tenant: &str, now: Timestamp) -> bool {
        self.tenants.retain(|_, share| {
            while share.begun.front().is_some_and(|at| now.duration_since(*at) >= MINUTE) {
                share.begun.pop_front();
            }
            share.running > 0 || !share.begun.is_empty()
        });
        if self.running >= OF_ALL_AT_ONCE {
            return false;
        }
        let share = self.tenants.entry(tenant.to_owned()).or_default();
        if share.running >= AT_ONCE || share.begun.len() >= A_MINUTE {
            return false;
        }
        share.running += 1;
        share.begun.push_back(now);
        self.running += 1;
        true
    }

    pub fn end(&mut self, tenant: &str) {
        if let Some(share) = self.tenants.get_mut(tenant) {
            share.running = share.running.saturating_sub(1);
        }
        self.running = self.running.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_tenant_has_two_at_once_and_thirty_a_minute_and_takes_none_from_another() {
        let mut budget = Budget::default();
        assert!(budget.begin("acme", at(0)) && budget.begin("acme", at(0)));
        assert!(!budget.begin("acme", at(0)), "a third at once");
        assert!(budget.begin("globex", at(0)), "another tenant has its own");
        budget.end("acme");
        budget.end("acme");
        for second in 1..=28 {
            assert!(budget.begin("acme", at(second)), "{second}");
            budget.end("acme");
        }
        assert!(!budget.begin("acme", at(59)), "the thirty-first within a minute");
        assert!(budget.begin("acme", at(60)), "the first ones are a minute ago");
    }

    #[test]
    fn all_together_leave_the_keeper_hands_for_other_work() {
        let mut budget = Budget::default();
        let begun = (0..100).filter(|number| budget.begin(&format!("tenant-{number}"), at(0))).count();
        assert_eq!(begun, OF_ALL_AT_ONCE);
        budget.end("tenant-0");
        assert!(budget.begin("tenant-99", at(0)));
    }

    #[test]
    fn who_dialed_a_minute_ago_is_forgotten() {
        let mut budget = Budget::default();
        assert!(budget.begin("acme", at(0)));
        budget.end("acme");
        assert!(budget.begin("globex", at(60)));
        assert_eq!(budget.tenants.keys().collect::<Vec<_>>(), ["globex"]);
    }
}
