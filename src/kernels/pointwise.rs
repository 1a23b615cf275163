//! Elementwise arithmetic: bias, rectifier, the sum over a batch, the SGD update. Lengths are equal where two slices
//! meet; multiplications feed additions in one rounding, on every SIMD level, so all levels give the same bits.

use fearless_simd::{Simd, dispatch, f32x16, prelude::*};

use crate::kernels::SimdLevel;

/// `rows: [m, width]`, overwritten: each row becomes `row: [width]`.
pub fn fill_rows(row: &[f32], rows: &mut [f32]) {
    for target in rows.chunks_exact_mut(row.len()) {
        target.copy_from_slice(row);
    }
}

/// `y = max(z, 0)`; a NaN stays a NaN. `z`, read, and `y`, overwritten: any shape.
pub fn relu_forward(level: SimdLevel, z: &[f32], y: &mut [f32]) {
    debug_assert_eq!(z.len(), y.len());
    dispatch!(level.token(), simd => simd.vectorize(#[inline(always)] || {
        for (y, z) in y.iter_mut().zip(z) {
            *y = if *z < 0.0 { 0.0 } else { *z };
        }
    }));
}

/// `dz = dy` where `z > 0`, else 0: the derivative of the rectifier, with PyTorch's choice of 0 at 0.
/// `z`, `dy`, read, and `dz`, overwritten: any shape.
pub fn relu_backward_exact(level: SimdLevel, z: &[f32], dy: &[f32], dz: &mut [f32]) {
    debug_assert!(z.len() == dy.len() && dy.len() == dz.len());
    dispatch!(level.token(), simd => simd.vectorize(#[inline(always)] || {
        for ((dz, dy), z) in dz.iter_mut().zip(dy).zip(z) {
            *dz = if *z > 0.0 { *dy } else { 0.0 };
        }
    }));
}

/// `total += values`, elementwise.
pub fn add(level: SimdLevel, values: &[f32], total: &mut [f32]) {
    debug_assert_eq!(values.len(), total.len());
    dispatch!(level.token(), simd => simd.vectorize(#[inline(always)] || {
        for (total, value) in total.iter_mut().zip(values) {
            *total += value;
        }
    }));
}

/// `total += sum over rows`. `rows: [m, width]`, read; `total: [width]`. Rows are added in order.
pub fn add_rows(level: SimdLevel, rows: &[f32], total: &mut [f32]) {
    dispatch!(level.token(), simd => simd.vectorize(#[inline(always)] || {
        for row in rows.chunks_exact(total.len()) {
            for (total, value) in total.iter_mut().zip(row) {
                *total += value;
            }
        }
    }));
}

/// `parameters -= lr * gradient`, elementwise, in one rounding: `fma(-lr, gradient, parameter)`.
pub fn sgd_step(level: SimdLevel, lr: f32, gradient: &[f32], parameters: &mut [f32]) {
    debug_assert_eq!(gradient.len(), parameters.len());
    dispatch!(level.token(), simd => sgd_step_at(simd, lr, gradient, parameters));
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
