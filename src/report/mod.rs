//! Pictures and pages of runs: up to six graphs as SVG files, the weights, and one HTML page that needs nothing beside itself.
//! It knows runs and their models, neither training nor flags nor terminals.
//!
//! All of it is derived: [`write()`] makes it from a run's figures, model and validation samples, and replaces what it made
//! before.

mod axis;
mod classification;
mod curves;
mod findings;
mod graph;
mod guessing;
mod hover;
mod labels;
mod markup;
mod names;
mod page;
mod pictures;
mod plane;
mod predictions;
mod predictions_csv;
mod series;
mod settings;
mod tables;
mod values;
mod warnings;
mod weights;
mod words;

use std::fs;
use std::path::Path;

use self::curves::Measured;

pub use classification::{ClassificationReport, MAX_MISTAKES, Mistake};
pub use findings::{Findings, LabelReport, ValueFinding, ValueReport, restore};
pub use guessing::loss_of_one_answer;
pub use names::{MAX_NAME_COLUMNS, csv_cell, name_columns, padded_name, shown_name};
pub use predictions::{PredictedBatch, Predictions};
pub use predictions_csv::{CsvNumber, PredictedColumns, PredictionsCsv};
pub use warnings::warnings;
pub use words::{grouped, significant, verdict};

use crate::error::{Error, Result};
use crate::nn::Sequential;
use crate::run::{Summary, folder};
use crate::train::History;
use crate::whole_file::Staged;

/// More lines than those of so many runs cannot be told apart.
pub const MAX_COMPARED: usize = 16;

/// What a page is made of.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// What the run is called on the page.
    pub name: &'a str,
    /// The run's figures.
    pub summary: &'a Summary,
    /// What its epochs and batches measured.
    pub history: &'a History,
    /// What it trained.
    pub model: &'a Sequential,
    /// Rows and columns; their product is the number of the model's inputs.
    pub image_size: (usize, usize),
    /// What became of the validation samples, or why that is not known.
    pub findings: &'a std::result::Result<Findings, String>,
}

/// Writes `report.html` and `graphs/*.svg` into `folder`. Those that stand there are replaced, once all are complete;
/// nothing else in the folder is touched.
///
/// # Errors
/// [`Error::Io`] where a file cannot be written.
pub fn write(folder: &Path, run: &Run<'_>) -> Result<()> {
    let graphs = folder.join(folder::GRAPHS);
    fs::create_dir_all(&graphs).map_err(|source| Error::Io { path: graphs.clone(), action: "create", source })?;
    let (mut files, mut figures) = (Vec::new(), String::new());
    for named in curves::graphs(&[Measured::of(run)]) {
        let drawing = named.graph.draw();
        files.push(stage(&graphs.join(&named.file), &drawing.file())?);
        figures.push_str(&page::figure(&named.file, &drawing));
    }
    if let Some(svg) = weights::file(run.model, run.image_size, &page::output_names(run)) {
        files.push(stage(&graphs.join(WEIGHTS), &svg)?);
    }
    files.push(stage(&folder.join(folder::REPORT), &page::of_run(run, &figures))?);
    files.into_iter().try_for_each(Staged::publish)
}

/// Writes a page that lays `runs`, 2 to [`MAX_COMPARED`] of them, over one another, and tabulates what their recipes
/// differ in. A file that stands at `path` is replaced.
///
/// # Errors
/// [`Error::Io`] where the page cannot be written; [`Error::Setting`] where there are too few or too many runs.
pub fn compare(path: &Path, runs: &[Run<'_>]) -> Result<()> {
    if !(2..=MAX_COMPARED).contains(&runs.len()) {
        return Err(Error::Setting {
            name: "out",
            found: format!("a comparison of {} runs", runs.len()),
            expected: format!("2 to {MAX_COMPARED} of them, whose lines can be told apart"),
        });
    }
    let measured: Vec<_> = runs.iter().map(Measured::of).collect();
    let figures: String =
        curves::graphs(&measured).map(|named| page::figure(&named.file, &named.graph.draw())).collect();
    stage(path, &page::of_runs(runs, &figures))?.publish()
}

/// Whether a page that [`write()`] made shows what became of the validation samples.
pub fn shows_samples(page: &str) -> bool {
    page::shows_samples(page)
}

const WEIGHTS: &str = "weights.svg";

fn stage(path: &Path, text: &str) -> Result<Staged> {
    Staged::write(path, |out| out.write_all(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_of_runs_knows_every_graph() {
        let history = History::default();
        let graphs: Vec<String> =
            curves::graphs(&[Measured::of_classes("", &history)]).map(|named| named.file).collect();
        assert_eq!([&graphs[..], &[WEIGHTS.into()]].concat(), folder::GRAPH_FILES);
    }
}
