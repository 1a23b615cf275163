//! Points and bars over two axes of numbers as SVG: what a model of values predicts against what is true. It knows positions
//! and names, not where they come from.

use std::fmt::Write;

use super::axis::{self, Axis, Labelled, Tick, pixel};
use super::markup::escape;
use super::words::{grouped, significant};

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 340.0;
/// Left, right, top and bottom edge of the plot. The left margin has room for seven letters at the size they have on a phone.
const PLOT: [f64; 4] = [82.0, 544.0, 60.0, 294.0];
/// More dots than these hide one another, and make a page slow.
pub(super) const MAX_DOTS: usize = 2000;
/// Bars of a histogram.
const BARS: usize = 31;

/// A line that dots are compared with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Mark {
    /// Where both axes have the same value, and then the same range.
    Diagonal,
    /// Where the vertical one is 0.
    Zero,
}

/// What stands above a drawing and beside its axes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Titles<'a> {
    pub title: &'a str,
    pub x: &'a str,
    pub y: &'a str,
}

/// A dot for each point, or for [`MAX_DOTS`] of them, evenly spaced in their order. Points that are no numbers are left out.
pub(super) fn dots(titles: Titles<'_>, points: &[(f32, f32)], mark: Mark) -> String {
    let finite = || points.iter().filter(|(x, y)| x.is_finite() && y.is_finite());
    let count = finite().count();
    let spans = |of: fn(&(f32, f32)) -> f32| {
        finite().map(of).fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| {
            (least.min(value.into()), most.max(value.into()))
        })
    };
    let (mut x, mut y) = (spans(|point| point.0), spans(|point| point.1));
    match mark {
        Mark::Diagonal => {
            x = (x.0.min(y.0), x.1.max(y.1));
            y = x;
        }
        Mark::Zero => y = (y.0.min(0.0), y.1.max(0.0)),
    }
    let [left, right, top, bottom] = PLOT;
    let (x, y) = (axis(x, (left, right)), axis(y, (bottom, top)));
    let mut svg = open(titles, &format!("{} points.", grouped(count)), &x, &y);
    let _ = match mark {
        Mark::Diagonal => write!(svg, "<path class=\"mark\" d=\"M{left} {bottom}L{right} {top}\"/>"),
        Mark::Zero => {
            let zero = pixel(y.pixel(0.0));
            write!(svg, "<path class=\"mark\" d=\"M{left} {zero}H{right}\"/>")
        }
    };
    svg.push_str("<path class=\"dots c0\" d=\"");
    let shown = count.min(MAX_DOTS);
    // The places of those that are shown: all of them, or the first of each of as many parts.
    let mut next = 0;
    for (index, point) in finite().enumerate() {
        if next < shown && index == next * count / shown {
            next += 1;
            let _ = write!(svg, "M{} {}h0", pixel(x.pixel(point.0.into())), pixel(y.pixel(point.1.into())));
        }
    }
    svg.push_str("\"/>");
    close(svg, count)
}

/// How often values occur, in bars of equal width. One value in a hundred at either end does not widen the axis; those beyond
/// it are counted in its last bars.
pub(super) fn histogram(titles: Titles<'_>, values: impl Iterator<Item = f32>) -> String {
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).map(f64::from).collect();
    values.sort_by(f64::total_cmp);
    let [left, right, top, bottom] = PLOT;
    let count = values.len();
    let (span, beyond) = match values[..] {
        [] => ((f64::INFINITY, f64::NEG_INFINITY), 0),
        [first, .., last] | [first @ last] => {
            let (low, high) = (values[(count - 1) / 100], values[count - 1 - (count - 1) / 100]);
            // Ends a little further out cost nothing.
            let room = 0.25 * (high - low);
            let (low, high) = ((low - room).max(first), (high + room).min(last));
            ((low.min(0.0), high.max(0.0)), values.iter().filter(|value| **value < low || **value > high).count())
        }
    };
    let x = axis(span, (left, right));
    let mut bars = [0_usize; BARS];
    for value in &values {
        let share = (x.pixel(*value) - left) / (right - left);
        bars[((share * BARS as f64) as usize).min(BARS - 1)] += 1;
    }
    let most = bars.iter().copied().max().unwrap_or(0);
    let y = Axis::exact(0.0, (most as f64 * 1.05).max(1.0), (bottom, top));
    let words = format!("{} values, of which {} lie beyond the axis.", grouped(count), grouped(beyond));
    let mut svg = open(titles, &words, &x, &y);
    svg.push_str("<path class=\"bars c0\" d=\"");
    let width = (right - left) / BARS as f64;
    for (index, bar) in bars.iter().enumerate().filter(|(_, bar)| **bar > 0) {
        let (from, height) = (left + index as f64 * width, pixel(y.pixel(*bar as f64)));
        let _ = write!(svg, "M{} {bottom}V{height}h{}V{bottom}z", pixel(from + 0.5), pixel(width - 1.0));
    }
    let zero = pixel(x.pixel(0.0));
    let _ = write!(svg, "\"/><path class=\"mark\" d=\"M{zero} {top}V{bottom}\"/>");
    close(svg, count)
}

