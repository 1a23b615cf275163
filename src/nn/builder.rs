//! A network described layer by layer, then drawn.

use std::fmt::Display;

use super::{Init, LayerSpec, LayerSpecs, ReluGrad, Sequential};
use crate::error::{Error, Result};
use crate::kernels::KernelChoice;

/// What [`Sequential::new`] gives: describe the layers, then [`build`](Self::build) checks them and draws the weights.
///
/// ```
/// use flatnet::Sequential;
/// let model = Sequential::new(784).linear(128).relu().dropout(0.2).linear(10).build(0)?;
/// assert_eq!(model.parameter_count(), 784 * 128 + 128 + 128 * 10 + 10);
/// # Ok::<(), flatnet::Error>(())
/// ```
#[derive(Debug)]
pub struct Builder {
    in_features: usize,
    layers: Vec<LayerSpec>,
    init: Option<Init>,
    relu_grad: Option<ReluGrad>,
    kernel: KernelChoice,
    /// The first thing that was wrong; told by `build`.
    fault: Option<Error>,
}

impl Builder {
    pub(super) fn new(in_features: usize) -> Self {
        Builder {
            in_features,
            layers: Vec::new(),
            init: None,
            relu_grad: None,
            kernel: KernelChoice::Auto,
            fault: None,
        }
    }

    /// A fully connected layer of `out_features`.
    #[must_use]
    pub fn linear(self, out_features: usize) -> Self {
        self.layer(format_args!("linear:{out_features}"))
    }

    /// `max(z, 0)`.
    #[must_use]
    pub fn relu(self) -> Self {
        self.layer("relu")
    }

    /// Dropout with probability `p`, at least 0 and below 1.
    #[must_use]
    pub fn dropout(self, p: f32) -> Self {
        self.layer(format_args!("dropout:{p}"))
    }

    /// Any layer by its spec, such as `tanh`, `gelu` or `leaky-relu:0.2`.
    #[must_use]
    pub fn layer(mut self, spec: impl Display) -> Self {
        match spec.to_string().parse() {
            Ok(layer) => self.layers.push(layer),
            Err(fault) => self.fault = self.fault.or(Some(fault)),
        }
        self
    }

    /// All layers of a list.
    #[must_use]
    pub fn layers(mut self, specs: &LayerSpecs) -> Self {
        self.layers.extend_from_slice(&specs.0);
        self
    }

    /// How weights start. By default as suits the layers: the reference's unit-norm for a network that ends in its only
    /// ReLU, else kaiming-uniform.
    #[must_use]
    pub fn init(self, init: Init) -> Self {
        Builder { init: Some(init), ..self }
    }

    /// Which gradient ReLUs pass back. By default as suits the layers: the reference's straight-through for a network that
    /// ends in its only ReLU, else the exact one.
    #[must_use]
    pub fn relu_grad(self, relu_grad: ReluGrad) -> Self {
        Builder { relu_grad: Some(relu_grad), ..self }
    }

    /// Which kernels multiply; results differ by roundings.
    #[must_use]
    pub fn kernel(self, kernel: KernelChoice) -> Self {
        Builder { kernel, ..self }
    }

    /// Draws the network. The draws depend on `seed`, the initialiser and the shapes only.
    ///
    /// # Errors
    /// What was wrong with a layer; a network without a linear layer, without inputs, or too large for memory.
    pub fn build(self, seed: u64) -> Result<Sequential> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let specs = LayerSpecs(self.layers);
        let reference = specs.ends_in_its_only_relu();
        let relu_grad = self.relu_grad.unwrap_or(if reference { ReluGrad::StraightThrough } else { ReluGrad::Exact });
        let init = self.init.unwrap_or(if reference { Init::UnitNorm } else { Init::KaimingUniform });
        let mut model = Sequential::zeros(self.in_features, specs, relu_grad, self.kernel)?;
        model.draw(init, seed);
        Ok(model)
    }
}
