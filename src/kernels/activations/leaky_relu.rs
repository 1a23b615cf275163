//! The rectifier that leaks: Maas, Hannun and Ng, "Rectifier nonlinearities improve neural network acoustic models" (2013).

use std::sync::Arc;

use fearless_simd::prelude::*;

use super::{Activation, ErrorBound, Formula, ReluGrad};
use crate::kernels::{SimdLevel, dispatch, math};

/// `y = z` where `z > 0`, else `slope z`; `f' = 1` or `slope` alike, as in PyTorch also at 0.
#[derive(Debug, Clone, Copy)]
pub struct LeakyRelu {
    slope: f32,
}

/// PyTorch's `negative_slope`.
const DEFAULT_SLOPE: f32 = 0.01;

pub(super) fn parse(parameter: Option<&str>, _: ReluGrad) -> Result<Arc<dyn Activation>, String> {
    let slope = parameter.map_or(Some(DEFAULT_SLOPE), |text| text.parse().ok().filter(|slope: &f32| slope.is_finite()));
    match slope {
        Some(slope) => Ok(Arc::new(LeakyRelu { slope })),
        None => Err(format!("a finite number after leaky-relu:, such as leaky-relu:{DEFAULT_SLOPE}")),
    }
}

impl Activation for LeakyRelu {
    fn spec(&self) -> String {
        format!("leaky-relu:{}", self.slope)
    }

    fn forward(&self, level: SimdLevel, z: &[f32], y: &mut [f32]) {
        // Made of two lines through 0: f(z) = z f'(z).
        self.backward(level, z, z, z, y);
    }

    fn backward(&self, level: SimdLevel, z: &[f32], _: &[f32], dy: &[f32], dz: &mut [f32]) {
        // By hand, as a compiler makes branches of it.
        dispatch!(level, simd => math::map2(simd, z, dy, dz, #[inline(always)] |z, dy| {
            z.simd_gt(0.0).select(dy, dy * self.slope)
        }));
    }

    fn reference(&self, z: f64) -> f64 {
        if z > 0.0 { z } else { f64::from(self.slope) * z }
    }

    fn reference_derivative(&self, z: f64) -> f64 {
        if z > 0.0 { 1.0 } else { f64::from(self.slope) }
    }

    /// One product, rounded once.
    fn error(&self) -> ErrorBound {
        ErrorBound { ulps: 0.5, absolute: 0.0 }
    }

    fn derivative_error(&self) -> ErrorBound {
        ErrorBound::EXACT
    }

    fn formula(&self) -> Formula {
        Formula::at_least(0.0) + Formula::from(f64::from(self.slope)) * Formula::at_most(0.0)
    }

    fn torch(&self) -> String {
        format!("nn.LeakyReLU({:?})", self.slope)
    }
}
