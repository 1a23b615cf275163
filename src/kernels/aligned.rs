//! Flat buffers that start at a cache line, so that a vector of sixteen f32 never straddles two.

use std::ops::{Deref, DerefMut};

/// Bytes of a cache line and of the widest vector.
const LINE_BYTES: usize = 64;
const LINE_FLOATS: usize = LINE_BYTES / size_of::<f32>();

/// A `Vec<f32>` with its first element at the start of a cache line. It derefs to the slice.
#[derive(Debug, Default)]
pub struct AlignedVec {
    /// Room for `len` floats after skipping to the next cache line.
    storage: Vec<f32>,
    start: usize,
    len: usize,
}

impl AlignedVec {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let storage = vec![0.0; len + LINE_FLOATS];
        let start = storage.as_ptr().align_offset(LINE_BYTES).min(LINE_FLOATS);
        AlignedVec { storage, start, len }
    }

    /// The largest length that it can be set to without allocating.
    pub fn capacity(&self) -> usize {
        self.storage.len() - self.start
    }

    /// Sets the length. Up to the capacity, values stay where they are; beyond it, all are 0.
    pub fn set_len(&mut self, len: usize) {
        if len <= self.capacity() {
            self.len = len;
        } else {
            *self = Self::zeros(len);
        }
    }
}

impl From<&[f32]> for AlignedVec {
    fn from(values: &[f32]) -> Self {
        let mut aligned = Self::zeros(values.len());
        aligned.copy_from_slice(values);
        aligned
    }
}

impl Clone for AlignedVec {
    fn clone(&self) -> Self {
        Self::from(&**self)
    }
}

impl Deref for AlignedVec {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.storage[self.start..][..self.len]
    }
}

impl DerefMut for AlignedVec {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.storage[self.start..][..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_buffer_starts_at_a_line_and_keeps_its_values() {
        for len in [0, 1, 15, 16, 17, 7840] {
            let values: Vec<f32> = (0..len).map(|i| i as f32).collect();
            let aligned = AlignedVec::from(&*values);
            for copy in [aligned.clone(), aligned] {
                assert_eq!(*copy, *values);
                assert_eq!(copy.as_ptr().addr() % LINE_BYTES, 0);
            }
        }
    }

    #[test]
    fn only_growing_allocates() {
        let mut buffer = AlignedVec::zeros(100);
        let place = buffer.as_ptr();
        for len in [10, 100, 0, 64] {
            buffer.set_len(len);
            assert_eq!((buffer.len(), buffer.as_ptr()), (len, place));
        }
        buffer.set_len(1000);
        assert_eq!((buffer.len(), buffer.as_ptr().addr() % LINE_BYTES), (1000, 0));
    }
}
