//! Runs a checked program for one row. Texts are written behind one another into one buffer that the caller reuses: its
//! tail is the stack, so that a row needs no allocation once the buffer has grown.

use std::cmp::Ordering;

use crate::blank::{is_blank, is_blank_char, shown};
use crate::error::EvalError;
use crate::program::{BoolNode, Calculation, NumberNode, TextNode};
use crate::{Cells, MAX_TEXT, number};

/// A text without a copy where it has one already, else at the end of the buffer.
enum Seen<'a> {
    Elsewhere(&'a str),
    Tail { start: usize, end: usize },
}

impl Seen<'_> {
    fn get<'s>(&'s self, out: &'s str) -> &'s str {
        match self {
            Self::Elsewhere(text) => text,
            Self::Tail { start, end } => &out[*start..*end],
        }
    }
}

impl TextNode {
    fn see<'a>(&'a self, cells: &'a dyn Cells, out: &mut String) -> Result<Seen<'a>, EvalError> {
        Ok(match self {
            Self::Column(column) => Seen::Elsewhere(cells.cell(*column)),
            Self::Literal(text) => Seen::Elsewhere(text),
            _ => {
                let start = out.len();
                self.write(cells, out)?;
                Seen::Tail { start, end: out.len() }
            }
        })
    }

    /// Looks at the text and leaves the buffer as it was.
    fn look<R>(&self, cells: &dyn Cells, out: &mut String, look: impl FnOnce(&str) -> R) -> Result<R, EvalError> {
        let mark = out.len();
        let result = look(self.see(cells, out)?.get(out));
        out.truncate(mark);
        Ok(result)
    }

    fn look_both<R>(&self, other: &Self, cells: &dyn Cells, out: &mut String, look: impl FnOnce(&str, &str) -> R) -> Result<R, EvalError> {
        let mark = out.len();
        let (left, right) = (self.see(cells, out)?, other.see(cells, out)?);
        let result = look(left.get(out), right.get(out));
        out.truncate(mark);
        Ok(result)
    }

    /// Appends the text.
    pub(crate) fn write(&self, cells: &dyn Cells, out: &mut String) -> Result<(), EvalError> {
        let mark = out.len();
        match self {
            Self::Column(column) => out.push_str(cells.cell(*column)),
            Self::Literal(text) => out.push_str(text),
            Self::Number(node) => {
                if let Some(value) = node.value(cells, out)? {
                    number::write(value, out);
                }
            }
            Self::Bool(node) => {
                let text = if node.value(cells, out)? { "true" } else { "false" };
                out.push_str(text);
            }
            Self::Join(parts) => {
                for part in parts {
                    part.write(cells, out)?;
                    check_length(out.len() - mark)?;
                }
            }
            Self::If(condition, then, or) => {
                let chosen = if condition.value(cells, out)? { then } else { or };
                chosen.write(cells, out)?;
            }
            Self::Coalesce(values) => {
                for value in values {
                    out.truncate(mark);
                    value.write(cells, out)?;
                    if !is_blank(&out[mark..]) {
                        break;
                    }
                }
            }
            Self::Left(text, count) => {
                let count = count.count("the count of LEFT", 0, cells, out)?;
                text.write(cells, out)?;
                let end = end_of(&out[mark..], count);
                out.truncate(mark + end);
            }
            Self::Right(text, count) => {
                let count = count.count("the count of RIGHT", 0, cells, out)?;
                text.write(cells, out)?;
                let tail = &out[mark..];
                let start = start_of(tail, units(tail).saturating_sub(count));
                out.drain(mark..mark + start);
            }
            Self::Mid(text, start, count) => {
                let start = start.count("the start of MID", 1, cells, out)?;
                let count = count.count("the count of MID", 0, cells, out)?;
                text.write(cells, out)?;
                let tail = &out[mark..];
                let end = end_of(tail, (start - 1).saturating_add(count));
                let from = start_of(tail, start - 1).min(end);
                out.truncate(mark + end);
                out.drain(mark..mark + from);
            }
            Self::Trim(text) => {
                text.write(cells, out)?;
                trim(out, mark);
            }
            Self::Upper(text) => {
                text.write(cells, out)?;
                change_case(out, mark, str::make_ascii_uppercase, str::to_uppercase);
            }
            Self::Lower(text) => {
                text.write(cells, out)?;
                change_case(out, mark, str::make_ascii_lowercase, str::to_lowercase);
            }
            Self::Substitute { text, old, new } => {
                let (text, old, new) = (text.see(cells, out)?, old.see(cells, out)?, new.see(cells, out)?);
                substitute(out, mark, &text, &old, &new)?;
            }
            Self::Map { key, entries, default } => {
                let found = key.look(cells, out, |key| match (entries.get(key), default) {
                    (Some(entry), _) => Ok(Some(entry)),
                    (None, Some(_)) => Ok(None),
                    (None, None) => Err(EvalError::NoEntry { key: shown(key) }),
                })??;
                match (found, default) {
                    (Some(entry), _) => out.push_str(entry),
                    (None, Some(default)) => default.write(cells, out)?,
                    (None, None) => {}
                }
            }
        }
        check_length(out.len() - mark)
    }
}

