//! Pictures of digits as people take them, drawn from MNIST's images: even light and uneven, shadows, a table beside the
//! paper, ruled and squared paper, a form's cell, noise, chalk, thin pens, pencils. It knows no program and no network.

/// How a digit lies before the camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Plain,
    UnevenLight,
    SoftShadow,
    HardShadow,
    RoundShadow,
    DarkCorner,
    DarkBands,
    LinedPaper,
    SquaredPaper,
    Frame,
    RowOfCells,
    Noise,
    WhiteOnBlack,
    ChalkInHalfLight,
    ThinPen,
    Pencil,
    TightCrop,
    Combined,
}

pub const KINDS: [Kind; 18] = [
    Kind::Plain,
    Kind::UnevenLight,
    Kind::SoftShadow,
    Kind::HardShadow,
    Kind::RoundShadow,
    Kind::DarkCorner,
    Kind::DarkBands,
    Kind::LinedPaper,
    Kind::SquaredPaper,
    Kind::Frame,
    Kind::RowOfCells,
    Kind::Noise,
    Kind::WhiteOnBlack,
    Kind::ChalkInHalfLight,
    Kind::ThinPen,
    Kind::Pencil,
    Kind::TightCrop,
    Kind::Combined,
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

    fn pick(&mut self, kinds: &[Kind]) -> Kind {
        kinds[(self.between(0.0, kinds.len() as f32) as usize).min(kinds.len() - 1)]
    }
}

/// Grey levels, `[height, width]`.
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<u8>,
}

/// Where the digit's ink lies in the picture, in pixels.
#[derive(Clone, Copy)]
struct InkBox {
    left: f32,
    top: f32,
    width: f32,
    height: f32,
}

impl InkBox {
    fn longer(&self) -> f32 {
        self.width.max(self.height)
    }
}

/// The picture number `index` of a kind. `row` is an MNIST image of 28 x 28; its ink is 20 to 400 pixels long on paper that is
/// 1.4 to 2.6 times as long.
pub fn draw(kind: Kind, row: &[u8], index: usize) -> Picture {
    let mut draws = Draws::new(1 + index as u64 * 31 + kind as u64);
    let (sheet, light, table, hand) = match kind {
        Kind::Combined => (
            draws.pick(&[Kind::Plain, Kind::LinedPaper, Kind::SquaredPaper, Kind::Frame]),
            draws.pick(&[Kind::UnevenLight, Kind::SoftShadow, Kind::HardShadow]),
            draws.pick(&[Kind::Plain, Kind::DarkCorner, Kind::DarkBands]),
            draws.pick(&[Kind::Combined, Kind::ThinPen, Kind::Pencil]),
        ),
        kind => (kind, kind, kind, kind),
    };
    let long = (draws.between(20.0_f32.ln(), 400.0_f32.ln())).exp();
    let (left, top, wide, high) = extent(row);
    let scale = long / wide.max(high);
    // Around a tight crop there is hardly any paper, or the edge even cuts the ink a little.
    let room = if kind == Kind::TightCrop { (-0.03, 0.08) } else { (0.4, 1.6) };
    let side = |own: f32, draws: &mut Draws| (own + long * draws.between(room.0, room.1)) as usize;
    let (width, height) = (side(wide * scale, &mut draws), side(high * scale, &mut draws));
    let (width, height) = (width.max(8), height.max(8));
    let mut place = |own: f32, side: usize| (side as f32 - own) * draws.between(0.35, 0.65);
    let ink_box = InkBox {
        left: place(wide * scale, width),
        top: place(high * scale, height),
        width: wide * scale,
        height: high * scale,
    };
    let ink = |x: usize, y: usize| {
        let (u, v) = ((x as f32 + 0.5 - ink_box.left) / scale, (y as f32 + 0.5 - ink_box.top) / scale);
        let strength = bilinear(row, u + left, v + top);
        match hand {
            Kind::ThinPen => ((strength - 0.6) / 0.2).clamp(0.0, 1.0),
            Kind::Pencil => ((strength - 0.45) / 0.3).clamp(0.0, 1.0),
            _ => strength,
        }
    };
    let (paper, pen) = match hand {
        Kind::Plain => (250.0, 10.0),
        Kind::WhiteOnBlack => (15.0, 240.0),
        Kind::ChalkInHalfLight => (60.0, 220.0),
        Kind::ThinPen => (190.0, 85.0),
        Kind::Pencil => (225.0, draws.between(130.0, 165.0)),
        _ => (215.0, 45.0),
    };
    let grain = match kind {
        Kind::Plain => 0.0,
        Kind::Noise => 22.0,
        Kind::ThinPen | Kind::Pencil => 3.0,
        Kind::Combined => draws.between(1.0, 6.0),
        _ => 2.0,
    };
    let light = light_on(light, &mut draws);
    let lines = printed(sheet, ink_box, &mut draws);
    let is_table = beside_paper(table, &mut draws);
    let mut pixels = Vec::with_capacity(width * height);
    for y in 0..height {
        for x in 0..width {
            let (u, v) = (x as f32 / width as f32 - 0.5, y as f32 / height as f32 - 0.5);
            let level = paper - lines(x as f32, y as f32);
            let mut level = light(u, v) * (level + (pen - level) * ink(x, y));
            if is_table(u, v) {
                level = 45.0;
            }
            pixels.push((level + grain * draws.normal()).round().clamp(0.0, 255.0) as u8);
        }
    }
    Picture { width, height, pixels }
}

