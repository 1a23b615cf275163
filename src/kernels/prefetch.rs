//! Prefetches what is needed next. It changes no value and waits for nothing; where there is no such instruction, it
//! does nothing.

use fearless_simd::Simd;

use crate::kernels::SimdLevel;

/// Asks for every cache line of `bytes`.
pub(crate) fn prefetch_bytes(level: SimdLevel, bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(avx2) = level.token().as_avx2() {
        prefetch_lines(avx2, bytes);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (level, bytes);
}

/// The same of `numbers`.
pub(crate) fn prefetch_numbers(level: SimdLevel, numbers: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(avx2) = level.token().as_avx2() {
        prefetch_number_lines(avx2, numbers);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (level, numbers);
}

/// Asks for every cache line of `bytes`.
#[inline(always)]
pub(super) fn prefetch<S: Simd>(simd: S, bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(avx2) = simd.level().as_avx2() {
        prefetch_lines(avx2, bytes);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (simd, bytes);
}

#[cfg(target_arch = "x86_64")]
fearless_simd::kernel!(
    #[inline(always)]
    fn prefetch_lines(_avx2: Avx2, bytes: &[u8]) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

        const LINE_BYTES: usize = 64;
        for line in bytes.chunks(LINE_BYTES) {
            _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast());
        }
    }
);

#[cfg(target_arch = "x86_64")]
fearless_simd::kernel!(
    #[inline(always)]
    fn prefetch_number_lines(_avx2: Avx2, numbers: &[f32]) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

        const LINE_FLOATS: usize = 16;
        for line in numbers.chunks(LINE_FLOATS) {
            _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast());
        }
    }
);
