//! A run in figures, as `summary.json` and `train --json` give it. It knows their names and nothing of how they are shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Recipe;
use crate::data::{self, Dataset};
use crate::nn::Sequential;
use crate::train::{History, Monitor, Watch};

/// Everything `summary.json` says. Accuracies are fractions, 0 to 1; epochs count from 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// What it was trained on.
    pub data: DataSummary,
    /// Every setting.
    pub recipe: Recipe,
    /// What was trained.
    pub model: ModelSummary,
    /// Epochs that ran.
    pub epochs: usize,
    /// Over all epochs.
    pub train_batches: usize,
    /// Validation batches over all epochs.
    pub val_batches: usize,
    /// The last epoch; `None` when none ran.
    #[serde(rename = "final")]
    pub last: Option<Figures>,
    /// The epoch of the lowest validation loss; `None` when none ran.
    pub best: Option<BestFigures>,
    /// What the last epoch showed of the network; `None` in older runs, and when none ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<Watch>,
    /// Where the time went.
    pub seconds: Seconds,
    /// Training steps only; `None` when there was none.
    pub batches_per_second: Option<f64>,
    /// Threads that were used.
    pub threads: usize,
    /// The SIMD level that ran.
    pub simd: String,
    /// The kernels that ran.
    pub kernel: String,
    /// See [`weights_sha256`].
    pub weights_sha256: String,
    /// Why training ended; not told by runs older than the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Ended>,
    /// Whether somebody asked it to end before its time.
    #[serde(default)]
    pub interrupted: bool,
    /// Which epoch `best.safetensors` is of; `None` when none ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_model: Option<BestModel>,
    /// Of labels and values: what the model of the last epoch makes of the validation samples, values in their own units. A
    /// figure is `None` where it is not defined.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, Option<f64>>,
    /// Of labels and values: the training loss of one answer for all, the share of each label or the mean of each value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guessing_loss: Option<f64>,
}

/// What samples are, in the words of people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SampleKind {
    /// Pictures.
    #[default]
    Images,
    /// Rows of a table.
    Rows,
}

impl SampleKind {
    /// Those of a data set.
    pub fn of(data: &Dataset) -> Self {
        if data.scale().is_some() { SampleKind::Images } else { SampleKind::Rows }
    }

    /// One of them,
    pub fn one(self) -> &'static str {
        match self {
            SampleKind::Images => "image",
            SampleKind::Rows => "row",
        }
    }

    /// and several.
    pub fn several(self) -> &'static str {
        match self {
            SampleKind::Images => "images",
            SampleKind::Rows => "rows",
        }
    }

    fn is_images(&self) -> bool {
        *self == SampleKind::Images
    }
}

/// Why training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// All epochs are done.
    Epochs,
    /// No epoch was better for long enough.
    Patience,
    /// Time was over.
    MaxSeconds,
    /// Somebody asked it to end.
    Interrupted,
    /// A value was not a finite number.
    NonFinite,
}

/// The epoch whose parameters are kept as the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BestModel {
    /// Counted from 1.
    pub epoch: usize,
    /// By this figure.
    pub monitor: Monitor,
}

/// What a run was trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataSummary {
    /// Where the data came from.
    pub source: String,
    /// Samples trained on.
    pub train_samples: usize,
    /// Samples validated on.
    pub val_samples: usize,
    /// Features of a sample.
    pub features: usize,
    /// Number of classes; 0 where labels or values are predicted.
    pub classes: usize,
    /// What samples are.
    #[serde(default, skip_serializing_if = "SampleKind::is_images")]
    pub kind: SampleKind,
    /// How many of the samples trained on each class has; `None` in older runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_samples: Option<Vec<usize>>,
    /// The way from the run's folder to that of the data, as [`relative`](super::relative) gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// Likewise to the samples validated on, where they have a place of their own,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val_data: Option<String>,
    /// and to the file of targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<String>,
    /// Classes, labels or values that are predicted; `None` in older runs, where they are classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<usize>,
    /// What classes are called, where they have names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_names: Vec<String>,
    /// Of the samples trained on: [`Dataset::share_not_zero`](crate::Dataset::share_not_zero).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_not_zero: Option<f64>,
    /// Of the samples trained on: [`Dataset::sha256`](crate::Dataset::sha256).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_sha256: Option<String>,
    /// Of the samples validated on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val_sha256: Option<String>,
}

/// What a run trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelSummary {
    /// One entry per layer, such as `linear:10`.
    pub layers: Vec<String>,
    /// Numbers that it learned.
    pub parameters: usize,
}

/// Figures of one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Mean over the training samples.
    pub train_loss: f64,
    /// Of the training samples; 0 where values are predicted, of which none is right or wrong.
    pub train_accuracy: f64,
    /// Mean over the validation samples.
    pub val_loss: f64,
    /// Of the validation samples, likewise.
    pub val_accuracy: f64,
}

/// Figures of the best epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BestFigures {
    /// Counted from 1.
    pub epoch: usize,
    /// Mean over the validation samples.
    pub val_loss: f64,
    /// Of the validation samples.
    pub val_accuracy: f64,
}

