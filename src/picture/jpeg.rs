//! Walks the coded data of a JPEG from its first block to its last, before a decoder sees it. It knows where codes begin and
//! end, not what they stand for.
//!
//! Decoders fill up what is missing with zeros, as viewers like it: a file of which a tenth is left, or a header of 8000 x
//! 8000 over the data of a small picture, would become a picture, and the picture an answer. Here every block of every scan
//! must be there. A decoder gets the segments that it needs and no others, ended as the standard has it.
//!
//! Letters are those of ITU-T T.81: `Ss` to `Se` is a scan's band of coefficients, `Ah` and `Al` the bits of them that were
//! sent before and that still miss.

use super::decode::{Decoded, check_size, damaged};

/// Blocks that all scans together may visit: three times those of a progressive picture of the largest size without
/// subsampled colours. What takes more would take seconds and show nothing more.
const MAX_BLOCK_VISITS: u64 = 1 << 25;
/// As many as decoders take; encoders write about ten.
const MAX_SCANS: usize = 100;
const MAX_COMPONENTS: usize = 4;

const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
const DQT: u8 = 0xdb;
const DHT: u8 = 0xc4;
const DRI: u8 = 0xdd;
const BASELINE: u8 = 0xc0;
const EXTENDED: u8 = 0xc1;
const PROGRESSIVE: u8 = 0xc2;
const APP0: u8 = 0xe0;
const EXIF: u8 = 0xe1;
const ADOBE: u8 = 0xee;

/// A JPEG that is all there.
#[derive(Debug, PartialEq)]
pub(super) struct Whole {
    pub bytes: Vec<u8>,
    /// Whether the colours have half the rows and all columns, as a camera's have once its picture was turned.
    pub half_the_rows: bool,
}

/// The JPEG without what a decoder can do without, and with its end marker, if every block of it is there.
///
/// A file whose only fault is a missing end marker is taken: a viewer shows all of it.
pub(super) fn complete(bytes: &[u8]) -> Decoded<Whole> {
    walk(bytes).map_err(|fault| match fault {
        Fault::Damaged(detail) => damaged("JPEG", &detail),
        Fault::Other(problem) => problem,
    })
}

