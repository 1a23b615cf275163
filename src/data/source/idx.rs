//! The IDX format of unsigned bytes, 1 to 3 dimensions, raw or gzip: a strict reader and a writer.
//! It must not know what the bytes mean.
//!
//! A file is `00 00`, a type byte (`08`: unsigned bytes), the number of dimensions, the dimensions as big-endian u32,
//! then the values, the last dimension running fastest.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use byteorder::{BigEndian, WriteBytesExt};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::array::{self, Array};
use super::element::{ByteOrder, Element};
use super::header;
pub use super::header::MAX_BYTES;
use super::unpack::{Begun, Extent, Unpacked};
use crate::error::{Error, IdxFault, Result};

const MAX_DIMENSIONS: usize = 3;
/// Of arrays that need not be images.
const MAX_DIMENSIONS_OF_ANY: usize = 4;
const UNSIGNED_BYTE: u8 = 0x08;
const WHOLE_NUMBER: u8 = 0x0c;

fn only_bytes(element: u8) -> Option<u64> {
    (element == UNSIGNED_BYTE).then_some(1)
}

/// What an IDX file holds: `bytes` of shape `dims`, row-major.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdxArray {
    /// 1 to 3 sizes, none of them 0.
    pub dims: Vec<usize>,
    /// As many as the product of `dims`.
    pub bytes: Vec<u8>,
}

/// Reads the IDX file at `path`, raw or gzip; the first two bytes decide.
///
/// The header is checked before anything is allocated: for a raw file its sizes must give the file's exact length, for
/// gzip they must be possible for a file of that length, and never may they exceed [`MAX_BYTES`].
///
/// # Errors
/// [`Error::Io`] from the operating system, [`Error::Idx`] with one [`IdxFault`] per way to break the format.
pub fn read(path: &Path) -> Result<IdxArray> {
    collect(Values::open(path)?)
}

/// Reads IDX from memory: `bytes` are those of a whole file, raw or gzip. Errors name `path_for_errors`.
///
/// # Errors
/// As [`read`].
pub fn parse(path_for_errors: &Path, bytes: &[u8]) -> Result<IdxArray> {
    collect(Values::new(path_for_errors, Unpacked::new(path_for_errors, bytes, bytes.len() as u64)?, only_bytes)?)
}

/// The element of IDX's type byte.
fn element(byte: u8) -> Option<Element> {
    Some(match byte {
        UNSIGNED_BYTE => Element::U8,
        0x09 => Element::I8,
        0x0b => Element::I16,
        WHOLE_NUMBER => Element::I32,
        0x0d => Element::F32,
        0x0e => Element::F64,
        _ => return None,
    })
}

/// Whether `start`, the first bytes of a file, are those of an IDX file: no text and no other format begins so.
pub(super) fn begins(start: &[u8]) -> bool {
    matches!(start, [0, 0, element, ..] if self::element(*element).is_some())
}

/// Whether `start` are the first bytes of an IDX file of numbers that are no bytes.
pub(super) fn begins_other_numbers(start: &[u8]) -> bool {
    matches!(start, [0, 0, kind, ..] if *kind != UNSIGNED_BYTE && element(*kind).is_some())
}

/// Whether `start` are the first bytes of an IDX file that [`Values::open_numbers`] takes.
pub(super) fn begins_labels(start: &[u8]) -> bool {
    matches!(start, [0, 0, UNSIGNED_BYTE | WHOLE_NUMBER, 1 | 2, ..])
}

/// The array of an IDX file of any element type and 1 to 4 dimensions; checked as [`read`] does.
pub(super) fn read_any(mut file: Begun<'_>) -> Result<Array> {
    let (path, extent) = (file.path(), file.extent());
    let mut found = Element::U8;
    let bytes_of = |byte| {
        found = element(byte)?;
        Some(found.bytes() as u64)
    };
    let header = header::read(path, extent, bytes_of, MAX_DIMENSIONS_OF_ANY, |out| file.fill(out))?;
    let count = (header.value_bytes / header.element_bytes) as usize;
    let values = array::Values::take(found, ByteOrder::Big, count, |out| file.fill(out), path)?;
    let fail = |offset, fault| Err(Error::Idx { path: path.to_path_buf(), offset, fault });
    let expected = header.file_bytes;
    let Some(values) = values else {
        let found = file.given();
        return fail(found, IdxFault::CutShort { expected, found });
    };
    if file.fill(&mut [0])? > 0 {
        return fail(expected, IdxFault::TrailingBytes { expected });
    }
    array::array(path, "", header.dims, values, found.is_whole())
}

/// Writes `array` to a new raw file at `path`. What it writes, [`read`] gives back.
///
/// # Errors
/// [`Error::Io`] if `path` exists already or cannot be written, [`Error::Idx`] if `array` breaks its own rules.
/// A file that could not be written to its end is removed.
pub fn write(path: &Path, array: &IdxArray) -> Result<()> {
    create(path, array, |file| {
        encode(file, array)?;
        file.flush()
    })
}

