//! Threads, processes and what they share out: the [`Team`], the one room that names rayon; `choice`, along which axis a step
//! is cut; `shard`, where a network is cut and into how many parts its sums fall; `comm`, who adds the parts up; `tree`, the
//! order of a sum of gradients; `trial`, whether one thread or all of them run; `roll_call`, whether all of them are there;
//! `world`, the processes that train together, and `mpi`, what carries their numbers. It knows sizes and sums, not what is
//! computed.

pub(crate) mod choice;
pub(crate) mod comm;
#[cfg(feature = "mpi")]
pub mod mpi;
pub(crate) mod roll_call;
pub(crate) mod shard;
mod team;
pub(crate) mod tree;
pub(crate) mod trial;
pub(crate) mod world;

pub use choice::{Parallel, Reduce};
pub use team::{Member, Team, available_cores, default_threads};
pub use trial::Sharing;
pub use world::{Transport, World};
