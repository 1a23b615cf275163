//! The weights of a network's first layer as pictures, for a page and as a file. It knows networks, not pages.

use std::fmt::Write;

use super::graph;
use super::markup::escape;
use super::names::shown_name;
use super::pictures::{full_strength, weight_paths, weights};
use super::words::{grouped, significant};
use crate::nn::{Linear, Sequential};

/// Units that are drawn, and pixels in all: a page stays small enough to open.
const MAX_UNITS: usize = 48;
const MAX_PIXELS: usize = 40_000;
/// Of a name below a picture.
const NAME_COLUMNS: usize = 14;

/// What is drawn of a network.
struct Pictured<'a> {
    layer: &'a Linear,
    size: (usize, usize),
    /// At most this many of its units.
    units: usize,
    /// Of these units: `[units, in_features]`.
    weights: Vec<f32>,
    /// The size of a weight from which on it has full strength.
    full: f32,
    /// Whether the units are the outputs, and what those are called, if they have names.
    outputs: bool,
    names: &'a [String],
}

impl<'a> Pictured<'a> {
    fn of(model: &'a Sequential, size: (usize, usize), names: &'a [String]) -> Option<Pictured<'a>> {
        let layer = model.linears().next()?;
        let units = layer.out_features().min(MAX_UNITS).min(MAX_PIXELS / layer.in_features().max(1));
        let fits = size.0.checked_mul(size.1) == Some(layer.in_features());
        if units == 0 || !fits {
            return None;
        }
        let mut weights = model.parameters().next()?.values();
        weights.truncate(units * layer.in_features());
        let (full, outputs) = (full_strength(&weights), model.linears().count() == 1);
        Some(Pictured { layer, size, units, weights, full, outputs, names })
    }

    fn name(&self, unit: usize) -> String {
        match self.names.get(unit).filter(|_| self.outputs) {
            // Classes without names are their numbers.
            Some(name) if *name != unit.to_string() => shown_name(name, NAME_COLUMNS),
            _ if self.outputs => format!("class {unit}"),
            _ => format!("unit {unit}"),
        }
    }

    fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.weights.chunks_exact(self.layer.in_features())
    }

    fn title(&self) -> String {
        let (units, of) = (self.units, self.layer.out_features());
        let what = if self.size.0 > 1 { "class" } else { "output" };
        match self.outputs {
            true if units == of => format!("The weights of each {what}"),
            true => format!("The weights of the first {units} of {} outputs", grouped(of)),
            false if units == of => format!("The weights of the first layer's {units} units"),
            false => format!("The weights of the first {units} of the first layer's {} units", grouped(of)),
        }
    }
}

/// The part of a page; it says so where the weights are too many to be drawn.
pub(super) fn section(model: &Sequential, size: (usize, usize), names: &[String]) -> String {
    let Some(pictured) = Pictured::of(model, size, names) else {
        return format!(
            "<h2>Weights</h2><p class=\"soft\">Left out: a picture of {} weights would be too large.</p>",
            grouped(model.in_features())
        );
    };
    let mut html = format!("<h2>{}</h2><div class=\"panel\"><div class=\"pictures\">", pictured.title());
    for (unit, row) in pictured.rows().enumerate() {
        let name = pictured.name(unit);
        let picture = weights(row, pictured.size, pictured.full, &format!("weights of {name}"));
        // A strip of one pixel to an input is stretched to a height that can be seen.
        let picture = match pictured.size {
            (1, _) => picture.replacen("<svg class=\"", "<svg preserveAspectRatio=\"none\" class=\"strip ", 1),
            _ => picture,
        };
        let name = escape(&name);
        let _ = write!(html, "<figure>{picture}<figcaption>{name}</figcaption></figure>");
    }
    let (ramp, full) = (weights(&ramp(), (1, RAMP), 1.0, "blue to red"), significant(f64::from(pictured.full), 2));
    let ramp = ramp.replace("<svg ", "<svg preserveAspectRatio=\"none\" ");
    let _ = write!(html, "</div><div class=\"scale\">\u{2212}{full} {ramp} +{full} per input</div></div>");
    html
}

const RAMP: usize = 33;

/// From -1 to 1.
fn ramp() -> Vec<f32> {
    (0..RAMP).map(|step| step as f32 / (RAMP / 2) as f32 - 1.0).collect()
}

