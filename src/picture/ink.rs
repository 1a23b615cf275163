//! What of a picture is ink: how much each pixel differs from the background, without noise, printed lines and what lies
//! about. Where the light changes slowly the background is a surface; where a shadow has a hard edge it is found window by
//! window. It knows light and dark, not digits.

use super::levels::between_levels;
use super::resample::Part;
use super::ruled;
use super::spots::{Bounds, Spot, are_strokes, spots};
use super::surface::{Surface, median};
use super::windows::in_shadow;

/// The ink of a picture: 0 where there is none, up to 1. `[height, width]`, and the least rectangle that holds it all.
pub(super) struct Ink {
    pub strength: Vec<f32>,
    pub part: Part,
}

/// Where more than this share of a picture differs from the background the other way than ink does, the light is not even.
const MOST_OF_OTHER_KIND: f32 = 0.02;

/// Why a picture shows no ink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Nothing stands out.
    Even,
    /// Nothing stands out of the noise.
    Noise,
    /// What stands out is one area, not strokes.
    Solid,
    /// What stands out reaches beyond the picture or is mixed with shadow.
    CutOff,
}

/// Differences below this are noise even in a picture without any, such as what JPEG leaves around edges. In levels of 255.
pub(super) const LEAST_CONTRAST: f32 = 16.0;
/// Noise reaches so many of its standard deviations.
const NOISE_REACH: f32 = 4.0;
/// What is weaker than this share of the darkest ink is background: paper and shadow, or the last trace of an edge.
const WEAKEST: f32 = 0.1;
/// A spot belongs to the ink if it reaches this share of the darkest somewhere ...
const STRONG: f32 = 0.5;
/// ... and weighs at least this share of the heaviest one. Dust is less; the loose bar of a 5 is more.
const LEAST_SPOT: f32 = 0.05;
/// The share of the ink that may be darker than what counts as darkest: glints and dead pixels.
const BRIGHTEST: f32 = 0.01;
/// More spots than this are grain: a faint stroke breaks into some.
const MOST_SPOTS: usize = 24;
/// Nor is any of grain this long, in pixels ...
const LEAST_STROKE: f32 = 5.0;
/// ... and as a share of the picture's shorter side.
const SHORTEST_STROKE: f32 = 0.04;
/// A spot is ink if the picture confirms this share of its outline.
const SUPPORTED: f32 = 0.75;
/// If so much of all outlines is confirmed, what was found needs no second look.
const SURE: f32 = 0.8;
/// Printed lines weaker than this share of the darkest ink are told from it by their strength, stronger ones by their form.
const FAINT_LINE: f32 = 0.55;

/// Finds the ink in `pixels: [height, width]`, dark on light or light on dark.
pub(super) fn find(pixels: &[f32], width: usize, height: usize) -> Result<Ink, Missing> {
    let size = (width, height);
    let even = in_even_light(pixels, size);
    let is_tight = matches!(&even, Ok(even) if even.is_tight_crop && even.covers(size));
    let even = match even {
        Ok(found) if found.is_whole && (found.is_even || is_tight) => return Ok(found.ink),
        even => even,
    };
    if !is_tight && let Some(found) = between_levels(pixels, size) {
        return Ok(found.ink);
    }
    let in_shadow = in_shadow(pixels, size);
    match (even, in_shadow) {
        // A picture so tight that the edge cuts its strokes.
        (Ok(even), found) if even.is_tight_crop && found.as_ref().is_none_or(|found| !found.lies_beside(&even)) => {
            Ok(even.ink)
        }
        (_, Some(found)) => Ok(found.ink),
        (Ok(even), None) if even.is_whole => Ok(even.ink),
        (Ok(_), None) => Err(Missing::CutOff),
        (Err(missing), None) => Err(missing),
    }
}

/// Ink that was found one way.
pub(super) struct Found {
    pub ink: Ink,
    /// Of the ink's strength.
    pub mass: f32,
    /// Whether nothing heavy is cut off by the picture's edge.
    is_whole: bool,
    /// Whether nothing else lies along the edge, a shadow fainter than ink.
    is_even: bool,
    /// Whether none of it touches the picture's edge.
    is_clear: bool,
    pub is_dark: bool,
    /// The share of the outline that the picture confirms, from 0 to 1.
    pub support: f32,
    /// Whether it may be a picture so tight that its edge cuts the strokes.
    is_tight_crop: bool,
    /// The pixels of what is cut off.
    cut_off: Vec<u32>,
}

