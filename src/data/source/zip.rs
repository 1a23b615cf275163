//! The zip archives that NumPy writes (`.npz`): entries that are stored or deflated. It must not know what entries hold.
//!
//! The crate `rawzip` finds them; here is what a set may ask of an archive from outside: few entries, short names, none of them
//! twice, nothing that reaches beyond the file, and right checksums.

use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;
use rawzip::{CompressionMethod, ErrorKind, FileReader, RECOMMENDED_BUFFER_SIZE, ZipArchive, ZipArchiveEntryWayfinder};
use rawzip::{ZipFileHeaderRecord, ZipVerification};

use super::unpack::Extent;
use crate::data::messages::twice;
use crate::error::{Error, Result};
use crate::regular_file;

pub(super) const MAGIC: &[u8] = b"PK\x03\x04";
/// Of an archive without entries.
pub(super) const EMPTY_MAGIC: &[u8] = b"PK\x05\x06";

/// The end of a directory and the longest comment, which lie at the end of a file.
const MAX_END_BYTES: u64 = 22 + u16::MAX as u64;
const MAX_ENTRIES: usize = 4096;
/// Of the names of all entries; one may have 64 KiB.
const MAX_NAME_BYTES: usize = 1 << 20;

/// The entries of an archive.
pub(super) struct Archive {
    path: PathBuf,
    file_bytes: u64,
    zip: ZipArchive<FileReader>,
    pub entries: Vec<Entry>,
}

/// What the directory says of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub name: String,
    deflated: bool,
    place: ZipArchiveEntryWayfinder,
}

impl Archive {
    pub fn open(path: &Path) -> Result<Archive> {
        let failed = |source| Error::Io { path: path.to_path_buf(), action: "read", source };
        let damaged = || refuse(path, "the archive's directory is damaged or cut off; copy or download the file again");
        let fault = |error: rawzip::Error| match error.into_kind() {
            ErrorKind::IO(error) if error.raw_os_error().is_some() => failed(error),
            _ => damaged(),
        };
        let Some((file, file_bytes)) = regular_file::open(path).map_err(failed)? else {
            return Err(refuse(path, "it is not a regular file"));
        };
        let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
        let zip = ZipArchive::with_max_search_space(MAX_END_BYTES)
            .locate_in_file(file, &mut buffer)
            .map_err(|(_, error)| fault(error))?;
        if zip.end_offset() != file_bytes {
            return Err(damaged());
        }
        let (count, mut entries, mut name_bytes) = (zip.entries_hint(), Vec::new(), 0);
        if count > MAX_ENTRIES as u64 {
            return Err(refuse(path, &format!("{count} entries, expected at most {MAX_ENTRIES}, of an array each")));
        }
        let mut records = zip.entries(&mut buffer);
        while let Some(record) = records.next_entry().map_err(fault)? {
            let entry = entry(path, &record)?;
            name_bytes += entry.name.len();
            if name_bytes > MAX_NAME_BYTES {
                let problem = format!("the names of its entries have more than {MAX_NAME_BYTES} bytes; shorten them");
                return Err(refuse(path, &problem));
            }
            entries.push(entry);
            if entries.len() > MAX_ENTRIES {
                return Err(damaged());
            }
        }
        if entries.len() as u64 != count {
            return Err(damaged());
        }
        if let Some(name) = twice(entries.iter().map(|entry| entry.name.as_str())) {
            return Err(refuse(path, &format!("two entries are called {}", super::csv::shown(name.as_bytes()))));
        }
        Ok(Archive { path: path.to_path_buf(), file_bytes, zip, entries })
    }

    /// The bytes of an entry.
    pub fn read<'a>(&'a self, entry: &'a Entry) -> Result<Unzipped<'a>> {
        let damaged = || fault(&self.path, &entry.name, "its place in the archive is damaged");
        let found = self.zip.get_entry(entry.place).map_err(|error| match error.into_kind() {
            ErrorKind::IO(source) if source.raw_os_error().is_some() => {
                Error::Io { path: self.path.clone(), action: "read", source }
            }
            _ => damaged(),
        })?;
        let (_, end) = found.compressed_data_range();
        if end > self.file_bytes || !entry.deflated && entry.packed() != entry.unpacked() {
            return Err(damaged());
        }
        let packed = found.reader();
        let expected = packed.claim_verifier();
        let packed = BufReader::new(packed);
        let reader: Box<dyn Read + 'a> =
            if entry.deflated { Box::new(DeflateDecoder::new(packed)) } else { Box::new(packed) };
        Ok(Unzipped { reader, path: &self.path, name: &entry.name, given: 0, checksum: Crc::new(), expected })
    }
}

/// The entry that a record of the directory tells of.
fn entry(path: &Path, record: &ZipFileHeaderRecord<'_>) -> Result<Entry> {
    let name = String::from_utf8_lossy(record.file_path().as_ref()).into_owned();
    if record.flags().is_encrypted() {
        return Err(fault(path, &name, "it is encrypted; save it without a password"));
    }
    let deflated = match record.compression_method() {
        CompressionMethod::STORE => false,
        CompressionMethod::DEFLATE => true,
        _ => {
            let problem = "it is packed in a way that NumPy does not use; save it with numpy.savez_compressed";
            return Err(fault(path, &name, problem));
        }
    };
    Ok(Entry { name, deflated, place: record.wayfinder() })
}

impl Entry {
    fn packed(&self) -> u64 {
        self.place.compressed_size_hint()
    }

    fn unpacked(&self) -> u64 {
        self.place.uncompressed_size_hint()
    }

    /// How many bytes it gives.
    pub fn extent(&self) -> Extent {
        if self.deflated { Extent::packed(self.packed()) } else { Extent::Exactly(self.unpacked()) }
    }
}

/// An entry on its way into memory.
pub(super) struct Unzipped<'a> {
    reader: Box<dyn Read + 'a>,
    path: &'a Path,
    name: &'a str,
    given: u64,
    checksum: Crc,
    expected: ZipVerification,
}

impl Unzipped<'_> {
    /// Writes the next bytes to the front of `out`, and says how many: fewer than asked for only at the end, after which the
    /// checksum has been found to be right.
    pub fn fill(&mut self, out: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < out.len() {
            match self.reader.read(&mut out[filled..]) {
                Ok(0) => {
                    self.count(&out[..filled]);
                    let found = ZipVerification { crc: self.checksum.sum(), uncompressed_size: self.given };
                    let problem = "damaged: its checksum or its length is another; copy or download the file again";
                    return match self.expected.valid(found) {
                        Ok(()) => Ok(filled),
                        Err(_) => Err(fault(self.path, self.name, problem)),
                    };
                }
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => {
                    let problem = format!("damaged ({error}); copy or download the file again");
                    return Err(fault(self.path, self.name, &problem));
                }
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(fault(self.path, self.name, "cut short; copy or download the file again"));
                }
                Err(source) => return Err(Error::Io { path: self.path.to_path_buf(), action: "read", source }),
            }
        }
        self.count(out);
        Ok(filled)
    }

    fn count(&mut self, bytes: &[u8]) {
        self.checksum.update(bytes);
        self.given += bytes.len() as u64;
    }
}

fn refuse(path: &Path, problem: &str) -> Error {
    Error::DataFile { path: path.to_path_buf(), problem: problem.into() }
}

fn fault(path: &Path, entry: &str, problem: &str) -> Error {
    refuse(path, &format!("entry {}: {problem}", super::csv::shown(entry.as_bytes())))
}
