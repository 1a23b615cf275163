//! The columns of a data set in either encoding: bytes without their blocks of zeros, or dense numbers. It must not know targets.

use super::Scale;
use super::rows::Rows;

/// A row for each sample.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Columns {
    /// Pixels, which become numbers when a batch is loaded.
    Bytes { rows: Rows, scale: Scale },
    /// `[len, width]`, row-major.
    Values { values: Vec<f32>, width: usize },
}

impl Columns {
    /// The rows of these numbers, in that order.
    pub fn select(&self, rows: &[u32]) -> Self {
        match self {
            Columns::Bytes { rows: bytes, scale } => Columns::Bytes { rows: bytes.select(rows), scale: *scale },
            Columns::Values { values, width } => {
                Columns::Values { values: gather(values, *width, rows), width: *width }
            }
        }
    }
}

/// Rows of `width` values by their numbers.
pub(super) fn gather<T: Copy>(values: &[T], width: usize, rows: &[u32]) -> Vec<T> {
    rows.iter().flat_map(|row| &values[*row as usize * width..][..width]).copied().collect()
}
