//! Which class is taken for which, and what follows from those counts alone: precision, recall and F1 of every class and on
//! average. It knows class numbers, not how sure anyone was of them.

use super::{mean_of_defined, share};
use crate::error::{Error, Result};

/// A matrix of more classes takes more than 128 MB.
pub const MAX_CLASSES: usize = 4096;

/// How many samples of each class were predicted as each class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    /// `[classes, classes]`: of the class of the row, predicted as that of the column.
    counts: Vec<u64>,
}

/// How well one class is told from the others. A figure is `None` where it would divide nothing by nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassFigures {
    /// Samples of this class.
    pub support: u64,
    /// Of the samples predicted as this class, the share that is of it.
    pub precision: Option<f64>,
    /// Of the samples of this class, the share that is predicted so.
    pub recall: Option<f64>,
    /// The harmonic mean of both: 0 where one is 0, whether or not the other is defined.
    pub f1: Option<f64>,
}

/// Means over the classes whose figure is defined.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Averages {
    /// Mean of the precisions.
    pub precision: Option<f64>,
    /// Mean of the recalls.
    pub recall: Option<f64>,
    /// Mean of the F1.
    pub f1: Option<f64>,
}

impl Confusion {
    /// Of no samples yet.
    ///
    /// # Errors
    /// [`Error::Shape`] where `classes` is 0 or more than [`MAX_CLASSES`].
    pub fn new(classes: usize) -> Result<Self> {
        check_classes(classes)?;
        Ok(Confusion { classes, counts: vec![0; classes * classes] })
    }

    /// `counts: [classes, classes]`: of the class of the row, predicted as that of the column.
    ///
    /// # Errors
    /// As [`new`](Self::new), and where there are more or fewer counts.
    pub fn from_counts(classes: usize, counts: Vec<u64>) -> Result<Self> {
        check_classes(classes)?;
        if counts.len() != classes * classes {
            let expected = format!("{classes} x {classes} counts");
            return Err(shape(expected, counts.len().to_string()));
        }
        Ok(Confusion { classes, counts })
    }

