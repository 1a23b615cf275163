//! Training by samples: each batch is cut into shards, which threads and processes deal out among themselves. Whoever has a
//! shard computes the gradient of its samples with a network of its own, and the gradients are added up in the order of a
//! tree over the shards, so that the sum has the same bits whoever computed them. It knows shards of batches, not epochs.

use std::ops::{ControlFlow, Range};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::data::Loader;
use crate::kernels::{AlignedVec, SimdLevel, pointwise};
use crate::nn::Sequential;
use crate::optim::clip;
use crate::parallel::choice::Reduce;
use crate::parallel::comm::Local;
use crate::parallel::tree::{Node, Stack, nodes};
use crate::parallel::world::{even_runs, run_of};
use crate::parallel::{Team, World};
use crate::shards::{batch_shards, dealt, shard_samples};
use crate::train::callback::BatchEnd;
use crate::train::epoch::Working;
use crate::train::history::BatchRecord;
use crate::train::observer::{self, Observer};
use crate::train::step::{Step, StepPlan};

/// Ranks add up so many numbers each at a time: of two ranks, what is received, added up and told stays in L2 on the way, and
/// of many, messages are large enough for a network. Their bits do not depend on it.
const RUN: usize = if cfg!(test) { 50 } else { 1 << 15 };

/// The shards of a batch, and who computes which.
pub(super) struct Samples {
    world: World,
    reduce: Reduce,
    /// Into how many a batch is cut.
    shards: usize,
    workers: Vec<Worker>,
    /// The subtrees of every rank's shards.
    of_ranks: Vec<Vec<Node>>,
    /// The gradients that this process has added up: of each subtree of its shards. In the end the first is the gradient of the
    /// whole batch. As few buffers as can be take turns: together they should stay in the last cache.
    own: Vec<AlignedVec>,
    /// Of each thread, room for its run of them.
    scratch: Vec<Vec<AlignedVec>>,
    /// This rank's run of every rank's.
    received: AlignedVec,
    /// What the ranks tell of a batch beside gradients.
    told: [Vec<f32>; 2],
    comm: Local,
}

/// A thread's shards, in cache lines that hold nothing of another's (hardware fetches them in pairs).
#[derive(Default)]
#[repr(align(128))]
struct Worker {
    range: Range<usize>,
    step: Step,
    comm: Local,
    stack: Stack,
    /// The gradients of the subtrees on the stack.
    slots: Vec<AlignedVec>,
    records: Vec<BatchRecord>,
    /// What was seen before the batch at hand, which may be given up.
    seen_before: Observer,
}

impl Worker {
    /// The gradients of the sum of losses, not of their mean: what to divide by is known when all shards are done. Between two
    /// of them `goes_on` is asked.
    fn work(
        &mut self,
        model: &Sequential,
        plan: &StepPlan<'_>,
        loader: &Loader<'_>,
        batch: usize,
        shards: usize,
        goes_on: &dyn Fn() -> bool,
    ) {
        let Worker { range, step, comm, stack, slots, records, .. } = self;
        let len = loader.batch_len(batch);
        stack.clear();
        records.clear();
        for shard in range.clone() {
            if shard > range.start && !goes_on() {
                return;
            }
            let slot = stack.next_slot();
            if slots.len() == slot {
                slots.push(AlignedVec::default());
            }
            let samples = shard_samples(shard, shards, len);
            let record = if samples.is_empty() {
                slots[slot].set_len(model.buffer_len());
                slots[slot].fill(0.0);
                BatchRecord::from_mean(0.0, 0, 0)
            } else {
                step.gradients(model, plan, loader, batch, samples, comm, &mut slots[slot])
            };
            records.push(record);
            stack.push(Node { start: shard, size: 1 }, |slot| add_next(plan.context.simd, slots, slot));
        }
    }
}

/// Adds the buffer after `slot` to that in it.
fn add_next(simd: SimdLevel, slots: &mut [AlignedVec], slot: usize) {
    let [total, next] = &mut slots[slot..slot + 2] else { return };
    pointwise::add(simd, next, total);
}

