//! `plateau`: falls by a factor when the validation loss has stopped falling. As PyTorch's `ReduceLROnPlateau` with its
//! defaults: `min`, a relative threshold of 1e-4, no cooldown, `eps` 1e-8. Nothing is remembered: the losses are gone through
//! again each time.

use crate::error::Result;
use crate::optim::schedule::{Position, Schedule, spec};

/// A loss that is not below this share of the best one is no improvement.
const THRESHOLD: f64 = 1.0 - 1e-4;
/// A rate that would fall by no more than this stays as it is.
const SMALLEST_FALL: f64 = 1e-8;

/// The rate falls by `factor` after each `patience + 1` epochs in a row without an improvement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plateau {
    /// How many epochs without an improvement are let pass.
    pub patience: usize,
    /// What the rate is multiplied by.
    pub factor: f64,
}

impl Schedule for Plateau {
    fn spec(&self) -> String {
        format!("plateau:{}:{}", self.patience, self.factor)
    }

    fn validate(&self) -> Result<()> {
        spec::require(self.factor > 0.0 && self.factor < 1.0, self, "a FACTOR above 0 and below 1")
    }

    fn by_step(&self) -> bool {
        false
    }

    fn lr(&self, base: f64, at: &Position<'_>) -> f64 {
        let (mut lr, mut best, mut bad_epochs) = (base, f64::INFINITY, 0);
        for loss in at.val_losses {
            // False for a NaN as well.
            if *loss < best * THRESHOLD {
                (best, bad_epochs) = (*loss, 0);
            } else {
                bad_epochs += 1;
            }
            if bad_epochs > self.patience {
                let fallen = lr * self.factor;
                lr = if lr - fallen > SMALLEST_FALL { fallen } else { lr };
                bad_epochs = 0;
            }
        }
        lr
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fall_too_small_to_matter_is_left_out() {
        let at = Position::new(4, 1, 4, &[1.0, 1.0, 1.0, 1.0]);
        assert_eq!(Plateau { patience: 0, factor: 0.5 }.lr(8e-8, &at), 2e-8);
        assert_eq!(Plateau { patience: 0, factor: 0.5 }.lr(6e-8, &at), 1.5e-8);
        assert_eq!(Plateau { patience: 0, factor: 0.5 }.lr(1.5e-8, &at), 1.5e-8);
    }
}
