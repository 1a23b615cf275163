//! Linear layers of many outputs, at the price of the numbers of a row that are not zero, on lanes of outputs.
//!
//! Of MNIST's pixels 81 % are zero, and of what a ReLU gives about half. A product that visits the others alone has that much
//! less work: for each number of a row that is not zero, the weights of its feature, which stand side by side, are added to
//! the sums of all outputs. Sums run over features (or samples) in their order, and every product enters its sum by one fused
//! multiply-add, so the bits are the same on every SIMD level, and those of a product that leaves nothing out.
//!
//! The weight stands in panels of 64 outputs (`kernels/panels.rs`): 64 features of one are 16 KB without a gap, which stay in L1
//! while many samples go by. In rows of hundreds of outputs, those of neighbouring features would push each other out. The last
//! panel is filled up with zeros to whole vectors, and what is computed for them stays zero.
//!
//! Legend: `m` batch size, `k` in_features, `n` out_features; `x: [m, k]`, compressed; `z`, `dz: [m, n]`, row-major;
//! `w`, `dw`: `[n / 64, k, 64]`, panels.

mod dense;
pub mod few;

use std::ops::Range;

use fearless_simd::{Simd, prelude::*};

use crate::kernels::compressed::{CompressedRows, GROUP, GroupTiles, WORD};
use crate::kernels::math::{load, store, width};
use crate::kernels::panels::{self, PANEL};
use crate::kernels::{Output, SimdLevel, dispatch};

/// The most samples that [`backward_weight`] descends with.
pub const MAX_DESCEND_SAMPLES: usize = GROUP;

/// Outputs whose sums stand in registers together: two panels where a vector has sixteen lanes, which makes eight vectors, as
/// many as hide the latency of a multiply-add at two a cycle (fewer where the second panel has fewer outputs); else one, eight
/// vectors of AVX2.
const STRIPE: usize = 2 * PANEL;

/// Samples of a forward pass that meet a tile's weights one after another: their sums take 16 KB, the weights 32 KB.
const SAMPLES: usize = 32;

/// From this share of numbers that are not zero on, a forward pass leaves nothing out: it needs no look at bits then, and takes
/// four samples at a time. The sums are the same.
const DENSE_SHARE: f64 = 0.9;

/// `z = x[:, columns] w[columns, :]`: what some of a layer's features add to its sums.
///
/// `columns`: any of the `k`; `z: [m, n]`, overwritten.
pub fn forward(level: SimdLevel, x: CompressedRows<'_>, w: &[f32], n: usize, columns: Range<usize>, z: &mut [f32]) {
    debug_assert!(w.len() == panels::len(n, x.width) && z.len() == x.len() * n && columns.end <= x.width);
    dispatch!(level, simd => forward_at(simd, x, w, n, columns, z));
}

#[inline(always)]
fn forward_at<S: Simd>(simd: S, x: CompressedRows<'_>, w: &[f32], n: usize, columns: Range<usize>, z: &mut [f32]) {
    for_each_stripe::<S>(
        n,
        #[inline(always)]
        |stripe| {
            for (group, z) in z.chunks_mut(SAMPLES * n).enumerate() {
                let mut sums = CacheLines([[0.0; STRIPE]; SAMPLES]);
                let sums = &mut sums.0[..z.len() / n];
                add_group(simd, x, group * SAMPLES, w, &stripe, columns.clone(), sums);
                for (z, sums) in z.chunks_exact_mut(n).zip(sums) {
                    for (z, sums) in z[stripe.outputs.clone()].chunks_mut(width::<S>()).zip(sums.chunks(width::<S>())) {
                        store::<S>(S::f32s::from_slice(simd, sums), z);
                    }
                }
            }
        },
    );
}

/// At the start of a cache line, so that no vector lies across two.
#[repr(align(64))]
struct CacheLines<T>(T);

