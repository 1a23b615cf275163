//! A run as others find it: its settings, its figures and its files. It knows neither flags nor terminals.

pub mod checkpoint;
pub mod checkpoints;
pub mod csv;
mod data;
pub mod folder;
mod place;
mod read;
mod recipe;
mod save;
mod summary;

pub use checkpoint::{Checkpoint, Moment};
pub use checkpoints::Checkpoints;
pub use data::{DataSettings, HeldOut, RunData, load};
pub use folder::{Claim, Destination, Existing};
pub use place::{relative, resolved};
pub use read::{read, read_summary};
pub use recipe::{Recipe, image_size};
pub use save::{Saved, Writer};
pub use summary::{
    BestFigures, BestModel, DataSummary, Ended, Environment, Figures, ModelSummary, SampleKind, Seconds, Summary,
    weights_sha256,
};

use crate::data::sample::RowNumbers;

/// Which rows of the data set's files took part, each split's in the order drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampledRows {
    /// Rows of the training files.
    pub train: RowNumbers,
    /// Rows of the test files.
    pub val: Vec<u32>,
}
