//! Sigmoid with binary cross entropy: for samples that have several labels, or none.

use crate::data::Targets;
use crate::error::Result;
use crate::kernels::{SimdLevel, losses};
use crate::loss::{ALL_ALIKE, Loss, LossBuffers, LossSums, difference, validate_values, values};

/// With `p = 1 / (1 + exp(-z))`: `-t ln(p) - (1 - t) ln(1 - p)`, the mean over a sample's outputs, then over samples, which
/// is PyTorch's `BCEWithLogitsLoss`. Outputs are logits; targets are 0 to 1, one for each output.
///
/// A sample is predicted right if every output is: `p > 1/2` where the target is above 1/2, else `p <= 1/2`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct BinaryCrossEntropy;

impl Loss for BinaryCrossEntropy {
    fn spec(&self) -> String {
        "binary-cross-entropy".into()
    }

    fn validate(&self, outputs: usize, targets: Targets<'_>) -> Result<()> {
        validate_values("binary-cross-entropy", outputs, targets, "values from 0 to 1", |t| (0.0..=1.0).contains(&t))
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
        let targets = values(targets);
        let LossBuffers { probabilities, losses, predictions, scratch, .. } = buffers;
        probabilities.resize(output.len(), 0.0);
        scratch.resize(output.len(), 0.0);
        losses.resize(output.len() / outputs, 0.0);
        losses::binary_cross_entropy_forward(level, output, targets, scratch, probabilities);
        losses::row_means(level, outputs, scratch, losses);
        predictions.clear();
        if outputs == 1 {
            predictions.extend(output.iter().map(|z| u32::from(*z > 0.0)));
        }
        buffers.sum_up(weights, losses::binary_correct(level, outputs, output, targets), ALL_ALIKE)
    }

    fn backward(
        &self,
        level: SimdLevel,
        outputs: usize,
        _output: &[f32],
        targets: Targets<'_>,
        weights: Option<&[f32]>,
        buffers: &LossBuffers,
        grad: &mut [f32],
    ) {
        difference::with_weights(level, outputs, weights, buffers, grad, |factor, grad| {
            losses::binary_cross_entropy_backward(level, &buffers.probabilities, values(targets), factor, grad);
        });
    }

    fn oracle(&self, output: &[f64], target: Targets<'_>) -> (f64, f64) {
        let loss = |(z, t): (&f64, &f32)| z.max(0.0) - z * f64::from(*t) + (-z.abs()).exp().ln_1p();
        let sum: f64 = output.iter().zip(values(target)).map(loss).sum();
        (sum / output.len() as f64, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_output_predicts_a_class_of_two_and_several_none() {
        let (mut buffers, level) = (LossBuffers::default(), SimdLevel::detect());
        let (output, targets) = ([2.0, -2.0, 0.0, 5.0], [1.0, 0.0, 0.0, 0.0]);
        let sums = BinaryCrossEntropy.forward(level, 1, &output, Targets::Values(&targets), None, &mut buffers);
        assert_eq!((&*buffers.predictions, sums.correct, sums.samples), (&[1, 0, 0, 1][..], 3, 4));
        let sums = BinaryCrossEntropy.forward(level, 2, &output, Targets::Values(&targets), None, &mut buffers);
        assert_eq!((&*buffers.predictions, sums.correct, sums.samples), (&[][..], 1, 2));
    }
}
