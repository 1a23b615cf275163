//! `cosine` and `cosine-step`: half a cosine from the base rate to a smallest one (Loshchilov and Hutter, "SGDR", 2017, without
//! its restarts). As PyTorch's `CosineAnnealingLR`, stepped after each epoch or after each batch; past the end of the run, where
//! PyTorch's rises again, the rate stays at its smallest.

use std::f64::consts::PI;

use crate::error::Result;
use crate::optim::schedule::{Position, Schedule, spec};

/// `lr = min + (base - min) (1 + cos(pi epoch / epochs)) / 2`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cosine {
    /// PyTorch's `eta_min`.
    pub min: f64,
}

/// `lr = min + (base - min) (1 + cos(pi step / total_steps)) / 2`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CosineStep {
    /// PyTorch's `eta_min`.
    pub min: f64,
}

/// From `start` to `end` as `done` of `total` goes from 0 to all; beyond that, `end`.
pub(super) fn anneal(start: f64, end: f64, done: f64, total: f64) -> f64 {
    let share = if done < total { done / total } else { 1.0 };
    end + (start - end) * (1.0 + (PI * share).cos()) / 2.0
}

impl Schedule for Cosine {
    fn spec(&self) -> String {
        format!("cosine:{}", self.min)
    }

    fn validate(&self) -> Result<()> {
        spec::require(self.min >= 0.0 && self.min.is_finite(), self, "a finite MIN of at least 0")
    }

    fn by_step(&self) -> bool {
        false
    }

    fn lr(&self, base: f64, at: &Position<'_>) -> f64 {
        anneal(base, self.min, at.epoch as f64, at.epochs as f64)
    }
}

impl Schedule for CosineStep {
    fn spec(&self) -> String {
        format!("cosine-step:{}", self.min)
    }

    fn validate(&self) -> Result<()> {
        spec::require(self.min >= 0.0 && self.min.is_finite(), self, "a finite MIN of at least 0")
    }

    fn by_step(&self) -> bool {
        true
    }

    fn lr(&self, base: f64, at: &Position<'_>) -> f64 {
        anneal(base, self.min, at.step as f64, at.total_steps as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_the_smallest_rate_and_so_is_all_beyond() {
        for step in [100, 130] {
            let at = Position::new(step, 10, 10, &[]);
            assert_eq!(Cosine { min: 0.25 }.lr(1.0, &at), 0.25);
            assert_eq!(CosineStep { min: 0.25 }.lr(1.0, &at), 0.25);
        }
        assert_eq!(Cosine { min: 0.0 }.lr(1.0, &Position::new(0, 0, 0, &[])), 0.0);
    }
}
