//! The batches of an epoch: gathers rows by number and scales them into a flat f32 batch.
//! It must not know what becomes of them.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::blocks::{Lanes, Window};
use super::columns::Columns;
use super::on_disk::{Gathered, OnDisk, Places};
use super::{Batch, Dataset};
use crate::error::{Error, Result};
use crate::kernels::SimdLevel;
use crate::kernels::pixels::Selection;
use crate::kernels::sparse::BLOCK;
use crate::shards::{batch_shards, shard_samples};
use crate::{names, rng};

/// The choice of `--shuffle`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Shuffle {
    /// Every epoch runs through the rows in the order of the set
    Never,
    /// Every epoch has an order of its own, decided by seed and epoch
    Epoch,
    /// Likewise, but rows near each other in the file come at about the same time, so that few of them are needed at once: for
    /// sets that are larger than memory, or whose rows many ranks share
    Blocks,
}

/// How many rows before its turn a row is prefetched. Scaling this many takes longer than memory does to answer.
const AHEAD: usize = 8;

/// Cuts a set into batches. Threads may share it; between epochs, [`start_epoch`](Self::start_epoch) sets the order.
///
/// ```
/// use flatnet::SimdLevel;
/// use flatnet::data::{Batch, Dataset, Loader, Shuffle, Targets};
/// let set = Dataset::images(vec![0, 51, 255], vec![0, 1, 1], (1, 1), 2, "three pixels".into())?;
/// let loader = Loader::new(&set, 2, Shuffle::Never, 0)?;
/// assert_eq!((loader.batches(), loader.batch_len(0), loader.batch_len(1)), (2, 2, 1));
///
/// let mut batch = Batch::new();
/// loader.load(0, SimdLevel::detect(), &mut batch);
/// assert_eq!((batch.x(), batch.targets()), (vec![0.0, 0.2], Targets::Classes(&[0, 1])));
/// # Ok::<(), flatnet::Error>(())
/// ```
#[derive(Debug)]
pub struct Loader<'a> {
    dataset: &'a Dataset,
    batch_size: usize,
    shuffle: Shuffle,
    seed: u64,
    /// Every row once, in the order of this epoch.
    order: Vec<u32>,
    /// Of [`Shuffle::Blocks`].
    lanes: Option<Lanes>,
    /// Of rows in a file that come lane by lane: what is in memory, for each lane.
    windows: Vec<LaneWindows>,
    /// The first error of a file that rows are read from.
    failure: Mutex<Option<Error>>,
}

/// The windows of a lane in an epoch, and those of them that are in memory.
#[derive(Debug)]
struct LaneWindows {
    windows: Vec<Window>,
    /// Window `w` goes to place `w % 2`: threads that share a batch may be on either side of the end of a window.
    read: Mutex<[Option<(usize, Places, Columns)>; 2]>,
}

impl<'a> Loader<'a> {
    /// A loader in the order of the set. With [`Shuffle::Epoch`], call [`start_epoch`](Self::start_epoch) before each epoch.
    ///
    /// # Errors
    /// [`Error::Setting`] if `batch_size` is 0, [`Error::Shape`] if the set has no rows or 2^32 of them.
    pub fn new(dataset: &'a Dataset, batch_size: usize, shuffle: Shuffle, seed: u64) -> Result<Self> {
        if batch_size == 0 {
            return Err(Error::Setting { name: "batch_size", found: "0".into(), expected: "at least 1".into() });
        }
        match u32::try_from(dataset.len()) {
            Ok(rows) if rows > 0 => Ok(Self {
                dataset,
                batch_size,
                shuffle,
                seed,
                order: (0..rows).collect(),
                lanes: (shuffle == Shuffle::Blocks).then(|| Lanes::new(dataset.len(), batch_size)),
                windows: Vec::new(),
                failure: Mutex::default(),
            }),
            _ => Err(Error::Shape {
                place: dataset.source().into(),
                expected: format!("1 to {} rows", u32::MAX),
                found: dataset.len().to_string(),
            }),
        }
    }