impl Found {
    /// Whether it reaches over a whole picture of this size, and takes none of its sides whole, as shadows do.
    fn covers(&self, (width, height): (usize, usize)) -> bool {
        let Part { width: wide, height: high, .. } = self.ink.part;
        let ink = |at: usize| usize::from(self.ink.strength[at] > 0.0);
        let upright = [0, width - 1].map(|x| (0..height).map(|y| ink(y * width + x)).sum::<usize>());
        let flat = [0, height - 1].map(|y| (0..width).map(|x| ink(y * width + x)).sum::<usize>());
        let is_whole = |counts: [usize; 2], side: usize| counts.iter().any(|count| count * 20 >= side * 17);
        let reaches = wide * 10 >= width * 9 && high * 10 >= height * 9;
        reaches && !is_whole(upright, height) && !is_whole(flat, width)
    }

    /// Whether it is clear of the edge, and the picture confirms its outline.
    pub(super) fn is_sure(&self) -> bool {
        self.is_whole && self.is_clear && self.support >= SURE
    }

    /// Whether it is ink of the same kind as `other`, beside what the edge cuts off there.
    fn lies_beside(&self, other: &Found) -> bool {
        let shared: f32 = other.cut_off.iter().map(|pixel| self.ink.strength[*pixel as usize]).sum();
        self.is_dark == other.is_dark && shared < 0.5 * self.mass
    }
}

fn in_even_light(pixels: &[f32], (width, height): (usize, usize)) -> Result<Found, Missing> {
    let (background, noise) = Surface::of_border(pixels, width, height);
    let mut ink = Vec::with_capacity(pixels.len());
    let (mut darker, mut lighter) = (0.0_f64, 0.0_f64);
    for (y, row) in pixels.chunks_exact(width).enumerate() {
        for (x, pixel) in row.iter().enumerate() {
            let difference = background.at(x, y) - pixel;
            let square = f64::from(difference).powi(2);
            *if difference > 0.0 { &mut darker } else { &mut lighter } += square;
            ink.push(difference);
        }
    }
    let is_dark = darker >= lighter;
    if !is_dark {
        ink.iter_mut().for_each(|difference| *difference = -*difference);
    }
    // Not the border's noise, which levels of shadow are a part of.
    let mut steps: Vec<f32> = pixels.windows(2).map(|two| (two[0] - two[1]).abs()).collect();
    let grain = 1.4826 * median(&mut steps) / std::f32::consts::SQRT_2;
    let least = -(LEAST_CONTRAST / 2.0).max(NOISE_REACH * grain);
    let others = ink.iter().filter(|difference| **difference < least).count();
    let is_level = others as f32 <= MOST_OF_OTHER_KIND * ink.len() as f32;
    let found = gather(&ink, &ink, (width, height), noise, WEAKEST, |_, _, _| Some(1.0))?;
    Ok(Found { is_dark, is_even: found.is_even && is_level, ..found })
}

