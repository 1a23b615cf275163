//! The steps of `flatnet fetch`: what is there, what is missing, what is printed. It knows no requests.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use flatnet::data::{self, Dataset};
use flatnet::{Error, Result};
use serde::Serialize;

use super::FetchArguments;
use super::check::{self, Verdict};
use super::download::{self, Patience};
use super::progress::Progress;
use super::sets::{self, KnownFile, KnownSet};
use crate::cli::table::grouped;
use crate::cli::{print, print_json};

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    set: String,
    folder: String,
    licence: &'static str,
    files: Vec<FileReport>,
    train_samples: usize,
    test_samples: usize,
    seconds: f64,
}

#[derive(Serialize)]
struct FileReport {
    file: String,
    /// `kept` or `fetched`.
    status: &'static str,
    /// The address it came from; `None` for a file that is kept, and for one that an earlier call had left complete.
    from: Option<String>,
    bytes: u64,
    sha256: String,
}

pub fn run(arguments: &FetchArguments) -> Result<()> {
    let started = Instant::now();
    let time_limit = Duration::from_secs(arguments.time_limit);
    let patience = Patience {
        deadline: started + time_limit,
        time_limit,
        stall_limit: Duration::from_secs(arguments.stall_limit),
    };
    let name = arguments.set.to_possible_value().map_or_else(String::new, |value| value.get_name().to_string());
    let (set, folder) = (sets::set(arguments.set), folder(arguments, &name));

    // All that is in the way is found before the first byte is asked for.
    let there = set.files().iter().map(|file| find(&folder, file, arguments.overwrite)).collect::<Result<Vec<_>>>()?;
    let files = fetch_missing(set, &folder, there, arguments, &patience)?;
    let (train, test) = data::load_mnist_folder(&folder)?;

    let report = Report {
        set: name,
        folder: folder.display().to_string(),
        licence: set.licence,
        files,
        train_samples: train.len(),
        test_samples: test.len(),
        seconds: started.elapsed().as_secs_f64(),
    };
    if arguments.json { print_json(&report) } else { print(&to_text(set, &report, &train)) }
}

fn folder(arguments: &FetchArguments, name: &str) -> PathBuf {
    arguments.to.clone().unwrap_or_else(|| Path::new("data").join(name))
}

/// The right file that is there already, or `None` where one must be fetched. An error where a file is in the way.
fn find(folder: &Path, known: &KnownFile, overwrite: bool) -> Result<Option<FileReport>> {
    let refuse = |path: &Path, problem: &str| {
        Err(Error::Fetch { path: path.to_path_buf(), problem: format!("{problem}, or name another folder with --to") })
    };
    let kept = |path: &Path, sha256: String| {
        let bytes = fs::metadata(path).map_or(0, |found| found.len());
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Some(FileReport { file, status: "kept", from: None, bytes, sha256 }))
    };
    // Loading prefers an unpacked file, so one that is not the published file would take the fetched one's place.
    let unpacked = known.name.trim_end_matches(".gz");
    for unpacked in [unpacked.to_string(), unpacked.replacen("-idx", ".idx", 1)] {
        let path = folder.join(unpacked);
        if path.is_file() {
            return match check::unpacked_file(&path, known)? {
                Some(Verdict::Right { sha256 }) => kept(&path, sha256),
                Some(Verdict::Wrong { .. }) => {
                    refuse(&path, "is not the published file and would be used in its place; move it away")
                }
                None => refuse(&path, "cannot be checked, since only packed files have known digests; move it away"),
            };
        }
    }
    let path = folder.join(&known.name);
    match fs::symlink_metadata(&path) {
        Err(_) => Ok(None),
        Ok(_) if !path.is_file() => refuse(&path, "is not a regular file; move it away"),
        Ok(about) => match check::file(&path, known)? {
            Verdict::Right { sha256 } => kept(&path, sha256),
            Verdict::Wrong { .. } if overwrite && about.is_symlink() => {
                refuse(&path, "is a link to a file that is not the published one; move it away")
            }
            Verdict::Wrong { .. } if overwrite => Ok(None),
            Verdict::Wrong { .. } => refuse(&path, "is not the published file; replace it with --overwrite"),
        },
    }
}

fn fetch_missing(
    set: &KnownSet,
    folder: &Path,
    there: Vec<Option<FileReport>>,
    arguments: &FetchArguments,
    patience: &Patience,
) -> Result<Vec<FileReport>> {
    let known_mirrors = || set.mirrors.iter().map(ToString::to_string).collect();
    let mirrors = if arguments.mirror.is_empty() { known_mirrors() } else { arguments.mirror.clone() };
    let progress = Progress::new(arguments.quiet);
    let made = if there.iter().all(Option::is_some) { Vec::new() } else { make_folder(folder)? };
    let fetch = |known: &KnownFile| {
        let place = folder.join(&known.name);
        let arrived = download::fetch(known, &place, arguments.overwrite, &mirrors, patience, &progress)?;
        let bytes = fs::metadata(&place).map_or(0, |found| found.len());
        let file = known.name.to_string();
        Ok(FileReport { file, status: "fetched", from: arrived.from, bytes, sha256: arrived.sha256 })
    };
    let known_files = set.files();
    let pairs = known_files.iter().zip(there);
    let files = pairs.map(|(known, there)| there.map_or_else(|| fetch(known), Ok)).collect();
    progress.finish();
    if Result::is_err(&files) {
        // Takes back what was made; a folder that is no longer empty stays.
        for folder in made.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
    files
}

/// Makes a folder and those above it; returns those that were not there, from the top down.
fn make_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let missing = folder.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists());
    let mut missing: Vec<PathBuf> = missing.map(Path::to_path_buf).collect();
    missing.reverse();
    fs::create_dir_all(folder).map_err(|source| Error::Io {
        path: folder.to_path_buf(),
        action: "make the folder",
        source,
    })?;
    Ok(missing)
}

fn to_text(set: &KnownSet, report: &Report, train: &Dataset) -> String {
    let mut text = format!("{} ({})\n", set.title, set.licence);
    for file in &report.files {
        text += &format!("  {:<27}{:>12} bytes  {}\n", file.file, grouped(file.bytes as usize), file.status);
    }
    let (rows, columns) = train.image_size();
    text += &format!(
        "Every digest is right: {} training and {} test images of {rows} x {columns},\n{} classes.\n",
        grouped(report.train_samples),
        grouped(report.test_samples),
        train.classes()
    );
    text + &format!("Train on it: flatnet --data {}\n", report.folder)
}
