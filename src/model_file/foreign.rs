//! Files that another program wrote: which tensors are the linear layers of one network, in which order and how they are
//! turned, and what has to be assumed beside. It knows names and shapes; values are read elsewhere.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;

use safetensors::Dtype;
use safetensors::tensor::TensorInfo;

use super::meta::{ModelMeta, square};
use super::names::{self, LayerName, Role, Turned};
use super::order::{self, Chain, Link};
use crate::data::Scale;
use crate::error::{Error, Result};
use crate::kernels::activations;
use crate::nn::{LayerSpec, LayerSpecs, ReluGrad};
use crate::tensor_file::Refuse;

/// What only its maker knows of a file without flatnet's metadata. What is left out is [assumed](Assumed).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Hints {
    /// What stands between two linear layers.
    pub activation: Option<Between>,
    /// How pixels become inputs.
    pub scale: Option<Scale>,
}

/// What stands between two linear layers.
#[derive(Debug, Clone, PartialEq)]
pub enum Between {
    /// None, so that all of them together are one linear function.
    Nothing,
    /// An activation.
    Activation(LayerSpec),
}

impl FromStr for Between {
    type Err = Error;

    /// `relu`, `leaky-relu:0.1`, ... as the list of layers names them, or `none`.
    fn from_str(text: &str) -> Result<Self> {
        match text.trim() {
            "none" => Ok(Between::Nothing),
            text => match activations::parse(text, ReluGrad::Exact) {
                Ok(activation) => Ok(Between::Activation(LayerSpec::Activation { spec: activation.spec() })),
                Err(Error::Setting { found, expected, .. }) => {
                    Err(Error::Setting { name: "activation", found, expected: format!("{expected}, or none") })
                }
                Err(other) => Err(other),
            },
        }
    }
}

/// What was made of a file of another program.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Foreign {
    /// Its tensors, in the order of the layers, a weight before its bias.
    pub tensors: Vec<ForeignTensor>,
    /// What neither the file nor the [`Hints`] said.
    pub assumed: Vec<Assumed>,
}

/// A tensor of such a file.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ForeignTensor {
    /// In the file.
    pub name: String,
    /// In the file: F16, BF16, F32 or F64.
    pub dtype: String,
    /// In the file.
    pub shape: Vec<usize>,
    /// Which of the network's it became, such as `0.weight`.
    pub parameter: String,
    /// Whether it is `[in_features, out_features]` in the file.
    pub transposed: bool,
}

/// What had to be assumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Assumed {
    /// That a ReLU stands between two linear layers, and nothing between those that a `torch.nn.Sequential` numbers without
    /// a gap.
    Activation,
    /// That inputs are pixels / 255.
    Scale,
}

/// Where the parameters of a linear layer lie in a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Source {
    pub weight: String,
    /// None where the layer has none; then they are 0.
    pub bias: Option<String>,
    /// Whether the weight is `[in_features, out_features]`.
    pub transposed: bool,
}

/// What names and shapes tell: the metadata, and where the linear layers lie, in order.
pub(super) fn infer(
    infos: &HashMap<String, &TensorInfo>,
    hints: &Hints,
    refuse: &Refuse,
) -> Result<(ModelMeta, Vec<Source>, Vec<Assumed>)> {
    let layers = layers(infos, refuse)?;
    if layers.is_empty() {
        let problem = "none of a linear layer; expected 0.weight and 0.bias, fc1.weight, dense/kernel or the like";
        return Err(refuse.because("tensors", problem));
    }
    // Before anything is searched for.
    LayerSpecs(vec![LayerSpec::Linear { out_features: 1 }; layers.len()])
        .check_depth()
        .map_err(|error| refuse.because("layers", error.to_string()))?;
    let (order, transposed) = arrange(&layers, refuse)?;
    let ordered: Vec<(&Layer, bool)> = order.iter().map(|&at| (&layers[at], transposed[at])).collect();

    let mut specs = Vec::new();
    for (position, (layer, transposed)) in ordered.iter().enumerate() {
        if let Some((before, _)) = position.checked_sub(1).map(|before| ordered[before]) {
            specs.extend(between(before, layer, hints));
        }
        specs.push(LayerSpec::Linear { out_features: layer.widths(*transposed).1 });
    }
    let inputs = ordered[0].0.widths(ordered[0].1).0;
    let (last, last_transposed) = ordered[ordered.len() - 1];
    let meta = ModelMeta {
        layers: LayerSpecs(specs),
        relu_grad: ReluGrad::Exact,
        scale: hints.scale.unwrap_or(Scale::Unit),
        classes: last.widths(last_transposed).1,
        image_size: square(inputs),
        prepare: None,
        preparation: None,
        class_names: Vec::new(),
        recipe: None,
        version: None,
    };
    let assumed = [
        (Assumed::Activation, hints.activation.is_none() && ordered.len() > 1),
        (Assumed::Scale, hints.scale.is_none()),
    ];
    let sources = ordered.iter().map(|(layer, transposed)| Source {
        weight: layer.weight.to_string(),
        bias: layer.bias.map(|(name, _)| name.to_string()),
        transposed: *transposed,
    });
    let assumed = assumed.into_iter().filter(|(_, is)| *is).map(|(what, _)| what).collect();
    Ok((meta, sources.collect(), assumed))
}

