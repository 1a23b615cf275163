//! The products of rows of which hardly anything is left: texts as counts of words. Of thousands of features a row has a hundred,
//! so that it pays neither to ask for each of them whether the row has it nor to keep the weights of a tile at hand.
//!
//! Sums run as everywhere in this room: over features in order, over groups of 64 samples in order, one fused multiply-add for each
//! number. So the bits are those of the same rows in any other encoding.

use fearless_simd::{Simd, prelude::*};

use super::{CacheLines, GROUP, PANEL, STRIPE, Stripe, copy_columns, for_each_stripe, vectors, with_vectors};
use crate::kernels::math::{store, width};
use crate::kernels::panels;
use crate::kernels::sparse::FewRows;
use crate::kernels::{Output, SimdLevel, dispatch};

/// As [`super::forward`], of several parts of the columns at once: `bounds`, rising, are where they begin, and where the last one
/// ends. Each part's sums are complete before they are added to those before them.
pub fn forward(level: SimdLevel, x: FewRows<'_>, w: &[f32], n: usize, bounds: &[usize], z: &mut [f32]) {
    debug_assert!(w.len() == panels::len(n, x.width) && z.len() == (x.starts.len() - 1) * n);
    debug_assert!(bounds.len() > 1 && bounds.is_sorted() && bounds[bounds.len() - 1] <= x.width);
    dispatch!(level, simd => forward_at(simd, x, w, n, bounds, z));
}

#[inline(always)]
fn forward_at<S: Simd>(simd: S, x: FewRows<'_>, w: &[f32], n: usize, bounds: &[usize], z: &mut [f32]) {
    for_each_stripe::<S>(
        n,
        #[inline(always)]
        |stripe| with_vectors!(stripe, put_products::<S>(simd, x, w, n, &stripe, bounds, z)),
    );
}

#[inline(always)]
fn put_products<S: Simd, const VECTORS: usize, const PANELS: usize, const LAST: usize>(
    simd: S,
    x: FewRows<'_>,
    w: &[f32],
    n: usize,
    stripe: &Stripe,
    bounds: &[usize],
    z: &mut [f32],
) {
    let zero = [[S::f32s::splat(simd, 0.0); VECTORS]; PANELS];
    for (index, z) in z.chunks_exact_mut(n).enumerate() {
        let (of_row, numbers) = x.row(index, &(bounds[0]..bounds[bounds.len() - 1]));
        let (mut lanes, mut before) = (zero, zero);
        let (mut ends, mut end) = (bounds[1..].iter(), 0);
        for (feature, number) in of_row.iter().zip(numbers) {
            while *feature as usize >= end
                && let Some(next) = ends.next()
            {
                add_lanes(&lanes, &mut before);
                (lanes, end) = (zero, *next);
            }
            let number = S::f32s::splat(simd, *number);
            for (panel, lanes) in lanes.iter_mut().enumerate() {
                let start = stripe.start(x.width, panel, *feature as usize);
                for (vector, lanes) in lanes.iter_mut().enumerate() {
                    if vector < vectors(panel, VECTORS, PANELS, LAST) {
                        let weights = &w[start + vector * width::<S>()..][..width::<S>()];
                        *lanes = number.mul_add_precise(S::f32s::from_slice(simd, weights), *lanes);
                    }
                }
            }
        }
        add_lanes(&before, &mut lanes);
        let z = &mut z[stripe.outputs.clone()];
        for_each_vector::<S, VECTORS, PANELS, LAST>(&lanes, |lane, lanes| {
            let end = z.len().min(lane + width::<S>());
            if lane < end {
                store::<S>(lanes, &mut z[lane..end]);
            }
        });
    }
}

/// `into += lanes`.
#[inline(always)]
fn add_lanes<L: Copy + std::ops::Add<Output = L>, const VECTORS: usize, const PANELS: usize>(
    lanes: &[[L; VECTORS]; PANELS],
    into: &mut [[L; VECTORS]; PANELS],
) {
    for (into, lanes) in into.iter_mut().zip(lanes) {
        for (into, lanes) in into.iter_mut().zip(lanes) {
            *into = *into + *lanes;
        }
    }
}

/// Calls `visit(output of the stripe, lanes)` for each vector.
#[inline(always)]
fn for_each_vector<S: Simd, const VECTORS: usize, const PANELS: usize, const LAST: usize>(
    lanes: &[[S::f32s; VECTORS]; PANELS],
    mut visit: impl FnMut(usize, S::f32s),
) {
    for (panel, lanes) in lanes.iter().enumerate() {
        for (vector, lanes) in lanes.iter().enumerate() {
            if vector < vectors(panel, VECTORS, PANELS, LAST) {
                visit(panel * PANEL + vector * width::<S>(), *lanes);
            }
        }
    }
}

/// The same rows by features: for each group of samples, the features that any of them has.
#[derive(Debug, Clone, Default)]
pub struct FewColumns {
    width: usize,
    /// `[groups + 1]`: where the features of each group begin in `features`.
    groups: Vec<usize>,
    /// Those of each group, rising.
    features: Vec<u32>,
    /// `[features + 1]`: where the numbers of each begin.
    starts: Vec<usize>,
    /// Of each number, its sample's place in the group; rising within a feature.
    samples: Vec<u8>,
    numbers: Vec<f32>,
    /// `[width]`: room to count in.
    counts: Vec<u32>,
}

