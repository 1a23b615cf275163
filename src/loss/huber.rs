//! Huber's loss: for measured values with outliers; smooth where the error is small.

use crate::data::Targets;
use crate::error::{Error, Result};
use crate::kernels::SimdLevel;
use crate::kernels::lanes::Lanes;
use crate::kernels::losses::OfDifference;
use crate::loss::{Loss, LossBuffers, LossSums, difference, setting};

/// With `d = z - t`: `d^2 / 2` where `|d| <= delta`, else `delta (|d| - delta / 2)`; the mean over a sample's outputs, then
/// over samples: PyTorch's `HuberLoss`. (Huber, "Robust estimation of a location parameter", 1964.)
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Huber {
    delta: f32,
}

impl Huber {
    /// `delta`, above 0: the error from which on the loss grows in a line.
    pub fn new(delta: f32) -> Self {
        Huber { delta }
    }

    pub(super) fn parse(delta: Option<&str>) -> Result<Self> {
        let Some(text) = delta else {
            return Ok(Self::default());
        };
        let huber = Huber::new(text.parse().map_err(|_| refuse(text))?);
        huber.check().map(|()| huber)
    }

    fn check(&self) -> Result<()> {
        let valid = self.delta.is_finite() && self.delta > 0.0;
        if valid { Ok(()) } else { Err(refuse(&self.delta.to_string())) }
    }
}

/// A delta of 1, as in PyTorch.
impl Default for Huber {
    fn default() -> Self {
        Huber::new(1.0)
    }
}

fn refuse(delta: &str) -> Error {
    setting("loss", format!("'huber:{delta}'"), "a finite number above 0 after huber:")
}

impl Loss for Huber {
    fn spec(&self) -> String {
        format!("huber:{}", self.delta)
    }

    fn validate(&self, outputs: usize, targets: Targets<'_>) -> Result<()> {
        self.check()?;
        difference::validate("huber", outputs, targets)
    }

    difference::passes!();

    fn oracle(&self, output: &[f64], target: Targets<'_>) -> (f64, f64) {
        let delta = f64::from(self.delta);
        let loss = |d: f64| if d.abs() <= delta { d * d / 2.0 } else { delta * (d.abs() - delta / 2.0) };
        difference::oracle(output, target, loss)
    }
}

impl OfDifference for Huber {
    #[inline(always)]
    fn value<V: Lanes>(self, d: V) -> V {
        let size = d.abs();
        let cut = size.limited(self.delta);
        cut * cut.fma_by(-0.5, size)
    }

    #[inline(always)]
    fn slope<V: Lanes>(self, d: V) -> V {
        d.limited(self.delta)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delta_that_is_not_above_0_is_refused_at_the_door() {
        for delta in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            let error = Huber::new(delta).validate(1, Targets::Values(&[1.0])).unwrap_err().to_string();
            assert!(error.contains(&format!("'huber:{delta}'")) && error.contains("above 0"), "{error}");
        }
    }
}