enum Fault {
    /// In the file's bytes.
    Damaged(&'static str),
    /// Told as it is.
    Other(String),
}

type Walked<T> = Result<T, Fault>;

const ENDS_EARLY: Fault = Fault::Damaged("its data end before its last pixel");
const BAD_CODE: Fault = Fault::Damaged("a code that its tables do not have");
const BAD_SEGMENT: Fault = Fault::Damaged("a segment of an impossible length");
const BAD_SCAN: Fault = Fault::Damaged("a scan that does not fit the picture");

fn walk(bytes: &[u8]) -> Walked<Whole> {
    let mut kept = Vec::with_capacity(bytes.len() + 2);
    kept.extend([0xff, SOI]);
    let mut tables = Tables::default();
    let mut frame: Option<Frame> = None;
    let mut at = 2;
    let mut visits = 0;
    let mut scans = 0;
    let ended = loop {
        let Some(marker) = next_marker(bytes, &mut at) else { break false };
        match marker {
            EOI => break true,
            // Without a length: a restart that no scan waits for, and a marker of old.
            0x01 | 0xd0..=SOI => continue,
            _ => {}
        }
        let Some(segment) = segment(bytes, at) else {
            if frame.as_ref().is_some_and(|frame| frame.has_all(false)) {
                // What comes after the last scan is of no use.
                break false;
            }
            return Err(if at + 2 > bytes.len() { ENDS_EARLY } else { BAD_SEGMENT });
        };
        let after = at + 2 + segment.len();
        match marker {
            DHT => tables.define(segment)?,
            DRI => {
                let &[high, low] = segment else { return Err(BAD_SEGMENT) };
                tables.restart_interval = u16::from_be_bytes([high, low]).into();
            }
            BASELINE | EXTENDED | PROGRESSIVE => {
                if frame.is_some() {
                    return Err(Fault::Damaged("a second frame"));
                }
                frame = Some(Frame::of(segment, marker == PROGRESSIVE)?);
            }
            0xc3..=0xcf => {
                let problem =
                    "is a JPEG of a rare kind (lossless, hierarchical or arithmetic coding); save it as another";
                return Err(Fault::Other(problem.into()));
            }
            _ => {}
        }
        let needed = match marker {
            EXIF => segment.starts_with(b"Exif\0"),
            APP0 | ADOBE | DQT | DHT | DRI | SOS | BASELINE | EXTENDED | PROGRESSIVE => true,
            _ => false,
        };
        if needed {
            kept.extend([0xff, marker]);
            kept.extend_from_slice(&bytes[at..after]);
        }
        at = after;
        if marker == SOS {
            scans += 1;
            let frame = frame.as_mut().ok_or(BAD_SCAN)?;
            let scan = Scan::of(segment, frame)?;
            visits += scan.blocks(frame);
            if visits > MAX_BLOCK_VISITS || scans > MAX_SCANS {
                let problem = "is a JPEG that goes over its pixels more often than any encoder does; save it again";
                return Err(Fault::Other(problem.into()));
            }
            let length = scan.walk(frame, &tables, &bytes[at..])?;
            kept.extend_from_slice(&bytes[at..at + length]);
            at += length;
        }
    };
    match frame {
        Some(frame) if frame.has_all(ended) => {
            kept.extend([0xff, EOI]);
            Ok(Whole { bytes: kept, half_the_rows: (frame.horizontal, frame.vertical) == (1, 2) })
        }
        _ => Err(ENDS_EARLY),
    }
}

/// The next marker at or after `at`, which is moved behind it.
fn next_marker(bytes: &[u8], at: &mut usize) -> Option<u8> {
    loop {
        *at += bytes.get(*at..)?.iter().position(|byte| *byte == 0xff)?;
        while *bytes.get(*at)? == 0xff {
            *at += 1;
        }
        let marker = bytes[*at];
        *at += 1;
        if marker != 0 {
            return Some(marker);
        }
    }
}

/// What follows the length at `at`.
fn segment(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let length = u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?);
    bytes.get(at + 2..at + usize::from(length))
}

/// What stays from segment to segment.
#[derive(Default)]
struct Tables {
    dc: [Option<Codes>; 4],
    ac: [Option<Codes>; 4],
    /// MCUs between two restart markers; 0 if there are none.
    restart_interval: usize,
}

impl Tables {
    fn define(&mut self, mut segment: &[u8]) -> Walked<()> {
        while let Some((&target, rest)) = segment.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or(BAD_SEGMENT)?;
            let symbols: usize = counts.iter().map(|count| usize::from(*count)).sum();
            let (symbols, rest) = rest.split_at_checked(symbols).ok_or(BAD_SEGMENT)?;
            let class = if target >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            let slot = class.get_mut(usize::from(target & 15)).ok_or(BAD_SEGMENT)?;
            *slot = Some(Codes::new(counts, symbols)?);
            segment = rest;
        }
        Ok(())
    }
}

/// Codes of 1 to 16 bits and the symbols that they stand for.
struct Codes {
    /// By the next [`Codes::SHORT`] bits: length and symbol of a code that is not longer, else length 0.
    short: [(u8, u8); 1 << Codes::SHORT],
    /// By length: one past the last code, its bits at the top of 16, and what to add to a code for the number of its symbol.
    long: [(u32, i32); 17],
    symbols: [u8; 256],
}

impl Codes {
    const SHORT: u32 = 9;

    fn new(counts: &[u8; 16], symbols: &[u8]) -> Walked<Codes> {
        let mut codes = Codes { short: [(0, 0); 1 << Codes::SHORT], long: [(0, 0); 17], symbols: [0; 256] };
        codes.symbols.get_mut(..symbols.len()).ok_or(BAD_SEGMENT)?.copy_from_slice(symbols);
        let (mut code, mut next) = (0_u32, 0);
        for (length, count) in (1..).zip(counts) {
            let first = code;
            let start = next;
            for _ in 0..*count {
                if code >> length != 0 {
                    return Err(Fault::Damaged("a table of more codes than there are"));
                }
                if length <= Codes::SHORT {
                    let from = (code << (Codes::SHORT - length)) as usize;
                    let run = 1 << (Codes::SHORT - length);
                    codes.short[from..from + run].fill((length as u8, codes.symbols[next]));
                }
                code += 1;
                next += 1;
            }
            codes.long[length as usize] = (code << (16 - length), start as i32 - first as i32);
            code <<= 1;
        }
        Ok(codes)
    }