impl FewColumns {
    /// Takes over `x`.
    pub fn fill(&mut self, x: FewRows<'_>) {
        let FewColumns { width, groups, features, starts, samples, numbers, counts } = self;
        *width = x.width;
        groups.clear();
        features.clear();
        starts.clear();
        groups.push(0);
        starts.push(0);
        let all = x.starts[x.starts.len() - 1];
        samples.resize(all, 0);
        numbers.resize(all, 0.0);
        counts.clear();
        counts.resize(x.width, 0);
        let rows = x.starts.len() - 1;
        for first in (0..rows).step_by(GROUP) {
            let group = first..rows.min(first + GROUP);
            let from = x.starts[group.start];
            x.columns[from..x.starts[group.end]].iter().for_each(|column| counts[*column as usize] += 1);
            let mut next = from;
            for (feature, count) in (0..).zip(counts.iter_mut()).filter(|(_, count)| **count > 0) {
                features.push(feature);
                // From now on: where its next number goes.
                next += std::mem::replace(count, next as u32) as usize;
                starts.push(next);
            }
            for row in group.clone() {
                let of_row = x.starts[row]..x.starts[row + 1];
                for (column, number) in x.columns[of_row.clone()].iter().zip(&x.values[of_row]) {
                    let place = &mut counts[*column as usize];
                    samples[*place as usize] = (row - group.start) as u8;
                    numbers[*place as usize] = *number;
                    *place += 1;
                }
            }
            features[groups[groups.len() - 1]..].iter().for_each(|feature| counts[*feature as usize] = 0);
            groups.push(features.len());
        }
    }
}

/// As [`super::backward_weight`].
pub fn backward_weight(level: SimdLevel, x: &FewColumns, dz: &[f32], n: usize, output: Output, dw: &mut [f32]) {
    debug_assert!(dw.len() == panels::len(n, x.width) && dz.len().div_ceil(GROUP * n) == x.groups.len() - 1);
    debug_assert!(!matches!(output, Output::Descend { .. }) || x.groups.len() <= 2);
    // Where no sample has a feature, nothing is added.
    let output = match output {
        Output::Overwrite => {
            dw.fill(0.0);
            Output::Accumulate
        }
        other => other,
    };
    dispatch!(level, simd => backward_weight_at(simd, x, dz, n, output, dw));
}

#[inline(always)]
fn backward_weight_at<S: Simd>(simd: S, x: &FewColumns, dz: &[f32], n: usize, output: Output, dw: &mut [f32]) {
    for_each_stripe::<S>(
        n,
        #[inline(always)]
        |stripe| {
            // The stripe's columns, side by side.
            let mut of_stripe = CacheLines([[0.0; STRIPE]; GROUP]);
            for (group, dz) in dz.chunks(GROUP * n).enumerate() {
                copy_columns(simd, &stripe, dz, n, &mut of_stripe.0);
                with_vectors!(stripe, add_group::<S>(simd, x, group, &of_stripe.0, &stripe, output, dw));
            }
        },
    );
}

#[inline(always)]
fn add_group<S: Simd, const VECTORS: usize, const PANELS: usize, const LAST: usize>(
    simd: S,
    x: &FewColumns,
    group: usize,
    dz: &[[f32; STRIPE]; GROUP],
    stripe: &Stripe,
    output: Output,
    dw: &mut [f32],
) {
    let factor = match output {
        Output::Descend { lr } => -lr,
        // A product with 1 is not rounded.
        _ => 1.0,
    };
    let factor = S::f32s::splat(simd, factor);
    for at in x.groups[group]..x.groups[group + 1] {
        let numbers = x.starts[at]..x.starts[at + 1];
        let mut lanes = [[S::f32s::splat(simd, 0.0); VECTORS]; PANELS];
        for (sample, number) in x.samples[numbers.clone()].iter().zip(&x.numbers[numbers]) {
            let (dz, number) = (&dz[usize::from(*sample) % GROUP], S::f32s::splat(simd, *number));
            for (panel, lanes) in lanes.iter_mut().enumerate() {
                for (vector, lanes) in lanes.iter_mut().enumerate() {
                    if vector < vectors(panel, VECTORS, PANELS, LAST) {
                        let dz = &dz[(panel * VECTORS + vector) * width::<S>()..][..width::<S>()];
                        *lanes = number.mul_add_precise(S::f32s::from_slice(simd, dz), *lanes);
                    }
                }
            }
        }
        let feature = x.features[at] as usize;
        for_each_vector::<S, VECTORS, PANELS, LAST>(&lanes, |lane, lanes| {
            let (panel, offset) = (lane / PANEL, lane % PANEL);
            let place = &mut dw[stripe.start(x.width, panel, feature) + offset..][..width::<S>()];
            lanes.mul_add_precise(factor, S::f32s::from_slice(simd, place)).store_slice(place);
        });
    }
}
