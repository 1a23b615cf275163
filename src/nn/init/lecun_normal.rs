//! LeCun, Bottou, Orr and Müller, "Efficient BackProp" (1998): Keras' `lecun_normal` without its cut at two deviations;
//! the start that self-normalizing networks ask for.

use rand::rngs::ChaCha8Rng;

use crate::rng;

/// Weights from N(0, 1 / in_features), bias 0. `weight`, `bias`: as for [`super::Init::draw`].
pub(super) fn draw(rng: &mut ChaCha8Rng, weight: &mut [f32], bias: &mut [f32]) {
    let in_features = weight.len() / bias.len();
    rng::normal(rng, 0.0, (1.0 / in_features as f64).sqrt(), weight);
    bias.fill(0.0);
}
