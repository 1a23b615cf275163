//! Names out of files (of classes, columns, settings) as parts of pages, of a terminal's lines and of CSV: cut where they are
//! long, and without what would move the cursor or turn the text around. It knows texts, not what they name.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns of a terminal that a name may take where there is room.
pub const MAX_NAME_COLUMNS: usize = 24;

/// `name` in at most `columns` columns of a terminal, in which a wide character takes two: a longer one is cut, which an
/// ellipsis at its end says. Control characters and those that set the direction of a text become the replacement character.
pub fn shown_name(name: &str, columns: usize) -> String {
    let is_harmless = |c: char| {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    // Only so many can stand in the columns, save those without a width of their own.
    let clean = |c: char| if is_harmless(c) { c } else { '\u{fffd}' };
    let clean: String = name.chars().take(4 * columns + 1).map(clean).collect();
    if name.chars().nth(4 * columns + 1).is_none() && clean.width() <= columns {
        return clean;
    }
    let (mut shown, mut width) = (String::new(), 0);
    for c in clean.chars() {
        width += c.width().unwrap_or(0);
        if width > columns.saturating_sub(1) {
            break;
        }
        shown.push(c);
    }
    if columns > 0 {
        shown.push('\u{2026}');
    }
    shown
}

/// `name` with blanks before it, so that it takes `columns` columns of a terminal; a wider one stays as it is.
pub fn padded_name(name: &str, columns: usize) -> String {
    " ".repeat(columns.saturating_sub(name.width())) + name
}

/// The columns of a terminal that `name` takes.
pub fn name_columns(name: &str) -> usize {
    name.width()
}

/// A text as a cell of CSV, as RFC 4180 has it.
pub fn csv_cell(text: &str) -> Cow<'_, str> {
    let is_plain = !text.contains([',', '"', '\n', '\r']);
    if is_plain { text.into() } else { format!("\"{}\"", text.replace('"', "\"\"")).into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_by_the_columns_they_take() {
        for (name, columns, shown) in [
            ("setosa", 6, "setosa"),
            ("versicolor", 6, "versi\u{2026}"),
            ("\u{732b}\u{72ac}\u{9ce5}", 6, "\u{732b}\u{72ac}\u{9ce5}"),
            ("\u{732b}\u{72ac}\u{9ce5}", 5, "\u{732b}\u{72ac}\u{2026}"),
            ("\u{732b}\u{72ac}\u{9ce5}", 4, "\u{732b}\u{2026}"),
            ("a\u{1b}[2J\n\u{202e}b", 24, "a\u{fffd}[2J\u{fffd}\u{fffd}b"),
            ("", 3, ""),
            ("ab", 0, ""),
        ] {
            assert_eq!(shown_name(name, columns), shown, "{name:?}");
            assert!(name_columns(&shown_name(name, columns)) <= columns);
        }
        // A million marks that take no column are cut as well.
        let marks = "e".to_string() + &"\u{301}".repeat(1_000_000);
        assert!(shown_name(&marks, 24).chars().count() < 200);
        assert_eq!((padded_name("\u{732b}", 4), padded_name("long", 2)), ("  \u{732b}".into(), "long".into()));
    }

    #[test]
    fn cells_with_commas_are_quoted() {
        for (text, cell) in
            [("linear:10,relu", "\"linear:10,relu\""), ("a\"b", "\"a\"\"b\""), ("0.1", "0.1"), ("a\nb", "\"a\nb\"")]
        {
            assert_eq!(csv_cell(text), cell);
        }
    }
}
