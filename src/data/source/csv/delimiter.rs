//! What stands between the cells of a text, from its first lines. It knows no cells.

use std::path::Path;

/// In the order of trust: a comma may also stand in a number, or in a sentence.
const DELIMITERS: [u8; 4] = [b'\t', b';', b'|', b','];
const COMMA: usize = 3;
const LINES: usize = 20;

/// A delimiter stands as often in one line as in all others; of several that do, the first of `DELIMITERS` is taken that does
/// not stand at the ends of lines alone. Where none does, it is the most frequent one of the first line. `start`: the
/// first bytes of the file at `path`, of which the ending `.tsv` says it all.
pub(super) fn find(start: &[u8], path: &Path) -> u8 {
    let name = path.to_string_lossy().to_lowercase();
    if name.ends_with(".tsv") || name.ends_with(".tsv.gz") {
        return b'\t';
    }
    let lines = lines(start);
    let Some(first) = lines.first() else { return b',' };
    let alike = |at: &usize| {
        let count = first.counts[*at];
        count > 0
            && lines.iter().all(|line| line.counts[*at] == count)
            && !(count == 1 && lines.iter().all(|line| line.last == DELIMITERS[*at]))
    };
    let most = || (0..DELIMITERS.len()).filter(|at| first.counts[*at] > 0).max_by_key(|at| first.counts[*at]);
    DELIMITERS[(0..DELIMITERS.len()).find(alike).or_else(most).unwrap_or(COMMA)]
}

/// A line that is not blank.
#[derive(Default)]
struct Line {
    /// How often each delimiter stands in it, outside of quotes.
    counts: [usize; DELIMITERS.len()],
    /// Its last byte but spaces.
    last: u8,
}

/// The first lines, whole ones, or one that has no end.
fn lines(start: &[u8]) -> Vec<Line> {
    let (mut lines, mut line, mut quoted) = (Vec::new(), Line::default(), false);
    for byte in start {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' | b'\r' if !quoted => {
                if line.last != 0 {
                    lines.push(std::mem::take(&mut line));
                }
                if lines.len() == LINES {
                    return lines;
                }
            }
            _ if quoted => {}
            byte => {
                if let Some(at) = DELIMITERS.iter().position(|delimiter| delimiter == byte) {
                    line.counts[at] += 1;
                }
            }
        }
        if !byte.is_ascii_whitespace() || *byte == b'\t' {
            line.last = *byte;
        }
    }
    // The last line of a file may have no end, as has one that goes on beyond `start`.
    if line.last != 0 && lines.len() < 2 {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delimiter_is_the_same_in_all_lines() {
        for (text, expected) in [
            ("a,b\n1,2\n", b','),
            ("a;b\n1,5;2,5\n", b';'),
            ("a\tb c\n1\t2\n", b'\t'),
            ("a|b|c\n1|2|3\n", b'|'),
            ("a,b\n\"x;y\",1\n\"z;w\",2\n", b','),
            ("\"a;b\",c\n\"d;e\",f\n", b','),
            ("a,\"b\n,;;\"\nc,d\n", b','),
            ("1,2,3;\n4,5,6;\n", b','),
            ("one\ntwo\n", b','),
            ("a;b;c,d\n1;2\n", b';'),
            ("\n\n a;b\r\n\r\n1;2", b';'),
            ("a;b\r1;2\r", b';'),
            ("a;b", b';'),
            ("", b','),
        ] {
            assert_eq!(char::from(find(text.as_bytes(), Path::new("t.csv"))), char::from(expected), "{text}");
        }
        assert_eq!(find(b"a,b\n1,2\n", Path::new("T.TSV.gz")), b'\t');
    }
}
