//! One batch as f32, in buffers that are filled again and again. It knows which blocks of its rows hold only zeros, and
//! not where the rows come from.

use super::Scale;
use crate::kernels::occupancy::{BLOCK, SparseRows, blocks_per_row, words_per_row};
use crate::kernels::pixels::{ScaledRows, Selection, scale_rows};
use crate::kernels::{AlignedVec, Features, SimdLevel};

/// The features and labels of some samples. [`Loader::load`](super::Loader::load) fills it; as [`Features`] it goes into a
/// network, which then leaves out what is zero.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    blocks: Blocks,
    /// What the blocks of zero pixels are, which are left out there.
    blank: f32,
    /// `[len, width]`; empty where blocks suffice.
    x: AlignedVec,
    labels: Vec<u8>,
    level: SimdLevel,
    blocks_suffice: bool,
}

/// Rows without their blocks of zero pixels; the fields are those of [`SparseRows`].
#[derive(Debug, Clone, Default)]
struct Blocks {
    width: usize,
    occupied: Vec<u64>,
    blocks: AlignedVec,
    starts: Vec<usize>,
}

impl Blocks {
    fn rows(&self) -> SparseRows<'_, f32> {
        SparseRows {
            occupied: &self.occupied,
            words: words_per_row(self.width),
            blocks: self.blocks.as_chunks().0,
            starts: &self.starts,
        }
    }

    /// Room for `len` rows of `width` features, whatever they hold.
    fn resize(&mut self, len: usize, width: usize) -> ScaledRows<'_> {
        self.width = width;
        self.occupied.resize(len * words_per_row(width), 0);
        self.blocks.set_len(len * blocks_per_row(width) * BLOCK);
        self.starts.clear();
        self.starts.resize(len + 1, 0);
        ScaledRows { occupied: &mut self.occupied, blocks: self.blocks.as_chunks_mut().0, starts: &mut self.starts }
    }
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

    /// The same, for readers that leave out zeros: rows are written in full only where zero pixels are another number.
    pub(crate) fn of_blocks(self) -> Self {
        Batch { blocks_suffice: true, ..self }
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
        images: SparseRows<'_, u8>,
        selection: Selection<'_>,
        labels: impl Iterator<Item = u8>,
    ) {
        let (len, width) = (selection.rows.len(), selection.width);
        self.labels.clear();
        self.labels.extend(labels);
        let scaled = self.blocks.resize(len, width);
        if width > 0 {
            scale_rows(self.level, scale.of_pixels(), images, selection, scaled);
        }
        self.blank = scale.apply(0);
        let in_full = !self.blocks_suffice || self.blank != 0.0;
        self.x.set_len(if in_full { len * width } else { 0 });
        for sample in 0..self.x.len().checked_div(width).unwrap_or(0) {
            self.blocks.rows().copy_row(sample, self.blank, &mut self.x[sample * width..][..width]);
        }
    }
}

impl<'a> From<&'a Batch> for Features<'a> {
    fn from(batch: &'a Batch) -> Self {
        let left_out_are_zeros = batch.blank == 0.0 && !batch.is_empty();
        Features { values: &batch.x, sparse: left_out_are_zeros.then(|| batch.blocks.rows()) }
    }
}
