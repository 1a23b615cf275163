//! Ink on a background of several levels, such as paper half in shadow: what is darker, or lighter, than every level of the
//! background near it. A running median tells these levels: it keeps a shadow's edge, hard or soft, where it is, as long as
//! strokes take less than half of what lies around them. It knows light and dark, not digits.

use super::ink::{Found, gather};
use super::resample::{Part, area_average, fit};
use super::spots::Spot;
use super::surface::median;
use super::windows::{smoothed, support};

/// Medians are taken of a picture of this longer side: its pixels are as wide as a thin stroke.
const SMALL_SIDE: usize = 96;
/// Around each pixel they reach this share of the shorter side; near the picture's edge no farther than twice the way to it, so that
/// a strip of shadow or table along the edge is background.
const REACH: f32 = 0.25;
/// With ink of one kind the background is the middle of what is left: above the median for dark ink, below it for light.
const BESIDE_INK: f32 = 0.55;
/// A level counts for so many pixels of the small copy around it: where strokes cross a shadow's edge, the median puts the edge
/// that far off.
const NEAR: usize = 3;
/// A sheet that is nowhere as bright as this is a blackboard or the like.
const LIGHT_SHEET: f32 = 110.0;
/// What is weaker than this share of the darkest ink is what a shadow's edge leaves.
const WEAKEST: f32 = 0.2;
/// The outline of ink is where it differs from what is beside it by this share of the darkest.
const SUPPORT: f32 = 0.2;
/// Below this share of the light part's brightness a shadow is too dark to compare ink by its share of light.
const DARKEST_SHADOW: f32 = 0.25;

/// Ink that differs from all levels around it: dark on light paper, light on a blackboard, unless only the other is there.
pub(super) fn between_levels(pixels: &[f32], size: (usize, usize)) -> Option<Found> {
    let smooth = smoothed(pixels, size.0, size.1);
    let middle = Levels::of(&smooth, size, 0.5);
    let mut distances: Vec<f32> =
        pixels.iter().enumerate().map(|(at, pixel)| (pixel - middle.nearest(at, *pixel)).abs()).collect();
    let noise = 1.4826 * median(&mut distances);
    let is_paper = middle.brightest() >= LIGHT_SHEET;
    [is_paper, !is_paper].into_iter().find_map(|is_dark| of_kind(pixels, &smooth, size, noise, is_dark))
}

/// What a shadow takes from paper and ink is a share of both, so that ink is compared by its share of the background's light.
fn of_kind(pixels: &[f32], smooth: &[f32], size: (usize, usize), noise: f32, is_dark: bool) -> Option<Found> {
    let levels = Levels::of(smooth, size, if is_dark { BESIDE_INK } else { 1.0 - BESIDE_INK });
    let brightest = levels.brightest();
    let gain = |level: f32| brightest / level.max(DARKEST_SHADOW * brightest);
    let sign = if is_dark { -1.0 } else { 1.0 };
    let difference = |pixels: &[f32]| -> Vec<f32> {
        let of = |(at, pixel): (usize, &f32)| {
            let level = levels.nearest(at, *pixel);
            sign * (pixel - level) * gain(level)
        };
        pixels.iter().enumerate().map(of).collect()
    };
    let mask = difference(smooth);
    let outline: Vec<f32> = if is_dark { smooth.to_vec() } else { smooth.iter().map(|pixel| 255.0 - pixel).collect() };
    let confirmed = |spot: &Spot, is_ink: &[bool], darkest: f32| {
        (!spot.is_cut_off(size.0)).then(|| {
            let least = |outside: f32| SUPPORT * darkest / gain(if is_dark { outside } else { 255.0 - outside });
            support(&outline, spot, is_ink, least, size)
        })
    };
    let mut found = gather(&mask, &difference(pixels), size, noise, WEAKEST, confirmed).ok()?;
    found.is_dark = is_dark;
    Some(found).filter(Found::is_sure)
}

