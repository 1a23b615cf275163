//! What training minimizes: one file per loss, with its formula, its oracle and its settings. It knows outputs and targets,
//! not the network that gives the one or the data set that gives the other.
//!
//! Every loss is a mean over samples, `sum of s_i l_i / sum of s_i w_i`, where `s_i` is the sample's weight (1 where none is
//! given), `l_i` its loss and `w_i` what it counts: its class's weight in [`CrossEntropy`], else 1. Without weights that is
//! PyTorch's `reduction="mean"`.
//!
//! ```
//! use flatnet::data::Targets;
//! use flatnet::kernels::SimdLevel;
//! use flatnet::loss::{Criterion, CrossEntropy};
//!
//! let mut criterion = Criterion::new(CrossEntropy::new(), 2);
//! let mean = criterion.forward(SimdLevel::detect(), &[0.0, 0.0, 3.0, 3.0], Targets::Classes(&[1, 0]), None);
//! assert!((mean - 2f32.ln()).abs() < 1e-6);
//! assert_eq!(criterion.backward(), [0.25, -0.25, -0.25, 0.25]);
//! ```

mod absolute_error;
mod binary_cross_entropy;
mod criterion;
mod cross_entropy;
mod difference;
mod huber;
mod smooth_l1;
mod squared_error;
#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::ops::AddAssign;
use std::sync::Arc;

pub use absolute_error::AbsoluteError;
pub use binary_cross_entropy::BinaryCrossEntropy;
pub use criterion::Criterion;
pub use cross_entropy::{CrossEntropy, balanced_class_weights};
pub use huber::Huber;
pub use smooth_l1::SmoothL1;
pub use squared_error::SquaredError;

use crate::data::{TargetColumns, Targets};
use crate::error::{Error, Result};
use crate::kernels::{SimdLevel, softmax};

/// A loss: from outputs and targets to one number per sample, and back to the outputs' gradient.
pub trait Loss: Debug + Send + Sync {
    /// The loss as a recipe names it; [`parse`] reads it back. Weights of classes and label smoothing are no part of it.
    fn spec(&self) -> String;

    /// The check at the door, before training; of a whole data set's targets or of a batch's.
    ///
    /// # Errors
    /// Where the targets, the number of outputs or the loss's own settings do not fit each other; one that fits is told
    /// without a call for memory.
    fn validate(&self, outputs: usize, targets: Targets<'_>) -> Result<()>;

    /// The loss of a batch; leaves in `buffers` what [`backward`](Self::backward) needs, and the figures of each sample.
    ///
    /// `output: [m, outputs]`, `weights: [m]` (of each sample, 0 or more; `None`: all 1), read. The caller has checked the
    /// lengths and asked [`validate`](Self::validate).
    fn forward(
        &self,
        level: SimdLevel,
        outputs: usize,
        output: &[f32],
        targets: Targets<'_>,
        weights: Option<&[f32]>,
        buffers: &mut LossBuffers,
    ) -> LossSums;

    /// The gradient of the mean loss with respect to the outputs.
    ///
    /// All but `grad: [m, outputs]`, overwritten, as in the [`forward`](Self::forward) before. What it divides by is
    /// `buffers.sums.weight`: who computes a batch in parts puts the whole batch's there.
    #[expect(clippy::too_many_arguments, reason = "what forward takes, and where the gradient goes")]
    fn backward(
        &self,
        level: SimdLevel,
        outputs: usize,
        output: &[f32],
        targets: Targets<'_>,
        weights: Option<&[f32]>,
        buffers: &LossBuffers,
        grad: &mut [f32],
    );

    /// The formula as plain f64 for one sample, the oracle of the tests: its loss `l` and what it counts, `w`.
    /// `output: [outputs]`; `target`: that sample's alone.
    fn oracle(&self, output: &[f64], target: Targets<'_>) -> (f64, f64);
}

impl<L: Loss + ?Sized> Loss for Box<L> {
    fn spec(&self) -> String {
        (**self).spec()
    }

    fn validate(&self, outputs: usize, targets: Targets<'_>) -> Result<()> {
        (**self).validate(outputs, targets)
    }

    fn forward(
        &self,
        level: SimdLevel,
        outputs: usize,
        output: &[f32],
        targets: Targets<'_>,
        weights: Option<&[f32]>,
        buffers: &mut LossBuffers,
    ) -> LossSums {
        (**self).forward(level, outputs, output, targets, weights, buffers)
    }

    fn backward(
        &self,
        level: SimdLevel,
        outputs: usize,
        output: &[f32],
        targets: Targets<'_>,
        weights: Option<&[f32]>,
        buffers: &LossBuffers,
        grad: &mut [f32],
    ) {
        (**self).backward(level, outputs, output, targets, weights, buffers, grad);
    }

    fn oracle(&self, output: &[f64], target: Targets<'_>) -> (f64, f64) {
        (**self).oracle(output, target)
    }
}

/// The loss that a data set's targets call for where nothing else is said: softmax cross entropy for classes, squared error
/// for values.
pub fn of_targets(targets: &TargetColumns) -> Arc<dyn Loss> {
    match targets {
        TargetColumns::Classes { .. } => Arc::new(CrossEntropy::new()),
        TargetColumns::Values { .. } => Arc::new(SquaredError),
    }
}

/// What a batch, or several of them, add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LossSums {
    /// Sum of the samples' losses, each times the sample's weight.
    pub loss: f64,
    /// What to divide that by.
    pub weight: f64,
    /// How many samples there were, whatever they weigh.
    pub samples: u32,
    /// How many of them were predicted right: the label is the first largest output, or every output is on the right side of
    /// one half. 0 where targets are measured values, for which there is no right.
    pub correct: u32,
}

impl LossSums {
    /// The mean loss; 0 where nothing has weight, but never a number where a loss was none.
    pub fn mean(&self) -> f64 {
        if self.weight == 0.0 { self.loss } else { self.loss / self.weight }
    }

