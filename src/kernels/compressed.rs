//! Rows without their zeros: the numbers that are left, one after another, and a bit for every feature that says whether the
//! row has one. To walk over the bits of a word needs no list of places.
//!
//! Their columns, for who walks over the samples that have a feature: for each feature a word of bits, one for each sample of
//! a group, and the numbers where they stand in dense rows.

use std::ops::Range;

use fearless_simd::{Simd, f32x8, f32x16, mask32x16, prelude::*, u8x64};

/// Features of a word of bits, and of a tile of numbers.
pub use crate::kernels::sparse::WORD;
use crate::kernels::sparse::{BIT_ROWS_SLACK, BLOCK, BitRows, Rows, bit_bytes as bytes_of, blocks_per_row};
use crate::kernels::wide::few::FewColumns;
use crate::kernels::{AlignedVec, LANES, SimdLevel, dispatch};

const WORD_BYTES: usize = WORD / 8;
/// Samples whose bits make a column's word.
pub const GROUP: usize = 64;

/// Compressed rows, to be filled again and again.
#[derive(Debug, Clone, Default)]
pub struct Compressed {
    width: usize,
    /// `[rows, 8 ceil(width / 64)]`: bit `feature % 8` of byte `feature / 8` says whether the row has it.
    bits: Vec<u8>,
    values: AlignedVec,
    /// `[rows + 1]`: where each row's values begin, and where the last one's end.
    starts: Vec<usize>,
    columns: Columns,
}

/// What [`Compressed::fill_with_columns`] leaves for the columns.
#[derive(Debug, Clone, Default)]
struct Columns {
    /// Whether they are those of the rows that were filled in last.
    filled: bool,
    /// Of rows of which hardly anything is left; the rest is not theirs then.
    few: FewColumns,
    /// `[groups, 8 ceil(width / 64), GROUP]`: the same bytes, those of one block side by side.
    block_bits: Vec<[u8; GROUP]>,
    /// `[groups, 64 ceil(width / 64)]`: bit s says whether sample s of the group has the feature.
    bits: Vec<u64>,
    /// `[groups, ceil(width / 64), GROUP, WORD]`: tiles of dense rows, of which blocks of zeros are never written.
    numbers: AlignedVec,
}

/// What a kernel reads of [`Compressed`] rows.
#[derive(Debug, Clone, Copy)]
pub struct CompressedRows<'a> {
    /// Features of a row.
    pub width: usize,
    bits: &'a [u8],
    /// Those that are not zero, row after row. NaN is not zero.
    pub values: &'a [f32],
    /// `[rows + 1]`: where each row's values begin, and where the last one's end.
    pub starts: &'a [usize],
    columns: &'a Columns,
}

impl Compressed {
    /// Takes over `x`, rows of `width` features; they are then what [`Self::rows`] gives for them.
    pub fn fill(&mut self, level: SimdLevel, x: Rows<'_>, width: usize) {
        self.columns.filled = false;
        if !matches!(x, Rows::Bits(_) | Rows::Few(_)) {
            self.resize(x.samples(width), width);
            dispatch!(level, simd => self.fill_at::<_, false>(simd, x));
        }
    }

    /// The same, and their columns, but for [`Self::transpose`].
    pub fn fill_with_columns(&mut self, level: SimdLevel, x: Rows<'_>, width: usize) {
        let rows = x.samples(width);
        let Columns { filled, block_bits, numbers, few, .. } = &mut self.columns;
        if let Rows::Few(x) = x {
            block_bits.clear();
            few.fill(x);
            *filled = true;
            return;
        }
        block_bits.clear();
        block_bits.resize(rows.div_ceil(GROUP) * bytes_of(width), [0; GROUP]);
        *filled = true;
        if let Rows::Bits(x) = x {
            numbers.set_len(0);
            self.columns.fill(x);
        } else {
            numbers.set_len(block_bits.len() * GROUP * BLOCK);
            self.resize(rows, width);
            dispatch!(level, simd => self.fill_at::<_, true>(simd, x));
        }
    }

