//! Training.
mod history;
pub use history::{BatchRecord, Best, EpochRecord, History};
