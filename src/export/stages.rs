//! What stands before the first layer and behind the last: from what a user has, a row of numbers, to what the network takes,
//! and from its outputs to answers. It knows columns, not what writes them down.

use crate::data::{Encoding, Outputs, Preparation, Scale};
use crate::model_file::ModelMeta;

/// `(x / unit - center) * scale` or `(x / unit - center) / scale`, column by column, with flatnet's own roundings: what is
/// written down computes the same bits from it, and what follows differs by the order of sums alone.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct InputStage {
    /// 255 for pixels.
    pub unit: f32,
    /// `[in_features]`.
    pub center: Vec<f32>,
    /// `[in_features]`: what each column is multiplied by, or divided by.
    pub scale: Vec<f32>,
    /// Whether by that it is divided.
    pub divides: bool,
    /// What `x` is, for people.
    pub about: String,
}

/// What becomes of the last layer's outputs.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum OutputStage {
    /// They are logits of classes.
    Classes {
        /// Which classes, for people.
        about: String,
    },
    /// They are logits of labels, each there or not.
    Labels {
        /// Which labels, for people.
        about: String,
    },
    /// `z * scale + center` are values.
    Values {
        /// `[out_features]`
        center: Vec<f32>,
        /// `[out_features]`
        scale: Vec<f32>,
        /// Which values, for people.
        about: String,
    },
}

impl InputStage {
    /// Of pixels from 0 to 255, or of the columns of a table.
    pub fn of(meta: &ModelMeta) -> InputStage {
        let (rows, columns) = meta.image_size;
        let features = rows * columns;
        match &meta.preparation {
            Some(preparation) if !preparation.features.are_pixels() => {
                let (center, scale) = preparation.features.affine();
                let about = format!("{features} numbers, the columns {}", columns_of(preparation));
                InputStage { unit: 1.0, center, scale, divides: true, about }
            }
            _ => {
                let (center, factor) = match meta.scale {
                    Scale::Unit => (0.0, 1.0),
                    Scale::Standard { mean, std } => (mean, 1.0 / std),
                };
                let (center, scale) = (vec![center; features], vec![factor; features]);
                let about = format!("{features} pixels from 0 to 255, row by row, of an image of {rows} x {columns}");
                InputStage { unit: 255.0, center, scale, divides: false, about }
            }
        }
    }
}

impl OutputStage {
    /// Of a model's outputs.
    pub fn of(meta: &ModelMeta) -> OutputStage {
        let named = |names: &[&str]| names.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", ");
        match meta.preparation.as_ref().map(|preparation| &preparation.outputs) {
            Some(Outputs::Regress { columns }) => OutputStage::Values {
                center: columns.iter().map(|column| column.center as f32).collect(),
                scale: columns.iter().map(|column| column.scale as f32).collect(),
                about: named(&columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>()),
            },
            Some(outputs @ Outputs::MultiLabel { .. }) => OutputStage::Labels { about: named(&outputs.names()) },
            _ if meta.class_names.is_empty() => OutputStage::Classes { about: format!("{} classes", meta.classes) },
            _ => {
                let names: Vec<&str> = meta.class_names.iter().map(String::as_str).collect();
                OutputStage::Classes { about: format!("{} classes: {}", meta.classes, named(&names)) }
            }
        }
    }
}

/// Names of the inputs, those of words with each of their words.
fn columns_of(preparation: &Preparation) -> String {
    let column = |column: &crate::data::FeatureColumn| match &column.encoding {
        Encoding::Number { .. } => plain(&column.name),
        Encoding::Words { words } => {
            let words: Vec<String> = words.iter().map(|word| plain(word)).collect();
            format!("{} (1 for its word and else 0: {})", plain(&column.name), words.join(", "))
        }
    };
    preparation.features.columns.iter().map(column).collect::<Vec<_>>().join(", ")
}

/// A name from a file, as it may stand in a comment of any language.
fn plain(name: &str) -> String {
    let name: String = name.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    name.replace("*/", "* /").replace("/*", "/ *").replace('\\', "/")
}

/// The one number that all are.
pub(super) fn all_equal(values: &[f32]) -> Option<f32> {
    let (first, others) = values.split_first()?;
    others.iter().all(|value| value.to_bits() == first.to_bits()).then_some(*first)
}
