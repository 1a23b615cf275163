//! Every setting of a run under its flag's name. It knows how settings are kept, not how they are typed or used.

use serde::{Deserialize, Serialize};

use crate::data::{SampleSize, ScaleKind, Shuffle, Split, sample};
use crate::error::Result;
use crate::kernels::{KernelChoice, SimdChoice};
use crate::nn::{Init, ReluGrad};
use crate::rng::Stream;

/// What `train` was asked to do, defaults included: enough to do it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Folder of the data set.
    pub data: String,
    pub train_samples: SampleSize,
    pub val_samples: SampleSize,
    pub epochs: usize,
    pub batch_size: usize,
    pub lr: f32,
    pub seed: u64,
    pub shuffle: Shuffle,
    /// As `--layers` writes them, such as `linear:10,relu`.
    pub layers: String,
    pub init: Init,
    pub relu_grad: ReluGrad,
    pub scale: ScaleKind,
    pub threads: usize,
    pub simd: SimdChoice,
    pub kernel: KernelChoice,
    /// Folder of the run's files.
    pub out: String,
    pub overwrite: bool,
    pub json: bool,
    pub quiet: bool,
    /// Younger than the first runs, which all had a report or none to have.
    #[serde(default)]
    pub no_report: bool,
}

impl Recipe {
    /// The rows that the run draws from a split of `population` rows, in the order in which they take part.
    ///
    /// # Errors
    /// As [`sample::draw`].
    pub fn rows(&self, split: Split, population: usize) -> Result<Vec<u32>> {
        let (size, stream, flag) = match split {
            Split::Train => (self.train_samples, Stream::TrainSample, "train-samples"),
            Split::Test => (self.val_samples, Stream::ValSample, "val-samples"),
        };
        sample::draw(size, population, self.seed, stream, flag)
    }
}
