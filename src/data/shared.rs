//! Numbers of a data set that may belong to somebody else: to an array of another program, which need not be copied.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Numbers that are kept alive as long as anybody needs them, whoever owns them. A clone is another hold on the same numbers.
///
/// ```
/// use flatnet::data::SharedValues;
/// let values = SharedValues::from(vec![1.0, 2.0]);
/// assert_eq!(values.clone().as_ptr(), values.as_ptr());
/// ```
#[derive(Clone)]
pub struct SharedValues(Arc<dyn AsRef<[f32]> + Send + Sync>);

impl SharedValues {
    /// Those of `owner`, which gives the same numbers whenever it is asked.
    pub fn of(owner: impl AsRef<[f32]> + Send + Sync + 'static) -> Self {
        SharedValues(Arc::new(owner))
    }
}

impl From<Vec<f32>> for SharedValues {
    fn from(values: Vec<f32>) -> Self {
        Self::of(values)
    }
}

impl Deref for SharedValues {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        (*self.0).as_ref()
    }
}

impl fmt::Debug for SharedValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&**self).finish()
    }
}

impl PartialEq for SharedValues {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}
