//! He, Zhang, Ren and Sun, "Delving deep into rectifiers" (2015): PyTorch's `kaiming_normal_(weight, nonlinearity='relu')`.

use rand::rngs::ChaCha8Rng;

use crate::rng;

/// Weights from N(0, 2 / in_features) (fan_in, gain sqrt(2)), bias 0. `weight`, `bias`: as for [`super::Init::draw`].
pub(super) fn draw(rng: &mut ChaCha8Rng, weight: &mut [f32], bias: &mut [f32]) {
    let in_features = weight.len() / bias.len();
    rng::normal(rng, 0.0, (2.0 / in_features as f64).sqrt(), weight);
    bias.fill(0.0);
}
