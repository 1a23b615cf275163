//! `flatnet evaluate`: how well a saved model tells the classes of a data set apart, or of the very rows its run drew.

use std::path::Path;
use std::time::Instant;

use flatnet::data::{self, Dataset, Split};
use flatnet::metrics::{Averages, Classification, wilson};
use flatnet::model_file::{Loaded, ModelMeta};
use flatnet::nn::Sequential;
use flatnet::report::{Predictions, PredictionsCsv};
use flatnet::run::{self, Recipe};
use flatnet::train::Evaluation;
use flatnet::{Error, Result};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::args::{EvaluateArguments, Sample, SplitChoice, default_data};
use super::evaluation::{self, Subject};
use super::own_data::{OwnData, OwnRows};
use super::threads::threads;
use super::{Parameters, model_path, new_file, print, print_json, table};

/// For a model that does not say how its own run was evaluated.
const BATCH_SIZE: usize = 32;

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    model: String,
    #[serde(flatten)]
    parameters: Parameters,
    data: String,
    split: &'static str,
    samples: usize,
    correct: usize,
    accuracy: f64,
    /// Mean over the samples.
    loss: f64,
    /// From the start of the program, loading included.
    seconds: f64,
    /// By name; null where a figure is not defined.
    metrics: Map<String, Value>,
    per_class: Vec<ClassRow>,
    /// Of the class of the row, predicted as that of the column.
    confusion: Vec<Vec<u64>>,
}

/// Null where a figure is not defined.
#[derive(Serialize)]
struct ClassRow {
    class: usize,
    precision: Option<f64>,
    recall: Option<f64>,
    f1: Option<f64>,
    support: u64,
}

pub fn run(arguments: &EvaluateArguments) -> Result<()> {
    let started = Instant::now();
    let threads = threads(None)?;
    let path = model_path(&arguments.model);
    if let Some(file) = &arguments.predictions {
        new_file::check("predictions", file, arguments.overwrite, &path)?;
    }
    let Loaded { mut model, meta, .. } = arguments.hints.load(&path)?;
    let recipe = recipe(&path, &meta, arguments.sample)?;
    if let Some(recipe) = &recipe {
        // As the run did, so that the figures of its own rows are its last ones to the bit.
        model = model.with_kernel(recipe.kernel)?;
    }
    let (data, numbers) = match (arguments.sample, &recipe) {
        (Sample::Run, Some(recipe)) => {
            let OwnRows { data, numbers, .. } = own_rows(arguments, &path, &meta, recipe)?;
            (data, Some(numbers))
        }
        _ => {
            let folder = arguments.data.clone().unwrap_or_else(default_data);
            (data::load_split(&folder, arguments.split.into())?, None)
        }
    };
    check_fit(&path, &model, &meta, &data)?;
    let batch_size = recipe.as_ref().map_or(BATCH_SIZE, |recipe| recipe.batch_size);
    let data = data.with_scale(meta.scale)?;
    // Begun first: where it cannot be written, that is said before anything is computed.
    let mut csv = arguments.predictions.as_ref().map(|file| PredictionsCsv::start(file, data.classes())).transpose()?;
    let mut classification = Classification::new(data.classes())?;
    let evaluation = Predictions::of(&model, &data, batch_size, threads.used)?.for_each(|batch| {
        if let Some(csv) = &mut csv {
            let rows = batch.first..batch.first + batch.classified.labels.len();
            let number = |row: usize| numbers.as_ref().map_or(row, |numbers| numbers[row] as usize);
            csv.add(rows.map(number), &batch.classified)?;
        }
        classification.add(&batch.classified)
    })?;
    if !evaluation.loss.is_finite() {
        return Err(Error::Model {
            path,
            place: format!("its loss on {}", data.source()),
            problem: "is not a finite number; its weights are too large to be of use".into(),
        });
    }
    csv.map_or(Ok(()), PredictionsCsv::publish)?;

    let (split, what) = match arguments.split {
        SplitChoice::Test => ("test", "test images"),
        SplitChoice::Train => ("train", "training images"),
    };
    let Evaluation { samples, correct, accuracy, loss } = evaluation;
    let seconds = started.elapsed().as_secs_f64();
    let (model, data) = (path.display().to_string(), data.source().to_string());
    let parameters = Parameters::of(&meta);
    if !arguments.json {
        let model = format!("{model}{}", parameters.told());
        let subject = Subject { model: &model, data: &data, images: what };
        return print(&evaluation::told(&subject, &evaluation, &classification, seconds, table::columns()));
    }
    let (metrics, confusion) = (metrics(&classification), classification.confusion());
    let per_class = confusion.by_class().into_iter().enumerate().map(|(class, figures)| ClassRow {
        class,
        precision: figures.precision,
        recall: figures.recall,
        f1: figures.f1,
        support: figures.support,
    });
    print_json(&Report {
        model,
        parameters,
        data,
        split,
        samples,
        correct,
        accuracy,
        loss,
        seconds,
        metrics,
        per_class: per_class.collect(),
        confusion: confusion.rows().map(<[u64]>::to_vec).collect(),
    })
}

/// Every figure of all classes together, under its name.
fn metrics(classification: &Classification) -> Map<String, Value> {
    let confusion = classification.confusion();
    let averages = |Averages { precision, recall, f1 }| json!({ "precision": precision, "recall": recall, "f1": f1 });
    let mut metrics: Map<String, Value> =
        classification.figures().map(|figure| (figure.name.to_string(), json!(figure.value))).collect();
    metrics.insert("accuracy_interval".into(), json!(wilson(confusion.correct(), confusion.samples())));
    metrics.insert("macro_avg".into(), averages(confusion.macro_average()));
    metrics.insert("weighted_avg".into(), averages(confusion.weighted_average()));
    metrics
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
fn own_rows(arguments: &EvaluateArguments, path: &Path, meta: &ModelMeta, recipe: &Recipe) -> Result<OwnRows> {
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
