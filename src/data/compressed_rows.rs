//! Rows of numbers of which few are not zero, as CSR matrices hold them: texts as counts of words. They are never dense as a
//! whole; a batch of them leaves out its blocks of zeros, as one of images does. It must not know targets.

use std::ops::Range;

use super::SharedValues;
use super::messages::refusal;
use crate::error::Result;

/// Compressed sparse rows: only what may be other than 0, with its column, row after row.
#[derive(Debug, Clone, PartialEq)]
pub struct CompressedRows {
    width: usize,
    values: SharedValues,
    /// `[values.len()]`: the column of each value, rising within a row.
    columns: Vec<u32>,
    /// `[len + 1]`: where each row's values begin, and where the last one's end.
    starts: Vec<usize>,
}

impl CompressedRows {
    /// Rows of `width` numbers. `values`: what is not zero, finite; `columns`: the column of each, rising within a row;
    /// `starts: [rows + 1]`: where each row begins, and where the last one ends.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape), which names `source`, unless all of that holds.
    pub fn new(
        values: SharedValues,
        columns: Vec<u32>,
        starts: Vec<usize>,
        width: usize,
        source: &str,
    ) -> Result<Self> {
        let refuse = |what: &str, expected: String, found: String| Err(refusal(source, what, expected, found));
        if width == 0 || u32::try_from(width).is_err() {
            return refuse("columns", format!("1 to {}", u32::MAX), width.to_string());
        }
        if columns.len() != values.len() {
            return refuse("columns", format!("{}, one for each value", values.len()), columns.len().to_string());
        }
        let whole = starts.first() == Some(&0) && starts.last() == Some(&values.len()) && starts.is_sorted();
        if !whole {
            let expected = format!("rising places from 0 to {}", values.len());
            return refuse("where rows begin", expected, "others".into());
        }
        for (row, places) in starts.windows(2).enumerate() {
            let columns = &columns[places[0]..places[1]];
            if !columns.is_sorted_by(|a, b| a < b) || columns.last().is_some_and(|last| *last as usize >= width) {
                let expected = format!("rising columns below {width}");
                return refuse(&format!("row {row}"), expected, "others".into());
            }
        }
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            let row = starts.partition_point(|start| *start <= at) - 1;
            let what = format!("row {row}, column {}", columns[at]);
            return refuse(&what, "a finite number".into(), values[at].to_string());
        }
        Ok(CompressedRows { width, values, columns, starts })
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Numbers of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Whether hardly any number of a row is left: less than one in 32.
    pub(super) fn has_few(&self) -> bool {
        self.values.len().saturating_mul(32) < self.len().saturating_mul(self.width)
    }

    /// What row `index` holds within `columns`: the columns, and the values of each.
    pub(super) fn row(&self, index: usize, columns: &Range<usize>) -> (&[u32], &[f32]) {
        let places = self.starts[index]..self.starts[index + 1];
        let of_row = &self.columns[places.clone()];
        let first = of_row.partition_point(|column| (*column as usize) < columns.start);
        let end = of_row.partition_point(|column| (*column as usize) < columns.end);
        (&of_row[first..end], &self.values[places][first..end])
    }

    pub(super) fn not_zero(&self) -> u64 {
        self.values.iter().filter(|value| **value != 0.0).count() as u64
    }

