//! Result files that come back. They are written in UTF-8 with commas, whatever the job says of the file that it was made for, and may have
//! been written anew by a spreadsheet since.

use std::borrow::Cow;

use api::import_job::Quote;
use memchr::memmem;

use super::charset::Charset;
use super::options::CsvOptions;
use super::parser::Parser;
use super::record::RawRecord;
use super::sniff;
use crate::own::{self, Own};
use crate::row::Record;

/// Whether the file is a result file.
pub(in crate::source) fn is_result_file(head: &[u8]) -> bool {
    let text = text_of(head);
    delimiter(&text[sniff::excel_hint(&text).1..]).is_some()
}

/// As far as it can be told by the first bytes.
fn text_of(head: &[u8]) -> Cow<'_, [u8]> {
    let (charset, mark) = Charset::of_mark(head).unwrap_or((Charset::UTF_8, 0));
    match charset.decoder() {
        Some(mut decoder) => Cow::Owned(decoder.decode(&head[mark..], false).into()),
        None => Cow::Borrowed(&head[mark..]),
    }
}

/// How a file is read that may be a result file: what the job says is about another file then.
pub(super) fn written_by_us(head: &[u8], options: CsvOptions) -> CsvOptions {
    let text = text_of(head);
    let (_, line) = sniff::excel_hint(&text);
    let Some(delimiter) = delimiter(&text[line..]) else { return options };
    // A spreadsheet may have left something else than UTF-8.
    let is_utf8 = std::str::from_utf8(&text).map_or_else(|error| error.error_len().is_none(), |_| true);
    let encoding = options.encoding.filter(|_| !is_utf8);
    CsvOptions { delimiter: Some(delimiter), quote: Some(Quote::Double), encoding, ..CsvOptions::default().for_columns(options.used) }
}

/// The delimiter of a result file; nothing for other files.
fn delimiter(sample: &[u8]) -> Option<u8> {
    memmem::find(sample, own::ERROR.as_bytes())?;
    sniff::CANDIDATES.into_iter().find(|candidate| Own::of(&first_record(sample, *candidate)).is_some())
}

fn first_record(sample: &[u8], delimiter: u8) -> Record {
    let mut names = Record::new();
    let mut take = |record: &RawRecord<'_>| {
        record.cells().for_each(|name| names.push_field(name));
        Ok(false)
    };
    let mut parser = Parser::new(CsvOptions::default().dialect(delimiter), 0, 0);
    // An error means that this delimiter makes no sense of the sample.
    if parser.feed(sample, &mut take).is_ok_and(|used| used == sample.len()) {
        let _ = parser.finish(&mut take);
    }
    names
}

#[cfg(test)]
mod tests {
    use std::io;

    use bytes::Bytes;
    use futures::executor::block_on;
    use futures::stream;

    use super::*;
    use crate::row::{Batch, Row};
    use crate::source::Rows as _;
    use crate::source::csv::CsvSource;

    fn options(delimiter: Option<&str>, encoding: Option<&str>) -> CsvOptions {
        let format = serde_json::json!({"delimiter": delimiter, "encoding": encoding});
        CsvOptions::compile(&serde_json::from_value(format).unwrap()).unwrap()
    }

    fn rows(file: &[u8], options: CsvOptions, step: usize) -> (Vec<String>, Vec<Row>) {
        let pieces: Vec<io::Result<Bytes>> = file.chunks(step).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        block_on(async {
            let mut source = CsvSource::open_with_sample(stream::iter(pieces), options, step.max(64)).await.unwrap();
            let (mut batch, mut rows) = (Batch::new(), Vec::new());
            while source.next(&mut batch).await.unwrap() {
                rows.extend_from_slice(batch.rows());
            }
            (source.header().names().to_vec(), rows)
        })
    }

    #[test]
    fn a_result_file_is_read_as_it_is_written_whatever_the_job_says_of_another_file() {
        let job = options(Some(";"), Some("windows-1252"));
        let (header, found) = rows("Name,\"'=x;y\",sf__Id,sf__Created,sf__Error\nZoë,1,,,E\n".as_bytes(), job.clone(), 500);
        assert_eq!(header[..2], ["Name", "=x;y"]);
        assert_eq!(&found[0].cells[0], "Zoë".as_bytes());
        // A spreadsheet wrote it in its own way.
        let (header, found) = rows(b"sep=|\r\n\"Name\"|\"sf__Id\"|\"sf__Created\"|\"sf__Error\"\r\nZo\xEB|||E\r\n", job, 500);
        assert_eq!((header.len(), &found[0].cells[0]), (4, "Zoë".as_bytes()));
        let utf16: Vec<u8> =
            "\u{FEFF}Name\tsf__Id\tsf__Created\tsf__Error\nZoë\t\t\tE\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let (header, found) = rows(&utf16, options(Some(";"), None), 500);
        assert_eq!((header.len(), &found[0].cells[0]), (4, "Zoë".as_bytes()));
        // Nothing before it, behind it or in it is left out.
        let format = serde_json::json!({"headerRow": 3, "skipRows": 1, "skipFooterRows": 1, "comment": "N", "escape": "E"});
        let other = CsvOptions::compile(&serde_json::from_value(format).unwrap()).unwrap();
        let (header, found) = rows(b"Name,sf__Id,sf__Created,sf__Error\nNora,,,E\n", other, 500);
        assert_eq!((header.len(), found.len(), found[0].skipped), (4, 1, false));
        // Any other file is what the job says.
        let (header, _) = rows(b"Name;sf__Id,sf__Created,sf__Error\nx;y\n", options(Some(";"), None), 500);
        assert_eq!(header, ["Name", "sf__Id,sf__Created,sf__Error"]);
    }

    #[test]
    fn a_refused_row_keeps_its_text_whatever_the_pieces() {
        let file = b"a,b\n1,\"x\ny\" z\n2\n3,\xEB\r\n4,\"fine\"\n5,\"v\" w";
        for step in 1..file.len() {
            let (_, found) = rows(file, options(None, Some("utf-8")), step);
            let shown: Vec<&str> = found.iter().map(|row| row.refused.split_once("] ").map_or("", |(_, shown)| shown)).collect();
            assert_eq!(shown, ["1,\"x\\ny\" z", "2", "3,\\xEB", "", "5,\"v\" w"], "{step}");
        }
    }

    #[test]
    fn a_row_whose_empty_columns_of_ours_a_spreadsheet_left_out_is_whole() {
        let (_, found) = rows(b"a,b,sf__Id,sf__Created,sf__Error\n1,2\n1,2,\n1\n", options(None, None), 500);
        assert_eq!(found.iter().map(|row| row.fault.is_some()).collect::<Vec<_>>(), [false, true, true]);
    }
}
