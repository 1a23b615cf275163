//! A table that stays in its file and is read in passes, some rows at a time: no more of it is in memory than what is known of
//! all rows (columns, words, which rows have gaps) and a piece. What it gives are the rows that reading the whole file gives,
//! to the bit. It must not know what is a target.

mod part;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use serde::{Deserialize, Serialize};

use super::array::{self, Array};
use super::csv::{self, Place, Text, Wanted};
use super::file_bytes::{Bytes, FileBytes, changed};
use super::unpack::{Begun, Extent};
use super::{SourceOptions, idx, libsvm, npy, open};
use crate::data::together::{Kept, Reading};
use crate::data::{Table, TableColumn};
use crate::error::{Error, Result};
use part::{OwnRows, even_part};

/// Cells of a piece: 1 MiB of them. In tests it is small, as are the other sizes, so that small files have many pieces.
pub(crate) const PIECE_CELLS: usize = if cfg!(test) { 1 << 12 } else { 1 << 18 };
/// So far apart are the rows of a text that can be gone to: so much is read in vain before another one, at most.
const MARK_BYTES: u64 = if cfg!(test) { 5_000 } else { 128 * 1024 };
/// Bytes of an array that are turned into numbers at once.
const PIECE_BYTES: usize = if cfg!(test) { 1_000 } else { 256 * 1024 };

/// A table in a file.
#[derive(Debug)]
pub(crate) struct TableFile {
    path: PathBuf,
    extent: Extent,
    /// Its columns, without rows.
    schema: Table,
    columns: Arc<[TableColumn]>,
    rows: u32,
    /// A bit for each row in which something is missing; those beyond its end are whole.
    gaps: Vec<u64>,
    targets: Vec<String>,
    content: Content,
    part: Option<Part>,
}

/// What of a table this process reads for others.
#[derive(Debug)]
struct Part {
    reading: Weak<Reading>,
    rows: Range<u32>,
    /// The rows themselves, while the reading lasts.
    kept: Weak<Kept>,
}

#[derive(Debug)]
enum Content {
    /// And some of its rows, in their order, row 0 first.
    Text(Text, Vec<Mark>),
    /// Of the features, and the targets.
    Arrays(npy::Header, Option<Array>),
}

/// Where a row of a text begins.
#[derive(Debug, Clone, Copy)]
struct Mark {
    row: u32,
    place: Place,
}

impl TableFile {
    /// The table at `path`; `None` where what lies there cannot be read so: folders, archives, LIBSVM's lines, IDX, arrays by
    /// columns, and arrays of bytes with class numbers, which are images. `like`: the columns of the table that was read
    /// before, of the same set.
    ///
    /// A text of cells is read once from end to end, and so are arrays but for whole numbers in a raw file.
    ///
    /// In a `reading` with others each reads a part of a file that is not packed, and tells what it has found.
    ///
    /// # Errors
    /// As [`open`](super::open): [`Error::Io`] from the operating system, [`Error::DataFile`] for what is damaged,
    /// [`Error::Setting`] for an option that does not fit; [`Error::Ranks`] where others have failed or have another file.
    pub fn open(
        reading: Option<&Arc<Reading>>,
        path: &Path,
        options: &SourceOptions,
        like: Option<&[TableColumn]>,
    ) -> Result<Option<TableFile>> {
        if !path.is_file() {
            return Ok(None);
        }
        let file = Begun::open(path)?;
        let reading = reading.filter(|_| matches!(file.extent(), Extent::Exactly(_)));
        if file.start().starts_with(npy::MAGIC) {
            return Self::of_arrays(reading, path, file.extent(), options);
        }
        if open::is_archive(file.start()) || idx::begins(file.start()) || libsvm::begins(file.start(), path) {
            return Ok(None);
        }
        let wanted = Wanted { header: options.header, text_columns: &options.text_columns, like };
        let file = match reading {
            None => Self::of_text(file, wanted)?,
            Some(reading) => Self::of_text_in_parts(reading, file, wanted)?,
        };
        open::refuse_targets(options, path)?;
        Ok(Some(file))
    }

    fn of_text_in_parts(reading: &Arc<Reading>, file: Begun<'_>, wanted: Wanted<'_>) -> Result<Self> {
        let (path, extent) = (file.path(), file.extent());
        drop(file);
        let mut known = None;
        for _ in 0..2 {
            let (rows, form, mut kept) = OwnRows::read(reading, path, wanted, known.as_deref())?;
            let all = rows.tell(reading, path)?;
            let found: Vec<_> = all.iter().map(|rows| &rows.found).collect();
            let (text, lines) = match csv::join(&found, form) {
                csv::Joined::Text(text, lines) => (text, lines),
                csv::Joined::Again(columns) => {
                    known = Some(columns);
                    continue;
                }
                csv::Joined::Apart => break,
            };
            let (mut first, mut gaps, mut marks, mut own) = (0_u32, Gaps::default(), Vec::new(), 0..0);
            for (rank, (rows, before)) in all.iter().zip(lines).enumerate() {
                let place = |line: u32, offset| Place { line: before + line, offset };
                marks.extend(
                    rows.marks
                        .iter()
                        .map(|(row, line, offset)| Mark { row: first + row, place: place(*line, *offset) }),
                );
                rows.gaps.each(|row| gaps.set(first + row));
                let end = first + rows.count;
                if rank == reading.rank() {
                    own = first..end;
                    kept.lines.iter_mut().for_each(|line| *line += before);
                }
                first = end;
            }
            if first == 0 {
                break;
            }
            let columns = text.columns();
            for (place, numbers) in rows.found.numbers_in(&text).into_iter().enumerate() {
                let Some(numbers) = numbers else { continue };
                for cell in kept.cells.iter_mut().skip(place).step_by(columns.len()).filter(|cell| !cell.is_nan()) {
                    *cell = numbers[*cell as usize];
                }
            }
            let part = Part { reading: Arc::downgrade(reading), rows: own, kept: reading.keep(kept) };
            let content = Content::Text(text, marks);
            return Ok(Self { part: Some(part), ..Self::new(path, extent, columns, Vec::new(), first, gaps, content) });
        }
        let file = Self::of_text(Begun::open(path)?, wanted)?;
        Ok(Self { part: Some(file.even_part(reading)), ..file })
    }

