//! `flatnet inspect` for IDX files and folders of them: collects what the library found out, and puts it into words.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use flatnet::data::idx;
use flatnet::data::inspect::{self, IdxReport, Labels};
use flatnet::{Error, Result};
use serde::Serialize;

use super::InspectArguments;
use super::sheet::Sheet;
use crate::cli::table::grouped;
use crate::cli::{print, print_json, printable};

/// What `--json` prints for a file.
#[derive(Serialize)]
struct FileReport<'a> {
    kind: &'static str,
    #[serde(flatten)]
    report: &'a IdxReport,
}

/// What `--json` prints for a folder.
#[derive(Serialize)]
struct FolderReport<'a> {
    kind: &'static str,
    folder: String,
    files: &'a [IdxReport],
    /// What looks wrong between the files; what looks wrong in one stands with it.
    suspicious: &'a [String],
}

pub fn inspect_file(arguments: &InspectArguments, path: &Path) -> Result<()> {
    let mut sheet = Sheet::new(false);
    let report = inspect_images(path, None, &mut sheet)?;
    if let Some(png) = &arguments.png {
        write_sheet(&sheet, &report, png)?;
    }
    if arguments.json {
        return print_json(&FileReport { kind: "idx", report: &report });
    }
    let mut text = told(&report);
    if report.images.is_some() {
        text.push_str(&sheet.text()?);
    }
    text.push_str(&told_suspicions(&report.suspicious));
    print(&text)
}

pub fn inspect_folder(arguments: &InspectArguments, folder: &Path) -> Result<()> {
    let paths = idx_files(folder)?;
    let mut reports: Vec<IdxReport> = Vec::new();
    // The sheet is of the first file of images, which are the training images if the folder has them.
    let mut shown: Option<(Sheet, usize)> = None;
    for path in &paths {
        let labels = partner(path).filter(|labels| labels.is_file());
        let labels = match labels.map(|labels| idx::read(&labels)) {
            Some(Ok(array)) if array.dims.len() == 1 => Some(array.bytes),
            // What is wrong with the labels is told where they are inspected themselves.
            _ => None,
        };
        let mut sheet = Sheet::new(labels.is_some());
        let report = inspect_images(path, labels.as_deref(), &mut sheet)?;
        if report.images.is_some() && shown.is_none() {
            shown = Some((sheet, reports.len()));
        }
        reports.push(report);
    }
    let suspicious = compare(&paths, &reports);
    if let Some(png) = &arguments.png {
        let (sheet, index) = shown.as_ref().ok_or_else(|| no_images(folder))?;
        write_sheet(sheet, &reports[*index], png)?;
    }
    if arguments.json {
        let folder = folder.display().to_string();
        return print_json(&FolderReport { kind: "folder", folder, files: &reports, suspicious: &suspicious });
    }
    let mut text = String::new();
    for report in &reports {
        text.push_str(&told(report));
        text.push('\n');
    }
    if let Some((sheet, index)) = &shown {
        text.push_str(&format!("{}\n{}\n", reports[*index].file, sheet.text()?));
    }
    let all: Vec<String> = (reports.iter())
        .flat_map(|report| report.suspicious.iter().map(|fault| format!("{}: {fault}", report.file)))
        .chain(suspicious)
        .collect();
    text.push_str(&told_suspicions(&all));
    print(&text)
}

/// The report on `path`; if it holds images, some of them are kept in `sheet`.
fn inspect_images(path: &Path, labels: Option<&[u8]>, sheet: &mut Sheet) -> Result<IdxReport> {
    let mut kept = Ok(());
    let report = inspect::inspect(path, |index, width, image| {
        let label = labels.and_then(|labels| labels.get(index as usize)).copied();
        if kept.is_ok() {
            kept = sheet.offer(label, width, image);
        }
    })?;
    kept.map(|()| report)
}

fn write_sheet(sheet: &Sheet, report: &IdxReport, png: &Path) -> Result<()> {
    if report.images.is_none() {
        return Err(no_images(Path::new(&report.file)));
    }
    sheet.write(png)
}

fn no_images(path: &Path) -> Error {
    Error::DataFolder {
        path: path.to_path_buf(),
        problem: "holds no images for a contact sheet; leave out --png".into(),
    }
}

/// The files of `folder` whose names are like those of IDX files, training before test and images before labels.
fn idx_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let fail = |source| Error::Io { path: folder.to_path_buf(), action: "read", source };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let name = name_of(&path);
        let named_so = ["idx1", "idx2", "idx3"].iter().any(|dimensions| name.contains(dimensions));
        if named_so && !name.starts_with('.') && path.is_file() {
            found.push(path);
        }
    }
    if found.is_empty() {
        return Err(Error::DataFolder {
            path: folder.to_path_buf(),
            problem: "holds neither IDX files (such as train-images-idx3-ubyte.gz) nor a run's model.safetensors"
                .into(),
        });
    }
    found.sort_by_key(|path| {
        let name = name_of(path);
        (!is_training(&name), name)
    });
    Ok(found)
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn is_training(name: &str) -> bool {
    name.contains("train")
}

