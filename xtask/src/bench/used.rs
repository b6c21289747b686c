//! What the runs of one program took, round by round.

use super::child::Measured;
use super::figures::Series;
use super::report::Figure;

#[derive(Clone, Default)]
pub(super) struct Used {
    pub(super) seconds: Series,
    pub(super) processor_seconds: Series,
    pub(super) peak_mib: Series,
}

impl Used {
    pub(super) fn push(&mut self, process: &Measured) {
        self.seconds.push(process.seconds);
        self.processor_seconds.push(process.processor_seconds);
        self.peak_mib.push(process.peak_mib);
    }

    pub(super) fn figures(&self, name: &str) -> Vec<Figure> {
        vec![
            Figure::of(&format!("{name}: time"), "s", &self.seconds),
            Figure::of(&format!("{name}: processor time"), "s", &self.processor_seconds),
            Figure::of(&format!("{name}: memory"), "MiB", &self.peak_mib),
        ]
    }
}