    /// One process's part where all have as many rows.
    fn even_part(&self, reading: &Arc<Reading>) -> Part {
        Part { reading: Arc::downgrade(reading), rows: even_part(reading, self.rows), kept: Weak::new() }
    }

    fn of_text(file: Begun<'_>, wanted: Wanted<'_>) -> Result<Self> {
        let (path, extent) = (file.path(), file.extent());
        let (mut rows, mut gaps, mut marks) = (0, Gaps::default(), Vec::<Mark>::new());
        let (text, _) = csv::scan(file, wanted, &mut |place, row| {
            // There are no more lines than a u32 counts, and so no more rows.
            if marks.last().is_none_or(|mark| place.offset - mark.place.offset >= MARK_BYTES) {
                marks.push(Mark { row: rows, place });
            }
            gaps.add(rows, row);
            row.clear();
            rows += 1;
            Ok(())
        })?;
        Ok(Self::new(path, extent, text.columns(), Vec::new(), rows, gaps, Content::Text(text, marks)))
    }

    fn of_arrays(
        reading: Option<&Arc<Reading>>,
        path: &Path,
        extent: Extent,
        options: &SourceOptions,
    ) -> Result<Option<Self>> {
        let mut bytes = FileBytes::open(path, extent)?;
        let header = npy::header(path, "", |out| bytes.fill(out))?;
        if !header.is_by_rows() {
            return Ok(None);
        }
        header.count(path, "", extent, u64::MAX)?;
        array::check_width(path, "", &header.shape)?;
        let Ok(rows) = u32::try_from(header.shape[0]) else {
            let problem = format!("{} rows, expected at most {}; split the file", header.shape[0], u32::MAX);
            return Err(array::refuse(path, "", &problem));
        };
        let mut gaps = Gaps::default();
        let is_packed = matches!(extent, Extent::AtMost { .. });
        if is_packed || !header.element.is_whole() {
            let mut features = Features { path, header: &header, bytes, numbers: Vec::new(), raw: Vec::new() };
            let (width, at_once) = (array::columns(&header.shape), features.at_once());
            let own = reading.map_or(0..rows, |reading| even_part(reading, rows));
            let mut row = own.start;
            while row < own.end {
                let end = own.end.min(row.saturating_add(at_once));
                for cells in features.read(row..end)?.chunks_exact(width) {
                    gaps.add(row, cells);
                    row += 1;
                }
            }
            match reading {
                None if features.bytes.fill(&mut [0])? > 0 => return Err(header.goes_on(path, "")),
                None => {}
                Some(reading) => gaps.join(reading)?,
            }
        }
        let y = options.targets.as_deref().map(|targets| open::targets_of(targets, options)).transpose()?;
        let outputs = y.as_ref().map_or(0, Array::columns);
        if let Some(y) = &y {
            array::check_rows(y, path, "", header.shape[0])?;
            let are_images =
                header.element == super::element::Element::U8 && array::image_size(&header.shape).is_some();
            if are_images && y.labels().is_some() {
                return Ok(None);
            }
            for row in 0..rows {
                let first = row as usize * outputs;
                if (first..first + outputs).any(|at| y.values.number(at).is_nan()) {
                    gaps.set(row);
                }
            }
        }
        let features = array::columns(&header.shape);
        array::check_width(path, "", &[header.shape[0], features + outputs])?;
        let (columns, targets) = array::table_columns(features, outputs);
        let file = Self::new(path, extent, columns, targets, rows, gaps, Content::Arrays(header, y));
        Ok(Some(Self { part: reading.map(|reading| file.even_part(reading)), ..file }))
    }

    fn new(
        path: &Path,
        extent: Extent,
        columns: Vec<TableColumn>,
        targets: Vec<String>,
        rows: u32,
        gaps: Gaps,
        content: Content,
    ) -> Self {
        let columns: Arc<[TableColumn]> = columns.into();
        let schema = Table::without_rows(&columns, &path.display().to_string());
        Self { path: path.to_path_buf(), extent, schema, columns, rows, gaps: gaps.0, targets, content, part: None }
    }

    /// Its columns, from left to right.
    pub fn columns(&self) -> &[TableColumn] {
        &self.columns
    }

    /// A table of these columns that has no rows: in it columns are found by name.
    pub fn schema(&self) -> &Table {
        &self.schema
    }

