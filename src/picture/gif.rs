//! The first picture of a GIF as grey. Sizes are compared with the file's length before anything is allocated. It knows frames,
//! the decoder the rest.

use gif::{ColorOutput, DecodeOptions, MemoryLimit};

use super::Gray;
use super::decode::{Decoded, check_size, damaged, luma};

/// A code of twelve bits stands for 4096 pixels at most.
const MOST_PIXELS_OF_BYTE: usize = 2731;

/// The first frame on `background`, and whether any of it is transparent. The canvas around a frame that is smaller holds nothing.
pub(super) fn decode(bytes: &[u8], background: u8) -> Decoded<(Gray, bool)> {
    let failed = |error: gif::DecodingError| damaged("GIF", &error);
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    // The buffer for a frame is allocated here, once its size is checked.
    options.set_memory_limit(MemoryLimit::Unlimited);
    let mut decoder = options.read_info(bytes).map_err(failed)?;
    let frame = decoder.next_frame_info().map_err(failed)?.ok_or_else(|| damaged("GIF", &"it holds no picture"))?;
    let (width, height) = (usize::from(frame.width), usize::from(frame.height));
    let transparent = frame.transparent;
    if width == 0 || height == 0 {
        return Err(damaged("GIF", &format!("it is said to be {width} x {height}")));
    }
    check_size(width, height)?;
    if width * height > bytes.len().saturating_mul(MOST_PIXELS_OF_BYTE) {
        return Err(damaged("GIF", &"it is too short for its pixels"));
    }
    // What is no colour of the palette shows black, as in browsers.
    let mut levels = [0; 256];
    for (level, rgb) in levels.iter_mut().zip(decoder.palette().map_err(failed)?.as_chunks().0) {
        *level = luma(*rgb);
    }
    if let Some(index) = transparent {
        levels[usize::from(index)] = background;
    }
    let mut pixels = vec![0; decoder.buffer_size()];
    decoder.read_into_buffer(&mut pixels).map_err(failed)?;
    let is_transparent = transparent.is_some_and(|index| pixels.contains(&index));
    pixels.iter_mut().for_each(|pixel| *pixel = levels[usize::from(*pixel)]);
    Ok((Gray::new(width, height, pixels).map_err(|error| error.to_string())?, is_transparent))
}
