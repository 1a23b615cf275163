//! One graph as SVG: axes, units, faint raw values, a line over them, a mark. It knows positions and names, not what
//! training is.

use std::fmt::Write;

use super::axis::{self, Axis, Labelled, pixel};
use super::markup::escape;
use super::series::{self, Column, Smoothing};
use super::words::{grouped, significant};

/// The colours of every graph and picture, light and dark, as one style sheet.
pub(super) const STYLE: &str = include_str!("graph.css");
/// Colours repeat after so many runs.
pub(super) const COLOURS: usize = 8;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 340.0;
/// Left, right, top and bottom edge of the plot.
pub(super) const PLOT: [f64; 4] = [58.0, 544.0, 60.0, 294.0];
/// Of the values behind a line; one for each pixel of the plot.
const COLUMNS: usize = 486;
/// On an axis of up to so many steps each value is a dot as well.
const MAX_DOTS: f64 = 30.0;
/// A graph is clipped where the whole range is so many times what its lines need once they have settled ...
const SQUEEZED: f64 = 2.0;
/// ... which they have after one part of so many ...
const START_SHARE: usize = 10;
/// ... if they move by more than this share of their level ...
const LEAST_SPREAD: f64 = 0.01;
/// ... and only where there are enough of them to tell.
const FEWEST_COLUMNS: usize = 20;
/// Names of lines stand beside the unit as far as there is room.
const MAX_NAMES: usize = 2;

/// What the horizontal axis counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Steps {
    Epochs,
    /// Training and validation batches together, in the order they ran.
    Batches,
}

/// What the vertical axis measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Nats,
    Percent,
    /// A number of no unit, 0 or more.
    Number,
}

/// Values over steps, and how they look.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub name: String,
    /// Below [`COLOURS`].
    pub colour: usize,
    pub dashed: bool,
    /// Whether it lies on another, which is to show beside it.
    pub twin: bool,
    /// Whether each value shows faintly behind the line.
    pub raw: bool,
    pub smoothing: Smoothing,
    /// Positions, rising, and the value at each.
    pub x: Vec<f64>,
    pub y: Vec<f64>,
}

#[derive(Debug, Clone)]
pub(super) struct Graph {
    /// Such as "Loss by epoch".
    pub title: String,
    /// Beside the unit, such as "loss".
    pub quantity: &'static str,
    pub unit: Unit,
    pub steps: Steps,
    pub lines: Vec<Line>,
    /// A position to point out, and what is there.
    pub mark: Option<(f64, String)>,
    /// Batches of one epoch, for the tooltip of a graph by batch; 0 where it is not the same for all lines.
    pub batches_per_epoch: usize,
}

/// A graph worked out: what its SVG draws is what its tooltip tells.
pub(super) struct Drawing<'a> {
    pub graph: &'a Graph,
    pub x: Axis,
    pub y: Axis,
    /// Of each line.
    pub columns: Vec<Vec<Column>>,
    /// Whether values lie beyond the vertical axis; they are drawn at its end.
    pub is_clipped: bool,
}

