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
    /// `[len, width]`, or empty where zero pixels are 0: then the blocks say it all.
    x: AlignedVec,
    labels: Vec<u8>,
    level: SimdLevel,
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
            width: self.width,
            blocks: self.blocks.as_chunks().0,
            starts: &self.starts,
        }
    }

    /// Writes all rows in full, with `blank` for what is left out: `x: [rows, width]`, overwritten.
    fn copy(&self, blank: f32, x: &mut [f32]) {
        // Rows of no features fill nothing.
        for (index, x) in x.chunks_exact_mut(self.width.max(1)).enumerate() {
            self.rows().copy_row(index, blank, x);
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

    /// How many samples it holds.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// `[len, width]`, row-major. A copy: a batch is kept without its blocks of zeros.
    pub fn x(&self) -> Vec<f32> {
        let mut x = vec![0.0; self.len() * self.blocks.width];
        self.blocks.copy(self.blank, &mut x);
        x
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
        self.x.set_len(if self.blank == 0.0 { 0 } else { len * width });
        self.blocks.copy(self.blank, &mut self.x);
    }
}

impl<'a> From<&'a Batch> for Features<'a> {
    fn from(batch: &'a Batch) -> Self {
        match batch.blank == 0.0 && !batch.is_empty() {
            true => Features::Sparse(batch.blocks.rows()),
            false => Features::Dense(&batch.x),
        }
    }
}