    /// Length and symbol of the code that the top of these 16 bits is.
    fn find(&self, bits: u32) -> Option<(u32, u8)> {
        let (length, symbol) = self.short[(bits >> (16 - Codes::SHORT)) as usize];
        if length > 0 {
            return Some((length.into(), symbol));
        }
        (Codes::SHORT + 1..=16).find_map(|length| {
            let (end, offset) = self.long[length as usize];
            let number = (bits >> (16 - length)) as i32 + offset;
            (bits < end).then(|| (length, self.symbols[number as usize & 255]))
        })
    }
}

/// The picture that all scans are of.
struct Frame {
    progressive: bool,
    width: usize,
    height: usize,
    components: Vec<Component>,
    /// Of all components.
    horizontal: usize,
    vertical: usize,
}

struct Component {
    id: u8,
    horizontal: usize,
    vertical: usize,
    /// Blocks of a scan of this component alone.
    columns: usize,
    rows: usize,
    /// Of every coefficient the lowest bit that has arrived; `None` before the first.
    low: [Option<u8>; 64],
    /// `[rows, columns]` once a scan has had any but the first coefficient: which of them are not 0, a bit each.
    nonzero: Vec<u64>,
}

impl Frame {
    fn of(segment: &[u8], progressive: bool) -> Walked<Frame> {
        let (&[precision, h1, h0, w1, w0, count], rest) = segment.split_first_chunk::<6>().ok_or(BAD_SEGMENT)?;
        let (height, width) = (u16::from_be_bytes([h1, h0]).into(), u16::from_be_bytes([w1, w0]).into());
        if precision != 8 {
            return Err(Fault::Other(format!("is a JPEG of {precision} bits a sample; save it with 8")));
        }
        if width == 0 || height == 0 {
            return Err(Fault::Damaged("a side of no pixels"));
        }
        check_size(width, height).map_err(Fault::Other)?;
        if !(1..=MAX_COMPONENTS).contains(&usize::from(count)) || rest.len() != 3 * usize::from(count) {
            return Err(Fault::Damaged("a number of colours that no picture has"));
        }
        let sides = |factors: u8| (usize::from(factors >> 4), usize::from(factors & 15));
        let parts = rest.as_chunks::<3>().0;
        let horizontal = parts.iter().map(|part| sides(part[1]).0).max().unwrap_or(1);
        let vertical = parts.iter().map(|part| sides(part[1]).1).max().unwrap_or(1);
        // The decoder (0.5.15) makes another picture of these, as a test of all samplings showed.
        if !progressive && (vertical > 2 || (horizontal > 2 && vertical > 1)) {
            let problem = "is a JPEG with its colours in a rare sampling; save it with 4:4:4 or 4:2:0";
            return Err(Fault::Other(problem.into()));
        }
        let mut components: Vec<Component> = Vec::new();
        for &[id, factors, _] in parts {
            let (h, v) = sides(factors);
            if !(1..=4).contains(&h) || !(1..=4).contains(&v) || components.iter().any(|other| other.id == id) {
                return Err(Fault::Damaged("colours that no picture has"));
            }
            components.push(Component {
                id,
                horizontal: h,
                vertical: v,
                columns: (width * h).div_ceil(horizontal).div_ceil(8),
                rows: (height * v).div_ceil(vertical).div_ceil(8),
                low: [None; 64],
                nonzero: Vec::new(),
            });
        }
        Ok(Frame { progressive, width, height, components, horizontal, vertical })
    }

    /// Whether nothing misses that the picture needs. Encoders may leave fine detail out as a whole, and end the file; a
    /// file without its end must have all, for the rest may have been cut off.
    fn has_all(&self, ended: bool) -> bool {
        let all_bits = |low: &Option<u8>| *low == Some(0) || (ended && low.is_none());
        self.components.iter().all(|component| component.low[0].is_some() && component.low.iter().all(all_bits))
    }
}

