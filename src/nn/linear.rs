//! The fully connected layer.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::kernels::gemm::{Matrix, Output, gemm};
use crate::kernels::{AlignedVec, Features, InFull, KernelChoice, SimdLevel, narrow, panels, pointwise};
use crate::nn::reduce::{Alone, Reduce};
use crate::nn::split::{Axis, Split};

/// `z = x W^T + b`, with `W: [out_features, in_features]` as in PyTorch.
#[derive(Debug, Clone)]
pub struct Linear {
    in_features: usize,
    out_features: usize,
    /// In the kernel's order: `[in_features, out_features]` for GEMM, which would else transpose it for every product;
    /// [`mod@panels`] for the narrow kernels.
    weight: AlignedVec,
    bias: Vec<f32>,
    /// In the weight's order.
    weight_grad: AlignedVec,
    bias_grad: Vec<f32>,
    /// Whether the gradients hold anything; as in PyTorch, zeroing them means forgetting them.
    has_grad: bool,
    level: SimdLevel,
    kernel: Kernel,
    split: Split,
}

/// What becomes of a layer's gradients.
pub(crate) enum Gradient<'a> {
    /// They are added to those that the layer keeps.
    Keep,
    /// They are never stored: `W += (-lr dz)^T x` takes plain gradient descent's step while it multiplies.
    Descend { lr: f32, scratch: &'a mut AlignedVec },
}

/// What multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kernel {
    Gemm,
    Narrow,
}

impl Kernel {
    fn of(choice: KernelChoice, out_features: usize) -> Self {
        match choice {
            KernelChoice::Auto | KernelChoice::Narrow if out_features <= narrow::MAX_OUT_FEATURES => Kernel::Narrow,
            _ => Kernel::Gemm,
        }
    }

    /// Floats of a weight in this kernel's order.
    fn weights(self, in_features: usize, out_features: usize) -> usize {
        match self {
            Kernel::Gemm => in_features * out_features,
            Kernel::Narrow => panels::len(out_features, in_features),
        }
    }
}

impl Linear {
    /// A layer of given parameters. `weight: [out_features, in_features]`, `bias: [out_features]`.
    pub fn from_parts(in_features: usize, out_features: usize, weight: Vec<f32>, bias: Vec<f32>) -> Result<Self> {
        let shape = |what: &str, expected: Option<usize>, found: usize| Error::Shape {
            place: format!("{what} of a linear layer of {in_features} inputs and {out_features} outputs"),
            expected: expected.map_or("fewer values".into(), |count| format!("{count} values")),
            found: found.to_string(),
        };
        let weights = in_features.checked_mul(out_features).filter(|count| *count > 0);
        if weights != Some(weight.len()) {
            return Err(shape("weight", weights, weight.len()));
        }
        if bias.len() != out_features {
            return Err(shape("bias", Some(out_features), bias.len()));
        }
        let mut linear = Self::zeros(in_features, out_features, Split::whole(in_features));
        linear.set_weight(&weight);
        linear.bias.copy_from_slice(&bias);
        Ok(linear)
    }

    fn zeros(in_features: usize, out_features: usize, split: Split) -> Self {
        let kernel = Kernel::of(KernelChoice::Auto, out_features);
        let weights = kernel.weights(in_features, out_features);
        Linear {
            in_features,
            out_features,
            weight: AlignedVec::zeros(weights),
            bias: vec![0.0; out_features],
            weight_grad: AlignedVec::zeros(weights),
            bias_grad: vec![0.0; out_features],
            has_grad: false,
            level: SimdLevel::detect(),
            kernel,
            split,
        }
    }

    pub fn in_features(&self) -> usize {
        self.in_features
    }

    pub fn out_features(&self) -> usize {
        self.out_features
    }

    /// `[out_features, in_features]`, row-major. A copy: the layer keeps it in the order of its kernel.
    pub fn weight(&self) -> Vec<f32> {
        self.in_rows(&self.weight)
    }

