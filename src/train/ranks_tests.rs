//! Training over ranks that are threads of this process: the same bits whatever their number, an end that all agree on.
//! What MPI carries is tested by `tests/mpi.rs`.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use crate::data::idx::{self, IdxArray};
use crate::data::source::open_on_disk;
use crate::data::{Dataset, Shuffle, Source, SourceOptions, TargetColumns, load_mnist_folder};
use crate::error::Error;
use crate::kernels::KernelChoice;
use crate::nn::{Init, Sequential};
use crate::optim::{AdamW, Clip, Sgd};
use crate::parallel::world::threads;
use crate::train::{
    BatchEnd, BatchRecord, Callback, EpochEnd, EpochRecord, Parallel, Reduce, Sharing, Stopped, TrainState, Trainer,
    World,
};

/// 1,100 samples, so that batches of 520 leave a short one, with fewer samples than it has shards where those are many.
fn data(features: usize, weights: bool) -> (Dataset, Dataset) {
    let rows = 1_100;
    let label = |row: usize| (row * 7 + row / 13) % 5;
    let bright = |row: usize, column: usize| if column % 5 == label(row) { 0.5 } else { 0.0 };
    let noise = |i: usize| (i * 37 % 1013) as f32 / 500.0 - 1.0;
    let x = (0..rows * features).map(|i| noise(i) + bright(i / features, i % features));
    let labels = (0..rows).map(|row| label(row) as u16).collect();
    let targets = TargetColumns::Classes { labels, classes: 5 };
    let mut set = Dataset::from_values(x.collect(), features, targets, "made up".into()).unwrap();
    if weights {
        set = set.with_weights((0..rows).map(|row| (row % 4) as f32 / 2.0).collect()).unwrap();
    }
    let val = set.select(&(0..300).collect::<Vec<_>>());
    (set, val)
}

fn network(features: usize, hidden: &[usize]) -> Sequential {
    let mut builder = Sequential::new(features);
    for units in hidden {
        builder = builder.linear(*units).relu().dropout(0.2);
    }
    builder.linear(5).kernel(KernelChoice::Auto).init(Init::KaimingUniform).build(3).unwrap()
}

