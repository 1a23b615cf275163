//! Many values as few columns: what a graph of limited width can show of a series without hiding its spikes. It knows
//! numbers only, no pictures.

/// What stands in one column of pixels, of the values that fall into it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Column {
    /// Position of the first and of the last value.
    pub from: f64,
    pub to: f64,
    pub first: f64,
    pub least: f64,
    pub largest: f64,
    pub last: f64,
    /// The smoothed line; see [`columns`].
    pub smooth: f64,
}

/// How a smoothed line comes from values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Smoothing {
    /// At each value the mean of so many around it. Near the start it takes fewer, so that it stays centred where values
    /// change fast; near the end it takes the last so many.
    Centred(usize),
    /// At each value the mean of the block that it is in; blocks of so many begin at the first value.
    Blocks(usize),
}

impl Smoothing {
    /// How many values a mean is of.
    pub fn values(self) -> usize {
        let (Smoothing::Centred(values) | Smoothing::Blocks(values)) = self;
        values.max(1)
    }
}

/// Values beyond it would add up to no number, so they stand at it.
const MOST: f64 = 1e150;

/// Puts values at rising positions `x` into at most `count` columns of equal width over `span`; empty ones are left out.
/// Each column's `smooth` is the smoothed line at its middle value. `x` and `y` are equally long.
pub(super) fn columns(x: &[f64], y: &[f64], span: (f64, f64), count: usize, smoothing: Smoothing) -> Vec<Column> {
    let width = (span.1 - span.0).max(f64::MIN_POSITIVE) / count.max(1) as f64;
    let column_of = |x: f64| (((x - span.0) / width) as usize).min(count.saturating_sub(1));
    let smooth = Smooth::new(y, smoothing);
    let mut found = Vec::with_capacity(count.min(y.len()));
    let mut points = x.iter().copied().zip(y.iter().copied()).enumerate().peekable();
    while let Some((start, (from, first))) = points.next() {
        let mut column = Column { from, to: from, first, least: first, largest: first, last: first, smooth: first };
        let mut end = start;
        while let Some((index, (x, y))) = points.next_if(|(_, (x, _))| column_of(*x) == column_of(from)) {
            column.to = x;
            column.last = y;
            column.least = column.least.min(y);
            column.largest = column.largest.max(y);
            end = index;
        }
        column.smooth = smooth.at(start + (end - start) / 2);
        found.push(column);
    }
    found
}

/// Means in constant time each.
struct Smooth {
    /// Sum of the values before each index.
    sums: Vec<f64>,
    smoothing: Smoothing,
}

impl Smooth {
    fn new(y: &[f64], smoothing: Smoothing) -> Smooth {
        let mut sums = Vec::with_capacity(y.len() + 1);
        let mut sum = 0.0;
        sums.push(sum);
        sums.extend(y.iter().map(|value| {
            sum += value.clamp(-MOST, MOST);
            sum
        }));
        Smooth { sums, smoothing }
    }

    /// The mean around `index`, which is below the number of values.
    fn at(&self, index: usize) -> f64 {
        let values = self.sums.len() - 1;
        let window = self.smoothing.values().min(values);
        let before = (window - 1) / 2;
        let (from, to) = match self.smoothing {
            Smoothing::Blocks(_) => (index / window * window, (index / window + 1) * window),
            Smoothing::Centred(_) if index < before => (0, 2 * index + 1),
            Smoothing::Centred(_) => {
                let from = (index - before).min(values - window);
                (from, from + window)
            }
        };
        let to = to.min(values);
        (self.sums[to] - self.sums[from]) / (to - from) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: Smoothing = Smoothing::Centred(1);

    fn positions(count: usize) -> Vec<f64> {
        (1..=count).map(|index| index as f64).collect()
    }

    #[test]
    fn a_spike_among_many_values_stays() {
        let mut y = vec![0.5; 200_000];
        y[123_456] = 9.0;
        y[77] = 0.125;
        let x = positions(y.len());
        let columns = columns(&x, &y, (1.0, y.len() as f64), 480, RAW);
        assert_eq!(columns.len(), 480);
        let with_spike: Vec<&Column> = columns.iter().filter(|column| column.largest == 9.0).collect();
        assert_eq!(with_spike.len(), 1);
        assert!(with_spike[0].from <= 123_457.0 && 123_457.0 <= with_spike[0].to);
        assert_eq!((columns[0].least, columns[0].first, columns[0].last), (0.125, 0.5, 0.5));
        // Every value is in exactly one column.
        assert_eq!((columns[0].from, columns[479].to), (1.0, 200_000.0));
        assert!(columns.windows(2).all(|two| two[0].to + 1.0 == two[1].from));
    }

    #[test]
    fn few_values_keep_a_column_each() {
        let y = [3.0, 1.0, 2.0];
        let columns = columns(&positions(3), &y, (1.0, 3.0), 480, RAW);
        let kept: Vec<_> = columns.iter().map(|column| (column.from, column.first, column.smooth)).collect();
        assert_eq!(kept, [(1.0, 3.0, 3.0), (2.0, 1.0, 1.0), (3.0, 2.0, 2.0)]);
        assert_eq!(super::columns(&[], &[], (0.0, 1.0), 480, RAW), []);
    }

    #[test]
    fn values_of_any_size_have_a_mean() {
        let y = [f64::MAX, 1.7e308, 0.0, -f64::MAX, 5e-324];
        for smoothing in [RAW, Smoothing::Centred(3), Smoothing::Blocks(2)] {
            let columns = columns(&positions(5), &y, (1.0, 5.0), 480, smoothing);
            assert!(columns.len() == 5 && columns.iter().all(|column| column.smooth.is_finite()), "{columns:?}");
        }
    }

    #[test]
    fn one_value_in_a_span_of_no_width_is_a_column() {
        assert_eq!(columns(&[1.0], &[7.0], (1.0, 1.0), 480, RAW).len(), 1);
    }

    #[test]
    fn the_smooth_line_is_a_centred_mean() {
        let smooth = |y: &[f64], smoothing| -> Vec<f64> {
            columns(&positions(100), y, (1.0, 100.0), 100, smoothing).iter().map(|column| column.smooth).collect()
        };
        let steps: Vec<f64> = (0..100).map(|index| if index < 50 { 0.0 } else { 11.0 }).collect();
        let line = smooth(&steps, Smoothing::Centred(11));
        assert_eq!((line[44], line[45], line[49], line[50], line[55]), (0.0, 1.0, 5.0, 6.0, 11.0));
        // A straight line stays one from its very start; at the end the last window remains.
        let straight: Vec<f64> = (0..100).map(f64::from).collect();
        let line = smooth(&straight, Smoothing::Centred(11));
        assert_eq!((line[0], line[1], line[50], line[94], line[99]), (0.0, 1.0, 50.0, 94.0, 94.0));
        assert_eq!(smooth(&straight, Smoothing::Centred(1000))[99], 49.5);
    }

    #[test]
    fn a_block_has_one_mean() {
        let y: Vec<f64> = (0..10).map(f64::from).collect();
        let columns = columns(&positions(10), &y, (1.0, 10.0), 100, Smoothing::Blocks(4));
        let smooth: Vec<f64> = columns.iter().map(|column| column.smooth).collect();
        assert_eq!(smooth, [1.5, 1.5, 1.5, 1.5, 5.5, 5.5, 5.5, 5.5, 8.5, 8.5]);
    }
}
