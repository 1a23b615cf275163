//! What a network is made of, as text: `linear:128,relu,linear:10`. It knows the grammar, not the arithmetic.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// One entry of `--layers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerSpec {
    /// `linear:N`: a fully connected layer of `N` outputs; its inputs follow from the layer before it.
    Linear { out_features: usize },
    /// `relu`: the rectifier, elementwise.
    Relu,
}

/// The layers of a network in order, as `--layers` writes them.
///
/// ```
/// let layers: flatnet::nn::LayerSpecs = "linear:128,relu,linear:10".parse().unwrap();
/// assert_eq!(layers.0.len(), 3);
/// assert_eq!(layers.to_string(), "linear:128,relu,linear:10");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerSpecs(pub Vec<LayerSpec>);

impl LayerSpecs {
    /// Width of the last linear layer: the number of logits.
    pub fn out_features(&self) -> Option<usize> {
        self.0.iter().rev().find_map(|layer| match layer {
            LayerSpec::Linear { out_features } => Some(*out_features),
            LayerSpec::Relu => None,
        })
    }
}

/// Wider layers are refused: at 784 inputs one would hold 3 GB of weights, more likely a slip of the finger than a wish.
const MAX_OUT_FEATURES: usize = 1 << 20;
const EXPECTED: &str = "a comma list of linear:N and relu, such as linear:128,relu,linear:10";

impl FromStr for LayerSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = |expected: String| Error::Setting { name: "layers", found: format!("'{text}'"), expected };
        match text.trim().split_once(':') {
            None if text.trim() == "relu" => Ok(LayerSpec::Relu),
            Some(("linear", width)) => match width.parse::<usize>() {
                Ok(out_features @ 1..=MAX_OUT_FEATURES) => Ok(LayerSpec::Linear { out_features }),
                _ => Err(refuse(format!("a width from 1 to {MAX_OUT_FEATURES} after linear:"))),
            },
            _ => Err(refuse(EXPECTED.into())),
        }
    }
}

impl FromStr for LayerSpecs {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let layers = text.split(',').map(str::parse).collect::<Result<Vec<LayerSpec>>>()?;
        let specs = LayerSpecs(layers);
        match specs.out_features() {
            Some(_) => Ok(specs),
            None => Err(Error::Setting {
                name: "layers",
                found: format!("'{text}'"),
                expected: "at least one linear:N".into(),
            }),
        }
    }
}

impl fmt::Display for LayerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LayerSpec::Linear { out_features } => write!(f, "linear:{out_features}"),
            LayerSpec::Relu => f.write_str("relu"),
        }
    }
}

impl fmt::Display for LayerSpecs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, layer) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            layer.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["linear:10,relu", "linear:128,relu,linear:10", "linear:1"] {
            assert_eq!(text.parse::<LayerSpecs>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn slips_are_refused_with_the_slip_quoted() {
        for (text, quoted) in [
            ("linear:0", "'linear:0'"),
            ("linear:ten", "'linear:ten'"),
            ("linear:10,,relu", "''"),
            ("dense:10", "'dense:10'"),
            ("relu", "'relu'"),
            ("linear:99999999999999999999", "'linear:99999999999999999999'"),
        ] {
            let message = text.parse::<LayerSpecs>().unwrap_err().to_string();
            assert!(message.contains(quoted) && message.contains("--layers"), "{message}");
        }
    }
}
