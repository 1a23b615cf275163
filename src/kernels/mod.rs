//! Arithmetic on flat `&[f32]` with shapes as arguments. A kernel knows no threads, no layers and no `Result`: whoever
//! calls has checked the shapes. Each has a plain twin in [`mod@reference`] and is tested against it on every SIMD level.

pub mod activations;
mod aligned;
pub mod bit_rows;
mod choice;
pub mod compressed;
pub mod dropout;
pub(crate) mod erf;
pub mod gemm;
pub mod lanes;
mod level;
pub mod losses;
pub(crate) mod math;
pub mod narrow;
pub mod packed;
pub mod panels;
mod peak;
pub mod pixels;
pub mod pointwise;
pub(crate) mod prefetch;
pub mod reference;
pub mod softmax;
pub mod sparse;
#[cfg(test)]
pub(crate) mod testing;
pub mod update;
pub mod wide;

pub use aligned::AlignedVec;
pub use choice::KernelChoice;
pub(crate) use level::dispatch;
pub use level::{SimdChoice, SimdLevel};
pub use peak::fma_peak_gflops;
pub use sparse::{BitRows, FewRows, Rows, SparseRows};

/// Lanes of the vectors that kernels are written in, on every SIMD level: one algorithm, one order of summation. (Where a
/// row's zeros are left out, the vectors have the eight of [`sparse::BLOCK`].)
pub const LANES: usize = 16;

/// What becomes of a product.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Output {
    /// `c = a b`; what `c` held is not read, so it may be anything, NaN included.
    Overwrite,
    /// `c += a b`.
    Accumulate,
    /// `c = fma(-lr, a b, c)`: a step of plain gradient descent, where `a b` is the gradient with respect to `c`. Every sum is
    /// complete, and rounded, before it meets `c`: the bits are those of storing the gradient and taking the step afterwards.
    Descend {
        /// Learning rate.
        lr: f32,
    },
}