/// As [`write()`], packed with gzip.
///
/// # Errors
/// As [`write()`].
pub fn write_gz(path: &Path, array: &IdxArray) -> Result<()> {
    create(path, array, |file| {
        let mut packer = GzEncoder::new(file, Compression::default());
        encode(&mut packer, array)?;
        packer.finish()?.flush()
    })
}

fn collect<R: BufRead>(mut values: Values<'_, R>) -> Result<IdxArray> {
    let mut bytes = Vec::new();
    values.take(&mut bytes, values.left)?;
    let dims = values.finish()?;
    Ok(IdxArray { dims, bytes })
}

/// The values of a file whose header is in order, to be taken in runs.
pub(super) struct Values<'a, R> {
    path: &'a Path,
    source: Unpacked<'a, R>,
    dims: Vec<usize>,
    /// Bytes of the whole file, unpacked, as the header says.
    expected: u64,
    /// Bytes of a value.
    value_bytes: usize,
    /// Bytes of values that have not been taken.
    left: usize,
}

impl<'a> Values<'a, BufReader<File>> {
    /// Of bytes.
    pub fn open(path: &'a Path) -> Result<Self> {
        Self::new(path, Unpacked::open(path)?, only_bytes)
    }

    /// Of bytes or of whole numbers of four bytes.
    pub fn open_numbers(path: &'a Path) -> Result<Self> {
        let numbers = |element| if element == WHOLE_NUMBER { Some(4) } else { only_bytes(element) };
        Self::new(path, Unpacked::open(path)?, numbers)
    }
}

impl<'a, R: BufRead> Values<'a, R> {
    fn new(path: &'a Path, mut source: Unpacked<'a, R>, elements: impl FnOnce(u8) -> Option<u64>) -> Result<Self> {
        let header = header::read(path, source.extent(), elements, MAX_DIMENSIONS, |out| source.fill(out))?;
        let (value_bytes, left) = (header.element_bytes as usize, header.value_bytes as usize);
        Ok(Values { path, source, dims: header.dims, expected: header.file_bytes, value_bytes, left })
    }

    /// Bytes of a value.
    pub fn value_bytes(&self) -> usize {
        self.value_bytes
    }

    /// How many bytes its file can give.
    pub fn extent(&self) -> Extent {
        self.source.extent()
    }

    /// 1 to 3 sizes, none of them 0.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// Bytes of values that have not been taken.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Replaces what `bytes` holds by the next `count` bytes of values, at most those that are left.
    pub fn take(&mut self, bytes: &mut Vec<u8>, count: usize) -> Result<()> {
        self.source.take(bytes, count)?;
        if bytes.len() < count {
            let found = self.expected - (self.left - bytes.len()) as u64;
            let fault = IdxFault::CutShort { expected: self.expected, found };
            return Err(Error::Idx { path: self.path.to_path_buf(), offset: found, fault });
        }
        self.left -= count;
        Ok(())
    }

    /// Checks that nothing follows the last value. Returns the dimensions.
    pub fn finish(self) -> Result<Vec<usize>> {
        self.source.finish()?;
        Ok(self.dims)
    }
}

/// Creates the file at `path`, which must not exist, and lets `fill` write it; on failure no file stays.
fn create(path: &Path, array: &IdxArray, fill: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>) -> Result<()> {
    let dimensions = array.dims.len();
    if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
        let fault = IdxFault::DimensionCount { found: dimensions };
        return Err(Error::Idx { path: path.to_path_buf(), offset: 3, fault });
    }
    let header_bytes = header::len(dimensions);
    let promised = header::bytes_of(path, &array.dims, 1)?;
    let (expected, found) = (header_bytes + promised, header_bytes + array.bytes.len() as u64);
    if found < expected {
        return Err(Error::Idx {
            path: path.to_path_buf(),
            offset: found,
            fault: IdxFault::CutShort { expected, found },
        });
    }
    if found > expected {
        return Err(Error::Idx {
            path: path.to_path_buf(),
            offset: expected,
            fault: IdxFault::TrailingBytes { expected },
        });
    }
    let file = File::create_new(path).map_err(|source| Error::Io {
        path: path.to_path_buf(),
        action: "create (a file that exists is never overwritten)",
        source,
    })?;
    fill(&mut BufWriter::new(file)).map_err(|source| {
        // The first failure is the one to report, whether or not this succeeds.
        let _ = fs::remove_file(path);
        Error::Io { path: path.to_path_buf(), action: "write", source }
    })
}

fn encode(out: &mut impl Write, array: &IdxArray) -> std::io::Result<()> {
    out.write_all(&[0, 0, UNSIGNED_BYTE, array.dims.len() as u8])?;
    for &size in &array.dims {
        out.write_u32::<BigEndian>(size as u32)?;
    }
    out.write_all(&array.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_could_not_be_finished_does_not_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let array = IdxArray { dims: vec![1], bytes: vec![0] };
        let error = create(&path, &array, |file| {
            file.write_all(b"part")?;
            file.flush()?;
            Err(std::io::Error::other("disk full"))
        })
        .unwrap_err();
        assert!(error.to_string().ends_with("file: cannot write: disk full"), "{error}");
        assert!(!path.exists());
    }
}
