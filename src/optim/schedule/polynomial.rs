//! `poly`: falls to 0 over the run along a power of what is left of it. As PyTorch's `PolynomialLR`.

use crate::error::Result;
use crate::optim::domain::power;
use crate::optim::schedule::{Position, Schedule, spec};

/// `lr = base (1 - epoch / epochs)^power`; a power of 1 is a straight line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Polynomial {
    /// A whole number of at least 1: repeated products have the same bits everywhere, which powers of fractions have not.
    pub power: u64,
}

impl Schedule for Polynomial {
    fn spec(&self) -> String {
        format!("poly:{}", self.power)
    }

    fn validate(&self) -> Result<()> {
        spec::require(self.power >= 1, self, "a POWER of at least 1")
    }

    fn by_step(&self) -> bool {
        false
    }

    fn lr(&self, base: f64, at: &Position<'_>) -> f64 {
        let left = at.epochs.saturating_sub(at.epoch) as f64 / at.epochs.max(1) as f64;
        base * power(left, self.power)
    }
}
