//! What the program chooses on its own where flags say nothing, once it knows the data: samples, layers, the task; and how it
//! tells of that. It knows settings and data, not training.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flatnet::data::{Dataset, Outputs, Reading, ScaleKind, Task};
use flatnet::loss::balanced_class_weights;
use flatnet::nn::{Init, LayerSpecs, ReluGrad};
use flatnet::report::grouped;
use flatnet::run::{self, DataSettings, HeldOut, Recipe, RunData};
use flatnet::train::Monitor;
use flatnet::{Error, Result};

use super::args::TrainArguments;
use super::progress;

/// The network of the reference recipe, for the set of the reference recipe.
pub const REFERENCE_LAYERS: &str = "linear:10,relu";

/// Units of the hidden layer for any other set: more than most small sets need, and still a second's training.
const HIDDEN_UNITS: usize = 128;

/// The samples that the flags ask for, and where they lie. In a `reading` with others they stay there where they can.
pub fn load(arguments: &TrainArguments, recipe: &Recipe, reading: Option<Arc<Reading>>) -> Result<(RunData, PathBuf)> {
    let place = arguments.data();
    let mut settings = settings(arguments, recipe)?;
    settings.on_disk |= reading.is_some();
    settings.reading = reading;
    let samples = run::load(&place, &settings)?;
    Ok((samples, place))
}

/// What the flags say of data; numbers of samples that they do not say are left to the data.
pub fn settings(arguments: &TrainArguments, recipe: &Recipe) -> Result<DataSettings> {
    let (train_samples, val_samples) = (arguments.train_samples, arguments.val_samples);
    Ok(DataSettings { train_samples, val_samples, ..recipe.data_settings()? })
}

/// Fills in what the data decide.
///
/// # Errors
/// Where the layers asked for do not fit the data, or a setting is one of other data.
pub fn settle(recipe: &mut Recipe, arguments: &TrainArguments, samples: &RunData) -> Result<()> {
    (recipe.train_samples, recipe.val_samples) = (samples.train_samples, samples.val_samples);
    let task = samples.preparation.as_ref().map(|preparation| preparation.outputs.task());
    recipe.task = task.filter(|task| *task != Task::Classify).or(recipe.task);
    check_kind(arguments, samples)?;
    check_task(recipe)?;
    let layers = match &arguments.layers {
        Some(layers) => layers.clone(),
        None if samples.is_of_the_recipe => REFERENCE_LAYERS.parse()?,
        None => format!("linear:{HIDDEN_UNITS},relu,linear:{}", samples.train.outputs()).parse()?,
    };
    check_outputs(&layers, samples)?;
    settle_layers(recipe, arguments, &layers);
    Ok(())
}

/// The layers, and what `auto` means for them.
pub fn settle_layers(recipe: &mut Recipe, arguments: &TrainArguments, layers: &LayerSpecs) {
    let (init, relu_grad) = match layers.ends_in_its_only_relu() {
        true => (Init::UnitNorm, ReluGrad::StraightThrough),
        false => (Init::KaimingUniform, ReluGrad::Exact),
    };
    recipe.layers = layers.to_string();
    recipe.init = arguments.init.0.unwrap_or(init);
    recipe.relu_grad = arguments.relu_grad.0.unwrap_or(relu_grad);
}

/// Flags that say something of data of another kind are slips, and would be passed over in silence.
fn check_kind(arguments: &TrainArguments, samples: &RunData) -> Result<()> {
    let refuse = |name, found: String, expected: &str| Err(Error::Setting { name, found, expected: expected.into() });
    if samples.train.scale().is_none() && arguments.scale != ScaleKind::Unit {
        return refuse(
            "scale",
            arguments.scale.to_string(),
            "unit, as these are no pixels (--transform scales columns)",
        );
    }
    if samples.preparation.is_some() {
        return Ok(());
    }
    if let Some(transform) = arguments.transform {
        return refuse(
            "transform",
            transform.to_string(),
            "nothing here, as these are pictures; leave --transform out (--scale scales pixels)",
        );
    }
    if let Some(task) = arguments.task.filter(|task| *task != Task::Classify) {
        return refuse("task", task.to_string(), "classify, as these are pictures by class");
    }
    if let Some(target) = arguments.target.first() {
        return refuse(
            "target",
            format!("'{target}'"),
            "nothing here, as these are pictures, which have their classes with them; leave --target out",
        );
    }
    Ok(())
}

