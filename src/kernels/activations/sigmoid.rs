//! The logistic function.

use std::sync::Arc;

use fearless_simd::prelude::*;

use super::{Activation, ErrorBound, Formula, ReluGrad, without_parameter};
use crate::kernels::{SimdLevel, dispatch, math};

/// `y = 1 / (1 + e^-z)`; `f' = y (1 - y)`, from the output, as in PyTorch.
#[derive(Debug, Clone, Copy)]
pub struct Sigmoid;

pub(super) fn parse(parameter: Option<&str>, _: ReluGrad) -> Result<Arc<dyn Activation>, String> {
    without_parameter(parameter, Sigmoid)
}

impl Activation for Sigmoid {
    fn spec(&self) -> String {
        "sigmoid".into()
    }

    fn forward(&self, level: SimdLevel, z: &[f32], y: &mut [f32]) {
        dispatch!(level, simd => math::map(simd, z, y, #[inline(always)] |z| math::sigmoid(simd, z).0));
    }

    fn backward(&self, level: SimdLevel, _: &[f32], y: &[f32], dy: &[f32], dz: &mut [f32]) {
        dispatch!(level, simd => math::map2(simd, y, dy, dz, #[inline(always)] |y, dy| {
            dy * (-y).mul_add_precise(y, y)
        }));
    }

    fn reference(&self, z: f64) -> f64 {
        1.0 / (1.0 + (-z).exp())
    }

    fn reference_derivative(&self, z: f64) -> f64 {
        self.reference(z) * self.reference(-z)
    }

    /// That of [`math::sigmoid`].
    fn error(&self) -> ErrorBound {
        ErrorBound { ulps: 3.0, absolute: 1.7e-38 }
    }

    /// One rounding, and |1 - 2y| <= 1 times the error of y. Where y is below 1/2 that is 3 ULP of y, at most 6 of f' >= y/2;
    /// where it is above, 3 ULP of 2^-24 each.
    fn derivative_error(&self) -> ErrorBound {
        ErrorBound { ulps: 6.5, absolute: 3.0 * 2f64.powi(-24) }
    }

    fn formula(&self) -> Formula {
        Formula::Z.through(Formula::Sigmoid)
    }

    fn torch(&self) -> String {
        "nn.Sigmoid()".into()
    }
}
