//! Every setting of a run under its flag's name. It knows how settings are kept, not how they are typed or used.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::DataSettings;
use crate::data::source::SourceOptions;
use crate::data::split::Fold;
use crate::data::{Missing, SampleSize, ScaleKind, Shuffle, TableSettings, Task, Transform};
use crate::error::{Error, Result};
use crate::kernels::{KernelChoice, SimdChoice};
use crate::loss::{self, BinaryCrossEntropy, CrossEntropy, Loss, SquaredError};
use crate::nn::{Init, ReluGrad, Sequential};
use crate::optim::{self, Clip, Schedule, Settings, schedule};
use crate::train::{Monitor, Parallel, Reduce, Trainer};

/// What `train` was asked to do, defaults included: enough to do it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Folder of the data set as it was typed; empty in a model file, which names no folders.
    pub data: String,
    /// Rows drawn from the training set.
    pub train_samples: SampleSize,
    /// Rows drawn from the test set.
    pub val_samples: SampleSize,
    /// Columns of a table that are predicted, where they were named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub target: Vec<String>,
    /// What is predicted, where that is no class of a picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// How columns of numbers are scaled, where it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transform: Option<Transform>,
    /// What becomes of cells in which nothing is given.
    #[serde(default, skip_serializing_if = "is_default")]
    pub missing: Missing,
    /// Whether values are learned in their own units.
    #[serde(default, skip_serializing_if = "is_default")]
    pub raw_targets: bool,
    /// Columns that hold words even where they look like numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub text_columns: Vec<String>,
    /// Whether the first row of a text holds names, where it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// A file of targets beside one of features, as it was typed; empty in a model file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<String>,
    /// Rows and columns to which pictures of any size are brought, such as `28x28`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_size: Option<String>,
    /// The share of the rows that is held out, where it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val_split: Option<f64>,
    /// Rows to validate on in a place of their own, as it was typed; empty in a model file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val_data: Option<String>,
    /// The part of a cross-validation that is held out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<Fold>,
    /// What is minimized, where it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<String>,
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
    /// Whether rows stay in their files and are read as they are needed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stream: bool,
    /// As `--layers` writes them, such as `linear:10,relu`.
    pub layers: String,
    /// How weights start.
    pub init: Init,
    /// Which gradient ReLUs pass back.
    pub relu_grad: ReluGrad,
    /// How pixels become inputs.
    pub scale: ScaleKind,
    /// What threads and ranks share; `features` in runs older than the others.
    #[serde(default = "features")]
    pub parallel: Parallel,
    /// How ranks add gradients up.
    #[serde(default, skip_serializing_if = "is_default")]
    pub reduce: Reduce,
    /// Threads asked for, of each rank.
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

