//! Whether predictions that are called so sure are right so often.

use super::{Classified, Confusion, Metric, defined};

/// Bins of equal width over 0 to 1, each with its upper edge.
const BINS: usize = 15;

/// The expected calibration error: samples are sorted into 15 bins of equal width by the probability of their prediction; the
/// difference between the share that is right and the mean probability, weighted by the samples of the bin, is summed up
/// (C. Guo et al., "On calibration of modern neural networks", 2017, equation 3 and their number of bins).
#[derive(Debug, Default)]
pub(super) struct CalibrationError {
    bins: [Bin; BINS],
}

#[derive(Debug, Default, Clone, Copy)]
struct Bin {
    right: u64,
    probability: f64,
}

impl Metric for CalibrationError {
    fn add(&mut self, batch: &Classified<'_>) {
        for sample in batch.samples() {
            let p = f64::from(sample.probabilities[sample.prediction as usize]);
            // The product is exact: an f32 has 24 digits, and 15 needs 4.
            let bin = ((p * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
            self.bins[bin].right += u64::from(sample.prediction == sample.label);
            self.bins[bin].probability += p;
        }
    }

    fn value(&self, confusion: &Confusion) -> Option<f64> {
        let gap = |bin: &Bin| (bin.right as f64 - bin.probability).abs();
        defined(self.bins.iter().map(gap).sum::<f64>() / confusion.samples() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Classification;
    use super::*;

    fn error(labels: &[u32], probabilities_of_0: &[f32]) -> f64 {
        let probabilities: Vec<f32> = probabilities_of_0.iter().flat_map(|p| [*p, 1.0 - p]).collect();
        let mut found = Classification::new(2).unwrap();
        let predictions = &vec![0; labels.len()];
        found.add(&Classified { labels, predictions, probabilities: &probabilities }).unwrap();
        found.figure("calibration_error").unwrap()
    }

    #[test]
    fn the_gap_of_each_bin_counts_by_its_samples() {
        // Three of four right at 0.75: nothing is missing. None of two at 0.5: half of a third of all samples.
        let (labels, p) = ([0, 0, 0, 1, 1, 1], [0.75, 0.75, 0.75, 0.75, 0.5, 0.5]);
        assert!((error(&labels, &p) - 0.5 / 3.0).abs() < 1e-15);
        // Gaps of one bin cancel, those of two do not.
        assert_eq!(error(&[0, 1], &[0.9375, 0.9375]), 0.4375);
        assert_eq!(error(&[0, 1], &[0.75, 0.9375]), (0.25 + 0.9375) / 2.0);
    }

    #[test]
    fn both_ends_have_bins_of_their_own() {
        assert_eq!((error(&[0], &[1.0]), error(&[1], &[1.0]), error(&[0], &[0.0])), (0.0, 1.0, 1.0));
        // 15 times each is 0.9 and 1.9, and 13.1 and 14.1: the first bin and the next, and the last and the one before.
        assert_eq!(error(&[0, 1], &[0.0625, 0.125]), (0.9375 + 0.125) / 2.0);
        assert_eq!(error(&[0, 1], &[0.875, 0.9375]), (0.125 + 0.9375) / 2.0);
    }
}
