//! What a network is made of, as text: `linear:128,relu,dropout:0.2,linear:10`. It knows the grammar, not the arithmetic.

use std::fmt;
use std::str::FromStr;

use super::ReluGrad;
use crate::error::{Error, Result};
use crate::kernels::activations;

/// One entry of a layer list.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum LayerSpec {
    /// `linear:N`: a fully connected layer of `N` outputs; its inputs follow from the layer before it.
    Linear {
        /// `N`.
        out_features: usize,
    },
    /// `relu`, `tanh`, ...: an activation, elementwise, as [`activations::ACTIVATIONS`] lists them.
    Activation {
        /// Its name and, after a colon, its parameter.
        spec: String,
    },
    /// `dropout:P`: units are dropped with probability `P` in training.
    Dropout {
        /// `P`, at least 0 and below 1.
        p: f32,
    },
}

/// The layers of a network in order.
///
/// ```
/// let layers: flatnet::nn::LayerSpecs = "linear:128,relu,linear:10".parse().unwrap();
/// assert_eq!(layers.0.len(), 3);
/// assert_eq!(layers.to_string(), "linear:128,relu,linear:10");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LayerSpecs(pub Vec<LayerSpec>);

impl LayerSpec {
    /// Width of its output, given that of its input.
    pub fn out_features(&self, in_features: usize) -> usize {
        match self {
            LayerSpec::Linear { out_features } => *out_features,
            LayerSpec::Activation { .. } | LayerSpec::Dropout { .. } => in_features,
        }
    }

    /// Whether it is the rectifier, whose gradient [`ReluGrad`] chooses.
    pub fn is_relu(&self) -> bool {
        matches!(self, LayerSpec::Activation { spec } if spec == "relu")
    }
}

impl LayerSpecs {
    /// Width of the last linear layer, which is that of the output.
    pub fn out_features(&self) -> Option<usize> {
        self.linears().last().map(|(_, out_features)| out_features)
    }

    /// Index and width of each linear layer.
    pub fn linears(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.0.iter().enumerate().filter_map(|(index, layer)| match layer {
            LayerSpec::Linear { out_features } => Some((index, *out_features)),
            _ => None,
        })
    }

    /// Whether there are few enough layers, and few enough between two linear ones.
    pub(crate) fn check_depth(&self) -> Result<()> {
        let is_linear = |layer: &LayerSpec| matches!(layer, LayerSpec::Linear { .. });
        let between = self.0.split(is_linear).map(<[LayerSpec]>::len).max().unwrap_or(0);
        if self.0.len() <= MAX_LAYERS && between <= MAX_BETWEEN_LINEARS {
            return Ok(());
        }
        let found = format!("{} layers, {between} of them in a row not linear", self.0.len());
        let expected = format!("at most {MAX_LAYERS} layers, and {MAX_BETWEEN_LINEARS} between two linear ones");
        Err(Error::Setting { name: "layers", found, expected })
    }

    /// Whether it ends in its only ReLU, as the reference's network does. Such a network learns with the reference's
    /// initial weights and its straight-through gradient; with a hidden ReLU, PyTorch's and the exact one are far better.
    pub fn ends_in_its_only_relu(&self) -> bool {
        let relus = self.0.iter().filter(|layer| layer.is_relu()).count();
        relus == 1 && self.0.last().is_some_and(LayerSpec::is_relu)
    }
}

/// Wider layers are refused: at 784 inputs one would hold 3 GB of weights, more likely a slip of the finger than a wish.
const MAX_OUT_FEATURES: usize = 1 << 20;

/// Deeper networks are refused: none of dense layers alone learns at a tenth of it, and every layer keeps its output.
const MAX_LAYERS: usize = 1000;
/// Activations and dropouts between two linear layers: more than anyone has a use for. Without a bound, text would take
/// memory out of all proportion: each keeps an output as wide as the layer before it.
const MAX_BETWEEN_LINEARS: usize = 16;

fn refuse(found: &str, expected: String) -> Error {
    // A whole file may have been given in place of a list.
    let start: String = found.chars().take(60).collect();
    Error::Setting { name: "layers", found: format!("'{start}'"), expected }
}

