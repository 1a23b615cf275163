//! Linear layers of at most sixteen outputs, on eight lanes of features.
//!
//! A GEMM pads ten outputs to its tile and packs both operands anew for every batch; here each block of eight features
//! meets all outputs while it stands in a register, and blocks of zeros are left out. All sums run in an order that
//! depends on shapes alone and every product enters its sum by one fused multiply-add, so the bits are the same on every
//! SIMD level.
//!
//! Legend: `m` batch size, `k` in_features, `n <= 16` out_features; `x: [m, k]`, `z`, `dz: [m, n]`, `dx: [m, k]`,
//! row-major; `w`, `dw: [2 ceil(k / 16), n, 8]`, the packed weight of `[n, k]` (see [`packed`](mod@crate::kernels::packed)).

use std::ops::Range;

use fearless_simd::{Simd, f32x8, prelude::*};

use crate::kernels::sparse::{BLOCK, Rows, SparseRows, transpose_bits, words_per_row};
use crate::kernels::{LANES, Output, SimdLevel, dispatch};

/// The widest layer that these kernels take.
pub const MAX_OUT_FEATURES: usize = 16;

/// Samples whose block masks are transposed at once, and the most that [`backward_weight`] descends with.
pub const MAX_DESCEND_SAMPLES: usize = 64;