    /// Number of rows, at least 1.
    pub fn len(&self) -> usize {
        self.rows as usize
    }

    /// Where the data come from.
    pub fn source(&self) -> &str {
        self.schema.source()
    }

    /// The columns that the source itself says are targets.
    pub fn targets(&self) -> &[String] {
        &self.targets
    }

    /// Whether something is missing in a row, in any of its columns.
    pub fn has_gap(&self, row: u32) -> bool {
        self.gaps.get(row as usize / 64).is_some_and(|bits| bits >> (row % 64) & 1 == 1)
    }

    /// The rows that this process reads for others, and the reading; all of them, and `None`, where no other reads with it.
    pub fn part(&self) -> (Range<u32>, Option<Arc<Reading>>) {
        let part = self.part.as_ref().and_then(|part| Some((part.rows.clone(), part.reading.upgrade()?)));
        part.map_or((0..self.rows, None), |(rows, reading)| (rows, Some(reading)))
    }

    /// Whether rows can be gone to without reading all before them: those of a file that is not packed.
    pub fn is_seekable(&self) -> bool {
        matches!(self.extent, Extent::Exactly(_))
    }

    /// Reads the rows of `ranges`, which ascend, do not overlap and lie within the table, and gives them to `each` in tables of
    /// at most so many cells as make 1 MiB, or of one row.
    ///
    /// # Errors
    /// Those of `each`; [`Error::Io`] from the operating system; [`Error::Shape`] if the file has changed.
    pub fn read(&self, ranges: &[Range<u32>], each: &mut dyn FnMut(Table) -> Result<()>) -> Result<()> {
        self.read_at_most(usize::MAX, ranges, each)
    }

    /// The same in tables of at most so many rows, where that is less.
    pub fn read_at_most(
        &self,
        rows: usize,
        ranges: &[Range<u32>],
        each: &mut dyn FnMut(Table) -> Result<()>,
    ) -> Result<()> {
        debug_assert!(ranges.windows(2).all(|two| two[0].end <= two[1].start), "{ranges:?}");
        let most_rows = (PIECE_CELLS / self.columns.len()).min(rows).max(1);
        let mut pieces = Pieces::new(self, most_rows, each);
        let done = match &self.content {
            Content::Text(text, marks) => self.read_text(text, marks, ranges, &mut pieces),
            Content::Arrays(header, y) => self.read_arrays(header, y.as_ref(), ranges, &mut pieces),
        };
        match done.and_then(|()| pieces.give()) {
            // All of it has been read before, and was no error then.
            Err(Stop::Read(Error::DataFile { problem, .. })) => Err(self.changed("what it held", problem)),
            Err(Stop::Read(error @ Error::Idx { .. })) => Err(self.changed("what it held", error.to_string())),
            Err(Stop::Read(error) | Stop::Each(error)) => Err(error),
            Ok(()) => Ok(()),
        }
    }

    fn changed(&self, expected: impl Into<String>, found: impl Into<String>) -> Error {
        changed(&self.path, expected, found)
    }

    fn read_text(
        &self,
        text: &Text,
        marks: &[Mark],
        ranges: &[Range<u32>],
        pieces: &mut Pieces<'_>,
    ) -> std::result::Result<(), Stop> {
        let ends_early = |row: u32| self.changed(format!("{} rows", self.rows), format!("{row}"));
        // The last mark that is not behind a row.
        let mark_of = |row: u32| marks.partition_point(|mark| mark.row <= row).saturating_sub(1);
        let part = self.part.as_ref().and_then(|part| Some((part.rows.clone(), part.kept.upgrade()?)));
        let kept = part.as_ref().map_or(0..0, |(rows, _)| rows.clone());
        let ranges = ranges.iter().flat_map(|range| cut(range, &kept)).filter(|(range, _)| !range.is_empty());
        // Once there is something to read: from where, the row that comes next, and the mark before it.
        let mut begun = None;
        for (range, is_kept) in ranges {
            if let Some((_, rows)) = part.as_ref().filter(|_| is_kept) {
                for row in range {
                    let at = (row - kept.start) as usize;
                    let cells = &rows.cells[at * self.columns.len()..][..self.columns.len()];
                    pieces.push(row, Some(rows.lines[at]), cells)?;
                }
                continue;
            }
            let nearest = mark_of(range.start);
            let Some(place) = marks.get(nearest).map(|mark| mark.place) else { return Ok(()) };
            let (rows, row, mark) = match &mut begun {
                Some(begun) => begun,
                none => {
                    let rows = text.rows(&self.path, FileBytes::open(&self.path, self.extent)?, place)?;
                    none.insert((rows, marks[nearest].row, nearest))
                }
            };
            if marks[nearest].row > *row {
                *mark = nearest;
                *row = marks[nearest].row;
                rows.go_to(place)?;
            }
            while *row < range.start {
                if !rows.pass_over()? {
                    return Err(ends_early(*row).into());
                }
                *row += 1;
            }
            while *row < range.end {
                let Some((place, cells)) = rows.next()? else { return Err(ends_early(*row).into()) };
                while marks.get(*mark + 1).is_some_and(|next| next.row <= *row) {
                    *mark += 1;
                }
                let expected = marks[*mark];
                if expected.row == *row && expected.place != place {
                    let told = |place: Place| format!("line {} at byte {}", place.line, place.offset);
                    return Err(self.changed(told(expected.place), told(place)).into());
                }
                pieces.push(*row, Some(place.line), cells)?;
                *row += 1;
            }
        }
        if let Some((mut rows, row, _)) = begun
            && row == self.rows
            && rows.pass_over()?
        {
            return Err(self.changed(format!("{} rows", self.rows), "more").into());
        }
        Ok(())
    }

