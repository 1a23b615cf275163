//! Printed lines: thin and straight, from one edge of the picture to another, or from one printed line to the next as around a
//! form's cell. It knows no light and no strokes.

use super::closing::transposed;

/// A printed line is at most this thick, by the side of the picture that it runs across.
const THICKEST: f32 = 0.05;
/// A line is followed from so many places of a side.
const STARTS: usize = 48;
/// For this share of its way a line from edge to edge is seen alone: elsewhere a stroke covers it.
const ALONE: f32 = 0.3;
/// A cell's side is mostly seen alone, and longer than so many times its thickness. A pen's strokes are hardly.
const SIDE_ALONE: f32 = 0.6;
const SIDE_LENGTH: f32 = 12.0;
/// A cell's side is at least this share of the picture's.
const SHORTEST_SIDE: f32 = 0.2;
/// For this share of its way a line may be missing, and for this share at once.
const MISSING: f32 = 0.1;
const GAP: f32 = 0.03;
/// A stroke covers a line for at most this share of the picture's side at once.
const COVERED: f32 = 0.7;
/// A line ends as near as this to the edge or to the line that it ends at, by the picture's longer side; at least 2 pixels.
const NEAR: f32 = 0.02;
/// An upright line that stands alone is a 1 that fills its picture, unless it is as thin as this by its length.
const THIN: f32 = 0.025;

/// The pixels of `mask: [height, width]` that printed lines take alone.
pub(super) fn lines(mask: &[bool], width: usize, height: usize) -> Vec<u32> {
    let flat = tracks(mask, width, height);
    let mut upright = tracks(&transposed(mask, width, height), height, width);
    for track in &mut upright {
        track.pixels.iter_mut().for_each(|pixel| {
            let (x, y) = (*pixel as usize / height, *pixel as usize % height);
            *pixel = (y * width + x) as u32;
        });
    }
    let near = (NEAR * width.max(height) as f32).max(2.0);
    let mut upright_full = upright.iter().filter(|track| track.is_full);
    let alone = upright_full.next().filter(|_| upright_full.next().is_none());
    if let Some(track) = alone
        && !flat.iter().any(|track| track.is_full)
        && track.thickness > THIN * (track.end.0 - track.start.0)
    {
        upright.iter_mut().for_each(|track| track.is_full = false);
    }
    // Cells' sides end at each other: those that do not are none, and then what ended at them may be none either.
    let mut kept = [vec![true; flat.len()], vec![true; upright.len()]];
    loop {
        let before = kept.clone();
        for (own, (tracks, others)) in [(&flat, &upright), (&upright, &flat)].into_iter().enumerate() {
            let length = if own == 0 { width } else { height } as f32;
            let breadth = if own == 0 { height } else { width } as f32;
            for (index, track) in tracks.iter().enumerate() {
                let ends_at_other = |(along, across): (f32, f32)| {
                    let at_edge = along < near || along > length - near || across < near || across > breadth - near;
                    let others = others.iter().zip(&before[1 - own]).filter(|(_, kept)| **kept);
                    at_edge || others.into_iter().any(|(other, _)| other.is_near((across, along), near))
                };
                kept[own][index] &= track.is_full || (ends_at_other(track.start) && ends_at_other(track.end));
            }
        }
        if kept == before {
            break;
        }
    }
    let count = |own: usize| kept[own].iter().filter(|kept| **kept).count();
    let has_full = flat.iter().chain(&upright).any(|track| track.is_full);
    if !has_full && count(0) + count(1) < 3 {
        return Vec::new();
    }
    let of = |tracks: Vec<Track>, kept: &[bool]| -> Vec<Track> {
        tracks.into_iter().zip(kept).filter(|(_, kept)| **kept).map(|(track, _)| track).collect()
    };
    let (flat, upright) = (of(flat, &kept[0]), of(upright, &kept[1]));
    let mut pixels = crossings(&flat, &upright, near, mask, (width, height));
    pixels.extend(flat.into_iter().chain(upright).flat_map(|track| track.pixels));
    pixels
}

/// Where lines cross neither is seen alone. What lies there is theirs if the paper shows diagonally beside it.
fn crossings(flat: &[Track], upright: &[Track], near: f32, mask: &[bool], (width, height): (usize, usize)) -> Vec<u32> {
    let mut pixels = Vec::new();
    for (flat, upright) in flat.iter().flat_map(|flat| upright.iter().map(move |upright| (flat, upright))) {
        // Both are nearly straight along an axis, so that two steps find the place.
        let x = upright.at(flat.at((upright.start.1 + upright.end.1) / 2.0));
        let y = flat.at(x);
        if !flat.is_near((x, y), near) || !upright.is_near((y, x), near) {
            continue;
        }
        let (half_x, half_y) = (upright.thickness / 2.0 + 1.0, flat.thickness / 2.0 + 1.0);
        let is_set = |x: f32, y: f32| {
            let inside = x >= 0.0 && y >= 0.0 && (x as usize) < width && (y as usize) < height;
            inside && mask[y as usize * width + x as usize]
        };
        let beside = [(-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0), (1.0, 1.0)];
        let covered = beside.iter().filter(|(u, v)| is_set(x + u * (half_x + 2.0), y + v * (half_y + 2.0))).count();
        if covered > 1 {
            continue;
        }
        let rows = (y - half_y).max(0.0) as usize..((y + half_y).round().max(0.0) as usize + 1).min(height);
        let columns = (x - half_x).max(0.0) as usize..((x + half_x).round().max(0.0) as usize + 1).min(width);
        pixels.extend(rows.flat_map(|y| columns.clone().map(move |x| (y * width + x) as u32)));
    }
    pixels
}

