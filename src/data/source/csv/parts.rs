//! A text that several processes read together: what each finds in its part of the bytes, and what that makes together. A
//! part is read as if no quote were open where it begins, which holds if the part before it ends just there. It must not know
//! what carries the findings.

use std::collections::HashSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::words::Words;
use super::{
    Beginning, Begun, Cells, Decimal, Dialect, EachRow, Kind, Layout, Records, Text, Wanted, rows_from_start,
    rows_until,
};
use crate::data::Table;
use crate::data::source::file_bytes::FileBytes;
use crate::error::Result;

/// What a column holds, as far as it is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::data::source) enum Known {
    Nothing,
    Numbers,
    /// These, in the order in which they are met.
    Words(Vec<String>),
}

/// What one process has found in its part of a text.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::data::source) struct PartOfText {
    names: Vec<String>,
    header: bool,
    trailing: bool,
    /// Where its first row begins; `None` if there is none before the end of the file.
    first: Option<u64>,
    /// Where the first row behind it begins.
    next: Option<u64>,
    /// Lines before that one: of the file in the first part, else from the part's first row on.
    lines: u32,
    columns: Vec<Known>,
    /// A sign of decimals that has been met: `.` or `,`.
    decimal: Option<char>,
    /// Whether what is wrong has kept it from its end.
    has_failed: bool,
}

/// What all parts make together.
pub(in crate::data::source) enum Joined {
    /// A text, and of each part the lines before those that it has counted.
    Text(Text, Vec<u32>),
    /// The parts are to be read again: columns hold what others have found.
    Again(Vec<Known>),
    /// The parts do not fit together, as something is wrong, or a line end stands in quotes where a part begins. The text has
    /// to be read from its beginning.
    Apart,
}

/// Reads the rows that begin in the `part` of the bytes of `file`, which is not packed, and gives them to `each` as
/// [`scan`](super::scan) does. `known` is what columns hold by the findings of others.
///
/// # Errors
/// What is wrong with the beginning of the file, which is told of all parts alike; and those of the operating system.
pub(in crate::data::source) fn scan_part(
    file: Begun<'_>,
    wanted: Wanted<'_>,
    known: Option<&[Known]>,
    part: Range<u64>,
    each: &mut EachRow<'_>,
) -> Result<(PartOfText, Form, Vec<f32>)> {
    let (path, extent) = (file.path(), file.extent());
    let Beginning { mut records, first, layout, decimal, mut kinds } = Beginning::of(file, wanted)?;
    for (kind, known) in kinds.iter_mut().zip(known.unwrap_or_default()) {
        match (&kind, known) {
            (Kind::Unknown, Known::Numbers) => *kind = Kind::Numbers,
            (Kind::Unknown, Known::Words(_)) => *kind = Kind::Words(Words::default()),
            _ => {}
        }
    }
    let dialect = records.dialect();
    let mut cells = Cells { path, layout: &layout, decimal, kinds, row: Vec::new(), beyond: false };
    let mut last = 0;
    let each: &mut EachRow<'_> = &mut |place, row| {
        last = place.line;
        each(place, row)
    };
    let (begins, rest) = if part.start == 0 {
        (Some(0), rows_from_start(&mut records, first, part.end, &mut cells, each))
    } else {
        drop((records, first));
        let mut records = Records::from_line(FileBytes::open(path, extent)?, dialect, part.start)?;
        let begins = records.ahead()?.map(|place| place.offset);
        (begins, rows_until(&mut records, part.end, &mut cells, each))
    };
    let has_failed = rest.is_err();
    let next = rest.ok().flatten();
    let lines = next.map_or(last, |place| place.line.saturating_sub(1));
    let next = next.map(|place| place.offset);
    let Cells { kinds, decimal: found, row, .. } = cells;
    let known = |kind: &Kind| match kind {
        Kind::Unknown | Kind::Nothing => Known::Nothing,
        Kind::Numbers => Known::Numbers,
        Kind::Words(words) => Known::Words(words.list()),
    };
    let decimal = match found {
        Decimal::Point => Some('.'),
        Decimal::Comma => Some(','),
        Decimal::Unknown => None,
    };
    let (names, header, trailing) = (layout.names.clone(), layout.header, layout.trailing);
    let columns = kinds.iter().map(known).collect();
    let found = PartOfText { names, header, trailing, first: begins, next, lines, columns, decimal, has_failed };
    Ok((found, Form { dialect, layout }, row))
}

