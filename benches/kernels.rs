//! Time of the kernels alone: the linear layer's two passes and the softmax, in samples per second.
//! `cargo bench --bench kernels`, or by name: `cargo bench -- linear_forward/32x784x10`. How to measure: `NOTES.md`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use flatnet::data::Targets;
use flatnet::kernels::{SimdLevel, reference};
use flatnet::loss::{Criterion as Loss, CrossEntropy};
use flatnet::nn::{Context, Sequential, Workspace};
use flatnet::rng::{Stream, stream, uniform};

/// Samples, inputs, outputs: the recipe's step, a hidden layer's, and a batch as evaluation might take it.
const SHAPES: [(usize, usize, usize); 3] = [(32, 784, 10), (32, 784, 128), (1024, 784, 10)];

/// Uniform in -1 to 1.
fn random(len: usize, seed: u64) -> Vec<f32> {
    let mut values = vec![0.0; len];
    uniform(&mut stream(seed, Stream::Init), -1.0, 1.0, &mut values);
    values
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

/// A fast kernel that is wrong is not worth a measurement. 1e-2 is far above the rounding of these sums (of at most 1024
/// products below 1), and far below what a wrong index does to them.
fn assert_near(what: &str, found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let worst = found.iter().zip(expected).map(|(found, expected)| (f64::from(*found) - expected).abs());
    let worst = worst.fold(0.0, |worst: f64, error| if error <= worst { worst } else { error });
    assert!(worst < 1e-2, "{what} is off by {worst}: the benchmark would measure a wrong kernel");
}

fn linear(criterion: &mut Criterion) {
    for (m, k, n) in SHAPES {
        let (x, weight, bias, dz) = (random(m * k, 1), random(n * k, 2), random(n, 3), random(m * n, 4));
        let mut model = Sequential::new(k).linear(n).build(0).expect("shapes that fit");
        model.set_parameter("0.weight", &weight).expect("a weight");
        model.set_parameter("0.bias", &bias).expect("a bias");
        let (context, mut workspace) = (Context::train(0), Workspace::new());
        let z = model.forward(&x, &context, &mut workspace);
        let mut expected = vec![0.0; m * n];
        reference::linear_forward(&wide(&x), &wide(&weight), &wide(&bias), &mut expected);
        assert_near("the forward pass", z, &expected);
        model.backward(&x, &dz, &context, &mut workspace);
        let (mut dw, mut db) = (vec![0.0; n * k], vec![0.0; n]);
        reference::linear_backward_parameters(&wide(&x), &wide(&dz), &mut dw, &mut db);
        let found = model.parameter("0.weight").and_then(|weight| weight.gradient()).expect("a gradient");
        assert_near("dW", &found, &dw);

        let id = format!("{m}x{k}x{n}");
        let mut group = criterion.benchmark_group("linear_forward");
        group.throughput(Throughput::Elements(m as u64));
        group.bench_function(BenchmarkId::from_parameter(&id), |bencher| {
            bencher.iter(|| black_box(model.forward(black_box(&x), &context, &mut workspace)).len());
        });
        group.finish();
        // dW and db, as the first layer of a network needs them.
        let mut group = criterion.benchmark_group("linear_backward");
        group.throughput(Throughput::Elements(m as u64));
        group.bench_function(BenchmarkId::from_parameter(&id), |bencher| {
            bencher.iter(|| {
                model.zero_grad();
                model.backward(black_box(&x), black_box(&dz), &context, &mut workspace);
            });
        });
        group.finish();
    }
}

/// Forward (probabilities, losses, predictions) and backward (logit gradients) of one batch.
fn softmax(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("softmax");
    for m in [32, 1024] {
        let classes = 10;
        let logits = random(m * classes, 5);
        let labels: Vec<u32> = (0..m).map(|row| (row % classes) as u32).collect();
        let one_hot = |row: usize| (0..classes).map(move |class| f64::from(u8::from(class == row % classes)));
        let targets: Vec<f64> = (0..m).flat_map(one_hot).collect();
        let (simd, mut loss) = (SimdLevel::detect(), Loss::new(CrossEntropy::new(), classes));
        loss.forward(simd, &logits, Targets::Classes(&labels), None);
        let (mut probabilities, mut cross_entropy) = (vec![0.0; m * classes], vec![0.0; m]);
        reference::softmax_cross_entropy_forward(
            &wide(&logits),
            &targets,
            classes,
            &mut probabilities,
            &mut cross_entropy,
        );
        assert_near("the probabilities", loss.probabilities(), &probabilities);
        assert_near("the losses", loss.losses(), &cross_entropy);

        group.throughput(Throughput::Elements(m as u64));
        group.bench_function(BenchmarkId::from_parameter(format!("{m}x{classes}")), |bencher| {
            bencher.iter(|| {
                black_box(loss.forward(simd, black_box(&logits), Targets::Classes(black_box(&labels)), None));
                black_box(loss.backward());
            });
        });
    }
    group.finish();
}

criterion_group!(benches, linear, softmax);
criterion_main!(benches);
