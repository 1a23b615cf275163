//! How good predictions are, as scikit-learn's `score` says: accuracy of classes and of whole rows of labels, R² of values.

use flatnet::data::{Dataset, TargetColumns};

/// `output: [n, outputs]`, logits where `labels` says that targets are labels. NaN where a value is not finite.
pub fn score(output: &[f32], data: &Dataset, labels: bool) -> f64 {
    if !output.iter().all(|value| value.is_finite()) {
        return f64::NAN;
    }
    let weight = |row: usize| data.weights().map_or(1.0, |weights| f64::from(weights[row]));
    let rows = output.chunks(data.outputs()).enumerate();
    match data.targets() {
        TargetColumns::Classes { labels, .. } => {
            share(rows.map(|(row, output)| (largest(output) == usize::from(labels[row]), weight(row))))
        }
        TargetColumns::Values { values, width } if labels => share(rows.map(|(row, output)| {
            let right = |(z, t): (&f32, &f32)| (*z > 0.0) == (*t > 0.5);
            (output.iter().zip(&values[row * width..][..*width]).all(right), weight(row))
        })),
        TargetColumns::Values { values, width } => {
            let of_column = |column: usize| {
                let pairs = (column..values.len()).step_by(*width);
                r_squared(pairs.map(|at| (f64::from(output[at]), f64::from(values[at]), weight(at / width))))
            };
            (0..*width).map(of_column).sum::<f64>() / *width as f64
        }
    }
}

/// The first of the largest.
fn largest(output: &[f32]) -> usize {
    (1..output.len()).fold(0, |best, class| if output[class] > output[best] { class } else { best })
}

fn share(rows: impl Iterator<Item = (bool, f64)>) -> f64 {
    let (right, all) = rows.fold((0.0, 0.0), |(right, all), (is_right, weight)| {
        (right + if is_right { weight } else { 0.0 }, all + weight)
    });
    right / all
}

/// Of (found, wanted, weight). As in scikit-learn, constant targets give 1 if they are all met, else 0.
fn r_squared(rows: impl Iterator<Item = (f64, f64, f64)> + Clone) -> f64 {
    let weights: f64 = rows.clone().map(|(.., weight)| weight).sum();
    let mean = rows.clone().map(|(_, wanted, weight)| weight * wanted).sum::<f64>() / weights;
    let (left, all) = rows.fold((0.0, 0.0), |(left, all), (found, wanted, weight)| {
        (left + weight * (found - wanted).powi(2), all + weight * (wanted - mean).powi(2))
    });
    match (left == 0.0, all == 0.0) {
        (true, true) => 1.0,
        (false, true) => 0.0,
        _ => 1.0 - left / all,
    }
}
