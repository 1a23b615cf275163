//! Rows that stay in their file: all of them, to be read as they are needed, or those that another rank trains on. What is
//! read has the bits that it would have in memory. It knows files as rows by number, not their formats.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::Scale;
use super::columns::Columns;
use super::rows::Rows;
use super::together;
use crate::error::Result;

/// A file that gives rows by their numbers.
pub(super) trait RowFile: fmt::Debug + Send + Sync {
    /// Gives the rows of `ranges`, which ascend and lie apart, in pieces of any length, in their order.
    ///
    /// # Errors
    /// What is wrong with the file, and what `each` returns.
    fn read(&self, ranges: &[Range<u32>], each: &mut dyn FnMut(Columns) -> Result<()>) -> Result<()>;

    /// Whether rows are found without reading those before them.
    fn can_seek(&self) -> bool;
}

/// As many rows as are measured where a set is too large for all.
const SPREAD: usize = 1000;

/// Those rows of `len`: evenly spread.
pub(super) fn spread(len: usize) -> Vec<u32> {
    (0..len as u32).step_by(len.div_ceil(SPREAD).max(1)).collect()
}

/// The columns of a set in a file, and those of its rows that are in memory.
#[derive(Debug, Clone)]
pub(super) struct OnDisk {
    file: Arc<dyn RowFile>,
    len: usize,
    /// Of pixels.
    scale: Option<Scale>,
    held: Option<Held>,
    /// The rows of [`spread`], once they have been asked for: a packed file has to be unpacked for them.
    spread: Arc<OnceLock<Columns>>,
}

/// Rows in memory.
#[derive(Debug, Clone, PartialEq)]
struct Held {
    rows: Places,
    columns: Box<Columns>,
}

/// Where the rows of some ranges lie, one range after the other.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Places {
    /// Ascending, and apart.
    ranges: Vec<Range<u32>>,
    /// `[ranges.len()]`: the place of the first row of each.
    starts: Vec<u32>,
}

impl Places {
    pub fn new(ranges: Vec<Range<u32>>) -> Self {
        let starts = ranges.iter().scan(0, |end, range| {
            let start = *end;
            *end += range.len() as u32;
            Some(start)
        });
        Places { starts: starts.collect(), ranges }
    }

    /// The place of `row`, if it is one of them.
    pub fn of(&self, row: u32) -> Option<u32> {
        let index = self.ranges.partition_point(|range| range.start <= row).checked_sub(1)?;
        let range = &self.ranges[index];
        range.contains(&row).then(|| self.starts[index] + row - range.start)
    }
}

/// Two are the same if they are of one file and have the same rows in memory: comparing what a file holds is not for `==`.
impl PartialEq for OnDisk {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.file, &other.file)
            && (self.len, self.scale) == (other.len, other.scale)
            && self.held == other.held
    }
}

impl OnDisk {
    /// `len` rows; of pixels, with a scale.
    pub fn new(file: Arc<dyn RowFile>, len: usize, scale: Option<Scale>) -> Self {
        OnDisk { file, len, scale, held: None, spread: Arc::default() }
    }

    pub fn scale(&self) -> Option<Scale> {
        self.scale
    }

    pub fn with_scale(self, scale: Scale) -> Self {
        let held = self.held.map(|held| Held { columns: Box::new(held.columns.with_scale(scale)), ..held });
        OnDisk { scale: self.scale.map(|_| scale), held, ..self }
    }

    pub fn can_seek(&self) -> bool {
        self.file.can_seek()
    }

    /// The same with the rows of `ranges` in memory, which ascend and lie apart.
    pub fn hold(&self, ranges: Vec<Range<u32>>) -> Result<Self> {
        let columns = Box::new(self.read(&ranges)?);
        Ok(OnDisk { held: Some(Held { rows: Places::new(ranges), columns }), ..self.clone() })
    }

    /// The rows that are in memory, ascending and apart.
    pub fn held_ranges(&self) -> &[Range<u32>] {
        self.held.as_ref().map_or(&[], |held| &held.rows.ranges)
    }

    /// Where `rows` lie among those in memory, and those; `None` if one is not among them. `places` is overwritten.
    pub fn held(&self, rows: &[u32], places: &mut Vec<u32>) -> Option<&Columns> {
        let held = self.held.as_ref()?;
        places.clear();
        for row in rows {
            places.push(held.rows.of(*row)?);
        }
        Some(&held.columns)
    }

