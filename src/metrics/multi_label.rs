//! How good predicted labels are, where a sample has any number of them: what each label's counts give, and what all of them
//! give together. It knows outputs and targets, not what labels are called.

use super::{Averages, ClassFigures, mean_of_defined, share};
use crate::error::{Error, Result};

/// Gathers what [`MULTI_LABEL_METRICS`] need, label by label.
///
/// ```
/// use flatnet::metrics::MultiLabel;
///
/// let mut found = MultiLabel::new(2)?;
/// found.add(&[2.0, -1.0, 0.5, 0.5], &[1.0, 0.0, 0.0, 1.0])?;
/// assert_eq!((found.subset_accuracy(), found.hamming_loss()), (Some(0.5), Some(0.25)));
/// # Ok::<(), flatnet::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct MultiLabel {
    samples: u64,
    /// Samples of which every label is right.
    exact: u64,
    labels: Vec<LabelCounts>,
}

/// Of one label.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LabelCounts {
    /// Samples that have it.
    pub support: u64,
    /// Samples that are predicted to have it.
    pub predicted: u64,
    /// Samples of which both is true.
    pub right: u64,
}

impl LabelCounts {
    /// Precision, recall and F1, as of a class.
    pub fn figures(&self) -> ClassFigures {
        let LabelCounts { support, predicted, right } = *self;
        ClassFigures {
            support,
            precision: share(right, predicted),
            recall: share(right, support),
            f1: share(2 * right, support + predicted),
        }
    }

    /// Samples of which it is told wrongly whether they have it.
    fn wrong(&self) -> u64 {
        self.support + self.predicted - 2 * self.right
    }
}

/// One figure of labels.
#[derive(Debug)]
pub struct MultiLabelMetric {
    /// In JSON.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// `None` where it is not defined.
    pub of: fn(&MultiLabel) -> Option<f64>,
}

/// Every figure of labels, in the order shown. A new one is a line here and a function beside
/// [`MultiLabel::subset_accuracy`].
pub const MULTI_LABEL_METRICS: &[MultiLabelMetric] = &[
    MultiLabelMetric { name: "f1_micro", title: "micro F1", of: |found| found.micro_average().f1 },
    MultiLabelMetric { name: "f1_macro", title: "macro F1", of: |found| found.macro_average().f1 },
    MultiLabelMetric { name: "subset_accuracy", title: "subset accuracy", of: MultiLabel::subset_accuracy },
    MultiLabelMetric { name: "hamming_loss", title: "Hamming loss", of: MultiLabel::hamming_loss },
];

impl MultiLabel {
    /// Of no samples yet, with `labels` labels that each may have.
    ///
    /// # Errors
    /// [`Error::Shape`] where that is 0.
    pub fn new(labels: usize) -> Result<Self> {
        if labels == 0 {
            return Err(shape("at least 1 label".into(), "0".into()));
        }
        Ok(MultiLabel { samples: 0, exact: 0, labels: vec![LabelCounts::default(); labels] })
    }

    /// Takes some samples more. `logits: [m, labels]`, row-major: a label is predicted where its logit is above 0, which is a
    /// probability above one half; `targets: [m, labels]`: 1 where a sample has the label, else 0.
    ///
    /// # Errors
    /// [`Error::Shape`], and nothing is taken, where the lengths do not fit.
    pub fn add(&mut self, logits: &[f32], targets: &[f32]) -> Result<()> {
        let width = self.labels.len();
        if logits.len() != targets.len() || !targets.len().is_multiple_of(width) {
            let expected = format!("as many logits as targets, whole rows of {width}");
            return Err(shape(expected, format!("{} and {}", logits.len(), targets.len())));
        }
        for (logits, targets) in logits.chunks_exact(width).zip(targets.chunks_exact(width)) {
            let mut is_exact = true;
            for (counts, (logit, target)) in self.labels.iter_mut().zip(logits.iter().zip(targets)) {
                let (has, predicted) = (*target > 0.5, *logit > 0.0);
                counts.support += u64::from(has);
                counts.predicted += u64::from(predicted);
                counts.right += u64::from(has && predicted);
                is_exact &= has == predicted;
            }
            self.samples += 1;
            self.exact += u64::from(is_exact);
        }
        Ok(())
    }

    /// Samples so far.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Samples of which every label is right.
    pub fn exact(&self) -> u64 {
        self.exact
    }