    fn read_arrays(
        &self,
        header: &npy::Header,
        y: Option<&Array>,
        ranges: &[Range<u32>],
        pieces: &mut Pieces<'_>,
    ) -> std::result::Result<(), Stop> {
        let mut bytes = FileBytes::open(&self.path, self.extent)?;
        if npy::header(&self.path, "", |out| bytes.fill(out))? != *header {
            return Err(self.changed("the header that it had", "another").into());
        }
        let mut features = Features { path: &self.path, header, bytes, numbers: Vec::new(), raw: Vec::new() };
        let (width, at_once) = (array::columns(&header.shape), features.at_once());
        let outputs = y.map_or(0, Array::columns);
        let mut cells = Vec::new();
        for range in ranges {
            let mut row = range.start;
            while row < range.end {
                let end = range.end.min(row.saturating_add(at_once));
                for features in features.read(row..end)?.chunks_exact(width) {
                    cells.clear();
                    cells.extend_from_slice(features);
                    if let Some(y) = y {
                        let first = row as usize * outputs;
                        cells.extend((first..first + outputs).map(|at| y.values.number(at)));
                    }
                    pieces.push(row, None, &cells)?;
                    row += 1;
                }
            }
        }
        Ok(())
    }
}

/// The rows of `range` before, in and behind `kept`, and whether they are in it.
fn cut(range: &Range<u32>, kept: &Range<u32>) -> [(Range<u32>, bool); 3] {
    let clamped = |row: u32| row.clamp(range.start, range.end.max(range.start));
    let (start, end) = (clamped(kept.start), clamped(kept.end));
    [(range.start..start, false), (start..end, true), (end..range.end, false)]
}

/// Which rows have gaps, a bit each.
#[derive(Default, Serialize, Deserialize)]
struct Gaps(Vec<u64>);

impl Gaps {
    fn each(&self, mut each: impl FnMut(u32)) {
        for (at, bits) in self.0.iter().enumerate().filter(|(_, bits)| **bits != 0) {
            (0..64).filter(|bit| bits >> bit & 1 == 1).for_each(|bit| each(at as u32 * 64 + bit));
        }
    }

    /// Adds those that others have found.
    fn join(&mut self, reading: &Reading) -> Result<()> {
        let own: Vec<u8> = self.0.iter().flat_map(|bits| bits.to_le_bytes()).collect();
        for told in reading.gather("the gaps of a table", &own)? {
            let bits = told.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
            Gaps(bits.collect()).each(|row| self.set(row));
        }
        Ok(())
    }

    fn add(&mut self, row: u32, cells: &[f32]) {
        if cells.iter().any(|cell| cell.is_nan()) {
            self.set(row);
        }
    }

    fn set(&mut self, row: u32) {
        let at = row as usize / 64;
        if self.0.len() <= at {
            self.0.resize(at + 1, 0);
        }
        self.0[at] |= 1 << (row % 64);
    }
}

/// The features in an array by rows.
struct Features<'a> {
    path: &'a Path,
    header: &'a npy::Header,
    bytes: FileBytes<'a>,
    raw: Vec<u8>,
    numbers: Vec<f32>,
}

impl Features<'_> {
    fn row_bytes(&self) -> usize {
        array::columns(&self.header.shape) * self.header.element.bytes()
    }

    /// Rows that are read at once.
    fn at_once(&self) -> u32 {
        (PIECE_BYTES / self.row_bytes()).max(1) as u32
    }

    /// Those of some rows: `[rows, columns]`.
    fn read(&mut self, rows: Range<u32>) -> Result<&[f32]> {
        let row_bytes = self.row_bytes();
        self.bytes.go_to(self.header.bytes + u64::from(rows.start) * row_bytes as u64)?;
        self.raw.resize(rows.len() * row_bytes, 0);
        if self.bytes.fill(&mut self.raw)? < self.raw.len() {
            return Err(self.header.ends_early(self.path, ""));
        }
        self.numbers.clear();
        self.header.element.append(self.header.order, &self.raw, &mut self.numbers);
        let columns = array::columns(&self.header.shape);
        array::check_finite(self.path, "", &self.numbers, columns, rows.start as usize)?;
        Ok(&self.numbers)
    }
}

/// Why a reading stopped: the file, or who was given its rows.
enum Stop {
    Read(Error),
    Each(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Read(error)
    }
}

/// Rows on their way into tables of a bounded size.
struct Pieces<'a> {
    file: &'a TableFile,
    most_rows: usize,
    each: &'a mut dyn FnMut(Table) -> Result<()>,
    cells: Vec<f32>,
    lines: Vec<u32>,
    numbers: Vec<u32>,
}

impl<'a> Pieces<'a> {
    fn new(file: &'a TableFile, most_rows: usize, each: &'a mut dyn FnMut(Table) -> Result<()>) -> Self {
        Self { file, most_rows, each, cells: Vec::new(), lines: Vec::new(), numbers: Vec::new() }
    }

