//! Texts from outside (a server's name for itself, an error's words) cut to what an object may hold: an API server refuses the whole
//! object for one text that is too long, and would do so for ever. Also names compared with patterns.

/// Stands for what was cut off.
const MARK: char = '…';

/// At most `most` characters, counted as an API server counts `maxLength`: by code points.
pub fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text.chars().take(most.saturating_sub(1)).chain((most > 0).then_some(MARK)).collect(),
    }
}

/// At most `most` bytes of UTF-8, as an API server counts the note of an event.
pub fn cut_bytes(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let Some(room) = most.checked_sub(MARK.len_utf8()) else { return String::new() };
    let end = (0..=room).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    format!("{}{MARK}", &text[..end])
}

/// Whether the pattern is the name, where `*` stands for any characters.
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_fits_stays_and_what_does_not_says_so() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
        assert_eq!(cut("a", 0), "");
        assert_eq!(cut_bytes("aé", 3), "aé");
        assert_eq!(cut_bytes("aéé", 4), "a…");
        assert_eq!(cut_bytes("aéé", 2), "");
    }

    proptest! {
        #[test]
        fn any_text_fits_and_keeps_its_beginning(text in any::<String>(), most in 0_usize..40) {
            let (short, packed) = (cut(&text, most), cut_bytes(&text, most));
            prop_assert!(short.chars().count() <= most && packed.len() <= most);
            for cut in [&short, &packed] {
                prop_assert!(text.starts_with(cut.trim_end_matches(MARK)));
                prop_assert!(*cut == text || cut.ends_with(MARK) || cut.is_empty());
            }
        }
    }
}
