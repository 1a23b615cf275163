//! How good predictions are: one file per kind of figure, each with its definition, its source and its tests. It knows
//! outputs and targets, neither the network that gives the one nor the files that hold the other.
//!
//! Samples are handed over batch by batch, in any order, and nothing is kept of them but what a figure needs:
//! [`Classification`] gathers every figure of [`METRICS`] and the [`Confusion`] matrix, [`Regression`] those of
//! [`REGRESSION_METRICS`], [`MultiLabel`] those of [`MULTI_LABEL_METRICS`]. Every sample counts the same; sums are in f64, counts are whole numbers.
//!
//! ```
//! use flatnet::metrics::{Classification, Classified};
//!
//! let mut found = Classification::new(2)?;
//! found.add(&Classified { labels: &[0, 1], predictions: &[0, 0], probabilities: &[0.75, 0.25, 0.5, 0.5] })?;
//! found.add(&Classified { labels: &[1], predictions: &[1], probabilities: &[0.25, 0.75] })?;
//! assert_eq!(found.figure("accuracy"), Some(2.0 / 3.0));
//! assert_eq!(found.figure("balanced_accuracy"), Some(0.75));
//! assert_eq!(found.confusion().row(1), [1, 1]);
//! # Ok::<(), flatnet::Error>(())
//! ```
//!
//! # What is not defined
//!
//! A figure that would divide nothing by nothing is `None`: the precision of a class that is never predicted, the recall of
//! one without samples, R2 of targets that are all the same. A mean over classes or outputs is one over those whose figure
//! is defined. That is scikit-learn's `zero_division=np.nan`; its default puts 0 there (and 0 or 1 for R2, 0 for Matthews'
//! coefficient), so that its means over classes are lower where a class is never predicted. All other figures are those of
//! scikit-learn, and tests hold them to it; of equal probabilities, the top few take the class of the lower number first.

mod accuracy;
mod agreement;
mod calibration;
mod classification;
mod confusion;
mod multi_label;
mod probability;
mod regression;
mod roc;

pub use accuracy::{correct, share, wilson};
pub use agreement::{kappa, matthews};
pub use classification::{Classification, Classified, Figure};
pub use confusion::{Averages, ClassFigures, Confusion, MAX_CLASSES};
pub use multi_label::{LabelCounts, MULTI_LABEL_METRICS, MultiLabel, MultiLabelMetric};
pub use regression::{REGRESSION_METRICS, Regression, RegressionMetric};

use std::fmt::Debug;

use accuracy::TopK;
use calibration::CalibrationError;
use probability::{Brier, LogLoss};
use roc::RocAuc;

/// A figure of classified samples while it is gathered.
trait Metric: Debug + Send {
    /// Takes a batch that has been checked: as many labels as predictions and rows of probabilities, all of them classes.
    /// What the confusion matrix says need not be gathered again.
    fn add(&mut self, _batch: &Classified<'_>) {}

    /// The figure of all batches so far, whose confusion matrix is given; `None` where it is not defined.
    fn value(&self, confusion: &Confusion) -> Option<f64>;
}

/// A figure that the confusion matrix alone gives.
#[derive(Debug)]
struct OfConfusion(fn(&Confusion) -> Option<f64>);

impl Metric for OfConfusion {
    fn value(&self, confusion: &Confusion) -> Option<f64> {
        (self.0)(confusion)
    }
}

/// One figure of classified samples: what it is called, and for how many classes it says something.
#[derive(Debug)]
pub struct ClassMetric {
    /// In JSON.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// Whether it says something of so many classes. The two largest of two probabilities, say, are all of them.
    pub says_something: fn(classes: usize) -> bool,
    make: fn(classes: usize) -> Box<dyn Metric>,
}

const ALWAYS: fn(usize) -> bool = |_| true;

/// Every figure of classified samples, in the order shown. A new one is a line here and a place among the files beside.
pub const METRICS: &[ClassMetric] = &[
    of_confusion("accuracy", "accuracy", |_| Box::new(OfConfusion(Confusion::accuracy))),
    of_confusion("balanced_accuracy", "balanced accuracy", |_| Box::new(OfConfusion(Confusion::balanced_accuracy))),
    ClassMetric {
        name: "top_3_accuracy",
        title: "top-3 accuracy",
        says_something: |classes| classes > 3,
        make: |_| Box::new(TopK::new(3)),
    },
    ClassMetric {
        name: "top_5_accuracy",
        title: "top-5 accuracy",
        says_something: |classes| classes > 5,
        make: |_| Box::new(TopK::new(5)),
    },
    of_confusion("kappa", "Cohen's kappa", |_| Box::new(OfConfusion(kappa))),
    of_confusion("matthews", "Matthews corr.", |_| Box::new(OfConfusion(matthews))),
    ClassMetric {
        name: "roc_auc",
        title: "ROC AUC",
        says_something: |classes| classes == 2,
        make: |_| Box::new(RocAuc::default()),
    },
    ClassMetric { name: "log_loss", title: "log loss", says_something: ALWAYS, make: |_| Box::new(LogLoss::default()) },
    ClassMetric {
        name: "brier_score",
        title: "Brier score",
        says_something: ALWAYS,
        make: |classes| Box::new(Brier::new(classes)),
    },
    ClassMetric {
        name: "calibration_error",
        title: "calibration error",
        says_something: ALWAYS,
        make: |_| Box::new(CalibrationError::default()),
    },
];

const fn of_confusion(name: &'static str, title: &'static str, make: fn(usize) -> Box<dyn Metric>) -> ClassMetric {
    ClassMetric { name, title, says_something: ALWAYS, make }
}

/// The mean of the values that are defined, each as often as its weight says; `None` where that is none of them.
fn mean_of_defined(values: impl IntoIterator<Item = (Option<f64>, f64)>) -> Option<f64> {
    let (mut sum, mut weights) = (0.0, 0.0);
    for (value, weight) in values {
        if let Some(value) = value {
            sum += weight * value;
            weights += weight;
        }
    }
    (weights > 0.0).then(|| sum / weights)
}

/// What is a number at all.
fn defined(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}
