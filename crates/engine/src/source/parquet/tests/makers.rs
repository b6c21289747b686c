//! Files that other people's programs wrote (`crates/engine/tests/parquet/make.sh`), value by value against what pyarrow reads.

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Expected {
    files: Vec<String>,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

#[test]
fn every_value_is_what_another_reader_reads() {
    let expected: Vec<Expected> = serde_json::from_slice(&fixture("expected.json")).unwrap();
    let tables = expected.iter().flat_map(|table| table.files.iter().map(move |file| (file, table)));
    let mut files = 0;
    for (name, Expected { columns, rows, .. }) in tables {
        files += 1;
        // What the job does not use is read, too, but may be no text.
        let found = told(fixture(name), &[&columns[0]]).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(found.columns, *columns, "{name}");
        assert_eq!((found.rows.len(), found.faults.len()), (rows.len(), 0), "{name}");
        for (number, (found, expected)) in found.rows.iter().zip(rows).enumerate() {
            for (column, (found, expected)) in columns.iter().zip(found.iter().zip(expected)) {
                assert_eq!(found, expected, "{name}: {column} of row {}", number + 1);
            }
        }
    }
    assert!(files > 15, "{files}");
}

#[test]
fn columns_have_their_paths_and_lists_are_none() {
    let found = told(fixture("pyarrow-nested.parquet"), &["name"]).unwrap();
    assert_eq!(found.columns, ["name", "address.city", "address.geo.lat", "deep.beside", "code"]);
    assert_eq!(
        found.described,
        "the file, read as Parquet, has the columns \"name\", \"address.city\", \"address.geo.lat\", \"deep.beside\", \"code\""
    );
    assert_eq!(found.rows, [["Zoë", "Bonn", "50.7", "7", ""], ["Søn", "", "", "", ""], ["", "", "", "", ""]]);
}

#[test]
fn a_value_that_is_none_fails_its_row() {
    let columns = ["nan", "text", "date", "instant"];
    for (column, expected) in columns.into_iter().zip([
        ["UNSTORABLE_VALUE: row 1: column \"nan\" holds a value that is not a finite number, which Salesforce cannot store"; 2],
        [
            "INVALID_ENCODING: row 1: column \"text\" is not valid UTF-8; write it as text, or leave it out of the mapping",
            "NUL_CHARACTER: row 2: column \"text\" contains a NUL character, which Salesforce cannot store; remove it",
        ],
        ["UNSTORABLE_VALUE: row 1: column \"date\" holds a value that is not between the years 0001 and 9999, which Salesforce cannot store"; 2],
        [
            "UNSTORABLE_VALUE: row 1: column \"instant\" holds a value that is not between the years 0001 and 9999, which Salesforce cannot \
             store"; 2
        ],
    ]) {
        let found = told(fixture("pyarrow-faults.parquet"), &[column]).unwrap();
        let faults: Vec<String> = found.faults.iter().map(|(_, fault)| fault.result_text()).collect();
        let second = expected[1].replace("row 1", "row 2");
        assert_eq!(faults, [expected[0], second.as_str()]);
        assert_eq!(found.rows[2], ["1.5", "good", "1970-01-01", "1970-01-01T00:00:00.000Z"]);
    }
    assert!(told(fixture("pyarrow-faults.parquet"), &["other"]).unwrap().faults.is_empty(), "only what is used counts");
}

/// The file that fits, and its pages, are parts of what the process may use.
#[tokio::test]
async fn a_file_beyond_the_memory_of_a_process_is_refused_before_it_is_read() {
    use api::import_run::RunReason;

    use futures::{StreamExt, stream};

    use crate::source::blob::UploadBlob;
    use crate::source::{FileSource, Said, Source, Start};

    let file = fixture("pyarrow-none-plain-v1.parquet");
    let open = async |limit: usize| {
        let pieces: Vec<_> = file.chunks(1000).map(|piece| Ok(bytes::Bytes::copy_from_slice(piece))).collect();
        let upload = UploadBlob::new(stream::iter(pieces).boxed());
        let source = FileSource::new(upload, Said::default()).within(Memory::of(Some(limit as u64)));
        source.open(&Start::First, &BTreeSet::new()).await.map(drop).map_err(|error| (error.to_string(), error.reason()))
    };
    assert_eq!(open(4 * file.len()).await, Ok(()), "control");
    let (message, reason) = open(4 * file.len() - 4).await.unwrap_err();
    assert!(message.starts_with("the Parquet file has more than 0 MiB and cannot be fetched in parts"), "{message}");
    assert_eq!(reason, RunReason::FileTooLarge);
}

/// As a job opens it.
#[tokio::test]
async fn a_parquet_file_is_a_file_like_any_other() {
    use crate::source::blob::MemoryBlob;
    use crate::source::{FileSource, Said, Source, Start};

    let open = async |bytes: Vec<u8>, format: Option<&str>, used: &str| {
        let said = Said { format: format.map(|format| serde_json::from_str(format).unwrap()), ..Said::default() };
        FileSource::new(MemoryBlob::new(bytes, 100), said).open(&Start::First, &names(&[used])).await
    };
    let file = fixture("pyarrow-nested.parquet");
    for format in [None, Some(r#"{"parquet": {}}"#)] {
        let mut rows = open(file.clone(), format, "name").await.unwrap();
        let mut batch = Batch::new();
        assert!(rows.next(&mut batch).await.unwrap());
        assert_eq!(batch.rows().len(), 3);
        assert!(!rows.next(&mut batch).await.unwrap());
    }
    for (bytes, format, used, expected) in [
        (
            file.clone(),
            Some(r#"{"csv": {}}"#),
            "name",
            "the file is a Parquet file, not CSV: leave `format` out, or set it to {parquet: {}}",
        ),
        (
            file.clone(),
            Some(r#"{"json": {}}"#),
            "name",
            "the file is a Parquet file, not JSON: leave `format` out, or set it to {parquet: {}}",
        ),
        (b"%PDF-1.7".to_vec(), Some(r#"{"parquet": {}}"#), "name", "the file is a PDF document, not a Parquet file"),
        (b"a,b\n1,2\n".to_vec(), Some(r#"{"parquet": {}}"#), "name", "the file is text or data of another kind, not a Parquet file"),
        (b"PAREwhatever".to_vec(), None, "name", "the Parquet file is encrypted"),
        (file[..file.len() - 1].to_vec(), None, "name", "the Parquet file is damaged or cut off in its footer"),
        (file.clone(), None, "tags", "column \"tags\" is part of \"tags\", a list or a map, and those are not read"),
        (file.clone(), None, "deep.in.list.element", "column \"deep.in.list.element\" is part of \"deep.in.list\", a list or a map"),
        (
            file,
            None,
            "code",
            "column \"code\" has the type FIXED_LEN_BYTE_ARRAY, which are bytes of any meaning, which is no text: write it as a text (STRING)",
        ),
    ] {
        let error = open(bytes, format, used).await.err().unwrap().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}
