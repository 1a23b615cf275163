//! Safetensors files, read without trust: the header's length and every tensor's place are compared with the file's own
//! length before anything is allocated. It knows tensors and strings, not what they mean.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use byteorder::{LittleEndian, ReadBytesExt};
use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::regular_file;

/// Where the header starts: its length stands before it, as a little-endian u64.
pub(crate) const LENGTH_BYTES: u64 = 8;
const METADATA: &str = "__metadata__";

/// Makes errors that name the file.
pub(crate) struct Refuse<'a> {
    pub path: &'a Path,
}

impl Refuse<'_> {
    pub fn because(&self, place: impl Into<String>, problem: impl Into<String>) -> Error {
        Error::Model { path: self.path.to_path_buf(), place: place.into(), problem: problem.into() }
    }

    pub fn not_finite(&self, tensor: &str, at: usize, value: f32) -> Error {
        self.because(format!("tensor {tensor}"), format!("value {at} is {value}; expected finite numbers"))
    }

    pub fn io(&self, source: io::Error) -> Error {
        Error::Io { path: self.path.to_path_buf(), action: "read", source }
    }
}

/// The start of a file: the header's length, and the header with `strings` and the tensors of this name, type and shape, whose
/// values are to follow in the same order.
pub(crate) fn header(
    strings: BTreeMap<&'static str, String>,
    tensors: impl Iterator<Item = (String, Dtype, Vec<usize>)>,
) -> io::Result<Vec<u8>> {
    let mut header = serde_json::Map::new();
    header.insert(METADATA.into(), serde_json::to_value(strings)?);
    let mut offset = 0;
    for (name, dtype, shape) in tensors {
        let end = offset + shape.iter().product::<usize>() * dtype.bitsize() / 8;
        let info = serde_json::json!({ "dtype": dtype, "shape": shape, "data_offsets": [offset, end] });
        header.insert(name, info);
        offset = end;
    }
    let mut header = serde_json::to_vec(&header)?;
    // Spaces up to a multiple of 8, so that the tensors start aligned.
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok([&(header.len() as u64).to_le_bytes(), &header[..]].concat())
}

/// What files that begin so are, and what to do: other programs' own files of weights.
fn looks_like(start: [u8; 8]) -> &'static str {
    match start {
        [b'P', b'K', ..] => {
            "; it looks like a file of torch.save or Keras: load it there, and save its weights with safetensors' save_file"
        }
        [0x89, b'H', b'D', b'F', ..] => {
            "; it looks like an HDF5 file of Keras: load it there, and save its weights with safetensors' save_file"
        }
        [0x80, 2..=5, ..] => {
            "; it looks like a pickle of Python: load it there, and save its weights with safetensors' save_file"
        }
        _ => "",
    }
}

/// The values of an F32 tensor.
pub(crate) fn write_f32(out: &mut dyn Write, values: &[f32]) -> io::Result<()> {
    values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))
}

/// An open file whose header has been read.
pub(crate) struct TensorFile {
    path: PathBuf,
    file: BufReader<File>,
    /// Byte of the file at which the tensors' offset 0 lies.
    tensors_start: u64,
}

impl TensorFile {
    /// Opens a file that should be a `what`, and reads its header of at most `max_header_bytes`. The tensors of the header fill
    /// the rest of the file.
    pub fn open(path: &Path, what: &str, max_header_bytes: u64) -> Result<(TensorFile, Metadata)> {
        let refuse = Refuse { path };
        let mut file = match regular_file::open(path).map_err(|source| refuse.io(source))? {
            Some((file, _)) => BufReader::new(file),
            None => {
                let problem = format!("is not a regular file; give the path of a {what}, which is one");
                return Err(refuse.because("file", problem));
            }
        };
        let file_bytes = file.get_ref().metadata().map_err(|source| refuse.io(source))?.len();
        let unreadable = |problem: String| refuse.because("header", problem);
        if file_bytes < LENGTH_BYTES {
            return Err(unreadable(format!("the file has {file_bytes} bytes; a safetensors file has more")));
        }
        let header_bytes = file.read_u64::<LittleEndian>().map_err(|source| refuse.io(source))?;
        let most = max_header_bytes.min(file_bytes - LENGTH_BYTES);
        if header_bytes > most {
            return Err(unreadable(format!(
                "its length is given as {header_bytes} bytes, where at most {most} can be; \
                 this is no safetensors {what}, or it was cut short{}",
                looks_like(header_bytes.to_le_bytes())
            )));
        }
        let mut text = vec![0; header_bytes as usize];
        file.read_exact(&mut text).map_err(|source| refuse.io(source))?;
        let metadata: Metadata = serde_json::from_slice(&text)
            .map_err(|error| unreadable(format!("is not that of a safetensors file: {error}")))?;

        let tensors_start = LENGTH_BYTES + header_bytes;
        let expected = tensors_start + metadata.data_len() as u64;
        if expected != file_bytes {
            return Err(refuse.because(
                "tensors",
                format!(
                    "the header describes a file of {expected} bytes, but it has {file_bytes}; fetch or save it again"
                ),
            ));
        }
        Ok((TensorFile { path: path.to_path_buf(), file, tensors_start }, metadata))
    }

