//! The library's errors as Python's exceptions: what scikit-learn raises for the same.

use flatnet::Error;
use pyo3::PyErr;
use pyo3::exceptions::{PyFileNotFoundError, PyOSError, PyRuntimeError, PyValueError};

/// What a failed call raises.
pub fn raised(error: Error) -> PyErr {
    let text = error.to_string();
    match error {
        Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => PyFileNotFoundError::new_err(text),
        Error::Io { .. } => PyOSError::new_err(text),
        Error::DataFolder { .. } => PyFileNotFoundError::new_err(text),
        Error::Threads { .. } | Error::NotBuiltIn { .. } => PyRuntimeError::new_err(text),
        Error::NonFinite { .. } => PyValueError::new_err(format!(
            "Solver produced non-finite parameter weights. The input data may contain large values and need to be \
             preprocessed. ({text})"
        )),
        _ => PyValueError::new_err(text),
    }
}
