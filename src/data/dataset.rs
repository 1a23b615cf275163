//! A set of samples in memory: columns, targets, and where it is asked for, weights. It must not know where the data come from,
//! nor which rows take part in a run.

use std::ops::Range;

use super::bit_rows::BitRows;
use super::columns::Columns;
use super::messages::{refusal, twice};
use super::on_disk::{OnDisk, spread};
use super::rows::Rows;
use super::{CompressedRows, Scale, SharedValues, TargetColumns};
use crate::error::Result;

/// Samples: for each a row of columns, a target and maybe a weight.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    columns: Columns,
    targets: TargetColumns,
    /// `[len]`
    weights: Option<Vec<f32>>,
    image_size: (usize, usize),
    /// One for each class, or none.
    class_names: Vec<String>,
    source: String,
}

impl Dataset {
    /// A set of `labels.len()` images of `image_size` (rows, columns), a byte per pixel, which become `pixel / 255` unless
    /// [`with_scale`](Self::with_scale) says otherwise.
    /// `pixels`: `[labels.len(), rows * columns]`, an image after the other, row by row; `labels`: each below `classes`.
    /// `source` says where the data come from, for errors and reports.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if the lengths do not fit, `classes` is not within 2 to 65,536, or a label is no
    /// class number.
    pub fn images(
        pixels: Vec<u8>,
        labels: Vec<u8>,
        image_size: (usize, usize),
        classes: usize,
        source: String,
    ) -> Result<Self> {
        let labels = labels.into_iter().map(u16::from).collect();
        Self::from_pixels(pixels, image_size, TargetColumns::Classes { labels, classes }, source)
    }

    /// As [`images`](Self::images), with any targets: class numbers up to 65,535, or values.
    /// `pixels`: `[targets.len(), rows * columns]`.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if the lengths do not fit, or the targets are not valid.
    pub fn from_pixels(
        pixels: Vec<u8>,
        image_size: (usize, usize),
        targets: TargetColumns,
        source: String,
    ) -> Result<Self> {
        let (rows, columns) = image_size;
        if rows == 0 || columns == 0 {
            return Err(refusal(&source, "image size", "at least 1 x 1".into(), format!("{rows} x {columns}")));
        }
        let expected = rows.checked_mul(columns).and_then(|features| features.checked_mul(targets.len()));
        if expected != Some(pixels.len()) {
            let expected = format!("{} x {rows} x {columns}, as many as labels and image size say", targets.len());
            return Err(refusal(&source, "pixels", expected, pixels.len().to_string()));
        }
        let mut packed = Rows::new(rows * columns);
        packed.extend(&pixels);
        packed.shrink();
        Self::from_rows(packed, targets, image_size, source)
    }

    /// A set of images that are as many as the targets and as wide as the image size says.
    pub(super) fn from_rows(
        rows: Rows,
        targets: TargetColumns,
        image_size: (usize, usize),
        source: String,
    ) -> Result<Self> {
        targets.check(&source)?;
        let columns = Columns::Bytes { rows, scale: Scale::Unit };
        Ok(Self { columns, targets, weights: None, image_size, class_names: Vec::new(), source })
    }

    /// A set whose rows stay in a file.
    pub(super) fn from_file(
        columns: OnDisk,
        targets: TargetColumns,
        image_size: (usize, usize),
        source: String,
    ) -> Result<Self> {
        targets.check(&source)?;
        let columns = Columns::OnDisk(columns);
        Ok(Self { columns, targets, weights: None, image_size, class_names: Vec::new(), source })
    }

    /// A set of numbers. `x`: `[n, features]`, a row after the other, all finite; `targets`: of `n` samples.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if the lengths do not fit, there are no features, a number is not finite, or the
    /// targets are not valid.
    ///
    /// ```
    /// use flatnet::data::{Dataset, TargetColumns};
    /// let targets = TargetColumns::Values { values: vec![0.5, 1.5], width: 1 };
    /// let set = Dataset::from_values(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3, targets, "by hand".into())?;
    /// assert_eq!((set.len(), set.features(), set.outputs()), (2, 3, 1));
    /// # Ok::<(), flatnet::Error>(())
    /// ```
    pub fn from_values(x: Vec<f32>, features: usize, targets: TargetColumns, source: String) -> Result<Self> {
        Self::from_shared_values(x.into(), features, targets, source)
    }