/// The pictures as an SVG file of their own; `None` where there would be too many pixels.
pub(super) fn file(model: &Sequential, size: (usize, usize), names: &[String]) -> Option<String> {
    const COLUMNS: usize = 5;
    const CELL: f64 = 112.0;
    const GAP: f64 = 16.0;
    const STRIP: f64 = 16.0;
    let pictured = Pictured::of(model, size, names)?;
    let scale = CELL / size.0.max(size.1) as f64;
    // A strip of one pixel to an input is stretched to a height that can be seen.
    let scale_y = if size.0 == 1 { STRIP } else { scale };
    let columns = COLUMNS.min(pictured.units);
    let width = GAP + columns as f64 * (CELL + GAP);
    let cell_height = if size.0 == 1 { STRIP } else { CELL };
    let height = 40.0 + pictured.units.div_ceil(columns) as f64 * (cell_height + 30.0) + 34.0;
    // A title needs room of its own, however few the pictures are.
    let width = width.max(460.0);
    let title = pictured.title();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" class=\"graph\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\"><style>{}</style><title>{title}</title>\
         <rect class=\"ground\" width=\"{width}\" height=\"{height}\"/><text class=\"title\" x=\"{GAP}\" y=\"24\">{title}</text>",
        graph::STYLE
    );
    for (unit, row) in pictured.rows().enumerate() {
        let (x, y) =
            (GAP + (unit % columns) as f64 * (CELL + GAP), 40.0 + (unit / columns) as f64 * (cell_height + 30.0));
        let (wide, high) = (size.1 as f64 * scale, size.0 as f64 * scale_y);
        let _ = writeln!(
            svg,
            "<g transform=\"translate({x} {y})\"><g transform=\"scale({scale} {scale_y})\" shape-rendering=\"crispEdges\">{}</g>\
             <path class=\"grid\" d=\"M0 0H{wide}V{high}H0z\"/>\
             <text class=\"middle\" x=\"{}\" y=\"{}\">{}</text></g>",
            weight_paths(row, size, pictured.full),
            wide / 2.0,
            high + 16.0,
            escape(&pictured.name(unit)),
        );
    }
    let (full, y) = (significant(f64::from(pictured.full), 2), height - 22.0);
    let _ = writeln!(
        svg,
        "<text class=\"end\" x=\"{}\" y=\"{}\">\u{2212}{full}</text><g transform=\"translate({} {y}) scale(4 12)\">{}</g>\
         <text x=\"{}\" y=\"{}\">+{full} per input</text></svg>",
        GAP + 42.0,
        y + 10.0,
        GAP + 50.0,
        weight_paths(&ramp(), (1, RAMP), 1.0),
        GAP + 58.0 + 4.0 * RAMP as f64,
        y + 10.0,
    );
    Some(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(in_features: usize, layers: &str) -> Sequential {
        Sequential::new(in_features).layers(&layers.parse().unwrap()).build(0).unwrap()
    }

    #[test]
    fn a_picture_per_class_or_per_unit() {
        for (layers, pictures, title) in [
            ("linear:10,relu", 10, "The weights of each class"),
            ("linear:20,relu,linear:10", 20, "The weights of the first layer's 20 units"),
            ("linear:1000,relu,linear:10", 48, "The weights of the first 48 of the first layer's 1,000 units"),
        ] {
            let model = model(784, layers);
            let (html, svg) = (section(&model, (28, 28), &[]), file(&model, (28, 28), &[]).unwrap());
            assert_eq!(html.matches("<figcaption>").count(), pictures);
            assert_eq!(svg.matches("class=\"middle\"").count(), pictures);
            assert!(html.contains(title) && svg.contains(title));
            assert!(html.len() < 450_000 && svg.len() < 450_000, "{} {}", html.len(), svg.len());
        }
    }

    #[test]
    fn outputs_of_a_table_have_their_names_and_strips_a_height() {
        let names = ["<price>".to_string(), "1".into()];
        let (table, hidden) = (model(30, "linear:2"), model(30, "linear:2,relu,linear:2"));
        let (html, svg) = (section(&table, (1, 30), &names), file(&table, (1, 30), &names).unwrap());
        for text in [&html, &svg] {
            assert!(text.contains("&lt;price&gt;") && text.contains("class 1") && !text.contains("<price"), "{text}");
            assert!(text.contains("The weights of each output"));
        }
        assert!(html.matches("class=\"strip ").count() == 2 && svg.contains("V16H0z"), "{svg}");
        assert!(section(&hidden, (1, 30), &names).contains("unit 0"));
    }

    #[test]
    fn weights_that_would_not_fit_a_page_are_left_out() {
        let wide = model(300 * 300, "linear:2");
        assert!(section(&wide, (300, 300), &[]).contains("90,000 weights would be too large"));
        assert_eq!(file(&wide, (300, 300), &[]), None);
        assert_eq!(file(&model(784, "linear:10"), (28, 27), &[]), None);
    }
}
