//! LIBSVM's lines, `label index:value index:value ...`, as a dense table: what is not named is 0. It must not know what is
//! trained on it.
//!
//! Indices rise along a line and count from 1 (or from 0, if one is 0); they are the names of the columns, and the label's
//! column is called `target`. What follows a `#` is a comment.

use std::path::Path;

use super::array::TARGET;
use super::csv::{MAX_CELLS, MAX_COLUMNS, refuse, shown};
use super::unpack::Begun;
use crate::data::{Table, TableColumn};
use crate::error::{Error, Result};

const BUFFER_BYTES: usize = 64 * 1024;
/// A label or a pair is no longer.
const MAX_TOKEN_BYTES: usize = 128;
/// The table may take so many bytes for each of the (unpacked) text, and [`FREE_BYTES`]: all that is not named is a zero.
const BYTES_PER_BYTE: usize = 16;
const FREE_BYTES: usize = 16 << 20;

/// Whether `start`, the first bytes of a file, look like it: a number, and then pairs with a colon.
pub(super) fn begins(start: &[u8], path: &Path) -> bool {
    let name = path.to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    if [".libsvm", ".svmlight", ".svm"].iter().any(|ending| name.ends_with(ending)) {
        return true;
    }
    let code = |line: &'_ [u8]| line.split(|byte| *byte == b'#').next().unwrap_or_default().to_vec();
    let first = start.split(|byte| matches!(byte, b'\n' | b'\r')).map(code).find(|line| !line.trim_ascii().is_empty());
    let Some(line) = first else { return false };
    let mut tokens = line.split(u8::is_ascii_whitespace).filter(|token| !token.is_empty());
    let labels = |token: &[u8]| token.split(|byte| *byte == b',').all(|label| number(label).is_some());
    let is_label = tokens.next().is_some_and(labels);
    let pair = tokens.next().is_some_and(|token| {
        let mut parts = token.splitn(2, |byte| *byte == b':');
        let (index, value) = (parts.next().unwrap_or_default(), parts.next());
        value.is_some() && (index == b"qid" || (!index.is_empty() && index.iter().all(u8::is_ascii_digit)))
    });
    is_label && pair
}

/// A number as Rust writes it, NaN excepted.
fn number(token: &[u8]) -> Option<f32> {
    std::str::from_utf8(token).ok()?.parse().ok().filter(|number: &f32| !number.is_nan())
}

/// Reads all of `file`.
pub(super) fn read(mut file: Begun<'_>) -> Result<Table> {
    let mut rows = Rows::new(file.path());
    let (mut buffer, mut token, mut comment) = (vec![0; BUFFER_BYTES], Vec::new(), false);
    loop {
        let filled = file.fill(&mut buffer)?;
        for byte in &buffer[..filled] {
            match byte {
                b'\n' => {
                    rows.take(&mut token)?;
                    rows.end()?;
                    comment = false;
                }
                _ if comment => {}
                b'#' => {
                    rows.take(&mut token)?;
                    comment = true;
                }
                byte if byte.is_ascii_whitespace() => rows.take(&mut token)?,
                byte if token.len() < MAX_TOKEN_BYTES => token.push(*byte),
                _ => return Err(rows.fault(&format!("{} goes on and on", shown(&token)))),
            }
        }
        if filled < buffer.len() {
            break;
        }
    }
    rows.take(&mut token)?;
    rows.end()?;
    rows.into_table(file.given())
}

/// What was read, as pairs.
struct Rows<'a> {
    path: &'a Path,
    /// The line that is being read, from 1.
    line: u64,
    label: Option<f32>,
    last_index: Option<u32>,
    labels: Vec<f32>,
    lines: Vec<u32>,
    /// Where the pairs of each row end.
    ends: Vec<usize>,
    pairs: Vec<(u32, f32)>,
    largest: u32,
    any_zero: bool,
}

