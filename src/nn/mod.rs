//! Layers and the loss: forward, backward and zero_grad as in PyTorch, over the kernels. No files, no threads, no flags.

mod init;
mod linear;
mod loss;
pub(crate) mod reduce;
mod relu;
mod sequential;
mod spec;
mod split;

pub use init::Init;
pub use linear::Linear;
pub use loss::SoftmaxCrossEntropy;
pub use relu::{Relu, ReluGrad};
pub use sequential::{Activations, Layer, Sequential};
pub use spec::{LayerSpec, LayerSpecs};
