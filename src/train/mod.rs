//! Training and evaluation: the [`Trainer`], where it stands ([`TrainState`]), what it measured ([`History`]) and what it
//! showed of the network ([`Watch`]), what a caller may do meanwhile ([`Callback`]), and [`evaluate`].

mod callback;
mod epoch;
mod evaluate;
mod history;
mod observer;
#[cfg(test)]
mod ranks_tests;
mod samples;
mod shards;
mod state;
mod step;
mod stopping;
mod thin;
mod trainer;
mod watch;

pub use crate::parallel::{Parallel, Reduce, Sharing, World};
pub use callback::{BatchEnd, Callback, EpochEnd};
pub use evaluate::{Evaluation, evaluate, evaluate_by};
pub(crate) use history::mean_loss_and_accuracy;
pub use history::{BatchRecord, Best, EpochRecord, History, shown_loss};
pub use state::{BestParameters, TrainState};
pub use stopping::{Monitor, Stopped};
pub use thin::Thinning;
pub use trainer::Trainer;
pub use watch::{DeadUnits, MAX_WATCHED_LAYERS, Watch};

use crate::data::{Dataset, TargetColumns, Targets};
use crate::error::{Error, Result};
use crate::loss::Loss;
use crate::nn::Sequential;

/// An error unless the network takes the data's features and gives as many outputs as it has classes or values, and the
/// loss takes such targets.
pub(crate) fn check_fit(loss: &dyn Loss, model: &Sequential, data: &Dataset) -> Result<()> {
    let mismatch = |what: &str, network: usize, data_has: usize| Error::Shape {
        place: data.source().to_string(),
        expected: format!("{network} {what}, as the network has"),
        found: data_has.to_string(),
    };
    if model.in_features() != data.features() {
        return Err(mismatch("features per sample", model.in_features(), data.features()));
    }
    if model.out_features() != data.outputs() {
        let what = if data.classes() > 0 { "classes" } else { "values per sample" };
        return Err(mismatch(what, model.out_features(), data.outputs()));
    }
    match data.targets() {
        // That every label is a class number, the data set has checked.
        TargetColumns::Classes { .. } => loss.validate(model.out_features(), Targets::Classes(&[])),
        TargetColumns::Values { values, .. } => loss.validate(model.out_features(), Targets::Values(values)),
    }
}
