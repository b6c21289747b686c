//! The JSON reader. The first byte chooses whether columns are named and used, the second the pieces in which the file comes; the rest is the file.

use api::import_job::JsonFormat;
use bytes::Bytes;
use engine::source::ReadError;
use engine::source::json::{JsonOptions, JsonSource};
use futures::executor::block_on;
use futures::{StreamExt, stream};

pub(crate) fn feed(input: &[u8]) {
    let [choice, sizes, file @ ..] = input else { return };
    let whole = read(*choice, vec![Bytes::copy_from_slice(file)]);
    assert_eq!(whole, read(*choice, super::pieces(file, *sizes)), "in one piece and in several");
}

/// Every row as the reader tells it, or the words with which it ends.
fn read(choice: u8, pieces: Vec<Bytes>) -> (Vec<String>, Option<String>) {
    let names = || vec!["Name".to_owned(), "a.b".to_owned()];
    let options = JsonOptions::compile(&JsonFormat { columns: if choice & 1 == 0 { Vec::new() } else { names() } });
    let used = if choice & 2 == 0 { Vec::new() } else { names() }.into_iter().collect();
    let mut told = Vec::new();
    let ended = block_on(async {
        let source = JsonSource::open(stream::iter(pieces.into_iter().map(Ok)).boxed(), options, &used).await?;
        super::tell(Box::new(source), &mut told).await?;
        Ok::<_, ReadError>(())
    });
    (told, ended.err().map(|error| error.to_string()))
}
