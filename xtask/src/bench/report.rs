//! What was measured and what was wished for, side by side. No bound here fails anything: a missed goal is said, not hidden.

use std::fmt::Write as _;

use serde::Serialize;

use super::figures::Series;
use super::machine::Machine;

#[derive(Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) chapters: Vec<Chapter>,
}

/// What one scenario found.
#[derive(Serialize)]
pub(super) struct Chapter {
    pub(super) scenario: String,
    pub(super) about: String,
    pub(super) figures: Vec<Figure>,
    pub(super) goals: Vec<Goal>,
    pub(super) notes: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct Figure {
    what: String,
    unit: &'static str,
    median: f64,
    min: f64,
    max: f64,
    runs: usize,
}

impl Figure {
    pub(super) fn of(what: &str, unit: &'static str, series: &Series) -> Self {
        Self { what: what.to_owned(), unit, median: series.median(), min: series.min(), max: series.max(), runs: series.len() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Bound {
    fn is_met_by(self, result: f64) -> bool {
        match self {
            Self::AtMost(most) => result <= most,
            Self::AtLeast(least) => result >= least,
        }
    }

    /// By which part of the bound a result misses it.
    fn missed_by(self, result: f64) -> f64 {
        match self {
            Self::AtMost(most) => result / most - 1.0,
            Self::AtLeast(least) => 1.0 - result / least,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtMost(most) => format!("≤ {}", shown(most)),
            Self::AtLeast(least) => format!("≥ {}", shown(least)),
        }
    }
}

#[derive(Serialize)]
pub(super) struct Goal {
    /// As the design numbers them.
    id: &'static str,
    what: String,
    bound: Bound,
    result: f64,
    unit: &'static str,
    met: bool,
}

impl Goal {
    pub(super) fn new(id: &'static str, what: &str, bound: Bound, result: f64, unit: &'static str) -> Self {
        Self { id, what: what.to_owned(), bound, result, unit, met: bound.is_met_by(result) }
    }

    pub(super) fn is_met(&self) -> bool {
        self.met
    }

    pub(super) fn told(&self) -> String {
        format!("{}: {} {}, {} wanted", self.what, shown(self.result), self.unit, self.bound.text())
    }

    fn verdict(&self) -> String {
        if self.met { "met".to_owned() } else { format!("MISSED by {:.0} %", self.bound.missed_by(self.result) * 100.0) }
    }
}

impl Report {
    pub(super) fn text(&self) -> String {
        let mut text = self.machine.text();
        for chapter in &self.chapters {
            chapter.write(&mut text);
        }
        let goals: Vec<&Goal> = self.chapters.iter().flat_map(|chapter| &chapter.goals).collect();
        let missed = goals.iter().filter(|goal| !goal.met).count();
        let _ = writeln!(text, "\ngoals: {} met, {missed} missed", goals.len() - missed);
        text
    }
}

impl Chapter {
    fn write(&self, text: &mut String) {
        let _ = writeln!(text, "\n{}: {}", self.scenario, self.about);
        let width = self.figures.iter().map(|figure| figure.what.chars().count()).max().unwrap_or_default();
        let _ = writeln!(text, "  {:width$}  {:>10} {:>10} {:>10}  {:4}  runs", "", "median", "min", "max", "");
        for Figure { what, unit, median, min, max, runs } in &self.figures {
            let [median, min, max] = [median, min, max].map(|value| shown(*value));
            let _ = writeln!(text, "  {what:width$}  {median:>10} {min:>10} {max:>10}  {unit:4}  {runs}");
        }
        let width = self.goals.iter().map(|goal| goal.what.chars().count()).max().unwrap_or_default();
        for goal in &self.goals {
            let (bound, result) = (goal.bound.text(), shown(goal.result));
            let _ = writeln!(
                text,
                "  {}  {:width$}  goal {bound:>8}  result {result:>8} {:4} {}",
                goal.id,
                goal.what,
                goal.unit,
                goal.verdict()
            );
        }
        for note in &self.notes {
            let _ = writeln!(text, "  note: {note}");
        }
    }
}

/// Three digits that mean something.
fn shown(value: f64) -> String {
    match value.abs() {
        large if large >= 99.95 => format!("{value:.0}"),
        middle if middle >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_met_at_its_bound_and_missed_by_a_part_of_it() {
        let verdict = |bound, result| Goal::new("P1", "x", bound, result, "×").verdict();
        assert_eq!(verdict(Bound::AtMost(3.0), 3.0), "met");
        assert_eq!(verdict(Bound::AtMost(3.0), 3.3), "MISSED by 10 %");
        assert_eq!(verdict(Bound::AtLeast(12.0), 12.0), "met");
        assert_eq!(verdict(Bound::AtLeast(12.0), 6.0), "MISSED by 50 %");
        assert_ne!(verdict(Bound::AtMost(3.0), f64::NAN), "met");
    }

    #[test]
    fn figures_are_shown_with_the_digits_that_count() {
        assert_eq!([0.4567, 9.994, 12.34, 99.96, 1634.2].map(shown), ["0.46", "9.99", "12.3", "100", "1634"]);
    }

    #[test]
    fn goal_and_result_stand_side_by_side() {
        let series: Series = [2.0, 1.0, 4.0].into_iter().collect();
        let chapter = Chapter {
            scenario: "bulk".into(),
            about: "a test".into(),
            figures: vec![Figure::of("wall time", "s", &series)],
            goals: vec![Goal::new("P1", "ratio", Bound::AtMost(3.0), 4.5, "×")],
            notes: vec!["noisy".into()],
        };
        let mut text = String::new();
        chapter.write(&mut text);
        assert!(text.contains("wall time        2.00       1.00       4.00  s     3\n"), "{text}");
        assert!(text.contains("P1  ratio  goal   ≤ 3.00  result     4.50 ×    MISSED by 50 %"), "{text}");
        assert!(text.contains("note: noisy"), "{text}");
    }
}
