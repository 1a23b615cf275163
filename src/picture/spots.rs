//! Spots of ink: pixels that touch each other, where they lie, and whether pen strokes look like that. It knows no light.

use super::resample::Part;

/// Pixels that touch each other, corners included.
pub(super) struct Spot {
    pub pixels: Vec<u32>,
    pub bounds: Bounds,
    pub weight: f32,
    pub darkest: f32,
    /// How many of its pixels lie on the picture's edge.
    pub on_edge: usize,
}

#[derive(Clone, Copy)]
pub(super) struct Bounds {
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
}

impl Bounds {
    pub(super) fn with(self, other: Bounds) -> Bounds {
        Bounds {
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
        }
    }

    pub(super) fn longer_side(self) -> usize {
        (self.right - self.left).max(self.bottom - self.top) + 1
    }

    pub(super) fn part(self) -> Part {
        Part { left: self.left, top: self.top, width: self.right - self.left + 1, height: self.bottom - self.top + 1 }
    }
}

/// A stroke is at most this thick, by the longer side of what it draws: the bar of a 1 in a heavy font is.
const THICKEST_STROKE: f32 = 0.46;
/// What lies along the picture's edge for this share of its length was cut off by it.
const ALONG_EDGE: f32 = 0.4;
/// Strokes that fill their picture are cut along this much of its edge, and are this thick, by the longer side of what they
/// draw. A shadow is more of one or the other.
const MOST_CUT: f32 = 1.4;
const THICKEST_CUT: f32 = 0.33;

impl Spot {
    /// Whether it looks like something that the picture's edge cuts off: a shadow, the table beside the paper, a finger.
    pub(super) fn is_cut_off(&self, width: usize) -> bool {
        let long = self.bounds.longer_side() as f32;
        self.on_edge > 0 && (self.on_edge as f32 > ALONG_EDGE * long || !are_strokes(&[self], width))
    }

    /// Whether it may be strokes of a picture so tight that its edge cuts them.
    pub(super) fn may_be_tight(&self, width: usize) -> bool {
        let long = self.bounds.longer_side() as f32;
        self.on_edge as f32 <= MOST_CUT * long && thickness(&[self], self.bounds, width) as f32 <= THICKEST_CUT * long
    }
}

/// Whether `spots` together are made of strokes, not of one solid area. The picture is `width` pixels wide.
pub(super) fn are_strokes(spots: &[&Spot], width: usize) -> bool {
    let Some(bounds) = spots.iter().map(|spot| spot.bounds).reduce(Bounds::with) else { return false };
    thickness(spots, bounds, width) as f32 <= THICKEST_STROKE * bounds.longer_side() as f32
}

/// The side of the largest square of ink in `bounds`.
fn thickness(spots: &[&Spot], bounds: Bounds, width: usize) -> usize {
    let part = bounds.part();
    // Of each pixel of ink, the side of the largest square whose lower right corner it is; a column of zeros at the left.
    let (mut above, mut row) = (vec![0; part.width + 1], vec![0; part.width + 1]);
    let mut ink = vec![false; part.width * part.height];
    for pixel in spots.iter().flat_map(|spot| &spot.pixels) {
        let (x, y) = (*pixel as usize % width, *pixel as usize / width);
        ink[(y - part.top) * part.width + x - part.left] = true;
    }
    let mut largest = 0;
    for line in ink.chunks_exact(part.width) {
        for (x, is_ink) in line.iter().enumerate() {
            row[x + 1] = if *is_ink { 1 + above[x].min(above[x + 1]).min(row[x]) } else { 0 };
            largest = largest.max(row[x + 1]);
        }
        std::mem::swap(&mut above, &mut row);
    }
    largest
}

/// All spots of the pixels in `mask: [height, width]`; `ink` says how dark they are.
pub(super) fn spots(ink: &[f32], mask: &[bool], width: usize) -> Vec<Spot> {
    let height = ink.len() / width;
    let mut open = mask.to_vec();
    let mut spots = Vec::new();
    for start in 0..ink.len() {
        if !std::mem::replace(&mut open[start], false) {
            continue;
        }
        let (x, y) = (start % width, start / width);
        let bounds = Bounds { left: x, top: y, right: x, bottom: y };
        let mut spot = Spot { pixels: vec![start as u32], bounds, weight: 0.0, darkest: 0.0, on_edge: 0 };
        let mut next = 0;
        while let Some(&pixel) = spot.pixels.get(next) {
            next += 1;
            let (x, y) = (pixel as usize % width, pixel as usize / width);
            let strength = ink[pixel as usize];
            spot.bounds = spot.bounds.with(Bounds { left: x, top: y, right: x, bottom: y });
            spot.weight += strength;
            spot.darkest = spot.darkest.max(strength);
            spot.on_edge += usize::from(x == 0 || y == 0 || x + 1 == width || y + 1 == height);
            for y in y.saturating_sub(1)..=(y + 1).min(height - 1) {
                for x in x.saturating_sub(1)..=(x + 1).min(width - 1) {
                    if std::mem::replace(&mut open[y * width + x], false) {
                        spot.pixels.push((y * width + x) as u32);
                    }
                }
            }
        }
        spots.push(spot);
    }
    spots
}
