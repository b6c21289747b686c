use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use connect::Span;
use futures::StreamExt;

use super::*;
use crate::row::Batch;
use crate::source::archive::{Unlisted, list};
use crate::source::blob::{MemoryBlob, Turns};
use crate::source::excel::{ExcelOptions, SheetRows};
use crate::source::parquet::ParquetRows;
use crate::source::{FileSource, Remedy, Rows, Said, Source, Start};

/// A file that counts what is fetched of it, and may go wrong.
struct Counted {
    blob: MemoryBlob,
    fetched: AtomicU64,
    fault: Option<Fault>,
}

/// How long each piece is on its way.
const SLOW: Duration = Duration::from_secs(1);

/// What happens to a part that does not reach up to the end of the file.
#[derive(Clone, Copy)]
enum Fault {
    Breaks,
    EndsEarly,
    NeverComes,
    NoParts,
    IsSlow,
}

impl Counted {
    fn new(bytes: impl Into<Bytes>, fault: Option<Fault>) -> Arc<Self> {
        Arc::new(Self { blob: MemoryBlob::new(bytes, 10_000), fetched: AtomicU64::new(0), fault })
    }
}

#[async_trait]
impl Blob for Arc<Counted> {
    async fn identity(&self, name: Option<&str>, turns: Option<&Turns>) -> Result<Identity, BlobError> {
        self.blob.identity(name, turns).await
    }

    async fn open(&self, span: Span, identity: &Identity) -> Result<ByteStream, BlobError> {
        let bytes = self.blob.open(span, identity).await?;
        let counted = self.clone();
        let bytes = bytes.inspect(move |piece| {
            counted.fetched.fetch_add(piece.as_ref().map_or(0, Bytes::len) as u64, Ordering::SeqCst);
        });
        let is_inside = span.until.is_some_and(|until| Some(until) != identity.length);
        match self.fault {
            Some(Fault::NoParts) if span.until.is_some() => Err(BlobError::NoParts),
            Some(Fault::Breaks) if is_inside => Err(BlobError::Io(io::ErrorKind::ConnectionReset.into())),
            Some(Fault::NeverComes) if is_inside => std::future::pending().await,
            Some(Fault::IsSlow) => Ok(bytes.then(async |piece| (tokio::time::sleep(SLOW).await, piece).1).boxed()),
            Some(Fault::EndsEarly) if is_inside => Ok(bytes.take(0).boxed()),
            _ => Ok(bytes.boxed()),
        }
    }
}

/// The most of the end that comes with it. Files of tests are small.
const LITTLE: u64 = 200;

async fn fetched(blob: &Arc<Counted>) -> RandomAccess {
    let identity = blob.identity(None, None).await.unwrap();
    RandomAccess::Fetched(Fetched::open(Arc::new(blob.clone()), identity, LITTLE).await.unwrap().expect("it gives parts"))
}

/// Rows of a workbook or a Parquet file.
async fn open(file: RandomAccess, is_parquet: bool) -> Result<Threaded, ReadError> {
    let memory = Memory::of(Some(256 << 20));
    match is_parquet {
        true => Threaded::open(file, move |file| ParquetRows::of(file, &BTreeSet::new(), memory)).await,
        false => Threaded::open(file, move |file| SheetRows::of(file, &ExcelOptions::default(), &BTreeSet::new(), memory)).await,
    }
}

/// Its columns and rows, or what is wrong with it.
async fn told(rows: Result<Threaded, ReadError>) -> Result<Vec<String>, ReadError> {
    let mut rows = rows?;
    let mut told = vec![format!("{:?}", rows.header().names())];
    let mut batch = Batch::new();
    while rows.next(&mut batch).await? {
        told.extend(batch.rows().iter().map(|row| format!("{} {:?} {:?}", row.number, row.cells.iter().collect::<Vec<_>>(), row.fault)));
    }
    Ok(told)
}

/// Files of every maker that are in archives, or are Parquet, by their names.
fn fixtures() -> Vec<(String, Bytes)> {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests");
    let files = ["workbooks", "parquet"].iter().flat_map(|folder| fs::read_dir(tests.join(folder)).unwrap());
    let files = files.map(|file| file.unwrap().path());
    let files = files.filter(|file| [".xlsx", ".xlsb", ".ods", ".parquet"].iter().any(|kind| file.to_string_lossy().ends_with(kind)));
    // With a password a workbook is no archive, but sectors in chains.
    let files = files.filter(|file| !file.ends_with("protected.xlsx"));
    files.map(|file| (file.file_name().unwrap().to_string_lossy().into_owned(), fs::read(file).unwrap().into())).collect()
}

