//! A loss with its buffers, for loops written by hand: `forward` and `backward` as in PyTorch.

use std::sync::Arc;

use crate::data::Targets;
use crate::kernels::SimdLevel;
use crate::loss::{Loss, LossBuffers, LossSums, validate_weights};

/// A loss over outputs of one width, and its results for the last batch. It keeps a copy of the batch's outputs, targets and
/// weights for [`backward`](Self::backward); the buffers grow to the largest batch seen and stay.
#[derive(Debug, Clone)]
pub struct Criterion {
    loss: Arc<dyn Loss>,
    level: SimdLevel,
    outputs: usize,
    buffers: LossBuffers,
    grad: Vec<f32>,
    output: Vec<f32>,
    kept: Option<Kept>,
    labels: Vec<u32>,
    values: Vec<f32>,
    weights: Vec<f32>,
}

/// What the last batch had, of which the vectors hold the numbers.
#[derive(Debug, Clone, Copy)]
struct Kept {
    classes: bool,
    weighted: bool,
}

impl Criterion {
    /// `loss` over `outputs` outputs (or classes).
    pub fn new(loss: impl Loss + 'static, outputs: usize) -> Self {
        Self::shared(Arc::new(loss) as Arc<dyn Loss>, outputs)
    }

    /// The same of a loss that [`parse`](crate::loss::parse) made, or that others use as well.
    pub fn shared(loss: impl Into<Arc<dyn Loss>>, outputs: usize) -> Self {
        Criterion {
            loss: loss.into(),
            level: SimdLevel::detect(),
            outputs,
            buffers: LossBuffers::default(),
            grad: Vec::new(),
            output: Vec::new(),
            kept: None,
            labels: Vec::new(),
            values: Vec::new(),
            weights: Vec::new(),
        }
    }

    /// The mean loss of a batch, on a SIMD level that the backward pass then has too. `output: [m, outputs]`; `targets`: of `m` samples; `weights: [m]`, of each sample, or
    /// `None`, where all are 1.
    ///
    /// # Panics
    /// If the lengths do not fit each other, or the loss does not take these targets ([`Loss::validate`]) or weights
    /// ([`validate_weights`]).
    pub fn forward(&mut self, simd: SimdLevel, output: &[f32], targets: Targets<'_>, weights: Option<&[f32]>) -> f32 {
        self.level = simd;
        self.check(output, targets, weights);
        copy(output, &mut self.output);
        match targets {
            Targets::Classes(labels) => copy(labels, &mut self.labels),
            Targets::Values(values) => copy(values, &mut self.values),
        }
        copy(weights.unwrap_or_default(), &mut self.weights);
        self.kept = Some(Kept { classes: matches!(targets, Targets::Classes(_)), weighted: weights.is_some() });
        let sums = self.loss.forward(self.level, self.outputs, output, targets, weights, &mut self.buffers);
        sums.mean() as f32
    }

    /// The derivative of that mean by the outputs: `[m, outputs]`.
    ///
    /// # Panics
    /// If there was no [`forward`](Self::forward) before.
    pub fn backward(&mut self) -> &[f32] {
        let kept = self.kept.expect("a criterion's backward needs a forward before it");
        let targets = if kept.classes { Targets::Classes(&self.labels) } else { Targets::Values(&self.values) };
        let weights = kept.weighted.then_some(&*self.weights);
        self.grad.resize(self.output.len(), 0.0);
        let (buffers, grad) = (&self.buffers, &mut self.grad);
        self.loss.backward(self.level, self.outputs, &self.output, targets, weights, buffers, grad);
        &self.grad
    }

    /// The loss itself.
    pub fn loss(&self) -> &dyn Loss {
        &*self.loss
    }

    /// `[m, outputs]`, of the last [`forward`](Self::forward), where outputs are logits; else empty.
    pub fn probabilities(&self) -> &[f32] {
        &self.buffers.probabilities
    }

    /// `[m]`: each sample's own loss, without its weight.
    pub fn losses(&self) -> &[f32] {
        &self.buffers.losses
    }

    /// `[m]`: each sample's class, where the loss has classes; else empty. See [`LossBuffers::predictions`].
    pub fn predictions(&self) -> &[u32] {
        &self.buffers.predictions
    }

    /// What the last batch adds up to.
    pub fn sums(&self) -> LossSums {
        self.buffers.sums
    }

