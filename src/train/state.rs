//! Where training stands: everything that the next epoch depends on beside the network, the data and the settings.

use crate::nn::Sequential;
use crate::optim::{Optimizer, OptimizerState};
use crate::train::history::History;

/// Where training stands. The orders of samples and the draws of dropout follow from the seed and the epoch, the learning
/// rate from the steps, the epochs and the validation losses, so this is all there is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TrainState {
    /// Epochs done.
    pub epoch: usize,
    /// Steps done and the optimizer's slots, in the layout of the network's parameters.
    pub optimizer: OptimizerState,
    /// What the epochs measured.
    pub history: History,
}

impl TrainState {
    /// Before the first epoch of training `model` with `optimizer`.
    pub fn new(model: &Sequential, optimizer: &dyn Optimizer) -> Self {
        TrainState {
            epoch: 0,
            optimizer: OptimizerState::new(optimizer, model.buffer_len()),
            history: History::default(),
        }
    }
}
