//! What an optimizer carries from step to step.

use crate::kernels::AlignedVec;
use crate::optim::Optimizer;

/// The buffers that [`Optimizer::update`] reads and overwrites, and how often it was called. A checkpoint holds all of it.
#[derive(Debug, Clone)]
pub struct OptimizerState {
    /// Steps done. The next one is number `step + 1`.
    pub step: u64,
    /// [`Optimizer::slots`] buffers, each in the parameters' layout.
    pub slots: Vec<AlignedVec>,
}

impl OptimizerState {
    /// That before the first step, for `len` parameters.
    pub fn new(optimizer: &dyn Optimizer, len: usize) -> Self {
        let slots = (0..optimizer.slots()).map(|slot| {
            let mut buffer = AlignedVec::zeros(len);
            buffer.fill(optimizer.initial(slot));
            buffer
        });
        OptimizerState { step: 0, slots: slots.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::{Adagrad, Adam, Sgd};

    #[test]
    fn buffers_begin_as_the_optimizer_says() {
        assert!(OptimizerState::new(&Sgd::new(0.1), 5).slots.is_empty());
        let state = OptimizerState::new(&Adam::new(0.1).amsgrad(true), 5);
        assert_eq!((state.step, state.slots.len()), (0, 3));
        assert!(state.slots.iter().all(|slot| **slot == [0.0; 5]));
        let state = OptimizerState::new(&Adagrad::new(0.1).initial_accumulator_value(0.5), 5);
        assert_eq!(*state.slots[0], [0.5; 5]);
    }
}
