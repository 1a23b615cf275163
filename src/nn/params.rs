//! The parameters of a network: one flat buffer with named entries. Gradients and the slots of optimizers are buffers of the
//! same layout.

use std::ops::Range;

use crate::kernels::{AlignedVec, LANES, packed, panels};

/// The order in which a kernel keeps a matrix of `[rows, columns]`, or a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Row-major, as users know it.
    Rows,
    /// `[columns, rows]`: for GEMM, which would else transpose it for every product.
    Transposed,
    /// A [packed](mod@packed) weight.
    Packed,
    /// A weight in [panels](mod@panels).
    Panels,
}

/// A named piece of the buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParamEntry {
    /// `0.weight`, `0.bias`, ...: the layer's index, as PyTorch's `Sequential` names it.
    pub name: String,
    /// `[out_features, in_features]` or `[out_features]`.
    pub shape: Vec<usize>,
    pub layout: Layout,
    /// Whether it is a bias, which weight decay may leave out.
    pub bias: bool,
    /// Where it stands in the buffer. What lies between two entries is 0 and stays so.
    pub range: Range<usize>,
}

impl ParamEntry {
    /// Numbers that it holds.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    fn columns(&self) -> usize {
        self.shape.get(1).copied().unwrap_or(1)
    }

    /// In the order that users know, `[shape]`.
    pub fn to_rows(&self, buffer: &[f32]) -> Vec<f32> {
        let (values, mut rows) = (&buffer[self.range.clone()], vec![0.0; self.len()]);
        match self.layout {
            Layout::Rows => rows.copy_from_slice(values),
            Layout::Transposed => panels::transpose_rows(values, self.shape[0], &mut rows, self.columns()),
            Layout::Packed => packed::to_rows(values, self.columns(), &mut rows),
            Layout::Panels => panels::to_rows(values, self.columns(), &mut rows),
        }
        rows
    }

    /// `rows: [shape]`, read, into its place of `buffer`.
    pub fn write_rows(&self, rows: &[f32], buffer: &mut [f32]) {
        let values = &mut buffer[self.range.clone()];
        match self.layout {
            Layout::Rows => values.copy_from_slice(rows),
            Layout::Transposed => panels::transpose_rows(rows, self.columns(), values, self.shape[0]),
            Layout::Packed => packed::from_rows(rows, self.columns(), values),
            Layout::Panels => panels::from_rows(rows, self.columns(), values),
        }
    }

    /// Floats that a matrix or a vector takes in `layout`.
    pub fn floats(layout: Layout, shape: &[usize]) -> usize {
        match (layout, shape) {
            (Layout::Packed, [rows, columns]) => packed::len(*rows, *columns),
            (Layout::Panels, [rows, columns]) => panels::len(*rows, *columns),
            _ => shape.iter().product(),
        }
    }
}

/// Where the next entry may start: every one starts at a cache line.
pub(crate) fn aligned(floats: usize) -> usize {
    floats.next_multiple_of(LANES)
}

/// The parameters of a network, and their layout.
#[derive(Debug, Clone)]
pub(crate) struct Params {
    pub values: AlignedVec,
    pub entries: Vec<ParamEntry>,
}

impl Params {
    /// All zeros.
    pub fn zeros(entries: Vec<ParamEntry>) -> Self {
        let floats = entries.last().map_or(0, |entry| aligned(entry.range.end));
        Params { values: AlignedVec::zeros(floats), entries }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_gives_back_what_was_written() {
        for (rows, columns) in [(1, 1), (3, 17), (10, 784), (16, 5), (150, 20)] {
            for layout in [Layout::Rows, Layout::Transposed, Layout::Packed, Layout::Panels] {
                let shape = vec![rows, columns];
                let floats = ParamEntry::floats(layout, &shape);
                let entry = ParamEntry { name: "0.weight".into(), shape, layout, bias: false, range: 16..16 + floats };
                let mut buffer = vec![f32::NAN; 32 + floats];
                let values: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
                entry.write_rows(&values, &mut buffer);
                assert_eq!(entry.to_rows(&buffer), values, "{layout:?} of [{rows}, {columns}]");
                assert!(buffer[..16].iter().chain(&buffer[16 + floats..]).all(|value| value.is_nan()));
            }
        }
    }
}
