//! Block-sparse rows: which blocks of eight features hold anything but zeros. A product may leave the others out and be
//! exact: `fma(0, w, sum)` is `sum` for every finite `w`.
//!
//! A block mask has one bit per block, `words_per_row(k)` words of 64 bits for each sample.

use std::ops::Range;

use fearless_simd::{f32x8, mask32x8, prelude::*};

use crate::kernels::pixels::ScaledRows;
use crate::kernels::{AlignedVec, SimdLevel, dispatch};

/// Features of a block. Of MNIST's blocks of eight, 39 % hold a pixel that is not zero; of blocks of sixteen, 58 %.
pub const BLOCK: usize = 8;

/// Blocks of a row of `k` features; the last one may be short.
pub fn blocks_per_row(k: usize) -> usize {
    k.div_ceil(BLOCK)
}

/// 64-bit words that hold a bit for each block of a row of `k` features.
pub fn words_per_row(k: usize) -> usize {
    blocks_per_row(k).div_ceil(64)
}

/// `len` bits, 1 to 64 of them, from bit `first` of `words` on.
#[inline(always)]
pub fn bits_from(words: &[u64], first: usize, len: usize) -> u64 {
    let (word, bit) = (first / 64, first % 64);
    let bits = match words.get(word + 1) {
        Some(next) if bit > 0 => words[word] >> bit | next << (64 - bit),
        _ => words[word] >> bit,
    };
    bits & u64::MAX >> (64 - len)
}

/// Rows of numbers without their blocks of zeros: pixels in a data set, `f32` in a batch.
#[derive(Debug, Clone, Copy)]
pub struct SparseRows<'a, T> {
    /// Numbers in a row.
    pub width: usize,
    /// `[rows, words_per_row(width)]`: the blocks that hold anything but zeros.
    pub mask: &'a [u64],
    /// Those blocks, row after row; a short last one of a row is filled up with zeros.
    pub blocks: &'a [[T; BLOCK]],
    /// `[rows + 1]`: where each row's blocks begin, and where the last one's end.
    pub starts: &'a [usize],
}

impl<'a, T: Copy> SparseRows<'a, T> {
    /// The block mask of row `index`, and its blocks from block `first` on.
    #[inline(always)]
    pub fn row(&self, index: usize, first: usize) -> (&'a [u64], &'a [[T; BLOCK]]) {
        let words = words_per_row(self.width);
        let mask = &self.mask[index * words..][..words];
        let blocks = &self.blocks[self.starts[index]..self.starts[index + 1]];
        if first == 0 {
            return (mask, blocks);
        }
        let whole: u32 = mask[..first / 64].iter().map(|word| word.count_ones()).sum();
        let part = mask.get(first / 64).map_or(0, |word| word & !(u64::MAX << (first % 64)));
        (mask, &blocks[(whole + part.count_ones()) as usize..])
    }

    /// Calls `visit(block, numbers)` for those of row `index`'s blocks in `blocks` that are kept, in order.
    #[inline(always)]
    pub fn for_each_block(&self, index: usize, blocks: Range<usize>, mut visit: impl FnMut(usize, &'a [T; BLOCK])) {
        let (mask, kept) = self.row(index, blocks.start);
        let mut kept = kept.iter();
        for first in blocks.clone().step_by(64) {
            let mut bits = bits_from(mask, first, (blocks.end - first).min(64));
            while bits != 0
                && let Some(numbers) = kept.next()
            {
                visit(first + bits.trailing_zeros() as usize, numbers);
                bits &= bits - 1;
            }
        }
    }

    /// Writes row `index` as dense values, with `fill` for what is left out: `values: [width]`, overwritten.
    pub fn copy_row(&self, index: usize, fill: T, values: &mut [T]) {
        values.fill(fill);
        let (blocks, short) = values.as_chunks_mut();
        self.for_each_block(index, 0..blocks_per_row(self.width), |block, numbers| {
            write_block(numbers, block, blocks, short);
        });
    }
}

/// Features whose bits make a word of [`BitRows`].
pub const WORD: usize = 64;

/// Bytes of a row's bits in [`BitRows`]: of whole words of 64.
pub const fn bit_bytes(width: usize) -> usize {
    width.div_ceil(WORD) * (WORD / 8)
}

/// Rows of numbers without their zeros: a bit for every feature says whether the row has one.
#[derive(Debug, Clone, Copy)]
pub struct BitRows<'a> {
    /// Numbers in a row.
    pub width: usize,
    /// `[rows, bit_bytes(width)]`: bit `feature % 8` of byte `feature / 8` says whether the row has it.
    pub bits: &'a [u8],
    /// Those that are not zero, row after row, and at least [`BIT_ROWS_SLACK`] more, which may be anything. NaN is not zero.
    pub values: &'a [f32],
    /// `[rows + 1]`: where each row's values begin, and where the last one's end.
    pub starts: &'a [usize],
}

