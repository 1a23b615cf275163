//! Sums whose terms lie with several ranks. A sum has parts, and their order decides the bits: parts are added up one after
//! another, whoever computed them, so that the result is the same for any number of ranks.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::kernels::{AlignedVec, SimdLevel, pointwise};
use crate::parallel::Member;

/// The parts of a sum that one rank computes, out of all there are. How many there are depends on shapes only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parts {
    /// Which of all parts are held here.
    pub held: Range<usize>,
    /// How many there are.
    pub total: usize,
}

/// The ranks that work on one network.
pub(crate) trait Comm {
    /// `total = part 0 + part 1 + ...`, elementwise; `total` is overwritten, on every rank with the same bits.
    ///
    /// `compute(i, part)` overwrites `part`, of the length of `total`, with part `i`; it is called for the parts held here,
    /// in order.
    fn all_reduce(
        &mut self,
        simd: SimdLevel,
        parts: &Parts,
        total: &mut [f32],
        compute: &mut dyn FnMut(usize, &mut [f32]),
    );
}

/// The only rank: all parts are here.
#[derive(Debug, Clone, Default)]
pub(crate) struct Local {
    part: AlignedVec,
}

impl Comm for Local {
    fn all_reduce(
        &mut self,
        simd: SimdLevel,
        parts: &Parts,
        total: &mut [f32],
        compute: &mut dyn FnMut(usize, &mut [f32]),
    ) {
        debug_assert_eq!(parts.held, 0..parts.total);
        compute(0, total);
        for part in 1..parts.total {
            self.part.set_len(total.len());
            compute(part, &mut self.part);
            pointwise::add(simd, &self.part, total);
        }
    }
}

/// Where the threads of a team leave their parts for each other: f32 bits in relaxed atomics, plain loads and stores on
/// today's processors, which a meeting of all members orders.
///
/// There are two halves, used in turn. Whoever writes a half for the second time has met the others since, and they came
/// to that meeting only after they had read the half: so one meeting per sum is enough.
pub(crate) struct Exchange {
    halves: [Vec<AtomicU32>; 2],
}

impl Exchange {
    /// Room for sums of which all parts together have at most `floats` values.
    pub fn new(floats: usize) -> Self {
        let half = || (0..floats).map(|_| AtomicU32::new(0)).collect();
        Exchange { halves: [half(), half()] }
    }
}

/// A thread of a team as a rank.
pub(crate) struct Threads<'a> {
    exchange: &'a Exchange,
    member: &'a Member<'a>,
    /// Which half the next sum uses.
    half: usize,
    /// Scratch for one part.
    part: &'a mut AlignedVec,
}

impl<'a> Threads<'a> {
    pub fn new(exchange: &'a Exchange, member: &'a Member<'a>, part: &'a mut AlignedVec) -> Self {
        Threads { exchange, member, half: 0, part }
    }
}

impl Comm for Threads<'_> {
    fn all_reduce(
        &mut self,
        _simd: SimdLevel,
        parts: &Parts,
        total: &mut [f32],
        compute: &mut dyn FnMut(usize, &mut [f32]),
    ) {
        if parts.total == 1 {
            // Every rank computes all of it.
            compute(0, total);
            return;
        }
        let len = total.len();
        let slots = &self.exchange.halves[self.half][..parts.total * len];
        self.half = 1 - self.half;
        self.part.set_len(len);
        for part in parts.held.clone() {
            compute(part, self.part);
            for (slot, value) in slots[part * len..].iter().zip(&**self.part) {
                slot.store(value.to_bits(), Ordering::Relaxed);
            }
        }
        self.member.wait();
        let value = |slot: &AtomicU32| f32::from_bits(slot.load(Ordering::Relaxed));
        for (total, slot) in total.iter_mut().zip(slots) {
            *total = value(slot);
        }
        for part in 1..parts.total {
            for (total, slot) in total.iter_mut().zip(&slots[part * len..]) {
                *total += value(slot);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::Team;

    fn term(part: usize, i: usize) -> f32 {
        ((part * 37 + i) as f32 * 0.7).sin() * 10f32.powi(part as i32 % 3)
    }

    /// The bits of adding parts up one after another, whatever the number of ranks; sums of several lengths in turn, so that
    /// both halves are used again.
    #[test]
    fn sums_have_the_same_bits_for_any_number_of_ranks() {
        const PARTS: usize = 8;
        let simd = SimdLevel::detect();
        let lengths = [320, 1, 17, 320, 320];
        let mut expected: Vec<Vec<f32>> = Vec::new();
        for len in lengths {
            let mut total = vec![f32::NAN; len];
            let parts = Parts { held: 0..PARTS, total: PARTS };
            Local::default().all_reduce(simd, &parts, &mut total, &mut |part, values| {
                values.iter_mut().enumerate().for_each(|(i, value)| *value = term(part, i));
            });
            let plain: Vec<f32> =
                (0..len).map(|i| (1..PARTS).fold(term(0, i), |sum, part| sum + term(part, i))).collect();
            assert_eq!(total, plain);
            expected.push(total);
        }
        for ranks in [1, 2, 3, 5, 8] {
            let team = Team::new(ranks).unwrap();
            let exchange = Exchange::new(PARTS * 320);
            let mut totals = vec![Vec::new(); ranks];
            team.run(&mut totals, |member, totals: &mut Vec<Vec<f32>>| {
                let rank = member.index();
                let mut scratch = AlignedVec::default();
                let mut comm = Threads::new(&exchange, member, &mut scratch);
                let parts = Parts { held: PARTS * rank / ranks..PARTS * (rank + 1) / ranks, total: PARTS };
                for len in lengths {
                    let mut total = vec![f32::NAN; len];
                    comm.all_reduce(simd, &parts, &mut total, &mut |part, values| {
                        values.iter_mut().enumerate().for_each(|(i, value)| *value = term(part, i));
                    });
                    totals.push(total);
                }
            });
            assert!(totals.iter().all(|totals| *totals == expected), "{ranks} ranks");
        }
    }
}
