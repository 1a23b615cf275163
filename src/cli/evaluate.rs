//! `flatnet evaluate`: how well a saved model predicts the targets of a data set, or of the very rows its run drew.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use flatnet::Dataset;
use flatnet::data::source::{self, Source, SourceOptions};
use flatnet::data::{Outputs, Split, Task};
use flatnet::loss::{self, BinaryCrossEntropy, Loss};
use flatnet::model_file::{Loaded, ModelMeta};
use flatnet::nn::Sequential;
use flatnet::report::{Predictions, PredictionsCsv};
use flatnet::run::{self, Recipe, RunData, SampleKind};
use flatnet::train::Evaluation;
use flatnet::{Error, Result};
use serde::Serialize;
use serde_json::{Map, Value};

use super::args::{EvaluateArguments, Sample, SplitChoice, default_data};
use super::evaluation::{self, Subject};
use super::own_data::{Given, OwnData};
use super::tally::{self, Tally};
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
    /// Of a model for tables.
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<Task>,
    samples: usize,
    /// Of labels: all of them; null for values, of which none is right or wrong.
    correct: Option<usize>,
    accuracy: Option<f64>,
    /// Mean over the samples.
    loss: f64,
    /// From the start of the program, loading included.
    seconds: f64,
    /// By name; null where a figure is not defined.
    metrics: Map<String, Value>,
    /// Of each label or value.
    #[serde(skip_serializing_if = "Option::is_none")]
    per_output: Option<Vec<Value>>,
    /// Empty where there are no classes, as is the next.
    per_class: Vec<ClassRow>,
    /// Of the class of the row, predicted as that of the column.
    confusion: Vec<Vec<u64>>,
}

/// Null where a figure is not defined.
#[derive(Serialize)]
struct ClassRow {
    class: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
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
    let (data, numbers) = samples(arguments, &path, &meta, recipe.as_ref())?;
    check_fit(&path, &model, &meta, &data)?;
    let batch_size = recipe.as_ref().map_or(BATCH_SIZE, |recipe| recipe.batch_size);
    let data = data.with_scale(meta.scale)?;
    let outputs = meta.preparation.as_ref().map(|preparation| &preparation.outputs);
    let class_names = if meta.class_names.is_empty() { data.class_names() } else { &meta.class_names };
    // Begun first: where it cannot be written, that is said before anything is computed.
    let columns = tally::predicted_columns(&data, outputs, class_names);
    let mut csv = arguments.predictions.as_ref().map(|file| PredictionsCsv::start(file, columns)).transpose()?;
    let mut tally = Tally::new(&data, outputs, class_names)?;
    let loss = loss(recipe.as_ref(), outputs, &data)?;
    let loss_name = loss.spec();
    let evaluation = Predictions::by(loss, &model, &data, batch_size, threads.used)?.for_each(|batch| {
        let number = |row: usize| numbers.as_ref().map_or(row, |numbers| numbers[row] as usize);
        tally.add(batch, csv.as_mut(), number)
    })?;
    if !evaluation.loss.is_finite() {
        return Err(Error::Model {
            path,
            place: format!("its loss on {}", data.source()),
            problem: "is not a finite number; its weights are too large to be of use".into(),
        });
    }
    csv.map_or(Ok(()), PredictionsCsv::publish)?;

    let split = match arguments.split {
        SplitChoice::Test => "test",
        SplitChoice::Train => "train",
    };
    let seconds = started.elapsed().as_secs_f64();
    let (model, source) = (path.display().to_string(), data.source().to_string());
    let parameters = Parameters::of(&meta);
    if !arguments.json {
        let model = format!("{model}{}", parameters.told());
        let what = told_samples(arguments, &meta, &data);
        let subject = Subject { model: &model, data: &source, samples: &what, loss: &loss_name };
        return print(&evaluation::told(&subject, &evaluation, &tally, seconds, table::columns()));
    }
    let (mut per_class, mut confusion) = (Vec::new(), Vec::new());
    if let Tally::Classes { found, names } = &tally {
        let by_class = found.confusion().by_class().into_iter().enumerate();
        per_class.extend(by_class.map(|(class, figures)| ClassRow {
            class,
            name: names.get(class).cloned(),
            precision: figures.precision,
            recall: figures.recall,
            f1: figures.f1,
            support: figures.support,
        }));
        confusion.extend(found.confusion().rows().map(<[u64]>::to_vec));
    }
    let Evaluation { samples, correct, accuracy, loss } = evaluation;
    let has_accuracy = tally.task() != Task::Regress;
    print_json(&Report {
        model,
        parameters,
        data: source,
        split,
        task: meta.preparation.as_ref().map(|_| tally.task()),
        samples,
        correct: has_accuracy.then_some(correct),
        accuracy: has_accuracy.then_some(accuracy),
        loss,
        seconds,
        metrics: tally.metrics(),
        per_output: tally.per_output(),
        per_class,
        confusion,
    })
}

/// What the model's run minimized, where that is known, so that the figures of its own rows are its last ones; else what the
/// outputs call for.
fn loss(recipe: Option<&Recipe>, outputs: Option<&Outputs>, data: &Dataset) -> Result<Arc<dyn Loss>> {
    Ok(match (recipe, outputs) {
        // Their outputs are logits, whatever the recipe says.
        (_, Some(Outputs::MultiLabel { .. })) => Arc::new(BinaryCrossEntropy),
        (Some(recipe), _) => recipe.loss()?.into(),
        (None, _) => loss::of_targets(data.targets()),
    })
}

