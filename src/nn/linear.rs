//! The fully connected layer.

use crate::error::{Error, Result};
use crate::kernels::gemm::{Matrix, Output, gemm};
use crate::kernels::{SimdLevel, pointwise};

/// `z = x W^T + b`, with `W: [out_features, in_features]` as in PyTorch.
#[derive(Debug, Clone)]
pub struct Linear {
    in_features: usize,
    out_features: usize,
    weight: Vec<f32>,
    bias: Vec<f32>,
    weight_grad: Vec<f32>,
    bias_grad: Vec<f32>,
    /// Whether the gradients hold anything; as in PyTorch, zeroing them means forgetting them.
    has_grad: bool,
    level: SimdLevel,
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
        Ok(Linear {
            in_features,
            out_features,
            weight_grad: vec![0.0; weight.len()],
            bias_grad: vec![0.0; bias.len()],
            weight,
            bias,
            has_grad: false,
            level: SimdLevel::detect(),
        })
    }

    pub fn in_features(&self) -> usize {
        self.in_features
    }

    pub fn out_features(&self) -> usize {
        self.out_features
    }

    /// `[out_features, in_features]`.
    pub fn weight(&self) -> &[f32] {
        &self.weight
    }

    /// `[out_features, in_features]`.
    pub fn weight_mut(&mut self) -> &mut [f32] {
        &mut self.weight
    }

    /// `[out_features]`.
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// `[out_features]`.
    pub fn bias_mut(&mut self) -> &mut [f32] {
        &mut self.bias
    }

    /// The loss's derivative by the weight, `[out_features, in_features]`; none since the last [`Self::zero_grad`].
    pub fn weight_grad(&self) -> Option<&[f32]> {
        self.has_grad.then_some(&*self.weight_grad)
    }

    /// The loss's derivative by the bias, `[out_features]`; none since the last [`Self::zero_grad`].
    pub fn bias_grad(&self) -> Option<&[f32]> {
        self.has_grad.then_some(&*self.bias_grad)
    }

    pub(crate) fn set_level(&mut self, level: SimdLevel) {
        self.level = level;
    }

    /// `z = x W^T + b`. `x: [m, in_features]`, read; `z: [m, out_features]`, overwritten.
    pub fn forward(&self, x: &[f32], z: &mut [f32]) {
        let m = self.batch_size(x, z);
        pointwise::fill_rows(&self.bias, z);
        let weight = Matrix::row_major(&self.weight, self.out_features, self.in_features);
        gemm(Matrix::row_major(x, m, self.in_features), weight.transposed(), Output::Accumulate, z);
    }

    /// Adds to the gradients `dW = dz^T x` and `db = sum of dz over the batch`, and, where asked, writes `dx = dz W`.
    ///
    /// `x: [m, in_features]`, the input of [`Self::forward`]; `dz: [m, out_features]`, the loss's derivative by its output;
    /// `dx: [m, in_features]`, overwritten.
    pub fn backward(&mut self, x: &[f32], dz: &[f32], dx: Option<&mut [f32]>) {
        let m = self.batch_size(x, dz);
        let dz_matrix = Matrix::row_major(dz, m, self.out_features);
        let output = if self.has_grad { Output::Accumulate } else { Output::Overwrite };
        if !self.has_grad {
            self.bias_grad.fill(0.0);
            self.has_grad = true;
        }
        gemm(dz_matrix.transposed(), Matrix::row_major(x, m, self.in_features), output, &mut self.weight_grad);
        pointwise::add_rows(self.level, dz, &mut self.bias_grad);
        if let Some(dx) = dx {
            let weight = Matrix::row_major(&self.weight, self.out_features, self.in_features);
            gemm(dz_matrix, weight, Output::Overwrite, dx);
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

    fn batch_size(&self, x: &[f32], z: &[f32]) -> usize {
        let m = x.len() / self.in_features;
        debug_assert_eq!((x.len(), z.len()), (m * self.in_features, m * self.out_features));
        m
    }
}
