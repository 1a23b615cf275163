//! Where weights start: one file each and one list. Every draw comes from the seed and the layer's own place in the stream.

mod kaiming_normal;
mod kaiming_uniform;
mod lecun_normal;
mod orthogonal;
mod unit_norm;
mod xavier_normal;
mod xavier_uniform;
mod zeros;

use std::fmt;
use std::str::FromStr;

use rand::rngs::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::names;

/// From `Variant = module` to the enum, its list, and the call of `module::draw`.
macro_rules! initialisers {
    ($($(#[$attribute:meta])* $variant:ident = $module:ident,)*) => {
        /// How the parameters of linear layers are drawn.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        #[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
        pub enum Init {
            $($(#[$attribute])* $variant,)*
        }

        impl Init {
            /// All of them.
            pub const ALL: &[Init] = &[$(Init::$variant,)*];

            /// Draws one layer. `weight: [out_features, in_features]` and `bias: [out_features]`, overwritten.
            pub(crate) fn draw(self, rng: &mut ChaCha8Rng, weight: &mut [f32], bias: &mut [f32]) {
                match self {
                    $(Init::$variant => $module::draw(rng, weight, bias),)*
                }
            }
        }
    };
}

// Another one is a file with `draw`, its `mod` line, and a line here.
initialisers! {
    /// The reference's: weights and bias from N(0, 0.1), each then scaled to an L2 norm of 1.
    #[default]
    UnitNorm = unit_norm,
    /// PyTorch's default for `nn.Linear`: weights and bias uniform in ±1/sqrt(in_features).
    KaimingUniform = kaiming_uniform,
    /// He et al. (2015), for ReLU: weights from N(0, 2 / in_features), bias 0.
    KaimingNormal = kaiming_normal,
    /// LeCun et al. (1998): weights from N(0, 1 / in_features), bias 0.
    LecunNormal = lecun_normal,
    /// Glorot and Bengio (2010): weights uniform in ±sqrt(6 / (in_features + out_features)), bias 0.
    XavierUniform = xavier_uniform,
    /// Glorot and Bengio (2010): weights from N(0, 2 / (in_features + out_features)), bias 0.
    XavierNormal = xavier_normal,
    /// Saxe et al. (2013): rows (or columns, of which there are fewer) orthogonal and of length 1, bias 0.
    Orthogonal = orthogonal,
    /// All zeros: the start of a linear classifier without luck; hidden layers never leave it.
    Zeros = zeros,
}

impl fmt::Display for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl FromStr for Init {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let all: Vec<_> = Init::ALL.iter().map(Init::to_string).collect();
        let (last, others) = all.split_last().expect("the list is not empty");
        names::parse("init", text, &format!("{} or {last}", others.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{self, Stream};

    const IN: usize = 784;
    const OUT: usize = 10;

    fn drawn(init: Init, in_features: usize, out_features: usize) -> (Vec<f32>, Vec<f32>) {
        let (mut weight, mut bias) = (vec![f32::NAN; in_features * out_features], vec![f32::NAN; out_features]);
        init.draw(&mut rng::stream(1, Stream::Init), &mut weight, &mut bias);
        (weight, bias)
    }

    fn norm(values: &[f32]) -> f64 {
        values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
    }

    #[test]
    fn unit_norm_has_a_norm_of_one() {
        let (weight, bias) = drawn(Init::UnitNorm, IN, OUT);
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
            let (weight, bias) = drawn(init, IN, OUT);
            let largest = weight.iter().fold(0f32, |max, w| max.max(w.abs()));
            assert!(largest <= bound && largest > 0.99 * bound, "{init}: {largest} of {bound}");
            assert_eq!(bias.iter().all(|b| *b == 0.0), init == Init::XavierUniform);
        }
        assert_eq!(drawn(Init::Zeros, IN, OUT), (vec![0.0; 7840], vec![0.0; 10]));
    }

    #[test]
    fn normal_draws_have_their_mean_and_variance() {
        for (init, variance) in
            [(Init::KaimingNormal, 2.0 / 784.0), (Init::LecunNormal, 1.0 / 784.0), (Init::XavierNormal, 2.0 / 794.0)]
        {
            let (weight, bias) = drawn(init, IN, OUT);
            assert_eq!(bias, [0.0; OUT]);
            let count = weight.len() as f64;
            let mean = weight.iter().map(|w| f64::from(*w)).sum::<f64>() / count;
            let found = weight.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>() / count;
            // Five standard errors: the mean has variance / count, the mean square 2 variance^2 / count.
            assert!(mean.abs() <= 5.0 * (variance / count).sqrt(), "{init}: {mean}");
            assert!((found - variance).abs() <= 5.0 * variance * (2.0 / count).sqrt(), "{init}: {found} of {variance}");
        }
        // Of a tall layer the two differ by the factor 11.
        let (weight, _) = drawn(Init::XavierNormal, 100, 1000);
        assert!((norm(&weight).powi(2) / 1e5 / (2.0 / 1100.0) - 1.0).abs() < 0.03);
        let (weight, _) = drawn(Init::KaimingNormal, 100, 1000);
        assert!((norm(&weight).powi(2) / 1e5 / (2.0 / 100.0) - 1.0).abs() < 0.03);
    }

    /// Another result means that published figures no longer come from their seeds.
    #[test]
    fn golden_draws() {
        for (init, expected) in GOLDEN {
            let (weight, bias) = drawn(*init, 3, 2);
            let found = [weight[0], weight[1], weight[5], bias[1]].map(f32::to_bits);
            assert_eq!(found, *expected, "{init}: {found:#010x?}");
        }
        assert_eq!(GOLDEN.iter().map(|(init, _)| *init).collect::<Vec<_>>(), Init::ALL);
    }

    const GOLDEN: &[(Init, [u32; 4])] = &[
        (Init::UnitNorm, [0x3d10_5da3, 0xbd5a_cac9, 0xbe93_19a8, 0xbe86_d0a5]),
        (Init::KaimingUniform, [0xbe9a_c72d, 0x3cc5_cdf4, 0xbd6e_9e9d, 0xbe07_0ac1]),
        (Init::KaimingNormal, [0x3d8e_fbfe, 0xbdd8_b2d3, 0xbf11_b150, 0]),
        (Init::LecunNormal, [0x3d4a_35dd, 0xbd99_3aa0, 0xbece_0a5e, 0]),
        (Init::XavierUniform, [0xbf12_d5d9, 0x3d3b_a762, 0xbde2_5fda, 0]),
        (Init::XavierNormal, [0x3d5d_82a9, 0xbda7_da9d, 0xbee1_b4c0, 0]),
        (Init::Orthogonal, [0x3d34_2cce, 0xbd88_8800, 0x3da1_fbea, 0]),
        (Init::Zeros, [0; 4]),
    ];

    #[test]
    fn names_are_read_back() {
        for init in Init::ALL {
            assert_eq!(init.to_string().parse::<Init>().unwrap(), *init);
        }
        assert_eq!(Init::KaimingNormal.to_string(), "kaiming-normal");
        let message = "ones".parse::<Init>().unwrap_err().to_string();
        assert!(message.contains("'ones'") && message.contains("xavier-normal, orthogonal or zeros"), "{message}");
    }
}