    /// The counts of every label, in order.
    pub fn labels(&self) -> &[LabelCounts] {
        &self.labels
    }

    /// The share of samples of which every label is right (scikit-learn's `accuracy_score` of several labels).
    pub fn subset_accuracy(&self) -> Option<f64> {
        share(self.exact, self.samples)
    }

    /// The share of labels that are told wrongly, over samples and labels.
    pub fn hamming_loss(&self) -> Option<f64> {
        share(self.labels.iter().map(LabelCounts::wrong).sum(), self.samples * self.labels.len() as u64)
    }

    /// Precision, recall and F1 of the counts of all labels added up: frequent labels count more.
    pub fn micro_average(&self) -> Averages {
        let sum = |count: fn(&LabelCounts) -> u64| self.labels.iter().map(count).sum();
        let all =
            LabelCounts { support: sum(|it| it.support), predicted: sum(|it| it.predicted), right: sum(|it| it.right) };
        let ClassFigures { precision, recall, f1, .. } = all.figures();
        Averages { precision, recall, f1 }
    }

    /// The means over labels whose figure is defined, each counting the same.
    pub fn macro_average(&self) -> Averages {
        let mean = |figure: fn(&ClassFigures) -> Option<f64>| {
            mean_of_defined(self.labels.iter().map(|label| (figure(&label.figures()), 1.0)))
        };
        Averages { precision: mean(|it| it.precision), recall: mean(|it| it.recall), f1: mean(|it| it.f1) }
    }
}

fn shape(expected: String, found: String) -> Error {
    Error::Shape { place: "labels to compare with targets".into(), expected, found }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(labels: usize, logits: &[f32], targets: &[f32]) -> MultiLabel {
        let mut found = MultiLabel::new(labels).unwrap();
        for (logits, targets) in logits.chunks(2 * labels).zip(targets.chunks(2 * labels)) {
            found.add(logits, targets).unwrap();
        }
        found
    }

    #[test]
    fn figures_are_those_by_hand() {
        // The first label: found once, missed once, and once where it is not. The second: found once. The third never comes.
        let logits = [3.0, 0.5, -1.0, -2.0, -0.5, -1.0, 0.25, -3.0, -9.0];
        let found = found(3, &logits, &[1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        let [first, second, third] = [0, 1, 2].map(|label| found.labels()[label].figures());
        assert_eq!((first.precision, first.recall, first.f1), (Some(0.5), Some(0.5), Some(0.5)));
        assert_eq!((second.precision, second.recall, second.f1, second.support), (Some(1.0), Some(1.0), Some(1.0), 1));
        assert_eq!((third.precision, third.recall, third.f1, third.support), (None, None, None, 0));
        assert_eq!((found.exact(), found.subset_accuracy()), (1, Some(1.0 / 3.0)));
        assert_eq!(found.hamming_loss(), Some(2.0 / 9.0));
        assert_eq!(found.micro_average().f1, Some(4.0 / 6.0));
        assert_eq!(found.macro_average().f1, Some(0.75));
    }

    /// As the loss counts it: half is not above half.
    #[test]
    fn a_logit_of_zero_is_no_label() {
        let found = found(1, &[0.0, -0.0, f32::MIN_POSITIVE], &[0.0, 0.0, 1.0]);
        assert_eq!((found.exact(), found.labels()[0].predicted), (3, 1));
    }

    #[test]
    fn what_divides_by_nothing_is_not_defined() {
        let none = found(2, &[], &[]);
        assert!(MULTI_LABEL_METRICS.iter().all(|metric| (metric.of)(&none).is_none()));
        // Nothing to find, and nothing found: right, though no F1 says so.
        let empty = found(2, &[-1.0, -1.0], &[0.0, 0.0]);
        let figures: Vec<_> = MULTI_LABEL_METRICS.iter().map(|metric| (metric.of)(&empty)).collect();
        assert_eq!(figures, [None, None, Some(1.0), Some(0.0)]);
    }

    #[test]
    fn what_does_not_fit_is_refused_and_not_taken() {
        assert!(MultiLabel::new(0).is_err());
        let mut found = MultiLabel::new(2).unwrap();
        for (logits, targets) in [(&[1.0; 2][..], &[1.0; 4][..]), (&[1.0; 3], &[1.0; 3])] {
            let message = found.add(logits, targets).unwrap_err().to_string();
            assert!(message.contains("whole rows of 2"), "{message}");
        }
        assert_eq!(found.samples(), 0);
    }
}
