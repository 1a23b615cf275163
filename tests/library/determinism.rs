//! Seed in, bits out: the same parameters and figures for any number of threads, on every SIMD level, beside another
//! trainer, and whatever the buffers held before. Bits are compared, never values within a tolerance.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::LazyLock;

use flatnet::data::{Dataset, Scale, Shuffle, load_mnist_folder};
use flatnet::kernels::{KernelChoice, SimdChoice, SimdLevel, pointwise};
use flatnet::nn::{Activations, Init, ReluGrad, Sequential, SoftmaxCrossEntropy};
use flatnet::train::{History, Sharing, TrainConfig, Trainer, evaluate};
use flatnet::{Error, Result};

const REFERENCE: &str = "linear:10,relu";
const HIDDEN: &str = "linear:128,relu,linear:10";
/// Its 32 units are too few to share, so a step of it never is; of the same with 64 it is.
const THREE_LAYERS: &str = "linear:64,relu,linear:32,relu,linear:10";
const THREE_SHARED_LAYERS: &str = "linear:64,relu,linear:64,relu,linear:10";
const THREADS: [usize; 5] = [1, 2, 3, 4, 8];
const EPOCHS: usize = 3;

/// 20 batches of 32 and one of 16 to train on; 62 of 32 and one of 16 to validate on: enough for eight threads to have
/// some each.
static SETS: LazyLock<(Dataset, Dataset)> = LazyLock::new(|| {
    let (train, test) = load_mnist_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("data/mnist")).unwrap();
    (train.select(&(0..656).collect::<Vec<_>>()), test.select(&(0..2_000).collect::<Vec<_>>()))
});

fn config(shuffle: Shuffle, threads: usize) -> TrainConfig {
    TrainConfig {
        epochs: EPOCHS,
        batch_size: 32,
        lr: 0.05,
        shuffle,
        seed: 7,
        scale: Scale::Unit,
        threads,
        kernel: KernelChoice::Auto,
        simd: SimdChoice::Auto,
    }
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
        let figures = |epoch: &flatnet::train::EpochRecord| {
            [epoch.train_loss, epoch.train_accuracy, epoch.val_loss, epoch.val_accuracy].map(f64::to_bits)
        };
        Outcome {
            parameters: model
                .linears()
                .flat_map(|linear| [bits(&linear.weight()), bits(linear.bias())].concat())
                .collect(),
            batches: batches.map(|batch| (batch.loss.to_bits(), batch.correct, batch.samples)).collect(),
            epochs: history.epochs.iter().map(figures).collect(),
        }
    }

    fn assert_same(&self, other: &Self, what: &str) {
        assert!(self.parameters == other.parameters, "{what}: other parameters");
        assert!(self.batches == other.batches, "{what}: other figures of batches");
        assert!(self.epochs == other.epochs, "{what}: other figures of epochs");
    }
}

fn network(layers: &str) -> Sequential {
    Sequential::new(784, &layers.parse().unwrap(), Init::UnitNorm, ReluGrad::StraightThrough, 3).unwrap()
}

fn fit(model: &mut Sequential, config: TrainConfig, sharing: Sharing) -> Result<History> {
    let mut trainer = Trainer::new(config)?;
    trainer.set_sharing(sharing);
    trainer.fit(model, &SETS.0, &SETS.1, &mut |_, _| ControlFlow::Continue(()))
}

fn train(layers: &str, config: TrainConfig, sharing: Sharing) -> (Sequential, History) {
    let mut model = network(layers);
    let history = fit(&mut model, config, sharing).unwrap();
    (model, history)
}

fn outcome(layers: &str, config: TrainConfig, sharing: Sharing) -> Outcome {
    let (model, history) = train(layers, config, sharing);
    let outcome = Outcome::of(&model, &history);
    assert_eq!((outcome.batches.len(), outcome.epochs.len()), (EPOCHS * (21 + 63), EPOCHS));
    outcome
}

/// Whether threads share a step, and how many do, is a matter of time alone.
fn assert_threads_change_nothing(sharing: Sharing, kernel: KernelChoice, shuffle: Shuffle) {
    for layers in [REFERENCE, HIDDEN, THREE_LAYERS, THREE_SHARED_LAYERS] {
        let config = |threads| TrainConfig { kernel, ..config(shuffle, threads) };
        let alone = outcome(layers, config(1), Sharing::Measured);
        for threads in THREADS {
            let what = format!("{layers}, {kernel}, {sharing:?}, shuffle {shuffle}, {threads} threads");
            outcome(layers, config(threads), sharing).assert_same(&alone, &what);
        }
    }
}

