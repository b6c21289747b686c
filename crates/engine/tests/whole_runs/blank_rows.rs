//! Whatever stands in cells and whatever a job makes of them: every row that is sent comes back with a result, so that the books of a run
//! balance by themselves.

use api::import_run::RunReason;
use engine::results::{Escape, FileKind};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::org::{Org, job};

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_would_send_nothing_fails_here_and_is_not_sent() {
    let org = Org::start().await;
    let contact = json!({"object": "Contact", "operation": "Insert", "mapping": [{"from": "Last Name", "to": "LastName"}]});
    let (ending, sink) =
        org.import(&job(contact, json!({})), b"Last Name,City\nLovelace,London\n,Oslo\nHopper,New York\n", Escape::Formulas).await.unwrap();
    assert_eq!(ending.reason, RunReason::CompletedWithFailedRows, "{}", ending.message);
    assert_eq!((ending.rows.succeeded, ending.rows.failed), (2, 1));
    assert_eq!(org.running.count("Contact"), 2);
    let failed = sink.text(FileKind::Failed);
    assert!(failed.contains("BLANK_ROW: every mapped cell is blank (LastName), so that nothing would be sent"), "{failed}");

    let formula =
        json!({"object": "Account", "operation": "Insert", "mapping": [{"formula": "IF([Name] = \"x\", \"\", [Name])", "to": "Name"}]});
    let (ending, _) = org.import(&job(formula, json!({})), b"Name,Z\nA,1\nx,2\nB,3\n", Escape::Formulas).await.unwrap();
    assert_eq!((ending.reason, ending.rows.failed), (RunReason::CompletedWithFailedRows, 1), "{}", ending.message);

    // An empty quoted cell of a file with one column is no row to the reader.
    let plain = json!({"object": "Account", "operation": "Insert", "mapping": [{"from": "Name", "to": "Name"}]});
    let (ending, _) = org.import(&job(plain, json!({})), b"Name\n\"A\"\n\"\"\n\"B\"\n", Escape::Formulas).await.unwrap();
    assert_eq!((ending.reason, ending.rows.read), (RunReason::Completed, 2), "{}", ending.message);
}

/// What stands in cells, blank in every way there is.
fn cell() -> impl Strategy<Value = String> {
    let parts = [
        "", "", " ", "\t", "\n", "\r", "\u{A0}", "\u{3000}", "\u{200B}", "\u{FEFF}", "\u{1}", "\u{B}", "\u{C}", "\"", ",", "'", "#N/A",
        "a", "é",
    ];
    prop::collection::vec(prop::sample::select(parts.to_vec()), 0..3).prop_map(|parts| parts.concat())
}

fn policy() -> impl Strategy<Value = Option<&'static str>> {
    prop::option::of(prop::sample::select(vec!["Ignore", "Clear", "Fail"]))
}

fn entry(to: &'static str) -> impl Strategy<Value = Value> {
    let source = prop_oneof![
        4 => prop::sample::select(vec!["a", "b", "c"]).prop_map(|column| json!({"from": column})),
        1 => prop::sample::select(vec!["", " ", "x"]).prop_map(|value| json!({"value": value})),
        2 => prop::sample::select(vec!["[a] & [b]", "TRIM([a])", "IF(ISBLANK([b]), \"\", [c])", "COALESCE([a], [c])"])
            .prop_map(|formula| json!({"formula": formula})),
    ];
    (source, policy()).prop_map(move |(mut entry, blank)| {
        entry["to"] = json!(to);
        if let Some(blank) = blank {
            entry["blankCells"] = json!(blank);
        }
        entry
    })
}

fn target() -> impl Strategy<Value = Value> {
    let fields = prop::sample::subsequence(vec!["Name", "Phone", "Description"], 0..=3)
        .prop_flat_map(|fields| fields.into_iter().map(entry).collect::<Vec<_>>());
    let operation =
        prop::sample::select(vec![("Insert", None), ("Update", Some("Id")), ("Upsert", Some("External_Id__c")), ("Delete", Some("Id"))]);
    (fields, operation, policy())
        .prop_flat_map(|(mut fields, (operation, key), blank)| {
            if operation == "Delete" {
                fields.clear();
            }
            let key = key.map_or_else(|| Just(None).boxed(), |key| entry(key).prop_map(Some).boxed());
            key.prop_map(move |key| {
                let mapping: Vec<Value> = key.iter().chain(&fields).cloned().collect();
                let mut target = json!({"object": "Account", "operation": operation, "mapping": mapping});
                if operation == "Upsert" {
                    target["matchBy"] = json!(["External_Id__c"]);
                }
                if let Some(blank) = blank {
                    target["blankCells"] = json!(blank);
                }
                target
            })
        })
        .prop_filter("a job maps something", |target| target["mapping"].as_array().is_some_and(|mapping| !mapping.is_empty()))
}

fn file(rows: &[[String; 3]]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["a", "b", "c"]).unwrap();
    rows.iter().for_each(|row| writer.write_record(row).unwrap());
    writer.into_inner().unwrap()
}

#[test]
fn the_books_balance_whatever_stands_in_cells_and_whatever_a_job_makes_of_them() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let org = runtime.block_on(Org::start());
    let mut runner = TestRunner::new(Config { cases: 192, failure_persistence: None, ..Config::default() });
    let cases = (target(), prop::collection::vec([cell(), cell(), cell()], 1..6));
    let result = runner.run(&cases, |(target, rows)| {
        // A job that is refused sends nothing.
        let Ok((ending, _)) = runtime.block_on(org.import(&job(target, json!({})), &file(&rows), Escape::Formulas)) else { return Ok(()) };
        prop_assert!(
            matches!(ending.reason, RunReason::Completed | RunReason::CompletedWithFailedRows),
            "{}: {}",
            ending.reason,
            ending.message
        );
        prop_assert_eq!((ending.rows.balanced(), ending.rows.unprocessed, ending.unmatched), (true, 0, 0));
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}
