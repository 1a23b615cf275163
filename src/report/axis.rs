//! The scale of one axis: which values it spans, where its ticks stand, and what they say; and two of them drawn. It knows
//! numbers and pixels, not what is measured.

use std::fmt::Write;

use super::words::{grouped, significant};

/// A scale from values to pixels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    pub least: f64,
    pub most: f64,
    pub log: bool,
    /// Pixels of `least` and of `most`.
    pub pixels: (f64, f64),
}

/// A value that an axis marks, and the text beside it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    pub value: f64,
    pub text: String,
}

/// An axis with all that stands beside it.
#[derive(Debug)]
pub(super) struct Labelled<'a> {
    pub axis: &'a Axis,
    pub ticks: Vec<Tick>,
    /// As it may stand in SVG.
    pub title: &'a str,
}

/// Where the largest value is more than so many times the least, equal ratios get equal lengths.
const LOG_FROM_RATIO: f64 = 30.0;
/// Losses beyond it are all the same, and their squares are still numbers; below its inverse they are all 0.
const MOST: f64 = 1e150;
/// A logarithmic axis goes down to this share of its largest value; what lies below is drawn at its end.
const LOG_DEPTH: f64 = 1e-6;

impl Axis {
    /// An axis of exactly these ends, which differ.
    pub fn exact(least: f64, most: f64, pixels: (f64, f64)) -> Axis {
        Axis { least, most, log: false, pixels }
    }

    /// An axis with some room around `least` and `most`, but not beyond `limits`.
    pub fn around(least: f64, most: f64, limits: (f64, f64), pixels: (f64, f64)) -> Axis {
        let (least, most) = (least.clamp(-MOST, MOST), most.clamp(-MOST, MOST));
        let room = match most - least {
            width if width > 0.0 => width * 0.04,
            _ if most == 0.0 => 1.0,
            _ => most.abs() * 0.1,
        };
        let (low, high) = ((least - room).max(limits.0), (most + room).min(limits.1));
        // Both may stand at a limit: a loss of 0 throughout.
        let high = if high - low > 1.0 / MOST { high } else { low + low.abs().max(1.0) };
        Axis { least: low, most: high, log: false, pixels }
    }

    /// As [`Axis::around`] for values above 0, logarithmic where they are of very different size.
    pub fn around_positive(least: f64, most: f64, pixels: (f64, f64)) -> Axis {
        let (least, most) = (least.min(MOST), most.min(MOST));
        if most > 1.0 / MOST && most / least.max(0.0) > LOG_FROM_RATIO {
            Axis { least: least.max(most * LOG_DEPTH) / 1.1, most: most * 1.1, log: true, pixels }
        } else {
            Axis::around(least, most, (0.0, f64::INFINITY), pixels)
        }
    }

    /// The pixel of `value`, at an end of the axis where the value lies beyond it.
    pub fn pixel(&self, value: f64) -> f64 {
        let value = value.clamp(self.least, self.most);
        let share = if self.log {
            (value / self.least).ln() / (self.most / self.least).ln()
        } else {
            (value - self.least) / (self.most - self.least)
        };
        self.pixels.0 + share * (self.pixels.1 - self.pixels.0)
    }

    /// At most about `wanted` round values within the axis. `whole`: only whole numbers make sense.
    pub fn ticks(&self, wanted: usize, whole: bool) -> Vec<Tick> {
        if self.log { self.log_ticks(wanted) } else { self.linear_ticks(wanted, whole) }
    }

    fn linear_ticks(&self, wanted: usize, whole: bool) -> Vec<Tick> {
        let rough = (self.most - self.least) / wanted.max(1) as f64;
        let decade = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|round| round * decade).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(rough).max(if whole { 1.0 } else { 0.0 });
        let decimals = (-(step * 1.001).log10().floor()).clamp(0.0, 12.0) as usize;
        let first = (self.least / step - 1e-9).ceil();
        let values = (0..100).map(|index| (first + f64::from(index)) * step);
        values
            .take_while(|value| *value <= self.most + step * 1e-9)
            .map(|value| {
                let text = match decimals {
                    _ if !(1e-6..1e15).contains(&step) => significant(value, 4),
                    0 => grouped(value.round().abs() as usize),
                    _ => format!("{value:.decimals$}"),
                };
                Tick { value, text }
            })
            .collect()
    }

    fn log_ticks(&self, wanted: usize) -> Vec<Tick> {
        let (lowest, highest) = (self.least.log10().floor() as i32, self.most.log10().ceil() as i32);
        let within = |steps: &[f64]| -> Vec<f64> {
            (lowest..=highest)
                .flat_map(|decade| steps.iter().map(move |step| step * 10f64.powi(decade)))
                .filter(|value| (self.least..=self.most).contains(value))
                .collect()
        };
        let candidates = [within(&[1.0, 2.0, 5.0]), within(&[1.0, 3.0]), within(&[1.0])];
        let values = candidates.iter().find(|values| values.len() <= wanted + 2).unwrap_or(&candidates[2]);
        values.iter().map(|&value| Tick { value, text: significant(value, 2) }).collect()
    }
}

