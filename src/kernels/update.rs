//! The loop of every optimizer: an elementwise rule over parameters, gradients and the optimizer's own buffers. A rule is
//! written once, in [`Lanes`]; which instructions these become, and what an optimizer is, this file and its rules do not
//! know of each other.
//!
//! The end of a slice goes through the same code as the rest, so any cut of the buffers gives the same bits.

use fearless_simd::{Simd, prelude::*};

use crate::kernels::lanes::{Lanes, Native};
use crate::kernels::math::width;
use crate::kernels::{LANES, SimdLevel, dispatch};

/// What becomes of an element: its parameter, and its values in the `SLOTS` buffers that the optimizer keeps.
pub trait Rule<const SLOTS: usize> {
    /// The new parameter and slots. To be written `#[inline(always)]`.
    fn apply<V: Lanes>(&self, parameter: V, gradient: V, slots: [V; SLOTS]) -> (V, [V; SLOTS]);
}

/// Applies `rule` to every element; what it returns is [flushed](Lanes::flushed) before it is stored.
///
/// `params` and each of `slots`: any length, the same for all, read and overwritten; `grads`: likewise, read.
///
/// # Panics
/// If there are not `SLOTS` slots, or a length differs.
pub fn update<const SLOTS: usize>(
    level: SimdLevel,
    rule: &impl Rule<SLOTS>,
    params: &mut [f32],
    grads: &[f32],
    slots: &mut [&mut [f32]],
) {
    let slots: &mut [&mut [f32]; SLOTS] = slots.try_into().expect("as many slots as the optimizer has");
    assert!(
        slots.iter().all(|slot| slot.len() == params.len()) && grads.len() == params.len(),
        "buffers of one length"
    );
    let (blocks, tail) = params.as_chunks_mut::<LANES>();
    let (grad_blocks, grad_tail) = grads.as_chunks::<LANES>();
    let mut slots = slots.each_mut().map(|slot| slot.as_chunks_mut::<LANES>());
    update_blocks(level, rule, blocks, grad_blocks, slots.each_mut().map(|(blocks, _)| &mut **blocks));
    if tail.is_empty() {
        return;
    }
    // A block of its own, filled up with zeros.
    let filled_up = |tail: &[f32]| {
        let mut block = [[0.0; LANES]];
        block[0][..tail.len()].copy_from_slice(tail);
        block
    };
    let mut last = filled_up(tail);
    let mut last_slots = slots.each_ref().map(|(_, tail)| filled_up(tail));
    update_blocks(level, rule, &mut last, &filled_up(grad_tail), last_slots.each_mut().map(|slot| &mut slot[..]));
    tail.copy_from_slice(&last[0][..tail.len()]);
    for ((_, tail), last) in slots.iter_mut().zip(&last_slots) {
        tail.copy_from_slice(&last[0][..tail.len()]);
    }
}

fn update_blocks<const SLOTS: usize>(
    level: SimdLevel,
    rule: &impl Rule<SLOTS>,
    params: &mut [[f32; LANES]],
    grads: &[[f32; LANES]],
    slots: [&mut [[f32; LANES]]; SLOTS],
) {
    dispatch!(level, simd => update_blocks_at(simd, rule, params, grads, slots));
}

#[inline(always)]
fn update_blocks_at<S: Simd, const SLOTS: usize>(
    simd: S,
    rule: &impl Rule<SLOTS>,
    params: &mut [[f32; LANES]],
    grads: &[[f32; LANES]],
    slots: [&mut [[f32; LANES]]; SLOTS],
) {
    // Cut to one length, so that no index is checked in the loop.
    let count = params.len() * LANES;
    let (params, grads) = (params.as_flattened_mut(), &grads.as_flattened()[..count]);
    let mut slots = slots.map(
        #[inline(always)]
        |slot| &mut slot.as_flattened_mut()[..count],
    );
    for start in (0..count).step_by(width::<S>()) {
        let lanes = start..start + width::<S>();
        let old = std::array::from_fn(
            #[inline(always)]
            |slot| load(simd, &slots[slot][lanes.clone()]),
        );
        let (parameter, gradient) = (load(simd, &params[lanes.clone()]), load(simd, &grads[lanes.clone()]));
        let (parameter, new) = rule.apply(parameter, gradient, old);
        parameter.flushed().0.store_slice(&mut params[lanes.clone()]);
        for (slot, new) in slots.iter_mut().zip(new) {
            new.flushed().0.store_slice(&mut slot[lanes.clone()]);
        }
    }
}

#[inline(always)]
fn load<S: Simd>(simd: S, values: &[f32]) -> Native<S> {
    Native(S::f32s::from_slice(simd, values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{levels, random};

    /// One use of every operation.
    struct Everything;

    impl Rule<2> for Everything {
        #[inline(always)]
        fn apply<V: Lanes>(&self, w: V, g: V, [a, b]: [V; 2]) -> (V, [V; 2]) {
            let a = a.fma_by(0.75, g * g);
            ((w.fma(g, b) - g * 0.5) / (a.sqrt() + 0.25), [a.larger(b), (b + g).at_least_zero()])
        }
    }

    fn by_hand(w: f32, g: f32, [a, b]: [f32; 2]) -> [f32; 3] {
        let a = a.mul_add(0.75, g * g);
        [(w.mul_add(g, b) - g * 0.5) / (a.sqrt() + 0.25), a.max(b), (b + g).max(0.0)]
    }

    #[test]
    fn every_operation_is_rounded_as_ieee_754_asks() {
        for len in [0, 1, 15, 16, 17, 33, 100] {
            let (w, g, b) = (random(len, 1), random(len, 2), random(len, 4));
            let a: Vec<f32> = random(len, 3).iter().map(|a| a.abs()).collect();
            for level in levels() {
                let (mut found, mut a_found, mut b_found) = (w.clone(), a.clone(), b.clone());
                update(level, &Everything, &mut found, &g, &mut [&mut a_found, &mut b_found]);
                for i in 0..len {
                    let found = [found[i], a_found[i], b_found[i]];
                    assert_eq!(found, by_hand(w[i], g[i], [a[i], b[i]]), "{} at {i} of {len}", level.name());
                }
            }
        }
    }

    struct Keep;

    impl Rule<1> for Keep {
        #[inline(always)]
        fn apply<V: Lanes>(&self, w: V, g: V, [a]: [V; 1]) -> (V, [V; 1]) {
            (w.larger(g), [a.at_least_zero()])
        }
    }

    #[test]
    fn what_is_no_normal_number_becomes_zero_or_stays_nan() {
        let small = f32::MIN_POSITIVE;
        let under = f32::from_bits(small.to_bits() - 1);
        let cases = [
            (small, small),
            (-small, -small),
            (under, 0.0),
            (-under, 0.0),
            (1e-45, 0.0),
            (f32::INFINITY, f32::INFINITY),
        ];
        for level in levels() {
            for (value, expected) in cases {
                let (mut w, mut a) = ([value; 17], [value; 17]);
                update(level, &Keep, &mut w, &[f32::NEG_INFINITY; 17], &mut [&mut a]);
                assert_eq!((w, a), ([expected; 17], [expected.max(0.0); 17]), "{value:e}");
            }
            let (mut w, mut a) = ([1.0; 17], [f32::NAN; 17]);
            update(level, &Keep, &mut w, &[f32::NAN; 17], &mut [&mut a]);
            assert!(w.iter().chain(&a).all(|value| value.is_nan()), "{w:?} {a:?}");
        }
    }
}