    /// `weight: [out_features, in_features]`, row-major.
    ///
    /// # Panics
    /// If it has another number of values.
    pub fn set_weight(&mut self, weight: &[f32]) {
        assert_eq!(weight.len(), self.in_features * self.out_features, "weights of a linear layer");
        match self.kernel {
            Kernel::Gemm => transpose(weight, self.in_features, &mut self.weight),
            Kernel::Narrow => panels::from_rows(weight, self.in_features, &mut self.weight),
        }
    }

    /// A weight or its gradient in the order that users know.
    fn in_rows(&self, values: &[f32]) -> Vec<f32> {
        let mut rows = vec![0.0; self.in_features * self.out_features];
        match self.kernel {
            Kernel::Gemm => transpose(values, self.out_features, &mut rows),
            Kernel::Narrow => panels::to_rows(values, self.in_features, &mut rows),
        }
        rows
    }

    /// `[out_features]`.
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// `[out_features]`.
    pub fn bias_mut(&mut self) -> &mut [f32] {
        &mut self.bias
    }

    /// The loss's derivative by the weight, `[out_features, in_features]`, a copy; none since the last [`Self::zero_grad`].
    pub fn weight_grad(&self) -> Option<Vec<f32>> {
        self.has_grad.then(|| self.in_rows(&self.weight_grad))
    }

    /// The loss's derivative by the bias, `[out_features]`; none since the last [`Self::zero_grad`].
    pub fn bias_grad(&self) -> Option<&[f32]> {
        self.has_grad.then_some(&*self.bias_grad)
    }

    pub(crate) fn set_level(&mut self, level: SimdLevel) {
        self.level = level;
    }

    /// Chooses the kernel by the layer's shape alone, so that the bits of a result never depend on timing. Gradients are
    /// forgotten.
    pub(crate) fn set_kernel(&mut self, choice: KernelChoice) {
        let weight = self.weight();
        self.kernel = Kernel::of(choice, self.out_features);
        let weights = self.kernel.weights(self.in_features, self.out_features);
        (self.weight, self.weight_grad) = (AlignedVec::zeros(weights), AlignedVec::zeros(weights));
        self.set_weight(&weight);
        self.zero_grad();
    }

    pub(crate) fn is_narrow(&self) -> bool {
        self.kernel == Kernel::Narrow
    }

    pub(crate) fn split(&self) -> &Split {
        &self.split
    }

    pub(crate) fn set_split(&mut self, split: Split) {
        self.split = split;
    }