/// What the samples from `first` on, one for each of `sums`, add to them.
#[inline(always)]
fn add_group<S: Simd>(
    simd: S,
    x: CompressedRows<'_>,
    first: usize,
    w: &[f32],
    stripe: &Stripe,
    columns: Range<usize>,
    sums: &mut [[f32; STRIPE]],
) {
    let mut next = [0; SAMPLES];
    for (offset, next) in next.iter_mut().enumerate().take(sums.len()) {
        *next = x.starts[first + offset] + x.count_before(first + offset, columns.start);
    }
    let is_dense = x.is_at_least(DENSE_SHARE, first..first + sums.len());
    let mut numbers = CacheLines([[0.0; WORD]; SAMPLES]);
    for start in columns.clone().step_by(WORD) {
        let features = start..columns.end.min(start + WORD);
        let tile = Tile { x, features: features.clone(), first };
        let panels = [0, 1].map(
            #[inline(always)]
            |panel| if panel < stripe.panels { stripe.rows(w, x.width, panel, features.clone()) } else { &[] },
        );
        if is_dense {
            tile.expand(&mut next, &mut numbers.0[..sums.len()]);
            for (panel, w) in panels.into_iter().enumerate().take(stripe.panels) {
                dense::add_products(simd, &numbers.0, w, stripe.stride(panel), panel * PANEL, sums);
            }
            continue;
        }
        with_vectors!(stripe, tile.add_products::<S>(simd, &mut next, &panels, sums));
    }
}

/// Calls `$function::<S, VECTORS, PANELS, LAST>` with as many vectors as the outputs of a stripe need.
macro_rules! with_vectors {
    ($stripe:expr, $($function:ident).+::<$S:ident>($($argument:expr),* $(,)?)) => {
        match ($stripe.panels, $stripe.last) {
            (2, 1) => $($function).+::<$S, 4, 2, 1>($($argument),*),
            (2, 2) => $($function).+::<$S, 4, 2, 2>($($argument),*),
            (2, 3) => $($function).+::<$S, 4, 2, 3>($($argument),*),
            (2, _) => $($function).+::<$S, 4, 2, 4>($($argument),*),
            (_, 1) => $($function).+::<$S, 1, 1, 1>($($argument),*),
            (_, 2) => $($function).+::<$S, 2, 1, 2>($($argument),*),
            (_, 3) => $($function).+::<$S, 3, 1, 3>($($argument),*),
            (_, 4) => $($function).+::<$S, 4, 1, 4>($($argument),*),
            (_, 6) => $($function).+::<$S, 6, 1, 6>($($argument),*),
            (_, 8) => $($function).+::<$S, 8, 1, 8>($($argument),*),
            (_, 12) => $($function).+::<$S, 12, 1, 12>($($argument),*),
            _ => $($function).+::<$S, 16, 1, 16>($($argument),*),
        }
    };
}
use with_vectors;

/// Some neighbouring features, at most a word's, of the samples from `first` on.
struct Tile<'a> {
    x: CompressedRows<'a>,
    features: Range<usize>,
    first: usize,
}

impl<'a> Tile<'a> {
    /// Which of its features sample `first + index` has, and their numbers; `next` is where these begin, and then where they
    /// end.
    #[inline(always)]
    fn row(&self, index: usize, next: &mut usize) -> (u64, &'a [f32]) {
        let bits = self.x.bits_of(self.first + index, self.features.clone());
        let numbers = &self.x.values[*next..][..bits.count_ones() as usize];
        *next += numbers.len();
        (bits, numbers)
    }

    /// The numbers of all its features, zeros included, of as many samples as there is room for; `next` as in [`Self::row`].
    #[inline(always)]
    fn expand(&self, next: &mut [usize; SAMPLES], into: &mut [[f32; WORD]]) {
        for (index, into) in into.iter_mut().enumerate() {
            let (mut bits, numbers) = self.row(index, &mut next[index]);
            if numbers.len() == self.features.len() {
                into[..numbers.len()].copy_from_slice(numbers);
                continue;
            }
            into.fill(0.0);
            for number in numbers {
                into[bits.trailing_zeros() as usize % WORD] = *number;
                bits &= bits - 1;
            }
        }
    }

    /// `sums += numbers w[features, :]`, of as many samples at a time as hide the latency of a multiply-add. `panels`: the
    /// weights of its features, in the first `PANELS`.
    #[inline(always)]
    fn add_products<S: Simd, const VECTORS: usize, const PANELS: usize, const LAST: usize>(
        &self,
        simd: S,
        next: &mut [usize; SAMPLES],
        panels: &[&[f32]; 2],
        sums: &mut [[f32; STRIPE]],
    ) {
        let panels = std::array::from_fn(
            #[inline(always)]
            |panel| panels[panel],
        );
        if PANELS * VECTORS <= 4 {
            self.add_products_of::<S, VECTORS, PANELS, LAST, 2>(simd, next, panels, sums);
        } else {
            self.add_products_of::<S, VECTORS, PANELS, LAST, 1>(simd, next, panels, sums);
        }
    }