struct Scan {
    /// Number of the component, its DC table and its AC table.
    parts: Vec<(usize, usize, usize)>,
    /// Ss and Se.
    band: (usize, usize),
    /// Whether earlier scans had higher bits of the same coefficients.
    refines: bool,
}

impl Scan {
    fn of(segment: &[u8], frame: &mut Frame) -> Walked<Scan> {
        let (&count, rest) = segment.split_first().ok_or(BAD_SEGMENT)?;
        let (parts, rest) = rest.split_at_checked(2 * usize::from(count)).ok_or(BAD_SEGMENT)?;
        let &[first, last, approximation] = rest else { return Err(BAD_SEGMENT) };
        let mut scan = Scan { parts: Vec::new(), band: (0, 63), refines: false };
        for &[id, tables] in parts.as_chunks::<2>().0 {
            let number = frame.components.iter().position(|component| component.id == id).ok_or(BAD_SCAN)?;
            if scan.parts.iter().any(|part| part.0 == number) {
                return Err(BAD_SCAN);
            }
            scan.parts.push((number, usize::from(tables >> 4), usize::from(tables & 15)));
        }
        if scan.parts.is_empty() {
            return Err(BAD_SCAN);
        }
        let mut low = 0;
        if frame.progressive {
            scan.band = (first.into(), last.into());
            scan.refines = approximation >> 4 > 0;
            low = approximation & 15;
            let fits = match scan.band {
                (0, last) => last == 0,
                (first, last) => first <= last && last < 64 && scan.parts.len() == 1,
            };
            if !fits || low > 13 {
                return Err(BAD_SCAN);
            }
        }
        for &(number, ..) in &scan.parts {
            let component = &mut frame.components[number];
            if scan.band.0 > 0 && component.low[0].is_none() {
                return Err(BAD_SCAN);
            }
            for known in &mut component.low[scan.band.0..=scan.band.1] {
                let follows = match *known {
                    // Baseline scans and first ones come once.
                    None => !scan.refines,
                    Some(known) => scan.refines && low < known,
                };
                if !follows {
                    return Err(BAD_SCAN);
                }
                *known = Some(low);
            }
        }
        Ok(scan)
    }

    /// Columns and rows of its MCUs. Of one component alone an MCU is a block.
    fn mcus(&self, frame: &Frame) -> (usize, usize) {
        match self.parts[..] {
            [(number, ..)] => (frame.components[number].columns, frame.components[number].rows),
            _ => (frame.width.div_ceil(8 * frame.horizontal), frame.height.div_ceil(8 * frame.vertical)),
        }
    }

    fn blocks_per_mcu(&self, frame: &Frame, part: usize) -> usize {
        let component = &frame.components[self.parts[part].0];
        if self.parts.len() == 1 { 1 } else { component.horizontal * component.vertical }
    }

    fn blocks(&self, frame: &Frame) -> u64 {
        let (columns, rows) = self.mcus(frame);
        let per_mcu: usize = (0..self.parts.len()).map(|part| self.blocks_per_mcu(frame, part)).sum();
        (columns * rows * per_mcu) as u64
    }

