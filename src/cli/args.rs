//! The flags as typed, each checked as far as it can be alone, and what `--help` says. It knows no data and no model.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use flatnet::Error;
use flatnet::data::split::Fold;
use flatnet::data::{Missing, SampleSize, ScaleKind, Shuffle, Task, Transform};
use flatnet::kernels::{KernelChoice, SimdChoice};
use flatnet::nn::{Init, LayerSpecs, ReluGrad};
use flatnet::optim::schedule;
use flatnet::run;
use flatnet::train::{Monitor, Parallel, Reduce};

use super::completions::{self, CompletionsArguments};
use super::config::Origins;
use super::export::{self, ExportArguments};
use super::fetch::{self, FetchArguments};
use super::hints::HintArguments;
use super::report::ReportArguments;
use super::sweep::{self, SweepArguments};
use super::threads::MAX_THREADS;
use super::{help, inspect, manual, predict};

const EXAMPLES: &str = "\
Examples:
  flatnet                                 the reference recipe, into runs/1
  flatnet --epochs 20 --out runs/short    the same, shorter
  flatnet --layers linear:128,relu,linear:10 --optimizer adamw --lr 0.001
  flatnet evaluate --model runs/1/model.safetensors
  flatnet evaluate --model runs/1/model.safetensors --sample run
  flatnet bench                           what training costs on this machine
  flatnet predict --model runs/1/model.safetensors seven.png
  flatnet inspect data/mnist              what a set, a file or a model holds
  flatnet export --model runs/1 --to onnx --out digits.onnx
  flatnet fetch fashion-mnist && flatnet --data data/fashion-mnist
  flatnet report runs/1 runs/2            two runs in one page
  flatnet sweep --seeds 0..9 --out runs/seeds      ten runs side by side

Exit codes: 0 done, 1 failed (one line on stderr), 2 wrong usage, 130
interrupted: after Ctrl-C a run keeps the epochs that it has completed.";

const TRAIN_EXAMPLES: &str = "\
Examples:
  flatnet train --epochs 20 --out runs/short
  flatnet train --layers linear:128,relu,linear:10 --lr 0.1
  flatnet train --layers linear:256,gelu,dropout:0.2,linear:10 --epochs 20 \
                --optimizer adamw --lr 0.001 --lr-schedule cosine --shuffle epoch
  flatnet train --train-samples all --val-samples all --json > run.json
  flatnet train --data rows.csv --target price --missing mean --out runs/price
  flatnet train --data rows.csv --target species --folds 5
  flatnet train --tensorboard logs/first && tensorboard --logdir logs
  flatnet train --log-format jsonl 2> epochs.jsonl
  flatnet train --config runs/1/recipe.toml --out runs/again   the same bits

