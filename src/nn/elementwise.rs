//! Layers without parameters, each output following from the one input at its place: activations and dropout. They take
//! whatever units a shard holds.

use std::fmt;
use std::sync::Arc;

use super::context::{Context, Mode};
use crate::kernels::activations::Activation;
use crate::kernels::dropout;

/// Where a layer stands in its network, and which of its units are held here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub layer: usize,
    pub first_unit: usize,
    pub units: usize,
}

/// `y = f(x)` unit by unit. `x`, `y`, `dy`, `dx`: `[m, units]`, the first two and `dy` read where they are given.
pub(crate) trait Elementwise: fmt::Debug + Send + Sync {
    /// `y` is overwritten.
    fn forward(&self, context: &Context, place: Place, x: &[f32], y: &mut [f32]);

    /// From `dy`, the gradient with respect to the output, to `dx`, with respect to the input; `dx` is overwritten. `x` and
    /// `y` are those of the forward pass.
    fn backward(&self, context: &Context, place: Place, x: &[f32], y: &[f32], dy: &[f32], dx: &mut [f32]);
}

impl Elementwise for Arc<dyn Activation> {
    fn forward(&self, context: &Context, _: Place, x: &[f32], y: &mut [f32]) {
        (**self).forward(context.simd, x, y);
    }

    fn backward(&self, context: &Context, _: Place, x: &[f32], y: &[f32], dy: &[f32], dx: &mut [f32]) {
        (**self).backward(context.simd, x, y, dy, dx);
    }
}

/// Inverted dropout (Srivastava et al., 2014): in training a unit is 0 with probability `p`, and divided by `1 - p` else, so
/// that nothing need be scaled when the network is used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dropout {
    pub p: f32,
}

impl Elementwise for Dropout {
    fn forward(&self, context: &Context, place: Place, x: &[f32], y: &mut [f32]) {
        let Place { layer, first_unit, units } = place;
        match context.mode {
            Mode::Evaluate => y.copy_from_slice(x),
            Mode::Train => {
                dropout::forward(context.simd, self.p, context.draw_key, layer as u32, first_unit, units, x, y);
            }
        }
    }

    fn backward(&self, context: &Context, place: Place, _: &[f32], _: &[f32], dy: &[f32], dx: &mut [f32]) {
        let Place { layer, first_unit, units } = place;
        match context.mode {
            Mode::Evaluate => dx.copy_from_slice(dy),
            Mode::Train => {
                dropout::backward(context.simd, self.p, context.draw_key, layer as u32, first_unit, units, dy, dx);
            }
        }
    }
}
