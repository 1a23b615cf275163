//! Rows of numbers of which many are zero, without the zeros: a bit for every feature says whether a row has one. Less memory
//! moves in every epoch, and a wide layer's kernel takes such rows as they are. It must not know targets.

use std::ops::Range;

use crate::kernels::SimdLevel;
use crate::kernels::bit_rows::{Code, Kept, decode, leave_out_zeros};
use crate::kernels::prefetch::{prefetch_bytes, prefetch_numbers};
use crate::kernels::sparse::{BIT_ROWS_SLACK, bit_bytes};

/// Rows of `width` numbers each.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct BitRows {
    width: usize,
    /// `[len, bit_bytes(width)]`: bit `feature % 8` of byte `feature / 8` says whether the row has it.
    bits: Vec<u8>,
    /// Those that are not zero, row after row, and some more.
    values: Values,
    /// `[len + 1]`: where each row's values begin, and where the last one's end.
    starts: Vec<usize>,
}

/// Numbers as they are, or as the bytes that they are made of.
#[derive(Debug, Clone, PartialEq)]
enum Values {
    Numbers(Vec<f32>),
    Bytes(Vec<u8>, Code),
}

/// Some of them, next to one another.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cut<'a> {
    Numbers(&'a [f32]),
    Bytes(&'a [u8], Code),
}

impl Cut<'_> {
    /// Writes the numbers: `into`, as many, overwritten.
    pub fn write(self, simd: SimdLevel, into: &mut [f32]) {
        match self {
            Cut::Numbers(numbers) => into.copy_from_slice(numbers),
            Cut::Bytes(bytes, code) => decode(simd, code, bytes, into),
        }
    }
}

impl Values {
    fn cut(&self, range: Range<usize>) -> Cut<'_> {
        match self {
            Values::Numbers(numbers) => Cut::Numbers(&numbers[range]),
            Values::Bytes(bytes, code) => Cut::Bytes(&bytes[range], *code),
        }
    }
}