impl FromStr for LayerSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let (name, parameter) = text.split_once(':').map_or((text, None), |(name, parameter)| (name, Some(parameter)));
        match (name, parameter) {
            ("linear", width) => match width.and_then(|width| width.parse::<usize>().ok()) {
                Some(out_features @ 1..=MAX_OUT_FEATURES) => Ok(LayerSpec::Linear { out_features }),
                _ => Err(refuse(text, format!("a width from 1 to {MAX_OUT_FEATURES} after linear:"))),
            },
            ("dropout", p) => match p.and_then(|p| p.parse::<f32>().ok()) {
                Some(p) if (0.0..1.0).contains(&p) => Ok(LayerSpec::Dropout { p }),
                _ => Err(refuse(text, "a probability of at least 0 and below 1 after dropout:".into())),
            },
            _ if activations::ACTIVATIONS.iter().any(|(known, _)| *known == name) => {
                let activation = activations::parse(text, ReluGrad::Exact)?;
                Ok(LayerSpec::Activation { spec: activation.spec() })
            }
            _ => {
                let names: Vec<&str> = activations::ACTIVATIONS.iter().map(|(name, _)| *name).collect();
                let list = format!("a comma list of linear:N, dropout:P and {}", names.join(", "));
                Err(refuse(text, format!("{list}, such as linear:128,relu,linear:10")))
            }
        }
    }
}

impl FromStr for LayerSpecs {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.split(',').nth(MAX_LAYERS).is_some() {
            return Err(refuse(text, format!("at most {MAX_LAYERS} layers")));
        }
        let layers = text.split(',').map(str::parse).collect::<Result<Vec<LayerSpec>>>()?;
        let specs = LayerSpecs(layers);
        specs.check_depth()?;
        match specs.out_features() {
            Some(_) => Ok(specs),
            None => Err(refuse(text, "at least one linear:N".into())),
        }
    }
}

impl fmt::Display for LayerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LayerSpec::Linear { out_features } => write!(f, "linear:{out_features}"),
            LayerSpec::Activation { spec } => f.write_str(spec),
            LayerSpec::Dropout { p } => write!(f, "dropout:{p}"),
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
        for text in ["linear:10,relu", "linear:128,relu,dropout:0.25,linear:10", "linear:1", "linear:2,gelu,linear:3"] {
            assert_eq!(text.parse::<LayerSpecs>().unwrap().to_string(), text);
        }
        for (name, _) in activations::ACTIVATIONS {
            let text = format!("linear:4,{name},linear:2");
            let specs: LayerSpecs = text.parse().unwrap();
            assert_eq!(specs.to_string().parse::<LayerSpecs>().unwrap(), specs);
        }
    }

    #[test]
    fn slips_are_refused_with_the_slip_quoted() {
        for (text, quoted) in [
            ("linear:0", "'linear:0'"),
            ("linear:ten", "'linear:ten'"),
            ("linear", "'linear'"),
            ("linear:10,,relu", "''"),
            ("dense:10", "'dense:10'"),
            ("relu", "'relu'"),
            ("linear:99999999999999999999", "'linear:99999999999999999999'"),
            ("linear:10,dropout:1", "'dropout:1'"),
            ("linear:10,dropout:-0.1", "'dropout:-0.1'"),
            ("linear:10,dropout:nan", "'dropout:nan'"),
            ("linear:10,dropout", "'dropout'"),
        ] {
            let message = text.parse::<LayerSpecs>().unwrap_err().to_string();
            assert!(message.contains(quoted) && message.contains("layers"), "{message}");
        }
        let long = "x".repeat(5000);
        assert!(long.parse::<LayerSpecs>().unwrap_err().to_string().len() < 400);
    }

    #[test]
    fn the_reference_network_is_told_from_one_with_a_hidden_relu() {
        for (text, reference) in [
            ("linear:10,relu", true),
            ("linear:64,tanh,linear:10,relu", true),
            ("linear:10", false),
            ("linear:128,relu,linear:10", false),
            ("linear:128,relu,linear:10,relu", false),
        ] {
            assert_eq!(text.parse::<LayerSpecs>().unwrap().ends_in_its_only_relu(), reference, "{text}");
        }
    }
}
