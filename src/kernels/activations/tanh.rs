//! The hyperbolic tangent.

use std::sync::Arc;

use fearless_simd::prelude::*;

use super::{Activation, ErrorBound, Formula, ReluGrad, without_parameter};
use crate::kernels::{SimdLevel, dispatch, math};

/// `y = tanh(z)`; `f' = 1 - y^2`, from the output, as in PyTorch.
#[derive(Debug, Clone, Copy)]
pub struct Tanh;

pub(super) fn parse(parameter: Option<&str>, _: ReluGrad) -> Result<Arc<dyn Activation>, String> {
    without_parameter(parameter, Tanh)
}

impl Activation for Tanh {
    fn spec(&self) -> String {
        "tanh".into()
    }

    fn forward(&self, level: SimdLevel, z: &[f32], y: &mut [f32]) {
        dispatch!(level, simd => math::map(simd, z, y, #[inline(always)] |z| math::tanh(simd, z)));
    }

    fn backward(&self, level: SimdLevel, _: &[f32], y: &[f32], dy: &[f32], dz: &mut [f32]) {
        dispatch!(level, simd => math::map2(simd, y, dy, dz, #[inline(always)] |y, dy| {
            dy * (-y).mul_add_precise(y, 1.0)
        }));
    }

    fn reference(&self, z: f64) -> f64 {
        z.tanh()
    }

    fn reference_derivative(&self, z: f64) -> f64 {
        z.cosh().recip().powi(2)
    }

    /// That of [`math::tanh`].
    fn error(&self) -> ErrorBound {
        ErrorBound { ulps: 2.0, absolute: 0.0 }
    }

    /// One rounding, and 2 |y| times the error of y, which is at most 2 ULP, of 2^-24 each.
    fn derivative_error(&self) -> ErrorBound {
        ErrorBound { ulps: 0.5, absolute: 4.0 * 2f64.powi(-24) }
    }

    fn formula(&self) -> Formula {
        Formula::Z.through(Formula::Tanh)
    }

    fn torch(&self) -> String {
        "nn.Tanh()".into()
    }
}
