//! Linear layers of many outputs, at the price of the numbers of a row that are not zero, on lanes of outputs.
//!
//! Of MNIST's pixels 81 % are zero, and of what a ReLU gives about half. A product that visits the others alone has that much
//! less work: for each number of a row that is not zero, the weights of its feature, which stand side by side, are added to
//! the sums of all outputs. Sums run over features (or samples) in their order, and every product enters its sum by one fused
//! multiply-add, so the bits are the same on every SIMD level, and those of a product that leaves nothing out.
//!
//! The weight stands in panels of 64 outputs (`kernels/panels.rs`): 64 features of one are 16 KB without a gap, which stay in L1
//! while many samples go by. In rows of hundreds of outputs, those of neighbouring features would push each other out.
//!
//! Legend: `m` batch size, `k` in_features, `n` out_features; `x: [m, k]`, compressed; `z`, `dz: [m, n]`, row-major;
//! `w`, `dw`: `[n / 64, k, 64]`, panels.

mod dense;
pub mod few;

use std::ops::Range;

use fearless_simd::{Simd, prelude::*};

use crate::kernels::compressed::{CompressedRows, GROUP, WORD};
use crate::kernels::math::{load, store, width};
use crate::kernels::panels::PANEL;
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
    debug_assert!(w.len() == x.width * n && z.len() == x.len() * n && columns.end <= x.width);
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
                    z[stripe.outputs.clone()].copy_from_slice(&sums[..stripe.outputs.len()]);
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
    let (mut numbers, mut padded) = (CacheLines([[0.0; WORD]; SAMPLES]), CacheLines([[0.0; PANEL]; WORD]));
    for start in columns.clone().step_by(WORD) {
        let features = start..columns.end.min(start + WORD);
        let tile = Tile { x, features: features.clone(), first };
        let last = stripe.last_rows(w, x.width, features.clone(), &mut padded.0);
        if is_dense {
            tile.expand(&mut next, &mut numbers.0[..sums.len()]);
            if stripe.panels == 2 {
                let rows = stripe.rows(w, x.width, 0, features);
                dense::add_products(simd, &numbers.0, rows, stripe.vectors, 0, sums);
            }
            dense::add_products(simd, &numbers.0, last, stripe.last, (stripe.panels - 1) * PANEL, sums);
            continue;
        }
        if stripe.panels == 2 {
            let panels = [stripe.rows(w, x.width, 0, features), last];
            match stripe.last {
                1 => tile.add_products::<S, 4, 2, 1, 1>(simd, &mut next, panels, sums),
                2 => tile.add_products::<S, 4, 2, 2, 1>(simd, &mut next, panels, sums),
                3 => tile.add_products::<S, 4, 2, 3, 1>(simd, &mut next, panels, sums),
                _ => tile.add_products::<S, 4, 2, 4, 1>(simd, &mut next, panels, sums),
            }
            continue;
        }
        match stripe.last {
            1 => tile.add_products::<S, 1, 1, 1, 2>(simd, &mut next, [last], sums),
            2 => tile.add_products::<S, 2, 1, 2, 2>(simd, &mut next, [last], sums),
            3 => tile.add_products::<S, 3, 1, 3, 2>(simd, &mut next, [last], sums),
            4 => tile.add_products::<S, 4, 1, 4, 2>(simd, &mut next, [last], sums),
            ..=8 => tile.add_products::<S, 8, 1, 8, 1>(simd, &mut next, [last], sums),
            _ => tile.add_products::<S, 16, 1, 16, 1>(simd, &mut next, [last], sums),
        }
    }
}

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

    /// `sums += numbers w[features, :]`, of `ROWS` samples at a time: as many sums at once as hide the latency of a
    /// multiply-add. `panels`: the weights of its features.
    #[inline(always)]
    fn add_products<S: Simd, const VECTORS: usize, const PANELS: usize, const LAST: usize, const ROWS: usize>(
        &self,
        simd: S,
        next: &mut [usize; SAMPLES],
        panels: [&[[f32; PANEL]]; PANELS],
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
    panels: [&[[f32; PANEL]]; PANELS],
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
    panels: [&[[f32; PANEL]]; PANELS],
    lanes: &mut [[S::f32s; VECTORS]; PANELS],
) {
    let feature = bits.trailing_zeros() as usize;
    *bits &= *bits - 1;
    let number = S::f32s::splat(simd, number);
    for (panel, (rows, lanes)) in panels.iter().zip(lanes).enumerate() {
        let row = &rows[feature][..VECTORS * width::<S>()];
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
    /// Vectors of a whole panel, of the level's own width.
    vectors: usize,
    /// Vectors of the last panel, as many as its outputs need.
    last: usize,
}

impl Stripe {
    /// Outputs of panel number `panel`: from a feature's weights to the next feature's.
    #[inline(always)]
    fn stride(&self, panel: usize) -> usize {
        (self.outputs.len() - panel * PANEL).min(PANEL)
    }

    /// Where the weights of `feature` begin in panel number `panel`.
    #[inline(always)]
    fn start(&self, k: usize, panel: usize, feature: usize) -> usize {
        (self.outputs.start + panel * PANEL) * k + feature * self.stride(panel)
    }

    /// The rows of `features` in panel number `panel`, which is a whole one.
    #[inline(always)]
    fn rows<'w>(&self, w: &'w [f32], k: usize, panel: usize, features: Range<usize>) -> &'w [[f32; PANEL]] {
        w[self.start(k, panel, features.start)..][..features.len() * PANEL].as_chunks().0
    }

    /// The same of the last panel. One of fewer outputs is copied to where there are as many numbers as vectors have lanes:
    /// 16 KB at most, which all of the tile's samples then share.
    #[inline(always)]
    fn last_rows<'p>(
        &self,
        w: &'p [f32],
        k: usize,
        features: Range<usize>,
        padded: &'p mut [[f32; PANEL]; WORD],
    ) -> &'p [[f32; PANEL]] {
        let (panel, count) = (self.panels - 1, features.len());
        let stride = self.stride(panel);
        if stride == PANEL {
            return self.rows(w, k, panel, features);
        }
        let rows = w[self.start(k, panel, features.start)..].chunks_exact(stride);
        for (padded, row) in padded.iter_mut().zip(rows).take(count) {
            padded[..stride].copy_from_slice(row);
        }
        &padded[..count]
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
        let last = (outputs.len() - (panels - 1) * PANEL).div_ceil(width::<S>());
        visit(Stripe { outputs, panels, vectors, last });
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
    debug_assert!(dw.len() == x.width * n && dz.len() == x.len() * n);
    debug_assert!(!matches!(output, Output::Descend { .. }) || x.len() <= MAX_DESCEND_SAMPLES);
    dispatch!(level, simd => backward_weight_at(simd, x, dz, n, output, dw));
}