    /// The set whose rows these are.
    pub fn dataset(&self) -> &'a Dataset {
        self.dataset
    }

    /// Batches in an epoch, the last of which may be shorter.
    pub fn batches(&self) -> usize {
        self.order.len().div_ceil(self.batch_size)
    }

    /// Rows in every batch but the last.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// Rows in `batch`, which counts from 0 and lies below [`batches`](Self::batches).
    pub fn batch_len(&self, batch: usize) -> usize {
        self.rows(batch).len()
    }

    /// Sets the order of the rows for `epoch`. The order depends on the seed and `epoch` only, not on the epochs before;
    /// with [`Shuffle::Never`] it stays that of the set.
    pub fn start_epoch(&mut self, epoch: usize) {
        match self.shuffle {
            Shuffle::Never => {}
            Shuffle::Epoch => {
                for (row, place) in (0..).zip(&mut self.order) {
                    *place = row;
                }
                rng::shuffle(&mut rng::epoch_stream(self.seed, epoch), &mut self.order);
            }
            Shuffle::Blocks => {
                let Some(lanes) = &self.lanes else { return };
                self.windows.clear();
                for lane in 0..lanes.count() {
                    let (order, windows) = lanes.shuffled(lane, self.seed, epoch);
                    lanes.place(lane, &order, &mut self.order);
                    if self.dataset.is_on_disk() {
                        self.windows.push(LaneWindows { windows, read: Mutex::default() });
                    }
                }
            }
        }
    }

    /// The set's row numbers in `batch`: `[batch_len]`.
    ///
    /// # Panics
    /// If there is no such batch.
    pub fn rows(&self, batch: usize) -> &[u32] {
        assert!(batch < self.batches(), "batch {batch} of an epoch of {}, which counts from 0", self.batches());
        let start = batch * self.batch_size;
        &self.order[start..self.order.len().min(start.saturating_add(self.batch_size))]
    }

    /// Fills `into` with `batch`: all features, scaled, the targets and the weights. Every level gives the same bits.
    pub fn load(&self, batch: usize, simd: SimdLevel, into: &mut Batch) {
        self.load_columns(batch, 0..self.dataset.features(), simd, into);
    }

    /// The same with some of the features only. `columns` begins at a whole block and lies within `0..features`.
    pub(crate) fn load_columns(&self, batch: usize, columns: Range<usize>, simd: SimdLevel, into: &mut Batch) {
        self.load_part(batch, 0..self.batch_len(batch), columns, simd, into);
    }

    /// The same with some of the samples only: `samples` lies within `0..batch_len`.
    pub(crate) fn load_part(
        &self,
        batch: usize,
        samples: Range<usize>,
        columns: Range<usize>,
        simd: SimdLevel,
        into: &mut Batch,
    ) {
        debug_assert!(columns.start.is_multiple_of(BLOCK) && columns.end <= self.dataset.features());
        // The last rows prefetch those that follow.
        let start = batch.saturating_mul(self.batch_size).saturating_add(samples.start);
        let rows = &self.rows(batch)[samples.clone()];
        match self.dataset.columns() {
            Columns::OnDisk(on_disk) => self.load_from_file(on_disk, batch, samples, columns, simd, into),
            in_memory => {
                let prefetch = &self.order[self.order.len().min(start.saturating_add(AHEAD))..];
                fill(in_memory, rows, prefetch, columns, simd, into);
            }
        }
        into.fill_targets(self.dataset, rows);
    }

    /// Fills in some columns of some samples of `batch`. What cannot be read is zeros, and the [failure](Self::take_failure) says
    /// why.
    fn load_from_file(
        &self,
        on_disk: &OnDisk,
        batch: usize,
        samples: Range<usize>,
        columns: Range<usize>,
        simd: SimdLevel,
        into: &mut Batch,
    ) {
        let rows = &self.rows(batch)[samples.clone()];
        let mut places = into.take_places();
        if let Some(held) = on_disk.held(rows, &mut places) {
            fill(held, &places, &places[AHEAD.min(places.len())..], columns, simd, into);
        } else {
            let read = match &self.lanes {
                Some(lanes) if !self.windows.is_empty() => {
                    self.read_windows(lanes, on_disk, batch, samples, &mut places)
                }
                _ => on_disk.rows(rows),
            };
            let read = read.unwrap_or_else(|error| {
                locked(&self.failure).get_or_insert(error);
                let width = self.dataset.features();
                Columns::Values { values: vec![0.0; rows.len() * width].into(), width }
            });
            places.clear();
            places.extend(0..rows.len() as u32);
            fill(&read, &places, &[], columns, simd, into);
        }
        into.give_places(places);
    }

    /// The columns of some `samples` of `batch`, which come from the windows of their lanes. `places` is overwritten.
    fn read_windows(
        &self,
        lanes: &Lanes,
        on_disk: &OnDisk,
        batch: usize,
        samples: Range<usize>,
        places: &mut Vec<u32>,
    ) -> Result<Columns> {
        let mut gathered = Gathered::default();
        for (lane, LaneWindows { windows, read }) in self.windows.iter().enumerate() {
            let (of_lane, of_batch) = lanes.part(lane, batch);
            let wanted = samples.start.max(of_batch.start)..samples.end.min(of_batch.end);
            if wanted.is_empty() {
                continue;
            }
            // Where in the lane's order they are, and which rows.
            let in_lane = of_lane.start + wanted.start - of_batch.start..of_lane.start + wanted.end - of_batch.start;
            let rows = &self.rows(batch)[wanted];
            let first = windows.partition_point(|window| window.places.end <= in_lane.start);
            for (number, window) in (first..).zip(&windows[first..]) {
                let part = in_lane.start.max(window.places.start)..in_lane.end.min(window.places.end);
                if part.is_empty() {
                    break;
                }
                let rows = &rows[part.start - in_lane.start..part.end - in_lane.start];
                let read = &mut locked(read)[number % 2];
                if read.as_ref().is_none_or(|(of, ..)| *of != number) {
                    // What was there is given back before the next is read.
                    *read = None;
                    *read = Some((number, Places::new(window.rows.clone()), on_disk.read(&window.rows)?));
                }
                if let Some((_, of, columns)) = read {
                    places.clear();
                    places.extend(rows.iter().filter_map(|row| of.of(*row)));
                    gathered.add(columns, Some(places));
                }
            }
        }
        Ok(gathered.columns_in(on_disk.scale()))
    }

    /// Whether a file that rows are read from has failed: what was loaded since is worth nothing.
    pub fn has_failed(&self) -> bool {
        self.dataset.is_on_disk() && locked(&self.failure).is_some()
    }

    /// How it failed first; from then on nothing has failed.
    pub fn take_failure(&self) -> Option<Error> {
        locked(&self.failure).take()
    }
}