    fn push(&mut self, row: u32, line: Option<u32>, cells: &[f32]) -> std::result::Result<(), Stop> {
        if self.numbers.is_empty() {
            self.cells.reserve_exact(self.most_rows * cells.len());
        }
        self.cells.extend_from_slice(cells);
        self.lines.extend(line);
        self.numbers.push(row);
        if self.numbers.len() == self.most_rows { self.give() } else { Ok(()) }
    }

    /// Gives what there is, if there is anything.
    fn give(&mut self) -> std::result::Result<(), Stop> {
        if self.numbers.is_empty() {
            return Ok(());
        }
        let (cells, lines, numbers) =
            (std::mem::take(&mut self.cells), std::mem::take(&mut self.lines), std::mem::take(&mut self.numbers));
        let piece = Table::piece(&self.file.columns, cells, lines, numbers, self.file.source());
        (self.each)(piece).map_err(Stop::Each)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::Source;
    use crate::data::source::testing::{gzip, npy};
    use crate::data::together;

    /// All of a table: names, words, bits of cells and places of rows.
    fn all_of(columns: &[TableColumn], pieces: &[Table]) -> String {
        let mut told = format!("{columns:?}\n");
        for piece in pieces {
            assert!(std::ptr::eq(piece.columns(), columns) || piece.columns() == columns);
            for row in 0..piece.len() {
                let bits: Vec<u32> = piece.row(row).iter().map(|cell| cell.to_bits()).collect();
                told += &format!("{}: {bits:x?}\n", piece.place(row));
            }
        }
        told
    }

    fn pieces(file: &TableFile, most: usize, ranges: &[Range<u32>]) -> Result<Vec<Table>> {
        let mut pieces = Vec::new();
        file.read_at_most(most, ranges, &mut |piece| {
            assert!(!piece.is_empty() && piece.len() <= most);
            pieces.push(piece);
            Ok(())
        })?;
        Ok(pieces)
    }

    /// Panics unless the file at `path` holds what reading it whole gives, also by ranges, or the same is wrong with it, to one
    /// process and to several that read it together.
    fn check(path: &Path, options: &SourceOptions) -> bool {
        let alone = check_in(None, path, options);
        for (size, keeps_rows) in [(2, true), (3, false), (4, true)] {
            let each = together::testing::run(size, keeps_rows, |reading| check_in(Some(&reading), path, options));
            assert!(each.iter().all(|taken| *taken == alone), "{each:?}");
        }
        alone
    }

    fn check_in(reading: Option<&Arc<Reading>>, path: &Path, options: &SourceOptions) -> bool {
        let whole = open(path, options);
        let file = match TableFile::open(reading, path, options, None) {
            Ok(Some(file)) => file,
            Ok(None) => return false,
            Err(error) => {
                let (error, whole) = (error.to_string(), whole.unwrap_err().to_string());
                // What is more than memory takes is told otherwise here; of two faults, another may be met first.
                let other_first = whole.contains("bytes that are read") || error.contains("inf is too large");
                assert!(error == whole || other_first, "{error} | {whole}");
                assert!(!error.contains('\n'), "{error}");
                return false;
            }
        };
        let Source::Table { train, test: None, targets } = whole.unwrap() else { panic!("no table") };
        assert_eq!((file.len(), file.source(), file.targets()), (train.len(), train.source(), &*targets));
        assert_eq!(file.schema().columns(), train.columns());
        let expected = all_of(train.columns(), std::slice::from_ref(&train));
        let (rows, all) = (file.rows, 0..file.rows);
        for most in [1, 3, usize::MAX] {
            assert_eq!(all_of(file.columns(), &pieces(&file, most, std::slice::from_ref(&all)).unwrap()), expected);
        }
        let some = [0..1, rows / 3..rows / 3, rows / 3..rows / 2, rows - 1..rows];
        let ranges: Vec<Range<u32>> = if rows > 3 { some.to_vec() } else { std::iter::once(rows - 1..rows).collect() };
        let mut chosen = pieces(&file, 2, &ranges).unwrap().into_iter();
        let mut piece = chosen.next().unwrap();
        let mut at = 0;
        for row in ranges.into_iter().flatten() {
            if at == piece.len() {
                (piece, at) = (chosen.next().unwrap(), 0);
            }
            let bits = |row: &[f32]| row.iter().map(|cell| cell.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(piece.row(at)), bits(train.row(row as usize)), "{row}");
            assert_eq!(piece.place(at), train.place(row as usize));
            at += 1;
        }
        assert!(chosen.next().is_none());
        for row in 0..rows {
            assert_eq!(file.has_gap(row), train.row(row as usize).iter().any(|cell| cell.is_nan()), "{row}");
        }
        true
    }

    fn is_the_same(name: &str, bytes: &[u8], options: &SourceOptions) {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in [(name.to_string(), bytes.to_vec()), (format!("{name}.gz"), gzip(bytes))] {
            let path = folder.path().join(name);
            let start = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
            fs::write(&path, bytes).unwrap();
            assert!(check(&path, options), "{} {options:?}: {start:?}", path.display());
        }
    }

    fn texts() -> Vec<Vec<u8>> {
        let texts: Vec<String> = vec![
            "x,kind,y\n1.5,cat,7\n,dog,8\n\n-2,\"c\nat\",9\nNA,?,\n".into(),
            "x;kind;y\r\n1;cat;7\r\n1,5;dog;8\r\n\r\n-2;cat;9".into(),
            "x;y\n7;8\n7;8.5\n".into(),
            "\u{feff}x,y,\n1,2,\n3,4,\n9,5,\n".into(),
            "w,y\n\u{feff}a,2\n\u{feff}b,4\n\u{feff}a,4\n".into(),
            "n,\u{fc}\r1,x\r2,y\r\r3,z".into(),
            "1\t2\t3\n4\t5\t6\n".into(),
            "5\n".into(),
            "e,n\n,\n,1\n".into(),
            format!("n,q,w\n{}", many("\n", 0)),
            format!("n,q,w\r\n{}", many("\r\n", 9)),
            format!("n,q,w\r{}", many("\r", 9)),
            format!("\u{feff}w,n\n{}", "\u{feff}a,1\n \n  \"\u{feff}\",2\n".repeat(9_000)),
            "1,".repeat(3000) + "\n" + &"2,".repeat(3000),
        ];
        texts.into_iter().map(String::into_bytes).collect()
    }

    fn many(ending: &str, from: usize) -> String {
        (0..9_000).map(|row| format!("{row},\"a \"\"{}\"\"{ending}\",w{}{ending}", row + from, row / 7)).collect()
    }

    #[test]
    fn a_text_in_its_file_is_the_text_in_memory() {
        for text in texts() {
            for header in [None, Some(false)] {
                let options = SourceOptions { header, text_columns: vec!["1".into()], ..SourceOptions::default() };
                is_the_same("t.csv", &text, &options);
                let options = SourceOptions { text_columns: Vec::new(), ..options };
                if header.is_none() {
                    is_the_same("t.csv", &text, &options);
                }
            }
        }
    }

    /// Each of several processes has its rows in memory, one after the other all of the file, wherever parts begin; but where
    /// that is in quotes, all read the file from its beginning.
    #[test]
    fn a_text_is_read_in_parts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        let of = |row: &dyn Fn(usize) -> String| (0..400).map(row).collect::<String>();
        // Words that look like numbers where parts begin, and numbers in some parts only.
        let mixed = |row: usize| if row.is_multiple_of(90) { format!("w{row}") } else { row.to_string() };
        let late = |row: usize| if row > 300 { row.to_string() } else { String::new() };
        for (text, is_in_parts) in [
            (of(&|row| format!("{row},w{},{}\n", 400 - row / 3, row % 7)), true),
            (of(&|row| format!("\n{};w{};{},5\r\n", row, row % 50, row % 7)), true),
            (of(&|row| format!("{row},{},{}\n", mixed(row), late(row))), true),
            (of(&|row| format!("{row},\"w\n{row},1,2\n\",7\n")), false),
            (of(&|row| format!("{row},{},7\n", "w".repeat(if row == 200 { 20_000 } else { 1 }))), true),
        ] {
            let names = if text.contains(';') { "a;b;c" } else { "a,b,c" };
            fs::write(&path, format!("{names}\n{text}")).unwrap();
            for size in [1, 2, 3, 7] {
                let each = together::testing::run(size, true, |reading| {
                    let file = TableFile::open(Some(&reading), &path, &SourceOptions::default(), None);
                    let part = file.unwrap().unwrap().part.unwrap();
                    part.kept.upgrade().map(|kept| (part.rows.clone(), kept.lines.len(), kept.cells.len()))
                });
                let whole: Option<Vec<_>> = each.into_iter().collect();
                assert_eq!(whole.is_some(), is_in_parts || size == 1, "{size}: {}", &text[..20]);
                let mut end = 0;
                for (rows, lines, cells) in whole.into_iter().flatten() {
                    assert_eq!((rows.start, rows.len(), 3 * rows.len()), (end, lines, cells));
                    end = rows.end;
                }
                assert!(end == 400 || !(is_in_parts || size == 1));
            }
        }
    }

