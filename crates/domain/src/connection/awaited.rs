//! Which Connections' source Secrets the keeper asks after between two looks. Nobody may watch a Secret of somebody else, so a Connection that waits for its Secret,
//! for its consent or for a Role would see them a minute late. It is asked after every second at first, and less often when nobody came;
//! all of them together cost the API server the same, however many there are, and no namespace takes the turns of another.

use std::collections::{BTreeMap, VecDeque};

use api::connection::CredentialSource;
use jiff::{SignedDuration, Timestamp};

/// Secrets asked after in one turn, of all namespaces together.
const A_TURN: usize = 20;
/// A turn.
pub const TURN: SignedDuration = SignedDuration::from_secs(1);
/// So long somebody is thought to be at it.
const EAGER: SignedDuration = SignedDuration::from_mins(10);
/// Afterwards it is asked after this often, and the usual look finds it at the latest.
const PATIENT: SignedDuration = SignedDuration::from_secs(15);

/// What was there the last time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Seen {
    /// The Secret, in this version.
    There(String),
    /// There was no Secret of that name.
    Missing,
    /// It may not be read.
    Forbidden,
    /// The Secret, in this version, which may not be deleted.
    Undeletable(String),
}

/// What a Connection waits for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wanted {
    /// Name of the Connection.
    pub name: String,
    /// What it asks for, in its own namespace.
    pub source: CredentialSource,
    /// What its last look found. Asking goes on until something else is there.
    pub seen: Seen,
}

#[derive(Debug)]
struct Entry {
    wanted: Wanted,
    since: Timestamp,
    asked: Timestamp,
}

impl Entry {
    fn due(&self, now: Timestamp) -> bool {
        let pause = if now.duration_since(self.since) < EAGER { SignedDuration::ZERO } else { PATIENT };
        now.duration_since(self.asked) >= pause
    }
}

/// The Connections that wait, with when each was asked after last.
#[derive(Debug, Default)]
pub struct Awaited {
    /// By namespace; who was asked after last stands last.
    namespaces: BTreeMap<String, VecDeque<Entry>>,
    /// The namespace that had the last turn.
    last: String,
}

impl Awaited {
    /// This Connection of the namespace waits. Asking starts over, and is eager again, if it waits for something else than before.
    pub fn expect(&mut self, namespace: &str, wanted: Wanted, now: Timestamp) {
        let entries = self.namespaces.entry(namespace.to_owned()).or_default();
        match entries.iter_mut().find(|entry| entry.wanted.name == wanted.name) {
            // Looked at and found as it was: nobody came.
            Some(entry) if entry.wanted == wanted => {}
            Some(entry) => *entry = Entry { wanted, since: now, asked: now },
            None => entries.push_back(Entry { wanted, since: now, asked: now }),
        }
    }

    /// This Connection of the namespace does not wait any more, or is gone.
    pub fn forget(&mut self, namespace: &str, name: &str) {
        let Some(entries) = self.namespaces.get_mut(namespace) else { return };
        entries.retain(|entry| entry.wanted.name != name);
        if entries.is_empty() {
            self.namespaces.remove(namespace);
        }
    }

    /// Who is asked after now: one of each namespace, again and again.
    pub fn turn(&mut self, now: Timestamp) -> Vec<(String, Wanted)> {
        let mut order: Vec<String> = self.namespaces.range(self.last.clone()..).map(|(name, _)| name.clone()).collect();
        order.extend(self.namespaces.range(..self.last.clone()).map(|(name, _)| name.clone()));
        // Where the last turn ended, the next one begins behind.
        if order.first() == Some(&self.last) {
            order.rotate_left(1);
        }
        let mut left: BTreeMap<String, usize> = self.namespaces.iter().map(|(name, entries)| (name.clone(), entries.len())).collect();
        let mut taken = Vec::new();
        while taken.len() < A_TURN {
            let before = taken.len();
            for namespace in &order {
                let (Some(entries), Some(left)) = (self.namespaces.get_mut(namespace), left.get_mut(namespace)) else { continue };
                if taken.len() < A_TURN
                    && let Some(wanted) = next(entries, left, now)
                {
                    taken.push((namespace.clone(), wanted));
                    self.last.clone_from(namespace);
                }
            }
            if taken.len() == before {
                break;
            }
        }
        taken
    }
}

/// The next that is due of those that were not looked at in this turn, which moves to the end.
fn next(entries: &mut VecDeque<Entry>, left: &mut usize, now: Timestamp) -> Option<Wanted> {
    while *left > 0 {
        *left -= 1;
        let mut entry = entries.pop_front()?;
        let due = entry.due(now);
        let wanted = entry.wanted.clone();
        if due {
            entry.asked = now;
        }
        entries.push_back(entry);
        if due {
            return Some(wanted);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn wanted(name: &str, seen: Seen) -> Wanted {
        Wanted { name: name.into(), source: CredentialSource::of_record(name), seen }
    }

    fn names(turn: Vec<(String, Wanted)>) -> Vec<String> {
        turn.into_iter().map(|(namespace, wanted)| format!("{namespace}/{}", wanted.name)).collect()
    }

    #[test]
    fn who_waits_is_asked_after_every_turn_for_ten_minutes_and_less_often_afterwards() {
        let mut awaited = Awaited::default();
        awaited.expect("acme", wanted("crm", Seen::Missing), at(0));
        let asked = |awaited: &mut Awaited, from: i64, to: i64| (from..to).filter(|second| !awaited.turn(at(*second)).is_empty()).count();
        assert_eq!(asked(&mut awaited, 1, 600), 599);
        assert_eq!(asked(&mut awaited, 600, 1200), 40);
        // The usual look found nothing new.
        awaited.expect("acme", wanted("crm", Seen::Missing), at(1200));
        assert_eq!(asked(&mut awaited, 1200, 1260), 4);
        // Somebody is at it.
        awaited.expect("acme", wanted("crm", Seen::There("7".into())), at(1260));
        assert_eq!(asked(&mut awaited, 1260, 1320), 60);
        awaited.forget("acme", "crm");
        assert_eq!(asked(&mut awaited, 1320, 1400), 0);
        assert!(awaited.namespaces.is_empty());
    }

    #[test]
    fn a_turn_is_bounded_and_no_namespace_takes_the_turns_of_another() {
        let mut awaited = Awaited::default();
        for number in 0..1000 {
            awaited.expect("many", wanted(&format!("c-{number}"), Seen::Missing), at(0));
        }
        awaited.expect("acme", wanted("crm", Seen::Missing), at(0));
        awaited.expect("zeta", wanted("crm", Seen::Missing), at(0));
        let mut seen = std::collections::BTreeSet::new();
        for second in 1..=60 {
            let turn = names(awaited.turn(at(second)));
            assert_eq!(turn.len(), A_TURN);
            assert!(turn.contains(&"acme/crm".to_owned()) && turn.contains(&"zeta/crm".to_owned()), "{turn:?}");
            seen.extend(turn);
        }
        assert_eq!(seen.len(), 1002, "everybody has a turn within a minute");
    }

    #[test]
    fn with_more_namespaces_than_a_turn_has_places_each_has_its_turn() {
        let mut awaited = Awaited::default();
        for number in 0..50 {
            awaited.expect(&format!("n-{number:02}"), wanted("crm", Seen::Forbidden), at(0));
        }
        let seen: std::collections::BTreeSet<String> = (1..=3).flat_map(|second| names(awaited.turn(at(second)))).collect();
        assert_eq!(seen.len(), 50);
    }
}
