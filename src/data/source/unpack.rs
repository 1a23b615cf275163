//! Gives out the bytes of a file, raw or gzip, and never more of them than asked for. It must not know what they mean.
//!
//! A gzip file may have several members, as `cat a.gz b.gz`, `bgzip` and `pigz -i` write it, and zeros after the last, as
//! tapes pad it. Anything else after a member is refused: `gzip` would warn of it, and here no one would read a warning.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use flate2::{Decompress, DecompressError, FlushDecompress, Status};

use crate::error::{Error, IdxFault, Result};
use crate::regular_file;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Deflate's densest code is two bits for 258 bytes, so a packed byte never gives more than this.
const MAX_GZIP_RATIO: u64 = 1032;
/// Beyond [`FREE_BYTES`] a packed byte is taken to give no more than this, so that a small file takes little memory. Images
/// of ink give 5 to 50.
const PLAUSIBLE_GZIP_RATIO: u64 = 64;
const FREE_BYTES: u64 = 64 << 20;

/// Window size (as a power of two) that every gzip stream may use.
const GZIP_WINDOW_BITS: u8 = 15;

/// Large enough that calls cost nothing, small enough that what is read and what it inflates to stay in L2.
const READ_BUFFER_BYTES: usize = 128 * 1024;

/// Memory is touched in pieces of this size, so that zeroing them costs no trip to main memory, and a file that
/// promises much and gives little takes little. At least the size of the read buffer, so that raw reads pass it by.
const CHUNK_BYTES: usize = 256 * 1024;

/// A file on its way into memory. Offsets and counts are of unpacked bytes, unless a name says `packed`.
pub(in crate::data) struct Unpacked<'a, R> {
    path: &'a Path,
    reader: R,
    /// None for a raw file.
    gzip: Option<Gzip>,
    file_bytes: u64,
    given: u64,
}

struct Gzip {
    /// Of the member that is being read.
    stream: Decompress,
    /// Packed bytes of the members before it.
    before: u64,
    state: State,
}

enum State {
    /// Within a member.
    Member,
    /// After one.
    Between,
    /// After the last one and a zero.
    Padding,
    Ended,
}

/// How many bytes a file can give, before it has been read.
#[derive(Debug, Clone, Copy)]
pub(in crate::data) enum Extent {
    /// A raw file: exactly these.
    Exactly(u64),
    /// A gzip file of `packed` bytes: at most these.
    AtMost { limit: u64, packed: u64 },
}

impl Extent {
    /// Of `packed` deflated bytes.
    pub(in crate::data) fn packed(packed: u64) -> Extent {
        let possible = packed.saturating_mul(MAX_GZIP_RATIO);
        let plausible = packed.saturating_mul(PLAUSIBLE_GZIP_RATIO).max(FREE_BYTES);
        Extent::AtMost { limit: possible.min(plausible), packed }
    }
}

