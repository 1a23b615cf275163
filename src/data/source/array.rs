//! Arrays of any number of dimensions, whichever format held them, and what two of them make: features and targets. It knows
//! no format.

use super::csv::{MAX_CELLS, MAX_COLUMNS, shown};
use super::element::{ByteOrder, Element};
use super::pixel_file::PixelFile;
use crate::data::{Dataset, Table, TableColumn, TargetColumns};
use crate::error::{Error, Result};

use std::path::{Path, PathBuf};

/// The name of the column that holds what a second array says of each row.
pub(super) const TARGET: &str = "target";

/// Values are converted in pieces that stay in L2.
const PIECE_BYTES: usize = 64 * 1024;

/// An array in memory.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Array {
    /// Sizes of its dimensions, the last running fastest; none of them 0, at least one.
    pub shape: Vec<usize>,
    pub values: Values,
    /// Whether values are whole numbers by their type.
    pub whole: bool,
    /// Its file.
    pub path: PathBuf,
    /// Its name in the file, for errors; empty where a file holds one array.
    pub name: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Values {
    /// As bytes: pixels, most often.
    Bytes(Vec<u8>),
    /// None infinite; NaN where nothing is given.
    Numbers(Vec<f32>),
}

impl Values {
    /// Takes `count` values from `fill`, which fills what it is given and says how far it came: less only at the end. Returns
    /// `None` if there are too few. `count` values of this type have been found to be possible for the file.
    pub fn take(
        element: Element,
        order: ByteOrder,
        count: usize,
        mut fill: impl FnMut(&mut [u8]) -> Result<usize>,
        path: &Path,
    ) -> Result<Option<Values>> {
        let size = element.bytes();
        let (mut bytes, mut numbers, mut taken) = (Vec::new(), Vec::new(), 0);
        let mut piece = vec![0; PIECE_BYTES];
        while taken < count {
            let next = (count - taken).min(PIECE_BYTES / size);
            let piece = &mut piece[..next * size];
            if fill(piece)? < piece.len() {
                return Ok(None);
            }
            // Room grows with what has come, so that a file that promises much and gives little takes little.
            let room = match element {
                Element::U8 => bytes.try_reserve(next),
                _ => numbers.try_reserve(next),
            };
            room.map_err(|_| Error::out_of_memory(path))?;
            match element {
                Element::U8 => bytes.extend_from_slice(piece),
                _ => element.append(order, piece, &mut numbers),
            }
            taken += next;
        }
        bytes.shrink_to_fit();
        numbers.shrink_to_fit();
        Ok(Some(if element == Element::U8 { Values::Bytes(bytes) } else { Values::Numbers(numbers) }))
    }

    /// From the first dimension running fastest to the last.
    pub fn turned(self, shape: &[usize]) -> Values {
        fn turn<T: Copy>(values: &[T], shape: &[usize]) -> Vec<T> {
            let strides: Vec<usize> = shape
                .iter()
                .scan(1, |stride, size| {
                    let own = *stride;
                    *stride *= size;
                    Some(own)
                })
                .collect();
            let mut at = vec![0; shape.len()];
            let mut from = 0;
            let mut turned = Vec::with_capacity(values.len());
            for _ in 0..values.len() {
                turned.push(values[from]);
                for dimension in (0..shape.len()).rev() {
                    at[dimension] += 1;
                    from += strides[dimension];
                    if at[dimension] < shape[dimension] {
                        break;
                    }
                    from -= strides[dimension] * shape[dimension];
                    at[dimension] = 0;
                }
            }
            turned
        }
        match self {
            Values::Bytes(bytes) => Values::Bytes(turn(&bytes, shape)),
            Values::Numbers(numbers) => Values::Numbers(turn(&numbers, shape)),
        }
    }

    fn into_numbers(self) -> Vec<f32> {
        match self {
            Values::Bytes(bytes) => bytes.into_iter().map(f32::from).collect(),
            Values::Numbers(numbers) => numbers,
        }
    }

    /// None of numbers.
    fn into_bytes(self) -> Vec<u8> {
        match self {
            Values::Bytes(bytes) => bytes,
            Values::Numbers(_) => Vec::new(),
        }
    }

    pub fn number(&self, index: usize) -> f32 {
        match self {
            Values::Bytes(bytes) => f32::from(bytes[index]),
            Values::Numbers(numbers) => numbers[index],
        }
    }
}

/// Samples of one split, each in its encoding.
pub(super) enum Samples {
    Images(Dataset),
    /// And the columns that are targets.
    Table(Table, Vec<String>),
}

