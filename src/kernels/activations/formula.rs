//! An activation as a formula, for those who write it down in another language. It knows functions of one number, not which
//! language that is.

use std::ops::{Add, Mul};

/// A function of `z`, made of what every language of networks has. Each is written so that no intermediate result is infinite
/// where the final one is not, and f32 keeps its digits.
#[derive(Debug, Clone, PartialEq)]
pub enum Formula {
    /// The input.
    Z,
    /// A number.
    Constant(f64),
    /// The sum of two.
    Sum(Box<Formula>, Box<Formula>),
    /// The product of two.
    Product(Box<Formula>, Box<Formula>),
    /// The larger of two.
    Larger(Box<Formula>, Box<Formula>),
    /// The smaller of two.
    Smaller(Box<Formula>, Box<Formula>),
    /// The absolute value.
    Magnitude(Box<Formula>),
    /// `e^a`.
    Exp(Box<Formula>),
    /// `ln(1 + a)`.
    LnOnePlus(Box<Formula>),
    /// The hyperbolic tangent.
    Tanh(Box<Formula>),
    /// `1 / (1 + e^-a)`.
    Sigmoid(Box<Formula>),
    /// The error function, `2/sqrt(pi)` times the integral of `exp(-t^2)` from 0.
    Erf(Box<Formula>),
}

impl Formula {
    /// The larger of the input and `least`.
    pub fn at_least(least: f64) -> Formula {
        Formula::Larger(Box::new(Formula::Z), Box::new(Formula::Constant(least)))
    }

    /// The smaller of the input and `most`.
    pub fn at_most(most: f64) -> Formula {
        Formula::Smaller(Box::new(Formula::Z), Box::new(Formula::Constant(most)))
    }

    /// A function of this one, such as `Formula::Tanh`.
    pub fn through(self, function: fn(Box<Formula>) -> Formula) -> Formula {
        function(Box::new(self))
    }
}

impl Add for Formula {
    type Output = Formula;

    fn add(self, other: Formula) -> Formula {
        Formula::Sum(Box::new(self), Box::new(other))
    }
}

impl Mul for Formula {
    type Output = Formula;

    fn mul(self, other: Formula) -> Formula {
        Formula::Product(Box::new(self), Box::new(other))
    }
}

impl From<f64> for Formula {
    fn from(number: f64) -> Formula {
        Formula::Constant(number)
    }
}
