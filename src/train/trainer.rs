//! The loop: every epoch trains on all batches, then validates on all batches. It knows networks, data and threads; it
//! knows no flags, no terminals and no files.

use std::ops::ControlFlow;
use std::time::Instant;

use crate::data::{Dataset, Loader, Scale, Shuffle};
use crate::error::{Error, Result};
use crate::kernels::{KernelChoice, SimdChoice, SimdLevel};
use crate::nn::{Activations, Sequential, SoftmaxCrossEntropy};
use crate::optim::Sgd;
use crate::parallel::Team;
use crate::train::check_fit;
use crate::train::evaluate::Evaluator;
use crate::train::history::{BatchRecord, EpochRecord, History, mean_loss_and_accuracy};

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
}

impl Trainer {
    /// Checks every setting and starts the threads.
    pub fn new(config: TrainConfig) -> Result<Self> {
        let level = SimdLevel::resolve(config.simd)?;
        let optimizer = Sgd::new(config.lr)?;
        if config.kernel == KernelChoice::Narrow {
            return Err(Error::Setting {
                name: "kernel",
                found: "narrow".into(),
                expected: "auto or gemm: this version has no narrow kernels".into(),
            });
        }
        let team = Team::new(config.threads)?;
        Ok(Trainer { config, level, optimizer, team })
    }

    /// The SIMD level that runs, as `--simd` names it.
    pub fn simd_name(&self) -> &'static str {
        self.level.name()
    }

    /// The kernel that runs the linear layers, as `--kernel` names it.
    pub fn kernel_name(&self) -> &'static str {
        "gemm"
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
        let mut train_loader = Loader::new(train, scale, batch_size, shuffle, seed)?;
        let val_loader = Loader::new(val, scale, batch_size, Shuffle::Never, seed)?;
        let mut step = Step::new(model, &train_loader, self.optimizer);
        let mut evaluator = Evaluator::new(model, &val_loader, &self.team);
        let mut history = History::with_capacity(epochs, train_loader.batches(), val_loader.batches());

        for epoch in 1..=epochs {
            let started = Instant::now();
            train_loader.start_epoch(epoch);
            for batch in 0..train_loader.batches() {
                let record = step.run(model, &train_loader, batch);
                if !record.loss.is_finite() {
                    return Err(step.not_finite(model, epoch, batch));
                }
                history.train_batches.push(record);
            }
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

/// One training step and the buffers it reuses.
struct Step {
    optimizer: Sgd,
    criterion: SoftmaxCrossEntropy,
    activations: Activations,
    x: Vec<f32>,
    labels: Vec<u8>,
}

impl Step {
    fn new(model: &Sequential, loader: &Loader<'_>, optimizer: Sgd) -> Self {
        let batch_size = loader.batch_size().min(loader.dataset().len());
        Step {
            optimizer,
            criterion: SoftmaxCrossEntropy::new(model.out_features()).at_level(model.level()),
            activations: Activations::default(),
            x: vec![0.0; batch_size * model.in_features()],
            labels: vec![0; batch_size],
        }
    }

    fn run(&mut self, model: &mut Sequential, loader: &Loader<'_>, batch: usize) -> BatchRecord {
        let samples = loader.batch_len(batch);
        let (x, labels) = (&mut self.x[..samples * model.in_features()], &mut self.labels[..samples]);
        loader.gather(batch, 0..model.in_features(), x);
        loader.labels(batch, labels);

        let logits = model.forward(x, &mut self.activations);
        let loss = self.criterion.forward(logits, labels);
        model.zero_grad();
        model.backward(x, self.criterion.backward(), &mut self.activations);
        self.optimizer.step(model);
        BatchRecord { loss, correct: self.criterion.correct() as u32, samples: samples as u32 }
    }

    /// Names the first layer that gave a value that is not finite; the loss itself where all of them are.
    fn not_finite(&self, model: &Sequential, epoch: usize, batch: usize) -> Error {
        let layer = self.activations.first_not_finite().map_or("the loss".into(), |index| model.layer_name(index));
        Error::NonFinite { epoch, batch: batch + 1, layer }
    }
}
