//! `multi-step`: falls by a factor after the epochs that are listed. As PyTorch's `MultiStepLR`.

use crate::error::Result;
use crate::optim::domain::power;
use crate::optim::schedule::{Position, Schedule, spec};

/// `lr = base gamma^(milestones reached)`.
#[derive(Debug, Clone, PartialEq)]
pub struct MultiStep {
    /// After how many epochs the rate falls; each more than the one before.
    pub milestones: Vec<usize>,
    /// The factor that each brings.
    pub gamma: f64,
}

impl Schedule for MultiStep {
    fn spec(&self) -> String {
        let milestones: Vec<_> = self.milestones.iter().map(usize::to_string).collect();
        format!("multi-step:{}:{}", milestones.join("+"), self.gamma)
    }

    fn validate(&self) -> Result<()> {
        let rising = !self.milestones.is_empty() && self.milestones.windows(2).all(|pair| pair[0] < pair[1]);
        spec::require(rising, self, "epochs in rising order, with + between them")?;
        spec::require_factor(self.gamma, self, "GAMMA")
    }

    fn by_step(&self) -> bool {
        false
    }

    fn lr(&self, base: f64, at: &Position<'_>) -> f64 {
        let reached = self.milestones.iter().filter(|milestone| **milestone <= at.epoch).count();
        base * power(self.gamma, reached as u64)
    }
}
