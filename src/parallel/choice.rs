//! Along which axis the work of a step is cut among threads and processes, and how what they have is added up. Both are asked
//! for or follow from shapes and sizes, never from a clock or from how many there are. It knows sizes, not what is computed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::names;
use crate::shards::batch_shards;

/// The choice of `--parallel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Parallel {
    /// By samples where that moves fewer numbers, by features else: a matter of the network and the batch size
    #[default]
    Auto,
    /// The network is cut; sums over features and units cross between threads and ranks
    Features,
    /// Each batch is cut; gradients cross. For large batches
    Samples,
}

/// The choice of `--reduce`: how gradients are added up over ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Reduce {
    /// In one order: the same bits for any number of ranks and threads
    #[default]
    Fixed,
    /// In whatever order MPI takes: the bits depend on the number of ranks
    Fast,
}

/// What a step moves, for [`Parallel::Auto`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traffic {
    /// Numbers in the parts of all sums that cross where the network is cut; `None` where it cannot be.
    pub features: Option<usize>,
    /// Parameters, whose gradients cross where the batch is cut.
    pub parameters: usize,
}

impl Parallel {
    /// Whether batches of this size may be cut, whatever the network.
    pub fn may_cut_samples(self, batch_size: usize) -> bool {
        match self {
            Parallel::Auto => batch_shards(batch_size) > 1,
            Parallel::Features => false,
            Parallel::Samples => true,
        }
    }

    /// What is meant for batches of `batch_size`.
    pub(crate) fn resolve(self, batch_size: usize, traffic: Traffic) -> Parallel {
        match self {
            Parallel::Auto if batch_shards(batch_size) < 2 => Parallel::Features,
            // A gradient goes to whoever adds it up, and comes back as a part of the sum.
            Parallel::Auto if traffic.features.is_none_or(|sums| 2 * traffic.parameters < sums) => Parallel::Samples,
            Parallel::Auto => Parallel::Features,
            chosen => chosen,
        }
    }
}

impl FromStr for Parallel {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        names::parse("parallel", text.trim(), "auto, features or samples")
    }
}

impl FromStr for Reduce {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        names::parse("reduce", text.trim(), "fixed or fast")
    }
}

impl fmt::Display for Parallel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl fmt::Display for Reduce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_may_be_cut_where_that_is_asked_for_or_they_are_large() {
        let may = |parallel: Parallel| [32, 511, 512].map(|batch_size| parallel.may_cut_samples(batch_size));
        assert_eq!(may(Parallel::Auto), [false, false, true]);
        assert_eq!(may(Parallel::Samples), [true; 3]);
        assert_eq!(may(Parallel::Features), [false; 3]);
    }

    #[test]
    fn auto_takes_what_moves_less() {
        let resolve =
            |batch_size, features, parameters| Parallel::Auto.resolve(batch_size, Traffic { features, parameters });
        assert_eq!(resolve(2048, Some(1000), 499), Parallel::Samples);
        assert_eq!(resolve(2048, Some(1000), 500), Parallel::Features);
        assert_eq!(resolve(2048, None, 500), Parallel::Samples, "a network that cannot be cut");
        assert_eq!(resolve(32, None, 1), Parallel::Features, "a batch that cannot be cut");
        for (chosen, name) in [(Parallel::Features, "features"), (Parallel::Samples, "samples")] {
            assert_eq!(chosen.resolve(2048, Traffic { features: Some(1000), parameters: 1 }), chosen);
            assert_eq!((name.parse::<Parallel>().unwrap(), chosen.to_string()), (chosen, name.into()));
        }
        assert!("rows".parse::<Parallel>().unwrap_err().to_string().contains("parallel: "));
    }
}
