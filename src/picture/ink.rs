//! What of a picture is ink: how much each pixel differs from a background whose light changes slowly, without noise and
//! without what lies about. It knows light and dark, not digits.

/// The ink of a picture: 0 where there is none, up to 1. `[height, width]`, and the least rectangle that holds it all.
pub(super) struct Ink {
    pub strength: Vec<f32>,
    pub part: super::resample::Part,
}

/// Differences below this are noise even in a picture without any, such as what JPEG leaves around edges. In levels of 255.
const LEAST_CONTRAST: f32 = 16.0;
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

/// Finds the ink in `pixels: [height, width]`, dark on light or light on dark; `None` where nothing stands out.
pub(super) fn find(pixels: &[f32], width: usize, height: usize) -> Option<Ink> {
    let (mut ink, noise) = differences(pixels, width, height);
    let floor = LEAST_CONTRAST.max(NOISE_REACH * noise);
    let darkest = darkest(&ink, floor)?;
    let weakest = floor.max(WEAKEST * darkest);
    let spots = spots(&ink, width, weakest);
    let keep = choose(&spots, darkest);
    let part = keep.iter().map(|spot| spot.bounds).reduce(Bounds::with)?.part();
    let mut kept = vec![false; ink.len()];
    for spot in keep {
        for &pixel in &spot.pixels {
            kept[pixel as usize] = true;
        }
    }
    for (strength, kept) in ink.iter_mut().zip(kept) {
        *strength = if kept { (*strength / darkest).min(1.0) } else { 0.0 };
    }
    Some(Ink { strength: ink, part })
}

/// How far each pixel lies beyond the background, in the direction of the ink; negative in the other. And the standard
/// deviation of the background.
fn differences(pixels: &[f32], width: usize, height: usize) -> (Vec<f32>, f32) {
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
    if lighter > darker {
        ink.iter_mut().for_each(|difference| *difference = -*difference);
    }
    (ink, noise)
}

/// The darkest ink but for some glints; `None` if all is below `floor`.
fn darkest(ink: &[f32], floor: f32) -> Option<f32> {
    let mut above: Vec<f32> = ink.iter().copied().filter(|difference| *difference > floor).collect();
    let place = above.len().checked_sub(1)?;
    let place = place - (BRIGHTEST * above.len() as f32) as usize;
    Some(*above.select_nth_unstable_by(place, f32::total_cmp).1)
}

/// Brightness as a polynomial of second degree: paper under a lamp is lighter on one side, and a camera's corners are darker.
struct Surface {
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

    fn at(&self, x: usize, y: usize) -> f32 {
        let terms = self.terms(x, y);
        self.coefficients.iter().zip(terms).map(|(coefficient, term)| coefficient * term).sum::<f64>() as f32
    }

    fn terms(&self, x: usize, y: usize) -> [f64; TERMS] {
        let (u, v) = (2.0 * x as f64 / self.width as f64 - 1.0, 2.0 * y as f64 / self.height as f64 - 1.0);
        [1.0, u, v, u * u, u * v, v * v]
    }

    /// The surface through the border, and the standard deviation of the border around it. Ink that reaches the border does
    /// not count as long as it takes less than half of it.
    fn of_border(pixels: &[f32], width: usize, height: usize) -> (Surface, f32) {
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
fn median(values: &mut [f32]) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}

/// Pixels that touch each other, corners included.
struct Spot {
    pixels: Vec<u32>,
    bounds: Bounds,
    weight: f32,
    darkest: f32,
    at_edge: bool,
}

#[derive(Clone, Copy)]
struct Bounds {
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
}

impl Bounds {
    fn with(self, other: Bounds) -> Bounds {
        Bounds {
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
        }
    }

    fn part(self) -> super::resample::Part {
        super::resample::Part {
            left: self.left,
            top: self.top,
            width: self.right - self.left + 1,
            height: self.bottom - self.top + 1,
        }
    }
}

/// All spots of at least `weakest`.
fn spots(ink: &[f32], width: usize, weakest: f32) -> Vec<Spot> {
    let height = ink.len() / width;
    let mut open: Vec<bool> = ink.iter().map(|strength| *strength >= weakest).collect();
    let mut spots = Vec::new();
    for start in 0..ink.len() {
        if !std::mem::replace(&mut open[start], false) {
            continue;
        }
        let (x, y) = (start % width, start / width);
        let bounds = Bounds { left: x, top: y, right: x, bottom: y };
        let mut spot = Spot { pixels: vec![start as u32], bounds, weight: 0.0, darkest: 0.0, at_edge: false };
        let mut next = 0;
        while let Some(&pixel) = spot.pixels.get(next) {
            next += 1;
            let (x, y) = (pixel as usize % width, pixel as usize / width);
            let strength = ink[pixel as usize];
            spot.bounds = spot.bounds.with(Bounds { left: x, top: y, right: x, bottom: y });
            spot.weight += strength;
            spot.darkest = spot.darkest.max(strength);
            spot.at_edge |= x == 0 || y == 0 || x + 1 == width || y + 1 == height;
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

/// The spots that are ink: dark and heavy enough. What the edge cuts off (the table beside the paper, a finger) is not,
/// unless it is the heaviest: then the picture is a tight one.
fn choose(spots: &[Spot], darkest: f32) -> Vec<&Spot> {
    let strong: Vec<&Spot> = spots.iter().filter(|spot| spot.darkest >= STRONG * darkest).collect();
    let Some(heaviest) = strong.iter().max_by(|a, b| a.weight.total_cmp(&b.weight)) else { return Vec::new() };
    let (least, edge_too) = (LEAST_SPOT * heaviest.weight, heaviest.at_edge);
    strong.iter().copied().filter(|spot| spot.weight >= least && (edge_too || !spot.at_edge)).collect()
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
        let ink = find(pixels, SIDE, SIDE).unwrap();
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
        let part = find(&pixels, SIDE, SIDE).unwrap().part;
        assert_eq!((part.left, part.top, part.width, part.height), (18, 8, 4, 22));
    }

    #[test]
    fn what_the_edge_cuts_off_is_no_ink_unless_it_is_all() {
        let table = |x: usize, y: usize| if x > 37 && y > 30 { 40.0 } else { 230.0 };
        assert_stroke(&picture(|x, y| if in_stroke(x, y) { 20.0 } else { table(x, y) }));
        let tight = picture(|x, _| if (10..30).contains(&x) { 0.0 } else { 255.0 });
        assert_eq!(find(&tight, SIDE, SIDE).unwrap().part.height, SIDE);
    }

    #[test]
    fn nothing_is_found_where_nothing_is() {
        for pixels in [
            picture(|_, _| 255.0),
            picture(|_, _| 0.0),
            picture(|x, y| (x + y) as f32),
            picture(|x, _| 100.0 + (x % 2) as f32 * 8.0),
        ] {
            assert!(find(&pixels, SIDE, SIDE).is_none());
        }
        assert!(find(&[7.0], 1, 1).is_none());
    }
}
