//! What a page's script tells of a graph under the pointer: the very columns that are drawn. It knows no script.

use serde::Serialize;

use super::graph::{COLOURS, Drawing, Line, PLOT, Steps, Unit};
use super::markup::json_in_script;
use super::series::Column;

/// What the page's script needs to tell the values under the pointer.
pub(super) fn data(drawing: &Drawing<'_>) -> String {
    let [left, right, top, bottom] = PLOT;
    let line = |(line, columns): (&Line, &Vec<Column>)| LineData {
        name: line.name.clone(),
        colour: line.colour % COLOURS,
        values: line.y.len(),
        points: columns
            .iter()
            .map(|column| [column.from, column.to, short(column.smooth), short(column.least), short(column.largest)])
            .collect(),
    };
    json_in_script(&GraphData {
        title: &drawing.graph.title,
        percent: drawing.graph.unit == Unit::Percent,
        by_batch: drawing.graph.steps == Steps::Batches,
        per_epoch: drawing.graph.batches_per_epoch,
        plot: [left, right, top, bottom],
        x: [drawing.x.least, drawing.x.most],
        y: [drawing.y.least, drawing.y.most],
        log: drawing.y.log,
        lines: drawing.graph.lines.iter().zip(&drawing.columns).map(line).collect(),
    })
}

#[derive(Serialize)]
struct GraphData<'a> {
    title: &'a str,
    percent: bool,
    by_batch: bool,
    per_epoch: usize,
    plot: [f64; 4],
    x: [f64; 2],
    y: [f64; 2],
    log: bool,
    lines: Vec<LineData>,
}

#[derive(Serialize)]
struct LineData {
    name: String,
    colour: usize,
    /// How many values the points stand for.
    values: usize,
    /// First and last position; mean, least and largest value.
    points: Vec<[f64; 5]>,
}

/// Digits enough for a tooltip.
fn short(value: f64) -> f64 {
    format!("{value:.4e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::super::graph::Graph;
    use super::super::series::Smoothing;
    use super::*;

    #[test]
    fn a_tooltip_tells_what_is_drawn() {
        let (x, y) = (vec![1.0, 2.0, 3.0], vec![0.51234, 0.4, 0.3]);
        let smoothing = Smoothing::Centred(1);
        let graph = Graph {
            title: "</script>".into(),
            quantity: "loss",
            unit: Unit::Nats,
            steps: Steps::Epochs,
            lines: vec![Line { name: "a".into(), colour: 9, dashed: false, twin: false, raw: false, smoothing, x, y }],
            mark: None,
            batches_per_epoch: 0,
        };
        let text = data(&graph.draw());
        assert!(!text.contains('<'), "{text}");
        let data: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            data["lines"][0]["points"],
            serde_json::json!([
                [1.0, 1.0, 0.51234, 0.51234, 0.51234],
                [2.0, 2.0, 0.4, 0.4, 0.4],
                [3.0, 3.0, 0.3, 0.3, 0.3]
            ])
        );
        assert_eq!((&data["x"], &data["lines"][0]["colour"]), (&serde_json::json!([1.0, 3.0]), &1.into()));
    }
}
