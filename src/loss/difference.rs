//! What the losses of `output - target` share: they differ in a kernel and an oracle.

use crate::data::Targets;
use crate::error::Result;
use crate::kernels::SimdLevel;
use crate::kernels::losses::{self, OfDifference};
use crate::loss::{ALL_ALIKE, LossBuffers, LossSums, validate_values, values};

/// The passes of a loss that is [`OfDifference`]: one like the other.
macro_rules! passes {
    () => {
        fn forward(
            &self,
            level: SimdLevel,
            outputs: usize,
            output: &[f32],
            targets: Targets<'_>,
            weights: Option<&[f32]>,
            buffers: &mut LossBuffers,
        ) -> LossSums {
            difference::forward(level, *self, outputs, (output, targets, weights), buffers)
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
            difference::backward(level, *self, outputs, (output, targets, weights), buffers, grad);
        }
    };
}
pub(super) use passes;

pub(super) fn validate(name: &str, outputs: usize, targets: Targets<'_>) -> Result<()> {
    validate_values(name, outputs, targets, "finite numbers", f32::is_finite)
}

pub(super) fn forward(
    level: SimdLevel,
    loss: impl OfDifference,
    outputs: usize,
    (output, targets, weights): (&[f32], Targets<'_>, Option<&[f32]>),
    buffers: &mut LossBuffers,
) -> LossSums {
    buffers.probabilities.clear();
    buffers.predictions.clear();
    buffers.losses.resize(output.len() / outputs, 0.0);
    buffers.scratch.resize(output.len(), 0.0);
    losses::difference_forward(level, loss, output, values(targets), &mut buffers.scratch);
    losses::row_means(level, outputs, &buffers.scratch, &mut buffers.losses);
    buffers.sum_up(weights, 0, ALL_ALIKE)
}

pub(super) fn backward(
    level: SimdLevel,
    loss: impl OfDifference,
    outputs: usize,
    (output, targets, weights): (&[f32], Targets<'_>, Option<&[f32]>),
    buffers: &LossBuffers,
    grad: &mut [f32],
) {
    with_weights(level, outputs, weights, buffers, grad, |factor, grad| {
        losses::difference_backward(level, loss, output, values(targets), factor, grad);
    });
}

/// The gradient of a weighted mean over samples of means over outputs: `slopes` writes a factor times the elements' own.
pub(super) fn with_weights(
    level: SimdLevel,
    outputs: usize,
    weights: Option<&[f32]>,
    buffers: &LossBuffers,
    grad: &mut [f32],
    slopes: impl FnOnce(f32, &mut [f32]),
) {
    let factor = buffers.sums.per_weight() / outputs as f64;
    match weights {
        None => slopes(factor as f32, grad),
        Some(weights) => {
            // A weight and what it is divided by are put together first: either may be beyond f32 alone.
            slopes(1.0, grad);
            losses::scale_rows(level, outputs, factor, weights, grad);
        }
    }
}

/// The mean over one sample's outputs of `loss(output - target)`, which counts 1.
pub(super) fn oracle(output: &[f64], target: Targets<'_>, loss: impl Fn(f64) -> f64) -> (f64, f64) {
    let sum: f64 = output.iter().zip(values(target)).map(|(output, target)| loss(output - f64::from(*target))).sum();
    (sum / output.len() as f64, 1.0)
}