#[test]
fn sharing_every_step_changes_no_bit() {
    assert_threads_change_nothing(Sharing::Always, KernelChoice::Auto, Shuffle::Never);
    assert_threads_change_nothing(Sharing::Always, KernelChoice::Auto, Shuffle::Epoch);
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
    let outcome = |config| outcome(REFERENCE, config, Sharing::Measured);
    let run = outcome(config(Shuffle::Epoch, 1));
    run.assert_same(&outcome(config(Shuffle::Epoch, 1)), "once more");
    let never = outcome(config(Shuffle::Never, 1));
    let seed = outcome(TrainConfig { seed: 8, ..config(Shuffle::Epoch, 1) });
    let lr = outcome(TrainConfig { lr: 0.050_000_004, ..config(Shuffle::Epoch, 1) });
    // Two kernels sum in two orders: the bits do not come out alike by themselves.
    let kernel = outcome(TrainConfig { kernel: KernelChoice::Gemm, ..config(Shuffle::Epoch, 1) });
    for other in [never, seed, lr, kernel] {
        assert!(run.parameters != other.parameters && run.batches != other.batches && run.epochs != other.epochs);
    }
}

#[test]
fn evaluating_gives_the_bits_of_the_last_epoch() {
    for layers in [REFERENCE, HIDDEN] {
        let (model, history) = train(layers, config(Shuffle::Epoch, 2), Sharing::Measured);
        let last = history.last().unwrap();
        let correct: u32 = history.val_batches[2 * 63..].iter().map(|batch| batch.correct).sum();
        for threads in THREADS {
            let found = evaluate(&model, &SETS.1, Scale::Unit, 32, threads).unwrap();
            assert_eq!((found.samples, found.correct), (2_000, correct as usize), "{layers}, {threads} threads");
            assert_eq!(found.loss.to_bits(), last.val_loss.to_bits(), "{layers}, {threads} threads");
            assert_eq!(found.accuracy.to_bits(), last.val_accuracy.to_bits(), "{layers}, {threads} threads");
        }
    }
}

/// Each has threads of its own, so neither waits for the other's, and neither sees them.
#[test]
fn two_trainers_at_once_do_not_disturb_each_other() {
    let reference = outcome(REFERENCE, config(Shuffle::Never, 1), Sharing::Measured);
    let hidden = outcome(HIDDEN, config(Shuffle::Epoch, 1), Sharing::Measured);
    for sharing in [Sharing::Measured, Sharing::Always] {
        std::thread::scope(|scope| {
            let first = scope.spawn(|| outcome(REFERENCE, config(Shuffle::Never, 2), sharing));
            let second = scope.spawn(|| outcome(HIDDEN, config(Shuffle::Epoch, 4), sharing));
            first.join().unwrap().assert_same(&reference, &format!("the first of two, {sharing:?}"));
            second.join().unwrap().assert_same(&hidden, &format!("the second of two, {sharing:?}"));
        });
    }
}

/// Where a run leaves the numbers, as its error says it: epoch, batch and layer.
fn not_finite(model: &Sequential, lr: f32, threads: usize) -> (usize, usize, String) {
    let config = TrainConfig { lr, ..config(Shuffle::Never, threads) };
    match fit(&mut model.clone(), config, Sharing::Always) {
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
        let model = network(layers);
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
        let mut model = network(HIDDEN);
        let first = model.linears_mut().next().unwrap();
        let mut weight = first.weight();
        weight[unit * 784..][..784].fill(1e38);
        first.set_weight(&weight);
        for threads in THREADS {
            let found = not_finite(&model, 0.01, threads);
            assert_eq!(found, (1, 1, "layer 0 (linear:128)".into()), "unit {unit}, {threads} threads");
        }
    }
}

/// The levels of this machine. Where it has a vector unit there are at least two to compare.
fn levels() -> Vec<SimdLevel> {
    let levels = SimdLevel::all();
    assert!(levels.len() > 1 || SimdLevel::detect().name() == "fallback");
    levels
}

