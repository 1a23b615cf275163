//! Where data come from: IDX files, packed or not, and folders of them. It knows formats, not what is done with the numbers.

pub(super) mod header;
pub mod idx;
pub mod mnist;
mod names;
pub(super) mod unpack;
