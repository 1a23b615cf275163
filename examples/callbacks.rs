//! What a caller may do between batches and epochs: `cargo run --release --example callbacks`. It watches the loss batch by
//! batch, keeps the best network, and ends the training once nothing has been gained for three epochs.

use std::ops::ControlFlow;
use std::path::Path;

use flatnet::optim::Adam;
use flatnet::train::{BatchEnd, Callback, EpochEnd};
use flatnet::{Sequential, TrainState, Trainer};

/// Patience, and the best network so far.
struct KeepBest {
    best: Option<(f64, Sequential)>,
    epochs_without_gain: usize,
    worst_batch: f32,
}

impl Callback for KeepBest {
    fn after_batch(&mut self, end: &BatchEnd) -> ControlFlow<()> {
        self.worst_batch = self.worst_batch.max(end.record.loss());
        ControlFlow::Continue(())
    }

    fn after_epoch(&mut self, end: &mut EpochEnd<'_>) -> ControlFlow<()> {
        let loss = end.record.val_loss;
        println!("epoch {:>2}: validation loss {loss:.4}, worst batch {:.3}", end.epoch, self.worst_batch);
        self.worst_batch = 0.0;
        if self.best.as_ref().is_none_or(|(best, _)| loss < *best) {
            self.best = Some((loss, end.model.clone()));
            self.epochs_without_gain = 0;
        } else {
            self.epochs_without_gain += 1;
        }
        if self.epochs_without_gain == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

fn main() -> flatnet::Result<()> {
    let (train, test) = flatnet::data::mnist(Path::new(env!("CARGO_MANIFEST_DIR")).join("data/mnist"))?;
    let train = train.select(&(0..10_000).collect::<Vec<u32>>());
    let mut model = Sequential::new(784).linear(64).relu().linear(10).build(0)?;
    let trainer = Trainer::new(Adam::new(1e-3)).epochs(50);
    let mut state = TrainState::new(&model, trainer.optimizer());
    let mut keep_best = KeepBest { best: None, epochs_without_gain: 0, worst_batch: 0.0 };
    trainer.fit_from(&mut model, &mut state, &train, &test, &mut keep_best)?;
    let (_, best) = keep_best.best.expect("an epoch was trained");
    println!("kept: {:.2} % of the test images", 100.0 * flatnet::evaluate(&best, &test, 100, 1)?.accuracy);
    Ok(())
}
