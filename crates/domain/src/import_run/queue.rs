//! Whose turn it is. A run holds one of its tenant's places from its first attempt to its end, and for as long as a pod of it is there; so a
//! pod is never made only to be refused. Where a region has fewer places than its tenants may take, the next one goes to the tenant
//! that has the fewest, so that nobody waits behind a neighbour's hundred runs. Within a tenant the oldest goes first.

use std::collections::{BTreeMap, VecDeque};

use api::Uid;
use api::reasons::import_run as reasons;
use jiff::Timestamp;

use crate::finding::Finding;

/// A run that could start now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Waiting {
    /// UID of the run.
    pub uid: Uid,
    /// Name of the Tenant.
    pub tenant: String,
    /// The tenant's.
    pub region: String,
    /// Creation, then name, which tells apart those of the same second.
    pub since: (Timestamp, String),
}

/// Places that are taken, and how many there are.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Places {
    /// By name of the Tenant. One that is absent has no place.
    pub tenants: BTreeMap<String, Share>,
    /// Regions with a limit of their own.
    pub regions: BTreeMap<String, Share>,
}

/// How much of something is taken.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Share {
    /// How many places are taken.
    pub taken: usize,
    /// How many places there are.
    pub limit: usize,
}

impl Share {
    fn is_full(self) -> bool {
        self.taken >= self.limit
    }
}

impl Places {
    fn of(&self, waiting: &Waiting) -> Share {
        self.tenants.get(&waiting.tenant).copied().unwrap_or_default()
    }

    fn is_free_for(&self, waiting: &Waiting) -> bool {
        !self.of(waiting).is_full() && self.regions.get(&waiting.region).is_none_or(|region| !region.is_full())
    }

    fn take(&mut self, waiting: &Waiting) {
        self.tenants.entry(waiting.tenant.clone()).or_default().taken += 1;
        if let Some(region) = self.regions.get_mut(&waiting.region) {
            region.taken += 1;
        }
    }
}

/// Gives the free places away. Answers whose turn it is, in that order; `places` are those that are left.
pub fn deal<'a>(waiting: impl IntoIterator<Item = &'a Waiting>, places: &mut Places) -> Vec<&'a Waiting> {
    let mut queues: BTreeMap<&str, Vec<&Waiting>> = BTreeMap::new();
    for run in waiting {
        queues.entry(&run.tenant).or_default().push(run);
    }
    let mut queues: Vec<VecDeque<&Waiting>> = queues
        .into_values()
        .map(|mut queue| {
            queue.sort_by(|a, b| a.since.cmp(&b.since));
            queue.into()
        })
        .collect();
    let mut turns = Vec::new();
    loop {
        let heads = queues.iter_mut().filter(|queue| queue.front().is_some_and(|run| places.is_free_for(run)));
        let next = heads.min_by_key(|queue| queue.front().map(|run| (places.of(run).taken, run.since.clone())));
        let Some(run) = next.and_then(VecDeque::pop_front) else { return turns };
        places.take(run);
        turns.push(run);
    }
}