    /// What a gradient of the sum is multiplied by. Where nothing has weight, there is nothing to learn.
    fn per_weight(&self) -> f64 {
        if self.weight == 0.0 { 0.0 } else { 1.0 / self.weight }
    }
}

impl AddAssign for LossSums {
    fn add_assign(&mut self, other: Self) {
        self.loss += other.loss;
        self.weight += other.weight;
        self.samples += other.samples;
        self.correct += other.correct;
    }
}

/// What a loss leaves behind of a batch of any size. The buffers grow to the largest batch seen and stay.
#[derive(Debug, Clone, Default)]
pub struct LossBuffers {
    /// `[m, outputs]`: what the outputs stand for where they are logits; else empty.
    pub probabilities: Vec<f32>,
    /// `[m]`: each sample's own loss, with its class's weight and without the sample's.
    pub losses: Vec<f32>,
    /// `[m]`: each sample's class; with binary cross entropy of one output, 1 where its probability is above one half, else
    /// 0; with several, and where targets are measured values, empty.
    pub predictions: Vec<u32>,
    /// What [`Loss::forward`] returned last.
    pub sums: LossSums,
    lanes: Vec<softmax::Lanes>,
    scratch: Vec<f32>,
}

impl LossBuffers {
    /// Sums up `losses`; a sample counts its weight times `counts` of it.
    fn sum_up(&mut self, weights: Option<&[f32]>, correct: u32, counts: Option<impl Fn(usize) -> f32>) -> LossSums {
        let weight = |i: usize| weights.map_or(1.0, |weights| f64::from(weights[i]));
        let loss =
            (self.losses.iter().enumerate()).map(|(i, loss)| weight(i) * f64::from(*loss)).fold(0.0, |a, b| a + b);
        let samples = self.losses.len();
        let weight = match (&counts, weights) {
            (None, None) => samples as f64,
            _ => (0..samples)
                .fold(0.0, |sum, i| sum + weight(i) * counts.as_ref().map_or(1.0, |counts| f64::from(counts(i)))),
        };
        self.sums = LossSums { loss, weight, samples: samples as u32, correct };
        self.sums
    }
}

/// Every sample counts the same.
const ALL_ALIKE: Option<fn(usize) -> f32> = None;

/// Makes a loss of what a recipe writes after its name and a colon, if anything.
type Make = fn(Option<&str>) -> Result<Box<dyn Loss>>;

/// Every loss that a recipe can name: how it is written, an argument that may be left out in brackets, and how it is made.
pub const LOSSES: &[(&str, Make)] = &[
    ("cross-entropy", |none| plain("cross-entropy", none, CrossEntropy::new())),
    ("binary-cross-entropy", |none| plain("binary-cross-entropy", none, BinaryCrossEntropy)),
    ("squared-error", |none| plain("squared-error", none, SquaredError)),
    ("absolute-error", |none| plain("absolute-error", none, AbsoluteError)),
    ("huber[:DELTA]", |delta| Ok(Box::new(Huber::parse(delta)?))),
    ("smooth-l1[:BETA]", |beta| Ok(Box::new(SmoothL1::parse(beta)?))),
];

/// The loss that a recipe names.
///
/// # Errors
/// [`Error::Setting`] where there is none of that name, or its argument is not valid.
///
/// ```
/// assert_eq!(flatnet::loss::parse("huber:0.5").unwrap().spec(), "huber:0.5");
/// ```
pub fn parse(spec: &str) -> Result<Box<dyn Loss>> {
    let (name, argument) = match spec.trim().split_once(':') {
        Some((name, argument)) => (name, Some(argument)),
        None => (spec.trim(), None),
    };
    let known = LOSSES.iter().find(|(form, _)| form.split('[').next() == Some(name));
    known.map_or_else(|| Err(no_such_loss(spec)), |(_, make)| make(argument))
}

fn plain(name: &str, argument: Option<&str>, loss: impl Loss + 'static) -> Result<Box<dyn Loss>> {
    match argument {
        None => Ok(Box::new(loss)),
        Some(argument) => {
            Err(setting("loss", format!("'{name}:{argument}'"), format!("{name}, which takes no argument")))
        }
    }
}

fn no_such_loss(spec: &str) -> Error {
    let forms: Vec<&str> = LOSSES.iter().map(|(form, _)| *form).collect();
    setting("loss", format!("'{spec}'"), format!("one of {}", forms.join(", ")))
}

/// Samples' weights, as a data set or a loop gives them: finite, none below 0.
///
/// # Errors
/// [`Error::Shape`], naming the first that is not.
pub fn validate_weights(weights: &[f32]) -> Result<()> {
    let valid = |weight: &f32| weight.is_finite() && *weight >= 0.0;
    // Every one is looked at, so that a vector can look at sixteen.
    if weights.iter().fold(true, |all, weight| all & valid(weight)) {
        return Ok(());
    }
    let (index, weight) = weights.iter().enumerate().find(|(_, weight)| !valid(weight)).unwrap_or((0, &f32::NAN));
    Err(shape("the weights of samples", "finite numbers, none below 0", format!("{weight} (sample {index})")))
}

fn setting(name: &'static str, found: String, expected: impl Into<String>) -> Error {
    Error::Setting { name, found, expected: expected.into() }
}

fn shape(place: impl Into<String>, expected: impl Into<String>, found: String) -> Error {
    Error::Shape { place: place.into(), expected: expected.into(), found }
}

/// The values among `targets`, whole rows of `outputs`, each of them `valid`.
fn validate_values(
    name: &str,
    outputs: usize,
    targets: Targets<'_>,
    expected: &str,
    valid: impl Fn(f32) -> bool,
) -> Result<()> {
    let place = || format!("the targets of {name}");
    let Targets::Values(values) = targets else {
        return Err(shape(place(), "values, one for each output (of classes, cross-entropy)", "class numbers".into()));
    };
    if outputs == 0 || !values.len().is_multiple_of(outputs) {
        let expected = format!("whole rows of {outputs} values, one for each output (at least 1)");
        return Err(shape(place(), expected, format!("{} values", values.len())));
    }
    if values.iter().fold(true, |all, value| all & valid(*value)) {
        return Ok(());
    }
    let (index, value) = values.iter().enumerate().find(|(_, value)| !valid(**value)).unwrap_or((0, &f32::NAN));
    Err(shape(place(), expected, format!("{value} (sample {}, output {})", index / outputs, index % outputs)))
}

/// What [`Loss::validate`] has seen to: a loss of values never meets class numbers.
fn values(targets: Targets<'_>) -> &[f32] {
    match targets {
        Targets::Values(values) => values,
        Targets::Classes(_) => panic!("this loss takes values as targets, found class numbers"),
    }
}
