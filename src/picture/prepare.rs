//! From a picture to what MNIST made of its digits: the ink, cropped, scaled to fit 20 of 28 pixels, centred by mass. It
//! knows how an image for a network looks, not what the network is.

use std::path::Path;

use super::ink::{self, Missing};
use super::resample::{Part, area_average, fit};
use super::{Gray, shrink};
use crate::error::{Error, Result};

/// Images with a shorter side than this show nothing that a network could tell apart.
pub const MIN_SIDE: usize = 8;
/// Nor does a network of dense layers take images with a longer one.
pub const MAX_SIDE: usize = 1024;
/// Where larger pictures are first made smaller: fine enough for ink that takes a thirtieth of a side.
const WORKING_SIDE: usize = 1024;
/// The ink's longer side in MNIST, of 28 pixels.
const INK_OF_SIDE: (usize, usize) = (20, 28);
/// Ink of fewer pixels along both sides is a dot or a stain.
const LEAST_INK: usize = 5;

/// Whether an image of so many rows and columns can hold a picture.
pub fn fits((rows, columns): (usize, usize)) -> bool {
    (MIN_SIDE..=MAX_SIDE).contains(&rows) && (MIN_SIDE..=MAX_SIDE).contains(&columns)
}

pub(super) fn check_size((rows, columns): (usize, usize)) -> Result<()> {
    if fits((rows, columns)) {
        return Ok(());
    }
    Err(Error::Shape {
        place: "the model's input".into(),
        expected: format!("images of {MIN_SIDE} x {MIN_SIDE} to {MAX_SIDE} x {MAX_SIDE} pixels, to fit pictures into"),
        found: format!("{rows} x {columns}"),
    })
}

/// Makes an image of `image_size` (rows, columns) from `picture`, as MNIST's images were made: light ink on black, its
/// longer side 20 of 28 pixels, proportions kept, its centre of mass in the middle. Dark ink on light is inverted.
///
/// Returns `[rows, columns]`, 0 for no ink to 255. The picture shows one character, whole; light may be uneven, shadows may
/// have hard edges, paper may be ruled. Errors name `path_for_errors`.
///
/// # Errors
/// [`Error::Picture`] if no ink can be made out, [`Error::Shape`] if `image_size` is not that of a small picture.
pub fn prepare(picture: &Gray, path_for_errors: &Path, image_size: (usize, usize)) -> Result<Vec<u8>> {
    check_size(image_size)?;
    let (rows, columns) = image_size;
    let refuse = |problem: String| Error::Picture { path: path_for_errors.to_path_buf(), problem };
    let (width, height) = (picture.width(), picture.height());
    let smaller = shrink(picture, WORKING_SIDE)?;
    let levels: Vec<f32> = smaller.pixels().iter().map(|pixel| f32::from(*pixel)).collect();
    let ink = ink::find(&levels, smaller.width(), smaller.height()).map_err(|missing| {
        let why = match missing {
            Missing::Even => "all nearly of one brightness",
            Missing::Noise => "nothing stands out of its noise",
            Missing::Solid => "one solid area, no strokes",
            Missing::CutOff => "its edge cuts off what is dark in it, or a shadow lies over it",
        };
        refuse(format!(
            "shows nothing ({width} x {height}, {why}); expected a digit, whole and with some paper around it"
        ))
    })?;
    if ink.part.width.max(ink.part.height) < LEAST_INK {
        return Err(refuse(format!(
            "shows only {} x {} pixels of ink (of {width} x {height}); expected a digit of at least {LEAST_INK}",
            ink.part.width, ink.part.height
        )));
    }
    Ok(lay_out(&ink.strength, smaller.width(), ink.part, rows, columns))
}

/// Scales `part` of the ink and puts it where its centre of mass is in the middle, or as near as it stays whole.
fn lay_out(strength: &[f32], stride: usize, part: Part, rows: usize, columns: usize) -> Vec<u8> {
    let longest = rows.min(columns) * INK_OF_SIDE.0 / INK_OF_SIDE.1;
    let (width, height) = fit(part.width, part.height, longest);
    let scaled = area_average(strength, stride, part, width, height);
    let (mut mass, mut by_x, mut by_y) = (0.0, 0.0, 0.0);
    for (y, row) in scaled.chunks_exact(width).enumerate() {
        for (x, value) in row.iter().enumerate() {
            mass += value;
            by_x += value * x as f32;
            by_y += value * y as f32;
        }
    }
    let place = |by: f32, side: usize, room: usize| {
        // As in MNIST: counted from 0, the pixel that the centre of mass of all its images falls into is 14 of 28.
        let start = ((room / 2) as f32 - by / mass).round().max(0.0) as usize;
        start.min(room - side)
    };
    let (left, top) = (place(by_x, width, columns), place(by_y, height, rows));
    // As in MNIST, where every image reaches white: a thin stroke stays as bright as a thick one.
    let brightest = scaled.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    let mut image = vec![0; rows * columns];
    for (line, row) in image[top * columns..].chunks_exact_mut(columns).zip(scaled.chunks_exact(width)) {
        for (pixel, value) in line[left..].iter_mut().zip(row) {
            *pixel = (255.0 * value / brightest).round() as u8;
        }
    }
    image
}
