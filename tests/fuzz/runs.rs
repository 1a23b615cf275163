//! Folders of runs of which a file is damaged: what is read has figures that follow from its rows, and makes a page.

use std::fs;
use std::ops::ControlFlow;

use flatnet::data::Dataset;
use flatnet::nn::Sequential;
use flatnet::optim::Sgd;
use flatnet::report;
use flatnet::run::{self, DataSummary, Ended, Environment, Recipe, Summary, csv};
use flatnet::train::{EpochEnd, History, TrainState, Trainer};
use serde_json::json;

use crate::mutate::Random;
use crate::{one_line, try_all};

const NAMES: [&str; 3] = ["summary.json", "epochs.csv", "batches.csv"];
const EPOCHS: usize = 3;

fn trained() -> (Sequential, History) {
    let set = |rows: usize| {
        let pixels = (0..rows * 4).map(|i| (i * 37 % 251) as u8).collect();
        let labels = (0..rows).map(|row| (row % 3) as u8).collect();
        Dataset::images(pixels, labels, (2, 2), 3, "made up".into()).unwrap()
    };
    let mut model = Sequential::new(4).linear(5).relu().linear(3).build(1).unwrap();
    let trainer = Trainer::new(Sgd::new(0.1)).epochs(EPOCHS).batch_size(4).threads(1);
    let mut state = TrainState::new(&model, trainer.optimizer());
    let mut go_on = |_: &mut EpochEnd<'_>| ControlFlow::Continue(());
    trainer.fit_from(&mut model, &mut state, &set(10), &set(7), &mut go_on).unwrap();
    (model, state.history)
}

fn originals(model: &Sequential, history: &History) -> [String; 3] {
    let recipe: Recipe = serde_json::from_value(json!({
        "data": "made up", "train_samples": 10, "val_samples": 7, "epochs": EPOCHS, "batch_size": 4, "lr": 0.1,
        "seed": 1, "shuffle": "never", "layers": "linear:5,relu,linear:3", "init": "kaiming-uniform",
        "relu_grad": "exact", "scale": "unit", "threads": 1, "simd": "auto", "kernel": "auto", "out": "runs/1",
        "overwrite": false, "json": false, "quiet": true,
    }))
    .unwrap();
    let data = serde_json::from_value(json!({
        "source": "made up", "train_samples": 10, "val_samples": 7, "features": 4, "classes": 3,
    }));
    let data: DataSummary = data.unwrap();
    let environment = Environment {
        load_seconds: 0.5,
        total_seconds: 9.5,
        threads: 1,
        simd: "avx2",
        kernel: "gemm",
        stopped: Ended::Epochs,
        best_epoch: None,
    };
    let summary = Summary::new(data, recipe, model, history, environment);
    let (mut epochs, mut batches) = (Vec::new(), Vec::new());
    csv::write_epochs(&mut epochs, history).unwrap();
    let mut rows = csv::Batches::new(&mut batches).unwrap();
    let (train, val) = (history.train_batches.chunks(3), history.val_batches.chunks(2));
    for (epoch, (train, val)) in (1..).zip(train.zip(val)) {
        rows.add(epoch, train, val).unwrap();
    }
    drop(rows);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    [serde_json::to_string_pretty(&summary).unwrap(), text(epochs), text(batches)]
}

fn make(originals: &[String; 3], random: &mut Random) -> [Vec<u8>; 3] {
    let mut files = originals.clone().map(String::into_bytes);
    let at = random.below(3);
    files[at] = match random.below(3) {
        0 => random.changed(&files[at], &[]),
        _ => random.changed_numbers(&originals[at]).into_bytes(),
    };
    files
}

#[track_caller]
fn close(one: f64, other: f64) {
    assert!((one - other).abs() <= 1e-5 * one.abs().max(other.abs()) + 1e-37, "{one}, {other}");
}

/// Worked out once more, row by row.
fn check(summary: &Summary, history: &History) {
    assert_eq!(history.epochs.len(), summary.epochs);
    for (samples, batches) in
        [(summary.data.train_samples, &history.train_batches), (summary.data.val_samples, &history.val_batches)]
    {
        if summary.epochs == 0 {
            continue;
        }
        for (index, batches) in batches.chunks(batches.len() / summary.epochs).enumerate() {
            let epoch = history.epochs[index];
            let training = std::ptr::eq(batches.as_ptr(), &raw const history.train_batches[index * batches.len()]);
            let figures = match training {
                true => (epoch.train_loss, epoch.train_accuracy),
                false => (epoch.val_loss, epoch.val_accuracy),
            };
            let loss: f64 = batches.iter().map(|batch| f64::from(batch.loss()) * f64::from(batch.samples)).sum();
            let correct: u32 = batches.iter().map(|batch| batch.correct).sum();
            if summary.recipe.class_weights.is_none() {
                close(figures.0, loss / samples as f64);
            }
            close(figures.1, f64::from(correct) / samples as f64);
        }
    }
    let best = history.epochs.iter().map(|epoch| epoch.val_loss).reduce(f64::min);
    assert_eq!(summary.best.map(|best| best.val_loss), best);
    assert_eq!(summary.last.map(|last| last.val_accuracy), history.epochs.last().map(|epoch| epoch.val_accuracy));
    close(summary.seconds.train, history.epochs.iter().map(|epoch| epoch.train_seconds).sum());
    let seconds = summary.seconds;
    assert!([seconds.load, seconds.train, seconds.validate, seconds.total].iter().all(|seconds| *seconds >= 0.0));
}

#[test]
fn run_folders() {
    let (model, history) = trained();
    let originals = originals(&model, &history);
    let folder = tempfile::tempdir().unwrap();
    let write = |files: &[Vec<u8>; 3]| {
        NAMES.iter().zip(files).for_each(|(name, bytes)| fs::write(folder.path().join(name), bytes).unwrap());
    };
    write(&originals.clone().map(String::into_bytes));
    let (summary, read) = run::read(folder.path()).unwrap();
    check(&summary, &read);
    try_all(
        "run",
        |random| make(&originals, random),
        |files| {
            write(files);
            match run::read(folder.path()) {
                Ok((summary, history)) => {
                    check(&summary, &history);
                    let findings = &Err("no images".into());
                    let (name, image_size) = ("run", (2, 2));
                    let (summary, history, model) = (&summary, &history, &model);
                    let run = report::Run { name, summary, history, model, image_size, findings };
                    report::write(folder.path(), &run).unwrap();
                    let page = fs::read_to_string(folder.path().join("report.html")).unwrap();
                    let figures = page.split("<figure").skip(1).map(|figure| figure.split("</figure>").next().unwrap());
                    for figure in figures {
                        assert!(!figure.contains("NaN") && !figure.contains(">inf"), "{figure}");
                    }
                }
                Err(error) => one_line(&error),
            }
            0
        },
    );
}
