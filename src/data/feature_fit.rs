//! Fits columns to rows that come one after the other, as often as it takes: so that a table in memory and one in its file are
//! fitted by the same sums in the same order. It must not know where the rows come from.

use super::TableColumn;
use super::features::{Encoding, FeatureColumn, Features, Missing, Transform};

/// Quartiles need all values of a column at once: so many columns are taken in one pass as have this many values, or one.
const VALUES_AT_ONCE: usize = 1 << 24;
/// Adding to it changes no number, not even the sign of 0: a sum begins with it.
const EMPTY_SUM: f64 = -0.0;

/// Features on the way: the rows they are fitted on are [`add`](Self::add)ed in one order, once for each pass.
pub(super) struct FeatureFit {
    columns: Vec<FeatureColumn>,
    numbers: Vec<Number>,
    transform: Transform,
    missing: Missing,
    pass: Pass,
}

/// What the rows are added for.
enum Pass {
    /// Counts, sums and extremes.
    First,
    /// Squares of the distances from the mean.
    Squares,
    /// All values of these of `numbers`.
    Values(std::ops::Range<usize>),
}

/// A column of numbers, of which only cells count in which something is given.
struct Number {
    /// In the table.
    place: usize,
    /// Among the columns of the features.
    at: usize,
    count: usize,
    sum: f64,
    least: f64,
    most: f64,
    squares: f64,
    values: Vec<f32>,
    /// Median, and from the first quartile to the third.
    quartiles: (f64, f64),
}

impl FeatureFit {
    /// Of all `columns` of a table but for those of `targets`.
    pub fn new(columns: &[TableColumn], targets: &[usize], transform: Transform, missing: Missing) -> Self {
        let (mut numbers, mut features) = (Vec::new(), Vec::new());
        for (place, column) in columns.iter().enumerate().filter(|(place, _)| !targets.contains(place)) {
            let encoding = match &column.words {
                Some(words) => {
                    let mut words = words.clone();
                    words.sort_unstable();
                    Encoding::Words { words }
                }
                None => {
                    numbers.push(Number::new(place, features.len()));
                    Encoding::Number { center: 0.0, scale: 1.0, mean: 0.0 }
                }
            };
            features.push(FeatureColumn { name: column.name.clone(), place, encoding });
        }
        Self { columns: features, numbers, transform, missing, pass: Pass::First }
    }

    /// A row of the table.
    pub fn add(&mut self, row: &[f32]) {
        let numbers = match &self.pass {
            Pass::First | Pass::Squares => &mut self.numbers[..],
            Pass::Values(columns) => &mut self.numbers[columns.clone()],
        };
        for number in numbers {
            let cell = row[number.place];
            if cell.is_nan() {
                continue;
            }
            let wide = f64::from(cell);
            match self.pass {
                Pass::First => {
                    number.count += 1;
                    number.sum += wide;
                    number.least = if wide < number.least { wide } else { number.least };
                    number.most = if wide > number.most { wide } else { number.most };
                }
                Pass::Squares => number.squares += (wide - number.mean()).powi(2),
                Pass::Values(_) => number.values.push(cell),
            }
        }
    }

    /// Whether all rows have to be added once more, after they were.
    pub fn needs_another_pass(&mut self) -> bool {
        if let Pass::Values(columns) = &self.pass {
            self.numbers[columns.clone()].iter_mut().for_each(Number::take_quartiles);
        }
        self.pass = match (&self.pass, self.transform) {
            (Pass::First, Transform::Standard) => Pass::Squares,
            (Pass::First, Transform::Robust) => Pass::Values(self.next_columns(0)),
            (Pass::Values(columns), _) => Pass::Values(self.next_columns(columns.end)),
            (Pass::First | Pass::Squares, _) => return false,
        };
        match &self.pass {
            Pass::Values(columns) => !columns.is_empty(),
            Pass::First | Pass::Squares => !self.numbers.is_empty(),
        }
    }

    /// The columns from `first` on that have room in memory at once.
    fn next_columns(&self, first: usize) -> std::ops::Range<usize> {
        let (mut end, mut values) = (first, 0);
        while end < self.numbers.len() && (end == first || values + self.numbers[end].count <= VALUES_AT_ONCE) {
            values += self.numbers[end].count;
            end += 1;
        }
        first..end
    }

    /// What all passes have found.
    pub fn finish(mut self) -> Features {
        for number in &self.numbers {
            self.columns[number.at].encoding = number.encoding(self.transform);
        }
        Features { missing: self.missing, columns: self.columns }
    }
}

impl Number {
    fn new(place: usize, at: usize) -> Self {
        let (least, most) = (f64::INFINITY, f64::NEG_INFINITY);
        let (sum, squares) = (EMPTY_SUM, EMPTY_SUM);
        Self { place, at, count: 0, sum, least, most, squares, values: Vec::new(), quartiles: (0.0, 0.0) }
    }

    fn divisor(&self) -> f64 {
        self.count.max(1) as f64
    }

    fn mean(&self) -> f64 {
        self.sum / self.divisor()
    }

