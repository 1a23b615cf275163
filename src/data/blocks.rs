//! The order of [`Shuffle::Blocks`](super::Shuffle::Blocks): random, and yet such that few pieces of a file are needed at a
//! time. It knows numbers of rows, not what they hold.
//!
//! - The set is cut into *lanes*, runs of rows that follow one another: one for each shard of a batch. Shard `s` of every batch
//!   comes from lane `s`. So whoever computes that shard needs the rows of that lane alone.
//! - A lane is cut into *chunks* of [`CHUNK`] rows that follow one another, and each epoch puts the chunks into an order of its
//!   own. So many of them as make a *window* are in memory at a time, and the rows of a window are shuffled among themselves.
//!
//! Lanes, chunks and windows follow from the number of rows and the batch size; the order from them, seed and epoch: not from
//! how many threads or ranks there are, nor from whether rows are in memory.

use std::ops::Range;

use crate::rng;
use crate::shards::{batch_shards, shard_samples};

/// Rows that are read together.
pub(super) const CHUNK: usize = 256;
/// Chunks whose rows are mixed.
pub(super) const WINDOW: usize = 32;

/// How the rows of a set are dealt to the shards of its batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lanes {
    len: usize,
    batch_size: usize,
    shards: usize,
    batches: usize,
    /// `[shards + 1]`: where each lane begins, and where the last one ends.
    starts: Vec<usize>,
}

/// Some chunks of a lane, whose rows are mixed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    /// Which of the lane's rows, in the order of the epoch, come from here.
    pub places: Range<usize>,
    /// The rows of its chunks, ascending.
    pub rows: Vec<Range<u32>>,
}

impl Lanes {
    /// Of a set of `len` rows, at least 1, in batches of `batch_size`.
    pub fn new(len: usize, batch_size: usize) -> Self {
        let batch_size = batch_size.min(len);
        let (shards, batches) = (batch_shards(batch_size), len.div_ceil(batch_size));
        let last = len - (batches - 1) * batch_size;
        let rows = |shard| {
            (batches - 1) * shard_samples(shard, shards, batch_size).len() + shard_samples(shard, shards, last).len()
        };
        let ends = (0..shards).scan(0, |end, shard| {
            *end += rows(shard);
            Some(*end)
        });
        let starts = std::iter::once(0).chain(ends).collect();
        Lanes { len, batch_size, shards, batches, starts }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.shards
    }

    /// The rows of some lanes that follow one another.
    pub fn rows(&self, lanes: Range<usize>) -> Range<usize> {
        self.starts[lanes.start]..self.starts[lanes.end]
    }

    /// Which of a lane's rows, in the order of the epoch, are in `batch`; and which of the batch's samples they are.
    pub fn part(&self, lane: usize, batch: usize) -> (Range<usize>, Range<usize>) {
        let start = batch * self.batch_size;
        let samples = shard_samples(lane, self.shards, self.batch_size.min(self.len - start));
        // Of the batches before, which are all whole.
        let first = batch * shard_samples(lane, self.shards, self.batch_size).len();
        (first..first + samples.len(), samples)
    }

    /// The order of the rows of `lane` in `epoch`, and the windows that they come from.
    pub fn shuffled(&self, lane: usize, seed: u64, epoch: usize) -> (Vec<u32>, Vec<Window>) {
        let rows = self.rows(lane..lane + 1);
        let mut chunks: Vec<u32> = (0..rows.len().div_ceil(CHUNK) as u32).collect();
        let mut rng = rng::lane_stream(seed, epoch, lane);
        rng::shuffle(&mut rng, &mut chunks);
        let (mut order, mut windows) = (Vec::with_capacity(rows.len()), Vec::new());
        for chunks in chunks.chunks_mut(WINDOW) {
            chunks.sort_unstable();
            let start = |chunk: u32| rows.start + chunk as usize * CHUNK;
            let of_chunk = |chunk: &u32| start(*chunk) as u32..(start(*chunk) + CHUNK).min(rows.end) as u32;
            let of_window: Vec<Range<u32>> = chunks.iter().map(of_chunk).collect();
            let first = order.len();
            order.extend(of_window.iter().flat_map(Clone::clone));
            rng::shuffle(&mut rng, &mut order[first..]);
            windows.push(Window { places: first..order.len(), rows: of_window });
        }
        (order, windows)
    }

