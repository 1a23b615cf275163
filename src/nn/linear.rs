//! The fully connected layer, `z = x W^T + b`, and its gradients: which kernel multiplies, and where in the flat buffer a
//! weight and a bias stand. It keeps no numbers.
//!
//! `params`, `grads`: the layer's own piece of the flat buffer, weight before bias.

use std::ops::Range;

use super::params::{Layout, ParamEntry, aligned};
use crate::kernels::compressed::{Compressed, CompressedRows};
use crate::kernels::gemm::{Matrix, gemm, gemm_into};
use crate::kernels::wide::few::FewColumns;
use crate::kernels::{AlignedVec, FewRows, KernelChoice, Output, Rows, SimdLevel, narrow, panels, pointwise, wide};

/// `z = x W^T + b`, with `W: [out_features, in_features]` as in PyTorch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Linear {
    in_features: usize,
    out_features: usize,
    kernel: Kernel,
}

/// What multiplies. It follows from the choice and the layer's shape, so that bits never depend on timing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kernel {
    Gemm,
    Narrow,
    Wide,
}

/// What a layer multiplies with, as its kernel takes it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operand<'a> {
    Rows(Rows<'a>),
    Compressed(CompressedRows<'a>),
    /// Their columns are there for a gradient alone.
    Few(FewRows<'a>, &'a FewColumns),
}

/// What a wide kernel takes of rows that are filled in.
fn compressed_or_few<'a>(x: Rows<'a>, room: &'a Compressed) -> Operand<'a> {
    match x {
        Rows::Few(x) => Operand::Few(x, room.few_columns()),
        x => Operand::Compressed(room.rows(x)),
    }
}

impl Linear {
    pub(crate) fn new(in_features: usize, out_features: usize, choice: KernelChoice) -> Self {
        let kernel = match choice {
            KernelChoice::Auto | KernelChoice::Narrow if out_features <= narrow::MAX_OUT_FEATURES => Kernel::Narrow,
            KernelChoice::Auto => Kernel::Wide,
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
            Kernel::Gemm => Layout::Transposed,
            Kernel::Narrow => Layout::Packed,
            Kernel::Wide => Layout::Panels,
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

    /// The rows of `x` as its kernel takes them; `room` is for what it has to make of them. Where a gradient is to follow,
    /// `columns` lets [`Self::operand_back`] find what it needs for it.
    pub(crate) fn operand<'a>(
        &self,
        simd: SimdLevel,
        x: Rows<'a>,
        width: usize,
        columns: bool,
        room: &'a mut Compressed,
    ) -> Operand<'a> {
        match self.kernel {
            Kernel::Gemm | Kernel::Narrow => Operand::Rows(x),
            Kernel::Wide => {
                if columns {
                    room.fill_with_columns(simd, x, width);
                } else {
                    room.fill(simd, x, width);
                }
                compressed_or_few(x, room)
            }
        }
    }

    /// The same rows for [`Self::backward_parameters`]: as they are, or as [`Self::operand`] left them in `room`.
    pub(crate) fn operand_back<'a>(&self, simd: SimdLevel, x: Rows<'a>, room: &'a mut Compressed) -> Operand<'a> {
        match self.kernel {
            Kernel::Gemm | Kernel::Narrow => Operand::Rows(x),
            Kernel::Wide => {
                if !room.has_columns() {
                    room.fill_with_columns(simd, x, self.in_features);
                }
                room.transpose(simd);
                compressed_or_few(x, room)
            }
        }
    }

    /// What some features add to the sums: `z = x[:, columns] W[:, columns]^T`.
    /// `x: [m, in_features]`, read, dense for GEMM; `z: [m, out_features]`, overwritten.
    pub(crate) fn multiply(
        &self,
        simd: SimdLevel,
        params: &[f32],
        x: Operand<'_>,
        columns: Range<usize>,
        z: &mut [f32],
    ) {
        let weight = self.weight(params);
        match x {
            Operand::Compressed(x) => wide::forward(simd, x, weight, self.out_features, columns, z),
            Operand::Few(x, _) => {
                wide::few::forward(simd, x, weight, self.out_features, &[columns.start, columns.end], z);
            }
            Operand::Rows(x) if self.kernel == Kernel::Narrow => {
                narrow::forward(simd, x, weight, self.out_features, columns, z);
            }
            Operand::Rows(x) => {
                let x = Matrix::row_major(x.values(), x.samples(self.in_features), self.in_features);
                let weight = Matrix::row_major(weight, self.in_features, self.out_features);
                gemm(x.columns(columns.clone()), weight.rows(columns), z);
            }
        }
    }

    /// The sum of what the parts of its features between `bounds` add, one after another, where it has it at once; as for
    /// [`Self::multiply`].
    pub(crate) fn multiply_parts(
        &self,
        simd: SimdLevel,
        params: &[f32],
        x: Operand<'_>,
        bounds: &[usize],
        z: &mut [f32],
    ) -> bool {
        let Operand::Few(x, _) = x else { return false };
        wide::few::forward(simd, x, self.weight(params), self.out_features, bounds, z);
        true
    }

    /// `z += b`, for every sample. `z: [m, out_features]`.
    pub(crate) fn add_bias(&self, simd: SimdLevel, params: &[f32], z: &mut [f32]) {
        let bias = &params[aligned(self.weight_floats())..][..self.out_features];
        pointwise::add_to_rows(simd, bias, z);
    }

    /// The weight as [`Self::multiply_back`] takes it: as it is, or for wide layers transposed, in `room`.
    pub(crate) fn weight_back<'a>(&self, simd: SimdLevel, params: &'a [f32], room: &'a mut AlignedVec) -> &'a [f32] {
        let weight = self.weight(params);
        if self.kernel != Kernel::Wide {
            return weight;
        }
        room.set_len(panels::len(self.in_features, self.out_features));
        panels::transpose(simd, weight, self.out_features, self.in_features, room);
        room
    }

    /// What some units add to the gradient with respect to the input: `dx = dz[:, units] W[units, :]`.
    /// `dz: [m, out_features]`, read; `dx: [m, in_features]`, overwritten.
    pub(crate) fn multiply_back(
        &self,
        simd: SimdLevel,
        weight_back: &[f32],
        dz: Operand<'_>,
        units: Range<usize>,
        dx: &mut [f32],
    ) {
        match dz {
            // A layer of `out_features` inputs and `in_features` outputs.
            Operand::Compressed(dz) => wide::forward(simd, dz, weight_back, self.in_features, units, dx),
            Operand::Few(dz, _) => {
                wide::few::forward(simd, dz, weight_back, self.in_features, &[units.start, units.end], dx);
            }
            Operand::Rows(dz) if self.kernel == Kernel::Narrow => {
                debug_assert_eq!(units.len(), self.out_features, "a narrow layer is never cut by its units");
                narrow::backward_input(simd, dz.values(), weight_back, self.out_features, dx);
            }
            Operand::Rows(dz) => {
                let dz = Matrix::row_major(dz.values(), dz.samples(self.out_features), self.out_features);
                let weight = Matrix::row_major(weight_back, self.in_features, self.out_features);
                gemm(dz.columns(units.clone()), weight.columns(units).transposed(), dx);
            }
        }
    }

    /// The gradients of the parameters, `dW = dz^T x` and `db = sum over the batch of dz`. `output` says what becomes of
    /// them: they replace what `buffer` holds or are added to it, as gradients, or `buffer` holds the parameters and takes a
    /// step of plain gradient descent. A sum over the batch is complete before it meets anything, so whether a step is taken
    /// here or from a stored gradient, the bits are the same.
    ///
    /// `x: [m, in_features]`, with its columns where it is compressed; `dz: [m, out_features]`; both read.
    pub(crate) fn backward_parameters(
        &self,
        simd: SimdLevel,
        x: Operand<'_>,
        dz: &[f32],
        output: Output,
        scratch: &mut AlignedVec,
        buffer: &mut [f32],
    ) {
        let m = dz.len() / self.out_features;
        let (weight, bias) = self.weight_and_bias(buffer);
        pointwise::sum_rows(simd, dz, output, bias);
        let most = match self.kernel {
            Kernel::Narrow => narrow::MAX_DESCEND_SAMPLES,
            Kernel::Wide => wide::MAX_DESCEND_SAMPLES,
            Kernel::Gemm => usize::MAX,
        };
        match (x, output) {
            // Of so many samples, a sum is complete only after it has been stored.
            (_, Output::Descend { lr }) if m > most => {
                let mut gradient = std::mem::take(scratch);
                gradient.set_len(weight.len());
                self.backward_weight(simd, x, dz, Output::Overwrite, scratch, &mut gradient);
                pointwise::sgd_step(simd, lr, &gradient, weight);
                *scratch = gradient;
            }
            _ => self.backward_weight(simd, x, dz, output, scratch, weight),
        }
    }

    fn backward_weight(
        &self,
        simd: SimdLevel,
        x: Operand<'_>,
        dz: &[f32],
        output: Output,
        scratch: &mut AlignedVec,
        weight: &mut [f32],
    ) {
        let (n, m) = (self.out_features, dz.len() / self.out_features);
        match x {
            Operand::Compressed(x) => wide::backward_weight(simd, x, dz, n, output, weight),
            Operand::Few(_, columns) => wide::few::backward_weight(simd, columns, dz, n, output, weight),
            Operand::Rows(x) if self.kernel == Kernel::Narrow => {
                narrow::backward_weight(simd, x, dz, n, output, weight)
            }
            Operand::Rows(x) => {
                let x = Matrix::row_major(x.values(), m, self.in_features).transposed();
                gemm_into(simd, x, Matrix::row_major(dz, m, n), output, scratch, weight);
            }
        }
    }
}
