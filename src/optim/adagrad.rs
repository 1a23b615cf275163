//! Adagrad (Duchi, Hazan and Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization", 2011).
//! As `torch.optim.Adagrad`.

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
/// s = s + d^2                             (initial_accumulator_value before the first step)
/// w = w - lr / (1 + (t - 1) lr_decay) d / (sqrt(s) + eps)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Adagrad {
    #[serde(serialize_with = "domain::shortest")]
    lr: f32,
    lr_decay: f64,
    initial_accumulator_value: f64,
    eps: f64,
    weight_decay: f64,
    decay_biases: bool,
}

impl Adagrad {
    /// With an eps of 1e-10, an accumulator of 0, and no decay.
    pub fn new(lr: f32) -> Self {
        Adagrad { lr, lr_decay: 0.0, initial_accumulator_value: 0.0, eps: 1e-10, weight_decay: 0.0, decay_biases: true }
    }

    pub(super) fn from_settings(lr: f32, settings: &Settings) -> Self {
        let default = Self::new(lr);
        Adagrad {
            lr,
            lr_decay: settings.lr_decay.unwrap_or(default.lr_decay),
            initial_accumulator_value: settings.initial_accumulator_value.unwrap_or(default.initial_accumulator_value),
            eps: settings.eps.unwrap_or(default.eps),
            weight_decay: settings.weight_decay.unwrap_or(default.weight_decay),
            decay_biases: settings.decay_biases.unwrap_or(default.decay_biases),
        }
    }

    setters! {
        /// What a step adds to the divisor of the learning rate.
        lr_decay: f64,
        /// The sum of squares before the first step.
        initial_accumulator_value: f64,
        /// What is added to the divisor.
        eps: f64,
        /// The share of a parameter that is added to its gradient.
        weight_decay: f64,
        /// Whether biases decay too.
        decay_biases: bool,
    }
}

impl Optimizer for Adagrad {
    getters!("adagrad");

    fn validate(&self) -> Result<()> {
        domain::positive("lr", self.lr.into())?;
        domain::not_negative("lr_decay", self.lr_decay)?;
        domain::not_negative("initial_accumulator_value", self.initial_accumulator_value)?;
        domain::positive("eps", self.eps)?;
        domain::not_negative("weight_decay", self.weight_decay)
    }

    fn slots(&self) -> usize {
        1
    }

    fn initial(&self, _slot: usize) -> f32 {
        self.initial_accumulator_value as f32
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
        let rule = Sums {
            step_size: (f64::from(lr) / (1.0 + (step - 1) as f64 * self.lr_decay)) as f32,
            eps: self.eps as f32,
            weight_decay: if decays { self.weight_decay as f32 } else { 0.0 },
        };
        update(level, &rule, params, grads, slots);
    }
}

struct Sums {
    step_size: f32,
    eps: f32,
    weight_decay: f32,
}

impl Rule<1> for Sums {
    #[inline(always)]
    fn apply<V: Lanes>(&self, w: V, g: V, [s]: [V; 1]) -> (V, [V; 1]) {
        let d = w.fma_by(self.weight_decay, g);
        let s = d.fma(d, s);
        ((d / (s.sqrt() + self.eps)).fma_by(-self.step_size, w), [s])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_falls_with_steps_and_with_what_has_been_summed() {
        let optimizer = Adagrad::new(1.0).lr_decay(0.5).initial_accumulator_value(7.0);
        let (mut w, mut s) = ([10.0], [optimizer.initial(0)]);
        for (step, g, expected_s, expected_w) in [(1, 3.0, 16.0, 9.25), (3, -3.0, 25.0, 9.55_f32)] {
            optimizer.update(SimdLevel::detect(), 1.0, step, true, &mut w, &[g], &mut [&mut s]);
            assert_eq!(s, [expected_s]);
            assert!((w[0] - expected_w).abs() < 1e-6, "{w:?}, not {expected_w}");
        }
    }
}
