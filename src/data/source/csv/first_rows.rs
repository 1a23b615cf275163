//! The first rows of a text, which are looked at before any is taken: whether the first holds names, and how many columns
//! there are. It must not know what becomes of the rows.

use super::records::{Place, Records};
use super::{Decimal, Layout};
use crate::data::source::file_bytes::Bytes;
use crate::data::source::number::{self, Cell};
use crate::error::Result;

/// So many rows are looked at ...
const ROWS: usize = 20;
/// ... unless they have more cells, and then two.
const CELLS: usize = 50_000;

/// A row as text.
#[derive(Default)]
pub(super) struct Row {
    pub place: Place,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Row {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn cells(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }

    fn cell(&self, column: usize) -> Option<&[u8]> {
        let end = *self.ends.get(column)?;
        let start = if column == 0 { 0 } else { self.ends[column - 1] };
        Some(number::trimmed(&self.bytes[start..end]))
    }
}

pub(super) struct FirstRows(Vec<Row>);

impl FirstRows {
    pub fn look(records: &mut Records<impl Bytes>) -> Result<Self> {
        let (mut rows, mut cells) = (Vec::new(), 0);
        while rows.len() < ROWS && (rows.len() < 2 || cells < CELLS) {
            let mut row = Row::default();
            let found = records.next(|_, _, cell| {
                row.bytes.extend_from_slice(cell);
                row.ends.push(row.bytes.len());
                Ok(())
            })?;
            let Some((place, count)) = found else { break };
            row.place = place;
            cells += count;
            rows.push(row);
        }
        Ok(FirstRows(rows))
    }

    /// Those that hold no names.
    pub fn rows(&self, header: bool) -> &[Row] {
        self.0.get(usize::from(header)..).unwrap_or_default()
    }

    /// What they say of the table, where `header` does not say whether the first holds names; `None` without a row.
    pub fn layout(&self, header: Option<bool>, decimal: Decimal) -> Option<Layout> {
        let (first, below) = self.0.split_first()?;
        let header = header.unwrap_or_else(|| holds_names(first, below, decimal));
        let rows = if header { below } else { &self.0 };
        let width = first.len();
        // Nothing behind the last delimiter, in all rows; or behind the last one of the names, and not in the rows.
        let nothing_at = |row: &Row, at: usize| row.cell(at).is_none_or(<[u8]>::is_empty);
        let one_less = width > 1
            && nothing_at(first, width - 1)
            && rows.iter().all(|row| row.len() <= width && nothing_at(row, width - 1));
        let one_more =
            header && !rows.is_empty() && rows.iter().all(|row| row.len() == width + 1 && nothing_at(row, width));
        let name = |(column, cell): (usize, &[u8])| {
            let name = String::from_utf8_lossy(number::trimmed(cell)).into_owned();
            if header && !name.is_empty() { name } else { (column + 1).to_string() }
        };
        let names = first.cells().take(width - usize::from(one_less)).enumerate().map(name).collect();
        Some(Layout { names, header, trailing: one_less || one_more, line: first.place.line })
    }
}

/// Whether the first row holds names. It does if it has a word above numbers and no number, unless that is one of whole
/// numbers that rise from left to right, as years and pixels do. Where all is words, it does if no word of it stands in it
/// twice, or in its column again. Nothing may stand for a name but what is empty.
fn holds_names(first: &Row, below: &[Row], mut decimal: Decimal) -> bool {
    let mut kind = |cell: &[u8]| number::cell(cell, &mut decimal);
    let (mut numbers, mut word_above_numbers, mut any_numbers) = (Vec::new(), false, false);
    for column in 0..first.len() {
        let cell = first.cell(column).unwrap_or_default();
        let top = kind(cell);
        let (mut some, mut all) = (false, true);
        for row in below {
            match row.cell(column).map_or(Cell::Missing, &mut kind) {
                Cell::Number(_) | Cell::TooLarge => some = true,
                Cell::Word => all = false,
                Cell::Missing => {}
            }
        }
        any_numbers |= some && all;
        match top {
            Cell::Word => word_above_numbers |= some && all,
            Cell::Number(number) => numbers.push(number),
            Cell::Missing if cell.is_empty() => {}
            Cell::Missing | Cell::TooLarge => return false,
        }
    }
    let rise = |numbers: &[f32]| {
        numbers.iter().all(|number| number.fract() == 0.0 && *number >= 0.0)
            && numbers.windows(2).all(|two| two[0] < two[1])
    };
    if below.is_empty() {
        return numbers.is_empty();
    }
    if word_above_numbers {
        return rise(&numbers);
    }
    if any_numbers || !numbers.is_empty() {
        return false;
    }
    let mut words: Vec<&[u8]> = (0..first.len()).filter_map(|column| first.cell(column)).collect();
    words.sort_unstable();
    let twice = words.windows(2).any(|two| two[0] == two[1] && !two[0].is_empty());
    let again = (0..first.len()).any(|column| {
        let word = first.cell(column).unwrap_or_default();
        !word.is_empty() && below.iter().any(|row| row.cell(column) == Some(word))
    });
    !twice && !again
}
