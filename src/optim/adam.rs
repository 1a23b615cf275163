//! Adam (Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015), with AMSGrad (Reddi, Kale and Kumar, "On the
//! Convergence of Adam and Beyond", 2018) if asked for. As `torch.optim.Adam`: weight decay is added to the gradient.

use serde::Serialize;

use crate::error::Result;
use crate::kernels::SimdLevel;
use crate::kernels::lanes::Lanes;
use crate::kernels::update::{Rule, update};
use crate::optim::{Optimizer, Settings, domain, getters, setters};

/// In step `t`:
///
/// ```text
/// d = g + weight_decay w
/// m = beta1 m + (1 - beta1) d
/// v = beta2 v + (1 - beta2) d^2           (AMSGrad: the largest v so far is used below)
/// w = w - lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Adam {
    #[serde(serialize_with = "domain::shortest")]
    lr: f32,
    beta1: f64,
    beta2: f64,
    eps: f64,
    amsgrad: bool,
    weight_decay: f64,
    decay_biases: bool,
}

impl Adam {
    /// With betas of 0.9 and 0.999, an eps of 1e-8, and neither decay nor AMSGrad.
    pub fn new(lr: f32) -> Self {
        Adam { lr, beta1: 0.9, beta2: 0.999, eps: 1e-8, amsgrad: false, weight_decay: 0.0, decay_biases: true }
    }

    pub(super) fn from_settings(lr: f32, settings: &Settings) -> Self {
        let default = Self::new(lr);
        Adam {
            lr,
            beta1: settings.beta1.unwrap_or(default.beta1),
            beta2: settings.beta2.unwrap_or(default.beta2),
            eps: settings.eps.unwrap_or(default.eps),
            amsgrad: settings.amsgrad.unwrap_or(default.amsgrad),
            weight_decay: settings.weight_decay.unwrap_or(default.weight_decay),
            decay_biases: settings.decay_biases.unwrap_or(default.decay_biases),
        }
    }

    setters! {
        /// The share that the average of gradients keeps of itself.
        beta1: f64,
        /// The share that the average of squared gradients keeps of itself.
        beta2: f64,
        /// What is added to the divisor.
        eps: f64,
        /// Whether to divide by the largest average so far.
        amsgrad: bool,
        /// The share of a parameter that is added to its gradient.
        weight_decay: f64,
        /// Whether biases decay too.
        decay_biases: bool,
    }
}

impl Optimizer for Adam {
    getters!("adam");

    fn validate(&self) -> Result<()> {
        domain::positive("lr", self.lr.into())?;
        domain::share("beta1", self.beta1)?;
        domain::share("beta2", self.beta2)?;
        domain::positive("eps", self.eps)?;
        domain::not_negative("weight_decay", self.weight_decay)
    }

    fn slots(&self) -> usize {
        Moments::slots(self.amsgrad)
    }

    fn update(
        &self,
        level: SimdLevel,
        lr: f32,
        step: u64,
        decays: bool,
        params: &mut [f32],
        grads: &[f32],
        slots: &mut [&mut [f32]],
    ) {
        let mut rule = Moments::new(self.beta1, self.beta2, self.eps, lr, step);
        rule.weight_decay = if decays { self.weight_decay as f32 } else { 0.0 };
        rule.update(level, self.amsgrad, params, grads, slots);
    }
}

/// One step of Adam or AdamW: the settings and the step's number, as the factors that elements are multiplied by.
pub(super) struct Moments {
    one_minus_beta1: f32,
    one_minus_beta2: f32,
    eps: f32,
    /// `lr / (1 - beta1^t)`.
    step_size: f32,
    /// `1 / sqrt(1 - beta2^t)`.
    root_correction: f32,
    /// Of a parameter, added to its gradient.
    pub weight_decay: f32,
    /// Of a parameter, taken off it before it is moved. (A factor of `1 - shrinkage` would be rounded by up to 3e-8, in every
    /// step to the same side: 1.5e-6 of a parameter in fifty steps.)
    pub shrinkage: f32,
}

