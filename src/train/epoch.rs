//! An epoch of training steps, on one thread or shared among all, of one process or of several. It knows batches in order, not
//! validation.

use std::ops::{ControlFlow, Range};
use std::time::Instant;

use crate::data::Loader;
use crate::error::{Error, Result};
use crate::nn::Sequential;
use crate::optim::OptimizerState;
use crate::parallel::choice::{Parallel, Reduce};
use crate::parallel::comm::{Deal, Local};
use crate::parallel::trial::{Budget, Sharing, Trial};
use crate::parallel::{Team, World, available_cores};
use crate::train::callback::{BatchEnd, Callback};
use crate::train::history::BatchRecord;
use crate::train::observer::{Observed, Observer};
use crate::train::samples::Samples;
use crate::train::shards::Shards;
use crate::train::step::{Step, StepPlan};
use crate::train::watch::Watch;

/// Trains epochs, on one thread, on shards of the network or on shards of each batch.
pub(super) struct EpochRunner {
    world: World,
    whole: Whole,
    shards: Option<Shards>,
    samples: Option<Samples>,
    sharing: Sharing,
    trial: Trial,
    /// Batches of the last epoch whose step was shared.
    shared_batches: usize,
}

/// What training works on and keeps.
pub(super) struct Working<'a> {
    pub model: &'a mut Sequential,
    pub optimizer: &'a mut OptimizerState,
    pub callback: &'a mut dyn Callback,
    pub records: &'a mut Vec<BatchRecord>,
    /// What was seen of the batches of the epoch that are done already.
    pub observed: Option<&'a Observed>,
}

/// The step of the whole network, on the calling thread.
#[derive(Default)]
pub(super) struct Whole {
    step: Step,
    local: Local,
}

impl Whole {
    /// One step on `batch`: appends its record and calls back. Breaks, with whether the callback broke, where no other batch
    /// is to follow.
    pub fn train(
        &mut self,
        plan: &StepPlan<'_>,
        loader: &Loader<'_>,
        batch: usize,
        working: &mut Working<'_>,
    ) -> ControlFlow<bool> {
        let Working { model, optimizer, callback, records, .. } = working;
        let (columns, comm) = (0..model.in_features(), &mut self.local);
        let record = self.step.train(model, optimizer, plan, loader, batch, columns, comm, &|| true);
        let Some(record) = record else { return ControlFlow::Break(false) };
        records.push(record);
        let end = BatchEnd { epoch: plan.epoch, batch, lr: plan.lr(batch), record };
        if callback.after_batch(&end).is_break() || loader.has_failed() {
            return ControlFlow::Break(true);
        }
        if record.is_finite() { ControlFlow::Continue(()) } else { ControlFlow::Break(false) }
    }
}

/// How the work of a step is cut.
pub(super) struct Cut {
    pub world: World,
    pub parallel: Parallel,
    pub reduce: Reduce,
    pub sharing: Sharing,
}

impl EpochRunner {
    /// For a network with so many optimizer slots, and batches of at most `batch_size`.
    pub fn new(model: &Sequential, slots: usize, team: &Team, batch_size: usize, cut: &Cut) -> Self {
        let cores = match cut.sharing {
            Sharing::Measured => available_cores(),
            Sharing::Always => usize::MAX,
        };
        // All processes have to know how many threads each has.
        let threads = 255 - usize::from(cut.world.largest(255 - team.threads().min(cores).min(255) as u8));
        let (mut shards, mut samples) = (None, None);
        match cut.parallel.resolve(batch_size, model.traffic(batch_size)) {
            Parallel::Samples => {
                samples = Some(Samples::new(cut.world.clone(), cut.reduce, team.threads().min(cores), batch_size));
            }
            _ => {
                let deal = Deal::new(cut.world.size(), threads, model.max_world_size());
                shards = (deal.shards > 1).then(|| Shards::new(model, slots, cut.world.clone(), deal, batch_size));
            }
        }
        EpochRunner {
            world: cut.world.clone(),
            whole: Whole::default(),
            shards,
            samples,
            sharing: cut.sharing,
            trial: Trial::new(),
            shared_batches: 0,
        }
    }

    /// Batches of the last epoch whose step all threads shared.
    pub fn shared_batches(&self) -> usize {
        self.shared_batches
    }

    /// What the last epoch, whose last batch had this learning rate, showed of `model`.
    pub fn watch(&mut self, model: &Sequential, lr: f32) -> Watch {
        self.seen_by_all().watch(model, lr)
    }

    /// What the epoch showed so far, once it has ended early.
    pub fn observed(&mut self) -> Observed {
        self.seen_by_all().observed()
    }

    /// To be called once an epoch.
    fn seen_by_all(&mut self) -> &mut Observer {
        let seen = &mut self.whole.step.observer;
        if let Some(shards) = &self.shards {
            shards.observers().enumerate().for_each(|(rank, observer)| seen.merge(observer, rank == 0));
        }
        if let Some(samples) = &self.samples {
            samples.observers().for_each(|observer| seen.merge(observer, true));
        }
        if self.world.is_shared() {
            let own = serde_json::to_vec(&seen.observed()).unwrap_or_default();
            for (rank, other) in self.world.all_gather(&own).iter().enumerate() {
                if let Ok(other) = serde_json::from_slice::<Observed>(other)
                    && rank != self.world.rank()
                {
                    seen.merge_process(&other, self.samples.is_some());
                }
            }
        }
        seen
    }

