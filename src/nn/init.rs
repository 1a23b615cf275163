//! Where weights start. Every draw comes from the seed and the layer's own place in the stream.

use std::fmt;
use std::str::FromStr;

use rand::rngs::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::{names, rng};

/// How the parameters of linear layers are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Init {
    /// The reference's: weights and bias from N(0, 0.1), each then scaled to an L2 norm of 1.
    #[default]
    UnitNorm,
    /// PyTorch's default for `nn.Linear`: weights and bias uniform in ±1/sqrt(in_features).
    KaimingUniform,
    /// Glorot and Bengio (2010): weights uniform in ±sqrt(6 / (in_features + out_features)), bias 0.
    XavierUniform,
    /// All zeros: the start of a linear classifier without luck; hidden layers never leave it.
    Zeros,
}

impl Init {
    /// Draws one layer. `weight: [out_features, in_features]` and `bias: [out_features]`, overwritten.
    pub(crate) fn draw(self, rng: &mut ChaCha8Rng, weight: &mut [f32], bias: &mut [f32]) {
        let out_features = bias.len();
        let in_features = weight.len() / out_features;
        match self {
            Init::UnitNorm => {
                for values in [weight, bias] {
                    rng::normal(rng, 0.0, 0.1, values);
                    scale_to_unit_norm(values);
                }
            }
            Init::KaimingUniform => {
                let bound = (1.0 / in_features as f64).sqrt() as f32;
                rng::uniform(rng, -bound, bound, weight);
                rng::uniform(rng, -bound, bound, bias);
            }
            Init::XavierUniform => {
                let bound = (6.0 / (in_features + out_features) as f64).sqrt() as f32;
                rng::uniform(rng, -bound, bound, weight);
                bias.fill(0.0);
            }
            Init::Zeros => {
                weight.fill(0.0);
                bias.fill(0.0);
            }
        }
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

impl fmt::Display for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl FromStr for Init {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        names::parse("init", text, "unit-norm, kaiming-uniform, xavier-uniform or zeros")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    fn drawn(init: Init) -> (Vec<f32>, Vec<f32>) {
        let (mut weight, mut bias) = (vec![f32::NAN; 7840], vec![f32::NAN; 10]);
        init.draw(&mut rng::stream(1, Stream::Init), &mut weight, &mut bias);
        (weight, bias)
    }

    fn norm(values: &[f32]) -> f64 {
        values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
    }

    #[test]
    fn unit_norm_has_a_norm_of_one() {
        let (weight, bias) = drawn(Init::UnitNorm);
        // 7,840 roundings of half an ulp each leave the norm within one f32 epsilon.
        assert!((norm(&weight) - 1.0).abs() < f64::from(f32::EPSILON), "{}", norm(&weight));
        assert!((norm(&bias) - 1.0).abs() < f64::from(f32::EPSILON));
        // 7,840 normal draws have a mean of 0 with a standard deviation of 1/sqrt(7840) of theirs; six of those.
        let mean = weight.iter().map(|w| f64::from(*w)).sum::<f64>() / 7840.0;
        assert!(mean.abs() < 6.0 / 7840.0, "{mean}");
    }

    #[test]
    fn uniform_draws_fill_their_bounds_and_do_not_leave_them() {
        for (init, bound) in [(Init::KaimingUniform, 1.0 / 28.0), (Init::XavierUniform, (6.0f32 / 794.0).sqrt())] {
            let (weight, bias) = drawn(init);
            let largest = weight.iter().fold(0f32, |max, w| max.max(w.abs()));
            assert!(largest <= bound && largest > 0.99 * bound, "{init}: {largest} of {bound}");
            assert_eq!(bias.iter().all(|b| *b == 0.0), init == Init::XavierUniform);
        }
        assert_eq!(drawn(Init::Zeros), (vec![0.0; 7840], vec![0.0; 10]));
    }

    #[test]
    fn names_are_read_back() {
        for name in ["unit-norm", "kaiming-uniform", "xavier-uniform", "zeros"] {
            assert_eq!(name.parse::<Init>().unwrap().to_string(), name);
        }
    }
}
