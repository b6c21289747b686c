//! Every format at every place: the rows are those of the same bytes in memory, and a credential that is wrong is told. Prints a table with the
//! most memory that reading took beyond what was there. Of a file that is larger than the memory for it parts are fetched, or it is refused.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use connect::RemoteFiles;
use engine::Memory;
use engine::row::Batch;
use engine::source::blob::{MemoryBlob, UploadBlob};
use engine::source::{FileSource, ReadError, Remedy, Said, Source, Start};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::{StreamExt, stream};

use super::cases::status;
use super::files::zstd_stored;
use super::served_support::Served;
use super::stores_support::Store;

/// A file, and what a job says of it.
struct File {
    format: String,
    said: Said,
    content: Vec<u8>,
    memory: Memory,
}

/// Too little for what [`padded`] adds.
const LITTLE: Memory = Memory::of(Some(8 << 20));

/// The files, and those that can be read in parts once more, larger than the memory for them.
fn files() -> Vec<File> {
    let small =
        formats().into_iter().map(|(format, said, content)| File { format: format.to_owned(), said, content, memory: Memory::default() });
    let small: Vec<File> = small.collect();
    let large = small.iter().filter_map(|File { format, said, content, .. }| {
        Some(File { format: format!("{format}, in parts"), said: said.clone(), content: padded(content)?, memory: LITTLE })
    });
    let large: Vec<File> = large.collect();
    small.into_iter().chain(large).collect()
}

/// The same file with what nobody wants in it.
fn padded(content: &[u8]) -> Option<Vec<u8>> {
    let padding = vec![0x5A; LITTLE.file() + 1];
    if content.starts_with(b"PK") {
        let mut from = zip::ZipArchive::new(std::io::Cursor::new(content)).expect("an archive");
        let mut to = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for number in 0..from.len() {
            to.raw_copy_file(from.by_index_raw(number).expect("a part")).expect("the same part");
        }
        let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        to.start_file("padding", stored).expect("one more part");
        to.write_all(&padding).expect("its content");
        return Some(to.finish().expect("an archive").into_inner());
    }
    // The footer says where columns are from the start, and its own length at the end.
    let (rest, end) = content.strip_prefix(b"PAR1").map(|_| content)?.split_last_chunk::<8>()?;
    let (columns, footer) = rest.split_at(rest.len() - u32::from_le_bytes(*end.first_chunk()?) as usize);
    Some([columns, &padding, footer, end].concat())
}

/// Files by their names, each about eight megabytes of text inside, but for workbooks and Parquet.
fn formats() -> Vec<(&'static str, Said, Vec<u8>)> {
    let rows = 1..=60_000;
    let text = "x".repeat(120);
    let csv: String = std::iter::once("id,text\n".to_owned()).chain(rows.clone().map(|id| format!("{id},{text}\n"))).collect();
    let lines: String = rows.clone().map(|id| format!("{{\"id\": {id}, \"text\": \"{text}\"}}\n")).collect();
    let array = format!("[{}]", rows.map(|id| format!("{{\"id\": {id}, \"text\": \"{text}\"}}")).collect::<Vec<_>>().join(",\n"));
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(csv.as_bytes()).expect("a packed file");
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in [("out/other.txt", "hello"), ("out/rows.csv", csv.as_str())] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).expect("a file in an archive");
        zip.write_all(content.as_bytes()).expect("a file in an archive");
    }
    let detected = Said::default;
    vec![
        ("CSV", detected(), csv.clone().into_bytes()),
        ("CSV, gzip", detected(), gzip.finish().expect("a packed file")),
        ("CSV, zstd", detected(), zstd_stored(csv.as_bytes()).to_vec()),
        ("CSV, ZIP", Said { member: Some("out/*.csv".to_owned()), ..detected() }, zip.finish().expect("an archive").into_inner()),
        ("NDJSON", detected(), lines.into_bytes()),
        ("JSON array", detected(), array.into_bytes()),
        ("xlsx", detected(), include_bytes!("../workbooks/openpyxl.xlsx").to_vec()),
        ("xls", detected(), include_bytes!("../workbooks/xlwt.xls").to_vec()),
        ("xlsb", detected(), include_bytes!("../workbooks/sheetjs.xlsb").to_vec()),
        ("ods", detected(), include_bytes!("../workbooks/libreoffice.ods").to_vec()),
        ("Parquet", detected(), include_bytes!("../parquet/pyarrow-zstd-integers-v1.parquet").to_vec()),
    ]
}

type Put<'a> = Box<dyn Fn(&str, &[u8]) + 'a>;
type Get<'a> = Box<dyn Fn(&str, Said) -> FileSource + 'a>;

/// Somewhere that a file can be put.
pub(crate) struct Place<'a> {
    pub(crate) name: &'static str,
    /// It can tell which files there are.
    pub(crate) has_lists: bool,
    pub(crate) put: Put<'a>,
    pub(crate) source: Get<'a>,
    /// Its files; absent where there is only one.
    pub(crate) files: Option<Box<dyn Fn() -> Arc<dyn RemoteFiles> + 'a>>,
    /// The same with a credential that is wrong; absent where there is none, or any is taken.
    wrong: Option<Get<'a>>,
}

