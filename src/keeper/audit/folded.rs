//! Refusals of callers nobody knows: each gets a line while they are few, and a flood of them a line a minute for each kind. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::chain::Event;

/// What is more than a few is told at the end of this.
const WINDOW: Duration = Duration::from_secs(60);
/// Refusals of a window that get a line each.
const BURST: u32 = 30;
/// Kinds of refusals that are told apart when there are more; those beyond are told together.
const KINDS: usize = 32;

/// What has been told lately, and what was counted and not told yet, for each region.
#[derive(Default)]
pub(crate) struct Folded(BTreeMap<String, Region>);

struct Region {
    since: Instant,
    told: u32,
    counted: BTreeMap<String, (Event, u64)>,
}

impl Folded {
    /// What is to be written now about a refusal. `kind`: what makes two alike.
    pub(crate) fn take(&mut self, region: &str, kind: &str, event: Event, now: Instant) -> Option<Event> {
        let fresh = || Region { since: now, told: 0, counted: BTreeMap::new() };
        let known = self.0.entry(region.to_owned()).or_insert_with(fresh);
        if known.counted.is_empty() && now.saturating_duration_since(known.since) >= WINDOW {
            *known = fresh();
        }
        if known.told < BURST {
            known.told += 1;
            return Some(event);
        }
        let room = known.counted.len() < KINDS || known.counted.contains_key(kind);
        let (kind, event) = if room { (kind, event) } else { ("", Event::new("RefusedOtherwise")) };
        known.counted.entry(kind.to_owned()).or_insert((event, 0)).1 += 1;
        None
    }

    /// What was counted in windows that are over, with the region it is for.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<(String, Event)> {
        let mut due = Vec::new();
        self.0.retain(|name, region| {
            let over = now.saturating_duration_since(region.since) >= WINDOW;
            if over {
                let counted = std::mem::take(&mut region.counted).into_values();
                due.extend(counted.map(|(event, count)| (name.clone(), event.with("count", count))));
            }
            !over
        });
        due
    }

    /// What is left, before the process ends.
    pub(crate) fn rest(&mut self, now: Instant) -> Vec<(String, Event)> {
        self.due(now + WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> Event {
        Event::new("GatewayRefused")
    }

    #[test]
    fn a_few_are_told_each_and_a_flood_at_the_end_of_its_minute() {
        let (mut folded, start) = (Folded::default(), Instant::now());
        let at_once = (0..10_000).filter_map(|_| folded.take("eu", "token", refused(), start)).count();
        assert_eq!(at_once, BURST as usize);
        assert!(folded.due(start + WINDOW / 2).is_empty());
        let due = folded.due(start + WINDOW);
        assert_eq!(due.len(), 1);
        assert!(format!("{:?}", due[0].1).contains("9970"));
        assert!(folded.due(start + WINDOW * 2).is_empty(), "nothing more came");
        assert!(folded.take("eu", "token", refused(), start + WINDOW).is_some(), "a new minute");
    }

    #[test]
    fn a_flood_of_many_kinds_is_bounded_too_and_hides_nothing_of_another_region() {
        let (mut folded, start) = (Folded::default(), Instant::now());
        let at_once = (0..10_000).filter_map(|n| folded.take("eu", &n.to_string(), refused(), start)).count();
        assert_eq!(at_once, BURST as usize);
        assert!(folded.take("us", "token", refused(), start).is_some());
        assert_eq!(folded.rest(start).len(), KINDS + 1, "those beyond are told together");
    }
}
