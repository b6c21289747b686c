//! A year of a region on a fake clock: keepers that load late, a root ring, a tenant ring, records written and read all the time.
//! No read may fail, ever; and the keys must have come and gone as promised.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{KeyRing, KeyState, Observed, Policy, Ring, RootRing, Step, TenantRing};
use crate::context::EncryptionContext;
use crate::context::samples::{context, scope};
use crate::header::{Header, Purpose};
use crate::keys::Kid;
use crate::root::SecretRoot;

const STEP: SignedDuration = SignedDuration::from_mins(30);
const STEPS: u32 = 365 * 48;
const OBJECTS: usize = 12;

/// One keeper: works with what it loaded last, and looks again every so often.
struct Replica {
    name: String,
    root_every: u32,
    ring_every: u32,
    root: SecretRoot,
    root_loaded: u64,
    ring: KeyRing,
    ring_loaded: u64,
}

/// A record sealed but not written yet: the API server took its time.
struct InFlight {
    arrives: Timestamp,
    object: usize,
    record: Vec<u8>,
}

struct Region {
    now: Timestamp,
    /// As long as the slowest keeper goes on with what it loaded.
    spreads: SignedDuration,
    rng: StdRng,
    /// What the Secrets hold. Replicas read it as JSON.
    root: SecretRoot,
    ring: TenantRing,
    replicas: Vec<Replica>,
    records: Vec<Vec<u8>>,
    in_flight: Vec<InFlight>,
    opened: u64,
}

fn object(number: usize) -> EncryptionContext {
    EncryptionContext { name: format!("connection-{number}"), ..context() }
}

fn content(number: usize) -> Vec<u8> {
    format!("password of {number}").into_bytes()
}

fn read_root(root: &SecretRoot) -> SecretRoot {
    SecretRoot::parse(&root.to_json()).expect("the stored root ring is valid")
}

impl Region {
    fn begin(seed: u64, cadence: &[(u32, u32)], spreads: SignedDuration) -> Self {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut rng = StdRng::seed_from_u64(seed);
        let root = SecretRoot::new(RootRing::begin(&mut rng, now));
        let ring = TenantRing::begin_under(&scope(), &root, &mut rng, now).unwrap();
        let replica = |(number, (root_every, ring_every)): (usize, &(u32, u32))| Replica {
            name: format!("keeper-{number}"),
            root_every: *root_every,
            ring_every: *ring_every,
            root: read_root(&root),
            root_loaded: 1,
            ring: ring.unlock_under(&scope(), &root).ok().unwrap(),
            ring_loaded: 1,
        };
        let replicas: Vec<Replica> = cadence.iter().enumerate().map(replica).collect();
        let records = (0..OBJECTS)
            .map(|number| replicas[0].ring.seal(Purpose::Credential, 1, &object(number), &content(number), &mut rng).unwrap())
            .collect();
        Self { now, spreads, rng, root, ring, replicas, records, in_flight: Vec::new(), opened: 0 }
    }

    fn step(&mut self, number: u32) {
        self.now += STEP;
        let now = self.now;
        for InFlight { object, record, .. } in self.in_flight.extract_if(.., |write| write.arrives <= now) {
            self.records[object] = record;
        }
        self.replicas_load(number);
        self.replicas_work();
        self.keeper_rotates_root();
        self.keeper_rotates_ring();
    }

    fn replicas_load(&mut self, step: u32) {
        for replica in &mut self.replicas {
            let revision = self.root.ring().revision();
            if step.is_multiple_of(replica.root_every) && revision > replica.root_loaded {
                replica.root = read_root(&self.root);
                replica.root_loaded = revision;
            }
            let revision = self.ring.revision();
            if step.is_multiple_of(replica.ring_every) && revision > replica.ring_loaded {
                let ring = TenantRing::from_json(&self.ring.to_json(), "secret").expect("the stored ring is valid");
                replica.ring =
                    ring.unlock_under(&scope(), &replica.root).unwrap_or_else(|error| panic!("{} cannot load: {error:?}", replica.name));
                replica.ring_loaded = revision;
            }
        }
    }

    /// Each replica reads one object and now and then writes one; what it writes arrives within the hour that policy grants.
    fn replicas_work(&mut self) {
        for replica in &self.replicas {
            let number = self.rng.random_range(0..OBJECTS);
            let opened = replica.ring.open(Purpose::Credential, &object(number), &self.records[number]);
            let opened = opened.unwrap_or_else(|error| panic!("{} failed to read at {}: {error:?}", replica.name, self.now));
            assert_eq!(*opened.plaintext, content(number));
            self.opened += 1;
            if self.rng.random_ratio(1, 3) {
                let object_number = self.rng.random_range(0..OBJECTS);
                // While a compromised key has no successor yet there is nothing to seal under.
                if let Ok(record) =
                    replica.ring.seal(Purpose::Credential, 1, &object(object_number), &content(object_number), &mut self.rng)
                {
                    self.in_flight.push(InFlight { arrives: self.now + Policy::TENANT.settles, object: object_number, record });
                }
            }
        }
    }

