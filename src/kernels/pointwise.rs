//! Elementwise arithmetic: bias, the sum over a batch, the SGD update. Lengths are equal where two slices
//! meet; multiplications feed additions in one rounding, on every SIMD level, so all levels give the same bits.

use fearless_simd::{Simd, f32x16, prelude::*};

use crate::kernels::{LANES, Output, SimdLevel, dispatch};

/// `rows += row`, for each of them. `row: [width]`, read; `rows: [m, width]`.
pub fn add_to_rows(level: SimdLevel, row: &[f32], rows: &mut [f32]) {
    level.run(
        #[inline(always)]
        || {
            for target in rows.chunks_exact_mut(row.len()) {
                for (target, value) in target.iter_mut().zip(row) {
                    *target += value;
                }
            }
        },
    );
}

/// `total += values`, elementwise.
pub fn add(level: SimdLevel, values: &[f32], total: &mut [f32]) {
    debug_assert_eq!(values.len(), total.len());
    level.run(
        #[inline(always)]
        || {
            for (total, value) in total.iter_mut().zip(values) {
                *total += value;
            }
        },
    );
}

/// The sum over rows, which `output` puts into `total`. `rows: [m, width]`, read; `total: [width]`. Rows are added up in order,
/// from zero, so a sum is complete before it meets what `total` holds.
pub fn sum_rows(level: SimdLevel, rows: &[f32], output: Output, total: &mut [f32]) {
    let width = total.len();
    level.run(
        #[inline(always)]
        || {
            let (blocks, rest) = total.as_chunks_mut::<LANES>();
            let done = blocks.len() * LANES;
            for (block, total) in blocks.iter_mut().enumerate() {
                // Of a length that is known when compiling, they stand in registers.
                let mut sums = [0.0; LANES];
                for row in rows.chunks_exact(width) {
                    let row = &row[block * LANES..][..LANES];
                    for (sum, value) in sums.iter_mut().zip(row) {
                        *sum += value;
                    }
                }
                for (total, sum) in total.iter_mut().zip(sums) {
                    put(sum, output, total);
                }
            }
            let mut sums = [0.0; LANES];
            for row in rows.chunks_exact(width) {
                for (sum, value) in sums.iter_mut().zip(&row[done..]) {
                    *sum += value;
                }
            }
            for (total, sum) in rest.iter_mut().zip(sums) {
                put(sum, output, total);
            }
        },
    );
}

/// What becomes of a complete sum.
#[inline(always)]
fn put(sum: f32, output: Output, total: &mut f32) {
    *total = match output {
        Output::Overwrite => sum,
        Output::Accumulate => *total + sum,
        Output::Descend { lr } => (-lr).mul_add(sum, *total),
    };
}

/// `parameters -= lr * gradient`, elementwise, in one rounding: `fma(-lr, gradient, parameter)`.
pub fn sgd_step(level: SimdLevel, lr: f32, gradient: &[f32], parameters: &mut [f32]) {
    debug_assert_eq!(gradient.len(), parameters.len());
    dispatch!(level, simd => sgd_step_at(simd, lr, gradient, parameters));
}

#[inline(always)]
fn sgd_step_at<S: Simd>(simd: S, lr: f32, gradient: &[f32], parameters: &mut [f32]) {
    let step = f32x16::splat(simd, -lr);
    let (blocks, tail) = parameters.as_chunks_mut::<16>();
    let (gradient_blocks, gradient_tail) = gradient.as_chunks::<16>();
    for (block, gradient) in blocks.iter_mut().zip(gradient_blocks) {
        let gradient = f32x16::load_array_ref(simd, gradient);
        let parameter = f32x16::load_array_ref(simd, block);
        step.mul_add_precise(gradient, parameter).store_array(block);
    }
    for (parameter, gradient) in tail.iter_mut().zip(gradient_tail) {
        *parameter = (-lr).mul_add(*gradient, *parameter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference;
    use crate::kernels::testing::{levels, random};

    /// Around the 16 lanes and several of them at once.
    const LENGTHS: [usize; 12] = [0, 1, 7, 15, 16, 17, 31, 32, 33, 64, 100, 7850];

    fn wide(values: &[f32]) -> Vec<f64> {
        values.iter().map(|value| f64::from(*value)).collect()
    }

    /// Runs `compute` on every level, demands the same bits of all, and returns them.
    fn on_every_level(compute: impl Fn(SimdLevel) -> Vec<f32>) -> Vec<f32> {
        let found: Vec<_> = levels().into_iter().map(|level| (level.name(), compute(level))).collect();
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        for (name, values) in &found {
            assert!(bits(values) == bits(&found[0].1), "{name} and {} differ, of {}", found[0].0, values.len());
        }
        found[0].1.clone()
    }

    #[test]
    fn sums_take_every_row_in_order() {
        for width in LENGTHS.into_iter().filter(|width| *width > 0) {
            for m in [0, 1, 2, 5, 32] {
                let (row, rows) = (random(width, 3), random(m * width, 4));
                let mut sums = vec![0.0_f32; width];
                rows.chunks(width).for_each(|row| sums.iter_mut().zip(row).for_each(|(a, b)| *a += b));
                for output in [Output::Overwrite, Output::Accumulate, Output::Descend { lr: 0.3 }] {
                    let found = on_every_level(|level| {
                        let mut total = row.clone();
                        sum_rows(level, &rows, output, &mut total);
                        total
                    });
                    let expected: Vec<f32> = sums
                        .iter()
                        .zip(&row)
                        .map(|(sum, total)| match output {
                            Output::Overwrite => *sum,
                            Output::Accumulate => total + sum,
                            Output::Descend { lr } => (-lr).mul_add(*sum, *total),
                        })
                        .collect();
                    assert_eq!(found, expected, "the sum of {m} rows of {width}, {output:?}");
                }

                let found = on_every_level(|level| {
                    let mut rows = rows.clone();
                    add_to_rows(level, &row, &mut rows);
                    rows
                });
                let expected: Vec<f32> = rows.iter().enumerate().map(|(i, value)| value + row[i % width]).collect();
                assert_eq!(found, expected, "{m} rows of {width}");
            }
            let (values, total) = (random(width, 5), random(width, 6));
            let found = on_every_level(|level| {
                let mut total = total.clone();
                add(level, &values, &mut total);
                total
            });
            assert_eq!(found, total.iter().zip(&values).map(|(a, b)| a + b).collect::<Vec<_>>());
        }
    }

    /// In f64 the product is exact and the sum nearly so: rounded to f32, it is what one rounding of the exact sum gives.
    #[test]
    fn an_update_is_rounded_once() {
        for len in LENGTHS {
            let (parameters, gradient) = (random(len, 7), random(len, 8));
            for lr in [0.01_f32, 0.7, 3.0] {
                let found = on_every_level(|level| {
                    let mut parameters = parameters.clone();
                    sgd_step(level, lr, &gradient, &mut parameters);
                    parameters
                });
                let mut expected = wide(&parameters);
                reference::sgd_step(&mut expected, &wide(&gradient), f64::from(lr));
                assert_eq!(found, expected.iter().map(|value| *value as f32).collect::<Vec<_>>(), "lr {lr}");
            }
        }
    }
}
