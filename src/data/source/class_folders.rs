//! A folder of pictures for each class, for training and, beside it, for tests: `train/cat/1.png`, `test/dog/2.jpg`. It knows how the
//! folders lie, and leaves pictures to the room `picture`.

use std::fs;
use std::path::{Path, PathBuf};

use super::{TEST, TRAIN};
use crate::data::rows::Rows;
use crate::data::targets::MAX_CLASSES;
use crate::data::{Dataset, TargetColumns};
use crate::error::{Error, Result};

/// What MNIST's images have.
const IMAGE_SIZE: (usize, usize) = (28, 28);
/// What systems leave behind in folders, beside hidden files.
const LITTER: [&str; 2] = ["thumbs.db", "desktop.ini"];

/// The folders of the two splits.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClassFolders {
    train: PathBuf,
    test: Option<PathBuf>,
}

/// Whether `folder` holds folders of pictures, and where: its own, or those of `train` and `test` in it.
pub(super) fn find(folder: &Path) -> Result<Option<ClassFolders>> {
    let below = folders(folder)?;
    let named = |names: &[&str]| {
        let mut found =
            names.iter().filter_map(|name| below.iter().find(|path| name_of(path).eq_ignore_ascii_case(name)).cloned());
        found.next()
    };
    let (train, test) = match named(&TRAIN) {
        Some(train) => (train, named(&TEST)),
        None => (folder.to_path_buf(), None),
    };
    let any = folders(&train)?.iter().map(|class| Ok(!files(class)?.is_empty())).collect::<Result<Vec<bool>>>()?;
    Ok(any.contains(&true).then_some(ClassFolders { train, test }))
}

/// Reads all pictures, in grey, each brought to `image_size` (rows, columns; 28 x 28 if not said) whatever its proportions are.
/// Classes are the names of the training folders: in the order of their numbers, if all are numbers, else of the alphabet.
pub(super) fn read(
    folders: &ClassFolders,
    image_size: Option<(usize, usize)>,
    source: &str,
) -> Result<(Dataset, Option<Dataset>)> {
    let image_size = image_size.unwrap_or(IMAGE_SIZE);
    check_size(image_size)?;
    let names = class_names(&folders.train)?;
    let train = split(&folders.train, &names, image_size, source)?;
    let test = folders.test.as_deref().map(|test| {
        if let Some(other) = class_names(test)?.iter().find(|name| !names.contains(name)) {
            return Err(refuse(
                &test.join(other),
                format!("no class of training, whose folders are in {}", folders.train.display()),
            ));
        }
        split(test, &names, image_size, source)
    });
    Ok((train, test.transpose()?))
}

#[cfg(feature = "picture")]
fn check_size(image_size: (usize, usize)) -> Result<()> {
    use crate::picture::{MAX_SIDE, MIN_SIDE, fits};
    match fits(image_size) {
        true => Ok(()),
        false => Err(Error::Setting {
            name: "image_size",
            found: format!("{} x {}", image_size.0, image_size.1),
            expected: format!("{MIN_SIDE} x {MIN_SIDE} to {MAX_SIDE} x {MAX_SIDE}"),
        }),
    }
}

#[cfg(not(feature = "picture"))]
fn check_size(_: (usize, usize)) -> Result<()> {
    Err(Error::NotBuiltIn { what: "pictures", feature: "picture" })
}

/// The pixels of the picture at `path`, brought to `image_size`.
#[cfg(feature = "picture")]
fn pixels(path: &Path, (rows, columns): (usize, usize)) -> Result<Vec<u8>> {
    use crate::picture;
    Ok(picture::resize(&picture::open(path)?, columns, rows)?.into_pixels())
}

#[cfg(not(feature = "picture"))]
fn pixels(_: &Path, image_size: (usize, usize)) -> Result<Vec<u8>> {
    check_size(image_size).map(|()| Vec::new())
}

/// The names of the folders in `folder`.
fn class_names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for class in folders(folder)? {
        match class.file_name().and_then(|name| name.to_str()) {
            Some(name) => names.push(name.to_string()),
            None => return Err(refuse(&class, "its name is not UTF-8, so that no class can be called so; rename it")),
        }
    }
    let is_number = |name: &String| name.len() <= 18 && name.bytes().all(|byte| byte.is_ascii_digit());
    if names.iter().all(is_number) {
        names.sort_by_key(|name| (name.parse::<u64>().unwrap_or(u64::MAX), name.clone()));
    } else {
        names.sort();
    }
    Ok(names)
}

