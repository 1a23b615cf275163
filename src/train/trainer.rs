//! The loop: each epoch trains on all batches, then validates on all batches. It knows networks, data and threads; it
//! knows no flags, no terminals and no files.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::data::{self, Dataset, Loader, Prepare, Shuffle};
use crate::error::{Error, Result};
use crate::kernels::{SimdChoice, SimdLevel};
use crate::loss::{self, Loss};
use crate::nn::{Context, DataSpec, Sequential};
use crate::optim::schedule::{Constant, Position, Schedule};
use crate::optim::{Clip, Optimizer};
use crate::parallel::{self, Parallel, Reduce, Sharing, Team, World};
use crate::shards::dealt;
use crate::train::callback::{Callback, EpochEnd};
use crate::train::check_fit;
use crate::train::epoch::{Cut, EpochRunner, Working};
use crate::train::evaluate::Evaluator;
use crate::train::history::{BatchRecord, EpochRecord, History, mean_loss_and_accuracy};
use crate::train::state::{BestParameters, TrainState};
use crate::train::step::StepPlan;
use crate::train::stopping::{Deadline, Monitor, Stopped, Waiting};

/// How to train. The network and its data are given to [`fit`](Self::fit).
///
/// ```no_run
/// use flatnet::optim::AdamW;
/// use flatnet::{Sequential, Trainer};
/// let (train, test) = flatnet::data::mnist("data/mnist")?;
/// let mut model = Sequential::new(784).linear(128).relu().dropout(0.2).linear(10).build(0)?;
/// let history = Trainer::new(AdamW::new(1e-3)).epochs(10).batch_size(32).fit(&mut model, &train, &test)?;
/// println!("{}", history.best().unwrap());
/// model.save("digits.safetensors")?;
/// # Ok::<(), flatnet::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Trainer {
    optimizer: Arc<dyn Optimizer>,
    loss: Option<Arc<dyn Loss>>,
    schedule: Arc<dyn Schedule>,
    clip: Option<Clip>,
    epochs: usize,
    batch_size: usize,
    shuffle: Shuffle,
    seed: u64,
    threads: usize,
    simd: SimdChoice,
    sharing: Sharing,
    world: World,
    parallel: Parallel,
    reduce: Reduce,
    patience: Option<usize>,
    min_delta: f64,
    monitor: Monitor,
    max_seconds: Option<f64>,
}

impl Trainer {
    /// 10 epochs of batches of 32, shuffled in every epoch, with a constant learning rate and the loss that the targets
    /// call for, on all cores.
    pub fn new(optimizer: impl Optimizer + 'static) -> Self {
        Trainer {
            optimizer: Arc::new(optimizer),
            loss: None,
            schedule: Arc::new(Constant),
            clip: None,
            epochs: 10,
            batch_size: 32,
            shuffle: Shuffle::Epoch,
            seed: 0,
            threads: parallel::default_threads(),
            simd: SimdChoice::Auto,
            sharing: Sharing::Measured,
            world: World::alone(),
            parallel: Parallel::default(),
            reduce: Reduce::default(),
            patience: None,
            min_delta: 0.0,
            monitor: Monitor::ValLoss,
            max_seconds: None,
        }
    }

    /// How often to go through all training samples.
    #[must_use]
    pub fn epochs(self, epochs: usize) -> Self {
        Trainer { epochs, ..self }
    }

    /// Samples per step, at least 1.
    #[must_use]
    pub fn batch_size(self, batch_size: usize) -> Self {
        Trainer { batch_size, ..self }
    }

    /// What to minimize. By default softmax cross entropy for classes, squared error for values.
    #[must_use]
    pub fn loss(self, loss: impl Loss + 'static) -> Self {
        Trainer { loss: Some(Arc::new(loss)), ..self }
    }

    /// How the learning rate changes; the optimizer's own is the base.
    #[must_use]
    pub fn schedule(self, schedule: impl Schedule + 'static) -> Self {
        Trainer { schedule: Arc::new(schedule), ..self }
    }

    /// Bounds gradients before each step.
    #[must_use]
    pub fn clip(self, clip: Clip) -> Self {
        Trainer { clip: Some(clip), ..self }
    }