    /// The same, of `ROWS` samples at a time.
    #[inline(always)]
    fn add_products_of<S: Simd, const VECTORS: usize, const PANELS: usize, const LAST: usize, const ROWS: usize>(
        &self,
        simd: S,
        next: &mut [usize; SAMPLES],
        panels: [&[f32]; PANELS],
        sums: &mut [[f32; STRIPE]],
    ) {
        let (chunks, rest) = sums.as_chunks_mut::<ROWS>();
        let done = chunks.len() * ROWS;
        for (sums, first) in chunks.iter_mut().zip((0..).step_by(ROWS)) {
            let mut rows = [(0, [].as_slice()); ROWS];
            for (offset, row) in rows.iter_mut().enumerate() {
                *row = self.row(first + offset, &mut next[first + offset]);
            }
            if rows.iter().all(|row| row.0 == 0) {
                continue;
            }
            add_rows::<S, VECTORS, PANELS, LAST, ROWS>(simd, rows, panels, sums);
        }
        for (offset, sums) in rest.iter_mut().enumerate() {
            let row = self.row(done + offset, &mut next[done + offset]);
            if row.0 == 0 {
                continue;
            }
            add_rows::<S, VECTORS, PANELS, LAST, 1>(simd, [row], panels, std::array::from_mut(sums));
        }
    }
}

/// What [`Tile::add_products`] does with a few rows: side by side as long as each has a number left, then one by one.
#[inline(always)]
fn add_rows<S: Simd, const VECTORS: usize, const PANELS: usize, const LAST: usize, const ROWS: usize>(
    simd: S,
    rows: [(u64, &[f32]); ROWS],
    panels: [&[f32]; PANELS],
    sums: &mut [[f32; STRIPE]; ROWS],
) {
    let width = width::<S>();
    let mut lanes = [[[S::f32s::splat(simd, 0.0); VECTORS]; PANELS]; ROWS];
    for (lanes, sums) in lanes.iter_mut().zip(sums.iter()) {
        for (panel, lanes) in lanes.iter_mut().enumerate() {
            for (vector, lanes) in lanes.iter_mut().enumerate().take(vectors(panel, VECTORS, PANELS, LAST)) {
                *lanes = S::f32s::from_slice(simd, &sums[(panel * VECTORS + vector) * width..][..width]);
            }
        }
    }
    let (mut bits, mut side_by_side, mut rest) = ([0; ROWS], [[].as_slice(); ROWS], [[].as_slice(); ROWS]);
    let mut common = usize::MAX;
    for (_, numbers) in rows {
        common = common.min(numbers.len());
    }
    for (row, (of_row, numbers)) in rows.into_iter().enumerate() {
        bits[row] = of_row;
        (side_by_side[row], rest[row]) = numbers.split_at(common);
    }
    #[expect(clippy::needless_range_loop, reason = "one number of each row in turn")]
    for index in 0..common {
        for row in 0..ROWS {
            add_product::<S, VECTORS, PANELS, LAST>(
                simd,
                &mut bits[row],
                side_by_side[row][index],
                panels,
                &mut lanes[row],
            );
        }
    }
    if ROWS > 1 {
        for row in 0..ROWS {
            for number in rest[row] {
                add_product::<S, VECTORS, PANELS, LAST>(simd, &mut bits[row], *number, panels, &mut lanes[row]);
            }
        }
    }
    for (lanes, sums) in lanes.iter().zip(sums) {
        for (panel, lanes) in lanes.iter().enumerate() {
            for (vector, lanes) in lanes.iter().enumerate().take(vectors(panel, VECTORS, PANELS, LAST)) {
                lanes.store_slice(&mut sums[(panel * VECTORS + vector) * width..][..width]);
            }
        }
    }
}

/// How many vectors are used of each panel's `VECTORS`: of the last one, `LAST`.
#[inline(always)]
const fn vectors(panel: usize, of_panel: usize, panels: usize, last: usize) -> usize {
    if panel + 1 == panels { last } else { of_panel }
}

