//! `flatnet evaluate`: a saved model's loss and accuracy on a data set, or on the very rows its run drew.

use std::path::{Path, PathBuf};
use std::time::Instant;

use flatnet::data::{self, Dataset, Split};
use flatnet::model_file::{self, ModelMeta};
use flatnet::nn::Sequential;
use flatnet::run::Recipe;
use flatnet::{Error, Result, parallel, train};
use serde::Serialize;

use super::args::{DEFAULT_DATA, EvaluateArguments, Sample, SplitChoice, default_data};
use super::{print, print_json, table};

/// For a model that does not say how its own run was evaluated.
const BATCH_SIZE: usize = 32;

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    model: String,
    data: String,
    split: &'static str,
    samples: usize,
    correct: usize,
    accuracy: f64,
    /// Mean over the samples.
    loss: f64,
    /// From the start of the program, loading included.
    seconds: f64,
}

pub fn run(arguments: &EvaluateArguments) -> Result<()> {
    let started = Instant::now();
    let (mut model, meta) = model_file::load(&arguments.model)?;
    let recipe = recipe(&arguments.model, &meta, arguments.sample)?;
    if let Some(recipe) = &recipe {
        // As the run did, so that the figures of its own rows are its last ones to the bit.
        model = model.with_kernel(recipe.kernel)?;
    }
    let folder = folder(arguments, recipe.as_ref());

    let all = data::load_split(&folder, arguments.split.into())?;
    check_fit(&arguments.model, &model, &meta, &folder, &all)?;
    let data = match (arguments.sample, &recipe) {
        (Sample::Run, Some(recipe)) => all.select(&recipe.rows(arguments.split.into(), all.len())?),
        _ => all,
    };
    let batch_size = recipe.as_ref().map_or(BATCH_SIZE, |recipe| recipe.batch_size);
    let data = data.with_scale(meta.scale)?;
    let evaluation = train::evaluate(&model, &data, batch_size, parallel::default_threads())?;

    let (split, what) = match arguments.split {
        SplitChoice::Test => ("test", "test images"),
        SplitChoice::Train => ("train", "training images"),
    };
    let report = Report {
        model: arguments.model.display().to_string(),
        data: data.source().to_string(),
        split,
        samples: evaluation.samples,
        correct: evaluation.correct,
        accuracy: evaluation.accuracy,
        loss: evaluation.loss,
        seconds: started.elapsed().as_secs_f64(),
    };
    if arguments.json {
        print_json(&report)
    } else {
        print(&table::of_evaluation(&report.model, &report.data, what, &evaluation, report.seconds))
    }
}

/// The recipe in the model file: needed for the rows of the run, otherwise a source of the batch size and the kernel.
fn recipe(path: &Path, meta: &ModelMeta, sample: Sample) -> Result<Option<Recipe>> {
    let refuse = |problem: String| Error::Model { path: path.to_path_buf(), place: "metadata recipe".into(), problem };
    let recipe = match &meta.recipe {
        None if sample == Sample::Run => {
            return Err(refuse("is missing, so the rows of its run are unknown; use --sample all".into()));
        }
        None => return Ok(None),
        Some(kept) => serde_json::from_value::<Recipe>(kept.clone()),
    };
    let recipe = recipe.map_err(|error| refuse(format!("is not one that flatnet writes: {error}")))?;
    if recipe.batch_size == 0 {
        return Err(refuse("has a batch_size of 0; expected 1 or more".into()));
    }
    Ok(Some(recipe))
}

fn folder(arguments: &EvaluateArguments, recipe: Option<&Recipe>) -> PathBuf {
    match (&arguments.data, recipe) {
        (Some(folder), _) => folder.clone(),
        (None, Some(recipe)) if arguments.sample == Sample::Run && recipe.data != DEFAULT_DATA => {
            PathBuf::from(&recipe.data)
        }
        (None, _) => default_data(),
    }
}

fn check_fit(path: &Path, model: &Sequential, meta: &ModelMeta, folder: &Path, data: &Dataset) -> Result<()> {
    let refuse = |expected: String, found: String| {
        Err(Error::Shape { place: format!("{} on {}", path.display(), folder.display()), expected, found })
    };
    if data.features() != model.in_features() {
        let ((rows, columns), (data_rows, data_columns)) = (meta.image_size, data.image_size());
        return refuse(
            format!("images of {} pixels ({rows} x {columns}) as the model was made for", model.in_features()),
            format!("{} ({data_rows} x {data_columns})", data.features()),
        );
    }
    if data.classes() != meta.classes {
        return refuse(format!("{} classes as the model tells apart", meta.classes), data.classes().to_string());
    }
    Ok(())
}

impl From<SplitChoice> for Split {
    fn from(choice: SplitChoice) -> Split {
        match choice {
            SplitChoice::Test => Split::Test,
            SplitChoice::Train => Split::Train,
        }
    }
}
