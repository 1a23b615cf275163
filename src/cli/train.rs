//! `flatnet train`: settings to a trained model and a run's files. It knows the order of the steps, not the steps.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use flatnet::data::{self, Dataset, Scale, Split, sample};
use flatnet::model_file::ModelMeta;
use flatnet::nn::{LayerSpecs, Sequential};
use flatnet::report::{self, Findings};
use flatnet::run::{self, Circumstances, DataSummary, Destination, Existing, Recipe, SampledRows, Summary, folder};
use flatnet::train::{History, TrainConfig, Trainer};
use flatnet::{Error, Result};

use super::args::TrainArguments;
use super::progress::Progress;
use super::tensorboard::EventFiles;
use super::{print, print_json, table};

pub fn run(arguments: &TrainArguments) -> Result<()> {
    let started = Instant::now();
    let recipe = recipe(arguments);

    let (train, val, rows) = load(arguments, &recipe)?;
    check_outputs(&arguments.layers, &train)?;
    let scale = Scale::fit(recipe.scale, &train);
    let mut model = Sequential::new(train.features(), &arguments.layers, recipe.init, recipe.relu_grad, recipe.seed)?;
    let mut trainer = Trainer::new(TrainConfig {
        epochs: recipe.epochs,
        batch_size: recipe.batch_size,
        lr: recipe.lr,
        shuffle: recipe.shuffle,
        seed: recipe.seed,
        scale,
        threads: recipe.threads,
        kernel: recipe.kernel,
        simd: recipe.simd,
    })?;
    let load_seconds = started.elapsed().as_secs_f64();
    let destination = destination(arguments);
    destination.check()?;

    let mut event_files = arguments.tensorboard.as_deref().map(EventFiles::create).transpose()?;
    let progress = Progress::new(recipe.epochs, recipe.quiet, arguments.log_format);
    let history = trainer.fit(&mut model, &train, &val, &mut |epoch, record| {
        progress.epoch(epoch, record);
        if let Some(files) = &mut event_files {
            files.epoch(epoch, record);
        }
        ControlFlow::Continue(())
    })?;
    progress.finish();

    let data = DataSummary {
        source: train.source().to_string(),
        train_samples: train.len(),
        val_samples: val.len(),
        features: train.features(),
        classes: train.classes(),
    };
    let meta = ModelMeta {
        layers: model.specs(),
        relu_grad: recipe.relu_grad,
        scale,
        classes: train.classes(),
        image_size: train.image_size(),
        recipe: None,
        version: Some(env!("CARGO_PKG_VERSION").into()),
    };
    let (folder, summary) = run::save(&destination, recipe, &model, meta, &rows, &history, |recipe| {
        let circumstances = Circumstances {
            load_seconds,
            total_seconds: started.elapsed().as_secs_f64(),
            threads: recipe.threads,
            simd: trainer.simd_name(),
            kernel: model.kernel_name(),
        };
        Summary::new(data, recipe, &model, &history, circumstances)
    })?;
    report_on(arguments, &folder, &summary, &history, &model, &val, scale)?;
    if arguments.json {
        print_json(&summary)?
    } else {
        print(&table::of_run(&summary, &history, &folder))?
    }
    // Last, since a failure here must not cost the run.
    event_files.map_or(Ok(()), |files| files.finish(&history))
}

/// The settings with every default filled in, but for the folder of the run: see [`run::save`].
fn recipe(arguments: &TrainArguments) -> Recipe {
    Recipe {
        data: arguments.data().display().to_string(),
        train_samples: arguments.train_samples,
        val_samples: arguments.val_samples,
        epochs: arguments.epochs,
        batch_size: arguments.batch_size,
        lr: arguments.lr,
        seed: arguments.seed,
        shuffle: arguments.shuffle,
        layers: arguments.layers.to_string(),
        init: arguments.init,
        relu_grad: arguments.relu_grad,
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

/// Writes the run's page, or takes away that of the run it replaces. The run itself is complete and stays.
fn report_on(
    arguments: &TrainArguments,
    folder: &Path,
    summary: &Summary,
    history: &History,
    model: &Sequential,
    val: &Dataset,
    scale: Scale,
) -> Result<()> {
    let written = if arguments.no_report {
        report::remove(folder)
    } else {
        let findings = Findings::of(model, val, scale, summary.recipe.batch_size).map_err(|error| error.to_string());
        let name = folder.display().to_string();
        report::write(
            folder,
            &report::Run { name: &name, summary, history, model, image_size: val.image_size(), findings },
        )
    };
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
