//! Data sets of the library over NumPy's arrays. Features in rows of float32 are not copied, and neither are the values of a
//! CSR matrix.

use flatnet::data::{CompressedRows, Dataset, SharedValues, TargetColumns};
use numpy::{PyArray, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::raised;
use crate::signals::meanwhile;

/// What errors of the library call the data.
const SOURCE: &str = "X";

/// Features as Python hands them over.
#[derive(FromPyObject)]
pub enum Features<'py> {
    /// `[n, features]`, in rows.
    Dense(PyReadonlyArray2<'py, f32>),
    /// `data`, `indices`, `indptr` of a CSR matrix, and how many columns it has.
    Csr(PyReadonlyArray1<'py, f32>, PyReadonlyArray1<'py, i32>, PyReadonlyArray1<'py, i64>, usize),
}

/// Targets as Python hands them over.
#[derive(FromPyObject)]
pub enum Answers<'py> {
    /// `[n]`: class numbers, and how many classes there are.
    Classes(PyReadonlyArray1<'py, u16>, usize),
    /// `[n, width]`.
    Values(PyReadonlyArray2<'py, f32>),
}

impl Answers<'_> {
    fn columns(&self) -> TargetColumns {
        match self {
            Answers::Classes(labels, classes) => {
                TargetColumns::Classes { labels: labels.as_array().iter().copied().collect(), classes: *classes }
            }
            Answers::Values(values) => {
                TargetColumns::Values { values: values.as_array().iter().copied().collect(), width: values.shape()[1] }
            }
        }
    }
}

impl Features<'_> {
    /// How many columns there are.
    pub fn width(&self) -> usize {
        match self {
            Features::Dense(x) => x.shape()[1],
            Features::Csr(.., width) => *width,
        }
    }

    fn rows(&self) -> usize {
        match self {
            Features::Dense(x) => x.shape()[0],
            Features::Csr(_, _, starts, _) => starts.len().saturating_sub(1),
        }
    }

    /// With targets that nobody reads, to predict from.
    pub fn without_answers(&self, py: Python<'_>) -> PyResult<Dataset> {
        let targets = TargetColumns::Values { values: vec![0.0; self.rows()], width: 1 };
        self.dataset(py, targets, Dataset::from_shared_values)
    }

    /// `dense` takes over what is an array.
    fn dataset(&self, py: Python<'_>, targets: TargetColumns, dense: TakeOver) -> PyResult<Dataset> {
        /// Numbers that are read in less time than anybody minds.
        const FEW: usize = 1 << 24;
        let set = match self {
            Features::Dense(x) => {
                // A slice may also be had of columns one after another.
                if !x.is_c_contiguous() {
                    return Err(PyValueError::new_err("X: expected an array in C order"));
                }
                let (values, width) = (borrowed::values(x), self.width());
                if values.len() < FEW {
                    py.detach(|| dense(values, width, targets, SOURCE.into()))
                } else {
                    meanwhile(py, move || dense(values, width, targets, SOURCE.into()))?
                }
            }
            Features::Csr(values, columns, starts, width) => {
                let negative = || PyValueError::new_err("X: expected indices of at least 0");
                let columns = columns.as_array().iter().map(|column| u32::try_from(*column)).collect::<Result<_, _>>();
                let starts = starts.as_array().iter().map(|start| usize::try_from(*start)).collect::<Result<_, _>>();
                let (columns, starts) = (columns.map_err(|_| negative())?, starts.map_err(|_| negative())?);
                let (values, width) = (borrowed::values(values), *width);
                let make = move || {
                    CompressedRows::new(values, columns, starts, width, SOURCE)
                        .and_then(|rows| Dataset::from_compressed_rows(rows, targets, SOURCE.into()))
                };
                if self.rows() < FEW { py.detach(make) } else { meanwhile(py, make)? }
            }
        };
        set.map_err(raised)
    }
}

/// One of the library's constructors of dense numbers.
type TakeOver = fn(SharedValues, usize, TargetColumns, String) -> flatnet::Result<Dataset>;

/// The samples of a fit: where many numbers of an array are zeros, a copy without them, which every epoch then reads.
pub fn samples(
    py: Python<'_>,
    x: &Features<'_>,
    y: &Answers<'_>,
    weights: Option<PyReadonlyArray1<'_, f32>>,
) -> PyResult<Dataset> {
    let set = x.dataset(py, y.columns(), Dataset::from_values_without_zeros)?;
    match weights {
        None => Ok(set),
        Some(weights) => set.with_weights(weights.as_array().iter().copied().collect()).map_err(raised),
    }
}

/// The one room without the compiler's guarantees: numbers that Python owns, read without its lock.
#[expect(unsafe_code, reason = "a slice of an array that Python keeps has no lifetime that the compiler could know")]
mod borrowed {
    use super::*;

    /// An array, and where its numbers stand. NumPy neither moves nor frees the numbers of an array that is referred to (and
    /// `resize` refuses).
    struct Borrowed {
        _array: Py<PyAny>,
        numbers: *const f32,
        len: usize,
    }

    // SAFETY: the numbers are only read, and the reference to the array may be dropped on any thread.
    unsafe impl Send for Borrowed {}
    // SAFETY: as above.
    unsafe impl Sync for Borrowed {}

    impl AsRef<[f32]> for Borrowed {
        fn as_ref(&self) -> &[f32] {
            // SAFETY: `values` took both from a slice of the array that is held here. That nobody writes to it meanwhile is
            // the caller's part, as with every function of NumPy and scikit-learn that releases the lock.
            unsafe { std::slice::from_raw_parts(self.numbers, self.len) }
        }
    }

    /// The numbers of an array without gaps, in C order or of one dimension.
    pub fn values<D: numpy::ndarray::Dimension>(array: &numpy::PyReadonlyArray<'_, f32, D>) -> SharedValues {
        match array.as_slice() {
            Ok(numbers) => {
                let held: &Bound<'_, PyArray<f32, D>> = array;
                let _array = held.clone().into_any().unbind();
                SharedValues::of(Borrowed { _array, numbers: numbers.as_ptr(), len: numbers.len() })
            }
            // With gaps: a copy.
            Err(_) => array.to_owned_array().iter().copied().collect::<Vec<f32>>().into(),
        }
    }
}