/// Draws the grid, the frame and the texts of two axes that end at the edges of `plot`: left, right, top and bottom.
pub(super) fn draw(svg: &mut String, plot: [f64; 4], x: &Labelled<'_>, y: &Labelled<'_>) {
    let [left, right, top, bottom] = plot;
    svg.push_str("<path class=\"grid\" d=\"");
    // Writing into a String cannot fail.
    for tick in &x.ticks {
        let _ = write!(svg, "M{} {top}V{bottom}", pixel(x.axis.pixel(tick.value)));
    }
    for tick in &y.ticks {
        let _ = write!(svg, "M{left} {}H{right}", pixel(y.axis.pixel(tick.value)));
    }
    let _ = write!(svg, "\"/><path class=\"frame\" d=\"M{left} {top}V{bottom}H{right}\"/>");
    for tick in &x.ticks {
        let (at, below) = (pixel(x.axis.pixel(tick.value)), bottom + 17.0);
        let _ = write!(svg, "<text class=\"middle\" x=\"{at}\" y=\"{below}\">{}</text>", tick.text);
    }
    for tick in &y.ticks {
        let (beside, at) = (left - 6.0, pixel(y.axis.pixel(tick.value) + 4.0));
        let _ = write!(svg, "<text class=\"end\" x=\"{beside}\" y=\"{at}\">{}</text>", tick.text);
    }
    let _ = write!(
        svg,
        "<text class=\"middle\" x=\"{}\" y=\"{}\">{}</text><text x=\"10\" y=\"{}\">{}</text>",
        (left + right) / 2.0,
        bottom + 37.0,
        x.title,
        top - 16.0,
        y.title,
    );
}

/// A tenth of a pixel is finer than any screen shows.
pub(super) fn pixel(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIXELS: (f64, f64) = (0.0, 100.0);

    fn texts(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().map(|tick| &*tick.text).collect()
    }

    #[test]
    fn ticks_are_round_and_within_the_axis() {
        for (axis, whole, expected) in [
            (Axis::exact(0.0, 219_000.0, PIXELS), true, &["0", "50,000", "100,000", "150,000", "200,000"][..]),
            (Axis::exact(1.0, 200.0, PIXELS), true, &["50", "100", "150", "200"]),
            (Axis::exact(1.0, 2.0, PIXELS), true, &["1", "2"]),
            (Axis::exact(1.0, 2.0, PIXELS), false, &["1.0", "1.2", "1.4", "1.6", "1.8", "2.0"]),
            (Axis::around(0.237, 0.643, (0.0, 9.0), PIXELS), false, &["0.3", "0.4", "0.5", "0.6"]),
            (Axis::around_positive(0.02, 2.5, PIXELS), false, &["0.02", "0.05", "0.1", "0.2", "0.5", "1", "2"]),
            (Axis::around_positive(0.0, 2.5, PIXELS), false, &["0.00001", "0.0001", "0.001", "0.01", "0.1", "1"]),
            (Axis::around(0.0, 0.0, (0.0, 9.0), PIXELS), false, &["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
            (Axis::exact(0.0, 4e20, PIXELS), false, &["0", "1e20", "2e20", "3e20", "4e20"]),
        ] {
            assert_eq!(texts(&axis.ticks(5, whole)), expected, "{axis:?}");
        }
    }

    #[test]
    fn values_of_any_size_give_a_usable_axis() {
        let values = [0.0, 5e-324, 1e-300, 1e-151, 1e-30, 0.5, 1.0, 1e30, 1e149, 1.7e308, f64::MAX];
        for (value, most) in values.iter().flat_map(|value| values.map(|most| (*value, value.max(most)))) {
            for axis in [
                Axis::around(value, most, (0.0, f64::INFINITY), PIXELS),
                Axis::around(-most, value, (f64::NEG_INFINITY, f64::INFINITY), PIXELS),
                Axis::around_positive(value, most, PIXELS),
            ] {
                assert!(axis.least < axis.most && (axis.most - axis.least).is_finite(), "{axis:?}");
                let pixel = axis.pixel(value);
                assert!((0.0..=100.0).contains(&pixel), "{axis:?}: {pixel}");
                let ticks = axis.ticks(5, false);
                assert!(ticks.len() <= 12 && ticks.iter().all(|tick| tick.value.is_finite()), "{axis:?}");
            }
        }
    }

    #[test]
    fn equal_ratios_have_equal_lengths_on_a_log_axis() {
        let axis = Axis::around_positive(0.01, 10.0, PIXELS);
        assert!(axis.log);
        let step = axis.pixel(0.1) - axis.pixel(0.01);
        assert!((axis.pixel(1.0) - axis.pixel(0.1) - step).abs() < 1e-9);
        assert_eq!((axis.pixel(0.0), axis.pixel(1e9)), (0.0, 100.0));
        assert!(!Axis::around_positive(0.24, 0.65, PIXELS).log);
    }
}
