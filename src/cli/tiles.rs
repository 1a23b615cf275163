//! Small pictures as text: half blocks in shades of grey on a terminal that shows them, plain ASCII anywhere else. It
//! knows pixels and columns, not what the pictures are.

use std::fmt::Write;
use std::io::{IsTerminal, stdout};

use flatnet::picture::{self, Gray};
use flatnet::{Error, Result};

/// No line of output is longer, however wide the terminal.
const MAX_COLUMNS: usize = 80;
/// No narrower terminal is reckoned with.
const MIN_COLUMNS: usize = 16;

/// How standard output shows pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Two rows of pixels to a line, in the terminal's 24 shades of grey.
    Blocks,
    /// Two rows of pixels to a line as well, by their mean, in ten characters.
    Ascii,
}

impl Style {
    pub fn of_stdout() -> Style {
        Style::of(stdout().is_terminal(), |name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn of(terminal: bool, variable: impl Fn(&str) -> Option<String>) -> Style {
        let colours = variable("TERM").is_some_and(|term| term != "dumb") || variable("WT_SESSION").is_some();
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(&variable).unwrap_or_default().to_lowercase();
        let unicode = locale.contains("utf-8") || locale.contains("utf8") || variable("WT_SESSION").is_some();
        if terminal && colours && unicode && variable("NO_COLOR").is_none() { Style::Blocks } else { Style::Ascii }
    }
}

/// Columns that a line may have: those of the terminal, 80 at most.
pub fn columns() -> usize {
    let terminal = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    terminal.unwrap_or(MAX_COLUMNS).clamp(MIN_COLUMNS, MAX_COLUMNS)
}

/// `picture` in lines of as many columns as it has pixels, and no more than `columns`: larger ones are shrunk.
pub fn lines(picture: &Gray, style: Style, columns: usize) -> Result<Vec<String>> {
    let picture = if picture.width() > columns {
        let longest = (columns * picture.width().max(picture.height()) / picture.width()).max(1);
        picture::shrink(picture, longest)?
    } else {
        picture.clone()
    };
    let rows: Vec<&[u8]> = picture.pixels().chunks(picture.width()).collect();
    let empty = vec![0; picture.width()];
    Ok(rows.chunks(2).map(|two| line(two[0], two.get(1).unwrap_or(&&*empty), style)).collect())
}

/// Pictures beside each other, each under its caption, in as many rows as they need. All have the same size.
pub fn sheet(tiles: &[(String, Gray)], style: Style, columns: usize) -> Result<String> {
    let mut text = String::new();
    let Some((_, first)) = tiles.first() else { return Ok(text) };
    let width = first.width().min(columns);
    let per_row = ((columns + 1) / (width + 1)).max(1);
    for row in tiles.chunks(per_row) {
        let captions: Vec<String> = row.iter().map(|(caption, _)| format!("{caption:<width$.width$}")).collect();
        push_line(&mut text, captions.join(" ").trim_end())?;
        let pictures = row.iter().map(|(_, picture)| lines(picture, style, width)).collect::<Result<Vec<_>>>()?;
        for line in 0..pictures.iter().map(Vec::len).max().unwrap_or(0) {
            let parts: Vec<&str> = pictures.iter().filter_map(|lines| lines.get(line)).map(String::as_str).collect();
            push_line(&mut text, parts.join(" ").trim_end())?;
        }
    }
    Ok(text)
}

fn push_line(text: &mut String, line: &str) -> Result<()> {
    writeln!(text, "{line}").map_err(|error| Error::Io {
        path: "standard output".into(),
        action: "write",
        source: std::io::Error::other(error),
    })
}

/// From nothing to full ink.
const RAMP: &[u8; 10] = b" .:-=+*#%@";
/// The terminal's greys are colours 232 to 255.
const FIRST_GRAY: u8 = 232;
const GRAYS: u16 = 24;

fn line(upper: &[u8], lower: &[u8], style: Style) -> String {
    match style {
        Style::Ascii => {
            let shade = |(upper, lower): (&u8, &u8)| {
                let both = usize::from(*upper) + usize::from(*lower);
                char::from(RAMP[(both * (RAMP.len() - 1) + 255) / 510])
            };
            upper.iter().zip(lower).map(shade).collect()
        }
        Style::Blocks => {
            let gray = |pixel: u8| FIRST_GRAY + (u16::from(pixel) * (GRAYS - 1) / 255) as u8;
            let mut text = String::new();
            let mut before = None;
            for (upper, lower) in upper.iter().zip(lower) {
                let colours = (gray(*upper), gray(*lower));
                if before != Some(colours) {
                    text.push_str(&format!("\x1b[38;5;{};48;5;{}m", colours.0, colours.1));
                    before = Some(colours);
                }
                text.push('▀');
            }
            text + "\x1b[0m"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gray(width: usize, pixels: &[u8]) -> Gray {
        Gray::new(width, pixels.len() / width, pixels.to_vec()).unwrap()
    }

    #[test]
    fn ink_is_dark_in_ascii_and_lines_hold_two_rows() {
        let picture = gray(3, &[0, 255, 128, 0, 255, 128, 255, 0, 0]);
        assert_eq!(lines(&picture, Style::Ascii, 80).unwrap(), [" @+", "+  "]);
    }

    #[test]
    fn blocks_name_a_colour_once() {
        let picture = gray(3, &[0, 0, 255, 255, 255, 0]);
        let expected = "\x1b[38;5;232;48;5;255m▀▀\x1b[38;5;255;48;5;232m▀\x1b[0m";
        assert_eq!(lines(&picture, Style::Blocks, 80).unwrap(), [expected]);
    }

    #[test]
    fn blocks_are_for_terminals_that_can() {
        let capable = [("TERM", "xterm-256color"), ("LANG", "en_GB.UTF-8")];
        let of = |terminal: bool, variables: &[(&str, &str)]| {
            let found = |name: &str| variables.iter().rev().find(|(key, _)| *key == name).map(|(_, v)| v.to_string());
            Style::of(terminal, found)
        };
        assert_eq!(of(true, &capable), Style::Blocks);
        assert_eq!(of(false, &capable), Style::Ascii);
        assert_eq!(of(true, &[]), Style::Ascii);
        for (name, value) in [("TERM", "dumb"), ("LC_ALL", "C"), ("LANG", "de_DE.ISO-8859-1"), ("NO_COLOR", "1")] {
            assert_eq!(of(true, &[capable[0], capable[1], (name, value)]), Style::Ascii, "{name}={value}");
        }
        assert_eq!(of(true, &[("WT_SESSION", "1")]), Style::Blocks);
    }

    #[test]
    fn a_sheet_fits_the_columns_it_is_given() {
        let tiles: Vec<(String, Gray)> = (0..7).map(|i| (format!("class {i}"), gray(14, &[255; 14 * 14]))).collect();
        for (columns, rows) in [(80, 2), (79, 2), (44, 3), (14, 7), (10, 7)] {
            let text = sheet(&tiles, Style::Ascii, columns).unwrap();
            assert!(text.lines().all(|line| line.len() <= columns), "{columns}:\n{text}");
            assert_eq!(text.lines().filter(|line| line.starts_with("class ")).count(), rows, "{columns}:\n{text}");
        }
        assert_eq!(sheet(&[], Style::Ascii, 80).unwrap(), "");
    }
}
