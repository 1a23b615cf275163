//! What a pass through a network depends on beside the network and the batch.

use crate::kernels::SimdLevel;
use crate::rng::DrawKey;

/// Whether a network learns or is used: dropout differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Dropout drops.
    Train,
    /// Every unit takes part.
    Evaluate,
}

/// Everything a pass depends on beside parameters and data. No layer, loss or batch keeps any of it.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// Which vector instructions run. Our own kernels give the same bits on every level.
    pub simd: SimdLevel,
    /// Whether the network learns.
    pub mode: Mode,
    /// What random draws of the pass depend on.
    pub draw_key: DrawKey,
}

impl Context {
    /// For training, on the widest level of this machine, before the first batch; [`Self::at`] says which batch it is.
    pub fn train(seed: u64) -> Self {
        Context {
            mode: Mode::Train,
            draw_key: DrawKey { seed, epoch: 0, batch: 0, first_sample: 0 },
            ..Self::evaluate()
        }
    }

    /// For predictions, on the widest level of this machine.
    pub fn evaluate() -> Self {
        let draw_key = DrawKey { seed: 0, epoch: 0, batch: 0, first_sample: 0 };
        Context { simd: SimdLevel::detect(), mode: Mode::Evaluate, draw_key }
    }

    /// The same on a given level.
    #[must_use]
    pub fn with_simd(self, simd: SimdLevel) -> Self {
        Context { simd, ..self }
    }

    /// The same for a batch of an epoch, so that its random draws are its own.
    #[must_use]
    pub fn at(self, epoch: usize, batch: usize) -> Self {
        let draw_key = DrawKey { epoch: epoch as u64, batch: batch as u64, ..self.draw_key };
        Context { draw_key, ..self }
    }

    /// The same for the samples of a batch from `first` on, where each draws what it would draw in the whole batch.
    pub(crate) fn starting_at_sample(self, first: usize) -> Self {
        Context { draw_key: DrawKey { first_sample: first as u32, ..self.draw_key }, ..self }
    }
}
