//! The loop: every epoch trains on all batches, then validates on all batches. It knows networks, data and threads; it
//! knows no flags, no terminals and no files.

use std::ops::ControlFlow;
use std::time::Instant;

use crate::data::{Dataset, Loader, Scale, Shuffle};
use crate::error::Result;
use crate::kernels::{KernelChoice, SimdChoice, SimdLevel};
use crate::nn::Sequential;
use crate::optim::Sgd;
use crate::parallel::Team;
use crate::train::check_fit;
use crate::train::evaluate::Evaluator;
use crate::train::history::{BatchRecord, EpochRecord, History, mean_loss_and_accuracy};
use crate::train::pace::{Pace, Sharing};

/// How to train. The network, its data and their sampling are given separately.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainConfig {
    /// How often to go through all training batches.
    pub epochs: usize,
    pub batch_size: usize,
    /// Learning rate of [`Sgd`].
    pub lr: f32,
    pub shuffle: Shuffle,
    /// Of the shuffling; initial weights and samples are drawn elsewhere, from streams of their own.
    pub seed: u64,
    /// How pixels become features.
    pub scale: Scale,
    pub threads: usize,
    pub kernel: KernelChoice,
    pub simd: SimdChoice,
}

/// Trains networks by one configuration.
#[derive(Debug)]
pub struct Trainer {
    config: TrainConfig,
    level: SimdLevel,
    optimizer: Sgd,
    team: Team,
    sharing: Sharing,
}

impl Trainer {
    /// Checks every setting and starts the threads.
    pub fn new(config: TrainConfig) -> Result<Self> {
        let level = SimdLevel::resolve(config.simd)?;
        let optimizer = Sgd::new(config.lr)?;
        let team = Team::new(config.threads)?;
        Ok(Trainer { config, level, optimizer, team, sharing: Sharing::default() })
    }

    /// The SIMD level that runs, as `--simd` names it.
    pub fn simd_name(&self) -> &'static str {
        self.level.name()
    }

    /// Sets whether a step is shared among threads. The results are the same bits either way.
    pub fn set_sharing(&mut self, sharing: Sharing) {
        self.sharing = sharing;
    }

    /// Trains `model` on `train` and validates it on `val`, `config.epochs` times.
    ///
    /// `on_epoch` hears of each finished epoch (counted from 1) and may break off; the history then ends with that epoch.
    /// An error where the data does not fit the network, or where a loss is not a finite number.
    pub fn fit(
        &mut self,
        model: &mut Sequential,
        train: &Dataset,
        val: &Dataset,
        on_epoch: &mut dyn FnMut(usize, &EpochRecord) -> ControlFlow<()>,
    ) -> Result<History> {
        let TrainConfig { epochs, batch_size, shuffle, seed, scale, .. } = self.config;
        check_fit(model, train)?;
        check_fit(model, val)?;
        model.set_level(self.level);
        model.set_kernel(self.config.kernel);
        let mut train_loader = Loader::new(train, scale, batch_size, shuffle, seed)?;
        let val_loader = Loader::new(val, scale, batch_size, Shuffle::Never, seed)?;
        let largest_batch = batch_size.min(train.len());
        let mut pace = Pace::new(model, &self.team, largest_batch, self.optimizer, self.sharing);
        let mut evaluator = Evaluator::new(model, &self.team);
        let mut history = History::with_capacity(epochs, train_loader.batches(), val_loader.batches());

        for epoch in 1..=epochs {
            let started = Instant::now();
            train_loader.start_epoch(epoch);
            pace.epoch(model, &self.team, &train_loader, epoch, &mut history.train_batches)?;
            let trained = Instant::now();
            evaluator.run(model, &val_loader, &self.team, &mut history.val_batches);
            let validated = Instant::now();

            let first = |batches: &[BatchRecord], per_epoch: usize| batches.len() - per_epoch;
            let train_records = &history.train_batches[first(&history.train_batches, train_loader.batches())..];
            let val_records = &history.val_batches[first(&history.val_batches, val_loader.batches())..];
            let (train_loss, train_accuracy) = mean_loss_and_accuracy(train_records);
            let (val_loss, val_accuracy) = mean_loss_and_accuracy(val_records);
            let record = EpochRecord {
                train_loss,
                train_accuracy,
                val_loss,
                val_accuracy,
                train_seconds: (trained - started).as_secs_f64(),
                val_seconds: (validated - trained).as_secs_f64(),
            };
            history.epochs.push(record);
            if on_epoch(epoch, &record).is_break() {
                break;
            }
        }
        Ok(history)
    }
}
