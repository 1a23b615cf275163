//! One batch as f32, in buffers that are filled again and again. It knows which blocks of its rows hold only zeros, and
//! not where the rows come from.

use super::Scale;
use crate::kernels::occupancy::words_per_row;
use crate::kernels::pixels::{Blanks, Selection, SparseRows, scale_rows};
use crate::kernels::{AlignedVec, Features, SimdLevel};

/// The features and labels of some samples. [`Loader::load`](super::Loader::load) fills it; as [`Features`] it goes into a
/// network, which then leaves out what is zero.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// `[len, width]`.
    x: AlignedVec,
    /// `[largest len, words_per_row(width)]`: the blocks of `x` that hold anything but zeros.
    occupied: Vec<u64>,
    labels: Vec<u8>,
    width: usize,
    level: SimdLevel,
    blanks: Blanks,
}

impl Batch {
    /// An empty batch; it grows with the largest one loaded.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, filled on a given SIMD level.
    pub fn at_level(self, level: SimdLevel) -> Self {
        Batch { level, ..self }
    }

    /// The same, for readers that leave out what is not occupied: there it holds what earlier batches left.
    pub(crate) fn with_blanks(self, blanks: Blanks) -> Self {
        Batch { blanks, ..self }
    }

    /// How many samples it holds.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// `[len, width]`, row-major.
    pub fn x(&self) -> &[f32] {
        &self.x
    }

    /// `[len]`: class numbers.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// Fills it with some columns of some rows; `labels` are theirs.
    pub(super) fn fill(
        &mut self,
        scale: Scale,
        images: SparseRows<'_>,
        selection: Selection<'_>,
        labels: impl Iterator<Item = u8>,
    ) {
        let (len, width) = (selection.rows.len(), selection.width);
        let words = words_per_row(width);
        if self.width != width || self.x.capacity() < len * width {
            // From here on every row starts elsewhere: begin with zeros.
            self.x = AlignedVec::zeros(len * width);
            self.occupied.clear();
            self.width = width;
        }
        self.x.set_len(len * width);
        if self.occupied.len() < len * words {
            self.occupied.resize(len * words, 0);
        }
        self.labels.clear();
        self.labels.extend(labels);
        if width > 0 {
            let (scale, occupied) = (scale.of_pixels(), &mut self.occupied[..len * words]);
            scale_rows(self.level, scale, self.blanks, images, selection, &mut self.x, occupied);
        }
    }
}

impl<'a> From<&'a Batch> for Features<'a> {
    fn from(batch: &'a Batch) -> Self {
        let words = words_per_row(batch.width) * batch.len();
        Features { values: &batch.x, occupied: Some(&batch.occupied[..words]) }
    }
}
