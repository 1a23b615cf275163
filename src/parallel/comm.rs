//! Sums whose terms lie with several ranks, which are threads of a process and processes of a [`World`]. A sum has parts, and
//! their order decides the bits: parts are added up one after another, whoever computed them, so that the result is the same
//! for any number of ranks.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::kernels::{AlignedVec, SimdLevel, pointwise};
use crate::parallel::Member;
use crate::parallel::world::{World, run_of};

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

    /// Whether all parts are held here, and added up here one after another.
    fn is_alone(&self) -> bool {
        false
    }
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

    fn is_alone(&self) -> bool {
        true
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

/// How the shards of one network are dealt out to processes: as many to each, in order. Where there are more processes than
/// shards, those that are over do what others do, and are not listened to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deal {
    /// Of the whole network.
    pub shards: usize,
    pub per_process: usize,
}

impl Deal {
    /// For `threads` threads in each of `processes`, and a network that has at most `most` shards.
    pub fn new(processes: usize, threads: usize, most: usize) -> Self {
        let per_process = (most / processes).clamp(1, threads);
        Deal { shards: most.min(processes * per_process), per_process }
    }

    /// The shards of a process.
    pub fn shards_of(&self, process: usize) -> Range<usize> {
        let first = process * self.per_process % self.shards;
        first..first + self.per_process
    }

    /// Whether what a process has is its own, and no other's as well.
    pub fn is_heard(&self, process: usize) -> bool {
        process * self.per_process < self.shards
    }

    /// Which of `total` parts of a sum a process tells of.
    fn parts_of(&self, process: usize, total: usize) -> Range<usize> {
        if !self.is_heard(process) {
            return 0..0;
        }
        let shards = self.shards_of(process);
        total * shards.start / self.shards..total * shards.end / self.shards
    }
}

/// The way to the other processes.
#[derive(Clone, Copy)]
pub(crate) struct Across<'a> {
    pub world: &'a World,
    pub deal: &'a Deal,
    /// Whether this process wants all to stop.
    pub asks: &'a AtomicBool,
    /// Whether any does: told with each sum.
    pub is_asked: &'a AtomicBool,
}

/// A thread of a team as a rank; of several processes, one of a team in each.
pub(crate) struct Threads<'a> {
    exchange: &'a Exchange,
    member: &'a Member<'a>,
    across: Option<Across<'a>>,
    /// Which half the next sum uses.
    half: usize,
    /// What this process tells the others, and what all told: of the first member.
    told: [AlignedVec; 2],
}

impl<'a> Threads<'a> {
    pub fn new(exchange: &'a Exchange, member: &'a Member<'a>, across: Option<Across<'a>>) -> Self {
        Threads { exchange, member, across, half: 0, told: Default::default() }
    }

    /// Puts the other processes' parts into their slots.
    fn tell(across: Across<'_>, told: &mut [AlignedVec; 2], slots: &[Slot], len: usize) {
        let Across { world, deal, asks, is_asked } = across;
        let [own, all] = told;
        let parts = |process| deal.parts_of(process, slots.len());
        // Behind its parts each process says whether it wants to stop.
        let counts: Vec<usize> = (0..world.size()).map(|process| parts(process).len() * len + 1).collect();
        own.set_len(counts[world.rank()]);
        let (to_stop, values) = own.split_last_mut().expect("one number at least");
        *to_stop = f32::from(u8::from(asks.load(Ordering::Relaxed)));
        for (values, slot) in values.chunks_exact_mut(len).zip(&slots[parts(world.rank())]) {
            values.copy_from_slice(&slot.read());
        }
        all.set_len(counts.iter().sum());
        world.transport().all_gather_floats(own, &counts, all);
        for process in 0..world.size() {
            let Some((to_stop, values)) = all[run_of(&counts, process)].split_last() else { continue };
            if *to_stop != 0.0 {
                is_asked.store(true, Ordering::Relaxed);
            }
            if process != world.rank() {
                for (slot, values) in slots[parts(process)].iter().zip(values.chunks_exact(len)) {
                    let mut slot = slot.write();
                    slot.set_len(len);
                    slot.copy_from_slice(values);
                }
            }
        }
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
        if let Some(across) = self.across {
            if self.member.index() == 0 {
                Self::tell(across, &mut self.told, slots, total.len());
            }
            self.member.wait();
        }
        total.copy_from_slice(&slots[0].read());
        for slot in &slots[1..] {
            pointwise::add(simd, &slot.read(), total);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::{Team, world};

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
                let mut comm = Threads::new(&exchange, member, None);
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

    /// The same with processes, each of some threads; more of them than there are parts as well.
    #[test]
    fn sums_have_the_same_bits_for_any_number_of_processes() {
        const PARTS: usize = 8;
        let simd = SimdLevel::detect();
        let expected: Vec<f32> =
            (0..17).map(|i| (1..PARTS).fold(term(0, i), |sum, part| sum + term(part, i))).collect();
        for (processes, threads) in [(1, 2), (2, 1), (2, 2), (3, 1), (3, 2), (8, 1), (9, 1)] {
            let totals = world::threads::run(processes, |world| {
                let deal = Deal::new(processes, threads, PARTS);
                assert_eq!(deal.per_process, threads);
                let (asks, is_asked) = (AtomicBool::new(world.rank() + 1 == processes), AtomicBool::new(false));
                let across = Across { world: &world, deal: &deal, asks: &asks, is_asked: &is_asked };
                let (team, exchange) = (Team::new(threads).unwrap(), Exchange::new(PARTS, 17));
                let mut totals = vec![vec![f32::NAN; 17]; threads];
                team.run(&mut totals, |member, total| {
                    let shard = deal.shards_of(world.rank()).start + member.index();
                    let held = PARTS * shard / deal.shards..PARTS * (shard + 1) / deal.shards;
                    let mut comm = Threads::new(&exchange, member, Some(across));
                    for _ in 0..3 {
                        let parts = Parts { held: held.clone(), total: PARTS };
                        comm.all_reduce(simd, &parts, total, &mut |part, values| {
                            values.iter_mut().enumerate().for_each(|(i, value)| *value = term(part, i));
                        });
                    }
                });
                assert!(is_asked.into_inner(), "the last one asks, and all hear of it");
                totals
            });
            assert!(totals.iter().flatten().all(|total| *total == expected), "{processes} x {threads}");
        }
    }

    #[test]
    fn every_shard_is_told_of_once() {
        for (processes, threads, most) in
            [(1, 1, 1), (3, 1, 2), (4, 2, 8), (3, 4, 8), (5, 1, 1), (2, 8, 32), (7, 3, 32)]
        {
            let deal = Deal::new(processes, threads, most);
            assert!(deal.shards <= most && deal.per_process <= threads);
            let told: Vec<usize> = (0..processes).flat_map(|process| deal.parts_of(process, most)).collect();
            assert_eq!(told, (0..most).collect::<Vec<_>>(), "{processes} x {threads}: {deal:?}");
            assert!((0..processes).all(|process| deal.shards_of(process).end <= deal.shards));
        }
    }
}
