//! Arithmetic on flat `&[f32]` with shapes as arguments. A kernel knows no threads, no layers and no `Result`: whoever
//! calls has checked the shapes. Each has a plain twin in [`mod@reference`] and is tested against it on every SIMD level.

mod aligned;
mod choice;
pub mod gemm;
mod level;
pub mod narrow;
pub mod occupancy;
pub mod panels;
mod peak;
pub mod pixels;
pub mod pointwise;
mod prefetch;
pub mod reference;
pub mod softmax;
#[cfg(test)]
pub(crate) mod testing;

pub use aligned::AlignedVec;
pub use choice::KernelChoice;
pub use level::{SimdChoice, SimdLevel};
pub use occupancy::{Features, InFull, SparseRows};
pub use peak::fma_peak_gflops;

/// Lanes of the vectors that kernels are written in, on every SIMD level: one algorithm, one order of summation. (Where a
/// row's zeros are left out, the vectors have the eight of [`occupancy::BLOCK`].)
pub const LANES: usize = 16;
