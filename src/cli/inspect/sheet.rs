//! Contact sheets: some images of each class, in the terminal and as a PNG. It knows images and captions, not files of
//! data or models.

use std::collections::BTreeMap;
use std::path::Path;

use flatnet::picture::{self, Gray};
use flatnet::{Error, Result};

use crate::cli::tiles::{self, Style};

/// Images of this many classes at most ...
const MAX_CLASSES: usize = 62;
/// ... and so many of each are kept, none of them larger than this.
const PER_CLASS: usize = 20;
const MAX_SIDE: usize = 64;
/// What the terminal shows: one image of so many classes, small enough that five stand beside each other.
const TERMINAL_TILES: usize = 10;
const TERMINAL_SIDE: usize = 14;
/// Between the images of a PNG, in pixels and grey.
const GAP: usize = 2;
const GAP_GRAY: u8 = 96;

/// Keeps the first images of each class as they pass by.
pub struct Sheet {
    tiles: BTreeMap<u8, Vec<Gray>>,
    /// Whether the classes mean anything.
    labelled: bool,
}

impl Sheet {
    pub fn new(labelled: bool) -> Sheet {
        Sheet { tiles: BTreeMap::new(), labelled }
    }

    /// Keeps an image of `width` x any height pixels, if there is still room for its class.
    pub fn offer(&mut self, class: Option<u8>, width: usize, image: &[u8]) -> Result<()> {
        let (class, room) = if self.labelled { (class.unwrap_or(0), PER_CLASS) } else { (0, PER_CLASS * PER_CLASS) };
        if !self.tiles.contains_key(&class) && self.tiles.len() == MAX_CLASSES {
            return Ok(());
        }
        let tiles = self.tiles.entry(class).or_default();
        if tiles.len() < room {
            tiles.push(picture::shrink(&Gray::new(width, image.len() / width, image.to_vec())?, MAX_SIDE)?);
        }
        Ok(())
    }

    /// For standard output: one image per class, or the first ones.
    pub fn text(&self) -> Result<String> {
        let mut shown = Vec::new();
        let first_of_each = self.tiles.iter().filter_map(|(class, tiles)| Some((class.to_string(), tiles.first()?)));
        let all = self.tiles.values().flatten().enumerate().map(|(index, tile)| (index.to_string(), tile));
        let chosen: Vec<(String, &Gray)> =
            if self.labelled { first_of_each.collect() } else { all.take(TERMINAL_TILES).collect() };
        for (caption, tile) in chosen.into_iter().take(TERMINAL_TILES) {
            shown.push((caption, picture::shrink(tile, TERMINAL_SIDE)?));
        }
        tiles::sheet(&shown, Style::of_stdout(), tiles::columns())
    }

    /// Writes a new PNG: a row per class, or twenty images to a row.
    pub fn write(&self, path: &Path) -> Result<()> {
        let rows: Vec<&[Gray]> = if self.labelled {
            self.tiles.values().map(Vec::as_slice).collect()
        } else {
            self.tiles.values().flat_map(|tiles| tiles.chunks(PER_CLASS)).collect()
        };
        picture::write_png(path, &lay_out(&rows)?)
    }
}

/// An error if `path` exists.
pub fn refuse_existing(path: &Path) -> Result<()> {
    match path.symlink_metadata() {
        Err(_) => Ok(()),
        Ok(_) => Err(Error::Picture {
            path: path.to_path_buf(),
            problem: "exists already; choose another name for --png, or remove it first".into(),
        }),
    }
}

/// All images on one, as far apart as the largest needs.
fn lay_out(rows: &[&[Gray]]) -> Result<Gray> {
    let largest = |side: fn(&Gray) -> usize| rows.iter().flat_map(|row| row.iter()).map(side).max().unwrap_or(1);
    let (cell_width, cell_height) = (largest(Gray::width) + GAP, largest(Gray::height) + GAP);
    let per_row = rows.iter().map(|row| row.len()).max().unwrap_or(1).max(1);
    let (width, height) = (per_row * cell_width + GAP, rows.len().max(1) * cell_height + GAP);
    let mut pixels = vec![GAP_GRAY; width * height];
    for (y, row) in rows.iter().enumerate() {
        for (x, tile) in row.iter().enumerate() {
            let start = (y * cell_height + GAP) * width + x * cell_width + GAP;
            let lines = pixels.get_mut(start..).unwrap_or_default().chunks_mut(width);
            for (line, source) in lines.zip(tile.pixels().chunks(tile.width())) {
                line.iter_mut().zip(source).for_each(|(pixel, source)| *pixel = *source);
            }
        }
    }
    Gray::new(width, height, pixels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_keeps_the_first_of_each_class_and_has_a_row_for_each() {
        let mut sheet = Sheet::new(true);
        for index in 0..100_u8 {
            sheet.offer(Some(index % 3), 4, &[index; 12]).unwrap();
        }
        let kept: Vec<usize> = sheet.tiles.values().map(Vec::len).collect();
        assert_eq!(kept, [PER_CLASS; 3]);
        let rows: Vec<&[Gray]> = sheet.tiles.values().map(Vec::as_slice).collect();
        let png = lay_out(&rows).unwrap();
        assert_eq!((png.width(), png.height()), (PER_CLASS * 6 + 2, 3 * 5 + 2));
        // Row 1, column 2 is the third image of class 1: number 7. Left of it is the gap.
        let at = |x: usize, y: usize| png.pixels()[y * png.width() + x];
        assert_eq!((at(2 * 6 + 2, 5 + 2), at(2 * 6 + 1, 5 + 2), at(0, 0)), (7, GAP_GRAY, GAP_GRAY));
    }
}
