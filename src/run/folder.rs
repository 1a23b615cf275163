//! Where a run is kept: which folder, who may write it, and files that take their places together.
//! It knows the names of a run's files, not what they hold.
//!
//! A run has its folder to itself from before its training until its files stand there: it holds a lock that the system
//! takes back when the process ends, however it ends. Files are made in a hidden folder within; one rename of that folder
//! makes them the run, and then they move to their places, the summary last. So at any moment the folder holds one whole run,
//! or no summary and thus none. What a killed process left, the next one that takes the folder clears or completes.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::checkpoints;
use crate::error::{Error, Result};
use crate::whole_file;

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
/// The network of the best epoch.
pub const BEST: &str = "best.safetensors";
/// The settings, for `train --config`.
pub const RECIPE: &str = "recipe.toml";
/// A folder with one of these holds a run.
pub const FILES: [&str; 7] = [SUMMARY, EPOCHS, BATCHES, SAMPLE, MODEL, BEST, RECIPE];

/// The folder of a run's checkpoints.
pub const CHECKPOINTS: &str = "checkpoints";
/// That of a run which is to replace the one that stands there, until it does.
pub const UNFINISHED_CHECKPOINTS: &str = "checkpoints.unfinished";

/// The page of a run, and the folder of its graphs: made from the files above, and made again at will.
pub const REPORT: &str = "report.html";
/// The folder of the graphs.
pub const GRAPHS: &str = "graphs";
/// What stands in the folder of the graphs.
pub const GRAPH_FILES: [&str; 7] = [
    "loss-by-epoch.svg",
    "loss-by-batch.svg",
    "accuracy-by-epoch.svg",
    "accuracy-by-batch.svg",
    "error-by-epoch.svg",
    "error-by-batch.svg",
    "weights.svg",
];

/// The trained network of a run whose other files could not be written, beside a run that therefore stays.
pub const UNFINISHED: &str = "model.unfinished.safetensors";

/// The hidden folder of a run that is under way.
pub const WORK: &str = ".flatnet";
/// In it: the file that is locked,
const LOCK: &str = "lock";
/// the files as they are made,
const NEW: &str = "new";
/// and all of them once they are complete, on the way to their places.
const WHOLE: &str = "whole";
/// Among them: says that the checkpoints of the run before go,
const CLEAR_CHECKPOINTS: &str = "clear-checkpoints";
/// and that the new run's take their place.
const ADOPT_CHECKPOINTS: &str = "adopt-checkpoints";

const LOCK_TEXT: &str = "flatnet writes a run into this folder. If none is running, it was killed: \
                         the next flatnet that writes here clears what is left.\n";

/// What to do with a run that is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and the new run is an error.
    Refuse,
    /// Its files are replaced when the new ones are complete; other files in the folder stay.
    Replace,
    /// It is the same run, which goes on: its files are replaced, and its checkpoints stay.
    GoOn,
}

/// Where a run will be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// `1`, `2`, ... below this folder: the first number that is free.
    NextBelow(PathBuf),
    /// This folder.
    At(PathBuf, Existing),
}

impl Destination {
    /// Takes the folder, before the training: nobody else writes a run there until the claim is dropped. Finds out what would
    /// go wrong after the training: a run in the way, a folder that cannot be made or written.
    ///
    /// # Errors
    /// [`Error::RunFolder`] that says what is in the way.
    pub fn claim(&self) -> Result<Claim> {
        match self {
            Destination::NextBelow(runs) => next_below(runs),
            Destination::At(folder, existing) => {
                let mut claim = Claim::take(folder)?.ok_or_else(|| busy(folder))?;
                if *existing == Existing::Refuse {
                    refuse_a_run(folder)?;
                }
                places(folder).iter().try_for_each(|place| whole_file::check_replaceable(place))?;
                claim.replaces = *existing == Existing::Replace && holds_a_run(folder);
                Ok(claim)
            }
        }
    }
}

