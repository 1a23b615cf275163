//! The graphs of a run, or of several runs laid over one another: loss, accuracy and error, by epoch and by batch; and the
//! small ones of what else was watched. Where predictions are not right or wrong, there is a loss alone.
//! It knows what a history holds, not how a graph is drawn.

use super::Run;
use super::graph::{Graph, Line, Steps, Unit};
use super::series::Smoothing;
use crate::train::{BatchRecord, EpochRecord, History, Watch};

/// A run whose figures are drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured<'a> {
    name: &'a str,
    history: &'a History,
    /// What the share of right predictions is called, if there is one.
    accuracy_name: Option<&'static str>,
    loss_unit: Unit,
}

impl<'a> Measured<'a> {
    pub fn of(run: &Run<'a>) -> Self {
        let recipe = &run.summary.recipe;
        let loss_unit = recipe.loss_unit().map_or(Unit::Number, |_| Unit::Nats);
        Measured { name: run.name, history: run.history, accuracy_name: recipe.accuracy_name(), loss_unit }
    }

    #[cfg(test)]
    pub fn of_classes(name: &'a str, history: &'a History) -> Self {
        Measured { name, history, accuracy_name: Some("accuracy"), loss_unit: Unit::Nats }
    }
}

/// What is measured.
#[derive(Clone, Copy)]
struct Metric {
    name: &'static str,
    unit: Unit,
    train: fn(&EpochRecord) -> f64,
    val: fn(&EpochRecord) -> f64,
    batch: fn(&BatchRecord) -> f64,
}

const METRICS: [Metric; 3] = [
    Metric {
        name: "loss",
        unit: Unit::Nats,
        train: |epoch| epoch.train_loss,
        val: |epoch| epoch.val_loss,
        batch: |batch| f64::from(batch.loss()),
    },
    Metric {
        name: "accuracy",
        unit: Unit::Percent,
        train: |epoch| 100.0 * epoch.train_accuracy,
        val: |epoch| 100.0 * epoch.val_accuracy,
        batch: |batch| 100.0 * batch.accuracy(),
    },
    Metric {
        name: "error",
        unit: Unit::Percent,
        train: |epoch| 100.0 * (1.0 - epoch.train_accuracy),
        val: |epoch| 100.0 * (1.0 - epoch.val_accuracy),
        batch: |batch| 100.0 * (1.0 - batch.accuracy()),
    },
];

/// A graph and the name of its file.
pub(super) struct Named {
    pub file: String,
    pub graph: Graph,
}