#[inline(always)]
fn backward_weight_at<S: Simd>(simd: S, x: CompressedRows<'_>, dz: &[f32], n: usize, output: Output, dw: &mut [f32]) {
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
                    put_group(simd, x, group, dz.as_chunks().0, &stripe, of_group(group), dw);
                }
                return;
            }
            // The stripe's columns, side by side.
            let mut of_stripe = CacheLines([[0.0; STRIPE]; GROUP]);
            for (group, dz) in groups {
                for (to, dz) in of_stripe.0.iter_mut().zip(dz.chunks_exact(n)) {
                    to[..stripe.outputs.len()].copy_from_slice(&dz[stripe.outputs.clone()]);
                }
                put_group(simd, x, group, &of_stripe.0, &stripe, of_group(group), dw);
            }
        },
    );
}

/// The gradients with respect to a stripe's weights over one group of samples, and what becomes of them.
#[inline(always)]
fn put_group<S: Simd>(
    simd: S,
    x: CompressedRows<'_>,
    group: usize,
    dz: &[[f32; STRIPE]],
    stripe: &Stripe,
    output: Output,
    dw: &mut [f32],
) {
    if stripe.stride(stripe.panels - 1) == PANEL {
        return put_whole_panels(simd, x, group, dz, stripe, output, dw);
    }
    let strides = [stripe.stride(0), if stripe.panels == 2 { stripe.stride(1) } else { 0 }];
    let (first, rest) = dw[stripe.start(x.width, 0, 0)..].split_at_mut(x.width * strides[0]);
    let mut panels = [first, &mut rest[..x.width * strides[1]]];
    let mut sums = CacheLines([[0.0; STRIPE]; COLUMNS]);
    for (tile, having) in x.samples_having(group).chunks_exact(WORD).enumerate() {
        for (part, having) in having.as_chunks::<COLUMNS>().0.iter().enumerate() {
            let feature = tile * WORD + part * COLUMNS;
            let count = x.width.saturating_sub(feature).min(COLUMNS);
            let any = having.iter().fold(0, |any, samples| any | samples);
            if count == 0 || (any == 0 && output != Output::Overwrite) {
                continue;
            }
            let columns = Columns { numbers: x.tile(group, tile), first: part * COLUMNS, having, dz };
            match (stripe.panels, stripe.last) {
                (2, 1) => columns.add_up::<S, 4, 2, 1>(simd, 0, &mut sums.0),
                (2, 2) => columns.add_up::<S, 4, 2, 2>(simd, 0, &mut sums.0),
                (2, 3) => columns.add_up::<S, 4, 2, 3>(simd, 0, &mut sums.0),
                // Fewer outputs than a panel's may still take all of its vectors.
                (2, _) => columns.add_up::<S, 4, 2, 4>(simd, 0, &mut sums.0),
                (_, 4..) => {
                    // More would leave no register for what is multiplied.
                    for offset in (0..stripe.outputs.len()).step_by(4 * width::<S>()) {
                        columns.add_up::<S, 4, 1, 4>(simd, offset, &mut sums.0);
                    }
                }
                (_, 3) => columns.add_up::<S, 3, 1, 3>(simd, 0, &mut sums.0),
                (_, 2) => columns.add_up::<S, 2, 1, 2>(simd, 0, &mut sums.0),
                _ => columns.add_up::<S, 1, 1, 1>(simd, 0, &mut sums.0),
            }
            for (panel, (dw, stride)) in panels.iter_mut().zip(strides).enumerate().take(stripe.panels) {
                let dw = &mut dw[feature * stride..][..count * stride];
                put_rows(simd, having, &sums.0, panel * PANEL, output, dw, stride);
            }
        }
    }
}