impl<'a> Rows<'a> {
    fn new(path: &'a Path) -> Rows<'a> {
        Rows {
            path,
            line: 1,
            label: None,
            last_index: None,
            labels: Vec::new(),
            lines: Vec::new(),
            ends: Vec::new(),
            pairs: Vec::new(),
            largest: 0,
            any_zero: false,
        }
    }

    fn fault(&self, problem: &str) -> Error {
        refuse(self.path, format!("line {}: {problem}", self.line))
    }

    /// A label or a pair; nothing if `token` is empty, as it is afterwards.
    fn take(&mut self, token: &mut Vec<u8>) -> Result<()> {
        if token.is_empty() {
            return Ok(());
        }
        match self.label {
            None => self.label = Some(self.label(token)?),
            Some(_) => {
                let (index, value) = self.pair(token)?;
                if self.last_index.is_some_and(|last| last >= index) {
                    let last = self.last_index.unwrap_or_default();
                    return Err(self.fault(&format!("index {index} after {last}; sort the indices, each only once")));
                }
                self.last_index = Some(index);
                self.largest = self.largest.max(index);
                self.any_zero |= index == 0;
                self.room(1)?;
                self.pairs.push((index, value));
            }
        }
        token.clear();
        Ok(())
    }

    fn label(&self, token: &[u8]) -> Result<f32> {
        match number(token) {
            Some(label) if label.is_finite() => Ok(label),
            _ if token.contains(&b',') => Err(self.fault(&format!(
                "{} is several labels; a row has one here: choose one, or make a table with a column for each",
                shown(token)
            ))),
            _ => Err(self.fault(&format!("{} is no label; expected a finite number before the pairs", shown(token)))),
        }
    }

    fn pair(&self, token: &[u8]) -> Result<(u32, f32)> {
        let expected = || self.fault(&format!("{} is no pair; expected index:value, such as 7:0.5", shown(token)));
        let colon = token.iter().position(|byte| *byte == b':').ok_or_else(expected)?;
        let (index, value) = (&token[..colon], &token[colon + 1..]);
        if index == b"qid" {
            return Err(self.fault("qid: marks queries of a ranking, which is not trained here; remove the qid: pairs"));
        }
        let index = std::str::from_utf8(index).ok().and_then(|index| index.parse::<u32>().ok()).ok_or_else(expected)?;
        if index as usize >= MAX_COLUMNS {
            let problem = format!("index {index}, expected at most {}; choose fewer features", MAX_COLUMNS - 1);
            return Err(self.fault(&problem));
        }
        match number(value) {
            Some(value) if value.is_finite() => Ok((index, value)),
            Some(_) => Err(self.fault(&format!("{} is too large: expected a finite number", shown(token)))),
            None => Err(expected()),
        }
    }

    /// The line is at its end.
    fn end(&mut self) -> Result<()> {
        if let Some(label) = self.label.take() {
            let line = u32::try_from(self.line).map_err(|_| self.fault("too many lines; split the file"))?;
            self.room(0)?;
            self.labels.push(label);
            self.lines.push(line);
            self.ends.push(self.pairs.len());
            self.last_index = None;
        }
        self.line += 1;
        Ok(())
    }

    /// Room for one row, or for pairs.
    fn room(&mut self, pairs: usize) -> Result<()> {
        let room = self.pairs.try_reserve(pairs).and_then(|()| self.labels.try_reserve(1));
        let room = room.and_then(|()| self.lines.try_reserve(1)).and_then(|()| self.ends.try_reserve(1));
        room.map_err(|_| Error::out_of_memory(self.path))
    }

    fn into_table(self, file_bytes: u64) -> Result<Table> {
        if self.labels.is_empty() {
            return Err(refuse(self.path, "it holds no rows; expected lines such as 1 3:0.5 7:2"));
        }
        let first = u32::from(!self.any_zero);
        let features = (self.largest + 1 - first) as usize;
        if features == 0 {
            return Err(refuse(self.path, "it holds labels and no index:value pairs; is it the right file?"));
        }
        let (rows, width) = (self.labels.len(), features + 1);
        let most = (file_bytes as usize).saturating_mul(BYTES_PER_BYTE).saturating_add(FREE_BYTES);
        let bytes = rows.saturating_mul(width).saturating_mul(size_of::<f32>());
        if bytes > most || bytes / size_of::<f32>() > MAX_CELLS {
            return Err(refuse(
                self.path,
                format!(
                    "{rows} rows of {features} features are {bytes} bytes with their zeros, expected at most {most} \
                     ({BYTES_PER_BYTE} for each of the file, and {FREE_BYTES}); choose fewer features"
                ),
            ));
        }
        let mut cells = Vec::new();
        cells.try_reserve_exact(rows * width).map_err(|_| Error::out_of_memory(self.path))?;
        let mut start = 0;
        for (label, end) in self.labels.iter().zip(&self.ends) {
            let row = cells.len();
            cells.resize(row + width, 0.0);
            for (index, value) in &self.pairs[start..*end] {
                cells[row + (index - first) as usize] = *value;
            }
            cells[row + features] = *label;
            start = *end;
        }
        let names = (first..=self.largest).map(|index| index.to_string()).chain([TARGET.to_string()]);
        let columns = names.map(TableColumn::number).collect();
        Table::new(columns, cells, self.lines, self.path.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Result<Table> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.svm");
        std::fs::write(&path, text).unwrap();
        read(Begun::open(&path)?)
    }

    #[test]
    fn pairs_become_rows_with_zeros_between() {
        let read = table("# two\n+1 1:0.5 4:-2e0 # end\r\n\n-1\t2:7\n0 \n").unwrap();
        let names: Vec<&str> = read.columns().iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["1", "2", "3", "4", "target"]);
        assert_eq!(read.row(0), [0.5, 0.0, 0.0, -2.0, 1.0]);
        assert_eq!(read.row(1), [0.0, 7.0, 0.0, 0.0, -1.0]);
        assert_eq!((read.len(), read.row(2), read.place(2)), (3, &[0.0; 5][..], "line 5".into()));
        let from_zero = table("1 0:5 2:6").unwrap();
        assert_eq!((from_zero.columns()[0].name.as_str(), from_zero.row(0)), ("0", &[5.0, 0.0, 6.0, 1.0][..]));
    }

    #[test]
    fn what_is_no_line_of_it_is_refused() {
        for (text, problem) in [
            ("1,3 1:2\n", "line 1: '1,3' is several labels; a row has one here"),
            ("1 1:2\n\n1 qid:3 1:2\n", "line 3: qid: marks queries of a ranking"),
            ("1 2:1 1:2\n", "line 1: index 1 after 2; sort the indices"),
            ("1 2:1 2:2\n", "line 1: index 2 after 2"),
            ("a 1:1\n", "line 1: 'a' is no label"),
            ("inf 1:1\n", "line 1: 'inf' is no label"),
            ("1 1:x\n", "'1:x' is no pair; expected index:value"),
            ("1 -1:1\n", "'-1:1' is no pair"),
            ("1 1\n", "'1' is no pair"),
            ("1 1:inf\n", "'1:inf' is too large"),
            ("1 1:1e39\n", "'1:1e39' is too large"),
            ("1 1:nan\n", "'1:nan' is no pair"),
            ("1 4294967295:1\n", "index 4294967295, expected at most 262143"),
            ("1 4294967296:1\n", "'4294967296:1' is no pair"),
            ("# nothing\n", "it holds no rows"),
            ("1\n-1\n", "it holds labels and no index:value pairs"),
        ] {
            let error = table(text).unwrap_err().to_string();
            assert!(error.contains(problem) && !error.contains('\n'), "{text}: {error}");
        }
        assert!(table(&format!("1 1:{}\n", "0".repeat(200))).unwrap_err().to_string().contains("goes on and on"));
    }

    /// 262,143 features in each of 17 rows take 17.8 MB, 16 MiB of them free.
    #[test]
    fn zeros_are_counted_before_there_is_room_for_them() {
        let rows = |rows: usize| table(&format!("1 262143:1\n{}", "1 1:1\n".repeat(rows - 1)));
        assert_eq!(rows(16).unwrap().columns().len(), MAX_COLUMNS);
        let error = rows(17).unwrap_err().to_string();
        assert!(error.contains("17 rows of 262143 features are 17825792 bytes with their zeros"), "{error}");
    }

    #[test]
    fn it_is_known_by_its_name_or_its_first_line() {
        for (start, known) in [
            ("1 1:2\n", true),
            ("# c\n\n-1.5 10:2 11:3\n", true),
            ("1,3 1:2\n", true),
            ("2 qid:1 1:2\n", true),
            ("1 2\n", false),
            ("a 1:2\n", false),
            ("1\n", false),
            ("12:30 1:2\n", false),
            ("", false),
        ] {
            assert_eq!(begins(start.as_bytes(), Path::new("t.txt")), known, "{start}");
        }
        assert!(begins(b"", Path::new("t.libsvm.gz")) && begins(b"1\n", Path::new("T.SVM")));
    }
}
