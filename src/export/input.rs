//! The input stage: from what a user has, a row of numbers, to what the first layer takes. It knows columns, not what writes
//! them down.

use crate::data::Scale;
use crate::error::Result;
use crate::model_file::ModelMeta;
use crate::tensor_file::Refuse;

/// `(x - center) / scale`, column by column.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct InputStage {
    /// `[in_features]`.
    pub center: Vec<f32>,
    /// `[in_features]`.
    pub scale: Vec<f32>,
    /// What `x` is, for people.
    pub about: String,
}

impl InputStage {
    /// Of pixels from 0 to 255. Both figures of a standard scale are of pixels / 255.
    pub fn of(meta: &ModelMeta, refuse: &Refuse) -> Result<InputStage> {
        let (mean, std) = match meta.scale {
            Scale::Unit => (0.0, 1.0),
            Scale::Standard { mean, std } => (f64::from(mean), f64::from(std)),
        };
        let (center, scale) = ((255.0 * mean) as f32, (255.0 * std) as f32);
        if !center.is_finite() || !scale.is_finite() {
            return Err(refuse.because("scale", format!("{} does not fit f32 once it is of pixels", meta.scale)));
        }
        let (rows, columns) = meta.image_size;
        let features = rows * columns;
        let about = format!("{features} pixels from 0 to 255, row by row, of an image of {rows} x {columns}");
        Ok(InputStage { center: vec![center; features], scale: vec![scale; features], about })
    }
}

/// The one number that all are.
pub(super) fn all_equal(values: &[f32]) -> Option<f32> {
    let (first, others) = values.split_first()?;
    others.iter().all(|value| value.to_bits() == first.to_bits()).then_some(*first)
}
