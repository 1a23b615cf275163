//! Sums whose terms may lie with several holders of one network. It knows that a sum has parts and that their order
//! decides the bits; it does not know who holds them.

use std::ops::Range;

use crate::kernels::{AlignedVec, SimdLevel, pointwise};

/// The parts of a sum that one holder computes, out of all there are. How many there are depends on shapes only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// Which of all parts are held here.
    pub held: Range<usize>,
    /// How many there are.
    pub total: usize,
}

/// Adds up the parts of a sum, whoever holds them, in their order.
pub trait Reduce {
    /// `total = part 0 + part 1 + ...`, elementwise; `total` is overwritten. `compute(i, part)` overwrites `part`, of the
    /// length of `total`, with part `i`; it is called for the parts held here, in order.
    fn sum(&mut self, parts: &Parts, total: &mut [f32], compute: impl FnMut(usize, &mut [f32]));
}

/// The only holder: all parts are here.
#[derive(Debug, Clone, Default)]
pub struct Alone {
    part: AlignedVec,
    level: SimdLevel,
}

impl Reduce for Alone {
    fn sum(&mut self, parts: &Parts, total: &mut [f32], mut compute: impl FnMut(usize, &mut [f32])) {
        debug_assert_eq!(parts.held, 0..parts.total);
        compute(0, total);
        for part in 1..parts.total {
            self.part.set_len(total.len());
            compute(part, &mut self.part);
            pointwise::add(self.level, &self.part, total);
        }
    }
}
