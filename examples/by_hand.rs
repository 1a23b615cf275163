//! The reference's training loop, written out: `cargo run --release --example by_hand [EPOCHS]`.
//!
//! `flatnet::Trainer` takes the same steps to the bit, validates after each epoch, and uses all threads.

use std::path::Path;

use flatnet::data::{Batch, Loader, Shuffle};
use flatnet::loss::{Criterion, CrossEntropy};
use flatnet::nn::{Context, Sequential, Workspace};
use flatnet::optim::{Optimizer, OptimizerState, Sgd};
use flatnet::rng::{Stream, sample_without_replacement, stream};

fn main() -> flatnet::Result<()> {
    let epochs = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(20);
    let (train, test) = flatnet::data::mnist(Path::new(env!("CARGO_MANIFEST_DIR")).join("data/mnist"))?;
    let train = train.select(&sample_without_replacement(&mut stream(0, Stream::TrainSample), train.len(), 30_000));

    let mut model = Sequential::new(784).linear(10).relu().build(0)?;
    println!("{model}");
    let mut criterion = Criterion::new(CrossEntropy::new(), 10);
    let optimizer = Sgd::new(0.01);
    let mut state = OptimizerState::of(&optimizer, &model);
    let loader = Loader::new(&train, 32, Shuffle::Never, 0)?;
    let context = Context::train(0);
    let (mut workspace, mut x) = (Workspace::new(), Batch::new());

    for epoch in 1..=epochs {
        let mut loss_sum = 0.0;
        for batch in 0..loader.batches() {
            loader.load(batch, context.simd, &mut x);
            let logits = model.forward(&x, &context, &mut workspace);
            criterion.forward(context.simd, logits, x.targets(), None);
            loss_sum += criterion.sums().loss;
            model.zero_grad();
            model.backward(&x, criterion.backward(), &context, &mut workspace);
            optimizer.step(&mut model, &mut state, &context);
        }
        println!("epoch {epoch:>3}: mean training loss {:.4}", loss_sum / train.len() as f64);
    }

    let evaluation = flatnet::evaluate(&model, &test, 32, 1)?;
    println!("{} of {} test images right", evaluation.correct, evaluation.samples);
    Ok(())
}