/// How the cells of a text are told from each other, which its beginning says.
pub(in crate::data::source) struct Form {
    dialect: Dialect,
    layout: Layout,
}

/// What the parts of a text, in their order, make together.
pub(in crate::data::source) fn join(parts: &[&PartOfText], form: Form) -> Joined {
    let Some((mut columns, decimal)) = agreed(parts) else { return Joined::Apart };
    // A column of words may have cells that look like numbers, the first ones of a part among them.
    let differs = |part: &&PartOfText| {
        part.has_failed || part.columns.iter().zip(&columns).any(|(found, all)| is_other_kind(found, all))
    };
    if parts.iter().any(differs) {
        return Joined::Again(columns);
    }
    let (mut before, mut lines, mut at) = (Vec::new(), 0_u32, Some(0));
    for part in parts {
        let Some(sum) = lines.checked_add(part.lines).filter(|_| part.first == at) else { return Joined::Apart };
        before.push(lines);
        (lines, at) = (sum, part.next);
    }
    for column in &mut columns {
        if let Known::Words(words) = column {
            dedup(words);
            if words.len() > Table::MAX_WORDS {
                return Joined::Apart;
            }
        }
    }
    let kinds = columns.into_iter().map(|column| match column {
        Known::Nothing => Kind::Nothing,
        Known::Numbers => Kind::Numbers,
        Known::Words(words) => Kind::Words(Words::of(&words)),
    });
    let Form { dialect, layout } = form;
    Joined::Text(Text { dialect, layout, decimal, kinds: kinds.collect() }, before)
}

/// What columns hold, by the first part that knows, with all words; and the sign of decimals. Nothing is known by parts
/// behind one that has failed, before which there may be more that it has not come to. `None` where parts differ in what is
/// the same in all of a text.
fn agreed(parts: &[&PartOfText]) -> Option<(Vec<Known>, Decimal)> {
    let (first, others) = parts.split_first()?;
    let form = |part: &PartOfText| (part.header, part.trailing, part.names.clone());
    let mut columns = first.columns.clone();
    let mut decimal = first.decimal;
    let mut is_known = !first.has_failed;
    for part in others {
        if form(part) != form(first) || part.columns.len() != columns.len() {
            return None;
        }
        for (all, found) in columns.iter_mut().zip(&part.columns) {
            match (&mut *all, found) {
                (Known::Nothing, found) if is_known => *all = found.clone(),
                (Known::Words(words), Known::Words(more)) => words.extend_from_slice(more),
                _ => {}
            }
        }
        is_known &= !part.has_failed;
        match (decimal, part.decimal) {
            (Some(one), Some(other)) if one != other => return None,
            (known, found) => decimal = known.or(found),
        }
    }
    let decimal = match decimal {
        Some('.') => Decimal::Point,
        Some(',') => Decimal::Comma,
        _ => Decimal::Unknown,
    };
    Some((columns, decimal))
}

fn is_other_kind(found: &Known, all: &Known) -> bool {
    *found != Known::Nothing && std::mem::discriminant(found) != std::mem::discriminant(all)
}

/// The words as they are met first.
fn dedup(words: &mut Vec<String>) {
    let mut met = HashSet::new();
    words.retain(|word| met.insert(word.clone()));
}

impl PartOfText {
    /// Of each column of words, the numbers in `text` of the words of this part, by their numbers in it.
    pub fn numbers_in(&self, text: &Text) -> Vec<Option<Vec<f32>>> {
        let of_column = |(found, kind): (&Known, &Kind)| {
            let (Known::Words(words), Kind::Words(all)) = (found, kind) else { return None };
            words.iter().map(|word| all.known(word)).collect()
        };
        self.columns.iter().zip(&text.kinds).map(of_column).collect()
    }
}
