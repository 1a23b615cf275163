//! What an evaluation came to, as text: the report by class that people know from scikit-learn, then the figures of all
//! classes together. It knows figures and how wide a screen is, not what they are of.

use std::fmt::Write;

use flatnet::metrics::{
    Averages, ClassFigures, Classification, Confusion, MULTI_LABEL_METRICS, MultiLabel, REGRESSION_METRICS, Regression,
    wilson,
};
use flatnet::report::{MAX_NAME_COLUMNS, grouped, name_columns, padded_name, shown_name, significant};
use flatnet::train::{Evaluation, shown_loss};

use super::tally::Tally;

/// What is evaluated, as names to show.
pub struct Subject<'a> {
    pub model: &'a str,
    pub data: &'a str,
    pub samples: &'a str,
    /// What the loss is called.
    pub loss: &'a str,
}

/// The whole text, on a screen of so many columns.
pub fn told(subject: &Subject<'_>, evaluation: &Evaluation, found: &Tally, seconds: f64, columns: usize) -> String {
    let Subject { model, data, samples, loss } = subject;
    let (right, of) = (grouped(evaluation.correct), grouped(evaluation.samples));
    let percent = 100.0 * evaluation.accuracy;
    let first = match found {
        Tally::Classes { .. } => format!("accuracy {percent:.2} % ({right} of {of})"),
        Tally::Labels { .. } => format!("all right {percent:.2} % ({right} of {of})"),
        Tally::Values { .. } => format!("rows     {of}"),
    };
    let loss_name =
        if matches!(found, Tally::Values { .. }) { format!(" ({loss}, as trained)") } else { String::new() };
    let head = format!(
        "{model} on {data}, {samples}\n  {first}\n  loss     {}{loss_name}\n  seconds  {seconds:.2}\n\n",
        shown_loss(evaluation.loss),
    );
    let mut text = super::table::wrapped(&head, columns);
    // Writing into a String cannot fail.
    let _ = match found {
        Tally::Classes { found, names } => {
            by_class(&mut text, found.confusion(), names, columns).and_then(|()| of_all(&mut text, found))
        }
        Tally::Labels { found, names } => {
            by_label(&mut text, found, names, columns).and_then(|()| of_all_labels(&mut text, found))
        }
        Tally::Values { found, outputs, .. } => {
            of_all_values(&mut text, found).and_then(|()| by_value(&mut text, found, &outputs.names(), columns))
        }
    };
    text
}

/// One figure of a class, or of an average.
type OfClass = fn(&Averages) -> Option<f64>;

/// Which figures of a class are shown, and what they are called.
struct Layout {
    figures: &'static [(&'static str, OfClass)],
    support: &'static str,
}

/// The first that fits is taken: in full, with short names, or what says most.
const LAYOUTS: [Layout; 3] = [
    Layout {
        figures: &[("precision", |of| of.precision), ("recall", |of| of.recall), ("f1-score", |of| of.f1)],
        support: "support",
    },
    Layout { figures: &[("prec", |of| of.precision), ("rec", |of| of.recall), ("f1", |of| of.f1)], support: "n" },
    Layout { figures: &[("f1", |of| of.f1)], support: "n" },
];

impl Layout {
    /// Of each figure, with the blank before it.
    fn figure_width(&self) -> usize {
        self.figures.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max("0.0000".len()) + 1
    }

    /// Of the number of samples, with the blank before it. `most` is the largest.
    fn support_width(&self, most: &str) -> usize {
        self.support.len().max(most.len()) + 1
    }

    /// Without the names on the left.
    fn width(&self, most: &str) -> usize {
        self.figures.len() * self.figure_width() + self.support_width(most)
    }
}

/// The least width of the names on the left.
const NAME_WIDTH: usize = "weighted avg".len();

/// A line of the table: a name, its figures, and how many samples they are of.
type Line = (String, Averages, u64);

