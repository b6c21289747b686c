//! What becomes of `failed.csv` when it is loaded again, as it is or mended, in whatever form a spreadsheet left it.

use std::sync::atomic::{AtomicU32, Ordering};

use csv::{QuoteStyle, StringRecord, Terminator};
use engine::load::Ending;
use engine::results::{Escape, FileKind};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::org::{Org, job};

/// How a program writes the file that it was given.
#[derive(Clone, Copy, Debug)]
struct Program {
    delimiter: u8,
    always_quotes: bool,
    crlf: bool,
    mark: bool,
}

fn program() -> impl Strategy<Value = Option<Program>> {
    let any = (prop::sample::select(vec![b',', b';', b'\t']), any::<bool>(), any::<bool>(), any::<bool>());
    prop::option::of(any.prop_map(|(delimiter, always_quotes, crlf, mark)| Program { delimiter, always_quotes, crlf, mark }))
}

/// Header and rows.
fn parse(text: &str) -> (StringRecord, Vec<StringRecord>) {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    (reader.headers().unwrap().clone(), reader.records().map(Result::unwrap).collect())
}

fn save((header, rows): &(StringRecord, Vec<StringRecord>), program: Program) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new()
        .delimiter(program.delimiter)
        .quote_style(if program.always_quotes { QuoteStyle::Always } else { QuoteStyle::Necessary })
        .terminator(if program.crlf { Terminator::CRLF } else { Terminator::Any(b'\n') })
        .from_writer(if program.mark { b"\xEF\xBB\xBF".to_vec() } else { Vec::new() });
    std::iter::once(header).chain(rows).for_each(|record| writer.write_record(record).unwrap());
    writer.into_inner().unwrap()
}

/// A record as it stands in a file, behind its key.
fn record() -> impl Strategy<Value = Vec<u8>> {
    let part = prop::sample::select(vec![
        "", "a", "=1+1", "+49", "-12.5", "@", "'", "''=x", "'t Hart", "\\", "é", "＝", "007", " ", "\u{FFFD}", "\"",
    ]);
    let bytes = prop_oneof![12 => part.prop_map(|part| part.as_bytes().to_vec()), 1 => Just(b"\xEB".to_vec()), 1 => Just(b"\0".to_vec())];
    let text = prop::collection::vec(bytes, 0..3).prop_map(|parts| parts.concat());
    let cell = prop_oneof![
        // As a program writes it.
        6 => (text.clone(), any::<bool>()).prop_map(|(text, breaks)| {
            let text: Vec<u8> = text.iter().flat_map(|byte| if *byte == b'"' { vec![b'"'; 2] } else { vec![*byte] }).collect();
            [b"\"".as_slice(), &text, if breaks { b"\r\n" } else { b"" }, b"\""].concat()
        }),
        4 => text.prop_map(|text| text.into_iter().filter(|byte| *byte != b'"').collect()),
        // As people do.
        1 => prop::sample::select(vec!["\"Weird Al\" Yankovic", "\"say \\\"hi\\\" now\"", " \"x\""]).prop_map(|cell| cell.as_bytes().to_vec()),
    ];
    let count = prop_oneof![8 => Just(2), 1 => Just(1), 1 => Just(3)];
    count.prop_flat_map(move |count| prop::collection::vec(cell.clone(), count)).prop_map(|cells| cells.join(&b';'))
}

/// Names that a spreadsheet would run, too.
const HEADER: &str = "+Key;=Name;'-Note";

fn target() -> Value {
    let mapping =
        json!([{"from": "+Key", "to": "AccountNumber"}, {"from": "=Name", "to": "Name"}, {"from": "'-Note", "to": "Description"}]);
    json!({"object": "Account", "operation": "Insert", "mapping": mapping})
}

fn told(ending: &Ending) -> [i64; 4] {
    let rows = &ending.rows;
    [rows.read, rows.succeeded, rows.failed, rows.unprocessed]
}

/// Keys are unlike in all runs of all cases, since one org has them all.
fn keys(count: usize) -> Vec<String> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let case = NEXT.fetch_add(1, Ordering::Relaxed);
    (0..count).map(|row| format!("{}+49 {case} {row}x", if row % 2 == 0 { "" } else { "'" })).collect()
}

/// Rows that the reader refused, and that Salesforce did.
static SEEN: [AtomicU32; 2] = [AtomicU32::new(0), AtomicU32::new(0)];

