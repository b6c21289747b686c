//! The bytes of a file as they arrive → text in pieces, without what only ends it.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use futures::{Stream, StreamExt};
use memchr::memchr2;

use super::escapes::{self, Escapes, Mask};
use super::text::Text;

/// Ctrl-Z, with which CP/M and DOS end a text.
pub(super) const END_MARK: u8 = 0x1A;

/// They fill up a block of an old disk or transfer; more of them are no end.
const MOST_END_MARKS: usize = 4096;

/// The first bytes of a file, as many as somebody has to see before anything can be read. How many are shown does not depend on the
/// pieces in which they come, so that another attempt judges the file alike.
pub(super) struct Head<S> {
    stream: S,
    bytes: BytesMut,
    ended: bool,
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Head<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, bytes: BytesMut::new(), ended: false }
    }

    /// So many bytes, or all of them if there are fewer.
    pub(super) async fn look(&mut self, most: usize) -> io::Result<&[u8]> {
        while self.bytes.len() < most && !self.ended {
            match self.stream.next().await {
                Some(bytes) => self.bytes.extend_from_slice(&bytes?),
                None => self.ended = true,
            }
        }
        Ok(&self.bytes[..self.bytes.len().min(most)])
    }

    /// The text behind the first `mark` bytes. What was looked at is decoded `block` by `block`.
    pub(super) fn text(mut self, text: Text, mark: usize, block: usize) -> Input<S> {
        self.bytes.advance(mark);
        let Self { stream, bytes, ended } = self;
        let mut input = Input {
            stream,
            stream_ended: ended,
            seen: bytes.freeze(),
            block,
            text,
            end_marks: 0,
            many_marks: false,
            pending: Bytes::new(),
            ended: false,
            mask: None,
        };
        let first = input.seen.split_to(block.saturating_sub(mark).min(input.seen.len()));
        input.pending = input.text.decode(first);
        if input.seen.is_empty() && input.stream_ended {
            input.pending = join(std::mem::take(&mut input.pending), input.end());
        }
        input
    }
}

/// Text that comes in pieces.
pub(super) struct Input<S> {
    stream: S,
    stream_ended: bool,
    /// What was looked at and is not decoded yet.
    seen: Bytes,
    block: usize,
    text: Text,
    /// End marks of DOS at the end of what was read; they are text only if more follows.
    end_marks: usize,
    /// There were too many of them: they are text.
    many_marks: bool,
    pending: Bytes,
    ended: bool,
    /// Exchanges what is escaped, if the file has escapes.
    mask: Option<Mask>,
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Input<S> {
    /// Text that was not used yet.
    pub(super) fn pending(&self) -> &[u8] {
        &self.pending
    }

    /// No text comes behind what is pending.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// The file ends in end marks.
    pub(super) fn has_end_marks(&self) -> bool {
        self.end_marks > 0
    }

    /// So many bytes of what is pending were used.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.pending.advance(bytes);
    }

    /// Leaves out so many lines, whatever is in them, and tells how many bytes they had. `behind_cr`: an LF that comes next belongs to
    /// the line before.
    pub(super) async fn skip_lines(&mut self, mut lines: u64, mut behind_cr: bool) -> io::Result<u64> {
        let mut skipped = 0;
        while (lines > 0 || behind_cr) && !(self.pending.is_empty() && self.ended) {
            let used = match self.line_end() {
                _ if self.pending.is_empty() => {
                    self.refill().await?;
                    continue;
                }
                _ if std::mem::take(&mut behind_cr) => usize::from(matches!(self.pending[0], b'\n' | escapes::LF)),
                Some(end) => {
                    lines -= 1;
                    behind_cr = matches!(self.pending[end], b'\r' | escapes::CR);
                    end + 1
                }
                None => self.pending.len(),
            };
            self.pending.advance(used);
            skipped += used as u64;
        }
        Ok(skipped)
    }

    /// Where the first line ends that is pending, escaped or not.
    fn line_end(&self) -> Option<usize> {
        match self.mask {
            None => memchr2(b'\r', b'\n', &self.pending),
            Some(_) => escapes::line_end(&self.pending),
        }
    }

    /// Gets more text until so much is pending, or there is no more.
    pub(super) async fn fill(&mut self, most: usize) -> io::Result<()> {
        while self.pending.len() < most && !self.ended {
            let before = std::mem::take(&mut self.pending);
            self.refill().await?;
            self.pending = join(before, std::mem::take(&mut self.pending));
        }
        Ok(())
    }

    /// Comes before what is pending.
    pub(super) fn push_front(&mut self, text: Vec<u8>) {
        self.pending = join(text.into(), std::mem::take(&mut self.pending));
    }

    /// Gets more text, or learns that there is none. What was pending must be used up.
    pub(super) async fn refill(&mut self) -> io::Result<()> {
        let text = if !self.seen.is_empty() {
            let block = self.seen.split_to(self.block.min(self.seen.len()));
            self.text.decode(block)
        } else {
            let next = if self.stream_ended { None } else { self.stream.next().await };
            match next {
                Some(bytes) => self.text.decode(bytes?),
                None => self.end(),
            }
        };
        self.pending = if self.end_marks > 0 && !text.is_empty() {
            let marks = vec![END_MARK; std::mem::take(&mut self.end_marks)];
            join(marks.into(), text)
        } else {
            text
        };
        self.hold_end_marks();
        self.mask_pending();
        Ok(())
    }

    /// From here on, what is escaped is exchanged.
    pub(super) fn mask(&mut self, escapes: Escapes) {
        self.mask = Some(Mask::new(escapes));
        self.mask_pending();
    }

    fn mask_pending(&mut self) {
        let Some(mask) = &mut self.mask else { return };
        self.pending = mask.mask(std::mem::take(&mut self.pending));
        if self.ended {
            self.pending = join(std::mem::take(&mut self.pending), mask.finish());
        }
    }

    fn end(&mut self) -> Bytes {
        self.ended = true;
        self.text.finish()
    }

    /// Holds end marks at the end of the pending text back.
    pub(super) fn hold_end_marks(&mut self) {
        let marks = self.pending.iter().rev().take_while(|byte| **byte == END_MARK).count();
        let goes_on = self.many_marks && marks == self.pending.len();
        self.many_marks = goes_on || marks > MOST_END_MARKS;
        if !self.many_marks {
            self.end_marks += marks;
            self.pending.truncate(self.pending.len() - marks);
        }
    }
}

fn join(first: Bytes, second: Bytes) -> Bytes {
    if second.is_empty() {
        first
    } else if first.is_empty() {
        second
    } else {
        [first, second].concat().into()
    }
}
