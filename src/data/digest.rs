//! What a data set holds in 256 bits: equal for two sets exactly when their samples are, whatever files they came from.

use sha2::{Digest, Sha256};

use super::columns::Columns;
use super::{Dataset, TargetColumns};
use crate::error::Result;

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
            TargetColumns::Values { values, .. } => values.iter().for_each(|value| digest.update(value.to_le_bytes())),
        }
    }
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
        Columns::Values { values, .. } => values.iter().for_each(|value| digest.update(value.to_le_bytes())),
        Columns::Compressed(rows) => {
            let mut dense = vec![0.0; features];
            for index in 0..rows.len() {
                let (columns, values) = rows.row(index, &(0..features));
                dense.fill(0.0);
                columns.iter().zip(values).for_each(|(column, value)| dense[*column as usize] = *value);
                dense.iter().for_each(|value: &f32| digest.update(value.to_le_bytes()));
            }
        }
        Columns::Bits(rows) => {
            let mut dense = vec![0.0; features];
            for index in 0..rows.len() {
                rows.copy_row(index, &mut dense);
                dense.iter().for_each(|value: &f32| digest.update(value.to_le_bytes()));
            }
        }
        Columns::OnDisk(_) => {}
    }
    Ok(())
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