impl Array {
    /// Checks what the reader of a format must not let through.
    pub fn check(self) -> Result<Array> {
        check_width(&self.path, &self.name, &self.shape)?;
        if let Values::Numbers(numbers) = &self.values {
            check_finite(&self.path, &self.name, numbers, self.columns(), 0)?;
        }
        Ok(self)
    }

    pub fn rows(&self) -> usize {
        self.shape[0]
    }

    /// Values of a row.
    pub fn columns(&self) -> usize {
        columns(&self.shape)
    }

    pub fn refuse(&self, problem: String) -> Error {
        refuse(&self.path, &self.name, &problem)
    }

    /// Where the data come from, for reports.
    fn source(&self) -> String {
        self.path.display().to_string()
    }

    /// Rows and columns of the image that each of its rows is.
    fn image_size(&self) -> Option<(usize, usize)> {
        if matches!(self.values, Values::Bytes(_)) { image_size(&self.shape) } else { None }
    }

    /// As class numbers, if that is what all of them can be.
    pub fn labels(&self) -> Option<Vec<u16>> {
        if self.columns() != 1 {
            return None;
        }
        let label = |number: f32| {
            let whole = number.fract() == 0.0 && (0.0..=f32::from(u16::MAX)).contains(&number);
            whole.then_some(number as u16)
        };
        match &self.values {
            Values::Bytes(bytes) => Some(bytes.iter().map(|byte| u16::from(*byte)).collect()),
            Values::Numbers(numbers) if self.whole => numbers.iter().map(|number| label(*number)).collect(),
            Values::Numbers(_) => None,
        }
    }
}

/// Values of a row of an array of this shape.
pub(super) fn columns(shape: &[usize]) -> usize {
    shape[1..].iter().product()
}

/// Rows and columns of the image that each row of bytes is.
pub(super) fn image_size(shape: &[usize]) -> Option<(usize, usize)> {
    match shape[1..] {
        [features] => {
            let side = features.isqrt();
            Some(if side * side == features { (side, side) } else { (1, features) })
        }
        [rows, columns] | [rows, columns, 1] => Some((rows, columns)),
        _ => None,
    }
}

/// Refuses rows that are wider than any are.
pub(super) fn check_width(path: &Path, name: &str, shape: &[usize]) -> Result<()> {
    let columns = columns(shape);
    if columns <= MAX_COLUMNS {
        return Ok(());
    }
    let problem = format!(
        "its shape is {}: {columns} values for each of {} rows, expected at most {MAX_COLUMNS}; are dimensions exchanged?",
        told(shape),
        shape[0]
    );
    Err(refuse(path, name, &problem))
}

/// Refuses an infinite value among `numbers`, rows of so many `columns`, of which `row`, from 0, is the first.
pub(super) fn check_finite(path: &Path, name: &str, numbers: &[f32], columns: usize, row: usize) -> Result<()> {
    let Some(at) = numbers.iter().position(|number| number.is_infinite()) else { return Ok(()) };
    let problem = format!(
        "row {}, column {}: {} is too large: expected finite numbers of at most 3.4e38",
        row + at / columns + 1,
        at % columns + 1,
        numbers[at]
    );
    Err(refuse(path, name, &problem))
}

/// `3 x 28 x 28`.
pub(super) fn told(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ")
}

/// The samples whose features are `x` and whose targets are `y`: images where `x` holds bytes in one or two dimensions and
/// `y` whole numbers from 0 to 65,535, else a table of numbers. The classes are those of `training`, where that is given:
/// then a larger number is an error.
pub(super) fn samples(x: Array, y: Option<Array>, training: Option<&Samples>) -> Result<Samples> {
    if let Some(y) = &y {
        check_rows(y, &x.path, &x.name, x.rows())?;
    }
    let as_images = match training {
        Some(Samples::Table(..)) => None,
        _ => x.image_size().zip(y.as_ref().and_then(Array::labels)),
    };
    if let (Some((image_size, labels)), Some(y)) = (as_images, &y) {
        let classes = classes(&x, y, image_size, &labels, training)?;
        let (source, targets) = (x.source(), TargetColumns::Classes { labels, classes });
        return Ok(Samples::Images(Dataset::from_pixels(x.values.into_bytes(), image_size, targets, source)?));
    }
    if let (Some(Samples::Images(_)), Some(y)) = (training, &y) {
        let problem = "training has images of bytes and classes, but this array has values of another kind";
        return Err(y.refuse(problem.into()));
    }
    table(x, y)
}

