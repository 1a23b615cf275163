//! `flatnet train`: settings to a trained model and a run's files. It knows the order of the steps, not the steps.

use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use flatnet::data::{self, Dataset, Scale, Split, sample};
use flatnet::kernels::SimdLevel;
use flatnet::loss::balanced_class_weights;
use flatnet::nn::{Init, LayerSpecs, ReluGrad, Sequential};
use flatnet::optim::Settings;
use flatnet::report::{self, ClassificationReport};
use flatnet::run::{
    self, DataSummary, Destination, Environment, Existing, Recipe, SampledRows, Saved, Summary, Writer, folder,
};
use flatnet::train::{BatchEnd, BatchRecord, Callback, EpochEnd, Thinning, TrainState};
use flatnet::{Error, Result};

use super::args::TrainArguments;
use super::progress::Progress;
use super::tensorboard::EventFiles;
use super::threads::{Threads, threads};
use super::{complain, interrupt, print, print_json, table};

pub fn run(arguments: &TrainArguments) -> Result<ExitCode> {
    let started = Instant::now();
    let threads = threads(arguments.threads)?;
    let mut recipe = recipe(arguments, &threads);
    // What is wrong with a setting is told before the data are read.
    recipe.trainer()?;

    let data_folder = arguments.data();
    let (train, val, rows) = load(&data_folder, &recipe)?;
    check_outputs(&arguments.layers, &train)?;
    recipe.class_weights = arguments.class_weights.as_deref().map(|from| class_weights(from, &train)).transpose()?;
    let scale = Scale::fit(recipe.scale, &train);
    let (train, val) = (train.with_scale(scale)?, val.with_scale(scale)?);
    let mut model = recipe.network(train.features())?;
    let trainer = recipe.trainer()?.threads(threads.used).sharing(threads.sharing);
    let load_seconds = started.elapsed().as_secs_f64();
    let batches = [train.len(), val.len()].map(|samples| samples.div_ceil(recipe.batch_size));

    // From here on the folder is this run's alone.
    let writer = Writer::new(destination(arguments).claim()?)?;
    let folder = writer.folder().to_path_buf();
    recipe.out = folder.display().to_string();
    let event_files = arguments.tensorboard.as_deref().map(EventFiles::create).transpose()?;
    let progress = Progress::new(recipe.epochs, batches[0], recipe.quiet, arguments.log_format);
    let mut watch = Watch {
        progress,
        event_files,
        writer,
        thinning: Thinning::default(),
        batches,
        whole: None,
        is_broken_off: false,
    };
    interrupt::listen();
    let mut state = TrainState::new(&model, trainer.optimizer());
    let trained = trainer.fit_from(&mut model, &mut state, &train, &val, &mut watch);
    watch.progress.finish();
    trained?;
    let (mut history, Watch { event_files, writer, thinning, whole, is_broken_off, .. }) = (state.history, watch);
    let interrupted = history.epochs.len() < recipe.epochs;
    if is_broken_off {
        // What an epoch that was broken off did is no part of the run.
        let Some((last, [train, val])) = whole else {
            complain("interrupted before the end of the first epoch; nothing is kept");
            return Ok(ExitCode::from(interrupt::EXIT_CODE));
        };
        model = last;
        history.train_batches.truncate(train);
        history.val_batches.truncate(val);
    }

    let data = DataSummary {
        source: train.source().to_string(),
        train_samples: train.len(),
        val_samples: val.len(),
        features: train.features(),
        classes: train.classes(),
        folder: run::relative(&folder, &data_folder),
        share_not_zero: Some(train.share_not_zero()),
        train_sha256: Some(train.sha256()),
        val_sha256: Some(val.sha256()),
    };
    let environment = Environment {
        load_seconds,
        total_seconds: started.elapsed().as_secs_f64(),
        threads: trainer.threads_used(),
        simd: SimdLevel::resolve(recipe.simd)?.name(),
        kernel: model.kernel_name(),
    };
    let summary = Summary::new(data, recipe, &model, &history, environment);
    // First of all, so that a disk that is full costs no figures; and whoever reads them costs no file.
    let printed = if arguments.json { print_json(&summary) } else { print(&table::of_run(&summary, &history)) };
    let claim = writer.save(&Saved { model: &model, history: &history, rows: &rows, summary: &summary })?;
    // Validates once more, for whoever reads of it.
    let (mut reported, mut warnings) = (Ok(()), Vec::new());
    if !(arguments.json && arguments.no_report) {
        let found = ClassificationReport::of(&model, &val, summary.recipe.batch_size);
        warnings = found.as_ref().map(|found| report::warnings(found, &summary.recipe)).unwrap_or_default();
        reported = report_on(
            arguments,
            &folder,
            &report::Run {
                name: &folder.display().to_string(),
                summary: &summary,
                history: &history,
                model: &model,
                image_size: val.image_size(),
                classification: found.map_err(|error| error.to_string()),
            },
        );
    }
    drop(claim);
    if !arguments.json {
        print(&table::of_files(&summary, &history, &folder, &warnings))?;
    }
    printed.and(reported)?;
    // Last, since a failure here must not cost the run.
    event_files.map_or(Ok(()), |files| files.finish(&history, &thinning, batches))?;
    if interrupted {
        let epochs = history.epochs.len();
        complain(&format!("interrupted after epoch {epochs} of {}, which is kept", summary.recipe.epochs));
        return Ok(ExitCode::from(interrupt::EXIT_CODE));
    }
    Ok(ExitCode::SUCCESS)
}