    /// SHA-256 over the whole file as if the first `word` in its header were `other`.
    pub fn sha256_without(&mut self, word: &str, other: &str) -> Result<[u8; 32]> {
        let mut digest = Sha256::new();
        let mut read = || -> io::Result<()> {
            self.file.rewind()?;
            // The header has been read before, so it fits.
            let mut start = vec![0; self.tensors_start as usize];
            self.file.read_exact(&mut start)?;
            let at = start.windows(word.len().max(1)).position(|window| window == word.as_bytes());
            if let Some(at) = at.filter(|_| word.len() == other.len()) {
                start[at..at + word.len()].copy_from_slice(other.as_bytes());
            }
            digest.update(&start);
            loop {
                let bytes = self.file.fill_buf()?;
                if bytes.is_empty() {
                    return Ok(());
                }
                digest.update(bytes);
                let read = bytes.len();
                self.file.consume(read);
            }
        };
        read().map_err(|source| Refuse { path: &self.path }.io(source))?;
        Ok(digest.finalize().into())
    }

    /// One tensor's values. The file was found long enough for it, so the allocation is bounded by the file's length.
    pub fn read_f32(&mut self, info: &TensorInfo) -> Result<Vec<f32>> {
        self.read(info, |file, values| file.read_f32_into::<LittleEndian>(values))
    }

    /// The values of a tensor of floating-point numbers, rounded to f32 where they have more digits. `name` is for errors: of
    /// another dtype, and of a number beyond the range of f32.
    pub fn read_as_f32(&mut self, name: &str, info: &TensorInfo) -> Result<Vec<f32>> {
        let refuse = |path: &Path, problem: String| Refuse { path }.because(format!("tensor {name}"), problem);
        match info.dtype {
            Dtype::F32 => self.read_f32(info),
            Dtype::F16 => Ok(self.read_u16(info)?.into_iter().map(|bits| f16::from_bits(bits).to_f32()).collect()),
            Dtype::BF16 => Ok(self.read_u16(info)?.into_iter().map(|bits| bf16::from_bits(bits).to_f32()).collect()),
            Dtype::F64 => {
                let values = self.read_f64(info)?;
                match values.iter().position(|value| value.is_finite() && !(*value as f32).is_finite()) {
                    None => Ok(values.into_iter().map(|value| value as f32).collect()),
                    Some(at) => {
                        let problem = format!("value {at} is {:e}; expected numbers within {:e}", values[at], f32::MAX);
                        Err(refuse(&self.path, problem))
                    }
                }
            }
            dtype => Err(refuse(&self.path, format!("has dtype {dtype:?}; expected F32, F16, BF16 or F64"))),
        }
    }

    fn read_u16(&mut self, info: &TensorInfo) -> Result<Vec<u16>> {
        self.read(info, |file, values| file.read_u16_into::<LittleEndian>(values))
    }

    pub fn read_f64(&mut self, info: &TensorInfo) -> Result<Vec<f64>> {
        self.read(info, |file, values| file.read_f64_into::<LittleEndian>(values))
    }

    pub fn read_u32(&mut self, info: &TensorInfo) -> Result<Vec<u32>> {
        self.read(info, |file, values| file.read_u32_into::<LittleEndian>(values))
    }

    pub fn read_u8(&mut self, info: &TensorInfo) -> Result<Vec<u8>> {
        self.read(info, |file, values| file.read_exact(values))
    }

    fn read<T: Clone + Default>(
        &mut self,
        info: &TensorInfo,
        fill: impl FnOnce(&mut BufReader<File>, &mut [T]) -> io::Result<()>,
    ) -> Result<Vec<T>> {
        let (start, end) = info.data_offsets;
        let mut values = vec![T::default(); (end - start) / size_of::<T>()];
        let place = SeekFrom::Start(self.tensors_start + start as u64);
        let filled = self.file.seek(place).and_then(|_| fill(&mut self.file, &mut values));
        filled.map_err(|source| Refuse { path: &self.path }.io(source))?;
        Ok(values)
    }
}
