//! What a network gives for rows, on as many threads as are asked for.

use flatnet::data::{Batch, Dataset, Loader, Shuffle};
use flatnet::nn::{Context, Workspace};
use flatnet::{Result, Sequential};
use numpy::ndarray::Array2;
use numpy::{IntoPyArray, PyArray2};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::arrays::Features;
use crate::errors::raised;
use crate::network::{Weights, network};

/// Rows that pass at a time: their outputs stay in the caches.
const BATCH: usize = 256;

/// The outputs of the last linear layer, `[n, outputs]`: logits of classes, or values.
#[pyfunction]
#[pyo3(signature = (x, layers, weights, threads=1))]
pub fn predict<'py>(
    py: Python<'py>,
    x: Features<'py>,
    layers: &str,
    weights: Weights<'py>,
    threads: usize,
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let model = network(x.width(), layers, &weights)?;
    let data = x.without_answers()?;
    let found = py.detach(|| outputs(&model, &data, threads)).map_err(raised)?;
    let shape = (data.len(), model.out_features());
    let found = Array2::from_shape_vec(shape, found).map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok(found.into_pyarray(py))
}

/// `[n, out_features]`. The same bits for any number of threads: a row's depend on the row alone.
pub fn outputs(model: &Sequential, data: &Dataset, threads: usize) -> Result<Vec<f32>> {
    let width = model.out_features();
    let mut found = vec![0.0; data.len() * width];
    if data.is_empty() {
        return Ok(found);
    }
    let loader = Loader::new(data, BATCH, Shuffle::Never, 0)?;
    let per_thread = loader.batches().div_ceil(threads.max(1));
    std::thread::scope(|scope| {
        let mut parts = found.chunks_mut(per_thread * BATCH * width).enumerate();
        let first = parts.next();
        for (part, found) in parts {
            let loader = &loader;
            scope.spawn(move || run(model, loader, part * per_thread, found));
        }
        if let Some((part, found)) = first {
            run(model, &loader, part * per_thread, found);
        }
    });
    Ok(found)
}

/// Fills `found` with the outputs of the batches from `first` on.
fn run(model: &Sequential, loader: &Loader<'_>, first: usize, found: &mut [f32]) {
    let context = Context::evaluate();
    let (mut batch, mut workspace) = (Batch::new(), Workspace::new());
    for (index, found) in (first..).zip(found.chunks_mut(BATCH * model.out_features())) {
        loader.load(index, context.simd, &mut batch);
        found.copy_from_slice(model.forward(&batch, &context, &mut workspace));
    }
}
