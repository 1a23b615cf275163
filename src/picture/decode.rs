//! From the bytes of a picture to grey, with limits that are checked before memory is taken for pixels. It knows
//! formats, not what a picture shows.

use std::io::{Cursor, Read};
use std::path::Path;

use png::Transformations;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::exif::Orientation;
use super::kind::{Kind, READ};
use super::{Gray, bmp, contained, gif, jpeg, pnm};
use crate::error::{Error, Result};
use crate::regular_file;

/// The largest picture that is read. A camera of 50 megapixels stays below it; a decoder needs about 7 bytes for a pixel
/// of a progressive JPEG, 5 for an interlaced PNG and 1 otherwise.
pub const MAX_PIXELS: u64 = 64_000_000;
/// The largest file that is read.
pub const MAX_FILE_BYTES: u64 = 256 << 20;

/// For palettes and a row or two of pixels, which the PNG decoder keeps for itself.
const PNG_BYTES: usize = 64 << 20;
/// Deflate's densest code is two bits for 258 bytes.
const MAX_DEFLATE_RATIO: u64 = 1032;
const WHITE: u8 = 255;
const BLACK: u8 = 0;

/// Reads the picture at `path` as grey; see [`decode`].
///
/// # Errors
/// [`Error::Io`] from the operating system, [`Error::Picture`] for everything else.
pub fn open(path: &Path) -> Result<Gray> {
    let fail = |source| Error::Io { path: path.to_path_buf(), action: "open", source };
    match regular_file::open(path).map_err(fail)? {
        Some((_, bytes)) if bytes > MAX_FILE_BYTES => Err(too_many_bytes(path)),
        Some((file, _)) => read(path, file),
        None if path.is_dir() => Err(refuse(path, "is a folder; name the pictures in it")),
        None => Err(refuse(path, "is not a regular file; give - to read a picture from standard input")),
    }
}

/// Reads a picture from `reader` to its end. Errors name `path_for_errors`.
///
/// # Errors
/// As [`open`].
pub fn read(path_for_errors: &Path, reader: impl Read) -> Result<Gray> {
    let mut bytes = Vec::new();
    reader.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|source| Error::Io {
        path: path_for_errors.to_path_buf(),
        action: "read",
        source,
    })?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(too_many_bytes(path_for_errors));
    }
    decode(path_for_errors, &bytes)
}

/// A PNG, JPEG, BMP, GIF, PGM, PBM or PPM as grey (luma of Rec. 601), the way up that its Exif says. The first bytes decide which
/// of them it is, whatever the file is called.
///
/// What is transparent shows white; only where nothing would be seen on white, black. 16 bits become 8, palettes their
/// colours, and of an animation the first picture is taken.
///
/// # Errors
/// [`Error::Picture`] if it is none of them, damaged, or larger than [`MAX_PIXELS`].
pub fn decode(path_for_errors: &Path, bytes: &[u8]) -> Result<Gray> {
    let fail = |problem: String| refuse(path_for_errors, problem);
    // What is transparent shows white, and where nothing is seen on white, black.
    let seen = |decode: &dyn Fn(u8) -> Decoded<(Gray, Orientation, bool)>| {
        let (on_white, orientation, transparent) = decode(WHITE)?;
        let picture = if transparent && is_level(&on_white) { decode(BLACK)?.0 } else { on_white };
        Ok((picture, orientation))
    };
    let as_stored = |picture: Gray| (picture, Orientation::AS_STORED);
    let decoded = match Kind::of(bytes) {
        Kind::Png => guarded("PNG", || seen(&|background| decode_png(bytes, background))),
        Kind::Jpeg => decode_whole_jpeg(bytes),
        Kind::Bmp => guarded("BMP", || bmp::decode(bytes).map(as_stored)),
        Kind::Gif => guarded("GIF", || {
            let decode = |background| gif::decode(bytes, background);
            seen(&|background| decode(background).map(|(picture, clear)| (picture, Orientation::AS_STORED, clear)))
        }),
        Kind::Pnm => guarded("PNM", || pnm::decode(bytes).map(as_stored)),
        Kind::Other(name) => Err(format!("is {name}, which is not read; convert it to PNG")),
        Kind::Unknown if bytes.is_empty() => Err(format!("is empty; expected a picture: {READ}")),
        Kind::Unknown => Err(format!("is no picture of a kind that is read ({READ}); convert it to PNG")),
    };
    let (stored, orientation) = decoded.map_err(fail)?;
    Ok(upright(stored, orientation))
}

/// Else what is wrong with the picture.
pub(super) type Decoded<T> = std::result::Result<T, String>;

