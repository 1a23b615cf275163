//! Softmax with cross entropy: what the training minimizes.

use crate::kernels::softmax::{self, SoftmaxOutput};
use crate::kernels::{LANES, SimdLevel};

/// The loss of the reference: `p = exp(z) / sum of exp(z)` and `-sum of y ln(p)` with one-hot targets `y`, averaged over
/// the batch. Targets are given as class numbers, the position of the one in `y`.
///
/// Holds its results for a batch of any size; the buffers grow to the largest batch seen and stay.
#[derive(Debug, Clone)]
pub struct SoftmaxCrossEntropy {
    classes: usize,
    level: SimdLevel,
    probabilities: Vec<f32>,
    cross_entropy: Vec<f32>,
    predictions: Vec<u8>,
    logits_grad: Vec<f32>,
    scratch: Vec<softmax::Lanes>,
    labels: Vec<u8>,
}

impl SoftmaxCrossEntropy {
    /// A loss over `classes` classes.
    pub fn new(classes: usize) -> Self {
        SoftmaxCrossEntropy {
            classes,
            level: SimdLevel::detect(),
            probabilities: Vec::new(),
            cross_entropy: Vec::new(),
            predictions: Vec::new(),
            logits_grad: Vec::new(),
            scratch: vec![[0.0; LANES]; classes],
            labels: Vec::new(),
        }
    }

    /// The same on a given SIMD level.
    pub fn at_level(self, level: SimdLevel) -> Self {
        SoftmaxCrossEntropy { level, ..self }
    }

    /// The mean cross entropy of a batch. `logits: [m, classes]`; `labels: [m]`, class numbers.
    ///
    /// # Panics
    /// If the lengths do not fit each other or a label is not below `classes`.
    pub fn forward(&mut self, logits: &[f32], labels: &[u8]) -> f32 {
        assert_eq!(logits.len(), labels.len() * self.classes, "logits of {} labels", labels.len());
        self.probabilities.resize(logits.len(), 0.0);
        self.cross_entropy.resize(labels.len(), 0.0);
        self.predictions.resize(labels.len(), 0);
        self.labels.clear();
        self.labels.extend_from_slice(labels);
        let output = SoftmaxOutput {
            probabilities: &mut self.probabilities,
            cross_entropy: &mut self.cross_entropy,
            predictions: &mut self.predictions,
        };
        softmax::softmax_cross_entropy_forward(self.level, logits, labels, &mut self.scratch, output);
        let sum: f64 = self.cross_entropy.iter().map(|loss| f64::from(*loss)).sum();
        (sum / labels.len() as f64) as f32
    }

    /// The derivative of that mean by the logits, `(p - y) / m`: `[m, classes]`.
    pub fn backward(&mut self) -> &[f32] {
        self.logits_grad.resize(self.probabilities.len(), 0.0);
        let (p, dz) = (&self.probabilities, &mut self.logits_grad);
        softmax::softmax_cross_entropy_backward(self.level, p, &self.labels, dz);
        &self.logits_grad
    }

    /// `[m, classes]`, of the last [`forward`](Self::forward).
    pub fn probabilities(&self) -> &[f32] {
        &self.probabilities
    }

    /// `[m]`: each sample's own loss, of the last [`forward`](Self::forward).
    pub fn cross_entropy(&self) -> &[f32] {
        &self.cross_entropy
    }

    /// `[m]`: the class of each sample's largest logit, the first of equals.
    pub fn predictions(&self) -> &[u8] {
        &self.predictions
    }

    /// How many of the last batch were predicted right.
    pub fn correct(&self) -> usize {
        self.predictions.iter().zip(&self.labels).filter(|(prediction, label)| prediction == label).count()
    }
}