/// The ink where `mask`, the difference from the background, says that there is some; `strength` says how much. `support`
/// says which share of a spot's outline the picture confirms, and `None` for a spot that is to be passed over.
pub(super) fn gather(
    mask: &[f32],
    strength: &[f32],
    (width, height): (usize, usize),
    noise: f32,
    weakest: f32,
    support: impl Fn(&Spot, &[bool], f32) -> Option<f32>,
) -> Result<Found, Missing> {
    let floor = LEAST_CONTRAST.max(NOISE_REACH * noise);
    let nothing = if floor > LEAST_CONTRAST { Missing::Noise } else { Missing::Even };
    let mut darkest = darkest_of(mask.iter().copied(), floor).ok_or(nothing)?;
    let mut weakest = floor.max(weakest * darkest);
    let mut is_ink: Vec<bool> = mask.iter().map(|difference| *difference >= weakest).collect();
    let lines = ruled::lines(&is_ink, width, height);
    if !lines.is_empty() {
        let mut levels: Vec<f32> = lines.iter().map(|pixel| mask[*pixel as usize]).collect();
        let place = levels.len() * 9 / 10;
        let level = 1.2 * *levels.select_nth_unstable_by(place, f32::total_cmp).1;
        if level <= FAINT_LINE * darkest {
            weakest = weakest.max(level);
            is_ink = mask.iter().map(|difference| *difference >= weakest).collect();
        }
        lines.iter().for_each(|pixel| is_ink[*pixel as usize] = false);
        // Lines may be darker than a pencil's strokes.
        let rest = mask.iter().zip(&is_ink).filter(|(_, is_ink)| **is_ink).map(|(difference, _)| *difference);
        darkest = darkest_of(rest, floor).ok_or(nothing)?;
    }
    let spots = spots(mask, &is_ink, width);
    let (mut supported, mut weight) = (0.0, 0.0);
    let mut strong: Vec<&Spot> = Vec::new();
    for spot in spots.iter().filter(|spot| spot.darkest >= STRONG * darkest) {
        let Some(support) = support(spot, &is_ink, darkest) else { continue };
        supported += support * spot.weight;
        weight += spot.weight;
        if support >= SUPPORTED {
            strong.push(spot);
        }
    }
    let support = supported / weight;
    let (kept, is_whole) = choose(&strong, width);
    let longest = kept.iter().map(|spot| spot.bounds.longer_side()).max().unwrap_or(0);
    let is_noisy = kept.len() > 1 || floor > LEAST_CONTRAST;
    let is_grain = is_noisy && (longest as f32) < LEAST_STROKE.max(SHORTEST_STROKE * width.min(height) as f32);
    if is_grain || kept.len() > MOST_SPOTS {
        return Err(Missing::Noise);
    }
    let bounds = kept.iter().map(|spot| spot.bounds).reduce(Bounds::with).ok_or(nothing)?;
    // A faint shadow still halves the light on a part of the ink.
    let least = LEAST_SPOT * kept.iter().map(|spot| spot.weight).fold(0.0, f32::max);
    let is_even = !spots.iter().any(|spot| spot.weight >= least && spot.is_cut_off(width));
    let cut_off = strong.iter().filter(|spot| spot.is_cut_off(width)).flat_map(|spot| spot.pixels.clone()).collect();
    let mut ink = vec![0.0; mask.len()];
    let mut mass = 0.0;
    for &pixel in kept.iter().flat_map(|spot| &spot.pixels) {
        let strength = (strength[pixel as usize] / darkest).clamp(0.0, 1.0);
        ink[pixel as usize] = strength;
        mass += strength;
    }
    let are_strokes = are_strokes(&kept, width);
    if is_whole && !are_strokes {
        return Err(Missing::Solid);
    }
    let is_tight_crop = are_strokes
        && bounds.longer_side() * 10 >= width.max(height) * 9
        && kept.iter().all(|spot| spot.may_be_tight(width));
    Ok(Found {
        ink: Ink { strength: ink, part: bounds.part() },
        mass,
        is_whole,
        is_even,
        is_clear: kept.iter().all(|spot| spot.on_edge == 0),
        is_dark: true,
        support,
        is_tight_crop,
        cut_off,
    })
}

/// The darkest ink but for some glints; `None` if all is below `floor`.
fn darkest_of(ink: impl Iterator<Item = f32>, floor: f32) -> Option<f32> {
    let mut above: Vec<f32> = ink.filter(|difference| *difference > floor).collect();
    let place = above.len().checked_sub(1)?;
    let place = place - (BRIGHTEST * above.len() as f32) as usize;
    Some(*above.select_nth_unstable_by(place, f32::total_cmp).1)
}