/// The labels of a file of images, by name; packed or not as the images are, or else the other way.
fn partner(images: &Path) -> Option<PathBuf> {
    let name = name_of(images);
    let labels = name.contains("images").then(|| name.replace("images", "labels").replace("idx3", "idx1"))?;
    let other = labels.strip_suffix(".gz").map_or_else(|| format!("{labels}.gz"), str::to_string);
    [labels, other].into_iter().map(|name| images.with_file_name(name)).find(|path| path.is_file())
}

/// What looks wrong between the files of a folder.
fn compare(paths: &[PathBuf], reports: &[IdxReport]) -> Vec<String> {
    let report_of = |path: &Path| paths.iter().position(|known| known == path).and_then(|at| reports.get(at));
    let training =
        paths.iter().zip(reports).find(|(path, report)| is_training(&name_of(path)) && report.labels.is_some());
    let mut found = Vec::new();
    for (path, report) in paths.iter().zip(reports) {
        if report.images.is_none() {
            continue;
        }
        match partner(path).and_then(|labels| report_of(&labels)) {
            Some(labels) => found.extend(inspect::compare(Some(report), labels, training.map(|(_, report)| report))),
            None => found.push(format!("{}: no labels of unsigned bytes beside it", report.file)),
        }
    }
    let sizes: Vec<&IdxReport> = reports.iter().filter(|report| report.images.is_some()).collect();
    if let Some(two) = sizes.windows(2).find(|two| two[0].shape[1..] != two[1].shape[1..]) {
        found.push(format!("{} and {} hold images of different sizes", two[0].file, two[1].file));
    }
    found
}

/// A file in a few lines of at most 80 columns; a longer name stands by itself.
fn told(report: &IdxReport) -> String {
    let mut text = format!("{}\n", printable(&report.file));
    let mut line = |name: &str, value: &str| {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "  {name:<9} {value}");
    };
    let packing = if report.gzip { format!(", {} as gzip", grouped_u64(report.bytes)) } else { String::new() };
    line("type", &format!("IDX, {}; {} bytes{packing}", report.element, grouped_u64(report.unpacked_bytes)));
    let shape: Vec<String> = report.shape.iter().map(|size| grouped_u64(*size)).collect();
    match (&report.images, &report.labels) {
        (Some(images), _) => {
            line("shape", &format!("{} images of {} x {}", grouped_u64(images.count), images.rows, images.columns))
        }
        (None, Some(labels)) => {
            line("shape", &format!("{} labels, 0 to {}", grouped_u64(labels.count), labels.histogram.len() - 1))
        }
        (None, None) => line("shape", &shape.join(" x ")),
    }
    line("sha256", &report.sha256);
    if report.gzip {
        line("unpacked", &report.unpacked_sha256);
    }
    match &report.known {
        Some(known) => {
            let how = if known.checked { "digest checked" } else { "by a published list of digests" };
            line("known as", &format!("{}, {} ({how})", known.set, known.name));
        }
        None if report.same_size_as.is_empty() => line("known as", "no known file"),
        None => {
            line("known as", "no known file; of the same size are");
            report.same_size_as.iter().for_each(|file| line("", file));
        }
    }
    if let Some(images) = &report.images {
        let (all, zero) = (images.constant_pixels, images.zero_pixels);
        line("pixels", &format!("mean {:.1}; {all} the same in all images, {zero} of them 0", images.mean));
        line("blank", &format!("{} images", grouped_u64(images.blank)));
    }
    if let Some(labels) = &report.labels {
        text.push_str(&histogram(labels));
    }
    text
}

/// A bar per label, the most frequent one over 40 columns.
fn histogram(labels: &Labels) -> String {
    const BAR: u64 = 40;
    let most = labels.histogram.iter().copied().max().unwrap_or(1).max(1);
    let bar = |times: u64| "#".repeat((times * BAR).div_ceil(most) as usize);
    let lines = labels.histogram.iter().enumerate().map(|(label, times)| {
        let line = format!("  {label:>9} {:>11} {}", grouped_u64(*times), bar(*times));
        format!("{}\n", line.trim_end())
    });
    lines.collect()
}

fn told_suspicions(all: &[String]) -> String {
    if all.is_empty() {
        return "Nothing looks wrong.\n".into();
    }
    let lines = all.iter().map(|fault| format!("  {}\n", printable(fault)));
    format!("Suspicious:\n{}", lines.collect::<String>())
}

fn grouped_u64(number: u64) -> String {
    grouped(usize::try_from(number).unwrap_or(usize::MAX))
}