/// What stands between two linear layers: what the user says; else a ReLU, unless a bare Sequential leaves no room for one.
fn between(before: &Layer, after: &Layer, hints: &Hints) -> Option<LayerSpec> {
    let relu = LayerSpec::Activation { spec: "relu".into() };
    match &hints.activation {
        Some(Between::Nothing) => None,
        Some(Between::Activation(activation)) => Some(activation.clone()),
        None => match before.sequential.zip(after.sequential) {
            Some((before, after)) if before.checked_add(1) == Some(after) => None,
            _ => Some(relu),
        },
    }
}

/// The tensors of one layer.
#[derive(Debug)]
struct Layer<'a> {
    name: LayerName,
    sequential: Option<u64>,
    weight: &'a str,
    shape: (usize, usize),
    turned: Turned,
    /// Name and length.
    bias: Option<(&'a str, usize)>,
}

impl Layer<'_> {
    /// Inputs and outputs, if the weight is `[in_features, out_features]` or the other way round.
    fn widths(&self, transposed: bool) -> (usize, usize) {
        if transposed { self.shape } else { (self.shape.1, self.shape.0) }
    }

    fn told(&self) -> String {
        format!("{} [{}, {}]", self.weight, self.shape.0, self.shape.1)
    }
}

/// Tensors by layer, in the order of the names' text; each has a matrix and at most one bias, and there is nothing else.
fn layers<'a>(infos: &'a HashMap<String, &TensorInfo>, refuse: &Refuse) -> Result<Vec<Layer<'a>>> {
    let mut layers: BTreeMap<String, Layer> = BTreeMap::new();
    let mut biases: BTreeMap<String, (&str, usize)> = BTreeMap::new();
    // Sorted, so that the same file always gives the same error.
    let sorted: BTreeMap<&String, &TensorInfo> = infos.iter().map(|(name, info)| (name, *info)).collect();
    if let Some((name, problem)) = sorted.keys().find_map(|name| Some((name, not_linear(name)?))) {
        return Err(refuse.because(format!("tensor {name}"), problem));
    }
    for (name, info) in sorted {
        let bad = |problem: String| refuse.because(format!("tensor {name}"), problem);
        let Some(parsed) = names::parse(name) else {
            let expected =
                "expected weights and biases of linear layers alone, such as 0.weight, fc1.bias, dense/kernel";
            return Err(bad(format!("is unknown; {expected}: save the file without it")));
        };
        if !matches!(info.dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64) {
            return Err(bad(format!("has dtype {:?}; expected F32, F16, BF16 or F64", info.dtype)));
        }
        let layer = parsed.layer.text.clone();
        let twice = match (parsed.role, &info.shape[..]) {
            (Role::Weight(turned), &[rows, columns]) if rows > 0 && columns > 0 => {
                let (shape, sequential) = ((rows, columns), parsed.sequential);
                let new = Layer { name: parsed.layer, sequential, weight: name, shape, turned, bias: None };
                layers.insert(layer, new).map(|other| other.weight)
            }
            (Role::Bias, &[length]) => biases.insert(layer, (name, length)).map(|(other, _)| other),
            (Role::Weight(_), shape) => {
                let kind = match shape.len() {
                    1 => "; it looks like a layer of normalization, which flatnet has none of",
                    3.. => "; it looks like a convolution, which flatnet has none of",
                    _ => "",
                };
                return Err(bad(format!("has shape {shape:?}; expected a matrix of a linear layer{kind}")));
            }
            (Role::Bias, shape) => return Err(bad(format!("has shape {shape:?}; expected [out_features]"))),
        };
        if let Some(other) = twice {
            return Err(bad(format!("is of the same layer as {other}; expected one weight and one bias for each")));
        }
    }
    for (layer, bias) in biases {
        match layers.get_mut(&layer) {
            Some(layer) => layer.bias = Some(bias),
            None => {
                let problem = "has no weight beside it; expected a matrix of the same layer".to_string();
                return Err(refuse.because(format!("tensor {}", bias.0), problem));
            }
        }
    }
    Ok(layers.into_values().collect())
}

