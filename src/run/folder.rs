//! Where a run is kept: which folder, whether it may be written, and files that appear together at the end.
//! It knows the names of a run's files, not what they hold.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::whole_file::{self, Staged};

/// The folder below which runs without a place of their own are numbered.
pub const RUNS: &str = "runs";

/// All figures as one JSON object.
pub const SUMMARY: &str = "summary.json";
/// A row for each epoch.
pub const EPOCHS: &str = "epochs.csv";
/// A row for each batch.
pub const BATCHES: &str = "batches.csv";
/// Which rows of the data set took part.
pub const SAMPLE: &str = "sample.csv";
/// The trained network.
pub const MODEL: &str = "model.safetensors";
/// A folder with one of these holds a run.
pub const FILES: [&str; 5] = [SUMMARY, EPOCHS, BATCHES, SAMPLE, MODEL];

/// The page of a run, and the folder of its graphs: made from the files above, and made again at will.
pub const REPORT: &str = "report.html";
/// The folder of the graphs.
pub const GRAPHS: &str = "graphs";

/// What to do with a run that is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and the new run is an error.
    Refuse,
    /// Its files are replaced when the new ones are complete; other files in the folder stay.
    Replace,
}

/// Where a run will be kept. Nothing is created before the run is complete, so an interrupted one leaves no trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// `1`, `2`, ... below this folder: the first number that is free.
    NextBelow(PathBuf),
    /// This folder.
    At(PathBuf, Existing),
}

impl Destination {
    /// Finds out before the training what would go wrong after it: a run in the way, a folder that cannot be made or
    /// written. The attempt is undone.
    pub fn check(&self) -> Result<()> {
        let folder = match self {
            Destination::NextBelow(runs) => runs,
            Destination::At(folder, existing) => {
                refuse_a_run(folder, *existing)?;
                folder
            }
        };
        let created = CreatedFolders::make(folder)?;
        let (file, probe) =
            whole_file::create_beside(&folder.join("probe")).map_err(|source| unusable(folder, &source))?;
        drop(file);
        let removed = fs::remove_file(&probe);
        created.remove_empty();
        removed.map_err(|source| unusable(folder, &source))
    }

    /// Creates the folder, has `stage` write the run's files beside their places, then puts them all in place.
    /// On failure the folder is as it was before. Returns the folder and what `stage` gave beside the files.
    pub(crate) fn fill<T>(&self, stage: impl FnOnce(&Path) -> Result<(Vec<Staged>, T)>) -> Result<(PathBuf, T)> {
        let (folder, created) = self.create()?;
        let filled = stage(&folder).and_then(|(files, given)| {
            files.into_iter().try_for_each(Staged::publish)?;
            Ok(given)
        });
        match filled {
            Ok(given) => Ok((folder, given)),
            Err(error) => {
                created.remove_empty();
                Err(error)
            }
        }
    }

    fn create(&self) -> Result<(PathBuf, CreatedFolders)> {
        match self {
            Destination::NextBelow(runs) => {
                let mut created = CreatedFolders::make(runs)?;
                let mut number = 1u64;
                loop {
                    let folder = runs.join(number.to_string());
                    // Creating is the test: of two runs that end together only one can create a number.
                    match fs::create_dir(&folder) {
                        Ok(()) => {
                            created.0.push(folder.clone());
                            return Ok((folder, created));
                        }
                        Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
                        Err(error) => return Err(unusable(&folder, &error)),
                    }
                }
            }
            Destination::At(folder, existing) => {
                // Again, because another run may have ended there while this one was training.
                refuse_a_run(folder, *existing)?;
                Ok((folder.clone(), CreatedFolders::make(folder)?))
            }
        }
    }
}

fn refuse_a_run(folder: &Path, existing: Existing) -> Result<()> {
    // A page without a run may be anything, so it is no more overwritten than a run.
    let found = FILES.into_iter().chain([REPORT, GRAPHS]).find(|name| folder.join(name).symlink_metadata().is_ok());
    match (existing, found) {
        (Existing::Refuse, Some(name)) => Err(Error::RunFolder {
            path: folder.to_path_buf(),
            problem: format!("holds a run already ({name}); choose another folder, or ask for it to be replaced"),
        }),
        _ => Ok(()),
    }
}

fn unusable(folder: &Path, source: &io::Error) -> Error {
    let problem = match source.kind() {
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
            "a file stands where a folder is needed; choose another one".into()
        }
        _ => format!("cannot write there ({source}); choose another folder"),
    };
    Error::RunFolder { path: folder.to_path_buf(), problem }
}

/// The folders that had to be made for a path, outermost first.
struct CreatedFolders(Vec<PathBuf>);

