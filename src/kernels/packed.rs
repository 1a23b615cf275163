//! The packed weight of narrow layers: the order in which they keep it. All outputs of eight features stand together, so that a kernel that
//! walks through blocks of features has one pointer to move; in rows it has one for each output, more than there are
//! registers for.
//!
//! `[2 ceil(k / 16), n, 8]`: a block of features for every output, and an even number of blocks, filled up with zeros.

use crate::kernels::LANES;
use crate::kernels::sparse::BLOCK;

/// Floats that the packed weight of `[n, k]` takes.
pub fn len(n: usize, k: usize) -> usize {
    n * k.next_multiple_of(LANES)
}

/// `rows: [n, k]`, read; `packed: [2 ceil(k / 16), n, 8]`, overwritten.
pub fn from_rows(rows: &[f32], k: usize, packed: &mut [f32]) {
    let n = rows.len() / k;
    packed.fill(0.0);
    for (panel, start) in packed.chunks_exact_mut(n * BLOCK).zip((0..k).step_by(BLOCK)) {
        let width = BLOCK.min(k - start);
        for (block, row) in panel.chunks_exact_mut(BLOCK).zip(rows.chunks_exact(k)) {
            block[..width].copy_from_slice(&row[start..start + width]);
        }
    }
}

/// `packed: [2 ceil(k / 16), n, 8]`, read; `rows: [n, k]`, overwritten.
pub fn to_rows(packed: &[f32], k: usize, rows: &mut [f32]) {
    let n = rows.len() / k;
    for (panel, start) in packed.chunks_exact(n * BLOCK).zip((0..k).step_by(BLOCK)) {
        let width = BLOCK.min(k - start);
        for (block, row) in panel.chunks_exact(BLOCK).zip(rows.chunks_exact_mut(k)) {
            row[start..start + width].copy_from_slice(&block[..width]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panel_holds_eight_features_of_every_output() {
        let rows: Vec<f32> = (0..2 * 18).map(|i| i as f32).collect();
        let mut packed = vec![f32::NAN; len(2, 18)];
        from_rows(&rows, 18, &mut packed);
        assert_eq!(packed.len(), 4 * 2 * 8);
        assert_eq!((packed[0], packed[7], packed[8], packed[15], packed[16]), (0.0, 7.0, 18.0, 25.0, 8.0));
        assert_eq!(packed[32..36], [16.0, 17.0, 0.0, 0.0]);
        assert_eq!(packed[40..44], [34.0, 35.0, 0.0, 0.0]);
        assert_eq!(packed[48..], [0.0; 16]);
    }

    #[test]
    fn there_and_back_changes_nothing() {
        for (n, k) in [(1, 1), (10, 784), (16, 17), (3, 15), (7, 33)] {
            let rows: Vec<f32> = (0..n * k).map(|i| (i as f32).sin()).collect();
            let (mut packed, mut back) = (vec![f32::NAN; len(n, k)], vec![f32::NAN; n * k]);
            from_rows(&rows, k, &mut packed);
            to_rows(&packed, k, &mut back);
            assert_eq!(back, rows, "[{n}, {k}]");
        }
    }
}
