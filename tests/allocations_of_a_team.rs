//! What a team of threads asks for while it trains: a handful of calls per epoch for entering it, none per batch but what matrixmultiply packs. It knows
//! the public API, not how threads share a step.
//!
//! Calls of all threads are counted, those of the test harness too: so this file holds one test, and nothing runs beside it.

#[path = "allocations/counting.rs"]
mod counting;

use std::ops::ControlFlow;

use counting::{calls_of_all_threads, calls_of_this_thread, counted};
use flatnet::data::Dataset;
use flatnet::kernels::KernelChoice;
use flatnet::nn::Sequential;
use flatnet::optim::Sgd;
use flatnet::train::{EpochEnd, Sharing, TrainState, Trainer};

const FEATURES: usize = 784;
const BATCH_SIZE: usize = 4;
const EPOCHS: usize = 5;

/// Calls of all threads in the epochs after the first, when every epoch trains on `batches` batches and validates on as many.
fn calls_after_the_first_epoch(kernel: KernelChoice, threads: usize, batches: usize) -> u64 {
    let rows = batches * BATCH_SIZE;
    let pixels = (0..rows * FEATURES).map(|i| (i * 31 % 251) as u8).collect();
    let labels = (0..rows).map(|row| (row % 10) as u8).collect();
    let data = Dataset::images(pixels, labels, (28, 28), 10, "made up".into()).unwrap();
    let mut model = Sequential::new(FEATURES).linear(10).relu().kernel(kernel).build(1).unwrap();
    let trainer = Trainer::new(Sgd::new(0.01)).epochs(EPOCHS).batch_size(BATCH_SIZE).threads(threads);
    let trainer = trainer.sharing(Sharing::Always);
    let mut after_epoch = Vec::with_capacity(EPOCHS);
    let mut state = TrainState::new(&model, trainer.optimizer());
    let mut count = |_: &mut EpochEnd<'_>| {
        after_epoch.push(calls_of_all_threads());
        ControlFlow::Continue(())
    };
    trainer.fit_from(&mut model, &mut state, &data, &data, &mut count).unwrap();
    assert_eq!(state.history.train_batches.len(), EPOCHS * batches);
    assert_eq!(after_epoch.len(), EPOCHS);
    after_epoch[EPOCHS - 1] - after_epoch[0]
}

/// An epoch enters the team once to train and once to validate, whatever the number of batches. Each time it makes a list of who
/// has which state, a barrier and a job of rayon's, and once, for each of the two ranks, a list of where its
/// share stands, to hand it out and to bring it back: 10. Now and then rayon's queue takes another block.
const ENTERING: u64 = 12;

/// A thread that gets its first batches to validate makes its buffers: 11. Chance may let it wait for them until a later epoch.
const FIRST_BATCHES: u64 = 16;

#[test]
fn a_team_asks_for_no_memory_but_to_enter_an_epoch() {
    let all = calls_of_all_threads();
    let (of_another, _) = std::thread::spawn(|| counted(|| vec![1; 10].len())).join().unwrap();
    assert!(of_another == 1 && calls_of_all_threads() > all, "another thread's calls count as well");
    let before = calls_of_this_thread();
    drop(vec![1; 10]);
    assert_eq!(calls_of_this_thread() - before, 1);

    let epochs = EPOCHS as u64 - 1;
    for batches in [100, 400] {
        // The thread that runs the tests may ask for memory meanwhile, once in a while; a step that did would do so every time.
        let least = (0..3).map(|_| calls_after_the_first_epoch(KernelChoice::Auto, 1, batches)).min();
        assert_eq!(least, Some(0), "one thread, {batches} batches");
        // The network's 784 features fall into two parts, so at most two of the threads share a step.
        for threads in [2, 4] {
            let most = epochs * ENTERING + threads as u64 * FIRST_BATCHES;
            assert!(most < epochs * batches as u64, "one call per step must not pass");
            let calls = calls_after_the_first_epoch(KernelChoice::Auto, threads, batches);
            assert!(calls <= most, "{threads} threads, {batches} batches: {calls} calls in {epochs} epochs");
            // A packing buffer for each product: two forward and two of dW to train, two forward to validate.
            let packing = epochs * 6 * batches as u64;
            let calls = calls_after_the_first_epoch(KernelChoice::Gemm, threads, batches);
            let right = packing..=packing + most;
            assert!(right.contains(&calls), "gemm, {threads} threads, {batches} batches: {calls} calls");
        }
    }
}
