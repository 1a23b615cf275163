//! Ink where shadows have hard edges: the background is found window by window, and the picture itself must confirm the
//! outline of what differs from it. It knows light and dark, not digits.

use super::closing::close;
use super::ink::{Found, gather};
use super::spots::Spot;
use super::surface::median;

/// What is weaker than this share of the darkest ink is what a shadow's edge leaves.
const WEAKEST: f32 = 0.25;
/// The windows that are tried, as shares of the picture's shorter side: wider than a thin pen's stroke, then than a broad
/// one's.
const WINDOWS: [f32; 6] = [0.05, 0.08, 0.12, 0.18, 0.27, 0.4];
/// A window is wide enough if a wider one finds hardly more ink than it: this share of the most.
const WIDE_ENOUGH: f32 = 0.8;
/// The outline of ink is where it differs from what is beside it by this share of the darkest.
const SUPPORT: f32 = 0.2;
/// Below this share of the light part's brightness a shadow is too dark to compare ink by its share of light.
const DARKEST_SHADOW: f32 = 0.25;

/// Ink by a background of windows: dark ink and light ink, each by the smallest window that is wide enough.
pub(super) fn in_shadow(pixels: &[f32], (width, height): (usize, usize)) -> Option<Found> {
    let smooth = smoothed(pixels, width, height);
    let inverted = |pixels: &[f32]| -> Vec<f32> { pixels.iter().map(|pixel| 255.0 - pixel).collect() };
    let dark = by_windows(pixels, &smooth, (width, height), true);
    let light = by_windows(&inverted(pixels), &inverted(&smooth), (width, height), false);
    match (dark, light) {
        // What strokes enclose is as bright as their surroundings, but a part of its outline is not the picture's.
        (Some(dark), Some(light)) => Some(if dark.support >= light.support { dark } else { light }),
        (dark, light) => dark.or(light),
    }
}

/// What a shadow takes from paper and ink is a share of both, so that ink is compared by its share of the background's
/// light. `pixels` are inverted for light ink, which is not `is_dark`.
fn by_windows(pixels: &[f32], smooth: &[f32], (width, height): (usize, usize), is_dark: bool) -> Option<Found> {
    let mut found = Vec::new();
    for share in WINDOWS {
        let window = (share * width.min(height) as f32) as usize;
        if window < 3 {
            continue;
        }
        let background = close(smooth, width, height, window);
        let brightest = if is_dark {
            background.iter().copied().fold(0.0, f32::max)
        } else {
            255.0 - background.iter().copied().fold(255.0, f32::min)
        };
        let gain = |level: f32| {
            let level = if is_dark { level } else { 255.0 - level };
            brightest / level.max(DARKEST_SHADOW * brightest).max(1.0)
        };
        let difference = |pixels: &[f32]| -> Vec<f32> {
            pixels.iter().zip(&background).map(|(pixel, background)| (background - pixel) * gain(*background)).collect()
        };
        let mut mask = difference(smooth);
        let zero = median(&mut mask.clone());
        mask.iter_mut().for_each(|difference| *difference -= zero);
        let noise = 1.4826 * median(&mut mask.iter().map(|difference| difference.abs()).collect::<Vec<_>>());
        let support = |spot: &Spot, is_ink: &[bool], darkest: f32| {
            let least = |level: f32| SUPPORT * darkest / gain(level);
            (!spot.is_cut_off(width)).then(|| support(smooth, spot, is_ink, least, (width, height)))
        };
        if let Ok(one) = gather(&mask, &difference(pixels), (width, height), noise, WEAKEST, support) {
            found.push(one);
        }
    }
    let most = found.iter().map(|found| found.mass).fold(0.0, f32::max);
    let mut first = found.into_iter().find(|found| found.mass >= WIDE_ENOUGH * most)?;
    first.is_dark = is_dark;
    Some(first)
}

/// Without the finest grain, where the picture is large enough for strokes of several pixels.
pub(super) fn smoothed(pixels: &[f32], width: usize, height: usize) -> Vec<f32> {
    if width.min(height) < 100 {
        return pixels.to_vec();
    }
    let near = |at: usize, side: usize| at.saturating_sub(1)..(at + 2).min(side);
    let mut out = Vec::with_capacity(pixels.len());
    for y in 0..height {
        for x in 0..width {
            let rows = near(y, height).flat_map(|y| pixels[y * width..][near(x, width)].iter());
            let (sum, count) = rows.fold((0.0, 0.0), |(sum, count), pixel| (sum + pixel, count + 1.0));
            out.push(sum / count);
        }
    }
    out
}

/// The share of a spot's outline where the picture itself gets lighter from inside to outside, by `least` of the level
/// outside. The outline of paper between strokes, where it is held for ink, is partly that of a window.
pub(super) fn support(
    pixels: &[f32],
    spot: &Spot,
    is_ink: &[bool],
    least: impl Fn(f32) -> f32,
    (width, height): (usize, usize),
) -> f32 {
    let reach = (width.min(height) / 50).max(1) as isize;
    let (mut outline, mut supported) = (0, 0);
    let at = |x: isize, y: isize| {
        let inside = (0..width as isize).contains(&x) && (0..height as isize).contains(&y);
        inside.then(|| y as usize * width + x as usize)
    };
    for pixel in &spot.pixels {
        let (x, y) = ((*pixel as usize % width) as isize, (*pixel as usize / width) as isize);
        for (dx, dy) in [(1, 0), (-1, 0), (0, 1), (0, -1)] {
            if at(x + dx, y + dy).is_none_or(|next| is_ink[next]) {
                continue;
            }
            let inside = (0..=reach).filter_map(|n| at(x - n * dx, y - n * dy)).map(|at| pixels[at]);
            let outside = (1..=reach + 1).filter_map(|n| at(x + n * dx, y + n * dy)).map(|at| pixels[at]);
            let (inside, outside) = (inside.fold(f32::MAX, f32::min), outside.fold(0.0, f32::max));
            outline += 1;
            supported += usize::from(outside - inside >= least(outside));
        }
    }
    supported as f32 / outline.max(1) as f32
}
