//! Rows of named columns as a file has them: numbers, or words. What is a target, and how a column becomes inputs of a
//! network, is not known here.

use std::sync::Arc;

use super::messages::{refusal, shown, twice};
use crate::error::{Error, Result};

/// A table in memory, four bytes a cell.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Shared by the pieces of a table that is read in pieces.
    columns: Arc<[TableColumn]>,
    /// `[rows, columns]`, row-major: a number, or of a column of words the number of the word; NaN where nothing is given.
    cells: Vec<f32>,
    /// `[rows]`: where each row begins in its file, counted from 1; empty where a file has no lines.
    lines: Vec<u32>,
    /// `[rows]`: of a piece, the number of each row in its file, from 0; empty where that is its number here.
    numbers: Vec<u32>,
    source: String,
}

/// What is known of a column of a [`Table`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableColumn {
    /// As its file calls it; in files without names its number, from 1.
    pub name: String,
    /// `None` for numbers; else the words that stand in it, in the order in which they were met, none twice.
    pub words: Option<Vec<String>>,
}

impl TableColumn {
    /// A column of numbers.
    pub fn number(name: impl Into<String>) -> Self {
        Self { name: name.into(), words: None }
    }
}

impl Table {
    /// Words have numbers that an f32 holds exactly.
    pub const MAX_WORDS: usize = 1 << 24;

    /// A table of `columns`. `cells`: `[rows, columns]`, row-major, none infinite, with NaN where nothing is given, and in a
    /// column of words the number of one of them; `lines`: `[rows]`, or empty. `source` says where the data come from, for
    /// errors and reports.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are no columns, two have the same name, lengths do not fit, or a cell is not as it should be.
    pub fn new(columns: Vec<TableColumn>, cells: Vec<f32>, lines: Vec<u32>, source: String) -> Result<Self> {
        let width = columns.len();
        if width == 0 || !cells.len().is_multiple_of(width) {
            let expected = format!("whole rows of {width} columns (at least 1)");
            return Err(refusal(&source, "cells", expected, cells.len().to_string()));
        }
        if let Some(name) = twice(columns.iter().map(|column| column.name.as_str())) {
            let found = format!("'{}' twice", shown(name));
            return Err(refusal(&source, "columns", "names of their own".into(), found));
        }
        let table = Self { columns: columns.into(), cells, lines, numbers: Vec::new(), source };
        if !table.lines.is_empty() && table.lines.len() != table.len() {
            let expected = format!("{}, one for each row", table.len());
            return Err(refusal(&table.source, "lines", expected, table.lines.len().to_string()));
        }
        for (row, cells) in table.rows().enumerate() {
            for (column, cell) in table.columns().iter().zip(cells) {
                let fits = match &column.words {
                    None => !cell.is_infinite(),
                    Some(words) => cell.is_nan() || (cell.fract() == 0.0 && (0.0..words.len() as f32).contains(cell)),
                };
                if !fits {
                    return Err(table.refuse(row, &column.name, "a finite number, or of a word", cell.to_string()));
                }
            }
        }
        Ok(table)
    }

    /// Some rows of a file, checked by its reader, so that [`new`](Self::new) would take them. `numbers`: `[rows]`, of each its
    /// number in the file, from 0, or empty; so are `lines`.
    pub(super) fn piece(
        columns: &Arc<[TableColumn]>,
        cells: Vec<f32>,
        lines: Vec<u32>,
        numbers: Vec<u32>,
        source: &str,
    ) -> Self {
        debug_assert!(
            [lines.len(), numbers.len()].iter().all(|rows| *rows == 0 || rows * columns.len() == cells.len())
        );
        Self { columns: Arc::clone(columns), cells, lines, numbers, source: source.to_string() }
    }

    /// The same columns without rows.
    pub(super) fn without_rows(columns: &Arc<[TableColumn]>, source: &str) -> Self {
        Self::piece(columns, Vec::new(), Vec::new(), Vec::new(), source)
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.cells.len() / self.columns.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Its columns, from left to right.
    pub fn columns(&self) -> &[TableColumn] {
        &self.columns
    }

    /// The rows, `[columns]` each.
    pub fn rows(&self) -> std::slice::ChunksExact<'_, f32> {
        self.cells.chunks_exact(self.columns.len())
    }

