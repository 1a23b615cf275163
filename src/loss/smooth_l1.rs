//! Smooth L1: absolute error with its kink rounded off (Girshick, "Fast R-CNN", 2015).

use crate::data::Targets;
use crate::error::{Error, Result};
use crate::kernels::SimdLevel;
use crate::kernels::lanes::Lanes;
use crate::kernels::losses::OfDifference;
use crate::loss::{Loss, LossBuffers, LossSums, difference, setting};

/// With `d = z - t`: `d^2 / (2 beta)` where `|d| < beta`, else `|d| - beta / 2`; the mean over a sample's outputs, then over
/// samples: PyTorch's `SmoothL1Loss`. It is [`Huber`](super::Huber) divided by its delta: slopes are at most 1 whatever the
/// width of the rounding.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SmoothL1 {
    beta: f32,
}

impl Default for SmoothL1 {
    fn default() -> Self {
        SmoothL1 { beta: 1.0 }
    }
}

impl SmoothL1 {
    /// Rounded off within `beta` of the target, in units of the output: above 0 and finite.
    pub fn new(beta: f32) -> Self {
        SmoothL1 { beta }
    }

    pub(super) fn parse(beta: Option<&str>) -> Result<Self> {
        let Some(text) = beta else { return Ok(Self::default()) };
        match text.parse() {
            Ok(beta) if Self::new(beta).is_valid() => Ok(Self::new(beta)),
            _ => Err(invalid(text)),
        }
    }

    fn per_beta(self) -> f32 {
        1.0 / self.beta
    }

    fn is_valid(self) -> bool {
        self.beta > 0.0 && self.beta.is_finite() && self.per_beta().is_normal()
    }
}

fn invalid(beta: &str) -> Error {
    setting("loss", format!("'smooth-l1:{beta}'"), "smooth-l1:BETA with a positive finite number")
}

impl Loss for SmoothL1 {
    fn spec(&self) -> String {
        format!("smooth-l1:{}", self.beta)
    }

    fn validate(&self, outputs: usize, targets: Targets<'_>) -> Result<()> {
        if !self.is_valid() {
            return Err(invalid(&self.beta.to_string()));
        }
        difference::validate("smooth-l1", outputs, targets)
    }

    difference::passes!();

    fn oracle(&self, output: &[f64], target: Targets<'_>) -> (f64, f64) {
        let beta = f64::from(self.beta);
        difference::oracle(output, target, |d| if d.abs() < beta { d * d / (2.0 * beta) } else { d.abs() - beta / 2.0 })
    }
}

impl OfDifference for SmoothL1 {
    #[inline(always)]
    fn value<V: Lanes>(self, d: V) -> V {
        let size = d.abs();
        let cut = size.limited(self.beta);
        cut.fma_by(-0.5, size) * (cut * self.per_beta())
    }

    #[inline(always)]
    fn slope<V: Lanes>(self, d: V) -> V {
        (d * self.per_beta()).limited(1.0)
    }
}
