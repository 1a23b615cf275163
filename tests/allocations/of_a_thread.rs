//! A training step does not call the allocator once its buffers have grown to the largest batch, which the first epoch
//! sees to. matrixmultiply takes one packing buffer per product and gives it back; nothing else is allowed, and the narrow
//! and the wide kernels ask for nothing. It knows the public API and which products each network makes, not how they are computed.
//! What a team of threads asks for is counted in `allocations_of_a_team.rs`.

use std::ops::ControlFlow;

use crate::counting::{calls_of_all_threads, calls_of_this_thread, counted};
use flatnet::data::{Batch, Dataset, Loader, Shuffle};
use flatnet::kernels::KernelChoice;
use flatnet::loss::{Criterion, CrossEntropy};
use flatnet::nn::{Context, Init, ReluGrad, Sequential, Workspace};
use flatnet::optim::{AdamW, Optimizer, OptimizerState, Sgd};
use flatnet::train::{EpochEnd, TrainState, Trainer};

const FEATURES: usize = 784;
const BATCH_SIZE: usize = 32;
const BATCHES: u64 = 3;

/// A network, and how many products of matrixmultiply a pass makes, each of which asks for one packing buffer.
///
/// Forward, a layer that is cut by its features has a product for every part of its sum, another layer has one. Backward,
/// each layer has dW; each that another one stands below has dX as well, by parts where it is cut by its units.
struct Case {
    layers: &'static str,
    kernel: KernelChoice,
    forward: u64,
    backward: u64,
}

const CASES: [Case; 7] = [
    // Narrow throughout: nothing at all.
    Case { layers: "linear:10,relu", kernel: KernelChoice::Auto, forward: 0, backward: 0 },
    Case { layers: "linear:16,relu,linear:10", kernel: KernelChoice::Narrow, forward: 0, backward: 0 },
    // 784 features fall into two parts.
    Case { layers: "linear:10,relu", kernel: KernelChoice::Gemm, forward: 2, backward: 1 },
    // 128 units fall into two parts, of which the second layer sums two and the first none.
    Case { layers: "linear:128,relu,linear:10", kernel: KernelChoice::Gemm, forward: 1 + 2, backward: 1 + 2 },
    // The wide kernels ask for nothing.
    Case { layers: "linear:128,relu,linear:10", kernel: KernelChoice::Auto, forward: 0, backward: 0 },
    // 192 units fall into two parts: of the first layer's, the second layer sums two; the last one is computed as a whole.
    Case {
        layers: "linear:192,relu,linear:192,relu,linear:10",
        kernel: KernelChoice::Gemm,
        forward: 1 + 2 + 1,
        backward: 1 + 2 + 2,
    },
    Case { layers: "linear:192,relu,linear:192,relu,linear:10", kernel: KernelChoice::Auto, forward: 0, backward: 0 },
];

/// Three batches, the last one short, of which four pixels in five are zero.
fn data() -> Dataset {
    let rows = 2 * BATCH_SIZE + 5;
    let pixels = (0..rows * FEATURES).map(|i| if i % 5 == 0 { (i * 31 % 251) as u8 } else { 0 }).collect();
    Dataset::images(pixels, (0..rows).map(|row| (row % 10) as u8).collect(), (28, 28), 10, "made up".into()).unwrap()
}

fn network(case: &Case, relu_grad: ReluGrad) -> Sequential {
    let builder = Sequential::new(FEATURES).layers(&case.layers.parse().unwrap()).kernel(case.kernel);
    builder.init(Init::KaimingUniform).relu_grad(relu_grad).build(1).unwrap()
}

/// By hand gradients are stored, so a product of GEMM is made at once; the trainer's descent makes it band by band, of 65,536
/// floats or a little less: of 784 x 128 there are two, of 784 x 192 three. How many more products that are.
fn bands(case: &Case) -> u64 {
    match case.kernel {
        KernelChoice::Gemm if case.layers.starts_with("linear:128") => 1,
        KernelChoice::Gemm if case.layers.starts_with("linear:192") => 2,
        _ => 0,
    }
}

/// Calls for memory of each part of a step.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Calls {
    start_epoch: u64,
    load: u64,
    forward: u64,
    loss: u64,
    backward: u64,
    update: u64,
}

impl Calls {
    fn total(&self) -> u64 {
        self.start_epoch + self.load + self.forward + self.loss + self.backward + self.update
    }
}

