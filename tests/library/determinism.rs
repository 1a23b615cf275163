//! Seed in, bits out: the same parameters and figures for any number of threads, on every SIMD level, beside another
//! trainer, and whatever the buffers held before. Bits are compared, never values within a tolerance.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::LazyLock;

use flatnet::data::{CompressedRows, Dataset, Shuffle, TargetColumns, Targets, load_mnist_folder};
use flatnet::kernels::activations::ACTIVATIONS;
use flatnet::kernels::{KernelChoice, SimdChoice, SimdLevel};
use flatnet::loss::{self, Criterion, CrossEntropy, LOSSES, Loss};
use flatnet::nn::{Context, Init, ReluGrad, Sequential, Workspace};
use flatnet::optim::{self, Optimizer, Sgd};
use flatnet::train::{EpochEnd, EpochRecord, History, Sharing, TrainState, Trainer, evaluate};
use flatnet::{Error, Result};

const REFERENCE: &str = "linear:10,relu";
const HIDDEN: &str = "linear:128,relu,linear:10";
/// Cut in pairs from its last layer backwards, which is too large a part of it for every rank to compute all of it; the same
/// with 64 units is cut in pairs from its first layer on.
const THREE_LAYERS: &str = "linear:64,relu,linear:128,relu,linear:10";
const THREE_SHARED_LAYERS: &str = "linear:64,relu,linear:64,relu,linear:10";
const THREADS: [usize; 5] = [1, 2, 3, 5, 8];
const EPOCHS: usize = 3;

/// 20 batches of 32 and one of 16 to train on; 62 of 32 and one of 16 to validate on: enough for eight threads to have
/// some each.
static SETS: LazyLock<(Dataset, Dataset)> = LazyLock::new(|| {
    let (train, test) = load_mnist_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("data/mnist")).unwrap();
    (train.select(&(0..656).collect::<Vec<_>>()), test.select(&(0..2_000).collect::<Vec<_>>()))
});

/// Three epochs of batches of 32 at a learning rate of 0.05.
fn trainer(shuffle: Shuffle, threads: usize) -> Trainer {
    trainer_by(Sgd::new(0.05), shuffle, threads)
}

