//! `warmup` and `warmup-epochs`: a straight rise, then another schedule from its beginning. As PyTorch's
//! `SequentialLR([LinearLR(start_factor=1 / (N + 1), total_iters=N), inner], milestones=[N])`, stepped after each batch or after
//! each epoch.

use crate::error::Result;
use crate::optim::schedule::{Position, Schedule, spec};

/// How long a warm-up takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// So many batches; the rate rises with each.
    Steps(u64),
    /// So many epochs; the rate rises with each, and stays within one.
    Epochs(usize),
}

/// Of a warm-up of `N`, number `t` (from 0) has `lr = base (t + 1) / (N + 1)`: all are below `base`, in equal steps.
///
/// Then comes `inner`, for which training begins where the warm-up ends: it has that many fewer steps and epochs left, and
/// knows no loss of before. An epoch in which a warm-up by steps ends is its first.
#[derive(Debug)]
pub struct Warmup {
    /// How long it takes.
    pub length: Length,
    /// What comes then.
    pub inner: Box<dyn Schedule>,
}

impl Warmup {
    /// A warm-up of so many epochs before `inner`.
    pub fn epochs(epochs: usize, inner: impl Schedule + 'static) -> Self {
        Warmup { length: Length::Epochs(epochs), inner: Box::new(inner) }
    }

    /// A warm-up of so many batches before `inner`.
    pub fn steps(steps: u64, inner: impl Schedule + 'static) -> Self {
        Warmup { length: Length::Steps(steps), inner: Box::new(inner) }
    }
}

impl Schedule for Warmup {
    fn spec(&self) -> String {
        let inner = self.inner.spec();
        match self.length {
            Length::Steps(steps) => format!("warmup:{steps}:{inner}"),
            Length::Epochs(epochs) => format!("warmup-epochs:{epochs}:{inner}"),
        }
    }

    fn validate(&self) -> Result<()> {
        let empty = matches!(self.length, Length::Steps(0) | Length::Epochs(0));
        spec::require(!empty, self, "a warm-up of at least 1")?;
        spec::require(!self.inner.spec().starts_with("warmup"), self, "no warm-up after a warm-up")?;
        self.inner.validate()
    }

    fn by_step(&self) -> bool {
        matches!(self.length, Length::Steps(_)) || self.inner.by_step()
    }

    fn lr(&self, base: f64, at: &Position<'_>) -> f64 {
        let (done, length) = match self.length {
            Length::Steps(steps) => (at.step, steps),
            Length::Epochs(epochs) => (at.epoch as u64, epochs as u64),
        };
        if done < length {
            return base * (done + 1) as f64 / (length + 1) as f64;
        }
        let (steps, epochs) = match self.length {
            Length::Steps(steps) => (steps, (steps / at.steps_per_epoch.max(1)) as usize),
            Length::Epochs(epochs) => (epochs as u64 * at.steps_per_epoch, epochs),
        };
        let rest = Position {
            step: at.step.saturating_sub(steps),
            total_steps: at.total_steps.saturating_sub(steps),
            epoch: at.epoch.saturating_sub(epochs),
            epochs: at.epochs.saturating_sub(epochs),
            steps_per_epoch: at.steps_per_epoch,
            val_losses: at.val_losses.get(epochs..).unwrap_or_default(),
        };
        self.inner.lr(base, &rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::schedule::{OneCycle, Plateau, parse};

    /// PyTorch cannot put its `OneCycleLR` or `ReduceLROnPlateau` after a `LinearLR`.
    #[test]
    fn what_follows_begins_where_the_warm_up_ends() {
        let cycle = OneCycle::default();
        let warmed = parse("warmup:15:one-cycle").unwrap();
        for step in 15..100 {
            let rest = Position::new(step - 15, 85, 1, &[]);
            assert_eq!(warmed.lr(0.5, &Position::new(step, 10, 10, &[])), cycle.lr(0.5, &rest));
        }
        let warmed = parse("warmup-epochs:2:plateau:0:0.5").unwrap();
        let losses = [9.0, 9.0, 1.0, 2.0, 2.0];
        for epoch in 2..=5 {
            let rest = Position::new(0, 1, 1, &losses[2..epoch]);
            let at = Position::new(epoch as u64 * 10, 10, 8, &losses[..epoch]);
            assert_eq!(warmed.lr(0.5, &at), Plateau { patience: 0, factor: 0.5 }.lr(0.5, &rest));
        }
    }

    #[test]
    fn an_epoch_in_which_a_warm_up_ends_is_the_first_of_what_follows() {
        let warmed = parse("warmup:15:step:2:0.5").unwrap();
        for (step, expected) in [(14, 15.0 / 16.0), (15, 1.0), (29, 1.0), (30, 0.5), (49, 0.5), (50, 0.25)] {
            assert_eq!(warmed.lr(1.0, &Position::new(step, 10, 10, &[])), expected, "step {step}");
        }
    }
}