/// Left, top, width and height of an image's ink.
fn extent(row: &[u8]) -> (f32, f32, f32, f32) {
    let inked = (0..784).filter(|i| row[*i] > 100);
    let (mut x, mut y) = ((28, 0), (28, 0));
    for i in inked {
        x = (x.0.min(i % 28), x.1.max(i % 28 + 1));
        y = (y.0.min(i / 28), y.1.max(i / 28 + 1));
    }
    (x.0 as f32, y.0 as f32, (x.1 - x.0) as f32, (y.1 - y.0) as f32)
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
fn light_on(kind: Kind, draws: &mut Draws) -> impl Fn(f32, f32) -> f32 + use<> {
    let angle = draws.between(0.0, std::f32::consts::TAU);
    let (sin, cos) = angle.sin_cos();
    let offset = draws.between(-0.3, 0.3);
    let depth = draws.between(0.3, 0.55);
    let edge = draws.between(0.002, 0.02);
    let soft = draws.between(0.1, 0.4);
    let radius = draws.between(0.25, 0.5);
    move |u, v| {
        let along = u * cos + v * sin;
        let step = |distance: f32, edge: f32| (distance / edge + 0.5).clamp(0.0, 1.0);
        match kind {
            Kind::Plain => 1.0,
            Kind::UnevenLight => 0.8 + 0.35 * along - 0.5 * (u * u + v * v),
            Kind::SoftShadow => 1.0 - depth * step(along - offset, soft),
            Kind::HardShadow | Kind::ChalkInHalfLight => 1.0 - depth * step(along - offset, edge),
            // Something round reaches into the light from one side.
            Kind::RoundShadow => {
                let (du, dv) = (u - 0.55 * cos, v - 0.55 * sin);
                1.0 - depth * step(radius - (du * du + dv * dv).sqrt(), edge)
            }
            Kind::ThinPen | Kind::Pencil => 0.95 + 0.2 * along - 0.3 * (u * u + v * v),
            _ => 0.97 + 0.05 * along,
        }
    }
}

/// How much darker than the paper a printed line makes a place. Lines are as far apart as half a digit, or as one, and a cell is
/// larger than its digit.
fn printed(kind: Kind, ink: InkBox, draws: &mut Draws) -> impl Fn(f32, f32) -> f32 + use<> {
    let long = ink.longer();
    let spacing = (long * draws.between(0.25, 1.1)).max(8.0);
    let thickness = (spacing * draws.between(0.04, 0.08)).clamp(1.0, 12.0);
    let slope = draws.between(-0.03, 0.03);
    let start = draws.between(0.0, spacing);
    let darkness = draws.between(40.0, 90.0);
    let cell_darkness = draws.between(50.0, 170.0);
    let cell_thickness = (long * draws.between(0.015, 0.05)).max(1.0);
    // From the digit's middle to the cell's sides.
    let (half_width, half_height) =
        (ink.width / 2.0 + long * draws.between(0.1, 0.3), ink.height / 2.0 + long * draws.between(0.1, 0.3));
    let (middle_x, middle_y) = (ink.left + ink.width / 2.0, ink.top + ink.height / 2.0);
    let covers = |from_line: f32, thickness: f32| (thickness / 2.0 + 0.5 - from_line.abs()).clamp(0.0, 1.0);
    let line = move |across: f32| covers((across + start).rem_euclid(spacing) - spacing / 2.0, thickness);
    move |x, y| match kind {
        Kind::LinedPaper => darkness * line(y + slope * x),
        Kind::SquaredPaper => darkness * line(y + slope * x).max(line(x - slope * y)),
        Kind::Frame | Kind::RowOfCells => {
            let (x, y) = (x - middle_x, y - middle_y);
            let (u, v) = (x - slope * y, y + slope * x);
            let u =
                if kind == Kind::RowOfCells { (u + half_width).rem_euclid(2.0 * half_width) - half_width } else { u };
            let (from_upright, from_flat) = (u.abs() - half_width, v.abs() - half_height);
            let upright = if from_flat < cell_thickness / 2.0 { covers(from_upright, cell_thickness) } else { 0.0 };
            let flat = if from_upright < cell_thickness / 2.0 { covers(from_flat, cell_thickness) } else { 0.0 };
            cell_darkness * upright.max(flat)
        }
        _ => 0.0,
    }
}

/// Whether a place shows the table and not the paper.
fn beside_paper(kind: Kind, draws: &mut Draws) -> impl Fn(f32, f32) -> bool + use<> {
    let (leg, side) = (draws.between(0.1, 0.38), draws.between(0.0, 4.0) as usize);
    let (strip, other, slant) = (draws.between(0.03, 0.12), draws.between(-0.1, 0.1), draws.between(-0.06, 0.06));
    move |u, v| {
        let (u, v) = [(u, v), (-v, u), (-u, -v), (v, -u)][side.min(3)];
        match kind {
            Kind::DarkCorner => u + v > 1.0 - leg,
            // Beside one side of the paper, and of every second picture beside the next one too.
            Kind::DarkBands => u + slant * v > 0.5 - strip || v - slant * u > 0.5 - other,
            _ => false,
        }
    }
}
