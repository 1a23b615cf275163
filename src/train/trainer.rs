//! The loop: each epoch trains on all batches, then validates on all batches. It knows networks, data and threads; it
//! knows no flags, no terminals and no files.

use std::sync::Arc;
use std::time::Instant;

use crate::data::{Dataset, Loader, Shuffle};
use crate::error::{Error, Result};
use crate::kernels::{SimdChoice, SimdLevel};
use crate::loss::{self, Loss};
use crate::nn::{Context, DataSpec, Sequential};
use crate::optim::schedule::{Constant, Position, Schedule};
use crate::optim::{Clip, Optimizer};
use crate::parallel::{self, Sharing, Team};
use crate::train::callback::{Callback, EpochEnd};
use crate::train::check_fit;
use crate::train::epoch::{EpochRunner, Working};
use crate::train::evaluate::Evaluator;
use crate::train::history::{BatchRecord, EpochRecord, History, mean_loss_and_accuracy};
use crate::train::state::TrainState;
use crate::train::step::StepPlan;

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

    /// The same from a given state up to the last epoch, and with a callback. Whatever happens, `state` and `model` hold what
    /// the last complete epoch left.
    ///
    /// # Errors
    /// As [`fit`](Self::fit); a `state` that is not of this network and optimizer.
    pub fn fit_from(
        &self,
        model: &mut Sequential,
        state: &mut TrainState,
        train: &Dataset,
        val: &Dataset,
        callback: &mut dyn Callback,
    ) -> Result<()> {
        self.validate()?;
        let loss = self.loss.clone().unwrap_or_else(|| loss::of_targets(train.targets()));
        check_fit(&*loss, model, train)?;
        check_fit(&*loss, model, val)?;
        self.check_state(model, state)?;
        let simd = SimdLevel::resolve(self.simd)?;
        let mut train_loader = Loader::new(train, self.batch_size, self.shuffle, self.seed)?;
        let val_loader = Loader::new(val, self.batch_size, Shuffle::Never, self.seed)?;
        let team = Team::new(self.threads_used())?;
        let largest_batch = self.batch_size.min(train.len());
        let mut runner = EpochRunner::new(model, self.optimizer.slots(), &team, largest_batch, self.sharing);
        let mut evaluator = Evaluator::new(&team);
        let epochs_left = self.epochs.saturating_sub(state.epoch);
        state.history.reserve(epochs_left, train_loader.batches(), val_loader.batches());
        model.set_data(DataSpec { scale: train.scale(), image_size: train.image_size() });
        let mut good = Good::of(model, state);
        let mut rates = Vec::with_capacity(if self.schedule.by_step() { train_loader.batches() } else { 1 });
        let mut val_losses: Vec<f64> = state.history.epochs.iter().map(|epoch| epoch.val_loss).collect();
        val_losses.reserve(epochs_left.min(History::MAX_RECORDS));

        while state.epoch < self.epochs {
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
            let mut working = Working {
                model: &mut *model,
                optimizer: &mut state.optimizer,
                callback: &mut *callback,
                records: &mut state.history.train_batches,
            };
            let broken = runner.run(&team, &plan, &train_loader, &mut working);
            let broken = broken.inspect_err(|_| good.restore(model, state))?;
            if broken {
                return Ok(());
            }
            let trained = Instant::now();
            evaluator.run(model, &*loss, simd, &val_loader, &team, &mut state.history.val_batches);
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
                train_seconds: (trained - started).as_secs_f64(),
                val_seconds: (validated - trained).as_secs_f64(),
                watch: Some(runner.watch(model, plan.lr(train_loader.batches() - 1))),
            };
            state.history.epochs.push(record);
            val_losses.push(val_loss);
            state.epoch = epoch;
            let mut end = EpochEnd {
                epoch,
                record,
                shared_batches: runner.shared_batches(),
                model: &mut *model,
                state: &mut *state,
            };
            let broken = callback.after_epoch(&mut end).is_break();
            good.update(model, state);
            if broken {
                return Ok(());
            }
        }
        Ok(())
    }

    fn check_state(&self, model: &Sequential, state: &TrainState) -> Result<()> {
        let slots = &state.optimizer.slots;
        let fits = slots.len() == self.optimizer.slots() && slots.iter().all(|slot| slot.len() == model.buffer_len());
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

/// What the last complete epoch left, should the next one fail.
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