/// `lanes += number w[feature, :]`, where the feature is the first of those that `bits` names; it is taken from them.
#[inline(always)]
fn add_product<S: Simd, const VECTORS: usize, const PANELS: usize, const LAST: usize>(
    simd: S,
    bits: &mut u64,
    number: f32,
    panels: [&[f32]; PANELS],
    lanes: &mut [[S::f32s; VECTORS]; PANELS],
) {
    let feature = bits.trailing_zeros() as usize;
    *bits &= *bits - 1;
    let number = S::f32s::splat(simd, number);
    for (panel, (weights, lanes)) in panels.iter().zip(lanes).enumerate() {
        let stride = if panel + 1 == PANELS { LAST * width::<S>() } else { PANEL };
        let row = &weights[feature * stride..][..stride];
        for (vector, lanes) in lanes.iter_mut().enumerate().take(vectors(panel, VECTORS, PANELS, LAST)) {
            let row = &row[vector * width::<S>()..][..width::<S>()];
            *lanes = number.mul_add_precise(S::f32s::from_slice(simd, row), *lanes);
        }
    }
}

/// Outputs that are worked on together: a panel, or a whole one and the one behind it.
struct Stripe {
    outputs: Range<usize>,
    /// 1 or 2.
    panels: usize,
    /// Vectors of the last panel, of the level's own width.
    last: usize,
    /// Numbers of a feature in the last panel: those vectors' lanes.
    last_stride: usize,
}

impl Stripe {
    /// From a feature's weights to the next feature's in panel number `panel`.
    #[inline(always)]
    fn stride(&self, panel: usize) -> usize {
        if panel + 1 == self.panels { self.last_stride } else { PANEL }
    }

    /// Where the weights of `feature` begin in panel number `panel`.
    #[inline(always)]
    fn start(&self, k: usize, panel: usize, feature: usize) -> usize {
        (self.outputs.start + panel * PANEL) * k + feature * self.stride(panel)
    }

    /// The weights of `features` in panel number `panel`.
    #[inline(always)]
    fn rows<'w>(&self, w: &'w [f32], k: usize, panel: usize, features: Range<usize>) -> &'w [f32] {
        &w[self.start(k, panel, features.start)..][..features.len() * self.stride(panel)]
    }
}

/// Cuts `n` outputs: where a panel has only four vectors, whole ones and what is behind them in pairs; else panel by panel.
#[inline(always)]
fn for_each_stripe<S: Simd>(n: usize, mut visit: impl FnMut(Stripe)) {
    let vectors = PANEL / width::<S>();
    let most = if vectors == 4 { STRIPE } else { PANEL };
    for start in (0..n).step_by(most) {
        let outputs = start..n.min(start + most);
        let panels = outputs.len().div_ceil(PANEL);
        let last_stride = panels::padded(outputs.len()) - (panels - 1) * PANEL;
        visit(Stripe { outputs, panels, last: last_stride / width::<S>(), last_stride });
    }
}

/// The columns of a stripe, side by side, and zeros behind them; `dz: [GROUP, n]`, of which the last rows may be missing.
#[inline(always)]
fn copy_columns<S: Simd>(simd: S, stripe: &Stripe, dz: &[f32], n: usize, columns: &mut [[f32; STRIPE]; GROUP]) {
    for (to, dz) in columns.iter_mut().zip(dz.chunks_exact(n)) {
        let dz = dz[stripe.outputs.clone()].chunks(width::<S>());
        to.chunks_exact_mut(width::<S>()).zip(dz).for_each(|(to, dz)| load(simd, dz).store_slice(to));
    }
}

/// `dw = x^T dz`, `dw += x^T dz` or, with [`Output::Descend`], a step of gradient descent on `dw`, which is the weight then:
/// of each feature the samples that have it, in order; their products' sums stand in registers until they are complete.
///
/// `x` has its columns, [filled in](super::compressed::Compressed::fill_with_columns) and
/// [transposed](super::compressed::Compressed::transpose); `dz: [m, n]`, read; `dw`: panels of `[k, n]`. To descend,
/// `m` is at most [`MAX_DESCEND_SAMPLES`]: of more, a sum is put together from several pieces, and has to be complete before
/// it meets the weight.
pub fn backward_weight(level: SimdLevel, x: CompressedRows<'_>, dz: &[f32], n: usize, output: Output, dw: &mut [f32]) {
    debug_assert!(dw.len() == panels::len(n, x.width) && dz.len() == x.len() * n);
    debug_assert!(!matches!(output, Output::Descend { .. }) || x.len() <= MAX_DESCEND_SAMPLES);
    dispatch!(level, simd => backward_weight_at(simd, x, dz, n, output, dw));
}

