//! Larger and smaller pictures by area: each new pixel is the mean of the area that it covers. It knows no ink.

use super::Gray;
use crate::error::Result;

/// A part of a picture, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub left: usize,
    pub top: usize,
    pub width: usize,
    pub height: usize,
}

/// `part` of a picture that is `stride` pixels wide, as `width` x `height` values; all four sides are at least 1.
///
/// `pixels: [any, stride]`, read; returns `[height, width]`. Along each side first, then down: the mean over a rectangle
/// is the mean of means.
pub(super) fn area_average<T: Copy + Into<f32>>(
    pixels: &[T],
    stride: usize,
    part: Part,
    width: usize,
    height: usize,
) -> Vec<f32> {
    let across = Coverage::new(part.width, width);
    let down = Coverage::new(part.height, height);
    let mut out = vec![0.0; width * height];
    let mut row = vec![0.0; width];
    // The rows that two new rows share are averaged twice: at most one more pass than the picture has rows.
    for (y, out) in out.chunks_exact_mut(width).enumerate() {
        for (source_y, share_y) in down.of(y) {
            let source = &pixels[(part.top + source_y) * stride + part.left..][..part.width];
            for (x, value) in row.iter_mut().enumerate() {
                *value = across.of(x).map(|(source_x, share_x)| share_x * source[source_x].into()).sum();
            }
            for (out, value) in out.iter_mut().zip(&row) {
                *out += share_y * value;
            }
        }
    }
    out
}

/// Which pixels of a line of `from` a line of `to` covers, and by which shares.
struct Coverage {
    from: usize,
    to: usize,
}

impl Coverage {
    fn new(from: usize, to: usize) -> Coverage {
        Coverage { from, to }
    }

    /// New pixel `index` covers `index * from / to` to `(index + 1) * from / to`; in units of `1 / to` all of it is whole
    /// numbers. The shares sum to 1.
    fn of(&self, index: usize) -> impl Iterator<Item = (usize, f32)> {
        let (from, to) = (self.from, self.to);
        let (start, end) = (index * from, (index + 1) * from);
        (start / to..end.div_ceil(to)).map(move |source| {
            let covered = end.min((source + 1) * to) - start.max(source * to);
            (source, covered as f32 / from as f32)
        })
    }
}

/// The same picture with no side longer than `longest`, which is at least 1. Smaller ones stay as they are.
pub fn shrink(picture: &Gray, longest: usize) -> Result<Gray> {
    let (width, height) = fit(picture.width(), picture.height(), longest);
    if picture.width().max(picture.height()) <= longest {
        return Ok(picture.clone());
    }
    let whole = Part { left: 0, top: 0, width: picture.width(), height: picture.height() };
    let values = area_average(picture.pixels(), picture.width(), whole, width, height);
    Gray::new(width, height, values.iter().map(|value| value.round() as u8).collect())
}

/// The same picture as `width` x `height` pixels, each at least 1, whatever its proportions were.
///
/// # Errors
/// [`Error::Shape`](crate::error::Error::Shape) if a side is 0.
pub fn resize(picture: &Gray, width: usize, height: usize) -> Result<Gray> {
    if width == 0 || height == 0 || (picture.width(), picture.height()) == (width, height) {
        return Gray::new(width, height, picture.pixels().to_vec());
    }
    let whole = Part { left: 0, top: 0, width: picture.width(), height: picture.height() };
    let values = area_average(picture.pixels(), picture.width(), whole, width, height);
    Gray::new(width, height, values.iter().map(|value| value.round() as u8).collect())
}

/// Width and height whose longer one is `longest`, as near to the given proportions as whole pixels come.
pub(super) fn fit(width: usize, height: usize, longest: usize) -> (usize, usize) {
    let long = width.max(height);
    let scaled = |side: usize| ((side * longest + long / 2) / long).max(1);
    (scaled(width), scaled(height))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(width: usize, height: usize) -> Part {
        Part { left: 0, top: 0, width, height }
    }

    #[test]
    fn means_of_areas_are_those_worked_out_by_hand() {
        // Three pixels as two: 0.5 of the middle one goes to each side.
        assert_eq!(area_average(&[30.0_f32, 60.0, 90.0], 3, whole(3, 1), 2, 1), [40.0, 80.0]);
        // 2 x 2 as one, and one column of it as 1 x 2.
        assert_eq!(area_average(&[0_u8, 100, 200, 255], 2, whole(2, 2), 1, 1), [138.75]);
        let right = Part { left: 1, top: 0, width: 1, height: 2 };
        assert_eq!(area_average(&[0_u8, 100, 200, 255], 2, right, 1, 2), [100.0, 255.0]);
    }

    #[test]
    fn an_enlarged_picture_shrinks_to_what_it_was() {
        let small: Vec<u8> = (0..35).map(|i| (i * 53 % 256) as u8).collect();
        for times in [2, 3, 7] {
            let large = area_average(&small, 5, whole(5, 7), 5 * times, 7 * times);
            let back = area_average(&large, 5 * times, whole(5 * times, 7 * times), 5, 7);
            for (back, small) in back.iter().zip(&small) {
                assert!((back - f32::from(*small)).abs() < 1e-3, "{back}, {small}");
            }
        }
    }

    #[test]
    fn proportions_are_kept_as_far_as_pixels_allow() {
        for (size, longest, expected) in
            [((100, 50), 20, (20, 10)), ((3, 400), 20, (1, 20)), ((7, 7), 20, (20, 20)), ((2, 3), 20, (13, 20))]
        {
            assert_eq!(fit(size.0, size.1, longest), expected);
        }
        let wide = Gray::new(40, 2, vec![7; 80]).unwrap();
        assert_eq!(shrink(&wide, 10).unwrap(), Gray::new(10, 1, vec![7; 10]).unwrap());
        assert_eq!(shrink(&wide, 40).unwrap(), wide);
        assert_eq!(resize(&wide, 40, 2).unwrap(), wide);
        assert_eq!(resize(&wide, 3, 5).unwrap(), Gray::new(3, 5, vec![7; 15]).unwrap());
        assert!(resize(&wide, 0, 5).is_err());
    }

    proptest! {
        #[test]
        fn the_mean_of_the_picture_stays(width in 1..30_usize, height in 1..30_usize, to in (1..40_usize, 1..40_usize)) {
            let pixels: Vec<u8> = (0..width * height).map(|i| (i * 89 % 251) as u8).collect();
            let mean = |values: &mut dyn Iterator<Item = f64>, count: usize| values.sum::<f64>() / count as f64;
            let before = mean(&mut pixels.iter().map(|p| f64::from(*p)), pixels.len());
            let after = area_average(&pixels, width, whole(width, height), to.0, to.1);
            let found = mean(&mut after.iter().map(|p| f64::from(*p)), after.len());
            prop_assert!((before - found).abs() < 1e-3, "{} became {}", before, found);
        }
    }
}
