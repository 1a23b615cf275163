//! Threads and what they share out: the [`Team`], the one room that names rayon; `shard`, where a network is cut
//! and into how many parts its sums fall; `comm`, who adds the parts up; `trial`, whether one thread or all of them run;
//! `roll_call`, whether all of them are there. It knows sizes and sums, not what is computed.

pub(crate) mod comm;
pub(crate) mod roll_call;
pub(crate) mod shard;
mod team;
pub(crate) mod trial;

pub use team::{Member, Team, available_cores, default_threads};
pub use trial::Sharing;
