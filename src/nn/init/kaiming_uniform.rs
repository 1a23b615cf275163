//! PyTorch's start of `nn.Linear`: `kaiming_uniform_(weight, a=sqrt(5))`, whose gain of sqrt(1/3) makes the bound below.

use rand::rngs::ChaCha8Rng;

use crate::rng;

/// Weights and bias uniform in ±1/sqrt(in_features). `weight`, `bias`: as for [`super::Init::draw`].
pub(super) fn draw(rng: &mut ChaCha8Rng, weight: &mut [f32], bias: &mut [f32]) {
    let in_features = weight.len() / bias.len();
    let bound = (1.0 / in_features as f64).sqrt() as f32;
    rng::uniform(rng, -bound, bound, weight);
    rng::uniform(rng, -bound, bound, bias);
}