/// The least and the greatest level of the background near each pixel.
struct Levels {
    /// `[small height, small width]`
    least: Vec<f32>,
    greatest: Vec<f32>,
    small: (usize, usize),
    size: (usize, usize),
}

impl Levels {
    /// Levels such that `share` of what lies around each pixel of a small copy is darker.
    fn of(pixels: &[f32], (width, height): (usize, usize), share: f32) -> Levels {
        let (small_width, small_height) = fit(width, height, SMALL_SIDE.min(width.max(height)));
        let whole = Part { left: 0, top: 0, width, height };
        let small = area_average(pixels, width, whole, small_width, small_height);
        let widest = ((REACH * small_width.min(small_height) as f32) as usize).max(1);
        let mut middle = running(&small, (small_width, small_height), widest, share);
        let mut reach = widest / 2;
        while reach >= NEAR {
            let narrow = running(&small, (small_width, small_height), reach, share);
            for (at, (middle, narrow)) in middle.iter_mut().zip(narrow).enumerate() {
                let (x, y) = (at % small_width, at / small_width);
                let from_edge = x.min(y).min(small_width - 1 - x).min(small_height - 1 - y);
                if from_edge < 2 * reach {
                    *middle = narrow;
                }
            }
            reach /= 2;
        }
        let around = |pick: fn(f32, f32) -> f32, start: f32| -> Vec<f32> {
            let of = |at: usize| {
                let (x, y) = (at % small_width, at / small_width);
                let rows = y.saturating_sub(NEAR)..(y + NEAR + 1).min(small_height);
                let columns = x.saturating_sub(NEAR)..(x + NEAR + 1).min(small_width);
                rows.flat_map(|y| &middle[y * small_width..][columns.clone()]).copied().fold(start, pick)
            };
            (0..middle.len()).map(of).collect()
        };
        let (least, greatest) = (around(f32::min, f32::MAX), around(f32::max, 0.0));
        Levels { least, greatest, small: (small_width, small_height), size: (width, height) }
    }

    /// Of the sheet where the light is best, at least 1.
    fn brightest(&self) -> f32 {
        self.greatest.iter().copied().fold(1.0, f32::max)
    }

    /// The background's level that is nearest to that of a pixel.
    fn nearest(&self, at: usize, pixel: f32) -> f32 {
        let (x, y) = (at % self.size.0 * self.small.0 / self.size.0, at / self.size.0 * self.small.1 / self.size.1);
        let small = y * self.small.0 + x;
        pixel.max(self.least[small]).min(self.greatest[small])
    }
}

/// Of the pixels within `reach` on all sides of each one, the level below which `share` of them are.
///
/// After Huang: counts of levels move along a row with the window.
fn running(pixels: &[f32], (width, height): (usize, usize), reach: usize, share: f32) -> Vec<f32> {
    let bytes: Vec<u8> = pixels.iter().map(|pixel| pixel.round().clamp(0.0, 255.0) as u8).collect();
    let mut out = Vec::with_capacity(pixels.len());
    for y in 0..height {
        let rows = y.saturating_sub(reach)..(y + reach + 1).min(height);
        let mut counts = [0_u32; 256];
        let mut total = 0;
        let column = |x: usize| rows.clone().map(move |y| y * width + x);
        for x in 0..width.min(reach) {
            column(x).for_each(|at| counts[usize::from(bytes[at])] += 1);
            total += rows.len() as u32;
        }
        for x in 0..width {
            if x + reach < width {
                column(x + reach).for_each(|at| counts[usize::from(bytes[at])] += 1);
                total += rows.len() as u32;
            }
            if x > reach {
                column(x - reach - 1).for_each(|at| counts[usize::from(bytes[at])] -= 1);
                total -= rows.len() as u32;
            }
            let mut below = 0;
            let level = counts.iter().position(|count| {
                below += count;
                below as f32 > share * total as f32
            });
            out.push(level.unwrap_or(0) as f32);
        }
    }
    out
}
