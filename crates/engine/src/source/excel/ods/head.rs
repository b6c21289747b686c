//! What a cell and a row say before their content.

use super::styles::Styles;
use crate::source::excel::shape::Shape;
use crate::source::excel::xml::{Element, said};

/// What a value is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Kind {
    /// Not said: it is its text, if it has one.
    #[default]
    Unsaid,
    /// Money and percent are numbers.
    Number,
    Date,
    Time,
    Bool,
    Text,
}

/// A cell.
#[derive(Default)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) is_error: bool,
    pub(super) is_formula: bool,
    /// That of its own style.
    pub(super) shape: Option<Shape>,
    /// The value, if it does not stand in the text alone.
    pub(super) value: Option<String>,
    /// How many cells it stands for.
    pub(super) times: u32,
}

impl Head {
    /// `None`: it is none of a workbook.
    pub(super) fn of(element: &Element<'_>, styles: &Styles) -> Option<Self> {
        let mut head = Self { times: 1, ..Self::default() };
        let mut value = None;
        for (name, text) in element.attributes() {
            let of = match name {
                // LibreOffice says it twice, and that it is an error in its own one only.
                b"value-type" => {
                    match text.as_ref() {
                        b"float" | b"percentage" | b"currency" => head.kind = Kind::Number,
                        b"date" => head.kind = Kind::Date,
                        b"time" => head.kind = Kind::Time,
                        b"boolean" => head.kind = Kind::Bool,
                        b"string" => head.kind = Kind::Text,
                        b"error" => head.is_error = true,
                        b"void" => {}
                        _ => return None,
                    }
                    continue;
                }
                b"value" => Kind::Number,
                b"date-value" => Kind::Date,
                b"time-value" => Kind::Time,
                b"boolean-value" => Kind::Bool,
                b"string-value" => Kind::Text,
                b"formula" => {
                    head.is_formula = true;
                    continue;
                }
                b"style-name" => {
                    head.shape = Some(styles.shape(&said(&text)?));
                    continue;
                }
                b"number-columns-repeated" => {
                    head.times = count(&text)?;
                    continue;
                }
                _ => continue,
            };
            value = Some((of, said(&text)?.into_owned()));
        }
        head.value = value.filter(|(of, _)| *of == head.kind).map(|(_, text)| text);
        Some(head)
    }
}

/// A row, or a column.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Line {
    pub(super) hidden: bool,
    /// What its cells are that have no style of their own.
    pub(super) shape: Option<Shape>,
    pub(super) times: u32,
}

impl Line {
    pub(super) fn of(element: &Element<'_>, styles: &Styles) -> Option<Self> {
        let mut line = Self { hidden: false, shape: None, times: 1 };
        for (name, text) in element.attributes() {
            match name {
                b"visibility" => line.hidden = matches!(text.as_ref(), b"collapse" | b"filter"),
                b"default-cell-style-name" => line.shape = Some(styles.shape(&said(&text)?)),
                b"number-rows-repeated" | b"number-columns-repeated" => line.times = count(&text)?,
                _ => {}
            }
        }
        Some(line)
    }
}

/// At least one.
fn count(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok().filter(|count| *count > 0)
}
