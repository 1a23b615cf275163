//! `flatnet bench` as a user types it: the contract of its JSON, figures that can be true, and a table with the same rows.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use flatnet::kernels::gemm::{Matrix, gemm};
use flatnet::kernels::{SimdLevel, fma_peak_gflops};
use serde_json::Value;

use crate::common::{flatnet, keys, stderr, stdout};

/// Networks, optimizers, batch sizes, and kernels; each with every number of threads.
const CASES: [(&str, &str, u64, &[&str]); 8] = [
    ("784-10", "sgd", 1, &["narrow", "gemm"]),
    ("784-10", "sgd", 8, &["narrow", "gemm"]),
    ("784-10", "sgd", 32, &["narrow", "gemm"]),
    ("784-10", "sgd", 128, &["narrow", "gemm"]),
    ("784-10", "sgd", 1024, &["narrow", "gemm"]),
    ("784-128-10", "sgd", 32, &["narrow+wide", "gemm"]),
    ("784-512-256-10", "sgd", 32, &["narrow+wide", "gemm"]),
    ("784-128-10", "adam", 32, &["narrow+wide"]),
];

fn bench(cwd: &Path, words: &[&str]) -> std::process::Output {
    flatnet(cwd).arg("bench").args(words).output().unwrap()
}

fn cores() -> u64 {
    std::thread::available_parallelism().unwrap().get() as u64
}

/// 1, 2, 4, ... below the cores, and the cores.
fn threads() -> Vec<u64> {
    let mut threads = vec![1];
    while threads[threads.len() - 1] * 2 < cores() {
        threads.push(threads[threads.len() - 1] * 2);
    }
    threads.push(cores());
    threads.dedup();
    threads
}

/// What must hold of a row: how its figures hang together, and what no machine can exceed.
fn row_fault(row: &Value) -> Option<String> {
    let number = |key: &str| row[key].as_f64().unwrap_or(f64::NAN);
    let (us, per_second, share) = (number("us_per_batch"), number("batches_per_second"), number("share_of_peak"));
    let consistent = (us * per_second - 1e6).abs() <= 1e-3;
    // Some of the counted operations are skipped: in MNIST, 81 % of the pixels are zero.
    let possible = share > 0.0 && share <= 1.0 / 0.19;
    // A batch takes more than a clock can miss and less than the whole measurement.
    let plausible = us > 0.01 && us < 2e7;
    (!(consistent && possible && plausible)).then(|| row.to_string())
}