/// Numbers behind the last one, so that whole vectors can be read.
pub const BIT_ROWS_SLACK: usize = 16;

impl BitRows<'_> {
    /// Writes row `index` with its zeros: `values: [width]`, overwritten.
    pub fn copy_row(&self, index: usize, values: &mut [f32]) {
        let bits = &self.bits[index * bit_bytes(self.width)..][..bit_bytes(self.width)];
        let mut kept = self.values[self.starts[index]..self.starts[index + 1]].iter();
        for (feature, value) in values.iter_mut().enumerate() {
            let has = bits[feature / 8] >> (feature % 8) & 1 == 1;
            *value = if has { kept.next().copied().unwrap_or_default() } else { 0.0 };
        }
    }
}

/// Rows of numbers of which hardly any are left, each with its column.
#[derive(Debug, Clone, Copy)]
pub struct FewRows<'a> {
    /// Numbers in a row.
    pub width: usize,
    /// The column of each value, rising within a row.
    pub columns: &'a [u32],
    /// Row after row.
    pub values: &'a [f32],
    /// `[rows + 1]`: where each row's values begin, and where the last one's end.
    pub starts: &'a [usize],
}

impl<'a> FewRows<'a> {
    /// What row `index` holds within `columns`: their numbers, and the values of each.
    #[inline(always)]
    pub fn row(&self, index: usize, columns: &Range<usize>) -> (&'a [u32], &'a [f32]) {
        let places = self.starts[index]..self.starts[index + 1];
        let (of_row, values) = (&self.columns[places.clone()], &self.values[places]);
        if columns.len() == self.width {
            return (of_row, values);
        }
        let first = of_row.partition_point(|column| (*column as usize) < columns.start);
        let end = of_row.partition_point(|column| (*column as usize) < columns.end);
        (&of_row[first..end], &values[first..end])
    }
}

/// Rows without their blocks of zeros, to be filled again and again; the fields are those of [`SparseRows`].
#[derive(Debug, Clone, Default)]
pub struct Blocks {
    width: usize,
    mask: Vec<u64>,
    blocks: AlignedVec,
    starts: Vec<usize>,
}

