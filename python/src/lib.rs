//! The native part of the Python package `flatnet`: it hands arrays to the library, trains and predicts without the
//! interpreter's lock, and turns errors into exceptions. What scikit-learn expects of an estimator is Python's part.
#![deny(missing_docs, unsafe_code)]

mod arrays;
mod errors;
mod files;
mod fit;
mod follow;
mod losses;
mod mnist;
mod network;
mod predict;
mod rates;
mod report;
mod score;
mod settings;
mod signals;

use pyo3::prelude::*;

/// What Python imports as `flatnet._native`.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::files::{read, write};
    #[pymodule_export]
    use super::fit::{Fitted, fit};
    #[pymodule_export]
    use super::mnist::load_images;
    #[pymodule_export]
    use super::predict::Network;
    #[pymodule_export]
    use super::report::write_report;
}