/// The samples whose features are the images of a file, which stay there, and whose targets are `y`; `None` where they make a
/// table.
pub(super) fn samples_in_file(x: PixelFile, y: &Array) -> Result<Option<Dataset>> {
    check_rows(y, x.path(), "", x.len())?;
    let Some(labels) = y.labels() else { return Ok(None) };
    let (classes, source) = (classes_of(&labels), x.path().display().to_string());
    x.into_set(TargetColumns::Classes { labels, classes }, source).map(Some)
}

/// Refuses targets that are more or fewer than the `rows` of features in the array `name` of the file at `path`.
pub(super) fn check_rows(y: &Array, path: &Path, name: &str, rows: usize) -> Result<()> {
    if y.rows() == rows {
        return Ok(());
    }
    let what = if name.is_empty() { "the features".into() } else { shown(name.as_bytes()) };
    let other = path.display();
    let problem = format!("{} rows, but {what} in {other} has {rows}; the two belong to different sets", y.rows());
    Err(y.refuse(problem))
}

/// As many as the largest number says, two at least.
fn classes_of(labels: &[u16]) -> usize {
    labels.iter().copied().max().map_or(2, |largest| usize::from(largest) + 1).max(2)
}

/// How many classes images have: as many as in training, whose images are as large.
fn classes(
    x: &Array,
    y: &Array,
    image_size: (usize, usize),
    labels: &[u16],
    training: Option<&Samples>,
) -> Result<usize> {
    let Some(Samples::Images(set)) = training else {
        return Ok(classes_of(labels));
    };
    let (classes, (rows, columns)) = (set.classes(), set.image_size());
    if let Some(at) = labels.iter().position(|label| usize::from(*label) >= classes) {
        let (row, label, last) = (at + 1, labels[at], classes - 1);
        let problem = format!("row {row}: label {label}, but the training labels have {classes} classes, 0 to {last}");
        return Err(y.refuse(problem));
    }
    if (rows, columns) != image_size {
        let found = told(&x.shape[1..]);
        return Err(x.refuse(format!("images of {found}, but the training images are {rows} x {columns}")));
    }
    Ok(classes)
}

fn table(x: Array, y: Option<Array>) -> Result<Samples> {
    let (rows, features) = (x.rows(), x.columns());
    let outputs = y.as_ref().map_or(0, Array::columns);
    let width = features + outputs;
    if width > MAX_COLUMNS || rows.checked_mul(width).is_none_or(|cells| cells > MAX_CELLS) {
        return Err(x.refuse(format!("{rows} rows of {width} values are more than are read; leave some out")));
    }
    let (columns, targets) = table_columns(features, outputs);
    let source = x.source();
    let cells = match y {
        None => x.values.into_numbers(),
        Some(y) => {
            let mut cells = Vec::new();
            cells.try_reserve_exact(rows * width).map_err(|_| Error::out_of_memory(Path::new(&source)))?;
            for row in 0..rows {
                cells.extend((row * features..(row + 1) * features).map(|at| x.values.number(at)));
                cells.extend((row * outputs..(row + 1) * outputs).map(|at| y.values.number(at)));
            }
            cells
        }
    };
    Ok(Samples::Table(Table::new(columns, cells, Vec::new(), source)?, targets))
}

/// The columns of a table of so many features and targets, and the names of those that are targets.
pub(super) fn table_columns(features: usize, targets: usize) -> (Vec<TableColumn>, Vec<String>) {
    let targets: Vec<String> = match targets {
        1 => vec![TARGET.into()],
        targets => (1..=targets).map(|number| format!("{TARGET} {number}")).collect(),
    };
    let names = (1..=features).map(|number| number.to_string()).chain(targets.iter().cloned());
    (names.map(TableColumn::number).collect(), targets)
}

/// The error that an array is not as it should be. `name`: in its file, or empty where a file holds one array.
pub(super) fn refuse(path: &Path, name: &str, problem: &str) -> Error {
    let array = if name.is_empty() { String::new() } else { format!("array {}: ", shown(name.as_bytes())) };
    Error::DataFile { path: path.to_path_buf(), problem: format!("{array}{problem}") }
}

/// An array of `shape` that came from the file at `path`.
pub(super) fn array(path: &Path, name: &str, shape: Vec<usize>, values: Values, whole: bool) -> Result<Array> {
    Array { shape, values, whole, path: path.to_path_buf(), name: name.to_string() }.check()
}
