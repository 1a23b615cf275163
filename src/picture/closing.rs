//! The background behind what is narrower than a window, with its hard edges kept: a morphological closing. It knows no
//! ink.

/// What `pixels: [height, width]`, none below 0, are without dark marks narrower than `window` pixels: the greatest in a window, then the
/// least of those. Areas as large as the window, and those that the picture's edge cuts off, stay, with their edges as
/// sharp as they were, so that a shadow is background on both sides of its edge.
pub(super) fn close(pixels: &[f32], width: usize, height: usize, window: usize) -> Vec<f32> {
    let half = window / 2;
    // Beyond the picture it is as dark as can be, so that a window fits into a dark area that the edge cuts off.
    let (padded_width, padded_height) = (width + 2 * half, height + 2 * half);
    let mut padded = vec![0.0; padded_width * padded_height];
    let rows = padded[half * padded_width..].chunks_exact_mut(padded_width);
    for (padded, row) in rows.zip(pixels.chunks_exact(width)) {
        padded[half..][..width].copy_from_slice(row);
    }
    let size = (padded_width, padded_height);
    let greatest = both_ways(&padded, size, half, |a, b| if a > b { a } else { b });
    let least = both_ways(&greatest, size, half, |a, b| if a < b { a } else { b });
    let rows = least[half * padded_width..].chunks_exact(padded_width).take(height);
    rows.flat_map(|row| &row[half..][..width]).copied().collect()
}

/// In a square window, side by side.
fn both_ways(
    pixels: &[f32],
    (width, height): (usize, usize),
    half: usize,
    pick: impl Fn(f32, f32) -> f32 + Copy,
) -> Vec<f32> {
    let turned = transposed(&along_rows(pixels, width, half, pick), width, height);
    transposed(&along_rows(&turned, height, half, pick), height, width)
}

/// Of each pixel and the `half` on either side of it, the one that `pick` prefers. Outside of a row there is nothing.
///
/// After van Herk and Gil-Werman: three comparisons a pixel, whatever the window.
fn along_rows(pixels: &[f32], width: usize, half: usize, pick: impl Fn(f32, f32) -> f32) -> Vec<f32> {
    let window = 2 * half + 1;
    let mut out = Vec::with_capacity(pixels.len());
    // From the start of each block of `window` pixels, and from its end.
    let (mut from_start, mut from_end) = (vec![0.0; width], vec![0.0; width]);
    for row in pixels.chunks_exact(width) {
        for x in 0..width {
            from_start[x] = if x % window == 0 { row[x] } else { pick(from_start[x - 1], row[x]) };
        }
        for x in (0..width).rev() {
            from_end[x] = if x + 1 == width || (x + 1) % window == 0 { row[x] } else { pick(from_end[x + 1], row[x]) };
        }
        out.extend((0..width).map(|x| {
            let (first, last) = (x.saturating_sub(half), (x + half).min(width - 1));
            if first / window == last / window {
                // Cut off by the row's start or end, so it is the start or the end of one block.
                if first == 0 { from_start[last] } else { from_end[first] }
            } else {
                pick(from_end[first], from_start[last])
            }
        }));
    }
    out
}

/// `[height, width]` as `[width, height]`.
pub(super) fn transposed<T: Copy>(pixels: &[T], width: usize, height: usize) -> Vec<T> {
    (0..width).flat_map(|x| (0..height).map(move |y| pixels[y * width + x])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_window_holds_what_stands_in_it(row in proptest::collection::vec(0.0_f32..9.0, 1..40), half in 0..25_usize) {
            let found = along_rows(&row, row.len(), half, f32::max);
            for (x, found) in found.into_iter().enumerate() {
                let window = &row[x.saturating_sub(half)..(x + half + 1).min(row.len())];
                prop_assert_eq!(found, window.iter().copied().fold(0.0, f32::max));
            }
        }
    }

    #[test]
    fn strokes_go_and_large_dark_areas_stay_as_they_are() {
        const SIDE: usize = 40;
        let shadow = |x: usize, y: usize| if x + y > 50 { 90.0 } else { 200.0 };
        let picture = |level: &dyn Fn(usize, usize) -> f32| -> Vec<f32> {
            (0..SIDE * SIDE).map(|i| level(i % SIDE, i / SIDE)).collect()
        };
        let marked = picture(&|x, y| if (18..22).contains(&x) && y > 3 && y < 36 { 10.0 } else { shadow(x, y) });
        let found = close(&marked, SIDE, SIDE, 7);
        let wrong = found.iter().zip(&picture(&shadow)).filter(|(a, b)| a != b).count();
        // Where the stroke crosses the shadow's edge its own pixels do not tell on which side they are.
        assert!(wrong <= 24, "{wrong}");
        let plain = picture(&shadow);
        assert!(close(&plain, SIDE, SIDE, 7) == plain, "a shadow's edge moved");
        assert_eq!(transposed(&[1, 2, 3, 4, 5, 6], 3, 2), [1, 4, 2, 5, 3, 6]);
    }
}
