//! PostgreSQL's text format for `COPY`: a line a row, tabs between cells, backslashes before what would confuse.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

/// Cuts pieces of the stream into lines. The server sends a row a piece, but does not promise to.
#[derive(Default)]
pub(super) struct Lines {
    begun: BytesMut,
}

impl Lines {
    /// Bytes of a line whose end has not come.
    pub(super) fn begun(&self) -> usize {
        self.begun.len()
    }

    /// The next whole line, without its end.
    pub(super) fn next(&mut self, pending: &mut Bytes) -> Option<Bytes> {
        let Some(end) = memchr(b'\n', pending) else {
            self.begun.extend_from_slice(pending);
            pending.clear();
            return None;
        };
        let line = pending.split_to(end);
        pending.advance(1);
        if self.begun.is_empty() {
            return Some(line);
        }
        self.begun.extend_from_slice(&line);
        Some(self.begun.split().freeze())
    }
}

/// Replaces `out` by the cell's text. True: it is NULL.
pub(super) fn unescape(cell: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    if cell == b"\\N" {
        return true;
    }
    let mut rest = cell;
    while let Some(at) = memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let Some(&escaped) = rest.get(at + 1) else {
            rest = &[];
            break;
        };
        out.push(match escaped {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            other => other,
        });
        rest = &rest[at + 2..];
    }
    out.extend_from_slice(rest);
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_wherever_the_pieces_end() {
        let text = b"a\tb\n\nc\\nd\n";
        for step in 1..=text.len() {
            let mut lines = Lines::default();
            let mut found = Vec::new();
            for piece in text.chunks(step) {
                let mut pending = Bytes::copy_from_slice(piece);
                while let Some(line) = lines.next(&mut pending) {
                    found.push(line);
                }
            }
            assert_eq!(found, [b"a\tb".as_slice(), b"", b"c\\nd"], "{step}");
        }
    }

    #[test]
    fn escapes_are_undone_and_null_is_not_a_text() {
        let mut out = Vec::new();
        for (cell, expected) in [
            (r"plain", "plain"),
            (r"", ""),
            (r"a\tb\nc\rd\\N", "a\tb\nc\rd\\N"),
            (r"\b\f\v", "\u{8}\u{c}\u{b}"),
            (r"\\x00ff", "\\x00ff"),
            (r"\\", "\\"),
        ] {
            assert!(!unescape(cell.as_bytes(), &mut out));
            assert_eq!(out, expected.as_bytes(), "{cell}");
        }
        assert!(unescape(br"\N", &mut out));
        assert!(!unescape(br"\\N", &mut out));
    }
}
