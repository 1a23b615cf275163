//! Data sets, from bytes in a file to scaled batches. It must not know of networks, threads or flags.
//!
//! Data flow one way: [`source`] reads files, a [`Dataset`] holds columns and targets, [`sample`] draws rows, [`Scale`] says
//! what a pixel is as a number, and a [`Loader`] fills a [`Batch`] with some of its rows as f32.

mod batch;
mod columns;
mod dataset;
mod digest;
#[cfg(feature = "inspect")]
pub mod inspect;
pub mod known;
mod loader;
mod prepare;
mod rows;
pub mod sample;
mod scale;
pub mod source;
mod targets;

pub use batch::Batch;
pub use dataset::Dataset;
#[doc(hidden)]
pub use digest::hex;
pub use loader::{Loader, Shuffle};
pub use prepare::Prepare;
pub use sample::SampleSize;
pub use scale::{Scale, ScaleKind};
pub use source::idx;
pub use source::mnist::{Split, load_mnist_folder, load_split, mnist};
pub use targets::{TargetColumns, Targets};