    fn resize(&mut self, rows: usize, width: usize) {
        self.width = width;
        self.bits.clear();
        self.bits.resize(rows * bytes_of(width), 0);
        self.starts.clear();
        self.starts.resize(rows + 1, 0);
        // Each block is written whole, and the next one over what is behind its numbers.
        self.values.set_len((rows * blocks_per_row(width) + 1) * BLOCK);
    }

    #[inline(always)]
    fn fill_at<S: Simd, const COLUMNS: bool>(&mut self, simd: S, x: Rows<'_>) {
        let Compressed { width, bits, values, starts, columns } = self;
        let (width, bytes) = (*width, bytes_of(*width));
        let mut end = 0;
        let rows = bits.chunks_exact_mut(bytes.max(1)).zip(&mut starts[1..]);
        for (sample, (bits, row_end)) in rows.enumerate() {
            let mut row =
                Row { bits, values, end, columns: columns.of_sample(sample, if COLUMNS { bytes } else { 0 }) };
            match x {
                Rows::Sparse(x) => {
                    let (mask, kept) = x.row(sample, 0);
                    let mut kept = kept.iter();
                    for (word, mask) in mask.iter().enumerate() {
                        let mut blocks = *mask;
                        while blocks != 0
                            && let Some(numbers) = kept.next()
                        {
                            row.add::<S, COLUMNS>(simd, 64 * word + blocks.trailing_zeros() as usize, numbers);
                            blocks &= blocks - 1;
                        }
                    }
                }
                Rows::Bits(_) | Rows::Few(_) => unreachable!("such rows are taken as they are"),
                Rows::Dense(x) => {
                    let (blocks, rest) = x[sample * width..][..width].as_chunks();
                    for (block, numbers) in blocks.iter().enumerate() {
                        row.add::<S, COLUMNS>(simd, block, numbers);
                    }
                    if !rest.is_empty() {
                        let mut numbers = [0.0; BLOCK];
                        numbers[..rest.len()].copy_from_slice(rest);
                        row.add::<S, COLUMNS>(simd, blocks.len(), &numbers);
                    }
                }
            }
            end = row.end;
            *row_end = end;
        }
    }

    /// Whether the columns of the rows that were filled in last are there.
    pub fn has_columns(&self) -> bool {
        self.columns.filled
    }

    /// Finds out which samples have a feature, for [`CompressedRows::samples_having`].
    pub fn transpose(&mut self, level: SimdLevel) {
        let Columns { block_bits, bits, .. } = &mut self.columns;
        bits.resize(block_bits.len() * BLOCK, 0);
        dispatch!(level, simd => transpose_at(simd, block_bits, bits));
    }

    /// The columns of rows of which hardly anything is left.
    pub fn few_columns(&self) -> &FewColumns {
        &self.columns.few
    }

    /// The rows `x` that were filled in last, for a kernel.
    pub fn rows<'a>(&'a self, x: Rows<'a>) -> CompressedRows<'a> {
        let Compressed { width, bits, values, starts, columns } = self;
        match x {
            Rows::Bits(BitRows { width, bits, values, starts }) => {
                CompressedRows { width, bits, values, starts, columns }
            }
            _ => CompressedRows { width: *width, bits, values, starts, columns },
        }
    }
}

impl Columns {
    /// The bits of rows whose zeros are left out already: their numbers stay where they are. In squares of eight samples by the
    /// eight bytes of a word.
    fn fill(&mut self, x: BitRows<'_>) {
        const SIDE: usize = WORD_BYTES;
        let bytes = bytes_of(x.width);
        for (square, rows) in x.bits.chunks(SIDE * bytes).enumerate() {
            let (group, place) = (square * SIDE / GROUP, square * SIDE % GROUP);
            let words = self.block_bits[group * bytes..][..bytes].as_chunks_mut::<WORD_BYTES>().0;
            for (word, to) in words.iter_mut().enumerate() {
                let mut square = [0; SIDE];
                for (sample, row) in square.iter_mut().zip(rows.chunks_exact(bytes)) {
                    *sample = u64::from_le_bytes(row.as_chunks().0[word]);
                }
                for (byte, to) in transpose_bytes(square).into_iter().zip(to) {
                    to[place..place + SIDE].copy_from_slice(&byte.to_le_bytes());
                }
            }
        }
    }