/// What a decoder makes of a picture. A decoder that panics has met bytes that its authors did not think of: that is the
/// picture's fault, and no reason for others to get no answer.
fn guarded<T>(format: &str, decode: impl FnOnce() -> Decoded<T>) -> Decoded<T> {
    contained::run(decode).unwrap_or_else(|panicked| Err(damaged(format, &panicked)))
}

/// The picture on a background, its orientation, and whether any of it may be transparent.
fn decode_png(bytes: &[u8], background: u8) -> Decoded<(Gray, Orientation, bool)> {
    let damaged = |error: png::DecodingError| self::damaged("PNG", &error);
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), png::Limits { bytes: PNG_BYTES });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_transformations(Transformations::normalize_to_color8());
    let header = decoder.read_header_info().map_err(damaged)?;
    let (width, height) = (header.width as usize, header.height as usize);
    check_size(width, height)?;
    if header.raw_bytes() as u64 > (bytes.len() as u64).saturating_mul(MAX_DEFLATE_RATIO) {
        return Err(self::damaged("PNG", &"it is too short for its pixels"));
    }

    let mut reader = decoder.read_info().map_err(damaged)?;
    let orientation = reader.info().exif_metadata.as_ref().map_or(Orientation::AS_STORED, |exif| Orientation::of(exif));
    let samples = reader.output_color_type().0.samples();
    let mut pixels = Vec::with_capacity(width * height);
    if reader.info().interlaced {
        let bytes = reader.output_buffer_size().ok_or("is too large")?;
        let mut frame = vec![0; bytes];
        reader.next_frame(&mut frame).map_err(damaged)?;
        push_gray(&mut pixels, &frame, samples, background);
    } else {
        // Row by row, so that a large picture is never held in colour.
        while pixels.len() < width * height
            && let Some(row) = reader.next_row().map_err(damaged)?
        {
            push_gray(&mut pixels, row.data(), samples, background);
        }
    }
    let picture = Gray::new(width, height, pixels).map_err(|error| error.to_string())?;
    Ok((picture, orientation, samples.is_multiple_of(2)))
}

fn decode_whole_jpeg(bytes: &[u8]) -> Decoded<(Gray, Orientation)> {
    // Half a picture would get an answer as sure as a whole one.
    let jpeg::Whole { bytes, half_the_rows } = jpeg::complete(bytes)?;
    // Most JPEGs store luma by itself, so that nothing else need be worked out; with colours of half the rows the decoder
    // (0.5.15) panics over luma alone, or puts rows where others belong.
    guarded("JPEG", || decode_jpeg(&bytes, !half_the_rows))
}

fn decode_jpeg(bytes: &[u8], luma_alone: bool) -> Decoded<(Gray, Orientation)> {
    let damaged = |error: zune_jpeg::errors::DecodeErrors| self::damaged("JPEG", &error);
    let longest = usize::from(u16::MAX);
    let options = DecoderOptions::default().set_max_width(longest).set_max_height(longest).set_strict_mode(true);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(damaged)?;
    let info = decoder.info().ok_or("is a JPEG without a header")?;
    let (width, height) = (usize::from(info.width), usize::from(info.height));
    check_size(width, height)?;

    let orientation = decoder.exif().map_or(Orientation::AS_STORED, |exif| Orientation::of(exif));
    let luma = luma_alone && matches!(decoder.input_colorspace(), Some(ColorSpace::YCbCr | ColorSpace::Luma));
    decoder.set_options(options.jpeg_set_out_colorspace(if luma { ColorSpace::Luma } else { ColorSpace::RGB }));
    let values = decoder.decode().map_err(damaged)?;
    let pixels = if luma {
        values
    } else {
        let mut pixels = Vec::with_capacity(width * height);
        push_gray(&mut pixels, &values, 3, WHITE);
        pixels
    };
    Ok((Gray::new(width, height, pixels).map_err(|error| error.to_string())?, orientation))
}

pub(super) fn check_size(width: usize, height: usize) -> Decoded<()> {
    let pixels = width as u64 * height as u64;
    if pixels > MAX_PIXELS {
        return Err(format!(
            "is {width} x {height}, {} megapixels; expected at most {}: make it smaller",
            pixels.div_ceil(1_000_000),
            MAX_PIXELS / 1_000_000
        ));
    }
    Ok(())
}