impl CreatedFolders {
    fn make(folder: &Path) -> Result<CreatedFolders> {
        let mut missing: Vec<&Path> =
            folder.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).collect();
        missing.reverse();
        let mut created = CreatedFolders(Vec::new());
        for path in missing {
            match fs::create_dir(path) {
                Ok(()) => created.0.push(path.to_path_buf()),
                // Another run made it in the meantime.
                Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
                Err(error) => {
                    created.remove_empty();
                    return Err(unusable(folder, &error));
                }
            }
        }
        Ok(created)
    }

    /// Takes back what was made; a folder that is no longer empty stays.
    fn remove_empty(&self) {
        for path in self.0.iter().rev() {
            let _ = fs::remove_dir(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage_all(folder: &Path, text: &str) -> Result<(Vec<Staged>, ())> {
        let stage = |name| Staged::write(&folder.join(name), |out| out.write_all(text.as_bytes()));
        Ok((FILES.into_iter().map(stage).collect::<Result<_>>()?, ()))
    }

    fn failing_stage(folder: &Path) -> Result<(Vec<Staged>, ())> {
        let _half = Staged::write(&folder.join(SUMMARY), |out| out.write_all(b"new"))?;
        Err(Error::RunFolder { path: folder.to_path_buf(), problem: "disk full".into() })
    }

    fn entries(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn runs_take_the_first_free_number() {
        let root = tempfile::tempdir().unwrap();
        let next = Destination::NextBelow(root.path().join(RUNS));
        next.check().unwrap();
        assert_eq!(entries(root.path()), [""; 0], "a check leaves no trace");
        for expected in ["1", "2"] {
            let (folder, ()) = next.fill(|folder| stage_all(folder, "x")).unwrap();
            assert_eq!(folder, root.path().join(RUNS).join(expected));
            assert_eq!(
                entries(&folder),
                ["batches.csv", "epochs.csv", "model.safetensors", "sample.csv", "summary.json"]
            );
        }
        fs::remove_dir_all(root.path().join("runs/1")).unwrap();
        assert!(next.fill(|folder| stage_all(folder, "x")).unwrap().0.ends_with("runs/1"));
    }

    #[test]
    fn runs_that_end_together_take_different_numbers() {
        let root = tempfile::tempdir().unwrap();
        let next = Destination::NextBelow(root.path().join(RUNS));
        let mut folders: Vec<PathBuf> = std::thread::scope(|scope| {
            let started: Vec<_> =
                (0..8).map(|_| scope.spawn(|| next.fill(|folder| stage_all(folder, "x")).unwrap().0)).collect();
            started.into_iter().map(|run| run.join().unwrap()).collect()
        });
        folders.sort();
        folders.dedup();
        assert_eq!(folders.len(), 8);
    }

    #[test]
    fn a_run_is_refused_unless_it_may_be_replaced() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("deep/run");
        let fresh = Destination::At(folder.clone(), Existing::Refuse);
        fresh.check().unwrap();
        assert_eq!(entries(root.path()), [""; 0], "a check leaves no trace");
        fresh.fill(|folder| stage_all(folder, "old")).unwrap();
        fs::write(folder.join("notes.txt"), "mine").unwrap();

        let message = fresh.check().unwrap_err().to_string();
        assert!(message.contains("holds a run already") && message.contains("replaced"), "{message}");
        fresh.fill(|folder| stage_all(folder, "new")).unwrap_err();
        assert_eq!(fs::read(folder.join(MODEL)).unwrap(), b"old");

        let replace = Destination::At(folder.clone(), Existing::Replace);
        replace.check().unwrap();
        replace.fill(failing_stage).unwrap_err();
        assert_eq!(fs::read(folder.join(SUMMARY)).unwrap(), b"old");
        assert_eq!(entries(&folder).len(), 6);
        replace.fill(|folder| stage_all(folder, "new")).unwrap();
        for name in FILES {
            assert_eq!(fs::read(folder.join(name)).unwrap(), b"new", "{name}");
        }
        assert_eq!(fs::read(folder.join("notes.txt")).unwrap(), b"mine");
    }

    #[test]
    fn a_failure_takes_back_the_folders_it_made() {
        let root = tempfile::tempdir().unwrap();
        Destination::NextBelow(root.path().join(RUNS)).fill(failing_stage).unwrap_err();
        Destination::At(root.path().join("a/b"), Existing::Refuse).fill(failing_stage).unwrap_err();
        assert_eq!(entries(root.path()), [""; 0]);
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("taken");
        fs::write(&file, "mine").unwrap();
        for path in [file.clone(), file.join("below")] {
            let message = Destination::At(path.clone(), Existing::Replace).check().unwrap_err().to_string();
            assert!(message.contains(path.to_str().unwrap()) && message.contains("a file stands"), "{message}");
        }
        assert_eq!(fs::read(&file).unwrap(), b"mine");
    }
}