/// matrixmultiply chooses its instructions itself; everything else runs on the level that is asked for. The first two networks
/// are narrow throughout.
#[test]
fn the_simd_level_changes_no_bit_of_a_run() {
    for layers in [REFERENCE, "linear:16,relu,linear:10", HIDDEN] {
        let auto = outcome(layers, config(Shuffle::Epoch, 1), Sharing::Measured);
        for simd in [SimdChoice::Avx512, SimdChoice::Avx2, SimdChoice::Fallback] {
            if SimdLevel::resolve(simd).is_ok() {
                for threads in [1, 2] {
                    let config = TrainConfig { simd, ..config(Shuffle::Epoch, threads) };
                    let what = format!("{layers}, {simd}, {threads} threads");
                    outcome(layers, config, Sharing::Always).assert_same(&auto, &what);
                }
            }
        }
    }
}

#[test]
fn the_simd_level_changes_no_bit_of_softmax_relu_and_update() {
    // Lengths around the 16 lanes, and logits from tiny to beyond where exp overflows.
    for (m, classes) in [(1, 2), (5, 3), (16, 10), (17, 10), (32, 10), (33, 16), (7, 47)] {
        let logits: Vec<f32> =
            (0..m * classes).map(|i| ((i * 37 % 101) as f32 - 50.0) * 1.7_f32.powi(i as i32 % 9)).collect();
        let labels: Vec<u8> = (0..m).map(|row| (row * 3 % classes) as u8).collect();
        let results = levels().into_iter().map(|level| {
            let mut criterion = SoftmaxCrossEntropy::new(classes).at_level(level);
            let loss = criterion.forward(&logits, &labels);
            let mut found = [&[loss], criterion.probabilities(), criterion.cross_entropy()].concat();
            let predictions = criterion.predictions().to_vec();
            found.extend_from_slice(criterion.backward());

            let gradient = criterion.backward().to_vec();
            let (mut y, mut dz, mut parameters) = (vec![f32::NAN; logits.len()], gradient.clone(), logits.clone());
            pointwise::relu_forward(level, &logits, &mut y);
            pointwise::relu_backward_exact(level, &logits, &gradient, &mut dz);
            pointwise::sgd_step(level, 0.01, &gradient, &mut parameters);
            let mut total = vec![0.5; classes];
            pointwise::add_rows(level, &gradient, &mut total);
            found.extend([y, dz, parameters, total].concat());
            (level.name(), bits(&found), predictions)
        });
        let results: Vec<_> = results.collect();
        for (name, found, predictions) in &results[1..] {
            assert!(*found == results[0].1, "[{m}, {classes}]: {name} and {} differ", results[0].0);
            assert_eq!(*predictions, results[0].2, "[{m}, {classes}]: {name}");
        }
    }
}

/// A larger batch of zeros, or of NaN with every bit set, goes through all buffers first, and leaves gradients behind.
#[test]
fn what_buffers_held_before_changes_no_bit() {
    const SAMPLES: usize = 19;
    let x: Vec<f32> = SETS.0.pixels()[..SAMPLES * 784].iter().map(|pixel| Scale::Unit.apply(*pixel)).collect();
    let labels = &SETS.0.labels()[..SAMPLES];
    for layers in [REFERENCE, HIDDEN, "linear:20,relu,linear:18,relu,linear:10"] {
        for relu_grad in [ReluGrad::StraightThrough, ReluGrad::Exact] {
            let gradients = |poison: Option<u8>| {
                let specs = layers.parse().unwrap();
                let mut model = Sequential::new(784, &specs, Init::KaimingUniform, relu_grad, 5).unwrap();
                let (mut activations, mut criterion) = (Activations::default(), SoftmaxCrossEntropy::new(10));
                if let Some(byte) = poison {
                    let garbage = vec![f32::from_ne_bytes([byte; 4]); 64 * 784];
                    let logits = model.forward(&garbage, &mut activations);
                    criterion.forward(logits, &[9; 64]);
                    let logits_grad = [&criterion.backward()[..63 * 10], &[f32::from_ne_bytes([byte; 4]); 10]].concat();
                    model.backward(&garbage, &logits_grad, &mut activations);
                }
                let logits = model.forward(&x, &mut activations);
                let mut found = logits.to_vec();
                found.push(criterion.forward(logits, labels));
                model.zero_grad();
                model.backward(&x, criterion.backward(), &mut activations);
                for linear in model.linears() {
                    found.extend_from_slice(&linear.weight_grad().unwrap());
                    found.extend_from_slice(linear.bias_grad().unwrap());
                }
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
