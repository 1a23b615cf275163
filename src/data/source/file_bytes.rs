//! The bytes of a file that is read more than once, raw or gzip, from any place on. It must not know what they mean.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek as _, SeekFrom};
use std::path::Path;

use super::unpack::{Begun, Extent, Unpacked};
use crate::data::messages::refusal;
use crate::error::{Error, Result};
use crate::regular_file;

/// Large enough that calls cost nothing, small enough that what is read stays in L2.
const BUFFER_BYTES: usize = 128 * 1024;

/// What gives out bytes one after the other.
pub(super) trait Bytes {
    /// Its file.
    fn path(&self) -> &Path;

    /// Writes the next bytes to the front of `out`, and says how many: fewer than asked for only at the end.
    fn fill(&mut self, out: &mut [u8]) -> Result<usize>;
}

/// The error that a file is not what it was when it was opened first.
pub(super) fn changed(path: &Path, expected: impl Into<String>, found: impl Into<String>) -> Error {
    let what = "the file has changed while it was in use; leave it as it is during a run";
    refusal(&path.display().to_string(), what, expected.into(), found.into())
}

/// A file that was opened before, and is read once more.
pub(super) struct FileBytes<'a> {
    path: &'a Path,
    extent: Extent,
    content: Content<'a>,
    /// Of the next byte, unpacked.
    at: u64,
}

enum Content<'a> {
    /// A place in it costs nothing.
    Raw(BufReader<File>),
    /// All before a place has to be inflated.
    Packed(Unpacked<'a, BufReader<File>>),
}

impl<'a> FileBytes<'a> {
    /// Opens the file at `path`, which had this `extent` before.
    ///
    /// # Errors
    /// [`Error::Io`] from the operating system; [`Error::Shape`] if the file has another length by now.
    pub fn open(path: &'a Path, extent: Extent) -> Result<Self> {
        let content = match extent {
            Extent::Exactly(expected) => {
                let fail = |source| Error::Io { path: path.to_path_buf(), action: "open", source };
                let Some((file, found)) = regular_file::open(path).map_err(fail)? else {
                    return Err(changed(path, "a regular file", "something else"));
                };
                if found != expected {
                    return Err(changed(path, format!("{expected} bytes"), format!("{found}")));
                }
                Content::Raw(BufReader::with_capacity(BUFFER_BYTES, file))
            }
            Extent::AtMost { packed, .. } => {
                let unpacked = Unpacked::open(path)?;
                match unpacked.extent() {
                    Extent::AtMost { packed: found, .. } if found == packed => Content::Packed(unpacked),
                    Extent::AtMost { packed: found, .. } | Extent::Exactly(found) => {
                        return Err(changed(path, format!("a gzip file of {packed} bytes"), format!("{found} bytes")));
                    }
                }
            }
        };
        Ok(Self { path, extent, content, at: 0 })
    }

    /// Where the next byte stands.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Goes to the byte `offset`, which may lie beyond the end: then nothing is there to read.
    pub fn go_to(&mut self, offset: u64) -> Result<()> {
        if let Content::Raw(reader) = &mut self.content {
            let by = i128::from(offset) - i128::from(self.at);
            let sought = match i64::try_from(by) {
                Ok(by) => reader.seek_relative(by),
                Err(_) => reader.seek(SeekFrom::Start(offset)).map(|_| ()),
            };
            sought.map_err(|source| read_failed(self.path, source))?;
            self.at = offset;
            return Ok(());
        }
        if offset < self.at {
            *self = Self::open(self.path, self.extent)?;
        }
        let mut passed_by = vec![0; BUFFER_BYTES];
        while self.at < offset {
            let most = usize::try_from(offset - self.at).unwrap_or(usize::MAX).min(BUFFER_BYTES);
            if self.fill(&mut passed_by[..most])? < most {
                break;
            }
        }
        Ok(())
    }
}

impl Bytes for Begun<'_> {
    fn path(&self) -> &Path {
        self.path()
    }

    fn fill(&mut self, out: &mut [u8]) -> Result<usize> {
        self.fill(out)
    }
}

impl Bytes for FileBytes<'_> {
    fn path(&self) -> &Path {
        self.path
    }

    fn fill(&mut self, out: &mut [u8]) -> Result<usize> {
        let filled = match &mut self.content {
            Content::Packed(unpacked) => unpacked.fill(out)?,
            Content::Raw(reader) => fill_from(reader, out).map_err(|source| read_failed(self.path, source))?,
        };
        self.at += filled as u64;
        Ok(filled)
    }
}

fn fill_from(reader: &mut impl BufRead, out: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < out.len() {
        match reader.read(&mut out[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn read_failed(path: &Path, source: io::Error) -> Error {
    Error::Io { path: path.to_path_buf(), action: "read", source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::source::testing::gzip;

    #[test]
    fn every_place_of_a_file_is_reached_raw_and_packed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bytes");
        let bytes: Vec<u8> = (0..400_000_u32).map(|at| (at * 7 % 251) as u8).collect();
        for file in [bytes.clone(), gzip(&bytes)] {
            std::fs::write(&path, &file).unwrap();
            let extent = Unpacked::open(&path).unwrap().extent();
            let mut read = FileBytes::open(&path, extent).unwrap();
            let mut piece = vec![0; 5_000];
            for offset in [0, 10, 5_011, 300_000, 299_990, 7, 398_000, 400_000, 900_000, 1] {
                read.go_to(offset).unwrap();
                let filled = read.fill(&mut piece).unwrap();
                let expected = bytes.get(offset as usize..).unwrap_or_default();
                assert_eq!(piece[..filled], expected[..expected.len().min(5_000)], "{offset}");
            }
        }
    }

    #[test]
    fn another_length_is_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bytes");
        for (first, second) in [(vec![1; 9], vec![1; 10]), (gzip(&[1; 9]), vec![1; 9]), (gzip(&[1; 9]), gzip(&[]))] {
            std::fs::write(&path, &first).unwrap();
            let extent = Unpacked::open(&path).unwrap().extent();
            std::fs::write(&path, &second).unwrap();
            let error = FileBytes::open(&path, extent).map(|_| ()).unwrap_err().to_string();
            assert!(
                error.contains("bytes: the file has changed while it was in use") && !error.contains('\n'),
                "{error}"
            );
        }
    }
}