/// The spots that are ink: heavy enough, and not cut off by the edge (the table beside the paper, a finger) unless the
/// heaviest is. And whether nothing heavy is cut off.
fn choose<'a>(strong: &[&'a Spot], width: usize) -> (Vec<&'a Spot>, bool) {
    let Some(heaviest) = strong.iter().max_by(|a, b| a.weight.total_cmp(&b.weight)) else { return (Vec::new(), true) };
    let (least, edge_too) = (LEAST_SPOT * heaviest.weight, heaviest.on_edge > 0);
    let heavy = strong.iter().copied().filter(|spot| spot.weight >= least);
    let is_whole = !heavy.clone().any(|spot| spot.is_cut_off(width));
    (heavy.filter(|spot| edge_too || spot.on_edge == 0).collect(), is_whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 40;

    /// A picture of `SIDE` x `SIDE` by a function of x and y.
    fn picture(level: impl Fn(usize, usize) -> f32) -> Vec<f32> {
        (0..SIDE * SIDE).map(|i| level(i % SIDE, i / SIDE)).collect()
    }

    fn in_stroke(x: usize, y: usize) -> bool {
        (18..22).contains(&x) && (8..30).contains(&y)
    }

    /// The ink is that stroke, at full strength, and nothing else.
    fn assert_stroke(pixels: &[f32]) {
        let ink = find(pixels, SIDE, SIDE).ok().unwrap();
        for (i, strength) in ink.strength.iter().enumerate() {
            let (x, y) = (i % SIDE, i / SIDE);
            assert_eq!(*strength > 0.8, in_stroke(x, y), "{strength} at {x}, {y}");
            assert!(in_stroke(x, y) || *strength == 0.0, "{strength} at {x}, {y}");
        }
        assert_eq!((ink.part.left, ink.part.top, ink.part.width, ink.part.height), (18, 8, 4, 22));
    }

    #[test]
    fn dark_on_light_and_light_on_dark_give_the_same_ink() {
        for (paper, pen) in [(255.0, 0.0), (0.0, 255.0), (200.0, 120.0), (90.0, 160.0)] {
            assert_stroke(&picture(|x, y| if in_stroke(x, y) { pen } else { paper }));
        }
    }

    #[test]
    fn slanting_light_is_no_ink() {
        // From 110 to 227 across the paper: its dark corner is darker than the ink is in the light corner.
        let paper = |x: usize, y: usize| 110.0 + 2.0 * x as f32 + y as f32;
        assert_stroke(&picture(|x, y| paper(x, y) - if in_stroke(x, y) { 90.0 } else { 0.0 }));
    }

    #[test]
    fn dark_corners_are_no_ink() {
        // A lamp above one corner: the paper goes from 220 down to 120, and is brightest away from the middle.
        let paper = |x: usize, y: usize| {
            let (u, v) = (x as f32 / 40.0 - 0.3, y as f32 / 40.0 - 0.4);
            220.0 - 120.0 * (u * u + v * v)
        };
        assert_stroke(&picture(|x, y| paper(x, y) - if in_stroke(x, y) { 60.0 } else { 0.0 }));
    }

    #[test]
    fn noise_and_dust_are_no_ink() {
        // A sum of uniform draws: noise of a standard deviation of 4 levels.
        let noise = |x: usize, y: usize| ((x * 7919 + y * 104_729 + x * y * 31) % 15) as f32 - 7.0;
        let dust = |x: usize, y: usize| if (x, y) == (5, 5) || (x, y) == (33, 12) { -120.0 } else { 0.0 };
        let pixels = picture(|x, y| 190.0 + noise(x, y) + dust(x, y) - if in_stroke(x, y) { 130.0 } else { 0.0 });
        assert_stroke(&pixels);

        // Grain of a dark room, as strong as a fifth of the ink: the rectangle holds the stroke and nothing else.
        let grain = |x: usize, y: usize| ((x * 7919 + y * 104_729 + x * y * 31) % 61) as f32 - 30.0;
        let pixels = picture(|x, y| 190.0 + grain(x, y) - if in_stroke(x, y) { 150.0 } else { 0.0 });
        let part = find(&pixels, SIDE, SIDE).ok().unwrap().part;
        assert_eq!((part.left, part.top, part.width, part.height), (18, 8, 4, 22));
    }

    #[test]
    fn what_the_edge_cuts_off_is_no_ink_unless_it_is_all() {
        let table = |x: usize, y: usize| if x > 37 && y > 30 { 40.0 } else { 230.0 };
        assert_stroke(&picture(|x, y| if in_stroke(x, y) { 20.0 } else { table(x, y) }));
        let tight = picture(|x, _| if (15..25).contains(&x) { 0.0 } else { 255.0 });
        assert_eq!(find(&tight, SIDE, SIDE).ok().unwrap().part.height, SIDE);
    }

    #[test]
    fn nothing_is_found_where_nothing_is() {
        for pixels in [
            picture(|_, _| 255.0),
            picture(|_, _| 0.0),
            picture(|x, y| (x + y) as f32),
            picture(|x, _| 100.0 + (x % 2) as f32 * 8.0),
        ] {
            assert_eq!(find(&pixels, SIDE, SIDE).err(), Some(Missing::Even));
        }
        assert_eq!(find(&[7.0], 1, 1).err(), Some(Missing::Even));
    }

    const LARGE: usize = 120;
    /// Whether something lies at x, y.
    type Place = fn(usize, usize) -> bool;

    fn large(level: impl Fn(usize, usize) -> f32) -> Vec<f32> {
        (0..LARGE * LARGE).map(|i| level(i % LARGE, i / LARGE)).collect()
    }

    /// A cross of strokes 6 pixels wide from (40, 30) to (80, 90).
    fn in_cross(x: usize, y: usize) -> bool {
        let (upright, flat) = ((57..63).contains(&x), (57..63).contains(&y));
        (upright && (30..90).contains(&y)) || (flat && (40..80).contains(&x))
    }

    /// The ink is that cross, but for a pixel around it and some that a shadow's edge touches.
    fn assert_cross(what: &str, pixels: &[f32]) {
        let Ok(ink) = find(pixels, LARGE, LARGE) else { panic!("{what}: nothing") };
        let mut missing = 0;
        for (i, strength) in ink.strength.iter().enumerate() {
            let (x, y) = (i % LARGE, i / LARGE);
            let near = (x.max(1) - 1..=x + 1).any(|x| (y.max(1) - 1..=y + 1).any(|y| in_cross(x, y)));
            missing += usize::from(in_cross(x, y) && *strength < 0.5);
            assert!(near || *strength == 0.0, "{what}: {strength} at {x}, {y}");
        }
        assert!(missing <= 40, "{what}: {missing} pixels of 564 are missing");
    }

    #[test]
    fn a_shadow_with_a_hard_edge_is_no_ink() {
        let ways: [(&str, Place); 4] = [
            ("across the ink", |x, y| 2 * x + y > 170),
            ("beside it", |x, _| x > 90),
            ("over more than half", |x, y| x + y > 80),
            ("a corner", |x, y| x + 30 < y),
        ];
        for (what, in_shadow) in ways {
            let light = |x: usize, y: usize| if in_shadow(x, y) { 0.55 } else { 1.0 };
            assert_cross(what, &large(|x, y| light(x, y) * if in_cross(x, y) { 50.0 } else { 210.0 }));
            // The same paper without ink.
            let bare = find(&large(|x, y| 210.0 * light(x, y)), LARGE, LARGE);
            assert!(bare.is_err(), "{what}: ink on bare paper");
        }
    }

    #[test]
    fn a_table_beside_the_paper_is_no_ink() {
        let ways: [(&str, Place); 3] =
            [("a corner", |x, y| x + y > 180), ("a side", |x, _| x > 104), ("two sides", |x, y| x < 12 || y > 110)];
        for (what, is_table) in ways {
            let paper = |x: usize, y: usize| if in_cross(x, y) { 50.0 } else { 210.0 };
            assert_cross(what, &large(|x, y| if is_table(x, y) { 45.0 } else { paper(x, y) }));
        }
    }

    #[test]
    fn printed_lines_are_no_ink() {
        for line in [170.0, 110.0] {
            let paper = |y: usize| if y % 20 == 5 { line } else { 220.0 };
            assert_cross("faint lines", &large(|x, y| if in_cross(x, y) { 40.0 } else { paper(y) }));
        }
    }

    #[test]
    fn what_is_missing_is_told() {
        let square = large(|x, y| if (40..80).contains(&x) && (40..80).contains(&y) { 0.0 } else { 255.0 });
        assert_eq!(find(&square, LARGE, LARGE).err(), Some(Missing::Solid));
        let mut state = 1_u32;
        let mut draw = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as f32
        };
        let noise: Vec<f32> = (0..LARGE * LARGE).map(|_| draw()).collect();
        assert_eq!(find(&noise, LARGE, LARGE).err(), Some(Missing::Noise));
        let faint: Vec<f32> = noise.iter().map(|level| 120.0 + 0.1 * level).collect();
        assert!(find(&faint, LARGE, LARGE).is_err());
    }
}
