//! PNG, JPEG, BMP, GIF and PNM: damaged as they lie there, and damaged inside, with checksums that fit.

use std::path::Path;

use flate2::{Compression, Crc};
use flatnet::picture::{self, Gray, MAX_PIXELS};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use crate::mutate::Random;
use crate::{one_line, try_all};

/// A digit of sorts.
fn ink(x: usize, y: usize, width: usize, height: usize) -> u8 {
    let inside = (width / 3..width / 2).contains(&x) && (height / 5..4 * height / 5).contains(&y);
    if inside { 20 } else { 230 }
}

fn pngs() -> Vec<Vec<u8>> {
    use png::{BitDepth, ColorType};
    let mut files = Vec::new();
    let (width, height) = (29, 31);
    for (color, samples) in [
        (ColorType::Grayscale, 1),
        (ColorType::GrayscaleAlpha, 2),
        (ColorType::Rgb, 3),
        (ColorType::Rgba, 4),
        (ColorType::Indexed, 1),
    ] {
        for depth in [BitDepth::Eight, BitDepth::Sixteen] {
            if color == ColorType::Indexed && depth == BitDepth::Sixteen {
                continue;
            }
            let mut bytes = Vec::new();
            let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
            encoder.set_color(color);
            encoder.set_depth(depth);
            if color == ColorType::Indexed {
                encoder.set_palette((0..=255).flat_map(|i: u8| [i, i / 2, 255 - i]).collect::<Vec<u8>>());
                encoder.set_trns(vec![0, 128, 255]);
            }
            let per_sample = if depth == BitDepth::Sixteen { 2 } else { 1 };
            let pixels: Vec<u8> = (0..width * height)
                .flat_map(|i| std::iter::repeat_n(ink(i % width, i / width, width, height), samples * per_sample))
                .collect();
            encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
            files.push(bytes);
        }
    }
    // Of few bits, with seven passes: the encoder does not write these. Of two passes' pixels one in eight is there.
    for depth in [1, 2, 4] {
        let mut rows = Vec::new();
        for pass in [(8, 8), (8, 8), (4, 8), (4, 4), (2, 4), (2, 2), (1, 2)] {
            let (columns, lines) = (16_usize.div_ceil(pass.0), 16_usize.div_ceil(pass.1));
            for line in 0..lines {
                rows.push(0);
                rows.extend((0..(columns * depth).div_ceil(8)).map(|i| (i * 37 + line) as u8));
            }
        }
        let header = [&16_u32.to_be_bytes()[..], &16_u32.to_be_bytes(), &[depth as u8, 0, 0, 0, 1]].concat();
        files.push(png(&[(*b"IHDR", header), (*b"IDAT", deflated(&rows)), (*b"IEND", Vec::new())]));
    }
    files.push(include_bytes!("../pictures/palette.png").to_vec());
    files
}

type Chunk = ([u8; 4], Vec<u8>);

fn png(chunks: &[Chunk]) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in chunks {
        let mut crc = Crc::new();
        crc.update(name);
        crc.update(data);
        file.extend((data.len() as u32).to_be_bytes());
        file.extend(name);
        file.extend(data);
        file.extend(crc.sum().to_be_bytes());
    }
    file
}

fn chunks(file: &[u8]) -> Vec<Chunk> {
    let (mut chunks, mut at) = (Vec::new(), 8);
    while let Some(start) = file.get(at..at + 8) {
        let length = u32::from_be_bytes([start[0], start[1], start[2], start[3]]) as usize;
        let Some(data) = file.get(at + 8..at + 8 + length) else { break };
        chunks.push(([start[4], start[5], start[6], start[7]], data.to_vec()));
        at += length + 12;
    }
    chunks
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), Compression::fast());
    std::io::Write::write_all(&mut packer, bytes).unwrap();
    packer.finish().unwrap()
}

fn inflated(bytes: &[u8]) -> Vec<u8> {
    let mut rows = Vec::new();
    // What it gives before it breaks is enough.
    let _ = std::io::Read::read_to_end(&mut flate2::read::ZlibDecoder::new(bytes), &mut rows);
    rows
}

fn changed_png(originals: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let original = random.pick(originals);
    if random.once_in(4) {
        return random.changed(original, originals);
    }
    let mut chunks = chunks(original);
    let at = random.below(chunks.len());
    match random.below(6) {
        0 => drop(chunks.remove(at)),
        1 => {
            let again = chunks[at].clone();
            let to = random.below(chunks.len() + 1);
            chunks.insert(to, again);
        }
        2 => {
            let name = *random
                .pick(&[*b"PLTE", *b"tRNS", *b"eXIf", *b"acTL", *b"fcTL", *b"fdAT", *b"iCCP", *b"zTXt", *b"gAMA"]);
            let count = random.below(40);
            chunks.insert(at, (name, random.bytes(count)));
        }
        3 if &chunks[at].0 == b"IDAT" => {
            let rows = random.changed(&inflated(&chunks[at].1), &[]);
            chunks[at].1 = deflated(&rows);
        }
        4 => {
            let header = &mut chunks[0].1;
            let field = random.below(header.len().max(1));
            if let Some(byte) = header.get_mut(field) {
                *byte = *random.pick(&[0, 1, 2, 3, 4, 6, 8, 16, 64, 255]);
            }
        }
        _ => chunks[at].1 = random.changed(&chunks[at].1, &[]),
    }
    png(&chunks)
}

