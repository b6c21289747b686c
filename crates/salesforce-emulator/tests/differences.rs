//! `differences.toml`: every entry is whole and shown by something that exists, every open question's switch works, and
//! what is said to be absent is.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use crate::support::{Session, csv_rows};
use salesforce_emulator::{Behaviour, Client, Emulator, SecondPut};
use serde_json::{Value, json};
use toml_edit::DocumentMut;

const KINDS: [&str; 3] = ["absent", "decided", "on-purpose"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What is wrong with the list.
fn faults(list: &str) -> Vec<String> {
    let document: DocumentMut = list.parse().unwrap();
    let mut ids = BTreeSet::new();
    let mut faults = Vec::new();
    for entry in document["difference"].as_array_of_tables().unwrap() {
        let text = |key: &str| entry.get(key).and_then(|value| value.as_str()).unwrap_or_default();
        let id = text("id");
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
            faults.push(format!("{id:?} is no id"));
        }
        if !ids.insert(id.to_owned()) {
            faults.push(format!("{id} stands twice"));
        }
        if !KINDS.contains(&text("kind")) {
            faults.push(format!("{id}: {:?} is no kind", text("kind")));
        }
        faults.extend(["what", "reason"].into_iter().filter(|key| text(key).is_empty()).map(|key| format!("{id}: no {key}")));
        let shown_by = entry.get("shown_by").and_then(|value| value.as_array());
        let shown_by: Vec<&str> = shown_by.into_iter().flatten().filter_map(|value| value.as_str()).collect();
        if shown_by.is_empty() {
            faults.push(format!("{id}: shown by nothing"));
        }
        faults.extend(shown_by.into_iter().filter(|place| !exists(place)).map(|place| format!("{id}: {place} does not exist")));
    }
    faults
}

/// Whether `file::function` is a test of this crate, or a section of a client's script.
fn exists(place: &str) -> bool {
    let Some((file, function)) = place.split_once("::") else { return false };
    let Ok(text) = std::fs::read_to_string(root().join(file)) else { return false };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.iter().enumerate().any(|(at, line)| {
        let is_test = at > 0 && (lines[at - 1] == "#[test]" || lines[at - 1].starts_with("#[tokio::test"));
        let rust = is_test && (line.starts_with(&format!("fn {function}(")) || line.starts_with(&format!("async fn {function}(")));
        rust || (file.starts_with("clients/") && line.starts_with(&format!("def {function}(")))
    })
}

#[test]
fn every_difference_has_its_reason_and_is_shown_by_something_that_exists() {
    assert_eq!(faults(&read("differences.toml")), [""; 0]);
}

#[test]
fn a_list_that_is_not_honest_is_noticed() {
    let entry = |id: &str, shown_by: &str| {
        format!("[[difference]]\nid = \"{id}\"\nkind = \"absent\"\nwhat = \"w\"\nreason = \"r\"\nshown_by = [{shown_by}]\n")
    };
    let good = entry("a", "\"tests/bulk.rs::rows_with_bad_quotes_fail_alone\", \"clients/sf_client.py::login\"");
    assert_eq!(faults(&good), [""; 0]);
    assert_eq!(faults(&format!("{good}{good}")), ["a stands twice"]);
    assert_eq!(faults(&good.replace("reason = \"r\"", "")), ["a: no reason"]);
    assert_eq!(faults(&good.replace("absent", "forgotten")), ["a: \"forgotten\" is no kind"]);
    assert_eq!(faults(&entry("a", "")), ["a: shown by nothing"]);
    // A helper is no test.
    let helper = "tests/bulk.rs::no_such_test";
    assert_eq!(faults(&entry("a", &format!("\"{helper}\""))), [format!("a: {helper} does not exist")]);
    assert!(!exists("tests/differences.rs::faults"));
}

/// A new switch without an entry, or an entry whose switch is gone, fails here.
#[test]
fn the_list_names_every_switch_and_no_other() {
    let text = read("differences.toml");
    let named: BTreeSet<&str> = text.split("Behaviour::").skip(1).filter_map(|rest| rest.split([' ', ')']).next()).collect();
    let shown = format!("{:?}", Behaviour::default());
    let fields: BTreeSet<&str> = shown.split(['{', ',']).filter_map(|part| Some(part.split_once(": ")?.0.trim())).collect();
    assert_eq!(fields.len(), 8, "{fields:?}");
    assert_eq!(named, fields);
}

