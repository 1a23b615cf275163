//! Training by hand with the layers and training by the [`Trainer`] are one and the same: the same kernels, the same order, the
//! same bits, whether an update is fused into the kernel that completes a gradient or made from a stored one.
//! It knows both front doors, and nothing of what lies behind them.

use std::path::Path;
use std::sync::LazyLock;

use flatnet::data::{Batch, Dataset, Loader, Scale, Shuffle, Split, load_split};
use flatnet::kernels::{KernelChoice, SimdChoice, SimdLevel};
use flatnet::loss::{Criterion, CrossEntropy};
use flatnet::nn::{Context, Init, ReluGrad, Sequential, Workspace};
use flatnet::optim::{AdamW, Optimizer, OptimizerState, Sgd};
use flatnet::train::{Sharing, Trainer};

const EPOCHS: usize = 3;
const SEED: u64 = 7;
const LR: f32 = 0.05;

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
    batch_size: usize,
    /// Plain gradient descent, which the trainer fuses, or an optimizer with slots, which it does not.
    plain: bool,
}

const STANDARD: Scale = Scale::Standard { mean: 0.130_66, std: 0.308_11 };

/// What the recipe does, what its alternatives do, and networks of two and three layers. Batches of 1, of more samples than
/// a narrow kernel's group, and of a group and one sample more.
const CASES: [Case; 12] = {
    let recipe = Case {
        layers: "linear:10,relu",
        relu_grad: ReluGrad::StraightThrough,
        scale: Scale::Unit,
        shuffle: Shuffle::Never,
        kernel: KernelChoice::Auto,
        batch_size: 32,
        plain: true,
    };
    [
        recipe,
        Case { batch_size: 1, ..recipe },
        Case { batch_size: 65, ..recipe },
        Case { batch_size: 200, scale: STANDARD, ..recipe },
        Case { kernel: KernelChoice::Gemm, shuffle: Shuffle::Epoch, ..recipe },
        Case { relu_grad: ReluGrad::Exact, scale: STANDARD, shuffle: Shuffle::Epoch, ..recipe },
        Case { layers: "linear:128,relu,linear:10", relu_grad: ReluGrad::Exact, ..recipe },
        Case { layers: "linear:100,relu,linear:10", relu_grad: ReluGrad::Exact, batch_size: 200, ..recipe },
        Case { layers: "linear:64,relu,linear:64,relu,linear:10", scale: STANDARD, ..recipe },
        Case { layers: "linear:128,relu,linear:10", kernel: KernelChoice::Gemm, shuffle: Shuffle::Epoch, ..recipe },
        Case { layers: "linear:128,relu,dropout:0.3,linear:10", plain: false, shuffle: Shuffle::Epoch, ..recipe },
        Case { layers: "linear:16,gelu,linear:10", plain: false, ..recipe },
    ]
};

/// What a hand-written loop hands to its layers: a [`Batch`], which knows where its zeros are, or just numbers.
#[derive(Debug, Clone, Copy)]
enum Encoding {
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
    model.parameters().flat_map(|tensor| tensor.values()).map(f32::to_bits).collect()
}

fn network(case: &Case) -> Sequential {
    let specs = case.layers.parse().unwrap();
    let builder = Sequential::new(784).layers(&specs).init(Init::UnitNorm).relu_grad(case.relu_grad);
    builder.kernel(case.kernel).build(SEED).unwrap()
}

fn optimizer(case: &Case) -> Box<dyn Optimizer> {
    if case.plain { Box::new(Sgd::new(LR)) } else { Box::new(AdamW::new(LR / 10.0)) }
}

fn sets(case: &Case) -> (Dataset, Dataset) {
    let scaled = |set: &Dataset| set.clone().with_scale(case.scale).unwrap();
    (scaled(&SETS.0), scaled(&SETS.1))
}

