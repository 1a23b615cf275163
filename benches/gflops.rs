//! How near the kernels come to what a core can do: GFLOP/s and share of the multiply-add peak, measured in the same run, on
//! one core. `cargo bench --bench gflops`, or with a part of a kernel's name: `cargo bench --bench gflops -- narrow`.
//! Kernels take turns, round by round, so that what disturbs the machine disturbs all. How to measure: `NOTES.md`.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use flatnet::data::{Batch, Dataset, Loader, Shuffle, Split, load_split};
use flatnet::kernels::compressed::Compressed;
use flatnet::kernels::gemm::{Matrix, gemm};
use flatnet::kernels::softmax::{SoftmaxOutput, softmax_cross_entropy_backward, softmax_cross_entropy_forward};
use flatnet::kernels::sparse::words_per_row;
use flatnet::kernels::{AlignedVec, LANES, Output, Rows, SimdLevel, SparseRows, fma_peak_gflops, narrow, panels, wide};
use flatnet::rng::{Stream, stream, uniform};

const ROUNDS: usize = 21;
/// What a kernel gets in a round.
const SLICE: Duration = Duration::from_millis(5);
const FEATURES: usize = 784;
const CLASSES: usize = 10;
const HIDDEN: [usize; 3] = [64, 128, 512];

/// A kernel on fixed operands, and how much it does.
struct Kernel<'a> {
    name: String,
    work: Work,
    call: Box<dyn FnMut() + 'a>,
    /// Seconds per call, one for each round.
    seconds: Vec<f64>,
}

/// In a call.
#[derive(Clone, Copy)]
enum Work {
    /// Floating-point operations, nominal: those on skipped zeros count.
    Flops(f64),
    Rows(f64),
}

impl Kernel<'_> {
    fn measure(&mut self) {
        let (started, mut calls) = (Instant::now(), 0);
        while started.elapsed() < SLICE {
            // Enough for the clock not to count, few enough not to overrun a slice by much.
            for _ in 0..8 {
                (self.call)();
            }
            calls += 8;
        }
        self.seconds.push(started.elapsed().as_secs_f64() / f64::from(calls));
    }

    fn median_seconds(&mut self) -> f64 {
        self.seconds.sort_by(f64::total_cmp);
        self.seconds[self.seconds.len() / 2]
    }
}

/// Uniform in -1 to 1.
fn random(len: usize, seed: u64) -> AlignedVec {
    let mut values = AlignedVec::zeros(len);
    uniform(&mut stream(seed, Stream::Init), -1.0, 1.0, &mut values);
    values
}

/// What a ReLU leaves of them: negative numbers become 0.
fn rectified(values: &[f32]) -> AlignedVec {
    let mut kept = AlignedVec::zeros(values.len());
    kept.iter_mut().zip(values).for_each(|(kept, value)| *kept = value.max(0.0));
    kept
}

/// The share of the numbers of `x` that are not zero.
fn share_not_zero(x: Rows<'_>) -> f64 {
    let not_zero = |values: &[f32]| values.iter().filter(|value| **value != 0.0).count() as f64;
    match x {
        Rows::Dense(values) => not_zero(values) / values.len() as f64,
        Rows::Sparse(rows) => not_zero(rows.blocks.as_flattened()) / (x.samples(rows.width) * rows.width) as f64,
        Rows::Bits(_) | Rows::Few(_) => panic!("measured here are dense rows and images"),
    }
}

/// Rows that a kernel goes through, batch by batch: so many that no branch predictor learns their blocks of zeros by heart,
/// and few enough for a second-level cache, where the trainer leaves a batch.
const BATCH_ROWS: usize = 256;

/// The first `m` test images of MNIST, as the trainer hands them to a network.
fn mnist_batch(set: &Dataset, m: usize) -> Batch {
    let mut batch = Batch::new();
    let loader = Loader::new(set, m, Shuffle::Never, 0).expect("a batch size");
    loader.load(0, SimdLevel::detect(), &mut batch);
    batch
}

/// Calls that give the batches of `m` rows of `x` in turn.
fn in_turn<'a>(x: Rows<'a>, m: usize) -> impl FnMut() -> Rows<'a> {
    let words = words_per_row(FEATURES);
    let batches = (0..x.samples(FEATURES) / m).map(|index| match x {
        Rows::Dense(values) => Rows::Dense(&values[index * m * FEATURES..][..m * FEATURES]),
        Rows::Sparse(rows) => Rows::Sparse(SparseRows {
            mask: &rows.mask[index * m * words..][..m * words],
            starts: &rows.starts[index * m..=(index + 1) * m],
            ..rows
        }),
        Rows::Bits(_) | Rows::Few(_) => panic!("measured here are dense rows and images"),
    });
    let batches: Vec<Rows<'_>> = batches.collect();
    let mut next = 0;
    move || {
        next = (next + 1) % batches.len();
        black_box(batches[next])
    }
}

