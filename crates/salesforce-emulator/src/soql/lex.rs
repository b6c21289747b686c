//! SOQL text to tokens with their places.

use super::SoqlError;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Word(String),
    /// Numbers, dates and instants: everything that begins with a digit or a sign.
    Figure(String),
    Text(String),
    Symbol(&'static str),
    End,
}

impl Token {
    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self, Self::Word(text) if text.eq_ignore_ascii_case(word))
    }

    pub(super) fn shown(&self) -> String {
        match self {
            Self::Word(text) | Self::Figure(text) => text.clone(),
            Self::Text(text) => format!("'{text}'"),
            Self::Symbol(text) => (*text).to_owned(),
            Self::End => "<EOF>".to_owned(),
        }
    }
}

/// Longest first.
const SYMBOLS: [&str; 13] = ["!=", "<>", "<=", ">=", "=", "<", ">", "(", ")", ",", ".", ":", "*"];

pub(super) fn tokens(text: &str) -> Result<Vec<(Token, usize)>, SoqlError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let start = at;
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let token = if c.is_alphabetic() || c == '_' {
            at += text[at..].find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len() - at);
            Token::Word(text[start..at].to_owned())
        } else if c.is_ascii_digit() || ((c == '-' || c == '+') && text[at + 1..].starts_with(|c: char| c.is_ascii_digit())) {
            let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '.' | '+' | '-');
            at += 1 + text[at + 1..].find(|c: char| !inside(c)).unwrap_or(text.len() - at - 1);
            Token::Figure(text[start..at].to_owned())
        } else if c == '\'' {
            let (value, length) = string(&text[at..]).ok_or_else(|| SoqlError::malformed("string is not closed"))?;
            at += length;
            Token::Text(value)
        } else {
            let symbol = SYMBOLS.iter().find(|symbol| text[at..].starts_with(**symbol));
            let symbol = symbol.ok_or_else(|| SoqlError::at("MALFORMED_QUERY", text, at, format!("unexpected token: '{c}'")))?;
            at += symbol.len();
            Token::Symbol(symbol)
        };
        tokens.push((token, start));
    }
    tokens.push((Token::End, text.len()));
    Ok(tokens)
}

/// A quoted string with its escapes undone, and how long it was. `\%` and `\_` stay escaped for LIKE.
fn string(text: &str) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' => return Some((value, at + 1)),
            '\\' => match chars.next()?.1 {
                'n' | 'N' => value.push('\n'),
                'r' | 'R' => value.push('\r'),
                't' | 'T' => value.push('\t'),
                'b' | 'B' => value.push('\u{8}'),
                'f' | 'F' => value.push('\u{c}'),
                c @ ('%' | '_') => value.extend(['\\', c]),
                c @ ('\'' | '"' | '\\') => value.push(c),
                _ => return None,
            },
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_figures_strings_and_symbols() {
        let tokens: Vec<Token> =
            tokens(r"a.b__c>=2026-01-31T09:00:00+01:00 AND x!='it\'s' -5").unwrap().into_iter().map(|(token, _)| token).collect();
        let word = |text: &str| Token::Word(text.into());
        assert_eq!(
            tokens,
            [
                word("a"),
                Token::Symbol("."),
                word("b__c"),
                Token::Symbol(">="),
                Token::Figure("2026-01-31T09:00:00+01:00".into()),
                word("AND"),
                word("x"),
                Token::Symbol("!="),
                Token::Text("it's".into()),
                Token::Figure("-5".into()),
                Token::End,
            ]
        );
    }

    #[test]
    fn an_open_string_is_malformed() {
        assert_eq!(tokens("a = 'b").unwrap_err().code, "MALFORMED_QUERY");
    }
}