async fn with(change: impl FnOnce(&mut Behaviour)) -> Session {
    Session::with(Emulator::builder().behaviour(change)).await
}

fn insert() -> Value {
    json!({"object": "Account", "operation": "insert"})
}

async fn uploaded(session: &Session, csv: &str) -> String {
    let (_, job) = session.post("jobs/ingest", insert()).await;
    let id = job["id"].as_str().unwrap().to_owned();
    assert_eq!(session.put(&id, csv).await.0, 201);
    id
}

#[tokio::test]
async fn every_switch_switches() {
    for (status, session) in [(200, with(|_| ()).await), (201, with(|b| b.ingest_create_status = 201).await)] {
        assert_eq!(session.post("jobs/ingest", insert()).await.0, status);
    }
    for (second, close, session) in [(201, 400, with(|_| ()).await), (400, 400, with(|b| b.second_put = SecondPut::IsRefused).await)] {
        let id = uploaded(&session, "Name\nA\n").await;
        assert_eq!((session.put(&id, "Name\nB\n").await.0, session.state(&id, "UploadComplete").await.0), (second, close));
    }
    for (status, session) in [(200, with(|_| ()).await), (400, with(|b| b.results_on_aborted = false).await)] {
        let id = uploaded(&session, "Name\nA\n").await;
        session.state(&id, "Aborted").await;
        assert_eq!(session.get(&format!("jobs/ingest/{id}/successfulResults")).await.0, status);
        assert_eq!(csv_rows(&session.results(&id, "unprocessedrecords").await).len(), 2);
    }
    for (empty, session) in [("Name\n", with(|_| ()).await), ("", with(|b| b.empty_results_have_header = false).await)] {
        let id = uploaded(&session, "Name\nA\n").await;
        session.state(&id, "UploadComplete").await;
        session.wait(&id).await;
        assert_eq!(session.results(&id, "unprocessedrecords").await, empty);
    }
    for (status, session) in [(400, with(|_| ()).await), (200, with(|b| b.second_close_is_refused = false).await)] {
        let id = uploaded(&session, "Name\nA\n").await;
        assert_eq!(session.state(&id, "UploadComplete").await.0, 200);
        assert_eq!(session.state(&id, "UploadComplete").await.0, status);
    }
}

#[tokio::test]
async fn an_open_job_waits_for_ever_and_cannot_be_deleted() {
    let session = Session::start().await;
    let id = uploaded(&session, "Name\nA\n").await;
    assert_eq!(session.delete_job(&id).await, 400);
    session.running.advance_clock(Duration::from_secs(30 * 24 * 3600));
    let session = session.renew().await;
    assert_eq!(session.job(&id).await["state"], "Open");
    session.state(&id, "UploadComplete").await;
    assert_eq!(session.delete_job(&id).await, 400);
    assert_eq!(session.wait(&id).await["numberRecordsProcessed"], 1);
    assert_eq!(session.delete_job(&id).await, 204);
}

#[tokio::test]
async fn rows_beyond_the_daily_allowance_are_unprocessed() {
    let emulator =
        Emulator::builder().config(|config| config.limits.daily_bulk_records = 2).behaviour(|behaviour| behaviour.batch_rows = 2);
    let session = Session::with(emulator).await;
    let job = session.run(insert(), "Name\nA\nB\nC\n").await;
    assert!(job.info["errorMessage"].as_str().unwrap().starts_with("ExceededQuota"), "{}", job.info);
    assert_eq!((job.created().len(), &job.unprocessed[1..]), (2, &[vec!["C".to_owned()]][..]));
    session.running.advance_clock(Duration::from_secs(25 * 3600));
    let session = session.renew().await;
    assert_eq!(session.run(insert(), "Name\nD\n").await.info["state"], "Failed");
}

#[tokio::test]
async fn every_row_is_the_one_users() {
    let session = Session::start().await;
    session.run(insert(), "Name\nA\n").await;
    let (_, body) = session.query("SELECT CreatedBy.Username, LastModifiedBy.Username FROM Account").await;
    let by = |who: &str| body["records"][0][who]["Username"].clone();
    assert_eq!([by("CreatedBy"), by("LastModifiedBy")], [json!(session.running.username), json!(session.running.username)]);
}