fn jpegs() -> Vec<Vec<u8>> {
    let mut files = vec![include_bytes!("../pictures/progressive.jpg").to_vec()];
    for (index, sampling) in [(1, 1), (2, 1), (1, 2), (2, 2), (4, 1), (2, 4)].into_iter().enumerate() {
        for (progressive, color) in [(false, ColorType::Rgb), (true, ColorType::Rgb), (index % 2 == 0, ColorType::Luma)]
        {
            let (width, height) = (33 + index, 25 + 7 * index);
            let samples = if color == ColorType::Luma { 1 } else { 3 };
            let pixels: Vec<u8> = (0..width * height)
                .flat_map(|i| std::iter::repeat_n(ink(i % width, i / width, width, height), samples))
                .collect();
            let mut bytes = Vec::new();
            let mut encoder = Encoder::new(&mut bytes, 70);
            encoder.set_progressive(progressive);
            encoder.set_sampling_factor(SamplingFactor::from_factors(sampling.0, sampling.1).unwrap());
            if index == 1 {
                encoder.set_restart_interval(3);
            }
            encoder.encode(&pixels, width as u16, height as u16, color).unwrap();
            files.push(bytes);
        }
    }
    let mut bytes = Vec::new();
    Encoder::new(&mut bytes, 70).encode(&[90; 40 * 40 * 4], 40, 40, ColorType::Cmyk).unwrap();
    files.push(bytes);
    files
}

fn changed_jpeg(originals: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let original = random.pick(originals);
    let mut bytes = original.clone();
    // A byte of a frame, a scan or a table is worth more than one of its data.
    let markers: Vec<usize> = (0..bytes.len() - 1)
        .filter(|at| bytes[*at] == 0xff && matches!(bytes[*at + 1], 0xc0..=0xc4 | 0xda | 0xdb | 0xdd))
        .collect();
    match random.below(4) {
        0 => return random.changed(original, originals),
        1 => {
            for _ in 0..1 + random.below(3) {
                let at = *random.pick(&markers) + 1 + random.below(20);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = *random.pick(&[0, 1, 2, 3, 4, 0x10, 0x11, 0x12, 0x21, 0x22, 0x44, 0x3f, 0xc0, 0xc2, 0xff]);
                }
            }
        }
        2 => {
            let from = *random.pick(&markers);
            let length = random.below(60);
            let piece = bytes[from..bytes.len().min(from + length)].to_vec();
            let at = *random.pick(&markers);
            drop(bytes.splice(at..at, piece));
        }
        _ => {
            let at = random.below(bytes.len());
            bytes[at] ^= 1 << random.below(8);
        }
    }
    bytes
}

/// BMPs of every depth, upright and upside down, with and without a palette.
fn bmps() -> Vec<Vec<u8>> {
    let (width, height) = (21_i32, 17_i32);
    let mut files = Vec::new();
    for (bits, compression, sign) in [(1, 0, 1), (4, 0, -1), (8, 0, 1), (16, 0, 1), (24, 0, 1), (24, 0, -1), (32, 3, 1)]
    {
        let row_bytes = (width as usize * bits).div_ceil(32) * 4;
        let colours = if bits <= 8 { 1_usize << bits } else { 0 };
        let masks: &[u32] = if compression == 3 { &[0xff_0000, 0xff00, 0xff] } else { &[] };
        let start = 14 + 40 + 4 * colours + 4 * masks.len();
        let mut file = b"BM".to_vec();
        file.extend(((start + row_bytes * height as usize) as u32).to_le_bytes());
        file.extend([0; 4]);
        file.extend((start as u32).to_le_bytes());
        file.extend(40_u32.to_le_bytes());
        file.extend(width.to_le_bytes());
        file.extend((sign * height).to_le_bytes());
        file.extend([1, 0, bits as u8, 0]);
        file.extend((compression as u32).to_le_bytes());
        file.extend([0; 12]);
        file.extend((colours as u32).to_le_bytes());
        file.extend([0; 4]);
        masks.iter().for_each(|mask| file.extend(mask.to_le_bytes()));
        (0..colours).for_each(|i| file.extend([(i * 255 / (colours - 1)) as u8, 90, 90, 0]));
        file.extend((0..row_bytes * height as usize).map(|i| (i * 37 % 256) as u8));
        files.push(file);
    }
    files
}