/// Adds the `len` numbers from `from` on to those from `to` on.
fn add_run(simd: SimdLevel, numbers: &mut [f32], from: usize, to: usize, len: usize) {
    let (before, behind) = numbers.split_at_mut(from.max(to));
    let (low, high) = (&mut before[from.min(to)..][..len], &mut behind[..len]);
    if to < from { pointwise::add(simd, high, low) } else { pointwise::add(simd, low, high) }
}

impl Samples {
    /// For batches of at most `batch_size`, on `threads` threads of each process.
    pub fn new(world: World, reduce: Reduce, threads: usize, batch_size: usize) -> Self {
        let shards = batch_shards(batch_size);
        let held = dealt(0..shards, world.rank(), world.size());
        let threads = threads.min(held.len()).max(1);
        let worker = |thread| Worker { range: dealt(held.clone(), thread, threads), ..Worker::default() };
        let workers = (0..threads).map(worker).collect();
        let of_ranks = (0..world.size()).map(|rank| nodes(dealt(0..shards, rank, world.size()))).collect();
        Samples {
            world,
            reduce,
            shards,
            workers,
            of_ranks,
            own: Vec::new(),
            scratch: Vec::new(),
            received: AlignedVec::default(),
            told: Default::default(),
            comm: Local::default(),
        }
    }

    /// Trains on `batches` in order and appends a record for each that is done. `seen` is shown the gradients. Returns whether
    /// this process's callback broke; where another's did, the batches end as well. A batch within which one broke is given up.
    pub fn run(
        &mut self,
        team: &Team,
        plan: &StepPlan<'_>,
        loader: &Loader<'_>,
        batches: Range<usize>,
        seen: &mut Observer,
        working: &mut Working<'_>,
    ) -> bool {
        let mut broken = false;
        for batch in batches {
            let Working { model, optimizer, callback, records, .. } = working;
            self.workers.iter_mut().for_each(|worker| worker.seen_before.clone_from(&worker.step.observer));
            // The first thread, which is the caller's, asks.
            let (asked, is_given_up) = (Mutex::new(&mut **callback), AtomicBool::new(broken));
            let whole: &Sequential = model;
            team.run(&mut self.workers, |member, worker| {
                let asks = || asked.lock().is_ok_and(|mut callback| callback.within_batch().is_break());
                worker.work(whole, plan, loader, batch, self.shards, &|| {
                    if member.index() == 0 && asks() {
                        is_given_up.store(true, Ordering::Relaxed);
                    }
                    !is_given_up.load(Ordering::Relaxed)
                });
            });
            broken = is_given_up.into_inner();
            let ControlFlow::Continue(record) = self.tell(broken) else {
                let given_up = self.workers.iter_mut();
                given_up.for_each(|worker| std::mem::swap(&mut worker.step.observer, &mut worker.seen_before));
                break;
            };
            records.push(record);
            if !record.is_finite() {
                break;
            }
            let per_weight = if record.weight == 0.0 { 0.0 } else { 1.0 / record.weight };
            self.add_up(team, plan.context.simd, model.buffer_len(), per_weight as f32);
            model.swap_gradients(&mut self.own[0]);
            self.give_back();
            let context = plan.context.at(plan.epoch, batch);
            optimizer.step += 1;
            if observer::measures_gradients(batch, loader.batches()) {
                seen.gradients(batch, clip::norm(model, &context, &mut self.comm));
            }
            if let Some(clip) = plan.clip {
                clip::apply(clip, model, &context, &mut self.comm);
            }
            optimizer.update(plan.optimizer, plan.lr(batch), context.simd, model);
            model.zero_grad();
            let end = BatchEnd { epoch: plan.epoch, batch, lr: plan.lr(batch), record };
            if callback.after_batch(&end).is_break() || loader.has_failed() {
                broken = true;
                if !self.world.is_shared() {
                    break;
                }
            }
        }
        broken
    }

