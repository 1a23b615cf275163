//! The reference's training loop, written out: `cargo run --release --example by_hand [EPOCHS]`.
//!
//! `flatnet::train::Trainer` runs the same layers, validates after each epoch, and uses all threads.

use std::path::Path;

use flatnet::data::{Batch, Loader, Scale, Shuffle, load_mnist_folder};
use flatnet::nn::{Activations, Init, ReluGrad, Sequential, SoftmaxCrossEntropy};
use flatnet::optim::Sgd;
use flatnet::rng::{Stream, sample_without_replacement, stream};

fn main() -> flatnet::Result<()> {
    let epochs = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(20);
    let (train, test) = load_mnist_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("data/mnist"))?;
    let train = train.select(&sample_without_replacement(&mut stream(0, Stream::TrainSample), train.len(), 30_000));

    let mut model = Sequential::new(784, &"linear:10,relu".parse()?, Init::UnitNorm, ReluGrad::StraightThrough, 0)?;
    let mut criterion = SoftmaxCrossEntropy::new(10);
    let optimizer = Sgd::new(0.01)?;
    let loader = Loader::new(&train, Scale::Unit, 32, Shuffle::Never, 0)?;
    let mut activations = Activations::default();
    let mut x = Batch::new();

    for epoch in 1..=epochs {
        let mut loss_sum = 0.0;
        for batch in 0..loader.batches() {
            loader.load(batch, &mut x);
            let logits = model.forward(&x, &mut activations);
            loss_sum += criterion.forward(logits, x.labels());
            model.zero_grad();
            model.backward(&x, criterion.backward(), &mut activations);
            optimizer.step(&mut model);
        }
        println!("epoch {epoch:>3}: mean training loss {:.4}", loss_sum / loader.batches() as f32);
    }

    let evaluation = flatnet::train::evaluate(&model, &test, Scale::Unit, 32, 1)?;
    println!("{} of {} test images right", evaluation.correct, evaluation.samples);
    Ok(())
}