/// Of which samples the figures are.
fn told_samples(arguments: &EvaluateArguments, meta: &ModelMeta, data: &Dataset) -> String {
    let samples = SampleKind::of(data).several();
    match (arguments.split, arguments.sample) {
        (SplitChoice::Train, _) => format!("training {samples}"),
        (SplitChoice::Test, Sample::Run) if meta.preparation.is_some() => format!("validation {samples}"),
        // A table that is alone is all there is to test with.
        (SplitChoice::Test, _) if meta.preparation.is_some() => samples.into(),
        (SplitChoice::Test, _) => format!("test {samples}"),
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

/// The samples, and their rows in the files where they are not all of them.
fn samples(
    arguments: &EvaluateArguments,
    path: &Path,
    meta: &ModelMeta,
    recipe: Option<&Recipe>,
) -> Result<(Dataset, Option<Vec<u32>>)> {
    let is_test = arguments.split == SplitChoice::Test;
    if let (Sample::Run, Some(recipe)) = (arguments.sample, recipe) {
        let (RunData { train, val, rows, .. }, _) = own_samples(arguments, path, meta, recipe)?;
        return Ok(if is_test { (val, Some(rows.val)) } else { (train, Some(rows.train.iter().collect())) });
    }
    let place = arguments.data.clone().unwrap_or_else(default_data);
    let options = recipe.map(Recipe::data_settings).transpose()?.unwrap_or_default().source;
    let options = SourceOptions { targets: arguments.targets.clone(), ..options };
    let missing = |what: &str| Error::DataFolder {
        path: place.clone(),
        problem: format!("holds no rows to {what}; name another place, or another split"),
    };
    // Of four files of images, the two of this split are enough; what is wrong with them is told by who opens all.
    if place.is_dir() && meta.preparation.is_none() && !source::holds_tables_or_pictures(&place)? {
        let split = if is_test { Split::Test } else { Split::Train };
        if let Ok(data) = flatnet::data::load_split(&place, split) {
            return Ok((data, None));
        }
    }
    match (source::open(&place, &options)?, &meta.preparation) {
        (Source::Images { train, .. }, _) if !is_test => Ok((train, None)),
        // A single set is what there is to test with.
        (Source::Images { train, test }, _) => Ok((test.unwrap_or(train), None)),
        (Source::Table { train, test, .. }, Some(preparation)) => {
            let table = if is_test { test.unwrap_or(train) } else { train };
            let rows = preparation.rows(&table)?;
            if rows.is_empty() {
                return Err(missing("evaluate"));
            }
            Ok((preparation.dataset(&table, &rows)?, Some(rows)))
        }
        (Source::Table { .. }, None) => Err(missing("show to a model for pictures")),
    }
}

/// The samples of the model's run. Where its data lie, the summary beside the model says, and no other file.
fn own_samples(
    arguments: &EvaluateArguments,
    path: &Path,
    meta: &ModelMeta,
    recipe: &Recipe,
) -> Result<(RunData, PathBuf)> {
    let run_folder = path.parent().map(|folder| if folder == Path::new("") { Path::new(".") } else { folder });
    // A summary that cannot be read, or of another run, is as good as none.
    let summary = run_folder.and_then(|folder| run::read_summary(folder).ok());
    let digest = |name: &str| meta.recipe.as_ref().and_then(|recipe| recipe.get(name)?.as_str());
    let places = summary.as_ref().map_or(recipe, |summary| &summary.recipe);
    let own = OwnData {
        recipe: &Recipe {
            data: places.data.clone(),
            val_data: places.val_data.clone(),
            targets: places.targets.clone(),
            ..recipe.clone()
        },
        reading: None,
        run_folder,
        summary: summary.as_ref().map(|summary| &summary.data),
        train_sha256: digest("train_sha256"),
        val_sha256: digest("val_sha256"),
    };
    let targets = arguments.targets.as_deref();
    own.load(&Given { data: arguments.data.as_deref(), targets, ..Given::default() })
}

fn check_fit(path: &Path, model: &Sequential, meta: &ModelMeta, data: &Dataset) -> Result<()> {
    let refuse = |expected: String, found: String| {
        Err(Error::Shape { place: format!("{} on {}", path.display(), data.source()), expected, found })
    };
    if data.features() != model.in_features() {
        let ((rows, columns), (data_rows, data_columns)) = (meta.image_size, data.image_size());
        return refuse(
            match meta.preparation {
                Some(_) => format!("rows that become {} inputs as the model was made for", model.in_features()),
                None => {
                    format!("images of {} pixels ({rows} x {columns}) as the model was made for", model.in_features())
                }
            },
            format!("{} ({data_rows} x {data_columns})", data.features()),
        );
    }
    if data.outputs() != meta.classes {
        let what =
            if data.classes() > 0 { "classes as the model tells apart" } else { "targets as the model predicts" };
        return refuse(format!("{} {what}", meta.classes), data.outputs().to_string());
    }
    // As many classes, but others or in another order, would be counted for one another.
    let other = meta.class_names.iter().zip(data.class_names()).enumerate().find(|(_, (model, data))| model != data);
    if let Some((class, (model, data))) = other {
        return refuse(format!("class {class} to be '{model}' as the model calls it"), format!("'{data}'"));
    }
    Ok(())
}
