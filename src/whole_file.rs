//! Files that appear whole or not at all: written beside their place under another name, then renamed. It knows
//! nothing of what is written. This guards against an interrupted program; against a power cut, where it says so.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

/// A complete file that waits beside its place. Dropped instead of published, it is removed.
#[derive(Debug)]
pub(crate) struct Staged {
    temporary: PathBuf,
    place: PathBuf,
    published: bool,
}

/// A file that is being written beside its place, bit by bit. Dropped before it is complete, it is removed.
#[derive(Debug)]
pub(crate) struct Draft {
    // First, so that the file is closed before it is removed.
    out: BufWriter<File>,
    staged: Staged,
}

impl Draft {
    /// An empty one, in the folder of `place`, so that the later rename cannot cross file systems.
    pub fn start(place: &Path) -> Result<Draft> {
        check_replaceable(place)?;
        let (file, temporary) = create_beside(place).map_err(|source| failed(place, source))?;
        let staged = Staged { temporary, place: place.to_path_buf(), published: false };
        Ok(Draft { out: BufWriter::with_capacity(1 << 16, file), staged })
    }

    /// Adds what `fill` gives.
    pub fn add(&mut self, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
        fill(&mut self.out).map_err(|source| failed(&self.staged.place, source))
    }

    /// Overwrites what stands at a byte of what has been added.
    pub fn put(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        let put = self.out.seek(SeekFrom::Start(at)).and_then(|_| self.out.write_all(bytes));
        let put = put.and_then(|()| self.out.seek(SeekFrom::End(0)).map(drop));
        put.map_err(|source| failed(&self.staged.place, source))
    }

    /// Nothing is added any more.
    pub fn complete(mut self) -> Result<Staged> {
        self.add(|out| out.flush())?;
        Ok(self.staged)
    }
}

/// Puts a file that holds `bytes` in its place; what stood there before is replaced.
///
/// # Errors
/// [`Error::Io`] where it cannot be written, or where no plain file stands there.
pub fn write(place: &Path, bytes: &[u8]) -> Result<()> {
    Staged::write(place, |out| out.write_all(bytes))?.publish()
}

fn failed(place: &Path, source: io::Error) -> Error {
    Error::Io { path: place.to_path_buf(), action: "write", source }
}