/// Everything of a run that must not depend on ranks and threads.
#[derive(Debug, PartialEq)]
struct Outcome {
    stopped: Stopped,
    parameters: Vec<u32>,
    slots: Vec<Vec<u32>>,
    epochs: Vec<EpochRecord>,
    batches: Vec<BatchRecord>,
    at: (usize, usize),
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn outcome(stopped: Stopped, model: &Sequential, state: &TrainState) -> Outcome {
    let epochs = state.history.epochs.iter();
    Outcome {
        stopped,
        parameters: model.parameters().flat_map(|parameter| bits(&parameter.values())).collect(),
        slots: state.optimizer.slots.iter().map(|slot| bits(slot)).collect(),
        epochs: epochs.map(|epoch| EpochRecord { train_seconds: 0.0, val_seconds: 0.0, ..*epoch }).collect(),
        batches: state.history.train_batches.iter().chain(&state.history.val_batches).copied().collect(),
        at: (state.epoch, state.batch),
    }
}

fn train(trainer: &Trainer, model: &Sequential, sets: &(Dataset, Dataset), world: World) -> Outcome {
    let (mut model, mut state) = (model.clone(), TrainState::new(model, trainer.optimizer()));
    let trainer = trainer.clone().world(world);
    let stopped = trainer.fit_from(&mut model, &mut state, &sets.0, &sets.1, &mut ()).unwrap();
    outcome(stopped, &model, &state)
}

fn trainers(batch_size: usize) -> [Trainer; 2] {
    let common = |trainer: Trainer| trainer.epochs(2).batch_size(batch_size).seed(5).sharing(Sharing::Always);
    [common(Trainer::new(Sgd::new(0.05))), common(Trainer::new(AdamW::new(1e-3)).clip(Clip::Norm(0.5)))]
}

#[test]
fn the_bits_are_the_same_for_any_number_of_ranks_and_threads() {
    for (parallel, batch_size) in [(Parallel::Features, 64), (Parallel::Samples, 520), (Parallel::Samples, 1_100)] {
        for (features, hidden) in [(520, &[][..]), (40, &[128]), (40, &[256, 130])] {
            let (model, sets) = (network(features, hidden), data(features, hidden.len() == 1));
            for trainer in trainers(batch_size) {
                let trainer = trainer.parallel(parallel);
                let one = train(&trainer.clone().threads(1), &model, &sets, World::alone());
                assert!(one.epochs[0].train_loss.is_finite() && one.epochs[1].train_loss < one.epochs[0].train_loss);
                for (ranks, threads_each) in [(1, 2), (1, 3), (2, 1), (2, 2), (3, 1), (4, 2), (8, 1)] {
                    let trainer = trainer.clone().threads(threads_each);
                    let outcomes = threads::run(ranks, |world| train(&trainer, &model, &sets, world));
                    for outcome in outcomes {
                        assert!(outcome == one, "{parallel}, {features} {hidden:?}, {ranks} ranks x {threads_each}");
                    }
                }
            }
        }
    }
}

/// The same images in memory and in their file, to train on and to validate on.
fn images(folder: &Path) -> [(Dataset, Dataset); 2] {
    let label = |row: usize| (row * 7 + row / 13) % 5;
    for (split, rows) in [("train", 2_600), ("t10k", 300)] {
        let bright = |row: usize, pixel: usize| pixel % 5 == label(row) && !pixel.is_multiple_of(3);
        let pixel = |i: usize| if bright(i / 40, i % 40) { (i * 37 % 256) as u8 } else { 0 };
        let pixels = IdxArray { dims: vec![rows, 8, 5], bytes: (0..rows * 40).map(pixel).collect() };
        let labels = IdxArray { dims: vec![rows], bytes: (0..rows).map(|row| label(row) as u8).collect() };
        idx::write(&folder.join(format!("{split}-images-idx3-ubyte")), &pixels).unwrap();
        idx::write(&folder.join(format!("{split}-labels-idx1-ubyte")), &labels).unwrap();
    }
    let Source::Images { train, test } = open_on_disk(folder, &SourceOptions::default()).unwrap() else {
        panic!("no images")
    };
    [load_mnist_folder(folder).unwrap(), (train, test.unwrap())]
}

/// Ranks that read their own rows, and rows that are read as they are needed, by any number of ranks and threads.
#[test]
fn the_bits_are_the_same_wherever_the_rows_are() {
    let folder = tempfile::tempdir().unwrap();
    let [in_memory, on_disk] = images(folder.path());
    let model = network(40, &[130]);
    for shuffle in [Shuffle::Never, Shuffle::Blocks] {
        for trainer in trainers(1_100) {
            let trainer = trainer.parallel(Parallel::Samples).shuffle(shuffle);
            let one = train(&trainer.clone().threads(1), &model, &in_memory, World::alone());
            assert!(one.epochs[1].train_loss < one.epochs[0].train_loss);
            for (ranks, threads_each) in [(1, 1), (1, 3), (2, 2), (3, 1), (5, 1)] {
                let trainer = trainer.clone().threads(threads_each);
                let streamed = threads::run(ranks, |world| train(&trainer, &model, &on_disk, world));
                let held = threads::run(ranks, |world| {
                    let rows = trainer.clone().world(world.clone()).rows_of_rank(&model, on_disk.0.len());
                    assert_eq!(rows.is_some(), ranks > 1);
                    let own = on_disk.0.clone().hold(rows.unwrap_or_else(|| vec![0..2_600])).unwrap();
                    train(&trainer, &model, &(own, in_memory.1.clone()), world)
                });
                for outcome in streamed.into_iter().chain(held) {
                    assert!(outcome == one, "{shuffle}, {ranks} ranks x {threads_each}");
                }
            }
        }
        // Where the network is cut, every rank needs all rows.
        let [_, trainer] = trainers(1_100);
        let trainer = trainer.parallel(Parallel::Features).shuffle(shuffle).threads(2);
        let one = train(&trainer.clone().threads(1), &model, &in_memory, World::alone());
        for outcome in threads::run(2, |world| train(&trainer, &model, &on_disk, world)) {
            assert!(outcome == one, "{shuffle}, by features");
        }
    }
}

/// A file that one rank cannot read ends all, with one error that names the rank; what was trained before is there.
#[test]
fn a_file_that_fails_on_one_rank_ends_all() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let model = network(40, &[130]);
    for (parallel, shuffle) in [
        (Parallel::Samples, Shuffle::Never),
        (Parallel::Samples, Shuffle::Blocks),
        (Parallel::Features, Shuffle::Never),
    ] {
        let [whole, damaged] = [0, 1].map(|at| {
            fs::read_dir(folders[at].path()).unwrap().for_each(|file| fs::remove_file(file.unwrap().path()).unwrap());
            images(folders[at].path())
        });
        let path = folders[1].path().join("train-images-idx3-ubyte");
        let [_, trainer] = trainers(1_100);
        let trainer = trainer.parallel(parallel).shuffle(shuffle).threads(1);
        struct Damages<'a>(Option<&'a Path>);
        impl Callback for Damages<'_> {
            fn after_epoch(&mut self, end: &mut EpochEnd<'_>) -> ControlFlow<()> {
                if let Some(path) = self.0.filter(|_| end.epoch == 1) {
                    fs::write(path, "gone").unwrap();
                }
                ControlFlow::Continue(())
            }
        }
        let told = threads::run(3, |world| {
            let rank = world.rank();
            let (own, _) = if rank == 1 { &damaged[1] } else { &whole[1] };
            let (mut model, mut state) = (model.clone(), TrainState::new(&model, trainer.optimizer()));
            let trainer = trainer.clone().world(world);
            let mut callback = Damages((rank == 1).then_some(&path));
            let error = trainer.fit_from(&mut model, &mut state, own, &whole[0].1, &mut callback).unwrap_err();
            (error.to_string(), outcome(Stopped::Epochs, &model, &state))
        });
        let one_epoch = train(&trainer.clone().epochs(1), &model, &whole[0], World::alone());
        for (error, left) in &told {
            assert!(error.contains("rank 1") && error.contains("train-images-idx3-ubyte"), "{error}");
            assert!(*error == told[0].0 && *left == one_epoch, "{parallel} {shuffle}");
        }
    }
}

