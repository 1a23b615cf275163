//! From grey to a PNG file that never takes the place of another. It knows no pictures' meaning.

use std::fs::{self, File};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::Path;

use super::Gray;
use crate::error::{Error, Result};

/// Writes `picture` to a new PNG file at `path`.
///
/// # Errors
/// [`Error::Picture`] if `path` exists already, [`Error::Io`] if it cannot be written; then nothing is left of it.
pub fn write_png(path: &Path, picture: &Gray) -> Result<()> {
    let failed = |source| Error::Io { path: path.to_path_buf(), action: "write", source };
    let file = File::create_new(path).map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => Error::Picture {
            path: path.to_path_buf(),
            problem: "exists already; choose another name, or remove it first".into(),
        },
        _ => failed(source),
    })?;
    encode(file, picture).map_err(|error| {
        // This program made it, a moment ago.
        let _ = fs::remove_file(path);
        failed(error.into())
    })
}

fn encode(file: File, picture: &Gray) -> std::result::Result<(), png::EncodingError> {
    let mut out = BufWriter::new(file);
    // A picture whose sides do not fit would be refused by the encoder as having none.
    let side = |pixels: usize| u32::try_from(pixels).unwrap_or(0);
    let mut encoder = png::Encoder::new(&mut out, side(picture.width()), side(picture.height()));
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(picture.pixels())?;
    writer.finish()?;
    out.flush()?;
    Ok(())
}
