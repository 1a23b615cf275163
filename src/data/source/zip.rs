//! The zip archives that NumPy writes (`.npz`): entries that are stored or deflated, found by the directory at the end of the
//! file. It must not know what entries hold.
//!
//! Every place and size is compared with the file's length before anything is read there; checksums are verified. The format
//! is PKWARE's APPNOTE, with the 64-bit sizes that NumPy asks for.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use byteorder::{ByteOrder, LittleEndian};
use flate2::Crc;
use flate2::read::DeflateDecoder;

use super::unpack::Extent;
use crate::error::{Error, Result};
use crate::regular_file;

pub(super) const MAGIC: &[u8] = b"PK\x03\x04";
/// Of an archive without entries.
pub(super) const EMPTY_MAGIC: &[u8] = b"PK\x05\x06";

const END: &[u8] = b"PK\x05\x06";
const END_BYTES: usize = 22;
const LOCATOR_64: &[u8] = b"PK\x06\x07";
const LOCATOR_64_BYTES: usize = 20;
const END_64: &[u8] = b"PK\x06\x06";
const END_64_BYTES: usize = 56;
const ENTRY: &[u8] = b"PK\x01\x02";
const ENTRY_BYTES: usize = 46;
const LOCAL: &[u8] = b"PK\x03\x04";
const LOCAL_BYTES: usize = 30;
/// Which extra field holds sizes of 64 bits.
const SIZES_64: u16 = 1;
const MAX_COMMENT_BYTES: usize = u16::MAX as usize;
const MAX_ENTRIES: u64 = 4096;
const MAX_DIRECTORY_BYTES: u64 = 1 << 20;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// The entries of an archive.
pub(super) struct Archive {
    path: PathBuf,
    file_bytes: u64,
    pub entries: Vec<Entry>,
}

/// What the directory says of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub name: String,
    method: u16,
    checksum: u32,
    packed: u64,
    pub unpacked: u64,
    /// Of its own header, from the start of the file.
    offset: u64,
}

impl Archive {
    pub fn open(path: &Path) -> Result<Archive> {
        let failed = |source| Error::Io { path: path.to_path_buf(), action: "read", source };
        let Some((mut file, file_bytes)) = regular_file::open(path).map_err(failed)? else {
            return Err(refuse(path, "it is not a regular file"));
        };
        let damaged = || refuse(path, "the archive's directory is damaged or cut off; copy or download the file again");
        let tail_bytes = file_bytes.min((END_BYTES + MAX_COMMENT_BYTES) as u64);
        let tail = read_at(&mut file, file_bytes - tail_bytes, tail_bytes as usize).map_err(failed)?;
        let found = (0..(tail.len() + 1).saturating_sub(END_BYTES)).rev().find(|at| {
            let comment = || usize::from(LittleEndian::read_u16(&tail[at + 20..]));
            tail[*at..].starts_with(END) && at + END_BYTES + comment() == tail.len()
        });
        let at = found.ok_or_else(damaged)?;
        let end = &tail[at..];
        let mut count = u64::from(LittleEndian::read_u16(&end[10..]));
        let mut directory_bytes = u64::from(LittleEndian::read_u32(&end[12..]));
        let mut directory = u64::from(LittleEndian::read_u32(&end[16..]));
        if let Some(locator) = at.checked_sub(LOCATOR_64_BYTES).map(|start| &tail[start..at])
            && locator.starts_with(LOCATOR_64)
        {
            let end_64 = LittleEndian::read_u64(&locator[8..]);
            if end_64.checked_add(END_64_BYTES as u64).is_none_or(|end| end > file_bytes) {
                return Err(damaged());
            }
            let end_64 = read_at(&mut file, end_64, END_64_BYTES).map_err(failed)?;
            if !end_64.starts_with(END_64) {
                return Err(damaged());
            }
            count = LittleEndian::read_u64(&end_64[32..]);
            directory_bytes = LittleEndian::read_u64(&end_64[40..]);
            directory = LittleEndian::read_u64(&end_64[48..]);
        }
        if count > MAX_ENTRIES || directory_bytes > MAX_DIRECTORY_BYTES {
            return Err(refuse(path, &format!("{count} entries, expected at most {MAX_ENTRIES}, of an array each")));
        }
        if directory.checked_add(directory_bytes).is_none_or(|end| end > file_bytes) {
            return Err(damaged());
        }
        let directory = read_at(&mut file, directory, directory_bytes as usize).map_err(failed)?;
        let (mut rest, mut entries) = (&directory[..], Vec::new());
        for _ in 0..count {
            let (entry, bytes) = entry(path, rest)?.ok_or_else(damaged)?;
            rest = &rest[bytes..];
            entries.push(entry);
        }
        let mut names: Vec<&str> = entries.iter().map(|entry: &Entry| entry.name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(refuse(path, &format!("two entries are called {}", super::csv::shown(twice[0].as_bytes()))));
        }
        Ok(Archive { path: path.to_path_buf(), file_bytes, entries })
    }

