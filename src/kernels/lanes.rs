//! Arithmetic on several elements at once, for formulas that are written outside of this room: an optimizer's or a loss's
//! says what becomes of an element, not which instructions do it.
//!
//! Every operation is rounded as IEEE 754 asks, square root and division too, so all SIMD levels give the same bits.

use std::ops::{Add, Div, Mul, Sub};

use fearless_simd::{Simd, prelude::*};

/// Some numbers, each of another element.
pub trait Lanes:
    Copy
    + Add<Output = Self>
    + Add<f32, Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Mul<f32, Output = Self>
    + Div<Output = Self>
{
    /// `self * factor + addend` in one rounding.
    fn fma(self, factor: Self, addend: Self) -> Self;
    /// The same with one factor for all.
    fn fma_by(self, factor: f32, addend: Self) -> Self;
    /// `self + share * (target - self)`, the moving average that keeps `1 - share` of itself. So written, only the share is
    /// rounded to f32: next to a `1 - share` that is rounded too, an average that keeps 0.999 would settle at 1.3e-5 beside
    /// its mark. Between numbers that are not negative it gives none.
    #[inline(always)]
    fn towards(self, target: Self, share: f32) -> Self {
        (target - self).fma_by(share, self)
    }
    /// The square root; NaN below 0.
    fn sqrt(self) -> Self;
    /// The larger; NaN where `other` is.
    fn larger(self, other: Self) -> Self;
    /// 0 for what is below 0; NaN stays NaN.
    fn at_least_zero(self) -> Self;
    /// Without its sign.
    fn abs(self) -> Self;
    /// 1 above 0, -1 below, and 0, with its sign, or NaN as it is.
    fn sign(self) -> Self;
    /// `bound`, or `-bound` below that, for what lies beyond; NaN stays NaN. `bound` is above 0.
    fn limited(self, bound: f32) -> Self;
    /// 0 for what is nearer to 0 than the smallest normal f32. Else averages of gradients that have ended would shrink into
    /// the subnormal numbers and stay there, where x86 takes up to a hundred times as long for an operation.
    fn flushed(self) -> Self;
}

/// A vector of a level's own width.
#[derive(Clone, Copy)]
pub(super) struct Native<S: Simd>(pub(super) S::f32s);

macro_rules! operators {
    ($($operator:ident $method:ident $symbol:tt ($($scalar:ty)?);)*) => {
        $(
            impl<S: Simd> $operator for Native<S> {
                type Output = Self;

                #[inline(always)]
                fn $method(self, other: Self) -> Self {
                    Native(self.0 $symbol other.0)
                }
            }
            $(
                impl<S: Simd> $operator<$scalar> for Native<S> {
                    type Output = Self;

                    #[inline(always)]
                    fn $method(self, other: $scalar) -> Self {
                        Native(self.0 $symbol other)
                    }
                }
            )?
        )*
    };
}

operators! {
    Add add + (f32);
    Sub sub - ();
    Mul mul * (f32);
    Div div / ();
}

impl<S: Simd> Lanes for Native<S> {
    #[inline(always)]
    fn fma(self, factor: Self, addend: Self) -> Self {
        Native(self.0.mul_add_precise(factor.0, addend.0))
    }

    #[inline(always)]
    fn fma_by(self, factor: f32, addend: Self) -> Self {
        Native(self.0.mul_add_precise(factor, addend.0))
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        Native(self.0.sqrt())
    }

    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        Native(self.0.simd_ge(other.0).select(self.0, other.0))
    }

    #[inline(always)]
    fn at_least_zero(self) -> Self {
        let zero = S::f32s::splat(self.0.token(), 0.0);
        Native(self.0.simd_lt(zero).select(zero, self.0))
    }

    #[inline(always)]
    fn abs(self) -> Self {
        Native(self.0.abs())
    }

    #[inline(always)]
    fn sign(self) -> Self {
        let (zero, one) = (S::f32s::splat(self.0.token(), 0.0), S::f32s::splat(self.0.token(), 1.0));
        let not_above = self.0.simd_lt(zero).select(-one, self.0);
        Native(self.0.simd_gt(zero).select(one, not_above))
    }

    #[inline(always)]
    fn limited(self, bound: f32) -> Self {
        let bound = S::f32s::splat(self.0.token(), bound);
        let not_above = self.0.simd_gt(bound).select(bound, self.0);
        Native(self.0.simd_lt(-bound).select(-bound, not_above))
    }

    #[inline(always)]
    fn flushed(self) -> Self {
        let zero = S::f32s::splat(self.0.token(), 0.0);
        Native(self.0.abs().simd_lt(f32::MIN_POSITIVE).select(zero, self.0))
    }
}
