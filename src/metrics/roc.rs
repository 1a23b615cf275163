//! How well one number orders the samples of two classes.

use super::{Classified, Confusion, Metric};

/// The area under the receiver operating characteristic of class 1 by its probability: how often a sample of class 1 has a
/// higher one than a sample of class 0, equal ones counting one half (J. A. Hanley and B. J. McNeil, "The meaning and use of
/// the area under a receiver operating characteristic (ROC) curve", 1982), which is the area of scikit-learn's trapezoids.
/// `None` where a class has no samples.
#[derive(Debug, Default)]
pub(super) struct RocAuc {
    scores: Vec<(f32, bool)>,
}

impl Metric for RocAuc {
    fn add(&mut self, batch: &Classified<'_>) {
        if batch.probabilities.len() == 2 * batch.labels.len() {
            self.scores.extend(batch.samples().map(|sample| (sample.probabilities[1], sample.label == 1)));
        }
    }

    fn value(&self, confusion: &Confusion) -> Option<f64> {
        if confusion.classes() != 2 || self.scores.iter().any(|(score, _)| score.is_nan()) {
            return None;
        }
        let mut sorted = self.scores.clone();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        // Twice the number of pairs in order, so that halves are whole numbers.
        let (mut ordered, mut below, mut positives) = (0u128, 0u64, 0u64);
        for equal in sorted.chunk_by(|a, b| a.0 == b.0) {
            let ones = equal.iter().filter(|(_, is_one)| *is_one).count() as u64;
            let zeros = equal.len() as u64 - ones;
            ordered += u128::from(ones) * u128::from(2 * below + zeros);
            below += zeros;
            positives += ones;
        }
        let pairs = 2 * u128::from(positives) * u128::from(below);
        (pairs > 0).then(|| ordered as f64 / pairs as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Classification;
    use super::*;

    fn area(labels: &[u32], scores: &[f32]) -> Option<f64> {
        let probabilities: Vec<f32> = scores.iter().flat_map(|p| [1.0 - p, *p]).collect();
        let predictions: Vec<u32> = scores.iter().map(|p| u32::from(*p > 0.5)).collect();
        let mut found = Classification::new(2).unwrap();
        found.add(&Classified { labels, predictions: &predictions, probabilities: &probabilities }).unwrap();
        found.figure("roc_auc")
    }

    #[test]
    fn pairs_in_order_are_counted_and_equal_ones_by_half() {
        // The example of scikit-learn's documentation: three of four pairs.
        assert_eq!(area(&[0, 0, 1, 1], &[0.1, 0.4, 0.35, 0.8]), Some(0.75));
        assert_eq!(area(&[0, 1, 0, 1], &[0.5; 4]), Some(0.5));
        assert_eq!(area(&[0, 1, 1], &[0.5, 0.5, 0.75]), Some(0.75));
        assert_eq!((area(&[0, 1], &[0.25, 0.75]), area(&[1, 0], &[0.25, 0.75])), (Some(1.0), Some(0.0)));
        // The same to the last bit whatever the sign of nothing.
        assert_eq!(area(&[0, 1], &[0.0, -0.0]), Some(0.5));
    }

    #[test]
    fn of_one_class_alone_nothing_can_be_ordered() {
        assert_eq!((area(&[1, 1], &[0.25, 0.75]), area(&[0], &[0.5])), (None, None));
        let mut three = Classification::new(3).unwrap();
        let probabilities = &[0.5, 0.25, 0.25, 0.25, 0.5, 0.25];
        three.add(&Classified { labels: &[0, 1], predictions: &[0, 1], probabilities }).unwrap();
        assert_eq!(three.figure("roc_auc"), None);
    }
}