/// Calls `$f::<S, N>` with the constant `N` that equals `$outputs`, so that their sums stand in registers.
macro_rules! with_outputs {
    ($simd:expr, $outputs:expr, $f:ident::<$s:ty>($($arg:expr),*)) => {
        match $outputs {
            1 => $simd.vectorize(#[inline(always)] || $f::<$s, 1>($($arg),*)),
            2 => $simd.vectorize(#[inline(always)] || $f::<$s, 2>($($arg),*)),
            3 => $simd.vectorize(#[inline(always)] || $f::<$s, 3>($($arg),*)),
            4 => $simd.vectorize(#[inline(always)] || $f::<$s, 4>($($arg),*)),
            5 => $simd.vectorize(#[inline(always)] || $f::<$s, 5>($($arg),*)),
            6 => $simd.vectorize(#[inline(always)] || $f::<$s, 6>($($arg),*)),
            7 => $simd.vectorize(#[inline(always)] || $f::<$s, 7>($($arg),*)),
            8 => $simd.vectorize(#[inline(always)] || $f::<$s, 8>($($arg),*)),
            9 => $simd.vectorize(#[inline(always)] || $f::<$s, 9>($($arg),*)),
            10 => $simd.vectorize(#[inline(always)] || $f::<$s, 10>($($arg),*)),
            11 => $simd.vectorize(#[inline(always)] || $f::<$s, 11>($($arg),*)),
            12 => $simd.vectorize(#[inline(always)] || $f::<$s, 12>($($arg),*)),
            13 => $simd.vectorize(#[inline(always)] || $f::<$s, 13>($($arg),*)),
            14 => $simd.vectorize(#[inline(always)] || $f::<$s, 14>($($arg),*)),
            15 => $simd.vectorize(#[inline(always)] || $f::<$s, 15>($($arg),*)),
            16 => $simd.vectorize(#[inline(always)] || $f::<$s, 16>($($arg),*)),
            other => unreachable!("{other} outputs of a narrow layer"),
        }
    };
}

/// An operand in an encoding that these kernels take. Two are told apart in inner loops; with the others beside them a step of
/// 784-10 at batch 32 took 4 % longer.
#[derive(Clone, Copy)]
enum BlockRows<'a> {
    Dense(&'a [f32]),
    Sparse(SparseRows<'a, f32>),
}

impl<'a> BlockRows<'a> {
    fn of(x: Rows<'a>) -> Self {
        match x {
            Rows::Dense(values) => BlockRows::Dense(values),
            Rows::Sparse(rows) => BlockRows::Sparse(rows),
            Rows::Bits(_) | Rows::Few(_) => unreachable!("for few outputs such rows have their zeros, or blocks"),
        }
    }
}

/// `z = x[:, columns] w[:, columns]^T`: what some of a layer's features add to its sums.
///
/// `columns` starts at a multiple of 8 and ends at one or at `k`; `z: [m, n]`, overwritten.
pub fn forward(level: SimdLevel, x: Rows<'_>, w: &[f32], n: usize, columns: Range<usize>, z: &mut [f32]) {
    debug_assert!((1..=MAX_OUT_FEATURES).contains(&n) && columns.start.is_multiple_of(BLOCK));
    let x = BlockRows::of(x);
    dispatch!(level, simd => forward_at(simd, x, w, n, columns, z));
}

#[inline(always)]
fn forward_at<S: Simd>(simd: S, x: BlockRows<'_>, w: &[f32], n: usize, columns: Range<usize>, z: &mut [f32]) {
    with_outputs!(simd, n, forward_outputs::<S>(simd, x, w, columns, z));
}

/// Every output's sum stands in a register (or two) while a sample's blocks go by.
#[inline(always)]
fn forward_outputs<S: Simd, const N: usize>(
    simd: S,
    x: BlockRows<'_>,
    w: &[f32],
    columns: Range<usize>,
    z: &mut [f32],
) {
    let (w, _) = w.as_chunks::<BLOCK>().0.as_chunks::<N>();
    let all = columns.start / BLOCK..columns.end.div_ceil(BLOCK);
    let (z, _) = z.as_chunks_mut::<N>();
    let m = z.len();
    for (sample, z) in z.iter_mut().enumerate() {
        let mut sums = [f32x8::splat(simd, 0.0); N];
        match x {
            BlockRows::Sparse(rows) => rows.for_each_block(
                sample,
                all.clone(),
                #[inline(always)]
                |block, x| add_products(simd, f32x8::load_array_ref(simd, x), &w[block], &mut sums),
            ),
            BlockRows::Dense(values) => {
                let k = values.len() / m;
                let (blocks, short) = values[sample * k..][..k][columns.clone()].as_chunks::<BLOCK>();
                for (x, w) in blocks.iter().zip(&w[all.clone()]) {
                    add_products(simd, f32x8::load_array_ref(simd, x), w, &mut sums);
                }
                if !short.is_empty() {
                    add_products(simd, load(simd, short), &w[all.end - 1], &mut sums);
                }
            }
        }
        z.copy_from_slice(&add_lanes(simd, sums)[..N]);
    }
}

/// A block of features times the same block of every output.
#[inline(always)]
fn add_products<S: Simd, const N: usize>(simd: S, x: f32x8<S>, w: &[[f32; BLOCK]; N], sums: &mut [f32x8<S>; N]) {
    for o in 0..N {
        sums[o] = x.mul_add_precise(f32x8::load_array_ref(simd, &w[o]), sums[o]);
    }
}

/// `dw = dz^T x`, `dw += dz^T x` or, with [`Output::Descend`], a step of gradient descent on `dw`, which is the weight
/// then: samples in order, a panel of `dw` in registers over the whole batch.
///
/// `dz: [m, n]`, read; `dw: [2 ceil(k / 16), n, 8]`. To descend, `m` is at most [`MAX_DESCEND_SAMPLES`]: of more, a sum is
/// put together from several pieces, and has to be complete before it meets the weight.
pub fn backward_weight(level: SimdLevel, x: Rows<'_>, dz: &[f32], n: usize, output: Output, dw: &mut [f32]) {
    debug_assert!((1..=MAX_OUT_FEATURES).contains(&n) && dw.len().is_multiple_of(n * LANES));
    debug_assert!(!matches!(output, Output::Descend { .. }) || dz.len() <= MAX_DESCEND_SAMPLES * n);
    let x = BlockRows::of(x);
    dispatch!(level, simd => backward_weight_at(simd, x, dz, n, output, dw));
}

#[inline(always)]
fn backward_weight_at<S: Simd>(simd: S, x: BlockRows<'_>, dz: &[f32], n: usize, output: Output, dw: &mut [f32]) {
    with_outputs!(simd, n, backward_weight_outputs::<S>(simd, x, dz, output, dw));
}

#[inline(always)]
fn backward_weight_outputs<S: Simd, const N: usize>(
    simd: S,
    x: BlockRows<'_>,
    dz: &[f32],
    mut output: Output,
    dw: &mut [f32],
) {
    const GROUP: usize = MAX_DESCEND_SAMPLES;
    let (dz, _) = dz.as_chunks::<N>();
    let (panels, _) = dw.as_chunks_mut::<BLOCK>().0.as_chunks_mut::<N>();
    let m = dz.len();
    for (group, dz) in dz.chunks(GROUP).enumerate() {
        let first = group * GROUP;
        if let ([dz], BlockRows::Sparse(rows)) = (dz, x)
            && output != Output::Overwrite
        {
            add_sample(simd, rows, first, dz, output, panels);
            continue;
        }
        // Where each sample's next block lies: blocks are visited in their order.
        let mut next = [0; GROUP];
        if let BlockRows::Sparse(rows) = x {
            next[..dz.len()].copy_from_slice(&rows.starts[first..][..dz.len()]);
        }
        for (word, panels) in panels.chunks_mut(64).enumerate() {
            // Bit s of word b: whether sample s has block b.
            let mut samples_of = [u64::MAX >> (GROUP - dz.len()); GROUP];
            let mut blocks = u64::MAX >> (GROUP - panels.len());
            if let BlockRows::Sparse(rows) = x {
                let (words, mut bits) = (words_per_row(rows.width), [0; GROUP]);
                for (sample, bits) in bits.iter_mut().enumerate().take(dz.len()) {
                    *bits = rows.mask[(first + sample) * words + word];
                }
                if output != Output::Overwrite {
                    blocks = bits[..dz.len()].iter().fold(0, |any, bits| any | bits);
                }
                transpose_bits(&mut bits);
                samples_of = bits;
            }
            while blocks != 0 {
                let block = blocks.trailing_zeros() as usize;
                blocks &= blocks - 1;
                let (panel, samples) = (&mut panels[block], samples_of[block]);
                let start = (word * 64 + block) * BLOCK;
                match x {
                    BlockRows::Sparse(rows) => add_to_panel(
                        simd,
                        dz,
                        samples,
                        output,
                        panel,
                        #[inline(always)]
                        |sample| {
                            let at = next[sample];
                            next[sample] = at + 1;
                            f32x8::load_array_ref(simd, &rows.blocks[at])
                        },
                    ),
                    BlockRows::Dense(values) => {
                        let k = values.len() / m;
                        let columns = start.min(k)..(start + BLOCK).min(k);
                        add_to_panel(
                            simd,
                            dz,
                            samples,
                            output,
                            panel,
                            #[inline(always)]
                            |sample| load(simd, &values[(first + sample) * k..][..k][columns.clone()]),
                        );
                    }
                }
            }
        }
        output = Output::Accumulate;
    }
}

/// One sample's part of `dw`: every `dz` stands in a register, and a panel is read and written once.
#[inline(always)]
fn add_sample<S: Simd, const N: usize>(
    simd: S,
    rows: SparseRows<'_, f32>,
    sample: usize,
    dz: &[f32; N],
    output: Output,
    panels: &mut [[[f32; BLOCK]; N]],
) {
    let dz = dz.map(|dz| f32x8::splat(simd, dz));
    rows.for_each_block(
        sample,
        0..panels.len(),
        #[inline(always)]
        |block, x| {
            let (x, panel) = (f32x8::load_array_ref(simd, x), &mut panels[block]);
            for o in 0..N {
                // The product is rounded, as a sum over one sample is in the other path.
                let product = x.mul_add_precise(dz[o], f32x8::splat(simd, 0.0));
                put(simd, product, output, &mut panel[o]);
            }
        },
    );
}

/// Adds some samples, a bit each, to a panel; `x` gives a sample's block of features.
#[inline(always)]
fn add_to_panel<S: Simd, const N: usize>(
    simd: S,
    dz: &[[f32; N]],
    mut samples: u64,
    output: Output,
    panel: &mut [[f32; BLOCK]; N],
    mut x: impl FnMut(usize) -> f32x8<S>,
) {
    // From zero: a sum is complete before it meets a weight or an earlier gradient.
    let mut sums = [f32x8::splat(simd, 0.0); N];
    while samples != 0 {
        let sample = samples.trailing_zeros() as usize;
        samples &= samples - 1;
        let (x, dz) = (x(sample), &dz[sample]);
        for o in 0..N {
            sums[o] = x.mul_add_precise(f32x8::splat(simd, dz[o]), sums[o]);
        }
    }
    for o in 0..N {
        put(simd, sums[o], output, &mut panel[o]);
    }
}

/// What becomes of complete sums.
#[inline(always)]
fn put<S: Simd>(simd: S, sum: f32x8<S>, output: Output, place: &mut [f32; BLOCK]) {
    let result = match output {
        Output::Overwrite => sum,
        Output::Accumulate => f32x8::load_array_ref(simd, place) + sum,
        Output::Descend { lr } => sum.mul_add_precise(f32x8::splat(simd, -lr), f32x8::load_array_ref(simd, place)),
    };
    result.store_array(place);
}

/// `dx = dz w`, outputs in order. `dz: [m, n]`, read; `dx: [m, k]`, overwritten.
pub fn backward_input(level: SimdLevel, dz: &[f32], w: &[f32], n: usize, dx: &mut [f32]) {
    debug_assert!((1..=MAX_OUT_FEATURES).contains(&n) && w.len().is_multiple_of(n * LANES));
    dispatch!(level, simd => backward_input_at(simd, dz, w, n, dx));
}

#[inline(always)]
fn backward_input_at<S: Simd>(simd: S, dz: &[f32], w: &[f32], n: usize, dx: &mut [f32]) {
    with_outputs!(simd, n, backward_input_outputs::<S>(simd, dz, w, dx));
}

/// Every output's `dz` stands in a register while a sample's blocks go by.
#[inline(always)]
fn backward_input_outputs<S: Simd, const N: usize>(simd: S, dz: &[f32], w: &[f32], dx: &mut [f32]) {
    let ((w, _), (dz, _)) = (w.as_chunks::<BLOCK>().0.as_chunks::<N>(), dz.as_chunks::<N>());
    let Some(k) = dx.len().checked_div(dz.len()) else { return };
    for (dz, dx) in dz.iter().zip(dx.chunks_exact_mut(k)) {
        let mut lanes = [f32x8::splat(simd, 0.0); N];
        for o in 0..N {
            lanes[o] = f32x8::splat(simd, dz[o]);
        }
        let (blocks, short) = dx.as_chunks_mut::<BLOCK>();
        for (w, dx) in w.iter().zip(blocks.iter_mut()) {
            product(simd, w, &lanes).store_array(dx);
        }
        if !short.is_empty() {
            store(product(simd, &w[blocks.len()], &lanes), short);
        }
    }
}

/// `dz w` for a block of features.
#[inline(always)]
fn product<S: Simd, const N: usize>(simd: S, w: &[[f32; BLOCK]; N], dz: &[f32x8<S>; N]) -> f32x8<S> {
    let mut sum = f32x8::splat(simd, 0.0);
    for o in 0..N {
        sum = f32x8::load_array_ref(simd, &w[o]).mul_add_precise(dz[o], sum);
    }
    sum
}

/// Up to eight values, with zeros in the lanes beyond them.
#[inline(always)]
fn load<S: Simd>(simd: S, values: &[f32]) -> f32x8<S> {
    match values.as_array::<BLOCK>() {
        Some(values) => f32x8::load_array_ref(simd, values),
        None => {
            let mut lanes = [0.0; BLOCK];
            lanes[..values.len()].copy_from_slice(values);
            f32x8::load_array_ref(simd, &lanes)
        }
    }
}

/// As many lanes as `values` takes.
#[inline(always)]
fn store<S: Simd>(lanes: f32x8<S>, values: &mut [f32]) {
    match values.as_mut_array::<BLOCK>() {
        Some(values) => lanes.store_array(values),
        None => values.copy_from_slice(&lanes.as_array()[..values.len()]),
    }
}

/// The sums of up to sixteen vectors over their lanes, each by the same tree: first neighbours, then pairs of them, ...
///
/// Two vectors fold into one, the sums of the first's neighbours beside those of the second's; three rounds leave eight
/// vectors' sums in one.
#[inline(always)]
fn add_lanes<S: Simd, const T: usize>(simd: S, sums: [f32x8<S>; T]) -> [f32; 16] {
    let mut vectors = [f32x8::splat(simd, 0.0); 16];
    vectors[..T].copy_from_slice(&sums);
    fold(&mut vectors, T.div_ceil(2));
    fold(&mut vectors, T.div_ceil(4));
    fold(&mut vectors, T.div_ceil(8));
    *vectors[0].combine(vectors[1]).as_array()
}

/// One round: the first `2 * pairs` vectors become `pairs`. What is left of earlier rounds beyond them ends in lanes
/// beyond the sums asked for.
#[inline(always)]
fn fold<S: Simd>(vectors: &mut [f32x8<S>; 16], pairs: usize) {
    for pair in 0..pairs {
        let (a, b) = (vectors[2 * pair], vectors[2 * pair + 1]);
        vectors[pair] = a.unzip_low(b) + a.unzip_high(b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::sparse::blocks_per_row;
    use crate::kernels::testing::{assert_close, levels, random};
    use crate::kernels::{packed, pointwise, reference};

    const M: [usize; 6] = [1, 3, 32, 64, 65, 130];
    const K: [usize; 7] = [1, 15, 16, 17, 100, 784, 1030];

    /// Unit of f32 rounding.
    const UNIT: f64 = f32::EPSILON as f64 / 2.0;

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Kind {
        /// In `[-1, 1)`.
        Fractions,
        /// Of at most 3: sums of thousands of their products are exact in f32. None is -0, which becomes 0 when the product of a
        /// zero is added to it, and stays -0 when that is left out.
        WholeNumbers,
    }

    impl Kind {
        fn values(self, len: usize, seed: u64) -> Vec<f32> {
            let fractions = random(len, seed);
            match self {
                Kind::Fractions => fractions,
                Kind::WholeNumbers => fractions.iter().map(|value| (value * 4.0).trunc() + 0.0).collect(),
            }
        }
    }

    /// A batch of which some blocks are zeros: none in the first sample, all in the last of several, about half of the others.
    struct Case {
        kind: Kind,
        m: usize,
        k: usize,
        n: usize,
        x: Vec<f32>,
        /// Which blocks of `x` are not zeros: `[m, words_per_row(k)]`.
        mask: Vec<u64>,
        /// The blocks that are not zeros.
        blocks: Vec<[f32; BLOCK]>,
        /// Where each sample's blocks begin: `[m + 1]`.
        starts: Vec<usize>,
        /// `[n, k]`, row-major.
        w: Vec<f32>,
        dz: Vec<f32>,
        /// What `dw` holds before something is added to it.
        dw: Vec<f32>,
    }

    impl Case {
        fn new(kind: Kind, m: usize, k: usize, n: usize) -> Self {
            let words = words_per_row(k);
            let value = |len, seed| kind.values(len, seed);
            let (mut x, mut mask) = (value(m * k, 1), vec![0; m * words]);
            let (mut blocks, mut starts) = (Vec::new(), vec![0]);
            for (sample, x) in x.chunks_mut(k).enumerate() {
                for (block, x) in x.chunks_mut(BLOCK).enumerate() {
                    let last = sample + 1 == m;
                    if sample == 0 || (!last && (sample * 7 + block * 11 + sample * block) % 13 < 6) {
                        mask[sample * words + block / 64] |= 1 << (block % 64);
                        let mut values = [0.0; BLOCK];
                        values[..x.len()].copy_from_slice(x);
                        blocks.push(values);
                    } else {
                        x.fill(0.0);
                    }
                }
                starts.push(blocks.len());
            }
            let (w, dz, dw) = (value(n * k, 2), value(m * n, 3), value(n * k, 4));
            Case { kind, m, k, n, x, mask, blocks, starts, w, dz, dw }
        }

        /// Every size with `n` outputs: fractions in every batch, whole numbers in some.
        fn all(n: usize) -> impl Iterator<Item = Self> {
            let batches = M.map(|m| (Kind::Fractions, m)).into_iter().chain([3, 65].map(|m| (Kind::WholeNumbers, m)));
            batches.flat_map(move |(kind, m)| K.map(|k| Case::new(kind, m, k, n)))
        }

        /// Dense, and without the blocks that are zeros.
        fn encodings(&self) -> [(&'static str, Rows<'_>); 2] {
            let Case { k: width, ref mask, ref blocks, ref starts, .. } = *self;
            let rows = SparseRows { width, mask, blocks, starts };
            [("every block", Rows::Dense(&self.x)), ("blocks that are not zeros", Rows::Sparse(rows))]
        }

        /// All columns and, in the smaller batches, pieces that begin at whole blocks: halves, one block, nothing.
        fn columns(&self) -> Vec<Range<usize>> {
            let middle = blocks_per_row(self.k) / 2 * BLOCK;
            match (self.m, middle) {
                (1..=3, 0) => vec![0..self.k, 0..0],
                (1..=3, _) => vec![0..self.k, 0..0, 0..middle, middle..self.k, middle - BLOCK..middle],
                _ => std::iter::once(0..self.k).collect(),
            }
        }
    }

    fn pack(rows: &[f32], k: usize) -> Vec<f32> {
        let mut packed = vec![f32::NAN; packed::len(rows.len() / k, k)];
        packed::from_rows(rows, k, &mut packed);
        packed
    }

    fn rows_of(packed: &[f32], n: usize, k: usize) -> Vec<f32> {
        let mut rows = vec![f32::NAN; n * k];
        packed::to_rows(packed, k, &mut rows);
        rows
    }

    fn wide(values: &[f32]) -> Vec<f64> {
        values.iter().map(|value| f64::from(*value)).collect()
    }

    fn magnitudes(values: &[f32]) -> Vec<f64> {
        values.iter().map(|value| f64::from(value.abs())).collect()
    }

    /// The oracle's `z` over some columns.
    fn forward_oracle(case: &Case, columns: &Range<usize>, values: fn(&[f32]) -> Vec<f64>) -> Vec<f64> {
        let (mut x, w) = (values(&case.x), values(&case.w));
        for row in x.chunks_mut(case.k) {
            row[..columns.start].fill(0.0);
            row[columns.end..].fill(0.0);
        }
        let mut z = vec![f64::NAN; case.m * case.n];
        reference::linear_forward(&x, &w, &vec![0.0; case.n], &mut z);
        z
    }

    fn backward_weight_oracle(case: &Case, output: Output, values: fn(&[f32]) -> Vec<f64>) -> Vec<f64> {
        let (mut dw, mut db) = (vec![f64::NAN; case.n * case.k], vec![f64::NAN; case.n]);
        reference::linear_backward_parameters(&values(&case.x), &values(&case.dz), &mut dw, &mut db);
        let factor = match output {
            Output::Overwrite => return dw,
            Output::Accumulate => 1.0,
            // Its sign is lost where magnitudes are asked for.
            Output::Descend { lr } => values(&[-lr])[0],
        };
        dw.iter_mut().zip(values(&case.dw)).for_each(|(dw, before)| *dw = before + factor * *dw);
        dw
    }

    fn backward_input_oracle(case: &Case, values: fn(&[f32]) -> Vec<f64>) -> Vec<f64> {
        let mut dx = vec![f64::NAN; case.m * case.k];
        reference::linear_backward_input(&values(&case.dz), &values(&case.w), case.n, &mut dx);
        dx
    }

    fn first_difference(a: &[f32], b: &[f32]) -> Option<usize> {
        if a.len() != b.len() {
            return Some(a.len().min(b.len()));
        }
        a.iter().zip(b).position(|(a, b)| a.to_bits() != b.to_bits())
    }

    /// Runs `compute` on every level with every kind of features, demands the same bits each time, and returns them.
    fn same_everywhere(case: &Case, mut compute: impl FnMut(SimdLevel, Rows<'_>) -> Vec<f32>) -> Vec<f32> {
        let mut first: Option<(String, Vec<f32>)> = None;
        for level in levels() {
            for (encoding, x) in case.encodings() {
                let name = format!("[{}, {}] to {}, {}, {encoding}", case.m, case.k, case.n, level.name());
                let found = compute(level, x);
                let (first_name, first) = first.get_or_insert_with(|| (name.clone(), found.clone()));
                if let Some(i) = first_difference(first, &found) {
                    panic!("at {i}: {:?} for {first_name}, but {:?} for {name}", first.get(i), found.get(i));
                }
            }
        }
        first.map(|(_, found)| found).unwrap()
    }

    /// Whole numbers have to be exact. A sum of `terms` terms, in any order, strays by at most `terms + 1` units of the sum of
    /// their magnitudes (Higham, "Accuracy and Stability of Numerical Algorithms", 3.1); the oracle's own error vanishes.
    fn assert_agrees(
        case: &Case,
        what: &str,
        terms: usize,
        found: &[f32],
        oracle: impl Fn(fn(&[f32]) -> Vec<f64>) -> Vec<f64>,
    ) {
        let units = if case.kind == Kind::WholeNumbers { 0.0 } else { (terms + 1) as f64 * UNIT };
        let bound: Vec<f64> = oracle(magnitudes).into_iter().map(|magnitude| units * magnitude).collect();
        let name = format!("{what}, {:?}, [{}, {}] to {}", case.kind, case.m, case.k, case.n);
        assert_close(&name, found, &oracle(wide), &bound);
    }

    #[test]
    fn forward_agrees_with_the_oracle_and_has_the_same_bits_everywhere() {
        for case in (1..=MAX_OUT_FEATURES).flat_map(Case::all) {
            for columns in case.columns() {
                let found = same_everywhere(&case, |level, x| {
                    let mut z = vec![f32::NAN; case.m * case.n];
                    forward(level, x, &pack(&case.w, case.k), case.n, columns.clone(), &mut z);
                    z
                });
                let oracle = |values: fn(&[f32]) -> Vec<f64>| forward_oracle(&case, &columns, values);
                assert_agrees(&case, &format!("z of columns {columns:?}"), columns.len(), &found, oracle);
            }
        }
    }

    #[test]
    fn backward_weight_agrees_with_the_oracle_and_has_the_same_bits_everywhere() {
        for case in (1..=MAX_OUT_FEATURES).flat_map(Case::all) {
            let descend = Output::Descend { lr: 0.5 };
            for output in [Output::Overwrite, Output::Accumulate, descend] {
                if output == descend && case.m > MAX_DESCEND_SAMPLES {
                    continue;
                }
                let found = same_everywhere(&case, |level, x| {
                    let mut dw = match output {
                        Output::Overwrite => vec![f32::NAN; packed::len(case.n, case.k)],
                        _ => pack(&case.dw, case.k),
                    };
                    backward_weight(level, x, &case.dz, case.n, output, &mut dw);
                    rows_of(&dw, case.n, case.k)
                });
                let oracle = |values: fn(&[f32]) -> Vec<f64>| backward_weight_oracle(&case, output, values);
                assert_agrees(&case, &format!("dw, {output:?}"), case.m + 1, &found, oracle);
            }
        }
    }

    #[test]
    fn descending_has_the_bits_of_a_stored_gradient_and_a_step() {
        for case in (1..=MAX_OUT_FEATURES).flat_map(Case::all).filter(|case| case.m <= MAX_DESCEND_SAMPLES) {
            for level in levels() {
                for (encoding, x) in case.encodings() {
                    let weight = pack(&case.dw, case.k);
                    let (mut gradient, mut stepped, mut fused) = (weight.clone(), weight.clone(), weight);
                    backward_weight(level, x, &case.dz, case.n, Output::Overwrite, &mut gradient);
                    pointwise::sgd_step(level, 0.3, &gradient, &mut stepped);
                    backward_weight(level, x, &case.dz, case.n, Output::Descend { lr: 0.3 }, &mut fused);
                    let difference = first_difference(&fused, &stepped);
                    assert_eq!(difference, None, "[{}, {}] to {}, {encoding}", case.m, case.k, case.n);
                }
            }
        }
    }

    #[test]
    fn backward_input_agrees_with_the_oracle_and_has_the_same_bits_everywhere() {
        for case in (1..=MAX_OUT_FEATURES).flat_map(Case::all) {
            let found = same_everywhere(&case, |level, _| {
                let mut dx = vec![f32::NAN; case.m * case.k];
                backward_input(level, &case.dz, &pack(&case.w, case.k), case.n, &mut dx);
                dx
            });
            assert_agrees(&case, "dx", case.n, &found, |values| backward_input_oracle(&case, values));
        }
    }

    /// Parts of the columns, each in a batch of its own width, have the bits of the same columns of the whole: what a shard of a
    /// layer computes is what the layer computes.
    #[test]
    fn a_shard_of_the_columns_has_the_bits_of_these_columns() {
        let (m, k, n) = (33, 784, 10);
        let case = Case::new(Kind::Fractions, m, k, n);
        for columns in [0..384, 384..784, 0..16, 768..784] {
            let of =
                |values: &[f32]| values.chunks(k).flat_map(|row| row[columns.clone()].to_vec()).collect::<Vec<_>>();
            let (x, w) = (of(&case.x), of(&case.w));
            let (whole_w, w) = (pack(&case.w, k), pack(&w, columns.len()));
            for level in levels() {
                let (mut part, mut shard) = (vec![f32::NAN; m * n], vec![f32::NAN; m * n]);
                forward(level, case.encodings()[1].1, &whole_w, n, columns.clone(), &mut part);
                forward(level, Rows::Dense(&x), &w, n, 0..columns.len(), &mut shard);
                assert_eq!(first_difference(&part, &shard), None, "z of {columns:?}, {}", level.name());

                let (mut dw, mut shard) = (whole_w.clone(), w.clone());
                backward_weight(level, case.encodings()[1].1, &case.dz, n, Output::Overwrite, &mut dw);
                backward_weight(level, Rows::Dense(&x), &case.dz, n, Output::Overwrite, &mut shard);
                let (dw, shard) = (of(&rows_of(&dw, n, k)), rows_of(&shard, n, columns.len()));
                assert_eq!(first_difference(&dw, &shard), None, "dw of {columns:?}, {}", level.name());
            }
        }
    }

    #[test]
    fn the_comparison_of_bits_can_fail() {
        assert_eq!(first_difference(&[1.0, f32::NAN], &[1.0, f32::NAN]), None);
        for wrong in [&[1.0, 2.0, 4.0][..], &[1.0, 0.0, 2.0], &[1.0, 2.0], &[1.0, 2.0, 3.0, 0.0], &[1.0, 2.0, f32::NAN]]
        {
            assert!(first_difference(&[1.0, 2.0, 3.0], wrong).is_some(), "{wrong:?}");
        }
        assert_eq!(first_difference(&[0.0], &[-0.0]), Some(0));
        assert_eq!(first_difference(&[1.0], &[1.0 + f32::EPSILON]), Some(0));
    }

    /// Some blocks of the cases have to be zeros and some not, or the tests above would not see them left out.
    #[test]
    fn the_cases_have_blocks_of_both_kinds() {
        for case in Case::all(1).filter(|case| case.m > 3 && case.k > BLOCK) {
            let blocks = case.m * blocks_per_row(case.k);
            let occupied: usize = case.mask.iter().map(|word| word.count_ones() as usize).sum();
            assert!(
                (blocks / 4..blocks * 3 / 4).contains(&occupied),
                "{occupied} of {blocks} in [{}, {}]",
                case.m,
                case.k
            );
            assert_eq!(occupied, case.blocks.len());
        }
    }
}
