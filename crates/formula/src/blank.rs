//! What is blank, once for everybody: keys, filters, blank cells of a mapping, trimming, names of columns. A cell that
//! looks empty is empty, whatever it is made of.

use std::fmt::{Display, Formatter, Result, Write};

/// Whether the character shows nothing: white space of any script, controls, and those that only join, part or direct
/// others. Variation selectors are none: they belong to the sign before them.
pub fn is_blank_char(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(
            c,
            // Soft hyphen, grapheme joiner, Arabic letter mark.
            '\u{AD}' | '\u{34F}' | '\u{61C}'
            // Hangul fillers, Khmer inherent vowels, Mongolian vowel separator, the braille pattern without dots.
            | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180E}' | '\u{2800}' | '\u{3164}' | '\u{FFA0}'
            // Zero width, directions, invisible operators, the byte order mark.
            | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}'
        )
}

/// The text without blanks at both ends.
pub fn trim(text: &str) -> &str {
    // Most texts begin and end with something that shows: they are looked at no further.
    match text.as_bytes() {
        [b'!'..=b'~'] | [b'!'..=b'~', .., b'!'..=b'~'] => text,
        _ => text.trim_matches(is_blank_char),
    }
}

/// Whether nothing but blanks is there.
pub fn is_blank(text: &str) -> bool {
    trim(text).is_empty()
}

/// A text in quotes as a message shows it: blanks other than the space have their code points, as in `"last<U+00A0>name"`.
pub struct Shown<'t>(pub &'t str);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' | '\n' | '\r' | '\t' => write!(f, "{}", c.escape_debug())?,
                ' ' => f.write_char(' ')?,
                c if is_blank_char(c) => write!(f, "<U+{:04X}>", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

/// Enough of a cell's text to recognise it in a message.
pub fn shown(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As they come from spreadsheets, web pages, word processors, old databases and broken transfers.
    const BLANKS: [char; 18] = [
        ' ', '\t', '\n', '\r', '\u{0}', '\u{1}', '\u{7F}', '\u{85}', '\u{A0}', '\u{AD}', '\u{1680}', '\u{2003}', '\u{200B}', '\u{200D}',
        '\u{202F}', '\u{2060}', '\u{3000}', '\u{FEFF}',
    ];

    #[test]
    fn what_shows_nothing_is_blank_and_what_shows_is_not() {
        for c in BLANKS {
            assert!(is_blank(&c.to_string()), "U+{:04X}", u32::from(c));
        }
        assert!(is_blank(""));
        for text in ["0", "-", "ë", "日", "\u{301}", "_", "❤\u{FE0F}", "\u{A0}x\u{3000}"] {
            assert!(!is_blank(text), "{text}");
        }
    }

    #[test]
    fn a_message_shows_what_the_eye_does_not() {
        for (text, expected) in [
            ("last\u{A0}name", r#""last<U+00A0>name""#),
            (" plain Zoë\u{301} ", "\" plain Zoë\u{301} \""),
            ("\u{FEFF}Id\u{200B}", r#""<U+FEFF>Id<U+200B>""#),
            ("a\"b\\c\n\t", r#""a\"b\\c\n\t""#),
            ("\u{1}", r#""<U+0001>""#),
        ] {
            assert_eq!(Shown(text).to_string(), expected);
        }
    }

    proptest! {
        #[test]
        fn blanks_around_change_nothing_and_blanks_alone_are_nothing(
            core in "[!-~ë日][!-~ ë日]{0,6}[!-~ë日]|[!-~ë日]|",
            before in proptest::collection::vec(proptest::sample::select(&BLANKS[..]), 0..4),
            behind in proptest::collection::vec(proptest::sample::select(&BLANKS[..]), 0..4),
        ) {
            let text: String = before.into_iter().chain(core.chars()).chain(behind).collect();
            prop_assert_eq!(trim(&text), &core);
            prop_assert_eq!(is_blank(&text), core.is_empty());
        }

        #[test]
        fn no_message_hides_a_character(text in any::<String>()) {
            prop_assert!(Shown(&text).to_string().chars().all(|c| c == ' ' || !is_blank_char(c)));
        }
    }
}
