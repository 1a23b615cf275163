//! `flatnet train`: settings to a trained model and a run's files. It knows the order of the steps, not the steps.

use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use flatnet::data::{self, Dataset, Scale, Split, sample};
use flatnet::kernels::SimdLevel;
use flatnet::loss::balanced_class_weights;
use flatnet::nn::{Init, LayerSpecs, ReluGrad};
use flatnet::optim::Settings;
use flatnet::report::{self, ClassificationReport};
use flatnet::run::{self, DataSummary, Destination, Environment, Existing, Recipe, SampledRows, Summary, folder};
use flatnet::train::{EpochEnd, TrainState};
use flatnet::{Error, Result};

use super::args::TrainArguments;
use super::progress::Progress;
use super::tensorboard::EventFiles;
use super::{print, print_json, table};

pub fn run(arguments: &TrainArguments) -> Result<()> {
    let started = Instant::now();
    let mut recipe = recipe(arguments);
    // What is wrong with a setting is told before the data are read.
    recipe.trainer()?;

    let (train, val, rows) = load(arguments, &recipe)?;
    check_outputs(&arguments.layers, &train)?;
    recipe.class_weights = arguments.class_weights.as_deref().map(|from| class_weights(from, &train)).transpose()?;
    let scale = Scale::fit(recipe.scale, &train);
    let (train, val) = (train.with_scale(scale)?, val.with_scale(scale)?);
    let mut model = recipe.network(train.features())?;
    let trainer = recipe.trainer()?;
    let load_seconds = started.elapsed().as_secs_f64();
    let destination = destination(arguments);
    destination.check()?;

    let mut event_files = arguments.tensorboard.as_deref().map(EventFiles::create).transpose()?;
    let progress = Progress::new(recipe.epochs, recipe.quiet, arguments.log_format);
    let mut state = TrainState::new(&model, trainer.optimizer());
    trainer.fit_from(&mut model, &mut state, &train, &val, &mut |end: &mut EpochEnd<'_>| {
        progress.epoch(end.epoch, &end.record);
        if let Some(files) = &mut event_files {
            files.epoch(end.epoch, &end.record);
        }
        ControlFlow::Continue(())
    })?;
    progress.finish();
    let history = state.history;

    let data = DataSummary {
        source: train.source().to_string(),
        train_samples: train.len(),
        val_samples: val.len(),
        features: train.features(),
        classes: train.classes(),
    };
    let (folder, summary) = run::save(&destination, recipe, &model, &rows, &history, |recipe| {
        let environment = Environment {
            load_seconds,
            total_seconds: started.elapsed().as_secs_f64(),
            threads: recipe.threads,
            simd: SimdLevel::resolve(recipe.simd)?.name(),
            kernel: model.kernel_name(),
        };
        Ok(Summary::new(data, recipe, &model, &history, environment))
    })?;
    let classification = ClassificationReport::of(&model, &val, summary.recipe.batch_size);
    let warnings = classification.as_ref().map(|found| report::warnings(found, &summary.recipe)).unwrap_or_default();
    let classification = classification.map_err(|error| error.to_string());
    let name = folder.display().to_string();
    let image_size = val.image_size();
    let shown =
        report::Run { name: &name, summary: &summary, history: &history, model: &model, image_size, classification };
    report_on(arguments, &folder, &shown)?;
    if arguments.json {
        print_json(&summary)?
    } else {
        print(&table::of_run(&summary, &history, &folder, &warnings))?
    }
    // Last, since a failure here must not cost the run.
    event_files.map_or(Ok(()), |files| files.finish(&history))
}

