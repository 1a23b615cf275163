//! Shares of samples that are right: the accuracy, how sure it is, and the label among the likeliest few.

use super::{Classified, Confusion, Metric};

/// `part / whole`: the accuracy, where `part` are the samples predicted right. `None` of no samples.
pub fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// How many of `predictions: [m]` are `labels: [m]`.
pub fn correct(predictions: &[u32], labels: &[u32]) -> u32 {
    predictions.iter().zip(labels).filter(|(prediction, label)| prediction == label).count() as u32
}

/// Where the accuracy of all samples of the kind lies, of which `correct` of `samples` were right: from, to, and right 95
/// times in 100. The score interval of E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
/// JASA 22, 1927, without a correction for continuity: unlike the mean plus and minus its deviation, it stays within 0 and 1
/// and holds for few samples and for shares near the ends. `None` of no samples.
pub fn wilson(correct: u64, samples: u64) -> Option<(f64, f64)> {
    /// Of the standard normal distribution, 97.5 % lie below.
    const Z: f64 = 1.959_963_984_540_054;
    let (p, n) = (share(correct, samples)?, samples as f64);
    let middle = p + Z * Z / (2.0 * n);
    let reach = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    // The ends are 0 and 1 where none or all is right, and not a rounding beside them.
    let low = if correct == 0 { 0.0 } else { (middle - reach) / scale };
    let high = if correct == samples { 1.0 } else { (middle + reach) / scale };
    Some((low, high))
}

/// The share of samples whose label is among the `k` likeliest classes. Of equal probabilities, the class of the lower
/// number comes first, as where a prediction is chosen. scikit-learn takes the higher one, so that it says the same of classes
/// in reverse order; after a last ReLU, where many outputs are equal, that is some images in ten thousand.
#[derive(Debug)]
pub(super) struct TopK {
    k: usize,
    hits: u64,
}

impl TopK {
    pub fn new(k: usize) -> Self {
        TopK { k, hits: 0 }
    }
}

impl Metric for TopK {
    fn add(&mut self, batch: &Classified<'_>) {
        for sample in batch.samples() {
            let label = sample.label as usize;
            let its = sample.probabilities[label];
            // The prediction was chosen before probabilities were rounded, which may make others equal to it.
            let comes_before = |(class, p): (usize, &f32)| {
                class != label && (class == sample.prediction as usize || *p > its || (*p == its && class < label))
            };
            let is_first = sample.prediction == sample.label;
            let before = sample.probabilities.iter().enumerate().filter(|it| comes_before(*it)).take(self.k).count();
            self.hits += u64::from(is_first || before < self.k);
        }
    }

    fn value(&self, confusion: &Confusion) -> Option<f64> {
        share(self.hits, confusion.samples())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Classification;
    use super::*;

    #[test]
    fn the_interval_is_wilsons() {
        // R's prop.test(81, 263, correct = FALSE), an example of Newcombe, "Two-sided confidence intervals for the single
        // proportion", 1998: 0.2553 to 0.3662; and 0 of 20: 0 to 0.1611, his as well.
        let (low, high) = wilson(81, 263).unwrap();
        assert!((low - 0.2553).abs() < 5e-5 && (high - 0.3662).abs() < 5e-5, "{low} {high}");
        let (low, high) = wilson(0, 20).unwrap();
        assert!(low == 0.0 && (high - 0.1611).abs() < 5e-5, "{low} {high}");
        let (low, high) = wilson(20, 20).unwrap();
        assert!(high == 1.0 && (low - (1.0 - 0.1611)).abs() < 5e-5, "{low} {high}");
        assert_eq!((wilson(0, 0), share(0, 0), share(1, 4)), (None, None, Some(0.25)));
    }

    #[test]
    fn predictions_are_counted() {
        assert_eq!((correct(&[1, 2, 3], &[1, 0, 3]), correct(&[], &[])), (2, 0));
    }

    #[test]
    fn a_label_counts_from_its_place_among_the_likeliest() {
        let top_3 = |label: u32, probabilities: &[f32], prediction| {
            let mut found = Classification::new(5).unwrap();
            found.add(&Classified { labels: &[label], predictions: &[prediction], probabilities }).unwrap();
            found.figure("top_3_accuracy").unwrap()
        };
        let p = [0.25, 0.4375, 0.125, 0.0625, 0.125];
        assert_eq!([0, 1, 2, 3, 4].map(|label| top_3(label, &p, 1)), [1.0, 1.0, 1.0, 0.0, 0.0]);
        // All alike: the first three, but the prediction is one of them wherever it stands.
        assert_eq!([0, 1, 2, 3, 4].map(|label| top_3(label, &[0.2; 5], 0)), [1.0, 1.0, 1.0, 0.0, 0.0]);
        assert_eq!([0, 1, 2, 3, 4].map(|label| top_3(label, &[0.2; 5], 4)), [1.0, 1.0, 0.0, 0.0, 1.0]);
        // Of so few classes it says nothing.
        let found = Classification::new(3).unwrap();
        assert!(found.figures().all(|figure| !figure.name.starts_with("top_") || !figure.says_something));
    }
}