/// A run's folder in the hands of one process. Dropped before the run is published, it leaves the folder as it was.
#[derive(Debug)]
pub struct Claim {
    folder: PathBuf,
    created: CreatedFolders,
    /// Whether a run stands there that is to stay until this one is complete.
    replaces: bool,
    /// Held until the claim is dropped; `None` in `drop` alone.
    lock: Option<File>,
}

impl Claim {
    /// Takes a folder that is there, to make its page again. Waits a little for another process that does the same.
    ///
    /// # Errors
    /// [`Error::RunFolder`] where another process goes on writing there, or the folder cannot be written.
    pub fn of_existing(folder: &Path) -> Result<Claim> {
        const PATIENCE: Duration = Duration::from_secs(5);
        let started = Instant::now();
        loop {
            match Claim::take(folder)? {
                Some(claim) => return Ok(claim),
                None if started.elapsed() > PATIENCE => return Err(busy(folder)),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// The folder of the run.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the run's checkpoints are kept while it is under way: apart from those of a run that it is to replace.
    pub fn checkpoints(&self) -> PathBuf {
        self.folder.join(if self.replaces { UNFINISHED_CHECKPOINTS } else { CHECKPOINTS })
    }

    /// Goes on with a run that was to replace the one that stands there, unless it has done so meanwhile.
    pub fn go_on_replacing(&mut self) {
        self.replaces = self.folder.join(UNFINISHED_CHECKPOINTS).is_dir();
    }

    /// Whether a run stands there that this one does not go on with.
    pub fn replaces_a_run(&self) -> bool {
        self.replaces
    }

    /// Where the files are made before they take their places.
    pub(crate) fn staging(&self) -> Result<PathBuf> {
        let new = self.folder.join(WORK).join(NEW);
        fs::create_dir_all(&new).map_err(|source| unusable(&self.folder, &source))?;
        Ok(new)
    }

    /// Makes the files in [`staging`](Self::staging) the folder's run. Those of the run before, its page and its graphs go. All of
    /// it is on the disk when this returns; a power cut meanwhile leaves one of the two runs.
    pub(crate) fn publish(&self) -> Result<()> {
        places(&self.folder).iter().try_for_each(|place| whole_file::check_replaceable(place))?;
        let work = self.folder.join(WORK);
        let swap = || -> io::Result<()> {
            let new = work.join(NEW);
            if self.replaces {
                File::create(new.join(CLEAR_CHECKPOINTS))?;
                File::create(new.join(ADOPT_CHECKPOINTS))?;
            }
            // Complete on the disk before one rename makes them the run.
            for entry in fs::read_dir(&new)? {
                whole_file::sync_file(&entry?.path())?;
            }
            whole_file::sync_folder(&new)?;
            fs::rename(&new, work.join(WHOLE))?;
            whole_file::sync_folder(&work)?;
            whole_file::sync_folder(&self.folder)?;
            finish(&self.folder)
        };
        swap().map_err(|source| unusable(&self.folder, &source))
    }

    /// Keeps one file of a run whose others could not be written: under its own name where no run is in the way, else beside
    /// that run. Returns where it is.
    pub(crate) fn rescue(&self, name: &str, name_beside: &str) -> Result<PathBuf> {
        let taken = FILES.iter().any(|name| self.folder.join(name).symlink_metadata().is_ok());
        let place = self.folder.join(if taken { name_beside } else { name });
        whole_file::check_replaceable(&place)?;
        fs::rename(self.folder.join(WORK).join(NEW).join(name), &place)
            .map_err(|source| unusable(&self.folder, &source))?;
        Ok(place)
    }

    /// `None` where another process has it.
    fn take(folder: &Path) -> Result<Option<Claim>> {
        /// How often the folder may vanish between two steps because another process gave it back.
        const ATTEMPTS: usize = 100;
        for _ in 0..ATTEMPTS {
            let created = CreatedFolders::make(folder)?;
            match lock_in(folder) {
                Ok(Some(lock)) => {
                    let claim = Claim { folder: folder.to_path_buf(), created, replaces: false, lock: Some(lock) };
                    settle(folder).map_err(|source| unusable(folder, &source))?;
                    return Ok(Some(claim));
                }
                Ok(None) => return Ok(None),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    created.remove_empty();
                    return Err(unusable(folder, &error));
                }
            }
        }
        Ok(None)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let work = self.folder.join(WORK);
        let _ = fs::remove_dir_all(work.join(NEW));
        // Files on the way to their places wait for the next process.
        if !work.join(WHOLE).exists() {
            // While it is locked: who opens it from now on sees that it is gone.
            let _ = fs::remove_file(work.join(LOCK));
            let _ = fs::remove_dir(&work);
        }
        drop(self.lock.take());
        self.created.remove_empty();
    }
}

/// Takes the first number that is free. A folder that a killed run left without a file is free.
fn next_below(runs: &Path) -> Result<Claim> {
    if runs.symlink_metadata().is_ok() && !runs.is_dir() {
        return Err(unusable(runs, &ErrorKind::NotADirectory.into()));
    }
    for number in 1u64.. {
        let folder = runs.join(number.to_string());
        if !is_free(&folder)? {
            continue;
        }
        // Asked again once nobody else can change it.
        match Claim::take(&folder)? {
            Some(claim) if is_free(&folder)? => return Ok(claim),
            _ => {}
        }
    }
    Err(busy(runs))
}

/// Whether nothing is there, or nothing but what a run that is under way or was killed leaves.
fn is_free(folder: &Path) -> Result<bool> {
    let mut entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(folder.symlink_metadata().is_err()),
        Err(error) if error.kind() == ErrorKind::NotADirectory => return Ok(false),
        Err(error) => return Err(unusable(folder, &error)),
    };
    Ok(entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == WORK)))
}