impl BitRows {
    /// Takes over `x: [n, width]`, unless more than half of its numbers are other than zero (to judge by 64 of its rows) or one is
    /// not finite.
    pub fn of(x: &[f32], width: usize) -> Option<Self> {
        const LOOKED_AT: usize = 64;
        let rows = x.len() / width;
        let looked_at = x.chunks_exact(width).step_by(rows.div_ceil(LOOKED_AT).max(1));
        let all = looked_at.len() * width;
        let found: Vec<f32> = looked_at.flatten().copied().filter(|value| *value != 0.0).collect();
        if 2 * found.len() > all || found.is_empty() {
            return None;
        }
        // A tenth more than those rows say; if that is too little, it grows.
        let expected = (x.len() as f64 * 1.1 * found.len() as f64 / all as f64) as usize;
        let code = Code::ALL.into_iter().find(|code| found.iter().all(|value| code.has(*value)));
        let bytes = code.and_then(|code| {
            let (bits, bytes, starts) = taken_over(x, width, code, expected)?;
            Some(BitRows { width, bits, values: Values::Bytes(bytes, code), starts })
        });
        bytes.or_else(|| {
            let (bits, numbers, starts) = taken_over(x, width, Code::Unit, expected)?;
            Some(BitRows { width, bits, values: Values::Numbers(numbers), starts })
        })
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Writes row `index` with its zeros: `values: [width]`, overwritten.
    pub fn copy_row(&self, index: usize, values: &mut [f32]) {
        let bytes = bit_bytes(self.width);
        let (bits, starts) = (&self.bits[index * bytes..][..bytes], &self.starts[index..index + 2]);
        let mut kept = vec![0.0; starts[1] - starts[0]];
        self.values.cut(starts[0]..starts[1]).write(SimdLevel::detect(), &mut kept);
        let mut kept = kept.iter();
        for (feature, value) in values.iter_mut().enumerate() {
            let has = bits[feature / 8] >> (feature % 8) & 1 == 1;
            *value = if has { kept.next().copied().unwrap_or_default() } else { 0.0 };
        }
    }

    /// How many numbers row `index` has.
    pub fn count(&self, index: usize) -> usize {
        self.starts[index + 1] - self.starts[index]
    }

    /// Row `index` will be asked for.
    pub fn prefetch(&self, simd: SimdLevel, index: usize) {
        let bytes = bit_bytes(self.width);
        prefetch_bytes(simd, &self.bits[index * bytes..][..bytes]);
        match self.values.cut(self.starts[index]..self.starts[index + 1]) {
            Cut::Bytes(bytes, _) => prefetch_bytes(simd, bytes),
            Cut::Numbers(numbers) => prefetch_numbers(simd, numbers),
        }
    }

    /// Of row `index` the `columns`, which begin at a whole byte of bits: `bits: [bit_bytes(columns)]`, overwritten; and the values
    /// that they stand for.
    pub fn cut_row(&self, index: usize, columns: &Range<usize>, bits: &mut [u8]) -> (Cut<'_>, usize) {
        let bytes = bit_bytes(self.width);
        let all = &self.bits[index * bytes..][..bytes];
        let start = self.starts[index];
        if columns.len() == self.width {
            bits.copy_from_slice(all);
            return (self.values.cut(start..self.starts[index + 1]), self.count(index));
        }
        let count = |bytes: &[u8]| bytes.iter().map(|byte| byte.count_ones() as usize).sum::<usize>();
        let (before, from) = all.split_at(columns.start / 8);
        let (whole, rest) = (columns.len() / 8, columns.len() % 8);
        bits.fill(0);
        bits[..whole].copy_from_slice(&from[..whole]);
        if rest > 0 {
            bits[whole] = from[whole] & !(u8::MAX << rest);
        }
        let (first, len) = (start + count(before), count(bits));
        (self.values.cut(first..first + len), len)
    }

    pub fn not_zero(&self) -> u64 {
        *self.starts.last().unwrap_or(&0) as u64
    }

    /// The rows of these numbers, in that order.
    pub fn select(&self, rows: &[u32]) -> Self {
        let (bytes, mut starts) = (bit_bytes(self.width), vec![0]);
        let mut bits = Vec::with_capacity(rows.len() * bytes);
        for row in rows {
            bits.extend_from_slice(&self.bits[*row as usize * bytes..][..bytes]);
            starts.push(starts[starts.len() - 1] + self.count(*row as usize));
        }
        let values = match &self.values {
            Values::Numbers(numbers) => Values::Numbers(self.picked(numbers, rows)),
            Values::Bytes(bytes, code) => Values::Bytes(self.picked(bytes, rows), *code),
        };
        BitRows { width: self.width, bits, values, starts }
    }

    fn picked<T: Copy>(&self, values: &[T], rows: &[u32]) -> Vec<T> {
        let of_row = |row: &u32| &values[self.starts[*row as usize]..self.starts[*row as usize + 1]];
        rows.iter().flat_map(of_row).copied().collect()
    }
}

/// Bits, values and where rows begin.
fn taken_over<T: Kept>(x: &[f32], width: usize, code: Code, expected: usize) -> Option<(Vec<u8>, Vec<T>, Vec<usize>)> {
    let rows = x.len() / width;
    let (mut bits, mut starts) = (vec![0; rows * bit_bytes(width)], Vec::with_capacity(rows + 1));
    let mut values = Vec::with_capacity(expected + BIT_ROWS_SLACK);
    leave_out_zeros(SimdLevel::detect(), code, x, width, &mut bits, &mut values, &mut starts)
        .then_some((bits, values, starts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::columns::Columns;
    use crate::data::{Batch, Dataset, Loader, Shuffle, TargetColumns};
    use crate::kernels::Rows;

    fn targets(len: usize) -> TargetColumns {
        TargetColumns::Values { values: (0..len).map(|row| row as f32).collect(), width: 1 }
    }

    /// Some columns of some rows, over what another batch left, of widths within and beyond a word of 64 features.
    #[test]
    fn batches_hold_what_those_of_dense_rows_hold() {
        let mut loaded = Batch::new();
        for width in [1, 7, 16, 21, 64, 100, 784] {
            // Half of the widths as bytes.
            let number = |i: usize| if width % 2 == 0 { (i % 250) as f32 / 255.0 } else { i as f32 - 9.3 };
            let dense: Vec<f32> =
                (0..6 * width).map(|i| if i % 5 == 3 || i % 97 < 2 { number(i) } else { 0.0 }).collect();
            let set = |zeros: bool| {
                let make = if zeros { Dataset::from_shared_values } else { Dataset::from_values_without_zeros };
                make(dense.clone().into(), width, targets(6), "s".into()).unwrap()
            };
            let (dense, packed) = (set(true), set(false));
            let Columns::Bits(rows) = packed.columns() else { panic!("{width}: dense") };
            assert_eq!(matches!(rows.values, Values::Bytes(..)), width % 2 == 0);
            assert_eq!((packed.sha256().unwrap(), packed.features()), (dense.sha256().unwrap(), width));
            assert_eq!(packed.share_not_zero().unwrap(), dense.share_not_zero().unwrap());
            for picked in [None, Some([4, 0, 4])] {
                let pick = |set: &Dataset| picked.map_or_else(|| set.clone(), |rows| set.select(&rows));
                let (dense, packed) = (pick(&dense), pick(&packed));
                let load = |set: &Dataset, batch, columns: &Range<usize>, into: &mut Batch| {
                    let loader = Loader::new(set, 2, Shuffle::Never, 0).unwrap();
                    loader.load_columns(batch, columns.clone(), SimdLevel::detect(), into);
                };
                for columns in [0..width, width / 32 * 16..width, 0..width / 2] {
                    let mut wanted = Batch::new();
                    for batch in 0..packed.len().div_ceil(2) {
                        load(&dense, batch, &columns, &mut wanted);
                        load(&packed, batch, &columns, &mut loaded);
                        let found = (loaded.x(), loaded.targets());
                        assert_eq!(found, (wanted.x(), wanted.targets()), "{width} {columns:?}");
                        assert!(matches!(loaded.rows(), Rows::Bits(_)));
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_dense_stays_dense_and_what_is_not_finite_is_refused() {
        let set = |x: Vec<f32>, width| Dataset::from_values_without_zeros(x.into(), width, targets(4), "s".into());
        let dense = set(vec![1.0; 12], 3).unwrap();
        assert!(matches!(dense.columns(), Columns::Values { .. }));
        // Bytes, to judge by the rows that are looked at; in the last row, another number.
        let mut x = vec![0.0; 1000 * 20];
        x.iter_mut().step_by(7).for_each(|x| *x = 1.0);
        x[20_000 - 7] = 0.123;
        let targets = TargetColumns::Values { values: vec![0.0; 1000], width: 1 };
        let packed = Dataset::from_values_without_zeros(x.into(), 20, targets, "s".into()).unwrap();
        let Columns::Bits(rows) = packed.columns() else { panic!("dense") };
        assert!(matches!(rows.values, Values::Numbers(_)));
        for (at, wrong) in [(0, f32::NAN), (18, f32::INFINITY), (36, f32::NEG_INFINITY), (79, f32::NAN)] {
            let mut x = vec![0.0; 80];
            (x[1], x[at]) = (1.0, wrong);
            let wanted = format!("s: row {}, column {}: expected a finite number", at / 20, at % 20);
            let error = set(x, 20).unwrap_err().to_string();
            assert!(error.starts_with(&wanted), "{error}");
        }
        assert!(set(vec![0.0; 11], 3).is_err());
    }
}
