//! Linear layers of many outputs over rows whose zeros are left out, on lanes of outputs.
//!
//! Of MNIST's pixels 81 % are zero, and a product that visits the others alone has a fifth of the work: for each number of a
//! row that is not zero, the weights of its feature, which stand side by side, are added to the sums of all outputs. So the
//! weight is `[in, out]`: with `[out, in]` the weights of one feature would be a cache line apart. Sums run over features
//! (or samples) in their order, and every product enters its sum by one fused multiply-add, so the bits are the same on
//! every SIMD level, and those of a product that leaves nothing out.
//!
//! Legend: `m` batch size, `k` in_features, `n` out_features; `x: [m, k]`, block-sparse; `z`, `dz: [m, n]`, row-major;
//! `w`, `dw: [k, n]`, row-major, the transposed weight.

use std::ops::Range;

use fearless_simd::{Simd, f32x16, prelude::*};

use crate::kernels::sparse::{BLOCK, SparseRows, transpose_bits, words_per_row};
use crate::kernels::{LANES, Output, SimdLevel, dispatch};

/// Samples whose block masks are transposed at once, and the most that [`backward_weight`] descends with.
pub const MAX_DESCEND_SAMPLES: usize = 64;

/// Of a data set with a larger share of numbers that are not zero, GEMM is faster: at 784-128-10 on AVX-512 from 0.46 on with
/// one thread, from 0.35 on with two (see benches/NOTES.md). MNIST has 0.19, Fashion-MNIST 0.5.
pub const MOST_NOT_ZERO: f64 = 1.0 / 3.0;

/// Features of which the weights stay in L1 while all samples go by: 16 KB of a panel.
const TILE: usize = 64;
/// Vectors of sums that stand in registers, on AVX2 two registers each.
const VECTORS: usize = 4;
/// Outputs of a panel.
const PANEL: usize = VECTORS * LANES;

/// `z = x[:, columns] w[columns, :]`: what some of a layer's features add to its sums.
///
/// `columns` starts at a multiple of 8 and ends at one or at `k`; `z: [m, n]`, overwritten.
pub fn forward(level: SimdLevel, x: SparseRows<'_, f32>, w: &[f32], n: usize, columns: Range<usize>, z: &mut [f32]) {
    debug_assert!(columns.start.is_multiple_of(BLOCK) && w.len() == x.width * n && z.len().is_multiple_of(n));
    dispatch!(level, simd => forward_at(simd, x, w, n, columns, z));
}

#[inline(always)]
fn forward_at<S: Simd>(simd: S, x: SparseRows<'_, f32>, w: &[f32], n: usize, columns: Range<usize>, z: &mut [f32]) {
    z.fill(0.0);
    let mut kept = Kept::new();
    for tile in columns.clone().step_by(TILE) {
        let blocks = tile / BLOCK..(tile + TILE).min(columns.end).div_ceil(BLOCK);
        for (sample, z) in z.chunks_exact_mut(n).enumerate() {
            kept.len = 0;
            x.for_each_block(
                sample,
                blocks.clone(),
                #[inline(always)]
                |block, numbers| kept.add(block * BLOCK - tile, numbers),
            );
            let w = &w[tile * n..];
            for first in (0..n).step_by(PANEL) {
                let z = &mut z[first..n.min(first + PANEL)];
                // A panel in registers, or what is left of one, vector by vector.
                match z.first_chunk_mut::<PANEL>() {
                    Some(z) => kept.add_products(simd, w, n, first, z),
                    None => {
                        for (vector, z) in z.chunks_mut(LANES).enumerate() {
                            kept.add_some_products(simd, w, n, first + vector * LANES, z);
                        }
                    }
                }
            }
        }
    }
}

/// The numbers of a row's tile that are not zero, and their features, counted from the first of the tile.
struct Kept {
    features: [u32; Kept::ROOM],
    numbers: [f32; Kept::ROOM],
    len: usize,
}

impl Kept {
    /// More than a tile, and a power of two: so an index needs no check.
    const ROOM: usize = 2 * TILE;

    #[inline(always)]
    fn new() -> Self {
        Kept { features: [0; Self::ROOM], numbers: [0.0; Self::ROOM], len: 0 }
    }

    /// Adds a block without its zeros. Each is written, and stays if the next one is written behind it: which are zero
    /// cannot be guessed, and a branch that is guessed wrong costs more than writing.
    #[inline(always)]
    fn add(&mut self, feature: usize, block: &[f32; BLOCK]) {
        for (lane, number) in block.iter().enumerate() {
            let place = self.len % Self::ROOM;
            self.features[place] = (feature + lane) as u32;
            self.numbers[place] = *number;
            self.len += usize::from(*number != 0.0);
        }
    }