/// The narrow kernels on batches of `m` rows of `x`, which `what` describes.
fn narrow_kernels<'a>(level: SimdLevel, what: &str, x: Rows<'a>, m: usize) -> [Kernel<'a>; 2] {
    let (w, dz) = (random(CLASSES * FEATURES, 2), random(m * CLASSES, 3));
    let (mut z, mut dw) = (AlignedVec::zeros(m * CLASSES), AlignedVec::zeros(CLASSES * FEATURES));
    let (mut x_forward, mut x_backward) = (in_turn(x, m), in_turn(x, m));
    let work = Work::Flops(2.0 * (m * FEATURES * CLASSES) as f64);
    let shape = format!("{m}x{FEATURES}x{CLASSES}, {what}");
    let forward = move || {
        narrow::forward(level, x_forward(), black_box(&w), CLASSES, 0..FEATURES, &mut z);
        black_box(&z);
    };
    let backward = move || {
        narrow::backward_weight(level, x_backward(), black_box(&dz), CLASSES, Output::Overwrite, &mut dw);
        black_box(&dw);
    };
    [
        Kernel { name: format!("narrow forward {shape}"), work, call: Box::new(forward), seconds: Vec::new() },
        Kernel { name: format!("narrow backward_weight {shape}"), work, call: Box::new(backward), seconds: Vec::new() },
    ]
}

/// The kernels for many outputs, on batches of `m` rows of `x`; what they leave out does not count.
fn wide_kernels<'a>(level: SimdLevel, what: &str, x: Rows<'a>, m: usize, n: usize) -> [Kernel<'a>; 2] {
    let (w, dz) = (random(panels::len(n, FEATURES), 2), random(m * n, 3));
    let (mut z, mut dw) = (AlignedVec::zeros(m * n), AlignedVec::zeros(panels::len(n, FEATURES)));
    // As the trainer does: compressed with its columns before the forward pass; bits transposed before the backward one.
    let (mut x_forward, mut x_backward) = (in_turn(x, m), in_turn(x, m));
    let (mut forward_room, mut backward_room) = (Compressed::default(), Compressed::default());
    let work = Work::Flops(2.0 * (m * FEATURES * n) as f64 * share_not_zero(x));
    let shape = format!("{m}x{FEATURES}x{n}, {what}, {}", level.name());
    let forward = move || {
        let x = x_forward();
        forward_room.fill_with_columns(level, x, FEATURES);
        wide::forward(level, forward_room.rows(x), black_box(&w), n, 0..FEATURES, &mut z);
        black_box(&z);
    };
    let backward = move || {
        let x = x_backward();
        backward_room.fill_with_columns(level, x, FEATURES);
        backward_room.transpose(level);
        wide::backward_weight(level, backward_room.rows(x), black_box(&dz), n, Output::Descend { lr: 1e-9 }, &mut dw);
        black_box(&dw);
    };
    [
        Kernel { name: format!("wide forward {shape}"), work, call: Box::new(forward), seconds: Vec::new() },
        Kernel { name: format!("wide backward_weight {shape}"), work, call: Box::new(backward), seconds: Vec::new() },
    ]
}

/// matrixmultiply on the hidden layer: forward, and the gradient of its weights.
fn gemm_kernels(m: usize, n: usize) -> [Kernel<'static>; 2] {
    let (x, w, dz) = (random(m * FEATURES, 1), random(n * FEATURES, 2), random(m * n, 3));
    let (mut z, mut dw) = (AlignedVec::zeros(m * n), AlignedVec::zeros(n * FEATURES));
    let work = Work::Flops(2.0 * (m * FEATURES * n) as f64);
    let shape = format!("{m}x{FEATURES}x{n}");
    let inputs = x.clone();
    let forward = move || {
        let x = Matrix::row_major(black_box(&inputs), m, FEATURES);
        let w = Matrix::row_major(black_box(&w), n, FEATURES);
        gemm(x, w.transposed(), &mut z);
        black_box(&z);
    };
    let backward = move || {
        let x = Matrix::row_major(black_box(&x), m, FEATURES);
        let dz = Matrix::row_major(black_box(&dz), m, n);
        gemm(dz.transposed(), x, &mut dw);
        black_box(&dw);
    };
    [
        Kernel { name: format!("gemm forward {shape}"), work, call: Box::new(forward), seconds: Vec::new() },
        Kernel { name: format!("gemm backward_weight {shape}"), work, call: Box::new(backward), seconds: Vec::new() },
    ]
}