    /// Where the blocks of `sample` go, `bytes` of them.
    #[inline(always)]
    fn of_sample(&mut self, sample: usize, bytes: usize) -> SampleColumns<'_> {
        let group = sample / GROUP * bytes;
        let (tiles, _) = self.numbers[group * GROUP * BLOCK..].as_chunks_mut::<WORD>();
        SampleColumns {
            place: sample % GROUP,
            block_bits: &mut self.block_bits[group..][..bytes],
            tiles: &mut tiles[..bytes / WORD_BYTES * GROUP],
        }
    }
}

/// A sample's place in the [`Columns`] of its group.
struct SampleColumns<'a> {
    place: usize,
    block_bits: &'a mut [[u8; GROUP]],
    tiles: &'a mut [[f32; WORD]],
}

/// A row that is being filled.
struct Row<'a> {
    bits: &'a mut [u8],
    values: &'a mut [f32],
    /// Where its next value goes.
    end: usize,
    columns: SampleColumns<'a>,
}

impl Row<'_> {
    /// The numbers of block number `block`.
    #[inline(always)]
    fn add<S: Simd, const COLUMNS: bool>(&mut self, simd: S, block: usize, numbers: &[f32; BLOCK]) {
        let lanes = f32x8::load_array_ref(simd, numbers);
        let mask = lanes.simd_ne(f32x8::splat(simd, 0.0));
        lanes.compress(mask).store_slice(&mut self.values[self.end..][..BLOCK]);
        let kept = mask.to_bitmask() as u8;
        self.end += kept.count_ones() as usize;
        self.bits[block] = kept;
        if COLUMNS {
            let SampleColumns { place, block_bits, tiles } = &mut self.columns;
            block_bits[block][*place] = kept;
            let tile = &mut tiles[block / WORD_BYTES * GROUP + *place];
            lanes.store_slice(&mut tile[block % WORD_BYTES * BLOCK..][..BLOCK]);
        }
    }
}

/// Byte b of word s becomes byte s of word b: halves of the square change places, then quarters, then single bytes (Warren,
/// "Hacker's Delight", section 7-3).
#[inline(always)]
fn transpose_bytes(mut square: [u64; 8]) -> [u64; 8] {
    for (distance, mask) in [(4, 0x0000_0000_ffff_ffff), (2, 0x0000_ffff_0000_ffff), (1, 0x00ff_00ff_00ff_00ff)] {
        for first in (0..8).filter(|index| index & distance == 0) {
            let second = first + distance;
            let changed = (square[first] >> (8 * distance) ^ square[second]) & mask;
            square[second] ^= changed;
            square[first] ^= changed << (8 * distance);
        }
    }
    square
}

/// Bit b of byte s becomes bit s of word b.
#[inline(always)]
fn transpose_at<S: Simd>(simd: S, bytes: &[[u8; GROUP]], words: &mut [u64]) {
    for (bytes, words) in bytes.iter().zip(words.as_chunks_mut::<BLOCK>().0) {
        let bytes = u8x64::load_array_ref(simd, bytes);
        for (bit, word) in words.iter_mut().enumerate() {
            let of_bit = bytes & u8x64::splat(simd, 1 << bit);
            *word = of_bit.simd_ne(u8x64::splat(simd, 0)).to_bitmask();
        }
    }
}