#[inline(always)]
fn backward_weight_at<S: Simd>(simd: S, x: CompressedRows<'_>, dz: &[f32], n: usize, output: Output, dw: &mut [f32]) {
    let mut room = CacheLines([[0.0; WORD]; GROUP]);
    for_each_stripe::<S>(
        n,
        #[inline(always)]
        |stripe| {
            let groups = dz.chunks(GROUP * n).enumerate();
            let of_group = |group: usize| match output {
                Output::Overwrite if group > 0 => Output::Accumulate,
                output => output,
            };
            if n == STRIPE && stripe.outputs.len() == n {
                for (group, dz) in groups {
                    let tiles = x.tiles(group, &mut room.0);
                    put_group(simd, tiles, dz.as_chunks().0, &stripe, of_group(group), dw);
                }
                return;
            }
            // The stripe's columns, side by side.
            let mut of_stripe = CacheLines([[0.0; STRIPE]; GROUP]);
            for (group, dz) in groups {
                copy_columns(simd, &stripe, dz, n, &mut of_stripe.0);
                let tiles = x.tiles(group, &mut room.0);
                put_group(simd, tiles, &of_stripe.0, &stripe, of_group(group), dw);
            }
        },
    );
}

/// The gradients with respect to a stripe's weights over one group of samples, and what becomes of them.
#[inline(always)]
fn put_group<S: Simd>(
    simd: S,
    mut tiles: GroupTiles<'_, '_>,
    dz: &[[f32; STRIPE]],
    stripe: &Stripe,
    output: Output,
    dw: &mut [f32],
) {
    let CompressedRows { width: k, .. } = tiles.rows;
    let strides = [0, 1].map(
        #[inline(always)]
        |panel| if panel < stripe.panels { stripe.stride(panel) } else { 0 },
    );
    let (first, second) = dw[stripe.start(k, 0, 0)..].split_at_mut(k * strides[0]);
    for (tile, having) in tiles.rows.samples_having(tiles.group).chunks_exact(WORD).enumerate() {
        let features = tile * WORD..k.min((tile + 1) * WORD);
        let [first, second] = [(&mut *first, strides[0]), (&mut *second, strides[1])].map(
            #[inline(always)]
            |(panel, stride)| &mut panel[features.start * stride..features.end * stride],
        );
        let columns = Columns { numbers: tiles.tile(simd, tile), having, features: features.len(), dz, output };
        match (stripe.panels, stripe.last) {
            (2, 1) => columns.put_sums::<S, 4, 2, 1>(simd, 0, [first, second], strides),
            (2, 2) => columns.put_sums::<S, 4, 2, 2>(simd, 0, [first, second], strides),
            (2, 3) => columns.put_sums::<S, 4, 2, 3>(simd, 0, [first, second], strides),
            (2, _) => columns.put_sums::<S, 4, 2, 4>(simd, 0, [first, second], strides),
            (_, last) => {
                // More at once would leave no register for what is multiplied.
                for vector in (0..last).step_by(4) {
                    let (offset, panel) = (vector * width::<S>(), [&mut *first]);
                    match last - vector {
                        1 => columns.put_sums::<S, 1, 1, 1>(simd, offset, panel, [strides[0]]),
                        2 => columns.put_sums::<S, 2, 1, 2>(simd, offset, panel, [strides[0]]),
                        3 => columns.put_sums::<S, 3, 1, 3>(simd, offset, panel, [strides[0]]),
                        _ => columns.put_sums::<S, 4, 1, 4>(simd, offset, panel, [strides[0]]),
                    }
                }
            }
        }
    }
}

/// The features of a tile as columns.
struct Columns<'a> {
    /// Of each sample of the group; where it has none of a block of features, they may be anything.
    numbers: &'a [[f32; WORD]; GROUP],
    /// Of each feature, the samples that have it.
    having: &'a [u64],
    /// How many features there are.
    features: usize,
    /// The stripe's, of each sample.
    dz: &'a [[f32; STRIPE]],
    output: Output,
}

