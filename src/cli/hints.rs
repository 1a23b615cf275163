//! What the user says of a model file that another program wrote, and what had to be assumed of it. It knows flags and lines,
//! not how such a file is understood.

use std::path::Path;

use clap::Args;
use flatnet::data::Scale;
use flatnet::model_file::{self, Assumed, Between, Hints, Loaded};
use flatnet::{Error, Result};

use super::args::without_name;
use super::tell;

#[derive(Debug, Clone, Default, Args)]
pub struct HintArguments {
    /// What stands between linear layers: relu, tanh, ... as in train --layers,
    /// or none [default: relu]
    #[arg(long, value_name = "NAME", value_parser = between, help_heading = "Models of other programs")]
    pub activation: Option<Between>,
    /// Inputs are pixels, 0 to 255, times X: 1, 1/255, ...
    /// [default: unit, which is 1/255]
    #[arg(long, visible_alias = "scale", value_name = "X", value_parser = input_scale, conflicts_with = "normalize")]
    #[arg(help_heading = "Models of other programs", allow_hyphen_values = true)]
    pub input_scale: Option<Scale>,
    /// Inputs are (pixels / 255 - MEAN) / STD, torchvision's Normalize after
    /// ToTensor, such as 0.1307,0.3081 [default: none]
    #[arg(long, value_name = "MEAN,STD", value_parser = normalize, help_heading = "Models of other programs")]
    #[arg(allow_hyphen_values = true)]
    pub normalize: Option<Scale>,
}

impl HintArguments {
    pub fn are_given(&self) -> bool {
        self.activation.is_some() || self.input_scale.is_some() || self.normalize.is_some()
    }

    /// Reads a model, and tells what had to be assumed of it.
    pub fn load(&self, path: &Path) -> Result<Loaded> {
        let hints = Hints { activation: self.activation.clone(), scale: self.input_scale.or(self.normalize) };
        let loaded = model_file::load_with(path, &hints)?;
        let assumed = loaded.foreign.as_ref().map_or(&[][..], |foreign| &foreign.assumed);
        let told: Vec<String> = assumed.iter().filter_map(|what| told(*what, &loaded)).collect();
        if !told.is_empty() {
            tell("note", &format!("{} does not say everything: taken as {}", path.display(), told.join(", ")));
        }
        Ok(loaded)
    }
}

fn told(assumed: Assumed, loaded: &Loaded) -> Option<String> {
    match assumed {
        Assumed::Activation => Some(format!("{} (else --activation)", loaded.meta.layers)),
        Assumed::Scale => Some(format!("inputs {} (else --normalize or --input-scale)", loaded.meta.scale)),
        _ => None,
    }
}

fn between(text: &str) -> std::result::Result<Between, String> {
    text.parse().map_err(without_name)
}

fn input_scale(text: &str) -> std::result::Result<Scale, String> {
    let expected = || "expected a positive number or a fraction, such as 1 or 1/255, or unit".to_string();
    let factor = match (text, text.split_once('/')) {
        ("unit", _) => return Ok(Scale::Unit),
        (_, Some((above, below))) => {
            above.trim().parse::<f64>().ok().zip(below.trim().parse::<f64>().ok()).map(|(a, b)| a / b)
        }
        (_, None) => text.trim().parse().ok(),
    };
    let factor = factor.filter(|factor: &f64| factor.is_finite() && *factor > 0.0).ok_or_else(expected)?;
    if factor as f32 == (1.0_f64 / 255.0) as f32 {
        return Ok(Scale::Unit);
    }
    Scale::standard(0.0, (1.0 / (255.0 * factor)) as f32).map_err(|_| expected())
}

fn normalize(text: &str) -> std::result::Result<Scale, String> {
    let numbers: Option<Vec<f32>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[mean, std]) => Scale::standard(mean, std).map_err(|error| match error {
            Error::Shape { expected, .. } => format!("expected {expected}"),
            other => other.to_string(),
        }),
        _ => Err("expected a mean and a standard deviation of pixels / 255, such as 0.1307,0.3081".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_is_what_pixels_are_multiplied_by() {
        for (text, black, white) in
            [("1", 0.0, 255.0), ("2/255", 0.0, 2.0), ("0.5", 0.0, 127.5), ("unit", 0.0, 1.0), ("1/255", 0.0, 1.0)]
        {
            let scale = input_scale(text).unwrap();
            assert_eq!(scale.apply(0), black, "{text}");
            assert!((scale.apply(255) - white).abs() <= white * 2.0 * f32::EPSILON, "{text}: {}", scale.apply(255));
        }
        // As exactly as flatnet's own.
        assert_eq!((input_scale("1/255"), input_scale("0.00392156862745098")), (Ok(Scale::Unit), Ok(Scale::Unit)));
        assert_eq!(normalize("0.1307, 0.3081"), Ok(Scale::Standard { mean: 0.1307, std: 0.3081 }));
        for text in ["", "0", "-1", "x", "1/0", "nan", "inf", "1e300", "1/2/3"] {
            assert!(input_scale(text).is_err(), "{text}");
        }
        for text in ["", "0.5", "0,0", "0.5,-1", "a,b", "1,2,3", "nan,1", "0,1e39"] {
            assert!(normalize(text).is_err(), "{text}");
        }
    }
}
