//! What samples should give: class numbers or values, of a whole set and of a batch. It knows no columns and no loss.

use super::columns::gather;
use super::messages::refusal;
use super::together;
use crate::error::Result;

/// Class numbers are kept in 16 bits.
pub(super) const MAX_CLASSES: usize = 1 << 16;

/// The targets of `m` samples, as a loss takes them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Targets<'a> {
    /// `[m]`: the class number of each sample.
    Classes(&'a [u32]),
    /// `[m, outputs]`, row-major: what each output should be.
    Values(&'a [f32]),
}

/// The targets of a data set.
#[derive(Debug, Clone, PartialEq)]
pub enum TargetColumns {
    /// One of several classes for each sample.
    Classes {
        /// `[len]`, each below `classes`.
        labels: Vec<u16>,
        /// 2 to 65,536.
        classes: usize,
    },
    /// One or more numbers for each sample.
    Values {
        /// `[len, width]`, row-major, all finite.
        values: Vec<f32>,
        /// At least 1.
        width: usize,
    },
}

impl TargetColumns {
    /// Samples.
    pub fn len(&self) -> usize {
        match self {
            TargetColumns::Classes { labels, .. } => labels.len(),
            TargetColumns::Values { values, width } => values.len().checked_div(*width).unwrap_or(0),
        }
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An error that names `source` unless they are as this type says.
    pub(super) fn check(&self, source: &str) -> Result<()> {
        let refuse = |what: String, expected: String, found: String| Err(refusal(source, &what, expected, found));
        match self {
            TargetColumns::Classes { classes, .. } if !(2..=MAX_CLASSES).contains(classes) => {
                refuse("classes".into(), format!("2 to {MAX_CLASSES}"), classes.to_string())
            }
            TargetColumns::Classes { labels, classes } => {
                match labels.iter().position(|label| usize::from(*label) >= *classes) {
                    Some(row) => {
                        refuse(format!("label of row {row}"), format!("below {classes}"), labels[row].to_string())
                    }
                    None => Ok(()),
                }
            }
            TargetColumns::Values { values, width } if *width == 0 || !values.len().is_multiple_of(*width) => {
                let expected = format!("whole rows of {width} (at least 1)");
                refuse("target values".into(), expected, values.len().to_string())
            }
            TargetColumns::Values { values, width } => match values.iter().position(|value| !value.is_finite()) {
                Some(at) => {
                    let what = format!("target {} of row {}", at % width, at / width);
                    refuse(what, "a finite number".into(), values[at].to_string())
                }
                None => Ok(()),
            },
        }
    }

    /// Adds those of more samples, of the same classes or values.
    pub(super) fn append(&mut self, more: TargetColumns) {
        match (self, more) {
            (TargetColumns::Classes { labels, .. }, TargetColumns::Classes { labels: more, .. }) => labels.extend(more),
            (TargetColumns::Values { values, .. }, TargetColumns::Values { values: more, .. }) => values.extend(more),
            (TargetColumns::Classes { .. } | TargetColumns::Values { .. }, _) => {}
        }
    }

    /// All of them, two bytes for a label and four for a value.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        match self {
            TargetColumns::Classes { labels, .. } => labels.iter().flat_map(|label| label.to_le_bytes()).collect(),
            TargetColumns::Values { values, .. } => together::to_bytes(values),
        }
    }

    /// Others of the same classes or values, from such bytes.
    pub(super) fn of_bytes(&self, bytes: &[u8]) -> Self {
        match self {
            TargetColumns::Classes { classes, .. } => {
                let labels = bytes.as_chunks().0.iter().map(|bytes| u16::from_le_bytes(*bytes));
                TargetColumns::Classes { labels: labels.collect(), classes: *classes }
            }
            TargetColumns::Values { width, .. } => {
                TargetColumns::Values { values: together::numbers(bytes).collect(), width: *width }
            }
        }
    }

    /// Those of some rows, in that order.
    pub(super) fn select(&self, rows: &[u32]) -> Self {
        match self {
            TargetColumns::Classes { labels, classes } => {
                TargetColumns::Classes { labels: gather(labels, 1, rows), classes: *classes }
            }
            TargetColumns::Values { values, width } => {
                TargetColumns::Values { values: gather(values, *width, rows), width: *width }
            }
        }
    }
}
