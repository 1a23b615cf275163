//! Into how many shards a batch is cut, which samples are in each, and which shards a rank or a thread has: so that whoever reads
//! samples and whoever computes with them agree. It knows numbers, not what they count.

use std::ops::Range;

/// Into how many shards a batch is cut: a power of two, each of at least 256 samples, so that adding up their gradients is a
/// small part of computing them. It follows from the batch size alone, and is the most threads that can share a batch.
pub(crate) fn batch_shards(batch_size: usize) -> usize {
    const LEAST: usize = 256;
    const MOST: usize = 4096;
    1 << (batch_size / LEAST).clamp(1, MOST).ilog2()
}

/// The samples of a batch of `len` that are in a shard of it.
pub(crate) fn shard_samples(shard: usize, shards: usize, len: usize) -> Range<usize> {
    len * shard / shards..len * (shard + 1) / shards
}

/// The shards that one of `size` ranks has, or of what a rank has one of its threads.
pub(crate) fn dealt(shards: Range<usize>, rank: usize, size: usize) -> Range<usize> {
    shards.start + shards.len() * rank / size..shards.start + shards.len() * (rank + 1) / size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_follow_from_the_batch_size() {
        let sizes = [1, 32, 256, 511, 512, 1023, 2048, 3000, 1 << 30];
        assert_eq!(sizes.map(batch_shards), [1, 1, 1, 1, 2, 2, 8, 8, 4096]);
    }

    #[test]
    fn all_samples_are_in_a_shard_and_all_shards_are_dealt() {
        for (shards, len) in [(1, 5), (8, 2048), (8, 2047), (8, 3)] {
            let samples: Vec<usize> = (0..shards).flat_map(|shard| shard_samples(shard, shards, len)).collect();
            assert_eq!(samples, (0..len).collect::<Vec<_>>());
            for size in [1, 2, 3, 8, 9] {
                let of_ranks: Vec<usize> = (0..size).flat_map(|rank| dealt(0..shards, rank, size)).collect();
                assert_eq!(of_ranks, (0..shards).collect::<Vec<_>>(), "{shards} shards, {size} ranks");
            }
        }
    }
}
