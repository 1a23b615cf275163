//! The records of a text: cells, and the lines in which they begin. It knows quotes and line ends, not what cells mean.

use csv_core::{ReadFieldResult, Reader, ReaderBuilder};

use super::{MAX_COLUMNS, refuse};
use crate::data::source::file_bytes::{Bytes, FileBytes};
use crate::data::source::unpack::Begun;
use crate::error::Result;

const BUFFER_BYTES: usize = 128 * 1024;
/// A quote that is never closed makes a cell of all that follows.
const MAX_CELL_BYTES: usize = 1 << 20;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What parts the cells and the records of a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialect {
    delimiter: u8,
    /// Whether lines end with a carriage return alone, as Excel for Mac wrote them.
    lone_returns: bool,
}

/// Where a record begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::data::source) struct Place {
    /// From 1.
    pub line: u32,
    /// Bytes before it, unpacked.
    pub offset: u64,
}

/// A text on its way into cells.
pub(super) struct Records<S> {
    file: S,
    core: Reader,
    dialect: Dialect,
    /// Whether a byte is the delimiter or ends a line.
    ends_cell: [bool; 256],
    buffer: Vec<u8>,
    /// What of `buffer` has been read from the file and not been used.
    left: std::ops::Range<usize>,
    /// Bytes of the file that came before the end of `buffer`'s.
    given: u64,
    ended: bool,
    cell: Vec<u8>,
    /// Of the next byte, from 1.
    line: u64,
}

impl<'a> Records<Begun<'a>> {
    /// Of a text from its beginning, which says how lines end.
    pub fn new(file: Begun<'a>, delimiter: u8) -> Result<Self> {
        let start = file.start();
        let lone_returns = start.contains(&b'\r') && !start.contains(&b'\n');
        let marked = start.starts_with(BYTE_ORDER_MARK);
        let mut records = Records::of(file, Dialect { delimiter, lone_returns });
        records.refill()?;
        if marked {
            records.left.start += BYTE_ORDER_MARK.len();
        }
        Ok(records)
    }
}

impl<'a> Records<FileBytes<'a>> {
    /// Of a text whose dialect is known, from its record at `place`.
    pub fn again(file: FileBytes<'a>, dialect: Dialect, place: Place) -> Result<Self> {
        let mut records = Records::of(file, dialect);
        records.go_to(place)?;
        Ok(records)
    }

    /// Of a text whose dialect is known, from the first line on that begins at the byte `offset` or behind it, as line 1. A line
    /// end in quotes is taken for one as well.
    pub fn from_line(file: FileBytes<'a>, dialect: Dialect, offset: u64) -> Result<Self> {
        let mut records = Self::again(file, dialect, Place { line: 1, offset: offset.saturating_sub(1) })?;
        if offset > 0 {
            records.skip(|byte| byte != b'\n')?;
        }
        let first = records.ahead()?.map_or(offset, |place| place.offset);
        records.go_to(Place { line: 1, offset: first })?;
        Ok(records)
    }

    /// Goes to the record that begins at `place`.
    pub fn go_to(&mut self, place: Place) -> Result<()> {
        let in_buffer = place.offset.checked_add(self.left.end as u64).and_then(|end| end.checked_sub(self.given));
        match in_buffer.and_then(|start| usize::try_from(start).ok()) {
            Some(start) if start < self.left.end => self.left.start = start,
            _ => {
                self.file.go_to(place.offset)?;
                self.given = self.file.at();
                self.refill()?;
            }
        }
        self.line = u64::from(place.line);
        self.core.reset();
        // The automaton takes a byte order mark at its first byte for one; within a text it is a part of a word.
        self.core.read_field(b"\n", &mut self.cell);
        Ok(())
    }
}

impl<S: Bytes> Records<S> {
    fn of(file: S, dialect: Dialect) -> Self {
        let mut ends_cell = [false; 256];
        [dialect.delimiter, b'\n', b'\r'].into_iter().for_each(|byte| ends_cell[usize::from(byte)] = true);
        Records {
            file,
            dialect,
            ends_cell,
            core: ReaderBuilder::new().delimiter(dialect.delimiter).build(),
            buffer: vec![0; BUFFER_BYTES],
            left: 0..0,
            given: 0,
            ended: false,
            cell: vec![0; 256],
            line: 1,
        }
    }

    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Where the next record begins, which is not read; `None` at the end of the file.
    pub fn ahead(&mut self) -> Result<Option<Place>> {
        let place = self.place()?;
        Ok((!self.at_end()?).then_some(place))
    }

