//! The columns of a data set in any encoding: bytes without their blocks of zeros, dense numbers, or numbers without their
//! zeros, many or few. It must not know targets.

use super::bit_rows::BitRows;
use super::rows::Rows;
use super::{CompressedRows, Scale, SharedValues};

/// A row for each sample.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Columns {
    /// Pixels, which become numbers when a batch is loaded.
    Bytes { rows: Rows, scale: Scale },
    /// `[len, width]`, row-major.
    Values { values: SharedValues, width: usize },
    /// Numbers of which few are not zero.
    Compressed(CompressedRows),
    /// Numbers of which up to half are not zero.
    Bits(BitRows),
}

impl Columns {
    /// The rows of these numbers, in that order.
    pub fn select(&self, rows: &[u32]) -> Self {
        match self {
            Columns::Bytes { rows: bytes, scale } => Columns::Bytes { rows: bytes.select(rows), scale: *scale },
            Columns::Values { values, width } => {
                Columns::Values { values: gather(values, *width, rows).into(), width: *width }
            }
            Columns::Compressed(compressed) => Columns::Compressed(compressed.select(rows)),
            Columns::Bits(packed) => Columns::Bits(packed.select(rows)),
        }
    }
}

/// Rows of `width` values by their numbers.
pub(super) fn gather<T: Copy>(values: &[T], width: usize, rows: &[u32]) -> Vec<T> {
    rows.iter().flat_map(|row| &values[*row as usize * width..][..width]).copied().collect()
}
