//! From bytes to numbers: rows of pixels, scaled into a batch, and which of its blocks hold anything but zeros.

use fearless_simd::{Simd, dispatch, f32x16, prelude::*, u8x16, u8x64, u32x16};

use crate::kernels::occupancy::words_per_row;
use crate::kernels::{LANES, SimdLevel};

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

/// Scales rows of `width` pixels each: `x: [m, width]`.
///
/// `occupied: [m, words_per_row(width)]` says which blocks of `x` hold anything but zeros, before and after. A block that
/// was zero and stays so is neither read nor written.
pub fn scale_rows<'a>(
    level: SimdLevel,
    scale: PixelScale,
    rows: impl Iterator<Item = &'a [u8]>,
    width: usize,
    x: &mut [f32],
    occupied: &mut [u64],
) {
    dispatch!(level.token(), simd => scale_rows_at(simd, scale, rows, width, x, occupied));
}

#[inline(always)]
fn scale_rows_at<'a, S: Simd>(
    simd: S,
    scale: PixelScale,
    rows: impl Iterator<Item = &'a [u8]>,
    width: usize,
    x: &mut [f32],
    occupied: &mut [u64],
) {
    let targets = x.chunks_exact_mut(width).zip(occupied.chunks_exact_mut(words_per_row(width)));
    match scale {
        PixelScale::Unit => {
            for (pixels, (x, occupied)) in rows.zip(targets) {
                scale_row(
                    simd,
                    pixels,
                    x,
                    occupied,
                    not_zero,
                    #[inline(always)]
                    |u| u,
                );
            }
        }
        PixelScale::Standard { mean, factor } => {
            for (pixels, (x, occupied)) in rows.zip(targets) {
                scale_row(
                    simd,
                    pixels,
                    x,
                    occupied,
                    all,
                    #[inline(always)]
                    |u| (u - mean) * factor,
                );
            }
        }
    }
}

#[inline(always)]
fn scale_row<S: Simd>(
    simd: S,
    pixels: &[u8],
    x: &mut [f32],
    occupied: &mut [u64],
    blocks_to_fill: impl Fn(S, &[[u8; LANES]], &[u8]) -> u64,
    scale: impl Fn(f32x16<S>) -> f32x16<S>,
) {
    const WORD: usize = 64 * LANES;
    for (word, (pixels, x)) in occupied.iter_mut().zip(pixels.chunks(WORD).zip(x.chunks_mut(WORD))) {
        let (blocks, short) = pixels.as_chunks::<LANES>();
        let (x_blocks, x_short) = x.as_chunks_mut::<LANES>();
        let x_blocks = &mut x_blocks[..blocks.len()];
        let mut fill = blocks_to_fill(simd, blocks, short);
        let mut clear = *word & !fill;
        *word = fill;
        let short_bit = if short.is_empty() { 0 } else { 1 << blocks.len() };
        if fill & short_bit != 0 {
            let mut padded = [0; LANES];
            padded[..short.len()].copy_from_slice(short);
            x_short.copy_from_slice(&scale(unit(simd, &padded)).as_array()[..short.len()]);
        } else if clear & short_bit != 0 {
            x_short.fill(0.0);
        }
        fill &= !short_bit;
        clear &= !short_bit;
        while fill != 0 {
            let block = fill.trailing_zeros() as usize;
            fill &= fill - 1;
            scale(unit(simd, &blocks[block])).store_array(&mut x_blocks[block]);
        }
        while clear != 0 {
            let block = clear.trailing_zeros() as usize;
            clear &= clear - 1;
            x_blocks[block] = [0.0; LANES];
        }
    }
}

/// `pixel / 255`, rounded once.
#[inline(always)]
fn unit<S: Simd>(simd: S, pixels: &[u8; LANES]) -> f32x16<S> {
    let (low, high) = u8x16::load_array_ref(simd, pixels).widen();
    let (low, high) = low.combine(high).widen();
    let pixels: u32x16<S> = low.combine(high);
    let pixels = f32x16::float_from(pixels);
    pixels.mul_add_precise(UNIT_HEAD, pixels * UNIT_TAIL)
}

/// A bit for each of up to 64 blocks, the last of which may be short: set where a pixel is not 0.
#[inline(always)]
fn not_zero<S: Simd>(simd: S, blocks: &[[u8; LANES]], short: &[u8]) -> u64 {
    let (sixteens, rest) = blocks.as_chunks::<16>();
    let mut bits = 0;
    for (index, blocks) in sixteens.iter().enumerate() {
        bits |= sixteen_not_zero(simd, blocks) << (16 * index);
    }
    for (index, block) in (16 * sixteens.len()..).zip(rest) {
        bits |= u64::from(u128::from_ne_bytes(*block) != 0) << index;
    }
    if short.iter().any(|pixel| *pixel != 0) {
        bits |= 1 << blocks.len();
    }
    bits
}

/// A bit for each of sixteen blocks: set where a pixel is not 0. (One block at a time would take twice as long.)
#[inline(always)]
fn sixteen_not_zero<S: Simd>(simd: S, blocks: &[[u8; LANES]; 16]) -> u64 {
    let (quads, _) = blocks.as_chunks::<4>();
    let mut bits = 0;
    for (index, quad) in quads.iter().enumerate() {
        // Four pixels to a lane, four lanes to a block.
        if let Some(bytes) = quad.as_flattened().as_array::<64>() {
            let words: u32x16<S> = u8x64::load_array_ref(simd, bytes).bitcast();
            bits |= words.simd_ne(u32x16::splat(simd, 0)).to_bitmask() << (16 * index);
        }
    }
    // Fold each four bits into the lowest of them, then bring those together, pairs first.
    bits |= bits >> 1;
    bits |= bits >> 2;
    bits &= 0x1111_1111_1111_1111;
    bits = (bits | bits >> 3) & 0x0303_0303_0303_0303;
    bits = (bits | bits >> 6) & 0x000f_000f_000f_000f;
    bits = (bits | bits >> 12) & 0x0000_00ff_0000_00ff;
    (bits | bits >> 24) & 0xffff
}

/// A bit for each block.
#[inline(always)]
fn all<S: Simd>(_: S, blocks: &[[u8; LANES]], short: &[u8]) -> u64 {
    u64::MAX >> (64 - blocks.len() - usize::from(!short.is_empty()))
}
