//! The CSV reader. The first two bytes choose how the file is read and in which pieces it comes; the rest is the file.

use api::import_job::{CsvFormat, Quote};
use bytes::Bytes;
use engine::source::csv::{CsvOptions, CsvSource};
use futures::executor::block_on;
use futures::stream;

/// Longer than the reader's sample, so that it reads on after it has decided.
const LONG: usize = 80 << 10;

pub(crate) fn feed(input: &[u8]) {
    let [choice, sizes, file @ ..] = input else { return };
    let options = options(*choice, sizes >> 4);
    let whole = read(&options, vec![Bytes::copy_from_slice(file)]);
    assert_eq!(whole, read(&options, super::pieces(file, *sizes)), "in one piece and in several");
    // Many rows: what is remembered from row to row, and batches that are full. Slow, so it is one input of many.
    if choice & 0x80 != 0 && sizes & 15 == 15 && !file.is_empty() {
        let long = file.repeat(LONG.div_ceil(file.len()));
        let _ = read(&options, long.chunks(usize::from(*sizes) * 64 + 1).map(Bytes::copy_from_slice).collect());
    }
}

/// `more`: what a job seldom says.
fn options(choice: u8, more: u8) -> CsvOptions {
    let delimiter = [None, Some(","), Some(";"), Some("\t")][usize::from(choice & 3)];
    let encoding = [None, Some("utf-8"), Some("windows-1252"), Some("utf-16le")][usize::from(choice >> 2 & 3)];
    let quote = [None, Some(Quote::None), Some(Quote::Double), Some(Quote::Single)][usize::from(choice >> 4 & 3)];
    let said = |bit: u8| more & bit != 0;
    let format = CsvFormat {
        delimiter: delimiter.map(str::to_owned),
        encoding: encoding.map(str::to_owned),
        quote,
        escape: said(1).then(|| "\\".to_owned()),
        comment: said(2).then(|| "#".to_owned()),
        skip_rows: said(4).then_some(1),
        skip_footer_rows: said(4).then_some(2),
        columns: if said(8) { vec!["Name".to_owned(), "City".to_owned()] } else { Vec::new() },
        ..CsvFormat::default()
    };
    let options = CsvOptions::compile(&format).expect("these are valid");
    if choice & 0x40 == 0 { options } else { options.for_columns(["Name".to_owned(), "City".to_owned()].into()) }
}

/// Every row as the reader tells it, or the words with which it ends.
fn read(options: &CsvOptions, pieces: Vec<Bytes>) -> (Vec<String>, Option<String>) {
    let mut told = Vec::new();
    let ended = block_on(async {
        let source = CsvSource::open(stream::iter(pieces.into_iter().map(Ok)), options.clone()).await?;
        super::tell(Box::new(source), &mut told).await?;
        Ok::<_, engine::source::ReadError>(())
    });
    (told, ended.err().map(|error| error.to_string()))
}
