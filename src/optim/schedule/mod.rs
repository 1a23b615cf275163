//! Learning rate schedules: what a step's learning rate is, from where training stands and nothing else, so that a run
//! that is taken up again needs no more than its position. Definitions are PyTorch's (`torch/optim/lr_scheduler.py`), in f64.
//!
//! A schedule is written `NAME` or `NAME:ARGUMENT:...`; [`parse`] knows all of them from one list.

mod constant;
mod cosine;
mod exponential;
mod multi_step;
mod one_cycle;
mod plateau;
mod spec;
mod step;
mod warmup;

use std::fmt;

use crate::error::Result;

pub use constant::Constant;
pub use cosine::{Cosine, CosineStep};
pub use exponential::Exponential;
pub use multi_step::MultiStep;
pub use one_cycle::OneCycle;
pub use plateau::Plateau;
pub use spec::{examples, parse, usages};
pub use step::Step;
pub use warmup::{Length, Warmup};

/// Where training stands when a learning rate is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Position<'a> {
    /// Batches done, in all epochs.
    pub step: u64,
    /// Batches in all the epochs asked for.
    pub total_steps: u64,
    /// Epochs done.
    pub epoch: usize,
    /// Epochs asked for.
    pub epochs: usize,
    /// Batches in an epoch.
    pub steps_per_epoch: u64,
    /// Validation losses of the epochs done.
    pub val_losses: &'a [f64],
}

impl<'a> Position<'a> {
    /// After `step` batches of a run of `epochs` epochs.
    pub fn new(step: u64, steps_per_epoch: u64, epochs: usize, val_losses: &'a [f64]) -> Self {
        let epoch = (step / steps_per_epoch.max(1)) as usize;
        Position { step, total_steps: epochs as u64 * steps_per_epoch, epoch, epochs, steps_per_epoch, val_losses }
    }
}

/// A learning rate over the course of training.
pub trait Schedule: fmt::Debug + Send + Sync {
    /// As `--lr-schedule` writes it, every argument in full; [`parse`] reads it back.
    fn spec(&self) -> String;

    /// Whether every setting is in its domain.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting), which names `lr_schedule`.
    fn validate(&self) -> Result<()>;

    /// Whether the learning rate may change within an epoch.
    fn by_step(&self) -> bool;

    /// The learning rate of the batch that comes next. `base` is the optimizer's.
    fn lr(&self, base: f64, at: &Position<'_>) -> f64;
}

impl<S: Schedule + ?Sized> Schedule for Box<S> {
    fn spec(&self) -> String {
        (**self).spec()
    }

    fn validate(&self) -> Result<()> {
        (**self).validate()
    }

    fn by_step(&self) -> bool {
        (**self).by_step()
    }

    fn lr(&self, base: f64, at: &Position<'_>) -> f64 {
        (**self).lr(base, at)
    }
}