/// What a thread that panicked left is as good as any: it is written in one go.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Fills in some columns of some rows that are in memory.
fn fill(from: &Columns, rows: &[u32], prefetch: &[u32], columns: Range<usize>, simd: SimdLevel, into: &mut Batch) {
    match from {
        Columns::Bytes { rows: images, scale } => {
            let (first_block, width) = (columns.start / BLOCK, columns.len());
            into.fill_pixels(simd, *scale, images.view(), Selection { rows, prefetch, first_block, width });
        }
        Columns::Values { values, width } => into.fill_values(values, *width, rows, columns),
        Columns::Compressed(compressed) => into.fill_compressed(compressed, rows, columns),
        Columns::Bits(packed) => into.fill_bits(simd, packed, rows, prefetch, columns),
        // What is read is in memory.
        Columns::OnDisk(_) => {}
    }
}

/// The rows that some of the `shards` of all batches come from, whatever the epoch: ascending, and apart. `None` where they may
/// be any.
pub(crate) fn rows_of_shards(
    len: usize,
    batch_size: usize,
    shuffle: Shuffle,
    dealt: impl Fn(Range<usize>) -> Range<usize>,
) -> Option<Vec<Range<u32>>> {
    let batch_size = batch_size.min(len).max(1);
    let shards = batch_shards(batch_size);
    let dealt = dealt(0..shards);
    let ranges: Vec<Range<u32>> = match shuffle {
        Shuffle::Epoch => return None,
        Shuffle::Blocks => {
            let rows = Lanes::new(len, batch_size).rows(dealt);
            vec![rows.start as u32..rows.end as u32]
        }
        Shuffle::Never => {
            let of_batch = |start: usize| {
                let within = batch_size.min(len - start);
                let first = shard_samples(dealt.start, shards, within).start;
                let samples = dealt.clone().map(|shard| shard_samples(shard, shards, within).len()).sum::<usize>();
                (start + first) as u32..(start + first + samples) as u32
            };
            (0..len).step_by(batch_size).map(of_batch).collect()
        }
    };
    Some(ranges.into_iter().filter(|range| !range.is_empty()).collect())
}

impl FromStr for Shuffle {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        names::parse("shuffle", text.trim(), "never, epoch or blocks")
    }
}

