//! One batch as f32, in buffers that are filled again and again. It knows which blocks of its rows hold only zeros, and
//! not where the rows come from.

use super::bit_rows::BitRows;
use super::{CompressedRows, Dataset, Scale, TargetColumns, Targets};
use crate::kernels::pixels::{Selection, scale_rows};
use crate::kernels::sparse::{self, BIT_ROWS_SLACK, Blocks, bit_bytes, blocks_per_row};
use crate::kernels::{AlignedVec, FewRows, Rows, SimdLevel, SparseRows};

/// The features and targets of some samples. [`Loader::load`](super::Loader::load) fills it. A network that takes it leaves
/// out what is zero.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    blocks: Blocks,
    bits: Bits,
    few: Few,
    /// What the blocks of zero pixels are, which are left out there.
    fill: f32,
    /// `[len, width]`, or empty where the blocks or bits say it all.
    x: AlignedVec,
    /// Which of them does.
    encoding: Encoding,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Encoding {
    #[default]
    Dense,
    Blocks,
    Bits,
    Few,
}

/// Rows without their zeros; the fields are those of [`sparse::BitRows`].
#[derive(Debug, Clone, Default)]
struct Bits {
    width: usize,
    bits: Vec<u8>,
    values: AlignedVec,
    starts: Vec<usize>,
}

impl Bits {
    fn rows(&self) -> sparse::BitRows<'_> {
        let Bits { width, bits, values, starts } = self;
        sparse::BitRows { width: *width, bits, values, starts }
    }
}

/// Rows of which hardly anything is left; the fields are those of [`FewRows`].
#[derive(Debug, Clone, Default)]
struct Few {
    width: usize,
    columns: Vec<u32>,
    values: Vec<f32>,
    starts: Vec<usize>,
}

impl Few {
    fn rows(&self) -> FewRows<'_> {
        let Few { width, columns, values, starts } = self;
        FewRows { width: *width, columns, values, starts }
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
        let mut x = vec![0.0; if self.encoding == Encoding::Dense { 0 } else { self.len * self.width }];
        match self.encoding {
            Encoding::Dense => return self.x.to_vec(),
            Encoding::Blocks => self.blocks.copy(self.fill, &mut x),
            Encoding::Few => {
                for (index, x) in x.chunks_exact_mut(self.width.max(1)).enumerate() {
                    let (columns, values) = self.few.rows().row(index, &(0..self.width));
                    columns.iter().zip(values).for_each(|(column, value)| x[*column as usize] = *value);
                }
            }
            Encoding::Bits => {
                let rows = x.chunks_exact_mut(self.width.max(1)).enumerate();
                rows.for_each(|(index, x)| self.bits.rows().copy_row(index, x));
            }
        }
        x
    }

    /// The features in the encoding that they are kept in, as an operand of a kernel.
    #[doc(hidden)]
    pub fn rows(&self) -> Rows<'_> {
        match self.encoding {
            Encoding::Dense => Rows::Dense(&self.x),
            Encoding::Blocks => Rows::Sparse(self.blocks.rows()),
            Encoding::Bits => Rows::Bits(self.bits.rows()),
            Encoding::Few => Rows::Few(self.few.rows()),
        }
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
        let sparse = self.fill == 0.0 && self.len > 0;
        self.encoding = if sparse { Encoding::Blocks } else { Encoding::Dense };
        self.x.set_len(if sparse { 0 } else { self.len * self.width });
        self.blocks.copy(self.fill, &mut self.x);
    }

    /// Fills it with some columns of some rows of numbers. `values: [n, width]`.
    pub(super) fn fill_values(&mut self, values: &[f32], width: usize, rows: &[u32], columns: std::ops::Range<usize>) {
        (self.len, self.width, self.encoding) = (rows.len(), columns.len(), Encoding::Dense);
        self.x.set_len(self.len * self.width);
        // Rows of no columns fill nothing.
        for (x, row) in self.x.chunks_exact_mut(self.width.max(1)).zip(rows) {
            x.copy_from_slice(&values[*row as usize * width..][columns.clone()]);
        }
    }

    /// Fills it with some columns of some rows of numbers, few of which are not zero: without the zeros where hardly any are
    /// left, else without blocks of them. `columns` begins at a whole block.
    pub(super) fn fill_compressed(
        &mut self,
        compressed: &CompressedRows,
        rows: &[u32],
        columns: std::ops::Range<usize>,
    ) {
        (self.len, self.width, self.fill, self.encoding) = (rows.len(), columns.len(), 0.0, Encoding::Few);
        self.x.set_len(0);
        let few = &mut self.few;
        few.width = self.width;
        few.columns.clear();
        few.values.clear();
        few.starts.clear();
        few.starts.push(0);
        for row in rows {
            let (of_row, values) = compressed.row(*row as usize, &columns);
            few.columns.extend(of_row.iter().map(|column| column - columns.start as u32));
            few.values.extend_from_slice(values);
            few.starts.push(few.values.len());
        }
        if !compressed.has_few() {
            self.blocks.fill(few.rows());
            self.encoding = Encoding::Blocks;
        }
    }

    /// Fills it with some columns of some rows of numbers without their zeros; `columns` begins at a whole block. `ahead`: the
    /// rows that come next.
    pub(super) fn fill_bits(
        &mut self,
        simd: SimdLevel,
        packed: &BitRows,
        rows: &[u32],
        ahead: &[u32],
        columns: std::ops::Range<usize>,
    ) {
        (self.len, self.width, self.encoding) = (rows.len(), columns.len(), Encoding::Bits);
        self.x.set_len(0);
        let bytes = bit_bytes(self.width);
        let Bits { width, bits, values, starts } = &mut self.bits;
        *width = self.width;
        bits.resize(rows.len() * bytes, 0);
        values.set_len(rows.iter().map(|row| packed.count(*row as usize)).sum::<usize>() + BIT_ROWS_SLACK);
        starts.clear();
        starts.push(0);
        let mut end = 0;
        for (index, row) in rows.iter().enumerate() {
            if let Some(row) = ahead.get(index) {
                packed.prefetch(simd, *row as usize);
            }
            let (numbers, count) = packed.cut_row(*row as usize, &columns, &mut bits[index * bytes..][..bytes]);
            numbers.write(simd, &mut values[end..][..count]);
            end += count;
            starts.push(end);
        }
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
