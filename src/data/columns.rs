//! The columns of a data set in any encoding: bytes without their blocks of zeros, dense numbers, or numbers without their
//! zeros, many or few; in memory or in a file. It must not know targets.

use super::bit_rows::BitRows;
use super::on_disk::OnDisk;
use super::rows::Rows;
use super::{CompressedRows, Scale, SharedValues};
use crate::error::Result;

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
    /// Any of those, in a file.
    OnDisk(OnDisk),
}

impl Columns {
    /// The same with another scale of its pixels, where it has some.
    pub fn with_scale(self, scale: Scale) -> Self {
        match self {
            Columns::Bytes { rows, .. } => Columns::Bytes { rows, scale },
            Columns::OnDisk(on_disk) => Columns::OnDisk(on_disk.with_scale(scale)),
            numbers => numbers,
        }
    }

    /// How its pixels become numbers; `None` where its columns are numbers already.
    pub fn scale(&self) -> Option<Scale> {
        match self {
            Columns::Bytes { scale, .. } => Some(*scale),
            Columns::OnDisk(on_disk) => on_disk.scale(),
            Columns::Values { .. } | Columns::Compressed(_) | Columns::Bits(_) => None,
        }
    }

    /// How many values are not zero.
    pub fn not_zero(&self) -> Result<u64> {
        match self {
            Columns::Bytes { rows, .. } => Ok(rows.not_zero()),
            Columns::Values { values, .. } => Ok(values.iter().filter(|value| **value != 0.0).count() as u64),
            Columns::Compressed(rows) => Ok(rows.not_zero()),
            Columns::Bits(rows) => Ok(rows.not_zero()),
            Columns::OnDisk(on_disk) => {
                let mut all = 0;
                on_disk.pieces(&mut |piece| piece.not_zero().map(|count| all += count))?;
                Ok(all)
            }
        }
    }

    /// How often each byte stands in all rows of pixels; `None` where columns are numbers.
    pub fn histogram(&self) -> Result<Option<[u64; 256]>> {
        match self {
            Columns::Bytes { rows, .. } => Ok(Some(rows.histogram())),
            Columns::Values { .. } | Columns::Compressed(_) | Columns::Bits(_) => Ok(None),
            Columns::OnDisk(on_disk) if on_disk.scale().is_none() => Ok(None),
            Columns::OnDisk(on_disk) => {
                let mut all = [0; 256];
                on_disk.pieces(&mut |piece| {
                    let of_piece = piece.histogram()?.unwrap_or([0; 256]);
                    all.iter_mut().zip(of_piece).for_each(|(all, count)| *all += count);
                    Ok(())
                })?;
                Ok(Some(all))
            }
        }
    }

    /// The rows of these numbers, in that order.
    pub fn select(&self, rows: &[u32]) -> Self {
        match self {
            Columns::Bytes { rows: bytes, scale } => Columns::Bytes { rows: bytes.select(rows), scale: *scale },
            Columns::Values { values, width } => {
                Columns::Values { values: gather(values, *width, rows).into(), width: *width }
            }
            Columns::Compressed(compressed) => Columns::Compressed(compressed.select(rows)),
            Columns::Bits(packed) => Columns::Bits(packed.select(rows)),
            Columns::OnDisk(on_disk) => Columns::OnDisk(on_disk.select(rows)),
        }
    }
}

/// Rows of `width` values by their numbers.
pub(super) fn gather<T: Copy>(values: &[T], width: usize, rows: &[u32]) -> Vec<T> {
    rows.iter().flat_map(|row| &values[*row as usize * width..][..width]).copied().collect()
}
