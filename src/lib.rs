//! flatnet trains small dense neural networks on ordinary CPUs.
#![deny(unsafe_code)]

pub mod data;
pub mod error;
pub mod kernels;
pub mod model_file;
pub mod nn;
pub mod optim;
pub mod parallel;
pub mod rng;
pub mod run;
pub mod train;

mod whole_file;

pub use error::{Error, Result};
