//! Every setting of a run under its flag's name. It knows how settings are kept, not how they are typed or used.

use serde::{Deserialize, Serialize};

use crate::data::{SampleSize, ScaleKind, Shuffle, Split, sample};
use crate::error::Result;
use crate::kernels::{KernelChoice, SimdChoice};
use crate::loss::CrossEntropy;
use crate::nn::{Init, ReluGrad, Sequential};
use crate::optim::{self, Clip, Schedule, Settings, schedule};
use crate::rng::Stream;
use crate::train::{Monitor, Trainer};

/// What `train` was asked to do, defaults included: enough to do it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Folder of the data set as it was typed; empty in a model file, which names no folders.
    pub data: String,
    /// Rows drawn from the training set.
    pub train_samples: SampleSize,
    /// Rows drawn from the test set.
    pub val_samples: SampleSize,
    /// Epochs asked for.
    pub epochs: usize,
    /// Samples of a batch.
    pub batch_size: usize,
    /// Learning rate, the base of the schedule.
    pub lr: f32,
    /// `sgd` in runs older than the others.
    #[serde(default = "sgd")]
    pub optimizer: String,
    /// The settings of the optimizer that were given.
    #[serde(default, skip_serializing_if = "is_default")]
    pub optimizer_settings: Settings,
    /// The most that the norm of all gradients may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f32>,
    /// As a [`Schedule`](crate::optim::Schedule) is written.
    #[serde(default = "constant")]
    pub lr_schedule: String,
    /// Epochs before the schedule, in which the learning rate rises.
    #[serde(default, skip_serializing_if = "is_default")]
    pub warmup_epochs: usize,
    /// Share of the target that is spread over all classes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub label_smoothing: f32,
    /// One for each class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<Vec<f32>>,
    /// Epochs in a row without a better one, after which training ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// By how much more than nothing an epoch must be better.
    #[serde(default, skip_serializing_if = "is_default")]
    pub min_delta: f64,
    /// Which figure says what is better.
    #[serde(default, skip_serializing_if = "is_default")]
    pub monitor: Monitor,
    /// Seconds after which training ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_seconds: Option<f64>,
    /// Decides samples, initial weights, orders and dropout.
    pub seed: u64,
    /// Whether every epoch has an order of its own.
    pub shuffle: Shuffle,
    /// As `--layers` writes them, such as `linear:10,relu`.
    pub layers: String,
    /// How weights start.
    pub init: Init,
    /// Which gradient ReLUs pass back.
    pub relu_grad: ReluGrad,
    /// How pixels become inputs.
    pub scale: ScaleKind,
    /// Threads asked for.
    pub threads: usize,
    /// Vector instructions asked for.
    pub simd: SimdChoice,
    /// Kernels asked for.
    pub kernel: KernelChoice,
    /// Folder of the run's files; empty in a model file.
    pub out: String,
    /// Whether a run in that folder was to be replaced.
    pub overwrite: bool,
    /// Whether the summary was printed as JSON.
    pub json: bool,
    /// Whether progress was silent.
    pub quiet: bool,
    /// Younger than the first runs, which all had a report or none to have.
    #[serde(default)]
    pub no_report: bool,
    /// Epochs between two checkpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_every: Option<usize>,
    /// Seconds between two checkpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_seconds: Option<f64>,
    /// Checkpoints that are kept, where it was said how many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_checkpoints: Option<usize>,
}

fn sgd() -> String {
    "sgd".into()
}

fn constant() -> String {
    "constant".into()
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Recipe {
    /// The same without the names of folders, for a file that is given away.
    pub fn without_places(&self) -> Recipe {
        Recipe { data: String::new(), out: String::new(), ..self.clone() }
    }

    /// Trains as the recipe says.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) for what is outside its domain.
    pub fn trainer(&self) -> Result<Trainer> {
        let optimizer = optim::build(&self.optimizer, self.lr, &self.optimizer_settings)?;
        let mut loss = CrossEntropy::new().label_smoothing(self.label_smoothing);
        if let Some(weights) = &self.class_weights {
            loss = loss.class_weights(weights.clone());
        }
        let trainer = Trainer::new(optimizer)
            .epochs(self.epochs)
            .batch_size(self.batch_size)
            .loss(loss)
            .shuffle(self.shuffle)
            .seed(self.seed)
            .threads(self.threads)
            .simd(self.simd)
            .min_delta(self.min_delta)
            .monitor(self.monitor);
        let trainer = self.patience.map_or(trainer.clone(), |epochs| trainer.patience(epochs));
        let trainer = self.max_seconds.map_or(trainer.clone(), |seconds| trainer.max_seconds(seconds));
        let trainer = trainer.schedule(self.schedule()?);
        let trainer = self.clip_norm.map_or(trainer.clone(), |norm| trainer.clip(Clip::Norm(norm)));
        trainer.validate()?;
        Ok(trainer)
    }

    /// How the learning rate changes.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) for one that cannot be read.
    pub fn schedule(&self) -> Result<Box<dyn Schedule>> {
        Ok(match schedule::parse(&self.lr_schedule)? {
            schedule if self.warmup_epochs == 0 => schedule,
            schedule => Box::new(schedule::Warmup::epochs(self.warmup_epochs, schedule)),
        })
    }

    /// The network before training, for samples of `in_features`.
    ///
    /// # Errors
    /// Where the layers do not fit one another.
    pub fn network(&self, in_features: usize) -> Result<Sequential> {
        let builder = Sequential::new(in_features).layers(&self.layers.parse()?).kernel(self.kernel);
        builder.init(self.init).relu_grad(self.relu_grad).build(self.seed)
    }

    /// The rows that the run draws from a split of `population` rows, in the order in which they take part.
    ///
    /// # Errors
    /// As [`sample::draw`].
    pub fn rows(&self, split: Split, population: usize) -> Result<Vec<u32>> {
        let (size, stream, flag) = match split {
            Split::Train => (self.train_samples, Stream::TrainSample, "train_samples"),
            Split::Test => (self.val_samples, Stream::ValSample, "val_samples"),
        };
        sample::draw(size, population, self.seed, stream, flag)
    }
}
