//! One thread's way through a batch, and the buffers it reuses: the reference's training step, and its validation step.

use std::ops::Range;

use crate::data::{Batch, Loader};
use crate::error::Error;
use crate::kernels::Features;
use crate::nn::reduce::Reduce;
use crate::nn::{Activations, Sequential, SoftmaxCrossEntropy};
use crate::optim::Sgd;
use crate::train::history::BatchRecord;

pub(super) struct Pass {
    batch: Batch,
    activations: Activations,
    criterion: SoftmaxCrossEntropy,
}

impl Pass {
    pub fn new(model: &Sequential) -> Self {
        Pass {
            batch: Batch::new().at_level(model.level()),
            activations: Activations::default(),
            criterion: SoftmaxCrossEntropy::new(model.out_features()).at_level(model.level()),
        }
    }

    /// One step on `batch`: forward, loss, backward, update. Of the features, `columns` are those that `model` reads;
    /// `reduce` adds up what several holders of one network have of its sums.
    pub fn train(
        &mut self,
        model: &mut Sequential,
        optimizer: Sgd,
        loader: &Loader<'_>,
        batch: usize,
        columns: Range<usize>,
        reduce: &mut impl Reduce,
    ) -> BatchRecord {
        let record = self.evaluate(model, loader, batch, columns, reduce);
        let (x, lr) = (Features::from(&self.batch), Some(optimizer.lr()));
        model.backward_with(x, self.criterion.backward(), lr, &mut self.activations, reduce);
        record
    }

    /// Loss and correct predictions of `batch`.
    pub fn evaluate(
        &mut self,
        model: &Sequential,
        loader: &Loader<'_>,
        batch: usize,
        columns: Range<usize>,
        reduce: &mut impl Reduce,
    ) -> BatchRecord {
        loader.load_columns(batch, columns, &mut self.batch);
        model.forward_with(Features::from(&self.batch), &mut self.activations, reduce);
        let loss = self.criterion.forward(self.activations.logits(), self.batch.labels());
        BatchRecord { loss, correct: self.criterion.correct() as u32, samples: self.batch.len() as u32 }
    }

    /// The first layer that gave a value that is not finite in the last step, as far as it is held here.
    pub fn first_not_finite(&self) -> Option<usize> {
        self.activations.first_not_finite()
    }
}

/// Names `layer`, the first of `model` that gave a value that is not finite; the loss where all of them are.
pub(super) fn not_finite(layer: Option<usize>, model: &Sequential, epoch: usize, batch: usize) -> Error {
    let layer = layer.map_or("the loss".into(), |index| model.layer_name(index));
    Error::NonFinite { epoch, batch: batch + 1, layer }
}
