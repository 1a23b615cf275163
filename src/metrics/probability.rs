//! How good probabilities are, whatever class they lead to: both scores are lowest in the mean where the probabilities are
//! the true ones.

use super::{Classified, Confusion, Metric, defined};

/// The mean of `-ln` of the label's probability. A probability of 0 counts as 2.2e-16, the step of f64 at 1, as in
/// scikit-learn, so that one sample costs 36 at most; the loss of training is the same from outputs before they are
/// probabilities, and has no such end.
#[derive(Debug, Default)]
pub(super) struct LogLoss {
    sum: f64,
}

impl Metric for LogLoss {
    fn add(&mut self, batch: &Classified<'_>) {
        for sample in batch.samples() {
            let p = f64::from(sample.probabilities[sample.label as usize]);
            self.sum -= p.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln();
        }
    }

    fn value(&self, confusion: &Confusion) -> Option<f64> {
        defined(self.sum / confusion.samples() as f64)
    }
}

/// The mean over samples of the squared difference to certainty, summed over classes (G. W. Brier, "Verification of forecasts
/// expressed in terms of probability", 1950): 0 to 2; of two classes one half of it, 0 to 1, as is usual. Both are what
/// `brier_score_loss` of scikit-learn 1.7 and newer gives for a column per class, with its `scale_by_half="auto"`.
#[derive(Debug)]
pub(super) struct Brier {
    scale: f64,
    sum: f64,
}

impl Brier {
    pub fn new(classes: usize) -> Self {
        Brier { scale: if classes == 2 { 0.5 } else { 1.0 }, sum: 0.0 }
    }
}

impl Metric for Brier {
    fn add(&mut self, batch: &Classified<'_>) {
        for sample in batch.samples() {
            let square = |(class, p): (usize, &f32)| {
                let truth = if class == sample.label as usize { 1.0 } else { 0.0 };
                (f64::from(*p) - truth).powi(2)
            };
            self.sum += sample.probabilities.iter().enumerate().map(square).sum::<f64>();
        }
    }

    fn value(&self, confusion: &Confusion) -> Option<f64> {
        defined(self.scale * self.sum / confusion.samples() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Classification;
    use super::*;

    fn figures(classes: usize, labels: &[u32], probabilities: &[f32]) -> (f64, f64) {
        let mut found = Classification::new(classes).unwrap();
        found.add(&Classified { labels, predictions: &vec![0; labels.len()], probabilities }).unwrap();
        (found.figure("log_loss").unwrap(), found.figure("brier_score").unwrap())
    }

    #[test]
    fn scores_are_those_by_hand() {
        let (log_loss, brier) = figures(3, &[0, 2], &[0.5, 0.25, 0.25, 0.75, 0.125, 0.125]);
        assert!((log_loss - (2f64.ln() + 8f64.ln()) / 2.0).abs() < 1e-15);
        // 1/4 + 1/16 + 1/16, and 9/16 + 1/64 + 49/64.
        assert_eq!(brier, (0.375 + 86.0 / 64.0) / 2.0);
        // Of two classes, half: the square for the one class alone.
        assert_eq!(figures(2, &[1], &[0.25, 0.75]).1, 0.0625);
    }

    #[test]
    fn certainty_costs_nothing_or_a_finite_sum() {
        let (right, wrong) = (figures(3, &[0], &[1.0, 0.0, 0.0]), figures(3, &[1], &[1.0, 0.0, 0.0]));
        assert!(right.0 < 1e-15 && right.1 == 0.0, "{right:?}");
        assert!((wrong.0 - 36.043_653).abs() < 1e-5 && wrong.1 == 2.0, "{wrong:?}");
    }
}
