//! What a data set holds in 256 bits: equal for two sets exactly when their samples are, whatever files they came from.

use std::ops::Range;

use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest, Sha256};

use super::columns::Columns;
use super::on_disk::OnDisk;
use super::together::{Reading, other_data, whole_numbers};
use super::{Dataset, TargetColumns};
use crate::error::Result;

/// Rows that are digested at a time, of those that are in memory.
const ROWS_AT_ONCE: usize = if cfg!(test) { 3 } else { 4096 };

impl Dataset {
    /// SHA-256, in hexadecimal digits, over all samples in order: the size of an image, the number of samples and of classes
    /// or values; then for each sample its pixels or numbers; then all targets. Numbers are little-endian, counts are u64,
    /// class numbers u16. Scale, weights and the source's name take no part.
    ///
    /// # Errors
    /// Where rows that stay in a file cannot be read.
    pub fn sha256(&self) -> Result<String> {
        let mut digest = self.sizes();
        add_columns(&mut digest, self.columns(), self.features(), &mut |_| Ok(()))?;
        self.add_targets(&mut digest);
        Ok(hex(&digest.finalize()))
    }

    /// [`sha256`](Self::sha256) and [`share_not_zero`](Self::share_not_zero), for which rows that stay in a file are read once.
    ///
    /// # Errors
    /// As these.
    pub fn sha256_and_share_not_zero(&self) -> Result<(String, f64)> {
        let (mut digest, mut not_zero) = (self.sizes(), 0);
        add_columns(&mut digest, self.columns(), self.features(), &mut |piece| {
            not_zero += piece.not_zero()?;
            Ok(())
        })?;
        self.add_targets(&mut digest);
        Ok((hex(&digest.finalize()), self.share(not_zero)))
    }

    /// The same of rows that stay in a file, of which each process of a `reading` has some in memory: each digests its own, from
    /// where the one before has come to. `None` if some are in the memory of none.
    ///
    /// # Errors
    /// [`Error::Ranks`](crate::Error::Ranks) where another process has failed.
    pub fn sha256_and_share_not_zero_in(&self, reading: &Reading) -> Result<Option<(String, f64)>> {
        let Columns::OnDisk(on_disk) = self.columns() else { return Ok(None) };
        let own: Vec<u8> =
            on_disk.held_ranges().iter().flat_map(|rows| [rows.start, rows.end]).flat_map(u32::to_le_bytes).collect();
        let Some(turns) = turns(&reading.gather("rows in memory", &own)?, self.len() as u32) else { return Ok(None) };
        let (mut state, mut not_zero) = (self.sizes().serialize().to_vec(), 0);
        for (rank, rows) in turns {
            let mut told = Vec::new();
            if rank == reading.rank() {
                let mut digest = restored(&state)?;
                let count = add_held(&mut digest, on_disk, rows, self.features())?;
                told = [&digest.serialize()[..], &count.to_le_bytes()].concat();
            }
            let all = reading.gather("a digest", &told)?;
            let Some((digest, count)) = all[rank].split_last_chunk() else { return Err(other_data("a digest")) };
            state = digest.to_vec();
            not_zero += u64::from_le_bytes(*count);
        }
        let mut digest = restored(&state)?;
        self.add_targets(&mut digest);
        Ok(Some((hex(&digest.finalize()), self.share(not_zero))))
    }

    /// The same of a set in memory. Of rows that stay in a file, some of which other ranks read, SHA-256 over the same sizes,
    /// all targets, and of the samples some that are evenly spread: enough to tell two sets apart, unless they differ in
    /// single samples only.
    ///
    /// # Errors
    /// Where rows that stay in a file cannot be read.
    pub fn fingerprint(&self) -> Result<String> {
        let Columns::OnDisk(on_disk) = self.columns() else { return self.sha256() };
        let mut digest = self.sizes();
        add_columns(&mut digest, on_disk.spread()?, self.features(), &mut |_| Ok(()))?;
        self.add_targets(&mut digest);
        Ok(hex(&digest.finalize()))
    }

    fn sizes(&self) -> Sha256 {
        let mut digest = Sha256::new();
        let (rows, columns) = self.image_size();
        for count in [rows, columns, self.len(), self.outputs()] {
            digest.update((count as u64).to_le_bytes());
        }
        digest
    }

    fn add_targets(&self, digest: &mut Sha256) {
        match self.targets() {
            TargetColumns::Classes { labels, .. } => labels.iter().for_each(|label| digest.update(label.to_le_bytes())),
            TargetColumns::Values { values, .. } => add_numbers(digest, values),
        }
    }
}

fn restored(state: &[u8]) -> Result<Sha256> {
    let state = SerializedState::<Sha256>::try_from(state).ok();
    state.and_then(|state| Sha256::deserialize(&state).ok()).ok_or_else(|| other_data("a digest"))
}

