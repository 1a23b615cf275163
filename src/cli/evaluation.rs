//! What an evaluation came to, as text: the report by class that people know from scikit-learn, then the figures of all
//! classes together. It knows figures and how wide a screen is, not what they are of.

use std::fmt::Write;

use flatnet::metrics::{Averages, ClassFigures, Classification, Confusion, wilson};
use flatnet::report::grouped;
use flatnet::train::{Evaluation, shown_loss};

/// What is evaluated, as names to show.
pub struct Subject<'a> {
    pub model: &'a str,
    pub data: &'a str,
    pub images: &'a str,
}

/// The whole text, on a screen of so many columns.
pub fn told(
    subject: &Subject<'_>,
    evaluation: &Evaluation,
    found: &Classification,
    seconds: f64,
    columns: usize,
) -> String {
    let Subject { model, data, images } = subject;
    let head = format!(
        "{model} on {data}, {images}\n  accuracy {:.2} % ({} of {})\n  loss     {}\n  seconds  {seconds:.2}\n\n",
        100.0 * evaluation.accuracy,
        grouped(evaluation.correct),
        grouped(evaluation.samples),
        shown_loss(evaluation.loss),
    );
    let mut text = super::table::wrapped(&head, columns);
    // Writing into a String cannot fail.
    let _ = by_class(&mut text, found.confusion(), columns).and_then(|()| of_all(&mut text, found));
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
    /// Of the names on the left.
    const NAME_WIDTH: usize = "weighted avg".len();

    /// Of each figure, with the blank before it.
    fn figure_width(&self) -> usize {
        self.figures.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max("0.0000".len()) + 1
    }

    /// Of the number of samples, with the blank before it. `most` is the largest.
    fn support_width(&self, most: &str) -> usize {
        self.support.len().max(most.len()) + 1
    }

    fn width(&self, most: &str) -> usize {
        Self::NAME_WIDTH + self.figures.len() * self.figure_width() + self.support_width(most)
    }
}

/// Precision, recall, F1 and number of samples by class and on average.
fn by_class(text: &mut String, confusion: &Confusion, columns: usize) -> std::fmt::Result {
    let samples = grouped(confusion.samples() as usize);
    let [.., least] = &LAYOUTS;
    let layout = LAYOUTS.iter().find(|layout| layout.width(&samples) <= columns).unwrap_or(least);
    let (names, figures) = (Layout::NAME_WIDTH, layout.figure_width());
    let counts = layout.support_width(&samples);
    let line = |text: &mut String, name: &str, cells: Vec<String>, support: &str| {
        write!(text, "{name:>names$}")?;
        cells.iter().try_for_each(|cell| write!(text, "{cell:>figures$}"))?;
        writeln!(text, "{support:>counts$}")
    };
    let cells = |of: &Averages| layout.figures.iter().map(|(_, figure)| shown(figure(of))).collect();

    line(text, "", layout.figures.iter().map(|(name, _)| name.to_string()).collect(), layout.support)?;
    text.push('\n');
    for (class, of) in confusion.by_class().into_iter().enumerate() {
        let ClassFigures { support, precision, recall, f1 } = of;
        line(text, &class.to_string(), cells(&Averages { precision, recall, f1 }), &grouped(support as usize))?;
    }
    text.push('\n');
    // Where people look for it: in the last column of figures alone.
    let mut accuracy = vec![String::new(); layout.figures.len() - 1];
    accuracy.push(shown(confusion.accuracy()));
    line(text, "accuracy", accuracy, &samples)?;
    line(text, "macro avg", cells(&confusion.macro_average()), &samples)?;
    line(text, "weighted avg", cells(&confusion.weighted_average()), &samples)?;
    text.push('\n');
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

#[cfg(test)]
mod tests {
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

    fn text(found: &Classification, columns: usize) -> String {
        let subject = Subject { model: "run/model.safetensors", data: "data/mnist", images: "test images" };
        let (samples, correct) = (found.confusion().samples() as usize, found.confusion().correct() as usize);
        let evaluation = Evaluation { samples, correct, accuracy: correct as f64 / samples as f64, loss: 0.25 };
        told(&subject, &evaluation, found, 1.5, columns)
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
        let told = text(&found(3, 1000), 80);
        assert!(told.starts_with(expected), "{told}");
    }

    #[test]
    fn narrow_screens_get_short_names_and_then_fewer_columns() {
        for (classes, each) in [(2, 1), (2, 500_000), (10, 1000), (100, 100)] {
            let found = found(classes, each);
            for columns in [30, 40, 49, 50, 80, 200] {
                let told = text(&found, columns);
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
        let narrow = text(&found(10, 1000), 40);
        assert!(narrow.contains("   prec    rec     f1      n\n") && narrow.contains("0.5000 1.0000 0.6667  1,000\n"));
    }

    #[test]
    fn figures_that_say_nothing_of_so_many_classes_are_not_shown() {
        let (two, four, ten) = (text(&found(2, 5), 80), text(&found(4, 5), 80), text(&found(10, 5), 80));
        assert!(two.contains("ROC AUC") && !two.contains("top-"), "{two}");
        assert!(!four.contains("ROC AUC") && four.contains("top-3") && !four.contains("top-5"), "{four}");
        assert!(ten.contains("top-3") && ten.contains("top-5"), "{ten}");
        // Predicted as one class alone, two have no correlation.
        assert!(two.contains("Matthews corr.    -\n"), "{two}");
    }
}
