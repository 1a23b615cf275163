//! What threads are worth: an epoch of 938 batches of 32 on 1, 2, 4, ... threads up to the cores and on twice as many, for
//! 784-10 and 784-128-10, with a table of the scaling at the end.
//! `cargo bench --bench threads`, or one network: `cargo bench --bench threads -- 784-128-10`. How to measure: `NOTES.md`.

use std::cell::RefCell;
use std::path::Path;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use flatnet::data::{Dataset, Shuffle, load_mnist_folder};
use flatnet::nn::{Init, ReluGrad, Sequential};
use flatnet::optim::Sgd;
use flatnet::parallel::available_cores;
use flatnet::train::Trainer;

const FEATURES: usize = 784;
const BATCH_SIZE: usize = 32;
const BATCHES: usize = 938;
const SAMPLES: u32 = 30_000;
const NETS: [(&str, &str); 2] = [("784-10", "linear:10,relu"), ("784-128-10", "linear:128,relu,linear:10")];

/// Training images, and a single one to validate on, which takes no time.
struct Sets {
    train: Dataset,
    val: Dataset,
}

impl Sets {
    fn load() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/mnist");
        let (train, test) = load_mnist_folder(&folder).expect("data/mnist, which stands beside this crate's sources");
        Sets { train: train.select(&(0..SAMPLES).collect::<Vec<u32>>()), val: test.select(&[0]) }
    }
}

/// 1, 2, 4, ... up to the cores, and twice as many.
fn thread_counts() -> Vec<usize> {
    let cores = available_cores();
    let mut counts: Vec<usize> = (0..usize::BITS).map(|power| 1 << power).take_while(|count| *count < cores).collect();
    counts.extend([cores, 2 * cores]);
    counts
}

/// Time in the training steps of `epochs` epochs, after one that warms up and lets the engine find out whether to share.
fn train(sets: &Sets, layers: &str, threads: usize, epochs: usize) -> Duration {
    let specs = layers.parse().expect("a layer list");
    let builder = Sequential::new(FEATURES).layers(&specs).init(Init::UnitNorm).relu_grad(ReluGrad::StraightThrough);
    let mut model = builder.build(0).expect("layers that fit");
    let trainer = Trainer::new(Sgd::new(0.01)).epochs(1 + epochs).batch_size(BATCH_SIZE).shuffle(Shuffle::Never);
    let history = trainer.threads(threads).fit(&mut model, &sets.train, &sets.val).expect("a run without fault");
    assert_eq!(history.train_batches.len(), BATCHES * (1 + epochs));
    let (first, last) = (history.epochs[0].train_loss, history.epochs[epochs].train_loss);
    assert!(last < first, "{layers} does not learn: losses {first}, then {last}");
    Duration::from_secs_f64(history.epochs[1..].iter().map(|epoch| epoch.train_seconds).sum())
}

/// What a network took with so many threads: seconds per epoch, one for each of criterion's samples.
struct Measured {
    net: &'static str,
    threads: usize,
    samples: Vec<f64>,
}

impl Measured {
    fn median(&self) -> f64 {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }
}

fn sweep(criterion: &mut Criterion, sets: &Sets) -> Vec<Measured> {
    let mut all = Vec::new();
    for (net, layers) in NETS {
        let mut group = criterion.benchmark_group(format!("threads/{net}"));
        group.throughput(Throughput::Elements(u64::from(SAMPLES)));
        group.sampling_mode(SamplingMode::Flat).sample_size(10);
        for threads in thread_counts() {
            let samples = RefCell::new(Vec::new());
            group.bench_function(BenchmarkId::from_parameter(threads), |bencher| {
                bencher.iter_custom(|epochs| {
                    let time = train(sets, layers, threads, epochs as usize);
                    samples.borrow_mut().push(time.as_secs_f64() / epochs as f64);
                    time
                });
            });
            let samples = samples.into_inner();
            // Left out by the filter of the command line.
            if !samples.is_empty() {
                all.push(Measured { net, threads, samples });
            }
        }
        group.finish();
    }
    all
}

fn print_scaling(all: &[Measured]) {
    if all.is_empty() {
        return;
    }
    println!("\nScaling on {} cores, medians; speed against 1 thread", available_cores());
    println!("{:<12}{:>9}{:>16}{:>14}{:>9}", "net", "threads", "us per batch", "batches/s", "speed");
    for measured in all {
        let seconds = measured.median() / BATCHES as f64;
        let alone = all.iter().find(|other| other.net == measured.net && other.threads == 1);
        let speed = alone.map_or("-".into(), |alone| format!("{:.2}", alone.median() / measured.median()));
        println!("{:<12}{:>9}{:>16.2}{:>14.0}{speed:>9}", measured.net, measured.threads, seconds * 1e6, 1.0 / seconds);
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let all = sweep(&mut criterion, &Sets::load());
    criterion.final_summary();
    print_scaling(&all);
}
