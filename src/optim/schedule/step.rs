//! `step`: falls by a factor every so many epochs. As PyTorch's `StepLR`.

use crate::error::Result;
use crate::optim::domain::power;
use crate::optim::schedule::{Position, Schedule, spec};

/// `lr = base gamma^(epoch / epochs, rounded down)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// How many epochs have one learning rate.
    pub epochs: usize,
    /// The factor between them.
    pub gamma: f64,
}

impl Schedule for Step {
    fn spec(&self) -> String {
        format!("step:{}:{}", self.epochs, self.gamma)
    }

    fn validate(&self) -> Result<()> {
        spec::require(self.epochs > 0, self, "at least 1 epoch")?;
        spec::require_factor(self.gamma, self, "GAMMA")
    }

    fn by_step(&self) -> bool {
        false
    }

    fn lr(&self, base: f64, at: &Position<'_>) -> f64 {
        base * power(self.gamma, (at.epoch / self.epochs) as u64)
    }
}
