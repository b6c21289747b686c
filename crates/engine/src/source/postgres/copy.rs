//! PostgreSQL's text format for `COPY`: a line a row, tabs between cells, backslashes before what would confuse.

use bytes::{Buf, Bytes, BytesMut};
use memchr::{memchr, memchr_iter};

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

/// The cells of a line, as they stand there.
pub(super) fn cells(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr_iter(b'\t', line).chain([line.len()]).map(move |end| &line[std::mem::replace(&mut start, end + 1)..end])
}

/// The cell's text, which is the cell itself unless something in it is escaped; then it is put together in `out`. `None`: it is NULL.
pub(super) fn unescape<'c>(cell: &'c [u8], out: &'c mut Vec<u8>) -> Option<&'c [u8]> {
    let Some(mut at) = memchr(b'\\', cell) else { return Some(cell) };
    if cell == b"\\N" {
        return None;
    }
    out.clear();
    let mut rest = cell;
    loop {
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
        match memchr(b'\\', rest) {
            Some(next) => at = next,
            None => break,
        }
    }
    out.extend_from_slice(rest);
    Some(out)
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
            assert_eq!(unescape(cell.as_bytes(), &mut out), Some(expected.as_bytes()), "{cell}");
        }
        assert_eq!(unescape(br"\N", &mut out), None);
        assert_eq!(unescape(br"\\N", &mut out), Some(&br"\N"[..]));
        // What no server sends.
        assert_eq!(unescape(br"a\", &mut out), Some(&b"a"[..]));
    }

    #[test]
    fn cells_stand_between_tabs() {
        for (line, expected) in [("a\tb", vec!["a", "b"]), ("", vec![""]), ("\t", vec!["", ""]), ("a\t\tb\t", vec!["a", "", "b", ""])] {
            let found: Vec<&[u8]> = cells(line.as_bytes()).collect();
            assert_eq!(found, expected.iter().map(|cell| cell.as_bytes()).collect::<Vec<_>>(), "{line:?}");
        }
    }
}