    /// The same of numbers that may belong to somebody else; they are not copied.
    ///
    /// # Errors
    /// As [`from_values`](Self::from_values).
    pub fn from_shared_values(
        x: SharedValues,
        features: usize,
        targets: TargetColumns,
        source: String,
    ) -> Result<Self> {
        targets.check(&source)?;
        if !fits(&x, features, &targets) {
            let expected = format!("{} rows of {features} (at least 1), as many as targets", targets.len());
            return Err(refusal(&source, "values", expected, x.len().to_string()));
        }
        if let Some(at) = x.iter().position(|value| !value.is_finite()) {
            let what = format!("row {}, column {}", at / features, at % features);
            return Err(refusal(&source, &what, "a finite number".into(), x[at].to_string()));
        }
        let columns = Columns::Values { values: x, width: features };
        Ok(Self { columns, targets, weights: None, image_size: (1, features), class_names: Vec::new(), source })
    }

    /// The same numbers; where about half of them or more are zeros, they are copied once without those, which takes less time
    /// to train on. Whatever is trained on them has the same bits. `-0.0` is a zero.
    ///
    /// # Errors
    /// As [`from_values`](Self::from_values).
    pub fn from_values_without_zeros(
        x: SharedValues,
        features: usize,
        targets: TargetColumns,
        source: String,
    ) -> Result<Self> {
        let packed = if fits(&x, features, &targets) { BitRows::of(&x, features) } else { None };
        let Some(packed) = packed else { return Self::from_shared_values(x, features, targets, source) };
        targets.check(&source)?;
        let columns = Columns::Bits(packed);
        Ok(Self { columns, targets, weights: None, image_size: (1, features), class_names: Vec::new(), source })
    }

    /// A set of numbers of which few are not zero: `rows`, as many as `targets`. They stay compressed; of a batch, blocks of
    /// zeros are left out.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if there are more or fewer rows than targets, or the targets are not valid.
    pub fn from_compressed_rows(rows: CompressedRows, targets: TargetColumns, source: String) -> Result<Self> {
        targets.check(&source)?;
        if rows.len() != targets.len() {
            let expected = format!("{}, as many as targets", targets.len());
            return Err(refusal(&source, "rows", expected, rows.len().to_string()));
        }
        let image_size = (1, rows.width());
        let columns = Columns::Compressed(rows);
        Ok(Self { columns, targets, weights: None, image_size, class_names: Vec::new(), source })
    }

    /// The same with a weight for each sample, by which it counts in losses and their means.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if there are more or fewer than samples, one is negative or not finite, or all
    /// are 0.
    pub fn with_weights(self, weights: Vec<f32>) -> Result<Self> {
        let refuse = |expected: String, found: String| Err(refusal(&self.source, "weights", expected, found));
        if weights.len() != self.len() {
            return refuse(format!("{}, one for each sample", self.len()), weights.len().to_string());
        }
        if let Some(at) = weights.iter().position(|weight| !(weight.is_finite() && *weight >= 0.0)) {
            return refuse("finite numbers of at least 0".into(), format!("{} at row {at}", weights[at]));
        }
        if weights.iter().all(|weight| *weight == 0.0) {
            return refuse("one that is not 0, at least".into(), "zeros only".into());
        }
        Ok(Self { weights: Some(weights), ..self })
    }

    /// The same with names of its classes, in the order of their numbers; with none, classes are their numbers.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if there are more or fewer than classes (unless there are none), or two are the
    /// same.
    pub fn with_class_names(self, class_names: Vec<String>) -> Result<Self> {
        if !class_names.is_empty() && class_names.len() != self.classes() {
            let expected = format!("{}, one for each class", self.classes());
            return Err(refusal(&self.source, "class names", expected, class_names.len().to_string()));
        }
        if let Some(name) = twice(class_names.iter().map(String::as_str)) {
            let found = format!("'{name}' twice");
            return Err(refusal(&self.source, "class names", "names of their own".into(), found));
        }
        Ok(Self { class_names, ..self })
    }

