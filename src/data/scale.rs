//! What a pixel, a byte, is as a number. It knows pixels and their spread, not batches.
//!
//! One formula for each scale, used for the table and for single pixels here and for whole rows in `kernels::pixels`, so that
//! all give the same bits:
//!
//! - unit: `x = p / 255`, rounded once, as IEEE division gives it (and ToTensor of torchvision);
//! - standard: `(x - mean) * (1 / std)`, with f32 roundings of `1 / std`, of the difference and of the product.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Dataset;
use super::columns::Columns;
use crate::error::{Error, Result};
use crate::kernels::pixels::PixelScale;
use crate::names;

/// The choice of `--scale`, before the data are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum ScaleKind {
    /// Pixel / 255: from 0 to 1
    Unit,
    /// (Pixel / 255 - mean) / standard deviation, both of the training sample
    Standard,
}

/// How pixels become numbers; part of a saved model. Read from a file it is checked as [`Scale::standard`] checks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(into = "Fields", try_from = "Fields")]
pub enum Scale {
    /// `x = p / 255`.
    Unit,
    /// `(x - mean) / std`, with the mean and the standard deviation of `x = p / 255`. `std` is positive.
    Standard {
        /// Of all pixels.
        mean: f32,
        /// Of all pixels.
        std: f32,
    },
}

impl Scale {
    /// The scale of `kind` for `training`: mean and (population) standard deviation are taken over all pixels of all
    /// rows. If all pixels are equal, or there are none, `std` is 1, so that nothing is divided by 0. Columns of
    /// numbers have no scale: [`Scale::Unit`] leaves them as they are.
    pub fn fit(kind: ScaleKind, training: &Dataset) -> Scale {
        match kind {
            ScaleKind::Unit => Scale::Unit,
            ScaleKind::Standard => match training.columns() {
                Columns::Bytes { rows, .. } => {
                    let (mean, std) = mean_and_std(&rows.histogram());
                    Scale::Standard { mean: mean as f32, std: std as f32 }
                }
                Columns::Values { .. } | Columns::Compressed(_) | Columns::Bits(_) => Scale::Unit,
            },
        }
    }

    /// A standard scale from known figures.
    ///
    /// # Errors
    /// [`Error::Shape`] as [`Scale::checked`].
    pub fn standard(mean: f32, std: f32) -> Result<Scale> {
        Scale::Standard { mean, std }.checked()
    }

    /// The scale itself, if numbers can come from it.
    ///
    /// # Errors
    /// [`Error::Shape`] if `mean` or `std` is not finite, `std` is not positive, some pixel would not become a finite
    /// number, or black and white would become the same.
    pub fn checked(self) -> Result<Scale> {
        let Scale::Standard { mean, std } = self else { return Ok(self) };
        let table = self.table();
        let known = mean.is_finite() && std.is_finite() && std > 0.0;
        if known && table.iter().all(|value| value.is_finite()) && table[0] < table[usize::from(u8::MAX)] {
            return Ok(self);
        }
        Err(Error::Shape {
            place: "standard scale".into(),
            expected: "a finite mean and a positive, finite std that keep all pixels finite, and black from white"
                .into(),
            found: format!("mean {mean}, std {std}"),
        })
    }

    /// One pixel as a number.
    #[inline]
    pub fn apply(&self, pixel: u8) -> f32 {
        match *self {
            Scale::Unit => f32::from(pixel) / 255.0,
            Scale::Standard { mean, std } => (f32::from(pixel) / 255.0 - mean) * (1.0 / std),
        }
    }

    /// All 256 pixels as numbers.
    pub fn table(&self) -> [f32; 256] {
        std::array::from_fn(|pixel| self.apply(pixel as u8))
    }

    /// The same for the kernel that scales whole rows.
    pub(super) fn of_pixels(&self) -> PixelScale {
        match *self {
            Scale::Unit => PixelScale::Unit,
            Scale::Standard { mean, std } => PixelScale::Standard { mean, factor: 1.0 / std },
        }
    }
}

/// The formula, for people.
impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scale::Unit => f.write_str("pixels / 255"),
            Scale::Standard { mean, std } => write!(f, "(pixels / 255 - {mean}) / {std}"),
        }
    }
}

/// In units of `p / 255`. The sums are exact integers; what fits in memory, 2^48 pixels, stays far below 2^128.
fn mean_and_std(histogram: &[u64; 256]) -> (f64, f64) {
    let (mut count, mut sum, mut sum_of_squares) = (0_u128, 0_u128, 0_u128);
    for (pixel, &times) in (0_u128..).zip(histogram) {
        let times = u128::from(times);
        count += times;
        sum += times * pixel;
        sum_of_squares += times * pixel * pixel;
    }
    if count == 0 {
        return (0.0, 1.0);
    }
    let mean = sum as f64 / (count as f64 * 255.0);
    let variance_by_count_squared = count * sum_of_squares - sum * sum;
    match variance_by_count_squared {
        0 => (mean, 1.0),
        exact => (mean, (exact as f64).sqrt() / (count as f64 * 255.0)),
    }
}

