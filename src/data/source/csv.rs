//! Text of cells between delimiters (CSV, TSV and their like) as a table: which columns are numbers and which are words, and
//! what stands in them. It must not know what is a target.
//!
//! What is taken: the delimiters `,` `;` tab and `|`, found from the first lines; cells in quotes, with quotes doubled and
//! with line ends; CRLF, LF and lone CR; a byte order mark of UTF-8; spaces around cells. Blank lines are passed over, and so
//! is a delimiter at the end of all lines. A column holds numbers if the first of its cells that is not missing is a number
//! (see `number`), else words. Where cells are parted by `;`, numbers may have a decimal comma.

mod delimiter;
mod first_rows;
mod parts;
mod records;
mod words;

use std::path::Path;

use super::file_bytes::{Bytes, FileBytes, changed};
use super::number::{self, Cell, Decimal};
use super::unpack::Begun;
use crate::data::messages::{self, listed, twice};
use crate::data::{Table, TableColumn};
use crate::error::{Error, Result};
use first_rows::FirstRows;
pub(super) use parts::{Form, Joined, Known, PartOfText, join, scan_part};
pub(super) use records::Place;
use records::{Dialect, Records};
use words::Words;

/// Names and states of columns take fifty times what a cell takes.
pub(super) const MAX_COLUMNS: usize = 1 << 18;
/// Of the values of all files: 16 GiB of them.
pub(super) const MAX_CELLS: usize = 1 << 32;

/// What is known of a table before it is read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted<'a> {
    /// Whether the first row holds names; `None` to find out.
    pub header: Option<bool>,
    /// Columns of words, by name or number from 1, whatever stands in them.
    pub text_columns: &'a [String],
    /// The columns of the table that was read before: its columns of words are words here too.
    pub like: Option<&'a [TableColumn]>,
}

/// Reads all of `file`. Memory is taken for the cells, four bytes each, for the different words, and for no more of the file
/// than a buffer.
pub(super) fn read(file: Begun<'_>, wanted: Wanted<'_>) -> Result<Table> {
    let path = file.path();
    let (mut width, mut lines) = (None, Vec::new());
    let (text, mut cells) = scan(file, wanted, &mut |place, cells| {
        if cells.len() > MAX_CELLS {
            let line = place.line;
            let problem =
                format!("line {line}: more than {MAX_CELLS} cells, the most that are read; leave out columns");
            return Err(refuse(path, problem));
        }
        // For the next row, whose cells are added to these.
        let width = *width.get_or_insert(cells.len());
        let room = cells.try_reserve(width).and_then(|()| lines.try_reserve(1));
        room.map_err(|_| Error::out_of_memory(path))?;
        lines.push(place.line);
        Ok(())
    })?;
    cells.shrink_to_fit();
    lines.shrink_to_fit();
    Table::new(text.columns(), cells, lines, path.display().to_string())
}

/// Reads all of `file` and keeps nothing of it but its form, and cells that `each` leaves. `each` gets every row: where it
/// begins, and its cells, as [`Table`] has them, behind those of rows before it that it did not clear.
pub(super) fn scan(file: Begun<'_>, wanted: Wanted<'_>, each: &mut EachRow<'_>) -> Result<(Text, Vec<f32>)> {
    let path = file.path();
    let Beginning { mut records, first, layout, decimal, kinds } = Beginning::of(file, wanted)?;
    let mut cells = Cells { path, layout: &layout, decimal, kinds, row: Vec::new(), beyond: false };
    let mut any = false;
    rows_from_start(&mut records, first, u64::MAX, &mut cells, &mut |place, row| {
        any = true;
        each(place, row)
    })?;
    if !any {
        return Err(refuse(path, "it holds one line of names and no rows under it; is it the right file?"));
    }
    let Cells { kinds, decimal, row, .. } = cells;
    let kinds =
        kinds.into_iter().map(|kind| if matches!(kind, Kind::Unknown) { Kind::Nothing } else { kind }).collect();
    Ok((Text { dialect: records.dialect(), layout, decimal, kinds }, row))
}