impl Staged {
    /// Writes what `fill` gives beside `place`.
    pub fn write(place: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<Staged> {
        let mut draft = Draft::start(place)?;
        draft.add(fill)?;
        draft.complete()
    }

    /// Puts the file in its place; what stood there before is replaced.
    pub fn publish(mut self) -> Result<()> {
        // Once more: filling may have taken long.
        check_replaceable(&self.place)?;
        fs::rename(&self.temporary, &self.place).map_err(|source| Error::Io {
            path: self.place.clone(),
            action: "replace",
            source,
        })?;
        self.published = true;
        Ok(())
    }
}

impl Staged {
    /// The same, and on the disk when this returns: what stands there outlasts a power cut.
    pub fn publish_for_good(self) -> Result<()> {
        let place = self.place.clone();
        sync_file(&self.temporary).map_err(|source| failed(&place, source))?;
        self.publish()?;
        sync_folder_of(&place).map_err(|source| failed(&place, source))
    }
}

/// Waits until the disk has a file's bytes.
pub(crate) fn sync_file(path: &Path) -> io::Result<()> {
    File::options().write(true).open(path)?.sync_all()
}

/// Waits until the disk has the names in a folder. Some file systems cannot be asked to; then they do as they please.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    match File::open(path)?.sync_all() {
        Err(error) if !matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => return Err(error),
        _ => {}
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

fn sync_folder_of(place: &Path) -> io::Result<()> {
    match place.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
        _ => sync_folder(Path::new(".")),
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.published {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// An error unless nothing stands at `place`, or a plain file: a rename would put a file in place of a device or a link, and
/// so take away what others reach by that name.
pub(crate) fn check_replaceable(place: &Path) -> Result<()> {
    match place.symlink_metadata() {
        Ok(about) if !about.is_file() => {
            let kind = if about.is_dir() {
                "a folder"
            } else if about.is_symlink() {
                "a link"
            } else {
                "a device or a pipe"
            };
            let problem = format!("{kind} stands there, no plain file, so it is not replaced; name another place");
            Err(Error::Io { path: place.to_path_buf(), action: "write", source: io::Error::other(problem) })
        }
        _ => Ok(()),
    }
}

/// Removes what a killed program left beside `place`: files of the names that [`create_beside`] gives.
pub(crate) fn remove_abandoned(place: &Path) -> io::Result<()> {
    let (Some(folder), Some(name)) = (place.parent(), place.file_name().and_then(|name| name.to_str())) else {
        return Ok(());
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let found = entry?.file_name();
        let numbers = found.to_str().and_then(|found| found.strip_prefix('.')?.strip_prefix(name)?.strip_prefix('.'));
        let numbers = numbers.and_then(|numbers| numbers.strip_suffix(".partial")?.split_once('-'));
        if numbers.is_some_and(|(process, count)| is_number(process) && is_number(count)) {
            fs::remove_file(folder.join(found))?;
        }
    }
    Ok(())
}

/// Opens a new file with a hidden name of its own in the folder of `place`.
fn create_beside(place: &Path) -> io::Result<(File, PathBuf)> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = place.file_name().ok_or_else(|| io::Error::from(ErrorKind::InvalidInput))?;
    loop {
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}-{}.partial", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
        let temporary = place.with_file_name(hidden);
        match File::create_new(&temporary) {
            // Left behind by a killed program that had the same process id.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            created => return created.map(|file| (file, temporary)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_old_file_stands_until_the_new_one_is_published() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("figures.csv");
        fs::write(&place, "old").unwrap();

        let staged = Staged::write(&place, |out| out.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"old");
        staged.publish().unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["figures.csv"]);
    }

    #[test]
    fn a_failure_half_way_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("figures.csv");
        fs::write(&place, "old").unwrap();

        let error = Staged::write(&place, |out| {
            out.write_all(b"half")?;
            Err(io::Error::other("disk full"))
        })
        .unwrap_err();
        assert!(error.to_string().ends_with("figures.csv: cannot write: disk full"), "{error}");
        drop(Staged::write(&place, |out| out.write_all(b"unwanted")).unwrap());
        assert_eq!(fs::read(&place).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["figures.csv"]);
    }

    #[test]
    fn only_plain_files_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let aim = folder.path().join("aim");
        fs::write(&aim, "mine").unwrap();
        fs::create_dir(folder.path().join("folder")).unwrap();
        let mut places = vec![folder.path().join("folder")];
        #[cfg(unix)]
        for (name, to) in [("link", &*aim), ("null", Path::new("/dev/null")), ("nowhere", Path::new("absent"))] {
            std::os::unix::fs::symlink(to, folder.path().join(name)).unwrap();
            places.push(folder.path().join(name));
        }
        let before = names(folder.path());
        for place in places {
            let error = Staged::write(&place, |out| out.write_all(b"new")).unwrap_err().to_string();
            assert!(error.contains("no plain file") && error.contains(place.to_str().unwrap()), "{error}");
        }
        assert_eq!((names(folder.path()), fs::read(&aim).unwrap()), (before, b"mine".to_vec()));
        // One that comes to stand there in the meantime.
        let staged = Staged::write(&folder.path().join("new"), |out| out.write_all(b"new")).unwrap();
        fs::create_dir(folder.path().join("new")).unwrap();
        assert!(staged.publish().unwrap_err().to_string().contains("no plain file"));
    }

    #[test]
    fn what_a_killed_program_left_is_known_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("figures.csv");
        let (_, partial) = create_beside(&place).unwrap();
        let kept =
            [".figures.csv.x-1.partial", ".figures.csv.partial", ".other.csv.1-1.partial", "figures.csv.1-1.partial"];
        kept.iter().for_each(|name| fs::write(folder.path().join(name), "mine").unwrap());
        remove_abandoned(&place).unwrap();
        assert!(!partial.exists());
        assert_eq!(names(folder.path()).len(), kept.len());
    }
}