fn trainer_by(optimizer: impl Optimizer + 'static, shuffle: Shuffle, threads: usize) -> Trainer {
    Trainer::new(optimizer).epochs(EPOCHS).batch_size(32).shuffle(shuffle).seed(7).threads(threads)
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// All that a run may decide, clocks left out.
#[derive(Debug, PartialEq)]
struct Outcome {
    parameters: Vec<u32>,
    /// Loss bits, correct predictions and samples; training batches, then validation batches.
    batches: Vec<(u32, u32, u32)>,
    /// Bits of an epoch's two losses and two accuracies.
    epochs: Vec<[u64; 4]>,
}

impl Outcome {
    fn of(model: &Sequential, history: &History) -> Self {
        let batches = history.train_batches.iter().chain(&history.val_batches);
        let figures = |epoch: &EpochRecord| {
            [epoch.train_loss, epoch.train_accuracy, epoch.val_loss, epoch.val_accuracy].map(f64::to_bits)
        };
        Outcome {
            parameters: model.parameters().flat_map(|tensor| bits(&tensor.values())).collect(),
            batches: batches.map(|batch| (batch.loss().to_bits(), batch.correct, batch.samples)).collect(),
            epochs: history.epochs.iter().map(figures).collect(),
        }
    }

    fn assert_same(&self, other: &Self, what: &str) {
        assert!(self.parameters == other.parameters, "{what}: other parameters");
        assert!(self.batches == other.batches, "{what}: other figures of batches");
        assert!(self.epochs == other.epochs, "{what}: other figures of epochs");
    }
}

fn network(layers: &str, kernel: KernelChoice) -> Sequential {
    let builder = Sequential::new(784).layers(&layers.parse().unwrap()).kernel(kernel);
    builder.init(Init::UnitNorm).relu_grad(ReluGrad::StraightThrough).build(3).unwrap()
}

fn fit(model: &mut Sequential, trainer: &Trainer) -> Result<History> {
    trainer.fit(model, &SETS.0, &SETS.1)
}

fn outcome_of(mut model: Sequential, trainer: &Trainer) -> Outcome {
    let history = fit(&mut model, trainer).unwrap();
    let outcome = Outcome::of(&model, &history);
    assert_eq!((outcome.batches.len(), outcome.epochs.len()), (EPOCHS * (21 + 63), EPOCHS));
    outcome
}

fn outcome(layers: &str, trainer: &Trainer) -> Outcome {
    outcome_of(network(layers, KernelChoice::Auto), trainer)
}

/// Whether threads share a step, and how many do, is a matter of time alone.
fn assert_threads_change_nothing(sharing: Sharing, kernel: KernelChoice, shuffle: Shuffle) {
    for layers in [REFERENCE, HIDDEN, THREE_LAYERS, THREE_SHARED_LAYERS] {
        let alone = outcome_of(network(layers, kernel), &trainer(shuffle, 1));
        for threads in THREADS {
            let what = format!("{layers}, {kernel}, {sharing:?}, shuffle {shuffle}, {threads} threads");
            let trainer = trainer(shuffle, threads).sharing(sharing);
            outcome_of(network(layers, kernel), &trainer).assert_same(&alone, &what);
        }
    }
}

#[test]
fn sharing_every_step_changes_no_bit() {
    assert_threads_change_nothing(Sharing::Always, KernelChoice::Auto, Shuffle::Never);
    assert_threads_change_nothing(Sharing::Always, KernelChoice::Auto, Shuffle::Epoch);
}

/// As many threads as a machine of 32 cores has, and a network with a part for each of them; here on fewer cores, so that
/// every step waits for threads that do not run.
#[test]
fn threads_far_beyond_the_cores_change_no_bit() {
    const WIDE: &str = "linear:1024,relu,dropout:0.25,linear:10";
    let few = |set: &Dataset| set.select(&(0..144).collect::<Vec<_>>());
    let (train, val) = (few(&SETS.0), few(&SETS.1));
    let adamw = || optim::build("adamw", 1e-3, &optim::Settings::default()).unwrap();
    let runs: [(&str, &dyn Fn() -> Trainer); 2] = [
        ("sgd", &|| trainer_by(Sgd::new(0.05).momentum(0.9), Shuffle::Epoch, 1)),
        ("adamw", &|| trainer_by(adamw(), Shuffle::Epoch, 1)),
    ];
    for (name, trainer) in runs {
        let outcome = |threads| {
            let mut model = network(WIDE, KernelChoice::Auto);
            let trainer = trainer().epochs(2).threads(threads).sharing(Sharing::Always);
            let mut state = TrainState::new(&model, trainer.optimizer());
            let mut shared = Vec::new();
            let mut count = |end: &mut EpochEnd<'_>| {
                shared.push(end.shared_batches);
                ControlFlow::Continue(())
            };
            trainer.fit_from(&mut model, &mut state, &train, &val, &mut count).unwrap();
            assert_eq!(shared, if threads == 1 { [0, 0] } else { [5, 5] }, "{name}, {threads} threads");
            Outcome::of(&model, &state.history)
        };
        let alone = outcome(1);
        for threads in [16, 32] {
            outcome(threads).assert_same(&alone, &format!("{name}, {threads} threads"));
        }
    }
}

#[test]
fn sharing_every_step_by_gemm_changes_no_bit() {
    assert_threads_change_nothing(Sharing::Always, KernelChoice::Gemm, Shuffle::Epoch);
}

/// With a clock that decides which steps are shared, a run differs from the next in everything but its bits.
#[test]
fn sharing_what_is_measured_to_be_faster_changes_no_bit() {
    assert_threads_change_nothing(Sharing::Measured, KernelChoice::Auto, Shuffle::Epoch);
    assert_threads_change_nothing(Sharing::Measured, KernelChoice::Gemm, Shuffle::Never);
}

