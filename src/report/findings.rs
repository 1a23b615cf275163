//! What a model makes of its validation samples, whatever it predicts: classes, labels or values. It knows a network, data
//! and what outputs stand for, not how findings are shown.

use std::collections::BTreeMap;

use super::classification::ClassificationReport;
use super::names::{MAX_NAME_COLUMNS, shown_name};
use super::predictions::Predictions;
use crate::data::{Dataset, Outputs};
use crate::error::Result;
use crate::metrics::{MULTI_LABEL_METRICS, MultiLabel, REGRESSION_METRICS, Regression};
use crate::nn::Sequential;

/// What became of the validation samples.
#[derive(Debug, Clone)]
pub enum Findings {
    /// Of a model that tells classes apart.
    Classes(ClassificationReport),
    /// Of one that says which labels a sample has.
    Labels(LabelReport),
    /// Of one that predicts values.
    Values(ValueReport),
}

/// What a model predicts for samples that each have any number of labels.
#[derive(Debug, Clone)]
pub struct LabelReport {
    /// Where the samples come from.
    pub source: String,
    /// What the labels are called.
    pub names: Vec<String>,
    /// What became of them.
    pub found: MultiLabel,
}

/// What a model predicts for samples of values, in their own units.
#[derive(Debug, Clone)]
pub struct ValueReport {
    /// Where the samples come from.
    pub source: String,
    /// How good all values together are.
    pub figures: Regression,
    /// Each of them.
    pub columns: Vec<ValueFinding>,
}

/// One value of the samples.
#[derive(Debug, Clone)]
pub struct ValueFinding {
    /// What it is called.
    pub name: String,
    /// How good its predictions are.
    pub figures: Regression,
    /// The true value and the one predicted, of every sample in order.
    pub pairs: Vec<(f32, f32)>,
}

impl Findings {
    /// One pass of `model` over all of `data`, in batches of `batch_size`, on the calling thread. `outputs` are those of the
    /// model of a table; without them, a sample's targets are classes, or values by number. `rows` are the samples' numbers
    /// in their file; where there are none, they are numbered as they come.
    ///
    /// # Errors
    /// Where the data does not fit the network or the outputs, or `batch_size` is 0.
    pub fn of(
        model: &Sequential,
        data: &Dataset,
        outputs: Option<&Outputs>,
        rows: &[u32],
        batch_size: usize,
    ) -> Result<Self> {
        if data.classes() > 0 {
            let mut report = ClassificationReport::of(model, data, batch_size)?;
            for mistake in &mut report.mistakes {
                mistake.row = rows.get(mistake.row).map_or(mistake.row, |row| *row as usize);
            }
            return Ok(Findings::Classes(report));
        }
        let predictions = Predictions::of(model, data, batch_size, 1)?;
        let (source, width) = (data.source().to_string(), data.outputs());
        let numbered = || (0..width).map(|output| output.to_string()).collect();
        let names = outputs.map_or_else(numbered, |outputs| outputs.names().into_iter().map(String::from).collect());
        if matches!(outputs, Some(Outputs::MultiLabel { .. })) {
            let mut found = MultiLabel::new(width)?;
            predictions.for_each(|batch| found.add(batch.outputs, batch.values()))?;
            return Ok(Findings::Labels(LabelReport { source, names, found }));
        }
        let mut figures = Regression::new(width)?;
        let mut pairs = vec![Vec::with_capacity(data.len()); width];
        let (mut predicted, mut wanted) = (Vec::new(), Vec::new());
        predictions.for_each(|batch| {
            restore(outputs, batch.outputs, &mut predicted);
            restore(outputs, batch.values(), &mut wanted);
            for (wanted, predicted) in wanted.chunks_exact(width).zip(predicted.chunks_exact(width)) {
                for (pairs, pair) in pairs.iter_mut().zip(wanted.iter().zip(predicted)) {
                    pairs.push((*pair.0, *pair.1));
                }
            }
            figures.add(&predicted, &wanted)
        })?;
        let columns = names.into_iter().zip(figures.by_output()).zip(pairs);
        let columns = columns.map(|((name, figures), pairs)| ValueFinding { name, figures, pairs }).collect();
        Ok(Findings::Values(ValueReport { source, figures, columns }))
    }

    /// The figures of labels or values under their names, for a summary; none of classes, whose accuracy is there already.
    pub fn metrics(&self) -> BTreeMap<String, Option<f64>> {
        match self {
            Findings::Classes(_) => BTreeMap::new(),
            Findings::Labels(LabelReport { found, .. }) => {
                MULTI_LABEL_METRICS.iter().map(|metric| (metric.name.to_string(), (metric.of)(found))).collect()
            }
            Findings::Values(ValueReport { figures, .. }) => {
                REGRESSION_METRICS.iter().map(|metric| (metric.name.to_string(), (metric.of)(figures))).collect()
            }
        }
    }

