//! Training by hand with the layers and training by the [`Trainer`] are one and the same: the same kernels, hence the same bits
//! where the same step is taken, and a derived bound where the gradient is stored on the way.
//! It knows both front doors, and nothing of what lies behind them.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::LazyLock;

use flatnet::data::{Batch, Dataset, Loader, Scale, Shuffle, Split, load_split};
use flatnet::kernels::{KernelChoice, SimdChoice, SimdLevel};
use flatnet::nn::{Activations, Init, Linear, ReluGrad, Sequential, SoftmaxCrossEntropy};
use flatnet::optim::Sgd;
use flatnet::train::{Sharing, TrainConfig, Trainer};

const EPOCHS: usize = 3;
const SEED: u64 = 7;
const LR: f32 = 0.05;

/// Unit of f32 rounding.
const UNIT: f64 = f32::EPSILON as f64 / 2.0;

/// Batches of 32 and a short one at the end: 20 and 16 images to train on, 3 and 5 to validate on.
static SETS: LazyLock<(Dataset, Dataset)> = LazyLock::new(|| {
    let test = load_split(&Path::new(env!("CARGO_MANIFEST_DIR")).join("data/mnist"), Split::Test).unwrap();
    (test.select(&(0..656).collect::<Vec<_>>()), test.select(&(1_000..1_101).collect::<Vec<_>>()))
});

#[derive(Debug, Clone, Copy)]
struct Case {
    layers: &'static str,
    relu_grad: ReluGrad,
    scale: Scale,
    shuffle: Shuffle,
    kernel: KernelChoice,
}

const STANDARD: Scale = Scale::Standard { mean: 0.130_66, std: 0.308_11 };

/// What the recipe does, what its alternatives do, and networks of two and three layers.
const CASES: [Case; 6] = {
    let recipe = Case {
        layers: "linear:10,relu",
        relu_grad: ReluGrad::StraightThrough,
        scale: Scale::Unit,
        shuffle: Shuffle::Never,
        kernel: KernelChoice::Auto,
    };
    [
        recipe,
        Case { kernel: KernelChoice::Gemm, shuffle: Shuffle::Epoch, ..recipe },
        Case { relu_grad: ReluGrad::Exact, scale: STANDARD, shuffle: Shuffle::Epoch, ..recipe },
        Case { layers: "linear:128,relu,linear:10", relu_grad: ReluGrad::Exact, ..recipe },
        Case { layers: "linear:64,relu,linear:64,relu,linear:10", scale: STANDARD, ..recipe },
        Case { layers: "linear:128,relu,linear:10", kernel: KernelChoice::Gemm, shuffle: Shuffle::Epoch, ..recipe },
    ]
};

/// What a hand-written loop hands to its layers: a [`Batch`], which knows where its zeros are, or just numbers.
#[derive(Debug, Clone, Copy)]
enum Input {
    Batch,
    Numbers,
}

/// All parameters, and every training batch's and then every validation batch's loss and correct predictions; floats as bits.
#[derive(PartialEq)]
struct Outcome {
    parameters: Vec<u32>,
    batches: Vec<(u32, u32)>,
}

impl Outcome {
    fn assert_same(&self, other: &Self, what: &str) {
        assert!(self.batches.len() == other.batches.len(), "{what}: another number of batches");
        let first = self.batches.iter().zip(&other.batches).position(|(a, b)| a != b);
        assert!(first.is_none(), "{what}: other figures, first in batch {first:?}");
        assert!(self.parameters == other.parameters, "{what}: other parameters");
    }
}

fn parameters(model: &Sequential) -> Vec<u32> {
    let values = model.linears().flat_map(|linear| [&*linear.weight(), linear.bias()].concat());
    values.map(|value| value.to_bits()).collect()
}

fn network(case: &Case) -> Sequential {
    let mut model = Sequential::new(784, &case.layers.parse().unwrap(), Init::UnitNorm, case.relu_grad, SEED).unwrap();
    model.set_kernel(case.kernel);
    model
}

/// As `examples/by_hand.rs`, with backward and update in one and a validation after each epoch.
fn by_hand(case: &Case, input: Input) -> Outcome {
    let mut model = network(case);
    let mut criterion = SoftmaxCrossEntropy::new(10);
    let mut train = Loader::new(&SETS.0, case.scale, 32, case.shuffle, SEED).unwrap();
    let val = Loader::new(&SETS.1, case.scale, 32, Shuffle::Never, SEED).unwrap();
    let (mut activations, mut x) = (Activations::default(), Batch::new());
    let (mut training, mut validation) = (Vec::new(), Vec::new());
    for epoch in 1..=EPOCHS {
        train.start_epoch(epoch);
        for batch in 0..train.batches() {
            train.load(batch, &mut x);
            let logits = match input {
                Input::Batch => model.forward(&x, &mut activations),
                Input::Numbers => model.forward(&x.x(), &mut activations),
            };
            let loss = criterion.forward(logits, x.labels());
            training.push((loss.to_bits(), criterion.correct() as u32));
            match input {
                Input::Batch => model.descend(&x, criterion.backward(), LR, &mut activations),
                Input::Numbers => model.descend(&x.x(), criterion.backward(), LR, &mut activations),
            }
        }
        for batch in 0..val.batches() {
            val.load(batch, &mut x);
            let loss = criterion.forward(model.forward(&x, &mut activations), x.labels());
            validation.push((loss.to_bits(), criterion.correct() as u32));
        }
    }
    Outcome { parameters: parameters(&model), batches: [training, validation].concat() }
}