/// The six graphs, or the two of the loss where no run has an accuracy; one after another, since each holds every value of the
/// runs. Of one run: training and validation, every batch faintly behind the mean, a mark at the epoch of the lowest validation
/// loss. Of several, each with its name: a colour each, validation as full lines, training dashed. Runs of different losses
/// share an axis without a unit.
pub(super) fn graphs(runs: &[Measured<'_>]) -> impl Iterator<Item = Named> {
    let has_accuracy = runs.iter().any(|run| run.accuracy_name.is_some());
    let metrics = METRICS.into_iter().filter(move |metric| metric.name == "loss" || has_accuracy);
    metrics
        .flat_map(|metric| [(metric, Steps::Epochs), (metric, Steps::Batches)])
        .map(move |(metric, steps)| graph(runs, metric, steps))
}

fn graph(runs: &[Measured<'_>], metric: Metric, steps: Steps) -> Named {
    let step = if steps == Steps::Epochs { "epoch" } else { "batch" };
    let is_loss = metric.name == "loss";
    // A run's colour is that of its place among all of them.
    let shown = || runs.iter().enumerate().filter(|(_, run)| is_loss || run.accuracy_name.is_some());
    let mut lines = Vec::with_capacity(2 * runs.len());
    for (index, Measured { name, history, .. }) in shown() {
        let [train, val] = match steps {
            Steps::Epochs => by_epoch(history, metric),
            Steps::Batches => by_batch(history, metric),
        };
        let phases = if history.is_validated() { 2 } else { 1 };
        for (phase, (x, y)) in [("training", train), ("validation", val)].into_iter().take(phases) {
            let training = phase == "training";
            let smoothing = smoothing(history, steps, training);
            lines.push(match runs.len() {
                1 => Line {
                    name: phase.into(),
                    colour: usize::from(!training),
                    dashed: false,
                    twin: false,
                    raw: steps == Steps::Batches,
                    smoothing,
                    x,
                    y,
                },
                _ => Line {
                    name: format!("{name}, {phase}"),
                    colour: index,
                    dashed: training,
                    twin: runs[..index].iter().any(|other| same(other.history, history)),
                    raw: false,
                    smoothing,
                    x,
                    y,
                },
            });
        }
    }
    let per_epoch: Vec<usize> = shown().map(|(_, run)| batches_per_epoch(run.history)).collect();
    let batches_per_epoch = per_epoch.first().copied().unwrap_or(0);
    let mark = match runs {
        [Measured { history, .. }] => history.best().filter(|_| history.is_validated()).map(|best| {
            let per_step = if steps == Steps::Epochs { 1 } else { batches_per_epoch };
            ((best.epoch * per_step) as f64, format!("lowest validation loss: epoch {}", best.epoch))
        }),
        _ => None,
    };
    let accuracy_name = runs.iter().find_map(|run| run.accuracy_name).unwrap_or(metric.name);
    let is_one_kind = shown().all(|(_, run)| run.accuracy_name == Some(accuracy_name));
    let name = if metric.name == "accuracy" && is_one_kind { accuracy_name } else { metric.name };
    let mut title = format!("{name} by {step}");
    title[..1].make_ascii_uppercase();
    let one_unit = runs.windows(2).all(|two| two[0].loss_unit == two[1].loss_unit);
    let unit = match runs.first() {
        Some(first) if is_loss && one_unit => first.loss_unit,
        Some(_) if is_loss => Unit::Number,
        _ => metric.unit,
    };
    Named {
        file: format!("{}-by-{step}.svg", metric.name),
        graph: Graph {
            title,
            quantity: metric.name,
            unit,
            steps,
            lines,
            mark,
            batches_per_epoch: if per_epoch.iter().all(|count| *count == batches_per_epoch) {
                batches_per_epoch
            } else {
                0
            },
        },
    }
}

/// A small graph and a sentence on it.
pub(super) struct Watched {
    pub graph: Graph,
    pub caption: &'static str,
}

/// What was watched of a run, epoch by epoch; none of what no epoch has.
pub(super) fn watched(history: &History) -> Vec<Watched> {
    let line = |name: String, colour: usize, value: &dyn Fn(&Watch) -> Option<f64>| {
        let values = history.epochs.iter().zip(1..).filter_map(|(epoch, number)| {
            Some((f64::from(number), value(epoch.watch.as_ref()?).filter(|value| value.is_finite())?))
        });
        let (x, y) = values.unzip();
        Line { name, colour, dashed: false, twin: false, raw: false, smoothing: Smoothing::Centred(1), x, y }
    };
    let graph = |title: &str, quantity, unit, lines, caption| Watched {
        graph: Graph {
            title: title.into(),
            quantity,
            unit,
            steps: Steps::Epochs,
            lines,
            mark: None,
            batches_per_epoch: 0,
        },
        caption,
    };
    let one = |value: &dyn Fn(&Watch) -> Option<f64>| vec![line("training".into(), 0, value)];
    let layers = history.epochs.iter().find_map(|epoch| epoch.watch.as_ref()).map_or(&[][..], Watch::dead_units);
    let of_layer = |(colour, layer): (usize, usize)| {
        line(format!("layer {layer}"), colour, &move |watch| {
            watch.dead_units().iter().find(|dead| dead.layer == layer).map(|dead| dead.dead as f64)
        })
    };
    let dead = layers.iter().map(|layer| layer.layer).enumerate().map(of_layer).collect();
    let graphs = [
        graph(
            "Silent units",
            "units",
            Unit::Number,
            dead,
            "Units of an activation layer that are 0 for every training sample.",
        ),
        graph(
            "Largest class",
            "share of predictions",
            Unit::Percent,
            one(&|watch| Some(100.0 * watch.largest_class_share?)),
            "Of all predictions on training samples, those of the class that is predicted most often.",
        ),
        graph(
            "Gradient norm",
            "L2 norm",
            Unit::Number,
            one(&|watch| watch.grad_norm),
            "Of all gradients as one vector, before they are clipped: mean over one batch in 128.",
        ),
        graph(
            "Learning rate",
            "rate",
            Unit::Number,
            one(&|watch| Some(watch.lr.into())),
            "Of the epoch\u{2019}s last batch.",
        ),
        graph(
            "Largest weight",
            "absolute value",
            Unit::Number,
            one(&|watch| Some(watch.largest_weight.into())),
            "After the epoch; biases do not count.",
        ),
    ];
    graphs.into_iter().filter(|watched| watched.graph.lines.iter().any(|line| !line.y.is_empty())).collect()
}

/// Whether two runs measured the same, so that their lines lie on one another.
pub(super) fn same(one: &History, other: &History) -> bool {
    let measured = |epoch: &EpochRecord| [epoch.train_loss, epoch.train_accuracy, epoch.val_loss, epoch.val_accuracy];
    !one.epochs.is_empty() && one.epochs.iter().map(measured).eq(other.epochs.iter().map(measured))
}

/// Positions and values.
type Points = (Vec<f64>, Vec<f64>);

/// Training and validation; an epoch's position is its number.
fn by_epoch(history: &History, metric: Metric) -> [Points; 2] {
    [metric.train, metric.val].map(|value| {
        let x = (1..=history.epochs.len()).map(|epoch| epoch as f64).collect();
        (x, history.epochs.iter().map(value).collect())
    })
}

/// Training and validation; a batch's position counts all batches before it and itself, in the order they ran: each
/// epoch's training batches, then its validation batches.
fn by_batch(history: &History, metric: Metric) -> [Points; 2] {
    let epochs = history.epochs.len().max(1);
    let (train, val) = (history.train_batches.len() / epochs, history.val_batches.len() / epochs);
    let points = |batches: &[BatchRecord], per_epoch: usize, before: usize| {
        let position = |index: usize| (index / per_epoch * (train + val) + before + index % per_epoch + 1) as f64;
        ((0..batches.len()).map(position).collect(), batches.iter().map(metric.batch).collect())
    };
    [points(&history.train_batches, train, 0), points(&history.val_batches, val, train)]
}

/// Training: a fiftieth of the run, or a fifth of a short one, in whole epochs where it is as long as one, since the same
/// batches come again in every epoch. Validation: each epoch, since within one the network does not change.
fn smoothing(history: &History, steps: Steps, training: bool) -> Smoothing {
    let batches = if training { history.train_batches.len() } else { history.val_batches.len() };
    let epoch = (batches / history.epochs.len().max(1)).max(1);
    let share = (batches / 50).max((batches / 5).min(20));
    match steps {
        Steps::Epochs => Smoothing::Centred(1),
        Steps::Batches if !training => Smoothing::Blocks(epoch),
        Steps::Batches if share < epoch => Smoothing::Centred(share),
        Steps::Batches => Smoothing::Centred(share / epoch * epoch),
    }
}

fn batches_per_epoch(history: &History) -> usize {
    (history.train_batches.len() + history.val_batches.len()) / history.epochs.len().max(1)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Two epochs of three training and two validation batches.
    pub fn history() -> History {
        let epoch = |train_loss, val_loss| EpochRecord {
            train_loss,
            train_accuracy: 0.75,
            val_loss,
            val_accuracy: 0.5,
            train_seconds: 1.0,
            val_seconds: 0.5,
            watch: None,
        };
        let batch = |loss: u8| BatchRecord::from_mean(f32::from(loss), u32::from(loss), 16);
        History {
            epochs: vec![epoch(0.5, 0.25), epoch(0.25, 0.375)],
            train_batches: (1..=6).map(batch).collect(),
            val_batches: (11..=14).map(batch).collect(),
        }
    }

    fn six(runs: &[(&str, &History)]) -> Vec<Named> {
        let runs: Vec<_> = runs.iter().map(|(name, history)| Measured::of_classes(name, history)).collect();
        graphs(&runs).collect()
    }

    fn of_run(history: &History) -> Vec<Named> {
        six(&[("", history)])
    }

    #[test]
    fn values_have_a_loss_alone_and_labels_the_accuracy_of_all_of_them() {
        let history = history();
        let classes = Measured::of_classes("classes", &history);
        let values = Measured { name: "values", accuracy_name: None, loss_unit: Unit::Number, ..classes };
        let labels = Measured { name: "labels", accuracy_name: Some("subset accuracy"), ..classes };
        let titles = |runs: &[Measured<'_>]| -> Vec<String> {
            graphs(runs).map(|named| format!("{}: {}", named.file, named.graph.title)).collect()
        };
        assert_eq!(titles(&[values]), ["loss-by-epoch.svg: Loss by epoch", "loss-by-batch.svg: Loss by batch"]);
        assert_eq!(titles(&[labels])[2], "accuracy-by-epoch.svg: Subset accuracy by epoch");
        assert_eq!(titles(&[labels, classes])[2], "accuracy-by-epoch.svg: Accuracy by epoch");
        // A run without an accuracy has no line among them, and keeps its colour.
        let all: Vec<_> = graphs(&[values, classes]).collect();
        assert_eq!((all.len(), all[0].graph.lines.len(), all[2].graph.lines.len()), (6, 4, 2));
        assert_eq!((&*all[2].graph.lines[0].name, all[2].graph.lines[0].colour), ("classes, training", 1));
        assert_eq!((all[0].graph.unit, graphs(&[classes]).next().unwrap().graph.unit), (Unit::Number, Unit::Nats));
    }

    #[test]
    fn a_run_has_the_six_graphs_of_the_reference() {
        let history = history();
        let graphs = of_run(&history);
        let files: Vec<&str> = graphs.iter().map(|named| &*named.file).collect();
        assert_eq!(
            files,
            [
                "loss-by-epoch.svg",
                "loss-by-batch.svg",
                "accuracy-by-epoch.svg",
                "accuracy-by-batch.svg",
                "error-by-epoch.svg",
                "error-by-batch.svg"
            ]
        );
        assert_eq!(graphs[5].graph.title, "Error by batch");
        assert_eq!(graphs[2].graph.lines[1].y, [50.0, 50.0]);
        assert_eq!(graphs[4].graph.lines[0].y, [25.0, 25.0]);
        assert_eq!(graphs[0].graph.mark.as_ref().unwrap().0, 1.0);
        assert_eq!(graphs[1].graph.mark.as_ref().unwrap().0, 5.0);
    }

    #[test]
    fn batches_stand_on_one_axis_in_the_order_they_ran() {
        let history = history();
        let graph = &of_run(&history)[1].graph;
        assert_eq!(graph.lines[0].x, [1.0, 2.0, 3.0, 6.0, 7.0, 8.0]);
        assert_eq!(graph.lines[1].x, [4.0, 5.0, 9.0, 10.0]);
        assert_eq!(graph.lines[0].y, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(graph.lines[1].y, [11.0, 12.0, 13.0, 14.0]);
        let accuracy = &of_run(&history)[3].graph;
        assert_eq!(accuracy.lines[0].y[0], 100.0 / 16.0);
    }

    #[test]
    fn smoothed_lines_take_whole_epochs() {
        let run = |epochs: usize| History {
            epochs: vec![history().epochs[0]; epochs],
            train_batches: vec![history().train_batches[0]; 938 * epochs],
            val_batches: vec![history().val_batches[0]; 157 * epochs],
        };
        for (epochs, train) in [(1, 20), (20, 375), (60, 938), (200, 3752)] {
            let run = run(epochs);
            assert_eq!(smoothing(&run, Steps::Batches, true), Smoothing::Centred(train), "{epochs} epochs");
            assert_eq!(smoothing(&run, Steps::Batches, false), Smoothing::Blocks(157));
            assert_eq!(smoothing(&run, Steps::Epochs, false), Smoothing::Centred(1));
        }
        assert_eq!(smoothing(&History::default(), Steps::Batches, false), Smoothing::Blocks(1));
    }

    #[test]
    fn several_runs_share_the_axes() {
        let (short, long) = (history(), History { epochs: history().epochs.repeat(3), ..History::default() });
        let graphs = six(&[("a", &short), ("b", &long)]);
        let names: Vec<&str> = graphs[0].graph.lines.iter().map(|line| &*line.name).collect();
        assert_eq!(names, ["a, training", "a, validation", "b, training", "b, validation"]);
        assert_eq!(graphs[0].graph.lines[3].x.len(), 6);
        assert_eq!((&graphs[0].graph.mark, graphs[1].graph.batches_per_epoch), (&None, 0));
    }

    #[test]
    fn a_run_that_equals_another_does_not_hide_it() {
        let (one, mut other) = (history(), history());
        other.epochs[0].train_seconds = 9.0;
        let twins = |other: &History| -> Vec<bool> {
            six(&[("a", &one), ("b", other)])[0].graph.lines.iter().map(|line| line.twin).collect()
        };
        assert_eq!(twins(&other), [false, false, true, true]);
        other.epochs[1].val_loss += 1e-9;
        assert_eq!(twins(&other), [false; 4]);
    }

    #[test]
    fn what_was_watched_has_small_graphs_and_what_was_not_has_none() {
        let mut run = history();
        assert!(watched(&run).is_empty());
        // The first epoch is of an older run, which this one goes on from.
        let dead = |layer, dead| crate::train::DeadUnits { layer, dead, units: 10 };
        run.epochs[1].watch = Some(Watch::new(Some(0.25), None, 0.5, 2.0, [dead(1, 3), dead(3, 0)]));
        let graphs = watched(&run);
        let titles: Vec<&str> = graphs.iter().map(|watched| &*watched.graph.title).collect();
        assert_eq!(titles, ["Silent units", "Largest class", "Learning rate", "Largest weight"]);
        let lines = |index: usize| -> Vec<_> {
            graphs[index].graph.lines.iter().map(|line| (&*line.name, line.x[0], line.y[0])).collect()
        };
        assert_eq!(lines(0), [("layer 1", 2.0, 3.0), ("layer 3", 2.0, 0.0)]);
        assert_eq!((lines(1), lines(3)), (vec![("training", 2.0, 25.0)], vec![("training", 2.0, 2.0)]));
        let svg = graphs[1].graph.draw().inline();
        assert!(svg.contains("share of predictions, %") && !svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn a_run_of_no_epoch_has_empty_graphs() {
        assert!(watched(&History::default()).is_empty());
        for named in of_run(&History::default()) {
            assert!(named.graph.lines.iter().all(|line| line.x.is_empty() && line.y.is_empty()));
            assert_eq!(named.graph.mark, None);
        }
    }
}
