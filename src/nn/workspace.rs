//! The buffers of passes through a network. They grow to the largest batch seen and stay.

use super::input::DenseBuffer;
use crate::kernels::AlignedVec;
use crate::kernels::compressed::Compressed;
use crate::kernels::sparse::Blocks;
use crate::parallel::comm::Local;

/// What a forward pass leaves behind for the backward pass, and room for the latter. A network holds none of it, so that
/// several threads can read one network, each with a workspace of its own.
#[derive(Debug, Clone, Default)]
pub struct Workspace {
    /// The batch, for a first layer that reads it dense.
    pub(super) input: DenseBuffer,
    /// A batch without its zeros, for a first layer that reads blocks.
    pub(super) blocks: Blocks,
    /// Each layer's output, `[m, width]`.
    pub(super) outputs: Vec<AlignedVec>,
    /// Each layer's input as a wide kernel takes it; empty where none does.
    pub(super) compressed: Vec<Compressed>,
    /// The gradient with respect to the output of the layer at hand, and to its input.
    pub(super) output_grad: AlignedVec,
    pub(super) input_grad: AlignedVec,
    /// The first of them, and the weight that it meets, as a wide kernel takes them.
    pub(super) compressed_grad: Compressed,
    pub(super) transposed: AlignedVec,
    /// A piece of a weight's gradient that is not kept.
    pub(super) scratch: AlignedVec,
    pub(super) local: Local,
}

impl Workspace {
    /// Empty; the first passes allocate.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the last layer gave in the last forward pass, `[m, out_features]`.
    pub fn output(&self) -> &[f32] {
        self.outputs.last().map_or(&[], |output| output)
    }

    /// Each layer's output in the last forward pass, `[m, width]`, by index.
    pub fn layer_output(&self, index: usize) -> Option<&[f32]> {
        self.outputs.get(index).map(|output| &**output)
    }

    /// The index of the first layer whose output holds a value that is not a finite number.
    pub fn first_not_finite(&self) -> Option<usize> {
        self.outputs.iter().position(|output| output.iter().any(|value| !value.is_finite()))
    }
}
