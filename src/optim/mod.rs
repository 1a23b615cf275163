//! Optimizers: from gradients to new parameters. They see slices, not what layers do with them.

mod sgd;

pub use sgd::Sgd;
