//! Mean squared error: for measured values, where a large error is much worse than several small ones.

use crate::data::Targets;
use crate::error::Result;
use crate::kernels::SimdLevel;
use crate::kernels::lanes::Lanes;
use crate::kernels::losses::OfDifference;
use crate::loss::{Loss, LossBuffers, LossSums, difference};

/// `(z - t)^2`, the mean over a sample's outputs, then over samples: PyTorch's `MSELoss`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SquaredError;

impl Loss for SquaredError {
    fn spec(&self) -> String {
        "squared-error".into()
    }

    fn validate(&self, outputs: usize, targets: Targets<'_>) -> Result<()> {
        difference::validate("squared-error", outputs, targets)
    }

    difference::passes!();

    fn oracle(&self, output: &[f64], target: Targets<'_>) -> (f64, f64) {
        difference::oracle(output, target, |d| d * d)
    }
}

impl OfDifference for SquaredError {
    #[inline(always)]
    fn value<V: Lanes>(self, d: V) -> V {
        d * d
    }

    #[inline(always)]
    fn slope<V: Lanes>(self, d: V) -> V {
        d + d
    }
}
