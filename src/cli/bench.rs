//! `flatnet bench`: what training and evaluating cost on this machine, by network, batch size, kernel and threads. It knows
//! what to measure and for how long; every figure comes from a [`Trainer`] as users run it.

mod cases;
mod images;
mod machine;
mod report;

use std::time::{Duration, Instant};

use flatnet::Result;
use flatnet::kernels::{SimdLevel, fma_peak_gflops};
use flatnet::parallel;
use indicatif::{ProgressBar, ProgressStyle};

use self::cases::{Evaluating, Training};
use self::images::Images;
use self::machine::cpu_name;
use self::report::{EvaluationRow, Report, Row};
use super::args::{BenchArguments, default_data};
use super::{print, print_json};

/// Each figure is the median of so many rounds.
const ROUNDS: usize = 5;
/// After so long all rounds should be over; what is left of it is shared out among the measurements to come. An epoch has
/// a least length, so a slow or busy machine takes longer: there is time for that up to the promised 20 s.
const BUDGET: Duration = Duration::from_secs(15);
const BAR: &str = "{bar:20} {pos}/{len} {msg}  {eta} left";

pub fn run(arguments: &BenchArguments) -> Result<()> {
    let started = Instant::now();
    let level = SimdLevel::detect();
    let cores = parallel::available_cores();
    let images = Images::load(&default_data())?;
    let mut training = Training::all(&thread_counts(cores), &images)?;
    let mut evaluating = Evaluating::all(&thread_counts(cores))?;

    let bar = progress(ROUNDS * (training.len() + evaluating.len()));
    let mut peak: f64 = 0.0;
    for round in 0..ROUNDS {
        // Every round goes through all cases, so that a neighbour or a warmer processor does not hit one of them alone.
        peak = peak.max(fma_peak_gflops(level));
        let mut left = ((ROUNDS - round) * training.len()) as u32;
        for training in &mut training {
            bar.set_message(training.case.net);
            training.measure(&images, BUDGET.saturating_sub(started.elapsed()) / left)?;
            left -= 1;
            bar.inc(1);
        }
        for evaluating in &mut evaluating {
            bar.set_message("evaluation");
            evaluating.measure(&images)?;
            bar.inc(1);
        }
    }
    bar.finish_and_clear();

    let report = Report {
        cpu: cpu_name(),
        cores,
        simd: level.name(),
        fma_peak_gflops: peak,
        rows: training.iter().map(|training| row(training, peak)).collect(),
        data: images.source,
        evaluation: evaluating.iter().map(evaluation_row).collect(),
    };
    if arguments.json { print_json(&report) } else { print(&report.to_text(ROUNDS)) }
}

/// 1, 2, 4, ... below the cores, and the cores: more are never used.
fn thread_counts(cores: usize) -> Vec<usize> {
    let mut counts: Vec<usize> = (0..usize::BITS).map(|power| 1 << power).take_while(|count| *count < cores).collect();
    counts.push(cores);
    counts
}

/// On stderr, and only where that is a terminal.
fn progress(steps: usize) -> ProgressBar {
    let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(steps as u64).with_style(style)
}

fn row(training: &Training, peak_gflops: f64) -> Row {
    let (case, seconds) = (&training.case, median(&training.seconds_per_batch));
    let peak = peak_gflops * 1e9 * case.threads as f64;
    Row {
        net: case.net,
        optimizer: case.optimizer,
        batch_size: case.batch_size,
        kernel: case.kernel_name(),
        threads: case.threads,
        shared: median(&training.shared),
        us_per_batch: seconds * 1e6,
        batches_per_second: 1.0 / seconds,
        share_of_peak: case.flops() / seconds / peak,
    }
}

fn evaluation_row(evaluating: &Evaluating) -> EvaluationRow {
    let (case, seconds) = (&evaluating.case, median(&evaluating.seconds));
    EvaluationRow { net: case.net, images: images::TEST_IMAGES, threads: case.threads, ms: 1e3 * seconds }
}

/// The middle value of an odd number of them, the upper one of the two of an even number.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_double_up_to_the_cores() {
        for (cores, counts) in
            [(1, &[1][..]), (2, &[1, 2]), (3, &[1, 2, 3]), (6, &[1, 2, 4, 6]), (16, &[1, 2, 4, 8, 16])]
        {
            assert_eq!(thread_counts(cores), counts);
        }
    }

    #[test]
    fn a_median_is_not_moved_by_one_outlier() {
        assert_eq!(median(&[3.0, 1000.0, 1.0, 2.0, 2.5]), 2.5);
        assert!(median(&[]).is_nan());
    }
}
