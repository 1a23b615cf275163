//! One file from one of its mirrors: asked in turn, gone on with where it broke off, checked before it gets its name. It
//! knows nothing of sets and results.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flatnet::{Error, Result};

use super::check::{self, Verdict};
use super::http::{self, Failure, FailureKind};
use super::progress::Progress;
use super::sets::KnownFile;
use crate::cli::table::grouped;

/// So often a mirror that breaks off is asked to go on.
const RETRIES: usize = 5;
/// A mirror that sends less than this, measured over the stall limit, is left for the next.
const LEAST_BYTES_PER_SECOND: u64 = 1024;
const BUFFER_BYTES: usize = 1 << 16;

/// How long to wait.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// When everything must be over, and how long after the start that is.
    pub deadline: Instant,
    pub time_limit: Duration,
    /// How long one mirror may be silent, or send next to nothing.
    pub stall_limit: Duration,
}

/// A file that has arrived.
#[derive(Debug)]
pub struct Arrived {
    /// Where its last bytes came from; `None` where an earlier call had fetched them all.
    pub from: Option<String>,
    pub sha256: String,
}

/// Fetches `known` to `place`. What has arrived when this fails, or is broken off, stays in `PLACE.part` for the next call.
pub fn fetch(
    known: &KnownFile,
    place: &Path,
    replace: bool,
    mirrors: &[String],
    patience: &Patience,
    progress: &Progress,
) -> Result<Arrived> {
    let mut part = Part::open(place, known)?;
    if part.bytes > check::most_bytes(known) {
        part.restart()?;
    }
    if part.bytes > 0
        && let Verdict::Right { sha256 } = part.verdict()?
    {
        part.publish(place, replace)?;
        return Ok(Arrived { from: None, sha256 });
    }
    let mut told = Vec::new();
    let mut all_unreached = true;
    for (index, mirror) in mirrors.iter().enumerate() {
        part.of_one_mirror = part.bytes == 0;
        match ask(mirror, &mut part, patience, progress)? {
            Ok(sha256) => {
                part.publish(place, replace)?;
                return Ok(Arrived { from: Some(public(mirror) + &known.name), sha256 });
            }
            Err(failure) => {
                all_unreached &= failure.kind == FailureKind::Unreached;
                told.push(format!("{}: {}", host(mirror), failure.told));
                if index + 1 < mirrors.len() {
                    progress.note(&format!("{}: {}: {}; asking the next", known.name, host(mirror), failure.told));
                }
            }
        }
        if left(patience).is_none() {
            break;
        }
    }
    let mut problem = match left(patience) {
        Some(_) => format!("no mirror gave it: {}", told.join("; ")),
        None => format!(
            "the time limit of {} s is over: {}; allow more with --time-limit",
            patience.time_limit.as_secs(),
            told.join("; ")
        ),
    };
    if all_unreached && !told.is_empty() {
        problem.push_str("; is this computer online?");
    }
    problem.push_str(&part.leave()?);
    Err(Error::Fetch { path: place.to_path_buf(), problem })
}

/// The address of a folder without what may be secret in it, a user's name and password.
fn public(folder: &str) -> String {
    let (scheme, rest) = folder.split_once("://").unwrap_or(("", folder));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_user, host)| host);
    format!("{scheme}://{host}/{path}")
}

/// As much of it as tells mirrors apart: `https://host:port`.
fn host(folder: &str) -> String {
    let public = public(folder);
    public.split('/').take(3).collect::<Vec<_>>().join("/")
}

fn left(patience: &Patience) -> Option<Duration> {
    let left = patience.deadline.saturating_duration_since(Instant::now());
    (!left.is_zero()).then_some(left)
}

/// Has one mirror fill the part. The inner result: the file's digest once it is right, or why this mirror is given up.
fn ask(
    mirror: &str,
    part: &mut Part,
    patience: &Patience,
    progress: &Progress,
) -> Result<std::result::Result<String, Failure>> {
    let mut retries = 0;
    loop {
        part.has_grown = false;
        let ended = pour(mirror, part, patience, progress)?;
        if part.has_grown
            && let Verdict::Right { sha256 } = part.verdict()?
        {
            return Ok(Ok(sha256));
        }
        match ended {
            Ok(()) if part.of_one_mirror => {
                let told = format!("sends {} bytes that are not the published file", grouped(part.bytes as usize));
                part.restart()?;
                return Ok(Err(Failure { told, kind: FailureKind::Other }));
            }
            // Two mirrors' halves need not make a whole: once more from the start.
            Ok(()) => part.restart()?,
            Err(failure) if failure.kind == FailureKind::NoSuchPart && part.bytes > 0 => part.restart()?,
            Err(failure) if failure.kind == FailureKind::BrokenOff && part.has_grown && retries < RETRIES => {
                retries += 1;
                let at = grouped(part.bytes as usize);
                progress.note(&format!("{}: {}: {} at {at} bytes", part.known.name, host(mirror), failure.told));
            }
            Err(failure) => return Ok(Err(failure)),
        }
    }
}

