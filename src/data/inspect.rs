//! What an IDX file holds, told without trust and without holding its images: type, shape, digests, whether it is a known
//! file, and what of it looks wrong. It must not know flags, or how a report is shown.

pub mod table;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use md5::Md5;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::digest::hex;
use super::known::{self, KnownFile};
use super::messages::listed;
use super::source::header;
use super::source::unpack::{Extent, Unpacked};
use crate::error::{Error, IdxFault, Result};

/// An IDX file of any element type.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IdxReport {
    /// Path as it was given.
    pub file: String,
    /// Whether it is packed.
    pub gzip: bool,
    /// Of the file as it lies on the disk.
    pub bytes: u64,
    /// Its length once unpacked.
    pub unpacked_bytes: u64,
    /// What an element is, such as `unsigned byte`.
    pub element: &'static str,
    /// Sizes of its dimensions.
    pub shape: Vec<u64>,
    /// Of the file as it lies on the disk.
    pub sha256: String,
    /// Of the IDX bytes; the same as `sha256` if the file is not packed.
    pub unpacked_sha256: String,
    /// Which published file it is, if it is one.
    pub known: Option<Identity>,
    /// Known files of this size, if the digest is that of none.
    pub same_size_as: Vec<String>,
    /// If it holds images.
    pub images: Option<Images>,
    /// If it holds labels.
    pub labels: Option<Labels>,
    /// What looks wrong, a sentence each.
    pub suspicious: Vec<String>,
}

/// Which published file it is, by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// Name of the set.
    pub set: &'static str,
    /// Name of the file in it.
    pub name: &'static str,
    /// Whether flatnet's own tests compare that digest with the file; otherwise it comes from a published list.
    pub checked: bool,
}

/// Three dimensions of bytes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Images {
    /// How many there are.
    pub count: u64,
    /// Height of an image.
    pub rows: u64,
    /// Width of an image.
    pub columns: u64,
    /// Of all pixels, 0 to 255.
    pub mean: f64,
    /// Pixels that are the same in every image, and those of them that are 0.
    pub constant_pixels: u64,
    /// Pixels that are 0 in every image.
    pub zero_pixels: u64,
    /// Images of which all pixels are equal.
    pub blank: u64,
    /// Row of the first of them.
    pub first_blank: Option<u64>,
    /// Share of the images whose ink is wider than tall, 0 to 1, of those where one of the two is larger.
    pub wider_than_tall: f64,
}

/// One dimension of bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Labels {
    /// How many there are.
    pub count: u64,
    /// How often each label occurs, from 0 to the largest.
    pub histogram: Vec<u64>,
}

/// Images are read in pieces of at most this size, but at least one image.
const PIECE_BYTES: usize = 1 << 20;
/// The largest image that is looked at, 4096 x 4096.
const MAX_IMAGE_BYTES: u64 = 1 << 24;
const MAX_DIMENSIONS: usize = 8;
/// Ink is what reaches half of the brightest pixel.
const INK: u8 = 128;
/// From here on images are held to lie on their side. Of MNIST's test digits 12 % are wider than tall; transposed, 88 %.
const MOSTLY_WIDE: f64 = 0.6;

/// Reads all of `path` and tells what it holds. `see` gets every image of a file of
/// images: its row number, its width in pixels, and the pixels.
///
/// # Errors
/// [`Error::Io`] and [`Error::Idx`] as [`idx::read`](super::idx::read), but any element type and up to 8 dimensions are
/// taken.
pub fn inspect(path: &Path, mut see: impl FnMut(u64, usize, &[u8])) -> Result<IdxReport> {
    let mut source = Tapped::open(path)?;
    let extent = source.source.extent();
    let mut element = "";
    let bytes_of = |byte| {
        let (name, bytes) = element_of(byte)?;
        element = name;
        Some(bytes)
    };
    let header = header::read(path, extent, bytes_of, MAX_DIMENSIONS, |out| source.fill(out))?;
    let shape: Vec<u64> = header.dims.iter().map(|size| *size as u64).collect();
    let mut contents = Contents::default();
    let file = match (element, &shape[..]) {
        ("unsigned byte", &[count, rows, columns]) if rows * columns <= MAX_IMAGE_BYTES => {
            let images = read_images(&mut source, count, (rows, columns), &mut see)?;
            contents.images = Some(images);
            source.finish(header.file_bytes)?
        }
        ("unsigned byte", &[count]) => {
            contents.labels = Some(read_labels(&mut source, count)?);
            source.finish(header.file_bytes)?
        }
        _ => source.finish(header.file_bytes)?,
    };
    let packed = digests_of_file(path)?;
    let found = (known::files().iter())
        .find(|known| known.packed_md5 == packed.md5 || known.unpacked_md5 == Some(file.md5.as_str()));
    let same_size = known::files().iter().filter(|known| known.unpacked_bytes == header.file_bytes);
    let mut report = IdxReport {
        file: path.display().to_string(),
        gzip: matches!(extent, Extent::AtMost { .. }),
        bytes: packed.bytes,
        unpacked_bytes: header.file_bytes,
        element,
        shape,
        sha256: packed.sha256,
        unpacked_sha256: file.sha256,
        known: found.map(|known| Identity {
            set: known.set,
            name: known.name,
            // MNIST's files are bundled: a test compares them with the table.
            checked: known.set == "MNIST" && known.unpacked_md5 == Some(file.md5.as_str()),
        }),
        same_size_as: match found {
            Some(_) => Vec::new(),
            None => same_size.map(|known| format!("{} {}", known.set, known.name)).collect(),
        },
        images: contents.images,
        labels: contents.labels,
        suspicious: Vec::new(),
    };
    report.suspicious = suspicions(&report, found);
    Ok(report)
}

