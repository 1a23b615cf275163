//! One batch as f32, in buffers that are filled again and again. It knows which blocks of its rows hold only zeros, and
//! not where the rows come from.

use super::{CompressedRows, Dataset, Scale, TargetColumns, Targets};
use crate::kernels::pixels::{ScaledRows, Selection, scale_rows};
use crate::kernels::sparse::{BLOCK, blocks_per_row, words_per_row};
use crate::kernels::{AlignedVec, Rows, SimdLevel, SparseRows};

/// The features and targets of some samples. [`Loader::load`](super::Loader::load) fills it. A network that takes it leaves
/// out what is zero.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    blocks: Blocks,
    /// What the blocks of zero pixels are, which are left out there.
    fill: f32,
    /// `[len, width]`, or empty where the blocks say it all.
    x: AlignedVec,
    /// Whether `x` does not say it all, and the blocks do.
    sparse: bool,
    width: usize,
    len: usize,
    /// `[len]`, if targets are classes.
    labels: Vec<u32>,
    /// `[len, outputs]`, if targets are values.
    values: Vec<f32>,
    classes: bool,
    /// `[len]`, if samples have weights.
    weights: Vec<f32>,
    weighted: bool,
    /// Room for whoever fills it.
    places: Vec<u32>,
}

/// Rows without their blocks of zero pixels; the fields are those of [`SparseRows`].
#[derive(Debug, Clone, Default)]
struct Blocks {
    width: usize,
    mask: Vec<u64>,
    blocks: AlignedVec,
    starts: Vec<usize>,
}

impl Blocks {
    fn rows(&self) -> SparseRows<'_, f32> {
        SparseRows { mask: &self.mask, width: self.width, blocks: self.blocks.as_chunks().0, starts: &self.starts }
    }

    /// Writes all rows as dense values, with `fill` for what is left out: `x: [rows, width]`, overwritten.
    fn copy(&self, fill: f32, x: &mut [f32]) {
        // Rows of no features fill nothing.
        for (index, x) in x.chunks_exact_mut(self.width.max(1)).enumerate() {
            self.rows().copy_row(index, fill, x);
        }
    }

    /// Room for `len` rows of `width` features, whatever they hold, in at most so many blocks.
    fn resize(&mut self, len: usize, width: usize, blocks: usize) -> ScaledRows<'_> {
        self.width = width;
        self.mask.resize(len * words_per_row(width), 0);
        self.blocks.set_len(blocks * BLOCK);
        self.starts.clear();
        self.starts.resize(len + 1, 0);
        ScaledRows { mask: &mut self.mask, blocks: self.blocks.as_chunks_mut().0, starts: &mut self.starts }
    }
}

impl Batch {
    /// An empty batch; it grows with the largest one loaded.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many samples it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds no sample.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// `[len, width]`, row-major. A copy: a batch is kept without its blocks of zeros.
    pub fn x(&self) -> Vec<f32> {
        if !self.sparse {
            return self.x.to_vec();
        }
        let mut x = vec![0.0; self.len * self.width];
        self.blocks.copy(self.fill, &mut x);
        x
    }

    /// The features in the encoding that they are kept in, as an operand of a kernel.
    #[doc(hidden)]
    pub fn rows(&self) -> Rows<'_> {
        if self.sparse { Rows::Sparse(self.blocks.rows()) } else { Rows::Dense(&self.x) }
    }

    /// What its samples should give.
    pub fn targets(&self) -> Targets<'_> {
        if self.classes { Targets::Classes(&self.labels) } else { Targets::Values(&self.values) }
    }

    /// `[len]`: what each sample counts; `None` where all count the same.
    pub fn weights(&self) -> Option<&[f32]> {
        self.weighted.then_some(&*self.weights)
    }

    /// Room for places of rows, to be given back, so that it is allocated once.
    pub(super) fn take_places(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.places)
    }

    /// Takes it back.
    pub(super) fn give_places(&mut self, places: Vec<u32>) {
        self.places = places;
    }

    /// Fills it with some columns of some images.
    pub(super) fn fill_pixels(
        &mut self,
        simd: SimdLevel,
        scale: Scale,
        images: SparseRows<'_, u8>,
        selection: Selection<'_>,
    ) {
        (self.len, self.width) = (selection.rows.len(), selection.width);
        let scaled = self.blocks.resize(self.len, self.width, self.len * blocks_per_row(self.width));
        if self.width > 0 {
            scale_rows(simd, scale.of_pixels(), images, selection, scaled);
        }
        self.fill = scale.apply(0);
        // Zeros that become another number cannot be left out.
        self.sparse = self.fill == 0.0 && self.len > 0;
        self.x.set_len(if self.sparse { 0 } else { self.len * self.width });
        self.blocks.copy(self.fill, &mut self.x);
    }

    /// Fills it with some columns of some rows of numbers. `values: [n, width]`.
    pub(super) fn fill_values(&mut self, values: &[f32], width: usize, rows: &[u32], columns: std::ops::Range<usize>) {
        (self.len, self.width, self.sparse) = (rows.len(), columns.len(), false);
        self.x.set_len(self.len * self.width);
        // Rows of no columns fill nothing.
        for (x, row) in self.x.chunks_exact_mut(self.width.max(1)).zip(rows) {
            x.copy_from_slice(&values[*row as usize * width..][columns.clone()]);
        }
    }

    /// Fills it with some columns of some rows of numbers, few of which are not zero: without the blocks of zeros.
    /// `columns` begins at a whole block.
    pub(super) fn fill_compressed(
        &mut self,
        compressed: &CompressedRows,
        rows: &[u32],
        columns: std::ops::Range<usize>,
    ) {
        (self.len, self.width, self.fill, self.sparse) = (rows.len(), columns.len(), 0.0, true);
        self.x.set_len(0);
        let of = |row: &u32| compressed.row(*row as usize, &columns);
        let (words, of_row) = (words_per_row(self.width), blocks_per_row(self.width));
        let most = rows.iter().map(|row| of(row).0.len().min(of_row)).sum();
        let ScaledRows { mask, blocks, starts } = self.blocks.resize(self.len, self.width, most);
        mask.fill(0);
        let mut end = 0;
        for (index, row) in rows.iter().enumerate() {
            let (of_row, values) = of(row);
            let (mask, first) = (&mut mask[index * words..][..words], end);
            let mut last = usize::MAX;
            for (column, value) in of_row.iter().zip(values).filter(|(_, value)| **value != 0.0) {
                let column = *column as usize - columns.start;
                let block = column / BLOCK;
                if block != last {
                    (last, blocks[end]) = (block, [0.0; BLOCK]);
                    mask[block / 64] |= 1 << (block % 64);
                    end += 1;
                }
                blocks[end - 1][column % BLOCK] = *value;
            }
            starts[index] = first;
        }
        starts[self.len] = end;
    }

    /// Fills it with the targets and weights of the same rows.
    pub(super) fn fill_targets(&mut self, data: &Dataset, rows: &[u32]) {
        match data.targets() {
            TargetColumns::Classes { labels, .. } => {
                self.classes = true;
                self.labels.clear();
                self.labels.extend(rows.iter().map(|row| u32::from(labels[*row as usize])));
            }
            TargetColumns::Values { values, width } => {
                self.classes = false;
                self.values.clear();
                for row in rows {
                    self.values.extend_from_slice(&values[*row as usize * width..][..*width]);
                }
            }
        }
        self.weights.clear();
        self.weighted = data.weights().is_some();
        if let Some(weights) = data.weights() {
            self.weights.extend(rows.iter().map(|row| weights[*row as usize]));
        }
    }
}
