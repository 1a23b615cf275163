//! One process's part of a text that several read together: its rows, and what it tells the others of them. It knows neither
//! what carries that nor what the parts make together.

use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Gaps, MARK_BYTES};
use crate::data::messages::listed;
use crate::data::source::csv::{self, Wanted};
use crate::data::source::unpack::{Begun, Extent};
use crate::data::together::{Kept, Reading, other_data};
use crate::error::{Error, Result};

/// Of `rows`, those of this process where all have as many.
pub(super) fn even_part(reading: &Reading, rows: u32) -> Range<u32> {
    let (rank, size) = (reading.rank() as u64, reading.size() as u64);
    let start = |rank: u64| (u64::from(rows) * rank / size) as u32;
    start(rank)..start(rank + 1)
}

/// What a process tells the others of its part of a text.
#[derive(Serialize, Deserialize)]
pub(super) struct OwnRows {
    /// Of the file.
    bytes: u64,
    pub found: csv::PartOfText,
    pub count: u32,
    pub gaps: Gaps,
    /// Rows of the part, with their lines and bytes.
    pub marks: Vec<(u32, u32, u64)>,
}

impl OwnRows {
    /// And the cells, if they are to be kept.
    pub fn read(
        reading: &Reading,
        path: &Path,
        wanted: Wanted<'_>,
        known: Option<&[csv::Known]>,
    ) -> Result<(Self, csv::Form, Kept)> {
        let file = Begun::open(path)?;
        let Extent::Exactly(bytes) = file.extent() else { return Err(other_data("a packed file")) };
        let (rank, size) = (reading.rank() as u128, reading.size() as u128);
        let start = |rank: u128| (u128::from(bytes) * rank / size) as u64;
        let (mut count, mut gaps, mut marks) = (0, Gaps::default(), Vec::<(u32, u32, u64)>::new());
        let (mut lines, mut given) = (Vec::new(), 0);
        let (found, form, cells) =
            csv::scan_part(file, wanted, known, start(rank)..start(rank + 1), &mut |place, cells| {
                if marks.last().is_none_or(|(_, _, offset)| place.offset - offset >= MARK_BYTES) {
                    marks.push((count, place.line, place.offset));
                }
                let row = &cells[given..];
                let width = row.len();
                gaps.add(count, row);
                if reading.keeps_rows() {
                    given += width;
                    let room = cells.try_reserve(width).and_then(|()| lines.try_reserve(1));
                    room.map_err(|_| Error::out_of_memory(path))?;
                    lines.push(place.line);
                } else {
                    cells.clear();
                }
                count += 1;
                Ok(())
            })?;
        Ok((OwnRows { bytes, found, count, gaps, marks }, form, Kept { cells, lines }))
    }

    /// What all have found, by rank.
    pub fn tell(&self, reading: &Reading, path: &Path) -> Result<Vec<OwnRows>> {
        let own = serde_json::to_vec(self).map_err(|_| Error::out_of_memory(path))?;
        let all = reading.gather("the columns of a table", &own)?;
        let all = all.iter().map(|told| serde_json::from_slice(told));
        let all: Vec<OwnRows> = all.collect::<std::result::Result<_, _>>().map_err(|_| other_data("columns"))?;
        match all.iter().find(|other| other.bytes != self.bytes) {
            Some(_) => {
                let sizes = listed(all.iter().map(|rows| rows.bytes.to_string()), 4);
                Err(other_data(&format!("files of {sizes} bytes")))
            }
            None => Ok(all),
        }
    }
}