/// An epoch that is shorter ends before somebody who pressed Ctrl-C grows impatient.
const LONG_EPOCH_SECONDS: f64 = 0.1;

/// What happens while the run trains.
struct Watch {
    progress: Progress,
    event_files: Option<EventFiles>,
    writer: Writer,
    thinning: Thinning,
    /// Of an epoch: of training, of validation.
    batches: [usize; 2],
    /// What the last epoch left, should the next one be broken off: the network, and how many records of each phase. Where
    /// epochs are short, none is broken off.
    whole: Option<(Sequential, [usize; 2])>,
    is_broken_off: bool,
}

impl Callback for Watch {
    fn after_batch(&mut self, end: &BatchEnd) -> ControlFlow<()> {
        self.progress.batch(end.epoch, end.batch + 1);
        // Without a copy to go back to, the epoch is a short one and may as well end.
        if interrupt::is_asked() && (self.whole.is_some() || end.epoch == 1) {
            self.is_broken_off = true;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn after_epoch(&mut self, end: &mut EpochEnd<'_>) -> ControlFlow<()> {
        self.progress.epoch(end.epoch, &end.record);
        if let Some(files) = &mut self.event_files {
            files.epoch(end.epoch, &end.record);
        }
        let [train, val] = self.batches;
        let history = &mut end.state.history;
        let last = |records: &[BatchRecord], batches: usize| records.len() - batches..records.len();
        let (of_train, of_val) = (last(&history.train_batches, train), last(&history.val_batches, val));
        self.writer.epoch(end.epoch, &history.train_batches[of_train], &history.val_batches[of_val]);
        // All of them are in the file now, so memory need not grow with the run.
        self.thinning.after_epoch(history, train, val);
        let records = [history.train_batches.len(), history.val_batches.len()];
        let is_long = end.record.train_seconds + end.record.val_seconds > LONG_EPOCH_SECONDS;
        self.whole = is_long.then(|| (end.model.clone(), records));
        if interrupt::is_asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// The settings with every default filled in, but for the folder of the run and the weights of classes.
pub(super) fn recipe(arguments: &TrainArguments, threads: &Threads) -> Recipe {
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
        threads: threads.asked,
        simd: arguments.simd,
        kernel: arguments.kernel,
        out: String::new(),
        overwrite: arguments.overwrite,
        json: arguments.json,
        quiet: arguments.quiet,
        no_report: arguments.no_report,
    }
}

/// `balanced`, or one number for each class, or a file of them.
pub(super) fn class_weights(from: &Path, train: &Dataset) -> Result<Vec<f32>> {
    if from == Path::new("balanced") {
        let mut counts = vec![0; train.classes()];
        train.labels().iter().for_each(|label| counts[usize::from(*label)] += 1);
        return Ok(balanced_class_weights(&counts));
    }
    /// Room for 65,536 numbers, and then some.
    const MAX_BYTES: u64 = 1 << 21;
    let fail = |source| Error::Io { path: from.to_path_buf(), action: "read", source };
    let typed =
        from.to_str().filter(|text| text.contains(',') && text.split(',').all(|word| word.parse::<f32>().is_ok()));
    let (text, place) = match typed {
        Some(numbers) => (numbers.to_string(), String::new()),
        None => {
            let mut text = String::new();
            let file = std::fs::File::open(from).map_err(fail)?;
            file.take(MAX_BYTES).read_to_string(&mut text).map_err(fail)?;
            (text, format!(" in {}", from.display()))
        }
    };
    let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
    let refuse = |found: String, expected: String| Error::Setting { name: "class_weights", found, expected };
    let weights: Vec<f32> = words
        .map(|word| {
            let weight = word.parse().ok().filter(|weight: &f32| weight.is_finite() && *weight >= 0.0);
            let start: String = word.chars().take(60).collect();
            weight.ok_or_else(|| refuse(format!("'{start}'{place}"), "numbers of at least 0".into()))
        })
        .collect::<Result<_>>()?;
    if weights.len() != train.classes() {
        let expected = format!("one for each of the {} classes", train.classes());
        return Err(refuse(format!("{} numbers{place}", weights.len()), expected));
    }
    Ok(weights)
}

/// Writes the run's page. That of a run before went with it. The run itself is complete and stays.
fn report_on(arguments: &TrainArguments, folder: &Path, run: &report::Run<'_>) -> Result<()> {
    if arguments.no_report {
        return Ok(());
    }
    let written = report::write(folder, run);
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
fn load(folder: &Path, recipe: &Recipe) -> Result<(Dataset, Dataset, SampledRows)> {
    let (train, test) = data::load_mnist_folder(folder)?;
    let rows =
        SampledRows { train: recipe.rows(Split::Train, train.len())?, val: recipe.rows(Split::Test, test.len())? };
    let train = sample::take(train, recipe.train_samples, &rows.train);
    let val = sample::take(test, recipe.val_samples, &rows.val);
    Ok((train, val, rows))
}

pub(super) fn check_outputs(layers: &LayerSpecs, train: &Dataset) -> Result<()> {
    match layers.out_features() {
        Some(outputs) if outputs == train.classes() => Ok(()),
        _ => Err(Error::Setting {
            name: "layers",
            found: format!("'{layers}'"),
            expected: format!("a last linear layer of {0} outputs (linear:{0}), one for each class", train.classes()),
        }),
    }
}
