//! `flatnet inspect` for tables, arrays and folders of pictures: collects what the library found out, and puts it into words.

use std::fmt::Write;
use std::path::Path;

use flatnet::data::inspect::table::{self, ColumnReport, TableReport, TargetReport};
use flatnet::data::{self, Dataset, Source};
use flatnet::report::{name_columns, shown_name};
use flatnet::{Error, Result};
use serde::Serialize;

use super::InspectArguments;
use crate::cli::table::grouped;
use crate::cli::{chosen, print, print_json, printable};

/// Columns of a table, and classes, that the text shows; `--json` has them all.
const SHOWN_COLUMNS: usize = 40;
const SHOWN_CLASSES: usize = 20;
const NAME: usize = 20;
const BAR: u64 = 28;

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    kind: &'static str,
    /// Of an archive of NumPy's.
    #[serde(skip_serializing_if = "Option::is_none")]
    arrays: Option<Vec<Array>>,
    #[serde(flatten)]
    contents: Contents,
}

#[derive(Serialize)]
struct Array {
    name: String,
    element: &'static str,
    shape: Vec<usize>,
}

#[derive(Serialize)]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "there is one of it in a program")]
enum Contents {
    /// Arrays of which none is known to be features.
    Arrays {
        file: String,
        problem: String,
    },
    Table {
        #[serde(flatten)]
        train: TableReport,
        test: Option<TableReport>,
        /// Rows of the test table that stand in the training table too, but for the target.
        shared_rows: Option<u64>,
    },
    Images {
        file: String,
        train: Images,
        test: Option<Images>,
    },
}

#[derive(Serialize)]
struct Images {
    count: usize,
    rows: usize,
    columns: usize,
    classes: Vec<Class>,
}

#[derive(Serialize)]
struct Class {
    class: String,
    images: u64,
}

pub fn inspect(arguments: &InspectArguments, path: &Path) -> Result<()> {
    if let Some(png) = &arguments.png {
        return Err(Error::Setting {
            name: "png",
            found: png.display().to_string(),
            expected: format!("only with IDX files or a model, and {} is neither", path.display()),
        });
    }
    let arrays = if path.is_file() { data::arrays(path)? } else { None };
    let contents = match (data::open(path, &arguments.source.options()), &arrays) {
        (Ok(source), _) => contents(source, arguments, path)?,
        // What an archive holds is worth telling even where nothing can be trained on it.
        (Err(Error::DataFile { problem, .. }), Some(_)) => {
            Contents::Arrays { file: path.display().to_string(), problem }
        }
        (Err(error), _) => return Err(error),
    };
    let kind = match contents {
        Contents::Arrays { .. } => "arrays",
        Contents::Table { .. } => "table",
        Contents::Images { .. } => "images",
    };
    let of = |array: data::ArrayInfo| Array { name: array.name, element: array.element, shape: array.shape };
    let arrays = arrays.map(|arrays| arrays.into_iter().map(of).collect());
    let report = Report { kind, arrays, contents };
    if arguments.json { print_json(&report) } else { print(&told(&report)) }
}

fn contents(source: Source, arguments: &InspectArguments, path: &Path) -> Result<Contents> {
    match source {
        Source::Table { train, test, targets } => {
            let only = match &targets[..] {
                [only] => Some(only.as_str()),
                _ => None,
            };
            let target = arguments.target.as_deref().or(only);
            // A test table need not have the target.
            let of_test =
                |test: &data::Table| table::inspect(test, target.filter(|target| test.find(target).is_some()));
            Ok(Contents::Table {
                train: table::inspect(&train, target)?,
                test: test.as_ref().map(of_test).transpose()?,
                shared_rows: test.as_ref().and_then(|test| table::shared_rows(&train, test, target)),
            })
        }
        Source::Images { train, test } => {
            if let Some(target) = &arguments.target {
                let expected = format!("only with a table, and {} holds images", path.display());
                return Err(Error::Setting { name: "target", found: target.clone(), expected });
            }
            let file = path.display().to_string();
            Ok(Contents::Images { file, train: images(&train), test: test.as_ref().map(images) })
        }
    }
}