    /// The record of a batch whose shards are done, wherever they are, the same on all ranks. Breaks where a rank is `broken`.
    fn tell(&mut self, broken: bool) -> ControlFlow<(), BatchRecord> {
        /// Of a record, in numbers of 32 bits.
        const WORDS: usize = 6;
        let records = || self.workers.iter().flat_map(|worker| &worker.records);
        if !self.world.is_shared() {
            return if broken { ControlFlow::Break(()) } else { ControlFlow::Continue(sum_of(records().copied())) };
        }
        let shards = |nodes: &Vec<Node>| nodes.iter().map(|node| node.size).sum::<usize>();
        let counts: Vec<usize> = self.of_ranks.iter().map(|nodes| 1 + WORDS * shards(nodes)).collect();
        let [own, all] = &mut self.told;
        own.clear();
        own.push(f32::from(u8::from(broken)));
        for record in records() {
            own.extend(record.to_bytes().as_chunks::<4>().0.iter().map(|word| f32::from_le_bytes(*word)));
        }
        // Of a batch that is given up, not all shards are done.
        own.resize(counts[self.world.rank()], 0.0);
        all.resize(counts.iter().sum(), 0.0);
        self.world.transport().all_gather_floats(own, &counts, all);
        let of_ranks = (0..self.world.size()).filter_map(|rank| all[run_of(&counts, rank)].split_first());
        if of_ranks.clone().any(|(broken, _)| *broken != 0.0) {
            return ControlFlow::Break(());
        }
        let records = of_ranks.flat_map(|(_, words)| words.as_chunks::<WORDS>().0).map(|words| {
            let mut bytes = [0; 4 * WORDS];
            for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
                *bytes = word.to_le_bytes();
            }
            BatchRecord::from_bytes(&bytes)
        });
        ControlFlow::Continue(sum_of(records))
    }

    /// `own[0] = per_weight (gradient of shard 0 + gradient of shard 1 + ...)`, as the tree has it.
    fn add_up(&mut self, team: &Team, simd: SimdLevel, len: usize, per_weight: f32) {
        self.add_up_here(team, simd, len);
        match self.reduce {
            _ if !self.world.is_shared() => {}
            Reduce::Fixed => return self.add_up_in_order(simd, len, per_weight),
            Reduce::Fast => {
                let held = self.of_ranks[self.world.rank()].len();
                if let [total, others @ ..] = &mut self.own[..] {
                    if held == 0 {
                        total.fill(0.0);
                    }
                    others.iter().take(held.saturating_sub(1)).for_each(|own| pointwise::add(simd, own, total));
                }
                self.world.transport().sum_in_any_order(&mut self.own[0]);
            }
        }
        clip::scale(simd, per_weight, &mut self.own[0]);
    }

    /// Over all ranks, a piece of the numbers after the other: each adds up a run of it, and tells the others the sum.
    fn add_up_in_order(&mut self, simd: SimdLevel, len: usize, per_weight: f32) {
        let most = RUN * self.world.size();
        for start in (0..len).step_by(most) {
            self.add_up_piece(simd, start..len.min(start + most), per_weight);
        }
    }

    /// The same of a piece of the numbers.
    fn add_up_piece(&mut self, simd: SimdLevel, piece: Range<usize>, per_weight: f32) {
        let (rank, size, of_ranks) = (self.world.rank(), self.world.size(), &self.of_ranks);
        let runs = even_runs(piece.len(), size);
        let run = runs[rank];
        let rounds = of_ranks.iter().map(Vec::len).max().unwrap_or(0);
        self.received.set_len(rounds * size * run);
        for (round, received) in self.received.chunks_exact_mut((size * run).max(1)).enumerate() {
            let sends: Vec<bool> = of_ranks.iter().map(|nodes| nodes.len() > round).collect();
            // Who has nothing to send has room for what it would be.
            let own = &self.own[round.min(self.own.len() - 1)][piece.clone()];
            self.world.transport().exchange(own, &runs, &sends, received);
        }
        // Where the stack's subtrees lie in what was received.
        let (mut stack, mut places) = (Stack::default(), Vec::new());
        for (of, nodes) in of_ranks.iter().enumerate() {
            for (round, node) in nodes.iter().enumerate() {
                places.truncate(stack.next_slot());
                places.push((round * size + of) * run);
                stack.push(*node, |slot| add_run(simd, &mut self.received, places[slot + 1], places[slot], run));
            }
        }
        let sum = &mut self.received[places[0]..][..run];
        clip::scale(simd, per_weight, sum);
        self.world.transport().all_gather_floats(sum, &runs, &mut self.own[0][piece]);
    }

    /// Of one thread, the buffers that [`add_up_here`](Self::add_up_here) has taken.
    fn give_back(&mut self) {
        if let [worker] = &mut self.workers[..] {
            self.own.iter_mut().zip(&mut worker.slots).for_each(|(own, slot)| std::mem::swap(own, slot));
        }
    }

    /// Leaves the gradients of this process's subtrees in `own`.
    fn add_up_here(&mut self, team: &Team, simd: SimdLevel, len: usize) {
        let held = self.of_ranks[self.world.rank()].len();
        self.own.resize_with(held.max(1), AlignedVec::default);
        if let [worker] = &mut self.workers[..] {
            for (own, slot) in self.own.iter_mut().zip(&mut worker.slots) {
                std::mem::swap(own, slot);
            }
            self.own[held..].iter_mut().for_each(|own| own.set_len(len));
            return;
        }
        self.own.iter_mut().for_each(|own| own.set_len(len));
        // Each thread adds up a run of the numbers.
        let (runs, workers) = (even_runs(len, team.threads()), &self.workers);
        self.scratch.resize_with(runs.len(), Vec::new);
        let mut pieces: Vec<Piece<'_>> = Vec::with_capacity(runs.len());
        let mut rest: Vec<&mut [f32]> = self.own.iter_mut().map(|own| &mut own[..]).collect();
        for ((thread, run), slots) in runs.iter().enumerate().zip(&mut self.scratch) {
            let mut own = Vec::with_capacity(rest.len());
            for rest in &mut rest {
                let (first, others) = std::mem::take(rest).split_at_mut(*run);
                own.push(first);
                *rest = others;
            }
            pieces.push(Piece { run: run_of(&runs, thread), own, slots });
        }
        team.run(&mut pieces, |_, piece| piece.add_up(simd, workers));
    }

    /// None has seen anything of the epoch that begins.
    pub fn start_epoch(&mut self, model: &Sequential) {
        self.workers.iter_mut().for_each(|worker| worker.step.observer.start(model));
    }

    /// What each thread saw of the epoch.
    pub fn observers(&self) -> impl Iterator<Item = &Observer> {
        self.workers.iter().map(|worker| &worker.step.observer)
    }

    /// The first layer that gave a value that is not finite in the last step of this process.
    pub fn first_not_finite(&self) -> Option<usize> {
        self.workers.iter().filter_map(|worker| worker.step.first_not_finite()).min()
    }
}

