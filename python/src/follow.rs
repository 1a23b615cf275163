//! What is looked at while a network trains: losses and scores as scikit-learn tells them, when to end, Ctrl-C, and whoever
//! in Python wants to hear of epochs. Only for the last two is the interpreter's lock taken.

use std::ops::ControlFlow;

use flatnet::data::Dataset;
use flatnet::train::{BatchEnd, BatchRecord, EpochEnd};
use flatnet::{Callback, Sequential};
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;

use crate::network::{arrays, squared_norm, values};
use crate::predict::outputs;
use crate::rates::Adaptive;
use crate::score::score;
use crate::settings::Settings;
use crate::signals::Signals;

/// Rates below are not lowered any more, as in scikit-learn.
const SMALLEST_RATE: f64 = 1e-6;

/// Why training ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum End {
    MaxIter,
    NoChange,
    Asked,
    Interrupted,
}

/// Hears of every batch and epoch.
pub struct Follow<'a> {
    settings: &'a Settings,
    /// What is scored after every epoch, and whether its targets are labels.
    validation: Option<(&'a Dataset, bool)>,
    rate: Option<Adaptive>,
    on_epoch: Option<Py<PyAny>>,
    signals: Signals,
    squared_norm: f64,
    pub loss_curve: Vec<f64>,
    pub scores: Vec<f64>,
    pub best_loss: f64,
    pub best_score: f64,
    /// The parameters of the epoch with the best score.
    pub best: Option<Vec<Vec<f32>>>,
    pub no_improvement_count: usize,
    pub end: End,
    /// What Python raised.
    pub error: Option<PyErr>,
}

impl<'a> Follow<'a> {
    pub fn new(
        settings: &'a Settings,
        model: &Sequential,
        validation: Option<(&'a Dataset, bool)>,
        rate: Option<Adaptive>,
        on_epoch: Option<Py<PyAny>>,
    ) -> Self {
        Follow {
            settings,
            validation,
            rate,
            on_epoch,
            signals: Signals::new(),
            squared_norm: if settings.alpha > 0.0 { squared_norm(model) } else { 0.0 },
            loss_curve: Vec::new(),
            scores: Vec::new(),
            best_loss: settings.best_loss,
            best_score: settings.best_score,
            best: None,
            no_improvement_count: settings.no_improvement_count,
            end: End::MaxIter,
            error: None,
        }
    }

    fn stop(&mut self, end: End) -> ControlFlow<()> {
        self.end = end;
        ControlFlow::Break(())
    }

    fn raise(&mut self, error: PyErr) -> ControlFlow<()> {
        if Python::attach(|py| error.is_instance_of::<PyKeyboardInterrupt>(py)) {
            return self.stop(End::Interrupted);
        }
        self.error = Some(error);
        self.stop(End::Asked)
    }

    /// The mean over batches by their lengths, with the penalty. scikit-learn takes the penalty of each batch from the weights
    /// before its update; here the squared norm is taken to change evenly over the epoch, which is the same for one batch.
    fn loss(&mut self, model: &Sequential, batches: &[BatchRecord]) -> f64 {
        let samples: f64 = batches.iter().map(|batch| f64::from(batch.samples)).sum();
        let mean = |batch: &BatchRecord| if batch.weight > 0.0 { batch.loss_sum / batch.weight } else { 0.0 };
        let mut loss = batches.iter().map(|batch| mean(batch) * f64::from(batch.samples)).sum::<f64>() / samples;
        if self.settings.alpha > 0.0 {
            let (count, now) = (batches.len() as f64, squared_norm(model));
            let during = self.squared_norm + (now - self.squared_norm) * (count - 1.0) / (2.0 * count);
            let per_weight: f64 =
                batches.iter().filter(|b| b.weight > 0.0).map(|b| f64::from(b.samples) / b.weight).sum();
            loss += 0.5 * self.settings.alpha * during * per_weight / samples;
            self.squared_norm = now;
        }
        loss
    }

    /// Counts the epochs in a row that were not better than the best one before them by more than `tol`.
    fn compare(&mut self, model: &Sequential, loss: f64) -> PyResult<()> {
        let tol = self.settings.tol;
        let worse = if let Some((data, labels)) = self.validation {
            let output = outputs(model, data, self.settings.n_jobs, &mut self.signals)?;
            let score = score(&output, data, labels);
            self.scores.push(score);
            let worse = score < self.best_score + tol;
            if score > self.best_score {
                self.best_score = score;
                self.best = Some(values(model));
            }
            worse
        } else {
            let worse = loss > self.best_loss - tol;
            self.best_loss = self.best_loss.min(loss);
            worse
        };
        self.no_improvement_count = if worse { self.no_improvement_count + 1 } else { 0 };
        Ok(())
    }

    /// Whether Python asks for the end.
    fn tell(&mut self, epoch: usize, model: &Sequential, loss: f64) -> ControlFlow<()> {
        let Some(on_epoch) = &self.on_epoch else { return ControlFlow::Continue(()) };
        let asked = Python::attach(|py| {
            let (coefs, intercepts) = arrays(py, model, &values(model))?;
            on_epoch.bind(py).call1((epoch, loss, self.scores.last().copied(), coefs, intercepts))?.is_truthy()
        });
        match asked {
            Ok(false) => ControlFlow::Continue(()),
            Ok(true) => self.stop(End::Asked),
            Err(error) => self.raise(error),
        }
    }
}

impl Callback for Follow<'_> {
    fn after_batch(&mut self, _: &BatchEnd) -> ControlFlow<()> {
        self.within_batch()
    }

    fn within_batch(&mut self) -> ControlFlow<()> {
        if !self.settings.signals {
            return ControlFlow::Continue(());
        }
        self.signals.ask().map_or_else(|error| self.raise(error), ControlFlow::Continue)
    }

    fn after_epoch(&mut self, end: &mut EpochEnd<'_>) -> ControlFlow<()> {
        let (epochs, batches) = (end.state.history.epochs.len(), &end.state.history.train_batches);
        // Every epoch has as many.
        let loss = self.loss(end.model, &batches[batches.len() - batches.len() / epochs..]);
        self.loss_curve.push(loss);
        if let Err(error) = self.compare(end.model, loss) {
            return self.raise(error);
        }
        self.tell(end.epoch, end.model, loss)?;
        if self.settings.n_iter_no_change.is_some_and(|most| self.no_improvement_count > most) {
            match &self.rate {
                Some(rate) if rate.rate() > SMALLEST_RATE => {
                    rate.set(rate.rate() / 5.0);
                    self.no_improvement_count = 0;
                }
                _ => return self.stop(End::NoChange),
            }
        }
        ControlFlow::Continue(())
    }
}