/// Three epochs as in `examples/by_hand.rs`; the calls of each step.
fn epochs(model: &mut Sequential, optimizer: &dyn Optimizer, data: &Dataset, shuffle: Shuffle) -> Vec<Vec<Calls>> {
    let mut loader = Loader::new(data, BATCH_SIZE, shuffle, 0).unwrap();
    let mut criterion = Criterion::new(CrossEntropy::new(), 10);
    let mut state = OptimizerState::of(optimizer, model);
    let (mut workspace, mut x) = (Workspace::new(), Batch::new());
    let mut epoch = |number: usize| {
        let (start_epoch, ()) = counted(|| loader.start_epoch(number));
        let step = |batch: usize| {
            let context = Context::train(0).at(number, batch);
            let (load, ()) = counted(|| loader.load(batch, context.simd, &mut x));
            let (forward, logits) = counted(|| model.forward(&x, &context, &mut workspace));
            let (loss, _) = counted(|| {
                criterion.forward(context.simd, logits, x.targets(), None);
                criterion.sums();
                criterion.backward();
            });
            let (backward, ()) = counted(|| {
                model.zero_grad();
                model.backward(&x, criterion.backward(), &context, &mut workspace);
            });
            let (update, ()) = counted(|| optimizer.step(model, &mut state, &context));
            Calls { start_epoch, load, forward, loss, backward, update }
        };
        (0..loader.batches()).map(step).collect::<Vec<_>>()
    };
    (1..=3).map(&mut epoch).collect()
}

#[test]
fn a_step_by_hand_asks_for_packing_buffers_only() {
    let data = data();
    for case in &CASES {
        for relu_grad in [ReluGrad::StraightThrough, ReluGrad::Exact] {
            for shuffle in [Shuffle::Never, Shuffle::Epoch] {
                let mut model = network(case, relu_grad);
                let expected = Calls { forward: case.forward, backward: case.backward, ..Calls::default() };
                let optimizer: &dyn Optimizer = match shuffle {
                    Shuffle::Never => &Sgd::new(0.01),
                    Shuffle::Epoch | Shuffle::Blocks => &AdamW::new(0.01),
                };
                let found = epochs(&mut model, optimizer, &data, shuffle);
                assert!(
                    found[0][0].total() > expected.total(),
                    "the first step has buffers to make: {:?}",
                    found[0][0]
                );
                for (epoch, steps) in found.iter().enumerate().skip(1) {
                    assert_eq!(steps.len() as u64, BATCHES);
                    for (batch, calls) in steps.iter().enumerate() {
                        let Case { layers, kernel, .. } = case;
                        assert_eq!(*calls, expected, "{layers}, {kernel}, epoch {}, batch {}", epoch + 1, batch + 1);
                    }
                }
            }
        }
    }
}

/// The trainer on one thread: after the first epoch an epoch asks for what its products ask for, validation included.
#[test]
fn an_epoch_of_the_trainer_asks_for_no_more_than_its_steps() {
    let (train, val) = (data(), data());
    for case in &CASES {
        for plain in [true, false] {
            let mut model = network(case, ReluGrad::StraightThrough);
            let optimizer: Box<dyn Optimizer> =
                if plain { Box::new(Sgd::new(0.01)) } else { Box::new(AdamW::new(0.01)) };
            let trainer = Trainer::new(optimizer).epochs(4).batch_size(BATCH_SIZE).threads(1);
            let mut after_epoch = Vec::with_capacity(4);
            let mut state = TrainState::new(&model, trainer.optimizer());
            let mut count = |_: &mut EpochEnd<'_>| {
                after_epoch.push(calls_of_this_thread());
                ControlFlow::Continue(())
            };
            trainer.fit_from(&mut model, &mut state, &train, &val, &mut count).unwrap();
            assert_eq!(state.history.train_batches.len() as u64, 4 * BATCHES);
            let (training, validation) = (case.forward + case.backward, case.forward);
            let bands = if plain { bands(case) } else { 0 };
            for epoch in after_epoch.windows(2) {
                // One batch of an epoch keeps its gradients to measure them.
                let expected = BATCHES * (training + validation) + (BATCHES - 1) * bands;
                assert_eq!(epoch[1] - epoch[0], expected, "{}, {}, plain: {plain}", case.layers, case.kernel);
            }
        }
    }
}

#[test]
fn the_counter_counts() {
    let mut values = Vec::new();
    assert_eq!(counted(|| values.push(1_u8)).0, 1, "a new buffer");
    assert_eq!(counted(|| values.push(1)).0, 0, "room is left");
    assert_eq!(counted(|| values.reserve_exact(1000)).0, 1, "a larger buffer");
    assert_eq!(counted(|| vec![0_u64; 50].len()).0, 1, "zeroed memory");
    assert_eq!(counted(|| drop(values)).0, 0, "giving back asks for nothing");
    let (own, all) = (calls_of_this_thread(), calls_of_all_threads());
    let of_another =
        std::thread::spawn(|| counted(|| (0..7).map(|i| vec![i; 10].len()).sum::<usize>())).join().unwrap();
    assert_eq!(of_another, (7, 70));
    assert!(calls_of_all_threads() - all >= calls_of_this_thread() - own + 7, "another thread's calls count as well");
}
