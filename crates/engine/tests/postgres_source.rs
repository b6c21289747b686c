//! The PostgreSQL source against a real server.

mod support;

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Arc, Mutex};

use api::import_job::Watermark;
use api::import_run::RunReason;
use engine::row::Batch;
use engine::source::postgres::PostgresSource;
use engine::source::postgres::sqlstate::{NAMES, SqlState};
use engine::source::{QueryError, ReadError, Replay, Since, Source, Start, Zoneless};
use support::Server;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

struct Found {
    cells: Vec<String>,
    key: Vec<String>,
    seen: bool,
    fault: Option<String>,
}

async fn read(server: &Server, query: &str, order_by: &[&str], start: Start) -> Result<(Vec<String>, Vec<Found>), ReadError> {
    let text = |record: &engine::row::Record| record.iter().map(|cell| String::from_utf8(cell.to_vec()).unwrap()).collect::<Vec<_>>();
    let mut rows = server.source(query, order_by).open(&start, &BTreeSet::new()).await?;
    let mut batch = Batch::new();
    let mut found = Vec::new();
    while rows.next(&mut batch).await? {
        for row in batch.rows() {
            assert_eq!(row.number, found.len() as u64 + 1);
            assert_eq!(row.fault.is_some(), !row.refused.is_empty());
            let fault = row.fault.as_ref().map(ToString::to_string);
            found.push(Found { cells: text(&row.cells), key: text(&row.key), seen: row.seen, fault });
        }
    }
    Ok((rows.header().names().to_vec(), found))
}

fn behind(key: &[&str], replay: Replay) -> Start {
    Start::Behind { key: key.iter().map(|text| text.to_string()).collect(), replay }
}