fn fixture(name: &str) -> Bytes {
    fixtures().into_iter().find(|(found, _)| found == name).unwrap().1
}

#[tokio::test]
async fn a_file_that_is_fetched_in_parts_has_the_rows_of_one_that_is_held() {
    let (mut readable, mut rows) = (0, 0);
    for (name, bytes) in fixtures() {
        let is_parquet = name.ends_with(".parquet");
        let (blob, held) = (Counted::new(bytes.clone(), None), told(open(bytes.clone().into(), is_parquet).await).await);
        let parts = told(open(fetched(&blob).await, is_parquet).await).await;
        let shown = |told: &Result<Vec<String>, ReadError>| told.as_ref().cloned().map_err(ToString::to_string);
        assert_eq!(shown(&parts), shown(&held), "{name}");
        readable += usize::from(held.is_ok());
        rows += held.map_or(0, |rows| rows.len());
        assert!(blob.fetched.load(Ordering::SeqCst) > LITTLE, "{name}: more than its end was fetched");
    }
    assert!(readable > 25 && rows > 100, "{readable} files with {rows} rows");
}

/// An archive of a file that is wanted and a larger one that is not.
fn archive(wanted: &str, text: &str) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, content) in [("picture", vec![7; 4 << 20]), (wanted, text.as_bytes().to_vec()), ("other", vec![7; 4 << 20])] {
        zip.start_file(name, stored).unwrap();
        io::Write::write_all(&mut zip, &content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// As a job opens it, in a worker of little memory.
async fn rows(blob: &Arc<Counted>) -> Result<usize, ReadError> {
    let said = Said { member: Some("rows.csv".to_owned()), ..Said::default() };
    let source = FileSource::new(blob.clone(), said).within(Memory::of(Some(8 << 20)));
    let mut rows = source.open(&Start::First, &BTreeSet::new()).await?;
    let (mut batch, mut count) = (Batch::new(), 0);
    while rows.next(&mut batch).await? {
        count += batch.rows().len();
    }
    Ok(count)
}

#[tokio::test]
async fn of_an_archive_that_is_larger_than_the_memory_only_what_is_wanted_is_fetched() {
    let text = format!("id\n{}", "1\n".repeat(100_000));
    let bytes = archive("rows.csv", &text);
    let blob = Counted::new(bytes.clone(), None);
    assert_eq!(rows(&blob).await.unwrap(), 100_000);
    let fetched = blob.fetched.load(Ordering::SeqCst) as usize;
    assert!(fetched > text.len() && fetched < text.len() + (1 << 20), "{fetched} bytes of {}", bytes.len());
    let error = rows(&Counted::new(bytes, Some(Fault::NoParts))).await.unwrap_err();
    assert_eq!(error.remedy(), Remedy::Split, "{error}");
}

#[tokio::test]
async fn a_part_that_does_not_come_is_no_damage() {
    for name in ["openpyxl.xlsx", "sheetjs.xlsb", "libreoffice.ods", "pyarrow-none-plain-v1.parquet"] {
        let is_parquet = name.ends_with(".parquet");
        for fault in [Fault::Breaks, Fault::EndsEarly] {
            let blob = Counted::new(fixture(name), Some(fault));
            let error = told(open(fetched(&blob).await, is_parquet).await).await.unwrap_err();
            assert!(matches!(error, ReadError::Blob(BlobError::Io(_))), "{name}: {error}");
            assert!(error.is_transient());
        }
        let blob = Counted::new(fixture(name), None);
        let file = fetched(&blob).await;
        blob.blob.replace("another one");
        let error = told(open(file, is_parquet).await).await.unwrap_err();
        assert!(matches!(error, ReadError::Blob(BlobError::Changed)), "{name}: {error}");
    }
    let archive = archive("rows.csv", "id\n1\n");
    for fault in [Fault::Breaks, Fault::EndsEarly] {
        let error = rows(&Counted::new(archive.clone(), Some(fault))).await.unwrap_err();
        assert!(matches!(error, ReadError::Blob(BlobError::Io(_))), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_that_is_wanted_slowly_does_not_come_slowly() {
    let blob = Counted::new(vec![7; 300_000], Some(Fault::IsSlow));
    let mut bytes = fetched(&blob).await.stream(0..250_000).unwrap();
    let mut found = 0;
    while let Some(piece) = bytes.next().await {
        found += piece.unwrap().len();
        // Salesforce takes its time.
        tokio::time::sleep(Duration::from_secs(3_600)).await;
    }
    assert_eq!(found, 250_000);
}

#[tokio::test]
async fn a_thread_that_waits_for_a_part_ends_with_the_rows() {
    let blob = Counted::new(fixture("openpyxl.xlsx"), Some(Fault::NeverComes));
    let waits: Weak<Counted> = Arc::downgrade(&blob);
    let file = fetched(&blob).await;
    drop(blob);
    let opened = tokio::time::timeout(Duration::from_millis(200), open(file, false)).await;
    assert!(opened.is_err(), "it waits");
    while waits.strong_count() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Zeros without number, and some bytes at their end.
struct Sparse(Bytes);

const TERABYTE: u64 = 1 << 40;

#[async_trait]
impl Blob for Sparse {
    async fn identity(&self, _: Option<&str>, _: Option<&Turns>) -> Result<Identity, BlobError> {
        Ok(Identity { length: Some(TERABYTE), version: Some("1".to_owned()), name: None, mark: None })
    }

    async fn open(&self, Span { from, until }: Span, _: &Identity) -> Result<ByteStream, BlobError> {
        let mut part = vec![0; (until.unwrap() - from) as usize];
        let end = TERABYTE - self.0.len() as u64;
        for (at, byte) in (from..).zip(&mut part).filter(|(at, _)| *at >= end) {
            *byte = self.0[(at - end) as usize];
        }
        Ok(futures::stream::iter([Ok(part.into())]).boxed())
    }
}

#[tokio::test]
async fn a_list_takes_no_memory_for_what_an_archive_only_says_that_it_has() {
    // As many as there is room for, and no more than bytes before them.
    let (start, record) = (TERABYTE / 46, TERABYTE - 98);
    let entries = (record - start) / 46;
    let mut end = [b"PK\x06\x06".as_slice(), &44_u64.to_le_bytes(), &[45, 0, 45, 0], &[0; 8]].concat();
    end.extend([entries, entries, 46 * entries, start].iter().flat_map(|number| number.to_le_bytes()));
    end.extend([b"PK\x06\x07".as_slice(), &[0; 4], &record.to_le_bytes(), &1_u32.to_le_bytes()].concat());
    end.extend([b"PK\x05\x06".as_slice(), &[0; 4], &[0xFF; 12], &[0; 2]].concat());
    assert_eq!(end.len(), 98);
    let blob = Sparse(end.into());
    let identity = blob.identity(None, None).await.unwrap();
    let file = RandomAccess::Fetched(Fetched::open(Arc::new(blob), identity, LITTLE).await.unwrap().unwrap());
    let listed = tokio::task::spawn_blocking(move || matches!(list(&file, 10_000), Err(Unlisted::TooMany)));
    assert!(listed.await.unwrap());
}

#[tokio::test]
async fn what_a_file_says_of_its_own_places_may_be_anything() {
    let bytes = fixture("pyarrow-none-plain-v1.parquet");
    let blob = Counted::new(bytes.clone(), None);
    let length = bytes.len() as u64;
    for file in [RandomAccess::from(bytes), fetched(&blob).await] {
        for range in [0..length + 1, length..length + 1, length + 5..length + 6, Range { start: 5, end: 4 }, u64::MAX - 1..u64::MAX] {
            assert!(file.reader(range.clone()).is_err() && file.stream(range.clone()).is_err(), "{range:?}");
            let file = file.clone();
            tokio::task::spawn_blocking(move || assert!(file.part(range).is_err())).await.unwrap();
        }
        let read = tokio::task::spawn_blocking(move || {
            let mut all = Vec::new();
            file.reader(7..7).unwrap().read_to_end(&mut all).unwrap();
            file.reader(4..length - 4).unwrap().read_to_end(&mut all).unwrap();
            assert_eq!(file.part(4..length - 4).unwrap(), all);
            all.len() as u64
        });
        assert_eq!(read.await.unwrap(), length - 8);
    }
}
