//! Several threads training one network, of one process or of several. Each holds a shard of it in its own cache and takes
//! every step with the others; what crosses between them are the parts of the sums that no shard has alone. It knows shards
//! and threads, not epochs.

use std::ops::{ControlFlow, Range};
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::data::Loader;
use crate::nn::Sequential;
use crate::optim::OptimizerState;
use crate::parallel::comm::{Across, Deal, Exchange, Threads};
use crate::parallel::roll_call::{Caller, RollCall};
use crate::parallel::trial::{Budget, Trial};
use crate::parallel::world::run_of;
use crate::parallel::{Team, World};
use crate::train::callback::{BatchEnd, Callback};
use crate::train::epoch::{Whole, Working};
use crate::train::history::BatchRecord;
use crate::train::observer::Observer;
use crate::train::step::{Step, StepPlan};

/// The ranks of one network.
pub(super) struct Shards {
    /// Those of this process.
    ranks: Vec<Rank>,
    exchange: Exchange,
    world: World,
    deal: Deal,
    /// Of several processes: of each shard, where its numbers stand in the whole network, and in the shard.
    runs: Vec<Vec<(Range<usize>, Range<usize>)>>,
}

/// What came of a run on all threads.
pub(super) struct Attempt {
    /// The callback broke.
    pub broken: bool,
    /// The last so many batches were shared; those before them ran on the caller's thread.
    pub shared: usize,
}

/// What the first rank has beside its shard.
struct First<'a> {
    whole: &'a mut Whole,
    callback: &'a mut dyn Callback,
    broken: bool,
}

/// How the time before the first shared batch ended.
enum Alone {
    /// All others run; the batch that comes next.
    AllRun(usize),
    /// The batches are done, or no other is to follow, or the others have been sent home.
    Ended { broken: bool },
}