#[tokio::test]
async fn every_type_arrives_as_salesforce_reads_it_whatever_the_servers_settings() {
    let server = Server::start();
    let admin = server.administrator().await;
    admin
        .batch_execute(
            "CREATE DOMAIN moment AS timestamptz; CREATE TYPE mood AS ENUM ('sad', 'it''s ok');
             ALTER ROLE reader SET datestyle = 'German'; ALTER ROLE reader SET timezone = 'Asia/Kolkata';
             ALTER ROLE reader SET extra_float_digits = -15; ALTER ROLE reader SET bytea_output = 'escape'",
        )
        .await
        .unwrap();
    let query = "SELECT 1::int AS id, true AS yes, false AS no, 1234.50::numeric AS plain, 1e21::float8 AS big, 0.1::float8 AS tenth,
        timestamptz '2026-11-24 06:10:00.123456+05:30' AS at, timestamp '2026-11-24 06:10:00' AS local, moment '2026-01-01 00:00Z' AS domain,
        date '2026-11-24' AS day, time '09:30' AS hour, NULL::text AS none, '' AS empty, E'tab\\t line\\n back\\\\ cr\\r \\\\N' AS odd,
        'Zoë 🛫' AS name, mood 'it''s ok' AS mood, ARRAY['a', 'b'] AS list, '{\"a\": 1}'::jsonb AS json, 1234.5::money AS money,
        interval '1 day 2 hours' AS long, 'abc'::char(5) AS padded, 12345678901234567890::numeric AS exact -- the end";
    let (header, rows) = read(&server, query, &[], Start::First).await.unwrap();
    let expected = [
        ("id", "1"),
        ("yes", "true"),
        ("no", "false"),
        ("plain", "1234.50"),
        ("big", "1000000000000000000000"),
        ("tenth", "0.1"),
        ("at", "2026-11-24T00:40:00.123Z"),
        ("local", "2026-11-24T06:10:00.000Z"),
        ("domain", "2026-01-01T00:00:00.000Z"),
        ("day", "2026-11-24"),
        ("hour", "09:30:00.000Z"),
        ("none", ""),
        ("empty", ""),
        ("odd", "tab\t line\n back\\ cr\r \\N"),
        ("name", "Zoë 🛫"),
        ("mood", "it's ok"),
        ("list", "{a,b}"),
        ("json", "{\"a\": 1}"),
        ("money", "1234.50"),
        ("long", "P1DT2H"),
        ("padded", "abc"),
        ("exact", "12345678901234567890"),
    ];
    let [row] = rows.as_slice() else { panic!("{} rows", rows.len()) };
    assert!(row.fault.is_none());
    assert!(row.key.is_empty());
    let found: Vec<(&str, &str)> = header.iter().map(String::as_str).zip(row.cells.iter().map(String::as_str)).collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn values_that_salesforce_cannot_hold_fail_their_row_only() {
    let server = Server::start();
    let _admin = server.administrator().await;
    let query = "SELECT * FROM (VALUES (1, date '2026-01-01'), (2, date 'infinity'), (3, date '0044-03-15 BC')) v(id, day)";
    let (_, rows) = read(&server, query, &["id"], Start::First).await.unwrap();
    assert!(rows[0].fault.is_none());
    assert_eq!(
        rows[1].fault.as_deref(),
        Some("row 2: column \"day\" holds a value that is not between the years 0001 and 9999, which Salesforce cannot store")
    );
    assert_eq!(rows[2].cells, ["3", "0044-03-15 BC"]);
    assert!(rows[2].fault.is_some());
}

#[tokio::test]
async fn blanks_that_fill_a_char_up_are_no_content() {
    let server = Server::start();
    let admin = server.administrator().await;
    admin.batch_execute("CREATE DOMAIN code AS char(10)").await.unwrap();
    let query =
        "SELECT 'C1'::char(10) AS code, 'C1'::code AS domain, 'C1  '::varchar AS varying, 'C1  '::text AS text, ' '::char(3) AS blank";
    let (_, rows) = read(&server, query, &["code"], Start::First).await.unwrap();
    assert_eq!(rows[0].cells, ["C1", "C1", "C1  ", "C1  ", ""]);
    let (_, rest) = read(&server, query, &["code"], behind(&[&rows[0].key[0]], Replay::None)).await.unwrap();
    assert!(rest.is_empty());
}

#[tokio::test]
async fn only_columns_that_the_job_uses_have_the_limit_of_what_is_sent() {
    let server = Server::start();
    let _admin = server.administrator().await;
    let query = "SELECT 'a' AS name, repeat('é', 1000000) AS note UNION ALL SELECT 'b', E'\\t'";
    for (columns, expected) in [
        (["name"].as_slice(), None),
        (&["name", "note"], Some("row 1: more than 400000 characters in the columns that the job uses; Salesforce takes no more")),
    ] {
        let columns = columns.iter().map(|name| name.to_string()).collect();
        let mut rows = server.source(query, &[]).open(&Start::First, &columns).await.unwrap();
        let mut batch = Batch::new();
        let read = rows.next(&mut batch).await;
        assert_eq!(read.as_ref().err().map(ToString::to_string).as_deref(), expected);
        assert!(read.is_err() || batch.rows()[0].cells[1].len() == 2_000_000);
    }
    let long = read(&server, "SELECT repeat('x', 9 * 1024 * 1024) AS note", &[], Start::First).await.err().unwrap();
    assert_eq!(long.to_string(), "row 1: more than 8 MiB; leave long columns out of the query");
}

#[tokio::test]
async fn a_killed_run_goes_on_behind_its_last_key_and_loses_nothing() {
    let server = Server::start();
    let admin = server.administrator().await;
    admin
        .batch_execute(
            "CREATE TABLE rows (region text COLLATE \"C\", at timestamptz, ratio float8, note text, PRIMARY KEY (region, at, ratio));
             INSERT INTO rows SELECT 'R''\\' || (n % 3), timestamptz '2026-01-01' + (n / 7) * interval '0.000001 s', n / 10.0, 'n' || n
             FROM generate_series(1, 5000) n",
        )
        .await
        .unwrap();
    let order = ["region", "at", "ratio"];
    let query = "SELECT note, at, ratio, region FROM rows";
    let (_, all) = read(&server, query, &order, Start::First).await.unwrap();
    assert_eq!(all.len(), 5000);
    for stop in [0, 1, 1023, 1666, 1667, 3333, 4998, 4999] {
        let key: Vec<&str> = all[stop].key.iter().map(String::as_str).collect();
        let (_, rest) = read(&server, query, &order, behind(&key, Replay::None)).await.unwrap();
        let notes = |rows: &[Found]| rows.iter().map(|row| row.cells[0].clone()).collect::<Vec<_>>();
        assert_eq!(notes(&rest), notes(&all[stop + 1..]), "behind {key:?}");
        assert!(rest.iter().all(|row| !row.seen));
    }
    let key: Vec<&str> = all[1999].key.iter().map(String::as_str).collect();
    let (_, again) = read(&server, query, &order, behind(&key, Replay::Seen)).await.unwrap();
    assert_eq!(again.len(), 5000);
    assert!(again.iter().enumerate().all(|(at, row)| row.seen == (at < 2000)));
    assert_eq!(again[4999].cells.len(), 4);
}

#[tokio::test]
async fn keys_that_cannot_be_resumed_behind_are_refused_even_after_a_restart() {
    let server = Server::start();
    let _admin = server.administrator().await;
    let nulls = "SELECT * FROM (VALUES (1, 'a'), (2, 'b'), (NULL, 'c')) v(id, name)";
    let error =
        server.source(nulls, &["id"]).open(&Start::First, &BTreeSet::new()).await.err().expect("it is refused before the first row");
    assert!(matches!(&error, ReadError::Query(QueryError::KeyHasNull { column, .. }) if column == "id"), "{error}");
    let error = read(&server, nulls, &["id"], behind(&["2"], Replay::None)).await.err().unwrap();
    assert!(matches!(&error, ReadError::Query(QueryError::KeyIsNull { column, .. }) if column == "id"), "{error}");
    let twice = "SELECT * FROM (VALUES (1, 'a'), (2, 'b'), (2, 'c')) v(id, name)";
    let error = read(&server, twice, &["id"], Start::First).await.err().unwrap();
    assert_eq!(error.to_string(), "row 3: the row before has the same id; orderBy needs columns that together identify each row");
    assert!(read(&server, twice, &["id", "name"], Start::First).await.is_ok());
    assert!(read(&server, twice, &[], Start::First).await.is_ok());
    let error = read(&server, twice, &["ID_"], Start::First).await.err().unwrap();
    assert_eq!(error.to_string(), "orderBy: there is no column \"ID_\", did you mean \"id\"?; the columns are \"id\", \"name\"");
    let error = read(&server, twice, &["id"], behind(&["1", "2"], Replay::None)).await.err().unwrap();
    assert!(matches!(error, ReadError::Query(QueryError::KeyShape { expected: 1, found: 2 })));
}

/// A query that reads only what is new.
fn new_rows(server: &Server, query: &str, column: &str, since: Option<Since>) -> PostgresSource {
    let mut source = server.source(query, &["id"]);
    source.query.watermark = Some(Watermark { column: column.to_owned(), from: None });
    PostgresSource { since, ..source }
}

async fn ids(source: &PostgresSource, start: &Start) -> Result<(Vec<String>, Option<String>), ReadError> {
    let mut rows = source.open(start, &BTreeSet::new()).await?;
    let (mut batch, mut ids) = (Batch::new(), Vec::new());
    while rows.next(&mut batch).await? {
        ids.extend(batch.rows().iter().map(|row| String::from_utf8(row.cells[0].to_vec()).unwrap()));
    }
    Ok((ids, rows.watermark()))
}

#[tokio::test]
async fn a_watermark_reads_what_is_beyond_it_and_tells_how_far_it_came() {
    let server = Server::start();
    let admin = server.administrator().await;
    admin
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, at timestamptz, n numeric); GRANT SELECT ON t TO reader; ALTER ROLE reader SET timezone = 'Asia/Kolkata';
             INSERT INTO t SELECT g, timestamptz '2026-01-01 00:00Z' + g * interval '1 microsecond', 10 - g FROM generate_series(1, 5) g",
        )
        .await
        .unwrap();
    let query = "SELECT id, at, n FROM t";
    let (first, reached) = ids(&new_rows(&server, query, "at", None), &Start::First).await.unwrap();
    assert_eq!((first.len(), reached.as_deref()), (5, Some("2026-01-01 00:00:00.000005+00")));
    let kept = || reached.clone().map(Since::Kept);
    let (none, after) = ids(&new_rows(&server, query, "at", kept()), &Start::First).await.unwrap();
    assert_eq!((none, after), (vec![], None), "nothing new: who asks keeps what it has");
    admin
        .batch_execute("UPDATE t SET at = '2026-01-02 00:00Z' WHERE id = 2; INSERT INTO t VALUES (6, '2026-01-02 00:00Z', 0)")
        .await
        .unwrap();
    let (new, after) = ids(&new_rows(&server, query, "at", kept()), &Start::First).await.unwrap();
    assert_eq!((new, after.as_deref()), (vec!["2".to_owned(), "6".to_owned()], Some("2026-01-02 00:00:00+00")));

    // A killed run goes on behind its key, whatever its watermark was.
    let source = new_rows(&server, query, "at", kept());
    let key = ["2026-01-02 00:00:00+00", "2"];
    assert_eq!(ids(&source, &behind(&key, Replay::None)).await.unwrap().0, ["6"]);
    let (again, _) = ids(&source, &behind(&key, Replay::Seen)).await.unwrap();
    assert_eq!(again, ["2", "6"], "a pipeline that remembers reads again what this run has read, and nothing older");
    let moved = new_rows(&server, query, "at", Some(Since::Kept("2026-01-03 00:00:00+00".to_owned())));
    assert_eq!(ids(&moved, &behind(&key, Replay::None)).await.unwrap().0, ["6"], "another run has gone further meanwhile");
    let end = ["2026-01-02 00:00:00+00", "6"];
    assert_eq!(ids(&source, &behind(&end, Replay::None)).await.unwrap(), (vec![], Some(end[0].to_owned())));

    // The column that identifies the rows may be the watermark, too.
    let (by_id, reached) = ids(&new_rows(&server, query, "id", Some(Since::Told("4".into()))), &Start::First).await.unwrap();
    assert_eq!((by_id, reached.as_deref()), (vec!["5".to_owned(), "6".to_owned()], Some("6")));
}