    /// `z += numbers w[features, first..]`, a whole panel.
    #[inline(always)]
    fn add_products<S: Simd>(&self, simd: S, w: &[f32], n: usize, first: usize, z: &mut [f32; PANEL]) {
        let mut sums: [f32x16<S>; VECTORS] = std::array::from_fn(
            #[inline(always)]
            |vector| f32x16::from_slice(simd, &z[vector * LANES..][..LANES]),
        );
        for (feature, number) in self.features[..self.len].iter().zip(&self.numbers) {
            let (row, number) = (&w[*feature as usize * n + first..][..PANEL], f32x16::splat(simd, *number));
            for (vector, sum) in sums.iter_mut().enumerate() {
                *sum = number.mul_add_precise(f32x16::from_slice(simd, &row[vector * LANES..][..LANES]), *sum);
            }
        }
        for (sum, z) in sums.iter().zip(z.chunks_exact_mut(LANES)) {
            sum.store_slice(z);
        }
    }

    /// The same of one vector, or of fewer outputs than it has lanes.
    #[inline(always)]
    fn add_some_products<S: Simd>(&self, simd: S, w: &[f32], n: usize, first: usize, z: &mut [f32]) {
        let mut sum = load(simd, z);
        for (feature, number) in self.features[..self.len].iter().zip(&self.numbers) {
            let row = &w[*feature as usize * n + first..][..z.len()];
            sum = f32x16::splat(simd, *number).mul_add_precise(load(simd, row), sum);
        }
        store(sum, z);
    }
}

/// `dw = x^T dz`, `dw += x^T dz` or, with [`Output::Descend`], a step of gradient descent on `dw`, which is the weight then:
/// of each feature the samples that have it, in order; their products' sums stand in registers until they are complete.
///
/// `dz: [m, n]`, read; `dw: [k, n]`. To descend, `m` is at most [`MAX_DESCEND_SAMPLES`]: of more, a sum is put together from
/// several pieces, and has to be complete before it meets the weight.
pub fn backward_weight(level: SimdLevel, x: SparseRows<'_, f32>, dz: &[f32], n: usize, output: Output, dw: &mut [f32]) {
    debug_assert!(dw.len() == x.width * n && dz.len().is_multiple_of(n));
    debug_assert!(!matches!(output, Output::Descend { .. }) || dz.len() <= MAX_DESCEND_SAMPLES * n);
    dispatch!(level, simd => backward_weight_at(simd, x, dz, n, output, dw));
}

#[inline(always)]
fn backward_weight_at<S: Simd>(
    simd: S,
    x: SparseRows<'_, f32>,
    dz: &[f32],
    n: usize,
    mut output: Output,
    dw: &mut [f32],
) {
    const GROUP: usize = MAX_DESCEND_SAMPLES;
    let words = words_per_row(x.width);
    // Of each of a block's features: the samples of the group in which it is not zero, and its numbers there.
    let mut having = [Having::<GROUP>::new(); BLOCK];
    for (group, dz) in dz.chunks(GROUP * n).enumerate() {
        let (first, samples) = (group * GROUP, dz.len() / n);
        // Where each sample's next block lies: blocks are visited in their order.
        let mut next = [0; GROUP];
        next[..samples].copy_from_slice(&x.starts[first..][..samples]);
        for word in 0..words {
            // Bit s of word b: whether sample s has block b.
            let mut samples_of = [0; GROUP];
            for (sample, bits) in samples_of.iter_mut().enumerate().take(samples) {
                *bits = x.mask[(first + sample) * words + word];
            }
            transpose_bits(&mut samples_of);
            let start = word * 64 * BLOCK;
            let rows = &mut dw[start * n..((start + 64 * BLOCK) * n).min(x.width * n)];
            for (rows, mut samples) in rows.chunks_mut(BLOCK * n).zip(samples_of) {
                if samples == 0 && output != Output::Overwrite {
                    continue;
                }
                having.iter_mut().for_each(|having| having.len = 0);
                while samples != 0 {
                    let sample = samples.trailing_zeros() as usize;
                    samples &= samples - 1;
                    let numbers = &x.blocks[next[sample]];
                    next[sample] += 1;
                    for (having, number) in having.iter_mut().zip(numbers) {
                        having.add(sample, *number);
                    }
                }
                for (row, having) in rows.chunks_exact_mut(n).zip(&having) {
                    if having.len > 0 || output == Output::Overwrite {
                        having.put_sums(simd, dz, n, output, row);
                    }
                }
            }
        }
        output = Output::Accumulate;
    }
}

/// The samples in which a feature is not zero.
#[derive(Clone, Copy)]
struct Having<const GROUP: usize> {
    samples: [u32; GROUP],
    numbers: [f32; GROUP],
    len: usize,
}

