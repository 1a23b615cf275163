//! Time of the reference recipe on `data/mnist`, in samples per second: one training step, one epoch of 938 batches, and
//! the whole run of 938 x 200 batches with its validation.
//! `cargo bench -- step`, `cargo bench -- epoch`, `cargo bench -- whole`. How to measure: `NOTES.md`.

use std::hint::black_box;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use flatnet::data::{Batch, Dataset, Loader, Shuffle, load_mnist_folder};
use flatnet::loss::{self, CrossEntropy};
use flatnet::nn::{Context, Init, ReluGrad, Sequential, Workspace};
use flatnet::optim::{Adam, Optimizer, OptimizerState, Sgd};
use flatnet::rng::{Stream, sample_without_replacement, stream};
use flatnet::train::Trainer;

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
    let builder = Sequential::new(FEATURES).layers(&specs).init(Init::UnitNorm).relu_grad(ReluGrad::StraightThrough);
    builder.build(0).expect("layers that fit")
}

/// A training step as `examples/by_hand.rs` writes it: load, forward, loss, backward, update.
struct Steps {
    loader: Loader<'static>,
    model: Sequential,
    criterion: loss::Criterion,
    optimizer: Box<dyn Optimizer>,
    state: OptimizerState,
    context: Context,
    workspace: Workspace,
    x: Batch,
}

impl Steps {
    /// Validated: two epochs are run, and the second has to be better than the first and than guessing.
    fn new(layers: &str, optimizer: Box<dyn Optimizer>) -> Self {
        let model = network(layers);
        let mut steps = Steps {
            loader: Loader::new(&SETS.0, BATCH_SIZE, Shuffle::Never, 0).expect("a loader"),
            criterion: loss::Criterion::new(CrossEntropy::new(), 10),
            state: OptimizerState::of(&*optimizer, &model),
            model,
            optimizer,
            context: Context::train(0),
            workspace: Workspace::new(),
            x: Batch::new(),
        };
        assert_eq!(steps.loader.batches(), BATCHES);
        let (first, second) = (steps.epoch(), steps.epoch());
        assert!(second < first && second < 10_f32.ln(), "{layers} does not learn: losses {first}, then {second}");
        steps
    }

    fn step(&mut self, batch: usize) -> f32 {
        let Steps { loader, model, criterion, optimizer, state, context, workspace, x } = self;
        loader.load(batch, context.simd, x);
        let logits = model.forward(&*x, context, workspace);
        let loss = criterion.forward(context.simd, logits, x.targets(), None);
        model.zero_grad();
        model.backward(&*x, criterion.backward(), context, workspace);
        optimizer.step(model, state, context);
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
    let (sgd, adam) = (|| Box::new(Sgd::new(0.01)), || Box::new(Adam::new(0.001)));
    let cases: [(&str, &str, Box<dyn Optimizer>); 3] = [
        ("784-10-relu", REFERENCE, sgd()),
        ("784-128-relu-10", HIDDEN, sgd()),
        ("784-128-relu-10, adam", HIDDEN, adam()),
    ];
    for (name, layers, optimizer) in cases {
        let mut steps = Steps::new(layers, optimizer);
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
    let mut steps = Steps::new(REFERENCE, Box::new(Sgd::new(0.01)));
    group.bench_function("938 batches, by hand", |bencher| bencher.iter(|| black_box(steps.epoch())));
    let one_image = SETS.1.select(&[0]);
    let trainer = recipe().epochs(1).threads(1);
    let mut model = network(REFERENCE);
    group.bench_function("938 batches, Trainer", |bencher| {
        bencher.iter(|| {
            let history = trainer.fit(&mut model, &SETS.0, &one_image);
            assert_eq!(black_box(history.expect("a run without fault")).train_batches.len(), BATCHES);
        });
    });
    group.finish();
}

/// The reference recipe.
fn recipe() -> Trainer {
    Trainer::new(Sgd::new(0.01)).epochs(EPOCHS).batch_size(BATCH_SIZE).shuffle(Shuffle::Never)
}

/// `flatnet train` without reading and writing files: 200 epochs, each followed by its validation, ten times over.
fn whole_run(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("whole_run");
    group.throughput(Throughput::Elements((TRAIN_SAMPLES * EPOCHS) as u64));
    // A run takes seconds: ten of them, each a sample of its own, and no longer warm-up than one.
    group.sampling_mode(SamplingMode::Flat).sample_size(10).warm_up_time(Duration::from_millis(1));
    group.bench_function("938 x 200 batches", |bencher| {
        let trainer = recipe();
        let mut run = |mut model: Sequential| {
            let history = trainer.fit(&mut model, &SETS.0, &SETS.1).expect("a run without fault");
            assert_eq!(history.train_batches.len(), BATCHES * EPOCHS);
            history
        };
        bencher.iter_batched(|| network(REFERENCE), &mut run, BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, step, epoch, whole_run);
criterion_main!(benches);
