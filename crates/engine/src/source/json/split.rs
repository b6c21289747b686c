//! Text in pieces of any size → the JSON values in it, each with its place. Does no I/O and looks into no value further than
//! it must to find where it ends.

use bytes::{Buf, Bytes, BytesMut};
use memchr::{memchr, memchr_iter, memchr2};

use crate::row::Position;
use crate::source::FileError;
use crate::source::limits::MAX_RECORD;

/// How the values stand in the file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Layout {
    /// One a line (NDJSON): a line that is none harms no other.
    Lines,
    /// One after the other, over as many lines as they take.
    Values,
    /// In one array.
    Array,
}

impl Layout {
    /// By the first bytes, without a byte order mark.
    pub(super) fn of(head: &[u8]) -> Self {
        let text = head.trim_ascii_start();
        if text.first() == Some(&b'[') {
            return Self::Array;
        }
        let line = memchr(b'\n', text).map(|end| &text[..end]);
        match line.map(serde_json::from_slice::<serde::de::IgnoredAny>) {
            Some(Ok(_)) => Self::Lines,
            Some(Err(_)) | None => Self::Values,
        }
    }
}

/// A value as it stands in the file.
pub(super) struct Found {
    /// The row is the caller's.
    pub(super) at: Position,
    pub(super) text: Bytes,
}

/// What is next.
pub(super) enum Next {
    Value(Found),
    /// More text is needed, or the end.
    More,
    /// Nothing comes any more.
    End,
}

pub(super) struct Splitter {
    layout: Layout,
    pending: BytesMut,
    /// How far the value under way was looked at.
    seen: Inside,
    ended: bool,
    byte: u64,
    line: u64,
    blank_lines: u64,
    place: Place,
}

/// Where in an array the text is.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Place {
    /// Before the bracket.
    Before,
    /// Behind it: a value or the end of the array.
    First,
    /// Behind a value: a comma or the end.
    Behind,
    /// Behind a comma: a value.
    Next,
    /// Behind the array: nothing.
    After,
}

/// What is known of the first bytes of the pending text.
#[derive(Clone, Copy, Default)]
struct Inside {
    length: usize,
    depth: usize,
    in_text: bool,
}

impl Splitter {
    pub(super) fn new(layout: Layout) -> Self {
        Self {
            layout,
            pending: BytesMut::new(),
            seen: Inside::default(),
            ended: false,
            byte: 0,
            line: 1,
            blank_lines: 0,
            place: Place::Before,
        }
    }

    pub(super) fn blank_lines(&self) -> u64 {
        self.blank_lines
    }

    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    /// More text.
    pub(super) fn feed(&mut self, text: &[u8]) {
        self.pending.extend_from_slice(text);
    }

