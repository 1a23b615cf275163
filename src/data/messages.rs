//! What names and cells of a file look like in a message. It must not know what they name.

use crate::error::Error;

/// The error that `what` of the set from `source` is not as expected.
pub(super) fn refusal(source: &str, what: &str, expected: String, found: String) -> Error {
    Error::Shape { place: printable(&format!("{source}: {what}")), expected, found: printable(&found) }
}

/// In one line: names and cells of a file may hold line ends, and what moves a cursor.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The beginning of a name or a cell of a file, in one line.
pub(super) fn shown(text: &str) -> String {
    const SHOWN: usize = 40;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", printable(&text[..end])),
        None => printable(text),
    }
}

/// The first `most` of many, and how many more there are.
pub(super) fn listed(mut names: impl Iterator<Item = String>, most: usize) -> String {
    let first: Vec<String> = names.by_ref().take(most).collect();
    let first = first.join(", ");
    match names.count() {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// A name that stands there twice; of several the first of the alphabet.
pub(super) fn twice<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.windows(2).find(|two| two[0] == two[1]).map(|two| two[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_says_is_told_in_one_short_line() {
        assert_eq!(shown("a\nb\u{1b}[2J"), "a\u{fffd}b\u{fffd}[2J");
        assert_eq!(shown(&"ü".repeat(40)), "ü".repeat(40));
        assert_eq!(shown(&"ü".repeat(41)), format!("{}...", "ü".repeat(40)));
        let names = || ["a", "b", "c"].iter().map(ToString::to_string);
        assert_eq!(["a, b, c", "a, b and 1 more"], [listed(names(), 3), listed(names(), 2)]);
        assert_eq!(listed(std::iter::empty(), 2), "");
    }

    #[test]
    fn a_name_that_stands_twice_is_found() {
        assert_eq!(twice(["b", "c", "a", "b", "a"].into_iter()), Some("a"));
        assert_eq!(twice(["b", "B", "a"].into_iter()), None);
    }
}
