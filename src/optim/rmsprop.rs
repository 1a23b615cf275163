//! RMSprop (Tieleman and Hinton, "Lecture 6.5", 2012), centered as Graves has it ("Generating Sequences With Recurrent Neural
//! Networks", 2013) and with momentum if asked for. As `torch.optim.RMSprop`.

use serde::Serialize;

use crate::error::Result;
use crate::kernels::SimdLevel;
use crate::kernels::lanes::Lanes;
use crate::kernels::update::{Rule, update};
use crate::optim::{Optimizer, Settings, domain, getters, setters};

/// ```text
/// d = g + weight_decay w
/// s = alpha s + (1 - alpha) d^2
/// r = sqrt(s) + eps                       (centered: a = alpha a + (1 - alpha) d, r = sqrt(s - a^2) + eps)
/// w = w - lr d / r                        (momentum: b = momentum b + d / r, w = w - lr b)
/// ```
///
/// Rounding can take `s - a^2` below 0, where PyTorch's root is NaN; here it is 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RmsProp {
    #[serde(serialize_with = "domain::shortest")]
    lr: f32,
    alpha: f64,
    eps: f64,
    centered: bool,
    momentum: f64,
    weight_decay: f64,
    decay_biases: bool,
}

impl RmsProp {
    /// With an alpha of 0.99, an eps of 1e-8, neither centered nor with momentum or decay.
    pub fn new(lr: f32) -> Self {
        RmsProp { lr, alpha: 0.99, eps: 1e-8, centered: false, momentum: 0.0, weight_decay: 0.0, decay_biases: true }
    }

    pub(super) fn from_settings(lr: f32, settings: &Settings) -> Self {
        let default = Self::new(lr);
        RmsProp {
            lr,
            alpha: settings.alpha.unwrap_or(default.alpha),
            eps: settings.eps.unwrap_or(default.eps),
            centered: settings.centered.unwrap_or(default.centered),
            momentum: settings.momentum.unwrap_or(default.momentum),
            weight_decay: settings.weight_decay.unwrap_or(default.weight_decay),
            decay_biases: settings.decay_biases.unwrap_or(default.decay_biases),
        }
    }

    setters! {
        /// The share that the averages keep of themselves.
        alpha: f64,
        /// What is added to the divisor.
        eps: f64,
        /// Whether to divide by the gradient's standard deviation, not by the root of its mean square.
        centered: bool,
        /// The share of the last step's direction that is kept. 0: no momentum.
        momentum: f64,
        /// The share of a parameter that is added to its gradient.
        weight_decay: f64,
        /// Whether biases decay too.
        decay_biases: bool,
    }
}

impl Optimizer for RmsProp {
    getters!("rmsprop");

    fn validate(&self) -> Result<()> {
        domain::positive("lr", self.lr.into())?;
        domain::share("alpha", self.alpha)?;
        domain::positive("eps", self.eps)?;
        domain::share("momentum", self.momentum)?;
        domain::not_negative("weight_decay", self.weight_decay)
    }

    /// s; a, if centered; b, with momentum.
    fn slots(&self) -> usize {
        1 + usize::from(self.centered) + usize::from(self.momentum != 0.0)
    }

    fn update(
        &self,
        level: SimdLevel,
        lr: f32,
        _step: u64,
        decays: bool,
        params: &mut [f32],
        grads: &[f32],
        slots: &mut [&mut [f32]],
    ) {
        let factors = Factors {
            lr,
            one_minus_alpha: (1.0 - self.alpha) as f32,
            eps: self.eps as f32,
            momentum: self.momentum as f32,
            weight_decay: if decays { self.weight_decay as f32 } else { 0.0 },
        };
        match (self.centered, self.momentum != 0.0) {
            (false, false) => update(level, &Plain(factors), params, grads, slots),
            (true, false) => update(level, &Centered(factors), params, grads, slots),
            (false, true) => update(level, &Momentum(factors), params, grads, slots),
            (true, true) => update(level, &CenteredMomentum(factors), params, grads, slots),
        }
    }
}