fn features() -> Parallel {
    Parallel::Features
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
        let without_name = |path: &Option<String>| path.as_ref().map(|_| String::new());
        let (val_data, targets) = (without_name(&self.val_data), without_name(&self.targets));
        Recipe { data: String::new(), out: String::new(), val_data, targets, ..self.clone() }
    }

    /// The same without what decides no bit of the weights: where the run is kept and how it is told, and the threads.
    /// Whether the data are the same, their folder's name does not say.
    pub fn without_circumstances(&self) -> Recipe {
        Recipe { threads: 0, overwrite: false, json: false, quiet: false, no_report: false, ..self.without_places() }
    }

    /// The recipe as `train --config` takes it: every setting that decides the weights under its flag's name, in TOML. `data` is
    /// the way from the folder of the file to the data, as [`relative`](super::relative) gives it; without it, they are named
    /// as they were typed. `val_data` and `targets` are those paths from there.
    ///
    /// # Errors
    /// Where it cannot be written as text, which no recipe of a run is known to cause.
    pub fn to_toml(
        &self,
        data: Option<&str>,
        val_data: Option<String>,
        targets: Option<String>,
    ) -> std::io::Result<String> {
        let data = match data {
            Some(way) => super::resolved(Path::new(""), way).to_string_lossy().into_owned(),
            None => self.data.clone(),
        };
        let settings = Recipe { val_data, targets, ..self.without_circumstances() }.settings()?.into_iter();
        let left_out = ["data", "threads", "out", "overwrite", "json", "quiet", "no-report"];
        let mut table: Map<String, Value> = settings.filter(|(name, _)| !left_out.contains(&name.as_str())).collect();
        table.insert("data".into(), data.into());
        toml::to_string(&table).map_err(std::io::Error::other)
    }

    /// Every setting under its flag's name and with a value as the flag takes it. What was not given is left out.
    ///
    /// # Errors
    /// As [`to_toml`](Self::to_toml).
    pub fn settings(&self) -> std::io::Result<Map<String, Value>> {
        // By way of text, where 0.01 stays 0.01 and does not become the f64 next to an f32.
        let Value::Object(mut kept) = serde_json::from_str(&serde_json::to_string(self)?)? else {
            return Err(std::io::ErrorKind::InvalidData.into());
        };
        if let Some(Value::Object(of_optimizer)) = kept.remove("optimizer_settings") {
            kept.extend(of_optimizer);
        }
        // The one setting whose flag says the opposite.
        if kept.remove("decay_biases") == Some(false.into()) {
            kept.insert("no_bias_decay".into(), true.into());
        }
        let as_typed = |(name, value): (String, Value)| {
            let value = match value {
                // TOML's whole numbers end there.
                Value::Number(large) if large.is_u64() && !large.is_i64() => large.to_string().into(),
                other => other,
            };
            (name.replace('_', "-"), value)
        };
        Ok(kept.into_iter().filter(|(_, value)| !value.is_null()).map(as_typed).collect())
    }

    /// Where the samples come from, and which they are.
    ///
    /// # Errors
    /// [`Error::Setting`] for a size of pictures that cannot be read.
    pub fn data_settings(&self) -> Result<DataSettings> {
        let path = |path: &Option<String>| path.as_ref().map(PathBuf::from);
        Ok(DataSettings {
            source: SourceOptions {
                header: self.header,
                text_columns: self.text_columns.clone(),
                targets: path(&self.targets),
                image_size: self.image_size.as_deref().map(image_size).transpose()?,
            },
            table: TableSettings {
                targets: self.target.clone(),
                task: self.task,
                transform: self.transform,
                missing: self.missing,
                raw_targets: self.raw_targets,
            },
            val_data: path(&self.val_data),
            val_split: self.val_split,
            fold: self.fold,
            train_samples: Some(self.train_samples),
            val_samples: Some(self.val_samples),
            seed: self.seed,
            in_file_order: self.shuffle == Shuffle::Blocks,
            on_disk: self.stream,
            reading: None,
        })
    }

    /// What is minimized: what was asked for, else what the task calls for.
    ///
    /// # Errors
    /// [`Error::Setting`] for a loss that there is none of, or a setting of another one.
    pub fn loss(&self) -> Result<Box<dyn Loss>> {
        let of_classes = self.class_weights.is_some() || self.label_smoothing != 0.0;
        let loss: Box<dyn Loss> = match (self.loss.as_deref(), self.task) {
            (None, None | Some(Task::Classify)) | (Some("cross-entropy"), _) => {
                let loss = CrossEntropy::new().label_smoothing(self.label_smoothing);
                return Ok(match &self.class_weights {
                    Some(weights) => Box::new(loss.class_weights(weights.clone())),
                    None => Box::new(loss),
                });
            }
            (None, Some(Task::MultiLabel)) => Box::new(BinaryCrossEntropy),
            (None, Some(Task::Regress)) => Box::new(SquaredError),
            (Some(spec), _) => loss::parse(spec)?,
        };
        if of_classes {
            let name = if self.class_weights.is_some() { "class_weights" } else { "label_smoothing" };
            let expected = "none, as it is a setting of cross-entropy, which tells classes apart".into();
            return Err(Error::Setting { name, found: "one".into(), expected });
        }
        Ok(loss)
    }

    /// What the share of samples that are predicted right is called; `None` where predictions are not right or wrong but near
    /// or far, and an accuracy of 0 stands in every file.
    pub fn accuracy_name(&self) -> Option<&'static str> {
        match self.task {
            Some(Task::Regress) => None,
            Some(Task::MultiLabel) => self.loss_unit().map(|_| "subset accuracy"),
            Some(Task::Classify) | None => Some("accuracy"),
        }
    }

    /// The unit of the loss; `None` where it is that of the targets, or its square.
    pub fn loss_unit(&self) -> Option<&'static str> {
        let spec = self.loss().ok()?.spec();
        spec.ends_with("cross-entropy").then_some("nats")
    }

    /// Trains as the recipe says.
    ///
    /// # Errors
    /// [`Error::Setting`] for what is outside its domain.
    pub fn trainer(&self) -> Result<Trainer> {
        let optimizer = optim::build(&self.optimizer, self.lr, &self.optimizer_settings)?;
        let trainer = Trainer::new(optimizer)
            .epochs(self.epochs)
            .batch_size(self.batch_size)
            .loss(self.loss()?)
            .shuffle(self.shuffle)
            .seed(self.seed)
            .parallel(self.parallel)
            .reduce(self.reduce)
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
    /// [`Error::Setting`] for one that cannot be read.
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
}