impl NumberNode {
    /// Nothing when blank.
    fn value(&self, cells: &dyn Cells, out: &mut String) -> Result<Option<f64>, EvalError> {
        match self {
            Self::Literal(value) => Ok(Some(*value)),
            Self::Read(text) => text.look(cells, out, number::read)?,
            Self::ReadToCompare(text) => text.look(cells, out, number::read_to_compare)?,
            Self::Minus(node) => Ok(node.value(cells, out)?.map(|value| -value)),
            Self::Calculate(calculation, left, right) => {
                let (left, right) = (left.value(cells, out)?, right.value(cells, out)?);
                let (Some(left), Some(right)) = (left, right) else { return Ok(None) };
                calculation.apply(left, right).map(Some)
            }
            Self::Length(text) => text.look(cells, out, |text| Some(units(text) as f64)),
            Self::If(condition, then, or) => {
                let chosen = if condition.value(cells, out)? { then } else { or };
                chosen.value(cells, out)
            }
            Self::Coalesce(values) => {
                for value in values {
                    if let Some(value) = value.value(cells, out)? {
                        return Ok(Some(value));
                    }
                }
                Ok(None)
            }
        }
    }

    /// A whole number of characters, rounded down as spreadsheets do.
    fn count(&self, what: &'static str, least: u8, cells: &dyn Cells, out: &mut String) -> Result<usize, EvalError> {
        match self.value(cells, out)? {
            Some(value) if value >= f64::from(least) => Ok(value as usize),
            value => Err(EvalError::Count { what, value: value.map_or("blank".to_owned(), number::text), least }),
        }
    }
}

impl Calculation {
    fn apply(self, left: f64, right: f64) -> Result<f64, EvalError> {
        let result = match self {
            Self::Add => left + right,
            Self::Subtract => left - right,
            Self::Multiply => left * right,
            Self::Divide if right == 0.0 => return Err(EvalError::DivisionByZero),
            Self::Divide => left / right,
        };
        if result.is_finite() { Ok(result) } else { Err(EvalError::Overflow) }
    }
}

