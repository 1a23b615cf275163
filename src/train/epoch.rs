//! An epoch of training steps, on one thread or shared among all. It knows batches in order, not validation.

use std::ops::{ControlFlow, Range};
use std::time::Instant;

use crate::data::Loader;
use crate::error::{Error, Result};
use crate::nn::Sequential;
use crate::optim::OptimizerState;
use crate::parallel::comm::Local;
use crate::parallel::trial::{Budget, Sharing, Trial};
use crate::parallel::{Team, available_cores};
use crate::train::callback::{BatchEnd, Callback};
use crate::train::history::BatchRecord;
use crate::train::observer::{Observed, Observer};
use crate::train::shards::Shards;
use crate::train::step::{Step, StepPlan};
use crate::train::watch::Watch;

/// Trains epochs, on one thread or on shards.
pub(super) struct EpochRunner {
    whole: Whole,
    shards: Option<Shards>,
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
        if callback.after_batch(&end).is_break() {
            return ControlFlow::Break(true);
        }
        if record.is_finite() { ControlFlow::Continue(()) } else { ControlFlow::Break(false) }
    }
}

impl EpochRunner {
    /// For a network with so many optimizer slots, and batches of at most `batch_size`.
    pub fn new(model: &Sequential, slots: usize, team: &Team, batch_size: usize, sharing: Sharing) -> Self {
        let cores = match sharing {
            Sharing::Measured => available_cores(),
            Sharing::Always => usize::MAX,
        };
        let world_size = team.threads().min(cores).min(model.max_world_size());
        EpochRunner {
            whole: Whole::default(),
            shards: (world_size > 1).then(|| Shards::new(model, slots, world_size, batch_size)),
            sharing,
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
            self.whole.step.observer.go_on(observed);
        }
        if let Some(shards) = &mut self.shards {
            shards.start_epoch();
        }
        loop {
            let batches = working.records.len() - first..loader.batches();
            if batches.is_empty() {
                return Ok(false);
            }
            let budget = match (&self.shards, self.sharing) {
                (None, _) => None,
                (Some(_), Sharing::Always) => Some(Budget::UNLIMITED),
                (Some(_), Sharing::Measured) => self.trial.budget(),
            };
            let (broken, shared) = match (budget, &mut self.shards) {
                (Some(budget), Some(shards)) => {
                    let (started, before) = (Instant::now(), working.records.len());
                    let attempt = shards.run(team, plan, loader, batches, budget, &mut self.whole, working);
                    let done = working.records.len() - before;
                    self.trial.all_threads_took(started.elapsed(), done, attempt.shared);
                    self.shared_batches += attempt.shared;
                    (attempt.broken, attempt.shared > 0)
                }
                _ => (self.one_thread(plan, loader, batches, working), false),
            };
            if working.records.last().is_some_and(|record| !record.is_finite()) {
                let layer = match &self.shards {
                    Some(shards) if shared => shards.first_not_finite(),
                    _ => self.whole.step.first_not_finite(),
                };
                let layer = layer.map_or("the loss".into(), |index| working.model.layer_name(index));
                return Err(Error::NonFinite { epoch: plan.epoch, batch: working.records.len() - first, layer });
            }
            if broken {
                return Ok(true);
            }
        }
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
