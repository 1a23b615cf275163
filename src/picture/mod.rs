//! Pictures: from a PNG, JPEG, BMP, GIF or PNM of any size to the small bright-on-dark image that a network for MNIST takes, and from
//! images to a PNG. It must not know networks, flags or terminals.
//!
//! ```no_run
//! use std::path::Path;
//!
//! let path = Path::new("seven.png");
//! let pixels = flatnet::picture::prepare(&flatnet::picture::open(path)?, path, (28, 28))?;
//! assert_eq!(pixels.len(), 784);
//! # Ok::<(), flatnet::Error>(())
//! ```

mod bmp;
mod closing;
mod contained;
mod decode;
mod encode;
mod exif;
mod gif;
mod ink;
mod jpeg;
mod kind;
mod levels;
mod plain;
mod pnm;
mod prepare;
mod resample;
mod ruled;
mod spots;
mod surface;
mod windows;

pub use decode::{MAX_FILE_BYTES, MAX_PIXELS, decode, open, read};
pub use encode::write_png;
pub use plain::prepare_plain;
pub use prepare::{MAX_SIDE, MIN_SIDE, fits, prepare};
pub use resample::{resize, shrink};

use crate::error::{Error, Result};

/// A picture in grey: a byte per pixel, 0 black to 255 white, row by row from the top left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gray {
    width: usize,
    height: usize,
    /// `[height, width]`
    pixels: Vec<u8>,
}

impl Gray {
    /// A picture of `pixels`: `[height, width]`.
    ///
    /// # Errors
    /// [`Error::Shape`] if a side is 0 or the number of pixels is another.
    pub fn new(width: usize, height: usize, pixels: Vec<u8>) -> Result<Gray> {
        if width == 0 || height == 0 || width.checked_mul(height) != Some(pixels.len()) {
            return Err(Error::Shape {
                place: "a picture".into(),
                expected: format!("{width} x {height} pixels, and at least one"),
                found: pixels.len().to_string(),
            });
        }
        Ok(Gray { width, height, pixels })
    }

    /// Columns of pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows of pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// `[height, width]`
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// `[height, width]`
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }
}
