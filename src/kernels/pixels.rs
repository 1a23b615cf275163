//! From bytes to numbers: rows of pixels, scaled into a batch.

use fearless_simd::{Simd, f32x8, prelude::*, u8x16, u32x8};

use crate::kernels::prefetch::prefetch;
use crate::kernels::sparse::{BLOCK, SparseRows, bits_from, blocks_per_row, words_per_row};
use crate::kernels::{SimdLevel, dispatch};

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

/// Which pixels a batch takes.
#[derive(Debug, Clone, Copy)]
pub struct Selection<'a> {
    /// Row numbers, one for each sample.
    pub rows: &'a [u32],
    /// Those that come next: prefetched while these are scaled.
    pub prefetch: &'a [u32],
    /// The block of a row with which a sample begins.
    pub first_block: usize,
    /// Pixels of a sample.
    pub width: usize,
}

/// Where scaled rows go: the fields of [`SparseRows`] for `m` samples, to be overwritten.
#[derive(Debug)]
pub struct ScaledRows<'a> {
    /// `[m, words_per_row(width)]`.
    pub mask: &'a mut [u64],
    /// At least as many as the rows have.
    pub blocks: &'a mut [[f32; BLOCK]],
    /// `[m + 1]`.
    pub starts: &'a mut [usize],
}

/// Scales some rows, block by block. Blocks that are left out stay so: they stand for what zeros become.
pub fn scale_rows(
    level: SimdLevel,
    scale: PixelScale,
    images: SparseRows<'_, u8>,
    selection: Selection<'_>,
    scaled: ScaledRows<'_>,
) {
    match scale {
        PixelScale::Unit => dispatch!(level, simd => scale_rows_at(
            simd, images, selection, scaled,
            #[inline(always)] |u| u,
        )),
        PixelScale::Standard { mean, factor } => dispatch!(level, simd => scale_rows_at(
            simd, images, selection, scaled,
            #[inline(always)] |u| (u - mean) * factor,
        )),
    }
}

#[inline(always)]
fn scale_rows_at<S: Simd>(
    simd: S,
    images: SparseRows<'_, u8>,
    selection: Selection<'_>,
    scaled: ScaledRows<'_>,
    scale: impl Fn(f32x8<S>) -> f32x8<S>,
) {
    let Selection { rows, prefetch: next, first_block, width } = selection;
    let mut end = 0;
    scaled.starts[0] = end;
    let samples = scaled.mask.chunks_exact_mut(words_per_row(width)).zip(&mut scaled.starts[1..]);
    for ((index, row), (mask, row_end)) in rows.iter().enumerate().zip(samples) {
        if let Some(row) = next.get(index) {
            prefetch(simd, images.row(*row as usize, first_block).1.as_flattened());
        }
        let (stored, pixels) = images.row(*row as usize, first_block);
        let (start, mut blocks) = (end, blocks_per_row(width));
        for (word, mask) in mask.iter_mut().enumerate() {
            *mask = bits_from(stored, first_block + 64 * word, blocks.min(64));
            blocks = blocks.saturating_sub(64);
            end += mask.count_ones() as usize;
        }
        *row_end = end;
        for (x, pixels) in scaled.blocks[start..end].iter_mut().zip(pixels) {
            scale(unit(simd, pixels)).store_array(x);
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
