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
mod polynomial;
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
pub use polynomial::Polynomial;
pub use spec::{examples, parse, usages};
pub use step::Step;
pub use warmup::{Length, Warmup};

type Make = fn(&mut spec::Arguments<'_>) -> Option<Box<dyn Schedule>>;

/// How a schedule is written, one as an example, and how it is made of what stands after its name (`None`: an argument
/// cannot be read): the one list. A new schedule is a file and its lines here.
const SCHEDULES: &[(&str, &str, Make)] = &[
    ("constant", "constant", |arguments| arguments.none_left().then(|| Box::new(Constant) as _)),
    ("step:EPOCHS:GAMMA", "step:1:0.5", |arguments| {
        let (epochs, gamma) = (arguments.next()?, arguments.next()?);
        arguments.none_left().then(|| Box::new(Step { epochs, gamma }) as _)
    }),
    ("multi-step:EPOCH+EPOCH+...:GAMMA", "multi-step:1+2:0.3", |arguments| {
        let milestones = arguments.text()?.split('+').map(|epoch| epoch.parse().ok()).collect::<Option<_>>()?;
        let gamma = arguments.next()?;
        arguments.none_left().then(|| Box::new(MultiStep { milestones, gamma }) as _)
    }),
    ("exp:GAMMA", "exp:0.9", |arguments| {
        let gamma = arguments.next()?;
        arguments.none_left().then(|| Box::new(Exponential { gamma }) as _)
    }),
    ("cosine[:MIN]", "cosine", |arguments| {
        let min = arguments.next_or(0.0)?;
        arguments.none_left().then(|| Box::new(Cosine { min }) as _)
    }),
    ("cosine-step[:MIN]", "cosine-step", |arguments| {
        let min = arguments.next_or(0.0)?;
        arguments.none_left().then(|| Box::new(CosineStep { min }) as _)
    }),
    ("one-cycle[:RISE[:DIVISOR[:FINAL_DIVISOR]]]", "one-cycle", |arguments| {
        let default = OneCycle::default();
        let rise = arguments.next_or(default.rise)?;
        let divisor = arguments.next_or(default.divisor)?;
        let final_divisor = arguments.next_or(default.final_divisor)?;
        arguments.none_left().then(|| Box::new(OneCycle { rise, divisor, final_divisor }) as _)
    }),
    ("plateau:PATIENCE:FACTOR", "plateau:0:0.25", |arguments| {
        let (patience, factor) = (arguments.next()?, arguments.next()?);
        arguments.none_left().then(|| Box::new(Plateau { patience, factor }) as _)
    }),
    ("poly[:POWER]", "poly:2", |arguments| {
        let power = arguments.next_or(1)?;
        arguments.none_left().then(|| Box::new(Polynomial { power }) as _)
    }),
    ("warmup:STEPS:SCHEDULE", "warmup:7:exp:0.8", |arguments| {
        let length = Length::Steps(arguments.next()?);
        Some(Box::new(Warmup { length, inner: arguments.schedule()? }))
    }),
    ("warmup-epochs:EPOCHS:SCHEDULE", "warmup-epochs:1:cosine", |arguments| {
        let length = Length::Epochs(arguments.next()?);
        Some(Box::new(Warmup { length, inner: arguments.schedule()? }))
    }),
];

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