/// Precision, recall, F1 and number of samples by class and on average.
fn by_class(text: &mut String, confusion: &Confusion, names: &[String], columns: usize) -> std::fmt::Result {
    let name = |class: usize| names.get(class).cloned().unwrap_or_else(|| class.to_string());
    let classes = confusion.by_class().into_iter().enumerate().map(|(class, of)| line_of(name(class), of));
    let samples = confusion.samples();
    // Where people look for it: in the last column of figures alone.
    let accuracy = Averages { precision: None, recall: None, f1: confusion.accuracy() };
    let averages = [
        ("accuracy".into(), accuracy, samples),
        ("macro avg".into(), confusion.macro_average(), samples),
        ("weighted avg".into(), confusion.weighted_average(), samples),
    ];
    table(text, &classes.collect::<Vec<_>>(), &averages, columns)
}

/// The same by label.
fn by_label(text: &mut String, found: &MultiLabel, names: &[String], columns: usize) -> std::fmt::Result {
    let labels: Vec<Line> =
        names.iter().zip(found.labels()).map(|(name, counts)| line_of(name.clone(), counts.figures())).collect();
    let support = labels.iter().map(|(.., support)| support).sum();
    let averages =
        [("micro avg".into(), found.micro_average(), support), ("macro avg".into(), found.macro_average(), support)];
    table(text, &labels, &averages, columns)
}

fn line_of(name: String, of: ClassFigures) -> Line {
    let ClassFigures { support, precision, recall, f1 } = of;
    (name, Averages { precision, recall, f1 }, support)
}

fn table(text: &mut String, lines: &[Line], averages: &[Line], columns: usize) -> std::fmt::Result {
    let most = lines.iter().chain(averages).map(|(.., support)| *support).max().unwrap_or(0);
    let most = grouped(most as usize);
    let [.., least] = &LAYOUTS;
    let layout = LAYOUTS.iter().find(|layout| NAME_WIDTH + layout.width(&most) <= columns).unwrap_or(least);
    // Names get what room is left, and no more than they need.
    let room = columns.saturating_sub(layout.width(&most)).clamp(NAME_WIDTH, MAX_NAME_COLUMNS);
    let longest = lines.iter().map(|(name, ..)| name_columns(&shown_name(name, room))).max().unwrap_or(0);
    let (names, figures, counts) = (longest.max(NAME_WIDTH), layout.figure_width(), layout.support_width(&most));
    let write_line = |text: &mut String, name: &str, cells: Vec<String>, support: &str| {
        text.push_str(&padded_name(&shown_name(name, names), names));
        cells.iter().try_for_each(|cell| write!(text, "{cell:>figures$}"))?;
        writeln!(text, "{support:>counts$}")
    };
    let cells = |of: &Averages| layout.figures.iter().map(|(_, figure)| shown(figure(of))).collect();

    write_line(text, "", layout.figures.iter().map(|(name, _)| name.to_string()).collect(), layout.support)?;
    text.push('\n');
    for (name, of, support) in lines {
        write_line(text, name, cells(of), &grouped(*support as usize))?;
    }
    text.push('\n');
    for (name, of, support) in averages {
        let mut cells: Vec<String> = cells(of);
        if name == "accuracy" {
            let others = cells.len() - 1;
            cells[..others].iter_mut().for_each(String::clear);
        }
        write_line(text, name, cells, &grouped(*support as usize))?;
    }
    text.push('\n');
    Ok(())
}

/// The figures of all labels together, one in a line.
fn of_all_labels(text: &mut String, found: &MultiLabel) -> std::fmt::Result {
    let width = MULTI_LABEL_METRICS.iter().map(|metric| metric.title.len()).max().unwrap_or(0);
    MULTI_LABEL_METRICS
        .iter()
        .try_for_each(|metric| writeln!(text, "  {:<width$} {}", metric.title, shown((metric.of)(found))))
}