impl Graph {
    pub fn draw(&self) -> Drawing<'_> {
        let [left, right, top, bottom] = PLOT;
        let first = if self.steps == Steps::Epochs { 1.0 } else { 0.0 };
        let last = self.lines.iter().filter_map(|line| line.x.last()).fold(first, |a: f64, b| a.max(*b));
        // One epoch stands in the middle.
        let span = if last > first { (first, last) } else { (first - 1.0, first + 1.0) };
        let x = Axis::exact(span.0, span.1, (left, right));
        let columns: Vec<_> =
            (self.lines.iter()).map(|line| series::columns(&line.x, &line.y, span, COLUMNS, line.smoothing)).collect();
        let axis = |(least, most): (f64, f64)| match self.unit {
            _ if least > most => Axis::exact(0.0, 1.0, (bottom, top)),
            Unit::Nats | Unit::Number => Axis::around_positive(least, most, (bottom, top)),
            Unit::Percent => Axis::around(least, most, (0.0, 100.0), (bottom, top)),
        };
        let range = self.range(&columns);
        let core = self.core(&columns, range);
        // A logarithmic axis has room for all.
        let is_clipped = core != range && !axis(core).log;
        let y = axis(if is_clipped { core } else { range });
        Drawing { graph: self, x, y, columns, is_clipped }
    }

    /// The least and the largest of what is drawn: of all values where they show, else of the means.
    fn range(&self, columns: &[Vec<Column>]) -> (f64, f64) {
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        for (line, columns) in self.lines.iter().zip(columns) {
            for column in columns {
                let (low, high) =
                    if line.raw { (column.least, column.largest) } else { (column.smooth, column.smooth) };
                (least, most) = (least.min(low), most.max(high));
            }
        }
        (least, most)
    }

    /// `range`, or the part of it that shows the lines, where their start or some spikes would squeeze all else into a
    /// strip.
    fn core(&self, columns: &[Vec<Column>], range: (f64, f64)) -> (f64, f64) {
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        for (line, columns) in self.lines.iter().zip(columns) {
            if columns.len() < FEWEST_COLUMNS {
                return range;
            }
            let settled = &columns[columns.len() / START_SHARE..];
            let quantile = |mut values: Vec<f64>, share: f64| {
                values.sort_by(f64::total_cmp);
                values[((values.len() - 1) as f64 * share) as usize]
            };
            let of = |value: fn(&Column) -> f64| settled.iter().map(value).collect::<Vec<f64>>();
            let (low, high) = match line.raw {
                true => (quantile(of(|column| column.least), 0.05), quantile(of(|column| column.largest), 0.95)),
                false => (quantile(of(|column| column.smooth), 0.0), quantile(of(|column| column.smooth), 1.0)),
            };
            let means = of(|column| column.smooth);
            let (low, high) = (low.min(quantile(means.clone(), 0.0)), high.max(quantile(means, 1.0)));
            (least, most) = (least.min(low), most.max(high));
        }
        let room = 0.25 * (most - least);
        let core = ((least - room).max(range.0), (most + room).min(range.1));
        // What hardly moves is not worth a closer look.
        let is_squeezed = most - least > LEAST_SPREAD * most.abs() && range.1 - range.0 > SQUEEZED * (core.1 - core.0);
        if is_squeezed { core } else { range }
    }

    fn y_title(&self, log: bool) -> String {
        let unit = match self.unit {
            Unit::Nats => ", nats",
            Unit::Percent => ", %",
            Unit::Number => "",
        };
        format!("{}{unit}{}", self.quantity, if log { " (log scale)" } else { "" })
    }

    fn x_title(&self) -> &'static str {
        match self.steps {
            Steps::Epochs => "epochs",
            Steps::Batches => "batches seen (training and validation)",
        }
    }
}