impl<const GROUP: usize> Having<GROUP> {
    #[inline(always)]
    fn new() -> Self {
        Having { samples: [0; GROUP], numbers: [0.0; GROUP], len: 0 }
    }

    /// Written in any case, as in [`Kept::add`].
    #[inline(always)]
    fn add(&mut self, sample: usize, number: f32) {
        let place = self.len % GROUP;
        self.samples[place] = sample as u32;
        self.numbers[place] = number;
        self.len += usize::from(number != 0.0);
    }

    /// The gradient with respect to the weights of one feature, `row: [n]`, and what becomes of it.
    #[inline(always)]
    fn put_sums<S: Simd>(&self, simd: S, dz: &[f32], n: usize, output: Output, row: &mut [f32]) {
        for first in (0..n).step_by(PANEL) {
            let row = &mut row[first..n.min(first + PANEL)];
            if row.len() == PANEL {
                let mut sums = [f32x16::splat(simd, 0.0); VECTORS];
                for (sample, number) in self.samples[..self.len].iter().zip(&self.numbers) {
                    let (dz, number) = (&dz[*sample as usize * n + first..][..PANEL], f32x16::splat(simd, *number));
                    for (vector, sum) in sums.iter_mut().enumerate() {
                        *sum = number.mul_add_precise(f32x16::from_slice(simd, &dz[vector * LANES..][..LANES]), *sum);
                    }
                }
                for (sum, row) in sums.into_iter().zip(row.chunks_exact_mut(LANES)) {
                    put(simd, sum, output, row);
                }
                continue;
            }
            for (vector, row) in row.chunks_mut(LANES).enumerate() {
                let (mut sum, first) = (f32x16::splat(simd, 0.0), first + vector * LANES);
                for (sample, number) in self.samples[..self.len].iter().zip(&self.numbers) {
                    let dz = load(simd, &dz[*sample as usize * n + first..][..row.len()]);
                    sum = f32x16::splat(simd, *number).mul_add_precise(dz, sum);
                }
                put(simd, sum, output, row);
            }
        }
    }
}

/// What becomes of complete sums.
#[inline(always)]
fn put<S: Simd>(simd: S, sum: f32x16<S>, output: Output, place: &mut [f32]) {
    let result = match output {
        Output::Overwrite => sum,
        Output::Accumulate => load(simd, place) + sum,
        Output::Descend { lr } => sum.mul_add_precise(-lr, load(simd, place)),
    };
    store(result, place);
}

/// At most sixteen numbers, filled up with zeros.
#[inline(always)]
fn load<S: Simd>(simd: S, values: &[f32]) -> f32x16<S> {
    match values.as_array::<LANES>() {
        Some(values) => f32x16::load_array_ref(simd, values),
        None => {
            let mut lanes = [0.0; LANES];
            lanes[..values.len()].copy_from_slice(values);
            f32x16::load_array_ref(simd, &lanes)
        }
    }
}