    /// Whether samples come in a new order in every epoch.
    #[must_use]
    pub fn shuffle(self, shuffle: Shuffle) -> Self {
        Trainer { shuffle, ..self }
    }

    /// Decides orders of samples and draws of dropout.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Trainer { seed, ..self }
    }

    /// The most threads to use; results are the same bits for any number. More than the cores that this process may use are
    /// not started, unless [`Sharing::Always`] asks for them.
    #[must_use]
    pub fn threads(self, threads: usize) -> Self {
        Trainer { threads, ..self }
    }

    /// Which vector instructions run.
    #[must_use]
    pub fn simd(self, simd: SimdChoice) -> Self {
        Trainer { simd, ..self }
    }

    /// Whether a step is shared among threads. The results are the same bits either way.
    #[must_use]
    pub fn sharing(self, sharing: Sharing) -> Self {
        Trainer { sharing, ..self }
    }

    /// Along which axis a step is cut among threads and ranks. The bits of a cut by samples differ from those of a cut by
    /// features, and either's are the same for any number of threads and ranks.
    #[must_use]
    pub fn parallel(self, parallel: Parallel) -> Self {
        Trainer { parallel, ..self }
    }

    /// How gradients of a cut by samples are added up over ranks.
    #[must_use]
    pub fn reduce(self, reduce: Reduce) -> Self {
        Trainer { reduce, ..self }
    }

    /// The processes that train together, each of which calls [`fit`](Self::fit) with the same settings, network and data, and
    /// ends with the same network. To break in a callback of one of them ends the training of all, after the batch that
    /// follows at the latest.
    #[must_use]
    pub fn world(self, world: World) -> Self {
        Trainer { world, ..self }
    }

    /// Ends the training after so many epochs, at least 1, in a row of which none was better than the best one before. The
    /// network is then as the last epoch left it; [`TrainState::best_model`] has the best one's.
    ///
    /// ```
    /// use flatnet::data::Dataset;
    /// use flatnet::optim::Adam;
    /// use flatnet::train::{Monitor, Stopped};
    /// use flatnet::{Sequential, TrainState, Trainer};
    /// # let pixels: Vec<u8> = (0..64).map(|i| (i * 37 % 251) as u8).collect();
    /// # let labels: Vec<u8> = (0..16).map(|i| i % 2).collect();
    /// # let train = Dataset::images(pixels, labels, (2, 2), 2, "made up".into())?;
    /// # let val = train.select(&[3, 1, 4]);
    /// let mut model = Sequential::new(4).linear(8).relu().linear(2).build(0)?;
    /// let trainer = Trainer::new(Adam::new(0.1)).epochs(10_000).patience(5).min_delta(1e-4).monitor(Monitor::ValLoss);
    /// let mut state = TrainState::new(&model, trainer.optimizer());
    /// let stopped = trainer.fit_from(&mut model, &mut state, &train, &val, &mut ())?;
    /// assert_eq!(stopped, Stopped::Patience);
    /// assert_eq!(state.best.as_ref().map(|best| best.epoch), state.history.best().map(|best| best.epoch));
    /// let best = state.best_model(&model);
    /// # assert_eq!(flatnet::evaluate(&best, &val, 32, 1)?.loss, state.history.best().unwrap().val_loss);
    /// # Ok::<(), flatnet::Error>(())
    /// ```
    #[must_use]
    pub fn patience(self, epochs: usize) -> Self {
        Trainer { patience: Some(epochs), ..self }
    }

    /// By how much more than nothing an epoch must be better for [`patience`](Self::patience) to begin anew; 0 unless set.
    #[must_use]
    pub fn min_delta(self, min_delta: f64) -> Self {
        Trainer { min_delta, ..self }
    }

    /// Which figure says what is better: the validation loss unless set.
    #[must_use]
    pub fn monitor(self, monitor: Monitor) -> Self {
        Trainer { monitor, ..self }
    }

    /// Ends the training after the batch at which so many seconds have passed since [`fit_from`](Self::fit_from) was called.
    #[must_use]
    pub fn max_seconds(self, seconds: f64) -> Self {
        Trainer { max_seconds: Some(seconds), ..self }
    }

    /// Which samples of a training set of `len` this process computes gradients of, where ranks share each batch and the order
    /// of samples allows: these alone need be in its memory ([`Dataset::hold`]). `None` where it needs all.
    pub fn rows_of_rank(&self, model: &Sequential, len: usize) -> Option<Vec<Range<u32>>> {
        let batch_size = self.batch_size.min(len);
        let is_cut_by_samples =
            self.parallel.resolve(batch_size, model.traffic(batch_size)) == Parallel::Samples && self.world.is_shared();
        let dealt = |shards| dealt(shards, self.world.rank(), self.world.size());
        is_cut_by_samples.then(|| data::rows_of_shards(len, batch_size, self.shuffle, dealt))?
    }

    /// The optimizer.
    pub fn optimizer(&self) -> &dyn Optimizer {
        &*self.optimizer
    }

    /// How many threads it will use.
    pub fn threads_used(&self) -> usize {
        match self.sharing {
            Sharing::Measured => self.threads.min(parallel::available_cores()),
            Sharing::Always => self.threads,
        }
    }

    /// Checks every setting that can be checked without data.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first one outside its domain.
    pub fn validate(&self) -> Result<()> {
        if self.batch_size == 0 {
            let expected = "at least 1".into();
            return Err(Error::Setting { name: "batch_size", found: "0".into(), expected });
        }
        let refuse =
            |name, found: String, expected: &str| Err(Error::Setting { name, found, expected: expected.into() });
        if self.patience == Some(0) {
            return refuse("patience", "0".into(), "at least 1 epoch");
        }
        if !(self.min_delta >= 0.0 && self.min_delta.is_finite()) {
            return refuse("min_delta", self.min_delta.to_string(), "a number of at least 0");
        }
        if let Some(seconds) = self.max_seconds
            && !(seconds > 0.0 && Duration::try_from_secs_f64(seconds).is_ok())
        {
            return refuse("max_seconds", seconds.to_string(), "a number above 0");
        }
        SimdLevel::resolve(self.simd)?;
        self.optimizer.validate()?;
        self.schedule.validate()?;
        self.clip.map_or(Ok(()), |clip| clip.validate())
    }

    /// Trains `model` on `train` and validates it on `val` after every epoch.
    ///
    /// # Errors
    /// A setting outside its domain; data that does not fit the network or the loss; [`Error::NonFinite`] at the first value
    /// that is not a finite number, with `model` as it was after the last epoch without one.
    pub fn fit(&self, model: &mut Sequential, train: &Dataset, val: &Dataset) -> Result<History> {
        let mut state = TrainState::new(model, self.optimizer());
        self.fit_from(model, &mut state, train, val, &mut ())?;
        Ok(state.history)
    }

    /// The same from a given state up to the last epoch, and with a callback; says why it ended.
    ///
    /// Whatever happens, `state` and `model` fit one another, and training can go on from there to the same bits as if it had
    /// never ended: after the last whole epoch; or, where the callback broke or time was over within an epoch, after a batch
    /// (see [`TrainState::batch`]; [`TrainState::whole_model`] is what the last whole epoch left).
    ///
    /// # Errors
    /// As [`fit`](Self::fit), and then `state` and `model` are as the last whole epoch left them, or as they were given; a `state`
    /// that is not of this network, optimizer and data.
    pub fn fit_from(
        &self,
        model: &mut Sequential,
        state: &mut TrainState,
        train: &Dataset,
        val: &Dataset,
        callback: &mut dyn Callback,
    ) -> Result<Stopped> {
        let begun = Instant::now();
        // Later than any clock shows is never.
        let deadline =
            self.max_seconds.and_then(|seconds| begun.checked_add(Duration::try_from_secs_f64(seconds).ok()?));
        self.validate()?;
        let loss = self.loss.clone().unwrap_or_else(|| loss::of_targets(train.targets()));
        check_fit(&*loss, model, train)?;
        check_fit(&*loss, model, val)?;
        let simd = SimdLevel::resolve(self.simd)?;
        let mut train_loader = Loader::new(train, self.batch_size, self.shuffle, self.seed)?;
        let val_loader = Loader::new(val, self.batch_size, Shuffle::Never, self.seed)?;
        self.check_state(model, state, train_loader.batches())?;
        let team = Team::new(self.threads_used())?;
        let largest_batch = self.batch_size.min(train.len());
        let cut =
            Cut { world: self.world.clone(), parallel: self.parallel, reduce: self.reduce, sharing: self.sharing };
        let mut runner = EpochRunner::new(model, self.optimizer.slots(), &team, largest_batch, &cut);
        let mut evaluator = Evaluator::new(&team, self.world.clone());
        let epochs_left = self.epochs.saturating_sub(state.epoch);
        state.history.reserve(epochs_left, train_loader.batches(), val_loader.batches());
        let (scale, image_size, prepare) = (train.scale(), train.image_size(), Prepare::of(train));
        model.set_data(DataSpec { scale, image_size, prepare });
        let mut good = Good::of(model, state);
        let mut rates = Vec::with_capacity(if self.schedule.by_step() { train_loader.batches() } else { 1 });
        let mut val_losses: Vec<f64> = state.history.epochs.iter().map(|epoch| epoch.val_loss).collect();
        val_losses.reserve(epochs_left.min(History::MAX_RECORDS));
        let mut waiting = Waiting::after(&state.history.epochs, self.monitor, self.min_delta);

        while state.epoch < self.epochs {
            if state.batch == 0 && waiting.is_over(self.patience) {
                return Ok(Stopped::Patience);
            }
            let epoch = state.epoch + 1;
            let started = Instant::now();
            train_loader.start_epoch(epoch);
            self.learning_rates(state, &val_losses, train_loader.batches(), &mut rates);
            let plan = StepPlan {
                loss: &*loss,
                optimizer: self.optimizer(),
                clip: self.clip,
                context: Context::train(self.seed).with_simd(simd),
                epoch,
                rates: &rates,
            };
            let mut bounded = Deadline { callback: &mut *callback, at: deadline, is_over: false };
            let before_epoch = state.history.train_batches.len() - state.batch;
            let mut working = Working {
                model: &mut *model,
                optimizer: &mut state.optimizer,
                callback: if deadline.is_some() { &mut bounded } else { &mut *bounded.callback },
                records: &mut state.history.train_batches,
                observed: state.observed.as_ref(),
            };
            let broken = runner.run(&team, &plan, &train_loader, state.batch, &mut working);
            let broken = broken.inspect_err(|_| good.restore(model, state))?;
            let trained = Instant::now();
            let train_seconds = state.batch_seconds + (trained - started).as_secs_f64();
            if broken {
                state.batch = state.history.train_batches.len() - before_epoch;
                state.batch_seconds = train_seconds;
                state.observed = Some(runner.observed());
                state.whole.get_or_insert_with(|| good.parameters.as_slice().into());
                let is_over = self.world.largest(u8::from(bounded.is_over)) > 0;
                return Ok(if is_over { Stopped::MaxSeconds } else { Stopped::Callback });
            }
            evaluator.run(model, &*loss, simd, &val_loader, &team, &mut state.history.val_batches);
            self.world
                .share_failure(val_loader.dataset().is_on_disk(), || val_loader.take_failure())
                .inspect_err(|_| good.restore(model, state))?;
            let validated = Instant::now();

            let last =
                |batches: &[BatchRecord], count: usize| mean_loss_and_accuracy(&batches[batches.len() - count..]);
            let (train_loss, train_accuracy) = last(&state.history.train_batches, train_loader.batches());
            let (val_loss, val_accuracy) = last(&state.history.val_batches, val_loader.batches());
            if !val_loss.is_finite() {
                good.restore(model, state);
                return Err(Error::NonFinite { epoch, batch: train_loader.batches(), layer: "the validation".into() });
            }
            let record = EpochRecord {
                train_loss,
                train_accuracy,
                val_loss,
                val_accuracy,
                train_seconds,
                val_seconds: (validated - trained).as_secs_f64(),
                watch: Some(runner.watch(model, plan.lr(train_loader.batches() - 1))),
            };
            let best = state.best.as_ref().and_then(|best| state.history.epochs.get(best.epoch.checked_sub(1)?));
            let is_best = best.is_none_or(|best| self.monitor.improves(best, &record, 0.0));
            state.history.epochs.push(record);
            val_losses.push(val_loss);
            waiting.epoch(&record);
            (state.epoch, state.batch, state.batch_seconds, state.whole) = (epoch, 0, 0.0, None);
            state.observed = None;
            if is_best {
                keep_best(&mut state.best, model, epoch);
            }
            let mut end = EpochEnd {
                epoch,
                record,
                shared_batches: runner.shared_batches(),
                model: &mut *model,
                state: &mut *state,
            };
            let broken = callback.after_epoch(&mut end).is_break();
            good.update(model, state);
            if state.epoch < self.epochs {
                let is_over = deadline.is_some_and(|at| Instant::now() >= at);
                // Of several ranks each has a clock and a callback of its own.
                match self.world.largest(if broken { 2 } else { u8::from(is_over) }) {
                    0 => {}
                    1 => return Ok(Stopped::MaxSeconds),
                    _ => return Ok(Stopped::Callback),
                }
            }
        }
        Ok(Stopped::Epochs)
    }

    fn check_state(&self, model: &Sequential, state: &TrainState, batches: usize) -> Result<()> {
        let slots = &state.optimizer.slots;
        if state.batch > batches.min(state.history.train_batches.len()) {
            return Err(Error::Shape {
                place: "the state of training".into(),
                expected: format!("at most {batches} batches of an epoch done, and a record of each"),
                found: format!("{} batches, {} records", state.batch, state.history.train_batches.len()),
            });
        }
        let kept = state.best.iter().map(|best| &best.values).chain(&state.whole);
        let fits = slots.len() == self.optimizer.slots()
            && slots.iter().chain(kept).all(|slot| slot.len() == model.buffer_len());
        if fits {
            return Ok(());
        }
        Err(Error::Shape {
            place: format!("the state of {}", self.optimizer.name()),
            expected: format!("{} slots of {} values", self.optimizer.slots(), model.buffer_len()),
            found: format!("{} of {:?}", slots.len(), slots.iter().map(|slot| slot.len()).collect::<Vec<_>>()),
        })
    }

    /// The learning rates of the next epoch's batches; one if they are all the same.
    fn learning_rates(&self, state: &TrainState, val_losses: &[f64], batches: usize, rates: &mut Vec<f32>) {
        let different = if self.schedule.by_step() { batches } else { 1 };
        let rate = |batch: usize| {
            let step = (state.epoch * batches + batch) as u64;
            let position = Position::new(step, batches as u64, self.epochs, val_losses);
            self.schedule.lr(f64::from(self.optimizer.lr()), &position) as f32
        };
        rates.clear();
        rates.extend((0..different).map(rate));
    }
}

