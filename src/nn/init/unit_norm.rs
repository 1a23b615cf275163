//! The reference's start.

use rand::rngs::ChaCha8Rng;

use crate::rng;

/// Weights and bias from N(0, 0.1), each divided by its L2 norm. `weight`, `bias`: as for [`super::Init::draw`].
pub(super) fn draw(rng: &mut ChaCha8Rng, weight: &mut [f32], bias: &mut [f32]) {
    for values in [weight, bias] {
        rng::normal(rng, 0.0, 0.1, values);
        scale_to_unit_norm(values);
    }
}

fn scale_to_unit_norm(values: &mut [f32]) {
    let norm = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    if norm > 0.0 {
        for value in values {
            *value = (f64::from(*value) / norm) as f32;
        }
    }
}
