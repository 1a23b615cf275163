//! Whether a file is what was published. It reads files and knows nothing of where they come from.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::Path;

use flate2::bufread::GzDecoder;
use flatnet::{Error, Result, data};
use md5::Md5;
use sha2::{Digest, Sha256};

use super::sets::{self, KnownFile};

/// What a file turned out to be. `sha256` is that of its bytes as they lie on the disk, in hexadecimal.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The published file; or another gzip of the published bytes, where their digest is known.
    Right {
        sha256: String,
    },
    Wrong {
        sha256: String,
    },
}

/// Compares a packed file with what is known of it. A file longer than [`most_bytes`] is read no further.
pub fn file(path: &Path, known: &KnownFile) -> Result<Verdict> {
    let failed = |source| Error::Io { path: path.to_path_buf(), action: "read", source };
    let mut file = File::open(path).map_err(failed)?;
    let (_, sha256, md5) = digest(&mut file, most_bytes(known)).map_err(failed)?;
    let is_right = match known.packed {
        sets::Digest::Sha256(expected) => sha256 == expected,
        sets::Digest::Md5(expected) => md5 == expected,
    };
    if is_right {
        return Ok(Verdict::Right { sha256 });
    }
    if let Some(unpacked_sha256) = known.unpacked_sha256 {
        file.rewind().map_err(failed)?;
        let mut unpacked = GzDecoder::new(BufReader::new(file));
        // What is no gzip is not the file either, nor is one that goes on behind its end.
        if let Ok((bytes, found, _)) = digest(&mut unpacked, known.unpacked_bytes)
            && (bytes, found.as_str()) == (known.unpacked_bytes, unpacked_sha256)
            && unpacked.get_mut().fill_buf().is_ok_and(<[u8]>::is_empty)
        {
            return Ok(Verdict::Right { sha256 });
        }
    }
    Ok(Verdict::Wrong { sha256 })
}

/// Compares an unpacked file with what is known of it; `None` where its digest is not.
pub fn unpacked_file(path: &Path, known: &KnownFile) -> Result<Option<Verdict>> {
    let failed = |source| Error::Io { path: path.to_path_buf(), action: "read", source };
    let Some(expected) = known.unpacked_sha256 else { return Ok(None) };
    let (_, sha256, _) =
        File::open(path).and_then(|mut file| digest(&mut file, known.unpacked_bytes)).map_err(failed)?;
    Ok(Some(if sha256 == expected { Verdict::Right { sha256 } } else { Verdict::Wrong { sha256 } }))
}

/// The longest file that can be right: the published one, or the longest gzip that still makes sense.
pub fn most_bytes(known: &KnownFile) -> u64 {
    match (known.unpacked_sha256, known.packed_bytes) {
        (None, Some(packed_bytes)) => packed_bytes,
        // Stored without compression, gzip adds a header and five bytes to a block.
        _ => known.unpacked_bytes + known.unpacked_bytes / 1000 + 1024,
    }
}

/// Length, SHA-256 and MD5 of what `from` gives, or of `most + 1` bytes of it should it give more.
fn digest(from: &mut dyn Read, most: u64) -> io::Result<(u64, String, String)> {
    let (mut sha256, mut md5) = (Sha256::new(), Md5::new());
    let mut from = from.take(most + 1);
    let (mut bytes, mut buffer) = (0, vec![0; 1 << 16]);
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                let read = buffer.get(..count).unwrap_or_default();
                sha256.update(read);
                md5.update(read);
                bytes += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok((bytes, data::hex(&sha256.finalize()), data::hex(&md5.finalize())))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8], level: u32) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn sha256(bytes: &[u8]) -> &'static str {
        digest(&mut &*bytes, u64::MAX - 1).unwrap().1.leak()
    }

    #[test]
    fn the_published_gzip_or_another_of_the_same_bytes_is_right() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.gz");
        let inside: Vec<u8> = (0..9000).map(|i| (i * i % 251) as u8).collect();
        let published = gzip(&inside, 9);
        let mut known = KnownFile {
            name: "file.gz".into(),
            packed_bytes: Some(published.len() as u64),
            packed: sets::Digest::Sha256(sha256(&published)),
            unpacked_bytes: inside.len() as u64,
            unpacked_sha256: Some(sha256(&inside)),
        };
        let verdict = |bytes: &[u8], known: &KnownFile| {
            std::fs::write(&path, bytes).unwrap();
            matches!(file(&path, known).unwrap(), Verdict::Right { .. })
        };
        let stored = gzip(&inside, 0);
        assert!(stored.len() as u64 <= most_bytes(&known) && stored != published);
        assert!(verdict(&published, &known) && verdict(&stored, &known));

        // One byte more or less, inside or behind; and nothing at all.
        assert!(!verdict(&published[..published.len() - 1], &known));
        assert!(!verdict(&gzip(&inside[1..], 9), &known));
        assert!(!verdict(&gzip(&[&inside[..], &[0]].concat(), 9), &known));
        assert!(!verdict(&[&stored[..], &[0]].concat(), &known));
        assert!(!verdict(b"", &known) && !verdict(&inside, &known));

        known.unpacked_sha256 = None;
        assert!(verdict(&published, &known) && !verdict(&stored, &known));
        assert_eq!(most_bytes(&known), published.len() as u64);

        // Where MD5 is all that is known, and not even the length.
        let (_, _, md5) = digest(&mut &published[..], u64::MAX - 1).unwrap();
        (known.packed, known.packed_bytes) = (sets::Digest::Md5(md5.leak()), None);
        assert!(verdict(&published, &known) && !verdict(&stored, &known));
    }

    #[test]
    fn no_more_is_read_than_can_be_right() {
        let (bytes, ..) = digest(&mut io::repeat(7), 100_000).unwrap();
        assert_eq!(bytes, 100_001);
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
