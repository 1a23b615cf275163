//! The steps of `flatnet fetch`: what is there, what is missing, what is printed. It knows no requests.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use flatnet::data::{self, Dataset, Source, SourceOptions};
use flatnet::{Error, Result};
use serde::Serialize;

use super::FetchArguments;
use super::archive;
use super::check::{self, Verdict};
use super::download::{self, Patience};
use super::progress::Progress;
use super::sets::{self, Form, KnownFile, KnownSet};
use crate::cli::table::grouped;
use crate::cli::{print, print_json};

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    set: String,
    folder: String,
    licence: &'static str,
    files: Vec<FileReport>,
    /// Of images.
    #[serde(skip_serializing_if = "Option::is_none")]
    train_samples: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test_samples: Option<usize>,
    /// Of a table, its header left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<usize>,
    seconds: f64,
}

#[derive(Serialize)]
struct FileReport {
    file: String,
    /// `kept`, `fetched`, or `unpacked` from an archive.
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
    let set = sets::set(arguments.set);
    let folder = folder(arguments, set, &name);

    // All that is in the way is found before the first byte is asked for.
    let there = set.files().iter().map(|file| find(&folder, file, arguments.overwrite)).collect::<Result<Vec<_>>>()?;
    let files = fetch_missing(set, &folder, there, arguments, &patience)?;
    // What was fetched, read as it will be.
    let path = path(set, &folder);
    let found = data::open(&path, &SourceOptions::default())?;

    let (train_samples, test_samples, rows) = match &found {
        Source::Images { train, test } => (Some(train.len()), test.as_ref().map(Dataset::len), None),
        Source::Table { train, .. } => (None, None, Some(train.len())),
    };
    let report = Report {
        set: name,
        folder: path.display().to_string(),
        licence: set.licence,
        files,
        train_samples,
        test_samples,
        rows,
        seconds: started.elapsed().as_secs_f64(),
    };
    if arguments.json { print_json(&report) } else { print(&to_text(set, &report, &found)) }
}

/// The sets of one archive share a folder, so that it need not be fetched twice.
fn folder(arguments: &FetchArguments, set: &KnownSet, name: &str) -> PathBuf {
    let name = if set.archive().is_some() { "emnist" } else { name };
    arguments.to.clone().unwrap_or_else(|| Path::new("data").join(name))
}

/// What `--data` takes.
fn path(set: &KnownSet, folder: &Path) -> PathBuf {
    match set.form {
        Form::Images => folder.to_path_buf(),
        Form::Archived { prefix } => folder.join(prefix),
        Form::Table { name, .. } => folder.join(name),
    }
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
        let path = folder.join(&unpacked);
        if unpacked != known.name && path.is_file() {
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
    // An archive is fetched once a file of it is missing, and stays for its other sets.
    let mut archived = None;
    if let Some(known) = set.archive().filter(|_| there.iter().any(Option::is_none)) {
        let fetch = || {
            if find(folder, &known, arguments.overwrite)?.is_none() {
                let place = folder.join(&known.name);
                download::fetch(&known, &place, arguments.overwrite, &mirrors, patience, &progress)?;
            }
            Ok(folder.join(&known.name))
        };
        archived = Some(fetch().inspect_err(|_| {
            progress.finish();
            remove_empty(&made);
        })?);
    }
    let fetch = |known: &KnownFile| {
        if let Some(archive) = &archived {
            let place = folder.join(&known.name);
            let sha256 = archive::extract(archive, known, &place, arguments.overwrite)?;
            let bytes = fs::metadata(&place).map_or(0, |found| found.len());
            let from = Some(archive.display().to_string());
            return Ok(FileReport { file: known.name.clone(), status: "unpacked", from, bytes, sha256 });
        }
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
        remove_empty(&made);
    }
    files
}

/// Takes back folders that were made; one that is no longer empty stays.
fn remove_empty(made: &[PathBuf]) {
    for folder in made.iter().rev() {
        let _ = fs::remove_dir(folder);
    }
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

fn to_text(set: &KnownSet, report: &Report, found: &Source) -> String {
    let mut text = format!("{} ({})\n", set.title, set.licence);
    for file in &report.files {
        text += &format!("  {:<27}{:>12} bytes  {}\n", file.file, grouped(file.bytes as usize), file.status);
    }
    if let Form::Table { columns, .. } = set.form {
        let rows = grouped(report.rows.unwrap_or(0));
        return text + &format!("Its digest is right: {rows} rows.\nColumns: {columns}.\n");
    }
    if let Source::Images { train, test: Some(test) } = found {
        let (rows, columns) = train.image_size();
        text += &format!(
            "Every digest is right: {} training and {} test images of {rows} x {columns},\n{} classes.\n",
            grouped(train.len()),
            grouped(test.len()),
            train.classes()
        );
    }
    if let Some(archive) = set.archive() {
        text += &format!("{} stays for the other sets of it; without them it can be removed.\n", archive.name);
    }
    text + &format!("Train on it: flatnet --data {}\n", report.folder)
}