    /// `z = x W^T + b`. `x: [m, in_features]`, read; `z: [m, out_features]`, overwritten.
    ///
    /// A layer of more than 16 outputs writes a batch out in full first, and allocates for that; a
    /// [`Sequential`](crate::nn::Sequential) keeps the room.
    pub fn forward<'x>(&self, x: impl Into<Features<'x>>, z: &mut [f32]) {
        let mut in_full = InFull::default();
        self.forward_with(self.readable(x.into(), &mut in_full), z, &mut Alone::default());
    }

    /// Adds to the gradients `dW = dz^T x` and `db = sum of dz over the batch`, and, where asked, writes `dx = dz W`.
    ///
    /// `x: [m, in_features]`, the input of [`Self::forward`]; `dz: [m, out_features]`, the loss's derivative by its output;
    /// `dx: [m, in_features]`, overwritten.
    pub fn backward<'x>(&mut self, x: impl Into<Features<'x>>, dz: &[f32], dx: Option<&mut [f32]>) {
        let mut in_full = InFull::default();
        let x = self.readable(x.into(), &mut in_full);
        self.backward_with(x, dz, dx, Gradient::Keep, &mut Alone::default());
    }

    /// `x` as this layer's kernel reads it.
    fn readable<'x>(&self, x: Features<'x>, in_full: &'x mut InFull) -> Features<'x> {
        match self.kernel {
            Kernel::Narrow => x,
            Kernel::Gemm => x.in_full(self.in_features, in_full),
        }
    }

    /// [`Self::forward`] for one of several holders of the layer. `x` is readable for its kernel.
    pub(crate) fn forward_with(&self, x: Features<'_>, z: &mut [f32], reduce: &mut impl Reduce) {
        debug_assert_eq!(x.samples(self.in_features) * self.out_features, z.len());
        match self.split.axis {
            Axis::Features => {
                reduce.sum(&self.split.parts, z, |part, z| self.multiply(x, self.split.range(part), z));
            }
            Axis::Units => self.multiply(x, 0..self.in_features, z),
        }
        pointwise::add_to_rows(self.level, &self.bias, z);
    }

    /// `z = x[:, columns] W[:, columns]^T`. `z: [m, out_features]`, overwritten.
    fn multiply(&self, x: Features<'_>, columns: Range<usize>, z: &mut [f32]) {
        match self.kernel {
            Kernel::Narrow => narrow::forward(self.level, x, &self.weight, self.out_features, columns, z),
            Kernel::Gemm => {
                let x = Matrix::row_major(x.values(), x.samples(self.in_features), self.in_features);
                let weight = Matrix::row_major(&self.weight, self.in_features, self.out_features);
                gemm(x.columns(columns.clone()), weight.rows(columns), Output::Overwrite, z);
            }
        }
    }

    /// [`Self::backward`] for one of several holders of the layer; `gradient` says what becomes of the gradients.
    pub(crate) fn backward_with(
        &mut self,
        x: Features<'_>,
        dz: &[f32],
        dx: Option<&mut [f32]>,
        gradient: Gradient<'_>,
        reduce: &mut impl Reduce,
    ) {
        // Before the weight may change.
        if let Some(dx) = dx {
            match self.split.axis {
                Axis::Features => self.multiply_back(dz, 0..self.out_features, dx),
                Axis::Units => {
                    reduce.sum(&self.split.parts, dx, |part, dx| self.multiply_back(dz, self.split.range(part), dx));
                }
            }
        }
        match gradient {
            Gradient::Keep => {
                let output = if self.has_grad { Output::Accumulate } else { Output::Overwrite };
                if !self.has_grad {
                    self.bias_grad.fill(0.0);
                    self.has_grad = true;
                }
                pointwise::add_rows(self.level, dz, &mut self.bias_grad);
                let shape = (self.in_features, self.out_features);
                multiply_transposed(self.level, self.kernel, shape, x, dz, output, &mut self.weight_grad);
            }
            Gradient::Descend { lr, scratch } => {
                scratch.set_len(dz.len());
                pointwise::scale(self.level, -lr, dz, scratch);
                pointwise::add_rows(self.level, scratch, &mut self.bias);
                let shape = (self.in_features, self.out_features);
                multiply_transposed(self.level, self.kernel, shape, x, scratch, Output::Accumulate, &mut self.weight);
            }
        }
    }

    /// `dx = dz[:, units] W[units, :]`. `dx: [m, in_features]`, overwritten.
    fn multiply_back(&self, dz: &[f32], units: Range<usize>, dx: &mut [f32]) {
        match self.kernel {
            Kernel::Narrow => {
                debug_assert_eq!(units.len(), self.out_features, "a narrow layer is never cut by its units");
                narrow::backward_input(self.level, dz, &self.weight, self.out_features, dx);
            }
            Kernel::Gemm => {
                let dz = Matrix::row_major(dz, dz.len() / self.out_features, self.out_features);
                let weight = Matrix::row_major(&self.weight, self.in_features, self.out_features);
                gemm(dz.columns(units.clone()), weight.columns(units).transposed(), Output::Overwrite, dx);
            }
        }
    }

    /// Forgets the gradients: the next [`Self::backward`] starts them anew.
    pub fn zero_grad(&mut self) {
        self.has_grad = false;
    }

    /// Parameters with their gradients, for an optimizer: weight, then bias. Nothing where there is no gradient.
    pub(crate) fn for_each_gradient(&mut self, mut update: impl FnMut(SimdLevel, &mut [f32], &[f32])) {
        if self.has_grad {
            update(self.level, &mut self.weight, &self.weight_grad);
            update(self.level, &mut self.bias, &self.bias_grad);
        }
    }

    /// The piece of this layer that holder `holder` of `holders` has, its parameters included; its gradients start anew.
    pub(crate) fn share(&self, holder: usize, holders: usize) -> Self {
        let (range, split) = self.split.share(holder, holders);
        let (in_features, out_features) = match split.axis {
            Axis::Features => (range.len(), self.out_features),
            Axis::Units => (self.in_features, range.len()),
        };
        let weights = self.kernel.weights(in_features, out_features);
        let mut share = Linear {
            weight: AlignedVec::zeros(weights),
            weight_grad: AlignedVec::zeros(weights),
            kernel: self.kernel,
            level: self.level,
            ..Self::zeros(in_features, out_features, split)
        };
        share.take_share(self, holder, holders);
        share
    }

    /// Copies a holder's piece of `whole` into this [`Self::share`] of it.
    pub(crate) fn take_share(&mut self, whole: &Self, holder: usize, holders: usize) {
        let (weights, biases) = whole.share_ranges(holder, holders);
        for (whole_run, own_run) in weights {
            self.weight[own_run].copy_from_slice(&whole.weight[whole_run]);
        }
        self.bias.copy_from_slice(&whole.bias[biases]);
    }

    /// Copies a holder's [`Self::share`] back to where it came from.
    pub(crate) fn gather_share(&mut self, share: &Self, holder: usize, holders: usize) {
        let (weights, biases) = self.share_ranges(holder, holders);
        for (own_run, share_run) in weights {
            self.weight[own_run].copy_from_slice(&share.weight[share_run]);
        }
        self.bias[biases].copy_from_slice(&share.bias);
    }

    /// Where a holder's weights stand in this layer and in the share, run by run; and its biases in this layer.
    fn share_ranges(
        &self,
        holder: usize,
        holders: usize,
    ) -> (impl Iterator<Item = (Range<usize>, Range<usize>)> + use<>, Range<usize>) {
        let (range, _) = self.split.share(holder, holders);
        let n = self.out_features;
        let (runs, start, len, stride, biases) = match (self.split.axis, self.kernel) {
            // One run of whole rows of `[in_features, out_features]`, and all biases.
            (Axis::Features, Kernel::Gemm) => (1, n * range.start, n * range.len(), 0, 0..n),
            // One run of whole panels.
            (Axis::Features, Kernel::Narrow) => (1, n * range.start, panels::len(n, range.len()), 0, 0..n),
            // A piece of every row.
            (Axis::Units, Kernel::Gemm) => (self.in_features, range.start, range.len(), n, range),
            // Narrow layers are not cut by units: one holder has all of it.
            (Axis::Units, Kernel::Narrow) => (1, 0, panels::len(range.len(), self.in_features), 0, range),
        };
        let runs = (0..runs).map(move |run| {
            let own = run * stride + start;
            (own..own + len, run * len..(run + 1) * len)
        });
        (runs, biases)
    }
}