/// Probabilities, losses and predictions, then the gradient with respect to the logits.
fn softmax_kernel(level: SimdLevel, m: usize) -> Kernel<'static> {
    let logits = random(m * CLASSES, 5);
    let labels: Vec<u32> = (0..m).map(|row| (row % CLASSES) as u32).collect();
    let (mut probabilities, mut dz) = (AlignedVec::zeros(m * CLASSES), AlignedVec::zeros(m * CLASSES));
    let (mut cross_entropy, mut predictions, mut scratch) = (vec![0.0; m], vec![0; m], vec![[0.0; LANES]; CLASSES]);
    let call = move || {
        let output = SoftmaxOutput {
            probabilities: &mut probabilities,
            cross_entropy: &mut cross_entropy,
            predictions: &mut predictions,
        };
        softmax_cross_entropy_forward(level, black_box(&logits), black_box(&labels), &mut scratch, output);
        softmax_cross_entropy_backward(level, &probabilities, &labels, m as f32, &mut dz);
        black_box((&dz, &cross_entropy, &predictions));
    };
    let name = format!("softmax both ways {m}x{CLASSES}");
    Kernel { name, work: Work::Rows(m as f64), call: Box::new(call), seconds: Vec::new() }
}

fn main() {
    // `cargo bench` says `--bench`; without it, as under `cargo test --benches`, a single round shows that all runs.
    let words: Vec<String> = std::env::args().skip(1).collect();
    let rounds = if words.iter().any(|word| word == "--bench") { ROUNDS } else { 1 };
    let filters: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();

    let level = SimdLevel::detect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/mnist");
    let images = load_split(&folder, Split::Test).expect("data/mnist, which stands beside this crate's sources");
    let sizes = [32, 1024];
    let dense = sizes.map(|m| random(m.max(BATCH_ROWS) * FEATURES, 1));
    let sparse = sizes.map(|m| mnist_batch(&images, m.max(BATCH_ROWS)));

    let half = rectified(&dense[0]);

    let mut kernels = Vec::new();
    for (index, m) in sizes.into_iter().enumerate() {
        kernels.extend(narrow_kernels(level, "dense", Rows::Dense(&dense[index]), m));
        kernels.extend(narrow_kernels(level, "MNIST", sparse[index].rows(), m));
        for n in HIDDEN {
            kernels.extend(gemm_kernels(m, n));
        }
        kernels.push(softmax_kernel(level, m));
    }
    for level in SimdLevel::all() {
        for n in HIDDEN {
            kernels.extend(wide_kernels(level, "MNIST", sparse[0].rows(), 32, n));
            kernels.extend(wide_kernels(level, "half", Rows::Dense(&half), 32, n));
            kernels.extend(wide_kernels(level, "dense", Rows::Dense(&dense[0]), 32, n));
        }
    }
    kernels.retain(|kernel| filters.is_empty() || filters.iter().any(|filter| kernel.name.contains(*filter)));
    if kernels.is_empty() {
        return;
    }

    let mut peak: f64 = 0.0;
    for _ in 0..rounds {
        peak = peak.max(fma_peak_gflops(level));
        kernels.iter_mut().for_each(Kernel::measure);
    }

    println!("\n{}: FMA peak of one core {peak:.1} GFLOP/s; medians of {rounds} rounds", level.name());
    println!("MNIST, narrow: blocks of zeros are skipped, and count as if they were not; wide: zeros do not count\n");
    println!("{:<42}{:>10}{:>11}{:>9}", "kernel", "us", "GFLOP/s", "share");
    for kernel in &mut kernels {
        let seconds = kernel.median_seconds();
        let speed = match kernel.work {
            Work::Flops(flops) => {
                let gflops = flops / seconds / 1e9;
                format!("{gflops:>11.1}{:>7.0} %", 100.0 * gflops / peak)
            }
            Work::Rows(rows) => format!("{:>11.1} Mrows/s", rows / seconds / 1e6),
        };
        println!("{:<42}{:>10.2}{speed}", kernel.name, seconds * 1e6);
    }
}
