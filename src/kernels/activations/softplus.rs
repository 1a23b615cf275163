//! A smooth rectifier, for outputs that have to be above 0: Dugas, Bengio, Bélisle, Nadeau and Garcia, "Incorporating
//! second-order functional knowledge for better option pricing" (2000).

use std::sync::Arc;

use fearless_simd::{Simd, prelude::*};

use super::{Activation, ErrorBound, Formula, ReluGrad, without_parameter};
use crate::kernels::{SimdLevel, dispatch, math};

/// `y = ln(1 + e^z) = max(z, 0) + ln(1 + e^-|z|)`; `f' = 1 / (1 + e^-z)`.
#[derive(Debug, Clone, Copy)]
pub struct Softplus;

pub(super) fn parse(parameter: Option<&str>, _: ReluGrad) -> Result<Arc<dyn Activation>, String> {
    without_parameter(parameter, Softplus)
}

impl Activation for Softplus {
    fn spec(&self) -> String {
        "softplus".into()
    }

    fn forward(&self, level: SimdLevel, z: &[f32], y: &mut [f32]) {
        dispatch!(level, simd => math::map(simd, z, y, #[inline(always)] |z| value(simd, z)));
    }

    fn backward(&self, level: SimdLevel, z: &[f32], _: &[f32], dy: &[f32], dz: &mut [f32]) {
        dispatch!(level, simd => math::map2(simd, z, dy, dz, #[inline(always)] |z, dy| dy * math::sigmoid(simd, z).0));
    }

    fn reference(&self, z: f64) -> f64 {
        z.max(0.0) + (-z.abs()).exp().ln_1p()
    }

    fn reference_derivative(&self, z: f64) -> f64 {
        1.0 / (1.0 + (-z).exp())
    }

    /// 1 ULP of the exponential, 3 of the logarithm and one rounded sum; below -87, 0 stands for up to 1.7e-38.
    fn error(&self) -> ErrorBound {
        ErrorBound { ulps: 4.5, absolute: 1.7e-38 }
    }

    /// That of [`math::sigmoid`].
    fn derivative_error(&self) -> ErrorBound {
        ErrorBound { ulps: 3.5, absolute: 1.7e-38 }
    }

    fn formula(&self) -> Formula {
        let opposite = Formula::from(-1.0) * Formula::Z.through(Formula::Magnitude);
        Formula::at_least(0.0) + opposite.through(Formula::Exp).through(Formula::LnOnePlus)
    }

    fn torch(&self) -> String {
        "nn.Softplus()".into()
    }
}

#[inline(always)]
fn value<S: Simd>(simd: S, z: S::f32s) -> S::f32s {
    let zero = S::f32s::splat(simd, 0.0);
    z.simd_gt(zero).select(z, zero) + math::ln_1p(simd, math::exp_nonpositive(simd, -z.abs()))
}