/// Where the time of a run went.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// Reading and sampling the data.
    pub load: f64,
    /// Training steps only.
    pub train: f64,
    /// Validation only.
    pub validate: f64,
    /// From the start of the program to the summary.
    pub total: f64,
}

/// What the program measured and chose outside the training itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Environment<'a> {
    /// Reading and sampling the data.
    pub load_seconds: f64,
    /// From the start of the program.
    pub total_seconds: f64,
    /// Threads that were used.
    pub threads: usize,
    /// The SIMD level that ran.
    pub simd: &'a str,
    /// The kernels that ran.
    pub kernel: &'a str,
    /// Why training ended.
    pub stopped: Ended,
    /// Which epoch was the best.
    pub best_epoch: Option<usize>,
}

impl Summary {
    /// Puts the figures of a run together.
    pub fn new(
        data: DataSummary,
        recipe: Recipe,
        model: &Sequential,
        history: &History,
        environment: Environment<'_>,
    ) -> Summary {
        let train_seconds = history.train_seconds();
        // Not what the history holds: of a long run it keeps fewer.
        let batches = |samples: usize| history.epochs.len() * samples.div_ceil(recipe.batch_size.max(1));
        let (train_batches, val_batches) = (batches(data.train_samples), batches(data.val_samples));
        let (last, best) = Self::of_epochs(history);
        let monitor = recipe.monitor;
        Summary {
            data,
            recipe,
            model: ModelSummary {
                layers: model.specs().0.iter().map(ToString::to_string).collect(),
                parameters: model.parameter_count(),
            },
            epochs: history.epochs.len(),
            train_batches,
            val_batches,
            last,
            best,
            watch: history.last().and_then(|epoch| epoch.watch),
            seconds: Seconds {
                load: environment.load_seconds,
                train: train_seconds,
                validate: history.val_seconds(),
                total: environment.total_seconds,
            },
            batches_per_second: Self::speed(train_batches, train_seconds),
            threads: environment.threads,
            simd: environment.simd.to_string(),
            kernel: environment.kernel.to_string(),
            weights_sha256: weights_sha256(model),
            stopped: Some(environment.stopped),
            interrupted: environment.stopped == Ended::Interrupted,
            best_model: environment.best_epoch.map(|epoch| BestModel { epoch, monitor }),
            metrics: BTreeMap::new(),
            guessing_loss: None,
        }
    }

    /// Figures of the last and of the best epoch.
    pub(super) fn of_epochs(history: &History) -> (Option<Figures>, Option<BestFigures>) {
        let last = history.last().map(|epoch| Figures {
            train_loss: epoch.train_loss,
            train_accuracy: epoch.train_accuracy,
            val_loss: epoch.val_loss,
            val_accuracy: epoch.val_accuracy,
        });
        let best = history.best().map(|best| BestFigures {
            epoch: best.epoch,
            val_loss: best.val_loss,
            val_accuracy: best.val_accuracy,
        });
        (last, best)
    }

    /// Batches per second; `None` when no time or nothing was measured.
    pub(super) fn speed(train_batches: usize, train_seconds: f64) -> Option<f64> {
        (train_batches > 0 && train_seconds > 0.0).then(|| train_batches as f64 / train_seconds)
    }
}

/// SHA-256 over all parameters as little-endian f32 in layer order, weight `[out_features, in_features]` before bias:
/// equal for two models exactly when their bits are equal.
pub fn weights_sha256(model: &Sequential) -> String {
    let mut digest = Sha256::new();
    for value in model.parameters().flat_map(|tensor| tensor.values()) {
        digest.update(value.to_le_bytes());
    }
    data::hex(&digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures whose decimals are read one bit off by a parser that multiplies by a rounded power of ten.
    #[test]
    fn figures_come_back_from_json_to_the_bit() {
        let figures = Figures {
            train_loss: 0.053851648071345036,
            train_accuracy: 0.09055385138137416,
            val_loss: 0.09110433579144299,
            val_accuracy: 0.09433981132056603,
        };
        let back: Figures = serde_json::from_str(&serde_json::to_string(&figures).unwrap()).unwrap();
        assert_eq!(back, figures);
        // A model file keeps the recipe by way of a `Value`.
        let rate: serde_json::Value = serde_json::from_str(&serde_json::to_string(&1e-24_f32).unwrap()).unwrap();
        assert_eq!(rate.to_string(), "1e-24");
    }

    #[test]
    fn the_digest_is_of_little_endian_weights_then_bias() {
        let mut model = Sequential::new(2).linear(1).build(0).unwrap();
        model.set_parameter("0.weight", &[1.0, -2.0]).unwrap();
        model.set_parameter("0.bias", &[0.5]).unwrap();
        // printf '\x00\x00\x80\x3f\x00\x00\x00\xc0\x00\x00\x00\x3f' | sha256sum
        assert_eq!(weights_sha256(&model), "2ce4bdb6b34a50ac7092eb9fee94337a27498e9eb9bae44192f15b88831b2422");
    }
}
