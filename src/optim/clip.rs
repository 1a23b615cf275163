//! Gradients cut to size, as `torch.nn.utils.clip_grad_norm_` and `clip_grad_value_` do.
//!
//! The norm is that of all gradients as one vector, and must not depend on how they lie among threads. So it has one order of
//! summation: `Sequential::sum_over_gradients` adds up runs that follow from the network's shapes, and [`sum_of_squares`]
//! adds up a run.

use crate::error::{Error, Result};
use crate::kernels::{LANES, SimdLevel};
use crate::nn::{Context, Sequential};
use crate::parallel::comm::{Comm, Local};

/// How gradients are bounded before a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Clip {
    /// All are multiplied by one factor, so that their norm as one vector is at most this.
    Norm(f32),
    /// Each is cut to at most this, on either side of 0.
    Value(f32),
}

impl Clip {
    /// Whether the bound is in its domain.
    ///
    /// # Errors
    /// [`Error::Setting`] unless it is positive.
    pub fn validate(&self) -> Result<()> {
        let (name, bound) = match self {
            Clip::Norm(bound) => ("clip_norm", *bound),
            Clip::Value(bound) => ("clip_value", *bound),
        };
        if bound > 0.0 && bound.is_finite() {
            return Ok(());
        }
        Err(Error::Setting { name, found: bound.to_string(), expected: "a positive finite number".into() })
    }

    /// Bounds the gradients of `model`; for loops written by hand, between backward and step.
    pub fn apply(&self, model: &mut Sequential, context: &Context) {
        apply(*self, model, context, &mut Local::default());
    }
}

/// [`Clip::apply`] on one of several ranks.
pub(crate) fn apply(clip: Clip, model: &mut Sequential, context: &Context, comm: &mut dyn Comm) {
    let simd = context.simd;
    match clip {
        Clip::Norm(bound) => {
            let total = model.sum_over_gradients(context, comm, |run| sum_of_squares(simd, run));
            let factor = clip_factor(total, f64::from(bound));
            if factor != 1.0 {
                model.for_each_gradient(|_, _, _, grads| scale(simd, factor, grads));
            }
        }
        Clip::Value(bound) => model.for_each_gradient(|_, _, _, grads| clip_values(simd, bound, grads)),
    }
}

/// The norm of all gradients of `model` as one vector, on one of several ranks: on each the same bits.
pub(crate) fn norm(model: &Sequential, context: &Context, comm: &mut dyn Comm) -> f64 {
    // Sums of squares cross between ranks as f32, which ends long before the squares of f32 do.
    const SMALL: f64 = 1.0 / (1_u128 << 80) as f64;
    let simd = context.simd;
    let total = model.sum_over_gradients(context, comm, |run| sum_of_squares(simd, run));
    if total.is_finite() {
        return total.sqrt();
    }
    let scaled = model.sum_over_gradients(context, comm, |run| sum_of_squares(simd, run) * SMALL * SMALL);
    scaled.sqrt() / SMALL
}

/// The sum of squares of one run, in f64, where each square is exact.
///
/// `grads`: any length, read. Sixteen sums, one a lane, are added pairwise at the end.
pub fn sum_of_squares(level: SimdLevel, grads: &[f32]) -> f64 {
    level.run(
        #[inline(always)]
        || {
            let mut sums = [0.0_f64; LANES];
            let (blocks, tail) = grads.as_chunks::<LANES>();
            for block in blocks {
                for (sum, value) in sums.iter_mut().zip(block) {
                    *sum += f64::from(*value) * f64::from(*value);
                }
            }
            for (sum, value) in sums.iter_mut().zip(tail) {
                *sum += f64::from(*value) * f64::from(*value);
            }
            let mut half = LANES / 2;
            while half > 0 {
                for lane in 0..half {
                    sums[lane] += sums[lane + half];
                }
                half /= 2;
            }
            sums[0]
        },
    )
}

