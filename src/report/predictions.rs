//! What a network predicts for every sample of a set: batches are shared out among threads and handed on in the set's order,
//! a few at a time, so that memory does not grow with the set. It knows a network and data, not what becomes of predictions.

use std::sync::Arc;

use crate::data::{Batch, Dataset, Loader, Shuffle, Targets};
use crate::error::Result;
use crate::loss::{self, Loss, LossBuffers};
use crate::metrics::{self, Classified};
use crate::nn::{Context, Sequential, Workspace};
use crate::parallel::{Team, available_cores};
use crate::train::{self, BatchRecord, Evaluation};

/// The predictions of a network.
#[derive(Debug)]
pub struct Predictions<'a> {
    model: &'a Sequential,
    loss: Arc<dyn Loss>,
    loader: Loader<'a>,
    team: Team,
}

/// Those of some samples that stand one after another.
#[derive(Debug, Clone, Copy)]
pub struct PredictedBatch<'a> {
    /// Number of the first of them in the set, from 0.
    pub first: usize,
    /// `[m, outputs]`, row-major: the network's outputs, before they are probabilities.
    pub outputs: &'a [f32],
    /// What they should be.
    pub targets: Targets<'a>,
    /// `[m, outputs]`, where outputs are logits; else empty.
    pub probabilities: &'a [f32],
    /// `[m]`: the first largest output, where there are classes.
    predictions: &'a [u32],
    /// How many samples these are.
    pub samples: usize,
}

impl<'a> PredictedBatch<'a> {
    /// Labels, predictions and probabilities, where there are classes; else of no sample.
    pub fn classified(&self) -> Classified<'a> {
        match self.targets {
            Targets::Classes(labels) => {
                Classified { labels, predictions: self.predictions, probabilities: self.probabilities }
            }
            Targets::Values(_) => Classified { labels: &[], predictions: &[], probabilities: &[] },
        }
    }

    /// What each output should be, where there are no classes; else nothing.
    pub fn values(&self) -> &'a [f32] {
        match self.targets {
            Targets::Classes(_) => &[],
            Targets::Values(values) => values,
        }
    }
}

/// A batch that has been computed and not yet handed on.
#[derive(Default)]
struct Place {
    outputs: Vec<f32>,
    labels: Vec<u32>,
    values: Vec<f32>,
    buffers: LossBuffers,
}

impl<'a> Predictions<'a> {
    /// Of `model` for all of `data`, with the loss that its targets call for, in batches of `batch_size`, on `threads` threads,
    /// or as many as this process has cores if those are fewer. The bits do not depend on their number.
    ///
    /// # Errors
    /// Where the data does not fit the network, or a number is 0.
    pub fn of(model: &'a Sequential, data: &'a Dataset, batch_size: usize, threads: usize) -> Result<Self> {
        Self::by(loss::of_targets(data.targets()), model, data, batch_size, threads)
    }

    /// The same with a given loss.
    ///
    /// # Errors
    /// As [`of`](Self::of), and where the loss does not fit the targets.
    pub fn by(
        loss: Arc<dyn Loss>,
        model: &'a Sequential,
        data: &'a Dataset,
        batch_size: usize,
        threads: usize,
    ) -> Result<Self> {
        train::check_fit(&*loss, model, data)?;
        let loader = Loader::new(data, batch_size, Shuffle::Never, 0)?;
        Ok(Predictions { model, loss, loader, team: Team::new(threads.min(available_cores()))? })
    }