#[tokio::test]
async fn times_of_a_zone_that_the_job_names_say_none_and_keys_and_watermark_are_the_databases_own() {
    let server = Server::start();
    let admin = server.administrator().await;
    admin
        .batch_execute(
            "CREATE DOMAIN moment AS timestamp; ALTER ROLE reader SET timezone = 'Asia/Kolkata';
             CREATE TABLE t (local timestamp PRIMARY KEY, at timestamptz, domain moment, day date, hour time); GRANT SELECT ON t TO reader;
             INSERT INTO t SELECT l, l AT TIME ZONE 'Europe/Berlin', l, l, l FROM unnest(ARRAY[timestamp '2026-03-29 01:59:59.999999',
             '2026-03-29 02:30', '2026-10-25 02:30', '2026-10-25 02:30:00.000001']) l",
        )
        .await
        .unwrap();
    let query = "SELECT * FROM t";
    let source = |since: Option<&str>| {
        let mut source = server.source(query, &["local"]);
        source.query.watermark = Some(Watermark { column: "local".to_owned(), from: None });
        PostgresSource { since: since.map(|since| Since::Kept(since.to_owned())), zoneless: Zoneless::Local, ..source }
    };
    let first = source(None);
    let mut rows = first.open(&Start::First, &BTreeSet::new()).await.unwrap();
    let mut batch = Batch::new();
    assert!(rows.next(&mut batch).await.unwrap());
    let text = |record: &engine::row::Record| record.iter().map(|cell| String::from_utf8(cell.to_vec()).unwrap()).collect::<Vec<_>>();
    let found: Vec<_> = batch.rows().iter().map(|row| (text(&row.cells), text(&row.key))).collect();
    let instant = ["2026-03-29T01:59:59.999", "2026-03-29T00:59:59.999Z", "2026-03-29T01:59:59.999", "2026-03-29", "01:59:59.999Z"];
    assert_eq!(found[0].0, instant);
    assert_eq!(
        found.iter().map(|(_, key)| key.concat()).collect::<Vec<_>>(),
        ["2026-03-29 01:59:59.999999", "2026-03-29 02:30:00", "2026-10-25 02:30:00", "2026-10-25 02:30:00.000001"]
    );
    assert_eq!(rows.watermark().as_deref(), Some("2026-10-25 02:30:00.000001"));

    let cells = async |source: &PostgresSource, start: &Start| ids(source, start).await.unwrap().0;
    let (third, fourth) = ("2026-10-25T02:30:00.000".to_owned(), "2026-10-25T02:30:00.000".to_owned());
    let killed = behind(&["2026-03-29 02:30:00"], Replay::None);
    assert_eq!(cells(&first, &killed).await, [third, fourth.clone()], "a killed run goes on behind the database's own value");
    assert_eq!(cells(&source(Some("2026-10-25 02:30:00")), &Start::First).await, [fourth]);
}

