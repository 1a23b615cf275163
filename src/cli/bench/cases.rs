//! What `flatnet bench` measures: one network, batch size, kernel and number of threads each. It knows how one measurement
//! is made, not when, and not what becomes of the figures.

use std::ops::ControlFlow;
use std::time::Duration;

use flatnet::data::Shuffle;
use flatnet::kernels::KernelChoice;
use flatnet::nn::{Init, Linear, ReluGrad, Sequential};
use flatnet::optim::{self, Settings};
use flatnet::train::{EpochEnd, EpochRecord, TrainState, Trainer};
use flatnet::{Dataset, Result};

use super::images::{FEATURES, Images};

/// A network as the table calls it and as `--layers` does, the optimizer and the batch sizes that it is trained with, and by
/// which kernels.
struct Net {
    name: &'static str,
    layers: &'static str,
    optimizer: &'static str,
    batch_sizes: &'static [usize],
    kernels: &'static [KernelChoice],
}

/// `auto` is what users get: narrow kernels where a layer is narrow.
const AUTO: &[KernelChoice] = &[KernelChoice::Auto];
const AUTO_AND_GEMM: &[KernelChoice] = &[KernelChoice::Auto, KernelChoice::Gemm];
const HIDDEN: &str = "linear:128,relu,linear:10";
const TWO_HIDDEN: &str = "linear:512,relu,linear:256,relu,linear:10";
/// The recipe's network comes first, what was added last.
const NETS: [Net; 4] = [
    Net {
        name: "784-10",
        layers: "linear:10,relu",
        optimizer: SGD,
        batch_sizes: &[1, 8, 32, 128, 1024],
        kernels: AUTO_AND_GEMM,
    },
    Net { name: "784-128-10", layers: HIDDEN, optimizer: SGD, batch_sizes: &[32], kernels: AUTO_AND_GEMM },
    Net { name: "784-512-256-10", layers: TWO_HIDDEN, optimizer: SGD, batch_sizes: &[32], kernels: AUTO_AND_GEMM },
    Net { name: "784-128-10", layers: HIDDEN, optimizer: "adam", batch_sizes: &[32], kernels: AUTO },
];
/// Low enough for every optimizer and network above; it changes no time.
const LEARNING_RATE: f32 = 1e-3;
const SGD: &str = "sgd";
/// What the recipe validates with.
const EVALUATION_BATCH_SIZE: usize = 32;

/// A network and how it is run.
#[derive(Clone)]
pub struct Case {
    pub net: &'static str,
    pub optimizer: &'static str,
    pub batch_size: usize,
    pub threads: usize,
    /// As it is before every measurement.
    model: Sequential,
}

impl Case {
    fn new(net: &Net, batch_size: usize, kernel: KernelChoice, threads: usize) -> Result<Self> {
        let builder = Sequential::new(FEATURES).layers(&net.layers.parse()?).kernel(kernel);
        let model = builder.init(Init::UnitNorm).relu_grad(ReluGrad::StraightThrough).build(0)?;
        Ok(Case { net: net.name, optimizer: net.optimizer, batch_size, threads, model })
    }

    /// The kernels that run, as a run's summary names them.
    pub fn kernel_name(&self) -> &'static str {
        self.model.kernel_name()
    }

    /// Floating-point operations of a training batch, nominal: those of products that leave no zero out. A linear layer
    /// has `2 m in out` in the forward pass, as many for the gradient of its weights, and as many for that of its inputs,
    /// which the first layer does not need. The rest (softmax, update, ReLU) is small and does not count.
    pub fn flops(&self) -> f64 {
        let products = |layer: usize| if layer == 0 { 2.0 } else { 3.0 };
        let weights = self.model.linears().map(Linear::weights).enumerate();
        weights.map(|(layer, weights)| products(layer) * 2.0 * (self.batch_size * weights) as f64).sum()
    }

    /// The mean of what `seconds` reads from each epoch, as a user's run would give it, and the batches of the epoch that
    /// threads shared. First epochs warm up, for half of `wanted`: the engine finds out within them whether sharing pays.
    /// Those after them count, until they come to `wanted` seconds or there have been `epochs` of them (at least one).
    fn time(
        &self,
        train: &Dataset,
        val: &Dataset,
        epochs: usize,
        wanted: f64,
        seconds: fn(&EpochRecord) -> f64,
    ) -> Result<(f64, f64)> {
        let optimizer = optim::build(self.optimizer, LEARNING_RATE, &Settings::default())?;
        let trainer = Trainer::new(optimizer).epochs(2 + 2 * epochs).batch_size(self.batch_size);
        let trainer = trainer.shuffle(Shuffle::Never).threads(self.threads);
        let (mut warm, mut sum, mut shared, mut count) = (0.0, 0.0, 0, 0);
        let mut count_epoch = |end: &mut EpochEnd<'_>| {
            if end.epoch == 1 || (warm < wanted / 2.0 && end.epoch <= epochs / 2) {
                warm += seconds(&end.record);
                return ControlFlow::Continue(());
            }
            sum += seconds(&end.record);
            shared += end.shared_batches;
            count += 1;
            if sum >= wanted || count >= epochs.max(1) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let mut model = self.model.clone();
        let mut state = TrainState::new(&model, trainer.optimizer());
        trainer.fit_from(&mut model, &mut state, train, val, &mut count_epoch)?;
        Ok((sum / count as f64, shared as f64 / count as f64))
    }
}

