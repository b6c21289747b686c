//! Watches the quotes of a record that `csv-core` parses. That parser finds some reading of anything and never says
//! what was wrong; this follows the same rules byte by byte, but looks only at quotes and what stands beside them, so a
//! file without quotes costs one search per record.

use memchr::{memchr, memchr_iter, memchr2_iter};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum QuoteState {
    Outside,
    Inside,
    /// Behind a quote inside a quoted field: it closes the field, or a second one follows.
    Closing,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum FaultKind {
    TextBehindQuote,
    BlankBeforeQuote,
    /// Opened and not closed in its line; what follows are rows for certain.
    Stray,
    /// Opened and closed lines later; the lines between read as rows just as well.
    Suspected {
        lines: u64,
    },
}

/// A place in the record.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Place {
    /// Line ends inside quotes before it.
    pub(super) lines: u64,
    pub(super) byte: u64,
    /// Fields before it.
    pub(super) field: usize,
}

#[derive(Debug)]
pub(super) struct Quotes {
    delimiter: u8,
    quote: u8,
    state: QuoteState,
    /// The next byte is the first of its field.
    at_start: bool,
    /// Nothing but blanks stands between the start of the field and the next byte.
    only_blanks: bool,
    /// The last byte inside the quotes was a CR; an LF that follows belongs to it.
    behind_cr: bool,
    lines: u64,
    field: usize,
    opened: Place,
    fault: Option<(FaultKind, Place)>,
    /// The first bytes of a character outside quotes, whose others come in the next call.
    cut_off: Vec<u8>,
}

impl Quotes {
    pub(super) fn new(delimiter: u8, quote: u8) -> Self {
        let (state, opened, cut_off) = (QuoteState::Outside, Place::default(), Vec::new());
        Self {
            delimiter,
            quote,
            state,
            at_start: true,
            only_blanks: true,
            behind_cr: false,
            lines: 0,
            field: 0,
            opened,
            fault: None,
            cut_off,
        }
    }

    /// A record begins.
    pub(super) fn begin(&mut self) {
        *self = Self::new(self.delimiter, self.quote);
    }

    /// Line ends inside quotes of this record.
    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    /// The first thing wrong with this record.
    pub(super) fn fault(&self) -> Option<(FaultKind, Place)> {
        self.fault
    }

    /// The quote that is open.
    pub(super) fn open(&self) -> Option<Place> {
        (self.state == QuoteState::Inside).then_some(self.opened)
    }

    /// The last quote that was opened.
    pub(super) fn opened(&self) -> Place {
        self.opened
    }

    /// Fields so far.
    pub(super) fn fields(&self) -> usize {
        self.field + 1
    }

    /// Looks at the next bytes of the record; `base` is the place of the first in the file.
    pub(super) fn scan(&mut self, raw: &[u8], base: u64) {
        if self.cut_off.is_empty() {
            return self.look(raw, base);
        }
        let cut_off = std::mem::take(&mut self.cut_off);
        self.look(&[&cut_off, raw].concat(), base - cut_off.len() as u64);
    }

    fn look(&mut self, raw: &[u8], base: u64) {
        let mut at = 0;
        while at < raw.len() {
            let rest = &raw[at..];
            match self.state {
                QuoteState::Outside => {
                    let step = memchr(self.quote, rest);
                    self.field += memchr_iter(self.delimiter, &rest[..step.unwrap_or(rest.len())]).count();
                    let Some(step) = step else { break };
                    self.outside(raw, at + step, base);
                    at += step + 1;
                }
                QuoteState::Inside => {
                    let step = memchr(self.quote, rest);
                    self.count_lines(&rest[..step.unwrap_or(rest.len())]);
                    let Some(step) = step else { return };
                    self.state = QuoteState::Closing;
                    self.behind_cr = false;
                    at += step + 1;
                }
                QuoteState::Closing if rest[0] == self.quote => {
                    self.state = QuoteState::Inside;
                    at += 1;
                }
                QuoteState::Closing => {
                    self.state = QuoteState::Outside;
                    if rest[0] != self.delimiter && !matches!(rest[0], b'\r' | b'\n') {
                        self.note(FaultKind::TextBehindQuote, base + at as u64);
                    }
                }
            }
        }
        self.remember_edge(raw);
    }

    fn outside(&mut self, raw: &[u8], quote: usize, base: u64) {
        let blanks_from = self.blanks_before(raw, quote);
        let field_starts = if blanks_from == 0 { self.only_blanks } else { raw[blanks_from - 1] == self.delimiter };
        if !field_starts {
            return; // A quote in the middle of unquoted text is text, for us as for every spreadsheet.
        }
        if blanks_from == quote && (quote > 0 || self.at_start) {
            self.state = QuoteState::Inside;
            self.opened = self.place(base + quote as u64);
        } else {
            self.note(FaultKind::BlankBeforeQuote, base + quote as u64);
        }
    }