/// Trains the whole network on the caller's thread until all others run.
#[expect(clippy::too_many_arguments, reason = "what a step works on, each of another owner")]
fn alone(
    caller: &mut Caller<'_>,
    whole: &mut Whole,
    plan: &StepPlan<'_>,
    loader: &Loader<'_>,
    batches: &Range<usize>,
    budget: Budget,
    started: Instant,
    working: &mut Working<'_>,
) -> Alone {
    if budget.is_unlimited() {
        return Alone::AllRun(batches.start);
    }
    let mut called_off = false;
    for batch in batches.clone() {
        if called_off {
            // Whoever has not been given a processor yet would let the caller wait for it: so it does not.
            if caller.all_left() {
                return Alone::Ended { broken: false };
            }
        } else if caller.all_run() {
            return Alone::AllRun(batch);
        } else {
            let elapsed = started.elapsed();
            called_off = elapsed > Trial::PATIENCE || elapsed > budget.after(batch - batches.start);
            if called_off {
                caller.call_off();
            }
        }
        if let ControlFlow::Break(broken) = whole.train(plan, loader, batch, working) {
            return Alone::Ended { broken };
        }
    }
    Alone::Ended { broken: false }
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
    /// Cuts `model` as it is dealt out to the processes of `world`, for batches of at most `batch_size`.
    pub fn new(model: &Sequential, slots: usize, world: World, deal: Deal, batch_size: usize) -> Self {
        let rank = |rank: usize| {
            let shard = model.shard(rank, deal.shards);
            Rank {
                optimizer: OptimizerState::with_slots(slots, shard.buffer_len()),
                runs: model.shard_runs(rank, deal.shards),
                columns: model.shard_features(rank, deal.shards),
                model: shard,
                step: Step::default(),
                records: Vec::new(),
            }
        };
        let (parts, floats) = model.largest_sum(batch_size);
        let ranks = deal.shards_of(world.rank()).map(rank).collect();
        let shards = if world.is_shared() { 0..deal.shards } else { 0..0 };
        let runs = shards.map(|shard| model.shard_runs(shard, deal.shards)).collect();
        Shards { ranks, exchange: Exchange::new(parts, floats), world, deal, runs }
    }

    /// Puts what the other processes have of the network and of the optimizer's slots into this one's.
    fn share(&self, model: &mut Sequential, optimizer: &mut OptimizerState) {
        let len = |shard: &usize| self.runs[*shard].iter().map(|(_, own)| own.len()).sum::<usize>();
        let told = |process: usize| {
            let shards = self.deal.shards_of(process);
            if self.deal.is_heard(process) { shards } else { shards.start..shards.start }
        };
        let counts: Vec<usize> =
            (0..self.world.size()).map(|process| told(process).map(|shard| len(&shard)).sum()).collect();
        let (mut own, mut all) = (Vec::new(), vec![0.0; counts.iter().sum()]);
        let slots = optimizer.slots.iter_mut().map(|slot| &mut slot[..]);
        for whole in [model.buffer_mut()].into_iter().chain(slots) {
            own.clear();
            for (run, _) in told(self.world.rank()).flat_map(|shard| &self.runs[shard]) {
                own.extend_from_slice(&whole[run.clone()]);
            }
            self.world.transport().all_gather_floats(&own, &counts, &mut all);
            for process in 0..self.world.size() {
                let mut values = &all[run_of(&counts, process)];
                for (run, _) in told(process).flat_map(|shard| &self.runs[shard]) {
                    let (of_run, rest) = values.split_at(run.len());
                    whole[run.clone()].copy_from_slice(of_run);
                    values = rest;
                }
            }
        }
    }

    /// Trains on `batches` in order and leaves parameters and slots in `working`. Appends a record for each batch done.
    ///
    /// Where the budget has a limit, the caller's thread trains `whole` by itself until all others run.
    ///
    /// Ends early after a batch whose loss is not finite, after one that the callback breaks at, of this process or of another,
    /// when the batches take more than `budget`, and when the others do not come.
    #[expect(clippy::too_many_arguments, reason = "what a step works on, each of another owner")]
    pub fn run(
        &mut self,
        team: &Team,
        plan: &StepPlan<'_>,
        loader: &Loader<'_>,
        batches: Range<usize>,
        budget: Budget,
        whole: &mut Whole,
        working: &mut Working<'_>,
    ) -> Attempt {
        let started = Instant::now();
        let Working { model, optimizer, callback, records, .. } = working;
        let (exchange, world, deal) = (&self.exchange, &self.world, &self.deal);
        // Of the processes, whether this one's callback broke, and whether any one's did: all hear of it in the batch that
        // follows, and give it up.
        let (asks, is_asked) = (AtomicBool::new(false), AtomicBool::new(false));
        let across = world.is_shared().then_some(Across { world, deal, asks: &asks, is_asked: &is_asked });
        let roll = RollCall::new(self.ranks.len());
        // The first batch that all share. Set before they start.
        let first_shared = AtomicUsize::new(batches.end);
        // The batch after which all stop. The first rank sets it before it meets the others in that batch; they read it after
        // they met, so they agree.
        let last = AtomicUsize::new(usize::MAX);
        // The batch that is given up before its update, because the callback broke after the one before it. The others may
        // have begun it; they too meet the first rank in it, and then see this.
        let given_up = AtomicUsize::new(usize::MAX);
        // Reading the clock takes as long as 1/200 of the shortest batch.
        let checked = if budget.per_batch > Duration::from_micros(100) { 1 } else { 8 };
        // Written while the first rank is alone, read by all when they start.
        let network = RwLock::new((&mut **model, &mut **optimizer));
        // Only the caller's thread, the first rank, calls back.
        let mut first = Some(First { whole, callback: &mut **callback, broken: false });
        let mut states: Vec<_> = self.ranks.iter_mut().map(|rank| (rank, first.take())).collect();
        team.run(&mut states, |member, (rank, first)| {
            rank.records.clear();
            let starts = match first {
                None => roll.answer(member.index()),
                Some(first) => {
                    let mut network = network.write().unwrap_or_else(|poisoned| poisoned.into_inner());
                    let (model, optimizer) = &mut *network;
                    let callback = &mut *first.callback;
                    let mut working =
                        Working { model, optimizer, callback, records: &mut rank.records, observed: None };
                    let mut caller = roll.caller();
                    let alone = alone(&mut caller, first.whole, plan, loader, &batches, budget, started, &mut working);
                    drop(network);
                    match alone {
                        Alone::AllRun(next) => {
                            first_shared.store(next, Ordering::Relaxed);
                            caller.start();
                            true
                        }
                        Alone::Ended { broken } => {
                            first.broken = broken;
                            false
                        }
                    }
                }
            };
            if !starts {
                return;
            }
            {
                let network = network.read().unwrap_or_else(|poisoned| poisoned.into_inner());
                rank.take(network.0, network.1);
            }
            let first_shared = first_shared.load(Ordering::Relaxed);
            let Rank { model, optimizer, columns, step, records, .. } = &mut **rank;
            let mut comm = Threads::new(exchange, member, across);
            for batch in first_shared..batches.end {
                let done = batch - batches.start;
                if first.is_some() && done.is_multiple_of(checked) && started.elapsed() > budget.after(done) {
                    last.store(batch, Ordering::Relaxed);
                }
                let goes_on = || match across {
                    None => given_up.load(Ordering::Relaxed) != batch,
                    Some(across) => !across.is_asked.load(Ordering::Relaxed),
                };
                let record = step.train(model, optimizer, plan, loader, batch, columns.clone(), &mut comm, &goes_on);
                let Some(record) = record else { break };
                records.push(record);
                if let Some(first) = first {
                    let end = BatchEnd { epoch: plan.epoch, batch, lr: plan.lr(batch), record };
                    if first.callback.after_batch(&end).is_break() || loader.has_failed() {
                        first.broken = true;
                        asks.store(true, Ordering::Relaxed);
                        given_up.store(batch + 1, Ordering::Relaxed);
                    }
                }
                if !record.is_finite() || last.load(Ordering::Relaxed) == batch {
                    break;
                }
            }
        });
        let broken = states[0].1.as_ref().is_some_and(|first| first.broken);
        let done = self.ranks[0].records.len();
        let shared = done - done.min(first_shared.into_inner() - batches.start);
        // Whoever never started has nothing to bring back.
        if shared > 0 {
            for rank in &self.ranks {
                rank.give(model, optimizer);
            }
            if self.world.is_shared() {
                self.share(model, optimizer);
            }
        }
        records.extend_from_slice(&self.ranks[0].records);
        Attempt { broken, shared }
    }

    /// No rank has seen anything of the epoch that begins.
    pub fn start_epoch(&mut self) {
        self.ranks.iter_mut().for_each(|rank| rank.step.observer.start(&rank.model));
    }

    /// What each rank saw of the epoch, by rank.
    pub fn observers(&self) -> impl Iterator<Item = &Observer> {
        self.ranks.iter().map(|rank| &rank.step.observer)
    }

    /// The first layer that gave a value that is not finite in the last step. Any of the ranks may have that value.
    pub fn first_not_finite(&self) -> Option<usize> {
        self.ranks.iter().filter_map(|rank| rank.step.first_not_finite()).min()
    }
}
