//! A run as others find it: its settings, its figures and its files. It knows neither flags nor terminals.

pub mod csv;
pub mod folder;
mod read;
mod recipe;
mod summary;

use std::path::PathBuf;

pub use folder::{Destination, Existing};
pub use read::read;
pub use recipe::Recipe;
pub use summary::{BestFigures, DataSummary, Environment, Figures, ModelSummary, Seconds, Summary, weights_sha256};

use crate::error::{Error, Result};
use crate::model_file::{self, ModelMeta};
use crate::nn::Sequential;
use crate::train::History;
use crate::whole_file::Staged;

/// Which rows of the data set's files took part, each split's in the order drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampledRows {
    /// Rows of the training files.
    pub train: Vec<u32>,
    /// Rows of the test files.
    pub val: Vec<u32>,
}

/// Writes a run's files and returns their folder and the summary. `recipe.out` is filled in
/// here, since only now the folder is known. `summarize` is called last, so that it can take the total time.
pub fn save(
    destination: &Destination,
    mut recipe: Recipe,
    model: &Sequential,
    rows: &SampledRows,
    history: &History,
    summarize: impl FnOnce(Recipe) -> Result<Summary>,
) -> Result<(PathBuf, Summary)> {
    let mut meta = ModelMeta::of(model);
    destination.fill(|folder| {
        recipe.out = folder.display().to_string();
        // By way of text, where 0.01 stays 0.01 and does not become the f64 next to an f32.
        let kept = serde_json::to_string(&recipe).and_then(|text| serde_json::from_str(&text));
        meta.recipe = Some(kept.map_err(|error| Error::Io {
            path: folder.join(folder::MODEL),
            action: "write",
            source: error.into(),
        })?);
        let mut files = vec![
            Staged::write(&folder.join(folder::EPOCHS), |out| csv::write_epochs(out, history))?,
            Staged::write(&folder.join(folder::BATCHES), |out| csv::write_batches(out, history))?,
            Staged::write(&folder.join(folder::SAMPLE), |out| csv::write_sample(out, &rows.train, &rows.val))?,
            model_file::stage(&folder.join(folder::MODEL), model, &meta)?,
        ];
        let summary = summarize(recipe)?;
        // The summary is put in place last: where it stands, the other files stand too.
        files.push(Staged::write(&folder.join(folder::SUMMARY), |out| {
            serde_json::to_writer_pretty(&mut *out, &summary)?;
            out.write_all(b"\n")
        })?);
        Ok((files, summary))
    })
}
