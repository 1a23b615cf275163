//! All figures of classified samples together, gathered batch by batch. It knows that there is a list of them, not which.

use super::{ClassMetric, Confusion, METRICS, Metric};
use crate::error::{Error, Result};

/// What became of some samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Classified<'a> {
    /// `[m]`: their class numbers.
    pub labels: &'a [u32],
    /// `[m]`: the class numbers that were predicted.
    pub predictions: &'a [u32],
    /// `[m, classes]`, row-major: how likely each class was held to be.
    pub probabilities: &'a [f32],
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample<'a> {
    pub label: u32,
    pub prediction: u32,
    /// `[classes]`
    pub probabilities: &'a [f32],
}

impl<'a> Classified<'a> {
    /// Number of classes: as many as there are probabilities of a sample. Of no samples, 1 is as good as any.
    fn classes(&self) -> usize {
        self.probabilities.len().checked_div(self.labels.len()).unwrap_or(1).max(1)
    }

    pub(crate) fn samples(&self) -> impl Iterator<Item = Sample<'a>> {
        let rows = self.probabilities.chunks_exact(self.classes());
        (self.labels.iter().zip(self.predictions).zip(rows)).map(|((&label, &prediction), probabilities)| Sample {
            label,
            prediction,
            probabilities,
        })
    }

    fn check(&self, classes: usize) -> Result<()> {
        let refuse = |place: &str, expected: String, found: String| {
            Err(Error::Shape { place: format!("{place} of classified samples"), expected, found })
        };
        let samples = self.labels.len();
        if self.predictions.len() != samples {
            return refuse("predictions", format!("{samples}, as many as labels"), self.predictions.len().to_string());
        }
        if Some(self.probabilities.len()) != samples.checked_mul(classes) {
            let expected = format!("{samples} x {classes}, one for each label and class");
            return refuse("probabilities", expected, self.probabilities.len().to_string());
        }
        for (place, numbers) in [("labels", self.labels), ("predictions", self.predictions)] {
            if let Some(number) = numbers.iter().find(|number| **number as usize >= classes) {
                return refuse(place, format!("class numbers below {classes}"), number.to_string());
            }
        }
        Ok(())
    }
}

/// One figure, and what it is called.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// In JSON.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// `None` where it is not defined for these samples.
    pub value: Option<f64>,
    /// Whether it can say something of so many classes.
    pub says_something: bool,
}

/// Gathers the confusion matrix and every figure of [`METRICS`].
#[derive(Debug)]
pub struct Classification {
    confusion: Confusion,
    gathered: Vec<(&'static ClassMetric, Box<dyn Metric>)>,
}

impl Classification {
    /// Of no samples yet.
    ///
    /// # Errors
    /// Where there are more than [`MAX_CLASSES`](super::MAX_CLASSES) classes, or none.
    pub fn new(classes: usize) -> Result<Self> {
        let gathered = METRICS.iter().map(|metric| (metric, (metric.make)(classes))).collect();
        Ok(Classification { confusion: Confusion::new(classes)?, gathered })
    }

    /// Takes some samples more.
    ///
    /// # Errors
    /// [`Error::Shape`], and nothing is taken, where lengths do not fit each other or a number is no class.
    pub fn add(&mut self, batch: &Classified<'_>) -> Result<()> {
        batch.check(self.confusion.classes())?;
        for (label, prediction) in batch.labels.iter().zip(batch.predictions) {
            self.confusion.count(*label, *prediction);
        }
        for (metric, gathered) in &mut self.gathered {
            if (metric.says_something)(self.confusion.classes()) {
                gathered.add(batch);
            }
        }
        Ok(())
    }

    /// Which class was taken for which.
    pub fn confusion(&self) -> &Confusion {
        &self.confusion
    }

    /// Every figure of [`METRICS`], in that order. One that says nothing of so many classes is `None`.
    pub fn figures(&self) -> impl Iterator<Item = Figure> {
        self.gathered.iter().map(|(metric, gathered)| {
            let says_something = (metric.says_something)(self.confusion.classes());
            let value = if says_something { gathered.value(&self.confusion) } else { None };
            Figure { name: metric.name, title: metric.title, value, says_something }
        })
    }

