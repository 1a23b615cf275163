//! `one-cycle`: rises to the base rate and falls far below where it began (Smith and Topin, "Super-Convergence", 2018). The
//! learning rate of PyTorch's `OneCycleLR` in two phases, annealed by cosines; momentum does not cycle.

use crate::error::Result;
use crate::optim::schedule::cosine::anneal;
use crate::optim::schedule::{Position, Schedule, spec};

/// With `peak = rise total_steps - 1` and `last = total_steps - 1`: half a cosine from `base / divisor` at step 0 to `base` at
/// `peak`, and another from there to `base / divisor / final_divisor` at `last`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OneCycle {
    /// The share of steps that rise: PyTorch's `pct_start`.
    pub rise: f64,
    /// How far below the base rate the first one is: PyTorch's `div_factor`.
    pub divisor: f64,
    /// How far below the first rate the last one is: PyTorch's `final_div_factor`.
    pub final_divisor: f64,
}

impl Default for OneCycle {
    fn default() -> Self {
        OneCycle { rise: 0.3, divisor: 25.0, final_divisor: 1e4 }
    }
}

impl Schedule for OneCycle {
    fn spec(&self) -> String {
        format!("one-cycle:{}:{}:{}", self.rise, self.divisor, self.final_divisor)
    }

    fn validate(&self) -> Result<()> {
        spec::require(self.rise > 0.0 && self.rise < 1.0, self, "a RISE between 0 and 1")?;
        spec::require_factor(self.divisor, self, "DIVISOR")?;
        spec::require_factor(self.final_divisor, self, "FINAL_DIVISOR")
    }

    fn by_step(&self) -> bool {
        true
    }

    fn lr(&self, base: f64, at: &Position<'_>) -> f64 {
        let (step, total) = (at.step as f64, at.total_steps as f64);
        let (first, last) = (base / self.divisor, base / self.divisor / self.final_divisor);
        let peak = self.rise * total - 1.0;
        if step <= peak {
            // A peak at step 0 is PyTorch's division of 0 by 0; `anneal` takes it for the end of the rise.
            anneal(first, base, step, peak)
        } else {
            anneal(base, last, step - peak, total - 1.0 - peak)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_runs_have_a_rate_too() {
        let schedule = OneCycle { rise: 0.5, divisor: 4.0, final_divisor: 2.0 };
        // One step: the last. Two: the peak at step 0, then the last. The peak of five lies between steps 1 and 2.
        for (total, step, expected) in [(1, 0, 0.125), (2, 0, 1.0), (2, 1, 0.125), (5, 4, 0.125), (5, 9, 0.125)] {
            assert_eq!(schedule.lr(1.0, &Position::new(step, total, 1, &[])), expected, "step {step} of {total}");
        }
    }
}
