//! Printed lines: thin, from one edge of the picture to the other, straight or nearly so. It knows no light and no strokes.

use super::closing::transposed;

/// A printed line is at most this thick, by the side of the picture that it runs across.
const THICKEST: f32 = 0.05;
/// For this share of its way it is seen alone: elsewhere a stroke covers it.
const ALONE: f32 = 0.5;
/// For this share of its way it may be missing.
const MISSING: f32 = 0.1;

/// The pixels of `mask: [height, width]` that printed lines take alone.
pub(super) fn lines(mask: &[bool], width: usize, height: usize) -> Vec<u32> {
    let mut found: Vec<u32> = across(mask, width, height).concat();
    let upright = across(&transposed(mask, width, height), height, width);
    // A single upright line is a 1 that fills its picture.
    if upright.len() > 1 {
        found.extend(upright.concat().iter().map(|pixel| {
            let (x, y) = (*pixel as usize / height, *pixel as usize % height);
            (y * width + x) as u32
        }));
    }
    found
}

/// The lines that start at the left edge and reach the right one.
fn across(mask: &[bool], width: usize, height: usize) -> Vec<Vec<u32>> {
    let thickest = THICKEST * height as f32;
    let mut lines = Vec::new();
    let mut y = 0;
    while y < height {
        let Some((top, bottom)) = run(mask, width, height, 0, y) else {
            y += 1;
            continue;
        };
        y = bottom + 1;
        if (bottom - top) as f32 <= thickest {
            lines.extend(follow(mask, width, height, (top, bottom)));
        }
    }
    lines
}

/// Follows the line whose pixels are `start` in the first column.
fn follow(mask: &[bool], width: usize, height: usize, start: (usize, usize)) -> Option<Vec<u32>> {
    let mut pixels = Vec::new();
    let mut thickness = (start.1 - start.0) as f32;
    let (mut middle, mut slope) = ((start.0 + start.1) as f32 / 2.0, 0.0);
    let (mut alone, mut missing) = (0, 0);
    for x in 0..width {
        middle += slope;
        if middle < 0.0 || middle >= height as f32 {
            return None;
        }
        let at = middle.round() as usize;
        let seen = [at, at.saturating_sub(1), at + 1].iter().find_map(|y| run(mask, width, height, x, *y));
        let Some((top, bottom)) = seen else {
            missing += 1;
            continue;
        };
        let found = (bottom - top) as f32;
        if found > 1.5 * thickness + 1.5 {
            continue;
        }
        alone += 1;
        let off = (top + bottom) as f32 / 2.0 - middle;
        middle += 0.3 * off;
        slope = (slope + 0.02 * off).clamp(-0.15, 0.15);
        thickness += 0.1 * (found - thickness);
        pixels.extend((top..=bottom).map(|y| (y * width + x) as u32));
    }
    let share = |count: usize| count as f32 / width as f32;
    (share(alone) >= ALONE && share(missing) <= MISSING && thickness <= THICKEST * height as f32).then_some(pixels)
}

/// The first and the last row of the mask's pixels around `y` in column `x`.
fn run(mask: &[bool], width: usize, height: usize, x: usize, y: usize) -> Option<(usize, usize)> {
    let is_set = |y: usize| y < height && mask[y * width + x];
    if !is_set(y) {
        return None;
    }
    let (mut top, mut bottom) = (y, y);
    while top > 0 && is_set(top - 1) {
        top -= 1;
    }
    while is_set(bottom + 1) {
        bottom += 1;
    }
    Some((top, bottom))
}