#[tokio::test]
async fn a_table_is_read_by_its_name_as_the_database_has_it() {
    let server = Server::start();
    let admin = server.administrator().await;
    admin
        .batch_execute(
            "CREATE SCHEMA \"Sales\"; GRANT USAGE ON SCHEMA \"Sales\" TO reader; CREATE TABLE \"Sales\".\"odd \"\"name\" (id int PRIMARY KEY, name text);
             GRANT SELECT ON \"Sales\".\"odd \"\"name\" TO reader; INSERT INTO \"Sales\".\"odd \"\"name\" VALUES (2, 'b'), (1, 'a')",
        )
        .await
        .unwrap();
    let table = |name: &str| {
        let mut source = server.source("", &["id"]);
        (source.query.query, source.query.table) = (None, Some(name.to_owned()));
        source
    };
    assert_eq!(ids(&table("Sales.odd \"name"), &Start::First).await.unwrap().0, ["1", "2"]);
    assert_eq!(ids(&table("Sales.odd \"name"), &behind(&["1"], Replay::None)).await.unwrap().0, ["2"]);
    let error = ids(&table("sales.odd \"name"), &Start::First).await.err().unwrap();
    assert!(error.to_string().contains("undefined_table"), "{error}");
}

#[tokio::test]
async fn a_watermark_that_would_lose_rows_is_refused() {
    let server = Server::start();
    let admin = server.administrator().await;
    admin
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, at timestamptz); GRANT SELECT ON t TO reader;
             INSERT INTO t VALUES (1, '2026-01-01 00:00Z'), (2, NULL)",
        )
        .await
        .unwrap();
    let told = |text: &str| Some(Since::Told(text.to_owned()));
    let error = ids(&new_rows(&server, "SELECT id, at FROM t", "at", told("2026-06-01")), &Start::First).await.err().unwrap();
    assert!(error.to_string().starts_with("watermark.column: at is NULL in some rows; "), "{error}");
    let error = ids(&new_rows(&server, "SELECT id, at FROM t", "AT_", None), &Start::First).await.err().unwrap();
    assert!(error.to_string().starts_with("watermark.column: there is no column \"AT_\""), "{error}");
    admin.batch_execute("UPDATE t SET at = 'infinity' WHERE id = 2").await.unwrap();
    let error = ids(&new_rows(&server, "SELECT id, at FROM t", "at", None), &Start::First).await.err().unwrap();
    assert!(matches!(&error, ReadError::Query(QueryError::WatermarkEndless { row: 2, .. })), "{error}");
    let canary = "kept-2f9c";
    let error = ids(&new_rows(&server, "SELECT id, at FROM t", "at", told(canary)), &Start::First).await.err().unwrap();
    assert!(error.to_string().contains(canary), "what the job says is shown: {error}");
    let kept = Some(Since::Kept(canary.to_owned()));
    let error = ids(&new_rows(&server, "SELECT id, at FROM t", "at", kept), &Start::First).await.err().unwrap();
    assert!(!format!("{error:?} {error}").contains(canary), "a value of a row is not: {error}");
    let error = ids(&new_rows(&server, "SELECT id, at FROM t", "at", None), &behind(&[canary, "1"], Replay::None)).await.err().unwrap();
    assert!(!format!("{error:?} {error}").contains(canary), "nor is a key: {error}");
}

