//! Adamax (Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015, section 7.1). As `torch.optim.Adamax`.

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
/// u = max(beta2 u, |d| + eps)
/// w = w - lr / (1 - beta1^t) m / u
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Adamax {
    #[serde(serialize_with = "domain::shortest")]
    lr: f32,
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
    decay_biases: bool,
}

impl Adamax {
    /// With betas of 0.9 and 0.999, an eps of 1e-8, and no decay.
    pub fn new(lr: f32) -> Self {
        Adamax { lr, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, decay_biases: true }
    }

    pub(super) fn from_settings(lr: f32, settings: &Settings) -> Self {
        let default = Self::new(lr);
        Adamax {
            lr,
            beta1: settings.beta1.unwrap_or(default.beta1),
            beta2: settings.beta2.unwrap_or(default.beta2),
            eps: settings.eps.unwrap_or(default.eps),
            weight_decay: settings.weight_decay.unwrap_or(default.weight_decay),
            decay_biases: settings.decay_biases.unwrap_or(default.decay_biases),
        }
    }

    setters! {
        /// The share that the average of gradients keeps of itself.
        beta1: f64,
        /// The share that the largest gradient seen keeps of itself.
        beta2: f64,
        /// What is added to a gradient's size, so that nothing is divided by 0.
        eps: f64,
        /// The share of a parameter that is added to its gradient.
        weight_decay: f64,
        /// Whether biases decay too.
        decay_biases: bool,
    }
}

impl Optimizer for Adamax {
    getters!("adamax");

    fn validate(&self) -> Result<()> {
        domain::positive("lr", self.lr.into())?;
        domain::share("beta1", self.beta1)?;
        domain::share("beta2", self.beta2)?;
        domain::positive("eps", self.eps)?;
        domain::not_negative("weight_decay", self.weight_decay)
    }

    fn slots(&self) -> usize {
        2
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
        let rule = Largest {
            step_size: (f64::from(lr) / (1.0 - domain::power(self.beta1, step))) as f32,
            new_share: (1.0 - self.beta1) as f32,
            kept: self.beta2 as f32,
            eps: self.eps as f32,
            weight_decay: if decays { self.weight_decay as f32 } else { 0.0 },
        };
        update(level, &rule, params, grads, slots);
    }
}

struct Largest {
    step_size: f32,
    new_share: f32,
    kept: f32,
    eps: f32,
    weight_decay: f32,
}

impl Rule<2> for Largest {
    #[inline(always)]
    fn apply<V: Lanes>(&self, w: V, g: V, [m, u]: [V; 2]) -> (V, [V; 2]) {
        let d = w.fma_by(self.weight_decay, g);
        let m = m.towards(d, self.new_share);
        let u = (u * self.kept).larger(d.larger(d * -1.0) + self.eps);
        ((m / u).fma_by(-self.step_size, w), [m, u])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_measured_by_the_largest_gradient_that_is_not_forgotten() {
        let optimizer = Adamax::new(1.0).beta1(0.5).beta2(0.5).eps(1e-30);
        let (mut w, mut m, mut u) = ([10.0], [0.0], [0.0]);
        for (step, g, expected) in [(1, -8.0, [11.0, -4.0, 8.0]), (2, 2.0, [11.0 + 1.0 / 3.0, -1.0, 4.0])] {
            optimizer.update(SimdLevel::detect(), 1.0, step, true, &mut w, &[g], &mut [&mut m, &mut u]);
            assert!((w[0] - expected[0]).abs() < 1e-6, "{w:?}, not {}", expected[0]);
            assert_eq!([m[0], u[0]], expected[1..]);
        }
    }
}