/// What gradients with this sum of squares are to be multiplied by, so that their norm is at most `max_norm`: 1 if it is,
/// and otherwise a little less than their quotient, as in PyTorch: `max_norm / (norm + 1e-6)`. NaN if `total` is.
pub fn clip_factor(total: f64, max_norm: f64) -> f32 {
    let factor = max_norm / (total.sqrt() + 1e-6);
    // Not `min`, which would take 1 for a NaN.
    if factor > 1.0 { 1.0 } else { factor as f32 }
}

/// `grads *= factor`. `grads`: any length, overwritten.
pub fn scale(level: SimdLevel, factor: f32, grads: &mut [f32]) {
    level.run(
        #[inline(always)]
        || {
            for value in grads {
                *value *= factor;
            }
        },
    );
}

/// Cuts each gradient to `-limit..=limit`; NaN stays NaN. `grads`: any length, overwritten; `limit`: not below 0.
pub fn clip_values(level: SimdLevel, limit: f32, grads: &mut [f32]) {
    level.run(
        #[inline(always)]
        || {
            for value in grads {
                *value = if *value > limit { limit } else { *value };
                *value = if *value < -limit { -limit } else { *value };
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{levels, random};
    use crate::optim::golden::Golden;

    #[test]
    fn a_sum_of_squares_is_that_on_every_level() {
        for len in [0, 1, 15, 16, 17, 1023, 5 * 1024 + 77] {
            let grads = random(len, 1);
            let exact: f64 = grads.iter().map(|value| f64::from(*value).powi(2)).sum();
            let mut expected = None;
            for level in levels() {
                let total = sum_of_squares(level, &grads);
                assert_eq!(total.to_bits(), expected.get_or_insert(total).to_bits(), "{} {len}", level.name());
                // Two orders of summation, each off by at most half an ulp an addition.
                assert!((total - exact).abs() <= exact * f64::EPSILON * len as f64, "{total}, not {exact}");
            }
        }
    }

    #[test]
    fn gradients_are_scaled_as_pytorch_scales_them() {
        let golden = Golden::read("optimizers");
        let grads = golden.f32s("clip.grads");
        for max_norm in golden.f64s("clip.max_norms") {
            let expected = golden.f64s(&format!("clip.norm.{max_norm}"));
            for level in levels() {
                let mut found = grads.clone();
                let factor = clip_factor(sum_of_squares(level, &grads), max_norm);
                scale(level, factor, &mut found);
                for (found, expected) in found.iter().zip(&expected) {
                    // The factor is rounded once, and so is the product.
                    assert!((f64::from(*found) - expected).abs() <= expected.abs() * f64::from(f32::EPSILON));
                }
            }
        }
    }

    /// Gradients whose squares no f32 holds have a norm all the same.
    #[test]
    fn large_gradients_have_a_norm() {
        let mut model = Sequential::new(3).linear(2).build(0).unwrap();
        let (context, mut workspace) = (Context::train(0), crate::nn::Workspace::new());
        for size in [1.0, 1e25_f32, 1e37] {
            let x = [3.0, 0.0, 1.0];
            model.forward(&x[..], &context, &mut workspace);
            model.zero_grad();
            model.backward(&x[..], &[2.0 * size, -size], &context, &mut workspace);
            // The outer product of output gradients and inputs, and the output gradients themselves for the biases.
            let expected = f64::from(size) * (5.0 * 10.0 + 5.0_f64).sqrt();
            let found = norm(&model, &context, &mut Local::default());
            assert!((found - expected).abs() <= 1e-6 * expected, "{found}, expected {expected}");
        }
    }

    #[test]
    fn a_gradient_that_is_not_a_number_is_not_hidden() {
        assert!(clip_factor(f64::NAN, 1.0).is_nan());
        assert_eq!(clip_factor(f64::INFINITY, 1.0), 0.0);
        assert_eq!(clip_factor(0.0, 1.0), 1.0);
        for level in levels() {
            let mut values = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.5, -0.75, 0.25, -0.0].repeat(5);
            clip_values(level, 0.5, &mut values);
            for values in values.chunks(7) {
                assert!(values[0].is_nan());
                assert_eq!(values[1..], [0.5, -0.5, 0.5, -0.5, 0.25, -0.0]);
            }
            assert!(sum_of_squares(level, &[0.0, f32::NAN]).is_nan());
        }
    }
}
