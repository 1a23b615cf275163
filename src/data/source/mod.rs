//! Where data come from: IDX files, packed or not, folders of them, tables and arrays. It knows formats, not what is done with the
//! numbers.

mod array;
mod csv;
mod element;
pub(super) mod header;
pub mod idx;
pub mod mnist;
mod names;
mod npy;
mod number;
mod open;
pub(super) mod unpack;

pub use open::{Source, SourceOptions, open};
