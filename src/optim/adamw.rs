//! AdamW (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019). As `torch.optim.AdamW`.

use serde::Serialize;

use crate::error::Result;
use crate::kernels::SimdLevel;
use crate::optim::adam::Moments;
use crate::optim::{Optimizer, Settings, domain, getters, setters};

/// [`Adam`](crate::optim::Adam) whose decay does not pass through the averages: in step `t`,
///
/// ```text
/// m = beta1 m + (1 - beta1) g
/// v = beta2 v + (1 - beta2) g^2           (AMSGrad: the largest v so far is used below)
/// w = (1 - lr weight_decay) w - lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AdamW {
    #[serde(serialize_with = "domain::shortest")]
    lr: f32,
    beta1: f64,
    beta2: f64,
    eps: f64,
    amsgrad: bool,
    weight_decay: f64,
    decay_biases: bool,
}

impl AdamW {
    /// With betas of 0.9 and 0.999, an eps of 1e-8, a decay of 0.01, and without AMSGrad.
    pub fn new(lr: f32) -> Self {
        AdamW { lr, beta1: 0.9, beta2: 0.999, eps: 1e-8, amsgrad: false, weight_decay: 0.01, decay_biases: true }
    }

    pub(super) fn from_settings(lr: f32, settings: &Settings) -> Self {
        let default = Self::new(lr);
        AdamW {
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
        /// The share of a parameter that a step with a learning rate of 1 takes away.
        weight_decay: f64,
        /// Whether biases decay too.
        decay_biases: bool,
    }
}

impl Optimizer for AdamW {
    getters!("adamw");

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
        rule.shrinkage = if decays { (f64::from(lr) * self.weight_decay) as f32 } else { 0.0 };
        rule.update(level, self.amsgrad, params, grads, slots);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adam's own decay would pass through the averages, and a parameter of any size would move by `lr`.
    #[test]
    fn without_gradients_a_parameter_shrinks_by_a_fixed_share() {
        let optimizer = AdamW::new(0.5).weight_decay(0.5);
        let (mut w, mut m, mut v) = ([4.0, -16.0], [0.0; 2], [0.0; 2]);
        for step in 1..=2 {
            optimizer.update(SimdLevel::detect(), 0.5, step, true, &mut w, &[0.0; 2], &mut [&mut m, &mut v]);
        }
        assert_eq!((w, m, v), ([2.25, -9.0], [0.0; 2], [0.0; 2]));
    }
}