    /// Goes through the scan's data, which `bytes` begin with; returns how many bytes they are.
    fn walk(&self, frame: &mut Frame, tables: &Tables, bytes: &[u8]) -> Walked<usize> {
        let (columns, rows) = self.mcus(frame);
        let mut parts = Vec::new();
        for (part, &(_, dc, ac)) in self.parts.iter().enumerate() {
            let dc = codes(&tables.dc, dc, self.band.0 == 0 && !self.refines)?;
            let ac = codes(&tables.ac, ac, self.band.1 > 0)?;
            parts.push((self.blocks_per_mcu(frame, part), dc, ac));
        }
        let banded = frame.progressive && self.band.0 > 0;
        let mut nonzero = std::mem::take(&mut frame.components[self.parts[0].0].nonzero);
        if banded {
            // The first coefficient of each block has had a bit at least, so this is in proportion to the file.
            nonzero.resize(columns * rows, 0);
        }
        let mut bits = Bits { bytes, at: 0, buffer: 0, count: 0 };
        let mut end_of_band = 0_u32;
        let mut until_restart = tables.restart_interval;
        for mcu in 0..columns * rows {
            if tables.restart_interval > 0 {
                if until_restart == 0 {
                    bits.restart()?;
                    end_of_band = 0;
                    until_restart = tables.restart_interval;
                }
                until_restart -= 1;
            }
            if banded {
                let (Some((_, _, Some(ac))), Some(known)) = (parts.first(), nonzero.get_mut(mcu)) else {
                    return Err(BAD_SCAN);
                };
                if self.refines {
                    bits.refine(ac, self.band, &mut end_of_band, known)?;
                } else {
                    bits.first(ac, self.band, &mut end_of_band, known)?;
                }
                continue;
            }
            for (blocks, dc, ac) in &parts {
                for _ in 0..*blocks {
                    match dc {
                        Some(dc) => bits.dc(dc)?,
                        None => bits.skip(1)?,
                    }
                    if let Some(ac) = ac {
                        bits.block(ac)?;
                    }
                }
            }
        }
        frame.components[self.parts[0].0].nonzero = nonzero;
        Ok(bits.end())
    }
}

/// The table of this number, if it is used.
fn codes(class: &[Option<Codes>; 4], number: usize, used: bool) -> Walked<Option<&Codes>> {
    if !used {
        return Ok(None);
    }
    match class.get(number) {
        Some(Some(codes)) => Ok(Some(codes)),
        _ => Err(Fault::Damaged("a table that misses")),
    }
}

/// Bits of a scan up to the next marker.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The next `count` bits, at the top.
    buffer: u64,
    count: u32,
}

