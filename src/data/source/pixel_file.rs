//! Images in a file, a byte a pixel, by their numbers: IDX, raw or gzip, and NumPy's `.npy`. It knows where an image begins,
//! not what it shows.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::element::Element;
use super::file_bytes::{Bytes as _, FileBytes};
use super::unpack::{Begun, Extent};
use super::{array, header, idx, npy};
use crate::data::columns::Columns;
use crate::data::on_disk::{OnDisk, RowFile};
use crate::data::rows::Rows;
use crate::data::{Dataset, Scale, TargetColumns};
use crate::error::{Error, IdxFault, Result};

/// Pixels are read in runs of about this size: enough for one run to cost little, and little enough to stay in L2.
const RUN_BYTES: usize = 256 * 1024;

/// A row is kept with 16 bytes beside its pixels. Of images with fewer pixels than that the largest set would take a
/// multiple of its file.
const TINY_PIXELS: usize = 16;
pub(super) const MAX_TINY_IMAGES: usize = 1 << 22;

/// A file of images.
#[derive(Debug, Clone)]
pub(super) struct PixelFile {
    path: PathBuf,
    extent: Extent,
    /// Where the first pixel stands.
    start: u64,
    format: Format,
    /// As its header has it; the first is how many images there are.
    shape: Vec<usize>,
    /// Rows and columns of an image, once it is read.
    image_size: (usize, usize),
    /// Whether rows and columns of each image change places.
    transposed: bool,
}

/// By which rules a file that ends elsewhere than it should is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Idx,
    Npy,
}

impl PixelFile {
    /// An IDX file of bytes in three dimensions. With `transposed`, rows and columns of each image change places, as EMNIST's
    /// do to stand upright.
    ///
    /// # Errors
    /// [`Error::Io`] from the operating system; [`Error::Idx`] for another file.
    pub fn idx(path: &Path, transposed: bool) -> Result<Self> {
        let values = idx::Values::open(path)?;
        let shape = values.dims().to_vec();
        let [_, rows, columns] = shape[..] else {
            let fault = IdxFault::NotImages { found: shape.len() };
            return Err(Error::Idx { path: path.to_path_buf(), offset: 3, fault });
        };
        let image_size = if transposed { (columns, rows) } else { (rows, columns) };
        let (path, start) = (path.to_path_buf(), header::len(shape.len()));
        let (format, extent) = (Format::Idx, values.extent());
        let file = PixelFile { path, extent, start, format, shape, image_size, transposed };
        let (images, pixels) = (file.len(), file.pixels());
        if pixels < TINY_PIXELS && images > MAX_TINY_IMAGES {
            let fault = IdxFault::TooManyTinyImages { images, pixels, limit: MAX_TINY_IMAGES };
            return Err(Error::Idx { path: file.path, offset: 4, fault });
        }
        Ok(file)
    }

