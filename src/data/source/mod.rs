//! Where data come from: IDX files, packed or not, folders of them, tables and arrays. It knows formats, not what is done with the
//! numbers.

mod array;
mod class_folders;
mod csv;
mod element;
mod file_bytes;
pub(super) mod header;
pub mod idx;
mod libsvm;
pub mod mnist;
mod names;
mod npy;
mod npz;
mod number;
mod open;
mod pixel_file;
mod table_file;
#[cfg(test)]
pub(super) mod testing;
mod train_and_test;
pub(super) mod unpack;
mod zip;

/// What files, folders and arrays of a training set are called.
const TRAIN: [&str; 2] = ["train", "training"];
/// What those of a test set are called, in the order in which they are looked for.
const TEST: [&str; 5] = ["test", "testing", "val", "valid", "validation"];

pub use npz::ArrayInfo;
pub use open::{Source, SourceOptions, arrays, open};
#[doc(hidden)]
pub use open::{holds_tables_or_pictures, is_packed_text};
pub(crate) use open::{open_on_disk, tables_at};
pub(crate) use table_file::{PIECE_CELLS, TableFile};
