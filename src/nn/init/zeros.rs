//! Nothing drawn.

use rand::rngs::ChaCha8Rng;

/// All zeros. `weight`, `bias`: as for [`super::Init::draw`].
pub(super) fn draw(_: &mut ChaCha8Rng, weight: &mut [f32], bias: &mut [f32]) {
    weight.fill(0.0);
    bias.fill(0.0);
}
