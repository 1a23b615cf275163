//! Elementwise activations: one file each, with its operation and its oracle, one list of them, and one test for all.

mod formula;
mod gelu;
mod gelu_tanh;
mod leaky_relu;
mod relu;
mod sigmoid;
mod silu;
mod softplus;
mod tanh;

pub use formula::Formula;
pub use relu::{Relu, ReluGrad};

use std::fmt::Debug;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::kernels::SimdLevel;

/// Every activation: its name and what reads it. Another one is a file, its `mod` line, and a line here.
pub const ACTIVATIONS: &[(&str, Parser)] = &[
    ("relu", relu::parse),
    ("leaky-relu", leaky_relu::parse),
    ("tanh", tanh::parse),
    ("sigmoid", sigmoid::parse),
    ("gelu", gelu::parse),
    ("gelu-tanh", gelu_tanh::parse),
    ("silu", silu::parse),
    ("softplus", softplus::parse),
];

/// From what stands after the name's colon, if anything does, to the activation; or what is expected in its place.
pub type Parser = fn(Option<&str>, ReluGrad) -> std::result::Result<Arc<dyn Activation>, String>;

/// A function applied to every element. A NaN in `z` is a NaN in `y`; an element's bits depend on its own value only,
/// and are the same on every SIMD level.
pub trait Activation: Debug + Send + Sync {
    /// As `--layers` writes it, such as `leaky-relu:0.01`.
    fn spec(&self) -> String;

    /// `y = f(z)`. `z`, read, and `y`, overwritten: any shape, the same for both.
    fn forward(&self, level: SimdLevel, z: &[f32], y: &mut [f32]);

    /// `dz = dy f'(z)`. `z`, `y = f(z)`, `dy`, read, and `dz`, overwritten: any shape, the same for all.
    fn backward(&self, level: SimdLevel, z: &[f32], y: &[f32], dy: &[f32], dz: &mut [f32]);

    /// The oracle: `f(z)` in f64.
    fn reference(&self, z: f64) -> f64;

    /// `f'(z)` in f64; where the function has a kink, PyTorch's choice.
    fn reference_derivative(&self, z: f64) -> f64;

    /// How far `forward` may be from the oracle at finite `z`.
    fn error(&self) -> ErrorBound;

    /// How far `f'`, as `backward` multiplies by it, may be from the oracle.
    fn derivative_error(&self) -> ErrorBound;

    /// `f` as other programs' languages can say it.
    fn formula(&self) -> Formula;

    /// The module of `torch.nn` that computes it, as Python.
    fn torch(&self) -> String;
}

/// The sum of a relative and an absolute error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ErrorBound {
    /// Units in the last place of the f32 at the exact result.
    pub ulps: f64,
    /// For where the function passes through zero, or underflows.
    pub absolute: f64,
}

impl ErrorBound {
    /// Of what is only copied or compared.
    pub const EXACT: Self = ErrorBound { ulps: 0.0, absolute: 0.0 };
}

/// The activation that `text` names, such as `relu`, `leaky-relu` or `leaky-relu:0.2`; `relu_grad` is the backward of `relu`.
///
/// # Errors
/// [`Error::Setting`] under `layers` if `text` names none, or its parameter is outside its domain.
///
/// ```
/// use flatnet::kernels::activations::{ReluGrad, parse};
/// assert_eq!(parse("leaky-relu", ReluGrad::Exact)?.spec(), "leaky-relu:0.01");
/// # Ok::<(), flatnet::Error>(())
/// ```
pub fn parse(text: &str, relu_grad: ReluGrad) -> Result<Arc<dyn Activation>> {
    let (name, parameter) = match text.split_once(':') {
        Some((name, parameter)) => (name, Some(parameter)),
        None => (text, None),
    };
    let found = match ACTIVATIONS.iter().find(|(known, _)| *known == name) {
        Some((_, parser)) => parser(parameter, relu_grad),
        None => Err(known()),
    };
    found.map_err(|expected| Error::Setting { name: "layers", found: format!("'{text}'"), expected })
}

/// All names, for people.
fn known() -> String {
    let names: Vec<_> = ACTIVATIONS.iter().map(|(name, _)| *name).collect();
    let (last, others) = names.split_last().expect("the list is not empty");
    format!("{} or {last}", others.join(", "))
}

/// What the parser of an activation without a parameter does.
fn without_parameter(
    parameter: Option<&str>,
    activation: impl Activation + 'static,
) -> std::result::Result<Arc<dyn Activation>, String> {
    match parameter {
        None => Ok(Arc::new(activation)),
        Some(_) => Err(format!("{} without a colon: it has no parameter", activation.spec())),
    }
}

#[cfg(test)]
mod tests;