fn gifs() -> Vec<Vec<u8>> {
    let (width, height) = (23_u16, 19_u16);
    let pixels: Vec<u8> = (0..usize::from(width) * usize::from(height))
        .map(|i| ink(i % usize::from(width), i / usize::from(width), width.into(), height.into()) / 64)
        .collect();
    let mut files = Vec::new();
    for (interlaced, transparent, frames) in [(false, None, 1), (true, Some(3), 1), (false, Some(0), 2)] {
        let mut file = Vec::new();
        let palette = [0, 0, 0, 90, 90, 90, 160, 200, 160, 255, 255, 255];
        let mut encoder = gif::Encoder::new(&mut file, width + 4, height + 2, &palette).unwrap();
        for _ in 0..frames {
            let mut frame = gif::Frame::from_indexed_pixels(width, height, pixels.clone(), transparent);
            (frame.left, frame.top, frame.interlaced) = (3, 1, interlaced);
            encoder.write_frame(&frame).unwrap();
        }
        drop(encoder);
        files.push(file);
    }
    files
}

fn pnms() -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    for (kind, row_bytes, greatest) in [
        ("P4", 3, None),
        ("P5", 20, Some(255)),
        ("P5", 40, Some(1000)),
        ("P6", 60, Some(255)),
        ("P6", 120, Some(65_535)),
    ] {
        let greatest = greatest.map_or_else(String::new, |greatest| format!(" {greatest}"));
        let mut file = format!("{kind}\n# made here\n20 15{greatest}\n").into_bytes();
        file.extend((0..row_bytes * 15).map(|i| (i * 37 % 256) as u8));
        files.push(file);
    }
    for (kind, samples) in [("P1 20 15", 1), ("P2 20 15 7", 1), ("P3 20 15 7", 3)] {
        let values: Vec<String> = (0..300 * samples).map(|i| (i * 5 % 2).to_string()).collect();
        files.push(format!("{kind}\n{}", values.join(" ")).into_bytes());
    }
    files
}

/// A file of these kinds is header first: its bytes are worth more than those of its pixels.
fn changed_simple(originals: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let original = random.pick(originals);
    if random.once_in(3) {
        return random.changed(original, originals);
    }
    let mut bytes = original.clone();
    for _ in 0..1 + random.below(3) {
        let at = random.below(bytes.len().min(60));
        bytes[at] = *random.pick(&[0, 1, 2, 4, 8, 12, 16, 24, 32, 40, 64, 108, 124, b'0', b'9', b' ', 127, 128, 255]);
    }
    if random.once_in(4) {
        bytes.truncate(random.below(bytes.len() + 1));
    }
    bytes
}

/// The pixels that the header promises: of a PNG, or of every frame of a JPEG the most.
fn promised(bytes: &[u8]) -> u64 {
    let size = |at: usize| bytes.get(at..at + 4).map(|four| u64::from(u32::from_be_bytes(four.try_into().unwrap())));
    if bytes.starts_with(b"\x89PNG") {
        return size(16).zip(size(20)).map_or(0, |(width, height)| width.saturating_mul(height));
    }
    if bytes.starts_with(b"BM") || bytes.starts_with(b"GIF") || bytes.starts_with(b"P") {
        // These hold no more pixels than what their length allows: eight in a byte, and of a GIF 2731.
        let most = if bytes.starts_with(b"GIF") { 2731 } else { 8 };
        return (bytes.len() as u64 * most).max(1 << 16);
    }
    let frames = bytes.windows(9).filter(|nine| nine[0] == 0xff && matches!(nine[1], 0xc0..=0xc2));
    let pixels = |nine: &[u8]| u64::from(nine[5]) * 256 + u64::from(nine[6]);
    frames.map(|nine| pixels(nine) * (u64::from(nine[7]) * 256 + u64::from(nine[8]))).max().unwrap_or(0)
}

fn check(bytes: &[u8]) -> usize {
    match picture::decode(Path::new("picture"), bytes) {
        Ok(picture) => {
            assert_eq!(picture.pixels().len(), picture.width() * picture.height());
            prepared(&picture);
        }
        Err(error) => one_line(&error),
    }
    // Coefficients of a progressive picture are two bytes a pixel and colour, padded to whole blocks.
    4 * promised(bytes).min(MAX_PIXELS) as usize
}

fn prepared(picture: &Gray) {
    match picture::prepare(picture, Path::new("picture"), (28, 28)) {
        Ok(image) => assert_eq!(image.len(), 784),
        Err(error) => one_line(&error),
    }
}

#[test]
fn png_pictures() {
    let originals = pngs();
    for original in &originals[..originals.len() - 1] {
        picture::decode(Path::new("original"), original).unwrap();
    }
    try_all("png", |random| changed_png(&originals, random), |bytes| check(bytes));
}

#[test]
fn jpeg_pictures() {
    let originals = jpegs();
    let read = originals.iter().filter(|original| picture::decode(Path::new("original"), original).is_ok()).count();
    // Of the rarest sampling only the progressive ones.
    assert!(read + 2 >= originals.len(), "{read} of {}", originals.len());
    try_all("jpeg", |random| changed_jpeg(&originals, random), |bytes| check(bytes));
}

#[test]
fn simple_pictures() {
    for (name, originals) in [("bmp", bmps()), ("gif", gifs()), ("pnm", pnms())] {
        for (index, original) in originals.iter().enumerate() {
            let read = picture::decode(Path::new("original"), original);
            assert!(read.is_ok(), "{name} {index}: {read:?}");
        }
        try_all(name, |random| changed_simple(&originals, random), |bytes| check(bytes));
    }
}
