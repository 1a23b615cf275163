//! The header of an IDX file: `00 00`, a type byte, the number of dimensions, the dimensions as big-endian u32. It is checked
//! against the file's length before anything is allocated; it knows nothing of what the values mean.

use std::path::Path;

use byteorder::{BigEndian, ByteOrder};

use super::unpack::Extent;
use crate::error::{Error, IdxFault, Result};

/// Most bytes of values that are read: 16 GiB. The largest MNIST variant, 8.1 million images, has 6.4 GB.
pub const MAX_BYTES: u64 = 16 << 30;

const MAGIC_BYTES: usize = 4;
/// What the number of dimensions has room for.
const MOST_DIMENSIONS: usize = 255;

/// A valid header.
#[derive(Debug)]
pub(in crate::data) struct Header {
    /// None of them 0.
    pub dims: Vec<usize>,
    /// Bytes of a value.
    pub element_bytes: u64,
    /// Bytes of all values.
    pub value_bytes: u64,
    /// Bytes of the whole file, unpacked.
    pub file_bytes: u64,
}

/// Reads a header by `fill`, which fills what it is given from the start of the file and says how far it came.
///
/// `element_bytes`: how many bytes a value of a type has, `None` for types that are not taken.
///
/// # Errors
/// Those of `fill`, and [`Error::Idx`] naming `path`: what is no header, or promises another length than the file can have.
pub(in crate::data) fn read(
    path: &Path,
    extent: Extent,
    element_bytes: impl FnOnce(u8) -> Option<u64>,
    max_dimensions: usize,
    mut fill: impl FnMut(&mut [u8]) -> Result<usize>,
) -> Result<Header> {
    let fail = |offset, fault| Err(Error::Idx { path: path.to_path_buf(), offset, fault });
    let cut_short = |expected, found| fail(found, IdxFault::CutShort { expected, found });
    let mut magic = [0; MAGIC_BYTES];
    let found = fill(&mut magic)?;
    let [zero_0, zero_1, element, dimensions] = magic;
    if found >= 2 && [zero_0, zero_1] != [0, 0] {
        return fail(0, IdxFault::BadMagic { found: [zero_0, zero_1] });
    }
    if found < MAGIC_BYTES {
        return cut_short(MAGIC_BYTES as u64, found as u64);
    }
    let Some(element_bytes) = element_bytes(element) else {
        return fail(2, IdxFault::NotBytes { found: element });
    };
    let dimensions = usize::from(dimensions);
    if !(1..=max_dimensions).contains(&dimensions) {
        return fail(3, IdxFault::DimensionCount { found: dimensions });
    }
    let mut sizes = [0; 4 * MOST_DIMENSIONS];
    let sizes = &mut sizes[..4 * dimensions];
    let found = (MAGIC_BYTES + fill(sizes)?) as u64;
    if found < len(dimensions) {
        return cut_short(len(dimensions), found);
    }
    let dims: Vec<usize> = sizes.chunks_exact(4).map(|size| BigEndian::read_u32(size) as usize).collect();
    let value_bytes = bytes_of(path, &dims, element_bytes)?;
    let expected = len(dimensions) + value_bytes;
    match extent {
        Extent::Exactly(found) if found < expected => cut_short(expected, found),
        Extent::Exactly(found) if found > expected => fail(expected, IdxFault::TrailingBytes { expected }),
        Extent::AtMost { limit, packed } if limit < expected => {
            fail(MAGIC_BYTES as u64, IdxFault::TooLargeForGzip { promised: expected, packed, limit })
        }
        Extent::Exactly(_) | Extent::AtMost { .. } => {
            Ok(Header { dims, element_bytes, value_bytes, file_bytes: expected })
        }
    }
}

/// Bytes of a header.
pub(in crate::data) fn len(dimensions: usize) -> u64 {
    (MAGIC_BYTES + 4 * dimensions) as u64
}

/// Bytes of as many values as the product of `dims`, of `value_bytes` each; found to be at least 1 and at most
/// [`MAX_BYTES`].
pub(in crate::data) fn bytes_of(path: &Path, dims: &[usize], value_bytes: u64) -> Result<u64> {
    let fail = |offset: usize, fault| Err(Error::Idx { path: path.to_path_buf(), offset: offset as u64, fault });
    let mut promised = u128::from(value_bytes);
    for (index, &size) in dims.iter().enumerate() {
        let offset = MAGIC_BYTES + 4 * index;
        if size == 0 {
            return fail(offset, IdxFault::EmptyDimension { dimension: index + 1 });
        }
        if u32::try_from(size).is_err() {
            return fail(offset, IdxFault::TooLarge { promised: size as u128, limit: u32::MAX.into() });
        }
        promised = promised.saturating_mul(size as u128);
    }
    match u64::try_from(promised) {
        // Where memory is addressed by 32 bits, less is the most.
        Ok(bytes) if bytes <= MAX_BYTES && usize::try_from(bytes).is_ok() => Ok(bytes),
        _ => fail(MAGIC_BYTES, IdxFault::TooLarge { promised, limit: MAX_BYTES }),
    }
}