#[tokio::test]
async fn the_authorize_page_denies_only_when_told() {
    let client = Client { redirect_uris: vec!["https://console.example/cb".into()], ..Client::random() };
    let session = Session::with(Emulator::builder().client(client)).await;
    for (hint, expected) in [("", "code="), ("&login_hint=deny", "error=access_denied")] {
        let url = format!(
            "{}/services/oauth2/authorize?response_type=code&client_id={}&redirect_uri=https://console.example/cb{hint}",
            session.running.url, session.running.client_id
        );
        let answer = session.http.get(url).send().await.unwrap();
        let location = answer.headers()["location"].to_str().unwrap();
        assert!(location.starts_with(&format!("https://console.example/cb?{expected}")), "{location}");
    }
}

#[tokio::test]
async fn what_is_absent_is_refused() {
    let session = Session::start().await;
    for (soql, code) in [
        ("SELECT Name, COUNT(Id) FROM Account GROUP BY Name HAVING COUNT(Id) > 1", "MALFORMED_QUERY"),
        ("SELECT Name, COUNT(Id) FROM Account GROUP BY ROLLUP(Name)", "MALFORMED_QUERY"),
        ("SELECT TYPEOF Owner WHEN User THEN Email END FROM Lead", "MALFORMED_QUERY"),
        ("SELECT convertCurrency(AnnualRevenue) FROM Account", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account WHERE CreatedDate = THIS_FISCAL_YEAR", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account WHERE CALENDAR_YEAR(CreatedDate) = 2026", "MALFORMED_QUERY"),
        ("SELECT BillingAddress FROM Account", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE DISTANCE(Place__c, GEOLOCATION(50, 8), 'km') < 1", "MALFORMED_QUERY"),
    ] {
        let (status, error) = session.query(soql).await;
        assert_eq!((status, error[0]["errorCode"].as_str()), (400, Some(code)), "{soql}: {error}");
    }
    assert_eq!(session.get("search?q=FIND+%7BA%7D").await.0, 404);
    // What the service has below resources that are here says so itself.
    for path in [
        "query?explain=SELECT+Id+FROM+Account",
        "recent",
        "sobjects/Account/describe/layouts",
        "sobjects/Account/describe/layouts/012000000000000AAA",
        "sobjects/Account/describe/compactLayouts",
        "sobjects/Account/describe/approvalLayouts",
        "sobjects/User/describe/namedLayouts/UserAlt",
        "sobjects/Account/listviews",
        "sobjects/Account/listviews/recent/describe",
    ] {
        let (status, error) = session.get(path).await;
        assert_eq!((status, error[0]["errorCode"].as_str()), (501, Some("NOT_SUPPORTED")), "{path}: {error}");
        assert!(error[0]["message"].as_str().unwrap().starts_with("This emulator of Salesforce has no "), "{error}");
    }
    assert_eq!(session.send(session.http.post(format!("{}/services/async/66.0/job", session.running.url))).await.0, 404);
}

#[tokio::test]
async fn no_field_is_of_an_absent_kind() {
    let session = Session::start().await;
    let absent = ["BillingAddress", "CurrencyIsoCode", "IsPersonAccount", "BillingStateCode", "BillingCountryCode"];
    let (_, global) = session.get("sobjects").await;
    for object in global["sobjects"].as_array().unwrap() {
        let (_, described) = session.get(&format!("sobjects/{}/describe", object["name"].as_str().unwrap())).await;
        for field in described["fields"].as_array().unwrap() {
            assert!(!absent.contains(&field["name"].as_str().unwrap()), "{field}");
            assert!(!["address", "location"].contains(&field["type"].as_str().unwrap()), "{field}");
        }
    }
}

#[tokio::test]
async fn an_orgs_own_code_does_not_run() {
    let session = Session::start().await;
    let job = session.create(json!({"object": "Lead", "operation": "insert", "assignmentRuleId": "01Q000000000001"})).await;
    assert_eq!(job["assignmentRuleId"], "01Q000000000001");
    let (_, described) = session.get("sobjects/Account/describe").await;
    let names: Vec<&Value> = described["recordTypeInfos"].as_array().unwrap().iter().map(|info| &info["name"]).collect();
    assert_eq!(names, ["Master"]);
}

#[tokio::test]
async fn answers_are_never_compressed() {
    let session = Session::start().await;
    let request = session.http.get(session.url("sobjects/Account/describe")).header("Accept-Encoding", "gzip").bearer_auth(&session.token);
    let answer = request.send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers().get("content-encoding")), (200, None));
}