/// As many lanes as `values` takes.
#[inline(always)]
fn store<S: Simd>(lanes: f32x16<S>, values: &mut [f32]) {
    match values.as_mut_array::<LANES>() {
        Some(values) => lanes.store_array(values),
        None => values.copy_from_slice(&lanes.as_array()[..values.len()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::pointwise;
    use crate::kernels::reference;
    use crate::kernels::testing::{assert_close, levels, random};

    const M: [usize; 6] = [1, 3, 32, 64, 65, 130];
    const K: [usize; 6] = [1, 8, 17, 100, 520, 784];
    const N: [usize; 6] = [1, 16, 17, 64, 100, 200];

    /// A batch of which about four numbers in five are zero: whole blocks, and some of every other block.
    struct Case {
        m: usize,
        k: usize,
        n: usize,
        x: Vec<f32>,
        mask: Vec<u64>,
        blocks: Vec<[f32; BLOCK]>,
        starts: Vec<usize>,
        /// `[k, n]`.
        w: Vec<f32>,
        dz: Vec<f32>,
        dw: Vec<f32>,
    }

    impl Case {
        fn new(m: usize, k: usize, n: usize) -> Self {
            let words = words_per_row(k);
            let (mut x, mut mask) = (random(m * k, 1), vec![0; m * words]);
            let (mut blocks, mut starts) = (Vec::new(), vec![0]);
            for (sample, x) in x.chunks_mut(k).enumerate() {
                for (block, x) in x.chunks_mut(BLOCK).enumerate() {
                    let kept = (sample * 7 + block * 11 + sample * block) % 13 < 6;
                    x.iter_mut().filter(|x| !kept || x.abs() < 0.5).for_each(|x| *x = 0.0);
                    if kept {
                        mask[sample * words + block / 64] |= 1 << (block % 64);
                        let mut values = [0.0; BLOCK];
                        values[..x.len()].copy_from_slice(x);
                        blocks.push(values);
                    }
                }
                starts.push(blocks.len());
            }
            let (w, dz, dw) = (random(k * n, 2), random(m * n, 3), random(k * n, 4));
            Case { m, k, n, x, mask, blocks, starts, w, dz, dw }
        }

        fn all() -> impl Iterator<Item = Self> {
            M.into_iter().flat_map(|m| K.into_iter().flat_map(move |k| N.map(|n| Case::new(m, k, n))))
        }

        fn rows(&self) -> SparseRows<'_, f32> {
            SparseRows { width: self.k, mask: &self.mask, blocks: &self.blocks, starts: &self.starts, few: true }
        }

        /// `z`, one fused multiply-add after the other, with nothing left out.
        fn plain_forward(&self, columns: Range<usize>) -> Vec<f32> {
            let Case { m, k, n, ref x, ref w, .. } = *self;
            let mut z = vec![0.0; m * n];
            for (x, z) in x.chunks(k).zip(z.chunks_mut(n)) {
                for i in columns.clone() {
                    for (z, w) in z.iter_mut().zip(&w[i * n..][..n]) {
                        *z = x[i].mul_add(*w, *z);
                    }
                }
            }
            z
        }

        /// `x^T dz` of the samples from `first` on, at most 64 of them, likewise.
        fn plain_gradient(&self, first: usize) -> Vec<f32> {
            let Case { k, n, ref x, ref dz, .. } = *self;
            let mut dw = vec![0.0; k * n];
            let samples = x.chunks(k).zip(dz.chunks(n)).skip(first).take(MAX_DESCEND_SAMPLES);
            for (x, dz) in samples {
                for (x, dw) in x.iter().zip(dw.chunks_mut(n)) {
                    for (dw, dz) in dw.iter_mut().zip(dz) {
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
            let middle = case.k / 2 / BLOCK * BLOCK;
            for columns in [0..case.k, 0..middle, middle..case.k] {
                let expected = bits(&case.plain_forward(columns.clone()));
                for level in levels() {
                    let mut z = vec![f32::NAN; case.m * case.n];
                    forward(level, case.rows(), &case.w, case.n, columns.clone(), &mut z);
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
            for level in levels() {
                let on = |what: &str| format!("{what}: [{m}, {k}]^T x [{m}, {n}] on {}", level.name());
                let mut found = vec![f32::NAN; k * n];
                backward_weight(level, case.rows(), dz, n, Output::Overwrite, &mut found);
                assert!(bits(&found) == bits(&sum), "{}", on("replaced"));
                let mut found = case.dw.clone();
                backward_weight(level, case.rows(), dz, n, Output::Accumulate, &mut found);
                assert!(bits(&found) == bits(&added), "{}", on("added"));
                if m <= MAX_DESCEND_SAMPLES {
                    let mut stepped = case.dw.clone();
                    pointwise::sgd_step(level, 0.3, &sum, &mut stepped);
                    let mut found = case.dw.clone();
                    backward_weight(level, case.rows(), dz, n, Output::Descend { lr: 0.3 }, &mut found);
                    assert!(bits(&found) == bits(&stepped), "{}", on("stepped"));
                }
            }
        }
    }

    #[test]
    fn products_are_the_oracles() {
        let wide = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>();
        let case = Case::new(33, 784, 100);
        let Case { m, k, n, .. } = case;
        let w: Vec<f64> = (0..n * k).map(|i| f64::from(case.w[i % k * n + i / k])).collect();
        let (mut z, mut dw, mut db) = (vec![0.0; m * n], vec![0.0; n * k], vec![0.0; n]);
        reference::linear_forward(&wide(&case.x), &w, &vec![0.0; n], &mut z);
        reference::linear_backward_parameters(&wide(&case.x), &wide(&case.dz), &mut dw, &mut db);
        // A fifth of 784 products below 1, each rounded once at the size of the sum so far.
        let bound = |terms: f64| terms * terms * f64::from(f32::EPSILON) / 2.0;
        let (mut found, mut gradient) = (vec![0.0; m * n], vec![0.0; k * n]);
        let level = SimdLevel::detect();
        forward(level, case.rows(), &case.w, n, 0..k, &mut found);
        assert_close("z", &found, &z, &vec![bound(40.0); m * n]);
        backward_weight(level, case.rows(), &case.dz, n, Output::Overwrite, &mut gradient);
        let gradient: Vec<f32> = (0..n * k).map(|i| gradient[i % k * n + i / k]).collect();
        assert_close("dw", &gradient, &dw, &vec![bound(12.0); n * k]);
    }
}
