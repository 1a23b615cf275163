//! A training step does not call the allocator once its buffers have grown to the largest batch, which the first epoch
//! sees to. matrixmultiply takes one packing buffer per product and gives it back; nothing else is allowed.
//! It knows the public API and how many products a pass makes, not how they are computed.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ops::ControlFlow;

use flatnet::data::{Dataset, Loader, Scale, Shuffle};
use flatnet::kernels::{KernelChoice, SimdChoice};
use flatnet::nn::{Activations, Init, Layer, ReluGrad, Sequential, SoftmaxCrossEntropy};
use flatnet::optim::Sgd;
use flatnet::train::{TrainConfig, Trainer};

/// Hands everything on to the system's allocator and counts the calls that ask for memory, each thread its own:
/// the tests of this file run side by side.
struct Counting;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that is being torn down has no counter any more, and no test waits for its count.
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
}

// SAFETY: every call is handed on unchanged; counting touches a thread-local `Cell` that never allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(pointer, layout, new_size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often `work` asks for memory, and what it returns.
fn counted<T>(work: impl FnOnce() -> T) -> (u64, T) {
    let before = CALLS.get();
    let value = work();
    (CALLS.get() - before, value)
}

/// What a kernel of linear layers may ask for per product: matrixmultiply 0.3 packs both factors into one buffer of its
/// own. A kernel of flatnet's has to do with `NOTHING`.
const ONE_PACKING_BUFFER: u64 = 1;
const NOTHING: u64 = 0;

const FEATURES: usize = 784;
const BATCH_SIZE: usize = 32;

/// Three batches, the last one short.
fn data() -> Dataset {
    let rows = 2 * BATCH_SIZE + 5;
    let pixels = (0..rows * FEATURES).map(|i| (i * 31 % 251) as u8).collect();
    Dataset::new(pixels, (0..rows).map(|row| (row % 10) as u8).collect(), (28, 28), 10, "made up".into()).unwrap()
}

fn network(layers: &str, relu_grad: ReluGrad) -> Sequential {
    Sequential::new(FEATURES, &layers.parse().unwrap(), Init::KaimingUniform, relu_grad, 1).unwrap()
}

/// Calls for memory of each part of a step.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Calls {
    start_epoch: u64,
    gather: u64,
    forward: u64,
    loss: u64,
    backward: u64,
    update: u64,
}

impl Calls {
    fn total(&self) -> u64 {
        self.start_epoch + self.gather + self.forward + self.loss + self.backward + self.update
    }
}

/// What a step may ask for where a product asks for `per_product`: the forward pass is one product per linear layer; the
/// backward pass is dW for each, and dX for each that another layer stands below.
fn expected(model: &Sequential, per_product: u64) -> Calls {
    let is_linear = |layer: &&Layer| matches!(layer, Layer::Linear(_));
    let linears = model.layers().iter().filter(is_linear).count() as u64;
    let above_the_first = model.layers().iter().skip(1).filter(is_linear).count() as u64;
    Calls { forward: linears * per_product, backward: (linears + above_the_first) * per_product, ..Calls::default() }
}

/// Three epochs as in `examples/by_hand.rs`; the calls of each step.
fn epochs(model: &mut Sequential, data: &Dataset, shuffle: Shuffle) -> Vec<Vec<Calls>> {
    let mut loader = Loader::new(data, Scale::Unit, BATCH_SIZE, shuffle, 0).unwrap();
    let mut criterion = SoftmaxCrossEntropy::new(data.classes());
    let optimizer = Sgd::new(0.01).unwrap();
    let mut activations = Activations::default();
    let (mut x, mut labels) = (vec![0.0; BATCH_SIZE * FEATURES], vec![0; BATCH_SIZE]);
    let mut epoch = |number: usize| {
        let (start_epoch, ()) = counted(|| loader.start_epoch(number));
        let step = |batch: usize| {
            let samples = loader.batch_len(batch);
            let (x, labels) = (&mut x[..samples * FEATURES], &mut labels[..samples]);
            let (gather, ()) = counted(|| {
                loader.gather(batch, 0..FEATURES, x);
                loader.labels(batch, labels);
            });
            let (forward, logits) = counted(|| model.forward(x, &mut activations));
            let (loss, _) = counted(|| {
                criterion.forward(logits, labels);
                criterion.correct();
                criterion.backward();
            });
            let (backward, ()) = counted(|| {
                model.zero_grad();
                model.backward(x, criterion.backward(), &mut activations);
            });
            let (update, ()) = counted(|| optimizer.step(model));
            Calls { start_epoch, gather, forward, loss, backward, update }
        };
        (0..loader.batches()).map(step).collect::<Vec<_>>()
    };
    (1..=3).map(&mut epoch).collect()
}

