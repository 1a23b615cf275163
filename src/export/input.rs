//! The input stage: from what a user has, a row of numbers, to what the first layer takes. It knows columns, not what writes
//! them down.

use crate::data::Scale;
use crate::model_file::ModelMeta;

/// `(x / unit - center) * factor`, column by column, with flatnet's own roundings: what is written down computes the same
/// bits from it, and what follows differs by the order of sums alone.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct InputStage {
    /// 255 for pixels.
    pub unit: f32,
    /// `[in_features]`.
    pub center: Vec<f32>,
    /// `[in_features]`: one divided by the scale of each column.
    pub factor: Vec<f32>,
    /// What `x` is, for people.
    pub about: String,
}

impl InputStage {
    /// Of pixels from 0 to 255.
    pub fn of(meta: &ModelMeta) -> InputStage {
        let (center, factor) = match meta.scale {
            Scale::Unit => (0.0, 1.0),
            Scale::Standard { mean, std } => (mean, 1.0 / std),
        };
        let (rows, columns) = meta.image_size;
        let features = rows * columns;
        let about = format!("{features} pixels from 0 to 255, row by row, of an image of {rows} x {columns}");
        InputStage { unit: 255.0, center: vec![center; features], factor: vec![factor; features], about }
    }
}

/// The one number that all are.
pub(super) fn all_equal(values: &[f32]) -> Option<f32> {
    let (first, others) = values.split_first()?;
    others.iter().all(|value| value.to_bits() == first.to_bits()).then_some(*first)
}
