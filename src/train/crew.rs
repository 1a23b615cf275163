//! Several threads training one network. Each holds a share of it in its own cache and takes every step with the others;
//! what crosses between them are the parts of the sums that no share has alone. It knows shares and threads, not epochs.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::data::Loader;
use crate::nn::Sequential;
use crate::nn::reduce::{Parts, Reduce};
use crate::optim::Sgd;
use crate::parallel::{Member, Team};
use crate::train::history::BatchRecord;
use crate::train::pass::Pass;

/// The holders of one network.
pub(super) struct Crew {
    holders: Vec<Holder>,
    exchange: Exchange,
    optimizer: Sgd,
}

/// One thread's share of the network, in cache lines that hold nothing of another's (hardware fetches them in pairs).
#[repr(align(128))]
struct Holder {
    model: Sequential,
    columns: Range<usize>,
    pass: Pass,
    /// Scratch for one part of a sum.
    part: Vec<f32>,
    /// What this holder saw of the batches of a run; the same for all, so the first one's are kept.
    records: Vec<BatchRecord>,
}

impl Crew {
    /// Shares `model` out among `holders` threads, for batches of at most `batch_size`.
    pub fn new(model: &Sequential, holders: usize, batch_size: usize, optimizer: Sgd) -> Self {
        let holder = |index: usize| {
            let share = model.share(index, holders);
            Holder {
                columns: model.share_of_features(index, holders),
                pass: Pass::new(&share),
                model: share,
                part: Vec::new(),
                records: Vec::new(),
            }
        };
        let floats = model.largest_sum_width() * batch_size;
        Crew { holders: (0..holders).map(holder).collect(), exchange: Exchange::new(floats), optimizer }
    }

    /// Trains on `batches` in order, then brings the parameters back into `model`. Appends a record for each batch done.
    ///
    /// Ends early after a batch whose loss is not finite, and when the batches take more than `budget`.
    pub fn run(
        &mut self,
        team: &Team,
        model: &mut Sequential,
        loader: &Loader<'_>,
        batches: Range<usize>,
        budget: Budget,
        records: &mut Vec<BatchRecord>,
    ) {
        let (count, optimizer, exchange) = (self.holders.len(), self.optimizer, &self.exchange);
        // The batch after which all stop. The first holder sets it before it meets the others in that batch; they read it
        // after they met, so they agree.
        let last = AtomicUsize::new(usize::MAX);
        // Reading the clock takes as long as 1/200 of the shortest batch.
        let checked = if budget.per_batch > Duration::from_micros(100) { 1 } else { 8 };
        let started = Instant::now();
        let whole = &*model;
        team.run(&mut self.holders, |member, holder| {
            let Holder { model, columns, pass, part, records } = holder;
            model.take_share(whole, member.index(), count);
            records.clear();
            let mut shared = Shared { exchange, member, half: 0, part };
            for (done, batch) in batches.clone().enumerate() {
                if member.index() == 0 && done.is_multiple_of(checked) && started.elapsed() > budget.after(done) {
                    last.store(batch, Ordering::Relaxed);
                }
                let record = pass.train(model, optimizer, loader, batch, columns.clone(), &mut shared);
                records.push(record);
                if !record.loss.is_finite() || last.load(Ordering::Relaxed) == batch {
                    break;
                }
            }
        });
        for (index, holder) in self.holders.iter().enumerate() {
            model.gather_share(&holder.model, index, count);
        }
        records.extend_from_slice(&self.holders[0].records);
    }

    /// The first layer that gave a value that is not finite in the last step. Any of the holders may have that value.
    pub fn first_not_finite(&self) -> Option<usize> {
        self.holders.iter().filter_map(|holder| holder.pass.first_not_finite()).min()
    }
}

/// How long a run of batches may take before it is given up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    /// For starting.
    pub fixed: Duration,
    pub per_batch: Duration,
}

impl Budget {
    fn after(&self, batches: usize) -> Duration {
        self.per_batch.saturating_mul(u32::try_from(batches).unwrap_or(u32::MAX)).saturating_add(self.fixed)
    }
}

/// Where holders leave their parts of a sum for each other: f32 bits in relaxed atomics, plain loads and stores on today's
/// processors, which a meeting of all holders orders.
///
/// There are two halves, used in turn. Whoever writes a half for the second time has met the others since, and they came
/// to that meeting only after they had read the half: so one meeting per sum is enough.
struct Exchange {
    halves: [Vec<AtomicU32>; 2],
}

impl Exchange {
    fn new(floats: usize) -> Self {
        let half = || (0..floats).map(|_| AtomicU32::new(0)).collect();
        Exchange { halves: [half(), half()] }
    }
}

/// The sums of one holder, over all of them.
struct Shared<'a> {
    exchange: &'a Exchange,
    member: &'a Member<'a>,
    /// Which half the next sum uses.
    half: usize,
    part: &'a mut Vec<f32>,
}

impl Reduce for Shared<'_> {
    fn sum(&mut self, parts: &Parts, total: &mut [f32], mut compute: impl FnMut(usize, &mut [f32])) {
        let len = total.len();
        let slots = &self.exchange.halves[self.half][..parts.total * len];
        self.half = 1 - self.half;
        self.part.resize(len, 0.0);
        for part in parts.held.clone() {
            compute(part, self.part);
            for (slot, value) in slots[part * len..].iter().zip(&*self.part) {
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
