//! XML as workbooks need it: elements by their local names, and text. A document type is refused, so there are no entities but XML's own five;
//! nothing is nested deeper than workbooks are.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::escape::{resolve_predefined_entity, unescape};
use quick_xml::events::{BytesEnd, BytesStart, Event};

use super::error::WorkbookError;
use super::limits::{MAX_DEPTH, MAX_PIECE};
use super::package::Guarded;

/// A piece that was larger gives its memory back.
const LARGE: usize = 1 << 20;

/// A part that is XML.
pub(super) struct Xml {
    reader: Reader<Guarded>,
    buffer: Vec<u8>,
    depth: usize,
}

/// One piece of it. An element without content has an end all the same.
pub(super) enum Token<'x> {
    Start(Element<'x>),
    End(Ended<'x>),
    /// A text may come in several pieces.
    Text(Cow<'x, str>),
    /// A comment, or an instruction.
    Nothing,
    Over,
}

pub(super) struct Element<'x>(BytesStart<'x>);

pub(super) struct Ended<'x>(BytesEnd<'x>);

impl Xml {
    pub(super) fn new(part: Guarded) -> Self {
        let mut reader = Reader::from_reader(part);
        reader.config_mut().expand_empty_elements = true;
        Self { reader, buffer: Vec::new(), depth: 0 }
    }

    pub(super) fn damaged(&self) -> WorkbookError {
        WorkbookError::Damaged { part: self.reader.get_ref().part() }
    }

    pub(super) fn next(&mut self) -> Result<Token<'_>, WorkbookError> {
        let part = self.reader.get_ref().part();
        let damaged = || WorkbookError::Damaged { part };
        if self.buffer.capacity() > LARGE {
            self.buffer = Vec::new();
        }
        self.buffer.clear();
        self.reader.get_mut().begin();
        let event = self.reader.read_event_into(&mut self.buffer).map_err(|error| match error {
            quick_xml::Error::Io(error) => WorkbookError::of_reading(&error, part),
            _ => damaged(),
        })?;
        Ok(match event {
            Event::Start(element) => {
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return Err(WorkbookError::TooDeep { part, limit: MAX_DEPTH });
                }
                Token::Start(Element(element))
            }
            Event::End(element) => {
                self.depth -= 1;
                Token::End(Ended(element))
            }
            Event::Text(text) => Token::Text(text.xml10_content().map_err(|_| damaged())?),
            Event::CData(text) => Token::Text(text.xml10_content().map_err(|_| damaged())?),
            Event::GeneralRef(reference) => {
                let character = reference.resolve_char_ref().map_err(|_| damaged())?;
                Token::Text(match character {
                    Some(character) => Cow::Owned(character.to_string()),
                    None => {
                        let name = reference.decode().map_err(|_| damaged())?;
                        Cow::Borrowed(resolve_predefined_entity(&name).ok_or_else(damaged)?)
                    }
                })
            }
            Event::Comment(_) | Event::PI(_) | Event::Decl(_) => Token::Nothing,
            Event::Eof if self.depth == 0 => Token::Over,
            Event::Empty(_) | Event::DocType(_) | Event::Eof => return Err(damaged()),
        })
    }

    /// A text that comes in several pieces, of so many bytes so far, is one all the same.
    pub(super) fn check_text(&self, length: usize) -> Result<(), WorkbookError> {
        let part = self.reader.get_ref().part();
        if length > MAX_PIECE { Err(WorkbookError::PieceTooLong { part, limit: MAX_PIECE }) } else { Ok(()) }
    }

    /// Behind the element that has begun.
    pub(super) fn skip(&mut self) -> Result<(), WorkbookError> {
        let within = self.depth;
        while self.depth >= within {
            self.next()?;
        }
        Ok(())
    }

    /// Up to the end, where it shows whether the bytes are those that were packed.
    pub(super) fn finish(&mut self) -> Result<(), WorkbookError> {
        while !matches!(self.next()?, Token::Over) {}
        Ok(())
    }
}

impl Element<'_> {
    pub(super) fn name(&self) -> &[u8] {
        self.0.local_name().into_inner()
    }

    /// The attributes as they stand there, by their local names.
    pub(super) fn attributes(&self) -> impl Iterator<Item = (&[u8], Cow<'_, [u8]>)> {
        // With checks each is compared with all before it.
        let mut all = self.0.attributes();
        all.with_checks(false);
        all.filter_map(Result::ok).map(|found| (found.key.local_name().into_inner(), found.value))
    }

    /// The text of an attribute.
    pub(super) fn attribute(&self, name: &str) -> Option<String> {
        let (_, value) = self.attributes().find(|(found, _)| *found == name.as_bytes())?;
        said(&value).map(Cow::into_owned)
    }

    /// Whether an attribute says yes.
    pub(super) fn says(&self, name: &str) -> bool {
        self.attributes().any(|(found, value)| found == name.as_bytes() && is_true(&value))
    }
}

/// The text that an attribute stands for.
pub(super) fn said(value: &[u8]) -> Option<Cow<'_, str>> {
    unescape(std::str::from_utf8(value).ok()?).ok()
}

pub(super) fn is_true(value: &[u8]) -> bool {
    matches!(value, b"1" | b"true" | b"on")
}

impl Ended<'_> {
    pub(super) fn name(&self) -> &[u8] {
        self.0.local_name().into_inner()
    }
}
