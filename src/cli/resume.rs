//! `flatnet train --resume`: the checkpoint that a run goes on from, and which settings may be other ones than the run's. It
//! knows flags and recipes, not how training goes on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use flatnet::data::Reading;
use flatnet::optim::schedule::Position;
use flatnet::run::{Checkpoint, Destination, Existing, Recipe, RunData, checkpoint, checkpoints, folder};
use flatnet::train::EpochRecord;
use flatnet::{Error, Result};
use serde_json::Value;

use super::args::{MAX_EPOCHS, TrainArguments};
use super::own_data::{Given, OwnData};
use super::tell;

/// Flags that change nothing of what has been trained, and those that have no place in a recipe.
const MAY_CHANGE: [&str; 22] = [
    "epochs",
    "threads",
    "stream",
    "simd",
    "out",
    "overwrite",
    "no_report",
    "json",
    "quiet",
    "log_format",
    "tensorboard",
    "patience",
    "min_delta",
    "max_seconds",
    "checkpoint_every",
    "checkpoint_seconds",
    "keep_checkpoints",
    "resume",
    // Looked at when the data are there.
    "data",
    "val_data",
    "targets",
    "class_weights",
];
/// Flags that are settings of the optimizer, and where the recipe has them.
const OF_OPTIMIZER: [(&str, &str); 7] = [
    ("momentum", "momentum"),
    ("nesterov", "nesterov"),
    ("weight_decay", "weight_decay"),
    ("no_bias_decay", "decay_biases"),
    ("beta1", "beta1"),
    ("beta2", "beta2"),
    ("eps", "eps"),
];

/// A run that goes on.
pub struct Resumed {
    pub file: PathBuf,
    pub checkpoint: Checkpoint,
    /// The run's folder, if the checkpoint lies in one.
    run: Option<PathBuf>,
}

impl Resumed {
    /// The checkpoint at `from`, or the newest one of the run there.
    pub fn open(from: &Path) -> Result<Resumed> {
        let (file, checkpoint, run) = if from.is_dir() {
            let skipped = |error: &Error| tell("warning", &format!("{error}; the one before it is tried"));
            let (file, checkpoint) = checkpoints::newest(from, skipped)?;
            (file, checkpoint, Some(from.to_path_buf()))
        } else {
            (from.to_path_buf(), checkpoint::read(from)?, checkpoints::run_of(from))
        };
        if checkpoint.recipe.epochs > MAX_EPOCHS {
            let (place, problem) = ("metadata recipe".into(), format!("more than {MAX_EPOCHS} epochs"));
            return Err(Error::Model { path: file, place, problem });
        }
        Ok(Resumed { file, checkpoint, run })
    }

    /// The settings of the run, with those in `typed`, a recipe of the flags, that may be other ones.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first flag that would make another run of what has been trained.
    pub fn recipe(&self, arguments: &TrainArguments, typed: &Recipe) -> Result<Recipe> {
        let own = &self.checkpoint.recipe;
        let (of_run, of_flags) = (json(own)?, json(typed)?);
        for flag in arguments.typed.iter().filter(|flag| !MAY_CHANGE.contains(&flag.as_str())) {
            let of_optimizer = OF_OPTIMIZER.iter().find(|(name, _)| name == flag);
            let value = |recipe: &Value| match of_optimizer {
                Some((_, name)) => recipe["optimizer_settings"][name].clone(),
                None => recipe[flag].clone(),
            };
            let (run, asked) = (value(&of_run), value(&of_flags));
            if run != asked {
                return Err(Error::Setting {
                    name: setting(flag),
                    found: shown(&asked),
                    expected: format!(
                        "{}, as the run that goes on has it: another one would change what it has trained",
                        shown(&run)
                    ),
                });
            }
        }
        let is_typed = |flag: &str| arguments.typed.contains(flag);
        let mut recipe = Recipe {
            threads: typed.threads,
            overwrite: typed.overwrite,
            json: typed.json,
            quiet: typed.quiet,
            no_report: typed.no_report,
            ..own.clone()
        };
        if is_typed("epochs") {
            recipe.epochs = typed.epochs;
        }
        if is_typed("stream") {
            recipe.stream = typed.stream;
        }
        if is_typed("simd") {
            recipe.simd = typed.simd;
        }
        if is_typed("patience") {
            recipe.patience = typed.patience;
        }
        if is_typed("min_delta") {
            recipe.min_delta = typed.min_delta;
        }
        if is_typed("max_seconds") {
            recipe.max_seconds = typed.max_seconds;
        }
        if is_typed("checkpoint_every") || is_typed("checkpoint_seconds") {
            (recipe.checkpoint_every, recipe.checkpoint_seconds) = (typed.checkpoint_every, typed.checkpoint_seconds);
        }
        if is_typed("keep_checkpoints") {
            recipe.keep_checkpoints = typed.keep_checkpoints;
        }
        self.check_epochs(&recipe)?;
        Ok(recipe)
    }

