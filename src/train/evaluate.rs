//! Loss and accuracy of a network on a data set: batches shared out among threads, each batch's figures in its own place,
//! so that the result does not depend on who computed what.

use crate::data::{Dataset, Loader, Scale, Shuffle};
use crate::error::Result;
use crate::nn::Sequential;
use crate::nn::reduce::Alone;
use crate::parallel::Team;
use crate::train::check_fit;
use crate::train::history::{BatchRecord, mean_loss_and_accuracy};
use crate::train::pass::Pass;

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
    Evaluator::new(model, &team).run(model, &loader, &team, &mut records);
    let (loss, accuracy) = mean_loss_and_accuracy(&records);
    let correct = records.iter().map(|record| record.correct as usize).sum();
    Ok(Evaluation { samples: data.len(), correct, accuracy, loss })
}

/// What evaluating needs beside the network, one set per thread, kept from epoch to epoch.
pub(super) struct Evaluator {
    passes: Vec<(Pass, Alone)>,
}

impl Evaluator {
    pub fn new(model: &Sequential, team: &Team) -> Self {
        Evaluator { passes: (0..team.threads()).map(|_| (Pass::new(model), Alone::default())).collect() }
    }

    /// Appends one record per batch, in the batches' order.
    pub fn run(&mut self, model: &Sequential, loader: &Loader<'_>, team: &Team, records: &mut Vec<BatchRecord>) {
        /// Batches that a thread takes at a time: few enough to share out evenly, enough to make taking them cheap.
        const CHUNK: usize = 8;
        let first_record = records.len();
        records.resize(first_record + loader.batches(), BatchRecord { loss: 0.0, correct: 0, samples: 0 });
        let records = &mut records[first_record..];
        team.for_each_chunk(&mut self.passes, records, CHUNK, |(pass, alone), first_batch, records| {
            for (offset, record) in records.iter_mut().enumerate() {
                *record = pass.evaluate(model, loader, first_batch + offset, 0..model.in_features(), alone);
            }
        });
    }
}
