//! What layers take: a batch of features in either encoding, and the dense buffer for layers that read it so.

use crate::data::Batch;
use crate::kernels::sparse::{BLOCK, blocks_per_row, words_per_row, write_block};
use crate::kernels::{AlignedVec, BitRows, FewRows, Rows, SparseRows};

/// A batch of features, `[m, in_features]`.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// Row-major.
    Dense(&'a [f32]),
    /// Without blocks of zeros.
    SparseRows(SparseRows<'a, f32>),
    /// Without zeros.
    BitRows(BitRows<'a>),
    /// Without zeros, where hardly anything is left.
    FewRows(FewRows<'a>),
}

impl<'a> Input<'a> {
    /// How many samples of `in_features` it holds.
    ///
    /// # Panics
    /// If it has rows of another width.
    pub fn samples(self, in_features: usize) -> usize {
        self.rows().samples(in_features)
    }

    /// As an operand of a kernel.
    #[inline]
    pub(crate) fn rows(self) -> Rows<'a> {
        match self {
            Input::Dense(values) => Rows::Dense(values),
            Input::SparseRows(rows) => Rows::Sparse(rows),
            Input::BitRows(rows) => Rows::Bits(rows),
            Input::FewRows(rows) => Rows::Few(rows),
        }
    }

    /// The same rows dense: as they are, or written into `buffer`.
    pub(crate) fn dense(self, in_features: usize, buffer: &'a mut DenseBuffer) -> &'a [f32] {
        match self {
            Input::Dense(values) => values,
            Input::SparseRows(rows) => buffer.write(rows, self.samples(in_features)),
            Input::BitRows(_) | Input::FewRows(_) => unreachable!("such rows are taken in blocks"),
        }
    }
}

impl<'a> From<&'a [f32]> for Input<'a> {
    fn from(values: &'a [f32]) -> Self {
        Input::Dense(values)
    }
}

impl<'a> From<&'a Vec<f32>> for Input<'a> {
    fn from(values: &'a Vec<f32>) -> Self {
        Input::Dense(values)
    }
}

impl<'a, const N: usize> From<&'a [f32; N]> for Input<'a> {
    fn from(values: &'a [f32; N]) -> Self {
        Input::Dense(values)
    }
}

impl<'a> From<&'a Batch> for Input<'a> {
    fn from(batch: &'a Batch) -> Self {
        match batch.rows() {
            Rows::Dense(values) => Input::Dense(values),
            Rows::Sparse(rows) => Input::SparseRows(rows),
            Rows::Bits(rows) => Input::BitRows(rows),
            Rows::Few(rows) => Input::FewRows(rows),
        }
    }
}

/// Room for sparse rows as dense values. It is written again and again: what is zero and stays so is not touched.
#[derive(Debug, Clone, Default)]
pub(crate) struct DenseBuffer {
    /// `[rows, width]`.
    values: AlignedVec,
    /// `[rows, words_per_row(width)]`: the blocks of `values` that may hold anything but zeros.
    mask: Vec<u64>,
    width: usize,
}

impl DenseBuffer {
    /// As last written: `[m, width]`, row-major.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Room for `count` rows, whose blocks are zeros unless the mask says otherwise.
    fn resize(&mut self, width: usize, count: usize) {
        let words = words_per_row(width);
        if self.width != width || self.values.capacity() < count * width {
            // From here on every row starts elsewhere: begin with zeros.
            *self = DenseBuffer { values: AlignedVec::zeros(count * width), mask: vec![0; count * words], width };
        }
        self.values.set_len(count * width);
        self.mask.resize(self.mask.len().max(count * words), 0);
    }

    /// The first `count` of `rows`, row-major.
    fn write(&mut self, rows: SparseRows<'_, f32>, count: usize) -> &[f32] {
        let (width, words) = (rows.width, words_per_row(rows.width));
        self.resize(width, count);
        let samples = self.values.chunks_exact_mut(width).zip(self.mask.chunks_exact_mut(words));
        for (index, (values, before)) in samples.enumerate() {
            let (blocks, short) = values.as_chunks_mut();
            let (now, _) = rows.row(index, 0);
            for (word, (before, now)) in before.iter_mut().zip(now).enumerate() {
                let mut stale = *before & !now;
                while stale != 0 {
                    write_block(&[0.0; BLOCK], 64 * word + stale.trailing_zeros() as usize, blocks, short);
                    stale &= stale - 1;
                }
                *before = *now;
            }
            rows.for_each_block(index, 0..blocks_per_row(width), |block, numbers| {
                write_block(numbers, block, blocks, short);
            });
        }
        &self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Dataset, Loader, Shuffle};
    use crate::kernels::SimdLevel;

    /// Each batch over what another one left, of several widths: what was there and is zero now must be zero.
    #[test]
    fn dense_rows_are_those_of_the_batch() {
        let mut buffer = DenseBuffer::default();
        for width in [1, 7, 8, 9, 784, 1030] {
            let pixels: Vec<u8> =
                (0..6 * width).map(|i| if (i / 9) % 3 == i / width % 3 { i as u8 } else { 0 }).collect();
            let set = Dataset::images(pixels, vec![0; 6], (1, width), 2, "test".into()).unwrap();
            let mut batch = Batch::new();
            for (batch_size, index) in [(4, 0), (4, 1), (2, 2), (2, 1), (2, 0), (1, 3), (1, 1), (6, 0)] {
                let loader = Loader::new(&set, batch_size, Shuffle::Never, 0).unwrap();
                loader.load(index, SimdLevel::detect(), &mut batch);
                let input = Input::from(&batch);
                assert!(matches!(input, Input::SparseRows(_)));
                assert_eq!(input.dense(width, &mut buffer), batch.x(), "width {width}, batch {index} of {batch_size}");
                assert_eq!(buffer.values(), batch.x());
            }
        }
    }
}
