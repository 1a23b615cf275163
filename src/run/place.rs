//! How a run names the folder of its data: from its own folder, so that both can be moved together and found from anywhere.
//! It knows paths, not what lies there.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// The way from the folder `from` to the folder `to`, both of which exist, with `/` between names; `None` where there is none.
/// Bytes that are no UTF-8, and `%` itself, are written as `%` and two hexadecimal digits.
pub fn relative(from: &Path, to: &Path) -> Option<String> {
    let (from, to) = (from.canonicalize().ok()?, to.canonicalize().ok()?);
    let (from, to): (Vec<Component<'_>>, Vec<Component<'_>>) = (from.components().collect(), to.components().collect());
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    // On another drive.
    if shared == 0 {
        return None;
    }
    let up = std::iter::repeat_n("..".to_string(), from.len() - shared);
    let down = to[shared..].iter().map(|name| escaped(name.as_os_str().as_encoded_bytes()));
    let steps: Vec<String> = up.chain(down).collect();
    Some(if steps.is_empty() { ".".into() } else { steps.join("/") })
}

/// Where [`relative`] leads from the folder `from`. The text may come from a file of somebody else's: it is a path like any
/// other that its user could have typed.
pub fn resolved(from: &Path, relative: &str) -> PathBuf {
    relative.split('/').filter(|step| !step.is_empty()).fold(from.to_path_buf(), |path, step| path.join(plain(step)))
}

fn escaped(name: &[u8]) -> String {
    let mut text = String::new();
    for chunk in name.utf8_chunks() {
        text.push_str(&chunk.valid().replace('%', "%25"));
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("%{byte:02X}")));
    }
    text
}

fn plain(step: &str) -> OsString {
    let (mut bytes, mut rest) = (Vec::new(), step.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        let are_digits = |digits: &&[u8]| first == b'%' && digits.iter().all(u8::is_ascii_hexdigit);
        let digits = after.get(..2).filter(are_digits).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    name_of(bytes)
}

#[cfg(unix)]
fn name_of(bytes: Vec<u8>) -> OsString {
    use std::os::unix::ffi::OsStringExt;
    OsString::from_vec(bytes)
}

#[cfg(not(unix))]
fn name_of(bytes: Vec<u8>) -> OsString {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_way_leads_back_to_where_it_was_taken_from() {
        let root = tempfile::tempdir().unwrap();
        let mut names: Vec<PathBuf> = ["data", "a/b/run", "a/100 %", "a/b/run/data", "."].map(PathBuf::from).into();
        #[cfg(unix)]
        names.push(PathBuf::from(name_of(b"a/na\xefve%41".to_vec())));
        let folders: Vec<PathBuf> = names.iter().map(|name| root.path().join(name)).collect();
        folders.iter().for_each(|folder| fs::create_dir_all(folder).unwrap());
        for from in &folders {
            for to in &folders {
                let way = relative(from, to).unwrap();
                assert!(!way.starts_with('/'), "{way}");
                let found = resolved(from, &way).canonicalize().unwrap();
                assert_eq!(found, to.canonicalize().unwrap(), "{way}");
            }
        }
        assert_eq!(relative(&folders[1], &folders[0]).unwrap(), "../../../data");
        assert_eq!(relative(&folders[1], &folders[2]).unwrap(), "../../100 %25");
        assert_eq!(relative(&folders[1], &root.path().join("absent")), None);
    }

    #[test]
    fn a_way_that_nobody_wrote_is_taken_as_it_stands() {
        for (way, expected) in [("100%", "x/100%"), ("%zz/%4", "x/%zz/%4"), ("%+1", "x/%+1"), ("", "x")] {
            assert_eq!(resolved(Path::new("x"), way), Path::new(expected));
        }
    }
}