fn axis((least, most): (f64, f64), pixels: (f64, f64)) -> Axis {
    if least > most {
        return Axis::exact(0.0, 1.0, pixels);
    }
    Axis::around(least, most, (f64::NEG_INFINITY, f64::INFINITY), pixels)
}

fn open(titles: Titles<'_>, words: &str, x: &Axis, y: &Axis) -> String {
    let Titles { title, x: x_title, y: y_title } = titles;
    let (title, x_title, y_title) = (escape(title), escape(x_title), escape(y_title));
    let mut svg = String::with_capacity(1 << 15);
    // Writing into a String cannot fail.
    let _ = write!(
        svg,
        "<svg class=\"graph\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}. {y_title} over {x_title}: \
         {words}\"><title>{title}</title><rect class=\"ground\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\
         <text class=\"title\" x=\"10\" y=\"22\">{title}</text>"
    );
    let x = Labelled { axis: x, ticks: ticks(x, 4), title: &x_title };
    let y = Labelled { axis: y, ticks: ticks(y, 5), title: &y_title };
    axis::draw(&mut svg, PLOT, &x, &y);
    svg
}

fn close(mut svg: String, count: usize) -> String {
    if count == 0 {
        let (x, y) = ((PLOT[0] + PLOT[1]) / 2.0, (PLOT[2] + PLOT[3]) / 2.0);
        let _ = write!(svg, "<text class=\"middle\" x=\"{x}\" y=\"{y}\">no value is a number</text>");
    }
    svg.push_str("</svg>");
    svg
}

