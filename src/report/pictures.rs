//! Small pictures as SVG, a unit square per pixel: images as they are, and weights from blue over the ground to red.
//! Paths in place of an encoded image keep them sharp at any size and let them follow light and dark.

use std::fmt::Write;

use super::markup::escape;

/// Shades of a picture; more cannot be told apart on squares of a few screen pixels.
const SHADES: i32 = 16;

/// An image of bytes, black to white. `pixels`: `[rows, columns]`, `size` is both.
pub(super) fn image(pixels: &[u8], size: (usize, usize), label: &str) -> String {
    let shades = pixels.iter().map(|pixel| (i32::from(*pixel) * SHADES + 127) / 255).collect::<Vec<_>>();
    let mut svg = open(size, label, "image");
    let (rows, columns) = size;
    let _ = write!(svg, "<rect width=\"{columns}\" height=\"{rows}\"/>");
    for shade in 1..=SHADES {
        let grey = shade * 255 / SHADES;
        path(&mut svg, &shades, columns, shade, &format!("stroke=\"#{grey:02x}{grey:02x}{grey:02x}\""));
    }
    svg.push_str("</svg>");
    svg
}

/// Weights, whose size shows as strength: negative blue, positive red, full strength from `full` on.
/// `weights`: `[rows, columns]`, `size` is both.
pub(super) fn weights(weights: &[f32], size: (usize, usize), full: f32, label: &str) -> String {
    let mut svg = open(size, label, "graph weights");
    svg.push_str(&weight_paths(weights, size, full));
    svg.push_str("</svg>");
    svg
}

/// The squares of [`weights`] alone, to be placed within an SVG.
pub(super) fn weight_paths(weights: &[f32], size: (usize, usize), full: f32) -> String {
    let full = if full > 0.0 { full } else { 1.0 };
    let shade = |weight: &f32| ((weight / full).clamp(-1.0, 1.0) * SHADES as f32).round() as i32;
    let shades: Vec<i32> = weights.iter().map(shade).collect();
    let mut paths = String::new();
    for (class, sign) in [("negative", -1), ("positive", 1)] {
        let _ = write!(paths, "<g class=\"{class}\">");
        for strength in 1..=SHADES {
            let opacity = f64::from(strength) / f64::from(SHADES);
            path(&mut paths, &shades, size.1, sign * strength, &format!("stroke-opacity=\"{opacity:.2}\""));
        }
        paths.push_str("</g>");
    }
    paths
}

/// The size of a weight that only one in a hundred exceeds: a few large ones should not make all others pale.
pub(super) fn full_strength(weights: &[f32]) -> f32 {
    let mut sizes: Vec<f32> = weights.iter().map(|weight| weight.abs()).collect();
    if sizes.is_empty() {
        return 1.0;
    }
    let at = (sizes.len() - 1) * 99 / 100;
    let (_, full, _) = sizes.select_nth_unstable_by(at, f32::total_cmp);
    *full
}

fn open((rows, columns): (usize, usize), label: &str, class: &str) -> String {
    let label = escape(label);
    format!(
        "<svg class=\"{class}\" viewBox=\"0 0 {columns} {rows}\" role=\"img\" aria-label=\"{label}\" \
         shape-rendering=\"crispEdges\">"
    )
}

/// All squares of one shade as one path of horizontal strokes, a unit wide.
fn path(svg: &mut String, shades: &[i32], columns: usize, shade: i32, attributes: &str) {
    let mut strokes = String::new();
    // Where the pen stands: moves are relative, because that is shorter.
    let (mut pen_x, mut pen_y) = (0, 0);
    for (y, row) in shades.chunks_exact(columns).enumerate() {
        let mut x = 0;
        while x < columns {
            let run = row[x..].iter().take_while(|found| **found == shade).count();
            if run > 0 {
                let _ = write!(strokes, "m{} {}h{run}", x as i64 - pen_x as i64, y as i64 - pen_y as i64);
                (pen_x, pen_y) = (x + run, y);
            }
            x += run.max(1);
        }
    }
    if !strokes.is_empty() {
        let _ = write!(svg, "<path {attributes} d=\"M0 .5{strokes}\"/>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The squares that a path of relative strokes covers.
    fn squares(strokes: &str) -> Vec<(i64, i64)> {
        let (mut x, mut y, mut found) = (0, 0, Vec::new());
        for stroke in strokes.split('m').skip(1) {
            let (to, run) = stroke.split_once('h').unwrap();
            let (dx, dy) = to.split_once(' ').unwrap();
            x += dx.parse::<i64>().unwrap();
            y += dy.parse::<i64>().unwrap();
            for _ in 0..run.parse::<i64>().unwrap() {
                found.push((x, y));
                x += 1;
            }
        }
        found
    }

    fn strokes<'a>(svg: &'a str, attributes: &str) -> &'a str {
        svg.split(&format!("<path {attributes} d=\"M0 .5")).nth(1).unwrap().split('"').next().unwrap()
    }

    #[test]
    fn each_pixel_is_drawn_where_it_is() {
        let svg = image(&[0, 255, 255, 128, 0, 255], (2, 3), "two & three");
        assert_eq!(squares(strokes(&svg, "stroke=\"#ffffff\"")), [(1, 0), (2, 0), (2, 1)]);
        assert_eq!(squares(strokes(&svg, "stroke=\"#7f7f7f\"")), [(0, 1)]);
        assert!(svg.contains("viewBox=\"0 0 3 2\"") && svg.contains("aria-label=\"two &amp; three\""), "{svg}");
    }

    #[test]
    fn weights_are_blue_below_zero_and_red_above() {
        let svg = weights(&[-1.0, 0.5, 0.0, 9.0], (2, 2), 1.0, "w");
        let (negative, positive) = svg.split_once("positive").unwrap();
        assert_eq!(squares(strokes(negative, "stroke-opacity=\"1.00\"")), [(0, 0)]);
        assert_eq!(squares(strokes(positive, "stroke-opacity=\"0.50\"")), [(1, 0)]);
        assert_eq!(squares(strokes(positive, "stroke-opacity=\"1.00\"")), [(1, 1)]);
        assert_eq!(svg.matches("<path").count(), 3, "a weight of 0 is the ground");
    }

    #[test]
    fn one_huge_weight_does_not_make_the_others_pale() {
        let mut weights = vec![0.5; 200];
        weights[7] = -1e6;
        assert_eq!(full_strength(&weights), 0.5);
        assert_eq!((full_strength(&[]), full_strength(&[-3.0])), (1.0, 3.0));
        assert!(!super::weights(&[0.0; 4], (2, 2), 0.0, "zeros").contains("<path"));
    }
}
