//! The checkpoints of a run in their folder: how they are named, which are kept, and which is the newest that can be read. It
//! knows files and their order, not what they hold.
//!
//! `epoch-000012.safetensors` is of the end of epoch 12, `epoch-000012-batch-000431.safetensors` of its first 431 batches. A
//! number may follow (`...-2.safetensors`) where something else has the plain name: nothing that cannot be read is overwritten or
//! removed.

use std::fs;
use std::path::{Path, PathBuf};

use super::checkpoint::{self, Checkpoint, Moment};
use super::folder::{CHECKPOINTS, UNFINISHED_CHECKPOINTS};
use crate::error::{Error, Result};
use crate::train::TrainState;
use crate::whole_file;

const EXTENSION: &str = ".safetensors";

/// Which checkpoint is older: the epoch that it is of, how much of it, and a number.
type Age = (usize, usize, usize);

/// All batches of an epoch, and its validation.
const WHOLE: usize = usize::MAX;

/// The checkpoints that a run writes.
#[derive(Debug)]
pub struct Checkpoints {
    folder: PathBuf,
    keep: usize,
    /// Those that may be removed, the oldest first, and whether it is known that they are checkpoints.
    kept: Vec<(PathBuf, bool)>,
}

impl Checkpoints {
    /// In `folder`, of which the last `keep`, at least 1, are kept.
    pub fn new(folder: PathBuf, keep: usize) -> Checkpoints {
        Checkpoints { folder, keep: keep.max(1), kept: Vec::new() }
    }

    /// The same where `state` has been taken up from a checkpoint: those up to it are of the same run.
    pub fn resumed(folder: PathBuf, keep: usize, state: &TrainState) -> Checkpoints {
        let at = age(state);
        let older = listed(&folder).into_iter().filter(|((epoch, batch, _), _)| (*epoch, *batch) <= at);
        let kept = older.map(|(_, path)| (path, false)).collect();
        Checkpoints { kept, ..Checkpoints::new(folder, keep) }
    }

    /// The newest one of this run, if there is any.
    pub fn newest(&self) -> Option<&Path> {
        self.kept.last().map(|(path, _)| &**path)
    }

    /// Writes one, and removes the oldest of those that are more than are to be kept, once the new one is on the disk.
    ///
    /// # Errors
    /// Where the file cannot be written. Those that are there stay.
    pub fn write(&mut self, moment: &Moment<'_>) -> Result<PathBuf> {
        let failed = |source| Error::Io { path: self.folder.clone(), action: "make the folder", source };
        fs::create_dir_all(&self.folder).map_err(failed)?;
        let path = self.place(moment);
        checkpoint::write(&path, moment).inspect_err(|_| {
            // Only where it is empty.
            let _ = fs::remove_dir(&self.folder);
        })?;
        self.kept.retain(|(other, _)| *other != path);
        self.kept.push((path.clone(), true));
        while self.kept.len() > self.keep {
            let (oldest, is_known) = self.kept.remove(0);
            // What is no checkpoint, or none any more, is not ours to remove; and one that stays costs nothing but room.
            if is_known || checkpoint::read(&oldest).is_ok() {
                let _ = fs::remove_file(oldest);
            }
        }
        Ok(path)
    }

    /// A name that nothing has, or an older checkpoint of the same moment of the same run.
    fn place(&self, moment: &Moment<'_>) -> PathBuf {
        let is_same = |other: Checkpoint| {
            let other = (age(&other.state), other.recipe.seed, other.data.train_sha256);
            other == (age(moment.state), moment.recipe.seed, moment.data.train_sha256.clone())
        };
        let (epoch, batch) = age(moment.state);
        let mut number = 1;
        loop {
            let path = self.folder.join(name((epoch, batch, number)));
            if path.symlink_metadata().is_err() || checkpoint::read(&path).is_ok_and(is_same) {
                return path;
            }
            number += 1;
        }
    }
}

fn age(state: &TrainState) -> (usize, usize) {
    if state.batch == 0 { (state.epoch, WHOLE) } else { (state.epoch + 1, state.batch) }
}

fn name((epoch, batch, number): Age) -> String {
    let batch = if batch == WHOLE { String::new() } else { format!("-batch-{batch:06}") };
    let number = if number == 1 { String::new() } else { format!("-{number}") };
    format!("epoch-{epoch:06}{batch}{number}{EXTENSION}")
}