/// Locks the folder; `None` where another process has it. `NotFound` where another one has just given it back.
fn lock_in(folder: &Path) -> io::Result<Option<File>> {
    let work = folder.join(WORK);
    match fs::create_dir(&work) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let path = work.join(LOCK);
    let mut file = File::options().create(true).truncate(false).write(true).open(&path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        // A file system without locks: one run at a time is then the user's care.
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
        Err(TryLockError::Error(error)) => return Err(error),
    }
    if !is_at(&file, &path)? {
        return Err(ErrorKind::NotFound.into());
    }
    // For people who find it; on a full disk, the lock alone is what counts.
    let _ = file.write_all(LOCK_TEXT.as_bytes());
    Ok(Some(file))
}

/// Whether the open file is still the one of this name: its owner before may have removed it before it could be locked.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let (open, named) = (file.metadata()?, fs::metadata(path)?);
    Ok((open.dev(), open.ino()) == (named.dev(), named.ino()))
}

/// An open file's name is not given to another here.
#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> io::Result<bool> {
    Ok(path.exists())
}

/// Completes or clears what a process that was killed has left.
fn settle(folder: &Path) -> io::Result<()> {
    let work = folder.join(WORK);
    if work.join(WHOLE).exists() {
        finish(folder)?;
    }
    remove_if_there(fs::remove_dir_all(work.join(NEW)))?;
    for place in places(folder) {
        whole_file::remove_abandoned(&place)?;
    }
    [CHECKPOINTS, UNFINISHED_CHECKPOINTS].iter().try_for_each(|name| checkpoints::remove_abandoned(&folder.join(name)))
}

/// Moves complete files to their places. Between the first step and the last there is no summary, so whoever looks, or is left
/// with it after a kill, sees no run rather than half of each; doing it again goes on where it ended.
fn finish(folder: &Path) -> io::Result<()> {
    let whole = folder.join(WORK).join(WHOLE);
    if whole.join(SUMMARY).exists() {
        remove_if_there(fs::remove_file(folder.join(SUMMARY)))?;
        remove_page(folder)?;
        remove_if_there(fs::remove_file(folder.join(UNFINISHED)))?;
        // Each mark goes once what it says is done; until then, nothing of the next step has begun.
        if whole.join(CLEAR_CHECKPOINTS).exists() {
            checkpoints::clear(&folder.join(CHECKPOINTS))?;
            fs::remove_file(whole.join(CLEAR_CHECKPOINTS))?;
        }
        if whole.join(ADOPT_CHECKPOINTS).exists() {
            let new = folder.join(UNFINISHED_CHECKPOINTS);
            if new.is_dir() {
                checkpoints::move_all(&new, &folder.join(CHECKPOINTS))?;
            }
            fs::remove_file(whole.join(ADOPT_CHECKPOINTS))?;
        }
        for name in FILES.iter().rev() {
            if whole.join(name).exists() {
                // First out of the way: some file systems wait for the disk when a rename replaces a file.
                remove_if_there(fs::remove_file(folder.join(name)))?;
                fs::rename(whole.join(name), folder.join(name))?;
            }
        }
    }
    whole_file::sync_folder(folder)?;
    fs::remove_dir_all(whole)
}