    /// The rows of these numbers, in that order.
    pub(super) fn select(&self, rows: &[u32]) -> Self {
        let (mut values, mut columns, mut starts) = (Vec::new(), Vec::new(), vec![0]);
        for row in rows {
            let (of_row, numbers) = self.row(*row as usize, &(0..self.width));
            columns.extend_from_slice(of_row);
            values.extend_from_slice(numbers);
            starts.push(values.len());
        }
        CompressedRows { width: self.width, values: values.into(), columns, starts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Batch, Dataset, Loader, Shuffle, TargetColumns};
    use crate::kernels::{Rows, SimdLevel};

    fn targets(len: usize) -> TargetColumns {
        TargetColumns::Values { values: (0..len).map(|row| row as f32).collect(), width: 1 }
    }

    /// The rows of `dense: [n, width]`, compressed.
    fn compressed(dense: &[f32], width: usize) -> CompressedRows {
        let (mut values, mut columns, mut starts) = (Vec::new(), Vec::new(), vec![0]);
        for row in dense.chunks(width) {
            for (column, value) in row.iter().enumerate().filter(|(_, value)| **value != 0.0) {
                columns.push(column as u32);
                values.push(*value);
            }
            starts.push(values.len());
        }
        CompressedRows::new(values.into(), columns, starts, width, "test").unwrap()
    }

    /// Some columns of some rows, over what another batch left, of widths within and beyond a word of 64 blocks.
    #[test]
    fn batches_hold_what_those_of_dense_rows_hold() {
        let mut loaded = Batch::new();
        for width in [1, 7, 8, 21, 64 * 8, 130 * 8 + 3] {
            // Of the widest rows hardly anything is left.
            let every = if width > 1000 { 100 } else { 11 };
            let dense: Vec<f32> =
                (0..6 * width).map(|i| if i % every == 3 || i % 97 < 2 { i as f32 } else { 0.0 }).collect();
            let rows = compressed(&dense, width);
            let sparse = Dataset::from_compressed_rows(rows, targets(6), "sparse".into()).unwrap();
            let dense = Dataset::from_values(dense, width, targets(6), "dense".into()).unwrap();
            assert_eq!((sparse.sha256().unwrap(), sparse.features()), (dense.sha256().unwrap(), width));
            assert_eq!(sparse.share_not_zero().unwrap(), dense.share_not_zero().unwrap());
            for picked in [None, Some([4, 0, 4])] {
                let pick = |set: &Dataset| picked.map_or_else(|| set.clone(), |rows| set.select(&rows));
                let (sparse, dense) = (pick(&sparse), pick(&dense));
                let few = sparse.share_not_zero().unwrap() < 1.0 / 32.0;
                assert!(few || width < 1000);
                let load = |set: &Dataset, batch, columns: &Range<usize>, into: &mut Batch| {
                    let loader = Loader::new(set, 2, Shuffle::Never, 0).unwrap();
                    loader.load_columns(batch, columns.clone(), SimdLevel::detect(), into);
                };
                for columns in [0..width, width / 16 * 8..width, 0..width / 2] {
                    let mut wanted = Batch::new();
                    for batch in 0..sparse.len().div_ceil(2) {
                        load(&dense, batch, &columns, &mut wanted);
                        load(&sparse, batch, &columns, &mut loaded);
                        assert_eq!(
                            (loaded.x(), loaded.targets()),
                            (wanted.x(), wanted.targets()),
                            "{width} {columns:?}"
                        );
                        match loaded.rows() {
                            Rows::Few(_) => assert!(few),
                            Rows::Sparse(rows) if !few => {
                                let blocks = &rows.blocks[..*rows.starts.last().unwrap()];
                                assert!(blocks.iter().all(|block| *block != [0.0; 8]));
                            }
                            _ => panic!("dense rows"),
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_no_matrix_is_refused() {
        let of = |values: &[f32], columns: &[u32], starts: &[usize], width| {
            CompressedRows::new(values.to_vec().into(), columns.into(), starts.into(), width, "s").map(|_| ())
        };
        for (found, wanted) in [
            (of(&[1.0], &[0], &[0, 1], 0), "s: columns: expected 1 to 4294967295, found 0"),
            (of(&[1.0], &[], &[0, 1], 2), "s: columns: expected 1, one for each value, found 0"),
            (of(&[1.0], &[0], &[0, 2], 2), "s: where rows begin: expected rising places from 0 to 1"),
            (of(&[1.0], &[0], &[], 2), "s: where rows begin"),
            (of(&[1.0], &[0], &[1, 1], 2), "s: where rows begin"),
            (of(&[1.0, 1.0], &[0, 1], &[0, 2, 1, 2], 2), "s: where rows begin"),
            (of(&[1.0, 1.0], &[1, 1], &[0, 2], 2), "s: row 0: expected rising columns below 2"),
            (of(&[1.0, 1.0], &[1, 2], &[0, 1, 2], 2), "s: row 1: expected rising columns below 2"),
            (
                of(&[1.0, f32::NAN], &[1, 1], &[0, 0, 1, 2], 2),
                "s: row 2, column 1: expected a finite number, found NaN",
            ),
        ] {
            let error = found.unwrap_err().to_string();
            assert!(error.starts_with(wanted), "{error}");
        }
        let rows = CompressedRows::new(vec![].into(), vec![], vec![0, 0, 0], 2, "s").unwrap();
        assert_eq!((rows.len(), rows.is_empty()), (2, false));
        let error = Dataset::from_compressed_rows(rows, targets(3), "s".into()).unwrap_err().to_string();
        assert_eq!(error, "s: rows: expected 3, as many as targets, found 2");
    }
}