/// What looks wrong between a file of images and its labels, and between the labels of the two splits. `training` are the
/// labels that say how many classes there are, if these are others.
pub fn compare(images: Option<&IdxReport>, labels: &IdxReport, training: Option<&IdxReport>) -> Vec<String> {
    let mut found = Vec::new();
    let Some(own) = &labels.labels else { return found };
    if let Some((images, count)) = images.and_then(|file| Some((file, file.images.as_ref()?.count)))
        && count != own.count
    {
        found.push(format!("{} labels in {}, but {count} images in {}", own.count, labels.file, images.file));
    }
    if let Some((training, classes)) = training
        .and_then(|file| Some((file, file.labels.as_ref()?.histogram.len())))
        .filter(|(file, _)| *file != labels)
        && own.histogram.len() > classes
    {
        found.push(format!(
            "{}: labels up to {}, but those in {} end at {}",
            labels.file,
            own.histogram.len() - 1,
            training.file,
            classes - 1
        ));
    }
    found
}

#[derive(Default)]
struct Contents {
    images: Option<Images>,
    labels: Option<Labels>,
}

struct Digests {
    bytes: u64,
    md5: String,
    sha256: String,
}

/// The bytes of a file, unpacked, and the digests of what has passed.
struct Tapped<'a> {
    path: &'a Path,
    source: Unpacked<'a, io::BufReader<File>>,
    md5: Md5,
    sha256: Sha256,
    bytes: u64,
}