/// Training steps: batch from bytes, forward, loss, backward, update.
pub struct Training {
    pub case: Case,
    /// One for each round.
    pub seconds_per_batch: Vec<f64>,
    /// Share of the steps that threads shared, 0 to 1; one for each round.
    pub shared: Vec<f64>,
    /// A guess at the seconds, which decides how long an epoch may be.
    estimate: f64,
}

impl Training {
    /// All cases, in the order of the table.
    pub fn all(thread_counts: &[usize], images: &Images) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for net in &NETS {
            for &batch_size in net.batch_sizes {
                for &kernel in net.kernels {
                    for &threads in thread_counts {
                        let case = Case::new(net, batch_size, kernel, threads)?;
                        let train = images.at_least(Self::least_images(batch_size));
                        let (seconds, _) = case.time(train, &images.one, 1, 0.0, |epoch| epoch.train_seconds)?;
                        let estimate = seconds / (train.len() / batch_size) as f64;
                        all.push(Training { case, seconds_per_batch: Vec::new(), shared: Vec::new(), estimate });
                    }
                }
            }
        }
        Ok(all)
    }

    /// One round's measurement, which takes about `slice`.
    pub fn measure(&mut self, images: &Images, slice: Duration) -> Result<()> {
        /// Should the guess be far too high, so many epochs are still enough.
        const MOST_EPOCHS: usize = 100;
        // A third of the time to warm up, the rest to be counted. Epochs as long as that allows: at the start of each the threads
        // are woken and given their shards, which is nothing to an epoch of a real run and would be much to a short one.
        let epoch_seconds = slice.as_secs_f64() / 4.0;
        let batch_size = self.case.batch_size;
        let affordable = (epoch_seconds / self.estimate) as usize * batch_size;
        let train = images.at_most(affordable.max(Self::least_images(batch_size)));
        debug_assert!(train.len().is_multiple_of(batch_size), "a short batch would count as a whole one");
        let (seconds, shared) =
            self.case
                .time(train, &images.one, MOST_EPOCHS, slice.as_secs_f64() * 2.0 / 3.0, |epoch| epoch.train_seconds)?;
        let batches = (train.len() / batch_size) as f64;
        self.seconds_per_batch.push(seconds / batches);
        self.shared.push(shared / batches);
        Ok(())
    }

    /// Images of the shortest epoch: 64 batches, of which the threads may come to the first few too late to share them.
    fn least_images(batch_size: usize) -> usize {
        64 * batch_size
    }
}

/// Loss and accuracy of the test images, as after every epoch: the threads are there already.
pub struct Evaluating {
    pub case: Case,
    /// One for each round.
    pub seconds: Vec<f64>,
}

impl Evaluating {
    /// A case for each number of threads.
    pub fn all(thread_counts: &[usize]) -> Result<Vec<Self>> {
        let case = |threads| Case::new(&NETS[0], EVALUATION_BATCH_SIZE, KernelChoice::Auto, threads);
        let evaluating = |threads: &usize| Ok(Evaluating { case: case(*threads)?, seconds: Vec::new() });
        thread_counts.iter().map(evaluating).collect()
    }

    /// One round's measurement.
    pub fn measure(&mut self, images: &Images) -> Result<()> {
        const EVALUATIONS: usize = 8;
        let train = images.at_least(EVALUATION_BATCH_SIZE);
        let (seconds, _) =
            self.case.time(train, &images.test, EVALUATIONS, f64::INFINITY, |epoch| epoch.val_seconds)?;
        self.seconds.push(seconds);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flops_are_those_of_the_products() {
        let flops = |net: usize, batch_size| Case::new(&NETS[net], batch_size, KernelChoice::Auto, 1).unwrap().flops();
        assert_eq!(flops(0, 1), 4.0 * 7_840.0);
        assert_eq!(flops(0, 32), 1_003_520.0);
        assert_eq!(flops(1, 32), 32.0 * (4.0 * 784.0 * 128.0 + 6.0 * 128.0 * 10.0));
        assert_eq!(flops(2, 32), 32.0 * (4.0 * 784.0 * 512.0 + 6.0 * (512.0 * 256.0 + 256.0 * 10.0)));
    }

    #[test]
    fn every_net_is_measured_with_every_kernel_and_number_of_threads() {
        let images = Images::synthetic().unwrap();
        let training = Training::all(&[1, 2], &images).unwrap();
        assert_eq!(training.len(), ((5 + 1 + 1) * 2 + 1) * 2);
        assert_eq!(training.last().unwrap().case.optimizer, "adam");
        let names: Vec<_> = training.iter().map(|training| training.case.kernel_name()).collect();
        assert_eq!(names[..4], ["narrow", "narrow", "gemm", "gemm"]);
        assert!(names.contains(&"narrow+wide"), "{names:?}");
        assert!(training.iter().all(|training| training.estimate > 0.0 && training.estimate < 1.0));
        assert_eq!(Evaluating::all(&[1, 2]).unwrap().len(), 2);
    }
}
