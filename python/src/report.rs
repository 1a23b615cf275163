//! The page that the program writes of a run, of a fit.

use std::path::PathBuf;

use flatnet::report::{self, Findings, Run};
use flatnet::run::{DataSummary, Ended, Environment, Recipe, Summary};
use flatnet::train::{EpochRecord, History};
use numpy::PyReadonlyArray1;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::arrays::{Answers, Features, samples};
use crate::errors::raised;
use crate::files::About;
use crate::network::{Weights, network};

/// Losses and accuracies of an epoch, of training and of validation, and the seconds of both.
pub type Epoch = (f64, f64, f64, f64, f64, f64);

/// One of them; of validation, NaN where nothing was held out.
pub fn epoch(record: &EpochRecord, validated: bool) -> Epoch {
    let EpochRecord { train_loss, train_accuracy, val_loss, val_accuracy, train_seconds, val_seconds, .. } = *record;
    match validated {
        true => (train_loss, train_accuracy, val_loss, val_accuracy, train_seconds, val_seconds),
        false => (train_loss, train_accuracy, f64::NAN, f64::NAN, train_seconds, 0.0),
    }
}

/// Features, targets and weights.
type Samples<'py> = (Features<'py>, Answers<'py>, Option<PyReadonlyArray1<'py, f32>>);

/// Writes `report.html` and `graphs` into `folder`. `recipe` and `data`: what a run's `summary.json` says there; `judged`: the
/// samples that the page looks at one by one.
#[pyfunction]
#[pyo3(signature = (folder, name, layers, weights, about, epochs, recipe, data, judged=None))]
#[expect(clippy::too_many_arguments, reason = "what a page tells, from its one caller")]
pub fn write_report<'py>(
    py: Python<'py>,
    folder: PathBuf,
    name: &str,
    layers: &str,
    weights: Weights<'py>,
    about: About,
    epochs: Vec<Epoch>,
    recipe: &str,
    data: &str,
    judged: Option<Samples<'py>>,
) -> PyResult<()> {
    let bad = |error: serde_json::Error| PyValueError::new_err(error.to_string());
    let recipe: Recipe = serde_json::from_str(recipe).map_err(bad)?;
    let data: DataSummary = serde_json::from_str(data).map_err(bad)?;
    let model = network(data.features, layers, &weights)?;
    let meta = about.meta(&model)?;
    let record = |(train_loss, train_accuracy, val_loss, val_accuracy, train_seconds, val_seconds): Epoch| {
        EpochRecord { train_loss, train_accuracy, val_loss, val_accuracy, train_seconds, val_seconds, watch: None }
    };
    let history = History { epochs: epochs.into_iter().map(record).collect(), ..History::default() };
    let judged = judged.map(|(x, y, weights)| samples(py, &x, &y, weights)).transpose()?;
    py.detach(|| {
        let outputs = meta.preparation.as_ref().map(|preparation| &preparation.outputs);
        let findings = match &judged {
            Some(samples) => Ok(Findings::of(&model, samples, outputs, &[], 256)?),
            None => Err("no samples were given to look at: report(path, X, y)".into()),
        };
        let seconds = history.train_seconds() + history.val_seconds();
        let simd = flatnet::SimdLevel::detect().name().to_string();
        let environment = Environment {
            load_seconds: 0.0,
            total_seconds: seconds,
            threads: recipe.threads,
            simd: &simd,
            kernel: model.kernel_name(),
            stopped: if history.epochs.len() < recipe.epochs { Ended::Patience } else { Ended::Epochs },
            best_epoch: history.best().filter(|best| !best.val_loss.is_nan()).map(|best| best.epoch),
        };
        let mut summary = Summary::new(data, recipe, &model, &history, environment);
        if let Ok(findings) = &findings {
            summary.metrics = findings.metrics();
        }
        std::fs::create_dir_all(&folder).map_err(|source| flatnet::Error::Io {
            path: folder.clone(),
            action: "create",
            source,
        })?;
        let run = Run {
            name,
            summary: &summary,
            history: &history,
            model: &model,
            image_size: meta.image_size,
            findings: &findings,
        };
        report::write(&folder, &run)
    })
    .map_err(raised)
}
