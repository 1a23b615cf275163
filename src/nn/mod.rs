//! Layers and networks: forward, backward and zero_grad as in PyTorch, over the kernels. No files, no threads, no flags.

mod builder;
mod context;
mod elementwise;
mod init;
mod input;
mod linear;
pub(crate) mod params;
mod sequential;
mod spec;
mod workspace;

pub use builder::Builder;
pub use context::{Context, Mode};
pub use init::Init;
pub use input::Input;
pub use linear::Linear;
pub use sequential::{Parameter, Sequential};
pub use spec::{LayerSpec, LayerSpecs};
pub use workspace::Workspace;

pub(crate) use sequential::Update;

pub use crate::kernels::activations::ReluGrad;

use crate::data::{Prepare, Scale};

/// What a network's inputs and outputs are, beside their number: what a saved model needs to be used on new data.
#[derive(Debug, Clone, PartialEq)]
pub struct DataSpec {
    /// How pixels become inputs; none where inputs are numbers already.
    pub scale: Option<Scale>,
    /// Rows and columns of an image; their product is the number of inputs.
    pub image_size: (usize, usize),
    /// How pictures are made to look like its images, where that is known.
    pub prepare: Option<Prepare>,
}
