//! From flags to the library's public API, and from results to the screen. It knows nothing private of the library.

mod args;
mod bench;
mod completions;
mod evaluate;
mod fetch;
mod help;
mod inspect;
mod manual;
mod predict;
mod progress;
mod report;
mod table;
mod tensorboard;
mod tiles;
mod train;

use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use clap::Parser;
use flatnet::{Error, Result};

pub use args::Arguments;
use args::Command;

/// Reads the command line. `Err` when there is nothing to run: help was printed (0), or the usage is wrong (2).
pub fn parse(words: impl IntoIterator<Item = OsString>) -> std::result::Result<Arguments, ExitCode> {
    Arguments::try_parse_from(words).map_err(|stop| {
        if stop.use_stderr() {
            complain(&in_one_line(&stop.to_string()));
            return ExitCode::from(2);
        }
        match print(&stop.to_string()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        }
    })
}

/// Does what the arguments ask for.
pub fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.command {
        None => train::run(&arguments.train),
        Some(Command::Train(arguments)) => train::run(arguments),
        Some(Command::Evaluate(arguments)) => evaluate::run(arguments),
        Some(Command::Bench(arguments)) => bench::run(arguments),
        Some(Command::Predict(arguments)) => predict::run(arguments),
        Some(Command::Inspect(arguments)) => inspect::run(arguments),
        Some(Command::Fetch(arguments)) => fetch::run(arguments),
        Some(Command::Completions(arguments)) => completions::run(arguments),
        Some(Command::Man) => manual::run(),
        Some(Command::Report(arguments)) => report::run(arguments),
    }
}

/// An error in the words of the program: the library names settings, people type flags.
pub fn told(error: &Error) -> String {
    match error {
        Error::Setting { name, found, expected } => {
            // A flag's value may be as long as a file.
            let found: String = if found.chars().count() > 60 {
                found.chars().take(57).chain("...".chars()).collect()
            } else {
                found.clone()
            };
            format!("--{}: {found} is not valid: expected {expected}", name.replace('_', "-"))
        }
        Error::DataFolder { .. } => format!("{error} (--data DIR)"),
        Error::RunFolder { problem, .. } if problem.contains("holds a run already") => {
            format!("{error} (--out DIR, --overwrite)")
        }
        Error::RunFolder { problem, .. } if problem.contains("choose another") => format!("{error} (--out DIR)"),
        Error::NonFinite { .. } => format!("{error} (--lr)"),
        other => other.to_string(),
    }
}

/// Prints one line to stderr, whatever the message holds: names in files from outside may hold control characters.
pub fn complain(message: &str) {
    tell("error", message);
}

fn tell(kind: &str, message: &str) {
    let line: String = message.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
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

/// clap's message without its headline and its usage lines.
fn in_one_line(message: &str) -> String {
    let told: Vec<&str> = message
        .trim_start_matches("error: ")
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .filter(|line| !line.is_empty())
        .collect();
    format!("{}; see flatnet --help", told.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_usage_is_told_in_one_line() {
        for (words, expected) in [
            (
                &["evaluate"][..],
                "the following required arguments were not provided: --model <FILE>; see flatnet --help",
            ),
            (&["--batch-size", "0"], "'0' for '--batch-size <N>'"),
            (&["train", "--init", "ones"], "expected auto, unit-norm, kaiming-uniform, kaiming-normal, xavier-uniform"),
            (&["--epoch", "5"], "unexpected argument '--epoch' found tip: a similar argument exists: '--epochs'"),
        ] {
            let words = std::iter::once("flatnet").chain(words.iter().copied());
            let line = in_one_line(&Arguments::try_parse_from(words).unwrap_err().to_string());
            assert!(line.contains(expected) && !line.contains('\n'), "{line}");
        }
    }
}