    /// That there are as many epochs as have been done, and that another number of them leaves the learning rates of the past.
    fn check_epochs(&self, recipe: &Recipe) -> Result<()> {
        let (own, state) = (&self.checkpoint.recipe, &self.checkpoint.state);
        let refuse =
            |expected: String| Err(Error::Setting { name: "epochs", found: recipe.epochs.to_string(), expected });
        let begun = state.epoch + usize::from(state.batch > 0);
        if recipe.epochs < begun {
            return refuse(format!("at least {begun}, which have been trained or begun"));
        }
        if recipe.epochs == own.epochs {
            return Ok(());
        }
        let schedule = own.schedule()?;
        let batches = self.checkpoint.data.train_samples.div_ceil(own.batch_size);
        let losses: Vec<f64> = state.history.epochs.iter().map(|epoch: &EpochRecord| epoch.val_loss).collect();
        /// Of a long run, so many steps are looked at.
        const STEPS: usize = 1 << 14;
        let steps = state.epoch * batches + state.batch;
        for step in (0..steps).step_by(steps.div_ceil(STEPS).max(1)) {
            let rate = |epochs: usize| {
                let position = Position::new(step as u64, batches as u64, epochs, &losses[..step / batches]);
                (schedule.lr(f64::from(own.lr), &position) as f32).to_bits()
            };
            if rate(own.epochs) != rate(recipe.epochs) {
                return refuse(format!(
                    "{}, as the run has it: by its lr_schedule {} the learning rates of the epochs that are done depend on it",
                    own.epochs, own.lr_schedule
                ));
            }
        }
        Ok(())
    }

    /// The run's samples, from where the flags say or from where they lie; and that place. In a `reading` with others they
    /// stay there where they can.
    pub fn load(&self, arguments: &TrainArguments, reading: Option<Arc<Reading>>) -> Result<(RunData, PathBuf)> {
        let Checkpoint { recipe, data, .. } = &self.checkpoint;
        let own = OwnData {
            recipe,
            reading,
            run_folder: self.run.as_deref(),
            summary: Some(data),
            train_sha256: data.train_sha256.as_deref(),
            val_sha256: data.val_sha256.as_deref(),
        };
        let (samples, place) = own.load(&Given {
            data: arguments.data.as_deref(),
            val_data: arguments.val_data.as_deref(),
            targets: arguments.targets.as_deref(),
        })?;
        let (train, val) = (&samples.train, &samples.val);
        let (counts, expected) = ((train.len(), val.len()), (data.train_samples, data.val_samples));
        if counts != expected || train.features() != data.features || train.classes() != data.classes {
            return Err(Error::DataFolder {
                path: place,
                problem: "holds other data than those of the run; name the place of its own".into(),
            });
        }
        Ok((samples, place))
    }

    /// Where the run goes on, and whether that is its own folder.
    pub fn destination(&self, arguments: &TrainArguments) -> Result<(Destination, bool)> {
        let is_own = |out: &Path| {
            let run = self.run.as_ref().and_then(|run| run.canonicalize().ok());
            run.is_some() && run == out.canonicalize().ok()
        };
        match (&arguments.out, &self.run) {
            (Some(out), _) if !is_own(out) => {
                let existing = if arguments.overwrite { Existing::Replace } else { Existing::Refuse };
                Ok((Destination::At(out.clone(), existing), false))
            }
            (_, Some(run)) => Ok((Destination::At(run.clone(), Existing::GoOn), true)),
            (_, None) => Err(Error::Setting {
                name: "out",
                found: "no folder".into(),
                expected: format!(
                    "one to go on in, as {} lies in no run's folder {}",
                    self.file.display(),
                    folder::CHECKPOINTS
                ),
            }),
        }
    }

    /// Whether the checkpoint is of a run that was to replace the one that stands in its folder.
    pub fn was_to_replace(&self) -> bool {
        self.file.parent().is_some_and(|parent| parent.ends_with(folder::UNFINISHED_CHECKPOINTS))
    }
}

fn json(recipe: &Recipe) -> Result<Value> {
    // By way of text, where 0.1 stays 0.1 and does not become the f64 next to an f32.
    let value = serde_json::to_string(recipe).and_then(|text| serde_json::from_str(&text));
    value.map_err(|error| Error::Io { path: "the recipe".into(), action: "write", source: error.into() })
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "none".into(),
        Value::String(text) => format!("'{text}'"),
        other => other.to_string(),
    }
}

/// The name of a flag's setting, which lasts as long as the program: flags are few, and this is its last line.
fn setting(flag: &str) -> &'static str {
    String::leak(flag.to_string())
}