#[test]
fn the_json_keeps_the_contract_with_figures_that_can_be_true() {
    let cwd = tempfile::tempdir().unwrap();
    let output = bench(cwd.path(), &["--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stderr(&output), "", "progress is for terminals");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();

    assert_eq!(keys(&report), ["cores", "cpu", "data", "evaluation", "fma_peak_gflops", "rows", "simd"]);
    assert_eq!(report["cores"], cores());
    assert_eq!(report["simd"], SimdLevel::detect().name());
    assert!(!report["cpu"].as_str().unwrap().is_empty());
    assert!(report["data"].as_str().unwrap().ends_with("data/mnist"), "{}", report["data"]);
    let peak = report["fma_peak_gflops"].as_f64().unwrap();
    assert!(peak > 0.1 && peak < 2000.0, "{peak}");

    let rows = report["rows"].as_array().unwrap();
    let mut expected = Vec::new();
    for (net, optimizer, batch_size, kernels) in CASES {
        for kernel in kernels {
            expected.extend(threads().iter().map(|threads| (net, optimizer, batch_size, *kernel, *threads)));
        }
    }
    let found: Vec<_> = (rows.iter())
        .map(|row| {
            let word = |key: &str| row[key].as_str().unwrap();
            let number = |key: &str| row[key].as_u64().unwrap();
            (word("net"), word("optimizer"), number("batch_size"), word("kernel"), number("threads"))
        })
        .collect();
    assert_eq!(found, expected);
    for row in rows {
        assert_eq!(
            keys(row),
            [
                "batch_size",
                "batches_per_second",
                "kernel",
                "net",
                "optimizer",
                "share_of_peak",
                "shared",
                "threads",
                "us_per_batch"
            ]
        );
        assert_eq!(row_fault(row), None);
    }
    // What a share is a share of: operations of the 784-10 step, the measured peak, and the cores that its threads have.
    for row in rows.iter().filter(|row| row["net"] == "784-10") {
        let number = |key: &str| row[key].as_f64().unwrap();
        let flops = 4.0 * 784.0 * 10.0 * number("batch_size");
        let cores_used = number("threads").min(cores() as f64);
        let share = flops * number("batches_per_second") / (1e9 * peak * cores_used);
        assert!((share / number("share_of_peak") - 1.0).abs() < 1e-9, "{row}");
    }
    // Ten times as many products cannot be free, whatever else runs here.
    let us = |net: &str| {
        rows.iter().find(|row| row["net"] == net && row["batch_size"] == 32).unwrap()["us_per_batch"].as_f64()
    };
    assert!(us("784-512-256-10") > us("784-10"), "{rows:?}");

    let evaluation = report["evaluation"].as_array().unwrap();
    let found: Vec<u64> = evaluation.iter().map(|row| row["threads"].as_u64().unwrap()).collect();
    assert_eq!(found, threads().into_iter().filter(|threads| *threads <= cores()).collect::<Vec<_>>());
    for row in evaluation {
        assert_eq!(keys(row), ["images", "ms", "net", "threads"]);
        assert_eq!((&row["net"], &row["images"]), (&"784-10".into(), &10_000.into()));
        let ms = row["ms"].as_f64().unwrap();
        assert!(ms > 0.001 && ms < 10_000.0, "{ms}");
    }
}

#[test]
fn the_table_has_a_line_for_each_row_and_fits_80_columns() {
    let cwd = tempfile::tempdir().unwrap();
    let output = bench(cwd.path(), &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let lines: Vec<&str> = stdout(&output).lines().collect();
    assert!(lines[0].starts_with("Images: ") && lines[0].contains("data/mnist"), "{}", lines[0]);
    assert!(lines.iter().any(|line| line.contains("GFLOP/s") && line.contains(SimdLevel::detect().name())));
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:#?}");
    let mut rows = 0;
    for (net, optimizer, batch_size, kernels) in CASES {
        let name = if optimizer == "adam" { format!("{net} Adam") } else { net.into() };
        for kernel in kernels {
            for threads in threads() {
                let start = format!("{name} {batch_size} {kernel} {threads} ");
                let words = |line: &str| line.split_whitespace().fold(String::new(), |words, word| words + word + " ");
                let of_row = |line: &&&str| words(line).starts_with(&start);
                assert_eq!(lines.iter().filter(of_row).count(), 1, "{start:?} in {lines:#?}");
                rows += 1;
            }
        }
    }
    assert_eq!(lines.iter().filter(|line| line.starts_with("784-")).count(), rows);
    assert!(lines.iter().any(|line| line.contains("1 thread: ") && line.ends_with(" ms")), "{lines:#?}");
}

#[test]
fn help_has_an_example_and_wrong_usage_is_refused() {
    let cwd = tempfile::tempdir().unwrap();
    let output = bench(cwd.path(), &["--help"]);
    assert!(output.status.success());
    for part in ["--json", "flatnet bench --json > bench.json", "20 seconds"] {
        assert!(stdout(&output).contains(part), "{part} is missing");
    }
    assert!(stdout(&output).lines().all(|line| line.chars().count() <= 80), "{}", stdout(&output));
    let output = bench(cwd.path(), &["--epochs", "3"]);
    assert_eq!((output.status.code(), stderr(&output).lines().count()), (Some(2), 1));
}

/// A loop that was optimized away would be infinitely fast; one that waits for its own results, slower than a product.
#[test]
fn the_peak_is_one_that_a_core_can_have_and_no_kernel_exceeds() {
    for level in SimdLevel::all() {
        let peak = fma_peak_gflops(level);
        // Two 512-bit multiply-adds per cycle at 10 GHz would be 640.
        assert!(peak > 0.01 && peak < 640.0, "{}: {peak}", level.name());
    }
    // matrixmultiply has vectors where flatnet's levels lack the fused multiply-add.
    if SimdLevel::detect().name() != "fallback" {
        let (peak, product) = (fma_peak_gflops(SimdLevel::detect()), gemm_gflops());
        assert!(product < 1.05 * peak, "a product runs at {product} GFLOP/s, the peak is {peak}");
        assert!(product > 0.1 * peak, "a product runs at {product} GFLOP/s, the peak is {peak}");
    }
}

/// The best of many products of two matrices that stay in the cache.
fn gemm_gflops() -> f64 {
    const SIZE: usize = 256;
    let (a, b, mut c) = (vec![0.5; SIZE * SIZE], vec![0.25; SIZE * SIZE], vec![0.0; SIZE * SIZE]);
    let matrix = |values| Matrix::row_major(values, SIZE, SIZE);
    let seconds = (0..100).map(|_| {
        let started = Instant::now();
        gemm(matrix(&a), matrix(&b), black_box(&mut c));
        started.elapsed().as_secs_f64()
    });
    let flops = 2.0 * (SIZE * SIZE * SIZE) as f64;
    flops / seconds.fold(f64::INFINITY, f64::min) / 1e9
}

#[test]
fn the_checks_of_a_row_can_fail() {
    let row = |us: f64, per_second: f64, share: f64| serde_json::json!({ "us_per_batch": us, "batches_per_second": per_second, "share_of_peak": share });
    assert_eq!(row_fault(&row(10.0, 1e5, 0.5)), None);
    for wrong in
        [row(10.0, 1e4, 0.5), row(10.0, 1e5, 0.0), row(10.0, 1e5, 5.5), row(0.0, 1e5, 0.5), row(f64::NAN, 1e5, 0.5)]
    {
        assert!(row_fault(&wrong).is_some(), "{wrong}");
    }
    assert!(row_fault(&serde_json::json!({})).is_some());
}