    /// Trains on the batches of `loader` in order but for the first `done` ones, whose records are the last of `working`, and
    /// appends their records. Returns whether the callback broke.
    ///
    /// # Errors
    /// [`Error::NonFinite`] at the first loss that is not a finite number.
    pub fn run(
        &mut self,
        team: &Team,
        plan: &StepPlan<'_>,
        loader: &Loader<'_>,
        done: usize,
        working: &mut Working<'_>,
    ) -> Result<bool> {
        let first = working.records.len() - done;
        self.shared_batches = 0;
        self.whole.step.observer.start(working.model);
        if let Some(observed) = working.observed {
            // Of processes that count predictions each for itself, one counts those before.
            let is_counted = self.samples.is_none() || self.world.rank() == 0;
            let observed = if is_counted { observed } else { &observed.without_counts() };
            self.whole.step.observer.go_on(observed);
        }
        if let Some(shards) = &mut self.shards {
            shards.start_epoch();
        }
        if let Some(samples) = &mut self.samples {
            samples.start_epoch(working.model);
        }
        loop {
            let mut batches = working.records.len() - first..loader.batches();
            if batches.is_empty() {
                return Ok(false);
            }
            if self.world.is_shared() && self.shards.is_none() && self.samples.is_none() {
                // Nothing is cut, so that each process does all of it; only whether to stop is told, after every batch.
                batches.end = batches.start + 1;
            }
            let budget = match (&self.shards, self.sharing) {
                (None, _) => None,
                (Some(_), Sharing::Always) => Some(Budget::UNLIMITED),
                // Processes cannot do without each other.
                (Some(_), Sharing::Measured) if self.world.is_shared() => Some(Budget::UNLIMITED),
                (Some(_), Sharing::Measured) => self.trial.budget(),
            };
            let (broken, shared) = match (budget, &mut self.shards, &mut self.samples) {
                (_, _, Some(samples)) => {
                    let before = working.records.len();
                    let seen = &mut self.whole.step.observer;
                    let broken = samples.run(team, plan, loader, batches, seen, working);
                    self.shared_batches += working.records.len() - before;
                    (broken, true)
                }
                (Some(budget), Some(shards), None) => {
                    let (started, before) = (Instant::now(), working.records.len());
                    let attempt = shards.run(team, plan, loader, batches, budget, &mut self.whole, working);
                    let done = working.records.len() - before;
                    self.trial.all_threads_took(started.elapsed(), done, attempt.shared);
                    self.shared_batches += attempt.shared;
                    (attempt.broken, attempt.shared > 0)
                }
                _ => (self.one_thread(plan, loader, batches, working), false),
            };
            self.world.share_failure(loader.dataset().is_on_disk(), || loader.take_failure())?;
            if working.records.last().is_some_and(|record| !record.is_finite()) {
                let layer = match (&self.shards, &self.samples) {
                    (Some(shards), _) if shared => shards.first_not_finite(),
                    (_, Some(samples)) => samples.first_not_finite(),
                    _ => self.whole.step.first_not_finite(),
                };
                let layer = self.first_of_all(layer);
                let layer = layer.map_or("the loss".into(), |index| working.model.layer_name(index));
                return Err(Error::NonFinite { epoch: plan.epoch, batch: working.records.len() - first, layer });
            }
            if self.world.largest(u8::from(broken)) > 0 {
                return Ok(true);
            }
        }
    }

    /// The first layer that any process names.
    fn first_of_all(&self, layer: Option<usize>) -> Option<usize> {
        let named = self.world.all_gather(&layer.map_or(Vec::new(), |layer| layer.to_le_bytes().to_vec()));
        named.into_iter().filter_map(|bytes| Some(usize::from_le_bytes(bytes.try_into().ok()?))).min()
    }

    /// Runs batches on the calling thread: all of them where there are no shards; else until those are due, timing them.
    /// Returns whether the callback broke.
    fn one_thread(
        &mut self,
        plan: &StepPlan<'_>,
        loader: &Loader<'_>,
        batches: Range<usize>,
        working: &mut Working<'_>,
    ) -> bool {
        /// Batches that find caches cold and buffers too small; of long batches, the first one.
        const WARM_UP: usize = 4;
        // `first` is how many batches were done when the stretch at hand began; `None` while warming up.
        let (mut started, mut first) = (Instant::now(), None);
        for (done, batch) in (1..).zip(batches) {
            if let ControlFlow::Break(broken) = self.whole.train(plan, loader, batch, working) {
                return broken;
            }
            if self.shards.is_none() {
                continue;
            }
            let elapsed = started.elapsed();
            let timed = first.map(|first| done - first);
            if elapsed > Trial::STRETCH || (timed.is_none() && done == WARM_UP) {
                if let Some(batches) = timed {
                    self.trial.one_thread_took(elapsed, batches);
                    if self.trial.budget().is_some() {
                        return false;
                    }
                }
                (started, first) = (Instant::now(), Some(done));
            }
        }
        false
    }
}