/// Were two different runs to look alike here, the other tests of this file would prove nothing.
#[test]
fn another_run_has_other_bits() {
    let run = outcome(REFERENCE, &trainer(Shuffle::Epoch, 1));
    run.assert_same(&outcome(REFERENCE, &trainer(Shuffle::Epoch, 1)), "once more");
    let never = outcome(REFERENCE, &trainer(Shuffle::Never, 1));
    let seed = outcome(REFERENCE, &trainer(Shuffle::Epoch, 1).seed(8));
    let lr = outcome(REFERENCE, &trainer_by(Sgd::new(0.050_000_004), Shuffle::Epoch, 1));
    // Two kernels sum in two orders: the bits do not come out alike by themselves.
    let kernel = outcome_of(network(REFERENCE, KernelChoice::Gemm), &trainer(Shuffle::Epoch, 1));
    for other in [never, seed, lr, kernel] {
        assert!(run.parameters != other.parameters && run.batches != other.batches && run.epochs != other.epochs);
    }
}

/// What is trained, how, and on which of [`SETS`] and [`VALUE_SETS`].
struct Tenant {
    name: String,
    layers: String,
    init: Init,
    sets: &'static (Dataset, Dataset),
    trainer: Box<dyn Fn() -> Trainer>,
}

impl Tenant {
    fn new(name: impl Into<String>, layers: impl Into<String>, trainer: impl Fn() -> Trainer + 'static) -> Self {
        let (name, layers, trainer) = (name.into(), layers.into(), Box::new(trainer));
        Tenant { name, layers, init: Init::KaimingUniform, sets: &SETS, trainer }
    }

    fn outcome(&self, trainer: &Trainer) -> Outcome {
        let builder = Sequential::new(784).layers(&self.layers.parse().unwrap()).init(self.init);
        let mut model = builder.build(3).unwrap();
        let history = trainer.fit(&mut model, &self.sets.0, &self.sets.1).unwrap();
        Outcome::of(&model, &history)
    }
}

/// The same images as numbers, with ten values each as targets, 0 but for the label's, which is 0.75, and a weight each.
static VALUE_SETS: LazyLock<(Dataset, Dataset)> = LazyLock::new(|| {
    let of = |set: &Dataset| {
        let x = set.pixels().iter().map(|pixel| f32::from(*pixel) / 255.0).collect();
        let mut values = vec![0.0; set.len() * 10];
        for (row, label) in values.chunks_mut(10).zip(set.labels()) {
            row[usize::from(*label)] = 0.75;
        }
        let weights = (0..set.len()).map(|sample| 0.5 + (sample % 3) as f32).collect();
        let targets = TargetColumns::Values { values, width: 10 };
        Dataset::from_values(x, 784, targets, "images as numbers".into()).unwrap().with_weights(weights).unwrap()
    };
    (of(&SETS.0), of(&SETS.1))
});

