//! Data sets, from bytes in a file to scaled batches. It must not know of networks, threads or flags' parsing.
//!
//! Bytes flow one way: [`idx`] reads a file, [`Dataset`] holds pixels and labels as bytes, [`sample`] draws rows,
//! [`Scale`] says what a pixel is as a number, and [`Loader`] fills a [`Batch`] with some of its rows as f32.

mod batch;
mod dataset;
pub mod idx;
#[cfg(feature = "inspect")]
pub mod inspect;
pub mod known;
mod loader;
mod rows;
pub mod sample;
mod scale;
mod targets;
mod unpack;

pub use batch::Batch;
pub use dataset::{Dataset, Split, load_mnist_folder, load_split, one_hot};
pub use loader::{Loader, Shuffle};
pub use sample::SampleSize;
pub use scale::{Scale, ScaleKind};
pub use targets::Targets;