/// [`Scale`] as a model file holds it. In f64, because every f32 comes back from that as it was.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
enum Fields {
    // Braces, because serde lets a bare variant carry fields that it does not have.
    Unit {},
    Standard { mean: f64, std: f64 },
}

impl From<Scale> for Fields {
    fn from(scale: Scale) -> Self {
        match scale {
            Scale::Unit => Fields::Unit {},
            Scale::Standard { mean, std } => Fields::Standard { mean: mean.into(), std: std.into() },
        }
    }
}

impl TryFrom<Fields> for Scale {
    type Error = Error;

    fn try_from(fields: Fields) -> Result<Self> {
        match fields {
            Fields::Unit {} => Ok(Scale::Unit),
            Fields::Standard { mean, std } => Scale::standard(mean as f32, std as f32),
        }
    }
}

impl FromStr for ScaleKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        names::parse("scale", text.trim(), "unit or standard")
    }
}

impl fmt::Display for ScaleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Batch, Loader, Shuffle};
    use crate::kernels::{Rows, SimdLevel};
    use proptest::prelude::*;

    const STANDARD: Scale = Scale::Standard { mean: 0.130_66, std: 0.308_11 };

    fn set_of(pixels: Vec<u8>) -> Dataset {
        let labels = vec![0; pixels.len()];
        Dataset::images(pixels, labels, (1, 1), 2, "test".into()).unwrap()
    }

    #[test]
    fn unit_is_the_division_for_every_pixel() {
        let table = Scale::Unit.table();
        for pixel in 0..=255_u8 {
            let exact = f64::from(pixel) / 255.0;
            assert_eq!(table[usize::from(pixel)].to_bits(), (f32::from(pixel) / 255.0).to_bits());
            assert_eq!(table[usize::from(pixel)].to_bits(), (exact as f32).to_bits(), "{pixel} is rounded twice");
        }
    }

    #[test]
    fn the_table_holds_every_pixel() {
        for scale in [Scale::Unit, STANDARD] {
            for (pixel, value) in (0..=255).zip(scale.table()) {
                assert_eq!(value.to_bits(), scale.apply(pixel).to_bits(), "{scale:?}, pixel {pixel}");
            }
        }
    }

    /// A loader fills rows by [`kernels::pixels`](crate::kernels::pixels), eight pixels at a time and none where a block
    /// is zero: every length around blocks and words of 64 of them, on every SIMD level, over what other rows left.
    #[test]
    fn rows_of_a_batch_and_the_table_agree_to_the_bit() {
        const ROWS: usize = 6;
        let short_and_long = (1..70).chain([255, 512, 783, 784, 1023, 1024, 1025, 1030, 2049]);
        for width in short_and_long {
            // All 256 pixels; only zeros; zeros but for the last; blocks of zeros between others; the first but in reverse.
            let pixel = |row: usize, column: usize| match row {
                0 => (column % 256) as u8,
                2 => u8::from(column + 1 == width) * 255,
                3 if column / 16 % 3 != 1 => 0,
                3 => (column * 7 % 251) as u8,
                4 => (255 - column % 256) as u8,
                _ => 0,
            };
            let pixels = (0..ROWS * width).map(|i| pixel(i / width, i % width)).collect();
            let set = Dataset::images(pixels, vec![0; ROWS], (1, width), 2, "test".into()).unwrap();
            for scale in [Scale::Unit, STANDARD, Scale::Standard { mean: 0.0, std: 1.0 }] {
                let (table, set) = (scale.table(), set.clone().with_scale(scale).unwrap());
                for level in SimdLevel::all() {
                    let mut batch = Batch::new();
                    // Batches of 4 and 2 rows, and the same ones in another order: each row over every other's leavings.
                    for (batch_size, index) in [(4, 0), (4, 1), (2, 2), (2, 1), (2, 0), (1, 3), (1, 1), (6, 0)] {
                        let loader = Loader::new(&set, batch_size, Shuffle::Never, 0).unwrap();
                        loader.load(index, level, &mut batch);
                        let first = index * batch_size * width;
                        assert_eq!(batch.x().len(), loader.batch_len(index) * width);
                        for (x, pixel) in batch.x().iter().zip(&set.pixels()[first..]) {
                            let wanted = table[usize::from(*pixel)];
                            assert_eq!(
                                x.to_bits(),
                                wanted.to_bits(),
                                "{scale:?}, width {width}, {}, batch {index} of {batch_size}, pixel {pixel}",
                                level.name()
                            );
                        }
                        assert_eq!(matches!(batch.rows(), Rows::Sparse(_)), table[0] == 0.0);
                    }
                }
            }
        }
    }

    #[test]
    fn standard_is_the_formula_within_its_roundings() {
        let Scale::Standard { mean, std } = STANDARD else { unreachable!() };
        for pixel in 0..=255_u8 {
            let exact = (f64::from(pixel) / 255.0 - f64::from(mean)) / f64::from(std);
            // Half an ulp each of p / 255 and the difference (both below 1, over std), and of 1 / std and the product.
            let half_ulp = f64::from(f32::EPSILON) / 2.0;
            let tolerance = half_ulp * (2.0 / f64::from(std) + 2.0 * exact.abs()) * 1.001;
            let error = (f64::from(STANDARD.apply(pixel)) - exact).abs();
            assert!(error <= tolerance, "pixel {pixel}: {error} is more than {tolerance}");
        }
    }

    #[test]
    fn fit_finds_mean_and_standard_deviation() {
        assert_eq!(Scale::fit(ScaleKind::Unit, &set_of(vec![7])), Scale::Unit);
        // 0 and 255 once and three times: mean 3/4, variance 3/16.
        let fitted = Scale::fit(ScaleKind::Standard, &set_of(vec![255, 0, 255, 255]));
        assert_eq!(fitted, Scale::Standard { mean: 0.75, std: (3.0_f64.sqrt() / 4.0) as f32 });
        // Five pixels reach the remainder of the histogram as well.
        let fitted = Scale::fit(ScaleKind::Standard, &set_of(vec![0, 0, 0, 0, 255]));
        assert_eq!(fitted, Scale::Standard { mean: 0.2, std: 0.4 });
    }

    #[test]
    fn fit_never_divides_by_zero() {
        for (pixels, mean) in [(vec![51; 9], 0.2), (vec![], 0.0)] {
            assert_eq!(Scale::fit(ScaleKind::Standard, &set_of(pixels)), Scale::Standard { mean, std: 1.0 });
        }
    }

    #[test]
    fn a_scale_in_a_file_is_checked() {
        for (json, wanted) in [
            (r#"{"kind":"unit"}"#, Some(Scale::Unit)),
            (r#"{"kind":"standard","mean":0.5,"std":0.25}"#, Some(Scale::Standard { mean: 0.5, std: 0.25 })),
            (r#"{"kind":"standard","mean":0.5,"std":0.0}"#, None),
            (r#"{"kind":"standard","mean":0.5,"std":-1.0}"#, None),
            (r#"{"kind":"standard","mean":0.5,"std":1e-42}"#, None),
            (r#"{"kind":"standard","mean":1e39,"std":1.0}"#, None),
            (r#"{"kind":"standard","mean":0.5}"#, None),
            (r#"{"kind":"unit","mean":0.5}"#, None),
            (r#"{"kind":"other"}"#, None),
        ] {
            assert_eq!(serde_json::from_str::<Scale>(json).ok(), wanted, "{json}");
        }
        assert_eq!(serde_json::to_string(&Scale::Unit).unwrap(), r#"{"kind":"unit"}"#);
    }

    #[test]
    fn the_kind_has_one_spelling_everywhere() {
        for (kind, text) in [(ScaleKind::Unit, "unit"), (ScaleKind::Standard, "standard")] {
            assert_eq!(kind.to_string(), text);
            assert_eq!(text.parse::<ScaleKind>().unwrap(), kind);
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{text}\""));
            #[cfg(feature = "cli")]
            assert_eq!(<ScaleKind as clap::ValueEnum>::from_str(text, false), Ok(kind));
        }
        let message = "Unit".parse::<ScaleKind>().unwrap_err().to_string();
        assert_eq!(message, "scale: 'Unit' is not valid: expected unit or standard");
    }

    proptest! {
        #[test]
        fn a_scale_comes_back_from_json_to_the_bit(mean in -1e6_f32..1e6, std in 1e-20_f32..1e20) {
            let scale = Scale::standard(mean, std).unwrap();
            let Scale::Standard { mean: mean_back, std: std_back } =
                serde_json::from_str(&serde_json::to_string(&scale).unwrap()).unwrap()
            else { panic!("another kind") };
            prop_assert_eq!((mean_back.to_bits(), std_back.to_bits()), (mean.to_bits(), std.to_bits()));
        }
    }
}