/// Every tenant in every list.
fn tenants() -> Vec<Tenant> {
    let adam = || optim::build("adam", 1e-3, &optim::Settings::default()).unwrap();
    let by_adam = move || trainer_by(adam(), Shuffle::Epoch, 1);
    let mut all = Vec::new();
    for (name, _) in ACTIVATIONS {
        all.push(Tenant::new(*name, format!("linear:64,{name},linear:10"), by_adam));
    }
    for layers in
        ["linear:64,relu,dropout:0.25,linear:10", "dropout:0.1,linear:128,relu,dropout:0.5,linear:64,relu,linear:10"]
    {
        all.push(Tenant::new("dropout", layers, by_adam));
    }
    for name in optim::names() {
        let optimizer = move || optim::build(name, 1e-2, &optim::Settings::default()).unwrap();
        all.push(Tenant::new(name, HIDDEN, move || trainer_by(optimizer(), Shuffle::Epoch, 1)));
        let clipped = move || trainer_by(optimizer(), Shuffle::Never, 1).clip(optim::Clip::Norm(0.1));
        all.push(Tenant::new(format!("{name}, clipped"), THREE_SHARED_LAYERS, clipped));
        // Units that fill no whole number of panels.
        let clipped = move || trainer_by(optimizer(), Shuffle::Never, 1).clip(optim::Clip::Norm(0.1));
        all.push(Tenant::new(format!("{name}, clipped, 200 units"), "linear:200,relu,linear:10", clipped));
    }
    for example in optim::schedule::examples() {
        let schedule = move || optim::schedule::parse(example).unwrap();
        let trainer = move || trainer_by(Sgd::new(0.1).momentum(0.9), Shuffle::Epoch, 1).schedule(schedule());
        all.push(Tenant::new(example, REFERENCE, trainer));
    }
    for (form, _) in LOSSES {
        let loss = || loss::parse(form.split('[').next().unwrap()).unwrap();
        let tenant = Tenant::new(loss().spec(), "linear:48,relu,linear:10", move || by_adam().loss(loss()));
        let takes_classes = loss().validate(10, Targets::Classes(&[0, 9])).is_ok();
        all.push(Tenant { sets: if takes_classes { &SETS } else { &VALUE_SETS }, ..tenant });
    }
    let weights: Vec<f32> = (1..=10).map(|class| class as f32 / 5.0).collect();
    let loss = move || CrossEntropy::new().label_smoothing(0.1).class_weights(weights.clone());
    all.push(Tenant::new("smoothed and weighted cross entropy", HIDDEN, move || by_adam().loss(loss())));
    for init in Init::ALL {
        let tenant = Tenant::new(init.to_string(), "linear:48,tanh,linear:10", by_adam);
        all.push(Tenant { init: *init, ..tenant });
    }
    all
}

/// An activation, optimizer, schedule, loss or initialiser that is added to its list is held to this without another test:
/// the same bits for any number of threads, and on every SIMD level.
#[test]
fn no_tenants_bits_depend_on_threads_or_level() {
    let mut outcomes: Vec<Outcome> = Vec::new();
    for tenant in tenants() {
        let name = &tenant.name;
        let alone = tenant.outcome(&(tenant.trainer)());
        for threads in [2, 3, 5, 8] {
            let trainer = (tenant.trainer)().threads(threads).sharing(Sharing::Always);
            tenant.outcome(&trainer).assert_same(&alone, &format!("{name}, {threads} threads"));
        }
        for simd in [SimdChoice::Avx512, SimdChoice::Avx2, SimdChoice::Fallback] {
            if SimdLevel::resolve(simd).is_ok() {
                tenant.outcome(&(tenant.trainer)().simd(simd)).assert_same(&alone, &format!("{name}, {simd}"));
            }
        }
        // A plateau is none while the loss falls: that one is as good as constant here. Huber's and smooth L1's defaults are
        // one function.
        let different = outcomes.iter().all(|other| other.parameters != alone.parameters);
        let twin = ["plateau", "smooth-l1"].iter().any(|twin| name.starts_with(twin));
        assert!(different || twin, "{name} is like another one");
        outcomes.push(alone);
    }
}

/// The same numbers with their zeros and without, in both forms, for each kernel of a first layer.
#[test]
fn bits_do_not_depend_on_how_zeros_are_kept() {
    let of = |set: &Dataset, kept: usize| {
        let x: Vec<f32> = set.pixels().iter().map(|pixel| f32::from(*pixel) / 255.0).collect();
        let targets = TargetColumns::Classes { labels: set.labels().to_vec(), classes: 10 };
        match kept {
            0 => Dataset::from_values(x, 784, targets, "with zeros".into()).unwrap(),
            1 => Dataset::from_values_without_zeros(x.into(), 784, targets, "bits".into()).unwrap(),
            _ => {
                let present: Vec<usize> = (0..x.len()).filter(|index| x[*index] != 0.0).collect();
                let starts = (0..=set.len()).map(|row| present.partition_point(|index| *index < 784 * row)).collect();
                let columns = present.iter().map(|index| (index % 784) as u32).collect();
                let values: Vec<f32> = present.iter().map(|index| x[*index]).collect();
                let rows = CompressedRows::new(values.into(), columns, starts, 784, "rows").unwrap();
                Dataset::from_compressed_rows(rows, targets, "columns".into()).unwrap()
            }
        }
    };
    let sets = [0, 1, 2].map(|kept| (of(&SETS.0, kept), of(&SETS.1, kept)));
    for (layers, kernel) in [
        (REFERENCE, KernelChoice::Auto),
        ("linear:100,relu,linear:10", KernelChoice::Auto),
        ("linear:20,relu,linear:10", KernelChoice::Gemm),
        ("dropout:0.1,linear:20,relu,linear:10", KernelChoice::Auto),
    ] {
        for threads in [1, 2] {
            let trainer = trainer(Shuffle::Epoch, threads).sharing(Sharing::Always);
            let outcomes = [0, 1, 2].map(|kept| {
                let mut model = network(layers, kernel);
                let history = trainer.fit(&mut model, &sets[kept].0, &sets[kept].1).unwrap();
                Outcome::of(&model, &history)
            });
            for (kept, outcome) in outcomes.iter().enumerate() {
                outcome.assert_same(&outcomes[0], &format!("{layers}, {kernel:?}, {threads} threads, {kept}"));
            }
        }
    }
}