/// `dw = dz^T x` or `dw += dz^T x`, for a layer of `shape` (in_features, out_features); `dw` in the kernel's order.
fn multiply_transposed(
    level: SimdLevel,
    kernel: Kernel,
    (in_features, out_features): (usize, usize),
    x: Features<'_>,
    dz: &[f32],
    output: Output,
    dw: &mut [f32],
) {
    match kernel {
        Kernel::Narrow => narrow::backward_weight(level, x, dz, out_features, output, dw),
        Kernel::Gemm => {
            let m = x.samples(in_features);
            let x = Matrix::row_major(x.values(), m, in_features).transposed();
            gemm(x, Matrix::row_major(dz, m, out_features), output, dw);
        }
    }
}

/// `a: [rows, columns]`, read; `b: [columns, rows]`, overwritten.
fn transpose(a: &[f32], columns: usize, b: &mut [f32]) {
    let rows = a.len() / columns;
    for (row, a) in a.chunks_exact(columns).enumerate() {
        for (column, value) in a.iter().enumerate() {
            b[column * rows + row] = *value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference;
    use crate::kernels::testing::{assert_close, random};

    /// Batch size, inputs, outputs: single ones, around the 16 lanes, and those of the recipe.
    const SHAPES: [(usize, usize, usize); 7] =
        [(1, 1, 1), (1, 784, 10), (3, 17, 2), (16, 15, 33), (32, 784, 10), (17, 300, 128), (5, 1, 7)];

    /// Unit of f32 rounding.
    const UNIT: f64 = f32::EPSILON as f64 / 2.0;

    struct Case {
        x: Vec<f32>,
        weight: Vec<f32>,
        bias: Vec<f32>,
        dz: Vec<f32>,
        layer: Linear,
    }

    fn case((m, k, n): (usize, usize, usize), value: impl Fn(usize, u64) -> Vec<f32>) -> Case {
        let (x, weight, bias, dz) = (value(m * k, 1), value(n * k, 2), value(n, 3), value(m * n, 4));
        let layer = Linear::from_parts(k, n, weight.clone(), bias.clone()).unwrap();
        Case { x, weight, bias, dz, layer }
    }

    /// Whole numbers of at most 3: sums of thousands of their products are exact in f32.
    fn integers(len: usize, seed: u64) -> Vec<f32> {
        random(len, seed).iter().map(|value| (value * 4.0).trunc()).collect()
    }

    fn wide(values: &[f32]) -> Vec<f64> {
        values.iter().map(|value| f64::from(*value)).collect()
    }

    fn magnitudes(values: &[f32]) -> Vec<f64> {
        values.iter().map(|value| f64::from(value.abs())).collect()
    }

    /// What the oracle makes of a case: z, dw, db, dx.
    fn oracle(values: fn(&[f32]) -> Vec<f64>, case: &Case) -> [Vec<f64>; 4] {
        let [x, weight, bias, dz] = [&case.x, &case.weight, &case.bias, &case.dz].map(|tensor| values(tensor));
        let [mut z, mut dw, mut db, mut dx] = [&dz, &weight, &bias, &x].map(|like| vec![f64::NAN; like.len()]);
        reference::linear_forward(&x, &weight, &bias, &mut z);
        reference::linear_backward_parameters(&x, &dz, &mut dw, &mut db);
        reference::linear_backward_input(&dz, &weight, bias.len(), &mut dx);
        [z, dw, db, dx]
    }

    /// What the layer makes of it, its outputs filled with `garbage` before.
    fn found(case: &mut Case, level: SimdLevel, garbage: u8) -> [Vec<f32>; 4] {
        let garbage = f32::from_ne_bytes([garbage; 4]);
        let (mut z, mut dx) = (vec![garbage; case.dz.len()], vec![garbage; case.x.len()]);
        case.layer.weight_grad.fill(garbage);
        case.layer.bias_grad.fill(garbage);
        case.layer.set_level(level);
        case.layer.forward(&case.x, &mut z);
        case.layer.zero_grad();
        case.layer.backward(&case.x, &case.dz, Some(&mut dx));
        [z, case.layer.weight_grad().unwrap(), case.layer.bias_grad().unwrap().to_vec(), dx]
    }

    #[test]
    fn whole_numbers_give_exactly_what_the_oracle_gives() {
        for shape in SHAPES {
            for level in SimdLevel::all() {
                for garbage in [0x00, 0xff] {
                    let mut case = case(shape, integers);
                    let found = found(&mut case, level, garbage).map(|values| wide(&values));
                    assert_eq!(found, oracle(wide, &case), "{shape:?}, {}, {garbage:#04x}", level.name());
                }
            }
        }
    }

    #[test]
    fn fractions_stay_within_the_error_of_their_sums() {
        for shape in SHAPES {
            let (m, k, n) = shape;
            for level in SimdLevel::all() {
                let mut case = case(shape, random);
                let found = found(&mut case, level, 0xff);
                let expected = oracle(wide, &case);
                // A sum of t products, in any order, strays by at most t + 1 units of the sum of their magnitudes
                // (Higham, "Accuracy and Stability of Numerical Algorithms", 3.1); the oracle's own error vanishes.
                let magnitudes = oracle(magnitudes, &case);
                for (i, (name, terms)) in [("z", k + 1), ("dw", m), ("db", m), ("dx", n)].into_iter().enumerate() {
                    let units = (terms + 1) as f64 * UNIT;
                    let bound: Vec<f64> = magnitudes[i].iter().map(|magnitude| units * magnitude).collect();
                    assert_close(&format!("{name}, {shape:?}, {}", level.name()), &found[i], &expected[i], &bound);
                }
            }
        }
    }

    #[test]
    fn gradients_add_up_until_they_are_forgotten() {
        let mut case = case((4, 17, 3), integers);
        assert_eq!((case.layer.weight_grad(), case.layer.bias_grad()), (None, None));
        let [_, dw, db, _] = oracle(wide, &case);
        for times in [1.0, 2.0, 3.0] {
            case.layer.backward(&case.x, &case.dz, None);
            let times = |values: &[f64]| values.iter().map(|value| value * times).collect::<Vec<_>>();
            assert_eq!(wide(&case.layer.weight_grad().unwrap()), times(&dw));
            assert_eq!(wide(case.layer.bias_grad().unwrap()), times(&db));
        }
        case.layer.zero_grad();
        assert_eq!((case.layer.weight_grad(), case.layer.bias_grad()), (None, None));
        let mut updates = 0;
        case.layer.for_each_gradient(|_, _, _| updates += 1);
        assert_eq!(updates, 0, "an optimizer must not see gradients that were forgotten");
    }

    #[test]
    fn an_optimizer_sees_weight_then_bias_with_their_gradients() {
        let mut case = case((4, 17, 3), integers);
        case.layer.backward(&case.x, &case.dz, None);
        let [_, dw, db, _] = oracle(wide, &case);
        let mut seen = Vec::new();
        case.layer.for_each_gradient(|_, values, gradient| seen.push((values.to_vec(), gradient.to_vec())));
        let [(weight, weight_grad), (bias, bias_grad)] = &seen[..] else { panic!("{} tensors", seen.len()) };
        assert_eq!(case.layer.in_rows(weight), case.weight);
        assert_eq!(wide(&case.layer.in_rows(weight_grad)), dw);
        assert_eq!((bias, wide(bias_grad)), (&case.bias, db));
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let message = |k: usize, n: usize, weights: usize, biases: usize| {
            Linear::from_parts(k, n, vec![0.0; weights], vec![0.0; biases]).unwrap_err().to_string()
        };
        for (message, parts) in [
            (message(3, 2, 5, 2), ["weight of", "3 inputs and 2 outputs", "expected 6 values, found 5"]),
            (message(3, 2, 6, 3), ["bias of", "3 inputs and 2 outputs", "expected 2 values, found 3"]),
            (message(0, 2, 0, 2), ["weight of", "0 inputs", "found 0"]),
            (message(3, 0, 0, 0), ["weight of", "0 outputs", "found 0"]),
            (message(usize::MAX, 2, 4, 2), ["weight of", "inputs", "expected fewer values, found 4"]),
        ] {
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        }
        assert!(Linear::from_parts(3, 2, vec![0.0; 6], vec![0.0; 2]).is_ok());
    }
}
