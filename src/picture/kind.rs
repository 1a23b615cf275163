//! Which kind of picture a file holds, by its first bytes: those that are read, and those that people have and that are only
//! named. It reads no pixels.

/// A kind of picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Png,
    Jpeg,
    Bmp,
    Gif,
    Pnm,
    /// A kind that is not read, by the name that people know it under.
    Other(&'static str),
    Unknown,
}

/// What is read, as text.
pub(super) const READ: &str = "PNG, JPEG, BMP, GIF, PGM, PBM or PPM";
/// As far as a text file is searched for what it is.
const TEXT_BYTES: usize = 1024;

/// The kinds that begin with certain bytes.
const STARTS: [(&[u8], Kind); 18] = [
    (b"\x89PNG\r\n\x1a\n", Kind::Png),
    (b"\xff\xd8\xff", Kind::Jpeg),
    (b"GIF87a", Kind::Gif),
    (b"GIF89a", Kind::Gif),
    (b"II*\0", Kind::Other("a TIFF picture")),
    (b"MM\0*", Kind::Other("a TIFF picture")),
    (b"II+\0", Kind::Other("a TIFF picture")),
    (b"MM\0+", Kind::Other("a TIFF picture")),
    (b"%PDF-", Kind::Other("a PDF document")),
    (b"%!PS", Kind::Other("a PostScript document")),
    (b"8BPS", Kind::Other("a Photoshop picture")),
    (b"\0\0\x01\0", Kind::Other("an icon")),
    (b"\xff\x0a", Kind::Other("a JPEG XL picture")),
    (b"\0\0\0\x0cJXL \r\n\x87\n", Kind::Other("a JPEG XL picture")),
    (b"\0\0\0\x0cjP  \r\n\x87\n", Kind::Other("a JPEG 2000 picture")),
    (b"v/1\x01", Kind::Other("an OpenEXR picture")),
    (b"gimp xcf", Kind::Other("a GIMP picture")),
    (b"P7\n", Kind::Other("a PAM picture")),
];

impl Kind {
    /// Of a whole file, or of its first kilobyte.
    pub fn of(bytes: &[u8]) -> Kind {
        if let Some((_, kind)) = STARTS.iter().find(|(start, _)| bytes.starts_with(start)) {
            return *kind;
        }
        let at = |range: std::ops::Range<usize>| bytes.get(range).unwrap_or_default();
        // "BM", the file's length, and two reserved fields that are 0.
        if bytes.starts_with(b"BM") && at(6..10) == [0; 4] {
            return Kind::Bmp;
        }
        if matches!(at(0..2), b"P1" | b"P2" | b"P3" | b"P4" | b"P5" | b"P6")
            && matches!(at(2..3), [space] if space.is_ascii_whitespace() || *space == b'#')
        {
            return Kind::Pnm;
        }
        match (at(0..4), at(4..8), at(8..12)) {
            (b"RIFF", _, b"WEBP") => Kind::Other("a WebP picture"),
            (_, b"ftyp", b"avif" | b"avis") => Kind::Other("an AVIF picture"),
            (_, b"ftyp", b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1") => {
                Kind::Other("a HEIC picture")
            }
            (_, b"ftyp", _) => Kind::Other("a film"),
            _ => of_text(at(0..TEXT_BYTES.min(bytes.len()))),
        }
    }
}

fn of_text(start: &[u8]) -> Kind {
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start().to_ascii_lowercase();
    let holds = |word: &[u8]| start.windows(word.len()).any(|part| part == word);
    if !start.starts_with(b"<") {
        Kind::Unknown
    } else if start.starts_with(b"<!doctype html") || start.starts_with(b"<html") || holds(b"<html") {
        Kind::Other("a web page")
    } else if holds(b"<svg") {
        Kind::Other("an SVG drawing")
    } else {
        Kind::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_told_by_its_first_bytes() {
        for (bytes, kind) in [
            (&b"\x89PNG\r\n\x1a\nIHDR"[..], Kind::Png),
            (b"\xff\xd8\xff\xe0", Kind::Jpeg),
            (b"BM\x46\0\0\0\0\0\0\0\x36", Kind::Bmp),
            (b"BM is no picture", Kind::Unknown),
            (b"GIF89a\x01", Kind::Gif),
            (b"P5 28 28 255\n", Kind::Pnm),
            (b"P2\n# by hand", Kind::Pnm),
            (b"P1#", Kind::Pnm),
            (b"P55", Kind::Unknown),
            (b"P5", Kind::Unknown),
            (b"RIFF\x24\0\0\0WEBPVP8 ", Kind::Other("a WebP picture")),
            (b"RIFF\x24\0\0\0WAVEfmt ", Kind::Unknown),
            (b"\0\0\0\x18ftypheic\0\0", Kind::Other("a HEIC picture")),
            (b"\0\0\0\x20ftypavif\0\0", Kind::Other("an AVIF picture")),
            (b"\0\0\0\x20ftypisom\0\0", Kind::Other("a film")),
            (b"MM\0*\0\0", Kind::Other("a TIFF picture")),
            (b"%PDF-1.7", Kind::Other("a PDF document")),
            (b"<?xml version='1.0'?>\n<svg xmlns=", Kind::Other("an SVG drawing")),
            (b"\xef\xbb\xbf  <SVG>", Kind::Other("an SVG drawing")),
            (b"<!DOCTYPE html><svg>", Kind::Other("a web page")),
            (b"<note/>", Kind::Unknown),
            (b"", Kind::Unknown),
        ] {
            assert_eq!(Kind::of(bytes), kind, "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