/// Shards of a batch draw what the whole batch would, and their losses add up to its loss.
#[test]
fn a_batch_that_is_cut_by_samples_learns_what_the_whole_one_does() {
    let (model, sets) = (network(40, &[130]), data(40, true));
    for trainer in trainers(1_100) {
        let [whole, cut] = [Parallel::Features, Parallel::Samples]
            .map(|parallel| train(&trainer.clone().threads(1).parallel(parallel), &model, &sets, World::alone()));
        // Sums of 1,100 losses in another order: 1,100 roundings to f32 of a mean that is summed in f64.
        let first = |outcome: &Outcome| outcome.batches[0];
        assert_eq!(first(&whole).correct, first(&cut).correct);
        assert!((first(&whole).loss_sum - first(&cut).loss_sum).abs() <= 1e-9 * first(&whole).loss_sum);
        let differences = whole.parameters.iter().zip(&cut.parameters);
        let largest = differences.map(|(a, b)| (f32::from_bits(*a) - f32::from_bits(*b)).abs()).fold(0.0, f32::max);
        // Two steps. One of AdamW at 1e-3 is at most 1e-3 long, and changes by as much where a gradient near 0 has another
        // sign; of SGD at 0.05 it changes as the gradient does, by some roundings.
        let bound = if whole.slots.is_empty() { 1e-6 } else { 2e-3 };
        assert!(largest > 0.0 && largest < bound, "{largest}");
    }
}

#[test]
fn the_fast_sum_is_near() {
    let (model, sets) = (network(40, &[130]), data(40, false));
    let [trainer, _] = trainers(1_100);
    let trainer = trainer.threads(1).parallel(Parallel::Samples);
    let one = train(&trainer, &model, &sets, World::alone());
    for outcome in threads::run(4, |world| train(&trainer.clone().reduce(Reduce::Fast), &model, &sets, world)) {
        let pairs = one.parameters.iter().zip(&outcome.parameters);
        let largest = pairs.map(|(a, b)| (f32::from_bits(*a) - f32::from_bits(*b)).abs()).fold(0.0, f32::max);
        assert!(largest > 0.0 && largest < 1e-6, "{largest}");
    }
}

/// Breaks after a batch of the first epoch, on one rank only.
struct Breaks(Option<usize>);

