//! Layers one after another, and the buffers that a pass through them needs.

use crate::error::{Error, Result};
use crate::kernels::SimdLevel;
use crate::nn::{Init, LayerSpec, LayerSpecs, Linear, Relu, ReluGrad};
use crate::rng::{self, Stream};

/// One layer of a [`Sequential`].
#[derive(Debug, Clone)]
pub enum Layer {
    Linear(Linear),
    Relu(Relu),
}

/// A network: the output of each layer is the input of the next. The last output is the logits.
///
/// It holds parameters and their gradients only. What a pass leaves between the layers stands in an [`Activations`], so
/// that several threads can read one network.
#[derive(Debug, Clone)]
pub struct Sequential {
    layers: Vec<Layer>,
    in_features: usize,
    /// Width of each layer's output.
    widths: Vec<usize>,
    level: SimdLevel,
}

/// What a forward pass leaves behind for the backward pass. The buffers grow to the largest batch seen and stay.
#[derive(Debug, Clone, Default)]
pub struct Activations {
    /// Each layer's output, `[m, width]`.
    outputs: Vec<Vec<f32>>,
    /// The loss's derivative by the output of the layer at hand, and by its input.
    output_grad: Vec<f32>,
    input_grad: Vec<f32>,
}

impl Sequential {
    /// Draws a network for inputs of `in_features`. The draws depend on `seed` and the shapes only.
    ///
    /// ```
    /// use flatnet::nn::{Init, ReluGrad, Sequential};
    /// let model = Sequential::new(784, &"linear:10,relu".parse()?, Init::UnitNorm, ReluGrad::StraightThrough, 0)?;
    /// assert_eq!(model.parameters(), 7850);
    /// # Ok::<(), flatnet::Error>(())
    /// ```
    pub fn new(in_features: usize, specs: &LayerSpecs, init: Init, relu_grad: ReluGrad, seed: u64) -> Result<Self> {
        let mut rng = rng::stream(seed, Stream::Init);
        let mut width = in_features;
        let mut layers = Vec::with_capacity(specs.0.len());
        for (index, spec) in specs.0.iter().enumerate() {
            layers.push(match *spec {
                LayerSpec::Relu => Layer::Relu(Relu::new(relu_grad)),
                LayerSpec::Linear { out_features } => {
                    let weights = checked_weights(index, width, out_features)?;
                    let (mut weight, mut bias) = (vec![0.0; weights], vec![0.0; out_features]);
                    init.draw(&mut rng, &mut weight, &mut bias);
                    let linear = Linear::from_parts(width, out_features, weight, bias)?;
                    width = out_features;
                    Layer::Linear(linear)
                }
            });
        }
        Self::from_layers(layers)
    }

    /// A network of given layers; an error where one does not fit the one before it, or where there is no linear layer.
    pub fn from_layers(layers: Vec<Layer>) -> Result<Self> {
        let first = layers.iter().find_map(|layer| match layer {
            Layer::Linear(linear) => Some(linear.in_features()),
            Layer::Relu(_) => None,
        });
        let Some(in_features) = first else {
            return Err(Error::Shape {
                place: "a network".into(),
                expected: "at least one linear layer".into(),
                found: format!("{} layers without one", layers.len()),
            });
        };
        let mut width = in_features;
        let mut widths = Vec::with_capacity(layers.len());
        for (index, layer) in layers.iter().enumerate() {
            if let Layer::Linear(linear) = layer {
                if linear.in_features() != width {
                    return Err(Error::Shape {
                        place: format!("layer {index} (linear:{})", linear.out_features()),
                        expected: format!("{width} inputs, the width of what comes before it"),
                        found: linear.in_features().to_string(),
                    });
                }
                width = linear.out_features();
            }
            widths.push(width);
        }
        Ok(Sequential { layers, in_features, widths, level: SimdLevel::detect() })
    }

    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    pub fn layers_mut(&mut self) -> &mut [Layer] {
        &mut self.layers
    }

    /// The linear layers, in order.
    pub fn linears(&self) -> impl Iterator<Item = &Linear> {
        self.layers.iter().filter_map(|layer| match layer {
            Layer::Linear(linear) => Some(linear),
            Layer::Relu(_) => None,
        })
    }

    /// The linear layers, in order.
    pub fn linears_mut(&mut self) -> impl Iterator<Item = &mut Linear> {
        self.layers.iter_mut().filter_map(|layer| match layer {
            Layer::Linear(linear) => Some(linear),
            Layer::Relu(_) => None,
        })
    }

