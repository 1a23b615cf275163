//! Layers and losses.
mod spec;
pub use spec::{LayerSpec, LayerSpecs};