/// Whose rows come one after the other, by what `told` says of the rows of each, first and end by turns: from 0 to `len`.
fn turns(told: &[Vec<u8>], len: u32) -> Option<Vec<(usize, Range<u32>)>> {
    let of_rank = |(rank, told): (usize, &Vec<u8>)| -> Vec<_> {
        let ends: Vec<u32> = whole_numbers(told).collect();
        ends.as_chunks().0.iter().map(|[start, end]| (*start, *end, rank)).collect()
    };
    let mut held: Vec<(u32, u32, usize)> = told.iter().enumerate().flat_map(of_rank).collect();
    held.sort_unstable();
    let (mut turns, mut at) = (Vec::<(usize, Range<u32>)>::new(), 0);
    for (start, end, rank) in held {
        if start > at {
            break;
        }
        if end > at {
            match turns.last_mut().filter(|(last, _)| *last == rank) {
                Some((_, rows)) => rows.end = end,
                None => turns.push((rank, at..end)),
            }
            at = end;
        }
    }
    (at == len).then_some(turns)
}

/// Adds rows that are in memory, and says how many of their values are not zero.
fn add_held(digest: &mut Sha256, on_disk: &OnDisk, mut rows: Range<u32>, features: usize) -> Result<u64> {
    let (mut places, mut not_zero) = (Vec::new(), 0);
    while !rows.is_empty() {
        let some: Vec<u32> = rows.by_ref().take(ROWS_AT_ONCE).collect();
        let Some(columns) = on_disk.held(&some, &mut places) else { return Err(other_data("rows")) };
        add_columns(digest, &columns.select(&places), features, &mut |piece| {
            not_zero += piece.not_zero()?;
            Ok(())
        })?;
    }
    Ok(not_zero)
}

/// Adds all rows, of so many columns. `look` is shown them, all or piece by piece.
fn add_columns(
    digest: &mut Sha256,
    columns: &Columns,
    features: usize,
    look: &mut dyn FnMut(&Columns) -> Result<()>,
) -> Result<()> {
    if let Columns::OnDisk(on_disk) = columns {
        return on_disk.pieces(&mut |piece| add_columns(digest, &piece, features, look));
    }
    look(columns)?;
    match columns {
        Columns::Bytes { rows, .. } => {
            let mut pixels = vec![0; features];
            for index in 0..rows.len() {
                rows.copy(index, &mut pixels);
                digest.update(&pixels);
            }
        }
        Columns::Values { values, .. } => add_numbers(digest, values),
        Columns::Compressed(rows) => {
            let mut dense = vec![0.0; features];
            for index in 0..rows.len() {
                let (columns, values) = rows.row(index, &(0..features));
                dense.fill(0.0);
                columns.iter().zip(values).for_each(|(column, value)| dense[*column as usize] = *value);
                add_numbers(digest, &dense);
            }
        }
        Columns::Bits(rows) => {
            let mut dense = vec![0.0; features];
            for index in 0..rows.len() {
                rows.copy_row(index, &mut dense);
                add_numbers(digest, &dense);
            }
        }
        Columns::OnDisk(_) => {}
    }
    Ok(())
}

/// A call for many bytes, in the place of one for each number.
fn add_numbers(digest: &mut Sha256, values: &[f32]) {
    let mut bytes = [0; 4096];
    for values in values.chunks(bytes.len() / 4) {
        bytes.chunks_exact_mut(4).zip(values).for_each(|(bytes, value)| bytes.copy_from_slice(&value.to_le_bytes()));
        digest.update(&bytes[..4 * values.len()]);
    }
}

/// Two digits for each byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(pixels: [u8; 8], labels: [u8; 2], size: (usize, usize), classes: usize) -> String {
        Dataset::images(pixels.into(), labels.into(), size, classes, "here".into()).unwrap().sha256().unwrap()
    }

    #[test]
    fn the_digest_is_of_the_samples() {
        let pixels = [0, 0, 0, 0, 1, 2, 3, 255];
        let one = images(pixels, [1, 0], (2, 2), 2);
        // By `sha256sum`: 2, 2, 2, 2 as u64, the eight pixels, the labels 1 and 0 as u16.
        assert_eq!(one, "8cec9fef6bd586f600e2cb483eb60c36c0e99984b2f07cb08e7a0c1c367d57fe");
        let others = [
            images([0, 0, 0, 1, 1, 2, 3, 255], [1, 0], (2, 2), 2),
            images(pixels, [0, 1], (2, 2), 2),
            images(pixels, [1, 0], (1, 4), 2),
            images(pixels, [1, 0], (2, 2), 3),
        ];
        assert!(others.iter().all(|other| *other != one));
        let elsewhere = Dataset::images(pixels.into(), vec![1, 0], (2, 2), 2, "elsewhere".into()).unwrap();
        assert_eq!(elsewhere.select(&[0, 1]).sha256().unwrap(), one);
        assert_ne!(elsewhere.select(&[1, 0]).sha256().unwrap(), one);
    }
}