    /// A `.npy` file of bytes whose rows are images (see `array::image_size`); `None` for what is another file.
    ///
    /// # Errors
    /// [`Error::Io`] from the operating system; [`Error::DataFile`] for a damaged one.
    pub fn npy(path: &Path) -> Result<Option<Self>> {
        let mut file = Begun::open(path)?;
        if !file.start().starts_with(npy::MAGIC) {
            return Ok(None);
        }
        let extent = file.extent();
        let header = npy::header(path, "", |out| file.fill(out))?;
        if header.element != Element::U8 || !header.is_by_rows() {
            return Ok(None);
        }
        header.count(path, "", extent, npy::MAX_BYTES)?;
        let Some(image_size) = array::image_size(&header.shape) else { return Ok(None) };
        let (path, start) = (path.to_path_buf(), file.given());
        let (format, shape) = (Format::Npy, header.shape);
        let file = PixelFile { path, extent, start, format, shape, image_size, transposed: false };
        let is_tiny = file.pixels() < TINY_PIXELS && file.len() > MAX_TINY_IMAGES;
        Ok((!is_tiny).then_some(file))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many images.
    pub fn len(&self) -> usize {
        self.shape[0]
    }

    /// Rows and columns of an image, once it is read.
    pub fn image_size(&self) -> (usize, usize) {
        self.image_size
    }

    fn pixels(&self) -> usize {
        self.shape[1..].iter().product()
    }

    /// A set of its images, as many as targets, whose pixels stay in it.
    ///
    /// # Errors
    /// [`Error::Shape`] where the targets are not valid.
    pub fn into_set(self, targets: TargetColumns, source: String) -> Result<Dataset> {
        let (len, image_size) = (self.len(), self.image_size);
        let columns = OnDisk::new(Arc::new(self), len, Some(Scale::Unit));
        Dataset::from_file(columns, targets, image_size, source)
    }

    /// All images.
    pub fn read_all(&self) -> Result<Rows> {
        let mut all = Rows::new(self.pixels());
        self.runs(&[0..self.len() as u32], &mut |pixels| {
            all.extend(pixels);
            Ok(())
        })?;
        all.shrink();
        Ok(all)
    }

    /// Gives the pixels of the images of `ranges`, some at a time.
    fn runs(&self, ranges: &[Range<u32>], each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let image = self.pixels();
        let most = (RUN_BYTES / image).max(1);
        let (mut bytes, mut upright) = (Vec::new(), Vec::new());
        let (mut file, mut at) = (FileBytes::open(&self.path, self.extent)?, 0);
        for range in ranges {
            let end = range.end as usize;
            at = range.start as usize;
            file.go_to(self.start + at as u64 * image as u64)?;
            while at < end {
                let images = most.min(end - at);
                self.take(&mut file, &mut bytes, images * image)?;
                at += images;
                if self.transposed {
                    self.turn(&bytes, &mut upright);
                    each(&upright)?;
                } else {
                    each(&bytes)?;
                }
            }
        }
        // What is packed tells only at its end whether it was whole.
        if at == self.len() && file.fill(&mut [0])? > 0 { Err(self.goes_on()) } else { Ok(()) }
    }

    /// Replaces what `bytes` holds by the next `count` bytes.
    fn take(&self, file: &mut FileBytes<'_>, bytes: &mut Vec<u8>, count: usize) -> Result<()> {
        bytes.clear();
        while bytes.len() < count {
            // Room grows with what has come, so that a file that promises much and gives little takes little.
            let (start, next) = (bytes.len(), (count - bytes.len()).min(RUN_BYTES));
            bytes.try_reserve(next).map_err(|_| Error::out_of_memory(&self.path))?;
            bytes.resize(start + next, 0);
            if file.fill(&mut bytes[start..])? < next {
                return Err(self.ends_early(file.at()));
            }
        }
        Ok(())
    }

    /// Bytes of the file, unpacked.
    fn expected(&self) -> u64 {
        self.start + self.shape.iter().map(|size| *size as u64).product::<u64>()
    }

    fn ends_early(&self, found: u64) -> Error {
        let (path, expected) = (self.path.clone(), self.expected());
        match self.format {
            Format::Idx => Error::Idx { path, offset: found, fault: IdxFault::CutShort { expected, found } },
            Format::Npy => npy::ends_early(&path, "", expected),
        }
    }

    fn goes_on(&self) -> Error {
        let (path, expected) = (self.path.clone(), self.expected());
        match self.format {
            Format::Idx => Error::Idx { path, offset: expected, fault: IdxFault::TrailingBytes { expected } },
            Format::Npy => npy::goes_on(&path, "", expected, &self.shape),
        }
    }

    fn turn(&self, bytes: &[u8], upright: &mut Vec<u8>) {
        let (height, width) = (self.shape[1], self.shape[2]);
        upright.resize(bytes.len(), 0);
        for (from, to) in bytes.chunks_exact(height * width).zip(upright.chunks_exact_mut(height * width)) {
            for (row, to) in to.chunks_exact_mut(height).enumerate() {
                to.iter_mut().enumerate().for_each(|(column, pixel)| *pixel = from[column * width + row]);
            }
        }
    }
}

impl RowFile for PixelFile {
    fn read(&self, ranges: &[Range<u32>], each: &mut dyn FnMut(Columns) -> Result<()>) -> Result<()> {
        self.runs(ranges, &mut |pixels| {
            let mut rows = Rows::new(self.pixels());
            rows.extend(pixels);
            each(Columns::Bytes { rows, scale: Scale::Unit })
        })
    }

