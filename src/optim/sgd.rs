//! Mini-batch stochastic gradient descent.

use crate::error::{Error, Result};
use crate::kernels::pointwise;
use crate::nn::Sequential;

/// `W -= lr * dW`, the reference's update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgd {
    lr: f32,
}

impl Sgd {
    /// A learning rate that is not a positive finite number is an error.
    pub fn new(lr: f32) -> Result<Self> {
        if lr.is_finite() && lr > 0.0 {
            return Ok(Sgd { lr });
        }
        Err(Error::Setting { name: "lr", found: lr.to_string(), expected: "a positive finite number".into() })
    }

    pub fn lr(&self) -> f32 {
        self.lr
    }

    /// Moves every parameter that has a gradient.
    pub fn step(&self, model: &mut Sequential) {
        for linear in model.linears_mut() {
            linear.for_each_gradient(|level, parameters, gradient| {
                pointwise::sgd_step(level, self.lr, gradient, parameters);
            });
        }
    }
}
