//! The fully connected layer, `z = x W^T + b`, and its gradients: which kernel multiplies, and where in the flat buffer a
//! weight and a bias stand. It keeps no numbers.
//!
//! `params`, `grads`: the layer's own piece of the flat buffer, weight before bias.

use std::ops::Range;

use super::params::{Layout, ParamEntry, aligned};
use crate::kernels::gemm::{Matrix, gemm, gemm_into};
use crate::kernels::{AlignedVec, KernelChoice, Output, Rows, SimdLevel, narrow, pointwise, wide};

/// `z = x W^T + b`, with `W: [out_features, in_features]` as in PyTorch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Linear {
    in_features: usize,
    out_features: usize,
    kernel: Kernel,
}

/// What multiplies. It follows from the choice, the layer's shape and place, and the encoding of its rows, so that bits never
/// depend on timing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kernel {
    Gemm,
    Narrow,
    /// Of rows whose zeros are left out; of dense rows, GEMM.
    Wide,
}

impl Linear {
    /// `reads_data`: its inputs are samples of a data set, not another layer's outputs.
    pub(crate) fn new(in_features: usize, out_features: usize, choice: KernelChoice, reads_data: bool) -> Self {
        let kernel = match choice {
            KernelChoice::Auto | KernelChoice::Narrow if out_features <= narrow::MAX_OUT_FEATURES => Kernel::Narrow,
            KernelChoice::Auto if reads_data => Kernel::Wide,
            _ => Kernel::Gemm,
        };
        Linear { in_features, out_features, kernel }
    }

    /// The same with other sizes: a shard.
    pub(crate) fn resized(self, in_features: usize, out_features: usize) -> Self {
        Linear { in_features, out_features, ..self }
    }

    /// Features of a sample that it takes.
    pub fn in_features(&self) -> usize {
        self.in_features
    }

    /// Features of a sample that it gives.
    pub fn out_features(&self) -> usize {
        self.out_features
    }

    /// `in_features * out_features`.
    pub fn weights(&self) -> usize {
        self.in_features * self.out_features
    }

    pub(crate) fn kernel(&self) -> Kernel {
        self.kernel
    }

    pub(crate) fn layout(&self) -> Layout {
        match self.kernel {
            Kernel::Gemm | Kernel::Wide => Layout::Transposed,
            Kernel::Narrow => Layout::Packed,
        }
    }

    fn weight_floats(&self) -> usize {
        ParamEntry::floats(self.layout(), &[self.out_features, self.in_features])
    }

    /// Weight and bias, from `start` of the flat buffer on.
    pub(crate) fn entries(&self, index: usize, start: usize) -> [ParamEntry; 2] {
        let (weight_end, bias_start) = (start + self.weight_floats(), start + aligned(self.weight_floats()));
        [
            ParamEntry {
                name: format!("{index}.weight"),
                shape: vec![self.out_features, self.in_features],
                layout: self.layout(),
                bias: false,
                range: start..weight_end,
            },
            ParamEntry {
                name: format!("{index}.bias"),
                shape: vec![self.out_features],
                layout: Layout::Rows,
                bias: true,
                range: bias_start..bias_start + self.out_features,
            },
        ]
    }

