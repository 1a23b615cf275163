//! Training: from arrays and settings to weights and what was measured.

use flatnet::TrainState;
use numpy::{PyArray1, PyReadonlyArray1, ToPyArray};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::arrays::{Answers, Features, samples};
use crate::errors::raised;
use crate::follow::{End, Follow};
use crate::network::{Arrays, Weights, arrays, network, values};
use crate::report::{Epoch, epoch};
use crate::settings::Settings;

/// Steps done, and the optimizer's buffers in the library's own layout.
type Slots<'py> = (u64, Vec<PyReadonlyArray1<'py, f32>>);

/// What a fit gives.
#[pyclass(frozen)]
pub struct Fitted {
    weights: (Vec<Py<PyAny>>, Vec<Py<PyAny>>),
    slots: (u64, Vec<Py<PyArray1<f32>>>),
    /// What the library measured of each epoch; of validation, only where there is any.
    #[pyo3(get)]
    epochs: Vec<Epoch>,
    #[pyo3(get)]
    loss_curve: Vec<f64>,
    #[pyo3(get)]
    scores: Vec<f64>,
    #[pyo3(get)]
    best_loss: f64,
    #[pyo3(get)]
    best_score: f64,
    #[pyo3(get)]
    no_improvement_count: usize,
    /// `max_iter`, `no_change`, `asked` or `interrupted`.
    #[pyo3(get)]
    end: &'static str,
}

#[pymethods]
impl Fitted {
    #[getter]
    fn coefs(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        self.weights.0.iter().map(|array| array.clone_ref(py)).collect()
    }

    #[getter]
    fn intercepts(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        self.weights.1.iter().map(|array| array.clone_ref(py)).collect()
    }

    /// For the next call of `partial_fit`.
    #[getter]
    fn optimizer(&self, py: Python<'_>) -> (u64, Vec<Py<PyArray1<f32>>>) {
        (self.slots.0, self.slots.1.iter().map(|slot| slot.clone_ref(py)).collect())
    }
}

/// Trains from `weights` on. `validation`: features, targets and weights of what `early_stopping` scores; `labels` says
/// whether targets that are values are labels. `optimizer`: what the last `partial_fit` left. `on_epoch(epoch, loss, score,
/// coefs, intercepts)` may end the training by something true.
#[pyfunction]
#[pyo3(signature = (x, y, sample_weight, weights, settings, *, validation=None, labels=false, optimizer=None, on_epoch=None))]
#[expect(clippy::too_many_arguments, reason = "keywords to its one caller")]
pub fn fit<'py>(
    py: Python<'py>,
    x: Features<'py>,
    y: Answers<'py>,
    sample_weight: Option<PyReadonlyArray1<'py, f32>>,
    weights: Weights<'py>,
    settings: Settings,
    validation: Option<(Features<'py>, Answers<'py>, Option<PyReadonlyArray1<'py, f32>>)>,
    labels: bool,
    optimizer: Option<Slots<'py>>,
    on_epoch: Option<Py<PyAny>>,
) -> PyResult<Fitted> {
    let mut model = network(x.width(), &settings.layers, &weights)?;
    let train = samples(py, &x, &y, sample_weight)?;
    let validation = validation.map(|(x, y, weights)| samples(py, &x, &y, weights)).transpose()?;
    // The library validates after every epoch. Where nothing is held out, what it makes of one sample (one that counts, for
    // there is no mean over none) is not looked at.
    let counts = train.weights().and_then(|weights| weights.iter().position(|weight| *weight > 0.0));
    let one = train.select(&[counts.unwrap_or(0) as u32]);
    let mean_weight = train
        .weights()
        .map_or(1.0, |weights| weights.iter().map(|weight| f64::from(*weight)).sum::<f64>() / weights.len() as f64);
    let (trainer, rate) = settings.trainer(train.len(), model.out_features(), mean_weight).map_err(raised)?;
    let mut state = TrainState::new(&model, trainer.optimizer());
    if let Some((step, slots)) = optimizer {
        take(&mut state, step, &slots)?;
    }
    let mut follow = Follow::new(&settings, &model, validation.as_ref().map(|data| (data, labels)), rate, on_epoch);
    let looked_at = validation.as_ref().unwrap_or(&one);
    py.detach(|| trainer.fit_from(&mut model, &mut state, &train, looked_at, &mut follow)).map_err(raised)?;
    if let Some(error) = follow.error {
        return Err(error);
    }
    let best = follow.best.take().unwrap_or_else(|| values(&model));
    let (coefs, intercepts): Arrays<'py> = arrays(py, &model, &best)?;
    // What has been copied goes at once: of wide data, each of these is as large as what is left.
    drop((best, model));
    let slots = std::mem::take(&mut state.optimizer.slots);
    let slots = slots.into_iter().map(|slot| slot.to_pyarray(py).unbind()).collect();
    Ok(Fitted {
        weights: (
            coefs.into_iter().map(|array| array.into_any().unbind()).collect(),
            intercepts.into_iter().map(|array| array.into_any().unbind()).collect(),
        ),
        slots: (state.optimizer.step, slots),
        epochs: state.history.epochs.iter().map(|record| epoch(record, validation.is_some())).collect(),
        loss_curve: follow.loss_curve,
        scores: follow.scores,
        best_loss: follow.best_loss,
        best_score: follow.best_score,
        no_improvement_count: follow.no_improvement_count,
        end: match follow.end {
            End::MaxIter => "max_iter",
            End::NoChange => "no_change",
            End::Asked => "asked",
            End::Interrupted => "interrupted",
        },
    })
}

fn take(state: &mut TrainState, step: u64, slots: &[PyReadonlyArray1<'_, f32>]) -> PyResult<()> {
    let own = &mut state.optimizer.slots;
    let fits = own.len() == slots.len() && own.iter().zip(slots).all(|(own, slot)| own.len() == slot.as_array().len());
    if !fits {
        return Err(PyValueError::new_err(
            "the solver and the layers cannot change between calls of partial_fit: fit anew",
        ));
    }
    state.optimizer.step = step;
    for (own, slot) in own.iter_mut().zip(slots) {
        own.iter_mut().zip(slot.as_array()).for_each(|(own, value)| *own = *value);
    }
    Ok(())
}