/// What a task does not have, or what nobody could make anything of.
fn check_task(recipe: &Recipe) -> Result<()> {
    // Values may be judged by any loss of values, which sees to that itself.
    let only = match recipe.task {
        Some(Task::MultiLabel) => Some(("binary-cross-entropy", "each label is there or not")),
        None | Some(Task::Classify) => Some(("cross-entropy", "these are classes")),
        Some(Task::Regress) => None,
    };
    if let Some((only, why)) = only.filter(|(only, _)| recipe.loss().is_ok_and(|loss| loss.spec() != *only)) {
        let found = format!("'{}'", recipe.loss.as_deref().unwrap_or_default());
        let expected = format!("{only}, as {why} (--task regress takes numbers)");
        return Err(Error::Setting { name: "loss", found, expected });
    }
    if recipe.accuracy_name().is_none() && recipe.monitor == Monitor::ValAccuracy {
        let (found, expected) = (recipe.monitor.to_string(), "val-loss, as values are not right or wrong".into());
        return Err(Error::Setting { name: "monitor", found, expected });
    }
    Ok(())
}

fn check_outputs(layers: &LayerSpecs, samples: &RunData) -> Result<()> {
    let (outputs, of) = match samples.preparation.as_ref().map(|preparation| &preparation.outputs) {
        Some(Outputs::MultiLabel { columns }) => (columns.len(), "label"),
        Some(Outputs::Regress { columns }) => (columns.len(), "value"),
        _ => (samples.train.outputs(), "class"),
    };
    if layers.out_features() == Some(outputs) {
        return Ok(());
    }
    let plural = if outputs == 1 { "output" } else { "outputs" };
    let expected = format!("a last linear layer of {outputs} {plural} (linear:{outputs}), one for each {of}");
    Err(Error::Setting { name: "layers", found: format!("'{layers}'"), expected })
}

/// Tells on stderr what was chosen.
pub fn tell_of(recipe: &Recipe, arguments: &TrainArguments, samples: &RunData) {
    if recipe.quiet {
        return;
    }
    for note in notes(recipe, arguments, samples) {
        progress::note(&note, arguments.log_format);
    }
}

fn notes(recipe: &Recipe, arguments: &TrainArguments, samples: &RunData) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(preparation) = samples.preparation.as_ref().filter(|_| arguments.task.is_none()) {
        let outputs = &preparation.outputs;
        let columns = listed(&outputs.columns());
        notes.push(match outputs {
            Outputs::Classify { classes, .. } => {
                format!("{columns} has {} classes ({}); --task regress takes numbers", classes.len(), listed(classes))
            }
            Outputs::MultiLabel { .. } => format!("{columns} are labels of 0 and 1; --task regress takes numbers"),
            Outputs::Regress { .. } => format!("{columns}: numbers to predict; --task classify takes classes"),
        });
    }
    if samples.left_out > 0 {
        notes.push(format!("{} rows are left out, in which something is missing", grouped(samples.left_out)));
    }
    if !samples.constant.is_empty() {
        let (count, names) = (samples.constant.len(), listed(&samples.constant));
        let says = if count == 1 { "column says" } else { "columns say" };
        notes.push(format!("{count} {says} nothing, being the same in every row trained on: {names}"));
    }
    let (train, val) = (grouped(samples.train.len()), grouped(samples.val.len()));
    let is_asked = arguments.train_samples.is_some() && arguments.val_samples.is_some();
    match samples.held_out {
        HeldOut::Share(share) if recipe.val_split.is_none() => {
            notes.push(format!("{train} rows to train on, {val} held out to validate on (--val-split {share})"));
        }
        HeldOut::Files if !samples.is_of_the_recipe && !is_asked => {
            notes.push(format!("{train} samples to train on, {val} to validate on (--train-samples, --val-samples)"));
        }
        _ => {}
    }
    if arguments.layers.is_none() && !samples.is_of_the_recipe {
        notes.push(format!("the network is {} (--layers)", recipe.layers));
    }
    notes
}

/// The first of many names.
fn listed(names: &[impl AsRef<str>]) -> String {
    const SHOWN: usize = 6;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(AsRef::as_ref).collect();
    let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

/// How many samples each class has.
pub fn class_samples(data: &Dataset) -> Vec<usize> {
    let mut counts = vec![0; data.classes()];
    data.labels().iter().for_each(|label| counts[usize::from(*label)] += 1);
    counts
}

/// `balanced`, or one number for each class, or a file of them.
pub fn class_weights(from: &Path, train: &Dataset) -> Result<Vec<f32>> {
    if from == Path::new("balanced") {
        return Ok(balanced_class_weights(&class_samples(train)));
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
