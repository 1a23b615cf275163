//! Layers one after another, and the buffers that a pass through them needs.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::kernels::{AlignedVec, Features, InFull, KernelChoice, SimdLevel};
use crate::nn::linear::Gradient;
use crate::nn::reduce::{Alone, Reduce};
use crate::nn::split::Axis;
use crate::nn::{Init, LayerSpec, LayerSpecs, Linear, Relu, ReluGrad, split};
use crate::rng::{self, Stream};

/// One layer of a [`Sequential`].
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "a network has a handful of layers; a box would make each harder to name"
)]
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
    /// The batch in full, for a first layer that reads it so.
    input: InFull,
    /// Each layer's output, `[m, width]`.
    outputs: Vec<AlignedVec>,
    /// The loss's derivative by the output of the layer at hand, and by its input.
    output_grad: AlignedVec,
    input_grad: AlignedVec,
    /// `-lr * output_grad`.
    scaled_grad: AlignedVec,
    alone: Alone,
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
        }
        let widths = widths(in_features, &layers);
        let mut model = Sequential { layers, in_features, widths, level: SimdLevel::detect() };
        let shapes: Vec<_> = model.linears().map(|linear| (linear.in_features(), linear.out_features())).collect();
        for (linear, split) in model.linears_mut().zip(split::plan(&shapes)) {
            linear.set_split(split);
        }
        Ok(model)
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

    /// Chooses the kernel of every linear layer, by its shape.
    pub fn set_kernel(&mut self, choice: KernelChoice) {
        self.linears_mut().for_each(|linear| linear.set_kernel(choice));
    }

    /// The kernels that its linear layers run on: `narrow`, `gemm` or, for a network with both, `narrow+gemm`.
    pub fn kernel_name(&self) -> &'static str {
        let narrow = self.linears().filter(|linear| linear.is_narrow()).count();
        match (narrow, self.linears().count() - narrow) {
            (0, _) => "gemm",
            (_, 0) => "narrow",
            _ => "narrow+gemm",
        }
    }

    /// Whether it takes a batch without its zeros.
    fn leaves_out_zeros(&self) -> bool {
        matches!(self.layers.first(), Some(Layer::Linear(linear)) if linear.is_narrow())
    }

    /// Runs a batch through all layers and returns the logits, `[m, out_features]`. `x: [m, in_features]`, read.
    ///
    /// # Panics
    /// If `x` is not a whole number of rows of `in_features`.
    pub fn forward<'x, 'a>(&self, x: impl Into<Features<'x>>, activations: &'a mut Activations) -> &'a [f32] {
        let mut alone = std::mem::take(&mut activations.alone);
        self.forward_with(x.into(), activations, &mut alone);
        activations.alone = alone;
        activations.logits()
    }

    /// Adds to every gradient. `x` and `activations` are those of the last [`Self::forward`]; `logits_grad: [m, out_features]`
    /// is the loss's derivative by the logits.
    pub fn backward<'x>(&mut self, x: impl Into<Features<'x>>, logits_grad: &[f32], activations: &mut Activations) {
        let mut alone = std::mem::take(&mut activations.alone);
        self.backward_with(x.into(), logits_grad, None, activations, &mut alone);
        activations.alone = alone;
    }

    /// Backward and a step of plain gradient descent in one: `parameters -= lr * gradient` without storing the gradient.
    /// It differs from [`Self::backward`] and [`Sgd::step`](crate::optim::Sgd::step) by roundings, and is what the
    /// [`Trainer`](crate::train::Trainer) does.
    pub fn descend<'x>(
        &mut self,
        x: impl Into<Features<'x>>,
        logits_grad: &[f32],
        lr: f32,
        activations: &mut Activations,
    ) {
        let mut alone = std::mem::take(&mut activations.alone);
        self.backward_with(x.into(), logits_grad, Some(lr), activations, &mut alone);
        activations.alone = alone;
    }

    /// [`Self::forward`] for one of several holders; the logits are complete for each of them.
    pub(crate) fn forward_with(&self, x: Features<'_>, activations: &mut Activations, reduce: &mut impl Reduce) {
        let m = x.samples(self.in_features);
        let x = if self.leaves_out_zeros() { x } else { x.in_full(self.in_features, &mut activations.input) };
        activations.outputs.resize_with(self.layers.len(), AlignedVec::default);
        for (index, layer) in self.layers.iter().enumerate() {
            let (before, rest) = activations.outputs.split_at_mut(index);
            let (input, output) = (before.last().map_or(x, |output| Features::from(&**output)), &mut rest[0]);
            output.set_len(m * self.widths[index]);
            match layer {
                Layer::Linear(linear) => linear.forward_with(input, output, reduce),
                Layer::Relu(relu) => relu.forward(input.values(), output),
            }
        }
    }

    /// [`Self::backward`] or, given a learning rate, [`Self::descend`] for one of several holders.
    pub(crate) fn backward_with(
        &mut self,
        x: Features<'_>,
        logits_grad: &[f32],
        descend: Option<f32>,
        activations: &mut Activations,
        reduce: &mut impl Reduce,
    ) {
        let Activations { input, outputs, output_grad, input_grad, scaled_grad, .. } = activations;
        output_grad.set_len(logits_grad.len());
        output_grad.copy_from_slice(logits_grad);
        let m = x.samples(self.in_features);
        let x = match x {
            // As the forward pass wrote it.
            Features::Sparse(_) if !self.leaves_out_zeros() => Features::Dense(input.values()),
            x => x,
        };
        for (index, layer) in self.layers.iter_mut().enumerate().rev() {
            let (input, width) = match index.checked_sub(1) {
                Some(before) => (Features::from(&*outputs[before]), self.widths[before]),
                None => (x, self.in_features),
            };
            // Nobody asks for the derivative by the data.
            let mut input_grad_wanted = (index > 0).then(|| {
                input_grad.set_len(m * width);
                &mut **input_grad
            });
            match (layer, &mut input_grad_wanted) {
                (Layer::Linear(linear), dx) => {
                    let gradient = match descend {
                        None => Gradient::Keep,
                        Some(lr) => Gradient::Descend { lr, scratch: scaled_grad },
                    };
                    linear.backward_with(input, output_grad, dx.as_deref_mut(), gradient, reduce);
                }
                (Layer::Relu(relu), Some(dz)) => relu.backward(input.values(), output_grad, dz),
                (Layer::Relu(_), None) => {}
            }
            std::mem::swap(output_grad, input_grad);
        }
    }

    /// The most holders that its training can be shared among; a matter of its shapes.
    pub(crate) fn max_holders(&self) -> usize {
        self.linears().map(|linear| linear.split().parts.total).min().unwrap_or(1)
    }

    /// The most floats per sample that all parts of one of its sums take together.
    pub(crate) fn largest_sum_width(&self) -> usize {
        let floats = |linear: &Linear| match linear.split().axis {
            Axis::Features => linear.split().parts.total * linear.out_features(),
            Axis::Units => linear.split().parts.total * linear.in_features(),
        };
        self.linears().map(floats).max().unwrap_or(0)
    }

    /// Which of the data's features holder `holder` of `holders` reads.
    pub(crate) fn share_of_features(&self, holder: usize, holders: usize) -> Range<usize> {
        let first = self.linears().next().map(Linear::split);
        match first.filter(|split| split.axis == Axis::Features) {
            Some(split) => split.share(holder, holders).0,
            None => 0..self.in_features,
        }
    }

    /// What holder `holder` of `holders` has of it: a network whose logits are complete once its sums are added to those
    /// of the other holders.
    pub(crate) fn share(&self, holder: usize, holders: usize) -> Self {
        let share = |layer: &Layer| match layer {
            Layer::Linear(linear) => Layer::Linear(linear.share(holder, holders)),
            Layer::Relu(relu) => Layer::Relu(relu.clone()),
        };
        let layers: Vec<Layer> = self.layers.iter().map(share).collect();
        let in_features = self.share_of_features(holder, holders).len();
        let widths = widths(in_features, &layers);
        Sequential { layers, in_features, widths, level: self.level }
    }

    /// Copies a holder's piece of `whole` into this [`Self::share`] of it.
    pub(crate) fn take_share(&mut self, whole: &Self, holder: usize, holders: usize) {
        for (share, whole) in self.linears_mut().zip(whole.linears()) {
            share.take_share(whole, holder, holders);
        }
    }

    /// Copies a holder's [`Self::share`] back to where it came from.
    pub(crate) fn gather_share(&mut self, share: &Self, holder: usize, holders: usize) {
        for (own, share) in self.linears_mut().zip(share.linears()) {
            own.gather_share(share, holder, holders);
        }
    }

    /// Forgets all gradients.
    pub fn zero_grad(&mut self) {
        self.linears_mut().for_each(Linear::zero_grad);
    }
}

/// Width of each layer's output.
fn widths(in_features: usize, layers: &[Layer]) -> Vec<usize> {
    let width = |width: &mut usize, layer: &Layer| {
        if let Layer::Linear(linear) = layer {
            *width = linear.out_features();
        }
        Some(*width)
    };
    layers.iter().scan(in_features, width).collect()
}

impl Activations {
    /// What the last layer gave in the last forward pass.
    pub fn logits(&self) -> &[f32] {
        self.outputs.last().map_or(&[], |logits| logits)
    }

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