    fn keeper_rotates_root(&mut self) {
        let wrapped = self.ring.wrapped_under().into_iter().map(|(version, count)| (version.parse().unwrap(), count)).collect();
        let (policy, observed) = (Policy { spreads: self.spreads, ..Policy::ROOT }, Observed { records: wrapped, requested: None });
        for step in self.root.ring().decide(&policy, &observed, self.now) {
            match step {
                Step::Create => drop(self.root.ring_mut().create(&mut self.rng, self.now).unwrap()),
                Step::Promote(kid) => self.root.ring_mut().promote(kid, self.now).unwrap(),
                Step::Reseal(_) => assert!(self.ring.rewrap_under(&scope(), &self.root, &mut self.rng).unwrap() > 0),
                Step::Settle(kid) => self.root.ring_mut().settle(kid, self.now).unwrap(),
                Step::Destroy(kid) => self.root.ring_mut().destroy(kid, self.now).unwrap(),
            }
        }
    }

    fn keeper_rotates_ring(&mut self) {
        let policy = Policy { spreads: self.spreads, ..Policy::TENANT };
        let observed = Observed { records: self.records_under(), requested: None };
        for step in self.ring.decide(&policy, &observed, self.now) {
            match step {
                Step::Create => drop(self.ring.create_under(&scope(), &self.root, &mut self.rng, self.now).unwrap()),
                Step::Promote(kid) => self.ring.promote(kid, self.now).unwrap(),
                Step::Reseal(kid) => self.reseal_one(kid),
                Step::Settle(kid) => self.ring.settle(kid, self.now).unwrap(),
                Step::Destroy(kid) => self.ring.destroy(kid, self.now).unwrap(),
            }
        }
    }

    fn records_under(&self) -> BTreeMap<Kid, u64> {
        let mut counts = BTreeMap::new();
        for record in &self.records {
            *counts.entry(Header::parse(record).unwrap().kid).or_default() += 1;
        }
        counts
    }

    /// In the background, not all at once.
    fn reseal_one(&mut self, kid: Kid) {
        let ring = self.ring.unlock_under(&scope(), &self.root).ok().unwrap();
        let number = self.records.iter().position(|record| Header::parse(record).unwrap().kid == kid).unwrap();
        self.records[number] = ring.reseal(Purpose::Credential, &object(number), &self.records[number], &mut self.rng).unwrap();
    }

    fn compromise_active_tenant_key(&mut self) {
        let kid = self.ring.active().unwrap().kid();
        self.ring.declare_compromised(kid, self.now).unwrap();
    }
}

fn count<M>(ring: &Ring<M>, state: KeyState) -> usize {
    ring.entries().filter(|entry| entry.state() == state).count()
}

/// Every key but the last two is gone: the one that seals, and at most one on its way out or in.
fn keys_came_and_went<M>(ring: &Ring<M>, made: std::ops::RangeInclusive<usize>) {
    let all = ring.entries().count();
    assert!(made.contains(&all), "{all} keys were made, not {made:?}");
    assert_eq!(count(ring, KeyState::Active), 1);
    assert!(all - count(ring, KeyState::Destroyed) <= 2, "keys are left over");
}

fn live_a_year(seed: u64, cadence: &[(u32, u32)], spreads: SignedDuration, compromised_at: Option<u32>) {
    let mut region = Region::begin(seed, cadence, spreads);
    for number in 1..=STEPS {
        if compromised_at == Some(number) {
            region.compromise_active_tenant_key();
        }
        region.step(number);
    }
    keys_came_and_went(region.root.ring(), 4..=5);
    keys_came_and_went(&region.ring, 12..=14);
    assert_eq!(region.opened, u64::from(STEPS) * cadence.len() as u64);
    for entry in region.ring.entries().filter(|entry| entry.activated().is_some()) {
        let waited = entry.activated().unwrap().duration_since(entry.created());
        assert!(waited <= spreads + STEP, "key {} waited {waited:?} for its promotion", entry.kid());
    }
}

/// A keeper that looks at every so many steps goes on with what it loaded for as long.
fn slowest(cadence: &[(u32, u32)]) -> SignedDuration {
    STEP * cadence.iter().map(|(root, ring)| *root.max(ring)).max().unwrap() as i32
}

#[test]
fn a_year_with_keepers_that_load_promptly() {
    live_a_year(1, &[(1, 1), (1, 1), (1, 1)], STEP, None);
}

/// What the waiting is worth.
#[test]
#[should_panic(expected = "keeper-1 failed to read")]
fn a_key_that_seals_before_a_late_keeper_has_read_it_cannot_be_read_there() {
    live_a_year(1, &[(1, 1), (1, 39)], STEP, None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn a_year_with_keepers_that_load_late_and_a_key_that_leaks(
        seed in any::<u64>(),
        cadence in prop::collection::vec((1..40u32, 1..40u32), 1..4),
        compromised_at in 1000..STEPS - 2000,
    ) {
        live_a_year(seed, &cadence, slowest(&cadence), Some(compromised_at));
    }
}
