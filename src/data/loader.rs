//! The batches of an epoch: gathers rows by number and scales them into a flat f32 batch.
//! It must not know what becomes of them.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::columns::Columns;
use super::{Batch, Dataset};
use crate::error::{Error, Result};
use crate::kernels::SimdLevel;
use crate::kernels::pixels::Selection;
use crate::kernels::sparse::BLOCK;
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
}

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
            Ok(rows) if rows > 0 => Ok(Self { dataset, batch_size, shuffle, seed, order: (0..rows).collect() }),
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
        /// How many rows before its turn a row is prefetched. Scaling this many takes longer than memory does to answer.
        const AHEAD: usize = 8;
        // The last rows prefetch those that follow.
        let start = batch.saturating_mul(self.batch_size).saturating_add(samples.start);
        let rows = &self.rows(batch)[samples];
        match self.dataset.columns() {
            Columns::Bytes { rows: images, scale } => {
                let prefetch = &self.order[self.order.len().min(start.saturating_add(AHEAD))..];
                let (first_block, width) = (columns.start / BLOCK, columns.len());
                into.fill_pixels(simd, *scale, images.view(), Selection { rows, prefetch, first_block, width });
            }
            Columns::Values { values, width } => into.fill_values(values, *width, rows, columns),
            Columns::Compressed(compressed) => into.fill_compressed(compressed, rows, columns),
            Columns::Bits(packed) => {
                let prefetch = &self.order[self.order.len().min(start.saturating_add(AHEAD))..];
                into.fill_bits(simd, packed, rows, prefetch, columns);
            }
        }
        into.fill_targets(self.dataset, rows);
    }
}

impl FromStr for Shuffle {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        names::parse("shuffle", text.trim(), "never or epoch")
    }
}

impl fmt::Display for Shuffle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Scale, TargetColumns, Targets};
    use crate::kernels::Rows;

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
        for (shuffle, text) in [(Shuffle::Never, "never"), (Shuffle::Epoch, "epoch")] {
            assert_eq!(shuffle.to_string(), text);
            assert_eq!(text.parse::<Shuffle>().unwrap(), shuffle);
            assert_eq!(serde_json::to_string(&shuffle).unwrap(), format!("\"{text}\""));
            #[cfg(feature = "cli")]
            assert_eq!(<Shuffle as clap::ValueEnum>::from_str(text, false), Ok(shuffle));
        }
        let message = "yes".parse::<Shuffle>().unwrap_err().to_string();
        assert_eq!(message, "shuffle: 'yes' is not valid: expected never or epoch");
    }

    #[test]
    fn threads_may_share_a_loader() {
        fn shared<T: Sync>(_: &T) {}
        shared(&loader(&set(3, 1), 2, Shuffle::Never));
    }
}