/// The figures of all values together, one in a line.
fn of_all_values(text: &mut String, found: &Regression) -> std::fmt::Result {
    let width = REGRESSION_METRICS.iter().map(|metric| metric.title.len()).max().unwrap_or(0);
    REGRESSION_METRICS
        .iter()
        .try_for_each(|metric| writeln!(text, "  {:<width$} {}", metric.title, shown_value((metric.of)(found))))
}

/// The same of each value, where there are several: as a table, or where that is too wide as a list.
fn by_value(text: &mut String, found: &Regression, values: &[&str], columns: usize) -> std::fmt::Result {
    /// Of a figure, with the blank before it: six digits, a point, a sign and an exponent.
    const FIGURE: usize = 13;
    if values.len() < 2 {
        return Ok(());
    }
    text.push('\n');
    let others = REGRESSION_METRICS.len() * FIGURE;
    let room = columns.saturating_sub(others).clamp(6, MAX_NAME_COLUMNS);
    let shown: Vec<String> = values.iter().map(|value| shown_name(value, room)).collect();
    let names = shown.iter().map(|name| name_columns(name)).max().unwrap_or(0);
    let is_wide = names + others <= columns;
    if is_wide {
        text.push_str(&" ".repeat(names));
        REGRESSION_METRICS.iter().try_for_each(|metric| write!(text, "{:>FIGURE$}", metric.name))?;
        text.push('\n');
    }
    for (name, found) in shown.iter().zip(found.by_output()) {
        let figures = REGRESSION_METRICS.iter().map(|metric| (metric.name, shown_value((metric.of)(&found))));
        if is_wide {
            text.push_str(&padded_name(name, names));
            figures.into_iter().try_for_each(|(_, figure)| write!(text, "{figure:>FIGURE$}"))?;
            text.push('\n');
        } else {
            writeln!(text, "{name}")?;
            figures.into_iter().try_for_each(|(metric, figure)| writeln!(text, "  {metric:<4} {figure}"))?;
        }
    }
    Ok(())
}

/// The figures of all classes together that say something of so many classes, one in a line.
fn of_all(text: &mut String, found: &Classification) -> std::fmt::Result {
    let figures: Vec<_> = found.figures().filter(|figure| figure.says_something).collect();
    let width = figures.iter().map(|figure| figure.title.len()).max().unwrap_or(0);
    for figure in figures {
        writeln!(text, "  {:<width$} {}", figure.title, shown(figure.value))?;
        if figure.name == "accuracy" {
            let confusion = found.confusion();
            let interval = wilson(confusion.correct(), confusion.samples());
            let interval = interval.map_or("-".into(), |(low, high)| format!("{low:.4} to {high:.4}"));
            writeln!(text, "  {:<width$} {interval}", "95 % interval")?;
        }
    }
    Ok(())
}

/// A figure with four decimals, or a dash where it is not defined.
fn shown(figure: Option<f64>) -> String {
    figure.map_or("-".into(), |figure| format!("{figure:.4}"))
}

/// Six digits of a figure in the units of its column, or a dash where it is not defined.
fn shown_value(figure: Option<f64>) -> String {
    figure.map_or("-".into(), |figure| significant(figure, 6))
}

#[cfg(test)]
mod tests {
    use flatnet::data::{Outputs, ValueColumn};
    use flatnet::metrics::Classified;

    use super::*;

    /// Samples of `classes` classes, as often each; the last class is never predicted, the first is predicted instead.
    fn found(classes: u32, each: usize) -> Classification {
        let mut found = Classification::new(classes as usize).unwrap();
        for class in 0..classes {
            let prediction = if class + 1 == classes { 0 } else { class };
            let certain = |of: u32| f32::from(u8::from(of == prediction));
            let probabilities: Vec<f32> = (0..each).flat_map(|_| (0..classes).map(certain)).collect();
            let (labels, predictions) = (vec![class; each], vec![prediction; each]);
            let batch = Classified { labels: &labels, predictions: &predictions, probabilities: &probabilities };
            found.add(&batch).unwrap();
        }
        found
    }