impl Blocks {
    /// What it holds.
    pub fn rows(&self) -> SparseRows<'_, f32> {
        SparseRows { mask: &self.mask, width: self.width, blocks: self.blocks.as_chunks().0, starts: &self.starts }
    }

    /// Writes all rows as dense values, with `fill` for what is left out: `x: [rows, width]`, overwritten.
    pub fn copy(&self, fill: f32, x: &mut [f32]) {
        // Rows of no features fill nothing.
        for (index, x) in x.chunks_exact_mut(self.width.max(1)).enumerate() {
            self.rows().copy_row(index, fill, x);
        }
    }

    /// Room for `len` rows of `width` features, whatever they hold, in at most so many blocks.
    pub fn resize(&mut self, len: usize, width: usize, blocks: usize) -> ScaledRows<'_> {
        self.width = width;
        self.mask.resize(len * words_per_row(width), 0);
        self.blocks.set_len(blocks * BLOCK);
        self.starts.clear();
        self.starts.resize(len + 1, 0);
        ScaledRows { mask: &mut self.mask, blocks: self.blocks.as_chunks_mut().0, starts: &mut self.starts }
    }

    /// Takes over `x`.
    pub fn fill_from_bits(&mut self, level: SimdLevel, x: BitRows<'_>) {
        let rows = x.starts.len() - 1;
        let (words, of_row, bytes) = (words_per_row(x.width), blocks_per_row(x.width), bit_bytes(x.width));
        // Each block is written whole, and the next one over one of zeros.
        let ScaledRows { mask, blocks, starts } = self.resize(rows, x.width, rows * of_row + 1);
        mask.fill(0);
        dispatch!(level, simd => {
            let mut end = 0;
            for index in 0..rows {
                let (mask, mut next) = (&mut mask[index * words..][..words], x.starts[index]);
                for (block, bits) in x.bits[index * bytes..][..of_row].iter().enumerate() {
                    let kept = f32x8::from_slice(simd, &x.values[next..][..BLOCK]);
                    kept.expand(mask32x8::from_bitmask(simd, u64::from(*bits))).store_slice(&mut blocks[end]);
                    mask[block / 64] |= u64::from(*bits != 0) << (block % 64);
                    end += usize::from(*bits != 0);
                    next += bits.count_ones() as usize;
                }
                starts[index + 1] = end;
            }
        });
    }

    /// Takes over `x`.
    pub fn fill(&mut self, x: FewRows<'_>) {
        let (rows, all) = (x.starts.len() - 1, 0..x.width);
        let (words, of_row) = (words_per_row(x.width), blocks_per_row(x.width));
        let most = (0..rows).map(|row| x.row(row, &all).0.len().min(of_row)).sum();
        let ScaledRows { mask, blocks, starts } = self.resize(rows, x.width, most);
        mask.fill(0);
        let mut end = 0;
        for index in 0..rows {
            let (of_row, values) = x.row(index, &all);
            let mask = &mut mask[index * words..][..words];
            let mut last = usize::MAX;
            for (column, value) in of_row.iter().zip(values).filter(|(_, value)| **value != 0.0) {
                let block = *column as usize / BLOCK;
                if block != last {
                    (last, blocks[end]) = (block, [0.0; BLOCK]);
                    mask[block / 64] |= 1 << (block % 64);
                    end += 1;
                }
                blocks[end - 1][*column as usize % BLOCK] = *value;
            }
            starts[index + 1] = end;
        }
    }
}