impl<'a> CompressedRows<'a> {
    /// How many rows there are.
    #[expect(clippy::len_without_is_empty, reason = "no kernel asks for it")]
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Words of 64 bits: bit `feature % 64` of word `feature / 64` says whether row `index` has it.
    #[inline(always)]
    fn words_of(&self, index: usize) -> &'a [[u8; WORD_BYTES]] {
        let bytes = bytes_of(self.width);
        self.bits[index * bytes..][..bytes].as_chunks().0
    }

    /// Which of `features`, 1 to 64 of them, row `index` has, the first one's bit lowest.
    #[inline(always)]
    pub(crate) fn bits_of(&self, index: usize, features: Range<usize>) -> u64 {
        let (words, word, bit) = (self.words_of(index), features.start / WORD, features.start % WORD);
        let bits = u64::from_le_bytes(words[word]) >> bit;
        let bits = match words.get(word + 1) {
            Some(next) if bit > 0 => bits | u64::from_le_bytes(*next) << (WORD - bit),
            _ => bits,
        };
        bits & u64::MAX >> (WORD - features.len())
    }

    /// Whether the numbers of some rows that are not zero are at least this share of all.
    #[inline(always)]
    pub fn is_at_least(&self, share: f64, rows: Range<usize>) -> bool {
        let not_zero = self.starts[rows.end] - self.starts[rows.start];
        not_zero as f64 >= share * (rows.len() * self.width) as f64
    }

    /// How many of the first `features` of row `index` are not zero.
    #[inline(always)]
    pub fn count_before(&self, index: usize, features: usize) -> usize {
        let (words, word) = (self.words_of(index), features / WORD);
        let whole: u32 = words[..word].iter().map(|word| u64::from_le_bytes(*word).count_ones()).sum();
        let part = words.get(word).map_or(0, |word| u64::from_le_bytes(*word) & !(u64::MAX << (features % WORD)));
        (whole + part.count_ones()) as usize
    }

    /// Of each feature in order, whether the samples of group number `group` have it: bit s is that of sample `64 group + s`.
    /// [`Compressed::transpose`] has to have been called.
    #[inline(always)]
    pub fn samples_having(&self, group: usize) -> &'a [u64] {
        let len = bytes_of(self.width) * BLOCK;
        &self.columns.bits[group * len..][..len]
    }

    /// The tiles of group number `group` in order, to be asked for one after another; `room` is for one of them.
    #[inline(always)]
    pub(crate) fn tiles<'r>(&self, group: usize, room: &'r mut [[f32; WORD]; GROUP]) -> GroupTiles<'a, 'r> {
        let mut next = [0; GROUP];
        let first = group * GROUP;
        next.iter_mut().zip(&self.starts[first..self.len()]).for_each(|(next, start)| *next = *start);
        GroupTiles { rows: *self, group, next, room }
    }
}

/// The numbers of a group of samples, tile by tile.
pub(crate) struct GroupTiles<'a, 'r> {
    pub rows: CompressedRows<'a>,
    pub group: usize,
    /// Where each sample's numbers in the next tile begin.
    next: [usize; GROUP],
    room: &'r mut [[f32; WORD]; GROUP],
}