    /// The rows of [`spread`]; pixels in any scale.
    pub fn spread(&self) -> Result<&Columns> {
        if let Some(columns) = self.spread.get() {
            return Ok(columns);
        }
        let columns = self.rows(&spread(self.len))?;
        Ok(self.spread.get_or_init(|| columns))
    }

    /// Gives all rows, in pieces, in their order.
    pub fn pieces(&self, each: &mut dyn FnMut(Columns) -> Result<()>) -> Result<()> {
        self.file.read(&[0..self.len as u32], each)
    }

    /// The rows of `ranges`, which ascend and lie apart.
    pub fn read(&self, ranges: &[Range<u32>]) -> Result<Columns> {
        let mut gathered = Gathered::default();
        self.file.read(ranges, &mut |columns| {
            gathered.add(&columns, None);
            Ok(())
        })?;
        Ok(gathered.columns_in(self.scale))
    }

    /// The rows of these numbers, in that order.
    pub fn rows(&self, rows: &[u32]) -> Result<Columns> {
        let ranges = ranges_of(rows.to_vec());
        let columns = self.read(&ranges)?;
        let places = Places::new(ranges);
        let places: Vec<u32> = rows.iter().filter_map(|row| places.of(*row)).collect();
        Ok(if places.iter().copied().eq(0..rows.len() as u32) { columns } else { columns.select(&places) })
    }

    /// A set of the rows of these numbers, in that order, none of which is in memory.
    pub fn select(&self, rows: &[u32]) -> Self {
        let file = Arc::new(Selected {
            file: self.file.clone(),
            rows: rows.into(),
            ascending: rows.is_sorted_by(|a, b| a < b),
        });
        OnDisk::new(file, rows.len(), self.scale)
    }
}

/// The ranges of rows that follow one another, of rows in any order.
pub(super) fn ranges_of(mut rows: Vec<u32>) -> Vec<Range<u32>> {
    rows.sort_unstable();
    rows.dedup();
    ascending_ranges(rows.into_iter())
}

/// The same of rows that ascend.
pub(super) fn ascending_ranges(rows: impl Iterator<Item = u32>) -> Vec<Range<u32>> {
    let mut ranges: Vec<Range<u32>> = Vec::new();
    for row in rows {
        match ranges.last_mut() {
            Some(last) if last.end == row => last.end += 1,
            _ => ranges.push(row..row + 1),
        }
    }
    ranges
}

/// Rows gathered from several places.
#[derive(Debug, Default)]
pub(super) enum Gathered {
    #[default]
    Nothing,
    Bytes(Rows),
    Values(Vec<f32>, usize),
}

impl Gathered {
    /// Adds the rows of these numbers of `from`, or all of them; all that is added has the same columns.
    pub fn add(&mut self, from: &Columns, rows: Option<&[u32]>) {
        if let Gathered::Nothing = self {
            *self = match from {
                Columns::Bytes { rows, .. } => Gathered::Bytes(Rows::new(rows.width())),
                Columns::Values { width, .. } => Gathered::Values(Vec::new(), *width),
                Columns::Compressed(_) | Columns::Bits(_) | Columns::OnDisk(_) => return,
            };
        }
        match (self, from) {
            (Gathered::Bytes(all), Columns::Bytes { rows: from, .. }) => match rows {
                Some(rows) => all.extend_selected(from, rows),
                None => all.append(from),
            },
            (Gathered::Values(all, width), Columns::Values { values, .. }) => match rows {
                Some(rows) => rows.iter().for_each(|row| {
                    all.extend_from_slice(&values[*row as usize * *width..][..*width]);
                }),
                None => all.extend_from_slice(values),
            },
            _ => {}
        }
    }

