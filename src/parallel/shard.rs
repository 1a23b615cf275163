//! Tensor-parallel shards: how a network is cut among several ranks, and into how many parts its sums fall. Both depend on
//! shapes alone.
//!
//! Linear layers take turns from the last one backwards: the last is cut by its input features, so that every rank has
//! some terms of every logit; the one before by its output units, so that a rank computes just the features that its
//! part of the next layer reads; and so on (Shoeybi et al., "Megatron-LM", 2019, section 3). A pair of layers then needs
//! one sum over the ranks in the forward pass, and one in the backward pass unless it is the first.

use std::ops::Range;

use crate::kernels::LANES;
use crate::parallel::comm::Parts;

/// The most parts of a sum, and with that the most threads that can share a step.
const MAX_PARTS: usize = 32;

/// Which of its two sizes a linear layer is cut by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Axis {
    /// By inputs: each output is a sum over parts.
    Features,
    /// By outputs: each output has one owner; the gradient with respect to an input is a sum over parts.
    Units,
}

/// The cut of one linear layer, or of the shard of it that one rank has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cut {
    pub axis: Axis,
    /// Where the held parts begin and end along the axis, counted from the first held one.
    bounds: Vec<usize>,
    pub parts: Parts,
}

impl Cut {
    /// `size` features or units cut into `parts` runs of whole blocks of 16, as equal as can be.
    pub fn even(axis: Axis, size: usize, parts: usize) -> Self {
        let blocks = size.div_ceil(LANES);
        let bounds = (0..=parts).map(|part| (blocks * part / parts * LANES).min(size)).collect();
        Cut { axis, bounds, parts: Parts { held: 0..parts, total: parts } }
    }

    /// Features or units of the held part number `index` (counting all parts), counted from the first held one.
    pub fn range(&self, index: usize) -> Range<usize> {
        let held = index - self.parts.held.start;
        self.bounds[held]..self.bounds[held + 1]
    }

    /// What rank `rank` of `world_size` gets: its features or units, and their cut.
    pub fn shard(&self, rank: usize, world_size: usize) -> (Range<usize>, Self) {
        let held = self.parts.total * rank / world_size..self.parts.total * (rank + 1) / world_size;
        let bounds = &self.bounds[held.start..=held.end];
        let range = bounds[0]..bounds[bounds.len() - 1];
        let bounds = bounds.iter().map(|bound| bound - range.start).collect();
        (range, Cut { axis: self.axis, bounds, parts: Parts { held, total: self.parts.total } })
    }
}

/// Cuts the linear layers of a network, given their `(in_features, out_features)` in order.
pub(crate) fn plan(shapes: &[(usize, usize)]) -> Vec<Cut> {
    let by_features = |index: usize| (shapes.len() - 1 - index).is_multiple_of(2);
    let cuts = shapes.iter().enumerate().map(|(index, &(in_features, out_features))| match by_features(index) {
        true if index == 0 => Cut::even(Axis::Features, in_features, data_parts(in_features)),
        true => Cut::even(Axis::Features, in_features, unit_parts(in_features)),
        false => Cut::even(Axis::Units, out_features, unit_parts(out_features)),
    });
    cuts.collect()
}

/// Parts of a sum over the features of the data. A part has at least 256 features: with fewer, adding the parts up
/// costs a narrow layer more than another thread can save (see benches/NOTES.md).
fn data_parts(features: usize) -> usize {
    power_of_two_at_most(features / 256)
}

/// Parts of a hidden layer. A part has at least 32 units: with fewer, a product packs its inputs for too few outputs.
fn unit_parts(units: usize) -> usize {
    power_of_two_at_most(units / 32)
}

/// A power of two, so that two, four, eight, ... threads have equal shares; at least 1.
fn power_of_two_at_most(parts: usize) -> usize {
    1 << parts.clamp(1, MAX_PARTS).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_cover_every_layer_once_whatever_the_number_of_ranks() {
        for shapes in
            [vec![(784, 10)], vec![(784, 1024), (1024, 10)], vec![(784, 512), (512, 256), (256, 10)], vec![(5, 3)]]
        {
            for (cut, (in_features, out_features)) in plan(&shapes).iter().zip(&shapes) {
                let size = if cut.axis == Axis::Features { *in_features } else { *out_features };
                for ranks in 1..=cut.parts.total {
                    let mut next = 0;
                    for rank in 0..ranks {
                        let (range, shard) = cut.shard(rank, ranks);
                        assert_eq!(range.start, next);
                        next = range.end;
                        for part in shard.parts.held.clone() {
                            let (whole, own) = (cut.range(part), shard.range(part));
                            assert_eq!(whole, own.start + range.start..own.end + range.start);
                            assert!(whole.start.is_multiple_of(LANES) && !whole.is_empty());
                        }
                    }
                    assert_eq!(next, size);
                }
            }
        }
    }

    #[test]
    fn neighbours_are_cut_alike() {
        let cuts = plan(&[(784, 512), (512, 256), (256, 10)]);
        assert_eq!(cuts.iter().map(|cut| cut.axis).collect::<Vec<_>>(), [Axis::Features, Axis::Units, Axis::Features]);
        assert_eq!(cuts[1].bounds, cuts[2].bounds, "a rank's units are the features that its next layer reads");
        assert_eq!(plan(&[(784, 10)])[0].bounds, [0, 384, 784]);
    }

    #[test]
    fn a_wide_layer_has_a_part_for_each_of_32_threads() {
        let parts =
            |units: usize| plan(&[(784, units), (units, 10)]).iter().map(|cut| cut.parts.total).collect::<Vec<_>>();
        for (units, total) in [(63, 1), (128, 4), (512, 16), (1024, 32), (4096, 32)] {
            assert_eq!(parts(units), [total; 2], "{units} units");
        }
    }
}