    fn text(found: Classification, columns: usize) -> String {
        with_names(found, &[], columns)
    }

    fn with_names(found: Classification, names: &[&str], columns: usize) -> String {
        let subject = Subject {
            model: "run/model.safetensors",
            data: "data/mnist",
            samples: "test images",
            loss: "cross-entropy",
        };
        let (samples, correct) = (found.confusion().samples() as usize, found.confusion().correct() as usize);
        let evaluation = Evaluation { samples, correct, accuracy: correct as f64 / samples as f64, loss: 0.25 };
        let names = names.iter().map(ToString::to_string).collect();
        told(&subject, &evaluation, &Tally::Classes { found, names }, 1.5, columns)
    }

    #[test]
    fn the_report_is_the_one_that_people_know() {
        let expected = "\
run/model.safetensors on data/mnist, test images
  accuracy 66.67 % (2,000 of 3,000)
  loss     0.2500
  seconds  1.50

             precision    recall  f1-score support

           0    0.5000    1.0000    0.6667   1,000
           1    1.0000    1.0000    1.0000   1,000
           2         -    0.0000    0.0000   1,000

    accuracy                        0.6667   3,000
   macro avg    0.7500    0.6667    0.5556   3,000
weighted avg    0.7500    0.6667    0.5556   3,000

  accuracy          0.6667
  95 % interval     0.6496 to 0.6833
  balanced accuracy 0.6667
  Cohen's kappa     0.5000
  Matthews corr.    0.6124
";
        let told = text(found(3, 1000), 80);
        assert!(told.starts_with(expected), "{told}");
    }

    #[test]
    fn narrow_screens_get_short_names_and_then_fewer_columns() {
        for (classes, each) in [(2, 1), (2, 500_000), (10, 1000), (100, 100)] {
            for columns in [30, 40, 49, 50, 80, 200] {
                let told = text(found(classes, each), columns);
                // Names of files are words that stay whole.
                let lines: Vec<&str> = told.lines().skip_while(|line| !line.trim_start().starts_with("loss")).collect();
                assert!(lines.iter().all(|line| line.chars().count() <= columns.max(36)), "{columns}:\n{told}");
                assert!(told.contains("f1"), "{told}");
                assert_eq!(told.contains("precision"), columns >= 52 || (columns >= 50 && each < 500_000), "{told}");
                // A line for each class and each average, all of one width.
                let table: Vec<&&str> =
                    lines.iter().skip(3).take_while(|line| !line.starts_with("  accuracy  ")).collect();
                let table: Vec<_> = table.into_iter().filter(|line| !line.is_empty()).collect();
                assert_eq!(table.len(), classes as usize + 4, "{told}");
                assert!(table.iter().all(|line| line.len() == table[0].len()), "{told}");
            }
        }
        let narrow = text(found(10, 1000), 40);
        assert!(narrow.contains("   prec    rec     f1      n\n") && narrow.contains("0.5000 1.0000 0.6667  1,000\n"));
    }

    #[test]
    fn figures_that_say_nothing_of_so_many_classes_are_not_shown() {
        let (two, four, ten) = (text(found(2, 5), 80), text(found(4, 5), 80), text(found(10, 5), 80));
        assert!(two.contains("ROC AUC") && !two.contains("top-"), "{two}");
        assert!(!four.contains("ROC AUC") && four.contains("top-3") && !four.contains("top-5"), "{four}");
        assert!(ten.contains("top-3") && ten.contains("top-5"), "{ten}");
        // Predicted as one class alone, two have no correlation.
        assert!(two.contains("Matthews corr.    -\n"), "{two}");
    }

