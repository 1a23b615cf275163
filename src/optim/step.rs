//! A step over a whole network: its parameters tensor by tensor.

use crate::error::Result;
use crate::kernels::{AlignedVec, SimdLevel};
use crate::nn::Sequential;
use crate::optim::{Optimizer, OptimizerState};

impl OptimizerState {
    /// Before the first step of `model`'s parameters.
    pub fn of(optimizer: &dyn Optimizer, model: &Sequential) -> Self {
        Self::new(optimizer, model.buffer_len())
    }

    /// The same for a shard, whose slots are filled from those of the whole network.
    pub(crate) fn with_slots(slots: usize, len: usize) -> Self {
        OptimizerState { step: 0, slots: (0..slots).map(|_| AlignedVec::zeros(len)).collect() }
    }

    /// One step with the gradients that `model` has; nothing where it has none. `step` has been counted.
    pub(crate) fn update<O: Optimizer + ?Sized>(
        &mut self,
        optimizer: &O,
        lr: f32,
        simd: SimdLevel,
        model: &mut Sequential,
    ) {
        let (step, slots) = (self.step, &mut self.slots);
        model.for_each_gradient(|range, bias, params, grads| {
            let decays = !bias || optimizer.decay_biases();
            // As many as any optimizer has, so that nothing is allocated.
            let mut pieces: [&mut [f32]; MAX_SLOTS] = Default::default();
            for (piece, slot) in pieces.iter_mut().zip(slots.iter_mut()) {
                *piece = &mut slot[range.clone()];
            }
            optimizer.update(simd, lr, step, decays, params, grads, &mut pieces[..optimizer.slots()]);
        });
    }
}

/// The most slots that an optimizer may have.
pub(crate) const MAX_SLOTS: usize = 4;

impl<O: Optimizer + ?Sized> Optimizer for Box<O> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn lr(&self) -> f32 {
        (**self).lr()
    }

    fn decay_biases(&self) -> bool {
        (**self).decay_biases()
    }

    fn validate(&self) -> Result<()> {
        (**self).validate()
    }

    fn slots(&self) -> usize {
        (**self).slots()
    }

    fn initial(&self, slot: usize) -> f32 {
        (**self).initial(slot)
    }

    fn update(
        &self,
        level: SimdLevel,
        lr: f32,
        step: u64,
        decays: bool,
        params: &mut [f32],
        grads: &[f32],
        slots: &mut [&mut [f32]],
    ) {
        (**self).update(level, lr, step, decays, params, grads, slots);
    }

    fn is_plain(&self) -> bool {
        (**self).is_plain()
    }

    fn settings(&self) -> serde_json::Map<String, serde_json::Value> {
        (**self).settings()
    }
}
