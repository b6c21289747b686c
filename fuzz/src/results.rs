//! The reader of Salesforce's result sets. The first two bytes choose the kind of set and the pieces in which it comes.

use std::sync::LazyLock;

use bytes::Bytes;
use salesforce::bulk::{ResultKind, ResultReader, ResultRow};
use tokio::runtime::{Builder, Runtime};

/// The reader waits with a clock.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime without I/O"));

pub(crate) fn feed(input: &[u8]) {
    let [choice, sizes, set @ ..] = input else { return };
    let kind = [ResultKind::Successful, ResultKind::Failed, ResultKind::Unprocessed][usize::from(*choice) % 3];
    let (whole, parts) = (read(kind, vec![Bytes::copy_from_slice(set)], None), read(kind, super::pieces(set, *sizes), None));
    assert_eq!(whole, parts, "in one piece and in several");
    let (rows, ended) = whole;
    if ended.is_none() {
        let counted = rows.len() as u64;
        assert_eq!(read(kind, vec![Bytes::copy_from_slice(set)], Some(counted)).1, None, "as many rows as were counted");
        assert!(read(kind, vec![Bytes::copy_from_slice(set)], Some(counted + 1)).1.is_some(), "a row is missing");
    }
}

/// Every row, and the words with which the reader ends before the set does.
fn read(kind: ResultKind, parts: Vec<Bytes>, expected: Option<u64>) -> (Vec<ResultRow>, Option<String>) {
    let mut rows = Vec::new();
    let ended = RUNTIME.block_on(async {
        let mut reader = ResultReader::over(kind, parts, expected).await?;
        let (mut row, columns) = (ResultRow::default(), reader.columns().len());
        while reader.next(&mut row).await? {
            assert_eq!(row.cells.len(), columns, "as many cells as columns");
            rows.push(row.clone());
        }
        Ok::<_, salesforce::Error>(())
    });
    (rows, ended.err().map(|error| error.to_string()))
}
