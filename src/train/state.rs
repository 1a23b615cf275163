//! Where training stands: everything that the next epoch depends on beside the network, the data and the settings.

use crate::kernels::AlignedVec;
use crate::nn::Sequential;
use crate::optim::{Optimizer, OptimizerState};
use crate::train::history::History;
use crate::train::observer::Observed;

/// The parameters after an epoch that was better than all before it, by the figure that [`Trainer::monitor`] names.
///
/// [`Trainer::monitor`]: crate::Trainer::monitor
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BestParameters {
    /// Counted from 1.
    pub epoch: usize,
    /// All parameters, in the network's own layout.
    pub(crate) values: AlignedVec,
}

impl BestParameters {
    /// Those of `model` as it is.
    pub(crate) fn of(model: &Sequential, epoch: usize) -> Self {
        BestParameters { epoch, values: model.buffer().into() }
    }

    /// `model` with these parameters in place of its own.
    pub fn model(&self, model: &Sequential) -> Sequential {
        with_parameters(model, &self.values)
    }
}

fn with_parameters(model: &Sequential, values: &[f32]) -> Sequential {
    let mut model = model.clone();
    model.buffer_mut().copy_from_slice(values);
    model
}

/// Where training stands. The orders of samples and the draws of dropout follow from the seed and the epoch, the learning
/// rate from the steps, the epochs and the validation losses, and so does what early stopping has waited; this is all there is.
///
/// It may stand within an epoch: where a callback broke after a batch, [`Trainer::fit_from`] goes on with the next one, and
/// comes to the same bits as if it had not been interrupted.
///
/// [`Trainer::fit_from`]: crate::Trainer::fit_from
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TrainState {
    /// Epochs done.
    pub epoch: usize,
    /// Batches done of the epoch that follows them. Their records are the last of [`History::train_batches`].
    pub batch: usize,
    /// Seconds spent on these batches.
    pub batch_seconds: f64,
    /// Steps done and the optimizer's slots, in the layout of the network's parameters.
    pub optimizer: OptimizerState,
    /// What the epochs measured.
    pub history: History,
    /// Those of the best epoch so far; `None` before the end of the first.
    pub best: Option<BestParameters>,
    /// Where training stands within an epoch: the parameters that the last whole one left, which its figures are of.
    pub(crate) whole: Option<AlignedVec>,
    /// Likewise: what was seen of the batches done.
    pub(crate) observed: Option<Observed>,
}

impl TrainState {
    /// Before the first epoch of training `model` with `optimizer`.
    pub fn new(model: &Sequential, optimizer: &dyn Optimizer) -> Self {
        TrainState {
            epoch: 0,
            batch: 0,
            batch_seconds: 0.0,
            optimizer: OptimizerState::new(optimizer, model.buffer_len()),
            history: History::default(),
            best: None,
            whole: None,
            observed: None,
        }
    }

    /// The network that the last whole epoch left, which the history's figures are of: `model` itself unless training stands
    /// within an epoch.
    pub fn whole_model(&self, model: &Sequential) -> Sequential {
        self.whole.as_ref().map_or_else(|| model.clone(), |values| with_parameters(model, values))
    }

    /// The network that the best epoch left; `model` before the end of the first one.
    pub fn best_model(&self, model: &Sequential) -> Sequential {
        self.best.as_ref().map_or_else(|| self.whole_model(model), |best| best.model(model))
    }
}
