//! Loss and accuracy of a network on a data set: batches shared out among threads, each batch's figures in its own place,
//! so that the result does not depend on who computed what.

use crate::data::{Dataset, Loader, Scale, Shuffle};
use crate::error::Result;
use crate::nn::{Activations, Sequential, SoftmaxCrossEntropy};
use crate::parallel::Team;
use crate::train::check_fit;
use crate::train::history::{BatchRecord, mean_loss_and_accuracy};

/// What a network makes of a data set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluation {
    pub samples: usize,
    /// Samples whose largest logit (the first of equals) is their label's.
    pub correct: usize,
    /// `correct / samples`, 0 to 1.
    pub accuracy: f64,
    /// Mean of the batch losses, as in an epoch's figures.
    pub loss: f64,
}

/// Evaluates `model` on all rows of `data`, in batches of `batch_size` in order, on `threads` threads.
pub fn evaluate(
    model: &Sequential,
    data: &Dataset,
    scale: Scale,
    batch_size: usize,
    threads: usize,
) -> Result<Evaluation> {
    check_fit(model, data)?;
    let loader = Loader::new(data, scale, batch_size, Shuffle::Never, 0)?;
    let team = Team::new(threads)?;
    let mut records = Vec::new();
    Evaluator::new(model, &loader, &team).run(model, &loader, &team, &mut records);
    let (loss, accuracy) = mean_loss_and_accuracy(&records);
    let correct = records.iter().map(|record| record.correct as usize).sum();
    Ok(Evaluation { samples: data.len(), correct, accuracy, loss })
}

/// The buffers that evaluating needs, one set per thread, kept from epoch to epoch.
pub(crate) struct Evaluator {
    passes: Vec<Pass>,
}

/// One thread's way through a batch.
struct Pass {
    x: Vec<f32>,
    labels: Vec<u8>,
    activations: Activations,
    criterion: SoftmaxCrossEntropy,
}

impl Evaluator {
    pub(crate) fn new(model: &Sequential, loader: &Loader<'_>, team: &Team) -> Self {
        let batch_size = loader.batch_size().min(loader.dataset().len());
        let pass = || Pass {
            x: vec![0.0; batch_size * model.in_features()],
            labels: vec![0; batch_size],
            activations: Activations::default(),
            criterion: SoftmaxCrossEntropy::new(model.out_features()).at_level(model.level()),
        };
        Evaluator { passes: (0..team.threads()).map(|_| pass()).collect() }
    }

    /// Appends one record per batch, in the batches' order.
    pub(crate) fn run(&mut self, model: &Sequential, loader: &Loader<'_>, team: &Team, records: &mut Vec<BatchRecord>) {
        /// Batches that a thread takes at a time: few enough to share out evenly, enough to make taking them cheap.
        const CHUNK: usize = 8;
        let first_record = records.len();
        records.resize(first_record + loader.batches(), BatchRecord { loss: 0.0, correct: 0, samples: 0 });
        team.for_each_chunk(&mut self.passes, &mut records[first_record..], CHUNK, |pass, first_batch, records| {
            for (offset, record) in records.iter_mut().enumerate() {
                *record = pass.batch(model, loader, first_batch + offset);
            }
        });
    }
}

impl Pass {
    fn batch(&mut self, model: &Sequential, loader: &Loader<'_>, batch: usize) -> BatchRecord {
        let samples = loader.batch_len(batch);
        let (x, labels) = (&mut self.x[..samples * model.in_features()], &mut self.labels[..samples]);
        loader.gather(batch, 0..model.in_features(), x);
        loader.labels(batch, labels);
        let logits = model.forward(x, &mut self.activations);
        let loss = self.criterion.forward(logits, labels);
        BatchRecord { loss, correct: self.criterion.correct() as u32, samples: samples as u32 }
    }
}