/// Takes a row: where it begins, and its cells.
pub(super) type EachRow<'a> = dyn FnMut(Place, &mut Vec<f32>) -> Result<()> + 'a;

/// A text of which the first rows have been looked at, and none has been taken.
struct Beginning<'a> {
    records: Records<Begun<'a>>,
    first: FirstRows,
    layout: Layout,
    decimal: Decimal,
    kinds: Vec<Kind>,
}

impl<'a> Beginning<'a> {
    fn of(file: Begun<'a>, wanted: Wanted<'_>) -> Result<Self> {
        let path = file.path();
        check_encoding(path, file.start())?;
        let delimiter = delimiter::find(file.start(), path);
        let mut records = Records::new(file, delimiter)?;
        let first = FirstRows::look(&mut records)?;
        let decimal = if delimiter == b';' { Decimal::Unknown } else { Decimal::Point };
        let Some(layout) = first.layout(wanted.header, decimal) else {
            return Err(refuse(path, "it holds no rows, only blank lines; is it the right file?"));
        };
        check_names(path, &layout)?;
        let kinds = kinds(path, &layout.names, wanted)?;
        Ok(Beginning { records, first, layout, decimal, kinds })
    }
}

/// [`rows_until`] for a text of which the `first` rows have been read.
fn rows_from_start(
    records: &mut Records<Begun<'_>>,
    first: FirstRows,
    end: u64,
    cells: &mut Cells<'_>,
    each: &mut EachRow<'_>,
) -> Result<Option<Place>> {
    for row in first.rows(cells.layout.header) {
        if row.place.offset >= end {
            return Ok(Some(row.place));
        }
        for (index, cell) in row.cells().enumerate() {
            cells.add(row.place.line, index, cell)?;
        }
        each(row.place, cells.end(row.place.line, row.len())?)?;
    }
    drop(first);
    rows_until(records, end, cells, each)
}

/// Gives `each` the rows that begin before the byte `end`. Returns where the next one begins, if there is one.
fn rows_until(
    records: &mut Records<impl Bytes>,
    end: u64,
    cells: &mut Cells<'_>,
    each: &mut EachRow<'_>,
) -> Result<Option<Place>> {
    while let Some(ahead) = records.ahead()? {
        if ahead.offset >= end {
            return Ok(Some(ahead));
        }
        let Some((place, count)) = records.next(|line, index, cell| cells.add(line, index, cell))? else { break };
        each(place, cells.end(place.line, count)?)?;
    }
    Ok(None)
}

/// The form of a text that was read to its end: enough to read any of its rows again.
#[derive(Debug)]
pub(super) struct Text {
    dialect: Dialect,
    layout: Layout,
    decimal: Decimal,
    kinds: Vec<Kind>,
}

impl Text {
    /// The columns, with all their words.
    pub fn columns(&self) -> Vec<TableColumn> {
        let words = |kind: &Kind| if let Kind::Words(words) = kind { Some(words.list()) } else { None };
        let names = self.layout.names.iter().cloned();
        names.zip(&self.kinds).map(|(name, kind)| TableColumn { name, words: words(kind) }).collect()
    }

    /// Reads the text in `file` again, from the row that begins at `place`.
    pub fn rows<'a>(&'a self, path: &'a Path, file: FileBytes<'a>, place: Place) -> Result<Rows<'a>> {
        let records = Records::again(file, self.dialect, place)?;
        let (decimal, kinds) = (self.decimal, self.kinds.clone());
        Ok(Rows {
            records,
            cells: Cells { path, layout: &self.layout, decimal, kinds, row: Vec::new(), beyond: false },
        })
    }
}

/// Rows of a text on a further reading.
pub(super) struct Rows<'a> {
    records: Records<FileBytes<'a>>,
    cells: Cells<'a>,
}

