//! What an evaluation gathers batch by batch, whatever is predicted, and what it says of it as JSON and as rows of a file. It
//! knows figures, not where the samples come from.

use flatnet::Result;
use flatnet::data::{Dataset, Outputs, Task, ValueColumn};
use flatnet::metrics::{
    Averages, ClassFigures, Classification, LabelCounts, MULTI_LABEL_METRICS, MultiLabel, REGRESSION_METRICS,
    Regression, wilson,
};
use flatnet::report::{PredictedBatch, PredictedColumns, PredictionsCsv, restore};
use serde_json::{Map, Value, json};

/// What is gathered, by what is predicted.
pub enum Tally {
    /// With the names of the classes, where they have some.
    Classes {
        found: Classification,
        names: Vec<String>,
    },
    Labels {
        found: MultiLabel,
        names: Vec<String>,
    },
    Values {
        found: Regression,
        outputs: Outputs,
        scratch: Restored,
    },
}

/// Values in their own units.
#[derive(Default)]
pub struct Restored {
    wanted: Vec<f32>,
    predicted: Vec<f32>,
}

impl Tally {
    /// Of no samples yet. `outputs`: what those of the model stand for, where it is one for tables; `class_names`: of its classes.
    pub fn new(data: &Dataset, outputs: Option<&Outputs>, class_names: &[String]) -> Result<Tally> {
        let width = data.outputs();
        Ok(match outputs {
            _ if data.classes() > 0 => {
                Tally::Classes { found: Classification::new(data.classes())?, names: class_names.to_vec() }
            }
            Some(Outputs::MultiLabel { columns }) => {
                Tally::Labels { found: MultiLabel::new(width)?, names: columns.clone() }
            }
            _ => {
                let known = outputs.filter(|outputs| outputs.task() == Task::Regress);
                // Values of no known column are as they are.
                let column = |output: usize| ValueColumn { name: output.to_string(), center: 0.0, scale: 1.0 };
                let plain = || Outputs::Regress { columns: (0..width).map(column).collect() };
                let outputs = known.cloned().unwrap_or_else(plain);
                Tally::Values { found: Regression::new(width)?, outputs, scratch: Restored::default() }
            }
        })
    }

    /// Takes a batch, and writes its rows, where they are to be written; `row` gives the number of each sample.
    pub fn add(
        &mut self,
        batch: &PredictedBatch<'_>,
        csv: Option<&mut PredictionsCsv<'_>>,
        row: impl Fn(usize) -> usize,
    ) -> Result<()> {
        let rows = (batch.first..batch.first + batch.samples).map(row);
        match self {
            Tally::Classes { found, .. } => {
                csv.map_or(Ok(()), |csv| csv.add(rows, &batch.classified()))?;
                found.add(&batch.classified())
            }
            Tally::Labels { found, .. } => {
                csv.map_or(Ok(()), |csv| csv.add_pairs(rows, batch.values(), batch.probabilities))?;
                found.add(batch.outputs, batch.values())
            }
            Tally::Values { found, outputs, scratch: Restored { wanted, predicted } } => {
                restore(Some(outputs), batch.values(), wanted);
                restore(Some(outputs), batch.outputs, predicted);
                csv.map_or(Ok(()), |csv| csv.add_pairs(rows, wanted, predicted))?;
                found.add(predicted, wanted)
            }
        }
    }

    pub fn task(&self) -> Task {
        match self {
            Tally::Classes { .. } => Task::Classify,
            Tally::Labels { .. } => Task::MultiLabel,
            Tally::Values { .. } => Task::Regress,
        }
    }

    /// Every figure of all samples together, under its name.
    pub fn metrics(&self) -> Map<String, Value> {
        let averages =
            |Averages { precision, recall, f1 }| json!({ "precision": precision, "recall": recall, "f1": f1 });
        match self {
            Tally::Classes { found, .. } => {
                let confusion = found.confusion();
                let mut metrics: Map<String, Value> =
                    found.figures().map(|figure| (figure.name.to_string(), json!(figure.value))).collect();
                metrics.insert("accuracy_interval".into(), json!(wilson(confusion.correct(), confusion.samples())));
                metrics.insert("macro_avg".into(), averages(confusion.macro_average()));
                metrics.insert("weighted_avg".into(), averages(confusion.weighted_average()));
                metrics
            }
            Tally::Labels { found, .. } => {
                let figures =
                    MULTI_LABEL_METRICS.iter().map(|metric| (metric.name.to_string(), json!((metric.of)(found))));
                let mut metrics: Map<String, Value> = figures.collect();
                metrics.insert("micro_avg".into(), averages(found.micro_average()));
                metrics.insert("macro_avg".into(), averages(found.macro_average()));
                metrics
            }
            Tally::Values { found, .. } => of_values(found),
        }
    }

    /// The figures of each label or value, in order; `None` of classes.
    pub fn per_output(&self) -> Option<Vec<Value>> {
        match self {
            Tally::Classes { .. } => None,
            Tally::Labels { found, names } => {
                let of_label = |(name, counts): (&String, &LabelCounts)| {
                    let ClassFigures { support, precision, recall, f1 } = counts.figures();
                    json!({ "name": name, "precision": precision, "recall": recall, "f1": f1, "support": support })
                };
                Some(names.iter().zip(found.labels()).map(of_label).collect())
            }
            Tally::Values { found, outputs, .. } => {
                let of_value = |(name, found): (&str, Regression)| {
                    let mut figures = of_values(&found);
                    figures.insert("name".into(), name.into());
                    Value::Object(figures)
                };
                Some(outputs.names().into_iter().zip(found.by_output()).map(of_value).collect())
            }
        }
    }
}

/// What the columns of a file of predictions are.
pub fn predicted_columns<'a>(
    data: &Dataset,
    outputs: Option<&'a Outputs>,
    class_names: &'a [String],
) -> PredictedColumns<'a> {
    match outputs {
        Some(Outputs::MultiLabel { columns }) => PredictedColumns::Labels(columns),
        Some(Outputs::Regress { columns }) => PredictedColumns::Values(columns),
        _ => PredictedColumns::Classes { classes: data.classes(), names: class_names },
    }
}

fn of_values(found: &Regression) -> Map<String, Value> {
    REGRESSION_METRICS.iter().map(|metric| (metric.name.to_string(), json!((metric.of)(found)))).collect()
}