    /// The bytes of an entry.
    pub fn read(&self, entry: &Entry) -> Result<Unzipped> {
        let failed = |source| Error::Io { path: self.path.clone(), action: "read", source };
        let damaged = || fault(&self.path, &entry.name, "its place in the archive is damaged");
        if entry.offset.checked_add(LOCAL_BYTES as u64).is_none_or(|end| end > self.file_bytes) {
            return Err(damaged());
        }
        let mut file = File::open(&self.path).map_err(failed)?;
        let local = read_at(&mut file, entry.offset, LOCAL_BYTES).map_err(failed)?;
        if !local.starts_with(LOCAL) {
            return Err(damaged());
        }
        let (name, extra) = (LittleEndian::read_u16(&local[26..]), LittleEndian::read_u16(&local[28..]));
        let start = entry.offset + LOCAL_BYTES as u64 + u64::from(name) + u64::from(extra);
        if start.checked_add(entry.packed).is_none_or(|end| end > self.file_bytes) {
            return Err(damaged());
        }
        if entry.method == STORED && entry.packed != entry.unpacked {
            return Err(damaged());
        }
        file.seek(SeekFrom::Start(start)).map_err(failed)?;
        let packed = BufReader::new(file).take(entry.packed);
        let reader: Box<dyn Read> =
            if entry.method == DEFLATED { Box::new(DeflateDecoder::new(packed)) } else { Box::new(packed) };
        Ok(Unzipped { reader, path: self.path.clone(), entry: entry.clone(), given: 0, checksum: Crc::new() })
    }
}

/// The first entry of a directory, and how many of its bytes it takes; `None` if it is damaged.
fn entry(path: &Path, directory: &[u8]) -> Result<Option<(Entry, usize)>> {
    let Some(fixed) = directory.get(..ENTRY_BYTES).filter(|bytes| bytes.starts_with(ENTRY)) else { return Ok(None) };
    let length = |at: usize| usize::from(LittleEndian::read_u16(&fixed[at..]));
    let (name, extra, comment) = (length(28), length(30), length(32));
    let bytes = ENTRY_BYTES + name + extra + comment;
    if directory.len() < bytes {
        return Ok(None);
    }
    let name = String::from_utf8_lossy(&directory[ENTRY_BYTES..][..name]).into_owned();
    let size = |at: usize| u64::from(LittleEndian::read_u32(&fixed[at..]));
    let mut entry = Entry {
        method: LittleEndian::read_u16(&fixed[10..]),
        checksum: LittleEndian::read_u32(&fixed[16..]),
        packed: size(20),
        unpacked: size(24),
        offset: size(42),
        name,
    };
    let mut extra = &directory[bytes - comment - extra..bytes - comment];
    while extra.len() >= 4 {
        let (kind, length) = (LittleEndian::read_u16(extra), usize::from(LittleEndian::read_u16(&extra[2..])));
        let Some(mut field) = extra.get(4..4 + length) else { return Ok(None) };
        extra = &extra[4 + length..];
        if kind == SIZES_64 {
            // Those that have no room above, in this order.
            for size in [&mut entry.unpacked, &mut entry.packed, &mut entry.offset] {
                if *size == u64::from(u32::MAX) {
                    let Some((value, rest)) = field.split_first_chunk() else { return Ok(None) };
                    (*size, field) = (u64::from_le_bytes(*value), rest);
                }
            }
        }
    }
    if LittleEndian::read_u16(&fixed[8..]) & 1 == 1 {
        return Err(fault(path, &entry.name, "it is encrypted; save it without a password"));
    }
    if !matches!(entry.method, STORED | DEFLATED) {
        let problem = "it is packed in a way that NumPy does not use; save it with numpy.savez_compressed";
        return Err(fault(path, &entry.name, problem));
    }
    Ok(Some((entry, bytes)))
}

impl Entry {
    /// How many bytes it gives.
    pub fn extent(&self) -> Extent {
        match self.method {
            STORED => Extent::Exactly(self.unpacked),
            _ => Extent::packed(self.packed),
        }
    }
}

/// An entry on its way into memory.
pub(super) struct Unzipped {
    reader: Box<dyn Read>,
    path: PathBuf,
    entry: Entry,
    given: u64,
    checksum: Crc,
}

impl Unzipped {
    /// Writes the next bytes to the front of `out`, and says how many: fewer than asked for only at the end, after which the
    /// checksum has been found to be right.
    pub fn fill(&mut self, out: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < out.len() {
            match self.reader.read(&mut out[filled..]) {
                Ok(0) => {
                    self.checksum.update(&out[..filled]);
                    self.given += filled as u64;
                    let whole = self.given == self.entry.unpacked && self.checksum.sum() == self.entry.checksum;
                    let problem = "damaged: its checksum or its length is another; copy or download the file again";
                    return if whole { Ok(filled) } else { Err(fault(&self.path, &self.entry.name, problem)) };
                }
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => {
                    let problem = format!("damaged ({error}); copy or download the file again");
                    return Err(fault(&self.path, &self.entry.name, &problem));
                }
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(fault(&self.path, &self.entry.name, "cut short; copy or download the file again"));
                }
                Err(source) => return Err(Error::Io { path: self.path.clone(), action: "read", source }),
            }
        }
        self.checksum.update(out);
        self.given += filled as u64;
        Ok(filled)
    }
}

/// The `count` bytes from `offset` on; the caller has compared both with the file's length.
fn read_at(file: &mut File, offset: u64, count: usize) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = vec![0; count];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn refuse(path: &Path, problem: &str) -> Error {
    Error::DataFile { path: path.to_path_buf(), problem: problem.into() }
}

fn fault(path: &Path, entry: &str, problem: &str) -> Error {
    refuse(path, &format!("entry {}: {problem}", super::csv::shown(entry.as_bytes())))
}
