//! Images as bytes without their blocks of zeros: of MNIST's blocks of eight pixels, 39 % are left. So a data set takes
//! less memory, less of it moves in every epoch, and what is zero need not be looked for again.
//! It must not know labels, nor what the pixels become.

use std::ops::Range;

use crate::kernels::sparse::{BLOCK, SparseRows, blocks_per_row, words_per_row};

/// Rows of `width` bytes each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rows {
    width: usize,
    /// `[len, words_per_row(width)]`: the blocks that hold anything but zeros.
    mask: Vec<u64>,
    /// Those blocks, row after row; a short last one of a row is filled up with zeros.
    blocks: Vec<[u8; BLOCK]>,
    /// `[len + 1]`: where each row's blocks begin, and where the last one's end.
    starts: Vec<usize>,
}

impl Rows {
    /// No rows, of `width` bytes, at least 1.
    pub fn new(width: usize) -> Self {
        Rows { width, mask: Vec::new(), blocks: Vec::new(), starts: vec![0] }
    }

    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Bytes of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Appends `bytes: [n, width]`, any whole number of rows.
    pub fn extend(&mut self, bytes: &[u8]) {
        for row in bytes.chunks_exact(self.width) {
            let mut end = self.blocks.len();
            // Every block is written, and the next one over it if it holds zeros only: a branch would often be guessed wrong.
            self.blocks.resize(end + blocks_per_row(self.width), [0; BLOCK]);
            for blocks in row.chunks(64 * BLOCK) {
                let mut word = 0;
                for (bit, bytes) in blocks.chunks(BLOCK).enumerate() {
                    let block = match bytes.as_array::<BLOCK>() {
                        Some(block) => *block,
                        None => {
                            let mut block = [0; BLOCK];
                            block[..bytes.len()].copy_from_slice(bytes);
                            block
                        }
                    };
                    let any = block != [0; BLOCK];
                    self.blocks[end] = block;
                    end += usize::from(any);
                    word |= u64::from(any) << bit;
                }
                self.mask.push(word);
            }
            self.blocks.truncate(end);
            self.starts.push(end);
        }
    }

    /// Gives back the memory that growing left over.
    pub fn shrink(&mut self) {
        self.mask.shrink_to_fit();
        self.blocks.shrink_to_fit();
        self.starts.shrink_to_fit();
    }

