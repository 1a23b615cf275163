//! The sigmoid-weighted linear unit: Elfwing, Uchibe and Doya, "Sigmoid-weighted linear units for neural network function
//! approximation in reinforcement learning" (2018); "swish" of Ramachandran, Zoph and Le (2017).

use std::sync::Arc;

use fearless_simd::{Simd, prelude::*};

use super::{Activation, ErrorBound, Formula, ReluGrad, without_parameter};
use crate::kernels::{SimdLevel, dispatch, math};

/// `y = z s(z)` with `s(z) = 1 / (1 + e^-z)`; `f' = s(z) + z s(z) s(-z)`. As in PyTorch, minus infinity gives NaN.
#[derive(Debug, Clone, Copy)]
pub struct Silu;

pub(super) fn parse(parameter: Option<&str>, _: ReluGrad) -> Result<Arc<dyn Activation>, String> {
    without_parameter(parameter, Silu)
}

impl Activation for Silu {
    fn spec(&self) -> String {
        "silu".into()
    }

    fn forward(&self, level: SimdLevel, z: &[f32], y: &mut [f32]) {
        dispatch!(level, simd => math::map(simd, z, y, #[inline(always)] |z| z * math::sigmoid(simd, z).0));
    }

    fn backward(&self, level: SimdLevel, z: &[f32], _: &[f32], dy: &[f32], dz: &mut [f32]) {
        dispatch!(level, simd => math::map2(simd, z, dy, dz, #[inline(always)] |z, dy| dy * derivative(simd, z)));
    }

    fn reference(&self, z: f64) -> f64 {
        z / (1.0 + (-z).exp())
    }

    fn reference_derivative(&self, z: f64) -> f64 {
        let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
        sigmoid(z) * (1.0 + z * sigmoid(-z))
    }

    /// That of [`math::sigmoid`], twice where the product falls below a power of two that the sigmoid is above, and one
    /// product. From `z = -87` down, 0 stands for up to `87 e^-87`.
    fn error(&self) -> ErrorBound {
        ErrorBound { ulps: 6.5, absolute: 1.5e-36 }
    }

    /// Of s, 3 ULP; of z s(z) s(-z), 3 + 3 and two products. Below 1/2 the two terms have opposite signs and cancel at
    /// z = -1.278, where each is 0.22: absolute, there, to 3 of 2^-26 and 14 of 2^-26.
    fn derivative_error(&self) -> ErrorBound {
        ErrorBound { ulps: 8.0, absolute: 17.0 * 2f64.powi(-26) }
    }

    fn formula(&self) -> Formula {
        Formula::Z * Formula::Z.through(Formula::Sigmoid)
    }

    fn torch(&self) -> String {
        "nn.SiLU()".into()
    }
}

#[inline(always)]
fn derivative<S: Simd>(simd: S, z: S::f32s) -> S::f32s {
    let (s, opposite) = math::sigmoid(simd, z);
    // At 90, s(-z) is 0 already; an infinite z would make a NaN of it.
    (math::limit(simd, z, 90.0) * opposite).mul_add_precise(s, s)
}
