//! A run that is broken off and taken up again from its checkpoint comes to the bits of one that never ended: parameters,
//! optimizer slots, history, best epoch and the reason why it ended. Bits are compared; seconds are left out.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::LazyLock;

use flatnet::Sequential;
use flatnet::data::{Dataset, Scale, load_mnist_folder};
use flatnet::optim::{self, schedule};
use flatnet::run::{Checkpoint, DataSummary, Moment, Recipe, checkpoint};
use flatnet::train::{BatchEnd, Callback, EpochEnd, Sharing, Stopped, Thinning, TrainState, Trainer};
use serde_json::{Value, json};

const EPOCHS: usize = 4;
const BATCHES: usize = 5;

/// Four batches of 16 and one of 6.
static SETS: LazyLock<(Dataset, Dataset)> = LazyLock::new(|| {
    let (train, test) = load_mnist_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("data/mnist")).unwrap();
    let few = |set: Dataset, rows: u32| set.select(&(0..rows).collect::<Vec<_>>()).with_scale(Scale::Unit).unwrap();
    (few(train, 70), few(test, 40))
});

fn recipe(changes: &Value) -> Recipe {
    let mut recipe = json!({
        "data": "", "train_samples": "all", "val_samples": "all", "epochs": EPOCHS, "batch_size": 16, "lr": 0.01, "seed": 5,
        "shuffle": "never", "layers": "linear:12,relu,linear:10", "init": "kaiming-uniform", "relu_grad": "exact",
        "scale": "unit", "threads": 1, "simd": "auto", "kernel": "auto", "out": "", "overwrite": false, "json": false,
        "quiet": false
    });
    recipe.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    serde_json::from_value(recipe).unwrap()
}

fn data() -> DataSummary {
    serde_json::from_value(json!({
        "source": "made up", "train_samples": 70, "val_samples": 40, "features": 784, "classes": 10
    }))
    .unwrap()
}

/// Breaks once, after so many batches in all, or after an epoch; thins the history as the program does.
struct Break {
    after: usize,
    thinning: Thinning,
}

