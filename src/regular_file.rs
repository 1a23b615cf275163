//! Opens what is a file in the plain sense. A named pipe would keep its reader waiting for ever, and a device has no end; so
//! it is asked before opening. It knows nothing of what files hold.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// The file at `path`, to be read, and its length in bytes; `None` where something else lies there: a folder, a pipe, a device.
///
/// # Errors
/// The operating system's.
pub fn open(path: &Path) -> io::Result<Option<(File, u64)>> {
    let about = fs::metadata(path)?;
    if !about.is_file() {
        return Ok(None);
    }
    Ok(Some((File::open(path)?, about.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_opened_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"seven b").unwrap();
        assert_eq!(open(&path).unwrap().unwrap().1, 7);
        assert!(open(folder.path()).unwrap().is_none());
        assert_eq!(open(&folder.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&path, folder.path().join("link")).unwrap();
            assert!(open(&folder.path().join("link")).unwrap().is_some());
            assert!(open(Path::new("/dev/zero")).unwrap().is_none());
        }
    }
}