    /// What the model's outputs are called, as far as the names fit; classes without names are their numbers.
    pub(super) fn output_names(&self) -> Vec<String> {
        let shown = |name: &String| shown_name(name, MAX_NAME_COLUMNS);
        match self {
            Findings::Classes(found) => (0..found.confusion.classes()).map(|class| found.name(class)).collect(),
            Findings::Labels(LabelReport { names, .. }) => names.iter().map(shown).collect(),
            Findings::Values(ValueReport { columns, .. }) => columns.iter().map(|column| shown(&column.name)).collect(),
        }
    }
}

/// `values: [m, width]` in the units of their columns, into `restored`.
pub fn restore(outputs: Option<&Outputs>, values: &[f32], restored: &mut Vec<f32>) {
    restored.clear();
    restored.extend_from_slice(values);
    if let Some(outputs) = outputs {
        outputs.restore(restored);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{TargetColumns, ValueColumn};

    /// Gives each of its two inputs as an output.
    fn identity() -> Sequential {
        let mut model = Sequential::new(2).linear(2).build(0).unwrap();
        model.set_parameter("0.weight", &[1.0, 0.0, 0.0, 1.0]).unwrap();
        model.set_parameter("0.bias", &[0.0, 0.0]).unwrap();
        model
    }

    fn data(x: &[f32], targets: &[f32]) -> Dataset {
        let targets = TargetColumns::Values { values: targets.to_vec(), width: 2 };
        Dataset::from_values(x.to_vec(), 2, targets, "t".into()).unwrap()
    }

    #[test]
    fn values_are_found_in_their_own_units() {
        let column = |name: &str, center, scale| ValueColumn { name: name.into(), center, scale };
        let outputs = Outputs::Regress { columns: vec![column("a", 10.0, 2.0), column("b", 0.0, 1.0)] };
        let set = data(&[1.0, 0.5, -1.0, 2.0, 0.0, 3.0], &[0.0, 0.5, -1.0, 1.0, 0.5, 3.0]);
        for batch_size in [1, 2, 10] {
            let found = Findings::of(&identity(), &set, Some(&outputs), &[], batch_size).unwrap();
            assert_eq!(found.metrics()["mae"], Some((2.0 + 0.0 + 1.0 + 0.0 + 1.0 + 0.0) / 6.0));
            assert_eq!(found.output_names(), ["a", "b"]);
            let Findings::Values(found) = found else { panic!("{found:?}") };
            assert_eq!(found.columns[0].pairs, [(10.0, 12.0), (8.0, 8.0), (11.0, 10.0)]);
            assert_eq!((found.columns[0].figures.mae(), found.columns[1].figures.mse()), (Some(1.0), Some(1.0 / 3.0)));
        }
        let plain = Findings::of(&identity(), &set, None, &[], 2).unwrap();
        let mae = plain.metrics()["mae"].unwrap();
        assert!((mae - 2.5 / 6.0).abs() < 1e-12, "{mae}");
        assert_eq!(plain.output_names(), ["0", "1"]);
    }

    #[test]
    fn labels_are_found_where_logits_are_above_zero() {
        let outputs = Outputs::MultiLabel { columns: vec!["wet".into(), "cold".into()] };
        let set = data(&[1.0, -0.5, -1.0, 2.0, 0.0, 3.0], &[1.0, 0.0, 1.0, 1.0, 0.0, 1.0]);
        let found = Findings::of(&identity(), &set, Some(&outputs), &[], 2).unwrap();
        assert_eq!(found.metrics()["subset_accuracy"], Some(2.0 / 3.0));
        assert_eq!(found.metrics()["hamming_loss"], Some(1.0 / 6.0));
        let Findings::Labels(found) = found else { panic!("{found:?}") };
        assert_eq!((found.names, found.found.labels()[0].right), (vec!["wet".into(), "cold".into()], 1));
    }

    #[test]
    fn mistakes_are_numbered_as_in_their_file() {
        let targets = TargetColumns::Classes { labels: vec![0, 0, 1], classes: 2 };
        let set = Dataset::from_values(vec![1.0, 0.0, 0.0, 5.0, 0.0, 1.0], 2, targets, "t".into()).unwrap();
        let set = set.with_class_names(vec!["no".into(), "yes".into()]).unwrap();
        for (rows, row) in [(&[70, 30, 50][..], 30), (&[], 1)] {
            let Findings::Classes(found) = Findings::of(&identity(), &set, None, rows, 2).unwrap() else { panic!() };
            assert_eq!((found.mistakes.len(), found.mistakes[0].row, found.mistakes[0].pixels.len()), (1, row, 0));
            assert_eq!((found.name(1), found.kind), ("yes".into(), crate::run::SampleKind::Rows));
        }
    }
}