/// One request, and as much of its body as comes.
fn pour(
    mirror: &str,
    part: &mut Part,
    patience: &Patience,
    progress: &Progress,
) -> Result<std::result::Result<(), Failure>> {
    let fail = |told: String| Ok(Err(Failure { told, kind: FailureKind::Other }));
    let Some(left) = left(patience) else { return fail("the time limit is over".into()) };
    let (known, most) = (part.known, check::most_bytes(part.known));
    let mut answer = match http::get(&format!("{mirror}{}", known.name), part.bytes, left, patience.stall_limit) {
        Ok(answer) => answer,
        Err(failure) => return Ok(Err(failure)),
    };
    let promised = answer.body_bytes.map(|body| answer.start.saturating_add(body));
    match promised {
        Some(promised) if promised > most => {
            return fail(format!("promises {promised} bytes of a file that has at most {most}"));
        }
        // Without a digest of what is inside, no other gzip of it can be known to be right.
        Some(promised)
            if let (None, Some(bytes)) = (known.unpacked_sha256, known.packed_bytes)
                && promised != bytes =>
        {
            return fail(format!("promises {promised} bytes of a file that has {bytes}"));
        }
        _ => {}
    }
    if answer.start < part.bytes {
        part.restart()?;
    }
    progress.start(&known.name, &host(mirror), part.bytes, promised.or(known.packed_bytes).unwrap_or(most));
    let mut buffer = vec![0; BUFFER_BYTES];
    let (mut window, mut at_window) = (Instant::now(), part.bytes);
    loop {
        let bytes = match answer.read(&mut buffer) {
            Ok(0) => return Ok(Ok(())),
            Ok(count) => buffer.get(..count).unwrap_or_default(),
            Err(failure) => return Ok(Err(failure)),
        };
        if part.bytes + bytes.len() as u64 > most {
            part.restart()?;
            return fail(format!("sends more than the {most} bytes that the file has at most"));
        }
        part.add(bytes)?;
        progress.advance(part.bytes);
        if window.elapsed() >= patience.stall_limit {
            if part.bytes - at_window < LEAST_BYTES_PER_SECOND * patience.stall_limit.as_secs() {
                return fail(format!("it sends less than {LEAST_BYTES_PER_SECOND} bytes a second"));
            }
            (window, at_window) = (Instant::now(), part.bytes);
        }
    }
}

/// What has arrived so far: the file `PLACE.part`, held by this program alone.
struct Part<'a> {
    known: &'a KnownFile,
    path: PathBuf,
    file: File,
    bytes: u64,
    /// Whether all its bytes are of the mirror that is being asked.
    of_one_mirror: bool,
    /// Whether the last request brought any bytes.
    has_grown: bool,
}

impl<'a> Part<'a> {
    fn open(place: &Path, known: &'a KnownFile) -> Result<Self> {
        let mut name = place.as_os_str().to_os_string();
        name.push(".part");
        let path = PathBuf::from(name);
        let problem = |problem: &str| Err(Error::Fetch { path: path.clone(), problem: problem.into() });
        // Asked before opening: to open a pipe may wait for ever, and a link may lead anywhere.
        if fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file()) {
            return problem("stands where the download must be kept and is not a regular file; move it away");
        }
        let failed = |source| Error::Io { path: path.clone(), action: "write", source };
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = opened.map_err(failed)?;
        match file.try_lock() {
            // Where files cannot be locked there is nothing to wait for.
            Ok(()) | Err(TryLockError::Error(_)) => {}
            Err(TryLockError::WouldBlock) => return problem("another flatnet is fetching this file; wait for it"),
        }
        let mut part = Part { known, path: path.clone(), file, bytes: 0, of_one_mirror: false, has_grown: false };
        part.bytes = part.file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok(part)
    }

    fn failed(&self) -> impl Fn(io::Error) -> Error {
        let path = self.path.clone();
        move |source| Error::Io { path: path.clone(), action: "write", source }
    }

    fn restart(&mut self) -> Result<()> {
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(self.failed())?;
        (self.bytes, self.of_one_mirror) = (0, true);
        Ok(())
    }

    fn add(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(self.failed())?;
        self.bytes += bytes.len() as u64;
        self.has_grown = true;
        Ok(())
    }

    fn verdict(&self) -> Result<Verdict> {
        check::file(&self.path, self.known)
    }

    /// Gives the file its name.
    fn publish(&self, place: &Path, replace: bool) -> Result<()> {
        // Found to be missing before; another program may have been faster.
        if !replace && place.exists() {
            let problem = format!("was written by another program in the meantime; {} is kept", self.path.display());
            return Err(Error::Fetch { path: place.to_path_buf(), problem });
        }
        fs::rename(&self.path, place).map_err(|source| Error::Io {
            path: place.to_path_buf(),
            action: "replace",
            source,
        })
    }

    /// Keeps what there is and says so; removes a file that holds nothing.
    fn leave(&self) -> Result<String> {
        if self.bytes == 0 {
            fs::remove_file(&self.path).map_err(self.failed())?;
            return Ok(String::new());
        }
        let kept = grouped(self.bytes as usize);
        Ok(format!("; {kept} bytes are kept in {}, the same command goes on from there", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_without_secrets() {
        for (url, whole, short) in [
            ("https://example.org/a/b/", "https://example.org/a/b/", "https://example.org"),
            ("http://me:secret@[::1]:8080/", "http://[::1]:8080/", "http://[::1]:8080"),
            ("http://me@host/a@b/", "http://host/a@b/", "http://host"),
        ] {
            assert_eq!((public(url).as_str(), host(url).as_str()), (whole, short));
        }
    }

    #[test]
    fn only_one_program_fetches_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let known = &super::super::sets::set(super::super::SetName::Mnist).files()[1];
        let place = folder.path().join(&known.name);
        let first = Part::open(&place, known).unwrap();
        let error = Part::open(&place, known).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(".gz.part: another flatnet is fetching this file"), "{error}");
        drop(first);
        Part::open(&place, known).unwrap();
    }
}