impl Bits<'_> {
    /// Takes bytes up while there is room, none of them beyond a marker.
    #[inline]
    fn fill(&mut self) {
        while self.count <= 56 {
            let Some(&byte) = self.bytes.get(self.at) else { return };
            if byte == 0xff {
                if self.bytes.get(self.at + 1) != Some(&0) {
                    return;
                }
                self.at += 1;
            }
            self.at += 1;
            self.buffer |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    #[inline]
    fn skip(&mut self, count: u32) -> Walked<()> {
        self.take(count).map(drop)
    }

    /// The next `count` bits, at most 32.
    #[inline]
    fn take(&mut self, count: u32) -> Walked<u32> {
        if self.count < count {
            self.fill();
            if self.count < count {
                return Err(ENDS_EARLY);
            }
        }
        // In two steps, for a shift by 64 is none.
        let bits = (self.buffer >> 32 >> (32 - count)) as u32;
        self.buffer <<= count;
        self.count -= count;
        Ok(bits)
    }

    #[inline]
    fn symbol(&mut self, codes: &Codes) -> Walked<u8> {
        if self.count < 16 {
            self.fill();
        }
        match codes.find((self.buffer >> 48) as u32) {
            Some((length, symbol)) if length <= self.count => {
                self.buffer <<= length;
                self.count -= length;
                Ok(symbol)
            }
            None if self.count >= 16 => Err(BAD_CODE),
            _ => Err(ENDS_EARLY),
        }
    }

    /// The first coefficient of a block, or its higher bits.
    #[inline]
    fn dc(&mut self, codes: &Codes) -> Walked<()> {
        match self.symbol(codes)? {
            length @ 0..=16 => self.skip(length.into()),
            _ => Err(BAD_CODE),
        }
    }

    /// All others of a baseline block.
    #[inline]
    fn block(&mut self, codes: &Codes) -> Walked<()> {
        let mut k = 1;
        while k < 64 {
            match parts(self.symbol(codes)?) {
                (15, 0) => k += 16,
                (_, 0) => break,
                (run, size) => {
                    k += run + 1;
                    self.skip(size)?;
                }
            }
        }
        Ok(())
    }

    /// The higher bits of a band.
    #[inline]
    fn first(&mut self, codes: &Codes, band: (usize, usize), end_of_band: &mut u32, nonzero: &mut u64) -> Walked<()> {
        if *end_of_band > 0 {
            *end_of_band -= 1;
            return Ok(());
        }
        let mut k = band.0 as u32;
        while k <= band.1 as u32 {
            match parts(self.symbol(codes)?) {
                (15, 0) => k += 16,
                (run, 0) => {
                    *end_of_band = (1 << run) - 1 + self.take(run)?;
                    break;
                }
                (run, size) => {
                    k += run;
                    if k > 63 {
                        return Err(BAD_CODE);
                    }
                    *nonzero |= 1 << k;
                    k += 1;
                    self.skip(size)?;
                }
            }
        }
        Ok(())
    }

    /// One more bit of a band: of each coefficient that is not 0 a bit, among those that just become so.
    #[inline]
    fn refine(&mut self, codes: &Codes, band: (usize, usize), end_of_band: &mut u32, nonzero: &mut u64) -> Walked<()> {
        let last = band.1 as u32;
        let mut k = band.0 as u32;
        while *end_of_band == 0 && k <= last {
            let (mut run, size) = match parts(self.symbol(codes)?) {
                (run @ 0..15, 0) => {
                    *end_of_band = (1 << run) + self.take(run)?;
                    break;
                }
                (run, 0) => (run, 0),
                (run, size) => {
                    self.skip(1)?;
                    (run, size)
                }
            };
            while k <= last {
                if *nonzero >> k & 1 == 1 {
                    self.skip(1)?;
                } else if run == 0 {
                    break;
                } else {
                    run -= 1;
                }
                k += 1;
            }
            if size > 0 && k <= last {
                *nonzero |= 1 << k;
            }
            k += 1;
        }
        if *end_of_band > 0 {
            *end_of_band -= 1;
            if k <= last {
                let rest = *nonzero & (u64::MAX << k) & (u64::MAX >> (63 - last));
                let count = rest.count_ones();
                self.skip(count / 2)?;
                self.skip(count - count / 2)?;
            }
        }
        Ok(())
    }

    /// Drops what is left of a byte, and passes a restart marker.
    fn restart(&mut self) -> Walked<()> {
        self.at = self.end();
        (self.buffer, self.count) = (0, 0);
        match next_marker(self.bytes, &mut self.at) {
            Some(0xd0..=0xd7) => Ok(()),
            None => Err(ENDS_EARLY),
            Some(_) => Err(Fault::Damaged("a restart marker that misses")),
        }
    }

    /// Where the bytes after the scan begin: at the next marker, as what is between no one reads.
    fn end(&mut self) -> usize {
        let mut at = self.at;
        match next_marker(self.bytes, &mut at) {
            // Back over the marker and its 0xff.
            Some(_) => at - 2,
            // An end marker of which one byte is left.
            None => self.bytes.len() - usize::from(self.bytes.last() == Some(&0xff)),
        }
    }
}

/// Zeros that go before, and bits that follow.
#[inline]
fn parts(symbol: u8) -> (u32, u32) {
    ((symbol >> 4).into(), (symbol & 15).into())
}

#[cfg(test)]
mod tests {
    use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

    use super::*;

    /// Of libjpeg: ten scans that refine one another.
    const REFINED: &[u8] = include_bytes!("../../tests/pictures/progressive.jpg");

    fn encoded(width: u16, height: u16, change: impl Fn(&mut Encoder<&mut Vec<u8>>)) -> Vec<u8> {
        let pixels: Vec<u8> =
            (0..usize::from(width) * usize::from(height) * 3).map(|i| (i * i / 7 % 251) as u8).collect();
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, 85);
        change(&mut encoder);
        encoder.encode(&pixels, width, height, ColorType::Rgb).unwrap();
        bytes
    }

    /// Baseline and progressive, interleaved and not, with and without restarts, of every subsampling.
    fn pictures() -> Vec<Vec<u8>> {
        let mut pictures = vec![REFINED.to_vec()];
        for (index, sampling) in [(1, 1), (2, 1), (1, 2), (2, 2), (4, 1)].into_iter().enumerate() {
            for progressive in [false, true] {
                pictures.push(encoded(19 + 8 * index as u16, 41, |encoder| {
                    encoder.set_sampling_factor(SamplingFactor::from_factors(sampling.0, sampling.1).unwrap());
                    encoder.set_progressive(progressive);
                    encoder.set_optimized_huffman_tables(index % 2 == 0);
                    // Optimized tables do not know that a restart begins anew: the encoder leaves such a picture broken.
                    if index % 4 == 1 {
                        encoder.set_restart_interval(2);
                    }
                }));
            }
        }
        pictures
    }

    #[test]
    fn a_whole_picture_is_taken_with_or_without_its_end() {
        for bytes in pictures() {
            let whole = complete(&bytes).unwrap();
            assert!(whole.bytes.ends_with(&[0xff, EOI]) && whole.bytes.len() <= bytes.len());
            for other in [
                bytes[..bytes.len() - 2].to_vec(),
                bytes[..bytes.len() - 1].to_vec(),
                [&bytes[..], b"another \xff\xd8\xff file"].concat(),
            ] {
                assert_eq!(complete(&other).as_ref(), Ok(&whole));
            }
            // What is kept is complete itself.
            assert_eq!(complete(&whole.bytes).as_ref(), Ok(&whole));
        }
    }

    #[test]
    fn a_picture_cut_anywhere_is_refused() {
        for bytes in pictures() {
            for length in 3..bytes.len() - 2 {
                assert!(complete(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
            }
        }
        for length in 3..REFINED.len() - 2 {
            let ended = [&REFINED[..length], &[0xff, EOI]].concat();
            assert!(complete(&ended).is_err(), "{length} bytes and an end marker");
        }
    }

    #[test]
    fn a_larger_size_over_the_same_data_is_refused() {
        for mut bytes in pictures() {
            let frame = bytes.windows(2).position(|two| matches!(two, [0xff, BASELINE | PROGRESSIVE])).unwrap();
            for (at, side) in [(5, 8000_u16), (7, 8000), (5, 100), (7, 110)] {
                let mut larger = bytes.clone();
                larger[frame + at..frame + at + 2].copy_from_slice(&side.to_be_bytes());
                assert!(complete(&larger).is_err(), "{side}");
            }
            bytes[frame + 5..frame + 9].copy_from_slice(&[0xff; 4]);
            assert!(complete(&bytes).unwrap_err().contains("megapixels"));
        }
    }

    #[test]
    fn scans_are_counted_before_they_are_walked() {
        // Two scans of one coefficient each over a grey picture of 8000 x 8000: 34 visits of a million blocks.
        let mut bytes = vec![0xff, SOI, 0xff, PROGRESSIVE, 0, 11, 8, 0x1f, 0x40, 0x1f, 0x40, 1, 1, 0x11, 0];
        // One code of one bit, for a difference of 0, and for the end of a band.
        for table in [0x00, 0x10] {
            bytes.extend([0xff, DHT, 0, 20, table, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        }
        bytes.extend([0xff, SOS, 0, 8, 1, 1, 0, 0, 0, 0]);
        bytes.extend(vec![0; 125_000]);
        for band in 1..40 {
            bytes.extend([0xff, SOS, 0, 8, 1, 1, 0, band, band, 0]);
            bytes.extend(vec![0; 125_000]);
        }
        bytes.extend([0xff, EOI]);
        assert!(complete(&bytes).unwrap_err().contains("more often than any encoder"));
    }

    /// Codes of up to 16 bits, of which the longest are longer than the short table's.
    #[test]
    fn every_code_is_found() {
        let counts = [0, 1, 2, 3, 1, 0, 0, 1, 1, 2, 1, 1, 1, 1, 1, 2];
        let symbols: Vec<u8> = (0..counts.iter().sum()).map(|symbol| symbol * 3).collect();
        let codes = Codes::new(&counts, &symbols).unwrap_or_else(|_| panic!("a table that is in order"));
        let (mut code, mut next) = (0_u32, 0);
        for (length, count) in (1..).zip(counts) {
            for _ in 0..count {
                for filled in [0, u32::MAX] {
                    let bits = (code << (16 - length)) | (filled & ((1 << (16 - length)) - 1));
                    assert_eq!(codes.find(bits), Some((length, symbols[next])));
                }
                (code, next) = (code + 1, next + 1);
            }
            code <<= 1;
        }
        assert_eq!(codes.find(0xffff), None);
        assert!(Codes::new(&[3; 16], &[0; 48]).is_err());
    }
}