impl<'a> Tapped<'a> {
    fn open(path: &'a Path) -> Result<Tapped<'a>> {
        Ok(Tapped { path, source: Unpacked::open(path)?, md5: Md5::new(), sha256: Sha256::new(), bytes: 0 })
    }

    /// Fills `out` or ends before it is full; returns how far it came.
    fn fill(&mut self, out: &mut [u8]) -> Result<usize> {
        let filled = self.source.fill(out)?;
        let passed = out.get(..filled).unwrap_or_default();
        self.md5.update(passed);
        self.sha256.update(passed);
        self.bytes += filled as u64;
        Ok(filled)
    }

    /// Fills `out`, or the file is cut short: `expected` bytes were promised.
    fn fill_all(&mut self, out: &mut [u8], expected: u64) -> Result<()> {
        if self.fill(out)? < out.len() {
            let fault = IdxFault::CutShort { expected, found: self.bytes };
            return Err(Error::Idx { path: self.path.to_path_buf(), offset: self.bytes, fault });
        }
        Ok(())
    }

    /// Reads what is left of the `expected` bytes, and checks that nothing follows.
    fn finish(mut self, expected: u64) -> Result<Digests> {
        let mut piece = vec![0; PIECE_BYTES];
        while self.bytes < expected {
            let next = (expected - self.bytes).min(PIECE_BYTES as u64) as usize;
            self.fill_all(piece.get_mut(..next).unwrap_or_default(), expected)?;
        }
        self.source.finish()?;
        Ok(Digests { bytes: self.bytes, md5: hex(&self.md5.finalize()), sha256: hex(&self.sha256.finalize()) })
    }
}

/// What a value of a type is called, and its bytes.
fn element_of(byte: u8) -> Option<(&'static str, u64)> {
    Some(match byte {
        0x08 => ("unsigned byte", 1),
        0x09 => ("signed byte", 1),
        0x0b => ("16-bit integer", 2),
        0x0c => ("32-bit integer", 4),
        0x0d => ("32-bit float", 4),
        0x0e => ("64-bit float", 8),
        _ => return None,
    })
}

fn read_images(
    source: &mut Tapped<'_>,
    count: u64,
    (rows, columns): (u64, u64),
    see: &mut impl FnMut(u64, usize, &[u8]),
) -> Result<Images> {
    let expected = 16 + count * rows * columns;
    let size = (rows * columns) as usize;
    let per_piece = (PIECE_BYTES / size).max(1) as u64;
    let mut piece = vec![0; size * per_piece.min(count) as usize];
    let (mut least, mut most) = (vec![u8::MAX; size], vec![0; size]);
    let (mut sum, mut blank, mut first_blank, mut wide, mut tall) = (0_u64, 0, None, 0_u64, 0_u64);
    let mut index = 0;
    while index < count {
        let next = (count - index).min(per_piece) as usize;
        let images = piece.get_mut(..next * size).unwrap_or_default();
        source.fill_all(images, expected)?;
        for image in images.chunks_exact(size) {
            see(index, columns as usize, image);
            for ((least, most), pixel) in least.iter_mut().zip(&mut most).zip(image) {
                *least = (*least).min(*pixel);
                *most = (*most).max(*pixel);
            }
            sum += image.iter().map(|pixel| u64::from(*pixel)).sum::<u64>();
            if image.windows(2).all(|two| two[0] == two[1]) {
                blank += 1;
                first_blank = first_blank.or(Some(index));
            }
            let (width, height) = ink_size(image, columns as usize);
            wide += u64::from(width > height);
            tall += u64::from(height > width);
            index += 1;
        }
    }
    let constant = least.iter().zip(&most).filter(|(least, most)| least == most);
    Ok(Images {
        count,
        rows,
        columns,
        mean: sum as f64 / (count * rows * columns) as f64,
        constant_pixels: constant.clone().count() as u64,
        zero_pixels: constant.filter(|(_, most)| **most == 0).count() as u64,
        blank,
        first_blank,
        wider_than_tall: if wide + tall == 0 { 0.0 } else { wide as f64 / (wide + tall) as f64 },
    })
}

/// Width and height of what is bright, 0 if nothing is.
fn ink_size(image: &[u8], columns: usize) -> (usize, usize) {
    let is_ink = |pixel: &u8| *pixel >= INK;
    let (mut left, mut right, mut height) = (columns, 0, None::<(usize, usize)>);
    for (y, row) in image.chunks_exact(columns).enumerate() {
        if let Some(first) = row.iter().position(is_ink) {
            left = left.min(first);
            right = right.max(row.iter().rposition(is_ink).unwrap_or(first));
            height = Some((height.map_or(y, |(top, _)| top), y));
        }
    }
    height.map_or((0, 0), |(top, bottom)| (right - left + 1, bottom - top + 1))
}

fn read_labels(source: &mut Tapped<'_>, count: u64) -> Result<Labels> {
    let mut histogram = [0_u64; 256];
    let mut piece = vec![0; count.min(PIECE_BYTES as u64) as usize];
    let mut read = 0;
    while read < count {
        let next = (count - read).min(PIECE_BYTES as u64) as usize;
        let labels = piece.get_mut(..next).unwrap_or_default();
        source.fill_all(labels, 8 + count)?;
        labels.iter().for_each(|label| histogram[usize::from(*label)] += 1);
        read += next as u64;
    }
    let largest = histogram.iter().rposition(|times| *times > 0).unwrap_or(0);
    Ok(Labels { count, histogram: histogram[..=largest].to_vec() })
}

fn digests_of_file(path: &Path) -> Result<Digests> {
    let fail = |source| Error::Io { path: path.to_path_buf(), action: "read", source };
    let mut file = File::open(path).map_err(fail)?;
    let (mut md5, mut sha256, mut bytes) = (Md5::new(), Sha256::new(), 0);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => {
                let passed = piece.get(..count).unwrap_or_default();
                md5.update(passed);
                sha256.update(passed);
                bytes += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(fail(error)),
        }
    }
    Ok(Digests { bytes, md5: hex(&md5.finalize()), sha256: hex(&sha256.finalize()) })
}

fn suspicions(report: &IdxReport, known: Option<&KnownFile>) -> Vec<String> {
    let mut found = Vec::new();
    if report.element != "unsigned byte" || report.shape.len() > 3 {
        found.push(format!(
            "elements are of type {} in {} dimensions; flatnet trains on unsigned bytes in 1 or 3 as images, and on others as \
             numbers",
            report.element,
            report.shape.len()
        ));
    }
    if let Some(images) = &report.images {
        if known.is_some_and(KnownFile::is_transposed) {
            found.push("images are transposed, as in all of EMNIST: upright pictures do not fit them".into());
        } else if images.wider_than_tall > MOSTLY_WIDE {
            found.push(format!(
                "images look transposed, as in EMNIST: in {:.0} % the ink is wider than tall",
                100.0 * images.wider_than_tall
            ));
        }
        if let Some(first) = images.first_blank {
            found.push(format!("{} blank images, of one grey all over; the first is row {first}", images.blank));
        }
        let lit = images.constant_pixels - images.zero_pixels;
        if lit > 0 && images.count > 1 {
            found.push(format!("{lit} pixels are the same in all images and not 0: a frame, or inverted images?"));
        } else if images.mean > 127.5 {
            found.push(format!("images are light (mean {:.0} of 255): MNIST has light ink on black", images.mean));
        }
    }
    if let Some(labels) = &report.labels {
        let missing: Vec<String> = (labels.histogram.iter().enumerate())
            .filter(|(_, times)| **times == 0)
            .map(|(label, _)| label.to_string())
            .collect();
        match &missing[..] {
            [] => {}
            [zero] if zero == "0" => {
                found.push("no label 0: labels begin at 1, so a network gets one class that never occurs".into());
            }
            _ => found.push(format!("labels that never occur: {}", listed(missing.into_iter(), 10))),
        }
        if labels.histogram.len() == 1 {
            found.push("all labels are 0; a network needs two classes".into());
        }
    }
    found
}