impl Columns<'_> {
    /// The gradients with respect to the weights of each feature, and what becomes of them, for so many vectors of outputs from
    /// number `offset` of the stripe on. `panels`: the weights of its features, `strides` numbers each.
    ///
    /// Of two neighbouring features at a time, which the same samples have as a rule: a row of `dz` is read once for both, and
    /// the product of a sample that lacks one of them is a zero (or, where `dz` is not finite, NaN, on every level alike).
    #[inline(always)]
    fn put_sums<S: Simd, const VECTORS: usize, const PANELS: usize, const LAST: usize>(
        &self,
        simd: S,
        offset: usize,
        panels: [&mut [f32]; PANELS],
        strides: [usize; PANELS],
    ) {
        let (width, output) = (width::<S>(), self.output);
        let (pairs, _) = self.having.as_chunks::<2>();
        for (pair, having) in pairs.iter().enumerate().take(self.features.div_ceil(2)) {
            let mut left = having[0] | having[1];
            if left == 0 && output != Output::Overwrite {
                continue;
            }
            let mut sums = [[[S::f32s::splat(simd, 0.0); VECTORS]; PANELS]; 2];
            while left != 0 {
                let sample = left.trailing_zeros() as usize;
                left &= left - 1;
                let (numbers, dz) =
                    (self.numbers[sample % GROUP].as_chunks::<2>().0[pair % (WORD / 2)], &self.dz[sample]);
                let numbers = [S::f32s::splat(simd, numbers[0]), S::f32s::splat(simd, numbers[1])];
                // Loops of constant lengths: lanes stay in registers only where these are unrolled.
                for panel in 0..PANELS {
                    for vector in 0..VECTORS {
                        if vector >= vectors(panel, VECTORS, PANELS, LAST) {
                            continue;
                        }
                        let dz = &dz[offset + (panel * VECTORS + vector) * width..][..width];
                        let dz = S::f32s::from_slice(simd, dz);
                        for column in 0..2 {
                            let sum = &mut sums[column][panel][vector];
                            *sum = numbers[column].mul_add_precise(dz, *sum);
                        }
                    }
                }
            }
            for (column, sums) in sums.into_iter().enumerate() {
                let feature = 2 * pair + column;
                if feature < self.features && (having[column] != 0 || output == Output::Overwrite) {
                    for (panel, sums) in sums.into_iter().enumerate() {
                        let count = vectors(panel, VECTORS, PANELS, LAST);
                        let row = &mut panels[panel][feature * strides[panel] + offset..][..count * width];
                        for (sum, row) in sums.into_iter().zip(row.chunks_exact_mut(width)) {
                            put(simd, sum, output, row);
                        }
                    }
                }
            }
        }
    }
}