    fn can_seek(&self) -> bool {
        matches!(self.extent, Extent::Exactly(_))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::idx::IdxArray;
    use crate::data::source::testing;

    /// Image `i` is `[6 i, 6 i + 1, ...]`, in two rows of three.
    fn idx_file(folder: &Path, images: usize, packed: bool) -> PathBuf {
        let bytes = (0..images * 6).map(|i| i as u8).collect();
        let (path, array) = (folder.join("images"), IdxArray { dims: vec![images, 2, 3], bytes });
        if packed {
            idx::write_gz(&path, &array).unwrap()
        } else {
            idx::write(&path, &array).unwrap()
        }
        path
    }

    fn pixels(file: &PixelFile, ranges: &[Range<u32>]) -> Result<Vec<u8>> {
        let mut pixels = Vec::new();
        file.runs(ranges, &mut |bytes| {
            pixels.extend_from_slice(bytes);
            Ok(())
        })?;
        Ok(pixels)
    }

    #[test]
    fn images_are_found_by_their_numbers_packed_or_not() {
        let of =
            |images: &[usize]| images.iter().flat_map(|i| (6 * i..6 * i + 6).map(|i| i as u8)).collect::<Vec<u8>>();
        for packed in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let path = idx_file(folder.path(), 40, packed);
            let file = PixelFile::idx(&path, false).unwrap();
            assert_eq!((file.len(), file.image_size(), file.can_seek()), (40, (2, 3), !packed));
            assert_eq!(pixels(&file, &[0..2, 7..8, 38..40]).unwrap(), of(&[0, 1, 7, 38, 39]));
            assert_eq!(pixels(&file, &[0..40]).unwrap(), of(&(0..40).collect::<Vec<_>>()));
            assert!(pixels(&file, &[]).unwrap().is_empty());
            let upright = PixelFile::idx(&path, true).unwrap();
            assert_eq!(upright.image_size(), (3, 2));
            assert_eq!(pixels(&upright, &[1..2]).unwrap(), [6, 9, 7, 10, 8, 11]);
        }
    }

    #[test]
    fn numpys_bytes_are_images_too() {
        let folder = tempfile::tempdir().unwrap();
        let write = |descr: &str, fortran: bool, shape: &[usize], bytes: &[u8]| {
            let path = folder.path().join("x.npy");
            fs::write(&path, testing::npy(descr, fortran, shape, bytes)).unwrap();
            path
        };
        let bytes: Vec<u8> = (0..24).collect();
        for (shape, image_size) in
            [(&[4, 2, 3][..], (2, 3)), (&[4, 6], (1, 6)), (&[6, 4], (2, 2)), (&[4, 3, 2, 1], (3, 2))]
        {
            let file = PixelFile::npy(&write("|u1", false, shape, &bytes)).unwrap().unwrap();
            assert_eq!((file.image_size(), pixels(&file, &[1..3]).unwrap().len()), (image_size, 2 * file.pixels()));
            assert_eq!(pixels(&file, &[0..1, 2..3]).unwrap()[..file.pixels()], bytes[..file.pixels()]);
        }
        // Neither type nor order is one of images.
        for (descr, fortran, shape) in [("<f4", false, [2, 3]), ("|u1", true, [4, 6])] {
            assert!(PixelFile::npy(&write(descr, fortran, &shape, &bytes)).unwrap().is_none());
        }
        assert!(PixelFile::npy(&idx_file(folder.path(), 1, false)).unwrap().is_none());
        let error = PixelFile::npy(&write("|u1", false, &[4, 6], &bytes[1..])).unwrap_err().to_string();
        assert!(error.contains("cut short: expected "), "{error}");
    }

    #[test]
    fn a_file_that_has_changed_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = idx_file(folder.path(), 40, false);
        let file = PixelFile::idx(&path, false).unwrap();
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..100]).unwrap();
        let error = pixels(&file, &[0..1]).unwrap_err().to_string();
        assert!(error.contains("has changed") && error.ends_with("expected 256 bytes, found 100"), "{error}");
        fs::remove_file(&path).unwrap();
        idx_file(folder.path(), 41, false);
        let error = pixels(&file, &[0..1]).unwrap_err().to_string();
        assert!(error.ends_with("expected 256 bytes, found 262"), "{error}");
        fs::remove_file(&path).unwrap();
        assert!(pixels(&file, &[0..1]).is_err());
    }
}
