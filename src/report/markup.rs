//! Text as part of HTML and SVG. Whatever comes from files passes through here; it knows no page.

use std::borrow::Cow;
use std::fmt::Display;

/// `text` so that it is only text, between tags and within quoted attributes. Control characters, which neither HTML nor
/// XML may hold, become the replacement character.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    let special = |c: char| matches!(c, '&' | '<' | '>' | '"' | '\'') || c.is_control();
    if !text.contains(special) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

/// Figures side by side, each under its name and above a note, all three of them HTML.
pub(super) fn cards<N: Display, T: Display>(cards: impl IntoIterator<Item = (N, String, T)>) -> String {
    let card = |(name, figure, note)| {
        format!("<div class=\"card\"><dt>{name}</dt><dd>{figure}<small>{note}</small></dd></div>")
    };
    format!("<dl class=\"cards\">{}</dl>", cards.into_iter().map(card).collect::<String>())
}

/// A JSON text that may stand inside a `script` element: no tag begins within it.
pub(super) fn json_in_script(value: &impl serde::Serialize) -> String {
    // Every value given here is a tree of strings and finite numbers, which always has a JSON form.
    serde_json::to_string(value).unwrap_or_default().replace('<', "\\u003c")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_markup() {
        assert_eq!(escape("data/mnist"), "data/mnist");
        assert_eq!(escape("<b a='\"'>&\u{1b}\n"), "&lt;b a=&#39;&quot;&#39;&gt;&amp;\u{fffd}\u{fffd}");
        assert_eq!(json_in_script(&["</script><!--"]), "[\"\\u003c/script>\\u003c!--\"]");
    }
}