/// An operand of `[m, k]` in one of its encodings.
#[derive(Debug, Clone, Copy)]
pub enum Rows<'a> {
    /// Row-major.
    Dense(&'a [f32]),
    /// Every number that is left out is 0.
    Sparse(SparseRows<'a, f32>),
    /// Likewise, number by number.
    Bits(BitRows<'a>),
    /// Likewise, where hardly any are left.
    Few(FewRows<'a>),
}

impl<'a> Rows<'a> {
    /// How many samples of `k` features it holds.
    ///
    /// # Panics
    /// If it has rows of another width.
    #[inline]
    pub fn samples(&self, k: usize) -> usize {
        let (fits, samples) = match self {
            Rows::Dense(values) => (values.len().is_multiple_of(k), values.len() / k),
            Rows::Sparse(rows) => (rows.width == k, rows.starts.len() - 1),
            Rows::Bits(rows) => (rows.width == k, rows.starts.len() - 1),
            Rows::Few(rows) => (rows.width == k, rows.starts.len() - 1),
        };
        assert!(fits, "rows of {k} features");
        samples
    }

    /// `[m, k]`, row-major.
    ///
    /// # Panics
    /// If they are not dense.
    #[inline]
    pub fn values(self) -> &'a [f32] {
        match self {
            Rows::Dense(values) => values,
            Rows::Sparse(_) | Rows::Bits(_) | Rows::Few(_) => panic!("rows without their zeros, where all are needed"),
        }
    }
}

/// Block `block` of a row of whole `blocks` and maybe a `short` one becomes `numbers`, as many as it has.
#[inline(always)]
pub fn write_block<T: Copy>(numbers: &[T; BLOCK], block: usize, blocks: &mut [[T; BLOCK]], short: &mut [T]) {
    match blocks.get_mut(block) {
        Some(whole) => *whole = *numbers,
        None => short.iter_mut().zip(numbers).for_each(|(short, number)| *short = *number),
    }
}

/// Transposes a matrix of 64 x 64 bits in place: bit `c` of word `r` becomes bit `r` of word `c`.
///
/// Swaps ever smaller off-diagonal squares (Warren, "Hacker's Delight", 2nd edition, section 7-3).
pub fn transpose_bits(words: &mut [u64; 64]) {
    let mut side = 32;
    let mut low = u64::MAX >> 32;
    while side > 0 {
        for block in words.chunks_exact_mut(2 * side) {
            let (above, below) = block.split_at_mut(side);
            for (above, below) in above.iter_mut().zip(below) {
                let swapped = ((*above >> side) ^ *below) & low;
                *below ^= swapped;
                *above ^= swapped << side;
            }
        }
        side /= 2;
        low ^= low << side;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_moves_every_bit_to_its_mirror_place() {
        let words: [u64; 64] = std::array::from_fn(|i| (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut transposed = words;
        transpose_bits(&mut transposed);
        for (r, word) in words.iter().enumerate() {
            for (c, mirror) in transposed.iter().enumerate() {
                assert_eq!(word >> c & 1, mirror >> r & 1, "{r}, {c}");
            }
        }
    }

    #[test]
    fn bits_may_begin_anywhere() {
        let words = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, 0x0f1e_2d3c_4b5a_6978];
        let bit = |i: usize| words[i / 64] >> (i % 64) & 1;
        for first in 0..192 {
            for len in 1..=64.min(192 - first) {
                let expected = (0..len).fold(0, |bits, i| bits | bit(first + i) << i);
                assert_eq!(bits_from(&words, first, len), expected, "{len} from {first}");
            }
        }
    }

    #[test]
    fn a_short_last_block_counts() {
        assert_eq!([1, 8, 9, 784, 1024, 1025].map(blocks_per_row), [1, 1, 2, 98, 128, 129]);
        assert_eq!([1, 512, 513, 784, 1025].map(words_per_row), [1, 1, 2, 2, 3]);
    }

    /// Of rows of every density, over what a larger batch left, on each level.
    #[test]
    fn bits_become_the_blocks_that_columns_become() {
        for width in [1, 8, 17, 100, 520, 784] {
            let x = |row: usize, column: usize| match (row * 31 + column * 7) % 11 {
                0..4 if column / 24 % 3 != row % 3 => (row + column) as f32 + 0.5,
                _ if row == 4 => -1.0,
                _ => 0.0,
            };
            let (mut bits, mut columns, mut values, mut starts) = (vec![], vec![], vec![], vec![0]);
            for row in 0..6 {
                let mut of_row = vec![0_u8; bit_bytes(width)];
                for column in (0..width).filter(|column| x(row, *column) != 0.0) {
                    of_row[column / 8] |= 1 << (column % 8);
                    columns.push(column as u32);
                    values.push(x(row, column));
                }
                bits.extend(of_row);
                starts.push(values.len());
            }
            let mut wanted = Blocks::default();
            wanted.fill(FewRows { width, columns: &columns, values: &values, starts: &starts });
            values.extend([f32::NAN; BIT_ROWS_SLACK]);
            for level in SimdLevel::all() {
                let mut found = Blocks::default();
                found.fill_from_bits(level, BitRows { width, bits: &bits, values: &values, starts: &starts });
                found.fill_from_bits(
                    level,
                    BitRows { width, bits: &bits[..3 * bit_bytes(width)], values: &values, starts: &starts[..4] },
                );
                found.fill_from_bits(level, BitRows { width, bits: &bits, values: &values, starts: &starts });
                let (found, wanted) = (found.rows(), wanted.rows());
                assert_eq!((found.mask, found.starts), (wanted.mask, wanted.starts), "{width} on {}", level.name());
                let end = wanted.starts[6];
                assert_eq!(found.blocks[..end], wanted.blocks[..end], "{width} on {}", level.name());
            }
        }
    }

    /// 700 and 784 features have as many words of mask.
    #[test]
    #[should_panic(expected = "rows of 784 features")]
    fn sparse_rows_of_another_width_are_no_features() {
        let rows = SparseRows { width: 700, mask: &[0; 2], blocks: &[], starts: &[0, 0] };
        assert_eq!(Rows::Sparse(rows).samples(700), 1);
        Rows::Sparse(rows).samples(784);
    }
}
