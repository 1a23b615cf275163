//! The images of a folder in MNIST's form, as arrays.

use std::path::PathBuf;

use flatnet::Dataset;
use numpy::ndarray::Array2;
use numpy::{IntoPyArray, PyArray1, PyArray2, ToPyArray};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::raised;

/// Pixels and labels.
type Images<'py> = (Bound<'py, PyArray2<u8>>, Bound<'py, PyArray1<u16>>);

/// The training and the test images of `folder`.
#[pyfunction]
pub fn load_images<'py>(py: Python<'py>, folder: PathBuf) -> PyResult<(Images<'py>, Images<'py>)> {
    let (train, test) = py.detach(|| flatnet::data::mnist(&folder)).map_err(raised)?;
    Ok((images(py, &train)?, images(py, &test)?))
}

fn images<'py>(py: Python<'py>, set: &Dataset) -> PyResult<Images<'py>> {
    let pixels = Array2::from_shape_vec((set.len(), set.features()), set.pixels())
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok((pixels.into_pyarray(py), set.labels().to_pyarray(py)))
}