fn images(set: &Dataset) -> Images {
    let name = |class: usize| set.class_names().get(class).cloned().unwrap_or_else(|| class.to_string());
    let counts = chosen::class_samples(set).into_iter().enumerate();
    let classes = counts.map(|(class, images)| Class { class: name(class), images: images as u64 }).collect();
    let (rows, columns) = set.image_size();
    Images { count: set.len(), rows, columns, classes }
}

fn told(report: &Report) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = describe(&mut text, report);
    text
}

fn describe(text: &mut String, report: &Report) -> std::fmt::Result {
    let arrays = |text: &mut String| {
        report.arrays.iter().flatten().try_for_each(|array| {
            let shape = array.shape.iter().map(|size| grouped(*size)).collect::<Vec<_>>().join(" x ");
            writeln!(text, "  array {} {:<8} {shape}", padded(&array.name), array.element)
        })
    };
    match &report.contents {
        Contents::Arrays { file, problem } => {
            writeln!(text, "{}", printable(file))?;
            arrays(text)?;
            writeln!(text, "Suspicious:\n  {}", printable(problem))
        }
        Contents::Images { file, train, test } => {
            writeln!(text, "{}", printable(file))?;
            arrays(text)?;
            for (split, images) in [("train", Some(train)), ("test", test.as_ref())] {
                let Some(images) = images else { continue };
                let (count, classes) = (grouped(images.count), images.classes.len());
                writeln!(
                    text,
                    "  {split:<9} {count} images of {} x {}, {classes} classes",
                    images.rows, images.columns
                )?;
                let classes: Vec<(&str, u64)> =
                    images.classes.iter().map(|class| (class.class.as_str(), class.images)).collect();
                balance(text, &classes)?;
            }
            Ok(())
        }
        Contents::Table { train, test, shared_rows } => {
            table(text, train, |text| arrays(text))?;
            let mut suspicious = train.suspicious.clone();
            if let Some(test) = test {
                writeln!(text)?;
                table(text, test, |_| Ok(()))?;
                suspicious.extend(test.suspicious.iter().map(|fault| format!("{}: {fault}", test.file)));
                if let Some(shared) = shared_rows.filter(|shared| *shared > 0) {
                    suspicious.push(format!(
                        "{} of the {} test rows stand among the training rows too, but for the target",
                        grouped(shared as usize),
                        grouped(test.rows)
                    ));
                }
            }
            if suspicious.is_empty() {
                return writeln!(text, "\nNothing looks wrong.");
            }
            writeln!(text, "\nSuspicious:")?;
            suspicious.iter().try_for_each(|fault| writeln!(text, "{}", wrapped(fault)))
        }
    }
}

/// A table in lines of at most 80 columns, but for its name.
fn table(
    text: &mut String,
    report: &TableReport,
    arrays: impl Fn(&mut String) -> std::fmt::Result,
) -> std::fmt::Result {
    writeln!(text, "{}", printable(&report.file))?;
    arrays(text)?;
    let (rows, columns) = (grouped(report.rows), grouped(report.columns.len()));
    writeln!(text, "  table     {rows} rows of {columns} columns")?;
    let cells = grouped(report.rows.saturating_mul(report.columns.len()));
    writeln!(text, "  missing   {} of {cells} cells", grouped(report.missing as usize))?;
    writeln!(text, "  doubled   {} rows", grouped(report.duplicates as usize))?;
    if let Some(target) = &report.target {
        balance_of(text, target)?;
    }
    let heads = ("missing", "least", "mean", "largest", if report.target.is_some() { "target" } else { "" });
    let line = format!(
        "\n  {:<NAME$} {:>9} {:>10} {:>10} {:>10} {:>8}",
        "column", heads.0, heads.1, heads.2, heads.3, heads.4
    );
    writeln!(text, "{}", line.trim_end())?;
    for column in report.columns.iter().take(SHOWN_COLUMNS) {
        writeln!(text, "{}", told_column(column).trim_end())?;
    }
    match report.columns.len().saturating_sub(SHOWN_COLUMNS) {
        0 => Ok(()),
        more => writeln!(text, "  and {} columns more (--json has them all)", grouped(more)),
    }
}

