//! The products of a tile of which hardly anything is zero: four samples at a time, so that each weight that is loaded serves
//! four products. It knows tiles, not where they come from.
//!
//! Sums run over features in the order in which products that leave zeros out run, one fused multiply-add each, so the results
//! are the same.

use fearless_simd::{Simd, prelude::*};

use super::{SAMPLES, STRIPE, WORD};
use crate::kernels::math::width;

/// Samples whose sums stand in registers together.
const ROWS: usize = 4;

/// `sums[:, lanes] += numbers w`, for the lanes from `lane` on, which are a panel's.
///
/// `numbers: [sums.len(), 64]`; `w: [features, stride]`, at most 64 of them.
#[inline(always)]
pub(super) fn add_products<S: Simd>(
    simd: S,
    numbers: &[[f32; WORD]; SAMPLES],
    w: &[f32],
    stride: usize,
    lane: usize,
    sums: &mut [[f32; STRIPE]],
) {
    let width = width::<S>();
    // Sums, weights and a number: as many registers as a level has.
    match stride / width {
        4.. if width == 16 => add_lanes::<S, 4>(simd, numbers, w, stride, 0, lane, sums),
        3 if width == 16 => add_lanes::<S, 3>(simd, numbers, w, stride, 0, lane, sums),
        1 => add_lanes::<S, 1>(simd, numbers, w, stride, 0, lane, sums),
        // An even number, for strides are multiples of 16.
        _ => {
            for first in (0..stride).step_by(2 * width) {
                add_lanes::<S, 2>(simd, numbers, w, stride, first, lane, sums);
            }
        }
    }
}

/// The same for the lanes of some vectors, which begin at `first` in the panel.
#[inline(always)]
fn add_lanes<S: Simd, const VECTORS: usize>(
    simd: S,
    numbers: &[[f32; WORD]; SAMPLES],
    w: &[f32],
    stride: usize,
    first: usize,
    lane: usize,
    sums: &mut [[f32; STRIPE]],
) {
    let (groups, rest) = sums.as_chunks_mut::<ROWS>();
    let (of_groups, of_rest) = numbers.split_at(groups.len() * ROWS);
    for (sums, numbers) in groups.iter_mut().zip(of_groups.as_chunks::<ROWS>().0) {
        add_rows::<S, VECTORS, ROWS>(simd, numbers, w, stride, first, lane, sums);
    }
    for (sums, numbers) in rest.iter_mut().zip(of_rest) {
        add_rows::<S, VECTORS, 1>(
            simd,
            std::array::from_ref(numbers),
            w,
            stride,
            first,
            lane,
            std::array::from_mut(sums),
        );
    }
}

#[inline(always)]
fn add_rows<S: Simd, const VECTORS: usize, const ROWS: usize>(
    simd: S,
    numbers: &[[f32; WORD]; ROWS],
    w: &[f32],
    stride: usize,
    first: usize,
    lane: usize,
    sums: &mut [[f32; STRIPE]; ROWS],
) {
    let width = width::<S>();
    let mut lanes = [[S::f32s::splat(simd, 0.0); VECTORS]; ROWS];
    for row in 0..ROWS {
        for (vector, lanes) in lanes[row].iter_mut().enumerate() {
            let place = lane + first + vector * width;
            *lanes = S::f32s::from_slice(simd, &sums[row][place..][..width]);
        }
    }
    for (feature, w) in w.chunks_exact(stride).enumerate().take(WORD) {
        let mut weights = [S::f32s::splat(simd, 0.0); VECTORS];
        for (vector, weights) in weights.iter_mut().enumerate() {
            *weights = S::f32s::from_slice(simd, &w[first + vector * width..][..width]);
        }
        for row in 0..ROWS {
            let number = S::f32s::splat(simd, numbers[row][feature]);
            for vector in 0..VECTORS {
                lanes[row][vector] = number.mul_add_precise(weights[vector], lanes[row][vector]);
            }
        }
    }
    for row in 0..ROWS {
        for (vector, lanes) in lanes[row].iter().enumerate() {
            let place = lane + first + vector * width;
            lanes.store_slice(&mut sums[row][place..][..width]);
        }
    }
}