async fn there_and_back(
    org: &Org,
    records: &[Vec<u8>],
    escape: Escape,
    program: Option<Program>,
    mended: prop::sample::Index,
) -> Result<(), TestCaseError> {
    // The job says how the first file is written.
    let spec = job(target(), json!({"delimiter": ";", "encoding": "utf-8"}));
    let keys = keys(records.len());
    let lines = keys.iter().zip(records).map(|(key, record)| [key.as_bytes(), b";", record, b"\n"].concat());
    let file = [format!("{HEADER}\n").into_bytes(), lines.collect::<Vec<_>>().concat()].concat();
    // A file that is refused as a whole has no results.
    let Ok((first, sink)) = org.import(&spec, &file, escape).await else { return Ok(()) };
    let failed = sink.text(FileKind::Failed);
    let table = parse(&failed);
    let whole = |table: &(StringRecord, Vec<StringRecord>), text: &str| {
        program.map_or_else(|| text.as_bytes().to_vec(), |program| save(table, program))
    };

    let (second, sink) = org.import(&spec, &whole(&table, &failed), escape).await.map_err(TestCaseError::fail)?;
    prop_assert_eq!(told(&second), [first.rows.failed, 0, first.rows.failed, 0], "{}", failed);
    let again = sink.text(FileKind::Failed);
    let table_again = parse(&again);
    prop_assert_eq!(&table_again.0, &table.0);
    let error = table.0.len() - 1;
    for (before, now) in table.1.iter().zip(&table_again.1) {
        prop_assert!(before.iter().take(error).eq(now.iter().take(error)), "{:?} became {:?}", before, now);
        prop_assert!(now[error].starts_with(&before[error]), "{:?} became {:?}", before, now);
    }
    let (_, sink) = org.import(&spec, &whole(&table_again, &again), escape).await.map_err(TestCaseError::fail)?;
    prop_assert_eq!(sink.text(FileKind::Failed), again);

    if table.1.is_empty() {
        return Ok(());
    }
    let refused = table.1.iter().filter(|row| !row[3].is_empty()).count() as u32;
    SEEN[0].fetch_add(refused, Ordering::Relaxed);
    SEEN[1].fetch_add(table.1.len() as u32 - refused, Ordering::Relaxed);
    let mut table = table;
    let row = mended.index(table.1.len());
    table.1[row] = table.1[row].iter().enumerate().map(|(at, cell)| [cell, "Good", "mended"][if at < 3 { at } else { 0 }]).collect();
    let mended = save(&table, program.unwrap_or(Program { delimiter: b',', always_quotes: false, crlf: false, mark: false }));
    let (third, _) = org.import(&spec, &mended, escape).await.map_err(TestCaseError::fail)?;
    prop_assert_eq!(told(&third), [first.rows.failed, 1, first.rows.failed - 1, 0], "{}", String::from_utf8_lossy(&mended));
    // Every row of this case that is in the org, by its key as it was at first.
    let accounts = org.running.rows("Account", &["AccountNumber", "Name", "Description"]);
    let mine: Vec<_> = accounts.iter().filter(|account| account[0].as_ref().is_some_and(|key| keys.contains(key))).collect();
    prop_assert_eq!(mine.len() as i64, first.rows.succeeded + 1);
    prop_assert!(mine.iter().any(|account| account[1].as_deref() == Some("Good") && account[2].as_deref() == Some("mended")), "{:?}", mine);
    Ok(())
}

#[test]
fn what_failed_fails_again_until_it_is_mended_and_then_alone_is_loaded() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let org = runtime.block_on(Org::start());
    let mut runner = TestRunner::new(Config { cases: 48, failure_persistence: None, max_shrink_iters: 100, ..Config::default() });
    let escape = prop::sample::select(vec![Escape::Formulas, Escape::Nothing]);
    let cases = (prop::collection::vec(record(), 1..8), escape, program(), any::<prop::sample::Index>());
    let result =
        runner.run(&cases, |(records, escape, program, mended)| runtime.block_on(there_and_back(&org, &records, escape, program, mended)));
    result.unwrap_or_else(|error| panic!("{error}"));
    let seen = SEEN.each_ref().map(|rows| rows.load(Ordering::Relaxed));
    assert!(seen.iter().all(|rows| *rows >= 20), "too few rows failed to say anything: {seen:?}");
}

/// Columns of an earlier run say nothing to the next one, and a column of the same name is not there twice.
#[tokio::test(flavor = "multi_thread")]
async fn columns_of_an_earlier_run_are_known() {
    let org = Org::start().await;
    let contact = json!({"object": "Contact", "operation": "Insert", "mapping": [{"from": "Last Name", "to": "LastName"}]});
    let file = b"Last Name,sf__Id,sf__Created,sf__Error\nLovelace,,,old error\n,,,old error 2\n";
    let (ending, sink) = org.import(&job(contact, json!({})), file, Escape::Formulas).await.unwrap();
    assert_eq!(told(&ending), [2, 1, 1, 0], "{}", ending.message);
    let (header, rows) = parse(&sink.text(FileKind::Failed));
    assert_eq!(header.iter().collect::<Vec<_>>(), ["Last Name", "sf__Refused", "sf__Id", "sf__Created", "sf__Error"]);
    assert!(rows[0][4].starts_with("BLANK_ROW: ") && !rows[0][4].contains("old error"), "{rows:?}");
    assert!(sink.text(FileKind::Succeeded).starts_with("Last Name,sf__Id,sf__Created,sf__Error\nLovelace,"));
}

/// A file that is none of ours keeps every apostrophe, also when Salesforce's own names stand in it.
#[tokio::test(flavor = "multi_thread")]
async fn apostrophes_of_other_files_stay() {
    let org = Org::start().await;
    let account =
        json!({"object": "Account", "operation": "Insert", "mapping": [{"from": "Name", "to": "Name"}, {"from": "Phone", "to": "Phone"}]});
    let file = b"sf__Id,sf__Error,Name,Phone\n,,'=1,'+49\n";
    let (ending, _) = org.import(&job(account, json!({})), file, Escape::Formulas).await.unwrap();
    assert_eq!(told(&ending), [1, 1, 0, 0], "{}", ending.message);
    assert_eq!(org.running.rows("Account", &["Name", "Phone"]), [["'=1", "'+49"].map(|cell| Some(cell.to_owned())).to_vec()]);
}
