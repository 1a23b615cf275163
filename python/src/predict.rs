//! What a network gives for rows, on as many threads as are asked for.

use std::sync::atomic::{AtomicBool, Ordering};

use flatnet::Sequential;
use flatnet::data::{Batch, Dataset, Loader, Shuffle};
use flatnet::nn::{Context, Workspace};
use numpy::ndarray::{Array2, Dimension};
use numpy::{IntoPyArray, PyArray2, PyReadonlyArray, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::arrays::Features;
use crate::errors::raised;
use crate::network::{Weights, network};
use crate::signals::Signals;

/// Rows that pass at a time: their outputs stay in the caches.
const BATCH: usize = 256;

/// A network that is ready to predict, and the weights that it was made of, by which it is known whether it still is the one.
#[pyclass(frozen)]
pub struct Network {
    model: Sequential,
    layers: String,
    /// In the order of the arrays.
    coefs: Vec<Vec<f32>>,
    intercepts: Vec<Vec<f32>>,
}

#[pymethods]
impl Network {
    #[new]
    fn new(layers: String, weights: Weights<'_>) -> PyResult<Self> {
        let Weights(coefs, intercepts) = &weights;
        let in_features = coefs.first().map_or(0, |coef| coef.shape()[0]);
        Ok(Network {
            model: network(in_features, &layers, &weights)?,
            layers,
            coefs: coefs.iter().map(|coef| coef.as_array().iter().copied().collect()).collect(),
            intercepts: intercepts.iter().map(|intercept| intercept.as_array().iter().copied().collect()).collect(),
        })
    }

    /// Whether it is made of these layers and of these very numbers.
    fn is_of(&self, layers: &str, weights: Weights<'_>) -> bool {
        let Weights(coefs, intercepts) = &weights;
        layers == self.layers
            && coefs.len() == self.coefs.len()
            && intercepts.len() == self.intercepts.len()
            && coefs.iter().zip(&self.coefs).all(|(coef, own)| same(coef, own))
            && intercepts.iter().zip(&self.intercepts).all(|(intercept, own)| same(intercept, own))
    }

    /// The outputs of the last linear layer, `[n, outputs]`: logits of classes, or values.
    #[pyo3(signature = (x, threads=1))]
    fn predict<'py>(&self, py: Python<'py>, x: Features<'py>, threads: usize) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let (model, data) = (&self.model, x.without_answers(py)?);
        if data.features() != model.in_features() {
            let (found, expected) = (data.features(), model.in_features());
            return Err(PyValueError::new_err(format!("X has {found} features, but the network takes {expected}")));
        }
        let found = py.detach(|| outputs(model, &data, threads, &mut Signals::new()))?;
        let shape = (data.len(), model.out_features());
        let found = Array2::from_shape_vec(shape, found).map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok(found.into_pyarray(py))
    }
}

/// Whether an array holds these numbers, in its order.
fn same<D: Dimension>(array: &PyReadonlyArray<'_, f32, D>, own: &[f32]) -> bool {
    match array.as_slice() {
        Ok(slice) if array.is_c_contiguous() => slice == own,
        _ => array.as_array().iter().eq(own),
    }
}

/// `[n, out_features]`. The same bits for any number of threads: a row's depend on the row alone.
///
/// # Errors
/// What a signal's handler raised.
pub fn outputs(model: &Sequential, data: &Dataset, threads: usize, signals: &mut Signals) -> PyResult<Vec<f32>> {
    let width = model.out_features();
    let mut found = vec![0.0; data.len() * width];
    if data.is_empty() {
        return Ok(found);
    }
    let loader = Loader::new(data, BATCH, Shuffle::Never, 0).map_err(raised)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let per_thread = loader.batches().div_ceil(threads.clamp(1, cores));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut parts = found.chunks_mut(per_thread * BATCH * width).enumerate();
        let first = parts.next();
        for (part, found) in parts {
            let (loader, is_over) = (&loader, &is_over);
            scope.spawn(move || {
                let go_on = || if is_over.load(Ordering::Relaxed) { Err(()) } else { Ok(()) };
                run(model, loader, part * per_thread, found, go_on)
            });
        }
        // Only the caller's thread may hear of signals.
        first
            .map_or(Ok(()), |(part, found)| run(model, &loader, part * per_thread, found, || signals.ask()))
            .inspect_err(|_| is_over.store(true, Ordering::Relaxed))
    })?;
    Ok(found)
}

/// Fills `found` with the outputs of the batches from `first` on, as long as `go_on` has nothing against it.
fn run<E>(
    model: &Sequential,
    loader: &Loader<'_>,
    first: usize,
    found: &mut [f32],
    mut go_on: impl FnMut() -> Result<(), E>,
) -> Result<(), E> {
    let context = Context::evaluate();
    let (mut batch, mut workspace) = (Batch::new(), Workspace::new());
    for (index, found) in (first..).zip(found.chunks_mut(BATCH * model.out_features())) {
        go_on()?;
        loader.load(index, context.simd, &mut batch);
        found.copy_from_slice(model.forward(&batch, &context, &mut workspace));
    }
    Ok(())
}
