//! Optimizers and learning rates: from gradients to new parameters. They see slices, not what layers do with them.
//!
//! The definitions and defaults are PyTorch's (`torch/optim`, the path of single tensors). Settings are f64, as they are there:
//! what is derived from them (`1 - beta2`, the corrections of a bias) is computed in f64 and rounded once, for the arithmetic
//! on parameters is f32. See [`kernels::update`](crate::kernels::update) for the loop that all share.

mod adagrad;
mod adam;
mod adamax;
mod adamw;
pub mod clip;
mod domain;
#[cfg(test)]
mod golden;
mod list;
mod rmsprop;
pub mod schedule;
mod sgd;
mod state;
mod step;

use std::fmt;

use serde_json::{Map, Value};

use crate::error::Result;
use crate::kernels::SimdLevel;
use crate::nn::{Context, Sequential};

pub use adagrad::Adagrad;
pub use adam::Adam;
pub use adamax::Adamax;
pub use adamw::AdamW;
pub use clip::Clip;
pub use list::{Settings, build, names};
pub use rmsprop::RmsProp;
pub use schedule::Schedule;
pub use sgd::Sgd;
pub use state::OptimizerState;

type Make = fn(f32, &Settings) -> Box<dyn Optimizer>;

/// Every optimizer's name and how it is made of the settings it has: the one list. A new optimizer is a file and its lines
/// here.
const OPTIMIZERS: &[(&str, Make)] = &[
    ("sgd", |lr, settings| Box::new(Sgd::from_settings(lr, settings))),
    ("adam", |lr, settings| Box::new(Adam::from_settings(lr, settings))),
    ("adamw", |lr, settings| Box::new(AdamW::from_settings(lr, settings))),
    ("adamax", |lr, settings| Box::new(Adamax::from_settings(lr, settings))),
    ("rmsprop", |lr, settings| Box::new(RmsProp::from_settings(lr, settings))),
    ("adagrad", |lr, settings| Box::new(Adagrad::from_settings(lr, settings))),
];

/// A rule that moves parameters against their gradients. It holds settings; what it learns from step to step lies in
/// buffers that the caller keeps, see [`OptimizerState`].
pub trait Optimizer: fmt::Debug + Send + Sync {
    /// As `--optimizer` writes it.
    fn name(&self) -> &'static str;

    /// The learning rate that a schedule starts from.
    fn lr(&self) -> f32;

    /// Whether `weight_decay` applies to biases as well; as in PyTorch, it does unless told otherwise.
    fn decay_biases(&self) -> bool;

    /// Whether every setting is in its domain.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting), which names the first that is not.
    fn validate(&self) -> Result<()>;

    /// How many f32 buffers in the parameters' layout it keeps.
    fn slots(&self) -> usize;

    /// What slot number `slot` is filled with before the first step.
    fn initial(&self, _slot: usize) -> f32 {
        0.0
    }

    /// One step of a run of parameters. Every element is its own: any cut of the buffers, on any SIMD level, gives the same
    /// bits. What would be nearer to 0 than the smallest normal f32 is stored as 0, unless the optimizer
    /// [is plain](Self::is_plain).
    ///
    /// `params: [n]`, read and overwritten; `grads: [n]`, read; `slots`: [`Self::slots`] times `[n]`, read and overwritten.
    /// `lr` is this step's. `step` counts from 1. `decays` says whether `weight_decay` applies to these parameters.
    #[expect(clippy::too_many_arguments, reason = "three buffers, and what a step has beside them")]
    fn update(
        &self,
        level: SimdLevel,
        lr: f32,
        step: u64,
        decays: bool,
        params: &mut [f32],
        grads: &[f32],
        slots: &mut [&mut [f32]],
    );

    /// Whether a step is `w = fma(-lr, g, w)` and nothing else, so that it may be done where `g` is completed.
    fn is_plain(&self) -> bool {
        false
    }

    /// All settings under their Rust names, `lr` among them.
    fn settings(&self) -> Map<String, Value>;

    /// One step of a network with the gradients that it has, by the optimizer's own learning rate; for loops written by hand.
    fn step(&self, model: &mut Sequential, state: &mut OptimizerState, context: &Context) {
        state.step += 1;
        state.update(self, self.lr(), context.simd, model);
    }
}

/// The methods that set the fields of the same names.
macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $name(mut self, $name: $type) -> Self {
                self.$name = $name;
                self
            }
        )*
    };
}
use setters;

/// What every optimizer says of itself, from fields of these names.
macro_rules! getters {
    ($name:literal) => {
        fn name(&self) -> &'static str {
            $name
        }

        fn lr(&self) -> f32 {
            self.lr
        }

        fn decay_biases(&self) -> bool {
            self.decay_biases
        }

        fn settings(&self) -> serde_json::Map<String, serde_json::Value> {
            domain::fields(self)
        }
    };
}
use getters;