impl BoolNode {
    pub(crate) fn value(&self, cells: &dyn Cells, out: &mut String) -> Result<bool, EvalError> {
        match self {
            Self::Literal(value) => Ok(*value),
            Self::And(nodes) => {
                for node in nodes {
                    if !node.value(cells, out)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Or(nodes) => {
                for node in nodes {
                    if node.value(cells, out)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Not(node) => Ok(!node.value(cells, out)?),
            Self::If(condition, then, or) => {
                let chosen = if condition.value(cells, out)? { then } else { or };
                chosen.value(cells, out)
            }
            Self::Same(left, right) => Ok(left.value(cells, out)? == right.value(cells, out)?),
            Self::Texts(comparison, left, right) => left.look_both(right, cells, out, |left, right| comparison.holds(left.cmp(right))),
            Self::Numbers(comparison, left, right) => {
                let (left, right) = (left.value(cells, out)?, right.value(cells, out)?);
                Ok(match (left, right) {
                    (Some(left), Some(right)) => comparison.holds(left.partial_cmp(&right).unwrap_or(Ordering::Equal)),
                    (None, None) => *comparison == crate::program::Comparison::Equal,
                    _ => *comparison == crate::program::Comparison::NotEqual,
                })
            }
            Self::IsBlank(text) => text.look(cells, out, is_blank),
            Self::Contains(text, part) => text.look_both(part, cells, out, |text, part| text.contains(part)),
            Self::Begins(text, start) => text.look_both(start, cells, out, |text, start| text.starts_with(start)),
        }
    }
}

fn check_length(bytes: usize) -> Result<(), EvalError> {
    if bytes > MAX_TEXT { Err(EvalError::TextTooLong) } else { Ok(()) }
}

/// Length as Salesforce counts it, in UTF-16 units: most characters are one, emoji and rare ones two.
fn units(text: &str) -> usize {
    // A character of one to three bytes is one unit, one of four bytes two: neither needs decoding.
    text.bytes().filter(|byte| byte & 0xC0 != 0x80).count() + text.bytes().filter(|byte| *byte >= 0xF0).count()
}

/// Byte behind the last whole character that ends within so many units: one that is cut in two stays out.
fn end_of(text: &str, count: usize) -> usize {
    let mut at = 0;
    text.char_indices()
        .find(|(_, c)| {
            at += c.len_utf16();
            at > count
        })
        .map_or(text.len(), |(byte, _)| byte)
}

/// Byte of the first whole character that begins behind so many units: one that is cut in two stays out.
fn start_of(text: &str, count: usize) -> usize {
    let mut at = 0;
    text.char_indices()
        .find(|(_, c)| {
            let begins = at;
            at += c.len_utf16();
            begins >= count
        })
        .map_or(text.len(), |(byte, _)| byte)
}

/// White space that does not end a line.
fn is_gap(c: char) -> bool {
    c.is_whitespace() && !matches!(c, '\n' | '\r' | '\u{B}' | '\u{C}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Leaves behind `mark` the text without blanks at both ends and with one space for several in a row. A single gap stays
/// what it is, and so do the ends of lines.
fn trim(out: &mut String, mark: usize) {
    let tail = &out[mark..];
    let settled = !tail.starts_with(is_blank_char) && !tail.ends_with(is_blank_char);
    let mut before = false;
    let mut single = || {
        tail.chars().all(|c| {
            let gap = is_gap(c);
            let twice = gap && before;
            before = gap;
            !twice
        })
    };
    if settled && single() {
        return;
    }
    let mut trimmed = String::with_capacity(tail.len());
    let mut chars = crate::blank::trim(tail).chars().peekable();
    while let Some(c) = chars.next() {
        if !is_gap(c) || !chars.peek().is_some_and(|next| is_gap(*next)) {
            trimmed.push(c);
            continue;
        }
        while chars.next_if(|next| is_gap(*next)).is_some() {}
        trimmed.push(' ');
    }
    out.truncate(mark);
    out.push_str(&trimmed);
}

fn change_case(out: &mut String, mark: usize, ascii: fn(&mut str), full: fn(&str) -> String) {
    if out[mark..].is_ascii() {
        ascii(&mut out[mark..]);
    } else {
        let changed = full(&out[mark..]);
        out.truncate(mark);
        out.push_str(&changed);
    }
}

/// Leaves behind `mark` the text with every `old` replaced. Nothing is replaced when `old` is empty.
fn substitute(out: &mut String, mark: usize, text: &Seen<'_>, old: &Seen<'_>, new: &Seen<'_>) -> Result<(), EvalError> {
    if let (Seen::Elsewhere(text), Seen::Elsewhere(old), Seen::Elsewhere(new)) = (text, old, new) {
        return replace(text, old, new, out);
    }
    // They stand in the buffer themselves: the result is made beside it.
    let mut result = String::new();
    replace(text.get(out), old.get(out), new.get(out), &mut result)?;
    out.truncate(mark);
    out.push_str(&result);
    Ok(())
}

fn replace(text: &str, old: &str, new: &str, out: &mut String) -> Result<(), EvalError> {
    let mark = out.len();
    let mut from = 0;
    if !old.is_empty() {
        for (at, _) in text.match_indices(old) {
            out.push_str(&text[from..at]);
            out.push_str(new);
            check_length(out.len() - mark)?;
            from = at + old.len();
        }
    }
    out.push_str(&text[from..]);
    Ok(())
}
