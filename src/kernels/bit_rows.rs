//! From dense rows to rows without their zeros: a bit for every feature says whether a row has one. Numbers that are those of a
//! byte (a pixel's, a count's, a sixteenth's) are kept as bytes.

use fearless_simd::{Simd, f32x16, prelude::*, u16x32, u32x16};

use crate::kernels::pixels::{UNIT_HEAD, UNIT_TAIL};
use crate::kernels::sparse::{BIT_ROWS_SLACK, bit_bytes};
use crate::kernels::{LANES, SimdLevel, dispatch};

/// What a byte stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Code {
    /// `byte / 255`, rounded once.
    Unit,
    /// `byte * factor`, a power of two.
    Times(f32),
}

impl Code {
    /// Those that are looked for: pixels, whole numbers, and binary fractions.
    pub const ALL: [Code; 4] = [Code::Unit, Code::Times(1.0), Code::Times(1.0 / 16.0), Code::Times(1.0 / 256.0)];

    /// Whether `number` is that of a byte.
    pub fn has(self, number: f32) -> bool {
        let byte = match self {
            Code::Unit => number * 255.0,
            Code::Times(factor) => number / factor,
        };
        (0.0..=255.0).contains(&byte) && self.number(byte.round_ties_even() as u8) == number
    }

    /// The number of `byte`.
    #[inline(always)]
    fn number(self, byte: u8) -> f32 {
        let byte = f32::from(byte);
        match self {
            Code::Unit => byte.mul_add(UNIT_HEAD, byte * UNIT_TAIL),
            Code::Times(factor) => byte * factor,
        }
    }
}

/// What bytes stand for: `bytes`, read; `numbers`, as many, overwritten.
pub fn decode(level: SimdLevel, code: Code, bytes: &[u8], numbers: &mut [f32]) {
    debug_assert_eq!(bytes.len(), numbers.len());
    #[inline(always)]
    fn each(bytes: &[u8], numbers: &mut [f32], number: impl Fn(u8) -> f32) {
        numbers.iter_mut().zip(bytes).for_each(|(place, byte)| *place = number(*byte));
    }
    level.run(
        #[inline(always)]
        || match code {
            Code::Unit => each(bytes, numbers, |byte| Code::Unit.number(byte)),
            Code::Times(factor) => each(bytes, numbers, |byte| Code::Times(factor).number(byte)),
        },
    );
}

/// Numbers that are not zero, as they are kept.
pub trait Kept: Copy + Default {
    /// Writes `numbers`, of which `count` are not zero and come first; whether all of those can be kept.
    fn put<S: Simd>(simd: S, code: Code, numbers: f32x16<S>, place: &mut [Self]) -> bool;
}

impl Kept for f32 {
    #[inline(always)]
    fn put<S: Simd>(simd: S, _: Code, numbers: f32x16<S>, place: &mut [Self]) -> bool {
        numbers.store_slice(place);
        // No order holds for NaN.
        numbers.abs().simd_le(f32x16::splat(simd, f32::MAX)).all_true()
    }
}

impl Kept for u8 {
    #[inline(always)]
    fn put<S: Simd>(simd: S, code: Code, numbers: f32x16<S>, place: &mut [Self]) -> bool {
        let (bytes, again) = match code {
            Code::Unit => {
                let bytes = (numbers * f32x16::splat(simd, 255.0)).round_ties_even();
                (bytes, bytes.mul_add_precise(UNIT_HEAD, bytes * UNIT_TAIL))
            }
            Code::Times(factor) => {
                let bytes = (numbers * f32x16::splat(simd, 1.0 / factor)).round_ties_even();
                (bytes, bytes * f32x16::splat(simd, factor))
            }
        };
        let fits = bytes.simd_ge(f32x16::splat(simd, 0.0)) & bytes.simd_le(f32x16::splat(simd, 255.0));
        let narrow: u16x32<S> = u32x16::truncate_from(bytes).narrow(u32x16::splat(simd, 0));
        let narrow = narrow.narrow(u16x32::splat(simd, 0));
        place.copy_from_slice(&narrow.as_slice()[..LANES]);
        (fits & again.simd_eq(numbers)).all_true()
    }
}

/// Takes over `x`, rows of `width` numbers: the fields of [`BitRows`](crate::kernels::BitRows). Whether all of them can be kept
/// (as bytes: only those of the code; as `f32`: finite ones); if not, what was written is of no use.
///
/// `bits: [rows, bit_bytes(width)]`, zeros; `values` and `starts` are appended to.
pub fn leave_out_zeros<T: Kept>(
    level: SimdLevel,
    code: Code,
    x: &[f32],
    width: usize,
    bits: &mut [u8],
    values: &mut Vec<T>,
    starts: &mut Vec<usize>,
) -> bool {
    dispatch!(level, simd => leave_out_zeros_at(simd, code, x, width, bits, values, starts))
}