/// Why it is not this run's turn. The words stay the same while nothing changes but its place in the line: saying that would be a write for
/// every run that waits whenever one starts.
pub fn waits(run: &Waiting, places: &Places) -> Finding {
    let (tenant, region) = (places.of(run), places.regions.get(&run.region).copied());
    let words = match region {
        _ if tenant.is_full() => format!(
            "Tenant {} has {} runs under way and its limit is {} (limits.concurrentRuns): this one waits for its turn",
            run.tenant, tenant.taken, tenant.limit
        ),
        Some(region) if region.is_full() => format!(
            "Region {} has {} runs under way and its limit is {} (workers.concurrentRuns): tenants take turns, this run waits for its own",
            run.region, region.taken, region.limit
        ),
        _ => format!("runs of Tenant {} that came earlier go first", run.tenant),
    };
    Finding::waiting(reasons::QUEUED, words)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::testing::uid;

    fn run(tenant: usize, number: usize) -> Waiting {
        Waiting {
            uid: uid(&format!("{tenant}-{number}")),
            tenant: format!("t{tenant}"),
            region: "eu".into(),
            since: (Timestamp::from_second(i64::try_from(number).unwrap()).unwrap(), String::new()),
        }
    }

    fn places(limits: &[usize], region: Option<usize>) -> Places {
        let share = |limit| Share { taken: 0, limit };
        Places {
            tenants: limits.iter().enumerate().map(|(tenant, limit)| (format!("t{tenant}"), share(*limit))).collect(),
            regions: region.map(|limit| ("eu".to_owned(), share(limit))).into_iter().collect(),
        }
    }

    fn uids(turns: &[&Waiting]) -> Vec<String> {
        turns.iter().map(|run| run.uid.to_string()).collect()
    }

    #[test]
    fn two_tenants_share_a_short_region_however_many_runs_one_of_them_has() {
        let waiting: Vec<Waiting> = (0..100).map(|n| run(0, n)).chain((100..103).map(|n| run(1, n))).collect();
        let mut places = places(&[50, 50], Some(4));
        assert_eq!(uids(&deal(&waiting, &mut places)), ["0-0", "1-100", "0-1", "1-101"]);
        assert!(waits(&waiting[2], &places).message.contains("Region eu has 4 runs under way and its limit is 4"));
    }

    #[test]
    fn a_tenant_that_has_all_it_may_have_is_told_so() {
        let waiting = [run(0, 1), run(0, 2)];
        let mut places = places(&[1], None);
        assert_eq!(uids(&deal(&waiting, &mut places)), ["0-1"]);
        assert!(waits(&waiting[1], &places).message.contains("Tenant t0 has 1 runs under way and its limit is 1"));
    }

    /// What happens in a region over time: runs come, start when it is their turn, and end.
    #[derive(Clone, Debug)]
    enum Step {
        Come(usize),
        /// Of those under way, this one ends.
        End(usize),
        Limit(usize, usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0..4_usize).prop_map(Step::Come),
            3 => any::<usize>().prop_map(Step::End),
            1 => (0..4_usize, 0..4_usize).prop_map(|(tenant, limit)| Step::Limit(tenant, limit)),
        ];
        proptest::collection::vec(step, 1..120)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn nobody_gets_more_than_allowed_and_no_free_place_stays_empty(steps in steps(), region in proptest::option::of(1..6_usize)) {
            let mut limits = vec![2, 2, 2, 2];
            let (mut waiting, mut under_way): (Vec<Waiting>, Vec<Waiting>) = (Vec::new(), Vec::new());
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Come(tenant) => waiting.push(run(tenant, number)),
                    Step::End(which) if !under_way.is_empty() => { under_way.remove(which % under_way.len()); }
                    Step::End(_) => {}
                    Step::Limit(tenant, limit) => limits[tenant] = limit,
                }
                let mut now = places(&limits, region);
                under_way.iter().for_each(|run| now.take(run));
                let before = now.clone();
                let turns: Vec<Waiting> = deal(&waiting, &mut now).into_iter().cloned().collect();
                let given: BTreeSet<Uid> = turns.iter().map(|run| run.uid.clone()).collect();
                prop_assert_eq!(given.len(), turns.len(), "no run twice");
                waiting.retain(|run| !given.contains(&run.uid));
                for (tenant, share) in &now.tenants {
                    let gave = turns.iter().any(|run| run.tenant == *tenant);
                    prop_assert!(!gave || share.taken <= share.limit, "{} has {:?}", tenant, share);
                }
                for (name, share) in &now.regions {
                    prop_assert!(turns.is_empty() || share.taken <= share.limit, "{} has {:?}", name, share);
                }
                for left in &waiting {
                    prop_assert!(!now.is_free_for(left), "{} could have gone", left.uid);
                    prop_assert!(!turns.iter().any(|run| run.tenant == left.tenant && run.since > left.since), "a younger one went first");
                    // In a full region no tenant has got a place while one that waits, and may have more, had fewer.
                    let last = turns.iter().rev().find(|run| run.tenant != left.tenant);
                    if let Some(last) = last.filter(|_| !now.of(left).is_full()) {
                        let had = now.of(last).taken - 1;
                        prop_assert!(had <= now.of(left).taken, "{:?} before {:?}: {:?} {:?}", last, left, before, now);
                    }
                }
                under_way.extend(turns);
            }
        }

        /// While runs end, everyone who waits gets a turn, whatever others bring.
        #[test]
        fn nobody_starves(others in 1..4_usize, region in 1..4_usize, flood in 1..4_usize) {
            let mut waiting: Vec<Waiting> = vec![run(0, 0), run(0, 1), run(0, 2)];
            let mut under_way: VecDeque<Waiting> = VecDeque::new();
            let mut number = 10;
            for _ in 0..4 * (others + 1) * (region + 1) {
                for tenant in 1..=others {
                    for _ in 0..flood {
                        waiting.push(run(tenant, number));
                        number += 1;
                    }
                }
                let mut now = places(&[9, 9, 9, 9], Some(region));
                under_way.iter().for_each(|run| now.take(run));
                let turns: Vec<Waiting> = deal(&waiting, &mut now).into_iter().cloned().collect();
                waiting.retain(|run| !turns.contains(run));
                under_way.extend(turns);
                under_way.pop_front();
            }
            prop_assert!(!waiting.iter().any(|run| run.tenant == "t0"), "{:?}", under_way);
        }
    }
}