/// The same of whole panels, whose sums go from registers to where they belong.
#[inline(always)]
fn put_whole_panels<S: Simd>(
    simd: S,
    x: CompressedRows<'_>,
    group: usize,
    dz: &[[f32; STRIPE]],
    stripe: &Stripe,
    output: Output,
    dw: &mut [f32],
) {
    let (first, rest) = dw[stripe.start(x.width, 0, 0)..].split_at_mut(x.width * PANEL);
    let second = if stripe.panels == 2 { &mut rest[..x.width * PANEL] } else { &mut [][..] };
    let mut seconds = second.chunks_mut(WORD * PANEL);
    let tiles = first.chunks_mut(WORD * PANEL).zip(x.samples_having(group).chunks_exact(WORD));
    for (tile, (first, having)) in tiles.enumerate() {
        let second = seconds.next().unwrap_or_default();
        let tile = Tiles { numbers: x.tile(group, tile), having, dz, output };
        if stripe.panels == 2 {
            tile.put_sums::<S, 4, 2>(simd, 0, [first, second]);
            continue;
        }
        // More would leave no register for what is multiplied.
        for offset in (0..PANEL).step_by(4 * width::<S>()) {
            tile.put_sums::<S, 4, 1>(simd, offset, [first]);
        }
    }
}

/// The features of a tile as columns.
struct Tiles<'a> {
    /// Of each sample of the group; where it has none of a block of features, they may be anything.
    numbers: &'a [[f32; WORD]; GROUP],
    /// Of each feature, the samples that have it.
    having: &'a [u64],
    /// The stripe's, of each sample.
    dz: &'a [[f32; STRIPE]],
    output: Output,
}

impl Tiles<'_> {
    /// As [`Columns::add_up`], and what becomes of the sums. `panels`: the weights of its features in each panel.
    #[inline(always)]
    fn put_sums<S: Simd, const VECTORS: usize, const PANELS: usize>(
        &self,
        simd: S,
        offset: usize,
        mut panels: [&mut [f32]; PANELS],
    ) {
        let (width, output) = (width::<S>(), self.output);
        let features = panels[0].len() / PANEL;
        let (pairs, _) = self.having.as_chunks::<2>();
        for (pair, having) in pairs.iter().enumerate().take(features.div_ceil(2)) {
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
                for panel in 0..PANELS {
                    for vector in 0..VECTORS {
                        let dz = &dz[offset + (panel * VECTORS + vector) * width..][..width];
                        let dz = S::f32s::from_slice(simd, dz);
                        for column in 0..2 {
                            let sum = &mut sums[column][panel][vector];
                            *sum = numbers[column].mul_add_precise(dz, *sum);
                        }
                    }
                }
            }
            for column in 0..2 {
                let feature = 2 * pair + column;
                if feature >= features || (having[column] == 0 && output != Output::Overwrite) {
                    continue;
                }
                for (panel, sums) in panels.iter_mut().zip(sums[column]) {
                    let row = &mut panel[feature * PANEL + offset..][..VECTORS * width];
                    for (sum, row) in sums.into_iter().zip(row.chunks_exact_mut(width)) {
                        put(simd, sum, output, row);
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

/// Features whose sums are complete before they are put where they belong.
const COLUMNS: usize = 16;

/// Some features of a tile as columns.
struct Columns<'a> {
    /// Of each sample of the group; where it has none of a block of features, they may be anything.
    numbers: &'a [[f32; WORD]; GROUP],
    /// The first of the features in `numbers`.
    first: usize,
    /// Of each feature, the samples that have it.
    having: &'a [u64; COLUMNS],
    /// The stripe's, of each sample.
    dz: &'a [[f32; STRIPE]],
}

impl Columns<'_> {
    /// The gradients with respect to the weights of each feature, for so many outputs of the stripe from number `offset` on:
    /// `sums: [features, STRIPE]`, overwritten there.
    ///
    /// Of two neighbouring features at a time, which the same samples have as a rule: a row of `dz` is read once for both, and
    /// the product of a sample that lacks one of them is a zero (or, where `dz` is not finite, NaN, on every level alike).
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "loops of constant lengths, which are unrolled")]
    fn add_up<S: Simd, const VECTORS: usize, const PANELS: usize, const LAST: usize>(
        &self,
        simd: S,
        offset: usize,
        sums: &mut [[f32; STRIPE]; COLUMNS],
    ) {
        let width = width::<S>();
        let (having, sums) = (self.having.as_chunks::<2>().0, sums.as_chunks_mut::<2>().0);
        for (pair, (having, sums)) in having.iter().zip(sums).enumerate() {
            let mut left = having[0] | having[1];
            let mut lanes = [[[S::f32s::splat(simd, 0.0); VECTORS]; PANELS]; 2];
            while left != 0 {
                let sample = left.trailing_zeros() as usize;
                left &= left - 1;
                let numbers = self.numbers[sample % GROUP].as_chunks::<2>().0;
                let numbers = numbers[(self.first / 2 + pair) % (WORD / 2)];
                let numbers = [S::f32s::splat(simd, numbers[0]), S::f32s::splat(simd, numbers[1])];
                let dz = &self.dz[sample];
                for panel in 0..PANELS {
                    // A loop of a constant length: lanes stay in registers only where it is unrolled.
                    for vector in 0..VECTORS {
                        if vector >= vectors(panel, VECTORS, PANELS, LAST) {
                            continue;
                        }
                        let dz = &dz[offset + (panel * VECTORS + vector) * width..][..width];
                        let dz = S::f32s::from_slice(simd, dz);
                        for column in 0..2 {
                            let lanes = &mut lanes[column][panel][vector];
                            *lanes = numbers[column].mul_add_precise(dz, *lanes);
                        }
                    }
                }
            }
            for column in 0..2 {
                for panel in 0..PANELS {
                    for vector in 0..VECTORS {
                        if vector < vectors(panel, VECTORS, PANELS, LAST) {
                            let place = offset + (panel * VECTORS + vector) * width;
                            lanes[column][panel][vector].store_slice(&mut sums[column][place..][..width]);
                        }
                    }
                }
            }
        }
    }
}