    fn weight<'p>(&self, params: &'p [f32]) -> &'p [f32] {
        &params[..self.weight_floats()]
    }

    fn weight_and_bias<'p>(&self, params: &'p mut [f32]) -> (&'p mut [f32], &'p mut [f32]) {
        let (weight, bias) = params.split_at_mut(aligned(self.weight_floats()));
        (&mut weight[..self.weight_floats()], &mut bias[..self.out_features])
    }

    /// What some features add to the sums: `z = x[:, columns] W[:, columns]^T`.
    /// `x: [m, in_features]`, read, dense for GEMM; `z: [m, out_features]`, overwritten.
    pub(crate) fn multiply(&self, simd: SimdLevel, params: &[f32], x: Rows<'_>, columns: Range<usize>, z: &mut [f32]) {
        debug_assert_eq!(x.samples(self.in_features) * self.out_features, z.len());
        let weight = self.weight(params);
        match (self.kernel, x) {
            (Kernel::Narrow, _) => narrow::forward(simd, x, weight, self.out_features, columns, z),
            (Kernel::Wide, Rows::Sparse(x)) => wide::forward(simd, x, weight, self.out_features, columns, z),
            (Kernel::Gemm | Kernel::Wide, _) => {
                let x = Matrix::row_major(x.values(), x.samples(self.in_features), self.in_features);
                let weight = Matrix::row_major(weight, self.in_features, self.out_features);
                gemm(x.columns(columns.clone()), weight.rows(columns), z);
            }
        }
    }

    /// `z += b`, for every sample. `z: [m, out_features]`.
    pub(crate) fn add_bias(&self, simd: SimdLevel, params: &[f32], z: &mut [f32]) {
        let bias = &params[aligned(self.weight_floats())..][..self.out_features];
        pointwise::add_to_rows(simd, bias, z);
    }

    /// What some units add to the gradient with respect to the input: `dx = dz[:, units] W[units, :]`.
    /// `dz: [m, out_features]`, read; `dx: [m, in_features]`, overwritten.
    pub(crate) fn multiply_back(
        &self,
        simd: SimdLevel,
        params: &[f32],
        dz: &[f32],
        units: Range<usize>,
        dx: &mut [f32],
    ) {
        let weight = self.weight(params);
        match self.kernel {
            Kernel::Narrow => {
                debug_assert_eq!(units.len(), self.out_features, "a narrow layer is never cut by its units");
                narrow::backward_input(simd, dz, weight, self.out_features, dx);
            }
            Kernel::Gemm | Kernel::Wide => {
                let dz = Matrix::row_major(dz, dz.len() / self.out_features, self.out_features);
                let weight = Matrix::row_major(weight, self.in_features, self.out_features);
                gemm(dz.columns(units.clone()), weight.columns(units).transposed(), dx);
            }
        }
    }

    /// The gradients of the parameters, `dW = dz^T x` and `db = sum over the batch of dz`. `output` says what becomes of
    /// them: they replace what `buffer` holds or are added to it, as gradients, or `buffer` holds the parameters and takes a
    /// step of plain gradient descent. A sum over the batch is complete before it meets anything, so whether a step is taken
    /// here or from a stored gradient, the bits are the same.
    ///
    /// `x: [m, in_features]`, `dz: [m, out_features]`, read.
    pub(crate) fn backward_parameters(
        &self,
        simd: SimdLevel,
        x: Rows<'_>,
        dz: &[f32],
        output: Output,
        scratch: &mut AlignedVec,
        buffer: &mut [f32],
    ) {
        let (n, m) = (self.out_features, dz.len() / self.out_features);
        let (weight, bias) = self.weight_and_bias(buffer);
        pointwise::sum_rows(simd, dz, output, bias);
        if let (Kernel::Wide, Rows::Sparse(x)) = (self.kernel, x) {
            match output {
                Output::Descend { lr } if m > wide::MAX_DESCEND_SAMPLES => {
                    scratch.set_len(weight.len());
                    wide::backward_weight(simd, x, dz, n, Output::Overwrite, scratch);
                    pointwise::sgd_step(simd, lr, scratch, weight);
                }
                _ => wide::backward_weight(simd, x, dz, n, output, weight),
            }
            return;
        }
        match (self.kernel, output) {
            (Kernel::Narrow, Output::Descend { lr }) if m > narrow::MAX_DESCEND_SAMPLES => {
                scratch.set_len(weight.len());
                narrow::backward_weight(simd, x, dz, n, Output::Overwrite, scratch);
                pointwise::sgd_step(simd, lr, scratch, weight);
            }
            (Kernel::Narrow, _) => narrow::backward_weight(simd, x, dz, n, output, weight),
            (Kernel::Gemm | Kernel::Wide, _) => {
                let x = Matrix::row_major(x.values(), m, self.in_features).transposed();
                gemm_into(simd, x, Matrix::row_major(dz, m, n), output, scratch, weight);
            }
        }
    }
}