fn told_column(column: &ColumnReport) -> String {
    let missing = grouped(column.missing as usize);
    let correlation = column.correlation.map_or(String::new(), |correlation| format!("{correlation:.3}"));
    let contents = match (column.words, column.least, column.mean, column.largest) {
        (Some(words), ..) => {
            let most = column
                .most_frequent
                .as_deref()
                .map_or(String::new(), |word| format!(", mostly {}", shown_name(word, 8)));
            format!("{} words{most}", grouped(words))
        }
        (None, Some(least), Some(mean), Some(largest)) => {
            format!("{:>10} {:>10} {:>10}", number(f64::from(least)), number(mean), number(f64::from(largest)))
        }
        _ => "never given".to_string(),
    };
    format!("  {} {missing:>9} {contents:>32} {correlation:>8}", padded(&column.name))
}

/// In ten characters at most.
fn number(value: f64) -> String {
    let magnitude = value.abs();
    if value == 0.0 {
        "0".into()
    } else if value.fract() == 0.0 && magnitude < 1e9 {
        format!("{value}")
    } else if (1e-3..1e5).contains(&magnitude) {
        format!("{value:.3}")
    } else {
        format!("{value:.2e}")
    }
}

fn balance_of(text: &mut String, target: &TargetReport) -> std::fmt::Result {
    let name = shown_name(&target.column, NAME);
    if target.kind == "numbers" {
        return writeln!(text, "  target    {name}, numbers");
    }
    writeln!(text, "  target    {name}, {} classes", grouped(target.classes.len()))?;
    let classes: Vec<(&str, u64)> = target.classes.iter().map(|class| (class.class.as_str(), class.rows)).collect();
    balance(text, &classes)
}

/// A bar per class, its count and its share.
fn balance(text: &mut String, classes: &[(&str, u64)]) -> std::fmt::Result {
    let most = classes.iter().map(|(_, count)| *count).max().unwrap_or(1).max(1);
    let all = classes.iter().map(|(_, count)| *count).sum::<u64>().max(1) as f64;
    for (class, count) in classes.iter().take(SHOWN_CLASSES) {
        let bar = "#".repeat((count * BAR).div_ceil(most) as usize);
        let share = 100.0 * *count as f64 / all;
        let line = format!("    {} {:>11} {share:>6.2} % {bar}", padded(class), grouped(*count as usize));
        writeln!(text, "{}", line.trim_end())?;
    }
    match classes.len().saturating_sub(SHOWN_CLASSES) {
        0 => Ok(()),
        more => writeln!(text, "    and {} classes more (--json has them all)", grouped(more)),
    }
}

/// A name in a column of its own.
fn padded(name: &str) -> String {
    let shown = shown_name(name, NAME);
    let blanks = " ".repeat(NAME - name_columns(&shown));
    shown + &blanks
}

/// A sentence, indented.
fn wrapped(fault: &str) -> String {
    let lines = crate::cli::table::wrapped(&printable(fault), 78);
    lines.trim_end().lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fit_their_column() {
        for (value, expected) in [
            (0.0, "0"),
            (-7.0, "-7"),
            (999_999_999.0, "999999999"),
            (1.5, "1.500"),
            (-99_999.5, "-99999.500"),
            (123_456.7, "1.23e5"),
            (-1e-30, "-1.00e-30"),
            (f64::from(f32::MAX), "3.40e38"),
        ] {
            assert_eq!(number(value), expected);
            assert!(number(value).len() <= 10);
        }
    }
}