impl Moments {
    /// Without decay.
    pub fn new(beta1: f64, beta2: f64, eps: f64, lr: f32, step: u64) -> Self {
        Moments {
            one_minus_beta1: (1.0 - beta1) as f32,
            one_minus_beta2: (1.0 - beta2) as f32,
            eps: eps as f32,
            step_size: (f64::from(lr) / (1.0 - domain::power(beta1, step))) as f32,
            root_correction: (1.0 / (1.0 - domain::power(beta2, step)).sqrt()) as f32,
            weight_decay: 0.0,
            shrinkage: 0.0,
        }
    }

    pub fn slots(amsgrad: bool) -> usize {
        if amsgrad { 3 } else { 2 }
    }

    /// `slots`: m, v and, with AMSGrad, the largest v.
    pub fn update(&self, level: SimdLevel, amsgrad: bool, params: &mut [f32], grads: &[f32], slots: &mut [&mut [f32]]) {
        if amsgrad {
            update::<3>(level, self, params, grads, slots);
        } else {
            update::<2>(level, self, params, grads, slots);
        }
    }

    #[inline(always)]
    fn averages<V: Lanes>(&self, w: V, g: V, m: V, v: V) -> (V, V) {
        let d = w.fma_by(self.weight_decay, g);
        (m.towards(d, self.one_minus_beta1), v.towards(d * d, self.one_minus_beta2))
    }

    /// One square root and one division an element: the reciprocal that corrects the root is the step's, not the element's.
    #[inline(always)]
    fn moved<V: Lanes>(&self, w: V, m: V, v: V) -> V {
        let divisor = v.sqrt() * self.root_correction + self.eps;
        (m / divisor).fma_by(-self.step_size, w.fma_by(-self.shrinkage, w))
    }
}

impl Rule<2> for Moments {
    #[inline(always)]
    fn apply<V: Lanes>(&self, w: V, g: V, [m, v]: [V; 2]) -> (V, [V; 2]) {
        let (m, v) = self.averages(w, g, m, v);
        (self.moved(w, m, v), [m, v])
    }
}

impl Rule<3> for Moments {
    #[inline(always)]
    fn apply<V: Lanes>(&self, w: V, g: V, [m, v, largest]: [V; 3]) -> (V, [V; 3]) {
        let (m, v) = self.averages(w, g, m, v);
        let largest = largest.larger(v);
        (self.moved(w, m, largest), [m, v, largest])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The corrections cancel the betas in the first step: whatever the gradient's size, a parameter moves by `lr`.
    #[test]
    fn the_first_step_is_as_long_as_the_learning_rate() {
        let optimizer = Adam::new(0.25);
        let (mut w, mut m, mut v) = ([1.0, 1.0, 1.0], [0.0; 3], [0.0; 3]);
        optimizer.update(SimdLevel::detect(), 0.25, 1, true, &mut w, &[1e-3, -7.0, 0.0], &mut [&mut m, &mut v]);
        // eps is 1e-5 of the smallest gradient.
        for (found, expected) in w.into_iter().zip([0.75, 1.25, 1.0_f32]) {
            assert!((found - expected).abs() < 1e-5, "{found}, not {expected}");
        }
    }

    #[test]
    fn amsgrad_divides_by_the_largest_average() {
        let optimizer = Adam::new(0.1).beta2(0.5).amsgrad(true);
        let (mut w, mut m, mut v, mut largest) = ([0.0], [0.0], [0.0], [0.0]);
        for (step, g, expected) in [(1, 2.0, (2.0, 2.0)), (2, 0.0, (1.0, 2.0)), (3, 3.0, (5.0, 5.0))] {
            let slots = &mut [&mut m[..], &mut v, &mut largest];
            optimizer.update(SimdLevel::detect(), 0.1, step, true, &mut w, &[g], slots);
            assert_eq!((v[0], largest[0]), expected, "step {step}");
        }
    }
}
