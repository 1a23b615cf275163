//! Loss and accuracy of a network on a data set: batches shared out among threads, each batch's figures in its own place,
//! so that the result does not depend on who computed what.

use crate::data::{Dataset, Loader, Shuffle};
use crate::error::Result;
use crate::kernels::SimdLevel;
use crate::loss::{self, Loss};
use crate::nn::{Context, Sequential};
use crate::parallel::comm::Local;
use crate::parallel::world::{even_runs, run_of};
use crate::parallel::{Team, World, available_cores};
use crate::train::check_fit;
use crate::train::history::{BatchRecord, mean_loss_and_accuracy};
use crate::train::step::Step;

/// What a network makes of a data set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluation {
    /// Samples of the set.
    pub samples: usize,
    /// Samples whose largest output (the first of equals) is their label's; 0 where targets are values.
    pub correct: usize,
    /// `correct / samples`, 0 to 1.
    pub accuracy: f64,
    /// Mean loss over the samples.
    pub loss: f64,
}

/// Evaluates `model` on all rows of `data` by the loss that its targets call for, plain softmax cross entropy or squared
/// error, in batches of `batch_size` in order, on `threads` threads, or as many as this process has cores if those are fewer.
///
/// # Errors
/// Where the data does not fit the network, or a number is 0.
pub fn evaluate(model: &Sequential, data: &Dataset, batch_size: usize, threads: usize) -> Result<Evaluation> {
    evaluate_by(&*loss::of_targets(data.targets()), model, data, batch_size, threads)
}

/// The same by a given loss.
///
/// # Errors
/// As [`evaluate`], and where the loss does not fit the targets.
pub fn evaluate_by(
    loss: &dyn Loss,
    model: &Sequential,
    data: &Dataset,
    batch_size: usize,
    threads: usize,
) -> Result<Evaluation> {
    check_fit(loss, model, data)?;
    let loader = Loader::new(data, batch_size, Shuffle::Never, 0)?;
    let team = Team::new(threads.min(available_cores()))?;
    let mut records = Vec::new();
    Evaluator::new(&team, World::alone()).run(model, loss, SimdLevel::detect(), &loader, &team, &mut records);
    loader.take_failure().map_or(Ok(()), Err)?;
    let (loss, accuracy) = mean_loss_and_accuracy(&records);
    let correct = records.iter().map(|record| record.correct as usize).sum();
    Ok(Evaluation { samples: data.len(), correct, accuracy, loss })
}

/// What evaluating needs beside the network, one set per thread, kept from epoch to epoch.
pub(super) struct Evaluator {
    steps: Vec<(Step, Local)>,
    world: World,
}

impl Evaluator {
    /// On the threads of `team`, and those of the other ranks' teams, where there are any.
    pub fn new(team: &Team, world: World) -> Self {
        Evaluator { steps: (0..team.threads()).map(|_| Default::default()).collect(), world }
    }

    /// Appends one record per batch, in the batches' order.
    pub fn run(
        &mut self,
        model: &Sequential,
        loss: &dyn Loss,
        simd: SimdLevel,
        loader: &Loader<'_>,
        team: &Team,
        records: &mut Vec<BatchRecord>,
    ) {
        /// Batches that a thread takes at a time: few enough to share out evenly, enough to make taking them cheap.
        const CHUNK: usize = 8;
        let context = Context::evaluate().with_simd(simd);
        let first_record = records.len();
        records.resize(first_record + loader.batches(), BatchRecord::from_mean(0.0, 0, 0));
        let records = &mut records[first_record..];
        let is_shared = self.world.is_shared();
        let own = match is_shared {
            true => run_of(&even_runs(records.len(), self.world.size()), self.world.rank()),
            false => 0..records.len(),
        };
        team.for_each_chunk(
            &mut self.steps,
            &mut records[own.clone()],
            CHUNK,
            |(step, local), first_batch, records| {
                for (offset, record) in records.iter_mut().enumerate() {
                    let (batch, columns) = (own.start + first_batch + offset, 0..model.in_features());
                    *record = step.evaluate(model, loss, &context, loader, batch, columns, local);
                }
            },
        );
        if is_shared {
            let told: Vec<u8> = records[own].iter().flat_map(|record| record.to_bytes()).collect();
            let all = self.world.all_gather(&told).concat();
            for (record, bytes) in records.iter_mut().zip(all.as_chunks().0) {
                *record = BatchRecord::from_bytes(bytes);
            }
        }
    }
}