impl fmt::Display for Shuffle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::data::idx::{self, IdxArray};
    use crate::data::source::open_on_disk;
    use crate::data::{Prepare, Scale, ScaleKind, Source, SourceOptions, TargetColumns, Targets, load_mnist_folder};
    use crate::kernels::Rows;
    use crate::shards::dealt;

    /// Pixel `c` of row `r` is `3 r + c`, its label `r % 10`, both as bytes.
    fn set(rows: usize, features: usize) -> Dataset {
        let pixels = (0..rows).flat_map(|row| (0..features).map(move |column| (3 * row + column) as u8)).collect();
        let labels = (0..rows).map(|row| (row % 10) as u8).collect();
        Dataset::images(pixels, labels, (1, features), 10, "test".into()).unwrap()
    }

    fn loader(dataset: &Dataset, batch_size: usize, shuffle: Shuffle) -> Loader<'_> {
        Loader::new(dataset, batch_size, shuffle, 11).unwrap()
    }

    fn order(loader: &Loader) -> Vec<u32> {
        (0..loader.batches()).flat_map(|batch| loader.rows(batch).to_vec()).collect()
    }

    #[test]
    fn the_reference_epoch_has_938_batches_the_last_of_16() {
        let dataset = set(30_000, 1);
        let loader = loader(&dataset, 32, Shuffle::Never);
        assert_eq!((loader.batches(), loader.batch_size()), (938, 32));
        assert!((0..937).all(|batch| loader.batch_len(batch) == 32));
        assert_eq!(loader.batch_len(937), 16);
        assert_eq!(order(&loader), (0..30_000).collect::<Vec<u32>>());
    }

    #[test]
    fn batches_larger_than_the_set_and_batches_that_fit_exactly() {
        let dataset = set(6, 1);
        for (batch_size, lengths) in
            [(6, vec![6]), (7, vec![6]), (usize::MAX, vec![6]), (3, vec![3, 3]), (1, vec![1; 6])]
        {
            let loader = loader(&dataset, batch_size, Shuffle::Never);
            let found: Vec<usize> = (0..loader.batches()).map(|batch| loader.batch_len(batch)).collect();
            assert_eq!(found, lengths);
        }
    }

    #[test]
    fn features_and_labels_follow_the_rows() {
        let dataset = set(45, 21);
        let mut loader = loader(&dataset, 8, Shuffle::Epoch);
        loader.start_epoch(1);
        // One batch for all, so that each is loaded over what another left.
        let mut loaded = Batch::new();
        for columns in [0..21, 0..1, 8..21, 16..21, 16..16, 0..20] {
            for batch in 0..loader.batches() {
                loader.load_columns(batch, columns.clone(), SimdLevel::detect(), &mut loaded);
                let rows = loader.rows(batch);
                let wanted: Vec<f32> = rows
                    .iter()
                    .flat_map(|&row| columns.clone().map(move |column| (3 * row as usize + column) as u8))
                    .map(|pixel| f32::from(pixel) / 255.0)
                    .collect();
                assert_eq!(loaded.x(), wanted);
                let labels: Vec<u32> = rows.iter().map(|row| row % 10).collect();
                assert_eq!((loaded.targets(), loaded.weights()), (Targets::Classes(&labels), None));
            }
        }
    }

    /// Numbers, several values a sample and weights, loaded over what images left.
    #[test]
    fn numbers_values_and_weights_follow_the_rows() {
        let x: Vec<f32> = (0..45 * 21).map(|i| i as f32).collect();
        let values: Vec<f32> = (0..90).map(|i| -(i as f32)).collect();
        let targets = TargetColumns::Values { values, width: 2 };
        let weights = (0..45).map(|row| row as f32 / 2.0).collect();
        let numbers = Dataset::from_values(x, 21, targets, "numbers".into()).unwrap().with_weights(weights).unwrap();
        let images = set(45, 21);
        let mut loader = loader(&numbers, 8, Shuffle::Epoch);
        loader.start_epoch(3);
        let mut loaded = Batch::new();
        for columns in [0..21, 8..21, 16..16, 0..8] {
            for batch in 0..loader.batches() {
                Loader::new(&images, 8, Shuffle::Never, 0).unwrap().load(0, SimdLevel::detect(), &mut loaded);
                loader.load_columns(batch, columns.clone(), SimdLevel::detect(), &mut loaded);
                let rows: Vec<f32> = loader.rows(batch).iter().map(|row| *row as f32).collect();
                let wanted: Vec<f32> =
                    rows.iter().flat_map(|row| columns.clone().map(move |column| row * 21.0 + column as f32)).collect();
                assert_eq!((loaded.x(), loaded.len()), (wanted, rows.len()));
                let values: Vec<f32> = rows.iter().flat_map(|row| [-2.0 * row, -2.0 * row - 1.0]).collect();
                let weights: Vec<f32> = rows.iter().map(|row| row / 2.0).collect();
                assert_eq!(loaded.targets(), Targets::Values(&values));
                assert_eq!(loaded.weights(), Some(&*weights));
            }
        }
    }

    #[test]
    fn gather_scales_as_the_scale_does() {
        let scale = Scale::Standard { mean: 0.25, std: 0.375 };
        let dataset = set(3, 40).with_scale(scale).unwrap();
        let loader = Loader::new(&dataset, 3, Shuffle::Never, 0).unwrap();
        let mut batch = Batch::new();
        loader.load(0, SimdLevel::detect(), &mut batch);
        for (x, pixel) in batch.x().iter().zip(dataset.pixels()) {
            assert_eq!(x.to_bits(), scale.apply(pixel).to_bits());
        }
    }

    /// Blocks of zeros, and rows that end in the middle of a block or of a word of 64 blocks.
    #[test]
    fn blocks_are_left_out_where_they_are_zeros_as_numbers() {
        for features in [1, 16, 21, 784, 64 * 16, 64 * 16 + 5, 130 * 16] {
            let pixels: Vec<u8> = (0..6 * features).map(|i| u8::from((i / 7) % 5 == 1 && (i / 90) % 3 > 0)).collect();
            let dataset = Dataset::images(pixels, vec![0; 6], (1, features), 2, "test".into()).unwrap();
            let mut loaded = Batch::new();
            for batch in 0..3 {
                let loader = Loader::new(&dataset, 2, Shuffle::Never, 0).unwrap();
                loader.load(batch, SimdLevel::detect(), &mut loaded);
                assert_eq!(loaded.rows().samples(features), 2);
                let Rows::Sparse(rows) = loaded.rows() else { panic!("{features} features, dense") };
                for (index, x) in loaded.x().chunks(features).enumerate() {
                    let (words, kept) = rows.row(index, 0);
                    assert!(kept.iter().all(|block| block.iter().any(|x| *x != 0.0)));
                    for (block, x) in x.chunks(8).enumerate() {
                        let bit = words[block / 64] >> (block % 64) & 1 == 1;
                        assert_eq!(bit, x.iter().any(|x| *x != 0.0), "{features}, row {index}, block {block}");
                    }
                }

                // Where a zero pixel is another number, nothing may be left out.
                let scale = Scale::Standard { mean: 0.25, std: 0.375 };
                let scaled = dataset.clone().with_scale(scale).unwrap();
                let loader = Loader::new(&scaled, 2, Shuffle::Never, 0).unwrap();
                loader.load(batch, SimdLevel::detect(), &mut loaded);
                assert!(matches!(loaded.rows(), Rows::Dense(x) if x == loaded.x()));
            }
        }
    }

    #[test]
    fn an_epochs_order_depends_on_seed_and_epoch_only() {
        let dataset = set(500, 1);
        let mut one = loader(&dataset, 32, Shuffle::Epoch);
        one.start_epoch(7);
        let direct = order(&one);
        for epoch in [1, 7, 2] {
            one.start_epoch(epoch);
        }
        assert_ne!(order(&one), direct);
        one.start_epoch(7);
        assert_eq!(order(&one), direct);

        let mut other_seed = Loader::new(&dataset, 32, Shuffle::Epoch, 12).unwrap();
        other_seed.start_epoch(7);
        assert_ne!(order(&other_seed), direct);

        let mut sorted = direct;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..500).collect::<Vec<u32>>());
    }

    /// Images in IDX files in MNIST's layout, in memory and on the disk; the first half of the test set is that of training.
    fn in_memory_and_on_disk(rows: usize, folder: &Path) -> (Dataset, Dataset) {
        let pixels = |rows: usize| (0..rows * 20).map(|i| if i / 9 % 3 == 0 { (i * 31 % 256) as u8 } else { 0 });
        for (split, rows) in [("train", rows), ("t10k", rows / 2)] {
            let images = IdxArray { dims: vec![rows, 4, 5], bytes: pixels(rows).collect() };
            let labels = IdxArray { dims: vec![rows], bytes: (0..rows).map(|row| (row % 10) as u8).collect() };
            idx::write(&folder.join(format!("{split}-images-idx3-ubyte")), &images).unwrap();
            idx::write(&folder.join(format!("{split}-labels-idx1-ubyte")), &labels).unwrap();
        }
        let Source::Images { train, .. } = open_on_disk(folder, &SourceOptions::default()).unwrap() else {
            panic!("no images")
        };
        (load_mnist_folder(folder).unwrap().0, train)
    }

    /// Whatever the order, whichever rows are in memory and however a batch is cut.
    #[test]
    fn rows_in_a_file_are_loaded_as_those_in_memory_are() {
        let folder = tempfile::tempdir().unwrap();
        let (in_memory, on_disk) = in_memory_and_on_disk(9000, folder.path());
        assert!(on_disk.is_on_disk() && on_disk.can_seek() && !in_memory.is_on_disk());
        let scale = Scale::Standard { mean: 0.25, std: 0.375 };
        let sets = [
            (in_memory.clone(), on_disk.clone()),
            (in_memory.clone().with_scale(scale).unwrap(), on_disk.clone().with_scale(scale).unwrap()),
            (in_memory.clone(), on_disk.clone().hold(vec![0..9000]).unwrap()),
            // Some batches of it are read and some are not.
            (
                in_memory.clone(),
                on_disk.clone().hold(vec![0..10, 3000..7000]).unwrap().with_scale(Scale::Unit).unwrap(),
            ),
            (in_memory.select(&[7, 5, 5, 8999, 3]), on_disk.select(&[7, 5, 5, 8999, 3])),
            (in_memory.select(&[3, 4, 70, 71, 8000]), on_disk.select(&[3, 4, 70, 71, 8000])),
        ];
        for (memory, disk) in sets {
            assert_eq!(disk.clone().in_memory().unwrap(), memory);
            assert_eq!(disk.sha256().unwrap(), memory.sha256().unwrap());
            assert_eq!(disk.share_not_zero().unwrap(), memory.share_not_zero().unwrap());
            assert_eq!(disk.sha256_and_share_not_zero().unwrap(), memory.sha256_and_share_not_zero().unwrap());
            assert_eq!(disk.sha256_and_share_not_zero().unwrap().0, memory.sha256().unwrap());
            let [fitted, wanted] = [&disk, &memory].map(|set| Scale::fit(ScaleKind::Standard, set).unwrap());
            assert_eq!(fitted, wanted);
            assert_eq!((disk.scale(), disk.row(3)), (memory.scale(), memory.row(3)));
            assert_eq!(Prepare::of(&disk), Prepare::of(&memory));
            for (shuffle, batch_size) in
                [(Shuffle::Never, 1050), (Shuffle::Blocks, 1050), (Shuffle::Blocks, 40), (Shuffle::Epoch, 4000)]
            {
                let [mut one, mut other] = [&memory, &disk].map(|set| loader(set, batch_size, shuffle));
                let [mut wanted, mut found] = [Batch::new(), Batch::new()];
                for epoch in [1, 2] {
                    one.start_epoch(epoch);
                    other.start_epoch(epoch);
                    assert_eq!(order(&one), order(&other));
                    for batch in 0..one.batches() {
                        let len = one.batch_len(batch);
                        for (samples, columns) in [(0..len, 0..20), (len / 3..len, 8..20), (len / 2..len / 2, 0..20)] {
                            one.load_part(batch, samples.clone(), columns.clone(), SimdLevel::detect(), &mut wanted);
                            other.load_part(batch, samples, columns, SimdLevel::detect(), &mut found);
                            assert_eq!((found.x(), found.targets()), (wanted.x(), wanted.targets()), "{shuffle}");
                        }
                    }
                }
                assert!(!other.has_failed() && other.take_failure().is_none());
            }
        }
    }

    #[test]
    fn a_file_that_fails_is_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let (_, on_disk) = in_memory_and_on_disk(3000, folder.path());
        for shuffle in [Shuffle::Never, Shuffle::Blocks] {
            let images = folder.path().join("train-images-idx3-ubyte");
            let whole = fs::read(&images).unwrap();
            let mut loader = loader(&on_disk, 600, shuffle);
            loader.start_epoch(1);
            let mut batch = Batch::new();
            loader.load(0, SimdLevel::detect(), &mut batch);
            assert!(!loader.has_failed());
            fs::write(&images, &whole[..whole.len() - 1]).unwrap();
            // What is in memory of one epoch is not there in the next.
            loader.start_epoch(2);
            loader.load(4, SimdLevel::detect(), &mut batch);
            fs::write(&images, &whole).unwrap();
            assert!(loader.has_failed(), "{shuffle}");
            assert!(batch.x().iter().all(|x| *x == 0.0));
            let error = loader.take_failure().unwrap().to_string();
            assert!(error.contains("train-images-idx3-ubyte") && error.contains("has changed"), "{error}");
            assert!(!loader.has_failed());
            loader.load(4, SimdLevel::detect(), &mut batch);
            assert!(!loader.has_failed() && batch.x().iter().any(|x| *x != 0.0));
        }
    }

    /// Of all ranks together every row, and of none another than the shards of it have.
    #[test]
    fn the_rows_of_a_rank_are_those_of_its_shards() {
        let set = set(5003, 1);
        for (shuffle, batch_size) in
            [(Shuffle::Never, 1100), (Shuffle::Blocks, 1100), (Shuffle::Blocks, 512), (Shuffle::Never, 9000)]
        {
            let mut loader = loader(&set, batch_size, shuffle);
            for ranks in [1, 2, 3, 8] {
                let of_ranks: Vec<Vec<Range<u32>>> = (0..ranks)
                    .map(|rank| rows_of_shards(5003, batch_size, shuffle, |shards| dealt(shards, rank, ranks)).unwrap())
                    .collect();
                let mut all: Vec<u32> = of_ranks.iter().flatten().flat_map(Clone::clone).collect();
                all.sort_unstable();
                assert_eq!(all, (0..5003).collect::<Vec<u32>>());
                let shards = batch_shards(batch_size.min(5003));
                for epoch in [1, 2] {
                    loader.start_epoch(epoch);
                    for batch in 0..loader.batches() {
                        for (rank, ranges) in of_ranks.iter().enumerate() {
                            for shard in dealt(0..shards, rank, ranks) {
                                let samples = shard_samples(shard, shards, loader.batch_len(batch));
                                let rows = &loader.rows(batch)[samples];
                                assert!(rows.iter().all(|row| ranges.iter().any(|range| range.contains(row))));
                            }
                        }
                    }
                }
            }
        }
        assert_eq!(rows_of_shards(5003, 1100, Shuffle::Epoch, |shards| shards), None);
    }

    #[test]
    fn never_means_the_order_of_the_set() {
        let dataset = set(100, 1);
        let mut loader = loader(&dataset, 32, Shuffle::Never);
        loader.start_epoch(3);
        assert_eq!(order(&loader), (0..100).collect::<Vec<u32>>());
    }

    #[test]
    fn what_cannot_be_cut_into_batches_is_refused() {
        let dataset = set(3, 1);
        let error = Loader::new(&dataset, 0, Shuffle::Never, 0).unwrap_err();
        assert_eq!(error.to_string(), "batch_size: 0 is not valid: expected at least 1");
        let empty = dataset.select(&[]);
        let error = Loader::new(&empty, 32, Shuffle::Never, 0).unwrap_err();
        assert_eq!(error.to_string(), "test: expected 1 to 4294967295 rows, found 0");
    }

    #[test]
    fn the_kind_has_one_spelling_everywhere() {
        for (shuffle, text) in [(Shuffle::Never, "never"), (Shuffle::Epoch, "epoch"), (Shuffle::Blocks, "blocks")] {
            assert_eq!(shuffle.to_string(), text);
            assert_eq!(text.parse::<Shuffle>().unwrap(), shuffle);
            assert_eq!(serde_json::to_string(&shuffle).unwrap(), format!("\"{text}\""));
            #[cfg(feature = "cli")]
            assert_eq!(<Shuffle as clap::ValueEnum>::from_str(text, false), Ok(shuffle));
        }
        let message = "yes".parse::<Shuffle>().unwrap_err().to_string();
        assert_eq!(message, "shuffle: 'yes' is not valid: expected never, epoch or blocks");
    }

    #[test]
    fn threads_may_share_a_loader() {
        fn shared<T: Sync>(_: &T) {}
        shared(&loader(&set(3, 1), 2, Shuffle::Never));
    }
}
