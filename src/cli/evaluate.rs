//! `flatnet evaluate`: a saved model's loss and accuracy on a data set, or on the very rows its run drew.

use std::path::Path;
use std::time::Instant;

use flatnet::data::{self, Dataset, Split};
use flatnet::model_file::{self, ModelMeta};
use flatnet::nn::Sequential;
use flatnet::run::{self, Recipe};
use flatnet::{Error, Result, train};
use serde::Serialize;

use super::args::{EvaluateArguments, Sample, SplitChoice, default_data};
use super::own_data::OwnData;
use super::threads::threads;
use super::{model_path, print, print_json, table};

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
    let threads = threads(None)?;
    let path = model_path(&arguments.model);
    let (mut model, meta) = model_file::load(&path)?;
    let recipe = recipe(&path, &meta, arguments.sample)?;
    if let Some(recipe) = &recipe {
        // As the run did, so that the figures of its own rows are its last ones to the bit.
        model = model.with_kernel(recipe.kernel)?;
    }
    let data = match (arguments.sample, &recipe) {
        (Sample::Run, Some(recipe)) => own_rows(arguments, &path, &meta, recipe)?,
        _ => {
            let folder = arguments.data.clone().unwrap_or_else(default_data);
            data::load_split(&folder, arguments.split.into())?
        }
    };
    check_fit(&path, &model, &meta, &data)?;
    let batch_size = recipe.as_ref().map_or(BATCH_SIZE, |recipe| recipe.batch_size);
    let data = data.with_scale(meta.scale)?;
    let evaluation = train::evaluate(&model, &data, batch_size, threads.used)?;
    if !evaluation.loss.is_finite() {
        return Err(Error::Model {
            path,
            place: format!("its loss on {}", data.source()),
            problem: "is not a finite number; its weights are too large to be of use".into(),
        });
    }

    let (split, what) = match arguments.split {
        SplitChoice::Test => ("test", "test images"),
        SplitChoice::Train => ("train", "training images"),
    };
    let report = Report {
        model: path.display().to_string(),
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

/// The rows of the model's run. Where its data lie, the summary beside the model says, and no other file.
fn own_rows(arguments: &EvaluateArguments, path: &Path, meta: &ModelMeta, recipe: &Recipe) -> Result<Dataset> {
    let run_folder = path.parent().map(|folder| if folder == Path::new("") { Path::new(".") } else { folder });
    // A summary that cannot be read, or of another run, is as good as none.
    let summary = run_folder.and_then(|folder| run::read_summary(folder).ok());
    let digest = |name: &str| meta.recipe.as_ref().and_then(|recipe| recipe.get(name)?.as_str());
    let own = OwnData {
        recipe: &Recipe {
            data: summary.as_ref().map_or(recipe.data.clone(), |s| s.recipe.data.clone()),
            ..recipe.clone()
        },
        run_folder,
        way: summary.as_ref().and_then(|summary| summary.data.folder.as_deref()),
        train_sha256: digest("train_sha256"),
        val_sha256: digest("val_sha256"),
    };
    own.load(arguments.split.into(), arguments.data.as_deref())
}

fn check_fit(path: &Path, model: &Sequential, meta: &ModelMeta, data: &Dataset) -> Result<()> {
    let refuse = |expected: String, found: String| {
        Err(Error::Shape { place: format!("{} on {}", path.display(), data.source()), expected, found })
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