impl<'a> Unpacked<'a, BufReader<File>> {
    pub(in crate::data) fn open(path: &'a Path) -> Result<Self> {
        let fail = |source| Error::Io { path: path.to_path_buf(), action: "open", source };
        let Some((file, file_bytes)) = regular_file::open(path).map_err(fail)? else {
            return Err(fail(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")));
        };
        Self::new(path, BufReader::with_capacity(READ_BUFFER_BYTES, file), file_bytes)
    }
}

impl<'a, R: BufRead> Unpacked<'a, R> {
    /// `file_bytes` is the length of all that `reader` gives; the first two bytes decide between raw and gzip.
    pub(in crate::data) fn new(path: &'a Path, mut reader: R, file_bytes: u64) -> Result<Self> {
        let start = reader.fill_buf().map_err(|source| read_failed(path, source))?;
        let gzip = start.starts_with(&GZIP_MAGIC).then(Gzip::new);
        Ok(Self { path, reader, gzip, file_bytes, given: 0 })
    }

    pub(in crate::data) fn extent(&self) -> Extent {
        match self.gzip {
            None => Extent::Exactly(self.file_bytes),
            Some(_) => Extent::packed(self.file_bytes),
        }
    }

    /// Writes the next bytes to the front of `out` and returns how many there were: fewer than asked for only at the end.
    pub(in crate::data) fn fill(&mut self, out: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < out.len() {
            let rest = &mut out[filled..];
            let step = match &mut self.gzip {
                None => self.reader.read(rest).map_err(Stop::Read),
                Some(gzip) => gzip.inflate(&mut self.reader, rest),
            };
            match step {
                Ok(0) => break,
                Ok(count) => {
                    filled += count;
                    self.given += count as u64;
                }
                Err(Stop::Read(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(Stop::Read(error)) => return Err(read_failed(self.path, error)),
                Err(Stop::Fault(fault)) => return Err(self.fault(fault)),
            }
        }
        Ok(filled)
    }

    /// Replaces what `bytes` holds by the next `count` bytes, fewer only at the end, in one allocation of that size.
    /// The caller has compared `count` with [`extent`](Self::extent).
    pub(in crate::data) fn take(&mut self, bytes: &mut Vec<u8>, count: usize) -> Result<()> {
        bytes.clear();
        bytes.try_reserve_exact(count).map_err(|_| Error::out_of_memory(self.path))?;
        while bytes.len() < count {
            let start = bytes.len();
            bytes.resize(count.min(start + CHUNK_BYTES), 0);
            let filled = self.fill(&mut bytes[start..])?;
            if start + filled < bytes.len() {
                bytes.truncate(start + filled);
                break;
            }
        }
        Ok(())
    }

    /// Checks that nothing follows what has been given out: no further byte, and for gzip a valid end of its
    /// last member at the end of the file.
    pub(in crate::data) fn finish(mut self) -> Result<()> {
        if self.fill(&mut [0])? > 0 {
            let expected = self.given - 1;
            return Err(Error::Idx {
                path: self.path.to_path_buf(),
                offset: expected,
                fault: IdxFault::TrailingBytes { expected },
            });
        }
        Ok(())
    }

    fn fault(&self, fault: IdxFault) -> Error {
        Error::Idx { path: self.path.to_path_buf(), offset: self.given, fault }
    }
}

/// A file whose first bytes have been looked at; they are given out once more.
pub(in crate::data) struct Begun<'a> {
    source: Unpacked<'a, BufReader<File>>,
    start: Vec<u8>,
    /// Of `start`, how many have been given out once more.
    again: usize,
}

impl<'a> Begun<'a> {
    /// Most bytes that [`start`](Self::start) shows.
    pub const START_BYTES: usize = 64 * 1024;

    pub fn open(path: &'a Path) -> Result<Self> {
        let mut source = Unpacked::open(path)?;
        let mut start = Vec::new();
        source.take(&mut start, Self::START_BYTES)?;
        Ok(Begun { source, start, again: 0 })
    }

    pub fn path(&self) -> &'a Path {
        self.source.path
    }

    /// The first bytes of the file.
    pub fn start(&self) -> &[u8] {
        &self.start
    }

    pub fn extent(&self) -> Extent {
        self.source.extent()
    }

    /// Unpacked bytes that have been given out.
    pub fn given(&self) -> u64 {
        self.source.given - (self.start.len() - self.again) as u64
    }

    /// Writes the next bytes to the front of `out`, and says how many: fewer than asked for only at the end.
    pub fn fill(&mut self, out: &mut [u8]) -> Result<usize> {
        let left = &self.start[self.again..];
        let count = left.len().min(out.len());
        out[..count].copy_from_slice(&left[..count]);
        self.again += count;
        Ok(count + self.source.fill(&mut out[count..])?)
    }
}

impl Gzip {
    fn new() -> Gzip {
        Gzip { stream: Decompress::new_gzip(GZIP_WINDOW_BITS), before: 0, state: State::Member }
    }

    /// Packed bytes up to here.
    fn packed(&self) -> u64 {
        self.before + self.stream.total_in()
    }

    /// Inflates what the reader holds next into `out`; 0 means that the last member has ended, each checksum verified.
    fn inflate(&mut self, reader: &mut impl BufRead, out: &mut [u8]) -> std::result::Result<usize, Stop> {
        loop {
            let packed = reader.fill_buf().map_err(Stop::Read)?;
            match (&self.state, packed.first()) {
                (State::Member, _) => {}
                (State::Ended, _) | (State::Between | State::Padding, None) => {
                    self.state = State::Ended;
                    return Ok(0);
                }
                (State::Between | State::Padding, Some(0)) => {
                    let zeros = packed.iter().take_while(|byte| **byte == 0).count();
                    reader.consume(zeros);
                    self.state = State::Padding;
                    continue;
                }
                (State::Between, Some(first)) if *first == GZIP_MAGIC[0] => {
                    *self = Gzip { before: self.packed(), ..Gzip::new() };
                }
                (State::Between | State::Padding, Some(_)) => {
                    return Err(Stop::Fault(IdxFault::GzipTrailingBytes { packed: self.packed() }));
                }
            }
            let (in_before, out_before) = (self.stream.total_in(), self.stream.total_out());
            let status = self.stream.decompress(packed, out, FlushDecompress::None).map_err(Stop::corrupt)?;
            let consumed = (self.stream.total_in() - in_before) as usize;
            let produced = (self.stream.total_out() - out_before) as usize;
            let starved = packed.is_empty();
            reader.consume(consumed);
            if matches!(status, Status::StreamEnd) {
                self.state = State::Between;
            }
            if produced > 0 {
                return Ok(produced);
            }
            if matches!(self.state, State::Member) {
                if starved {
                    return Err(Stop::Fault(IdxFault::GzipCutShort { packed: self.packed() }));
                }
                if consumed == 0 {
                    return Err(Stop::Fault(IdxFault::CorruptGzip { detail: "it makes no progress".into() }));
                }
            }
        }
    }
}

/// Why inflating stopped: the operating system, or the bytes themselves.
enum Stop {
    Read(io::Error),
    Fault(IdxFault),
}

impl Stop {
    fn corrupt(error: DecompressError) -> Self {
        Stop::Fault(IdxFault::CorruptGzip { detail: error.message().unwrap_or("not a deflate stream").into() })
    }
}

fn read_failed(path: &Path, source: io::Error) -> Error {
    Error::Io { path: path.to_path_buf(), action: "read", source }
}
