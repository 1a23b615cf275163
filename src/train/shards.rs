//! Several threads training one network. Each holds a shard of it in its own cache and takes every step with the others;
//! what crosses between them are the parts of the sums that no shard has alone. It knows shards and threads, not epochs.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::data::Loader;
use crate::kernels::AlignedVec;
use crate::nn::Sequential;
use crate::optim::OptimizerState;
use crate::parallel::Team;
use crate::parallel::comm::{Exchange, Threads};
use crate::parallel::trial::Budget;
use crate::train::callback::BatchEnd;
use crate::train::epoch::Working;
use crate::train::history::BatchRecord;
use crate::train::step::{Step, StepPlan};

/// The ranks of one network.
pub(super) struct Shards {
    ranks: Vec<Rank>,
    exchange: Exchange,
}

/// One thread's shard of the network, in cache lines that hold nothing of another's (hardware fetches them in pairs).
#[repr(align(128))]
struct Rank {
    model: Sequential,
    optimizer: OptimizerState,
    /// Where the shard's numbers stand in the whole network, and here.
    runs: Vec<(Range<usize>, Range<usize>)>,
    columns: Range<usize>,
    step: Step,
    part: AlignedVec,
    /// What this rank saw of the batches of a run; the same on all, so the first one's are kept.
    records: Vec<BatchRecord>,
}

impl Rank {
    /// Copies this rank's piece of the network and of the optimizer's slots here.
    fn take(&mut self, model: &Sequential, optimizer: &OptimizerState) {
        copy(&self.runs, model.buffer(), self.model.buffer_mut());
        self.optimizer.step = optimizer.step;
        for (whole, own) in optimizer.slots.iter().zip(&mut self.optimizer.slots) {
            copy(&self.runs, whole, own);
        }
    }

    /// Copies them back to where they came from.
    fn give(&self, model: &mut Sequential, optimizer: &mut OptimizerState) {
        copy_back(&self.runs, self.model.buffer(), model.buffer_mut());
        optimizer.step = self.optimizer.step;
        for (whole, own) in optimizer.slots.iter_mut().zip(&self.optimizer.slots) {
            copy_back(&self.runs, own, whole);
        }
    }
}

fn copy(runs: &[(Range<usize>, Range<usize>)], whole: &[f32], shard: &mut [f32]) {
    for (of_whole, of_shard) in runs {
        shard[of_shard.clone()].copy_from_slice(&whole[of_whole.clone()]);
    }
}

fn copy_back(runs: &[(Range<usize>, Range<usize>)], shard: &[f32], whole: &mut [f32]) {
    for (of_whole, of_shard) in runs {
        whole[of_whole.clone()].copy_from_slice(&shard[of_shard.clone()]);
    }
}

impl Shards {
    /// Cuts `model` for `world_size` threads and batches of at most `batch_size`.
    pub fn new(model: &Sequential, slots: usize, world_size: usize, batch_size: usize) -> Self {
        let rank = |rank: usize| {
            let shard = model.shard(rank, world_size);
            Rank {
                optimizer: OptimizerState::with_slots(slots, shard.buffer_len()),
                runs: model.shard_runs(rank, world_size),
                columns: model.shard_features(rank, world_size),
                model: shard,
                step: Step::default(),
                part: AlignedVec::default(),
                records: Vec::new(),
            }
        };
        Shards { ranks: (0..world_size).map(rank).collect(), exchange: Exchange::new(model.largest_sum(batch_size)) }
    }

    /// Trains on `batches` in order, then brings parameters and slots back. Appends a record for each batch done.
    ///
    /// Ends early after a batch whose loss is not finite, after one that the callback breaks at, and when the batches take
    /// more than `budget`. Returns whether the callback broke.
    pub fn run(
        &mut self,
        team: &Team,
        plan: &StepPlan<'_>,
        loader: &Loader<'_>,
        batches: Range<usize>,
        budget: Budget,
        working: &mut Working<'_>,
    ) -> bool {
        let Working { model, optimizer, callback, records } = working;
        let exchange = &self.exchange;
        // The batch after which all stop. The first rank sets it before it meets the others in that batch; they read it after
        // they met, so they agree.
        let last = AtomicUsize::new(usize::MAX);
        // The batch that is given up before its update, because the callback broke after the one before it. The others may
        // have begun it; they too meet the first rank in it, and then see this.
        let given_up = AtomicUsize::new(usize::MAX);
        // Reading the clock takes as long as 1/200 of the shortest batch.
        let checked = if budget.per_batch > Duration::from_micros(100) { 1 } else { 8 };
        let started = Instant::now();
        let (whole, whole_optimizer) = (&**model, &**optimizer);
        // Only the caller's thread, the first rank, calls back.
        let mut callback = Some(&mut **callback);
        let mut states: Vec<_> = self.ranks.iter_mut().map(|rank| (rank, callback.take(), false)).collect();
        team.run(&mut states, |member, (rank, callback, broken)| {
            rank.take(whole, whole_optimizer);
            let Rank { model, optimizer, columns, step, part, records, .. } = &mut **rank;
            records.clear();
            let mut comm = Threads::new(exchange, member, part);
            for (done, batch) in batches.clone().enumerate() {
                if member.index() == 0 && done.is_multiple_of(checked) && started.elapsed() > budget.after(done) {
                    last.store(batch, Ordering::Relaxed);
                }
                let goes_on = || given_up.load(Ordering::Relaxed) != batch;
                let record = step.train(model, optimizer, plan, loader, batch, columns.clone(), &mut comm, &goes_on);
                let Some(record) = record else { break };
                records.push(record);
                if let Some(callback) = callback {
                    let end = BatchEnd { epoch: plan.epoch, batch, lr: plan.lr(batch), record };
                    if callback.after_batch(&end).is_break() {
                        *broken = true;
                        given_up.store(batch + 1, Ordering::Relaxed);
                    }
                }
                if !record.is_finite() || last.load(Ordering::Relaxed) == batch {
                    break;
                }
            }
        });
        let broken = states[0].2;
        for rank in &self.ranks {
            rank.give(model, optimizer);
        }
        records.extend_from_slice(&self.ranks[0].records);
        broken
    }

    /// The first layer that gave a value that is not finite in the last step. Any of the ranks may have that value.
    pub fn first_not_finite(&self) -> Option<usize> {
        self.ranks.iter().filter_map(|rank| rank.step.first_not_finite()).min()
    }
}