#[tokio::test]
async fn what_no_cell_can_hold_is_refused_if_the_job_uses_it() {
    let server = Server::start();
    let admin = server.administrator().await;
    admin.batch_execute("CREATE TYPE place AS (street text, city text); CREATE DOMAIN photo AS bytea").await.unwrap();
    let query = "SELECT 1 AS id, '\\xff'::photo AS photo, ROW('a', 'b')::place AS place, ROW(1, 2) AS pair, ARRAY[1, 2] AS list";
    let open = async |used: &str| {
        let used = BTreeSet::from(["id".to_owned(), used.to_owned()]);
        server.source(query, &["id"]).open(&Start::First, &used).await.map(drop).map_err(|error| (error.to_string(), error.reason()))
    };
    for used in ["id", "list"] {
        assert_eq!(open(used).await, Ok(()), "control");
    }
    for (used, expected) in [
        ("photo", "column \"photo\" is bytes (bytea), which is no text: write encode(column, 'base64')"),
        ("place", "column \"place\" is a composite type, which is no text: take it apart"),
        ("pair", "column \"pair\" is a composite type, which is no text: take it apart"),
    ] {
        let (message, reason) = open(used).await.unwrap_err();
        assert!(message.starts_with(expected) && reason == RunReason::SourceFailed, "{message}");
    }
}

