//! Mean absolute error: for measured values with outliers, which it weighs no more than by their size.

use crate::data::Targets;
use crate::error::Result;
use crate::kernels::SimdLevel;
use crate::kernels::lanes::Lanes;
use crate::kernels::losses::OfDifference;
use crate::loss::{Loss, LossBuffers, LossSums, difference};

/// `|z - t|`, the mean over a sample's outputs, then over samples: PyTorch's `L1Loss`. Its gradient at 0 is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct AbsoluteError;

impl Loss for AbsoluteError {
    fn spec(&self) -> String {
        "absolute-error".into()
    }

    fn validate(&self, outputs: usize, targets: Targets<'_>) -> Result<()> {
        difference::validate("absolute-error", outputs, targets)
    }

    difference::passes!();

    fn oracle(&self, output: &[f64], target: Targets<'_>) -> (f64, f64) {
        difference::oracle(output, target, f64::abs)
    }
}

impl OfDifference for AbsoluteError {
    #[inline(always)]
    fn value<V: Lanes>(self, d: V) -> V {
        d.abs()
    }

    #[inline(always)]
    fn slope<V: Lanes>(self, d: V) -> V {
        d.sign()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::levels;

    #[test]
    fn a_target_that_is_met_has_no_gradient_and_one_that_is_no_number_is_not_met() {
        let (output, targets) = ([1.0, 2.0, f32::NAN, -5.0], Targets::Values(&[1.0, 3.0, 0.0, -6.0]));
        for level in levels() {
            let (mut buffers, mut grad) = (LossBuffers::default(), [f32::NAN; 4]);
            AbsoluteError.forward(level, 1, &output, targets, None, &mut buffers);
            AbsoluteError.backward(level, 1, &output, targets, None, &buffers, &mut grad);
            assert_eq!((grad[0], grad[1], grad[3]), (0.0, -0.25, 0.25));
            assert!(grad[2].is_nan());
        }
    }
}
