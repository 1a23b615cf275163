//! Some files out of a published archive, read as a stream and checked one by one. It knows nothing of where the archive came
//! from.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::bufread::DeflateDecoder;
use flatnet::{Error, Result};
use rawzip::{CompressionMethod, RECOMMENDED_BUFFER_SIZE, ZipArchive};

use super::check::{self, Verdict};
use super::sets::KnownFile;

/// Writes the member of `archive` that is called as `known`, in whatever folder it lies there, to `place`, and gives its SHA-256.
/// What is not the published file gets no name: it is removed again.
///
/// # Errors
/// [`Error::Fetch`] if the archive holds no such member, or another; [`Error::Io`] from the operating system.
pub fn extract(archive: &Path, known: &KnownFile, place: &Path, replace: bool) -> Result<String> {
    let refuse = |problem: String| Error::Fetch { path: archive.to_path_buf(), problem };
    if !replace && place.exists() {
        let problem = "was written by another program in the meantime; move it away, or give --overwrite".into();
        return Err(Error::Fetch { path: place.to_path_buf(), problem });
    }
    let mut name = place.as_os_str().to_os_string();
    name.push(".part");
    let part = Path::new(&name);
    if fs::symlink_metadata(part).is_ok_and(|found| !found.is_file()) {
        let problem = "stands where a file must be unpacked and is not a regular file; move it away".into();
        return Err(Error::Fetch { path: part.to_path_buf(), problem });
    }
    let unpacked = unpack(archive, known, part).and_then(|()| match check::file(part, known)? {
        Verdict::Right { sha256 } => Ok(sha256),
        Verdict::Wrong { .. } => Err(refuse(format!("holds another {} than the published one; remove it", known.name))),
    });
    let sha256 = unpacked.inspect_err(|_| {
        // This program made it, a moment ago.
        let _ = fs::remove_file(part);
    })?;
    fs::rename(part, place).map_err(|source| Error::Io { path: place.to_path_buf(), action: "replace", source })?;
    Ok(sha256)
}

fn unpack(archive: &Path, known: &KnownFile, part: &Path) -> Result<()> {
    let damaged = |detail: String| Error::Fetch {
        path: archive.to_path_buf(),
        problem: format!("is a damaged archive ({detail}); remove it and fetch it again"),
    };
    let zip = |error: rawzip::Error| damaged(error.to_string());
    let failed = |source| Error::Io { path: part.to_path_buf(), action: "write", source };
    let file =
        File::open(archive).map_err(|source| Error::Io { path: archive.to_path_buf(), action: "open", source })?;
    let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
    let opened = ZipArchive::from_file(file, &mut buffer).map_err(zip)?;
    let mut entries = opened.entries(&mut buffer);
    while let Some(entry) = entries.next_entry().map_err(zip)? {
        let path = entry.file_path();
        let path = path.as_ref();
        if path.rsplit(|byte| *byte == b'/').next() != Some(known.name.as_bytes()) {
            continue;
        }
        let method = entry.compression_method();
        let member = opened.get_entry(entry.wayfinder()).map_err(zip)?;
        let stored = BufReader::new(member.reader());
        let plain: Box<dyn Read + '_> = match method {
            CompressionMethod::STORE => Box::new(stored),
            CompressionMethod::DEFLATE => Box::new(DeflateDecoder::new(stored)),
            _ => return Err(damaged(format!("{} is compressed in an unknown way", known.name))),
        };
        // One byte more than can be right is enough to see that it is not.
        let mut plain = plain.take(check::most_bytes(known) + 1);
        let mut out = File::create(part).map_err(failed)?;
        return match io::copy(&mut plain, &mut out) {
            Ok(_) => Ok(()),
            // The disk's errors have a number of the system's, the decoder's have none.
            Err(error) if error.raw_os_error().is_some() => Err(failed(error)),
            Err(error) => Err(damaged(error.to_string())),
        };
    }
    Err(damaged(format!("it holds no {}", known.name)))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::DeflateEncoder;
    use rawzip::ZipArchiveWriter;

    use super::super::sets::Digest;
    use super::*;

    /// An archive of these members, deflated and stored in turn.
    fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut archive = ZipArchiveWriter::new(&mut bytes);
        for (index, (name, data)) in members.iter().enumerate() {
            let method = if index % 2 == 0 { CompressionMethod::DEFLATE } else { CompressionMethod::STORE };
            let (mut entry, config) = archive.new_file(name).compression_method(method).start().unwrap();
            if index % 2 == 0 {
                let mut writer = config.wrap(DeflateEncoder::new(&mut entry, Compression::default()));
                writer.write_all(data).unwrap();
                let (encoder, descriptor) = writer.finish().unwrap();
                encoder.finish().unwrap();
                entry.finish(descriptor).unwrap();
            } else {
                let mut writer = config.wrap(&mut entry);
                writer.write_all(data).unwrap();
                let (_, descriptor) = writer.finish().unwrap();
                entry.finish(descriptor).unwrap();
            }
        }
        archive.finish().unwrap();
        bytes
    }

    fn known(name: &str, packed: &'static str, bytes: u64) -> KnownFile {
        KnownFile {
            name: name.into(),
            packed_bytes: None,
            packed: Digest::Md5(packed),
            unpacked_bytes: bytes,
            unpacked_sha256: None,
        }
    }

    #[test]
    fn a_member_gets_its_name_once_it_is_the_published_one() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("gzip.zip");
        let letters = [7; 5000];
        let whole = zip(&[("gzip/", b""), ("gzip/b.gz", b"abc"), ("gzip/a.gz", b"abc"), ("c.gz", &letters)]);
        fs::write(&archive, &whole).unwrap();
        // MD5 of "abc", from RFC 1321.
        let abc = "900150983cd24fb0d6963f7d28e17f72";
        let place = folder.path().join("place.gz");
        let tell = |known: &KnownFile| extract(&archive, known, &place, false).unwrap_err().to_string();
        // Not there; another; longer than it can be, which is not written to its end.
        assert!(tell(&known("d.gz", abc, 3)).contains("gzip.zip: is a damaged archive (it holds no d.gz)"));
        assert!(tell(&known("c.gz", abc, 5000)).contains("holds another c.gz than the published one"));
        assert!(tell(&known("c.gz", abc, 10)).contains("holds another c.gz"));
        for name in ["a.gz", "b.gz"] {
            let _ = fs::remove_file(&place);
            let sha256 = extract(&archive, &known(name, abc, 3), &place, false).unwrap();
            assert_eq!(sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
            assert_eq!(fs::read(&place).unwrap(), b"abc");
        }
        // In the way, and cut off.
        assert!(tell(&known("a.gz", abc, 3)).contains("place.gz: was written by another program"));
        fs::remove_file(&place).unwrap();
        fs::write(&archive, &whole[..whole.len() / 2]).unwrap();
        assert!(tell(&known("a.gz", abc, 3)).contains("is a damaged archive"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "something is left");
    }
}