#[tokio::test]
async fn a_query_that_waits_for_a_lock_is_tried_again() {
    let server = Server::start();
    let mut admin = server.administrator().await;
    admin.batch_execute("CREATE TABLE accounts (id int)").await.unwrap();
    let altering = admin.transaction().await.unwrap();
    altering.batch_execute("ALTER TABLE accounts ADD name text").await.unwrap();
    let error = read(&server, "SELECT * FROM accounts", &[], Start::First).await.err().unwrap();
    assert!(error.is_transient() && error.to_string().contains("lock_not_available"), "{error}");
    altering.commit().await.unwrap();
    assert!(read(&server, "SELECT * FROM accounts", &[], Start::First).await.is_ok(), "control");
}

#[tokio::test]
async fn a_pooler_gives_each_transaction_another_connection_and_that_is_enough() {
    let server = Server::start();
    let admin = server.administrator().await;
    admin.batch_execute("CREATE TYPE mood AS ENUM ('sad', 'ok'); ALTER ROLE reader SET timezone = 'Asia/Kolkata'").await.unwrap();
    let pooler = server.pooled();
    let query = "SELECT id, 'ok'::mood AS mood, timestamptz '2026-11-24 00:00Z' AS at FROM generate_series(1, 3000) id";
    for _ in 0..3 {
        let mut source = server.source(query, &["id"]);
        source.params.port = pooler.port;
        let mut rows = source.open(&behind(&["1000"], Replay::None), &BTreeSet::new()).await.unwrap();
        let (mut batch, mut count) = (Batch::new(), 0);
        while rows.next(&mut batch).await.unwrap() {
            count += batch.rows().len();
            let first = &batch.rows()[0];
            assert_eq!((&first.cells[1], &first.cells[2]), (&b"ok"[..], &b"2026-11-24T00:00:00.000Z"[..]));
        }
        assert_eq!(count, 2_000);
    }
}