#[test]
fn evaluating_gives_the_bits_of_the_last_epoch() {
    for layers in [REFERENCE, HIDDEN] {
        let mut model = network(layers, KernelChoice::Auto);
        let history = fit(&mut model, &trainer(Shuffle::Epoch, 2)).unwrap();
        let last = history.last().unwrap();
        let correct: u32 = history.val_batches[2 * 63..].iter().map(|batch| batch.correct).sum();
        for threads in THREADS {
            let found = evaluate(&model, &SETS.1, 32, threads).unwrap();
            assert_eq!((found.samples, found.correct), (2_000, correct as usize), "{layers}, {threads} threads");
            assert_eq!(found.loss.to_bits(), last.val_loss.to_bits(), "{layers}, {threads} threads");
            assert_eq!(found.accuracy.to_bits(), last.val_accuracy.to_bits(), "{layers}, {threads} threads");
        }
    }
}

/// Each has threads of its own, so neither waits for the other's, and neither sees them.
#[test]
fn two_trainers_at_once_do_not_disturb_each_other() {
    let reference = outcome(REFERENCE, &trainer(Shuffle::Never, 1));
    let hidden = outcome(HIDDEN, &trainer(Shuffle::Epoch, 1));
    for sharing in [Sharing::Measured, Sharing::Always] {
        std::thread::scope(|scope| {
            let first = scope.spawn(|| outcome(REFERENCE, &trainer(Shuffle::Never, 2).sharing(sharing)));
            let second = scope.spawn(|| outcome(HIDDEN, &trainer(Shuffle::Epoch, 4).sharing(sharing)));
            first.join().unwrap().assert_same(&reference, &format!("the first of two, {sharing:?}"));
            second.join().unwrap().assert_same(&hidden, &format!("the second of two, {sharing:?}"));
        });
    }
}

/// Where a run leaves the numbers, as its error says it: epoch, batch and layer.
fn not_finite(model: &Sequential, lr: f32, threads: usize) -> (usize, usize, String) {
    let trainer = trainer_by(Sgd::new(lr), Shuffle::Never, threads).sharing(Sharing::Always);
    match fit(&mut model.clone(), &trainer) {
        Err(Error::NonFinite { epoch, batch, layer }) => (epoch, batch, layer),
        other => panic!("{threads} threads: {:?}", other.map(|history| history.epochs)),
    }
}

#[test]
fn a_run_that_leaves_the_numbers_does_so_at_one_place() {
    for (layers, lr, layer) in [
        (REFERENCE, 1e38, "layer 0 (linear:10)"),
        (HIDDEN, 1e25, "layer 2 (linear:10)"),
        (THREE_SHARED_LAYERS, 1e25, "layer 2 (linear:64)"),
    ] {
        let model = network(layers, KernelChoice::Auto);
        let alone = not_finite(&model, lr, 1);
        assert_eq!(alone, (1, 2, layer.into()), "{layers}");
        for threads in &THREADS[1..] {
            assert_eq!(not_finite(&model, lr, *threads), alone, "{layers}, {threads} threads");
        }
    }
}