    fn place(&mut self) -> Result<Place> {
        self.skip(|byte| matches!(byte, b'\n' | b'\r' | b' '))?;
        let Ok(line) = u32::try_from(self.line) else {
            return Err(refuse(self.file.path(), format!("more than {} lines; split the file", u32::MAX)));
        };
        Ok(Place { line, offset: self.given - self.left.len() as u64 })
    }

    /// Reads one record, and gives `each` its line, and each cell with its number from 0. Returns where it begins and how many
    /// cells it has; `None` at the end of the file.
    pub fn next(&mut self, mut each: impl FnMut(u32, usize, &[u8]) -> Result<()>) -> Result<Option<(Place, usize)>> {
        let place = self.place()?;
        let line = place.line;
        let lines_before = self.core.line();
        let mut count = 0;
        loop {
            if count > 0 {
                // So that a quote after spaces is one.
                self.skip(|byte| byte == b' ')?;
            }
            let left = &self.buffer[self.left.clone()];
            let quoted = left.first() == Some(&b'"');
            // A plain cell between two others, which is most of them, needs no automaton and no copy. The automaton must see
            // the first one, to know that a record has begun, and the last one.
            if count > 0
                && !quoted
                && let Some(end) = left.iter().position(|byte| self.ends_cell[usize::from(*byte)])
                && left[end] == self.dialect.delimiter
                && count < MAX_COLUMNS
            {
                each(line, count, &left[..end])?;
                count += 1;
                self.left.start += end + 1;
                continue;
            }
            let (mut length, mut quotes) = (0, 0);
            let last = loop {
                let input = &self.buffer[self.left.clone()];
                let (result, used, written) = self.core.read_field(input, &mut self.cell[length..]);
                if quoted {
                    quotes += input[..used].iter().filter(|byte| **byte == b'"').count();
                }
                self.left.start += used;
                length += written;
                match result {
                    ReadFieldResult::InputEmpty => self.refill()?,
                    ReadFieldResult::OutputFull if self.cell.len() < MAX_CELL_BYTES => {
                        self.cell.resize(4 * self.cell.len(), 0);
                    }
                    ReadFieldResult::OutputFull => {
                        let problem = format!(
                            "line {line}: a cell of more than {MAX_CELL_BYTES} bytes; is there a quote (\") too many or \
                             too few?"
                        );
                        return Err(refuse(self.file.path(), problem));
                    }
                    ReadFieldResult::Field { record_end } => break record_end,
                    ReadFieldResult::End => return Ok(None),
                }
            };
            if last && quotes % 2 == 1 && self.left.is_empty() && self.at_end()? {
                let problem = format!("line {line}: a quote (\") is not closed before the file ends; is it cut short?");
                return Err(refuse(self.file.path(), problem));
            }
            if count == MAX_COLUMNS {
                let problem = format!(
                    "line {line}: more than {MAX_COLUMNS} cells, the most that a row may have; are rows and columns \
                     exchanged?"
                );
                return Err(refuse(self.file.path(), problem));
            }
            each(line, count, &self.cell[..length])?;
            count += 1;
            if last {
                self.line += self.core.line() - lines_before;
                return Ok(Some((place, count)));
            }
        }
    }

    /// Passes over the bytes for which `skipped` holds.
    fn skip(&mut self, skipped: impl Fn(u8) -> bool) -> Result<()> {
        loop {
            while let Some(byte) = self.buffer[self.left.clone()].first() {
                if !skipped(*byte) {
                    return Ok(());
                }
                self.line += u64::from(*byte == b'\n');
                self.left.start += 1;
            }
            if self.ended {
                return Ok(());
            }
            self.refill()?;
        }
    }

    fn at_end(&mut self) -> Result<bool> {
        if self.left.is_empty() && !self.ended {
            self.refill()?;
        }
        Ok(self.left.is_empty())
    }

    /// Reads the next bytes once all have been used.
    fn refill(&mut self) -> Result<()> {
        let filled = self.file.fill(&mut self.buffer)?;
        self.left = 0..filled;
        self.given += filled as u64;
        self.ended = filled == 0;
        if self.dialect.lone_returns {
            self.buffer[..filled].iter_mut().filter(|byte| **byte == b'\r').for_each(|byte| *byte = b'\n');
        }
        Ok(())
    }
}