    pub fn view(&self) -> SparseRows<'_, u8> {
        SparseRows { mask: &self.mask, width: self.width, blocks: &self.blocks, starts: &self.starts }
    }

    /// Writes row `index` as it was given: `bytes: [width]`, overwritten.
    pub fn copy(&self, index: usize, bytes: &mut [u8]) {
        self.view().copy_row(index, 0, bytes);
    }

    /// Some rows as they were given, one after the other.
    pub fn copies(&self, which: Range<usize>) -> Vec<u8> {
        let mut bytes = vec![0; which.len() * self.width];
        bytes.chunks_exact_mut(self.width).zip(which).for_each(|(bytes, index)| self.copy(index, bytes));
        bytes
    }

    /// The rows of these numbers, in that order.
    pub fn select(&self, rows: &[u32]) -> Self {
        let mut selected = Rows::new(self.width);
        selected.extend_selected(self, rows);
        selected
    }

    /// Appends the rows of these numbers of `from`, which has the same width, in that order.
    pub fn extend_selected(&mut self, from: &Rows, rows: &[u32]) {
        let blocks = rows.iter().map(|row| from.view().row(*row as usize, 0).1.len()).sum();
        self.mask.reserve(rows.len() * words_per_row(self.width));
        self.blocks.reserve(blocks);
        self.starts.reserve(rows.len());
        for row in rows {
            let (mask, blocks) = from.view().row(*row as usize, 0);
            self.mask.extend_from_slice(mask);
            self.blocks.extend_from_slice(blocks);
            self.starts.push(self.blocks.len());
        }
    }

    /// Appends all rows of `from`, which has the same width.
    pub fn append(&mut self, from: &Rows) {
        let end = self.blocks.len();
        self.mask.extend_from_slice(&from.mask);
        self.blocks.extend_from_slice(&from.blocks);
        self.starts.extend(from.starts[1..].iter().map(|start| end + start));
    }

    /// How many bytes are not zero.
    pub fn not_zero(&self) -> u64 {
        // Counted in bytes within a block, so that a vector can count many at once.
        let of_block = |block: &[u8; BLOCK]| u64::from(block.iter().map(|byte| u8::from(*byte != 0)).sum::<u8>());
        self.blocks.iter().map(of_block).sum()
    }

    /// How often each byte stands in all rows.
    pub fn histogram(&self) -> [u64; 256] {
        // Most bytes are equal to their neighbour: eight tables in turn, so that one count need not wait for the last.
        let mut tables = [[0_u64; 256]; BLOCK];
        for block in &self.blocks {
            for (table, byte) in tables.iter_mut().zip(block) {
                table[usize::from(*byte)] += 1;
            }
        }
        let mut counts: [u64; 256] = std::array::from_fn(|byte| tables.iter().map(|table| table[byte]).sum());
        let others: u64 = counts[1..].iter().sum();
        counts[0] = (self.len() * self.width) as u64 - others;
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of zeros of several lengths, at the start, in the middle and at the end of rows.
    fn bytes(rows: usize, width: usize) -> Vec<u8> {
        (0..rows * width).map(|i| if (i / 7) % 5 == 1 && (i / 90) % 3 > 0 { (i % 255) as u8 } else { 0 }).collect()
    }

    fn rows(bytes: &[u8], width: usize) -> Rows {
        let mut rows = Rows::new(width);
        rows.extend(bytes);
        rows
    }

    fn copies(rows: &Rows) -> Vec<u8> {
        let mut copy = vec![0xff; rows.len() * rows.width];
        copy.chunks_mut(rows.width).enumerate().for_each(|(index, row)| rows.copy(index, row));
        copy
    }

    #[test]
    fn rows_come_out_as_they_went_in() {
        for width in [1, 7, 8, 9, 21, 784, 64 * 8, 64 * 8 + 5, 130 * 8] {
            let bytes = bytes(6, width);
            let all = rows(&bytes, width);
            assert_eq!(copies(&all), bytes, "{width}");
            let mut in_pieces = rows(&bytes[..2 * width], width);
            in_pieces.extend(&bytes[2 * width..]);
            assert_eq!(in_pieces, all);
            let picked = all.select(&[5, 0, 0, 3]);
            let expected: Vec<u8> =
                [5, 0, 0, 3].iter().flat_map(|row| bytes[row * width..(row + 1) * width].to_vec()).collect();
            assert_eq!(picked, rows(&expected, width));
            let stored = all.blocks.len();
            let occupied =
                bytes.chunks(width).flat_map(|row| row.chunks(8)).filter(|block| **block != *vec![0; block.len()]);
            assert_eq!(stored, occupied.count());
        }
    }

    #[test]
    fn a_row_may_begin_at_any_block() {
        let width = 130 * 8;
        let all = rows(&bytes(3, width), width);
        for index in 0..3 {
            let (mask, blocks) = all.view().row(index, 0);
            for first in [1, 30, 63, 64, 65, 128, 129, 130] {
                let left_out = (0..first).filter(|block| mask[block / 64] >> (block % 64) & 1 == 1).count();
                assert_eq!(all.view().row(index, first), (mask, &blocks[left_out..]), "{index}, {first}");
            }
        }
    }

    #[test]
    fn what_is_not_zero_is_counted() {
        for every in [1, 2, 3, 30] {
            let bytes: Vec<u8> = (0..10 * 12).map(|i| u8::from(i % every == 0)).collect();
            assert_eq!(rows(&bytes, 12).not_zero(), bytes.iter().filter(|byte| **byte != 0).count() as u64);
        }
    }

    #[test]
    fn the_histogram_counts_every_byte() {
        let bytes = bytes(5, 21);
        let counts = rows(&bytes, 21).histogram();
        for (byte, count) in (0..=255).zip(counts) {
            assert_eq!(count, bytes.iter().filter(|found| **found == byte).count() as u64, "{byte}");
        }
    }
}