/// Rows and columns, such as `28x28`.
///
/// # Errors
/// [`Error::Setting`] where it is none, or larger than any network for pictures.
pub fn image_size(text: &str) -> Result<(usize, usize)> {
    const MOST: usize = 1024;
    let sides = || {
        let (rows, columns) = text.trim().split_once('x')?;
        Some((rows.parse().ok()?, columns.parse().ok()?))
    };
    let fits = |side: usize| (1..=MOST).contains(&side);
    sides().filter(|(rows, columns)| fits(*rows) && fits(*columns)).ok_or_else(|| Error::Setting {
        name: "image_size",
        found: format!("'{text}'"),
        expected: format!("rows x columns, such as 28x28, each at most {MOST}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_sizes_are_two_numbers() {
        assert_eq!(image_size("28x32").unwrap(), (28, 32));
        for text in ["28", "28x", "x", "0x5", "-1x5", "2x3x4", "a x b", "1025x1"] {
            let error = image_size(text).unwrap_err().to_string();
            assert!(error.ends_with("expected rows x columns, such as 28x28, each at most 1024"), "{error}");
        }
    }

    #[test]
    fn a_recipe_is_written_under_the_names_of_flags_and_with_the_text_that_was_typed() {
        let recipe = Recipe {
            data: "typed".into(),
            train_samples: SampleSize::All,
            val_samples: SampleSize::Count(20),
            target: vec!["a".into(), "b".into()],
            task: Some(Task::Regress),
            transform: None,
            missing: Missing::Drop,
            raw_targets: true,
            text_columns: vec![],
            header: Some(false),
            targets: None,
            image_size: None,
            val_split: Some(0.25),
            val_data: None,
            fold: Some(Fold { index: 2, of: 5 }),
            loss: Some("huber:0.5".into()),
            epochs: 3,
            batch_size: 32,
            lr: 1e-24,
            optimizer: "sgd".into(),
            optimizer_settings: Settings {
                momentum: Some(0.9),
                nesterov: Some(true),
                decay_biases: Some(false),
                ..Settings::default()
            },
            clip_norm: Some(0.1),
            lr_schedule: "constant".into(),
            warmup_epochs: 0,
            label_smoothing: 0.0,
            class_weights: Some(vec![1.0, 0.3]),
            patience: Some(5),
            min_delta: 0.25,
            monitor: Monitor::ValAccuracy,
            max_seconds: None,
            checkpoint_every: Some(2),
            checkpoint_seconds: None,
            keep_checkpoints: Some(4),
            seed: u64::MAX,
            shuffle: Shuffle::Epoch,
            stream: true,
            layers: "linear:2,relu".into(),
            init: Init::Zeros,
            relu_grad: ReluGrad::Exact,
            scale: ScaleKind::Unit,
            parallel: Parallel::Samples,
            reduce: Reduce::Fast,
            threads: 7,
            simd: SimdChoice::Auto,
            kernel: KernelChoice::Auto,
            out: "here".into(),
            overwrite: true,
            json: true,
            quiet: true,
            no_report: true,
        };
        let text = recipe.to_toml(Some("../a%25b/set"), None, None).unwrap();
        for line in [
            "data = \"../a%b/set\"",
            "train-samples = \"all\"",
            "val-samples = 20",
            "target = [\"a\", \"b\"]",
            "task = \"regress\"",
            "missing = \"drop\"",
            "raw-targets = true",
            "header = false",
            "val-split = 0.25",
            "fold = \"2/5\"",
            "loss = \"huber:0.5\"",
            "momentum = 0.9",
            "nesterov = true",
            "no-bias-decay = true",
            "clip-norm = 0.1",
            "patience = 5",
            "min-delta = 0.25",
            "monitor = \"val-accuracy\"",
            "checkpoint-every = 2",
            "keep-checkpoints = 4",
            "class-weights = [1.0, 0.3]",
            "seed = \"18446744073709551615\"",
            "shuffle = \"epoch\"",
            "layers = \"linear:2,relu\"",
        ] {
            assert!(text.lines().any(|written| written == line), "{line} is missing in\n{text}");
        }
        let lr = text.lines().find_map(|line| line.strip_prefix("lr = ")).unwrap();
        assert_eq!(lr.parse(), Ok(1e-24_f32), "{lr}");
        for name in ["out", "overwrite", "json", "quiet", "no-report", "threads", "decay-biases", "optimizer-settings"]
        {
            assert!(!text.lines().any(|line| line.starts_with(&format!("{name} ="))), "{name} stands in\n{text}");
        }
        assert!(recipe.to_toml(None, None, None).unwrap().contains("data = \"typed\""));
        // What the loss counts decides what there is to show.
        let plain = Recipe { class_weights: None, ..recipe };
        for (task, loss, accuracy, unit) in [
            (None, None, Some("accuracy"), Some("nats")),
            (Some(Task::Classify), Some("cross-entropy"), Some("accuracy"), Some("nats")),
            (Some(Task::MultiLabel), None, Some("subset accuracy"), Some("nats")),
            (Some(Task::MultiLabel), Some("squared-error"), None, None),
            (Some(Task::Regress), None, None, None),
            (Some(Task::Regress), Some("huber:0.5"), None, None),
            (Some(Task::Regress), Some("binary-cross-entropy"), None, Some("nats")),
        ] {
            let recipe = Recipe { task, loss: loss.map(String::from), ..plain.clone() };
            assert_eq!((recipe.accuracy_name(), recipe.loss_unit()), (accuracy, unit), "{task:?} {loss:?}");
        }
    }
}