/// Removes the page and the graphs; a folder of graphs that holds anything else stays.
pub(crate) fn remove_page(folder: &Path) -> io::Result<()> {
    let graphs = folder.join(GRAPHS);
    remove_if_there(fs::remove_file(folder.join(REPORT)))?;
    for name in GRAPH_FILES {
        remove_if_there(fs::remove_file(graphs.join(name)))?;
    }
    let _ = fs::remove_dir(graphs);
    Ok(())
}

fn remove_if_there(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(()),
        other => other,
    }
}

/// Where the files of a run, of its page and of its graphs stand.
fn places(folder: &Path) -> Vec<PathBuf> {
    let files = FILES.into_iter().chain([REPORT, UNFINISHED]).map(|name| folder.join(name));
    files.chain(GRAPH_FILES.map(|name| folder.join(GRAPHS).join(name))).collect()
}

/// Whether a run's files or checkpoints stand there.
fn holds_a_run(folder: &Path) -> bool {
    let checkpoints = [CHECKPOINTS, UNFINISHED_CHECKPOINTS].iter().any(|name| checkpoints::are_in(&folder.join(name)));
    checkpoints || FILES.iter().any(|name| folder.join(name).symlink_metadata().is_ok())
}

fn refuse_a_run(folder: &Path) -> Result<()> {
    // A page without a run may be anything, so it is no more overwritten than a run.
    let found =
        FILES.into_iter().chain([REPORT, GRAPHS, UNFINISHED]).find(|name| folder.join(name).symlink_metadata().is_ok());
    let problem = match found {
        Some(name) => format!("holds a run already ({name}); choose another folder, or ask for it to be replaced"),
        None if holds_a_run(folder) => {
            "holds a run already, which did not end (checkpoints); go on with it, choose another folder, or ask for it to be \
             replaced"
                .into()
        }
        None => return Ok(()),
    };
    Err(Error::RunFolder { path: folder.to_path_buf(), problem })
}

