//! What training steps show on the way: which units gave anything but 0, which classes were predicted, how large gradients
//! were. It knows what a step leaves behind, not how steps are taken, and costs one as little as can be: a unit is looked at
//! until it has given something once, which most do in the first batches of an epoch.

use serde::{Deserialize, Serialize};

use crate::nn::{Sequential, Workspace};
use crate::train::watch::{DeadUnits, MAX_WATCHED_LAYERS, Watch};

/// Gradients are measured in one batch of so many.
const BATCHES_PER_NORM: usize = 128;

/// Whether the gradients of this batch of an epoch are measured: in the middle of each stretch of 128, or of the whole epoch
/// if that is shorter, so that the batch is rarely the short one at the end.
pub(super) fn measures_gradients(batch: usize, batches: usize) -> bool {
    batch % BATCHES_PER_NORM == batches.min(BATCHES_PER_NORM) / 2
}

/// What one thread saw of the training steps of an epoch. The buffers grow in the first epoch and stay.
#[derive(Debug, Default, Clone)]
pub(super) struct Observer {
    layers: Vec<Silent>,
    /// How often each class was predicted. There are two counts, used in turn, since the same class comes twice in a row
    /// often, and the second would wait for the first.
    predicted: [Vec<u32>; 2],
    /// Each measured batch and the norm of its gradients.
    norms: Vec<(usize, f64)>,
}

/// The units of an activation layer that have given nothing but 0 in this epoch.
#[derive(Debug, Default, Clone)]
struct Silent {
    layer: usize,
    /// Which of the layer's units are held here.
    first_unit: usize,
    units: usize,
    /// Counted from the first held one, rising.
    silent: Vec<u32>,
}

/// What was seen of an epoch that training stands within, of the whole network: the rest of the epoch is added to it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Observed {
    /// Of each watched layer, the units that have given nothing but 0, rising.
    silent: Vec<Vec<u32>>,
    predicted: Vec<u32>,
    norms: Vec<(usize, f64)>,
}

impl Observed {
    /// The same without counts of predictions: of several processes that go on, one counts those before.
    pub fn without_counts(&self) -> Observed {
        Observed { predicted: Vec::new(), ..self.clone() }
    }
}

impl Observer {
    /// What was seen of the epoch so far.
    pub fn observed(&self) -> Observed {
        let [even, odd] = &self.predicted;
        Observed {
            silent: self.layers.iter().map(|layer| layer.silent.clone()).collect(),
            predicted: even.iter().zip(odd).map(|(even, odd)| even.saturating_add(*odd)).collect(),
            norms: self.norms.clone(),
        }
    }

    /// Goes on from what was seen of the same epoch of the same network, after [`Self::start`]. What cannot be of that network is
    /// left out.
    pub fn go_on(&mut self, observed: &Observed) {
        self.merge_process(observed, true);
        self.norms.extend_from_slice(&observed.norms);
    }

    /// Nothing has been seen of an epoch of `model`, or of the shard of it that this thread holds.
    pub fn start(&mut self, model: &Sequential) {
        let skipped = model.activations().count().saturating_sub(MAX_WATCHED_LAYERS);
        let watched = model.activations().skip(skipped);
        self.layers.resize_with(watched.count(), Silent::default);
        for (place, (layer, first_unit, units)) in self.layers.iter_mut().zip(model.activations().skip(skipped)) {
            (place.layer, place.first_unit, place.units) = (layer, first_unit, units);
            place.silent.clear();
            place.silent.extend(0..units as u32);
        }
        // A single output may tell two classes apart.
        let classes = model.out_features().max(2);
        for counts in &mut self.predicted {
            counts.clear();
            counts.resize(classes, 0);
        }
        self.norms.clear();
    }

    /// After the forward pass and the loss of a batch. `predictions: [m]`, or empty.
    pub fn forward(&mut self, workspace: &Workspace, predictions: &[u32]) {
        for layer in &mut self.layers {
            if !layer.silent.is_empty() {
                let outputs = workspace.layer_output(layer.layer).unwrap_or_default();
                let units = layer.units;
                layer
                    .silent
                    .retain(|unit| outputs.iter().skip(*unit as usize).step_by(units).all(|output| *output == 0.0));
            }
        }
        let [even, odd] = &mut self.predicted;
        let (pairs, last) = predictions.as_chunks::<2>();
        let count = |counts: &mut Vec<u32>, class: u32| {
            if let Some(count) = counts.get_mut(class as usize) {
                *count = count.saturating_add(1);
            }
        };
        for [first, second] in pairs {
            count(even, *first);
            count(odd, *second);
        }
        last.iter().for_each(|class| count(even, *class));
    }

    /// After the backward pass of a batch whose gradients are measured.
    pub fn gradients(&mut self, batch: usize, norm: f64) {
        self.norms.push((batch, norm));
    }

    /// Adds what another thread saw of the same epoch, of the whole network or of a shard. Batches that several threads shared
    /// each of them saw all of, so that one of them, for which `counts`, tells of predictions and gradients.
    pub fn merge(&mut self, other: &Observer, counts: bool) {
        for (own, of_other) in self.layers.iter_mut().zip(&other.layers) {
            own.silent.retain(|unit| match (own.first_unit as u32 + unit).checked_sub(of_other.first_unit as u32) {
                Some(unit) if (unit as usize) < of_other.units => of_other.silent.binary_search(&unit).is_ok(),
                _ => true,
            });
        }
        if counts {
            for (own, of_other) in self.predicted.iter_mut().zip(&other.predicted) {
                own.iter_mut().zip(of_other).for_each(|(own, of_other)| *own = own.saturating_add(*of_other));
            }
            self.norms.extend_from_slice(&other.norms);
        }
    }

    /// Adds what another process saw of the same epoch of the whole network. `counts` as for [`Self::merge`]; gradients every
    /// process saw all of.
    pub fn merge_process(&mut self, other: &Observed, counts: bool) {
        for (own, silent) in self.layers.iter_mut().zip(&other.silent) {
            own.silent.retain(|unit| silent.binary_search(unit).is_ok());
        }
        if counts {
            let predicted = self.predicted[0].iter_mut().zip(&other.predicted);
            predicted.for_each(|(own, count)| *own = own.saturating_add(*count));
        }
    }

    /// What the epoch, whose last batch had this learning rate, showed of `model`.
    pub fn watch(&mut self, model: &Sequential, lr: f32) -> Watch {
        let [even, odd] = &self.predicted;
        let counts = || even.iter().zip(odd).map(|(even, odd)| u64::from(*even) + u64::from(*odd));
        let (all, most) = (counts().sum::<u64>(), counts().max().unwrap_or(0));
        // In the order of the batches, whoever measured them, since sums depend on it.
        self.norms.sort_unstable_by_key(|(batch, _)| *batch);
        let norm = self.norms.iter().fold(0.0, |sum, (_, norm)| sum + norm) / self.norms.len() as f64;
        let dead = self.layers.iter().map(|layer| DeadUnits {
            layer: layer.layer,
            dead: layer.silent.len(),
            units: layer.units,
        });
        Watch::new(
            (all > 0).then(|| most as f64 / all as f64),
            norm.is_finite().then_some(norm),
            lr,
            model.largest_weight(),
            dead,
        )
    }
}
