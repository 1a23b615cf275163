//! Training and evaluation: the [`Trainer`], what it measured ([`History`]), and [`evaluate`].

mod crew;
mod evaluate;
mod history;
mod pace;
mod pass;
mod trainer;

pub use evaluate::{Evaluation, evaluate};
pub use history::{BatchRecord, Best, EpochRecord, History};
pub use pace::Sharing;
pub use trainer::{TrainConfig, Trainer};

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::nn::Sequential;

/// An error unless the network takes the data's features and tells as many classes apart.
pub(crate) fn check_fit(model: &Sequential, data: &Dataset) -> Result<()> {
    let mismatch = |what: &str, network: usize, data_has: usize| Error::Shape {
        place: data.source().to_string(),
        expected: format!("{network} {what}, as the network has"),
        found: data_has.to_string(),
    };
    if model.in_features() != data.features() {
        return Err(mismatch("features per sample", model.in_features(), data.features()));
    }
    if model.out_features() != data.classes() {
        return Err(mismatch("classes", model.out_features(), data.classes()));
    }
    Ok(())
}