/// What becomes of complete sums: of each feature, those from `lane` on, as many as a row of `dw` has (`stride`). Features that no
/// sample has add nothing.
#[inline(always)]
fn put_rows<S: Simd>(
    simd: S,
    having: &[u64],
    sums: &[[f32; STRIPE]],
    lane: usize,
    output: Output,
    dw: &mut [f32],
    stride: usize,
) {
    let rows = dw.chunks_exact_mut(stride).zip(sums);
    match output {
        Output::Overwrite => rows.for_each(|(row, sums)| row.copy_from_slice(&sums[lane..][..row.len()])),
        Output::Accumulate => put_present(simd, rows.zip(having), lane, |sum, dw| dw + sum),
        Output::Descend { lr } => {
            let step = S::f32s::splat(simd, -lr);
            put_present(simd, rows.zip(having), lane, |sum, dw| sum.mul_add_precise(step, dw));
        }
    }
}

#[inline(always)]
fn put_present<'a, S: Simd>(
    simd: S,
    rows: impl Iterator<Item = ((&'a mut [f32], &'a [f32; STRIPE]), &'a u64)>,
    lane: usize,
    put: impl Fn(S::f32s, S::f32s) -> S::f32s,
) {
    for ((row, sums), _) in rows.filter(|(_, having)| **having != 0) {
        let mut sums = sums[lane..].chunks_exact(width::<S>());
        let mut places = row.chunks_exact_mut(width::<S>());
        for (place, sum) in (&mut places).zip(&mut sums) {
            put(S::f32s::from_slice(simd, sum), S::f32s::from_slice(simd, place)).store_slice(place);
        }
        let place = places.into_remainder();
        if let (false, Some(sum)) = (place.is_empty(), sums.next()) {
            store::<S>(put(S::f32s::from_slice(simd, sum), load(simd, place)), place);
        }
    }
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
            let mut panels = vec![f32::NAN; rows.len()];
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
                let mut found = vec![f32::NAN; k * n];
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
        let (mut found, mut gradient, mut rows) = (vec![0.0; m * n], vec![0.0; n * k], vec![0.0; n * k]);
        let level = SimdLevel::detect();
        let x = case.compressed(level);
        forward(level, case.rows(&x), &case.panels(&case.w), n, 0..k, &mut found);
        assert_close("z", &found, &z, &bounds);
        backward_weight(level, case.rows(&x), &case.dz, n, Output::Overwrite, &mut gradient);
        panels::to_rows(&gradient, k, &mut rows);
        assert_close("dw", &rows, &dw, &vec![bound(20.0); n * k]);
    }
}
