//! Before any run starts: every run's recipe, whether the data suit it, and what its folder holds. It knows recipes and folders,
//! not processes.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};
use flatnet::run::{self, Claim, Ended, Recipe, RunData, Summary, folder, read_summary, resolved};
use flatnet::{Error, Result};

use super::grid::{Axis, Planned};
use crate::cli::args::{Arguments, Command, TrainArguments};
use crate::cli::threads::Threads;
use crate::cli::{chosen, config, in_one_line, told, train};

/// The options of all runs: words behind `train`, the file of `--config` among them.
#[derive(Debug)]
pub struct Common {
    words: Vec<OsString>,
    /// Of `--threads`, where it is asked for.
    pub threads: Option<usize>,
}

/// A run, and what it would do.
#[derive(Debug)]
pub struct Run {
    pub planned: Planned,
    pub folder: PathBuf,
    recipe: Recipe,
    data: PathBuf,
}

/// What a run's folder holds.
#[derive(Debug)]
pub enum State {
    /// Nothing of a run.
    New,
    /// This run, broken off.
    Unfinished,
    /// This run, complete.
    Done(Box<Summary>),
}

impl Common {
    /// Reads the words behind `--`. What the sweep decides for each run is refused there; a file's settings give way to the axes.
    pub fn read(options: &[OsString], axes: &[Axis]) -> std::result::Result<Common, String> {
        let own = |problem: String| format!("behind --: {problem}");
        let options = options.strip_prefix(&["train".into()][..]).unwrap_or(options);
        let words: Vec<OsString> =
            ["flatnet".into(), "train".into()].into_iter().chain(options.iter().cloned()).collect();
        let flags = Arguments::command().ignore_errors(true).try_get_matches_from(&words).ok();
        if let Some((_, flags)) = flags.as_ref().and_then(|flags| flags.subcommand()) {
            let is_given = |id: &str| config::is_given(flags, id);
            if let Some(id) = ["out", "overwrite", "tensorboard", "json", "resume"].into_iter().find(|id| is_given(id))
            {
                return Err(own(format!(
                    "--{id} is not for the runs of a sweep; each has its folder in the sweep's --out"
                )));
            }
            if let Some(axis) = axes.iter().find(|axis| is_given(&axis.id)) {
                return Err(own(format!("--{0} is swept over; leave it out here or there", axis.name)));
            }
        }
        let mut without: Vec<&str> = axes.iter().map(|axis| axis.id.as_str()).collect();
        without.extend(["out", "overwrite", "tensorboard"]);
        let mut words = config::expand(words, &without)?.words;
        let arguments = parsed(&words)?;
        if let Some(path) = &arguments.config {
            // Its settings stand there now, but for those that give way: a run must not read them again.
            let is_flag = |at: usize| words[at] == "--config" && words.get(at + 1).is_some_and(|next| next == path);
            let in_two = (0..words.len()).find(|at| is_flag(*at)).map(|at| at..at + 2);
            let assigned = |word: &OsString| word.to_string_lossy().starts_with("--config=");
            let place = in_two.or_else(|| words.iter().position(assigned).map(|at| at..at + 1));
            place.into_iter().for_each(|place| drop(words.drain(place)));
        }
        let threads = arguments.threads;
        Ok(Common { words, threads })
    }

    /// The words of one run, but for its folder and its threads.
    pub fn words(&self, planned: &Planned) -> Vec<OsString> {
        self.words.iter().skip(1).chain(&planned.words).cloned().collect()
    }
}

fn parsed(words: &[OsString]) -> std::result::Result<TrainArguments, String> {
    match Arguments::try_parse_from(words) {
        Ok(Arguments { command: Some(Command::Train(train)), .. }) => Ok(train),
        Ok(_) => Err("behind --: expected options of train".into()),
        Err(stop) if stop.use_stderr() => Err(in_one_line(&stop, words)),
        Err(_) => Err("behind --: flatnet train --help lists the options".into()),
    }
}

/// What every run would do, and that it could: settings and layers are checked against the data, which are read once for all
/// runs that take the same samples.
pub fn recipes(common: &Common, planned: Vec<Planned>, out: &Path) -> std::result::Result<Vec<Run>, String> {
    let mut sets: HashMap<String, RunData> = HashMap::new();
    let mut runs = Vec::with_capacity(planned.len());
    for planned in planned {
        let words: Vec<OsString> = std::iter::once("flatnet".into()).chain(common.words(&planned)).collect();
        let arguments = parsed(&words).map_err(|problem| format!("{}: {problem}", planned.name))?;
        let folder = out.join(&planned.name);
        let recipe = recipe(&arguments, &mut sets).map_err(|error| format!("{}: {}", planned.name, told(&error)))?;
        runs.push(Run { planned, folder, recipe, data: arguments.data() });
    }
    Ok(runs)
}

