//! The whole picture, made smaller: for networks that were trained on images that fill their frame. It knows no ink.

use std::path::Path;

use super::Gray;
use super::prepare::check_size;
use super::resample::{Part, area_average, fit};
use crate::error::{Error, Result};

/// The border is this share of the shorter side, at least one pixel.
const BORDER: f32 = 0.04;
/// Levels that differ by less are the same background.
const SAME_LEVEL: u8 = 16;
/// A picture whose levels differ by less shows nothing.
const LEAST_CONTRAST: u8 = 16;

/// Makes an image of `image_size` (rows, columns) from all of `picture`: proportions kept, in the middle, what is left filled
/// with the background. Returns `[rows, columns]`, light on dark.
///
/// The background is the commonest brightness of the picture's border: where something reaches the border it has many
/// levels, and the background behind it one, which the border's median would miss. If the middle, half of each side, is
/// darker than that on the mean, as a garment on white paper is, the picture is inverted; Fashion-MNIST's own images are
/// light on black, and stay as they are to the byte.
///
/// # Errors
/// [`Error::Picture`] if all of it is nearly of one brightness, [`Error::Shape`] if `image_size` is not that of a small
/// picture.
pub fn prepare_plain(picture: &Gray, path_for_errors: &Path, image_size: (usize, usize)) -> Result<Vec<u8>> {
    check_size(image_size)?;
    let (rows, columns) = image_size;
    let (width, height) = (picture.width(), picture.height());
    let (darkest, lightest) = picture.pixels().iter().fold((u8::MAX, 0), |(low, high), p| (low.min(*p), high.max(*p)));
    if lightest - darkest < LEAST_CONTRAST {
        let problem = format!("shows nothing ({width} x {height}, all nearly of one brightness)");
        return Err(Error::Picture { path: path_for_errors.to_path_buf(), problem });
    }
    let background = background(picture);
    let whole = Part { left: 0, top: 0, width, height };
    let middle = Part { left: width / 4, top: height / 4, width: width.div_ceil(2), height: height.div_ceil(2) };
    let is_dark = area_average(picture.pixels(), width, middle, 1, 1)[0] < background;
    // As large as fits: one side is the image's own.
    let longest = if width * rows > height * columns {
        columns.max(columns * height / width)
    } else {
        rows.max(rows * width / height)
    };
    let (new_width, new_height) = fit(width, height, longest);
    let (new_width, new_height) = (new_width.min(columns), new_height.min(rows));
    let scaled = area_average(picture.pixels(), width, whole, new_width, new_height);
    let light = |level: f32| (if is_dark { 255.0 - level } else { level }).round() as u8;
    let mut image = vec![light(background); rows * columns];
    let (left, top) = ((columns - new_width) / 2, (rows - new_height) / 2);
    for (line, row) in image[top * columns..].chunks_exact_mut(columns).zip(scaled.chunks_exact(new_width)) {
        for (pixel, value) in line[left..].iter_mut().zip(row) {
            *pixel = light(*value);
        }
    }
    Ok(image)
}

/// The commonest brightness along the picture's border: the middle of the `SAME_LEVEL` levels that hold most of its pixels.
fn background(picture: &Gray) -> f32 {
    let (width, height) = (picture.width(), picture.height());
    let depth = ((BORDER * width.min(height) as f32) as usize).max(1);
    let near = |at: usize, side: usize| at < depth || at + depth >= side;
    let mut counts = [0_usize; 256];
    for (y, row) in picture.pixels().chunks_exact(width).enumerate() {
        if near(y, height) {
            row.iter().for_each(|level| counts[usize::from(*level)] += 1);
        } else {
            let (first, last) = (depth.min(width), width.saturating_sub(depth));
            let ends = row[..first].iter().chain(&row[last.max(first)..]);
            ends.for_each(|level| counts[usize::from(*level)] += 1);
        }
    }
    let of = |window: &[usize]| window.iter().sum::<usize>();
    let windows = counts.windows(usize::from(SAME_LEVEL)).enumerate();
    // Of equals the first: a level that stands alone is found from its left; its own weight says where in the window.
    let best = windows.max_by(|(a, left), (b, right)| of(left).cmp(&of(right)).then(b.cmp(a)));
    let (first, window) = best.unwrap_or((0, &counts));
    let weighted: usize = window.iter().enumerate().map(|(at, count)| (first + at) * count).sum();
    weighted as f32 / of(window).max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: usize, height: usize, level: impl Fn(usize, usize) -> u8) -> Gray {
        Gray::new(width, height, (0..width * height).map(|i| level(i % width, i / width)).collect()).unwrap()
    }

    fn prepared(picture: &Gray, size: (usize, usize)) -> Vec<u8> {
        prepare_plain(picture, Path::new("garment.png"), size).unwrap()
    }

    /// A pullover of sorts on black: it fills the frame but for the corners beside its neck.
    fn pullover(x: usize, y: usize) -> u8 {
        let is_paper = y < 8 && !(8..20).contains(&x);
        if is_paper { 0 } else { 120 + ((x * 37 + y * 53) % 120) as u8 }
    }

    #[test]
    fn an_image_of_the_models_own_size_stays_as_it_is() {
        let image = picture(28, 28, pullover);
        assert_eq!(prepared(&image, (28, 28)), image.pixels());
        // Enlarged it comes back.
        let large = picture(280, 280, |x, y| pullover(x / 10, y / 10));
        assert_eq!(prepared(&large, (28, 28)), image.pixels());
    }

    #[test]
    fn dark_on_light_is_inverted() {
        let photo = picture(280, 280, |x, y| 255 - pullover(x / 10, y / 10));
        assert_eq!(prepared(&photo, (28, 28)), picture(28, 28, pullover).pixels());
        // A shoe: its middle is mostly paper.
        let shoe = |x: usize, y: usize| if (40..60).contains(&y) && x > 10 { 90 } else { 250 };
        let image = prepared(&picture(100, 100, shoe), (20, 20));
        assert_eq!((image[0], image[10 * 20 + 10]), (5, 165));
    }

    #[test]
    fn proportions_are_kept_and_the_rest_is_background() {
        for (width, height) in [(200, 100), (100, 200), (3000, 9), (9, 3000), (1, 2), (57, 31)] {
            let photo = picture(width, height, |x, y| if (x + y) % 2 == 0 { 20 } else { 240 });
            assert_eq!(prepared(&photo, (28, 28)).len(), 784);
            assert_eq!(prepared(&photo, (9, 1024)).len(), 9 * 1024);
        }
        // White on black, twice as wide as high: seven rows above and below stay black.
        let wide = picture(200, 100, |x, y| if (50..150).contains(&x) && (20..80).contains(&y) { 255 } else { 0 });
        let image = prepared(&wide, (28, 28));
        assert!(image[..7 * 28].iter().chain(&image[21 * 28..]).all(|pixel| *pixel == 0));
        assert_eq!((image[14 * 28 + 14], image[14 * 28 + 6], image[14 * 28 + 7]), (255, 0, 255));
    }

    #[test]
    fn what_shows_nothing_is_refused() {
        let level = picture(50, 40, |x, _| 200 + (x % 4) as u8);
        let problem = prepare_plain(&level, Path::new("level.png"), (28, 28)).unwrap_err().to_string();
        assert!(problem.contains("level.png: shows nothing (50 x 40, all nearly of one brightness)"), "{problem}");
        assert!(prepare_plain(&picture(9, 9, |x, _| 99 * (x as u8 / 4)), Path::new("x"), (2, 28)).is_err());
    }
}
