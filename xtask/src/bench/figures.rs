//! What is made of measured values: medians, spreads, ratios. Pure.

/// Values of one thing, as they were measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Series(Vec<f64>);

impl Series {
    pub(super) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(super) fn max(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// The middle value; of an even number of values the mean of the middle two.
    pub(super) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            odd if odd % 2 == 1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        }
    }

    /// The least value that so many of a hundred do not exceed.
    pub(super) fn percentile(&self, percent: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
    }

    /// How far apart the values lie, as a part of their median: how noisy the machine was.
    pub(super) fn spread(&self) -> f64 {
        (self.max() - self.min()) / self.median()
    }

    /// Median by median.
    pub(super) fn over(&self, other: &Self) -> f64 {
        self.median() / other.median()
    }
}

impl FromIterator<f64> for Series {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: &[f64]) -> Series {
        values.iter().copied().collect()
    }

    #[test]
    fn the_median_does_not_mind_order_or_outliers() {
        assert_eq!(series(&[9.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(series(&[4.0, 1.0, 1000.0, 2.0]).median(), 3.0);
        assert_eq!(series(&[5.0]).median(), 5.0);
        assert!(series(&[]).median().is_nan());
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let series: Series = (1..=60).map(f64::from).collect();
        assert_eq!([50.0, 95.0, 99.0, 100.0].map(|percent| series.percentile(percent)), [30.0, 57.0, 60.0, 60.0]);
        assert!(Series::default().percentile(50.0).is_nan());
    }

    #[test]
    fn the_spread_is_a_part_of_the_median() {
        let series = series(&[2.0, 1.0, 4.0]);
        assert_eq!((series.min(), series.max(), series.spread()), (1.0, 4.0, 1.5));
    }

    #[test]
    fn a_ratio_is_one_of_medians() {
        assert_eq!(series(&[3.0, 6.0, 90.0]).over(&series(&[2.0])), 3.0);
        assert!(series(&[1.0]).over(&series(&[])).is_nan());
    }
}