    /// Row `index`, which is below `len`: `[columns]`.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.cells[index * self.columns.len()..][..self.columns.len()]
    }

    /// The number of the column of this name.
    pub fn find_named(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// The same; else the number of the column that the name numbers, from 1.
    pub fn find(&self, name: &str) -> Option<usize> {
        let number = || name.parse::<usize>().ok().filter(|number| (1..=self.columns.len()).contains(number));
        self.find_named(name).or_else(|| Some(number()? - 1))
    }

    /// Where the data come from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Which row of the file it is, for people: its line, or else its number, from 1.
    pub fn place(&self, row: usize) -> String {
        match self.lines.get(row) {
            Some(line) => format!("line {line}"),
            None => format!("row {}", self.numbers.get(row).map_or(row as u64, |number| u64::from(*number)) + 1),
        }
    }

    /// A cell as its file has it, or nearly.
    pub fn told(&self, row: usize, column: usize) -> String {
        let cell = self.row(row)[column];
        match &self.columns[column].words {
            _ if cell.is_nan() => String::new(),
            Some(words) => words[cell as usize].clone(),
            None => cell.to_string(),
        }
    }

    /// The error that a cell is not as expected.
    pub fn refuse(&self, row: usize, column: &str, expected: &str, found: String) -> Error {
        let what = format!("{}, column '{}'", self.place(row), shown(column));
        refusal(&self.source, &what, expected.into(), shown(&found))
    }

    /// The rows for which `keep` holds. A copy is not made.
    pub fn retain(mut self, keep: impl Fn(&[f32]) -> bool) -> Self {
        let width = self.columns.len();
        let mut kept = 0;
        for row in 0..self.len() {
            if keep(self.row(row)) {
                self.cells.copy_within(row * width..(row + 1) * width, kept * width);
                if let Some(line) = self.lines.get(row).copied() {
                    self.lines[kept] = line;
                }
                if let Some(number) = self.numbers.get(row).copied() {
                    self.numbers[kept] = number;
                }
                kept += 1;
            }
        }
        self.cells.truncate(kept * width);
        self.lines.truncate(kept);
        self.numbers.truncate(kept);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: Vec<TableColumn>, cells: Vec<f32>, lines: Vec<u32>) -> Result<Table> {
        Table::new(columns, cells, lines, "t.csv".into())
    }

    fn small() -> Table {
        let words = TableColumn { name: "kind".into(), words: Some(vec!["cat".into(), "dog".into()]) };
        table(vec![TableColumn::number("7"), words], vec![1.5, 1.0, f32::NAN, 0.0, 2.0, f32::NAN], vec![2, 4, 5])
            .unwrap()
    }

    #[test]
    fn cells_are_found_by_row_and_column() {
        let table = small();
        assert_eq!((table.len(), table.is_empty(), table.row(2)[0], table.source()), (3, false, 2.0, "t.csv"));
        assert_eq!((table.find("kind"), table.find("2"), table.find("1")), (Some(1), Some(1), Some(0)));
        assert_eq!((table.find("7"), table.find("3"), table.find("0"), table.find("")), (Some(0), None, None, None));
        let told: Vec<String> = (0..3).flat_map(|row| [table.told(row, 0), table.told(row, 1)]).collect();
        assert_eq!(told, ["1.5", "dog", "", "cat", "2", ""]);
        assert_eq!((table.place(1), table.rows().count()), ("line 4".into(), 3));
        let error = table.refuse(1, "kind", "a word", "''".into()).to_string();
        assert_eq!(error, "t.csv: line 4, column 'kind': expected a word, found ''");
    }

    #[test]
    fn rows_that_are_not_kept_are_gone_with_their_lines() {
        let kept = small().retain(|row| !row[0].is_nan());
        assert_eq!((kept.len(), kept.row(1)[0], kept.place(1)), (2, 2.0, "line 5".into()));
        assert!(small().retain(|_| false).is_empty());
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let numbers = |names: &[&str]| names.iter().map(|name| TableColumn::number(*name)).collect::<Vec<_>>();
        let word = TableColumn { name: "w".into(), words: Some(vec!["a".into()]) };
        for (columns, cells, lines, wanted) in [
            (vec![], vec![], vec![], "t.csv: cells: expected whole rows of 0 columns (at least 1), found 0"),
            (numbers(&["a", "b"]), vec![0.0; 3], vec![], "t.csv: cells: expected whole rows of 2 columns"),
            (numbers(&["a", "b", "a"]), vec![], vec![], "t.csv: columns: expected names of their own, found 'a' twice"),
            (numbers(&["a"]), vec![0.0; 2], vec![1], "t.csv: lines: expected 2, one for each row, found 1"),
            (numbers(&["a"]), vec![0.0, f32::INFINITY], vec![], "t.csv: row 2, column 'a': expected a finite number"),
            (
                vec![word.clone()],
                vec![1.0],
                vec![9],
                "t.csv: line 9, column 'w': expected a finite number, or of a word",
            ),
            (vec![word.clone()], vec![0.5], vec![], "t.csv: row 1, column 'w'"),
            (vec![word], vec![-1.0], vec![], "t.csv: row 1, column 'w'"),
        ] {
            let error = table(columns, cells, lines).unwrap_err().to_string();
            assert!(error.starts_with(wanted), "{error}");
        }
    }
}