impl GroupTiles<'_, '_> {
    /// Of the group's samples the features from `64 tile` on. The numbers of a block of eight are there if the sample has one of
    /// them; else they may be anything.
    ///
    /// Rows that came without their zeros are spread out here, while the kernel has use for them: all tiles of a batch are more
    /// than fits in L1.
    #[inline(always)]
    pub fn tile<S: Simd>(&mut self, simd: S, tile: usize) -> &[[f32; WORD]; GROUP] {
        let CompressedRows { width, values, columns, .. } = self.rows;
        let (tiles, _) = columns.numbers.as_chunks::<WORD>().0.as_chunks::<GROUP>();
        if let Some(tile) = tiles.get(self.group * width.div_ceil(WORD) + tile) {
            return tile;
        }
        let first = self.group * GROUP;
        let samples = first..self.rows.len().min(first + GROUP);
        for ((sample, next), room) in samples.zip(&mut self.next).zip(&mut *self.room) {
            let bits = &self.rows.words_of(sample)[tile];
            // Those of eight features without a number are written too: to look costs more.
            for (bits, room) in bits.as_chunks().0.iter().zip(room.as_chunks_mut::<LANES>().0) {
                let bits = u16::from_le_bytes(*bits);
                let kept = f32x16::from_slice(simd, &values[*next..][..BIT_ROWS_SLACK]);
                kept.expand(mask32x16::from_bitmask(simd, bits.into())).store_slice(room);
                *next += bits.count_ones() as usize;
            }
        }
        self.room
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::levels;

    /// Some blocks hold nothing but zeros, some features too, and no row is like the next.
    fn number(row: usize, feature: usize) -> f32 {
        let value = (row * 31 + feature * 7) % 97;
        if value % 5 < 3 || feature / 16 % 3 == 1 { 0.0 } else { value as f32 }
    }

    /// Rows and columns are those of the numbers, over what a larger batch without a zero left.
    #[test]
    fn what_is_compressed_can_be_read_again() {
        for (rows, width) in [(1, 1), (3, 63), (64, 64), (65, 100), (130, 784)] {
            let x: Vec<f32> = (0..rows * width).map(|index| number(index / width, index % width)).collect();
            for level in levels() {
                let mut compressed = Compressed::default();
                compressed.fill_with_columns(level, Rows::Dense(&vec![f32::NAN; 2 * rows * width]), width);
                compressed.fill_with_columns(level, Rows::Dense(&x), width);
                compressed.transpose(level);
                assert_is(level, compressed.rows(Rows::Dense(&x)), &x, rows);
                let mut without_columns = Compressed::default();
                without_columns.fill(level, Rows::Dense(&x), width);
                assert!(compressed.has_columns() && !without_columns.has_columns());
                let (with, without) = (compressed.rows(Rows::Dense(&x)), without_columns.rows(Rows::Dense(&x)));
                assert_eq!((with.bits, with.starts), (without.bits, without.starts));
                let count = with.starts[rows];
                assert_eq!(with.values[..count], without.values[..count]);

                // The same rows without their zeros already.
                let (bits, values) = (with.bits.to_vec(), [&with.values[..count], &[f32::NAN; 16]].concat());
                let starts = with.starts.to_vec();
                let x_bits = Rows::Bits(BitRows { width, bits: &bits, values: &values, starts: &starts });
                let mut of_bits = Compressed::default();
                of_bits.fill_with_columns(level, Rows::Dense(&vec![f32::NAN; 2 * rows * width]), width);
                of_bits.fill_with_columns(level, x_bits, width);
                of_bits.transpose(level);
                assert_is(level, of_bits.rows(x_bits), &x, rows);
            }
        }
    }

    /// Every tile of every group.
    fn all_tiles(level: SimdLevel, rows: CompressedRows<'_>) -> Vec<Vec<[[f32; WORD]; GROUP]>> {
        let of_group = |group| {
            let mut room = [[0.0; WORD]; GROUP];
            let mut tiles = rows.tiles(group, &mut room);
            (0..rows.width.div_ceil(WORD)).map(|tile| dispatch!(level, simd => *tiles.tile(simd, tile))).collect()
        };
        (0..rows.len().div_ceil(GROUP)).map(of_group).collect()
    }

    fn assert_is(level: SimdLevel, found: CompressedRows<'_>, x: &[f32], rows: usize) {
        let (width, tiles) = (found.width, all_tiles(level, found));
        assert_eq!(found.len(), rows);
        for (row, x) in x.chunks(width).enumerate() {
            let kept: Vec<f32> = x.iter().copied().filter(|x| *x != 0.0).collect();
            assert_eq!(found.values[found.starts[row]..found.starts[row + 1]], kept);
            let (group, place) = (row / GROUP, row % GROUP);
            let mut before = 0;
            for (feature, x) in x.iter().enumerate() {
                let has = u64::from(*x != 0.0);
                assert_eq!(found.bits_of(row, feature..feature + 1), has, "{row}, {feature}");
                assert_eq!(found.samples_having(group)[feature] >> place & 1, has, "{row}, {feature}");
                assert_eq!(found.count_before(row, feature), before, "{row}, {feature}");
                before += has as usize;
                let block = feature / BLOCK * BLOCK;
                if found.bits_of(row, block..width.min(block + BLOCK)) != 0 {
                    let number = tiles[group][feature / WORD][place][feature % WORD];
                    assert_eq!(number, *x, "{row}, {feature}");
                }
            }
        }
        // Nothing that is not there.
        let last = found.samples_having((rows - 1) / GROUP);
        assert!(rows.is_multiple_of(GROUP) || last.iter().all(|samples| samples >> (rows % GROUP) == 0));
        assert!(last[width..].iter().all(|samples| *samples == 0));
    }
}