    #[test]
    fn arrays_in_their_files_are_those_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let targets = folder.path().join("y.npy");
        let floats = |count: usize| (0..count).map(move |at| (at % 97) as f32 / 7.0 - 3.0);
        let f4: Vec<u8> = floats(600 * 7).flat_map(f32::to_le_bytes).collect();
        let f8: Vec<u8> = floats(600 * 7)
            .map(|v| if v > 10.0 { f64::NAN } else { f64::from(v) / 3.0 })
            .flat_map(f64::to_be_bytes)
            .collect();
        let i8s: Vec<u8> = (0..600 * 7_i64).flat_map(|at| (at * 1_000_003 - 7).to_le_bytes()).collect();
        let u1: Vec<u8> = (0..600 * 64).map(|at| (at * 7 % 256) as u8).collect();
        let labels = |lowest: i64| (0..600_i64).flat_map(|at| (lowest + at % 3).to_le_bytes()).collect::<Vec<u8>>();
        let xs = [
            npy("<f4", false, &[600, 7], &f4),
            npy(">f8", false, &[600, 7], &f8),
            npy("<i8", false, &[600, 7, 1], &i8s),
            npy("<f4", false, &[4200], &f4),
            npy("<f4", true, &[4200], &f4),
            npy("<f4", false, &[1, 4200], &f4),
            npy("|u1", false, &[600, 64], &u1),
        ];
        let ys = [
            npy("<f4", false, &[600], &f4[..2400]),
            npy("<f4", true, &[600, 2], &f4[..4800]),
            npy(">f8", false, &[600, 7], &f8),
            npy("<i8", false, &[600], &labels(-1)),
            npy("<i8", false, &[600], &labels(0)),
        ];
        let mut taken = 0;
        for x in &xs {
            is_the_same("x.npy", x, &SourceOptions::default());
            for y in &ys {
                fs::write(&targets, y).unwrap();
                let options = SourceOptions { targets: Some(targets.clone()), ..SourceOptions::default() };
                for (name, bytes) in [("x.npy", x.clone()), ("x.npy.gz", gzip(x))] {
                    let path = folder.path().join(name);
                    fs::write(&path, bytes).unwrap();
                    taken += usize::from(check(&path, &options));
                }
            }
        }
        // Where rows are as many, but for bytes with class numbers: those are images.
        assert_eq!(taken, 2 * (4 * 5 - 1));
        for (name, bytes) in [
            ("turned.npy", npy("<f4", true, &[600, 7], &f4)),
            ("t.libsvm", b"1 1:0.5 4:2\n".to_vec()),
            ("empty.zip", b"PK\x05\x06".iter().copied().chain([0; 18]).collect()),
            ("idx", vec![0, 0, 8, 1, 0, 0, 0, 1, 7]),
        ] {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            assert!(TableFile::open(None, &path, &SourceOptions::default(), None).unwrap().is_none(), "{name}");
        }
        assert!(TableFile::open(None, folder.path(), &SourceOptions::default(), None).unwrap().is_none());
        assert!(
            TableFile::open(None, &folder.path().join("none.csv"), &SourceOptions::default(), None).unwrap().is_none()
        );
    }

    #[test]
    fn damage_is_told_as_of_the_file_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let rows = "1,2,\"x\ny\"\n".repeat(3_000);
        let f4: Vec<u8> =
            (0..4200).flat_map(|at| (if at == 4001 { f32::INFINITY } else { at as f32 }).to_le_bytes()).collect();
        let whole = npy("<f4", false, &[600, 7], &f4[..]);
        let hostile = |shape: &[usize]| npy("<f8", false, shape, &[0; 64]);
        for (name, bytes, problem) in [
            ("t.csv", format!("a,b,c\n{rows}1,2\n").into_bytes(), "line 6002: 2 cells, but line 1 has 3"),
            ("t.csv", format!("a,b,c\n{rows}\n1,z,y\n").into_bytes(), "line 6003, column 'b'"),
            ("t.csv", format!("a,b,c\n{rows}1,2,\"x\n\n").into_bytes(), "line 6002: a quote"),
            ("t.csv", b"a,b\n".to_vec(), "no rows under it"),
            ("t.csv.gz", gzip(format!("a,b,c\n{rows}").as_bytes())[..90].to_vec(), "cut short"),
            ("x.npy", whole.clone(), "row 572, column 5: inf is too large"),
            ("x.npy", whole[..whole.len() - 1].to_vec(), "cut short: expected"),
            ("x.npy.gz", gzip(&npy("<f4", false, &[700, 7], &f4[..4 * 4000])), "cut short: it ends before"),
            ("x.npy.gz", gzip(&npy("<f4", false, &[5, 7], &f4[..4 * 36])), "the end for its shape of 5 x 7"),
            ("x.npy", hostile(&[1 << 40, 1 << 20]), "x 1048576, more than the"),
            ("x.npy", hostile(&[3, 1 << 20]), "cut short: expected"),
            ("x.npy.gz", gzip(&hostile(&[1 << 14, 1 << 10])), "packed bytes hold at most"),
            ("x.npy.gz", gzip(&npy("|u1", false, &[1, 1 << 19], &vec![0; 1 << 19])), "are dimensions exchanged?"),
        ] {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            let error = TableFile::open(None, &path, &SourceOptions::default(), None).unwrap_err().to_string();
            assert!(error.contains(problem) && !error.contains('\n'), "{problem}: {error}");
            // What is more than memory takes is told otherwise there.
            if !problem.ends_with("than the") {
                let in_memory = open(&path, &SourceOptions::default()).unwrap_err().to_string();
                assert_eq!(error, in_memory);
            }
        }
    }

    #[test]
    fn a_file_that_has_changed_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let rows = |word: &str| format!("a,w,e\n{}", format!("1,{word}, \n").repeat(2_000)).into_bytes();
        let with = |row: &str| {
            let mut text = rows("x");
            let at = text.len() - 12;
            text.splice(at..at + row.len(), row.bytes());
            text
        };
        let f4: Vec<u8> = (0..4200).flat_map(|at| (at as f32).to_le_bytes()).collect();
        let array = npy("<f4", false, &[600, 7], &f4);
        let infinite = [&array[..array.len() - 4], &f32::INFINITY.to_le_bytes()].concat();
        for (name, before, after, problem) in [
            ("t.csv", rows("x"), rows("xy"), "expected 12006 bytes, found 14006"),
            ("t.csv", rows("x"), rows("y"), "'y' is a word that was not there before"),
            ("t.csv", rows("x"), with("1,xxx1"), "not there before"),
            ("t.csv", rows("x"), with("1,x,7\n"), "expected nothing in column 'e', found '7' in line 2000"),
            ("t.csv", rows("x"), with("1\nx,"), "line 1"),
            ("t.csv", rows("x"), with("\n\n\n\n\n\n"), "expected 2000 rows, found 1999"),
            ("t.csv", rows("x"), with(",,\n,,\n,,\n\n\n\n"), "expected 2000 rows, found more"),
            ("t.csv", rows("x"), b"\n".repeat(rows("x").len()), "expected 2000 rows, found 0"),
            ("t.csv.gz", gzip(&rows("x")), rows("x"), "expected a gzip file of"),
            ("x.npy", array.clone(), infinite, "row 600, column 7: inf"),
            ("x.npy", array.clone(), npy("<f4", false, &[601, 7], &f4), "another"),
            ("x.npy", array.clone(), vec![0; array.len()], "the file has changed"),
        ] {
            let path = folder.path().join(name);
            fs::write(&path, before).unwrap();
            let file = TableFile::open(None, &path, &SourceOptions::default(), None).unwrap().unwrap();
            fs::write(&path, after).unwrap();
            for from in [0, file.rows - 3] {
                let range = from..file.rows;
                let error = file.read(std::slice::from_ref(&range), &mut |_| Ok(())).unwrap_err().to_string();
                assert!(error.contains("the file has changed while it was in use"), "{problem}: {error}");
                assert!(!error.contains('\n') && (from > 0 || error.contains(problem)), "{problem}: {error}");
            }
            fs::remove_file(&path).unwrap();
            assert!(file.read(&[0..1, 2..3], &mut |_| Ok(())).is_err());
        }
    }

    #[test]
    fn an_error_of_who_is_given_rows_is_its_own_and_ends_the_reading() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        fs::write(&path, "a,b\n".to_string() + &"1,2\n".repeat(9)).unwrap();
        let file = TableFile::open(None, &path, &SourceOptions::default(), None).unwrap().unwrap();
        let mut given = 0;
        let error = file.read_at_most(2, &[0..4, 5..9], &mut |piece| {
            given += piece.len();
            if given < 4 { Ok(()) } else { Err(csv::refuse(&path, "enough")) }
        });
        assert_eq!((error.unwrap_err().to_string(), given), (format!("{}: enough", path.display()), 4));
    }

    /// What a table is made of, put in and taken away at random: the file in passes says and holds what it holds in memory.
    #[test]
    fn random_texts_are_those_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        let pieces = [
            ",", "\"", "\n", "\r", "\r\n", ";", "\t", "|", " ", "NA", "inf", "\"\"", "1,5", "2.5", "-3", "w",
            "\u{feff}", "a,b\n", "",
        ];
        let mut random = random();
        let originals = texts();
        let mut taken = 0;
        for _ in 0..3_000 {
            let mut text = originals[random(originals.len())].clone();
            text.truncate(random(300));
            for _ in 0..random(5) {
                let at = random(text.len() + 1);
                let end = text.len().min(at + random(3));
                text.splice(at..end, pieces[random(pieces.len())].bytes());
            }
            let header = [None, None, Some(true), Some(false)][random(4)];
            let text_columns = if random(4) == 0 { vec!["1".into()] } else { vec![] };
            fs::write(&path, if random(8) == 0 { gzip(&text) } else { text }).unwrap();
            taken += usize::from(check(&path, &SourceOptions { header, text_columns, ..SourceOptions::default() }));
        }
        assert!((500..2_900).contains(&taken), "{taken}");
    }

    /// Bytes of a header that are others, and values that are too few or too many.
    #[test]
    fn random_arrays_are_those_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let (path, targets) = (folder.path().join("x.npy"), folder.path().join("y.npy"));
        let values: Vec<u8> = (0..480_u32).map(|at| (at * 37 % 251) as u8).collect();
        let originals = [
            npy("<f4", false, &[6, 4], &values[..96]),
            npy(">f8", false, &[30, 2], &values),
            npy("<i8", false, &[6, 1], &values[..48]),
            npy("|u1", false, &[6, 3, 5], &values[..90]),
            npy("|b1", false, &[9], &values[..9]),
            npy("<f2", true, &[5, 7], &values[..70]),
        ];
        let mut random = random();
        let array = |random: &mut dyn FnMut(usize) -> usize| {
            let mut array = originals[random(originals.len())].clone();
            for _ in 0..random(3) {
                let at = random(array.len());
                let byte = b"0123456789,() <>fiub\0\xff"[random(22)];
                let end = array.len().min(at + random(2));
                array.splice(at..end, (0..random(3)).map(|_| byte));
            }
            array
        };
        let mut taken = 0;
        for _ in 0..4_000 {
            let x = array(&mut random);
            fs::write(&path, if random(4) == 0 { gzip(&x) } else { x }).unwrap();
            fs::write(&targets, array(&mut random)).unwrap();
            let targets = (random(2) == 0).then(|| targets.clone());
            taken += usize::from(check(&path, &SourceOptions { targets, ..SourceOptions::default() }));
        }
        assert!((500..3_500).contains(&taken), "{taken}");
    }

    fn random() -> impl FnMut(usize) -> usize {
        let mut state = 9_u64;
        move |below| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        }
    }
}