    /// The figure of that name; `None` where it is not defined, or there is none.
    pub fn figure(&self, name: &str) -> Option<f64> {
        self.figures().find(|figure| figure.name == name)?.value
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_and_titles_are_told_apart() {
        let mut names: Vec<_> = METRICS.iter().flat_map(|metric| [metric.name, metric.title]).collect();
        names.sort();
        names.dedup();
        // "accuracy" is both its own name and title.
        assert_eq!(names.len(), 2 * METRICS.len() - METRICS.iter().filter(|it| it.name == it.title).count());
    }

    #[test]
    fn what_does_not_fit_is_refused_and_not_taken() {
        let mut found = Classification::new(3).unwrap();
        let p = &[0.25; 6][..];
        for (labels, predictions, probabilities, told) in [
            (&[0, 1][..], &[0][..], p, "2, as many as labels, found 1"),
            (&[0, 1], &[0, 1], &p[..5], "2 x 3, one for each label and class, found 5"),
            (&[0, 3], &[0, 1], p, "labels of classified samples: expected class numbers below 3, found 3"),
            (&[0, 1], &[u32::MAX, 1], p, "predictions of classified samples: expected class numbers below 3"),
            (&[], &[], p, "0 x 3"),
        ] {
            let message = found.add(&Classified { labels, predictions, probabilities }).unwrap_err().to_string();
            assert!(message.contains(told), "{message}");
            assert_eq!(found.confusion().samples(), 0);
        }
        found.add(&Classified { labels: &[], predictions: &[], probabilities: &[] }).unwrap();
        assert!(found.figures().all(|figure| figure.value.is_none()), "of no samples there is no figure: {found:?}");
    }

    #[test]
    fn a_probability_that_is_no_number_makes_a_figure_undefined_not_wrong() {
        let mut found = Classification::new(2).unwrap();
        let probabilities = &[0.25, 0.75, f32::NAN, f32::NAN];
        found.add(&Classified { labels: &[1, 0], predictions: &[1, 0], probabilities }).unwrap();
        for name in ["log_loss", "brier_score", "calibration_error", "roc_auc"] {
            assert_eq!(found.figure(name), None, "{name}");
        }
        assert_eq!(found.figure("accuracy"), Some(1.0));
    }

    /// Rows of whole numbers, divided by their sum; the label is any class.
    fn samples() -> impl Strategy<Value = (usize, Vec<(u32, Vec<f32>)>)> {
        (2usize..9).prop_flat_map(|classes| {
            let row = proptest::collection::vec(0u16..1000, classes).prop_map(|parts| {
                let sum = parts.iter().map(|part| f32::from(*part)).sum::<f32>().max(1.0);
                parts.iter().map(|part| f32::from(*part) / sum).collect()
            });
            (Just(classes), proptest::collection::vec((0..classes as u32, row), 1..60))
        })
    }

    fn first_largest(row: &[f32]) -> u32 {
        (0..row.len()).rev().max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap_or_default() as u32
    }

    fn gathered(classes: usize, samples: &[(u32, Vec<f32>)], batch: usize) -> Classification {
        let mut found = Classification::new(classes).unwrap();
        for samples in samples.chunks(batch) {
            let labels: Vec<u32> = samples.iter().map(|(label, _)| *label).collect();
            let predictions: Vec<u32> = samples.iter().map(|(_, row)| first_largest(row)).collect();
            let probabilities = samples.iter().flat_map(|(_, row)| row.clone()).collect::<Vec<f32>>();
            let batch = Classified { labels: &labels, predictions: &predictions, probabilities: &probabilities };
            found.add(&batch).unwrap();
        }
        found
    }

    proptest! {
        /// Neither the order of samples nor the batches they come in change more than the last digits of a sum.
        #[test]
        fn order_and_batches_change_nothing((classes, mut samples) in samples(), batch in 1usize..70, turn in 0usize..60) {
            let before = gathered(classes, &samples, samples.len());
            samples.reverse();
            let turn = turn % samples.len();
            samples.rotate_left(turn);
            let after = gathered(classes, &samples, batch);
            prop_assert_eq!(before.confusion(), after.confusion());
            for (one, other) in before.figures().zip(after.figures()) {
                match (one.value, other.value) {
                    (Some(one), Some(other)) => prop_assert!((one - other).abs() <= 1e-12 * one.abs().max(1.0)),
                    (one, other) => prop_assert_eq!(one, other),
                }
            }
        }

        /// Certain and right: every share and coefficient is 1, every error 0, unless it is not defined.
        #[test]
        fn perfect_predictions_are_told_as_such((classes, samples) in samples()) {
            let certain = |label: u32| (0..classes as u32).map(|class| f32::from(u8::from(class == label))).collect();
            let samples: Vec<_> = samples.iter().map(|(label, _)| (*label, certain(*label))).collect();
            let found = gathered(classes, &samples, 7);
            for figure in found.figures() {
                let error = ["log_loss", "brier_score", "calibration_error"].contains(&figure.name);
                let expected = if error { 0.0 } else { 1.0 };
                if let Some(value) = figure.value {
                    prop_assert!((value - expected).abs() < 1e-12, "{}: {value}", figure.name);
                }
            }
            let several = samples.iter().any(|(label, _)| *label != samples[0].0);
            prop_assert_eq!(found.figure("kappa").is_some(), several);
            prop_assert_eq!(found.figure("matthews").is_some(), several);
            prop_assert_eq!(found.figure("balanced_accuracy"), Some(1.0));
        }

        /// What holds between figures, whatever the predictions.
        #[test]
        fn figures_fit_each_other((classes, samples) in samples()) {
            let found = gathered(classes, &samples, 16);
            let accuracy = found.figure("accuracy").unwrap();
            let weighted = found.confusion().weighted_average();
            // Weighted by samples, recall is the accuracy.
            prop_assert!((weighted.recall.unwrap() - accuracy).abs() < 1e-12);
            let (low, high) = super::super::wilson(found.confusion().correct(), samples.len() as u64).unwrap();
            prop_assert!(0.0 <= low && low <= accuracy && accuracy <= high && high <= 1.0);
            for name in ["top_3_accuracy", "top_5_accuracy"] {
                prop_assert!(found.figure(name).is_none_or(|top| accuracy <= top && top <= 1.0));
            }
        }
    }
}