fn recipe(arguments: &TrainArguments, sets: &mut HashMap<String, RunData>) -> Result<Recipe> {
    let mut recipe = train::recipe(arguments, &Threads::ONE);
    recipe.trainer()?;
    let mut settings = chosen::settings(arguments, &recipe)?;
    if arguments.class_weights.is_none() {
        // Then nothing that is checked depends on which rows are drawn.
        settings.seed = 0;
    }
    let key = format!("{:?} {settings:?}", arguments.data());
    if !sets.contains_key(&key) {
        sets.insert(key.clone(), run::load(&arguments.data(), &settings)?);
    }
    let samples = &sets[&key];
    chosen::settle(&mut recipe, arguments, samples)?;
    if let Some(from) = &arguments.class_weights {
        recipe.class_weights = Some(chosen::class_weights(from, &samples.train)?);
    }
    recipe.trainer()?;
    recipe.network(samples.train.features())?;
    Ok(recipe)
}

impl Run {
    /// What stands in its folder. A run that was killed on the way to its place is put there first.
    ///
    /// # Errors
    /// [`Error::RunFolder`] where the folder holds something else, or another process has it.
    pub fn state(&self) -> Result<State> {
        if self.folder.join(folder::WORK).exists() {
            drop(Claim::of_existing(&self.folder)?);
        }
        if self.folder.join(folder::SUMMARY).symlink_metadata().is_ok() {
            return self.of_summary(read_summary(&self.folder)?);
        }
        let others = folder::FILES.into_iter().chain([folder::REPORT, folder::GRAPHS, folder::UNFINISHED]);
        match others.into_iter().find(|name| self.folder.join(name).symlink_metadata().is_ok()) {
            Some(name) => Err(self.other(format!("holds {name}, but no whole run; move it away, or sweep elsewhere"))),
            None => Ok(State::New),
        }
    }

    /// Whether it left anything to go on from.
    pub fn has_checkpoints(&self) -> bool {
        self.folder.join(folder::CHECKPOINTS).read_dir().is_ok_and(|mut entries| entries.next().is_some())
    }

    /// Its figures, where it is complete: asked of runs that other machines may be writing.
    pub fn summary(&self) -> Option<Summary> {
        match self.of_summary(read_summary(&self.folder).ok()?) {
            Ok(State::Done(summary)) => Some(*summary),
            _ => None,
        }
    }

    fn of_summary(&self, summary: Summary) -> Result<State> {
        if let Some(difference) = self.difference(&summary) {
            return Err(self.other(format!("holds another run ({difference}); move it away, or sweep elsewhere")));
        }
        let ended = matches!(summary.stopped, Some(Ended::Patience | Ended::MaxSeconds));
        let is_whole = ended || summary.epochs == summary.recipe.epochs;
        Ok(if is_whole { State::Done(Box::new(summary)) } else { State::Unfinished })
    }

    /// The first setting that the run in the folder has otherwise.
    fn difference(&self, summary: &Summary) -> Option<String> {
        let (there, here) = (summary.recipe.without_circumstances(), self.recipe.without_circumstances());
        if there != here {
            let (there, here) = (there.settings().ok()?, here.settings().ok()?);
            let names = there.keys().chain(here.keys());
            let name = names.into_iter().find(|name| there.get(*name) != here.get(*name))?;
            let shown = |value: Option<&serde_json::Value>| value.map_or("not set".into(), ToString::to_string);
            return Some(format!("--{name}: {} there, {} here", shown(there.get(name)), shown(here.get(name))));
        }
        // A set may move together with the runs; where both are found, they must be the same.
        let way = summary.data.folder.as_deref().map(|way| resolved(&self.folder, way));
        let (there, here) = (way?.canonicalize().ok()?, self.data.canonicalize().ok()?);
        (there != here).then(|| format!("--data: {} there, {} here", there.display(), here.display()))
    }

    fn other(&self, problem: String) -> Error {
        Error::RunFolder { path: self.folder.clone(), problem }
    }
}