#[tokio::test]
async fn a_query_that_fails_says_so_without_telling_values() {
    let server = Server::start();
    let admin = server.administrator().await;
    let error = read(&server, "SELECT nme FROM pg_class", &[], Start::First).await.err().unwrap();
    assert_eq!(error.to_string(), "the database refused the query: column \"nme\" does not exist (undefined_column, SQLSTATE 42703)");
    assert_eq!(error.reason(), RunReason::SourceFailed);
    // Fails at row 3,000, when rows have been sent already; the server's words would name the value.
    let late = "SELECT CASE WHEN n = 3000 THEN ('secret' || n)::int ELSE n END AS v FROM generate_series(1, 4000) n";
    let error = read(&server, late, &[], Start::First).await.err().unwrap();
    assert_eq!(error.to_string(), "the database stopped the query: invalid_text_representation, SQLSTATE 22P02");
    assert!(std::error::Error::source(&error).is_none());
    // Nothing in the query may write.
    admin
        .batch_execute("CREATE TABLE t (n int); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (1) RETURNING n'")
        .await
        .unwrap();
    let error = read(&server, "SELECT f()", &[], Start::First).await.err().unwrap();
    assert!(error.to_string().ends_with("read_only_sql_transaction, SQLSTATE 25006"), "{error}");
}

#[tokio::test]
async fn every_error_has_the_name_that_the_server_knows_it_by() {
    let server = Server::start();
    let admin = server.administrator().await;
    for (code, name) in NAMES {
        // Caught by its name, which may be several codes' and, of a class, is all its codes'.
        let raise = format!("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; EXCEPTION WHEN {name} THEN NULL; END $$");
        admin.batch_execute(&raise).await.unwrap_or_else(|error| panic!("{code} is not {name}: {error}"));
        let class = NAMES.iter().find(|(other, _)| other.ends_with("000") && other[..2] == code[..2]);
        assert!(code.ends_with("000") || class.is_none_or(|(_, class)| class != name), "{code} has the name of its class");
        assert_eq!(SqlState(code).to_string(), format!("{name}, SQLSTATE {code}"));
    }
    assert_eq!(SqlState("ZZ999").to_string(), "SQLSTATE ZZ999");
}

/// A log in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn neither_a_query_nor_a_last_key_nor_a_notice_is_in_a_log_at_its_most_talkative() {
    let server = Server::start();
    let admin = server.administrator().await;
    let notice = "CREATE FUNCTION tell(t text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'row %', t; RETURN t; END $$";
    admin.batch_execute(notice).await.unwrap();
    let query = "SELECT code, tell('told-' || code) FROM (VALUES ('canary-1'), ('canary-2')) v(code)";
    let go_on = async || read(&server, query, &["code"], behind(&["canary-1"], Replay::None)).await.unwrap().1.len();

    // Control: the database client does print them.
    let log = Log::default();
    let writer = log.clone();
    let plain = tracing_subscriber::fmt().with_env_filter(EnvFilter::new("trace")).with_writer(move || writer.clone()).finish();
    let here = plain.set_default();
    assert_eq!(go_on().await, 1);
    drop(here);
    assert!(log.text().contains("canary-1") && log.text().contains("row told-canary-2"), "{}", log.text());

    let log = Log::default();
    let writer = log.clone();
    let _here = runtime::logs::subscriber(EnvFilter::new("trace"), move || writer.clone()).set_default();
    tracing::trace!(target: "engine", "this is said");
    assert_eq!(go_on().await, 1);
    assert!(log.text().contains("this is said"), "{}", log.text());
    assert!(!log.text().contains("canary"), "{}", log.text());
}

#[tokio::test]
async fn a_server_that_goes_away_is_worth_another_attempt() {
    let server = Server::start();
    let _admin = server.administrator().await;
    let query = "SELECT n, repeat('x', 1000) FROM generate_series(1, 10000000) n";
    let mut source = server.source(query, &[]).open(&Start::First, &BTreeSet::new()).await.unwrap();
    let mut batch = Batch::new();
    assert!(source.next(&mut batch).await.unwrap());
    drop(server);
    let error = loop {
        match source.next(&mut batch).await {
            Ok(true) => {}
            Ok(false) => panic!("a cut stream is no end"),
            Err(error) => break error,
        }
    };
    assert!(error.is_transient(), "{error}");
    assert_eq!(error.reason(), RunReason::Interrupted);
}
