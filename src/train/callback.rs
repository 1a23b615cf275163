//! What a caller may do between batches and between epochs.

use std::ops::ControlFlow;

use crate::nn::Sequential;
use crate::train::history::{BatchRecord, EpochRecord};
use crate::train::state::TrainState;

/// A training batch has been done.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct BatchEnd {
    /// Counted from 1.
    pub epoch: usize,
    /// Counted from 0 in every epoch.
    pub batch: usize,
    /// The learning rate of its update.
    pub lr: f32,
    /// Its loss and correct predictions, before the update.
    pub record: BatchRecord,
}

/// An epoch has been trained and validated. The network and the state are in hand: what a callback does to them is what
/// training goes on with.
#[derive(Debug)]
#[non_exhaustive]
pub struct EpochEnd<'a> {
    /// Counted from 1.
    pub epoch: usize,
    /// What the epoch measured.
    pub record: EpochRecord,
    /// Of its training batches, those whose step all threads shared: a matter of time alone, see [`Sharing`].
    ///
    /// [`Sharing`]: crate::train::Sharing
    pub shared_batches: usize,
    /// The network after the epoch.
    pub model: &'a mut Sequential,
    /// Steps, optimizer slots and history so far.
    pub state: &'a mut TrainState,
}

/// Hears of batches and epochs, and may end the training. All of it happens on the thread that called `fit`.
///
/// A closure `|end: &mut EpochEnd| ...` is a callback that hears of epochs; `()` hears of nothing.
pub trait Callback: Send {
    /// After the update of a training batch. To break ends the training with this batch, and the epoch is not validated.
    fn after_batch(&mut self, end: &BatchEnd) -> ControlFlow<()> {
        let _ = end;
        ControlFlow::Continue(())
    }

    /// Now and then within a training batch of many samples, so that whoever waits need not wait for its end. To break gives the
    /// batch up: the network is what it was before it, and the epoch is not validated.
    fn within_batch(&mut self) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// After the validation of an epoch. To break ends the training with this epoch.
    fn after_epoch(&mut self, end: &mut EpochEnd<'_>) -> ControlFlow<()> {
        let _ = end;
        ControlFlow::Continue(())
    }
}

impl Callback for () {}

impl<F: FnMut(&mut EpochEnd<'_>) -> ControlFlow<()> + Send> Callback for F {
    fn after_epoch(&mut self, end: &mut EpochEnd<'_>) -> ControlFlow<()> {
        self(end)
    }
}