/// What a tensor is that other layers have, by its name.
fn not_linear(name: &str) -> Option<&'static str> {
    let last = name.rsplit(['.', '/']).next()?;
    match last.split(':').next()? {
        "running_mean" | "running_var" | "num_batches_tracked" | "moving_mean" | "moving_variance" | "gamma" => Some(
            "is of a layer of normalization, which flatnet has none of; fold it into the linear layer beside it, and save that",
        ),
        "weight_g" | "weight_v" | "original0" | "original1" => {
            Some("is of a weight norm; remove it from the module (remove_parametrizations), and save that")
        }
        _ => None,
    }
}

/// The order of the layers, and which of them are `[in_features, out_features]`.
///
/// A file comes from one program, so all of its weights are turned as their names say, or all the other way. What the names
/// say is tried first; the other way counts only where that cannot be.
fn arrange(layers: &[Layer], refuse: &Refuse) -> Result<(Vec<usize>, Vec<bool>)> {
    let said: Vec<bool> = layers.iter().map(|layer| layer.turned == Turned::InOut).collect();
    let other: Vec<bool> = said.iter().map(|transposed| !transposed).collect();
    let unsaid = layers.iter().find(|layer| layer.turned == Turned::Unsaid);
    match (put_together(layers, &said), unsaid) {
        (Ok(Chain::One(order)), None) => Ok((order, said)),
        (Ok(Chain::Several), _) => Err(order_unknown(layers, refuse)),
        (Ok(Chain::One(order)), Some(unsaid)) => match put_together(layers, &other) {
            Ok(Chain::One(_) | Chain::Several) => {
                let problem = "can be [out_features, in_features] or [in_features, out_features]; name it weight if it is \
                               the first, as PyTorch has it, or kernel if it is the second, as Keras has it";
                Err(refuse.because(format!("tensor {}", unsaid.weight), problem))
            }
            _ => Ok((order, said)),
        },
        (as_said, _) => match put_together(layers, &other) {
            Ok(Chain::One(order)) => Ok((order, other)),
            Ok(Chain::Several) => Err(order_unknown(layers, refuse)),
            _ => Err(does_not_fit(layers, &said, as_said.err(), refuse)),
        },
    }
}

/// The chain of the layers when they are turned so; `Err` names a layer whose bias is of another length.
fn put_together(layers: &[Layer], transposed: &[bool]) -> std::result::Result<Chain, usize> {
    let mut links = Vec::with_capacity(layers.len());
    for (at, (layer, transposed)) in layers.iter().zip(transposed).enumerate() {
        let (in_features, out_features) = layer.widths(*transposed);
        if layer.bias.is_some_and(|(_, length)| length != out_features) {
            return Err(at);
        }
        links.push(Link { name: &layer.name, in_features, out_features });
    }
    Ok(order::chain(&links))
}

fn order_unknown(layers: &[Layer], refuse: &Refuse) -> Error {
    let problem = format!(
        "the order of the layers cannot be told from their names and widths ({}); number the names in that order, such as \
         0.weight, 2.weight",
        some(layers)
    );
    refuse.because("tensors", problem)
}

/// Neither way of turning them makes a network; the names' own way is told.
fn does_not_fit(layers: &[Layer], said: &[bool], bias: Option<usize>, refuse: &Refuse) -> Error {
    if let Some((layer, (name, length))) = bias.and_then(|at| Some((&layers[at], layers[at].bias?))) {
        let problem = format!("has shape [{length}], which is no side of {} or does not suit the others", layer.told());
        return refuse.because(format!("tensor {name}"), problem);
    }
    if let Ok(Chain::Never(Some((before, after)))) = put_together(layers, said) {
        let (gives, takes) = (layers[before].widths(said[before]).1, layers[after].widths(said[after]).0);
        let problem = format!("takes {takes} inputs, but {}, which is before it, gives {gives}", layers[before].told());
        return refuse.because(format!("tensor {}", layers[after].told()), problem);
    }
    let problem = format!("the layers' widths do not follow from one another in any order ({})", some(layers));
    refuse.because("tensors", problem)
}

/// The first few, for people.
fn some(layers: &[Layer]) -> String {
    const SHOWN: usize = 4;
    let shown: Vec<String> = layers.iter().take(SHOWN).map(Layer::told).collect();
    let more = if layers.len() > SHOWN { ", ..." } else { "" };
    format!("{}{more}", shown.join(", "))
}
