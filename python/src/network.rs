//! Networks of the library from and to scikit-learn's `coefs_` and `intercepts_`.

use flatnet::Sequential;
use flatnet::nn::{Init, ReluGrad};
use numpy::ndarray::ArrayView2;
use numpy::{PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2, ToPyArray};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::raised;

/// `coefs`: a matrix `[in, out]` for each linear layer; `intercepts`: a vector `[out]` for each.
#[derive(FromPyObject)]
pub struct Weights<'py>(pub Vec<PyReadonlyArray2<'py, f32>>, pub Vec<PyReadonlyArray1<'py, f32>>);

/// `coefs` and `intercepts`, as Python takes them.
pub type Arrays<'py> = (Vec<Bound<'py, PyArray2<f32>>>, Vec<Bound<'py, PyArray1<f32>>>);

/// The network of these layers with these weights.
pub fn network(in_features: usize, layers: &str, Weights(coefs, intercepts): &Weights<'_>) -> PyResult<Sequential> {
    let layers = layers.parse().map_err(raised)?;
    let builder = Sequential::new(in_features).layers(&layers).init(Init::Zeros).relu_grad(ReluGrad::Exact);
    let mut model = builder.build(0).map_err(raised)?;
    let names: Vec<(String, Vec<usize>)> =
        model.parameters().map(|parameter| (parameter.name().into(), parameter.shape().into())).collect();
    if names.len() != 2 * coefs.len() || coefs.len() != intercepts.len() {
        let found = format!("{} coefs_ and {} intercepts_", coefs.len(), intercepts.len());
        return Err(PyValueError::new_err(format!(
            "{found}: expected one of each for every layer, {}",
            names.len() / 2
        )));
    }
    for (layer, [(weight, shape), (bias, _)]) in names.as_chunks::<2>().0.iter().enumerate() {
        // `[out, in]` to the library.
        let coef = coefs[layer].as_array().reversed_axes();
        if coef.shape() != shape.as_slice() {
            let (found, expected) = (coefs[layer].as_array(), (shape[1], shape[0]));
            return Err(PyValueError::new_err(format!(
                "coefs_[{layer}]: expected shape {expected:?}, found {:?}",
                found.dim()
            )));
        }
        let intercept = intercepts[layer].as_array();
        model.set_parameter(weight, &coef.iter().copied().collect::<Vec<_>>()).map_err(raised)?;
        model.set_parameter(bias, &intercept.iter().copied().collect::<Vec<_>>()).map_err(raised)?;
    }
    Ok(model)
}

/// The values of all parameters, row-major, in the library's order.
pub fn values(model: &Sequential) -> Vec<Vec<f32>> {
    model.parameters().map(|parameter| parameter.values()).collect()
}

/// Such values of `model`, as Python takes them.
pub fn arrays<'py>(py: Python<'py>, model: &Sequential, values: &[Vec<f32>]) -> PyResult<Arrays<'py>> {
    let (mut coefs, mut intercepts) = (Vec::new(), Vec::new());
    for (parameter, values) in model.parameters().zip(values) {
        match *parameter.shape() {
            [rows, columns] => {
                let weight = ArrayView2::from_shape((rows, columns), values)
                    .map_err(|error| PyValueError::new_err(error.to_string()))?;
                coefs.push(PyArray2::from_owned_array(py, weight.t().as_standard_layout().into_owned()));
            }
            _ => intercepts.push(values.to_pyarray(py)),
        }
    }
    Ok((coefs, intercepts))
}

/// The sum of the squares of all weights, biases left out.
pub fn squared_norm(model: &Sequential) -> f64 {
    let weights = model.parameters().filter(|parameter| parameter.shape().len() == 2);
    weights.map(|weight| weight.values().iter().map(|w| f64::from(*w).powi(2)).sum::<f64>()).sum()
}
