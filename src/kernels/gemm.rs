//! Matrix products by the matrixmultiply crate: the only call into it, and the only `unsafe` of flatnet.
//! It checks every shape against its buffer before it hands over a pointer; it knows nothing of layers.
#![allow(unsafe_code)]

use std::ops::Range;

use crate::kernels::{AlignedVec, Output, SimdLevel, pointwise};

/// A matrix to read, laid in a slice: element `(row, column)` stands at `row * row_stride + column * column_stride`.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// All of `values` as a row-major `[rows, columns]`.
    ///
    /// # Panics
    /// If `values` is not `rows * columns` long.
    pub fn row_major(values: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(Some(values.len()), rows.checked_mul(columns), "a [{rows}, {columns}] matrix");
        Matrix { values, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// The same memory read as the transpose.
    pub fn transposed(self) -> Self {
        Matrix {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// Some neighbouring columns of it.
    ///
    /// # Panics
    /// If the range is empty or ends beyond the matrix.
    pub fn columns(self, range: Range<usize>) -> Self {
        assert!(range.start < range.end && range.end <= self.columns, "columns {range:?} of {}", self.columns);
        let start = range.start.saturating_mul(self.column_stride).min(self.values.len());
        Matrix { values: &self.values[start..], columns: range.len(), ..self }
    }

    /// Some neighbouring rows of it.
    ///
    /// # Panics
    /// If the range is empty or ends beyond the matrix.
    pub fn rows(self, range: Range<usize>) -> Self {
        self.transposed().columns(range).transposed()
    }

    /// Index one past the last element, what a kernel may touch; `None` if no memory is so large.
    fn end(&self) -> Option<usize> {
        if self.rows == 0 || self.columns == 0 {
            return Some(0);
        }
        let last_row = (self.rows - 1).checked_mul(self.row_stride)?;
        let last_column = (self.columns - 1).checked_mul(self.column_stride)?;
        last_row.checked_add(last_column)?.checked_add(1)
    }
}

/// `c = a b`, in f32; what `c` held is not read, so it may be anything, NaN included.
///
/// `a: [m, k]`, `b: [k, n]`, any strides; `c: [m, n]` row-major, all of the slice.
/// An element's sum runs over `k` in an order that depends on `k` alone, so a product cut into bands of rows or
/// columns of `c` gives the same bits as the whole.
///
/// # Panics
/// If the shapes do not fit each other or `c`.
pub fn gemm(a: Matrix<'_>, b: Matrix<'_>, c: &mut [f32]) {
    sgemm(a, b, 0.0, c);
}

/// The same with a choice of what becomes of the product; `scratch` is any buffer, and keeps its room.
///
/// # Panics
/// As [`gemm`].
pub fn gemm_into(
    level: SimdLevel,
    a: Matrix<'_>,
    b: Matrix<'_>,
    output: Output,
    scratch: &mut AlignedVec,
    c: &mut [f32],
) {
    /// Floats of a band of the product, which stays in L2 until the weight has met it. Smaller bands would stay in L1, but
    /// `b` is packed anew for each.
    const BAND: usize = 64 * 1024;
    match output {
        Output::Overwrite => sgemm(a, b, 0.0, c),
        Output::Accumulate => sgemm(a, b, 1.0, c),
        Output::Descend { lr } => {
            check_product(a, b, c);
            // Bands of one size, of whole tiles of every micro-kernel that matrixmultiply has.
            let bands = c.len().div_ceil(BAND).max(1);
            let rows = a.rows.div_ceil(bands).next_multiple_of(64).max(64);
            for (band, c) in c.chunks_mut(rows.saturating_mul(b.columns.max(1))).enumerate() {
                scratch.set_len(c.len());
                let end = (band * rows + rows).min(a.rows);
                sgemm(a.rows(band * rows..end), b, 0.0, scratch);
                pointwise::sgd_step(level, lr, scratch, c);
            }
        }
    }
}

/// Sizes whose product is more than memory has are no sizes of `c`, even where the product wraps to its length.
fn check_product(a: Matrix<'_>, b: Matrix<'_>, c: &[f32]) {
    assert_eq!(Some(c.len()), a.rows.checked_mul(b.columns), "a [{}, {}] product", a.rows, b.columns);
}

/// `c = a b + beta c`, where `beta` is 0 or 1.
fn sgemm(a: Matrix<'_>, b: Matrix<'_>, beta: f32, c: &mut [f32]) {
    assert_eq!(a.columns, b.rows, "the inner sizes of a product");
    check_product(a, b, c);
    for matrix in [a, b] {
        assert!(matrix.end().is_some_and(|end| end <= matrix.values.len()), "a matrix ends beyond its buffer");
    }
    // SAFETY: `end()` is one past the largest index that strides and sizes reach, and is within both inputs; `c` is
    // exclusive, dense and exactly `rows * columns` long; strides fit in isize because every reached index is below a
    // slice length. matrixmultiply does not read `c` when beta is 0.
    unsafe {
        matrixmultiply::sgemm(
            a.rows,
            a.columns,
            b.columns,
            1.0,
            a.values.as_ptr(),
            a.row_stride as isize,
            a.column_stride as isize,
            b.values.as_ptr(),
            b.row_stride as isize,
            b.column_stride as isize,
            beta,
            c.as_mut_ptr(),
            b.columns as isize,
            1,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small whole numbers, so that every product and sum is exact and layouts are compared by `==`.
    fn integers(len: usize, step: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * step + 3) % 17) as f32 - 8.0).collect()
    }

    fn plain(a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
        let at = |m: &Matrix<'_>, row: usize, column: usize| m.values[row * m.row_stride + column * m.column_stride];
        let mut c = Vec::new();
        for row in 0..a.rows {
            for column in 0..b.columns {
                c.push((0..a.columns).map(|i| at(&a, row, i) * at(&b, i, column)).sum());
            }
        }
        c
    }

    #[test]
    fn every_view_gives_the_plain_product() {
        for (m, k, n) in [(1, 1, 1), (3, 5, 2), (32, 784, 10), (17, 300, 33), (64, 70, 128)] {
            let (a, b, bt) = (integers(m * k, 5), integers(k * n, 7), integers(n * k, 11));
            let a = Matrix::row_major(&a, m, k);
            for b in [Matrix::row_major(&b, k, n), Matrix::row_major(&bt, n, k).transposed()] {
                let mut c = vec![f32::NAN; m * n];
                gemm(a, b, &mut c);
                assert_eq!(c, plain(a, b));
                gemm_into(SimdLevel::detect(), a, b, Output::Accumulate, &mut AlignedVec::default(), &mut c);
                assert_eq!(c, plain(a, b).iter().map(|c| 2.0 * c).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_band_of_rows_and_columns_is_that_band_of_the_product() {
        let (a, b) = (integers(20 * 30, 5), integers(30 * 40, 7));
        let (a, b) = (Matrix::row_major(&a, 20, 30), Matrix::row_major(&b, 30, 40));
        let (rows, columns) = (3..11, 13..29);
        let whole = plain(a, b);
        let mut band = vec![f32::NAN; rows.len() * columns.len()];
        gemm(a.rows(rows.clone()), b.columns(columns.clone()), &mut band);
        let expected: Vec<f32> = rows.flat_map(|row| whole[row * 40..][columns.clone()].to_vec()).collect();
        assert_eq!(band, expected);
    }

    /// Sums that are not exact, cut in bands at awkward places: the bits must not depend on the cut.
    #[test]
    fn bands_give_the_bits_of_the_whole() {
        let (m, k, n) = (32, 784, 128);
        let a: Vec<f32> = (0..m * k).map(|i| (i as f32 * 0.37).sin()).collect();
        let b: Vec<f32> = (0..n * k).map(|i| (i as f32 * 0.73).cos()).collect();
        let (a, b) = (Matrix::row_major(&a, m, k), Matrix::row_major(&b, n, k).transposed());
        let mut whole = vec![0.0; m * n];
        gemm(a, b, &mut whole);
        for cuts in [[0, 64, 128], [0, 16, 128], [0, 43, 128], [0, 127, 128]] {
            for cut in cuts.windows(2) {
                let columns = cut[0]..cut[1];
                let mut band = vec![0.0; m * columns.len()];
                gemm(a, b.columns(columns.clone()), &mut band);
                for (row, band_row) in band.chunks_exact(columns.len()).enumerate() {
                    assert_eq!(band_row, &whole[row * n..][columns.clone()], "row {row}, columns {columns:?}");
                }
            }
        }
    }

    /// Bands, and what is left of one: the product is stored nowhere, and the bits are those of storing it.
    #[test]
    fn descending_has_the_bits_of_a_stored_gradient_and_a_step() {
        for (m, k, n) in [(1, 1, 1), (784, 32, 128), (1000, 7, 33), (300, 300, 257), (129, 32, 10), (3, 2, 40_000)] {
            let a: Vec<f32> = (1..=m * k).map(|i| (i as f32 * 0.37).sin()).collect();
            let b: Vec<f32> = (0..k * n).map(|i| (i as f32 * 0.73).cos()).collect();
            let c: Vec<f32> = (0..m * n).map(|i| (i as f32 * 0.11).sin()).collect();
            let (a, b) = (Matrix::row_major(&a, m, k), Matrix::row_major(&b, k, n));
            for level in SimdLevel::all() {
                let (mut gradient, mut stepped, mut fused) = (vec![f32::NAN; m * n], c.clone(), c.clone());
                gemm(a, b, &mut gradient);
                pointwise::sgd_step(level, 0.3, &gradient, &mut stepped);
                gemm_into(level, a, b, Output::Descend { lr: 0.3 }, &mut AlignedVec::default(), &mut fused);
                assert!(fused == stepped && fused != c, "[{m}, {k}, {n}], {}", level.name());
            }
        }
    }

    /// Of no columns, a matrix of any number of rows lies in no memory; their product with two columns wraps to 0.
    #[test]
    fn sizes_that_wrap_are_refused() {
        const HALF: usize = 1 << (usize::BITS - 1);
        for output in [Output::Overwrite, Output::Accumulate, Output::Descend { lr: 0.1 }] {
            for (m, n) in [(HALF, 2), (2, HALF), (HALF, HALF), (1 << (usize::BITS / 2), 1 << (usize::BITS / 2))] {
                let product = || {
                    let (a, b) = (Matrix::row_major(&[], m, 0), Matrix::row_major(&[], 0, n));
                    gemm_into(SimdLevel::detect(), a, b, output, &mut AlignedVec::default(), &mut []);
                };
                let panic = std::panic::catch_unwind(product).unwrap_err();
                let message = panic.downcast::<String>().unwrap();
                assert!(message.contains(&format!("a [{m}, {n}] product")), "{message}");
            }
        }
        // Without a row there is nothing to write, however wide it would be.
        gemm(Matrix::row_major(&[], 0, 0), Matrix::row_major(&[], 0, HALF), &mut []);
    }

    #[test]
    #[should_panic(expected = "inner sizes")]
    fn shapes_that_do_not_fit_are_refused() {
        let values = [0.0; 12];
        gemm(Matrix::row_major(&values, 3, 4), Matrix::row_major(&values, 3, 4), &mut [0.0; 12]);
    }
}