/// Round values of an axis with texts of at most seven letters: 1.5M for 1,500,000.
fn ticks(axis: &Axis, wanted: usize) -> Vec<Tick> {
    let ticks = axis.ticks(wanted, false);
    let most = ticks.iter().map(|tick| tick.value.abs()).fold(0.0, f64::max);
    let step = ticks.windows(2).map(|two| two[1].value - two[0].value).next().unwrap_or(most);
    let unit = [(1e9, "G"), (1e6, "M"), (1e3, "k")].into_iter().find(|(unit, _)| most >= 10.0 * unit);
    let (unit, letter) = unit.unwrap_or((1.0, ""));
    let decimals = (-(step / unit * 1.001).log10().floor()).clamp(0.0, 9.0) as usize;
    let is_plain = (1e-3..1e12).contains(&most) && decimals <= 3;
    let rounded = |value: f64| {
        // From 15 digits on it has an exponent by itself.
        if most >= 1e12 && value != 0.0 { format!("{value:.1e}").replace(".0e", "e") } else { significant(value, 2) }
    };
    let text = |value: f64| {
        // The value at 0 is one that rounding left there.
        let is_zero = value.abs() < step * 1e-6;
        let (value, letter) = if is_zero { (0.0, "") } else { (value, letter) };
        let text = if is_plain { format!("{:.decimals$}{letter}", value / unit) } else { rounded(value) };
        text.replace('-', "\u{2212}")
    };
    ticks.iter().map(|tick| Tick { value: tick.value, text: text(tick.value) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TITLES: Titles<'_> = Titles { title: "<b>", x: "true & so", y: "predicted" };

    /// Where dots stand.
    fn places(svg: &str) -> Vec<(f64, f64)> {
        let path = svg.split("class=\"dots c0\" d=\"").nth(1).unwrap().split('"').next().unwrap();
        let place = |dot: &str| {
            let (x, y) = dot.trim_end_matches("h0").split_once(' ').unwrap();
            (x.parse().unwrap(), y.parse().unwrap())
        };
        path.split('M').skip(1).map(place).collect()
    }

    #[test]
    fn a_right_prediction_lies_on_the_diagonal() {
        let svg = dots(TITLES, &[(-5.0, -5.0), (10.0, 10.0), (2.5, 30.0), (f32::NAN, 1.0)], Mark::Diagonal);
        let [left, right, top, bottom] = PLOT;
        let places = places(&svg);
        assert_eq!(places.len(), 3);
        for (x, y) in &places[..2] {
            let (along, up) = ((x - left) / (right - left), (bottom - y) / (bottom - top));
            assert!((along - up).abs() < 1e-3, "{along} {up}");
        }
        assert!(places[2].1 < places[1].1 && places[2].0 < places[1].0, "{places:?}");
        assert!(svg.contains("&lt;b&gt;") && svg.contains("true &amp; so") && !svg.contains("<b>"), "{svg}");
        assert!(svg.contains(&format!("M{left} {bottom}L{right} {top}")));
    }

    #[test]
    fn many_points_are_thinned_evenly_and_none_is_no_fault() {
        let many: Vec<(f32, f32)> = (0..100_000).map(|at| (at as f32, 1.0)).collect();
        let svg = dots(TITLES, &many, Mark::Zero);
        let x: Vec<f64> = places(&svg).iter().map(|place| place.0).collect();
        assert_eq!(x.len(), MAX_DOTS);
        assert!(x.windows(2).all(|two| (0.0..=0.4).contains(&(two[1] - two[0]))) && x[MAX_DOTS - 1] > 520.0);
        assert!(svg.contains("100,000 points") && svg.len() < 60_000);
        for points in [&[][..], &[(f32::INFINITY, 0.0)], &[(3e38, -3e38)], &[(0.0, 0.0)], &[(1e-40, 1e-40)]] {
            for mark in [Mark::Diagonal, Mark::Zero] {
                let svg = dots(TITLES, points, mark);
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{points:?}: {svg}");
                assert_eq!(svg.contains("no value is a number"), points.iter().all(|(x, _)| !x.is_finite()));
            }
        }
    }

    #[test]
    fn every_value_is_counted_in_a_bar() {
        let heights = |svg: &str| -> f64 {
            let path = svg.split("class=\"bars c0\" d=\"").nth(1).unwrap().split('"').next().unwrap();
            let height =
                |bar: &str| PLOT[3] - bar.split('V').nth(1).unwrap().split('h').next().unwrap().parse::<f64>().unwrap();
            path.split('M').skip(1).map(height).sum()
        };
        let most = [[0.0; 30].repeat(10), [1.0; 10].repeat(10)].concat();
        let svg = histogram(TITLES, most.iter().copied());
        // Two bars, one a third of the other, and a twentieth of room above the highest.
        let expected = (1.0 + 1.0 / 3.0) * (PLOT[3] - PLOT[2]) / 1.05;
        assert!((heights(&svg) - expected).abs() < 0.2, "{} {expected}", heights(&svg));
        // A value far beyond all others does not squeeze them.
        let far = histogram(TITLES, most.iter().copied().chain([1e9]));
        assert!(far.contains(">0.5<") && far.contains("of which 1 lie beyond"), "{far}");
        assert!((heights(&far) - expected).abs() < 1.5, "{} {expected}", heights(&far));
        for values in [&[][..], &[f32::NAN], &[0.0], &[-7.5], &[3e38, -3e38]] {
            let svg = histogram(TITLES, values.iter().copied());
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{values:?}: {svg}");
        }
    }

    #[test]
    fn ticks_are_short_whatever_the_values() {
        for (least, most, expected) in [
            (-2.0, 2.0, &["\u{2212}2", "\u{2212}1", "0", "1", "2"][..]),
            (-0.5, 0.5, &["\u{2212}0.5", "0.0", "0.5"]),
            (0.0, 500_000.0, &["0", "200k", "400k"]),
            (1_400_000.0, 1_500_000.0, &["1400k", "1450k", "1500k"]),
            (0.0, 3e38, &["0", "1e38", "2e38", "3e38"]),
        ] {
            let ticks = ticks(&Axis::exact(least, most, (0.0, 100.0)), 4);
            let texts: Vec<&str> = ticks.iter().map(|tick| &*tick.text).collect();
            assert_eq!(texts, expected, "{least} to {most}");
        }
        for power in -44..39 {
            for least in [-1.0, 0.0, 0.9] {
                let most = 10f64.powi(power);
                let ticks = ticks(&Axis::exact(least * most, most, (0.0, 100.0)), 4);
                assert!(ticks.iter().all(|tick| tick.text.chars().count() <= 8), "{ticks:?}");
            }
        }
    }
}
