//! The images that `flatnet bench` trains on: MNIST where it is found, else strokes as sparse as its digits. It knows how
//! many a measurement needs, not what is measured.

use std::path::Path;

use flatnet::rng::{self, Stream};
use flatnet::{Dataset, Result, data};

const SIDE: usize = 28;
/// Pixels of an image.
pub const FEATURES: usize = SIDE * SIDE;
const CLASSES: usize = 10;
/// As many as the reference trains on, but for the remainder that does not fill a batch of 1,024.
const TRAIN_IMAGES: usize = 29 * 1024;
/// Images to evaluate.
pub const TEST_IMAGES: usize = 10_000;
/// The smallest of the training sets, the others doubling.
const LEAST_TRAIN_IMAGES: usize = 512;

/// Sets of 28 x 28 pixels in ten classes.
pub struct Images {
    /// For people: what they are, and whence.
    pub source: String,
    /// The first 512, 1,024, 2,048, ... and all of the training images, so that an epoch can be as short as it has to be.
    train: Vec<Dataset>,
    pub test: Dataset,
    /// A single image, for a validation that takes no time.
    pub one: Dataset,
}

impl Images {
    /// From `folder` if it is there and holds enough images of MNIST's shape, else synthetic ones.
    pub fn load(folder: &Path) -> Result<Self> {
        if folder.is_dir() {
            let (train, test) = data::load_mnist_folder(folder)?;
            let shaped = train.image_size() == (SIDE, SIDE) && train.classes() == CLASSES;
            if shaped && train.len() >= TRAIN_IMAGES && test.len() >= TEST_IMAGES {
                return Ok(Self::new(folder.display().to_string(), &train, &test));
            }
        }
        Self::synthetic()
    }

    /// Random strokes.
    pub fn synthetic() -> Result<Self> {
        let all = strokes(TRAIN_IMAGES + TEST_IMAGES)?;
        let test: Vec<u32> = (TRAIN_IMAGES as u32..all.len() as u32).collect();
        Ok(Self::new("synthetic strokes as sparse as MNIST (no data/mnist here)".into(), &all, &all.select(&test)))
    }

    fn new(source: String, train: &Dataset, test: &Dataset) -> Self {
        let first = |set: &Dataset, count: usize| set.select(&(0..count as u32).collect::<Vec<u32>>());
        let powers = (0..).map(|power| LEAST_TRAIN_IMAGES << power).take_while(|count| *count < TRAIN_IMAGES);
        Images {
            source,
            train: powers.chain([TRAIN_IMAGES]).map(|count| first(train, count)).collect(),
            test: first(test, TEST_IMAGES),
            one: first(test, 1),
        }
    }

    /// The smallest training set of at least `count` images; the largest if there is none.
    pub fn at_least(&self, count: usize) -> &Dataset {
        let index = self.train.partition_point(|set| set.len() < count);
        &self.train[index.min(self.train.len() - 1)]
    }

    /// The largest training set of at most `count` images; the smallest if there is none.
    pub fn at_most(&self, count: usize) -> &Dataset {
        let index = self.train.partition_point(|set| set.len() <= count);
        &self.train[index.saturating_sub(1)]
    }
}

/// Images of a line from top to bottom that wavers at random, about as thick and as long as a digit's: what counts for
/// speed is how many of the aligned blocks of eight pixels are empty.
fn strokes(count: usize) -> Result<Dataset> {
    /// Where the line may turn: its ends and points at even heights between them.
    const POINTS: usize = 5;
    const TOP: f32 = 5.5;
    const BOTTOM: f32 = 22.5;
    const LEFT: f32 = 4.0;
    const RIGHT: f32 = 24.0;
    /// Distance from the middle of the line at which it fades to nothing.
    const HALF_WIDTH: f32 = 2.1;
    let y = |point: usize| TOP + (BOTTOM - TOP) * point as f32 / (POINTS - 1) as f32;
    let mut x = vec![0.0; count * POINTS];
    rng::uniform(&mut rng::stream(0, Stream::TrainSample), LEFT, RIGHT, &mut x);
    let mut pixels = Vec::with_capacity(count * FEATURES);
    for x in x.as_chunks::<POINTS>().0 {
        for index in 0..FEATURES {
            let at = ((index % SIDE) as f32 + 0.5, (index / SIDE) as f32 + 0.5);
            let segments = x.windows(2).enumerate();
            let squared = segments.map(|(i, x)| squared_distance(at, (x[0], y(i)), (x[1], y(i + 1))));
            let distance = squared.fold(f32::MAX, f32::min).sqrt();
            pixels.push(((HALF_WIDTH - distance) * 255.0).clamp(0.0, 255.0) as u8);
        }
    }
    let labels = (0..count).map(|index| (index % CLASSES) as u8).collect();
    Dataset::images(pixels, labels, (SIDE, SIDE), CLASSES, "synthetic strokes".into())
}

/// From a point to a line segment between two others.
fn squared_distance((x, y): (f32, f32), (x0, y0): (f32, f32), (x1, y1): (f32, f32)) -> f32 {
    let (dx, dy) = (x1 - x0, y1 - y0);
    let along = ((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy).max(f32::MIN_POSITIVE);
    let along = along.clamp(0.0, 1.0);
    let (x, y) = (x - x0 - along * dx, y - y0 - along * dy);
    x * x + y * y
}

#[cfg(test)]
mod tests {
    use super::super::super::args::default_data;
    use super::*;

    /// Shares of pixels, and of aligned blocks of eight, that are not zero.
    fn occupied(set: &Dataset) -> (f64, f64) {
        let share = |count: usize, of: usize| count as f64 / of as f64;
        let pixels = set.pixels();
        let some = pixels.iter().filter(|pixel| **pixel != 0).count();
        let blocks = pixels.chunks(8).filter(|block| block.iter().any(|pixel| *pixel != 0)).count();
        (share(some, pixels.len()), share(blocks, pixels.len() / 8))
    }

    #[test]
    fn strokes_are_as_sparse_as_mnist() {
        let mnist = Images::load(&default_data()).unwrap();
        assert!(mnist.source.contains("mnist"), "{}", mnist.source);
        let (pixels, blocks) = occupied(&mnist.test);
        let synthetic = Images::load(Path::new("no such folder")).unwrap();
        assert!(synthetic.source.contains("synthetic"), "{}", synthetic.source);
        let (stroke_pixels, stroke_blocks) = occupied(&synthetic.test);
        let found = format!("pixels {pixels:.3}, {stroke_pixels:.3}; blocks {blocks:.3}, {stroke_blocks:.3}");
        assert!((pixels - stroke_pixels).abs() < 0.02 && (blocks - stroke_blocks).abs() < 0.03, "{found}");
    }

    #[test]
    fn epochs_can_be_had_in_many_lengths_of_whole_batches() {
        let images = Images::synthetic().unwrap();
        let sizes: Vec<usize> = images.train.iter().map(Dataset::len).collect();
        assert_eq!(sizes, [512, 1024, 2048, 4096, 8192, 16_384, 29_696]);
        for (count, least, most) in [
            (0, 512, 512),
            (512, 512, 512),
            (513, 1024, 512),
            (1024, 1024, 1024),
            (20_000, 29_696, 16_384),
            (99_999, 29_696, 29_696),
        ] {
            assert_eq!((images.at_least(count).len(), images.at_most(count).len()), (least, most), "{count}");
        }
        assert_eq!((images.test.len(), images.one.len()), (TEST_IMAGES, 1));
    }
}
