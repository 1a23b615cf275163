//! Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks" (2010), uniform.

use rand::rngs::ChaCha8Rng;

use crate::rng;

/// Weights uniform in ±sqrt(6 / (in_features + out_features)), bias 0. `weight`, `bias`: as for [`super::Init::draw`].
pub(super) fn draw(rng: &mut ChaCha8Rng, weight: &mut [f32], bias: &mut [f32]) {
    let (in_features, out_features) = (weight.len() / bias.len(), bias.len());
    let bound = (6.0 / (in_features + out_features) as f64).sqrt() as f32;
    rng::uniform(rng, -bound, bound, weight);
    bias.fill(0.0);
}