/// What becomes of complete sums.
#[inline(always)]
fn put<S: Simd>(simd: S, sum: S::f32s, output: Output, place: &mut [f32]) {
    let result = match output {
        Output::Overwrite => sum,
        Output::Accumulate => S::f32s::from_slice(simd, place) + sum,
        Output::Descend { lr } => sum.mul_add_precise(S::f32s::splat(simd, -lr), S::f32s::from_slice(simd, place)),
    };
    result.store_slice(place);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::compressed::Compressed;
    use crate::kernels::testing::{assert_close, levels, random};
    use crate::kernels::{FewRows, Rows, panels, pointwise, reference};

    const M: [usize; 6] = [1, 3, 32, 64, 65, 130];
    const K: [usize; 6] = [1, 8, 17, 100, 520, 784];
    /// A part of a panel, one, a pair and more, and every number of vectors at the end.
    const N: [usize; 9] = [1, 16, 17, 36, 64, 100, 127, 128, 300];

    /// A batch of which about four numbers in five are zero, hardly any, or none.
    struct Case {
        m: usize,
        k: usize,
        n: usize,
        x: Vec<f32>,
        /// `[n, k]`, and likewise `dw`.
        w: Vec<f32>,
        dz: Vec<f32>,
        dw: Vec<f32>,
    }

    impl Case {
        fn new(m: usize, k: usize, n: usize, zeros: f32) -> Self {
            let mut x = random(m * k, 1);
            x.iter_mut().filter(|x| x.abs() < zeros).for_each(|x| *x = 0.0);
            // All of a sample, and of a feature; none of others.
            x[..k].iter_mut().enumerate().for_each(|(i, x)| *x = 1.0 + i as f32);
            x.iter_mut().step_by(k).enumerate().for_each(|(i, x)| *x = 2.0 + i as f32);
            x.iter_mut().skip(k - 1).step_by(k).for_each(|x| *x = 0.0);
            let (w, dz, dw) = (random(k * n, 2), random(m * n, 3), random(k * n, 4));
            Case { m, k, n, x, w, dz, dw }
        }

        fn all() -> impl Iterator<Item = Self> {
            let sizes = M.into_iter().flat_map(|m| K.into_iter().flat_map(move |k| N.map(|n| (m, k, n))));
            sizes.flat_map(|(m, k, n)| [0.8, 0.05, 0.0].map(|zeros| Case::new(m, k, n, zeros)))
        }

        fn rows<'a>(&self, compressed: &'a Compressed) -> CompressedRows<'a> {
            compressed.rows(Rows::Dense(&[]))
        }

        fn compressed(&self, level: SimdLevel) -> Compressed {
            let mut compressed = Compressed::default();
            compressed.fill_with_columns(level, Rows::Dense(&self.x), self.k);
            compressed.transpose(level);
            compressed
        }

        fn panels(&self, rows: &[f32]) -> Vec<f32> {
            let mut panels = vec![f32::NAN; panels::len(self.n, self.k)];
            panels::from_rows(rows, self.k, &mut panels);
            panels
        }

        /// `z`, one fused multiply-add after the other, with nothing left out.
        fn plain_forward(&self, columns: Range<usize>) -> Vec<f32> {
            let Case { n, k, ref x, ref w, .. } = *self;
            let sum = |x: &[f32], w: &[f32]| columns.clone().fold(0.0, |sum, i| x[i].mul_add(w[i], sum));
            x.chunks(k).flat_map(|x| (0..n).map(move |o| (x, o))).map(|(x, o)| sum(x, &w[o * k..][..k])).collect()
        }

        /// `dz^T x` of the samples from `first` on, at most 64 of them, likewise.
        fn plain_gradient(&self, first: usize) -> Vec<f32> {
            let Case { k, n, ref x, ref dz, .. } = *self;
            let mut dw = vec![0.0; k * n];
            let samples = x.chunks(k).zip(dz.chunks(n)).skip(first).take(MAX_DESCEND_SAMPLES);
            for (x, dz) in samples {
                for (dz, dw) in dz.iter().zip(dw.chunks_mut(k)) {
                    for (dw, x) in dw.iter_mut().zip(x) {
                        *dw = x.mul_add(*dz, *dw);
                    }
                }
            }
            dw
        }
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        // A sum of nothing but products with zeros is a zero of either sign.
        values.iter().map(|value| (value + 0.0).to_bits()).collect()
    }

    #[test]
    fn sums_have_the_bits_of_products_that_leave_nothing_out() {
        for case in Case::all() {
            let (middle, w) = (case.k / 2, case.panels(&case.w));
            for columns in [0..case.k, 0..middle, middle..case.k] {
                let expected = bits(&case.plain_forward(columns.clone()));
                for level in levels() {
                    let mut z = vec![f32::NAN; case.m * case.n];
                    forward(level, case.rows(&case.compressed(level)), &w, case.n, columns.clone(), &mut z);
                    let Case { m, k, n, .. } = case;
                    assert!(bits(&z) == expected, "[{m}, {k}] x [{k}, {n}], {columns:?} on {}", level.name());
                }
            }
        }
    }

    #[test]
    fn gradients_have_the_bits_of_sums_over_groups_of_64_samples_in_order() {
        for case in Case::all() {
            let Case { m, k, n, ref dz, .. } = case;
            let mut groups = (0..m).step_by(MAX_DESCEND_SAMPLES).map(|first| case.plain_gradient(first));
            let mut sum = groups.next().unwrap();
            let mut added: Vec<f32> = case.dw.iter().zip(&sum).map(|(dw, sum)| dw + sum).collect();
            for group in groups {
                sum.iter_mut().zip(&group).for_each(|(sum, group)| *sum += group);
                added.iter_mut().zip(&group).for_each(|(sum, group)| *sum += group);
            }
            let (sum, added, before) = (case.panels(&sum), case.panels(&added), case.panels(&case.dw));
            for level in levels() {
                let on = |what: &str| format!("{what}: [{m}, {k}]^T x [{m}, {n}] on {}", level.name());
                let x = case.compressed(level);
                let mut found = vec![f32::NAN; panels::len(n, k)];
                backward_weight(level, case.rows(&x), dz, n, Output::Overwrite, &mut found);
                assert!(bits(&found) == bits(&sum), "{}", on("replaced"));
                let mut found = before.clone();
                backward_weight(level, case.rows(&x), dz, n, Output::Accumulate, &mut found);
                assert!(bits(&found) == bits(&added), "{}", on("added"));
                if m <= MAX_DESCEND_SAMPLES {
                    let mut stepped = before.clone();
                    pointwise::sgd_step(level, 0.3, &sum, &mut stepped);
                    let mut found = before.clone();
                    backward_weight(level, case.rows(&x), dz, n, Output::Descend { lr: 0.3 }, &mut found);
                    assert!(bits(&found) == bits(&stepped), "{}", on("stepped"));
                }
            }
        }
    }

    /// Rows of which few numbers are left have the bits of the same rows in the other encoding.
    #[test]
    fn few_numbers_have_the_bits_of_the_same_rows() {
        for case in M.into_iter().flat_map(|m| N.map(|n| Case::new(m, 520, n, 0.95))) {
            let Case { m, k, n, ref x, ref dz, .. } = case;
            let (mut columns, mut values, mut starts) = (vec![], vec![], vec![0]);
            for row in x.chunks(k) {
                for (column, value) in row.iter().enumerate().filter(|(_, value)| **value != 0.0) {
                    columns.push(column as u32);
                    values.push(*value);
                }
                starts.push(values.len());
            }
            let rows = FewRows { width: k, columns: &columns, values: &values, starts: &starts };
            // Over what a larger batch left.
            let mut by_features = few::FewColumns::default();
            by_features.fill(FewRows { width: 3, columns: &[1; 9], values: &[f32::NAN; 9], starts: &[0, 1, 2, 9] });
            by_features.fill(rows);
            let (w, before) = (case.panels(&case.w), case.panels(&case.dw));
            for level in levels() {
                let compressed = case.compressed(level);
                let same = case.rows(&compressed);
                for columns in [0..k, 0..k / 2, 16..k] {
                    let (mut found, mut wanted) = (vec![f32::NAN; m * n], vec![f32::NAN; m * n]);
                    few::forward(level, rows, &w, n, &[columns.start, columns.end], &mut found);
                    forward(level, same, &w, n, columns.clone(), &mut wanted);
                    assert!(bits(&found) == bits(&wanted), "[{m}, {k}] x [{k}, {n}], {columns:?} on {}", level.name());
                }
                // Parts, of which one is empty and some have no number.
                let bounds = [0, 8, 16, 64, 64, 300, 512, k];
                let (mut found, mut wanted, mut part) = (vec![f32::NAN; m * n], vec![0.0; m * n], vec![0.0; m * n]);
                few::forward(level, rows, &w, n, &bounds, &mut found);
                for bounds in bounds.windows(2) {
                    forward(level, same, &w, n, bounds[0]..bounds[1], &mut part);
                    pointwise::add(level, &part, &mut wanted);
                }
                assert!(bits(&found) == bits(&wanted), "parts of [{m}, {k}] x [{k}, {n}] on {}", level.name());
                for output in [Output::Overwrite, Output::Accumulate, Output::Descend { lr: 0.3 }] {
                    if m <= MAX_DESCEND_SAMPLES || !matches!(output, Output::Descend { .. }) {
                        let (mut found, mut wanted) = (before.clone(), before.clone());
                        few::backward_weight(level, &by_features, dz, n, output, &mut found);
                        backward_weight(level, same, dz, n, output, &mut wanted);
                        assert!(bits(&found) == bits(&wanted), "{output:?}, {m}, {n} on {}", level.name());
                    }
                }
            }
        }
    }

    #[test]
    fn products_are_the_oracles() {
        let wide = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>();
        let mut case = Case::new(33, 784, 100, 0.8);
        case.x.iter_mut().for_each(|x| *x = x.clamp(-1.0, 1.0));
        let Case { m, k, n, .. } = case;
        let (mut z, mut dw, mut db) = (vec![0.0; m * n], vec![0.0; n * k], vec![0.0; n]);
        reference::linear_forward(&wide(&case.x), &wide(&case.w), &vec![0.0; n], &mut z);
        reference::linear_backward_parameters(&wide(&case.x), &wide(&case.dz), &mut dw, &mut db);
        // So many products below 1, each rounded once at the size of the sum so far: of one sample all 784, of others a fifth.
        let bound = |terms: f64| terms * terms * f64::from(f32::EPSILON) / 2.0;
        let bounds = (0..m * n).map(|i| bound(if i < n { 400.0 } else { 60.0 })).collect::<Vec<_>>();
        let (mut found, mut gradient, mut rows) = (vec![0.0; m * n], vec![0.0; panels::len(n, k)], vec![0.0; n * k]);
        let level = SimdLevel::detect();
        let x = case.compressed(level);
        forward(level, case.rows(&x), &case.panels(&case.w), n, 0..k, &mut found);
        assert_close("z", &found, &z, &bounds);
        backward_weight(level, case.rows(&x), &case.dz, n, Output::Overwrite, &mut gradient);
        panels::to_rows(&gradient, k, &mut rows);
        assert_close("dw", &rows, &dw, &vec![bound(20.0); n * k]);
    }
}