    fn check(&self, output: &[f32], targets: Targets<'_>, weights: Option<&[f32]>) {
        assert!(self.outputs > 0, "a criterion needs at least one output");
        let samples = output.len() / self.outputs;
        let (found, expected) = match targets {
            Targets::Classes(labels) => (labels.len() * self.outputs, "one label for each sample"),
            Targets::Values(values) => (values.len(), "one value for each output"),
        };
        assert!(
            found == output.len(),
            "{} values of {} outputs a sample need targets, {expected}; these would fit {found} values",
            output.len(),
            self.outputs
        );
        if let Err(error) = self.loss.validate(self.outputs, targets) {
            panic!("{error}");
        }
        if let Some(weights) = weights {
            assert!(weights.len() == samples, "{} weights of {samples} samples", weights.len());
            if let Err(error) = validate_weights(weights) {
                panic!("{error}");
            }
        }
    }
}

fn copy<T: Copy>(from: &[T], to: &mut Vec<T>) {
    to.clear();
    to.extend_from_slice(from);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::{CrossEntropy, SquaredError};

    #[test]
    fn a_batch_of_another_size_kind_and_weight_leaves_nothing_behind() {
        let (simd, mut used) = (SimdLevel::detect(), Criterion::new(SquaredError, 2));
        type Batch<'a> = (&'a [f32], &'a [f32], Option<&'a [f32]>);
        let batches: [Batch<'_>; 4] = [
            (&[1.0, 2.0, 3.0, 4.0], &[0.0; 4], Some(&[1.0, 3.0])),
            (&[1.0, 2.0], &[3.0, 4.0], None),
            (&[], &[], None),
            (&[1.0, 2.0, 3.0, 4.0, 5.0, 7.0], &[1.0; 6], Some(&[0.0; 3])),
        ];
        for (output, values, weights) in batches {
            let mut fresh = Criterion::new(SquaredError, 2);
            let targets = Targets::Values(values);
            assert_eq!(used.forward(simd, output, targets, weights), fresh.forward(simd, output, targets, weights));
            assert_eq!(used.backward(), fresh.backward());
            assert_eq!((used.sums(), used.losses()), (fresh.sums(), fresh.losses()));
        }
        // Where nothing has weight there is nothing to learn, and no quotient of two zeros.
        assert_eq!((used.sums().mean(), used.backward()), (0.0, &[0.0; 6][..]));
    }

    #[test]
    #[should_panic(expected = "backward needs a forward")]
    fn a_backward_without_a_forward_says_so() {
        Criterion::new(CrossEntropy::new(), 3).backward();
    }

    #[test]
    #[should_panic(expected = "class numbers below 3, the number of outputs, found 3 (sample 1)")]
    fn a_label_out_of_range_is_named() {
        Criterion::new(CrossEntropy::new(), 3).forward(SimdLevel::detect(), &[0.0; 6], Targets::Classes(&[2, 3]), None);
    }

    #[test]
    #[should_panic(expected = "6 values of 3 outputs a sample need targets, one label for each sample")]
    fn a_missing_label_is_named() {
        Criterion::new(CrossEntropy::new(), 3).forward(SimdLevel::detect(), &[0.0; 6], Targets::Classes(&[2]), None);
    }

    #[test]
    #[should_panic(expected = "1 weights of 2 samples")]
    fn a_missing_weight_is_named() {
        Criterion::new(SquaredError, 1).forward(
            SimdLevel::detect(),
            &[0.0; 2],
            Targets::Values(&[1.0; 2]),
            Some(&[1.0]),
        );
    }

    #[test]
    #[should_panic(expected = "none below 0, found NaN (sample 1)")]
    fn a_weight_that_is_no_number_is_named() {
        Criterion::new(SquaredError, 1).forward(
            SimdLevel::detect(),
            &[0.0; 2],
            Targets::Values(&[1.0; 2]),
            Some(&[1.0, f32::NAN]),
        );
    }

    #[test]
    #[should_panic(expected = "none below 0, found -1 (sample 0)")]
    fn a_weight_below_0_is_named() {
        Criterion::new(SquaredError, 1).forward(
            SimdLevel::detect(),
            &[0.0; 2],
            Targets::Values(&[1.0; 2]),
            Some(&[-1.0, 1.0]),
        );
    }
}
