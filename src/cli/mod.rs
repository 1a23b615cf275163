//! From flags to the library's public API, and from results to the screen. It knows nothing private of the library.

mod args;
mod bench;
mod chosen;
mod completions;
mod config;
mod evaluate;
mod evaluation;
mod export;
mod fetch;
mod help;
mod hints;
mod inspect;
mod interrupt;
mod manual;
mod new_file;
mod own_data;
mod predict;
mod progress;
mod ranks;
mod report;
mod resume;
mod settings;
mod source;
mod sweep;
mod table;
mod tally;
mod tensorboard;
mod threads;
mod tiles;
mod train;

use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::CommandFactory;
use clap::error::ContextValue;
use flatnet::model_file::ModelMeta;
use flatnet::run::folder;
use flatnet::{Error, Result};

pub use args::Arguments;
use args::{Command, TrainArguments};

/// A value that is longer is shown by its beginning: it may be as long as a file.
const MAX_VALUE: usize = 60;
/// So is a whole message, whatever it holds.
const MAX_MESSAGE: usize = 2000;

/// Reads the command line. `Err` when there is nothing to run: help was printed (0), or the usage is wrong (2).
pub fn parse(words: impl IntoIterator<Item = OsString>) -> std::result::Result<Arguments, ExitCode> {
    let expanded = config::expand(words.into_iter().collect(), &[]).map_err(|problem| {
        complain(&problem);
        ExitCode::from(2)
    })?;
    let words = expanded.words;
    let parsed = Arguments::read(&words).map(|mut arguments| {
        match &mut arguments.command {
            Some(Command::Train(train)) => train.origins = expanded.origins,
            _ => arguments.train.origins = expanded.origins,
        }
        arguments
    });
    parsed.map_err(|stop| {
        if stop.use_stderr() {
            complain(&in_one_line(&stop, &words));
            return ExitCode::from(2);
        }
        match print(&stop.to_string()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&told(&error));
                ExitCode::FAILURE
            }
        }
    })
}

/// Does what the arguments ask for, and says how the program ends.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let done = match &arguments.command {
        None => return run_train(&arguments.train),
        Some(Command::Sweep(arguments)) => return ranks::refuse("sweep").and_then(|()| sweep::run(arguments)),
        Some(Command::Train(arguments)) => return run_train(arguments),
        Some(Command::Evaluate(arguments)) => evaluate::run(arguments),
        Some(Command::Export(arguments)) => export::run(arguments),
        Some(Command::Bench(arguments)) => bench::run(arguments),
        Some(Command::Predict(arguments)) => predict::run(arguments),
        Some(Command::Inspect(arguments)) => inspect::run(arguments),
        Some(Command::Fetch(arguments)) => fetch::run(arguments),
        Some(Command::Completions(arguments)) => completions::run(arguments),
        Some(Command::Man) => manual::run(),
        Some(Command::Report(arguments)) => report::run(arguments),
    };
    done.map(|()| ExitCode::SUCCESS)
}

fn run_train(arguments: &TrainArguments) -> Result<ExitCode> {
    sweep::follow();
    train::run(arguments).map_err(|error| arguments.origins.place(error))
}

/// An error in the words of the program: the library names settings, people type flags.
pub fn told(error: &Error) -> String {
    match error {
        Error::Setting { name, found, expected } => {
            let found = shortened(found, MAX_VALUE);
            format!("--{}: {found} is not valid: expected {expected}", name.replace('_', "-"))
        }
        Error::DataFolder { .. } => format!("{error} (--data PATH)"),
        Error::Shape { place, .. } if place.ends_with(": target") => format!("{error} (--target COLUMN)"),
        Error::Shape { expected, .. } if expected.contains("missing = mean or drop") => {
            format!("{error} (--missing mean, --missing drop)")
        }
        Error::DataFile { path, problem } => {
            format!("{}: {}", path.display(), problem.replace("text_columns", "--text-columns"))
        }
        Error::RunFolder { problem, .. } if problem.contains("holds a run already") => {
            format!("{error} (--out DIR, --overwrite)")
        }
        Error::RunFolder { problem, .. }
            if problem.contains("; choose another") && !problem.contains("--tensorboard") =>
        {
            format!("{error} (--out DIR)")
        }
        Error::Model { problem, .. } if problem.ends_with("no other can be given") => {
            format!("{error} (leave out --activation, --input-scale and --normalize)")
        }
        Error::NonFinite { .. } => format!("{error} (--lr)"),
        other => other.to_string(),
    }
}

/// Prints one line to stderr, whatever the message holds: names in files from outside may hold control characters.
pub fn complain(message: &str) {
    tell("error", message);
}

fn tell(kind: &str, message: &str) {
    let line = printable(&shortened(message, MAX_MESSAGE));
    // Nobody is left to tell when stderr is closed.
    let _ = writeln!(io::stderr(), "{kind}: {line}");
}

/// Prints to stdout. A reader that has seen enough, such as `head`, is no failure.
fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(source) => Err(Error::Io { path: "standard output".into(), action: "write", source }),
        Ok(()) => Ok(()),
    }
}

fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::Io {
        path: "standard output".into(),
        action: "write",
        source: error.into(),
    })?;
    print(&(text + "\n"))
}

/// In one line: what comes from outside may hold line ends, and what moves a cursor.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The beginning of a text that has more than `most` characters.
fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_string();
    }
    text.chars().take(most - 3).chain("...".chars()).collect()
}

/// Which of a run's parameters a model file holds, and after which epoch; nothing of a file that does not say.
#[derive(Debug, Clone, Default, serde::Serialize)]
struct Parameters {
    /// `last` or `best`.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<String>,
    /// Counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
}

impl Parameters {
    fn of(meta: &ModelMeta) -> Parameters {
        let recipe = meta.recipe.as_ref();
        let which =
            recipe.and_then(|recipe| recipe.get("parameters")?.as_str()).map(|which| shortened(which, MAX_VALUE));
        Parameters { parameters: which, epoch: recipe.and_then(|recipe| recipe.get("epoch")?.as_u64()) }
    }

    /// Behind the name of the file.
    fn told(&self) -> String {
        match (&self.parameters, self.epoch) {
            (Some(which), Some(epoch)) => format!(" ({which} parameters, epoch {epoch})"),
            _ => String::new(),
        }
    }
}

/// A model's file: of a run's folder, the model in it.
fn model_path(path: &Path) -> PathBuf {
    let within = path.join(folder::MODEL);
    if within.is_file() { within } else { path.to_path_buf() }
}

/// clap's message without its headline and its usage lines, and with long values cut.
fn in_one_line(stop: &clap::Error, words: &[OsString]) -> String {
    let mut message = stop.to_string();
    let mut values: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    // `--flag=value` is one word.
    values.extend(values.clone().iter().filter_map(|word| Some(word.split_once('=')?.1.to_string())));
    for (_, value) in stop.context() {
        match value {
            ContextValue::String(value) => values.push(value.clone()),
            ContextValue::Strings(several) => values.extend(several.iter().cloned()),
            _ => {}
        }
    }
    // The longest first, since one may be part of another.
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    for value in values.iter().filter(|value| value.chars().count() > MAX_VALUE) {
        message = message.replace(value.as_str(), &shortened(value, MAX_VALUE));
    }
    let told: Vec<&str> = message
        .trim_start_matches("error: ")
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .filter(|line| !line.is_empty())
        .collect();
    // A command stands first or nowhere.
    let command = words.get(1).and_then(|word| word.to_str()).filter(|word| is_command(word));
    let command = command.map_or(String::new(), |command| format!("{command} "));
    format!("{}; see flatnet {command}--help", told.join(" "))
}

fn is_command(word: &str) -> bool {
    Arguments::command().get_subcommands().any(|command| command.get_name() == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_usage_is_told_in_one_line() {
        for (words, expected) in [
            (
                &["evaluate"][..],
                "the following required arguments were not provided: --model <FILE>; see flatnet evaluate --help",
            ),
            (&["--batch-size", "0"], "'0' for '--batch-size <N>'"),
            (&["train", "--init", "ones"], "expected auto, unit-norm, kaiming-uniform, kaiming-normal, lecun-normal"),
            (&["--epoch", "5"], "unexpected argument '--epoch' found tip: a similar argument exists: '--epochs'"),
            (&["--epochs", "x"], "; see flatnet --help"),
            (&["train", "--epochs", "x"], "; see flatnet train --help"),
            (&["predict"], "; see flatnet predict --help"),
            (&["trein"], "; see flatnet --help"),
            (&["--seed", "-1"], "'-1' for '--seed <N>': expected a whole number from 0 to 18446744073709551615"),
            (&["--momentum", "x"], "expected a number"),
            (&["--clip-norm", "1,5"], "expected a number"),
            (&["--label-smoothing", "x"], "expected a number"),
        ] {
            let line = line(words);
            assert!(line.contains(expected) && !line.contains('\n'), "{line}");
        }
    }

    fn line(words: &[&str]) -> String {
        let words: Vec<OsString> =
            std::iter::once("flatnet").chain(words.iter().copied()).map(OsString::from).collect();
        in_one_line(&Arguments::read(&words).unwrap_err(), &words)
    }

    #[test]
    fn a_long_value_is_shown_by_its_beginning() {
        let long = "ab ".repeat(2000);
        let (flag, assigned) = (format!("--{long}"), format!("--lr={long}"));
        for words in [
            &["--lr", &long][..],
            &[&assigned],
            &["--layers", &long],
            &["--init", &long],
            &["--simd", &long],
            &["--lr-schedule", &long],
            &["--train-samples", &long],
            &["--seed", &long],
            &[&flag],
            &["train", &flag],
            &[&long],
            &["evaluate", "--model", "m", "--split", &long],
            &["evaluate", "--model", "m", &long],
            &["completions", &long],
        ] {
            let line = line(words);
            // Twice sixty characters at most: clap quotes it, and what read it may.
            assert!(line.contains("ab ab ") && line.matches("ab").count() <= 40, "{line}");
        }
    }
}