fn check(layers: &str, relu_grad: ReluGrad, per_product: u64) {
    let data = data();
    for shuffle in [Shuffle::Never, Shuffle::Epoch] {
        let mut model = network(layers, relu_grad);
        let expected = expected(&model, per_product);
        let found = epochs(&mut model, &data, shuffle);
        assert!(found[0][0].total() > expected.total(), "the first step has buffers to make: {:?}", found[0][0]);
        for (epoch, steps) in found.iter().enumerate().skip(1) {
            for (batch, calls) in steps.iter().enumerate() {
                assert_eq!(*calls, expected, "{layers}, {relu_grad}, epoch {}, batch {}", epoch + 1, batch + 1);
            }
        }
    }
}

#[test]
fn a_step_asks_for_packing_buffers_only() {
    for relu_grad in [ReluGrad::StraightThrough, ReluGrad::Exact] {
        check("linear:10,relu", relu_grad, ONE_PACKING_BUFFER);
        check("linear:128,relu,linear:10", relu_grad, ONE_PACKING_BUFFER);
        check("linear:64,relu,linear:16,relu,linear:10", relu_grad, ONE_PACKING_BUFFER);
    }
}

#[test]
fn products_are_counted_right() {
    let calls = |layers: &str, per_product| {
        let calls = expected(&network(layers, ReluGrad::Exact), per_product);
        (calls.forward, calls.backward, calls.total())
    };
    assert_eq!(calls("linear:10,relu", ONE_PACKING_BUFFER), (1, 1, 2));
    assert_eq!(calls("linear:128,relu,linear:10", ONE_PACKING_BUFFER), (2, 3, 5));
    assert_eq!(calls("linear:128,relu,linear:10", NOTHING), (0, 0, 0));
}

/// The trainer on one thread: after the first epoch an epoch asks for what its products ask for, validation included.
#[test]
fn an_epoch_of_the_trainer_asks_for_no_more_than_its_steps() {
    let (train, val) = (data(), data());
    for layers in ["linear:10,relu", "linear:128,relu,linear:10"] {
        let mut model = network(layers, ReluGrad::StraightThrough);
        let step = expected(&model, ONE_PACKING_BUFFER);
        let config = TrainConfig {
            epochs: 4,
            batch_size: BATCH_SIZE,
            lr: 0.01,
            shuffle: Shuffle::Epoch,
            seed: 0,
            scale: Scale::Unit,
            threads: 1,
            kernel: KernelChoice::Gemm,
            simd: SimdChoice::Auto,
        };
        let mut after_epoch = Vec::with_capacity(4);
        let mut trainer = Trainer::new(config).unwrap();
        let fit = trainer.fit(&mut model, &train, &val, &mut |_, _| {
            after_epoch.push(CALLS.get());
            ControlFlow::Continue(())
        });
        assert_eq!(fit.unwrap().train_batches.len(), 4 * 3);
        let batches = 3;
        for epoch in after_epoch.windows(2) {
            assert_eq!(epoch[1] - epoch[0], batches * step.total() + batches * step.forward, "{layers}");
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
    assert_eq!(counted(|| std::thread::spawn(|| vec![1; 10].len()).join().unwrap()).1, 10);
}