/// As `examples/by_hand.rs`, with a validation after each epoch.
fn by_hand(case: &Case, encoding: Encoding, simd: SimdLevel) -> Outcome {
    let (train_set, val_set) = sets(case);
    let mut model = network(case);
    let mut criterion = Criterion::new(CrossEntropy::new(), 10);
    let optimizer = optimizer(case);
    let mut state = OptimizerState::of(&*optimizer, &model);
    let mut train = Loader::new(&train_set, case.batch_size, case.shuffle, SEED).unwrap();
    let val = Loader::new(&val_set, case.batch_size, Shuffle::Never, SEED).unwrap();
    let (mut workspace, mut x) = (Workspace::new(), Batch::new());
    let (mut training, mut validation) = (Vec::new(), Vec::new());
    for epoch in 1..=EPOCHS {
        train.start_epoch(epoch);
        for batch in 0..train.batches() {
            let context = Context::train(SEED).with_simd(simd).at(epoch, batch);
            train.load(batch, simd, &mut x);
            let numbers = x.x();
            let logits = match encoding {
                Encoding::Batch => model.forward(&x, &context, &mut workspace),
                Encoding::Numbers => model.forward(&numbers, &context, &mut workspace),
            };
            let loss = criterion.forward(simd, logits, x.targets(), None);
            training.push((loss.to_bits(), criterion.sums().correct));
            model.zero_grad();
            match encoding {
                Encoding::Batch => model.backward(&x, criterion.backward(), &context, &mut workspace),
                Encoding::Numbers => model.backward(&numbers, criterion.backward(), &context, &mut workspace),
            }
            optimizer.step(&mut model, &mut state, &context);
        }
        for batch in 0..val.batches() {
            let context = Context::evaluate().with_simd(simd);
            val.load(batch, simd, &mut x);
            let logits = model.forward(&x, &context, &mut workspace);
            let loss = criterion.forward(simd, logits, x.targets(), None);
            validation.push((loss.to_bits(), criterion.sums().correct));
        }
    }
    Outcome { parameters: parameters(&model), batches: [training, validation].concat() }
}

fn by_trainer(case: &Case, threads: usize, sharing: Sharing, simd: SimdChoice) -> Outcome {
    let (train, val) = sets(case);
    let mut model = network(case);
    let trainer = Trainer::new(optimizer(case)).epochs(EPOCHS).batch_size(case.batch_size).shuffle(case.shuffle);
    let trainer = trainer.seed(SEED).threads(threads).sharing(sharing).simd(simd);
    let history = trainer.fit(&mut model, &train, &val).unwrap();
    let batches = history.train_batches.iter().chain(&history.val_batches);
    let batches = batches.map(|batch| (batch.loss().to_bits(), batch.correct)).collect();
    Outcome { parameters: parameters(&model), batches }
}

#[test]
fn by_hand_and_by_trainer_are_the_same_to_the_bit() {
    for case in &CASES {
        let hand = by_hand(case, Encoding::Batch, SimdLevel::detect());
        let batches = 656_usize.div_ceil(case.batch_size) + 101_usize.div_ceil(case.batch_size);
        assert_eq!(hand.batches.len(), EPOCHS * batches, "{case:?}");
        // A wide layer multiplies numbers that hold their zeros by GEMM, whose sums have another order: which kernel runs
        // depends on the encoding. Pixels whose zeros are no longer zero are numbers in a batch, too.
        if !network(case).kernel_name().contains("wide") || case.scale != Scale::Unit {
            let numbers = by_hand(case, Encoding::Numbers, SimdLevel::detect());
            hand.assert_same(&numbers, &format!("{case:?}, without leaving zeros out"));
        }
        for (threads, sharing) in [(1, Sharing::Measured), (2, Sharing::Always), (2, Sharing::Measured)] {
            let what = format!("{case:?}, {threads} threads, {sharing:?}");
            hand.assert_same(&by_trainer(case, threads, sharing, SimdChoice::Auto), &what);
        }
        for choice in [SimdChoice::Avx512, SimdChoice::Avx2, SimdChoice::Fallback] {
            // On every level that there is, the stored gradient by hand and the fused one of the trainer.
            if case.batch_size > 1 && SimdLevel::resolve(choice).is_ok() {
                let level = by_trainer(case, 1, Sharing::Measured, choice);
                hand.assert_same(&level, &format!("{case:?}, {choice}"));
            }
        }
    }
}

/// Were the cases alike, or their two kernels, the test above would compare little.
#[test]
fn the_cases_are_different_runs() {
    let outcomes = CASES.map(|case| by_hand(&case, Encoding::Batch, SimdLevel::detect()));
    for (i, outcome) in outcomes.iter().enumerate() {
        for other in &outcomes[..i] {
            assert!(outcome.parameters != other.parameters && outcome.batches != other.batches, "{:?}", CASES[i]);
        }
    }
}
