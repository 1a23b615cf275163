//! The weight of wide layers: the order in which they keep it. Of 64 outputs, the weights of all features stand together,
//! feature by feature: `[n / 64, k, 64]`, and the last panel has what is left of the outputs, filled up with zeros to whole
//! vectors of 16: so none is cut, and each feature's weights begin where a cache line does.

use fearless_simd::{Simd, f32x4, prelude::*};

use crate::kernels::math::{SIDE, transposed};
use crate::kernels::{LANES, SimdLevel, dispatch};

/// Outputs of a panel.
pub const PANEL: usize = 64;

/// Outputs with those that the last panel is filled up with.
pub const fn padded(n: usize) -> usize {
    n.next_multiple_of(LANES)
}

/// Floats that the weight of `[n, k]` takes.
pub const fn len(n: usize, k: usize) -> usize {
    k * padded(n)
}

/// `rows: [n, k]`, read; `panels`, overwritten.
pub fn from_rows(rows: &[f32], k: usize, panels: &mut [f32]) {
    for (rows, panel) in rows.chunks(PANEL * k).zip(panels.chunks_mut(PANEL * k)) {
        transpose_rows(rows, k, panel, panel.len() / k);
    }
}

/// `panels`, read; `rows: [n, k]`, overwritten.
pub fn to_rows(panels: &[f32], k: usize, rows: &mut [f32]) {
    for (rows, panel) in rows.chunks_mut(PANEL * k).zip(panels.chunks(PANEL * k)) {
        transpose_rows(panel, panel.len() / k, rows, k);
    }
}

/// The weight of `[n, k]` as that of a layer of `n` inputs and `k` outputs: `panels`, read; `transposed`, its panels,
/// overwritten. Tile by tile of 64 x 64, each of them without a gap on both sides.
pub fn transpose(level: SimdLevel, panels: &[f32], n: usize, k: usize, transposed: &mut [f32]) {
    debug_assert!(panels.len() == len(n, k) && transposed.len() == len(k, n));
    dispatch!(level, simd => transpose_at(simd, panels, n, k, transposed));
}

#[inline(always)]
fn transpose_at<S: Simd>(simd: S, panels: &[f32], n: usize, k: usize, transposed: &mut [f32]) {
    for (index, panel) in panels.chunks(PANEL * k).enumerate() {
        let (stride, outputs) = (panel.len() / k, PANEL.min(n - index * PANEL));
        for (tile, features) in panel.chunks(PANEL * stride).enumerate() {
            let to_stride = PANEL.min(padded(k) - tile * PANEL);
            let to = &mut transposed[tile * PANEL * n + index * PANEL * to_stride..][..outputs * to_stride];
            transpose_tile(simd, features, stride, to, to_stride);
        }
    }
}

/// `from: [rows, stride]`, read; `to: [columns, to_stride]`, overwritten: filled up with zeros where `from` has fewer rows.
#[inline(always)]
fn transpose_tile<S: Simd>(simd: S, from: &[f32], stride: usize, to: &mut [f32], to_stride: usize) {
    if (stride, to_stride) == (PANEL, PANEL)
        && let (Some(from), Some(to)) =
            (from.as_chunks().0.as_array(), to.as_chunks_mut::<PANEL>().0.as_mut_array::<PANEL>())
    {
        return transpose_whole_tile(simd, from, to);
    }
    transpose_rows(from, stride, to, to_stride);
}

/// The same number by number, for what is small or rare, of as many columns as `to` has room for.
#[inline(always)]
pub fn transpose_rows(from: &[f32], stride: usize, to: &mut [f32], to_stride: usize) {
    for (column, to) in to.chunks_exact_mut(to_stride).enumerate() {
        let mut from = from.iter().skip(column).step_by(stride);
        to.iter_mut().for_each(|value| *value = from.next().copied().unwrap_or_default());
    }
}

/// In squares of four by four.
#[inline(always)]
fn transpose_whole_tile<S: Simd>(simd: S, from: &[[f32; PANEL]; PANEL], to: &mut [[f32; PANEL]; PANEL]) {
    for row in (0..PANEL).step_by(SIDE) {
        for column in (0..PANEL).step_by(SIDE) {
            let mut square = [f32x4::splat(simd, 0.0); SIDE];
            for (index, lanes) in square.iter_mut().enumerate() {
                *lanes = f32x4::from_slice(simd, &from[row + index][column..column + SIDE]);
            }
            for (index, lanes) in transposed(square).into_iter().enumerate() {
                lanes.store_slice(&mut to[column + index][row..row + SIDE]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::levels;

    const SHAPES: [(usize, usize); 6] = [(1, 1), (64, 3), (65, 64), (100, 130), (128, 784), (200, 63)];

    #[test]
    fn a_panel_holds_64_outputs_of_every_feature() {
        let (n, k) = (100, 3);
        let rows: Vec<f32> = (0..n * k).map(|i| i as f32).collect();
        let mut panels = vec![f32::NAN; len(n, k)];
        from_rows(&rows, k, &mut panels);
        assert_eq!(panels.len(), 3 * 112);
        // Features 0 and 1 of output 0, feature 0 of output 1, and output 64, the first of a panel of 36 and 12 zeros.
        assert_eq!((panels[0], panels[64], panels[1]), (0.0, 1.0, 3.0));
        assert_eq!((panels[192], panels[192 + 48]), (192.0, 193.0));
        assert_eq!(panels[192 + 36..192 + 48], [0.0; 12]);
    }

    #[test]
    fn there_and_back_changes_nothing() {
        for (n, k) in SHAPES {
            let rows: Vec<f32> = (0..n * k).map(|i| i as f32).collect();
            let (mut panels, mut back) = (vec![f32::NAN; len(n, k)], vec![f32::NAN; n * k]);
            from_rows(&rows, k, &mut panels);
            to_rows(&panels, k, &mut back);
            assert_eq!(back, rows, "[{n}, {k}]");
        }
    }

    #[test]
    fn a_transposed_weight_has_the_panels_of_its_transposed_rows() {
        for (n, k) in SHAPES {
            let rows: Vec<f32> = (0..n * k).map(|i| i as f32).collect();
            let columns: Vec<f32> = (0..n * k).map(|i| rows[i % n * k + i / n]).collect();
            let (mut panels, mut expected) = (vec![0.0; len(n, k)], vec![0.0; len(k, n)]);
            from_rows(&rows, k, &mut panels);
            from_rows(&columns, n, &mut expected);
            for level in levels() {
                let mut found = vec![f32::NAN; len(k, n)];
                transpose(level, &panels, n, k, &mut found);
                assert_eq!(found, expected, "[{n}, {k}] on {}", level.name());
            }
        }
    }
}
