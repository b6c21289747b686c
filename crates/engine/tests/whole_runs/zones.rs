//! What becomes in the org of times that say no zone, whatever file they stand in.

use api::import_job::ImportJobSpec;
use engine::results::{Escape, FileKind};
use serde_json::json;

use crate::org::{Org, job};

/// A job over a file of any kind: a name, and a time for these fields.
fn job_in(zone: Option<&str>, name: &str, time: &str, fields: &[&str]) -> ImportJobSpec {
    let times = fields.iter().map(|field| json!({"from": time, "to": field}));
    let mapping: Vec<_> = [json!({"from": name, "to": "Name"})].into_iter().chain(times).collect();
    let mut spec = job(json!({"object": "Account", "operation": "Insert", "mapping": mapping}), json!({}));
    let mut source = json!({"upload": {"name": "f"}});
    if let Some(zone) = zone {
        source["timeZone"] = zone.into();
    }
    spec.source = serde_json::from_value(source).unwrap();
    spec
}

fn file(path: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn times_without_a_zone_are_those_of_the_job_whatever_file_they_stand_in() {
    // 18:30:15 of 31 January 2024 in each of them.
    let csv = b"name,at\nZo\xC3\xAB,2024-01-31T18:30:15\n".to_vec();
    let json = br#"{"name": "Zo\u00EB", "at": "2024-01-31T18:30:15.000"}"#.to_vec();
    let files = [
        ("CSV", csv, "name", "at", "15.000"),
        ("JSON", json, "name", "at", "15.000"),
        ("XLSX", file("workbooks/openpyxl.xlsx"), "Id", "Instant", "15.000"),
        ("ODS", file("workbooks/libreoffice.ods"), "Id", "Instant", "15.000"),
        ("Parquet", file("parquet/duckdb-none-v2.parquet"), "number", "local", "15.999"),
    ];
    for (what, content, name, time, seconds) in files {
        for (zone, hour) in [("Europe/Berlin", "17"), ("Australia/Sydney", "07"), ("America/New_York", "23")] {
            let org = Org::start().await;
            let (ending, sink) =
                org.import(&job_in(Some(zone), name, time, &["Checked_At__c", "Opened__c"]), &content, Escape::Nothing).await.unwrap();
            let rows = org.running.rows("Account", &["Checked_At__c", "Opened__c"]);
            let expected = [format!("2024-01-31T{hour}:30:{seconds}Z"), "2024-01-31".to_owned()];
            assert!(
                rows.contains(&expected.map(Some).to_vec()),
                "{what} {zone}: {} {rows:?}\n{}",
                ending.message,
                sink.text(FileKind::Failed)
            );
            // Result files have the cells as the source has them.
            assert!(sink.text(FileKind::Succeeded).contains("2024-01-31T18:30:15"), "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_is_none_in_the_zone_fails_its_row_and_can_be_mended_in_its_file() {
    let org = Org::start().await;
    let spec = job_in(Some("Europe/Berlin"), "name", "at", &["Checked_At__c"]);
    let content = b"name,at\nskipped,2026-03-29T02:30:00\ntwice,2026-10-25T02:30:00\ntold,2026-10-25T02:30:00+01:00\n";
    let (ending, sink) = org.import(&spec, content, Escape::Nothing).await.unwrap();
    assert_eq!((ending.rows.succeeded, ending.rows.failed), (2, 1), "{}", ending.message);
    assert_eq!(ending.warnings.len(), 1, "{:?}", ending.warnings);
    assert_eq!((ending.warnings[0].field.as_str(), ending.warnings[0].first_row), ("Checked_At__c", 2));
    let failed = sink.text(FileKind::Failed);
    assert!(failed.contains("SKIPPED_TIME: Checked_At__c: column \"\"at\"\" has a time that there is not in Europe/Berlin"), "{failed}");
    let mended = failed.replace("2026-03-29T02:30:00", "2026-03-29T03:30:00");
    let (ending, _) = org.import(&spec, mended.as_bytes(), Escape::Nothing).await.unwrap();
    assert_eq!((ending.rows.succeeded, ending.rows.failed), (1, 0), "{}", ending.message);
    let cells = |row: Vec<Option<String>>| row.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let mut rows: Vec<String> = org.running.rows("Account", &["Name", "Checked_At__c"]).into_iter().map(cells).collect();
    rows.sort();
    assert_eq!(rows, ["skipped 2026-03-29T01:30:00.000Z", "told 2026-10-25T01:30:00.000Z", "twice 2026-10-25T00:30:00.000Z"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_that_nobody_knows_is_told_before_anything_is_sent() {
    let org = Org::start().await;
    let spec = |zone| job_in(zone, "name", "at", &["Checked_At__c"]);
    let refused = org.import(&spec(Some("Europe/Atlantis")), b"name,at\na,\n", Escape::Nothing).await.err().unwrap();
    assert_eq!(refused, "source: timeZone \"Europe/Atlantis\" is not a time zone: use an IANA name, e.g. Europe/Berlin");
    assert_eq!(org.running.count("Account"), 0);
    assert!(org.import(&spec(None), b"name,at\na,\n", Escape::Nothing).await.is_ok(), "control");
}