    /// Puts the order of `epoch` of one lane to its places in that of all rows, `order: [len]`.
    pub fn place(&self, lane: usize, of_lane: &[u32], order: &mut [u32]) {
        for batch in 0..self.batches {
            let (places, samples) = self.part(lane, batch);
            order[batch * self.batch_size..][samples].copy_from_slice(&of_lane[places]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(lanes: &Lanes, seed: u64, epoch: usize) -> Vec<u32> {
        let mut order = vec![u32::MAX; lanes.len];
        for lane in 0..lanes.count() {
            lanes.place(lane, &lanes.shuffled(lane, seed, epoch).0, &mut order);
        }
        order
    }

    #[test]
    fn every_row_comes_once_and_each_shard_has_those_of_its_lane() {
        for (len, batch_size, lanes) in
            [(1, 32, 1), (1000, 32, 1), (5000, 512, 2), (5001, 1100, 4), (40_000, 2048, 8), (3000, 1 << 40, 8)]
        {
            let cut = Lanes::new(len, batch_size);
            assert_eq!((cut.count(), cut.rows(0..cut.count())), (lanes, 0..len), "{len} in batches of {batch_size}");
            let order = order(&cut, 3, 1);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..len as u32).collect::<Vec<u32>>());
            for (batch, rows) in order.chunks(batch_size.min(len)).enumerate() {
                for lane in 0..lanes {
                    let (places, samples) = cut.part(lane, batch);
                    assert_eq!(samples, shard_samples(lane, lanes, rows.len()));
                    assert_eq!(places.len(), samples.len());
                    let of_lane = cut.rows(lane..lane + 1);
                    assert!(rows[samples].iter().all(|row| of_lane.contains(&(*row as usize))));
                }
            }
        }
    }

    #[test]
    fn an_order_depends_on_seed_and_epoch_and_differs_from_lane_to_lane() {
        let lanes = Lanes::new(20_000, 512);
        let first = order(&lanes, 0, 1);
        assert_eq!(order(&lanes, 0, 1), first);
        assert_ne!(order(&lanes, 0, 2), first);
        assert_ne!(order(&lanes, 1, 1), first);
        let of = |lane| {
            let (order, start) = (lanes.shuffled(lane, 0, 1).0, lanes.rows(lane..lane + 1).start as u32);
            order.into_iter().map(|row| row - start).collect::<Vec<u32>>()
        };
        assert_ne!(of(0), of(1));
    }

    #[test]
    fn a_windows_rows_are_those_of_its_chunks() {
        let lanes = Lanes::new(30_001, 600);
        for lane in 0..2 {
            let (order, windows) = lanes.shuffled(lane, 5, 2);
            let mut end = 0;
            for window in &windows {
                assert_eq!(window.places.start, end);
                end = window.places.end;
                assert!(window.rows.len() <= WINDOW && window.rows.windows(2).all(|two| two[0].end <= two[1].start));
                let mut rows = order[window.places.clone()].to_vec();
                assert!(rows.len() < 100 || !rows.is_sorted(), "mixed");
                rows.sort_unstable();
                assert_eq!(rows, window.rows.iter().flat_map(Clone::clone).collect::<Vec<u32>>());
            }
            assert_eq!(end, lanes.rows(lane..lane + 1).len());
            // Chunks come from all over the lane.
            let first = &windows[0].rows;
            assert!(first.windows(2).any(|two| two[0].end < two[1].start), "{first:?}");
        }
    }
}