#[inline(always)]
fn leave_out_zeros_at<S: Simd, T: Kept>(
    simd: S,
    code: Code,
    x: &[f32],
    width: usize,
    bits: &mut [u8],
    values: &mut Vec<T>,
    starts: &mut Vec<usize>,
) -> bool {
    let mut end = values.len();
    starts.push(end);
    for (row, bits) in x.chunks_exact(width).zip(bits.chunks_exact_mut(bit_bytes(width))) {
        if values.len() < end + width + BIT_ROWS_SLACK {
            // Some rows at a time, so that what is written as zeros is in a cache when the numbers come.
            values.resize(end + 16 * (width + BIT_ROWS_SLACK), T::default());
        }
        let mut kept = KeptRow { place: &mut values[end..][..width + BIT_ROWS_SLACK], used: 0, fits: true };
        let (whole, rest) = row.as_chunks::<LANES>();
        let (of_whole, of_rest) = bits.as_chunks_mut::<2>().0.split_at_mut(whole.len());
        for (numbers, bits) in whole.iter().zip(of_whole) {
            *bits = kept.put(simd, code, numbers);
        }
        if let (false, Some(bits)) = (rest.is_empty(), of_rest.first_mut()) {
            let mut numbers = [0.0; LANES];
            numbers[..rest.len()].copy_from_slice(rest);
            *bits = kept.put(simd, code, &numbers);
        }
        end += kept.used;
        if !kept.fits {
            return false;
        }
        starts.push(end);
    }
    values.resize(end + BIT_ROWS_SLACK, T::default());
    true
}

/// A row that is being written.
struct KeptRow<'a, T> {
    place: &'a mut [T],
    used: usize,
    fits: bool,
}

impl<T: Kept> KeptRow<'_, T> {
    /// Keeps what is not zero, and says what that is.
    #[inline(always)]
    fn put<S: Simd>(&mut self, simd: S, code: Code, numbers: &[f32; LANES]) -> [u8; 2] {
        let numbers = f32x16::load_array_ref(simd, numbers);
        let kept = numbers.simd_ne(f32x16::splat(simd, 0.0));
        self.fits &= T::put(simd, code, numbers.compress(kept), &mut self.place[self.used..][..LANES]);
        let kept = kept.to_bitmask() as u16;
        self.used += kept.count_ones() as usize;
        kept.to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::BitRows;
    use crate::kernels::testing::levels;

    /// Every level makes the same rows of the same numbers, minus zero a zero.
    #[test]
    fn rows_are_what_they_were() {
        for width in [1, 15, 16, 37, 64, 130] {
            let x: Vec<f32> = (0..70 * width).map(|i| if i % 3 == 0 { i as f32 - 9.5 } else { -0.0 }).collect();
            for level in levels() {
                let (mut bits, mut values, mut starts) = (vec![0; 70 * bit_bytes(width)], Vec::<f32>::new(), vec![]);
                assert!(leave_out_zeros(level, Code::Unit, &x, width, &mut bits, &mut values, &mut starts));
                assert_eq!(values.len(), x.iter().filter(|x| **x != 0.0).count() + BIT_ROWS_SLACK);
                let rows = BitRows { width, bits: &bits, values: &values, starts: &starts };
                for (index, x) in x.chunks(width).enumerate() {
                    let mut found = vec![f32::NAN; width];
                    rows.copy_row(index, &mut found);
                    assert_eq!(found, x, "{}", level.name());
                }
            }
        }
    }

    #[test]
    fn what_is_not_finite_is_seen_wherever_it_stands() {
        for level in levels() {
            for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                for at in [0, 15, 16, 20, 21, 41] {
                    let mut x = vec![0.0; 42];
                    x[at] = wrong;
                    let (bits, starts) = (&mut [0; 16], &mut vec![]);
                    let numbers = &mut Vec::<f32>::new();
                    assert!(!leave_out_zeros(level, Code::Unit, &x, 21, bits, numbers, starts), "{wrong} at {at}");
                    for code in Code::ALL {
                        let (bits, starts) = (&mut [0; 16], &mut vec![]);
                        let bytes = &mut Vec::<u8>::new();
                        assert!(!leave_out_zeros(level, code, &x, 21, bits, bytes, starts), "{wrong} at {at}");
                    }
                }
            }
        }
    }

    /// All bytes come back as the same bits on every level; what is no byte's number, its neighbours among them, is refused.
    #[test]
    fn bytes_stand_for_their_numbers_alone() {
        for code in Code::ALL {
            let x: Vec<f32> = (0..=255).map(|byte| code.number(byte)).collect();
            assert!(x.iter().all(|x| code.has(*x)), "{code:?}");
            for level in levels() {
                let (mut bits, mut values, mut starts) = (vec![0; 32], Vec::<u8>::new(), vec![]);
                assert!(leave_out_zeros(level, code, &x, 256, &mut bits, &mut values, &mut starts));
                assert_eq!(values[..255], (1..=255).collect::<Vec<u8>>());
                let mut again = vec![f32::NAN; 255];
                decode(level, code, &values[..255], &mut again);
                assert_eq!(again, x[1..], "{code:?} on {}", level.name());
                for wrong in [x[77].next_up(), x[77].next_down(), -x[77], x[255] + x[1], 0.3, 1e9, f32::MIN_POSITIVE] {
                    let (mut bits, mut values, mut starts) = (vec![0; 8], Vec::<u8>::new(), vec![]);
                    let row = [0.0, x[5], wrong];
                    assert!(!code.has(wrong), "{wrong}");
                    assert!(!leave_out_zeros(level, code, &row, 3, &mut bits, &mut values, &mut starts), "{wrong}");
                }
            }
        }
        assert_eq!(Code::Unit.number(51), 0.2);
    }
}