/// The settings with every default filled in, but for the folder of the run (see [`run::save`]) and the weights of classes.
fn recipe(arguments: &TrainArguments) -> Recipe {
    let reference = arguments.layers.ends_in_its_only_relu();
    let (init, relu_grad) = match reference {
        true => (Init::UnitNorm, ReluGrad::StraightThrough),
        false => (Init::KaimingUniform, ReluGrad::Exact),
    };
    Recipe {
        data: arguments.data().display().to_string(),
        train_samples: arguments.train_samples,
        val_samples: arguments.val_samples,
        epochs: arguments.epochs,
        batch_size: arguments.batch_size,
        lr: arguments.lr,
        optimizer: arguments.optimizer.clone(),
        optimizer_settings: Settings {
            momentum: arguments.momentum,
            nesterov: arguments.nesterov.then_some(true),
            weight_decay: arguments.weight_decay,
            decay_biases: arguments.no_bias_decay.then_some(false),
            beta1: arguments.beta1,
            beta2: arguments.beta2,
            eps: arguments.eps,
            ..Settings::default()
        },
        clip_norm: arguments.clip_norm,
        lr_schedule: arguments.lr_schedule.clone(),
        warmup_epochs: arguments.warmup_epochs,
        label_smoothing: arguments.label_smoothing,
        class_weights: None,
        seed: arguments.seed,
        shuffle: arguments.shuffle,
        layers: arguments.layers.to_string(),
        init: arguments.init.0.unwrap_or(init),
        relu_grad: arguments.relu_grad.0.unwrap_or(relu_grad),
        scale: arguments.scale,
        threads: arguments.threads(),
        simd: arguments.simd,
        kernel: arguments.kernel,
        out: String::new(),
        overwrite: arguments.overwrite,
        json: arguments.json,
        quiet: arguments.quiet,
        no_report: arguments.no_report,
    }
}

/// `balanced`, or a file with one number for each class.
fn class_weights(from: &Path, train: &Dataset) -> Result<Vec<f32>> {
    if from == Path::new("balanced") {
        let mut counts = vec![0; train.classes()];
        train.labels().iter().for_each(|label| counts[usize::from(*label)] += 1);
        return Ok(balanced_class_weights(&counts));
    }
    /// Room for 65,536 numbers, and then some.
    const MAX_BYTES: u64 = 1 << 21;
    let fail = |source| Error::Io { path: from.to_path_buf(), action: "read", source };
    let mut text = String::new();
    let file = std::fs::File::open(from).map_err(fail)?;
    file.take(MAX_BYTES).read_to_string(&mut text).map_err(fail)?;
    let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
    let refuse = |found: String, expected: String| Error::Setting { name: "class_weights", found, expected };
    let weights: Vec<f32> = words
        .map(|word| {
            let weight = word.parse().ok().filter(|weight: &f32| weight.is_finite() && *weight >= 0.0);
            let start: String = word.chars().take(60).collect();
            weight.ok_or_else(|| refuse(format!("'{start}' in {}", from.display()), "numbers of at least 0".into()))
        })
        .collect::<Result<_>>()?;
    if weights.len() != train.classes() {
        let expected = format!("one for each of the {} classes", train.classes());
        return Err(refuse(format!("{} numbers in {}", weights.len(), from.display()), expected));
    }
    Ok(weights)
}

/// Writes the run's page, or takes away that of the run it replaces. The run itself is complete and stays.
fn report_on(arguments: &TrainArguments, folder: &Path, run: &report::Run<'_>) -> Result<()> {
    let written = if arguments.no_report { report::remove(folder) } else { report::write(folder, run) };
    written.map_err(|error| Error::RunFolder {
        path: folder.to_path_buf(),
        problem: format!("the run is complete, but its report is not ({error}); flatnet report tries again"),
    })
}

fn destination(arguments: &TrainArguments) -> Destination {
    match &arguments.out {
        None => Destination::NextBelow(PathBuf::from(folder::RUNS)),
        Some(folder) if arguments.overwrite => Destination::At(folder.clone(), Existing::Replace),
        Some(folder) => Destination::At(folder.clone(), Existing::Refuse),
    }
}

/// The training and the validation sample, and their rows in the set. The rest of the set is given back before the training starts.
fn load(arguments: &TrainArguments, recipe: &Recipe) -> Result<(Dataset, Dataset, SampledRows)> {
    let (train, test) = data::load_mnist_folder(&arguments.data())?;
    let rows =
        SampledRows { train: recipe.rows(Split::Train, train.len())?, val: recipe.rows(Split::Test, test.len())? };
    let train = sample::take(train, recipe.train_samples, &rows.train);
    let val = sample::take(test, recipe.val_samples, &rows.val);
    Ok((train, val, rows))
}

fn check_outputs(layers: &LayerSpecs, train: &Dataset) -> Result<()> {
    match layers.out_features() {
        Some(outputs) if outputs == train.classes() => Ok(()),
        _ => Err(Error::Setting {
            name: "layers",
            found: format!("'{layers}'"),
            expected: format!("a last linear layer of {0} outputs (linear:{0}), one for each class", train.classes()),
        }),
    }
}
