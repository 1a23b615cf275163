//! From bytes to numbers: rows of pixels, scaled into a batch, and which of its blocks hold anything but zeros.

use fearless_simd::{Simd, dispatch, f32x8, prelude::*, u8x16, u32x8};

use crate::kernels::SimdLevel;
use crate::kernels::occupancy::{BLOCK, bits_from, words_per_row};
use crate::kernels::prefetch::prefetch;

/// 1/255 in two parts. The product of a byte with the first has 17 bits and is exact; the product with the second, 2^16
/// times smaller, is rounded far below the last place of the sum. So their sum is `pixel / 255`, rounded once.
pub const UNIT_HEAD: f32 = 257.0 / 65536.0;
pub const UNIT_TAIL: f32 = (1.0_f64 / 255.0 - 257.0 / 65536.0) as f32;

/// What becomes of `u = pixel / 255`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PixelScale {
    /// `x = u`.
    Unit,
    /// `x = (u - mean) * factor`.
    Standard { mean: f32, factor: f32 },
}

/// Rows of bytes without their blocks of zeros.
#[derive(Debug, Clone, Copy)]
pub struct SparseRows<'a> {
    /// `[rows, words]`: the blocks that hold anything but zeros.
    pub occupied: &'a [u64],
    pub words: usize,
    /// Those blocks, row after row; a short last one of a row is filled up with zeros.
    pub blocks: &'a [[u8; BLOCK]],
    /// `[rows + 1]`: where each row's blocks begin, and where the last one's end.
    pub starts: &'a [usize],
}

impl<'a> SparseRows<'a> {
    /// The occupancy of row `index`, and its blocks from block `first` on.
    #[inline(always)]
    pub fn row(&self, index: usize, first: usize) -> (&'a [u64], &'a [[u8; BLOCK]]) {
        let occupied = &self.occupied[index * self.words..][..self.words];
        let blocks = &self.blocks[self.starts[index]..self.starts[index + 1]];
        if first == 0 {
            return (occupied, blocks);
        }
        let whole: u32 = occupied[..first / 64].iter().map(|word| word.count_ones()).sum();
        let part = occupied.get(first / 64).map_or(0, |word| word & !(u64::MAX << (first % 64)));
        (occupied, &blocks[(whole + part.count_ones()) as usize..])
    }
}

/// Which pixels a batch takes.
#[derive(Debug, Clone, Copy)]
pub struct Selection<'a> {
    /// Row numbers, one for each sample.
    pub rows: &'a [u32],
    /// Those that will be wanted soon: asked for while these are scaled.
    pub soon: &'a [u32],
    /// The block of a row with which a sample begins.
    pub first_block: usize,
    /// Pixels of a sample.
    pub width: usize,
}

/// What a block becomes that holds only zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Blanks {
    /// It is written as what zeros are when scaled.
    #[default]
    Written,
    /// It is left as it is, for readers that look at the occupancy. Only where zeros stay zeros.
    Left,
}

/// Scales some rows: `x: [m, width]`.
///
/// `occupied: [m, words_per_row(width)]` says which blocks of `x` may hold something else than zeros, before and after. A
/// block that was zero and stays so is neither read nor written.
pub fn scale_rows(
    level: SimdLevel,
    scale: PixelScale,
    blanks: Blanks,
    images: SparseRows<'_>,
    selection: Selection<'_>,
    x: &mut [f32],
    occupied: &mut [u64],
) {
    match (scale, blanks) {
        (PixelScale::Unit, Blanks::Left) => dispatch!(level.token(), simd => scale_rows_at(
            simd, images, selection, x, occupied,
            #[inline(always)] |_, fill, _| (fill, 0),
            #[inline(always)] |u| u,
        )),
        (PixelScale::Unit, Blanks::Written) => dispatch!(level.token(), simd => scale_rows_at(
            simd, images, selection, x, occupied,
            #[inline(always)] |before, fill, _| (fill, before & !fill),
            #[inline(always)] |u| u,
        )),
        (PixelScale::Standard { mean, factor }, _) => dispatch!(level.token(), simd => scale_rows_at(
            simd, images, selection, x, occupied,
            #[inline(always)] |_, fill, all| (all, all & !fill),
            #[inline(always)] |u| (u - mean) * factor,
        )),
    }
}

/// `occupancy(before, fill, all)` gives, of a word's blocks: those that are occupied from now on, and those that have to be
/// written although no byte of them is stored. `fill` are those with stored bytes.
#[inline(always)]
fn scale_rows_at<S: Simd>(
    simd: S,
    images: SparseRows<'_>,
    selection: Selection<'_>,
    x: &mut [f32],
    occupied: &mut [u64],
    occupancy: impl Fn(u64, u64, u64) -> (u64, u64),
    scale: impl Fn(f32x8<S>) -> f32x8<S>,
) {
    let Selection { rows, soon, first_block, width } = selection;
    let samples = x.chunks_exact_mut(width).zip(occupied.chunks_exact_mut(words_per_row(width)));
    for ((index, row), (x, occupied)) in rows.iter().enumerate().zip(samples) {
        if let Some(row) = soon.get(index) {
            prefetch(simd, images.row(*row as usize, first_block).1.as_flattened());
        }
        let (stored, pixels) = images.row(*row as usize, first_block);
        let mut pixels = pixels.iter();
        for (word, (occupied, x)) in occupied.iter_mut().zip(x.chunks_mut(64 * BLOCK)).enumerate() {
            let (blocks, short) = x.as_chunks_mut::<BLOCK>();
            let count = blocks.len() + usize::from(!short.is_empty());
            let fill = bits_from(stored, first_block + 64 * word, count);
            let (now, mut blank) = occupancy(*occupied, fill, u64::MAX >> (64 - count));
            *occupied = now;
            let whole = u64::MAX.checked_shr(64 - blocks.len() as u32).unwrap_or(0);
            let mut bits = fill & whole;
            while bits != 0
                && let Some(pixels) = pixels.next()
            {
                scale(unit(simd, pixels)).store_array(&mut blocks[bits.trailing_zeros() as usize]);
                bits &= bits - 1;
            }
            if fill & !whole != 0
                && let Some(pixels) = pixels.next()
            {
                short.copy_from_slice(&scale(unit(simd, pixels)).as_array()[..short.len()]);
            }
            let zeros = scale(f32x8::splat(simd, 0.0));
            if blank & !whole != 0 {
                short.copy_from_slice(&zeros.as_array()[..short.len()]);
            }
            blank &= whole;
            while blank != 0 {
                zeros.store_array(&mut blocks[blank.trailing_zeros() as usize]);
                blank &= blank - 1;
            }
        }
    }
}

/// `pixel / 255`, rounded once.
#[inline(always)]
fn unit<S: Simd>(simd: S, pixels: &[u8; BLOCK]) -> f32x8<S> {
    let mut padded = [0; 16];
    padded[..BLOCK].copy_from_slice(pixels);
    let (pixels, _) = u8x16::load_array(simd, padded).widen();
    let (low, high) = pixels.widen();
    let pixels: u32x8<S> = low.combine(high);
    let pixels = f32x8::float_from(pixels);
    pixels.mul_add_precise(UNIT_HEAD, pixels * UNIT_TAIL)
}
