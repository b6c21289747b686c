//! An account that may ask for new keys asks as often as it likes: the ring stays a record of bounded size, and everything sealed opens.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::{KeyState, Observed, Policy, RootRing, Step, TenantRing};
use crate::context::EncryptionContext;
use crate::context::samples::{context, scope};
use crate::header::{Header, Purpose};
use crate::keys::Kid;
use crate::root::SecretRoot;

/// A Kubernetes Secret holds a MiB; a ring stays far below.
const BYTES_AT_MOST: usize = 64 << 10;
const OBJECTS: usize = 6;

/// A look of the keeper: so long after the last one, with a request so far from the present.
#[derive(Clone, Copy, Debug)]
struct Look {
    after: SignedDuration,
    requested: SignedDuration,
    /// Records that are sealed again at this look; none while that is held up.
    reseals: usize,
}

struct Keeper {
    now: Timestamp,
    rng: StdRng,
    root: SecretRoot,
    ring: TenantRing,
    records: Vec<Vec<u8>>,
    made: usize,
}

fn object(number: usize) -> EncryptionContext {
    EncryptionContext { name: format!("connection-{number}"), ..context() }
}

impl Keeper {
    fn begin() -> Self {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut rng = StdRng::seed_from_u64(7);
        let root = SecretRoot::new(RootRing::begin(&mut rng, now));
        let ring = TenantRing::begin_under(&scope(), &root, &mut rng, now).unwrap();
        let mut keeper = Self { now, rng, root, ring, records: Vec::new(), made: 1 };
        for number in 0..OBJECTS {
            let opened = keeper.ring.unlock_under(&scope(), &keeper.root).ok().unwrap();
            keeper.records.push(opened.seal(Purpose::Credential, 1, &object(number), b"secret", &mut keeper.rng).unwrap());
        }
        keeper
    }

    fn under(&self) -> BTreeMap<Kid, u64> {
        let mut counts = BTreeMap::new();
        for record in &self.records {
            *counts.entry(Header::parse(record).unwrap().kid).or_default() += 1;
        }
        counts
    }

    /// As the keeper does: one step a write, each decided anew.
    fn look(&mut self, look: Look) {
        self.now += look.after;
        let requested = Some(self.now + look.requested);
        let mut reseals = look.reseals;
        for _ in 0..4 {
            let observed = Observed { records: self.under(), requested };
            for step in self.ring.decide(&Policy::TENANT, &observed, self.now) {
                match step {
                    Step::Create => {
                        self.ring.create_under(&scope(), &self.root, &mut self.rng, self.now).unwrap();
                        self.made += 1;
                    }
                    Step::Promote(kid) => self.ring.promote(kid, self.now).unwrap(),
                    Step::Settle(kid) => self.ring.settle(kid, self.now).unwrap(),
                    Step::Destroy(kid) => self.ring.destroy(kid, self.now).unwrap(),
                    Step::Reseal(kid) => {
                        for number in 0..OBJECTS {
                            if reseals > 0 && Header::parse(&self.records[number]).unwrap().kid == kid {
                                let opened = self.ring.unlock_under(&scope(), &self.root).ok().unwrap();
                                let again = opened.reseal(Purpose::Credential, &object(number), &self.records[number], &mut self.rng);
                                self.records[number] = again.unwrap();
                                reseals -= 1;
                            }
                        }
                    }
                }
            }
        }
    }

    fn holds(&self) {
        let json = self.ring.to_json();
        assert!(json.len() <= BYTES_AT_MOST, "the ring has {} bytes", json.len());
        let stored = TenantRing::from_json(&json, "secret").expect("the stored ring is valid");
        let opened = stored.unlock_under(&scope(), &self.root).unwrap_or_else(|error| panic!("the stored ring does not open: {error}"));
        for (number, record) in self.records.iter().enumerate() {
            assert_eq!(*opened.open(Purpose::Credential, &object(number), record).expect("a record opens").plaintext, b"secret");
        }
        assert_eq!(self.ring.entries().filter(|entry| entry.state() == KeyState::Active).count(), 1);
    }
}

fn looks() -> impl Strategy<Value = Vec<Look>> {
    let after = prop_oneof![0..5_i64, 0..7_200_i64, 0..5_000_000_i64];
    let requested = prop_oneof![-10..10_i64, Just(2_000_000_000), -100_000_000..0_i64];
    let look = (after, requested, 0..OBJECTS + 1).prop_map(|(after, requested, reseals)| Look {
        after: SignedDuration::from_secs(after),
        requested: SignedDuration::from_secs(requested),
        reseals,
    });
    prop::collection::vec(look, 1..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn however_keys_are_asked_for_the_ring_stays_small_and_everything_opens(looks in looks()) {
        let mut keeper = Keeper::begin();
        for look in looks {
            keeper.look(look);
            keeper.holds();
        }
    }
}

/// One request a minute for a day: a handful of keys.
#[test]
fn a_request_every_minute_makes_a_handful_of_keys_a_day() {
    let mut keeper = Keeper::begin();
    for _ in 0..24 * 60 {
        let every = SignedDuration::from_secs(60);
        keeper.look(Look { after: every, requested: SignedDuration::ZERO, reseals: OBJECTS });
    }
    keeper.holds();
    assert!((3..=6).contains(&keeper.made), "{} keys were made", keeper.made);
}

/// Always in the future, as somebody writes who wants keys "for ever".
#[test]
fn a_request_that_stays_in_the_future_makes_none() {
    let mut keeper = Keeper::begin();
    for _ in 0..500 {
        keeper.look(Look { after: SignedDuration::from_secs(5), requested: SignedDuration::from_hours(1), reseals: OBJECTS });
    }
    assert_eq!(keeper.made, 1);
}
