//! Rows without their zeros: the numbers that are left, one after another, and a bit for every feature that says whether it
//! has one. To walk over the bits of a word needs no list of places; transposed, 64 words at a time, they say which samples
//! have a feature.

use fearless_simd::{Simd, f32x8, prelude::*};

use crate::kernels::math::width;
use crate::kernels::sparse::{BLOCK, Rows, blocks_per_row, transpose_bits};
use crate::kernels::{AlignedVec, LANES, SimdLevel, dispatch};

/// Features of a word of bits.
pub const WORD: usize = 64;
/// Samples whose bits are transposed together.
pub const GROUP: usize = 64;

/// Compressed rows, to be filled again and again.
#[derive(Debug, Clone, Default)]
pub struct Compressed {
    width: usize,
    /// `[rows, ceil(width / 64)]`.
    bits: Vec<u64>,
    /// `[ceil(rows / 64), 64 ceil(width / 64)]`, or empty: bit s says whether sample s of the group has the feature.
    columns: Vec<u64>,
    values: AlignedVec,
    /// `[rows + 1]`: where each row's values begin, and where the last one's end.
    starts: Vec<usize>,
}

/// What a kernel reads of [`Compressed`] rows.
#[derive(Debug, Clone, Copy)]
pub struct CompressedRows<'a> {
    /// Features of a row.
    pub width: usize,
    bits: &'a [u64],
    columns: &'a [u64],
    /// Those that are not zero, row after row. NaN is not zero.
    pub values: &'a [f32],
    /// `[rows + 1]`: where each row's values begin, and where the last one's end.
    pub starts: &'a [usize],
}

impl Compressed {
    /// Takes over `x`, rows of `width` features.
    pub fn fill(&mut self, level: SimdLevel, x: Rows<'_>, width: usize) {
        let rows = x.samples(width);
        self.width = width;
        self.columns.clear();
        self.bits.clear();
        self.bits.resize(rows * width.div_ceil(WORD), 0);
        self.starts.clear();
        self.starts.resize(rows + 1, 0);
        // Each block is written whole, and the next one over what is behind its numbers; a vector is read from any place.
        self.values.set_len(rows * blocks_per_row(width) * BLOCK + LANES);
        dispatch!(level, simd => self.fill_at(simd, x));
    }

    #[inline(always)]
    fn fill_at<S: Simd>(&mut self, simd: S, x: Rows<'_>) {
        let Compressed { width, bits, values, starts, .. } = self;
        let (width, values, mut end) = (*width, &mut values[..], 0);
        let rows = bits.chunks_exact_mut(width.div_ceil(WORD).max(1)).zip(&mut starts[1..]);
        for (sample, (bits, row_end)) in rows.enumerate() {
            let mut add = |block: usize, numbers: &[f32; BLOCK]| {
                let numbers = f32x8::load_array_ref(simd, numbers);
                let mask = numbers.simd_ne(f32x8::splat(simd, 0.0));
                numbers.compress(mask).store_slice(&mut values[end..][..BLOCK]);
                let kept = mask.to_bitmask();
                bits[block * BLOCK / WORD] |= kept << (block * BLOCK % WORD);
                end += kept.count_ones() as usize;
            };
            match x {
                Rows::Sparse(x) => x.for_each_block(sample, 0..blocks_per_row(width), add),
                Rows::Dense(values) => {
                    let (blocks, rest) = values[sample * width..][..width].as_chunks();
                    for (block, numbers) in blocks.iter().enumerate() {
                        add(block, numbers);
                    }
                    if !rest.is_empty() {
                        let mut numbers = [0.0; BLOCK];
                        numbers[..rest.len()].copy_from_slice(rest);
                        add(blocks.len(), &numbers);
                    }
                }
            }
            *row_end = end;
        }
    }

    /// Finds out which samples have a feature, for [`CompressedRows::samples_having`].
    pub fn transpose(&mut self) {
        let words = self.width.div_ceil(WORD);
        self.columns.clear();
        for group in self.bits.chunks((GROUP * words).max(1)) {
            for word in 0..words {
                let mut square = [0; GROUP];
                for (square, row) in square.iter_mut().zip(group.chunks_exact(words)) {
                    *square = row[word];
                }
                transpose_bits(&mut square);
                self.columns.extend_from_slice(&square);
            }
        }
    }

    /// For a kernel.
    pub fn rows(&self) -> CompressedRows<'_> {
        let Compressed { width, bits, columns, values, starts } = self;
        CompressedRows { width: *width, bits, columns, values, starts }
    }
}

impl<'a> CompressedRows<'a> {
    /// How many rows there are.
    #[expect(clippy::len_without_is_empty, reason = "no kernel asks for it")]
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// `[ceil(width / 64)]`: bit `feature % 64` of word `feature / 64` says whether row `index` has it.
    #[inline(always)]
    pub fn bits_of(&self, index: usize) -> &'a [u64] {
        let words = self.width.div_ceil(WORD);
        &self.bits[index * words..][..words]
    }

    /// Writes word number `word` of row `index` as the numbers of 64 features, zeros included; its values begin at `next`.
    /// Returns how many these are.
    #[inline(always)]
    pub(crate) fn expand<S: Simd>(
        &self,
        simd: S,
        index: usize,
        word: usize,
        next: usize,
        numbers: &mut [f32; WORD],
    ) -> usize {
        let (bits, values) = (self.bits_of(index)[word], &self.values[next..]);
        let mut count = 0;
        for (index, numbers) in numbers.chunks_exact_mut(width::<S>()).enumerate() {
            let kept = bits >> (index * width::<S>()) & (u64::MAX >> (WORD - width::<S>()));
            // `Compressed` has a vector's room behind the last value.
            let lanes = S::f32s::from_slice(simd, &values[count..][..width::<S>()]);
            lanes.expand(S::mask32s::from_bitmask(simd, kept)).store_slice(numbers);
            count += kept.count_ones() as usize;
        }
        count
    }

    /// How many of the first `features` of row `index` are not zero.
    #[inline(always)]
    pub fn count_before(&self, index: usize, features: usize) -> usize {
        let (bits, word) = (self.bits_of(index), features / WORD);
        let whole: u32 = bits[..word].iter().map(|word| word.count_ones()).sum();
        let part = bits.get(word).map_or(0, |bits| bits & !(u64::MAX << (features % WORD)));
        (whole + part.count_ones()) as usize
    }

    /// Of each feature in order, whether the samples of group number `group` have it: bit s is that of sample `64 group + s`.
    /// [`Compressed::transpose`] has to have been called.
    #[inline(always)]
    pub fn samples_having(&self, group: usize) -> &'a [u64] {
        let len = self.width.next_multiple_of(WORD);
        &self.columns[group * len..][..len]
    }
}