    /// Counts a sample of class `label`; both are below [`classes`](Self::classes).
    pub(super) fn count(&mut self, label: u32, prediction: u32) {
        self.counts[label as usize * self.classes + prediction as usize] += 1;
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The samples of one class by their prediction: `[classes]`.
    pub fn row(&self, class: usize) -> &[u64] {
        &self.counts[class * self.classes..][..self.classes]
    }

    /// All rows, in order.
    pub fn rows(&self) -> impl Iterator<Item = &[u64]> {
        self.counts.chunks_exact(self.classes)
    }

    /// Samples in all.
    pub fn samples(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Samples whose prediction is their label.
    pub fn correct(&self) -> u64 {
        self.counts.iter().step_by(self.classes + 1).sum()
    }

    /// Samples of a class.
    pub fn support(&self, class: usize) -> u64 {
        self.row(class).iter().sum()
    }

    /// Samples that are predicted as a class.
    pub fn predicted(&self, class: usize) -> u64 {
        self.counts[class..].iter().step_by(self.classes).sum()
    }

    /// Samples predicted right, over samples.
    pub fn accuracy(&self) -> Option<f64> {
        share(self.correct(), self.samples())
    }

    /// The mean recall of the classes that have samples: the accuracy, if each had as many.
    pub fn balanced_accuracy(&self) -> Option<f64> {
        self.macro_average().recall
    }

    /// Precision, recall and F1 of every class, in order.
    pub fn by_class(&self) -> Vec<ClassFigures> {
        (0..self.classes)
            .map(|class| {
                let (right, support, predicted) = (self.row(class)[class], self.support(class), self.predicted(class));
                ClassFigures {
                    support,
                    precision: share(right, predicted),
                    recall: share(right, support),
                    f1: share(2 * right, support + predicted),
                }
            })
            .collect()
    }

    /// The means over classes, each counting the same.
    pub fn macro_average(&self) -> Averages {
        self.average(|_| 1.0)
    }

    /// The means over classes, each counting as often as it has samples.
    pub fn weighted_average(&self) -> Averages {
        self.average(|figures| figures.support as f64)
    }

    fn average(&self, weight: fn(&ClassFigures) -> f64) -> Averages {
        let by_class = self.by_class();
        let mean = |figure: fn(&ClassFigures) -> Option<f64>| {
            mean_of_defined(by_class.iter().map(|class| (figure(class), weight(class))))
        };
        Averages {
            precision: mean(|class| class.precision),
            recall: mean(|class| class.recall),
            f1: mean(|class| class.f1),
        }
    }

    /// The pairs of classes most often confused: label, prediction, how often; at most `count` of them, most often first.
    pub fn most_confused(&self, count: usize) -> Vec<(usize, usize, u64)> {
        let mut pairs: Vec<_> = (0..self.counts.len())
            .map(|at| (at / self.classes, at % self.classes, self.counts[at]))
            .filter(|(label, prediction, times)| label != prediction && *times > 0)
            .collect();
        pairs.sort_by(|a, b| b.2.cmp(&a.2).then(a.cmp(b)));
        pairs.truncate(count);
        pairs
    }
}

fn check_classes(classes: usize) -> Result<()> {
    if (1..=MAX_CLASSES).contains(&classes) {
        return Ok(());
    }
    Err(shape(format!("1 to {MAX_CLASSES} classes"), classes.to_string()))
}

fn shape(expected: String, found: String) -> Error {
    Error::Shape { place: "a confusion matrix".into(), expected, found }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Class 2 is never predicted, class 3 has neither samples nor predictions.
    fn four() -> Confusion {
        Confusion::from_counts(4, vec![1, 0, 0, 0, 1, 2, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0]).unwrap()
    }

    #[test]
    fn figures_by_class_are_those_of_the_counts() {
        let found = four();
        assert_eq!((found.samples(), found.correct(), found.accuracy()), (6, 3, Some(0.5)));
        assert_eq!((found.support(1), found.predicted(1), found.row(1)), (3, 3, &[1, 2, 0, 0][..]));
        let figures = found.by_class();
        assert_eq!((figures[0].precision, figures[0].recall, figures[0].f1), (Some(1.0 / 3.0), Some(1.0), Some(0.5)));
        assert_eq!((figures[1].support, figures[1].recall), (3, Some(2.0 / 3.0)));
        assert_eq!((figures[2].precision, figures[2].recall, figures[2].f1), (None, Some(0.0), Some(0.0)));
        assert_eq!((figures[3].precision, figures[3].recall, figures[3].f1), (None, None, None));
        assert_eq!(found.most_confused(2), [(1, 0, 1), (2, 0, 1)]);
    }

    #[test]
    fn averages_are_over_what_is_defined() {
        let close = |found: Option<f64>, expected: f64| assert!((found.unwrap() - expected).abs() < 1e-15, "{found:?}");
        let (plain, weighted) = (four().macro_average(), four().weighted_average());
        close(plain.precision, (1.0 / 3.0 + 2.0 / 3.0) / 2.0);
        close(plain.recall, (1.0 + 2.0 / 3.0) / 3.0);
        close(plain.f1, (0.5 + 2.0 / 3.0) / 3.0);
        close(weighted.precision, (1.0 / 3.0 + 3.0 * 2.0 / 3.0) / 4.0);
        close(weighted.recall, 0.5);
        close(weighted.f1, (0.5 + 3.0 * 2.0 / 3.0) / 6.0);
        assert_eq!(four().balanced_accuracy(), plain.recall);
        let nothing = Confusion::new(2).unwrap();
        let none = Averages { precision: None, recall: None, f1: None };
        assert_eq!((nothing.macro_average(), nothing.weighted_average(), nothing.accuracy()), (none, none, None));
    }

    #[test]
    fn a_matrix_that_would_fill_the_memory_is_refused() {
        for classes in [0, MAX_CLASSES + 1, usize::MAX] {
            let message = Confusion::new(classes).unwrap_err().to_string();
            assert!(message.contains("1 to 4096") && message.contains(&classes.to_string()), "{message}");
        }
        assert!(Confusion::from_counts(2, vec![0; 3]).unwrap_err().to_string().contains("2 x 2"));
    }
}