/// A run of all gradients, and where its sums go.
struct Piece<'a> {
    run: Range<usize>,
    own: Vec<&'a mut [f32]>,
    /// Room for the subtrees on the way.
    slots: &'a mut Vec<AlignedVec>,
}

impl Piece<'_> {
    fn add_up(&mut self, simd: SimdLevel, workers: &[Worker]) {
        let (mut stack, slots) = (Stack::default(), &mut *self.slots);
        for worker in workers {
            for (node, gradients) in worker.stack.nodes().iter().zip(&worker.slots) {
                let slot = stack.next_slot();
                if slots.len() == slot {
                    slots.push(AlignedVec::zeros(self.run.len()));
                }
                slots[slot].copy_from_slice(&gradients[self.run.clone()]);
                stack.push(*node, |slot| add_next(simd, slots, slot));
            }
        }
        self.own.iter_mut().zip(&*slots).for_each(|(own, slot)| own.copy_from_slice(slot));
    }
}

/// The shards' records, in order, as one of the batch.
fn sum_of(records: impl Iterator<Item = BatchRecord>) -> BatchRecord {
    let mut sum = BatchRecord { loss_sum: 0.0, weight: 0.0, correct: 0, samples: 0 };
    for record in records {
        sum.loss_sum += record.loss_sum;
        sum.weight += record.weight;
        sum.correct += record.correct;
        sum.samples += record.samples;
    }
    sum
}