impl Rows<'_> {
    /// Goes to the row that begins at `place`.
    pub fn go_to(&mut self, place: Place) -> Result<()> {
        self.records.go_to(place)
    }

    /// The next row, and where it begins; `None` at the end of the file.
    pub fn next(&mut self) -> Result<Option<(Place, &[f32])>> {
        let (records, cells) = (&mut self.records, &mut self.cells);
        cells.row.clear();
        match records.next(|line, index, cell| cells.add(line, index, cell))? {
            Some((place, count)) => Ok(Some((place, cells.end(place.line, count)?))),
            None => Ok(None),
        }
    }

    /// Passes over the next row; `false` at the end of the file.
    pub fn pass_over(&mut self) -> Result<bool> {
        Ok(self.records.next(|_, _, _| Ok(()))?.is_some())
    }
}

pub(super) fn refuse(path: &Path, problem: impl Into<String>) -> Error {
    Error::DataFile { path: path.to_path_buf(), problem: problem.into() }
}

/// The beginning of a text from a file, in quotes and in one line, for an error.
pub(super) fn shown(text: &[u8]) -> String {
    // Forty characters and the first byte of another take no more.
    format!("'{}'", messages::shown(&String::from_utf8_lossy(&text[..text.len().min(4 * 41)])))
}

/// Refuses what is no text in UTF-8 or its like by its first bytes.
fn check_encoding(path: &Path, start: &[u8]) -> Result<()> {
    let utf_16 = start.starts_with(&[0xff, 0xfe])
        || start.starts_with(&[0xfe, 0xff])
        || (start.len() >= 4
            && (start[..4] == [start[0], 0, start[2], 0] || start[..4] == [0, start[1], 0, start[3]])
            && start[..4] != [0; 4]);
    if utf_16 {
        return Err(refuse(path, "it is text in UTF-16; store it as UTF-8: iconv -f UTF-16 -t UTF-8 FILE > NEW"));
    }
    if start.is_empty() {
        return Err(refuse(path, "it is empty; expected rows of cells"));
    }
    if start.contains(&0) {
        let problem = "it is neither text (it holds bytes of 0) nor a format that is known; expected CSV, NumPy's .npy or \
                       .npz, LIBSVM or IDX";
        return Err(refuse(path, problem));
    }
    let text = start.trim_ascii_start();
    if text.starts_with(b"<") {
        let problem = "it looks like a web page that was saved in its place: download the file again";
        return Err(refuse(path, problem));
    }
    if text.starts_with(b"version https://git-lfs") {
        let problem = "it is a Git LFS pointer: git lfs pull fetches the file that it stands for";
        return Err(refuse(path, problem));
    }
    Ok(())
}

/// What the first rows say of all.
#[derive(Debug)]
struct Layout {
    names: Vec<String>,
    /// Whether the first row holds the names.
    header: bool,
    /// Whether rows may end in a delimiter, with nothing after it.
    trailing: bool,
    /// Where the first row begins.
    line: u32,
}

fn check_names(path: &Path, layout: &Layout) -> Result<()> {
    match twice(layout.names.iter().map(String::as_str)) {
        None => Ok(()),
        Some(name) => {
            let name = shown(name.as_bytes());
            let problem = format!("line {}: two columns are called {name}; give each a name of its own", layout.line);
            Err(refuse(path, problem))
        }
    }
}

/// What a column holds.
#[derive(Debug, Clone)]
enum Kind {
    /// Nothing so far.
    Unknown,
    /// Nothing at all, in a text that was read to its end.
    Nothing,
    Numbers,
    Words(Words),
}