impl Drawing<'_> {
    /// The graph as a file of its own, in its own colours.
    pub fn file(&self) -> String {
        self.svg(&format!("xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" "), STYLE)
    }

    /// The graph as part of a page that has [`STYLE`].
    pub fn inline(&self) -> String {
        self.svg("", "")
    }

    fn svg(&self, attributes: &str, style: &str) -> String {
        let graph = self.graph;
        let mut svg = String::with_capacity(1 << 15);
        let style = if style.is_empty() { String::new() } else { format!("<style>{style}</style>") };
        let (title, words) = (escape(&graph.title), self.in_words());
        // Writing into a String cannot fail.
        let _ = write!(
            svg,
            "<svg {attributes}class=\"graph\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             aria-label=\"{title}. {words}\">{style}<title>{title}</title><desc>{words}</desc>\
             <rect class=\"ground\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\
             <text class=\"title\" x=\"10\" y=\"22\">{title}</text>"
        );
        let y_title = graph.y_title(self.y.log) + if self.is_clipped { " (cut)" } else { "" };
        let x = Labelled { axis: &self.x, ticks: self.x.ticks(5, true), title: graph.x_title() };
        let y = Labelled { axis: &self.y, ticks: self.y.ticks(5, false), title: &y_title };
        axis::draw(&mut svg, PLOT, &x, &y);
        // All that is faint lies behind all lines.
        for (line, columns) in graph.lines.iter().zip(&self.columns).filter(|(line, _)| line.raw) {
            self.write_raw(&mut svg, line, columns);
        }
        for (line, columns) in graph.lines.iter().zip(&self.columns) {
            self.write_line(&mut svg, line, columns);
        }
        self.write_legend(&mut svg);
        self.write_mark(&mut svg);
        if self.columns.iter().all(Vec::is_empty) {
            let (x, y) = ((PLOT[0] + PLOT[1]) / 2.0, (PLOT[2] + PLOT[3]) / 2.0);
            let _ = write!(svg, "<text class=\"middle\" x=\"{x}\" y=\"{y}\">no epoch ran</text>");
        }
        svg.push_str("</svg>\n");
        svg
    }

    /// Entry, least, largest and exit of every column: as many points as a line through all values would show. Where
    /// steps are left out, because the other phase ran, the line is broken.
    fn write_raw(&self, svg: &mut String, line: &Line, columns: &[Column]) {
        let _ = write!(svg, "<path class=\"raw c{}\" d=\"", line.colour % COLOURS);
        for stretch in columns.chunk_by(|column, next| next.from <= column.to + 1.0) {
            let points = stretch.iter().flat_map(|column| {
                let x = (column.from + column.to) / 2.0;
                [(x, column.first), (x, column.least), (x, column.largest), (x, column.last)]
            });
            svg.push_str(&self.path(points));
        }
        svg.push_str("\"/>");
    }

    fn write_line(&self, svg: &mut String, line: &Line, columns: &[Column]) {
        let (colour, dashed) = (line.colour % COLOURS, if line.dashed { " dashed" } else { "" });
        let twin = if line.twin { " twin" } else { "" };
        let smooth = || columns.iter().map(|column| ((column.from + column.to) / 2.0, column.smooth));
        let _ = write!(svg, "<path class=\"line{dashed}{twin} c{colour}\" d=\"{}\"/>", self.path(smooth()));
        if self.x.most - self.x.least <= MAX_DOTS {
            for (x, y) in smooth() {
                let (x, y) = (pixel(self.x.pixel(x)), pixel(self.y.pixel(y)));
                let _ = write!(svg, "<circle class=\"c{colour}\" cx=\"{x}\" cy=\"{y}\" r=\"2.5\"/>");
            }
        }
    }

    /// A path through values; what repeats is left out.
    fn path(&self, points: impl Iterator<Item = (f64, f64)>) -> String {
        let mut path = String::new();
        let mut before: Option<(f64, f64)> = None;
        for (x, y) in points {
            let (x, y) = (pixel(self.x.pixel(x)), pixel(self.y.pixel(y)));
            let _ = match before {
                None => write!(path, "M{x} {y}"),
                Some(before) if before == (x, y) => Ok(()),
                Some(before) if before.0 == x => write!(path, "V{y}"),
                Some(before) if before.1 == y => write!(path, "H{x}"),
                Some(_) => write!(path, "L{x} {y}"),
            };
            before = Some((x, y));
        }
        path
    }

    /// The names of one or two lines; those of more are told by the page.
    fn write_legend(&self, svg: &mut String) {
        if self.graph.lines.len() > MAX_NAMES {
            return;
        }
        // Room for the names at the size they have on a phone.
        const ROOM: f64 = 102.0;
        for (line, left) in self.graph.lines.iter().rev().zip([PLOT[1] - ROOM, PLOT[1] - 2.0 * ROOM]) {
            let _ = write!(
                svg,
                "<path class=\"line c{}\" d=\"M{left} 40h18\"/><text x=\"{}\" y=\"44\">{}</text>",
                line.colour % COLOURS,
                left + 24.0,
                escape(&line.name)
            );
        }
    }

    fn write_mark(&self, svg: &mut String) {
        let Some((position, note)) = &self.graph.mark else { return };
        let x = pixel(self.x.pixel(*position));
        let [left, right, top, bottom] = PLOT;
        let (class, text_x) = if x > (left + right) / 2.0 { ("note end", x - 6.0) } else { ("note", x + 6.0) };
        // Where the lines are not: losses and errors end low, accuracies high.
        let y = if self.graph.quantity == "accuracy" { bottom - 10.0 } else { top + 16.0 };
        let _ = write!(
            svg,
            "<path class=\"mark\" d=\"M{x} {top}V{bottom}\"/><text class=\"{class}\" x=\"{text_x}\" y=\"{y}\">{}</text>",
            escape(note)
        );
    }

    /// What the graph shows, for those who cannot see it.
    fn in_words(&self) -> String {
        let mut words = format!("{} over {}.", self.graph.y_title(self.y.log), self.graph.x_title());
        for line in &self.graph.lines {
            if let (Some(first), Some(last)) = (line.y.first(), line.y.last()) {
                let count = line.y.len();
                let _ = write!(
                    words,
                    " {}: {count} values, from {} to {}.",
                    escape(&line.name),
                    significant(*first, 4),
                    significant(*last, 4)
                );
            }
        }
        words
    }

    /// What the lines are, as some sentences.
    pub fn caption(&self) -> String {
        let clipped = " The vertical axis is cut to what the lines need; values beyond it are drawn at its end.";
        format!("{}{}", self.lines_told(), if self.is_clipped { clipped } else { "" })
    }

    fn lines_told(&self) -> String {
        let graph = self.graph;
        if graph.steps == Steps::Epochs {
            return "Training is measured before the update of each batch, validation after the epoch.".into();
        }
        let mut windows: Vec<String> = graph.lines.iter().map(|line| grouped(line.smoothing.values())).collect();
        windows.dedup();
        let faint = if graph.lines.iter().any(|line| line.raw) { "Faint: every batch. " } else { "" };
        match &windows[..] {
            [one] if one == "1" => format!("{faint}Line: every batch."),
            [one] => format!("{faint}Line: mean over {one} batches."),
            [train, val] => format!("{faint}Line: mean over {train} training and {val} validation batches."),
            _ => format!("{faint}Lines: training over a fiftieth of a run, validation over each epoch."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(steps: Steps, y: Vec<f64>) -> Graph {
        let x = (1..=y.len()).map(|index| index as f64).collect();
        let window = if steps == Steps::Batches { (y.len() / 50).max(1) } else { 1 };
        let smoothing = Smoothing::Centred(window);
        Graph {
            title: "Loss <by> step".into(),
            quantity: "loss",
            unit: Unit::Nats,
            steps,
            lines: vec![Line {
                name: "a & b".into(),
                colour: 9,
                dashed: false,
                twin: false,
                raw: true,
                smoothing,
                x,
                y,
            }],
            mark: Some((1.0, "<here>".into())),
            batches_per_epoch: 0,
        }
    }

    /// Every y pixel of the path of this class.
    fn heights(svg: &str, class: &str) -> Vec<f64> {
        let path = svg.split(&format!("class=\"{class}\" d=\"")).nth(1).unwrap().split('"').next().unwrap();
        let (mut heights, mut rest) = (Vec::new(), path);
        while let Some(command) = rest.chars().next() {
            let end = rest[1..].find(char::is_alphabetic).map_or(rest.len(), |end| end + 1);
            let y = match command {
                'V' => Some(&rest[1..end]),
                'H' => None,
                _ => rest[1..end].split(' ').nth(1),
            };
            heights.extend(y.map(|y| y.parse::<f64>().unwrap()));
            rest = &rest[end..];
        }
        heights
    }

    #[test]
    fn a_spike_of_one_batch_in_a_hundred_thousand_is_drawn() {
        let mut y = vec![1.0; 100_000];
        y[60_000] = 2.0;
        let spiked = graph(Steps::Batches, y.clone());
        let svg = spiked.draw().file();
        assert!(svg.len() < 60_000, "{} bytes", svg.len());
        let top = |svg: &str, class: &str| heights(svg, class).into_iter().fold(f64::INFINITY, f64::min);
        let spike = spiked.draw().y.pixel(2.0);
        assert!((top(&svg, "raw c1") - spike).abs() < 0.1);
        assert!(top(&svg, "line c1") > spike + 100.0, "the mean over many batches does not jump");
    }

    #[test]
    fn a_start_far_above_all_else_does_not_squeeze_it() {
        let mut y: Vec<f64> = (0..100).map(|step| 0.3 + 0.1 * (-f64::from(step) / 30.0).exp()).collect();
        y[0] = 5.0;
        let started = graph(Steps::Epochs, y.clone());
        let drawing = started.draw();
        assert!(drawing.is_clipped && drawing.y.most < 0.6, "{:?}", drawing.y);
        assert!(drawing.caption().contains("axis is cut") && drawing.file().contains("nats (cut)"));
        // Values of very different size have a logarithmic axis, which squeezes none.
        let mut falling: Vec<f64> = (0..100).map(|step| (-f64::from(step) / 10.0).exp()).collect();
        falling[0] = 50.0;
        let drawn = graph(Steps::Epochs, falling);
        assert!(drawn.draw().y.log && !drawn.draw().is_clipped);
        y[0] = 0.41;
        assert!(!graph(Steps::Epochs, y).draw().is_clipped);
    }

    #[test]
    fn names_are_text() {
        let svg = graph(Steps::Epochs, vec![0.5, 0.4]).draw().file();
        for escaped in ["Loss &lt;by&gt; step", "a &amp; b", "&lt;here&gt;"] {
            assert!(svg.contains(escaped), "{svg}");
        }
        assert!(!svg.contains("<by>") && !svg.contains("<here>"));
        assert!(svg.contains("prefers-color-scheme") && svg.contains("xmlns"));
    }

    #[test]
    fn one_value_and_none_are_graphs_too() {
        let one = graph(Steps::Epochs, vec![0.5]).draw().file();
        assert!(one.contains("<circle") && !one.contains("NaN"), "{one}");
        let none = graph(Steps::Batches, Vec::new()).draw().file();
        assert!(none.contains("no epoch ran") && !none.contains("NaN") && !none.contains("inf"), "{none}");
    }
}
