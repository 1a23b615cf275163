//! Data sets, from bytes in a file to scaled batches. It must not know of networks, threads or flags.
//!
//! Data flow one way: [`source`] reads files, a [`Dataset`] holds columns and targets, [`sample`] draws rows, [`Scale`] says
//! what a pixel is as a number, and a [`Loader`] fills a [`Batch`] with some of its rows as f32. Images are a data set at once;
//! a [`Table`] of named columns becomes one by way of a [`Preparation`], which a [`TablePlan`] fits on the training rows of a
//! [`split`]. Several processes may read a table together, each a part of it: a [`Reading`].

mod batch;
mod bit_rows;
mod blocks;
mod columns;
mod compressed_rows;
mod dataset;
mod digest;
mod feature_fit;
mod features;
#[cfg(feature = "inspect")]
pub mod inspect;
pub mod known;
mod loader;
mod messages;
mod on_disk;
mod outputs;
mod preparation;
mod prepare;
mod prepared_file;
mod rows;
pub mod sample;
mod scale;
mod shared;
pub mod source;
pub mod split;
mod table;
mod targets;
mod task;
mod together;

pub use batch::Batch;
pub use compressed_rows::CompressedRows;
pub use dataset::Dataset;
#[doc(hidden)]
pub use digest::hex;
pub use features::{Encoding, FeatureColumn, Features, Missing, Transform};
pub(crate) use loader::rows_of_shards;
pub use loader::{Loader, Shuffle};
pub use outputs::{Outputs, ValueColumn};
pub use preparation::{Preparation, TablePlan, TableSettings};
pub use prepare::Prepare;
pub(crate) use prepared_file::{FilePlan, PreparedFile};
pub use sample::SampleSize;
pub use scale::{Scale, ScaleKind};
pub use shared::SharedValues;
pub use source::idx;
pub use source::mnist::{Split, load_mnist_folder, load_split, mnist};
pub use source::{ArrayInfo, Source, SourceOptions, arrays, open};
#[doc(hidden)]
pub use source::{holds_tables_or_pictures, is_packed_text};
pub use table::{Table, TableColumn};
pub use targets::{TargetColumns, Targets};
pub use task::Task;
pub use together::{Reading, Together};
