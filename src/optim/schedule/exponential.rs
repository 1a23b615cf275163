//! `exp`: falls by a factor every epoch. As PyTorch's `ExponentialLR`.

use crate::error::Result;
use crate::optim::domain::power;
use crate::optim::schedule::{Position, Schedule, spec};

/// `lr = base gamma^epoch`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exponential {
    /// The factor of one epoch.
    pub gamma: f64,
}

impl Schedule for Exponential {
    fn spec(&self) -> String {
        format!("exp:{}", self.gamma)
    }

    fn validate(&self) -> Result<()> {
        spec::require_factor(self.gamma, self, "GAMMA")
    }

    fn by_step(&self) -> bool {
        false
    }

    fn lr(&self, base: f64, at: &Position<'_>) -> f64 {
        base * power(self.gamma, at.epoch as u64)
    }
}