    /// The same with another scale of its pixels.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) for a set of numbers, which have no scale, unless it is [`Scale::Unit`], the
    /// default.
    pub fn with_scale(self, scale: Scale) -> Result<Self> {
        if self.scale().is_none() && scale != Scale::Unit {
            return Err(refusal(&self.source, "columns", "pixels, for a scale".into(), "numbers".into()));
        }
        Ok(Self { columns: self.columns.with_scale(scale), ..self })
    }

    /// How its pixels become numbers; `None` where its columns are numbers already.
    pub fn scale(&self) -> Option<Scale> {
        self.columns.scale()
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Columns of a sample: of an image, its pixels.
    pub fn features(&self) -> usize {
        self.image_size.0 * self.image_size.1
    }

    /// The share of its features' values that are not zero, 0 to 1: what a wide layer's products over them cost, as a share of
    /// those over all.
    ///
    /// # Errors
    /// Where rows that stay in a file cannot be read.
    pub fn share_not_zero(&self) -> Result<f64> {
        Ok(self.share(self.columns.not_zero()?))
    }

    /// So many of its features' values, as a share of all.
    pub(super) fn share(&self, values: u64) -> f64 {
        values as f64 / (self.len() * self.features()).max(1) as f64
    }

    /// Rows and columns of an image; 1 and the number of features of samples that are no images.
    pub fn image_size(&self) -> (usize, usize) {
        self.image_size
    }

    /// What its samples should give.
    pub fn targets(&self) -> &TargetColumns {
        &self.targets
    }

    /// `[len]`: what each sample counts; `None` where all count the same.
    pub fn weights(&self) -> Option<&[f32]> {
        self.weights.as_deref()
    }

    /// Number of classes, every label being below it; 0 where targets are values.
    pub fn classes(&self) -> usize {
        match self.targets {
            TargetColumns::Classes { classes, .. } => classes,
            TargetColumns::Values { .. } => 0,
        }
    }

    /// The names of its classes, in the order of their numbers; empty where classes are their numbers.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// How many outputs a network for it has: one for each class, or for each value of a sample.
    pub fn outputs(&self) -> usize {
        match self.targets {
            TargetColumns::Classes { classes, .. } => classes,
            TargetColumns::Values { width, .. } => width,
        }
    }

    /// All class numbers, `[len]`; none where targets are values.
    pub fn labels(&self) -> &[u16] {
        match &self.targets {
            TargetColumns::Classes { labels, .. } => labels,
            TargetColumns::Values { .. } => &[],
        }
    }

    /// Where the data come from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Image `index`, which is below `len`: `[features]`; empty where columns are numbers, or a file that holds them cannot be
    /// read. A copy: a set keeps its images without their blocks of zeros.
    pub fn row(&self, index: usize) -> Vec<u8> {
        match &self.columns {
            Columns::Bytes { rows, .. } => rows.copies(index..index + 1),
            Columns::OnDisk(on_disk) => match on_disk.rows(&[index as u32]) {
                Ok(Columns::Bytes { rows, .. }) => rows.copies(0..1),
                _ => Vec::new(),
            },
            Columns::Values { .. } | Columns::Compressed(_) | Columns::Bits(_) => Vec::new(),
        }
    }

    /// All images, one after the other: `[len, features]`; empty where columns are numbers, or stay in a file. A copy.
    pub fn pixels(&self) -> Vec<u8> {
        let Columns::Bytes { rows, .. } = &self.columns else { return Vec::new() };
        rows.copies(0..rows.len())
    }

    /// As many as 1,000 of its images, evenly spread, one after the other; nothing where columns are numbers.
    ///
    /// # Errors
    /// Where a file that holds them cannot be read.
    pub(super) fn spread_pixels(&self) -> Result<Vec<u8>> {
        let all = |columns: &Columns| match columns {
            Columns::Bytes { rows, .. } => rows.copies(0..rows.len()),
            _ => Vec::new(),
        };
        match &self.columns {
            Columns::OnDisk(on_disk) => on_disk.spread().map(all),
            in_memory => Ok(all(&in_memory.select(&spread(self.len())))),
        }
    }

    /// Whether its columns stay in a file, wholly or in part.
    pub fn is_on_disk(&self) -> bool {
        matches!(self.columns, Columns::OnDisk(_))
    }

    /// Whether single rows can be read from where they stay: not from a packed file.
    pub fn can_seek(&self) -> bool {
        if let Columns::OnDisk(on_disk) = &self.columns { on_disk.can_seek() } else { true }
    }

    /// The same with the columns of all samples in memory.
    ///
    /// # Errors
    /// Where the file that they stay in cannot be read.
    pub fn in_memory(self) -> Result<Self> {
        match &self.columns {
            Columns::OnDisk(on_disk) => Ok(Self { columns: on_disk.read(&[0..self.len() as u32])?, ..self }),
            _ => Ok(self),
        }
    }

    /// The same with the columns of these samples in memory, which ascend and lie apart, if they stay in a file: the others are
    /// still read from there.
    ///
    /// # Errors
    /// Where that cannot be read.
    pub fn hold(self, ranges: Vec<Range<u32>>) -> Result<Self> {
        match &self.columns {
            Columns::OnDisk(on_disk) => Ok(Self { columns: Columns::OnDisk(on_disk.hold(ranges)?), ..self }),
            _ => Ok(self),
        }
    }

    /// The same samples with their columns from elsewhere.
    pub(super) fn with_columns(self, columns: Columns) -> Self {
        Self { columns, ..self }
    }

    pub(super) fn into_columns(self) -> Columns {
        self.columns
    }

    pub(super) fn columns(&self) -> &Columns {
        &self.columns
    }

    /// A set of the samples `rows`, each below `len`, in that order.
    ///
    /// # Panics
    /// If one is not below `len`.
    pub fn select(&self, rows: &[u32]) -> Dataset {
        if let Some(row) = rows.iter().find(|row| **row as usize >= self.len()) {
            panic!("row {row} of a data set of {} samples, which count from 0", self.len());
        }
        Dataset {
            columns: self.columns.select(rows),
            targets: self.targets.select(rows),
            weights: self.weights.as_ref().map(|weights| rows.iter().map(|row| weights[*row as usize]).collect()),
            image_size: self.image_size,
            class_names: self.class_names.clone(),
            source: self.source.clone(),
        }
    }
}

/// Whether there is a row of `features` numbers, at least one, for each of the targets.
fn fits(x: &[f32], features: usize, targets: &TargetColumns) -> bool {
    features > 0 && targets.len().checked_mul(features) == Some(x.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Dataset {
        Dataset::images(vec![1, 2, 3, 4, 5, 6], vec![0, 2, 1], (1, 2), 3, "small".into()).unwrap()
    }

    fn classes(labels: Vec<u16>, classes: usize) -> TargetColumns {
        TargetColumns::Classes { labels, classes }
    }

    #[test]
    fn select_copies_rows_in_the_order_asked() {
        let picked = small().with_weights(vec![0.5, 1.5, 2.5]).unwrap().select(&[2, 0, 2]);
        assert_eq!(picked.pixels(), [5, 6, 1, 2, 5, 6]);
        assert_eq!(picked.labels(), [1, 0, 1]);
        assert_eq!(picked.weights(), Some(&[2.5, 0.5, 2.5][..]));
        assert_eq!((picked.len(), picked.row(1), picked.classes(), picked.source()), (3, vec![1, 2], 3, "small"));
        assert!(small().select(&[]).is_empty());
        let targets = TargetColumns::Values { values: vec![1.0, 2.0, 3.0, 4.0], width: 2 };
        let numbers = Dataset::from_values(vec![0.1, 0.2], 1, targets, "numbers".into()).unwrap().select(&[1]);
        assert_eq!(*numbers.targets(), TargetColumns::Values { values: vec![3.0, 4.0], width: 2 });
        assert_eq!((numbers.len(), numbers.outputs(), numbers.classes(), numbers.labels()), (1, 2, 0, &[][..]));
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        for (pixels, labels, size, classes, wanted) in [
            (5, vec![0, 1], (1, 2), 2, "s: pixels: expected 2 x 1 x 2, as many as labels and image size say, found 5"),
            (0, vec![0], (usize::MAX, 2), 2, "s: pixels: expected 1 x 18446744073709551615 x 2"),
            (0, vec![], (0, 2), 2, "s: image size: expected at least 1 x 1, found 0 x 2"),
            (0, vec![], (2, 0), 2, "s: image size: expected at least 1 x 1, found 2 x 0"),
            (2, vec![0, 0], (1, 1), 1, "s: classes: expected 2 to 65536, found 1"),
            (2, vec![0, 0], (1, 1), 65_537, "s: classes: expected 2 to 65536, found 65537"),
            (2, vec![1, 7], (1, 1), 7, "s: label of row 1: expected below 7, found 7"),
        ] {
            let error = Dataset::images(vec![0; pixels], labels, size, classes, "s".into()).unwrap_err();
            assert!(error.to_string().starts_with(wanted), "{error}");
        }
        assert!(Dataset::images(vec![0; 2], vec![1, 255], (1, 1), 256, "s".into()).is_ok());
    }

    #[test]
    fn numbers_that_do_not_fit_together_are_refused() {
        let values = |values: Vec<f32>, width| TargetColumns::Values { values, width };
        let two = || classes(vec![0, 1], 2);
        for (x, features, targets, wanted) in [
            (vec![0.0; 3], 2, two(), "s: values: expected 2 rows of 2 (at least 1), as many as targets, found 3"),
            (vec![], 0, two(), "s: values: expected 2 rows of 0 (at least 1)"),
            (vec![0.0; 2], usize::MAX, two(), "s: values: expected 2 rows of 18446744073709551615"),
            (vec![0.0, 1.0, 2.0, f32::NAN], 2, two(), "s: row 1, column 1: expected a finite number, found NaN"),
            (vec![f32::INFINITY; 2], 1, two(), "s: row 0, column 0: expected a finite number, found inf"),
            (vec![0.0; 2], 1, classes(vec![0, 65_535], 65_535), "s: label of row 1: expected below 65535, found 65535"),
            (vec![0.0; 2], 1, values(vec![0.0; 3], 2), "s: target values: expected whole rows of 2"),
            (vec![0.0; 2], 1, values(vec![], 0), "s: target values: expected whole rows of 0 (at least 1)"),
            (vec![0.0; 2], 1, values(vec![0.0, 1.0, f32::NAN, 2.0], 2), "s: target 0 of row 1: expected a finite"),
        ] {
            let error = Dataset::from_values(x, features, targets, "s".into()).unwrap_err();
            assert!(error.to_string().starts_with(wanted), "{error}");
        }
        let many = Dataset::from_values(vec![0.0; 2], 1, classes(vec![0, 65_535], 65_536), "s".into()).unwrap();
        assert_eq!((many.outputs(), many.scale(), many.row(0), many.pixels()), (65_536, None, vec![], vec![]));
        assert!(many.clone().with_scale(Scale::Unit).is_ok());
        let error = many.with_scale(Scale::Standard { mean: 0.5, std: 1.0 }).unwrap_err();
        assert_eq!(error.to_string(), "s: columns: expected pixels, for a scale, found numbers");
    }

    #[test]
    fn class_names_go_with_the_samples() {
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let named = small().with_class_names(names(&["cat", "dog", "eel"])).unwrap();
        assert_eq!(named.select(&[1]).class_names(), ["cat", "dog", "eel"]);
        assert!(named.with_class_names(vec![]).unwrap().class_names().is_empty());
        for (given, wanted) in [
            (&["cat", "dog"][..], "small: class names: expected 3, one for each class, found 2"),
            (&["a", "b", "a"], "small: class names: expected names of their own, found 'a' twice"),
        ] {
            assert_eq!(small().with_class_names(names(given)).unwrap_err().to_string(), wanted);
        }
    }

    #[test]
    fn weights_are_checked() {
        for (weights, wanted) in [
            (vec![1.0; 2], "small: weights: expected 3, one for each sample, found 2"),
            (vec![1.0, -1.0, 1.0], "small: weights: expected finite numbers of at least 0, found -1 at row 1"),
            (vec![1.0, 1.0, f32::NAN], "small: weights: expected finite numbers of at least 0, found NaN at row 2"),
            (vec![0.0; 3], "small: weights: expected one that is not 0, at least, found zeros only"),
        ] {
            assert_eq!(small().with_weights(weights).unwrap_err().to_string(), wanted);
        }
    }
}
