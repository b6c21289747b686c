//! Any file as a job opens it: unpacked, told what it is, and read. The first byte chooses what the job says, the second the pieces in
//! which the file comes; the rest is the file.

use std::sync::LazyLock;

use bytes::Bytes;
use engine::source::blob::UploadBlob;
use engine::source::{FileSource, ReadError, Said, Source, Start};
use futures::{StreamExt, stream};
use tokio::runtime::{Builder, Runtime};

/// A workbook is read on a thread that may block.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime without I/O"));

pub(crate) fn feed(input: &[u8]) {
    let [choice, sizes, file @ ..] = input else { return };
    let whole = read(*choice, vec![Bytes::copy_from_slice(file)]);
    assert_eq!(whole, read(*choice, super::pieces(file, *sizes)), "in one piece and in several");
}

/// Every row as the source tells it, or the words with which it ends.
fn read(choice: u8, pieces: Vec<Bytes>) -> (Vec<String>, Option<String>) {
    let member = [None, Some("*"), Some("a*.csv"), Some("b")][usize::from(choice & 3)].map(str::to_owned);
    let source = FileSource::new(UploadBlob::new(stream::iter(pieces.into_iter().map(Ok)).boxed()), Said { member, ..Said::default() });
    let mut told = Vec::new();
    let ended = RUNTIME.block_on(async {
        let rows = source.open(&Start::First, &["Name".to_owned()].into()).await?;
        super::tell(rows, &mut told).await?;
        Ok::<_, ReadError>(())
    });
    (told, ended.err().map(|error| error.to_string()))
}