/// Appends what `colours` are as grey on `background`: 1 sample is grey, 3 are red, green and blue, one more is opacity.
pub(super) fn push_gray(pixels: &mut Vec<u8>, colours: &[u8], samples: usize, background: u8) {
    let over = |gray: u8, alpha: u8| {
        let (alpha, gray, background) = (u32::from(alpha), u32::from(gray), u32::from(background));
        ((gray * alpha + background * (255 - alpha) + 127) / 255) as u8
    };
    match samples {
        1 => pixels.extend_from_slice(colours),
        2 => pixels.extend(colours.as_chunks().0.iter().map(|&[gray, alpha]| over(gray, alpha))),
        3 => pixels.extend(colours.as_chunks().0.iter().map(|&rgb| luma(rgb))),
        _ => pixels.extend(colours.as_chunks().0.iter().map(|&[r, g, b, alpha]| over(luma([r, g, b]), alpha))),
    }
}

/// Rec. 601, as in JPEG. The weights sum to 1000, so grey stays what it is.
pub(super) fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b) + 500) / 1000) as u8
}

fn is_level(picture: &Gray) -> bool {
    picture.pixels().windows(2).all(|two| two[0] == two[1])
}

fn upright(stored: Gray, orientation: Orientation) -> Gray {
    if orientation == Orientation::AS_STORED {
        return stored;
    }
    let (width, height) = orientation.upright_size(stored.width, stored.height);
    let mut pixels = Vec::with_capacity(width * height);
    for y in 0..height {
        pixels.extend((0..width).map(|x| {
            let (x, y) = orientation.stored_at((x, y), stored.width, stored.height);
            stored.pixels[y * stored.width + x]
        }));
    }
    Gray { width, height, pixels }
}

pub(super) fn damaged(format: &str, detail: &dyn std::fmt::Display) -> String {
    // A decoder may tell its trouble in several lines.
    let detail = detail.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    format!("is a damaged {format} picture ({detail}); copy or save it again")
}

fn too_many_bytes(path: &Path) -> Error {
    refuse(path, format!("has more than {} MiB; expected a smaller picture", MAX_FILE_BYTES >> 20))
}

fn refuse(path: &Path, problem: impl Into<String>) -> Error {
    Error::Picture { path: path.to_path_buf(), problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A palette of one byte, where the decoder takes three for a colour: found by mutating files, and a panic in png 0.18.1.
    const SHORT_PALETTE: &[u8] = include_bytes!("../../tests/pictures/palette.png");

    #[test]
    fn a_decoder_that_panics_has_met_a_damaged_picture() {
        let problem = decode(Path::new("palette.png"), SHORT_PALETTE).unwrap_err().to_string();
        assert!(problem.starts_with("palette.png: is a damaged PNG picture"), "{problem}");
        assert!(!problem.contains('\n'));
    }

    /// Of the last size a side is no multiple of a block's.
    #[test]
    fn colours_of_every_sampling_are_read() {
        use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
        for (horizontal, vertical) in [(1, 1), (2, 1), (1, 2), (2, 2), (4, 1), (4, 2), (1, 4), (2, 4)] {
            let rare = vertical > 2 || horizontal * vertical > 4;
            for (progressive, width, height) in [(false, 64, 64), (true, 64, 64), (false, 51, 45), (true, 51, 45)] {
                let gray = |x: usize, y: usize| if (x / 16 + y / 16).is_multiple_of(2) { 200_u8 } else { 50 };
                let place = |i: usize| (i % width, i / width);
                let bright: Vec<u8> = (0..width * height).map(place).map(|(x, y)| gray(x, y)).collect();
                let rgb: Vec<u8> = bright.iter().flat_map(|gray| [*gray; 3]).collect();
                let mut bytes = Vec::new();
                let mut encoder = Encoder::new(&mut bytes, 95);
                encoder.set_progressive(progressive);
                encoder.set_sampling_factor(SamplingFactor::from_factors(horizontal, vertical).unwrap());
                encoder.encode(&rgb, width as u16, height as u16, ColorType::Rgb).unwrap();
                let read = decode(Path::new("sampled.jpg"), &bytes);
                if rare && !progressive {
                    assert!(read.unwrap_err().to_string().contains("rare sampling"));
                    continue;
                }
                let read = read.unwrap();
                assert_eq!((read.width, read.height), (width, height));
                let worst = read.pixels.iter().zip(&bright).map(|(a, b)| a.abs_diff(*b)).max();
                assert!(worst < Some(30), "{horizontal} x {vertical}, {width} wide, {progressive}: {worst:?}");
            }
        }
    }

    #[test]
    fn a_png_too_short_for_its_pixels_is_refused_before_they_are_allocated() {
        let mut bytes = Vec::new();
        drop(png::Encoder::new(&mut bytes, 8000, 8000).write_header().unwrap());
        let problem = decode(Path::new("short.png"), &bytes).unwrap_err().to_string();
        assert!(problem.contains("too short for its pixels"), "{problem}");
    }
}