    pub fn in_features(&self) -> usize {
        self.in_features
    }

    /// Width of the logits.
    pub fn out_features(&self) -> usize {
        self.widths.last().copied().unwrap_or(self.in_features)
    }

    /// How many numbers it learns.
    pub fn parameters(&self) -> usize {
        self.linears().map(|linear| linear.weight().len() + linear.bias().len()).sum()
    }

    /// What it is made of.
    pub fn specs(&self) -> LayerSpecs {
        let spec = |layer: &Layer| match layer {
            Layer::Linear(linear) => LayerSpec::Linear { out_features: linear.out_features() },
            Layer::Relu(_) => LayerSpec::Relu,
        };
        LayerSpecs(self.layers.iter().map(spec).collect())
    }

    /// A layer's name for people: its index and what it is.
    pub fn layer_name(&self, index: usize) -> String {
        format!("layer {index} ({})", self.specs().0[index])
    }

    /// The SIMD level that its layers run on: the widest of this machine unless [`Self::set_level`] said otherwise.
    pub fn level(&self) -> SimdLevel {
        self.level
    }

    /// Forces the SIMD level of every layer.
    pub fn set_level(&mut self, level: SimdLevel) {
        self.level = level;
        for layer in &mut self.layers {
            match layer {
                Layer::Linear(linear) => linear.set_level(level),
                Layer::Relu(relu) => relu.set_level(level),
            }
        }
    }

    /// Runs a batch through all layers and returns the logits, `[m, out_features]`. `x: [m, in_features]`, read.
    ///
    /// # Panics
    /// If `x` is not a whole number of rows of `in_features`.
    pub fn forward<'a>(&self, x: &[f32], activations: &'a mut Activations) -> &'a [f32] {
        assert_eq!(x.len() % self.in_features, 0, "rows of {} features", self.in_features);
        let m = x.len() / self.in_features;
        activations.outputs.resize_with(self.layers.len(), Vec::new);
        for (index, layer) in self.layers.iter().enumerate() {
            let (before, rest) = activations.outputs.split_at_mut(index);
            let (input, output) = (before.last().map_or(x, |output| output), &mut rest[0]);
            output.resize(m * self.widths[index], 0.0);
            match layer {
                Layer::Linear(linear) => linear.forward(input, output),
                Layer::Relu(relu) => relu.forward(input, output),
            }
        }
        activations.outputs.last().map_or(&[], |logits| logits)
    }

    /// Adds to every gradient. `x` and `activations` are those of the last [`Self::forward`]; `logits_grad: [m, out_features]`
    /// is the loss's derivative by the logits.
    pub fn backward(&mut self, x: &[f32], logits_grad: &[f32], activations: &mut Activations) {
        let Activations { outputs, output_grad, input_grad } = activations;
        output_grad.clear();
        output_grad.extend_from_slice(logits_grad);
        let m = x.len() / self.in_features;
        for (index, layer) in self.layers.iter_mut().enumerate().rev() {
            let (input, width) = match index.checked_sub(1) {
                Some(before) => (&*outputs[before], self.widths[before]),
                None => (x, self.in_features),
            };
            input_grad.resize(m * width, 0.0);
            match layer {
                // Nobody asks for the derivative by the data.
                Layer::Linear(linear) => linear.backward(input, output_grad, (index > 0).then_some(&mut *input_grad)),
                Layer::Relu(relu) => relu.backward(input, output_grad, input_grad),
            }
            std::mem::swap(output_grad, input_grad);
        }
    }

    /// Forgets all gradients.
    pub fn zero_grad(&mut self) {
        self.linears_mut().for_each(Linear::zero_grad);
    }
}

impl Activations {
    /// The index of the first layer whose output holds a value that is not a finite number.
    pub fn first_not_finite(&self) -> Option<usize> {
        self.outputs.iter().position(|output| output.iter().any(|value| !value.is_finite()))
    }
}

/// The number of weights, refused where it would not fit in memory, before anything is allocated.
fn checked_weights(index: usize, in_features: usize, out_features: usize) -> Result<usize> {
    const MAX_WEIGHTS: usize = 1 << 30;
    in_features.checked_mul(out_features).filter(|weights| *weights <= MAX_WEIGHTS).ok_or_else(|| Error::Shape {
        place: format!("layer {index} (linear:{out_features})"),
        expected: format!("at most {MAX_WEIGHTS} weights"),
        found: format!("{in_features} x {out_features}"),
    })
}