    /// There is no more.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    pub(super) fn next(&mut self) -> Result<Next, FileError> {
        match self.layout {
            Layout::Lines => self.line(),
            Layout::Values => self.value(),
            Layout::Array => self.element(),
        }
    }

    fn line(&mut self) -> Result<Next, FileError> {
        loop {
            let (end, behind) = match memchr(b'\n', &self.pending[self.seen.length..]) {
                Some(end) => (self.seen.length + end, 1),
                None if self.ended && self.pending.is_empty() => return Ok(Next::End),
                None if self.ended => (self.pending.len(), 0),
                None => {
                    self.seen.length = self.pending.len();
                    self.check_length(self.seen.length)?;
                    return Ok(Next::More);
                }
            };
            self.check_length(end)?;
            self.seen = Inside::default();
            let at = self.at();
            let text = self.take(end);
            self.skip(behind);
            if text.trim_ascii().is_empty() {
                // The end of the last line begins no line.
                self.blank_lines += u64::from(behind > 0);
                continue;
            }
            return Ok(Next::Value(Found { at, text }));
        }
    }

    fn value(&mut self) -> Result<Next, FileError> {
        self.skip_blanks();
        if self.pending.is_empty() {
            return Ok(if self.ended { Next::End } else { Next::More });
        }
        if self.seen.length == 0 && !matches!(self.pending[0], b'{' | b'[') {
            return Err(self.broken("an object is expected here"));
        }
        self.scan()
    }

    fn element(&mut self) -> Result<Next, FileError> {
        loop {
            self.skip_blanks();
            let Some(first) = self.pending.first().copied() else {
                return match (self.ended, self.place) {
                    (false, _) => Ok(Next::More),
                    (true, Place::After) => Ok(Next::End),
                    (true, _) => Err(FileError::JsonCutOff { at: self.at() }),
                };
            };
            if self.seen.length > 0 {
                return self.scan();
            }
            self.place = match (self.place, first) {
                (Place::Before, b'[') => Place::First,
                (Place::First | Place::Behind, b']') => Place::After,
                (Place::Behind, b',') => Place::Next,
                (Place::First | Place::Next, _) => return self.scan(),
                (Place::Behind, _) => return Err(self.broken("a comma or the end of the array is expected here")),
                (Place::Before | Place::After, _) => return Err(self.broken("the array has ended")),
            };
            self.skip(1);
        }
    }

    /// Finds the end of the value that the pending text begins with.
    fn scan(&mut self) -> Result<Next, FileError> {
        let Some(end) = self.find_end() else {
            self.check_length(self.pending.len())?;
            return match (self.ended, self.seen.depth, self.seen.in_text) {
                (false, ..) => Ok(Next::More),
                (true, ..) => Err(FileError::JsonCutOff { at: self.at() }),
            };
        };
        self.check_length(end)?;
        self.seen = Inside::default();
        if self.place != Place::Before {
            self.place = Place::Behind;
        }
        let at = self.at();
        let text = self.take(end);
        self.line += memchr_iter(b'\n', &text).count() as u64;
        Ok(Next::Value(Found { at, text }))
    }

    /// Where the value ends; a number or a word ends before what cannot be in one.
    fn find_end(&mut self) -> Option<usize> {
        let text = &self.pending[..];
        let Inside { length: mut at, mut depth, mut in_text } = self.seen;
        let end = loop {
            if in_text {
                let Some(found) = memchr2(b'"', b'\\', &text[at..]) else {
                    at = text.len();
                    break None;
                };
                at += found;
                if text[at] == b'"' {
                    in_text = false;
                    at += 1;
                    if depth == 0 {
                        break Some(at);
                    }
                } else if at + 1 < text.len() {
                    at += 2;
                } else {
                    break None;
                }
                continue;
            }
            let Some(byte) = text.get(at) else { break None };
            match byte {
                b'"' => in_text = true,
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth == 0 => break Some(at),
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        break Some(at + 1);
                    }
                }
                b',' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => break Some(at),
                _ => {}
            }
            at += 1;
        };
        self.seen = Inside { length: at, depth, in_text };
        end
    }

    fn skip_blanks(&mut self) {
        if self.seen.length > 0 {
            return;
        }
        let blanks = self.pending.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.line += memchr_iter(b'\n', &self.pending[..blanks]).count() as u64;
        self.byte += blanks as u64;
        self.pending.advance(blanks);
    }

    fn take(&mut self, bytes: usize) -> Bytes {
        self.byte += bytes as u64;
        self.pending.split_to(bytes).freeze()
    }

    /// A character, or a line end.
    fn skip(&mut self, bytes: usize) {
        self.line += u64::from(self.layout == Layout::Lines);
        self.byte += bytes as u64;
        self.pending.advance(bytes);
    }

    fn at(&self) -> Position {
        Position { row: 0, line: self.line, byte: self.byte }
    }

    fn check_length(&self, length: usize) -> Result<(), FileError> {
        if length > MAX_RECORD { Err(FileError::JsonTooLong { at: self.at(), limit: MAX_RECORD >> 20 }) } else { Ok(()) }
    }

    fn broken(&self, why: &'static str) -> FileError {
        FileError::JsonBroken { at: self.at(), why }
    }
}
