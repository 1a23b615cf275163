//! Pictures of digits as people take them, drawn from MNIST's images: even light and uneven, shadows, a table beside the
//! paper, ruled paper, noise, chalk, thin pens. It knows no program and no network.

/// The side of every picture, in pixels.
pub const SIDE: usize = 240;

/// How a digit lies before the camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Plain,
    UnevenLight,
    HardShadow,
    RoundShadow,
    DarkCorner,
    TableBeside,
    LinedPaper,
    SquaredPaper,
    Noise,
    WhiteOnBlack,
    ChalkInHalfLight,
    ThinPen,
}

pub const KINDS: [Kind; 12] = [
    Kind::Plain,
    Kind::UnevenLight,
    Kind::HardShadow,
    Kind::RoundShadow,
    Kind::DarkCorner,
    Kind::TableBeside,
    Kind::LinedPaper,
    Kind::SquaredPaper,
    Kind::Noise,
    Kind::WhiteOnBlack,
    Kind::ChalkInHalfLight,
    Kind::ThinPen,
];

/// A stream of draws that is the same on every machine: splitmix64.
pub struct Draws(u64);

impl Draws {
    pub fn new(seed: u64) -> Draws {
        Draws(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// From `low` to `high`.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        low + (high - low) * ((z >> 40) as f32 / (1_u64 << 24) as f32)
    }

    /// Nearly normal, of mean 0 and standard deviation 1.
    pub fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.between(0.0, 1.0)).sum::<f32>() - 6.0
    }
}

/// The picture number `index` of a kind: `SIDE` x `SIDE` grey levels. `row` is an MNIST image of 28 x 28.
pub fn draw(kind: Kind, row: &[u8], index: usize) -> Vec<u8> {
    let mut draws = Draws::new(1 + index as u64 * 31 + kind as u64);
    let scale = draws.between(5.0, 7.5);
    let room = SIDE as f32 - 28.0 * scale;
    let (left, top) = (room * draws.between(0.2, 0.8), room * draws.between(0.2, 0.8));
    let thin = kind == Kind::ThinPen;
    let ink = |x: usize, y: usize| {
        let strength = bilinear(row, (x as f32 - left) / scale, (y as f32 - top) / scale);
        if thin { ((strength - 0.6) / 0.2).clamp(0.0, 1.0) } else { strength }
    };
    let (paper, pen) = match kind {
        Kind::Plain => (250.0, 10.0),
        Kind::WhiteOnBlack => (15.0, 240.0),
        Kind::ChalkInHalfLight => (60.0, 220.0),
        Kind::ThinPen => (190.0, 85.0),
        _ => (215.0, 45.0),
    };
    let grain = match kind {
        Kind::Plain => 0.0,
        Kind::Noise => 22.0,
        Kind::ThinPen => 3.0,
        _ => 2.0,
    };
    let light = light(kind, &mut draws);
    let ruled = ruled(kind, &mut draws);
    let table = table(kind, &mut draws);
    let mut pixels = Vec::with_capacity(SIDE * SIDE);
    for y in 0..SIDE {
        for x in 0..SIDE {
            let (u, v) = (x as f32 / SIDE as f32 - 0.5, y as f32 / SIDE as f32 - 0.5);
            let sheet = paper - 70.0 * ruled(x as f32, y as f32);
            let mut level = light(u, v) * (sheet + (pen - sheet) * ink(x, y));
            if table(u, v) {
                level = 45.0;
            }
            pixels.push((level + grain * draws.normal()).round().clamp(0.0, 255.0) as u8);
        }
    }
    pixels
}

/// Of an image of 28 x 28, 0 to 1; 0 outside.
fn bilinear(row: &[u8], x: f32, y: f32) -> f32 {
    let at = |x: f32, y: f32| {
        let inside = (0.0..28.0).contains(&x) && (0.0..28.0).contains(&y);
        if inside { f32::from(row[y as usize * 28 + x as usize]) / 255.0 } else { 0.0 }
    };
    let (x, y) = (x - 0.5, y - 0.5);
    let (x0, y0) = (x.floor(), y.floor());
    let (u, v) = (x - x0, y - y0);
    (1.0 - v) * ((1.0 - u) * at(x0, y0) + u * at(x0 + 1.0, y0))
        + v * ((1.0 - u) * at(x0, y0 + 1.0) + u * at(x0 + 1.0, y0 + 1.0))
}

/// The share of the lamp's light that reaches a place; its coordinates run from -0.5 to 0.5.
fn light(kind: Kind, draws: &mut Draws) -> impl Fn(f32, f32) -> f32 + use<> {
    let angle = draws.between(0.0, std::f32::consts::TAU);
    let (sin, cos) = angle.sin_cos();
    let offset = draws.between(-0.3, 0.3);
    let depth = draws.between(0.3, 0.55);
    let edge = draws.between(0.002, 0.02);
    let radius = draws.between(0.25, 0.5);
    move |u, v| {
        let along = u * cos + v * sin;
        let step = |distance: f32| (distance / edge + 0.5).clamp(0.0, 1.0);
        match kind {
            Kind::Plain => 1.0,
            Kind::UnevenLight => 0.8 + 0.35 * along - 0.5 * (u * u + v * v),
            Kind::HardShadow | Kind::ChalkInHalfLight => 1.0 - depth * step(along - offset),
            // Something round reaches into the light from one side.
            Kind::RoundShadow => {
                let (du, dv) = (u - 0.55 * cos, v - 0.55 * sin);
                1.0 - depth * step(radius - (du * du + dv * dv).sqrt())
            }
            Kind::ThinPen => 0.95 + 0.2 * along - 0.3 * (u * u + v * v),
            _ => 0.97 + 0.05 * along,
        }
    }
}

/// 1 on a printed line, 0 beside it.
fn ruled(kind: Kind, draws: &mut Draws) -> impl Fn(f32, f32) -> f32 + use<> {
    let spacing = draws.between(22.0, 34.0);
    let thickness = draws.between(1.2, 2.5);
    let slope = draws.between(-0.03, 0.03);
    let start = draws.between(0.0, spacing);
    let line = move |across: f32| {
        let from_line = (across + start).rem_euclid(spacing) - spacing / 2.0;
        (thickness / 2.0 + 0.5 - from_line.abs()).clamp(0.0, 1.0)
    };
    move |x, y| match kind {
        Kind::LinedPaper => line(y + slope * x),
        Kind::SquaredPaper => line(y + slope * x).max(line(x - slope * y)),
        _ => 0.0,
    }
}

/// Whether a place shows the table and not the paper.
fn table(kind: Kind, draws: &mut Draws) -> impl Fn(f32, f32) -> bool + use<> {
    let (leg, side) = (draws.between(0.1, 0.42), draws.between(0.0, 4.0) as usize);
    let (strip, slant) = (draws.between(0.05, 0.15), draws.between(-0.1, 0.1));
    move |u, v| {
        let (u, v) = [(u, v), (-u, v), (u, -v), (-u, -v)][side.min(3)];
        match kind {
            Kind::DarkCorner => u + v > 1.0 - leg,
            Kind::TableBeside => {
                if side % 2 == 0 {
                    u + slant * v > 0.5 - strip
                } else {
                    v + slant * u > 0.5 - strip
                }
            }
            _ => false,
        }
    }
}
