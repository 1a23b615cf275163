//! The Gaussian error linear unit: Hendrycks and Gimpel, "Gaussian error linear units" (2016).

use std::sync::Arc;

use fearless_simd::prelude::*;

use super::{Activation, ErrorBound, Formula, ReluGrad, without_parameter};
use crate::kernels::{SimdLevel, dispatch, erf, math};

/// `y = z P(Z <= z)` of a standard normal `Z`, which is `z erfc(-z / sqrt(2)) / 2`; `f' = P(Z <= z) + z exp(-z^2/2) / sqrt(2 pi)`.
/// As in PyTorch, minus infinity gives NaN.
#[derive(Debug, Clone, Copy)]
pub struct Gelu;

pub(super) fn parse(parameter: Option<&str>, _: ReluGrad) -> Result<Arc<dyn Activation>, String> {
    without_parameter(parameter, Gelu)
}

impl Activation for Gelu {
    fn spec(&self) -> String {
        "gelu".into()
    }

    fn forward(&self, level: SimdLevel, z: &[f32], y: &mut [f32]) {
        dispatch!(level, simd => math::map(simd, z, y, #[inline(always)] |z| z * math::normal(simd, z).0));
    }

    fn backward(&self, level: SimdLevel, z: &[f32], _: &[f32], dy: &[f32], dz: &mut [f32]) {
        dispatch!(level, simd => math::map2(simd, z, dy, dz, #[inline(always)] |z, dy| {
            let (cdf, times_density) = math::normal(simd, z);
            dy * (cdf + times_density.copysign(z))
        }));
    }

    fn reference(&self, z: f64) -> f64 {
        z * erf::normal_cdf(z)
    }

    fn reference_derivative(&self, z: f64) -> f64 {
        erf::normal_cdf(z) + z * erf::normal_pdf(z)
    }

    /// The relative error of [`math::normal`], 9.5 of 2^-24, and one product. From `z = -13.2` down, 0 stands for up to 13.2 times what is below 1.7e-38.
    fn error(&self) -> ErrorBound {
        ErrorBound { ulps: 10.5, absolute: 2.3e-37 }
    }

    /// Two terms of 9.5 and 4.5 of 2^-24, and their sum. Below 0 their signs are opposite and they cancel at z = -0.7518,
    /// where each is 0.226: absolute, there, to 14 of 2^-26.
    fn derivative_error(&self) -> ErrorBound {
        ErrorBound { ulps: 10.5, absolute: 14.0 * 2f64.powi(-26) }
    }

    fn formula(&self) -> Formula {
        let erf = (Formula::Z * Formula::from(std::f64::consts::FRAC_1_SQRT_2)).through(Formula::Erf);
        Formula::Z * (Formula::from(0.5) * (Formula::from(1.0) + erf))
    }

    fn torch(&self) -> String {
        "nn.GELU()".into()
    }
}