/// A single unit that overflows lies with one of the threads; the error names its layer all the same.
#[test]
fn a_unit_that_leaves_the_numbers_is_found_whoever_has_it() {
    for unit in [0, 40, 127] {
        let mut model = network(HIDDEN, KernelChoice::Auto);
        let mut weight = model.parameter("0.weight").unwrap().values();
        weight[unit * 784..][..784].fill(1e38);
        model.set_parameter("0.weight", &weight).unwrap();
        for threads in THREADS {
            let found = not_finite(&model, 0.01, threads);
            assert_eq!(found, (1, 1, "layer 0 (linear:128)".into()), "unit {unit}, {threads} threads");
        }
    }
}

/// Networks of narrow layers, and of narrow and wide ones, the last of them with parts of panels.
#[test]
fn the_simd_level_changes_no_bit_of_a_run() {
    // The levels of this machine: where it has a vector unit there are at least two to compare.
    assert!(SimdLevel::all().len() > 1 || SimdLevel::detect().name() == "fallback");
    for layers in [REFERENCE, "linear:16,relu,linear:10", HIDDEN, "linear:200,relu,linear:77,tanh,linear:10"] {
        let auto = outcome(layers, &trainer(Shuffle::Epoch, 1));
        for simd in [SimdChoice::Avx512, SimdChoice::Avx2, SimdChoice::Fallback] {
            if SimdLevel::resolve(simd).is_ok() {
                for threads in [1, 2] {
                    let trainer = trainer(Shuffle::Epoch, threads).simd(simd).sharing(Sharing::Always);
                    outcome(layers, &trainer).assert_same(&auto, &format!("{layers}, {simd}, {threads} threads"));
                }
            }
        }
    }
}

/// A larger batch of zeros, or of NaN with every bit set, goes through all buffers first, and leaves gradients behind.
#[test]
fn what_buffers_held_before_changes_no_bit() {
    const SAMPLES: usize = 19;
    let x: Vec<f32> = SETS.0.pixels()[..SAMPLES * 784].iter().map(|pixel| f32::from(*pixel) / 255.0).collect();
    let labels: Vec<u32> = SETS.0.labels()[..SAMPLES].iter().map(|label| u32::from(*label)).collect();
    for layers in [REFERENCE, HIDDEN, "linear:20,relu,linear:18,dropout:0.5,relu,linear:10"] {
        for relu_grad in [ReluGrad::StraightThrough, ReluGrad::Exact] {
            let gradients = |poison: Option<u8>| {
                let specs = layers.parse().unwrap();
                let builder = Sequential::new(784).layers(&specs).init(Init::KaimingUniform).relu_grad(relu_grad);
                let mut model = builder.build(5).unwrap();
                let context = Context::train(1);
                let (mut workspace, mut criterion) = (Workspace::new(), Criterion::new(CrossEntropy::new(), 10));
                if let Some(byte) = poison {
                    let garbage = vec![f32::from_ne_bytes([byte; 4]); 64 * 784];
                    let logits = model.forward(&garbage, &context, &mut workspace);
                    criterion.forward(context.simd, logits, Targets::Classes(&[9; 64]), None);
                    let grad = [&criterion.backward()[..63 * 10], &[f32::from_ne_bytes([byte; 4]); 10]].concat();
                    model.backward(&garbage, &grad, &context, &mut workspace);
                }
                let logits = model.forward(&x, &context, &mut workspace);
                let mut found = logits.to_vec();
                found.push(criterion.forward(context.simd, logits, Targets::Classes(&labels), None));
                model.zero_grad();
                model.backward(&x, criterion.backward(), &context, &mut workspace);
                found.extend(model.parameters().flat_map(|tensor| tensor.gradient().unwrap()));
                bits(&found)
            };
            let fresh = gradients(None);
            assert!(fresh.iter().all(|bits| f32::from_bits(*bits).is_finite()));
            for byte in [0x00, 0xff] {
                assert!(gradients(Some(byte)) == fresh, "{layers}, {relu_grad}, buffers of {byte:#04x}");
            }
        }
    }
}
