//! The light on a background that changes slowly: a surface of second degree through a picture's border. It knows no ink.

use super::ink::LEAST_CONTRAST;

/// Brightness as a polynomial of second degree: paper under a lamp is lighter on one side, and a camera's corners are darker.
pub(super) struct Surface {
    /// Of 1, u, v, u^2, uv and v^2, where u and v run from -1 to 1 across the picture.
    coefficients: [f64; TERMS],
    width: usize,
    height: usize,
}

const TERMS: usize = 6;
/// The border is this share of the shorter side, at least one pixel.
const BORDER: f32 = 0.04;
/// After so many fits the points that count hardly change.
const FITS: usize = 4;

/// A pixel of the border: where it is, and how bright.
type Point = (usize, usize, f32);

impl Surface {
    fn level(level: f32, width: usize, height: usize) -> Surface {
        Surface { coefficients: [f64::from(level), 0.0, 0.0, 0.0, 0.0, 0.0], width, height }
    }

    pub(super) fn at(&self, x: usize, y: usize) -> f32 {
        let terms = self.terms(x, y);
        self.coefficients.iter().zip(terms).map(|(coefficient, term)| coefficient * term).sum::<f64>() as f32
    }

    fn terms(&self, x: usize, y: usize) -> [f64; TERMS] {
        let (u, v) = (2.0 * x as f64 / self.width as f64 - 1.0, 2.0 * y as f64 / self.height as f64 - 1.0);
        [1.0, u, v, u * u, u * v, v * v]
    }

    /// The surface through the border, and the standard deviation of the border around it. Ink that reaches the border does
    /// not count as long as it takes less than half of it.
    pub(super) fn of_border(pixels: &[f32], width: usize, height: usize) -> (Surface, f32) {
        let depth = ((BORDER * width.min(height) as f32) as usize).max(1);
        let near = |at: usize, side: usize| at < depth || at + depth >= side;
        let mut border: Vec<Point> = Vec::new();
        for (y, row) in pixels.chunks_exact(width).enumerate() {
            let at_edge = |x: &usize| near(y, height) || near(*x, width);
            border.extend((0..width).filter(at_edge).map(|x| (x, y, row[x])));
        }
        let mut levels: Vec<f32> = border.iter().map(|(.., level)| *level).collect();
        let mut surface = Surface::level(median(&mut levels), width, height);
        let mut noise = surface.noise(&border);
        for _ in 0..FITS {
            let reach = LEAST_CONTRAST.max(3.0 * noise);
            let close = border.iter().filter(|(x, y, level)| (surface.at(*x, *y) - level).abs() <= reach);
            let Some(better) = surface.through(close) else { break };
            let better_noise = better.noise(&border);
            // A slope must explain the border; ink at one side of it must not make one.
            if better_noise.is_nan() || better_noise > noise {
                break;
            }
            (surface, noise) = (better, better_noise);
        }
        (surface, noise)
    }

    /// The standard deviation from it that the median distance tells, which a few points of ink do not change.
    fn noise(&self, points: &[Point]) -> f32 {
        let mut distances: Vec<f32> = points.iter().map(|(x, y, level)| (self.at(*x, *y) - level).abs()).collect();
        1.4826 * median(&mut distances)
    }

    /// Least squares, by the normal equations; `None` where the points do not decide.
    fn through<'a>(&self, points: impl Iterator<Item = &'a Point>) -> Option<Surface> {
        let mut equations = [[0.0; TERMS + 1]; TERMS];
        let mut count = 0.0;
        for (x, y, level) in points {
            let terms = self.terms(*x, *y);
            for (equation, own) in equations.iter_mut().zip(terms) {
                let right = terms.into_iter().chain([f64::from(*level)]);
                equation.iter_mut().zip(right).for_each(|(sum, term)| *sum += own * term);
            }
            count += 1.0;
        }
        let coefficients = solve(equations, 1e-6 * count)?;
        Some(Surface { coefficients, ..*self })
    }
}

/// Gauss's elimination; `None` if a pivot is `least` at most. The last column is the right side.
fn solve(mut rows: [[f64; TERMS + 1]; TERMS], least: f64) -> Option<[f64; TERMS]> {
    for column in 0..TERMS {
        let pivot = (column..TERMS).max_by(|a, b| rows[*a][column].abs().total_cmp(&rows[*b][column].abs()))?;
        rows.swap(column, pivot);
        let lead = rows[column];
        if lead[column].is_nan() || lead[column].abs() <= least {
            return None;
        }
        for (_, row) in rows.iter_mut().enumerate().filter(|(index, _)| *index != column) {
            let factor = row[column] / lead[column];
            row.iter_mut().zip(lead).for_each(|(value, lead)| *value -= factor * lead);
        }
    }
    Some(std::array::from_fn(|at| rows[at][TERMS] / rows[at][at]))
}

/// 0 for no values.
pub(super) fn median(values: &mut [f32]) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}
