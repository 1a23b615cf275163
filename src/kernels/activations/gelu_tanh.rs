//! The approximation of GELU by a hyperbolic tangent: Hendrycks and Gimpel, "Gaussian error linear units" (2016), section 2.

use std::f32::consts::FRAC_2_SQRT_PI;
use std::sync::Arc;

use fearless_simd::{Simd, prelude::*};

use super::{Activation, ErrorBound, Formula, ReluGrad, without_parameter};
use crate::kernels::{SimdLevel, dispatch, math};

/// `y = z (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))) / 2`, PyTorch's `approximate='tanh'`. As there, minus infinity gives NaN.
///
/// Since `(1 + tanh(u)) / 2 = s(2u)` with `s(w) = 1 / (1 + e^-w)`: `y = z s(w)`, `f' = s(w) + z w' s(w) s(-w)`, where
/// `w = z (a + b z^2)` and `w' = a + 3 b z^2` with `a = 2 sqrt(2/pi)` and `b = 0.044715 a`.
#[derive(Debug, Clone, Copy)]
pub struct GeluTanh;

const A: f32 = FRAC_2_SQRT_PI * std::f32::consts::SQRT_2;
const B: f32 = 0.044_715 * A;

pub(super) fn parse(parameter: Option<&str>, _: ReluGrad) -> Result<Arc<dyn Activation>, String> {
    without_parameter(parameter, GeluTanh)
}

impl Activation for GeluTanh {
    fn spec(&self) -> String {
        "gelu-tanh".into()
    }

    fn forward(&self, level: SimdLevel, z: &[f32], y: &mut [f32]) {
        dispatch!(level, simd => math::map(simd, z, y, #[inline(always)] |z| {
            let w = limited(simd, z) * slope(simd, z, B);
            z * math::sigmoid(simd, w).0
        }));
    }

    fn backward(&self, level: SimdLevel, z: &[f32], _: &[f32], dy: &[f32], dz: &mut [f32]) {
        dispatch!(level, simd => math::map2(simd, z, dy, dz, #[inline(always)] |z, dy| dy * derivative(simd, z)));
    }

    fn reference(&self, z: f64) -> f64 {
        z / (1.0 + (-w(z)).exp())
    }

    fn reference_derivative(&self, z: f64) -> f64 {
        let sigmoid = |w: f64| 1.0 / (1.0 + (-w).exp());
        let slope = (8.0 / std::f64::consts::PI).sqrt() * (1.0 + 3.0 * 0.044715 * z * z);
        // Far out the slope is infinite, what it is multiplied by 0.
        let bend = if z.abs() > 30.0 { 0.0 } else { z * slope * sigmoid(-w(z)) };
        sigmoid(w(z)) * (1.0 + bend)
    }

    /// For z >= 0 that of [`math::sigmoid`] and one product. Below, an error of w is a relative one of y: w is wrong by
    /// some 3 roundings, 3 |w| of 2^-24 relative, where y is `z e^w`: |z w| e^w <= 0.5, most at w = -1.5 or so; so
    /// 1.5 of 2^-24 of an absolute error, too.
    fn error(&self) -> ErrorBound {
        ErrorBound { ulps: 6.5, absolute: 1.5 * 2f64.powi(-24) }
    }

    /// As for silu, 17 of 2^-26 where the terms cancel, and what w's error, 3 |w| of 2^-24, does through
    /// f'' / w' <= 1: at most 3 of 2^-24.
    fn derivative_error(&self) -> ErrorBound {
        ErrorBound { ulps: 8.0, absolute: 30.0 * 2f64.powi(-26) }
    }

    fn formula(&self) -> Formula {
        let a = (8.0 / std::f64::consts::PI).sqrt();
        let slope = Formula::from(a) + Formula::from(0.044715 * a) * (Formula::Z * Formula::Z);
        Formula::Z * (Formula::Z * slope).through(Formula::Sigmoid)
    }

    fn torch(&self) -> String {
        "nn.GELU(approximate='tanh')".into()
    }
}

fn w(z: f64) -> f64 {
    (8.0 / std::f64::consts::PI).sqrt() * (z + 0.044715 * z.powi(3))
}

/// At 11, w is 112 and its sigmoid 1, or 0, already; the powers of a large z would be infinite.
#[inline(always)]
fn limited<S: Simd>(simd: S, z: S::f32s) -> S::f32s {
    math::limit(simd, z, 11.0)
}

/// `A + b z^2`.
#[inline(always)]
fn slope<S: Simd>(simd: S, z: S::f32s, b: f32) -> S::f32s {
    let z = limited(simd, z);
    (z * z).mul_add_precise(b, S::f32s::splat(simd, A))
}

#[inline(always)]
fn derivative<S: Simd>(simd: S, z: S::f32s) -> S::f32s {
    let near = limited(simd, z);
    let (s, opposite) = math::sigmoid(simd, near * slope(simd, z, B));
    (near * slope(simd, z, 3.0 * B) * opposite).mul_add_precise(s, s)
}