/// Words where that is asked for.
fn kinds(path: &Path, names: &[String], wanted: Wanted<'_>) -> Result<Vec<Kind>> {
    let mut kinds: Vec<Kind> = names.iter().map(|_| Kind::Unknown).collect();
    for wanted in wanted.text_columns {
        let number = || wanted.parse::<usize>().ok()?.checked_sub(1).filter(|number| *number < names.len());
        match names.iter().position(|name| name == wanted).or_else(number) {
            Some(column) => kinds[column] = Kind::Words(Words::default()),
            None => {
                let expected = format!(
                    "columns of {}: {}",
                    path.display(),
                    listed(names.iter().map(|name| messages::shown(name)), 10)
                );
                return Err(Error::Setting { name: "text_columns", found: wanted.clone(), expected });
            }
        }
    }
    if let Some(like) = wanted.like {
        let words = like.iter().filter(|column| column.words.is_some());
        let of_words: std::collections::HashSet<&str> = words.map(|column| column.name.as_str()).collect();
        for (kind, _) in kinds.iter_mut().zip(names).filter(|(_, name)| of_words.contains(name.as_str())) {
            *kind = Kind::Words(Words::default());
        }
    }
    Ok(kinds)
}

/// The cells of a row that is being read.
struct Cells<'a> {
    path: &'a Path,
    layout: &'a Layout,
    decimal: Decimal,
    kinds: Vec<Kind>,
    /// Its cells, and before them those of other rows that are kept.
    row: Vec<f32>,
    /// Whether there is anything in a cell beyond the last column.
    beyond: bool,
}