    #[test]
    fn classes_have_their_names_as_far_as_there_is_room() {
        let told = with_names(found(3, 10), &["setosa", "iris\u{1b}[31m versicolor of the longest", "\u{732b}"], 80);
        let lines: Vec<&str> = told.lines().skip(5).collect();
        assert!(lines[2].starts_with("                  setosa    0.5000"), "{told}");
        assert!(lines[3].starts_with("iris\u{fffd}[31m versicolor of\u{2026}    1.0000"), "{told}");
        assert!(lines[4].starts_with("                      \u{732b}         -"), "{told}");
        assert!(!told.contains('\u{1b}'));
        // All lines of the table end in the same column, in which a wide character takes two.
        let table = lines.iter().take_while(|line| !line.starts_with("  accuracy")).filter(|line| !line.is_empty());
        let widths: Vec<usize> = table.map(|line| name_columns(line)).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{widths:?}\n{told}");
        let narrow = with_names(found(3, 10), &["a name of many words", "b", "c"], 36);
        assert!(narrow.lines().skip(4).all(|line| name_columns(line) <= 36), "{narrow}");
    }

    fn subject() -> Subject<'static> {
        Subject { model: "run/model.safetensors", data: "rows.csv", samples: "rows", loss: "huber:1" }
    }

    #[test]
    fn values_are_told_together_and_each() {
        let mut found = Regression::new(2).unwrap();
        found.add(&[2.0, 50.0, 2.0, 60.0], &[1.0, 50.0, 3.0, 50.0]).unwrap();
        let column = |name: &&str| ValueColumn { name: name.to_string(), center: 0.0, scale: 1.0 };
        let tally = |found, names: &[&str]| {
            let outputs = Outputs::Regress { columns: names.iter().map(column).collect() };
            Tally::Values { found, outputs, scratch: Default::default() }
        };
        let names = ["price", "area \u{732b}"];
        let evaluation = Evaluation { samples: 2, correct: 0, accuracy: 0.0, loss: 0.25 };
        let expected = "\
run/model.safetensors on rows.csv, rows
  rows     2
  loss     0.2500 (huber:1, as trained)
  seconds  1.50

  mean squared error  25.5
  mean absolute error 3
  R2                  0

                 mse          mae           r2
  price            1            1            0
area \u{732b}           50            5            -
";
        assert_eq!(told(&subject(), &evaluation, &tally(found.clone(), &names), 1.5, 80), expected);
        let narrow = told(&subject(), &evaluation, &tally(found, &names), 1.5, 38);
        assert!(narrow.contains("price\n  mse  1\n  mae  1\n  r2   0\n"), "{narrow}");
        let mut one = Regression::new(1).unwrap();
        one.add(&[2.0], &[1.0]).unwrap();
        assert!(told(&subject(), &evaluation, &tally(one, &names[..1]), 1.5, 80).ends_with("R2                  -\n"));
    }

    #[test]
    fn labels_are_told_one_by_one_and_together() {
        let mut found = MultiLabel::new(2).unwrap();
        found.add(&[1.0, 1.0, 1.0, -1.0], &[1.0, 0.0, 0.0, 0.0]).unwrap();
        let tally = Tally::Labels { found, names: vec!["toxic".into(), "spam".into()] };
        let evaluation = Evaluation { samples: 2, correct: 0, accuracy: 0.0, loss: 0.25 };
        let expected = "\
run/model.safetensors on rows.csv, rows
  all right 0.00 % (0 of 2)
  loss     0.2500
  seconds  1.50

             precision    recall  f1-score support

       toxic    0.5000    1.0000    0.6667       1
        spam    0.0000         -    0.0000       0

   micro avg    0.3333    1.0000    0.5000       1
   macro avg    0.2500    1.0000    0.3333       1

  micro F1        0.5000
  macro F1        0.3333
  subset accuracy 0.0000
  Hamming loss    0.5000
";
        assert_eq!(told(&subject(), &evaluation, &tally, 1.5, 80), expected);
    }
}
