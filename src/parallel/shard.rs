//! Tensor-parallel shards: how a network is cut among several ranks, and into how many parts its sums fall. Both depend on
//! shapes alone.
//!
//! Linear layers go in pairs: of a pair the first is cut by its output units, so that a rank computes just the features that
//! its part of the second reads, and the second by its input features, so that every rank has some terms of each of its
//! outputs (Shoeybi et al., "Megatron-LM", 2019, section 3). A pair needs one sum over the ranks in the forward pass, and one
//! in the backward pass unless it is the first.
//!
//! A first layer without a partner is cut by the features of the data: a rank loads and visits no others, and the sum over
//! the ranks is as large as the layer's output. So one of few outputs has no partner: cut by units, every rank would visit
//! all of a batch's numbers for a piece of what is a few vectors wide. A last layer without a partner has to be small: every
//! rank computes all of it, which needs no sum.

use std::ops::Range;

use crate::kernels::LANES;
use crate::kernels::panels::PANEL;
use crate::parallel::comm::Parts;

/// The most parts of a sum, and with that the most threads that can share a step. Each is a product of its own, which is then
/// added to the others: eight parts instead of two take one thread 3 % longer for 784-512-256-10 (batches of 32, AVX-512).
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
    /// `size` features or units cut into `parts` runs of whole blocks of `block`, as equal as can be.
    pub fn even(axis: Axis, size: usize, parts: usize, block: usize) -> Self {
        let blocks = size.div_ceil(block);
        let bounds = (0..=parts).map(|part| (blocks * part / parts * block).min(size)).collect();
        Cut { axis, bounds, parts: Parts { held: 0..parts, total: parts } }
    }

    /// Where the held parts begin and end, counted from the first held one.
    pub fn bounds(&self) -> &[usize] {
        &self.bounds
    }

    /// Features or units of the held part number `index` (counting all parts), counted from the first held one.
    pub fn range(&self, index: usize) -> Range<usize> {
        let held = index - self.parts.held.start;
        self.bounds[held]..self.bounds[held + 1]
    }

    /// What rank `rank` of `world_size` gets: its features or units, and their cut. A single part is every rank's.
    pub fn shard(&self, rank: usize, world_size: usize) -> (Range<usize>, Self) {
        let held = match self.parts.total {
            1 => 0..1,
            total => total * rank / world_size..total * (rank + 1) / world_size,
        };
        let bounds = &self.bounds[held.start..=held.end];
        let range = bounds[0]..bounds[bounds.len() - 1];
        let bounds = bounds.iter().map(|bound| bound - range.start).collect();
        (range, Cut { axis: self.axis, bounds, parts: Parts { held, total: self.parts.total } })
    }
}

/// Cuts the linear layers of a network, given their `(in_features, out_features)` in order.
pub(crate) fn plan(shapes: &[(usize, usize)]) -> Vec<Cut> {
    let Some(&(features, _)) = shapes.first() else { return Vec::new() };
    let (odd, small_last) = (!shapes.len().is_multiple_of(2), has_small_last(shapes));
    let first_alone = if has_few_outputs(shapes) { odd || small_last } else { odd && !small_last };
    let last_alone = first_alone != odd;
    // Of hidden units a part has whole panels: so a shard's weight is made of the same ones, and what is added up run by run is
    // added up alike on any number of ranks.
    let of_units = |axis: Axis, units: usize| Cut::even(axis, units, unit_parts(units), PANEL);
    let pairs = usize::from(first_alone)..shapes.len() - usize::from(last_alone);
    let cuts = shapes.iter().enumerate().map(|(index, &(in_features, out_features))| match index {
        _ if index < pairs.start => Cut::even(Axis::Features, features, data_parts(features), LANES),
        _ if index >= pairs.end => Cut::even(Axis::Features, in_features, 1, LANES),
        _ if (index - pairs.start).is_multiple_of(2) => of_units(Axis::Units, out_features),
        _ => of_units(Axis::Features, in_features),
    });
    cuts.collect()
}

/// The most ranks that a network with these layers and `cuts` can be shared among.
pub(crate) fn max_world_size(shapes: &[(usize, usize)], cuts: &[&Cut]) -> usize {
    /// Layers of one part are every rank's. They are what no number of ranks makes faster, and have to be so small a part of
    /// the network.
    const REPEATED: usize = 8;
    let repeated = shapes.iter().zip(cuts).filter(|(_, cut)| cut.parts.total == 1).map(|(shape, _)| weights(shape));
    if repeated.fold(0, usize::saturating_add).saturating_mul(REPEATED) > all_weights(shapes) {
        return 1;
    }
    cuts.iter().map(|cut| cut.parts.total).filter(|parts| *parts > 1).min().unwrap_or(1)
}

fn weights(&(in_features, out_features): &(usize, usize)) -> usize {
    in_features.saturating_mul(out_features)
}

fn all_weights(shapes: &[(usize, usize)]) -> usize {
    shapes.iter().map(weights).fold(0, usize::saturating_add)
}

/// Whether the last layer is so small that every rank may as well compute all of it.
fn has_small_last(shapes: &[(usize, usize)]) -> bool {
    /// The whole network is so many times the layer, or more.
    const SMALL: usize = 64;
    shapes.last().is_some_and(|last| weights(last).saturating_mul(SMALL) <= all_weights(shapes))
}

/// Whether a kernel visits a number of the first layer's input once for all outputs, and there are features for several parts.
fn has_few_outputs(shapes: &[(usize, usize)]) -> bool {
    const FEW: usize = 2 * PANEL;
    shapes.first().is_some_and(|&(features, outputs)| outputs <= FEW && data_parts(features) > 1)
}

