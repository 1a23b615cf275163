//! The one error type of the crate. Each message says what is wrong, where, and what was expected there;
//! it knows nothing of the rooms that raise it.

use std::path::PathBuf;

/// Everything that can go wrong, in words for the person who can mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation on a path.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io { path: PathBuf, action: &'static str, source: std::io::Error },

    /// An IDX file breaks the format at a byte offset (of the unpacked bytes).
    #[error("{}: byte {offset}: {fault}", path.display())]
    Idx { path: PathBuf, offset: u64, fault: IdxFault },

    /// A setting has a value outside its domain. `name` is the flag's name without dashes.
    #[error("--{name}: {found} is not valid: expected {expected}")]
    Setting { name: &'static str, found: String, expected: String },

    /// A layer does not fit the one before it, or the data. `place` names both.
    #[error("{place}: expected {expected}, found {found}")]
    Shape { place: String, expected: String, found: String },

    /// A model file cannot be used.
    #[error("{}: {place}: {problem}", path.display())]
    Model { path: PathBuf, place: String, problem: String },

    /// A run folder would be overwritten or is incomplete.
    #[error("{}: {problem}", path.display())]
    RunFolder { path: PathBuf, problem: String },

    /// Training met a value that is not a finite number.
    #[error(
        "epoch {epoch}, batch {batch}: {layer} gave a value that is not a finite number; \
         a smaller --lr usually cures this"
    )]
    NonFinite { epoch: usize, batch: usize, layer: String },

    /// Threads could not be started.
    #[error("cannot start {threads} threads: {problem}")]
    Threads { threads: usize, problem: String },
}

/// What is wrong with an IDX file; see [`Error::Idx`], which adds the file and the place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdxFault {
    #[error("placeholder")]
    Placeholder,
}

/// The result of anything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;