struct Factors {
    lr: f32,
    one_minus_alpha: f32,
    eps: f32,
    momentum: f32,
    weight_decay: f32,
}

impl Factors {
    #[inline(always)]
    fn decayed<V: Lanes>(&self, w: V, g: V) -> V {
        w.fma_by(self.weight_decay, g)
    }

    #[inline(always)]
    fn average<V: Lanes>(&self, average: V, value: V) -> V {
        average.towards(value, self.one_minus_alpha)
    }

    /// `d / (sqrt(s) + eps)`.
    #[inline(always)]
    fn scaled<V: Lanes>(&self, d: V, s: V) -> V {
        d / (s.sqrt() + self.eps)
    }

    #[inline(always)]
    fn centered<V: Lanes>(&self, s: V, a: V) -> V {
        (a * -1.0).fma(a, s).at_least_zero()
    }
}

struct Plain(Factors);

impl Rule<1> for Plain {
    #[inline(always)]
    fn apply<V: Lanes>(&self, w: V, g: V, [s]: [V; 1]) -> (V, [V; 1]) {
        let d = self.0.decayed(w, g);
        let s = self.0.average(s, d * d);
        (self.0.scaled(d, s).fma_by(-self.0.lr, w), [s])
    }
}

struct Centered(Factors);

impl Rule<2> for Centered {
    #[inline(always)]
    fn apply<V: Lanes>(&self, w: V, g: V, [s, a]: [V; 2]) -> (V, [V; 2]) {
        let d = self.0.decayed(w, g);
        let (s, a) = (self.0.average(s, d * d), self.0.average(a, d));
        (self.0.scaled(d, self.0.centered(s, a)).fma_by(-self.0.lr, w), [s, a])
    }
}

struct Momentum(Factors);

impl Rule<2> for Momentum {
    #[inline(always)]
    fn apply<V: Lanes>(&self, w: V, g: V, [s, b]: [V; 2]) -> (V, [V; 2]) {
        let d = self.0.decayed(w, g);
        let s = self.0.average(s, d * d);
        let b = b.fma_by(self.0.momentum, self.0.scaled(d, s));
        (b.fma_by(-self.0.lr, w), [s, b])
    }
}

struct CenteredMomentum(Factors);

impl Rule<3> for CenteredMomentum {
    #[inline(always)]
    fn apply<V: Lanes>(&self, w: V, g: V, [s, a, b]: [V; 3]) -> (V, [V; 3]) {
        let d = self.0.decayed(w, g);
        let (s, a) = (self.0.average(s, d * d), self.0.average(a, d));
        let b = b.fma_by(self.0.momentum, self.0.scaled(d, self.0.centered(s, a)));
        (b.fma_by(-self.0.lr, w), [s, a, b])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::levels;

    /// A gradient that stays the same has no variance, and rounding takes what is left of it to either side of 0.
    #[test]
    fn a_constant_gradient_gives_no_nan() {
        let optimizer = RmsProp::new(1e-6).alpha(0.5).centered(true);
        let grads: Vec<f32> = (1..=64).map(|i| i as f32 / 7.0).collect();
        let mut below = 0;
        for level in levels() {
            let (mut w, mut s, mut a) = ([0.0; 64], [0.0; 64], [0.0; 64]);
            for step in 1..=60 {
                optimizer.update(level, 1e-6, step, true, &mut w, &grads, &mut [&mut s, &mut a]);
            }
            assert!(w.iter().all(|w| w.is_finite()), "{w:?}");
            below += s.iter().zip(&a).filter(|(s, a)| (-**a).mul_add(**a, **s) < 0.0).count();
        }
        assert!(below > 0, "no difference was below 0: the test has nothing to show");
    }
}