/// A thin straight line. Coordinates are along it and across it.
struct Track {
    pixels: Vec<u32>,
    start: (f32, f32),
    end: (f32, f32),
    thickness: f32,
    /// Whether it goes from edge to edge.
    is_full: bool,
}

impl Track {
    /// Where it is across, so far along.
    fn at(&self, along: f32) -> f32 {
        let share = (along - self.start.0) / (self.end.0 - self.start.0).max(1.0);
        self.start.1 + share * (self.end.1 - self.start.1)
    }

    /// Whether a place lies on it, or behind its end by `near` at most.
    fn is_near(&self, (along, across): (f32, f32), near: f32) -> bool {
        (self.start.0 - near..=self.end.0 + near).contains(&along)
            && (across - self.at(along)).abs() <= near + self.thickness
    }
}

/// The thin lines that run from left to right, at whatever place they start: those from edge to edge, and those long enough
/// for a cell's side.
fn tracks(mask: &[bool], width: usize, height: usize) -> Vec<Track> {
    let thickest = THICKEST * height as f32;
    let mut claimed = vec![false; mask.len()];
    let mut tracks = Vec::new();
    for x in (0..width).step_by((width / STARTS).max(1)) {
        let mut y = 0;
        while y < height {
            let Some((top, bottom)) = run(mask, width, height, x, y) else {
                y += 1;
                continue;
            };
            y = bottom + 1;
            if (bottom - top) as f32 > thickest || claimed[(top + bottom) / 2 * width + x] {
                continue;
            }
            if let Some(track) = track(mask, width, height, x, (top, bottom)) {
                track.pixels.iter().for_each(|pixel| claimed[*pixel as usize] = true);
                tracks.push(track);
            }
        }
    }
    tracks
}

/// The line through the pixels `start` of column `x`, if it is one.
fn track(mask: &[bool], width: usize, height: usize, x: usize, start: (usize, usize)) -> Option<Track> {
    let mut way = Way {
        pixels: (start.0..=start.1).map(|y| (y * width + x) as u32).collect(),
        thickness: (start.1 - start.0) as f32,
        alone: 1,
        missing: 0,
    };
    let middle = (start.0 + start.1) as f32 / 2.0;
    let (end, slope) = way.follow(mask, (width, height), (x as f32, middle), 0.0, 1);
    let (start, _) = way.follow(mask, (width, height), (x as f32, middle), slope, -1);
    let length = end.0 - start.0 + 1.0;
    if way.thickness > THICKEST * height as f32 || way.missing as f32 > MISSING * length {
        return None;
    }
    let near = (NEAR * width as f32).max(2.0);
    let at_edge = |(x, y): (f32, f32)| x < near || x > width as f32 - 1.0 - near || y < 2.0 || y > height as f32 - 3.0;
    let is_full = at_edge(start) && at_edge(end) && length >= 0.5 * width as f32;
    let alone = way.alone as f32 / length;
    let is_side = length >= SIDE_LENGTH * (way.thickness + 1.0) && length >= SHORTEST_SIDE * width as f32;
    let is_line = (is_full && alone >= ALONE) || (is_side && alone >= SIDE_ALONE);
    let is_full = is_full && alone >= ALONE;
    is_line.then_some(Track { pixels: way.pixels, start, end, thickness: way.thickness, is_full })
}

/// What was seen on the way along a line.
struct Way {
    pixels: Vec<u32>,
    thickness: f32,
    /// Columns where the line is seen by itself.
    alone: usize,
    /// Columns where nothing is seen before it goes on.
    missing: usize,
}

impl Way {
    /// Follows the line from a place in the direction of `step`; returns where it ends, and its slope.
    fn follow(
        &mut self,
        mask: &[bool],
        (width, height): (usize, usize),
        (from, mut middle): (f32, f32),
        mut slope: f32,
        step: isize,
    ) -> ((f32, f32), f32) {
        let gap = ((GAP * width as f32) as usize).max(2);
        let (mut missing, mut covered) = (0, 0);
        let mut end = (from, middle);
        let mut x = from as isize + step;
        while (0..width as isize).contains(&x) {
            middle += slope * step as f32;
            if middle < -0.5 || middle >= height as f32 - 0.5 {
                break;
            }
            // The longer it was out of sight, the farther off it may be.
            let at = middle.round() as isize;
            let reach = 1 + (missing + covered) as isize / 10;
            let near = (0..=reach).flat_map(|off| [at - off, at + off]).filter(|y| *y >= 0);
            let seen = near.into_iter().find_map(|y| run(mask, width, height, x as usize, y as usize));
            let Some((top, bottom)) = seen else {
                missing += 1;
                if missing > gap {
                    break;
                }
                x += step;
                continue;
            };
            self.missing += std::mem::take(&mut missing);
            let found = (bottom - top) as f32;
            let off = (top + bottom) as f32 / 2.0 - middle;
            if found > 1.5 * self.thickness + 1.5 || off.abs() > 1.0 + 0.25 * self.thickness + 0.1 * covered as f32 {
                // A stroke, or a part of one.
                covered += 1;
                if covered as f32 > COVERED * width as f32 {
                    break;
                }
            } else {
                covered = 0;
                self.alone += 1;
                middle += 0.3 * off;
                slope = (slope + 0.02 * off * step as f32).clamp(-0.15, 0.15);
                self.thickness += 0.1 * (found - self.thickness);
                self.pixels.extend((top..=bottom).map(|y| (y * width + x as usize) as u32));
            }
            end = (x as f32, middle);
            x += step;
        }
        (end, slope)
    }
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
