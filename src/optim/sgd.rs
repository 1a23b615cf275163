//! Stochastic gradient descent, plain or with momentum: Polyak's, or Nesterov's as Sutskever, Martens, Dahl and Hinton
//! write it ("On the importance of initialization and momentum in deep learning", 2013). As `torch.optim.SGD`.

use serde::Serialize;

use crate::error::Result;
use crate::kernels::lanes::Lanes;
use crate::kernels::update::{Rule, update};
use crate::kernels::{SimdLevel, pointwise};
use crate::optim::{Optimizer, Settings, domain, getters, setters};

/// ```text
/// d = g + weight_decay w
/// b = momentum b + (1 - dampening) d      (d itself in the first step)
/// w = w - lr b                            (Nesterov: w - lr (d + momentum b))
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Sgd {
    #[serde(serialize_with = "domain::shortest")]
    lr: f32,
    momentum: f64,
    nesterov: bool,
    dampening: f64,
    weight_decay: f64,
    decay_biases: bool,
}

impl Sgd {
    /// `W -= lr * dW`, the reference's update.
    pub fn new(lr: f32) -> Self {
        Sgd { lr, momentum: 0.0, nesterov: false, dampening: 0.0, weight_decay: 0.0, decay_biases: true }
    }

    pub(super) fn from_settings(lr: f32, settings: &Settings) -> Self {
        let default = Self::new(lr);
        Sgd {
            lr,
            momentum: settings.momentum.unwrap_or(default.momentum),
            nesterov: settings.nesterov.unwrap_or(default.nesterov),
            dampening: settings.dampening.unwrap_or(default.dampening),
            weight_decay: settings.weight_decay.unwrap_or(default.weight_decay),
            decay_biases: settings.decay_biases.unwrap_or(default.decay_biases),
        }
    }

    setters! {
        /// The share of the last step's direction that is kept. 0: no momentum.
        momentum: f64,
        /// Whether to step from where momentum alone would lead.
        nesterov: bool,
        /// The share of a gradient that does not enter the momentum.
        dampening: f64,
        /// The share of a parameter that is added to its gradient.
        weight_decay: f64,
        /// Whether biases decay too.
        decay_biases: bool,
    }
}

impl Optimizer for Sgd {
    getters!("sgd");

    fn validate(&self) -> Result<()> {
        domain::positive("lr", self.lr.into())?;
        domain::share("momentum", self.momentum)?;
        let dampening = (0.0..=1.0).contains(&self.dampening);
        domain::require(dampening, "dampening", self.dampening, "0 to 1")?;
        domain::not_negative("weight_decay", self.weight_decay)?;
        let nesterov = !self.nesterov || (self.momentum > 0.0 && self.dampening == 0.0);
        domain::require(nesterov, "nesterov", self.nesterov, "false, or a momentum above 0 and a dampening of 0")
    }

    fn slots(&self) -> usize {
        usize::from(self.momentum != 0.0)
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
        if self.is_plain() {
            return pointwise::sgd_step(level, lr, grads, params);
        }
        let weight_decay = if decays { self.weight_decay as f32 } else { 0.0 };
        if self.momentum == 0.0 {
            return update(level, &Decaying { lr, weight_decay }, params, grads, slots);
        }
        // 0 b + 1 d is d: the buffer holds 0 before the first step.
        let (kept, entering) = if step == 1 { (0.0, 1.0) } else { (self.momentum, 1.0 - self.dampening) };
        let (kept, entering) = (kept as f32, entering as f32);
        if self.nesterov {
            let rule = Nesterov { lr, weight_decay, kept, momentum: self.momentum as f32 };
            update(level, &rule, params, grads, slots);
        } else {
            update(level, &Momentum { lr, weight_decay, kept, entering }, params, grads, slots);
        }
    }

    fn is_plain(&self) -> bool {
        self.momentum == 0.0 && self.weight_decay == 0.0
    }
}

struct Decaying {
    lr: f32,
    weight_decay: f32,
}

impl Rule<0> for Decaying {
    #[inline(always)]
    fn apply<V: Lanes>(&self, w: V, g: V, _: [V; 0]) -> (V, [V; 0]) {
        let d = w.fma_by(self.weight_decay, g);
        (d.fma_by(-self.lr, w), [])
    }
}

struct Momentum {
    lr: f32,
    weight_decay: f32,
    kept: f32,
    entering: f32,
}

impl Rule<1> for Momentum {
    #[inline(always)]
    fn apply<V: Lanes>(&self, w: V, g: V, [b]: [V; 1]) -> (V, [V; 1]) {
        let d = w.fma_by(self.weight_decay, g);
        let b = b.fma_by(self.kept, d * self.entering);
        (b.fma_by(-self.lr, w), [b])
    }
}

struct Nesterov {
    lr: f32,
    weight_decay: f32,
    kept: f32,
    momentum: f32,
}

impl Rule<1> for Nesterov {
    #[inline(always)]
    fn apply<V: Lanes>(&self, w: V, g: V, [b]: [V; 1]) -> (V, [V; 1]) {
        let d = w.fma_by(self.weight_decay, g);
        let b = b.fma_by(self.kept, d);
        (b.fma_by(self.momentum, d).fma_by(-self.lr, w), [b])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One parameter, three steps, numbers that binary fractions hold: every line of the definition by hand.
    #[test]
    fn momentum_starts_with_the_gradient_and_dampening_after_it() {
        let optimizer = Sgd::new(0.5).momentum(0.5).dampening(0.25).weight_decay(0.5);
        let (mut w, mut b) = ([4.0], [0.0]);
        for (step, g, expected_b, expected_w) in [(1, 2.0, 4.0, 2.0), (2, 3.0, 5.0, -0.5), (3, 0.25, 2.5, -1.75)] {
            optimizer.update(SimdLevel::detect(), 0.5, step, true, &mut w, &[g], &mut [&mut b]);
            assert_eq!((b, w), ([expected_b], [expected_w]), "step {step}");
        }
    }

    #[test]
    fn nesterov_needs_momentum_that_is_not_dampened() {
        let optimizer = Sgd::new(0.1).nesterov(true);
        for invalid in [optimizer, optimizer.momentum(0.9).dampening(0.1)] {
            assert!(invalid.validate().unwrap_err().to_string().contains("nesterov"));
        }
        optimizer.momentum(0.9).validate().unwrap();
    }

    #[test]
    fn only_plain_descent_is_plain() {
        assert!(Sgd::new(0.1).is_plain());
        assert!(!Sgd::new(0.1).momentum(0.9).is_plain());
        assert!(!Sgd::new(0.1).weight_decay(1e-4).is_plain());
    }
}
