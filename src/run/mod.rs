//! A run as others find it: its settings, its figures and its files. It knows neither flags nor terminals.

pub mod csv;
pub mod folder;

pub use folder::{Destination, Existing};