/// What a file of this name is; `None` where it is no checkpoint's.
fn parsed(name: &str) -> Option<Age> {
    let rest = name.strip_prefix("epoch-")?.strip_suffix(EXTENSION)?;
    let mut words = rest.split('-');
    let epoch = words.next()?.parse().ok()?;
    let mut next = words.next();
    let mut batch = WHOLE;
    if next == Some("batch") {
        batch = words.next()?.parse().ok()?;
        next = words.next();
    }
    let age = (epoch, batch, next.map_or(Some(1), |number| number.parse().ok())?);
    // Names have one spelling.
    (self::name(age) == name).then_some(age)
}

/// The files in `folder` that are named as checkpoints, the oldest first.
fn listed(folder: &Path) -> Vec<(Age, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<(Age, PathBuf)> =
        entries.filter_map(|entry| Some((parsed(entry.file_name().to_str()?)?, entry.path()))).collect();
    files.sort();
    files
}

/// Whether there are files that are named as checkpoints.
pub(super) fn are_in(folder: &Path) -> bool {
    !listed(folder).is_empty()
}

/// Removes them. Other files stay.
pub(super) fn clear(folder: &Path) -> std::io::Result<()> {
    listed(folder).into_iter().try_for_each(|(_, path)| fs::remove_file(path))?;
    let _ = fs::remove_dir(folder);
    Ok(())
}

/// Moves them to another folder.
pub(super) fn move_all(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    listed(from)
        .into_iter()
        .try_for_each(|((epoch, batch, number), path)| fs::rename(path, to.join(name((epoch, batch, number)))))?;
    let _ = fs::remove_dir(from);
    whole_file::sync_folder(to)
}

/// Removes what a killed process left half written.
pub(super) fn remove_abandoned(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let place = name.to_str().and_then(|name| Some(name.strip_prefix('.')?.split_once(EXTENSION)?.0));
        if let Some(place) = place.map(|place| format!("{place}{EXTENSION}")).filter(|place| parsed(place).is_some()) {
            whole_file::remove_abandoned(&folder.join(place))?;
        }
    }
    Ok(())
}

/// The newest checkpoint of the run in `run` that can be read; of a run that was to replace the one that stands there, if there is
/// one. `tell` hears of each newer one that cannot be read.
///
/// # Errors
/// Where there is none.
pub fn newest(run: &Path, mut tell: impl FnMut(&Error)) -> Result<(PathBuf, Checkpoint)> {
    let folders = [run.join(UNFINISHED_CHECKPOINTS), run.join(CHECKPOINTS)];
    let mut failures = 0;
    for (_, path) in folders.iter().flat_map(|folder| listed(folder).into_iter().rev()) {
        match checkpoint::read(&path) {
            Ok(checkpoint) => return Ok((path, checkpoint)),
            Err(error) => tell(&error),
        }
        failures += 1;
    }
    let problem = match (failures, run.is_dir()) {
        (0, true) => "holds no checkpoint to go on from; a run writes one each minute unless told otherwise".into(),
        (0, false) => "no such folder; give that of a run, such as runs/1, or a checkpoint".into(),
        _ => "none of its checkpoints can be read; begin the run anew in another folder".into(),
    };
    Err(Error::RunFolder { path: run.to_path_buf(), problem })
}

/// The run's folder that a checkpoint lies in, by the names above it.
pub fn run_of(checkpoint: &Path) -> Option<PathBuf> {
    let path = checkpoint.canonicalize().ok()?;
    let folder = path.parent()?;
    let known = [CHECKPOINTS, UNFINISHED_CHECKPOINTS].iter().any(|name| folder.ends_with(name));
    // As it was named, where that is enough.
    let named = checkpoint.parent().and_then(Path::parent).filter(|named| !named.as_os_str().is_empty());
    known.then(|| named.map_or_else(|| folder.parent().map(Path::to_path_buf), |named| Some(named.to_path_buf())))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written_and_stand_in_order() {
        let ages =
            [(1, 3, 1), (1, WHOLE, 1), (2, 431, 1), (2, 431, 2), (2, WHOLE, 1), (12, WHOLE, 3), (1_000_000, 7, 1)];
        assert!(ages.is_sorted());
        let names: Vec<String> = ages.iter().map(|age| name(*age)).collect();
        assert_eq!(names[1], "epoch-000001.safetensors");
        assert_eq!(names[2], "epoch-000002-batch-000431.safetensors");
        assert!(ages.iter().zip(&names).all(|(age, name)| parsed(name) == Some(*age)));
        for name in
            ["epoch-1.safetensors", "epoch-000001", "epoch-000001-1.safetensors", "epoch--00001.safetensors", "notes"]
        {
            assert_eq!(parsed(name), None, "{name}");
        }
    }
}
