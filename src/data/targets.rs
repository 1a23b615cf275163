//! What the samples of a batch should give: class numbers or values. It knows no data set and no loss.

/// The targets of `m` samples, as a loss takes them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Targets<'a> {
    /// `[m]`: the class number of each sample.
    Classes(&'a [u32]),
    /// `[m, outputs]`, row-major: what each output should be.
    Values(&'a [f32]),
}