fn by_trainer(case: &Case, threads: usize, sharing: Sharing) -> Outcome {
    let mut model = network(case);
    let mut trainer = Trainer::new(TrainConfig {
        epochs: EPOCHS,
        batch_size: 32,
        lr: LR,
        shuffle: case.shuffle,
        seed: SEED,
        scale: case.scale,
        threads,
        kernel: case.kernel,
        simd: SimdChoice::Auto,
    })
    .unwrap();
    trainer.set_sharing(sharing);
    let history = trainer.fit(&mut model, &SETS.0, &SETS.1, &mut |_, _| ControlFlow::Continue(())).unwrap();
    let batches = history.train_batches.iter().chain(&history.val_batches);
    let batches = batches.map(|batch| (batch.loss.to_bits(), batch.correct)).collect();
    Outcome { parameters: parameters(&model), batches }
}

#[test]
fn by_hand_and_by_trainer_are_the_same_to_the_bit() {
    for case in &CASES {
        let hand = by_hand(case, Input::Batch);
        assert_eq!(hand.batches.len(), EPOCHS * (21 + 4), "{case:?}");
        hand.assert_same(&by_hand(case, Input::Numbers), &format!("{case:?}, without leaving zeros out"));
        for (threads, sharing) in [(1, Sharing::Measured), (2, Sharing::Always), (2, Sharing::Measured)] {
            let what = format!("{case:?}, {threads} threads, {sharing:?}");
            hand.assert_same(&by_trainer(case, threads, sharing), &what);
        }
    }
}

/// `backward` and `Sgd::step` store a gradient that `descend` does not. Along a run, each step taken both ways from the same
/// parameters ends within the roundings of the two.
#[test]
fn a_step_with_and_without_a_stored_gradient_agree_within_their_roundings() {
    for case in [CASES[0], CASES[1]] {
        let (mut one, mut two) = (network(&case), network(&case));
        let (mut criterion, optimizer) = (SoftmaxCrossEntropy::new(10), Sgd::new(LR).unwrap());
        let loader = Loader::new(&SETS.0, Scale::Unit, 32, Shuffle::Never, SEED).unwrap();
        let (mut activations, mut x, mut differences) = (Activations::default(), Batch::new(), 0);
        for batch in 0..loader.batches() {
            loader.load(batch, &mut x);
            criterion.forward(one.forward(&x, &mut activations), x.labels());
            let dz = criterion.backward().to_vec();
            let before = one.linears().next().unwrap().weight();
            two.linears_mut().zip(one.linears()).for_each(|(two, one)| {
                two.set_weight(&one.weight());
                two.bias_mut().copy_from_slice(one.bias());
            });
            one.descend(&x, &dz, LR, &mut activations);
            two.zero_grad();
            two.backward(&x, &dz, &mut activations);
            optimizer.step(&mut two);

            // With S the sum of |dz x| over m samples: the gradient is rounded m times and the step once, each by a unit of
            // lr S or of the weight; in one, each of m products of rounded factors by a unit of |w| + lr S.
            let (m, features) = (x.len(), x.x());
            let [after_one, after_two] = [&one, &two].map(|model| model.linears().next().unwrap().weight());
            for (i, (one, two)) in after_one.iter().zip(&after_two).enumerate() {
                let (unit, feature) = (i / 784, i % 784);
                let moved =
                    |sample: usize| f64::from((dz[sample * 10 + unit] * features[sample * 784 + feature]).abs());
                let moved = f64::from(LR) * (0..m).map(moved).sum::<f64>();
                let terms = (0..m).filter(|sample| features[sample * 784 + feature] != 0.0).count() as f64;
                let bound = UNIT * ((2.0 * terms + 4.0) * moved + (terms + 2.0) * f64::from(before[i].abs()));
                let difference = (f64::from(*one) - f64::from(*two)).abs();
                assert!(difference <= bound, "{case:?}, batch {batch}, weight {i}: {one} and {two}, bound {bound:e}");
                differences += usize::from(one != two);
            }
        }
        assert!(differences > 0, "no rounding differs: then demand the same bits here");
    }
}