/// Copies the parameters; into the room that is there.
fn keep_best(best: &mut Option<BestParameters>, model: &Sequential, epoch: usize) {
    match best {
        Some(best) => {
            best.epoch = epoch;
            best.values.copy_from_slice(model.buffer());
        }
        None => *best = Some(BestParameters::of(model, epoch)),
    }
}

/// What the last complete epoch left, or where training began, should the next one fail.
struct Good {
    parameters: Vec<f32>,
    slots: Vec<Vec<f32>>,
    step: u64,
    train_batches: usize,
    val_batches: usize,
}

impl Good {
    fn of(model: &Sequential, state: &TrainState) -> Self {
        Good {
            parameters: model.buffer().to_vec(),
            slots: state.optimizer.slots.iter().map(|slot| slot.to_vec()).collect(),
            step: state.optimizer.step,
            train_batches: state.history.train_batches.len(),
            val_batches: state.history.val_batches.len(),
        }
    }

    fn update(&mut self, model: &Sequential, state: &TrainState) {
        self.parameters.copy_from_slice(model.buffer());
        for (own, slot) in self.slots.iter_mut().zip(&state.optimizer.slots) {
            own.copy_from_slice(slot);
        }
        self.step = state.optimizer.step;
        self.train_batches = state.history.train_batches.len();
        self.val_batches = state.history.val_batches.len();
    }

    fn restore(&self, model: &mut Sequential, state: &mut TrainState) {
        model.buffer_mut().copy_from_slice(&self.parameters);
        for (own, slot) in self.slots.iter().zip(&mut state.optimizer.slots) {
            slot.copy_from_slice(own);
        }
        state.optimizer.step = self.step;
        state.history.train_batches.truncate(self.train_batches);
        state.history.val_batches.truncate(self.val_batches);
    }
}