impl Callback for Breaks {
    fn after_batch(&mut self, end: &BatchEnd) -> ControlFlow<()> {
        if Some(end.batch) == self.0 && end.epoch == 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// All ranks end after the same batch, and another number of them goes on from there to the same bits.
#[test]
fn one_rank_that_breaks_ends_all_and_others_go_on() {
    for (parallel, batch_size, hidden) in [
        (Parallel::Features, 64, &[128][..]),
        (Parallel::Samples, 520, &[128]),
        // Of this network nothing can be cut, so every rank does all of it.
        (Parallel::Features, 64, &[]),
    ] {
        let (model, sets) = (network(40, hidden), data(40, false));
        for trainer in trainers(batch_size) {
            let trainer = trainer.parallel(parallel).threads(1);
            let whole = train(&trainer, &model, &sets, World::alone());
            let last = 1_100_usize.div_ceil(batch_size) - 1;
            for at in [0, 1, last] {
                let run = |world: World| {
                    let (mut model, mut state) = (model.clone(), TrainState::new(&model, trainer.optimizer()));
                    let mut breaks = Breaks((world.rank() == 1).then_some(at));
                    let trainer = trainer.clone().world(world);
                    let stopped = trainer.fit_from(&mut model, &mut state, &sets.0, &sets.1, &mut breaks).unwrap();
                    (stopped, model, state)
                };
                let mut stopped = threads::run(3, run);
                let ends: Vec<Outcome> =
                    stopped.iter().map(|(stopped, model, state)| outcome(*stopped, model, state)).collect();
                assert_eq!((ends[0].stopped, ends[0].at), (Stopped::Callback, (0, at + 1)), "{parallel} {hidden:?}");
                assert!(ends.iter().all(|end| *end == ends[0]));
                let (_, model, state) = stopped.swap_remove(2);
                let ends = threads::run(2, |world| {
                    let (mut model, mut state) = (model.clone(), state.clone());
                    let trainer = trainer.clone().world(world);
                    let stopped = trainer.fit_from(&mut model, &mut state, &sets.0, &sets.1, &mut ()).unwrap();
                    outcome(stopped, &model, &state)
                });
                assert!(ends.iter().all(|end| *end == whole), "{parallel} {hidden:?} from batch {at}");
            }
        }
    }
}

/// Breaks when it is asked within a batch for the time that is left, on one rank only.
struct BreaksWithin(Option<usize>);

impl Callback for BreaksWithin {
    fn within_batch(&mut self) -> ControlFlow<()> {
        self.0 = self.0.map(|left| left.saturating_sub(1));
        if self.0 == Some(0) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// The batch at hand is given up, wherever within it the end was asked for, and training goes on before it to the same bits.
#[test]
fn a_batch_that_is_broken_off_leaves_nothing() {
    let (model, sets) = (network(40, &[128]), data(40, false));
    for trainer in trainers(1_100).map(|trainer| trainer.parallel(Parallel::Samples)) {
        let whole = train(&trainer.clone().threads(1), &model, &sets, World::alone());
        // Of four shards, what comes of asking between them, by the thread that asks: in the first epoch or in the second.
        for (ranks, threads_each, asked, epochs) in
            [(1, 1, 1, 0), (1, 1, 3, 0), (1, 1, 5, 1), (1, 2, 1, 0), (1, 2, 2, 1), (2, 1, 1, 0), (2, 1, 2, 1)]
        {
            let trainer = trainer.clone().threads(threads_each);
            let run = |world: World| {
                let (mut model, mut state) = (model.clone(), TrainState::new(&model, trainer.optimizer()));
                let mut breaks = BreaksWithin((world.rank() + 1 == ranks).then_some(asked));
                let of_world = trainer.clone().world(world);
                let stopped = of_world.fit_from(&mut model, &mut state, &sets.0, &sets.1, &mut breaks).unwrap();
                (stopped, model, state)
            };
            for (stopped, mut model, mut state) in threads::run(ranks, run) {
                let at = (state.epoch, state.batch, state.history.train_batches.len(), state.optimizer.step);
                assert_eq!((stopped, at), (Stopped::Callback, (epochs, 0, epochs, epochs as u64)), "{ranks} ranks");
                let stopped = trainer.fit_from(&mut model, &mut state, &sets.0, &sets.1, &mut ()).unwrap();
                assert!(outcome(stopped, &model, &state) == whole, "{ranks} ranks x {threads_each}, asked {asked}");
            }
        }
    }
}

#[test]
fn a_value_that_is_no_number_stops_all_ranks_alike() {
    for (parallel, batch_size) in [(Parallel::Features, 64), (Parallel::Samples, 520)] {
        let (model, sets) = (network(40, &[128]), data(40, false));
        let trainer = Trainer::new(Sgd::new(1e30)).batch_size(batch_size).parallel(parallel).threads(1);
        let told = threads::run(3, |world| {
            let mut model = model.clone();
            trainer.clone().world(world).fit(&mut model, &sets.0, &sets.1).unwrap_err().to_string()
        });
        let alone = trainer.fit(&mut model.clone(), &sets.0, &sets.1).unwrap_err();
        assert!(matches!(alone, Error::NonFinite { .. }), "{alone}");
        assert_eq!(told, vec![alone.to_string(); 3], "{parallel}");
    }
}