/// Were the cases alike, or their two kernels, the test above would compare little.
#[test]
fn the_cases_are_different_runs() {
    let outcomes = CASES.map(|case| by_hand(&case, Input::Batch));
    for (i, outcome) in outcomes.iter().enumerate() {
        for other in &outcomes[..i] {
            assert!(outcome.parameters != other.parameters && outcome.batches != other.batches, "{:?}", CASES[i]);
        }
    }
}

/// A layer on its own sums all features in one run, a network's first layer in two parts: the figures of one step agree within
/// the rounding of these sums.
#[test]
fn layers_on_their_own_agree_within_the_rounding_of_their_sums() {
    const M: usize = 32;
    for level in SimdLevel::all() {
        let mut model = network(&CASES[0]);
        model.set_level(level);
        let layer = model.linears().next().unwrap();
        let (weight, bias) = (layer.weight(), layer.bias().to_vec());
        let mut alone = Linear::from_parts(784, 10, weight.clone(), bias.clone()).unwrap();
        let loader = Loader::new(&SETS.0, Scale::Unit, M, Shuffle::Never, SEED).unwrap();
        let mut x = Batch::new().at_level(level);
        loader.load(0, &mut x);

        // Without the rectifier, so that nothing hides a difference: z, p and dW of the linear layer and the loss.
        let mut linear = Sequential::from_layers(vec![model.layers()[0].clone()]).unwrap();
        linear.set_level(level);
        let mut activations = Activations::default();
        let mut criterion = SoftmaxCrossEntropy::new(10).at_level(level);
        let z = linear.forward(&x, &mut activations).to_vec();
        let loss = criterion.forward(&z, x.labels());
        let dz = criterion.backward().to_vec();
        linear.backward(&x, &dz, &mut activations);
        let dw = linear.linears().next().unwrap().weight_grad().unwrap();

        let mut own_z = vec![f32::NAN; M * 10];
        alone.forward(&x, &mut own_z);
        let own_loss = criterion.forward(&own_z, x.labels());
        let own_dz = criterion.backward().to_vec();
        alone.backward(&x, &own_dz, None);
        let own_dw = alone.weight_grad().unwrap();

        assert!(z != own_z, "the same bits: has the network's layer one part now? Then demand them here");
        let difference = |a: f32, b: f32| (f64::from(a) - f64::from(b)).abs();
        let wide = |value: &f32| f64::from(value.abs());
        // Two sums of the same 784 products and a bias. Each lane of eight adds up 98 products, three rounds add up the lanes, one
        // sum the parts and one the bias: so many roundings, and no more, are on a term's way into either sum.
        const ROUNDINGS: f64 = 98.0 + 3.0 + 1.0 + 1.0;
        let mut worst_z: f64 = 0.0;
        let features = x.x();
        for (sample, row) in features.chunks(784).enumerate() {
            for (unit, weights) in weight.chunks(784).enumerate() {
                let magnitude: f64 = row.iter().zip(weights).map(|(x, w)| wide(x) * wide(w)).sum();
                let bound = 2.0 * ROUNDINGS * UNIT * (magnitude + wide(&bias[unit]));
                let i = sample * 10 + unit;
                assert!(difference(z[i], own_z[i]) <= bound, "z at {i}: {} and {}, bound {bound:e}", z[i], own_z[i]);
                worst_z = worst_z.max(bound);
            }
        }
        // A loss moves by at most the differences of two logits; exp and ln stray by some units more.
        let loss_bound = 2.0 * worst_z + 32.0 * UNIT * wide(&loss).max(1.0);
        assert!(difference(loss, own_loss) <= loss_bound, "{loss} and {own_loss}, bound {loss_bound:e}");
        // p moves by at most p (1 - p) <= 1/4 of the difference of two logits' moves, and dz by an m-th of that.
        let dz_bound = (0.5 * worst_z + 32.0 * UNIT) / M as f64;
        for (i, (a, b)) in dz.iter().zip(&own_dz).enumerate() {
            assert!(difference(*a, *b) <= dz_bound, "dz at {i}: {a} and {b}, bound {dz_bound:e}");
        }
        for (i, (a, b)) in dw.iter().zip(own_dw).enumerate() {
            let (unit, feature) = (i / 784, i % 784);
            let column =
                || (0..M).map(|sample| (wide(&features[sample * 784 + feature]), wide(&dz[sample * 10 + unit])));
            let moved: f64 = column().map(|(x, _)| x * dz_bound).sum();
            let rounded: f64 = column().map(|(x, dz)| x * (dz + dz_bound)).sum::<f64>() * 2.0 * (M + 1) as f64 * UNIT;
            assert!(difference(*a, b) <= moved + rounded, "dw at {i}: {a} and {b}, bound {:e}", moved + rounded);
        }
    }
}