Files in --out: summary.json, epochs.csv, batches.csv, sample.csv,
model.safetensors, recipe.toml, and for people report.html and graphs/*.svg.";

const EVALUATE_EXAMPLES: &str = "\
Examples:
  flatnet evaluate --model runs/1/model.safetensors
  flatnet evaluate --model runs/1/model.safetensors --sample run --json
  flatnet evaluate --model runs/1 --predictions predictions.csv

A precision, recall or F1 that would divide nothing by nothing is shown as -,
and left out of averages. In the file of --predictions, row counts from 0 in
the split's own files, and p_0, p_1, ... are the probabilities of the classes.
Of labels it has label_x and p_x, of values x and predicted_x, for each column
x; errors of values are in the units of their column.

Models of PyTorch, Keras and scikit-learn are read from safetensors files as
well: weights and biases of linear layers. What such a file does not say is
taken as ReLU and pixels / 255, unless flags say otherwise:
  flatnet evaluate --model torch.safetensors --normalize 0.1307,0.3081
  flatnet evaluate --model keras.safetensors --activation tanh --input-scale 1";

const BENCH_EXAMPLES: &str = "\
Examples:
  flatnet bench
  flatnet bench --json > bench.json

It takes less than 20 seconds. Run it on a machine that does nothing else. The
images are those of data/mnist if it is found, here or in flatnet's own folder,
else synthetic ones.";

/// Trains small dense neural networks on CPUs. Without a command: `train`.
#[derive(Debug, Parser)]
#[command(name = "flatnet", version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
#[command(max_term_width = 80)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub train: TrainArguments,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one of it, for the whole program")]
pub enum Command {
    /// Train a network, validate it after every epoch, and keep the run's files
    #[command(after_help = TRAIN_EXAMPLES)]
    Train(TrainArguments),
    /// Train every combination of settings and seeds, side by side
    #[command(after_help = sweep::EXAMPLES)]
    Sweep(SweepArguments),
    /// Measure how well a saved model tells the classes of a data set apart
    #[command(after_help = EVALUATE_EXAMPLES)]
    Evaluate(EvaluateArguments),
    /// Measure this machine: training steps by network, kernel and threads
    #[command(after_help = BENCH_EXAMPLES)]
    Bench(BenchArguments),
    /// Tell what a saved model sees in PNG, JPEG, BMP, GIF or PNM pictures
    #[command(after_help = predict::EXAMPLES)]
    Predict(predict::PredictArguments),
    /// Tell what an IDX file, a data folder or a model holds
    #[command(after_help = inspect::EXAMPLES)]
    Inspect(inspect::InspectArguments),
    /// Write a saved model as ONNX, a C header, or for PyTorch
    #[command(after_help = export::EXAMPLES)]
    Export(ExportArguments),
    /// Download a known data set and check it
    #[command(after_help = fetch::EXAMPLES)]
    Fetch(FetchArguments),
    /// Print completions for a shell
    #[command(after_help = completions::EXAMPLES)]
    Completions(CompletionsArguments),
    /// Print the manual page
    #[command(after_help = manual::EXAMPLES)]
    Man,
    /// Make a run's page and graphs again, or lay several runs over one another
    Report(ReportArguments),
}

#[derive(Debug, Args)]
pub struct TrainArguments {
    /// The names of those that were typed; the others have their defaults.
    #[arg(skip)]
    pub typed: BTreeSet<String>,
    /// All words of the command behind its name.
    #[arg(skip)]
    pub words: Vec<OsString>,
    /// A TOML file of settings: keys are the names of flags, such as lr = 0.1 or
    /// layers = "linear:10"; nesterov = true for a flag without a value. Flags win
    /// over it; paths in it start at its folder. Each run keeps its own as
    /// recipe.toml [default: none]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Of the settings in that file, the lines.
    #[arg(skip)]
    pub origins: Origins,

    /// A folder with a set's four IDX files, or with a folder of pictures for each
    /// class; or a table: CSV, NumPy's .npy and .npz, IDX, LIBSVM; each may be
    /// gzip [default: data/mnist, here or else in flatnet's own folder]
    #[arg(long, value_name = "PATH", help_heading = "Data")]
    pub data: Option<PathBuf>,
    /// What to validate on, in a file or folder of its own [default: the test
    /// files of --data, else rows held out by --val-split]
    #[arg(long, value_name = "PATH", help_heading = "Data")]
    pub val_data: Option<PathBuf>,
    /// Hold out this share of the rows, of every class alike, by the seed
    /// [default: 0.2 where there are no test files]
    #[arg(long, value_name = "X", allow_hyphen_values = true, help_heading = "Data", value_parser = real)]
    pub val_split: Option<f64>,
    /// Train K times, each time with another K-th of the rows held out, and
    /// give mean and spread; a run for each in --out [default: once]
    #[arg(long, value_name = "K", allow_negative_numbers = true, help_heading = "Data", value_parser = folds)]
    #[arg(conflicts_with_all = ["fold", "val_split", "val_data", "resume", "overwrite", "tensorboard"])]
    pub folds: Option<usize>,
    /// Hold out this part of a cross-validation, such as 2/5 [default: none]
    #[arg(long, value_name = "I/K", help_heading = "Data", conflicts_with_all = ["val_split", "val_data"])]
    #[arg(value_parser = fold)]
    pub fold: Option<Fold>,
    /// Training samples, drawn without replacement by the seed
    /// [default: 30000 of MNIST, all of any other set]
    #[arg(long, value_name = "N|all", help_heading = "Data", allow_negative_numbers = true)]
    pub train_samples: Option<SampleSize>,
    /// Validation samples, drawn likewise
    /// [default: 5000 of MNIST's test images, all of any other set]
    #[arg(long, value_name = "N|all", help_heading = "Data", allow_negative_numbers = true)]
    pub val_samples: Option<SampleSize>,
    /// A file of targets (.npy, IDX) for a --data that has none in it
    /// [default: none]
    #[arg(long, value_name = "FILE", help_heading = "Data")]
    pub targets: Option<PathBuf>,
    /// Rows x columns to which pictures of any size are brought
    /// [default: 28x28]
    #[arg(long, value_name = "RxC", help_heading = "Data", value_parser = image_size)]
    pub image_size: Option<String>,
    /// How pixels become inputs: unit is x / 255, standard is (x - mean) / std
    /// with mean and std of the training sample
    #[arg(long, value_enum, default_value = "unit", help_heading = "Data", hide_possible_values = true)]
    #[arg(value_name = "unit|standard")]
    pub scale: ScaleKind,

    /// The column to predict, by name or number from 1, or several of them,
    /// separated by commas [default: one named target, label, class or y]
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',', help_heading = "Table")]
    pub target: Vec<String>,
    /// What to predict: classify, multi-label (several targets of 0 and 1) or
    /// regress (numbers) [default: what the targets are, which is told]
    #[arg(long, value_enum, value_name = "TASK", help_heading = "Table", hide_possible_values = true)]
    pub task: Option<Task>,
    /// Columns of numbers become (x - center) / scale, both of the training
    /// rows: standard (mean, deviation), min-max, robust (median, quartiles) or
    /// none [default: standard; x / 255 for 64 columns or more of pixels]
    #[arg(long, value_enum, value_name = "HOW", help_heading = "Table", hide_possible_values = true)]
    pub transform: Option<Transform>,
    /// Cells without a value: error, mean (of the column) or drop (the row)
    #[arg(long, value_enum, default_value = "error", value_name = "HOW", help_heading = "Table")]
    #[arg(hide_possible_values = true)]
    pub missing: Missing,
    /// Columns of words that may look like numbers, separated by commas; each
    /// word is an input of its own [default: columns that begin with a word]
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',', help_heading = "Table")]
    pub text_columns: Vec<String>,
    /// Whether the first row holds names: true or false [default: found out]
    #[arg(long, value_name = "BOOL", help_heading = "Table", hide_possible_values = true)]
    pub header: Option<bool>,
    /// Learn numbers as they are, not from their mean in units of their
    /// standard deviation
    #[arg(long, help_heading = "Table")]
    pub raw_targets: bool,

    #[arg(long, value_name = "LAYER,...", value_parser = layers, help_heading = "Network", help = help::layers())]
    pub layers: Option<LayerSpecs>,
    #[arg(long, default_value = "auto", value_parser = auto_or::<Init>, help_heading = "Network")]
    #[arg(value_name = "INIT", help = help::init())]
    pub init: AutoOr<Init>,
    /// ReLU's backward: straight-through passes every gradient on, as the
    /// reference's code acts; exact is the derivative, with which output units
    /// can die; auto is straight-through for a network that ends in its only
    /// ReLU, else exact. README.md explains the two
    #[arg(long, default_value = "auto", value_parser = auto_or::<ReluGrad>, help_heading = "Network")]
    #[arg(value_name = "GRAD")]
    pub relu_grad: AutoOr<ReluGrad>,

    /// Passes over the training images; 0 keeps the initial model
    #[arg(long, value_name = "N", default_value = "200", value_parser = epochs, help_heading = "Training")]
    #[arg(allow_negative_numbers = true)]
    pub epochs: usize,
    /// Images per step
    #[arg(long, value_name = "N", default_value = "32", value_parser = batch_size, help_heading = "Training")]
    #[arg(allow_negative_numbers = true)]
    pub batch_size: usize,
    /// Learning rate
    #[arg(long, value_name = "X", default_value = "0.01", value_parser = learning_rate)]
    #[arg(allow_hyphen_values = true, help_heading = "Training")]
    pub lr: f32,
    /// Decides samples, initial weights and shuffling
    #[arg(long, value_name = "N", default_value = "0", help_heading = "Training", allow_negative_numbers = true)]
    #[arg(value_parser = seed)]
    pub seed: u64,
    /// Keep the drawn order of samples, or draw a new one every epoch: of all of
    /// them, or in blocks that lie near each other in the file
    #[arg(long, value_enum, default_value = "never", help_heading = "Training", hide_possible_values = true)]
    #[arg(value_name = "never|epoch|blocks")]
    pub shuffle: Shuffle,
    /// Leave samples in their files and read them as they are needed, for data
    /// larger than memory; with --shuffle blocks or never
    #[arg(long, help_heading = "Training")]
    pub stream: bool,

    /// End after so many epochs in a row without a better one [default: never]
    #[arg(long, value_name = "N", help_heading = "Stopping", allow_negative_numbers = true)]
    #[arg(value_parser = at_least_one)]
    pub patience: Option<usize>,
    /// By how much more than nothing an epoch must be better to count as better
    #[arg(long, value_name = "X", default_value = "0", help_heading = "Stopping", allow_hyphen_values = true)]
    #[arg(value_parser = real)]
    pub min_delta: f64,
    /// What tells better from worse, for --patience and best.safetensors:
    /// val-loss or val-accuracy
    #[arg(long, value_enum, default_value = "val-loss", help_heading = "Stopping", hide_possible_values = true)]
    #[arg(value_name = "FIGURE")]
    pub monitor: Monitor,
    /// End after so many seconds, with the batch at hand [default: never]
    #[arg(long, value_name = "S", help_heading = "Stopping", allow_hyphen_values = true)]
    #[arg(value_parser = seconds)]
    pub max_seconds: Option<f64>,
    /// Write a checkpoint after every so many epochs [default: by time alone]
    #[arg(long, value_name = "N", help_heading = "Stopping", allow_negative_numbers = true)]
    #[arg(value_parser = at_least_one)]
    pub checkpoint_every: Option<usize>,
    /// Write a checkpoint whenever so many seconds have passed [default: 60, and
    /// more where one takes longer than 0.6 s; none with --checkpoint-every]
    #[arg(long, value_name = "S", help_heading = "Stopping", allow_hyphen_values = true)]
    #[arg(value_parser = seconds)]
    pub checkpoint_seconds: Option<f64>,
    /// Keep the last so many checkpoints [default: 3]
    #[arg(long, value_name = "K", help_heading = "Stopping", allow_negative_numbers = true)]
    #[arg(value_parser = at_least_one)]
    pub keep_checkpoints: Option<usize>,
    /// Go on with a run from its newest checkpoint, or from the one named, as if
    /// it had never ended; in its own folder unless --out names another. Settings
    /// are the run's; --epochs, --threads and what is output may change
    /// [default: a new run]
    #[arg(long, value_name = "RUN|FILE", help_heading = "Stopping")]
    pub resume: Option<PathBuf>,

    #[arg(long, value_name = "NAME", default_value = "sgd", help_heading = "Optimizer", help = help::optimizer())]
    pub optimizer: String,
    /// Share of the last step that is taken again (sgd, rmsprop) [default: 0]
    #[arg(long, value_name = "X", allow_hyphen_values = true, help_heading = "Optimizer")]
    #[arg(value_parser = real)]
    pub momentum: Option<f64>,
    /// Look ahead along the momentum before the step (sgd)
    #[arg(long, help_heading = "Optimizer")]
    pub nesterov: bool,
    /// Pull of weights towards 0 [default: 0; of adamw 0.01]
    #[arg(long, value_name = "X", allow_hyphen_values = true, help_heading = "Optimizer")]
    #[arg(value_parser = real)]
    pub weight_decay: Option<f64>,
    /// Leave biases out of weight decay
    #[arg(long, help_heading = "Optimizer")]
    pub no_bias_decay: bool,
    /// How long gradients are remembered (the Adam family) [default: 0.9]
    #[arg(long, value_name = "X", allow_hyphen_values = true, help_heading = "Optimizer")]
    #[arg(value_parser = real)]
    pub beta1: Option<f64>,
    /// How long squared gradients are remembered (adam, adamw) [default: 0.999]
    #[arg(long, value_name = "X", allow_hyphen_values = true, help_heading = "Optimizer")]
    #[arg(value_parser = real)]
    pub beta2: Option<f64>,
    /// What keeps a division from 0 (all but sgd) [default: PyTorch's]
    #[arg(long, value_name = "X", allow_hyphen_values = true, help_heading = "Optimizer")]
    #[arg(value_parser = real)]
    pub eps: Option<f64>,
    /// Scale gradients down to this norm over all parameters [default: none]
    #[arg(long, value_name = "X", allow_hyphen_values = true, help_heading = "Optimizer")]
    #[arg(value_parser = real_f32)]
    pub clip_norm: Option<f32>,
    #[arg(long, value_name = "SCHEDULE", default_value = "constant", value_parser = lr_schedule)]
    #[arg(help_heading = "Optimizer", help = help::lr_schedule())]
    pub lr_schedule: String,
    /// Epochs in which the learning rate rises to where its schedule begins
    #[arg(long, value_name = "N", default_value = "0", value_parser = epochs, help_heading = "Optimizer")]
    #[arg(allow_negative_numbers = true)]
    pub warmup_epochs: usize,

    #[arg(long, value_name = "NAME", value_parser = loss, help_heading = "Loss", help = help::loss())]
    pub loss: Option<String>,
    /// Share of the target that is spread over all classes, at least 0, below 1
    #[arg(long, value_name = "X", default_value = "0", allow_hyphen_values = true, help_heading = "Loss")]
    #[arg(value_parser = real_f32)]
    pub label_smoothing: f32,
    /// Weights of classes in the loss: balanced, by how often each stands in
    /// the training sample, or one number for each class, separated by commas,
    /// or a file of them, separated by commas, spaces or lines [default: none]
    #[arg(long, value_name = "balanced|X,X,...|FILE", help_heading = "Loss")]
    pub class_weights: Option<PathBuf>,

    /// Threads, and no more than the cores this process may use; results are the
    /// same for any number [default: RAYON_NUM_THREADS, else those cores]
    #[arg(long, value_name = "N", value_parser = threads, help_heading = "Machine", allow_negative_numbers = true)]
    pub threads: Option<usize>,
    /// What threads and MPI ranks share: features cuts the network, samples cuts
    /// each batch, from 512 samples on; auto takes what moves less. Either gives
    /// the same bits for any number of both
    #[arg(long, value_enum, default_value = "auto", help_heading = "Machine", hide_possible_values = true)]
    #[arg(value_name = "auto|features|samples")]
    pub parallel: Parallel,
    /// How ranks add gradients up: fixed gives the same bits for any number of
    /// them; fast takes MPI's order
    #[arg(long, value_enum, default_value = "fixed", help_heading = "Machine", hide_possible_values = true)]
    #[arg(value_name = "fixed|fast")]
    pub reduce: Reduce,
    /// Vector instructions: auto, avx512, avx2, fallback
    #[arg(long, value_enum, default_value = "auto", help_heading = "Machine", hide_possible_values = true)]
    #[arg(value_name = "LEVEL")]
    pub simd: SimdChoice,
    /// Kernels for linear layers: auto, gemm, narrow
    #[arg(long, value_enum, default_value = "auto", help_heading = "Machine", hide_possible_values = true)]
    #[arg(value_name = "KERNEL")]
    pub kernel: KernelChoice,

    /// Folder for the run's files [default: runs/1, runs/2, ...: the first free]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Replace the run that --out holds, once the new one is complete
    #[arg(long, requires = "out", help_heading = "Output")]
    pub overwrite: bool,
    /// No report.html and no graphs; flatnet report makes them later
    #[arg(long, help_heading = "Output")]
    pub no_report: bool,
    /// Print the summary as one JSON object instead of a table
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// No progress on stderr, but for the objects of --log-format jsonl
    #[arg(long, help_heading = "Output")]
    pub quiet: bool,
    /// Progress on stderr: plain, or jsonl for one JSON object per epoch
    #[arg(long, value_enum, default_value = "plain", help_heading = "Output", hide_possible_values = true)]
    #[arg(value_name = "plain|jsonl")]
    pub log_format: LogFormat,
    /// Write event files for TensorBoard below this folder, which must hold no
    /// others [default: none]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub tensorboard: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct EvaluateArguments {
    /// A model.safetensors, or the folder of a run
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,
    /// Samples with their targets, as train takes them [default: those of the
    /// model's run with --sample run, else data/mnist as in train]
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// A file of targets for a --data that has none in it [default: none]
    #[arg(long, value_name = "FILE")]
    pub targets: Option<PathBuf>,
    /// Which samples
    #[arg(long, value_enum, default_value = "test", value_name = "test|train", hide_possible_values = true)]
    pub split: SplitChoice,
    /// All of them, or the rows that the model's run drew
    #[arg(long, value_enum, default_value = "all", value_name = "all|run", hide_possible_values = true)]
    pub sample: Sample,
    /// Write a CSV file with a row per sample: its targets, what is predicted,
    /// and the probability of every class or label [default: none]
    #[arg(long, value_name = "FILE")]
    pub predictions: Option<PathBuf>,
    /// Replace the file at --predictions
    #[arg(long, requires = "predictions")]
    pub overwrite: bool,
    #[command(flatten)]
    pub hints: HintArguments,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct BenchArguments {
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Plain,
    Jsonl,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SplitChoice {
    Test,
    Train,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Sample {
    All,
    Run,
}

/// The bundled set, from wherever the program is started.
pub const DEFAULT_DATA: &str = "data/mnist";

pub fn default_data() -> PathBuf {
    let here = PathBuf::from(DEFAULT_DATA);
    let crates_own = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/data/mnist"));
    if !here.is_dir() && crates_own.is_dir() { crates_own } else { here }
}

impl Arguments {
    /// Reads the command line, and which of the settings of a training were typed.
    pub fn read(words: &[OsString]) -> Result<Arguments, clap::Error> {
        let matches = Arguments::command().try_get_matches_from(words)?;
        let mut arguments = Arguments::from_arg_matches(&matches)?;
        let (of, train) = match &mut arguments.command {
            None => (&matches, &mut arguments.train),
            Some(Command::Train(train)) => match matches.subcommand() {
                Some((_, of)) => (of, train),
                None => return Ok(arguments),
            },
            Some(_) => return Ok(arguments),
        };
        let is_typed = |id: &&clap::Id| of.value_source(id.as_str()) == Some(ValueSource::CommandLine);
        let command = usize::from(matches.subcommand_name().is_some());
        train.words = words.iter().skip(1 + command).cloned().collect();
        train.typed = of.ids().filter(is_typed).map(|id| id.as_str().to_string()).collect();
        Ok(arguments)
    }
}

impl TrainArguments {
    pub fn data(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(default_data)
    }
}

/// Bounds that keep a slip of the finger from asking for more memory than there is.
pub const MAX_EPOCHS: usize = 1_000_000;
const MAX_BATCH_SIZE: usize = 1_000_000;
/// Three hundred years.
const MAX_SECONDS: f64 = 1e10;

fn number(text: &str, least: usize, most: usize) -> Result<usize, String> {
    text.parse().ok().filter(|n| (least..=most).contains(n)).ok_or_else(|| format!("expected {least} to {most}"))
}

fn epochs(text: &str) -> Result<usize, String> {
    number(text, 0, MAX_EPOCHS)
}

fn batch_size(text: &str) -> Result<usize, String> {
    number(text, 1, MAX_BATCH_SIZE)
}

fn at_least_one(text: &str) -> Result<usize, String> {
    number(text, 1, MAX_EPOCHS)
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: Option<f64> = text.parse().ok().filter(|seconds| *seconds > 0.0 && *seconds <= MAX_SECONDS);
    seconds.ok_or_else(|| format!("expected a number above 0, at most {MAX_SECONDS}"))
}

pub fn threads(text: &str) -> Result<usize, String> {
    number(text, 1, MAX_THREADS)
}

fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("expected a whole number from 0 to {}", u64::MAX))
}

/// Whether it is within its domain, the library says.
fn real(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| "expected a number, such as 0.9".into())
}

fn real_f32(text: &str) -> Result<f32, String> {
    text.parse().map_err(|_| "expected a number, such as 0.9".into())
}

fn learning_rate(text: &str) -> Result<f32, String> {
    let rate: Option<f32> = text.parse().ok().filter(|rate: &f32| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| "expected a positive number, such as 0.01".into())
}

/// A choice, or `auto` for the one that suits the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AutoOr<T>(pub Option<T>);

fn auto_or<T: FromStr<Err = Error>>(text: &str) -> Result<AutoOr<T>, String> {
    match text {
        "auto" => Ok(AutoOr(None)),
        name => name.parse().map(|choice| AutoOr(Some(choice))).map_err(|error| {
            let expected = match error {
                Error::Setting { expected, .. } => expected,
                other => other.to_string(),
            };
            format!("expected auto, {expected}")
        }),
    }
}

/// What is wrong, without the name of the flag: clap has named it already.
pub fn without_name(error: Error) -> String {
    match error {
        Error::Setting { found, expected, .. } => format!("{found} is not valid: expected {expected}"),
        other => other.to_string(),
    }
}

fn layers(text: &str) -> Result<LayerSpecs, String> {
    text.parse().map_err(without_name)
}

fn loss(text: &str) -> Result<String, String> {
    flatnet::loss::parse(text).map(|loss| loss.spec()).map_err(without_name)
}

fn image_size(text: &str) -> Result<String, String> {
    run::image_size(text).map(|_| text.to_string()).map_err(without_name)
}

fn fold(text: &str) -> Result<Fold, String> {
    text.parse().map_err(without_name)
}

/// More parts than that are more runs than anybody waits for.
pub fn folds(text: &str) -> Result<usize, String> {
    number(text, 2, 1000)
}

fn lr_schedule(text: &str) -> Result<String, String> {
    schedule::parse(text).map(|_| text.to_string()).map_err(without_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn train(words: &[&str]) -> Result<TrainArguments, clap::Error> {
        Arguments::try_parse_from(std::iter::once("flatnet").chain(words.iter().copied())).map(|arguments| {
            match arguments.command {
                Some(Command::Train(train)) => train,
                None => arguments.train,
                Some(_) => panic!("asked for training"),
            }
        })
    }

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_defaults_are_the_reference_recipe_with_and_without_the_command() {
        for words in [&[][..], &["train"]] {
            let train = train(words).unwrap();
            // Those of the set decide: 30,000 and 5,000 of MNIST, and `linear:10,relu`.
            assert_eq!((train.train_samples, train.val_samples, train.layers), (None, None, None));
            assert_eq!((train.epochs, train.batch_size, train.lr, train.seed), (200, 32, 0.01, 0));
            assert_eq!((train.shuffle, train.scale), (Shuffle::Never, ScaleKind::Unit));
            assert_eq!((train.init, train.relu_grad), (AutoOr(None), AutoOr(None)));
            assert_eq!((train.optimizer.as_str(), train.lr_schedule.as_str()), ("sgd", "constant"));
            assert_eq!((train.simd, train.kernel), (SimdChoice::Auto, KernelChoice::Auto));
        }
    }

    #[test]
    fn flags_take_the_names_that_files_and_the_library_have() {
        fn check<T: ValueEnum + PartialEq + std::fmt::Debug + ToString + std::str::FromStr<Err = Error>>() {
            for choice in T::value_variants() {
                let name = choice.to_possible_value().unwrap().get_name().to_string();
                assert_eq!((choice.to_string(), &name.parse::<T>().unwrap()), (name, choice));
            }
            let expected = T::value_variants().iter().map(T::to_string).collect::<Vec<_>>().join(", ");
            let expected = expected.rsplit_once(", ").map(|(others, last)| format!("{others} or {last}")).unwrap();
            let message = "other".parse::<T>().unwrap_err().to_string();
            assert!(message.ends_with(&format!(": 'other' is not valid: expected {expected}")), "{message}");
        }
        check::<ScaleKind>();
        check::<Task>();
        check::<Transform>();
        check::<Missing>();
        check::<Shuffle>();
        check::<Parallel>();
        check::<Reduce>();
        check::<Init>();
        check::<ReluGrad>();
        check::<SimdChoice>();
        check::<KernelChoice>();
    }

    #[test]
    fn flags_work_with_and_without_the_command() {
        for words in [&["--epochs", "5", "--lr", "0.5"][..], &["train", "--epochs", "5", "--lr", "0.5"]] {
            let train = train(words).unwrap();
            assert_eq!((train.epochs, train.lr), (5, 0.5));
        }
    }

    #[test]
    fn values_outside_their_domain_are_refused() {
        for (flag, value) in [
            ("--batch-size", "0"),
            ("--batch-size", "-1"),
            ("--batch-size", "1e9"),
            ("--epochs", "-1"),
            ("--epochs", "99999999999999999999"),
            ("--threads", "0"),
            ("--threads", "4000000000"),
            ("--train-samples", "0"),
            ("--val-samples", "some"),
            ("--lr", "0"),
            ("--lr", "-1"),
            ("--lr", "-inf"),
            ("--lr", "nan"),
            ("--lr", "inf"),
            ("--lr", "1e39"),
            ("--lr", "1e-60"),
            ("--lr", "abc"),
            ("--layers", "dense:10"),
            ("--seed", "-1"),
            ("--shuffle", "always"),
        ] {
            let error = train(&[flag, value]).unwrap_err().to_string();
            assert!(error.contains(flag) && error.contains(&format!("'{value}'")), "{error}");
        }
        assert!(train(&["--overwrite"]).unwrap_err().to_string().contains("--out <DIR>"));
    }

    #[test]
    fn every_help_fits_80_columns_and_gives_defaults_and_examples() {
        let mut command = Arguments::command();
        let commands: Vec<String> = command.get_subcommands().map(|part| part.get_name().to_string()).collect();
        for name in std::iter::once("").chain(commands.iter().map(String::as_str)) {
            let part = if name.is_empty() { &mut command } else { command.find_subcommand_mut(name).unwrap() };
            let help = part.render_long_help().to_string();
            assert!(help.contains("\nExamples:\n  flatnet"), "{name} has no example");
            for line in help.lines() {
                assert!(line.chars().count() <= 80, "{line}");
            }
            for argument in part.get_arguments().filter(|argument| argument.get_action().takes_values()) {
                let has_default = !argument.get_default_values().is_empty() || argument.is_required_set();
                let told = argument.get_help().is_some_and(|help| help.to_string().contains("[default: "));
                assert!(has_default || told, "{name} --{}", argument.get_id());
            }
        }
    }
}
