//! Sums whose terms lie with several ranks. A sum has parts, and their order decides the bits: parts are added up one after
//! another, whoever computed them, so that the result is the same for any number of ranks.

use std::ops::Range;
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

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

/// Where the threads of a team leave their parts for each other. No lock is ever waited for: a meeting of all members lies
/// between the writing of a part and its reading.
///
/// There are two halves, used in turn. Whoever writes a half for the second time has met the others since, and they came
/// to that meeting only after they had read the half: so one meeting per sum is enough.
pub(crate) struct Exchange {
    halves: [Vec<Slot>; 2],
}

/// One part, in cache lines that hold nothing of another's (hardware fetches them in pairs).
#[repr(align(128))]
struct Slot(RwLock<AlignedVec>);

impl Slot {
    fn write(&self) -> RwLockWriteGuard<'_, AlignedVec> {
        self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn read(&self) -> RwLockReadGuard<'_, AlignedVec> {
        self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Exchange {
    /// Room for sums of at most `parts` parts, each of at most `floats` values.
    pub fn new(parts: usize, floats: usize) -> Self {
        let half = || (0..parts).map(|_| Slot(RwLock::new(AlignedVec::zeros(floats)))).collect();
        Exchange { halves: [half(), half()] }
    }
}

/// A thread of a team as a rank.
pub(crate) struct Threads<'a> {
    exchange: &'a Exchange,
    member: &'a Member<'a>,
    /// Which half the next sum uses.
    half: usize,
}

impl<'a> Threads<'a> {
    pub fn new(exchange: &'a Exchange, member: &'a Member<'a>) -> Self {
        Threads { exchange, member, half: 0 }
    }
}

impl Comm for Threads<'_> {
    fn all_reduce(
        &mut self,
        simd: SimdLevel,
        parts: &Parts,
        total: &mut [f32],
        compute: &mut dyn FnMut(usize, &mut [f32]),
    ) {
        if parts.total == 1 {
            // Every rank computes all of it.
            compute(0, total);
            return;
        }
        let slots = &self.exchange.halves[self.half][..parts.total];
        self.half = 1 - self.half;
        for part in parts.held.clone() {
            let mut values = slots[part].write();
            values.set_len(total.len());
            compute(part, &mut values);
        }
        self.member.wait();
        total.copy_from_slice(&slots[0].read());
        for slot in &slots[1..] {
            pointwise::add(simd, &slot.read(), total);
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
            let exchange = Exchange::new(PARTS, 320);
            let mut totals = vec![Vec::new(); ranks];
            team.run(&mut totals, |member, totals: &mut Vec<Vec<f32>>| {
                let rank = member.index();
                let mut comm = Threads::new(&exchange, member);
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
