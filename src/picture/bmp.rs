//! BMP as grey. The header is compared with the file's length before the decoder sees it. It knows the header's fields, the
//! decoder the rest.

use zune_bmp::BmpDecoder;
use zune_bmp::zune_core::bytestream::ZCursor;
use zune_bmp::zune_core::colorspace::ColorSpace;
use zune_bmp::zune_core::options::DecoderOptions;

use super::Gray;
use super::decode::{Decoded, check_size, damaged, push_gray};

/// The size of the oldest header, whose sides are of two bytes.
const OLDEST_HEADER: u32 = 12;
/// Compressions: none, and none with masks for red, green and blue.
const UNCOMPRESSED: [u32; 3] = [0, 3, 6];
const SMALLEST_TABLE_BYTES: usize = 14;

/// The picture on white.
pub(super) fn decode(bytes: &[u8]) -> Decoded<Gray> {
    let (width, height) = check_header(bytes)?;
    let options = DecoderOptions::default().set_max_width(width).set_max_height(height);
    let failed = |error: zune_bmp::BmpDecoderErrors| damaged("BMP", &format!("{error:?}"));
    let mut decoder = BmpDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(failed)?;
    if decoder.dimensions() != Some((width, height)) {
        return Err(damaged("BMP", &"its header contradicts itself"));
    }
    let samples = match decoder.colorspace() {
        Some(ColorSpace::Luma) => 1,
        Some(ColorSpace::RGB) => 3,
        Some(ColorSpace::RGBA) => 4,
        _ => return Err("is a BMP picture of unknown colours; convert it to PNG".into()),
    };
    let mut values = decoder.decode().map_err(failed)?;
    // Many programs leave the fourth byte 0; a picture of which nothing would be seen is meant to be seen.
    if samples == 4 && values.iter().skip(3).step_by(4).all(|alpha| *alpha == 0) {
        values.iter_mut().skip(3).step_by(4).for_each(|alpha| *alpha = 255);
    }
    let mut pixels = Vec::with_capacity(width * height);
    push_gray(&mut pixels, &values, samples, 255);
    Gray::new(width, height, pixels).map_err(|error| error.to_string())
}

/// Width and height, once the file is long enough for them.
fn check_header(bytes: &[u8]) -> Decoded<(usize, usize)> {
    let u16_at = |at: usize| bytes.get(at..at + 2).map(|two| u32::from(u16::from_le_bytes([two[0], two[1]])));
    let u32_at = |at: usize| bytes.get(at..at + 4).map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]]));
    let fields = || {
        let (start, header) = (u32_at(10)?, u32_at(14)?);
        if header == OLDEST_HEADER {
            return Some((start, u16_at(18)?, u16_at(20)?, u16_at(24)?, 0));
        }
        // A negative height means that the first row is the top one.
        let height = u32_at(22)?.cast_signed().unsigned_abs();
        Some((start, u32_at(18)?, height, u16_at(28)?, u32_at(30)?))
    };
    let (start, width, height, bits, compression) = fields().ok_or_else(|| damaged("BMP", &"it ends in its header"))?;
    if width == 0 || height == 0 || !matches!(bits, 1 | 2 | 4 | 8 | 16 | 24 | 32) {
        return Err(damaged("BMP", &format!("it is said to be {width} x {height} of {bits} bits")));
    }
    let (width, height) = (width as usize, height as usize);
    check_size(width, height)?;
    if !UNCOMPRESSED.contains(&compression) {
        return Err("is a compressed BMP picture, which is not read; convert it to PNG".into());
    }
    // Rows are padded to four bytes.
    let row_bytes = (width * bits as usize).div_ceil(32) * 4;
    let start = (start as usize).max(SMALLEST_TABLE_BYTES);
    if bytes.len().saturating_sub(start) < row_bytes * height {
        return Err(damaged("BMP", &"it is too short for its pixels"));
    }
    Ok((width, height))
}