fn split(folder: &Path, names: &[String], image_size: (usize, usize), source: &str) -> Result<Dataset> {
    if !(2..=MAX_CLASSES).contains(&names.len()) {
        let problem = format!("{} folders of pictures, expected 2 to {MAX_CLASSES}, one for each class", names.len());
        return Err(refuse(folder, problem));
    }
    let (mut rows, mut labels) = (Rows::new(image_size.0 * image_size.1), Vec::new());
    for (label, name) in (0..=u16::MAX).zip(names) {
        let class = folder.join(name);
        // A class may be without pictures in a test set.
        let files = if class.is_dir() { files(&class)? } else { Vec::new() };
        for file in files {
            if file.is_dir() {
                return Err(refuse(&file, "a folder among pictures; each class is one folder, without others in it"));
            }
            rows.extend(&pixels(&file, image_size)?);
            labels.push(label);
        }
    }
    if labels.is_empty() {
        return Err(refuse(folder, "its folders hold no pictures"));
    }
    rows.shrink();
    let targets = TargetColumns::Classes { labels, classes: names.len() };
    Dataset::from_rows(rows, targets, image_size, source.to_string())?.with_class_names(names.to_vec())
}

fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(files(folder)?.into_iter().filter(|path| path.is_dir()).collect())
}

/// What lies in `folder`, sorted, but for hidden files and litter.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source| Error::Io { path: folder.to_path_buf(), action: "read", source };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = name_of(&path);
        if !name.starts_with('.') && !LITTER.iter().any(|litter| name.eq_ignore_ascii_case(litter)) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn refuse(path: &Path, problem: impl Into<String>) -> Error {
    Error::DataFolder { path: path.to_path_buf(), problem: problem.into() }
}

#[cfg(all(test, feature = "picture"))]
mod tests {
    use super::*;
    use crate::picture::{Gray, write_png};

    /// A picture of one grey.
    fn picture(path: &Path, width: usize, height: usize, gray: u8) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        write_png(path, &Gray::new(width, height, vec![gray; width * height]).unwrap()).unwrap();
    }

    fn read_at(folder: &Path, image_size: Option<(usize, usize)>) -> Result<(Dataset, Option<Dataset>)> {
        read(&find(folder)?.expect("folders of pictures"), image_size, "set")
    }

    #[test]
    fn a_folder_is_a_class_and_pictures_are_brought_to_one_size() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        picture(&at("train/dog/2.png"), 60, 20, 200);
        picture(&at("train/cat/1.png"), 9, 9, 100);
        picture(&at("train/cat/10.png"), 28, 28, 0);
        picture(&at("val/dog/1.png"), 1, 1, 7);
        fs::write(at("train/cat/Thumbs.db"), "x").unwrap();
        fs::write(at("train/cat/.hidden"), "x").unwrap();
        fs::write(at("train/notes.txt"), "x").unwrap();
        let (train, test) = read_at(folder.path(), Some((8, 12))).unwrap();
        assert_eq!(
            (train.image_size(), train.labels(), train.class_names()),
            ((8, 12), &[0, 0, 1][..], &["cat".to_string(), "dog".into()][..])
        );
        assert_eq!((train.row(0), train.row(1), train.row(2)), (vec![100; 96], vec![0; 96], vec![200; 96]));
        let test = test.unwrap();
        assert_eq!((test.labels(), test.classes(), test.row(0)), (&[1][..], 2, vec![7; 96]));
        assert_eq!(read_at(&at("train"), None).unwrap().0.image_size(), (28, 28));
        assert!(matches!(read_at(folder.path(), Some((4, 2000))), Err(Error::Setting { name: "image_size", .. })));
    }

    #[test]
    fn numbers_are_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        ["10", "2", "1"].iter().for_each(|class| picture(&folder.path().join(class).join("a.png"), 8, 8, 1));
        assert_eq!(read_at(folder.path(), None).unwrap().0.class_names(), ["1", "2", "10"]);
    }

    #[test]
    fn what_is_no_picture_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        assert!(find(folder.path()).unwrap().is_none());
        picture(&at("cat/1.png"), 8, 8, 1);
        let refused = |problem: &str| {
            let error = read_at(folder.path(), None).unwrap_err().to_string();
            assert!(error.contains(problem) && !error.contains('\n'), "{error}");
        };
        refused("1 folders of pictures, expected 2 to 65536");
        picture(&at("dog/1.png"), 8, 8, 1);
        fs::write(at("dog/notes.txt"), "x").unwrap();
        refused("notes.txt: is no picture of a kind that is read");
        fs::remove_file(at("dog/notes.txt")).unwrap();
        fs::create_dir(at("dog/more")).unwrap();
        refused("more: a folder among pictures");
        fs::remove_dir(at("dog/more")).unwrap();
        fs::create_dir(at("train")).unwrap();
        assert!(find(folder.path()).unwrap().is_none());
        fs::remove_dir(at("train")).unwrap();
        picture(&at("x/train/a/1.png"), 8, 8, 1);
        picture(&at("x/train/b/1.png"), 8, 8, 1);
        picture(&at("x/test/c/1.png"), 8, 8, 1);
        let error = read_at(&at("x"), None).unwrap_err().to_string();
        assert!(error.contains("c: no class of training, whose folders are in "), "{error}");
    }
}