    fn take_quartiles(&mut self) {
        let mut sorted = std::mem::take(&mut self.values);
        sorted.sort_unstable_by(f32::total_cmp);
        self.quartiles = (quantile(&sorted, 0.5), quantile(&sorted, 0.75) - quantile(&sorted, 0.25));
    }

    /// Center, scale and mean; 0, 1 and 0 where nothing is given.
    fn encoding(&self, transform: Transform) -> Encoding {
        let mean = self.mean();
        let (center, scale) = match transform {
            Transform::Standard => (mean, (self.squares / self.divisor()).sqrt()),
            Transform::MinMax if self.least > self.most => (0.0, 0.0),
            Transform::MinMax => (self.least, self.most - self.least),
            Transform::Robust => self.quartiles,
            Transform::None => (0.0, 1.0),
        };
        // A column that does not vary, or by less than an f32 can say, is centered and no more: nothing is divided by 0.
        let varies = (scale as f32) > f32::MIN_POSITIVE && scale > center.abs() * f64::from(f32::EPSILON);
        let scale = if varies { scale } else { 1.0 };
        let single = |number: f64| f64::from(number as f32);
        Encoding::Number { center: single(center), scale: single(scale), mean: single(mean) }
    }
}

/// The value below which the share `of` of them lies, between two of them in proportion, as NumPy's percentiles are.
fn quantile(sorted: &[f32], of: f64) -> f64 {
    let place = of * sorted.len().saturating_sub(1) as f64;
    let at = |index: usize| sorted.get(index).copied().map_or(0.0, f64::from);
    let (below, above) = (at(place.floor() as usize), at(place.ceil() as usize));
    below + (above - below) * place.fract()
}

/// Finds the columns that are the same in all rows that are added, where something stands in them.
pub(super) struct Constant {
    /// Of each that may be: its place in the table, its number among those looked at, and what stands in it, once it is known.
    left: Vec<(usize, usize, Option<f32>)>,
}

impl Constant {
    /// Of the columns at `places`.
    pub fn new(places: impl Iterator<Item = usize>) -> Self {
        Self { left: places.enumerate().map(|(number, place)| (place, number, None)).collect() }
    }

    /// A row of the table.
    pub fn add(&mut self, row: &[f32]) {
        self.left.retain_mut(|(place, _, value)| {
            let cell = row[*place];
            cell.is_nan() || *value.get_or_insert(cell) == cell
        });
    }

    /// Their numbers among those looked at.
    pub fn left(self) -> impl Iterator<Item = usize> {
        self.left.into_iter().map(|(_, number, _)| number)
    }
}

/// Finds whether all cells of rows that are added are pixels, bright ones among them.
pub(super) struct Pixels {
    places: Vec<usize>,
    are_bytes: bool,
    is_bright: bool,
}

impl Pixels {
    /// Of all `columns` but for those of `targets`, which must be as many as a small image has.
    pub fn new(columns: &[TableColumn], targets: &[usize]) -> Self {
        const LEAST_PIXELS: usize = 64;
        let places: Vec<usize> = (0..columns.len()).filter(|place| !targets.contains(place)).collect();
        let are_bytes = places.len() >= LEAST_PIXELS && places.iter().all(|place| columns[*place].words.is_none());
        Self { places, are_bytes, is_bright: false }
    }

    /// A row of the table. Returns whether more rows can matter.
    pub fn add(&mut self, row: &[f32]) -> bool {
        const BRIGHT: f32 = 128.0;
        let is_byte = |cell: f32| cell.fract() == 0.0 && (0.0..=255.0).contains(&cell);
        self.are_bytes = self.are_bytes && self.places.iter().all(|place| is_byte(row[*place]));
        self.is_bright = self.is_bright || self.places.iter().any(|place| row[*place] >= BRIGHT);
        self.are_bytes
    }

    pub fn are_there(&self) -> bool {
        self.are_bytes && self.is_bright
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_that_of_an_iterator() {
        for cells in [&[][..], &[-0.0], &[-0.0, -0.0], &[-0.0, 0.0], &[0.1, 0.2, -0.7, 1e-9]] {
            let mut fit = FeatureFit::new(&[TableColumn::number("v")], &[], Transform::None, Missing::Mean);
            cells.iter().for_each(|cell| fit.add(&[*cell]));
            let expected: f64 = cells.iter().map(|cell| f64::from(*cell)).sum();
            assert_eq!(fit.numbers[0].sum.to_bits(), expected.to_bits(), "{cells:?}");
        }
    }

    /// Quartiles are taken of some columns after the other; here of one, two and one.
    #[test]
    fn passes_take_as_many_columns_as_have_room() {
        let columns: Vec<TableColumn> = (0..4).map(|at| TableColumn::number(at.to_string())).collect();
        let mut fit = FeatureFit::new(&columns, &[], Transform::Robust, Missing::Mean);
        for (number, count) in fit.numbers.iter_mut().zip([VALUES_AT_ONCE + 1, 5, VALUES_AT_ONCE - 5, 1]) {
            number.count = count;
        }
        let mut passes = Vec::new();
        while fit.needs_another_pass() {
            if let Pass::Values(columns) = &fit.pass {
                passes.push(columns.clone());
            }
        }
        assert_eq!(passes, [0..1, 1..3, 3..4]);
    }
}