    /// Where the blanks begin that end here: whatever shows nothing, as everywhere.
    fn blanks_before(&self, raw: &[u8], end: usize) -> usize {
        let mut from = end;
        while let Some(c) = last_char(&raw[..from])
            && formula::is_blank_char(c)
            && !matches!(c, '\r' | '\n')
            && c != char::from(self.delimiter)
        {
            from -= c.len_utf8();
        }
        from
    }

    fn note(&mut self, kind: FaultKind, byte: u64) {
        let place = self.place(byte);
        self.fault.get_or_insert((kind, place));
    }

    fn place(&self, byte: u64) -> Place {
        Place { lines: self.lines, byte, field: self.field }
    }

    /// Line ends are LF, CRLF and CR, as everywhere.
    fn count_lines(&mut self, inside: &[u8]) {
        for at in memchr2_iter(b'\r', b'\n', inside) {
            let behind_cr = if at == 0 { self.behind_cr } else { inside[at - 1] == b'\r' };
            self.lines += u64::from(inside[at] == b'\r' || !behind_cr);
        }
        self.behind_cr = inside.last().map_or(self.behind_cr, |byte| *byte == b'\r');
    }

    /// The next bytes may come in another call: what stood before them is kept.
    fn remember_edge(&mut self, raw: &[u8]) {
        if self.state != QuoteState::Outside {
            return;
        }
        // A character that goes on in the next call may be a blank.
        let begun = begun_char(raw);
        self.cut_off.extend_from_slice(&raw[raw.len() - begun..]);
        let raw = &raw[..raw.len() - begun];
        if raw.is_empty() {
            return;
        }
        let blanks_from = self.blanks_before(raw, raw.len());
        let blanks = blanks_from < raw.len();
        let starts = if blanks_from == 0 { self.only_blanks } else { raw[blanks_from - 1] == self.delimiter };
        self.at_start = starts && !blanks;
        self.only_blanks = starts;
    }
}

fn last_char(text: &[u8]) -> Option<char> {
    let start = text.iter().rposition(|byte| byte & 0xC0 != 0x80)?;
    std::str::from_utf8(&text[start..]).ok()?.chars().next()
}

/// How many bytes at the end begin a character and do not end it.
pub(super) fn begun_char(text: &[u8]) -> usize {
    let Some(start) = text.iter().rposition(|byte| byte & 0xC0 != 0x80) else { return 0 };
    let begun = &text[start..];
    if std::str::from_utf8(begun).is_err_and(|error| error.error_len().is_none()) { begun.len() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scans in pieces of every size; all must agree.
    fn scan(raw: &str) -> (Option<(FaultKind, u64)>, Option<u64>, u64) {
        let mut results: Vec<_> = (1..=raw.len())
            .map(|step| {
                let mut quotes = Quotes::new(b',', b'"');
                let mut base = 0;
                for piece in raw.as_bytes().chunks(step) {
                    quotes.scan(piece, base);
                    base += piece.len() as u64;
                }
                (quotes.fault().map(|(kind, place)| (kind, place.byte)), quotes.open().map(|place| place.byte), quotes.lines())
            })
            .collect();
        results.dedup();
        assert_eq!(results.len(), 1, "{raw:?}: pieces disagree: {results:?}");
        results[0]
    }

    #[test]
    fn good_quotes_are_left_alone_and_bad_ones_are_told() {
        use FaultKind::{BlankBeforeQuote, TextBehindQuote};
        let table = [
            ("a,b\n", None, None, 0),
            ("\"a\",\"b\"\n", None, None, 0),
            ("\"a,\"\"b\"\"\",c\n", None, None, 0),
            ("\"\",\"\"\"\"\n", None, None, 0),
            ("\"two\nlines\r\n\",b\n", None, None, 2),
            ("\"two\rlines\r\",b\r", None, None, 2),
            ("\"\r\"\"\n\r\n\r\r\n\"\r", None, None, 5),
            ("5\" pipe,say \"hi\",x\n", None, None, 0),
            ("\"a\" b,c\n", Some((TextBehindQuote, 3)), None, 0),
            ("\"a\"\"b\"c\n", Some((TextBehindQuote, 6)), None, 0),
            ("\"John\", \"Smith, Jr\"\n", Some((BlankBeforeQuote, 8)), None, 0),
            ("  \"a\",b\n", Some((BlankBeforeQuote, 2)), None, 0),
            ("a,\"b\nc\n", None, Some(2), 2),
            ("a,\"b\"\"", None, Some(2), 0),
            ("a,\"b\"", None, None, 0),
            ("a b \"c\",d\n", None, None, 0),
            // Whatever the eye does not see.
            ("a,\u{A0}\"b\"\n", Some((BlankBeforeQuote, 4)), None, 0),
            ("\t\"a\",b\n", Some((BlankBeforeQuote, 1)), None, 0),
            ("\u{3000} \u{200B}\"a\",b\n", Some((BlankBeforeQuote, 7)), None, 0),
            ("é\"a\",日\u{A0}\"b\"\n", None, None, 0),
            ("\"é\",\"日\"\"\u{A0}\"\n", None, None, 0),
        ];
        for (raw, fault, open, lines) in table {
            assert_eq!(scan(raw), (fault, open, lines), "{raw:?}");
        }
    }
}