impl Cells<'_> {
    /// Adds a cell of the row; those beyond its end are counted at its [`end`](Self::end).
    #[inline]
    fn add(&mut self, line: u32, index: usize, cell: &[u8]) -> Result<()> {
        let cell = number::trimmed(cell);
        let Some(kind) = self.kinds.get_mut(index) else {
            self.beyond |= !cell.is_empty();
            return Ok(());
        };
        if let Kind::Words(words) = kind {
            let word = if number::MISSING.iter().any(|missing| missing.as_bytes() == cell) {
                f32::NAN
            } else {
                words.number(cell).map_err(|problem| self.fault(line, index, &problem))?
            };
            self.row.push(word);
            return Ok(());
        }
        match (number::cell(cell, &mut self.decimal), &kind) {
            (Cell::Missing, _) => self.row.push(f32::NAN),
            (_, Kind::Nothing) => {
                let column = shown(self.layout.names[index].as_bytes());
                let found = format!("{} in line {line}", shown(cell));
                return Err(changed(self.path, format!("nothing in column {column}"), found));
            }
            (Cell::Number(number), _) => {
                *kind = Kind::Numbers;
                self.row.push(number);
            }
            (Cell::Word, Kind::Unknown) => {
                *kind = Kind::Words(Words::default());
                return self.add(line, index, cell);
            }
            (Cell::TooLarge, _) => {
                let problem = format!("{} is too large: expected a finite number of at most 3.4e38", shown(cell));
                return Err(self.fault(line, index, &problem));
            }
            (Cell::Word, _) => return Err(self.fault(line, index, &self.no_number(cell))),
        }
        Ok(())
    }

    /// What is wrong with a word in a column of numbers.
    fn no_number(&self, cell: &[u8]) -> String {
        let bare: Vec<u8> = cell.iter().copied().filter(|byte| !matches!(byte, b',' | b'\'' | b'_' | b' ')).collect();
        let separated = bare.len() < cell.len();
        let hint = match number::cell(&bare, &mut Decimal::Point) {
            Cell::Number(_) if separated => {
                "write numbers without separators of thousands, and one decimal sign in all"
            }
            _ => "name it in text_columns if it is a text column",
        };
        format!("the column holds numbers, but here is {}; {hint}", shown(cell))
    }

    /// The row, which is at its end after `count` cells.
    fn end(&mut self, line: u32, count: usize) -> Result<&mut Vec<f32>> {
        let width = self.kinds.len();
        let trailing = self.layout.trailing && count == width + 1 && !self.beyond;
        if count == width || trailing { Ok(&mut self.row) } else { Err(self.ragged(line, count)) }
    }

    fn ragged(&self, line: u32, count: usize) -> Error {
        let (width, first) = (self.kinds.len(), self.layout.line);
        let problem = format!(
            "line {line}: {count} cells, but line {first} has {width}; a cell that holds a delimiter stands in quotes (\")"
        );
        refuse(self.path, problem)
    }

    fn fault(&self, line: u32, column: usize, problem: &str) -> Error {
        let name = shown(self.layout.names[column].as_bytes());
        refuse(self.path, format!("line {line}, column {name}: {problem}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::source::testing::gzip;

    fn read_with(text: impl AsRef<[u8]>, wanted: Wanted<'_>) -> Result<Table> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        std::fs::write(&path, text).unwrap();
        read(Begun::open(&path)?, wanted)
    }

    fn table(text: impl AsRef<[u8]>) -> Result<Table> {
        read_with(text, Wanted::default())
    }

    fn names(table: &Table) -> Vec<&str> {
        table.columns().iter().map(|column| column.name.as_str()).collect()
    }

    /// All cells as text, a row to a string.
    fn told(table: &Table) -> Vec<String> {
        let row = |row| (0..table.columns().len()).map(|column| table.told(row, column)).collect::<Vec<_>>().join("|");
        (0..table.len()).map(row).collect()
    }

    #[track_caller]
    fn refused(text: impl AsRef<[u8]>, wanted: Wanted<'_>, problem: &str) {
        let error = read_with(text, wanted).unwrap_err().to_string();
        assert!(error.contains(problem) && !error.contains('\n'), "{error}");
    }

    #[test]
    fn every_spelling_of_a_table_is_the_same_table() {
        let same = [
            "x,kind,y\n1.5,cat,7\n,dog,8\n-2,cat,9\n",
            "x;kind;y\r\n1,5;cat;7\r\nNA;dog;8\r\n-2;cat;9\r\n",
            "x;kind;y\r1.5;cat;7\rNA;dog;8\r-2;cat;9",
            "x\tkind\ty\n\n1.5\tcat\t7\n \n?\tdog\t8\n-2\tcat\t9\n\n",
            "x | kind | y\n +1.5 | cat | 7\nnull | dog | 8\n -2e0 | cat | 9",
            "\u{feff}\"x\",\"kind\",\"y\"\n\"1.5\", \"cat\" ,7\n,\"dog\",8\n-2,cat,9\n",
            "x,kind,y,\n1.5,cat,7,\nNaN,dog,8,\n-2,cat,9,\n",
            "x,kind,y\n1.5,cat,7,\nNaN,dog,8,\n-2,cat,9,\n",
            "x,kind,y,\n1.5,cat,7\nNaN,dog,8\n-2,cat,9\n",
        ];
        for text in same {
            let table = table(text).unwrap();
            assert_eq!(names(&table), ["x", "kind", "y"], "{text}");
            assert_eq!(told(&table), ["1.5|cat|7", "|dog|8", "-2|cat|9"], "{text}");
            assert_eq!(table.columns()[0].words, None);
            assert_eq!(table.columns()[1].words.as_deref(), Some(&["cat".to_string(), "dog".into()][..]));
        }
    }

    #[test]
    fn cells_in_quotes_hold_anything_and_lines_are_counted() {
        let text = "a,b\n\"x, \"\"y\"\"\r\nz\",1\n\n\n\"\",2\nlast,3\n";
        let table = table(text).unwrap();
        assert_eq!(told(&table), ["x, \"y\"\r\nz|1", "|2", "last|3"]);
        let places: Vec<String> = (0..3).map(|row| table.place(row)).collect();
        assert_eq!(places, ["line 2", "line 6", "line 7"]);
        let crlf = self::table("a\r\n\r\n1\r\n2\r\n\r\n3").unwrap();
        assert_eq!((crlf.place(0), crlf.place(1), crlf.place(2)), ("line 3".into(), "line 4".into(), "line 6".into()));
    }

    #[test]
    fn names_are_found_or_given() {
        let header = |text: &str| (names(&table(text).unwrap()).join("/"), table(text).unwrap().len());
        for (text, found, rows) in [
            ("1,2\n3,4\n", "1/2", 2),
            ("5.1,3.5,setosa\n4.9,3.0,setosa\n", "1/2/3", 2),
            ("a,b,c\n1,2,x\n3,4,y\n", "a/b/c", 2),
            ("label,0,1,2\n5,0,0,0\n", "label/0/1/2", 1),
            (",a,b\n0,1,2\n1,3,4\n", "1/a/b", 2),
            ("p,x,s\ne,x,y\np,b,s\n", "1/2/3", 3),
            ("a,b\nx,y\nz,y\n", "a/b", 2),
            ("a,a\nx,y\nz,y\n", "1/2", 3),
            ("?,b\nx,1\nz,2\n", "1/2", 3),
            ("x,2.5\ny,3\n", "1/2", 2),
            // A word above numbers, beside numbers that are no names.
            ("unknown,3.5,7\n1,2,3\n", "1/2/3", 2),
            ("7\n", "1", 1),
            ("1,2,\n3,4,\n", "1/2", 2),
        ] {
            assert_eq!(header(text), (found.into(), rows), "{text}");
        }
        let with = |text: &str, header| read_with(text, Wanted { header: Some(header), ..Wanted::default() });
        assert_eq!(names(&with("1,2\n3,4\n", true).unwrap()), ["1", "2"]);
        assert_eq!(with("1,2\n3,4\n", true).unwrap().len(), 1);
        assert_eq!(told(&with("a,b\n3,c\n", false).unwrap()), ["a|b", "3|c"]);
    }

    #[test]
    fn the_first_cell_that_is_there_says_what_a_column_holds() {
        let table = table("n,w,e\n,,\n1,2b,\nNA,7,\n").unwrap();
        assert_eq!(told(&table), ["||", "1|2b|", "|7|"]);
        assert!(table.columns()[0].words.is_none() && table.columns()[2].words.is_none());
        refused(
            "n,w\n1,a\n\nabc,b\n",
            Wanted::default(),
            "t.csv: line 4, column 'n': the column holds numbers, but here is 'abc'; name it in text_columns if it is",
        );
        let text_columns = ["n".to_string()];
        let wanted = Wanted { text_columns: &text_columns, ..Wanted::default() };
        assert_eq!(told(&read_with("n,w\n1,a\nabc,b\n", wanted).unwrap()), ["1|a", "abc|b"]);
        let like = read_with("n,w\n1,a\nabc,b\n", wanted).unwrap();
        let wanted = Wanted { like: Some(like.columns()), ..Wanted::default() };
        assert_eq!(told(&read_with("w,n\na,1\nb,abc\n", wanted).unwrap()), ["a|1", "b|abc"]);
        for (name, found) in [("1", true), ("n", true), ("3", false), ("0", false), ("x", false)] {
            let text_columns = [name.to_string()];
            let read = read_with("n,w\n1,a\n", Wanted { text_columns: &text_columns, ..Wanted::default() });
            assert_eq!(read.is_ok(), found, "{name}");
        }
    }

    #[test]
    fn what_is_no_table_is_refused_in_one_line() {
        for (text, problem) in [
            (&b""[..], "t.csv: it is empty; expected rows of cells"),
            (b"\n \r\n\n", "it holds no rows, only blank lines"),
            (b"a,b\n", "it holds one line of names and no rows under it"),
            (b"a,b\n1,2\n3\n", "line 3: 1 cells, but line 1 has 2; a cell that holds a delimiter stands in quotes"),
            (b"\na,b\n1,2\n3,4,5\n", "line 4: 3 cells, but line 2 has 2"),
            (b"a,b\n1,2,\n3,4,5\n", "line 2: 3 cells, but line 1 has 2"),
            (b"a,b,a\n1,2,3\n", "line 1: two columns are called 'a'"),
            (b"a,b\n1,inf\n", "line 2, column 'b': 'inf' is too large"),
            (b"a,b\n1,-1e39\n", "line 2, column 'b': '-1e39' is too large"),
            (b"a,b\n1,2\n1,\"2,000\"\n", "here is '2,000'; write numbers without separators of thousands"),
            (
                b"a;b\n1.5;2\n1,5;2\n",
                "here is '1,5'; write numbers without separators of thousands, and one decimal sign",
            ),
            (b"a,b\n1,M\xfcnchen\n", "line 2, column 'b': 'M\u{fffd}nchen' is not UTF-8; store the file so: iconv"),
            (b"a,b\n1,\"x\n\xff\"\n", "line 2, column 'b': 'x\u{fffd}\u{fffd}' is not UTF-8"),
            (b"\"a\nb\",\"a\nb\"\n1,2\n", "line 1: two columns are called 'a\u{fffd}b'"),
            (b"a,b\n1,\"x\n2,y\n", "line 2: a quote (\") is not closed before the file ends"),
            (b"\xff\xfea\0,\0", "it is text in UTF-16; store it as UTF-8: iconv -f UTF-16"),
            (b"a\0,\0b\0", "it is text in UTF-16"),
            (b"\x7fELF\x02\x01\x01\0\0\0", "it is neither text"),
            (b"<!DOCTYPE html>", "it looks like a web page"),
            (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        ] {
            refused(text, Wanted::default(), problem);
        }
        let late = format!("a,b\n{}3,4,5\n", "1,2,\n".repeat(30));
        refused(late, Wanted::default(), "line 32: 3 cells, but line 1 has 2");
        let text_columns = ["z".to_string()];
        let wanted = Wanted { text_columns: &text_columns, ..Wanted::default() };
        refused("a,\"b\nc\"\n1,2\n", wanted, "text_columns: z is not valid: expected columns of ");
    }

    /// What is longer than all buffers, and what is cut in the middle of them.
    #[test]
    fn buffers_have_no_seams() {
        let word = "w".repeat(300_000);
        let rows: String = (0..30_000).map(|row| format!("{row},\"a \"\"{row}\"\"\",{}\r\n", row % 7)).collect();
        let table = table(format!("n,w,m\n{rows}-1,\"{word}\",3\n")).unwrap();
        assert_eq!(table.len(), 30_001);
        for row in [0, 1, 4_711, 29_999] {
            assert_eq!(told(&table)[row], format!("{row}|a \"{row}\"|{}", row % 7));
            assert_eq!(table.place(row), format!("line {}", row + 2));
        }
        assert_eq!(table.told(30_000, 1), word);
        refused(
            format!("a,b\n1,\"{}", "x\n".repeat(600_000)),
            Wanted::default(),
            "line 2: a cell of more than 1048576",
        );
    }

    #[test]
    fn columns_are_counted_before_there_is_room_for_them() {
        let wide = |columns: usize| vec!["1"; columns].join(",");
        assert_eq!(table(wide(MAX_COLUMNS)).unwrap().columns().len(), MAX_COLUMNS);
        refused(wide(MAX_COLUMNS + 1), Wanted::default(), "line 1: more than 262144 cells");
        refused(format!("1,2\n{}", wide(1_000_000)), Wanted::default(), "line 2: more than 262144 cells");
    }

    #[test]
    fn packed_tables_may_have_members_and_padding() {
        let pack = |text: &str| gzip(text.as_bytes());
        let packed = [pack("a,b\n1,"), pack("2\n3,4\n"), vec![0; 512]].concat();
        assert_eq!(told(&table(&packed).unwrap()), ["1|2", "3|4"]);
        refused(&packed[..packed.len() - 520], Wanted::default(), "the gzip stream is cut short");
    }
}
