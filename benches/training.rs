//! Time of the reference recipe on `data/mnist`, in samples per second: one training step, one epoch of 938 batches, and
//! the whole run of 938 x 200 batches with its validation.
//! `cargo bench -- step`, `cargo bench -- epoch`, `cargo bench -- whole`. How to measure: `NOTES.md`.

use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use flatnet::data::{Batch, Dataset, Loader, Scale, Shuffle, load_mnist_folder};
use flatnet::kernels::{KernelChoice, SimdChoice};
use flatnet::nn::{Activations, Init, ReluGrad, Sequential, SoftmaxCrossEntropy};
use flatnet::optim::Sgd;
use flatnet::parallel::default_threads;
use flatnet::rng::{Stream, sample_without_replacement, stream};
use flatnet::train::{TrainConfig, Trainer};

const FEATURES: usize = 784;
const BATCH_SIZE: usize = 32;
const BATCHES: usize = 938;
const EPOCHS: usize = 200;
const TRAIN_SAMPLES: usize = 30_000;
const REFERENCE: &str = "linear:10,relu";
const HIDDEN: &str = "linear:128,relu,linear:10";

/// What the recipe draws with seed 0.
static SETS: LazyLock<(Dataset, Dataset)> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/mnist");
    let (train, test) = load_mnist_folder(&folder).expect("data/mnist, which stands beside this crate's sources");
    let draw = |set: &Dataset, purpose, count| {
        set.select(&sample_without_replacement(&mut stream(0, purpose), set.len(), count))
    };
    (draw(&train, Stream::TrainSample, TRAIN_SAMPLES), draw(&test, Stream::ValSample, 5_000))
});

fn network(layers: &str) -> Sequential {
    let specs = layers.parse().expect("a layer list");
    Sequential::new(FEATURES, &specs, Init::UnitNorm, ReluGrad::StraightThrough, 0).expect("layers that fit")
}

/// A training step as `examples/by_hand.rs` writes it: load, forward, loss, backward, update.
struct Steps {
    loader: Loader<'static>,
    model: Sequential,
    criterion: SoftmaxCrossEntropy,
    optimizer: Sgd,
    activations: Activations,
    x: Batch,
}

impl Steps {
    /// Validated: two epochs are run, and the second has to be better than the first and than guessing.
    fn new(layers: &str) -> Self {
        let mut steps = Steps {
            loader: Loader::new(&SETS.0, Scale::Unit, BATCH_SIZE, Shuffle::Never, 0).expect("a loader"),
            model: network(layers),
            criterion: SoftmaxCrossEntropy::new(10),
            optimizer: Sgd::new(0.01).expect("a learning rate"),
            activations: Activations::default(),
            x: Batch::new(),
        };
        assert_eq!(steps.loader.batches(), BATCHES);
        let (first, second) = (steps.epoch(), steps.epoch());
        assert!(second < first && second < 10_f32.ln(), "{layers} does not learn: losses {first}, then {second}");
        steps
    }

    fn step(&mut self, batch: usize) -> f32 {
        self.loader.load(batch, &mut self.x);
        let logits = self.model.forward(&self.x, &mut self.activations);
        let loss = self.criterion.forward(logits, self.x.labels());
        self.model.zero_grad();
        self.model.backward(&self.x, self.criterion.backward(), &mut self.activations);
        self.optimizer.step(&mut self.model);
        loss
    }

    /// All batches in turn; the mean of their losses.
    fn epoch(&mut self) -> f32 {
        (0..BATCHES).map(|batch| self.step(batch)).sum::<f32>() / BATCHES as f32
    }
}

/// One batch of 32 after the other, so that pixels come from memory as they do in a run.
fn step(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("step");
    group.throughput(Throughput::Elements(BATCH_SIZE as u64));
    for (name, layers) in [("784-10-relu", REFERENCE), ("784-128-relu-10", HIDDEN)] {
        let mut steps = Steps::new(layers);
        let mut batch = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                // The last batch is a short one.
                batch = (batch + 1) % (BATCHES - 1);
                black_box(steps.step(batch))
            });
        });
    }
    group.finish();
}

/// What writing the loop by hand costs against leaving it to the trainer: both on one thread, the trainer's with the
/// validation of one image. The trainer's steps store no gradient and its batches no zeros.
fn epoch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("epoch");
    group.throughput(Throughput::Elements(TRAIN_SAMPLES as u64));
    group.sample_size(20);
    let mut steps = Steps::new(REFERENCE);
    group.bench_function("938 batches, by hand", |bencher| bencher.iter(|| black_box(steps.epoch())));
    let config = TrainConfig { epochs: 1, threads: 1, ..config() };
    let one_image = SETS.1.select(&[0]);
    let mut trainer = Trainer::new(config).expect("a configuration that is valid");
    let mut model = network(REFERENCE);
    group.bench_function("938 batches, Trainer", |bencher| {
        bencher.iter(|| {
            let history = trainer.fit(&mut model, &SETS.0, &one_image, &mut |_, _| ControlFlow::Continue(()));
            assert_eq!(black_box(history.expect("a run without fault")).train_batches.len(), BATCHES);
        });
    });
    group.finish();
}

/// The reference recipe.
fn config() -> TrainConfig {
    TrainConfig {
        epochs: EPOCHS,
        batch_size: BATCH_SIZE,
        lr: 0.01,
        shuffle: Shuffle::Never,
        seed: 0,
        scale: Scale::Unit,
        threads: default_threads(),
        kernel: KernelChoice::Auto,
        simd: SimdChoice::Auto,
    }
}

/// `flatnet train` without reading and writing files: 200 epochs, each followed by its validation, ten times over.
fn whole_run(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("whole_run");
    group.throughput(Throughput::Elements((TRAIN_SAMPLES * EPOCHS) as u64));
    // A run takes seconds: ten of them, each a sample of its own, and no longer warm-up than one.
    group.sampling_mode(SamplingMode::Flat).sample_size(10).warm_up_time(Duration::from_millis(1));
    group.bench_function("938 x 200 batches", |bencher| {
        let mut trainer = Trainer::new(config()).expect("a configuration that is valid");
        let mut run = |mut model: Sequential| {
            let history = trainer.fit(&mut model, &SETS.0, &SETS.1, &mut |_, _| ControlFlow::Continue(()));
            let history = history.expect("a run without fault");
            assert_eq!(history.train_batches.len(), BATCHES * EPOCHS);
            history
        };
        bencher.iter_batched(|| network(REFERENCE), &mut run, BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, step, epoch, whole_run);
criterion_main!(benches);