    /// Hands on every batch, and says what [`evaluate_by`](crate::train::evaluate_by) says of the set, to the bit.
    ///
    /// # Errors
    /// The first of `each`, with which it stops.
    pub fn for_each(&self, mut each: impl FnMut(&PredictedBatch<'_>) -> Result<()>) -> Result<Evaluation> {
        /// Batches that a thread takes at a time, and how often before they are handed on.
        const CHUNK: usize = 8;
        const CHUNKS: usize = 4;
        /// Of so many samples in all; but each thread has a batch.
        const MAX_SAMPLES: usize = 1 << 16;
        let Predictions { model, loss, loader, team } = self;
        let context = Context::evaluate();
        let at_once = (team.threads() * CHUNK * CHUNKS).min((MAX_SAMPLES / loader.batch_size()).max(team.threads()));
        let mut places: Vec<Place> = (0..at_once.min(loader.batches())).map(|_| Place::default()).collect();
        let mut scratch: Vec<(Batch, Workspace)> = (0..team.threads()).map(|_| Default::default()).collect();
        let mut records = Vec::with_capacity(loader.batches());
        while records.len() < loader.batches() {
            let start = records.len();
            let places = &mut places[..at_once.min(loader.batches() - start)];
            let chunk = CHUNK.min(places.len().div_ceil(team.threads()));
            team.for_each_chunk(&mut scratch, places, chunk, |(batch, workspace), first, places| {
                for (offset, place) in places.iter_mut().enumerate() {
                    loader.load(start + first + offset, context.simd, batch);
                    let outputs = model.forward(&*batch, &context, workspace);
                    let (width, targets, weights) = (model.out_features(), batch.targets(), batch.weights());
                    loss.forward(context.simd, width, outputs, targets, weights, &mut place.buffers);
                    place.outputs.clear();
                    place.outputs.extend_from_slice(outputs);
                    place.labels.clear();
                    place.values.clear();
                    match targets {
                        Targets::Classes(labels) => place.labels.extend_from_slice(labels),
                        Targets::Values(values) => place.values.extend_from_slice(values),
                    }
                }
            });
            loader.take_failure().map_or(Ok(()), Err)?;
            for place in places {
                let Place { outputs, labels, values, buffers } = place;
                let of_classes = loader.dataset().classes() > 0;
                each(&PredictedBatch {
                    first: records.len() * loader.batch_size(),
                    outputs,
                    targets: if of_classes { Targets::Classes(labels) } else { Targets::Values(values) },
                    probabilities: &buffers.probabilities,
                    predictions: &buffers.predictions,
                    samples: buffers.losses.len(),
                })?;
                records.push(BatchRecord::from(buffers.sums));
            }
        }
        let (loss, _) = train::mean_loss_and_accuracy(&records);
        let correct = records.iter().map(|record| record.correct as usize).sum();
        let samples = loader.dataset().len();
        let accuracy = metrics::share(correct as u64, samples as u64).unwrap_or(f64::NAN);
        Ok(Evaluation { samples, correct, accuracy, loss })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::TargetColumns;
    use crate::error::Error;
    use crate::rng::{self, Stream};
    use rand::Rng;

    fn set(samples: usize) -> Dataset {
        let mut random = rng::stream(3, Stream::Init);
        let mut bytes = |count: usize| -> Vec<u8> { (0..count).map(|_| random.next_u32() as u8).collect() };
        let (pixels, labels) = (bytes(samples * 12), bytes(samples).iter().map(|byte| byte % 5).collect());
        Dataset::images(pixels, labels, (3, 4), 5, "noise".into()).unwrap()
    }

    #[test]
    fn every_sample_comes_once_in_order_whatever_the_batches_and_threads() {
        let (data, model) = (set(1003), Sequential::new(12).linear(8).relu().linear(5).build(1).unwrap());
        for batch_size in [1, 7, 64, 1003, 5000] {
            let mut all = Vec::new();
            for threads in [1, 2, 3] {
                let (mut outputs, mut labels, mut probabilities, mut first) = (vec![], vec![], vec![], 0);
                let evaluation = Predictions::of(&model, &data, batch_size, threads).unwrap().for_each(|batch| {
                    assert_eq!(batch.first, first);
                    first += batch.samples;
                    outputs.extend_from_slice(batch.outputs);
                    labels.extend(batch.classified().labels.iter().map(|label| *label as u16));
                    probabilities.extend_from_slice(batch.probabilities);
                    Ok(())
                });
                assert_eq!(evaluation.unwrap(), train::evaluate(&model, &data, batch_size, threads).unwrap());
                assert_eq!(labels, data.labels());
                assert_eq!((outputs.len(), probabilities.len()), (5 * 1003, 5 * 1003));
                all.push((outputs, probabilities));
            }
            assert!(all.windows(2).all(|two| two[0] == two[1]), "batches of {batch_size}");
        }
    }

    #[test]
    fn values_come_with_what_they_should_be() {
        let targets = TargetColumns::Values { values: (0..20).map(|at| at as f32).collect(), width: 2 };
        let data = Dataset::from_values((0..30).map(|at| at as f32 / 7.0).collect(), 3, targets, "s".into()).unwrap();
        let model = Sequential::new(3).linear(2).build(1).unwrap();
        let (mut outputs, mut values) = (vec![], vec![]);
        let predictions = Predictions::of(&model, &data, 4, 2).unwrap();
        let evaluation = predictions.for_each(|batch| {
            outputs.extend_from_slice(batch.outputs);
            values.extend_from_slice(batch.values());
            assert!(batch.classified().labels.is_empty() && batch.probabilities.is_empty());
            Ok(())
        });
        assert_eq!(evaluation.unwrap(), train::evaluate(&model, &data, 4, 1).unwrap());
        assert_eq!((outputs.len(), values), (20, (0..20).map(|at| at as f32).collect()));
    }

    #[test]
    fn a_reader_that_fails_ends_it() {
        let (data, model) = (set(100), Sequential::new(12).linear(5).build(1).unwrap());
        let mut seen = 0;
        let stopped = Predictions::of(&model, &data, 8, 2).unwrap().for_each(|_| {
            seen += 1;
            Err(Error::Setting { name: "stop", found: "here".into(), expected: "no more".into() })
        });
        assert!(stopped.is_err() && seen == 1);
        assert!(Predictions::of(&model, &data, 0, 1).is_err() && Predictions::of(&model, &data, 1, 0).is_err());
    }
}