impl Callback for Break {
    fn after_batch(&mut self, end: &BatchEnd) -> ControlFlow<()> {
        let done = (end.epoch - 1) * BATCHES + end.batch + 1;
        // At the last batch of an epoch: once within it, once after it.
        if done == self.after { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn after_epoch(&mut self, end: &mut EpochEnd<'_>) -> ControlFlow<()> {
        self.thinning.after_epoch(&mut end.state.history, BATCHES, 3);
        if 1000 + end.epoch == self.after { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// All that a run may decide.
#[derive(Debug, PartialEq)]
struct Outcome {
    stopped: Stopped,
    parameters: Vec<Vec<u32>>,
    best: (Option<usize>, Vec<Vec<u32>>),
    slots: Vec<Vec<u32>>,
    steps: u64,
    records: Vec<(u64, u64, u32, u32)>,
    epochs: Vec<[u64; 4]>,
    merged: usize,
}

fn bits(model: &Sequential) -> Vec<Vec<u32>> {
    model.parameters().map(|tensor| tensor.values().iter().map(|value| value.to_bits()).collect()).collect()
}

fn outcome(stopped: Stopped, model: &Sequential, state: &TrainState, thinning: &Thinning) -> Outcome {
    let history = &state.history;
    let records = history.train_batches.iter().chain(&history.val_batches);
    Outcome {
        stopped,
        parameters: bits(model),
        best: (state.best.as_ref().map(|best| best.epoch), bits(&state.best_model(model))),
        slots: state.optimizer.slots.iter().map(|slot| slot.iter().map(|value| value.to_bits()).collect()).collect(),
        steps: state.optimizer.step,
        records: records.map(|r| (r.loss_sum.to_bits(), r.weight.to_bits(), r.correct, r.samples)).collect(),
        epochs: (history.epochs.iter())
            .map(|e| [e.train_loss, e.train_accuracy, e.val_loss, e.val_accuracy].map(f64::to_bits))
            .collect(),
        merged: thinning.merged(),
    }
}

fn trainer(recipe: &Recipe, threads: usize) -> Trainer {
    recipe.trainer().unwrap().threads(threads).sharing(Sharing::Always)
}

fn whole(recipe: &Recipe, thinning: &Thinning) -> Outcome {
    let mut model = recipe.network(784).unwrap();
    let trainer = trainer(recipe, 1);
    let mut state = TrainState::new(&model, trainer.optimizer());
    let mut never = Break { after: usize::MAX, thinning: thinning.clone() };
    let stopped = trainer.fit_from(&mut model, &mut state, &SETS.0, &SETS.1, &mut never).unwrap();
    outcome(stopped, &model, &state, &never.thinning)
}

/// Broken off at each of `breaks`, each time written to a file, and gone on with from that file by another number of threads.
fn in_pieces(recipe: &Recipe, thinning: &Thinning, breaks: &[usize], threads: [usize; 3]) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    let mut model = recipe.network(784).unwrap();
    let mut state = TrainState::new(&model, trainer(recipe, 1).optimizer());
    let mut thinning = thinning.clone();
    let rows = folder.path().join("batches.csv");
    std::fs::write(&rows, "rows").unwrap();
    for (after, threads) in breaks.iter().chain([&usize::MAX]).zip(threads.iter().cycle()) {
        let mut callback = Break { after: *after, thinning };
        let trainer = trainer(recipe, *threads);
        let stopped = trainer.fit_from(&mut model, &mut state, &SETS.0, &SETS.1, &mut callback).unwrap();
        if stopped != Stopped::Callback {
            return outcome(stopped, &model, &state, &callback.thinning);
        }
        let merged = callback.thinning.merged() > 1;
        let data = data();
        let moment = Moment {
            recipe,
            data: &data,
            model: &model,
            state: &state,
            thinning: &callback.thinning,
            rows: merged.then_some(&*rows),
        };
        checkpoint::write(&path, &moment).unwrap();
        // Nothing but the file goes on.
        let read: Checkpoint = checkpoint::read(&path).unwrap();
        assert_eq!((&read.recipe, &read.data), (recipe, &data));
        assert_eq!(read.rows, merged.then(|| b"rows".to_vec()));
        (model, state) = (read.model, read.state);
        thinning = callback.thinning;
        assert_eq!(read.thinning.merged(), thinning.merged());
    }
    unreachable!("the last piece ends by itself")
}

#[track_caller]
fn assert_same(pieces: &Outcome, whole: &Outcome, what: &str) {
    assert!(pieces.parameters == whole.parameters, "{what}: other parameters");
    assert!(pieces.slots == whole.slots, "{what}: other slots");
    assert!(pieces.records == whole.records, "{what}: other batches");
    assert!(pieces == whole, "{what}: another end, other steps, another best epoch or other epochs");
}

/// Within the first epoch, at the last batch of one and before its validation, after one, and twice within one.
const BREAKS: [usize; 6] = [2, 5, 1002, 12, 14, 1003];

#[test]
fn every_optimizer_and_schedule_goes_on_to_the_same_bits() {
    let thinning = Thinning::default();
    let (mut cases, mut different) = (0, Vec::new());
    for optimizer in optim::names() {
        for schedule in schedule::examples() {
            for layers in ["linear:12,relu,linear:10", "linear:24,gelu,dropout:0.3,linear:10"] {
                for shuffle in ["never", "epoch"] {
                    let changes = json!({ "optimizer": optimizer, "lr_schedule": schedule, "layers": layers, "shuffle": shuffle });
                    let recipe = recipe(&changes);
                    let whole = whole(&recipe, &thinning);
                    let threads = [[1, 2, 4], [2, 4, 1], [4, 1, 2]][cases % 3];
                    let pieces = in_pieces(&recipe, &thinning, &BREAKS, threads);
                    assert_same(&pieces, &whole, &changes.to_string());
                    cases += 1;
                    different.push(whole.parameters);
                }
            }
        }
    }
    assert_eq!(cases, optim::names().count() * schedule::examples().count() * 4);
    // Were all runs alike, this test would prove nothing.
    different.sort();
    different.dedup();
    assert!(different.len() > cases / 2, "{} of {cases}", different.len());
}

#[test]
fn settings_beside_the_optimizer_and_any_place_of_the_break_change_no_bit() {
    for changes in [
        json!({ "optimizer": "sgd", "optimizer_settings": { "momentum": 0.9, "nesterov": true }, "clip_norm": 0.5 }),
        json!({ "optimizer": "adam", "optimizer_settings": { "amsgrad": true }, "label_smoothing": 0.1 }),
        json!({ "optimizer": "rmsprop", "optimizer_settings": { "centered": true, "momentum": 0.5 }, "warmup_epochs": 2 }),
        json!({ "kernel": "gemm", "scale": "standard", "class_weights": [1, 2, 1, 1, 3, 1, 1, 1, 1, 0.5] }),
    ] {
        let recipe = recipe(&changes);
        let whole = whole(&recipe, &Thinning::default());
        for place in (1..EPOCHS * BATCHES).chain(1001..1000 + EPOCHS) {
            let pieces = in_pieces(&recipe, &Thinning::default(), &[place], [2, 1, 4]);
            assert_same(&pieces, &whole, &format!("{changes} at {place}"));
        }
    }
}

#[test]
fn what_early_stopping_has_waited_outlasts_the_break() {
    let mut stopped_early = 0;
    for (monitor, patience, lr) in [("val-loss", 2, 0.5), ("val-accuracy", 1, 0.5), ("val-loss", 3, 0.05)] {
        let recipe = recipe(&json!({ "monitor": monitor, "patience": patience, "lr": lr, "epochs": 40 }));
        let whole = whole(&recipe, &Thinning::default());
        stopped_early += usize::from(whole.stopped == Stopped::Patience);
        for breaks in [&[1001][..], &[1001, 1002, 1003], &[7, 8, 1002, 11], &[4, 1005, 27]] {
            assert_same(&in_pieces(&recipe, &Thinning::default(), breaks, [1, 4, 2]), &whole, monitor);
        }
        let (best, epochs) = (whole.best.0.unwrap(), whole.epochs.len());
        assert!(whole.stopped == Stopped::Epochs || best + patience <= epochs, "{best} {epochs}");
    }
    assert!(stopped_early >= 2);
}

/// Long runs keep records of several batches each; which ones they are goes on as well.
#[test]
fn a_thinned_history_goes_on_as_it_was() {
    let recipe = recipe(&json!({ "shuffle": "epoch" }));
    for most in [10, 14, 25] {
        let whole = whole(&recipe, &Thinning::to(most));
        assert!(whole.merged > 1);
        for breaks in [&[1001, 1002, 1003][..], &[3, 8, 13, 18], &[1002, 12, 1003]] {
            assert_same(&in_pieces(&recipe, &Thinning::to(most), breaks, [1, 2, 4]), &whole, &format!("{most}"));
        }
    }
}