    /// All that was added, a byte for a pixel and four for a number.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Gathered::Nothing => Vec::new(),
            Gathered::Bytes(rows) => rows.copies(0..rows.len()),
            Gathered::Values(values, _) => together::to_bytes(values),
        }
    }

    /// Rows of `width` pixels or numbers from such bytes.
    pub fn of_bytes(bytes: &[u8], width: usize, are_pixels: bool) -> Self {
        if are_pixels {
            let mut rows = Rows::new(width);
            rows.extend(bytes);
            return Gathered::Bytes(rows);
        }
        Gathered::Values(together::numbers(bytes).collect(), width)
    }

    /// All that was added; pixels in this scale.
    pub fn columns_in(self, scale: Option<Scale>) -> Columns {
        match self {
            Gathered::Nothing => Columns::Values { values: Vec::new().into(), width: 0 },
            Gathered::Bytes(mut rows) => {
                rows.shrink();
                Columns::Bytes { rows, scale: scale.unwrap_or(Scale::Unit) }
            }
            Gathered::Values(mut values, width) => {
                values.shrink_to_fit();
                Columns::Values { values: values.into(), width }
            }
        }
    }
}

/// Some rows of a file, in an order of their own.
#[derive(Debug)]
struct Selected {
    file: Arc<dyn RowFile>,
    rows: Box<[u32]>,
    ascending: bool,
}

impl RowFile for Selected {
    fn read(&self, ranges: &[Range<u32>], each: &mut dyn FnMut(Columns) -> Result<()>) -> Result<()> {
        /// Rows that are put in order at a time.
        const PIECE: usize = 4096;
        let rows = ranges.iter().flat_map(|range| &self.rows[range.start as usize..range.end as usize]);
        if self.ascending {
            return self.file.read(&ascending_ranges(rows.copied()), each);
        }
        let rows: Vec<u32> = rows.copied().collect();
        // A packed file is unpacked once, and not for each piece.
        let piece = if self.can_seek() { PIECE } else { rows.len().max(1) };
        for rows in rows.chunks(piece) {
            let whole = OnDisk::new(self.file.clone(), 0, None);
            each(whole.rows(rows)?)?;
        }
        Ok(())
    }

    fn can_seek(&self) -> bool {
        self.file.can_seek()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row `r` is `[r, r + 0.5]`, in pieces of three.
    #[derive(Debug)]
    struct Numbers;

    impl RowFile for Numbers {
        fn read(&self, ranges: &[Range<u32>], each: &mut dyn FnMut(Columns) -> Result<()>) -> Result<()> {
            assert!(ranges.windows(2).all(|two| two[0].end < two[1].start), "{ranges:?}");
            let rows: Vec<u32> = ranges.iter().flat_map(Clone::clone).collect();
            rows.chunks(3).try_for_each(|rows| each(values(rows)))
        }

        fn can_seek(&self) -> bool {
            true
        }
    }

    fn values(rows: &[u32]) -> Columns {
        let values: Vec<f32> = rows.iter().flat_map(|row| [*row as f32, *row as f32 + 0.5]).collect();
        Columns::Values { values: values.into(), width: 2 }
    }

    fn numbers() -> OnDisk {
        OnDisk::new(Arc::new(Numbers), 20, None)
    }

    #[test]
    fn rows_are_read_in_any_order() {
        assert_eq!(numbers().read(&[1..3, 10..15]).unwrap(), values(&[1, 2, 10, 11, 12, 13, 14]));
        assert_eq!(numbers().rows(&[7, 3, 3, 8]).unwrap(), values(&[7, 3, 3, 8]));
        assert_eq!(ranges_of(vec![5, 4, 9, 4, 10, 0]), [0..1, 4..6, 9..11]);
    }

    #[test]
    fn what_is_selected_is_read_from_where_it_lies() {
        for rows in [vec![2, 3, 9], vec![9, 2, 3, 2]] {
            let selected = numbers().select(&rows);
            assert_eq!(selected.read(&[0..rows.len() as u32]).unwrap(), values(&rows));
            assert_eq!(selected.read(&[1..2]).unwrap(), values(&rows[1..2]));
            assert_eq!(selected.select(&[2, 0]).read(&[0..2]).unwrap(), values(&[rows[2], rows[0]]));
        }
    }

    #[test]
    fn held_rows_are_found_and_others_are_not() {
        let held = numbers().hold(vec![2..5, 9..10]).unwrap();
        let mut places = vec![7];
        let columns = held.held(&[9, 3], &mut places).unwrap();
        assert_eq!((columns.select(&places), places), (values(&[9, 3]), vec![3, 1]));
        assert!(held.held(&[3, 5], &mut Vec::new()).is_none());
        assert!(numbers().held(&[3], &mut Vec::new()).is_none());
    }
}