impl<'a> Place<'a> {
    pub(crate) fn served(name: &'static str, server: &'a dyn Served) -> Self {
        Self {
            name,
            has_lists: server.has_lists(),
            put: Box::new(|name, content| std::fs::write(server.file(name), content).expect("a file of the server")),
            source: Box::new(|name, said| server.source(name, server.port(), said)),
            files: Some(Box::new(|| server.files(server.port()))),
            wrong: Some(Box::new(|name, _| server.wrong(name))),
        }
    }

    pub(crate) fn store(name: &'static str, store: &'a dyn Store) -> Self {
        Self {
            name,
            has_lists: true,
            put: Box::new(|name, content| store.put(name, content.to_vec())),
            source: Box::new(|name, said| store.source(name, store.port(), said)),
            files: Some(Box::new(|| Arc::new(store.files(store.port())))),
            wrong: store.has_credentials().then(|| Box::new(|name: &str, _| store.wrong(name)) as Get<'a>),
        }
    }
}

/// All rows as texts, and the columns.
async fn rows(source: &FileSource) -> Result<(Vec<String>, Vec<Vec<Vec<u8>>>), ReadError> {
    let mut rows = source.open(&Start::First, &BTreeSet::new()).await?;
    let (mut batch, mut found) = (Batch::new(), Vec::new());
    while rows.next(&mut batch).await? {
        found.extend(batch.rows().iter().map(|row| row.cells.iter().map(<[u8]>::to_vec).collect()));
    }
    Ok((rows.header().names().to_vec(), found))
}

/// Counts rows, and says how much memory that took.
async fn peak(source: &FileSource) -> Result<u64, String> {
    std::fs::write("/proc/self/clear_refs", "5").map_err(|error| format!("the peak cannot be reset: {error}"))?;
    let before = status("VmRSS:")?;
    let mut rows = source.open(&Start::First, &BTreeSet::new()).await.map_err(|error| connect::explain(&error))?;
    let mut batch = Batch::new();
    while rows.next(&mut batch).await.map_err(|error| connect::explain(&error))? {}
    Ok(status("VmHWM:")?.saturating_sub(before))
}

/// Prints the table; what is wrong is returned.
pub(crate) async fn table(places: &[Place<'_>]) -> Vec<String> {
    let (files, mut misses) = (files(), Vec::new());
    println!("\n{:24}{}", "rows as in memory; MiB", places.iter().map(|place| format!("{:12}", place.name)).collect::<String>());
    for (at, File { format, said, content, memory: limit }) in files.iter().enumerate() {
        let memory = FileSource::new(MemoryBlob::new(content.clone(), 64 << 10), said.clone());
        let expected = rows(&memory).await.expect("the rows in memory");
        assert!(expected.1.len() > 2, "{format} has rows");
        let mut line = String::new();
        for place in places {
            let name = format!("file {at}");
            (place.put)(&name, content);
            let source = || (place.source)(&name, said.clone()).within(*limit);
            let grown = peak(&source()).await;
            let found = rows(&source()).await;
            let word = match (grown, found) {
                // What comes once has no parts.
                (_, Err(error)) if content.len() > limit.file() && place.files.is_none() && error.remedy() == Remedy::Split => {
                    "refused".to_owned()
                }
                (Ok(grown), Ok(found)) if found == expected => format!("{}", grown.div_ceil(1 << 20)),
                (Err(error), _) => missed(&mut misses, place.name, format, error),
                (_, Err(error)) => missed(&mut misses, place.name, format, connect::explain(&error)),
                (_, Ok(found)) => missed(&mut misses, place.name, format, format!("{} rows, others than in memory", found.1.len())),
            };
            line.push_str(&format!("{word:12}"));
        }
        println!("{format:24}{line}");
    }
    for place in places {
        let Some(wrong) = &place.wrong else { continue };
        match rows(&wrong("file 0", Said::default())).await {
            Ok(_) => misses.push(format!("{}: a wrong credential reads", place.name)),
            Err(error) => println!("{}, a wrong credential: {}", place.name, connect::explain(&error)),
        }
    }
    misses
}

fn missed(misses: &mut Vec<String>, place: &str, format: &str, what: String) -> String {
    misses.push(format!("{place}, {format}: {what}"));
    "MISSED".to_owned()
}

/// Uploads: bytes that come once.
pub(crate) struct Uploads(std::sync::Mutex<std::collections::HashMap<String, Bytes>>);

impl Uploads {
    pub(crate) fn new() -> Self {
        Self(Default::default())
    }

    pub(crate) fn place(&self) -> Place<'_> {
        Place {
            name: "upload",
            has_lists: false,
            files: None,
            put: Box::new(|name, content| _ = self.0.lock().unwrap().insert(name.to_owned(), Bytes::copy_from_slice(content))),
            source: Box::new(|name, said| {
                let content = self.0.lock().unwrap()[name].clone();
                let pieces = (0..content.len()).step_by(64 << 10).map(move |at| Ok(content.slice(at..content.len().min(at + (64 << 10)))));
                FileSource::new(UploadBlob::new(stream::iter(pieces.collect::<Vec<_>>()).boxed()), said)
            }),
            wrong: None,
        }
    }
}