fn busy(folder: &Path) -> Error {
    let problem = "another flatnet is writing there; choose another folder, or wait until it is done".into();
    Error::RunFolder { path: folder.to_path_buf(), problem }
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
#[derive(Debug)]
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

    /// A run of which every file holds `text`.
    fn put(claim: &Claim, text: &str) -> Result<()> {
        let staging = claim.staging()?;
        FILES.into_iter().for_each(|name| fs::write(staging.join(name), text).unwrap());
        claim.publish()
    }

    fn at(folder: &Path, existing: Existing) -> Destination {
        Destination::At(folder.to_path_buf(), existing)
    }

    fn entries(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    const ENTRIES: [&str; 7] = [
        "batches.csv",
        "best.safetensors",
        "epochs.csv",
        "model.safetensors",
        "recipe.toml",
        "sample.csv",
        "summary.json",
    ];

    #[test]
    fn runs_take_the_first_free_number() {
        let root = tempfile::tempdir().unwrap();
        let next = Destination::NextBelow(root.path().join(RUNS));
        drop(next.claim().unwrap());
        assert_eq!(entries(root.path()), [""; 0], "a claim that is given back leaves no trace");
        for expected in ["1", "2"] {
            let claim = next.claim().unwrap();
            put(&claim, "x").unwrap();
            let folder = claim.folder().to_path_buf();
            drop(claim);
            assert_eq!(folder, root.path().join(RUNS).join(expected));
            assert_eq!(entries(&folder), ENTRIES);
        }
        fs::remove_dir_all(root.path().join("runs/1")).unwrap();
        assert!(next.claim().unwrap().folder().ends_with("runs/1"));
        // An empty folder is free, one with anything in it is not, and no more is a file.
        fs::create_dir(root.path().join("runs/1")).unwrap();
        assert!(next.claim().unwrap().folder().ends_with("runs/1"));
        fs::write(root.path().join("runs/1/notes.txt"), "mine").unwrap();
        fs::write(root.path().join("runs/3"), "mine").unwrap();
        assert!(next.claim().unwrap().folder().ends_with("runs/4"));
    }

    #[test]
    fn runs_that_begin_together_take_different_numbers() {
        let root = tempfile::tempdir().unwrap();
        let next = Destination::NextBelow(root.path().join(RUNS));
        let mut folders: Vec<PathBuf> = std::thread::scope(|scope| {
            let one = || {
                let claim = next.claim().unwrap();
                put(&claim, "x").unwrap();
                claim.folder().to_path_buf()
            };
            let started: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
            started.into_iter().map(|run| run.join().unwrap()).collect()
        });
        folders.sort();
        folders.dedup();
        assert_eq!(folders.len(), 8);
        assert!(folders.iter().all(|folder| entries(folder) == ENTRIES));
    }

    /// Locks are of open files, so that two claims of one process exclude each other as those of two processes do.
    #[test]
    fn a_folder_is_of_one_run_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("run");
        for existing in [Existing::Refuse, Existing::Replace] {
            let claim = at(&folder, Existing::Refuse).claim().unwrap();
            let message = at(&folder, existing).claim().unwrap_err().to_string();
            assert!(message.contains("another flatnet is writing there"), "{message}");
            drop(claim);
            assert_eq!(entries(root.path()), [""; 0]);
        }
        // Many at once, again and again: never two in it, and what is there is of one of them.
        let inside = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (folder, inside) = (&folder, &inside);
                scope.spawn(move || {
                    for round in 0..50 {
                        if let Ok(claim) = at(folder, Existing::Replace).claim() {
                            assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                            put(&claim, &format!("{thread} {round}")).unwrap();
                            let texts = FILES.map(|name| fs::read_to_string(folder.join(name)).unwrap());
                            assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
                            inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        assert_eq!(entries(&folder), ENTRIES);
    }

    #[test]
    fn a_run_is_refused_unless_it_may_be_replaced() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("deep/run");
        put(&at(&folder, Existing::Refuse).claim().unwrap(), "old").unwrap();
        fs::write(folder.join("notes.txt"), "mine").unwrap();

        let message = at(&folder, Existing::Refuse).claim().unwrap_err().to_string();
        assert!(message.contains("holds a run already") && message.contains("replaced"), "{message}");
        assert_eq!(fs::read(folder.join(MODEL)).unwrap(), b"old");

        // Given back half-way, the old run stands.
        let claim = at(&folder, Existing::Replace).claim().unwrap();
        fs::write(claim.staging().unwrap().join(SUMMARY), "new").unwrap();
        drop(claim);
        assert_eq!(fs::read(folder.join(SUMMARY)).unwrap(), b"old");
        assert_eq!(entries(&folder).len(), ENTRIES.len() + 1);

        // The page of the old run goes with it, what is somebody else's stays.
        fs::create_dir(folder.join(GRAPHS)).unwrap();
        for name in [REPORT, "graphs/weights.svg", "graphs/mine.svg"] {
            fs::write(folder.join(name), "old").unwrap();
        }
        put(&at(&folder, Existing::Replace).claim().unwrap(), "new").unwrap();
        for name in FILES {
            assert_eq!(fs::read(folder.join(name)).unwrap(), b"new", "{name}");
        }
        assert_eq!(fs::read(folder.join("notes.txt")).unwrap(), b"mine");
        assert_eq!(
            (entries(&folder).len(), entries(&folder.join(GRAPHS))),
            (ENTRIES.len() + 2, vec!["mine.svg".to_string()])
        );
    }

    /// Killed between any two steps: the folder holds the old run, none, or the new one, and the next process sees to the rest.
    #[test]
    fn what_a_kill_leaves_is_completed_or_cleared() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("run");
        let work = folder.join(WORK);
        let texts = || FILES.map(|name| fs::read_to_string(folder.join(name)).unwrap_or_default());

        // Before the files were complete: the old run stays.
        put(&at(&folder, Existing::Replace).claim().unwrap(), "old").unwrap();
        fs::create_dir_all(work.join(NEW)).unwrap();
        fs::write(work.join(NEW).join(BATCHES), "half").unwrap();
        fs::write(work.join(LOCK), LOCK_TEXT).unwrap();
        fs::write(folder.join(".summary.json.17-0.partial"), "half").unwrap();
        at(&folder, Existing::Refuse).claim().unwrap_err();
        assert_eq!((texts(), entries(&folder).len()), (FILES.map(|_| "old".into()), FILES.len()));

        // After any number of them took their places: the new one comes to stand.
        for done in 0..=FILES.len() {
            fs::remove_dir_all(&folder).unwrap();
            put(&at(&folder, Existing::Replace).claim().unwrap(), "old").unwrap();
            fs::create_dir_all(work.join(WHOLE)).unwrap();
            FILES.into_iter().for_each(|name| fs::write(work.join(WHOLE).join(name), "new").unwrap());
            if done > 0 {
                fs::remove_file(folder.join(SUMMARY)).unwrap();
            }
            for name in FILES.iter().rev().take(done) {
                fs::rename(work.join(WHOLE).join(name), folder.join(name)).unwrap();
            }
            assert!(texts()[0] != "old" || done == 0, "no old summary beside new files");
            drop(Claim::of_existing(&folder).unwrap());
            assert_eq!((texts(), entries(&folder).len()), (FILES.map(|_| "new".into()), FILES.len()), "{done}");
        }
    }

    #[test]
    fn a_failure_takes_back_the_folders_it_made() {
        let root = tempfile::tempdir().unwrap();
        for destination in
            [Destination::NextBelow(root.path().join(RUNS)), at(&root.path().join("a/b"), Existing::Refuse)]
        {
            let claim = destination.claim().unwrap();
            fs::write(claim.staging().unwrap().join(MODEL), "half").unwrap();
            drop(claim);
            assert_eq!(entries(root.path()), [""; 0]);
        }
    }

    #[test]
    fn a_model_whose_run_could_not_be_written_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("run");
        let rescue = || {
            let claim = at(&folder, Existing::Replace).claim().unwrap();
            fs::write(claim.staging().unwrap().join(MODEL), "new").unwrap();
            claim.rescue(MODEL, UNFINISHED).unwrap()
        };
        assert_eq!(rescue(), folder.join(MODEL));
        assert_eq!(entries(&folder), [MODEL]);
        put(&at(&folder, Existing::Replace).claim().unwrap(), "old").unwrap();
        assert_eq!(rescue(), folder.join(UNFINISHED));
        assert_eq!(fs::read(folder.join(MODEL)).unwrap(), b"old");
        put(&at(&folder, Existing::Replace).claim().unwrap(), "newer").unwrap();
        assert_eq!(entries(&folder), ENTRIES);
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("taken");
        fs::write(&file, "mine").unwrap();
        for path in [file.clone(), file.join("below")] {
            let message = at(&path, Existing::Replace).claim().unwrap_err().to_string();
            assert!(message.contains(path.to_str().unwrap()) && message.contains("a file stands"), "{message}");
        }
        assert_eq!(fs::read(&file).unwrap(), b"mine");
        // Where no plain file stands, none is put.
        fs::create_dir_all(root.path().join("run/model.safetensors")).unwrap();
        let message = at(&root.path().join("run"), Existing::Replace).claim().unwrap_err().to_string();
        assert!(message.contains("model.safetensors: ") && message.contains("no plain file"), "{message}");
    }
}