/// Parts of a sum over the features of the data. A part has at least 256 features: with fewer, adding the parts up
/// costs a narrow layer more than another thread can save (see benches/NOTES.md).
fn data_parts(features: usize) -> usize {
    power_of_two_at_most(features / 256)
}

/// Parts of a hidden layer. A part has at least 64 units, a panel of the wide kernel.
fn unit_parts(units: usize) -> usize {
    power_of_two_at_most(units / PANEL)
}

/// A power of two, so that two, four, eight, ... threads have equal shares; at least 1.
fn power_of_two_at_most(parts: usize) -> usize {
    1 << parts.clamp(1, MAX_PARTS).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPES: [&[(usize, usize)]; 9] = [
        &[(784, 10)],
        &[(784, 128), (128, 10)],
        &[(100, 128), (128, 10)],
        &[(784, 1024), (1024, 10)],
        &[(784, 200), (200, 10)],
        &[(784, 512), (512, 256), (256, 10)],
        &[(784, 128), (128, 128), (128, 120)],
        &[(784, 64), (64, 512), (512, 64), (64, 256), (256, 10)],
        &[(5, 3)],
    ];

    #[test]
    fn shards_cover_every_layer_once_whatever_the_number_of_ranks() {
        for shapes in SHAPES {
            for (cut, (in_features, out_features)) in plan(shapes).iter().zip(shapes) {
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
        for shapes in SHAPES {
            let cuts = plan(shapes);
            for pair in cuts.windows(2).filter(|pair| pair[0].axis == Axis::Units) {
                assert_eq!(
                    pair[1].axis,
                    Axis::Features,
                    "{shapes:?}: units that no other rank has are read by their rank"
                );
                assert_eq!(pair[0].bounds, pair[1].bounds, "{shapes:?}");
            }
            let of_units =
                cuts.iter().filter(|cut| cut.axis == Axis::Units).flat_map(|cut| &cut.bounds[..cut.parts.total]);
            assert!(of_units.clone().all(|bound| bound.is_multiple_of(PANEL)), "{shapes:?}: parts of whole panels");
            assert_eq!(cuts.last().unwrap().axis, Axis::Features, "{shapes:?}: the output is complete on every rank");
        }
        assert_eq!(plan(&[(784, 10)])[0].bounds, [0, 384, 784]);
    }

    #[test]
    fn a_last_layer_without_a_partner_is_every_ranks_if_it_is_small() {
        let small = plan(&[(784, 512), (512, 256), (256, 10)]);
        let found = |cuts: &[Cut]| cuts.iter().map(|cut| (cut.axis, cut.parts.total)).collect::<Vec<_>>();
        assert_eq!(found(&small), [(Axis::Units, 8), (Axis::Features, 8), (Axis::Features, 1)]);
        for rank in 0..8 {
            assert_eq!(small[2].shard(rank, 8), (0..256, small[2].clone()));
        }
        let large = plan(&[(784, 128), (128, 128), (128, 120)]);
        assert_eq!(found(&large), [(Axis::Features, 2), (Axis::Units, 2), (Axis::Features, 2)]);
    }

    #[test]
    fn a_first_layer_of_few_outputs_is_cut_by_features_where_what_follows_needs_no_unit_of_it_alone() {
        let found =
            |shapes: &[(usize, usize)]| plan(shapes).iter().map(|cut| (cut.axis, cut.parts.total)).collect::<Vec<_>>();
        assert_eq!(found(&[(784, 128), (128, 10)]), [(Axis::Features, 2), (Axis::Features, 1)]);
        assert_eq!(plan(&[(784, 128), (128, 10)])[0].bounds, [0, 384, 784]);
        let pair = [(Axis::Units, 2), (Axis::Features, 2)];
        // Too many outputs, a second layer that is no trifle, too few features.
        for shapes in [[(784, 129), (129, 10)], [(784, 128), (128, 100)], [(500, 128), (128, 10)]] {
            assert_eq!(found(&shapes), pair, "{shapes:?}");
        }
        let one = [(Axis::Features, 2)];
        assert_eq!(found(&[(784, 64), (64, 128), (128, 10)]), [&one[..], &pair].concat());
        let four = [&one[..], &[(Axis::Units, 8), (Axis::Features, 8), (Axis::Features, 1)]].concat();
        assert_eq!(found(&[(784, 64), (64, 512), (512, 512), (512, 4)]), four);
    }

    #[test]
    fn a_wide_network_has_a_part_for_each_of_32_threads() {
        let most = |shapes: &[(usize, usize)]| max_world_size(shapes, &plan(shapes).iter().collect::<Vec<_>>());
        for (units, parts) in [(128, 2), (129, 2), (512, 8), (1024, 16), (2048, 32), (4096, 32)] {
            assert_eq!(most(&[(784, units), (units, 10)]), parts, "{units} units");
            assert_eq!(most(&[(784, units), (units, units), (units, 10)]), parts, "twice {units} units");
        }
        assert_eq!(most(&[(784, 10)]), 2);
        assert_eq!([most(&[(784, 127), (127, 10)]), most(&[(784, 64), (64, 64), (64, 10)])], [2, 2]);
        assert_eq!(most(&[(784, 16), (16, 512), (512, 512), (512, 10)]), 8, "an eighth may be every rank's");
        for whole in [&[(300, 64), (64, 10)][..], &[(784, 127), (127, 127), (127, 10)]] {
            assert_eq!(most(whole), 1, "{whole:?}: whoever has one part has all of it");
        }
    }
}
